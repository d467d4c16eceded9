"""Which notifiers are to hear of a problem, and when: [notifiers.NAME] and [[alerts.routes]].

Routes are looked at in order; the first that fits holds, unless it says `continue`. Without routes every notifier
hears everything.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from fnmatch import fnmatchcase
from typing import Any

from monitord.config import Table, value_text
from monitord.errors import InvalidValueError
from monitord.health import Window
from monitord.health.windows import read_calendar
from monitord.model import State
from monitord.monitors import monitor_type_names
from monitord.notifiers import IMPLIED_TYPES, NOTIFIER_TYPES, Notifier, NotifierSettings
from monitord.unit_monitors import full_monitor_name, is_for_unit_monitors

TOLD_STATES = ("down", "degraded", "unknown")
_FAILING = frozenset({State.DOWN, State.DEGRADED})
SHORTEST_REPEAT_S = 60.0
LONGEST_QUIET_S = 7 * 86_400.0


@dataclass(frozen=True, slots=True)
class Route:
    """Empty `monitors` (names and patterns), `tags` and `types` mean all; of several kinds each has to fit.

    `after_s`: only of what is not over by then. `repeat_every_s`: told again so often. `quiet`: not now.
    """

    notify: tuple[str, ...]
    monitors: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    types: tuple[str, ...] = ()
    states: frozenset[State] = _FAILING
    continues: bool = False
    after_s: float = 0.0
    repeat_every_s: float | None = None
    quiet: Window | None = None

    def leaves_nothing_to(self, other: "Route") -> bool:
        """Whether nothing that the other one is for gets past this one, if it comes first."""
        is_for_all = not (self.continues or self.monitors or self.tags or self.types)
        return is_for_all and self.states >= other.states

    def fits(self, monitor: str, type_name: str, tags: Collection[str], health: State | None) -> bool:
        """`health` None: flapping between states, of which at least one is down or degraded."""
        return (
            (not self.states.isdisjoint(_FAILING if health is None else {health}))
            and (not self.monitors or any(fnmatchcase(monitor, pattern) for pattern in self.monitors))
            and set(self.tags).issubset(tags)
            and (not self.types or type_name in self.types)
        )


@dataclass(frozen=True, slots=True)
class AlertSettings:
    """Equal settings mean that a reload changes nothing."""

    notifiers: tuple[NotifierSettings, ...] = ()
    routes: tuple[Route, ...] = ()
    names: tuple[str, ...] = field(init=False, compare=False, default=())
    states: frozenset[State] = field(init=False, compare=False, default=_FAILING)
    """Those of which anybody is to be notified."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "names", tuple(one.name for one in self.notifiers))
        object.__setattr__(self, "states", _FAILING.union(*(route.states for route in self.routes)))

    @property
    def has_reminders(self) -> bool:
        return any(route.repeat_every_s is not None for route in self.routes)

    def routes_for(
        self, monitor: str, type_name: str, tags: Collection[str], health: State | None
    ) -> Iterator[Route]:
        """Those that hold, in order."""
        for route in self.routes or (Route(self.names),):
            if route.fits(monitor, type_name, tags, health):
                yield route
                if not route.continues:
                    return


# From the configuration


def read_alerts(root: Table, monitors: Collection[str], tags: Collection[str] | None) -> AlertSettings:
    """`monitors` and `tags`: those there are, or None where they are not all known."""
    named = root.named("notifiers")
    settings = [one for name, table in named.items() if (one := _notifier(name, table)) is not None]
    for name, table in named.items():
        _check_fallback(name, table, named)
    tables = root.table("alerts").tables("routes")
    routes = [_route(table, named, monitors, tags) for table in tables]
    _check_reach(tables, routes)
    if routes and not named:
        root.table("alerts").error("routes", "lead to no notifier", 'add [notifiers.ops] with to = ["…"]')
    return AlertSettings(tuple(settings), tuple(routes))


def _notifier(name: str, table: Table) -> NotifierSettings | None:
    kind = _type_of(table)
    most, usual = (kind or Notifier).most_notifications, (kind or Notifier).usual_per_minute
    common: dict[str, Any] = {
        "timeout_s": table.duration("timeout", default=30.0, minimum=0.1, maximum=300.0),
        "group_wait_s": table.duration("group_wait", default=10.0, maximum=3600.0),
        "max_notifications": table.integer("max_notifications", default=most, minimum=1, maximum=most),
        "max_per_minute": table.integer("max_per_minute", default=usual, minimum=1, maximum=600),
        "expire_after_s": table.duration("expire_after", default=86_400.0, minimum=60.0),
        "fallback": table.text("fallback", default=None),
    }
    if kind is None:
        table.ignore_others()
        return None
    return NotifierSettings(name, kind.type_name, kind.read_options(table), **common)


def _type_of(table: Table) -> type[Notifier[Any]] | None:
    name = table.text("type", default=None)
    if name is None:
        for key, implied in IMPLIED_TYPES.items():
            if key in table:
                return NOTIFIER_TYPES[implied]
        table.error("", "has no type", 'write to = ["ops@example.org"] for mail, or type = "…"')
        return None
    found = NOTIFIER_TYPES.get(name)
    if found is None:
        known = ", ".join(NOTIFIER_TYPES)
        table.error("type", f"{value_text(name)} is not a type of notifier", f"write one of: {known}")
    return found


def _check_fallback(name: str, table: Table, named: Collection[str]) -> None:
    found = table.look_up("fallback")
    if found is None:
        return
    if found[1] == name:
        table.error("fallback", "is the notifier itself", "name another one")
    elif isinstance(found[1], str) and found[1] not in named:
        table.error("fallback", f"{value_text(found[1])} is not a notifier", _known(named))


def _route(
    table: Table, named: Collection[str], monitors: Collection[str], tags: Collection[str] | None
) -> Route:
    notify = table.one_or_more("notify", str, default=())
    if table.look_up("notify") is None:
        table.error("", "notifies nobody", 'write notify = ["…"]')
    _check(table, "notify", (one for one in notify if one not in named), "is not a notifier", _known(named))
    patterns = table.one_or_more("monitors", full_monitor_name, default=())
    strangers = (
        one
        for one in patterns
        if not is_for_unit_monitors(one) and not any(fnmatchcase(name, one) for name in monitors)
    )
    _check(table, "monitors", strangers, "fits no monitor", "write the name of one, or a pattern")
    wanted = table.one_or_more("tags", str, default=())
    if tags is not None:
        unknown = (one for one in wanted if one not in tags)
        _check(table, "tags", unknown, "is the tag of no monitor", "write one that a monitor has")
    types = table.one_or_more("types", str, default=())
    if types:
        known_types = monitor_type_names()
        _check(
            table,
            "types",
            (name for name in types if name not in known_types),
            "is not a type of monitor",
            f"write one of: {', '.join(known_types)}",
        )
    states = table.one_or_more("states", _state, default=())
    return Route(
        notify=tuple(dict.fromkeys(notify)),
        monitors=patterns,
        tags=wanted,
        types=types,
        states=frozenset(states) or _FAILING,
        continues=table.flag("continue", default=False),
        after_s=table.duration("after", default=0.0),
        repeat_every_s=table.duration("repeat_every", default=None, minimum=SHORTEST_REPEAT_S),
        quiet=_quiet(table),
    )


def _check_reach(tables: Sequence[Table], routes: Sequence[Route]) -> None:
    """A route that nothing comes to would tell nobody, and nobody would know."""
    for number, (table, route) in enumerate(zip(tables, routes, strict=True)):
        if any(before.leaves_nothing_to(route) for before in routes[:number]):
            table.error(
                "", "is never reached, as the one before it fits everything", "write continue = true there"
            )
            return


def _check(table: Table, key: str, wrong: Iterable[str], problem: str, hint: str) -> None:
    for one in wrong:
        table.error(key, f"{value_text(one)} {problem}", hint)


def _known(named: Iterable[str]) -> str:
    names: Sequence[str] = sorted(named)
    return f"known are {', '.join(names)}" if names else "there is none; add [notifiers.NAME]"


def _state(text: str) -> State:
    """Raises InvalidValueError."""
    if text not in TOLD_STATES:
        *others, last = map(value_text, TOLD_STATES)
        raise InvalidValueError(
            "is not a state that a route can be for", f"write {', '.join(others)} or {last}"
        )
    return State(text)


def _quiet(table: Table) -> Window | None:
    """quiet_hours = { schedule = "22:00", duration = "9h" }"""
    if table.look_up("quiet_hours") is None:
        return None
    hours = table.table("quiet_hours")
    duration_s = hours.duration("duration", minimum=60.0, maximum=LONGEST_QUIET_S)
    schedule = read_calendar(hours, "schedule", lasts_s=duration_s, required=True)
    return None if schedule is None else Window("quiet_hours", duration_s, schedule)


def is_quiet(route: Route, now: datetime) -> bool:
    return route.quiet is not None and route.quiet.is_open(now)
