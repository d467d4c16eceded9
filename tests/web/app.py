"""The application of the connection tests."""

import asyncio
from collections.abc import AsyncIterator

from monitord.web import (
    AppKey,
    Application,
    EventStream,
    Limits,
    Request,
    Response,
    StreamResponse,
    json_response,
)

SEEN = AppKey("seen", list[str])
RELEASE = AppKey("release", asyncio.Event)
STARTED = AppKey("started", asyncio.Event)

# Short enough for tests of what happens when they pass, long enough for a busy machine elsewhere.
QUICK = Limits(head_s=0.15, body_s=0.15, keep_alive_s=0.15, write_s=0.15, linger_s=0.15)


async def hello(request: Request) -> Response:
    request.app[SEEN].append(request.path)
    return Response(text=f"hello {request.path}")


async def echo(request: Request) -> Response:
    return Response(body=await request.read())


async def ignore_body(request: Request) -> Response:
    return Response(text="ignored")


async def wait(request: Request) -> Response:
    """Responds when released; records its cancellation."""
    request.app[STARTED].set()
    try:
        await request.app[RELEASE].wait()
    except asyncio.CancelledError:
        request.app[SEEN].append("cancelled")
        raise
    return Response(text="released")


async def stream(request: Request) -> StreamResponse:
    response = StreamResponse(content_type="text/plain")
    await response.prepare(request)
    for piece in (b"one ", b"", b"two ", b"three"):
        await response.write(piece)
    return response


async def endless(request: Request) -> StreamResponse:
    response = StreamResponse()
    await response.prepare(request)
    try:
        while True:
            await response.write(b"x" * 65536)
    finally:
        request.app[SEEN].append("ended")


async def large(request: Request) -> Response:
    return Response(body=b"x" * 5_000_000)


async def half(request: Request) -> StreamResponse:
    response = StreamResponse()
    await response.prepare(request)
    await response.write(b"half")
    raise RuntimeError("broken in the middle")


async def short(request: Request) -> StreamResponse:
    response = StreamResponse()
    response.content_length = 10
    await response.prepare(request)
    await response.write(b"short")
    return response


async def long(request: Request) -> StreamResponse:
    response = StreamResponse()
    response.content_length = 3
    await response.prepare(request)
    await response.write(b"longer")
    return response


async def ticks(request: Request) -> EventStream:
    async def source() -> AsyncIterator[str]:
        yield "first"
        request.app[STARTED].set()
        try:
            await request.app[RELEASE].wait()
        finally:
            request.app[SEEN].append("source ended")

    return EventStream(source())


async def sizes(request: Request) -> Response:
    return json_response([len(piece) async for piece in request.content])


def make_app() -> Application:
    app = Application()
    app[SEEN] = []
    app[RELEASE] = asyncio.Event()
    app[STARTED] = asyncio.Event()
    router = app.router
    router.add_get("/hello", hello)
    router.add_get("/hello/{name}", hello)
    router.add_post("/echo", echo)
    router.add_post("/ignore", ignore_body)
    router.add_get("/wait", wait)
    router.add_get("/stream", stream)
    router.add_get("/endless", endless)
    router.add_get("/large", large)
    router.add_get("/half", half)
    router.add_get("/short", short)
    router.add_get("/long", long)
    router.add_get("/ticks", ticks)
    router.add_post("/sizes", sizes)
    return app
