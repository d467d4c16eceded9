"""A status endpoint to ask: the real application over a real Unix socket, with a control that remembers."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from monitord.alerts import Alerts
from monitord.bridges.teller import Standings, Teller
from monitord.cli.client.connection import Client, target_of
from monitord.dispatch import (
    CheckLog,
    Dispatcher,
    LoggedChecks,
    LoopPulse,
    Matcher,
    Pause,
    Pipeline,
    Places,
    Roster,
    Silence,
    Watched,
)
from monitord.errors import ControlError
from monitord.history import History, HistorySettings
from monitord.model import Reason, Result
from monitord.monitors import MonitorSettings
from monitord.monitors.heartbeat.monitor import Beat
from monitord.status import (
    Access,
    AccessPolicy,
    Explanations,
    Live,
    MetricsEndpoint,
    MetricsSources,
    Reads,
    ReloadOutcome,
    Snapshots,
    Tally,
    build_application,
)
from monitord.web import Application, Server
from monitord.web.testing import TestClient
from tests.fakes import FakeClock, FakeMonitor, alerts_of_nobody, fake_tools, monitor_settings
from tests.history.world import SetClock


@dataclass
class FakeControl:
    """Remembers who asked for what."""

    dispatcher: Dispatcher
    outcome: ReloadOutcome
    state: str = "running"
    last_reload: ReloadOutcome | None = None
    asked: list[str] = field(default_factory=list)
    beats: list[tuple[str, Beat]] = field(default_factory=list)

    async def reload(self, asked_by: str) -> ReloadOutcome:
        self.asked.append(asked_by)
        self.last_reload = self.outcome
        return self.outcome

    async def check_now(self, name: str, asked_by: str) -> Result:
        self.asked.append(asked_by)
        return await self.dispatcher.check_now(name)

    def beat(self, name: str, beat: Beat, asked_by: str) -> None:
        self.asked.append(asked_by)
        if self.dispatcher.watched[name].name == "bad":
            raise ControlError("bad is of type fake and takes no beats", hint='write type = "heartbeat"')
        self.beats.append((name, beat))


ACCEPTED = ReloadOutcome(ok=True, at=datetime(2026, 1, 1, tzinfo=UTC), summary="1 added, 2 unchanged")
REFUSED = ReloadOutcome(
    ok=False, at=datetime(2026, 1, 1, tzinfo=UTC), summary="bad", error="monitord.toml:1: bad"
)


class Endpoint:
    """What a client sees, asked off the event loop."""

    def __init__(self, path: Path, control: FakeControl) -> None:
        self.path = path
        self.control = control
        self._client = Client(path)

    async def get(self, *parts: str) -> Any:
        return await asyncio.to_thread(self._client.get, target_of(*parts))

    async def post(self, *parts: str) -> Any:
        return await asyncio.to_thread(self._client.post, target_of(*parts))


class FakeInterventions:
    """Does to the dispatcher what is asked, and remembers who asked."""

    def __init__(self, dispatcher: Dispatcher, clock: FakeClock) -> None:
        self._dispatcher = dispatcher
        self._clock = clock
        self.silences: list[Silence] = []
        self.asked: list[tuple[str, ...]] = []

    def pause(self, name: str, by: str, comment: str | None) -> None:
        self._dispatcher.pause(name, Pause(by, self._clock.now(), comment))
        self.asked.append(("pause", name, by, comment or ""))

    def resume(self, name: str, by: str) -> None:
        self._dispatcher.resume(name)
        self.asked.append(("resume", name, by))

    def acknowledge(self, name: str, by: str, comment: str | None) -> None:
        watched = self._dispatcher.watched[name]
        if watched.state.incident is None:
            raise ValueError("has no open incident")
        incident = replace(watched.state.incident, acknowledged_by=by, comment=comment)
        watched.state = replace(watched.state, incident=incident)
        self.asked.append(("acknowledge", name, by, comment or ""))

    def unacknowledge(self, name: str, by: str) -> None:
        watched = self._dispatcher.watched[name]
        if watched.state.incident is None or watched.state.incident.acknowledged_by is None:
            raise ValueError("has no acknowledged incident")
        incident = replace(watched.state.incident, acknowledged_by=None, comment=None)
        watched.state = replace(watched.state, incident=incident)
        self.asked.append(("unacknowledge", name, by))

    def silence(
        self, matcher: Matcher, until: datetime, comment: str | None, by: str, *, is_end_fixed: bool = False
    ) -> str:
        made = Silence(f"s{len(self.silences)}", matcher, self._clock.now(), until, by, comment, is_end_fixed)
        self._put_in_force([*self.silences, made])
        return made.id

    def unsilence(self, silence_id: str, by: str) -> None:
        left = [one for one in self.silences if one.id != silence_id]
        if len(left) == len(self.silences):
            raise KeyError(silence_id)
        self._put_in_force(left)
        self.asked.append(("unsilence", silence_id, by))

    def _put_in_force(self, silences: list[Silence]) -> None:
        self.silences = silences
        self._dispatcher.roster.silences = {one.id: one for one in silences}


@dataclass
class World:
    """The status application and all that it tells of; nothing of it listens yet."""

    clock: FakeClock
    dispatcher: Dispatcher
    pipeline: Pipeline
    control: FakeControl
    interventions: FakeInterventions
    history: History
    live: Live
    tally: Tally
    metrics: MetricsSources
    reads: Reads
    alerts: Alerts
    application: Application

    async def close(self) -> None:
        await self.dispatcher.close(0.0)
        await self.alerts.close()


def world(
    *,
    outcome: ReloadOutcome = ACCEPTED,
    overdue_s: float = 0.0,
    policy: AccessPolicy | None = None,
    history_path: Path | None = None,
    more: Sequence[MonitorSettings] = (),
) -> World:
    """Three monitors, one of which fails, and `more` that pass. Needs a running loop."""
    clock = FakeClock()
    pulse = LoopPulse(clock)
    check_log = CheckLog(LoggedChecks.CHANGES)
    places: Places[Watched] = Places(10, 10)
    roster = Roster()
    standings = Standings(roster, clock)
    alerts = alerts_of_nobody(clock, standings.of)
    live, tally = Live("boot", clock=clock), Tally(clock)
    sinks = (live, tally, Teller(alerts, standings, roster))
    pipeline = Pipeline(clock, pulse, check_log, roster, sinks)
    dispatcher = Dispatcher(pipeline, places, clock, check_log)

    async def refuse() -> Reason:
        return Reason.REFUSED

    tools = fake_tools(clock)
    monitors = {
        "good": FakeMonitor(monitor_settings("good", tags=("prod",)), tools),
        "bad": FakeMonitor(monitor_settings("bad"), tools, refuse),
        "a.b-c_d": FakeMonitor(monitor_settings("a.b-c_d"), tools),
        **{settings.name: FakeMonitor(settings, tools) for settings in more},
    }
    wanted = [monitor.settings for monitor in monitors.values()]
    dispatcher.apply(dispatcher.plan(wanted, lambda settings: monitors[settings.name]))
    control = FakeControl(dispatcher, outcome)
    interventions = FakeInterventions(dispatcher, clock)
    # Its threads have no loop whose time they could ask.
    history = History(history_path, HistorySettings(), SetClock(clock.now()))
    snapshots = Snapshots(dispatcher, pulse, history, alerts, clock)
    reads = Reads(snapshots, dispatcher, control, clock)
    sources = MetricsSources(snapshots, dispatcher, pulse, control, live, tally, history, alerts)
    application = build_application(
        reads,
        control,
        history,
        live,
        Access(policy or AccessPolicy(), clock, tally),
        MetricsEndpoint(sources, clock),
        interventions,
        Explanations(dispatcher, pipeline, alerts, clock).explain,
        alerts,
        lambda: overdue_s,
    )
    return World(
        clock,
        dispatcher,
        pipeline,
        control,
        interventions,
        history,
        live,
        tally,
        sources,
        reads,
        alerts,
        application,
    )


@asynccontextmanager
async def asked(made: World) -> AsyncIterator[TestClient]:
    """A client of the application, over socket pairs: its peer is this very process."""
    try:
        async with TestClient(made.application) as client:
            yield client
    finally:
        await made.close()


@asynccontextmanager
async def endpoint(
    path: Path, *, outcome: ReloadOutcome = ACCEPTED, overdue_s: float = 0.0
) -> AsyncIterator[Endpoint]:
    made = world(outcome=outcome, overdue_s=overdue_s)
    try:
        async with Server(made.application, path=path / "status.sock"):
            yield Endpoint(path / "status.sock", made.control)
    finally:
        await made.close()
