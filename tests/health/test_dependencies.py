"""Each row of the table of parents."""

import pytest

from monitord.health import ParentState, combined_state

AVAILABLE, FAILING, DOWN = ParentState.AVAILABLE, ParentState.FAILING, ParentState.DOWN


@pytest.mark.parametrize(
    ("needed", "alternatives", "together"),
    [
        pytest.param([], [], AVAILABLE, id="none"),
        pytest.param([AVAILABLE, DOWN], [], DOWN, id="one of the parents is down"),
        pytest.param([AVAILABLE, FAILING], [], FAILING, id="one of the parents fails"),
        pytest.param([], [DOWN, AVAILABLE], AVAILABLE, id="an alternative passes"),
        pytest.param([], [DOWN, FAILING], FAILING, id="the last alternative fails"),
        pytest.param([], [DOWN, DOWN], DOWN, id="no alternative is left"),
        pytest.param([DOWN], [AVAILABLE], DOWN, id="parent that is down outweighs alternatives"),
        pytest.param([FAILING], [DOWN], DOWN, id="failed alternatives outweigh a failing parent"),
        pytest.param([AVAILABLE], [FAILING, FAILING], FAILING, id="all alternatives fail"),
    ],
)
def test_states_of_parents_are_combined(
    needed: list[ParentState], alternatives: list[ParentState], together: ParentState
) -> None:
    assert combined_state(needed, alternatives) is together
