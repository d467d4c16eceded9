"""CPU time and memory that the cluster adds to a node, with 1,000 monitors at three locations in a steady state.

All daemons run at the same time against the same nginx: a node at each of three locations, a single host with the same
monitors and without [cluster], and, with `--earlier`, a single host with an earlier version. The difference between a
node and the single host is the cost of the cluster. No state changes during the windows.
"""

import argparse
import asyncio
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from bench.configs import http_config
from bench.measure import Memory, cpu_s, markdown, mebibytes, memory_of
from bench.nginx import Nginx, nginx
from bench.processes import ROOT, Daemon, daemon, journal_sink
from monitord.clock import SystemClock
from monitord.cluster.database import initialize
from monitord.net.base.resolver import Resolver
from tests.database_servers import PASSWORD, postgresql

LOCATIONS = ("fra", "hel", "nyc")
SINGLE, EARLIER = "single", "earlier"
TITLES = {SINGLE: "single host", EARLIER: "single host, earlier version"}
PERIODS_S = (60, 10)
TIMEOUT_S = 5
SETTLED_AFTER_PERIODS = 2.2
SETTLED_AFTER_S = 20.0


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one daemon in a window."""

    checks: int
    cpu_s: float
    seconds: float
    memory: Memory

    @property
    def cores(self) -> float:
        return self.cpu_s / self.seconds


def _conninfo(port: int) -> str:
    return f"host=127.0.0.1 port={port} user=postgres password={PASSWORD} dbname=postgres"


async def _initialize(conninfo: str) -> None:
    resolver = Resolver()
    await initialize(conninfo, SystemClock(), resolver)
    await resolver.close()


def _config(server: Nginx, name: str, monitors: int, period_s: int, cluster: str = "") -> str:
    urls = [f"{server.url('plain')}{name}/{number}" for number in range(monitors)]
    return f"{cluster}\n{http_config(urls, check_every=f'{period_s}s', timeout=f'{TIMEOUT_S}s')}"


def measure(
    folder: Path, journal: Path, monitors: int, period_s: int, seconds: float, earlier: Path | None
) -> Mapping[str, Cost]:
    """Run the daemons, and return the cost of each."""
    folder.mkdir()
    with ExitStack() as stack:
        server = stack.enter_context(nginx(folder / "nginx"))
        database = stack.enter_context(postgresql())
        conninfo = _conninfo(database.port)
        asyncio.run(_initialize(conninfo))
        daemons: dict[str, Daemon] = {}

        def start(name: str, cluster: str = "", source: Path = ROOT) -> None:
            config = _config(server, name, monitors, period_s, cluster)
            daemons[name] = stack.enter_context(
                daemon(folder / f"daemon-{name}", config, journal=journal, source=source)
            )

        for location in LOCATIONS:
            access = f'[cluster]\ndatabase = "{conninfo}"\nlocation = "{location}"\nnode = "{location}1"'
            start(location, access)
        start(SINGLE)
        if earlier is not None:
            start(EARLIER, source=earlier)
        time.sleep(SETTLED_AFTER_PERIODS * period_s + SETTLED_AFTER_S)
        began_s = time.monotonic()
        before = {name: (each.checks, cpu_s(each.pid)) for name, each in daemons.items()}
        time.sleep(seconds)
        costs = {
            name: Cost(
                each.checks - before[name][0],
                cpu_s(each.pid) - before[name][1],
                time.monotonic() - began_s,
                memory_of(each.pid),
            )
            for name, each in daemons.items()
        }
        for name, each in daemons.items():
            up = each.ask.get("/status")["monitors"]["up"]
            if up != monitors:
                raise RuntimeError(f"{name}: {up} of {monitors} monitors are up")
    return costs


def _table(costs: Mapping[str, Cost]) -> str:
    single = costs[SINGLE]
    rows = [
        (
            TITLES.get(name, f"node at {name}"),
            cost.checks,
            f"{cost.cores:.2%}",
            f"{cost.cores - single.cores:+.2%}",
            f"{cost.cpu_s / cost.checks * 1e3:.3f}",
            mebibytes(cost.memory.pss),
            mebibytes(cost.memory.rss),
        )
        for name, cost in costs.items()
    ]
    heads = (
        "daemon",
        "checks",
        "CPU of a core",
        "more than the single host",
        "CPU per check, ms",
        "PSS, MiB",
    )
    return markdown((*heads, "RSS, MiB"), rows)


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--monitors", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=60.0, help="of one window")
    parser.add_argument("--periods", type=int, nargs="+", default=list(PERIODS_S), metavar="SECONDS")
    parser.add_argument("--earlier", type=Path, metavar="DIRECTORY", help="the source of an earlier version")


def main(options: argparse.Namespace) -> str:
    parts: list[str] = []
    periods: Sequence[int] = options.periods
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        journal = stack.enter_context(journal_sink(folder))
        for period_s in periods:
            costs = measure(
                folder / f"{period_s}",
                journal,
                options.monitors,
                period_s,
                options.seconds,
                options.earlier,
            )
            parts.append(f"### {options.monitors} monitors every {period_s} s\n\n{_table(costs)}")
    return "\n\n".join(parts)
