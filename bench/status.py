"""The rate of responses of the status API, and the lateness of checks during requests.

1,000 monitors of one nginx. First each path is requested as fast as possible, then at 2,000 responses per second
(metrics: two), alternating with windows without requests. Lateness is the time in the log of nginx minus the scheduled
time of the check. The daemon and the client are separate processes.
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
"""Responses per second: every other second all connections request a new page at once."""
TARGETS = ("/status", "/monitors", "/api/v1/monitors?limit=100", "/metrics")


@dataclass(frozen=True, slots=True)
class Read:
    """The output of the client."""

    responses: float
    size_bytes: float
    p50_s: float
    p99_s: float
    seconds: float

    @property
    def rate(self) -> float:
        return self.responses / self.seconds


def read(socket_path: Path, target: str, rate: float, seconds: float) -> Read:
    reader = Path(__file__).with_name("reader.py")
    command = [PYTHON, str(reader), str(socket_path), target, str(rate), str(seconds)]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return Read(*map(float, output.split()))


@dataclass(frozen=True, slots=True)
class Window:
    """`cpu_ratio`: of a core that the daemon used; `waited_ratio`: for which it was runnable without a core."""

    path: str
    read: Read | None
    late_s: Sequence[float]
    cpu_ratio: float
    waited_ratio: float


def window(monitord: Daemon, server: Nginx, path: str, rate: float, seconds: float) -> Window:
    cpu, waited, began = cpu_s(monitord.pid), waited_s(monitord.pid), time.time()
    found = None
    if rate:
        found = read(monitord.ask.address.socket_path, path, rate, seconds)
    else:
        time.sleep(seconds)
    ended = time.time()
    cpu, waited = cpu_s(monitord.pid) - cpu, waited_s(monitord.pid) - waited
    time.sleep(LOG_DELAY_S)
    late_s = late_s_of(server.requests("daemon", began, ended), PERIOD_S)
    return Window(path, found, late_s, cpu / (ended - began), waited / (ended - began))


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
        monitord = stack.enter_context(daemon(folder / "daemon", config, journal=journal))
        time.sleep(SETTLE_S)
        fastest = [
            (target, read(monitord.ask.address.socket_path, target, 0, options.seconds)) for target in TARGETS
        ]
        windows = []
        for _ in range(options.rounds):
            windows.append(window(monitord, server, "no requests", 0, options.seconds))
            for target in TARGETS:
                rate = SCRAPES if target == "/metrics" else RATE
                windows.append(window(monitord, server, target, rate, options.seconds))
    return f"{_fastest_table(fastest)}\n\n{_windows_table(windows)}"


def _fastest_table(fastest: Sequence[tuple[str, Read]]) -> str:
    rows = [
        (
            f"`{target}`",
            f"{found.size_bytes / found.responses / 1024:.1f}",
            f"{found.rate:.0f}",
            milliseconds(found.p50_s),
            milliseconds(found.p99_s),
        )
        for target, found in fastest
    ]
    return markdown(
        ("path, as fast as possible", "KiB per response", "responses/s", "p50, ms", "p99, ms"), rows
    )


def _windows_table(windows: Sequence[Window]) -> str:
    rows = []
    for path in dict.fromkeys(each.path for each in windows):
        some = [each for each in windows if each.path == path]
        late = [
            statistics.median(quantile(each.late_s, share) for each in some)
            for share in (0.5, 0.9, 0.99, 1.0)
        ]
        reads = [each.read for each in some if each.read is not None]
        read_columns = (
            (
                f"{statistics.median(each.rate for each in reads):.0f}",
                milliseconds(statistics.median(each.p50_s for each in reads)),
                milliseconds(statistics.median(each.p99_s for each in reads)),
            )
            if reads
            else ("", "", "")
        )
        rows.append(
            (
                path,
                *read_columns,
                sum(len(each.late_s) for each in some),
                *(f"{each * 1e3:.0f}" for each in late),
                f"{statistics.median(each.cpu_ratio for each in some) * 100:.0f}",
                f"{statistics.median(each.waited_ratio for each in some) * 1e3:.0f}",
            )
        )
    heads = (
        "path, at a fixed rate",
        "responses/s",
        "p50, ms",
        "p99",
        "checks",
        "lateness p50, ms",
        "p90",
        "p99",
        "max",
        "CPU, % of a core",
        "waited for a core, ms per s",
    )
    return markdown(heads, rows)
