"""What was: results, series, uptime and incidents, out of the history. Where none is kept the answers are empty.

What storage cannot give is 503, and never holds up anything else.
"""

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from monitord.dispatch import result_of_record
from monitord.errors import HistoryError
from monitord.history import Bucket, Histogram, History, StoredResult, Uptime
from monitord.model import Incident, Json, State, Verdict
from monitord.status.access.problems import find_monitor, problem_of
from monitord.status.access.responses import json_answer
from monitord.status.api.openapi import Answer, Endpoint
from monitord.status.model.forms import incident_of, result_of, text_of
from monitord.status.model.listing import limit
from monitord.status.model.query import (
    AGE_OR_MOMENT_SCHEMA,
    DURATION_SCHEMA,
    Parameter,
    Query,
    at,
    duration,
    flag,
    moment,
    one,
    words,
)
from monitord.status.model.read_model import ReadModel
from monitord.web import Application, HTTPServiceUnavailable, Request, Response

WINDOWS = {
    "1h": timedelta(hours=1),
    "24h": timedelta(days=1),
    "7d": timedelta(days=7),
    "30d": timedelta(days=30),
    "90d": timedelta(days=90),
}

BUCKETS_IN_A_SLICE = 50
"""Some 8 ms."""

LONGEST_BACK = timedelta(days=20 * 366)
DAY = timedelta(days=1)

_FLAG: Json = {"type": "string", "enum": ["0", "1"]}

FAILED = one("failed", flag, False, {**_FLAG, "default": "0"}, "1: only checks that failed.")
OPEN: Parameter[bool | None] = one(
    "open", flag, None, _FLAG, "1: only incidents that go on; 0: only those that have ended."
)
MONITOR = one("monitor", words, "", {"type": "string", "minLength": 1}, "Only those of this monitor.")
BEFORE: Parameter[datetime | timedelta | None] = one(
    "before", moment, None, AGE_OR_MOMENT_SCHEMA, 'Only what began before: RFC 3339, or "-24h".'
)
FROM: Parameter[datetime | timedelta] = one(
    "from",
    moment,
    DAY,
    {**AGE_OR_MOMENT_SCHEMA, "default": "-24h"},
    'The begin: RFC 3339, or "-24h". If it is after `to`, the two are exchanged.',
)
TO: Parameter[datetime | timedelta] = one(
    "to", moment, timedelta(), AGE_OR_MOMENT_SCHEMA, "The end; now unless given."
)
STEP = one(
    "step",
    duration,
    0.0,
    DURATION_SCHEMA,
    'The length of a bucket, such as "5m"; at least what is kept. Chosen for some 300 buckets unless given.',
)
LAST = limit(20, 20)
RESULTS = limit(20, 1000)
INCIDENTS = limit(50, 500)


class HistoryApi:
    """The handlers."""

    def __init__(self, model: ReadModel, history: History) -> None:
        self._model = model
        self._history = history

    async def monitor(self, request: Request, _: Query) -> Response:
        """As it is, and how it has been."""
        with find_monitor(request) as name:
            now_so = self._model.detail(name)
        return json_answer({**now_so, **await self._been(name)})

    async def _been(self, name: str) -> Json:
        now = self._model.clock.now()
        try:
            uptimes = await self._history.uptimes([name], [(now - span, now) for span in WINDOWS.values()])
            buckets = await self._history.buckets(name, now - DAY, now, 3600)
        except HistoryError:
            return {"uptime": None, "last_24h": None}
        return {
            "uptime": dict(zip(WINDOWS, map(uptime_of, uptimes[name]), strict=True)),
            "last_24h": summary_of(buckets),
        }

    async def results(self, request: Request, query: Query) -> Response:
        name, most = self._name(request), query[RESULTS]
        before = self._before(query)
        found = await self._history.results(name, limit=most + 1, before=before, failed=query[FAILED])
        following = text_of(found[most - 1].at) if len(found) > most else None
        shown = [stored_of(one) for one in found[:most]]
        return json_answer({"monitor": name, "results": shown, "next_before": following})

    async def last(self, request: Request, query: Query) -> Response:
        """Whole, out of the history; without one there is only the very last, in memory."""
        name = self._name(request)
        records = await self._history.last(name, failed=query[FAILED], limit=query[LAST])
        found = [result_of_record(record) for record in records]
        if not found:
            only = self._model.registry.watched[name].state.last
            found = [only] if only and (only.verdict is Verdict.FAIL or not query[FAILED]) else []
        return json_answer({"monitor": name, "results": [result_of(one) for one in found]})

    async def series(self, request: Request, query: Query) -> Response:
        name = self._name(request)
        start, end = self._range(query)
        buckets = await self._history.buckets(name, start, end, query[STEP] or None)
        return json_answer(
            {
                "monitor": name,
                "from": text_of(start),
                "to": text_of(end),
                "step_s": buckets[0].step_s if buckets else None,
                "buckets": await _in_slices(buckets),
                "total": summary_of(buckets),
            }
        )

    async def uptime(self, request: Request, query: Query) -> Response:
        name = self._name(request)
        start, end = self._range(query)
        uptime = await self._history.uptime(name, start, end)
        return json_answer({"monitor": name, "from": text_of(start), "to": text_of(end), **uptime_of(uptime)})

    async def incidents_of(self, request: Request, query: Query) -> Response:
        return await self._incidents(self._name(request), query)

    async def incidents(self, _: Request, query: Query) -> Response:
        return await self._incidents(query[MONITOR] or None, query)

    async def _incidents(self, monitor: str | None, query: Query) -> Response:
        most = query[INCIDENTS]
        found = await self._history.incidents(
            monitor=monitor,
            is_open=query[OPEN],
            limit=most + 1,
            before=self._before(query),
        )
        shown, following = first_page(found, most)
        return json_answer(
            {"incidents": [incident_of(one) for one in shown], "next_before": text_of(following)}
        )

    def _name(self, request: Request) -> str:
        with find_monitor(request) as name:
            return self._model.registry.watched[name].name

    def _before(self, query: Query) -> datetime | None:
        given = query[BEFORE]
        return None if given is None else self._within(at(given, self._model.clock.now()))

    def _range(self, query: Query) -> tuple[datetime, datetime]:
        now = self._model.clock.now()
        start, end = self._within(at(query[FROM], now)), self._within(at(query[TO], now))
        # No schema can say which of two parameters is the greater one.
        return min(start, end), max(start, end)

    def _within(self, when: datetime) -> datetime:
        """Not farther away than anything can have been kept."""
        now = self._model.clock.now()
        return min(max(when, now - LONGEST_BACK), now + DAY)


async def _in_slices(buckets: Sequence[Bucket]) -> list[Json]:
    """As JSON. Percentiles of 1500 buckets would take the event loop a quarter of a second at once."""
    shown: list[Json] = []
    for start in range(0, len(buckets), BUCKETS_IN_A_SLICE):
        shown += [bucket_of(one) for one in buckets[start : start + BUCKETS_IN_A_SLICE]]
        await asyncio.sleep(0)
    return shown


def first_page(found: Sequence[Incident], most: int) -> tuple[Sequence[Incident], datetime | None]:
    """At most so many of one more, and what those of the next page opened before; None: there is no next one.

    Many can open in the same millisecond, and those of one moment stay on one page: between them no moment parts.
    """
    if len(found) <= most:
        return found, None
    shown = [one for one in found[:most] if one.opened_at > found[most].opened_at] or found[:most]
    return shown, shown[-1].opened_at


def uptime_of(uptime: Uptime) -> Json:
    """`ratio`: time up or degraded of time up, degraded or down; null when there was neither."""
    return {
        "ratio": None if uptime.ratio is None else round(uptime.ratio, 8),
        "known_s": round(uptime.known_s, 3),
        "seconds": _seconds(uptime.seconds),
        "maintenance_s": round(uptime.maintenance_s, 3),
    }


def stored_of(stored: StoredResult) -> Json:
    return {
        "at": text_of(stored.at),
        "verdict": stored.verdict.value,
        "state": stored.state.value,
        "reason": stored.reason.value,
        "duration_s": round(stored.duration_s, 6),
        "phases_s": _rounded(stored.phases_s),
        "detail": stored.detail,
    }


def bucket_of(bucket: Bucket) -> Json:
    return {
        "at": text_of(bucket.start),
        "seconds": _seconds(bucket.seconds),
        "maintenance_s": round(bucket.maintenance_s, 3),
        **summary_of([bucket]),
    }


def summary_of(buckets: Sequence[Bucket]) -> Json:
    """The checks of all of them together, their response times and the mean of each phase."""
    histogram, phases = Histogram(), Counter[str]()
    for bucket in buckets:
        histogram.merge(bucket.histogram)
        phases.update(bucket.phases_s)
    timed, phased = sum(bucket.timed for bucket in buckets), sum(bucket.phased for bucket in buckets)
    least = min((bucket.min_s for bucket in buckets if bucket.min_s is not None), default=None)
    most = max((bucket.max_s for bucket in buckets if bucket.max_s is not None), default=None)
    total_s = sum(bucket.mean_s * bucket.timed for bucket in buckets if bucket.mean_s is not None)

    def quantile_s(share: float) -> float | None:
        value_s = histogram.quantile_s(share)
        if value_s is None or least is None or most is None:
            return None
        return round(min(max(value_s, least), most), 6)

    return {
        "checks": {
            verdict.value: sum(bucket.counts.get(verdict, 0) for bucket in buckets) for verdict in Verdict
        },
        "response_time_s": {
            "count": timed,
            "min": None if least is None else round(least, 6),
            "mean": round(total_s / timed, 6) if timed else None,
            "max": None if most is None else round(most, 6),
            "p50": quantile_s(0.5),
            "p95": quantile_s(0.95),
            "p99": quantile_s(0.99),
        },
        "phases_s": {name: round(spent_s / phased, 6) for name, spent_s in phases.items()} if phased else {},
    }


def _seconds(seconds: Mapping[State, float]) -> Json:
    return {health.value: round(seconds.get(health, 0.0), 3) for health in State}


def _rounded(numbers: Mapping[str, float]) -> Json:
    return {name: round(number, 6) for name, number in numbers.items()}


def answer_for_storage(application: Application) -> None:
    """What the history cannot tell now is nobody's failure who asks."""

    async def on_error(_: Request, error: HistoryError) -> Response:
        return problem_of(HTTPServiceUnavailable(text=f"{error}\n", headers={"Retry-After": "10"}))

    application.add_exception_handler(HistoryError, on_error)


def history_endpoints(model: ReadModel, history: History) -> list[Endpoint]:
    it = HistoryApi(model, history)
    return [
        Endpoint(
            "GET",
            "/monitors/{name}",
            it.monitor,
            "monitor",
            "One monitor: its state, schedule, conditions and last result, its uptime, and its last 24 hours",
            {200: Answer("The monitor.", "Monitor")},
        ),
        Endpoint(
            "GET",
            "/monitors/{name}/results",
            it.results,
            "results",
            "Its checks, the newest first",
            {200: Answer("A page of them.", "Results")},
            parameters=(FAILED, RESULTS, BEFORE),
            problems=[503],
        ),
        Endpoint(
            "GET",
            "/monitors/{name}/last",
            it.last,
            "last",
            "Its last results, or its last failures, with all their fields, the newest first",
            {200: Answer("At most twenty.", "LastResults")},
            parameters=(FAILED, LAST),
            problems=[503],
        ),
        Endpoint(
            "GET",
            "/monitors/{name}/series",
            it.series,
            "series",
            "Its checks, response times and states over time, in buckets of equal length",
            {200: Answer("The buckets, in order.", "Series")},
            parameters=(FROM, TO, STEP),
            problems=[503],
        ),
        Endpoint(
            "GET",
            "/monitors/{name}/uptime",
            it.uptime,
            "uptime",
            "How long it stood how, by time",
            {200: Answer("Seconds in each state.", "UptimeOfRange")},
            parameters=(FROM, TO),
            problems=[503],
        ),
        Endpoint(
            "GET",
            "/monitors/{name}/incidents",
            it.incidents_of,
            "incidentsOfMonitor",
            "Its incidents, the newest first",
            {200: Answer("A page of them.", "Incidents")},
            parameters=(OPEN, INCIDENTS, BEFORE),
            problems=[503],
        ),
        Endpoint(
            "GET",
            "/incidents",
            it.incidents,
            "incidents",
            "Incidents of all monitors, the newest first; those of monitors that have left as well",
            {200: Answer("A page of them.", "Incidents")},
            parameters=(MONITOR, OPEN, INCIDENTS, BEFORE),
            problems=[503],
        ),
    ]
