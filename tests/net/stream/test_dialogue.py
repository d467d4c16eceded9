"""Steps on a stream: what counts as the line that was waited for, and what becomes of the rest."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable

import pytest

from monitord.net import FailureKind, Resolver, TlsContexts, TlsOptions
from monitord.net.stream.client import StreamClient, StreamOutcome, StreamTarget
from monitord.net.stream.dialogue import SEARCH_AT_ONCE_S, Dialogue, Expect, Send, StartTls, Step
from tests.certificates import Authority
from tests.net.conftest import in_time, soon
from tests.servers import Peer, serve
from tests.stream_servers import END, HANG, LINE, Act, Part


@pytest.fixture
async def client() -> AsyncIterator[StreamClient]:
    resolver = Resolver()
    yield StreamClient(resolver, TlsContexts())
    await resolver.close()


def line(wanted: str) -> Expect:
    return Expect(lambda found: found == wanted)


async def communicate(
    client: StreamClient, part: Part, *steps: Step, deadline: float | None = None
) -> tuple[StreamOutcome, Dialogue]:
    dialogue = Dialogue(steps)
    async with serve(part.play) as server:
        target = StreamTarget(host="127.0.0.1", port=server.port, tls=TlsOptions(verify=False))
        outcome = await client.run(target, dialogue.run, deadline=deadline or in_time())
        await server.is_reached.wait()
    return outcome, dialogue


async def test_steps_are_taken_in_order(client: StreamClient) -> None:
    part = Part(b"hello\r\n", LINE, b"noise\r\nyes\r\n", LINE, b"bye\n", END)
    outcome, _ = await communicate(
        client, part, line("hello"), Send(b"one\n"), line("yes"), Send(b"two\n"), line("bye")
    )
    assert (outcome.failure, part.received[:2]) == (None, [b"one\n", b"two\n"])
    assert outcome.received == b"hello\r\nnoise\r\nyes\r\nbye\n"


async def test_each_line_meets_one_expectation(client: StreamClient) -> None:
    part = Part(b"same\nsame\n", END)
    outcome, _ = await communicate(client, part, line("same"), line("same"))
    assert outcome.failure is None
    outcome, dialogue = await communicate(client, Part(b"same\n"), line("same"), line("same"))
    assert (outcome.failure, dialogue.index) == (FailureKind.RESET, 1)
    assert dialogue.received_in_step(outcome.received) == b""


async def test_lines_of_one_packet_are_separated(client: StreamClient) -> None:
    outcome, _ = await communicate(client, Part(b"a\r\nb\r\n\r\nc", HANG), line("b"), line(""), line("c"))
    assert outcome.failure is None


async def test_prompt_without_a_line_end_is_found(client: StreamClient) -> None:
    part = Part(b"welcome\r\nlogin: ", LINE, b"password: ", HANG)
    outcome, _ = await communicate(client, part, line("login: "), Send(b"me\n"), line("password: "))
    assert (outcome.failure, part.received) == (None, [b"me\n"])


async def test_line_in_several_packets_is_one_line(client: StreamClient) -> None:
    async def piecewise(peer: Peer) -> None:
        await peer.send(b"he")
        await peer.reader.readline()
        await peer.send(b"llo\n")

    dialogue = Dialogue([Expect(lambda found: found == "he"), Send(b"\n"), line("llo")])
    whole = Dialogue([Send(b"\n"), line("hello")])
    async with serve(piecewise) as server:
        target = StreamTarget(host="127.0.0.1", port=server.port)
        for conversation in (dialogue, whole):
            outcome = await client.run(target, conversation.run, deadline=in_time())
            assert outcome.failure is None


async def test_only_complete_lines_are_searched_before_tls(
    client: StreamClient, authority: Authority, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """The rest of a line that was read too early would be taken as the beginning of the handshake."""
    context = authority.issue("one.test", directory=tmp_path_factory.mktemp("tls")).server_context()
    seen: list[str] = []

    def begins_with_220(found: str) -> bool:
        seen.append(found)
        return found.startswith("220")

    async def slow(peer: Peer) -> None:
        await peer.send(b"220 g")
        await peer.reader.readline()
        await peer.send(b"o\r\n")
        await peer.writer.start_tls(context)
        await peer.send(b"in tls\n")
        await peer.reader.read()

    dialogue = Dialogue([Send(b"\n"), Expect(begins_with_220), StartTls(), line("in tls")])
    async with serve(slow) as server:
        target = StreamTarget(host="127.0.0.1", port=server.port, tls=TlsOptions(verify=False))
        outcome = await client.run(target, dialogue.run, deadline=in_time())
    assert (outcome.failure, seen) == (None, ["220 go"])
    assert outcome.tls is not None


@pytest.mark.parametrize(
    ("acts", "kind", "received"),
    [
        pytest.param(
            (b"hello\n554 no\n", HANG), FailureKind.TIMEOUT_RESPONSE, b"554 no\n", id="another-line"
        ),
        pytest.param((b"hello\n554", HANG), FailureKind.TIMEOUT_RESPONSE, b"554", id="half-a-line"),
        pytest.param((b"hello\n", HANG), FailureKind.TIMEOUT_RESPONSE, b"", id="silence"),
        pytest.param((b"hello\n554 no\n",), FailureKind.RESET, b"554 no\n", id="another-line-and-the-end"),
        pytest.param((b"hello\n",), FailureKind.RESET, b"", id="the-end"),
    ],
)
async def test_unexpected_response_is_reported(
    client: StreamClient, acts: tuple[bytes | Act, ...], kind: FailureKind, received: bytes
) -> None:
    outcome, dialogue = await communicate(client, Part(*acts), line("hello"), line("250 ok"), deadline=soon())
    assert (outcome.failure, dialogue.index, dialogue.received_in_step(outcome.received)) == (
        kind,
        1,
        received,
    )


def undecided(found: str) -> None:
    return None


def slow(found: str) -> bool:
    until_s = time.thread_time() + 0.1
    while time.thread_time() < until_s:
        pass
    return False


@pytest.mark.parametrize("is_in", [undecided, slow])
async def test_endless_search_is_stopped(client: StreamClient, is_in: Callable[[str], bool | None]) -> None:
    outcome, _ = await communicate(client, Part(b"a\nb\nc\nd\ne\nf\n", HANG), Expect(is_in))
    assert (outcome.failure, outcome.detail) == (
        FailureKind.TOO_LARGE,
        "the response takes too long to search",
    )


async def test_binary_data_is_searched(client: StreamClient) -> None:
    outcome, _ = await communicate(client, Part(b"\xff\x00\n", HANG), line("\N{REPLACEMENT CHARACTER}\0"))
    assert outcome.failure is None


async def test_other_tasks_run_while_lines_are_searched(client: StreamClient) -> None:
    """Even if much data of the peer is available at once."""
    turns = 0

    async def count_turns() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    turns_seen: list[int] = []

    def search_long(_: str) -> bool:
        turns_seen.append(turns)
        until_s = time.thread_time() + 2 * SEARCH_AT_ONCE_S
        while time.thread_time() < until_s:
            pass
        return False

    async with asyncio.TaskGroup() as group:
        counting = group.create_task(count_turns())
        await communicate(client, Part(b"a\nb\nc\nd\ne\n", END), Expect(search_long))
        counting.cancel()
    assert len(turns_seen) == len(set(turns_seen)) == 5
