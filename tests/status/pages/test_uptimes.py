"""The uptimes of the overview: read in the background, and never waited for long."""

import asyncio
import logging
from datetime import UTC, datetime
from typing import Any

import pytest

from monitord.dispatch import CheckCycle, MonitorEntry, Registry
from monitord.dispatch.schedule import Grid
from monitord.status import ReadModel
from monitord.status.pages.uptimes import READ_EVERY_S, Uptimes
from tests.fakes import FakeClock, FakeMonitor, fake_tools, monitor_settings, run_in_fake_time
from tests.status.past import FakePast

RATIOS = {"shop": (1.0, 0.997)}
"""What the past of the tests says."""


def past(**how: Any) -> FakePast:
    return FakePast(datetime(2026, 1, 1, tzinfo=UTC), **how)


def model_of(*names: str) -> ReadModel:
    registry = Registry()
    for name in names:
        monitor = FakeMonitor(monitor_settings(name), fake_tools(FakeClock()))
        registry.add(MonitorEntry(monitor, CheckCycle(Grid(10.0, 0.0), 0.0)))
    model = ReadModel(registry, FakeClock())
    model.refresh()
    return model


def known(model: ReadModel) -> dict[str, tuple[float | None, float | None] | None]:
    return {name: record.uptimes for name, record in model.monitors.items()}


def test_uptimes_of_a_quick_history_are_on_the_first_page() -> None:
    async def main() -> None:
        model = model_of("shop")
        await Uptimes(past(), model).refresh()
        assert known(model) == RATIOS
        assert (model.revision, model.monitors["shop"].revision) == (2, 2)

    run_in_fake_time(main)


def test_slow_history_does_not_delay_a_page_and_is_shown_on_the_next() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        model = model_of("shop")
        uptimes = Uptimes(past(slow_s=2.0), model)
        began = loop.time()
        await uptimes.refresh()
        assert loop.time() - began < 0.1
        assert known(model) == {"shop": None}
        await asyncio.sleep(5)
        await uptimes.refresh()
        assert known(model) == RATIOS
        await uptimes.close()

    run_in_fake_time(main)


def test_uptimes_are_read_again_if_outdated_or_if_a_monitor_is_new() -> None:
    async def main() -> None:
        recorded = past()
        model = model_of("shop")
        uptimes = Uptimes(recorded, model)
        for reads in (1, 1):
            await uptimes.refresh()
            assert len(recorded.reads) == reads
        model.registry.add(model_of("blog").registry.entries["blog"])
        model.refresh()
        await uptimes.refresh()
        assert len(recorded.reads) == 2
        await asyncio.sleep(READ_EVERY_S + 1)
        await uptimes.refresh()
        assert len(recorded.reads) == 3

    run_in_fake_time(main)


def test_disabled_history_is_not_queried() -> None:
    async def main() -> None:
        model = model_of("shop")
        uptimes = Uptimes(past(is_active=False), model)
        await uptimes.refresh()
        assert known(model) == {"shop": None}
        await uptimes.close()

    run_in_fake_time(main)


def test_unreadable_history_keeps_the_previous_values(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        recorded = past()
        model = model_of("shop")
        uptimes = Uptimes(recorded, model)
        await uptimes.refresh()
        recorded.is_broken = True
        await asyncio.sleep(READ_EVERY_S + 1)
        with caplog.at_level(logging.WARNING):
            await uptimes.refresh()
        assert known(model) == RATIOS
        assert "disk I/O error" in caplog.text

    run_in_fake_time(main)


def test_close_ends_a_running_read() -> None:
    async def main() -> None:
        uptimes = Uptimes(past(slow_s=1000.0), model_of("shop"))
        await uptimes.refresh()
        await uptimes.close()
        assert len(asyncio.all_tasks()) == 1

    run_in_fake_time(main)
