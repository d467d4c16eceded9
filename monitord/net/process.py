"""Runs a program of somebody else: its output bounded, its end in time, nothing of it left behind.

    processes = Processes()
    match await processes.run(ProcessRequest(("/bin/true",)), deadline=time.monotonic() + 5):
        case ProcessEnd(): ...          # it ran: exit code or signal, and what it said
        case ProcessFailure(): ...        # it could not be run
    await processes.close()

The rules of its life:

- A program gets a session of its own, so that it can be killed with all its children, and no shell, no input and no
  environment but what the request names.
- Its end is the end of the first process, not of the pipes: children that hold them open are waited for by nobody.
- The process group is killed at every end, before the first process is reaped: until then its number, which
  is that of the group, cannot belong to somebody else.
- At the deadline the group gets SIGTERM, and TERMINATE_GRACE_S later SIGKILL.
- Whoever stops waiting, by cancellation as well, leaves nothing but a process that was told SIGKILL. It is reaped
  when it ends. One that cannot be killed (it hangs in the kernel: a dead network file system) is not started again
  while it is there.

The end is heard of by a pidfd (pidfd_open(2)), the same on every event loop and version of Python: no SIGCHLD handler
to share, no thread for each child. subprocess starts the program by vfork(2), which holds up this process, the event
loop with it, until the program is executed: a fraction of a millisecond. A thread would not help, as CPython holds its
global lock meanwhile.
"""

import asyncio
import contextlib
import errno
import os
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from itertools import chain

from monitord.errors import InvalidValueError

MAX_STDOUT_BYTES = 64 * 1024
MAX_STDERR_BYTES = 4 * 1024
"""What is more is read, dropped and counted."""

DROP_EVERY_S = 0.01
"""Between two reads of what is dropped: who writes without end gets little of our time, and none of the others'."""

TERMINATE_GRACE_S = 0.1
"""From SIGTERM to SIGKILL: enough to remove a temporary file."""

KILL_WAIT_S = 0.1
"""How long the end is waited for after SIGKILL; it comes within a millisecond or not at all."""

CLOSE_WAIT_S = 1.0

_READ_BYTES = 64 * 1024
_LAST_READS = 16
"""After the end all output is in the pipe already, at most a MiB (pipe(7)). Who goes on writing is not waited for."""

_EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE, errno.EAGAIN, errno.ENOMEM, errno.ENOBUFS})

SendSignal = Callable[[int, int], None]
"""Takes a process group and a signal, as os.killpg does."""


@dataclass(frozen=True, slots=True)
class ProcessRequest:
    """What to run. The environment is all that the program gets, and may hold secrets. `stdin`: what it can read.

    Raises InvalidValueError for what no program can be given.
    """

    command: tuple[str, ...]
    environment: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    directory: str = "/"
    stdin: bytes = field(default=b"", repr=False)
    max_stdout_bytes: int = MAX_STDOUT_BYTES

    def __post_init__(self) -> None:
        if not self.command:
            raise InvalidValueError("names no program", 'write ["/path/to/program", "argument"]')
        if not self.command[0].startswith("/"):
            # A whole command line in it may hold a secret, so only its first word is shown.
            name, *others = self.command[0].split(maxsplit=1) or [""]
            hint = f'write "/path/to/{name}"'
            if others:
                hint += ", and each argument as a text of its own"
            raise InvalidValueError(f'"{name}{" …" if others else ""}" is not an absolute path', hint)
        if not self.directory.startswith("/"):
            raise InvalidValueError(
                f'"{self.directory}" is not an absolute path', f'write "/{self.directory}"'
            )
        if any(not name or "=" in name for name, _ in self.environment):
            raise InvalidValueError('a variable has no name, or one with "="', 'write NAME = "value"')
        if any("\0" in text for text in (*self.command, self.directory, *chain(*self.environment))):
            raise InvalidValueError("holds a NUL character, which no program can be given", "leave it out")


@dataclass(frozen=True, slots=True)
class ProcessEnd:
    """It ran. One of `exit_code` and `signal` is set, unless its end was not seen or somebody else reaped it."""

    exit_code: int | None
    signal: int | None
    is_late: bool
    """It was told to end at the deadline."""
    has_ended: bool
    """False: it was sent SIGKILL, and is still there."""
    stdout: bytes
    stderr: bytes
    dropped_bytes: int


class ProcessFailureKind(Enum):
    UNUSABLE = "unusable"
    """The program is not there, or this process may not run it."""
    EXHAUSTED = "exhausted"
    """This host has no descriptor, process or memory to spare."""
    STUCK = "stuck"
    """The one started before for the same request was killed, and is still there."""


@dataclass(frozen=True, slots=True)
class ProcessFailure:
    """It was not run."""

    kind: ProcessFailureKind
    detail: str


ProcessOutcome = ProcessEnd | ProcessFailure


class Processes:
    """Runs programs; keeps those that were killed until they are gone."""

    def __init__(self, send_signal: SendSignal = os.killpg) -> None:
        self._send_signal = send_signal
        self._dying: set[_Child] = set()

    @property
    def dying(self) -> int:
        """How many were told SIGKILL, and are still there."""
        return len(self._dying)

    async def run(self, request: ProcessRequest, *, deadline: float) -> ProcessOutcome:
        """Raises nothing but CancelledError. `deadline` is a moment of the monotonic clock."""
        for child in self._dying:
            if child.request == request:
                return ProcessFailure(
                    ProcessFailureKind.STUCK, f"process {child.pid} was killed, and is still there"
                )
        try:
            child = _Child(request, self._send_signal)
        except OSError as error:
            return _failure(request, error)
        try:
            is_late = not await child.ends_within(deadline - time.monotonic())
            if is_late:
                child.send(signal.SIGTERM)
                if not await child.ends_within(TERMINATE_GRACE_S):
                    child.send(signal.SIGKILL)
                    await child.ends_within(KILL_WAIT_S)
            return child.end(is_late=is_late)
        finally:
            if not child.has_ended:
                self._let_die(child)

    async def close(self) -> None:
        """Wait for what was killed. May be called twice."""
        if self._dying:
            await asyncio.wait([child.ended for child in self._dying], timeout=CLOSE_WAIT_S)
        for child in list(self._dying):
            child.abandon()
        self._dying.clear()

    def _let_die(self, child: "_Child") -> None:
        child.send(signal.SIGKILL)
        child.close_output()
        self._dying.add(child)
        child.ended.add_done_callback(lambda _: self._dying.discard(child))


def _failure(request: ProcessRequest, error: OSError) -> ProcessFailure:
    problem = error.strerror or str(error)
    if error.errno in _EXHAUSTED:
        return ProcessFailure(ProcessFailureKind.EXHAUSTED, f"no process to spare: {problem}")
    # subprocess names the directory where that is what is missing.
    if error.filename == request.directory:
        return ProcessFailure(ProcessFailureKind.UNUSABLE, f"the directory {request.directory}: {problem}")
    program = request.command[0]
    if error.errno == errno.ESRCH:
        problem = "it ended, but not for us to see: SIGCHLD is ignored in this process"
    elif error.errno == errno.ENOEXEC:
        problem += " (a script needs a first line such as #!/bin/sh)"
    elif error.errno == errno.ENOENT and os.path.lexists(program):
        problem += " (it is there, but what it is a link to or what its first line names is not)"
    return ProcessFailure(ProcessFailureKind.UNUSABLE, f"{program}: {problem}")


class _Output:
    """The reading end of a pipe, read by the event loop until its end or ours."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._kept = bytearray()
        self._loop = asyncio.get_running_loop()
        self._pause: asyncio.TimerHandle | None = None
        self.dropped_bytes = 0
        self._end, self.writing_end = os.pipe()
        # The other end is another open file description: the program's own writes stay blocking.
        os.set_blocking(self._end, False)
        self._resume()

    @property
    def kept(self) -> bytes:
        return bytes(self._kept)

    def close_writing_end(self) -> None:
        os.close(self.writing_end)

    def close(self) -> None:
        """May be called twice."""
        if self._end >= 0:
            self._loop.remove_reader(self._end)
            if self._pause is not None:
                self._pause.cancel()
            os.close(self._end)
            self._end = -1

    def read_rest(self) -> None:
        """Take what is there already, and close."""
        for _ in range(_LAST_READS):
            if not self._read():
                break
        self.close()

    def _resume(self) -> None:
        self._loop.add_reader(self._end, self._on_readable)

    def _on_readable(self) -> None:
        if self._read() and self.dropped_bytes:
            self._loop.remove_reader(self._end)
            self._pause = self._loop.call_later(DROP_EVERY_S, self._resume)

    def _read(self) -> bool:
        """False: there is no more for now, or never."""
        if self._end < 0:
            return False
        try:
            data = os.read(self._end, _READ_BYTES)
        except BlockingIOError:
            return False
        if not data:
            self.close()
            return False
        kept = data[: max(0, self._limit_bytes - len(self._kept))]
        self._kept += kept
        self.dropped_bytes += len(data) - len(kept)
        return True


class _Child:
    """One running program. Raises OSError when it cannot be started. `ended` is set once it is reaped."""

    def __init__(self, request: ProcessRequest, send_signal: SendSignal) -> None:
        self.request = request
        self._send_signal = send_signal
        self._loop = asyncio.get_running_loop()
        self.ended: asyncio.Future[None] = self._loop.create_future()
        self._exit_code: int | None = None
        self._signal: int | None = None
        with contextlib.ExitStack() as undo:
            self._stdout = _Output(request.max_stdout_bytes)
            undo.callback(self._stdout.close)
            with contextlib.ExitStack() as started:
                started.callback(self._stdout.close_writing_end)
                self._stderr = _Output(MAX_STDERR_BYTES)
                undo.callback(self._stderr.close)
                started.callback(self._stderr.close_writing_end)
                self._process = _start(request, self._stdout.writing_end, self._stderr.writing_end)
            undo.callback(self._end_at_once)
            # Its number is its own as long as nobody has reaped it, and that is us.
            self._pidfd = os.pidfd_open(self.pid)
            undo.pop_all()
        self._loop.add_reader(self._pidfd, self._reap)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def has_ended(self) -> bool:
        return self.ended.done()

    async def ends_within(self, seconds: float) -> bool:
        await asyncio.wait([self.ended], timeout=max(0.0, seconds))
        return self.has_ended

    def send(self, number: signal.Signals) -> None:
        """To the whole group. One that is gone or belongs to somebody else is left alone."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            self._send_signal(self.pid, number)

    def end(self, *, is_late: bool) -> ProcessEnd:
        return ProcessEnd(
            exit_code=self._exit_code,
            signal=self._signal,
            is_late=is_late,
            has_ended=self.has_ended,
            stdout=self._stdout.kept,
            stderr=self._stderr.kept,
            dropped_bytes=self._stdout.dropped_bytes + self._stderr.dropped_bytes,
        )

    def close_output(self) -> None:
        self._stdout.close()
        self._stderr.close()

    def abandon(self) -> None:
        """Nobody hears of its end any more: init reaps it after us."""
        if not self.has_ended:
            self._loop.remove_reader(self._pidfd)
            os.close(self._pidfd)
            self._process.returncode = -1
            self.ended.cancel()

    def _reap(self) -> None:
        """The first process has ended."""
        self._loop.remove_reader(self._pidfd)
        self._stdout.read_rest()
        self._stderr.read_rest()
        self.send(signal.SIGKILL)
        try:
            found = os.waitid(os.P_PIDFD, self._pidfd, os.WEXITED)
        except ChildProcessError:
            # SIGCHLD is ignored in this process (wait(2)): the status is lost, and must not pass for a success.
            found = None
        os.close(self._pidfd)
        if found is not None and found.si_code == os.CLD_EXITED:
            self._exit_code = found.si_status
        elif found is not None:
            self._signal = found.si_status
        # subprocess would wait for it itself, and warn of it.
        self._process.returncode = -1 if self._exit_code is None else self._exit_code
        if not self.ended.done():
            self.ended.set_result(None)

    def _end_at_once(self) -> None:
        """Without a pidfd nobody would hear of its end."""
        self.send(signal.SIGKILL)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(CLOSE_WAIT_S)


def _start(request: ProcessRequest, stdout: int, stderr: int) -> subprocess.Popen[bytes]:
    with contextlib.ExitStack() as stack:
        stdin = subprocess.DEVNULL
        if request.stdin:
            # A file, not a pipe: nobody has to wait until the program reads it.
            stdin = os.memfd_create("stdin")
            stack.callback(os.close, stdin)
            _write_all(stdin, request.stdin)
        return subprocess.Popen(  # noqa: S603 - no shell; which program is the caller's to say
            request.command,
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            cwd=request.directory,
            env=dict(request.environment),
            start_new_session=True,
        )


def _write_all(file: int, data: bytes) -> None:
    """From its beginning on, where it is left to be read."""
    written = 0
    while written < len(data):
        written += os.write(file, data[written:])
    os.lseek(file, 0, os.SEEK_SET)
