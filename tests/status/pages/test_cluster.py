"""The cluster on the pages: the locations of a monitor, the nodes, and the banner of a lost database."""

from dataclasses import replace

from monitord.cluster.model import ConfigurationDifferences, Membership, Role
from monitord.cluster.view import AgentView, ClusterView, DatabaseView, HubStatus
from monitord.model import State
from monitord.web.testing import ClientResponse, TestClient
from tests.cluster_views import NODES, SINCE, cluster_view, host_monitor, node
from tests.status.site import Site

SILENT = node("mon9", "syd", seen_ago_s=7200.0)
VIEW = cluster_view({"shop": {"fra": State.UP, "hel": State.UP, "nyc": State.DOWN}}, (*NODES, SILENT))


async def page(path: str, view: ClusterView | None = VIEW) -> str:
    """A page of a site whose monitor "shop" is up."""
    return (await response(path, view)).text


async def response(path: str, view: ClusterView | None = VIEW) -> ClientResponse:
    world = Site({"shop": (), "disk": ()}, cluster=lambda: view)
    try:
        await world.check("shop", "disk")
        async with TestClient(world.status_application) as client:
            return await client.get(path)
    finally:
        await world.close()


async def test_monitor_shows_its_locations() -> None:
    text = await page("/m/shop")
    assert "2 of 3 votes are needed for a change (quorum majority)." in text
    for words in ("<td>fra</td>", "<td>nyc</td>", "<td>mon4</td>", "connection refused", "no node is live"):
        assert words in text


async def test_page_of_a_single_host_shows_nothing_of_a_cluster() -> None:
    for path in ("/", "/m/shop", "/daemon"):
        text = await page(path, None)
        assert "Locations" not in text
        assert "luster" not in text
    assert "Locations" not in await page("/m/disk")


async def test_overview_shows_locations_that_see_another_state() -> None:
    text = await page("/")
    assert "down at nyc" in text
    assert "up at fra" not in text


async def test_daemon_shows_the_nodes() -> None:
    text = await page("/daemon")
    assert "This node is mon1 at fra. 4 of 5 nodes and 3 of 4 locations are live; 1 shared monitor." in text
    assert '<strong class="near">not responding</strong>' in text
    assert "its monitors, routes or notifiers differ from those of this node" in text
    assert "PostgreSQL 15.8, available, a heartbeat takes 3.1 ms, 2 notifications queued" in text


async def test_daemon_shows_nodes_that_do_not_decide() -> None:
    slow = replace(NODES[2], decision_lag_s=60.0)
    view = replace(VIEW, membership=Membership((*NODES[:2], slow)))
    assert "has not compared the votes with its decisions for a while" in await page("/daemon", view)


async def test_daemon_shows_the_differences_of_a_configuration() -> None:
    view = replace(VIEW, differences={"mon2": ConfigurationDifferences(changed=("monitors.api",), total=1)})
    assert "its configuration differs from that of this node: monitors.api differs" in await page(
        "/daemon", view
    )


async def test_agent_shows_its_hub_and_not_a_database() -> None:
    agent = replace(
        VIEW,
        membership=Membership((*NODES, node("branch1", "branch", role=Role.AGENT))),
        agent=AgentView((HubStatus("https://mon1", is_current=True),), 7, SINCE, 2),
    )
    text = await page("/daemon", agent)
    assert "<td>agent, live</td>" in text
    assert "Reports: to https://mon1, 2 votes and 0 heartbeats not acknowledged" in text
    lost = replace(agent, database=DatabaseView(error="connection refused", unavailable_since=SINCE))
    assert "No hub of the cluster responds.</strong>" in await page("/incidents", lost)
    assert "<strong>No hub responds</strong>" in await page("/daemon", lost)


async def test_every_page_shows_that_the_database_is_lost() -> None:
    lost = replace(VIEW, database=DatabaseView(error="connection refused", unavailable_since=SINCE))
    assert "does not respond.</strong>" in await page("/incidents", lost)
    alone = replace(lost, alone_since=SINCE)
    assert "so this node decides and notifies alone.</strong>" in await page("/", alone)
    assert "connection refused" in await page("/daemon", alone)
    assert "does not respond" not in await page("/")


async def test_overview_shows_the_monitors_of_other_hosts() -> None:
    view = replace(
        VIEW,
        host_monitors={
            "mon2": {"disk": host_monitor("mon2", "disk", State.DOWN, acknowledged_by="kim")},
            "mon9": {"unit": host_monitor("mon9", "unit", State.UP)},
        },
        membership_at=SINCE,
    )
    text = await page("/", view)
    for words in (
        "Other hosts",
        "mon2/disk",
        "97 % used",
        "disk_full",
        "acknowledged",
        "mon9/unit",
        "node_lost",
    ):
        assert words in text
    assert '<a class="chip s-unknown"' in text
    filtered = await page("/?q=mon9", view)
    assert "mon9/unit" in filtered
    assert "mon2/disk" not in filtered
    assert "Other hosts" not in await page("/")


async def test_page_of_a_monitor_of_another_host() -> None:
    view = replace(
        VIEW,
        membership=Membership((*NODES, SILENT, node("a/b", "nyc"))),
        host_monitors={
            "mon2": {"disk": host_monitor("mon2", "disk", State.DOWN, acknowledged_by="kim")},
            "mon9": {"unit": host_monitor("mon9", "unit", State.UP)},
            "a/b": {"disk": host_monitor("a/b", "disk", State.UP)},
        },
        membership_at=SINCE,
    )
    overview = await page("/", view)
    for path, name in (
        ("hosts/mon2/disk", "mon2/disk"),
        ("hosts/mon9/unit", "mon9/unit"),
        ("hosts/a%2Fb/disk", "a/b/disk"),
    ):
        assert f'{path}">{name}</a>' in overview
        assert f"<h1>{name}</h1>" in await page(f"/{path}", view)
    text = await page("/m/mon2%2Fdisk", view)
    for words in (
        ">down</strong>",
        "97 % used <code>disk_full</code>",
        "acknowledged by kim",
        "The node mon2 at fra checks this monitor",
        "Its last report was 1 s ago.",
        "<code>monitorctl show disk</code>",
    ):
        assert words in text
    lost = await page("/hosts/mon9/unit", view)
    assert "<code>node_lost</code>" in lost
    assert "ago, with the state up." in lost
    assert (await response("/hosts/mon2/nothing", view)).status == 404
    assert (await response("/hosts/mon2/disk")).status == 404
