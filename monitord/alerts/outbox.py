"""The outbox: queued notifications, and the last sent, expired or cancelled ones.

Each delivery is saved under a key of its own at every change, as None when it is forgotten. Data that is saved in one
iteration of the event loop is stored in one transaction: a notification together with the change of state that it
is about.
"""

import logging
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import Enum
from typing import Any

from monitord.notifiers import Notification, NotificationKind, notification_id, notification_of
from monitord.text import counted

log = logging.getLogger(__name__)

KEY_PREFIX = "notification:"
MAX_QUEUED = 20_000
"""Limit for all notifiers together. Beyond it the oldest deliveries are cancelled, which is logged."""
MAX_FINISHED = 500

SaveRecord = Callable[[str, Mapping[str, Any] | None], None]


class DeliveryStatus(Enum):
    QUEUED = "queued"  # no attempt has failed
    RETRYING = "retrying"  # queued, after at least one failed attempt
    REROUTED = "rerouted"  # queued for the fallback
    SENT = "sent"
    EXPIRED = "expired"  # not delivered within `expire_after`
    CANCELLED = "cancelled"  # dropped: the notifier was removed, or the outbox was full

    @property
    def is_queued(self) -> bool:
        """Whether the notification is still to be sent."""
        return self in _QUEUED


_QUEUED = frozenset({DeliveryStatus.QUEUED, DeliveryStatus.RETRYING, DeliveryStatus.REROUTED})


@dataclass(slots=True, eq=False)
class Delivery:
    """The delivery of one notification. `delivered_by` differs from its notifier if the fallback delivers it.

    `message_key` is the key of the message in which it was first attempted, and `message_at` the time. Deliveries with
    the same key stay one message until the receiver rejects it, even across restarts, reloads and a fallback.

    `copy_to` is the fallback that got the problem which this notification closes. It gets a copy of the notification,
    unless the notification is rerouted to it.

    `response` is the response of the receiver if the delivery was sent; otherwise a text of monitord: the error of the
    last attempt, or the reason for the cancellation.

    `queued_at_s` is on the monotonic clock, as the wall clock may be changed; None: queued by an earlier run.

    `is_claimed`: the notification is one of a cluster, and this node delivers it while it has the claim. While it is
    `is_held`, the claim is not certain, and the delivery is in no queue.
    """

    notification: Notification
    sequence: int
    delivered_by: str
    status: DeliveryStatus = DeliveryStatus.QUEUED
    attempts: int = 0
    message_key: str | None = None
    message_at: datetime | None = None
    copy_to: str | None = None
    ended_at: datetime | None = None
    response: str = ""
    queued_at_s: float | None = None
    is_claimed: bool = False
    is_held: bool = False

    @property
    def key(self) -> str:
        return KEY_PREFIX + self.notification.id

    @property
    def is_rerouted(self) -> bool:
        return self.delivered_by != self.notification.notifier

    def as_json(self) -> dict[str, Any]:
        return {
            "notification": self.notification.as_json(),
            "sequence": self.sequence,
            "delivered_by": self.delivered_by,
            "status": self.status.value,
            "attempts": self.attempts,
            "copy_to": self.copy_to,
            "message": self.message_key,
            "message_at": None if self.message_at is None else self.message_at.isoformat(),
            "ended_at": None if self.ended_at is None else self.ended_at.isoformat(),
            "response": self.response,
            "claimed": self.is_claimed,
        }


class Outbox:
    """Deliveries in the order in which their notifications were added. Not thread-safe: use it on the event loop only.

    `records` were saved by an earlier run. `on_added` is called with the name of the notifier of a new
    delivery, `on_dropped` with a delivery that has expired or was cancelled, and `on_finished` with each delivery that
    has ended. `holds_claimed`: whether claimed deliveries of the earlier run are held until their claim is certain.
    """

    def __init__(
        self,
        save: SaveRecord,
        records: Mapping[str, Mapping[str, Any]] | None = None,
        *,
        on_added: Callable[[str], None] = lambda _: None,
        on_dropped: Callable[[Delivery], None] = lambda _: None,
        on_finished: Callable[[Delivery], None] = lambda _: None,
        holds_claimed: bool = False,
        max_queued: int = MAX_QUEUED,
        max_finished: int = MAX_FINISHED,
    ) -> None:
        self._save = save
        self._on_added = on_added
        self._on_dropped = on_dropped
        self._on_finished = on_finished
        self._holds_claimed = holds_claimed
        self._max_queued = max_queued
        self._max_finished = max_finished
        self._queued: dict[str, Delivery] = {}
        self._queues: dict[str, dict[str, Delivery]] = {}  # the same, by `delivered_by`
        self._held: dict[str, Delivery] = {}
        self._finished: deque[Delivery] = deque()
        self._sequence = 0
        self._restore(records or {})

    def _restore(self, records: Mapping[str, Mapping[str, Any]]) -> None:
        deliveries, unreadable = [], 0
        for key, record in records.items():
            if not key.startswith(KEY_PREFIX):
                continue
            try:
                deliveries.append(_delivery_from_record(record))
            except (KeyError, TypeError, ValueError):
                self._save(key, None)
                unreadable += 1
        if unreadable:
            log.warning("discarded %s that cannot be read", counted(unreadable, "stored notification"))
        for delivery in sorted(deliveries, key=lambda delivery: delivery.sequence):
            self._sequence = delivery.sequence
            if delivery.status.is_queued and delivery.is_claimed and self._holds_claimed:
                delivery.is_held = True
                self._held[delivery.notification.id] = delivery
            elif delivery.status.is_queued:
                self._enqueue(delivery)
            else:
                self._finished.append(delivery)

    def __len__(self) -> int:
        return len(self._queued)

    def add(self, notification: Notification, copy_to: str | None = None) -> Delivery:
        """Queue a notification. A notification whose id is already queued, as after a crash, is not added again."""
        if notification.id in self._queued:
            return self._queued[notification.id]
        self._sequence += 1
        delivery = Delivery(notification, self._sequence, notification.notifier, copy_to=copy_to)
        self._enqueue(delivery)
        self._save_delivery(delivery)
        while len(self._queued) > self._max_queued:
            # A message that was attempted may have arrived, so deliveries that have no message yet are cancelled first.
            oldest = next(
                (queued for queued in self._queued.values() if queued.message_key is None),
                next(iter(self._queued.values())),
            )
            log.error(
                "more than %d notifications are queued; the oldest is cancelled: %s",
                self._max_queued,
                oldest.notification.title,
            )
            self.cancel(oldest, oldest.notification.at, "too many notifications were queued")
        self._on_added(notification.notifier)
        return delivery

    # -- claims on the notifications of a cluster ---------------------------------------------------------

    def add_claimed(
        self,
        notification: Notification,
        copy_to: str | None,
        message_key: str | None = None,
        message_at: datetime | None = None,
    ) -> None:
        """Queue a notification that this node has claimed, with the message in which it was first attempted.

        If it has been delivered by this node already, it is not queued again: its end is only reported again. If it is
        queued already, its message does not change now, as it may be about to be attempted: see `hold`.
        """
        finished = next(
            (
                ended
                for ended in self._finished
                if ended.notification.id == notification.id and ended.is_claimed
            ),
            None,
        )
        if notification.id in self._held:
            self.resume_message(self._held[notification.id], message_key, message_at)
        elif finished is not None:
            self._on_finished(finished)
        else:
            delivery = self.add(notification, copy_to)
            if not delivery.is_claimed:
                delivery.is_claimed = True
                if delivery.message_key is None:
                    delivery.message_key, delivery.message_at = message_key, message_at
                self._save_delivery(delivery)

    def claimed(self) -> list[Delivery]:
        """Return the claimed deliveries that have not ended, queued or held."""
        queued = (delivery for delivery in self._queued.values() if delivery.is_claimed)
        return [*queued, *self._held.values()]

    def hold(self, delivery: Delivery) -> None:
        """Take a claimed delivery out of its queue until `resume`, because its claim is not certain."""
        if self._queued.pop(delivery.notification.id, None) is not None:
            self._queues.get(delivery.delivered_by, {}).pop(delivery.notification.id, None)
            delivery.is_held = True
            self._held[delivery.notification.id] = delivery

    def resume_message(
        self, delivery: Delivery, message_key: str | None, message_at: datetime | None
    ) -> None:
        """Queue a held delivery again, in its message in the database; no effect if it is not held.

        A message that was only formed here was not attempted, except in alone mode.
        """
        if (
            delivery.is_held
            and message_key != delivery.message_key
            and (message_key or not delivery.attempts)
        ):
            delivery.message_key, delivery.message_at = message_key, message_at
            self._save_delivery(delivery)
        self.resume(delivery)

    def resume(self, delivery: Delivery) -> None:
        """Queue a held delivery again; no effect if it is not held."""
        if self._held.pop(delivery.notification.id, None) is not None:
            delivery.is_held = False
            self._enqueue(delivery)
            queue = self._queues[delivery.delivered_by]
            in_order = sorted(queue.values(), key=lambda queued: queued.sequence)
            self._queues[delivery.delivered_by] = {queued.notification.id: queued for queued in in_order}
            self._on_added(delivery.delivered_by)

    def held_alerts(self, delivered_by: str) -> frozenset[str]:
        """Return the alerts with a held delivery. Later notifications about them wait for it."""
        return frozenset(
            delivery.notification.alert
            for delivery in self._held.values()
            if delivery.delivered_by == delivered_by
        )

    def held_messages(self, delivered_by: str) -> frozenset[str]:
        """Return the keys of the messages with a held delivery. The rest of these waits for it."""
        return frozenset(
            delivery.message_key
            for delivery in self._held.values()
            if delivery.delivered_by == delivered_by and delivery.message_key is not None
        )

    def withdraw(self, delivery: Delivery) -> None:
        """Forget a claimed delivery, because another node delivers it."""
        self._queued.pop(delivery.notification.id, None)
        self._queues.get(delivery.delivered_by, {}).pop(delivery.notification.id, None)
        delivery.status = DeliveryStatus.CANCELLED
        self._save(delivery.key, None)
        if self._held.pop(delivery.notification.id, None) is not None:
            self._on_added(delivery.delivered_by)  # other deliveries have waited for it

    # -- queue --------------------------------------------------------------------------------------------

    def _enqueue(self, delivery: Delivery) -> None:
        self._queued[delivery.notification.id] = delivery
        self._queues.setdefault(delivery.delivered_by, {})[delivery.notification.id] = delivery

    def _save_delivery(self, delivery: Delivery) -> None:
        self._save(delivery.key, delivery.as_json())

    def assign_message(self, deliveries: Sequence[Delivery], key: str, at: datetime) -> None:
        """Record that these deliveries are attempted as one message."""
        for delivery in deliveries:
            delivery.message_key, delivery.message_at = key, at
            self._save_delivery(delivery)

    def split_message(self, deliveries: Sequence[Delivery]) -> None:
        """Allow these deliveries to be grouped differently, because the receiver rejects them as one message."""
        for delivery in deliveries:
            delivery.message_key = delivery.message_at = None
            self._save_delivery(delivery)

    def record_failure(self, deliveries: Sequence[Delivery], error: str) -> None:
        for delivery in deliveries:
            if not delivery.status.is_queued:  # cancelled or withdrawn during the attempt
                continue
            delivery.response = error
            if not delivery.is_rerouted:
                delivery.status = DeliveryStatus.RETRYING
            self._save_delivery(delivery)

    def reroute(self, delivery: Delivery, delivered_by: str) -> None:
        """Queue the delivery for another notifier.

        It is the fallback, or the original notifier if the fallback has been removed. No effect on a delivery that has
        ended in the meantime.
        """
        if delivery.notification.id not in self._queued:
            return
        self._queues.get(delivery.delivered_by, {}).pop(delivery.notification.id, None)
        delivery.delivered_by = delivered_by
        delivery.status = DeliveryStatus.REROUTED if delivery.is_rerouted else DeliveryStatus.RETRYING
        self._enqueue(delivery)
        self._save_delivery(delivery)

    def set_copy_to(self, delivery: Delivery, fallback: str) -> None:
        delivery.copy_to = fallback
        self._save_delivery(delivery)

    def complete(self, delivery: Delivery, at: datetime, response: str) -> None:
        self._finish(delivery, DeliveryStatus.SENT, at, response)

    def expire(self, delivery: Delivery, at: datetime, error: str) -> None:
        self._finish(delivery, DeliveryStatus.EXPIRED, at, error)
        self._on_dropped(delivery)

    def cancel(self, delivery: Delivery, at: datetime, error: str) -> None:
        self._finish(delivery, DeliveryStatus.CANCELLED, at, error)
        self._on_dropped(delivery)

    def _finish(self, delivery: Delivery, status: DeliveryStatus, at: datetime, response: str) -> None:
        self._queued.pop(delivery.notification.id, None)
        self._held.pop(delivery.notification.id, None)
        self._queues.get(delivery.delivered_by, {}).pop(delivery.notification.id, None)
        delivery.status, delivery.ended_at, delivery.response = status, at, response
        self._finished.append(delivery)
        self._save_delivery(delivery)
        self._on_finished(delivery)
        if delivery.copy_to is not None and not delivery.is_rerouted:
            original, fallback = delivery.notification, delivery.copy_to
            copy_id = notification_id(f"{original.alert} for {original.notifier}", fallback, original.number)
            self.add(replace(original, id=copy_id, notifier=fallback))
        while len(self._finished) > self._max_finished:
            oldest = self._finished.popleft()
            if oldest.notification.id not in self._queued:
                self._save(oldest.key, None)

    def has_undelivered_problem(self, closing: Notification) -> bool:
        """Whether the problem that this notification closes was not delivered, or not yet."""
        for delivery in self.deliveries(closing.monitor):
            opening = delivery.notification
            is_same = (opening.alert, opening.notifier) == (closing.alert, closing.notifier)
            if is_same and (opening.number == 1 or opening.kind is NotificationKind.PROBLEM):
                return delivery.status is not DeliveryStatus.SENT
        return False

    def queued_for(self, notifier: str) -> list[Delivery]:
        return list(self._queues.get(notifier, {}).values())

    def queue_length(self, delivered_by: str) -> int:
        return len(self._queues.get(delivered_by, {}))

    def queued_without_notifier(self, notifiers: Collection[str]) -> list[Delivery]:
        """Return the queued deliveries whose notifier is not among these."""
        return [
            delivery
            for delivered_by, queue in self._queues.items()
            if delivered_by not in notifiers
            for delivery in queue.values()
        ]

    def deliveries(self, monitor: str | None = None) -> Sequence[Delivery]:
        """Return queued and finished deliveries, the newest first."""
        return sorted(
            (
                delivery
                for delivery in (*self._finished, *self._queued.values(), *self._held.values())
                if monitor is None or delivery.notification.monitor == monitor
            ),
            key=lambda delivery: delivery.sequence,
            reverse=True,
        )


def _delivery_from_record(record: Mapping[str, Any]) -> Delivery:
    ended_at, message_key, message_at, copy_to = (
        record[key] for key in ("ended_at", "message", "message_at", "copy_to")
    )
    return Delivery(
        notification=notification_of(record["notification"]),
        sequence=int(record["sequence"]),
        delivered_by=str(record["delivered_by"]),
        status=DeliveryStatus(record["status"]),
        attempts=int(record["attempts"]),
        copy_to=None if copy_to is None else str(copy_to),
        message_key=None if message_key is None else str(message_key),
        message_at=None if message_at is None else datetime.fromisoformat(message_at),
        ended_at=None if ended_at is None else datetime.fromisoformat(ended_at),
        response=str(record["response"]),
        is_claimed=record.get("claimed") is True,  # earlier versions did not store it
    )
