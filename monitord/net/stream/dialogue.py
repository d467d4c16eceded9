"""A dialogue by steps on a stream: send this, expect that, go over to TLS.

What is expected is searched for in each line as it comes, without its end. A last line that has not ended is
searched as well, since a prompt never ends; before TLS only lines that ended count. What stood before a match is
passed over.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from monitord.net.base.errors import Ended, FailureKind
from monitord.net.stream.client import Stream

MAX_SEARCH_S = 0.25
"""CPU time of all searches of a dialogue."""
SEARCH_AT_ONCE_S = 0.01
"""CPU time after which other tasks get their turn."""


@dataclass(frozen=True, slots=True)
class Send:
    data: bytes


@dataclass(frozen=True, slots=True)
class Expect:
    """`is_in` says whether a line is what was waited for; None: it would be too much work to find out."""

    is_in: Callable[[str], bool | None]


@dataclass(frozen=True, slots=True)
class StartTls:
    pass


Step = Send | Expect | StartTls


class Dialogue:
    """One run of the steps. After an end that is none, it can tell which step it was in and what had come."""

    def __init__(self, steps: Sequence[Step]) -> None:
        self._steps = tuple(steps)
        self._search_left_s = MAX_SEARCH_S
        self._searched_at_once_s = 0.0
        self._began_at_byte = 0
        self.index = 0
        """Of the step under way."""

    async def talk(self, stream: Stream) -> None:
        """Raises Ended or OSError, as the stream does."""
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
                    ended_only = bool(following) and isinstance(following[0], StartTls)
                    await self._expect(stream, step, ended_only=ended_only)

    def heard(self, received: bytes) -> bytes:
        """Of all that was received, what came since the step under way began."""
        return received[self._began_at_byte :]

    async def _expect(self, stream: Stream, expected: Expect, *, ended_only: bool) -> None:
        while not await self._is_met(stream, expected, ended_only=ended_only):
            if not await stream.receive():
                raise Ended(FailureKind.RESET, "the peer closed the connection without an answer")

    async def _is_met(self, stream: Stream, expected: Expect, *, ended_only: bool) -> bool:
        while (line := stream.take_line()) is not None:
            if await self._search(expected, line):
                return True
        rest = stream.pending
        if ended_only or not rest or not await self._search(expected, rest):
            return False
        stream.take_all()
        return True

    async def _search(self, expected: Expect, line: bytes) -> bool:
        began_s = time.thread_time()
        found = expected.is_in(line.decode(errors="replace"))
        spent_s = time.thread_time() - began_s
        self._search_left_s -= spent_s
        self._searched_at_once_s += spent_s
        if self._searched_at_once_s > SEARCH_AT_ONCE_S:
            self._searched_at_once_s = 0.0
            await asyncio.sleep(0)
        if found is None or (not found and self._search_left_s < 0):
            raise Ended(FailureKind.TOO_LARGE, "what the peer said is too much to search")
        return found
