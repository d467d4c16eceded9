"""A report as text: for the terminal, and as the alternative to the HTML of an email."""

from collections.abc import Sequence
from textwrap import wrap

from monitord.reports import wording
from monitord.reports.model import Report

WIDTH = 78
"""RFC 5322, section 2.1.1; tables with long names are wider."""

MAX_NAME_CHARACTERS = 28
MAX_NAMES = 5

UPTIME_COLUMNS = (0, 1, 2, 3, 4, 10)
TIME_COLUMNS = (0, 5, 6, 7, 8, 9)
"""Indexes of `wording.MONITOR_HEAD`."""


def text_of(report: Report) -> str:
    """Return the report as plain text."""
    lines = [wording.title(report), wording.range_line(report), ""]
    for label, value, before in wording.totals(report):
        lines.append(f"{label:<12} {value:<12} {f'({before})' if before else ''}".rstrip())
    for note in wording.notes(report):
        lines += ["", *wrap(note, WIDTH)]
    if report.monitors:
        # Two tables, so that both fit into 80 columns.
        cells = [wording.monitor_cells(monitor) for monitor in report.monitors]
        tables = [("Monitors, worst first", UPTIME_COLUMNS)]
        if any(monitor.checks for monitor in report.monitors):
            tables.append(("Response times", TIME_COLUMNS))
        for heading, columns in tables:
            head, *rows = ([row[column] for column in columns] for row in (wording.MONITOR_HEAD, *cells))
            lines += ["", heading, "", *table(head, rows, right=True)]
        lines += _more(wording.more_monitors(report))
    if report.objectives:
        objectives = [wording.objective_cells(reported) for reported in report.objectives]
        lines += ["", "Objectives in this period", "", *table(wording.OBJECTIVE_HEAD, objectives, right=True)]
        lines += _more(wording.more_objectives(report))
    lines += ["", "Incidents", ""]
    if report.incidents:
        incidents = [wording.incident_cells(report, reported) for reported in report.incidents]
        lines += table(wording.INCIDENT_HEAD, incidents)
        lines += _more(wording.more_incidents(report))
    else:
        lines.append("none")
    if report.maintenance:
        lines += ["", "Maintenance, not counted", ""]
        for entry in report.maintenance:
            names = ", ".join(entry.titles[:MAX_NAMES])
            more = len(entry.monitors) - MAX_NAMES
            lines.append(
                f"{wording.local(report, entry.start)} to {wording.local(report, entry.end)}  {names}"
                + (f" and {more} more" if more > 0 else "")
            )
        lines += _more(wording.more_maintenance(report))
    return "\n".join(lines) + "\n"


def _more(line: str) -> list[str]:
    return ["", line] if line else []


def table(head: Sequence[str], rows: Sequence[Sequence[str]], *, right: bool = False) -> list[str]:
    """Return the columns with two spaces between them. `right`: all but the first are right-aligned."""
    cells = [list(head)]
    for *others, last in rows:
        short = [
            cell if len(cell) <= MAX_NAME_CHARACTERS else cell[: MAX_NAME_CHARACTERS - 1] + "…"
            for cell in others
        ]
        cells.append([*short, last])
    widths = [max(len(row[index]) for row in cells) for index in range(len(head))]
    lines = []
    for row in cells:
        padded = [
            cell.rjust(width) if right and index else cell.ljust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(padded).rstrip())
    return lines
