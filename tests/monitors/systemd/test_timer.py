"""The type `timer`: its options as written in a file, and its results for the timers of a systemd on a real bus."""

import re
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from monitord.dispatch.judging import judge
from monitord.health import HealthPolicy
from monitord.model import Reason, Verdict
from monitord.monitors.systemd.timer import TimerMonitor, TimerOptions
from tests.buses import service, timer
from tests.configurations import options_of
from tests.systemds import Bench, MovedClock, Started, StoppedClock, a_host

TIMER = 'type = "timer"\ntimer = "backup.timer"'
JOB = "backup.service"
HOUR = 3600.0
TIME = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC"
BAD: dict[str, Any] = {"Result": "exit-code", "ExecMainCode": 1, "ExecMainStatus": 2}


@pytest.fixture
async def host(tmp_path: Path) -> AsyncIterator[Bench]:
    """A job every day, last started five hours ago."""
    async with a_host(tmp_path) as bench:
        bench.systemd.units["backup.timer"] = timer(
            JOB, LastTriggerUSec=at(-5 * HOUR), NextElapseUSecRealtime=at(19 * HOUR)
        )
        bench.systemd.units[JOB] = service(Type="oneshot")
        set_job_state(bench, "inactive", "dead")
        yield bench


def at(seconds: float) -> int:
    """Return a time in so many seconds, in the form of systemd."""
    return int((datetime.now(UTC) + timedelta(seconds=seconds)).timestamp() * 1e6)


def set_job_state(host: Bench, active_state: str, sub_state: str, **properties: Any) -> None:
    unit = host.systemd.units[JOB]
    unit.active_state, unit.sub_state = active_state, sub_state
    unit.properties |= properties


def set_timer_state(host: Bench, active_state: str, sub_state: str, **properties: Any) -> None:
    unit = host.systemd.units["backup.timer"]
    unit.active_state, unit.sub_state = active_state, sub_state
    unit.properties |= properties


async def test_timer_that_elapses_passes(host: Bench) -> None:
    seen = await host.monitor(TIMER).check()
    assert seen.reason is Reason.OK
    said = rf"backup\.timer active; {JOB} has not failed, last started at {TIME}, elapses at {TIME}"
    assert re.fullmatch(said, seen.detail)
    assert (seen.subject, seen.detail) == ("backup.timer", f"backup.timer {seen.outcome}")
    assert set(seen.fields) == set(TimerMonitor.vocabulary.fields)
    fields = {
        name: seen.fields[name] for name in ("timer.unit", "timer.result", "timer.overdue", "timer.running")
    }
    assert list(fields.values()) == [JOB, "success", False, False]
    last, after = seen.fields["timer.last_trigger"], seen.fields["timer.next_elapse"]
    assert isinstance(last, float)
    assert isinstance(after, float)
    assert 5 * HOUR <= last < 6 * HOUR
    assert 18 * HOUR < after <= 19 * HOUR


@pytest.mark.parametrize("microsecond", [100_000, 600_000])
async def test_next_elapse_is_named_to_the_second(host: Bench, microsecond: int) -> None:
    clock = StoppedClock(datetime(2026, 1, 5, 3, 0, 0, microsecond, UTC))
    midnight = datetime(2026, 1, 6, tzinfo=UTC)
    set_timer_state(host, "active", "waiting", NextElapseUSecRealtime=int(midnight.timestamp() * 1e6))
    seen = await host.monitor(TIMER, clock=clock).check()
    assert seen.detail.endswith(", elapses at 2026-01-06 00:00:00 UTC")


async def test_failed_job_is_a_failure_until_one_succeeds(host: Bench) -> None:
    monitor = host.monitor(TIMER)
    set_job_state(host, "failed", "failed", **BAD)
    seen = await monitor.check()
    assert (seen.reason, seen.fields["timer.result"], seen.fields["timer.exit_status"]) == (
        Reason.UNIT_FAILED,
        "exit-code",
        2,
    )
    assert f"backup.timer active; {JOB} failed (exit-code, status 2), last started at 20" in seen.detail
    set_job_state(host, "activating", "start", Result="success", ExecMainStatus=0)
    seen = await monitor.check()
    assert (seen.reason, seen.fields["timer.running"]) == (Reason.UNIT_FAILED, True)
    set_job_state(host, "inactive", "dead")
    assert (await monitor.check()).reason is Reason.OK


@pytest.mark.parametrize(
    ("state", "load_state", "reason", "said"),
    [
        (("inactive", "dead"), "loaded", Reason.UNIT_INACTIVE, "inactive (dead)"),
        (("inactive", "dead"), "masked", Reason.UNIT_INACTIVE, "inactive (dead, masked)"),
        (("inactive", "dead"), "not-found", Reason.UNIT_INACTIVE, "not found"),
        (("failed", "failed"), "loaded", Reason.UNIT_FAILED, "failed (resources)"),
    ],
)
async def test_timer_that_is_not_active_fails(
    host: Bench, state: tuple[str, str], load_state: str, reason: Reason, said: str
) -> None:
    set_timer_state(host, *state, Result="resources")
    host.systemd.units["backup.timer"].load_state = load_state
    seen = await host.monitor(TIMER).check()
    assert (seen.reason, seen.detail) == (reason, f"backup.timer {said}")


async def test_run_that_does_not_start_is_missed_after_the_grace(host: Bench) -> None:
    clock = MovedClock()
    monitor = host.monitor(f'{TIMER}\ngrace = "30m"', clock=clock)
    await monitor.check()
    clock.ahead_s = 19 * HOUR + 20 * 60
    assert (await monitor.check()).reason is Reason.OK
    clock.ahead_s += 20 * 60
    seen = await monitor.check()
    assert (seen.reason, seen.fields["timer.overdue"]) == (Reason.HEARTBEAT_MISSED, True)
    assert "backup.timer should have elapsed at " in seen.detail
    assert " UTC, and has not within 30m, last started at 20" in seen.detail
    set_timer_state(
        host, "active", "waiting", LastTriggerUSec=at(20 * HOUR), NextElapseUSecRealtime=at(40 * HOUR)
    )
    clock.ahead_s += HOUR
    assert (await monitor.check()).reason is Reason.OK


async def test_run_that_was_missed_while_the_host_was_off_is_found_by_the_stored_state(host: Bench) -> None:
    clock = MovedClock()
    before = host.monitor(TIMER, clock=clock)
    assert before.dump_state() is None
    await before.check()
    memory = before.dump_state()
    assert memory is not None
    clock.ahead_s = 24 * HOUR
    set_timer_state(host, "active", "waiting", LastTriggerUSec=0, NextElapseUSecRealtime=at(43 * HOUR))
    after = host.monitor(TIMER, clock=clock)
    assert (await after.check()).reason is Reason.OK
    after.restore_state(memory)
    assert (await after.check()).reason is Reason.HEARTBEAT_MISSED


async def test_max_age_counts_from_the_last_elapse(host: Bench) -> None:
    assert (await host.monitor(f'{TIMER}\nmax_age = "6h"').check()).reason is Reason.OK
    seen = await host.monitor(f'{TIMER}\nmax_age = "4h"').check()
    assert seen.reason is Reason.HEARTBEAT_MISSED
    assert seen.detail.startswith("backup.timer did not elapse within 4h, last started at 20")


async def test_max_age_of_a_timer_that_never_elapsed_counts_from_its_last_change(host: Bench) -> None:
    set_timer_state(host, "active", "waiting", LastTriggerUSec=0, StateChangeTimestamp=at(-3 * HOUR))
    assert (await host.monitor(f'{TIMER}\nmax_age = "4h"').check()).reason is Reason.OK
    seen = await host.monitor(f'{TIMER}\nmax_age = "2h"').check()
    assert (seen.reason, seen.detail) == (
        Reason.HEARTBEAT_MISSED,
        "backup.timer did not elapse within 2h, not started yet",
    )
    assert "timer.last_trigger" not in seen.fields


async def test_last_calendar_time_is_checked_after_it_has_passed(host: Bench) -> None:
    monitor = host.monitor(f'{TIMER}\nmax_age = "5h"')
    set_timer_state(host, "active", "waiting", LastTriggerUSec=at(2.0 - 5 * HOUR))
    started = Started(monitor)
    assert (await monitor.check()).reason is Reason.OK
    await started.wait_for_change()
    assert (await monitor.check()).reason is Reason.HEARTBEAT_MISSED
    await monitor.close()


@pytest.mark.parametrize(("elapses_in_s", "is_planned"), [(HOUR, False), (-20.0, True)], ids=["far", "near"])
async def test_check_is_planned_only_for_a_deadline_before_the_next_regular_check(
    host: Bench, elapses_in_s: float, is_planned: bool
) -> None:
    set_timer_state(host, "active", "waiting", NextElapseUSecRealtime=at(elapses_in_s))
    monitor = host.monitor(f'{TIMER}\ngrace = "1m"')
    monitor.settings = replace(monitor.settings, check_every_s=600.0)
    started = Started(monitor)
    await monitor.check()
    assert isinstance(monitor, TimerMonitor)
    assert monitor._requester is not None
    assert (monitor._requester._planned is not None) is is_planned
    await started.monitor.close()


async def test_result_of_the_job_wakes_the_monitor(host: Bench) -> None:
    monitor = host.monitor(TIMER)
    monitor.settings = replace(monitor.settings, policy=TimerMonitor.default_policy)
    started = Started(monitor)
    assert (await started.monitor.check()).reason is Reason.OK
    await host.systemd.change(JOB, "failed", "failed", **BAD)
    await started.wait_for_change()
    assert (await started.monitor.check()).reason is Reason.UNIT_FAILED
    await host.systemd.change("backup.timer", "inactive", "dead")
    await started.wait_for_change()
    assert (await started.monitor.check()).reason is Reason.UNIT_INACTIVE
    await started.monitor.close()


@pytest.mark.parametrize(("fail_after", "is_requested"), [(1, True), (15, False)])
async def test_signals_do_not_confirm_a_failure_that_is_accepted_for_some_time(
    host: Bench, fail_after: int, is_requested: bool
) -> None:
    monitor = host.monitor(TIMER)
    monitor.settings = replace(monitor.settings, policy=HealthPolicy(fail_after=fail_after))
    started = Started(monitor)
    await monitor.check()
    await host.systemd.change("backup.timer", "inactive", "dead")
    await started.wait_for_change()
    assert (await monitor.check()).reason is Reason.UNIT_INACTIVE
    assert isinstance(monitor, TimerMonitor)
    assert monitor._requester is not None
    await host.systemd.change("backup.timer", "inactive", "dead", Result="resources")
    # The signals of a unit arrive before this response.
    await monitor.check()
    assert (monitor._requester._planned is not None) is is_requested
    await monitor.close()


async def test_timer_that_no_longer_elapses_is_reported(host: Bench) -> None:
    set_timer_state(host, "active", "elapsed", NextElapseUSecRealtime=0)
    seen = await host.monitor(TIMER).check()
    assert seen.reason is Reason.OK
    assert seen.detail.endswith(" UTC, does not elapse again")


async def test_calendar_of_a_timer_that_has_ended_is_a_warning(host: Bench) -> None:
    ended = {"NextElapseUSecRealtime": 0, "TimersCalendar": [["OnCalendar", "2026-01-01 00:00:00", 0]]}
    set_timer_state(host, "active", "elapsed", **ended)
    seen = await host.monitor(TIMER).check()
    assert seen.reason is Reason.HEARTBEAT_ENDED
    assert seen.detail.endswith(" UTC, does not elapse again")
    # By max_age it goes alone, and a timer that counts from the boot elapses once.
    assert (await host.monitor(f'{TIMER}\nmax_age = "1w"').check()).reason is Reason.OK
    set_timer_state(host, "active", "elapsed", **ended, TimersMonotonic=[["OnBootUSec", 60_000_000, 0]])
    assert (await host.monitor(TIMER).check()).reason is Reason.OK


@pytest.mark.parametrize(
    ("condition", "verdict"),
    [
        ("timer.last_trigger < 6h and timer.result != 'timeout'", Verdict.PASS),
        ("timer.last_trigger < 4h", Verdict.FAIL),
        ("not timer.overdue == true", Verdict.PASS),
    ],
)
async def test_conditions_replace_the_default_verdict(host: Bench, condition: str, verdict: Verdict) -> None:
    set_job_state(host, "failed", "failed", **BAD)
    monitor = host.monitor(TIMER, condition)
    assert judge(await monitor.check(), monitor.settings, None).verdict is verdict


async def test_timer_on_a_host_without_a_bus_is_inconclusive(host: Bench) -> None:
    host.daemon.stop()
    monitor = host.monitor(TIMER)
    seen = await monitor.check()
    assert seen.reason is Reason.MANAGER_TIMEOUT
    assert judge(seen, monitor.settings, None).verdict is Verdict.INCONCLUSIVE


# Options


def read(tmp_path: Path, keys: str) -> TimerOptions:
    return options_of(TimerMonitor, tmp_path, keys)


def test_every_option_is_read(tmp_path: Path) -> None:
    assert read(tmp_path, 'timer = "a.timer"') == TimerOptions("a.timer", None, HOUR)
    keys = 'timer = "a.timer"\nmax_age = "25h"\ngrace = "10m"\ncounts_downtime = false'
    assert read(tmp_path, keys) == TimerOptions("a.timer", 25 * HOUR, 600.0, counts_downtime=False)


async def test_other_timer_of_the_same_monitor_begins_without_the_stored_plan(host: Bench) -> None:
    """A reload that changes only `timer` passes on the plan of the previous timer."""
    clock = MovedClock()
    before = host.monitor(TIMER, clock=clock)
    await before.check()
    memory = before.dump_state()
    assert memory is not None
    assert memory["timer"] == "backup.timer"
    clock.ahead_s = 24 * HOUR
    set_timer_state(host, "active", "waiting", LastTriggerUSec=0, NextElapseUSecRealtime=at(43 * HOUR))
    after = host.monitor(TIMER, clock=clock)
    after.restore_state({**memory, "timer": "other.timer"})
    assert (await after.check()).reason is Reason.OK
