"""From buckets of the history to plots."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import pytest

from monitord.history import Bucket, Histogram
from monitord.model import State, Verdict
from monitord.status.pages.plots import percentiles, percentiles_plot, phases_plot, states_plot

START = datetime(2026, 11, 26, 12, tzinfo=UTC)
END = START + timedelta(hours=1)


def bucket(
    minute: int = 0,
    *,
    times_s: tuple[float, ...] = (),
    failed: int = 0,
    phases_s: Mapping[str, float] | None = None,
    seconds: Mapping[State, float] | None = None,
    maintenance_s: float = 0.0,
) -> Bucket:
    histogram = Histogram()
    for time_s in times_s:
        histogram.add(int(time_s * 1e6))
    count = len(times_s)
    return Bucket(
        start=START + timedelta(minutes=minute),
        step_s=60.0,
        counts={Verdict.PASS: count, Verdict.FAIL: failed},
        seconds=seconds or {},
        maintenance_s=maintenance_s,
        timed=count,
        min_s=min(times_s, default=None),
        mean_s=sum(times_s) / count if count else None,
        max_s=max(times_s, default=None),
        histogram=histogram,
        phased=count if phases_s else 0,
        phases_s=phases_s or {},
    )


def test_phases_are_means_of_the_existing_phases() -> None:
    plot = phases_plot([bucket(times_s=(0.2, 0.4), phases_s={"connect": 0.1, "processing": 0.5})], START, END)
    assert plot is not None
    assert [word for _, word in plot.legend] == ["connect", "processing"]
    assert plot.scale[0] == "300 ms"
    assert "12:00 UTC: 300 ms (connect 50 ms, processing 250 ms); 2 checks" in plot.svg


def test_type_without_phases_has_the_response_time() -> None:
    plot = phases_plot([bucket(times_s=(0.2,))], START, END)
    assert plot is not None
    assert plot.legend == (("l-response", "response"),)


def test_failures_leave_a_gap_with_a_reason() -> None:
    plot = phases_plot([bucket(times_s=(0.2,), phases_s={"connect": 0.2}), bucket(1, failed=3)], START, END)
    assert plot is not None
    assert "12:01 UTC: 3 checks, 3 failed" in plot.svg


@pytest.mark.parametrize("buckets", [[], [bucket(failed=2)]])
def test_buckets_without_a_response_have_no_plot(buckets: list[Bucket]) -> None:
    assert phases_plot(buckets, START, END) is None
    assert percentiles_plot(buckets, START, END) is None
    assert dict(percentiles(buckets)) == {"p50": None, "p95": None, "p99": None}


def test_percentiles_are_those_of_all_buckets_together() -> None:
    """One bucket has 99 fast responses, the other a slow one: a mean of percentiles would be slow."""
    quick, slow = bucket(times_s=(0.1,) * 99), bucket(1, times_s=(9.0,))
    found = dict(percentiles([quick, slow]))
    assert found["p50"] == pytest.approx(0.1, rel=0.03)
    assert found["p99"] == pytest.approx(0.1, rel=0.03)
    assert dict(percentiles([quick, slow, slow, slow]))["p99"] == pytest.approx(9.0, rel=0.03)


def test_states_and_maintenance_are_shares_of_their_step() -> None:
    down = bucket(seconds={State.UP: 30.0, State.DOWN: 15.0}, maintenance_s=15.0)
    plot = states_plot([down, bucket(1)], START, END)
    assert plot is not None
    assert [word for _, word in plot.legend] == ["up", "down", "maintenance"]
    assert "state over time: 30 s up, 15 s down, 15 s maintenance" in plot.svg
    assert "12:00 UTC: 30 s up, 15 s down, 15 s maintenance" in plot.svg
    assert "12:01 UTC: no data" in plot.svg


def test_period_without_data_has_no_plot() -> None:
    assert states_plot([bucket()], START, END) is None


@pytest.mark.parametrize(("span", "by_day"), [(timedelta(hours=24), False), (timedelta(days=7), True)])
def test_labels_of_the_axis_are_even_and_are_dates_for_long_periods(span: timedelta, by_day: bool) -> None:
    plot = phases_plot([bucket(times_s=(0.1,))], START, START + span)
    assert plot is not None
    assert plot.by_day is by_day
    assert plot.moments == tuple(START + span * share / 4 for share in range(5))
