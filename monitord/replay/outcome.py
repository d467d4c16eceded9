"""The outcome of a replay (alerts, incidents and notifications), and the parts that record it."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, ClassVar

from monitord.alerts import Alerts
from monitord.clock import Clock
from monitord.config import Table
from monitord.dispatch import MonitorEntry, Sink
from monitord.health.incidents import stable_id
from monitord.model import WORST_FIRST, Incident, Reason, Result, State, Transition
from monitord.notifiers import Message, NotificationKind, Notifier, NotifierSettings, NotifierTools


@dataclass(frozen=True, slots=True)
class RecordedAlert:
    """An alert. `monitor` is "" for the isolation of this host. `until` None: it is open at the end of the period.

    `state`: the worst state during the alert. `reason` and `detail`: those of the check that led to that state.
    """

    id: str
    monitor: str
    since: datetime
    state: State
    reason: Reason
    detail: str
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class RecordedNotification:
    """A notification that a notifier would have delivered. `at`: when it was created, before `group_wait`."""

    at: datetime
    notifier: str
    kind: NotificationKind
    alert: str
    monitor: str
    state: State


@dataclass(slots=True)
class Outcome:
    """The alerts, incidents and notifications of a replay. `results`: the number of results that were used."""

    alerts: list[RecordedAlert] = field(default_factory=list)
    incidents: dict[str, Incident] = field(default_factory=dict)
    notifications: list[RecordedNotification] = field(default_factory=list)
    results: int = 0

    def notifications_to(self, notifier: str) -> int:
        return sum(notification.notifier == notifier for notification in self.notifications)


class OutcomeSink(Sink):
    """Records alerts and incidents. To be called after the sink that evaluates alerts."""

    def __init__(self, outcome: Outcome, alerts: Alerts, clock: Clock) -> None:
        self._outcome = outcome
        self._alerts = alerts
        self._clock = clock
        self._open: dict[str, RecordedAlert] = {}

    def on_result(self, entry: MonitorEntry, result: Result) -> None:
        del result
        self.on_update(entry)

    def on_transition(self, entry: MonitorEntry, transition: Transition) -> None:
        self._follow(entry, transition)

    def on_update(self, entry: MonitorEntry) -> None:
        # An alert about flapping begins and ends without a transition.
        if (self._alerts.alert_of(entry.name) is None) is (entry.name in self._open):
            self._follow(entry)

    def on_incident(self, entry: MonitorEntry, incident: Incident) -> None:
        del entry
        self._outcome.incidents[incident.id] = incident

    def on_isolation_change(self, *, is_isolated: bool) -> None:
        now = self._clock.now()
        if is_isolated:
            alert_id = stable_id("", now)
            self._open[""] = RecordedAlert(alert_id, "", now, State.UNKNOWN, Reason.PROBER_ISOLATED, "")
        else:
            self._close("", now)

    def close(self) -> None:
        """Record the alerts that are still open."""
        self._outcome.alerts.extend(self._open.values())
        self._open.clear()
        self._outcome.alerts.sort(key=lambda alert: (alert.since, alert.monitor))

    def _follow(self, entry: MonitorEntry, transition: Transition | None = None) -> None:
        name, alert = entry.name, self._alerts.alert_of(entry.name)
        known = self._open.get(name)
        if known is not None and (alert is None or alert.id != known.id):
            self._close(name, self._clock.now() if transition is None else transition.since)
            known = None
        if alert is None:
            return
        last = None if entry.state.last is None else entry.state.last.observation
        reason, detail = (Reason.OK, "") if last is None else (last.reason, last.detail)
        state = entry.state.effective
        if known is None:
            self._open[name] = RecordedAlert(alert.id, name, alert.since, state, reason, detail)
        elif WORST_FIRST.index(state) < WORST_FIRST.index(known.state):
            self._open[name] = replace(known, state=state, reason=reason, detail=detail)

    def _close(self, name: str, until: datetime) -> None:
        alert = self._open.pop(name, None)
        if alert is not None:
            self._outcome.alerts.append(replace(alert, until=max(until, alert.since)))


class RecordingNotifier(Notifier[Any]):
    """Records the notifications of any notifier instead of delivering them."""

    type_name: ClassVar[str] = ""

    def __init__(self, settings: NotifierSettings, tools: NotifierTools, outcome: Outcome) -> None:
        super().__init__(settings, tools)
        self._outcome = outcome

    @classmethod
    def read_options(cls, table: Table) -> Any:
        raise NotImplementedError

    async def deliver(self, message: Message, *, deadline: float) -> str:
        del deadline
        self._outcome.notifications += [
            RecordedNotification(
                notification.at,
                self.name,
                notification.kind,
                notification.alert,
                notification.monitor,
                notification.state,
            )
            for notification in message.notifications
        ]
        return "recorded"


def recorder_of(outcome: Outcome) -> Callable[[NotifierSettings, NotifierTools], Notifier[Any]]:
    """Return a function that builds a recorder in place of each notifier."""
    return lambda settings, tools: RecordingNotifier(settings, tools, outcome)
