"""Targets that are containers of Docker or Podman with labels, such as `monitord.path=/health`.

A container is a target from its start until it is removed: an ended container keeps its last address, so that its
monitor goes down. Events of the engine request a query; a query at longer intervals finds other changes.
"""

import asyncio
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from monitord.config import Table
from monitord.errors import InvalidValueError
from monitord.monitors.container.monitor import DEFAULT_SOCKET, parse_socket
from monitord.net.containers import (
    ContainerEvent,
    ContainerRow,
    ContainerSubscription,
    EngineError,
)
from monitord.sources.base import SourceTools, Targets
from monitord.sources.discovery.source import Fetcher, FetchError
from monitord.sources.discovery.targets import MAX_LABEL_CHARACTERS, MAX_LABELS, DiscoveredTarget

DEFAULT_LABEL_PREFIX = "monitord."
MIN_QUERY_S = 1.0
"""Minimum interval of queries that events request."""

CONTAINER = "__meta_container_"
LARGEST_PORT = 65535

_NOT_TARGETS = frozenset({"created", "removing"})
_CHANGES = frozenset({"start", "destroy", "rename"})
_PREFIX = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]*")
_UNUSABLE = re.compile(r"[^A-Za-z0-9_]")


@dataclass(frozen=True, slots=True)
class ContainerDiscoveryOptions:
    socket: str = DEFAULT_SOCKET
    label_prefix: str = DEFAULT_LABEL_PREFIX


class ContainerFetcher(Fetcher[ContainerDiscoveryOptions]):
    default_refresh_s: ClassVar[float] = 60.0
    default_remove_after_s: ClassVar[float] = 30.0
    default_name: ClassVar[str] = f"{{{CONTAINER}name}}"

    def __init__(self, options: ContainerDiscoveryOptions, timeout_s: float, tools: SourceTools) -> None:
        super().__init__(options, timeout_s, tools)
        self._containers = tools.containers
        self._addresses: dict[str, str] = {}
        """The last address of each container, by its id."""
        self._has_changed = asyncio.Event()
        self._subscription: ContainerSubscription | None = None

    @classmethod
    def read_options(cls, table: Table) -> ContainerDiscoveryOptions:
        return ContainerDiscoveryOptions(
            table.value("socket", parse_socket, default=DEFAULT_SOCKET),
            table.value("label_prefix", _label_prefix, default=DEFAULT_LABEL_PREFIX),
        )

    def start(self, targets: Targets) -> None:
        for data in targets.values():
            address, labels = data.get("address"), data.get("labels")
            if isinstance(address, str) and address and isinstance(labels, dict):
                self._addresses[str(labels.get(f"{CONTAINER}id"))] = address
        self._subscription = self._containers.follow(self.options.socket, self._on_event)

    def close(self) -> None:
        if self._subscription is not None:
            self._containers.unfollow(self._subscription)
            self._subscription = None

    def _on_event(self, event: ContainerEvent | None) -> None:
        if event is None or event.action in _CHANGES:
            self._has_changed.set()

    async def wait(self, refresh_every_s: float) -> None:
        try:
            async with asyncio.timeout(refresh_every_s):
                await self._has_changed.wait()
        except TimeoutError:
            return
        await asyncio.sleep(MIN_QUERY_S)

    async def fetch(self) -> list[DiscoveredTarget]:
        self._has_changed.clear()
        try:
            rows = await self._containers.list(
                self.options.socket, deadline=time.monotonic() + self.timeout_s
            )
        except EngineError as error:
            raise FetchError(f"the containers cannot be queried: {error.detail}") from None
        targets: list[DiscoveredTarget] = []
        prefix = self.options.label_prefix
        for row in sorted(rows, key=lambda row: row.name):
            options = {
                _UNUSABLE.sub("_", name.removeprefix(prefix)): value
                for name, value in sorted(row.labels.items())
                if name.startswith(prefix)
            }
            if not options or row.status in _NOT_TARGETS:
                continue
            enable = options.pop("enable", "true").lower()
            if enable == "false":
                continue
            if enable != "true":
                targets.append(
                    DiscoveredTarget(row.name, {}, f"its label {prefix}enable is not true or false")
                )
                continue
            try:
                address = address_of(row, options.get("network"), options.get("port"), prefix)
            except InvalidValueError as error:
                targets.append(DiscoveredTarget(row.name, {}, error.problem))
                continue
            if address:
                self._addresses[row.id] = address
            targets.append(DiscoveredTarget(self._addresses.get(row.id, ""), _labels_of(row, options)))
        self._addresses = {row.id: self._addresses[row.id] for row in rows if row.id in self._addresses}
        return targets


def address_of(row: ContainerRow, network: str | None, port: str | None, prefix: str = "") -> str:
    """Return the address in its network, with the port that it listens on; else that of a published port; else "".

    `network` and `port`: the labels that select them. Without them the first network by name, and the lowest port.
    Raises InvalidValueError.
    """
    if port is not None and not (port.isascii() and port.isdigit() and 0 < int(port[:6]) <= LARGEST_PORT):
        raise InvalidValueError(f"its label {prefix}port is not a port")
    addresses = dict(sorted(row.addresses.items()))
    if network is not None and addresses and network not in addresses:
        raise InvalidValueError(f"its label {prefix}network is not the name of one of its networks")
    host = next(iter(addresses.values()), "") if network is None else addresses.get(network, "")
    if row.is_in_host_network:
        host = "127.0.0.1"
    ports = sorted(row.ports, key=lambda mapping: (mapping.private, mapping.public or 0))
    if not host:
        for mapping in ports:
            if mapping.public is not None and (port is None or mapping.private == int(port)):
                host = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}.get(mapping.ip, mapping.ip)  # noqa: S104
                port = str(mapping.public)
                break
        else:
            return ""
    elif port is None and ports:
        port = str(ports[0].private)
    host = f"[{host}]" if ":" in host else host
    return host if port is None else f"{host}:{port}"


def _labels_of(row: ContainerRow, options: Mapping[str, str]) -> dict[str, str]:
    """The labels of the target. Other labels of the container are included up to the limits."""
    labels: dict[str, Any] = {
        f"{CONTAINER}name": row.name,
        f"{CONTAINER}id": row.id,
        f"{CONTAINER}image": row.image,
        **options,
    }
    for name, value in sorted(row.labels.items()):
        if len(labels) < MAX_LABELS and len(value) <= MAX_LABEL_CHARACTERS:
            labels.setdefault(f"{CONTAINER}label_{_UNUSABLE.sub('_', name)}", value)
    return labels


def _label_prefix(text: str) -> str:
    """Parse a prefix of labels. Raises InvalidValueError."""
    if not _PREFIX.fullmatch(text):
        raise InvalidValueError(
            "is not the beginning of a label's name", f'write a value such as "{DEFAULT_LABEL_PREFIX}"'
        )
    return text
