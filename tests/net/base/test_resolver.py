"""With a replacement of getaddrinfo that waits, fails and counts."""

import asyncio
import os
import resource
import socket
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from monitord.net import (
    FailureKind,
    HttpClient,
    HttpFailure,
    HttpRequest,
    IpFamily,
    ResolveError,
    Resolver,
    TlsContexts,
)
from monitord.net.base.phases import PhaseTimer
from monitord.net.base.resolver import (
    MAX_THREADS,
    SLOW_AFTER_S,
    STUCK_AFTER_S,
    HostsFile,
    Lane,
    get_addresses,
    literal_address,
)
from tests.net.conftest import exchange, soon
from tests.servers import respond, serve

BOUND_S = 10


class DeadNames:
    """Names that begin with "dead" are not answered until `release`."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, int]] = []
        self.released = threading.Event()

    def __call__(self, name: str, family: int) -> Sequence[str]:
        self.asked.append((name, family))
        if name.startswith("dead"):
            self.released.wait(BOUND_S)
        return ["127.0.0.1"]


@pytest.fixture
async def names() -> AsyncIterator[DeadNames]:
    names = DeadNames()
    yield names
    names.released.set()


async def until(condition: object, bound_s: float = BOUND_S) -> None:
    """For what another thread does: there is nothing to await."""
    deadline = time.monotonic() + bound_s
    while not condition():  # type: ignore[operator]  # a lambda
        assert time.monotonic() < deadline
        await asyncio.sleep(0.001)


async def test_name_is_resolved_by_the_system() -> None:
    resolver = Resolver()
    assert "127.0.0.1" in await resolver.resolve("localhost", IpFamily.IPV4)
    await resolver.close()


def _only_localhost(
    name: str, _port: None, **_hints: int
) -> list[tuple[int, int, int, str, tuple[str, int]]]:
    if name != "localhost":
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
    return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 0))]


@pytest.mark.parametrize("name", ["shop.localhost", "A.B.LOCALHOST"])
def test_names_below_localhost_are_this_host(name: str) -> None:
    """RFC 6761, section 6.3. curl and browsers know it, and glibc with nss-myhostname only."""
    assert get_addresses(name, socket.AF_INET, _only_localhost) == ["127.0.0.1"]


@pytest.mark.parametrize("name", ["notlocalhost", "localhost.test"])
def test_other_names_are_not_this_host(name: str) -> None:
    with pytest.raises(socket.gaierror):
        get_addresses(name, socket.AF_INET, _only_localhost)


async def test_family_is_passed_on_and_addresses_are_unique() -> None:
    asked: list[int] = []

    def twice(name: str, family: int) -> Sequence[str]:
        asked.append(family)
        return ["127.0.0.2", "127.0.0.1", "127.0.0.2"]

    resolver = Resolver(twice)
    assert await resolver.resolve("name", IpFamily.IPV6) == ("127.0.0.2", "127.0.0.1")
    await resolver.resolve("name", IpFamily.IPV4)
    await resolver.resolve("name", IpFamily.ANY)
    assert asked == [socket.AF_INET6, socket.AF_INET, socket.AF_UNSPEC]
    await resolver.close()


@pytest.mark.parametrize(
    ("error", "problem", "is_probe_error"),
    [
        (socket.gaierror(socket.EAI_NONAME, "x"), "no such name", False),
        (socket.gaierror(socket.EAI_AGAIN, "x"), "the name servers do not respond", False),
        (socket.gaierror(socket.EAI_NODATA, "x"), "the name has no address of this kind", False),
        (socket.gaierror(socket.EAI_SERVICE, "Odd Thing"), "odd thing", False),
        (socket.gaierror(socket.EAI_MEMORY, "x"), "this host is out of memory or file descriptors", True),
        (UnicodeError("label too long"), "is not a valid host name", False),
        (OSError(5, "Input/output error"), "Input/output error", False),
    ],
)
async def test_errors_of_getaddrinfo_are_classified(
    error: Exception, problem: str, is_probe_error: bool
) -> None:
    def failing(name: str, family: int) -> Sequence[str]:
        raise error

    resolver = Resolver(failing)
    with pytest.raises(ResolveError) as raised:
        await resolver.resolve("name")
    assert (raised.value.problem, raised.value.is_probe_error) == (problem, is_probe_error)
    await resolver.close()


async def test_name_without_addresses_is_an_error() -> None:
    resolver = Resolver(lambda _name, _family: [])
    with pytest.raises(ResolveError, match="has no address"):
        await resolver.resolve("name")
    await resolver.close()


async def test_try_again_without_file_descriptors_is_a_probe_error() -> None:
    def failing(name: str, family: int) -> Sequence[str]:
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    resolver = Resolver(failing)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest_free = os.dup(0)
    os.close(lowest_free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest_free, hard))
    try:
        with pytest.raises(ResolveError) as raised:
            await resolver.resolve("name")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert raised.value.is_probe_error
    await resolver.close()


async def test_lookups_of_one_name_are_shared(names: DeadNames) -> None:
    resolver = Resolver(names)
    tasks = [asyncio.create_task(resolver.resolve("dead.test")) for _ in range(10)]
    await until(lambda: names.asked)
    names.released.set()
    assert await asyncio.gather(*tasks) == [("127.0.0.1",)] * 10
    assert len(names.asked) == 1
    await resolver.close()


async def test_results_are_not_cached(names: DeadNames) -> None:
    resolver = Resolver(names)
    await resolver.resolve("live.test")
    await resolver.resolve("live.test")
    assert len(names.asked) == 2
    await resolver.close()


async def test_failure_of_a_shared_lookup_is_raised_in_all_callers() -> None:
    release = threading.Event()

    def failing(name: str, family: int) -> Sequence[str]:
        release.wait(BOUND_S)
        raise socket.gaierror(socket.EAI_NONAME, "x")

    resolver = Resolver(failing)
    tasks = [asyncio.create_task(resolver.resolve("name")) for _ in range(3)]
    await asyncio.sleep(0)
    release.set()
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [ResolveError] * 3
    await resolver.close()


async def test_stuck_name_occupies_one_thread_and_blocks_no_other_name(names: DeadNames) -> None:
    resolver = Resolver(names)
    for _ in range(2 * MAX_THREADS):
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(resolver.resolve("dead.test"), 0.001)
    assert await resolver.resolve("live.test") == ("127.0.0.1",)
    assert [name for name, _ in names.asked] == ["dead.test", "live.test"]
    names.released.set()
    await resolver.close()


async def fill(resolver: Resolver, names: DeadNames, count: int) -> list["asyncio.Task[tuple[str, ...]]"]:
    """Look-ups that hang, in as many threads."""
    before = len(names.asked)
    hanging = [asyncio.create_task(resolver.resolve(f"dead{n}.test")) for n in range(before, before + count)]
    await until(lambda: len(names.asked) == before + count)
    return hanging


async def test_names_above_the_limit_are_queued_and_abandoned_names_are_not_looked_up(
    names: DeadNames,
) -> None:
    resolver = Resolver(names)
    hanging = await fill(resolver, names, Lane.NEW.value)
    expired, waiting = (asyncio.create_task(resolver.resolve(f"live{n}.test")) for n in range(2))
    await asyncio.sleep(0)
    expired.cancel()
    await asyncio.gather(expired, return_exceptions=True)
    names.released.set()
    assert await waiting == ("127.0.0.1",)
    await asyncio.gather(*hanging)
    assert "live0.test" not in [name for name, _ in names.asked]
    await resolver.close()


async def test_stuck_names_leave_threads_for_names_resolved_before(names: DeadNames) -> None:
    resolver = Resolver(names)
    await resolver.resolve("live.test")
    hanging = await fill(resolver, names, Lane.NEW.value)
    queued = [asyncio.create_task(resolver.resolve(f"dead-too{n}.test")) for n in range(50)]
    assert await resolver.resolve("live.test") == ("127.0.0.1",)
    names.released.set()
    await asyncio.gather(*hanging, *queued)
    await resolver.close()


async def test_new_name_in_etc_hosts_has_reserved_threads(names: DeadNames, tmp_path: Path) -> None:
    (tmp_path / "hosts").write_text(
        "# comment gone.test\n127.0.0.1 localhost\n192.0.2.1\tother Live.test # x\n\n"
    )
    resolver = Resolver(names, hosts=HostsFile(tmp_path / "hosts"))
    hanging = await fill(resolver, names, Lane.NEW.value)
    queued = [asyncio.create_task(resolver.resolve(f"dead-too{n}.test")) for n in range(50)]
    assert await resolver.resolve("live.TEST") == ("127.0.0.1",)
    names.released.set()
    await asyncio.gather(*hanging, *queued)
    await resolver.close()


async def test_slow_name_is_queued_while_other_slow_names_fill_their_lane(names: DeadNames) -> None:
    now = [0.0]
    resolver = Resolver(names, monotonic=lambda: now[0])
    slow = asyncio.create_task(resolver.resolve("dead.test"))
    await until(lambda: len(names.asked) == 1)
    now[0] += SLOW_AFTER_S + 0.1
    names.released.set()
    await slow
    names.released.clear()
    hanging = await fill(resolver, names, Lane.SLOW.value)
    slow = asyncio.create_task(resolver.resolve("dead.test"))
    await asyncio.sleep(0)
    assert await resolver.resolve("live.test") == ("127.0.0.1",)
    assert [name for name, _ in names.asked].count("dead.test") == 1
    names.released.set()
    await asyncio.gather(slow, *hanging)
    await resolver.close()


async def test_time_in_the_queue_is_discounted_and_time_of_the_lookup_is_not(names: DeadNames) -> None:
    now = [0.0]
    resolver = Resolver(names, monotonic=lambda: now[0])
    timer, timer_of_queued = PhaseTimer(), PhaseTimer()
    running = asyncio.create_task(resolver.resolve("dead.test", timer=timer))
    await until(lambda: len(names.asked) == 1)
    hanging = await fill(resolver, names, Lane.NEW.value - 1)
    queued = asyncio.create_task(resolver.resolve("live.test", timer=timer_of_queued))
    await asyncio.sleep(0)
    now[0] += 4.0
    queued.cancel()
    running.cancel()
    await asyncio.gather(running, queued, return_exceptions=True)
    assert (timer.queued_s, timer_of_queued.queued_s) == (0.0, 4.0)
    names.released.set()
    await asyncio.gather(*hanging)
    await resolver.close()


async def test_number_of_threads_is_limited_for_any_number_of_stuck_names(names: DeadNames) -> None:
    now = [0.0]
    resolver = Resolver(names, monotonic=lambda: now[0])
    before = threading.active_count()
    queued = []
    for number in range(8 * MAX_THREADS):
        queued.append(asyncio.create_task(resolver.resolve(f"dead{number}.test")))
        await asyncio.sleep(0)
        now[0] += STUCK_AFTER_S / 10
    assert threading.active_count() - before <= MAX_THREADS
    names.released.set()
    await asyncio.gather(*queued)
    await resolver.close()


async def test_stuck_threads_do_not_block_other_names_forever(names: DeadNames) -> None:
    now = [0.0]
    resolver = Resolver(names, monotonic=lambda: now[0])
    hanging = await fill(resolver, names, Lane.NEW.value)
    now[0] = STUCK_AFTER_S + 1
    assert await resolver.resolve("live.test") == ("127.0.0.1",)
    names.released.set()
    await asyncio.gather(*hanging)
    await resolver.close()


async def test_stuck_name_is_looked_up_again(names: DeadNames) -> None:
    now = [0.0]
    resolver = Resolver(names, monotonic=lambda: now[0])
    first = asyncio.create_task(resolver.resolve("dead.test"))
    await until(lambda: len(names.asked) == 1)
    now[0] = STUCK_AFTER_S + 1
    second = asyncio.create_task(resolver.resolve("dead.test"))
    await until(lambda: len(names.asked) == 2)
    names.released.set()
    assert await first == await second == ("127.0.0.1",)
    await resolver.close()


async def test_close_fails_callers_and_stops_idle_threads(names: DeadNames) -> None:
    resolver = Resolver(names)
    await resolver.resolve("live.test")
    waiting = asyncio.create_task(resolver.resolve("dead.test"))
    await until(lambda: len(names.asked) == 2)
    await resolver.close()
    with pytest.raises(ResolveError, match="closed"):
        await waiting
    with pytest.raises(ResolveError, match="closed"):
        await resolver.resolve("live.test")


def test_stuck_thread_does_not_block_the_exit_of_the_process() -> None:
    program = """
import asyncio, threading
from monitord.net import Resolver

async def main():
    resolver = Resolver(lambda name, family: threading.Event().wait())
    try:
        await asyncio.wait_for(resolver.resolve("dead.test"), 0.01)
    except TimeoutError:
        print("timed out")
    await resolver.close()

asyncio.run(main())
"""
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, timeout=20, text=True, check=False
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "timed out\n", "")


async def test_unresponsive_resolver_does_not_affect_literal_addresses(names: DeadNames) -> None:
    client = HttpClient(user_agent="t", resolver=Resolver(names), tls_contexts=TlsContexts())
    dead = [
        asyncio.create_task(client.fetch(HttpRequest(url=f"http://dead{n}.test/"), deadline=soon()))
        for n in range(Lane.NEW.value)
    ]
    await asyncio.sleep(0)
    async with serve(respond()) as server:
        await exchange(client, HttpRequest(url=f"http://127.0.0.1:{server.port}/"))
    outcomes = await asyncio.gather(*dead)
    kinds = {outcome.kind for outcome in outcomes if isinstance(outcome, HttpFailure)}
    # On a busy host the threads begin late, which is not a failure of the names.
    assert kinds <= {FailureKind.TIMEOUT_RESOLVE, FailureKind.PROBER_EXHAUSTED}
    names.released.set()
    await client.close()


@pytest.mark.parametrize(
    ("host", "version"),
    [
        ("127.0.0.1", 4),
        ("::1", 6),
        ("fe80::1%eth0", 6),
        ("2001:db8::1", 6),
        ("example.org", None),
        ("127.1", None),
        ("1.2.3.4.5", None),
        ("1.2.3.4%eth0", None),
        ("", None),
        ("a\0b", None),
    ],
)
def test_literal_addresses_are_recognized(host: str, version: int | None) -> None:
    assert literal_address(host) == version
