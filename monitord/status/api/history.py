"""Results, series, uptime and incidents from the history. If the history is disabled, responses are empty.

If the history cannot be read, the response is 503, and nothing else is delayed.
"""

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from monitord.dispatch import result_from_record
from monitord.errors import HistoryError
from monitord.history import Bucket, Histogram, History, StoredResult, Uptime
from monitord.model import Incident, Json, State, Verdict
from monitord.status.access.problems import find_monitor, problem_of
from monitord.status.access.responses import compact_json_response
from monitord.status.api.openapi import ApiEndpoint, ResponseSpec
from monitord.status.model.listing import limit
from monitord.status.model.query import (
    AGE_OR_MOMENT_SCHEMA,
    DURATION_SCHEMA,
    QueryParameter,
    QueryValues,
    at,
    duration,
    flag,
    moment,
    nonempty,
    single,
)
from monitord.status.model.read_model import ReadModel
from monitord.status.model.representations import incident_of, result_of, text_of
from monitord.web import Application, HTTPServiceUnavailable, Request, Response

WINDOWS = {
    "1h": timedelta(hours=1),
    "24h": timedelta(days=1),
    "7d": timedelta(days=7),
    "30d": timedelta(days=30),
    "90d": timedelta(days=90),
}

BUCKETS_PER_SLICE = 50
"""Converted without a break of the event loop, in about 8 ms."""

MAX_AGE = timedelta(days=20 * 366)
DAY = timedelta(days=1)

_FLAG: Json = {"type": "string", "enum": ["0", "1"]}

FAILED = single("failed", flag, False, {**_FLAG, "default": "0"}, "`1`: select failed checks only.")
OPEN: QueryParameter[bool | None] = single(
    "open", flag, None, _FLAG, "`1`: select open incidents; `0`: select closed incidents."
)
MONITOR = single(
    "monitor", nonempty, "", {"type": "string", "minLength": 1}, "Select incidents of this monitor."
)
BEFORE: QueryParameter[datetime | timedelta | None] = single(
    "before",
    moment,
    None,
    AGE_OR_MOMENT_SCHEMA,
    'Select items that began before this time: RFC 3339, or relative to now such as "-24h".',
)
FROM: QueryParameter[datetime | timedelta] = single(
    "from",
    moment,
    DAY,
    {**AGE_OR_MOMENT_SCHEMA, "default": "-24h"},
    'The start of the range: RFC 3339, or relative to now such as "-24h". If it is after `to`, the two are swapped.',
)
TO: QueryParameter[datetime | timedelta] = single(
    "to",
    moment,
    timedelta(),
    AGE_OR_MOMENT_SCHEMA,
    'The end of the range: RFC 3339, or relative to now such as "-1h". The default is the current time.',
)
STEP = single(
    "step",
    duration,
    0.0,
    DURATION_SCHEMA,
    'The length of a bucket, such as "5m"; at least the resolution that is stored. The default results in about 300 '
    "buckets.",
)
LAST = limit(20, 20)
RESULTS = limit(20, 1000)
INCIDENTS = limit(50, 500)


class HistoryApi:
    """Handlers of the endpoints."""

    def __init__(self, model: ReadModel, history: History) -> None:
        self._model = model
        self._history = history

    async def monitor(self, request: Request, _: QueryValues) -> Response:
        """The monitor, its uptime and the summary of a day; these are null if the history cannot be read."""
        with find_monitor(request) as name:
            detail = self._model.detail(name)
        now = self._model.clock.now()
        try:
            uptimes = await self._history.uptimes([name], [(now - span, now) for span in WINDOWS.values()])
            buckets = await self._history.buckets(name, now - DAY, now, 3600)
        except HistoryError:
            return compact_json_response({**detail, "uptime": None, "summary_24h": None})
        return compact_json_response(
            {
                **detail,
                "uptime": dict(zip(WINDOWS, map(uptime_of, uptimes[name]), strict=True)),
                "summary_24h": summary_of(buckets),
            }
        )

    async def results(self, request: Request, query: QueryValues) -> Response:
        name, limit = self._name(request), query[RESULTS]
        before = self._before(query)
        stored = await self._history.results(name, limit=limit + 1, before=before, failed=query[FAILED])
        next_before = text_of(stored[limit - 1].at) if len(stored) > limit else None
        results = [stored_of(result) for result in stored[:limit]]
        return compact_json_response({"monitor": name, "results": results, "next_before": next_before})

    async def last(self, request: Request, query: QueryValues) -> Response:
        """The last results with all fields, from the history; if it is disabled, the last result, from memory."""
        name = self._name(request)
        records = await self._history.records(name, failed=query[FAILED], limit=query[LAST])
        results = [result_from_record(record) for record in records]
        if not results:
            last = self._model.registry.entries[name].state.last
            results = [last] if last and (last.verdict is Verdict.FAIL or not query[FAILED]) else []
        return compact_json_response({"monitor": name, "results": [result_of(result) for result in results]})

    async def series(self, request: Request, query: QueryValues) -> Response:
        name = self._name(request)
        start, end = self._range(query)
        buckets = await self._history.buckets(name, start, end, query[STEP] or None)
        # The percentiles of 1,500 buckets at once would block the event loop for 250 ms.
        converted: list[Json] = []
        for first in range(0, len(buckets), BUCKETS_PER_SLICE):
            converted += [bucket_of(bucket) for bucket in buckets[first : first + BUCKETS_PER_SLICE]]
            await asyncio.sleep(0)
        return compact_json_response(
            {
                "monitor": name,
                "from": text_of(start),
                "to": text_of(end),
                "step_s": buckets[0].step_s if buckets else None,
                "buckets": converted,
                "total": summary_of(buckets),
            }
        )

    async def uptime(self, request: Request, query: QueryValues) -> Response:
        name = self._name(request)
        start, end = self._range(query)
        uptime = await self._history.uptime(name, start, end)
        return compact_json_response(
            {"monitor": name, "from": text_of(start), "to": text_of(end), **uptime_of(uptime)}
        )

    async def incidents_of(self, request: Request, query: QueryValues) -> Response:
        return await self._incidents(self._name(request), query)

    async def incidents(self, _: Request, query: QueryValues) -> Response:
        return await self._incidents(query[MONITOR] or None, query)

    async def _incidents(self, monitor: str | None, query: QueryValues) -> Response:
        limit = query[INCIDENTS]
        incidents = await self._history.incidents(
            monitor=monitor, is_open=query[OPEN], limit=limit + 1, before=self._before(query)
        )
        shown, next_before = first_page(incidents, limit)
        return compact_json_response(
            {
                "incidents": [incident_of(incident) for incident in shown],
                "next_before": text_of(next_before),
            }
        )

    def _name(self, request: Request) -> str:
        with find_monitor(request) as name:
            return self._model.registry.entries[name].name

    def _before(self, query: QueryValues) -> datetime | None:
        before = query[BEFORE]
        return None if before is None else self._within(at(before, self._model.clock.now()))

    def _range(self, query: QueryValues) -> tuple[datetime, datetime]:
        now = self._model.clock.now()
        start, end = self._within(at(query[FROM], now)), self._within(at(query[TO], now))
        # No schema can express which of two parameters is greater, so each order is accepted.
        return min(start, end), max(start, end)

    def _within(self, moment: datetime) -> datetime:
        """The nearest time for which there can be stored data."""
        now = self._model.clock.now()
        return min(max(moment, now - MAX_AGE), now + DAY)


def first_page(incidents: Sequence[Incident], limit: int) -> tuple[Sequence[Incident], datetime | None]:
    """Return at most `limit` of `limit + 1` incidents, and `before` for the next page; None: there is no next page.

    Several incidents can open in the same millisecond. They stay on the same page, because no time separates them.
    """
    if len(incidents) <= limit:
        return incidents, None
    shown = [incident for incident in incidents[:limit] if incident.opened_at > incidents[limit].opened_at]
    shown = shown or list(incidents[:limit])
    return shown, shown[-1].opened_at


def uptime_of(uptime: Uptime) -> Json:
    """Return an uptime as JSON. `ratio`: up or degraded, divided by up, degraded or down; null if there is none."""
    return {
        "ratio": None if uptime.ratio is None else round(uptime.ratio, 8),
        "covered_s": round(uptime.covered_s, 3),
        "seconds": _seconds(uptime.seconds),
        "maintenance_s": round(uptime.maintenance_s, 3),
    }


def stored_of(stored: StoredResult) -> Json:
    return {
        "started_at": text_of(stored.at),
        "verdict": stored.verdict.value,
        "state": stored.state.value,
        "reason": stored.reason.value,
        "response_time_s": round(stored.duration_s, 6),
        "phases_s": {name: round(spent_s, 6) for name, spent_s in stored.phases_s.items()},
        "detail": stored.detail,
    }


def bucket_of(bucket: Bucket) -> Json:
    return {
        "from": text_of(bucket.start),
        "seconds": _seconds(bucket.seconds),
        "maintenance_s": round(bucket.maintenance_s, 3),
        **summary_of([bucket]),
    }


def summary_of(buckets: Sequence[Bucket]) -> Json:
    """The buckets together: checks by verdict, response times, and the mean of each phase."""
    histogram, phases = Histogram(), Counter[str]()
    for bucket in buckets:
        histogram.merge(bucket.histogram)
        phases.update(bucket.phases_s)
    timed, phased = sum(bucket.timed for bucket in buckets), sum(bucket.phased for bucket in buckets)
    min_s = min((bucket.min_s for bucket in buckets if bucket.min_s is not None), default=None)
    max_s = max((bucket.max_s for bucket in buckets if bucket.max_s is not None), default=None)
    total_s = sum(bucket.mean_s * bucket.timed for bucket in buckets if bucket.mean_s is not None)

    def quantile_s(share: float) -> float | None:
        value_s = histogram.quantile_s(share)
        if value_s is None or min_s is None or max_s is None:
            return None
        return round(min(max(value_s, min_s), max_s), 6)

    return {
        "checks": {
            verdict.value: sum(bucket.counts.get(verdict, 0) for bucket in buckets) for verdict in Verdict
        },
        "response_time_s": {
            "count": timed,
            "min": None if min_s is None else round(min_s, 6),
            "mean": round(total_s / timed, 6) if timed else None,
            "max": None if max_s is None else round(max_s, 6),
            "p50": quantile_s(0.5),
            "p95": quantile_s(0.95),
            "p99": quantile_s(0.99),
        },
        "phases_s": {name: round(spent_s / phased, 6) for name, spent_s in phases.items()} if phased else {},
    }


def _seconds(seconds: Mapping[State, float]) -> Json:
    return {state.value: round(seconds.get(state, 0.0), 3) for state in State}


def add_history_error_handler(application: Application) -> None:
    """Respond with 503 if the history cannot be read."""

    async def on_error(_: Request, error: HistoryError) -> Response:
        return problem_of(HTTPServiceUnavailable(text=f"{error}\n", headers={"Retry-After": "10"}))

    application.add_exception_handler(HistoryError, on_error)


def history_endpoints(model: ReadModel, history: History) -> list[ApiEndpoint]:
    handlers = HistoryApi(model, history)
    return [
        ApiEndpoint(
            "GET",
            "/monitors/{name}",
            handlers.monitor,
            "getMonitor",
            "Monitors",
            "Get a monitor",
            "Returns the state, settings, schedule and last result of the monitor, its uptime, and a summary of the "
            "last 24 hours.",
            {200: ResponseSpec("The monitor.", "Monitor")},
        ),
        ApiEndpoint(
            "GET",
            "/monitors/{name}/results",
            handlers.results,
            "listResults",
            "History",
            "List results of a monitor",
            "Returns the stored results, newest first. Stored results do not contain fields; "
            "`GET /api/v1/monitors/{name}/recent-results` returns the last results with all fields.",
            {200: ResponseSpec("A page of results.", "Results")},
            parameters=(FAILED, RESULTS, BEFORE),
            problems=[503],
        ),
        ApiEndpoint(
            "GET",
            "/monitors/{name}/recent-results",
            handlers.last,
            "listRecentResults",
            "History",
            "List the last results of a monitor with all fields",
            "Returns at most 20 results, or failures, with all their fields, newest first.",
            {200: ResponseSpec("The last results.", "RecentResults")},
            parameters=(FAILED, LAST),
            problems=[503],
        ),
        ApiEndpoint(
            "GET",
            "/monitors/{name}/series",
            handlers.series,
            "getSeries",
            "History",
            "Get a time series of a monitor",
            "Returns checks, response times and states of the range in buckets of equal length.",
            {200: ResponseSpec("The buckets, oldest first, and their total.", "Series")},
            parameters=(FROM, TO, STEP),
            problems=[503],
        ),
        ApiEndpoint(
            "GET",
            "/monitors/{name}/uptime",
            handlers.uptime,
            "getUptime",
            "History",
            "Get the uptime of a monitor",
            "Returns the time in each state and the uptime ratio of the range.",
            {200: ResponseSpec("The uptime.", "UptimeOfRange")},
            parameters=(FROM, TO),
            problems=[503],
        ),
        ApiEndpoint(
            "GET",
            "/monitors/{name}/incidents",
            handlers.incidents_of,
            "listIncidentsOfMonitor",
            "History",
            "List incidents of a monitor",
            "Returns the incidents of the monitor, newest first.",
            {200: ResponseSpec("A page of incidents.", "Incidents")},
            parameters=(OPEN, INCIDENTS, BEFORE),
            problems=[503],
        ),
        ApiEndpoint(
            "GET",
            "/incidents",
            handlers.incidents,
            "listIncidents",
            "History",
            "List incidents",
            "Returns the incidents of all monitors, newest first. Monitors that have been removed are included.",
            {200: ResponseSpec("A page of incidents.", "Incidents")},
            parameters=(MONITOR, OPEN, INCIDENTS, BEFORE),
            problems=[503],
        ),
    ]
