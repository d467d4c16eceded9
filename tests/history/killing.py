"""Kill a process that writes at full rate, and check the database."""

import contextlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DEADLINE_S = 20.0


@dataclass(frozen=True)
class Left:
    """`reported`: the last result that the process reported as written. `age_s`: of the last stored one at the kill."""

    reported: int
    results: int
    age_s: float


def kill_and_inspect(path: Path, after_s: float, rate: int = 1000, monitors: int = 50) -> Left:
    """Kill a writing process, and check its database. Raises AssertionError if it is damaged or incomplete."""
    command = [sys.executable, "-m", "tests.history.writing", str(path), str(rate), str(monitors)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        reported = process.stdout.readline()
        time.sleep(after_s)
        os.kill(process.pid, signal.SIGKILL)
        killed_at = time.time()
        lines = process.stdout.read().splitlines()
    # The kill may have truncated the last line: the number is then too small, never too large.
    return _look(path, int(lines[-1] if lines else reported), killed_at)


def _look(path: Path, reported: int, killed_at: float) -> Left:
    with contextlib.closing(sqlite3.connect(path, timeout=DEADLINE_S)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        numbers = [
            round(duration_us / 1000)
            for (duration_us,) in connection.execute(
                "SELECT duration FROM results ORDER BY duration"
            ).fetchall()
        ]
        (body,) = connection.execute("SELECT body FROM daemon_states WHERE key = 'number'").fetchone()
        (latest,) = connection.execute("SELECT detail FROM incidents WHERE id = 'latest'").fetchone()
        (last_ms,) = connection.execute("SELECT max(at) FROM results").fetchone()
    # None is missing, and the last result, the incident and the state are of one transaction.
    assert numbers == list(range(len(numbers)))
    assert len(numbers) >= reported
    assert json.loads(body)["next"] == int(latest) + 1 == len(numbers)
    return Left(reported, len(numbers), killed_at - last_ms / 1000)
