"""Nodes of a cluster in one process and in fake time, on a `FakeServer`."""

import asyncio
import json
from collections.abc import Callable, Mapping
from typing import Any, Self

from monitord.alerts import AlertRoute
from monitord.application import ApplicationContainer
from monitord.clock import Clock
from monitord.cluster.node import ClusterNode
from monitord.cluster.report_json import REPORT_KEYS, answer_json, report_of
from monitord.cluster.settings import ClusterSettings, HubSettings
from monitord.config import Secret
from monitord.errors import ClusterError, NodeNameError
from monitord.model import Reason, State
from monitord.net import (
    CookieStore,
    FailureKind,
    HttpClient,
    HttpExchange,
    HttpFailure,
    HttpOutcome,
    HttpRequest,
    Resolver,
    TlsContexts,
)
from monitord.settings import Settings
from tests.alerts.fakes import FakeNotifier, alert_settings, without_duration
from tests.cluster.fake_database import FakeDatabase, FakeServer
from tests.fakes import FakeMonitor, monitor_settings
from tests.worlds import World

ALONE_AFTER_S = 60.0


class NodeWorld(World):
    """A node with fake monitors. `bad` of the base class has what its checks find, by monitor."""

    def __init__(
        self,
        server: FakeServer,
        node: str,
        location: str | None = None,
        *,
        monitors: tuple[str, ...] = ("web",),
        kept: Mapping[str, Mapping[str, Any]] | None = None,
        locations: tuple[str, ...] = (),
        hubs: "FakeHubs | None" = None,
    ) -> None:
        hub = None if hubs is None else HubSettings(tuple(hubs.nodes), Secret("a-token"))
        self.cluster = ClusterSettings(Secret(""), location or node, node, ALONE_AFTER_S, hub)
        super().__init__(clock=server.clock, settings=Settings(cluster=self.cluster), kept=kept)
        self.hubs = hubs
        self.database = FakeDatabase(server)
        if hubs is None:
            self.override(ApplicationContainer.cluster_store, self.database)
        else:
            self.override(ApplicationContainer.http_client, hubs)
        self._names = monitors
        self._locations = locations
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def node(self) -> ClusterNode:
        assert self.cluster_node is not None
        return self.cluster_node

    async def begin(self) -> None:
        """Run the node, as the daemon does."""
        await self.node.open()
        self.start()
        self.alerts.apply(alert_settings(AlertRoute(("ops",))))
        for name in self._names:
            self.monitor(name, locations=self._locations)
        self.configure()
        self.alert_sink.evaluate_all(is_isolated=False)
        self._tasks = [
            asyncio.ensure_future(self.node.run()),
            asyncio.ensure_future(self.alerts.run()),
        ]

    def configure(self) -> None:
        """Pass the current monitors to the node, as after a reload."""
        settings = tuple(entry.monitor.settings for entry in self.dispatcher.entries.values())
        self.node.apply(settings, self.alerts.settings)

    def remove(self, name: str) -> None:
        """Remove a monitor from the configuration of this node."""
        left = [e.monitor.settings for e in self.dispatcher.entries.values() if e.name != name]
        self.dispatcher.apply(self.dispatcher.plan(left, lambda _: self.dispatcher.entries[name].monitor))
        self.configure()

    def rename(self, old: str, new: str) -> None:
        """Rename a monitor in the configuration of this node."""
        left = [e.monitor.settings for e in self.dispatcher.entries.values() if e.name != old]

        async def found() -> Reason:
            return self.bad.get(new, Reason.OK)

        renamed = FakeMonitor(monitor_settings(new, renamed_from=old), self.tools, found)
        self.dispatcher.apply(self.dispatcher.plan([*left, renamed.settings], lambda _: renamed))
        self.configure()

    async def end(self) -> None:
        """Stop the node in order."""
        await self._cancel()
        await self.node.leave()
        await self.dispatcher.close(0.0)
        self.stall_detector.stop()
        await self.alerts.close()
        await self.node.close()
        await self._close_rest()

    async def kill(self) -> None:
        """Behave as after SIGKILL: nothing reaches the database."""
        self.database.is_disconnected = True
        if self.hubs is not None:
            self.hubs.unreachable |= self.hubs.nodes.keys()
        await self._cancel()
        await self.dispatcher.close(0.0)
        self.stall_detector.stop()
        await self.alerts.close(0.0)
        await self.node.close()
        await self._close_rest()

    async def _cancel(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _close_rest(self) -> None:
        await self.history.close(5.0)
        await self.http_client.close()

    @property
    def sent(self) -> list[str]:
        """The titles of the notifications that this node has sent, without durations."""
        return [
            without_duration(title)
            for notifier in FakeNotifier.made
            if notifier.tools is self.notifier_tools
            for group in notifier.titles
            for title in group
        ]

    @property
    def checks(self) -> int:
        """The number of checks of this node."""
        return len(self.results)


class FakeHubs(HttpClient):
    """The HTTP client of an agent, whose requests are handled by nodes of the test, by URL.

    `unreachable`: the URLs that do not respond. `loses_answer`: the next answer is lost after the report is stored.
    `bodies`: the reports that were sent, with their URL.
    """

    def __init__(self, **nodes: NodeWorld) -> None:
        super().__init__(user_agent="test", resolver=Resolver(), tls_contexts=TlsContexts())
        self.nodes = {f"https://{name}": world for name, world in nodes.items()}
        self.unreachable: set[str] = set()
        self.loses_answer = False
        self.bodies: list[tuple[str, dict[str, Any]]] = []

    async def fetch(
        self,
        request: HttpRequest,
        *,
        deadline: float,
        cookies: CookieStore | None = None,
        body: bytes | None = None,
    ) -> HttpOutcome:
        del deadline, cookies
        url = request.target.shown_origin
        await asyncio.sleep(0.001)
        hub = self.nodes[url].node.hub
        if url in self.unreachable or hub is None or body is None:
            return _failure("connection refused")
        document = json.loads(body)
        self.bodies.append((url, document))
        values = {key: REPORT_KEYS[key](value) for key, value in document.items()}
        try:
            answer = await hub.accept(report_of(values, self.nodes[url].clock.now()))
        except NodeNameError as error:
            return _exchange(409, {"detail": str(error)})
        except ClusterError as error:
            return _exchange(503, {"detail": str(error)})
        if self.loses_answer:
            self.loses_answer = False
            return _failure("the connection was closed")
        return _exchange(200, answer_json(answer))


def _failure(detail: str) -> HttpFailure:
    return HttpFailure(FailureKind.REFUSED, detail, {}, 0.0, 0, None, None)


def _exchange(status: int, document: Any) -> HttpExchange:
    return HttpExchange(
        status, "", {}, "1.1", json.dumps(document).encode(), b"", None, 0, "192.0.2.1", 4, {}, 0.0, None
    )


class Cluster:
    """Nodes by name, on one server. `async with`: the nodes run until the end of the block."""

    def __init__(self, clock: Clock, *names: str, **options: Any) -> None:
        self.server = FakeServer(clock)
        self.nodes: dict[str, NodeWorld] = {}
        for name in names:
            self.add(name, **options)

    def add(self, name: str, location: str | None = None, **options: Any) -> NodeWorld:
        self.nodes[name] = NodeWorld(self.server, name, location, **options)
        return self.nodes[name]

    async def __aenter__(self) -> Self:
        """Run all nodes until they are live and settled, and each monitor has a decision."""
        for world in self.nodes.values():
            await world.begin()
        await until(lambda: all(self.server.is_live(name) for name in self.nodes))
        await asyncio.sleep(30)
        return self

    async def __aexit__(self, *_: object) -> None:
        for world in self.nodes.values():
            await world.end()

    def fail(self, *names: str, monitor: str = "web") -> None:
        """Let the checks of these nodes fail, and those of the others pass."""
        for name, world in self.nodes.items():
            if name in names:
                world.bad[monitor] = Reason.REFUSED
            else:
                world.bad.pop(monitor, None)

    @property
    def sent(self) -> list[str]:
        """All notifications that were sent, by node."""
        return [title for world in self.nodes.values() for title in world.sent]

    def states(self, monitor: str = "web") -> set[State]:
        """The states that the nodes show."""
        return {world.state(monitor) for world in self.nodes.values()}


async def until(condition: Callable[[], bool], limit_s: float = 600.0) -> None:
    """Let time pass until the condition is true."""
    loop = asyncio.get_running_loop()
    deadline_s = loop.time() + limit_s
    while not condition():
        assert loop.time() < deadline_s, "the condition did not become true"
        await asyncio.sleep(0.5)
