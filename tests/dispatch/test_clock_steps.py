"""A change of the wall clock shifts the times of the run, so that durations remain correct."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from monitord.dispatch import Matcher
from monitord.dispatch.clock_steps import ClockStep, ClockSteps
from monitord.model import Reason
from monitord.notifiers import DeliveryError, Message
from tests.alerts.fakes import FakeNotifier
from tests.fakes import FakeClock
from tests.history.world import START, SetClock, after
from tests.lifetimes import NOTIFIER, WEB, Lifetime, Scripted, frozen_time, lifetime, run, written

HOURS = 7200.0
DAYS = 86_400.0 * 10

AHEAD = pytest.mark.parametrize("ahead_s", [HOURS, DAYS, -HOURS, -DAYS], ids=["2h", "10d", "-2h", "-10d"])


def clock_of(world: Lifetime) -> FakeClock:
    clock = world.container.clock
    assert isinstance(clock, FakeClock)
    return clock


class SteppedClock(SetClock):
    """A clock whose wall clock and monotonic clock are set by a test."""

    steady_s = 0.0
    slept_s = 0.0

    def monotonic_s(self) -> float:
        return self.steady_s

    def suspended_s(self) -> float:
        return self.slept_s


def test_passing_time_is_not_a_clock_step() -> None:
    clock = SteppedClock()
    steps = ClockSteps(clock)
    assert steps.poll() is None
    clock.steady_s, clock.at = 3600.0, after(3600)
    assert steps.poll() is None
    clock.slept_s, clock.at = 28_800.0, after(3600 + 28_800)
    assert steps.poll() is None
    for number in range(1, 100):  # NTP corrects gradually
        clock.at = after(3600 + 28_800 + number)
        assert steps.poll() is None


def test_clock_step_shifts_the_times_of_this_run() -> None:
    clock = SteppedClock()
    steps = ClockSteps(clock)
    steps.poll()
    clock.steady_s, clock.at = 100.0, after(100 + HOURS)
    step = steps.poll()
    assert step == ClockStep(START, after(100), timedelta(seconds=HOURS))
    assert step.shift_past(after(50)) == after(50 + HOURS)
    assert step.shift_past(after(-50)) == after(-50)
    assert (step.shift_future(after(200)), step.shift_future(after(99))) == (after(200 + HOURS), after(99))
    clock.steady_s, clock.at = 200.0, after(200)
    back = steps.poll()
    assert back is not None
    assert back.shift_past(after(50 + HOURS)) == after(50)
    assert back.shift_past(after(150 + HOURS)) == after(150)
    assert back.shift_past(after(-50)) == after(-50)
    # From an earlier run whose clock was ahead.
    assert back.shift_past(after(900 + HOURS)) == after(200)


@AHEAD
@pytest.mark.parametrize("is_down_before", [True, False])
def test_delay_of_a_route_is_measured_on_the_monotonic_clock(
    tmp_path: Path, ahead_s: float, is_down_before: bool
) -> None:
    config = NOTIFIER + WEB + '[[alerts.routes]]\nnotify = ["ops"]\nafter = "10m"\n'

    async def main() -> None:
        async with lifetime(tmp_path, config) as world:
            await asyncio.sleep(60)
            if is_down_before:
                Scripted.bad = {"web": Reason.REFUSED}
                await asyncio.sleep(60)
            clock_of(world).ahead_s = ahead_s
            Scripted.bad = {"web": Reason.REFUSED}
            await asyncio.sleep(120)
            clock_of(world).ahead_s = 0.0
            await asyncio.sleep(360)
            assert world.sent == []
            await asyncio.sleep(180)
            assert world.sent == ["DOWN: web"]

    run(main)


@AHEAD
def test_silence_is_measured_on_the_monotonic_clock(tmp_path: Path, ahead_s: float) -> None:
    async def main() -> None:
        async with lifetime(tmp_path, NOTIFIER + WEB) as world:
            await asyncio.sleep(60)
            until = clock_of(world).now() + timedelta(hours=1)
            world.container.interventions.silence(Matcher(names=("web",)), until, None, "kim")
            Scripted.bad = {"web": Reason.REFUSED}
            await asyncio.sleep(60)
            clock_of(world).ahead_s = ahead_s
            await asyncio.sleep(600)
            assert world.sent == []
            clock_of(world).ahead_s = 0.0
            await asyncio.sleep(2900)
            assert world.sent == []
            await asyncio.sleep(60)
            assert world.sent == ["DOWN: web"]

    run(main)


@pytest.mark.parametrize("ahead_s", [3600.0, -3600.0], ids=["1h", "-1h"])
@pytest.mark.parametrize("is_restarted", [False, True], ids=["runs on", "restarted"])
def test_silence_until_a_moment_ends_at_that_moment_of_the_wall_clock(
    tmp_path: Path, ahead_s: float, *, is_restarted: bool
) -> None:
    """The clock is wrong when somebody silences until a moment, and then it is set right."""

    async def main() -> None:
        async with lifetime(tmp_path, NOTIFIER + WEB, ahead_s=ahead_s) as first:
            await asyncio.sleep(60)
            until = clock_of(first).now() + timedelta(hours=3)
            matcher = Matcher(names=("web",))
            first.container.interventions.silence(matcher, until, None, "kim", is_end_fixed=True)
            if not is_restarted:
                await follow(first, until)
        if is_restarted:
            async with lifetime(tmp_path, NOTIFIER + WEB, ahead_s=ahead_s) as second:
                await follow(second, until)

    async def follow(world: Lifetime, until: datetime) -> None:
        clock = clock_of(world)
        clock.ahead_s = 0.0
        await asyncio.sleep(60)
        Scripted.bad = {"web": Reason.REFUSED}
        assert [silence.until for silence in world.container.interventions.silences] == [until]
        await asyncio.sleep((until - clock.now()).total_seconds() - 10)
        assert world.sent == []
        await asyncio.sleep(30)
        assert world.sent == ["DOWN: web"]

    run(main)


@AHEAD
def test_reminders_keep_their_rate(tmp_path: Path, ahead_s: float) -> None:
    config = NOTIFIER + WEB + '[[alerts.routes]]\nnotify = ["ops"]\nrepeat_every = "10m"\n'

    async def main() -> None:
        async with lifetime(tmp_path, config) as world:
            await asyncio.sleep(60)
            Scripted.bad = {"web": Reason.REFUSED}
            await asyncio.sleep(60)
            clock_of(world).ahead_s = ahead_s
            await asyncio.sleep(300)
            clock_of(world).ahead_s = 0.0
            await asyncio.sleep(3600)
            assert world.sent == ["DOWN: web", *["still DOWN: web"] * 6]

    run(main)


@AHEAD
def test_incident_that_began_with_a_wrong_clock_has_a_correct_start_and_duration(
    tmp_path: Path, ahead_s: float
) -> None:
    async def main() -> None:
        async with lifetime(tmp_path, NOTIFIER + WEB) as world:
            await asyncio.sleep(60)
            clock_of(world).ahead_s = ahead_s
            await asyncio.sleep(20)
            Scripted.bad = {"web": Reason.REFUSED}
            down_at = clock_of(world).now() - timedelta(seconds=ahead_s)
            await asyncio.sleep(30)
            clock_of(world).ahead_s = 0.0
            await asyncio.sleep(30)
            entry = world.container.dispatcher.entries["web"]
            assert entry.state.effective_since is not None
            assert abs(entry.state.effective_since - down_at) < timedelta(seconds=11)
            (opened, *_) = world.incidents
        async with lifetime(tmp_path, NOTIFIER + WEB) as world:
            Scripted.bad = {}
            await asyncio.sleep(30)
            ended = world.incidents[-1]
            assert ended.id == opened.id
            assert ended.closed_at is not None
            assert abs(ended.opened_at - down_at) < timedelta(seconds=11)
            assert timedelta(seconds=50) < ended.closed_at - ended.opened_at < timedelta(seconds=90)
            notification = FakeNotifier.made[-1].got[-1].notifications[0]
            assert 50 < notification.duration_s < 90

    run(main)


def test_clock_step_during_a_check_does_not_date_its_failure_in_the_future(tmp_path: Path) -> None:
    async def main() -> None:
        async with lifetime(tmp_path, NOTIFIER + WEB) as world:
            clock = clock_of(world)
            await asyncio.sleep(60)
            clock.ahead_s = HOURS
            await asyncio.sleep(60)
            Scripted.bad, Scripted.takes_s = {"web": Reason.REFUSED}, 1.5
            entry = world.container.dispatcher.entries["web"]
            while not entry.cycle.is_checking:  # noqa: ASYNC110 - in time that jumps
                await asyncio.sleep(0.05)
            clock.ahead_s = 0.0
            await asyncio.sleep(30)
            assert entry.state.effective_since is not None
            assert timedelta(0) < clock.now() - entry.state.effective_since < timedelta(seconds=40)

    run(main)


@pytest.mark.parametrize("is_restarted", [False, True])
def test_notification_is_not_expired_because_the_clock_was_ahead(tmp_path: Path, is_restarted: bool) -> None:
    def fail_delivery(_: Message) -> None:
        raise DeliveryError("503 busy")

    async def main() -> None:
        async with lifetime(tmp_path, NOTIFIER + WEB) as world:
            FakeNotifier.made[-1].act = fail_delivery
            await asyncio.sleep(60)
            Scripted.bad = {"web": Reason.REFUSED}
            await asyncio.sleep(120)
            if not is_restarted:
                await step_clock_and_correct_it(world)
                return
        FakeNotifier.initial_act = fail_delivery
        async with lifetime(tmp_path, NOTIFIER + WEB) as world:
            await asyncio.sleep(120)
            await step_clock_and_correct_it(world)

    async def step_clock_and_correct_it(world: Lifetime) -> None:
        clock_of(world).ahead_s = DAYS
        await asyncio.sleep(1800)
        clock_of(world).ahead_s = 0.0
        before = len(world.sent)
        FakeNotifier.made[-1].act = lambda _: None
        await asyncio.sleep(1800)
        assert world.sent[before:] == ["DOWN: web"]
        assert [delivery.status.value for delivery in world.container.alerts.deliveries()] == ["sent"]

    run(main)


def test_clock_that_is_corrected_after_a_boot_in_1970_does_not_lengthen_an_outage(tmp_path: Path) -> None:
    config = NOTIFIER + WEB + '[[alerts.routes]]\nnotify = ["ops"]\nafter = "10m"\n'

    async def main() -> None:
        Scripted.bad = {"web": Reason.REFUSED}
        ahead_s = (datetime(1970, 1, 1, tzinfo=UTC) - FakeClock.START).total_seconds()
        async with lifetime(tmp_path, config, ahead_s=ahead_s) as world:
            await asyncio.sleep(60)
            clock_of(world).ahead_s = 0.0
            await asyncio.sleep(480)
            assert world.sent == []
            await asyncio.sleep(120)
            assert world.sent == ["DOWN: web"]
            since = world.container.dispatcher.entries["web"].state.effective_since
            assert since is not None
            assert clock_of(world).now() - since < timedelta(minutes=12)

    run(main)


@pytest.mark.parametrize("ahead_s", [HOURS, DAYS])
def test_incident_while_the_clock_was_ahead_is_stored_with_its_true_date(
    tmp_path: Path, ahead_s: float
) -> None:
    async def main() -> None:
        async with lifetime(tmp_path, NOTIFIER + WEB) as world:
            clock, history = clock_of(world), world.container.history
            await asyncio.sleep(60)
            Scripted.bad = {"web": Reason.REFUSED}
            began_at = clock.now()
            await asyncio.sleep(60)
            clock.ahead_s = ahead_s
            await asyncio.sleep(60)
            Scripted.bad = {}
            await asyncio.sleep(30)
            await written(history)
            clock.ahead_s = 0.0
            await asyncio.sleep(60)
            await written(history)
            with frozen_time():
                (incident,) = await history.incidents(monitor="web")
                changes = await history.transitions("web")
            assert incident.closed_at is not None
            assert timedelta(0) < incident.opened_at - began_at < timedelta(seconds=11)
            assert timedelta(seconds=110) < incident.closed_at - began_at < timedelta(seconds=131)
            assert all(change.at < clock.now() for change in changes)

    run(main)
