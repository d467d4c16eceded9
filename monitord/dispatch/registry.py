"""The registry of all monitors: their dependencies, members of groups, and silences."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import chain

from monitord.dispatch.entry import MonitorEntry
from monitord.dispatch.silences import Matcher, Silence, Silences
from monitord.health import ParentState, combined_state
from monitord.model import State
from monitord.monitors import Monitor

IsRecent = Callable[[MonitorEntry], bool]


class _RelationCache:
    """Cache of dependents and members by parent and group; discarded when monitors change.

    In a large outage, siblings are looked up for every monitor that is down.
    """

    def __init__(self, entries: Iterable[MonitorEntry]) -> None:
        self.dependents: dict[str, list[MonitorEntry]] = {}
        self._members: dict[str, list[MonitorEntry]] = {}
        self._needed: set[str] | None = None
        for entry in entries:
            settings = entry.monitor.settings
            for name in dict.fromkeys((*settings.depends_on, *settings.depends_on_any)):
                self.dependents.setdefault(name, []).append(entry)

    def needed_as_parents(self, registry: "Registry") -> Collection[str]:
        if self._needed is None:
            self._needed = set()
            unvisited = [registry.entries[name] for name in self.dependents if name in registry.entries]
            while unvisited:
                parent = unvisited.pop()
                if parent.name not in self._needed:
                    self._needed.add(parent.name)
                    unvisited += self.members_of(registry, parent)
        return self._needed

    def members_of(self, registry: "Registry", group: MonitorEntry) -> list[MonitorEntry]:
        if group.name not in self._members:
            self._members[group.name] = registry.members(group)
        return self._members[group.name]


class Registry:
    """All monitors. The dispatcher adds and removes them; everything else reads `entries`."""

    def __init__(self, silences: Silences | None = None) -> None:
        self.silences = Silences() if silences is None else silences
        self._entries: dict[str, MonitorEntry] = {}
        self.version = 0
        """Counts the monitors that were added, replaced or removed."""
        self._groups: list[MonitorEntry] | None = None
        self._relation_cache: _RelationCache | None = None
        """Both are None after a change of the monitors."""

    @property
    def entries(self) -> Mapping[str, MonitorEntry]:
        """The monitors by name. The same mapping each time, whose contents change."""
        return self._entries

    def add(self, entry: MonitorEntry) -> None:
        """Add a monitor, or replace the monitor of this name."""
        self._entries[entry.name] = entry
        self.version += 1
        self._groups = self._relation_cache = None

    def remove(self, name: str) -> MonitorEntry | None:
        """Remove a monitor and return it; None if no monitor has this name."""
        self.version += 1
        self._groups = self._relation_cache = None
        return self._entries.pop(name, None)

    @staticmethod
    def is_group(entry: MonitorEntry) -> bool:
        """Whether the state of this monitor follows from those of others."""
        return type(entry.monitor).has_member is not Monitor.has_member

    def groups_of(self, entry: MonitorEntry) -> list[MonitorEntry]:
        """The groups that contain this monitor: their state follows from that of their members."""
        if self._groups is None:
            self._groups = [group for group in self._entries.values() if self.is_group(group)]
        settings = entry.monitor.settings
        return [group for group in self._groups if group is not entry and group.monitor.has_member(settings)]

    def members(self, group: MonitorEntry) -> list[MonitorEntry]:
        """The members of a group; none if the monitor is not a group."""
        if not self.is_group(group):
            return []
        return [
            entry
            for entry in self._entries.values()
            if entry is not group and group.monitor.has_member(entry.monitor.settings)
        ]

    def dependents(self, name: str) -> Sequence[MonitorEntry]:
        """The monitors that depend on the monitor of this name."""
        return self._relations().dependents.get(name, ())

    def is_needed_as_parent(self, entry: MonitorEntry) -> bool:
        """Whether the state of a monitor depends on this one: it is a parent, or a member of a group that is one."""
        return entry.name in self._relations().needed_as_parents(self)

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

    def _relations(self) -> "_RelationCache":
        if self._relation_cache is None:
            self._relation_cache = _RelationCache(self._entries.values())
        return self._relation_cache

    def parent_state(self, entry: MonitorEntry, is_recent: IsRecent = lambda _: True) -> ParentState:
        """Return the combined state of the parents of this monitor. Parents that are not configured count as up.

        `is_recent`: whether a state other than down is recent enough; otherwise the parent counts as failing.
        """
        settings = entry.monitor.settings
        if not settings.depends_on and not settings.depends_on_any:
            return ParentState.AVAILABLE
        return combined_state(
            [self.state_as_parent(name, is_recent) for name in settings.depends_on],
            [self.state_as_parent(name, is_recent) for name in settings.depends_on_any],
        )

    def state_as_parent(self, name: str, is_recent: IsRecent = lambda _: True) -> ParentState:
        """Return the state of this monitor as a parent. For a paused monitor, its own parents count."""
        parent = self._entries.get(name)
        if parent is None:
            return ParentState.AVAILABLE
        # At this location: the other locations of a cluster may reach a parent that is down here.
        if parent.state.pause is not None:
            return self.parent_state(parent, is_recent)
        if parent.state.local_state in {State.DOWN, State.UNREACHABLE}:
            return ParentState.DOWN
        checked = self._add_with_members(parent, {})
        states = [entry.state for entry in checked]
        if any(state.health.is_soft and not state.is_unknown for state in states):
            return ParentState.FAILING
        return ParentState.AVAILABLE if all(map(is_recent, checked)) else ParentState.FAILING

    def parents_to_check(self, entry: MonitorEntry) -> list[MonitorEntry]:
        """Return the parents of this monitor that are not down, each once: for a group, with its members; for a paused
        parent, its own parents."""
        parents: dict[str, MonitorEntry] = {}
        self._add_parents_to_check(entry, parents)
        return list(parents.values())

    def _add_parents_to_check(self, entry: MonitorEntry, parents: dict[str, MonitorEntry]) -> None:
        settings = entry.monitor.settings
        for name in (*settings.depends_on, *settings.depends_on_any):
            parent = self._entries.get(name)
            if parent is None or name in parents:
                continue
            if parent.state.pause is not None:
                self._add_parents_to_check(parent, parents)
            elif parent.state.local_state is not State.DOWN:
                self._add_with_members(parent, parents)

    def _add_with_members(
        self, entry: MonitorEntry, entries: dict[str, MonitorEntry]
    ) -> Collection[MonitorEntry]:
        """Add this monitor and, for a group, its members that are not paused. Return all that were found."""
        entries[entry.name] = entry
        for member in self.members(entry):
            if member.name not in entries and member.state.pause is None:
                self._add_with_members(member, entries)
        return entries.values()

    def member_states(self, names: Collection[str], tags: Collection[str]) -> list[tuple[str, State]]:
        """Return name and state of the monitors with one of the names, or with all of the tags; for groups."""
        all_tags = frozenset(tags)
        return [
            (entry.name, entry.state.effective)
            for entry in self._entries.values()
            if entry.name in names
            or (
                all_tags
                and all_tags.issubset(entry.monitor.settings.tags)
                and not entry.monitor.settings.is_objective
            )
        ]

    def selected(self, matcher: Matcher) -> list[str]:
        """Return the names of the monitors that match, without objectives, which evaluate them."""
        entries: Mapping[str, MonitorEntry] = self._entries
        named = dict.fromkeys((*matcher.names, *matcher.patterns))
        if named and all(name in entries for name in named):
            # Names have no wildcards. With thousands of objectives of single monitors, each is found without a search.
            entries, matcher = {name: entries[name] for name in named}, Matcher(tags=matcher.tags)
        return [
            name
            for name, entry in entries.items()
            if not entry.monitor.settings.is_objective and matcher.matches(name, entry.monitor.settings.tags)
        ]

    def silence_of(self, entry: MonitorEntry, at: datetime) -> Silence | None:
        """Return the silence of this monitor that ends last."""
        return self.silences.find_longest(entry.name, entry.monitor.settings.tags, at)
