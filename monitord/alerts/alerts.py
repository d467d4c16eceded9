"""The alerts of all monitors, and the delivery of their notifications.

`evaluate` is called whenever the state of a monitor may have changed, and every few seconds for monitors with an
alert, as time alone makes notifications due (`after`, `repeat_every`, quiet hours, the end of a silence). It never
blocks. A notification is saved in the same iteration of the event loop as the change of state that it is about.
"""

import asyncio
import logging
import math
import secrets
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from itertools import chain
from typing import Any
from urllib.parse import quote

from monitord.alerts.action_links import LIFETIME, ActionLink, ActionLinks, has_links
from monitord.alerts.decisions import Decision, Suppression, SuppressionReason
from monitord.alerts.delivery import CLOSE_TIMEOUT_S, DeliveryWorker
from monitord.alerts.lifecycle import (
    Alert,
    AlertInput,
    alert_from_record,
    alert_record,
    closed_alert,
    closing_fallback,
    closing_notifications,
    continue_isolation,
    end_isolation,
    evaluate,
    ongoing_notification,
    start_isolation,
    with_adjusted_times,
    with_rerouted,
    with_undelivered,
)
from monitord.alerts.outbox import Delivery, Outbox, SaveRecord
from monitord.alerts.routes import AlertSettings
from monitord.alerts.scope import AlertScope
from monitord.clock import Clock
from monitord.errors import bug_text
from monitord.model import Reason, State
from monitord.notifiers import (
    Message,
    Notification,
    NotificationContext,
    NotificationKind,
    Notifier,
    NotifierSettings,
    NotifierTools,
    UnusableNotifier,
    notifier_type,
)

log = logging.getLogger("monitord")

EVALUATE_EVERY_S = 2.0
EVALUATE_REMINDERS_EVERY_S = 30.0
MAX_EVALUATIONS_PER_TURN = 100
RESEND_EVERY_S = 60.0
BUG_PAUSE_S = 60.0
KEEP_CLOSING_FOR = timedelta(days=1)
"""Closing notifications of a removed notifier are kept for this time, in case it is configured again."""
ALERT_PREFIX = "alert:"
CLOSED_ALERT_PREFIX = "closed-alert:"
SHARED_ALERT_PREFIX = "shared-alert:"
MAX_CLOSED_ALERTS = 1000
"""Alerts that are kept of monitors that were removed from the configuration."""

NewNotifier = Callable[[NotifierSettings, NotifierTools], Notifier[Any]]


def build_notifier(settings: NotifierSettings, tools: NotifierTools) -> Notifier[Any]:
    """Construct a notifier of the type in its settings; an `UnusableNotifier` if the constructor raises."""
    try:
        kind = notifier_type(settings.type_name)
        assert kind is not None  # noqa: S101 - the settings were read by it
        return kind(settings, tools)
    except Exception as error:  # noqa: BLE001 - a third party's class may raise anything
        # Without the text of the error, which may contain a secret.
        reason = f"bug in notifier type {settings.type_name}: {bug_text(error)}"
        log.error("%s: %s", settings.name, reason)  # noqa: TRY400 - see above
        return UnusableNotifier(settings, tools, reason)


class Alerts:
    """To be used in this order: `apply`, `run`, `close`.

    `input_of` returns the data from which the alert of a monitor is evaluated, and `context_of` the other content of
    its notifications; both return None if the monitor does not exist. `save` stores a record under a key, `records` are
    the records of an earlier run, and `wait_until_stored` waits until all records are stored. `links` creates the links
    that act on an alert, and `new_notifier` constructs the notifiers. `scope` determines which alerts belong to this
    daemon.
    """

    def __init__(
        self,
        tools: NotifierTools,
        instance: str,
        save: SaveRecord,
        wait_until_stored: Callable[[float], Awaitable[object]],
        input_of: Callable[[str], AlertInput | None],
        context_of: Callable[[str], NotificationContext | None],
        records: Mapping[str, Mapping[str, Any]],
        links: ActionLinks,
        new_notifier: NewNotifier = build_notifier,
        scope: AlertScope | None = None,
    ) -> None:
        self._tools = tools
        self._clock: Clock = tools.clock
        self._instance = instance
        self._save = save
        self._wait_until_stored = wait_until_stored
        self._input_of = input_of
        self._context_of = context_of
        self._links = links
        self._new_notifier = new_notifier
        self._scope = AlertScope() if scope is None else scope
        self.outbox = Outbox(
            save,
            records,
            on_added=self._wake_worker,
            on_dropped=self._mark_undelivered,
            on_finished=self._scope.on_finished,
            holds_claimed=self._scope.holds_claimed,
        )
        self._settings = AlertSettings()
        self._alerts: dict[str, Alert] = {}
        self._closed: dict[str, Alert] = {}  # of monitors that were removed, the oldest first
        self._shared: dict[str, Alert] = {}  # of monitors whose alerts the cluster keeps
        self._isolation: Alert | None = None
        self._decisions: dict[str, Mapping[str, Decision]] = {}
        self._last_inputs: dict[str, AlertInput] = {}
        self._evaluate_at_s: dict[str, float] = {}
        self._workers: dict[str, DeliveryWorker] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._closing_tasks: set[asyncio.Task[None]] = set()
        self._restore(records)

    # -- start and stop -----------------------------------------------------------------------------------

    def _restore(self, records: Mapping[str, Mapping[str, Any]]) -> None:
        for key, record in records.items():
            if not key.startswith((ALERT_PREFIX, CLOSED_ALERT_PREFIX, SHARED_ALERT_PREFIX)):
                continue
            try:
                alert = alert_from_record(record)
            except (KeyError, TypeError, ValueError, AttributeError) as error:
                log.warning("discarded the stored alert %s, which cannot be read: %r", key, error)
                self._save(key, None)
                continue
            if key.startswith(CLOSED_ALERT_PREFIX):
                self._closed[alert.monitor] = alert
            elif key.startswith(SHARED_ALERT_PREFIX):
                self._shared[alert.monitor] = alert
            elif alert.monitor:
                self._alerts[alert.monitor] = alert
            else:
                self._isolation = alert

    def apply(self, settings: AlertSettings) -> None:
        """Apply new settings. The workers of unchanged notifiers continue. To be called on the running loop."""
        configured = {notifier.name: notifier for notifier in settings.notifiers}
        self._settings = settings
        self._evaluate_at_s.clear()
        for name, worker in list(self._workers.items()):
            if configured.get(name) != worker.notifier.settings:
                self._stop_worker(name)
        for name, notifier in configured.items():
            if name not in self._workers:
                worker = DeliveryWorker(
                    self._new_notifier(notifier, self._tools),
                    self.outbox,
                    self._clock,
                    self._instance,
                    self._wait_until_stored,
                    self._reroute,
                    self._with_links,
                    self._scope.certain_claims,
                    self._scope.location,
                )
                self._workers[name] = worker
                predecessors = [task for task in self._closing_tasks if task.get_name() == name]
                self._tasks[name] = asyncio.ensure_future(self._run_worker(worker, predecessors))
        self._cancel_orphaned()
        if self._isolation is not None:
            self.update_isolation(is_isolated=True)

    async def run(self, apply_clock_steps: Callable[[], None] = lambda: None) -> None:
        """Evaluate alerts when time alone may have changed them, until cancelled.

        `apply_clock_steps` is called before each evaluation, so that all times are on the clock as it is set then.
        """
        resent_at_s = self._clock.monotonic_s()
        while True:
            await asyncio.sleep(EVALUATE_EVERY_S)
            now_s = self._clock.monotonic_s()
            if now_s >= resent_at_s + RESEND_EVERY_S:
                resent_at_s = now_s
                self._resend_ongoing()
                self._cancel_orphaned()
            due = [name for name in self._alerts if self._evaluate_at_s.get(name, now_s) <= now_s]
            for number, name in enumerate(due, 1):
                try:
                    apply_clock_steps()
                    self.evaluate(name)
                except Exception:
                    log.exception("%s: bug in the evaluation of its alert", name)
                if number % MAX_EVALUATIONS_PER_TURN == 0:
                    await asyncio.sleep(0)

    async def close(self, timeout_s: float = CLOSE_TIMEOUT_S) -> None:
        """Stop all workers.

        Queued notifications are kept for the next run. Running attempts are cancelled after their timeout.
        """
        for name in list(self._workers):
            self._stop_worker(name, timeout_s)
        if self._closing_tasks:
            await asyncio.wait(self._closing_tasks)

    # -- events -------------------------------------------------------------------------------------------

    def evaluate(self, monitor: str) -> None:
        """Evaluate the alert of a monitor now, and queue the notifications that are due."""
        if not self._scope.is_evaluated_here(monitor):
            return
        current = self._input_of(monitor)
        if current is None:
            self.remove(monitor)
            return
        before = self._alerts.get(monitor)
        if before is None and current.state not in self._settings.states and not current.is_flapping:
            return
        is_by_isolation = current.reason is Reason.PROBER_ISOLATED or (
            self._isolation is not None and current.reason is Reason.MEMBERS_UNKNOWN
        )
        if current.state is State.UNKNOWN and is_by_isolation and current.suppression is None:
            # The notification about the isolation covers it, until the first check after the isolation.
            current = replace(current, suppression=Suppression(SuppressionReason.ISOLATED))
        evaluation = evaluate(before, current, self._settings, self._clock.now(), self._closed.get(monitor))
        self._decisions[monitor] = evaluation.decisions
        evaluate_after_s = EVALUATE_EVERY_S
        if all(decision.is_notified for decision in evaluation.decisions.values()):
            # Only an event, or a reminder, makes a notification due. An outage may cause thousands of alerts.
            evaluate_after_s = EVALUATE_REMINDERS_EVERY_S if self._settings.has_reminders else math.inf
        self._evaluate_at_s[monitor] = self._clock.monotonic_s() + evaluate_after_s
        self._last_inputs[monitor] = current
        if evaluation.alert is None:
            self._discard(monitor)
            if before is not None:
                self._scope.on_alert(monitor, None)
        else:
            self._alerts[monitor] = evaluation.alert
            self._discard_closed(monitor)
            if evaluation.alert is not before:
                # Even without notifications: `after` counts from its beginning, across restarts as well.
                self._save(ALERT_PREFIX + monitor, alert_record(evaluation.alert))
                self._scope.on_alert(monitor, evaluation.alert)
        self._queue(evaluation.notifications, before)

    def evaluate_all(self, monitors: Iterable[str], *, is_isolated: bool) -> None:
        """Evaluate all monitors after a start, and close the alerts of monitors that were removed in the meantime.

        Not only those with an alert: before the stop a notification may have been suppressed, or there was no notifier.
        """
        self.update_isolation(is_isolated=is_isolated)
        for name in {**self._alerts, **dict.fromkeys(monitors)}:
            self.evaluate(name)

    def remove(self, monitor: str) -> None:
        """Close the alert of a monitor that was removed from the configuration."""
        alert = self._alerts.get(monitor)
        if alert is None:
            return
        last = self._last_inputs.get(monitor) or AlertInput(
            monitor, "", (), State.PENDING, alert.since, Reason.OK, ""
        )
        notifications = closing_notifications(alert, last, self._clock.now())
        self._discard(monitor)
        if alert.notifiers:
            self._closed[monitor] = closed_alert(alert)
            self._save(CLOSED_ALERT_PREFIX + monitor, alert_record(self._closed[monitor]))
            while len(self._closed) > MAX_CLOSED_ALERTS:
                self._discard_closed(next(iter(self._closed)))
        self._queue(notifications, alert)

    def rename(self, old: str, new: str) -> None:
        """Continue the alert of a monitor that was renamed."""
        alert = self._alerts.get(old)
        if alert is None:
            return
        existing = self._alerts.get(new)
        if existing is not None and existing.notifiers:
            # Notifications were sent under both names, and only one alert can continue.
            self.remove(old)
            return
        self._discard(old)
        self._alerts[new] = replace(alert, monitor=new)
        self._save(ALERT_PREFIX + new, alert_record(self._alerts[new]))

    # -- alerts that the cluster keeps --------------------------------------------------------------------

    def set_shared(self, monitor: str, alert: Alert | None) -> None:
        """Set the alert of a shared monitor, as it is in the database; None if there is none."""
        if self._shared.get(monitor) == alert:
            return
        if alert is None:
            del self._shared[monitor]
        else:
            self._shared[monitor] = alert
        self._save(SHARED_ALERT_PREFIX + monitor, None if alert is None else alert_record(alert))

    def adopt(self, monitor: str, take_left: Callable[[str, str | None], Alert | None]) -> None:
        """Continue the alert of a shared monitor on this node, without evaluating it: the database is not available.

        `take_left` returns the alert that this node has kept for notifiers of its own, by monitor and id; None: any id.
        """
        if monitor not in self._alerts:
            alert = self._shared.get(monitor)
            left = take_left(monitor, None if alert is None else alert.id)
            if alert is not None and left is not None:
                alert = replace(alert, notifiers={**left.notifiers, **alert.notifiers})
            if (continued := alert or left) is not None:
                self._replace(continued)

    def release(self, monitor: str) -> None:
        """Drop the alert of a shared monitor without notifications, because the database keeps it again."""
        self._discard(monitor)

    def close_other(self, alert: Alert, current: AlertInput) -> None:
        """Close an alert that no longer is that of its monitor, which is up."""
        self._queue(evaluate(alert, current, self._settings, self._clock.now()).notifications, alert)

    def tracks_problems(self, notifier: str) -> bool:
        """Whether the receiver of a notifier keeps problems open by the id of their alert; True if it is unknown.

        To people, the closing notification of the alert that has replaced another is enough.
        """
        worker = self._workers.get(notifier)
        return worker is None or worker.notifier.tracks_problems

    # -- isolation, and the wall clock --------------------------------------------------------------------

    def update_isolation(self, *, is_isolated: bool) -> None:
        """Start, continue (for notifiers that were added since) or end the alert of the isolation of this host."""
        now, before = self._clock.now(), self._isolation
        if is_isolated:
            if before is None:
                evaluation = start_isolation(self._settings.names, now)
            else:
                evaluation = continue_isolation(before, self._settings.names, now)
            if evaluation.alert is not None and evaluation.alert is not before:
                self._isolation = evaluation.alert
                self._save(ALERT_PREFIX, alert_record(evaluation.alert))
            self._queue(evaluation.notifications)
        elif before is not None:
            self._isolation = None
            self._save(ALERT_PREFIX, None)
            self._queue(end_isolation(before, now), before)

    def adjust_times(self, adjusted: Callable[[datetime], datetime]) -> None:
        """Adjust the times of all alerts after the wall clock was set: `adjusted` returns a time on the new clock."""
        for name, alert in self._alerts.items():
            self._alerts[name] = with_adjusted_times(alert, adjusted)
            if self._alerts[name] != alert:
                self._save(ALERT_PREFIX + name, alert_record(self._alerts[name]))
        if self._isolation is not None:
            self._isolation = with_adjusted_times(self._isolation, adjusted)
            self._save(ALERT_PREFIX, alert_record(self._isolation))
        self._evaluate_at_s.clear()

    async def test(self, notifier: str, by: str) -> str:
        """Send a test notification now. Returns the response of the receiver.

        Raises KeyError for an unknown notifier, DeliveryError if the delivery fails.
        """
        worker = self._workers[notifier]
        log.info("%s: test requested by %s", notifier, by)
        now = self._clock.now()
        notification = Notification(
            id=secrets.token_hex(8),
            notifier=notifier,
            kind=NotificationKind.TEST,
            alert=secrets.token_hex(8),
            number=1,
            monitor="",
            opened_as="",
            type_name="",
            tags=(),
            state=State.UP,
            since=now,
            started_at=now,
            at=now,
            duration_s=0.0,
            reason=Reason.OK,
            detail=f"Requested by {by}. No monitor is affected.",
        )
        return await worker.test(
            Message([self.with_context(notification)], self._instance, now, location=self._scope.location)
        )

    # -- queries ------------------------------------------------------------------------------------------

    @property
    def settings(self) -> AlertSettings:
        """The current notifiers and routes."""
        return self._settings

    @property
    def workers(self) -> Mapping[str, DeliveryWorker]:
        return self._workers

    def failing_workers(self) -> list[DeliveryWorker]:
        return [worker for worker in self._workers.values() if worker.error is not None]

    def queue_length(self, notifier: str) -> int:
        return self.outbox.queue_length(notifier)

    def deliveries(self, monitor: str | None = None) -> Sequence[Delivery]:
        """The queued and the last finished deliveries, the newest first."""
        return self.outbox.deliveries(monitor)

    async def find_link(self, token: str) -> ActionLink | None:
        """Return the link with this token; None if it is not authentic, or its notifier no longer has links."""
        await self._links.load()
        return self._links.verify(token, self._settings.names_with_links)

    @property
    def has_links(self) -> bool:
        """Whether a notifier has action links."""
        return bool(self._settings.names_with_links)

    async def share_link_key(self, key: bytes) -> None:
        """Use the key of action links that the nodes of a cluster share."""
        await self._links.adopt(key)

    def alert_with_id(self, alert_id: str) -> Alert | None:
        """Return the alert of a monitor; None if it has ended."""
        alerts = chain(self._alerts.values(), self._shared.values())
        return next((alert for alert in alerts if alert.id == alert_id), None)

    def alert_of(self, monitor: str) -> Alert | None:
        return self._alerts.get(monitor) or self._shared.get(monitor)

    def decisions(self, monitor: str) -> Mapping[str, Decision]:
        """Return for each notifier why it has been notified of this monitor's alert or not; empty without an alert."""
        if monitor in self._alerts:
            return self._decisions.get(monitor, {})
        alert, current = self._shared.get(monitor), self._input_of(monitor)
        if alert is None or current is None:
            return {}
        if current.suppression == Suppression(SuppressionReason.NOT_CHECKED):
            current = replace(current, suppression=None)  # other nodes have checked it
        return evaluate(alert, current, self._settings, self._clock.now()).decisions

    # -- alerts -------------------------------------------------------------------------------------------

    def _discard(self, monitor: str) -> None:
        alert = self._alerts.pop(monitor, None)
        self._decisions.pop(monitor, None)
        self._last_inputs.pop(monitor, None)
        self._evaluate_at_s.pop(monitor, None)
        if alert is not None:
            self._save(ALERT_PREFIX + monitor, None)

    def _discard_closed(self, monitor: str) -> None:
        if self._closed.pop(monitor, None) is not None:
            self._save(CLOSED_ALERT_PREFIX + monitor, None)

    def _replace(self, alert: Alert) -> None:
        self._alerts[alert.monitor] = alert
        self._save(ALERT_PREFIX + alert.monitor, alert_record(alert))
        self._scope.on_alert(alert.monitor, alert)

    def _mark_undelivered(self, delivery: Delivery) -> None:
        """Make another notification due after one was dropped."""
        notification = delivery.notification
        alert = self._alerts.get(notification.monitor)
        if alert is None or alert.id != notification.alert:
            self._scope.change_alert(
                notification.monitor,
                lambda shared: (
                    with_undelivered(shared, notification) if shared.id == notification.alert else shared
                ),
            )
            return
        marked = with_undelivered(alert, notification)
        if marked is not alert:
            self._replace(marked)
            self._evaluate_at_s.pop(alert.monitor, None)

    # -- delivery -----------------------------------------------------------------------------------------

    def _queue(self, notifications: Sequence[Notification], before: Alert | None = None) -> None:
        """Queue notifications. `before` is the alert as it was before them."""
        for notification in notifications:
            # A removed notifier may be configured again. It then has to send the recovery of its problems.
            if notification.notifier in self._settings.names or notification.kind.is_closing:
                fallback = None if before is None else closing_fallback(before, notification)
                delivery = self.outbox.add(self.with_context(notification), fallback)
                if delivery.queued_at_s is None:
                    delivery.queued_at_s = self._clock.monotonic_s()

    def with_context(self, notification: Notification) -> Notification:
        """Add the current context. A removed monitor has no page."""
        context, url = notification.context, self._settings.public_url
        if notification.monitor:
            is_shared = self._scope.is_shared(notification.monitor) or notification.monitor in self._shared
            current = self._context_of(notification.monitor)
            if current is None:
                return replace(notification, context=replace(context, is_shared=is_shared))
            context = replace(current, is_shared=is_shared)
            path = f"/m/{quote(notification.monitor, safe='')}"
        else:
            path = "/"
        has_own_links = notification.notifier in self._settings.names_with_links and has_links(notification)
        expires_at = notification.at + LIFETIME if has_own_links else None
        context = replace(context, url=url + path if url else "", links_expire_at=expires_at)
        return replace(notification, context=context)

    def _with_links(self, notification: Notification) -> Notification:
        return self._links.with_links(notification, self._settings.public_url)

    def _wake_worker(self, notifier: str) -> None:
        if notifier in self._workers:
            self._workers[notifier].wake()

    def _resend_ongoing(self) -> None:
        """Repeat open alerts for receivers that forget them otherwise."""
        now = self._clock.now()
        alerts = [*self._alerts.values(), *([] if self._isolation is None else [self._isolation])]
        for name, worker in self._workers.items():
            if worker.notifier.needs_resend:
                shared = self._shared.values() if self._scope.is_delivered_here(name) else ()
                repeated = []
                for alert in (*alerts, *shared):
                    is_shared = alert.monitor in self._shared
                    current = (
                        self._input_of(alert.monitor) if is_shared else self._last_inputs.get(alert.monitor)
                    )
                    notification = ongoing_notification(alert, name, current, now)
                    if notification is not None:
                        repeated.append(self.with_context(notification))
                worker.resend(repeated)

    def _stop_worker(self, name: str, timeout_s: float = CLOSE_TIMEOUT_S) -> None:
        worker, task = self._workers.pop(name), self._tasks.pop(name)

        async def close() -> None:
            task.cancel()
            await asyncio.wait([task])
            await worker.close(timeout_s)

        closing = asyncio.ensure_future(close())
        closing.set_name(name)
        self._closing_tasks.add(closing)
        closing.add_done_callback(self._closing_tasks.discard)

    def _reroute(self, fallback: str, deliveries: Sequence[Delivery]) -> bool:
        """Queue deliveries for the fallback of their notifier. False if there is no such notifier."""
        worker = self._workers.get(fallback)
        if worker is None:
            return False
        failing = {delivery.delivered_by for delivery in deliveries}
        for delivery in deliveries:
            self.outbox.reroute(delivery, fallback)
            alert = self._alerts.get(delivery.notification.monitor)
            if alert is not None:
                marked = with_rerouted(alert, delivery.notification, fallback)
                if marked is not alert:
                    self._replace(marked)
            else:
                mark = partial(with_rerouted, notification=delivery.notification, fallback=fallback)
                self._scope.change_alert(delivery.notification.monitor, mark)
        alerts = {delivery.notification.alert for delivery in deliveries}
        for queued in [queued for name in failing for queued in self.outbox.queued_for(name)]:
            if queued.notification.kind.is_closing and queued.notification.alert in alerts:
                self.outbox.set_copy_to(queued, fallback)
        worker.wake()
        return True

    def _cancel_orphaned(self) -> None:
        """Cancel deliveries of removed notifiers; closing notifications later. Take back those of removed fallbacks."""
        now = self._clock.now()
        for delivery in self.outbox.queued_without_notifier(self._workers):
            notification = delivery.notification
            if notification.notifier in self._workers:
                self.outbox.reroute(delivery, notification.notifier)
                self._workers[notification.notifier].wake()
            elif not notification.kind.is_closing or now - notification.at > KEEP_CLOSING_FOR:
                self.outbox.cancel(delivery, now, "the notifier was removed from the configuration")
                log.warning(
                    "%s: notification cancelled, because the notifier was removed from the configuration: %s",
                    delivery.delivered_by,
                    notification.title,
                )

    async def _run_worker(self, worker: DeliveryWorker, predecessors: Sequence[asyncio.Task[None]]) -> None:
        """Run a worker when the previous workers of its name have closed; otherwise a message could be sent twice."""
        if predecessors:
            await asyncio.wait(predecessors)
        if worker.notifier.settings.action_links:
            await self._links.load()
        worker.wake()
        while True:
            try:
                await worker.run()
            except Exception:
                log.exception(
                    "%s: bug in the delivery worker, which continues in %d s", worker.name, BUG_PAUSE_S
                )
                await asyncio.sleep(BUG_PAUSE_S)
