"""The rows of the table of states that depend on parents: verdicts and parents in, states out."""

from datetime import UTC, datetime, timedelta

import pytest

from monitord.health import Flapping, HealthPolicy, HealthState, ParentState, advance, confirm
from monitord.model import State, Verdict

START = datetime(2026, 1, 1, tzinfo=UTC)
VERDICTS = {"p": Verdict.PASS, "w": Verdict.WARN, "f": Verdict.FAIL, "u": Verdict.INCONCLUSIVE}
PARENT_STATES = {".": ParentState.AVAILABLE, "?": ParentState.FAILING, "!": ParentState.DOWN}
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
        pytest.param("pf", ".!", HealthPolicy(), "UU", id="single failure is soft"),
        pytest.param("pfff", ".???", HealthPolicy(), "UUUU", id="held while the parent fails"),
        pytest.param("pffff", ".???.", HealthPolicy(), "UUUUD", id="down when the parent passes"),
        pytest.param("pffff", ".???!", HealthPolicy(), "UUUUX", id="unreachable when the parent goes down"),
        pytest.param("pfffff", "..!!!!", HealthPolicy(), "UUXXXX", id="unreachable while the parent is down"),
        pytest.param(
            "pffff", "..!!.", HealthPolicy(), "UUXXX", id="first failure after the recovery is soft"
        ),
        pytest.param("pfff", "..!.", HealthPolicy(), "UUXX", id="even after a single failure behind it"),
        pytest.param(
            "pfffff", "..!!..", HealthPolicy(), "UUXXXD", id="second failure after the recovery goes down"
        ),
        pytest.param("pfffpf", "..!!..", HealthPolicy(), "UUXXUU", id="recovers with its parent"),
        pytest.param("pffw", "..!.", HealthPolicy(), "UUXG", id="recovers to degraded"),
        pytest.param(
            "pffpp", "..!..", HealthPolicy(recover_after=2), "UUXXU", id="recovers after recover_after"
        ),
        pytest.param(
            "pffpwp", "..!...", HealthPolicy(recover_after=3), "UUXXXU", id="warnings count towards recovery"
        ),
        pytest.param("pffff", "...!!", HealthPolicy(), "UUDDD", id="down before stays down"),
        pytest.param("ff", "!!", HealthPolicy(), "-X", id="from pending"),
        pytest.param("pffuu", "..!..", HealthPolicy(), "UUXXX", id="inconclusive changes nothing"),
    ],
)
def test_parents_and_verdicts_determine_the_state(
    verdicts: str, parents: str, policy: HealthPolicy, healths: str
) -> None:
    state, seen = HealthState(), ""
    for minute, (verdict, parent) in enumerate(zip(verdicts, parents, strict=True)):
        step = advance(
            state, VERDICTS[verdict], START + timedelta(minutes=minute), policy, PARENT_STATES[parent]
        )
        assert step.changed == (step.health.state is not state.state)
        state = step.health
        seen += STATES[state.state]
    assert seen == healths


def test_unreachable_begins_with_the_first_failure_and_is_not_soft() -> None:
    state = HealthState()
    for minute, parents in enumerate([ParentState.AVAILABLE, ParentState.DOWN, ParentState.DOWN]):
        state = advance(
            state, Verdict.FAIL, START + timedelta(minutes=minute), HealthPolicy(), parents
        ).health
    assert state.state is State.UNREACHABLE
    assert state.since == START
    assert not state.is_soft
    assert (state.streak, state.streak_length, state.streak_since) == (None, 0, None)


def test_failures_behind_a_parent_that_is_down_count_for_flapping() -> None:
    state = HealthState(State.UNREACHABLE, START, flapping=Flapping(last=Verdict.PASS))
    after = advance(state, Verdict.FAIL, START, HealthPolicy(), ParentState.DOWN).health
    assert (after.state, after.flapping.last) == (State.UNREACHABLE, Verdict.FAIL)


@pytest.mark.parametrize(
    ("parents", "state"),
    [
        (ParentState.AVAILABLE, State.DOWN),
        (ParentState.FAILING, State.UP),
        (ParentState.DOWN, State.UNREACHABLE),
    ],
    ids=["parents are up", "parents still fail", "parents are down"],
)
def test_failures_that_waited_for_their_parents_are_confirmed_by_them(
    parents: ParentState, state: State
) -> None:
    waiting = HealthState(State.UP, START, Verdict.FAIL, 3, START)
    assert confirm(waiting, HealthPolicy(), parents).state is state


def test_without_failures_nothing_waits_for_confirmation() -> None:
    passing = HealthState(State.UP, START, Verdict.PASS, 3, START)
    assert confirm(passing, HealthPolicy(), ParentState.DOWN) is passing
