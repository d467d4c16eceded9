"""How fast the status is read, and whether reading it makes checks late.

1,000 monitors of one nginx. First each address is read as fast as it goes; then at 2,000 answers a second (metrics:
two), in turns with windows in which nobody reads. Lateness is told by nginx's log: the moment of a check
minus the point of its monitor's grid. The daemon is one process on one core; who reads is another.
"""

import argparse
import statistics
import subprocess
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from bench.configs import http_config
from bench.lateness import LOG_DELAY_S, late_s_of
from bench.measure import cpu_s, markdown, milliseconds, quantile, waited_s
from bench.nginx import Nginx, nginx
from bench.processes import PYTHON, Daemon, daemon, journal_sink

MONITORS = 1000
PERIOD_S = 5.0
SETTLE_S = 12.0

RATE = 2000.0
SCRAPES = 2.0
"""Answers a second: every other second all connections ask at once, for a page that is new."""
TARGETS = ("/status", "/monitors", "/api/v1/monitors?limit=100", "/metrics")


@dataclass(frozen=True, slots=True)
class Read:
    """What one reader counted."""

    answers: float
    size_bytes: float
    p50_s: float
    p99_s: float
    seconds: float

    @property
    def rate(self) -> float:
        return self.answers / self.seconds


def read(socket_path: Path, target: str, rate: float, seconds: float) -> Read:
    reader = Path(__file__).with_name("reader.py")
    command = [PYTHON, str(reader), str(socket_path), target, str(rate), str(seconds)]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return Read(*map(float, said.split()))


@dataclass(frozen=True, slots=True)
class Window:
    """`cpu_share` and `waited_share` of one core: what the daemon used, and wanted without having it."""

    how: str
    read: Read | None
    late_s: Sequence[float]
    cpu_share: float
    waited_share: float


def window(it: Daemon, server: Nginx, how: str, rate: float, seconds: float) -> Window:
    cpu, waited, began = cpu_s(it.pid), waited_s(it.pid), time.time()
    found = None
    if rate:
        found = read(it.ask.address.path, how, rate, seconds)
    else:
        time.sleep(seconds)
    ended = time.time()
    cpu, waited = cpu_s(it.pid) - cpu, waited_s(it.pid) - waited
    time.sleep(LOG_DELAY_S)
    late_s = late_s_of(server.asked("daemon", began, ended), PERIOD_S)
    return Window(how, found, late_s, cpu / (ended - began), waited / (ended - began))


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=10.0, help="of one window")


def main(options: argparse.Namespace) -> str:
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        server = stack.enter_context(nginx(folder / "nginx"))
        journal = stack.enter_context(journal_sink(folder))
        urls = [f"{server.url('plain')}daemon/{number}" for number in range(MONITORS)]
        config = http_config(urls, check_every=f"{PERIOD_S}s", timeout="4s")
        it = stack.enter_context(daemon(folder / "daemon", config, journal=journal))
        time.sleep(SETTLE_S)
        fastest = [(target, read(it.ask.address.path, target, 0, options.seconds)) for target in TARGETS]
        windows = []
        for _ in range(options.rounds):
            windows.append(window(it, server, "nobody reads", 0, options.seconds))
            for target in TARGETS:
                rate = SCRAPES if target == "/metrics" else RATE
                windows.append(window(it, server, target, rate, options.seconds))
    return f"{_fastest_table(fastest)}\n\n{_windows_table(windows)}"


def _fastest_table(fastest: Sequence[tuple[str, Read]]) -> str:
    rows = [
        (
            f"`{target}`",
            f"{found.size_bytes / found.answers / 1024:.1f}",
            f"{found.rate:.0f}",
            milliseconds(found.p50_s),
            milliseconds(found.p99_s),
        )
        for target, found in fastest
    ]
    return markdown(("as fast as it goes", "KiB an answer", "answers/s", "p50, ms", "p99, ms"), rows)


def _windows_table(windows: Sequence[Window]) -> str:
    rows = []
    for how in dict.fromkeys(one.how for one in windows):
        some = [one for one in windows if one.how == how]
        late = [
            statistics.median(quantile(one.late_s, share) for one in some) for share in (0.5, 0.9, 0.99, 1.0)
        ]
        reads = [one.read for one in some if one.read is not None]
        answered = (
            (
                f"{statistics.median(one.rate for one in reads):.0f}",
                milliseconds(statistics.median(one.p50_s for one in reads)),
                milliseconds(statistics.median(one.p99_s for one in reads)),
            )
            if reads
            else ("", "", "")
        )
        rows.append(
            (
                how,
                *answered,
                sum(len(one.late_s) for one in some),
                *(f"{one * 1e3:.0f}" for one in late),
                f"{statistics.median(one.cpu_share for one in some) * 100:.0f}",
                f"{statistics.median(one.waited_share for one in some) * 1e3:.0f}",
            )
        )
    heads = (
        "read meanwhile",
        "answers/s",
        "p50, ms",
        "p99",
        "checks",
        "late p50, ms",
        "p90",
        "p99",
        "max",
        "CPU, % of a core",
        "waited for a core, ms per s",
    )
    return markdown(heads, rows)
