"""The daemon's live events, as they come, across its restarts: a client of `GET /api/v1/events`."""

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from monitord.cli.client.connection import API, Client, Params
from monitord.errors import ControlError

SILENCE_S = 60.0
"""The daemon says something every 15 seconds; without that the connection is dead."""

RETRY_S = 3.0
UNKNOWN_ID = "0-0"
"""Of no run of the daemon: by it one gets all that is still kept."""


@dataclass(frozen=True, slots=True)
class Event:
    """`kind`: result, transition, incident, reload, or gap: what came before is kept no more."""

    kind: str
    id: str
    data: Any


class Parser:
    """Server-sent events from pieces of text, as the standard has them. `last_id` is what to go on from.

    `has_caught_up`: an id has come that is no event's. The daemon sends it after all that is from before.
    """

    def __init__(self) -> None:
        self.last_id = ""
        self.retry_s = RETRY_S
        self.has_caught_up = False
        self._rest = b""
        self._has_id = False
        self._kind = ""
        self._data: list[str] = []

    def feed(self, piece: bytes) -> Iterator[Event]:
        *lines, self._rest = (self._rest + piece).split(b"\n")
        for line in lines:
            event = self._take(line.decode(errors="replace"))
            if event is not None:
                yield event

    def forget_the_rest(self) -> None:
        """What a connection that broke off has left half said."""
        self._rest, self._kind, self._data, self._has_id = b"", "", [], False

    def _take(self, line: str) -> Event | None:
        if not line:
            kind, data = self._kind, "\n".join(self._data)
            self.has_caught_up |= self._has_id and not data
            self._kind, self._data, self._has_id = "", [], False
            return Event(kind, self.last_id, json.loads(data)) if data else None
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


def follow(client: Client, params: Params, on_loss: Callable[[ControlError], None]) -> Iterator[Event]:
    """From now on, without end. The first connection must come about; later ones are tried again and again."""
    parser = Parser()
    is_first, is_lost = True, False
    while True:
        headers = {"Last-Event-ID": parser.last_id} if parser.last_id else {}
        try:
            for piece in client.stream(f"{API}/events", params, headers=headers, timeout_s=SILENCE_S):
                is_first = is_lost = False
                yield from parser.feed(piece)
        except ControlError as error:
            if is_first:
                raise
            if not is_lost:
                on_loss(error)
            is_lost = True
        parser.forget_the_rest()
        time.sleep(parser.retry_s)


def kept(client: Client, params: Params) -> Iterator[Event]:
    """What the daemon still knows. What happens from now on is not waited for, however soon it comes."""
    parser = Parser()
    for piece in client.stream(f"{API}/events", params, headers={"Last-Event-ID": UNKNOWN_ID}):
        yield from parser.feed(piece)
        if parser.has_caught_up:
            return
