"""Base classes of monitor types: options read from the configuration, and one method that runs a check.

A type is one file: a frozen dataclass of options, a subclass of `Monitor`, and one line in the registry
(`monitord/monitors/__init__.py`) or, in a third-party package, an entry point in the group `monitord.monitors`.
Scheduling, deadlines, evaluation, history and notifications are the caller's.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Protocol, TypeVar

from monitord.clock import Clock
from monitord.conditions import Condition, Lookup, Reference, Unresolved, Vocabulary
from monitord.config import Table
from monitord.errors import HistoryError
from monitord.health import CoveredTime, HealthPolicy, Objective
from monitord.journal.feed import JournalFeeds
from monitord.model import FieldValue, MonitorContext, Observation, Quorum, Reason, ResponseData, State
from monitord.monitors.cluster_facts import ClusterFactsSource, no_cluster_facts
from monitord.net import HttpClient, Processes, Resolver, TlsContexts
from monitord.net.base.blocking import BlockingCalls
from monitord.net.containers import Containers
from monitord.net.dbus.units import Units
from monitord.net.registry.limits import Registries
from monitord.options.masking import Masking

if TYPE_CHECKING:
    from monitord.monitors.heartbeat.shared import HeartbeatExchange

OptionsT = TypeVar("OptionsT")

DEFAULT_CHECK_EVERY_S = 30.0
DEFAULT_TIMEOUT_S = 5.0

PROCESSES = "(processes)"
"""Value of `Monitor.pool` for checks that start a program; not a valid host name."""


OBJECTIVE = "objective"
"""The type of the monitors that evaluate the history of others: see `monitord.monitors.objective`."""
CLUSTER = "cluster"
"""The type of the monitors of the nodes of a cluster: see `monitord.monitors.cluster`."""


@dataclass(frozen=True, slots=True)
class MonitorSettings:
    """Settings that monitors of all types have. A reload does not touch a monitor whose settings are equal.

    `options`: the result of the type's `read_options`. `invert`: passed checks fail, and failed checks pass.
    `renamed_from`: the previous name, whose state it continues. `source`: the name of the source that provides
    it; None for a configured monitor. `objective`: its service level objective; None: it has none.

    In a cluster, the `locations` check it (empty: all), and a `quorum` of them decides its state.
    """

    name: str
    type_name: str
    check_every_s: float
    timeout_s: float
    retry_every_s: float
    policy: HealthPolicy
    options: Any
    tags: tuple[str, ...] = ()
    up_when: tuple[Condition, ...] = ()
    degraded_when: tuple[Condition, ...] = ()
    depends_on: tuple[str, ...] = ()
    depends_on_any: tuple[str, ...] = ()
    invert: bool = False
    renamed_from: str | None = field(default=None, compare=False)
    source: str | None = None
    context: MonitorContext = MonitorContext()  # noqa: RUF009 - frozen
    objective: Objective | None = None
    locations: tuple[str, ...] = ()
    quorum: Quorum = "majority"

    @property
    def needs(self) -> frozenset[str]:
        """The names of fields that its conditions use."""
        return frozenset().union(*(condition.needs for condition in (*self.up_when, *self.degraded_when)))

    @property
    def is_objective(self) -> bool:
        """Whether it evaluates other monitors: tags do not make it a member, and reports do not list it."""
        return self.type_name == OBJECTIVE


MemberStates = Callable[[Collection[str], Collection[str]], Sequence[tuple[str, State]]]
"""Returns name and state of the named monitors and of the monitors with all of the tags."""


def _no_member_states(_: Collection[str], __: Collection[str]) -> Sequence[tuple[str, State]]:
    return ()


class StateTimes(Protocol):
    """The time that monitors were covered by the history, and down."""

    def select(self, patterns: tuple[str, ...], tags: tuple[str, ...]) -> Sequence[str]:
        """Return the monitors with one of the names or patterns and all of the tags; no objectives.

        Without patterns, all names match.
        """
        ...

    async def covered(
        self, monitors: Sequence[str], ranges: Sequence[tuple[datetime, datetime]]
    ) -> Sequence[CoveredTime]:
        """Return the time of all monitors in each range. Raises HistoryError."""
        ...


class NoStateTimes:
    """The StateTimes of a process without a history."""

    def select(self, patterns: tuple[str, ...], tags: tuple[str, ...]) -> Sequence[str]:
        del patterns, tags
        return ()

    async def covered(
        self, monitors: Sequence[str], ranges: Sequence[tuple[datetime, datetime]]
    ) -> Sequence[CoveredTime]:
        del monitors, ranges
        raise HistoryError("there is no history")


@dataclass(frozen=True, slots=True)
class Tools:
    """Services that all monitors share. `heartbeats`: of all nodes of a cluster; None: there is no cluster."""

    clock: Clock
    http: HttpClient
    resolver: Resolver
    tls_contexts: TlsContexts
    processes: Processes = field(default_factory=Processes)
    journal: JournalFeeds = field(default_factory=JournalFeeds)
    member_states: MemberStates = _no_member_states
    units: Units = field(default_factory=Units)
    blocking: BlockingCalls = field(default_factory=BlockingCalls)
    containers: Containers = field(default_factory=Containers)
    registries: Registries = field(default_factory=Registries)
    state_times: StateTimes = field(default_factory=NoStateTimes)
    cluster: ClusterFactsSource = no_cluster_facts
    heartbeats: "HeartbeatExchange | None" = None


def lookup_of(observation: Observation) -> Lookup:
    """Return the function by which conditions read fields and response data of an observation."""
    return lookup_in(observation.fields, observation.response_data)


def lookup_in(fields: Mapping[str, FieldValue], response_data: ResponseData | None) -> Lookup:
    """Return the function by which conditions read these fields and this response data."""

    def lookup(reference: Reference) -> object:
        if reference.argument is None and reference.name in fields:
            return fields[reference.name]
        if response_data is None:
            return Unresolved(is_absent=True)
        return response_data(reference.name, reference.argument)

    return lookup


class Stopwatch:
    """Measures the time of a check: from its construction, or from `began_s` of the monotonic clock."""

    def __init__(self, clock: Clock, began_s: float | None = None) -> None:
        self._clock = clock
        now_s = clock.monotonic_s()
        self.began_s = now_s if began_s is None else began_s
        self.started_at: datetime = clock.now() - timedelta(seconds=now_s - self.began_s)

    @property
    def elapsed_s(self) -> float:
        return self._clock.monotonic_s() - self.began_s

    def observation(
        self,
        reason: Reason,
        detail: str,
        fields: Mapping[str, FieldValue] | None = None,
        address: str | None = None,
        response_data: ResponseData | None = None,
        *,
        subject: str = "",
        outcome: str = "",
        shows_connectivity: bool | None = None,
    ) -> Observation:
        """Return an observation that took until now."""
        return Observation(
            self.started_at,
            self.elapsed_s,
            reason,
            detail,
            fields or {},
            address,
            response_data,
            subject=subject,
            outcome=outcome,
            shows_connectivity=shows_connectivity,
        )


class Monitor(ABC, Generic[OptionsT]):
    """A configured thing to watch. Subclasses implement one type."""

    type_name: ClassVar[str]

    uses_network: bool = True
    """Whether its checks use the network, and therefore count for the detection of isolation.

    A class attribute of the type, or set by the constructor for a single monitor.
    """

    uses_local_time: bool = False
    """Whether its results depend on the local time zone. It is checked at once when the zone changes."""

    is_checked_by_agents: ClassVar[bool] = True
    """Whether a check needs only this host: agents of a cluster, which have no database, can check it."""

    default_policy: ClassVar[HealthPolicy] = HealthPolicy()
    """Defaults of `fail_after`, `degrade_after`, `recover_after` and `flapping`."""

    default_check_every_s: ClassVar[float] = DEFAULT_CHECK_EVERY_S
    default_timeout_s: ClassVar[float] = DEFAULT_TIMEOUT_S
    """Defaults of `check_every` and `timeout`. The default of `timeout` is reduced to `check_every`."""

    vocabulary: ClassVar[Vocabulary] = Vocabulary({})
    """The fields that conditions may use: those of its observations and of their response data."""

    def __init__(self, settings: MonitorSettings, tools: Tools) -> None:
        self.settings = settings
        self.options: OptionsT = settings.options
        self.tools = tools
        self.masking = Masking(self.secrets())

    @property
    def name(self) -> str:
        return self.settings.name

    @property
    def pool(self) -> str | None:
        """The pool of slots of the check: a host, to which `max_concurrent_per_host` applies; None: no limit but the
        total.

        `PROCESSES` for a check that starts a program: `max_concurrent_processes` limits those checks.
        """
        return None

    @classmethod
    def belongs_to_host(cls, options: OptionsT) -> bool:
        """Whether a monitor with these options is about its host: the nodes of a cluster do not share it.

        By default, this applies to types whose checks do not use the network.
        """
        del options
        return not cls.uses_network

    @property
    def is_bound_to_host(self) -> bool:
        """Whether it is about this host: see `belongs_to_host`."""
        return self.belongs_to_host(self.options)

    def secrets(self) -> Iterable[str]:
        """Return secrets in its options, which are masked in all texts about its checks.

        Called once by the constructor, when `settings`, `options` and `tools` are set.
        """
        return ()

    @classmethod
    @abstractmethod
    def read_options(cls, table: Table) -> OptionsT:
        """Read the keys of this type. Errors are recorded in the table; invalid input must not raise."""

    @classmethod
    def vocabulary_of(cls, options: OptionsT) -> Vocabulary:
        """Return the fields of a monitor with these options, if its type has fields whose names are configured."""
        del options
        return cls.vocabulary

    @classmethod
    def absent_fields(cls, options: OptionsT) -> Mapping[str, str]:
        """Return fields of the vocabulary that a monitor with these options never has, each with the reason.

        Conditions that use them are configuration errors.
        """
        del options
        return {}

    @abstractmethod
    async def check(self) -> Observation:
        """Run one check. A failure of the target is an observation; an exception is a bug in this type.

        The reason `condition_failed` is the default verdict of the type on a response: `up_when` replaces it, unless
        `is_usable` is False. A check that takes longer than `settings.timeout_s` is cancelled and counts as
        `timeout_response`.
        """

    def journal_fields(self, observation: Observation) -> Mapping[str, str]:
        """Return journal fields of the type: upper-case names such as `HTTP_STATUS`."""
        del observation
        return {}

    def start(self, wake: Callable[[], None]) -> None:
        """Begin to watch. Called on the running event loop before the first check.

        `wake` requests a check at once, for events that should not wait for the schedule. It may be called until
        `close` has been called.
        """

    def has_member(self, other: MonitorSettings) -> bool:
        """Return whether the other monitor is a member of this group.

        A monitor whose type overrides this method is a group: it is checked when the state of a member changes.
        """
        del other
        return False

    def dump_state(self) -> Mapping[str, Any] | None:
        """Return the state that must survive a restart, as JSON; None: no state. Called after each check."""
        return None

    def restore_state(self, state: Mapping[str, Any]) -> None:
        """Continue from a result of `dump_state`: of an earlier run, or of the monitor that this one replaces.

        Called before `start`. The state may come from another version: entries that are not understood are ignored.
        """

    async def close(self) -> None:
        """Release the resources of this monitor. Called once, after the last check."""
        return
