"""Run a case against a server over a socket and check the response.

A case sends exact bytes, optionally in pieces, and a check looks at what was read. Nothing here knows
which server is at the other end: all it needs is an origin that serves the routes in `origin.py`.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum

from .reader import Answer, AnswerReader
from .rules import Level, Rule

CONNECT_DEADLINE_S = 5.0
CASE_DEADLINE_S = 10.0
INTERIM_DEADLINE_S = 2.0
GAP_S = 0.02
READ_BYTES = 65536
CASES_AT_ONCE = 48


class Closing(Enum):
    OPEN = "left open"
    ENDED = "closed"
    RESET = "reset"


class Pause(Enum):
    """An action between two pieces of bytes."""

    GAP = "let the bytes so far arrive alone"
    HALF_CLOSE = "send FIN, go on reading"
    INTERIM = "wait for an interim answer, though not for long"
    LISTEN = "start reading; until then nothing is read"


@dataclass(frozen=True, slots=True)
class Answers:
    """Wait until this number of final responses has been received."""

    count: int


@dataclass(frozen=True, slots=True)
class Later:
    """Bytes that depend on previous responses, such as an entity tag."""

    make: Callable[[list[Answer]], bytes]


Step = bytes | Pause | Answers | Later


@dataclass(slots=True)
class Outcome:
    """The observations. `events` is their order: "sent", "100", "200", "closed"."""

    answers: list[Answer]
    interim: list[Answer]
    complaint: str | None
    closing: Closing
    unfinished: Answer | None
    events: list[str]

    def statuses(self) -> list[int]:
        return [answer.status for answer in self.answers]

    def __str__(self) -> str:
        seen = " ".join(map(str, self.statuses())) or "no answer"
        return f"{seen}, {self.closing.value}" + (f", {self.complaint}" if self.complaint else "")


Check = Callable[[Outcome], str | None]


@dataclass(frozen=True, slots=True)
class Case:
    """`answers` and `closes` are awaited before the check.

    `is_hasty` cases need a server whose deadlines are short (see origin.py).
    """

    id: str
    rule: Rule
    script: Sequence[Step]
    check: Check = field(compare=False)
    answers: int = 1
    closes: bool = False
    methods: tuple[str, ...] = ()
    is_hasty: bool = False

    @property
    def section(self) -> str:
        return self.rule.section

    @property
    def level(self) -> Level:
        return self.rule.level


@dataclass(frozen=True, slots=True)
class Address:
    """The address of a server: a loopback port or the path of a Unix socket."""

    port: int = 0
    path: str = ""

    async def open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        async with asyncio.timeout(CONNECT_DEADLINE_S):
            if self.path:
                return await asyncio.open_unix_connection(self.path)
            return await asyncio.open_connection("127.0.0.1", self.port)


class Exchange:
    """A connection that runs one script."""

    def __init__(self, case: Case) -> None:
        self._case = case
        self._reader = AnswerReader(case.methods)
        self._closing = Closing.OPEN
        self._events: list[str] = []
        self._news = asyncio.Event()

    async def play(self, address: Address) -> Outcome:
        incoming, outgoing = await address.open()
        listening: asyncio.Task[None] | None = None
        if Pause.LISTEN not in self._case.script:
            listening = asyncio.create_task(self._listen(incoming))
        try:
            async with asyncio.timeout(CASE_DEADLINE_S):
                for step in self._case.script:
                    if self._closing is not Closing.OPEN:
                        break
                    if step is Pause.LISTEN:
                        listening = asyncio.create_task(self._listen(incoming))
                    else:
                        await self._do(step, outgoing)
                await self._wait(self._is_settled)
        except TimeoutError:
            pass  # the check reports what is missing after the deadline
        finally:
            if listening is not None:
                listening.cancel()
                await asyncio.gather(listening, return_exceptions=True)
            outgoing.transport.abort()
        return Outcome(
            self._reader.answers,
            self._reader.interim,
            self._reader.complaint,
            self._closing,
            self._reader.unfinished,
            self._events,
        )

    async def _do(self, step: Step, outgoing: asyncio.StreamWriter) -> None:
        match step:
            case bytes():
                await self._send(step, outgoing)
            case Later(make):
                await self._send(make(self._reader.answers), outgoing)
            case Pause.GAP:
                await asyncio.sleep(GAP_S)
            case Pause.HALF_CLOSE:
                try:
                    outgoing.write_eof()
                except OSError:
                    return
                self._events.append("half-closed")
            case Pause.INTERIM:
                try:
                    async with asyncio.timeout(INTERIM_DEADLINE_S):
                        await self._wait(lambda: bool(self._reader.interim or self._reader.answers))
                except TimeoutError:
                    self._events.append("waited")
            case Answers(count):
                await self._wait(lambda: len(self._reader.answers) >= count)
            case _:
                raise AssertionError(f"no such step: {step}")

    async def _send(self, data: bytes, outgoing: asyncio.StreamWriter) -> None:
        try:
            outgoing.write(data)
            await outgoing.drain()
        except ConnectionError:
            return  # the server may have closed already
        self._events.append("sent")

    async def _wait(self, is_reached: Callable[[], bool]) -> None:
        while not is_reached() and self._closing is Closing.OPEN and self._reader.complaint is None:
            self._news.clear()
            await self._news.wait()

    def _is_settled(self) -> bool:
        return len(self._reader.answers) >= self._case.answers and not self._case.closes

    async def _listen(self, incoming: asyncio.StreamReader) -> None:
        while self._closing is Closing.OPEN:
            before = len(self._reader.interim), len(self._reader.answers)
            try:
                data = await incoming.read(READ_BYTES)
            except ConnectionError:
                self._closing = Closing.RESET
            else:
                if data:
                    self._reader.feed(data)
                else:
                    self._reader.feed_eof()
                    self._closing = Closing.ENDED
            self._events.extend(str(answer.status) for answer in self._reader.interim[before[0] :])
            self._events.extend(str(answer.status) for answer in self._reader.answers[before[1] :])
            if self._closing is not Closing.OPEN:
                self._events.append("closed")
            self._news.set()


@dataclass(frozen=True, slots=True)
class Finding:
    """`complaint` is None when the case is met."""

    case: Case
    complaint: str | None


async def play(case: Case, address: Address) -> Finding:
    outcome = await Exchange(case).play(address)
    complaint = case.check(outcome)
    return Finding(case, None if complaint is None else f"{complaint} (seen: {outcome})")


async def play_all(cases: Sequence[Case], address: Address, hasty: Address | None = None) -> list[Finding]:
    """Return the findings in the order of the cases; without a hasty server its cases are skipped."""
    turns = asyncio.Semaphore(CASES_AT_ONCE)

    async def play_one(case: Case, server: Address) -> Finding:
        async with turns:
            return await play(case, server)

    return await asyncio.gather(
        *(
            play_one(case, hasty if case.is_hasty and hasty is not None else address)
            for case in cases
            if hasty is not None or not case.is_hasty
        )
    )
