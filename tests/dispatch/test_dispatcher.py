"""The dispatcher in fake time: hours of schedule, checks that hang, and bugs."""

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest

from monitord.application import ApplicationContainer
from monitord.dispatch import (
    Dispatcher,
    MonitorState,
    Pause,
)
from monitord.dispatch.saved import SavedMonitor
from monitord.health import HealthPolicy
from monitord.model import Reason, Result, State, Verdict
from monitord.monitors import Monitor
from tests.fakes import (
    FakeClock,
    FakeMonitor,
    monitor_settings,
    run_in_fake_time,
    stall,
)
from tests.worlds import RunningWorld, World, answers, hang


def test_checks_of_a_day_keep_their_rate_and_do_not_drift() -> None:
    async def main() -> None:
        world = RunningWorld()
        monitor = world.monitor(check_every_s=30.0)
        await asyncio.sleep(86400)
        assert 2879 <= len(monitor.began) <= 2881
        grid = [moment % 30.0 for moment in monitor.began[1:]]
        assert max(grid) - min(grid) < 0.002
        await world.close()

    run_in_fake_time(main)


def test_grid_is_the_same_after_a_restart() -> None:
    async def main() -> None:
        offsets_s = []
        for _ in range(2):
            world = RunningWorld()
            monitor = world.monitor("shop", check_every_s=30.0)
            await asyncio.sleep(301.7)
            offsets_s.append(monitor.began[-1] % 30.0)
            await world.close()
        assert offsets_s[0] == pytest.approx(offsets_s[1], abs=0.002)

    run_in_fake_time(main)


def test_first_checks_start_within_ten_seconds() -> None:
    async def main() -> None:
        world = RunningWorld()
        monitors = [world.monitor(f"m{number}", check_every_s=3600.0) for number in range(50)]
        await asyncio.sleep(10)
        assert all(len(monitor.began) == 1 for monitor in monitors)
        assert len({round(monitor.began[0], 1) for monitor in monitors}) > 25
        await world.close()

    run_in_fake_time(main)


def test_check_that_hangs_ends_at_its_deadline_and_delays_only_itself() -> None:
    async def main() -> None:
        world = RunningWorld()
        stuck = world.monitor("stuck", hang, check_every_s=10.0, timeout_s=2.0)
        fine = world.monitor("fine", check_every_s=1.0)
        await asyncio.sleep(100)
        assert len(fine.began) >= 99
        assert world.dispatcher.lateness.worst_s < 0.002
        assert len(stuck.began) >= 10
        assert {reason for name, _, reason in world.results if name == "stuck"} == {Reason.TIMEOUT_RESPONSE}
        await world.close()

    run_in_fake_time(main)


def test_bug_in_a_type_affects_one_check_which_is_inconclusive(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        world = RunningWorld()
        calls = 0

        async def raise_error_once() -> Reason:
            nonlocal calls
            calls += 1
            if calls == 2:
                raise ZeroDivisionError("a bug")
            return Reason.OK

        world.monitor("buggy", raise_error_once, check_every_s=10.0)
        await asyncio.sleep(60)
        verdicts = [verdict for _, verdict, _ in world.results]
        assert verdicts[:4] == [Verdict.PASS, Verdict.INCONCLUSIVE, Verdict.PASS, Verdict.PASS]
        assert world.results[1][2] is Reason.MONITOR_BUG
        assert world.dispatcher.entries["buggy"].state.health.state is State.UP
        await world.close()

    with caplog.at_level(logging.ERROR):
        run_in_fake_time(main)
    assert any("ZeroDivisionError" in (record.exc_text or str(record.exc_info)) for record in caplog.records)


def test_cancelled_task_inside_a_check_is_a_monitor_bug() -> None:
    async def main() -> None:
        world = RunningWorld()

        async def await_cancelled_future() -> Reason:
            inner: asyncio.Future[Reason] = asyncio.get_running_loop().create_future()
            inner.cancel()
            return await inner

        world.monitor("buggy", await_cancelled_future, check_every_s=10.0)
        await asyncio.sleep(60)
        assert {reason for _, _, reason in world.results} == {Reason.MONITOR_BUG}
        assert world.dispatcher.entries["buggy"].state.effective is State.UNKNOWN
        await world.close()

    run_in_fake_time(main)


def test_same_bug_is_logged_once_until_a_check_without_it(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        world = RunningWorld()
        left = [True, True, True, False, True, True]

        async def raise_error() -> Reason:
            if left.pop(0) if left else False:
                raise ZeroDivisionError("a bug")
            return Reason.OK

        world.monitor("buggy", raise_error, check_every_s=10.0)
        await asyncio.sleep(80)
        assert not left
        await world.close()

    with caplog.at_level(logging.ERROR):
        run_in_fake_time(main)
    assert sum("bug in monitor type" in record.getMessage() for record in caplog.records) == 2


def test_check_that_ignores_its_cancellation_is_abandoned_and_its_monitor_checked_again() -> None:
    async def main() -> None:
        world = RunningWorld()
        released = asyncio.Event()

        async def ignore_cancellation() -> Reason:
            while not released.is_set():
                try:
                    await released.wait()
                except asyncio.CancelledError:
                    continue
            return Reason.OK

        uncancellable = world.monitor("uncancellable", ignore_cancellation, check_every_s=10.0, timeout_s=2.0)
        await asyncio.sleep(35)
        assert len(uncancellable.began) >= 3
        assert world.dispatcher.abandoned_count >= 3
        assert {reason for _, _, reason in world.results} == {Reason.MONITOR_BUG}
        said = len(world.results)
        released.set()
        await asyncio.sleep(0.5)
        assert len(world.results) <= said + 1, "an abandoned check must not report afterwards"
        await world.close()

    run_in_fake_time(main)


def test_check_that_overruns_is_not_overlapped_and_the_skip_is_logged_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def main() -> None:
        world = RunningWorld()
        running = 0
        most = 0

        async def take_long() -> Reason:
            nonlocal running, most
            running += 1
            most = max(most, running)
            await asyncio.sleep(35)
            running -= 1
            return Reason.OK

        monitor = world.monitor("slow", take_long, check_every_s=10.0, timeout_s=100.0)
        await asyncio.sleep(34)
        assert most == 1
        assert len(monitor.began) == 1
        assert (
            world.dispatcher.entries["slow"].cycle.skipped == 2
            or world.dispatcher.entries["slow"].cycle.skipped == 3
        )
        await world.close()

    with caplog.at_level(logging.WARNING):
        run_in_fake_time(main)
    assert sum("skipped" in record.getMessage() for record in caplog.records) == 1


def test_retry_just_before_a_grid_point_is_not_an_overrun(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        world = RunningWorld()

        async def fail_slowly() -> Reason:
            await asyncio.sleep(2)
            return Reason.TIMEOUT_RESPONSE

        policy = HealthPolicy(fail_after=5)
        settings = monitor_settings(
            "slow", check_every_s=5.0, timeout_s=3.0, retry_every_s=2.0, policy=policy
        )
        world.add(FakeMonitor(settings, world.tools, fail_slowly))
        await asyncio.sleep(60)
        assert world.dispatcher.skipped_count == 0
        await world.close()

    with caplog.at_level(logging.WARNING):
        run_in_fake_time(main)
    assert "skipped" not in caplog.text


def test_unconfirmed_failure_is_retried_soon() -> None:
    async def main() -> None:
        world = RunningWorld()
        act = answers(Reason.OK, Reason.REFUSED, Reason.OK)
        monitor = world.monitor("flaky", act, check_every_s=60.0, retry_every_s=3.0)
        await asyncio.sleep(200)
        assert monitor.began[2] - monitor.began[1] == pytest.approx(3.0, abs=0.01)
        assert monitor.began[3] - monitor.began[1] == pytest.approx(60.0, abs=0.01), "the grid stays"
        assert [transition.after for transition in world.transitions] == [State.UP]
        await world.close()

    run_in_fake_time(main)


def test_monitor_that_is_down_is_checked_on_the_grid_and_recovers() -> None:
    async def main() -> None:
        world = RunningWorld()
        act = answers(Reason.OK, Reason.REFUSED, Reason.REFUSED, Reason.REFUSED, Reason.OK)
        monitor = world.monitor("web", act, check_every_s=60.0, retry_every_s=3.0)
        await asyncio.sleep(300)
        assert [transition.after for transition in world.transitions] == [State.UP, State.DOWN, State.UP]
        assert world.transitions[1].since < world.transitions[1].at
        assert monitor.began[3] - monitor.began[2] == pytest.approx(57.0, abs=0.01)
        await world.close()

    run_in_fake_time(main)


def test_concurrent_checks_are_limited_and_queueing_is_lateness_not_response_time() -> None:
    async def main() -> None:
        world = RunningWorld(in_all=2)
        running = 0
        most = 0

        async def take_a_second() -> Reason:
            nonlocal running, most
            running += 1
            most = max(most, running)
            await asyncio.sleep(1)
            running -= 1
            return Reason.OK

        for number in range(10):
            world.monitor(f"m{number}", take_a_second, check_every_s=10.0, timeout_s=3.0)
        await asyncio.sleep(60)
        assert most == 2
        assert world.dispatcher.lateness.worst_s > 0.5
        assert all(
            entry.state.last and entry.state.last.observation.duration_s == pytest.approx(1)
            for entry in world.dispatcher.entries.values()
        )
        await world.close()

    run_in_fake_time(main)


def test_host_without_responses_delays_only_its_own_monitors() -> None:
    async def main() -> None:
        world = RunningWorld(in_all=256, per_host=2)
        for number in range(20):
            world.monitor(f"dead{number}", hang, host="dead", check_every_s=10.0, timeout_s=5.0)
        fine = [world.monitor(f"fine{number}", host=f"h{number}", check_every_s=10.0) for number in range(20)]
        await asyncio.sleep(100)
        for monitor in fine:
            intervals = [b - a for a, b in zip(monitor.began[1:], monitor.began[2:], strict=False)]
            assert all(interval == pytest.approx(10.0, abs=0.002) for interval in intervals)
        assert world.dispatcher.queued > 0
        await world.close()

    run_in_fake_time(main)


def test_failure_during_a_stall_is_inconclusive() -> None:
    async def main() -> None:
        world = RunningWorld()

        async def stall_during_check() -> Reason:
            await asyncio.sleep(0)
            stall(3.0)
            await asyncio.sleep(0)
            return Reason.TIMEOUT_CONNECT

        world.monitor("web", stall_during_check, check_every_s=10.0, timeout_s=5.0)
        await asyncio.sleep(30)
        assert {(verdict, reason) for _, verdict, reason in world.results} == {
            (Verdict.INCONCLUSIVE, Reason.PROBER_STALLED)
        }
        assert world.dispatcher.entries["web"].state.health.state is State.PENDING
        await world.close()

    run_in_fake_time(main)


def test_failure_during_a_suspension_is_inconclusive() -> None:
    async def main() -> None:
        world = RunningWorld()

        async def suspend_machine() -> Reason:
            world.clock.slept_s += 3600
            return Reason.TIMEOUT_RESPONSE

        world.monitor("web", suspend_machine, check_every_s=10.0)
        await asyncio.sleep(15)
        assert {(verdict, reason) for _, verdict, reason in world.results} == {
            (Verdict.INCONCLUSIVE, Reason.PROBER_SUSPENDED)
        }
        await world.close()

    run_in_fake_time(main)


def test_each_monitor_is_checked_once_after_a_long_stall_and_skipped_points_are_counted(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def main() -> None:
        world = RunningWorld()
        monitor = world.monitor("web", check_every_s=1.0)
        world.monitor("mail", check_every_s=1.0)
        await asyncio.sleep(10)
        before = len(monitor.began)
        stall(60)
        await asyncio.sleep(0.05)
        assert len(monitor.began) <= before + 2
        assert world.dispatcher.entries["web"].cycle.skipped >= 55
        await world.close()

    with caplog.at_level(logging.WARNING):
        run_in_fake_time(main)
    (message,) = [record.getMessage() for record in caplog.records]
    assert message.startswith("checks are late by 5")


def test_reload_does_not_affect_unchanged_monitors() -> None:
    async def main() -> None:
        world = RunningWorld()
        dispatcher = world.dispatcher
        monitors = {
            name: world.monitor(name, answers(Reason.REFUSED)) for name in ("kept", "changed", "removed")
        }
        await asyncio.sleep(60)
        kept = dispatcher.entries["kept"]
        due_at_s, state = kept.cycle.due_at_s, kept.state.health
        wanted = [
            monitors["kept"].settings,
            replace(monitors["changed"].settings, timeout_s=1.0),
            monitor_settings("added"),
        ]
        built: list[str] = []

        def build(settings: object) -> FakeMonitor:
            monitor = FakeMonitor(settings, world.tools)  # type: ignore[arg-type] # plan hands out settings
            built.append(monitor.name)
            return monitor

        plan = dispatcher.plan(wanted, build)
        assert str(plan) == "1 added, 1 removed, 1 changed, 1 unchanged"
        assert sorted(built) == ["added", "changed"]
        assert set(dispatcher.entries) == {"kept", "changed", "removed"}, "a plan changes nothing yet"
        dispatcher.apply(plan)
        assert dispatcher.entries["kept"] is kept
        assert (kept.cycle.due_at_s, kept.state.health) == (due_at_s, state)
        assert kept.monitor is monitors["kept"]
        assert dispatcher.entries["changed"].state.health.state is State.DOWN, (
            "health survives a change of settings"
        )
        await asyncio.sleep(5)
        assert (monitors["removed"].closed, monitors["changed"].closed, monitors["kept"].closed) == (1, 1, 0)
        checks = len(monitors["removed"].began)
        await asyncio.sleep(60)
        assert len(monitors["removed"].began) == checks
        await world.close()

    run_in_fake_time(main)


def test_renamed_monitor_keeps_its_state() -> None:
    async def main() -> None:
        world = RunningWorld()
        world.monitor("old", answers(Reason.REFUSED))
        world.monitor("other", answers(Reason.REFUSED))
        await asyncio.sleep(60)
        built = {
            name: FakeMonitor(monitor_settings(name, renamed_from=renamed_from), world.tools)
            for name, renamed_from in (("new", "old"), ("newer", None))
        }
        wanted = [monitor.settings for monitor in built.values()]
        world.dispatcher.apply(world.dispatcher.plan(wanted, lambda settings: built[settings.name]))
        assert world.dispatcher.entries["new"].state.health.state is State.DOWN
        assert world.dispatcher.entries["new"].state.last is not None
        assert world.dispatcher.entries["newer"].state.health.state is State.PENDING
        await world.close()

    run_in_fake_time(main)


def test_error_while_building_a_monitor_changes_nothing() -> None:
    async def main() -> None:
        world = RunningWorld()
        monitor = world.monitor("kept")
        with pytest.raises(ZeroDivisionError):
            world.dispatcher.plan([monitor_settings("new")], lambda _: 1 // 0)  # type: ignore[arg-type, return-value] # it raises
        assert world.dispatcher.entries["kept"].monitor is monitor
        await asyncio.sleep(20)
        assert monitor.began
        await world.close()

    run_in_fake_time(main)


def test_running_check_of_a_removed_monitor_is_cancelled_without_a_result() -> None:
    async def main() -> None:
        world = RunningWorld()
        monitor = world.monitor("slow", hang, check_every_s=10.0, timeout_s=9.0)
        await asyncio.sleep(10.1)
        assert world.dispatcher.in_flight == 1
        world.dispatcher.apply(world.dispatcher.plan([], lambda _: monitor))
        await asyncio.sleep(20)
        assert world.dispatcher.in_flight == 0
        assert world.results == []
        await world.close()

    run_in_fake_time(main)


class BrokenStateMonitor(FakeMonitor):
    def dump_state(self) -> Mapping[str, Any] | None:
        raise RuntimeError("a bug in a third-party type")

    def restore_state(self, state: Mapping[str, Any]) -> None:
        raise RuntimeError("a bug in a third-party type")


def test_type_that_cannot_restore_its_state_does_not_prevent_a_reload() -> None:
    async def main() -> None:
        world = RunningWorld()
        tools = world.tools
        world.add(BrokenStateMonitor(monitor_settings("web"), tools))
        for timeout_s, kind in ((1.0, FakeMonitor), (1.5, BrokenStateMonitor)):
            changed = kind(monitor_settings("web", timeout_s=timeout_s), tools)
            changed.state = {"known": True}
            world.dispatcher.apply(world.dispatcher.plan([changed.settings], lambda _, one=changed: one))  # type: ignore[misc] # a lambda's default
            await asyncio.sleep(20)
            assert changed.began
        await world.close()

    run_in_fake_time(main)


def test_check_now_starts_at_once_and_returns_the_result() -> None:
    async def main() -> None:
        world = RunningWorld()
        monitor = world.monitor("web", check_every_s=3600.0)
        await asyncio.sleep(20)
        began = asyncio.get_running_loop().time()
        result = await world.dispatcher.check_now("web")
        assert result.verdict is Verdict.PASS
        assert asyncio.get_running_loop().time() == began
        assert len(monitor.began) == 2
        with pytest.raises(KeyError):
            await world.dispatcher.check_now("nobody")
        await world.close()

    run_in_fake_time(main)


def test_check_now_waits_for_a_running_check() -> None:
    async def main() -> None:
        world = RunningWorld()

        async def take_a_second() -> Reason:
            await asyncio.sleep(1)
            return Reason.OK

        monitor = world.monitor("web", take_a_second, check_every_s=3600.0)
        await asyncio.sleep(20)
        first, second = await asyncio.gather(
            world.dispatcher.check_now("web"), world.dispatcher.check_now("web")
        )
        assert first is second
        assert len(monitor.began) == 2
        await world.close()

    run_in_fake_time(main)


def test_requested_check_that_is_queued_is_run_although_its_monitor_is_paused() -> None:
    async def main() -> None:
        world = RunningWorld(in_all=1)
        world.monitor("stuck", hang, check_every_s=1000.0, timeout_s=50.0)
        world.monitor("web", check_every_s=1000.0)
        await asyncio.sleep(12)
        request = asyncio.ensure_future(world.dispatcher.check_now("web"))
        await asyncio.sleep(1)
        world.dispatcher.pause("web", Pause("root", world.clock.now()))
        await asyncio.sleep(100)
        assert request.done()
        assert world.dispatcher.queued == 0
        await world.close()

    run_in_fake_time(main)


def test_no_check_is_abandoned_because_of_a_stall() -> None:
    async def main() -> None:
        world = RunningWorld()

        async def take_a_second() -> Reason:
            await asyncio.sleep(1)
            return Reason.OK

        world.monitor("web", take_a_second, check_every_s=1000.0)
        await asyncio.sleep(20)
        request = asyncio.ensure_future(world.dispatcher.check_now("web"))
        await asyncio.sleep(0.1)
        stall(30.0)
        await request
        assert world.dispatcher.abandoned_count == 0
        assert Reason.MONITOR_BUG not in {reason for _, _, reason in world.results}
        await world.close()

    run_in_fake_time(main)


def test_request_of_a_first_check_is_cancelled_by_a_stop() -> None:
    async def main() -> None:
        world = RunningWorld()
        world.monitor("stuck", hang, check_every_s=1000.0, timeout_s=500.0)
        request = asyncio.ensure_future(world.dispatcher.check_now("stuck"))
        await asyncio.sleep(0.1)
        await world.dispatcher.close(0.0)
        await asyncio.wait([request], timeout=10.0)
        assert request.cancelled()
        world.stall_detector.stop()

    run_in_fake_time(main)


def test_stop_waits_for_running_checks_and_cancels_them_after_a_time() -> None:
    async def main() -> None:
        world = RunningWorld()

        async def take_a_second() -> Reason:
            await asyncio.sleep(1)
            return Reason.OK

        world.monitor("quick", take_a_second, check_every_s=1000.0, timeout_s=500.0)
        stuck = world.monitor("stuck", hang, check_every_s=1000.0, timeout_s=500.0)
        await asyncio.sleep(12)
        request = asyncio.ensure_future(world.dispatcher.check_now("quick"))
        await asyncio.sleep(0.1)
        began = asyncio.get_running_loop().time()
        await world.dispatcher.close(3.0)
        assert asyncio.get_running_loop().time() - began == pytest.approx(3.0, abs=0.1)
        assert (await request).verdict is Verdict.PASS
        assert stuck.closed == 1
        assert world.dispatcher.in_flight == 0
        world.stall_detector.stop()
        await world.dispatcher.close(0.0)

    run_in_fake_time(main)


def test_overdue_check_timer_is_reported_to_the_watchdog() -> None:
    async def main() -> None:
        world = RunningWorld()
        world.monitor("web", check_every_s=10.0)
        assert world.dispatcher.overdue_s() == 0.0
        await asyncio.sleep(30)
        assert world.dispatcher.overdue_s() == 0.0
        stall(25)
        assert world.dispatcher.overdue_s() > 10
        await asyncio.sleep(0.1)
        assert world.dispatcher.overdue_s() == 0.0
        await world.close()

    run_in_fake_time(main)


def test_larger_limits_start_queued_checks_at_once() -> None:
    async def main() -> None:
        world = RunningWorld(in_all=1)
        for number in range(5):
            world.monitor(f"m{number}", hang, check_every_s=60.0, timeout_s=50.0)
        await asyncio.sleep(11)
        assert world.dispatcher.queued == 4
        world.dispatcher.resize(10, 8)
        await asyncio.sleep(0)
        assert world.dispatcher.queued == 0
        assert world.dispatcher.in_flight == 5
        await world.close()

    run_in_fake_time(main)


def test_failure_is_confirmed_at_once_with_fail_after_one() -> None:
    async def main() -> None:
        world = RunningWorld()
        settings = monitor_settings("web", policy=HealthPolicy(fail_after=1))
        world.add(FakeMonitor(settings, world.tools, answers(Reason.REFUSED)))
        await asyncio.sleep(10)
        assert [transition.after for transition in world.transitions] == [State.DOWN]
        assert world.dispatcher.state_counts()[State.DOWN] == 1
        await world.close()

    run_in_fake_time(main)


def test_woken_monitor_is_checked_at_once_and_once_more_if_woken_during_its_check() -> None:
    async def main() -> None:
        world = RunningWorld()
        monitor = world.monitor(check_every_s=1000.0)
        await asyncio.sleep(20)
        began = len(monitor.began)
        monitor.wake()
        await asyncio.sleep(0.1)
        assert len(monitor.began) == began + 1

        async def slow() -> Reason:
            await asyncio.sleep(1)
            return Reason.OK

        monitor.act = slow
        monitor.wake()
        await asyncio.sleep(0.5)
        monitor.wake()
        monitor.wake()
        await asyncio.sleep(3)
        assert len(monitor.began) == began + 3
        await world.close()
        monitor.wake()
        await asyncio.sleep(1)
        assert len(monitor.began) == began + 3

    run_in_fake_time(main)


def test_changed_monitor_restores_the_state_of_its_type_and_then_starts() -> None:
    async def main() -> None:
        world = RunningWorld()
        world.monitor("one").state = {"pings": 3}
        changed = FakeMonitor(monitor_settings("one", check_every_s=7.0), world.tools)
        world.dispatcher.apply(world.dispatcher.plan([changed.settings], lambda _: changed))
        assert changed.state == {"pings": 3}
        assert changed.calls == ["restore_state", "start"]
        await world.close()

    run_in_fake_time(main)


def test_restored_monitor_is_not_checked_twice_at_its_start(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Its first check is off its grid, whose next point may be a moment later."""

    async def main() -> None:
        before: list[Result] = []

        def load_previous_result(monitor: Monitor[Any]) -> SavedMonitor:
            state = MonitorState(last=before[-1] if before else None)
            return SavedMonitor(monitor.type_name, FakeClock.START, state, None, None)

        world = World()
        world.override(
            ApplicationContainer.dispatcher,
            Dispatcher(world.pipeline, world.slots, world.clock, world.check_log, load_previous_result),
        )
        world.start()
        world.sink.results.append(lambda _, result: before.append(result))
        world.monitor("before")
        await asyncio.sleep(24.97)
        monitors = [world.monitor(f"m{number}", check_every_s=5.0) for number in range(200)]
        await asyncio.sleep(11)
        for monitor in monitors:
            gaps = [later - earlier for earlier, later in pairwise(monitor.began)]
            assert min(gaps) >= 2.499
        await world.close()

    run_in_fake_time(main)
    assert "skipped" not in caplog.text


def test_monitors_with_local_times_are_checked_after_a_change_of_the_zone() -> None:
    async def main() -> None:
        world = RunningWorld()
        local = world.monitor("local", check_every_s=600.0)
        other = world.monitor("other", check_every_s=600.0)
        local.uses_local_time = True
        await asyncio.sleep(20)
        before = len(local.began), len(other.began)
        world.dispatcher.refresh_local_times()
        await asyncio.sleep(1)
        assert (len(local.began), len(other.began)) == (before[0] + 1, before[1])
        await world.close()

    run_in_fake_time(main)


class RaisingPoolMonitor(FakeMonitor):
    """A monitor that raises an exception instead of returning its host while `is_broken`."""

    is_broken = True

    @property
    def pool(self) -> str | None:
        if self.is_broken:
            raise LookupError("no host")
        return "host"


def test_exception_in_the_pool_property_affects_one_check(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        world = RunningWorld()
        monitor = RaisingPoolMonitor(monitor_settings(), world.tools)
        world.add(monitor)
        await asyncio.sleep(60)
        assert monitor.began == []
        with pytest.raises(LookupError):
            monitor.wake()
        monitor.is_broken = False
        await asyncio.sleep(60)
        assert len(monitor.began) == 6
        assert world.slots.taken == 0
        await world.close()

    run_in_fake_time(main)
    assert "one: the check could not be started" in caplog.text


def test_paused_and_removed_monitors_leave_the_queue() -> None:
    async def main() -> None:
        world = RunningWorld(in_all=1)
        world.monitor("busy", hang, check_every_s=3600.0, timeout_s=60.0)
        await asyncio.sleep(12)
        paused, removed = world.monitor("paused"), world.monitor("removed")
        await asyncio.sleep(12)
        assert world.dispatcher.queued == 2
        world.dispatcher.pause("paused", Pause("kim", world.clock.now()))
        world.dispatcher.apply(
            world.dispatcher.plan(
                [world.dispatcher.entries[name].monitor.settings for name in ("busy", "paused")],
                lambda _: pytest.fail("nothing is built"),
            )
        )
        assert world.dispatcher.queued == 0
        removed.wake()
        paused.wake()
        await asyncio.sleep(120)
        assert (paused.began, removed.began) == ([], [])
        world.dispatcher.resume("paused")
        await asyncio.sleep(1)
        assert len(paused.began) == 1
        await world.close()

    run_in_fake_time(main)
