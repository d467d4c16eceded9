"""monitord.web in a program with its own event loop and signal handlers: a clock as a stream of events.

python3 docs/examples/web_embedded.py /tmp/clock.sock &
curl -N --unix-socket /tmp/clock.sock http://localhost/clock
"""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime

from monitord.web import Application, Event, EventStream, Request, Response, Server, json_response


async def ticks() -> AsyncIterator[Event]:
    while True:
        yield Event(datetime.now(UTC).isoformat(timespec="seconds"), event="tick")
        await asyncio.sleep(1)


async def clock(_request: Request) -> EventStream:
    return EventStream(ticks())


async def whoami(request: Request) -> Response:
    return json_response({"uid": request.peer.uid, "pid": request.peer.pid})


def make_app() -> Application:
    app = Application()
    app.router.add_get("/clock", clock)
    app.router.add_get("/whoami", whoami)
    return app


async def main(path: str) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with Server(make_app(), path=path, mode=0o660, grace_s=5):
        await stop.wait()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
