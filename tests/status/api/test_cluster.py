"""The cluster in the API. Each response is validated with the OpenAPI document."""

from dataclasses import replace

from monitord.cluster.view import ClusterView, UnknownLocation
from monitord.dispatch.cycle import NO_TIMER
from monitord.model import State
from monitord.status.api.openapi import PREFIX
from tests.cluster_views import SINCE, cluster_view, vote
from tests.endpoint import StatusWorld, asked, make_world
from tests.status.api.test_api import described


class Member:
    """A node whose view a test changes."""

    def __init__(self, view: ClusterView) -> None:
        self.view = view

    def __call__(self) -> ClusterView:
        return self.view


def clustered(view: ClusterView) -> tuple[StatusWorld, Member]:
    member = Member(view)
    return make_world(cluster=member), member


VIEW = cluster_view({"good": {"fra": State.DOWN, "hel": State.DOWN, "nyc": State.UP}})


async def test_cluster_is_not_found_on_a_single_host() -> None:
    async with asked(make_world()) as client:
        response = await client.get(f"{PREFIX}/cluster")
    assert response.status == 404
    assert "[cluster]" in response.json()["detail"]


async def test_cluster_is_described_as_this_node_sees_it() -> None:
    world, _ = clustered(VIEW)
    async with asked(world) as client:
        ask = await described(client)
        shown = (await ask("GET", "/cluster")).json()
    assert (shown["node"], shown["location"]) == ("mon1", "fra")
    assert [node["name"] for node in shown["nodes"]] == ["mon1", "mon2", "mon3", "mon4"]
    assert shown["database"]["latency_s"] == 0.0031
    assert shown["alone_since"] is None


async def test_location_without_a_node_is_shown() -> None:
    world, _ = clustered(replace(VIEW, unknown_locations=(UnknownLocation("hle", ("good",), ("ops",)),)))
    async with asked(world) as client:
        ask = await described(client)
        shown = (await ask("GET", "/cluster")).json()
    assert shown["unknown_locations"] == [{"name": "hle", "monitors": 1, "notifiers": ["ops"]}]


async def test_monitor_has_the_votes_of_the_locations() -> None:
    world, _ = clustered(VIEW)
    async with asked(world) as client:
        ask = await described(client)
        cluster = (await ask("GET", "/monitors/good")).json()["cluster"]
        listed = (await ask("GET", "/monitors?name=good")).json()["monitors"][0]["cluster"]
        explained = (await ask("GET", "/monitors/good/explain")).json()["cluster"]
    assert cluster == listed == explained
    assert (cluster["voters"], cluster["votes_needed"], cluster["is_settled"]) == (3, 2, True)
    assert [(place["location"], place["state"], place["node"]) for place in cluster["locations"]] == [
        ("fra", "down", "mon1"),
        ("hel", "down", "mon3"),
        ("nyc", "up", "mon4"),
    ]


async def test_monitor_of_this_host_only_has_no_votes() -> None:
    world, _ = clustered(VIEW)
    async with asked(world) as client:
        ask = await described(client)
        assert (await ask("GET", "/monitors/bad")).json()["cluster"] is None


async def test_list_follows_votes_and_live_locations() -> None:
    world, member = clustered(VIEW)
    async with asked(world) as client:

        async def good() -> dict[str, object]:
            world.read_model.refresh()
            response = await client.get(f"{PREFIX}/monitors?name=good")
            votes: dict[str, object] = response.json()["monitors"][0]["cluster"]
            return votes

        assert (await good())["votes_needed"] == 2
        revision = world.read_model.revision
        await good()
        assert world.read_model.revision == revision
        up_everywhere = {**VIEW.votes["good"], "hel": vote("good", "hel", State.UP, "mon3")}
        member.view = replace(VIEW, votes={"good": up_everywhere})
        locations = (await good())["locations"]
        assert isinstance(locations, list)
        assert locations[1]["state"] == "up"
        member.view = replace(member.view, alone_since=SINCE)
        assert (await good())["is_alone"] is True
        member.view = replace(member.view, shared=frozenset())
        response = await client.get(f"{PREFIX}/monitors/good")
        assert response.json()["cluster"] is None


async def test_monitor_that_another_node_of_the_location_checks_is_marked() -> None:
    world, _ = clustered(VIEW)
    async with asked(world) as client:
        ask = await described(client)
        world.dispatcher.entries["good"].cycle.timer_id = NO_TIMER
        for path in ("/monitors/good", "/monitors/good/explain"):
            assert (await ask("GET", path)).json()["cluster"]["is_checked_here"] is False
        assert (await ask("GET", "/monitors?name=good")).json()["monitors"][0]["cluster"][
            "is_checked_here"
        ] is False
        explained = (await ask("GET", "/monitors/good/explain")).json()
    assert explained["next"]["status"] == "at_other_node"
    assert "Another node at this location checks it." in explained["sentences"]
