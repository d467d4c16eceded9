"""Each row of the table of states is a case: verdicts in, states out."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitord.health import Flapping, HealthPolicy, HealthState, advance
from monitord.model import State, Verdict

START = datetime(2026, 1, 1, tzinfo=UTC)
LETTERS = {"p": Verdict.PASS, "w": Verdict.WARN, "f": Verdict.FAIL, "u": Verdict.INCONCLUSIVE}
STATES = {State.PENDING: "-", State.UP: "U", State.DEGRADED: "G", State.DOWN: "D"}


def play(verdicts: str, policy: HealthPolicy) -> tuple[str, HealthState, list[bool]]:
    """The letter of the health after each verdict; one verdict a minute."""
    state = HealthState()
    seen = ""
    retried = []
    for minute, letter in enumerate(verdicts):
        step = advance(state, LETTERS[letter], START + timedelta(minutes=minute), policy)
        assert step.changed == (step.health.state is not state.state)
        state = step.health
        seen += STATES[state.state]
        retried.append(step.recovered_by_retry)
    return seen, state, retried


@pytest.mark.parametrize(
    ("verdicts", "policy", "healths"),
    [
        pytest.param("p", HealthPolicy(), "U", id="pending_passes"),
        pytest.param("w", HealthPolicy(), "G", id="pending_warns"),
        pytest.param("ff", HealthPolicy(), "-D", id="pending_fails_twice"),
        pytest.param("f", HealthPolicy(fail_after=1), "D", id="fail_after_one"),
        pytest.param("pf", HealthPolicy(), "UU", id="one_failure_is_soft"),
        pytest.param("pff", HealthPolicy(), "UUD", id="second_failure_is_hard"),
        pytest.param("pfpf", HealthPolicy(), "UUUU", id="a_pass_between_begins_anew"),
        pytest.param("pfwf", HealthPolicy(), "UUUU", id="a_warning_between_begins_anew"),
        pytest.param("pffp", HealthPolicy(), "UUDU", id="down_recovers"),
        pytest.param("pffw", HealthPolicy(), "UUDG", id="down_recovers_to_degraded"),
        pytest.param("pffppp", HealthPolicy(recover_after=3), "UUDDDU", id="recovery_takes_three"),
        pytest.param("pffwpw", HealthPolicy(recover_after=3), "UUDDDG", id="recovery_counts_any_answer"),
        pytest.param("pffpfpp", HealthPolicy(recover_after=2), "UUDDDDU", id="a_failure_resets_recovery"),
        pytest.param("pw", HealthPolicy(), "UU", id="one_warning_is_not_believed"),
        pytest.param("pww", HealthPolicy(), "UUG", id="second_warning_is"),
        pytest.param("pwpw", HealthPolicy(), "UUUU", id="a_pass_resets_warnings"),
        pytest.param("pwwp", HealthPolicy(), "UUGU", id="degraded_passes"),
        pytest.param("pwwff", HealthPolicy(), "UUGGD", id="degraded_fails"),
        pytest.param("pfuf", HealthPolicy(), "UUUD", id="inconclusive_does_not_reset_failures"),
        pytest.param("pfuuu", HealthPolicy(), "UUUUU", id="inconclusive_does_not_count_as_failure"),
        pytest.param(
            "pffupp", HealthPolicy(recover_after=2), "UUDDDU", id="inconclusive_does_not_count_as_recovery"
        ),
        pytest.param("uuu", HealthPolicy(), "---", id="inconclusive_leaves_pending"),
    ],
)
def test_verdicts_lead_to_states(verdicts: str, policy: HealthPolicy, healths: str) -> None:
    assert play(verdicts, policy)[0] == healths


def test_down_begins_with_the_first_of_its_failures() -> None:
    _, state, _ = play("ppfff", HealthPolicy(fail_after=3))
    assert state.state is State.DOWN
    assert state.since == START + timedelta(minutes=2)


def test_up_begins_with_the_first_pass_of_its_streak() -> None:
    _, state, _ = play("ffppp", HealthPolicy(recover_after=2))
    assert state.state is State.UP
    assert state.since == START + timedelta(minutes=2)


def test_unconfirmed_failure_recovers_by_retry() -> None:
    assert play("pfpp", HealthPolicy())[2] == [False, False, True, False]


FLAPS, NEVER_FLAPS = HealthPolicy(), HealthPolicy(detects_flapping=False)


@pytest.mark.parametrize(
    ("verdicts", "policy", "is_flapping"),
    [
        pytest.param("pf" * 10, FLAPS, True, id="changing verdicts"),
        pytest.param("pf" * 10 + "u", FLAPS, True, id="inconclusive changes nothing"),
        pytest.param("pf" * 10 + "f" * 20, FLAPS, False, id="over after equal verdicts"),
        pytest.param("pf" * 10, NEVER_FLAPS, False, id="not detected"),
    ],
)
def test_flapping_follows_from_verdicts(verdicts: str, policy: HealthPolicy, is_flapping: bool) -> None:
    assert play(verdicts, policy)[1].flapping.is_flapping is is_flapping


def test_flapping_ends_when_its_detection_is_disabled() -> None:
    _, state, _ = play("pf" * 10, FLAPS)
    assert advance(state, Verdict.PASS, START, NEVER_FLAPS).health.flapping == Flapping()


def test_confirmed_failure_keeps_its_streak() -> None:
    _, state, _ = play("pff", HealthPolicy())
    assert (state.streak, state.streak_length, state.streak_since) == (
        Verdict.FAIL,
        2,
        START + timedelta(minutes=1),
    )


def test_recovery_from_down_is_a_transition_and_not_by_retry() -> None:
    assert play("ffp", HealthPolicy())[2] == [False, False, False]


@given(
    st.text(alphabet="pwfu", max_size=60),
    st.builds(
        HealthPolicy,
        fail_after=st.integers(1, 4),
        recover_after=st.integers(1, 4),
        degrade_after=st.integers(1, 4),
    ),
)
def test_down_requires_fail_after_failures_and_inconclusive_changes_nothing(
    verdicts: str, policy: HealthPolicy
) -> None:
    state = HealthState()
    failures = 0
    for minute, letter in enumerate(verdicts):
        before = state
        step = advance(state, LETTERS[letter], START + timedelta(minutes=minute), policy)
        state = step.health
        failures = failures + 1 if letter == "f" else failures if letter == "u" else 0
        if letter == "u":
            assert state == before
        if step.changed and state.state is State.DOWN:
            assert failures == policy.fail_after
        if failures >= policy.fail_after:
            assert state.state is State.DOWN
        assert state.is_soft == (failures > 0 and state.state is not State.DOWN)
