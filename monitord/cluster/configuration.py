"""The part of the configuration in which the nodes of a cluster should agree: the digest of each section, and of all.

These are the monitors that they share, the routes, and the names of the notifiers. Monitors of a host, sockets, limits,
the options of notifiers and secrets may differ.
"""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from enum import Enum
from hashlib import blake2b
from typing import Any

from monitord.alerts import AlertSettings
from monitord.cluster.assignment import Assignment
from monitord.cluster.model import NodeShard
from monitord.cluster.sharding import SHARDS, shard_of
from monitord.cluster.turns import in_turns
from monitord.config import Secret
from monitord.dispatch.registry import Registry
from monitord.monitors import MonitorSettings, monitor_type

MONITORS = "monitors"
"""The key of a monitor is "monitors.NAME"."""
_URL = re.compile(r"([a-z][a-z0-9+.-]*://)(?:[^/?#]*@)?([^?#]*)", re.IGNORECASE)


async def configuration_digests(
    monitors: tuple[MonitorSettings, ...], alerts: AlertSettings
) -> dict[str, str]:
    """Return the digest of each section by its key, such as "monitors.web" or "alerts.routes".

    It is the same in every process for equal settings.
    """
    digests: dict[str, str] = {}
    async for settings in in_turns(monitors):
        kind = monitor_type(settings.type_name)
        if kind is None or not kind.belongs_to_host(settings.options):
            digests[f"{MONITORS}.{settings.name}"] = _digest(_tokens(settings))
    for notifier in alerts.notifiers:
        digests[f"notifiers.{notifier.name}"] = _digest([notifier.type_name])
    digests["alerts.routes"] = _digest(_tokens(alerts.routes))
    return digests


def digest_of_all(digests: Mapping[str, str]) -> str:
    """Return the digest of a configuration from those of its sections, in any order."""
    return _digest(f"{key}={digest}" for key, digest in sorted(digests.items()))


def _digest(texts: Iterable[str]) -> str:
    return blake2b("\0".join(texts).encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()


class OwnMonitors:
    """The shared monitors of this node, including those of its sources, as published to the other nodes."""

    def __init__(self, registry: Registry, assignment: Assignment) -> None:
        self._registry = registry
        self._assignment = assignment
        self._version: int | None = None
        self._hashed: dict[str, tuple[MonitorSettings, str]] = {}

    async def changed(self) -> Sequence[NodeShard]:
        """Return the shards with monitors that were added, changed or removed since the last call; all in the first."""
        version = self._registry.version
        if version == self._version:
            return ()
        changed = set(range(SHARDS)) if self._version is None else set()
        hashed: dict[str, tuple[MonitorSettings, str]] = {}
        async for name, entry in in_turns(list(self._registry.entries.items())):
            if not self._assignment.is_shared(entry.monitor):
                continue
            settings, known = entry.monitor.settings, self._hashed.get(name)
            if known is None or known[0] is not settings:
                hashed[name] = settings, _digest(_tokens(settings))
                changed.add(shard_of(name))
            else:
                hashed[name] = known
        changed.update(shard_of(name) for name in self._hashed.keys() - hashed.keys())
        self._version, self._hashed = version, hashed
        if not changed:
            return ()
        shards: dict[int, dict[str, str]] = {shard: {} for shard in sorted(changed)}
        async for name, (_, digest) in in_turns(hashed.items()):
            if (shard := shard_of(name)) in shards:
                shards[shard][name] = digest
        return [NodeShard(self._assignment.node, shard, monitors) for shard, monitors in shards.items()]

    def forget(self) -> None:
        """Return all shards in the next call of `changed`."""
        self._version, self._hashed = None, {}


def _tokens(value: object) -> Iterator[str]:
    """Return texts that are equal for equal values, without secrets: a weak one could be guessed by the digest."""
    if isinstance(value, Enum):
        yield f"{type(value).__name__}.{value.name}"
    elif isinstance(value, Secret):
        # A URL, which may contain secrets, without user, password and query.
        match = _URL.match(value.reveal())
        yield "" if match is None else match[1] + match[2]
    elif is_dataclass(value) and not isinstance(value, type):
        yield type(value).__name__
        for field in fields(value):
            if field.compare:
                yield field.name
                yield from _tokens(getattr(value, field.name))
    elif isinstance(value, Mapping | frozenset | set | tuple | list):
        yield from _tokens_of_items(value)
    elif isinstance(value, str | bytes | int | float | bool | None):
        yield repr(value)
    else:
        # A compiled pattern, whose text is in another field, or a function.
        yield type(value).__name__


def _tokens_of_items(value: Mapping[Any, Any] | Collection[Any]) -> Iterator[str]:
    yield "("
    if isinstance(value, Mapping):
        yield from sorted(" ".join((*_tokens(key), *_tokens(item))) for key, item in value.items())
    elif isinstance(value, frozenset | set):
        yield from sorted(" ".join(_tokens(item)) for item in value)
    else:
        for item in value:
            yield from _tokens(item)
    yield ")"
