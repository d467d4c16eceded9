import asyncio

import pytest

from monitord.systemd.outlet import Outlet


class Gate:
    """A way out that takes so many items, or so many bytes of one, and then none until it is opened again."""

    def __init__(self, room: int = 0, *, bytes_per_write: int | None = None) -> None:
        self.room = room
        self.bytes_per_write = bytes_per_write
        self.refusal: OSError | None = None
        self.through: list[bytes] = []
        self.is_closed = False

    def write(self, item: bytes) -> bytes:
        if self.refusal is not None:
            raise self.refusal
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
            while len(self.through) < count:  # noqa: ASYNC110 - the gate stands for the kernel and has no event
                await asyncio.sleep(0.005)


def outlet_to(gate: Gate, *, most_items: int = 8, most_bytes: int = 1000) -> Outlet:
    return Outlet(gate, lambda count: b"lost %d" % count, most_items=most_items, most_bytes=most_bytes)


def test_an_open_way_is_taken_at_once() -> None:
    gate = Gate(room=10)
    outlet = outlet_to(gate)
    outlet.put(b"a")
    outlet.put(b"b")
    assert gate.through == [b"a", b"b"]
    assert (outlet.kept, outlet.lost_total) == (0, 0)
    outlet.close()


def test_what_cannot_go_out_is_kept_in_order() -> None:
    gate = Gate()
    outlet = outlet_to(gate)
    for item in (b"a", b"b", b"c"):
        outlet.put(item)
    assert outlet.kept == 3
    gate.room = 10
    outlet.put(b"d")
    assert gate.through == [b"a", b"b", b"c", b"d"]
    outlet.close()


def test_without_room_it_drops_counts_and_tells_after_the_rest() -> None:
    gate = Gate()
    outlet = outlet_to(gate, most_items=4)
    for number in range(10):
        outlet.put(b"%d" % number)
    assert (outlet.kept, outlet.lost_total) == (3, 7)
    gate.room = 10
    outlet.put(b"on")
    assert gate.through == [b"0", b"1", b"2", b"lost 7", b"on"]
    assert outlet.lost_total == 7
    outlet.close()


def test_bytes_are_bounded_as_well_as_items() -> None:
    outlet = outlet_to(Gate(), most_items=1000, most_bytes=100)
    for _ in range(20):
        outlet.put(b"x" * 10)
    assert (outlet.kept, outlet.lost_total) == (7, 13)
    outlet.close(grace_s=0)


def test_urgent_items_find_room_when_small_talk_does_not() -> None:
    gate = Gate()
    outlet = outlet_to(gate, most_items=8)
    for _ in range(20):
        outlet.put(b"talk")
    outlet.put(b"down", is_urgent=True)
    assert outlet.kept == 7
    gate.room = 100
    outlet.close()
    assert gate.through == [b"talk"] * 6 + [b"down", b"lost 14"]


def test_the_word_of_what_was_lost_is_not_lost_itself() -> None:
    gate = Gate()
    outlet = outlet_to(gate, most_items=4)
    for _ in range(5):
        outlet.put(b"x")
    gate.room = 3  # all that was kept, and no more
    outlet.put(b"y")
    assert gate.through == [b"x"] * 3
    assert outlet.lost_total == 2
    gate.room = 10
    outlet.close()
    assert gate.through == [b"x", b"x", b"x", b"lost 2", b"y"]


def test_half_an_item_is_finished_before_the_next() -> None:
    gate = Gate(room=1, bytes_per_write=3)
    outlet = outlet_to(gate)
    outlet.put(b"abcdef")
    outlet.put(b"ghi")
    gate.room = 10
    outlet.close()
    assert b"".join(gate.through) == b"abcdefghi"


def test_an_item_that_can_never_go_out_is_lost_and_holds_up_nothing() -> None:
    gate = Gate(room=10)
    outlet = outlet_to(gate)
    gate.refusal = OSError("too large")
    outlet.put(b"x")
    assert (outlet.kept, outlet.lost_total) == (0, 1)
    gate.refusal = None
    outlet.put(b"y")
    assert gate.through == [b"lost 1", b"y"]
    outlet.close()


async def test_the_loop_tries_again_by_itself() -> None:
    gate = Gate()
    outlet = outlet_to(gate, most_items=4)
    outlet.attach(asyncio.get_running_loop())
    for number in range(5):
        outlet.put(b"%d" % number)
    gate.room = 10
    await gate.has_let_through(4)
    assert gate.through == [b"0", b"1", b"2", b"lost 2"]
    outlet.detach()
    outlet.close()


async def test_what_was_kept_before_the_loop_ran_goes_out_with_it() -> None:
    gate = Gate()
    outlet = outlet_to(gate)
    outlet.put(b"early")
    gate.room = 10
    outlet.attach(asyncio.get_running_loop())
    await gate.has_let_through(1)
    assert gate.through == [b"early"]
    outlet.detach()
    outlet.close()


async def test_threads_share_it_and_lose_nothing_uncounted() -> None:
    gate = Gate(room=50)
    outlet = outlet_to(gate, most_items=100)
    outlet.attach(asyncio.get_running_loop())

    def talk(thread: int) -> None:
        for number in range(100):
            outlet.put(b"%d %d" % (thread, number))

    await asyncio.gather(*[asyncio.to_thread(talk, thread) for thread in range(4)])
    assert len(gate.through) + outlet.kept + outlet.lost_total == 400
    gate.room = 1000
    outlet.detach()
    outlet.close()
    assert len(gate.through) == 400 - outlet.lost_total + 1
    for thread in range(4):
        numbers = [int(item.split()[1]) for item in gate.through if item.startswith(b"%d " % thread)]
        assert numbers == sorted(numbers)


def test_an_item_put_while_another_is_written_waits_for_its_turn() -> None:
    """A destructor may log at any moment, in the middle of a write and in the same thread."""
    gate = Gate(room=10)
    outlet = outlet_to(gate)

    class Talkative(Gate):
        def write(self, item: bytes) -> bytes:
            if item == b"first":
                outlet_of_talk.put(b"second")
            return gate.write(item)

    outlet_of_talk = outlet_to(Talkative())
    outlet_of_talk.put(b"first")
    assert gate.through == [b"first"]
    outlet_of_talk.put(b"third")
    assert gate.through == [b"first", b"second", b"third"]
    outlet_of_talk.close()
    outlet.close()


def test_closing_gives_up_after_its_grace() -> None:
    gate = Gate()
    outlet = outlet_to(gate)
    outlet.put(b"x")
    outlet.close(grace_s=0.02)
    outlet.close()
    assert gate.is_closed
    outlet.put(b"too late")
    assert outlet.lost_total == 1


async def test_a_loop_that_ended_without_a_word_is_no_harm() -> None:
    gate = Gate()
    outlet = outlet_to(gate)
    ended = asyncio.new_event_loop()
    outlet.attach(ended)
    ended.close()
    outlet.put(b"a")
    gate.room = 10
    outlet.put(b"b")
    assert gate.through == [b"a", b"b"]
    outlet.close()


@pytest.mark.parametrize("backlog", [0, 3])
async def test_detaching_leaves_no_timer_behind(backlog: int) -> None:
    loop = asyncio.get_running_loop()
    gate = Gate()
    outlet = outlet_to(gate)
    outlet.attach(loop)
    for _ in range(backlog):
        outlet.put(b"x")
    await asyncio.sleep(0)
    assert (outlet._timer is not None) == (backlog > 0)
    outlet.detach()
    assert outlet._timer is None
    gate.room = 10
    outlet.close()
    assert gate.through == [b"x"] * backlog
