"""The values that every room shares, all frozen: what a check saw, what it means, and how a monitor stands.

The words are those of docs/architecture.md. `Reason` is the closed, versioned list that journal, API,
metrics and manual use alike; add to it, never rename.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum


class Verdict(Enum):
    """What one check means."""

    PASS = "pass"  # noqa: S105 - a verdict, not a password
    WARN = "warn"
    FAIL = "fail"
    UNSURE = "unsure"  # the prober itself was at fault; never counted as downtime


class Health(Enum):
    """How a monitor stands over time."""

    PENDING = "pending"
    UP = "up"
    DEGRADED = "degraded"
    DOWN = "down"
    UNREACHABLE = "unreachable"
    UNKNOWN = "unknown"
    PAUSED = "paused"


class Reason(Enum):
    """Why a check ended as it did."""

    OK = "ok"
    TIMEOUT_RESOLVE = "timeout_resolve"
    TIMEOUT_CONNECT = "timeout_connect"
    TIMEOUT_TLS = "timeout_tls"
    TIMEOUT_RESPONSE = "timeout_response"
    TIMEOUT_BODY = "timeout_body"
    RESOLVE_FAILED = "resolve_failed"
    REFUSED = "refused"
    RESET = "reset"
    UNREACHABLE = "unreachable"
    TLS_EXPIRED = "tls_expired"
    TLS_NAME_MISMATCH = "tls_name_mismatch"
    TLS_UNTRUSTED = "tls_untrusted"
    TLS_FAILED = "tls_failed"
    PROTOCOL_ERROR = "protocol_error"
    TOO_LARGE = "too_large"
    TOO_MANY_REDIRECTS = "too_many_redirects"
    CONDITION_FAILED = "condition_failed"
    CONDITION_UNRESOLVED = "condition_unresolved"
    PLUGIN_WARNING = "plugin_warning"
    PLUGIN_CRITICAL = "plugin_critical"
    PLUGIN_UNKNOWN = "plugin_unknown"
    PLUGIN_KILLED = "plugin_killed"
    UNIT_FAILED = "unit_failed"
    UNIT_INACTIVE = "unit_inactive"
    HEARTBEAT_MISSED = "heartbeat_missed"
    MEMBER_DOWN = "member_down"
    MEMBER_DEGRADED = "member_degraded"
    MEMBERS_UNKNOWN = "members_unknown"
    PROBER_LATE = "prober_late"
    PROBER_SUSPENDED = "prober_suspended"
    PROBER_EXHAUSTED = "prober_exhausted"
    PROBER_FORBIDDEN = "prober_forbidden"
    PROBER_BLIND = "prober_blind"
    MONITOR_BUG = "monitor_bug"

    @property
    def is_ours(self) -> bool:
        """The prober, not what it watches, is at fault: such a check is unsure."""
        return self in _OURS

    @property
    def is_warning(self) -> bool:
        """An answer that is usable, but not well: such a check warns, and its monitor degrades."""
        return self in _WARNINGS


_WARNINGS = frozenset({Reason.PLUGIN_WARNING, Reason.MEMBER_DEGRADED})
_OURS = frozenset(
    {
        Reason.PLUGIN_UNKNOWN,
        Reason.MEMBERS_UNKNOWN,
        Reason.PROBER_LATE,
        Reason.PROBER_SUSPENDED,
        Reason.PROBER_EXHAUSTED,
        Reason.PROBER_FORBIDDEN,
        Reason.PROBER_BLIND,
        Reason.MONITOR_BUG,
    }
)

Fact = str | int | float | bool | tuple[str, ...] | None

Evidence = Callable[[str, object], object]
"""What conditions may ask for and nobody keeps, by name and argument: ("body", None), ("header", "Server").

None where there is none.
"""


@dataclass(frozen=True, slots=True)
class Observation:
    """What one check measured.

    `detail` is one line for people: what was asked and what came ("GET https://… 200, 648 bytes, 0.067 s").
    `facts` are the type's own measurements by their published names; a phase is `phase.NAME`, in seconds.
    """

    started_at: datetime
    duration_s: float
    reason: Reason
    detail: str
    facts: Mapping[str, Fact] = field(default_factory=dict)
    address: str | None = None
    evidence: Evidence | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Result:
    """An observation, judged; it has no `evidence` any more. `conditions`: each with the value that was seen."""

    observation: Observation
    verdict: Verdict
    conditions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Transition:
    """A change of health. `since` is when it began: for a fall, the first of the failures that made it."""

    monitor: str
    before: Health
    after: Health
    at: datetime
    since: datetime
    reason: Reason
    detail: str


@dataclass(frozen=True, slots=True)
class Incident:
    """From the first failure that made a monitor down until it answers again.

    `id` follows from the monitor and `opened_at`, so that the same incident, told twice, is one. `reason` and `detail`
    are those of the check that made it down.
    """

    id: str
    monitor: str
    opened_at: datetime
    reason: Reason
    detail: str
    closed_at: datetime | None = None
    acknowledged_by: str | None = None
    acknowledged_at: datetime | None = None
    comment: str | None = None
