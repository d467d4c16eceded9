"""The rows of the table of health that parents decide: verdicts and parents in, states out."""

from datetime import UTC, datetime, timedelta

import pytest

from monitord.health import HealthPolicy, HealthState, Parents, advance
from monitord.model import State, Verdict

START = datetime(2026, 1, 1, tzinfo=UTC)
VERDICTS = {"p": Verdict.PASS, "w": Verdict.WARN, "f": Verdict.FAIL, "u": Verdict.INCONCLUSIVE}
PARENTS = {".": Parents.WELL, "?": Parents.FAILING, "!": Parents.DOWN}
STATES = {
    State.PENDING: "-",
    State.UP: "U",
    State.DEGRADED: "G",
    State.DOWN: "D",
    State.UNREACHABLE: "X",
}


@pytest.mark.parametrize(
    ("verdicts", "parents", "policy", "healths"),
    [
        pytest.param("pff", "..!", HealthPolicy(), "UUX", id="fails behind a parent that is down"),
        pytest.param("pf", ".!", HealthPolicy(), "UU", id="one failure behind it is soft as ever"),
        pytest.param("pfff", ".???", HealthPolicy(), "UUUU", id="waits for a parent that fails softly"),
        pytest.param(
            "pffff", ".???.", HealthPolicy(), "UUUUD", id="and is down when the parent is well after all"
        ),
        pytest.param(
            "pffff", ".???!", HealthPolicy(), "UUUUX", id="and unreachable when the parent goes down"
        ),
        pytest.param(
            "pfffff", "..!!!!", HealthPolicy(), "UUXXXX", id="stays so as long as the parent is down"
        ),
        pytest.param("pffff", "..!!.", HealthPolicy(), "UUXXX", id="the first failure after it is soft"),
        pytest.param("pfffff", "..!!..", HealthPolicy(), "UUXXXD", id="the second after it is its own"),
        pytest.param("pfffpf", "..!!..", HealthPolicy(), "UUXXUU", id="comes back with its parent"),
        pytest.param("pffw", "..!.", HealthPolicy(), "UUXG", id="comes back degraded"),
        pytest.param(
            "pffpp", "..!..", HealthPolicy(recover_after=2), "UUXXU", id="takes recover_after to come back"
        ),
        pytest.param("pffpwp", "..!...", HealthPolicy(recover_after=3), "UUXXXU", id="any answer counts"),
        pytest.param("pffff", "...!!", HealthPolicy(), "UUDDD", id="who was down before stays down"),
        pytest.param("ff", "!!", HealthPolicy(), "-X", id="from pending"),
        pytest.param("pffuu", "..!..", HealthPolicy(), "UUXXX", id="inconclusive changes nothing"),
    ],
)
def test_parents_decide(verdicts: str, parents: str, policy: HealthPolicy, healths: str) -> None:
    state, seen = HealthState(), ""
    for minute, (verdict, parent) in enumerate(zip(verdicts, parents, strict=True)):
        step = advance(state, VERDICTS[verdict], START + timedelta(minutes=minute), policy, PARENTS[parent])
        assert step.changed == (step.state.health is not state.health)
        state = step.state
        seen += STATES[state.health]
    assert seen == healths


def test_unreachable_is_since_the_first_of_the_failures_and_is_no_soft_state() -> None:
    state = HealthState()
    for minute, parents in enumerate([Parents.WELL, Parents.DOWN, Parents.DOWN]):
        state = advance(state, Verdict.FAIL, START + timedelta(minutes=minute), HealthPolicy(), parents).state
    assert state.health is State.UNREACHABLE
    assert state.since == START
    assert not state.is_soft
