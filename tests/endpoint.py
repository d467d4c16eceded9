"""A status endpoint to ask: the real application over a real Unix socket, with a control that remembers."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from monitord.application import ApplicationContainer
from monitord.cli.client.connection import Client, path_of
from monitord.clock import Clock
from monitord.control import Control
from monitord.dispatch import Dispatcher, Matcher
from monitord.errors import ControlError
from monitord.interventions import Interventions
from monitord.model import Reason, Result
from monitord.monitors import MonitorSettings
from monitord.monitors.heartbeat.monitor import Heartbeat
from monitord.status import Access, AccessPolicy, ClusterSource, LiveEvents, ReloadOutcome
from monitord.web import Server
from monitord.web.testing import TestClient
from tests.fakes import FakeClock, FakeMonitor, monitor_settings
from tests.worlds import World

ACCEPTED = ReloadOutcome(ok=True, at=datetime(2026, 1, 1, tzinfo=UTC), summary="1 added, 2 unchanged")
REFUSED = ReloadOutcome(
    ok=False, at=datetime(2026, 1, 1, tzinfo=UTC), summary="bad", error="monitord.toml:1: bad"
)


class FakeControl(Control):
    """Remembers the requests; every reload has the same outcome."""

    last_reload: ReloadOutcome | None = None
    state: str = "running"

    def __init__(self, container: ApplicationContainer, outcome: ReloadOutcome) -> None:
        super().__init__(
            config=container.config,
            settings=container.settings,
            dispatcher=container.dispatcher,
            sources=container.sources,
            build=container.build_monitor,
            check_log=container.check_log,
            history=container.history,
            alerts=container.alerts,
            sd_notify=container.sd_notify,
            clock=container.clock,
        )
        self.outcome = outcome
        self.asked: list[str] = []
        self.heartbeats: list[tuple[str, Heartbeat]] = []

    async def reload(self, requested_by: str) -> ReloadOutcome:
        self.asked.append(requested_by)
        self.last_reload = self.outcome
        return self.outcome

    async def check_now(self, name: str, requested_by: str) -> Result:
        self.asked.append(requested_by)
        return await super().check_now(name, requested_by)

    def record_heartbeat(self, name: str, heartbeat: Heartbeat, requested_by: str) -> None:
        self.asked.append(requested_by)
        if self._dispatcher.entries[name].name == "bad":
            raise ControlError("bad is of type fake and takes no heartbeats", hint='write type = "heartbeat"')
        self.heartbeats.append((name, heartbeat))


class RecordedInterventions(Interventions):
    """Remembers the requests that were carried out: act, name, by and comment."""

    def __init__(self, container: ApplicationContainer) -> None:
        super().__init__(container.dispatcher, container.pipeline, container.silences, container.clock)
        self.asked: list[tuple[str, ...]] = []

    def pause(self, name: str, by: str, comment: str | None) -> None:
        super().pause(name, by, comment)
        self.asked.append(("pause", name, by, comment or ""))

    def resume(self, name: str, by: str) -> None:
        super().resume(name, by)
        self.asked.append(("resume", name, by))

    def acknowledge(self, name: str, by: str, comment: str | None) -> None:
        super().acknowledge(name, by, comment)
        self.asked.append(("acknowledge", name, by, comment or ""))

    def unacknowledge(self, name: str, by: str) -> None:
        super().unacknowledge(name, by)
        self.asked.append(("unacknowledge", name, by))

    def silence(
        self, matcher: Matcher, until: datetime, comment: str | None, by: str, *, is_end_fixed: bool = False
    ) -> str:
        """Silences are called s0, s1, …: tests name them."""
        number = len(self.silences)
        random_id = super().silence(matcher, until, comment, by, is_end_fixed=is_end_fixed)
        numbered = f"s{number}"
        self._silences.replace_all(
            [
                replace(silence, id=numbered) if silence.id == random_id else silence
                for silence in self.silences
            ]
        )
        return numbered

    def unsilence(self, silence_id: str, by: str) -> None:
        super().unsilence(silence_id, by)
        self.asked.append(("unsilence", silence_id, by))


class OverdueDispatcher(Dispatcher):
    """A dispatcher that reports a fixed delay of its check timers."""

    fixed_overdue_s = 0.0

    def overdue_s(self) -> float:
        return self.fixed_overdue_s


class RecordedWorld(World):
    """A world whose control and interventions remember the requests of clients."""

    control: FakeControl
    interventions: RecordedInterventions

    def __init__(
        self,
        *,
        clock: Clock | None = None,
        outcome: ReloadOutcome = ACCEPTED,
        history_path: Path | None = None,
        overdue_s: float = 0.0,
        cluster: ClusterSource | None = None,
    ) -> None:
        super().__init__(clock=clock, history_path=history_path)
        if cluster is not None:
            self.override(ApplicationContainer.cluster_source, cluster)
        self.override(ApplicationContainer.live_events, LiveEvents("boot", clock=self.clock))
        dispatcher = OverdueDispatcher(self.pipeline, self.slots, self.clock, self.check_log)
        dispatcher.fixed_overdue_s = overdue_s
        self.override(ApplicationContainer.dispatcher, dispatcher)
        self.override(ApplicationContainer.control, FakeControl(self, outcome))
        self.override(ApplicationContainer.interventions, RecordedInterventions(self))


class StatusWorld(RecordedWorld):
    """See `world`."""

    clock: FakeClock


class Endpoint:
    """A client of the status socket, whose requests run in a thread."""

    def __init__(self, path: Path, control: FakeControl) -> None:
        self.path = path
        self.control = control
        self._client = Client(path)

    async def get(self, *parts: str) -> Any:
        return await asyncio.to_thread(self._client.get, path_of(*parts))

    async def post(self, *parts: str) -> Any:
        return await asyncio.to_thread(self._client.post, path_of(*parts))


def make_world(
    *,
    outcome: ReloadOutcome = ACCEPTED,
    overdue_s: float = 0.0,
    policy: AccessPolicy | None = None,
    history_path: Path | None = None,
    more: Sequence[MonitorSettings] = (),
    cluster: ClusterSource | None = None,
) -> StatusWorld:
    """Three monitors, one of which fails, and `more` that pass. Needs a running loop."""
    world = StatusWorld(outcome=outcome, history_path=history_path, overdue_s=overdue_s, cluster=cluster)
    if policy is not None:
        world.override(ApplicationContainer.access, Access(policy, world.clock))

    async def fail() -> Reason:
        return Reason.REFUSED

    world.add(
        FakeMonitor(monitor_settings("good", tags=("prod",)), world.tools),
        FakeMonitor(monitor_settings("bad"), world.tools, fail),
        FakeMonitor(monitor_settings("a.b-c_d"), world.tools),
        *(FakeMonitor(settings, world.tools) for settings in more),
    )
    return world


@asynccontextmanager
async def asked(world: StatusWorld) -> AsyncIterator[TestClient]:
    """A client of the application, over socket pairs: its peer is this very process."""
    try:
        async with TestClient(world.status_application) as client:
            yield client
    finally:
        await world.close()


@asynccontextmanager
async def endpoint(
    path: Path,
    *,
    outcome: ReloadOutcome = ACCEPTED,
    overdue_s: float = 0.0,
    cluster: ClusterSource | None = None,
) -> AsyncIterator[Endpoint]:
    world = make_world(outcome=outcome, overdue_s=overdue_s, cluster=cluster)
    try:
        async with Server(world.status_application, path=path / "status.sock"):
            yield Endpoint(path / "status.sock", world.control)
    finally:
        await world.close()
