"""Every test cleans up: anything that it leaves running or open fails it, and not the next test.

Fixtures of a wider scope are set up before the comparison, so that it ignores what they hold. A directory whose tests
leave something on purpose overrides `leaves_nothing_behind` in its own conftest.
"""

import asyncio
import contextlib
import gc
import inspect
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import cast

import pytest
from hypothesis import HealthCheck, settings

# The duration of an example depends on the machine only. The same examples are used in each run, so that a run does not
# fail by chance; `pytest --hypothesis-profile=explore` searches for further ones.
settings.register_profile(
    "fixed", deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True
)
settings.register_profile("explore", settings.get_profile("fixed"), derandomize=False, max_examples=3000)
settings.load_profile("fixed")

# Modules that `make test-fast` excludes: they start processes, or wait for real time to pass.
SLOW_MODULES = frozenset(
    {
        "tests.cli.test_actions",
        "tests.cluster.test_daemons",
        "tests.notifiers.test_apprise",
        "tests.cli.test_completion",
        "tests.cli.test_control_command",
        "tests.cli.test_events",
        "tests.journal.test_follower",
        "tests.cli.test_probe",
        "tests.cli.test_queries",
        "tests.conditions.test_condition",
        "tests.sources.test_units",
        "tests.docs.test_guide",
        "tests.history.test_crash",
        "tests.history.test_failures",
        "tests.history.test_rollups",
        "tests.monitors.test_icmp",
        "tests.monitors.test_libraries",
        "tests.monitors.journal.test_journal",
        "tests.journal.test_feed",
        "tests.net.base.test_resolver",
        "tests.status.api.test_export",
        "tests.status.api.test_history",
        "tests.status.pages.test_pages",
        "tests.test_conftest",
        "tests.test_daemon",
        "tests.test_restart",
    }
)

# A closed resource may need some iterations of the loop to disappear; a thread or process needs a moment to end.
SETTLE_S = 1.0
TURN_S = 0.005

# The loop owns its default executor; idle threads of it end with the interpreter.
LOOP_THREADS = "asyncio_"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--update-errors", action="store_true", help="write the errors next to broken configurations"
    )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if isinstance(item, pytest.Function) and item.module.__name__ in SLOW_MODULES:
            item.add_marker(pytest.mark.slow)


@pytest.fixture
async def loop_of_the_test() -> asyncio.AbstractEventLoop:
    return asyncio.get_running_loop()


@pytest.fixture(scope="session")
def uvloop_factory() -> Callable[[], asyncio.AbstractEventLoop]:
    """Return a function that creates a loop of uvloop, which the daemon uses if it is installed."""
    uvloop = pytest.importorskip("uvloop", reason="python3-uvloop is not installed")
    # The first loop opens a pipe that libuv keeps as long as the process lives.
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(asyncio.sleep(0))
    return cast(Callable[[], asyncio.AbstractEventLoop], uvloop.new_event_loop)


@pytest.fixture
def assert_errors(pytestconfig: pytest.Config) -> Callable[[Path, str], None]:
    """Compare the errors of a configuration with the file next to it, which `--update-errors` writes."""

    def check(config: Path, errors: str) -> None:
        errors = errors.replace(f"{config.parent}/", "") + "\n"
        expected = config.with_suffix(".txt")
        if pytestconfig.getoption("--update-errors"):
            expected.write_text(errors)
        assert errors == expected.read_text()

    return check


@pytest.fixture(autouse=True)
def leaves_nothing_behind(request: pytest.FixtureRequest) -> Iterator[None]:
    """A test that leaves a task, a thread, a process or a file descriptor behind fails."""
    loop = request.getfixturevalue("loop_of_the_test") if _is_async(request.function) else None
    before = _open_resources(loop)
    yield
    left = _open_resources(loop) - before
    if left:
        gc.collect()  # closes what only garbage holds, with a warning if it should have been closed before
        deadline = time.monotonic() + SETTLE_S
        while (left := _open_resources(loop) - before) and time.monotonic() < deadline:
            _wait_a_moment(loop)
    if left:
        pytest.fail("left behind: " + ", ".join(sorted(left)), pytrace=False)


def _is_async(function: object) -> bool:
    hypothesis = getattr(function, "hypothesis", None)
    return inspect.iscoroutinefunction(hypothesis.inner_test if hypothesis else function)


def _wait_a_moment(loop: asyncio.AbstractEventLoop | None) -> None:
    if loop is None or loop.is_closed():
        time.sleep(TURN_S)
    else:
        loop.run_until_complete(asyncio.sleep(TURN_S))


def _open_resources(loop: asyncio.AbstractEventLoop | None) -> frozenset[str]:
    resources = {f"thread {thread.name} ({thread.ident})" for thread in _threads()}
    resources.update(f"process {pid}: {_command(pid)}" for pid in _children())
    resources.update(f"file descriptor {number}: {target}" for number, target in _descriptors())
    if loop is not None and not loop.is_closed():
        resources.update(f"task {task!r}" for task in asyncio.all_tasks(loop))
    return frozenset(resources)


def _threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if not thread.name.startswith(LOOP_THREADS)]


def _descriptors() -> Iterator[tuple[str, str]]:
    for number in os.listdir("/proc/self/fd"):  # noqa: PTH208 - paths would make half the cost of this check
        with contextlib.suppress(FileNotFoundError):  # the descriptor of the listing itself
            yield number, os.readlink(f"/proc/self/fd/{number}")  # noqa: PTH115


def _children() -> Iterator[str]:
    """List the children, including zombies."""
    for thread in os.listdir("/proc/self/task"):  # noqa: PTH208
        ended = contextlib.suppress(FileNotFoundError, ProcessLookupError)
        with ended, open(f"/proc/self/task/{thread}/children") as children:  # noqa: PTH123
            yield from children.read().split()


def _command(pid: str) -> str:
    try:
        return (
            Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
            or "ended"
        )
    except (FileNotFoundError, ProcessLookupError):
        return "gone"
