"""When a job should have been started: each row of the plan's table, and what is known of it after a restart."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from monitord.monitors.systemd.timer_plan import TimerPlan, next_in_s
from monitord.net.dbus.unit_state import UnitState

DAY = timedelta(days=1)
HOUR_S = 3600.0
MONDAY = datetime(2026, 1, 5, 3, tzinfo=UTC)
"""At three in the night, the job is started."""


def timer(
    next_at: datetime | None,
    last_at: datetime | None = None,
    sub_state: str = "waiting",
    active_state: str = "active",
    next_s: float | None = None,
    changed_at: datetime | None = None,
) -> UnitState:
    return UnitState(
        "b.timer",
        changed_at=changed_at,
        active_state=active_state,
        sub_state=sub_state,
        triggers="b.service",
        last_trigger_at=last_at,
        next_realtime=next_at,
        next_monotonic_s=next_s,
    )


def job(active_state: str = "inactive", sub_state: str = "dead", result: str = "success") -> UnitState:
    return UnitState(
        "b.service",
        active_state=active_state,
        sub_state=sub_state,
        result=result,
        service_type="oneshot",
        exit_code="exited",
        exit_status=0 if result == "success" else 2,
    )


def restarted(plan: TimerPlan) -> TimerPlan:
    return TimerPlan.restored(json.loads(json.dumps(plan.dump_state())))


def test_run_that_starts_is_never_overdue() -> None:
    plan = TimerPlan().seen(timer(MONDAY), job(), MONDAY - DAY)
    assert plan.overdue_s(MONDAY, 0.0) == 0.0
    plan = plan.seen(timer(MONDAY + DAY, MONDAY), job(), MONDAY + timedelta(seconds=1))
    assert plan.overdue_s(MONDAY + timedelta(hours=1), 0.0) == -23 * HOUR_S
    assert plan.last_at == MONDAY


def test_run_while_the_timer_was_not_active_is_not_missed_without_downtime() -> None:
    plan = TimerPlan().seen(timer(MONDAY), job(), MONDAY - DAY)
    booted = timer(MONDAY + DAY, changed_at=MONDAY + timedelta(hours=5))
    now = MONDAY + timedelta(hours=6)
    assert plan.seen(booted, job(), now).overdue_s(now, 0.0) == 6 * HOUR_S
    assert plan.seen(booted, job(), now, counts_downtime=False).overdue_s(now, 0.0) == -18 * HOUR_S
    active_all_the_time = timer(MONDAY + DAY, changed_at=MONDAY - DAY)
    assert plan.seen(active_all_the_time, job(), now, counts_downtime=False).overdue_s(now, 0.0) == 6 * HOUR_S


def test_run_missed_while_the_machine_was_off_is_overdue() -> None:
    """systemd itself would only say: next on Tuesday, never elapsed since the boot."""
    plan = restarted(TimerPlan().seen(timer(MONDAY), job(), MONDAY - DAY))
    booted = MONDAY + timedelta(hours=6)
    plan = plan.seen(timer(MONDAY + DAY), job(), booted)
    assert plan.overdue_s(booted, 0.0) == 6 * HOUR_S
    plan = plan.seen(timer(MONDAY + DAY), job(), booted + timedelta(hours=1))
    assert plan.overdue_s(booted + timedelta(hours=1), 0.0) == 7 * HOUR_S
    plan = plan.seen(timer(MONDAY + 2 * DAY, MONDAY + DAY), job(), MONDAY + DAY + timedelta(minutes=1))
    overdue_s = plan.overdue_s(MONDAY + DAY + timedelta(minutes=1), 0.0)
    assert overdue_s is not None
    assert overdue_s < 0


def test_run_while_the_daemon_was_stopped_is_not_overdue() -> None:
    plan = restarted(TimerPlan().seen(timer(MONDAY, MONDAY - DAY), job(), MONDAY - DAY))
    late = MONDAY + 3 * DAY + timedelta(hours=1)
    plan = plan.seen(timer(MONDAY + 4 * DAY, MONDAY + 3 * DAY), job(), late)
    assert plan.expected_at == MONDAY + 4 * DAY


def test_clock_that_was_ahead_leaves_no_run_overdue_forever() -> None:
    ahead = MONDAY + 3650 * DAY
    plan = TimerPlan().seen(timer(ahead + DAY, ahead), job(), ahead + timedelta(minutes=1))
    # systemd keeps the time of the last elapse until the next elapse.
    set_back = MONDAY - timedelta(hours=1)
    plan = restarted(plan.seen(timer(MONDAY, ahead), job(), set_back))
    assert plan.overdue_s(set_back, 0.0) == -HOUR_S
    assert plan.age_s(set_back) == 0
    missed = MONDAY + timedelta(minutes=5)
    assert plan.seen(timer(MONDAY, ahead), job(), missed).overdue_s(missed, 0.0) == 300
    for days in range(3):
        elapsed = MONDAY + days * DAY
        now = elapsed + timedelta(seconds=10)
        plan = plan.seen(timer(elapsed + DAY, elapsed), job(), now)
        assert plan.last_at == elapsed
        assert plan.overdue_s(now, 0.0) == 10 - 24 * HOUR_S


def test_changed_timer_is_expected_at_its_new_time() -> None:
    plan = TimerPlan().seen(timer(MONDAY), job(), MONDAY - timedelta(hours=2))
    later = MONDAY + timedelta(hours=5)
    plan = plan.seen(timer(later), job(), MONDAY - timedelta(hours=1))
    assert plan.overdue_s(MONDAY + timedelta(hours=3), 0.0) == -2 * HOUR_S


def test_stopped_timer_is_not_expected_and_starts_again() -> None:
    plan = TimerPlan().seen(timer(MONDAY), job(), MONDAY - DAY)
    stopped = timer(None, sub_state="dead", active_state="inactive")
    plan = plan.seen(stopped, job(), MONDAY + DAY)
    assert plan.overdue_s(MONDAY + DAY, 0.0) is None
    plan = plan.seen(timer(MONDAY + 2 * DAY), job(), MONDAY + DAY)
    assert plan.expected_at == MONDAY + 2 * DAY


def test_job_that_does_not_end_is_overdue_at_its_next_planned_start() -> None:
    """systemd plans nothing while the job runs: the timer would never elapse again."""
    plan = TimerPlan().seen(timer(MONDAY, MONDAY - DAY), job(), MONDAY - timedelta(hours=1))
    running = timer(MONDAY, MONDAY, sub_state="running")
    for hours in (1, 20):
        plan = plan.seen(running, job("activating", "start"), MONDAY + timedelta(hours=hours))
    plan = restarted(plan)
    now = MONDAY + timedelta(hours=26)
    plan = plan.seen(running, job("activating", "start"), now)
    assert plan.overdue_s(now, 0.0) == 2 * HOUR_S


def test_running_job_of_weekdays_is_not_overdue_on_saturday() -> None:
    """The longest time between two that was ever seen counts."""
    friday = MONDAY + 4 * DAY
    plan = TimerPlan().seen(timer(MONDAY, friday - 7 * DAY), job(), MONDAY - timedelta(hours=1))
    plan = plan.seen(timer(MONDAY + DAY, MONDAY), job(), MONDAY + timedelta(hours=1))
    plan = plan.seen(timer(friday, friday, sub_state="running"), job("activating", "start"), friday)
    assert plan.expected_at == friday + 3 * DAY


def test_monotonic_timer_is_expected_on_its_clock_and_not_overdue_after_a_boot() -> None:
    plan = TimerPlan().seen(timer(None, next_s=5000.0), job(), MONDAY)
    assert plan.overdue_s(MONDAY + DAY, 4000.0) == -1000.0
    assert plan.overdue_s(MONDAY, 5600.0) == 600.0
    assert restarted(plan).overdue_s(MONDAY + DAY, 90_000.0) is None


def test_timer_that_no_longer_elapses_is_never_overdue() -> None:
    plan = TimerPlan().seen(timer(None, MONDAY, sub_state="elapsed"), job(), MONDAY + DAY)
    assert plan.overdue_s(MONDAY + 9 * DAY, 0.0) is None


def test_age_counts_from_the_last_elapse_over_a_boot_or_from_the_first_observation() -> None:
    plan = TimerPlan().seen(timer(MONDAY), None, MONDAY - DAY)
    assert restarted(plan).seen(timer(MONDAY), None, MONDAY).age_s(MONDAY) == 24 * HOUR_S
    plan = plan.seen(timer(MONDAY + DAY, MONDAY), None, MONDAY)
    assert restarted(plan).seen(timer(MONDAY + DAY), None, MONDAY).age_s(MONDAY + DAY) == 24 * HOUR_S


@pytest.mark.parametrize(
    ("seen", "failure"),
    [
        pytest.param([job()], "", id="ended_well"),
        pytest.param([job("failed", "failed", "exit-code")], "exit-code, status 2", id="failed"),
        pytest.param([job("failed", "failed", "exit-code"), job()], "", id="ended_well_since"),
        pytest.param(
            [job("failed", "failed", "exit-code"), job("activating", "start")], "exit-code, status 2",
            id="a_new_run_that_is_not_over_does_not_heal",
        ),
        pytest.param([job("activating", "auto-restart", "exit-code")], "", id="tries_again"),
        pytest.param([job("active", "exited")], "", id="remains_after_exit"),
        pytest.param([job("active", "running")], "", id="runs"),
    ],
)  # fmt: skip
def test_last_completed_run_counts(seen: list[UnitState], failure: str) -> None:
    plan = TimerPlan()
    for result in seen:
        plan = restarted(plan.seen(timer(MONDAY + DAY), result, MONDAY))
    assert plan.failure == failure


@pytest.mark.parametrize(
    "memory", [{}, {"expected_at": "soon", "longest_s": "x", "failure": 7, "last_at": 1}]
)
def test_state_that_cannot_be_read_is_ignored(memory: dict[str, object]) -> None:
    assert TimerPlan.restored(memory) == TimerPlan()


def test_next_elapse_is_the_earliest_future_one() -> None:
    assert next_in_s(timer(MONDAY, next_s=70.0), MONDAY - timedelta(seconds=90), 10.0) == 60.0
    assert next_in_s(timer(MONDAY, next_s=5.0), MONDAY - timedelta(seconds=90), 10.0) == 90.0
    assert next_in_s(timer(MONDAY), MONDAY + DAY, 10.0) is None
