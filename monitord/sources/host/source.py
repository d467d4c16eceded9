"""The source of monitors of this host: `[auto] host = true`.

The targets are "disk:/var", "memory", "timer:logrotate.timer" and so on; each kind has a constant set of keys. Targets
of a configured monitor are excluded. Each part (mounts, timers, certificates) is found by its own task, at its own
interval; until a part is known, its targets are those of the last run.
"""

import asyncio
import logging
import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from monitord.errors import InvalidValueError
from monitord.monitors import MonitorSettings
from monitord.monitors.disk.mounts import MOUNTINFO, Mounts, read_mounts
from monitord.net.base.blocking import CallTimeoutError, TooManyCallsError
from monitord.net.dbus.bus import BusError, library_problem
from monitord.sources.base import Feed, MonitorSource, SourceTools, Targets
from monitord.sources.host import certificates
from monitord.sources.host.file_systems import covered_directories, file_systems
from monitord.sources.host.manager import hidden_file_systems, timers

log = logging.getLogger(__name__)

HOST = "host"

MAX_TARGETS = 500
MOUNTS_EVERY_S = 5.0
"""Shorter than the time in which a check is confirmed: a file system that is unmounted must not be down before."""
CERTIFICATES_EVERY_S = 30.0
"""Shorter than `retry_every`: a certificate that is deleted must not be down before."""
CERTIFICATES_TIMEOUT_S = 60.0
MANAGER_EVERY_S = 300.0
MANAGER_RETRY_S = 15.0
MANAGER_MIN_S = 5.0
"""Minimum interval of queries that systemd's reloads request: an upgrade reloads it for each package."""

_OWN: Mapping[str, Any] = {"up_when": [], "degraded_when": [], "depends_on": [], "depends_on_any": []}
"""Conditions and parents in [defaults] are for services, not for this host."""

_SLOW: Mapping[str, Any] = {"check_every": "10m", "timeout": "10s", "retry_every": "1m"}

KINDS: Mapping[str, Mapping[str, Any]] = {
    "disk": {**_OWN, "type": "disk", "requires_mount": True},
    "memory": {**_OWN, "type": "memory"},
    "clock": {**_OWN, "type": "clock", "check_every": "1m", "timeout": "10s"},
    "reboot": {**_OWN, **_SLOW, "type": "reboot"},
    "certificate": {**_OWN, **_SLOW, "type": "certificate"},
    # An upgrade stops and starts timers: only a timer that stays inactive for 15 minutes is a problem. The jobs are
    # monitored as units.
    "timer": {
        **_OWN,
        "type": "timer",
        "counts_downtime": False,
        "check_every": "1m",
        "timeout": "10s",
        "retry_every": "1m",
        "fail_after": 15,
        "up_when": ["timer.overdue == false", "timer.active_state == 'active'"],
    },
}
"""The keys of the monitors of each kind of targets, without the target itself."""

TARGET_KEYS: Mapping[str, str] = {"disk": "path", "certificate": "file", "timer": "timer"}
"""The key that the data of a target have, by kind."""

HIDDEN = "hidden"
"""The part of file systems that only the service manager sees. A visible one with the same target replaces it."""

_UNUSABLE = re.compile(r"[\s*?\[\]\"'\\]")
"""Characters that names of automatic monitors cannot have, and the backslash that replaces them."""


@dataclass(frozen=True, slots=True)
class HostPaths:
    mountinfo: Path = MOUNTINFO
    container: Path = Path("/run/systemd/container")
    letsencrypt: Path = certificates.LETSENCRYPT
    private: Path = certificates.PRIVATE


@dataclass(frozen=True, slots=True)
class HostMonitors:
    """Settings of the source. `watched`: the targets of configured monitors, such as "disk:/", which are excluded."""

    watched: frozenset[str] = frozenset()
    paths: HostPaths = field(default_factory=HostPaths)
    mounts_every_s: float = MOUNTS_EVERY_S
    certificates_every_s: float = CERTIFICATES_EVERY_S
    manager_retry_s: float = MANAGER_RETRY_S

    name: ClassVar[str] = HOST
    type_name: ClassVar[str] = HOST
    max_targets: ClassVar[int] = MAX_TARGETS
    samples: ClassVar[Sequence[Mapping[str, Any]]] = (
        {**KINDS["disk"], "path": "/"},
        KINDS["memory"],
        KINDS["clock"],
        KINDS["reboot"],
        {**KINDS["certificate"], "file": "/etc/ssl/private/sample.pem"},
        {**KINDS["timer"], "timer": "sample.timer"},
    )

    def construct(self, tools: SourceTools) -> "HostSource":
        return HostSource(self, tools)


def host_monitors(monitors: Iterable[MonitorSettings]) -> HostMonitors:
    """Return the settings of the source together with these configured monitors."""
    return HostMonitors(frozenset(filter(None, map(_watched, monitors))))


def _watched(monitor: MonitorSettings) -> str | None:
    """Return the target of a configured monitor."""
    kind = monitor.type_name
    if kind not in KINDS:
        return None
    key = TARGET_KEYS.get(kind)
    return kind if key is None else target_of(kind, getattr(monitor.options, key))


def target_of(kind: str, value: str) -> str:
    """Return the target for a path or a unit; unusable characters are escaped as by systemd: "\\x20"."""
    return f"{kind}:" + _UNUSABLE.sub(lambda match: f"\\x{ord(match[0]):02x}", value)


class HostSource(MonitorSource):
    checks_at_once = True

    def __init__(self, settings: HostMonitors, tools: SourceTools) -> None:
        self._settings = settings
        self._paths = settings.paths
        self._tools = tools
        self._parts: dict[str, Targets] = {}
        """The targets of each kind, and those of file systems that the sandbox hides."""
        self._covered: list[str] = []
        self._has_mounts = asyncio.Event()
        self._is_reloaded = asyncio.Event()

    def keys_of(self, target: str, data: Mapping[str, Any]) -> Mapping[str, Any]:
        kind = target.partition(":")[0]
        if kind not in KINDS:
            raise InvalidValueError("is of an unknown kind", f"this version knows: {', '.join(KINDS)}")
        key = TARGET_KEYS.get(kind)
        return {**KINDS[kind], key: data.get(key)} if key is not None else KINDS[kind]

    async def run(self, feed: Feed) -> None:
        self._parts = {kind: {} for kind in (*KINDS, HIDDEN)}
        for target, data in feed.targets.items():
            part = HIDDEN if data.get("is_hidden") else target.partition(":")[0]
            self._parts[part] = {**self._parts.get(part, {}), target: data}
        self._parts |= {kind: {kind: {}} for kind in KINDS if kind not in TARGET_KEYS}
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._find_file_systems(feed))
            tasks.create_task(self._find_certificates(feed))
            if library_problem() is None:
                tasks.create_task(self._query_manager(feed))

    def _provide(self, feed: Feed, kind: str, targets: Targets) -> None:
        self._parts[kind] = targets
        watched = self._settings.watched
        feed.provide(
            {
                target: data
                for part in (self._parts[HIDDEN], *(self._parts[kind] for kind in KINDS))
                for target, data in part.items()
                if target not in watched
            }
        )

    async def _find_file_systems(self, feed: Feed) -> None:
        last: Mounts | None = None
        while True:
            try:
                mounts = await asyncio.to_thread(read_mounts, self._paths.mountinfo)
            except OSError as error:
                feed.fail(f"the mounts cannot be read: {error}")
            else:
                if mounts != last:
                    # In a thread as well: a host of containers has thousands of mounts.
                    monitored = await asyncio.to_thread(file_systems, mounts)
                    paths = [mount.mount_point for mount in monitored]
                    self._covered = covered_directories(mounts)
                    self._provide(feed, "disk", {target_of("disk", path): {"path": path} for path in paths})
                last = mounts
            self._has_mounts.set()
            await asyncio.sleep(self._settings.mounts_every_s)

    async def _find_certificates(self, feed: Feed) -> None:
        live, blocking = self._paths.letsencrypt, self._tools.blocking
        with suppress(CallTimeoutError, TooManyCallsError):
            is_forbidden = partial(certificates.is_forbidden, live)
            if await blocking.run("certificates", is_forbidden, timeout_s=CERTIFICATES_TIMEOUT_S):
                log.info(
                    "source %s: the certificates in %s are not monitored, because only root can read this directory: "
                    "see type certificate in monitord-monitors(5)",
                    HOST,
                    live,
                )
        is_logged = False
        while True:
            known = {str(data.get("file")) for data in self._parts["certificate"].values()}
            find = partial(
                certificates.certificate_files,
                self._tools.clock.now(),
                known,
                letsencrypt=live,
                private=self._paths.private,
            )
            try:
                files = await blocking.run("certificates", find, timeout_s=CERTIFICATES_TIMEOUT_S)
            except (CallTimeoutError, TooManyCallsError):
                if not is_logged:
                    log.warning(
                        "source %s: the certificates cannot be read: the file system does not respond", HOST
                    )
                is_logged = True
            else:
                is_logged = False
                self._provide(
                    feed, "certificate", {target_of("certificate", file): {"file": file} for file in files}
                )
            await asyncio.sleep(self._settings.certificates_every_s)

    async def _query_manager(self, feed: Feed) -> None:
        """Query the timers regularly, and after each reload of systemd: packages add and remove timers."""
        await self._has_mounts.wait()
        following = self._tools.units.follow_all(lambda _: False, lambda _: self._is_reloaded.set())
        try:
            is_logged = False
            while True:
                self._is_reloaded.clear()
                known = {str(data.get("timer")): data for data in self._parts["timer"].values()}
                try:
                    timer_data = await timers(self._tools.units, known)
                    hidden = await hidden_file_systems(self._tools.units, self._covered)
                except BusError as error:
                    # The other parts work without the service manager, and a container may have none.
                    log.log(
                        logging.DEBUG if is_logged else logging.INFO,
                        "source %s: the timers cannot be queried: %s",
                        HOST,
                        error.detail,
                    )
                    is_logged = True
                    await self._wait_for_reload(self._settings.manager_retry_s)
                    continue
                is_logged = False
                self._parts[HIDDEN] = {
                    target_of("disk", path): {"path": path, "is_hidden": True} for path in hidden
                }
                self._provide(
                    feed,
                    "timer",
                    {target_of("timer", name): {"timer": name, **data} for name, data in timer_data.items()},
                )
                await self._wait_for_reload(MANAGER_EVERY_S)
        finally:
            self._tools.units.unfollow(following)

    async def _wait_for_reload(self, at_most_s: float) -> None:
        """Wait for a reload of systemd, or a new connection to it."""
        with suppress(TimeoutError):
            async with asyncio.timeout(at_most_s):
                await self._is_reloaded.wait()
                await asyncio.sleep(min(MANAGER_MIN_S, self._settings.manager_retry_s))
