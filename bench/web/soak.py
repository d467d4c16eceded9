"""Random load with aborts on TCP and Unix sockets for a few minutes, which must leave no task, socket or memory.

The load rests from time to time until every deadline of the server has passed; its resources at that time are compared.
"""

import argparse
import asyncio
import http.client
import json
import random
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from servers import PEERS, SYSTEM_PYTHON, free_port, peers_python, running

WORKERS = 64
WARM_RESTS = 2  # until then caches fill and the allocator finds its size
REST_S = 3.0  # longer than the longest deadline of soaked.py
EXCHANGE_DEADLINE_S = 5.0
PATIENCE_S = 0.3
MAX_GROWTH_KIB = 4096
MAX_GROWTH_BLOCKS = 2000


def _request(method: str, target: str, *fields: str, content: bytes = b"") -> bytes:
    lines = [f"{method} {target} HTTP/1.1", "Host: localhost", *fields]
    return "\r\n".join([*lines, "", ""]).encode() + content


def _requests(chance: random.Random) -> bytes:
    content = chance.randbytes(chance.choice((0, 10, 1000, 100_000)))
    coded = b"".join(
        b"%x;a=b\r\n%b\r\n" % (len(piece), piece) for piece in (content[:5000], content[5000:]) if piece
    )
    return chance.choice(
        (
            _request("GET", "/answer"),
            _request("GET", f"/items/{chance.getrandbits(32)}"),
            _request("HEAD", "/answer"),
            _request("OPTIONS", "*"),
            _request("GET", "/missing"),
            _request("DELETE", "/answer"),
            _request("GET", "/slow"),
            _request("GET", "/boom"),
            _request("GET", "/stream"),
            _request("GET", "/endless"),
            _request("GET", "/answer", "Connection: close"),
            _request("GET", "/answer", "Connection: Upgrade", "Upgrade: websocket"),
            _request("POST", "/echo", f"Content-Length: {len(content)}", content=content),
            _request("POST", "/unread", f"Content-Length: {len(content)}", content=content),
            _request(
                "POST", "/echo", "Transfer-Encoding: chunked", content=coded + b"0\r\nX-Trailer: 1\r\n\r\n"
            ),
            _request("POST", "/echo", "Content-Length: 5", "Expect: 100-continue"),
            _request("POST", "/echo", "Content-Length: 9999999999"),
            _request(
                "GET", "/answer", *(f"X-{number}: {'a' * 500}" for number in range(chance.randrange(200)))
            ),
            chance.randbytes(50) + b"\r\n\r\n",
        )
    )


def _traffic(chance: random.Random) -> bytes:
    data = b"".join(_requests(chance) for _ in range(chance.choice((1, 1, 1, 2, 5, 20))))
    if chance.random() < 0.2:
        data = data[: chance.randrange(len(data) + 1)]
    if chance.random() < 0.1:
        spoilt = bytearray(data or b"x")
        spoilt[chance.randrange(len(spoilt))] = chance.randrange(256)
        data = bytes(spoilt)
    return data


@dataclass(frozen=True, slots=True)
class _Target:
    port: int
    path: str

    async def open(self, chance: random.Random) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if chance.random() < 0.5:
            return await asyncio.open_connection("127.0.0.1", self.port)
        return await asyncio.open_unix_connection(self.path)


async def _read(reader: asyncio.StreamReader, most: int) -> None:
    while most > 0 and (data := await reader.read(65536)):
        most -= len(data)


async def _exchange(target: _Target, chance: random.Random) -> None:
    """A connection that sends its traffic in random pieces, reads a part of the responses, and ends in a random way."""
    reader, writer = await target.open(chance)
    try:
        async with asyncio.timeout(chance.choice((PATIENCE_S, PATIENCE_S, EXCHANGE_DEADLINE_S))):
            data = _traffic(chance)
            while data:
                cut = chance.choice((1, 10, 1000, len(data)))
                writer.write(data[:cut])
                data = data[cut:]
                if chance.random() < 0.05:
                    await asyncio.sleep(chance.random() * 0.05)
                if chance.random() < 0.02:
                    return
                await writer.drain()
            ending = chance.random()
            if ending < 0.2:
                return
            if ending < 0.4:
                writer.write_eof()
            if ending < 0.5:
                await asyncio.sleep(chance.random() * 0.2)
                return
            await _read(reader, chance.choice((1, 100, 100_000, 10_000_000)))
    except (OSError, TimeoutError):
        pass
    finally:
        if chance.random() < 0.5:
            writer.transport.abort()
        else:
            writer.close()


async def _load(target: _Target, chance: random.Random, seconds: float) -> int:
    ends_at = time.monotonic() + seconds
    done = 0

    async def work() -> None:
        nonlocal done
        while time.monotonic() < ends_at:
            await _exchange(target, chance)
            done += 1

    async with asyncio.TaskGroup() as group:
        for _ in range(WORKERS):
            group.create_task(work())
    return done


def _held(port: int) -> dict[str, int]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10.0)
    try:
        connection.request("GET", "/held", headers={"Connection": "close"})
        found: dict[str, int] = json.loads(connection.getresponse().read())
        return found
    finally:
        connection.close()


def _left_behind(first: dict[str, int], last: dict[str, int]) -> list[str]:
    left = [
        f"{name}: {first[name]}, now {last[name]}"
        for name in ("tasks", "connections", "files")
        if last[name] > first[name]
    ]
    for name, most in (("kib", MAX_GROWTH_KIB), ("blocks", MAX_GROWTH_BLOCKS)):
        if last[name] - first[name] > most:
            left.append(f"{name}: {first[name]}, now {last[name]}")
    return left


def main(options: argparse.Namespace) -> str:
    """Check that nothing is left. Raises SystemExit otherwise."""
    chance = random.Random(options.seed)
    python = SYSTEM_PYTHON if options.debian else peers_python()
    with tempfile.TemporaryDirectory() as folder:
        target = _Target(free_port(), f"{folder}/socket")
        command = [python, str(PEERS / "soaked.py"), str(target.port), target.path, options.loop]
        with running(command, target.port):
            seen: list[dict[str, int]] = []
            connections = 0
            ends_at = time.monotonic() + options.minutes * 60
            while time.monotonic() < ends_at or len(seen) < WARM_RESTS + 2:
                connections += asyncio.run(_load(target, chance, min(options.minutes * 20, 30.0)))
                time.sleep(REST_S)
                seen.append(_held(target.port))
        is_unlinked = not Path(target.path).exists()
    seen = seen[WARM_RESTS:]
    left = _left_behind(seen[0], seen[-1]) + ([] if is_unlinked else ["the socket's file"])
    how = f"seed {options.seed}, {options.loop}"
    lines = [
        f"{connections:,} connections in {options.minutes:g} minutes ({how}), {len(seen)} rests:",
        "",
        "| held at | tasks | connections | files | blocks | KiB |",
        "|---|---|---|---|---|---|",
    ]
    for name, held in (("first rest", seen[0]), ("middle", seen[len(seen) // 2]), ("last rest", seen[-1])):
        lines.append(
            f"| {name} | "
            + " | ".join(str(held[key]) for key in ("tasks", "connections", "files", "blocks", "kib"))
            + " |"
        )
    lines += ["", f"Left behind: {'; '.join(left)}." if left else "Nothing is left behind.", ""]
    if left:
        raise SystemExit("\n".join(lines))
    return "\n".join(lines)


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--loop", choices=("asyncio", "uvloop"), default="asyncio")
    parser.add_argument("--debian", action="store_true", help="on the libraries of the distribution")
