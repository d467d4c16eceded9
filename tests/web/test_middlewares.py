import asyncio
import contextlib
import logging
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from monitord.web import (
    Application,
    EventStream,
    Handler,
    HTTPNotFound,
    Request,
    Response,
    StreamResponse,
    access_log,
    static,
)
from monitord.web.testing import SocketClient


async def ok(request: Request) -> Response:
    return Response(status=201)


async def lost(request: Request) -> Response:
    raise HTTPNotFound


async def failing(request: Request) -> Response:
    raise RuntimeError("bug")


def make() -> Application:
    app = Application(middlewares=[access_log])
    for path, handler in (("/ok", ok), ("/lost", lost), ("/bug", failing)):
        app.router.add_get(path, handler)
    return app


async def test_each_request_is_logged_with_fields(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "monitord.web.access")
    async with SocketClient(make()) as client:
        for path in ("/ok?secret=1", "/lost", "/bug"):
            await client.get(path)
    records = [record for record in caplog.records if record.name == "monitord.web.access"]
    assert [(record.__dict__["http_path"], record.__dict__["http_status"]) for record in records] == [
        ("/ok", 201), ("/lost", 404), ("/bug", 500),
    ]  # fmt: skip
    assert records[0].getMessage().startswith("127.0.0.1 GET /ok 201 0.0")
    assert records[0].__dict__["http_client"] == "127.0.0.1"


async def test_stream_is_logged_at_its_end(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "monitord.web.access")
    (tmp_path / "file").write_bytes(b"x")
    ended = asyncio.Event()

    async def ticks() -> AsyncIterator[str]:
        try:
            yield "tick"
            await asyncio.Event().wait()
        finally:
            ended.set()

    async def events(request: Request) -> EventStream:
        return EventStream(ticks())

    app = Application(middlewares=[access_log])
    app.router.add_get("/f/{path}", static(tmp_path))
    app.router.add_get("/events", events)
    async with SocketClient(app) as client:
        await client.get("/f/file")
        await client.get("/f/file", headers=[("Range", "bytes=9-")])
        await client.request("HEAD", "/f/file", headers=[("If-None-Match", "*")])
        async with await client.connect() as connection:
            await connection.send(b"GET /events HTTP/1.1\r\nHost: h\r\n\r\n")
            assert b"200 OK" in await connection.reader.readline()
            assert len(caplog.records) == 3
        await ended.wait()
    assert [(record.__dict__["http_path"], record.__dict__["http_status"]) for record in caplog.records] == [
        ("/f/file", 200), ("/f/file", 416), ("/f/file", 304), ("/events", 200),
    ]  # fmt: skip
    assert {record.__dict__["http_client"] for record in caplog.records} == {"127.0.0.1"}


async def test_replaced_stream_is_logged_with_the_sent_status(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "monitord.web.access")

    async def rejecting(request: Request, handler: Handler) -> StreamResponse:
        await handler(request)
        return Response(status=403)

    async def failing_later() -> AsyncIterator[bytes]:
        yield b"begun"
        raise RuntimeError("bug")

    async def stream(request: Request) -> StreamResponse:
        return StreamResponse(failing_later() if request.path == "/bug" else None)

    for middlewares, path, status in (([rejecting, access_log], "/", 403), ([access_log], "/bug", 200)):
        app = Application(middlewares=middlewares)
        app.router.add_get(path, stream)
        async with SocketClient(app) as client, await client.connect() as connection:
            await connection.send(f"GET {path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n".encode())
            with contextlib.suppress(ConnectionResetError):
                await connection.rest()
        logged = [record for record in caplog.records if record.name == "monitord.web.access"]
        assert logged[-1].__dict__["http_status"] == status, path


async def test_disabled_access_log_has_no_cost(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "monitord.web.access")
    async with SocketClient(make()) as client:
        assert (await client.get("/ok")).status == 201
    assert caplog.records == []


async def test_disconnected_client_is_logged_with_499(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    begun, ended = asyncio.Event(), asyncio.Event()

    async def waiting(request: Request) -> Response:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        return Response()

    app = Application(middlewares=[access_log])
    app.router.add_get("/", waiting)
    async with SocketClient(app, path=tmp_path / "s") as client:
        async with await client.connect() as connection:
            await connection.send(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
            await begun.wait()
        await ended.wait()
    assert [record.name for record in caplog.records if record.levelno >= logging.ERROR] == []
    (record,) = (record for record in caplog.records if record.name == "monitord.web.access")
    assert record.__dict__["http_status"] == 499
    assert record.__dict__["http_client"] == f"uid {os.getuid()}"
