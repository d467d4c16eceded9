"""The examples of docs/web.md work."""

import asyncio
import logging
import os
import runpy
import signal
import socket
import sys
from pathlib import Path

import pytest

from monitord.web.testing import ClientConnection, TestClient

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"


async def test_tutorial_lists_and_adds_users(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "tutorial")
    make_app = runpy.run_path(str(EXAMPLES / "web_tutorial.py"))["make_app"]
    async with TestClient(make_app()) as client:
        assert (await client.get("/grace")).text == "Hello, grace"
        missing = await client.get("/ada%20l")
        assert (missing.status, missing.text) == (404, "There is no user ada l")
        added = await client.post("/", json={"name": "ada l"})
        assert (added.status, added.headers["Location"]) == (201, "/ada%20l")
        assert (await client.get(added.headers["Location"])).text == "Hello, ada l"
        assert (await client.get("/")).json() == ["ada l", "grace"]
        assert (await client.request("DELETE", "/grace")).headers["Allow"] == "GET, HEAD, OPTIONS"
    assert caplog.messages[0].startswith("GET http://localhost/grace took ")


async def test_shortest_application_responds(capsys: pytest.CaptureFixture[str]) -> None:
    app = runpy.run_path(str(EXAMPLES / "web_minimal.py"))["app"]
    async with TestClient(app) as client:
        greeting = await client.get("/john_doe")
        assert (greeting.status, greeting.text) == (200, "Welcome, John Doe!")
        missing = await client.get("/ada")
        assert (missing.status, missing.reason, missing.text) == (404, "No such user", "No such user")
    assert capsys.readouterr().out == "GET /john_doe\nGET /ada\n"


async def test_embedded_clock_ticks_until_sigterm(tmp_path: Path) -> None:
    path = tmp_path / "clock"
    program = await asyncio.create_subprocess_exec(
        sys.executable,
        str(EXAMPLES / "web_embedded.py"),
        str(path),
        env={**os.environ, "PYTHONPATH": str(EXAMPLES.parents[1])},
    )
    try:
        async with asyncio.timeout(10):
            raw = socket.socket(socket.AF_UNIX)
            raw.setblocking(False)
            while True:
                try:
                    await asyncio.get_running_loop().sock_connect(raw, str(path))
                    break
                except (FileNotFoundError, ConnectionRefusedError):
                    await asyncio.sleep(0.01)
            async with ClientConnection(*await asyncio.open_unix_connection(sock=raw)) as connection:
                answer = await connection.request("GET", "/whoami")
                assert answer.json() == {"uid": os.getuid(), "pid": os.getpid()}
                await connection.send(b"GET /clock HTTP/1.1\r\nHost: h\r\n\r\n")
                await connection.reader.readuntil(b"event: tick\ndata: ")
                program.send_signal(signal.SIGTERM)
                assert (await connection.rest()).endswith(b"0\r\n\r\n")
            assert await program.wait() == 0
    finally:
        if program.returncode is None:
            program.kill()
            await program.wait()
    assert not path.exists()
