"""The notifications that wait to be delivered, and what became of the last ones; all of it outlives a restart.

`keep` gets each entry under a key of its own whenever it changes, and None when it may be forgotten. What is kept in
one turn of the event loop is stored in one transaction, with the change of health that a notification tells of.
"""

import logging
from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import Enum
from typing import Any

from monitord.notifiers import Notification, NotificationKind, notification_id, notification_of

log = logging.getLogger(__name__)

PREFIX = "notification:"
MOST_WAITING = 20_000
"""For all notifiers. Beyond it the oldest are dropped, which is said."""
MOST_PAST = 500

Keep = Callable[[str, Mapping[str, Any] | None], None]


class DeliveryStatus(Enum):
    """What became of a notification."""

    QUEUED = "queued"
    SENT = "sent"
    EXPIRED = "expired"


@dataclass(slots=True, eq=False)
class Entry:
    """A notification on its way. `delivered_by`: who is to deliver it, which is another one than it is for after a
    fallback.

    `message`: the key of the message whose delivery was attempted with it, and `message_at` when for the first time.
    Entries that share it stay one message until the peer refuses it, also over a restart, a reload and a fallback.

    `copy_to`: the fallback that got the problem which this notification closes. It gets the notification as well,
    unless the notification is handed over to it anyway.

    `queued_at_s`: of the monotonic clock, as the wall clock may be set meanwhile. None: not known yet in this run.
    """

    notification: Notification
    sequence: int
    delivered_by: str
    status: DeliveryStatus = DeliveryStatus.QUEUED
    attempts: int = 0
    message: str | None = None
    message_at: datetime | None = None
    copy_to: str | None = None
    ended_at: datetime | None = None
    response: str = ""
    queued_at_s: float | None = None

    @property
    def key(self) -> str:
        return PREFIX + self.notification.id

    @property
    def has_ended(self) -> bool:
        return self.status is not DeliveryStatus.QUEUED

    def record(self) -> dict[str, Any]:
        return {
            "notification": self.notification.as_json(),
            "sequence": self.sequence,
            "delivered_by": self.delivered_by,
            "status": self.status.value,
            "attempts": self.attempts,
            "copy_to": self.copy_to,
            "message": self.message,
            "message_at": None if self.message_at is None else self.message_at.isoformat(),
            "ended_at": None if self.ended_at is None else self.ended_at.isoformat(),
            "response": self.response,
        }


class Outbox:
    """Owned by the event loop. Order is that in which notifications were added.

    `kept`: what `keep` was given in an earlier run. `added` is called with the name of the notifier that a new entry is
    for, `expired` with an entry that was given up.
    """

    def __init__(
        self,
        keep: Keep,
        kept: Mapping[str, Mapping[str, Any]] | None = None,
        *,
        added: Callable[[str], None] = lambda _: None,
        expired: Callable[[Entry], None] = lambda _: None,
        most_waiting: int = MOST_WAITING,
        most_past: int = MOST_PAST,
    ) -> None:
        self._keep = keep
        self._added = added
        self._expired = expired
        self._most_waiting = most_waiting
        self._most_past = most_past
        self._waiting: dict[str, Entry] = {}
        self._queues: dict[str, dict[str, Entry]] = {}  # the same, by who is to deliver it
        self._past: deque[Entry] = deque()
        self._sequence = 0
        self._restore(kept or {})

    def _restore(self, kept: Mapping[str, Mapping[str, Any]]) -> None:
        """What cannot be read is forgotten, and that is logged."""
        entries, lost = [], 0
        for key, record in kept.items():
            if not key.startswith(PREFIX):
                continue
            try:
                entries.append(_entry_of(record))
            except (KeyError, TypeError, ValueError):
                self._keep(key, None)
                lost += 1
        if lost:
            log.warning("notifications that were kept cannot be read, and are gone: %d", lost)
        for entry in sorted(entries, key=lambda entry: entry.sequence):
            self._sequence = entry.sequence
            if entry.status is DeliveryStatus.QUEUED:
                self._let_wait(entry)
            else:
                self._past.append(entry)

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, notification: Notification, copy_to: str | None = None) -> Entry:
        """One that is there already, as after a crash in the middle, stays as it is."""
        if notification.id in self._waiting:
            return self._waiting[notification.id]
        self._sequence += 1
        entry = Entry(notification, self._sequence, notification.notifier, copy_to=copy_to)
        self._let_wait(entry)
        self.changed(entry)
        while len(self._waiting) > self._most_waiting:
            # A message that may have arrived is not to change, so what is in one is kept as long as there is other.
            oldest = next(
                (one for one in self._waiting.values() if one.message is None),
                next(iter(self._waiting.values())),
            )
            log.error(
                "more than %d notifications wait: the oldest is dropped (%s)",
                self._most_waiting,
                oldest.notification.title,
            )
            self.give_up(oldest, oldest.notification.at, "too many notifications waited")
        self._added(notification.notifier)
        return entry

    def _let_wait(self, entry: Entry) -> None:
        self._waiting[entry.notification.id] = entry
        self._queues.setdefault(entry.delivered_by, {})[entry.notification.id] = entry

    def changed(self, entry: Entry) -> None:
        self._keep(entry.key, entry.record())

    def end(self, entry: Entry, status: DeliveryStatus, at: datetime, said: str) -> None:
        """It waits no longer."""
        self._waiting.pop(entry.notification.id, None)
        self._queues.get(entry.delivered_by, {}).pop(entry.notification.id, None)
        entry.status, entry.ended_at, entry.response = status, at, said
        self._past.append(entry)
        self.changed(entry)
        if entry.copy_to is not None and entry.delivered_by == entry.notification.notifier:
            self.add(_copy_for(entry.notification, entry.copy_to))
        while len(self._past) > self._most_past:
            gone = self._past.popleft()
            if gone.notification.id not in self._waiting:
                self._keep(gone.key, None)

    def form(self, entries: Sequence[Entry], key: str, at: datetime) -> None:
        """From now on they are one message."""
        for entry in entries:
            entry.message, entry.message_at = key, at
            self.changed(entry)

    def dissolve(self, entries: Sequence[Entry]) -> None:
        """The peer does not take them as one message."""
        for entry in entries:
            entry.message = entry.message_at = None
            self.changed(entry)

    def give_up(self, entry: Entry, at: datetime, why: str) -> None:
        self.end(entry, DeliveryStatus.EXPIRED, at, why)
        self._expired(entry)

    def hand_over(self, entry: Entry, delivered_by: str) -> None:
        """Another one is to deliver it."""
        self._queues.get(entry.delivered_by, {}).pop(entry.notification.id, None)
        entry.delivered_by = delivered_by
        self._let_wait(entry)
        self.changed(entry)

    def is_problem_lost(self, closing: Notification) -> bool:
        """Whether the problem that this notification closes was not delivered to its notifier, or not yet."""
        opening = next(
            (one for one in self.entries(closing.monitor) if _opens(one.notification, closing)), None
        )
        return opening is not None and opening.status is not DeliveryStatus.SENT

    def waiting_for(self, delivered_by: str) -> list[Entry]:
        return list(self._queues.get(delivered_by, {}).values())

    def waiting_for_others(self, names: Collection[str]) -> list[Entry]:
        """Those that none of these notifiers is to deliver."""
        return [
            entry
            for delivered_by in self._queues
            if delivered_by not in names
            for entry in self.waiting_for(delivered_by)
        ]

    def count_for(self, delivered_by: str) -> int:
        return len(self._queues.get(delivered_by, {}))

    def entries(self, monitor: str | None = None) -> Sequence[Entry]:
        """The newest first, those that wait among them."""
        found: Iterator[Entry] = iter([*self._past, *self._waiting.values()])
        return sorted(
            (one for one in found if monitor is None or one.notification.monitor == monitor),
            key=lambda entry: entry.sequence,
            reverse=True,
        )


def _opens(notification: Notification, closing: Notification) -> bool:
    is_same = (notification.alert, notification.notifier) == (closing.alert, closing.notifier)
    return is_same and (notification.number == 1 or notification.kind is NotificationKind.PROBLEM)


def _copy_for(notification: Notification, fallback: str) -> Notification:
    copied = notification_id(
        f"{notification.alert} for {notification.notifier}", fallback, notification.number
    )
    return replace(notification, id=copied, notifier=fallback)


def _entry_of(record: Mapping[str, Any]) -> Entry:
    ended_at, message, message_at, copy_to = (
        record[key] for key in ("ended_at", "message", "message_at", "copy_to")
    )
    return Entry(
        notification=notification_of(record["notification"]),
        sequence=int(record["sequence"]),
        delivered_by=str(record["delivered_by"]),
        status=DeliveryStatus(record["status"]),
        attempts=int(record["attempts"]),
        copy_to=None if copy_to is None else str(copy_to),
        message=None if message is None else str(message),
        message_at=None if message_at is None else datetime.fromisoformat(message_at),
        ended_at=None if ended_at is None else datetime.fromisoformat(ended_at),
        response=str(record["response"]),
    )
