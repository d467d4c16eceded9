"""Interventions: pause, acknowledge and silence monitors, and explain their notifications.

Each one takes effect at once, but its response waits until it is stored: a pause that a crash would undo has not
succeeded. The response has the monitors as they are afterwards. `security` has authorized the request before.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

from monitord.clock import time_text
from monitord.dispatch import Matcher, MonitorEntry, Silence
from monitord.errors import ControlError, InvalidValueError
from monitord.history import History, HistoryStats
from monitord.model import Json
from monitord.status.access.body import Read, comment, read_body
from monitord.status.access.operations import Explain, InterventionOperations
from monitord.status.access.problems import BadInput, ConflictingInput, InputError, find_monitor
from monitord.status.access.responses import compact_json_response
from monitord.status.access.security import requested_by
from monitord.status.api.actions import monitor_response, monitors_response
from monitord.status.api.openapi import PREFIX, ApiEndpoint, ResponseSpec
from monitord.status.model.query import LONGEST_SILENCE_S, QueryValues, moment
from monitord.status.model.read_model import ReadModel
from monitord.status.model.representations import text_of
from monitord.status.model.selection import KEYS, Obstacle, matcher_of, select
from monitord.web import (
    HTTPConflict,
    HTTPInsufficientStorage,
    HTTPNotFound,
    Request,
    Response,
    StreamResponse,
)

STORED_WITHIN_S = 3.0

LONGEST_SILENCE = timedelta(seconds=LONGEST_SILENCE_S)

Change = Callable[[str, str, str | None], None]
"""Changes a monitor: its name, by whom, and a comment. Raises ValueError if it is not possible now."""

_COMMENT: Mapping[str, Read] = {"comment": comment}


class InterventionHandlers:
    """Handlers of the endpoints."""

    def __init__(self, model: ReadModel, interventions: InterventionOperations) -> None:
        self._model = model
        self._interventions = interventions

    async def pause(self, request: Request, _: QueryValues) -> Response:
        return await self._change_one(request, self._interventions.pause, _COMMENT)

    async def resume(self, request: Request, _: QueryValues) -> Response:
        return await self._change_one(request, self._resume)

    async def acknowledge(self, request: Request, _: QueryValues) -> Response:
        return await self._change_one(request, self._interventions.acknowledge, _COMMENT)

    async def unacknowledge(self, request: Request, _: QueryValues) -> Response:
        return await self._change_one(request, self._unacknowledge)

    async def pause_all(self, request: Request, _: QueryValues) -> Response:
        return await self._change_all(request, self._interventions.pause, lambda _: None, _COMMENT)

    async def resume_all(self, request: Request, _: QueryValues) -> Response:
        return await self._change_all(request, self._resume, _is_not_paused, is_idempotent=True)

    async def acknowledge_all(self, request: Request, _: QueryValues) -> Response:
        return await self._change_all(request, self._interventions.acknowledge, _has_no_incident, _COMMENT)

    async def unacknowledge_all(self, request: Request, _: QueryValues) -> Response:
        return await self._change_all(request, self._unacknowledge, _has_no_acknowledgement)

    def _resume(self, name: str, by: str, _: str | None) -> None:
        self._interventions.resume(name, by)

    def _unacknowledge(self, name: str, by: str, _: str | None) -> None:
        self._interventions.unacknowledge(name, by)

    async def _change_one(self, request: Request, change: Change, keys: Mapping[str, Read] = {}) -> Response:
        body = await read_body(request, keys)
        with find_monitor(request) as name:
            try:
                change(name, requested_by(request), body.get("comment"))
            except ValueError as error:
                raise HTTPConflict(text=f"{name}: {error}\n") from None
        return monitor_response(self._model, request)

    async def _change_all(
        self,
        request: Request,
        change: Change,
        obstacle: Obstacle,
        keys: Mapping[str, Read] = {},
        *,
        is_idempotent: bool = False,
    ) -> Response:
        """Change all selected monitors, or none, as `select` decides."""
        body = await read_body(request, {**KEYS, **keys})
        entries = self._model.registry.entries
        selection = select(matcher_of(body), entries, obstacle, is_idempotent=is_idempotent)
        for name in selection.monitors:
            change(name, requested_by(request), body.get("comment"))
        return monitors_response(self._model, request, selection)

    async def silences(self, _: Request, __: QueryValues) -> Response:
        return compact_json_response(
            {"silences": [silence_of(silence) for silence in self._interventions.silences]}
        )

    async def silence(self, request: Request, _: QueryValues) -> Response:
        keys = {
            **KEYS,
            "until": _until,
            "duration_s": _duration_s,
            "comment": comment,
        }
        body = await read_body(request, keys)
        matcher = Matcher(body.get("names", ()), body.get("patterns", ()), body.get("tags", ()))
        now = self._model.clock.now()
        until = _end_of(body, matcher, now)
        by = requested_by(request)
        try:
            silence_id = self._interventions.silence(
                matcher, until, body.get("comment"), by, is_end_fixed="until" in body
            )
        except ControlError as error:
            raise HTTPConflict(text=f"{error}\n") from None
        self._model.refresh()
        # A silence of a millisecond has ended already.
        ended = Silence(silence_id, matcher, now, until, by, body.get("comment"))
        current = (silence for silence in self._interventions.silences if silence.id == silence_id)
        return compact_json_response(
            silence_of(next(current, ended)), 201, {"Location": f"{PREFIX}/silences/{silence_id}"}
        )

    async def unsilence(self, request: Request, _: QueryValues) -> Response:
        await read_body(request, {})
        silence_id: str = request.match_info["id"]
        try:
            self._interventions.unsilence(silence_id, requested_by(request))
        except KeyError:
            raise HTTPNotFound(
                text=f"no silence has the ID {silence_id!r}; it may have ended; "
                f"GET {PREFIX}/silences lists the silences\n"
            ) from None
        self._model.refresh()
        return Response(status=204)


def _is_not_paused(entry: MonitorEntry) -> str | None:
    return "not paused" if entry.state.pause is None else None


def _has_no_incident(entry: MonitorEntry) -> str | None:
    state = entry.state
    return f"no open incident (state: {state.effective.value})" if state.incident is None else None


def _has_no_acknowledgement(entry: MonitorEntry) -> str | None:
    state = entry.state
    if state.incident is None or state.incident.acknowledged_by is None:
        return f"no acknowledged incident (state: {state.effective.value})"
    return None


def silence_of(silence: Silence) -> Json:
    matcher = silence.matcher
    return {
        "id": silence.id,
        "names": list(matcher.names),
        "patterns": list(matcher.patterns),
        "tags": list(matcher.tags),
        "since": text_of(silence.since),
        "until": text_of(silence.until),
        "by": silence.by,
        "comment": silence.comment,
    }


def _until(value: object) -> datetime:
    if not isinstance(value, str):
        raise InvalidValueError("is not a time", 'write RFC 3339 such as "2026-01-31T12:00:00Z"')
    read = moment(value)
    if isinstance(read, timedelta):
        raise InvalidValueError("is in the past", 'write RFC 3339, or use "duration_s": 7200')
    return read.astimezone(UTC)


def _duration_s(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise InvalidValueError("is not a number", "write seconds, such as 7200 for two hours")
    if value <= 0:
        raise InvalidValueError("is not more than 0", "write seconds, such as 7200 for two hours")
    if value > LONGEST_SILENCE_S:
        raise InvalidValueError("is more than 366 days", "write a shorter duration")
    return float(value)


def _end_of(body: Mapping[str, Any], matcher: Matcher, now: datetime) -> datetime:
    """The end of a new silence. Raises BadInput, or ConflictingInput if the end is valid only at another time."""
    errors = []
    if not (matcher.names or matcher.patterns or matcher.tags):
        errors.append(InputError("names", "no monitor is selected", "write names, patterns or tags"))
    if ("until" in body) == ("duration_s" in body):
        errors.append(
            InputError("until", "a silence has exactly one end", 'write either until, or "duration_s": 7200')
        )
    if errors:
        raise BadInput(errors)
    if "duration_s" in body:
        return now + timedelta(seconds=body["duration_s"])
    until: datetime = body["until"]
    # The value is valid at another time, which no schema can express.
    if until <= now:
        raise ConflictingInput(
            [InputError("until", f"{time_text(until)} is in the past", "write a later time")]
        )
    if until - now > LONGEST_SILENCE:
        problem = f"{time_text(until)} is more than {LONGEST_SILENCE.days} days ahead"
        raise ConflictingInput([InputError("until", problem, "write an earlier time")])
    return until


def intervention_endpoints(
    model: ReadModel, interventions: InterventionOperations, history: History
) -> list[ApiEndpoint]:
    handlers = InterventionHandlers(model, interventions)
    changed_monitor = {
        200: ResponseSpec("The monitor after the change, and the user who made it.", "Changed")
    }
    endpoints = [
        ApiEndpoint(
            "POST",
            "/monitors/{name}/pause",
            handlers.pause,
            "pauseMonitor",
            "Interventions",
            "Pause a monitor",
            "Stops the scheduled checks until the monitor is resumed. If it is already paused, the comment is "
            "replaced.",
            changed_monitor,
            body="Comment",
        ),
        ApiEndpoint(
            "POST",
            "/monitors/{name}/resume",
            handlers.resume,
            "resumeMonitor",
            "Interventions",
            "Resume a monitor",
            "Resumes the scheduled checks of the monitor. Has no effect if the monitor is not paused.",
            changed_monitor,
        ),
        ApiEndpoint(
            "POST",
            "/monitors/{name}/acknowledge",
            handlers.acknowledge,
            "acknowledgeIncident",
            "Interventions",
            "Acknowledge the open incident of a monitor",
            "Declares that someone is working on the incident. No notifications about it are sent until it ends.",
            changed_monitor,
            body="Comment",
            problems=[409],
        ),
        ApiEndpoint(
            "DELETE",
            "/monitors/{name}/acknowledge",
            handlers.unacknowledge,
            "unacknowledgeIncident",
            "Interventions",
            "Remove an acknowledgement",
            "Notifications about the incident are no longer suppressed.",
            changed_monitor,
            problems=[409],
        ),
        *(
            ApiEndpoint(
                "POST",
                path,
                handler,
                operation_id,
                "Interventions",
                summary,
                f"{description} Nothing is changed if a name, pattern or tag matches no monitor.",
                {200: ResponseSpec("The monitors after the change, and the user who made it.", "ChangedAll")},
                body=body,
                needs_body=True,
                problems=[404, 409],
            )
            for path, handler, operation_id, summary, description, body in (
                (
                    "/pause",
                    handlers.pause_all,
                    "pauseMonitors",
                    "Pause several monitors",
                    "Stops the scheduled checks of the selected monitors until they are resumed.",
                    "SelectionAndComment",
                ),
                (
                    "/resume",
                    handlers.resume_all,
                    "resumeMonitors",
                    "Resume several monitors",
                    "Resumes the scheduled checks of the selected monitors.",
                    "Selection",
                ),
                (
                    "/acknowledge",
                    handlers.acknowledge_all,
                    "acknowledgeIncidents",
                    "Acknowledge the open incidents of several monitors",
                    "Declares that someone is working on the incidents of the selected monitors. Every monitor in "
                    "`names` must have an open incident.",
                    "SelectionAndComment",
                ),
                (
                    "/unacknowledge",
                    handlers.unacknowledge_all,
                    "unacknowledgeIncidents",
                    "Remove several acknowledgements",
                    "Notifications about the incidents of the selected monitors are no longer suppressed. "
                    "Every monitor in "
                    "`names` must have an acknowledged incident.",
                    "Selection",
                ),
            )
        ),
        ApiEndpoint(
            "GET",
            "/silences",
            handlers.silences,
            "listSilences",
            "Interventions",
            "List silences",
            "Returns the silences that have not ended, sorted by their end.",
            {200: ResponseSpec("The silences.", "Silences")},
        ),
        ApiEndpoint(
            "POST",
            "/silences",
            handlers.silence,
            "createSilence",
            "Interventions",
            "Create a silence",
            "Suppresses the notifications about the selected monitors until `until`, or for `duration_s`. Monitors "
            "that are added later and match the selection are silenced as well.",
            {201: ResponseSpec("The silence.", "Silence")},
            body="NewSilence",
            problems=[409],
            needs_body=True,
        ),
        ApiEndpoint(
            "DELETE",
            "/silences/{id}",
            handlers.unsilence,
            "endSilence",
            "Interventions",
            "End a silence",
            "Ends a silence early.",
            {204: ResponseSpec("The silence has ended.", None)},
        ),
    ]
    return [
        endpoint if endpoint.method == "GET" else waiting_for_storage(endpoint, history)
        for endpoint in endpoints
    ]


class ChangeStorage(Protocol):
    """The part of `History` that stores changes."""

    def stats(self) -> HistoryStats: ...

    async def wait_until_stored(self, within_s: float, *, durable: bool = False) -> bool: ...


async def storage_problem(storage: ChangeStorage) -> str | None:
    """Wait until all changes are stored, and return why they are not; None: they are."""
    if await storage.wait_until_stored(STORED_WITHIN_S, durable=True):
        return None
    return storage.stats().error or f"no response from the storage within {STORED_WITHIN_S:.0f} s"


def waiting_for_storage(endpoint: ApiEndpoint, history: History) -> ApiEndpoint:
    """Return the endpoint, which responds when its change is stored, or with 507 if it cannot be stored."""

    async def handler(request: Request, query: QueryValues) -> StreamResponse:
        response = await endpoint.handler(request, query)
        problem = await storage_problem(history)
        if problem is None:
            return response
        raise HTTPInsufficientStorage(
            text=f"the change is in effect but could not be stored ({problem}), and is lost at the next restart; "
            "repeat the request when GET /api/v1/status shows no error of the history\n"
        )

    problems = (*endpoint.problems, HTTPInsufficientStorage.status_code)
    return replace(endpoint, handler=handler, problems=problems)


def explain_endpoint(explain: Explain) -> ApiEndpoint:
    async def handler(request: Request, _: QueryValues) -> Response:
        with find_monitor(request) as name:
            return compact_json_response(explain(name))

    return ApiEndpoint(
        "GET",
        "/monitors/{name}/explain",
        handler,
        "explainMonitor",
        "Monitors",
        "Explain the state of a monitor",
        "Returns what determines the state of the monitor, its next check, and why each notifier is or is not "
        "notified.",
        {200: ResponseSpec("The explanation.", "Explanation")},
    )
