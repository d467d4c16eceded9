"""The reason for our own senders to the service manager and the journal: the calls of python-systemd wait.

If a call no longer waits, its test fails, and the sender can be removed.
"""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.systemd_package.fakes import DatagramServer

NOTIFY = """
import os, sys
from systemd.daemon import notify

os.environ["NOTIFY_SOCKET"] = sys.argv[1]
print("calls", flush=True)
print(notify("WATCHDOG=1"))
"""


@contextmanager
def calling(script: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Run a script, and yield the process when the call begins."""
    command = [sys.executable, "-c", script, *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "calls\n"
            yield process
        finally:
            process.kill()


def until_asleep(process: subprocess.Popen[str]) -> None:
    """Wait until the process sleeps or has ended."""
    status = Path(f"/proc/{process.pid}/stat")
    while status.read_text().rpartition(")")[2].split()[0] in {"R", "D"}:
        pass


@pytest.mark.slow
def test_notify_waits_while_the_queue_of_the_manager_is_full(tmp_path: Path) -> None:
    with DatagramServer(str(tmp_path / "notify")) as manager:
        while not manager.is_full():
            pass
        with calling(NOTIFY, manager.address) as process:
            until_asleep(process)
            assert process.poll() is None
            received = manager.datagrams()  # makes room
            assert process.communicate()[0] == "True\n"
        assert [*received, *manager.datagrams()][-1] == b"WATCHDOG=1"
