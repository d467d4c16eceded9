"""The differences between two outcomes: alerts, incidents and notifications. Pure."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from monitord.model import Incident
from monitord.replay.outcome import Outcome, RecordedAlert, RecordedNotification

TOLERANCE = timedelta(seconds=3)
"""Alerts are evaluated every two seconds, so smaller differences of times mean nothing."""

_END = datetime.max.replace(tzinfo=UTC)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class AlertChange:
    """An alert that differs. `before` and `after`: None if there is no such alert.

    `sent_before` and `sent_after`: the notifications about it, in the order of time.
    """

    before: RecordedAlert | None
    after: RecordedAlert | None
    sent_before: tuple[RecordedNotification, ...] = ()
    sent_after: tuple[RecordedNotification, ...] = ()


@dataclass(frozen=True, slots=True)
class IncidentChange:
    """An incident that differs. None: there is no such incident."""

    before: Incident | None
    after: Incident | None


def compare_alerts(before: Outcome, after: Outcome, former_names: Mapping[str, str]) -> list[AlertChange]:
    """Return the alerts that differ, in the order of time. `former_names`: of monitors that are renamed in `after`."""
    sent_before, sent_after = _by_alert(before.notifications), _by_alert(after.notifications)
    changes = []
    for was, becomes in _pairs(
        before.alerts,
        after.alerts,
        name=lambda alert: former_names.get(alert.monitor, alert.monitor),
        period=lambda alert: (alert.since, alert.until),
    ):
        change = AlertChange(
            was,
            becomes,
            () if was is None else sent_before.get((was.monitor, was.id), ()),
            () if becomes is None else sent_after.get((becomes.monitor, becomes.id), ()),
        )
        if (
            was is None
            or becomes is None
            or was.state is not becomes.state
            or not _is_same_period((was.since, was.until), (becomes.since, becomes.until))
            or not _are_same(change.sent_before, change.sent_after)
        ):
            changes.append(change)
    return changes


def compare_incidents(
    before: Outcome, after: Outcome, former_names: Mapping[str, str]
) -> list[IncidentChange]:
    """Return the incidents that differ, in the order of time."""
    return [
        IncidentChange(was, becomes)
        for was, becomes in _pairs(
            list(before.incidents.values()),
            list(after.incidents.values()),
            name=lambda incident: former_names.get(incident.monitor, incident.monitor),
            period=lambda incident: (incident.opened_at, incident.closed_at),
        )
        if was is None
        or becomes is None
        or not _is_same_period((was.opened_at, was.closed_at), (becomes.opened_at, becomes.closed_at))
    ]


def _pairs(
    before: Sequence[T],
    after: Sequence[T],
    *,
    name: Callable[[T], str],
    period: Callable[[T], tuple[datetime, datetime | None]],
) -> list[tuple[T | None, T | None]]:
    """Pair items of the same name whose periods overlap, in the order of their beginning; None: there is no other."""
    unpaired: dict[str, list[T]] = {}
    for item in after:
        unpaired.setdefault(name(item), []).append(item)
    pairs: list[tuple[T | None, T | None]] = []
    for item in before:
        candidates = unpaired.get(name(item), [])
        begin, end = period(item)
        match: T | None = None
        for other in candidates:
            other_begin, other_end = period(other)
            if begin <= (other_end or _END) and other_begin <= (end or _END):
                match = other
                break
        if match is not None:
            candidates.remove(match)
        pairs.append((item, match))
    pairs += [(None, item) for items in unpaired.values() for item in items]

    def beginning(pair: tuple[T | None, T | None]) -> tuple[datetime, str]:
        first = pair[0] if pair[0] is not None else pair[1]
        assert first is not None  # noqa: S101 - a pair has at least one item
        return period(first)[0], name(first)

    return sorted(pairs, key=beginning)


def _is_same_period(first: tuple[datetime, datetime | None], other: tuple[datetime, datetime | None]) -> bool:
    if abs(first[0] - other[0]) > TOLERANCE or (first[1] is None) is not (other[1] is None):
        return False
    return first[1] is None or other[1] is None or abs(first[1] - other[1]) <= TOLERANCE


def _are_same(first: Sequence[RecordedNotification], other: Sequence[RecordedNotification]) -> bool:
    if len(first) != len(other):
        return False
    return all(
        (was.notifier, was.kind, was.state) == (becomes.notifier, becomes.kind, becomes.state)
        and abs(was.at - becomes.at) <= TOLERANCE
        for was, becomes in zip(first, other, strict=True)
    )


def _by_alert(
    notifications: Iterable[RecordedNotification],
) -> dict[tuple[str, str], tuple[RecordedNotification, ...]]:
    groups: dict[tuple[str, str], list[RecordedNotification]] = {}
    for notification in notifications:
        groups.setdefault((notification.monitor, notification.alert), []).append(notification)
    return {
        key: tuple(sorted(sent, key=lambda notification: (notification.at, notification.notifier)))
        for key, sent in groups.items()
    }
