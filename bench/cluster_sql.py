"""Time of the operations of a cluster on its database, with 100,000 monitors at 3 locations in a real server.

    /usr/bin/python3 -m bench.cluster_sql [--monitors 100000] [--repeat 20]

The server of Debian runs in a temporary directory. The figures are those of the whole operation as a node sees it:
statement, transfer and conversion.
"""

import argparse
import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import replace
from datetime import timedelta
from random import Random

import psycopg

from monitord.clock import Clock, SystemClock
from monitord.cluster.database import ClusterDatabase, initialize
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
ALL_DOWN = (
    "UPDATE monitord.vote SET state = 'down'",
    "UPDATE monitord.decision SET state = 'down'",
    "VACUUM ANALYZE",
)


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
        """Print the times of an operation, which gets the number of its run."""
        durations_ms = []
        for number in range(times or self._repeat):
            for node in self._nodes:
                await self._database.beat(node, [])
            began_s = time.perf_counter()
            await operation(number)
            durations_ms.append((time.perf_counter() - began_s) * 1000)
        print(f"{name:56}{statistics.median(durations_ms):10.1f}{max(durations_ms):10.1f}", flush=True)

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
        execute(ALL_DOWN)
        await self.time_tallies("all down, as decided")


async def measure(conninfo: str, monitors: int, repeat: int) -> None:
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
    print(f"{monitors} monitors, {len(LOCATIONS)} locations\n{'':56}{'p50 ms':>10}{'most ms':>10}")
    await Measurement(database, clock, monitors, repeat).run(execute)
    await database.close()
    await resolver.close()


def main() -> None:
    parser = argparse.ArgumentParser(description="Time of the operations of a cluster on its database.")
    parser.add_argument("--monitors", type=int, default=100_000)
    parser.add_argument("--repeat", type=int, default=20)
    arguments = parser.parse_args()
    with postgresql() as server:
        conninfo = f"host=127.0.0.1 port={server.port} user=postgres password={PASSWORD} dbname=postgres"
        asyncio.run(measure(conninfo, arguments.monitors, arguments.repeat))


if __name__ == "__main__":
    main()
