"""Percentiles are near the true ones, also of what was merged."""

import math

from hypothesis import given
from hypothesis import strategies as st

from monitord.history.histogram import RELATIVE_ERROR, Histogram

VALUES_US = st.lists(st.integers(1, 10**10), min_size=1, max_size=200)
TOLERANCE = RELATIVE_ERROR + 1e-6


def histogram_of(values: list[int]) -> Histogram:
    histogram = Histogram()
    for value in values:
        histogram.add(value)
    return histogram


@given(VALUES_US, st.floats(0, 1))
def test_a_quantile_is_within_the_error_that_is_promised(values: list[int], share: float) -> None:
    true_us = sorted(values)[max(1, math.ceil(share * len(values))) - 1]
    told_s = histogram_of(values).quantile_s(share)
    assert told_s is not None
    assert abs(told_s * 1e6 - true_us) <= TOLERANCE * true_us


@given(VALUES_US, VALUES_US)
def test_merging_is_the_histogram_of_the_union(one: list[int], other: list[int]) -> None:
    merged = histogram_of(one)
    merged.merge(histogram_of(other))
    assert merged == histogram_of(one + other)
    assert merged.count == len(one) + len(other)


def test_of_nothing_there_is_no_quantile() -> None:
    assert Histogram().quantile_s(0.5) is None


def test_percentiles_are_not_means_of_percentiles() -> None:
    """An hour of 99 fast answers and one of a single slow one: p99 of both is fast, and p100 slow."""
    merged = histogram_of([10_000] * 99)
    merged.merge(histogram_of([2_000_000]))
    fast_s, slow_s = merged.quantile_s(0.99), merged.quantile_s(1.0)
    assert fast_s is not None
    assert slow_s is not None
    assert abs(fast_s - 0.01) < 0.0003
    assert abs(slow_s - 2.0) < 0.05
