"""A deadline that fires late is extended by the lost time; a deadline that fires in time is an ordinary timeout."""

import asyncio
from collections.abc import Callable

import pytest

from monitord.net.base.deadline import LONGEST_EXTENSION_S, Deadline
from tests.fakes import run_in_fake_time, stall


def after_some_turns(turns: int, act: Callable[[], object]) -> None:
    """Call it after some iterations of the loop, as the data of a socket is read after timers that are due."""
    loop = asyncio.get_running_loop()
    loop.call_soon(act if turns == 0 else lambda: after_some_turns(turns - 1, act))


@pytest.mark.parametrize("stalled_s", [0.0, 0.3, 0.61, 1.3, 60.0])
def test_response_received_during_a_stall_is_in_time(stalled_s: float) -> None:
    async def main() -> None:
        loop, answer = asyncio.get_running_loop(), asyncio.Event()
        loop.call_later(0.3, stall, stalled_s)
        loop.call_later(0.3, lambda: after_some_turns(5, answer.set))
        async with Deadline(0.9):
            await answer.wait()

    run_in_fake_time(main)


@pytest.mark.parametrize(
    ("stalled_s", "margin_s", "ends_at_s"),
    [
        pytest.param(0.0, 0.0, 0.9, id="no stall"),
        pytest.param(0.4, 0.0, 0.9, id="a stall within the time"),
        pytest.param(0.604, 0.0, 0.904, id="a usual delay"),
        pytest.param(1.3, 0.0, 1.6 + 0.7, id="extended by what was lost"),
        pytest.param(1.3, 0.25, 1.6 + 0.7 + 0.25, id="with a margin"),
        pytest.param(60.0, 0.0, 60.3 + LONGEST_EXTENSION_S, id="within bounds"),
    ],
)
def test_deadline_without_a_response_expires(stalled_s: float, margin_s: float, ends_at_s: float) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        loop.call_later(0.3, stall, stalled_s)
        deadline = Deadline(0.9, margin_s)
        with pytest.raises(TimeoutError):
            async with deadline:
                await asyncio.Event().wait()
        assert deadline.expired()
        assert loop.time() - began_s == pytest.approx(ends_at_s)

    run_in_fake_time(main)


def test_second_stall_does_not_extend_the_deadline() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        loop.call_later(0.3, stall, 1.0)  # until 1.3: 0.4 s late, extended to 1.7
        loop.call_later(1.5, stall, 1.0)
        with pytest.raises(TimeoutError):
            async with Deadline(0.9):
                await asyncio.Event().wait()
        assert loop.time() - began_s == pytest.approx(2.5)

    run_in_fake_time(main)


def test_cancellation_is_not_a_timeout() -> None:
    async def main() -> None:
        async def wait() -> None:
            async with Deadline(0.9):
                await asyncio.Event().wait()

        task = asyncio.ensure_future(wait())
        await asyncio.sleep(0.1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run_in_fake_time(main)


def test_deadline_in_the_past_expires_at_once() -> None:
    async def main() -> None:
        with pytest.raises(TimeoutError):
            async with Deadline(-1.0):
                await asyncio.Event().wait()

    run_in_fake_time(main)
