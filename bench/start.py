"""The time from fork to READY=1, and memory, with 10, 1,000 and 10,000 http monitors that are up.

Memory is read three times: at READY, when every monitor has been checked once, and later. RSS includes file pages that
other processes share, PSS divides these by the number of processes. The CPU time to READY is compared with that of a
process which only imports the libraries, in the same round.
"""

import argparse
import resource
import statistics
import subprocess
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from bench.configs import http_config
from bench.measure import Memory, cpu_s, markdown, mebibytes, median_and_range, memory_of, wait_until
from bench.nginx import nginx
from bench.processes import PYTHON, Daemon, daemon, journal_sink

COUNTS = (10, 1000, 10_000)
CHECK_EVERY = {10: "10s", 1000: "10s", 10_000: "60s"}
GOAL_READY_S = 1.5
GOALS_MIB = {1000: 60, 10_000: 160}
LIBRARIES = "import aiohttp, uvloop, jinja2, prometheus_client"
GOALS_TO_LIBRARIES = {1000: 2.5, 10_000: 8.0}
FIRST_CHECKS_DEADLINE_S = 180.0
"""The first checks of 10,000 monitors are spread over their interval of 60 s."""


@dataclass(frozen=True, slots=True)
class Start:
    libraries_cpu_s: float
    ready_cpu_s: float
    ready_s: float
    at_ready: Memory
    all_checked: Memory
    later: Memory
    not_up: int


def measure(folder: Path, journal: Path, config: str, count: int, later_s: float) -> Start:
    libraries_cpu_s = cpu_of_libraries_s()
    with daemon(folder, config, journal=journal) as monitord:
        ready_cpu_s = cpu_s(monitord.pid)
        at_ready = memory_of(monitord.pid)
        wait_until(
            lambda: _are_checked(monitord, count), FIRST_CHECKS_DEADLINE_S, f"{count} monitors are checked"
        )
        all_checked = memory_of(monitord.pid)
        time.sleep(later_s)
        later = memory_of(monitord.pid)
        up = monitord.ask.get("/status")["monitors"]["up"]
    return Start(
        libraries_cpu_s, ready_cpu_s, monitord.start_s, at_ready, all_checked, later, not_up=count - up
    )


def cpu_of_libraries_s() -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([PYTHON, "-c", LIBRARIES], check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _are_checked(monitord: Daemon, count: int) -> bool:
    time.sleep(0.5)  # each request costs the daemon some CPU time
    monitors = monitord.ask.get("/status")["monitors"]
    return bool(monitors["pending"] == 0 and monitors["total"] == count)


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--later", type=float, default=20.0, help="seconds before memory is read for the last time"
    )


def main(options: argparse.Namespace) -> str:
    rows = []
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        server = stack.enter_context(nginx(folder / "nginx"))
        journal = stack.enter_context(journal_sink(folder))
        for count in COUNTS:
            urls = [f"{server.url('plain')}daemon/{number}" for number in range(count)]
            config = http_config(urls, check_every=CHECK_EVERY[count], timeout="5s")
            starts = [
                measure(folder / f"{count}-{number}", journal, config, count, options.later)
                for number in range(options.rounds)
            ]
            rows.append(_row(count, starts))
    heads = (
        "monitors",
        "CPU to READY, s",
        "ratio to the libraries",
        "READY after, s",
        "PSS at READY, MiB",
        "PSS after the first checks",
        "PSS later",
        "RSS later",
        "peak RSS",
        "goals",
        "not up",
    )
    return markdown(heads, rows)


def _row(count: int, starts: list[Start]) -> tuple[object, ...]:
    def median(moment: str, attribute: str) -> str:
        return mebibytes(
            int(statistics.median(getattr(getattr(start, moment), attribute) for start in starts))
        )

    ready_s = statistics.median(start.ready_s for start in starts)
    to_libraries = [start.ready_cpu_s / start.libraries_cpu_s for start in starts]
    largest = max(start.later.rss for start in starts) / 2**20
    goals = []
    if count == 1000:
        goals.append(f"READY {'reached' if ready_s <= GOAL_READY_S else 'MISSED'}")
    if count in GOALS_TO_LIBRARIES:
        most = GOALS_TO_LIBRARIES[count]
        goals.append(f"{most} times {'reached' if statistics.median(to_libraries) <= most else 'MISSED'}")
    if count in GOALS_MIB:
        goals.append(f"{GOALS_MIB[count]} MiB {'reached' if largest <= GOALS_MIB[count] else 'MISSED'}")
    return (
        count,
        median_and_range([start.ready_cpu_s for start in starts]),
        median_and_range(to_libraries),
        median_and_range([start.ready_s for start in starts]),
        median("at_ready", "pss"),
        median("all_checked", "pss"),
        median("later", "pss"),
        median("later", "rss"),
        median("later", "peak_rss"),
        ", ".join(goals),
        max(start.not_up for start in starts),
    )
