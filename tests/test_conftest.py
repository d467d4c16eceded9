"""The check that every test cleans up, applied to tests that do and to tests that do not."""

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

from tests.conftest import SLOW_MODULES

TESTS = """
import asyncio, os, socket, subprocess, sys, threading
from concurrent.futures import ThreadPoolExecutor

import pytest

kept = []

async def sleep_on():
    await asyncio.sleep(60)

async def test_leaves_task():
    kept.append(asyncio.create_task(sleep_on()))

def test_leaves_thread():
    ended = threading.Event()
    kept.append(ended)
    threading.Thread(target=ended.wait, daemon=True).start()

def test_leaves_process():
    kept.append(subprocess.Popen(["/bin/sleep", "60"]))

def test_leaves_dead_process():
    kept.append(subprocess.Popen(["/bin/true"]))

def test_leaves_socket():
    kept.append(socket.socket())

async def test_leaves_server():
    kept.append(await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0))

def test_leaves_pipe():
    kept.append(os.pipe())

@pytest.fixture(scope="module")
def shared():
    with socket.socket() as held, ThreadPoolExecutor() as executor:
        yield executor

def test_clean_with_what_the_module_holds(shared):
    pass

@pytest.fixture
async def server():
    server = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", 0)
    yield server
    server.close()
    await server.wait_closed()

async def test_clean_connection(server):
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    assert await reader.read() == b""
    writer.close()

async def test_clean_task():
    task = asyncio.create_task(sleep_on())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

async def test_clean_process():
    process = await asyncio.create_subprocess_exec("/bin/true")
    assert await process.wait() == 0

async def test_clean_default_executor():
    await asyncio.get_running_loop().run_in_executor(None, int)

def test_clean_run():
    asyncio.run(asyncio.sleep(0))

def test_clean_thread():
    thread = threading.Thread(target=int)
    thread.start()
    thread.join()

def test_end_what_was_left():
    for left in kept:
        if isinstance(left, subprocess.Popen):
            left.kill()
            left.wait()
"""


def test_only_tests_that_leave_something_behind_fail(tmp_path: Path) -> None:
    check = Path(__file__).with_name("conftest.py").read_text()
    assert "SETTLE_S = 1.0" in check
    (tmp_path / "conftest.py").write_text(check.replace("SETTLE_S = 1.0", "SETTLE_S = 0.2"))
    (tmp_path / "test_some.py").write_text(TESTS)
    (tmp_path / "pytest.ini").write_text("[pytest]\nasyncio_mode = auto\n")

    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-q", "-rA", "--color=no", "-W", "ignore"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=25,
        check=False,
    )

    failed = sorted(
        line.split("::")[1].split()[0]
        for line in run.stdout.splitlines()
        if line.startswith("ERROR test_some")
    )
    left = ["task", "thread", "process", "dead_process", "socket", "server", "pipe"]
    assert failed == sorted(f"test_leaves_{what}" for what in left), run.stdout
    assert "FAILED" not in run.stdout
    assert run.stdout.count("PASSED test_some.py::test_clean_") == 7


def test_modules_that_the_fast_run_excludes_exist() -> None:
    assert [module for module in SLOW_MODULES if find_spec(module) is None] == []
