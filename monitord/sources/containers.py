"""The source of monitors of unhealthy containers: `[auto] containers = "unhealthy"`.

A monitor is added when the health check of a container fails, or when a container crashes repeatedly, and removed when
the container has been neither for RECOVERED_AFTER_S or no longer exists for that time. Containers that have ended are
excluded, because most hosts have old containers that were never removed. Containers that configured monitors of type
`container` watch are excluded as well. The targets are the names of the containers, without data.
"""

import asyncio
import logging
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, ClassVar

from monitord.automatic_names import CONTAINERS
from monitord.monitors import MonitorSettings
from monitord.monitors.container.monitor import DEFAULT_SOCKET, ContainerMonitor, ContainerOptions
from monitord.monitors.systemd.common import compile_patterns
from monitord.net.containers import ContainerEvent, ContainerState, EngineError
from monitord.sources.base import Feed, MonitorSource, SourceTools
from monitord.sources.recoveries import RECOVERED_AFTER_S

log = logging.getLogger(__name__)

MAX_TARGETS = 100
MAX_QUERIED = 200
"""Maximum number of containers that are queried at once; the first by name if there are more."""
QUERY_EVERY_S = 30.0
QUERY_TIMEOUT_S = 10.0
MIN_QUERY_S = 2.0
"""Minimum interval of queries that events request."""

_STATES = frozenset({"running", "restarting"})


class AutoContainers(Enum):
    UNHEALTHY = "unhealthy"


@dataclass(frozen=True, slots=True)
class UnhealthyContainers:
    """Settings of the source. `ignore`: patterns of names of automatic monitors that are excluded.

    `watched`: the options of configured monitors of the same engine.
    """

    socket: str = DEFAULT_SOCKET
    ignore: tuple[str, ...] = ()
    watched: tuple[ContainerOptions, ...] = ()
    query_every_s: float = QUERY_EVERY_S

    name: ClassVar[str] = CONTAINERS
    type_name: ClassVar[str] = "containers"
    max_targets: ClassVar[int] = MAX_TARGETS

    @property
    def samples(self) -> tuple[Mapping[str, Any], ...]:
        """Keys of a possible monitor, by which overrides are checked."""
        return ({"type": ContainerMonitor.type_name, "container": "web", "socket": self.socket},)

    def construct(self, tools: SourceTools) -> "ContainerSource":
        return ContainerSource(self, tools)


def unhealthy_containers(
    socket: str, ignore: tuple[str, ...], monitors: Iterable[MonitorSettings]
) -> UnhealthyContainers:
    """Return the settings of the source together with these configured monitors."""
    options: list[ContainerOptions] = [
        monitor.options for monitor in monitors if monitor.type_name == ContainerMonitor.type_name
    ]
    return UnhealthyContainers(socket, ignore, tuple(option for option in options if option.socket == socket))


class ContainerSource(MonitorSource):
    checks_at_once = True

    def __init__(self, settings: UnhealthyContainers, tools: SourceTools) -> None:
        self._settings = settings
        self._containers = tools.containers
        self._clock = tools.clock
        self._ignored = compile_patterns(settings.ignore)
        self._unhealthy: dict[str, float] = {}
        """The targets, each with the monotonic time at which it was unhealthy last."""
        self._is_outdated = asyncio.Event()

    def keys_of(self, target: str, data: Mapping[str, Any]) -> Mapping[str, Any]:
        del data
        return {"type": ContainerMonitor.type_name, "container": target, "socket": self._settings.socket}

    async def run(self, feed: Feed) -> None:
        now_s = self._clock.monotonic_s()
        self._unhealthy = dict.fromkeys(feed.targets, now_s)
        subscription = self._containers.follow(self._settings.socket, self._on_event)
        try:
            while True:
                self._is_outdated.clear()
                await self._query(feed)
                try:
                    async with asyncio.timeout(self._settings.query_every_s):
                        await self._is_outdated.wait()
                except TimeoutError:
                    continue
                await asyncio.sleep(min(MIN_QUERY_S, self._settings.query_every_s))
        finally:
            self._containers.unfollow(subscription)

    def _on_event(self, event: ContainerEvent | None) -> None:
        if event is None or event.health == "unhealthy" or (event.action == "die" and event.exit_code != 0):
            self._is_outdated.set()

    async def _query(self, feed: Feed) -> None:
        deadline = time.monotonic() + QUERY_TIMEOUT_S
        socket = self._settings.socket
        try:
            rows = await self._containers.list(socket, deadline=deadline)
            monitored = [
                row
                for row in rows
                if not self._ignored.match(f"{CONTAINERS}:{row.name}")
                and not any(options.matches(row.name, row.labels) for options in self._settings.watched)
            ]
            names = [row.name for row in monitored if row.status in _STATES]
            states = [
                await self._containers.inspect(socket, name, deadline=deadline)
                for name in sorted(names)[:MAX_QUERIED]
            ]
        except EngineError as error:
            feed.fail(f"the containers cannot be queried: {error.detail}")
            return
        now_s = self._clock.monotonic_s()
        for state in states:
            if state is not None and is_unhealthy(state):
                if state.name not in self._unhealthy:
                    log.info("%s is unhealthy, and is monitored", state.name)
                self._unhealthy[state.name] = now_s
        watched = {row.name for row in rows} - {row.name for row in monitored}
        for name, at_s in list(self._unhealthy.items()):
            if name in watched or now_s - at_s >= RECOVERED_AFTER_S:
                log.info("%s is no longer monitored", name)
                del self._unhealthy[name]
        feed.provide({name: {} for name in self._unhealthy})


def is_unhealthy(state: ContainerState) -> bool:
    """Return whether the health check of a container fails, or it waits for its restart after a crash."""
    if state.status == "restarting":
        return state.exit_code != 0 or state.is_oom_killed
    return state.is_running and state.health == "unhealthy"
