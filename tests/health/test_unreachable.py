"""The rows of the table of states that depend on parents: verdicts and parents in, states out."""

from datetime import UTC, datetime, timedelta

import pytest

from monitord.health import Flapping, HealthPolicy, HealthState, Parents, advance, confirm
from monitord.model import State, Verdict

START = datetime(2026, 1, 1, tzinfo=UTC)
VERDICTS = {"p": Verdict.PASS, "w": Verdict.WARN, "f": Verdict.FAIL, "u": Verdict.INCONCLUSIVE}
PARENTS = {".": Parents.AVAILABLE, "?": Parents.FAILING, "!": Parents.DOWN}
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
        pytest.param("pfff", "..!.", HealthPolicy(), "UUXX", id="even after a single failure behind it"),
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
        assert step.changed == (step.health.state is not state.state)
        state = step.health
        seen += STATES[state.state]
    assert seen == healths


def test_unreachable_is_since_the_first_of_the_failures_and_is_no_soft_state() -> None:
    state = HealthState()
    for minute, parents in enumerate([Parents.AVAILABLE, Parents.DOWN, Parents.DOWN]):
        state = advance(
            state, Verdict.FAIL, START + timedelta(minutes=minute), HealthPolicy(), parents
        ).health
    assert state.state is State.UNREACHABLE
    assert state.since == START
    assert not state.is_soft
    assert (state.streak, state.streak_length, state.streak_since) == (None, 0, None)


def test_failures_behind_a_parent_that_is_down_count_for_flapping() -> None:
    state = HealthState(State.UNREACHABLE, START, flapping=Flapping(last=Verdict.PASS))
    after = advance(state, Verdict.FAIL, START, HealthPolicy(), Parents.DOWN).health
    assert (after.state, after.flapping.last) == (State.UNREACHABLE, Verdict.FAIL)


@pytest.mark.parametrize(
    ("parents", "state"),
    [(Parents.AVAILABLE, State.DOWN), (Parents.FAILING, State.UP), (Parents.DOWN, State.UNREACHABLE)],
    ids=["parents are up", "parents still fail", "parents are down"],
)
def test_failures_that_waited_for_their_parents_are_confirmed_by_them(parents: Parents, state: State) -> None:
    waiting = HealthState(State.UP, START, Verdict.FAIL, 3, START)
    assert confirm(waiting, HealthPolicy(), parents).state is state


def test_without_failures_nothing_waits_for_confirmation() -> None:
    passing = HealthState(State.UP, START, Verdict.PASS, 3, START)
    assert confirm(passing, HealthPolicy(), Parents.DOWN) is passing
