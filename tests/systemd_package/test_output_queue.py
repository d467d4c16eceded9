import asyncio

import pytest

from monitord.systemd.output_queue import OutputQueue


class Gate:
    """A transport that accepts `room` items, or a part of each, and then none until `room` is set again."""

    def __init__(self, room: int = 0, *, bytes_per_write: int | None = None) -> None:
        self.room = room
        self.bytes_per_write = bytes_per_write
        self.error: OSError | None = None
        self.through: list[bytes] = []
        self.is_closed = False

    def write(self, item: bytes) -> bytes:
        if self.error is not None:
            raise self.error
        if self.room == 0:
            raise BlockingIOError
        self.room -= 1
        size = len(item) if self.bytes_per_write is None else self.bytes_per_write
        self.through.append(item[:size])
        return item[size:]

    def close(self) -> None:
        self.is_closed = True

    async def has_let_through(self, count: int) -> None:
        async with asyncio.timeout(10):
            while len(self.through) < count:  # noqa: ASYNC110 - like the kernel, the gate has no event
                await asyncio.sleep(0.005)


def queue_to(gate: Gate, *, max_items: int = 8, max_bytes: int = 1000) -> OutputQueue:
    return OutputQueue(gate, lambda count: b"lost %d" % count, max_items=max_items, max_bytes=max_bytes)


def test_item_is_written_at_once_if_possible() -> None:
    gate = Gate(room=10)
    output = queue_to(gate)
    output.put(b"a")
    output.put(b"b")
    assert gate.through == [b"a", b"b"]
    assert (output.queued, output.lost_total) == (0, 0)
    output.close()


def test_items_are_queued_in_order() -> None:
    gate = Gate()
    output = queue_to(gate)
    for item in (b"a", b"b", b"c"):
        output.put(item)
    assert output.queued == 3
    gate.room = 10
    output.put(b"d")
    assert gate.through == [b"a", b"b", b"c", b"d"]
    output.close()


def test_full_queue_discards_counts_and_reports_the_loss() -> None:
    gate = Gate()
    output = queue_to(gate, max_items=4)
    for number in range(10):
        output.put(b"%d" % number)
    assert (output.queued, output.lost_total) == (3, 7)
    gate.room = 10
    output.put(b"on")
    assert gate.through == [b"0", b"1", b"2", b"lost 7", b"on"]
    assert output.lost_total == 7
    output.close()


def test_queue_is_bounded_in_items_and_bytes() -> None:
    output = queue_to(Gate(), max_items=1000, max_bytes=100)
    for _ in range(20):
        output.put(b"x" * 10)
    assert (output.queued, output.lost_total) == (7, 13)
    output.close(grace_s=0)


def test_part_of_the_queue_is_reserved_for_urgent_items() -> None:
    gate = Gate()
    output = queue_to(gate, max_items=8)
    for _ in range(20):
        output.put(b"talk")
    output.put(b"down", is_urgent=True)
    assert output.queued == 7
    gate.room = 100
    output.close()
    assert gate.through == [b"talk"] * 6 + [b"down", b"lost 14"]


def test_report_of_a_loss_is_not_lost() -> None:
    gate = Gate()
    output = queue_to(gate, max_items=4)
    for _ in range(5):
        output.put(b"x")
    gate.room = 3  # all queued items, and no more
    output.put(b"y")
    assert gate.through == [b"x"] * 3
    assert output.lost_total == 2
    gate.room = 10
    output.close()
    assert gate.through == [b"x", b"x", b"x", b"lost 2", b"y"]


def test_partly_written_item_is_finished_before_the_next() -> None:
    gate = Gate(room=1, bytes_per_write=3)
    output = queue_to(gate)
    output.put(b"abcdef")
    output.put(b"ghi")
    gate.room = 10
    output.close()
    assert b"".join(gate.through) == b"abcdefghi"


def test_item_that_cannot_be_written_is_lost_and_delays_nothing() -> None:
    gate = Gate(room=10)
    output = queue_to(gate)
    gate.error = OSError("too large")
    output.put(b"x")
    assert (output.queued, output.lost_total) == (0, 1)
    gate.error = None
    output.put(b"y")
    assert gate.through == [b"lost 1", b"y"]
    output.close()


async def test_loop_retries_automatically() -> None:
    gate = Gate()
    output = queue_to(gate, max_items=4)
    output.attach(asyncio.get_running_loop())
    for number in range(5):
        output.put(b"%d" % number)
    gate.room = 10
    await gate.has_let_through(4)
    assert gate.through == [b"0", b"1", b"2", b"lost 2"]
    output.detach()
    output.close()


async def test_items_queued_before_the_loop_are_written_by_it() -> None:
    gate = Gate()
    output = queue_to(gate)
    output.put(b"early")
    gate.room = 10
    output.attach(asyncio.get_running_loop())
    await gate.has_let_through(1)
    assert gate.through == [b"early"]
    output.detach()
    output.close()


async def test_threads_share_a_queue_and_losses_are_counted() -> None:
    gate = Gate(room=50)
    output = queue_to(gate, max_items=100)
    output.attach(asyncio.get_running_loop())

    def talk(thread: int) -> None:
        for number in range(100):
            output.put(b"%d %d" % (thread, number))

    await asyncio.gather(*[asyncio.to_thread(talk, thread) for thread in range(4)])
    assert len(gate.through) + output.queued + output.lost_total == 400
    gate.room = 1000
    output.detach()
    output.close()
    assert len(gate.through) == 400 - output.lost_total + 1
    for thread in range(4):
        numbers = [int(item.split()[1]) for item in gate.through if item.startswith(b"%d " % thread)]
        assert numbers == sorted(numbers)


def test_item_put_during_a_write_follows_it() -> None:
    """A destructor can log during a write in the same thread."""
    gate = Gate(room=10)
    output = queue_to(gate)

    class PuttingGate(Gate):
        def write(self, item: bytes) -> bytes:
            if item == b"first":
                outer.put(b"second")
            return gate.write(item)

    outer = queue_to(PuttingGate())
    outer.put(b"first")
    assert gate.through == [b"first"]
    outer.put(b"third")
    assert gate.through == [b"first", b"second", b"third"]
    outer.close()
    output.close()


def test_close_ends_after_its_grace_period() -> None:
    gate = Gate()
    output = queue_to(gate)
    output.put(b"x")
    output.close(grace_s=0.02)
    output.close()
    assert gate.is_closed
    output.put(b"too late")
    assert output.lost_total == 1


async def test_loop_that_ended_without_detach_is_ignored() -> None:
    gate = Gate()
    output = queue_to(gate)
    ended = asyncio.new_event_loop()
    output.attach(ended)
    ended.close()
    output.put(b"a")
    gate.room = 10
    output.put(b"b")
    assert gate.through == [b"a", b"b"]
    output.close()


@pytest.mark.parametrize("backlog", [0, 3])
async def test_detach_cancels_the_timer(backlog: int) -> None:
    loop = asyncio.get_running_loop()
    gate = Gate()
    output = queue_to(gate)
    output.attach(loop)
    for _ in range(backlog):
        output.put(b"x")
    await asyncio.sleep(0)
    assert (output._timer is not None) == (backlog > 0)
    output.detach()
    assert output._timer is None
    gate.room = 10
    output.close()
    assert gate.through == [b"x"] * backlog
