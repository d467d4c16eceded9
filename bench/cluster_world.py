"""The servers that a cluster monitors: each can fail for all locations, or for some of them, as broken routes do."""

import asyncio
import contextlib
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum

from bench.cluster_judge import Outage
from tests.servers import Peer

SUBNET = "10.78.0.0/16"
"""Each server has its own address, as a location is isolated only if most of its hosts fail."""
PORT = 80
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
UNAVAILABLE = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"


class Failure(Enum):
    """The behaviour of a server that is down."""

    ERROR = "503"
    RESET = "reset"
    SILENT = "no response"


@dataclass(frozen=True, slots=True)
class Length:
    """Of an outage, in seconds. `is_due`: from its notification, otherwise from its beginning."""

    least_s: float
    most_s: float
    is_due: bool


APART_S = 30.0
"""From the end of an outage until the next one of the same server, so that it is clear to which an alert belongs."""
HELD = Length(0.0, 10.0, is_due=True)
SHORT = Length(1.0, 20.0, is_due=False)
LONG = Length(15.0, 30.0, is_due=False)


class World:
    """`locations`: the subnet of each. `outages`: all that there have been."""

    def __init__(self, monitors: int, locations: dict[str, str], rng: random.Random) -> None:
        self.names = [f"m{number:04}" for number in range(monitors)]
        self.outages: list[Outage] = []
        self._location_of = {subnet: name for name, subnet in locations.items()}
        self._rng = rng
        self._down: dict[str, tuple[Outage, Failure]] = {}
        self._free_at_s: dict[str, float] = {}

    def url(self, name: str) -> str:
        number = int(name.removeprefix("m"))
        return f"http://10.78.{number // 250}.{number % 250 + 1}:{PORT}/{name}"

    def choose(self) -> tuple[str, frozenset[str], Length] | None:
        """Choose monitor, locations and length of the next outage. None: all servers have had one just now."""
        now_s = time.monotonic()
        free = [
            name for name in self.names if name not in self._down and self._free_at_s.get(name, 0.0) <= now_s
        ]
        if not free:
            return None
        name = self._rng.choice(free)
        every = sorted(self._location_of.values())
        kind = self._rng.random()
        if kind < 0.4:
            return name, frozenset(every), HELD
        if kind < 0.6:
            return name, frozenset(self._rng.sample(every, len(every) // 2 + 1)), HELD
        if kind < 0.8:
            return name, frozenset(self._rng.sample(every, 1)), LONG
        return name, frozenset(self._rng.sample(every, self._rng.randint(1, len(every)))), SHORT

    def begin(self, name: str, locations: frozenset[str], *, is_due: bool = False) -> Outage:
        """Let a server fail for the clients at these locations."""
        outage = Outage(name, locations, datetime.now(UTC), is_due=is_due)
        self._down[name] = outage, self._rng.choice(list(Failure))
        self.outages.append(outage)
        return outage

    def end(self, outage: Outage) -> None:
        outage.ended_at = datetime.now(UTC)
        del self._down[outage.monitor]
        self._free_at_s[outage.monitor] = time.monotonic() + APART_S

    @property
    def is_whole(self) -> bool:
        return not self._down

    async def answer(self, peer: Peer) -> None:
        address: Sequence[str] = peer.writer.get_extra_info("peername")
        location = self._location_of[address[0].rpartition(".")[0]]
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                name = (await peer.request()).target.removeprefix("/")
                outage, failure = self._down.get(name, (None, Failure.ERROR))
                if outage is None or location not in outage.locations:
                    await peer.send(OK)
                elif failure is Failure.ERROR:
                    await peer.send(UNAVAILABLE)
                elif failure is Failure.RESET:
                    peer.reset()
                    return
                else:
                    await peer.reader.read()  # until the daemon closes the connection
                    return
