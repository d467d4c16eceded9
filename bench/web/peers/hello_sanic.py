"""A small JSON response behind routing and one middleware, on sanic.

hello_sanic.py PORT asyncio|uvloop [ROUTES]
"""

import sys

from sanic import Request, Sanic
from sanic.response import HTTPResponse, json

ROUTES = int(sys.argv[3]) if len(sys.argv) > 3 else 10

app = Sanic("hello")
app.config.USE_UVLOOP = sys.argv[2] == "uvloop"
app.config.ACCESS_LOG = False


@app.on_request
async def passing(_request: Request) -> None:
    return None


async def answer(_request: Request) -> HTTPResponse:
    return json({"answer": 42})


for number in range(ROUTES - 1):
    app.add_route(answer, f"/route/{number}", name=f"route{number}")
app.add_route(answer, "/answer", name="answer")

if __name__ == "__main__":
    app.run(
        host="127.0.0.1",
        port=int(sys.argv[1]),
        single_process=True,
        motd=False,
        access_log=False,
        backlog=1024,
    )
