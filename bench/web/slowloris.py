"""Effect of connections that never finish their head: latency with and without them, alternating."""

import argparse
import asyncio
import resource
import statistics
import time
from contextlib import ExitStack

from servers import free_port, hello, running

PEERS = ("monitord", "aiohttp", "starlette", "sanic")
ASKING = b"GET /answer HTTP/1.1\r\nHost: localhost\r\n\r\n"
DRIP_S = 1.0
BETWEEN_S = 0.002
DEADLINE_S = 10.0


class _Drip:
    """A connection that sends a head byte by byte, and reconnects when it is closed."""

    def __init__(self, port: int) -> None:
        self._port = port

    async def run(self, phase_s: float) -> None:
        await asyncio.sleep(phase_s)
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", self._port, limit=4096)
            except OSError:
                await asyncio.sleep(DRIP_S)
                continue
            try:
                writer.write(b"GET /answer HTTP/1.1\r\nHost: localhost\r\nX-Drip: ")
                while not writer.transport.is_closing():
                    await asyncio.sleep(DRIP_S)
                    writer.write(b"a")
            finally:
                writer.transport.abort()


async def _latencies_s(port: int, seconds: float) -> list[float]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    found = []
    ends_at = time.monotonic() + seconds
    try:
        while time.monotonic() < ends_at:
            began = time.perf_counter()
            writer.write(ASKING)
            async with asyncio.timeout(DEADLINE_S):
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().partition(b"content-length:")[2].split()[0])
                await reader.readexactly(length)
            found.append(time.perf_counter() - began)
            await asyncio.sleep(BETWEEN_S)
    finally:
        writer.transport.abort()
    return found


async def _attacked(port: int, attackers: int, seconds: float) -> list[float]:
    tasks = [asyncio.create_task(_Drip(port).run(DRIP_S * number / attackers)) for number in range(attackers)]
    try:
        await asyncio.sleep(2 * DRIP_S)
        return await _latencies_s(port, seconds)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _p99_ms(found: list[float]) -> float:
    return statistics.quantiles(found, n=100)[98] * 1000


def main(options: argparse.Namespace) -> str:
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    how = f"{options.rounds} rounds of {options.seconds:g} s, client and attackers in one process"
    lines = [
        f"One client sends requests in a loop, alone and together with {options.attackers:,} clients"
        f" that send a byte per second each ({how}):",
        "",
        "| server | p50 alone, ms | p50 attacked | p99 alone | p99 attacked |",
        "|---|---|---|---|---|",
    ]
    alone: dict[str, list[float]] = {peer: [] for peer in options.peers}
    attacked: dict[str, list[float]] = {peer: [] for peer in options.peers}
    with ExitStack() as stack:
        ports = {peer: free_port() for peer in options.peers}
        for peer, port in ports.items():
            stack.enter_context(running(hello(peer, "asyncio", port), port))
        for _ in range(options.rounds):
            for peer, port in ports.items():
                alone[peer] += asyncio.run(_latencies_s(port, options.seconds))
                attacked[peer] += asyncio.run(_attacked(port, options.attackers, options.seconds))
    for peer in options.peers:
        medians = [statistics.median(found) * 1000 for found in (alone[peer], attacked[peer])]
        tails = [_p99_ms(found) for found in (alone[peer], attacked[peer])]
        lines.append(f"| {peer} | {medians[0]:.2f} | {medians[1]:.2f} | {tails[0]:.2f} | {tails[1]:.2f} |")
    return "\n".join([*lines, ""])


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--attackers", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--peers", nargs="+", default=list(PEERS), choices=PEERS)
