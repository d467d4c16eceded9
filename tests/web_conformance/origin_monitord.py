"""The origin of the cases on monitord.web."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

from monitord.web import (
    Application,
    FileResponse,
    HTTPFound,
    Limits,
    Request,
    Response,
    Server,
    StreamResponse,
    json_response,
)

from .harness import Address
from .origin import CONTENT_LIMIT_BYTES, HASTY_DEADLINE_S, SLOW_S

LIMITS = Limits()
HASTY_LIMITS = replace(
    LIMITS,
    head_s=HASTY_DEADLINE_S,
    body_s=HASTY_DEADLINE_S,
    keep_alive_s=HASTY_DEADLINE_S,
    linger_s=HASTY_DEADLINE_S,
)


async def _root(_request: Request) -> Response:
    return Response(text="root\n")


async def _plain(_request: Request) -> Response:
    return Response(text="plain\n")


async def _json(_request: Request) -> Response:
    return json_response({"answer": 42})


async def _target(request: Request) -> Response:
    return Response(
        text=f"method={request.method}\npath={request.path}\n"
        f"query={request.query_string}\nhost={request.url.host}\n"
    )


async def _field(request: Request) -> Response:
    value = request.headers.get("X-Test", "").encode("latin-1")
    return Response(body=b"[" + value + b"]", content_type="text/plain")


async def _item(request: Request) -> Response:
    return Response(text=request.match_info["name"])


async def _echo(request: Request) -> Response:
    return Response(body=await request.read())


async def _unread(_request: Request) -> Response:
    return Response(text="unread\n")


async def _nothing(_request: Request) -> Response:
    return Response(status=204)


async def _reset(_request: Request) -> Response:
    return Response(status=205)


async def _unmodified(_request: Request) -> Response:
    return Response(status=304, headers={"ETag": '"fixed"'})


async def _pieces() -> AsyncIterator[bytes]:
    for piece in (b"one\n", b"two\n", b"three\n"):
        yield piece


async def _stream(_request: Request) -> StreamResponse:
    return StreamResponse(_pieces(), content_type="text/plain")


async def _slow(_request: Request) -> Response:
    await asyncio.sleep(SLOW_S)
    return Response(text="slow\n")


async def _redirect(_request: Request) -> Response:
    raise HTTPFound("/plain")


async def _boom(_request: Request) -> Response:
    raise RuntimeError("a handler that raises, as the case wants it")


async def _boom_late(request: Request) -> StreamResponse:
    response = StreamResponse(content_type="text/plain")
    await response.prepare(request)
    await response.write(b"one\n")
    raise RuntimeError("a handler that raises late, as the case wants it")


def make_application(file: Path) -> Application:
    async def send_file(_request: Request) -> StreamResponse:
        return FileResponse(file)

    app = Application(client_max_size=CONTENT_LIMIT_BYTES)
    router = app.router
    router.add_get("/", _root)
    router.add_get("/plain", _plain)
    router.add_get("/json", _json)
    router.add_get("/target", _target)
    router.add_post("/target", _target)
    router.add_get("/field", _field)
    router.add_get("/items/{name}", _item)
    router.add_post("/echo", _echo)
    router.add_post("/unread", _unread)
    router.add_get("/file", send_file)
    router.add_get("/nothing", _nothing)
    router.add_get("/reset", _reset)
    router.add_get("/unmodified", _unmodified)
    router.add_get("/stream", _stream)
    router.add_get("/slow", _slow)
    router.add_get("/redirect", _redirect)
    router.add_get("/boom", _boom)
    router.add_get("/boom-late", _boom_late)
    return app


@asynccontextmanager
async def serving(file: Path, *, path: Path | None = None, is_hasty: bool = False) -> AsyncIterator[Address]:
    """Run the origin on the Unix socket `path`, or on a loopback port selected by the kernel."""
    limits = HASTY_LIMITS if is_hasty else LIMITS
    app = make_application(file)
    if path is not None:
        async with Server(app, path=path, limits=limits, grace_s=1.0):
            yield Address(path=str(path))
    else:
        async with Server(app, host="127.0.0.1", port=0, limits=limits, grace_s=1.0) as server:
            yield Address(port=server.port)
