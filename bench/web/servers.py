"""Peers as processes: their environment, their start on a separate core, and their end."""

import http.client
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
PEERS = HERE / "peers"
ENVIRONMENT = ROOT / ".cache" / "web-peers"
PACKAGES = ("aiohttp", "starlette", "uvicorn", "httptools", "h11", "sanic", "uvloop", "yarl", "multidict")

SYSTEM_PYTHON = "/usr/bin/python3"
START_DEADLINE_S = 30.0
END_DEADLINE_S = 5.0
RETRY_S = 0.05
POLL_S = 0.02

_CORES = sorted(os.sched_getaffinity(0))
SERVER_CORE, CLIENT_CORE = _CORES[0], _CORES[-1]


def peers_python() -> str:
    """Return the interpreter of the peers' environment, which is created at the first use."""
    python = ENVIRONMENT / "bin" / "python"
    if not (ENVIRONMENT / ".complete").exists():
        print(
            f"installing {', '.join(PACKAGES)} into {ENVIRONMENT.relative_to(ROOT)} (once)", file=sys.stderr
        )
        subprocess.run([SYSTEM_PYTHON, "-m", "venv", "--clear", ENVIRONMENT], check=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *PACKAGES], check=True)
        (ENVIRONMENT / ".complete").touch()
    return str(python)


def need(tool: str, package: str) -> str:
    found = shutil.which(tool)
    if found is None:
        raise SystemExit(f"{tool} is missing; install it with: apt-get install {package}")
    return found


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _answers(port: int, path: str) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=1.0)
    try:
        connection.request("GET", path)
        return connection.getresponse().status < 500
    except OSError:
        return False
    finally:
        connection.close()


@contextmanager
def running(command: list[str], port: int, *, path: str = "/answer") -> Iterator[subprocess.Popen[bytes]]:
    """Run the command on the server's core until it responds, and end it on exit."""
    pinned = ["taskset", "-c", str(SERVER_CORE), *command]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
    process = subprocess.Popen(pinned, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + START_DEADLINE_S
        while not _answers(port, path):
            if process.poll() is not None:
                raise RuntimeError(f"{' '.join(command)} ended with status {process.returncode}")
            if time.monotonic() > deadline:
                raise TimeoutError(f"{' '.join(command)} does not answer")
            time.sleep(RETRY_S)
        yield process
    finally:
        process.terminate()
        try:
            process.wait(END_DEADLINE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def hello(peer: str, loop: str, port: int, routes: int = 10) -> list[str]:
    """Return the command of a peer that serves /answer. "monitord-debian" is monitord.web with Debian's libraries."""
    python = SYSTEM_PYTHON if peer.endswith("-debian") else peers_python()
    script = PEERS / f"hello_{peer.removesuffix('-debian')}.py"
    return [python, str(script), str(port), loop, *([] if peer == "bare" else [str(routes)])]


def resident_bytes(pid: int) -> int:
    """Return the anonymous memory of a process: allocated memory without mapped files."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * 1024
    raise LookupError("the kernel does not report RssAnon")
