"""The parts of a daemon, built by its container, on the clock of a test.

A part that a test replaces is overridden before its first use:
`world.override(ApplicationContainer.live_events, LiveEvents("boot"))`.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from monitord.application import ApplicationContainer
from monitord.clock import Clock
from monitord.container import provide
from monitord.dispatch import Sink
from monitord.history import History, HistorySettings, SavedState
from monitord.model import Incident, Reason, State, Transition, Verdict
from monitord.monitors import Monitor, Tools
from monitord.net import Resolver
from monitord.settings import LimitSettings, Settings, read_settings
from tests.fakes import FakeClock, FakeMonitor, FakeSink, monitor_settings

Act = Callable[[], Awaitable[Reason]]


class MemoryHistory(History):
    """Keeps only the daemon's own state, in `kept`."""

    def __init__(self, kept: Mapping[str, Mapping[str, Any]], clock: Clock) -> None:
        super().__init__(None, HistorySettings(), clock)
        self.kept = dict(kept)

    def save_daemon_state(self, key: str, state: Mapping[str, Any] | None) -> None:
        if state is None:
            self.kept.pop(key, None)
        else:
            self.kept[key] = state


class World(ApplicationContainer):
    """A container with a sink of the test after those of the daemon. Construct it on a running loop.

    `history_path`: of a real history. Without it only the daemon's own state is kept, in memory; `kept` is that of an
    earlier run. `bad`: the reason of the next checks of monitors that `monitor` made, by name; the others pass.
    """

    def __init__(
        self,
        *,
        clock: Clock | None = None,
        settings: Settings | None = None,
        config: Path | None = None,
        history_path: Path | None = None,
        kept: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> None:
        if config is None:
            super().__init__(settings or Settings(), environ={})
            self.override(ApplicationContainer.history_path, history_path)
        else:
            super().__init__(read_settings(config), config, environ={})
        self.override(ApplicationContainer.clock, clock or FakeClock())
        self.override(ApplicationContainer.host_name, "here.example.org")
        if self.history_path is None:
            self.override(ApplicationContainer.history, MemoryHistory(kept or {}, self.clock))
            self.override(ApplicationContainer.saved_state, SavedState(daemon_states=dict(kept or {})))
        self.bad: dict[str, Reason] = {}
        self.results: list[tuple[str, Verdict, Reason]] = []
        self.transitions: list[Transition] = []
        self.incidents: list[Incident] = []
        self.sink = FakeSink()
        self.sink.results.append(
            lambda entry, result: self.results.append((entry.name, result.verdict, result.observation.reason))
        )
        self.sink.transitions.append(self.transitions.append)
        self.sink.incidents.append(self.incidents.append)

    @provide
    def sinks(self) -> tuple[Sink, ...]:
        return (*ApplicationContainer.sinks._build(self), self.sink)

    def open_history(self) -> None:
        """Open the history at `history_path` before any part that continues from it, as the daemon does."""
        self.override(ApplicationContainer.saved_state, self.history.open())
        self.history.start()

    def start(self) -> None:
        """Check monitors from now on."""
        self.dispatcher.start()
        self.stall_detector.start()

    def add(self, *monitors: Monitor[Any]) -> None:
        built = {monitor.name: monitor for monitor in monitors}
        present = [entry.monitor.settings for entry in self.dispatcher.entries.values()]
        wanted = [*present, *(monitor.settings for monitor in monitors)]
        self.dispatcher.apply(self.dispatcher.plan(wanted, lambda settings: built[settings.name]))

    def monitor(
        self, name: str = "one", act: Act | None = None, host: str | None = None, **settings: Any
    ) -> FakeMonitor:
        """Add a monitor; without `act` its checks have the reason that `bad` says."""

        async def answer() -> Reason:
            return self.bad.get(name, Reason.OK)

        monitor = FakeMonitor(monitor_settings(name, **settings), self.tools, act or answer, host)
        self.add(monitor)
        return monitor

    def state(self, name: str) -> State:
        return self.dispatcher.entries[name].state.effective

    def changes(self, name: str) -> list[State]:
        """The states that the transitions of a monitor led to."""
        return [transition.after for transition in self.transitions if transition.monitor == name]

    async def close(self) -> None:
        await self.dispatcher.close(0.0)
        self.stall_detector.stop()
        await self.alerts.close()
        await self.history.close(5.0)
        await self.http_client.close()


class RunningWorld(World):
    """A world whose dispatcher runs, in time that jumps."""

    clock: FakeClock
    history: MemoryHistory

    def __init__(
        self, in_all: int = 256, per_host: int = 8, kept: Mapping[str, Mapping[str, Any]] | None = None
    ) -> None:
        super().__init__(settings=Settings(limits=LimitSettings(in_all, per_host)), kept=kept)
        self.start()


def hang() -> Awaitable[Reason]:
    return asyncio.Event().wait()  # type: ignore[return-value] # never ends


def answers(*reasons: Reason) -> Act:
    """Return one reason for each check, the last reason forever."""
    left = list(reasons)

    async def act() -> Reason:
        return left.pop(0) if len(left) > 1 else left[0]

    return act


@asynccontextmanager
async def real_tools(resolver: Resolver | None = None) -> AsyncIterator[Tools]:
    """The tools that a daemon lends to monitors, with the system clock and the names of `resolver`."""
    container = ApplicationContainer(Settings(), environ={})
    if resolver is not None:
        container.override(ApplicationContainer.resolver, resolver)
    try:
        yield container.tools
    finally:
        await container.processes.close()
        await container.http_client.close()
