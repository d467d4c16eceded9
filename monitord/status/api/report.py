"""Reports of a month, a week or another period, as JSON, HTML and text."""

import asyncio
import re
from collections.abc import Callable
from datetime import datetime

from monitord.calendar_events.zones import is_zone
from monitord.dispatch import Matcher
from monitord.errors import InvalidValueError
from monitord.model import Json, Verdict
from monitord.reports.model import Figures, Report, Times
from monitord.reports.period import Period, PeriodKind, last_complete, month, week
from monitord.reports.reports import DEFAULT_MONITORS, Reports
from monitord.reports.scheduler import ReportScheduler
from monitord.status.access.problems import InputError, UnknownInput
from monitord.status.access.responses import compact_json_response, encode
from monitord.status.api.history import uptime_of
from monitord.status.api.openapi import ApiEndpoint, Handler, ResponseSpec
from monitord.status.model.listing import TEXT, limit
from monitord.status.model.query import MOMENT, QueryValues, moment, nonempty, repeated, single
from monitord.status.model.read_model import ReadModel
from monitord.status.model.representations import incident_of, text_of
from monitord.status.model.selection import select
from monitord.web import Request, Response

_YEAR = "(?:19[789][0-9]|2[01][0-9]{2})"
MONTH = f"{_YEAR}-(?:0[1-9]|1[0-2])"
WEEK = f"{_YEAR}-W(?:0[1-9]|[1-4][0-9]|5[0-3])"

LAST_MONTH, LAST_WEEK = "month", "week"

MAX_ZONE_CHARACTERS = 100

HTML = "text/html; charset=utf-8"
PLAIN_TEXT = "text/plain; charset=utf-8"

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
"""For the HTML, which is that of emails: its styles are inline."""

Choose = Callable[[datetime, str | None], Period]
"""Returns the period, given the current time and the time zone."""


def period(value: str) -> Choose:
    """Read a period. Raises InvalidValueError."""
    if value in {LAST_MONTH, LAST_WEEK}:
        return lambda now, zone: last_complete(PeriodKind(value), now, zone)
    number = re.fullmatch(rf"(?P<year>{_YEAR})-(?P<week>W)?(?P<number>[0-9]{{2}})", value)
    if number is not None and re.fullmatch(f"{MONTH}|{WEEK}", value):
        of = month if number["week"] is None else week
        return lambda _, zone: of(int(number["year"]), int(number["number"]), zone)
    first, separator, last = value.partition("/")
    if not separator:
        raise InvalidValueError(
            "is not a period", 'write a month such as "2026-10", a week such as "2026-W44", or START/END'
        )
    start, end = sorted(map(_moment, (first, last)))
    return lambda _, zone: Period(PeriodKind.RANGE, start, end, zone)


def _moment(value: str) -> datetime:
    """Read a time. Raises InvalidValueError."""
    read = moment(value)
    if not isinstance(read, datetime):
        raise InvalidValueError("is not a time", 'write RFC 3339 such as "2026-01-31T12:00:00Z"')
    return read


PERIOD = single(
    "period",
    period,
    period(LAST_MONTH),
    {
        "type": "string",
        "pattern": f"^(?:{LAST_MONTH}|{LAST_WEEK}|{MONTH}|{WEEK}|(?:{MOMENT})/(?:{MOMENT}))$",
        "default": LAST_MONTH,
    },
    'A calendar month ("2026-10"), an ISO 8601 week ("2026-W44"), or two times in RFC 3339, separated by "/". '
    "`month` and `week` select the last complete month or week.",
)
ZONE = single(
    "time_zone",
    nonempty,
    "",
    {**TEXT, "maxLength": MAX_ZONE_CHARACTERS},
    "The time zone in which a month or week begins, such as `Europe/Berlin`. The default is that of the daemon.",
)
MONITOR = repeated(
    "monitor",
    nonempty,
    TEXT,
    "Report this monitor, or monitors that match a pattern with `*`, `?` or `[…]`. If repeated, any of them.",
)
TAG = repeated(
    "tag", nonempty, TEXT, "Report monitors with this tag. If repeated, report monitors with all of the tags."
)
MAX_MONITORS = limit(DEFAULT_MONITORS, 1000, name="max_monitors")


class ReportApi:
    """Handlers of the endpoints."""

    def __init__(self, model: ReadModel, reports: Reports, scheduler: ReportScheduler) -> None:
        self._model = model
        self._reports = reports
        self._scheduler = scheduler

    async def scheduled(self, _: Request, __: QueryValues) -> Response:
        return compact_json_response(
            {
                "reports": [
                    {
                        "name": status.settings.name,
                        "schedule": str(status.settings.schedule),
                        "period": status.settings.kind.value,
                        "next_at": text_of(status.next_at),
                        "notify": list(status.settings.notify),
                        "directory": None
                        if status.settings.directory is None
                        else str(status.settings.directory),
                        "last_period": status.last_period,
                        "last_delivered_at": text_of(status.last_delivered_at),
                        "error": status.error,
                        "failing_since": text_of(status.failing_since),
                    }
                    for status in self._scheduler.status()
                ]
            }
        )

    async def json(self, _: Request, query: QueryValues) -> Response:
        report = await self._report(query)
        return compact_json_response(await asyncio.to_thread(lambda: encode(report_of(report))))

    async def html(self, _: Request, query: QueryValues) -> Response:
        body = await asyncio.to_thread(_html, await self._report(query))
        return Response(
            text=body,
            content_type=HTML,
            headers={"Content-Security-Policy": CONTENT_SECURITY_POLICY},
        )

    async def text(self, _: Request, query: QueryValues) -> Response:
        body = await asyncio.to_thread(_text, await self._report(query))
        return Response(text=body, content_type=PLAIN_TEXT)

    async def _report(self, query: QueryValues) -> Report:
        zone = query[ZONE] or None
        if zone is not None and not is_zone(zone):
            problem = f"{zone!r} is not a time zone of this host"
            raise UnknownInput([InputError("time_zone", problem, 'write a name such as "Europe/Berlin"')])
        names = query[MONITOR]
        patterns = tuple(name for name in names if any(sign in name for sign in "*?["))
        matcher = Matcher(tuple(name for name in names if name not in patterns), patterns, query[TAG])
        entries = self._model.registry.entries
        selected = select(matcher, entries, lambda _: None).monitors if names or query[TAG] else list(entries)
        requested = query[PERIOD](self._model.clock.now(), zone)
        return await self._reports.build(selected, requested, query[MAX_MONITORS])


# Imported when the first report is requested, in its thread: most daemons do not need them.
def _html(report: Report) -> str:
    from monitord.reports.html import html_of  # noqa: PLC0415

    return html_of(report)


def _text(report: Report) -> str:
    from monitord.reports import text  # noqa: PLC0415

    return text.text_of(report)


def report_of(report: Report) -> Json:
    """Return a report as JSON."""
    return {
        "instance": report.instance,
        "period": _period_of(report.period),
        "previous_period": _period_of(report.previous),
        "created_at": text_of(report.created_at),
        "until": text_of(report.until),
        "is_complete": report.is_complete,
        "total": _figures_of(report.total),
        "previous": _figures_of(report.before),
        "uptime_ratio_change": _rounded(report.ratio_change),
        "coverage": _rounded(report.coverage),
        "monitors": [
            {
                "name": monitor.name,
                "title": monitor.title,
                **_figures_of(monitor.figures),
                "previous": _figures_of(monitor.before),
                "uptime_ratio_change": _rounded(monitor.ratio_change),
                "is_new": monitor.is_new,
                "checks": {verdict.value: monitor.checks.get(verdict, 0) for verdict in Verdict},
                "response_time_s": _times_of(monitor.times),
                "previous_response_time_s": _times_of(monitor.times_before),
                "p95_change_ratio": _rounded(monitor.p95_trend),
            }
            for monitor in report.monitors
        ],
        "monitor_count": report.monitor_count,
        "objectives": [
            {
                "monitor": reported.monitor,
                "title": reported.title,
                "target_percent": reported.objective.target_percent,
                "ratio": _rounded(reported.ratio),
                "error_budget_left_ratio": None
                if reported.ratio is None
                else _rounded(reported.budget.left_ratio),
                "error_budget_left_s": None if reported.ratio is None else round(reported.budget.left_s, 3),
            }
            for reported in report.objectives
        ],
        "objective_count": report.objective_count,
        "new_count": report.new_count,
        "incidents": [
            {
                **incident_of(reported.incident),
                "duration_s": round(reported.duration_s, 3),
                "is_ongoing": reported.is_ongoing,
            }
            for reported in report.incidents
        ],
        "maintenance_periods": [
            {"from": text_of(entry.start), "to": text_of(entry.end), "monitors": list(entry.monitors)}
            for entry in report.maintenance
        ],
        "maintenance_count": report.maintenance_count,
    }


def _period_of(period: Period) -> Json:
    return {
        "kind": period.kind.value,
        "name": period.name,
        "from": text_of(period.start),
        "to": text_of(period.end),
        "time_zone": period.zone,
    }


def _figures_of(figures: Figures) -> Json:
    return {"uptime": uptime_of(figures.uptime), "incidents": figures.incidents}


def _times_of(times: Times | None) -> Json | None:
    if times is None:
        return None
    return {"p50": round(times.p50_s, 6), "p95": round(times.p95_s, 6), "p99": round(times.p99_s, 6)}


def _rounded(ratio: float | None) -> float | None:
    return None if ratio is None else round(ratio, 8)


def report_endpoints(model: ReadModel, reports: Reports, scheduler: ReportScheduler) -> list[ApiEndpoint]:
    handlers = ReportApi(model, reports, scheduler)
    description = (
        "Returns uptime, incidents and response times of all or of the selected monitors in a period, the worst "
        "monitors first, with the changes since the previous period. Time in maintenance is excluded and listed."
    )

    def endpoint(path: str, handler: Handler, name: str, summary: str, response: ResponseSpec) -> ApiEndpoint:
        return ApiEndpoint(
            "GET",
            path,
            handler,
            name,
            "History",
            summary,
            description,
            {200: response},
            parameters=(PERIOD, ZONE, MONITOR, TAG, MAX_MONITORS),
            problems=[404, 503],
        )

    return [
        endpoint(
            "/report", handlers.json, "getReport", "Get a report", ResponseSpec("The report.", "Report")
        ),
        endpoint(
            "/report.html",
            handlers.html,
            "getReportAsHtml",
            "Get a report as HTML",
            ResponseSpec("The report.", "Page", HTML),
        ),
        endpoint(
            "/report.txt",
            handlers.text,
            "getReportAsText",
            "Get a report as text",
            ResponseSpec("The report.", "PlainText", PLAIN_TEXT),
        ),
        ApiEndpoint(
            "GET",
            "/reports",
            handlers.scheduled,
            "listReports",
            "Notifications",
            "List scheduled reports",
            "Returns the reports of the configuration, with their next time and the outcome of their delivery.",
            {200: ResponseSpec("The scheduled reports.", "Reports")},
        ),
    ]
