"""The conformance origin on sanic: origin_sanic.py PORT FILE."""

import asyncio
import sys
from pathlib import Path

from sanic import Request, Sanic
from sanic.response import HTTPResponse, empty, json, raw, redirect, text

LIMIT_BYTES = 1024 * 1024
FILE = Path(sys.argv[2])

app = Sanic("conformance")
app.config.REQUEST_MAX_SIZE = LIMIT_BYTES
app.config.ACCESS_LOG = False


@app.get("/")
async def root(_request: Request) -> HTTPResponse:
    return text("root\n")


@app.get("/plain")
async def plain(_request: Request) -> HTTPResponse:
    return text("plain\n")


@app.get("/json")
async def answer_json(_request: Request) -> HTTPResponse:
    return json({"answer": 42})


@app.route("/target", methods=["GET", "POST"])
async def target(request: Request) -> HTTPResponse:
    host = request.host.partition(":")[0]
    return text(f"method={request.method}\npath={request.path}\nquery={request.query_string}\nhost={host}\n")


@app.get("/field")
async def field(request: Request) -> HTTPResponse:
    return raw(
        b"[" + request.headers.get("X-Test", "").encode("utf-8", "surrogateescape") + b"]",
        content_type="text/plain",
    )


@app.get("/items/<name>", unquote=True)
async def item(_request: Request, name: str) -> HTTPResponse:
    return text(name)


@app.post("/echo")
async def echo(request: Request) -> HTTPResponse:
    return raw(request.body)


@app.post("/unread", stream=True)
async def unread(_request: Request) -> HTTPResponse:
    return text("unread\n")


@app.get("/nothing")
async def nothing(_request: Request) -> HTTPResponse:
    return empty(204)


@app.get("/reset")
async def reset(_request: Request) -> HTTPResponse:
    return empty(205)


@app.get("/unmodified")
async def unmodified(_request: Request) -> HTTPResponse:
    return empty(304, headers={"ETag": '"fixed"'})


@app.get("/stream")
async def stream(request: Request) -> None:
    response = await request.respond()
    for piece in (b"one\n", b"two\n", b"three\n"):
        await response.send(piece)
    await response.eof()


@app.get("/slow")
async def slow(_request: Request) -> HTTPResponse:
    await asyncio.sleep(0.15)
    return text("slow\n")


@app.get("/redirect")
async def to_plain(_request: Request) -> HTTPResponse:
    return redirect("/plain")


@app.get("/boom")
async def boom(_request: Request) -> HTTPResponse:
    raise RuntimeError("boom")


@app.get("/boom-late")
async def boom_late(request: Request) -> None:
    response = await request.respond()
    await response.send(b"one\n")
    raise RuntimeError("boom")


app.static("/file", FILE, use_modified_since=True, use_content_range=True)

if __name__ == "__main__":
    app.run(host="127.0.0.1", port=int(sys.argv[1]), single_process=True, motd=False, access_log=False)
