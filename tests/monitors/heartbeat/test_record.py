"""Heartbeats as pure values: a table of scenarios, and random ones against a model that is evaluated at each moment."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitord.calendar_events import parse_calendar_event
from monitord.monitors.heartbeat.record import (
    MAX_MESSAGE_BYTES,
    Heartbeat,
    HeartbeatEvaluation,
    HeartbeatRecord,
    HeartbeatSchedule,
    HeartbeatSignal,
    HeartbeatStatus,
    evaluate,
    refreshed,
    with_heartbeat,
)

START = datetime(2026, 1, 1, tzinfo=UTC)
SUCCESS, BEGIN, FAIL, LOG = (Heartbeat(HeartbeatSignal(name)) for name in ("success", "start", "fail", "log"))
NEW, UP, RUNNING, LATE, MISSED, FAILED = HeartbeatStatus

EVERY_100 = HeartbeatSchedule(100.0, None, grace_s=40.0, warn_after_s=20.0)


def moment(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


class Story:
    """A record that is refreshed and pinged by a clock that the test sets; always awake unless stated otherwise."""

    def __init__(self, schedule: HeartbeatSchedule = EVERY_100) -> None:
        self.schedule = schedule
        self.now_s = 0.0
        self.record = HeartbeatRecord(began_at=START, seen_at=START)

    def at(self, seconds: float, *heartbeats: Heartbeat, awake: bool = True) -> HeartbeatEvaluation:
        now = moment(seconds)
        self.record = refreshed(self.record, self.schedule, now, seconds - self.now_s if awake else 0.0)
        self.now_s = seconds
        for heartbeat in heartbeats:
            self.record = with_heartbeat(self.record, heartbeat, now)
        return evaluate(self.record, self.schedule, now)

    def status(self, seconds: float, *heartbeats: Heartbeat, awake: bool = True) -> HeartbeatStatus:
        return self.at(seconds, *heartbeats, awake=awake).status


def test_late_heartbeat_becomes_a_warning_then_missed_until_a_success() -> None:
    story = Story()
    assert story.status(10, SUCCESS) is UP
    assert story.status(109) is UP
    assert story.at(110) == HeartbeatEvaluation(LATE, False, None, moment(110), moment(150), moment(130))
    assert story.at(130) == HeartbeatEvaluation(
        LATE, True, moment(130), moment(110), moment(150), moment(150)
    )
    assert story.status(149.9) is LATE
    assert (story.at(150).status, story.at(150).since) == (MISSED, moment(150))
    assert story.at(500).changes_at is None
    assert story.status(500, SUCCESS) is UP
    assert story.at(500).changes_at == moment(620)


def test_first_heartbeat_is_expected_as_if_one_had_arrived_at_the_beginning() -> None:
    story = Story()
    assert story.status(99) is NEW
    assert story.status(100) is LATE
    assert story.at(140) == HeartbeatEvaluation(MISSED, False, moment(140), moment(100))


def test_deadline_that_is_checked_late_has_its_own_time() -> None:
    story = Story()
    story.at(0, SUCCESS)
    assert story.at(177.5).since == moment(140)


def test_failure_takes_effect_at_once_and_until_a_success() -> None:
    story = Story()
    assert story.status(5, FAIL) is FAILED
    assert story.at(6000) == HeartbeatEvaluation(FAILED, False, moment(5), moment(105))
    assert story.status(6001, BEGIN) is FAILED
    assert story.status(6002, LOG) is FAILED
    assert story.status(6003, SUCCESS) is UP


def test_start_without_an_end_is_missed_after_the_grace() -> None:
    story = Story()
    story.at(0, SUCCESS)
    assert story.at(20, BEGIN) == HeartbeatEvaluation(
        RUNNING, False, None, moment(100), moment(60), moment(60)
    )
    assert (story.at(60).status, story.at(60).since) == (MISSED, moment(60))


def test_start_does_not_delay_an_expected_heartbeat() -> None:
    story = Story()
    story.at(0, SUCCESS)
    assert story.at(130, BEGIN).down_at == moment(140)


def test_run_can_exceed_the_grace_if_max_runtime_is_set() -> None:
    story = Story(replace(EVERY_100, max_runtime_s=500.0))
    story.at(0, SUCCESS)
    story.at(130, BEGIN)
    assert story.at(600) == HeartbeatEvaluation(RUNNING, False, None, moment(100), moment(630), moment(630))
    assert (story.at(700).status, story.at(700).since) == (MISSED, moment(630))


def test_run_in_progress_is_not_late() -> None:
    story = Story()
    story.at(0, SUCCESS)
    story.at(110, BEGIN)
    assert story.at(135) == HeartbeatEvaluation(RUNNING, False, None, moment(100), moment(140), moment(140))


def test_missed_run_stays_missed_when_a_run_starts() -> None:
    story = Story(replace(EVERY_100, max_runtime_s=500.0))
    story.at(0, SUCCESS)
    assert story.status(140) is MISSED
    assert story.at(150, BEGIN).since == moment(140)
    assert story.status(160, SUCCESS) is UP
    assert story.record.runtime_s == 10


@pytest.mark.parametrize(
    ("start", "end", "runtime_s", "is_open"),
    [
        pytest.param(None, None, 7.0, False, id="neither_has_a_name"),
        pytest.param("a", "a", 7.0, False, id="the_same_name"),
        pytest.param("a", None, 7.0, False, id="an_end_without_one_ends_any"),
        pytest.param(None, "a", 7.0, False, id="a_start_without_one_is_ended_by_any"),
        pytest.param("a", "b", None, True, id="another_run"),
    ],
)
def test_end_is_matched_with_its_start_by_the_run_id(
    start: str | None, end: str | None, runtime_s: float | None, is_open: bool
) -> None:
    story = Story()
    story.at(0, Heartbeat(HeartbeatSignal.START, run_id=start))
    story.at(7, Heartbeat(run_id=end))
    assert story.record.runtime_s == runtime_s
    assert (story.record.started_at is not None) == is_open


def test_failure_of_another_run_ends_the_current_run() -> None:
    story = Story()
    story.at(0, Heartbeat(HeartbeatSignal.START, run_id="a"))
    story.at(7, Heartbeat(HeartbeatSignal.FAIL, run_id="b"))
    assert (story.record.started_at, story.record.runtime_s) == (None, None)


def test_log_changes_only_what_was_recorded() -> None:
    story = Story()
    story.at(0, SUCCESS)
    before = story.at(99)
    assert story.at(99, Heartbeat(HeartbeatSignal.LOG, message="half way")) == before
    assert (story.record.message, story.record.last_signal_at) == ("half way", moment(99))


def test_calendar_counts_from_the_last_end() -> None:
    schedule = HeartbeatSchedule(
        None, parse_calendar_event("*-*-* 02:00 UTC"), grace_s=3600.0, warn_after_s=1800.0
    )
    story = Story(schedule)
    assert story.at(2 * 3600 + 420, SUCCESS).expected_at == moment(26 * 3600)
    assert story.at(27 * 3600).since == moment(27 * 3600)


def test_calendar_that_has_ended_is_a_warning_from_the_beginning() -> None:
    story = Story(HeartbeatSchedule(None, parse_calendar_event("2020-01-01 UTC"), 1.0, 1.0))
    assert story.at(1e9) == HeartbeatEvaluation(NEW, is_warning=True, since=START, has_ended=True)


def test_calendar_that_ends_is_a_warning_after_its_last_success() -> None:
    story = Story(HeartbeatSchedule(None, parse_calendar_event("2026-01-01..02 02:00 UTC"), 3600.0, 1800.0))
    assert not story.at(2 * 3600 + 5, SUCCESS).is_warning
    ended = story.at(26 * 3600 + 5, SUCCESS)
    assert (ended.status, ended.is_warning, ended.has_ended) == (UP, True, True)
    assert (ended.since, ended.changes_at) == (moment(26 * 3600 + 5), None)


def test_last_time_of_a_calendar_is_missed_like_any_other() -> None:
    story = Story(HeartbeatSchedule(None, parse_calendar_event("2026-01-02 02:00 UTC"), 3600.0, 1800.0))
    assert story.status(27 * 3600) is MISSED
    assert story.at(30 * 3600, SUCCESS).has_ended


def test_run_after_the_last_time_of_a_calendar_is_awaited() -> None:
    story = Story(
        HeartbeatSchedule(None, parse_calendar_event("2026-01-01 02:00 UTC"), 3600.0, 1800.0, 7200.0)
    )
    running = story.at(2 * 3600 + 5, BEGIN)
    assert (running.status, running.has_ended) == (RUNNING, False)
    assert story.status(4 * 3600 + 5) is MISSED


@pytest.mark.parametrize(
    ("calendar", "at_s", "expected_s"),
    [
        ("*-*-* 02:00 UTC", 7200 - 3, 7200 + 86400),
        ("*-*-* 02:00 UTC", 7200 - 60, 7200 + 86400),
        ("*-*-* 02:00 UTC", 7200 - 61, 7200),
        ("*-*-* 02:00 UTC", 7200, 7200 + 86400),
        ("*-*-* 02:00 UTC", 7200 + 3, 7200 + 86400),
        ("*:0/5 UTC", 7200 - 30, 7200 + 300),
        ("*:0/5 UTC", 7200 - 31, 7200),
        ("*:* UTC", 7200 - 6, 7200 + 60),
        ("*:* UTC", 7200 - 7, 7200),
        ("02,02:00,01 UTC", 7200 - 6, 7200 + 60),
        ("02:00,01 UTC", 7200 - 7, 7200),
        ("02:00,01 UTC", 7260 - 7, 7260),
        ("2026-01-01 02:00 UTC", 7200 - 3, None),
        ("2026-01-01 02:00 UTC", 7200 - 61, 7200),
    ],
)
@pytest.mark.parametrize("heartbeat", [SUCCESS, FAIL], ids=["success", "fail"])
def test_early_heartbeat_counts_for_the_time_that_follows(
    calendar: str, at_s: float, expected_s: float | None, heartbeat: Heartbeat
) -> None:
    story = Story(HeartbeatSchedule(None, parse_calendar_event(calendar), grace_s=30.0, warn_after_s=30.0))
    expected_at = None if expected_s is None else moment(expected_s)
    assert story.at(at_s, heartbeat).expected_at == expected_at


def test_early_heartbeat_counts_for_one_time_only() -> None:
    """Three heartbeats around one time, and none at the next."""
    story = Story(
        HeartbeatSchedule(None, parse_calendar_event("*-*-* 02:00 UTC"), grace_s=600.0, warn_after_s=600.0)
    )
    for at_s in (7200 - 20, 7200 - 5, 7200 + 5):
        assert story.at(at_s, SUCCESS).expected_at == moment(7200 + 86400)
    assert story.status(7200 + 86400 + 600) is MISSED


def test_early_heartbeat_every_day_keeps_the_monitor_up() -> None:
    story = Story(
        HeartbeatSchedule(None, parse_calendar_event("*-*-* 02:00 UTC"), grace_s=600.0, warn_after_s=300.0)
    )
    for day in range(5):
        assert story.status(day * 86400 + 7200 - 2, SUCCESS) is UP
        assert story.at(day * 86400 + 7200 + 700).is_warning is False
        assert story.status(day * 86400 + 80000) is UP


def test_start_of_the_monitor_shortly_before_a_time_is_not_an_early_heartbeat() -> None:
    story = Story(
        HeartbeatSchedule(None, parse_calendar_event("*-*-* 00:00:05 UTC"), grace_s=600.0, warn_after_s=600.0)
    )
    assert story.at(0).expected_at == moment(5)


def test_start_of_a_run_is_not_an_early_heartbeat() -> None:
    schedule = HeartbeatSchedule(
        None, parse_calendar_event("*-*-* 02:00 UTC"), 600.0, 600.0, max_runtime_s=3600.0
    )
    story = Story(schedule)
    assert story.at(7200 - 5, BEGIN).down_at == moment(7200 - 5 + 3600)
    assert story.at(7200 + 1800, SUCCESS).expected_at == moment(7200 + 86400)


# Absences


def test_deadline_during_a_stop_has_one_more_grace_period() -> None:
    story = Story()
    story.at(0, SUCCESS)
    story.at(90)
    assert story.at(400, awake=False) == HeartbeatEvaluation(
        LATE, False, None, moment(100), moment(440), moment(440)
    )
    assert story.at(439.9).is_warning is False
    assert (story.at(440).status, story.at(440).since) == (MISSED, moment(140))


def test_short_grace_is_at_least_half_a_minute_after_an_absence() -> None:
    story = Story(replace(EVERY_100, grace_s=10.0, warn_after_s=10.0))
    story.at(0, SUCCESS)
    assert story.at(400, awake=False).down_at == moment(430)


def test_heartbeat_after_an_absence_is_in_time() -> None:
    story = Story()
    story.at(0, SUCCESS)
    assert story.status(400, SUCCESS, awake=False) is UP


def test_absence_before_the_deadline_changes_nothing() -> None:
    story = Story()
    story.at(0, SUCCESS)
    story.at(10)
    story.at(90, awake=False)
    assert story.at(140).since == moment(140)


def test_run_missed_before_a_stop_stays_missed() -> None:
    story = Story()
    story.at(0, SUCCESS)
    story.at(141)
    assert story.at(400, awake=False).since == moment(140)


def test_repeated_absences_extend_the_deadline() -> None:
    story = Story()
    story.at(0, SUCCESS)
    story.at(90)
    story.at(400, awake=False)
    story.at(410)
    assert story.status(430, awake=False) is LATE
    assert story.status(469) is LATE
    assert story.at(470).since == moment(140)


def test_clock_set_back_limits_all_times_to_the_present() -> None:
    story = Story()
    story.at(1000, SUCCESS)
    story.now_s = 10
    assert story.at(10).expected_at == moment(110)
    assert story.record.seen_at == story.record.succeeded_at == moment(10)


# Values of heartbeats


@pytest.mark.parametrize(
    ("status", "signal"),
    [(0, HeartbeatSignal.SUCCESS), (1, HeartbeatSignal.FAIL), (255, HeartbeatSignal.FAIL)],
)
def test_exit_status_is_described(status: int, signal: HeartbeatSignal) -> None:
    assert Heartbeat(exit_status=status).signal is signal


@pytest.mark.parametrize(
    ("signal", "status", "run_id", "problem"),
    [
        ("success", 256, None, "256 is not an exit status; write a number from 0 to 255"),
        ("success", -1, None, "-1 is not an exit status; write a number from 0 to 255"),
        ("start", 0, None, "a start has no exit status; remove one of them"),
        ("log", 1, None, "a log has no exit status; remove one of them"),
        ("fail", 0, None, "an exit status of 0 is not a failure; remove one of them"),
        (
            "success",
            None,
            "",
            'the identifier of a run must have 1 to 100 characters; write a value such as "2026-01-31"',
        ),
        (
            "success",
            None,
            "x" * 101,
            'the identifier of a run must have 1 to 100 characters; write a value such as "2026-01-31"',
        ),
    ],
)
def test_contradictory_heartbeat_is_rejected(
    signal: str, status: int | None, run_id: str | None, problem: str
) -> None:
    with pytest.raises(ValueError, match=problem):
        Heartbeat(HeartbeatSignal(signal), status, run_id=run_id)


def test_beginning_of_a_long_message_is_kept() -> None:
    message = Heartbeat(message="ä" * 20_000).message
    assert message is not None
    assert message == "ä" * (MAX_MESSAGE_BYTES // 2)


# Random sequences


class Model:
    """Keeps the whole story and works out the status from its beginning each time it is asked."""

    def __init__(self, schedule: HeartbeatSchedule) -> None:
        self.schedule = schedule
        self.heartbeats: list[tuple[float, Heartbeat]] = []

    def status(self, now_s: float) -> HeartbeatStatus:
        schedule = self.schedule
        assert schedule.every_s is not None
        anchor_s, is_down, ended, begun_s = 0.0, None, False, None
        for at_s, heartbeat in [*self.heartbeats, (now_s, LOG)]:
            expected_s = anchor_s + schedule.every_s
            down_s = expected_s + schedule.grace_s
            if begun_s is not None:
                down_s = (
                    min(down_s, begun_s + schedule.grace_s)
                    if schedule.max_runtime_s is None
                    else begun_s + schedule.max_runtime_s
                )
            if is_down is None and at_s >= down_s:
                is_down = MISSED
            if heartbeat.signal is HeartbeatSignal.START:
                begun_s = at_s
            elif heartbeat.signal is not HeartbeatSignal.LOG:
                anchor_s, ended, begun_s = at_s, True, None
                is_down = FAILED if heartbeat.signal is HeartbeatSignal.FAIL else None
        if is_down is not None:
            return is_down
        if begun_s is not None:
            return RUNNING
        if now_s >= anchor_s + schedule.every_s:
            return LATE
        return UP if ended else NEW


steps = st.lists(
    st.tuples(st.integers(0, 120), st.sampled_from([None, SUCCESS, SUCCESS, BEGIN, FAIL, LOG])), max_size=30
)


@given(steps, st.sampled_from([None, 30.0, 170.0]))
def test_random_sequences_agree_with_the_model(
    story_steps: list[tuple[int, Heartbeat | None]], longest: float | None
) -> None:
    schedule = replace(EVERY_100, max_runtime_s=longest)
    story, model, now_s = Story(schedule), Model(schedule), 0.0
    for pause_s, heartbeat in story_steps:
        now_s += pause_s
        if heartbeat is not None:
            model.heartbeats.append((now_s, heartbeat))
        evaluation = story.at(now_s, *([] if heartbeat is None else [heartbeat]))
        assert evaluation.status is model.status(now_s)
        # Until that moment nothing changes without a heartbeat, and then something does.
        if evaluation.changes_at is not None:
            changes_s = (evaluation.changes_at - START).total_seconds()
            before, then = replace_story(story).at(changes_s - 0.001), replace_story(story).at(changes_s)
            assert (before.is_warning, before.status in {MISSED, FAILED}) == (evaluation.is_warning, False)
            assert then.is_warning or then.status is MISSED


def replace_story(story: Story) -> Story:
    copy = Story(story.schedule)
    copy.record, copy.now_s = story.record, story.now_s
    return copy
