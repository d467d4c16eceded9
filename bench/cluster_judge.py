"""Compares the notifications that a receiver has processed with the outages that there were.

An outage is *confirmed* if at least as many locations see it as the quorum requires. Its alert must be opened and
closed. Nothing else may be notified.

| found | meaning |
|---|---|
| missed | a confirmed outage that lasted until it was notified, or too long, without an alert |
| false | an alert without a confirmed outage, or an alert that was closed during its outage |
| unclosed | an alert that was opened and not closed |
| duplicate | a second alert about an outage, or a second notification that opens or closes an alert |
| repeated | a notification that was processed again in the same message: a receiver recognizes its key |
| regrouped | a notification that was processed again in another message, with its id |
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from monitord.notifiers.notification import NotificationKind

BEFORE = timedelta(seconds=2)
"""So much earlier than the outage may a problem have started, as a check is a moment older than its response."""
AFTER = timedelta(seconds=10)
"""So much later than the end may a problem have started: a check interval until the votes change, and its timeout."""


@dataclass(slots=True)
class Outage:
    """`ended_at` None: it lasts. `is_due`: it must be notified, as it lasts long enough."""

    monitor: str
    locations: frozenset[str]
    began_at: datetime
    ended_at: datetime | None = None
    is_due: bool = False

    def contains(self, moment: datetime) -> bool:
        return self.began_at - BEFORE <= moment and (self.ended_at is None or moment <= self.ended_at + AFTER)

    def __str__(self) -> str:
        end = "now" if self.ended_at is None else f"{self.ended_at:%H:%M:%S}"
        return f"{self.monitor} at {'+'.join(sorted(self.locations))} {self.began_at:%H:%M:%S} to {end}"


@dataclass(frozen=True, slots=True)
class Received:
    """A notification that was processed `at` in a message with `key`. `ended_at`: of the problem, if it closes."""

    at: datetime
    key: str
    id: str
    kind: NotificationKind
    alert: str
    monitor: str
    started_at: datetime
    ended_at: datetime | None

    def __str__(self) -> str:
        return f"{self.monitor} {self.kind.value} {self.id} at {self.at:%H:%M:%S}, since {self.started_at:%H:%M:%S}"


def received(at: datetime, key: str, message: Mapping[str, Any]) -> Iterable[Received]:
    """The notifications of a message of a webhook. Raises KeyError or ValueError for other input."""
    for notification in message["notifications"]:
        kind = NotificationKind(notification["kind"])
        started_at = datetime.fromisoformat(notification["started_at"])
        ended_at = started_at + timedelta(seconds=notification["duration_s"]) if kind.is_closing else None
        yield Received(
            at,
            key,
            notification["id"],
            kind,
            notification["alert"],
            notification["monitor"],
            started_at,
            ended_at,
        )


@dataclass(frozen=True, slots=True)
class Judgement:
    """Each fault is one line for people. `latencies_s`: from the outages to the opening of their alerts, sorted.

    `monitors`: the monitors with a fault.
    """

    outages: int
    confirmed: int
    notified: int
    missed: tuple[str, ...]
    false: tuple[str, ...]
    unclosed: tuple[str, ...]
    duplicates: tuple[str, ...]
    repeated: int
    regrouped: int
    isolations: int
    latencies_s: tuple[float, ...]
    monitors: tuple[str, ...]

    @property
    def is_faultless(self) -> bool:
        return not (self.missed or self.false or self.unclosed or self.duplicates)


def judge(outages: Sequence[Outage], notifications: Sequence[Received], *, needed: int) -> Judgement:
    """Compare. `notifications` in the order in which they were processed; `needed`: the locations of a quorum."""
    confirmed = [outage for outage in outages if len(outage.locations) >= needed]
    case = _Case(confirmed)
    of_alert: dict[str, list[Received]] = defaultdict(list)
    for notification in notifications:
        if notification.monitor:
            of_alert[notification.alert].append(notification)
    for found in of_alert.values():
        case.hear(found)
    opened_at = case.opened_at
    missed = [str(outage) for outage in confirmed if outage.is_due and id(outage) not in opened_at]
    latencies_s = [
        (opened_at[id(outage)] - outage.began_at).total_seconds()
        for outage in confirmed
        if id(outage) in opened_at
    ]
    messages = {(notification.id, notification.key) for notification in notifications}
    isolations = {found.id for found in notifications if found.kind is NotificationKind.ISOLATED}
    return Judgement(
        outages=len(outages),
        confirmed=len(confirmed),
        notified=len(opened_at),
        missed=tuple(missed),
        false=tuple(case.false),
        unclosed=tuple(case.unclosed),
        duplicates=tuple(case.duplicates),
        repeated=len(notifications) - len(messages),
        regrouped=len(messages) - len({number for number, _ in messages}),
        isolations=len(isolations),
        latencies_s=tuple(sorted(latencies_s)),
        monitors=tuple(sorted(case.monitors)),
    )


class _Case:
    """The faults of alerts, and the monitors of these. `opened_at`: when an outage, by its id(), was notified."""

    def __init__(self, confirmed: Sequence[Outage]) -> None:
        self._confirmed: dict[str, list[Outage]] = defaultdict(list)
        for outage in confirmed:
            self._confirmed[outage.monitor].append(outage)
        self.opened_at: dict[int, datetime] = {}
        self.false: list[str] = []
        self.unclosed: list[str] = []
        self.duplicates: list[str] = []
        self.monitors: set[str] = set()

    def hear(self, found: Sequence[Received]) -> None:
        """Judge the notifications about one alert."""
        first, count = found[0], self._count
        opening = _first_of_each_id(found, is_closing=False)
        closing = _first_of_each_id(found, is_closing=True)
        self.duplicates += [f"opened again: {again}" for again in opening[1:]]
        self.duplicates += [f"closed again: {again}" for again in closing[1:]]
        outage = self._outage_of(first)
        if first.kind.is_closing:
            self.false.append(f"closed before it was opened: {first}")
        elif outage is None:
            self.false.append(f"no such outage: {first}")
        elif id(outage) in self.opened_at:
            self.duplicates.append(f"second alert: {first}; {outage}")
        else:
            self.opened_at[id(outage)] = first.at
        if not closing:
            self.unclosed.append(str(first))
        elif outage is not None and _is_early(closing[0], outage):
            self.false.append(f"closed during the outage: {closing[0]}; {outage}")
        if self._count > count:
            self.monitors.add(first.monitor)

    @property
    def _count(self) -> int:
        return len(self.false) + len(self.unclosed) + len(self.duplicates)

    def _outage_of(self, notification: Received) -> Outage | None:
        outages = self._confirmed[notification.monitor]
        return next((outage for outage in outages if outage.contains(notification.started_at)), None)


def _first_of_each_id(found: Iterable[Received], *, is_closing: bool) -> list[Received]:
    first: dict[str, Received] = {}
    for notification in found:
        if notification.kind.is_closing is is_closing:
            first.setdefault(notification.id, notification)
    return list(first.values())


def _is_early(closing: Received, outage: Outage) -> bool:
    ended_at = closing.ended_at or closing.at
    return ended_at < (outage.ended_at or datetime.max.replace(tzinfo=UTC)) - BEFORE
