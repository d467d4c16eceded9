import math
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitord.dispatch.schedule import (
    FIRST_CHECK_WITHIN_S,
    OFFSET_STEP_S,
    Grid,
    first_due,
    grid_of,
    hash_fraction,
    next_due,
)

PERIODS = st.floats(0.1, 86400 * 7)
MOMENTS = st.floats(0, 1e8)
NAMES = st.text(min_size=1, max_size=40)


@given(NAMES, PERIODS, MOMENTS)
def test_next_point_is_later_and_within_a_period(name: str, period_s: float, now_s: float) -> None:
    point = grid_of(name, period_s).next_after(now_s)
    assert point > now_s
    assert point <= now_s + period_s * (1 + 1e-6) + 1e-6


@given(NAMES, st.floats(0.1, 3600), st.floats(0, 1e7))
def test_grid_does_not_drift(name: str, period_s: float, now_s: float) -> None:
    grid = grid_of(name, period_s)
    first = point = grid.next_after(now_s)
    for _ in range(1000):
        point = grid.next_after(point)
    assert math.isclose(point - first, 1000 * period_s, rel_tol=1e-6)


@given(NAMES, PERIODS, MOMENTS)
def test_first_check_is_due_soon(name: str, period_s: float, now_s: float) -> None:
    wait_s = first_due(name, period_s, now_s) - now_s
    assert wait_s + 1e-6 >= 0
    assert wait_s < min(period_s, FIRST_CHECK_WITHIN_S) + 1e-6


@given(NAMES, PERIODS, MOMENTS)
def test_second_check_is_on_the_grid_and_not_at_once(name: str, period_s: float, now_s: float) -> None:
    grid = grid_of(name, period_s)
    first = first_due(name, period_s, now_s)
    second = next_due(grid, first)
    assert second - first >= period_s / 2 - 1e-6
    assert second - first <= period_s * 1.5 * (1 + 1e-6) + 1e-6
    turns = (second - grid.offset_s) / period_s
    assert abs(turns - round(turns)) < 1e-4


def test_phase_is_the_same_in_every_process_and_release() -> None:
    assert hash_fraction("shop") == pytest.approx(0.5451, abs=1e-4)
    assert grid_of("shop", 30.0).offset_s == pytest.approx(16.35)


def test_monitors_are_distributed_evenly_over_their_period() -> None:
    per_second = [0] * 10
    for number in range(1000):
        per_second[int(grid_of(f"web-{number}", 10.0).offset_s)] += 1
    assert min(per_second) > 60
    assert max(per_second) < 140
    assert statistics.fmean(per_second) == 100


def test_phases_are_multiples_of_a_step() -> None:
    for number in range(200):
        slots = grid_of(f"web-{number}", 10.0).offset_s / OFFSET_STEP_S
        assert abs(slots - round(slots)) < 1e-6


def test_short_periods_are_not_rounded() -> None:
    assert len({grid_of(f"web-{number}", 0.2).offset_s for number in range(100)}) == 100


@pytest.mark.parametrize(
    ("after_s", "until_s", "points"),
    [(0.0, 0.0, 0), (0.0, 3.0, 0), (3.0, 13.0, 1), (3.0, 35.0, 4), (5.0, 15.0, 1), (9.0, 5.0, 0)],
)
def test_points_between_two_times_are_counted(after_s: float, until_s: float, points: int) -> None:
    assert Grid(10.0, 5.0).points_between(after_s, until_s) == points
