"""A status endpoint to ask: the real application over a real Unix socket, with a control that remembers."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from monitord.cli.client import Client, target_of
from monitord.dispatch import CheckLog, Dispatcher, LoggedChecks, LoopPulse, Pipeline, Places, Watched
from monitord.errors import ControlError
from monitord.model import Reason, Result
from monitord.monitors.heartbeat import Beat
from monitord.status import ReloadOutcome, Snapshots, build_application
from monitord.web import Server
from tests.fakes import FakeClock, FakeMonitor, fake_tools, monitor_settings


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


ACCEPTED = ReloadOutcome(ok=True, at=datetime(2026, 1, 1, tzinfo=UTC), summary="+1 -0 ~0, 2 unchanged")
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


@asynccontextmanager
async def endpoint(
    path: Path, *, outcome: ReloadOutcome = ACCEPTED, overdue_s: float = 0.0
) -> AsyncIterator[Endpoint]:
    clock = FakeClock()
    pulse = LoopPulse(clock)
    check_log = CheckLog(LoggedChecks.CHANGES)
    places: Places[Watched] = Places(10, 10)
    dispatcher = Dispatcher(Pipeline(clock, pulse, check_log), places, clock, check_log)

    async def refuse() -> Reason:
        return Reason.REFUSED

    monitors = {
        "good": FakeMonitor(monitor_settings("good", tags=("prod",)), fake_tools(clock)),
        "bad": FakeMonitor(monitor_settings("bad"), fake_tools(clock), refuse),
        "a.b-c_d": FakeMonitor(monitor_settings("a.b-c_d"), fake_tools(clock)),
    }
    wanted = [monitor.settings for monitor in monitors.values()]
    dispatcher.apply(dispatcher.plan(wanted, lambda settings: monitors[settings.name]))
    control = FakeControl(dispatcher, outcome)
    application = build_application(Snapshots(dispatcher, pulse, clock), control, lambda: overdue_s)
    try:
        async with Server(application, path=path / "status.sock"):
            yield Endpoint(path / "status.sock", control)
    finally:
        await dispatcher.close(0.0)
