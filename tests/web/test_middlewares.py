import asyncio
import logging
from pathlib import Path

import pytest

from monitord.web import Application, HTTPNotFound, Request, Response, access_log
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


async def test_each_request_is_one_line_with_fields(caplog: pytest.LogCaptureFixture) -> None:
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


async def test_a_log_that_nobody_wants_costs_nothing(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "monitord.web.access")
    async with SocketClient(make()) as client:
        assert (await client.get("/ok")).status == 201
    assert caplog.records == []


async def test_a_client_that_has_left_is_logged_and_is_no_bug(
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
