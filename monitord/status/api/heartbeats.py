"""Heartbeats of jobs: POST /heartbeats/{name}, and short forms for curl.

POST /heartbeats/{name}              a success
POST /heartbeats/{name}/{signal}     success, start, fail or log
POST /heartbeats/{name}/{number}     the exit status of the job

signal, exit_status, run (its identifier, if runs overlap) and message can be in the query or in a JSON object; a body
of another type is the message. Unknown values are rejected: a failure must not be recorded as a success.
"""

import json
from collections.abc import Mapping

from monitord.errors import ControlError
from monitord.monitors.heartbeat.monitor import Heartbeat, HeartbeatSignal
from monitord.monitors.heartbeat.record import MAX_EXIT_STATUS, MAX_RUN_ID_CHARACTERS
from monitord.status.access.operations import DaemonOperations
from monitord.status.access.problems import find_monitor
from monitord.status.access.security import requested_by
from monitord.status.api.openapi import ApiEndpoint, ResponseSpec
from monitord.status.model.query import EXIT_STATUS, QueryValues, nonempty, single
from monitord.web import (
    HTTPBadRequest,
    HTTPConflict,
    HTTPRequestEntityTooLarge,
    Request,
    Response,
    UrlDispatcher,
    json_response,
)

MAX_DIGITS = 20
"""Limit for an exit status, including leading zeros."""

KEYS = ("signal", "exit_status", "run", "message")

MAX_KEPT_BYTES = 128 * 1024
"""The rest of a body is dropped. The longest message fits as JSON, with twelve bytes for each character."""

MAX_BODY_BYTES = 16 * 1024 * 1024
"""Larger bodies are rejected. A job can send its whole output."""


class HeartbeatApi:
    """The handler, for both forms."""

    def __init__(self, control: DaemonOperations) -> None:
        self._control = control

    async def record(self, request: Request) -> Response:
        by = requested_by(request)
        heartbeat = _heartbeat_of(await _values_of(request))
        with find_monitor(request) as name:
            try:
                self._control.record_heartbeat(name, heartbeat, by)
            except ControlError as error:
                raise HTTPConflict(text=f"{error}\n") from None
        return json_response({"name": name, "signal": heartbeat.signal.value})


def add_heartbeat_routes(router: UrlDispatcher, control: DaemonOperations) -> None:
    api = HeartbeatApi(control)
    router.add_post("/heartbeats/{name}", api.record)
    router.add_post("/heartbeats/{name}/{signal}", api.record)


def heartbeat_endpoint(control: DaemonOperations) -> ApiEndpoint:
    """The endpoint of the versioned API."""
    api = HeartbeatApi(control)
    signals = [signal.value for signal in HeartbeatSignal]

    async def heartbeat(request: Request, _: QueryValues) -> Response:
        return await api.record(request)

    return ApiEndpoint(
        "POST",
        "/heartbeats/{name}",
        heartbeat,
        "sendHeartbeat",
        "Heartbeats",
        "Report the state of a job",
        "Records a heartbeat for a monitor of type `heartbeat`. Values can be in the query or in the body, but not in "
        "both with different values. A body that is not JSON is the message.",
        {200: ResponseSpec("The heartbeat has been recorded.", "Heartbeat")},
        parameters=(
            single(
                "signal",
                nonempty,
                "success",
                {"type": "string", "enum": signals},
                "The signal of the heartbeat.",
            ),
            single(
                "exit_status",
                nonempty,
                "",
                EXIT_STATUS,
                "The exit status of the job. A value other than 0 is a failure.",
            ),
            single(
                "run",
                nonempty,
                "",
                {"type": "string", "minLength": 1, "maxLength": MAX_RUN_ID_CHARACTERS},
                "The identifier of the run, if runs of the job can overlap.",
            ),
            single("message", str, "", {"type": "string"}, "A human-readable message, such as output."),
        ),
        body="NewHeartbeat",
        problems=[409],
    )


async def _values_of(request: Request) -> Mapping[str, str]:
    """The values in the path, query and body of a request.

    Raises HTTPBadRequest if a key is unknown, and HTTPConflict if it has two different values.
    """
    values: dict[str, str] = {}

    def add(key: str, value: str) -> None:
        if key not in KEYS:
            raise HTTPBadRequest(text=f"{key!r} is an unknown key; write one of: {', '.join(KEYS)}\n")
        if values.get(key, value) != value:
            raise HTTPConflict(text=f"{key!r} has two different values; write it once\n")
        values[key] = value

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
    return values


async def _read(request: Request) -> bytes:
    body = bytearray()
    size = 0
    async for piece in request.content:
        size += len(piece)
        if size > MAX_BODY_BYTES:
            raise HTTPRequestEntityTooLarge
        if len(body) < MAX_KEPT_BYTES:
            body += piece
    return bytes(body)


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
            raise HTTPBadRequest(text=f"{key!r} is neither a string nor an integer; write it in quotes\n")
    return texts


def _heartbeat_of(values: Mapping[str, str]) -> Heartbeat:
    signal, exit_status = values.get("signal"), values.get("exit_status")
    signals = [signal.value for signal in HeartbeatSignal]
    if signal is not None and signal not in signals:
        raise HTTPBadRequest(text=f"{signal!r} is not a signal; write one of: {', '.join(signals)}\n")
    if exit_status is not None and not (
        exit_status.isascii()
        and exit_status.isdecimal()
        and len(exit_status) <= MAX_DIGITS
        and int(exit_status) <= MAX_EXIT_STATUS
    ):
        raise HTTPBadRequest(text=f"{exit_status!r} is not an exit status; write a number from 0 to 255\n")
    if (run := values.get("run")) is not None and not 0 < len(run) <= MAX_RUN_ID_CHARACTERS:
        raise HTTPBadRequest(text=f"'run' must have 1 to {MAX_RUN_ID_CHARACTERS} characters\n")
    try:
        return Heartbeat(
            signal=HeartbeatSignal(signal or "success"),
            exit_status=None if exit_status is None else int(exit_status),
            message=values.get("message"),
            run_id=values.get("run"),
        )
    except ValueError as error:
        # Each value is valid, but they contradict each other, such as one in the query and one in the body.
        raise HTTPConflict(text=f"{error}\n") from None
