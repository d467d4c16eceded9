"""Two daemons with the same node name: the live daemon keeps it, and the other does not take part."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

import pytest

from monitord.model import State
from tests.cluster.worlds import Cluster, NodeWorld, until
from tests.fakes import FakeClock, run_in_fake_time


def run(main: Callable[[Cluster, NodeWorld], Awaitable[None]]) -> None:
    """Run a cluster of two nodes, and then a daemon that has the name of one of them, at another location."""

    async def whole() -> None:
        async with Cluster(FakeClock(), "ams", "fra") as cluster:
            again = NodeWorld(cluster.server, "fra", "hel")
            await again.begin()
            try:
                await main(cluster, again)
            finally:
                await again.end()

    run_in_fake_time(whole)


def conflicts(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if "does not take part" in record.getMessage()]


def test_second_daemon_with_the_name_does_not_take_part(caplog: pytest.LogCaptureFixture) -> None:
    async def main(cluster: Cluster, again: NodeWorld) -> None:
        await asyncio.sleep(200)
        assert conflicts(caplog) == [
            "this node does not take part in the cluster: another daemon takes part in the cluster as the node fra"
        ]
        view = again.node.view()
        assert (view.database.is_available, view.alone_since) == (False, None)
        assert "another daemon" in (view.database.error or "")
        assert cluster.server.live_locations() == {"ams", "fra"}
        cluster.fail("ams", "fra")
        await until(lambda: cluster.states() == {State.DOWN})
        await asyncio.sleep(200)
        assert cluster.sent == ["DOWN: web"]
        assert again.sent == []

    with caplog.at_level(logging.ERROR):
        run(main)


def test_second_daemon_takes_part_when_the_name_is_free(caplog: pytest.LogCaptureFixture) -> None:
    async def main(cluster: Cluster, again: NodeWorld) -> None:
        await asyncio.sleep(60)
        await cluster.nodes.pop("fra").end()
        await until(lambda: cluster.server.live_locations() == {"ams", "hel"})
        await until(lambda: again.node.view().database.is_available)
        assert again.node.view().database.error is None

    run(main)


def test_daemon_that_was_stopped_does_not_regain_its_name(caplog: pytest.LogCaptureFixture) -> None:
    async def main(cluster: Cluster, again: NodeWorld) -> None:
        stopped = cluster.nodes.pop("fra")
        stopped.database.is_disconnected = True
        await until(lambda: cluster.server.live_locations() == {"ams", "hel"})
        stopped.database.is_disconnected = False
        cluster.nodes["again"] = again
        try:
            cluster.fail("ams", "again")
            await until(lambda: cluster.sent == ["DOWN: web"])
            await asyncio.sleep(60)
            assert cluster.server.live_locations() == {"ams", "hel"}
            assert cluster.sent == ["DOWN: web"]
            assert stopped.sent == []
            assert len(conflicts(caplog)) == 1
        finally:
            del cluster.nodes["again"]
            await stopped.end()

    run(main)


def test_restart_after_a_kill_logs_no_error(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async with Cluster(FakeClock(), "ams", "fra") as cluster:
            await cluster.nodes.pop("fra").kill()
            await cluster.add("fra").begin()
            caplog.clear()
            await until(lambda: cluster.server.is_live("fra") and cluster.nodes["fra"].node.view().is_settled)
            assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []

    run_in_fake_time(main)
