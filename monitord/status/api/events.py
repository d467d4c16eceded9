"""Live events: server-sent events, each with an id from which a client continues after a reconnection.

The last events are kept in two rings, so that results do not displace changes. An event is encoded when it is first
sent: without clients it costs a reference. Each client has a queue, and is disconnected when the queue is full. After
the reconnection it receives the events in the rings, and before them a `gap` if some are no longer there.
"""

import asyncio
import secrets
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from monitord.clock import Clock, SystemClock
from monitord.dispatch import MonitorEntry, Sink
from monitord.model import Incident, Json, Result, Transition
from monitord.status.access.operations import ReloadOutcome
from monitord.status.access.responses import encode
from monitord.status.access.security import may_change
from monitord.status.api.openapi import ApiEndpoint, ResponseSpec
from monitord.status.model.query import QueryValues, flag, nonempty, repeated, single
from monitord.status.model.representations import incident_of, reload_of, result_of, text_of, transition_of
from monitord.web import HTTPServiceUnavailable, Request, StreamResponse

RING_SIZE = 1000
"""Events in each of the two rings."""

MAX_QUEUED_EVENTS = 500
"""Limit for each client; with more, the client is disconnected."""

MAX_CLIENTS = 200
RESERVED_FOR_UNIX = 50
"""Connections of MAX_CLIENTS that clients over TCP cannot use."""

RESERVED_FOR_CHANGES = 20
"""Further connections, reserved for root and the daemon's group on the Unix socket, without a proxy."""

MAX_CLIENTS_PER_ADDRESS = 50
"""Over TCP; the default of `max_event_streams_per_address`."""

BATCH_S = 0.1
"""Events within this time are sent together."""

KEEPALIVE_S = 15.0
"""Interval of comments, below the idle timeouts of common proxies."""

RETRY_MS = 3000
KEEPALIVE = b": \n\n"

RESULTS = single(
    "results",
    flag,
    False,
    {"type": "string", "enum": ["0", "1"], "default": "0"},
    "`1`: also send the result of every check.",
)
MONITOR = repeated(
    "monitor",
    nonempty,
    {"type": "string", "minLength": 1},
    "Select events of this monitor. If repeated, select events of any of the monitors. "
    "Events of the daemon are always sent.",
)
LAST_ID = single(
    "last_event_id",
    nonempty,
    "",
    {"type": "string", "minLength": 1},
    "The id of the last event received, for clients that cannot send `Last-Event-ID`.",
)


@dataclass(slots=True, eq=False)
class LiveEvent:
    """An event. `monitor` None: it is about the daemon."""

    number: int
    kind: str
    monitor: str | None
    data: Callable[[], Json]
    text: bytes | None = None

    def encoded(self, run: str) -> bytes:
        if self.text is None:
            self.text = b"id: %s-%d\nevent: %s\ndata: %s\n\n" % (
                run.encode(),
                self.number,
                self.kind.encode(),
                encode(self.data()),
            )
        return self.text


class _Ring:
    """The last events. `lost_number`: the number of the last event that is no longer in it."""

    def __init__(self) -> None:
        self._events: deque[LiveEvent] = deque(maxlen=RING_SIZE)
        self.lost_number = 0

    def add(self, event: LiveEvent) -> None:
        if len(self._events) == RING_SIZE:
            self.lost_number = self._events[0].number
        self._events.append(event)

    def after(self, number: int) -> list[LiveEvent]:
        return [event for event in self._events if event.number > number]


class _Subscriber:
    """A connected client. `network`: of its address; None: it is connected over the Unix socket."""

    def __init__(self, *, results: bool, monitors: frozenset[str], network: str | None = None) -> None:
        self.network = network
        self.wants_results = results
        self._monitors = monitors
        self.queue: deque[LiveEvent] = deque()
        self.has_events = asyncio.Event()
        self.is_dropped = False

    def accepts(self, event: LiveEvent) -> bool:
        if event.kind == "result" and not self.wants_results:
            return False
        return not self._monitors or event.monitor is None or event.monitor in self._monitors

    def put(self, event: LiveEvent) -> None:
        if len(self.queue) >= MAX_QUEUED_EVENTS:
            self.is_dropped = True
            self.queue.clear()
        elif not self.is_dropped:
            self.queue.append(event)
        self.has_events.set()


class LiveEvents(Sink):
    """Queues each event for its clients, without waiting."""

    def __init__(
        self,
        run: str | None = None,
        max_per_address: int = MAX_CLIENTS_PER_ADDRESS,
        clock: Clock | None = None,
    ) -> None:
        """`run` is part of every id: ids of another run of the daemon are not valid in this one."""
        self._max_per_address = max_per_address
        self._clock = SystemClock() if clock is None else clock
        self._run = run or secrets.token_hex(4)
        self._number = 0
        self._results = _Ring()
        self._changes = _Ring()
        self._clients: set[_Subscriber] = set()
        self._acknowledged: dict[str, str] = {}
        """The acknowledged incident by monitor, if it was acknowledged in this run."""
        self.dropped = 0

    @property
    def clients(self) -> int:
        return len(self._clients)

    # -- events -------------------------------------------------------------------------------------

    def on_result(self, entry: MonitorEntry, result: Result) -> None:
        name, state = entry.name, entry.state.effective.value
        self._add("result", name, partial(_result_event, name, state, result), self._results)

    def on_transition(self, entry: MonitorEntry, transition: Transition) -> None:
        self._add("transition", entry.name, partial(transition_of, transition), self._changes)

    def on_incident(self, entry: MonitorEntry, incident: Incident) -> None:
        del entry
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
            partial(_incident_event, incident, change, self._clock.now()),
            self._changes,
        )

    def on_reload(self, outcome: ReloadOutcome) -> None:
        self._add("reload", None, partial(reload_of, outcome), self._changes)

    def _add(self, kind: str, monitor: str | None, data: Callable[[], Json], ring: _Ring) -> None:
        self._number += 1
        event = LiveEvent(self._number, kind, monitor, data)
        ring.add(event)
        for client in self._clients:
            if client.accepts(event):
                client.put(event)

    # -- clients --------------------------------------------------------------------------------------

    async def events(self, request: Request, query: QueryValues) -> StreamResponse:
        """Respond to `GET /api/v1/events`."""
        network = request.peer.network
        # The number of clients is limited, including reserved connections.
        limit = MAX_CLIENTS
        if not (network is None and may_change(request)):
            limit -= RESERVED_FOR_CHANGES
        if network is not None:
            limit -= RESERVED_FOR_UNIX
        count, place = len(self._clients), ""
        if count < limit and network is not None:
            count, limit = sum(client.network == network for client in self._clients), self._max_per_address
            place = f" from {network}"
        if count >= limit:
            raise HTTPServiceUnavailable(
                text=f"{count} clients{place} receive events already; try again later\n",
                headers={"Retry-After": "30"},
            )
        client = _Subscriber(results=query[RESULTS], monitors=frozenset(query[MONITOR]), network=network)
        last_id = request.headers.get("Last-Event-ID") or query[LAST_ID]
        return EventsResponse(self._stream(client, last_id))

    async def _stream(self, client: _Subscriber, last_id: str) -> AsyncGenerator[bytes, None]:
        """The stream of one client, piece by piece."""
        self._clients.add(client)
        try:
            missed = self._missed(client, last_id)
            # A client stores an id without data, and dispatches no event for it. The id follows the missed events,
            # because a client that disconnects earlier must still request them.
            yield b"retry: %d\n%sid: %s-%d\n\n" % (
                RETRY_MS,
                b"\n" + missed if missed else b"",
                self._run.encode(),
                self._number,
            )
            while not client.is_dropped:
                try:
                    async with asyncio.timeout(KEEPALIVE_S):
                        await client.has_events.wait()
                except TimeoutError:
                    yield KEEPALIVE
                    continue
                client.has_events.clear()
                batch = b"".join(event.encoded(self._run) for event in client.queue)
                client.queue.clear()
                if batch:
                    yield batch
                await asyncio.sleep(BATCH_S)
        finally:
            self.dropped += client.is_dropped
            self._clients.discard(client)

    def _missed(self, client: _Subscriber, last_id: str) -> bytes:
        """The events after `last_id` that are in the rings."""
        if not last_id:
            return b""
        run, _, digits = last_id.rpartition("-")
        rings = [self._changes, self._results] if client.wants_results else [self._changes]
        is_of_this_run = run == self._run and digits.isascii() and digits.isdigit() and len(digits) < 20  # noqa: PLR2004 - no id has more
        number = int(digits) if is_of_this_run else 0
        missed = sorted(
            (event for ring in rings for event in ring.after(number) if client.accepts(event)),
            key=lambda event: event.number,
        )
        pieces = [event.encoded(self._run) for event in missed]
        if not is_of_this_run or any(ring.lost_number > number for ring in rings):
            pieces.insert(0, b"event: gap\ndata: %s\n\n" % encode({"after": last_id}))
        return b"".join(pieces)


def _incident_event(incident: Incident, change: str, at: datetime) -> Json:
    return {**incident_of(incident), "change": change, "at": text_of(at)}


def _result_event(monitor: str, state: str, result: Result) -> Json:
    return {"monitor": monitor, "state": state, **result_of(result)}


class EventsResponse(StreamResponse):
    """Ends when the client disconnects or is disconnected, and at once when the server stops."""

    ends_with_server = True

    def __init__(self, pieces: AsyncIterator[bytes]) -> None:
        # Some proxies buffer small pieces.
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        super().__init__(pieces, headers=headers, content_type="text/event-stream")


def event_endpoints(live_events: LiveEvents) -> list[ApiEndpoint]:
    return [
        ApiEndpoint(
            "GET",
            "/events",
            live_events.events,
            "streamEvents",
            "Events",
            "Stream live events",
            "Sends transitions, incidents and reloads as server-sent events, and with `results` the result of every "
            "check. A client that reconnects with `Last-Event-ID` receives the events that it has missed.",
            {
                200: ResponseSpec(
                    "Server-sent events, until the client disconnects.", "Event", "text/event-stream"
                )
            },
            parameters=(RESULTS, MONITOR, LAST_ID),
            problems=[503],
        )
    ]
