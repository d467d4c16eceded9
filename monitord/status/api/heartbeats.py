"""Where jobs report themselves: POST /heartbeats/{name}, and short forms that are easy to write with curl.

POST /heartbeats/{name}              a success
POST /heartbeats/{name}/{signal}     success, start, fail or log
POST /heartbeats/{name}/{number}     the exit status of the job

signal, exit_status, run (which one, where several overlap) and message may be in the query or in a JSON object; a
body that is no JSON is the message. What is not understood is refused: a failure must not pass for a success.
"""

import json
from collections.abc import Mapping

from monitord.errors import ControlError
from monitord.monitors.heartbeat.monitor import HeartbeatSignal, Ping
from monitord.monitors.heartbeat.record import MAX_EXIT_STATUS, MAX_RUN_ID_CHARACTERS
from monitord.status.access.control import Control
from monitord.status.access.security import asked_by
from monitord.status.api.openapi import Answer, Endpoint
from monitord.status.model.query import EXIT_STATUS, Query, one, words
from monitord.web import (
    HTTPBadRequest,
    HTTPConflict,
    HTTPNotFound,
    HTTPRequestEntityTooLarge,
    Request,
    Response,
    UrlDispatcher,
    json_response,
)

DIGITS = 20
"""Of an exit status: leading zeros do no harm."""

KEYS = ("signal", "exit_status", "run", "message")

MAX_KEPT_BYTES = 128 * 1024
"""Of a body. A message is cut further; the longest one has to fit as JSON, with twelve bytes for a character."""

MAX_BODY_BYTES = 16 * 1024 * 1024
"""A job may send its whole output: what is too much is read and dropped, up to here."""


class HeartbeatApi:
    def __init__(self, control: Control) -> None:
        self._control = control

    async def ping(self, request: Request) -> Response:
        who = asked_by(request)
        name = request.match_info["name"]
        ping = _ping_of(await _told(request))
        try:
            self._control.ping(name, ping, who)
        except KeyError:
            raise HTTPNotFound(text=f"no monitor is called {name!r}; GET /monitors lists them\n") from None
        except ControlError as error:
            raise HTTPConflict(text=f"{error}\n") from None
        return json_response({"name": name, "signal": ping.signal.value})


def add_heartbeat_routes(router: UrlDispatcher, control: Control) -> None:
    api = HeartbeatApi(control)
    router.add_post("/heartbeats/{name}", api.ping)
    router.add_post("/heartbeats/{name}/{signal}", api.ping)


def heartbeat_endpoint(control: Control) -> Endpoint:
    """The same in the versioned API."""
    api = HeartbeatApi(control)
    signals = [signal.value for signal in HeartbeatSignal]

    async def ping(request: Request, _: Query) -> Response:
        return await api.ping(request)

    return Endpoint(
        "POST",
        "/heartbeats/{name}",
        ping,
        "ping",
        "What a job reports of itself; a body that is no JSON is the message",
        {200: Answer("It was heard.", "Ping")},
        parameters=(
            one("signal", words, "success", {"type": "string", "enum": signals}, "What happened."),
            one("exit_status", words, "", EXIT_STATUS, "That of the job."),
            one(
                "run",
                words,
                "",
                {"type": "string", "minLength": 1, "maxLength": MAX_RUN_ID_CHARACTERS},
                "Which one, where several overlap.",
            ),
            one("message", str, "", {"type": "string"}, "For people."),
        ),
        body="NewPing",
        problems=[409],
    )


async def _told(request: Request) -> Mapping[str, str]:
    """What the request says, from its path, query and body.

    Raises HTTPBadRequest for what is unknown, and HTTPConflict for what is given twice with different values.
    """
    told: dict[str, str] = {}

    def add(key: str, value: str) -> None:
        if key not in KEYS:
            raise HTTPBadRequest(text=f"{key!r} is not known here; write one of: {', '.join(KEYS)}\n")
        if told.get(key, value) != value:
            raise HTTPConflict(text=f"{key!r} is given twice; leave out one of them\n")
        told[key] = value

    if (short := request.match_info.get("signal")) is not None:
        add("exit_status" if short.isdecimal() else "signal", short)
    for key, value in request.query.items():
        add(key, value)
    body = await _read(request)
    if request.content_type == "application/json" and body:
        for key, value in _object_of(body).items():
            add(key, value)
    elif body:
        add("message", body.decode(errors="replace"))
    return told


async def _read(request: Request) -> bytes:
    kept = bytearray()
    size = 0
    async for piece in request.content:
        size += len(piece)
        if size > MAX_BODY_BYTES:
            raise HTTPRequestEntityTooLarge
        if len(kept) < MAX_KEPT_BYTES:
            kept += piece
    return bytes(kept)


def _object_of(body: bytes) -> Mapping[str, str]:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise HTTPBadRequest(text=f"the body is not JSON: {error}\n") from None
    if not isinstance(document, dict):
        raise HTTPBadRequest(text='the body is not a JSON object; write {"signal": "success"}\n')
    texts: dict[str, str] = {}
    for key, value in document.items():
        if isinstance(value, str) or (isinstance(value, int) and not isinstance(value, bool)):
            texts[key] = str(value)
        elif isinstance(value, float) and value.is_integer():  # to JSON Schema 1.0 is an integer
            texts[key] = str(int(value))
        elif value is not None:
            raise HTTPBadRequest(text=f"{key!r} is neither text nor a number\n")
    return texts


def _ping_of(told: Mapping[str, str]) -> Ping:
    signal, exit_status = told.get("signal"), told.get("exit_status")
    known = [one.value for one in HeartbeatSignal]
    if signal is not None and signal not in known:
        raise HTTPBadRequest(text=f"{signal!r} is not a signal; write one of: {', '.join(known)}\n")
    if exit_status is not None and not (exit_status.isascii() and exit_status.isdecimal()):
        raise HTTPBadRequest(text=f"{exit_status!r} is not an exit status; write a number from 0 to 255\n")
    if exit_status is not None and not (len(exit_status) <= DIGITS and int(exit_status) <= MAX_EXIT_STATUS):
        raise HTTPBadRequest(text=f"{exit_status} is not an exit status; it is from 0 to 255\n")
    if (run := told.get("run")) is not None and not 0 < len(run) <= MAX_RUN_ID_CHARACTERS:
        raise HTTPBadRequest(text=f"a run's name has 1 to {MAX_RUN_ID_CHARACTERS} characters; shorten it\n")
    try:
        return Ping(
            signal=HeartbeatSignal(signal or "success"),
            exit_status=None if exit_status is None else int(exit_status),
            message=told.get("message"),
            run_id=told.get("run"),
        )
    except ValueError as error:
        # Each value is right on its own, but they contradict each other, perhaps one in the query and one in the body.
        raise HTTPConflict(text=f"{error}\n") from None
