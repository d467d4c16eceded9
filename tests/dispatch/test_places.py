from hypothesis import given
from hypothesis import strategies as st

from monitord.dispatch.places import Places


def test_a_full_house_makes_wait_in_order() -> None:
    places: Places[str] = Places(2, 8)
    assert [places.take(name, None) for name in "abcd"] == [True, True, False, False]
    assert places.waiting == 2
    assert places.free(None) == ["c"]
    assert places.free(None) == ["d"]
    assert places.waiting == 0


def test_a_full_host_holds_up_only_its_own() -> None:
    places: Places[str] = Places(100, 1)
    assert places.take("a1", "a")
    assert not places.take("a2", "a")
    assert places.take("b1", "b")
    assert places.free("b") == []
    assert places.free("a") == ["a2"]


def test_waiting_for_a_host_takes_no_place_of_the_whole() -> None:
    places: Places[str] = Places(2, 1)
    assert places.take("a1", "a")
    assert not places.take("a2", "a")
    assert not places.take("a3", "a")
    assert places.take("b1", "b")


def test_who_leaves_the_line_is_not_admitted() -> None:
    places: Places[str] = Places(1, 1)
    assert places.take("a1", "a")
    assert not places.take("a2", "a")
    assert not places.take("b1", "b")
    assert places.leave("a2", "a") == []
    assert places.leave("b1", "b") == []
    assert places.waiting == 0
    assert places.free("a") == []
    assert places.take("b2", "b")


def test_larger_bounds_admit_at_once() -> None:
    places: Places[str] = Places(1, 1)
    assert places.take("a1", "a")
    assert not places.take("a2", "a")
    assert not places.take("b1", "b")
    assert places.resize(10, 2) == ["b1", "a2"]


def test_smaller_bounds_throw_nobody_out_and_hold_for_the_next() -> None:
    places: Places[str] = Places(2, 8)
    assert places.take("a", None)
    assert places.take("b", None)
    assert places.resize(1, 8) == []
    assert places.free(None) == []
    assert not places.take("c", None)
    assert places.free(None) == ["c"]


@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), max_size=200),
    st.integers(1, 5),
    st.integers(1, 3),
)
def test_bounds_hold_and_nobody_is_forgotten(
    moves: list[tuple[int, int]], in_all: int, per_host: int
) -> None:
    places: Places[int] = Places(in_all, per_host)
    hosts: dict[int, str] = {}
    running: list[int] = []
    waiting: set[int] = set()
    for number, (move, host_number) in enumerate(moves):
        if move:
            host = hosts[number] = f"host-{host_number}"
            if places.take(number, host):
                running.append(number)
            else:
                waiting.add(number)
        elif running:
            for admitted in places.free(hosts[running.pop(0)]):
                waiting.remove(admitted)
                running.append(admitted)
        assert len(running) <= in_all
        for host in {hosts[name] for name in running}:
            assert sum(hosts[name] == host for name in running) <= per_host
    while running:
        for admitted in places.free(hosts[running.pop(0)]):
            waiting.remove(admitted)
            running.append(admitted)
    assert not waiting
    assert places.taken == 0
