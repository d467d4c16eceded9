"""The source of monitors of this host: its targets follow mounts, timers and certificates."""

import asyncio
import os
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from dbus_fast import Message

from monitord.errors import InvalidValueError
from monitord.net.dbus.units import Units
from monitord.settings import AutomaticReader
from monitord.sources import Targets
from monitord.sources.host.source import (
    KINDS,
    TARGET_KEYS,
    HostMonitors,
    HostPaths,
    HostSource,
    host_monitors,
    target_of,
)
from monitord.units import parse_duration
from tests.buses import FakeSystemd, FakeUnit, timer, until
from tests.certificates import Authority
from tests.configurations import errors_of, settings_of
from tests.sources.fakes import fake_source_tools
from tests.systemds import a_host

ROOT = "1 0 8:1 / / rw - ext4 /dev/sda1 rw\n"
DATA = "2 1 8:2 / /srv/a\\040b rw - xfs /dev/sdb1 rw\n"


class FakeFeed:
    """Keeps the last targets."""

    def __init__(self, targets: Targets | None = None) -> None:
        self.targets: Targets = targets or {}
        self.problems: list[str] = []
        self.problem: str | None = None
        self.provided = 0

    def provide(self, targets: Targets) -> None:
        self.targets = targets
        self.provided += 1

    def fail(self, problem: str) -> None:
        self.problems.append(problem)


class Host:
    """A host below a directory, with a systemd on a private bus."""

    def __init__(self, folder: Path, systemd: FakeSystemd, units: Units) -> None:
        self.systemd = systemd
        self.mountinfo = folder / "mountinfo"
        self.mountinfo.write_text(ROOT)
        self.live = folder / "live"
        paths = HostPaths(self.mountinfo, folder / "container", self.live, folder / "private")
        self.settings = HostMonitors(paths=paths, mounts_every_s=0.01, manager_retry_s=0.01)
        self.tools = replace(fake_source_tools(), units=units)

    @asynccontextmanager
    async def running(self, feed: FakeFeed, *watched: str) -> AsyncIterator[FakeFeed]:
        source = replace(self.settings, watched=frozenset(watched)).construct(self.tools)
        task = asyncio.ensure_future(source.run(feed))
        try:
            yield feed
        finally:
            task.cancel()
            await asyncio.wait([task])


@pytest.fixture
async def host(tmp_path: Path) -> AsyncIterator[Host]:
    async with a_host(tmp_path) as bench:
        bench.systemd.units["a.timer"] = timer("a.service")
        bench.systemd.enabled.add("a.timer")
        yield Host(tmp_path, bench.systemd, bench.units)


def has(feed: FakeFeed, *targets: str) -> Callable[[], bool]:
    return lambda: set(feed.targets) == {"memory", "clock", "reboot", *targets}


async def test_host_has_its_file_systems_timers_and_certificates(host: Host, authority: Authority) -> None:
    folder = host.live / "shop.test"
    folder.mkdir(parents=True)
    issued = authority.issue("shop.test", directory=folder, file="fullchain")
    async with host.running(FakeFeed()) as feed:
        await until(has(feed, "disk:/", "timer:a.timer", f"certificate:{issued.chain_file}"))


async def test_deleted_certificate_is_no_longer_monitored(host: Host, authority: Authority) -> None:
    folder = host.live / "shop.test"
    folder.mkdir(parents=True)
    issued = authority.issue("shop.test", directory=folder, file="fullchain")
    host.settings = replace(host.settings, certificates_every_s=0.01)
    async with host.running(FakeFeed()) as feed:
        await until(has(feed, "disk:/", "timer:a.timer", f"certificate:{issued.chain_file}"))
        shutil.rmtree(folder)
        await until(has(feed, "disk:/", "timer:a.timer"))


def test_targets_that_disappear_are_removed_before_a_failure_is_confirmed() -> None:
    retry_every_s = parse_duration(str(KINDS["certificate"]["retry_every"]))
    assert HostMonitors().certificates_every_s < retry_every_s


async def test_unreadable_certificates_of_letsencrypt_are_logged(
    host: Host, caplog: pytest.LogCaptureFixture
) -> None:
    host.live.mkdir()
    host.live.chmod(0)
    if os.access(host.live, os.R_OK):
        pytest.skip("root can read every file")
    caplog.set_level("INFO")
    async with host.running(FakeFeed()) as feed:
        await until(has(feed, "disk:/", "timer:a.timer"))
    assert f"the certificates in {host.live} are not monitored" in caplog.text


async def test_monitors_follow_mounted_file_systems(host: Host) -> None:
    async with host.running(FakeFeed()) as feed:
        await until(has(feed, "disk:/", "timer:a.timer"))
        host.mountinfo.write_text(ROOT + DATA)
        await until(has(feed, "disk:/", "disk:/srv/a\\x20b", "timer:a.timer"))
        assert feed.targets["disk:/srv/a\\x20b"] == {"path": "/srv/a b"}
        host.mountinfo.write_text(ROOT)
        await until(has(feed, "disk:/", "timer:a.timer"))


async def test_timers_of_packages_come_and_go(host: Host) -> None:
    async with host.running(FakeFeed()) as feed:
        await until(has(feed, "disk:/", "timer:a.timer"))
        host.systemd.units["b.timer"] = timer("b.service")
        host.systemd.enabled = {"b.timer"}
        await host.systemd.reload()
        await until(has(feed, "disk:/", "timer:b.timer"))


async def test_unchanged_mounts_are_provided_once(host: Host) -> None:
    async with host.running(FakeFeed()) as feed:
        await until(has(feed, "disk:/", "timer:a.timer"))
        provided = feed.provided
        host.mountinfo.write_text(DATA + ROOT)
        await until(lambda: "disk:/srv/a\\x20b" in feed.targets)
        assert feed.provided <= provided + 2  # and the certificates, if they were not found yet


async def test_mounts_that_cannot_be_read_are_a_problem(host: Host) -> None:
    host.mountinfo.unlink()
    async with host.running(FakeFeed({"disk:/": {"path": "/"}})) as feed:
        await until(lambda: feed.problems)
        assert "mounts cannot be read" in feed.problems[0]
        await until(has(feed, "disk:/", "timer:a.timer"))


async def test_configured_targets_are_excluded(host: Host) -> None:
    async with host.running(FakeFeed(), "disk:/", "reboot", "memory", "clock") as feed:
        await until(lambda: set(feed.targets) == {"timer:a.timer"})


@pytest.mark.parametrize(
    ("unit", "is_enabled"),
    [
        pytest.param(timer("a.service"), False, id="disabled"),
        pytest.param(FakeUnit("loaded", "inactive", "dead"), True, id="condition not met"),
        pytest.param(FakeUnit("masked", "inactive", "dead"), False, id="masked"),
    ],
)
async def test_timer_that_is_not_enabled_or_was_never_active_is_excluded(
    host: Host, unit: FakeUnit, is_enabled: bool
) -> None:
    host.systemd.units["b.timer"] = unit
    if is_enabled:
        host.systemd.enabled.add("b.timer")
    async with host.running(FakeFeed()) as feed:
        await until(has(feed, "disk:/", "timer:a.timer"))


async def test_timer_that_was_stopped_since_the_boot_stays(host: Host) -> None:
    known = {"timer:a.timer": {"timer": "a.timer", "boot": host.systemd.booted_us}}
    host.systemd.units["a.timer"].active_state = "inactive"
    async with host.running(FakeFeed(known)) as feed:
        await until(lambda: "ListUnitFilesByPatterns" in host.systemd.calls and feed.provided > 2)
        assert has(feed, "disk:/", "timer:a.timer")()


async def test_timer_that_was_active_only_in_an_earlier_boot_is_excluded(host: Host) -> None:
    known = {"timer:a.timer": {"timer": "a.timer", "boot": 5}}
    host.systemd.units["a.timer"].active_state = "inactive"
    async with host.running(FakeFeed(known)) as feed:
        await until(has(feed, "disk:/"))


async def test_file_system_that_the_sandbox_hides_is_a_target(host: Host) -> None:
    cover = "3 1 0:24 /systemd/inaccessible/dir /home ro - tmpfs tmpfs rw\n"
    host.mountinfo.write_text(ROOT + cover)
    for name, kind in (("home-my\\x20data.mount", "ext4"), ("home-kim-.gvfs.mount", "fuse.gvfsd-fuse")):
        host.systemd.units[name] = FakeUnit(sub_state="mounted", properties={"Type": kind})
    host.systemd.units["srv.mount"] = FakeUnit(sub_state="mounted", properties={"Type": "ext4"})
    async with host.running(FakeFeed()) as feed:
        await until(has(feed, "disk:/", "disk:/home/my\\x20data", "timer:a.timer"))
        data = feed.targets["disk:/home/my\\x20data"]
        assert data == {"path": "/home/my data", "is_hidden": True}
    async with host.running(FakeFeed(feed.targets)) as again:
        await until(lambda: again.provided > 2)
        assert set(again.targets) == set(feed.targets)


async def test_host_whose_systemd_cannot_be_queried_keeps_its_timers(host: Host) -> None:
    def deny(message: Message) -> Message | None:
        return FakeSystemd.denied(message) if message.member == "ListUnitFilesByPatterns" else None

    host.systemd.answer = deny
    known = {"timer:z.timer": {"timer": "z.timer", "boot": 5}}
    async with host.running(FakeFeed(known)) as feed:
        await until(lambda: host.systemd.calls.count("ListUnitFilesByPatterns") > 1)
        await until(has(feed, "disk:/", "timer:z.timer"))
        assert feed.problems == []
        host.systemd.answer = lambda _: None
        await until(has(feed, "disk:/", "timer:a.timer"))


@pytest.mark.parametrize("kind", KINDS)
def test_keys_of_every_kind_are_valid_whatever_the_defaults(kind: str) -> None:
    key = TARGET_KEYS.get(kind)
    data: dict[str, Any] = {} if key is None else {key: "/x" if key != "timer" else "x.timer"}
    defaults = {
        "check_every": "5s",
        "timeout": "5s",
        "retry_every": "20m",
        "up_when": ["status == 200"],
        "degraded_when": ["response_time > 1s"],
        "depends_on": ["gateway"],
    }
    source = HostMonitors().construct(fake_source_tools())
    name = target_of(kind, str(data[key])) if key is not None else kind
    for values in ({}, defaults):
        settings = AutomaticReader(values, (), {}).read(f"host:{name}", "host", source.keys_of(name, data))
        assert settings.type_name == KINDS[kind]["type"]
        assert settings.depends_on == ()


def test_target_of_a_later_version_is_rejected() -> None:
    source: HostSource = HostMonitors().construct(fake_source_tools())
    with pytest.raises(InvalidValueError):
        source.keys_of("quantum:x", {})


def test_host_is_read_without_the_configured_targets(tmp_path: Path) -> None:
    text = """
[auto]
host = true
[monitors.root]
type = "disk"
path = "/"
[monitors.reboot]
type = "reboot"
[monitors.rotation]
timer = "logrotate"
[monitors.file]
type = "certificate"
file = "/etc/ssl/private/a b.pem"
[monitors.web]
url = "http://a.test/"
"""
    settings = settings_of(tmp_path, text)
    (source,) = settings.sources.sources
    assert source == host_monitors(settings.monitors)
    assert isinstance(source, HostMonitors)
    assert source.watched == {
        "disk:/",
        "reboot",
        "timer:logrotate.timer",
        "certificate:/etc/ssl/private/a\\x20b.pem",
    }
    assert settings_of(tmp_path, "[auto]\nhost = false\n").sources.sources == ()


def test_monitor_can_be_overridden_or_ignored_by_one_line(tmp_path: Path) -> None:
    text = """
[auto]
host = true
ignore = ["host:timer:*"]
[auto.override."host:disk:/"]
degraded_when = ["disk.used_percent > 80"]
"""
    assert settings_of(tmp_path, text).sources.ignore == ("host:timer:*",)
    wrong = '[auto]\nhost = true\n[auto.override."host:disk:/"]\nup_when = ["disk.used > 0.8"]\nx = 1\n'
    assert errors_of(tmp_path, wrong)
