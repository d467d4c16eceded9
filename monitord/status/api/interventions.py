"""Interventions: pause, acknowledge and silence monitors, and explain their notifications.

Each one takes effect at once, but its response waits until it is stored: a pause that a crash would undo has not
succeeded. The response has the monitors as they are afterwards. `security` has authorized the request before.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from monitord.dispatch import Matcher, Silence, Watched
from monitord.errors import ControlError, InvalidValueError
from monitord.history import History
from monitord.model import Json
from monitord.status.access.body import Read, comment, read_body
from monitord.status.access.control import Explain, Interventions
from monitord.status.access.problems import BadInput, Failure, find_monitor
from monitord.status.access.responses import json_answer
from monitord.status.access.security import asked_by
from monitord.status.api.actions import changed, changed_all
from monitord.status.api.openapi import PREFIX, Answer, Endpoint, Handler
from monitord.status.model.forms import text_of
from monitord.status.model.query import LONGEST_SILENCE_S, SILENCE_DURATION, Query, moment
from monitord.status.model.read_model import ReadModel
from monitord.status.model.selection import KEYS, Obstacle, matcher_of, select
from monitord.units import parse_duration
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


class InterventionHandlers:
    """The handlers."""

    def __init__(self, model: ReadModel, interventions: Interventions) -> None:
        self._model = model
        self._interventions = interventions

    async def pause(self, request: Request, _: Query) -> Response:
        given = await read_body(request, {"comment": comment})
        with find_monitor(request) as name:
            self._interventions.pause(name, asked_by(request), given.get("comment"))
        return changed(self._model, request)

    async def resume(self, request: Request, _: Query) -> Response:
        await read_body(request, {})
        with find_monitor(request) as name:
            self._interventions.resume(name, asked_by(request))
        return changed(self._model, request)

    async def acknowledge(self, request: Request, _: Query) -> Response:
        given = await read_body(request, {"comment": comment})
        with find_monitor(request) as name:
            try:
                self._interventions.acknowledge(name, asked_by(request), given.get("comment"))
            except ValueError as error:
                raise HTTPConflict(text=f"{name}: {error}\n") from None
        return changed(self._model, request)

    async def unacknowledge(self, request: Request, _: Query) -> Response:
        await read_body(request, {})
        with find_monitor(request) as name:
            try:
                self._interventions.unacknowledge(name, asked_by(request))
            except ValueError as error:
                raise HTTPConflict(text=f"{name}: {error}\n") from None
        return changed(self._model, request)

    async def pause_all(self, request: Request, _: Query) -> Response:
        def act(name: str, given: Mapping[str, Any]) -> None:
            self._interventions.pause(name, asked_by(request), given.get("comment"))

        return await self._act_on_all(request, act, lambda _: None, {"comment": comment})

    async def resume_all(self, request: Request, _: Query) -> Response:
        def act(name: str, _: Mapping[str, Any]) -> None:
            self._interventions.resume(name, asked_by(request))

        return await self._act_on_all(
            request, act, lambda one: "is not paused" if one.state.pause is None else None, is_idempotent=True
        )

    async def acknowledge_all(self, request: Request, _: Query) -> Response:
        def act(name: str, given: Mapping[str, Any]) -> None:
            self._interventions.acknowledge(name, asked_by(request), given.get("comment"))

        return await self._act_on_all(request, act, _has_no_incident, {"comment": comment})

    async def unacknowledge_all(self, request: Request, _: Query) -> Response:
        def act(name: str, _: Mapping[str, Any]) -> None:
            self._interventions.unacknowledge(name, asked_by(request))

        return await self._act_on_all(request, act, _has_no_acknowledgement)

    async def _act_on_all(
        self,
        request: Request,
        act: Callable[[str, Mapping[str, Any]], None],
        obstacle: Obstacle,
        keys: Mapping[str, Read] = {},
        *,
        is_idempotent: bool = False,
    ) -> Response:
        """All of them or, where one is not known or does not allow it, none."""
        given = await read_body(request, {**KEYS, **keys})
        watched = self._model.registry.watched
        chosen = select(matcher_of(given), watched, obstacle, is_idempotent=is_idempotent)
        for name in chosen.monitors:
            act(name, given)
        return changed_all(self._model, request, chosen)

    async def silences(self, _: Request, __: Query) -> Response:
        return json_answer({"silences": [silence_of(one) for one in self._interventions.silences]})

    async def silence(self, request: Request, _: Query) -> Response:
        keys = {
            **KEYS,
            "until": _until,
            "duration_s": _lasts,
            "comment": comment,
        }
        given = await read_body(request, keys)
        matcher = Matcher(given.get("names", ()), given.get("patterns", ()), given.get("tags", ()))
        now = self._model.clock.now()
        until = _end_of(given, matcher, now)
        by = asked_by(request)
        try:
            made = self._interventions.silence(
                matcher, until, given.get("comment"), by, is_end_fixed="until" in given
            )
        except ControlError as error:
            raise HTTPConflict(text=f"{error}\n") from None
        self._model.refresh()
        # One of a millisecond has ended by now.
        ended = Silence(made, matcher, now, until, by, given.get("comment"))
        silence = next((one for one in self._interventions.silences if one.id == made), ended)
        return json_answer(silence_of(silence), 201, {"Location": f"{PREFIX}/silences/{made}"})

    async def unsilence(self, request: Request, _: Query) -> Response:
        await read_body(request, {})
        silence_id: str = request.match_info["id"]
        try:
            self._interventions.unsilence(silence_id, asked_by(request))
        except KeyError:
            raise HTTPNotFound(text=f"no silence has the id {silence_id!r}; it may have ended\n") from None
        self._model.refresh()
        return Response(status=204)


def _has_no_incident(watched: Watched) -> str | None:
    return (
        f"has no open incident; it is {watched.state.effective.value}"
        if watched.state.incident is None
        else None
    )


def _has_no_acknowledgement(watched: Watched) -> str | None:
    if watched.state.incident is None or watched.state.incident.acknowledged_by is None:
        return f"has no acknowledged incident; it is {watched.state.effective.value}"
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
        raise InvalidValueError("is in the past", 'write RFC 3339, or lasts = "2h"')
    return read.astimezone(UTC)


def _lasts(value: object) -> float:
    """Seconds."""
    seconds = parse_duration(value)
    if not 0 < seconds <= LONGEST_SILENCE_S:
        raise InvalidValueError(
            "is not within the next year", 'write a duration up to 366 days, such as "2h"'
        )
    if isinstance(value, str) and re.fullmatch(SILENCE_DURATION, value) is None:
        raise InvalidValueError(
            "is not written as a duration usually is", 'write days, hours, minutes: "1d12h30m"'
        )
    return seconds


def _end_of(given: dict[str, Any], matcher: Matcher, now: datetime) -> datetime:
    """When a silence is to end. Raises BadInput."""
    failures = []
    if not (matcher.names or matcher.patterns or matcher.tags):
        failures.append(Failure("names", "no monitor is meant", "name some, or give patterns or tags"))
    if ("until" in given) == ("duration_s" in given):
        failures.append(Failure("until", "a silence has one end", 'give either until, or lasts such as "2h"'))
        raise BadInput(failures)
    if failures:
        raise BadInput(failures)
    if "duration_s" in given:
        return now + timedelta(seconds=given["duration_s"])
    until: datetime = given["until"]
    if not timedelta() < until - now <= LONGEST_SILENCE:
        # A right value at a wrong time: whether it is, no schema can say.
        raise HTTPConflict(
            text="until: is not within the next year; write an end that comes, and soon enough\n"
        )
    return until


def intervention_endpoints(
    model: ReadModel, interventions: Interventions, history: History
) -> list[Endpoint]:
    it = InterventionHandlers(model, interventions)
    changes = {200: Answer("The monitor as it is then, and who did it.", "Changed")}
    endpoints = [
        Endpoint(
            "POST",
            "/monitors/{name}/pause",
            it.pause,
            "pause",
            "Check no more, until it is resumed",
            changes,
            body="Comment",
        ),
        Endpoint("POST", "/monitors/{name}/resume", it.resume, "resume", "Check again", changes),
        Endpoint(
            "POST",
            "/monitors/{name}/acknowledge",
            it.acknowledge,
            "acknowledge",
            "Say that somebody sees to the incident that is open; no messages about it until it ends",
            changes,
            body="Comment",
            problems=[409],
        ),
        Endpoint(
            "DELETE",
            "/monitors/{name}/acknowledge",
            it.unacknowledge,
            "unacknowledge",
            "Take an acknowledgement back; notifications about the incident are sent again",
            changes,
            problems=[409],
        ),
        *(
            Endpoint(
                "POST",
                f"/{act}",
                handler,
                f"{act}_all",
                f"{about}: all monitors that the body selects, or none",
                {200: Answer("The monitors as they are then, and who did it.", "ChangedAll")},
                body=body,
                needs_body=True,
                problems=[404, 409],
            )
            for act, handler, about, body in (
                ("pause", it.pause_all, "Check no more, until they are resumed", "SelectionAndComment"),
                ("resume", it.resume_all, "Check again", "Selection"),
                ("acknowledge", it.acknowledge_all, "Acknowledge the open incidents", "SelectionAndComment"),
                ("unacknowledge", it.unacknowledge_all, "Take acknowledgements back", "Selection"),
            )
        ),
        Endpoint(
            "GET",
            "/silences",
            it.silences,
            "silences",
            "The silences that have not ended",
            {200: Answer("All of them.", "Silences")},
        ),
        Endpoint(
            "POST",
            "/silences",
            it.silence,
            "silence",
            "No messages about some monitors until a time",
            {201: Answer("The silence.", "Silence")},
            body="NewSilence",
            problems=[409],
            needs_body=True,
        ),
        Endpoint(
            "DELETE",
            "/silences/{id}",
            it.unsilence,
            "unsilence",
            "End a silence early",
            {204: Answer("It has ended.", None)},
        ),
    ]
    return [
        endpoint
        if endpoint.method == "GET"
        else replace(
            endpoint,
            handler=_waiting_for_storage(endpoint.handler, history),
            problems=(*endpoint.problems, HTTPInsufficientStorage.status_code),
        )
        for endpoint in endpoints
    ]


def _waiting_for_storage(handler: Handler, history: History) -> Handler:
    """The handler, followed by a wait for the history. Raises HTTPInsufficientStorage (507) if it does not store."""

    async def wait_for_storage(request: Request, query: Query) -> StreamResponse:
        response = await handler(request, query)
        if await history.stored(STORED_WITHIN_S, durable=True):
            return response
        why = history.stats().failing or f"the storage has not answered within {STORED_WITHIN_S:.0f} s"
        raise HTTPInsufficientStorage(
            text=f"this is done and in effect, but it could not be stored ({why}): a restart would undo it; "
            "see the status of the history, and repeat the request when it is written again\n"
        )

    return wait_for_storage


def explain_endpoint(explain: Explain) -> Endpoint:
    async def handler(request: Request, _: Query) -> Response:
        with find_monitor(request) as name:
            return json_answer(explain(name))

    return Endpoint(
        "GET",
        "/monitors/{name}/explain",
        handler,
        "explain",
        "Why a message was or was not sent",
        {200: Answer("The reasons.", "Explanation")},
    )
