"""Memory of an idle connection: many connections are opened, each sends one request, and all remain open."""

import argparse
import asyncio
import os
import resource

from servers import free_port, hello, resident_bytes, running

PEERS = ("monitord", "monitord-debian", "aiohttp", "starlette", "sanic")
OPENED_AT_ONCE = 100
ASKING = b"GET /answer HTTP/1.1\r\nHost: localhost\r\n\r\n"
DEADLINE_S = 60.0
SETTLE_S = 1.0


async def _open(port: int, gate: asyncio.Semaphore) -> asyncio.StreamWriter:
    async with gate, asyncio.timeout(DEADLINE_S):
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=4096)
        writer.write(ASKING)
        await reader.readuntil(b"\r\n\r\n")
        return writer


async def _hold(port: int, pid: int, count: int) -> float:
    gate = asyncio.Semaphore(OPENED_AT_ONCE)
    # Permanent allocations that the first connections cause do not belong to these connections.
    warm = await asyncio.gather(*(_open(port, gate) for _ in range(OPENED_AT_ONCE)))
    await asyncio.sleep(SETTLE_S)
    before = resident_bytes(pid)
    held = await asyncio.gather(*(_open(port, gate) for _ in range(count)))
    await asyncio.sleep(SETTLE_S)
    after = resident_bytes(pid)
    if len(os.listdir(f"/proc/{pid}/fd")) < count:  # noqa: PTH208 - how many is all that is asked
        raise RuntimeError("the server has closed some of the idle connections")
    for writer in (*warm, *held):
        writer.transport.abort()
    return (after - before) / count


def main(options: argparse.Namespace) -> str:
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    count = min(options.count, most - 1000)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    lines = [
        f"{count:,} idle connections, each after one request; memory that the server process allocated for one:",
        "",
        "| server | loop | bytes a connection |",
        "|---|---|---|",
    ]
    for loop in ("asyncio", "uvloop"):
        for peer in options.peers:
            port = free_port()
            with running(hello(peer, loop, port), port) as process:
                each = asyncio.run(_hold(port, process.pid, count))
            lines.append(f"| {peer} | {loop} | {each:,.0f} |")
    return "\n".join([*lines, ""])


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--peers", nargs="+", default=list(PEERS), choices=PEERS)
