"""A report as HTML: a complete document for files, and the HTML part of an email.

Styles are inline, as email clients support little else, and the colours are readable on white and on black, which the
reader's settings choose. Nothing is loaded from elsewhere, and all text is escaped.
"""

from collections.abc import Sequence
from html import escape
from urllib.parse import quote

from monitord.model import State
from monitord.notifiers.cards import Colour
from monitord.reports import wording
from monitord.reports.model import Report

MAX_NAMES = 20

GREY = Colour.GREY.value
COLOURS = {
    State.DOWN: Colour.RED.value,
    State.DEGRADED: Colour.AMBER.value,
    State.UP: Colour.GREEN.value,
}

_CELL = "padding:4px 12px 4px 0;border-bottom:1px solid #8884;vertical-align:top;"
_HEADING = "font-size:17px;margin:28px 0 6px"
_NUMBER = "text-align:right;white-space:nowrap;font-variant-numeric:tabular-nums;"


def html_of(report: Report) -> str:
    """Return an HTML document without scripts, images and style sheets."""
    title = escape(wording.title(report))
    rows = []
    for label, value, before in wording.totals(report):
        colour = _colour(wording.grade(report.total) if label == "Uptime" else None)
        rows.append(
            f'<tr><th scope="row" style="text-align:left;font-weight:normal;color:{GREY};padding:2px 16px 2px 0">'
            f'{label}</th><td style="padding:2px 16px 2px 0;{colour}"><b>{escape(value)}</b></td>'
            f'<td style="color:{GREY};padding:2px 0">{escape(before)}</td></tr>'
        )
    totals = f'<table style="border-collapse:collapse">{"".join(rows)}</table>'
    notes = "".join(_paragraph(note) for note in wording.notes(report))
    return (
        '<!doctype html><html lang="en" style="color-scheme:light dark"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width"><meta name="color-scheme" content="light dark">'
        f"<title>{title}: {escape(report.instance)}</title></head>"
        '<body style="margin:0;padding:16px;font:15px/1.5 sans-serif"><div style="max-width:1100px">'
        f'<h1 style="font-size:22px;margin:0">{title}</h1>'
        f'<p style="color:{GREY};margin:0 0 16px">{escape(wording.range_line(report))}</p>'
        f"{totals}{notes}{_monitors(report)}{_objectives(report)}{_incidents(report)}{_maintenance(report)}"
        "</div></body></html>\n"
    )


def _monitors(report: Report) -> str:
    if not report.monitors:
        return ""
    rows = []
    for monitor in report.monitors:
        first, uptime, *others = wording.monitor_cells(monitor)
        cells = [
            f'<th scope="row" style="{_CELL}text-align:left;font-weight:normal;overflow-wrap:anywhere">'
            f"{_link(report, monitor.name, first)}</th>",
            f'<td style="{_CELL}{_NUMBER}{_colour(wording.grade(monitor.figures))}">{escape(uptime)}</td>',
            *(f'<td style="{_CELL}{_NUMBER}">{escape(cell)}</td>' for cell in others),
        ]
        rows.append(f"<tr>{''.join(cells)}</tr>")
    return (
        f'<h2 style="{_HEADING}">Monitors, worst first</h2>'
        f"{_table(wording.MONITOR_HEAD, rows, is_numeric=True)}{_paragraph(wording.more_monitors(report))}"
    )


def _objectives(report: Report) -> str:
    if not report.objectives:
        return ""
    rows = []
    for reported in report.objectives:
        first, *others = wording.objective_cells(reported)
        is_missed = reported.ratio is not None and reported.budget.left_s < 0
        colour = _colour(State.DOWN if is_missed else None)
        cells = "".join(f'<td style="{_CELL}{_NUMBER}{colour}">{escape(cell)}</td>' for cell in others)
        rows.append(
            f'<tr><th scope="row" style="{_CELL}text-align:left;font-weight:normal;overflow-wrap:anywhere">'
            f"{_link(report, reported.monitor, first)}</th>{cells}</tr>"
        )
    return (
        f'<h2 style="{_HEADING}">Objectives in this period</h2>'
        f"{_table(wording.OBJECTIVE_HEAD, rows, is_numeric=True)}{_paragraph(wording.more_objectives(report))}"
    )


def _link(report: Report, monitor: str, text: str) -> str:
    """The text, as a link to the page of the monitor if the address of the pages is known."""
    if not report.public_url:
        return escape(text)
    address = f"{report.public_url}/m/{quote(monitor, safe='')}"
    return f'<a href="{escape(address)}" style="color:inherit">{escape(text)}</a>'


def _incidents(report: Report) -> str:
    heading = f'<h2 style="{_HEADING}">Incidents</h2>'
    if not report.incidents:
        return f"{heading}{_paragraph('none')}"
    rows = []
    for reported in report.incidents:
        *short, detail = wording.incident_cells(report, reported)
        cells = "".join(f'<td style="{_CELL}white-space:nowrap">{escape(cell)}</td>' for cell in short)
        rows.append(f'<tr>{cells}<td style="{_CELL}overflow-wrap:anywhere">{escape(detail)}</td></tr>')
    return (
        f"{heading}{_table(wording.INCIDENT_HEAD, rows, is_numeric=False)}"
        f"{_paragraph(wording.more_incidents(report))}"
    )


def _maintenance(report: Report) -> str:
    if not report.maintenance:
        return ""
    rows = []
    for entry in report.maintenance:
        names = ", ".join(entry.titles[:MAX_NAMES])
        more = len(entry.monitors) - MAX_NAMES
        shown = f"{names} and {more} more" if more > 0 else names
        times = (wording.local(report, entry.start), wording.local(report, entry.end))
        cells = "".join(f'<td style="{_CELL}white-space:nowrap">{escape(time)}</td>' for time in times)
        rows.append(f'<tr>{cells}<td style="{_CELL}overflow-wrap:anywhere">{escape(shown)}</td></tr>')
    return (
        f'<h2 style="{_HEADING}">Maintenance, not counted</h2>'
        f"{_table(('Began', 'Ended', 'Monitors'), rows, is_numeric=False)}"
        f"{_paragraph(wording.more_maintenance(report))}"
    )


def _table(head: Sequence[str], rows: Sequence[str], *, is_numeric: bool) -> str:
    cells = "".join(
        f'<th scope="col" style="{_CELL}font-weight:normal;color:{GREY};'
        f'text-align:{"right" if is_numeric and index else "left"}">{escape(text)}</th>'
        for index, text in enumerate(head)
    )
    return (
        '<div style="overflow-x:auto"><table style="border-collapse:collapse">'
        f"<tr>{cells}</tr>{''.join(rows)}</table></div>"
    )


def _paragraph(text: str) -> str:
    return f'<p style="color:{GREY};margin:8px 0">{escape(text)}</p>' if text else ""


def _colour(state: State | None) -> str:
    return "" if state is None else f"color:{COLOURS[state]}"
