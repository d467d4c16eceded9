"""All monitors in the daemon's care, and what holds for them beside their checks: parents, windows, silences.

The dispatcher fills it, the pipeline asks it. What a person said (a silence) and what the calendar says (a window)
changes no state: it says who need not be told.
"""

import fnmatch
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache

from monitord.dispatch.state import OpenWindow
from monitord.dispatch.watched import Watched
from monitord.health import Parents, Window, maintenance_of, parents_of
from monitord.model import Health
from monitord.monitors import Monitor

MAX_COMPILED = 2048
"""More than there are silences. Each result is compared with all of them in turn, so a smaller
cache would compile every pattern each time."""

IsCurrent = Callable[[Watched], bool]


@dataclass(frozen=True, slots=True)
class Matcher:
    """Which monitors are meant: those with one of the names or patterns (`*`, `?`, `[…]`) and with all of the tags.

    An empty one means all. Filters, commands, maintenance windows and routes combine them in the same way.
    """

    names: tuple[str, ...] = ()
    patterns: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()

    def covers(self, name: str, tags: Collection[str]) -> bool:
        is_named = (
            not (self.names or self.patterns)
            or name in self.names
            or (bool(self.patterns) and _compiled(self.patterns).match(name) is not None)
        )
        return is_named and set(self.tags).issubset(tags)


@lru_cache(maxsize=MAX_COMPILED)
def _compiled(patterns: tuple[str, ...]) -> re.Pattern[str]:
    """One expression of all, as of `fnmatch.fnmatchcase`: a silence of many patterns is asked about every monitor."""
    return re.compile("|".join(map(fnmatch.translate, patterns)))


@dataclass(frozen=True, slots=True)
class Silence:
    """No notifications about these monitors until then.

    `is_end_fixed`: the end was given as a moment and does not move when the wall clock is set, as that of a duration
    does.
    """

    id: str
    matcher: Matcher
    since: datetime
    until: datetime
    by: str
    comment: str | None = None
    is_end_fixed: bool = False


class Roster:
    """One for the daemon. `windows` is replaced at each reload, `silences` by whoever may."""

    def __init__(self) -> None:
        self.watched: dict[str, Watched] = {}
        self.windows: Sequence[Window] = ()
        self.silences: Mapping[str, Silence] = {}
        self._followers: list[Watched] = []

    def settle(self) -> None:
        """The monitors have changed: find out anew who is made of others."""
        self._followers = [watched for watched in self.watched.values() if self.is_group(watched)]

    @staticmethod
    def is_group(watched: Watched) -> bool:
        """Whether its state follows from those of others."""
        return type(watched.monitor).concerns is not Monitor.concerns

    def followers(self, watched: Watched) -> list[Watched]:
        """Those whose state follows from that of this one."""
        settings = watched.monitor.settings
        return [one for one in self._followers if one is not watched and one.monitor.concerns(settings)]

    def members(self, watched: Watched) -> list[Watched]:
        """Those from whose state the state of this one follows; of others than groups there are none."""
        concerns = watched.monitor.concerns
        if not self.is_group(watched):
            return []
        return [one for one in self.watched.values() if one is not watched and concerns(one.monitor.settings)]

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
        parent = self.watched.get(name)
        if parent is None:
            return Parents.WELL
        if parent.state.stands in {Health.DOWN, Health.UNREACHABLE}:
            return Parents.DOWN
        if parent.state.stands is Health.PAUSED:
            return self.parents(parent, is_current)
        sources = self._sources(parent, {})
        if any(one.state.health.is_soft and one.state.stands is not Health.UNKNOWN for one in sources):
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
            parent = self.watched.get(name)
            if parent is None or name in found or parent.state.stands is Health.DOWN:
                continue
            if parent.state.stands is Health.PAUSED:
                self._add_sources(parent, found)
            else:
                self._sources(parent, found)

    def _sources(self, watched: Watched, found: dict[str, Watched]) -> Collection[Watched]:
        """This monitor and, of a group, its members, as far as they are checked."""
        found[watched.name] = watched
        for member in self.members(watched):
            if member.name not in found and member.state.stands is not Health.PAUSED:
                self._sources(member, found)
        return found.values()

    def peers(self, names: Collection[str], tags: Collection[str]) -> list[tuple[str, Health]]:
        """How those stand that are named, or have all of the tags, if any; for monitors that are made of others."""
        wanted = frozenset(tags)
        return [
            (watched.name, watched.state.stands)
            for watched in self.watched.values()
            if watched.name in names or (wanted and wanted.issubset(watched.monitor.settings.tags))
        ]

    def window_of(self, watched: Watched, at: datetime) -> OpenWindow | None:
        """The maintenance window that is open for this monitor, of several the one that closes last."""
        window = maintenance_of(self.windows, watched.name, watched.monitor.settings.tags, at)
        return None if window is None else OpenWindow(window.name, window.closes_after(at), window.comment)

    def silence_of(self, watched: Watched, at: datetime) -> Silence | None:
        """The silence that ends last among those in force for this monitor."""
        if not self.silences:
            return None
        tags = watched.monitor.settings.tags
        found = [
            silence
            for silence in self.silences.values()
            if silence.since <= at < silence.until and silence.matcher.covers(watched.name, tags)
        ]
        return max(found, key=lambda silence: silence.until, default=None)
