from hypothesis import given
from hypothesis import strategies as st

from monitord.dispatch.slots import Slots


def test_checks_beyond_the_total_are_queued_in_order() -> None:
    slots: Slots[str] = Slots(2, 8)
    assert [slots.take(name, None) for name in "abcd"] == [True, True, False, False]
    assert slots.queued == 2
    assert slots.free(None) == ["c"]
    assert slots.free(None) == ["d"]
    assert slots.queued == 0


def test_full_host_delays_only_its_own_checks() -> None:
    slots: Slots[str] = Slots(100, 1)
    assert slots.take("a1", "a")
    assert not slots.take("a2", "a")
    assert slots.take("b1", "b")
    assert slots.free("b") == []
    assert slots.free("a") == ["a2"]


def test_check_that_is_queued_for_its_host_takes_no_slot_of_the_total() -> None:
    slots: Slots[str] = Slots(2, 1)
    assert slots.take("a1", "a")
    assert not slots.take("a2", "a")
    assert not slots.take("a3", "a")
    assert slots.take("b1", "b")


def test_item_that_has_left_the_queue_is_not_admitted() -> None:
    slots: Slots[str] = Slots(1, 1)
    assert slots.take("a1", "a")
    assert not slots.take("a2", "a")
    assert not slots.take("b1", "b")
    assert slots.cancel("a2", "a") == []
    assert slots.cancel("b1", "b") == []
    assert slots.queued == 0
    assert slots.free("a") == []
    assert slots.take("b2", "b")


def test_larger_limits_admit_at_once() -> None:
    slots: Slots[str] = Slots(1, 1)
    assert slots.take("a1", "a")
    assert not slots.take("a2", "a")
    assert not slots.take("b1", "b")
    assert slots.resize(10, 2) == ["b1", "a2"]


def test_smaller_limits_apply_to_new_checks_only() -> None:
    slots: Slots[str] = Slots(2, 8)
    assert slots.take("a", None)
    assert slots.take("b", None)
    assert slots.resize(1, 8) == []
    assert slots.free(None) == []
    assert not slots.take("c", None)
    assert slots.free(None) == ["c"]


@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), max_size=200),
    st.integers(1, 5),
    st.integers(1, 3),
)
def test_limits_are_kept_and_every_item_is_admitted(
    moves: list[tuple[int, int]], total: int, per_pool: int
) -> None:
    slots: Slots[int] = Slots(total, per_pool)
    hosts: dict[int, str] = {}
    running: list[int] = []
    waiting: set[int] = set()
    for number, (move, host_number) in enumerate(moves):
        if move:
            host = hosts[number] = f"host-{host_number}"
            if slots.take(number, host):
                running.append(number)
            else:
                waiting.add(number)
        elif running:
            for admitted in slots.free(hosts[running.pop(0)]):
                waiting.remove(admitted)
                running.append(admitted)
        assert len(running) <= total
        for host in {hosts[name] for name in running}:
            assert sum(hosts[name] == host for name in running) <= per_pool
    while running:
        for admitted in slots.free(hosts[running.pop(0)]):
            waiting.remove(admitted)
            running.append(admitted)
    assert not waiting
    assert slots.taken == 0
