"""Time of the operations of a cluster on its database, with 100,000 monitors at 3 locations in a real server.

The server of Debian runs in a temporary directory. The figures are those of the whole operation as a node sees it:
statement, transfer and conversion.

In the end, all votes become down. "Decision of all": one node counts them, page by page, and writes all decisions,
without the evaluation of alerts. After that all votes agree with the decisions again, which are not up now: first with
the statistics of the server from before, then with those of the autovacuum.
"""

import argparse
import asyncio
import statistics
import sys
import time
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import replace
from datetime import timedelta
from random import Random

import psycopg

from bench.measure import markdown
from monitord.clock import Clock, SystemClock
from monitord.cluster.database import ClusterDatabase, initialize
from monitord.cluster.deciding import DECISIONS_PER_TRANSACTION
from monitord.cluster.model import ClusterDecision, NewDecision, Node, Vote
from monitord.cluster.sharding import owned_shards
from monitord.model import Reason, State
from monitord.net.base.resolver import Resolver
from tests.database_servers import PASSWORD, postgresql

LOCATIONS = ("fra", "hel", "nyc")
NODES = tuple(f"{location}{number}" for location in LOCATIONS for number in (1, 2))
CHANGED = 50
MANY = 2000
EXCERPT = "HTTP/1.1 200 OK " * 16

_NAMES = (
    "(SELECT 'monitor-' || n AS name, n %% 1024 AS shard FROM generate_series(1, %(monitors)s) AS n) AS names"
)
FILL = (
    "INSERT INTO monitord.decision SELECT name, shard, 'up', now(), 'ok', '', 1, NULL, NULL, now() - interval '1 hour'"
    f" FROM {_NAMES}",
    "INSERT INTO monitord.vote SELECT name, location, shard, 'up', now(), 'ok', '200 in 35 ms', %(excerpt)s,"
    f" location || '1', now(), now() - interval '1 hour' FROM {_NAMES}, unnest(%(locations)s::text[]) AS location",
    "VACUUM ANALYZE",
)
ALL_VOTES_DOWN = "UPDATE monitord.vote SET state = 'down'"
AUTOVACUUM = "VACUUM ANALYZE"


class Measurement:
    """Operations of one node, with the times that they take."""

    def __init__(self, database: ClusterDatabase, clock: Clock, monitors: int, repeat: int) -> None:
        self._database = database
        self._began_at = clock.now()
        self._repeat = repeat
        self._nodes = [Node(name, name[:-1], is_ready=True, version="1", configuration="") for name in NODES]
        random = Random(1)
        self._some = [f"monitor-{random.randint(1, monitors)}" for _ in range(min(MANY, monitors))]
        self._decisions: dict[str, ClusterDecision] = {}
        self.rows: list[tuple[str, str, str]] = []

    async def heartbeat(self, names: Sequence[str] = (), minute: int = 0) -> None:
        since = self._began_at + timedelta(minutes=minute)
        votes = [
            Vote(name, "fra", State.DOWN, since, Reason.REFUSED, "refused", EXCERPT, "fra1", since)
            for name in names
        ]
        await self._database.beat(self._nodes[0], votes)

    async def time(
        self, name: str, operation: Callable[[int], Awaitable[object]], times: int | None = None
    ) -> None:
        """Measure the times of an operation, which gets the number of its run."""
        durations_ms = []
        for number in range(times or self._repeat):
            await self._beat()
            began_s = time.perf_counter()
            await operation(number)
            durations_ms.append((time.perf_counter() - began_s) * 1000)
        self.rows.append((name, f"{statistics.median(durations_ms):.1f}", f"{max(durations_ms):.1f}"))
        print(*self.rows[-1], sep=": ", file=sys.stderr, flush=True)

    async def _beat(self) -> None:
        for node in self._nodes:
            await self._database.beat(node, [])

    async def time_tallies(self, suffix: str) -> None:
        own, few = owned_shards("fra1", NODES), self._some[:CHANGED]

        def tally(
            shards: Collection[int] | None, monitors: Collection[str] | None
        ) -> Callable[[int], Awaitable[object]]:
            return lambda _: self._database.tally("fra1", shards, monitors)

        await self.time(f"tally of all shards, {suffix}", tally(None, None))
        await self.time(f"tally of a sixth of the shards, {suffix}", tally(own, None))
        await self.time(f"tally of {len(few)} monitors, {suffix}", tally(None, few))

    async def decide(self, number: int) -> None:
        name = self._some[number % CHANGED]
        before = self._decisions.get(name) or ClusterDecision(
            name, State.UP, self._began_at, Reason.OK, "", version=1
        )
        state = State.DOWN if before.state is State.UP else State.UP
        after = self._decisions[name] = replace(before, state=state, version=before.version + 1)
        if not await self._database.decide("fra1", [NewDecision(before, after)]):
            raise RuntimeError(f"the decision on {name} was not written")

    async def decide_all(self) -> None:
        after: str | None = ""
        while after is not None:
            await self._beat()
            tally = await self._database.tally("fra1", None, None, after)
            after = tally.next_after
            for start in range(0, len(tally.candidates), DECISIONS_PER_TRANSACTION):
                batch = []
                for candidate in tally.candidates[start : start + DECISIONS_PER_TRANSACTION]:
                    before = candidate.decision
                    assert before is not None
                    state = candidate.votes[0].state
                    batch.append(
                        NewDecision(before, replace(before, state=state, version=before.version + 1))
                    )
                await self._database.decide("fra1", batch)

    async def run(self, execute: Callable[[Sequence[str]], None]) -> None:
        few = self._some[:CHANGED]
        await self.time("first changes: all rows", lambda _: self._database.changes(), 1)
        await self.time("changes: none", lambda _: self._database.changes())
        await self.time("heartbeat", lambda _: self.heartbeat())
        await self.time_tallies("all up")
        await self.time(f"heartbeat with {len(few)} votes", lambda number: self.heartbeat(few, number))
        await self.time(f"changes: {len(few)} votes", lambda _: self._database.changes(), 1)
        await self.time_tallies(f"{len(few)} differ")
        await self.time("decision", self.decide)
        await self.time(f"heartbeat with {MANY} votes", lambda _: self.heartbeat(self._some), 1)
        await self.time_tallies(f"{MANY} differ")
        execute((ALL_VOTES_DOWN,))
        await self.time_tallies("all have just changed")
        await self.time("decision of all", lambda _: self.decide_all(), 1)
        await self.time_tallies("all down, as decided, before autovacuum")
        execute((AUTOVACUUM,))
        await self.time_tallies("all down, as decided")


async def measure(conninfo: str, monitors: int, repeat: int) -> list[tuple[str, str, str]]:
    clock, resolver = SystemClock(), Resolver()
    await initialize(conninfo, clock, resolver)

    def execute(commands: Sequence[str]) -> None:
        parameters = {"monitors": monitors, "excerpt": EXCERPT, "locations": list(LOCATIONS)}
        with psycopg.connect(conninfo, autocommit=True) as connection:
            for command in commands:
                connection.execute(command, parameters if "%(" in command else None)

    execute(FILL)
    database = ClusterDatabase(conninfo, clock, resolver)
    await database.open()
    measurement = Measurement(database, clock, monitors, repeat)
    await measurement.run(execute)
    await database.close()
    await resolver.close()
    return measurement.rows


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--monitors", type=int, default=100_000)
    parser.add_argument("--repeat", type=int, default=20)


def main(options: argparse.Namespace) -> str:
    # Autovacuum would begin at any time between the measurements.
    with postgresql("-c", "autovacuum=off") as server:
        conninfo = f"host=127.0.0.1 port={server.port} user=postgres password={PASSWORD} dbname=postgres"
        rows = asyncio.run(measure(conninfo, options.monitors, options.repeat))
    return markdown((f"{options.monitors} monitors, {len(LOCATIONS)} locations", "p50, ms", "max, ms"), rows)
