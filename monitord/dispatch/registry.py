"""The registry of all monitors: their dependencies, members of groups, and silences."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import chain

from monitord.dispatch.entry import MonitorEntry
from monitord.dispatch.silences import Silence, Silences
from monitord.health import Parents, parents_of
from monitord.model import State
from monitord.monitors import Monitor

IsCurrent = Callable[[MonitorEntry], bool]


class _Related:
    """Dependents and members by the name of the parent or group, as long as the monitors do not change.

    An outage of thousands of monitors makes each of them ask for its siblings.
    """

    def __init__(self, entries: Iterable[MonitorEntry]) -> None:
        self.dependents: dict[str, list[MonitorEntry]] = {}
        self._members: dict[str, list[MonitorEntry]] = {}
        for entry in entries:
            settings = entry.monitor.settings
            for name in dict.fromkeys((*settings.depends_on, *settings.depends_on_any)):
                self.dependents.setdefault(name, []).append(entry)

    def members_of(self, registry: "Registry", group: MonitorEntry) -> list[MonitorEntry]:
        if group.name not in self._members:
            self._members[group.name] = registry.members(group)
        return self._members[group.name]


class Registry:
    """All monitors. The dispatcher adds and removes them; everything else reads `entries`."""

    def __init__(self, silences: Silences | None = None) -> None:
        self.silences = Silences() if silences is None else silences
        self._entries: dict[str, MonitorEntry] = {}
        self._groups: list[MonitorEntry] | None = None
        self._related: _Related | None = None
        """Both are None after a change of the monitors."""

    @property
    def entries(self) -> Mapping[str, MonitorEntry]:
        """The monitors by name. The same mapping each time, whose contents change."""
        return self._entries

    def add(self, entry: MonitorEntry) -> None:
        """Add a monitor, or replace the one of the same name."""
        self._entries[entry.name] = entry
        self._groups = self._related = None

    def remove(self, name: str) -> MonitorEntry | None:
        """Remove a monitor and return it; None if there is none of this name."""
        self._groups = self._related = None
        return self._entries.pop(name, None)

    @staticmethod
    def is_group(entry: MonitorEntry) -> bool:
        """Whether the state of this monitor follows from those of others."""
        return type(entry.monitor).is_woken_by is not Monitor.is_woken_by

    def groups_of(self, entry: MonitorEntry) -> list[MonitorEntry]:
        """The groups that contain this monitor: their state follows from that of their members."""
        if self._groups is None:
            self._groups = [group for group in self._entries.values() if self.is_group(group)]
        settings = entry.monitor.settings
        return [group for group in self._groups if group is not entry and group.monitor.is_woken_by(settings)]

    def members(self, group: MonitorEntry) -> list[MonitorEntry]:
        """The members of a group; none if the monitor is not a group."""
        if not self.is_group(group):
            return []
        is_member = group.monitor.is_woken_by
        return [
            entry
            for entry in self._entries.values()
            if entry is not group and is_member(entry.monitor.settings)
        ]

    def dependents(self, name: str) -> Sequence[MonitorEntry]:
        """The monitors that depend on the monitor of this name."""
        return self._relations().dependents.get(name, ())

    def siblings(self, entry: MonitorEntry) -> Iterator[MonitorEntry]:
        """The monitors that have a parent or a group in common with this one, each once."""
        relations, settings = self._relations(), entry.monitor.settings
        seen = {entry.name}
        common = [
            relations.dependents.get(name, ()) for name in (*settings.depends_on, *settings.depends_on_any)
        ]
        common += [relations.members_of(self, group) for group in self.groups_of(entry)]
        for sibling in chain.from_iterable(common):
            if sibling.name not in seen:
                seen.add(sibling.name)
                yield sibling

    def _relations(self) -> "_Related":
        if self._related is None:
            self._related = _Related(self._entries.values())
        return self._related

    def parents(self, entry: MonitorEntry, is_current: IsCurrent = lambda _: True) -> Parents:
        """The state of the parents of this monitor. Parents that are not configured count as up.

        `is_current`: whether a state other than down is recent enough; otherwise the parent counts as failing.
        """
        settings = entry.monitor.settings
        if not settings.depends_on and not settings.depends_on_any:
            return Parents.AVAILABLE
        return parents_of(
            [self.as_parent(name, is_current) for name in settings.depends_on],
            [self.as_parent(name, is_current) for name in settings.depends_on_any],
        )

    def as_parent(self, name: str, is_current: IsCurrent = lambda _: True) -> Parents:
        """The state of this monitor as a parent. For a paused one, its own parents count."""
        parent = self._entries.get(name)
        if parent is None:
            return Parents.AVAILABLE
        if parent.state.effective in {State.DOWN, State.UNREACHABLE}:
            return Parents.DOWN
        if parent.state.effective is State.PAUSED:
            return self.parents(parent, is_current)
        sources = self._sources(parent, {})
        states = [source.state for source in sources]
        if any(state.health.is_soft and state.effective is not State.UNKNOWN for state in states):
            return Parents.FAILING
        return Parents.AVAILABLE if all(map(is_current, sources)) else Parents.FAILING

    def sources(self, entry: MonitorEntry) -> list[MonitorEntry]:
        """The monitors whose checks show whether this one fails because of a parent."""
        found: dict[str, MonitorEntry] = {}
        self._add_sources(entry, found)
        return list(found.values())

    def _add_sources(self, entry: MonitorEntry, found: dict[str, MonitorEntry]) -> None:
        settings = entry.monitor.settings
        for name in (*settings.depends_on, *settings.depends_on_any):
            parent = self._entries.get(name)
            if parent is None or name in found or parent.state.effective is State.DOWN:
                continue
            if parent.state.effective is State.PAUSED:
                self._add_sources(parent, found)
            else:
                self._sources(parent, found)

    def _sources(self, entry: MonitorEntry, found: dict[str, MonitorEntry]) -> Collection[MonitorEntry]:
        """Return this monitor and, for a group, its members that are not paused."""
        found[entry.name] = entry
        for member in self.members(entry):
            if member.name not in found and member.state.effective is not State.PAUSED:
                self._sources(member, found)
        return found.values()

    def member_states(self, names: Collection[str], tags: Collection[str]) -> list[tuple[str, State]]:
        """Return name and state of the monitors with one of the names, or with all of the tags; for groups."""
        all_tags = frozenset(tags)
        return [
            (entry.name, entry.state.effective)
            for entry in self._entries.values()
            if entry.name in names or (all_tags and all_tags.issubset(entry.monitor.settings.tags))
        ]

    def silence_of(self, entry: MonitorEntry, at: datetime) -> Silence | None:
        """The silence of this monitor that ends last."""
        return self.silences.of(entry.name, entry.monitor.settings.tags, at)
