"""The alert of a monitor and the notifications that are due now: `evaluate`, a pure function.

It compares the state of the monitor with the last notification of each notifier. The events in between (a restart, a
silence, a maintenance window, quiet hours) do not matter: when notifications are no longer suppressed, each notifier
gets one notification, about the current state.

| last notification | the monitor is                 | the notifier gets                                      |
|-------------------|--------------------------------|--------------------------------------------------------|
| none              | down or degraded               | `problem`, if a route matches, after its `after`       |
| down              | degraded, and vice versa       | `update`; `recovery` if no route matches the new state |
| none              | unknown                        | `problem`, if a route for unknown monitors matches     |
| down or degraded  | unknown, and vice versa        | `update`, if a route matches the new state; otherwise  |
|                   |                                | `recovery` for down or degraded, nothing for unknown   |
| a state           | in the same state,             | `reminder`                                             |
|                   | `repeat_every` later           |                                                        |
| any or none       | flapping                       | `flapping`, once, and again after `repeat_every`       |
| flapping          | down or degraded, not flapping | `flapping_end`                                         |
| any               | up, not flapping               | `recovery`: always, and the alert is over              |
| any               | not in the configuration       | `closed`: always                                       |
| any               | unreachable, paused            | nothing: it has not recovered, and may not have failed |

A silence, a maintenance window, an acknowledgement and quiet hours suppress all but `recovery` and `closed`.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from monitord.alerts.decisions import Decision, DecisionKind, Suppression
from monitord.alerts.routes import AlertRoute, AlertSettings
from monitord.health.incidents import stable_id
from monitord.model import MonitorContext, Reason, State
from monitord.notifiers import Notification, NotificationContext, NotificationKind, notification_id
from monitord.text import plain

MAX_DETAIL_CHARACTERS = 1000

_FAILING = frozenset({State.DOWN, State.DEGRADED})


@dataclass(frozen=True, slots=True)
class AlertInput:
    """The state of a monitor, to evaluate its alert. `suppression` does not apply to closing notifications."""

    monitor: str
    type_name: str
    tags: tuple[str, ...]
    state: State
    since: datetime
    reason: Reason
    detail: str
    is_flapping: bool = False
    suppression: Suppression | None = None
    context: MonitorContext = MonitorContext()  # noqa: RUF009 - frozen


@dataclass(frozen=True, slots=True)
class NotifierProgress:
    """Summary of the notifications of one notifier about one alert.

    `count` is their number and `last_at` the time of the last notification. `state` is the state that it reported; None
    if it reported flapping or has been closed. `problem_since` is the beginning of the problem and `flapping_since`
    that of the flapping that were reported. `rerouted_to` is the fallback, if that got a notification of the problem
    instead. `dropped_kind` is the kind of the last notification if it was dropped, so that another of this kind is due.
    """

    count: int
    last_at: datetime
    problem_since: datetime
    state: State | None
    flapping_since: datetime | None = None
    rerouted_to: str | None = None
    dropped_kind: NotificationKind | None = None

    @property
    def is_flapping(self) -> bool:
        return self.flapping_since is not None

    @property
    def is_open(self) -> bool:
        """Whether a closing notification is to follow."""
        return self.state is not None or self.is_flapping


@dataclass(frozen=True, slots=True)
class Alert:
    """The time from when a monitor leaves `up` until it returns. The alert of an isolation has no monitor.

    `opened_as` is the name that the monitor had when the alert began. `started_unknown`: it began in the state unknown,
    so routes without this state count `after` from a later moment.
    """

    id: str
    monitor: str
    opened_as: str
    since: datetime
    notifiers: Mapping[str, NotifierProgress] = field(default_factory=dict)
    started_unknown: bool = False


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The result of `evaluate`. `alert`: None if there is no alert, or if it is over. `decisions`: by notifier."""

    alert: Alert | None
    notifications: tuple[Notification, ...] = ()
    decisions: Mapping[str, Decision] = field(default_factory=dict)


def evaluate(
    alert: Alert | None,
    current: AlertInput,
    settings: AlertSettings,
    now: datetime,
    last_closed: Alert | None = None,
) -> Evaluation:
    """Return the alert and the notifications that are due. Without notifications it is the same alert object.

    `last_closed` is the result of `closed_alert` when this monitor was removed from the configuration.
    """
    state, is_flapping = current.state, current.is_flapping
    is_unknown = state is State.UNKNOWN and not is_flapping
    if alert is None:
        routes = settings.routes_for(current.monitor, current.type_name, current.tags, state)
        is_routed = is_unknown and any(route.notify for route in routes)
        if state not in _FAILING and not is_flapping and not is_routed:
            return Evaluation(None)
        # A monitor can flap twice without a change to down in between, so only the time distinguishes the two alerts.
        since = now if is_flapping and state not in _FAILING else current.since
        name = current.monitor
        alert = Alert(stable_id(name, since), name, name, since, started_unknown=is_unknown)
        if last_closed is not None and last_closed.id == alert.id:
            # The monitor was removed while down and is configured again. The numbers of notifications continue, so that
            # none has the id of an earlier one.
            alert = last_closed
    if state is State.UP and not is_flapping:
        return Evaluation(None, tuple(_closing(alert, current, NotificationKind.RECOVERY, now)))
    if state not in _FAILING and not is_flapping and not is_unknown:
        decision = Decision(DecisionKind.STATE_WITHOUT_NOTIFICATIONS, state=state)
        return Evaluation(alert, decisions=dict.fromkeys(settings.names, decision))
    return _evaluate_notifiers(alert, current, settings, now)


def _evaluate_notifiers(
    alert: Alert, current: AlertInput, settings: AlertSettings, now: datetime
) -> Evaluation:
    notifiers = dict(alert.notifiers)
    decisions: dict[str, Decision] = {}
    notifications: list[Notification] = []
    state = None if current.is_flapping else current.state
    routes: dict[str, list[AlertRoute]] = {}
    for route in settings.routes_for(current.monitor, current.type_name, current.tags, state):
        for name in route.notify:
            routes.setdefault(name, []).append(route)
    for name in settings.names:
        record = notifiers.get(name)
        due = _due_kind(alert, record, current, routes.get(name, ()), now)
        if isinstance(due, Decision):
            decisions[name] = due
            continue
        notification = _notification(alert, name, due, current, now)
        notifications.append(notification)
        is_over = due is NotificationKind.RECOVERY
        notifiers[name] = NotifierProgress(
            notification.number,
            now,
            notification.started_at,
            None if is_over or current.is_flapping else current.state,
            notification.since if current.is_flapping else None,
            record.rerouted_to if record is not None and record.is_open and not is_over else None,
        )
        decisions[name] = Decision(DecisionKind.NOTIFIED, at=now)
    return Evaluation(
        replace(alert, notifiers=notifiers) if notifications else alert, tuple(notifications), decisions
    )


def _due_kind(  # noqa: PLR0911 - rules in their order
    alert: Alert,
    record: NotifierProgress | None,
    current: AlertInput,
    routes: Sequence[AlertRoute],
    now: datetime,
) -> NotificationKind | Decision:
    """Return the kind of the notification that is due for a notifier, or the decision not to notify it."""
    is_open = record is not None and record.is_open
    if not routes:
        if current.state is State.UNKNOWN and not current.is_flapping:
            return Decision(DecisionKind.NO_ROUTE_FOR_UNKNOWN)
        if record is not None and not current.is_flapping and record.state not in {None, current.state}:
            return NotificationKind.RECOVERY
        return Decision(DecisionKind.NO_ROUTE)
    if current.suppression is not None:
        return Decision(DecisionKind.SUPPRESSED, suppression=current.suppression)
    due = [
        route for route in routes if is_open or _problem_age_s(alert, current, route, now) >= route.after_s
    ]
    if not due:
        return Decision(DecisionKind.DELAYED, after_s=min(route.after_s for route in routes))
    due = [route for route in due if not route.is_quiet(now)]
    if not due:
        return Decision(DecisionKind.QUIET_HOURS)
    kind = _changed_kind(record, current)
    if record is not None and isinstance(kind, Decision):
        since_last_s = (now - record.last_at).total_seconds()
        if any(route.repeat_every_s is not None and since_last_s >= route.repeat_every_s for route in due):
            return NotificationKind.FLAPPING if current.is_flapping else NotificationKind.REMINDER
    return kind


def _problem_age_s(alert: Alert, current: AlertInput, route: AlertRoute, now: datetime) -> float:
    """Return the time since the beginning of the problem that the route is for."""
    counts_unknown = State.UNKNOWN in route.states or not alert.started_unknown
    return (now - (alert.since if counts_unknown else current.since)).total_seconds()


def _changed_kind(record: NotifierProgress | None, current: AlertInput) -> NotificationKind | Decision:
    """Return the kind of the notification that is due after a change; a decision if nothing has changed."""
    if current.is_flapping:
        if record is None or not record.is_flapping or record.dropped_kind is not None:
            return NotificationKind.FLAPPING
        return Decision(DecisionKind.NOTIFIED_OF_FLAPPING, at=record.last_at)
    if record is None or not record.is_open:
        return NotificationKind.PROBLEM
    if record.is_flapping:
        return NotificationKind.FLAPPING_END
    if record.state is not current.state:
        return NotificationKind.UPDATE
    return record.dropped_kind or Decision(DecisionKind.NOTIFIED, at=record.last_at)


def _closing(
    alert: Alert, current: AlertInput, kind: NotificationKind, now: datetime
) -> Iterator[Notification]:
    """Return the closing notification for each notifier that has an open problem."""
    for name, record in alert.notifiers.items():
        if record.is_open:
            yield _notification(alert, name, kind, current, now)


def _notification(
    alert: Alert, notifier: str, kind: NotificationKind, current: AlertInput, now: datetime
) -> Notification:
    record = alert.notifiers.get(notifier)
    number = 1 if record is None else record.count + 1
    since = current.since
    if kind is NotificationKind.FLAPPING:
        since = record.flapping_since if record is not None and record.flapping_since is not None else now
    started_at = record.problem_since if record is not None and record.is_open else since
    # A monitor that was flapping was already up before the flapping ended.
    has_recovered = kind is NotificationKind.RECOVERY and record is not None and not record.is_flapping
    ended_at = since if has_recovered else now
    return Notification(
        id=notification_id(alert.id, notifier, number),
        notifier=notifier,
        kind=kind,
        alert=alert.id,
        number=number,
        monitor=current.monitor,
        opened_as=alert.opened_as,
        type_name=current.type_name,
        tags=current.tags,
        state=current.state,
        since=since,
        started_at=started_at,
        at=now,
        duration_s=max(0.0, (ended_at - started_at).total_seconds()),
        reason=current.reason,
        detail=plain(current.detail[:MAX_DETAIL_CHARACTERS]),
        context=NotificationContext(current.context),
    )


# Other changes of an alert


def closing_notifications(alert: Alert, last: AlertInput, now: datetime) -> tuple[Notification, ...]:
    """Return the notifications for a monitor that was removed from the configuration."""
    return tuple(_closing(alert, last, NotificationKind.CLOSED, now))


def closed_alert(alert: Alert) -> Alert:
    """Return the alert after `closing_notifications`, with the number of notifications of each notifier."""
    notifiers = {
        # The closing notification counts as well.
        name: replace(record, state=None, flapping_since=None, count=record.count + record.is_open)
        for name, record in alert.notifiers.items()
    }
    return replace(alert, notifiers=notifiers)


def with_rerouted(alert: Alert, notification: Notification, fallback: str) -> Alert:
    """Return the alert after a notification was rerouted: the same object if the alert is over for that notifier."""
    record = alert.notifiers.get(notification.notifier)
    if (
        alert.id != notification.alert
        or record is None
        or not record.is_open
        or record.rerouted_to == fallback
    ):
        return alert
    record = replace(record, rerouted_to=fallback)
    return replace(alert, notifiers={**alert.notifiers, notification.notifier: record})


def with_undelivered(alert: Alert, notification: Notification) -> Alert:
    """Return the alert after a notification was dropped, so that another is due if the problem lasts.

    Return the same object for a closing notification, and for a notification that is not the last.
    """
    record = alert.notifiers.get(notification.notifier)
    if (
        record is None
        or not record.is_open
        or notification.kind.is_closing
        or record.count != notification.number
    ):
        return alert
    if notification.kind is NotificationKind.PROBLEM:
        record = replace(record, state=None, flapping_since=None)
    else:
        record = replace(record, dropped_kind=notification.kind)
    return replace(alert, notifiers={**alert.notifiers, notification.notifier: record})


def with_adjusted_times(alert: Alert, adjusted: Callable[[datetime], datetime]) -> Alert:
    """Return the alert after the wall clock was set. It keeps its id."""
    notifiers = {
        name: replace(
            record,
            last_at=adjusted(record.last_at),
            problem_since=adjusted(record.problem_since),
            flapping_since=None if record.flapping_since is None else adjusted(record.flapping_since),
        )
        for name, record in alert.notifiers.items()
    }
    return replace(alert, since=adjusted(alert.since), notifiers=notifiers)


def closing_fallback(alert: Alert, notification: Notification) -> str | None:
    """Return the fallback that gets a copy of a closing notification, because it received the problem notification.

    None if the alert has an open problem for the fallback itself, which is closed by a notification of its own.
    """
    record = alert.notifiers.get(notification.notifier)
    if record is None or record.rerouted_to is None or not notification.kind.is_closing:
        return None
    fallback = alert.notifiers.get(record.rerouted_to)
    return None if fallback is not None and fallback.is_open else record.rerouted_to


def ongoing_notification(
    alert: Alert, notifier: str, last: AlertInput | None, now: datetime
) -> Notification | None:
    """Return a notification that repeats the last notification; None if the alert is not open.

    It is for a receiver that expires alerts that are not repeated, such as Alertmanager. `last` is None if the state of
    the monitor is not known yet, and for an isolation.
    """
    record = alert.notifiers.get(notifier)
    if record is None or not record.is_open or (last is None and alert.monitor):
        return None
    if last is None:
        kind, current = NotificationKind.ISOLATED, _isolation_input(alert.since)
    else:
        kind = NotificationKind.FLAPPING if record.is_flapping else NotificationKind.REMINDER
        state = record.state or last.state
        current = last if state is last.state else replace(last, state=state, since=record.problem_since)
    notification = _notification(alert, notifier, kind, current, now)
    # The repetition is not counted, and must not have the id of the next notification.
    repeated_id = notification_id(f"{alert.id} {now.timestamp()}", notifier, record.count)
    return replace(notification, id=repeated_id, number=record.count)


# The alert of an isolation: one for all monitors, without routes


def start_isolation(notifiers: Sequence[str], now: datetime) -> Evaluation:
    return continue_isolation(Alert(stable_id("", now), "", "", now), notifiers, now)


def continue_isolation(alert: Alert, notifiers: Sequence[str], now: datetime) -> Evaluation:
    """Return the notifications for notifiers that have none yet.

    The alert is the same object if there are no such notifiers.
    """
    current = _isolation_input(alert.since)
    notifications = [
        _notification(alert, name, NotificationKind.ISOLATED, current, now)
        for name in notifiers
        if name not in alert.notifiers
    ]
    if not notifications:
        return Evaluation(alert)
    records = {
        notification.notifier: NotifierProgress(notification.number, now, now, State.UNKNOWN)
        for notification in notifications
    }
    return Evaluation(replace(alert, notifiers={**alert.notifiers, **records}), tuple(notifications))


def end_isolation(alert: Alert, now: datetime) -> tuple[Notification, ...]:
    return tuple(_closing(alert, _isolation_input(now), NotificationKind.RECONNECTED, now))


def _isolation_input(since: datetime) -> AlertInput:
    detail = "The cause is probably on this host or near it: its network connection or its name server."
    return AlertInput("", "", (), State.UNKNOWN, since, Reason.PROBER_ISOLATED, detail)


# Stored alerts


def alert_record(alert: Alert) -> dict[str, Any]:
    return {
        "id": alert.id,
        "monitor": alert.monitor,
        "opened_as": alert.opened_as,
        "since": alert.since.isoformat(),
        "began_unknown": alert.started_unknown,
        "notifiers": {
            name: {
                "count": record.count,
                "last_at": record.last_at.isoformat(),
                "problem_since": record.problem_since.isoformat(),
                "state": None if record.state is None else record.state.value,
                "flapping_since": None
                if record.flapping_since is None
                else record.flapping_since.isoformat(),
                "rerouted_to": record.rerouted_to,
                "undelivered": None if record.dropped_kind is None else record.dropped_kind.value,
            }
            for name, record in alert.notifiers.items()
        },
    }


def alert_from_record(record: Mapping[str, Any]) -> Alert:
    """The inverse of `alert_record`. Raises KeyError, TypeError, ValueError or AttributeError for other input."""
    return Alert(
        id=str(record["id"]),
        monitor=str(record["monitor"]),
        opened_as=str(record.get("opened_as", record["monitor"])),  # earlier versions did not store it
        since=_time_of(record["since"]),
        notifiers={
            str(name): _notifier_from_record(notifier) for name, notifier in record["notifiers"].items()
        },
        started_unknown=record["began_unknown"] is True,
    )


def _notifier_from_record(record: Mapping[str, Any]) -> NotifierProgress:
    state, flapping_since, rerouted_to, dropped_kind = (
        record.get(key) for key in ("state", "flapping_since", "rerouted_to", "undelivered")
    )
    return NotifierProgress(
        count=_count_of(record["count"]),
        last_at=_time_of(record["last_at"]),
        problem_since=_time_of(record["problem_since"]),
        state=None if state is None else State(state),
        flapping_since=None if flapping_since is None else _time_of(flapping_since),
        rerouted_to=None if rerouted_to is None else str(rerouted_to),
        dropped_kind=None if dropped_kind is None else NotificationKind(dropped_kind),
    )


def _count_of(value: object) -> int:
    if not isinstance(value, int):
        raise TypeError("the number of notifications is not an integer")
    return value


def _time_of(text: str) -> datetime:
    time = datetime.fromisoformat(text)
    if time.tzinfo is None:
        # It would be compared with times that have a zone, with each evaluation.
        raise ValueError("the time has no time zone")
    return time
