"""The values that all packages share, all frozen: observation, verdict, result, state, transition, incident.

docs/glossary.md defines the terms. `Reason` is the closed list of codes that journal, API, metrics and manual use: a
code can be added, but is never renamed. `make manual` adds it to the manual.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum, StrEnum
from typing import Any, Literal, Self

Json = dict[str, Any]
"""A JSON object."""


class Verdict(Enum):
    """The outcome of one check."""

    PASS = "pass"  # noqa: S105 - a verdict, not a password
    WARN = "warn"
    FAIL = "fail"
    INCONCLUSIVE = "inconclusive"  # no information about the service; never counted as downtime


class State(Enum):
    """The state of a monitor over time."""

    PENDING = "pending"
    UP = "up"
    DEGRADED = "degraded"
    DOWN = "down"
    UNREACHABLE = "unreachable"
    UNKNOWN = "unknown"
    PAUSED = "paused"

    @classmethod
    def of_code(cls, code: Any) -> "State":
        """The state of a stored or received code; UNKNOWN, which is not a vote, if it is of another release."""
        try:
            return cls(code)
        except ValueError:
            return cls.UNKNOWN


QUORUM_NAMES: tuple[Literal["majority", "any", "all"], ...] = ("majority", "any", "all")
Quorum = Literal["majority", "any", "all"] | int
"""How many locations of a cluster must agree about the state of a monitor."""


class TokenRights(Enum):
    """The changes that an API token permits."""

    READ = "read"  # nothing: reading needs no token
    ACKNOWLEDGE = "acknowledge"  # acknowledge incidents, and remove acknowledgements
    REPORT = "report"  # report to this node of a cluster, as an agent
    ALL = "all"


class PostStatus(StrEnum):
    """The progress of the incident that a post on a public page is about, in its usual order."""

    INVESTIGATING = "investigating"
    IDENTIFIED = "identified"
    MONITORING = "monitoring"
    RESOLVED = "resolved"


class Severity(Enum):
    """Severity of a problem, in descending order."""

    CRITICAL = "critical"
    WARNING = "warning"
    INFO = "info"


@dataclass(frozen=True, slots=True)
class MonitorContext:
    """Descriptive settings of one monitor for notifications and pages; "" if not set.

    `title`: human-readable name, one line. `runbook`: URL of the instructions. `contact`: person in charge, one line.
    `severity`: severity while the monitor is down; a degraded or unknown monitor has at most WARNING.
    """

    title: str = ""
    description: str = ""
    runbook: str = ""
    contact: str = ""
    severity: Severity = Severity.CRITICAL

    def severity_in(self, state: State) -> Severity:
        """Return the severity of a problem in this state."""
        is_lower = state in {State.DEGRADED, State.UNKNOWN} and self.severity is Severity.CRITICAL
        return Severity.WARNING if is_lower else self.severity


# From worst to best: a list has the state of its worst monitor.
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
    """The code that explains a verdict, and its meaning in a line.

    The table in the manual is generated from it (`make manual`). Configuration keys are in `backticks`.
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
    TIMEOUT_BODY = "timeout_body", "`timeout` expired before the end of the response"
    RESOLVE_FAILED = "resolve_failed", "no such name, or name servers do not respond"
    REFUSED = "refused", "connection refused"
    RESET = "reset", "the peer closed or reset the connection"
    HOST_UNREACHABLE = "host_unreachable", "the host or its network is unreachable"
    TLS_EXPIRED = "tls_expired", "a certificate has expired"
    TLS_NOT_YET_VALID = "tls_not_yet_valid", "a certificate is not yet valid"
    TLS_NAME_MISMATCH = "tls_name_mismatch", "the certificate is for another name"
    TLS_UNTRUSTED = "tls_untrusted", "the certificate has no trusted issuer"
    TLS_FAILED = "tls_failed", "the TLS handshake failed"
    PROTOCOL_ERROR = "protocol_error", "the response violates its protocol"
    TOO_LARGE = "too_large", "the response exceeds a size limit of the type"
    TOO_MANY_REDIRECTS = "too_many_redirects", "there are more redirects than are followed"
    REDIRECT_REJECTED = "redirect_rejected", "a redirect would send a body to another origin"
    CONDITION_FAILED = "condition_failed", "a condition is not met, or `invert` is set"
    CONDITION_UNRESOLVED = "condition_unresolved", "a condition in `up_when` has no value to compare"
    EXTRACT_FAILED = "extract_failed", "a step cannot extract or send a value"
    PLUGIN_WARNING = "plugin_warning", "the plugin reports a warning"
    PLUGIN_CRITICAL = "plugin_critical", "the plugin reports a critical state"
    PLUGIN_UNKNOWN = "plugin_unknown", "the plugin reports no usable result"
    PLUGIN_KILLED = "plugin_killed", "the plugin was terminated by a signal"
    UNIT_FAILED = "unit_failed", "the unit has failed or crashed"
    UNIT_INACTIVE = "unit_inactive", "the unit is not active"
    UNIT_RESTARTED = "unit_restarted", "the unit crashed and was restarted"
    MANAGER_TIMEOUT = "manager_timeout", "the service manager did not respond"
    CONTAINER_FAILED = "container_failed", "the container has failed or crashed"
    CONTAINER_UNHEALTHY = "container_unhealthy", "the health check of the container fails"
    CONTAINER_STOPPED = "container_stopped", "the container is not running or does not exist"
    CONTAINER_RESTARTED = "container_restarted", "the container crashed and was restarted"
    CONTAINER_STARTING = "container_starting", "the container has no result of a health check"
    ENGINE_UNAVAILABLE = "engine_unavailable", "the container engine cannot be queried"
    DOMAIN_EXPIRED = "domain_expired", "the domain has expired"
    DOMAIN_NOT_RENEWED = "domain_not_renewed", "the domain expires within `fail_before`"
    DOMAIN_EXPIRING = "domain_expiring", "the domain expires within `warn_before`"
    DOMAIN_HELD = "domain_held", "the domain is on hold, or about to be deleted"
    DOMAIN_MISSING = "domain_missing", "the domain is not registered"
    DOMAIN_QUERY_FAILED = (
        "domain_query_failed",
        "the registry of the domain cannot be queried",
    )
    HEARTBEAT_LATE = "heartbeat_late", "the heartbeat of the job is late"
    HEARTBEAT_ENDED = "heartbeat_ended", "the schedule or timer has no future time"
    HEARTBEAT_MISSED = "heartbeat_missed", "a heartbeat or a run of the timer is missing"
    HEARTBEAT_FAILED = "heartbeat_failed", "the job reported a failure"
    JOURNAL_MATCHED = "journal_matched", "too many journal entries match"
    JOURNAL_ABSENT = "journal_absent", "no matching journal entry within `absent_for`"
    DISK_FULL = "disk_full", "too little space or too few inodes are free"
    DISK_FILLING = "disk_filling", "the file system is nearly full, or soon will be"
    DISK_READ_ONLY = "disk_read_only", "the file system no longer accepts writes"
    DISK_FAILED = "disk_failed", "the file system reports an error"
    NOT_MOUNTED = "not_mounted", "the file system is not mounted"
    CERTIFICATE_EXPIRING = "certificate_expiring", "a certificate in the file expires soon"
    CERTIFICATE_MISSING = "certificate_missing", "the file is missing or contains no certificate"
    REBOOT_REQUIRED = "reboot_required", "an upgrade requires a reboot"
    MEMORY_LOW = "memory_low", "little memory is available"
    MEMORY_EXHAUSTED = "memory_exhausted", "the memory is nearly exhausted"
    LOAD_HIGH = "load_high", "the load average is high"
    OVERLOADED = "overloaded", "the load average is very high"
    TOO_FEW_PROCESSES = "too_few_processes", "there are fewer processes than expected"
    TOO_MANY_PROCESSES = "too_many_processes", "there are more processes than expected"
    CLOCK_OFFSET = "clock_offset", "the offset of the clock is too large"
    CLOCK_UNSYNCHRONIZED = "clock_unsynchronized", "the clock is not synchronized"
    CLUSTER_ALONE = (
        "cluster_alone",
        "the node has no database and decides alone",
    )
    CLUSTER_LOCATION_LOST = "cluster_location_lost", "no node of a location sends heartbeats"
    CLUSTER_NODE_LOST = "cluster_node_lost", "a node of the cluster sends no heartbeats"
    CONFIGURATIONS_DIFFER = "configurations_differ", "the nodes have different configurations"
    CLUSTER_CLOCK_OFFSET = "cluster_clock_offset", "the clocks of a node and the database differ"
    CLUSTER_SLOW = "cluster_slow", "the database is slow, or a node decides late"
    CLUSTER_UNKNOWN = "cluster_unknown", "the state of the cluster is not known"
    MEMBER_DOWN = "member_down", "a member of the group is down"
    MEMBER_DEGRADED = "member_degraded", "a member is degraded, or down with `at_least` met"
    MEMBERS_UNKNOWN = "members_unknown", "too few members of the group have a known state"
    FAST_BURN = "fast_burn", "the burn rate of the error budget is very high"
    SLOW_BURN = "slow_burn", "the burn rate of the error budget is too high"
    OBJECTIVE_NO_DATA = "objective_no_data", "no monitor of the objective has data"
    HISTORY_UNAVAILABLE = "history_unavailable", "the history is disabled or cannot be read"
    PROBER_STALLED = "prober_stalled", "the daemon was stalled during the check"
    PROBER_SUSPENDED = "prober_suspended", "this host was suspended during the check"
    PROBER_EXHAUSTED = "prober_exhausted", "no descriptors, ports, threads or memory left"
    PROBER_FORBIDDEN = "prober_forbidden", "this host does not permit the check"
    PROBER_SOURCE_ADDRESS = "prober_source_address", "this host cannot use `source_address`"
    PROBER_ISOLATED = "prober_isolated", "this host has probably lost connectivity"
    PROBER_MEASURING = "prober_measuring", "a rate in a condition needs a second check"
    PROBER_DISCONNECTED = "prober_disconnected", "other nodes may have received a heartbeat"
    NODE_LOST = "node_lost", "the node of the monitor does not report"
    MONITOR_BUG = "monitor_bug", "a bug in the monitor type; see the journal"
    UNRECOGNIZED = "unrecognized", "a reason that this version does not know"

    @classmethod
    def of_code(cls, code: Any) -> "Reason":
        """The reason of a stored code; UNRECOGNIZED if another version has stored it, or it is damaged."""
        try:
            return cls(code)
        except ValueError:
            return cls.UNRECOGNIZED

    @property
    def is_inconclusive(self) -> bool:
        """Whether the check gives no information about the monitored service."""
        return self in _INCONCLUSIVE

    @property
    def shows_connectivity(self) -> bool:
        """Whether the reason implies that the target responded, so the network works."""
        return self in _SHOWS_CONNECTIVITY

    @property
    def is_warning(self) -> bool:
        """A usable response that is not as it should be: the check warns, and the monitor becomes degraded."""
        return self in _WARNINGS


_WARNINGS = frozenset(
    {
        Reason.PLUGIN_WARNING,
        Reason.UNIT_RESTARTED,
        Reason.CONTAINER_RESTARTED,
        Reason.DOMAIN_EXPIRING,
        Reason.HEARTBEAT_LATE,
        Reason.HEARTBEAT_ENDED,
        Reason.DISK_FILLING,
        Reason.CERTIFICATE_EXPIRING,
        Reason.REBOOT_REQUIRED,
        Reason.MEMORY_LOW,
        Reason.LOAD_HIGH,
        Reason.CLOCK_UNSYNCHRONIZED,
        Reason.CLUSTER_NODE_LOST,
        Reason.CONFIGURATIONS_DIFFER,
        Reason.CLUSTER_CLOCK_OFFSET,
        Reason.CLUSTER_SLOW,
        Reason.MEMBER_DEGRADED,
        Reason.SLOW_BURN,
    }
)
_INCONCLUSIVE = frozenset(
    {
        Reason.PLUGIN_UNKNOWN,
        Reason.MANAGER_TIMEOUT,
        Reason.CONTAINER_STARTING,
        Reason.ENGINE_UNAVAILABLE,
        Reason.DOMAIN_QUERY_FAILED,
        Reason.CLUSTER_UNKNOWN,
        Reason.MEMBERS_UNKNOWN,
        Reason.OBJECTIVE_NO_DATA,
        Reason.HISTORY_UNAVAILABLE,
        Reason.PROBER_STALLED,
        Reason.PROBER_SUSPENDED,
        Reason.PROBER_EXHAUSTED,
        Reason.PROBER_FORBIDDEN,
        Reason.PROBER_SOURCE_ADDRESS,
        Reason.PROBER_ISOLATED,
        Reason.PROBER_MEASURING,
        Reason.PROBER_DISCONNECTED,
        Reason.NODE_LOST,
        Reason.MONITOR_BUG,
    }
)

# Not `refused`, `reset` and `host_unreachable`, which routers and firewalls on the path also cause, nor the reasons of
# plugins, which fail in the same way without a response.
_SHOWS_CONNECTIVITY = frozenset(
    {
        Reason.TIMEOUT_BODY,
        Reason.TLS_EXPIRED,
        Reason.TLS_NOT_YET_VALID,
        Reason.TLS_NAME_MISMATCH,
        Reason.TLS_UNTRUSTED,
        Reason.TLS_FAILED,
        Reason.PROTOCOL_ERROR,
        Reason.TOO_LARGE,
        Reason.TOO_MANY_REDIRECTS,
        Reason.REDIRECT_REJECTED,
        Reason.CONDITION_FAILED,
        Reason.CONDITION_UNRESOLVED,
        Reason.EXTRACT_FAILED,
    }
)

FieldValue = str | int | float | bool | tuple[str, ...] | None

ResponseData = Callable[[str, object], object]
"""Returns data of the response that only conditions use, by name and argument: ("body", None), ("header", "Server").

None if there is no such data. (EXCERPT, None) returns a text for the excerpt of a check that has not passed.
"""

EXCERPT = "excerpt"


@dataclass(frozen=True, slots=True)
class Observation:
    """The measured values of one check.

    `detail` is one human-readable line with request, response and measured values ("GET https://… 200, 648 bytes,
    0.067 s"). `subject` is the request alone ("GET https://…"), `outcome` the response alone ("HTTP 200"), without
    values; judging sets it to `detail` if the type has not set it. `note` is the part of the detail that states why the
    response is not accepted ("not met: status == 200 (actual: 503)").
    `fields` are the fields of the type by their published names; a phase is `phase.NAME`, in seconds.
    `is_usable` False: conditions cannot be evaluated on the response. `excerpt`: lines that are safe to show, set by
    judging unless the check has passed.
    `shows_connectivity`: whether a response of the target was received, if that does not follow from the reason.
    """

    started_at: datetime
    duration_s: float
    reason: Reason
    detail: str
    fields: Mapping[str, FieldValue] = field(default_factory=dict)
    address: str | None = None
    response_data: ResponseData | None = field(default=None, compare=False, repr=False)
    is_usable: bool = True
    excerpt: str | None = None
    subject: str = ""
    outcome: str = ""
    shows_connectivity: bool | None = None
    note: str = ""

    @property
    def outcome_with_note(self) -> str:
        outcome = self.outcome or self.detail
        return f"{outcome}; {self.note}" if self.note else outcome

    @property
    def summary(self) -> str:
        """The outcome before the subject, so that a shortened line keeps the outcome."""
        return f"{self.outcome_with_note} ({self.subject})" if self.subject else self.outcome_with_note


class VerdictRule(Enum):
    """The rule that decided a verdict."""

    REASON = "reason"  # the reason of the observation
    CONDITIONS = "conditions"
    TYPE = "type"  # the default condition of the type, without `up_when`
    INVERT = "invert"  # `invert` has reversed it


@dataclass(frozen=True, slots=True)
class Result:
    """A judged observation, without its `response_data`.

    `conditions`: the texts of the conditions with their actual values; `holds` and `expected` have the same order.
    `holds`: whether each condition is true. `expected`: True for a condition in `up_when`, False in `degraded_when`.
    `deciding_indexes`: the indexes of the conditions that decided the verdict, if `decided_by` is CONDITIONS.
    """

    observation: Observation
    verdict: Verdict
    conditions: tuple[str, ...] = ()
    holds: tuple[bool, ...] = ()
    expected: tuple[bool, ...] = ()
    decided_by: VerdictRule = VerdictRule.REASON
    deciding_indexes: tuple[int, ...] = ()

    @property
    def deciding_conditions(self) -> tuple[str, ...]:
        return tuple(
            self.conditions[index] for index in self.deciding_indexes if 0 <= index < len(self.conditions)
        )


@dataclass(frozen=True, slots=True)
class Transition:
    """A change of state. `since`: its beginning; for a failure, the first of the failures that led to it."""

    monitor: str
    before: State
    after: State
    at: datetime
    since: datetime
    reason: Reason
    detail: str


@dataclass(frozen=True, slots=True)
class Incident:
    """A period in which a monitor is down, from the first of the failures until it is up or degraded.

    `id` is derived from the monitor and `opened_at`, so that an incident that is stored twice is a single one. `reason`
    and `detail` are those of the check that confirmed the failure.
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
