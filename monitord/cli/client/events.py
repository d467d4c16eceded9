"""The live events of the daemon, across its restarts: a client of `GET /api/v1/events`."""

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from monitord.cli.client.connection import API, Client, Params
from monitord.errors import ControlError

SILENCE_TIMEOUT_S = 60.0
"""The daemon sends at least a comment every 15 seconds."""

RETRY_S = 3.0
UNKNOWN_ID = "0-0"
"""Not an id of any daemon: a client with it receives all stored events."""


@dataclass(frozen=True, slots=True)
class ReceivedEvent:
    """`kind`: result, transition, incident, reload, or gap if earlier events are no longer stored."""

    kind: str
    id: str
    data: Any


class EventStreamParser:
    """Parses server-sent events (HTML standard, section 9.2). `last_id`: where to continue.

    `has_caught_up`: the daemon has sent all stored events, and then an id without an event.
    """

    def __init__(self) -> None:
        self.last_id = ""
        self.retry_s = RETRY_S
        self.has_caught_up = False
        self._rest = b""
        self._has_id = False
        self._kind = ""
        self._data: list[str] = []

    def feed(self, piece: bytes) -> Iterator[ReceivedEvent]:
        *lines, self._rest = (self._rest + piece).split(b"\n")
        for line in lines:
            event = self._process(line.decode(errors="replace"))
            if event is not None:
                yield event

    def reset(self) -> None:
        """Discard the incomplete event of a lost connection."""
        self._rest, self._kind, self._data, self._has_id = b"", "", [], False

    def _process(self, line: str) -> ReceivedEvent | None:
        if not line:
            kind, data = self._kind, "\n".join(self._data)
            self.has_caught_up |= self._has_id and not data
            self._kind, self._data, self._has_id = "", [], False
            return ReceivedEvent(kind, self.last_id, json.loads(data)) if data else None
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if field == "event":
            self._kind = value
        elif field == "data":
            self._data.append(value)
        elif field == "id":
            self.last_id = value
            self._has_id = True
        elif field == "retry" and value.isdecimal():
            self.retry_s = int(value) / 1000
        return None


def follow_events(
    client: Client, params: Params, on_loss: Callable[[ControlError], None]
) -> Iterator[ReceivedEvent]:
    """Yield new events without end. Raises ControlError if the first connection fails; later ones are retried."""
    parser = EventStreamParser()
    is_first, is_lost = True, False
    while True:
        headers = {"Last-Event-ID": parser.last_id} if parser.last_id else {}
        try:
            for piece in client.stream(f"{API}/events", params, headers=headers, timeout_s=SILENCE_TIMEOUT_S):
                is_first = is_lost = False
                yield from parser.feed(piece)
        except ControlError as error:
            if is_first:
                raise
            if not is_lost:
                on_loss(error)
            is_lost = True
        parser.reset()
        time.sleep(parser.retry_s)


def fetch_stored_events(client: Client, params: Params) -> Iterator[ReceivedEvent]:
    """Yield the events that the daemon has in memory."""
    parser = EventStreamParser()
    for piece in client.stream(f"{API}/events", params, headers={"Last-Event-ID": UNKNOWN_ID}):
        yield from parser.feed(piece)
        if parser.has_caught_up:
            return
