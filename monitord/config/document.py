"""Read the main file and its drop-ins into one table.

All files are read before values are checked, so that a syntax error in one file hides no error in another.
"""

import errno
import glob
import os
import re
from collections.abc import Mapping
from pathlib import Path as FilePath
from typing import Final, TypeGuard

import tomli

from monitord.config.access import ConfigAccess, access_hint
from monitord.config.diagnostics import Diagnostics, Source
from monitord.config.files import read_bounded
from monitord.config.secret import SecretSources
from monitord.config.table import Table
from monitord.config.wording import Path, key_text, value_text
from monitord.errors import ConfigError, Diagnostic

MAX_FILE_BYTES: Final = 16 * 1024 * 1024
MAX_FILES: Final = 20_000
MAX_KEY_PARTS: Final = 64

_SYNTAX_PLACE = re.compile(
    r"(?P<problem>.*) \(at (?:line (?P<line>\d+), column (?P<column>\d+)|end of document)\)", re.DOTALL
)
# The time of the parser grows with the square of the number of parts in a dotted key.
_LONG_KEY = re.compile(rf"""(?<![\w"'.-])(?:[\w"'-]++[ \t]*+\.[ \t]*+){{{MAX_KEY_PARTS}}}""")
# The beginning of a message of the parser, and its probable cause.
_SYNTAX_FIXES = (
    ("Expected newline or end of document", "write one KEY = VALUE on a line, and strings in quotes"),
    ("Invalid value", "write strings in quotes, and true or false in lower case"),
    ("Invalid statement", 'write KEY = VALUE, [TABLE], or a comment after "#"'),
    ("Expected '=' after a key", "write KEY = VALUE"),
    ("Cannot overwrite a value", "set each key once"),
    ("Cannot declare", "put the keys of both under one header"),
    ("Unterminated string", "close the quotes"),
    ("Illegal character '\\n'", "close the quotes; text of several lines is written in three quotes"),
    ("Unescaped '\\\\'", "write the backslash twice, or the text in single quotes"),
    ("Unclosed inline table", "write it on one line, or as a [TABLE]"),
    (
        "Invalid initial character for a key part",
        "quote a key that is not letters, digits, hyphens and underscores",
    ),
)


class Document:
    """A configuration that has been read. `root` is the top-level table."""

    def __init__(self, root: Table, diagnostics: Diagnostics) -> None:
        self.root = root
        self._diagnostics = diagnostics

    @property
    def is_complete(self) -> bool:
        """Whether all files could be read. If not, keys that seem to be missing may be in an unreadable file."""
        return not self._diagnostics.has_unread_files

    def diagnostics(self) -> tuple[Diagnostic, ...]:
        """Return the errors found so far, in the order of files and lines."""
        return self._diagnostics.all()

    def warnings(self) -> tuple[Diagnostic, ...]:
        """Return values that are valid but do not work on this host, in the order of files and lines."""
        return self._diagnostics.warnings()

    def check(self) -> None:
        """Raise ConfigError with all errors, including unknown keys. To be called when all sections have been read."""
        self.root.finish()
        diagnostics = self._diagnostics.all()
        if diagnostics:
            raise ConfigError(diagnostics)


def read_document(
    path: str | os.PathLike[str],
    *,
    environment: Mapping[str, str] | None = None,
    access: ConfigAccess = ConfigAccess.DAEMON,
    is_start: bool = False,
) -> Document:
    """Read the file and the files it includes. Their errors are raised by `Document.check`.

    `environment`: where secrets are looked up; by default that of this process. `is_start`: see `Table.outdated`.
    """
    main = os.fspath(path)
    diagnostics = Diagnostics(main, access, is_start=is_start)
    secrets = SecretSources(os.environ if environment is None else environment, access)
    source = _read_source(main, diagnostics)
    if source is not None:
        diagnostics.sources.append(source)
    values: dict[str, object] = dict(source.values) if source is not None else {}
    for file in _included(main, values.pop("include", None), diagnostics):
        diagnostics.files.append(file)
        dropin = _read_source(file, diagnostics)
        if dropin is not None:
            diagnostics.sources.append(dropin)
            values = _merged(values, dropin.values, (), diagnostics)
    return Document(Table(values, diagnostics, secrets), diagnostics)


def document_of(
    values: Mapping[str, object],
    *,
    origin: str,
    environment: Mapping[str, str],
    access: ConfigAccess = ConfigAccess.DAEMON,
) -> Document:
    """Return a document made of values that are not from a file. `origin` replaces the file name in errors."""
    diagnostics = Diagnostics(origin, access)
    return Document(Table(values, diagnostics, SecretSources(environment, access)), diagnostics)


def _read_source(file: str, diagnostics: Diagnostics) -> Source | None:
    text = _read_text(file, diagnostics)
    if text is not None:
        try:
            if not (long_key := _LONG_KEY.search(text)):
                return Source(file, text, tomli.loads(text))
            line = text.count("\n", 0, long_key.start()) + 1
            diagnostics.add_to_file(
                file, f"a key has more than {MAX_KEY_PARTS} parts", "use fewer levels", line
            )
        except RecursionError:
            diagnostics.add_to_file(file, "is nested too deeply", "use fewer levels")
        except ValueError as error:
            diagnostics.add_located(_syntax_diagnostic(file, text, str(error)))
    diagnostics.has_unread_files = True
    return None


def _syntax_diagnostic(file: str, text: str, message: str) -> Diagnostic:
    hint = next((fix for beginning, fix in _SYNTAX_FIXES if message.startswith(beginning)), "")
    place = _SYNTAX_PLACE.fullmatch(message)
    if place is None:
        # Python rejects integers of more than 4,300 digits, without a position.
        return Diagnostic(file, None, "", "invalid TOML: a number is too long")
    problem = "invalid TOML: " + re.sub(r"declare \(.*\) twice", "declare a table twice", place["problem"])
    if place["line"] is None:
        return Diagnostic(
            file, text.rstrip().count("\n") + 1, "", f"{problem} (at the end of the file)", hint
        )
    return Diagnostic(file, int(place["line"]), "", problem, hint, column=int(place["column"]))


def _read_text(file: str, diagnostics: Diagnostics) -> str | None:
    """Return None and record an error if the file cannot be read."""
    try:
        content = read_bounded(file, MAX_FILE_BYTES)
    except FileNotFoundError:
        diagnostics.add_to_file(file, "does not exist", "create it, or specify another file")
        return None
    except OSError as error:
        hint = _unreadable_hint(file, error, diagnostics)
        diagnostics.add_to_file(file, f"cannot be read: {error.strerror}", hint)
        return None
    except ValueError:
        diagnostics.add_to_file(file, "is not a file name: it contains a NUL byte")
        return None
    if len(content) > MAX_FILE_BYTES:
        limit = f"{MAX_FILE_BYTES // 1024**2} MiB"
        diagnostics.add_to_file(file, f"is larger than {limit}", "split it into drop-ins")
        return None
    return _decoded(file, content, diagnostics)


def _unreadable_hint(file: str, error: OSError, diagnostics: Diagnostics) -> str:
    if isinstance(error, PermissionError):
        return access_hint(file, diagnostics.access)
    return "name a TOML file" if error.errno in {errno.EISDIR, errno.EINVAL} else ""


def _decoded(file: str, content: bytes, diagnostics: Diagnostics) -> str | None:
    if (nul := content.find(b"\0")) >= 0:
        line = content.count(b"\n", 0, nul) + 1
        diagnostics.add_to_file(file, "contains a NUL byte", "save it as plain UTF-8 text", line)
        return None
    try:
        # The signature that some editors write is not part of TOML.
        return content.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        diagnostics.add_to_file(file, "is not UTF-8 text", "save it as UTF-8", line)
        return None


def _included(main: str, patterns: object, diagnostics: Diagnostics) -> list[str]:
    """The files to read after the main one, in the order of the patterns, then of their names."""
    directory = os.path.dirname(main)  # noqa: PTH120 - keeps the path as it was given
    if patterns is None:
        stem = FilePath(main).stem
        patterns = [glob.escape(f"{stem}.d") + "/*.toml"]
    if not isinstance(patterns, list):
        diagnostics.reject(
            ("include",), f"{value_text(patterns)} is not a list", 'write ["monitord.d/*.toml"]'
        )
        return []
    files: dict[str, None] = {}
    for index, pattern in enumerate(patterns):
        if not isinstance(pattern, str) or not pattern or "\0" in pattern:
            problem = f"{value_text(pattern)} is not a file name or pattern"
            diagnostics.reject(("include", index), problem, "write it in quotes")
            continue
        if not glob.has_magic(pattern) and not os.path.lexists(os.path.join(directory, pattern)):  # noqa: PTH118
            problem = f"{value_text(pattern)} does not exist"
            diagnostics.reject(
                ("include", index), problem, "create it, or write a pattern if the file is optional"
            )
            diagnostics.has_unread_files = True
            continue
        for file in _matching(directory, pattern, diagnostics):
            if len(files) >= MAX_FILES:
                diagnostics.reject(("include", index), f"more than {MAX_FILES} files", "narrow the pattern")
                return list(files)
            if file != main:
                files[file] = None
    return list(files)


def _matching(directory: str, pattern: str, diagnostics: Diagnostics) -> list[str]:
    """Return the files that match. `directory` is not a pattern."""
    if not glob.has_magic(pattern):
        return [os.path.join(directory, pattern)]  # noqa: PTH118 - text in, text out
    listed = os.path.join(directory, os.path.dirname(pattern)) or "."  # noqa: PTH118, PTH120
    # glob() ignores directories that cannot be listed: their monitors would be lost without an error.
    if not glob.has_magic(os.path.dirname(pattern)):  # noqa: PTH120
        try:
            os.scandir(listed).close()
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:
            hint = _unreadable_hint(listed, error, diagnostics)
            diagnostics.add_to_file(listed, f"cannot be listed: {error.strerror}", hint)
            diagnostics.has_unread_files = True
            return []
    paths = glob.glob(os.path.join(glob.escape(directory), pattern))  # noqa: PTH118, PTH207
    return sorted(paths, key=lambda file: (FilePath(file).name, file))


def _merged(
    values: Mapping[str, object], added: Mapping[str, object], path: Path, diagnostics: Diagnostics
) -> dict[str, object]:
    """Return a new table. Values that only one file has are shared with its table."""
    merged = dict(values)
    for key, value in added.items():
        here = (*path, key)
        if here == ("include",):
            _diagnostic_in_last(here, "only the main file includes others", "move it there", diagnostics)
        elif key not in merged:
            merged[key] = value
        elif isinstance(value, dict) and isinstance(before := merged[key], dict):
            merged[key] = _merged(before, value, here, diagnostics)
        elif _is_array_of_tables(value) and _is_array_of_tables(before := merged[key]):
            merged[key] = [*before, *value]
        else:
            problem = f"is set already in {diagnostics.location(here)}"
            _diagnostic_in_last(here, problem, "remove one of the two", diagnostics)
    return merged


def _is_array_of_tables(value: object) -> TypeGuard[list[object]]:
    return isinstance(value, list) and bool(value) and all(isinstance(item, dict) for item in value)


def _diagnostic_in_last(path: Path, problem: str, hint: str, diagnostics: Diagnostics) -> None:
    """Record an error in the file that was read last."""
    last = diagnostics.sources[-1]
    diagnostics.add_located(Diagnostic(last.file, last.line(path), key_text(path), problem, hint, path=path))
