"""Real database servers of Debian in temporary directories.

A test that needs a server is skipped where its package is not installed. The servers listen on a free port of the
loopback interface, and report that they are ready as services of systemd do (sd_notify(3)).
"""

import os
import select
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.servers import free_port

START_TIMEOUT_S = 60
PASSWORD = "tulip-tulip"


@dataclass(frozen=True)
class Database:
    port: int
    directory: Path


@contextmanager
def running(command: list[str], directory: Path, *, user: str | None = None) -> Iterator[None]:
    """Run a server until the end of the context. It is ready when it has sent READY=1."""
    log = directory / "log"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notified, log.open("wb") as written:
        notified.bind(str(directory / "notify"))
        (directory / "notify").chmod(0o666)
        server = subprocess.Popen(
            command,
            user=user,
            stdout=written,
            stderr=written,
            cwd=directory,
            env={**os.environ, "NOTIFY_SOCKET": str(directory / "notify")},
        )
        ended = os.pidfd_open(server.pid)
        try:
            while True:
                readable, _, _ = select.select([notified.fileno(), ended], [], [], START_TIMEOUT_S)
                if notified.fileno() not in readable:
                    pytest.fail(f"{command[0]} did not start: {log.read_text(errors='replace')}")
                if b"READY=1" in notified.recv(4096).split(b"\n"):
                    break
            yield
        finally:
            os.close(ended)
            if server.poll() is None:
                server.send_signal(signal.SIGTERM)
            server.wait(START_TIMEOUT_S)


@contextmanager
def redis(directory: Path, *options: str) -> Iterator[Database]:
    """A server that requires PASSWORD."""
    program = shutil.which("redis-server")
    if program is None:
        pytest.skip("redis-server is not installed")
    port = free_port()
    command = [
        *(program, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"),
        *("--dir", str(directory), "--unixsocket", str(directory / "socket"), "--supervised", "systemd"),
        *("--requirepass", PASSWORD, *options),
    ]
    with running(command, directory):
        yield Database(port, directory)
