"""The conformance origin on starlette and uvicorn: origin_starlette.py PORT FILE httptools|h11."""

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.staticfiles import StaticFiles

LIMIT_BYTES = 1024 * 1024
FILE = Path(sys.argv[2])


async def root(_request: Request) -> Response:
    return PlainTextResponse("root\n")


async def plain(_request: Request) -> Response:
    return PlainTextResponse("plain\n")


async def answer_json(_request: Request) -> Response:
    return JSONResponse({"answer": 42})


async def target(request: Request) -> Response:
    await request.body()
    query = request.scope["query_string"].decode("latin-1")
    return PlainTextResponse(
        f"method={request.method}\npath={request.url.path}\nquery={query}\nhost={request.url.hostname}\n"
    )


async def field(request: Request) -> Response:
    value = request.headers.get("X-Test", "").encode("latin-1")
    return Response(b"[" + value + b"]", media_type="text/plain")


async def item(request: Request) -> Response:
    return PlainTextResponse(request.path_params["name"])


async def echo(request: Request) -> Response:
    content = bytearray()
    async for piece in request.stream():
        content += piece
        if len(content) > LIMIT_BYTES:
            raise HTTPException(413)
    return Response(bytes(content), media_type="application/octet-stream")


async def unread(_request: Request) -> Response:
    return PlainTextResponse("unread\n")


async def nothing(_request: Request) -> Response:
    return Response(status_code=204)


async def reset(_request: Request) -> Response:
    return Response(status_code=205)


async def unmodified(_request: Request) -> Response:
    return Response(status_code=304, headers={"ETag": '"fixed"'})


async def file(request: Request) -> Response:
    return await StaticFiles(directory=FILE.parent).get_response(FILE.name, request.scope)


async def _pieces() -> AsyncIterator[bytes]:
    for piece in (b"one\n", b"two\n", b"three\n"):
        yield piece


async def stream(_request: Request) -> Response:
    return StreamingResponse(_pieces())


async def slow(_request: Request) -> Response:
    await asyncio.sleep(0.15)
    return PlainTextResponse("slow\n")


async def redirect(_request: Request) -> Response:
    return RedirectResponse("/plain", 302)


async def boom(_request: Request) -> Response:
    raise RuntimeError("boom")


async def _late() -> AsyncIterator[bytes]:
    yield b"one\n"
    raise RuntimeError("boom")


async def boom_late(_request: Request) -> Response:
    return StreamingResponse(_late())


app = Starlette(
    routes=[
        Route("/", root),
        Route("/plain", plain),
        Route("/json", answer_json),
        Route("/target", target, methods=["GET", "POST"]),
        Route("/field", field),
        Route("/items/{name}", item),
        Route("/echo", echo, methods=["POST"]),
        Route("/unread", unread, methods=["POST"]),
        Route("/nothing", nothing),
        Route("/reset", reset),
        Route("/unmodified", unmodified),
        Route("/stream", stream),
        Route("/slow", slow),
        Route("/redirect", redirect),
        Route("/boom", boom),
        Route("/boom-late", boom_late),
        Route("/file", file),
    ]
)

uvicorn.run(
    app,
    host="127.0.0.1",
    port=int(sys.argv[1]),
    http=sys.argv[3],
    loop="asyncio",
    log_level="critical",
    access_log=False,
)
