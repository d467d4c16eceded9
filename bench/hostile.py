"""Hostile servers together with 100 healthy monitors: are these checked on time, and are the others reported?

First one server that sends interim responses without end, then one of each kind of endless response at once (see
bench/hostile_peers.py). Every monitor is checked every 2 s for a minute. Lateness and memory are reported by the daemon
and the kernel.
"""

import argparse
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.hostile_peers import KINDS
from bench.measure import MIB, cpu_s, markdown, memory_of, waited_s
from bench.processes import PYTHON, daemon, free_port, journal_sink, running

HEALTHY = 100
PERIOD_S = 2
TIMEOUT_S = 1.5
GOAL_LATE_S = 0.1
GOAL_MEMORY_MIB = 100
CASES: dict[str, Sequence[str]] = {
    "without": (),
    "interim responses": ("interim_100",),
    "all kinds": tuple(KINDS),
}


@dataclass(frozen=True, slots=True)
class Window:
    status: dict[str, Any]
    monitors: list[dict[str, Any]]
    peak_mib: float
    cores: float
    waited_s: float
    """Seconds per second in which the daemon was runnable but had no core."""


def _config(healthy_port: int, ports: dict[str, int]) -> str:
    lines = [f'[defaults]\ncheck_every = "{PERIOD_S}s"\ntimeout = "{TIMEOUT_S}s"', "[limits]"]
    lines.append(f"max_concurrent_checks = {2 * HEALTHY}\nmax_concurrent_per_host = {2 * HEALTHY}")
    lines += [
        f'[monitors.healthy-{number}]\nurl = "http://127.0.0.1:{healthy_port}/{number}"'
        for number in range(HEALTHY)
    ]
    # A condition on the body: it is received, decompressed and searched up to its limits.
    lines += [
        f'[monitors.hostile-{kind}]\nurl = "http://127.0.0.1:{port}/"\nup_when = ["body contains \'never\'"]'
        for kind, port in ports.items()
    ]
    return "\n".join(lines)


def window(folder: Path, journal: Path, kinds: Sequence[str], seconds: float) -> Window:
    folder.mkdir()
    healthy_port, ports = free_port(), {kind: free_port() for kind in kinds}
    peers = [PYTHON, "-m", "bench.hostile_peers", str(healthy_port)]
    peers += [f"{kind}={port}" for kind, port in ports.items()]
    with (
        running(peers, folder, "peers"),
        daemon(folder / "daemon", _config(healthy_port, ports), journal=journal) as monitord,
    ):
        began, cpu, waited = time.monotonic(), cpu_s(monitord.pid), waited_s(monitord.pid)
        time.sleep(seconds)
        elapsed_s = time.monotonic() - began
        return Window(
            monitord.ask.get("/status"),
            monitord.ask.get("/monitors?limit=500")["monitors"],
            memory_of(monitord.pid).peak_rss / MIB,
            (cpu_s(monitord.pid) - cpu) / elapsed_s,
            (waited_s(monitord.pid) - waited) / elapsed_s,
        )


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seconds", type=float, default=60.0, help="of one window")


def main(options: argparse.Namespace) -> str:
    with tempfile.TemporaryDirectory() as name, journal_sink(Path(name)) as journal:
        seen = {
            case: window(Path(name) / f"case{number}", journal, kinds, options.seconds)
            for number, (case, kinds) in enumerate(CASES.items())
        }
    return f"{_table(seen)}\n\n{_reasons(seen['all kinds'])}"


def _table(seen: dict[str, Window]) -> str:
    rows = []
    for case, found in seen.items():
        lateness = found.status["checks"]["lateness_s"]
        stall_ms = found.status["event_loop"]["max_lag_s"] * 1e3
        healthy = [monitor for monitor in found.monitors if monitor["name"].startswith("healthy")]
        rows.append(
            (
                case,
                f"{sum(monitor['state'] == 'up' for monitor in healthy)} of {HEALTHY}",
                found.status["checks"]["total"],
                f"{lateness['p99'] * 1e3:.0f}",
                f"{lateness['max'] * 1e3:.0f}",
                f"{stall_ms:.0f}",
                f"{found.peak_mib:.0f}",
                f"{found.cores:.2f}",
                f"{found.waited_s * 1e3:.0f}",
            )
        )
    heads = (
        "hostile servers",
        "healthy monitors up",
        "checks",
        "lateness p99, ms",
        f"lateness max, ms (goal {GOAL_LATE_S * 1e3:.0f})",
        "longest stall of the event loop, ms",
        f"peak RSS, MiB (goal {GOAL_MEMORY_MIB})",
        "cores used",
        "waited for a core, ms per s",
    )
    return markdown(heads, rows)


def _reasons(seen: Window) -> str:
    hostile = [monitor for monitor in seen.monitors if monitor["name"].startswith("hostile")]
    return markdown(
        ("hostile server", "state", "reason", "result"),
        [
            (
                monitor["name"].removeprefix("hostile-"),
                monitor["state"],
                monitor["last_result"]["reason"],
                monitor["last_result"]["outcome"],
            )
            for monitor in hostile
        ],
    )
