"""The votes about a monitor as API and pages show them: which count, and how many are needed."""

from dataclasses import replace
from typing import Any

import pytest

from monitord.cluster.model import Candidate, ClusterDecision, Membership, Tally
from monitord.cluster.quorum import decide
from monitord.cluster.view import ClusterView
from monitord.model import Quorum, Reason, State
from monitord.status.model.cluster import (
    MonitorVotes,
    cluster_json,
    count_of,
    electorate_of,
    is_counted,
    votes_json,
)
from tests.cluster_views import NODES, SINCE, cluster_view, node
from tests.fakes import monitor_settings

SPLIT = {"shop": {"fra": State.DOWN, "hel": State.DOWN, "nyc": State.UP}}


def of_shop(view: ClusterView) -> MonitorVotes:
    return MonitorVotes(view.votes["shop"], electorate_of(view))


def counted(view: ClusterView, **settings: Any) -> tuple[int, int, int]:
    votes = of_shop(view)
    count = count_of(votes, replace(monitor_settings("shop"), **settings))
    return count.voters, count.needed, count.needed_up


def without(view: ClusterView, name: str) -> ClusterView:
    """The same after the last heartbeat of a node has become too old."""
    nodes = tuple(
        replace(known, seen_ago_s=60.0) if known.name == name else known for known in view.membership.nodes
    )
    return replace(view, membership=Membership(nodes))


@pytest.mark.parametrize(
    ("quorum", "expected"),
    [("majority", (3, 2, 2)), ("any", (3, 1, 3)), ("all", (3, 3, 1)), (2, (3, 2, 2)), (5, (3, 3, 1))],
)
def test_count_follows_the_quorum(quorum: Quorum, expected: tuple[int, int, int]) -> None:
    assert counted(cluster_view(SPLIT), quorum=quorum) == expected


def test_vote_of_a_location_without_a_live_node_does_not_count() -> None:
    assert counted(without(cluster_view(SPLIT), "mon4")) == (2, 2, 2)


def test_all_known_locations_count_until_the_live_locations_are_settled() -> None:
    unsettled = replace(without(cluster_view(SPLIT), "mon4"), is_settled=False)
    assert counted(unsettled) == (3, 2, 2)


def test_only_the_configured_locations_count() -> None:
    assert counted(cluster_view(SPLIT), locations=("fra", "nyc")) == (2, 2, 2)


def test_inconclusive_vote_does_not_count() -> None:
    view = cluster_view({"shop": {**SPLIT["shop"], "nyc": State.UNKNOWN}})
    assert counted(view) == (2, 2, 2)


def test_node_that_is_alone_counts_no_votes() -> None:
    votes = of_shop(replace(cluster_view(SPLIT), alone_since=SINCE))
    assert not any(is_counted(votes, location) for location in ("fra", "hel", "nyc"))


@pytest.mark.parametrize("quorum", ["majority", "any", "all", 1, 2, 3])
@pytest.mark.parametrize("down", range(4))
@pytest.mark.parametrize("is_settled", [True, False])
def test_decision_follows_the_displayed_count(quorum: Quorum, down: int, *, is_settled: bool) -> None:
    locations = ("fra", "hel", "nyc")
    states = {"shop": {name: State.DOWN if n < down else State.UP for n, name in enumerate(locations)}}
    view = replace(cluster_view(states), is_settled=is_settled)
    _, needed, needed_up = counted(view, quorum=quorum)
    membership = view.membership
    tally = Tally(membership.live_locations, membership.known_locations, is_stale=False)
    expected = State.DOWN if down >= needed else State.UP if 3 - down >= needed_up else None
    candidate = Candidate("shop", tuple(view.votes["shop"].values()))
    decision = decide(candidate, tally, quorum, None, SINCE, is_settled=is_settled)
    assert (None if decision is None else decision.state) is expected
    # And nothing changes once it is decided.
    if decision is not None:
        decided = replace(candidate, decision=ClusterDecision("shop", decision.state, SINCE, Reason.OK, ""))
        assert decide(decided, tally, quorum, None, SINCE, is_settled=is_settled) is None


def test_location_without_a_vote_is_listed() -> None:
    votes = of_shop(cluster_view({"shop": {"fra": State.UP}}))
    shown = votes_json(votes, replace(monitor_settings("shop"), locations=("fra", "sin")))
    assert [(place["location"], place["is_live"], place["state"]) for place in shown["locations"]] == [
        ("fra", True, "up"),
        ("sin", False, None),
    ]


def test_nodes_are_described_as_this_node_sees_them() -> None:
    nodes = (
        *NODES,
        node("mon5", "sin", is_ready=False),
        node("mon6", "syd", seen_ago_s=700.0),
    )
    shown = cluster_json(cluster_view(SPLIT, nodes))
    assert [(known["name"], known["status"]) for known in shown["nodes"]] == [
        ("mon1", "live"),
        ("mon2", "live"),
        ("mon3", "live"),
        ("mon4", "live"),
        ("mon5", "starting"),
        ("mon6", "not_responding"),
    ]
    by_name = {known["name"]: known for known in shown["nodes"]}
    assert by_name["mon1"]["is_this_node"]
    assert by_name["mon1"]["share_of_location"] == pytest.approx(2 / 3)
    assert by_name["mon5"]["share_of_location"] is None
    assert by_name["mon6"]["heartbeat_age_s"] == 700.5
    assert [name for name, known in by_name.items() if not known["is_configuration_equal"]] == ["mon2"]
    assert [(place["name"], place["is_live"], place["votes"]) for place in shown["locations"]] == [
        ("fra", True, {"down": 1}),
        ("hel", True, {"down": 1}),
        ("nyc", True, {"up": 1}),
        ("sin", False, {}),
        ("syd", False, {}),
    ]
