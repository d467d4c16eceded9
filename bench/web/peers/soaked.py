"""monitord.web for the soak test, on TCP and a Unix socket: soaked.py PORT PATH asyncio|uvloop."""

import asyncio
import ctypes
import gc
import logging
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

from loops import run

from monitord.web import Application, Limits, Request, Response, Server, StreamResponse, json_response

LIMITS = Limits(head_s=1.0, body_s=1.0, keep_alive_s=1.0, write_s=1.0, linger_s=0.5)
PIECE = b"x" * 8192
PIECES = 64
GRACE_S = 2.0
LIBC = ctypes.CDLL(None)
STATUS = Path("/proc/self/status")

logging.disable(logging.CRITICAL)


async def answer(_request: Request) -> Response:
    return json_response({"answer": 42})


async def item(request: Request) -> Response:
    return Response(text=request.match_info["name"])


async def echo(request: Request) -> Response:
    return Response(body=await request.read())


async def unread(_request: Request) -> Response:
    return Response(text="unread")


async def slow(_request: Request) -> Response:
    await asyncio.sleep(0.05)
    return Response(text="slow")


async def boom(_request: Request) -> Response:
    raise RuntimeError("as the soak wants it")


async def _pieces() -> AsyncIterator[bytes]:
    for _ in range(PIECES):
        yield PIECE


async def stream(_request: Request) -> StreamResponse:
    return StreamResponse(_pieces())


async def endless(request: Request) -> StreamResponse:
    response = StreamResponse()
    await response.prepare(request)
    while True:
        await response.write(PIECE)
        await asyncio.sleep(0.001)


async def main() -> None:
    app = Application()
    app.router.add_get("/answer", answer)
    app.router.add_get("/items/{name}", item)
    app.router.add_post("/echo", echo)
    app.router.add_post("/unread", unread)
    app.router.add_get("/slow", slow)
    app.router.add_get("/boom", boom)
    app.router.add_get("/stream", stream)
    app.router.add_get("/endless", endless)
    server = Server(
        app, host="127.0.0.1", port=int(sys.argv[1]), path=sys.argv[2], limits=LIMITS, grace_s=GRACE_S
    )

    async def held(_request: Request) -> Response:
        gc.collect()
        LIBC.malloc_trim(0)  # free memory must not be counted
        status = STATUS.read_text()  # noqa: ASYNC240 - the kernel answers at once
        return json_response(
            {
                "tasks": len(asyncio.all_tasks()),
                "connections": server.connection_count,
                "files": len(os.listdir("/proc/self/fd")),  # noqa: PTH208 - only the names are needed
                "blocks": sys.getallocatedblocks(),
                "kib": int(status.partition("RssAnon:")[2].split()[0]),
            }
        )

    app.router.add_get("/held", held)
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    async with server:
        await stop.wait()


run(main, sys.argv[3])
