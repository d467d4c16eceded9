"""A cluster under faults: is one notification sent about each outage that a majority sees, and no other?

Three locations with two daemons each monitor a world of servers that go down for all locations, for two or for one.
Daemons are killed and stopped, locations lose the database or the world, and the database is stopped or disappears.
Every notification that the receiver has processed is compared with the outages (`cluster_judge`); it fails for a share
of the requests. At the end, all faults and outages end, and the run waits until every alert is closed.

At most one location is impaired at a time (partitioned, or without a daemon that has been ready for a while): a
majority of three survives no more than that. Daemons are killed in all others as well, as long as one remains there.

With `--agents`, the daemons of the last location are agents, whose hubs are the nodes of the others; instead of the
database, the location loses these. With `--postgres`, the server is that of another root directory.

Faults and outages follow from the seed, but not their interleaving. With `--quorum any`, each location decides alone:
this control must fail, or the comparison proves nothing. Hosts are network namespaces in a sandbox (`cluster_network`).
"""

import argparse
import asyncio
import contextlib
import dataclasses
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import Enum
from pathlib import Path
from typing import Any

from bench.cluster_judge import BEFORE, Judgement, Outage, Received, judge, received
from bench.cluster_network import RUN, Network, as_user, prepare_root, sandboxed
from bench.cluster_world import PORT, SUBNET, Length, World
from bench.crashes import Receiver
from bench.measure import markdown, quantile
from bench.processes import END_DEADLINE_S, PYTHON, ROOT, START_DEADLINE_S, Manager
from tests.certificates import Authority
from tests.servers import Peer, serve

LOCATIONS = ("fra", "hel", "nbg")
NODES_PER_LOCATION = 2
DATABASE, WORLD, RECEIVER = "db", "world", "receiver"
DATABASE_PORT = 5432
API_PORT = 9120
TUNNEL_PORT = 9200
"""Of the first hub, on the loopback interface of the agents: they report without TLS to their own host only."""
TOKEN = "token-of-the-agents-of-the-cluster"
NEEDED = len(LOCATIONS) // 2 + 1
FOLDER = RUN / "cluster"

CHECK_EVERY_S = 5
KILL_EVERY_S = 5.0
HISTORY = ("vote", "decision")
SERVING_AFTER_S = 10.0
"""A daemon is ready in the cluster after the first check of each of its monitors."""
NOTIFIED_WITHIN_S = 120.0
"""An outage that lasts longer and is not notified was missed."""
QUIET_WITHIN_S = 120.0
LATE_S = 5.0
"""For a second notification after everything is closed."""
POLL_S = 0.2
MAX_LINES = 20


@dataclass(frozen=True, slots=True)
class Setup:
    """The options of the daemons. Durations in seconds; `notifier_locations`: empty for all."""

    check_every_s: float = CHECK_EVERY_S
    quorum: str = "majority"
    alone_after_s: float = 60.0
    notifier_locations: Sequence[str] = ()


def configuration(world: World, node: "Node", access: str, hook: str, setup: Setup) -> str:
    """`access`: the keys of [cluster] that lead to the database or to hubs."""
    return "\n".join(
        [
            '[auto]\nignore = ["host:*", "unit:*"]',
            f'[cluster]\n{access}\nlocation = "{node.location}"\nnode = "{node.name}"',
            f'alone_after = "{setup.alone_after_s:.0f}s"',
            f'[defaults]\ncheck_every = "{setup.check_every_s:.0f}s"\nretry_every = "1s"',
            f'timeout = "{min(2, setup.check_every_s):.0f}s"',
            f'fail_after = 2\nflapping = false\nquorum = "{setup.quorum}"',
            *(
                f'[monitors.{name}]\nurl = "{world.url(name)}"\nup_when = ["status == 200"]'
                for name in world.names
            ),
            f'[notifiers.hook]\ntype = "webhook"\nurl = "{hook}"\ngroup_wait = "200ms"\ntimeout = "1s"',
            "max_messages_per_minute = 600",
            f"locations = {json.dumps(setup.notifier_locations)}" if setup.notifier_locations else "",
            f'[status]\nsocket = "{node.socket}"\nlisten = "{node.address}:{node.port}"',
            'allowed_hosts = ["127.0.0.1"]',
            f'[status.tokens.agents]\ntoken = "{TOKEN}"\nrights = "report"',
        ]
    )


class Node:
    """A daemon at a location. `address`, `port`: of its API. `starts`: how often it was started."""

    def __init__(self, location: str, number: int, network: Network, address: str, *, is_agent: bool) -> None:
        self.name = f"{location}{number}"
        self.location = location
        self.address = address
        self.port = API_PORT + number
        self.is_agent = is_agent
        self.folder = FOLDER / self.name
        self.socket = self.folder / "status.sock"
        self.starts = 0
        self.is_held = False
        """Stopped with SIGSTOP."""
        self._network = network
        self._process: subprocess.Popen[bytes] | None = None
        self._ready_at_s: float | None = None
        self.folder.mkdir(parents=True)
        (self.folder / "state").mkdir()
        self._manager = Manager(self.folder / "notify")

    @property
    def config(self) -> Path:
        return self.folder / "monitord.toml"

    @property
    def log(self) -> Path:
        return self.folder / "log"

    async def initialize(self) -> None:
        """Create the tables of the cluster. Raises CalledProcessError."""
        command: list[str | Path] = [PYTHON, "-m", "monitord.cli", "cluster", "init", "--config", self.config]
        process = await asyncio.create_subprocess_exec(
            *self._network.on(self.location, command), cwd=ROOT, stdout=sys.stderr
        )
        if status := await process.wait():
            raise subprocess.CalledProcessError(status, "monitorctl cluster init")

    def start(self) -> None:
        self._manager.drain()
        self._ready_at_s = None
        self.starts += 1
        with self.log.open("ab") as log:
            log.write(f"start {self.starts}\n".encode())
            log.flush()
            self._process = subprocess.Popen(
                self._network.on(self.location, [PYTHON, "-m", "monitord", "--config", self.config]),
                cwd=ROOT,
                env={
                    "PATH": os.environ["PATH"],
                    "STATE_DIRECTORY": str(self.folder / "state"),
                    "NOTIFY_SOCKET": str(self.folder / "notify"),
                },
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    @property
    def is_serving(self) -> bool:
        """Whether it has been ready for a while, and is not stopped."""
        is_settled = self._ready_at_s is not None and self._ready_at_s + SERVING_AFTER_S < time.monotonic()
        return is_settled and not self.is_held

    @property
    def is_running(self) -> bool:
        return self._process is not None

    def send(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)
        self.is_held = number is signal.SIGSTOP

    def poll(self) -> None:
        """Note whether the daemon is ready. Raises RuntimeError if it has ended without having been killed."""
        if "READY=1" in self._manager.drain():
            self._ready_at_s = time.monotonic()
        if self._process is not None and self._process.poll() is not None:
            log = self.log.read_text(errors="replace")[-2000:]
            raise RuntimeError(f"{self.name} has ended with status {self._process.returncode}: {log}")

    def kill(self) -> None:
        """Kill it and wait for its end."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(END_DEADLINE_S)
            self._process, self._ready_at_s, self.is_held = None, None, False

    async def terminate(self) -> None:
        """End it as systemd does."""
        if self._process is not None:
            self._process.terminate()
            await asyncio.to_thread(self._process.wait, END_DEADLINE_S)
            self._process = None


class Database:
    """A PostgreSQL server, of the newest version that is installed; `root`: in another root directory."""

    def __init__(self, network: Network, root: Path | None = None) -> None:
        address = network.add(DATABASE)
        top = root or Path("/")
        found = sorted(
            (top / "usr/lib/postgresql").glob("*/bin"), key=lambda folder: float(folder.parent.name)
        )
        if not found:
            raise RuntimeError(f"PostgreSQL is missing in {top}: install the package postgresql")
        if root is not None:
            prepare_root(root)
        self._root = root
        self._programs = "/" / found[-1].relative_to(top)
        self._network = network
        self._folder = FOLDER / DATABASE
        self._folder.mkdir(parents=True)
        self._manager = Manager(self._folder / "notify")
        self._process: subprocess.Popen[bytes] | None = None
        self._log = (self._folder / "log").open("ab")
        data = self._folder / "data"
        initdb = [
            str(self._programs / "initdb"),
            *("--no-sync", "--auth=trust", "--username=postgres", f"--pgdata={data}"),
        ]
        subprocess.run(as_user("postgres", initdb, root), check=True, stdout=self._log, stderr=self._log)
        # The nodes connect to another host only with TLS.
        authority = Authority()
        root = authority.write(self._folder / "root.pem")
        issued = authority.issue(address, directory=data)
        issued.key_file.chmod(0o600)
        self._settings = {
            "listen_addresses": "*",
            "fsync": "off",
            "ssl": "on",
            "ssl_cert_file": str(issued.chain_file),
            "ssl_key_file": str(issued.key_file),
        }
        self.conninfo = (
            f"host={address} port={DATABASE_PORT} dbname=postgres user=postgres "
            f"sslmode=verify-full sslrootcert={root}"
        )
        with (data / "pg_hba.conf").open("a") as rules:
            rules.write("hostssl all all 10.0.0.0/8 trust\n")

    async def start(self) -> None:
        options = ["-D", f"{self._folder}/data", "-k", str(self._folder), "-p", str(DATABASE_PORT)]
        settings = [word for name, value in self._settings.items() for word in ("-c", f"{name}={value}")]
        server = as_user("postgres", [str(self._programs / "postgres"), *options, *settings], self._root)
        self._process = subprocess.Popen(  # noqa: ASYNC220 - fork takes a millisecond
            self._network.on(DATABASE, server),
            env={"PATH": os.environ["PATH"], "NOTIFY_SOCKET": str(self._folder / "notify")},
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
        )
        await asyncio.to_thread(self._manager.wait_for, "READY=1", self._process, START_DEADLINE_S)

    def record_changes(self) -> None:
        """Record every change of votes and decisions, so that a false decision can be explained afterwards."""
        for table in HISTORY:
            self.query(
                f"CREATE TABLE public.{table}_changes (at timestamptz, before jsonb, after jsonb);"
                f"CREATE FUNCTION public.record_{table}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
                f" INSERT INTO public.{table}_changes VALUES (clock_timestamp(), to_jsonb(OLD), to_jsonb(NEW));"
                " RETURN NULL; END $$;"
                f"CREATE TRIGGER record AFTER INSERT OR UPDATE OR DELETE ON monitord.{table}"
                f" FOR EACH ROW EXECUTE FUNCTION public.record_{table}()"
            )

    def changes(self, monitor: str) -> str:
        """Return the changes of votes and decisions on a monitor, for people."""
        return "".join(
            self.query(
                f"SELECT at, after - '{{excerpt,alert,shard}}'::text[] FROM public.{table}_changes"
                f" WHERE after ->> 'monitor' = '{monitor}' ORDER BY at"
            )
            for table in HISTORY
        )

    def query(self, sql: str) -> str:
        """Return the rows as text, for people."""
        command = ["psql", "--no-psqlrc", "--csv", f"--command={sql}", self.conninfo]
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout

    async def stop(self, number: signal.Signals = signal.SIGINT) -> None:
        """End it: SIGINT is the fast, SIGQUIT the immediate shutdown of postgres(1)."""
        if self._process is not None:
            process, self._process = self._process, None
            process.send_signal(number)
            await asyncio.to_thread(process.wait, END_DEADLINE_S)


class Tunnel:
    """Connects clients at a location with the API of a node."""

    def __init__(self, network: Network, location: str, node: Node) -> None:
        self._network = network
        self._location = location
        self._node = node

    async def forward(self, peer: Peer) -> None:
        with self._network.sockets_of(self._location):
            connection = socket.socket()
        connection.setblocking(False)
        try:
            address = self._node.address, self._node.port
            await asyncio.get_running_loop().sock_connect(connection, address)
        except OSError:
            connection.close()
            peer.reset()
            return
        reader, writer = await asyncio.open_connection(sock=connection)
        try:
            async with asyncio.TaskGroup() as copies:
                copies.create_task(_copy(peer.reader, writer))
                copies.create_task(_copy(reader, peer.writer))
        finally:
            writer.close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Copy until the end, and pass the end on."""
    with contextlib.suppress(OSError):
        while piece := await reader.read(2**16):
            writer.write(piece)
            await writer.drain()
    writer.close()


class Cluster:
    """All that takes part in a run."""

    def __init__(
        self,
        monitors: int,
        rng: random.Random,
        failure_ratio: float,
        *,
        with_agents: bool = False,
        postgres: Path | None = None,
    ) -> None:
        """`with_agents`: those of the last location. `postgres`: the root directory of the server."""
        self.network = Network()
        addresses = {name: self.network.add(name) for name in LOCATIONS}
        subnets = {address.rpartition(".")[0]: name for name, address in addresses.items()}
        self.database = Database(self.network, postgres)
        for name in (WORLD, RECEIVER):
            self.receiver_address = self.network.add(name)
        self.network.add_addresses(WORLD, SUBNET)
        self.world = World(monitors, {name: subnet for subnet, name in subnets.items()}, rng)
        self.receiver = Receiver(random.Random(rng.random()), failure_ratio)
        self.agents = LOCATIONS[-1] if with_agents else None
        """The location whose daemons are agents."""
        self.nodes = [
            Node(location, number, self.network, addresses[location], is_agent=location == self.agents)
            for location in LOCATIONS
            for number in range(1, NODES_PER_LOCATION + 1)
        ]
        self.cut_location: str | None = None
        self.longest_stall_s = 0.0
        """Of this process, which is the world and the receiver as well."""
        self._read: list[Received] = []
        self._messages = 0

    @contextlib.asynccontextmanager
    async def running(self, setup: Setup) -> AsyncIterator[None]:
        """Run everything, until all daemons serve; end all processes afterwards."""
        async with contextlib.AsyncExitStack() as stack:
            with self.network.sockets_of(WORLD):
                await stack.enter_async_context(serve(self.world.answer, host="0.0.0.0", port=PORT))
            with self.network.sockets_of(RECEIVER):
                hook = await stack.enter_async_context(serve(self.receiver.answer, host="0.0.0.0"))
            url = f"http://{self.receiver_address}:{hook.port}/"
            hubs = await self._open_tunnels(stack) if self.agents is not None else []
            for node in self.nodes:
                access = f'database = "{self.database.conninfo}"'
                if node.is_agent:
                    access = f'hub = {json.dumps(hubs)}\ntoken = "{TOKEN}"'
                node.config.write_text(configuration(self.world, node, access, url, setup))
            stack.push_async_callback(self.database.stop)
            await self.database.start()
            await self.nodes[0].initialize()
            await asyncio.to_thread(self.database.record_changes)
            for node in self.nodes:
                stack.callback(node.kill)
                node.start()
            async with asyncio.TaskGroup() as tasks:
                watching = tasks.create_task(self._watch())
                if not await until(lambda: all(node.is_serving for node in self.nodes), START_DEADLINE_S):
                    raise TimeoutError(f"not all daemons were ready within {START_DEADLINE_S:.0f} s")
                yield
                watching.cancel()
            for node in self.nodes:
                await node.terminate()

    async def _open_tunnels(self, stack: contextlib.AsyncExitStack) -> list[str]:
        """Forward connections from the loopback interface of the agents to the hubs, and return their addresses."""
        assert self.agents is not None
        urls = []
        for port, hub in enumerate((node for node in self.nodes if not node.is_agent), TUNNEL_PORT):
            tunnel = Tunnel(self.network, self.agents, hub)
            with self.network.sockets_of(self.agents):
                await stack.enter_async_context(serve(tunnel.forward, host="127.0.0.1", port=port))
            urls.append(f"http://127.0.0.1:{port}")
        return urls

    async def _watch(self) -> None:
        while True:
            for node in self.nodes:
                node.poll()
            began_s = time.monotonic()
            await asyncio.sleep(POLL_S)
            self.longest_stall_s = max(self.longest_stall_s, time.monotonic() - began_s - POLL_S)

    def is_impaired(self, location: str, *, without: Node | None = None) -> bool:
        """Whether a location has no daemon that serves, except `without`, or is partitioned."""
        serving = [node for node in self.nodes if node.location == location and node.is_serving]
        return location == self.cut_location or not any(node is not without for node in serving)

    def impaired(self, *, without: Node | None = None) -> set[str]:
        return {location for location in LOCATIONS if self.is_impaired(location, without=without)}

    @property
    def notifications(self) -> Sequence[Received]:
        """All that the receiver has processed."""
        for at, request in self.receiver.processed[self._messages :]:
            self._read += received(at, request.headers["idempotency-key"], json.loads(request.body))
            self._messages += 1
        return self._read

    def judge(self) -> Judgement:
        return judge(self.world.outages, self.notifications, needed=NEEDED)

    def is_notified(self, outage: Outage) -> bool:
        """Whether an alert about the monitor was opened since the outage began."""
        return any(
            notification.monitor == outage.monitor
            and notification.started_at >= outage.began_at - BEFORE
            and not notification.kind.is_closing
            for notification in self.notifications
        )


class Fault(Enum):
    KILL = "SIGKILL"
    STOP = "SIGSTOP"
    NO_DATABASE = "location without database"
    NO_WORLD = "location without world"
    DATABASE_STOPPED = "database stopped"
    DATABASE_GONE = "database unreachable"


KILLED_AT_START = 0.2
"""The ratio of kills that also concern daemons which have just been started."""
STARTS_AFTER_S = (0.0, 2.0)
STOPPED_S = (3.0, 20.0)
PARTITION_S = (12.0, 30.0)
DATABASE_AWAY_S = (5.0, 25.0)
BETWEEN_S = (3.0, 10.0)
"""Less than `alone_after` in total: alone, each location notifies what it sees itself."""


@dataclass
class Chaos:
    """Breaks a cluster until `end_s` (monotonic clock), and counts how often."""

    cluster: Cluster
    rng: random.Random
    end_s: float
    counts: Counter[Fault] = field(default_factory=Counter)

    async def run(self, *, with_faults: bool, outages_per_s: float) -> None:
        """Return when all faults and outages have ended."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._outages(outages_per_s))
            if with_faults:
                tasks.create_task(self._kills())
                tasks.create_task(self._others())

    @property
    def _is_over(self) -> bool:
        return time.monotonic() > self.end_s

    async def _outages(self, per_s: float) -> None:
        async with asyncio.TaskGroup() as lasting:
            while not self._is_over:
                chosen = self.cluster.world.choose()
                if chosen is not None:
                    lasting.create_task(self._outage(*chosen))
                await asyncio.sleep(self.rng.expovariate(per_s))

    async def _outage(self, monitor: str, locations: frozenset[str], length: Length) -> None:
        world, seconds = self.cluster.world, self.rng.uniform(length.least_s, length.most_s)
        outage = world.begin(monitor, locations, is_due=length.is_due)
        try:
            notified = not length.is_due or await until(
                lambda: self.cluster.is_notified(outage), NOTIFIED_WITHIN_S
            )
            if not notified:
                await self._note_missed(outage)
            await asyncio.sleep(seconds)
        finally:
            world.end(outage)

    async def _note_missed(self, outage: Outage) -> None:
        note(f"not notified: {outage}")
        note(await asyncio.to_thread(self.cluster.database.changes, outage.monitor))

    async def _kills(self) -> None:
        async with asyncio.TaskGroup() as starts:
            while not self._is_over:
                expendable = self._expendable()
                serving = [node for node in expendable if node.is_serving]
                if expendable:
                    is_at_start = self.rng.random() < KILLED_AT_START
                    node = self.rng.choice(expendable if is_at_start else serving or expendable)
                    self._note(Fault.KILL, node.name)
                    node.kill()
                    starts.create_task(self._start(node))
                await asyncio.sleep(KILL_EVERY_S)

    async def _start(self, node: Node) -> None:
        await asyncio.sleep(self.rng.uniform(*STARTS_AFTER_S))
        node.start()

    def _expendable(self) -> list[Node]:
        """The daemons that run, and without which at most one location is impaired."""
        return [
            node
            for node in self.cluster.nodes
            if node.is_running and not node.is_held and len(self.cluster.impaired(without=node)) <= 1
        ]

    async def _others(self) -> None:
        kinds: list[Fault] = []
        while not self._is_over:
            if not kinds:
                kinds = [fault for fault in Fault if fault is not Fault.KILL]
                self.rng.shuffle(kinds)
            await asyncio.sleep(self.rng.uniform(*BETWEEN_S))
            match kinds.pop():
                case Fault.STOP:
                    await self._stop_node()
                case Fault.DATABASE_STOPPED:
                    await self._stop_database()
                case Fault.DATABASE_GONE:
                    self._note(Fault.DATABASE_GONE)
                    await self._cut([(name, DATABASE) for name in LOCATIONS], DATABASE_AWAY_S)
                case Fault.NO_DATABASE as fault:
                    await self._cut_location(fault)
                case fault:
                    await self._cut_location(fault, WORLD, RECEIVER)

    async def _stop_node(self) -> None:
        expendable = self._expendable()
        if not expendable:
            return
        node = self.rng.choice(expendable)
        self._note(Fault.STOP, node.name)
        node.send(signal.SIGSTOP)
        try:
            await asyncio.sleep(self.rng.uniform(*STOPPED_S))
        finally:
            node.send(signal.SIGCONT)
            note(f"SIGCONT {node.name}")

    async def _stop_database(self) -> None:
        number = self.rng.choice([signal.SIGINT, signal.SIGQUIT])
        self._note(Fault.DATABASE_STOPPED, number.name)
        await self.cluster.database.stop(number)
        await asyncio.sleep(self.rng.uniform(*DATABASE_AWAY_S))
        await self.cluster.database.start()
        note("database started")

    async def _cut_location(self, fault: Fault, *others: str) -> None:
        """Without `others`: cut it off from the database, or its agents from their hubs."""
        await until(lambda: len(self.cluster.impaired()) <= 1, START_DEADLINE_S)
        location = self.rng.choice(sorted(self.cluster.impaired()) or LOCATIONS)
        self._note(fault, location)
        self.cluster.cut_location = location
        if not others:
            hubs = [name for name in LOCATIONS if name != location]
            others = tuple(hubs) if location == self.cluster.agents else (DATABASE,)
        try:
            await self._cut([(location, other) for other in others], PARTITION_S)
        finally:
            self.cluster.cut_location = None

    async def _cut(self, pairs: Sequence[tuple[str, str]], seconds: tuple[float, float]) -> None:
        """Discard the packets between hosts, in both directions or in one."""
        directions = self.rng.choice([(True, True), (True, False), (False, True)])
        cuts = [
            pair
            for one, other in pairs
            for pair, is_cut in zip(((one, other), (other, one)), directions, strict=True)
            if is_cut
        ]
        with contextlib.ExitStack() as stack:
            for sender, receiver in cuts:
                stack.callback(self.cluster.network.join, sender, receiver)
                self.cluster.network.cut(sender, receiver)
            await asyncio.sleep(self.rng.uniform(*seconds))
        note("partition ended")

    def _note(self, fault: Fault, text: str = "") -> None:
        self.counts[fault] += 1
        note(f"{fault.value} {text}")


async def until(condition: Callable[[], bool], within_s: float) -> bool:
    """Wait for the condition, and return whether it holds."""
    deadline_s = time.monotonic() + within_s
    while not condition():
        if time.monotonic() > deadline_s:
            return False
        await asyncio.sleep(POLL_S)
    return True


def note(text: str) -> None:
    """One line about an event, for people, on standard error."""
    print(f"{datetime.now(UTC):%H:%M:%S} {text}", file=sys.stderr, flush=True)


@dataclass(frozen=True, slots=True)
class Options:
    """`outages_per_s`: how often an outage begins. `failure_ratio`: of the requests to the receiver."""

    seed: int = 1
    seconds: float = 180.0
    monitors: int = 300
    quorum: str = "majority"
    check_every_s: float = CHECK_EVERY_S
    with_faults: bool = True
    outages_per_s: float = 1.0
    failure_ratio: float = 0.1
    with_agents: bool = False
    postgres: str | None = None
    """The root directory of the server."""


@dataclass(frozen=True, slots=True)
class Run:
    """`tracebacks`: in the logs of the daemons. `longest_stall_s`: of the servers, which are all in one process.

    If these stall for as long as the timeout of a check, the machine was too busy: outages have happened that are not
    in the list.
    """

    options: Options
    judgement: Judgement
    faults: Mapping[str, int]
    tracebacks: int
    longest_stall_s: float


async def trial(options: Options) -> Run:
    """Run a cluster. Only in a sandbox."""
    rng = random.Random(options.seed)
    cluster = Cluster(
        options.monitors,
        rng,
        options.failure_ratio,
        with_agents=options.with_agents,
        postgres=None if options.postgres is None else Path(options.postgres),
    )
    async with cluster.running(Setup(options.check_every_s, options.quorum)):
        note("all daemons serve")
        chaos = Chaos(cluster, random.Random(rng.random()), time.monotonic() + options.seconds)
        await chaos.run(with_faults=options.with_faults, outages_per_s=options.outages_per_s)
        note("all faults and outages have ended")
        await until(lambda: not cluster.judge().unclosed, QUIET_WITHIN_S)
        await asyncio.sleep(LATE_S)
        judgement = cluster.judge()
        for monitor in judgement.monitors:
            note(await asyncio.to_thread(cluster.database.changes, monitor))
    tracebacks = sum(node.log.read_text(errors="replace").count("Traceback (") for node in cluster.nodes)
    counts = {fault.value: chaos.counts[fault] for fault in Fault}
    return Run(options, judgement, counts, tracebacks, cluster.longest_stall_s)


def run(options: Options, keep: Path | None = None) -> Run:
    """Run a cluster in a sandbox. `keep`: a folder for the logs of the daemons and the notifications."""
    order = {"options": dataclasses.asdict(options), "keep": None if keep is None else str(keep.absolute())}
    done = subprocess.run(
        sandboxed([PYTHON, "-m", "bench.cluster", json.dumps(order)]),
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        check=True,
    )
    found = json.loads(done.stdout)
    judgement = Judgement(**found["judgement"])
    return Run(options, judgement, found["faults"], found["tracebacks"], found["longest_stall_s"])


def _inside(order: Mapping[str, Any]) -> None:
    try:
        found = asyncio.run(trial(Options(**order["options"])))
        print(json.dumps(dataclasses.asdict(found)))
    finally:
        if order["keep"] is not None:
            folder = Path(order["keep"])
            for log in FOLDER.glob("*/log"):
                folder.mkdir(parents=True, exist_ok=True)
                shutil.copy(log, folder / f"{log.parent.name}.log")


def table(runs: Iterable[Run]) -> str:
    """One row for each run, and a line for each fault."""
    runs = list(runs)
    heads = (
        *("seed", "quorum", "seconds", "monitors", "check every, s"),
        *(fault.value for fault in Fault),
        *("outages", "of these confirmed", "notified"),
        *("missed", "false", "unclosed", "duplicates", "repeated", "regrouped"),
        *("outage to notification p50, s", "max, s"),
        "longest stall of the servers, s",
    )
    return "\n\n".join([markdown(heads, map(_row, runs)), *_lines(runs)])


def _row(found: Run) -> Sequence[object]:
    options, judgement = found.options, found.judgement
    latencies_s = judgement.latencies_s
    return (
        *(options.seed, options.quorum, f"{options.seconds:.0f}", options.monitors, options.check_every_s),
        *(found.faults[fault.value] for fault in Fault),
        *(judgement.outages, judgement.confirmed, judgement.notified),
        *(len(judgement.missed), len(judgement.false), len(judgement.unclosed), len(judgement.duplicates)),
        *(judgement.repeated, judgement.regrouped),
        *(f"{quantile(latencies_s, ratio):.1f}" if latencies_s else "" for ratio in (0.5, 1.0)),
        f"{found.longest_stall_s:.1f}",
    )


def _lines(runs: Iterable[Run]) -> Iterator[str]:
    for found in runs:
        judgement = found.judgement
        columns = ("missed", "false", "unclosed", "duplicates")
        lines = [f"{name}: {line}" for name in columns for line in getattr(judgement, name)]
        if found.tracebacks:
            lines.append(f"{found.tracebacks} tracebacks in the logs")
        if lines:
            shown = [
                *lines[:MAX_LINES],
                *([f"and {len(lines) - MAX_LINES} more"] if len(lines) > MAX_LINES else []),
            ]
            yield "\n".join([f"Seed {found.options.seed}, quorum {found.options.quorum}:", *shown])


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seed", type=int, default=1, help="of the first run")
    parser.add_argument("--runs", type=int, default=1, help="with consecutive seeds")
    parser.add_argument("--seconds", type=float, default=180.0, help="of faults in a run")
    parser.add_argument("--monitors", type=int, default=300)
    parser.add_argument("--quorum", default="majority", help='"any" is the control')
    parser.add_argument("--check-every", type=float, default=CHECK_EVERY_S, metavar="SECONDS")
    parser.add_argument("--no-faults", action="store_true", help="only outages")
    parser.add_argument("--agents", action="store_true", help="those of one location report to the others")
    parser.add_argument("--postgres", type=Path, metavar="DIR", help="the root directory of another release")
    parser.add_argument("--keep", type=Path, help="a folder for the logs of the daemons")


def main(options: argparse.Namespace) -> str:
    runs = []
    for seed in range(options.seed, options.seed + options.runs):
        chosen = Options(
            seed,
            options.seconds,
            options.monitors,
            options.quorum,
            options.check_every,
            with_faults=not options.no_faults,
            with_agents=options.agents,
            postgres=None if options.postgres is None else str(options.postgres.absolute()),
        )
        runs.append(run(chosen, None if options.keep is None else options.keep / f"seed-{seed}"))
    return table(runs)


if __name__ == "__main__":
    _inside(json.loads(sys.argv[1]))
