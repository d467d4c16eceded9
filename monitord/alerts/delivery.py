"""Delivery for one notifier: grouping, rate limit, retries, fallback.

A failed message is retried unchanged, with the same key, until it is sent or expires: a receiver that got it although
the response was lost can recognize it. Which notifications are in a message is stored before the first attempt, so a
restart, a reload and a fallback change neither its content nor its key. Later notifications wait for the next message.
The delay between attempts grows. The first failure and the recovery of the notifier are logged. A message that the
receiver rejects is retried in the same way. In the meantime, messages about other alerts are sent; later
notifications about its alerts wait for it.
"""

import asyncio
import contextlib
import logging
import random
import time
import traceback
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Sequence
from datetime import datetime
from typing import Any

from monitord.alerts.action_links import masked_links
from monitord.alerts.outbox import Delivery, Outbox
from monitord.clock import Clock
from monitord.errors import bug_text
from monitord.journal_events import JournalEvent
from monitord.net.base.deadline import Deadline
from monitord.notifiers import DeliveryError, Message, Notification, Notifier
from monitord.systemd.log import NOTICE
from monitord.text import counted, readable_lines
from monitord.units import format_duration

log = logging.getLogger("monitord")

FIRST_RETRY_AFTER_S = 5.0
MAX_RETRY_AFTER_S = 600.0
FALLBACK_AFTER_S = 60.0
"""A notifier that has failed for this time hands its messages to its `fallback`."""
STORE_TIMEOUT_S = 2.0
"""A message is stored before it is sent, unless the storage needs longer than this."""
MIN_CLOSING_EXPIRY_S = 7 * 86_400.0
"""A recovery whose problem was delivered is retried for at least this time: the receiver has an open problem."""
RATE_PERIOD_S = 60.0
CLOSE_TIMEOUT_S = 3.0
"""An attempt under way may take this long when the worker closes."""

CertainClaims = Callable[[Sequence[Delivery]], Awaitable[Collection[Delivery]]]


class DeliveryWorker:
    """Delivers the messages of one notifier: `run` until cancelled, then `close`.

    `wake` is called when there may be something to send. `wait_until_stored` waits until all saved records are stored,
    for at most a time in seconds. `reroute` hands deliveries to the fallback, and returns whether there is a fallback.
    `with_links` adds the links that act on an alert, for notifiers with `action_links`. `certain_claims` selects the
    claimed deliveries that may be attempted now; the others are held.
    """

    def __init__(
        self,
        notifier: Notifier[Any],
        outbox: Outbox,
        clock: Clock,
        instance: str,
        wait_until_stored: Callable[[float], Awaitable[object]],
        reroute: Callable[[str, Sequence[Delivery]], bool],
        with_links: Callable[[Notification], Notification] = lambda notification: notification,
        certain_claims: CertainClaims | None = None,
        location: str = "",
    ) -> None:
        self.notifier = notifier
        self._outbox = outbox
        self._clock = clock
        self._instance = instance
        self._wait_until_stored = wait_until_stored
        self._reroute = reroute
        self._with_links = with_links
        self._certain_claims = certain_claims
        self._location = location
        self._has_work = asyncio.Event()
        self._group: list[Delivery] = []
        self._last_grouped_sequence = 0  # of the last delivery for which `group_wait` has passed
        self._repeated: Sequence[Notification] = ()
        self._retry_rejected_at_s: dict[str | None, float] = {}  # by the key of the message
        self._attempted_at_s: deque[float] = deque()
        self._attempt_under_way: tuple[Message, asyncio.Task[str]] | None = None
        self.sent = 0
        self.failed_attempts = 0
        self.expired = 0
        self.last_sent_at: datetime | None = None
        self.error: str | None = None
        self.failing_since: datetime | None = None
        self._failing_since_s = 0.0
        self._failures = 0
        self._logged_bug: str | None = None
        self.warning: str | None = None

    @property
    def name(self) -> str:
        return self.notifier.name

    @property
    def is_attempting(self) -> bool:
        return self._attempt_under_way is not None

    def wake(self) -> None:
        self._has_work.set()

    def resend(self, notifications: Sequence[Notification]) -> None:
        """Send notifications about ongoing alerts, without the outbox: they are repeated in a minute."""
        self._repeated = notifications
        self.wake()

    async def run(self) -> None:
        while True:
            # Before a retry: after a failure of the database, the message may differ.
            key = self._group[0].message_key if self._group else None
            if key is not None:
                self._group = [
                    delivery for delivery in self._outbox.queued_for(self.name) if delivery.message_key == key
                ]
            if not self._group:
                await self._collect_group()
            if self._repeated:
                await self._send_repeated()
                continue
            if not self._group:
                continue
            self._form_message()
            await self._wait_until_stored(STORE_TIMEOUT_S)
            while len(self._attempted_at_s) >= self.notifier.settings.max_messages_per_minute:
                left_s = self._attempted_at_s[0] + RATE_PERIOD_S - self._clock.monotonic_s()
                if left_s > 0:
                    await asyncio.sleep(left_s)
                self._attempted_at_s.popleft()
            await self._hold_uncertain_claims()
            self._remove_cancelled_and_rerouted()
            self._drop_expired()
            if not self._group:
                continue
            delay_s = await self._attempt()
            if delay_s:
                await asyncio.sleep(delay_s)

    async def close(self, timeout_s: float = CLOSE_TIMEOUT_S) -> None:
        """Close the notifier when `run` has ended. An attempt under way is cancelled after the timeout."""
        if self._attempt_under_way is not None:
            message, attempt = self._attempt_under_way
            await asyncio.wait([attempt], timeout=timeout_s)
            attempt.cancel()
            await asyncio.wait([attempt])
            if not attempt.cancelled() and attempt.exception() is None:
                self._record_success(message, attempt.result())
        try:
            await self.notifier.close()
        except Exception as error:  # noqa: BLE001 - a third party's class may raise anything
            # Without the text of the error, which may contain a secret.
            type_name = self.notifier.type_name
            log.error("%s: bug in notifier type %s: %s", self.name, type_name, bug_text(error))  # noqa: TRY400

    async def test(self, message: Message) -> str:
        """Send a message now, without the outbox, and return the response. Raises DeliveryError."""
        response = await self._deliver(message)
        self._record_warning()
        return response

    async def _send_repeated(self) -> None:
        notifications, self._repeated = self._repeated, ()
        while notifications:
            message = self._largest_message(notifications, self._clock.now())
            notifications = notifications[len(message.notifications) :]
            try:
                await self._deliver(message)
            except DeliveryError as error:
                self._record_error(error)
                return
        self._clear_error()

    async def _collect_group(self) -> None:
        """Collect the next group: everything that is queued when `group_wait` has passed since the first notification.

        Deliveries that exceed the size of a message have waited as well, so they follow without a further wait.
        """
        while not (queue := self._due_queue()):
            if self._repeated:
                return
            self._has_work.clear()
            retry_at_s = min(self._retry_rejected_at_s.values(), default=None)
            after_s = None if retry_at_s is None else max(0.0, retry_at_s - self._clock.monotonic_s())
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(after_s):
                    await self._has_work.wait()
        attempted = next((delivery for delivery in queue if delivery.message_key is not None), None)
        if attempted is not None:
            self._group = [delivery for delivery in queue if delivery.message_key == attempted.message_key]
            return
        if queue[0].sequence > self._last_grouped_sequence:
            await asyncio.sleep(self.notifier.settings.group_wait_s)
            # Deliveries may have been cancelled since then, and a message of another notifier rerouted to this one.
            queue = [delivery for delivery in self._due_queue() if delivery.message_key is None]
            self._last_grouped_sequence = max((delivery.sequence for delivery in queue), default=0)
        # Rerouted deliveries are in separate messages, as they are not rerouted again, and so are those of a cluster:
        # another node that takes them over sends the same message.
        group = [
            delivery
            for delivery in queue
            if delivery.notification.notifier == queue[0].notification.notifier
            and delivery.is_claimed is queue[0].is_claimed
        ]
        self._group = group[: self.notifier.settings.max_notifications_per_message]

    def _due_queue(self) -> list[Delivery]:
        """Return the queue without rejected messages that are not to be retried yet.

        Later notifications about the same alerts wait as well: a problem that is delivered after its recovery would
        stay open.
        """
        queue = self._outbox.queued_for(self.name)
        if held := self._outbox.held_alerts(self.name):
            # A part of a message is not sent: the receiver would take the other part, under the same key, for a repeat.
            waiting = self._outbox.held_messages(self.name) | {
                delivery.message_key for delivery in queue if delivery.notification.alert in held
            }
            queue = [
                delivery
                for delivery in queue
                if delivery.notification.alert not in held
                and (delivery.message_key is None or delivery.message_key not in waiting)
            ]
        if not self._retry_rejected_at_s:
            return queue
        now_s = self._clock.monotonic_s()
        self._retry_rejected_at_s = {
            key: at_s for key, at_s in self._retry_rejected_at_s.items() if at_s > now_s
        }
        rejected = self._retry_rejected_at_s.keys()
        waiting_alerts = {
            delivery.notification.alert for delivery in queue if delivery.message_key in rejected
        }
        return [
            delivery
            for delivery in queue
            if delivery.message_key not in rejected
            and (delivery.message_key is not None or delivery.notification.alert not in waiting_alerts)
        ]

    def _form_message(self) -> None:
        """Form a message from the beginning of the group, as large as the receiver accepts."""
        key = self._group[0].message_key
        is_formed = key is not None and all(delivery.message_key == key for delivery in self._group)
        notifications = [delivery.notification for delivery in self._group]
        if is_formed:
            message = self._largest_message(notifications, self._group[0].message_at or self._clock.now())
            if len(message.notifications) == len(notifications):
                return
            # A notifier with a larger limit formed the message, before a reload or a fallback.
            self._outbox.split_message(self._group)
        now = self._clock.now()
        message = self._largest_message(notifications, now)
        self._group = self._group[: len(message.notifications)]
        self._outbox.assign_message(self._group, message.key, now)

    def _largest_message(self, notifications: Sequence[Notification], at: datetime) -> Message:
        """Build the largest message that the receiver accepts, with at least one notification."""
        fitting, too_many = (
            1,
            min(len(notifications), self.notifier.settings.max_notifications_per_message) + 1,
        )
        tried = too_many - 1
        while too_many - fitting > 1:
            if self.notifier.fits(self._message(notifications[:tried], at)):
                fitting = tried
            else:
                too_many = tried
            tried = (fitting + too_many) // 2
        return self._message(notifications[:fitting], at)

    def _message(
        self,
        notifications: Sequence[Notification],
        at: datetime,
        attempted_at: datetime | None = None,
        key: str | None = None,
    ) -> Message:
        """A message for this notifier.

        The recipients of a fallback get links only if the fallback has `action_links` as well.
        """
        if self.notifier.settings.action_links:
            notifications = [self._with_links(notification) for notification in notifications]
        return Message(notifications, self._instance, at, attempted_at, key, self._location)

    async def _hold_uncertain_claims(self) -> None:
        claimed = [delivery for delivery in self._group if delivery.is_claimed and delivery.status.is_queued]
        if not claimed or self._certain_claims is None:
            return
        certain = await self._certain_claims(claimed)
        if any(delivery not in certain for delivery in claimed):
            for delivery in claimed:  # the message as a whole
                self._outbox.hold(delivery)

    def _remove_cancelled_and_rerouted(self) -> None:
        """Remove deliveries that were cancelled, held or rerouted to another notifier since the group was collected.

        If one is held, the message waits as a whole.
        """
        self._group = [
            delivery
            for delivery in self._group
            if delivery.status.is_queued and delivery.delivered_by == self.name
        ]
        held, waiting = self._outbox.held_alerts(self.name), self._outbox.held_messages(self.name)
        if any(each.notification.alert in held or each.message_key in waiting for each in self._group):
            self._group = []

    def _drop_expired(self) -> None:
        """Drop the message as a whole if all of its notifications have expired and were attempted.

        A recovery whose problem was delivered expires after MIN_CLOSING_EXPIRY_S at the earliest, and so do the
        notifications in the same message.
        """
        now, expire_after_s = self._clock.now(), self.notifier.settings.expire_after_s
        if any(
            self._age_s(delivery, now) <= expire_after_s or not delivery.attempts for delivery in self._group
        ):
            return
        if expire_after_s < MIN_CLOSING_EXPIRY_S and any(
            delivery.notification.kind.is_closing
            and self._age_s(delivery, now) <= MIN_CLOSING_EXPIRY_S
            and not self._outbox.has_undelivered_problem(delivery.notification)
            for delivery in self._group
        ):
            return
        for delivery in self._group:
            self.expired += 1
            log.error(
                "%s: notification expired after %s and %s: %s",
                self.name,
                format_duration(round(self._age_s(delivery, now))),
                counted(delivery.attempts, "attempt"),
                delivery.notification.title,
                extra=self._journal_fields(JournalEvent.NOTIFICATION_EXPIRED, delivery.notification.monitor),
            )
            self._outbox.expire(delivery, now, self.error or "")
        self._group = []

    def _age_s(self, delivery: Delivery, now: datetime) -> float:
        now_s = self._clock.monotonic_s()
        if delivery.queued_at_s is None:
            delivery.queued_at_s = now_s - max(0.0, (now - delivery.notification.at).total_seconds())
        return now_s - delivery.queued_at_s

    async def _attempt(self) -> float:
        """Attempt to deliver the group, and return the delay before the next attempt, in seconds."""
        now = self._clock.now()
        notifications = [delivery.notification for delivery in self._group]
        first = self._group[0]
        message = self._message(notifications, first.message_at or now, now, first.message_key)
        self._attempted_at_s.append(self._clock.monotonic_s())
        for delivery in self._group:
            delivery.attempts += 1
        # In a separate task, because a stop of the daemon does not interrupt it at once: see `close`.
        attempt = asyncio.ensure_future(self._deliver(message))
        self._attempt_under_way = message, attempt
        await asyncio.wait([attempt])
        self._attempt_under_way = None
        try:
            response = attempt.result()
        except DeliveryError as error:
            return self._record_failure(error)
        self._record_success(message, response)
        return 0.0

    async def _deliver(self, message: Message) -> str:
        timeout_s = self.notifier.settings.timeout_s
        try:
            async with Deadline(timeout_s + 1.0, margin_s=1.0):
                response = await self.notifier.deliver(message, deadline=time.monotonic() + timeout_s)
                return self._safe(response)
        except DeliveryError as error:
            # Without a cause: a traceback would quote the response that the notifier received.
            raise DeliveryError(
                self._safe(str(error)), error.retry_after_s, is_rejected=error.is_rejected
            ) from None
        except TimeoutError as error:
            raise DeliveryError(f"timeout after {format_duration(timeout_s)}") from error
        except Exception as error:
            if self._logged_bug != repr(error):
                self._logged_bug = repr(error)
                # The traceback without secrets and links that act; None if it contains none.
                masked = self.notifier.masking.masked_traceback(error)
                text = "".join(traceback.format_exception(error)).rstrip() if masked is None else masked
                safe = masked_links(text)
                shown = masked if safe == text else safe
                log.error(  # noqa: TRY400 - as `exception`, but without secrets
                    "%s: bug in notifier type %s%s",
                    self.name,
                    self.notifier.type_name,
                    "" if shown is None else f"\n{shown}",
                    exc_info=error if shown is None else None,
                )
            raise DeliveryError(
                self._safe(f"bug in notifier type {self.notifier.type_name}: {error!r}")
            ) from None

    def _safe(self, text: str) -> str:
        """Return the response of a receiver on one line, without secrets, links that act and terminal escapes."""
        mask = self.notifier.masking.mask
        return masked_links(" ".join(mask(readable_lines(mask(text))).split()))

    def _clear_error(self) -> None:
        if self.error is not None:
            log.log(
                NOTICE,
                "%s: delivers again after %s",
                self.name,
                format_duration(round(self._clock.monotonic_s() - self._failing_since_s)),
                extra=self._journal_fields(JournalEvent.NOTIFIER_RECOVERED),
            )
        self.error, self.failing_since, self._failures, self._logged_bug = None, None, 0, None

    def _record_error(self, error: DeliveryError) -> None:
        self.failed_attempts += 1
        if self.error is None:
            self.failing_since, self._failing_since_s = self._clock.now(), self._clock.monotonic_s()
            log.error(
                "%s: cannot deliver, retrying: %s",
                self.name,
                error,
                extra=self._journal_fields(JournalEvent.NOTIFIER_FAILED),
            )
        self.error = str(error)

    def _record_warning(self) -> None:
        """Record the warning of a successful delivery, and log it if it is new."""
        warning = self.notifier.warning
        warning = None if warning is None else self._safe(warning)
        if warning != self.warning and warning is not None:
            log.warning(
                "%s: %s", self.name, warning, extra=self._journal_fields(JournalEvent.NOTIFIER_WARNING)
            )
        self.warning = warning

    def _record_success(self, message: Message, response: str) -> None:
        now = self._clock.now()
        self._clear_error()
        self._record_warning()
        self.sent += len(message.notifications)
        self.last_sent_at = now
        for delivery in self._group:
            self._outbox.complete(delivery, now, response)
            log.info(
                "%s: notification sent%s: %s (%s)",
                self.name,
                f" for {delivery.notification.notifier}" if delivery.is_rerouted else "",
                delivery.notification.title,
                response,
                extra=self._journal_fields(JournalEvent.NOTIFICATION_SENT, delivery.notification.monitor),
            )
        self._group = []

    def _record_failure(self, error: DeliveryError) -> float:
        """Record the failure, and return the delay before the next attempt, in seconds."""
        self._record_error(error)
        self._outbox.record_failure(self._group, str(error))
        if error.is_rejected and len(self._group) > 1:
            # The message may be too large, or one of its notifications is not accepted: continue with one half.
            self._outbox.split_message(self._group)
            self._group = self._group[: len(self._group) // 2]
            return FIRST_RETRY_AFTER_S
        fallback = self.notifier.settings.fallback
        failing_for_s = self._clock.monotonic_s() - self._failing_since_s
        if (
            fallback is not None
            and (error.is_rejected or failing_for_s >= FALLBACK_AFTER_S)
            # A rerouted message is not rerouted again: two failing notifiers would pass it to each other forever.
            and not any(delivery.is_rerouted for delivery in self._group)
            and self._reroute(fallback, self._group)
        ):
            count = counted(len(self._group), "notification")
            log.warning("%s: rerouted %s to fallback %s", self.name, count, fallback)
            self._group = []
        if not self._group:
            return 0.0  # the next message is rerouted without a delay as well
        failures = self._group[0].attempts - 1 if error.is_rejected else self._failures
        delay_s: float = min(FIRST_RETRY_AFTER_S * 2 ** min(failures, 16), MAX_RETRY_AFTER_S)
        delay_s *= random.uniform(0.8, 1.2)  # noqa: S311 - so that not all retries come at once
        delay_s = max(delay_s, error.retry_after_s or 0.0)
        if error.is_rejected:
            self._retry_rejected_at_s[self._group[0].message_key] = self._clock.monotonic_s() + delay_s
            self._group = []
            return 0.0
        self._failures = min(self._failures + 1, 16)
        return delay_s

    def _journal_fields(self, event: JournalEvent, monitor: str = "") -> dict[str, Any]:
        fields = {"NOTIFIER": self.name, "NOTIFIER_TYPE": self.notifier.type_name}
        if monitor:
            fields["MONITOR"] = monitor
        return {"message_id": event.message_id, "fields": fields}
