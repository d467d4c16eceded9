"""`make cluster-demo`: three locations with four nodes and a PostgreSQL server, all on this host, without internet.

It shows what a cluster does when a server fails for one location or for two, when a node is killed, and when the
database is stopped. Then it runs until Ctrl-C, or ends with `--once`. The exit status is 1 if something else happened.
"""

import argparse
import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT))

from monitord.cli.client.connection import Client  # noqa: E402 - found by the line above
from monitord.clock import SystemClock  # noqa: E402
from monitord.cluster.database.schema import initialize  # noqa: E402
from monitord.errors import ClusterError, ControlError  # noqa: E402
from monitord.net.base.resolver import Resolver  # noqa: E402
from monitord.web import Application, Request, Response, Server  # noqa: E402

CONFIG = Path(__file__).with_name("cluster.toml")
HOST, PORT = "127.0.0.1", 18951
DATABASE_PORT = 18950
DATABASE = f"host={HOST} port={DATABASE_PORT} user=postgres dbname=postgres"
LOCATIONS = {"fra": "127.0.1.1", "hel": "127.0.2.1", "nbg": "127.0.3.1"}
"""With the address from which the nodes of each location connect, so that the shop can tell them apart."""
NODES = {"fra1": "fra", "fra2": "fra", "hel1": "hel", "nbg1": "nbg"}
FIRST_PAGE_PORT = 18941

START_WITHIN_S = 60.0
NOTIFIED_WITHIN_S = 60.0
QUIET_S = 12.0
"""Three times as long as two failed checks take."""
END_WITHIN_S = 20.0
POLL_S = 0.2

INTRODUCTION = """\
Four nodes at three locations monitor one server, the shop: {nodes}.
Status pages: {pages}
In another terminal, in this folder:

    /usr/bin/python3 -m monitord.cli --socket {socket} status
    /usr/bin/python3 -m monitord.cli --socket {socket} explain shop
"""


class UnexpectedError(Exception):
    """The cluster has not done what this program explains."""


def show(text: str = "") -> None:
    print(text, flush=True)  # noqa: T201 - it is all about this text


class Shop:
    """The monitored server, which fails for the clients at some locations, and the receiver of the notifications."""

    def __init__(self) -> None:
        self.failing: set[str] = set()
        self.received: asyncio.Queue[str] = asyncio.Queue()
        self._ids: set[str] = set()
        self._location_of = {address: location for location, address in LOCATIONS.items()}

    async def answer(self, request: Request) -> Response:
        is_failing = self._location_of.get(request.peer.address or "") in self.failing
        return Response(text="out of order\n" if is_failing else "open\n", status=503 if is_failing else 200)

    async def notify(self, request: Request) -> Response:
        for notification in (await request.json())["notifications"]:
            # A notification that a killed node was sending is sent again, with the same identifier.
            if notification["id"] in self._ids:
                continue
            self._ids.add(notification["id"])
            show(f"   notification: {notification['title']}: {notification['detail']}")
            self.received.put_nowait(notification["kind"])
        return Response(text="thanks\n")

    async def expect(self, kind: str) -> None:
        """Wait for a notification of this kind. Raises UnexpectedError for a different kind, or for none."""
        try:
            found = await asyncio.wait_for(self.received.get(), NOTIFIED_WITHIN_S)
        except TimeoutError:
            raise UnexpectedError(f"no notification within {NOTIFIED_WITHIN_S:.0f} s") from None
        if found != kind:
            raise UnexpectedError(f"a notification of the kind {found} instead of {kind}")

    async def expect_none(self) -> None:
        """Wait for a while. Raises UnexpectedError if there is a notification."""
        await asyncio.sleep(QUIET_S)
        if not self.received.empty():
            raise UnexpectedError("a notification, although there is no majority")
        show("   no notification")


class Database:
    """A PostgreSQL server in a temporary directory."""

    def __init__(self, folder: Path) -> None:
        found = sorted(
            Path("/usr/lib/postgresql").glob("*/bin"), key=lambda folder: float(folder.parent.name)
        )
        if not found:
            raise UnexpectedError("PostgreSQL is missing: apt install postgresql")
        # The server does not run as root.
        self._user = "postgres" if os.geteuid() == 0 else None
        self._programs = found[-1]
        self._folder = folder / "database"
        self._folder.mkdir()
        if self._user is not None:
            folder.chmod(0o755)
            shutil.chown(self._folder, self._user)
        self._process: asyncio.subprocess.Process | None = None

    async def create(self) -> None:
        await self._run(
            "initdb", "--no-sync", "--auth=trust", "--username=postgres", f"--pgdata={self._folder}/data"
        )
        assert self._process is not None  # noqa: S101 - as run above
        if await self._process.wait():
            raise UnexpectedError("initdb has failed")

    async def start(self) -> None:
        options = ["-c", f"listen_addresses={HOST}", "-c", f"port={DATABASE_PORT}", "-c", "fsync=off"]
        await self._run("postgres", "-D", f"{self._folder}/data", "-k", str(self._folder), *options)

    async def stop(self) -> None:
        """Disconnect all clients and end (postgres(1): fast shutdown)."""
        if self._process is not None and self._process.returncode is None:
            self._process.send_signal(signal.SIGINT)
            await self._process.wait()

    async def _run(self, program: str, *arguments: str) -> None:
        self._process = await asyncio.create_subprocess_exec(
            self._programs / program,
            *arguments,
            user=self._user,
            cwd=self._folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            process_group=0,
        )


class Nodes:
    """The daemons, by name."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._processes: dict[str, asyncio.subprocess.Process] = {}

    def socket(self, name: str) -> Path:
        return self._folder / f"{name}.sock"

    @staticmethod
    def page(name: str) -> str:
        return f"{HOST}:{FIRST_PAGE_PORT + list(NODES).index(name)}"

    async def start(self, name: str) -> None:
        state = self._folder / name
        state.mkdir(exist_ok=True)
        config = self._folder / f"{name}.toml"
        config.write_text(
            f'include = ["{CONFIG}"]\n'
            f'[defaults]\nsource_address = "{LOCATIONS[NODES[name]]}"\n'
            f'[status]\nsocket = "{self.socket(name)}"\nlisten = "{self.page(name)}"\n'
            f'[history]\ndirectory = "{state}"\n'
        )
        with (self._folder / f"{name}.log").open("ab") as log:
            self._processes[name] = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "monitord", "--config", str(config)),
                cwd=ROOT,
                env={**os.environ, "MONITORD_NODE": name, "MONITORD_LOCATION": NODES[name]},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                process_group=0,
            )

    async def kill(self, name: str) -> None:
        self._processes[name].kill()
        await self._processes.pop(name).wait()

    async def stop(self) -> None:
        for process in self._processes.values():
            if process.returncode is None:
                process.terminate()
        for process in self._processes.values():
            await asyncio.wait_for(process.wait(), END_WITHIN_S)

    async def ask(self, name: str, path: str) -> Any:
        """Return a response of the API. Raises ControlError; UnexpectedError if the daemon has ended."""
        process = self._processes[name]
        if process.returncode is not None:
            log = (self._folder / f"{name}.log").read_text(errors="replace")[-2000:]
            raise UnexpectedError(f"{name} has ended with status {process.returncode}: {log}")
        return await asyncio.to_thread(Client(self.socket(name)).get, path)

    async def checking(self, location: str) -> str:
        """The node that checks the shop for this location."""
        cluster = await self.ask("hel1", "/api/v1/cluster")
        (node,) = (
            node["name"]
            for node in cluster["nodes"]
            if node["location"] == location and node["status"] == "live" and node["checked_monitors"]
        )
        return str(node)

    async def live(self, name: str) -> set[str]:
        """The nodes that are live, as this node sees them."""
        with contextlib.suppress(ControlError):
            cluster = await self.ask(name, "/api/v1/cluster")
            if cluster["database"]["is_available"]:
                return {node["name"] for node in cluster["nodes"] if node["status"] == "live"}
        return set()


async def until(condition: Callable[[], Awaitable[bool]], text: str) -> None:
    """Wait for the condition. Raises UnexpectedError with the text if this takes too long."""
    loop = asyncio.get_running_loop()
    deadline_s = loop.time() + START_WITHIN_S
    while not await condition():
        if loop.time() > deadline_s:
            raise UnexpectedError(f"{text}: not within {START_WITHIN_S:.0f} s")
        await asyncio.sleep(POLL_S)


@contextlib.asynccontextmanager
async def cluster(folder: Path) -> AsyncIterator[tuple[Shop, Database, Nodes]]:
    """Run the shop, the database and the nodes, until all nodes are live."""
    shop, database, nodes = Shop(), Database(folder), Nodes(folder)
    application = Application()
    application.router.add_get("/", shop.answer)
    application.router.add_post("/team", shop.notify)
    async with Server(application, host="0.0.0.0", port=PORT, grace_s=0.1):  # noqa: S104 - see cluster.toml
        try:
            await database.create()
            await database.start()
            await create_tables()
            for name in NODES:
                await nodes.start(name)
            await until(lambda: are_live(nodes, NODES), "the nodes are live")
            yield shop, database, nodes
        finally:
            await nodes.stop()
            await database.stop()


async def create_tables() -> None:
    """Do what `monitorctl cluster init` does, as soon as the server responds."""
    resolver = Resolver()

    async def is_done() -> bool:
        with contextlib.suppress(ClusterError):
            await initialize(DATABASE, SystemClock(), resolver)
            return True
        return False

    try:
        await until(is_done, "the database responds")
    finally:
        await resolver.close()


async def are_live(nodes: Nodes, names: Iterable[str]) -> bool:
    return await nodes.live("hel1") == set(names)


async def explain(shop: Shop, database: Database, nodes: Nodes) -> None:
    """Show what the cluster does. Raises UnexpectedError if it does something else."""
    await asyncio.sleep(QUIET_S)  # until the set of locations counts as settled
    show("1. The shop fails for one location, fra. The majority of the locations does not agree:")
    shop.failing = {"fra"}
    await shop.expect_none()
    show("2. It fails for hel as well:")
    shop.failing = {"fra", "hel"}
    await shop.expect("problem")
    show("3. It is repaired:")
    shop.failing = set()
    await shop.expect("recovery")
    checking = await nodes.checking("fra")
    show(
        f"4. Node {checking}, which checks the shop for fra, is killed. The other node takes over, and it fails again:"
    )
    await nodes.kill(checking)
    await until(lambda: are_live(nodes, [name for name in NODES if name != checking]), "the node is lost")
    shop.failing = {"fra", "hel"}
    await shop.expect("problem")
    show(f"   checked by {await nodes.checking('fra')}")
    shop.failing = set()
    await shop.expect("recovery")
    await nodes.start(checking)
    await until(lambda: are_live(nodes, NODES), "the node is live again")
    show(f"   {checking} was started again")
    show("5. The database is stopped, and the shop fails for all. The nodes check it, and cannot decide:")
    await database.stop()
    shop.failing = set(LOCATIONS)
    await shop.expect_none()
    show("6. The database is started again:")
    await database.start()
    await shop.expect("problem")
    shop.failing = set()
    await shop.expect("recovery")


async def main(*, once: bool) -> None:
    loop, this_task = asyncio.get_running_loop(), asyncio.current_task()
    assert this_task is not None  # noqa: S101 - in a coroutine
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, this_task.cancel)
    with tempfile.TemporaryDirectory(prefix="monitord-cluster-") as name:
        async with cluster(Path(name)) as (shop, database, nodes):
            located = ", ".join(f"{node} at {location}" for node, location in NODES.items())
            pages = ", ".join(f"http://{nodes.page(node)}/ ({node})" for node in NODES)
            show(INTRODUCTION.format(nodes=located, pages=pages, socket=nodes.socket("fra1")))
            await explain(shop, database, nodes)
            if not once:
                show("\nThe cluster runs. Press Ctrl-C to stop.")
                await asyncio.Event().wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--once", action="store_true", help="end after the explanation")
    try:
        asyncio.run(main(once=parser.parse_args().once))
    except asyncio.CancelledError:
        show("stopped")
    except (UnexpectedError, OSError) as error:
        sys.exit(f"cluster-demo: {error}")
