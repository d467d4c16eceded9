"""The changes of a new configuration, with monitors that are built before anything is applied."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from monitord.dispatch.entry import MonitorEntry
from monitord.monitors import Monitor, MonitorSettings


@dataclass(frozen=True, slots=True)
class ReloadPlan:
    """The changes of a reload. New and changed monitors are built but not started."""

    added: tuple[Monitor[Any], ...]
    changed: tuple[Monitor[Any], ...]
    removed: tuple[str, ...]
    unchanged: int

    def __str__(self) -> str:
        """Return a summary such as "1 added, 2 changed, 22 unchanged"."""
        counts = {
            "added": len(self.added),
            "removed": len(self.removed),
            "changed": len(self.changed),
            "unchanged": self.unchanged,
        }
        return ", ".join(f"{count} {change}" for change, count in counts.items() if count) or "no monitors"


def plan_of(
    entries: Mapping[str, MonitorEntry],
    wanted: Iterable[MonitorSettings],
    build: Callable[[MonitorSettings], Monitor[Any]],
) -> ReloadPlan:
    """Return the changes that turn the current monitors into `wanted`.

    Automatic monitors are not removed. Propagates exceptions of `build`.
    """
    added: list[Monitor[Any]] = []
    changed: list[Monitor[Any]] = []
    names: set[str] = set()
    for settings in wanted:
        names.add(settings.name)
        present = entries.get(settings.name)
        if present is None:
            added.append(build(settings))
        elif present.monitor.settings != settings:
            changed.append(build(settings))
    removed = tuple(
        name
        for name, present in entries.items()
        if name not in names and present.monitor.settings.source is None
    )
    unchanged = len(names) - len(added) - len(changed)
    return ReloadPlan(tuple(added), tuple(changed), removed, unchanged)
