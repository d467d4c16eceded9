"""Counting by slots against counting every moment."""

import json

from hypothesis import given
from hypothesis import strategies as st

from monitord.monitors.journal.window import SLOTS, SlidingWindow, slot_width_us

WINDOWS_S = st.floats(1.0, 86400.0)
START_US = 1_795_000_000_000_000
MOMENTS = st.lists(st.integers(0, 200_000_000_000), max_size=60)


def slotted(window: SlidingWindow, moments: list[int]) -> list[tuple[int, int]]:
    return [((START_US + moment) // window.slot_us, 1) for moment in moments]


@given(WINDOWS_S, MOMENTS, st.integers(0, 300_000_000_000))
def test_event_counts_until_its_slot_has_passed(window_s: float, moments: list[int], now: int) -> None:
    window = SlidingWindow(window_s)
    window.add(slotted(window, moments))
    now_us, window_us = START_US + now, round(window_s * 1e6)
    ages = [now - moment for moment in moments]
    at_least = sum(age <= window_us for age in ages)
    at_most = sum(age < window_us + window.slot_us for age in ages)
    assert at_least <= window.count(now_us) <= at_most


@given(WINDOWS_S, MOMENTS, st.integers(0, 300_000_000_000))
def test_restored_counts_are_equal(window_s: float, moments: list[int], now: int) -> None:
    window, again = SlidingWindow(window_s), SlidingWindow(window_s)
    window.add(slotted(window, moments))
    again.restore(json.loads(json.dumps(window.kept())))
    assert again.count(START_US + now) == window.count(START_US + now)


@given(WINDOWS_S, MOMENTS, st.integers(-(10**12), 10**12), st.integers(0, 300_000_000_000))
def test_shift_moves_all_times(window_s: float, moments: list[int], by_us: int, now: int) -> None:
    window, shifted = SlidingWindow(window_s), SlidingWindow(window_s)
    for counted in (window, shifted):
        counted.add(slotted(counted, moments))
    moved_us = shifted.shift(by_us)
    assert abs(moved_us - by_us) <= shifted.slot_us
    assert shifted.count(START_US + now + moved_us) == window.count(START_US + now)


def test_memory_does_not_grow_in_a_flood_of_entries() -> None:
    window = SlidingWindow(300.0)
    for second in range(10_000):
        window.add([(START_US // window.slot_us + second, 1000)])
    assert len(window.kept()) <= 2 * SLOTS + 1
    assert window.count(START_US + 10_000_000_000) == 1000 * 300


def test_window_of_another_width_continues_with_the_stored_counts() -> None:
    narrow, wide = SlidingWindow(60.0), SlidingWindow(600.0)
    narrow.add([(START_US // narrow.slot_us, 5)])
    wide.restore(narrow.kept())
    assert wide.count(START_US) == 5


def test_invalid_value_is_ignored() -> None:
    window = SlidingWindow(60.0)
    window.restore([[START_US, 2], "x", [1], [None, 1], {"a": 1}])
    assert window.count(START_US) == 2


def test_window_of_five_minutes_has_slots_of_one_second() -> None:
    assert slot_width_us(300.0) == 1_000_000
