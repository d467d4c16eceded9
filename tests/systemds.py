"""Shared by the tests of the types `unit` and `timer`: a bus with a fake systemd, and monitors read from a file."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from monitord.clock import Clock, SystemClock
from monitord.conditions import parse_condition
from monitord.config import read_document
from monitord.monitors import Monitor, MonitorSettings, monitor_type
from monitord.net.dbus.units import Units
from tests.buses import Daemon, FakeSystemd, until
from tests.fakes import FakeClock, fake_tools, monitor_settings


class MovedClock(SystemClock):
    """A clock that a test can advance."""

    def __init__(self) -> None:
        self.ahead_s = 0.0

    def monotonic_s(self) -> float:
        return super().monotonic_s() + self.ahead_s

    def now(self) -> datetime:
        return super().now() + timedelta(seconds=self.ahead_s)


class StoppedClock(SystemClock):
    """A clock with a constant time of day."""

    def __init__(self, now: datetime) -> None:
        self._now = now

    def now(self) -> datetime:
        return self._now


class Bench:
    """One host: its `systemd`, and the client `units` of monitors."""

    def __init__(self, folder: Path, daemon: Daemon, systemd: FakeSystemd, units: Units) -> None:
        self._folder = folder
        self.daemon = daemon
        self.systemd = systemd
        self.units = units

    def monitor(
        self, keys: str, *up_when: str, clock: Clock | None = None, timeout_s: float = 20.0
    ) -> Monitor[Any]:
        """Construct the monitor [monitors.one] with these conditions. It is neither started nor checked."""
        settings = self.settings(keys, *up_when, timeout_s=timeout_s)
        kind = monitor_type(settings.type_name)
        assert kind is not None
        tools = replace(fake_tools(FakeClock()), clock=clock or SystemClock(), units=self.units)
        return kind(settings, tools)

    def settings(self, keys: str, *up_when: str, timeout_s: float = 20.0) -> MonitorSettings:
        config = self._folder / "monitord.toml"
        config.write_text(f"[monitors.one]\n{keys}\n")
        document = read_document(config)
        table = document.root.named("monitors")["one"]
        type_name = table.text("type")
        kind = monitor_type(type_name)
        assert kind is not None
        options = kind.read_options(table)
        document.check()
        settings = monitor_settings("one", type_name=type_name, options=options, timeout_s=timeout_s)
        return replace(settings, up_when=tuple(parse_condition(text, kind.vocabulary) for text in up_when))


class Started:
    """A started monitor: counts how often it asked to be checked."""

    def __init__(self, monitor: Monitor[Any]) -> None:
        self.monitor = monitor
        self.woken = 0
        self._noted = 0
        monitor.start(self._wake)

    def _wake(self) -> None:
        self.woken += 1

    async def wait_for_change(self) -> None:
        """Wait until it has asked to be checked since the last call."""
        await until(lambda: self.woken > self._noted)
        self._noted = self.woken


@asynccontextmanager
async def a_host(folder: Path) -> AsyncIterator[Bench]:
    daemon = Daemon(folder)
    systemd, units = FakeSystemd(daemon.address), Units(daemon.address)
    try:
        await systemd.start()
        yield Bench(folder, daemon, systemd, units)
    finally:
        await units.close()
        await systemd.stop()
        daemon.stop()
