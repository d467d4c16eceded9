"""The event loop in virtual time, and its clock."""

import asyncio
from datetime import timedelta

import pytest

from monitord.replay.virtual_time import RESOLUTION_S, VirtualClock, VirtualTimeLoop
from tests.fakes import FakeClock

YEAR_S = 366 * 86_400.0


@pytest.fixture
def loop() -> VirtualTimeLoop:
    return VirtualTimeLoop()


@pytest.mark.parametrize("seconds", [0.001, 1 / 3, 3600.1, YEAR_S + 1 / 3])
def test_sleep_takes_only_virtual_time(loop: VirtualTimeLoop, seconds: float) -> None:
    loop.run_until_complete(asyncio.sleep(seconds))
    assert loop.time() == pytest.approx(seconds, abs=2 * RESOLUTION_S)
    loop.close()


def test_timers_run_in_their_order_far_from_the_start(loop: VirtualTimeLoop) -> None:
    """The sum of floats can be below the time of a timer, which would then never be due."""
    order: list[int] = []

    async def sleep(number: int) -> None:
        await asyncio.sleep(YEAR_S + number / 7)
        order.append(number)

    async def run() -> None:
        await asyncio.gather(*map(sleep, (5, 3, 9, 1)))

    loop.run_until_complete(run())
    assert order == [1, 3, 5, 9]
    loop.close()


def test_wait_without_a_timer_is_an_error(loop: VirtualTimeLoop) -> None:
    with pytest.raises(RuntimeError, match="the loop would wait forever"):
        loop.run_until_complete(loop.create_future())
    loop.close()


def test_clock_follows_the_loop(loop: VirtualTimeLoop) -> None:
    clock = VirtualClock(loop, FakeClock.START)
    loop.run_until_complete(asyncio.sleep(90))
    assert clock.monotonic_s() == loop.time()
    assert timedelta(seconds=90) <= clock.now() - FakeClock.START <= timedelta(seconds=90.001)
    assert clock.suspended_s() == 0.0
    loop.close()
