"""The part of the configuration in which the nodes of a cluster should agree: the digest of each section, and of all.

These are the monitors that they share, the routes, and the names of the notifiers. Monitors of a host, sockets, limits
and the options of notifiers may differ.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from hashlib import blake2b
from typing import Any

from monitord.alerts import AlertSettings
from monitord.cluster.turns import in_turns
from monitord.config import Secret
from monitord.monitors import MonitorSettings, monitor_type

MONITORS = "monitors"
"""The key of a monitor is "monitors.NAME"."""


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


def _tokens(value: object) -> Iterator[str]:
    """Return texts that are equal for equal values."""
    if isinstance(value, Enum):
        yield f"{type(value).__name__}.{value.name}"
    elif isinstance(value, Secret):
        yield value.reveal()  # a URL is a secret, as it may contain a password
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
