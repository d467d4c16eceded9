"""What a new configuration changes: found and built aside, before anything is touched."""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from monitord.dispatch.watched import Watched
from monitord.monitors import Monitor, MonitorSettings


@dataclass(frozen=True, slots=True)
class Plan:
    """Its monitors are built, and none of them runs yet."""

    added: tuple[Monitor[Any], ...]
    changed: tuple[Monitor[Any], ...]
    removed: tuple[str, ...]
    unchanged: int

    def __str__(self) -> str:
        """Such as "1 added, 2 changed, 22 unchanged"."""
        counts = {
            "added": len(self.added),
            "removed": len(self.removed),
            "changed": len(self.changed),
            "unchanged": self.unchanged,
        }
        return ", ".join(f"{count} {what}" for what, count in counts.items() if count) or "no monitors"


def plan_of(
    watched: Mapping[str, Watched],
    extra: Collection[str],
    wanted: Iterable[MonitorSettings],
    build: Callable[[MonitorSettings], Monitor[Any]],
) -> Plan:
    """From what is watched to what is wanted. `extra`: names that no configuration owns. Raises what `build` does."""
    added: list[Monitor[Any]] = []
    changed: list[Monitor[Any]] = []
    names: set[str] = set()
    for settings in wanted:
        names.add(settings.name)
        present = watched.get(settings.name)
        if present is None:
            added.append(build(settings))
        elif present.monitor.settings != settings:
            changed.append(build(settings))
    removed = tuple(name for name in watched if name not in names and name not in extra)
    unchanged = len(names) - len(added) - len(changed)
    return Plan(tuple(added), tuple(changed), removed, unchanged)
