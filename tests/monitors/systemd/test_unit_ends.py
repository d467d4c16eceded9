"""Each row of the table of ends: which new starts of a unit were crashes."""

import json
from dataclasses import replace

import pytest

from monitord.monitors.systemd.unit_ends import UnitEnds
from monitord.net.dbus.unit_state import UnitChange, UnitState

RUNS = UnitState("a.service", run="1", result="success", service_type="simple")


def again(run: str, restarts: int) -> UnitState:
    """Return the state of a unit that systemd has restarted n times."""
    return replace(RUNS, run=run, restarts=restarts)


def waits(run: str, restarts: int, result: str) -> UnitState:
    return replace(again(run, restarts), active_state="activating", sub_state="auto-restart", result=result)


def queued(run: str, restarts: int, result: str) -> UnitState:
    """Return the state of a unit in systemd 257: the restart is counted, but has not happened yet."""
    return replace(waits(run, restarts, result), sub_state="auto-restart-queued")


def failed(run: str, restarts: int = 0) -> UnitState:
    return replace(again(run, restarts), active_state="failed", sub_state="failed", result="exit-code")


def said(state: UnitState) -> UnitChange:
    return UnitChange(
        state.name,
        state.active_state,
        state.sub_state,
        state.result,
        state.restarts,
        state.run,
    )


Step = UnitState | UnitChange

CASES = [
    pytest.param([RUNS, RUNS], [0, 0], id="a_unit_that_runs_on"),
    pytest.param([again("5", 9), again("5", 9)], [0, 0], id="what_was_before_the_first_look_is_no_news"),
    pytest.param([RUNS, again("2", 1), again("2", 1)], [0, 1, 0], id="restarted_while_nobody_listened"),
    pytest.param([RUNS, again("4", 3)], [0, 3], id="restarted_three_times"),
    pytest.param([RUNS, said(waits("1", 0, "exit-code")), again("2", 1)], [0, 1], id="heard_and_counted_once"),
    pytest.param([RUNS, said(waits("1", 0, "success")), again("2", 1)], [0, 0], id="ended_well"),
    pytest.param(
        [RUNS, said(waits("1", 0, "success")), said(waits("1", 0, "success")), again("2", 1), again("3", 2)],
        [0, 0, 1],
        id="a_signal_that_is_repeated_excuses_one_restart",
    ),
    pytest.param(
        [RUNS, said(waits("1", 0, "success")), said(waits("2", 1, "signal")), again("3", 2)],
        [0, 1],
        id="one_ended_well_and_one_not",
    ),
    pytest.param(
        [RUNS, waits("1", 0, "exit-code"), waits("1", 0, "exit-code"), again("2", 1), again("2", 1)],
        [0, 1, 0, 0, 0],
        id="told_while_it_waits_and_not_again_when_it_runs",
    ),
    pytest.param([RUNS, waits("1", 0, "success"), again("2", 1)], [0, 0, 0], id="waits_after_a_good_end"),
    pytest.param(
        [RUNS, waits("1", 0, "exit-code"), again("3", 2)], [0, 1, 1], id="one_told_and_one_more_since"
    ),
    pytest.param([RUNS, failed("1"), again("2", 0)], [0, 0, 0], id="failed_is_told_by_its_state"),
    pytest.param(
        [RUNS, said(failed("1")), again("2", 0), again("2", 0)], [0, 1, 0], id="failed_and_started_by_hand"
    ),
    pytest.param(
        [RUNS, failed("1"), said(replace(failed("1"), result="success", run="")), again("2", 0)],
        [0, 0, 0],
        id="failed_and_told_before_it_speaks_of_its_new_start",
    ),
    pytest.param(
        [RUNS, failed("1"), said(again("2", 0)), said(failed("2")), again("3", 0)], [0, 0, 1], id="failed_once_more"
    ),
    pytest.param([RUNS, queued("1", 1, "signal"), again("2", 1)], [0, 1, 0], id="counted_before_it_runs_again"),
    pytest.param(
        [RUNS, waits("1", 0, "signal"), queued("1", 1, "signal"), again("2", 1), again("3", 2)],
        [0, 1, 0, 0, 1],
        id="told_while_it_waits_and_not_again_when_it_is_counted",
    ),
    pytest.param(
        [RUNS, queued("1", 1, "success"), again("2", 1), again("3", 2)], [0, 0, 0, 1], id="ended_well_and_counted"
    ),
    pytest.param(
        [RUNS, said(waits("1", 0, "success")), queued("1", 1, "success"), again("3", 2)],
        [0, 0, 1],
        id="ended_well_heard_and_counted",
    ),
    pytest.param([RUNS, said(failed("1")), again("2", 1)], [0, 1], id="failed_and_counted_is_one"),
    pytest.param([again("9", 5), again("10", 0)], [0, 0], id="started_by_hand"),
    pytest.param([again("9", 5), again("12", 2)], [0, 2], id="started_by_hand_and_restarted_since"),
    pytest.param(
        [RUNS, waits("1", 0, "exit-code"), failed("1"), again("2", 0), again("3", 1)],
        [0, 1, 0, 0, 1],
        id="a_restart_that_never_came_excuses_none",
    ),
    pytest.param(
        [RUNS, said(replace(waits("1", 0, "exit-code"), active_state="failed",
                            sub_state="failed-before-auto-restart")), again("2", 1)],
        [0, 1],
        id="newer_systemd_calls_it_failed_before_auto_restart",
    ),
    pytest.param(
        [RUNS, said(replace(waits("1", 0, "success"), active_state="inactive",
                            sub_state="dead-before-auto-restart")), again("2", 1)],
        [0, 0],
        id="newer_systemd_calls_it_dead_before_auto_restart",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("steps", "crashes"), CASES)
def test_crashes_are_reported_once(steps: list[Step], crashes: list[int]) -> None:
    ends = UnitEnds()
    assert play(ends, steps) == crashes


# Cases without signals, as before a subscription.
WITHOUT_SIGNALS = [case for case in CASES if all(isinstance(step, UnitState) for step in case.values[0])]  # type: ignore[union-attr] # a list


@pytest.mark.parametrize(("steps", "crashes"), WITHOUT_SIGNALS)
def test_restart_of_monitord_between_two_checks_changes_nothing(
    steps: list[Step], crashes: list[int]
) -> None:
    reported = []
    ends = UnitEnds()
    for step in steps:
        reported += play(ends, [step])
        memory = json.loads(json.dumps(ends.dump_state()))
        ends = UnitEnds()
        ends.restore_state(memory)
    assert reported == crashes


def test_unit_that_had_failed_before_a_restart_of_monitord_has_not_crashed_when_it_is_started() -> None:
    before, ends = UnitEnds(), UnitEnds()
    play(before, [RUNS, failed("1")])
    ends.restore_state(json.loads(json.dumps(before.dump_state())))
    start_is_queued = said(replace(failed("1"), result="success", run=""))
    assert play(ends, [start_is_queued, again("2", 0)]) == [0]


def test_last_end_is_that_of_the_last_failed_run() -> None:
    ends = UnitEnds()
    play(ends, [RUNS, said(waits("1", 0, "core-dump"))])
    assert ends.last_end == "core-dump"
    play(ends, [said(replace(failed("1"), result="success"))])
    assert ends.last_end == "core-dump"


def test_no_state_is_stored_before_the_first_check() -> None:
    assert UnitEnds().dump_state() is None


@pytest.mark.parametrize("memory", [{}, {"restarts": "x", "run": 1, "expected": None}, {"restarts": 1}])
def test_state_of_another_release_is_ignored(memory: dict[str, object]) -> None:
    ends = UnitEnds()
    ends.restore_state(memory)
    assert play(ends, [again("2", 7)]) == [0]


def play(ends: UnitEnds, steps: list[Step]) -> list[int]:
    """Return the number of crashes that each query reports; signals report none."""
    reported = []
    for step in steps:
        if isinstance(step, UnitChange):
            ends.record(step)
        else:
            reported.append(ends.count_crashes(step))
    return reported
