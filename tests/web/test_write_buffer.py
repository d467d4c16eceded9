"""Collected writes: at the end of an iteration, in order, completely."""

import asyncio
from typing import cast

import pytest

from monitord.web.limits import TURN_RESPONSES, WRITE_AHEAD_BYTES
from monitord.web.write_buffer import SendQueue, WriteBuffer


class Wire:
    """A transport that records writes in a shared list."""

    def __init__(self, name: str, noted: list[tuple[str, bytes]]) -> None:
        self._name = name
        self._noted = noted

    def write(self, data: bytes) -> None:
        self._noted.append((self._name, data))


class Buffers:
    def __init__(self) -> None:
        self.written: list[tuple[str, bytes]] = []
        self._queue = SendQueue(asyncio.get_running_loop())

    def buffer(self, name: str) -> WriteBuffer:
        return WriteBuffer(cast(asyncio.Transport, Wire(name, self.written)), self._queue)


@pytest.fixture
async def buffers() -> Buffers:
    return Buffers()


async def test_writes_of_one_iteration_are_joined(buffers: Buffers) -> None:
    first, second = buffers.buffer("one"), buffers.buffer("other")
    first.add(b"a")
    second.add(b"b")
    first.add(b"c")
    assert buffers.written == []
    await asyncio.sleep(0)
    assert buffers.written == [("one", b"ac"), ("other", b"b")]


async def test_writes_of_the_next_iteration_are_separate(buffers: Buffers) -> None:
    buffer = buffers.buffer("one")
    buffer.add(b"a")
    await asyncio.sleep(0)
    buffer.add(b"b")
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert buffers.written == [("one", b"a"), ("one", b"b")]


async def test_large_write_is_sent_at_once_after_waiting_ones(buffers: Buffers) -> None:
    buffer = buffers.buffer("one")
    much = bytes(WRITE_AHEAD_BYTES + 1)
    buffer.add(b"head")
    buffer.add(much)
    assert [len(data) for _, data in buffers.written] == [4, len(much)]
    assert buffers.written[1][1] is much
    buffer.add(b"next")
    await asyncio.sleep(0)
    assert buffers.written[2:] == [("one", b"next")]


async def test_many_small_writes_are_sent_early(buffers: Buffers) -> None:
    buffer = buffers.buffer("one")
    piece = bytes(WRITE_AHEAD_BYTES // 4)
    for _ in range(6):
        buffer.add(piece)
    assert buffers.written
    await asyncio.sleep(0)
    assert sum(len(data) for _, data in buffers.written) == 6 * len(piece)


async def test_flushed_data_is_not_sent_again(buffers: Buffers) -> None:
    buffer = buffers.buffer("one")
    buffer.add(b"a")
    buffer.flush()
    buffer.flush()
    buffer.add(b"b")
    await asyncio.sleep(0)
    assert buffers.written == [("one", b"a"), ("one", b"b")]


async def test_dropped_data_is_not_sent(buffers: Buffers) -> None:
    first, second = buffers.buffer("one"), buffers.buffer("other")
    first.add(b"a")
    second.add(b"b")
    first.drop()
    await asyncio.sleep(0)
    assert buffers.written == [("other", b"b")]


async def test_responses_of_many_connections_are_sent_early(buffers: Buffers) -> None:
    for buffer in [buffers.buffer(str(number)) for number in range(TURN_RESPONSES + 1)]:
        buffer.add(b"a")
    assert [name for name, _ in buffers.written] == [str(number) for number in range(TURN_RESPONSES)]
    await asyncio.sleep(0)
    assert [name for name, _ in buffers.written[TURN_RESPONSES:]] == [str(TURN_RESPONSES)]
