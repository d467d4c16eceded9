"""The database of a cluster is away during outages: how often are they notified, and is every alert closed?

All locations see the outages. Some begin before the database stops, some while the nodes are alone, and some after its
return; of the first two, some end while the nodes are alone. Each location may notify once, as none knows of the
others, and silence is a fault. After the return, every alert is closed once.
"""

import argparse
import asyncio
import dataclasses
import json
import random
import subprocess
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from bench.cluster import LOCATIONS, NOTIFIED_WITHIN_S, QUIET_WITHIN_S, Cluster, Setup, note, until
from bench.cluster_judge import BEFORE, Outage
from bench.cluster_network import sandboxed
from bench.measure import markdown
from bench.processes import PYTHON, ROOT

OUTAGES = 10
ENDED_ALONE = 3
"""Of the outages before the stop, and of the outages during alone mode."""
SETTLED_AFTER_S = 30.0
"""From the return of the database, until nothing more is notified."""


class Beginning(Enum):
    BEFORE = "before the stop"
    ALONE = "while the nodes were alone"
    AFTER = "after the return"


@dataclass(frozen=True, slots=True)
class Options:
    """Times in seconds. `away_s`: of the database."""

    seed: int = 1
    monitors: int = 60
    away_s: float = 600.0
    alone_after_s: float = 60.0


@dataclass(frozen=True, slots=True)
class Row:
    """Outages with the same beginning and end. `openings` and `alerts`: the most of one outage."""

    beginning: str
    ended_alone: bool
    outages: int
    missed: int
    openings: int
    alerts: int
    closings_per_alert: int
    unclosed: int


async def trial(options: Options) -> list[Row]:
    """Run a cluster. Only in a sandbox."""
    rng = random.Random(options.seed)
    cluster = Cluster(options.monitors, rng, failure_ratio=0.0)
    began: dict[Beginning, list[Outage]] = {}
    async with cluster.running(Setup(alone_after_s=options.alone_after_s)):
        names = rng.sample(cluster.world.names, OUTAGES * len(Beginning))

        async def begin(beginning: Beginning, within_s: float) -> None:
            chosen = [names.pop() for _ in range(OUTAGES)]
            began[beginning] = [
                cluster.world.begin(name, frozenset(LOCATIONS), is_due=True) for name in chosen
            ]
            note(f"{OUTAGES} outages {beginning.value}")
            await until(lambda: all(map(cluster.is_notified, began[beginning])), within_s)

        await begin(Beginning.BEFORE, NOTIFIED_WITHIN_S)
        await cluster.database.stop()
        stopped_s = time.monotonic()
        note("the database is stopped")
        await begin(Beginning.ALONE, options.alone_after_s + NOTIFIED_WITHIN_S)
        for beginning in (Beginning.BEFORE, Beginning.ALONE):
            for outage in began[beginning][:ENDED_ALONE]:
                cluster.world.end(outage)
        await asyncio.sleep(max(stopped_s + options.away_s - time.monotonic(), 0.0))
        await cluster.database.start()
        note("the database is back")
        await asyncio.sleep(SETTLED_AFTER_S)
        for beginning in (Beginning.BEFORE, Beginning.ALONE):
            for outage in began[beginning][ENDED_ALONE:]:
                cluster.world.end(outage)
        await begin(Beginning.AFTER, NOTIFIED_WITHIN_S)
        for outage in began[Beginning.AFTER]:
            cluster.world.end(outage)
        await until(lambda: not cluster.judge().unclosed, QUIET_WITHIN_S)
        await asyncio.sleep(SETTLED_AFTER_S)
    return [
        _row(cluster, beginning, chosen, ended_alone=ended_alone)
        for beginning, outages in began.items()
        for ended_alone, chosen in (
            [(False, outages)]
            if beginning is Beginning.AFTER
            else [(True, outages[:ENDED_ALONE]), (False, outages[ENDED_ALONE:])]
        )
    ]


def _row(cluster: Cluster, beginning: Beginning, outages: Sequence[Outage], *, ended_alone: bool) -> Row:
    missed = unclosed = most_opened = most_closed = most_alerts = 0
    for outage in outages:
        opened: defaultdict[str, set[str]] = defaultdict(set)
        closed: defaultdict[str, set[str]] = defaultdict(set)
        for found in cluster.notifications:
            if found.monitor != outage.monitor or found.started_at < outage.began_at - BEFORE:
                continue
            if found.kind.is_closing:
                closed[found.alert].add(found.id)
            else:
                opened[found.alert].add(found.id)
        missed += not opened
        unclosed += sum(alert not in closed for alert in opened)
        most_alerts = max(most_alerts, len(opened))
        most_opened = max(most_opened, sum(map(len, opened.values())))
        most_closed = max(most_closed, *map(len, closed.values()), 0)
    return Row(
        beginning.value,
        ended_alone,
        len(outages),
        missed,
        most_opened,
        most_alerts,
        most_closed,
        unclosed,
    )


def run(options: Options) -> list[Row]:
    """Run a cluster in a sandbox."""
    done = subprocess.run(
        sandboxed([PYTHON, "-m", "bench.cluster_alone", json.dumps(dataclasses.asdict(options))]),
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        check=True,
    )
    return [Row(**row) for row in json.loads(done.stdout)]


def table(rows: Iterable[Row]) -> str:
    heads = (
        *("outages began", "ended while the nodes were alone", "outages", "missed"),
        *("openings of one outage, at most", "alerts of one outage, at most"),
        *("closings of one alert, at most", "unclosed alerts"),
    )
    return markdown(heads, [tuple(dataclasses.astuple(row)) for row in rows])


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--monitors", type=int, default=60)
    parser.add_argument("--away", type=float, default=600.0, metavar="SECONDS", help="without the database")
    parser.add_argument("--alone-after", type=float, default=60.0, metavar="SECONDS")


def main(options: argparse.Namespace) -> str:
    return table(run(Options(options.seed, options.monitors, options.away, options.alone_after)))


def _inside(order: Mapping[str, Any]) -> None:
    rows = asyncio.run(trial(Options(**order)))
    print(json.dumps([dataclasses.asdict(row) for row in rows]))


if __name__ == "__main__":
    import sys

    _inside(json.loads(sys.argv[1]))
