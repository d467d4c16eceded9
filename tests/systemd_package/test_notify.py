import time
import uuid
from pathlib import Path

import pytest

from monitord.systemd.notify import MAX_STATUS_CHARACTERS, SdNotify
from tests.systemd_package.fakes import FakeManager


@pytest.fixture
def address(tmp_path: Path) -> str:
    return str(tmp_path / "notify")


def test_start_and_stop_send_notifications(address: str) -> None:
    with FakeManager(address) as manager:
        notifier = SdNotify(address)
        notifier.ready("3 monitors")
        notifier.status("3 monitors: 2 up, 1 down")
        notifier.ping_watchdog()
        notifier.stopping()
        assert manager.notifications() == [
            "READY=1\nSTATUS=3 monitors",
            "STATUS=3 monitors: 2 up, 1 down",
            "WATCHDOG=1",
            "STOPPING=1",
        ]


def test_reload_notification_has_the_monotonic_time(address: str) -> None:
    with FakeManager(address) as manager:
        before = time.monotonic_ns() // 1000
        SdNotify(address).reloading("reads its configuration")
        after = time.monotonic_ns() // 1000
        reloading, moment, status = manager.notifications()[0].split("\n")
    assert (reloading, status) == ("RELOADING=1", "STATUS=reads its configuration")
    assert before <= int(moment.removeprefix("MONOTONIC_USEC=")) <= after


def test_abstract_address_begins_with_an_at_sign() -> None:
    name = f"monitord-test-{uuid.uuid4()}"
    with FakeManager(f"\0{name}") as manager:
        SdNotify(f"@{name}").ready()
        assert manager.notifications() == ["READY=1"]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        pytest.param("bad\nREADY=1\nFDSTORE=1", "bad READY=1 FDSTORE=1", id="newlines"),
        pytest.param(" a\tb\x00c\u2028d ", "a b c d", id="control characters"),
        pytest.param("", "", id="empty"),
        pytest.param("ünder \udc80", "ünder ?", id="not encodable"),
    ],
)
def test_status_cannot_inject_another_notification(address: str, text: str, line: str) -> None:
    with FakeManager(address) as manager:
        SdNotify(address).status(text)
        assert manager.notifications() == [f"STATUS={line}"]


def test_long_status_is_truncated(address: str) -> None:
    with FakeManager(address) as manager:
        SdNotify(address).status("x" * 10_000)
        assert manager.notifications() == ["STATUS=" + "x" * (MAX_STATUS_CHARACTERS - 1) + "…"]


def test_without_a_service_manager_nothing_is_sent() -> None:
    notifier = SdNotify(None)
    notifier.ready("3 monitors")
    notifier.status("fine")
    assert not notifier.has_manager


def test_missing_service_manager_is_ignored(address: str) -> None:
    notifier = SdNotify(address)
    notifier.ready()
    notifier.status("fine")
    assert notifier.has_manager


def test_returning_service_manager_receives_pending_state_but_no_old_status(address: str) -> None:
    notifier = SdNotify(address)
    notifier.ready()
    notifier.status("old")
    notifier.ping_watchdog()
    with FakeManager(address) as manager:
        notifier.status("new")
        assert manager.notifications() == ["READY=1", "STATUS=new"]
        notifier.ping_watchdog()
        assert manager.notifications() == ["WATCHDOG=1"]


def test_full_queue_of_the_service_manager_does_not_block(address: str) -> None:
    with FakeManager(address) as manager:
        notifier = SdNotify(address)
        while not manager.is_full():
            notifier.ping_watchdog()
        notifier.stopping("the last word")
        notifier.status("lost")
        manager.datagrams()
        notifier.ping_watchdog()
        assert manager.notifications() == ["STOPPING=1\nSTATUS=the last word", "WATCHDOG=1"]
