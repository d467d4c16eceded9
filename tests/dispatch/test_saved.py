"""How a monitor stands survives as JSON: the round trip, what other releases may have written, and stale streaks."""

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitord.dispatch import Pause, Watched
from monitord.dispatch.saved import restore, result_of_record, result_record, saved
from monitord.dispatch.schedule import Grid
from monitord.health import HealthPolicy, HealthState, advance
from monitord.model import Decider, Fact, Health, Observation, Reason, Result, Verdict
from tests.fakes import FakeClock, FakeMonitor, fake_tools, monitor_settings

START = datetime(2026, 1, 1, 12, 0, 0, 125000, tzinfo=UTC)
VERDICTS = st.lists(st.sampled_from(Verdict), max_size=30)


class OtherMonitor(FakeMonitor):
    type_name: ClassVar[str] = "other"


def watched(kind: type[FakeMonitor] = FakeMonitor) -> Watched:
    monitor = kind(monitor_settings(type_name=kind.type_name), fake_tools(FakeClock()))
    return Watched(monitor, Grid(10.0, 0.0), due_at=1007.0, sure_at=1000.0)


def lived(verdicts: list[Verdict]) -> Watched:
    one = watched()
    for number, verdict in enumerate(verdicts):
        one.health = advance(
            one.health, verdict, START + timedelta(seconds=10 * number), HealthPolicy(recover_after=3)
        ).state
    one.stands, one.stands_since = one.health.health, one.health.since
    return one


def through_json(record: Mapping[str, Any]) -> Mapping[str, Any]:
    again: Mapping[str, Any] = json.loads(json.dumps(record))
    return again


@given(VERDICTS)
def test_all_of_the_state_comes_back(verdicts: list[Verdict]) -> None:
    before = lived(verdicts)
    record = through_json(saved(before, START, 1000.0))
    after = watched()
    due_at = restore(after, record, None, START + timedelta(seconds=2), 5.0)
    assert after.health == before.health
    assert (after.stands, after.stands_since) == (before.stands, before.stands_since)
    assert due_at == pytest.approx(10.0)


def test_a_result_comes_back_with_all_its_facts() -> None:
    facts: dict[str, Fact] = {
        "status": 200,
        "phase.tls": 0.25,
        "names": ("a", "b"),
        "none": None,
        "flag": True,
        "text": "ü",
    }
    observation = Observation(START, 0.5, Reason.REFUSED, "said", facts, "127.0.0.1", excerpt="<html>")
    result = Result(observation, Verdict.FAIL, ("status == 200 (503)",), (False,))
    assert result_of_record(through_json(result_record(result))) == result
    decided = replace(result, decided_by=Decider.CONDITIONS, deciding=(0,))
    assert result_of_record(through_json(result_record(decided))) == decided


def test_a_pause_and_what_the_monitor_remembers_come_back() -> None:
    before = watched()
    before.pause = Pause("kim (uid 1000)", START, "disk swap")
    before.stands = Health.PAUSED
    assert isinstance(before.monitor, FakeMonitor)
    before.monitor.kept = {"cursor": "s=1"}
    after = watched()
    restore(after, through_json(saved(before, START, 1000.0)), None, START, 5.0)
    assert after.pause == before.pause
    assert after.stands is Health.PAUSED
    assert isinstance(after.monitor, FakeMonitor)
    assert after.monitor.kept == {"cursor": "s=1"}


def test_a_streak_is_none_any_more_after_a_long_absence_but_the_health_stays() -> None:
    record = saved(lived([Verdict.PASS, Verdict.FAIL]), START, 1000.0)
    soon, late = watched(), watched()
    restore(soon, record, None, START + timedelta(seconds=20), 5.0)
    restore(late, record, None, START + timedelta(hours=1), 5.0)
    assert soon.health.is_soft
    assert not late.health.is_soft
    assert late.health.health is Health.UP


def test_a_due_time_that_has_passed_is_now() -> None:
    record = saved(lived([Verdict.PASS]), START, 1000.0)
    assert restore(watched(), record, None, START + timedelta(seconds=30), 5.0) is None


def test_a_wall_clock_that_was_set_back_makes_nobody_wait_longer_than_the_interval() -> None:
    record = saved(lived([Verdict.PASS]), START, 1000.0)
    assert restore(watched(), record, None, START - timedelta(days=1), 5.0) is None


def test_the_state_of_another_type_is_left() -> None:
    record = saved(lived([Verdict.PASS]), START, 1000.0)
    other = watched(OtherMonitor)
    restore(other, record, None, START, 5.0)
    assert other.health == HealthState()


@pytest.mark.parametrize(
    "broken",
    [
        pytest.param({}, id="nothing"),
        pytest.param({"health": "wonderful"}, id="a health of the future"),
        pytest.param({"streak_length": None}, id="no number"),
        pytest.param({"at": "yesterday"}, id="no time"),
        pytest.param({"pause": {"by": "x"}}, id="half a pause"),
    ],
)
def test_what_cannot_be_read_is_told_and_the_monitor_begins_anew(
    caplog: pytest.LogCaptureFixture, broken: dict[str, Any]
) -> None:
    good = saved(lived([Verdict.PASS]), START, 1000.0)
    one = watched()
    restore(one, {**good, **broken} if broken else {}, None, START, 5.0)
    assert one.health == HealthState()
    assert "begins anew" in caplog.text
    assert one.pause is None
