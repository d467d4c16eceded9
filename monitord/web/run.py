"""`run_app`: run an application as a process until SIGTERM or SIGINT."""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterable

from .application import Application
from .limits import Limits
from .server import GRACE_S, Server

DEFAULT_PORT = 8080


def run_app(
    app: Application,
    *,
    host: str | None = None,
    port: int | None = None,
    path: str | os.PathLike[str] | None = None,
    mode: int = 0o660,
    group: str | int | None = None,
    sockets: Iterable[socket.socket] = (),
    limits: Limits | None = None,
    grace_s: float = GRACE_S,
    print: Callable[[str], None] | None = print,  # noqa: A002 - as in aiohttp.web
) -> None:
    """Serve until SIGTERM or SIGINT, by default on port 8080 of the loopback addresses.

    The first signal shuts down, a second ends the grace period. `print` is called with the addresses when the server
    listens; None prints nothing.
    """
    sockets = list(sockets)
    if port is None and (host is not None or (path is None and not sockets)):
        port = DEFAULT_PORT
    server = Server(
        app, host=host, port=port, path=path, mode=mode, group=group,
        sockets=sockets, limits=limits, grace_s=grace_s,
    )  # fmt: skip
    asyncio.run(_serve(server, print))


async def _serve(server: Server, announce: Callable[[str], None] | None) -> None:
    stop = asyncio.Event()
    starting = asyncio.current_task()

    def on_signal() -> None:
        if stop.is_set():
            server.end_grace()
        elif starting is not None:
            starting.cancel()  # undoes the completed steps
        stop.set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal)
    try:
        async with server:
            starting = None
            if announce is not None:
                announce(f"Listening on {', '.join(server.addresses)} (stop with Ctrl+C)")
                sys.stdout.flush()  # a pipe is buffered
            await stop.wait()
    except asyncio.CancelledError:
        if not stop.is_set():
            raise
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)
