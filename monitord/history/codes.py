"""The integers that stand for enums and times in the database. A number never gets another meaning.

Verdicts and states are few and old, so their numbers are fixed here. Reasons grow: they are interned by their name.
"""

from datetime import UTC, datetime, timedelta

from monitord.model import State, Verdict

VERDICTS = (Verdict.PASS, Verdict.WARN, Verdict.FAIL, Verdict.INCONCLUSIVE)
HEALTHS = (
    State.PENDING,
    State.UP,
    State.DEGRADED,
    State.DOWN,
    State.UNREACHABLE,
    State.UNKNOWN,
    State.PAUSED,
)
VERDICT_CODES = {verdict: code for code, verdict in enumerate(VERDICTS)}
HEALTH_CODES = {health: code for code, health in enumerate(HEALTHS)}

FAIL_CODE = VERDICT_CODES[Verdict.FAIL]

PHASES = ("resolve", "connect", "tls", "processing", "transfer")
"""In the order in which their times are kept."""

_VERDICT_BITS = 0b11
_HEALTH_SHIFT = 2
_HEALTH_BITS = 0b111
_ANSWERED = 1 << 5

IN_MAINTENANCE = 1 << 4
"""Beside the number of a state, in spans."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MS = timedelta(milliseconds=1)


def pack_what(verdict: int, health: int, *, answered: bool) -> int:
    return verdict | health << _HEALTH_SHIFT | (_ANSWERED if answered else 0)


def verdict_code_of(what: int) -> int:
    return what & _VERDICT_BITS


def is_answered(what: int) -> bool:
    return bool(what & _ANSWERED)


def verdict_of(what: int) -> Verdict:
    return VERDICTS[what & _VERDICT_BITS]


def health_of(what: int) -> State:
    return HEALTHS[what >> _HEALTH_SHIFT & _HEALTH_BITS]


def to_ms(at: datetime) -> int:
    """Milliseconds since 1970, rounded down."""
    return (at - _EPOCH) // _MS


def from_ms(at_ms: int) -> datetime:
    return _EPOCH + timedelta(milliseconds=at_ms)
