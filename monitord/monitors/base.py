"""What a type of monitor is: options read from its table, one check, and how to say what it saw.

A type is one file: a frozen dataclass of options, a subclass of `Monitor`, and one line in the registry
(`monitord/monitors/__init__.py`) or, in a package of its own, an entry point in the group
`monitord.monitors`. The caller gives the deadline, judges, remembers and tells.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, ClassVar, Generic, TypeVar

from monitord.clock import Clock
from monitord.conditions import Condition, Lookup, Reference, Unresolved, Vocabulary
from monitord.config import Table
from monitord.health import HealthPolicy
from monitord.journal.feed import JournalFeeds
from monitord.model import Evidence, FieldValue, Observation, Reason, State
from monitord.net import HttpClient, Processes, Resolver, TlsContexts
from monitord.net.dbus.units import Units
from monitord.options.masking import Masking

OptionsT = TypeVar("OptionsT")

CHILDREN = "(children)"
"""Stands for a host in `Monitor.host`, and cannot be the name of one."""


@dataclass(frozen=True, slots=True)
class MonitorSettings:
    """What every monitor has, whatever its type; equal settings mean that a reload leaves the monitor alone.

    `options` is the frozen dataclass that the type's `read_options` made. `invert`: what fails is well, and what is
    well fails. `renamed_from` is the name whose health it takes over when it appears. `is_automatic`: made by
    `[auto] units`.
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
    is_automatic: bool = False

    @property
    def needs(self) -> frozenset[str]:
        """The fields that its conditions ask for."""
        return frozenset().union(*(one.needs for one in (*self.up_when, *self.degraded_when)))


Peers = Callable[[Collection[str], Collection[str]], Sequence[tuple[str, State]]]
"""How the monitors stand that are named, and those that have all of the tags: (names, tags) to (name, health)."""


def _no_peers(_: Collection[str], __: Collection[str]) -> Sequence[tuple[str, State]]:
    return ()


@dataclass(frozen=True, slots=True)
class Tools:
    """What the program lends to monitors. One of each, shared by all."""

    clock: Clock
    http: HttpClient
    resolver: Resolver
    tls_contexts: TlsContexts
    processes: Processes = field(default_factory=Processes)
    journal: JournalFeeds = field(default_factory=JournalFeeds)
    peers: Peers = _no_peers
    units: Units = field(default_factory=Units)


def lookup_of(observation: Observation) -> Lookup:
    """What conditions ask of an observation that still has its evidence."""
    fields, evidence = observation.fields, observation.evidence

    def lookup(reference: Reference) -> object:
        if reference.argument is None and reference.name in fields:
            return fields[reference.name]
        if evidence is None:
            return Unresolved(is_absent=True)
        return evidence(reference.name, reference.argument)

    return lookup


class Stopwatch:
    """Runs from its making, or from `began_s` of the monotonic clock, by which it measures."""

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
        evidence: Evidence | None = None,
        *,
        subject: str = "",
        outcome: str = "",
        shows_connectivity: bool | None = None,
    ) -> Observation:
        """What was seen until now."""
        return Observation(
            self.started_at,
            self.elapsed_s,
            reason,
            detail,
            fields or {},
            address,
            evidence,
            subject=subject,
            outcome=outcome,
            shows_connectivity=shows_connectivity,
        )


class Monitor(ABC, Generic[OptionsT]):
    """One configured thing to watch."""

    type_name: ClassVar[str]

    uses_network: bool = True
    """Whether its checks cross the network: nearly all of those failing at once means that we are cut off.

    Of the type, or set for the one monitor while it is made.
    """

    uses_local_time: bool = False
    """Whether its results depend on the local time zone: it is then checked at once when that changes."""

    default_policy: ClassVar[HealthPolicy] = HealthPolicy()
    """How many verdicts in a row are believed where the configuration does not say."""

    vocabulary: ClassVar[Vocabulary] = Vocabulary({})
    """The fields that conditions may speak of: those of its observations, and what their evidence answers."""

    def __init__(self, settings: MonitorSettings, tools: Tools) -> None:
        self.settings = settings
        self.options: OptionsT = settings.options
        self.tools = tools
        self.masking = Masking(self.secrets())

    @property
    def name(self) -> str:
        return self.settings.name

    @property
    def host(self) -> str | None:
        """What `max_concurrent_per_host` counts by; None: this check loads no host.

        `CHILDREN` for a check that starts a program: `max_concurrent_children` counts those.
        """
        return None

    def secrets(self) -> Iterable[str]:
        """What of its options must be seen nowhere: it is masked in all that is told of its checks.

        Asked once, while it is made, when there are `settings`, `options` and `tools`.
        """
        return ()

    @classmethod
    @abstractmethod
    def read_options(cls, table: Table) -> OptionsT:
        """Read the keys of this type. Failures are recorded in the table; never raises for bad input."""

    @classmethod
    def absent_fields(cls, options: OptionsT) -> Mapping[str, str]:
        """Facts of the vocabulary that a monitor with these options never has, and why; conditions cannot use them."""
        del options
        return {}

    @abstractmethod
    async def check(self) -> Observation:
        """Look once. A failure of what is watched is an observation; whatever is raised is a bug of this type.

        `condition_failed` is the type's own default verdict on an answer that it got: `up_when` takes its place, unless
        the observation is not `is_usable`.

        Ends within `settings.timeout_s`, or is cancelled soon after and counts as `timeout_response`.
        """

    def journal_fields(self, observation: Observation) -> Mapping[str, str]:
        """Fields of the type's own for the journal: upper-case names, as in `HTTP_STATUS`."""
        del observation
        return {}

    def start(self, wake: Callable[[], None]) -> None:
        """The monitor is in force from now on; before its first check, on the running event loop.

        `wake` has it checked at once, as often as something happens that should not wait until it is due. It may
        be called until `close` has been.
        """

    def is_woken_by(self, other: MonitorSettings) -> bool:
        """Whether a change of health of the other one is to have this one checked at once."""
        del other
        return False

    def dump_state(self) -> Mapping[str, Any] | None:
        """What must be known again after a restart, as JSON; asked for after each check. None: nothing."""
        return None

    def restore_state(self, memory: Mapping[str, Any]) -> None:
        """Take up what `dump_state` gave: in an earlier run, or of the monitor that this one replaces. Before `start`.

        It may come from another release: what it does not understand it leaves.
        """

    async def close(self) -> None:
        """Give back what this monitor alone holds. Called once, after its last check."""
        return
