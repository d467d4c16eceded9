"""Rounds of pings over a socket that answers by a script: what is sent, counted and waited for."""

import asyncio
import errno
import os
import time
from collections.abc import AsyncIterator

import pytest

from monitord.net import FailureKind, Resolver
from monitord.net.ping import OpenEchoSocket, PingAnswers, Pinger, PingFailure, PingOutcome
from tests.fakes import resolver_without_queue
from tests.net.conftest import addresses_of_tests, in_time, soon
from tests.pings import Answer, ScriptedSocket


@pytest.fixture
async def resolver() -> AsyncIterator[Resolver]:
    resolver = resolver_without_queue(addresses_of_tests)
    yield resolver
    await resolver.close()


async def ping(
    resolver: Resolver,
    open_socket: OpenEchoSocket,
    *,
    host: str = "127.0.0.1",
    count: int = 3,
    interval_s: float = 0.0,
    payload_bytes: int = 56,
    deadline: float | None = None,
) -> PingOutcome:
    return await Pinger(resolver, open_socket).ping(
        host,
        count=count,
        interval_s=interval_s,
        payload_bytes=payload_bytes,
        deadline=deadline or in_time(),
    )


async def answers(resolver: Resolver, answer: Answer, *, deadline: float | None = None) -> PingAnswers:
    outcome = await ping(resolver, lambda _: ScriptedSocket(answer), deadline=deadline)
    assert isinstance(outcome, PingAnswers), outcome
    return outcome


async def test_deadline_before_the_first_request_is_a_failure(resolver: Resolver) -> None:
    """The name resolution has used all of the time."""
    socket = ScriptedSocket()
    outcome = await ping(resolver, lambda _: socket, deadline=time.monotonic() - 1)
    assert isinstance(outcome, PingFailure)
    assert outcome.kind is FailureKind.TIMEOUT_RESOLVE
    assert socket.is_closed


async def test_each_request_has_its_number_and_the_same_payload(resolver: Resolver) -> None:
    socket = ScriptedSocket()
    outcome = await ping(resolver, lambda _: socket, count=4, payload_bytes=100)
    assert isinstance(outcome, PingAnswers)
    assert [number for number, _ in socket.sent] == [1, 2, 3, 4]
    (payload,) = {payload for _, payload in socket.sent}
    assert len(payload) == 100
    assert (outcome.sent, len(outcome.rtts_s), outcome.loss_percent, outcome.error) == (4, 4, 0.0, None)
    assert all(0 <= rtt_s <= outcome.duration_s for rtt_s in outcome.rtts_s)
    assert socket.is_closed


async def test_requests_are_sent_at_intervals(resolver: Resolver) -> None:
    sent_at: list[float] = []

    def note(number: int) -> list[int]:
        sent_at.append(time.monotonic())
        return [number]

    await ping(resolver, lambda _: ScriptedSocket(note), interval_s=0.02)
    assert sent_at[2] - sent_at[0] >= 0.04


async def test_socket_is_opened_for_the_resolved_address(resolver: Resolver) -> None:
    opened: list[str] = []

    def note(address: str) -> ScriptedSocket:
        opened.append(address)
        return ScriptedSocket()

    outcome = await ping(resolver, note, host="one.test")
    assert isinstance(outcome, PingAnswers)
    assert (opened, outcome.address) == (["127.0.0.1"], "127.0.0.1")
    assert outcome.resolve_s > 0


async def test_unanswered_requests_are_lost_at_the_deadline(resolver: Resolver) -> None:
    outcome = await answers(resolver, lambda number: [number] if number != 2 else [], deadline=soon())
    assert (outcome.sent, len(outcome.rtts_s)) == (3, 2)
    assert outcome.loss_percent == pytest.approx(100 / 3)


async def test_ping_ends_with_the_last_reply(resolver: Resolver) -> None:
    outcome = await answers(resolver, lambda number: [] if number < 3 else [3, 2, 1])
    assert len(outcome.rtts_s) == 3


@pytest.mark.parametrize(
    "strange",
    [
        pytest.param([1, 1, 1], id="twice"),
        pytest.param([1, 77], id="never sent"),
        pytest.param([None, 1], id="no answer at all"),
    ],
)
async def test_duplicate_replies_are_ignored(resolver: Resolver, strange: list[int | None]) -> None:
    outcome = await answers(resolver, lambda number: strange if number == 1 else [], deadline=soon())
    assert (outcome.sent, len(outcome.rtts_s)) == (3, 1)


async def test_undelivered_request_is_not_waited_for(resolver: Resolver) -> None:
    outcome = await answers(resolver, lambda _: [OSError(errno.EHOSTUNREACH, "")])
    assert (outcome.sent, outcome.rtts_s, outcome.error) == (3, (), "no route to host")


async def test_request_that_cannot_be_sent_is_lost(resolver: Resolver) -> None:
    def fail(number: int) -> list[int]:
        if number == 2:
            raise OSError(errno.ENETUNREACH, "")
        return [number]

    outcome = await answers(resolver, fail)
    assert (outcome.sent, len(outcome.rtts_s), outcome.error) == (3, 2, "network is unreachable")


async def test_lack_of_memory_for_packets_is_a_probe_error(resolver: Resolver) -> None:
    def fail(_: int) -> list[int]:
        raise OSError(errno.ENOBUFS, "")

    socket = ScriptedSocket(fail)
    outcome = await ping(resolver, lambda _: socket)
    assert isinstance(outcome, PingFailure)
    assert outcome.kind is FailureKind.PROBER_EXHAUSTED
    assert socket.is_closed


@pytest.mark.parametrize(
    ("number", "kind", "detail"),
    [
        (
            errno.EACCES,
            FailureKind.PROBER_FORBIDDEN,
            f"ping sockets are not permitted for group {os.getegid()}; "
            'write "net.ipv4.ping_group_range = 0 2147483647" to /etc/sysctl.d/ping.conf, and run: sysctl --system',
        ),
        (errno.EMFILE, FailureKind.PROBER_EXHAUSTED, "127.0.0.1: Too many open files"),
        (
            errno.EAFNOSUPPORT,
            FailureKind.HOST_UNREACHABLE,
            "127.0.0.1: Address family not supported by protocol",
        ),
    ],
)
async def test_socket_that_cannot_be_opened_is_a_failure(
    resolver: Resolver, number: int, kind: FailureKind, detail: str
) -> None:
    def fail(address: str) -> ScriptedSocket:
        raise OSError(number, os.strerror(number))

    outcome = await ping(resolver, fail)
    assert isinstance(outcome, PingFailure)
    assert (outcome.kind, outcome.detail, outcome.address) == (kind, detail, "127.0.0.1")


async def test_unresolvable_name_fails_without_a_socket(resolver: Resolver) -> None:
    outcome = await ping(resolver, lambda _: ScriptedSocket(), host="nowhere.test")
    assert isinstance(outcome, PingFailure)
    assert (outcome.kind, outcome.detail) == (
        FailureKind.RESOLVE_FAILED,
        "name resolution of nowhere.test: no such name",
    )
    assert outcome.address is None


async def test_slow_name_resolution_is_a_resolve_timeout() -> None:
    freed = asyncio.Event()
    loop = asyncio.get_running_loop()

    def hang(name: str, family: int) -> list[str]:
        asyncio.run_coroutine_threadsafe(freed.wait(), loop).result(10)
        return ["127.0.0.1"]

    resolver = Resolver(hang, monotonic=lambda: 0.0)
    outcome = await ping(resolver, lambda _: ScriptedSocket(), host="slow.test", deadline=soon())
    freed.set()
    assert isinstance(outcome, PingFailure)
    assert (outcome.kind, outcome.detail) == (
        FailureKind.TIMEOUT_RESOLVE,
        "name resolution of slow.test: no response within the timeout",
    )
    await resolver.close()


async def test_cancellation_closes_the_ping_socket(resolver: Resolver) -> None:
    sent = asyncio.Event()

    def note(_: int) -> list[int]:
        sent.set()
        return []

    socket = ScriptedSocket(note)
    pinging = asyncio.create_task(ping(resolver, lambda _: socket, count=1))
    await sent.wait()
    pinging.cancel()
    with pytest.raises(asyncio.CancelledError):
        await pinging
    assert socket.is_closed
