"""Server-sent events: contents, reconnections, and clients that do not read."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from monitord.model import Incident, Reason
from monitord.status.api.events import (
    MAX_CLIENTS,
    MAX_CLIENTS_PER_ADDRESS,
    MAX_QUEUED_EVENTS,
    RESERVED_FOR_CHANGES,
    RESERVED_FOR_UNIX,
    RING_SIZE,
    LiveEvents,
    _Subscriber,
)
from monitord.web import Server
from monitord.web.testing import ClientConnection, TestClient
from tests.endpoint import ACCEPTED, StatusWorld, asked, make_world

DEADLINE_S = 20.0


@dataclass
class ReceivedEvent:
    kind: str
    id: str
    data: Any


class Listener:
    """Reads the events of a connection."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection
        self._rest = b""
        self.last_id = ""

    async def begin(self, query: str = "", last_id: str = "") -> None:
        """Return when the daemon counts this client."""
        remembered = f"Last-Event-ID: {last_id}\r\n" if last_id else ""
        request = f"GET /api/v1/events{query} HTTP/1.0\r\nHost: localhost\r\n{remembered}\r\n"
        await self._connection.send(request.encode())
        async with asyncio.timeout(DEADLINE_S):
            head = await self._connection.reader.readuntil(b"\r\n\r\n")
        assert b"Content-Type: text/event-stream" in head
        first = await self.block()
        assert first["retry"] == "3000"
        self.last_id = first.get("id", last_id)

    async def next(self) -> ReceivedEvent:
        while True:
            block = await self.block()
            if "data" in block:
                self.last_id = block.get("id", self.last_id)
                return ReceivedEvent(block["event"], self.last_id, json.loads(block["data"]))

    async def end(self) -> bytes:
        async with asyncio.timeout(DEADLINE_S):
            return await self._connection.reader.read()

    async def block(self) -> dict[str, str]:
        async with asyncio.timeout(DEADLINE_S):
            text = await self._connection.reader.readuntil(b"\n\n")
        lines = (line.partition(": ") for line in text.decode().splitlines() if not line.startswith(":"))
        return {name: value for name, _, value in lines if name}


class EventStreams:
    """Opens event streams, and closes them at the end of the test."""

    def __init__(self, client: TestClient, stack: contextlib.AsyncExitStack) -> None:
        self.client = client
        self._stack = stack

    async def listen(self, query: str = "", last_id: str = "") -> Listener:
        listener = Listener(await self._stack.enter_async_context(await self.client.connect()))
        await listener.begin(query, last_id)
        return listener


@contextlib.asynccontextmanager
async def ears(world: StatusWorld) -> AsyncIterator[EventStreams]:
    async with asked(world) as client, contextlib.AsyncExitStack() as stack:
        yield EventStreams(client, stack)


async def fail_twice(world: StatusWorld) -> None:
    await world.dispatcher.check_now("bad")
    await world.dispatcher.check_now("bad")


async def test_incident_event_has_the_kind_of_its_change() -> None:
    live, world = LiveEvents(), make_world()
    entry = world.dispatcher.entries["bad"]
    opened = Incident("i1", "bad", world.clock.now(), Reason.REFUSED, "HTTP 503")
    acknowledged = replace(opened, acknowledged_by="kim", acknowledged_at=world.clock.now())
    closed = replace(opened, closed_at=world.clock.now())
    for incident in (opened, acknowledged, opened, acknowledged, closed):
        live.on_incident(entry, incident)
    changes = [event.data()["change"] for event in live._changes.after(0)]
    assert changes == ["opened", "acknowledged", "unacknowledged", "acknowledged", "closed"]


async def test_transitions_incidents_and_reloads_are_sent_as_they_happen() -> None:
    world = make_world()
    async with ears(world) as it:
        listener = await it.listen()
        await fail_twice(world)
        change, incident = await listener.next(), await listener.next()
        world.live_events.on_reload(ACCEPTED)
        reload = await listener.next()
    assert (change.kind, change.data["monitor"], change.data["state"]) == ("transition", "bad", "down")
    assert (incident.kind, incident.data["monitor"], incident.data["closed_at"]) == ("incident", "bad", None)
    assert incident.data["change"] == "opened"
    assert (reload.kind, reload.data["summary"]) == ("reload", "1 added, 2 unchanged")


async def test_results_are_sent_on_request_and_filtered_by_monitor() -> None:
    world = make_world()
    async with ears(world) as it:
        everything = await it.listen("?results=1")
        listener = await it.listen("?results=1&monitor=good")
        await world.dispatcher.check_now("bad")
        await world.dispatcher.check_now("good")
        first, second = await everything.next(), await everything.next()
        only = await listener.next()
    assert [first.data["monitor"], second.data["monitor"]] == ["bad", "good"]
    assert (first.kind, first.data["verdict"], first.data["state"]) == ("result", "fail", "pending")
    assert (only.data["monitor"], only.data["state"]) == ("good", "up")


async def test_reconnected_client_continues_after_its_last_event() -> None:
    world = make_world()
    async with ears(world) as it:
        listener = await it.listen()
        await world.dispatcher.check_now("good")
        seen = await listener.next()
        await fail_twice(world)
        again = await it.listen(last_id=seen.id)
        kinds = [(await again.next()).kind for _ in range(2)]
        by_query = await it.listen(f"?last_event_id={seen.id}")
        assert (await by_query.next()).data["monitor"] == "bad"
    assert kinds == ["transition", "incident"]


async def test_disconnection_during_missed_events_loses_none_of_them() -> None:
    """A client stores an id before its event, so the current id must follow all missed events."""
    world = make_world()
    async with ears(world) as it:
        listener = await it.listen()
        await world.dispatcher.check_now("good")
        seen = await listener.next()
        await fail_twice(world)
        again = await it.listen(last_id=seen.id)
        assert again.last_id == seen.id
        numbers = [int((await again.next()).id.rpartition("-")[2]) for _ in range(2)]
        assert numbers == sorted(numbers)
        # The id of an event that the client has not requested, so that it is not searched again.
        for _ in range(5):
            await world.dispatcher.check_now("good")
        latest = world.live_events._number
        third = await it.listen(last_id=again.last_id)
        assert third.last_id == f"boot-{latest}"


async def test_client_without_events_misses_none_after_a_reconnection() -> None:
    world = make_world()
    async with ears(world) as it:
        listener = await it.listen()
        await fail_twice(world)
        again = await it.listen(last_id=listener.last_id)
        assert (await again.next()).kind == "transition"


@pytest.mark.parametrize("last_id", ["other-3", "boot-", "boot-x", "nonsense"])
async def test_id_of_another_run_is_a_gap(last_id: str) -> None:
    world = make_world()
    async with ears(world) as it:
        await fail_twice(world)
        listener = await it.listen(last_id=last_id)
        gap = await listener.next()
        assert (gap.kind, gap.data) == ("gap", {"after": last_id})
        assert (await listener.next()).kind == "transition"


async def test_events_that_are_no_longer_in_the_ring_are_a_gap() -> None:
    world = make_world()
    async with ears(world) as it:
        listener = await it.listen()
        start = listener.last_id
        for _ in range(RING_SIZE + 1):
            world.live_events.on_reload(ACCEPTED)
        again = await it.listen(last_id=start)
        assert (await again.next()).kind == "gap"
        numbers = [int((await again.next()).id.partition("-")[2]) for _ in range(RING_SIZE)]
    assert numbers == list(range(2, RING_SIZE + 2))


async def test_many_results_do_not_displace_changes() -> None:
    world = make_world()
    async with ears(world) as it:
        start = (await it.listen()).last_id
        await fail_twice(world)
        entry = world.dispatcher.entries["good"]
        result = await world.dispatcher.check_now("good")
        for _ in range(RING_SIZE * 2):
            world.live_events.on_result(entry, result)
        again = await it.listen(last_id=start)
        assert [(await again.next()).kind for _ in range(3)] == ["transition", "incident", "transition"]
        both = await it.listen("?results=1", last_id=start)
        assert (await both.next()).kind == "gap"


async def test_client_that_does_not_read_is_disconnected_and_its_queue_is_limited() -> None:
    world = make_world()
    async with ears(world) as it:
        listener = await it.listen()
        for _ in range(MAX_QUEUED_EVENTS + 1):
            world.live_events.on_reload(ACCEPTED)
        left = await listener.end()
        assert left == b""
        assert (world.live_events.clients, world.live_events.dropped) == (0, 1)


async def test_disconnected_client_that_reads_nothing_more_is_counted() -> None:
    """The connection is closed while a piece is queued, so the generator is not resumed."""
    world = make_world()
    pieces = world.live_events._stream(_Subscriber(results=False, monitors=frozenset()), "")
    await anext(pieces)
    for _ in range(MAX_QUEUED_EVENTS + 1):
        world.live_events.on_reload(ACCEPTED)
    await pieces.aclose()
    await world.dispatcher.close(0.0)
    assert (world.live_events.dropped, world.live_events.clients) == (1, 0)


async def test_client_that_disconnects_is_removed() -> None:
    world = make_world()
    async with ears(world) as it:
        async with await it.client.connect() as connection:
            await Listener(connection).begin()
            assert world.live_events.clients == 1
        async with asyncio.timeout(DEADLINE_S):
            while world.live_events.clients:  # noqa: ASYNC110 - the server has no event for it
                await asyncio.sleep(0)


async def test_client_above_the_limit_is_503_with_retry_after() -> None:
    world = make_world()
    async with ears(world) as it:
        for _ in range(MAX_CLIENTS):
            await it.listen()
        refused = await it.client.get("/api/v1/events")
        assert refused.status == 503
        assert refused.headers["Retry-After"] == "30"
        assert refused.json()["detail"] == "200 clients receive events already; try again later"


@contextlib.asynccontextmanager
async def listening_server(
    world: StatusWorld, path: Path
) -> AsyncIterator[tuple[Server, contextlib.AsyncExitStack]]:
    try:
        async with (
            Server(world.status_application, host="127.0.0.1", port=0, path=path) as server,
            contextlib.AsyncExitStack() as stack,
        ):
            yield server, stack
    finally:
        await world.close()


async def over_tcp(server: Server, address: str) -> ClientConnection:
    opened = await asyncio.open_connection("127.0.0.1", server.port, local_addr=(address, 0))
    return ClientConnection(*opened)


async def over_unix(path: Path) -> ClientConnection:
    return ClientConnection(*await asyncio.open_unix_connection(path))


async def test_event_streams_are_limited_per_address(tmp_path: Path) -> None:
    world = make_world()
    async with listening_server(world, tmp_path / "s") as (server, stack):
        for _ in range(MAX_CLIENTS_PER_ADDRESS):
            await Listener(await stack.enter_async_context(await over_tcp(server, "127.0.0.1"))).begin()
        one_more = await stack.enter_async_context(await over_tcp(server, "127.0.0.1"))
        refused = await one_more.request("GET", "/api/v1/events")
        assert refused.status == 503
        assert refused.json()["detail"] == "50 clients from 127.0.0.1 receive events already; try again later"
        await Listener(await stack.enter_async_context(await over_tcp(server, "127.0.0.2"))).begin()


async def test_connections_are_reserved_for_the_administrator(tmp_path: Path) -> None:
    world = make_world()
    path = tmp_path / "s"
    async with listening_server(world, path) as (server, stack):

        async def ask(connection: ClientConnection, *fields: tuple[str, str]) -> int:
            """The status of a new stream, which stays open if it is accepted."""
            lines = [
                "GET /api/v1/events HTTP/1.0",
                "Host: localhost",
                *(f"{name}: {value}" for name, value in fields),
            ]
            await stack.enter_async_context(connection)
            await connection.send("\r\n".join([*lines, "", ""]).encode())
            async with asyncio.timeout(DEADLINE_S):
                head = await connection.reader.readuntil(b"\r\n\r\n")
            return int(head.split()[1])

        for number in range(MAX_CLIENTS - RESERVED_FOR_CHANGES - RESERVED_FOR_UNIX):
            assert await ask(await over_tcp(server, f"127.0.4.{number + 1}")) == 200
        assert await ask(await over_tcp(server, "127.0.5.1")) == 503
        for _ in range(RESERVED_FOR_UNIX):
            assert await ask(await over_unix(path), ("X-Forwarded-For", "192.0.2.1")) == 200
        assert await ask(await over_unix(path), ("X-Forwarded-For", "192.0.2.1")) == 503
        for _ in range(RESERVED_FOR_CHANGES):
            assert await ask(await over_unix(path)) == 200
        assert await ask(await over_unix(path)) == 503


async def test_stop_of_the_server_ends_the_stream_at_once() -> None:
    world = make_world()
    async with ears(world) as it:
        listener = await it.listen()
        await it.client.server.close(DEADLINE_S)
        assert await listener.end() == b""


async def test_head_sends_no_events() -> None:
    world = make_world()
    async with ears(world) as it:
        response = await it.client.request("HEAD", "/api/v1/events")
    assert (response.status, response.headers["Content-Type"]) == (200, "text/event-stream")
    assert world.live_events.clients == 0
