"""A dialogue on a stream: steps that send data, expect data, or start TLS.

An expected text is searched for in each received line, without the line end. An incomplete last line is searched too,
as a prompt has no line end; before TLS, only complete lines are searched. Data before a match is skipped.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from monitord.net.base.errors import ExchangeError, FailureKind

MAX_SEARCH_S = 0.25
"""The limit of the CPU time of all searches of a dialogue."""
SEARCH_AT_ONCE_S = 0.01
"""CPU time of searches after which other tasks run."""


@dataclass(frozen=True, slots=True)
class Send:
    data: bytes


@dataclass(frozen=True, slots=True)
class Expect:
    """Wait for a line. `is_in` returns whether a line matches; None if the search would take too long."""

    is_in: Callable[[str], bool | None]


@dataclass(frozen=True, slots=True)
class StartTls:
    pass


Step = Send | Expect | StartTls


class Conversation(Protocol):
    """The connection of a dialogue: a `Stream`, or messages on one. Its methods raise ExchangeError or OSError."""

    taken: int

    @property
    def pending(self) -> bytes: ...
    def take_line(self) -> bytes | None: ...
    def take_all(self) -> None: ...
    async def receive(self) -> bool: ...
    async def send(self, data: bytes) -> None: ...
    async def start_tls(self) -> None: ...


class Dialogue:
    """One run of the steps. After a failure, `index` is the current step and `received_in_step` returns its data."""

    def __init__(self, steps: Sequence[Step]) -> None:
        self._steps = tuple(steps)
        self._search_left_s = MAX_SEARCH_S
        self._searched_at_once_s = 0.0
        self._began_at_byte = 0
        self.index = 0
        """The index of the current step."""

    async def run(self, stream: Conversation) -> None:
        """Run the steps. Raises ExchangeError or OSError, as the stream does."""
        for index, step in enumerate(self._steps):
            self.index = index
            self._began_at_byte = stream.taken
            match step:
                case Send(data):
                    await stream.send(data)
                case StartTls():
                    await stream.start_tls()
                case Expect():
                    following = self._steps[index + 1 : index + 2]
                    complete_only = bool(following) and isinstance(following[0], StartTls)
                    while not await self._is_met(stream, step, complete_only=complete_only):
                        if not await stream.receive():
                            raise ExchangeError(
                                FailureKind.RESET,
                                "the peer closed the connection before the expected response",
                            )

    def received_in_step(self, received: bytes) -> bytes:
        """Return the part of all received data that arrived since the current step began."""
        return received[self._began_at_byte :]

    async def _is_met(self, stream: Conversation, expected: Expect, *, complete_only: bool) -> bool:
        while (line := stream.take_line()) is not None:
            if await self._search(expected, line):
                return True
        rest = stream.pending
        if complete_only or not rest or not await self._search(expected, rest):
            return False
        stream.take_all()
        return True

    async def _search(self, expected: Expect, line: bytes) -> bool:
        began_s = time.thread_time()
        is_match = expected.is_in(line.decode(errors="replace"))
        spent_s = time.thread_time() - began_s
        self._search_left_s -= spent_s
        self._searched_at_once_s += spent_s
        if self._searched_at_once_s > SEARCH_AT_ONCE_S:
            self._searched_at_once_s = 0.0
            await asyncio.sleep(0)
        if is_match is None or (not is_match and self._search_left_s < 0):
            raise ExchangeError(FailureKind.TOO_LARGE, "the response takes too long to search")
        return is_match
