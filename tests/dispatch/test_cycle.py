"""The table of the stages of a monitor's checks, and its copy in the documentation of the module."""

import pytest

from monitord.dispatch import cycle
from monitord.dispatch.cycle import TRANSITIONS, CheckCycle, CycleEvent, CycleStage
from monitord.dispatch.schedule import Grid


def documented() -> dict[CycleStage, dict[CycleEvent, CycleStage]]:
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in (cycle.__doc__ or "").splitlines()
        if line.startswith("|") and "---" not in line
    ]
    events = [CycleEvent(name) for name in rows[0][1:]]
    return {
        CycleStage(stage): {
            event: CycleStage(stage if cell == "as before" else cell)
            for event, cell in zip(events, cells, strict=True)
            if cell
        }
        for stage, *cells in rows[1:]
    }


def test_documented_table_equals_the_implemented_table() -> None:
    assert documented() == TRANSITIONS


def test_every_stage_can_be_reached_and_left_until_the_monitor_is_removed() -> None:
    reached = {after for row in TRANSITIONS.values() for after in row.values()}
    assert reached == set(CycleStage)
    assert [stage for stage, row in TRANSITIONS.items() if set(row.values()) <= {stage}] == [
        CycleStage.REMOVED
    ]


@pytest.mark.parametrize(
    ("stage", "event"),
    [(stage, event) for stage, row in TRANSITIONS.items() for event in row],
    ids=lambda member: member.name.lower(),
)
def test_event_leads_to_the_next_stage_and_returns_whether_it_has_changed(
    stage: CycleStage, event: CycleEvent
) -> None:
    cycle = CheckCycle(Grid(10.0, 0.0), 0.0, stage)
    assert cycle.advance(event) is (TRANSITIONS[stage][event] is not stage)
    assert cycle.stage is TRANSITIONS[stage][event]


@pytest.mark.parametrize(
    ("stage", "event"),
    [(stage, event) for stage in CycleStage for event in CycleEvent if event not in TRANSITIONS[stage]],
    ids=lambda member: member.name.lower(),
)
def test_event_outside_the_table_is_an_error_and_changes_nothing(
    stage: CycleStage, event: CycleEvent
) -> None:
    checked = CheckCycle(Grid(10.0, 0.0), 0.0, stage)
    with pytest.raises(KeyError):
        checked.advance(event)
    assert checked.stage is stage
