"""Lifetimes of one daemon, one after the other, on a real history database and in fake time.

Only the clock, the monitors (`Scripted`) and the notifiers (`tests.alerts.fakes`) differ from production.
"""

import asyncio
import gc
import os
import signal
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, ClassVar

from monitord.daemon import Daemon
from monitord.explanation import UtcTimes, decision_text
from monitord.history import History
from monitord.model import (
    Observation,
    Reason,
)
from monitord.monitors import MONITOR_TYPES
from tests.alerts.fakes import FakeNotifier, fake_type, without_duration
from tests.fakes import FakeClock, FakeMonitor, FakeTimeLoop, run_in_fake_time
from tests.worlds import World

NOTIFIER = """
[notifiers.ops]
type = "fake"
group_wait = "1s"
"""

WEB = """
[monitors.web]
type = "fake"
check_every = "10s"
retry_every = "3s"
timeout = "2s"
"""


class Scripted(FakeMonitor):
    """Fails with the reason in `bad` under its name."""

    bad: ClassVar[dict[str, Reason]] = {}
    takes_s: ClassVar[float] = 0.0

    async def check(self) -> Observation:
        began_s = self.tools.clock.monotonic_s()
        self.began.append(began_s)
        started_at = self.tools.clock.now()
        reason = self.bad.get(self.name, Reason.OK)
        await asyncio.sleep(self.takes_s)
        return Observation(started_at, self.takes_s, reason, "looked")


class Lifetime:
    """A running daemon."""

    def __init__(self, container: World) -> None:
        self.container = container
        self.incidents = container.incidents
        self._killed_with: list[str] | None = None

    @property
    def sent(self) -> list[str]:
        """The titles of all notifications in this lifetime, without durations."""
        if self._killed_with is not None:
            return self._killed_with
        return [
            without_duration(title)
            for notifier in FakeNotifier.made
            if notifier.tools is self.container.notifier_tools
            for group in notifier.titles
            for title in group
        ]

    def why(self, monitor: str = "web", notifier: str = "ops") -> str:
        """The decision that `monitorctl explain` shows for this notifier."""
        explanation = self.container.explanations.explain(monitor)
        decision = next(entry["decision"] for entry in explanation["notifiers"] if entry["name"] == notifier)
        return decision_text(decision, explanation, UtcTimes())

    async def kill(self) -> None:
        """Behave as after SIGKILL: nothing is stored from here on, and `sent` does not change."""
        self._killed_with = self.sent
        with frozen_time():
            await self.container.history.close(5.0)

    async def reload(self, text: str) -> None:
        """Reload this configuration, which must be applied."""
        self.container.config.write_text(self.head + text)
        with frozen_time():
            outcome = await self.container.control.reload("a test")
        assert outcome.ok, outcome.error

    @property
    def head(self) -> str:
        return head(self.container.config.parent)


def head(folder: Path) -> str:
    """The beginning of every configuration."""
    return f'[history]\ndirectory = "{folder}"\n[status]\nsocket = "{folder}/socket"\n'


def frozen_time() -> AbstractContextManager[None]:
    """Stop the time of the running loop while another thread works."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, FakeTimeLoop)
    return loop.frozen()


async def written(history: History) -> None:
    """Wait until the history has stored everything. Its writer is a thread, so that no fake time passes."""
    with frozen_time():
        while history.stats().queued:
            history._pass_batch()  # its timer does not run, either
            await asyncio.sleep(0)


@asynccontextmanager
async def lifetime(
    folder: Path, config: str, *, is_killed: bool = False, ahead_s: float = 0.0
) -> AsyncIterator[Lifetime]:
    """Run a daemon from READY=1 until SIGTERM, or until it is killed."""
    path = folder / "monitord.toml"
    path.write_text(head(folder) + config)
    container = World(config=path, clock=FakeClock(ahead_s=ahead_s))
    running = asyncio.ensure_future(Daemon(container).run())
    await asyncio.sleep(0)  # the daemon opens the history before anything else is built
    try:
        while container.control.state != "running":
            await asyncio.sleep(0.001)
            if running.done():
                running.result()
        daemon = Lifetime(container)
        yield daemon
        if is_killed:
            await daemon.kill()
    finally:
        if not running.done():
            os.kill(os.getpid(), signal.SIGTERM)
        await running
        gc.unfreeze()


@contextmanager
def scripted_types() -> Iterator[None]:
    """Register the type `fake` of monitors and of notifiers."""
    MONITOR_TYPES["fake"] = Scripted
    Scripted.bad, Scripted.takes_s = {}, 0.0
    before = signal.getsignal(signal.SIGHUP)
    try:
        with fake_type():
            yield
    finally:
        del MONITOR_TYPES["fake"]
        signal.signal(signal.SIGHUP, before)


def run(main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    with scripted_types():
        run_in_fake_time(main)
