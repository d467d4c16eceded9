"""Each row of the table of parents."""

import pytest

from monitord.health import Parents, parents_of

WELL, FAILING, DOWN = Parents.WELL, Parents.FAILING, Parents.DOWN


@pytest.mark.parametrize(
    ("needed", "alternatives", "together"),
    [
        pytest.param([], [], WELL, id="none"),
        pytest.param([WELL, DOWN], [], DOWN, id="one of the needed is down"),
        pytest.param([WELL, FAILING], [], FAILING, id="one of the needed fails"),
        pytest.param([], [DOWN, WELL], WELL, id="an alternative is well"),
        pytest.param([], [DOWN, FAILING], FAILING, id="the last alternative fails"),
        pytest.param([], [DOWN, DOWN], DOWN, id="no alternative is left"),
        pytest.param([DOWN], [WELL], DOWN, id="needed outweighs alternatives"),
        pytest.param([FAILING], [DOWN], DOWN, id="alternatives gone outweigh a needed that fails"),
        pytest.param([WELL], [FAILING, FAILING], FAILING, id="all alternatives fail"),
    ],
)
def test_states_of_parents_are_combined(
    needed: list[Parents], alternatives: list[Parents], together: Parents
) -> None:
    assert parents_of(needed, alternatives) is together
