"""Hosts that never respond: do they delay the checks of other hosts?

One of 100 hosts, then 100 of 1,000, each with its own address of the loopback. A silent host has a listening socket
with a backlog of one, from which no connection is accepted: the first requests wait for a response, later ones for a
connection. Lateness is the time of a request in the log of nginx minus the scheduled time of the check. Windows with
and without silent hosts alternate in one run.
"""

import argparse
import socket
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.configs import http_config
from bench.measure import markdown, quantile, waited_s
from bench.nginx import LoggedRequest, Nginx, nginx
from bench.processes import daemon, journal_sink
from monitord.dispatch.schedule import grid_of

PERIOD_S = 10.0
TIMEOUT_S = 9.0  # nearly the whole period: most checks of silent hosts are in flight at any time
SETTLE_S = 26.0
LOG_DELAY_S = 1.5
CASES = ((100, 1), (1000, 100))
PER_HOST = 8


@dataclass(frozen=True, slots=True)
class Late:
    """The checks of responding hosts in one window. `waited_s`: the daemon was runnable but had no core."""

    late_s: list[float]
    in_flight: int
    down: int
    waited_s: float


@contextmanager
def silent(addresses: Sequence[str], port: int) -> Iterator[None]:
    with ExitStack() as stack:
        for address in addresses:
            listener = stack.enter_context(socket.socket())
            listener.bind((address, port))
            listener.listen(0)
        yield


def addresses_of(kind: int, count: int) -> list[str]:
    return [f"127.{kind}.{number // 200}.{number % 200 + 1}" for number in range(count)]


def window(
    folder: Path, journal: Path, server: Nginx, good: Sequence[str], bad: Sequence[str], seconds: float
) -> Late:
    # Silent hosts come last, so that the others have the same names and grids without them.
    urls = [f"http://{address}:{server.port}/daemon/{number}" for number, address in enumerate([*good, *bad])]
    config = http_config(urls, check_every=f"{PERIOD_S}s", timeout=f"{TIMEOUT_S}s", per_host=PER_HOST)
    with daemon(folder, config, journal=journal) as monitord:
        time.sleep(SETTLE_S)
        began, waited = time.time(), waited_s(monitord.pid)
        time.sleep(seconds)
        ended, waited = time.time(), waited_s(monitord.pid) - waited
        status = monitord.ask.get("/status")
        time.sleep(LOG_DELAY_S)
        requests = server.requests("daemon", began, ended)
    late_s = late_s_of(requests, PERIOD_S)
    return Late(late_s, status["checks"]["in_flight"], status["monitors"]["down"], waited / seconds)


def late_s_of(requests: Sequence[LoggedRequest], period_s: float) -> list[float]:
    """Seconds after the scheduled time of each check, sorted. An early check counts as 0."""
    # The grid uses the monotonic clock, the log uses wall time.
    offset_s = time.time() - time.monotonic()
    late_s = []
    for request in requests:
        grid = grid_of(f"m{request.number:05}", period_s)
        since_s = (request.at - offset_s - grid.offset_s) % period_s
        late_s.append(since_s if since_s < period_s / 2 else 0.0)
    return sorted(late_s)


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=20.0, help="of one window")


def main(options: argparse.Namespace) -> str:
    parts = []
    for count, bad_count in CASES:
        good, bad = addresses_of(1, count - bad_count), addresses_of(2, bad_count)
        windows: dict[str, list[Late]] = {"without": [], "with": []}
        with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
            folder = Path(name)
            server = stack.enter_context(nginx(folder / "nginx", ["127.0.0.1", *good]))
            stack.enter_context(silent(bad, server.port))
            journal = stack.enter_context(journal_sink(folder))
            for number in range(options.rounds):
                for case, silent_hosts in (("without", []), ("with", bad)):
                    own = folder / f"{case}-{number}"
                    windows[case].append(window(own, journal, server, good, silent_hosts, options.seconds))
        parts.append(f"### {bad_count} of {count} never respond\n\n{_table(windows)}")
    return "\n\n".join(parts)


def _table(windows: dict[str, list[Late]]) -> str:
    rows = [
        (
            case,
            len(late.late_s),
            *(f"{quantile(late.late_s, share) * 1e3:.0f}" for share in (0.5, 0.9, 0.99, 1.0)),
            late.in_flight,
            late.down,
            f"{late.waited_s * 1e3:.1f}",
        )
        for round_ in zip(windows["without"], windows["with"], strict=True)
        for case, late in zip(windows, round_, strict=True)
    ]
    for case, found in windows.items():
        middles = [
            statistics.median(quantile(late.late_s, share) for late in found) * 1e3
            for share in (0.5, 0.9, 0.99, 1.0)
        ]
        rows.append((f"median, {case}", "", *(f"{middle:.0f}" for middle in middles), "", "", ""))
    heads = (
        "silent hosts",
        "checks of the others",
        "p50, ms",
        "p90, ms",
        "p99, ms",
        "max, ms",
        "in flight at the end",
        "down",
        "waited for a core, ms per s",
    )
    return markdown(heads, rows)
