"""The values that every room shares, all frozen: what a check saw, what it means, and how a monitor stands.

The words are those of docs/architecture.md. `Reason` is the closed, versioned list that journal, API,
metrics and manual use alike; add to it, never rename. `make manual` takes an addition into the manual.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import Any, Self

Json = dict[str, Any]
"""An object of JSON."""


class Verdict(Enum):
    """What one check means."""

    PASS = "pass"  # noqa: S105 - a verdict, not a password
    WARN = "warn"
    FAIL = "fail"
    INCONCLUSIVE = "inconclusive"  # the prober itself was at failure; never counted as downtime


class State(Enum):
    """How a monitor stands over time."""

    PENDING = "pending"
    UP = "up"
    DEGRADED = "degraded"
    DOWN = "down"
    UNREACHABLE = "unreachable"
    UNKNOWN = "unknown"
    PAUSED = "paused"


# From worst to best: the health of the whole is that of its worst monitor.
WORST_FIRST = (
    State.DOWN,
    State.UNREACHABLE,
    State.UNKNOWN,
    State.DEGRADED,
    State.PENDING,
    State.UP,
    State.PAUSED,
)
WORST_VERDICT_FIRST = (Verdict.FAIL, Verdict.INCONCLUSIVE, Verdict.WARN, Verdict.PASS)


class Reason(Enum):
    """Why a check ended as it did: the code, and what it means in a line.

    The manual's table is made from it (`make manual`); what stands in `backticks` is a key of the configuration.
    """

    _value_: str
    meaning: str

    def __new__(cls, code: str, meaning: str = "") -> Self:  # the default is for lookups: Reason("ok")
        reason = object.__new__(cls)
        reason._value_ = code
        reason.meaning = meaning
        return reason

    OK = "ok", "the check passed"
    TIMEOUT_RESOLVE = "timeout_resolve", "`timeout` expired during name resolution"
    TIMEOUT_CONNECT = "timeout_connect", "`timeout` expired while connecting"
    TIMEOUT_TLS = "timeout_tls", "`timeout` expired during the TLS handshake"
    TIMEOUT_RESPONSE = "timeout_response", "`timeout` expired before a response began"
    TIMEOUT_BODY = "timeout_body", "`timeout` expired before the response was complete"
    RESOLVE_FAILED = "resolve_failed", "no such name, or name servers do not respond"
    REFUSED = "refused", "connection refused"
    RESET = "reset", "the peer closed or reset the connection"
    UNREACHABLE = "unreachable", "the host or its network is unreachable"
    TLS_EXPIRED = "tls_expired", "a certificate has expired or is not yet valid"
    TLS_NAME_MISMATCH = "tls_name_mismatch", "the certificate is for another name"
    TLS_UNTRUSTED = "tls_untrusted", "the certificate has no trusted issuer"
    TLS_FAILED = "tls_failed", "the TLS handshake failed for another reason"
    PROTOCOL_ERROR = "protocol_error", "the response violates its protocol"
    TOO_LARGE = "too_large", "the response exceeds a size limit of the type"
    TOO_MANY_REDIRECTS = "too_many_redirects", "there are more redirects than are followed"
    REDIRECT_REFUSED = "redirect_refused", "a redirect would send the body to another origin"
    CONDITION_FAILED = "condition_failed", "a condition, or the type's default, is not met"
    CONDITION_UNRESOLVED = "condition_unresolved", "a condition in `up_when` has no value to compare"
    PLUGIN_WARNING = "plugin_warning", "the plugin reports a warning"
    PLUGIN_CRITICAL = "plugin_critical", "the plugin reports a critical state"
    PLUGIN_UNKNOWN = "plugin_unknown", "the plugin reports no usable result"
    PLUGIN_KILLED = "plugin_killed", "the plugin was terminated by a signal"
    UNIT_FAILED = "unit_failed", "the unit has failed or crashed"
    UNIT_INACTIVE = "unit_inactive", "the unit is not active"
    UNIT_RESTARTED = "unit_restarted", "the unit crashed and was restarted"
    MANAGER_TIMEOUT = "manager_timeout", "the service manager of this host did not respond"
    HEARTBEAT_LATE = "heartbeat_late", "the report of the job is late"
    HEARTBEAT_ENDED = "heartbeat_ended", "the calendar has no further time"
    HEARTBEAT_MISSED = "heartbeat_missed", "the report of the job is missing"
    HEARTBEAT_FAILED = "heartbeat_failed", "the job reported a failure"
    JOURNAL_MATCHED = "journal_matched", "too many journal entries match"
    JOURNAL_TIMEOUT = "journal_timeout", "no journal entry has matched for too long"
    MEMBER_DOWN = "member_down", "a member of the group is down"
    MEMBER_DEGRADED = "member_degraded", "a member of the group is degraded"
    MEMBERS_UNKNOWN = "members_unknown", "the state of all members is unknown"
    PROBER_LATE = "prober_late", "the daemon was stalled during the check"
    PROBER_SUSPENDED = "prober_suspended", "the machine was suspended during the check"
    PROBER_EXHAUSTED = "prober_exhausted", "no descriptors, ports, threads or memory left"
    PROBER_FORBIDDEN = "prober_forbidden", "this host does not permit the check"
    PROBER_ISOLATED = "prober_isolated", "this host has probably lost connectivity"
    MONITOR_BUG = "monitor_bug", "a bug in the monitor type; see the journal"
    UNRECOGNIZED = "unrecognized", "a reason of another version of monitord"

    @classmethod
    def of_code(cls, code: Any) -> "Reason":
        """The reason of a stored code; UNRECOGNIZED for one of another version, or damaged."""
        try:
            return cls(code)
        except ValueError:
            return cls.UNRECOGNIZED

    @property
    def is_probe_error(self) -> bool:
        """The prober, not what it watches, is at failure: such a check is inconclusive."""
        return self in _OURS

    @property
    def is_response(self) -> bool:
        """The check failed on something that was received, so the network between here and there works."""
        return self in _RESPONSES

    @property
    def is_warning(self) -> bool:
        """An answer that is usable, but not well: such a check warns, and its monitor degrades."""
        return self in _WARNINGS


_WARNINGS = frozenset(
    {
        Reason.PLUGIN_WARNING,
        Reason.UNIT_RESTARTED,
        Reason.HEARTBEAT_LATE,
        Reason.HEARTBEAT_ENDED,
        Reason.MEMBER_DEGRADED,
    }
)
_OURS = frozenset(
    {
        Reason.PLUGIN_UNKNOWN,
        Reason.MANAGER_TIMEOUT,
        Reason.MEMBERS_UNKNOWN,
        Reason.PROBER_LATE,
        Reason.PROBER_SUSPENDED,
        Reason.PROBER_EXHAUSTED,
        Reason.PROBER_FORBIDDEN,
        Reason.PROBER_ISOLATED,
        Reason.MONITOR_BUG,
    }
)

# Not `refused`, `reset` and `unreachable`, which routers and firewalls in between send as well, nor those of plugins,
# which fail in the same way without a response.
_RESPONSES = frozenset(
    {
        Reason.TIMEOUT_BODY,
        Reason.TLS_EXPIRED,
        Reason.TLS_NAME_MISMATCH,
        Reason.TLS_UNTRUSTED,
        Reason.TLS_FAILED,
        Reason.PROTOCOL_ERROR,
        Reason.TOO_LARGE,
        Reason.TOO_MANY_REDIRECTS,
        Reason.REDIRECT_REFUSED,
        Reason.CONDITION_FAILED,
        Reason.CONDITION_UNRESOLVED,
    }
)

FieldValue = str | int | float | bool | tuple[str, ...] | None

Evidence = Callable[[str, object], object]
"""What conditions may ask for and nobody keeps, by name and argument: ("body", None), ("header", "Server").

None where there is none. Of a check that does not pass (EXCERPT, None) is asked, too: text of what came.
"""

EXCERPT = "excerpt"


@dataclass(frozen=True, slots=True)
class Observation:
    """What one check measured.

    `detail` is one line for people: what was asked and what came ("GET https://… 200, 648 bytes, 0.067 s"). `subject`
    is what was asked alone ("GET https://…"), `outcome` what came alone ("HTTP 200"), without what was measured; it is
    `detail` once the observation was judged if the type gave none.
    `fields` are the type's own measurements by their published names; a phase is `phase.NAME`, in seconds.
    `is_usable` False: an answer, but not one that `up_when` could be asked about. `excerpt` is there once it was
    judged, unless it passed: lines that are safe to show.
    `shows_connectivity`: whether a response of the target was received, where that does not follow from the reason.
    """

    started_at: datetime
    duration_s: float
    reason: Reason
    detail: str
    fields: Mapping[str, FieldValue] = field(default_factory=dict)
    address: str | None = None
    evidence: Evidence | None = field(default=None, compare=False, repr=False)
    is_usable: bool = True
    excerpt: str | None = None
    subject: str = ""
    outcome: str = ""
    shows_connectivity: bool | None = None

    @property
    def summary(self) -> str:
        """The outcome before the subject, so that a line that has to be cut keeps the outcome."""
        outcome = self.outcome or self.detail
        return f"{outcome} ({self.subject})" if self.subject else outcome


class Decider(Enum):
    """What a verdict was made from."""

    REASON = "reason"  # the reason of the observation
    CONDITIONS = "conditions"
    TYPE = "type"  # the default of the type, as there is no `up_when`
    INVERT = "invert"  # `invert` turned it


@dataclass(frozen=True, slots=True)
class Result:
    """An observation, judged; it has no `evidence` any more.

    `conditions`: each with the value that was seen. `holds`: whether each is true. `expected`: whether it should be,
    True for `up_when` and False for `degraded_when`. `deciding`: the positions of those that made the verdict if
    `decided_by` is CONDITIONS.
    """

    observation: Observation
    verdict: Verdict
    conditions: tuple[str, ...] = ()
    holds: tuple[bool, ...] = ()
    expected: tuple[bool, ...] = ()
    decided_by: Decider = Decider.REASON
    deciding: tuple[int, ...] = ()

    @property
    def deciding_conditions(self) -> tuple[str, ...]:
        return tuple(self.conditions[index] for index in self.deciding if 0 <= index < len(self.conditions))


@dataclass(frozen=True, slots=True)
class Transition:
    """A change of health. `since` is when it began: for a fall, the first of the failures that made it."""

    monitor: str
    before: State
    after: State
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
