"""The table of the phases of a monitor's checks, and its copy in the documentation of the module."""

import pytest

from monitord.dispatch import cycle
from monitord.dispatch.cycle import TRANSITIONS, CheckCycle, CycleEvent, CyclePhase
from monitord.dispatch.schedule import Grid


def documented() -> dict[CyclePhase, dict[CycleEvent, CyclePhase]]:
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in (cycle.__doc__ or "").splitlines()
        if line.startswith("|") and "---" not in line
    ]
    events = [CycleEvent(name) for name in rows[0][1:]]
    return {
        CyclePhase(phase): {
            event: CyclePhase(phase if cell == "as before" else cell)
            for event, cell in zip(events, cells, strict=True)
            if cell
        }
        for phase, *cells in rows[1:]
    }


def test_documented_table_is_the_one_that_runs() -> None:
    assert documented() == TRANSITIONS


def test_every_phase_can_be_reached_and_left_until_the_monitor_is_removed() -> None:
    reached = {after for row in TRANSITIONS.values() for after in row.values()}
    assert reached == set(CyclePhase)
    assert [phase for phase, row in TRANSITIONS.items() if set(row.values()) <= {phase}] == [
        CyclePhase.REMOVED
    ]


@pytest.mark.parametrize(
    ("phase", "event"),
    [(phase, event) for phase, row in TRANSITIONS.items() for event in row],
    ids=lambda one: one.name.lower(),
)
def test_event_leads_to_the_next_phase_and_returns_whether_it_has_changed(
    phase: CyclePhase, event: CycleEvent
) -> None:
    cycle = CheckCycle(Grid(10.0, 0.0), 0.0, phase)
    assert cycle.apply(event) is (TRANSITIONS[phase][event] is not phase)
    assert cycle.phase is TRANSITIONS[phase][event]


@pytest.mark.parametrize(
    ("phase", "event"),
    [(phase, event) for phase in CyclePhase for event in CycleEvent if event not in TRANSITIONS[phase]],
    ids=lambda one: one.name.lower(),
)
def test_event_outside_the_table_is_an_error_and_changes_nothing(
    phase: CyclePhase, event: CycleEvent
) -> None:
    checked = CheckCycle(Grid(10.0, 0.0), 0.0, phase)
    with pytest.raises(KeyError):
        checked.apply(event)
    assert checked.phase is phase
