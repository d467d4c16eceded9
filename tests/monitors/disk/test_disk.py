"""The type `disk`: its options as written in a file, its default verdicts, and file systems that do not respond."""

import errno
import math
import os
import threading
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from monitord.conditions import Condition, parse_condition
from monitord.dispatch.judging import judge
from monitord.errors import ConfigError
from monitord.model import Observation, Reason, Verdict
from monitord.monitors.disk.monitor import (
    DiskLevel,
    DiskMonitor,
    DiskOptions,
    FileSystemUsage,
    MeasuredFileSystem,
    evaluate,
    measured,
)
from monitord.monitors.disk.mounts import Mounts, parse_mounts, read_mounts
from monitord.monitors.disk.trend import TOO_FEW
from tests.configurations import options_of
from tests.fakes import monitor_settings
from tests.worlds import real_tools

GIB = 1 << 30
TIB = 1 << 40
MOUNTS = parse_mounts("1 0 8:1 / / ro - ext4 /dev/sda1 rw\n2 1 8:2 / /srv rw - xfs /dev/sdb1 rw\n")
READ_ONLY = parse_mounts("1 0 8:1 / / ro - ext4 /dev/sda1 ro\n")
COVERED = parse_mounts(
    "1 0 8:1 / / ro - ext4 /dev/sda1 rw\n3 1 0:24 /systemd/inaccessible/dir /home ro - tmpfs tmpfs rw\n"
)

Make = Callable[..., DiskMonitor]


def usage(percent: float, size: int = 100 * GIB, **fields: int) -> FileSystemUsage:
    used = math.ceil(size * percent / 100)
    return FileSystemUsage(size, used, size - used, **fields)


def conditions(text: str | None) -> tuple[Condition, ...]:
    return () if text is None else (parse_condition(text, DiskMonitor.vocabulary),)


class Disk:
    """A file system whose usage a test sets."""

    def __init__(self, percent: float = 50.0, mounts: Mounts = MOUNTS) -> None:
        self.usage = usage(percent)
        self.mounts = mounts
        self.error: OSError | None = None

    def read(self) -> Mounts:
        return self.mounts

    def measure(self, options: DiskOptions, mounts: Mounts) -> MeasuredFileSystem:
        if self.error is not None:
            return MeasuredFileSystem(None, error=self.error)
        mount = mounts.mount_of(options.path)
        is_mount_point = mount is not None and mount.mount_point == options.path
        return MeasuredFileSystem(mount, self.usage, is_mount_point=is_mount_point)


@pytest.fixture
async def make(tmp_path: Path) -> AsyncIterator[Make]:
    async with real_tools() as tools:

        def make(
            keys: str = 'path = "/"',
            disk: Disk | None = None,
            *,
            timeout_s: float = 60.0,
            up_when: str | None = None,
            degraded_when: str | None = None,
            **parts: Any,
        ) -> DiskMonitor:
            settings = monitor_settings(
                type_name="disk", timeout_s=timeout_s, options=options_of(DiskMonitor, tmp_path, keys)
            )
            settings = replace(settings, up_when=conditions(up_when), degraded_when=conditions(degraded_when))
            if disk is not None:
                parts = {"read": disk.read, "measure": disk.measure}
            return DiskMonitor(settings, tools, **parts)

        yield make


def verdict(monitor: DiskMonitor, seen: Observation) -> Verdict:
    return judge(seen, monitor.settings, None).verdict


def test_options_are_read(tmp_path: Path) -> None:
    assert options_of(DiskMonitor, tmp_path, 'path = "//srv/./data/"') == DiskOptions("/srv/data")
    assert options_of(DiskMonitor, tmp_path, 'path = "/srv"\nrequires_mount = true') == DiskOptions(
        "/srv", requires_mount=True
    )
    assert options_of(DiskMonitor, tmp_path, 'device = "server:/export"') == DiskOptions(
        device="server:/export"
    )


def test_path_or_device_is_required(tmp_path: Path) -> None:
    with pytest.raises(ConfigError):
        options_of(DiskMonitor, tmp_path, "")


async def test_file_system_of_this_host_is_measured(make: Make) -> None:
    found = os.statvfs("/")
    monitor = make(up_when="disk.size > 0", degraded_when="disk.mounted == false")
    seen = await monitor.check()
    assert seen.reason is not Reason.NOT_MOUNTED
    assert seen.fields["disk.size"] == found.f_blocks * found.f_frsize
    assert seen.fields["disk.mounted"] is True
    assert seen.fields["disk.mount_point"] == "/"
    assert seen.detail.startswith("/: ")
    assert verdict(monitor, seen) is Verdict.PASS


async def test_result_is_one_line(make: Make) -> None:
    monitor = make('path = "/srv/data"', Disk(42))
    seen = await monitor.check()
    assert seen.detail == "/srv/data: 42 % used, 58 GiB free"
    assert (seen.subject, seen.outcome, seen.reason) == ("/srv/data", "42 % used, 58 GiB free", Reason.OK)
    fields = dict(seen.fields)
    assert fields.pop("response_time") is not None
    assert fields == {
        "disk.mounted": False,
        "disk.mount_point": "/srv",
        "disk.device": "/dev/sdb1",
        "disk.file_system": "xfs",
        "disk.read_only": False,
        "disk.size": 100 * GIB,
        "disk.used": 42 * GIB,
        "disk.free": 58 * GIB,
        "disk.used_percent": 42.0,
    }


@pytest.mark.parametrize(
    ("found", "level", "problem"),
    [
        pytest.param(usage(50), DiskLevel.PASS, "", id="half"),
        pytest.param(usage(89.9), DiskLevel.PASS, "", id="89.9 %"),
        pytest.param(usage(90), DiskLevel.WARN, "nearly full", id="90 %"),
        pytest.param(usage(94.9), DiskLevel.WARN, "nearly full", id="94.9 %"),
        pytest.param(usage(95), DiskLevel.FAIL, "nearly full", id="95 %"),
        pytest.param(usage(95, 1 * GIB), DiskLevel.FAIL, "nearly full", id="95 % of 1 GiB"),
        pytest.param(usage(97, 10 * TIB), DiskLevel.PASS, "", id="300 GiB free of 10 TiB"),
        pytest.param(usage(98.5, 1 * TIB), DiskLevel.WARN, "nearly full", id="15 GiB free of 1 TiB"),
        pytest.param(usage(99.9, 10 * TIB), DiskLevel.WARN, "nearly full", id="10.2 GiB free of 10 TiB"),
        pytest.param(usage(99.95, 10 * TIB), DiskLevel.FAIL, "nearly full", id="5 GiB free of 10 TiB"),
        pytest.param(usage(100, 10 * TIB), DiskLevel.FAIL, "no space is free", id="full"),
        pytest.param(FileSystemUsage(0, 0, 0), DiskLevel.PASS, "", id="without a size"),
        pytest.param(
            usage(10, inodes=1000, inodes_free=50),
            DiskLevel.FAIL,
            "only 50 inodes free",
            id="inodes at 95 %",
        ),
        pytest.param(
            usage(10, inodes=1000, inodes_free=99),
            DiskLevel.WARN,
            "only 99 inodes free",
            id="inodes at 90 %",
        ),
        pytest.param(
            usage(10, inodes=600_000_000, inodes_free=6_000_000),
            DiskLevel.PASS,
            "",
            id="6 million inodes free",
        ),
        pytest.param(
            usage(10, inodes=9, inodes_free=0), DiskLevel.FAIL, "only 0 inodes free", id="no inodes"
        ),
    ],
)
def test_usage_has_its_default_verdict(found: FileSystemUsage, level: DiskLevel, problem: str) -> None:
    assert evaluate(found, None, DiskLevel.PASS) == (level, problem)


def test_file_system_that_will_be_full_within_a_day_is_a_warning() -> None:
    assert evaluate(usage(50), 5 * 3600.0 + 700, DiskLevel.PASS) == (
        DiskLevel.WARN,
        "full in 5h11m at the current rate",
    )
    assert evaluate(usage(50), 25 * 3600.0, DiskLevel.PASS) == (DiskLevel.PASS, "")


def test_verdict_does_not_change_with_each_fluctuation_around_a_limit() -> None:
    assert evaluate(usage(89.5), None, DiskLevel.WARN)[0] is DiskLevel.WARN
    assert evaluate(usage(88.9), None, DiskLevel.WARN)[0] is DiskLevel.PASS
    assert evaluate(usage(94.5), None, DiskLevel.FAIL)[0] is DiskLevel.FAIL
    assert evaluate(usage(93.9), None, DiskLevel.FAIL)[0] is DiskLevel.WARN


def test_medium_that_cannot_be_written_is_full_without_a_problem() -> None:
    assert evaluate(usage(100), None, DiskLevel.PASS, is_read_only=True) == (DiskLevel.PASS, "")


async def test_full_file_system_fails_and_nearly_full_one_warns(make: Make) -> None:
    disk = Disk(92)
    monitor = make(disk=disk)
    seen = await monitor.check()
    assert (seen.reason, seen.outcome) == (Reason.DISK_FILLING, "nearly full: 92 % used, 8 GiB free")
    assert verdict(monitor, seen) is Verdict.WARN
    disk.usage = usage(96)
    seen = await monitor.check()
    assert (seen.reason, seen.outcome) == (Reason.DISK_FULL, "nearly full: 96 % used, 4 GiB free")
    assert verdict(monitor, seen) is Verdict.FAIL


async def test_conditions_replace_the_defaults(make: Make) -> None:
    monitor = make(disk=Disk(96), up_when="disk.used_percent < 99")
    assert verdict(monitor, await monitor.check()) is Verdict.PASS
    monitor = make(disk=Disk(98.5), up_when="disk.free > 2GiB")
    assert verdict(monitor, await monitor.check()) is Verdict.FAIL
    monitor = make(disk=Disk(92), degraded_when="disk.used_percent > 93")
    assert verdict(monitor, await monitor.check()) is Verdict.PASS
    monitor = make(disk=Disk(50), degraded_when="disk.used_percent > 40")
    assert verdict(monitor, await monitor.check()) is Verdict.WARN
    monitor = make(disk=Disk(96), degraded_when="disk.used_percent > 40")
    assert verdict(monitor, await monitor.check()) is Verdict.FAIL


async def test_unknown_time_until_full_is_not_a_warning_and_has_a_reason(make: Make) -> None:
    monitor = make(disk=Disk(50), degraded_when="disk.time_until_full < 7d")
    seen = await monitor.check()
    assert verdict(monitor, seen) is Verdict.PASS
    (condition,) = judge(seen, monitor.settings, None).conditions
    assert TOO_FEW in condition


async def test_file_system_that_becomes_read_only_fails_until_it_is_writable(make: Make) -> None:
    disk = Disk(50)
    monitor = make(disk=disk)
    assert (await monitor.check()).reason is Reason.OK
    disk.mounts = READ_ONLY
    seen = await monitor.check()
    assert (seen.reason, seen.outcome) == (
        Reason.DISK_READ_ONLY,
        "has become read-only, 50 % used, 50 GiB free",
    )
    assert seen.fields["disk.read_only"] is True
    restarted = make(disk=disk)
    state = monitor.dump_state()
    assert state is not None
    restarted.restore_state(state)
    assert (await restarted.check()).reason is Reason.DISK_READ_ONLY
    disk.mounts = MOUNTS
    assert (await restarted.check()).reason is Reason.OK


async def test_other_path_of_the_same_monitor_begins_without_the_stored_state(make: Make) -> None:
    """A reload that changes only `path` passes on the state of the previous file system."""
    before = make('path = "/var"', disk=Disk(96))
    assert (await before.check()).reason is Reason.DISK_FULL
    state = before.dump_state()
    assert state is not None
    after = make('path = "/"', disk=Disk(50, READ_ONLY))
    after.restore_state(state)
    assert (await after.check()).reason is Reason.OK


async def test_file_system_that_was_always_read_only_passes(make: Make) -> None:
    assert (await make(disk=Disk(100, READ_ONLY)).check()).reason is Reason.OK


async def test_requires_mount_fails_if_the_path_is_only_a_directory(make: Make) -> None:
    keys = "requires_mount = true"
    assert (await make(f'path = "/srv"\n{keys}', Disk()).check()).reason is Reason.OK
    seen = await make(f'path = "/srv/data"\n{keys}', Disk()).check()
    assert (seen.reason, seen.outcome) == (Reason.NOT_MOUNTED, "is not a mount point; it is on /srv")
    monitor = make(f'path = "/srv/data"\n{keys}', Disk(), up_when="disk.mounted == false")
    assert verdict(monitor, await monitor.check()) is Verdict.PASS


async def test_device_that_is_not_mounted_fails(make: Make) -> None:
    seen = await make('device = "/dev/nowhere9"').check()
    assert (seen.reason, seen.outcome) == (Reason.NOT_MOUNTED, "is not mounted")
    assert seen.fields["disk.mounted"] is False


async def test_path_that_does_not_exist_fails(make: Make, tmp_path: Path) -> None:
    seen = await make(f'path = "{tmp_path}/none"').check()
    assert (seen.reason, seen.outcome) == (Reason.NOT_MOUNTED, "does not exist")


@pytest.mark.parametrize(
    ("number", "reason"),
    [
        (errno.EIO, Reason.DISK_FAILED),
        (errno.ESTALE, Reason.DISK_FAILED),
        (errno.EACCES, Reason.PROBER_FORBIDDEN),
    ],
    ids=["EIO", "ESTALE", "EACCES"],
)
async def test_error_of_the_kernel_is_reported(make: Make, number: int, reason: Reason) -> None:
    disk = Disk()
    disk.error = OSError(number, os.strerror(number))
    seen = await make(disk=disk).check()
    assert seen.reason is reason
    assert os.strerror(number) in seen.outcome


async def test_file_system_that_hangs_is_a_timeout_and_holds_one_thread(make: Make) -> None:
    opened = threading.Event()
    began: list[str] = []

    def hang(options: DiskOptions, mounts: Mounts) -> MeasuredFileSystem:
        began.append(options.path)
        opened.wait()
        return MeasuredFileSystem(mounts.mount_of(options.path), usage(50))

    # The first part of a check must be complete before its timeout: its duration depends on the machine.
    stuck = make('path = "/srv/a"', timeout_s=0.3, read=lambda: MOUNTS, measure=hang)
    same = make('path = "/srv/b"', timeout_s=0.3, read=lambda: MOUNTS, measure=hang)
    try:
        while not began:
            seen = await stuck.check()
            assert (seen.reason, seen.outcome) == (
                Reason.TIMEOUT_RESPONSE,
                "the file system does not respond",
            )
        assert (await same.check()).reason is Reason.TIMEOUT_RESPONSE
        assert began == ["/srv"]
        other = make('path = "/etc"', Disk())
        assert (await other.check()).reason is Reason.OK
    finally:
        opened.set()
    assert (await make('path = "/srv/a"', Disk()).check()).reason is Reason.OK


async def test_file_system_hidden_by_the_sandbox_is_inconclusive(make: Make) -> None:
    seen = await make('path = "/home"', read=lambda: COVERED).check()
    assert seen.reason is Reason.PROBER_FORBIDDEN
    assert "ProtectHome=" in seen.outcome
    assert "disk.size" not in seen.fields


def test_other_file_system_at_the_path_is_not_measured() -> None:
    """The device number of the path must be that of the mount."""
    wrong = parse_mounts("1 0 999:999 / / rw - ext4 /dev/sdz rw\n")
    found = measured(DiskOptions("/"), wrong)
    assert found.mount is None or found.mount.device != "999:999"


def test_symbolic_link_leads_to_its_file_system(tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to("/proc")
    found = measured(DiskOptions(str(link)), read_mounts())
    assert found.mount is not None
    assert (found.mount.fs_type, found.is_mount_point) == ("proc", True)


@pytest.mark.parametrize("state", [{}, {"level": 9}, {"level": "x", "trend": 5, "was_writable": 1}], ids=str)
async def test_state_of_another_version_is_ignored(make: Make, state: dict[str, Any]) -> None:
    monitor = make(disk=Disk())
    monitor.restore_state(state)
    assert (await monitor.check()).reason is Reason.OK
