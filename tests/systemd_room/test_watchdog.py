import asyncio
import logging
from pathlib import Path

import pytest

from monitord.systemd.log import NOTICE
from monitord.systemd.notify import SdNotify
from monitord.systemd.watchdog import Watchdog
from tests.systemd_room.fakes import FakeManager


class Pulse:
    """A part of a program that gets on, or says why not."""

    def __init__(self) -> None:
        self.standstill: str | None = None

    def __call__(self) -> str | None:
        return self.standstill


@pytest.fixture
def address(tmp_path: Path) -> str:
    return str(tmp_path / "notify")


async def test_it_pings_while_every_pulse_moves(address: str) -> None:
    with FakeManager(address) as manager:
        watchdog = asyncio.create_task(Watchdog(SdNotify(address), 0.03, {"loop": Pulse()}).run())
        async with asyncio.timeout(10):
            pings = [await manager.next_datagram() for _ in range(3)]
        watchdog.cancel()
        await asyncio.wait([watchdog])
    assert pings == [b"WATCHDOG=1"] * 3
    assert watchdog.cancelled()


def test_it_pings_twice_in_an_interval_at_least() -> None:
    assert Watchdog(SdNotify(None), 30.0, {}).every_s <= 15.0


def test_one_pulse_that_stands_still_stops_the_pings(address: str) -> None:
    steady, stuck = Pulse(), Pulse()
    with FakeManager(address) as manager:
        watchdog = Watchdog(SdNotify(address), 30.0, {"loop": steady, "dispatcher": stuck})
        assert watchdog.check()
        stuck.standstill = "no check began for 40 s"
        assert not watchdog.check()
        assert not watchdog.check()
        stuck.standstill = None
        assert watchdog.check()
        assert manager.notifications() == ["WATCHDOG=1", "WATCHDOG=1"]


def test_a_standstill_is_logged_once_and_so_is_its_end(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    stuck = Pulse()
    watchdog = Watchdog(
        SdNotify(None),
        30.0,
        {"dispatcher": stuck},
        lost_message_id="1" * 32,
        moves_again_message_id="2" * 32,
    )
    stuck.standstill = "no check began for 40 s"
    for _ in range(3):
        watchdog.check()
    stuck.standstill = None
    for _ in range(3):
        watchdog.check()
    lost, back = caplog.records
    assert lost.levelno == logging.ERROR
    assert lost.getMessage() == (
        "dispatcher stands still: no check began for 40 s; no watchdog pings until it moves"
    )
    assert vars(lost)["message_id"] == "1" * 32
    assert vars(lost)["fields"] == {
        "WATCHDOG_COMPONENT": "dispatcher",
        "WATCHDOG_STALL": "no check began for 40 s",
    }
    assert back.levelno == NOTICE
    assert back.getMessage() == "dispatcher moves again"
    assert vars(back)["message_id"] == "2" * 32


def test_a_second_pulse_that_stops_is_named_too(caplog: pytest.LogCaptureFixture) -> None:
    first, second = Pulse(), Pulse()
    watchdog = Watchdog(SdNotify(None), None, {"dispatcher": first, "history": second})
    first.standstill = "stuck"
    watchdog.check()
    second.standstill = "full"
    assert not watchdog.check()
    first.standstill = None
    assert not watchdog.check()
    errors = [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]
    assert [error.split(";")[0] for error in errors] == [
        "dispatcher stands still: stuck",
        "history stands still: full",
    ]


def test_without_a_watchdog_of_the_manager_nobody_is_pinged(address: str) -> None:
    with FakeManager(address) as manager:
        assert Watchdog(SdNotify(address), None, {"loop": Pulse()}).check()
        assert manager.notifications() == []
