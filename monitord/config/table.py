"""Typed getters of a table of the configuration.

A getter does not raise: an invalid value is recorded as an error and the default is returned, so that all errors are
reported together. Values may be used only after `Document.check` has passed.
"""

import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime
from enum import Enum
from typing import Concatenate, Final, ParamSpec, TypeVar, cast, overload

from monitord.config.access import ConfigAccess, access_hint
from monitord.config.diagnostics import Diagnostics
from monitord.config.secret import SECRET_SOURCES, SHORTEST_SECRET, SOURCE_HINT, Secret, SecretSources
from monitord.config.shared import SharedResults
from monitord.config.values import (
    as_flag,
    as_integer,
    as_moment,
    as_number,
    as_one_of,
    as_text,
    check_name,
    within,
)
from monitord.config.wording import Path, key_text, subject_text, value_text
from monitord.errors import Diagnostic, InvalidValueError, problem_and_hint
from monitord.text import joined, nearest
from monitord.units import format_duration, format_size, parse_duration, parse_size

T = TypeVar("T")
D = TypeVar("D")
N = TypeVar("N", bound=None)
"""None if it is the default; otherwise a getter returns a value."""
E = TypeVar("E", bound=Enum)
P = ParamSpec("P")


class Required(Enum):
    """The default of a required key."""

    REQUIRED = "required"


REQUIRED: Final = Required.REQUIRED

_MANUAL_PAGES = {"monitors": "monitord-monitors(5)", "notifiers": "monitord-notifiers(5)"}
"""The manual pages of the options of single types, by section."""

_FOREIGN_KEYS: Final[Mapping[str, Sequence[str]]] = {
    "check_interval": ("check_every",),
    "frequency": ("check_every",),
    "interval": ("check_every", "refresh_every", "every"),
    "max_check_attempts": ("fail_after",),
    "max_retries": ("fail_after",),
    "mute_time_intervals": ("quiet_hours",),
    "notifier": ("notify",),
    "notifiers": ("notify",),
    "parents": ("depends_on",),
    "receiver": ("notify",),
    "receivers": ("notify",),
    "recipients": ("to",),
    "repeat_interval": ("repeat_every",),
    "retries": ("fail_after",),
    "retry_interval": ("retry_every",),
}
"""Keys of other monitoring programs, and the keys of the same meaning: the first that the table has is suggested."""


_RENAMED = {
    "bearer": "bearer_token",
    "calendar": "schedule",
    "client_certificate": "client_certificate_file",
    "client_key": "client_key_file",
    "crash": "on_crash",
    "days": "day_retention",
    "hosts": "allowed_hosts",
    "hours": "hour_retention",
    "max_body": "max_body_size",
    "max_concurrent_children": "max_concurrent_processes",
    "max_header": "max_header_size",
    "max_notifications": "max_notifications_per_message",
    "max_per_minute": "max_messages_per_minute",
    "min_tls": "min_tls_version",
    "minutes": "minute_retention",
    "results": "result_retention",
    "user": "username",
}
"""Previous names of keys. The hint for an unknown key names the current key, if the table has it."""


class Table:
    """One table, and the table whose keys it inherits (`over`): a monitor inherits `[defaults]`.

    A key is known once a getter has been called for it; `finish()` reports the other keys as unknown.
    """

    __slots__ = (
        "_children",
        "_diagnostics",
        "_inherited",
        "_is_open",
        "_known",
        "_path",
        "_secrets",
        "_shared",
        "_values",
    )

    def __init__(
        self,
        values: Mapping[str, object],
        diagnostics: Diagnostics,
        secrets: SecretSources,
        *,
        path: Path = (),
        over: "Table | None" = None,
        shared: SharedResults | None = None,
    ) -> None:
        self._values = values
        self._diagnostics = diagnostics
        self._secrets = secrets
        self._path = path
        self._inherited = over
        self._known: set[str] = set()
        self._children: dict[str, list[Table]] = {}
        self._is_open = False
        self._shared = shared

    @property
    def name(self) -> str:
        """The key of the table itself: "shop" for [monitors.shop]."""
        return str(self._path[-1]) if self._path else ""

    def __contains__(self, key: str) -> bool:
        """Return whether this table itself has the key, not an inherited table."""
        return key in self._values

    def __repr__(self) -> str:
        return f"<Table {key_text(self._path)}>"

    def raw(self, key: str) -> object:
        """Return the unchecked value of the key, of this table or the nearest inherited one; None if it is missing."""
        entry = self.look_up(key)
        return None if entry is None else entry[1]

    def raw_table(self, key: str) -> Mapping[str, object]:
        """Return the unchecked values of an inner table; none if the key is missing, or its value is not a table."""
        value = self.raw(key)
        return value if isinstance(value, dict) else {}

    def look_up(self, key: str) -> tuple[Path, object] | None:
        """Return the path and the unchecked value of the key, of this table or the nearest inherited one."""
        self._known.add(key)
        inherited = None if self._inherited is None else self._inherited.look_up(key)
        return ((*self._path, key), self._values[key]) if key in self._values else inherited

    def reuse(self, read: Callable[Concatenate["Table", P], T], *context: P.args, **no_names: P.kwargs) -> T:
        """Return `read(self, *context)`, or its result for another table with the same values at the keys it reads.

        `read` has to be a function of a module or a class, must look up each key that it uses by a getter, and its
        result must not be changed afterwards. The result is reused only among tables of one `SharedResults`.
        """
        shared = self._shared
        if shared is None:
            return read(self, *context, **no_names)
        cached = shared.find(read, context, self._values)
        if cached is not None:
            self._known |= cached.keys
            return cast("T", cached.result)
        before, self._known = self._known, set()
        try:
            result = read(self, *context, **no_names)
        finally:
            keys, self._known = frozenset(self._known), self._known | before
        shared.add(read, context, keys, self._values, result)
        return result

    # One value

    def text(self, key: str, *, default: str | Required | N = REQUIRED) -> str | N:
        return self._get(key, as_text, default, "", example='"…"')

    def duration(
        self,
        key: str,
        *,
        default: float | Required | N = REQUIRED,
        minimum: float = 0.0,
        maximum: float = math.inf,
        example: str = "30s",
    ) -> float | N:
        """Return seconds. The error of a missing key shows `example`."""

        def convert(value: object) -> float:
            return within(parse_duration(value), minimum, maximum, format_duration)

        return self._get(key, convert, default, 1.0, example=value_text(example))

    def size(
        self,
        key: str,
        *,
        default: int | Required | N = REQUIRED,
        minimum: int = 0,
        maximum: int | None = None,
    ) -> int | N:
        """Return bytes."""

        def convert(value: object) -> int:
            return within(parse_size(value), minimum, maximum, format_size)

        return self._get(key, convert, default, 1, example='"1MiB"')

    def integer(
        self,
        key: str,
        *,
        default: int | Required | N = REQUIRED,
        minimum: int | None = None,
        maximum: int | None = None,
    ) -> int | N:
        def convert(value: object) -> int:
            return within(as_integer(value), minimum, maximum, str)

        return self._get(key, convert, default, 1, example="1")

    def number(
        self,
        key: str,
        *,
        default: float | Required | N = REQUIRED,
        minimum: float | None = None,
        maximum: float | None = None,
        example: str = "1.0",
    ) -> float | N:
        def convert(value: object) -> float:
            return within(as_number(value), minimum, maximum, "{:g}".format)

        return self._get(key, convert, default, 1.0, example=example)

    def flag(self, key: str, *, default: bool | Required | N = REQUIRED) -> bool | N:
        return self._get(key, as_flag, default, False, example="true")

    def moment(self, key: str) -> datetime | None:
        """Return a TOML date-time in UTC, None if the key is missing or invalid."""
        entry = self.look_up(key)
        return None if entry is None else self._convert(*entry, as_moment, None)

    @overload
    def choice(self, key: str, options: type[E], *, default: E | Required = ...) -> E: ...
    @overload
    def choice(self, key: str, options: type[E], *, default: None) -> E | None: ...
    @overload
    def choice(self, key: str, options: Sequence[T], *, default: T | Required = ...) -> T: ...
    def choice(self, key: str, options: type[E] | Sequence[T], *, default: object = REQUIRED) -> object:
        """Return the member of an enum whose value is configured, or one of the given values."""
        entry = self.look_up(key)
        if entry is None and not isinstance(default, Required):
            return default
        written: dict[object, object] = (
            {member.value: member for member in options}
            if isinstance(options, type)
            else {option: option for option in options}
        )

        first = next(iter(written))
        example = value_text(first) if isinstance(default, Required) else ""  # only a missing key shows it
        return self._get(
            key, lambda value: as_one_of(value, written), default, written[first], example=example
        )

    def secret(self, key: str, *, default: Secret | Required | N = REQUIRED) -> Secret | N:
        """Return a text or the text from { credential = … }, { file = … } or { env = … }. Errors never show it."""
        secret = self._get(
            key, self._secrets.secret, default, Secret(""), example='{ credential = "…" }', hidden=True
        )
        if isinstance(secret, Secret) and 0 < len(secret.reveal().strip()) < SHORTEST_SECRET:
            self.warn(
                key,
                f"is shorter than {SHORTEST_SECRET} characters, so it is not masked in responses that repeat it",
                "choose a longer secret",
            )
        if (entry := self.look_up(key)) is not None:
            self._warn_about_missing_file(*entry)
        return secret

    def value(self, key: str, parse: Callable[[str], T], *, default: D, required: bool = False) -> T | D:
        """Return the result of `parse` for a text; an InvalidValueError that it raises is recorded.

        The default is returned if the key is missing or invalid. With `required` a missing key is an error.
        """
        entry = self.look_up(key)
        if entry is None:
            if required:
                self._missing(key, '"…"')
            return default
        path, value = entry
        return self._convert(path, value, lambda text: parse(as_text(text)), default)

    def text_or_source(
        self, key: str, parse: Callable[[str], T], *, default: D, required: bool = False
    ) -> T | D:
        """Return the result of `parse` for a text, or for the text from { credential = … }, { file = … } or
        { env = … }: see `value`. It is not masked.

        The default is returned for a text that this process cannot read, as in a check of the configuration.
        """
        entry = self.look_up(key)
        if entry is None or not isinstance(entry[1], dict):
            return self.value(key, parse, default=default, required=required)
        self._warn_about_missing_file(*entry)

        def convert(value: object) -> T | D:
            if not isinstance(value, dict) or len(value) != 1 or not value.keys() <= set(SECRET_SOURCES):
                raise InvalidValueError("is not a string", SOURCE_HINT)
            text = self._secrets.secret(value).reveal().strip()
            return parse(text) if text else default

        # `hidden`: the source of the text is shown in its error, if there is any.
        return self._convert(*entry, convert, default, hidden=True)

    # Several values

    def texts(self, key: str, *, default: Sequence[str] | Required = REQUIRED) -> tuple[str, ...]:
        return self.values(key, str, default=default)

    def values(
        self, key: str, parse: Callable[[str], T], *, default: Sequence[T] | Required = REQUIRED
    ) -> tuple[T, ...]:
        """Return the results of `parse` for a list of strings. Errors name the element."""
        entry = self.look_up(key)
        if entry is None:
            if default is REQUIRED:
                self._missing(key, '["…"]')
                return ()
            return tuple(default)
        path, value = entry
        if not isinstance(value, list):
            shown = subject_text(path, value)
            fix = f"write [{shown.strip()}]" if isinstance(value, str) and shown else 'write ["…"]'
            self._diagnostics.reject(path, f"{shown}is not a list", fix)
            return () if default is REQUIRED else tuple(default)
        parsed = [
            self._convert((*path, index), item, lambda text: parse(as_text(text)), None)
            for index, item in enumerate(value)
        ]
        return tuple(cast("list[T]", [item for item in parsed if item is not None]))

    def one_or_more(self, key: str, parse: Callable[[str], T], *, default: Sequence[T]) -> tuple[T, ...]:
        """Return the results of `parse` for a text or a list of strings."""
        entry = self.look_up(key)
        if entry is None or isinstance(entry[1], list):
            return self.values(key, parse, default=default)
        only = self.value(key, parse, default=None)
        return tuple(default) if only is None else (only,)

    def mapping(self, key: str, *, default: Mapping[str, str] | Required = REQUIRED) -> Mapping[str, str]:
        """Return a table of strings with arbitrary keys."""
        return self._mapping(key, as_text, default, hidden=False)

    def secrets(
        self, key: str, *, default: Mapping[str, Secret] | Required = REQUIRED
    ) -> Mapping[str, Secret]:
        """Return a table of secrets with arbitrary keys, such as headers: see `secret`."""
        secrets = self._mapping(key, self._secrets.secret, default, hidden=True)
        entry = self.look_up(key)
        if entry is not None and isinstance(entry[1], dict):
            for name, value in entry[1].items():
                self._warn_about_missing_file((*entry[0], name), value)
        return secrets

    def secret_list(self, key: str) -> tuple[Secret, ...]:
        """Return the secrets of a required list, which is not empty, or a single one: see `secret`."""
        entry = self.look_up(key)
        if entry is None or not isinstance(entry[1], list):
            secret = self.secret(key)
            return () if entry is None else (secret,)
        path, value = entry[0], cast("list[object]", entry[1])
        if not value:
            self._diagnostics.reject(path, "is empty", f"write {key_text((key,))} = [{{ credential = … }}]")
        parsed = [
            self._convert((*path, index), item, self._secrets.secret, None, hidden=True)
            for index, item in enumerate(value)
        ]
        return tuple(secret for secret in parsed if secret is not None)

    def _mapping(
        self, key: str, convert: Callable[[object], T], default: Mapping[str, T] | Required, *, hidden: bool
    ) -> Mapping[str, T]:
        entry = self.look_up(key)
        if entry is None:
            if default is REQUIRED:
                self._missing(key, "{ … }")
                return {}
            return default
        path, value = entry
        if not isinstance(value, dict):
            self._not_a_table(path, value, hidden=hidden)
            return {} if default is REQUIRED else default
        parsed = {
            name: self._convert((*path, name), item, convert, None, hidden=hidden)
            for name, item in value.items()
        }
        return {name: item for name, item in parsed.items() if item is not None}

    # Inner tables

    def table(self, key: str, *, example: str = "{ … }") -> "Table":
        """Return the inner table, empty if there is none; it inherits that of the inherited table.

        The error for another value shows `example` if a header is not possible.
        """
        if key not in self._children:
            over = self._inherited.table(key) if self._inherited is not None else None
            self._children[key] = [self._child((key,), self._find_own(key, {}), over, example=example)]
        return self._children[key][0]

    def tables(self, key: str) -> list["Table"]:
        """Return an array of tables, [[KEY]]. It is not inherited."""
        if key not in self._children:
            value = self._find_own(key, [])
            if not isinstance(value, list):
                path = (*self._path, key)
                fix = f"write it as [[{key_text(path)}]]"
                self._diagnostics.reject(path, f"{subject_text(path, value)}is not an array of tables", fix)
                value = []
            self._children[key] = [self._child((key, index), item, None) for index, item in enumerate(value)]
        return self._children[key]

    def named(self, key: str, *, over: "Table | None" = None) -> dict[str, "Table"]:
        """Return the tables [KEY.NAME] by name, each inheriting `over`. An invalid name is recorded as an error."""
        return self.table(key).members(over=over)

    def members(self, *, over: "Table | None" = None) -> dict[str, "Table"]:
        """Return the inner tables by name: see `named`."""
        for name, value in self._values.items():
            if name not in self._children:
                self._known.add(name)
                self._children[name] = [self._child((name,), value, over)]
                try:
                    check_name(name)
                except ValueError as error:
                    problem, hint = problem_and_hint(error)
                    self._diagnostics.add((*self._path, name), f"{value_text(name)} {problem}", hint)
        return {name: self._children[name][0] for name in self._values}

    def member(self, name: str, *, over: "Table | None", shared: SharedResults | None = None) -> "Table":
        """Return the inner table of this name, which inherits `over`, regardless of the characters in the name.

        `shared`: see `reuse`.
        """
        self._children[name] = [self._child((name,), self._find_own(name, {}), over, shared)]
        return self._children[name][0]

    def inner(self) -> dict[str, "Table"]:
        """Return the inner tables by name, whose names are checked by the caller: patterns, for example."""
        return {name: self.table(name) for name in self._values}

    @property
    def written(self) -> Mapping[str, object]:
        """The values of this table itself, as they were parsed."""
        return self._values

    # Errors that the caller finds

    def error(self, key: str, problem: str, hint: str = "") -> None:
        """Record an error. Key "" means the table itself.

        Ignored if the value of the key has been rejected: the error would be a consequence of that.
        """
        if not key:
            self._diagnostics.add(self._path, problem, hint)
            return
        entry = self.look_up(key)
        self._diagnostics.add(entry[0] if entry else (*self._path, key), problem, hint)

    def add_errors(self, diagnostics: Iterable[Diagnostic], depth: int) -> None:
        """Record errors of values of this table that another document has found, `depth` keys below its root."""
        for diagnostic in diagnostics:
            self._diagnostics.add(
                (*self._path, *diagnostic.path[depth:]), diagnostic.problem, diagnostic.hint
            )

    def outdated(self, key: str, problem: str, hint: str) -> None:
        """Record an outdated value: a warning while the daemon starts, which it must not prevent, else an error."""
        if self._diagnostics.is_start:
            self.warn(key, problem, hint)
        else:
            self.error(key, problem, hint)

    def warn(self, key: str, problem: str, hint: str = "") -> None:
        """Record a warning: valid, but does not work on this host. Key "" means the table itself."""
        entry = self.look_up(key) if key else None
        path = (*self._path, key) if key else self._path
        self._diagnostics.warn(entry[0] if entry else path, problem, hint)

    @property
    def is_read_by_other_user(self) -> bool:
        """Whether the permissions of this process may differ from those of the daemon."""
        return self._diagnostics.access is ConfigAccess.OTHER_USER

    def unreadable(self, key: str, file: str) -> None:
        """Record that this process cannot read the file named at the key: an error if that holds for the service."""
        if self._diagnostics.access is not ConfigAccess.OTHER_USER:
            self.error(
                key, f"{file} cannot be read: Permission denied", access_hint(file, self._diagnostics.access)
            )

    def dotted_name(self, marks: Collection[str]) -> str | None:
        """Return the name that was meant by a header such as [monitors.www.example.org], which TOML nests.

        None if the table has other keys, or if the innermost table has none of `marks`, such as a lone
        [monitors.www.headers].
        """
        parts, values = [str(self._path[-1])], self._values
        while values and all(isinstance(value, dict) for value in values.values()):
            part, inner = next(iter(values.items()))
            parts.append(part)
            values = cast("Mapping[str, object]", inner)
        return ".".join(parts) if len(parts) > 1 and not values.keys().isdisjoint(marks) else None

    def ignore_others(self) -> None:
        """Do not report unknown keys: the caller cannot read this table and has recorded why."""
        self._is_open = True

    def finish(self) -> None:
        """Report keys that no getter has read, here and in inner tables, as unknown. A second call has no effect."""
        # Called early for each of many monitors: the known keys of a table take 2 KiB.
        for children in self._children.values():
            for child in children:
                child.finish()
        if self._is_open:
            return
        for key in self._values:
            if key not in self._known:
                self._diagnostics.add((*self._path, key), *self._unknown(key))
        self._is_open = True
        self._known = set()

    # Within

    def _warn_about_missing_file(self, path: Path, value: object) -> None:
        if (file := self._secrets.missing_file(value)) is not None:
            self._diagnostics.warn(path, f"the file {file} does not exist", "create it, or correct the path")

    def _unknown(self, key: str) -> tuple[str, str]:
        """Return the problem of an unknown key, and a hint."""
        is_section = not self._path and isinstance(self._values[key], dict | list)
        problem = "unknown section" if is_section else "unknown key"
        if (renamed := _RENAMED.get(key)) in self._known:
            return problem, f'it is now named "{renamed}"'
        near = next((name for name in _FOREIGN_KEYS.get(key, ()) if name in self._known), None)
        if near := near or nearest(key, self._known):
            return problem, f'did you mean "{near}"?'
        if not self._path:
            return problem, f"the sections are {joined(sorted(self._known))}"
        page = _MANUAL_PAGES.get(str(self._path[0]))
        return problem, f"remove it, or see {f'{page} and ' if page else ''}monitord.toml(5)"

    def _find_own(self, key: str, default: object) -> object:
        self._known.add(key)
        return self._values.get(key, default)

    def _child(
        self,
        below: Path,
        value: object,
        over: "Table | None",
        shared: SharedResults | None = None,
        *,
        example: str = "{ … }",
    ) -> "Table":
        path = (*self._path, *below)
        if isinstance(value, dict):
            return Table(value, self._diagnostics, self._secrets, path=path, over=over, shared=shared)
        self._not_a_table(path, value, hidden=False, example=example)
        return Table({}, self._diagnostics, self._secrets, path=path, over=over)

    def _get(
        self,
        key: str,
        convert: Callable[[object], T],
        default: T | Required | D,
        placeholder: T,
        *,
        example: str,
        hidden: bool = False,
    ) -> T | D:
        # Most keys of most tables are missing: with 10,000 monitors, half a million.
        entry = self.look_up(key)
        if entry is None and not isinstance(default, Required):
            return default
        fallback = placeholder if isinstance(default, Required) else default
        if entry is None:
            self._missing(key, example)
            return fallback
        path, value = entry
        return self._convert(path, value, convert, fallback, hidden=hidden)

    def _convert(
        self, path: Path, value: object, convert: Callable[[object], T], fallback: D, *, hidden: bool = False
    ) -> T | D:
        try:
            return convert(value)
        except ValueError as error:
            problem, hint = problem_and_hint(error)
            self._diagnostics.reject(
                path, problem if hidden else f"{subject_text(path, value)}{problem}", hint
            )
            return fallback

    def _missing(self, key: str, example: str) -> None:
        # The key may be in an unreadable file, or the surrounding table has been rejected.
        if not self._diagnostics.has_unread_files and not self._diagnostics.is_within_rejected(self._path):
            self._diagnostics.reject((*self._path, key), "missing", f"add {key_text((key,))} = {example}")

    def _not_a_table(self, path: Path, value: object, *, hidden: bool, example: str = "{ … }") -> None:
        shown = "" if hidden else subject_text(path, value)
        if isinstance(path[-1], int):
            fix = "write { … }"
        elif any(isinstance(part, int) for part in path):
            # A header cannot contain an index: it would be that of the last table of the array.
            fix = f"write {key_text(path[-1:])} = {example}"
        else:
            fix = f"write it as [{key_text(path)}]"
        self._diagnostics.reject(path, f"{shown}is not a table", fix)
