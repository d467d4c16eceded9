"""The wording that the text and the HTML of a report share: numbers, local times and headings."""

from datetime import datetime
from zoneinfo import ZoneInfo

from monitord.clock import in_zone, with_times_in
from monitord.model import State, Verdict
from monitord.monitors.objective import target_text
from monitord.reports.model import Figures, MonitorReport, Report, ReportedIncident, ReportedObjective
from monitord.reports.period import PeriodKind
from monitord.text import counted, plain, shortened
from monitord.units import format_duration, format_percent

MAX_DETAIL_CHARACTERS = 200
NONE = "-"

MINUTE_S = 60


def zone_of(report: Report) -> ZoneInfo | None:
    return None if report.period.zone is None else ZoneInfo(report.period.zone)


def local(report: Report, moment: datetime) -> str:
    """ "2026-10-05 14:03", in the zone of the report."""
    return f"{in_zone(moment, zone_of(report)):%Y-%m-%d %H:%M}"


def zone_name(report: Report) -> str:
    """ "CET", or "CEST/CET" if the UTC offset changes during the period; an IANA name if it was requested."""
    if report.period.zone is not None:
        return report.period.zone
    names = (f"{moment.astimezone():%Z}" for moment in (report.period.start, report.period.end))
    return "/".join(dict.fromkeys(names))


def title(report: Report) -> str:
    match report.period.kind:
        case PeriodKind.MONTH:
            return f"Monthly report {report.period.name}"
        case PeriodKind.WEEK:
            return f"Weekly report {report.period.name}"
        case PeriodKind.RANGE:
            return "Report"  # the range follows in the next line


def range_line(report: Report) -> str:
    """The range, for example "2026-10-01 00:00 to 2026-11-01 00:00 CEST/CET, monitored by shop"."""
    period = f"{local(report, report.period.start)} to {local(report, report.period.end)} {zone_name(report)}"
    return f"{period}, monitored by {report.instance}"


def notes(report: Report) -> list[str]:
    """Sentences about missing data."""
    sentences = []
    if not report.is_stored:
        sentences.append("The history is disabled, so there is no data.")
    elif not report.is_complete:
        sentences.append(f"The period has not ended: the data ends at {local(report, report.until)}.")
    if report.is_stored and not report.has_data:
        sentences.append(
            "There is no data for this period: the daemon was not running, or the monitors did not exist or were "
            "paused, unknown or unreachable."
        )
    elif report.coverage is not None and report.coverage < 1 and percent(report.coverage) != percent(1.0):
        sentences.append(
            f"The uptime covers {percent(report.coverage)} of the period. For the rest, there is no data: the monitors "
            "did not exist or were paused, unknown or unreachable, or the daemon was not running."
        )
    return sentences


def totals(report: Report) -> list[tuple[str, str, str]]:
    """Label, value, and the value of the previous period."""
    now, before = report.total, report.before
    monitors = str(report.monitor_count) + (f", {report.new_count} new" if report.new_count else "")
    return [
        ("Uptime", percent(now.ratio), _previously(percent(before.ratio), points(report.ratio_change))),
        ("Downtime", duration(now.down_s), _previously(duration(before.down_s))),
        ("Incidents", str(now.incidents), _previously(str(before.incidents))),
        (
            "Maintenance",
            duration(now.uptime.maintenance_s),
            _previously(duration(before.uptime.maintenance_s)),
        ),
        ("Monitors", monitors, ""),
    ]


def _previously(value: str, change: str = "") -> str:
    return f"previously {'no data' if value == NONE else value}" + (
        f", {change}" if change and change != NONE else ""
    )


def monitor_cells(monitor: MonitorReport) -> tuple[str, ...]:
    """The cells of MONITOR_HEAD."""
    times = monitor.times
    return (
        monitor.title or monitor.name,
        percent(monitor.figures.ratio),
        "new" if monitor.is_new else points(monitor.ratio_change),
        duration(monitor.figures.down_s),
        str(monitor.figures.incidents),
        checks(monitor),
        *(
            (NONE, NONE, NONE)
            if times is None
            else (short_time(times.p50_s), short_time(times.p95_s), short_time(times.p99_s))
        ),
        trend(monitor.p95_trend),
        covered(monitor.figures),
    )


MONITOR_HEAD = (
    *("Monitor", "Uptime", "Change", "Down", "Incidents", "Failed checks", "p50", "p95", "p99"),
    *("p95 trend", "Covered"),
)

OBJECTIVE_HEAD = ("Objective", "Target", "Achieved", "Budget left", "Time left")


def objective_cells(reported: ReportedObjective) -> tuple[str, ...]:
    """The cells of OBJECTIVE_HEAD."""
    target, budget = target_text(reported.objective), reported.budget
    name = reported.title or reported.monitor
    if reported.ratio is None:
        return (name, target, NONE, NONE, NONE)
    return (
        name,
        target,
        percent(reported.ratio),
        f"{100 * budget.left_ratio:.0f} %",
        duration(budget.left_s),
    )


INCIDENT_HEAD = ("Began", "Duration", "Monitor", "Reason", "Detail")


def incident_cells(report: Report, reported: ReportedIncident) -> tuple[str, ...]:
    """The cells of INCIDENT_HEAD."""
    incident = reported.incident
    detail = with_times_in(zone_of(report), plain(incident.detail))
    return (
        local(report, incident.opened_at),
        duration(reported.duration_s) + (", ongoing" if reported.is_ongoing else ""),
        reported.title or incident.monitor,
        incident.reason.value,
        shortened(detail, MAX_DETAIL_CHARACTERS),
    )


def more_monitors(report: Report) -> str:
    return _more(report.monitor_count - len(report.monitors), "monitor", "with a better uptime")


def more_objectives(report: Report) -> str:
    return _more(
        report.objective_count - len(report.objectives), "objective", "with a larger error budget left"
    )


def more_incidents(report: Report) -> str:
    return _more(report.total.incidents - len(report.incidents), "incident", "that were shorter")


def more_maintenance(report: Report) -> str:
    return _more(report.maintenance_count - len(report.maintenance), "maintenance period", "that began later")


def _more(count: int, noun: str, kind: str) -> str:
    return f"Not listed: {counted(count, noun)} {kind}." if count > 0 else ""


def covered(figures: Figures) -> str:
    return duration(figures.uptime.covered_s)


def checks(monitor: MonitorReport) -> str:
    """ "3 of 44640"."""
    total = sum(monitor.checks.values())
    return f"{monitor.checks.get(Verdict.FAIL, 0)} of {total}" if total else NONE


def percent(ratio: float | None) -> str:
    """ "99.950 %"; only a ratio of exactly 1 is 100 %."""
    if ratio is None:
        return NONE
    return format_percent(ratio)


def points(change: float | None) -> str:
    """A difference of ratios in percentage points: "+0.120 pp"."""
    if change is None:
        return NONE
    shown = f"{change * 100:+.3f} pp"
    return "±0 pp" if shown in {"+0.000 pp", "-0.000 pp"} else shown


def trend(relative: float | None) -> str:
    """ "+12 %"."""
    if relative is None:
        return NONE
    shown = f"{relative * 100:+.0f} %"
    return "±0 %" if shown in {"+0 %", "-0 %"} else shown


def duration(seconds: float) -> str:
    """Whole minutes from an hour on, whole seconds below; "0s" for none."""
    step_s = MINUTE_S if seconds >= 60 * MINUTE_S else 1
    return format_duration(float(round(seconds / step_s) * step_s))


def short_time(seconds: float) -> str:
    """ "12 ms", "1.50 s"."""
    if seconds >= MINUTE_S:
        return format_duration(float(round(seconds)))
    return f"{seconds:.2f} s" if seconds >= 1 else f"{seconds * 1000:.3g} ms"


def grade(figures: Figures) -> State | None:
    """The state whose colour the uptime has. None: there is no data."""
    if figures.ratio is None:
        return None
    if figures.down_s:
        return State.DOWN
    return State.DEGRADED if figures.uptime.seconds.get(State.DEGRADED) else State.UP
