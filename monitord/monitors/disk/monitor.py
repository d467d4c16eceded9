"""Monitor type `disk`: space and inodes of a mounted file system.

    type = "disk"
    path = "/var"

Without conditions, a check fails if the file system is nearly full, has become read-only or is not mounted, and warns
before that: see `evaluate`. `up_when` replaces the conditions of a failure, `degraded_when` those of a warning.

statvfs(3) of a network file system blocks while its server does not respond, so it runs in a thread of its own
(`net/base/blocking.py`).
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import IntEnum
from pathlib import Path
from typing import Any, ClassVar

from monitord.conditions import COUNT, EXPIRY, LATENCY, Bounds, FieldType, Unresolved, Vocabulary
from monitord.config import Table
from monitord.errors import InvalidValueError
from monitord.model import FieldValue, Observation, Reason
from monitord.monitors.base import Monitor, MonitorSettings, Stopwatch, Tools
from monitord.monitors.disk.mounts import Mount, Mounts, read_mounts
from monitord.monitors.disk.trend import Sample, UsageTrend
from monitord.net.base.blocking import CallTimeoutError, TooManyCallsError
from monitord.text import counted
from monitord.units import approximate_duration, approximate_size

WARN_UNTIL_FULL_S = 86400.0
HYSTERESIS_PERCENT = 1.0
"""A file system is no longer nearly full when its usage is this much below the limit, around which it may fluctuate."""

# A ratio such as 0.9 was written instead of a percentage.
_PERCENT = Bounds(least=0, most=100, bare_least=1, unit="percent")

VOCABULARY = Vocabulary(
    {
        "response_time": FieldType.DURATION,
        "disk.mounted": FieldType.FLAG,
        "disk.mount_point": FieldType.TEXT,
        "disk.device": FieldType.TEXT,
        "disk.file_system": FieldType.TEXT,
        "disk.read_only": FieldType.FLAG,
        "disk.size": FieldType.SIZE,
        "disk.used": FieldType.SIZE,
        "disk.free": FieldType.SIZE,
        "disk.used_percent": FieldType.NUMBER,
        "disk.inodes_free": FieldType.NUMBER,
        "disk.inodes_used_percent": FieldType.NUMBER,
        "disk.time_until_full": FieldType.DURATION,
    },
    {
        "response_time": LATENCY,
        "disk.used_percent": _PERCENT,
        "disk.inodes_used_percent": _PERCENT,
        "disk.inodes_free": COUNT,
        "disk.time_until_full": EXPIRY,
    },
)


@dataclass(frozen=True, slots=True)
class DiskOptions:
    """Either `path` or `device` is set. `requires_mount`: the path itself must be a mount point."""

    path: str = ""
    device: str = ""
    requires_mount: bool = False

    @property
    def subject(self) -> str:
        return self.path or self.device


@dataclass(frozen=True, slots=True)
class FileSystemUsage:
    """The numbers of statvfs(3). `free_bytes` and `inodes_free` are free for ordinary users.

    The percentage of used space is that of df(1): without the blocks that are reserved for root. `inodes`: 0 if the
    number of inodes of the file system is not limited.
    """

    size_bytes: int
    used_bytes: int
    free_bytes: int
    inodes: int = 0
    inodes_free: int = 0

    @property
    def used_percent(self) -> float:
        usable = self.used_bytes + self.free_bytes
        return 100.0 * self.used_bytes / usable if usable else 0.0

    @property
    def inodes_used_percent(self) -> float:
        return 100.0 * (self.inodes - self.inodes_free) / self.inodes if self.inodes else 0.0


class DiskLevel(IntEnum):
    """The default verdict."""

    PASS = 0
    WARN = 1
    FAIL = 2


@dataclass(frozen=True, slots=True)
class DiskLimit:
    """The share from which a file system is nearly full, if less than this is free: 5 % of 10 TB is not a problem."""

    level: DiskLevel
    percent: float
    free_bytes: int
    inodes_free: int


LIMITS = (
    DiskLimit(DiskLevel.FAIL, 95.0, 10 << 30, 100_000),
    DiskLimit(DiskLevel.WARN, 90.0, 20 << 30, 200_000),
)


@dataclass(frozen=True, slots=True)
class MeasuredFileSystem:
    """A file system, or the reason why its size is not known. `mount`: None if it is not mounted.

    `is_mount_point`: whether the path, without symbolic links, is its mount point.
    """

    mount: Mount | None
    usage: FileSystemUsage | None = None
    error: OSError | None = None
    is_mount_point: bool = False


Measure = Callable[[DiskOptions], MeasuredFileSystem]


class DiskMonitor(Monitor[DiskOptions]):
    type_name: ClassVar[str] = "disk"
    uses_network = False
    vocabulary: ClassVar[Vocabulary] = VOCABULARY

    def __init__(
        self,
        settings: MonitorSettings,
        tools: Tools,
        read: Callable[[], Mounts] = read_mounts,
        measure: Callable[[DiskOptions, Mounts], MeasuredFileSystem] | None = None,
    ) -> None:
        super().__init__(settings, tools)
        self._read = read
        self._measure = measure or measured
        self._trend = UsageTrend()
        self._level = DiskLevel.PASS
        self._was_writable = False

    @classmethod
    def read_options(cls, table: Table) -> DiskOptions:
        path = table.value("path", _path, default="")
        device = table.value("device", _device, default="")
        requires_mount = table.flag("requires_mount", default=False)
        if path and device:
            table.error("device", "excludes path", "remove one of them")
        if not path and not device and "path" not in table and "device" not in table:
            table.error("path", "missing", 'add path = "/" or another directory')
        if device and requires_mount:
            table.error("requires_mount", "has no effect with device, which must be mounted", "remove it")
        return DiskOptions(path, device, requires_mount)

    def dump_state(self) -> Mapping[str, Any] | None:
        return {
            "subject": self.options.subject,
            "level": self._level.value,
            "was_writable": self._was_writable,
            "trend": self._trend.dump_state(),
        }

    def restore_state(self, state: Mapping[str, Any]) -> None:
        if state.get("subject", self.options.subject) != self.options.subject:
            return
        level = state.get("level")
        self._level = DiskLevel(level) if level in {0, 1, 2} else DiskLevel.PASS
        self._was_writable = state.get("was_writable") is True
        self._trend = UsageTrend.restored(state.get("trend"))

    async def check(self) -> Observation:
        watch = Stopwatch(self.tools.clock)
        options, subject = self.options, self.options.subject
        try:
            measured = await self._measure_file_system(watch)
        except CallTimeoutError:
            result = "the file system does not respond"
            return watch.observation(
                Reason.TIMEOUT_RESPONSE, f"{subject}: {result}", subject=subject, outcome=result
            )
        except TooManyCallsError:
            result = "no thread is left: too many file systems do not respond"
            return watch.observation(
                Reason.PROBER_EXHAUSTED, f"{subject}: {result}", subject=subject, outcome=result
            )
        mount = measured.mount
        fields: dict[str, FieldValue] = {"response_time": watch.elapsed_s, "disk.mounted": False}
        response_data: dict[str, Unresolved] = {}
        if mount is None or measured.usage is None:
            reason, result = _failure(measured)
        else:
            usage = measured.usage
            fields |= _fields(mount, usage)
            now = Sample(self.tools.clock.now().timestamp(), usage.used_bytes)
            self._trend = self._trend.added(now)
            until_full = self._trend.time_until_full_s(now, usage.free_bytes)
            if isinstance(until_full, str):
                response_data["disk.time_until_full"] = Unresolved(until_full)
            else:
                fields["disk.time_until_full"] = until_full
            fields["disk.mounted"] = bool(options.device) or measured.is_mount_point
            reason, result = self._evaluate(mount, usage, until_full)
            if options.requires_mount and not fields["disk.mounted"]:
                reason, result = Reason.NOT_MOUNTED, f"is not a mount point; it is on {mount.mount_point}"
        if self.settings.up_when and reason in _REPLACED_BY_UP_WHEN:
            reason = Reason.CONDITION_FAILED
        elif self.settings.degraded_when and reason is Reason.DISK_FILLING:
            reason = Reason.OK
        return watch.observation(
            reason,
            f"{subject}: {result}",
            fields,
            response_data=lambda name, _: response_data.get(name, Unresolved(is_absent=True)),
            subject=subject,
            outcome=result,
        )

    async def _measure_file_system(self, watch: Stopwatch) -> MeasuredFileSystem:
        """Query the file system in a thread. Raises CallTimeoutError, TooManyCallsError."""
        blocking, timeout_s = self.tools.blocking, self.settings.timeout_s
        try:
            mounts = await blocking.run("mountinfo", self._read, timeout_s=timeout_s)
        except OSError as error:
            return MeasuredFileSystem(None, error=error)
        mount = (
            mounts.with_source(self.options.device)
            if self.options.device
            else mounts.mount_of(self.options.path)
        )
        if mount is None:
            return MeasuredFileSystem(None)
        options, measure = self.options, self._measure
        if mount.is_cover:
            return MeasuredFileSystem(mount)
        # First the mount point: a file system that hangs holds one thread, for all monitors of it. The path itself can
        # lead elsewhere, by a symbolic link, so that it has another thread.
        at_mount_point = replace(options, path=mount.mount_point, device="")
        measured = await blocking.run(
            f"disk {mount.device}",
            lambda: measure(at_mount_point, mounts),
            timeout_s=timeout_s - watch.elapsed_s,
        )
        if options.path in {"", mount.mount_point}:
            return measured
        return await blocking.run(
            f"disk path {options.path}",
            lambda: measure(options, mounts),
            timeout_s=timeout_s - watch.elapsed_s,
        )

    def _evaluate(self, mount: Mount, usage: FileSystemUsage, until_full: float | str) -> tuple[Reason, str]:
        if not mount.is_read_only:
            self._was_writable = True
        elif self._was_writable:
            return Reason.DISK_READ_ONLY, f"has become read-only, {_usage_text(usage)}"
        self._level, problem = evaluate(
            usage,
            None if isinstance(until_full, str) else until_full,
            self._level,
            is_read_only=mount.is_read_only,
        )
        reason = {
            DiskLevel.PASS: Reason.OK,
            DiskLevel.WARN: Reason.DISK_FILLING,
            DiskLevel.FAIL: Reason.DISK_FULL,
        }[self._level]
        return reason, f"{problem}: {_usage_text(usage)}" if problem else _usage_text(usage)


_REPLACED_BY_UP_WHEN = frozenset({Reason.DISK_FULL, Reason.DISK_READ_ONLY, Reason.NOT_MOUNTED})


def evaluate(
    usage: FileSystemUsage, until_full_s: float | None, before: DiskLevel, *, is_read_only: bool = False
) -> tuple[DiskLevel, str]:
    """Return the default verdict, and the problem in words. `before`: the last verdict, for the hysteresis.

    A file system that was always read-only, such as a CD, is full and never fills.
    """
    if is_read_only:
        return DiskLevel.PASS, ""
    is_used_up = usage.size_bytes > 0 and usage.free_bytes == 0
    has_no_inodes = usage.inodes > 0 and usage.inodes_free == 0
    for limit in LIMITS:
        percent = limit.percent - (HYSTERESIS_PERCENT if before >= limit.level else 0.0)
        if is_used_up or (usage.used_percent >= percent and usage.free_bytes < limit.free_bytes):
            return limit.level, "no space is free" if is_used_up else "nearly full"
        if has_no_inodes or (usage.inodes_used_percent >= percent and usage.inodes_free < limit.inodes_free):
            return limit.level, f"only {counted(usage.inodes_free, 'inode')} free"
    if until_full_s is not None and until_full_s < WARN_UNTIL_FULL_S:
        return DiskLevel.WARN, f"full in {approximate_duration(until_full_s)} at the current rate"
    return DiskLevel.PASS, ""


# Measuring, in a thread


def measured(options: DiskOptions, mounts: Mounts) -> MeasuredFileSystem:
    """Query the file system of a path. Can block forever."""
    try:
        path = os.path.realpath(options.path, strict=True)
        mount = mounts.mount_of(path)
        if mount is None or mount.is_cover:
            return MeasuredFileSystem(mount)
        usage = _usage(path)
        if not _is_of(path, mount):
            # Mounted or unmounted in the meantime, as by an automount.
            mount = read_mounts().mount_of(path)
            if mount is None or not _is_of(path, mount):
                return MeasuredFileSystem(
                    None, error=OSError(None, "the file system was mounted during the check")
                )
            usage = _usage(path)
    except OSError as error:
        return MeasuredFileSystem(None, error=error)
    return MeasuredFileSystem(mount, usage, is_mount_point=path == mount.mount_point)


def _usage(path: str) -> FileSystemUsage:
    """Query the usage of the file system of a path. Raises OSError."""
    stat = os.statvfs(path)
    unit = stat.f_frsize or stat.f_bsize
    inodes = stat.f_files
    return FileSystemUsage(
        size_bytes=stat.f_blocks * unit,
        used_bytes=max(stat.f_blocks - stat.f_bfree, 0) * unit,
        free_bytes=stat.f_bavail * unit,
        inodes=inodes,
        inodes_free=min(stat.f_favail, inodes),
    )


_OTHER_NUMBERS = frozenset({"btrfs", "bcachefs", "overlay"})
"""File systems whose files have device numbers that differ from that of the mount."""


def _is_of(path: str, mount: Mount) -> bool:
    """Return whether a path is on the file system of the mount. Raises OSError."""
    if mount.fs_type in _OTHER_NUMBERS:
        return True
    number = Path(path).stat().st_dev
    return f"{os.major(number)}:{os.minor(number)}" == mount.device


def _failure(measured: MeasuredFileSystem) -> tuple[Reason, str]:
    """Return the reason and the result of a check without numbers."""
    if measured.mount is not None:
        return (
            Reason.PROBER_FORBIDDEN,
            "the sandbox of the service hides this path (ProtectHome=): see SANDBOX in monitord(8)",
        )
    error = measured.error
    if isinstance(error, FileNotFoundError):
        return Reason.NOT_MOUNTED, "does not exist"
    if isinstance(error, PermissionError):
        return Reason.PROBER_FORBIDDEN, f"cannot be queried: {error.strerror}"
    if error is not None:
        return Reason.DISK_FAILED, f"cannot be queried: {error.strerror}"
    return Reason.NOT_MOUNTED, "is not mounted"


def _fields(mount: Mount, usage: FileSystemUsage) -> dict[str, FieldValue]:
    fields: dict[str, FieldValue] = {
        "disk.mount_point": mount.mount_point,
        "disk.device": mount.source,
        "disk.file_system": mount.fs_type,
        "disk.read_only": mount.is_read_only,
        "disk.size": usage.size_bytes,
        "disk.used": usage.used_bytes,
        "disk.free": usage.free_bytes,
        "disk.used_percent": round(usage.used_percent, 2),
    }
    if usage.inodes:
        fields["disk.inodes_free"] = usage.inodes_free
        fields["disk.inodes_used_percent"] = round(usage.inodes_used_percent, 2)
    return fields


def _usage_text(usage: FileSystemUsage) -> str:
    # Rounded down: 95 % must not be shown below the limit.
    return f"{int(usage.used_percent)} % used, {approximate_size(usage.free_bytes)} free"


# Reading


def _path(text: str) -> str:
    """Parse an absolute path. Raises InvalidValueError."""
    if not text.startswith("/") or "\0" in text:
        raise InvalidValueError("is not an absolute path", 'write a path such as "/var"')
    return os.path.normpath(text).replace("//", "/", 1)


def _device(text: str) -> str:
    """Parse a device or share. Raises InvalidValueError."""
    if not text or not text.isprintable():
        raise InvalidValueError(
            "is not a device", 'write it as findmnt shows it: "/dev/sdb1", "server:/export"'
        )
    return text
