"""The monitors of this host in the database: the sink that collects the changes for the next heartbeat.

The cluster does not decide their states: the other nodes only show them.
"""

from monitord.cluster.assignment import Assignment
from monitord.cluster.model import HostMonitor, HostReport
from monitord.cluster.votes import MAX_DETAIL_CHARACTERS
from monitord.dispatch.entry import MonitorEntry
from monitord.dispatch.registry import Registry
from monitord.dispatch.sink import Sink
from monitord.model import Incident, Reason, Result, Transition


class HostMonitorSink(Sink):
    """Collects the names of monitors whose state has changed, and composes the report when it is sent.

    Nothing is reported before the first `repeat`: after a start, the states of the previous run remain until then.
    """

    def __init__(self, assignment: Assignment, registry: Registry) -> None:
        self._assignment = assignment
        self._registry = registry
        self._reported: dict[str, HostMonitor] = {}
        self._changed: set[str] = set()
        self._is_due = self._is_repeated = False

    def on_result(self, entry: MonitorEntry, result: Result) -> None:
        del result
        known = self._reported.get(entry.name)
        if known is None and self._assignment.is_shared(entry.monitor):
            return
        if known is None or (known.state, known.reason) != (entry.state.effective, _reason_of(entry)):
            self._changed.add(entry.name)

    def on_transition(self, entry: MonitorEntry, transition: Transition) -> None:
        del transition
        self._changed.add(entry.name)

    def on_update(self, entry: MonitorEntry) -> None:
        self._changed.add(entry.name)

    def on_incident(self, entry: MonitorEntry, incident: Incident) -> None:
        del incident
        self._changed.add(entry.name)

    def on_renamed(self, old: str, entry: MonitorEntry) -> None:
        self._changed.update((old, entry.name))

    def on_removed(self, entry: MonitorEntry) -> None:
        self._changed.add(entry.name)

    def repeat(self) -> None:
        """Report all monitors of this host next time, so that others of this host are removed from the database."""
        self._is_due = self._is_repeated = True

    def take(self) -> HostReport | None:
        """Return what has changed since the last report; None: nothing."""
        if not self._is_due:
            return None
        is_complete, self._is_repeated = self._is_repeated, False
        names = self._registry.entries.keys() if is_complete else self._changed
        if is_complete:
            self._reported.clear()
        self._changed = set()
        monitors: list[HostMonitor] = []
        for name in names:
            entry, known = self._registry.entries.get(name), self._reported.pop(name, None)
            if entry is not None and not self._assignment.is_shared(entry.monitor):
                self._reported[name] = current = self._monitor(entry)
                if current != known:
                    monitors.append(current)
            elif known is not None:
                monitors.append(_removed(known))
        return HostReport(tuple(monitors), is_complete) if monitors or is_complete else None

    def put_back(self, report: HostReport | None) -> None:
        """Report these monitors again that could not be reported."""
        if report is not None:
            for each in report.monitors:
                self._changed.add(each.monitor)
                # Of a removed monitor, it is what is known in the database.
                self._reported[each.monitor] = _removed(each)
            self._is_repeated = self._is_repeated or report.is_complete

    def _monitor(self, entry: MonitorEntry) -> HostMonitor:
        state = entry.state
        detail = "" if state.last is None else state.last.observation.detail
        if state.pause is not None:
            detail = f"paused by {state.pause.by}" + (
                f": {state.pause.comment}" if state.pause.comment else ""
            )
        return HostMonitor(
            self._assignment.node,
            entry.name,
            entry.monitor.type_name,
            entry.monitor.settings.tags,
            state.effective,
            state.effective_since,
            _reason_of(entry),
            detail[:MAX_DETAIL_CHARACTERS],
            None if state.incident is None else state.incident.acknowledged_by,
            None if state.maintenance is None else state.maintenance.name,
        )


def _reason_of(entry: MonitorEntry) -> Reason:
    state = entry.state
    return Reason.OK if state.last is None or state.pause is not None else state.last.observation.reason


def _removed(monitor: HostMonitor) -> HostMonitor:
    return HostMonitor(monitor.node, monitor.monitor, monitor.type_name, (), None, None, Reason.OK, "")
