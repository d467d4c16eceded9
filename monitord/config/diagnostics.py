"""Errors and warnings of a configuration, each at a path of keys.

File and line are looked up when they are reported, so that a valid configuration costs nothing.
"""

import itertools
from collections.abc import Iterable
from dataclasses import dataclass, field

from monitord.config.access import ConfigAccess
from monitord.config.lines import find_lines
from monitord.config.wording import Path, key_text
from monitord.errors import Diagnostic
from monitord.text import counted

MAX_REPORTED = 1000  # the line of each has to be looked up


@dataclass(slots=True)
class Source:
    """One file as it was read. `values` is the unmodified result of the parser."""

    file: str
    text: str
    values: dict[str, object]
    _lines: dict[Path, int] | None = field(default=None, init=False)

    def line(self, path: Path) -> int | None:
        if self._lines is None:
            try:
                self._lines = find_lines(self.text)
            except (ValueError, RecursionError):
                # A later version of TOML than the scanner supports: report the error without its line.
                self._lines = {}
        return self._lines.get(path)


class Diagnostics:
    """Collector of errors and warnings. An error in an inherited value is reported once."""

    def __init__(
        self, main_file: str, access: ConfigAccess = ConfigAccess.DAEMON, *, is_start: bool = False
    ) -> None:
        """`is_start`: the daemon is starting, so that values that have become outdated are warnings only."""
        self.access = access
        self.is_start = is_start
        self.files = [main_file]  # in the order of precedence, including unreadable files
        self.sources: list[Source] = []
        self.has_unread_files = False
        self._located: list[Diagnostic] = []
        self._found: dict[tuple[Path, str, str], None] = {}
        self._rejected: set[Path] = set()
        self._warnings: dict[tuple[Path, str, str], None] = {}

    def add_located(self, diagnostic: Diagnostic) -> None:
        """Add an error whose file and line are known."""
        self._located.append(diagnostic)

    def add_to_file(self, file: str, problem: str, hint: str = "", line: int | None = None) -> None:
        """Add an error of a whole file, or of a line that contains no key."""
        self._located.append(Diagnostic(file, line, "", problem, hint))

    def add(self, path: Path, problem: str, hint: str = "") -> None:
        """Add an error, unless the value at this path has been rejected."""
        if path not in self._rejected:
            self._found[path, problem, hint] = None

    def reject(self, path: Path, problem: str, hint: str = "") -> None:
        """Add an error, and ignore later ones of the same value: they would be consequences of this one."""
        self.add(path, problem, hint)
        self._rejected.add(path)

    def warn(self, path: Path, problem: str, hint: str = "") -> None:
        """Add a warning: the value is valid, but does not work on this host."""
        self._warnings[path, problem, hint] = None

    def is_within_rejected(self, path: Path) -> bool:
        return any(path[:length] in self._rejected for length in range(len(path) + 1))

    def all(self) -> tuple[Diagnostic, ...]:
        """Return errors in the order of files and lines: at most MAX_REPORTED, and the number of the others."""
        if not self._located and not self._found:
            return ()
        located = [self._locate(*error) for error in itertools.islice(self._found, MAX_REPORTED)]
        diagnostics = self._sorted([*self._located[:MAX_REPORTED], *located])
        if more := len(self._located) + len(self._found) - len(diagnostics):
            diagnostics.append(
                Diagnostic(
                    self.files[0], None, "", counted(more, "more error"), "correct the errors above first"
                )
            )
        return tuple(diagnostics)

    def warnings(self) -> tuple[Diagnostic, ...]:
        """Return warnings in the order of files and lines, at most MAX_REPORTED."""
        located = (self._locate(*warning) for warning in itertools.islice(self._warnings, MAX_REPORTED))
        return tuple(self._sorted(located))

    def _sorted(self, diagnostics: Iterable[Diagnostic]) -> list[Diagnostic]:
        order = {file: index for index, file in enumerate(self.files)}
        return sorted(
            diagnostics,
            key=lambda diagnostic: (
                order.get(diagnostic.file, len(order)),
                diagnostic.line or 0,
                diagnostic.column or 0,
            ),
        )

    def location(self, path: Path) -> str:
        """Return "monitord.toml:12", for a message that names a second location."""
        file, line = self._find(path)
        return f"{file}:{line}" if line else file

    def _locate(self, path: Path, problem: str, hint: str) -> Diagnostic:
        file, line = self._find(path)
        return Diagnostic(file, line, key_text(path), problem, hint, path=path)

    def _find(self, path: Path) -> tuple[str, int | None]:
        """Return file and line of the key; those of the surrounding table if the key is missing."""
        for length in range(len(path), 0, -1):
            for index, source in enumerate(self.sources):
                local = _path_in(source.values, path[:length], self.sources[:index])
                if local is not None:
                    return source.file, source.line(local)
        return self.files[0], None


def _path_in(values: dict[str, object], path: Path, earlier: list[Source]) -> Path | None:
    """Return the path within one file: arrays of tables from several files are concatenated."""
    local: Path = ()
    here: object = values
    for part in path:
        if isinstance(here, dict):
            if part not in here:
                return None
            here = here[part]
            local = (*local, part)
        elif isinstance(here, list) and isinstance(part, int):
            index = part - sum(_length(source.values, local) for source in earlier)
            if not 0 <= index < len(here):
                return None
            here = here[index]
            local = (*local, index)
        else:
            return None
    return local


def _length(values: object, path: Path) -> int:
    for part in path:
        if not isinstance(values, dict) or part not in values:
            return 0
        values = values[part]
    return len(values) if isinstance(values, list) else 0
