"""A finished exchange leaves no reference cycles with buffers and TLS states for the garbage collector."""

import asyncio
import gc
import subprocess
import sys
import time
from pathlib import Path

import pytest

from monitord.net import HttpClient, HttpRequest, Resolver, TlsContexts, TlsOptions
from tests.certificates import Authority
from tests.servers import respond, send_raw, serve

ROOT = Path(__file__).parent.parent.parent
EXCHANGES = 10


HEAD = b"HTTP/1.1 200 OK\r\n"
SERVERS = {
    "response": respond(),
    "no HTTP": send_raw(b"SSH-2.0-OpenSSH_9.2\r\n"),
    "no response": send_raw(),
    "ambiguous length": send_raw(HEAD + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nx"),
    "early end": send_raw(HEAD + b"Content-Length: 9\r\n\r\nx"),
    "too large": send_raw(HEAD + b"\r\n" + b"x" * 3000),
}


async def count_garbage(folder: Path, name: str) -> int:
    """Return the number of unreachable objects after ten exchanges over TLS with this server."""
    authority = Authority()
    client = HttpClient(user_agent="tests", resolver=Resolver(), tls_contexts=TlsContexts())
    issued = authority.issue("127.0.0.1", directory=folder)
    async with serve(SERVERS[name], tls=issued.server_context()) as server:
        tls = TlsOptions(verify=False)
        request = HttpRequest(
            url=f"https://127.0.0.1:{server.port}/", tls=tls, want_certificate=True, max_body_bytes=1000
        )
        for _ in range(2):  # what is made once is no garbage of an exchange
            await client.fetch(request, deadline=time.monotonic() + 10)
        await asyncio.sleep(0.1)
        gc.collect()
        gc.disable()
        try:
            for _ in range(EXCHANGES):
                await client.fetch(request, deadline=time.monotonic() + 10)
            await asyncio.sleep(0.1)
            return gc.collect()
        finally:
            gc.enable()
            await client.close()


@pytest.mark.parametrize("name", SERVERS)
def test_exchange_leaves_no_garbage_on_uvloop(tmp_path: Path, name: str) -> None:
    """On the loop that the daemon uses where it can; in a process of its own, as uvloop keeps descriptors."""
    pytest.importorskip("uvloop")
    script = (
        "import asyncio, pathlib, sys, uvloop\n"
        "from tests.net.test_http_garbage import count_garbage\n"
        "with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:\n"
        "    print(runner.run(count_garbage(pathlib.Path(sys.argv[1]), sys.argv[2])))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path), name],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < EXCHANGES, "each exchange leaves something"
