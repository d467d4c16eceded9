"""A daemon with a real application and history, and monitorctl as a user runs it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from pathlib import Path

from monitord.cli.control_command import main
from monitord.dispatch import result_to_record
from monitord.model import Incident, Reason, State, Verdict
from monitord.web import Server
from tests.endpoint import StatusWorld, make_world
from tests.history.world import result, written

MINUTE = timedelta(minutes=1)
CHECKS = 30


class RunningDaemon:
    """`end`: the time of the clock of the history."""

    def __init__(self, world: StatusWorld, path: Path) -> None:
        self.world = world
        self.path = path
        self.end = world.history._clock.now()

    async def ctl(self, *arguments: str) -> int:
        """The exit status of a command."""
        return await self.run("--socket", str(self.path), *arguments)

    async def run(self, *arguments: str) -> int:
        """As `ctl`, without --socket."""
        return await asyncio.to_thread(main, arguments)

    def ago(self, minutes: float) -> datetime:
        return self.end - minutes * MINUTE

    async def write_past(self) -> None:
        """Half an hour of `good`: a check a minute, every tenth failed, three minutes down, two incidents."""
        history = self.world.history
        history.record_state("good", State.UP, in_maintenance=False, at=self.ago(CHECKS))
        for number in range(CHECKS, 0, -1):
            verdict = Verdict.FAIL if number % 10 == 0 else Verdict.PASS
            check_result = result(self.ago(number), verdict, response_time=number / 1000, phase_connect=0.01)
            history.add_result("good", check_result, State.UP, result_to_record(check_result))
        history.record_state("good", State.DOWN, in_maintenance=False, at=self.ago(6))
        history.record_state("good", State.UP, in_maintenance=False, at=self.ago(3))
        for number in (20, 6):
            closed_at = None if number == 6 else self.ago(number - 1)
            history.add_incident(
                Incident(f"i{number}", "good", self.ago(number), Reason.REFUSED, "no answer", closed_at)
            )
        history.tick(self.end)
        await written(history)


@asynccontextmanager
async def running_daemon(tmp_path: Path) -> AsyncIterator[RunningDaemon]:
    world = make_world(history_path=tmp_path / "history.db")
    world.history.open()
    world.history.start()
    path = tmp_path / "status.sock"
    try:
        async with Server(world.status_application, path=path):
            yield RunningDaemon(world, path)
    finally:
        await world.close()
