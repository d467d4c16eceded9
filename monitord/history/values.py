"""Values returned by the history. Times are UTC-aware, durations are in seconds."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from monitord.history.encoding import PHASES, VERDICTS
from monitord.history.summary import Histogram, Summary
from monitord.model import Reason, State, Verdict


@dataclass(frozen=True, slots=True)
class StoredResult:
    """A result without its fields. `detail`: only of results that did not pass. `phases_s`: by name.

    `duration_s`: the response time; without a response, the duration of the check.
    """

    at: datetime
    verdict: Verdict
    state: State
    reason: Reason
    duration_s: float
    phases_s: Mapping[str, float] = field(default_factory=dict)
    detail: str | None = None


@dataclass(frozen=True, slots=True)
class Bucket:
    """A period: results by verdict, seconds by state, and response times.

    Time in maintenance counts as `maintenance_s` only, not in `seconds`. Time in neither: the daemon did not run.
    `phases_s` are sums over `phased` results.
    """

    start: datetime
    step_s: float
    counts: Mapping[Verdict, int]
    seconds: Mapping[State, float]
    maintenance_s: float
    timed: int
    min_s: float | None
    mean_s: float | None
    max_s: float | None
    histogram: Histogram
    phased: int
    phases_s: Mapping[str, float]

    def quantile_s(self, ratio: float) -> float | None:
        """A quantile of the response time, within `summary.RELATIVE_ERROR`. None if there was no response."""
        value_s = self.histogram.quantile_s(ratio)
        if value_s is None or self.min_s is None or self.max_s is None:
            return None
        return min(max(value_s, self.min_s), self.max_s)


@dataclass(frozen=True, slots=True)
class Uptime:
    """Seconds in each state during a period. Time in maintenance is counted separately, regardless of the state."""

    seconds: Mapping[State, float]
    maintenance_s: float = 0.0

    @property
    def ratio(self) -> float | None:
        """The time up or degraded, divided by the time up, degraded or down. None if there was none."""
        up_s = self.seconds.get(State.UP, 0.0) + self.seconds.get(State.DEGRADED, 0.0)
        return up_s / self.covered_s if self.covered_s else None

    @property
    def covered_s(self) -> float:
        """The time up, degraded or down: the denominator of `ratio`."""
        return sum(self.seconds.get(state, 0.0) for state in (State.UP, State.DEGRADED, State.DOWN))


def total_uptime(uptimes: Iterable[Uptime]) -> Uptime:
    """Add the times of several monitors or periods."""
    seconds: dict[State, float] = {}
    maintenance_s = 0.0
    for uptime in uptimes:
        maintenance_s += uptime.maintenance_s
        for state, spent_s in uptime.seconds.items():
            seconds[state] = seconds.get(state, 0.0) + spent_s
    return Uptime(seconds, maintenance_s)


@dataclass(frozen=True, slots=True)
class DaySummary:
    """One day in UTC. `incidents`: the number of incidents that were open during it."""

    start: datetime
    uptime: Uptime
    incidents: int


@dataclass(frozen=True, slots=True)
class HistoryStats:
    """The status of the writer. Counts are rows since the start of the daemon.

    `error`: why nothing can be written, since `failing_since`. `size_bytes`: of the database without its log.
    `resets`: how often a new database replaced a damaged or removed one; `reset_at` and `reset_reason`: the last reset.
    """

    queued: int
    dropped: int
    written: int
    error: str | None
    failing_since: datetime | None
    size_bytes: int
    last_commit_at: datetime | None
    max_commit_s: float
    resets: int = 0
    reset_at: datetime | None = None
    reset_reason: str | None = None


def bucket_of(start: datetime, step_s: float, summary: Summary, uptime: Uptime) -> Bucket:
    timed = summary.timed
    return Bucket(
        start=start,
        step_s=step_s,
        counts=dict(zip(VERDICTS, summary.verdicts, strict=True)),
        seconds=uptime.seconds,
        maintenance_s=uptime.maintenance_s,
        timed=timed,
        min_s=summary.smallest_us / 1e6 if timed else None,
        mean_s=summary.total_us / timed / 1e6 if timed else None,
        max_s=summary.largest_us / 1e6 if timed else None,
        histogram=summary.histogram,
        phased=summary.phased,
        phases_s=phases_s(summary.phases_us),
    )


def phases_s(phases_us: Sequence[int]) -> dict[str, float]:
    return {name: spent_us / 1e6 for name, spent_us in zip(PHASES, phases_us, strict=False)}
