"""Delivers for one notifier: groups what comes at once, bounds how much goes out, tries again what was not taken.

A message that was not taken is tried again as it is, with the same key, until it is taken or its notifications are
too old:
somebody who got it although the answer was lost can tell. Which notifications are in it is stored before the first
attempt,
so that a restart, a reload and a fallback change neither content nor key. What comes meanwhile waits for the next
message. The longer it fails the less often it is tried; it is said when failing begins and when it is over. A message
that the receiver refuses as such is retried in the same way, but holds up no other.
"""

import asyncio
import contextlib
import logging
import random
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Any

from monitord.alerts.outbox import DeliveryStatus, Entry, Outbox
from monitord.clock import Clock
from monitord.journal_events import JournalEvent
from monitord.net.base.deadline import Deadline
from monitord.notifiers import DeliveryError, Message, Notification, Notifier
from monitord.systemd.log import NOTICE
from monitord.text import readable_lines
from monitord.units import format_duration

log = logging.getLogger("monitord")

RETRY_FIRST_S = 5.0
RETRY_LAST_S = 600.0
FALLBACK_AFTER_S = 60.0
"""A notifier with a `fallback` that has failed for so long hands over what it has."""
STORED_WITHIN_S = 2.0
"""A notification is stored before it is sent, unless the storage does not take it in that time."""
CLOSING_KEPT_S = 7 * 86_400.0
"""A recovery whose problem was delivered is retried for at least so long: the receiver has an open problem."""
RATE_PERIOD_S = 60.0
LEAVE_WITHIN_S = 3.0
"""What is on its way gets so long to arrive when the worker goes."""


class DeliveryWorker:
    """`run` until it is cancelled; `nudge` when there may be work.

    `stored` awaits that what was kept is stored; `hand_over` gives entries to the fallback and says whether it took
    them.
    """

    def __init__(
        self,
        notifier: Notifier[Any],
        outbox: Outbox,
        clock: Clock,
        origin: str,
        stored: Callable[[float], Awaitable[object]],
        hand_over: Callable[[str, Sequence[Entry]], bool],
    ) -> None:
        self.notifier = notifier
        self._outbox = outbox
        self._clock = clock
        self._origin = origin
        self._stored = stored
        self._hand_over = hand_over
        self._has_work = asyncio.Event()
        self._group: list[Entry] = []
        self._waited_to = 0  # the sequence of the last entry that others were waited for with
        self._again: Sequence[Notification] = ()
        self._retry_refused_at: dict[str | None, float] = {}  # by the key of the message
        self._sendings: deque[float] = deque()
        self._delivering: tuple[Message, asyncio.Task[str]] | None = None
        self.sent = 0
        self.failed = 0
        self.expired = 0
        self.last_sent_at: datetime | None = None
        self.failing: str | None = None
        self.failing_since: datetime | None = None
        self._failing_since_s = 0.0
        self._failures = 0
        self._bug: str | None = None
        self.warning: str | None = None

    @property
    def name(self) -> str:
        return self.notifier.name

    def nudge(self) -> None:
        self._has_work.set()

    def tell_again(self, notifications: Sequence[Notification]) -> None:
        """What goes on, to one that forgets it otherwise. Nothing of it is kept: in a minute it comes again."""
        self._again = notifications
        self.nudge()

    async def run(self) -> None:
        while True:
            if not self._group:
                await self._gather()
            if self._again:
                await self._tell_again()
                continue
            if not self._group:
                continue
            self._form()
            await self._stored(STORED_WITHIN_S)
            await self._await_rate()
            self._drop_old()
            if not self._group:
                continue
            delay_s = await self._attempt()
            if delay_s:
                await asyncio.sleep(delay_s)

    async def close(self, within_s: float = LEAVE_WITHIN_S) -> None:
        """What is on its way gets so long to arrive. Call it when `run` has ended."""
        if self._delivering is not None:
            message, delivery = self._delivering
            await asyncio.wait([delivery], timeout=within_s)
            delivery.cancel()
            await asyncio.wait([delivery])
            if not delivery.cancelled() and delivery.exception() is None:
                self._succeed(message, delivery.result())
        await self.notifier.close()

    async def test(self, message: Message) -> str:
        """At once, beside everything else. Raises DeliveryError."""
        said = await self._deliver(message)
        self._note_warning()
        return said

    async def _tell_again(self) -> None:
        notifications, self._again = self._again, ()
        while notifications:
            message = self._largest_message(notifications, self._clock.now())
            notifications = notifications[len(message.notifications) :]
            try:
                await self._deliver(message)
            except DeliveryError as error:
                self._be_ill(error)
                return
        self._be_well()

    async def _gather(self) -> None:
        """The next group: what waits when `group_wait` has passed since there was something.

        What did not fit into it has waited with it, and goes with the next one at once.
        """
        while not (waiting := self._due()):
            if self._again:
                return
            self._has_work.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._refused_for_s()):
                    await self._has_work.wait()
        attempted = next((one for one in waiting if one.message is not None), None)
        if attempted is not None:
            self._group = [one for one in waiting if one.message == attempted.message]
            return
        if waiting[0].sequence > self._waited_to:
            await asyncio.sleep(self.notifier.settings.group_wait_s)
            # Meanwhile some may have been dropped, and a message of another notifier handed over.
            waiting = [one for one in self._due() if one.message is None]
            self._waited_to = max((one.sequence for one in waiting), default=0)
        # Messages for others, for which this one is the fallback, stay apart: they go no further than here.
        same = [one for one in waiting if one.notification.notifier == waiting[0].notification.notifier]
        self._group = same[: self.notifier.settings.max_notifications]

    def _due(self) -> list[Entry]:
        """What waits, without messages that were refused and are not to be retried yet.

        Nor later notifications about the same alerts: a problem that is delivered after its end would stay open.
        """
        waiting = self._outbox.waiting_for(self.name)
        if not self._retry_refused_at:
            return waiting
        now_s = self._clock.monotonic_s()
        self._retry_refused_at = {key: at_s for key, at_s in self._retry_refused_at.items() if at_s > now_s}
        refused = self._retry_refused_at.keys()
        held = {one.notification.alert for one in waiting if one.message in refused}
        return [
            one
            for one in waiting
            if one.message not in refused and (one.message is not None or one.notification.alert not in held)
        ]

    def _refused_for_s(self) -> float | None:
        """How long until a refused message is to be retried; None where there is none."""
        if not self._retry_refused_at:
            return None
        return max(0.0, min(self._retry_refused_at.values()) - self._clock.monotonic_s())

    def _form(self) -> None:
        """Make a message of as much of the group as the receiver takes at once; the rest waits for the next."""
        first = self._group[0]
        is_formed = first.message is not None and all(one.message == first.message for one in self._group)
        if is_formed and len(
            self._largest_message(self._notifications(), self._message_at()).notifications
        ) == len(self._group):
            return
        if is_formed:  # by a notifier that takes more at once
            self._outbox.dissolve(self._group)
        now = self._clock.now()
        message = self._largest_message(self._notifications(), now)
        self._group = self._group[: len(message.notifications)]
        self._outbox.form(self._group, message.key, now)

    def _largest_message(self, notifications: Sequence[Notification], at: datetime) -> Message:
        """With the first of the notifications, as many as the receiver takes at once and at least one."""
        taken, refused = 1, min(len(notifications), self.notifier.settings.max_notifications) + 1
        tried = refused - 1
        while refused - taken > 1:
            if self.notifier.fits(Message(notifications[:tried], self._origin, at)):
                taken = tried
            else:
                refused = tried
            tried = (taken + refused) // 2
        return Message(notifications[:taken], self._origin, at)

    def _notifications(self) -> list[Notification]:
        return [entry.notification for entry in self._group]

    def _message_at(self) -> datetime:
        return self._group[0].message_at or self._clock.now()

    async def _await_rate(self) -> None:
        """Until another message may go out."""
        while len(self._sendings) >= self.notifier.settings.max_per_minute:
            left_s = self._sendings[0] + RATE_PERIOD_S - self._clock.monotonic_s()
            if left_s > 0:
                await asyncio.sleep(left_s)
            self._sendings.popleft()

    def _drop_old(self) -> None:
        """The message is given up as a whole, when the youngest notification in it is too old."""
        now, most_s = self._clock.now(), self.notifier.settings.expire_after_s
        self._group = [one for one in self._group if not one.has_ended and one.delivered_by == self.name]
        if any(self._waited_s(one, now) <= most_s or not one.attempts for one in self._group):
            return
        if most_s < CLOSING_KEPT_S and any(self._closes_delivered(one, now) for one in self._group):
            return
        for entry in self._group:
            self.expired += 1
            log.error(
                "%s: given up after %s and %d attempts: %s",
                self.name,
                format_duration(round(self._waited_s(entry, now))),
                entry.attempts,
                entry.notification.title,
                extra=self._extra(JournalEvent.NOTIFICATION_EXPIRED, entry.notification.monitor),
            )
            self._outbox.give_up(entry, now, self.failing or "")
        self._group = []

    def _closes_delivered(self, entry: Entry, now: datetime) -> bool:
        """Whether this is a recovery that is still due, as its problem was delivered."""
        is_young = entry.notification.kind.is_closing and self._waited_s(entry, now) <= CLOSING_KEPT_S
        return is_young and not self._outbox.is_problem_lost(entry.notification)

    def _waited_s(self, entry: Entry, now: datetime) -> float:
        now_s = self._clock.monotonic_s()
        if entry.queued_at_s is None:
            entry.queued_at_s = now_s - max(0.0, (now - entry.notification.at).total_seconds())
        return now_s - entry.queued_at_s

    async def _attempt(self) -> float:
        """Returns how long to wait before the next."""
        message = Message(self._notifications(), self._origin, self._message_at(), self._clock.now())
        self._sendings.append(self._clock.monotonic_s())
        for entry in self._group:
            entry.attempts += 1
        try:
            said = await self._deliver_apart(message)
        except DeliveryError as error:
            return self._fail(error)
        self._succeed(message, said)
        return 0.0

    async def _deliver_apart(self, message: Message) -> str:
        """In a task of its own, so that a stop of the daemon need not break it off."""
        delivery = asyncio.ensure_future(self._deliver(message))
        self._delivering = message, delivery
        await asyncio.wait([delivery])
        self._delivering = None
        return delivery.result()

    async def _deliver(self, message: Message) -> str:
        timeout_s = self.notifier.settings.timeout_s
        try:
            async with Deadline(timeout_s + 1.0, margin_s=1.0):
                response = await self.notifier.deliver(message, deadline=time.monotonic() + timeout_s)
                return self._safe(response)
        except DeliveryError as error:
            # Without a cause: a traceback would quote what the notifier itself got.
            raise DeliveryError(self._safe(str(error)), error.after_s, is_refused=error.is_refused) from None
        except TimeoutError as error:
            raise DeliveryError(f"no end within {format_duration(timeout_s)}") from error
        except Exception as error:
            if self._bug != repr(error):
                self._bug = repr(error)
                shown = self.notifier.masking.masked_traceback(error)
                log.error(  # noqa: TRY400 - as `exception`, but for a secret
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
        """What a receiver said, on one line, without the secrets of its notifier and without escapes for terminals."""
        mask = self.notifier.masking.mask
        return " ".join(mask(readable_lines(mask(text))).split())

    def _be_well(self) -> None:
        """It delivers."""
        if self.failing is not None:
            for_s = round(self._clock.monotonic_s() - self._failing_since_s)
            log.log(
                NOTICE,
                "%s: delivers again after %s",
                self.name,
                format_duration(for_s),
                extra=self._extra(JournalEvent.NOTIFIER_RECOVERED),
            )
        self.failing, self.failing_since, self._failures, self._bug = None, None, 0, None

    def _note_warning(self) -> None:
        """Log what is wrong with a delivery that succeeded, once for each change."""
        warning = self.notifier.warning
        warning = None if warning is None else self._safe(warning)
        if warning != self.warning and warning is not None:
            log.warning("%s: %s", self.name, warning, extra=self._extra(JournalEvent.NOTIFIER_WARNING))
        self.warning = warning

    def _be_ill(self, error: DeliveryError) -> str:
        """It does not deliver. Returns why, fit to be seen."""
        self.failed += 1
        why = str(error)
        if self.failing is None:
            self.failing_since, self._failing_since_s = self._clock.now(), self._clock.monotonic_s()
            log.error(
                "%s: cannot deliver, and tries again: %s",
                self.name,
                why,
                extra=self._extra(JournalEvent.NOTIFIER_FAILED),
            )
        self.failing = why
        return why

    def _succeed(self, message: Message, said: str) -> None:
        now = self._clock.now()
        self._be_well()
        self._note_warning()
        self.sent += len(message.notifications)
        self.last_sent_at = now
        for entry in self._group:
            self._outbox.end(entry, DeliveryStatus.SENT, now, said)
            log.info(
                "%s was told: %s (%s)",
                self.name
                if entry.delivered_by == entry.notification.notifier
                else f"{self.name}, for {entry.notification.notifier},",
                entry.notification.title,
                said,
                extra=self._extra(JournalEvent.NOTIFICATION_SENT, entry.notification.monitor),
            )
        self._group = []

    def _fail(self, error: DeliveryError) -> float:
        why = self._be_ill(error)
        for entry in self._group:
            entry.response = why
            self._outbox.changed(entry)
        if error.is_refused and len(self._group) > 1:
            # It may be too large for its peer, or one notification in it that is not taken: half of it, then.
            self._outbox.dissolve(self._group)
            self._group = self._group[: len(self._group) // 2]
            return RETRY_FIRST_S
        self._offer_to_fallback(after_s=0.0 if error.is_refused else FALLBACK_AFTER_S)
        if not self._group:
            return 0.0  # what comes next is not to wait for long, either
        failures = self._group[0].attempts - 1 if error.is_refused else self._failures
        delay_s: float = min(RETRY_FIRST_S * 2 ** min(failures, 16), RETRY_LAST_S)
        delay_s *= random.uniform(0.8, 1.2)  # noqa: S311 - so that not all come at once
        delay_s = max(delay_s, error.after_s or 0.0)
        if error.is_refused:
            self._retry_refused_at[self._group[0].message] = self._clock.monotonic_s() + delay_s
            self._group = []
            return 0.0
        self._failures = min(self._failures + 1, 16)
        return delay_s

    def _offer_to_fallback(self, after_s: float) -> None:
        fallback = self.notifier.settings.fallback
        if fallback is None or self._clock.monotonic_s() - self._failing_since_s < after_s:
            return
        # What came from another one goes no further: two that fail would pass it to and fro.
        is_own = all(entry.notification.notifier == self.name for entry in self._group)
        if is_own and self._hand_over(fallback, self._group):
            log.warning("%s: %d notifications go to its fallback %s", self.name, len(self._group), fallback)
            self._group = []

    def _extra(self, event: JournalEvent, monitor: str = "") -> dict[str, Any]:
        fields = {"NOTIFIER": self.name, "NOTIFIER_TYPE": self.notifier.type_name}
        if monitor:
            fields["MONITOR"] = monitor
        return {"message_id": event.message_id, "fields": fields}
