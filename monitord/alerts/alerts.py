"""Tells people: owns the alerts, decides who hears what, and has it delivered.

`look` is called whenever something about a monitor may have changed, and every few seconds for those in alert, as
time alone changes what is due (`after`, `repeat_every`, quiet hours, the end of a silence). Neither waits for
anybody. What is decided is kept in the same turn of the event loop as the change of health that it follows from.
"""

import asyncio
import logging
import math
import secrets
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from monitord.alerts.decisions import Decision, Suppression, SuppressionReason
from monitord.alerts.delivery import LEAVE_WITHIN_S, DeliveryWorker
from monitord.alerts.lifecycle import (
    Alert,
    Standing,
    advance,
    alert_of,
    closed,
    end,
    fallback_to_close,
    goes_on,
    handed_over,
    in_new_time,
    isolation_began,
    isolation_ended,
    isolation_goes_on,
    record_of,
)
from monitord.alerts.outbox import Entry, Keep, Outbox
from monitord.alerts.routes import AlertSettings
from monitord.clock import Clock
from monitord.model import Reason, State
from monitord.notifiers import (
    NOTIFIER_TYPES,
    Message,
    Notification,
    NotificationKind,
    Notifier,
    NotifierSettings,
    NotifierTools,
)

log = logging.getLogger("monitord")

LOOK_EVERY_S = 2.0
REMIND_EVERY_S = 30.0
LOOKED_AT_ONCE = 100
BUG_PAUSE_S = 60.0
AGAIN_EVERY_S = 60.0
KEEP_CLOSING_FOR = timedelta(days=1)
"""A notifier that has left the configuration gets a closing notification if it is added again within this time."""
PREFIX = "alert:"
ENDED_PREFIX = "ended-alert:"
MOST_ENDED = 1000
"""Monitors that have left the configuration, whose last alert is remembered."""

StandingOf = Callable[[str], Standing | None]
Build = Callable[[NotifierSettings], Notifier[Any]]


class Alerts:
    """`apply`, then `run`; `close` at the end.

    `standing_of` returns what is evaluated of a monitor; None: it does not exist any more. `kept`: what `keep` was
    given in an earlier run.
    """

    def __init__(
        self,
        tools: NotifierTools,
        origin: str,
        keep: Keep,
        stored: Callable[[float], Awaitable[object]],
        standing_of: StandingOf,
        kept: Mapping[str, Mapping[str, Any]],
    ) -> None:
        self._tools = tools
        self._clock: Clock = tools.clock
        self._origin = origin
        self._keep = keep
        self._stored = stored
        self._standing_of = standing_of
        self._outbox = Outbox(keep, kept, added=self._nudge, expired=self._forget_undelivered)
        self._settings = AlertSettings()
        self._alerts: dict[str, Alert] = {}
        self._ended: dict[str, Alert] = {}  # of monitors that have left the configuration, the oldest first
        self._decisions: dict[str, Mapping[str, Decision]] = {}
        self._last: dict[str, Standing] = {}
        self._look_at_s: dict[str, float] = {}
        self._isolation: Alert | None = None
        self._workers: dict[str, DeliveryWorker] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._leaving: set[asyncio.Task[None]] = set()
        self._restore(kept)

    # -- life ---------------------------------------------------------------------------------------------

    def _restore(self, kept: Mapping[str, Mapping[str, Any]]) -> None:
        for key, record in kept.items():
            if key.startswith((PREFIX, ENDED_PREFIX)):
                try:
                    alert = alert_of(record)
                except (KeyError, TypeError, ValueError, AttributeError) as error:
                    log.warning("%s cannot be read, and is gone: %r", key, error)
                    self._keep(key, None)
                    continue
                if key.startswith(ENDED_PREFIX):
                    self._ended[alert.monitor] = alert
                elif alert.monitor:
                    self._alerts[alert.monitor] = alert
                else:
                    self._isolation = alert

    def apply(self, settings: AlertSettings) -> None:
        """Put these in force. Notifiers that stay as they are go on untouched. On the running loop."""
        wanted = {one.name: one for one in settings.notifiers}
        self._settings = settings
        self._look_at_s.clear()
        for name, worker in list(self._workers.items()):
            if wanted.get(name) != worker.notifier.settings:
                self._dismiss(name)
        for name, one in wanted.items():
            if name not in self._workers:
                self._employ(one)
        self._drop_for_nobody()
        if self._isolation is not None:
            self.see(is_isolated=True)

    async def run(self, follow_clock: Callable[[], None] = lambda: None) -> None:
        """Evaluate what time alone changes, until cancelled.

        `follow_clock` is called before each evaluation: it moves what was dated by a clock that was set since.
        """
        again_at_s = self._clock.monotonic_s()
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            now_s = self._clock.monotonic_s()
            if now_s >= again_at_s + AGAIN_EVERY_S:
                again_at_s = now_s
                self._tell_again()
                self._drop_for_nobody()
            due = [name for name in self._alerts if self._look_at_s.get(name, now_s) <= now_s]
            for number, name in enumerate(due, 1):
                try:
                    follow_clock()
                    self.look(name)
                except Exception:
                    log.exception("%s: a bug in deciding who is told", name)
                if number % LOOKED_AT_ONCE == 0:
                    await asyncio.sleep(0)

    async def close(self, within_s: float = LEAVE_WITHIN_S) -> None:
        """What waits is kept for the next run; what is on its way gets so long to arrive."""
        for name in list(self._workers):
            self._dismiss(name, within_s)
        if self._leaving:
            await asyncio.wait(self._leaving)

    # -- what happens -------------------------------------------------------------------------------------

    def look(self, monitor: str) -> None:
        """See whether somebody is to be told of it. Never blocks."""
        standing = self._standing_of(monitor)
        if standing is None:
            self.retire(monitor)
            return
        before = self._alerts.get(monitor)
        if before is None and standing.health not in self._settings.states and not standing.is_flapping:
            return
        if standing.suppression is None and self._is_unknown_by_isolation(standing):
            standing = replace(standing, suppression=Suppression(SuppressionReason.ISOLATED))
        found = advance(before, standing, self._settings, self._clock.now(), self._ended.get(monitor))
        self._decisions[monitor] = found.decisions
        self._look_at_s[monitor] = self._clock.monotonic_s() + self._patience_s(found.decisions)
        self._last[monitor] = standing
        if found.alert is None:
            self._forget(monitor)
        else:
            self._alerts[monitor] = found.alert
            self._forget_ended(monitor)
            if found.alert is not before:
                # Also without recipients: `after` counts from its beginning, over restarts as well.
                self._keep(PREFIX + monitor, record_of(found.alert))
        self._send(found.notifications, before)

    def retire(self, monitor: str) -> None:
        """It is watched no longer: whoever was told of a alert hears that nobody looks any more."""
        alert = self._alerts.get(monitor)
        if alert is None:
            return
        now = self._clock.now()
        last = self._last.get(monitor) or Standing(
            monitor, "", (), State.PENDING, alert.since, Reason.OK, "it has left the configuration"
        )
        notifications = end(alert, last, now)
        self._forget(monitor)
        if alert.told:
            self._ended[monitor] = closed(alert)
            self._keep(ENDED_PREFIX + monitor, record_of(self._ended[monitor]))
            while len(self._ended) > MOST_ENDED:
                self._forget_ended(next(iter(self._ended)))
        self._send(notifications, alert)

    def rename(self, old: str, new: str) -> None:
        alert = self._alerts.get(old)
        if alert is None:
            return
        own = self._alerts.get(new)
        if own is not None and own.told:
            # Recipients were notified under both names, and only one alert can go on.
            self.retire(old)
            return
        self._forget(old)
        self._alerts[new] = replace(alert, monitor=new)
        self._keep(PREFIX + new, record_of(self._alerts[new]))

    def see(self, *, is_isolated: bool) -> None:
        """This host seems to be cut off, or is not any more."""
        now = self._clock.now()
        if is_isolated and self._isolation is None:
            found = isolation_began(self._settings.names, now)
            self._isolation = found.alert
            if found.alert is not None:
                self._keep(PREFIX, record_of(found.alert))
            self._send(found.notifications)
        elif is_isolated and self._isolation is not None:
            # A notifier that came since.
            found = isolation_goes_on(self._isolation, self._settings.names, now)
            if found.alert is not self._isolation and found.alert is not None:
                self._isolation = found.alert
                self._keep(PREFIX, record_of(found.alert))
            self._send(found.notifications)
        elif not is_isolated and self._isolation is not None:
            before, self._isolation = self._isolation, None
            self._keep(PREFIX, None)
            self._send(isolation_ended(before, now), before)

    def follow_clock(self, moment: Callable[[datetime], datetime]) -> None:
        """The wall clock was set: `moment` gives a moment in its new time."""
        for name, alert in self._alerts.items():
            self._alerts[name] = moved = in_new_time(alert, moment)
            if moved != alert:
                self._keep(PREFIX + name, record_of(moved))
        if self._isolation is not None:
            self._isolation = in_new_time(self._isolation, moment)
            self._keep(PREFIX, record_of(self._isolation))
        self._look_at_s.clear()

    def settle(self, monitors: Iterable[str], *, is_isolated: bool) -> None:
        """Evaluate every monitor after a start, and close the alerts of monitors that were removed meanwhile.

        All of them, not only those with an alert: it may have been held back before the stop, or there was no
        notifier yet.
        """
        self.see(is_isolated=is_isolated)
        for name in {**self._alerts, **dict.fromkeys(monitors)}:
            self.look(name)

    async def test(self, notifier: str, by: str) -> str:
        """Deliver a notification that says so, now. Returns what was said to it.

        Raises KeyError for an unknown notifier, DeliveryError when it was not taken.
        """
        worker = self._workers[notifier]
        log.info("%s: test asked for by %s", notifier, by)
        now = self._clock.now()
        notification = Notification(
            id=secrets.token_hex(8),
            notifier=notifier,
            kind=NotificationKind.TEST,
            alert=secrets.token_hex(8),
            number=1,
            monitor="",
            type_name="",
            tags=(),
            health=State.UP,
            since=now,
            started_at=now,
            at=now,
            duration_s=0.0,
            reason=Reason.OK,
            detail=f"{by} has asked for it. No monitor is meant.",
        )
        return await worker.test(Message([notification], self._origin, now))

    # -- what is shown ------------------------------------------------------------------------------------

    @property
    def workers(self) -> Mapping[str, DeliveryWorker]:
        return self._workers

    def waiting_for(self, notifier: str) -> int:
        return self._outbox.count_for(notifier)

    def entries(self, monitor: str | None = None) -> Sequence[Entry]:
        """The notifications that are remembered, the newest first."""
        return self._outbox.entries(monitor)

    def alert_of(self, monitor: str) -> Alert | None:
        return self._alerts.get(monitor)

    def decisions(self, monitor: str) -> Mapping[str, Decision]:
        """By notifier: why it was notified of this monitor's alert, or not. Empty if there is no alert."""
        return self._decisions.get(monitor, {}) if monitor in self._alerts else {}

    def failing(self) -> list[DeliveryWorker]:
        return [worker for worker in self._workers.values() if worker.failing is not None]

    # -- within -------------------------------------------------------------------------------------------

    def _send(self, notifications: Sequence[Notification], before: Alert | None = None) -> None:
        """`before` is the alert as it was before these notifications."""
        for notification in notifications:
            if notification.notifier in self._settings.names or notification.kind.is_closing:
                entry = self._outbox.add(
                    notification, None if before is None else fallback_to_close(before, notification)
                )
                if entry.queued_at_s is None:
                    entry.queued_at_s = self._clock.monotonic_s()

    def _forget_undelivered(self, entry: Entry) -> None:
        """The notifier never got this notification: if the problem lasts, it is notified again."""
        notification = entry.notification
        alert = next((one for one in self._alerts.values() if one.id == notification.alert), None)
        told = None if alert is None else alert.told.get(notification.notifier)
        if (
            alert is None
            or told is None
            or not told.is_open
            or notification.kind.is_closing
            or told.count != notification.number
        ):
            return
        is_unaware = notification.kind is NotificationKind.PROBLEM
        unaware = (
            replace(told, health=None, flapping_since=None)
            if is_unaware
            else replace(told, lost=notification.kind)
        )
        alert = replace(alert, told={**alert.told, notification.notifier: unaware})
        self._alerts[alert.monitor] = alert
        self._look_at_s.pop(alert.monitor, None)
        self._keep(PREFIX + alert.monitor, record_of(alert))

    def _nudge(self, notifier: str) -> None:
        if notifier in self._workers:
            self._workers[notifier].nudge()

    def _tell_again(self) -> None:
        """To those that forget what they do not hear of."""
        now = self._clock.now()
        alerts = [*self._alerts.values(), *([self._isolation] if self._isolation else [])]
        for name, worker in self._workers.items():
            if worker.notifier.wants_to_hear_again:
                found = (goes_on(one, name, self._last.get(one.monitor), now) for one in alerts)
                worker.tell_again([notification for notification in found if notification is not None])

    def _forget(self, monitor: str) -> None:
        alert = self._alerts.pop(monitor, None)
        self._decisions.pop(monitor, None)
        self._last.pop(monitor, None)
        self._look_at_s.pop(monitor, None)
        if alert is not None:
            self._keep(PREFIX + monitor, None)

    def _is_unknown_by_isolation(self, standing: Standing) -> bool:
        """Whether the notification of the isolation says it all, until the first check after it."""
        is_by_members = self._isolation is not None and standing.reason is Reason.MEMBERS_UNKNOWN
        return standing.health is State.UNKNOWN and (
            standing.reason is Reason.PROBER_ISOLATED or is_by_members
        )

    def _forget_ended(self, monitor: str) -> None:
        if self._ended.pop(monitor, None) is not None:
            self._keep(ENDED_PREFIX + monitor, None)

    def _patience_s(self, decisions: Mapping[str, Decision]) -> float:
        """How long nothing can become due by the time alone. In an outage there may be thousands of alerts."""
        if not all(decision.is_aware for decision in decisions.values()):
            return LOOK_EVERY_S
        return REMIND_EVERY_S if self._settings.has_reminders else math.inf

    def _employ(self, settings: NotifierSettings) -> None:
        notifier = NOTIFIER_TYPES[settings.type_name](settings, self._tools)
        worker = DeliveryWorker(
            notifier, self._outbox, self._clock, self._origin, self._stored, self._hand_over
        )
        self._workers[settings.name] = worker
        before = [task for task in self._leaving if task.get_name() == settings.name]
        self._tasks[settings.name] = asyncio.ensure_future(_work(worker, before))

    def _dismiss(self, name: str, within_s: float = LEAVE_WITHIN_S) -> None:
        worker, task = self._workers.pop(name), self._tasks.pop(name)
        leaving = asyncio.ensure_future(_leave(worker, task, within_s))
        leaving.set_name(name)
        self._leaving.add(leaving)
        leaving.add_done_callback(self._leaving.discard)

    def _hand_over(self, fallback: str, entries: Sequence[Entry]) -> bool:
        worker = self._workers.get(fallback)
        if worker is None:
            return False
        by = {entry.delivered_by for entry in entries}
        for entry in entries:
            self._outbox.hand_over(entry, fallback)
            alert = self._alerts.get(entry.notification.monitor)
            marked = None if alert is None else handed_over(alert, entry.notification, fallback)
            if marked is not None and marked is not alert:
                self._alerts[marked.monitor] = marked
                self._keep(PREFIX + marked.monitor, record_of(marked))
        ids = {entry.notification.alert for entry in entries}
        for entry in [waiting for name in by for waiting in self._outbox.waiting_for(name)]:
            if entry.notification.kind.is_closing and entry.notification.alert in ids:
                entry.copy_to = fallback
                self._outbox.changed(entry)
        worker.nudge()
        return True

    def _drop_for_nobody(self) -> None:
        """Notifications to notifiers that are not there any more, closing ones after a time: the notifier may come
        back."""
        now = self._clock.now()
        for entry in self._outbox.waiting_for_others(self._workers):
            if entry.notification.notifier in self._workers:  # it was its fallback that has left
                self._outbox.hand_over(entry, entry.notification.notifier)
                self._workers[entry.notification.notifier].nudge()
            elif not entry.notification.kind.is_closing or now - entry.notification.at > KEEP_CLOSING_FOR:
                self._outbox.give_up(entry, now, "the notifier has left the configuration")
                log.warning(
                    "%s is no notifier any more: not told: %s", entry.delivered_by, entry.notification.title
                )


async def _work(worker: DeliveryWorker, before: Sequence[asyncio.Task[None]]) -> None:
    """Not before who had the work has left: a message would go out twice."""
    if before:
        await asyncio.wait(before)
    worker.nudge()
    while True:
        try:
            await worker.run()
        except Exception:
            log.exception("%s: a bug in delivering; it goes on", worker.name)
            await asyncio.sleep(BUG_PAUSE_S)


async def _leave(worker: DeliveryWorker, task: asyncio.Task[None], within_s: float) -> None:
    task.cancel()
    await asyncio.wait([task])
    await worker.close(within_s)
