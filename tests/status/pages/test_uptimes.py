"""The uptimes of the overview: read in the background, and never waited for long."""

import asyncio
import logging
from datetime import UTC, datetime
from typing import Any

import pytest

from monitord.status.pages.uptimes import READ_EVERY_S, Uptimes
from tests.fakes import FakeClock, run_in_fake_time
from tests.status.past import FakePast

RATIOS = {"shop": (1.0, 0.997)}
"""What the past of the tests says."""


def past(**how: Any) -> FakePast:
    return FakePast(datetime(2026, 1, 1, tzinfo=UTC), **how)


def test_a_quick_history_is_on_the_first_page() -> None:
    async def main() -> None:
        uptimes = Uptimes(past(), FakeClock())
        await uptimes.refresh(["shop"])
        assert uptimes.known == RATIOS

    run_in_fake_time(main)


def test_a_slow_history_holds_no_page_up_and_is_on_the_next_one() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        uptimes = Uptimes(past(slow_s=2.0), FakeClock())
        began = loop.time()
        await uptimes.refresh(["shop"])
        assert loop.time() - began < 0.1
        assert uptimes.known == {}
        await asyncio.sleep(5)
        await uptimes.refresh(["shop"])
        assert uptimes.known == RATIOS
        await uptimes.close()

    run_in_fake_time(main)


def test_it_is_read_again_when_it_is_old_or_a_monitor_is_new() -> None:
    async def main() -> None:
        told = past()
        uptimes = Uptimes(told, FakeClock())
        for names, reads in ((["shop"], 1), (["shop"], 1), (["shop", "blog"], 2)):
            await uptimes.refresh(names)
            assert len(told.reads) == reads
        await asyncio.sleep(READ_EVERY_S + 1)
        await uptimes.refresh(["shop", "blog"])
        assert len(told.reads) == 3

    run_in_fake_time(main)


def test_a_history_that_is_off_is_not_asked() -> None:
    async def main() -> None:
        uptimes = Uptimes(past(is_kept=False), FakeClock())
        await uptimes.refresh(["shop"])
        assert uptimes.known == {}
        await uptimes.close()

    run_in_fake_time(main)


def test_what_cannot_be_read_leaves_what_was_known(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        told = past()
        uptimes = Uptimes(told, FakeClock())
        await uptimes.refresh(["shop"])
        told.is_broken = True
        await asyncio.sleep(READ_EVERY_S + 1)
        with caplog.at_level(logging.WARNING):
            await uptimes.refresh(["shop"])
        assert uptimes.known == RATIOS
        assert "disk I/O error" in caplog.text

    run_in_fake_time(main)


def test_closing_ends_a_read_that_goes_on() -> None:
    async def main() -> None:
        uptimes = Uptimes(past(slow_s=1000.0), FakeClock())
        await uptimes.refresh(["shop"])
        await uptimes.close()
        assert len(asyncio.all_tasks()) == 1

    run_in_fake_time(main)
