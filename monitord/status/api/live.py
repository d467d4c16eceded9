"""What happens, as it happens: server-sent events, each with an id by which a client that comes back goes on.

The last events lie in two rings, so that a thousand results a second push no change of health out. An event is turned
into bytes when somebody first wants it: a daemon that nobody listens to pays for a reference. A client has a queue of
its own, and loses its connection when that is full; coming back it gets what the rings still hold, after a `gap` where
they no longer hold all.
"""

import asyncio
import secrets
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from monitord.clock import Clock, SystemClock
from monitord.dispatch import Sink, Watched
from monitord.model import Incident, Json, Result, Transition
from monitord.status.access.control import ReloadOutcome
from monitord.status.access.responses import encode
from monitord.status.access.security import may_change
from monitord.status.api.openapi import Answer, Endpoint
from monitord.status.model.forms import incident_of, reload_of, result_of, text_of, transition_of
from monitord.status.model.query import Query, flag, many, one, words
from monitord.web import HTTPServiceUnavailable, Request, StreamResponse

KEPT_EVENTS = 1000
"""In each of the two rings."""

QUEUED_EVENTS = 500
"""For each client; beyond it the client is dropped."""

MOST_CLIENTS = 200
RESERVED_FOR_UNIX = 50
"""Of these, clients over TCP cannot use so many, and"""

RESERVED_FOR_CHANGES = 20
"""so many more are for root and the daemon's group, on the Unix socket and not through a proxy."""

MOST_PER_ADDRESS = 50
"""Over TCP, unless it is configured otherwise."""

BATCH_S = 0.1
"""What comes within this time goes out in one piece."""

HEARTBEAT_S = 15.0
"""Below the idle limits of common proxies."""

RETRY_MS = 3000
HEARTBEAT = b": \n\n"

RESULTS = one(
    "results",
    flag,
    False,
    {"type": "string", "enum": ["0", "1"], "default": "0"},
    "1: the result of every check as well.",
)
MONITOR = many(
    "monitor",
    words,
    {"type": "string", "minLength": 1},
    "Only events of this monitor; repeated: of any of them.",
)
LAST_ID = one(
    "last_event_id",
    words,
    "",
    {"type": "string", "minLength": 1},
    "For clients that cannot send Last-Event-ID themselves.",
)


@dataclass(slots=True, eq=False)
class Happening:
    """One event. `monitor` None: it is about the daemon."""

    number: int
    kind: str
    monitor: str | None
    make: Callable[[], Json]
    text: bytes | None = None

    def encoded(self, boot: str) -> bytes:
        if self.text is None:
            self.text = b"id: %s-%d\nevent: %s\ndata: %s\n\n" % (
                boot.encode(),
                self.number,
                self.kind.encode(),
                encode(self.make()),
            )
        return self.text


class _Ring:
    """The last happenings. `lost_number`: that of the last one that fell out."""

    def __init__(self) -> None:
        self._kept: deque[Happening] = deque(maxlen=KEPT_EVENTS)
        self.lost_number = 0

    def add(self, happening: Happening) -> None:
        if len(self._kept) == KEPT_EVENTS:
            self.lost_number = self._kept[0].number
        self._kept.append(happening)

    def after(self, number: int) -> list[Happening]:
        return [one for one in self._kept if one.number > number]


class _Client:
    """One that listens."""

    def __init__(self, *, results: bool, monitors: frozenset[str], network: str | None = None) -> None:
        self.network = network
        self.wants_results = results
        self._monitors = monitors
        self.queue: deque[Happening] = deque()
        self.news = asyncio.Event()
        self.is_dropped = False

    def wants(self, happening: Happening) -> bool:
        if happening.kind == "result" and not self.wants_results:
            return False
        return not self._monitors or happening.monitor is None or happening.monitor in self._monitors

    def put(self, happening: Happening) -> None:
        if len(self.queue) >= QUEUED_EVENTS:
            self.is_dropped = True
            self.queue.clear()
        elif not self.is_dropped:
            self.queue.append(happening)
        self.news.set()


class Live(Sink):
    """Sends each event to the clients that wait for it, by plain calls that never wait."""

    def __init__(
        self,
        boot: str | None = None,
        most_per_address: int = MOST_PER_ADDRESS,
        clock: Clock | None = None,
    ) -> None:
        """`boot` is part of every id: those of another run of the daemon mean nothing in this one."""
        self._most_per_address = most_per_address
        self._clock = SystemClock() if clock is None else clock
        self._boot = boot or secrets.token_hex(4)
        self._number = 0
        self._results = _Ring()
        self._changes = _Ring()
        self._clients: set[_Client] = set()
        self._acknowledged: dict[str, str] = {}
        """The acknowledged incident of each monitor that has one, as far as it was acknowledged in this run."""
        self.dropped = 0

    @property
    def clients(self) -> int:
        return len(self._clients)

    # -- what happens -------------------------------------------------------------------------------------

    def on_result(self, watched: Watched, result: Result) -> None:
        name, state = watched.name, watched.state.effective.value
        self._add("result", name, partial(_told_result, name, state, result), self._results)

    def on_transition(self, watched: Watched, transition: Transition) -> None:
        self._add("transition", watched.name, partial(transition_of, transition), self._changes)

    def on_incident(self, watched: Watched, incident: Incident) -> None:
        del watched
        was_acknowledged = self._acknowledged.pop(incident.monitor, None) == incident.id
        if incident.closed_at is not None:
            change = "closed"
        elif incident.acknowledged_by is not None:
            change = "acknowledged"
        else:
            change = "unacknowledged" if was_acknowledged else "opened"
        if change == "acknowledged":
            self._acknowledged[incident.monitor] = incident.id
        self._add(
            "incident",
            incident.monitor,
            partial(_told_incident, incident, change, self._clock.now()),
            self._changes,
        )

    def on_reload(self, outcome: ReloadOutcome) -> None:
        self._add("reload", None, partial(reload_of, outcome), self._changes)

    def _add(self, kind: str, monitor: str | None, make: Callable[[], Json], ring: _Ring) -> None:
        self._number += 1
        happening = Happening(self._number, kind, monitor, make)
        ring.add(happening)
        for client in self._clients:
            if client.wants(happening):
                client.put(happening)

    # -- who listens --------------------------------------------------------------------------------------

    async def events(self, request: Request, query: Query) -> StreamResponse:
        """`GET /api/v1/events`."""
        network = request.peer.network
        self._check_limits(request, network)
        client = _Client(results=query[RESULTS], monitors=frozenset(query[MONITOR]), network=network)
        last_id = request.headers.get("Last-Event-ID") or query[LAST_ID]
        return EventsResponse(self._told(client, last_id))

    def _check_limits(self, request: Request, network: str | None) -> None:
        """Raises HTTPServiceUnavailable when this client would take a place that is reserved for others."""
        most = MOST_CLIENTS
        if not (network is None and may_change(request)):
            most -= RESERVED_FOR_CHANGES
        if network is not None:
            most -= RESERVED_FOR_UNIX
        refusal = None
        if len(self._clients) >= most:
            refusal = f"{len(self._clients)} clients listen already"
        elif network is not None:
            from_there = sum(one.network == network for one in self._clients)
            if from_there >= self._most_per_address:
                refusal = f"{from_there} clients listen already from {network}"
        if refusal is not None:
            raise HTTPServiceUnavailable(text=f"{refusal}; try again later\n", headers={"Retry-After": "30"})

    async def _told(self, client: _Client, last_id: str) -> AsyncGenerator[bytes, None]:
        """What one client is sent, piece by piece."""
        self._clients.add(client)
        try:
            missed = self._missed(client, last_id)
            # An id without data is remembered by the client, and is no event for its page. It comes after what was
            # missed: a line that breaks before must not leave that behind.
            yield b"retry: %d\n%sid: %s-%d\n\n" % (
                RETRY_MS,
                b"\n" + missed if missed else b"",
                self._boot.encode(),
                self._number,
            )
            while not client.is_dropped:
                try:
                    async with asyncio.timeout(HEARTBEAT_S):
                        await client.news.wait()
                except TimeoutError:
                    yield HEARTBEAT
                    continue
                client.news.clear()
                batch = b"".join(one.encoded(self._boot) for one in client.queue)
                client.queue.clear()
                if batch:
                    yield batch
                await asyncio.sleep(BATCH_S)
        finally:
            self.dropped += client.is_dropped
            self._clients.discard(client)

    def _missed(self, client: _Client, last_id: str) -> bytes:
        """What happened since the client was here last, as far as it is known."""
        if not last_id:
            return b""
        boot, _, digits = last_id.rpartition("-")
        rings = [self._changes, self._results] if client.wants_results else [self._changes]
        is_probe_error = boot == self._boot and digits.isascii() and digits.isdigit() and len(digits) < 20  # noqa: PLR2004 - no longer number is ours
        number = int(digits) if is_probe_error else 0
        found = sorted(
            (one for ring in rings for one in ring.after(number) if client.wants(one)),
            key=lambda one: one.number,
        )
        pieces = [one.encoded(self._boot) for one in found]
        if not is_probe_error or any(ring.lost_number > number for ring in rings):
            pieces.insert(0, b"event: gap\ndata: %s\n\n" % encode({"after": last_id}))
        return b"".join(pieces)


def _told_incident(incident: Incident, change: str, at: datetime) -> Json:
    return {**incident_of(incident), "change": change, "at": text_of(at)}


def _told_result(monitor: str, state: str, result: Result) -> Json:
    return {"monitor": monitor, "state": state, **result_of(result)}


class EventsResponse(StreamResponse):
    """Ends when its client leaves or is dropped, and at once when the server stops."""

    ends_with_server = True

    def __init__(self, pieces: AsyncIterator[bytes]) -> None:
        # Some proxies keep small pieces back until they have a large one.
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        super().__init__(pieces, headers=headers, content_type="text/event-stream")


def live_endpoints(live: Live) -> list[Endpoint]:
    return [
        Endpoint(
            "GET",
            "/events",
            live.events,
            "events",
            "Results, changes of health, incidents and reloads as they happen, as server-sent events",
            {200: Answer("Events, until the client leaves.", "Event", "text/event-stream")},
            parameters=(RESULTS, MONITOR, LAST_ID),
            problems=[503],
        )
    ]
