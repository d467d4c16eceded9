"""Common parts of the types `unit` and `timer`, as far as their own tests do not cover them."""

import asyncio
from collections.abc import Callable

import pytest

from monitord.monitors.check_requester import WAKE_EVERY_S, CheckRequester
from monitord.monitors.systemd.common import ending
from monitord.net.dbus.unit_state import UnitState
from tests.fakes import run_in_fake_time


def test_check_is_requested_at_once_and_at_most_once_a_second() -> None:
    async def main() -> list[float]:
        loop = asyncio.get_running_loop()
        began_s, woken = loop.time(), []
        requester = CheckRequester(lambda: woken.append(round(loop.time() - began_s, 3)))
        for _ in range(30):
            requester.request()
            await asyncio.sleep(0.1)
        await asyncio.sleep(5)
        requester.request()
        await asyncio.sleep(1)
        return woken

    assert run_in_fake_time(main) == [0.0, 1.0, 2.0, 3.0, 8.0]


def test_earliest_planned_time_applies_until_close() -> None:
    async def main() -> list[float]:
        loop = asyncio.get_running_loop()
        began_s, woken = loop.time(), []
        requester = CheckRequester(lambda: woken.append(round(loop.time() - began_s, 3)))
        for after_s in (50.0, 20.0, 30.0):
            requester.request(after_s=after_s)
        await asyncio.sleep(100)
        requester.request(after_s=1.0)
        requester.close()
        requester.close()
        await asyncio.sleep(100)
        return woken

    assert run_in_fake_time(main) == [20.0]


@pytest.fixture(scope="module")
def uvloop_loop() -> Callable[[], asyncio.AbstractEventLoop]:
    """Makes loops of the kind that the daemon uses where it can. The first loop opens descriptors that uvloop keeps."""
    uvloop = pytest.importorskip("uvloop", reason="python3-uvloop is not installed")
    make: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=make) as runner:
        runner.run(asyncio.sleep(0))
    return make


def test_handles_of_uvloop_are_supported(uvloop_loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
    async def main() -> None:
        woken = asyncio.Event()
        requester = CheckRequester(woken.set)
        requester.request(after_s=WAKE_EVERY_S * 1000)
        requester.request()
        requester.request()
        await woken.wait()
        requester.close()

    with asyncio.Runner(loop_factory=uvloop_loop) as runner:
        runner.run(main())


@pytest.mark.parametrize(
    ("state", "said"),
    [
        (UnitState("a", result="exit-code", exit_code="exited", exit_status=3), "exit-code, status 3"),
        (UnitState("a", result="signal", exit_code="killed", exit_status=9), "signal, signal 9"),
        (UnitState("a", result="timeout"), "timeout"),
        (UnitState("a"), ""),
    ],
)
def test_end_of_a_unit_is_worded_as_by_systemctl(state: UnitState, said: str) -> None:
    assert ending(state) == said
