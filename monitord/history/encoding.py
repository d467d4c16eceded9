"""The encoding of enums, times, lists of integers and texts in columns.

Verdicts and states have fixed numbers, which never change their meaning. New reasons are added in each version, so
these are stored by name, in a table of their own.
"""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from monitord.model import State, Verdict

VERDICTS = (Verdict.PASS, Verdict.WARN, Verdict.FAIL, Verdict.INCONCLUSIVE)
STATES = (
    State.PENDING,
    State.UP,
    State.DEGRADED,
    State.DOWN,
    State.UNREACHABLE,
    State.UNKNOWN,
    State.PAUSED,
)
VERDICT_CODES = {verdict: code for code, verdict in enumerate(VERDICTS)}
STATE_CODES = {health: code for code, health in enumerate(STATES)}

FAIL_CODE = VERDICT_CODES[Verdict.FAIL]

PHASES = ("resolve", "connect", "tls", "processing", "transfer")
"""The phases in the order in which their times are stored."""

_VERDICT_BITS = 0b11
_STATE_SHIFT = 2
_STATE_BITS = 0b111
_HAS_RESPONSE = 1 << 5

IN_MAINTENANCE = 1 << 4
"""A bit in addition to the number of a state, in spans."""

_LOW = 0x7F
_MORE = 0x80

MAX_TEXT_CHARACTERS = 1000
"""Limit for a detail or a comment; the rest is not stored."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MS = timedelta(milliseconds=1)


def pack_outcome(verdict: int, state: int, *, has_response: bool) -> int:
    return verdict | state << _STATE_SHIFT | (_HAS_RESPONSE if has_response else 0)


def verdict_code_of(outcome: int) -> int:
    return outcome & _VERDICT_BITS


def has_response(outcome: int) -> bool:
    return bool(outcome & _HAS_RESPONSE)


def verdict_of(outcome: int) -> Verdict:
    return VERDICTS[outcome & _VERDICT_BITS]


def state_of(outcome: int) -> State:
    return STATES[outcome >> _STATE_SHIFT & _STATE_BITS]


def to_ms(at: datetime) -> int:
    """Milliseconds since 1970, rounded down."""
    return (at - _EPOCH) // _MS


def from_ms(at_ms: int) -> datetime:
    return _EPOCH + timedelta(milliseconds=at_ms)


def storable_text(text: str | None) -> str | None:
    """Shorten the text and replace lone surrogates, which servers can send and SQLite rejects."""
    if text is None:
        return None
    short = text[:MAX_TEXT_CHARACTERS]
    return short if short.isascii() else short.encode("utf-8", "replace").decode()


def pack_integers(numbers: Iterable[int]) -> bytes:
    """Encode integers from 0 as LEB128: small ones take one byte."""
    out = bytearray()
    for number in numbers:
        rest = number
        while rest > _LOW:
            out.append(rest & _LOW | _MORE)
            rest >>= 7
        out.append(rest)
    return bytes(out)


def unpack_integers(data: bytes) -> list[int]:
    """Decode `pack_integers`. An incomplete number at the end, which is damage, is ignored."""
    numbers: list[int] = []
    append = numbers.append
    number = shift = 0
    for byte in data:
        if byte > _LOW:
            number |= (byte & _LOW) << shift
            shift += 7
        elif shift:
            append(number | byte << shift)
            number = shift = 0
        else:
            append(byte)
    return numbers
