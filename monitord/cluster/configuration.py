"""A hash of the part of the configuration in which the nodes of a cluster should agree.

These are the monitors that they share, the routes, and the names of the notifiers. Monitors of a host, sockets, limits
and the options of notifiers may differ.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from hashlib import blake2b
from typing import Any

from monitord.alerts import AlertSettings
from monitord.cluster.turns import in_turns
from monitord.config import Secret
from monitord.monitors import MonitorSettings, monitor_type


async def configuration_hash(monitors: tuple[MonitorSettings, ...], alerts: AlertSettings) -> str:
    """Return a hash that is the same in every process for equal settings, in any order of monitors."""
    digest = blake2b(digest_size=8)
    async for settings in in_turns(sorted(monitors, key=lambda settings: settings.name)):
        kind = monitor_type(settings.type_name)
        if kind is not None and not kind.belongs_to_host(settings.options):
            digest.update("\0".join(_tokens(settings)).encode("utf-8", "surrogatepass"))
    for notifier in alerts.notifiers:
        digest.update(f"\0{notifier.name}\0{notifier.type_name}".encode())
    digest.update("\0".join(_tokens(alerts.routes)).encode("utf-8", "surrogatepass"))
    return digest.hexdigest()


def _tokens(value: object) -> Iterator[str]:
    """Return texts that are equal for equal values."""
    if isinstance(value, Enum):
        yield f"{type(value).__name__}.{value.name}"
    elif isinstance(value, Secret):
        yield value.reveal()  # a URL is one, as it may contain a password
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
