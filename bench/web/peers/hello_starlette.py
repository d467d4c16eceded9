"""A small JSON response behind routing and one middleware, on starlette and uvicorn with httptools.

hello_starlette.py PORT asyncio|uvloop [ROUTES]

The middleware is a plain ASGI one, the fastest kind that starlette has.
"""

import sys
from typing import Any

import uvicorn
from loops import run
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

ROUTES = int(sys.argv[3]) if len(sys.argv) > 3 else 10


class Passing:
    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self.app(scope, receive, send)


async def answer(_request: Request) -> JSONResponse:
    return JSONResponse({"answer": 42})


async def main() -> None:
    routes = [Route(f"/route/{number}", answer) for number in range(ROUTES - 1)]
    app = Starlette(routes=[*routes, Route("/answer", answer)], middleware=[Middleware(Passing)])
    config = uvicorn.Config(
        app,
        host="127.0.0.1",
        port=int(sys.argv[1]),
        http="httptools",
        loop="none",
        backlog=2048,
        log_level="critical",
        access_log=False,
    )
    await uvicorn.Server(config).serve()


run(main, sys.argv[2])
