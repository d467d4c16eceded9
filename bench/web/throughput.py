"""Requests per second on one core. The peers alternate, so that other load affects all of them."""

import argparse
import os
import re
import statistics
import subprocess
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from servers import CLIENT_CORE, HERE, free_port, hello, need, running

PEERS = ("bare", "monitord", "aiohttp", "starlette", "sanic", "monitord-debian", "aiohttp-debian")
LOOPS = ("asyncio", "uvloop")
BASE = "monitord"
WARM_S = 1

_RATE = re.compile(r"^Requests/sec:\s+([0-9.]+)", re.MULTILINE)
_COUNT = re.compile(r"^\s*([0-9]+) requests in", re.MULTILINE)
_FAILED = re.compile(r"^\s*(?:Non-2xx or 3xx responses: (\d+)|Socket errors: (.*))", re.MULTILINE)
_TICK_S = 1 / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Rate:
    """`cpu_us` is the CPU time of the server per request, which other load affects less than the rate."""

    per_s: float
    cpu_us: float


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * _TICK_S


def measure(port: int, pid: int, *, seconds: int, connections: int, varies: bool = False) -> Rate:
    command = [
        "taskset",
        "-c",
        str(CLIENT_CORE),
        need("wrk", "wrk"),
        "-t1",
        f"-c{connections}",
        f"-d{seconds}s",
    ]
    if varies:
        command += ["-s", str(HERE / "vary.lua")]
    before_s = _cpu_s(pid)
    output = subprocess.run(
        [*command, f"http://127.0.0.1:{port}/answer"], check=True, capture_output=True, text=True
    ).stdout
    used_s = _cpu_s(pid) - before_s
    rate, count = _RATE.search(output), _COUNT.search(output)
    if rate is None or count is None or count[1] == "0" or _FAILED.search(output):
        raise RuntimeError(f"{port}: wrk says:\n{output}")
    return Rate(float(rate[1]), used_s / int(count[1]) * 1e6)


def _lines(rates: dict[str, list[Rate]]) -> list[str]:
    lines = [
        "| server | requests/s, median | min to max | CPU per request, us | ratio of rates | ratio of CPU |",
        "|---|---|---|---|---|---|",
    ]
    for peer, theirs in rates.items():
        # Of each round its own ratio: a round in which the machine was busy slows both.
        pairs = list(zip(rates[BASE], theirs, strict=True))
        by_rate = statistics.median(our.per_s / their.per_s for our, their in pairs)
        by_cpu = statistics.median(their.cpu_us / our.cpu_us for our, their in pairs)
        per_s = [rate.per_s for rate in theirs]
        cpu_us = statistics.median(rate.cpu_us for rate in theirs)
        lines.append(
            f"| {peer} | {statistics.median(per_s):,.0f} | {min(per_s):,.0f} to {max(per_s):,.0f}"
            f" | {cpu_us:.1f} | {by_rate:.2f} | {by_cpu:.2f} |"
        )
    return lines


def main(options: argparse.Namespace) -> str:
    lines = []
    for loop in options.loops:
        rates: dict[str, list[Rate]] = {peer: [] for peer in options.peers}
        with ExitStack() as stack:
            servers: dict[str, tuple[int, int]] = {}
            for peer in options.peers:
                port = free_port()
                servers[peer] = port, stack.enter_context(running(hello(peer, loop, port), port)).pid
            for port, pid in servers.values():
                measure(port, pid, seconds=WARM_S, connections=options.connections, varies=options.vary)
            for _ in range(options.rounds):
                for peer, (port, pid) in servers.items():
                    rates[peer].append(
                        measure(
                            port,
                            pid,
                            seconds=options.seconds,
                            connections=options.connections,
                            varies=options.vary,
                        )
                    )
        how = f"{options.connections} connections, {options.rounds} rounds of {options.seconds} s"
        how += ", heads that differ" if options.vary else ""
        lines += [f"{loop}, {how}, server and client on a core each:", "", *_lines(rates), ""]
    return "\n".join(lines)


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=int, default=2, help="of one measurement")
    parser.add_argument("--vary", action="store_true", help="each request has a different head")
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--loops", nargs="+", default=list(LOOPS), choices=LOOPS)
    parser.add_argument("--peers", nargs="+", default=list(PEERS), choices=PEERS)
