"""The cluster in the API. Each response is validated with the OpenAPI document."""

from dataclasses import replace

from monitord.cli.commands.show import monitor_lines
from monitord.cluster.view import ClusterView, UnknownLocation
from monitord.dispatch.cycle import NO_TIMER
from monitord.model import State
from monitord.status.api.openapi import PREFIX
from tests.cluster_views import SINCE, cluster_view, host_monitor, vote
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
    assert shown["unknown_locations"] == [
        {"name": "hle", "monitors": 1, "first_monitors": ["good"], "notifiers": ["ops"]}
    ]


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
    world, member = clustered(VIEW)
    async with asked(world) as client:
        ask = await described(client)
        world.dispatcher.entries["good"].cycle.timer_id = NO_TIMER
        for path in ("/monitors/good", "/monitors/good/explain"):
            assert (await ask("GET", path)).json()["cluster"]["is_checked_here"] is False
        assert (await ask("GET", "/monitors?name=good")).json()["monitors"][0]["cluster"][
            "is_checked_here"
        ] is False
        explained = (await ask("GET", "/monitors/good/explain")).json()
        shown = (await ask("GET", "/monitors/good")).json()
        entry = world.dispatcher.entries["good"]
        entry.monitor.settings = replace(entry.monitor.settings, locations=("fra",))
        member.view = replace(VIEW, location="syd")
        elsewhere = (await ask("GET", "/monitors/good/explain")).json()
    assert explained["next"]["status"] == "at_other_node"
    assert (shown["next_check_in_s"], shown["next_check_at"]) == (None, None)
    lines = monitor_lines(shown, explained, columns=80, colour=False)
    assert [line for line in lines if line.startswith("next check")] == ["next check     by another node"]
    assert "Another node at this location checks it." in explained["sentences"]
    assert elsewhere["next"]["status"] == "at_other_locations"
    assert "Another node at this location checks it." not in elsewhere["sentences"]


def with_hosts(view: ClusterView, **ages_s: float) -> ClusterView:
    """The view with monitors of two hosts. `ages_s`: of the last heartbeats of these nodes."""
    nodes = tuple(
        replace(each, seen_ago_s=ages_s.get(each.name, each.seen_ago_s)) for each in view.membership.nodes
    )
    monitors = {
        name: {each.monitor: each}
        for name, each in {
            "mon1": host_monitor("mon1", "disk", State.UP),
            "mon2": host_monitor("mon2", "disk", State.DOWN, acknowledged_by="kim"),
            "mon3": host_monitor("mon3", "backup.timer", State.UP, type_name="timer", tags=("jobs",)),
        }.items()
    }
    return replace(
        view, membership=replace(view.membership, nodes=nodes), membership_at=SINCE, host_monitors=monitors
    )


async def test_monitors_of_other_hosts_are_listed() -> None:
    world, member = clustered(with_hosts(VIEW))
    async with asked(world) as client:
        ask = await described(client)
        shown = (await ask("GET", "/cluster/host-monitors")).json()["monitors"]
        assert [each["name"] for each in shown] == ["mon2/disk", "mon3/backup.timer"]
        assert shown[0] == {
            "name": "mon2/disk",
            "host": "mon2",
            "location": "fra",
            "monitor": "disk",
            "type": "disk",
            "tags": ["host"],
            "state": "down",
            "since": "2026-01-01T12:00:00.000Z",
            "reason": "disk_full",
            "detail": "97 % used",
            "reported_state": "down",
            "age_s": 1.5,
            "acknowledged_by": "kim",
            "maintenance_window": None,
        }
        for query in ("state=up", "type=timer", "tag=jobs", "name=backup", "name=mon3/*"):
            found = (await ask("GET", f"/cluster/host-monitors?{query}")).json()["monitors"]
            assert [each["name"] for each in found] == ["mon3/backup.timer"]
        nodes = (await ask("GET", "/cluster")).json()["nodes"]
        assert [node["host_monitors"] for node in nodes] == [{}, {"down": 1}, {"up": 1}, {}]
        member.view = with_hosts(VIEW, mon3=600.0)
        lost = (await ask("GET", "/cluster/host-monitors?name=mon3")).json()["monitors"][0]
        assert (lost["state"], lost["reported_state"], lost["reason"]) == ("unknown", "up", "node_lost")
        assert lost["since"] == "2026-01-01T11:50:00.000Z"
        assert lost["detail"] == (
            "node mon3 has sent no heartbeat since 2026-01-01 11:50:00 UTC; last state: up, 97 % used"
        )
        assert lost["age_s"] == 600.5
        # This node has lost the database, and knows nothing of the others.
        member.view = replace(with_hosts(VIEW), membership_age_s=30.0)
        for each in (await ask("GET", "/cluster/host-monitors")).json()["monitors"]:
            assert (each["state"], each["reason"]) == ("unknown", "prober_disconnected")


async def test_monitors_of_other_hosts_are_not_found_on_a_single_host() -> None:
    async with asked(make_world()) as client:
        assert (await client.get(f"{PREFIX}/cluster/host-monitors")).status == 404
