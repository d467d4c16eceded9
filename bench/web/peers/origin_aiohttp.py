"""The conformance origin on aiohttp.web: origin_aiohttp.py PORT FILE."""

import asyncio
import json
import sys

from aiohttp import web

LIMIT_BYTES = 1024 * 1024
FILE = sys.argv[2]

routes = web.RouteTableDef()


@routes.get("/")
async def root(_request: web.Request) -> web.Response:
    return web.Response(text="root\n")


@routes.get("/plain")
async def plain(_request: web.Request) -> web.Response:
    return web.Response(text="plain\n")


@routes.get("/json")
async def answer_json(_request: web.Request) -> web.Response:
    return web.json_response({"answer": 42})


async def target(request: web.Request) -> web.Response:
    await request.read()
    query = request.raw_path.partition("?")[2]
    host = request.url.host
    return web.Response(text=f"method={request.method}\npath={request.path}\nquery={query}\nhost={host}\n")


@routes.get("/field")
async def field(request: web.Request) -> web.Response:
    value = request.headers.get("X-Test", "").encode("utf-8", "surrogateescape")
    return web.Response(body=b"[" + value + b"]", content_type="text/plain")


@routes.get("/items/{name}")
async def item(request: web.Request) -> web.Response:
    return web.Response(text=request.match_info["name"])


@routes.post("/echo")
async def echo(request: web.Request) -> web.Response:
    return web.Response(body=await request.read())


@routes.post("/unread")
async def unread(_request: web.Request) -> web.Response:
    return web.Response(text="unread\n")


@routes.get("/file")
async def file(_request: web.Request) -> web.FileResponse:
    return web.FileResponse(FILE)


@routes.get("/nothing")
async def nothing(_request: web.Request) -> web.Response:
    return web.Response(status=204)


@routes.get("/reset")
async def reset(_request: web.Request) -> web.Response:
    return web.Response(status=205)


@routes.get("/unmodified")
async def unmodified(_request: web.Request) -> web.Response:
    return web.Response(status=304, headers={"ETag": '"fixed"'})


@routes.get("/stream")
async def stream(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    for piece in (b"one\n", b"two\n", b"three\n"):
        await response.write(piece)
    return response


@routes.get("/slow")
async def slow(_request: web.Request) -> web.Response:
    await asyncio.sleep(0.15)
    return web.Response(text="slow\n")


@routes.get("/redirect")
async def redirect(_request: web.Request) -> web.Response:
    raise web.HTTPFound("/plain")


@routes.get("/boom")
async def boom(_request: web.Request) -> web.Response:
    raise RuntimeError(json.dumps("boom"))


@routes.get("/boom-late")
async def boom_late(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    await response.write(b"one\n")
    raise RuntimeError("boom")


app = web.Application(client_max_size=LIMIT_BYTES)
app.add_routes(routes)
app.router.add_get("/target", target)
app.router.add_post("/target", target)
web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), print=None, access_log=None)
