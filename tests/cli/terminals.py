"""monitorctl on a pseudo-terminal: its keys, its screen and its settings."""

import os
import pty
import select
import signal
import subprocess
import sys
import termios
import time
from pathlib import Path
from typing import IO, Self

ROOT = Path(__file__).parent.parent.parent

DEADLINE_S = 60.0


class Terminal:
    """`output`: standard output, if it is not the terminal."""

    def __init__(self, *arguments: str, output: IO[bytes] | int | None = None, **environ: str) -> None:
        self._ours, self._theirs = pty.openpty()
        termios.tcsetwinsize(self._theirs, (24, 80))
        self.before = self.settings()
        unset = {
            name: value for name, value in os.environ.items() if name not in {"NO_COLOR", "COLUMNS", "LINES"}
        }
        # setsid makes it the controlling terminal, which sends SIGINT for Ctrl-C. Processes in the background ignore
        # SIGINT, unlike those of an interactive shell.
        wrapped = ["env", "--default-signal=INT,QUIT,TSTP", "setsid", "--ctty"]
        self.process = subprocess.Popen(
            [*wrapped, sys.executable, "-m", "monitord.cli", *arguments],
            cwd=ROOT,
            env={**unset, "TERM": "xterm", **environ},
            stdin=self._theirs,
            stdout=self._theirs if output is None else output,
            stderr=self._theirs if output is None else subprocess.PIPE,
        )
        self.printed = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        if self.process.stderr is not None:
            self.process.stderr.close()
        os.close(self._ours)
        os.close(self._theirs)

    def settings(self) -> list[object]:
        return list(termios.tcgetattr(self._theirs))

    def press(self, keys: str) -> None:
        os.write(self._ours, keys.encode())

    def wait_for(self, text: str, times: int = 1) -> None:
        until = time.monotonic() + DEADLINE_S
        while self.printed.count(text) < times:
            assert time.monotonic() < until, f"no {text!r} in {self.printed!r}"
            self._read(0.1)

    def wait_for_state(self, letter: str) -> None:
        """Wait for a state of /proc/PID/stat: T is stopped."""
        until = time.monotonic() + DEADLINE_S
        stat = Path(f"/proc/{self.process.pid}/stat")
        while stat.read_text().rpartition(")")[2].split()[0] != letter:
            assert time.monotonic() < until, stat.read_text()
            self._read(0.02)

    def end(self) -> int:
        """Wait for the end, and return the exit status."""
        until = time.monotonic() + DEADLINE_S
        while self.process.poll() is None:
            assert time.monotonic() < until, f"it goes on; it printed {self.printed!r}"
            self._read(0.02)
        self._read(0.0)
        return self.process.returncode

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def _read(self, wait_s: float) -> None:
        while select.select([self._ours], [], [], wait_s)[0]:
            self.printed += os.read(self._ours, 65536).decode(errors="replace")
            wait_s = 0.0
