"""The registry of all monitors: their dependencies, members of groups, and silences."""

from collections.abc import Callable, Collection, Mapping
from datetime import datetime

from monitord.dispatch.silences import Silence, Silences
from monitord.dispatch.watched import Watched
from monitord.health import Parents, parents_of
from monitord.model import State
from monitord.monitors import Monitor

IsCurrent = Callable[[Watched], bool]


class Registry:
    """All monitors. The dispatcher adds and removes them; everything else reads `watched`."""

    def __init__(self, silences: Silences | None = None) -> None:
        self.silences = Silences() if silences is None else silences
        self._watched: dict[str, Watched] = {}
        self._groups: list[Watched] | None = None
        """Found when they are needed for the first time after a change."""

    @property
    def watched(self) -> Mapping[str, Watched]:
        """The monitors by name. The same mapping each time, whose contents change."""
        return self._watched

    def add(self, watched: Watched) -> None:
        """Add a monitor, or replace the one of the same name."""
        self._watched[watched.name] = watched
        self._groups = None

    def remove(self, name: str) -> Watched | None:
        """Remove a monitor and return it; None if there is none of this name."""
        self._groups = None
        return self._watched.pop(name, None)

    @staticmethod
    def is_group(watched: Watched) -> bool:
        """Whether its state follows from those of others."""
        return type(watched.monitor).is_woken_by is not Monitor.is_woken_by

    def followers(self, watched: Watched) -> list[Watched]:
        """Those whose state follows from that of this one."""
        if self._groups is None:
            self._groups = [one for one in self._watched.values() if self.is_group(one)]
        settings = watched.monitor.settings
        return [one for one in self._groups if one is not watched and one.monitor.is_woken_by(settings)]

    def members(self, watched: Watched) -> list[Watched]:
        """Those from whose state the state of this one follows; of others than groups there are none."""
        concerns = watched.monitor.is_woken_by
        if not self.is_group(watched):
            return []
        return [
            one for one in self._watched.values() if one is not watched and concerns(one.monitor.settings)
        ]

    def parents(self, watched: Watched, is_current: IsCurrent = lambda _: True) -> Parents:
        """State of the monitors that this one depends on. One that is not configured says nothing.

        `is_current`: whether a state other than down is recent enough; otherwise the parent counts as failing.
        """
        settings = watched.monitor.settings
        if not settings.depends_on and not settings.depends_on_any:
            return Parents.WELL
        return parents_of(
            [self.as_parent(name, is_current) for name in settings.depends_on],
            [self.as_parent(name, is_current) for name in settings.depends_on_any],
        )

    def as_parent(self, name: str, is_current: IsCurrent = lambda _: True) -> Parents:
        """What this monitor says of those that depend on it. Behind a paused one, its own parents count."""
        parent = self._watched.get(name)
        if parent is None:
            return Parents.WELL
        if parent.state.stands in {State.DOWN, State.UNREACHABLE}:
            return Parents.DOWN
        if parent.state.stands is State.PAUSED:
            return self.parents(parent, is_current)
        sources = self._sources(parent, {})
        if any(one.state.health.is_soft and one.state.stands is not State.UNKNOWN for one in sources):
            return Parents.FAILING
        return Parents.WELL if all(map(is_current, sources)) else Parents.FAILING

    def sources(self, watched: Watched) -> list[Watched]:
        """The monitors that are to be checked if it is to be known whether this one fails because of a parent."""
        found: dict[str, Watched] = {}
        self._add_sources(watched, found)
        return list(found.values())

    def _add_sources(self, watched: Watched, found: dict[str, Watched]) -> None:
        settings = watched.monitor.settings
        for name in (*settings.depends_on, *settings.depends_on_any):
            parent = self._watched.get(name)
            if parent is None or name in found or parent.state.stands is State.DOWN:
                continue
            if parent.state.stands is State.PAUSED:
                self._add_sources(parent, found)
            else:
                self._sources(parent, found)

    def _sources(self, watched: Watched, found: dict[str, Watched]) -> Collection[Watched]:
        """This monitor and, of a group, its members, as far as they are checked."""
        found[watched.name] = watched
        for member in self.members(watched):
            if member.name not in found and member.state.stands is not State.PAUSED:
                self._sources(member, found)
        return found.values()

    def peers(self, names: Collection[str], tags: Collection[str]) -> list[tuple[str, State]]:
        """How those stand that are named, or have all of the tags, if any; for monitors that are made of others."""
        wanted = frozenset(tags)
        return [
            (watched.name, watched.state.stands)
            for watched in self._watched.values()
            if watched.name in names or (wanted and wanted.issubset(watched.monitor.settings.tags))
        ]

    def silence_of(self, watched: Watched, at: datetime) -> Silence | None:
        """The silence of this monitor that ends last."""
        return self.silences.of(watched.name, watched.monitor.settings.tags, at)
