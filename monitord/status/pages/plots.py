"""Plots of one monitor from a series of the history: shapes, scale, and texts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from monitord.history import Bucket, Histogram
from monitord.model import State, Verdict
from monitord.status.pages import wording
from monitord.status.pages.charts import TICKS, Svg, greatest, lines, nice_top, stacked

PHASES = ("resolve", "connect", "tls", "processing", "transfer")
WHOLE = "response"
"""The single layer of a monitor type without phases."""

PERCENTILES = {"p99": 0.99, "p95": 0.95, "p50": 0.5}
"""The highest first, as in a plot."""

STATES = (State.UP, State.DEGRADED, State.DOWN, State.UNREACHABLE, State.UNKNOWN, State.PAUSED)
MAINTENANCE = "maintenance"
MOMENTS = 5
DAY_S = 86400.0


@dataclass(frozen=True, slots=True)
class Plot:
    """`scale`: labels from the top down. `moments`: evenly from left to right. `legend`: class and word."""

    svg: Svg
    scale: tuple[str, ...]
    moments: tuple[datetime, ...]
    legend: tuple[tuple[str, str], ...]
    by_day: bool


def phases_plot(buckets: Sequence[Bucket], start: datetime, end: datetime) -> Plot | None:
    """The mean duration of each phase. None: no check received a response in that time."""
    phases = tuple(phase for phase in PHASES if any(bucket.phases_s.get(phase) for bucket in buckets)) or (
        WHOLE,
    )
    columns: list[Mapping[str, float] | None] = []
    for bucket in buckets:
        if bucket.mean_s is None:
            columns.append(None)
        elif bucket.phased:
            columns.append({phase: bucket.phases_s.get(phase, 0.0) / bucket.phased for phase in phases})
        else:
            # For a type without phases, the mean response time.
            columns.append({WHOLE: bucket.mean_s} if phases == (WHOLE,) else None)
    highest = greatest([sum(column.values()) for column in columns if column is not None])
    if all(column is None for column in columns):
        return None
    top = nice_top(highest)
    titles = []
    for bucket, column in zip(buckets, columns, strict=True):
        checks, failed = sum(bucket.counts.values()), bucket.counts.get(Verdict.FAIL, 0)
        title = wording.several(checks, "check") + (f", {failed:,} failed" if failed else "")
        if column is not None:
            parts = ", ".join(f"{phase} {wording.seconds(mean)}" for phase, mean in column.items() if mean)
            title = f"{wording.seconds(bucket.mean_s)} ({parts}); {title}"
        titles.append(f"{_at(bucket)}: {title}")
    description = f"mean response time by phase, at most {wording.seconds(highest)}"
    svg = stacked(columns, phases, top, description, titles)
    return Plot(
        svg,
        _scale(top),
        _moments(start, end),
        tuple((f"l-{phase}", phase) for phase in phases),
        _by_day(start, end),
    )


def percentiles_plot(buckets: Sequence[Bucket], start: datetime, end: datetime) -> Plot | None:
    """The percentiles of the response time. None: no check received a response in that time."""
    values = {name: [bucket.quantile_s(share) for bucket in buckets] for name, share in PERCENTILES.items()}
    highest = greatest([value for line in values.values() for value in line if value is not None])
    if not any(bucket.timed for bucket in buckets):
        return None
    top = nice_top(highest)
    description = f"percentiles of the response time, at most {wording.seconds(highest)}"
    titles = [
        f"{_at(bucket)}: "
        + ", ".join(f"{name} {wording.seconds(line[place])}" for name, line in values.items())
        for place, bucket in enumerate(buckets)
    ]
    legend = tuple((f"q-{name}", name) for name in PERCENTILES)
    return Plot(
        lines(values, top, description, titles),
        _scale(top),
        _moments(start, end),
        legend,
        _by_day(start, end),
    )


def percentiles(buckets: Sequence[Bucket]) -> tuple[tuple[str, float | None], ...]:
    """The percentiles over all buckets: exact, because histograms are merged, not percentiles."""
    whole = Histogram()
    for bucket in buckets:
        whole.merge(bucket.histogram)
    return tuple((name, whole.quantile_s(share)) for name, share in PERCENTILES.items())


def states_plot(buckets: Sequence[Bucket], start: datetime, end: datetime) -> Plot | None:
    """The share of each state in each step; the rest of a step is time without data."""
    layers = [*(state.value for state in STATES), MAINTENANCE]
    columns = [
        {
            **{state.value: bucket.seconds.get(state, 0.0) / bucket.step_s for state in STATES},
            MAINTENANCE: bucket.maintenance_s / bucket.step_s,
        }
        for bucket in buckets
    ]
    in_all = {
        layer: sum(column[layer] * bucket.step_s for column, bucket in zip(columns, buckets, strict=True))
        for layer in layers
    }
    known = {layer: seconds for layer, seconds in in_all.items() if seconds > 0}
    if not known:
        return None
    durations = ", ".join(f"{wording.span(seconds)} {layer}" for layer, seconds in known.items())
    titles = []
    for bucket in buckets:
        parts = [
            f"{wording.span(bucket.seconds[state])} {state.value}"
            for state in STATES
            if bucket.seconds.get(state)
        ]
        if bucket.maintenance_s:
            parts.append(f"{wording.span(bucket.maintenance_s)} maintenance")
        titles.append(f"{_at(bucket)}: {', '.join(parts) or 'no data'}")
    svg = stacked(columns, layers, 1.0, f"state over time: {durations}", titles)
    legend = tuple((f"l-{layer}", layer) for layer in known)
    return Plot(svg, (), _moments(start, end), legend, _by_day(start, end))


def _scale(top: float) -> tuple[str, ...]:
    return tuple(wording.seconds(top * tick / TICKS) for tick in range(TICKS, -1, -1))


def _moments(start: datetime, end: datetime) -> tuple[datetime, ...]:
    return tuple(start + (end - start) * place / (MOMENTS - 1) for place in range(MOMENTS))


def _by_day(start: datetime, end: datetime) -> bool:
    return end - start > timedelta(seconds=2 * DAY_S)


def _at(bucket: Bucket) -> str:
    return bucket.start.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")
