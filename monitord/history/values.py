"""What goes in and comes out of the history. Times are UTC-aware, durations seconds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from monitord.history.encoding import PHASES, VERDICTS
from monitord.history.summary import Histogram, Summary
from monitord.model import Reason, State, Verdict


@dataclass(frozen=True, slots=True)
class StoredResult:
    """A result as a compact row: no fields. `detail` is kept of those that did not pass.

    `duration_s` is the response time where there was an answer, and how long the check took elsewhere. `phases_s`
    by name.
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
    """A stretch of time: results by verdict, seconds by state, and the response times of those that were answered.

    `maintenance_s` and `seconds` are apart: time in maintenance is in the former alone. What is in neither, the daemon
    did not see. `phases_s` are sums over `phased` results.
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

    def quantile_s(self, share: float) -> float | None:
        """Of response time, within `histogram.RELATIVE_ERROR`; None when nothing was answered."""
        value_s = self.histogram.quantile_s(share)
        if value_s is None or self.min_s is None or self.max_s is None:
            return None
        return min(max(value_s, self.min_s), self.max_s)


@dataclass(frozen=True, slots=True)
class Uptime:
    """How long a monitor stood how, in one range. Maintenance is apart from the states, whatever they were in it."""

    seconds: Mapping[State, float]
    maintenance_s: float = 0.0

    @property
    def ratio(self) -> float | None:
        """Time up or degraded of time up, degraded or down; None when there was neither."""
        good = self.seconds.get(State.UP, 0.0) + self.seconds.get(State.DEGRADED, 0.0)
        return good / self.known_s if self.known_s else None

    @property
    def known_s(self) -> float:
        """The time of which that is the ratio."""
        return sum(self.seconds.get(health, 0.0) for health in (State.UP, State.DEGRADED, State.DOWN))


@dataclass(frozen=True, slots=True)
class Day:
    """One UTC day of the calendar. `incidents`: how many were open at some time of it."""

    start: datetime
    uptime: Uptime
    incidents: int


@dataclass(frozen=True, slots=True)
class HistoryStats:
    """How the writing stands. Counts are of rows, since the start of the daemon.

    `failing` says why nothing can be written, `since` since when. `size_bytes`: of the database, without
    its log. `resets`: how often a new database was begun because the old one was damaged or removed; the other two are
    about the last time.
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
