"""The parts of a daemon, built by its container, on the clock of a test.

A part that a test replaces is overridden before its first use:
`world.override(ApplicationContainer.live, Live("boot"))`.
"""

from pathlib import Path
from typing import Any

from monitord.application import ApplicationContainer
from monitord.clock import Clock
from monitord.container import provide
from monitord.dispatch import Sink
from monitord.history import Kept
from monitord.monitors import Monitor
from monitord.settings import Settings
from tests.fakes import FakeClock, FakeSink


class World(ApplicationContainer):
    """A container with a sink of the test after those of the daemon. Construct it on a running loop."""

    def __init__(
        self,
        *,
        clock: Clock | None = None,
        settings: Settings | None = None,
        history_path: Path | None = None,
        kept: Kept | None = None,
    ) -> None:
        super().__init__(settings or Settings(), environ={})
        self.sink = FakeSink()
        self.override(ApplicationContainer.clock, clock or FakeClock())
        self.override(ApplicationContainer.origin, "here.example.org")
        self.override(ApplicationContainer.history_path, history_path)
        self.override(ApplicationContainer.kept, kept or Kept())

    @provide
    def sinks(self) -> tuple[Sink, ...]:
        return (*ApplicationContainer.sinks._build(self), self.sink)

    def start(self) -> None:
        """Start the dispatcher: monitors are checked from now on."""
        self.dispatcher.start()
        self.pulse.start()

    def add(self, *monitors: Monitor[Any]) -> None:
        """Add these monitors, or replace those of the same names."""
        built = {monitor.name: monitor for monitor in monitors}
        present = [watched.monitor.settings for watched in self.dispatcher.watched.values()]
        wanted = [settings for settings in present if settings.name not in built]
        wanted += [monitor.settings for monitor in monitors]
        self.dispatcher.apply(self.dispatcher.plan(wanted, lambda settings: built[settings.name]))

    async def close(self) -> None:
        await self.dispatcher.close(0.0)
        self.pulse.stop()
        await self.alerts.close()
        await self.history.close(5.0)
        await self.http_client.close()
