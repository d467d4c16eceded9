"""Parameters of requests. Each is declared once, for its reader and for the OpenAPI document.

A reader receives text and raises InvalidValueError, as in the configuration. A response contains all errors of a
request; an unknown parameter is an error that names the nearest known one.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Generic, TypeVar, cast

from monitord.errors import InvalidValueError, problem_and_hint
from monitord.model import Json
from monitord.status.access.problems import BadInput, InputError
from monitord.text import did_you_mean
from monitord.units import parse_duration
from monitord.web import Request

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


# The handlers accept every text that a pattern accepts, so that the document is exact. The patterns limit digits
# instead of sums: the longest duration is below the 100 years of `parse_duration`.
DURATION = (
    r"(?=[0-9])(?:[0-9]{1,3}w)?(?:[0-9]{1,4}d)?(?:[0-9]{1,5}h)?(?:[0-9]{1,6}m)?(?:[0-9]{1,8}s)?(?:[0-9]{1,9}ms)?"
    r"|[0-9]{1,3}\.[0-9]{1,6}(?:ms|s|m|h|d|w)"
)
"""Units in descending order, or a single number with a fraction."""

SECONDS = r"[0-9]{1,9}(?:\.[0-9]{1,6})?"

_LEAP_YEAR = r"(?:[0-9]{2}(?:0[48]|[2468][048]|[13579][26])|(?:[02468][048]|[13579][26])00)"
_DAY_OF_YEAR = (
    r"(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)"
    r"|02-(?:0[1-9]|1[0-9]|2[0-8]))"
)
MOMENT = (
    rf"(?=19[789][0-9]|[2-8][0-9]{{3}}|9[0-8][0-9]{{2}})(?:[0-9]{{4}}-{_DAY_OF_YEAR}|{_LEAP_YEAR}-02-29)"
    r"[T ](?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\.[0-9]{1,9})?"
    r"(?:Z|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])"
)
"""RFC 3339, from 1970 to 9899."""

LONGEST_SILENCE_S = 366 * 86400

EXIT_STATUS: Json = {"type": "string", "pattern": "^0{0,17}([01]?[0-9]{1,2}|2[0-4][0-9]|25[0-5])$"}

MOMENT_SCHEMA: Json = {"type": "string", "pattern": f"^(?:{MOMENT})$"}
AGE_OR_MOMENT_SCHEMA: Json = {"type": "string", "pattern": f"^(?:-(?:{DURATION}|{SECONDS})|{MOMENT})$"}
DURATION_SCHEMA: Json = {"type": "string", "pattern": f"^(?:{DURATION}|{SECONDS})$"}

MAX_ERRORS = 20
"""Unknown parameters in a response: a client can send thousands."""

MAX_VALUES = 100
"""Values of a parameter that can be repeated."""


@dataclass(frozen=True, slots=True)
class QueryParameter(Generic[T_co]):
    """`read` receives all values of the parameter, at least one. `default`: without a value."""

    name: str
    description: str
    read: Callable[[Sequence[str]], T_co]
    default: T_co
    schema: Json


class QueryValues:
    """The value of each parameter, or its default."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = values

    def __getitem__(self, parameter: QueryParameter[T]) -> T:
        # The value under its name comes from `parameter.read` or is its default.
        return cast(T, self._values[parameter.name])


def read_query(request: Request, parameters: Sequence[QueryParameter[Any]]) -> QueryValues:
    """Read the query of a request. Raises BadInput with all errors."""
    known = {parameter.name for parameter in parameters}
    unknown = [name for name in dict.fromkeys(request.query) if name not in known]
    allowed = f"allowed are: {', '.join(sorted(known)) or 'none'}"
    errors = [
        InputError(name, "unknown parameter", did_you_mean(name, known) or allowed)
        for name in unknown[:MAX_ERRORS]
    ]
    values: dict[str, Any] = {}
    for parameter in parameters:
        values[parameter.name] = parameter.default
        texts = request.query.getall(parameter.name, ())
        if not texts:
            continue
        try:
            values[parameter.name] = parameter.read(texts)
        except ValueError as error:
            problem, hint = problem_and_hint(error)
            errors.append(InputError(parameter.name, f'"{texts[-1]}" {problem}', hint))
    if errors:
        raise BadInput(errors)
    return QueryValues(values)


# -- readers -------------------------------------------------------------------------------------


def whole_number(minimum: int, maximum: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        if not re.fullmatch(r"[0-9]{1,9}", text) or not minimum <= int(text) <= maximum:
            raise InvalidValueError(f"is not a number from {minimum} to {maximum}", "write it in digits")
        return int(text)

    return read


def flag(text: str) -> bool:
    if text not in {"0", "1"}:
        raise InvalidValueError("is neither 0 nor 1", "write 1 for yes, 0 for no")
    return text == "1"


def moment(text: str) -> datetime | timedelta:
    """Read a time in RFC 3339, or an age such as "-24h"."""
    if text.startswith("-"):
        if re.fullmatch(f"{DURATION}|{SECONDS}", text[1:]) is None:
            raise InvalidValueError("is not a time", 'write "-24h" for a day ago, or RFC 3339')
        return timedelta(seconds=parse_duration(text[1:]))
    # A plus sign in a query is decoded as a space; before an offset, it must have been a plus sign.
    written = re.sub(r" (?=\d\d:\d\d$)", "+", text)
    if re.fullmatch(MOMENT, written) is None:
        if re.match(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T", written) and re.fullmatch(MOMENT, f"2000{written[4:]}"):
            raise InvalidValueError("is out of range", "write a year from 1970 to 9899")
        if re.fullmatch(MOMENT, f"{written}Z"):
            raise InvalidValueError("has no time zone", f'write "{text}Z" for UTC')
        raise InvalidValueError("is not a time", 'write RFC 3339 such as "2026-01-31T12:00:00Z", or "-24h"')
    return datetime.fromisoformat(written).astimezone(UTC)


def at(when: datetime | timedelta, now: datetime) -> datetime:
    """The time, or the time of an age."""
    try:
        return now - when if isinstance(when, timedelta) else when
    except OverflowError:
        return datetime.min.replace(tzinfo=UTC)


def duration(text: str) -> float:
    """Seconds."""
    if re.fullmatch(f"{DURATION}|{SECONDS}", text) is None:
        parse_duration(text)  # raises an error with a more precise hint for most texts
        raise InvalidValueError("is not a valid duration", 'write a duration such as "5m" or "1h30m"')
    return parse_duration(text)


def choice(options: Sequence[str]) -> Callable[[str], str]:
    def read(text: str) -> str:
        if text not in options:
            raise InvalidValueError("is not a known value", f"write one of: {', '.join(options)}")
        return text

    return read


def nonempty(text: str) -> str:
    """Any text that is not empty."""
    if not text:
        raise InvalidValueError("is empty", "write a value, or remove the parameter")
    return text


# -- parameters ---------------------------------------------------------------------------------------------


def single(
    name: str, read: Callable[[str], T], default: T, schema: Json, description: str
) -> QueryParameter[T]:
    """A parameter with at most one value."""

    def read_single(texts: Sequence[str]) -> T:
        if len(texts) > 1:
            raise InvalidValueError("is given more than once", "write it once")
        return read(texts[0])

    return QueryParameter(name, description, read_single, default, schema)


def repeated(
    name: str, read: Callable[[str], str], schema: Json, description: str
) -> QueryParameter[tuple[str, ...]]:
    """A parameter that can be repeated."""

    def read_all(texts: Sequence[str]) -> tuple[str, ...]:
        if len(texts) > MAX_VALUES:
            raise InvalidValueError(f"is given more than {MAX_VALUES} times", "write fewer values")
        return tuple(map(read, texts))

    return QueryParameter(
        name,
        description,
        read_all,
        (),
        {"type": "array", "items": schema, "maxItems": MAX_VALUES, "default": []},
    )
