"""The diagnostics found so far, each at a path of keys; file and line are looked up when they are told.

A value remembers nothing of where it stood: the good road pays nothing for the bad one.
"""

import itertools
from collections.abc import Iterable
from dataclasses import dataclass, field

from monitord.config.lines import find_lines
from monitord.config.reader import Reader
from monitord.config.wording import Path, key_text
from monitord.errors import Diagnostic

MAX_FAILURES = 1000  # nobody reads more, and each has to be looked for


@dataclass(slots=True)
class Source:
    """One file as it was read. `values` stays as the parser made it."""

    file: str
    text: str
    values: dict[str, object]
    _lines: dict[Path, int] | None = field(default=None, init=False)

    def line(self, path: Path) -> int | None:
        if self._lines is None:
            try:
                self._lines = find_lines(self.text)
            except (ValueError, RecursionError):
                # A later TOML than this scanner knows: a diagnostic without its line is better than none.
                self._lines = {}
        return self._lines.get(path)


class Diagnostics:
    """Collects; the same diagnostic in an inherited value counts once, however many inherit it."""

    def __init__(self, main_file: str, reader: Reader = Reader.SERVICE, *, is_start: bool = False) -> None:
        """`is_start`: the daemon starts with this configuration, and starts although it has become outdated."""
        self.reader = reader
        self.is_start = is_start
        self.files = [main_file]  # in the order in which they count, those that could not be read as well
        self.sources: list[Source] = []
        self.has_unread_files = False
        self._told: list[Diagnostic] = []
        self._found: dict[tuple[Path, str, str], None] = {}
        self._unusable: set[Path] = set()
        self._warnings: dict[tuple[Path, str, str], None] = {}

    def tell(self, diagnostic: Diagnostic) -> None:
        """A diagnostic whose place is known already."""
        self._told.append(diagnostic)

    def add(self, path: Path, problem: str, hint: str = "") -> None:
        """Silent where the value was refused already."""
        if path not in self._unusable:
            self._found[path, problem, hint] = None

    def refuse(self, path: Path, problem: str, hint: str = "") -> None:
        """The value there could not be taken: what is said of it later would only follow from that."""
        self.add(path, problem, hint)
        self._unusable.add(path)

    def warn(self, path: Path, problem: str, hint: str = "") -> None:
        """What is valid and does not work on this host."""
        self._warnings[path, problem, hint] = None

    def is_within_refused(self, path: Path) -> bool:
        return any(path[:length] in self._unusable for length in range(len(path) + 1))

    def all(self) -> tuple[Diagnostic, ...]:
        """In the order of files and lines; of thousands the first, and how many more there are."""
        found = [self._placed(*diagnostic) for diagnostic in itertools.islice(self._found, MAX_FAILURES)]
        diagnostics = self._sorted([*self._told[:MAX_FAILURES], *found])
        if more := len(self._told) + len(self._found) - len(diagnostics):
            diagnostics.append(
                Diagnostic(self.files[0], None, "", f"{more} more diagnostics", "mend those above first")
            )
        return tuple(diagnostics)

    def warnings(self) -> tuple[Diagnostic, ...]:
        """In the order of files and lines, at most MAX_FAILURES."""
        found = (self._placed(*warning) for warning in itertools.islice(self._warnings, MAX_FAILURES))
        return tuple(self._sorted(found))

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

    def place(self, path: Path) -> str:
        """ "monitord.toml:12", for a message that names a second place."""
        file, line = self._locate(path)
        return f"{file}:{line}" if line else file

    def _placed(self, path: Path, problem: str, hint: str) -> Diagnostic:
        file, line = self._locate(path)
        return Diagnostic(file, line, key_text(path), problem, hint, path=path)

    def _locate(self, path: Path) -> tuple[str, int | None]:
        """Where the key stands; what stands nowhere is missing, and belongs to the table around it."""
        for length in range(len(path), 0, -1):
            for index, source in enumerate(self.sources):
                local = _path_in(source.values, path[:length], self.sources[:index])
                if local is not None:
                    return source.file, source.line(local)
        return self.files[0], None


def _path_in(values: dict[str, object], path: Path, earlier: list[Source]) -> Path | None:
    """The path as this file counts it: arrays of tables from several files stand one behind the other."""
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
