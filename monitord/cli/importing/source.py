"""Reading of the files to import, with limits. Typed getters report the path of an invalid value.

A source comes from other programs and hosts. Its size, the depth of its nesting and the number of its values are
limited before a library builds objects from it. A value of a wrong type raises FieldError with its path, never
TypeError or AttributeError.
"""

import contextlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

from monitord.errors import ControlError
from monitord.text import plain, shortened

MAX_FILES = 500
MAX_SOURCE_BYTES = 16 << 20
MAX_YAML_BYTES = 2 << 20
MAX_YAML_VALUES = 200_000
"""Scalars, lists and mappings, each counted as often as an alias repeats it."""
MAX_YAML_DEPTH = 50
MAX_TEXT_CHARACTERS = 100_000
"""Limit for a single value, such as a request body."""

DATABASE_HEADER = b"SQLite format 3\0"


class SourceError(ControlError):
    """A file cannot be read, or is not in the format. The message names the file."""


class FieldError(ValueError):
    """A value is invalid, or has no counterpart in monitord."""


@dataclass(frozen=True, slots=True)
class ImportSource:
    """A file. `text` is empty for a SQLite database, which is not read into memory."""

    path: Path
    text: str
    is_database: bool = False

    @property
    def name(self) -> str:
        return plain(str(self.path))


def read_sources(paths: Sequence[str]) -> list[ImportSource]:
    """Read the files. Raises SourceError for the first that cannot be read."""
    if len(paths) > MAX_FILES:
        raise SourceError(f"{len(paths)} files are too many", hint=f"import at most {MAX_FILES} at a time")
    return [_read(Path(path)) for path in paths]


def _read(path: Path) -> ImportSource:
    try:
        with path.open("rb") as file:
            head = file.read(len(DATABASE_HEADER))
            if head == DATABASE_HEADER:
                if not path.is_file():  # SQLite would wait for another writer of a pipe
                    raise SourceError(f"{plain(str(path))}: a database cannot be read from a pipe")
                return ImportSource(path, "", is_database=True)
            content = head + file.read(MAX_SOURCE_BYTES + 1)
    except (OSError, ValueError) as error:  # a ValueError for a null character in the name
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        hint = "write the names of the files in it" if isinstance(error, IsADirectoryError) else ""
        raise SourceError(f"{plain(str(path))}: cannot be read: {reason}", hint=hint) from None
    if len(content) > MAX_SOURCE_BYTES:
        raise SourceError(f"{plain(str(path))}: is larger than {MAX_SOURCE_BYTES >> 20} MiB")
    try:
        return ImportSource(path, content.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise SourceError(
            f"{plain(str(path))}: is not UTF-8 text at byte {error.start}", hint="convert it with iconv"
        ) from None


@contextlib.contextmanager
def naming_file(source: ImportSource) -> Iterator[None]:
    """Turn a ValueError, such as a FieldError, into a SourceError that names the file."""
    try:
        yield
    except ValueError as error:
        raise SourceError(f"{source.name}: {error}") from None


def json_of(source: ImportSource) -> object:
    """Parse a JSON file. Raises SourceError."""
    try:
        return json.loads(source.text)
    except json.JSONDecodeError as error:
        raise SourceError(f"{source.name}:{error.lineno}: is not JSON: {error.msg}") from None
    except RecursionError:
        raise SourceError(f"{source.name}: is nested too deeply") from None
    except ValueError as error:  # a number with thousands of digits
        raise SourceError(f"{source.name}: is not JSON: {error}") from None


def yaml_of(source: ImportSource) -> list[object]:
    """Return the documents of a YAML file. Raises SourceError if it cannot be read, or if the library is missing."""
    try:
        yaml: Any = import_module("yaml")
    except ImportError:
        raise SourceError(
            "YAML files need the package python3-yaml", hint="run: apt install python3-yaml"
        ) from None
    if len(source.text) > MAX_YAML_BYTES:
        raise SourceError(f"{source.name}: is larger than {MAX_YAML_BYTES >> 20} MiB")
    # The parser in C, where the library has it: the other needs seconds for a megabyte.
    fast = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        _check_size_of_yaml(yaml, yaml.parse(source.text, Loader=fast), source.name)
        return list(yaml.load_all(source.text, Loader=fast))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f"{source.name}:{mark.line + 1}" if mark is not None else source.name
        problem = getattr(error, "problem", None) or str(error)
        raise SourceError(f"{place}: is not YAML: {shortened(plain(problem), 200)}") from None
    except (ValueError, ArithmeticError, LookupError, RecursionError, TypeError, AttributeError) as error:
        # Of the constructors: a date such as 2024-99-99, a key that is a list, `!!bool x`.
        raise SourceError(f"{source.name}: is not YAML: {shortened(plain(str(error)), 200)}") from None


def _check_size_of_yaml(  # noqa: C901 - a case for each kind of event
    yaml: Any, events: Iterator[Any], name: str
) -> None:
    """Raise SourceError if the document is nested too deeply, or too large with its aliases expanded."""
    sizes: dict[str, int] = {}
    open_nodes: list[tuple[str | None, int]] = []
    total = 0
    for event in events:
        anchor: str | None = getattr(event, "anchor", None)
        if isinstance(event, yaml.AliasEvent):
            if anchor not in sizes:
                raise SourceError(f"{name}:{event.start_mark.line + 1}: an alias contains itself")
            total += sizes[anchor]
        elif isinstance(event, yaml.CollectionStartEvent):
            open_nodes.append((anchor, total))
            total += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            started, before = open_nodes.pop()
            if started is not None:
                sizes[started] = total - before
        elif isinstance(event, yaml.ScalarEvent):
            total += 1
            if anchor is not None:
                sizes[anchor] = 1
        if len(open_nodes) > MAX_YAML_DEPTH:
            raise SourceError(f"{name}:{event.start_mark.line + 1}: is nested too deeply")
        if total > MAX_YAML_VALUES:
            raise SourceError(f"{name}: has more than {MAX_YAML_VALUES} values")


@dataclass(slots=True)
class SourceField:
    """A value of a JSON or YAML document, and its path for messages. Getters raise FieldError for a wrong type.

    Read keys are recorded: `unread` lists the others.
    """

    value: object
    path: str = ""
    read: set[str] = field(default_factory=set)

    def __bool__(self) -> bool:
        return self.value is not None

    def get(self, key: str) -> "SourceField":
        """Return the value of a key; a field without value if the key or the mapping itself is missing."""
        self.read.add(key)
        if self.value is None:
            return SourceField(None, self._inner(key))
        if not isinstance(self.value, Mapping):
            raise FieldError(f"{self.path or 'the document'} is not a mapping")
        return SourceField(self.value.get(key), self._inner(key))

    def ignore(self, *keys: str) -> None:
        """Mark keys as known although they change nothing here."""
        self.read.update(keys)

    def _inner(self, key: str) -> str:
        return f"{self.path}.{plain(key)}" if self.path else plain(key)

    def unread(self) -> list[str]:
        """Return the keys that were neither read nor ignored, without keys that have no value."""
        if not isinstance(self.value, Mapping):
            return []
        return [
            plain(str(key))
            for key, value in self.value.items()
            if key not in self.read and value not in (None, "", [], {}, False)
        ]

    def text(self, default: str = "") -> str:
        """Return the text; the JSON text of a number or a boolean."""
        value = self.value
        if value is None:
            return default
        if isinstance(value, bool):
            value = "true" if value else "false"
        if isinstance(value, int | float):
            value = str(value)
        if not isinstance(value, str):
            raise FieldError(f"{self.path} is not a string")
        if len(value) > MAX_TEXT_CHARACTERS:
            raise FieldError(f"{self.path} has more than {MAX_TEXT_CHARACTERS} characters")
        return value

    def number(self, default: float = 0.0) -> float:
        value = self.value
        if value is None or value == "":
            return default
        if isinstance(value, str):
            try:
                value = float(value)
            except ValueError:
                raise FieldError(f"{self.path} is not a number") from None
        if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 1e12:  # noqa: PLR2004 - NaN as well
            raise FieldError(f"{self.path} is not a number")
        return float(value)

    def flag(self, *, default: bool = False) -> bool:
        """Return a value as a boolean; SQLite has 1 and 0."""
        if self.value is None:
            return default
        if isinstance(self.value, bool) or self.value in (0, 1):
            return bool(self.value)
        raise FieldError(f"{self.path} is not true or false")

    def items(self) -> list["SourceField"]:
        if self.value is None:
            return []
        if not isinstance(self.value, list):
            raise FieldError(f"{self.path} is not a list")
        return [SourceField(item, f"{self.path}[{index}]") for index, item in enumerate(self.value)]

    def texts(self) -> list[str]:
        """Return the items of a list of strings. A single string counts as a list with one item."""
        if isinstance(self.value, list):
            return [item.text() for item in self.items()]
        return [self.text()] if self else []

    def members(self) -> dict[str, "SourceField"]:
        if self.value is None:
            return {}
        if not isinstance(self.value, Mapping):
            raise FieldError(f"{self.path or 'the document'} is not a mapping")
        return {str(key): SourceField(value, self._inner(str(key))) for key, value in self.value.items()}

    def text_table(self) -> dict[str, str]:
        return {key: member.text() for key, member in self.members().items()}
