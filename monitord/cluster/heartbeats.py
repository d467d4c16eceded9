"""The heartbeats of jobs, as all nodes have received them. A node writes the signals that it receives with its own.

Signals are written in the transaction of the heartbeat of the node: a node that is live has reported all that it has
received. While the database does not respond they are stored on this node.

An agent receives and reports signals as well. It stores each of them until it is acknowledged, and does not know those
of the nodes, so it cannot check a heartbeat monitor.
"""

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from monitord.alerts.outbox import SaveRecord
from monitord.clock import Clock
from monitord.cluster.alone import AloneMode
from monitord.cluster.assignment import Assignment
from monitord.cluster.model import LIVE_S, Membership, SharedHeartbeat
from monitord.dispatch.entry import MonitorEntry
from monitord.dispatch.sink import Sink
from monitord.errors import ControlError
from monitord.model import State, Transition
from monitord.monitors.heartbeat.record import Heartbeat
from monitord.monitors.heartbeat.shared import (
    Absence,
    HeartbeatFacts,
    facts_json,
    facts_of,
    merged,
    with_signal,
)

log = logging.getLogger(__name__)

SPOOL_PREFIX = "heartbeat:"
KNOWN_AFTER_S = 5.0
"""A node writes a signal within this time, in seconds."""
CLOCK_TOLERANCE_S = 1.0
"""An agent corrects the time of a signal if its clock differs more from that of the database."""
RETURN_WITHIN_S = 8.0
"""After an outage of the database, the other nodes write what they have received within this time."""


class SharedHeartbeats(Sink):
    """The facts by monitor: the `HeartbeatExchange` of the monitors.

    `records` were saved by an earlier run, with `save`.
    """

    def __init__(
        self,
        assignment: Assignment,
        alone: AloneMode,
        clock: Clock,
        save: SaveRecord,
        records: Mapping[str, Mapping[str, Any]],
        *,
        is_agent: bool = False,
    ) -> None:
        """`is_agent`: this node has no database, and does not know the heartbeats that others receive."""
        self._is_agent = is_agent
        self._assignment = assignment
        self._alone = alone
        self._clock = clock
        self._save = save
        self._facts: dict[str, HeartbeatFacts] = {}
        self._queued: set[str] = set()
        self._spooled: dict[str, HeartbeatFacts | None] = {}
        self._on_change: dict[str, Callable[[], None]] = {}
        self._paused_from: dict[str, datetime] = {}
        self._known_until: datetime | None = None
        self._read_at: datetime | None = None
        self._read_at_s = 0.0
        self._known_from_s = 0.0
        self._membership_at_s = self._written_until_s = 0.0
        for key, record in records.items():
            if key.startswith(SPOOL_PREFIX):
                name = key.removeprefix(SPOOL_PREFIX)
                try:
                    self.add(name, facts_of(record))
                except (KeyError, TypeError, ValueError, AttributeError) as error:
                    log.warning(
                        "discarded the stored heartbeats of %s, which cannot be read: %r", name, error
                    )
                self._spooled[name] = None

    # -- for the monitors -------------------------------------------------------------------------------------

    def facts(self, monitor: str, renamed_from: str | None = None) -> HeartbeatFacts:
        """Return what is known. A renamed monitor continues the facts of its previous name."""
        facts, former = self._facts.get(monitor), self._facts.get(renamed_from or "")
        if former is not None:
            both = former if facts is None else merged(facts, former)
        else:
            both = facts or HeartbeatFacts(self._clock.now(), self._assignment.node)
        if both != facts:
            self._facts[monitor] = both
            # Only the nodes know since when heartbeats are expected.
            if not self._is_agent or both.last_signal_at is not None:
                self._queued.add(monitor)
        return both

    def receive(self, monitor: str, heartbeat: Heartbeat, at: datetime) -> None:
        """Add a signal that this node has received.

        Raises ControlError if this is an agent whose location is not in `locations` of the monitor.
        """
        node, location = self._assignment.node, self._assignment.location
        if not self._is_agent:
            self.add(monitor, with_signal(self.facts(monitor), heartbeat, at, node))
            return
        if not self._assignment.is_for_location(monitor, location):
            raise ControlError(
                f"{monitor} accepts no heartbeats from agents at the location {location}",
                hint=f'send them to a node, or add "{location}" to `locations` of the monitor',
            )
        # Once, on arrival: a signal that is reported again must have the same time.
        members = self._assignment.membership.nodes
        offset_s = next((each.time_offset_s for each in members if each.name == node), 0.0)
        if abs(offset_s) > CLOCK_TOLERANCE_S:
            at -= timedelta(seconds=offset_s)
        self.add(monitor, with_signal(self.facts(monitor), heartbeat, at, node))
        self._spool(monitor)

    def add(self, monitor: str, facts: HeartbeatFacts) -> None:
        """Add facts of this node, and queue them for the database."""
        known = self._facts.get(monitor)
        self._facts[monitor] = facts if known is None else merged(known, facts)
        self._queued.add(monitor)

    def restore(self, monitor: str, facts: HeartbeatFacts) -> None:
        """Add facts that this node has stored. Those of a monitor that was removed continue as after a pause."""
        if monitor not in self._facts and self._known_until is not None:
            paused_from = facts.last_signal_at or facts.began_at
            facts = replace(facts, paused_from=paused_from, resumed_at=self._clock.now())
        self.add(monitor, facts)

    def known_until(self, monitor: str) -> datetime | None:
        """Return the time until which the signals that all nodes have received are known here; None: not at all."""
        facts = self._facts.get(monitor)
        node, location = self._assignment.node, self._assignment.location
        if self._alone.is_active and not self._is_agent and facts is not None and facts.node == node:
            # The other nodes of the location, if there were any, could receive heartbeats as well.
            others = [each for each in self._assignment.membership.nodes if each.location == location]
            if all(each.name == node for each in others):
                return self._clock.now()
        if self._known_until is None:
            return None
        # A node whose heartbeat is delayed, but not yet old, may have received a signal since its last heartbeat.
        written_ago_s = self._clock.monotonic_s() - self._written_until_s
        return min(self._known_until, self._clock.now() - timedelta(seconds=written_ago_s))

    def absence(self, facts: HeartbeatFacts) -> Absence | None:
        """Return the last absence of the node that has received the last signal."""
        node = next((each for each in self._assignment.membership.nodes if each.name == facts.node), None)
        if node is None:
            return None
        age_s = self._clock.monotonic_s() - self._membership_at_s
        read_at = self._clock.now() - timedelta(seconds=age_s)
        if node.seen_ago_s > LIVE_S:
            return Absence(read_at - timedelta(seconds=node.seen_ago_s), None)
        if node.absent_ago_s is None or node.back_ago_s is None:
            return None
        return Absence(
            read_at - timedelta(seconds=node.absent_ago_s), read_at - timedelta(seconds=node.back_ago_s)
        )

    def subscribe(self, monitor: str, on_change: Callable[[], None]) -> None:
        """Call a function when the facts of a monitor change, and when they are known again."""
        self._on_change[monitor] = on_change

    def unsubscribe(self, monitor: str, on_change: Callable[[], None]) -> None:
        """No error if another function was subscribed since."""
        if self._on_change.get(monitor) == on_change:
            del self._on_change[monitor]

    # -- events -----------------------------------------------------------------------------------------------

    def on_transition(self, entry: MonitorEntry, transition: Transition) -> None:
        """Record the end of a pause, in which no heartbeats are expected."""
        name = entry.name
        if name not in self._on_change or self._is_agent:
            return
        if transition.after is State.PAUSED:
            self._paused_from[name] = transition.at
        elif transition.before is State.PAUSED:
            facts = self.facts(name)
            began_at = self._paused_from.pop(name, facts.last_signal_at or facts.began_at)
            self.add(name, replace(facts, paused_from=began_at, resumed_at=transition.at))

    def on_removed(self, entry: MonitorEntry) -> None:
        self.forget(entry.name)

    def forget(self, monitor: str) -> None:
        """Forget the facts of a monitor that was removed."""
        self._facts.pop(monitor, None)
        self._paused_from.pop(monitor, None)
        self._queued.discard(monitor)
        self._unspool(monitor)

    # -- for the node -----------------------------------------------------------------------------------------

    def take(self) -> Sequence[SharedHeartbeat]:
        """Return the queued facts, and empty the queue."""
        queued = [SharedHeartbeat(name, self._facts[name]) for name in sorted(self._queued)]
        self._queued.clear()
        return queued

    def put_back(self, heartbeats: Sequence[SharedHeartbeat]) -> None:
        """Queue facts again that could not be written, and store them on this node."""
        for name in (each.monitor for each in heartbeats if each.monitor in self._facts):
            self._queued.add(name)
            if self._facts[name].node == self._assignment.node:
                self._spool(name)

    def mark_written(self, heartbeats: Sequence[SharedHeartbeat]) -> None:
        """Remove facts from the spool that are in the database."""
        for each in heartbeats:
            if each.monitor not in self._queued:
                self._unspool(each.monitor)

    @property
    def spooled_count(self) -> int:
        """The number of monitors with heartbeats that are stored until they are written."""
        return len(self._spooled)

    def repeat(self) -> None:
        """Queue all that this node has received, in case the database has lost it."""
        node = self._assignment.node
        self._queued.update(name for name, facts in self._facts.items() if facts.node == node)

    def note_membership(self, membership: Membership, at_s: float) -> None:
        """Take the membership, and the time at which it was read, of the monotonic clock."""
        self._membership_at_s = at_s
        ages_s = [node.seen_ago_s for node in membership.nodes if node.is_recent]
        self._written_until_s = at_s - max(ages_s, default=0.0)

    def note(
        self, heartbeats: Sequence[SharedHeartbeat], read_at: datetime, read_at_s: float
    ) -> Collection[str]:
        """Take all facts that have changed in the database until a time; `read_at_s`: of the monotonic clock.

        Return the monitors to which `call` applies.
        """
        changed: set[str] = set()
        for each in heartbeats:
            known = self._facts.get(each.monitor)
            facts = each.facts if known is None else merged(known, each.facts)
            if facts != known:
                self._facts[each.monitor] = facts
                changed.add(each.monitor)
        was_read_at, was_read_at_s = self._read_at, self._read_at_s
        self._read_at, self._read_at_s = read_at, read_at_s
        # The monotonic clock does not count the time in which the host was suspended.
        if (
            was_read_at is None
            or read_at_s - was_read_at_s > LIVE_S
            or abs((read_at - was_read_at).total_seconds()) > LIVE_S
        ):
            self._known_from_s = read_at_s + RETURN_WITHIN_S
        if read_at_s >= self._known_from_s and not self._is_agent:
            if was_read_at_s < self._known_from_s:
                changed.update(self._on_change)
            self._known_until = read_at - timedelta(seconds=KNOWN_AFTER_S)
        return changed & self._on_change.keys()

    @property
    def subscribed(self) -> Sequence[str]:
        """The heartbeat monitors of this node."""
        return list(self._on_change)

    def call(self, monitor: str) -> None:
        """Tell a monitor of a change."""
        if monitor in self._on_change:
            self._on_change[monitor]()

    def _spool(self, monitor: str) -> None:
        facts = self._facts[monitor]
        if self._spooled.get(monitor) != facts:
            self._spooled[monitor] = facts
            self._save(SPOOL_PREFIX + monitor, facts_json(facts))

    def _unspool(self, monitor: str) -> None:
        if monitor in self._spooled:
            del self._spooled[monitor]
            self._save(SPOOL_PREFIX + monitor, None)
