"""Runs external programs with limited output and a deadline, and leaves no processes behind.

    processes = Processes()
    match await processes.run(ProcessRequest(("/bin/true",)), deadline=time.monotonic() + 5):
        case ProcessEnd(): ...          # the program ran: exit code or signal, and output
        case ProcessFailure(): ...      # the program could not be run
    await processes.close()

Rules:

- A program runs in its own session, so that it can be killed with all its children. It has no shell, and no input and
  environment except those of the request.
- The program ends when its first process ends. Children that keep the pipes open are not waited for.
- The process group is always killed before the first process is reaped: until then its PID, which is also the group
  ID, cannot be reused.
- At the deadline the group receives SIGTERM, and TERMINATE_GRACE_S later SIGKILL.
- If the caller is cancelled, the group receives SIGKILL. The process is reaped when it ends. A process that cannot be
  killed (blocked in the kernel by an unresponsive network file system) is not started again while it exists.

The end of a process is reported by a pidfd (pidfd_open(2)), on every event loop and version of Python: there is no
shared SIGCHLD handler and no thread per child. subprocess starts the program with vfork(2), which suspends this process
and its event loop until the program is executed, for a fraction of a millisecond. A thread would not help, as CPython
holds its global lock during that time.
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
from monitord.text import printable

MAX_STDOUT_BYTES = 64 * 1024
MAX_STDERR_BYTES = 4 * 1024
"""Output above the limits is read, discarded and counted."""

DROP_EVERY_S = 0.01
"""Interval of reads of discarded output, so that a program that writes endlessly costs little CPU time."""

TERMINATE_GRACE_S = 0.1
"""Time between SIGTERM and SIGKILL: enough to remove a temporary file."""

KILL_WAIT_S = 0.1
"""Time to wait for the end after SIGKILL. A process ends within a millisecond or is blocked in the kernel."""

CLOSE_WAIT_S = 1.0

_READ_BYTES = 64 * 1024
_LAST_READS = 16
"""After the end all output is in the pipe, at most 1 MiB (pipe(7)). Children that continue to write are ignored."""

_EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE, errno.EAGAIN, errno.ENOMEM, errno.ENOBUFS})

SendSignal = Callable[[int, int], None]
"""A function of a process group and a signal, such as os.killpg."""


@dataclass(frozen=True, slots=True)
class ProcessRequest:
    """A program to run. `environment` is its complete environment, `stdin` its standard input; both may be secret.

    It inherits `descriptors` under the same numbers. They belong to the caller.

    Raises InvalidValueError if a program cannot be run with these values.
    """

    command: tuple[str, ...]
    environment: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    directory: str = "/"
    stdin: bytes = field(default=b"", repr=False)
    max_stdout_bytes: int = MAX_STDOUT_BYTES
    descriptors: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if not self.command:
            raise InvalidValueError("is empty", 'write ["/path/to/program", "argument"]')
        if not self.command[0].startswith("/"):
            # It may be a whole command line with a secret, so only the first word is shown.
            name, *others = printable(self.command[0]).split(maxsplit=1) or [""]
            hint = f'write "/path/to/{name}"'
            if others:
                hint += ", and each argument as a separate string"
            raise InvalidValueError(f'"{name}{" …" if others else ""}" is not an absolute path', hint)
        if not self.directory.startswith("/"):
            shown = printable(self.directory)
            raise InvalidValueError(f'"{shown}" is not an absolute path', f'write "/{shown}"')
        if any(not name or "=" in name for name, _ in self.environment):
            raise InvalidValueError('a variable has no name, or a name with "="', 'write NAME = "value"')
        if any("\0" in text for text in (*self.command, self.directory, *chain(*self.environment))):
            raise InvalidValueError(
                "contains a NUL character, which cannot be passed to a program", "remove it"
            )


@dataclass(frozen=True, slots=True)
class ProcessEnd:
    """The end of a program. `exit_code` or `signal` is set, unless the process still exists or its status was lost."""

    exit_code: int | None
    signal: int | None
    is_late: bool
    """It received SIGTERM at the deadline."""
    has_ended: bool
    """False if it received SIGKILL and still exists."""
    stdout: bytes
    stderr: bytes
    dropped_bytes: int


class ProcessFailureKind(Enum):
    UNUSABLE = "unusable"
    """The program does not exist, or this process is not permitted to run it."""
    EXHAUSTED = "exhausted"
    """This host has run out of file descriptors, processes or memory."""
    STUCK = "stuck"
    """The previous process of the same request was killed and still exists."""


@dataclass(frozen=True, slots=True)
class ProcessFailure:
    """The program was not run."""

    kind: ProcessFailureKind
    detail: str


ProcessOutcome = ProcessEnd | ProcessFailure


class Processes:
    """Runs programs, and tracks killed processes until they end."""

    def __init__(self, send_signal: SendSignal = os.killpg) -> None:
        self._send_signal = send_signal
        self._killed: set[_Child] = set()

    @property
    def lingering(self) -> int:
        """The number of processes that received SIGKILL and still exist."""
        return len(self._killed)

    async def run(self, request: ProcessRequest, *, deadline: float) -> ProcessOutcome:
        """Run a program until `deadline` (time.monotonic()). Raises only CancelledError."""
        for child in self._killed:
            if child.request == request:
                return ProcessFailure(
                    ProcessFailureKind.STUCK, f"process {child.pid} was killed and still exists"
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
                child.send(signal.SIGKILL)
                child.close_output()
                self._killed.add(child)
                child.ended.add_done_callback(lambda _: self._killed.discard(child))

    async def close(self) -> None:
        """Wait for the killed processes. May be called twice."""
        if self._killed:
            await asyncio.wait([child.ended for child in self._killed], timeout=CLOSE_WAIT_S)
        for child in list(self._killed):
            child.abandon()
        self._killed.clear()


def _failure(request: ProcessRequest, error: OSError) -> ProcessFailure:
    problem = error.strerror or str(error)
    if error.errno in _EXHAUSTED:
        return ProcessFailure(ProcessFailureKind.EXHAUSTED, f"cannot start a process: {problem}")
    # subprocess sets the directory as the file name if the directory is the cause.
    if error.filename == request.directory:
        return ProcessFailure(ProcessFailureKind.UNUSABLE, f"the directory {request.directory}: {problem}")
    program = request.command[0]
    if error.errno == errno.ESRCH:
        problem = "its exit status was lost, because SIGCHLD is ignored in this process"
    elif error.errno == errno.ENOEXEC:
        problem += " (a script needs a first line such as #!/bin/sh)"
    elif error.errno == errno.ENOENT and os.path.lexists(program):
        problem += " (the target of the link or the interpreter in its first line does not exist)"
    return ProcessFailure(ProcessFailureKind.UNUSABLE, f"{program}: {problem}")


class _Output:
    """The read end of a pipe, read by the event loop until the end of file or `close`."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._stored = bytearray()
        self._loop = asyncio.get_running_loop()
        self._pause: asyncio.TimerHandle | None = None
        self.dropped_bytes = 0
        self._end, self.writing_end = os.pipe()
        # The write end is another open file description: the program's writes stay blocking.
        os.set_blocking(self._end, False)
        self._resume()

    @property
    def data(self) -> bytes:
        return bytes(self._stored)

    def close_writing_end(self) -> None:
        os.close(self.writing_end)

    def close(self) -> None:
        """Kill the processes that still run. A second call has no effect."""
        if self._end >= 0:
            self._loop.remove_reader(self._end)
            if self._pause is not None:
                self._pause.cancel()
            os.close(self._end)
            self._end = -1

    def read_rest(self) -> None:
        """Read the data in the pipe, and close."""
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
        """Read once. Returns False if there is no data now, or at the end of file."""
        if self._end < 0:
            return False
        try:
            data = os.read(self._end, _READ_BYTES)
        except BlockingIOError:
            return False
        if not data:
            self.close()
            return False
        stored = data[: max(0, self._limit_bytes - len(self._stored))]
        self._stored += stored
        self.dropped_bytes += len(data) - len(stored)
        return True


class _Child:
    """A running program. Raises OSError if it cannot be started. `ended` is set when it is reaped."""

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
                stdin = subprocess.DEVNULL
                if request.stdin:
                    # A file, not a pipe, which would have to be written while the program reads it.
                    stdin = os.memfd_create("stdin")
                    started.callback(os.close, stdin)
                    written = 0
                    while written < len(request.stdin):
                        written += os.write(stdin, request.stdin[written:])
                    os.lseek(stdin, 0, os.SEEK_SET)
                self._process = subprocess.Popen(  # noqa: S603 - no shell; the caller chooses the program
                    request.command,
                    stdin=stdin,
                    stdout=self._stdout.writing_end,
                    stderr=self._stderr.writing_end,
                    cwd=request.directory,
                    env=dict(request.environment),
                    start_new_session=True,
                    pass_fds=request.descriptors,
                )
            undo.callback(self._end_at_once)
            # The PID cannot be reused before the process is reaped, which only this class does.
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
        """Send a signal to the whole group. No error if it has ended or belongs to another user."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            self._send_signal(self.pid, number)

    def end(self, *, is_late: bool) -> ProcessEnd:
        return ProcessEnd(
            exit_code=self._exit_code,
            signal=self._signal,
            is_late=is_late,
            has_ended=self.has_ended,
            stdout=self._stdout.data,
            stderr=self._stderr.data,
            dropped_bytes=self._stdout.dropped_bytes + self._stderr.dropped_bytes,
        )

    def close_output(self) -> None:
        self._stdout.close()
        self._stderr.close()

    def abandon(self) -> None:
        """Stop waiting for the end: init reaps the process after monitord has exited."""
        if not self.has_ended:
            self._loop.remove_reader(self._pidfd)
            os.close(self._pidfd)
            self._process.returncode = -1
            self.ended.cancel()

    def _reap(self) -> None:
        """Reap the first process, which has ended, and kill its group."""
        self._loop.remove_reader(self._pidfd)
        self._stdout.read_rest()
        self._stderr.read_rest()
        self.send(signal.SIGKILL)
        try:
            status = os.waitid(os.P_PIDFD, self._pidfd, os.WEXITED)
        except ChildProcessError:
            # SIGCHLD is ignored in this process (wait(2)): the status is lost, and must not be treated as success.
            status = None
        os.close(self._pidfd)
        if status is not None and status.si_code == os.CLD_EXITED:
            self._exit_code = status.si_status
        elif status is not None:
            self._signal = status.si_status
        # Without a return code, subprocess would wait for the process and issue a warning.
        self._process.returncode = -1 if self._exit_code is None else self._exit_code
        if not self.ended.done():
            self.ended.set_result(None)

    def _end_at_once(self) -> None:
        """Kill the process and wait, as its end is not reported without a pidfd."""
        self.send(signal.SIGKILL)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(CLOSE_WAIT_S)
