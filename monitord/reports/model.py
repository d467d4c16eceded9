"""A report as frozen values. Times are UTC-aware, durations are in seconds, ratios are from 0 to 1.

Time in maintenance is excluded from uptime, downtime and incidents. Time in which a monitor was neither up, degraded
nor down (it did not exist, was paused, unknown or unreachable, or the daemon did not run) is not covered, and counts
neither as uptime nor as downtime.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from monitord.health import Objective
from monitord.health.objectives import ErrorBudget
from monitord.history import Uptime
from monitord.model import Incident, State, Verdict
from monitord.reports.period import Period


@dataclass(frozen=True, slots=True)
class Times:
    """Percentiles of the response time."""

    p50_s: float
    p95_s: float
    p99_s: float


@dataclass(frozen=True, slots=True)
class Figures:
    """The figures of one monitor, or of all, in one period. `incidents`: the number that were open in it."""

    uptime: Uptime
    incidents: int

    @property
    def ratio(self) -> float | None:
        return self.uptime.ratio

    @property
    def down_s(self) -> float:
        return self.uptime.seconds.get(State.DOWN, 0.0)


@dataclass(frozen=True, slots=True)
class MonitorReport:
    """One monitor. `before`: in the previous period. `times` None: there was no response, or they are not stored."""

    name: str
    title: str
    figures: Figures
    before: Figures
    checks: Mapping[Verdict, int]
    times: Times | None
    times_before: Times | None

    @property
    def is_new(self) -> bool:
        """Whether it has data of this period, but none of the previous period."""
        return self.figures.uptime.covered_s > 0 and not any(self.before.uptime.seconds.values())

    @property
    def ratio_change(self) -> float | None:
        """The uptime minus that of the previous period."""
        return change(self.figures.ratio, self.before.ratio)

    @property
    def p95_trend(self) -> float | None:
        """The change of the 95th percentile relative to the previous period: 0.1 is 10 % slower."""
        if self.times is None or self.times_before is None or not self.times_before.p95_s:
            return None
        return self.times.p95_s / self.times_before.p95_s - 1


@dataclass(frozen=True, slots=True)
class ReportedIncident:
    """An incident in the period. `title`: of its monitor; empty: it has none.

    `duration_s`: within the period, without maintenance. `is_ongoing`: it was open at the end of the period.
    """

    incident: Incident
    duration_s: float
    is_ongoing: bool
    title: str = ""


@dataclass(frozen=True, slots=True)
class ReportedMaintenance:
    """Maintenance of `monitors` at the same time. `titles`: their titles, or the names of monitors without a title."""

    start: datetime
    end: datetime
    monitors: tuple[str, ...]
    titles: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ReportedObjective:
    """An objective in the period, regardless of its window. `monitor`: the monitor that evaluates it.

    `ratio` None: there is no data. The budget is that of the period.
    """

    monitor: str
    title: str
    objective: Objective
    ratio: float | None
    budget: ErrorBudget


@dataclass(frozen=True, slots=True)
class Report:
    """`until`: the end of the data, which is before the end of the period if that has not ended.

    `monitors`: the worst first, at most as many as requested, of `monitor_count`. `incidents`: in the order in which
    they opened; if there are more than are listed, the longest. `objectives`: the smallest part of the budget left
    first. `is_stored` False: the history is disabled. `public_url`: of the pages, for links; empty: no links.
    """

    instance: str
    period: Period
    previous: Period
    created_at: datetime
    until: datetime
    total: Figures
    before: Figures
    monitors: tuple[MonitorReport, ...]
    monitor_count: int
    new_count: int
    incidents: tuple[ReportedIncident, ...]
    maintenance: tuple[ReportedMaintenance, ...]
    maintenance_count: int
    is_stored: bool = True
    objectives: tuple[ReportedObjective, ...] = ()
    objective_count: int = 0
    public_url: str = ""

    @property
    def is_complete(self) -> bool:
        return self.until >= self.period.end

    @property
    def has_data(self) -> bool:
        """Whether any monitor was up, degraded or down in the period."""
        return self.total.uptime.covered_s > 0

    @property
    def ratio_change(self) -> float | None:
        return change(self.total.ratio, self.before.ratio)

    @property
    def coverage(self) -> float | None:
        """The covered time, divided by the time of all monitors without maintenance. None without monitors."""
        whole_s = self.monitor_count * max(0.0, (self.until - self.period.start).total_seconds())
        whole_s -= self.total.uptime.maintenance_s
        return min(1.0, self.total.uptime.covered_s / whole_s) if whole_s > 0 else None


def change(now: float | None, before: float | None) -> float | None:
    return None if now is None or before is None else now - before
