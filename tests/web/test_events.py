import asyncio
from collections.abc import AsyncIterator

import pytest

from monitord.web import Application, Event, EventStream, Request, StreamResponse
from monitord.web.testing import TestClient


@pytest.mark.parametrize(
    ("event", "wire"),
    [
        (Event("a"), "data: a\n\n"),
        (Event(""), "data: \n\n"),
        (Event("a\nb\r\nc\rd"), "data: a\ndata: b\ndata: c\ndata: d\n\n"),
        (Event("a", event="e", id="1", retry_ms=5), "event: e\nid: 1\nretry: 5\ndata: a\n\n"),
        (Event("a", id=""), "id: \ndata: a\n\n"),
        (Event("\u20ac"), "data: \u20ac\n\n"),
    ],
)
def test_event_is_encoded_as_specified(event: Event, wire: str) -> None:
    assert event.encode() == wire.encode()


@pytest.mark.parametrize("event", [Event("", event="a\nb"), Event("", id="a\rb"), Event("", id="\0")])
def test_event_cannot_be_split_by_its_name(event: Event) -> None:
    with pytest.raises(ValueError, match="a single line"):
        event.encode()


def serve(source: AsyncIterator[Event | str], keep_alive_s: float = 15) -> Application:
    async def view(request: Request) -> EventStream:
        return EventStream(source, keep_alive_s=keep_alive_s)

    app = Application()
    app.router.add_get("/", view)
    return app


async def test_end_of_the_source_ends_the_stream() -> None:
    async def source() -> AsyncIterator[Event | str]:
        yield "one"
        yield Event("two", id="2")

    async with TestClient(serve(source())) as client:
        response = await client.get("/")
    assert response.text == ": \n\ndata: one\n\nid: 2\ndata: two\n\n"
    assert response.headers["Content-Type"] == "text/event-stream"
    assert response.headers["Cache-Control"] == "no-store"


async def test_silent_source_is_kept_alive_by_comments() -> None:
    release = asyncio.Event()

    async def source() -> AsyncIterator[Event | str]:
        await release.wait()
        yield "late"

    async with TestClient(serve(source(), 0.01)) as client, await client.connect() as connection:
        await connection.send(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
        for _ in range(3):
            await connection.reader.readuntil(b": \n\n")
        release.set()
        await connection.reader.readuntil(b"data: late\n\n")


async def test_disconnect_ends_the_source() -> None:
    started, ended = asyncio.Event(), asyncio.Event()

    async def source() -> AsyncIterator[Event | str]:
        try:
            yield "one"
            started.set()
            await asyncio.Event().wait()
        finally:
            ended.set()

    async with TestClient(serve(source())) as client:
        async with await client.connect() as connection:
            await connection.send(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
            await started.wait()
        async with asyncio.timeout(5):
            await ended.wait()


async def test_error_of_the_source_aborts_the_connection(caplog: pytest.LogCaptureFixture) -> None:
    async def source() -> AsyncIterator[Event | str]:
        yield "one"
        raise RuntimeError("broken source")

    async with TestClient(serve(source())) as client:
        with pytest.raises(ConnectionResetError):
            await client.get("/")
    assert "broken source" in caplog.text


class Subscription(AsyncIterator[Event | str]):
    """A source that holds a resource from its creation until it is closed."""

    def __init__(self) -> None:
        self.closed = 0

    async def __anext__(self) -> Event | str:
        return "news"

    async def aclose(self) -> None:
        self.closed += 1


async def test_source_is_closed_under_head_too() -> None:
    source = Subscription()
    async with TestClient(serve(source)) as client:
        assert (await client.request("HEAD", "/")).status == 200
    assert source.closed == 1


async def test_disconnect_closes_the_source_once() -> None:
    source = Subscription()
    async with TestClient(serve(source)) as client, await client.connect() as connection:
        await connection.send(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
        await connection.reader.readuntil(b"news")
    assert source.closed == 1


async def test_source_is_closed_when_the_head_cannot_be_sent() -> None:
    source = Subscription()

    async def view(request: Request) -> StreamResponse:
        stream = EventStream(source)
        stream.status = 99
        return stream

    app = Application()
    app.router.add_get("/", view)
    async with TestClient(app) as client:
        assert (await client.get("/")).status == 500
    assert source.closed == 1
