"""The reasons for the state of a monitor, and the next step: the data, and the sentences of `explanation`.

Reads the dispatcher's own state only, so it is current.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from monitord.alerts import Alerts, Decision, DecisionKind
from monitord.clock import Clock
from monitord.dispatch import Dispatcher, MonitorEntry, Pipeline
from monitord.explanation import UtcTimes, sentences
from monitord.health import ParentState
from monitord.model import Json, State, Verdict, VerdictRule
from monitord.status.model.cluster import ClusterSource, is_at_this_location, no_cluster, votes_json, votes_of
from monitord.status.model.representations import context_of, result_of, text_of

_BAD = frozenset({State.DOWN, State.UNREACHABLE})

CAUSES = (
    "parents_down",
    "alternatives_down",
    "parents_recovered",
    "not_checked",
    "inconclusive",
    "parents_failing",
    "isolation_suspected",
    "unconfirmed",
    "no_conclusive_check",
    "paused",
)
"""Kinds of `cause`."""

DECISIONS = (*(kind.name.lower() for kind in DecisionKind), "unconfirmed", "no_alert")
"""Kinds of `decision`: the last two without an alert."""

PARENT_EFFECTS = {
    ParentState.AVAILABLE: "none",
    ParentState.FAILING: "not_confirmed",
    ParentState.DOWN: "unreachable",
}
"""What a parent in this state does to failures of a monitor."""


class Explanations:
    """Explains one monitor at a time."""

    def __init__(
        self,
        dispatcher: Dispatcher,
        pipeline: Pipeline,
        alerts: Alerts,
        clock: Clock,
        cluster: ClusterSource = no_cluster,
    ) -> None:
        self._dispatcher = dispatcher
        self._pipeline = pipeline
        self._alerts = alerts
        self._clock = clock
        self._cluster = cluster

    def explain(self, name: str) -> Json:
        """Return the explanation of a monitor as JSON. Raises KeyError for an unknown name."""
        entry = self._dispatcher.entries[name]
        now = self._clock.now()
        silence = self._pipeline.registry.silence_of(entry, now)
        maintenance, pause, incident = entry.state.maintenance, entry.state.pause, entry.state.incident
        decisions = self._alerts.decisions(name)
        votes = votes_of(self._cluster(), entry)
        fields: Json = {
            "name": name,
            "type": entry.monitor.type_name,
            "state": entry.state.effective.value,
            "since": text_of(entry.state.effective_since),
            "last_result": None if entry.state.last is None else result_of(entry.state.last),
            "decided_by": _decided_by(entry),
            "cause": None,
            **context_of(entry.monitor.settings.context),
            "source": entry.monitor.settings.source,
            "streak": _streak(entry),
            "flapping": {
                "is_flapping": entry.state.is_flapping,
                "change_percent": round(entry.state.health.flapping.value, 1),
            },
            "cluster": None if votes is None else votes_json(votes, entry.monitor.settings),
            "parents": self._parents(entry),
            "is_isolated": self._pipeline.isolation.is_isolated,
            "is_isolation_suspected": self._pipeline.isolation.is_suspected,
            "maintenance_window": None if maintenance is None else maintenance.name,
            "maintenance_until": None if maintenance is None else text_of(maintenance.until),
            "maintenance_comment": None if maintenance is None else maintenance.comment,
            "silence": None
            if silence is None
            else {
                "id": silence.id,
                "until": text_of(silence.until),
                "by": silence.by,
                "comment": silence.comment,
            },
            "pause": None
            if pause is None
            else {"by": pause.by, "at": text_of(pause.at), "comment": pause.comment},
            "incident": None
            if incident is None
            else {
                "id": incident.id,
                "opened_at": text_of(incident.opened_at),
                "reason": incident.reason.value,
                "detail": incident.detail,
                "acknowledged_by": incident.acknowledged_by,
                "acknowledged_at": text_of(incident.acknowledged_at),
                "comment": incident.comment,
            },
            "notifiers": self._notifiers(entry, decisions),
            "next": self._next(entry, now),
        }
        fields["cause"] = self._cause(entry, fields, now)
        return {**fields, "sentences": sentences(fields, UtcTimes())}

    def _parents(self, entry: MonitorEntry) -> list[Json]:
        settings = entry.monitor.settings
        registry = self._pipeline.registry
        return [
            {
                "name": name,
                "state": registry.entries[name].state.effective.value if name in registry.entries else None,
                "effect": PARENT_EFFECTS[registry.state_as_parent(name)],
                "is_alternative": name in settings.depends_on_any,
            }
            for name in (*settings.depends_on, *settings.depends_on_any)
        ]

    def _cause(self, entry: MonitorEntry, fields: Json, now: datetime) -> Json | None:
        """Return the explanation of a state that the verdicts do not explain; `kind` determines the other fields."""
        cluster = fields["cluster"]
        is_decided_by_votes = cluster is not None and not cluster["is_alone"]
        if is_decided_by_votes and entry.state.effective is not State.PAUSED:
            return None
        match entry.state.effective:
            case State.UNREACHABLE:
                return _cause_of_unreachable(entry, fields["parents"])
            case State.PENDING:
                return _cause_of_pending(entry, fields)
            case State.UNKNOWN:
                since = now - timedelta(seconds=self._clock.monotonic_s() - entry.state.conclusive_at_s)
                return _cause("no_conclusive_check", since=text_of(since))
            case State.PAUSED:
                return _cause("paused")
            case _:
                return None

    def _notifiers(self, entry: MonitorEntry, decisions: Mapping[str, Decision]) -> list[Json]:
        """The decision for each notifier, and its last notification about the current alert."""
        last = {
            delivery.notification.notifier: delivery
            for delivery in reversed(self._alerts.deliveries(entry.name))
        }
        notifiers: list[Json] = []
        for notifier, worker in self._alerts.workers.items():
            delivery = last.get(notifier)
            notifiers.append(
                {
                    "name": notifier,
                    "failing_since": text_of(worker.failing_since),
                    "error": worker.error,
                    "decision": _decision(entry, decisions.get(notifier)),
                    "last_notification": None
                    if delivery is None
                    else {
                        "title": delivery.notification.title,
                        "at": text_of(delivery.notification.at),
                        "status": delivery.status.value,
                        "delivered_by": delivery.delivered_by,
                        "response": delivery.response,
                    },
                }
            )
        return notifiers

    def _next(self, entry: MonitorEntry, now: datetime) -> Json:
        status = (
            "running"
            if entry.cycle.is_checking
            else "queued"
            if entry.cycle.is_queued
            else "paused"
            if entry.state.pause is not None
            else "scheduled"
            if entry.cycle.has_timer
            else "at_other_node"
            if is_at_this_location(self._cluster(), entry)
            else "at_other_locations"
        )
        if status != "scheduled":
            return {"status": status, "at": None, "in_s": None, "interval": None, "interval_s": None}
        in_s = max(0.0, entry.cycle.due_at_s - self._clock.monotonic_s())
        settings, is_retry = entry.monitor.settings, entry.state.is_retry_due
        return {
            "status": status,
            "at": text_of(now + timedelta(seconds=in_s)),
            "in_s": round(in_s, 3),
            "interval": "retry_every" if is_retry else "check_every",
            "interval_s": settings.retry_every_s if is_retry else settings.check_every_s,
        }


def _cause(kind: str, **data: object) -> Json:
    return {"kind": kind, **dict.fromkeys(("parents", "reason", "since", "failures", "fail_after")), **data}


def _cause_of_unreachable(entry: MonitorEntry, parents: Sequence[Json]) -> Json:
    down = [parent for parent in parents if _has_effect(parent, ParentState.DOWN)]
    needed = [parent["name"] for parent in down if not parent["is_alternative"]]
    alternatives = [parent for parent in parents if parent["is_alternative"]]
    if needed:
        return _cause("parents_down", parents=needed)
    if alternatives and all(parent in down for parent in alternatives):
        return _cause("alternatives_down", parents=[parent["name"] for parent in alternatives])
    return _cause("parents_recovered", fail_after=entry.monitor.settings.policy.fail_after)


def _cause_of_pending(entry: MonitorEntry, fields: Json) -> Json:
    last, fail_after = entry.state.last, entry.monitor.settings.policy.fail_after
    if last is None:
        return _cause("not_checked")
    if last.verdict is Verdict.INCONCLUSIVE:
        return _cause("inconclusive", reason=last.observation.reason.value)
    failures = entry.state.health.streak_length
    failing = [parent["name"] for parent in fields["parents"] if _has_effect(parent, ParentState.FAILING)]
    if failing and failures >= fail_after:
        return _cause("parents_failing", parents=failing)
    if failures >= fail_after or fields["is_isolation_suspected"]:
        return _cause("isolation_suspected")
    return _cause("unconfirmed", failures=failures, fail_after=fail_after)


def _has_effect(parent: Json, effect: ParentState) -> bool:
    return bool(parent["effect"] == PARENT_EFFECTS[effect])


def _decision(entry: MonitorEntry, decision: Decision | None) -> Json:
    """Return a decision as JSON. `decision` None: there is no alert."""
    if decision is None:
        is_unconfirmed = entry.state.effective is State.UP and entry.state.health.is_soft
        kind, no_data = (
            "unconfirmed" if is_unconfirmed else "no_alert",
            ("at", "after_s", "state", "suppression"),
        )
        return {"kind": kind, "is_notified": False, **dict.fromkeys(no_data)}
    suppression = decision.suppression
    return {
        "kind": decision.kind.name.lower(),
        "is_notified": decision.is_notified,
        "at": text_of(decision.at),
        "after_s": decision.after_s or None,
        "state": None if decision.state is None else decision.state.value,
        "suppression": None
        if suppression is None
        else {
            "reason": suppression.reason.name.lower(),
            "maintenance_window": suppression.window or None,
            "by": suppression.by or None,
            "until": text_of(suppression.until),
        },
    }


def _decided_by(entry: MonitorEntry) -> Json | None:
    """Return the rule that decided the last verdict. `conditions`: the deciding conditions, each with its value."""
    last = entry.state.last
    if last is None:
        return None
    detail = last.observation.reason.meaning.replace("`", "")
    match last.decided_by:
        case VerdictRule.CONDITIONS:
            outcome = "degraded" if last.verdict is Verdict.WARN else "not met"
            detail = f"{outcome}: {', '.join(last.deciding_conditions)}"
        case VerdictRule.INVERT if last.verdict is Verdict.FAIL:
            detail = "passed, but is expected to fail (invert)"
        case VerdictRule.TYPE:
            detail = (
                f"the default condition of type {entry.monitor.type_name} is not met; up_when replaces it"
            )
    return {
        "kind": last.decided_by.value,
        "conditions": list(last.deciding_conditions),
        "detail": detail,
    }


def _streak(entry: MonitorEntry) -> Json | None:
    """The current streak, the number of verdicts that changes the state, and that state."""
    health, policy = entry.state.health, entry.monitor.settings.policy
    if health.streak is None:
        return None
    now = health.state
    if health.streak is Verdict.FAIL:
        needed, leads_to = policy.fail_after, State.DOWN
    elif health.streak is Verdict.WARN:
        needed, leads_to = (policy.recover_after if now in _BAD else policy.degrade_after), State.DEGRADED
    else:
        needed, leads_to = policy.recover_after, State.UP
    return {
        "verdict": health.streak.value,
        "length": health.streak_length,
        "since": text_of(health.streak_since),
        "needed": None if now is leads_to else needed,
        "leads_to": None if now is leads_to else leads_to.value,
    }
