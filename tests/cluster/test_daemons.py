"""Real daemons on a real PostgreSQL: votes, a decision, one notification, a takeover, alone mode, and an agent."""

import asyncio
import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from monitord.clock import SystemClock
from monitord.cluster.database import initialize
from monitord.net import Resolver
from tests.database_servers import PASSWORD, Database, postgresql
from tests.servers import free_port
from tests.systemd_package.fakes import FakeManager
from tests.test_daemon import Process

DEADLINE_S = 120.0


class Location:
    """A proxy: the world as the checks of one location see it. `is_up`: whether the site responds."""

    def __init__(self) -> None:
        self.is_up = True
        self.count = 0


class Receiver:
    """The receiver of the notifications."""

    def __init__(self) -> None:
        self.notifications: list[dict[str, Any]] = []

    @property
    def kinds(self) -> list[str]:
        return [notification["kind"] for notification in self.notifications]


@contextmanager
def serving(handler: type[BaseHTTPRequestHandler]) -> Iterator[int]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = False
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def proxy_of(location: Location) -> type[BaseHTTPRequestHandler]:
    class Proxy(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            location.count += 1
            self.send_response(200 if location.is_up else 503)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Log nothing."""

    return Proxy


def hook_of(receiver: Receiver) -> type[BaseHTTPRequestHandler]:
    class Hook(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            receiver.notifications += json.loads(body)["notifications"]
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Log nothing."""

    return Hook


class Node:
    """A daemon at a location."""

    def __init__(self, process: Process, location: Location) -> None:
        self.process = process
        self.location = location

    def monitor(self, name: str = "web") -> dict[str, Any]:
        monitor: dict[str, Any] = self.process.get(f"/api/v1/monitors/{name}")
        return monitor


def conninfo_of(database: Database) -> str:
    return f"host=127.0.0.1 port={database.port} dbname=postgres user=postgres password={PASSWORD}"


@contextmanager
def node(
    stack: ExitStack, folder: Path, name: str, location_name: str, access: str, hook_port: int, more: str
) -> Iterator[Node]:
    """`access`: the keys of [cluster] for the database or the hubs. `more`: further sections."""
    location = Location()
    port = stack.enter_context(serving(proxy_of(location)))
    folder.mkdir()
    with FakeManager(str(folder / "notify")) as manager:
        process = Process(folder, manager)
        process.config.write_text(
            f"""
[history]
directory = "{folder}"
[cluster]
{access}
location = "{location_name}"
node = "{name}"
alone_after = "10s"
[monitors.web]
url = "http://web.example.org/"
proxy = "http://127.0.0.1:{port}"
check_every = "1s"
retry_every = "200ms"
[notifiers.ops]
type = "webhook"
url = "http://127.0.0.1:{hook_port}/"
group_wait = "0s"
{more}
"""
        )
        process.start()
        try:
            yield Node(process, location)
        finally:
            if process.process.poll() is None:
                process.process.send_signal(signal.SIGCONT)
                process.process.kill()
            process.process.wait()


class Nodes:
    """Daemons on one database, and the receiver of their notifications."""

    def __init__(self, stack: ExitStack, tmp_path: Path, database: Database) -> None:
        self._stack = stack
        self._tmp_path = tmp_path
        self.conninfo = conninfo_of(database)
        self.receiver = Receiver()
        self._hook_port = stack.enter_context(serving(hook_of(self.receiver)))
        self.nodes: dict[str, Node] = {}
        # Not asyncio.run, which would take the thread's own loop from pytest-asyncio.
        loop = asyncio.new_event_loop()
        loop.run_until_complete(self._initialize())
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()

    async def _initialize(self) -> None:
        await initialize(self.conninfo, SystemClock(), Resolver())

    def start(
        self, name: str, location: str | None = None, *, access: str | None = None, more: str = ""
    ) -> Node:
        access = f'database = "{self.conninfo}"' if access is None else access
        arguments = (self._tmp_path / name, name, location or name, access, self._hook_port, more)
        self.nodes[name] = self._stack.enter_context(node(self._stack, *arguments))
        self.nodes[name].process.wait_for_notification("READY=1")
        return self.nodes[name]

    def states(self, monitor: str = "web") -> set[str]:
        return {
            each.monitor(monitor)["state"]
            for each in self.nodes.values()
            if each.process.process.poll() is None
        }

    def wait(self, condition: Callable[[], bool]) -> None:
        until_s = time.monotonic() + DEADLINE_S
        while not condition():
            if time.monotonic() > until_s:
                logs = "\n".join(f"== {name}\n{each.process.log()}" for name, each in self.nodes.items())
                pytest.fail(f"the condition did not become true: {self.receiver.kinds}\n{logs}")
            time.sleep(0.05)


@pytest.fixture
def nodes(tmp_path: Path) -> Iterator[Nodes]:
    with ExitStack() as stack:
        database = stack.enter_context(postgresql())
        yield Nodes(stack, tmp_path, database)


def test_two_locations_decide_together_and_notify_once(nodes: Nodes) -> None:
    fra, hel = nodes.start("fra"), nodes.start("hel")
    nodes.wait(lambda: nodes.states() == {"up"})
    fra.location.is_up = False
    fra.process.wait_for_log("503")
    checked = fra.location.count
    nodes.wait(lambda: fra.location.count > checked + 5)
    assert nodes.states() == {"up"}
    hel.location.is_up = False
    nodes.wait(lambda: nodes.states() == {"down"})
    nodes.wait(lambda: nodes.receiver.kinds == ["problem"])
    assert "down at fra and hel" in nodes.receiver.notifications[0]["detail"]
    fra.location.is_up = hel.location.is_up = True
    nodes.wait(lambda: nodes.states() == {"up"})
    nodes.wait(lambda: nodes.receiver.kinds == ["problem", "recovery"])
    assert hel.process.stop() == 0
    assert fra.process.stop() == 0
    assert nodes.receiver.kinds == ["problem", "recovery"]
    for each in (fra, hel):
        assert "Traceback" not in each.process.log()


def test_other_node_takes_over_after_a_kill(nodes: Nodes) -> None:
    one, other = nodes.start("fra1", "fra"), nodes.start("fra2", "fra")
    nodes.wait(lambda: nodes.states() == {"up"})
    one.process.process.kill()
    one.process.process.wait()
    checked = other.location.count
    nodes.wait(lambda: other.location.count > checked + 3)
    other.location.is_up = False
    nodes.wait(lambda: nodes.receiver.kinds == ["problem"])
    assert "Traceback" not in other.process.log()


def test_node_without_the_database_notifies_alone_and_returns(tmp_path: Path) -> None:
    with ExitStack() as stack:
        database = stack.enter_context(postgresql())
        nodes = Nodes(stack, tmp_path, database)
        fra = nodes.start("fra")
        nodes.wait(lambda: nodes.states() == {"up"})
        pid = int((database.directory / "data" / "postmaster.pid").read_text().split()[0])
        _signal_all(pid, signal.SIGSTOP)
        try:
            fra.location.is_up = False
            nodes.wait(lambda: nodes.receiver.kinds == ["problem"])
            fra.process.wait_for_log("alone:")
        finally:
            _signal_all(pid, signal.SIGCONT)
        fra.process.wait_for_log("no longer alone")
        fra.location.is_up = True
        nodes.wait(lambda: nodes.receiver.kinds == ["problem", "recovery"])
        assert nodes.receiver.notifications[0]["alert"] == nodes.receiver.notifications[1]["alert"]
        assert fra.process.stop() == 0
        assert "Traceback" not in fra.process.log()


TOKEN = "a-token-of-the-agents"
OFFICE = """
[monitors.office]
url = "http://office.example.org/"
proxy = "http://127.0.0.1:{port}"
locations = ["branch"]
check_every = "1s"
retry_every = "200ms"
"""


@pytest.mark.timeout(600)
def test_agent_votes_through_a_hub_and_fails_over_to_another(nodes: Nodes) -> None:
    with ExitStack() as stack:
        office = Location()
        more = OFFICE.format(port=stack.enter_context(serving(proxy_of(office))))
        ports = {}
        for name in ("fra", "hel"):
            ports[name] = free_port()
            listening = f"""
[status]
listen = "127.0.0.1:{ports[name]}"
[status.tokens.agents]
token = "{TOKEN}"
rights = "report"
"""
            nodes.start(name, more=more + listening)
        urls = ", ".join(f'"http://127.0.0.1:{port}"' for port in ports.values())
        agent = nodes.start("branch", access=f'hub = [{urls}]\ntoken = "{TOKEN}"', more=more)
        nodes.wait(lambda: nodes.states() == {"up"})
        nodes.wait(lambda: {each.monitor("office")["state"] for each in nodes.nodes.values()} == {"up"})

        def cluster() -> dict[str, Any]:
            shown: dict[str, Any] = agent.process.get("/api/v1/cluster")
            return shown

        # Only the agent checks it, and the nodes decide and notify once.
        office.is_up = False
        nodes.wait(lambda: nodes.receiver.kinds == ["problem"])
        nodes.wait(lambda: agent.monitor("office")["state"] == "down")
        assert nodes.receiver.notifications[0]["locations"] == [{"location": "branch", "state": "down"}]
        assert cluster()["notifications_claimed"] == 0
        roles = {node["name"]: node["role"] for node in cluster()["nodes"]}
        assert roles == {"fra": "node", "hel": "node", "branch": "agent"}

        # Its hub is lost with a vote that is not reported: the other hub gets it.
        nodes.nodes["fra"].process.process.kill()
        nodes.nodes["fra"].process.process.wait()
        office.is_up = True
        nodes.wait(lambda: nodes.receiver.kinds == ["problem", "recovery"])
        assert [hub["is_current"] for hub in cluster()["agent"]["hubs"]] == [False, True]
        assert cluster()["agent"]["acknowledged"] > 0

        # A vote that no hub gets survives a crash of the agent.
        hel = nodes.nodes["hel"].process
        hel.process.send_signal(signal.SIGSTOP)
        office.is_up = False
        nodes.wait(lambda: cluster()["agent"]["spooled_votes"] == 1)
        checked = office.count
        nodes.wait(lambda: office.count > checked)
        agent.process.process.kill()
        agent.process.process.wait()
        hel.process.send_signal(signal.SIGCONT)
        agent.process.start()
        # The hub may process a report that the agent has sent before: the notification does not show that it is ready.
        agent.process.wait_for_notification("READY=1")
        nodes.wait(lambda: nodes.receiver.kinds == ["problem", "recovery", "problem"])
        for each in (agent.process, hel):
            assert each.stop() == 0
            assert "Traceback" not in each.log()


HEARTBEATS = """
[monitors.job]
type = "heartbeat"
every = "1s"
grace = "10s"
check_every = "1s"
"""


@pytest.mark.timeout(600)
def test_heartbeats_to_any_node_count_for_all(tmp_path: Path) -> None:
    with ExitStack() as stack:
        database = stack.enter_context(postgresql())
        nodes = Nodes(stack, tmp_path, database)
        pinged: list[str] = []

        def is_pinged(name: str, condition: Callable[[], bool]) -> Callable[[], bool]:
            """Send heartbeats to a node until the condition is true."""

            def step() -> bool:
                nodes.nodes[name].process.client.post("/heartbeats/job", {})
                pinged.append(name)
                return condition()

            return step

        fra1 = nodes.start("fra1", "fra", more=HEARTBEATS)
        nodes.wait(is_pinged("fra1", lambda: nodes.states("job") == {"up"}))
        fra2 = nodes.start("fra2", "fra", more=HEARTBEATS)
        # For longer than the deadline of a node that would not know of these.
        nodes.wait(is_pinged("fra2", lambda: len(pinged) > 400))
        assert nodes.receiver.kinds == []
        pid = int((database.directory / "data" / "postmaster.pid").read_text().split()[0])
        _signal_all(pid, signal.SIGSTOP)
        try:
            for each in (fra1, fra2):
                nodes.wait(is_pinged("fra2", lambda each=each: "alone:" in each.process.log()))  # type: ignore[misc]
        finally:
            _signal_all(pid, signal.SIGCONT)
        for each in (fra1, fra2):
            nodes.wait(is_pinged("fra2", lambda each=each: "no longer alone" in each.process.log()))  # type: ignore[misc]
        nodes.wait(is_pinged("fra2", lambda: nodes.states("job") == {"up"}))
        assert nodes.receiver.kinds == []
        nodes.wait(lambda: nodes.receiver.kinds == ["problem"])
        nodes.wait(is_pinged("fra1", lambda: nodes.receiver.kinds == ["problem", "recovery"]))
        for each in (fra1, fra2):
            assert each.process.stop() == 0
            assert "Traceback" not in each.process.log()


def _signal_all(pid: int, number: int) -> None:
    """Send a signal to a PostgreSQL server and all of its processes."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    for process in (pid, *map(int, children)):
        os.kill(process, number)
