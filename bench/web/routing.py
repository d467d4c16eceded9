"""Cost of the number of literal routes: requests for the last route after few and after many others."""

import argparse
import statistics

from servers import free_port, hello, running
from throughput import measure

PEERS = ("monitord", "aiohttp", "starlette", "sanic")


def main(options: argparse.Namespace) -> str:
    costs_us: dict[tuple[str, int], list[float]] = {}
    for _ in range(options.rounds):
        for peer in options.peers:
            for routes in options.routes:
                port = free_port()
                with running(hello(peer, "asyncio", port, routes), port) as process:
                    rate = measure(port, process.pid, seconds=options.seconds, connections=32)
                    costs_us.setdefault((peer, routes), []).append(rate.cpu_us)
    few = options.routes[0]
    head = " | ".join(f"{routes:,} routes" for routes in options.routes)
    how = f"medians of {options.rounds} rounds of {options.seconds} s, asyncio"
    lines = [
        f"CPU of a request for the last of so many literal routes, relative to {few} ({how}):",
        "",
        f"| server | {head} |",
        "|---|" + "---|" * len(options.routes),
    ]
    for peer in options.peers:
        base = statistics.median(costs_us[peer, few])
        cells = " | ".join(
            f"{statistics.median(costs_us[peer, routes]) / base:.2f}" for routes in options.routes
        )
        lines.append(f"| {peer} | {cells} |")
    return "\n".join([*lines, ""])


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--routes", type=int, nargs="+", default=[10, 100, 10_000])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=2)
    parser.add_argument("--peers", nargs="+", default=list(PEERS), choices=PEERS)
