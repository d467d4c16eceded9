"""The notifications that this node delivers: claims on those in the database, which the outbox then delivers.

A claim ends after a few seconds unless it is renewed, and another node delivers then. Therefore a claim is certain only
for a shorter time after its renewal, by the monotonic clock of this node: a process that was suspended renews it first.
While the database does not respond, claimed deliveries are held; in alone mode they are attempted without a claim.

A message is stored with its claims before it is sent, and is claimed, held and finished as a whole: another node that
takes it over sends the same notifications under the same key, by which a receiver recognizes them.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Collection, Mapping, Sequence

from monitord.alerts import Alerts, Delivery
from monitord.clock import Clock
from monitord.cluster.assignment import Assignment
from monitord.cluster.model import AssignedMessage, DeliveryResult
from monitord.cluster.store import ClusterStore
from monitord.errors import ClusterError
from monitord.notifiers import notification_of

log = logging.getLogger(__name__)

CERTAIN_FOR_S = 5.0
"""A claim is certain for this time after its renewal, half of the time for which it is valid in the database."""
RENEW_TIMEOUT_S = 5.0
"""A renewal just before an attempt delays the other notifications of the notifier for at most this time."""
FORGET_HELD_AFTER_S = 60.0
"""A held delivery whose claim was not regained is delivered by another node."""
CLAIM_AFTER_FAILURE_S = 6.0
"""Other nodes notice within this time that the database responds again."""
LEAVE_FOR_S, LEAVE_AT_MOST_FOR_S = 5.0, 60.0
"""A node that could not deliver for a notifier leaves it to the other nodes for this time, and after each further
failure for twice as long. A receiver that fails from time to time does not delay notifications."""
MAX_CLAIMED_OF_NOTIFIER = 500
"""A notifier that cannot deliver does not keep the others from claiming."""
MAX_CLAIMED = 10_000
"""Fewer than the deliveries that the outbox can queue."""
MAX_RESULTS = 20_000
RESULTS_PER_STATEMENT = 1000


class Claims:
    """The claims of this node, and the results of its deliveries. `is_alone`: the claims do not matter."""

    def __init__(self, database: ClusterStore, node: str, clock: Clock) -> None:
        self._database = database
        self._node = node
        self._clock = clock
        self._renewed_at_s: dict[str, float] = {}
        self._message_keys: dict[str, str | None] = {}  # in the database
        self._results: dict[str, DeliveryResult] = {}
        self.is_alone = False
        self.claimed_count = 0
        self.has_work = asyncio.Event()

    def record(self, delivery: Delivery) -> None:
        """Queue the result of a claimed delivery for the database."""
        if not delivery.is_claimed:
            return
        notification = delivery.notification
        self._renewed_at_s.pop(notification.id, None)
        self._message_keys.pop(notification.id, None)
        self._results[notification.id] = DeliveryResult(
            notification.id, delivery.status.value, delivery.response, delivery.delivered_by
        )
        while len(self._results) > MAX_RESULTS:
            del self._results[next(iter(self._results))]
        self.has_work.set()

    async def certain(self, deliveries: Sequence[Delivery]) -> Collection[Delivery]:
        """Return the deliveries whose claim is certain now, after a renewal of the others."""
        if self.is_alone:
            return deliveries
        try:
            async with asyncio.timeout(RENEW_TIMEOUT_S):
                if not all(self._is_assigned(delivery) for delivery in deliveries):
                    await self._assign_message(deliveries)
                uncertain = [each.notification.id for each in deliveries if not self._is_certain(each)]
                if uncertain:
                    await self.renew(uncertain)
        except (ClusterError, TimeoutError) as error:
            log.debug("claims cannot be renewed: %s", error)
        return [each for each in deliveries if self._is_certain(each) and self._is_assigned(each)]

    def _is_assigned(self, delivery: Delivery) -> bool:
        """Whether the database knows the message in which a delivery is attempted."""
        return self._message_keys.get(delivery.notification.id) == delivery.message_key

    async def _assign_message(self, deliveries: Sequence[Delivery]) -> None:
        """Record the message in the database before it is sent, so that another node would send the same message."""
        key, at = deliveries[0].message_key, deliveries[0].message_at
        if key is None or at is None:
            return
        now_s = self._clock.monotonic_s()
        ids = [each.notification.id for each in deliveries]
        before = {notification_id: self._message_keys.get(notification_id) for notification_id in ids}
        if await self._database.assign_message(self._node, before, AssignedMessage(key, at)):
            for notification_id in ids:
                self._renewed_at_s[notification_id] = now_s
                self._message_keys[notification_id] = key

    def _is_certain(self, delivery: Delivery) -> bool:
        renewed_at_s = self._renewed_at_s.get(delivery.notification.id)
        return renewed_at_s is not None and self._clock.monotonic_s() - renewed_at_s <= CERTAIN_FOR_S

    async def renew(self, ids: Collection[str]) -> Mapping[str, AssignedMessage | None]:
        """Renew claims, and return the messages of the claims that are left. Raises ClusterError."""
        # The time before the statement, because the validity of the claim begins during it.
        now_s = self._clock.monotonic_s()
        renewed = await self._database.renew(self._node, ids)
        for notification_id in ids:
            if notification_id in renewed:
                message = renewed[notification_id]
                self._renewed_at_s[notification_id] = now_s
                self._message_keys[notification_id] = None if message is None else message.key
            else:
                self._renewed_at_s.pop(notification_id, None)
                self._message_keys.pop(notification_id, None)
        return renewed

    def mark_claimed(self, notification_id: str, message_key: str | None, at_s: float) -> None:
        self._renewed_at_s[notification_id] = at_s
        self._message_keys[notification_id] = message_key
        self.claimed_count += 1

    async def write_results(self) -> None:
        """Write the results of deliveries to the database. Raises ClusterError."""
        results = list(self._results.values())
        for start in range(0, len(results), RESULTS_PER_STATEMENT):
            part = results[start : start + RESULTS_PER_STATEMENT]
            await self._database.finish(self._node, part)
            for result in part:
                if self._results.get(result.id) is result:
                    del self._results[result.id]

    def forget_all(self) -> None:
        """Make all claims uncertain, as after a failure of the database."""
        self._renewed_at_s.clear()


class Delivering:
    """Claims notifications for the outbox, and keeps the claims."""

    def __init__(
        self, database: ClusterStore, assignment: Assignment, alerts: Alerts, claims: Claims, clock: Clock
    ) -> None:
        self._database = database
        self._assignment = assignment
        self._alerts = alerts
        self._claims = claims
        self._clock = clock
        self._held_since_s: dict[str, float] = {}
        self._claim_from_s = 0.0
        self._failed_attempts: dict[str, int] = {}
        self._left_for_s: dict[str, float] = {}
        self._left_until_s: dict[str, float] = {}

    def postpone_claims(self) -> None:
        """After a failure of the database, let the other nodes renew their claims and write their results first."""
        self._claim_from_s = self._clock.monotonic_s() + CLAIM_AFTER_FAILURE_S

    async def step(self) -> None:
        """Write results, claim the notifications to deliver here, and renew the claims. Raises ClusterError."""
        await self._claims.write_results()
        await self._leave_to_others()
        await self._claim()
        await self._renew()

    async def _leave_to_others(self) -> None:
        """Leave the notifications of notifiers that fail on this node to the other nodes, if these may deliver them."""
        node, now_s = self._assignment.node, self._clock.monotonic_s()
        for name, worker in self._alerts.workers.items():
            failed_attempts = self._failed_attempts.get(name, 0)
            self._failed_attempts[name] = worker.failed_attempts
            if worker.error is None:
                self._left_for_s.pop(name, None)
            elif worker.failed_attempts > failed_attempts and self._assignment.others_can_deliver(
                worker.notifier.settings
            ):
                self._left_for_s[name] = min(
                    2 * self._left_for_s.get(name, LEAVE_FOR_S / 2), LEAVE_AT_MOST_FOR_S
                )
                self._left_until_s[name] = now_s + self._left_for_s[name]
            if not self._is_left(name) or worker.is_attempting:
                continue
            left = [each for each in self._alerts.outbox.claimed() if each.delivered_by == name]
            if left:
                await self._database.release(node, [each.notification.id for each in left])
            for delivery in left:
                self._alerts.outbox.withdraw(delivery)

    def _is_left(self, notifier: str) -> bool:
        return self._left_until_s.get(notifier, 0.0) > self._clock.monotonic_s()

    async def _claim(self) -> None:
        node = self._assignment.node
        if node not in self._assignment.membership.live_nodes():
            return
        if self._clock.monotonic_s() < self._claim_from_s:
            return
        claimed_of = Counter(delivery.delivered_by for delivery in self._alerts.outbox.claimed())
        limit = min(MAX_CLAIMED_OF_NOTIFIER, MAX_CLAIMED - claimed_of.total())
        assigned, others = self._assignment.notifiers(self._alerts.settings.notifiers)
        left = [name for name in assigned if self._is_left(name)]
        if left:
            await self._database.leave(left)
        assigned, others = (
            [name for name in names if claimed_of[name] < MAX_CLAIMED_OF_NOTIFIER and not self._is_left(name)]
            for names in (assigned, others)
        )
        if limit <= 0 or not (assigned or others):
            return
        now_s = self._clock.monotonic_s()
        unreadable = []
        for claimed in await self._database.claim(node, assigned, limit, others):
            try:
                notification = notification_of(claimed.body)
            except (KeyError, TypeError, ValueError) as error:
                log.warning("the claimed notification %s cannot be read: %r", claimed.id, error)
                unreadable.append(claimed.id)
                continue
            self._claims.mark_claimed(claimed.id, claimed.message_key, now_s)
            self._alerts.outbox.add_claimed(
                notification, claimed.copy_to, claimed.message_key, claimed.message_at
            )
        if unreadable:
            # A node with a newer release may be able to read them.
            await self._database.release(node, unreadable)

    async def _renew(self) -> None:
        outbox = self._alerts.outbox
        claimed = {delivery.notification.id: delivery for delivery in outbox.claimed()}
        if not claimed:
            self._held_since_s.clear()
            return
        renewed = await self._claims.renew(claimed.keys())
        now_s = self._clock.monotonic_s()
        self._held_since_s = {key: at_s for key, at_s in self._held_since_s.items() if key in claimed}
        for notification_id, delivery in claimed.items():
            if notification_id in renewed:
                self._held_since_s.pop(notification_id, None)
                message = renewed[notification_id]
                key, at = (None, None) if message is None else (message.key, message.at)
                outbox.resume_message(delivery, key, at)
                continue
            outbox.hold(delivery)
            if now_s - self._held_since_s.setdefault(notification_id, now_s) >= FORGET_HELD_AFTER_S:
                outbox.withdraw(delivery)

    def resume_all(self) -> None:
        """Attempt all held deliveries, because this node is alone."""
        for delivery in self._alerts.outbox.claimed():
            self._alerts.outbox.resume(delivery)

    async def release(self) -> None:
        """At a stop, write the last results, and release the claims. Raises ClusterError."""
        await self._claims.write_results()
        left = self._alerts.outbox.claimed()
        if left:
            await self._database.release(
                self._assignment.node, [delivery.notification.id for delivery in left]
            )
        for delivery in left:
            self._alerts.outbox.withdraw(delivery)
