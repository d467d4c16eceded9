"""A small JSON response behind routing and one middleware, on monitord.web.

hello_monitord.py PORT asyncio|uvloop [ROUTES]
"""

import asyncio
import sys
from dataclasses import replace

from loops import run

from monitord.web import Application, Limits, Request, Server, StreamResponse, json_response
from monitord.web.routing import Handler

LIMITS = replace(Limits(), connections=30_000)
ROUTES = int(sys.argv[3]) if len(sys.argv) > 3 else 10


async def passing(request: Request, handler: Handler) -> StreamResponse:
    return await handler(request)


async def answer(_request: Request) -> StreamResponse:
    return json_response({"answer": 42})


async def main() -> None:
    app = Application(middlewares=[passing])
    for number in range(ROUTES - 1):
        app.router.add_get(f"/route/{number}", answer)
    app.router.add_get("/answer", answer)
    async with Server(app, host="127.0.0.1", port=int(sys.argv[1]), limits=LIMITS):
        await asyncio.get_running_loop().create_future()


run(main, sys.argv[2])
