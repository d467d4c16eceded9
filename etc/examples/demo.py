"""`make run`: run a small web server, and monitord in the foreground to monitor it. Ctrl-C stops both."""

import asyncio
import signal
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from monitord.web import Application, HTTPInternalServerError, Request, Response, Server  # noqa: E402 - found by the line above

CONFIG = ROOT / "etc" / "examples" / "demo.toml"
SOCKET = "/tmp/monitord-demo/status.sock"  # noqa: S108 - as in demo.toml
HOST, PORT = "127.0.0.1", 18931

INTRODUCTION = f"""
monitord runs in the foreground with the configuration {CONFIG.relative_to(ROOT)}; its status socket is {SOCKET}.
The status pages are at http://127.0.0.1:18933/. In another terminal, in this folder:

    /usr/bin/python3 -m monitord.cli --socket {SOCKET} status
    curl --unix-socket {SOCKET} http://localhost/status
    $EDITOR {CONFIG.relative_to(ROOT)} && /usr/bin/python3 -m monitord.cli --socket {SOCKET} reload

Press Ctrl-C to stop.
"""


async def fine(_: Request) -> Response:
    return Response(text="OK\n")


async def fails(_: Request) -> Response:
    raise HTTPInternalServerError(text="This page always fails.\n")


async def slow(_: Request) -> Response:
    await asyncio.sleep(10)
    return Response(text="Too late.\n")


async def flaky(_: Request) -> Response:
    return Response(text="on and off\n", status=200 if int(time.time()) % 40 < 20 else 503)  # noqa: PLR2004 - seconds


async def main() -> int:
    application = Application()
    for path, handler in (("/", fine), ("/fails", fails), ("/slow", slow), ("/flaky", flaky)):
        application.router.add_get(path, handler)
    try:
        async with Server(application, host=HOST, port=PORT, grace_s=0.1):
            print(INTRODUCTION, flush=True)  # noqa: T201 - the instructions for the user
            return await watch()
    except OSError as error:
        print(f"{HOST}:{PORT}: {error.strerror}; is `make run` running elsewhere?", file=sys.stderr)  # noqa: T201
        return 1


async def watch() -> int:
    daemon = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "monitord", "--config", str(CONFIG), cwd=ROOT, process_group=0
    )
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, daemon.send_signal, number)
    return await daemon.wait()


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
