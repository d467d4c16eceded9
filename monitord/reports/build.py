"""Builds a report from the history.

The history is read in parts, so that no query of 10,000 monitors reaches its time limit, and the data is evaluated in a
thread. Percentiles are read for the monitors that the report shows, as they take most of the time.
"""

import asyncio
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Protocol

from monitord.health import Objective
from monitord.health.objectives import error_budget
from monitord.history import Bucket, IncidentTime, MaintenanceTime, Uptime, total_uptime
from monitord.model import Incident
from monitord.monitors.objective import covered_time
from monitord.reports.model import (
    Figures,
    MonitorReport,
    Report,
    ReportedIncident,
    ReportedMaintenance,
    ReportedObjective,
    Times,
)
from monitord.reports.period import Period

UPTIMES_AT_ONCE = 500
SUMMARIES_AT_ONCE = 10
"""Monitors in one query: a month of one is up to 744 rollups."""

MAX_MONITORS = 1000
MAX_INCIDENTS = 200
MAX_MAINTENANCE = 100
MAX_OBJECTIVES = 100
"""Limits of what a report lists. The totals include everything."""


class ReportHistory(Protocol):
    """The reads of `monitord.history.History` that a report needs. They raise HistoryError."""

    @property
    def is_active(self) -> bool: ...

    async def uptimes(
        self, monitors: Sequence[str], windows: Sequence[tuple[datetime, datetime]]
    ) -> dict[str, tuple[Uptime, ...]]: ...

    async def summaries(
        self, monitors: Sequence[str], start: datetime, end: datetime
    ) -> dict[str, Bucket]: ...

    async def maintenance(
        self, monitors: Sequence[str], start: datetime, end: datetime
    ) -> list[MaintenanceTime]: ...

    async def incident_times(self, start: datetime, end: datetime) -> list[IncidentTime]: ...

    async def incidents_by_id(self, ids: Sequence[str]) -> list[Incident]: ...


@dataclass(frozen=True, slots=True)
class SubjectObjective:
    """An objective of a report. `name`: of the monitor that evaluates it; `monitors`: the monitors that count."""

    name: str
    title: str
    objective: Objective
    monitors: Sequence[str]


@dataclass(frozen=True, slots=True)
class Subject:
    """The monitors and the host of a report. `monitors`: the titles by name. `public_url`: of the pages."""

    instance: str
    monitors: Mapping[str, str]
    max_monitors: int = 100
    objectives: Sequence[SubjectObjective] = ()
    public_url: str = ""


@dataclass(frozen=True, slots=True)
class OpenTime:
    """The part of an incident within a period. `duration_s`: without maintenance."""

    id: str
    monitor: str
    duration_s: float
    is_ongoing: bool


@dataclass(frozen=True, slots=True)
class Outline:
    """The uptime and the incidents of every monitor in one period."""

    figures: Mapping[str, Figures]
    total: Figures
    incidents: Sequence[OpenTime]
    maintenance: Sequence[MaintenanceTime]


async def build_report(history: ReportHistory, subject: Subject, period: Period, now: datetime) -> Report:
    """Read and evaluate a period. Raises HistoryError if the history cannot be read."""
    previous = period.previous()
    until = min(period.end, max(now, period.start))
    outline = await _outline(history, subject.monitors, period.start, until)
    before = await _outline(history, subject.monitors, previous.start, min(previous.end, now))
    worst = await asyncio.to_thread(worst_first, outline.figures, min(subject.max_monitors, MAX_MONITORS))
    summaries = await _summaries(history, worst, period.start, until)
    summaries_before = await _summaries(history, worst, previous.start, previous.end)
    longest = sorted(outline.incidents, key=lambda time: -time.duration_s)[:MAX_INCIDENTS]
    causes = await history.incidents_by_id([time.id for time in longest])
    objectives = await _objectives(history, subject.objectives, outline.figures, (period.start, until))

    def evaluate() -> Report:
        times = {time.id: time for time in longest}
        maintenance = combined(outline.maintenance, subject.monitors)
        monitors: list[MonitorReport] = []
        for name in worst:
            summary = summaries.get(name)
            monitors.append(
                MonitorReport(
                    name=name,
                    title=subject.monitors[name],
                    figures=outline.figures[name],
                    before=before.figures[name],
                    checks={} if summary is None else summary.counts,
                    times=_times(summary),
                    times_before=_times(summaries_before.get(name)),
                )
            )
        return Report(
            instance=subject.instance,
            period=period,
            previous=previous,
            created_at=now,
            until=until,
            total=outline.total,
            before=before.total,
            monitors=tuple(monitors),
            monitor_count=len(subject.monitors),
            new_count=sum(
                figures.uptime.covered_s > 0 and not any(before.figures[name].uptime.seconds.values())
                for name, figures in outline.figures.items()
            ),
            incidents=tuple(
                ReportedIncident(
                    cause,
                    times[cause.id].duration_s,
                    times[cause.id].is_ongoing,
                    subject.monitors.get(cause.monitor, ""),
                )
                for cause in causes
            ),
            maintenance=tuple(maintenance[:MAX_MAINTENANCE]),
            maintenance_count=len(maintenance),
            is_stored=history.is_active,
            objectives=tuple(objectives[:MAX_OBJECTIVES]),
            objective_count=len(objectives),
            public_url=subject.public_url,
        )

    return await asyncio.to_thread(evaluate)


async def _outline(
    history: ReportHistory, monitors: Mapping[str, str], start: datetime, end: datetime
) -> Outline:
    uptimes: dict[str, Uptime] = {}
    maintenance: list[MaintenanceTime] = []
    for names in _parts(monitors, UPTIMES_AT_ONCE):
        read = await history.uptimes(names, [(start, end)])
        uptimes |= {name: uptime for name, (uptime,) in read.items()}
        in_maintenance = [name for name in names if uptimes[name].maintenance_s]
        if in_maintenance:
            maintenance += await history.maintenance(in_maintenance, start, end)
    incidents = await history.incident_times(start, end)
    return await asyncio.to_thread(outline_of, uptimes, maintenance, incidents, start, end)


async def _objectives(
    history: ReportHistory,
    objectives: Sequence[SubjectObjective],
    figures: Mapping[str, Figures],
    period: tuple[datetime, datetime],
) -> list[ReportedObjective]:
    """Return the objectives; the smallest part of the budget left first."""
    uptimes = {name: of_monitor.uptime for name, of_monitor in figures.items()}
    named = dict.fromkeys(name for objective in objectives for name in objective.monitors)
    for names in _parts((name for name in named if name not in figures), UPTIMES_AT_ONCE):
        read = await history.uptimes(names, [period])
        uptimes |= {name: uptime for name, (uptime,) in read.items()}
    return await asyncio.to_thread(objectives_of, objectives, uptimes)


def objectives_of(
    objectives: Iterable[SubjectObjective], uptimes: Mapping[str, Uptime]
) -> list[ReportedObjective]:
    """Evaluate objectives in a period. Those without data are the last."""
    reported = []
    for each in objectives:
        time = covered_time(total_uptime(uptimes[name] for name in each.monitors))
        budget = error_budget(each.objective, time)
        reported.append(ReportedObjective(each.name, each.title, each.objective, time.good_ratio, budget))
    return sorted(reported, key=lambda each: (each.ratio is None, each.budget.left_ratio, each.monitor))


async def _summaries(
    history: ReportHistory, names: Sequence[str], start: datetime, end: datetime
) -> dict[str, Bucket]:
    summaries: dict[str, Bucket] = {}
    for some in _parts(names, SUMMARIES_AT_ONCE):
        summaries |= await history.summaries(some, start, end)
    return summaries


def _parts(names: Iterable[str], size: int) -> Iterator[list[str]]:
    rest = iter(names)
    while part := list(islice(rest, size)):
        yield part


def outline_of(
    uptimes: Mapping[str, Uptime],
    maintenance: Sequence[MaintenanceTime],
    incidents: Iterable[IncidentTime],
    start: datetime,
    end: datetime,
) -> Outline:
    """Return the figures of a period. Incidents that were open only during maintenance are not counted."""
    by_monitor: dict[str, list[MaintenanceTime]] = {}
    for time in maintenance:
        by_monitor.setdefault(time.monitor, []).append(time)
    counted = []
    for incident in incidents:
        if incident.monitor not in uptimes:
            continue
        is_ongoing = incident.closed_at is None or incident.closed_at >= end
        opened = max(incident.opened_at, start)
        closed = end if incident.closed_at is None else min(incident.closed_at, end)
        whole_s = max(0.0, (closed - opened).total_seconds())
        # The times of a monitor are in order and do not overlap.
        times = by_monitor.get(incident.monitor, [])
        first = max(0, bisect_right(times, opened, key=lambda time: time.start) - 1)
        excluded_s = 0.0
        for time in times[first:]:
            if time.start >= closed:
                break
            excluded_s += max(0.0, (min(time.end, closed) - max(time.start, opened)).total_seconds())
        if whole_s and excluded_s >= whole_s:
            continue
        counted.append(OpenTime(incident.id, incident.monitor, whole_s - excluded_s, is_ongoing))
    counts = Counter(time.monitor for time in counted)
    figures = {name: Figures(uptime, counts[name]) for name, uptime in uptimes.items()}
    return Outline(figures, Figures(total_uptime(uptimes.values()), len(counted)), counted, maintenance)


def worst_first(figures: Mapping[str, Figures], most: int) -> list[str]:
    """Return the names with the lowest uptime first, then with the most incidents, then by name; without data, last."""

    def badness(name: str) -> tuple[float, float, int, str]:
        of_monitor = figures[name]
        ratio = 2.0 if of_monitor.ratio is None else of_monitor.ratio
        return ratio, -of_monitor.down_s, -of_monitor.incidents, name

    return sorted(figures, key=badness)[:most]


def combined(maintenance: Iterable[MaintenanceTime], titles: Mapping[str, str]) -> list[ReportedMaintenance]:
    """Return the maintenance in order of time, with one entry for equal times, to the minute, of several monitors.

    `titles`: of the monitors by name.
    """
    groups: dict[tuple[datetime, datetime], list[MaintenanceTime]] = {}
    for time in maintenance:
        key = (time.start.replace(second=0, microsecond=0), time.end.replace(second=0, microsecond=0))
        groups.setdefault(key, []).append(time)
    entries = []
    for times in groups.values():
        names = tuple(sorted({time.monitor for time in times}))
        entries.append(
            ReportedMaintenance(
                min(time.start for time in times),
                max(time.end for time in times),
                names,
                tuple(titles.get(name) or name for name in names),
            )
        )
    return sorted(entries, key=lambda entry: (entry.start, entry.end, entry.monitors))


def _times(bucket: Bucket | None) -> Times | None:
    if bucket is None:
        return None
    p50_s, p95_s, p99_s = (bucket.quantile_s(ratio) for ratio in (0.5, 0.95, 0.99))
    if p50_s is None or p95_s is None or p99_s is None:
        return None
    return Times(p50_s, p95_s, p99_s)
