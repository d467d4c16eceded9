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


class Bed:
    def __init__(self) -> None:
        self.written: list[tuple[str, bytes]] = []
        self._queue = SendQueue(asyncio.get_running_loop())

    def buffer(self, name: str) -> WriteBuffer:
        return WriteBuffer(cast(asyncio.Transport, Wire(name, self.written)), self._queue)


@pytest.fixture
async def bed() -> Bed:
    return Bed()


async def test_writes_of_one_iteration_are_joined(bed: Bed) -> None:
    first, second = bed.buffer("one"), bed.buffer("other")
    first.add(b"a")
    second.add(b"b")
    first.add(b"c")
    assert bed.written == []
    await asyncio.sleep(0)
    assert bed.written == [("one", b"ac"), ("other", b"b")]


async def test_writes_of_the_next_iteration_are_separate(bed: Bed) -> None:
    buffer = bed.buffer("one")
    buffer.add(b"a")
    await asyncio.sleep(0)
    buffer.add(b"b")
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert bed.written == [("one", b"a"), ("one", b"b")]


async def test_large_write_is_sent_at_once_after_waiting_ones(bed: Bed) -> None:
    buffer = bed.buffer("one")
    much = bytes(WRITE_AHEAD_BYTES + 1)
    buffer.add(b"head")
    buffer.add(much)
    assert [len(data) for _, data in bed.written] == [4, len(much)]
    assert bed.written[1][1] is much
    buffer.add(b"next")
    await asyncio.sleep(0)
    assert bed.written[2:] == [("one", b"next")]


async def test_many_small_writes_are_sent_early(bed: Bed) -> None:
    buffer = bed.buffer("one")
    piece = bytes(WRITE_AHEAD_BYTES // 4)
    for _ in range(6):
        buffer.add(piece)
    assert bed.written
    await asyncio.sleep(0)
    assert sum(len(data) for _, data in bed.written) == 6 * len(piece)


async def test_flushed_data_is_not_sent_again(bed: Bed) -> None:
    buffer = bed.buffer("one")
    buffer.add(b"a")
    buffer.flush()
    buffer.flush()
    buffer.add(b"b")
    await asyncio.sleep(0)
    assert bed.written == [("one", b"a"), ("one", b"b")]


async def test_dropped_data_is_not_sent(bed: Bed) -> None:
    first, second = bed.buffer("one"), bed.buffer("other")
    first.add(b"a")
    second.add(b"b")
    first.drop()
    await asyncio.sleep(0)
    assert bed.written == [("other", b"b")]


async def test_responses_of_many_connections_are_sent_early(bed: Bed) -> None:
    buffers = [bed.buffer(str(number)) for number in range(TURN_RESPONSES + 1)]
    for buffer in buffers:
        buffer.add(b"a")
    assert [name for name, _ in bed.written] == [str(number) for number in range(TURN_RESPONSES)]
    await asyncio.sleep(0)
    assert [name for name, _ in bed.written[TURN_RESPONSES:]] == [str(TURN_RESPONSES)]
