"""Base class of sources: each finds targets, and describes the monitor of each of them.

A source has three parts: its settings (frozen, compared by a reload), which construct it; `run`, which finds targets as
long as the daemon runs; and `keys_of`, which describes the monitor of a target by the keys of [monitors.NAME]. The
rest is the work of `Sources`: defaults, overrides and validation of these keys, the monitors themselves, and the
storage of the targets, so that a restart continues with them.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, ClassVar, Protocol

from monitord.clock import Clock
from monitord.monitors import MonitorSettings
from monitord.net import HttpClient, Processes, Resolver, TlsContexts
from monitord.net.base.blocking import BlockingCalls
from monitord.net.containers import Containers
from monitord.net.dbus.units import Units
from monitord.sources.recoveries import UnitRecoveries

Targets = Mapping[str, Mapping[str, Any]]
"""Targets by name, in order of preference, each with the data that describe it, as JSON."""


@dataclass(frozen=True, slots=True)
class SourceTools:
    """Services that all sources share."""

    clock: Clock
    http: HttpClient
    resolver: Resolver
    processes: Processes
    tls_contexts: TlsContexts
    units: Units
    recoveries: UnitRecoveries
    containers: Containers = field(default_factory=Containers)
    blocking: BlockingCalls = field(default_factory=BlockingCalls)


class Feed(Protocol):
    """The receiver of the reports of a source. To be used on the event loop only."""

    @property
    def targets(self) -> Targets:
        """The last targets, of this run or of an earlier run."""
        ...

    @property
    def problem(self) -> str | None:
        """Why the targets are not known now; None while the source works."""
        ...

    def provide(self, targets: Targets) -> None:
        """Replace all targets, and end a failure. The mapping must not change afterwards."""
        ...

    def fail(self, problem: str) -> None:
        """Report that the targets are not known now: the last targets remain."""
        ...


class MonitorSource(ABC):
    """Finds targets. When its settings change, a new source is constructed, which continues with the targets."""

    checks_at_once: ClassVar[bool] = False
    """Whether new monitors are checked at once, instead of within the first seconds of their schedule."""

    @abstractmethod
    def keys_of(self, target: str, data: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the keys of the monitor of a target, as in [monitors.NAME]. Raises InvalidValueError.

        Called in another thread. The data may come from an earlier version.
        """

    @abstractmethod
    async def run(self, feed: Feed) -> None:
        """Find targets until cancelled. An exception is a bug: it is logged, and the source is run again later."""


class SourceSettings(Protocol):
    """Frozen settings of one source. A source with equal settings continues during a reload."""

    @property
    def name(self) -> str:
        """The part of the names of its monitors before the colon."""
        ...

    @property
    def type_name(self) -> str: ...

    @property
    def max_targets(self) -> int: ...

    @property
    def samples(self) -> Sequence[Mapping[str, Any]]:
        """The keys of one monitor of each kind that it provides: overrides are checked with them."""
        ...

    def construct(self, tools: SourceTools) -> MonitorSource: ...


class MonitorReader(Protocol):
    """Reads the settings of automatic monitors with [defaults] and overrides. Equal readers read equal settings."""

    def for_many(self) -> "MonitorReader":
        """Return a reader for many similar monitors, in one thread: their common parts are read once."""
        ...

    def read(self, name: str, source: str, keys: Mapping[str, Any]) -> MonitorSettings:
        """Read the settings of a monitor. Raises ConfigError."""
        ...


@dataclass(frozen=True, slots=True)
class SourcesSettings:
    """All sources. `ignore`: patterns of names of automatic monitors that are excluded."""

    sources: tuple[SourceSettings, ...] = ()
    ignore: tuple[str, ...] = ()
    reader: MonitorReader | None = None


@dataclass(frozen=True, slots=True)
class SourceStatus:
    """The state of one source for readers.

    `rejected`: why a target has no monitor, by target. `over_limit`: the number of targets beyond the limit.
    `problem`: why the targets are not known now; None while the source works.
    """

    name: str
    type_name: str
    targets: int
    monitors: int
    ignored: int
    over_limit: int
    rejected: Mapping[str, str]
    problem: str | None
    failing_since: datetime | None
    updated_at: datetime | None
