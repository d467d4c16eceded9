"""Fakes written by hand: an event loop in fake time, a clock on it, a monitor, and a sink that calls the test."""

import asyncio
import contextlib
import selectors
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar, TypeVar

from monitord.config import Table
from monitord.dispatch import MonitorEntry, Sink
from monitord.health import HealthPolicy
from monitord.model import Incident, MonitorContext, Observation, Reason, Result, Transition
from monitord.monitors import Monitor, MonitorSettings, Tools
from monitord.net import HttpClient, Resolver, TlsContexts

T = TypeVar("T")
LoopFactory = Callable[[], asyncio.AbstractEventLoop]

FIRST_S = 1000.0
"""The time at which a loop in fake time begins."""

MORNING_S = 6 * 3600.0
"""The time of day at which the wall clock of a real loop begins. A few hours before and after are on the same day."""


class _JumpingSelector(selectors.SelectSelector):
    """Advances the time of the loop instead of waiting. Ready file descriptors come first."""

    def __init__(self) -> None:
        super().__init__()
        self.now_s = FIRST_S
        self.is_frozen = False

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if self.is_frozen:
            return super().select(None if timeout is None else min(timeout, 0.01))
        ready = super().select(0)
        if ready:
            return ready
        if timeout is None:
            ready = super().select(5)
            if not ready:
                raise RuntimeError("no timer is set and no event arrives: the test would wait forever")
            return ready
        self.now_s += timeout
        return ready


class FakeTimeLoop(asyncio.SelectorEventLoop):
    """An event loop in fake time: when it would wait for a timer, its time jumps to that timer."""

    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.now_s

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Stop the time while another thread works. Otherwise it would jump from timer to timer."""
        self._jumping.is_frozen = True
        try:
            yield
        finally:
            self._jumping.is_frozen = False

    def stall(self, seconds: float) -> None:
        """Advance the time without running the loop."""
        self._jumping.now_s += seconds


def run_in_fake_time(main: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run a coroutine on a `FakeTimeLoop`."""
    # Not asyncio.Runner: it would take the thread's own loop from pytest-asyncio, which keeps one between tests.
    loop = FakeTimeLoop()
    try:
        return loop.run_until_complete(main())
    finally:
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()


def stall(seconds: float) -> None:
    """Block the running `FakeTimeLoop` for so many seconds of its time."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, FakeTimeLoop)
    loop.stall(seconds)


class FakeClock:
    """A clock on the loop that runs when it is constructed or first read. Other threads may read it.

    The time of a real loop begins at the boot of the machine: the wall clock then begins at MORNING_S. `skipped_s` are
    seconds that passed while the loop did not run, `slept_s` those in suspend. The wall clock is wrong by `ahead_s`.
    """

    START = datetime(2026, 1, 1, tzinfo=UTC)

    def __init__(self, *, ahead_s: float = 0.0) -> None:
        self.slept_s = 0.0
        self.skipped_s = 0.0
        self.ahead_s = ahead_s
        self._loop: asyncio.AbstractEventLoop | None = None
        self._booted_s = 0.0
        with contextlib.suppress(RuntimeError):
            self._bind(asyncio.get_running_loop())

    def _bind(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._booted_s = 0.0 if isinstance(loop, FakeTimeLoop) else loop.time() - MORNING_S

    def monotonic_s(self) -> float:
        if self._loop is None:
            self._bind(asyncio.get_running_loop())
        assert self._loop is not None
        return self._loop.time() + self.skipped_s

    def now(self) -> datetime:
        return self.START + timedelta(seconds=self.monotonic_s() - self._booted_s + self.ahead_s)

    def suspended_s(self) -> float:
        return self.slept_s


MORNING = FakeClock.START + timedelta(seconds=MORNING_S)


class FakeMonitor(Monitor[Any]):
    """Calls `act` for each check, and records when the checks began."""

    type_name: ClassVar[str] = "fake"

    def __init__(
        self,
        settings: MonitorSettings,
        tools: Tools,
        act: Callable[[], Awaitable[Reason]] | None = None,
        host: str | None = None,
    ) -> None:
        super().__init__(settings, tools)
        self.act = act
        self._host = host
        self.began: list[float] = []
        self.closed = 0
        self.state: Mapping[str, Any] | None = None
        self.calls: list[str] = []
        self.wake: Callable[[], None] = lambda: None

    @property
    def pool(self) -> str | None:
        return self._host

    @classmethod
    def read_options(cls, table: Table) -> None:
        table.ignore_others()

    async def check(self) -> Observation:
        began_s = self.tools.clock.monotonic_s()
        self.began.append(began_s)
        reason = Reason.OK if self.act is None else await self.act()
        elapsed_s = self.tools.clock.monotonic_s() - began_s
        return Observation(self.tools.clock.now() - timedelta(seconds=elapsed_s), elapsed_s, reason, "looked")

    def start(self, wake: Callable[[], None]) -> None:
        self.calls.append("start")
        self.wake = wake

    def dump_state(self) -> Mapping[str, Any] | None:
        return self.state

    def restore_state(self, state: Mapping[str, Any]) -> None:
        self.calls.append("restore_state")
        self.state = state

    async def close(self) -> None:
        self.closed += 1


def monitor_settings(
    name: str = "one",
    *,
    check_every_s: float = 10.0,
    timeout_s: float = 2.0,
    retry_every_s: float = 3.0,
    policy: HealthPolicy | None = None,
    type_name: str = "fake",
    options: Any = None,
    tags: tuple[str, ...] = (),
    depends_on: tuple[str, ...] = (),
    depends_on_any: tuple[str, ...] = (),
    renamed_from: str | None = None,
    context: MonitorContext | None = None,
    locations: tuple[str, ...] = (),
) -> MonitorSettings:
    return MonitorSettings(
        name=name,
        type_name=type_name,
        check_every_s=check_every_s,
        timeout_s=timeout_s,
        retry_every_s=retry_every_s,
        policy=policy or HealthPolicy(),
        options=options,
        tags=tags,
        depends_on=depends_on,
        depends_on_any=depends_on_any,
        renamed_from=renamed_from,
        context=context or MonitorContext(),
        locations=locations,
    )


class FakeSink(Sink):
    """Calls the functions that a test has added to its lists."""

    def __init__(self) -> None:
        self.results: list[Callable[[MonitorEntry, Result], object]] = []
        self.transitions: list[Callable[[Transition], object]] = []
        self.incidents: list[Callable[[Incident], object]] = []
        self.isolations: list[Callable[[bool], object]] = []

    def on_result(self, entry: MonitorEntry, result: Result) -> None:
        for consume in self.results:
            consume(entry, result)

    def on_transition(self, entry: MonitorEntry, transition: Transition) -> None:
        for consume in self.transitions:
            consume(transition)

    def on_incident(self, entry: MonitorEntry, incident: Incident) -> None:
        for consume in self.incidents:
            consume(incident)

    def on_isolation_change(self, *, is_isolated: bool) -> None:
        for consume in self.isolations:
            consume(is_isolated)


def fake_tools(clock: FakeClock) -> Tools:
    resolver, contexts = Resolver(), TlsContexts()
    http = HttpClient(user_agent="tests", resolver=resolver, tls_contexts=contexts)
    return Tools(clock, http, resolver, contexts)


def resolver_without_queue(addresses: Callable[[str, int], Sequence[str]]) -> Resolver:
    """Return a resolver in whose queue no time passes, so that checks on a loaded host do not count as exhausted."""
    return Resolver(addresses, monotonic=lambda: 0.0)
