"""Who is to be told what of one monitor, now: `advance`, a pure function.

It does not follow events: it compares how the monitor stands with what each notifier was told last. So it does not
matter what happened between (a restart, a silence, a window, quiet hours): as soon as nothing stands against it, who
does not know yet is told what holds then, and nothing else.

| told to a notifier    | the monitor is                    | the notifier gets                                       |
|-----------------------|-----------------------------------|---------------------------------------------------------|
| nothing               | down or degraded                  | `problem`, if a route leads there, `after` that time    |
| down                  | degraded, and the other way round | `change`; `recovery` where no route is for such a state |
| nothing               | unknown                           | `problem`, if a route for unknown monitors leads there  |
| down or degraded      | unknown, and the other way round  | `change`, if a route is for the new state; nothing for  |
|                       |                                   | unknown, `recovery` for down or degraded otherwise      |
| a state               | the same, `repeat_every` later    | `reminder`                                              |
| anything or nothing   | flapping                          | `flapping`, once, and again `repeat_every` later        |
| flapping              | down or degraded, steadily        | `steady`                                                |
| anything              | up, steadily                      | `recovery`: always, and then the alert is over        |
| anything              | in the configuration no longer    | `ended`: always                                         |
| anything              | unreachable, paused               | nothing: it has not come back, nor is it known to fail  |

A silence, a window, an acknowledgement and quiet hours hold back all but the last two.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from monitord.alerts.decisions import Decision, DecisionKind, Suppression
from monitord.alerts.routes import AlertSettings, Route, is_quiet
from monitord.health.incidents import incident_id
from monitord.model import Reason, State
from monitord.notifiers import Notification, NotificationKind, notification_id
from monitord.text import plain

MOST_DETAIL_CHARACTERS = 1000

_BAD = frozenset({State.DOWN, State.DEGRADED})


@dataclass(frozen=True, slots=True)
class Standing:
    """The state of a monitor. `suppression`: why no notifier is notified now; recoveries are not suppressed."""

    monitor: str
    type_name: str
    tags: tuple[str, ...]
    health: State
    since: datetime
    reason: Reason
    detail: str
    is_flapping: bool = False
    suppression: Suppression | None = None


@dataclass(frozen=True, slots=True)
class Told:
    """What one notifier knows. `health` None: nothing that a closing notification would have to end. `count`:
    notifications.

    `since` is the beginning of the problem that the last opening notification was about, `flapping_since` that of the
    flapping that it was notified of. `handed_to` is its fallback, if that got a notification of the problem instead.
    `lost`: the last notification, of this kind, was given up, so that one like it is due.
    """

    count: int
    at: datetime
    since: datetime
    health: State | None
    flapping_since: datetime | None = None
    handed_to: str | None = None
    lost: NotificationKind | None = None

    @property
    def is_flapping(self) -> bool:
        return self.flapping_since is not None

    @property
    def is_open(self) -> bool:
        return self.health is not None or self.is_flapping


@dataclass(frozen=True, slots=True)
class Alert:
    """From the moment in which a monitor leaves up until it is back. `told` by notifier.

    `began_unknown`: it began with the state unknown, which routes for other states do not count as its beginning.
    """

    id: str
    monitor: str
    since: datetime
    told: Mapping[str, Told] = field(default_factory=dict)
    began_unknown: bool = False


@dataclass(frozen=True, slots=True)
class Advance:
    """What `advance` found. `alert` None: there is none, any more or at all. `decisions`: by notifier."""

    alert: Alert | None
    notifications: tuple[Notification, ...] = ()
    decisions: Mapping[str, Decision] = field(default_factory=dict)


def advance(
    alert: Alert | None,
    now_stands: Standing,
    settings: AlertSettings,
    now: datetime,
    ended: Alert | None = None,
) -> Advance:
    """Pure. The same alert object where nothing was told.

    `ended`: what `closed` has returned for the last alert of this monitor before it left the configuration.
    """
    health, is_flapping = now_stands.health, now_stands.is_flapping
    is_unknown = health is State.UNKNOWN and not is_flapping
    if alert is None:
        if health not in _BAD and not is_flapping and not (is_unknown and _has_route(now_stands, settings)):
            return Advance(None)
        # Who flaps may do so again without having been down between: only the moment tells the two apart.
        since = now if is_flapping and health not in _BAD else now_stands.since
        alert = Alert(
            incident_id(now_stands.monitor, since), now_stands.monitor, since, began_unknown=is_unknown
        )
        if ended is not None and ended.id == alert.id:
            # The monitor was removed while down and is configured again. The numbers of notifications continue, so that
            # none has the id of an earlier one.
            alert = ended
    if health is State.UP and not is_flapping:
        closing = _closing(alert, now_stands, NotificationKind.RECOVERY, now)
        return Advance(None, tuple(closing))
    if health not in _BAD and not is_flapping and not is_unknown:
        decision = Decision(DecisionKind.STATE_WITHOUT_NOTIFICATIONS, health=health)
        return Advance(alert, decisions=dict.fromkeys(settings.names, decision))
    return _advance(alert, now_stands, settings, now)


def end(alert: Alert, last: Standing, now: datetime) -> tuple[Notification, ...]:
    """The monitor has left the configuration."""
    return tuple(_closing(alert, last, NotificationKind.CLOSED, now))


def closed(alert: Alert) -> Alert:
    """What is kept of it after `end`: how many notifications each notifier got."""
    told = {name: replace(one, health=None, flapping_since=None) for name, one in alert.told.items()}
    for name, one in alert.told.items():
        if one.is_open:
            told[name] = replace(told[name], count=one.count + 1)  # the closing one
    return replace(alert, told=told)


def handed_over(alert: Alert, notification: Notification, fallback: str) -> Alert:
    """After the fallback got this notification. The same object where the problem is over already."""
    told = alert.told.get(notification.notifier)
    if alert.id != notification.alert or told is None or not told.is_open or told.handed_to == fallback:
        return alert
    return replace(alert, told={**alert.told, notification.notifier: replace(told, handed_to=fallback)})


def fallback_to_close(alert: Alert, notification: Notification) -> str | None:
    """The fallback that got the problem which this notification closes, unless it gets a closing notification of its
    own."""
    told = alert.told.get(notification.notifier)
    if told is None or told.handed_to is None or not notification.kind.is_closing:
        return None
    own = alert.told.get(told.handed_to)
    return None if own is not None and own.is_open else told.handed_to


def goes_on(alert: Alert, notifier: str, last: Standing | None, now: datetime) -> Notification | None:
    """What this notifier knows of it, told once more; None: it knows of nothing that goes on.

    `last` None: how the monitor stands is not known yet, or the alert is of none.
    """
    told = alert.told.get(notifier)
    if told is None or not told.is_open or (last is None and alert.monitor):
        return None
    if last is None:
        kind, stands = NotificationKind.ISOLATED, _isolated(alert.since)
    else:
        kind = NotificationKind.FLAPPING if told.is_flapping else NotificationKind.REMINDER
        health = told.health or last.health
        stands = last if health is last.health else replace(last, health=health, since=told.since)
    notification = _notification(alert, notifier, kind, stands, now)
    # It is none of those that are numbered: an id of the next one would be that of another notification.
    again = notification_id(f"{alert.id} {now.timestamp()}", notifier, told.count)
    return replace(notification, id=again, number=told.count)


def isolation_began(names: Sequence[str], now: datetime) -> Advance:
    """This host seems to be cut off: everybody is told, once, instead of all that seems to fail."""
    return isolation_goes_on(Alert(incident_id("", now), "", now), names, now)


def isolation_goes_on(alert: Alert, names: Sequence[str], now: datetime) -> Advance:
    """Notify those of these notifiers that do not know of it yet; the same alert where all do."""
    stands = _isolated(alert.since)
    missing = [name for name in names if name not in alert.told]
    notifications = [_notification(alert, name, NotificationKind.ISOLATED, stands, now) for name in missing]
    if not notifications:
        return Advance(alert)
    told = {one.notifier: Told(one.number, now, now, State.UNKNOWN) for one in notifications}
    return Advance(replace(alert, told={**alert.told, **told}), tuple(notifications))


def in_new_time(alert: Alert, moment: Callable[[datetime], datetime]) -> Alert:
    """The alert after the wall clock was set. It keeps its id."""
    told = {
        name: replace(
            one,
            at=moment(one.at),
            since=moment(one.since),
            flapping_since=None if one.flapping_since is None else moment(one.flapping_since),
        )
        for name, one in alert.told.items()
    }
    return replace(alert, since=moment(alert.since), told=told)


def isolation_ended(alert: Alert, now: datetime) -> tuple[Notification, ...]:
    return tuple(_closing(alert, _isolated(now), NotificationKind.RECONNECTED, now))


def _isolated(since: datetime) -> Standing:
    detail = "the failure is likely to be here: network or name server"
    return Standing("", "", (), State.UNKNOWN, since, Reason.PROBER_ISOLATED, detail)


def _has_route(stands: Standing, settings: AlertSettings) -> bool:
    routes = settings.routes_for(stands.monitor, stands.type_name, stands.tags, stands.health)
    return any(route.notify for route in routes)


def _advance(alert: Alert, stands: Standing, settings: AlertSettings, now: datetime) -> Advance:
    told = dict(alert.told)
    decisions: dict[str, Decision] = {}
    notifications: list[Notification] = []
    health = None if stands.is_flapping else stands.health
    routes: dict[str, list[Route]] = {}
    for route in settings.routes_for(stands.monitor, stands.type_name, stands.tags, health):
        for name in route.notify:
            routes.setdefault(name, []).append(route)
    for name in settings.names:
        before = told.get(name)
        due = _due(alert, before, stands, routes.get(name, ()), now)
        if isinstance(due, Decision):
            decisions[name] = due
            continue
        notification = _notification(alert, name, due, stands, now)
        notifications.append(notification)
        is_over = due is NotificationKind.RECOVERY
        told[name] = Told(
            notification.number,
            now,
            notification.started_at,
            None if is_over or stands.is_flapping else stands.health,
            notification.since if stands.is_flapping else None,
            before.handed_to if before is not None and before.is_open and not is_over else None,
        )
        decisions[name] = Decision(DecisionKind.NOTIFIED, title=notification.title)
    return Advance(replace(alert, told=told) if notifications else alert, tuple(notifications), decisions)


def _due(
    alert: Alert, told: Told | None, stands: Standing, routes: Sequence[Route], now: datetime
) -> NotificationKind | Decision:
    """The kind of notification that a notifier gets; or the decision that it gets none."""
    if not routes:
        if stands.health is State.UNKNOWN and not stands.is_flapping:
            return Decision(DecisionKind.NO_ROUTE_FOR_UNKNOWN)
        if told is not None and not stands.is_flapping and told.health not in {None, stands.health}:
            return NotificationKind.RECOVERY
        return Decision(DecisionKind.NO_ROUTE)
    loud = _due_routes(alert, told, stands, routes, now)
    if isinstance(loud, Decision):
        return loud
    news = _news(told, stands)
    if told is not None and isinstance(news, Decision) and _is_to_be_reminded(loud, told, now):
        return NotificationKind.FLAPPING if stands.is_flapping else NotificationKind.REMINDER
    return news


def _due_routes(
    alert: Alert, told: Told | None, stands: Standing, routes: Sequence[Route], now: datetime
) -> Sequence[Route] | Decision:
    """The routes by which there may be a notification now; or the decision that there is none."""
    if stands.suppression is not None:
        return Decision(DecisionKind.SUPPRESSED, suppression=stands.suppression)
    knows = told is not None and told.is_open
    due = [route for route in routes if knows or _age_s(alert, stands, route, now) >= route.after_s]
    if not due:
        return Decision(DecisionKind.DELAYED, after_s=min(route.after_s for route in routes))
    return [route for route in due if not is_quiet(route, now)] or Decision(DecisionKind.QUIET_HOURS)


def _age_s(alert: Alert, stands: Standing, route: Route, now: datetime) -> float:
    """How long the problem has lasted that this route is for."""
    is_for_all_of_it = State.UNKNOWN in route.states or not alert.began_unknown
    return (now - (alert.since if is_for_all_of_it else stands.since)).total_seconds()


def _is_to_be_reminded(routes: Sequence[Route], told: Told, now: datetime) -> bool:
    silent_s = (now - told.at).total_seconds()
    return any(route.repeat_every_s is not None and silent_s >= route.repeat_every_s for route in routes)


def _news(told: Told | None, stands: Standing) -> NotificationKind | Decision:
    """What it does not know yet."""
    if stands.is_flapping:
        is_aware = told is not None and told.is_flapping and told.lost is None
        return Decision(DecisionKind.AWARE_OF_FLAPPING) if is_aware else NotificationKind.FLAPPING
    if told is None or not told.is_open:
        return NotificationKind.PROBLEM
    if told.is_flapping:
        return NotificationKind.FLAPPING_END
    if told.health is not stands.health:
        return NotificationKind.UPDATE
    return Decision(DecisionKind.AWARE, at=told.at) if told.lost is None else told.lost


def _closing(alert: Alert, stands: Standing, kind: NotificationKind, now: datetime) -> Iterator[Notification]:
    """To everybody who was told anything."""
    for name, told in alert.told.items():
        if told.is_open:
            yield _notification(alert, name, kind, stands, now)


def _notification(
    alert: Alert, notifier: str, kind: NotificationKind, stands: Standing, now: datetime
) -> Notification:
    told = alert.told.get(notifier)
    number = 1 if told is None else told.count + 1
    since = stands.since
    if kind is NotificationKind.FLAPPING:
        since = told.flapping_since if told is not None and told.flapping_since is not None else now
    started_at = told.since if told is not None and told.is_open else since
    # A monitor that was flapping has been up before the flapping ended.
    has_recovered = kind is NotificationKind.RECOVERY and told is not None and not told.is_flapping
    ended_at = since if has_recovered else now
    return Notification(
        id=notification_id(alert.id, notifier, number),
        notifier=notifier,
        kind=kind,
        alert=alert.id,
        number=number,
        monitor=stands.monitor,
        type_name=stands.type_name,
        tags=stands.tags,
        health=stands.health,
        since=since,
        started_at=started_at,
        at=now,
        duration_s=max(0.0, (ended_at - started_at).total_seconds()),
        reason=stands.reason,
        detail=plain(stands.detail[:MOST_DETAIL_CHARACTERS]),
    )


# As it is kept


def record_of(alert: Alert) -> dict[str, Any]:
    return {
        "id": alert.id,
        "monitor": alert.monitor,
        "since": alert.since.isoformat(),
        "began_unknown": alert.began_unknown,
        "told": {
            name: {
                "count": told.count,
                "at": told.at.isoformat(),
                "since": told.since.isoformat(),
                "state": None if told.health is None else told.health.value,
                "handed_to": told.handed_to,
                "lost": None if told.lost is None else told.lost.value,
                "flapping_since": None if told.flapping_since is None else told.flapping_since.isoformat(),
            }
            for name, told in alert.told.items()
        },
    }


def alert_of(record: Mapping[str, Any]) -> Alert:
    """From `record_of`. Raises KeyError, TypeError or ValueError for what it has not made."""
    return Alert(
        id=str(record["id"]),
        monitor=str(record["monitor"]),
        since=datetime.fromisoformat(record["since"]),
        told={
            str(name): Told(
                count=int(told["count"]),
                at=datetime.fromisoformat(told["at"]),
                since=datetime.fromisoformat(told["since"]),
                health=None if told["state"] is None else State(told["state"]),
                handed_to=None if told["handed_to"] is None else str(told["handed_to"]),
                flapping_since=(
                    None if told["flapping_since"] is None else datetime.fromisoformat(told["flapping_since"])
                ),
                lost=None if told.get("lost") is None else NotificationKind(told["lost"]),
            )
            for name, told in record["told"].items()
        },
        began_unknown=record["began_unknown"] is True,
    )
