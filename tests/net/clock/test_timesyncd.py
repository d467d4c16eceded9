"""The properties of systemd-timesyncd."""

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from monitord.net.clock import timesyncd
from monitord.net.clock.status import ClockError, ClockStatus
from tests.buses import Daemon
from tests.hosts import ntp_message

ARRIVED_US = 1_796_000_000_000_000


def test_message_of_a_synchronized_clock_is_parsed() -> None:
    message = ntp_message(arrived_us=ARRIVED_US, offset_us=2500)
    assert timesyncd.parse(message, "0.debian.pool.ntp.org") == ClockStatus(
        "timesyncd",
        is_synchronized=True,
        offset_s=0.0025,
        is_corrected=True,
        measured_at=datetime.fromtimestamp(ARRIVED_US / 1e6, UTC),
        server="0.debian.pool.ntp.org",
        stratum=2,
    )


def test_offset_of_an_ignored_message_is_not_corrected() -> None:
    assert not timesyncd.parse(ntp_message(is_ignored=True), "").is_corrected


@pytest.mark.parametrize(
    "message", [ntp_message(arrived_us=0), ntp_message(leap=3)], ids=["no message yet", "server without time"]
)
def test_message_of_a_clock_that_is_not_synchronized_is_parsed(message: list[Any]) -> None:
    status = timesyncd.parse(message, "")
    assert not status.is_synchronized
    assert (status.offset_s, status.server, status.stratum) == (None, "", None)


@pytest.mark.parametrize("message", [None, [], "text", [0] * 14, ["0"] * 15])
def test_unknown_message_is_an_error(message: object) -> None:
    with pytest.raises(ClockError):
        timesyncd.parse(message, "")


async def test_stopped_service_is_not_running(tmp_path: Path) -> None:
    bus = Daemon(tmp_path)
    try:
        with pytest.raises(ClockError, match="systemd-timesyncd is not running"):
            await timesyncd.query(bus.address, deadline=time.monotonic() + 60)
    finally:
        bus.stop()
