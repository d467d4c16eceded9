"""The decisions that follow from votes. The order of votes, the deciding node and its clock do not matter."""

from dataclasses import replace
from datetime import datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitord.cluster.model import Candidate, ClusterDecision, Quorum, Tally, Vote
from monitord.cluster.quorum import SEVERITIES, decide, decided_state, needed
from monitord.health.incidents import stable_id
from monitord.model import Reason, State
from tests.cluster.votes import BEGAN, vote

UP, DEGRADED, DOWN, UNREACHABLE = State.UP, State.DEGRADED, State.DOWN, State.UNREACHABLE
LOCATIONS = ("ams", "fra", "hel", "nyc", "sin")
LATER = BEGAN + timedelta(days=1)


def tally_of(live: tuple[str, ...], known: tuple[str, ...] = LOCATIONS) -> Tally:
    return Tally(frozenset(live), frozenset(known), is_stale=False)


def decision_of(
    votes: list[Vote],
    before: ClusterDecision | None = None,
    *,
    quorum: Quorum = "majority",
    locations: tuple[str, ...] | None = None,
    known: tuple[str, ...] | None = None,
    is_settled: bool = True,
    now: datetime = LATER,
) -> ClusterDecision | None:
    live = tuple(vote.location for vote in votes)
    tally = tally_of(live, live if known is None else known)
    return decide(
        Candidate("shop", tuple(votes), before), tally, quorum, locations, now, is_settled=is_settled
    )


@pytest.mark.parametrize(
    ("quorum", "voters", "expected"),
    [
        ("majority", 1, (1, 1)),
        ("majority", 2, (2, 2)),
        ("majority", 3, (2, 2)),
        ("majority", 4, (3, 3)),
        ("any", 3, (1, 3)),
        ("all", 3, (3, 1)),
        (2, 3, (2, 2)),
        (2, 5, (2, 4)),
        (4, 3, (3, 1)),
        (1, 1, (1, 1)),
    ],
)
def test_number_of_needed_votes(quorum: Quorum, voters: int, expected: tuple[int, int]) -> None:
    assert needed(quorum, voters) == expected


@pytest.mark.parametrize(
    ("states", "quorum", "voters", "expected"),
    [
        pytest.param([DOWN, DOWN, UP], "majority", 3, DOWN, id="majority down"),
        pytest.param([DOWN, UP, UP], "majority", 3, UP, id="majority up"),
        pytest.param([DOWN, DEGRADED, UP], "majority", 3, DEGRADED, id="down supports degraded"),
        pytest.param([DOWN, UNREACHABLE, UP], "majority", 3, UNREACHABLE, id="down supports unreachable"),
        pytest.param(
            [UNREACHABLE, DEGRADED, UP], "majority", 3, DEGRADED, id="unreachable supports degraded"
        ),
        pytest.param([DOWN, UP], "majority", 2, None, id="two that disagree"),
        pytest.param([DEGRADED, UP], "majority", 2, None, id="two that disagree about degraded"),
        pytest.param([DOWN, DOWN, UP, UP], "majority", 4, None, id="half"),
        pytest.param([DOWN], "majority", 1, DOWN, id="alone"),
        pytest.param([DOWN], "majority", 3, None, id="one of three known"),
        pytest.param([DOWN, DOWN], "majority", 3, DOWN, id="two of three known"),
        pytest.param([UP], "majority", 2, None, id="up at one of two known"),
        pytest.param([DOWN, UP, UP], "any", 3, DOWN, id="any down"),
        pytest.param([UP, UP, UP], "any", 3, UP, id="all up"),
        pytest.param([UP, UP], "any", 3, None, id="up needs all known"),
        pytest.param([DOWN, DOWN, UP], "all", 3, UP, id="one up is enough"),
        pytest.param([DOWN, DOWN, DOWN], "all", 3, DOWN, id="all down"),
        pytest.param([DOWN, DOWN, DEGRADED], "all", 3, DEGRADED, id="all at least degraded"),
        pytest.param([DOWN, DOWN, UP, UP, UP], 2, 5, DOWN, id="two of five"),
        pytest.param([DOWN, UP, UP, UP, UP], 2, 5, UP, id="one of five is too few"),
        pytest.param([DOWN], 2, 1, DOWN, id="more than there are voters"),
        pytest.param([], "majority", 0, None, id="no votes"),
        pytest.param([], "any", 3, None, id="no votes of three"),
    ],
)
def test_state_by_votes(states: list[State], quorum: Quorum, voters: int, expected: State | None) -> None:
    assert decided_state(states, voters, quorum) is expected


def test_decision_contains_the_reason_and_the_locations() -> None:
    votes = [
        vote("fra", DOWN, 1, detail="connection refused"),
        vote("hel", DOWN, 2, reason=Reason.TIMEOUT_CONNECT, detail="timeout"),
        vote("nyc", DOWN, 3, detail="connection refused"),
        vote("ams", UP, 0),
    ]
    decision = decision_of(votes)
    assert decision == ClusterDecision(
        "shop",
        DOWN,
        votes[2].since,
        Reason.REFUSED,
        "connection refused; down at fra, hel and nyc, up at ams",
        version=1,
    )


def test_decision_begins_with_the_vote_that_completes_the_quorum() -> None:
    up = decision_of([vote("fra", UP, 0), vote("hel", UP, 1), vote("nyc", UP, 2)])
    assert up is not None
    assert up.since == BEGAN + timedelta(minutes=1)
    down = decision_of([vote("fra", UP, 0), vote("hel", DOWN, 7), vote("nyc", DOWN, 5)], up)
    assert down is not None
    assert (down.since, down.version) == (BEGAN + timedelta(minutes=7), 2)


def test_decision_never_begins_before_the_previous_decision() -> None:
    """A location is left alone, and has been down for longer than the decision has been up."""
    up = ClusterDecision("shop", UP, BEGAN + timedelta(minutes=30), Reason.OK, "", version=5)
    down = decision_of([vote("fra", DOWN, 2)], up)
    assert down is not None
    assert stable_id("shop", down.since) != stable_id("shop", up.since)
    assert down.since == LATER


def test_recovery_by_votes_that_are_older_than_the_outage_begins_now() -> None:
    """Nodes that did not see the outage have taken over. Its duration is not that from its beginning to their votes."""
    down = ClusterDecision("shop", DOWN, BEGAN + timedelta(minutes=30), Reason.REFUSED, "", version=5)
    up = decision_of([vote("fra", UP, 2), vote("hel", UP, 3), vote("nyc", DOWN, 30)], down)
    assert up is not None
    assert (up.state, up.since) == (UP, LATER)


def test_decision_is_not_in_the_future_of_the_deciding_node() -> None:
    decision = decision_of([vote("fra", DOWN, 60 * 24 * 30)])
    assert decision is not None
    assert decision.since == LATER


def test_same_state_is_not_decided_again() -> None:
    before = ClusterDecision("shop", DOWN, BEGAN, Reason.REFUSED, "", version=1)
    assert decision_of([vote("fra", DOWN), vote("hel", DOWN, 3)], before) is None


def test_decision_after_the_clock_was_set_back_begins_now() -> None:
    """A beginning in the future would delay its notifications."""
    up = ClusterDecision("shop", UP, LATER + timedelta(hours=1), Reason.OK, "", version=5)
    down = decision_of([vote("fra", DOWN, 2)], up)
    assert down is not None
    assert down.since == LATER


def test_decision_keeps_the_alert_of_the_previous_decision() -> None:
    before = ClusterDecision("shop", DOWN, BEGAN, Reason.REFUSED, "", version=1, alert={"id": "a"})
    after = decision_of([vote("fra", UP, 5)], before)
    assert after is not None
    assert after.alert == {"id": "a"}


def test_votes_that_are_not_conclusive_do_not_count() -> None:
    votes = [vote("fra", DOWN), vote("hel", State.UNKNOWN), vote("nyc", State.PENDING)]
    decision = decision_of(votes)
    assert decision is not None
    assert decision.state is DOWN


def test_only_the_locations_of_the_monitor_vote() -> None:
    votes = [vote("fra", DOWN), vote("hel", UP), vote("nyc", UP)]
    decision = decision_of(votes, locations=("fra",))
    assert decision is not None
    assert decision.detail == "down at fra"


def test_unsettled_locations_need_a_majority_of_the_known_locations() -> None:
    votes = [vote("fra", DOWN), vote("hel", DOWN)]
    assert decision_of(votes, known=("fra", "hel", "nyc", "ams"), is_settled=False) is None
    assert decision_of(votes, known=("fra", "hel", "nyc"), is_settled=False) is not None
    assert decision_of(votes, known=("fra", "hel", "nyc", "ams"), is_settled=True) is not None


def test_known_locations_that_do_not_check_the_monitor_do_not_count() -> None:
    votes = [vote("fra", DOWN), vote("hel", DOWN)]
    assert (
        decision_of(votes, known=("fra", "hel", "nyc", "ams"), locations=("fra", "hel"), is_settled=False)
        is not None
    )


states = st.sampled_from(SEVERITIES)
quorums = st.one_of(st.sampled_from(("majority", "any", "all")), st.integers(1, 6))
ballots = st.dictionaries(st.sampled_from(LOCATIONS), st.tuples(states, st.integers(0, 600)), min_size=1)


def votes_of(ballot: dict[str, tuple[State, int]]) -> list[Vote]:
    reasons = {location: list(Reason)[number] for number, location in enumerate(LOCATIONS)}
    return [
        vote(location, state, minute, reason=reasons[location])
        for location, (state, minute) in ballot.items()
    ]


@given(ballots, quorums, st.booleans(), st.randoms(use_true_random=False), st.integers(0, 10**6))
def test_any_order_of_the_votes_and_any_clock_give_one_decision(
    ballot: dict[str, tuple[State, int]], quorum: Quorum, is_settled: bool, random: object, ahead_s: int
) -> None:
    votes = votes_of(ballot)
    shuffled = sorted(votes, key=lambda _: random.random())  # type: ignore[attr-defined]  # random.Random
    tally = tally_of(tuple(ballot))
    first, second = (
        decide(Candidate("shop", tuple(order)), tally, quorum, None, now, is_settled=is_settled)
        for order, now in ((votes, LATER), (shuffled, LATER + timedelta(seconds=ahead_s)))
    )
    assert first == second
    if first is not None and second is not None:
        assert stable_id("shop", first.since) == stable_id("shop", second.since)


@given(
    st.dictionaries(st.sampled_from(LOCATIONS), states, min_size=len(LOCATIONS)),
    st.sets(st.sampled_from(LOCATIONS)),
)
def test_two_parts_that_are_not_settled_never_decide_differently(
    ballot: dict[str, State], part: set[str]
) -> None:
    """Each part knows all locations, and believes that the others have just died."""
    parts = [
        [vote(location, state) for location, state in ballot.items() if (location in part) is is_inside]
        for is_inside in (True, False)
    ]
    decided = [decision_of(votes, known=LOCATIONS, is_settled=False) for votes in parts]
    assert None in decided


@given(st.lists(ballots, min_size=2, max_size=12), quorums)
def test_each_alert_of_a_sequence_has_its_own_id(
    sequence: list[dict[str, tuple[State, int]]], quorum: Quorum
) -> None:
    """Locations die and return between two decisions, in any order."""
    decisions: list[ClusterDecision] = []
    for number, ballot in enumerate(sequence):
        before, now = decisions[-1] if decisions else None, LATER + timedelta(seconds=number)
        decision = decision_of(votes_of(ballot), before, quorum=quorum, now=now)
        if decision is not None:
            decisions.append(decision)
    assert [decision.version for decision in decisions] == list(range(1, len(decisions) + 1))
    assert all(first.state is not second.state for first, second in pairwise(decisions))
    assert len({stable_id("shop", decision.since) for decision in decisions}) == len(decisions)


@given(ballots, quorums)
def test_decision_is_stable_until_a_vote_changes(
    ballot: dict[str, tuple[State, int]], quorum: Quorum
) -> None:
    votes = votes_of(ballot)
    first = decision_of(votes, quorum=quorum)
    if first is not None:
        assert decision_of([replace(vote, checked_at=LATER) for vote in votes], first, quorum=quorum) is None
