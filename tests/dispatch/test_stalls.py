"""A stall of the event loop (SIGSTOP, a host without CPU time) makes no monitor fail, however short its timeout is."""

import asyncio
from datetime import timedelta

import pytest

from monitord.dispatch import Dispatcher
from monitord.health import HealthPolicy
from monitord.model import Reason, State, Verdict
from monitord.monitors.heartbeat.monitor import Heartbeat, HeartbeatMonitor, HeartbeatSchedule
from monitord.net.base.deadline import Deadline
from tests.fakes import monitor_settings, run_in_fake_time, stall
from tests.net.base.test_deadline import after_some_turns
from tests.worlds import RunningWorld

OFFSETS_S = [number / 20 for number in range(20)]
"""When the stall begins, after the check did."""

TIMEOUT_S = 0.9


def watch(world: RunningWorld, answers_after_s: float | None, *, has_own_deadline: bool) -> None:
    """One step of the answer is a timer, the others are read from a socket. None: no answer."""

    async def act() -> Reason:
        answer = asyncio.Event()
        loop = asyncio.get_running_loop()
        timer = loop.call_later(answers_after_s or 3600.0, lambda: after_some_turns(5, answer.set))
        try:
            async with Deadline(TIMEOUT_S) if has_own_deadline else asyncio.timeout(TIMEOUT_S):
                await answer.wait()
        except TimeoutError:
            return Reason.TIMEOUT_RESPONSE
        finally:
            timer.cancel()
        return Reason.OK

    world.monitor(
        "web",
        act,
        check_every_s=10.0,
        retry_every_s=5.0,
        timeout_s=TIMEOUT_S,
        policy=HealthPolicy(fail_after=1),
    )


@pytest.mark.parametrize(
    "has_own_deadline", [True, False], ids=["types of monitord", "a type with asyncio.timeout"]
)
@pytest.mark.parametrize("stalled_s", [0.4, 0.5, 0.7, 0.9, 1.0, 1.1, 1.3, 2.5, 20.0])
@pytest.mark.parametrize("answers_after_s", [0.05, 0.3, 0.5])
def test_stall_during_a_check_makes_no_monitor_fail(
    stalled_s: float, answers_after_s: float, has_own_deadline: bool
) -> None:
    async def main() -> None:
        world = RunningWorld()
        watch(world, answers_after_s, has_own_deadline=has_own_deadline)
        monitor = world.dispatcher.entries["web"]
        await asyncio.sleep(20)
        for offset_s in OFFSETS_S:
            count = len(world.results)
            asyncio.get_running_loop().call_at(monitor.cycle.due_at_s + offset_s, stall, stalled_s)
            while len(world.results) < count + 2:  # noqa: ASYNC110 - in time that jumps
                await asyncio.sleep(1)
            await asyncio.sleep(5)
        assert [transition.after for transition in world.transitions] == [State.UP]
        assert Verdict.FAIL not in {verdict for _, verdict, _ in world.results}
        await world.close()

    run_in_fake_time(main)


@pytest.mark.parametrize("stalled_s", [0.4, 1.3, 20.0])
def test_failure_during_a_stall_is_confirmed_by_a_retry(stalled_s: float) -> None:
    async def main() -> None:
        world = RunningWorld()
        watch(world, None, has_own_deadline=True)
        monitor = world.dispatcher.entries["web"]
        asyncio.get_running_loop().call_at(monitor.cycle.due_at_s + 0.4, stall, stalled_s)
        await asyncio.sleep(stalled_s + 17)
        assert [transition.after for transition in world.transitions] == [State.DOWN]
        assert world.results[0][1:] == (Verdict.INCONCLUSIVE, Reason.PROBER_STALLED)
        await world.close()

    run_in_fake_time(main)


def test_usual_delays_of_the_loop_do_not_hide_failures() -> None:
    async def main() -> None:
        world = RunningWorld()
        watch(world, None, has_own_deadline=True)
        loop = asyncio.get_running_loop()

        def delay() -> None:
            stall(0.08)
            loop.call_later(0.2, delay)

        loop.call_later(0.2, delay)
        await asyncio.sleep(30)
        assert world.dispatcher.entries["web"].state.effective is State.DOWN
        await world.close()

    run_in_fake_time(main)


@pytest.mark.parametrize("stalled_s", [0.3, 0.5, 0.9, 1.3, 20.0])
@pytest.mark.parametrize("check_every_s", [60.0, 3600.0])
def test_heartbeat_during_a_stall_is_in_time(stalled_s: float, check_every_s: float) -> None:
    async def main() -> None:
        world = RunningWorld()
        loop = asyncio.get_running_loop()
        settings = monitor_settings(
            "job",
            type_name="heartbeat",
            check_every_s=check_every_s,
            policy=HealthPolicy(fail_after=1, degrade_after=1),
            options=HeartbeatSchedule(every_s=60.0, calendar=None, grace_s=30.0, warn_after_s=30.0),
        )
        monitor = HeartbeatMonitor(settings, world.tools)
        world.add(monitor)
        monitor.record_heartbeat(Heartbeat(), world.clock.now())
        down_at = loop.time() + 90.0
        # The heartbeat comes 0.1 s into the stall, and is read after it.
        loop.call_at(down_at - 0.2, stall, stalled_s)
        sent_at = world.clock.now() + timedelta(seconds=89.9)
        loop.call_at(
            down_at - 0.2,
            lambda: after_some_turns(10, lambda: monitor.record_heartbeat(Heartbeat(), sent_at)),
        )
        await asyncio.sleep(100 + stalled_s)
        assert State.DOWN not in {transition.after for transition in world.transitions}
        # Without another heartbeat, the monitor goes down.
        await asyncio.sleep(100)
        assert world.dispatcher.entries["job"].state.effective is State.DOWN
        await world.close()

    run_in_fake_time(main)


def test_measuring_interval_follows_the_shortest_timeout() -> None:
    async def main() -> None:
        world = RunningWorld()
        dispatcher: Dispatcher = world.dispatcher
        pings: list[float] = []
        for timeout_s in (30.0, 0.9, 0.1):
            world.monitor(f"web-{timeout_s}", timeout_s=timeout_s)
            pings.append(world.stall_detector.tick_interval_s)
        assert pings == [0.5, 0.9 / 8, 0.05]
        dispatcher.apply(dispatcher.plan([], lambda _: pytest.fail("nothing is made")))
        assert world.stall_detector.tick_interval_s == 0.5
        await world.close()

    run_in_fake_time(main)
