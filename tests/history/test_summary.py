"""Summaries and histograms: merging and encoding."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitord.history.schema import DamageError
from monitord.history.summary import RELATIVE_ERROR, Histogram, Summary, merged

Row = tuple[int, int | None, list[int] | None]

ROWS = st.lists(
    st.tuples(
        st.integers(0, 3),
        st.none() | st.integers(0, 10**9),
        st.none() | st.lists(st.integers(0, 10**8), min_size=5, max_size=5),
    ),
    max_size=50,
)


def summary_of(rows: list[Row]) -> Summary:
    summary = Summary()
    for verdict, response_us, phases_us in rows:
        summary.add(verdict, response_us, phases_us)
    return summary


@given(st.lists(ROWS, max_size=5))
def test_merged_summaries_equal_the_summary_of_all_results(parts: list[list[Row]]) -> None:
    assert merged([summary_of(part) for part in parts]) == summary_of([row for part in parts for row in part])


@given(ROWS)
def test_encoded_summary_is_decoded(rows: list[Row]) -> None:
    assert Summary.decode(summary_of(rows).encode()) == summary_of(rows)


@given(ROWS)
def test_summary_has_the_numbers_of_its_results(rows: list[Row]) -> None:
    summary = summary_of(rows)
    times = [max(1, response_us) for _, response_us, _ in rows if response_us is not None]
    phases = [phases_us for _, response_us, phases_us in rows if response_us is not None and phases_us]
    assert summary.verdicts == [sum(verdict == code for verdict, _, _ in rows) for code in range(4)]
    assert (summary.timed, summary.total_us) == (len(times), sum(times))
    assert (summary.smallest_us, summary.largest_us) == (min(times, default=0), max(times, default=0))
    assert summary.histogram.count == len(times)
    assert summary.phased == len(phases)
    assert summary.phases_us == [sum(column) for column in zip(*phases, strict=True)] or not phases


@pytest.mark.parametrize("data", [b"", b"\x01\x02", bytes(15)], ids=["empty", "short", "odd"])
def test_invalid_summary_is_damage(data: bytes) -> None:
    with pytest.raises(DamageError):
        Summary.decode(data)


def test_hour_with_few_results_takes_few_bytes() -> None:
    """120 responses within a third of each other."""
    rows: list[Row] = [(0, 100_000 + number * 250, [100, 2000, 9000, 80_000, 500]) for number in range(120)]
    assert len(summary_of(rows).encode()) < 64


VALUES_US = st.lists(st.integers(1, 10**10), min_size=1, max_size=200)
TOLERANCE = RELATIVE_ERROR + 1e-6


def histogram_of(values: list[int]) -> Histogram:
    histogram = Histogram()
    for value in values:
        histogram.add(value)
    return histogram


@given(VALUES_US, st.floats(0, 1))
def test_quantile_is_within_the_relative_error(values: list[int], share: float) -> None:
    true_us = sorted(values)[max(1, math.ceil(share * len(values))) - 1]
    quantile_s = histogram_of(values).quantile_s(share)
    assert quantile_s is not None
    assert abs(quantile_s * 1e6 - true_us) <= TOLERANCE * true_us


@given(VALUES_US, VALUES_US)
def test_merged_histograms_equal_the_histogram_of_all_values(values: list[int], others: list[int]) -> None:
    merged = histogram_of(values)
    merged.merge(histogram_of(others))
    assert merged == histogram_of(values + others)
    assert merged.count == len(values) + len(others)


def test_empty_histogram_has_no_quantile() -> None:
    assert Histogram().quantile_s(0.5) is None


def test_merged_percentiles_are_not_averages() -> None:
    """An hour of 99 fast responses and one of a slow response: p99 of both is fast, and p100 slow."""
    merged = histogram_of([10_000] * 99)
    merged.merge(histogram_of([2_000_000]))
    fast_s, slow_s = merged.quantile_s(0.99), merged.quantile_s(1.0)
    assert fast_s is not None
    assert slow_s is not None
    assert abs(fast_s - 0.01) < 0.0003
    assert abs(slow_s - 2.0) < 0.05
