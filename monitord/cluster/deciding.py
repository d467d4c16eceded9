"""The decisions of this node: states that follow from the votes, and the alerts of shared monitors.

A decision and its notifications are written in one transaction, which changes nothing if another node was first. All
votes are evaluated again every few seconds, so nothing depends on the order of events.
"""

import logging
import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from operator import itemgetter

from monitord.alerts import AlertInput, Alerts, Suppression, SuppressionReason
from monitord.alerts.lifecycle import (
    Alert,
    alert_from_record,
    alert_record,
    closing_fallback,
    closing_notifications,
    evaluate,
)
from monitord.clock import Clock
from monitord.cluster.assignment import Assignment
from monitord.cluster.configuration import MONITORS
from monitord.cluster.flapping import with_flapping
from monitord.cluster.model import Candidate, ClusterDecision, NewDecision, Tally, Vote
from monitord.cluster.quorum import decide, decided_state
from monitord.cluster.store import ClusterStore
from monitord.cluster.turns import in_turns
from monitord.dispatch.entry import MonitorEntry
from monitord.dispatch.registry import Registry
from monitord.errors import ClusterError
from monitord.model import Reason, State
from monitord.notifiers import Notification

log = logging.getLogger(__name__)

EVALUATE_EVERY_S = 2.0
EVALUATE_REMINDERS_EVERY_S = 30.0
"""As for the alerts of a single host: see `alerts.alerts`."""
REMOVE_AFTER_S = 60.0
"""The alert of a removed monitor is closed when it has been absent here for this time, and no other node has it."""
RENAME_WITHIN_S = 600.0
"""A renamed monitor waits this long for the reload of the other nodes, and then begins with a new alert."""
MAX_CHANGES = 20_000
"""Limit of the changes of alerts that wait for the database."""

DECISIONS_PER_TRANSACTION = 100
MAX_MERGED = 200
"""Alerts of monitors that are up which are closed at once, fewer than the candidates of a tally."""

ChangeAlert = Callable[[Alert], Alert]
InputOf = Callable[[str], AlertInput | None]


@dataclass(frozen=True, slots=True)
class Known:
    """A decision, with its alert."""

    decision: ClusterDecision
    alert: Alert | None

    @classmethod
    def of(cls, decision: ClusterDecision) -> "Known":
        """Read the alert of a decision. An unreadable alert is logged, and counts as none."""
        alert = None
        if decision.alert is not None:
            try:
                alert = alert_from_record(decision.alert)
            except (KeyError, TypeError, ValueError, AttributeError) as error:
                log.warning("%s: the alert in the database cannot be read: %r", decision.monitor, error)
        return cls(decision, alert)


class Decisions:
    """All decisions that this node knows; it makes those of its shards.

    `on_decision` is called with each decision that this node has made.
    """

    def __init__(
        self,
        database: ClusterStore,
        assignment: Assignment,
        registry: Registry,
        input_of: InputOf,
        alerts: Alerts,
        clock: Clock,
    ) -> None:
        self._database = database
        self._assignment = assignment
        self._registry = registry
        self._input_of = input_of
        self._alerts = alerts
        self._clock = clock
        self._known: dict[str, Known] = {}
        self._evaluate_at_s: dict[str, float] = {}
        self._changes: list[tuple[str, ChangeAlert]] = []
        self._absent_since_s: dict[str, float] = {}
        self._renamed_since_s: dict[str, float] = {}
        self._bugs: dict[str, str] = {}
        self.won_count = 0
        self.lost_count = 0
        self.on_decision: Callable[[ClusterDecision], object] = lambda _: None
        self.votes_of: Callable[[str], Sequence[Vote]] = lambda _: ()
        """Returns the last known votes of live locations on a monitor."""

    @property
    def known(self) -> Mapping[str, Known]:
        return self._known

    def note(self, decision: ClusterDecision) -> bool:
        """Record a decision from the database, or of this node. Return False if it is known.

        Its version may be lower than the known version, if a server took over without the last transactions.
        """
        before = self._known.get(decision.monitor)
        if before is not None and before.decision == decision:
            return False
        known = self._known[decision.monitor] = Known.of(decision)
        self._evaluate_at_s.pop(decision.monitor, None)
        self._alerts.set_shared(decision.monitor, known.alert)
        return True

    def change_alert(self, monitor: str, change: ChangeAlert) -> None:
        """Change an alert in the database, with the next evaluation."""
        self._changes.append((monitor, change))
        del self._changes[:-MAX_CHANGES]

    # -- states -------------------------------------------------------------------------------------------

    async def decide(self, monitors: Collection[str] | None, is_settled: Callable[[Tally], bool]) -> None:
        """Decide the states of the monitors of this node, or only of some of them. Raises ClusterError."""
        shards, for_others = self._assignment.decided_shards, self._assignment.decided_for_others
        if shards and (monitors is None or monitors):
            await self._decide(shards, monitors, is_settled)
        if for_others := for_others if monitors is None else for_others.intersection(monitors):
            await self._decide(None, for_others, is_settled)

    async def _decide(
        self,
        shards: Collection[int] | None,
        monitors: Collection[str] | None,
        is_settled: Callable[[Tally], bool],
    ) -> None:
        after: str | None = ""
        while after is not None:
            tally = await self._database.tally(self._assignment.node, shards, monitors, after)
            if tally.is_stale:
                return
            await self._decide_candidates(tally, is_settled=is_settled(tally))
            after = tally.next_after

    async def _decide_candidates(self, tally: Tally, *, is_settled: bool) -> None:
        batch: list[NewDecision] = []
        async for candidate in in_turns(tally.candidates):
            with self._guard(candidate.monitor):
                await self._add(batch, self._decided(candidate, tally, is_settled=is_settled))
        await self._write(batch)

    @contextmanager
    def _guard(self, monitor: str) -> Iterator[None]:
        """Log a bug in the decision on a monitor, when it changes: the other monitors are decided."""
        try:
            yield
            self._bugs.pop(monitor, None)
        except ClusterError:
            raise
        except Exception as error:
            if self._bugs.get(monitor) != repr(error):
                log.exception("%s: bug in the decision", monitor)
            self._bugs[monitor] = repr(error)

    def _decided(self, candidate: Candidate, tally: Tally, *, is_settled: bool) -> NewDecision | None:
        """Return the next decision on a candidate; None: there is none, or it is not to be decided here now."""
        entry = self._shared_entry(candidate.monitor)
        # Without a state of the cluster the monitor is new here, and a pause is not applied yet.
        if entry is None or entry.state.cluster is None or entry.state.pause is not None:
            return None
        before, settings = candidate.decision, entry.monitor.settings
        if before is None and (former := self._former(entry)) is not None:
            if self._waits_for_rename(candidate, former.monitor):
                return None
            before = _renamed(former, entry.name)
        after = decide(
            replace(candidate, decision=before),
            tally,
            settings.quorum,
            settings.locations or None,
            self._clock.now(),
            is_settled=is_settled,
        )
        if after is None and before is not candidate.decision:
            after = before  # the first decision under the new name
        if after is None:
            return None
        alert = None if before is None else Known.of(before).alert
        return self._new(entry, candidate.decision, after, alert, candidate.votes)

    def _former(self, entry: MonitorEntry) -> ClusterDecision | None:
        """Return the decision on a renamed monitor under its previous name."""
        old_name = entry.monitor.settings.renamed_from
        known = self._known.get(old_name or "")
        return None if known is None or known.decision.state is State.PENDING else known.decision

    def _waits_for_rename(self, candidate: Candidate, old_name: str) -> bool:
        """Whether locations that vote under the previous name have not been reloaded with the new name yet."""
        name, now_s = candidate.monitor, self._clock.monotonic_s()
        renamed = {vote.location for vote in candidate.votes}
        waits = not renamed.issuperset(vote.location for vote in self.votes_of(old_name))
        if waits and now_s - self._renamed_since_s.setdefault(name, now_s) <= RENAME_WITHIN_S:
            return True
        self._renamed_since_s.pop(name, None)
        return False

    def _new(
        self,
        entry: MonitorEntry,
        before: ClusterDecision | None,
        after: ClusterDecision,
        alert: Alert | None,
        votes: Sequence[Vote] | None = None,
    ) -> NewDecision | None:
        """Evaluate the alert of a decision, and return both with the notifications; None: nothing changes.

        `votes` were counted for the decision; None: it is an earlier decision.
        """
        settings = entry.monitor.settings
        after = with_flapping(
            after,
            settings.check_every_s,
            self._clock.now(),
            is_detected=settings.policy.detects_flapping,
        )
        current = self._input(entry, after)
        evaluation = evaluate(alert, current, self._alerts.settings, self._clock.now())
        self._evaluate_at_s[entry.name] = self._clock.monotonic_s() + self._evaluate_after_s(
            all(decision.is_notified for decision in evaluation.decisions.values()) and not after.is_flapping
        )
        if before is not None and after.version == before.version:
            is_same = after.alert is before.alert and after.is_flapping is before.is_flapping
            if evaluation.alert is alert and not evaluation.notifications and is_same:
                return None
            # No votes were counted for this decision.
            after = replace(after, version=before.version + 1, counted_at=None)
        after = replace(after, alert=None if evaluation.alert is None else alert_record(evaluation.alert))
        notifications = [
            (self._with_context(notification, entry, votes), self._copy_to(alert, notification))
            for notification in evaluation.notifications
        ]
        return NewDecision(before, after, notifications)

    async def _add(self, batch: list[NewDecision], decision: NewDecision | None) -> None:
        """Add a decision to a batch, and write the batch in one transaction if it is full."""
        if decision is not None:
            batch.append(decision)
        if len(batch) >= DECISIONS_PER_TRANSACTION:
            await self._write(batch)
            batch.clear()

    async def _write(self, decisions: Sequence[NewDecision]) -> frozenset[str]:
        """Write decisions. Return the monitors that were decided. For all others, another node was first."""
        if not decisions:
            return frozenset()
        decided = await self._database.decide(self._assignment.node, decisions)
        self.lost_count += len(decisions) - len(decided)
        self.won_count += len(decided)
        async for decision in in_turns(list(decisions)):
            if decision.after.monitor in decided:
                self.on_decision(decision.after)
            else:
                self._evaluate_at_s.pop(decision.after.monitor, None)
        return decided

    def _input(self, entry: MonitorEntry, decision: ClusterDecision) -> AlertInput:
        current = self._input_of(entry.name)
        assert current is not None  # noqa: S101 - the monitor is in the registry
        suppression = current.suppression
        if suppression == Suppression(SuppressionReason.NOT_CHECKED):
            suppression = None  # the locations have checked it, although this node has not
        return replace(
            current,
            state=decision.state,
            since=decision.since,
            reason=decision.reason,
            detail=decision.detail,
            is_flapping=decision.is_flapping and decision.state in {State.UP, State.DEGRADED, State.DOWN},
            suppression=suppression,
        )

    def _with_context(
        self, notification: Notification, entry: MonitorEntry, votes: Sequence[Vote] | None
    ) -> Notification:
        """Add the context, with the states at the locations. The excerpt is that of a vote that was counted."""
        notification = self._alerts.with_context(notification)
        context, locations = notification.context, entry.monitor.settings.locations
        if votes is not None:
            context = replace(context, excerpt=_excerpt(votes, notification.state))
        counted = self.votes_of(entry.name) if votes is None else votes
        states = {
            vote.location: vote.state for vote in counted if not locations or vote.location in locations
        }
        return replace(
            notification, context=replace(context, locations=tuple(sorted(states.items(), key=itemgetter(0))))
        )

    @staticmethod
    def _copy_to(alert: Alert | None, notification: Notification) -> str | None:
        return None if alert is None else closing_fallback(alert, notification)

    # -- alerts -------------------------------------------------------------------------------------------

    async def evaluate(self, is_settled: Callable[[Tally], bool]) -> None:
        """Evaluate the alerts of this node that time alone, an intervention or a merge may have changed.

        Raises ClusterError.
        """
        await self._write_changes()
        now_s = self._clock.monotonic_s()
        merged: dict[str, Known] = {}
        batch: list[NewDecision] = []
        async for name, known in in_turns(list(self._known.items())):
            decision = known.decision
            if (decision.alert is None and not decision.is_flapping) or not self._assignment.is_decided_here(
                name
            ):
                continue
            if self._evaluate_at_s.get(name, now_s) > now_s:
                continue
            entry = self._shared_entry(name)
            if entry is None or entry.state.pause is not None:
                continue
            if decision.state is State.UP and not decision.is_flapping:
                if len(merged) < MAX_MERGED:
                    merged[name] = known
            else:
                with self._guard(name):
                    await self._add(batch, self._new(entry, decision, decision, known.alert))
        await self._write(batch)
        if merged:
            await self._close_merged(merged, is_settled)

    async def _close_merged(self, merged: Mapping[str, Known], is_settled: Callable[[Tally], bool]) -> None:
        """Close the alerts that a node has merged while the decision was up, unless the votes are for another state.

        These votes may not have been counted since that node has returned.
        """
        tally = await self._database.tally(self._assignment.node, None, merged.keys())
        if tally.is_stale or not is_settled(tally):
            return
        batch: list[NewDecision] = []
        disputed = {candidate.monitor: candidate for candidate in tally.candidates}
        for name, known in merged.items():
            entry = self._shared_entry(name)
            if entry is None or (name in disputed and not _is_up(disputed[name], entry)):
                continue
            with self._guard(name):
                await self._add(batch, self._new(entry, known.decision, known.decision, known.alert))
        await self._write(batch)

    async def _write_changes(self) -> None:
        """Write the changes of alerts by the deliveries of this node."""
        changes, self._changes = self._changes, []
        changed: dict[str, list[ChangeAlert]] = {}
        for monitor, change in changes:
            changed.setdefault(monitor, []).append(change)
        try:
            for monitor in list(changed):
                # Each node does this for its own deliveries, although another node may decide.
                await self._change(monitor, changed[monitor])
                del changed[monitor]
        finally:
            left = [(monitor, change) for monitor in changed for change in changed[monitor]]
            self._changes = [*left, *self._changes][-MAX_CHANGES:]

    async def _change(self, monitor: str, changes: Sequence[ChangeAlert]) -> None:
        known = self._known.get(monitor)
        if known is None or known.alert is None:
            return
        alert = known.alert
        for change in changes:
            alert = change(alert)
        if alert is known.alert:
            return
        before = known.decision
        after = replace(before, version=before.version + 1, alert=alert_record(alert), counted_at=None)
        if not await self._write([NewDecision(before, after)]):
            self._changes += [(monitor, change) for change in changes]

    async def close_removed(self) -> None:
        """Close the alerts of monitors that are no longer configured anywhere, and forget them. Raises ClusterError.

        A monitor that another node has, as during a rolling reload, is not closed.
        """
        now_s = self._clock.monotonic_s()
        removed: dict[str, Known | None] = {}
        successors: dict[str, str] = {}
        async for name, entry in in_turns(list(self._registry.entries.items())):
            if entry.monitor.settings.renamed_from is not None and self._assignment.is_shared(entry.monitor):
                successors[entry.monitor.settings.renamed_from] = name
        async for name, known in in_turns(list(self._known.items())):
            if (
                self._shared_entry(name) is not None
                or self._assignment.nodes_with(name)
                # Its alert continues with the first decision under the new name.
                or (name in successors and successors[name] not in self._known)
            ):
                self._absent_since_s.pop(name, None)
            elif known.decision.state is State.PENDING:
                # Closed. The database deletes it later.
                self._absent_since_s.pop(name, None)
                del self._known[name]
            elif now_s - self._absent_since_s.setdefault(
                name, now_s
            ) >= REMOVE_AFTER_S and self._assignment.is_decided_here(name):
                removed[name] = self._known.get(successors.get(name, ""))
        if not removed:
            return
        configured = await self._database.configured([f"{MONITORS}.{name}" for name in removed])
        for name, successor in removed.items():
            # A monitor that a source has found is not in the configuration: its location has a vote on it.
            if configured is None or f"{MONITORS}.{name}" in configured or self.votes_of(name):
                del self._absent_since_s[name]
            else:
                await self._close(self._known[name], successor)

    async def _close(self, known: Known, successor: Known | None) -> None:
        """Close a decision, and its alert unless it continues as that of the renamed monitor."""
        decision, now = known.decision, self._clock.now()
        after = ClusterDecision(decision.monitor, State.PENDING, now, Reason.OK, "", decision.version + 1)
        notifications: list[tuple[Notification, str | None]] = []
        continues = (
            known.alert is not None
            and successor is not None
            and successor.alert is not None
            and successor.alert.id == known.alert.id
        )
        # If it has ended under the new name, its recovery has the id of the closing notification, which is not sent.
        if known.alert is not None and not continues:
            last = AlertInput(
                decision.monitor, "", (), State.PENDING, known.alert.since, decision.reason, decision.detail
            )
            notifications = [
                (
                    replace(notification, context=replace(notification.context, is_shared=True)),
                    closing_fallback(known.alert, notification),
                )
                for notification in closing_notifications(known.alert, last, now)
            ]
        await self._write([NewDecision(decision, after, notifications)])

    def _shared_entry(self, name: str) -> MonitorEntry | None:
        entry = self._registry.entries.get(name)
        return entry if entry is not None and self._assignment.is_shared(entry.monitor) else None

    def _evaluate_after_s(self, are_all_notified: bool) -> float:  # noqa: FBT001
        if not are_all_notified:
            return EVALUATE_EVERY_S
        # Only an event, or a reminder, makes a notification due. An outage may cause thousands of alerts.
        return EVALUATE_REMINDERS_EVERY_S if self._alerts.settings.has_reminders else math.inf


def _renamed(decision: ClusterDecision, name: str) -> ClusterDecision:
    """Return the first decision under a new name, with the alert."""
    alert = Known.of(decision).alert
    record = None if alert is None else alert_record(replace(alert, monitor=name))
    return replace(decision, monitor=name, version=1, alert=record)


def _is_up(candidate: Candidate, entry: MonitorEntry) -> bool:
    """Return whether the decision of the votes is up, even if not all votes are."""
    settings = entry.monitor.settings
    states = [
        vote.state
        for vote in candidate.votes
        if not settings.locations or vote.location in settings.locations
    ]
    return decided_state(states, len(states), settings.quorum) is State.UP


def _excerpt(votes: Sequence[Vote], state: State) -> str:
    """Return the excerpt of a vote for the decided state; "" if there is none."""
    return next((vote.excerpt for vote in votes if vote.state is state and vote.excerpt), "")
