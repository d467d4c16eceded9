"""Alone mode: the database has been unavailable for `alone_after`, so this node decides and notifies alone.

The monitors that it checks have the state that follows from its own checks, and their alerts continue from those of the
cluster, so that ids and numbers of notifications continue. Every alert that changes in the meantime is stored. When the
database responds again, these alerts are merged into it before new decisions are made.

If two nodes that were alone have opened different alerts about a monitor, one of them continues in the database. The
other is *left*: its notifiers have an open problem with its id, so this node closes it when the alert of the cluster
ends.
"""

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from monitord.alerts import Alerts, AlertScope, Delivery
from monitord.alerts.lifecycle import Alert, AlertInput, alert_from_record, alert_record
from monitord.alerts.outbox import SaveRecord
from monitord.clock import Clock
from monitord.cluster.assignment import Assignment
from monitord.cluster.delivering import Claims
from monitord.cluster.model import ClusterDecision
from monitord.cluster.store import ClusterStore
from monitord.cluster.turns import in_turns
from monitord.dispatch.pipeline import Pipeline
from monitord.dispatch.registry import Registry
from monitord.model import State

log = logging.getLogger(__name__)

CHANGED_PREFIX = "alone-alert:"
LEFT_PREFIX = "left-alert:"


class AloneMode:
    """Whether this node is alone, and which alerts have changed while it was. `records`: of an earlier run."""

    def __init__(
        self, assignment: Assignment, save: SaveRecord, records: Mapping[str, Mapping[str, Any]]
    ) -> None:
        self._assignment = assignment
        self._save = save
        self.since: datetime | None = None
        self._changed: dict[str, Mapping[str, Any] | None] = {}
        self._left: dict[str, Alert] = {}
        for key, record in records.items():
            if key.startswith((CHANGED_PREFIX, LEFT_PREFIX)):
                self._restore(key, record.get("alert"))

    def _restore(self, key: str, record: Mapping[str, Any] | None) -> None:
        try:
            alert = None if record is None else alert_from_record(record)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            log.warning("discarded the stored alert %s, which cannot be read: %r", key, error)
            self._save(key, None)
            return
        if key.startswith(CHANGED_PREFIX):
            self._changed[key.removeprefix(CHANGED_PREFIX)] = record
        elif alert is not None:
            self._left[key.removeprefix(LEFT_PREFIX)] = alert

    @property
    def is_active(self) -> bool:
        return self.since is not None

    @property
    def changed(self) -> Mapping[str, Mapping[str, Any] | None]:
        """The alerts that have changed, by monitor; None: ended."""
        return self._changed

    def is_alerted_here(self, monitor: str) -> bool:
        """Whether this node evaluates the alert of a shared monitor."""
        return self.is_active and self._assignment.is_checked_here(monitor)

    def record(self, monitor: str, alert: Alert | None) -> None:
        """Store the alert of a shared monitor after a change."""
        record = None if alert is None else alert_record(alert)
        self._changed[monitor] = record
        self._save(CHANGED_PREFIX + monitor, {"alert": record})

    def mark_merged(
        self,
        records: Mapping[str, Mapping[str, Any] | None],
        results: Mapping[str, Mapping[str, Any] | None],
        tracks_problems: Callable[[str], bool],
    ) -> None:
        """Drop records that were merged, unless they have changed since.

        An alert is left for the notifiers for which the result does not close it: notifiers of this host only, and, if
        the result has another id, notifiers with `tracks_problems`.
        """
        for monitor, record in records.items():
            if self._changed.get(monitor) is not record:
                continue
            if record is not None:
                self._leave(monitor, alert_from_record(record), results.get(monitor), tracks_problems)
            del self._changed[monitor]
            self._save(CHANGED_PREFIX + monitor, None)

    def _leave(
        self,
        monitor: str,
        alert: Alert,
        result: Mapping[str, Any] | None,
        tracks_problems: Callable[[str], bool],
    ) -> None:
        known: Mapping[str, Any] = {} if result is None else result["notifiers"]
        is_continued = result is not None and result["id"] == alert.id
        left = {
            name: progress
            for name, progress in alert.notifiers.items()
            if progress.is_open and (name not in known or (tracks_problems(name) and not is_continued))
        }
        if left:
            self._left[monitor] = replace(alert, notifiers=left)
            self._save(LEFT_PREFIX + monitor, {"alert": alert_record(self._left[monitor])})

    def take_left(self, monitor: str, alert_id: str | None = None) -> Alert | None:
        """Return the alert of this monitor that is left, once. `alert_id`: only if it has this id."""
        alert = self._left.get(monitor)
        if alert is None or (alert_id is not None and alert.id != alert_id):
            return None
        del self._left[monitor]
        self._save(LEFT_PREFIX + monitor, None)
        return alert


class NodeAlertScope(AlertScope):
    """The scope of a node: the alerts of its host, and in alone mode those of the shared monitors that it checks."""

    holds_claimed = True

    def __init__(self, assignment: Assignment, alone: AloneMode, claims: Claims) -> None:
        self.location = assignment.location
        self._assignment = assignment
        self._alone = alone
        self._claims = claims
        self.on_change: Callable[[str, Callable[[Alert], Alert]], None] = lambda _, __: None
        """Changes an alert in the database: `Decisions.change_alert`."""

    def is_shared(self, monitor: str) -> bool:
        return self._assignment.is_shared_name(monitor)

    def is_evaluated_here(self, monitor: str) -> bool:
        return not self._assignment.is_shared_name(monitor) or self._alone.is_alerted_here(monitor)

    def is_delivered_here(self, notifier: str) -> bool:
        return self._assignment.is_delivered_here(notifier)

    def on_alert(self, monitor: str, alert: Alert | None) -> None:
        if self._alone.is_active and self._assignment.is_shared_name(monitor):
            self._alone.record(monitor, alert)

    def on_finished(self, delivery: Delivery) -> None:
        self._claims.record(delivery)

    def change_alert(self, monitor: str, change: Callable[[Alert], Alert]) -> None:
        self.on_change(monitor, change)

    async def certain_claims(self, deliveries: Sequence[Delivery]) -> Collection[Delivery]:
        return await self._claims.certain(deliveries)


class Alone:
    """Begins and ends alone mode."""

    def __init__(
        self,
        mode: AloneMode,
        assignment: Assignment,
        database: ClusterStore,
        registry: Registry,
        pipeline: Pipeline,
        alerts: Alerts,
        input_of: Callable[[str], AlertInput | None],
        clock: Clock,
    ) -> None:
        self.mode = mode
        self._input_of = input_of
        self._assignment = assignment
        self._database = database
        self._registry = registry
        self._pipeline = pipeline
        self._alerts = alerts
        self._clock = clock

    async def begin(self) -> None:
        """Decide the monitors that are checked here by the checks of this node, and evaluate their alerts."""
        self.mode.since = self._clock.now()
        await self.include_added()

    async def include_added(self) -> None:
        """Do the same for monitors that were added in alone mode, by a reload or a source."""
        async for name in in_turns(self._assignment.checked_here()):
            entry = self._registry.entries.get(name)
            if entry is not None and entry.state.cluster is not None:
                # The alert first: a transition that is published next evaluates it.
                self._alerts.adopt(name, self.mode.take_left)
                self._pipeline.set_cluster_state(entry, None)
                # Not with the state of the cluster, which may be older than the alert.
                self._alerts.evaluate(name)

    async def end(self) -> None:
        """Merge the alerts that have changed into the database, and leave them to it again. Raises ClusterError."""
        while changed := dict(self.mode.changed):
            # Others may change in the meantime.
            results = await self._database.merge(self._assignment.node, changed)
            self.mode.mark_merged(changed, results, self._alerts.tracks_problems)
        self.mode.since = None
        async for name, entry in in_turns(list(self._registry.entries.items())):
            if self._assignment.is_shared(entry.monitor):
                self._alerts.release(name)

    def close_left(self, decision: ClusterDecision) -> None:
        """Close the alert that is left of this monitor, as the alert of the cluster has ended."""
        alert = self.mode.take_left(decision.monitor)
        current = self._input_of(decision.monitor)
        if alert is None or current is None:
            return
        self._alerts.close_other(
            alert,
            replace(
                current,
                state=State.UP,
                since=decision.since,
                reason=decision.reason,
                detail=decision.detail,
                is_flapping=False,
            ),
        )
