"""Options of the type `steps`: the requests in their order, and the values that are extracted from the responses."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import Enum

from monitord.conditions import Condition, JsonPath, parse_json_path
from monitord.conditions.pattern.matcher import Capture
from monitord.config import Secret, Table
from monitord.errors import InvalidValueError
from monitord.monitors.conditions import read_conditions
from monitord.monitors.http.response import VOCABULARY, absent_fields_of, header_name
from monitord.monitors.steps.references import NAME, REFERENCE, references, texts_of
from monitord.options.http import SECRET_NAME, HttpOptions, read_step_options
from monitord.text import joined, nearest

MAX_STEPS = 20
MAX_VALUES = 20
"""The limit of the values that a step extracts."""

_NAME_HINT = "write up to 32 letters, digits and _, without a digit first"
_AUTHORITY = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^/?#]*")
_COOKIE_NAME = re.compile(r"[^\x00-\x20\x7f;=,]{1,256}")
_SECRET_NAME = re.compile(SECRET_NAME.pattern + r"|csrf|xsrf|nonce|ticket|jwt|saml|bearer", re.IGNORECASE)
_SECRET_HEADERS = frozenset({"set-cookie", "authorization", "location"})


class ValueSource(Enum):
    """The part of a response from which a value is extracted."""

    JSON = "json"
    PATTERN = "pattern"
    HEADER = "header"
    COOKIE = "cookie"


@dataclass(frozen=True, slots=True)
class Extraction:
    """A value to extract. `argument`: the path, the text of a valid pattern, or the name of a header or cookie."""

    name: str
    source: ValueSource
    argument: JsonPath | str
    is_secret: bool


@dataclass(frozen=True, slots=True)
class StepOptions:
    """A request, the conditions on its response, and the values to extract.

    `verbatim`: texts of the request from a credential, file or variable, in which braces have no meaning.
    """

    name: str
    http: HttpOptions
    verbatim: tuple[Secret, ...] = ()
    extract: tuple[Extraction, ...] = ()
    up_when: tuple[Condition, ...] = ()

    @property
    def has_references(self) -> bool:
        """Whether the request depends on extracted values, or contains braces that are written twice."""
        return any(REFERENCE.search(text.reveal()) for _, text in texts_of(self.http, self.verbatim))

    @property
    def needs(self) -> frozenset[str]:
        """The fields of the response that the conditions and the extracted values use."""
        fields = {ValueSource.JSON: "json", ValueSource.PATTERN: "body"}
        extracted = {fields[value.source] for value in self.extract if value.source in fields}
        return frozenset(extracted).union(*(condition.needs for condition in self.up_when))


@dataclass(frozen=True, slots=True)
class StepsOptions:
    steps: tuple[StepOptions, ...]


def read_steps(table: Table) -> StepsOptions:
    tables = table.tables("steps")
    if not tables:
        table.error(
            "steps", "has no step", 'write [[monitors.NAME.steps]] with name = "…" and url = "https://…"'
        )
    if len(tables) > MAX_STEPS:
        table.error(
            "steps", f"has {len(tables)} steps, more than {MAX_STEPS}", "divide them between monitors"
        )
        for step in tables:
            step.ignore_others()
        return StepsOptions(())
    steps = [_read_step(step) for step in tables]
    _check_names(tables, steps)
    _check_references(tables, steps)
    return StepsOptions(tuple(steps))


def _read_step(table: Table) -> StepOptions:
    name = table.value("name", _name, default="", required=True)
    http = read_step_options(table)
    verbatim = tuple(_verbatim(table))
    # A text with a reference is not a secret itself. Only the texts of the expanded request are.
    hidden = tuple(
        value for value in http.hidden if value in verbatim or not REFERENCE.search(value.reveal())
    )
    extract = tuple(_read_extractions(table))
    step = StepOptions(
        name=name,
        http=replace(http, hidden=hidden),
        verbatim=verbatim,
        extract=extract,
        up_when=read_conditions(table, "up_when", VOCABULARY, absent_fields_of(http)),
    )
    reads_body = any(value.source in {ValueSource.JSON, ValueSource.PATTERN} for value in extract)
    if reads_body and http.method == "HEAD":
        table.error(
            "extract", "reads the body, which a response to HEAD does not have", 'write method = "GET"'
        )
    elif reads_body and not http.read_body:
        table.error("extract", "reads the body, which read_body = false ignores", "remove read_body")
    authority = _AUTHORITY.match(http.url.reveal())
    if authority is not None and http.url not in verbatim and any(references(authority[0])):
        table.error(
            "url",
            "refers to a value before the path",
            "write the host as text, so that no response can change it",
        )
    return step


def _verbatim(table: Table) -> Iterator[Secret]:
    """Yield the texts that are not written in the configuration itself."""
    for key in ("url", "bearer_token", "body"):
        if isinstance(table.raw(key), dict):
            yield table.secret(key)
    for key in ("headers", "form"):
        written = table.raw_table(key)
        for name, value in table.secrets(key, default={}).items():
            if isinstance(written.get(name), dict):
                yield value


def _read_extractions(table: Table) -> Iterator[Extraction]:
    extract, written = table.table("extract"), table.raw_table("extract")
    if len(written) > MAX_VALUES:
        table.error(
            "extract", f"has {len(written)} values, more than {MAX_VALUES}", "divide them between steps"
        )
    for name, value in written.items():
        if not NAME.fullmatch(name):
            extract.error(name, "is not the name of a value", _NAME_HINT)
            if isinstance(value, dict):
                extract.table(name).ignore_others()
            continue
        if not isinstance(value, dict):
            extract.error(name, "is not a table", 'write { json = "$.name" }, or pattern, header or cookie')
        elif (extraction := _read_extraction(name, extract.table(name))) is not None:
            yield extraction


def _read_extraction(name: str, table: Table) -> Extraction | None:
    arguments: dict[ValueSource, JsonPath | str | None] = {
        ValueSource.JSON: table.value("json", parse_json_path, default=None),
        ValueSource.PATTERN: table.value("pattern", _pattern, default=None),
        ValueSource.HEADER: table.value("header", _header_name, default=None),
        ValueSource.COOKIE: table.value("cookie", _cookie_name, default=None),
    }
    is_secret = table.flag("secret", default=None)
    sources = [source for source in ValueSource if source.value in table]
    if len(sources) != 1:
        keys = joined([source.value for source in ValueSource], "or")
        table.error(
            "", "has no source" if not sources else "has more than one source", f"write one of {keys}"
        )
        return None
    (source,) = sources
    argument = arguments[source]
    if argument is None:
        return None
    if is_secret is None:
        is_secret = source is ValueSource.COOKIE or bool(_SECRET_NAME.search(f"{name} {argument}"))
        is_secret = is_secret or (source is ValueSource.HEADER and str(argument).lower() in _SECRET_HEADERS)
    return Extraction(name, source, argument, is_secret)


def _name(text: str) -> str:
    if not NAME.fullmatch(text):
        raise InvalidValueError("is not the name of a step", _NAME_HINT)
    return text


def _pattern(text: str) -> str:
    Capture(text)
    return text


def _header_name(text: str) -> str:
    try:
        return header_name(text)
    except InvalidValueError as error:
        raise InvalidValueError(error.problem, "write the name alone, without a colon and a value") from None


def _cookie_name(text: str) -> str:
    if not _COOKIE_NAME.fullmatch(text):
        raise InvalidValueError("is not the name of a cookie", "write the part before the = of the cookie")
    return text


def _check_names(tables: list[Table], steps: list[StepOptions]) -> None:
    """Report a name that two steps have, and a value that two steps extract."""
    names: set[str] = set()
    extracted: dict[str, str] = {}
    for table, step in zip(tables, steps, strict=True):
        if step.name and step.name in names:
            table.error("name", f"{step.name} is the name of two steps", "choose another name")
        names.add(step.name)
        for value in step.extract:
            if value.name in extracted:
                table.table("extract").error(
                    value.name, f"is also extracted by step {extracted[value.name]}", "choose another name"
                )
            extracted[value.name] = step.name


def _check_references(tables: list[Table], steps: list[StepOptions]) -> None:
    """Report references to values that no earlier step extracts."""
    extracted_by = {value.name: step.name for step in reversed(steps) for value in step.extract}
    known: set[str] = set()
    for table, step in zip(tables, steps, strict=True):
        for key, text in texts_of(step.http, step.verbatim):
            for name in dict.fromkeys(references(text.reveal())):
                if name in known:
                    continue
                if name not in extracted_by:
                    near = nearest(name, known)
                    instead = f"write {{{near}}}" if near else "extract it in an earlier step"
                    problem, hint = (
                        "which no step extracts",
                        f"{instead}, or write {{{{{name}}}}} for these characters",
                    )
                else:
                    later = extracted_by[name]
                    is_own = later == step.name
                    whose = "the response to this step" if is_own else f"step {later}, which runs later"
                    problem, hint = f"which is extracted from {whose}", "change the order of the steps"
                table.error(key, f"refers to {{{name}}}, {problem}", hint)
        known.update(value.name for value in step.extract)
