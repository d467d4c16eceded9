"""The source of monitors of failed units: a dispatcher, and a fake systemd on a real bus."""

import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from dbus_fast import Message

from monitord.application import ApplicationContainer
from monitord.model import Incident, State
from monitord.monitors import MonitorSettings
from monitord.monitors.services import OnCrash
from monitord.monitors.systemd.common import compile_patterns
from monitord.monitors.systemd.unit import ExpectedState, UnitOptions
from monitord.net.dbus.units import Units
from monitord.settings import AutomaticReader, Settings, read_settings
from monitord.sources import Sources, SourcesSettings
from monitord.sources import units as module
from monitord.sources.recoveries import RECOVERED_AFTER_S
from monitord.sources.units import failed_units
from tests.buses import Daemon, FakeSystemd, service, until
from tests.fakes import monitor_settings
from tests.systemds import MovedClock, a_host
from tests.worlds import World

NGINX, BACKUP = "nginx.service", "backup.service"
DEFAULTS: Mapping[str, object] = {"check_every": "60s", "timeout": "20s", "tags": ["host"]}


def auto(
    *monitors: MonitorSettings,
    ignore: tuple[str, ...] = (),
    defaults: Mapping[str, object] = DEFAULTS,
) -> SourcesSettings:
    """Return the settings of the source together with these configured monitors."""
    units = replace(failed_units(ignore, monitors), query_retry_s=0.05)
    return SourcesSettings((units,), ignore, AutomaticReader(defaults, (), {}))


OFF = SourcesSettings(reader=AutomaticReader(DEFAULTS, (), {}))


class Host:
    """A daemon's parts, as far as they matter here."""

    def __init__(self, daemon: Daemon, systemd: FakeSystemd, units: Units) -> None:
        self.daemon, self.systemd, self.units = daemon, systemd, units
        self.clock = MovedClock()
        self.incidents: list[Incident] = []
        self.kept: dict[str, Mapping[str, Any]] = {}
        self.start()

    def start(self) -> None:
        """Run a daemon that continues from `kept`."""
        self.world = world = World(clock=self.clock, kept=json.loads(json.dumps(self.kept)))
        world.sink.incidents.append(self.incidents.append)
        world.override(ApplicationContainer.units, self.units)
        self.dispatcher = world.dispatcher
        self.sources = Sources(
            world.dispatcher,
            world.source_tools,
            world.build_monitor,
            self.keep,
            world.saved_state.daemon_states,
        )
        world.start()

    def keep(self, key: str, value: Mapping[str, Any] | None) -> None:
        if value is None:
            self.kept.pop(key, None)
        else:
            self.kept[key] = value

    async def stop(self) -> None:
        await self.sources.close()
        await self.sources.close()
        await self.world.close()

    def configure(
        self,
        *monitors: MonitorSettings,
        ignore: tuple[str, ...] = (),
        defaults: Mapping[str, object] = DEFAULTS,
        is_on: bool = True,
    ) -> None:
        """Apply the settings as a start or a reload does."""
        self.dispatcher.apply(self.dispatcher.plan(monitors, self.world.build_monitor))
        self.sources.apply(auto(*monitors, ignore=ignore, defaults=defaults) if is_on else OFF)

    @property
    def made(self) -> set[str]:
        return set(self.dispatcher.entries)

    def state_of(self, unit: str) -> State | None:
        entry = self.dispatcher.entries.get(f"unit:{unit}")
        return None if entry is None else entry.state.effective

    async def fail(self, unit: str) -> None:
        await self.systemd.change(unit, "failed", "failed", Result="exit-code")

    async def recover(self, unit: str) -> None:
        await self.systemd.change(unit, "active", "running", Result="success")


@pytest.fixture
async def host(tmp_path: Path) -> AsyncIterator[Host]:
    async with running(tmp_path) as made:
        yield made


@asynccontextmanager
async def running(folder: Path) -> AsyncIterator[Host]:
    async with a_host(folder) as bench:
        bench.systemd.units |= {NGINX: service(), BACKUP: service()}
        host = Host(bench.daemon, bench.systemd, bench.units)
        yield host
        await host.stop()


def configured(name: str, **options: Any) -> MonitorSettings:
    return monitor_settings(name, type_name="unit", options=UnitOptions(**options), check_every_s=60.0)


async def listening(host: Host) -> None:
    await until(lambda: "ListUnitsFiltered" in host.systemd.calls)
    await until(lambda: host.sources.status()[0].updated_at is not None)


async def test_failed_unit_opens_an_incident_without_configuration(host: Host) -> None:
    host.configure()
    await listening(host)
    assert host.made == set()
    await host.fail(NGINX)
    await until(lambda: host.state_of(NGINX) is State.DOWN)
    entry = host.dispatcher.entries[f"unit:{NGINX}"]
    assert entry.monitor.settings.tags == ("host",)
    assert entry.state.last is not None
    assert entry.state.last.observation.detail.startswith(f"{NGINX} failed (exit-code)")
    assert [incident.monitor for incident in host.incidents] == [f"unit:{NGINX}"]


async def test_unit_that_failed_before_the_start_is_found(host: Host) -> None:
    host.systemd.units[BACKUP].active_state = "failed"
    host.configure()
    await until(lambda: host.state_of(BACKUP) is State.DOWN)
    assert host.made == {f"unit:{BACKUP}"}


async def test_recovered_monitor_is_removed_after_some_time(host: Host) -> None:
    host.configure()
    await listening(host)
    await host.fail(NGINX)
    await until(lambda: host.state_of(NGINX) is State.DOWN)
    await host.recover(NGINX)
    await until(lambda: host.state_of(NGINX) is State.UP)
    assert [incident.closed_at is None for incident in host.incidents] == [True, False]
    host.clock.ahead_s += RECOVERED_AFTER_S - 60
    await host.dispatcher.check_now(f"unit:{NGINX}")
    assert host.made == {f"unit:{NGINX}"}
    host.clock.ahead_s += 61
    await host.dispatcher.check_now(f"unit:{NGINX}")
    await until(lambda: host.made == set())
    await host.fail(NGINX)
    await until(lambda: host.state_of(NGINX) is State.DOWN)


async def test_unit_that_fails_repeatedly_has_one_monitor(host: Host) -> None:
    host.configure()
    await listening(host)
    await host.fail(NGINX)
    await until(lambda: host.state_of(NGINX) is State.DOWN)
    entry = host.dispatcher.entries[f"unit:{NGINX}"]
    await host.recover(NGINX)
    await until(lambda: host.state_of(NGINX) is State.UP)
    host.clock.ahead_s += RECOVERED_AFTER_S - 60
    await host.fail(NGINX)
    await until(lambda: host.state_of(NGINX) is State.DOWN)
    host.clock.ahead_s += 120
    await host.recover(NGINX)
    await until(lambda: host.state_of(NGINX) is State.UP)
    assert host.dispatcher.entries[f"unit:{NGINX}"] is entry


async def test_unit_that_systemd_restarts_has_not_failed(host: Host) -> None:
    host.configure()
    await listening(host)
    await host.systemd.change(NGINX, "failed", "failed-before-auto-restart", Result="exit-code")
    await host.systemd.change(NGINX, "activating", "auto-restart", Result="exit-code")
    await host.fail(BACKUP)
    await until(lambda: host.made)
    assert host.made == {f"unit:{BACKUP}"}


async def test_ignored_and_configured_units_are_not_added(host: Host) -> None:
    host.systemd.units |= {"run-1.scope": service(), "w@1.service": service()}
    for unit in host.systemd.units.values():
        unit.active_state = "failed"
    host.configure(
        configured("web", unit=NGINX),
        configured("workers", patterns=("w@*.service",)),
        ignore=("unit:run-*.scope",),
    )
    await until(lambda: host.state_of(BACKUP) is State.DOWN)
    assert host.made == {"web", "workers", f"unit:{BACKUP}"}


@pytest.mark.parametrize("suffix", ["", "-14ff8c86559e0c0e", "-startup-14ff8c86559e0c0e"])
async def test_failed_probe_of_a_container_is_not_a_failed_unit(host: Host, suffix: str) -> None:
    host.systemd.units[f"{'b1ce31baf89868b6' * 4}{suffix}.service"] = service()
    for unit in host.systemd.units.values():
        unit.active_state = "failed"
    host.configure()
    await until(lambda: host.state_of(BACKUP) is State.DOWN)
    assert host.made == {f"unit:{NGINX}", f"unit:{BACKUP}"}


async def test_reload_keeps_automatic_monitors_except_configured_and_ignored_ones(host: Host) -> None:
    for unit in host.systemd.units.values():
        unit.active_state = "failed"
    host.configure()
    await until(lambda: host.state_of(NGINX) is host.state_of(BACKUP) is State.DOWN)
    entry = host.dispatcher.entries[f"unit:{NGINX}"]
    host.configure()
    assert host.dispatcher.entries[f"unit:{NGINX}"] is entry
    host.configure(ignore=("unit:back*",))
    await until(lambda: host.made == {f"unit:{NGINX}"})
    assert host.dispatcher.entries[f"unit:{NGINX}"] is entry
    host.configure(configured("web", unit=NGINX))
    await until(lambda: host.state_of(BACKUP) is State.DOWN)
    await until(lambda: host.made == {"web", f"unit:{BACKUP}"})
    host.configure(is_on=False)
    await until(lambda: host.made == set())
    opened = {incident.id for incident in host.incidents if incident.closed_at is None}
    assert opened
    await until(
        lambda: opened == {incident.id for incident in host.incidents if incident.closed_at is not None}
    )
    await host.fail(NGINX)
    await host.units.list_failed(deadline=host.clock.monotonic_s() + 20)
    assert host.made == set()


async def test_changed_default_applies_to_automatic_monitors_and_keeps_their_state(host: Host) -> None:
    host.systemd.units[NGINX].active_state = "failed"
    host.configure()
    await until(lambda: host.state_of(NGINX) is State.DOWN)
    host.configure(defaults={**DEFAULTS, "tags": ["other"]})
    await until(lambda: host.dispatcher.entries[f"unit:{NGINX}"].monitor.settings.tags == ("other",))
    assert host.state_of(NGINX) is State.DOWN
    assert len(host.incidents) == 1


async def test_unit_that_recovered_during_a_restart_is_checked(tmp_path: Path) -> None:
    async with running(tmp_path) as host:
        host.systemd.units[NGINX].active_state = "failed"
        host.configure()
        await until(lambda: host.state_of(NGINX) is State.DOWN)
        await host.stop()
        host.systemd.units[NGINX].active_state = "active"
        host.start()
        host.configure()
        assert host.made == {f"unit:{NGINX}"}
        await until(lambda: host.state_of(NGINX) is State.UP)
        host.configure(is_on=False)
        await until(lambda: not host.made)
        await until(lambda: not host.kept)


@pytest.mark.parametrize("kept", [{}, {"targets": "x"}, {"targets": [1]}, {"targets": {"a.service": 1}}])
async def test_damaged_stored_units_are_ignored(tmp_path: Path, kept: Mapping[str, Any]) -> None:
    async with running(tmp_path) as host:
        await host.stop()
        host.kept["source/unit/0"] = kept
        host.start()
        host.configure()
        assert host.made == set()


async def test_units_that_failed_while_the_bus_was_disconnected_are_found(host: Host) -> None:
    host.configure()
    await listening(host)
    host.daemon.stop()
    await host.systemd.stop()
    host.systemd.units[NGINX].active_state = "failed"
    host.daemon.start()
    await host.systemd.start()
    await until(lambda: host.state_of(NGINX) is State.DOWN)


async def test_busy_service_manager_is_queried_again(host: Host, caplog: pytest.LogCaptureFixture) -> None:
    def respond_busy(message: Message) -> Message | None:
        if message.member != "ListUnitsFiltered":
            return None
        return Message.new_error(message, "org.freedesktop.DBus.Error.NoReply", "busy")

    host.systemd.answer = respond_busy
    host.systemd.units[BACKUP].active_state = "failed"
    host.configure()
    await until(lambda: host.systemd.calls.count("ListUnitsFiltered") > 2)
    host.systemd.answer = lambda _: None
    await until(lambda: host.state_of(BACKUP) is State.DOWN)
    assert sum("cannot be queried" in record.getMessage() for record in caplog.records) == 1


async def test_number_of_automatic_monitors_is_limited(host: Host, caplog: pytest.LogCaptureFixture) -> None:
    many = module.MAX_UNITS + 3
    host.systemd.units |= {f"w@{number}.service": service() for number in range(many)}
    for unit in host.systemd.units.values():
        unit.active_state = "failed"
    host.configure()
    await until(lambda: len(host.made) == module.MAX_UNITS)
    await until(lambda: "beyond the limit of 500" in caplog.text)
    assert caplog.text.count("beyond the limit of 500") == 1


# Settings


def settings_of(tmp_path: Path, text: str) -> Settings:
    config = tmp_path / "monitord.toml"
    config.write_text(text)
    return read_settings(config)


def test_automatic_monitors_are_off_by_default(tmp_path: Path) -> None:
    assert settings_of(tmp_path, "").sources.sources == ()


def test_every_key_of_auto_is_read(tmp_path: Path) -> None:
    text = """
        [auto]
        units = "failed"
        ignore = ["unit:run-*"]
        [auto.override."unit:ng*"]
        fail_after = 3
        [defaults]
        check_every = "1m"
        tags = ["host"]
    """
    sources = settings_of(tmp_path, text).sources
    assert sources.sources == (failed_units(("unit:run-*",), ()),)
    assert sources.ignore == ("unit:run-*",)
    assert sources.reader is not None
    settings = sources.reader.read("unit:nginx.service", "unit", {**module.KEYS, "unit": NGINX})
    assert (settings.check_every_s, settings.tags) == (60.0, ("host",))
    assert (settings.name, settings.source) == ("unit:nginx.service", "unit")
    assert settings.options == UnitOptions(NGINX, expect=ExpectedState.NOT_FAILED, on_crash=OnCrash.IGNORE)
    assert settings.policy.fail_after == 3
    settings = sources.reader.read("unit:a.service", "unit", {**module.KEYS, "unit": "a.service"})
    assert settings.policy.fail_after == 1


@pytest.mark.parametrize(
    ("matches", "name"),
    [(True, "run-5.scope"), (True, "a.mount"), (False, "xa.mount"), (False, "nginx.service")],
)
def test_patterns_match_whole_names(matches: bool, name: str) -> None:
    check: Callable[[str], object] = compile_patterns(("run-*", "[a-c].mount")).match
    assert bool(check(name)) is matches
