"""The sections [reports.NAME] of the configuration."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path

from monitord.calendar_events import CalendarEvent, parse_calendar_event
from monitord.config import Table, value_text
from monitord.dispatch import Matcher
from monitord.health.selection import read_selection
from monitord.health.windows import read_calendar
from monitord.notifiers import NotifierSettings
from monitord.reports.build import MAX_MONITORS
from monitord.reports.period import PeriodKind
from monitord.reports.reports import DEFAULT_MONITORS
from monitord.text import did_you_mean

MAIL = "mail"
"""The type of the notifiers that can send reports."""


class ReportPeriod(Enum):
    """The values of `period`."""

    MONTH = "month"
    WEEK = "week"


_IMPLIED = {
    parse_calendar_event("weekly"): ReportPeriod.WEEK,
    parse_calendar_event("monthly"): ReportPeriod.MONTH,
}


@dataclass(frozen=True, slots=True)
class ReportSettings:
    """A scheduled report. `notify`: names of notifiers for email. `directory`: of the HTML files; None: no files.

    `monitors` (names and patterns) and `tags` select monitors; empty: all. At each time of `schedule`, the last
    complete month or week is reported, in the time zone of `schedule`.
    """

    name: str
    schedule: CalendarEvent
    kind: PeriodKind
    notify: tuple[str, ...] = ()
    directory: Path | None = None
    monitors: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    max_monitors: int = DEFAULT_MONITORS

    def covers(self, monitor: str, tags: Collection[str]) -> bool:
        """Whether a monitor is part of the report."""
        return Matcher(patterns=self.monitors, tags=self.tags).matches(monitor, tags)


def read_reports(
    root: Table, notifiers: Sequence[NotifierSettings], names: Collection[str], tags: Collection[str] | None
) -> tuple[ReportSettings, ...]:
    """Read the sections. `names` and `tags`: of all monitors; None: not all tags are known."""
    known = {notifier.name: notifier.type_name for notifier in notifiers}
    unreadable = root.table("notifiers").members().keys() - known.keys()
    reports = [
        _read(name, table, known, unreadable, names, tags)
        for name, table in root.table("reports").members().items()
    ]
    return tuple(settings for settings in reports if settings is not None)


def _read(
    name: str,
    table: Table,
    notifiers: Mapping[str, str],
    unreadable: Collection[str],
    names: Collection[str],
    tags: Collection[str] | None,
) -> ReportSettings | None:
    """`notifiers`: their types by name. `unreadable`: the names of notifiers with errors."""
    schedule = read_calendar(table, "schedule", required=True)
    period = table.choice("period", ReportPeriod, default=None)
    if period is None and schedule is not None:
        period = _IMPLIED.get(replace(schedule, zone=None))
        if period is None and table.raw("period") is None:
            table.error(
                "", "has no period", 'write period = "month" or "week", or schedule = "monthly" or "weekly"'
            )
    kind = None if period is None else PeriodKind(period.value)
    if table.raw("notify") is None and table.raw("directory") is None:
        table.error(
            "",
            "has neither notify nor directory",
            'write notify = "ops", or directory = "/var/lib/monitord/reports"',
        )
    notify = tuple(dict.fromkeys(table.one_or_more("notify", str, default=())))
    for notifier in notify:
        if notifier not in notifiers and notifier not in unreadable:
            hint = did_you_mean(notifier, notifiers) or "write the name of a notifier of type mail"
            table.error("notify", f"{value_text(notifier)} is not a notifier", hint)
        elif notifiers.get(notifier, MAIL) != MAIL:
            problem = f"{value_text(notifier)} has type {notifiers[notifier]}, which cannot send reports"
            table.error("notify", problem, "write the name of a notifier of type mail")
    directory = table.text("directory", default=None)
    if directory is not None and (not directory.startswith("/") or "\0" in directory):
        table.error(
            "directory", "is not an absolute path", 'write a path such as "/var/lib/monitord/reports"'
        )
    monitors, report_tags = read_selection(table, names, tags)
    max_monitors = table.integer("max_monitors", default=DEFAULT_MONITORS, minimum=1, maximum=MAX_MONITORS)
    if schedule is None or kind is None:
        return None
    path = None if directory is None else Path(directory)
    return ReportSettings(name, schedule, kind, notify, path, monitors, report_tags, max_monitors)
