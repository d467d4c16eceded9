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
| anything              | up, steadily                      | `recovery`: always, and then the trouble is over        |
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
from monitord.model import Health, Reason
from monitord.notifiers import Notice, NoticeKind, notice_id
from monitord.text import plain

MOST_DETAIL_CHARACTERS = 1000

_BAD = frozenset({Health.DOWN, Health.DEGRADED})


@dataclass(frozen=True, slots=True)
class Standing:
    """The state of a monitor. `suppression`: why no notifier is notified now; recoveries are not suppressed."""

    monitor: str
    type_name: str
    tags: tuple[str, ...]
    health: Health
    since: datetime
    reason: Reason
    detail: str
    is_flapping: bool = False
    suppression: Suppression | None = None


@dataclass(frozen=True, slots=True)
class Told:
    """What one notifier knows. `health` None: nothing that a closing notice would have to end. `count`: notices.

    `since` is the beginning of the problem that the last opening notice was about, `flapping_since` that of the
    flapping that it was notified of. `handed_to` is its fallback, if that got a notice of the problem instead.
    `lost`: the last notice, of this kind, was given up, so that one like it is due.
    """

    count: int
    at: datetime
    since: datetime
    health: Health | None
    flapping_since: datetime | None = None
    handed_to: str | None = None
    lost: NoticeKind | None = None

    @property
    def is_flapping(self) -> bool:
        return self.flapping_since is not None

    @property
    def is_open(self) -> bool:
        return self.health is not None or self.is_flapping


@dataclass(frozen=True, slots=True)
class Trouble:
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
    """What `advance` found. `trouble` None: there is none, any more or at all. `decisions`: by notifier."""

    trouble: Trouble | None
    notices: tuple[Notice, ...] = ()
    decisions: Mapping[str, Decision] = field(default_factory=dict)


def advance(
    trouble: Trouble | None,
    now_stands: Standing,
    settings: AlertSettings,
    now: datetime,
    ended: Trouble | None = None,
) -> Advance:
    """Pure. The same trouble object where nothing was told.

    `ended`: what `closed` has returned for the last trouble of this monitor before it left the configuration.
    """
    health, is_flapping = now_stands.health, now_stands.is_flapping
    is_unknown = health is Health.UNKNOWN and not is_flapping
    if trouble is None:
        if health not in _BAD and not is_flapping and not (is_unknown and _has_route(now_stands, settings)):
            return Advance(None)
        # Who flaps may do so again without having been down between: only the moment tells the two apart.
        since = now if is_flapping and health not in _BAD else now_stands.since
        trouble = Trouble(
            incident_id(now_stands.monitor, since), now_stands.monitor, since, began_unknown=is_unknown
        )
        if ended is not None and ended.id == trouble.id:
            # The monitor was removed while down and is configured again. The numbers of notices continue, so that
            # none has the id of an earlier one.
            trouble = ended
    if health is Health.UP and not is_flapping:
        closing = _closing(trouble, now_stands, NoticeKind.RECOVERY, now)
        return Advance(None, tuple(closing))
    if health not in _BAD and not is_flapping and not is_unknown:
        decision = Decision(DecisionKind.STATE_WITHOUT_NOTIFICATIONS, health=health)
        return Advance(trouble, decisions=dict.fromkeys(settings.names, decision))
    return _advance(trouble, now_stands, settings, now)


def end(trouble: Trouble, last: Standing, now: datetime) -> tuple[Notice, ...]:
    """The monitor has left the configuration."""
    return tuple(_closing(trouble, last, NoticeKind.ENDED, now))


def closed(trouble: Trouble) -> Trouble:
    """What is kept of it after `end`: how many notices each notifier got."""
    told = {name: replace(one, health=None, flapping_since=None) for name, one in trouble.told.items()}
    for name, one in trouble.told.items():
        if one.is_open:
            told[name] = replace(told[name], count=one.count + 1)  # the closing one
    return replace(trouble, told=told)


def handed_over(trouble: Trouble, notice: Notice, fallback: str) -> Trouble:
    """After the fallback got this notice. The same object where the problem is over already."""
    told = trouble.told.get(notice.notifier)
    if trouble.id != notice.trouble or told is None or not told.is_open or told.handed_to == fallback:
        return trouble
    return replace(trouble, told={**trouble.told, notice.notifier: replace(told, handed_to=fallback)})


def fallback_to_close(trouble: Trouble, notice: Notice) -> str | None:
    """The fallback that got the problem which this notice closes, unless it gets a closing notice of its own."""
    told = trouble.told.get(notice.notifier)
    if told is None or told.handed_to is None or not notice.kind.is_closing:
        return None
    own = trouble.told.get(told.handed_to)
    return None if own is not None and own.is_open else told.handed_to


def goes_on(trouble: Trouble, notifier: str, last: Standing | None, now: datetime) -> Notice | None:
    """What this notifier knows of it, told once more; None: it knows of nothing that goes on.

    `last` None: how the monitor stands is not known yet, or the trouble is of none.
    """
    told = trouble.told.get(notifier)
    if told is None or not told.is_open or (last is None and trouble.monitor):
        return None
    if last is None:
        kind, stands = NoticeKind.BLIND, _blind(trouble.since)
    else:
        kind = NoticeKind.FLAPPING if told.is_flapping else NoticeKind.REMINDER
        health = told.health or last.health
        stands = last if health is last.health else replace(last, health=health, since=told.since)
    notice = _notice(trouble, notifier, kind, stands, now)
    # It is none of those that are numbered: an id of the next one would be that of another notice.
    again = notice_id(f"{trouble.id} {now.timestamp()}", notifier, told.count)
    return replace(notice, id=again, number=told.count)


def blindness_began(names: Sequence[str], now: datetime) -> Advance:
    """This host seems to be cut off: everybody is told, once, instead of all that seems to fail."""
    return blindness_goes_on(Trouble(incident_id("", now), "", now), names, now)


def blindness_goes_on(trouble: Trouble, names: Sequence[str], now: datetime) -> Advance:
    """Notify those of these notifiers that do not know of it yet; the same alert where all do."""
    stands = _blind(trouble.since)
    missing = [name for name in names if name not in trouble.told]
    notices = [_notice(trouble, name, NoticeKind.BLIND, stands, now) for name in missing]
    if not notices:
        return Advance(trouble)
    told = {one.notifier: Told(one.number, now, now, Health.UNKNOWN) for one in notices}
    return Advance(replace(trouble, told={**trouble.told, **told}), tuple(notices))


def in_new_time(trouble: Trouble, moment: Callable[[datetime], datetime]) -> Trouble:
    """The alert after the wall clock was set. It keeps its id."""
    told = {
        name: replace(
            one,
            at=moment(one.at),
            since=moment(one.since),
            flapping_since=None if one.flapping_since is None else moment(one.flapping_since),
        )
        for name, one in trouble.told.items()
    }
    return replace(trouble, since=moment(trouble.since), told=told)


def blindness_ended(trouble: Trouble, now: datetime) -> tuple[Notice, ...]:
    return tuple(_closing(trouble, _blind(now), NoticeKind.SEEING, now))


def _blind(since: datetime) -> Standing:
    detail = "the fault is likely to be here: network or name server"
    return Standing("", "", (), Health.UNKNOWN, since, Reason.PROBER_BLIND, detail)


def _has_route(stands: Standing, settings: AlertSettings) -> bool:
    routes = settings.routes_for(stands.monitor, stands.type_name, stands.tags, stands.health)
    return any(route.notify for route in routes)


def _advance(trouble: Trouble, stands: Standing, settings: AlertSettings, now: datetime) -> Advance:
    told = dict(trouble.told)
    decisions: dict[str, Decision] = {}
    notices: list[Notice] = []
    health = None if stands.is_flapping else stands.health
    routes: dict[str, list[Route]] = {}
    for route in settings.routes_for(stands.monitor, stands.type_name, stands.tags, health):
        for name in route.notify:
            routes.setdefault(name, []).append(route)
    for name in settings.names:
        before = told.get(name)
        due = _due(trouble, before, stands, routes.get(name, ()), now)
        if isinstance(due, Decision):
            decisions[name] = due
            continue
        notice = _notice(trouble, name, due, stands, now)
        notices.append(notice)
        is_over = due is NoticeKind.RECOVERY
        told[name] = Told(
            notice.number,
            now,
            notice.started_at,
            None if is_over or stands.is_flapping else stands.health,
            notice.since if stands.is_flapping else None,
            before.handed_to if before is not None and before.is_open and not is_over else None,
        )
        decisions[name] = Decision(DecisionKind.NOTIFIED, title=notice.title)
    return Advance(replace(trouble, told=told) if notices else trouble, tuple(notices), decisions)


def _due(
    trouble: Trouble, told: Told | None, stands: Standing, routes: Sequence[Route], now: datetime
) -> NoticeKind | Decision:
    """The kind of notification that a notifier gets; or the decision that it gets none."""
    if not routes:
        if stands.health is Health.UNKNOWN and not stands.is_flapping:
            return Decision(DecisionKind.NO_ROUTE_FOR_UNKNOWN)
        if told is not None and not stands.is_flapping and told.health not in {None, stands.health}:
            return NoticeKind.RECOVERY
        return Decision(DecisionKind.NO_ROUTE)
    loud = _due_routes(trouble, told, stands, routes, now)
    if isinstance(loud, Decision):
        return loud
    news = _news(told, stands)
    if told is not None and isinstance(news, Decision) and _is_to_be_reminded(loud, told, now):
        return NoticeKind.FLAPPING if stands.is_flapping else NoticeKind.REMINDER
    return news


def _due_routes(
    trouble: Trouble, told: Told | None, stands: Standing, routes: Sequence[Route], now: datetime
) -> Sequence[Route] | Decision:
    """The routes by which there may be a notification now; or the decision that there is none."""
    if stands.suppression is not None:
        return Decision(DecisionKind.SUPPRESSED, suppression=stands.suppression)
    knows = told is not None and told.is_open
    due = [route for route in routes if knows or _age_s(trouble, stands, route, now) >= route.after_s]
    if not due:
        return Decision(DecisionKind.DELAYED, after_s=min(route.after_s for route in routes))
    return [route for route in due if not is_quiet(route, now)] or Decision(DecisionKind.QUIET_HOURS)


def _age_s(trouble: Trouble, stands: Standing, route: Route, now: datetime) -> float:
    """How long the problem has lasted that this route is for."""
    is_for_all_of_it = Health.UNKNOWN in route.states or not trouble.began_unknown
    return (now - (trouble.since if is_for_all_of_it else stands.since)).total_seconds()


def _is_to_be_reminded(routes: Sequence[Route], told: Told, now: datetime) -> bool:
    silent_s = (now - told.at).total_seconds()
    return any(route.repeat_every_s is not None and silent_s >= route.repeat_every_s for route in routes)


def _news(told: Told | None, stands: Standing) -> NoticeKind | Decision:
    """What it does not know yet."""
    if stands.is_flapping:
        is_aware = told is not None and told.is_flapping and told.lost is None
        return Decision(DecisionKind.AWARE_OF_FLAPPING) if is_aware else NoticeKind.FLAPPING
    if told is None or not told.is_open:
        return NoticeKind.PROBLEM
    if told.is_flapping:
        return NoticeKind.STEADY
    if told.health is not stands.health:
        return NoticeKind.CHANGE
    return Decision(DecisionKind.AWARE, at=told.at) if told.lost is None else told.lost


def _closing(trouble: Trouble, stands: Standing, kind: NoticeKind, now: datetime) -> Iterator[Notice]:
    """To everybody who was told anything."""
    for name, told in trouble.told.items():
        if told.is_open:
            yield _notice(trouble, name, kind, stands, now)


def _notice(trouble: Trouble, notifier: str, kind: NoticeKind, stands: Standing, now: datetime) -> Notice:
    told = trouble.told.get(notifier)
    number = 1 if told is None else told.count + 1
    since = stands.since
    if kind is NoticeKind.FLAPPING:
        since = told.flapping_since if told is not None and told.flapping_since is not None else now
    started_at = told.since if told is not None and told.is_open else since
    # A monitor that was flapping has been up before the flapping ended.
    has_recovered = kind is NoticeKind.RECOVERY and told is not None and not told.is_flapping
    ended_at = since if has_recovered else now
    return Notice(
        id=notice_id(trouble.id, notifier, number),
        notifier=notifier,
        kind=kind,
        trouble=trouble.id,
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


def record_of(trouble: Trouble) -> dict[str, Any]:
    return {
        "id": trouble.id,
        "monitor": trouble.monitor,
        "since": trouble.since.isoformat(),
        "began_unknown": trouble.began_unknown,
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
            for name, told in trouble.told.items()
        },
    }


def trouble_of(record: Mapping[str, Any]) -> Trouble:
    """From `record_of`. Raises KeyError, TypeError or ValueError for what it has not made."""
    return Trouble(
        id=str(record["id"]),
        monitor=str(record["monitor"]),
        since=datetime.fromisoformat(record["since"]),
        told={
            str(name): Told(
                count=int(told["count"]),
                at=datetime.fromisoformat(told["at"]),
                since=datetime.fromisoformat(told["since"]),
                health=None if told["state"] is None else Health(told["state"]),
                handed_to=None if told["handed_to"] is None else str(told["handed_to"]),
                flapping_since=(
                    None if told["flapping_since"] is None else datetime.fromisoformat(told["flapping_since"])
                ),
                lost=None if told.get("lost") is None else NoticeKind(told["lost"]),
            )
            for name, told in record["told"].items()
        },
        began_unknown=record["began_unknown"] is True,
    )
