"""Settings of notifiers and routes: [notifiers.NAME] and [[alerts.routes]].

The first route that matches applies, and the following routes as well if it has `continue`. Without routes, every
notifier is notified of everything.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from fnmatch import fnmatchcase
from typing import Any

from monitord.config import Table, check_location, value_text
from monitord.errors import InvalidValueError, bug_text
from monitord.health import TimeWindow
from monitord.health.selection import read_selection
from monitord.health.windows import read_calendar
from monitord.model import State
from monitord.monitors import monitor_type_names
from monitord.notifiers import (
    IMPLIED_TYPES,
    NOTIFIER_TYPES,
    Notifier,
    NotifierSettings,
    notifier_type,
    notifier_type_names,
)
from monitord.text import did_you_mean

ROUTE_STATES = ("down", "degraded", "unknown")
_FAILING = frozenset({State.DOWN, State.DEGRADED})
MIN_REPEAT_EVERY_S = 60.0
MAX_QUIET_HOURS_S = 7 * 86_400.0


@dataclass(frozen=True, slots=True)
class AlertRoute:
    """Selects notifiers by `monitors` (names and patterns), `tags` and `types`, all of which must match if not empty.

    A notification is sent `after_s` seconds after a problem begins, and again after each `repeat_every_s`, except in
    `quiet_hours`.
    """

    notify: tuple[str, ...]
    monitors: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    types: tuple[str, ...] = ()
    states: frozenset[State] = _FAILING
    continues: bool = False
    after_s: float = 0.0
    repeat_every_s: float | None = None
    quiet_hours: TimeWindow | None = None

    def shadows(self, following: "AlertRoute") -> bool:
        """Whether a following route never applies because of this one."""
        matches_all_monitors = not (self.monitors or self.tags or self.types)
        return matches_all_monitors and not self.continues and self.states >= following.states

    def matches(self, monitor: str, type_name: str, tags: Collection[str], state: State | None) -> bool:
        """Return whether the route applies. `state` None: flapping, a problem for routes with down or degraded."""
        return (
            (not self.states.isdisjoint(_FAILING if state is None else {state}))
            and (not self.monitors or any(fnmatchcase(monitor, pattern) for pattern in self.monitors))
            and set(self.tags).issubset(tags)
            and (not self.types or type_name in self.types)
        )

    def is_quiet(self, now: datetime) -> bool:
        return self.quiet_hours is not None and self.quiet_hours.is_open(now)


@dataclass(frozen=True, slots=True)
class AlertSettings:
    """Equal settings mean that a reload changes nothing. `states`: those with a route for at least one notifier.

    `public_url`: the address of the pages, for links in notifications; empty: no links.
    """

    notifiers: tuple[NotifierSettings, ...] = ()
    routes: tuple[AlertRoute, ...] = ()
    public_url: str = ""
    names: tuple[str, ...] = field(init=False, compare=False, default=())
    states: frozenset[State] = field(init=False, compare=False, default=_FAILING)

    def __post_init__(self) -> None:
        object.__setattr__(self, "names", tuple(notifier.name for notifier in self.notifiers))
        object.__setattr__(self, "states", _FAILING.union(*(route.states for route in self.routes)))

    @property
    def names_with_links(self) -> tuple[str, ...]:
        """The notifiers whose recipients may act by links."""
        return tuple(
            notifier.name for notifier in self.notifiers if notifier.action_links and self.public_url
        )

    @property
    def has_reminders(self) -> bool:
        return any(route.repeat_every_s is not None for route in self.routes)

    def routes_for(
        self, monitor: str, type_name: str, tags: Collection[str], state: State | None
    ) -> Iterator[AlertRoute]:
        """The routes that apply, in order. `state` as for `AlertRoute.matches`."""
        for route in self.routes or (AlertRoute(self.names),):
            if route.matches(monitor, type_name, tags, state):
                yield route
                if not route.continues:
                    return


# From the configuration


def read_alerts(
    root: Table, monitors: Collection[str], tags: Collection[str] | None, public_url: str = ""
) -> AlertSettings:
    """`monitors` are the names and `tags` the tags of all monitors; `tags` is None if not all are known."""
    notifier_tables = root.named("notifiers")
    notifiers = []
    for name, table in notifier_tables.items():
        notifier = _notifier(name, table, public_url)
        if notifier is not None:
            notifiers.append(notifier)
        fallback = table.raw("fallback")
        if fallback == name:
            table.error("fallback", "is the notifier itself", "write the name of another notifier")
        elif isinstance(fallback, str) and fallback not in notifier_tables:
            table.error("fallback", f"{value_text(fallback)} is not a notifier", _known(notifier_tables))
    route_tables = root.table("alerts").tables("routes")
    routes = [_route(table, notifier_tables, monitors, tags) for table in route_tables]
    for number, (table, route) in enumerate(zip(route_tables, routes, strict=True)):
        if any(previous.shadows(route) for previous in routes[:number]):
            problem = "never applies, because a previous route matches everything"
            table.error("", problem, "write continue = true in the previous route")
            break
    return AlertSettings(tuple(notifiers), tuple(routes), public_url)


def _notifier(name: str, table: Table, public_url: str) -> NotifierSettings | None:
    notifier_class = _notifier_type(table)
    limits: type[Notifier[Any]] = notifier_class or Notifier
    has_links = table.flag("action_links", default=False)
    if has_links and not public_url:
        table.error(
            "action_links", "needs the address of the pages", 'write public_url = "https://…" in [status]'
        )
    elif has_links and not public_url.startswith("https:"):
        table.warn(
            "action_links",
            "sends action links with an unencrypted address (http)",
            'publish the pages with TLS, and write public_url = "https://…" in [status]',
        )
    common: dict[str, Any] = {
        "timeout_s": table.duration("timeout", default=30.0, minimum=0.1, maximum=300.0),
        "group_wait_s": table.duration("group_wait", default=10.0, maximum=3600.0),
        "max_notifications_per_message": table.integer(
            "max_notifications_per_message",
            default=limits.max_notifications_per_message,
            minimum=1,
            maximum=limits.max_notifications_per_message,
        ),
        "max_messages_per_minute": table.integer(
            "max_messages_per_minute", default=limits.default_max_messages_per_minute, minimum=1, maximum=600
        ),
        "expire_after_s": table.duration("expire_after", default=86_400.0, minimum=60.0),
        "fallback": table.text("fallback", default=None),
        "action_links": has_links,
        "locations": tuple(dict.fromkeys(table.values("locations", check_location, default=()))),
    }
    if notifier_class is None:
        table.ignore_others()
        return None
    try:
        options = notifier_class.read_options(table)
    except Exception as error:  # noqa: BLE001 - a third party's class may raise anything
        # Without the text of the error, which may contain a secret.
        table.error(
            "",
            f"bug in notifier type {notifier_class.type_name}: {bug_text(error)}",
            "see the package that provides it",
        )
        table.ignore_others()
        return None
    return NotifierSettings(name, notifier_class.type_name, options, **common)


def _notifier_type(table: Table) -> type[Notifier[Any]] | None:
    name = table.text("type", default=None)
    if name is None:
        for key, implied in IMPLIED_TYPES.items():
            if key in table:
                return NOTIFIER_TYPES[implied]
        table.error("", "has no type", 'write to = ["ops@example.org"] for email, or type = "…"')
        return None
    try:
        notifier_class = notifier_type(name)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - a third party's module may fail to load in any way
        table.error(
            "type", f"{value_text(name)} cannot be loaded: {error!r}", "see the package that provides it"
        )
        return None
    if notifier_class is None:
        known = notifier_type_names()
        hint = did_you_mean(name, known, show=value_text) or f"write one of: {', '.join(known)}"
        table.error("type", f"{value_text(name)} is not a notifier type", hint)
    return notifier_class


def _route(
    table: Table, notifiers: Collection[str], monitors: Collection[str], tags: Collection[str] | None
) -> AlertRoute:
    notify = table.one_or_more("notify", str, default=())
    if table.raw("notify") is None:
        table.error("", "has no notifier", 'write notify = ["…"]')
    for name in notify:
        if name not in notifiers:
            table.error("notify", f"{value_text(name)} is not a notifier", _known(notifiers))
    patterns, route_tags = read_selection(table, monitors, tags)
    types = table.one_or_more("types", str, default=())
    known = monitor_type_names() if types else []
    for name in types:
        if name not in known:
            near = did_you_mean(name, known, show=value_text)
            hint = near or f"write one of: {', '.join(known)}"
            table.error("types", f"{value_text(name)} is not a monitor type", hint)
    return AlertRoute(
        notify=tuple(dict.fromkeys(notify)),
        monitors=patterns,
        tags=route_tags,
        types=types,
        states=frozenset(table.one_or_more("states", _state, default=())) or _FAILING,
        continues=table.flag("continue", default=False),
        after_s=table.duration("after", default=0.0),
        repeat_every_s=table.duration("repeat_every", default=None, minimum=MIN_REPEAT_EVERY_S),
        quiet_hours=_quiet_hours(table),
    )


def _known(notifiers: Collection[str]) -> str:
    return (
        f"configured notifiers: {', '.join(sorted(notifiers))}"
        if notifiers
        else "no notifiers are configured; add [notifiers.NAME]"
    )


def _state(text: str) -> State:
    """Parse the name of a state that a route can have. Raises InvalidValueError."""
    if text not in ROUTE_STATES:
        *others, last = map(value_text, ROUTE_STATES)
        raise InvalidValueError(
            "is not a state that a route can have", f"write {', '.join(others)} or {last}"
        )
    return State(text)


def _quiet_hours(table: Table) -> TimeWindow | None:
    """quiet_hours = { schedule = "22:00", duration = "9h" }"""
    if table.raw("quiet_hours") is None:
        return None
    hours = table.table("quiet_hours", example='{ schedule = "22:00", duration = "9h" }')
    duration_s = hours.duration("duration", minimum=60.0, maximum=MAX_QUIET_HOURS_S, example="9h")
    schedule = read_calendar(hours, "schedule", lasts_s=duration_s, required=True)
    return None if schedule is None else TimeWindow("quiet_hours", duration_s, schedule)
