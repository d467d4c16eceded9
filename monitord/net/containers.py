"""Containers of Docker and Podman, queried and followed over the Unix sockets of their engines.

    containers = Containers()
    subscription = containers.follow("/run/docker.sock", on_event)    # on_event(ContainerEvent), or None: some missed
    containers.unfollow(subscription)
    rows = await containers.list("/run/docker.sock", deadline=time.monotonic() + 5)
    state = await containers.inspect("/run/docker.sock", "web", deadline=…)
    await containers.close()

Both engines have the Docker Engine API. Paths have no version, so that the engine uses its own: Docker 29 no longer
accepts versions before 1.44, and Docker 20.10 none after 1.41. The fields used here exist in all of them.

One event stream per socket is shared by all followers, and reopened with increasing intervals while it is not
available. Only states are queried; nothing is cached.
"""

import asyncio
import json
import logging
import os
import random
import re
import stat
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import Enum
from typing import Any, Final
from urllib.parse import quote

from monitord.net.base.errors import FailureKind
from monitord.net.base.resolver import Resolver
from monitord.net.base.tls import TlsContexts
from monitord.net.http.client import HttpClient
from monitord.net.http.outcome import HttpExchange, HttpFailure, HttpOutcome
from monitord.net.http.request import HttpRequest

log = logging.getLogger(__name__)

MAX_LIST_BYTES = 4 << 20
"""Thousands of containers: one with a few labels takes a kilobyte."""
MAX_STATE_BYTES = 1 << 20
MAX_EVENT_BYTES = 256 << 10
"""An event contains the labels of its container. Longer events are skipped, and reported as missed."""
MAX_CONTAINERS = 10_000
MAX_MESSAGE_CHARACTERS = 200

CONNECT_WITHIN_S = 10.0
RETRY_FIRST_S = 0.5
RETRY_LAST_S = 30.0
"""Interval of attempts to open the event stream: doubled after each failure, with jitter."""

OK, FORBIDDEN, NOT_FOUND = 200, 403, 404

# Podman has other names for some of Docker's events. Events of health checks themselves (exec_…) are ignored.
_EVENTS = (
    *("start", "die", "died", "kill", "stop", "restart", "oom", "health_status"),
    *("pause", "unpause", "rename", "destroy", "remove"),
)
_FILTERS: Final = json.dumps({"type": ["container"], "event": _EVENTS}, separators=(",", ":"))

_NEVER = 1970
"""The zero time of Go is in the year 1, that of others in this one."""


class EngineFailure(Enum):
    """Why a query has no usable response."""

    AWAY = "away"
    """There is no socket, or nothing listens on it."""
    SILENT = "silent"
    """There was no response within the deadline."""
    FORBIDDEN = "forbidden"
    """The socket, or a proxy in front of it, denies access."""
    REFUSED = "refused"
    """The engine responded with an error, or with something other than containers."""


class EngineError(Exception):
    """A query has no usable response."""

    def __init__(self, failure: EngineFailure, detail: str) -> None:
        super().__init__(detail)
        self.failure = failure
        self.detail = detail


@dataclass(frozen=True, slots=True)
class ContainerEvent:
    """`action`: the word of the engine, such as "die". `exit_code`: of "die". `health`: of "health_status"."""

    id: str
    name: str
    action: str
    labels: Mapping[str, str] = field(default_factory=dict)
    exit_code: int | None = None
    health: str = ""


@dataclass(frozen=True, slots=True)
class ContainerPort:
    """A TCP port on which a container listens. `public` and `ip`: where the host publishes it, if it does."""

    private: int
    public: int | None = None
    ip: str = ""


@dataclass(frozen=True, slots=True)
class ContainerRow:
    """A container in the list of all containers. `addresses`: by network; none while it does not run."""

    id: str
    name: str
    status: str
    labels: Mapping[str, str] = field(default_factory=dict)
    image: str = ""
    addresses: Mapping[str, str] = field(default_factory=dict)
    ports: tuple[ContainerPort, ...] = ()
    is_in_host_network: bool = False


@dataclass(frozen=True, slots=True)
class ContainerState:
    """The state of a container.

    `status`: "created", "running", "paused", "restarting", "removing", "exited", "dead", or another word of Podman.
    `health`: "healthy", "unhealthy", "starting"; "" without a health check. `restarts`: by the restart policy, since
    the last start by a user. `policy`: "no", "always", "unless-stopped", "on-failure".
    """

    id: str
    name: str
    status: str
    image: str = ""
    health: str = ""
    health_output: str = ""
    exit_code: int = 0
    is_oom_killed: bool = False
    restarts: int = 0
    policy: str = "no"
    created_at: datetime | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None

    @property
    def is_running(self) -> bool:
        return self.status == "running"


OnEvent = Callable[[ContainerEvent | None], None]


@dataclass(frozen=True, slots=True, eq=False)
class ContainerSubscription:
    """A subscription to the events of all containers of an engine."""

    socket: str
    on_event: OnEvent


class Containers:
    """Queries and follows containers. Needs a running event loop from the first call on."""

    def __init__(self, retry_first_s: float = RETRY_FIRST_S) -> None:
        self._retry_first_s = retry_first_s
        self._http: HttpClient | None = None
        self._streams: dict[str, _EngineEvents] = {}
        self._ending: set[asyncio.Task[None]] = set()

    def follow(self, socket: str, on_event: OnEvent) -> ContainerSubscription:
        """Call `on_event` with each event, and with None if events may have been missed."""
        subscription = ContainerSubscription(socket, on_event)
        stream = self._streams.get(socket)
        if stream is None:
            stream = self._streams[socket] = _EngineEvents(self._client(), socket, self._retry_first_s)
        stream.subscriptions.append(subscription)
        return subscription

    def unfollow(self, subscription: ContainerSubscription) -> None:
        stream = self._streams[subscription.socket]
        stream.subscriptions.remove(subscription)
        if not stream.subscriptions:
            del self._streams[subscription.socket]
            stream.task.cancel()
            self._ending.add(stream.task)
            stream.task.add_done_callback(self._ending.discard)

    async def list(self, socket: str, *, deadline: float) -> list[ContainerRow]:
        """Return all containers, including containers that have ended. Raises EngineError."""
        answer = await self._get(socket, "/containers/json?all=true", MAX_LIST_BYTES, deadline)
        if not isinstance(answer, list):
            raise _unexpected(socket)
        return [row for item in answer[:MAX_CONTAINERS] if (row := _row_of(item)) is not None]

    async def inspect(self, socket: str, name: str, *, deadline: float) -> ContainerState | None:
        """Return the state of the container with this name or id; None if there is none. Raises EngineError."""
        path = f"/containers/{quote(name, safe='')}/json"
        answer = await self._get(socket, path, MAX_STATE_BYTES, deadline)
        if answer is None:
            return None
        state = _state_of(answer)
        if state is None:
            raise _unexpected(socket)
        return state

    async def close(self) -> None:
        """May be called twice."""
        tasks = [*self._ending, *(stream.task for stream in self._streams.values())]
        self._streams.clear()
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        client, self._http = self._http, None
        if client is not None:
            await client.close()

    def _client(self) -> HttpClient:
        # Its own, and without names: requests go to Unix sockets only.
        if self._http is None:
            self._http = HttpClient(user_agent="monitord", resolver=Resolver(), tls_contexts=TlsContexts())
        return self._http

    async def _get(self, socket: str, path: str, max_bytes: int, deadline: float) -> Any:
        """Return the JSON document of a response; None for status 404. Raises EngineError."""
        client = self._client()
        request = HttpRequest(
            url=_url(socket, path), read_body=True, max_body_bytes=max_bytes, follow_redirects=False
        )
        try:
            outcome = await client.fetch(request, deadline=deadline)
        finally:
            await client.forget(request)
        if isinstance(outcome, HttpFailure):
            raise _failed(socket, outcome)
        if outcome.status == NOT_FOUND:
            return None
        if outcome.status != OK:
            raise _rejected(socket, outcome)
        try:
            return json.loads(outcome.body or b"")
        except (ValueError, RecursionError):
            raise _unexpected(socket) from None


class _EngineEvents:
    """The event stream of one engine, and its followers."""

    def __init__(self, client: HttpClient, socket: str, retry_first_s: float) -> None:
        self._client = client
        self._socket = socket
        self._retry_first_s = retry_first_s
        self._rest = bytearray()
        self._is_skipping = False
        self._has_failed = False
        self.subscriptions: list[ContainerSubscription] = []
        self.task = asyncio.ensure_future(self._keep())

    async def _keep(self) -> None:
        wait_s = self._retry_first_s
        while True:
            began_s = time.monotonic()
            outcome = await self._receive()
            if not self._has_failed:
                error = (
                    _failed(self._socket, outcome)
                    if isinstance(outcome, HttpFailure)
                    else _rejected(self._socket, outcome)
                )
                ended = isinstance(outcome, HttpExchange) and outcome.status == OK
                detail = f"{self._socket}: the engine has closed the stream" if ended else error.detail
                log.info("the events of containers cannot be received: %s", detail)
                self._emit(None)
            self._has_failed = True
            if time.monotonic() - began_s > RETRY_LAST_S:
                wait_s = self._retry_first_s
            await asyncio.sleep(wait_s * random.uniform(0.8, 1.2))  # noqa: S311 - jitter
            wait_s = min(wait_s * 2, RETRY_LAST_S)

    async def _receive(self) -> HttpOutcome:
        """Receive events until the stream ends."""
        self._rest.clear()
        self._is_skipping = False
        request = HttpRequest(
            url=_url(self._socket, f"/events?filters={quote(_FILTERS, safe='')}"), follow_redirects=False
        )
        deadline = time.monotonic() + CONNECT_WITHIN_S
        try:
            return await self._client.stream(request, self._feed, deadline=deadline)
        finally:
            await self._client.forget(request)

    def _feed(self, data: bytes) -> None:
        """Pass on the complete events in the data: one JSON document per line."""
        if self._has_failed:
            self._has_failed = False
            log.info("the events of containers are received again: %s", self._socket)
            self._emit(None)
        *lines, rest = data.split(b"\n")
        for line in lines:
            self._rest += line
            is_skipped, self._is_skipping = self._is_skipping, False
            whole = bytes(self._rest)
            self._rest.clear()
            if is_skipped or len(whole) > MAX_EVENT_BYTES:
                self._emit(None)
            elif whole.strip():
                event = _event_of(whole)
                if event is not None:
                    self._emit(event)
        self._rest += rest
        if len(self._rest) > MAX_EVENT_BYTES:
            self._rest.clear()
            self._is_skipping = True

    def _emit(self, event: ContainerEvent | None) -> None:
        for subscription in list(self.subscriptions):
            subscription.on_event(event)


# Requests and errors


def _url(socket: str, path: str) -> str:
    return f"http+unix://{quote(socket, safe='')}{path}"


def _failed(socket: str, failure: HttpFailure) -> EngineError:
    match failure.kind:
        case FailureKind.REFUSED | FailureKind.HOST_UNREACHABLE:
            return _unreachable(socket, failure.detail)
        case FailureKind.TIMEOUT_CONNECT | FailureKind.TIMEOUT_RESPONSE | FailureKind.TIMEOUT_BODY:
            return EngineError(EngineFailure.SILENT, f"{socket}: {failure.detail}")
        case FailureKind.RESET:
            return EngineError(EngineFailure.AWAY, f"{socket}: {failure.detail}")
        case _:
            return EngineError(EngineFailure.REFUSED, f"{socket}: {failure.detail}")


def _unreachable(socket: str, detail: str) -> EngineError:
    """Distinguish a forbidden socket from a missing one, which connect(2) does not."""
    try:
        mode = os.stat(socket).st_mode  # noqa: PTH116 - one system call
    except PermissionError as error:
        return EngineError(EngineFailure.FORBIDDEN, f"{socket}: {os.strerror(error.errno or 0)}")
    except OSError as error:
        return EngineError(EngineFailure.AWAY, f"{socket}: {os.strerror(error.errno or 0)}")
    if not stat.S_ISSOCK(mode):
        return EngineError(EngineFailure.AWAY, f"{socket} is not a socket")
    if not os.access(socket, os.W_OK, effective_ids=True):
        return EngineError(EngineFailure.FORBIDDEN, f"{socket}: Permission denied")
    return EngineError(EngineFailure.AWAY, detail)


def _rejected(socket: str, exchange: HttpExchange) -> EngineError:
    try:
        message = json.loads(exchange.body or b"").get("message", "")
    except (ValueError, AttributeError, RecursionError):
        message = ""
    shown = f": {message[:MAX_MESSAGE_CHARACTERS]}" if isinstance(message, str) and message else ""
    failure = EngineFailure.FORBIDDEN if exchange.status in {401, FORBIDDEN} else EngineFailure.REFUSED
    return EngineError(failure, f"{socket}: status {exchange.status}{shown}")


def _unexpected(socket: str) -> EngineError:
    return EngineError(EngineFailure.REFUSED, f"{socket}: the response is not that of a container engine")


# Answers


def _row_of(item: Any) -> ContainerRow | None:
    if not isinstance(item, dict):
        return None
    names, container_id = item.get("Names"), item.get("Id")
    if not (isinstance(names, list) and names and isinstance(container_id, str)):
        return None
    # Names with another slash are those by which a linked container knows it ("/app/db").
    container_names = [name[1:] for name in names if isinstance(name, str) and name.count("/") == 1]
    if not container_names:
        return None
    networks = _table(_table(item.get("NetworkSettings")).get("Networks"))
    addresses = {
        name: _text(_table(network).get("IPAddress")) or _text(_table(network).get("GlobalIPv6Address"))
        for name, network in networks.items()
    }
    ports = item.get("Ports")
    return ContainerRow(
        container_id,
        container_names[0],
        _text(item.get("State")).lower(),
        _labels(item.get("Labels")),
        _text(item.get("Image")),
        {name: address for name, address in addresses.items() if address},
        tuple(filter(None, map(_port_of, ports))) if isinstance(ports, list) else (),
        _text(_table(item.get("HostConfig")).get("NetworkMode")) == "host",
    )


def _port_of(item: Any) -> ContainerPort | None:
    port = _table(item)
    private, public = _number(port.get("PrivatePort")), _number(port.get("PublicPort"))
    if port.get("Type") != "tcp" or not private:
        return None
    return ContainerPort(private, public or None, _text(port.get("IP")))


def _state_of(item: Any) -> ContainerState | None:
    if not isinstance(item, dict) or not isinstance(item.get("State"), dict):
        return None
    state: dict[str, Any] = item["State"]
    config, host = _table(item.get("Config")), _table(item.get("HostConfig"))
    policy = _table(host.get("RestartPolicy"))
    health = _table(state.get("Health"))
    health_status = _text(health.get("Status")).lower()
    entries = health.get("Log")
    last_entry = _table(entries[-1]) if isinstance(entries, list) and entries else {}
    return ContainerState(
        id=_text(item.get("Id")),
        name=_text(item.get("Name")).lstrip("/"),
        status=_text(state.get("Status")).lower(),
        image=_text(config.get("Image")) or _text(item.get("Image")),
        health="" if health_status == "none" else health_status,
        health_output=_text(last_entry.get("Output")),
        exit_code=_number(state.get("ExitCode")),
        is_oom_killed=state.get("OOMKilled") is True,
        restarts=_number(item.get("RestartCount")),
        policy=_text(policy.get("Name")) or "no",
        created_at=_moment(item.get("Created")),
        started_at=_moment(state.get("StartedAt")),
        finished_at=_moment(state.get("FinishedAt")),
    )


def _event_of(line: bytes) -> ContainerEvent | None:
    try:
        item = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(item, dict):
        return None
    actor = _table(item.get("Actor"))
    attributes = _labels(actor.get("Attributes"))
    container_id = _text(actor.get("ID")) or _text(item.get("id"))
    # "health_status: unhealthy" in Docker; in Podman 4.4 and later an attribute.
    action, _, detail = _text(item.get("Action")).partition(":")
    if not container_id or not action:
        return None
    exit_code = attributes.get("exitCode", "")
    return ContainerEvent(
        id=container_id,
        name=attributes.get("name", ""),
        action={"died": "die", "remove": "destroy"}.get(action, action),
        labels=attributes,
        exit_code=int(exit_code) if re.fullmatch(r"-?[0-9]{1,5}", exit_code) else None,
        health=detail.strip() or attributes.get("health_status", ""),
    )


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _number(value: Any) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else 0


def _table(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _labels(value: Any) -> dict[str, str]:
    return {key: text for key, text in _table(value).items() if isinstance(text, str)}


def _moment(value: Any) -> datetime | None:
    """Return a time in UTC; None for the zero time of Go and for other text."""
    try:
        moment = datetime.fromisoformat(_text(value))
        return moment.astimezone(UTC) if moment.tzinfo is not None and moment.year > _NEVER else None
    except (ValueError, OverflowError):
        return None
