"""Calls that block: one for each key, limited in number, and without delaying the caller."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from monitord.net.base.blocking import BlockingCalls, CallTimeoutError, TooManyCallsError


@contextmanager
def gate() -> Iterator[threading.Event]:
    """An event that ends the calls which wait for it, at the latest with the test."""
    event = threading.Event()
    try:
        yield event
    finally:
        event.set()


async def test_result_and_exception_are_those_of_the_call() -> None:
    calls = BlockingCalls()
    assert await calls.run("a", lambda: 5, timeout_s=60) == 5

    def fail() -> None:
        raise FileNotFoundError("x")

    with pytest.raises(FileNotFoundError):
        await calls.run("a", fail, timeout_s=60)


async def test_call_that_hangs_times_out_and_keeps_its_key() -> None:
    calls = BlockingCalls()
    with gate() as opened:
        with pytest.raises(CallTimeoutError):
            await calls.run("nfs", opened.wait, timeout_s=0)
        began: list[str] = []
        for _ in range(5):
            with pytest.raises(CallTimeoutError):
                await calls.run("nfs", lambda: began.append("second"), timeout_s=0)
        assert began == []
        assert await calls.run("other", lambda: "ok", timeout_s=60) == "ok"
        opened.set()
        assert await calls.run("nfs", lambda: "again", timeout_s=60) == "again"


async def test_caller_waits_for_the_running_call_of_its_key() -> None:
    calls = BlockingCalls()
    with gate() as opened:
        first = asyncio.ensure_future(calls.run("a", lambda: "first" if opened.wait() else "", timeout_s=60))
        second = asyncio.ensure_future(calls.run("a", lambda: "second", timeout_s=60))
        await asyncio.sleep(0)
        assert not second.done()
        opened.set()
        assert list(await asyncio.gather(first, second)) == ["first", "second"]


async def test_number_of_calls_is_limited() -> None:
    calls = BlockingCalls(max_calls=2)
    with gate() as opened:
        for key in ("a", "b"):
            with pytest.raises(CallTimeoutError):
                await calls.run(key, opened.wait, timeout_s=0)
        with pytest.raises(TooManyCallsError):
            await calls.run("c", lambda: None, timeout_s=60)
        opened.set()
        for key in ("a", "b", "c"):
            assert await calls.run(key, lambda: 1, timeout_s=60) == 1


async def test_cancelled_caller_leaves_the_call_running() -> None:
    calls = BlockingCalls()
    with gate() as opened:
        caller = asyncio.ensure_future(calls.run("a", opened.wait, timeout_s=60))
        await asyncio.sleep(0)
        caller.cancel()
        with pytest.raises(asyncio.CancelledError):
            await caller
        opened.set()
        assert await calls.run("a", lambda: 7, timeout_s=60) == 7
