"""Two real Alertmanagers, which deduplicate what several nodes of a cluster send to both of them.

Skipped where the package prometheus-alertmanager is not installed.
"""

import asyncio
import json
import re
import shutil
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path

import pytest

from monitord.clock import SystemClock
from monitord.notifiers import Message, Notification, NotificationContext, NotificationKind, NotifierTools
from tests.alerts.fakes import notification
from tests.notifiers.test_webhook import notifier
from tests.servers import Peer, free_port, serve

PROGRAM = "prometheus-alertmanager"
EVALUATED = re.compile(r"^alertmanager_nflog_queries_total (\S+)$", re.MULTILINE)
"""How often an Alertmanager has read in its log whether an alert has been notified, by any of them."""
WITHIN_S = 120.0
NODES = ("mon1", "mon2", "mon3")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which(PROGRAM) is None, reason=f"{PROGRAM} is a package of this name"),
]


@dataclass
class Pair:
    """`received`: status and labels of each alert that the receiver of the Alertmanagers was notified of."""

    ports: tuple[int, int]
    tools: NotifierTools
    tmp_path: Path
    received: list[tuple[str, str]] = field(default_factory=list)

    async def get(self, port: int, path: str) -> str:
        with suppress(OSError, asyncio.IncompleteReadError):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(f"GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n".encode())
            answer = await reader.read()
            writer.close()
            return answer.decode().partition("\r\n\r\n")[2]
        return ""

    async def is_settled(self) -> bool:
        answers = [await self.get(port, "/api/v2/status") for port in self.ports]
        clusters = [json.loads(answer)["cluster"] if answer else {} for answer in answers]
        return all(each.get("status") == "ready" and len(each.get("peers", ())) == 2 for each in clusters)

    async def send(self, node: str, sample: Notification) -> None:
        """Send as this node, to both."""
        message = Message((sample,), node, SystemClock().now(), location=f"location of {node}")
        for port in self.ports:
            keys = f'type = "alertmanager"\nurl = "http://127.0.0.1:{port}"\n'
            await notifier(self.tmp_path, self.tools, keys).deliver(message, deadline=time.monotonic() + 60)

    async def wait_for_received(self, count: int) -> None:
        while len(self.received) < count:  # noqa: ASYNC110 - other processes
            await asyncio.sleep(0.05)

    async def wait_for_evaluations(self, count: int) -> None:
        """Wait until each has evaluated as many alerts again."""
        before = [await self._evaluated(port) for port in self.ports]
        for port, then in zip(self.ports, before, strict=True):
            while await self._evaluated(port) < then + count:  # noqa: ASYNC110
                await asyncio.sleep(0.1)

    async def _evaluated(self, port: int) -> float:
        found = EVALUATED.search(await self.get(port, "/metrics"))
        return 0.0 if found is None else float(found[1])


@contextmanager
def alertmanager(folder: Path, config: Path, port: int, gossip: int, peer: int) -> Iterator[None]:
    folder.mkdir()
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(
            [
                shutil.which(PROGRAM) or PROGRAM,
                f"--config.file={config}",
                f"--storage.path={folder}",
                f"--web.listen-address=127.0.0.1:{port}",
                f"--cluster.listen-address=127.0.0.1:{gossip}",
                f"--cluster.advertise-address=127.0.0.1:{gossip}",
                f"--cluster.peer=127.0.0.1:{peer}",
                "--cluster.peer-timeout=5s",  # on a busy machine, gossip takes longer
                "--cluster.gossip-interval=50ms",
                "--cluster.settle-timeout=1s",
                "--cluster.reconnect-interval=1s",
            ],
            stdout=log,
            stderr=log,
        )
        try:
            yield
        finally:
            server.terminate()
            server.wait()


@asynccontextmanager
async def running(tmp_path: Path, tools: NotifierTools) -> AsyncIterator[Pair]:
    ports, gossip = (free_port(), free_port()), (free_port(), free_port())
    pair = Pair(ports, tools, tmp_path)

    async def receive(peer: Peer) -> None:
        request = await peer.request()
        pair.received += [
            (alert["status"], alert["labels"]["severity"]) for alert in json.loads(request.body)["alerts"]
        ]
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    async with serve(receive) as receiver:
        config = tmp_path / "alertmanager.yml"
        config.write_text(
            "route: {receiver: team, group_by: ['...'], group_wait: 0s, group_interval: 1s}\n"
            "receivers:\n- name: team\n  webhook_configs:\n"
            f"  - url: http://127.0.0.1:{receiver.port}/\n"
        )
        with ExitStack() as servers:
            for number in range(2):
                folder = tmp_path / str(number)
                servers.enter_context(
                    alertmanager(folder, config, ports[number], gossip[number], gossip[1 - number])
                )
            async with asyncio.timeout(WITHIN_S):
                while not await pair.is_settled():  # noqa: ASYNC110 - other processes
                    await asyncio.sleep(0.1)
            yield pair


@pytest.mark.parametrize(
    ("is_shared", "notified"), [(True, 1), (False, 3)], ids=["shared_monitor", "monitor_of_each_host"]
)
async def test_alert_that_several_nodes_send_to_both_causes_one_notification(
    tmp_path: Path, tools: NotifierTools, is_shared: bool, notified: int
) -> None:
    began = SystemClock().now() - timedelta(seconds=5)
    context = NotificationContext(is_shared=is_shared)
    problem = replace(notification(started_at=began, context=context), since=began)
    recovery = replace(problem, kind=NotificationKind.RECOVERY, since=began + timedelta(seconds=4))
    async with running(tmp_path, tools) as pair, asyncio.timeout(WITHIN_S):
        # As when the notifier passes to another node, which repeats what is open.
        for node in NODES:
            await pair.send(node, problem)
        await pair.wait_for_received(notified)
        await pair.wait_for_evaluations(2 * notified)
        assert pair.received == [("firing", "critical")] * notified
        # The last node alone sends the end.
        await pair.send(NODES[-1], recovery)
        # An Alertmanager that was waiting for the other with the earlier state may repeat that.
        while ("resolved", "critical") not in pair.received:  # noqa: ASYNC110 - other processes
            await asyncio.sleep(0.05)
