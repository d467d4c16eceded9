"""Replacement of the frozen state of a monitor after a check, and after changed settings."""

import math
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from monitord.dispatch import ClusterState, MonitorState, OpenMaintenance, Pause
from monitord.dispatch.clock_steps import ClockStep
from monitord.health import HealthState
from monitord.model import Incident, Observation, Reason, Result, State, Verdict

AT = datetime(2026, 1, 1, 12, tzinfo=UTC)
RESULT = Result(Observation(AT, 0.5, Reason.REFUSED, "refused"), Verdict.FAIL)
STATE = MonitorState(
    health=HealthState(State.DOWN, AT, Verdict.FAIL, 3, AT),
    effective=State.PAUSED,
    effective_since=AT,
    conclusive_at_s=1.0,
    is_unknown=True,
    pause=Pause("kim", AT, "disk swap"),
    maintenance=OpenMaintenance("upgrade", None),
    incident=Incident("i1", "web", AT, Reason.REFUSED, "refused", acknowledged_at=AT),
    last=RESULT,
    was_stalled=True,
    passed_at=AT,
    last_started_at_s=2.0,
    failing_since_s=3.0,
    parents_deadline_s=4.0,
    bug="ValueError()",
    is_slow_to_evaluate=True,
    cluster=ClusterState(State.DOWN, AT, Reason.REFUSED, "refused", 7),
)


def test_every_field_of_the_example_differs_from_its_default() -> None:
    initial = MonitorState()
    equal = [
        field.name for field in fields(STATE) if getattr(STATE, field.name) == getattr(initial, field.name)
    ]
    assert equal == []


def test_result_replaces_only_the_fields_of_a_check() -> None:
    changed: dict[str, Any] = {
        "was_stalled": False,
        "conclusive_at_s": 9.0,
        "is_unknown": False,
    }
    after = STATE.with_result(RESULT, HealthState(State.UP, AT), started_at_s=8.0, **changed)
    expected = replace(STATE, health=HealthState(State.UP, AT), last=RESULT, last_started_at_s=8.0, **changed)
    assert after == expected


def test_time_of_the_last_passed_check_is_kept_until_the_next_one_passes() -> None:
    state = MonitorState()
    seen = []
    for minute, verdict in enumerate(
        (Verdict.PASS, Verdict.WARN, Verdict.FAIL, Verdict.INCONCLUSIVE, Verdict.PASS)
    ):
        result = Result(Observation(AT + timedelta(minutes=minute), 0.5, Reason.OK, "x"), verdict)
        state = state.with_result(
            result, HealthState(), started_at_s=0.0, was_stalled=False, conclusive_at_s=0.0, is_unknown=False
        )
        seen.append(state.passed_at)
    assert seen == [AT, AT, AT, AT, AT + timedelta(minutes=4)]


def test_changed_settings_discard_what_belongs_to_the_check() -> None:
    after = STATE.with_other_settings()
    assert after == replace(
        STATE, was_stalled=False, last_started_at_s=-math.inf, bug=None, is_slow_to_evaluate=None
    )


def test_changed_type_keeps_pause_and_window_only() -> None:
    assert STATE.with_other_type(7.0) == MonitorState(
        effective=State.PAUSED,
        effective_since=AT,
        conclusive_at_s=7.0,
        pause=STATE.pause,
        maintenance=STATE.maintenance,
    )
    assert replace(STATE, pause=None).with_other_type(7.0) == MonitorState(
        conclusive_at_s=7.0, maintenance=STATE.maintenance
    )


def test_clock_step_shifts_every_time() -> None:
    hour = timedelta(hours=1)
    after = replace(STATE, cluster=None).after_clock_step(ClockStep(AT, AT + hour, hour))
    assert after.health == replace(STATE.health, since=AT + hour, streak_since=AT + hour)
    assert after.effective_since == AT + hour
    assert after.pause == Pause("kim", AT + hour, "disk swap")
    assert after.incident is not None
    assert (after.incident.opened_at, after.incident.acknowledged_at) == (AT + hour, AT + hour)
    assert after.last == STATE.last
