"""The state of a monitor as JSON: the round trip, records of other releases, and stale streaks."""

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitord.dispatch import MonitorState, Pause
from monitord.dispatch.saved import SavedMonitor, encode, restore, result_from_record, result_to_record
from monitord.health import Flapping, HealthPolicy, HealthState, advance
from monitord.model import FieldValue, Observation, Reason, Result, State, Verdict, VerdictRule
from tests.fakes import monitor_settings

START = datetime(2026, 1, 1, 12, 0, 0, 125000, tzinfo=UTC)
VERDICTS = st.lists(st.sampled_from(Verdict), max_size=30)


def lived(verdicts: list[Verdict]) -> MonitorState:
    health = HealthState()
    for number, verdict in enumerate(verdicts):
        at = START + timedelta(seconds=10 * number)
        health = advance(health, verdict, at, HealthPolicy(recover_after=3)).health
    return MonitorState(health, health.state, health.since, conclusive_at_s=1000.0)


def record_of(state: MonitorState, type_state: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return the record that is stored at START, when the next check is due in seven seconds."""
    return encode(state, type_name="fake", type_state=type_state, due_at_s=1007.0, now=START, now_s=1000.0)


def restored(record: Mapping[str, Any], after_s: float = 0.0, type_name: str = "fake") -> SavedMonitor | None:
    settings = monitor_settings(type_name=type_name)
    return restore(record, settings, START + timedelta(seconds=after_s), 5.0)


def through_json(record: Mapping[str, Any]) -> Mapping[str, Any]:
    again: Mapping[str, Any] = json.loads(json.dumps(record))
    return again


@given(VERDICTS)
def test_state_is_restored(verdicts: list[Verdict]) -> None:
    state = lived(verdicts)
    saved = restored(through_json(record_of(state)), after_s=2)
    assert saved is not None
    assert replace(saved.state, conclusive_at_s=1000.0) == state
    assert saved.due_at_s == pytest.approx(10.0)


def test_time_without_the_daemon_does_not_count_as_time_without_a_conclusive_result() -> None:
    saved = restored(record_of(replace(lived([Verdict.PASS]), conclusive_at_s=990.0)), after_s=3600)
    assert saved is not None
    assert saved.state.conclusive_at_s == pytest.approx(5.0 - 10.0)


def test_result_is_restored_with_all_its_fields() -> None:
    fields: dict[str, FieldValue] = {
        "status": 200,
        "phase.tls": 0.25,
        "names": ("a", "b"),
        "none": None,
        "flag": True,
        "text": "ü",
    }
    observation = Observation(START, 0.5, Reason.REFUSED, "said", fields, "127.0.0.1", excerpt="<html>")
    result = Result(observation, Verdict.FAIL, ("status == 200 (actual: 503)",), (False,))
    assert result_from_record(through_json(result_to_record(result))) == result
    decided = replace(result, decided_by=VerdictRule.CONDITIONS, deciding_indexes=(0,))
    assert result_from_record(through_json(result_to_record(decided))) == decided


def test_pause_and_type_state_are_restored() -> None:
    pause = Pause("kim (uid 1000)", START, "disk swap")
    before = MonitorState(effective=State.PAUSED, pause=pause)
    saved = restored(through_json(record_of(before, type_state={"cursor": "s=1"})))
    assert saved is not None
    assert saved.state.pause == pause
    assert saved.state.effective is State.PAUSED
    assert saved.type_state == {"cursor": "s=1"}


def test_streak_is_discarded_after_a_long_stop_and_the_state_remains() -> None:
    record = record_of(lived([Verdict.PASS, Verdict.FAIL]))
    soon, late = restored(record, after_s=20), restored(record, after_s=3600)
    assert soon is not None
    assert late is not None
    assert soon.state.health.is_soft
    assert not late.state.health.is_soft
    assert late.state.health.state is State.UP


@pytest.mark.parametrize(
    "after_s",
    [
        pytest.param(30, id="already-past"),
        pytest.param(-86_400, id="clock-set-back"),
    ],
)
def test_due_time_outside_the_next_interval_is_discarded(after_s: float) -> None:
    saved = restored(record_of(lived([Verdict.PASS])), after_s)
    assert saved is not None
    assert saved.due_at_s is None


def test_state_of_another_type_is_discarded() -> None:
    assert restored(record_of(lived([Verdict.PASS])), type_name="other") is None


@pytest.mark.parametrize(
    "broken",
    [
        pytest.param({}, id="nothing"),
        pytest.param({"health": "wonderful"}, id="unknown state"),
        pytest.param({"streak_length": None}, id="no number"),
        pytest.param({"at": "yesterday"}, id="no time"),
        pytest.param({"since": 1e300}, id="impossible time"),
        pytest.param({"pause": {"by": "x"}}, id="incomplete pause"),
    ],
)
def test_record_that_cannot_be_read_is_discarded_with_a_warning(
    caplog: pytest.LogCaptureFixture, broken: dict[str, Any]
) -> None:
    record = record_of(lived([Verdict.PASS]))
    assert restored({**record, **broken} if broken else {}) is None
    assert "cannot be read" in caplog.text


def test_record_of_an_earlier_release_is_read() -> None:
    """A record that was written before subjects, outcomes and deciding conditions were stored."""
    record = {
        "type": "fake",
        "at": 1767268800.125,
        "due_at": 1767268807.125,
        "conclusive_at": 1767268790.125,
        "health": "down",
        "since": 1767268700.0,
        "streak": "fail",
        "streak_length": 9,
        "streak_since": 1767268700.0,
        "changes": 1 << 11,
        "last_verdict": "fail",
        "is_flapping": False,
        "effective": "down",
        "effective_since": 1767268700.0,
        "is_unknown": False,
        "pause": None,
        "type_state": {"cursor": "s=1"},
        "last": {
            "started_at": 1767268790.0,
            "duration_s": 0.5,
            "verdict": "fail",
            "reason": "refused",
            "detail": "GET http://web/ connection refused",
            "fields": {"phase.connect": 0.5, "names": ["a", "b"]},
            "address": "192.0.2.1",
            "conditions": [],
            "well": [],
            "excerpt": None,
        },
    }
    saved = restored(record)
    assert saved is not None
    down_since = datetime(2026, 1, 1, 11, 58, 20, tzinfo=UTC)
    assert saved.type_state == {"cursor": "s=1"}
    assert saved.due_at_s == pytest.approx(12.0)
    assert saved.state.conclusive_at_s == pytest.approx(-5.0)
    assert (saved.state.effective, saved.state.effective_since) == (State.DOWN, down_since)
    assert saved.state.health == HealthState(
        State.DOWN, down_since, Verdict.FAIL, 9, down_since, Flapping(1 << 11, Verdict.FAIL)
    )
    assert saved.state.last is not None
    assert saved.state.last.observation.fields == {"phase.connect": 0.5, "names": ("a", "b")}
