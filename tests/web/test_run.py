import http.client
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

PROGRAM = """
import asyncio, sys
from monitord.web import Application, Response, run_app

async def hello(request):
    return Response(text="hello")

async def wait(request):
    print("waiting", flush=True)
    await asyncio.sleep(60)

async def started(app):
    print("started", flush=True)

async def cleaned(app):
    print("cleaned", flush=True)

app = Application()
app.router.add_get("/", hello)
app.router.add_get("/wait", wait)
app.on_startup.append(started)
app.on_cleanup.append(cleaned)
run_app(app, path=sys.argv[1], grace_s=float(sys.argv[2]), print=None)
print("ended", flush=True)
"""

STARTING = """
import asyncio
from monitord.web import Application, run_app

async def start(app):
    print("starting", flush=True)
    await asyncio.Event().wait()

async def cleaned(app):
    print("cleaned", flush=True)

app = Application()
app.on_startup.append(start)
app.on_cleanup.append(cleaned)
run_app(app, port=0)
print("ended", flush=True)
"""

ADDRESSES = """
import socket, sys
from monitord.web import Application, run_app

abstract = socket.socket(socket.AF_UNIX)
abstract.bind("\\0" + sys.argv[1])
run_app(Application(), host=sys.argv[2], port=0, path=sys.argv[1], sockets=[abstract])
"""

ALL_KINDS = """
import os, socket, sys
from monitord.web import Application, Response, run_app

async def hello(request):
    return Response(text="hello")

app = Application()
app.router.add_get("/", hello)
run_app(
    app, host=sys.argv[1], path=sys.argv[2], mode=0o600, group=os.getgid(),
    sockets=[socket.socket(fileno=int(sys.argv[3]))],
)
"""


class OverUnix(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=10)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(10)
        deadline = time.monotonic() + 10
        while True:
            try:
                self.sock.connect(str(self._path))
            except (FileNotFoundError, ConnectionRefusedError):
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.01)
            else:
                return


@pytest.fixture
def served(
    tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[tuple[subprocess.Popen[str], OverUnix]]:
    """A process that runs the program, and a client that waits for it."""
    path = tmp_path / "socket"
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(path), str(getattr(request, "param", 30))],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    ) as process:
        client = OverUnix(path)
        try:
            yield process, client
        finally:
            client.close()
            process.kill()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_shuts_down_in_order(
    served: tuple[subprocess.Popen[str], OverUnix], number: signal.Signals, tmp_path: Path
) -> None:
    process, client = served
    client.request("GET", "/")
    assert client.getresponse().read() == b"hello"
    process.send_signal(number)
    assert process.communicate(timeout=10)[0] == "started\ncleaned\nended\n"
    assert process.returncode == 0
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_cancels_a_hanging_startup(number: signal.Signals) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", STARTING], stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2]
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "starting\n"
            process.send_signal(number)
            assert process.communicate(timeout=10)[0] == "cleaned\nended\n"
            assert process.returncode == 0
        finally:
            process.kill()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize(("host", "shown"), [("127.0.0.1", "127.0.0.1"), ("::1", "[::1]")])
def test_run_app_prints_each_address(host: str, shown: str, number: signal.Signals, tmp_path: Path) -> None:
    if host == "::1" and not _has_ipv6_loopback():
        pytest.skip("this machine has no ::1")
    path = tmp_path / "socket"
    with subprocess.Popen(
        [sys.executable, "-c", ADDRESSES, str(path), host],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    ) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            found = re.fullmatch(
                rf"Listening on unix:@{path}, http://{re.escape(shown)}:(\d+), unix:{path} \(stop with Ctrl\+C\)\n",
                line,
            )
            assert found is not None, line
            with socket.create_connection((host, int(found[1])), timeout=10):
                process.send_signal(number)
            assert process.wait(timeout=10) == 0
        finally:
            process.kill()


def _has_ipv6_loopback() -> bool:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True


def test_second_signal_does_not_wait_for_requests(served: tuple[subprocess.Popen[str], OverUnix]) -> None:
    process, client = served
    client.request("GET", "/wait")
    assert process.stdout is not None
    assert [process.stdout.readline() for _ in range(2)] == ["started\n", "waiting\n"]
    process.send_signal(signal.SIGTERM)
    time.sleep(0.1)
    assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    assert process.communicate(timeout=10)[0] == "cleaned\nended\n"
    assert process.returncode == 0


def test_all_kinds_of_sockets_are_served_by_one_call(tmp_path: Path) -> None:
    own, passed = tmp_path / "own", tmp_path / "passed"
    host = f"127.7.{os.getpid() // 256 % 256}.{os.getpid() % 256}"  # port 8080 of it is free
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(passed))
        listening.listen()
        with subprocess.Popen(
            [sys.executable, "-c", ALL_KINDS, host, str(own), str(listening.fileno())],
            pass_fds=[listening.fileno()],
            cwd=Path(__file__).parents[2],
        ) as process:
            try:
                for client in (OverUnix(own), OverUnix(passed), http.client.HTTPConnection(host, 8080)):
                    client.request("GET", "/")
                    assert client.getresponse().read() == b"hello"
                    client.close()
                assert own.stat().st_mode & 0o777 == 0o600
                assert own.stat().st_gid == os.getgid()
                process.terminate()
                assert process.wait(timeout=10) == 0
            finally:
                process.kill()
    assert list(tmp_path.iterdir()) == [passed]
