"""A small JSON response behind routing and one middleware, on aiohttp.web.

hello_aiohttp.py PORT asyncio|uvloop [ROUTES]
"""

import asyncio
import sys
from collections.abc import Awaitable, Callable

from aiohttp import web
from loops import run

ROUTES = int(sys.argv[3]) if len(sys.argv) > 3 else 10


@web.middleware
async def passing(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    return await handler(request)


async def answer(_request: web.Request) -> web.Response:
    return web.json_response({"answer": 42})


async def main() -> None:
    app = web.Application(middlewares=[passing])
    for number in range(ROUTES - 1):
        app.router.add_get(f"/route/{number}", answer)
    app.router.add_get("/answer", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", int(sys.argv[1]), backlog=1024).start()
    await asyncio.get_running_loop().create_future()


run(main, sys.argv[2])
