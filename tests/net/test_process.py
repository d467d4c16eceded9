"""Real programs, mostly /bin/sh: what they said, how they ended, and that nothing of them is left."""

import asyncio
import os
import resource
import signal
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from monitord.net import ProcessEnd, Processes, ProcessFailure, ProcessFailureKind, ProcessRequest
from monitord.net.process import MAX_STDERR_BYTES, MAX_STDOUT_BYTES
from tests.fakes import LoopFactory

PATH = (("PATH", "/usr/bin:/bin"),)
SOON_S = 0.15
"""A deadline that is meant to pass."""


@pytest.fixture
async def processes() -> AsyncIterator[Processes]:
    made = Processes()
    yield made
    await made.close()
    assert made.lingering == 0


def script(text: str, **options: Any) -> ProcessRequest:
    return ProcessRequest(("/bin/sh", "-c", text), PATH, **options)


async def run(processes: Processes, request: ProcessRequest, within_s: float = 20.0) -> ProcessEnd:
    outcome = await processes.run(request, deadline=time.monotonic() + within_s)
    assert isinstance(outcome, ProcessEnd), outcome
    return outcome


async def refused(processes: Processes, request: ProcessRequest) -> ProcessFailure:
    outcome = await processes.run(request, deadline=time.monotonic() + 20)
    assert isinstance(outcome, ProcessFailure), outcome
    return outcome


def is_there(pid: int) -> bool:
    """Return whether a process exists; a zombie, which init reaps, does not count."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


async def is_gone(pid: int) -> bool:
    """Return whether the process ends within a short time."""
    for _ in range(200):
        if not is_there(pid):
            return True
        await asyncio.sleep(0.005)
    return False


def line_in(file: Path) -> str | None:
    return file.read_text() if file.exists() and file.read_text().endswith("\n") else None


async def pid_in(file: Path) -> int:
    """Wait until a script has written its PID to the file, and return it."""
    while not (line := line_in(file)):  # noqa: ASYNC110 - a file has no event
        await asyncio.sleep(0.005)
    return int(line)


# Output and end


async def test_output_and_exit_code_are_returned(processes: Processes) -> None:
    end = await run(processes, script("echo out; echo err >&2; exit 3"))
    assert end == ProcessEnd(
        exit_code=3,
        signal=None,
        is_late=False,
        has_ended=True,
        stdout=b"out\n",
        stderr=b"err\n",
        dropped_bytes=0,
    )


async def test_signal_and_exit_code_are_distinguished(processes: Processes) -> None:
    end = await run(processes, script("echo before; kill -SEGV $$"))
    assert (end.exit_code, end.signal, end.stdout) == (None, signal.SIGSEGV, b"before\n")


async def test_arguments_reach_the_program_as_they_are(processes: Processes) -> None:
    end = await run(processes, ProcessRequest(("/usr/bin/printf", "%s|", "a b", "$HOME", "*", "")))
    assert end.stdout == b"a b|$HOME|*||"


async def test_program_gets_only_the_given_environment(processes: Processes) -> None:
    end = await run(processes, ProcessRequest(("/usr/bin/env",), (("ONE", "1"), ("TWO", "2 2"))))
    assert end.stdout == b"ONE=1\nTWO=2 2\n"


async def test_program_runs_in_its_directory(processes: Processes, tmp_path: Path) -> None:
    assert (await run(processes, script("pwd", directory=str(tmp_path)))).stdout == f"{tmp_path}\n".encode()
    assert (await run(processes, script("pwd"))).stdout == b"/\n"


async def test_program_has_no_input(processes: Processes) -> None:
    end = await run(processes, script("read line; echo $? $line"))
    assert end.stdout == b"1\n"


async def test_program_inherits_no_file_descriptor(processes: Processes, tmp_path: Path) -> None:
    with (tmp_path / "held").open("w") as held:
        os.set_inheritable(held.fileno(), True)
        end = await run(processes, script("ls -l /proc/self/fd"))
    assert str(tmp_path) not in end.stdout.decode()
    assert "pipe:" in end.stdout.decode()


async def test_program_inherits_the_descriptors_of_the_request(processes: Processes) -> None:
    reading, writing = os.pipe()
    try:
        end = await run(processes, script(f"echo hello > /proc/self/fd/{writing}", descriptors=(writing,)))
        assert end.exit_code == 0
        assert os.read(reading, 100) == b"hello\n"
    finally:
        os.close(reading)
        os.close(writing)


async def test_signal_dispositions_are_the_default(processes: Processes) -> None:
    """Python ignores SIGPIPE; a program that inherited that would not end with its reader.

    What ran the tests may ignore others, as a shell does for what it starts in the background.
    """
    end = await run(processes, ProcessRequest(("/bin/grep", "-E", "SigIgn|SigBlk", "/proc/self/status")))
    blocked, ignored = (int(word, 16) for word in end.stdout.split()[1::2])
    assert blocked == 0
    assert not [number.name for number in (signal.SIGPIPE, signal.SIGXFSZ) if ignored & 1 << (number - 1)]


async def test_output_above_the_limit_is_discarded(processes: Processes) -> None:
    end = await run(processes, script("head -c 1000000 /dev/zero; head -c 10000 /dev/zero >&2; exit 1"))
    assert end.exit_code == 1
    assert (len(end.stdout), len(end.stderr)) == (MAX_STDOUT_BYTES, MAX_STDERR_BYTES)
    assert end.dropped_bytes == 1_010_000 - MAX_STDOUT_BYTES - MAX_STDERR_BYTES


async def test_program_that_closes_its_output_is_waited_for(processes: Processes) -> None:
    end = await run(processes, script("echo said; exec >&- 2>&-; sleep 0.05; exit 2"))
    assert (end.exit_code, end.stdout) == (2, b"said\n")


async def test_many_programs_run_concurrently(processes: Processes) -> None:
    ends = await asyncio.gather(*(run(processes, script(f"echo {n}; exit {n}")) for n in range(30)))
    assert [end.exit_code for end in ends] == list(range(30))
    assert [int(end.stdout) for end in ends] == list(range(30))


# Cleaning up


async def test_process_group_is_killed_at_the_deadline(processes: Processes, tmp_path: Path) -> None:
    text = f"sh -c 'sh -c \"echo \\$\\$ > {tmp_path}/child; sleep 60\" & wait' & echo said; wait"
    end = await run(processes, script(text), within_s=SOON_S)
    assert end.is_late
    assert end.has_ended
    assert (end.exit_code, end.signal, end.stdout) == (None, signal.SIGTERM, b"said\n")
    assert await is_gone(await pid_in(tmp_path / "child"))


async def test_program_that_ignores_sigterm_is_killed(processes: Processes, tmp_path: Path) -> None:
    text = f"trap '' TERM; (trap '' TERM; echo $$ > {tmp_path}/pid; sleep 60) & sleep 60; sleep 60"
    end = await run(processes, script(text), within_s=SOON_S)
    assert (end.is_late, end.has_ended, end.signal) == (True, True, signal.SIGKILL)
    assert await is_gone(await pid_in(tmp_path / "pid"))


async def test_program_can_clean_up_after_sigterm(processes: Processes, tmp_path: Path) -> None:
    text = f"touch {tmp_path}/temporary; trap 'rm {tmp_path}/temporary; echo cleaned; exit 3' TERM; sleep 60 & wait"
    end = await run(processes, script(text), within_s=SOON_S)
    assert (end.is_late, end.exit_code, end.stdout) == (True, 3, b"cleaned\n")
    assert not (tmp_path / "temporary").exists()


async def test_child_that_outlives_its_parent_is_killed_and_not_waited_for(
    processes: Processes, tmp_path: Path
) -> None:
    end = await run(processes, script(f"sleep 60 & echo $! > {tmp_path}/pid; echo said; exit 1"))
    assert (end.exit_code, end.is_late, end.stdout) == (1, False, b"said\n")
    assert await is_gone(await pid_in(tmp_path / "pid"))


async def test_daemon_that_holds_the_pipes_is_not_waited_for(processes: Processes, tmp_path: Path) -> None:
    """Such as ssh with ControlPersist: it has left the group, and continues to write."""
    file = f"{tmp_path}/pid"
    text = f"setsid sh -c 'echo $$ > {file}; while echo more; do :; done' & while [ ! -s {file} ]; do :; done"
    end = await run(processes, script(text))
    assert (end.exit_code, end.is_late) == (0, False)
    assert await is_gone(await pid_in(tmp_path / "pid")), "its output has no reader: SIGPIPE"


async def test_cancellation_kills_the_group(processes: Processes, tmp_path: Path) -> None:
    text = f"trap '' TERM; sh -c 'trap \"\" TERM; echo $$ > {tmp_path}/pid; sleep 60' & wait; sleep 60"
    waiting = asyncio.ensure_future(run(processes, script(text)))
    pid = await pid_in(tmp_path / "pid")
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await processes.close()
    assert processes.lingering == 0
    assert await is_gone(pid)


async def test_program_after_the_deadline_ends_at_once(processes: Processes) -> None:
    end = await run(processes, script("sleep 60"), within_s=-1)
    assert (end.is_late, end.has_ended) == (True, True)


async def test_program_that_cannot_be_killed_is_not_started_again() -> None:
    """As a program that hangs in the kernel, or one of another user."""
    sent: list[tuple[int, int]] = []
    processes = Processes(lambda group, number: sent.append((group, number)))
    request = script("exec sleep 60")
    end = await run(processes, request, within_s=SOON_S)
    assert (end.is_late, end.has_ended, end.exit_code, end.signal) == (True, False, None, None)
    ((pid, _), *_) = sent
    assert sent == [(pid, signal.SIGTERM), (pid, signal.SIGKILL), (pid, signal.SIGKILL)]
    assert processes.lingering == 1
    failure = await refused(processes, request)
    assert failure == ProcessFailure(ProcessFailureKind.STUCK, f"process {pid} was killed and still exists")
    assert (await run(processes, script("exit 0"))).exit_code == 0, "others go on"
    os.kill(pid, signal.SIGKILL)
    await processes.close()
    assert processes.lingering == 0
    assert await is_gone(pid)


async def test_process_that_cannot_be_killed_does_not_block_close() -> None:
    sent: list[int] = []
    processes = Processes(lambda group, _: sent.append(group))
    assert not (await run(processes, script("exec sleep 60"), within_s=SOON_S)).has_ended
    await processes.close()
    await processes.close()
    assert processes.lingering == 0
    os.kill(sent[0], signal.SIGKILL)
    os.waitpid(sent[0], 0)  # noqa: ASYNC222 - it is as good as gone


# Programs that cannot be run


def executable(file: Path, text: str) -> str:
    file.write_text(text)
    file.chmod(0o755)
    return str(file)


def unusable(tmp_path: Path) -> Iterator[tuple[str, str]]:
    plain = tmp_path / "plain"
    plain.write_text("#!/bin/sh\n")
    yield f"{tmp_path}/nowhere", "No such file or directory"
    yield str(plain), "Permission denied"
    yield str(tmp_path), "Permission denied"
    yield (
        executable(tmp_path / "shebang", "echo\n"),
        ("Exec format error (a script needs a first line such as #!/bin/sh)"),
    )
    yield (
        executable(tmp_path / "interpreter", "#!/no/such/program\n"),
        (
            "No such file or directory (the target of the link or the interpreter in its first line does not exist)"
        ),
    )


async def test_program_that_cannot_be_run_is_reported_with_the_reason(
    processes: Processes, tmp_path: Path
) -> None:
    for program, problem in unusable(tmp_path):
        failure = await refused(processes, ProcessRequest((program,)))
        assert failure == ProcessFailure(ProcessFailureKind.UNUSABLE, f"{program}: {problem}")


async def test_missing_directory_is_reported(processes: Processes, tmp_path: Path) -> None:
    failure = await refused(processes, script("exit 0", directory=f"{tmp_path}/nowhere"))
    assert failure.detail == f"the directory {tmp_path}/nowhere: No such file or directory"


async def test_arguments_that_are_too_long_are_a_failure(processes: Processes) -> None:
    failure = await refused(processes, ProcessRequest(("/bin/true", "x" * 10_000_000)))
    assert failure == ProcessFailure(ProcessFailureKind.UNUSABLE, "/bin/true: Argument list too long")


@contextmanager
def descriptors_left(count: int) -> Iterator[None]:
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    free = os.dup(0)
    os.close(free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free + count, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


@pytest.mark.parametrize("left", range(7))
async def test_lack_of_file_descriptors_is_not_a_failure_of_the_program(
    processes: Processes, left: int
) -> None:
    """Descriptors can run out at each step; everything opened before is closed."""
    with descriptors_left(left):
        failure = await refused(processes, script("exit 0"))
    assert failure == ProcessFailure(
        ProcessFailureKind.EXHAUSTED, "cannot start a process: Too many open files"
    )
    assert (await run(processes, script("exit 0"))).exit_code == 0


@pytest.mark.parametrize("text", ["exit 0", "sleep 0.05"], ids=["gone at once", "gone later"])
async def test_lost_exit_status_is_not_success(processes: Processes, text: str) -> None:
    """With SIGCHLD ignored the kernel reaps children, and their status is lost."""
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        outcome = await processes.run(script(text), deadline=time.monotonic() + 20)
    finally:
        signal.signal(signal.SIGCHLD, before)
    if isinstance(outcome, ProcessFailure):
        assert (
            outcome.detail == "/bin/sh: its exit status was lost, because SIGCHLD is ignored in this process"
        )
    else:
        assert (outcome.exit_code, outcome.signal, outcome.has_ended) == (None, None, True)


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        pytest.param(lambda: ProcessRequest(()), "is empty", id="nothing"),
        pytest.param(
            lambda: ProcessRequest(("true",)),
            '"true" is not an absolute path; write "/path/to/true"',
            id="relative",
        ),
        pytest.param(
            lambda: ProcessRequest(("/bin/true",), directory="tmp"),
            '"tmp" is not an absolute path; write "/tmp"',
            id="relative directory",
        ),
        pytest.param(
            lambda: ProcessRequest(("/bin/true", "a\0b")), "contains a NUL", id="NUL in an argument"
        ),
        pytest.param(lambda: ProcessRequest(("/a",), (("A", "s\0"),)), "contains a NUL", id="NUL in a value"),
        pytest.param(
            lambda: ProcessRequest(("/a",), (("A=", ""),)), 'a name with "="', id="name of a variable"
        ),
        pytest.param(
            lambda: ProcessRequest(("/a",), (("", "x"),)), "has no name", id="variable without name"
        ),
    ],
)
def test_invalid_request_is_rejected(make: Callable[[], ProcessRequest], problem: str) -> None:
    with pytest.raises(ValueError, match=problem.replace("(", r"\(")) as error:
        make()
    assert "; " in str(error.value), "contains a correction"


def test_request_does_not_show_its_environment() -> None:
    assert "hunter2" not in repr(ProcessRequest(("/a",), (("PASSWORD", "hunter2"),)))


# Other loops


OnUvloop = Callable[[Coroutine[Any, Any, None]], None]


@pytest.fixture
def on_uvloop(uvloop_factory: LoopFactory) -> OnUvloop:
    def run_on_uvloop(main: Coroutine[Any, Any, None]) -> None:
        with asyncio.Runner(loop_factory=uvloop_factory) as runner:
            runner.run(main)

    return run_on_uvloop


def test_programs_run_the_same_with_uvloop(on_uvloop: OnUvloop, tmp_path: Path) -> None:
    async def main() -> None:
        processes = Processes()
        ends = await asyncio.gather(*(run(processes, script(f"echo {n}; exit {n}")) for n in range(10)))
        assert [(end.exit_code, int(end.stdout)) for end in ends] == [(n, n) for n in range(10)]
        late = await run(processes, script(f"(echo $$ > {tmp_path}/pid; sleep 60) & wait"), within_s=SOON_S)
        assert (late.is_late, late.has_ended, late.signal) == (True, True, signal.SIGTERM)
        assert await is_gone(await pid_in(tmp_path / "pid"))
        waiting = asyncio.ensure_future(run(processes, script("sleep 60")))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait([waiting])
        assert waiting.cancelled()
        await processes.close()
        assert processes.lingering == 0

    on_uvloop(main())


async def test_programs_run_from_a_loop_in_another_thread() -> None:
    def work() -> ProcessEnd:
        return asyncio.run(run(Processes(), script("exit 4")))

    assert (await asyncio.to_thread(work)).exit_code == 4
