"""The time until a file system is full: for steady growth, and not for steps, spools and temporary files."""

import math
from collections.abc import Callable

import pytest

from monitord.monitors.disk.trend import (
    KEPT_S,
    MAX_SAMPLES,
    NO_GROWTH,
    REPEATS,
    TOO_FEW,
    Sample,
    UsageTrend,
)

HOUR_S = 3600.0
GIB = 1 << 30
START_S = 1_800_000_000.0


def after(hours: float, used: Callable[[float], float], size_gib: float = 100) -> float | str:
    """Check every five minutes for so many hours; `used`: GiB in use by hour."""
    trend = UsageTrend()
    sample = Sample(START_S, 0)
    for minute in range(0, int(hours * 60) + 1, 5):
        sample = Sample(START_S + minute * 60, int(used(minute / 60) * GIB))
        trend = UsageTrend.restored(trend.dump_state()).added(sample)
    return trend.time_until_full_s(sample, int(size_gib * GIB) - sample.used_bytes)


def test_steady_growth_is_extrapolated() -> None:
    seconds = after(10, lambda hour: 40 + 2 * hour)
    assert seconds == pytest.approx(20 * HOUR_S, rel=0.01)


def test_growth_that_began_an_hour_ago_is_not_extrapolated() -> None:
    assert after(24, lambda hour: 40 + 20 * max(hour - 23, 0)) == NO_GROWTH


@pytest.mark.parametrize(
    ("used", "reason"),
    [
        pytest.param(lambda _: 50, NO_GROWTH, id="constant"),
        pytest.param(lambda hour: 80 - hour, NO_GROWTH, id="shrinking"),
        pytest.param(lambda hour: 40 if hour < 18 else 70, NO_GROWTH, id="copy in the middle"),
        pytest.param(lambda hour: 40 if hour < 13 else 70, NO_GROWTH, id="copy at the beginning"),
        pytest.param(lambda hour: 40 if hour < 23.9 else 90, NO_GROWTH, id="copy just now"),
        pytest.param(lambda hour: 50 + math.sin(hour * 5), NO_GROWTH, id="fluctuation"),
        pytest.param(lambda hour: 30 + 3 * (hour % 20), REPEATS, id="spool that is emptied"),
        pytest.param(lambda hour: 50 + hour / 10_000, NO_GROWTH, id="growth over years"),
    ],
)
def test_no_time_is_given_without_lasting_growth(used: Callable[[float], float], reason: str) -> None:
    assert after(24 if reason == NO_GROWTH else 30, used) == reason


def test_log_rotation_within_growth_does_not_hide_it_for_long() -> None:
    def used(hour: float) -> float:
        return 60 + 1.5 * hour - (2 if hour > 10 else 0)

    seconds = after(20, used)
    assert isinstance(seconds, float)
    assert seconds < 12 * HOUR_S


def test_nothing_is_known_in_the_first_hours() -> None:
    assert after(5.9, lambda hour: 40 + 5 * hour) == TOO_FEW
    assert UsageTrend().time_until_full_s(Sample(START_S, 1), 1) == TOO_FEW


def test_samples_are_limited_in_number_and_age() -> None:
    trend = UsageTrend()
    for minute in range(0, 5 * 24 * 60, 1):
        trend = trend.added(Sample(START_S + minute * 60, minute))
    times = [sample.at_s for sample in trend.samples]
    assert len(times) <= MAX_SAMPLES
    assert times[-1] - times[0] <= KEPT_S
    assert times[-1] - times[0] > 0.9 * KEPT_S


def test_samples_of_the_future_are_dropped() -> None:
    """The clock was wrong, and has been set back."""
    trend = UsageTrend().added(Sample(START_S + 86400, 5)).added(Sample(START_S, 6))
    assert trend.samples == (Sample(START_S, 6),)


@pytest.mark.parametrize(
    "state",
    [
        None,
        5,
        {},
        {"minutes": 1, "used_kib": 2},
        {"minutes": ["x"], "used_kib": [1]},
        {"minutes": [1], "used_kib": [float("nan")]},
    ],
    ids=str,
)
def test_damaged_state_is_ignored(state: object) -> None:
    assert UsageTrend.restored(state) == UsageTrend()


def test_state_is_restored() -> None:
    trend = UsageTrend().added(Sample(START_S, 5 << 10)).added(Sample(START_S + 3600, 7 << 10))
    assert len(trend.samples) == 2
    assert UsageTrend.restored(trend.dump_state()) == trend
