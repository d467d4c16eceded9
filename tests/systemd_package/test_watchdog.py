import asyncio
import logging
from pathlib import Path

import pytest

from monitord.systemd.log import NOTICE
from monitord.systemd.notify import SdNotify
from monitord.systemd.watchdog import Watchdog
from tests.systemd_package.fakes import FakeManager


class Component:
    """A component that makes progress or describes its stall."""

    def __init__(self) -> None:
        self.stall: str | None = None

    def __call__(self) -> str | None:
        return self.stall


@pytest.fixture
def address(tmp_path: Path) -> str:
    return str(tmp_path / "notify")


async def test_pings_while_every_component_makes_progress(address: str) -> None:
    with FakeManager(address) as manager:
        watchdog = asyncio.create_task(Watchdog(SdNotify(address), 0.03, {"loop": Component()}).run())
        async with asyncio.timeout(10):
            pings = [await manager.next_datagram() for _ in range(3)]
        watchdog.cancel()
        await asyncio.wait([watchdog])
    assert pings == [b"WATCHDOG=1"] * 3
    assert watchdog.cancelled()


def test_pings_at_least_twice_in_an_interval() -> None:
    assert Watchdog(SdNotify(None), 30.0, {}).every_s <= 15.0


def test_one_stalled_component_stops_the_pings(address: str) -> None:
    steady, stuck = Component(), Component()
    with FakeManager(address) as manager:
        watchdog = Watchdog(SdNotify(address), 30.0, {"loop": steady, "dispatcher": stuck})
        assert watchdog.check()
        stuck.stall = "no check began for 40 s"
        assert not watchdog.check()
        assert not watchdog.check()
        stuck.stall = None
        assert watchdog.check()
        assert manager.notifications() == ["WATCHDOG=1", "WATCHDOG=1"]


def test_beginning_and_end_of_a_stall_are_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    stuck = Component()
    watchdog = Watchdog(
        SdNotify(None),
        30.0,
        {"dispatcher": stuck},
        lost_message_id="1" * 32,
        resumed_message_id="2" * 32,
    )
    stuck.stall = "no check began for 40 s"
    for _ in range(3):
        watchdog.check()
    stuck.stall = None
    for _ in range(3):
        watchdog.check()
    lost, back = caplog.records
    assert lost.levelno == logging.ERROR
    assert lost.getMessage() == (
        "dispatcher is stalled: no check began for 40 s; no watchdog pings until it resumes"
    )
    assert vars(lost)["message_id"] == "1" * 32
    assert vars(lost)["fields"] == {
        "WATCHDOG_COMPONENT": "dispatcher",
        "WATCHDOG_STALL": "no check began for 40 s",
    }
    assert back.levelno == NOTICE
    assert back.getMessage() == "dispatcher has resumed"
    assert vars(back)["message_id"] == "2" * 32


def test_second_stalled_component_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    first, second = Component(), Component()
    watchdog = Watchdog(SdNotify(None), None, {"dispatcher": first, "history": second})
    first.stall = "stuck"
    watchdog.check()
    second.stall = "full"
    assert not watchdog.check()
    first.stall = None
    assert not watchdog.check()
    errors = [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]
    assert [error.split(";")[0] for error in errors] == [
        "dispatcher is stalled: stuck",
        "history is stalled: full",
    ]


def test_without_a_watchdog_no_ping_is_sent(address: str) -> None:
    with FakeManager(address) as manager:
        assert Watchdog(SdNotify(address), None, {"loop": Component()}).check()
        assert manager.notifications() == []
