"""The read model: what the daemon knows, as plain values for JSON. Every page and command is made from it."""

import math
import os
import resource
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from monitord import __version__
from monitord.alerts import Alerts, DeliveryWorker
from monitord.clock import Clock
from monitord.conditions import FieldType
from monitord.dispatch import Dispatcher, LoopPulse, OpenWindow, Pause, Silence, Watched
from monitord.health import HealthState
from monitord.history import History, HistoryStats
from monitord.model import WORST_FIRST, Incident, Json, Result, State, Transition
from monitord.monitors import Monitor
from monitord.status.access.control import Control, ReloadOutcome

_UNITS: dict[object, str] = {FieldType.DURATION: "seconds", FieldType.SIZE: "bytes"}


class Snapshots:
    """Reads the dispatcher and the daemon; changes nothing."""

    def __init__(
        self, dispatcher: Dispatcher, pulse: LoopPulse, history: History, alerts: Alerts, clock: Clock
    ) -> None:
        self._dispatcher = dispatcher
        self._alerts = alerts
        self._history = history
        self._pulse = pulse
        self._clock = clock
        self._started_s = clock.monotonic_s()
        self.started_at = clock.now()

    def status(self, control: Control) -> Json:
        """`GET /status`."""
        counts = self._dispatcher.health_counts()
        worst = next((health for health in WORST_FIRST if counts[health]), State.UP)
        return {
            "state": control.state,
            "worst_state": worst.value,
            "version": __version__,
            "pid": os.getpid(),
            "started_at": text_of(self.started_at),
            "uptime_s": round(self._clock.monotonic_s() - self._started_s, 3),
            "monitors": {"total": counts.total(), **{health.value: counts[health] for health in State}},
            "checks": self._checks(),
            "event_loop": {"stalls": self._pulse.stalls, "max_lag_s": round(self._pulse.max_lag_s, 3)},
            "history": history_of(self._history.stats()),
            "notifiers": notifiers_of(self._alerts),
            "memory_peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
            "reload": reload_of(control.last_reload),
        }

    def failing_notifiers(self) -> tuple[str, ...]:
        """The names of those that cannot deliver."""
        return tuple(worker.name for worker in self._alerts.failing())

    def monitor(self, name: str) -> Json:
        """`GET /monitors/{name}`. Raises KeyError for a name that is not configured."""
        watched = self._dispatcher.watched[name]
        settings, mask = watched.monitor.settings, watched.monitor.masking.mask
        return {
            **brief_of(shown_of(watched, self._dispatcher.registry.silence_of(watched, self._clock.now()))),
            "check_every_s": settings.check_every_s,
            "timeout_s": settings.timeout_s,
            "fail_after": settings.policy.fail_after,
            "retry_every_s": settings.retry_every_s,
            "recover_after": settings.policy.recover_after,
            "degrade_after": settings.policy.degrade_after,
            "depends_on": list(settings.depends_on),
            "depends_on_any": list(settings.depends_on_any),
            "up_when": [mask(str(condition)) for condition in settings.up_when],
            "degraded_when": [mask(str(condition)) for condition in settings.degraded_when],
            "is_checking": watched.cycle.is_checking,
            "is_queued_for_slot": watched.cycle.is_queued,
            "next_check_in_s": round(watched.cycle.due_at - self._clock.monotonic_s(), 3),
            "next_check_at": text_of(
                self._clock.now() + timedelta(seconds=watched.cycle.due_at - self._clock.monotonic_s())
            ),
            "skipped": watched.cycle.skipped,
            "units": units_of(type(watched.monitor)),
        }

    def _checks(self) -> Json:
        dispatcher = self._dispatcher
        lateness = dispatcher.lateness
        return {
            "total": dispatcher.checks,
            "in_flight": dispatcher.in_flight,
            "queued_for_slot": dispatcher.waiting,
            "skipped": dispatcher.skipped,
            "abandoned": dispatcher.abandoned,
            "lateness_s": {
                "p50": round(lateness.quantile_s(0.5), 6),
                "p99": round(lateness.quantile_s(0.99), 6),
                "max": round(lateness.worst_s, 6),
            },
        }


class Shown(NamedTuple):
    """All that the brief form of a monitor is made of: values that are replaced and never edited."""

    monitor: Monitor[Any]
    health: HealthState
    stands: State
    stands_since: datetime | None
    window: OpenWindow | None
    pause: Pause | None
    incident: Incident | None
    last: Result | None
    silence: Silence | None


def shown_of(watched: Watched, silence: Silence | None = None) -> Shown:
    """`silence`: the one in force for it, as the registry has it."""
    return Shown(
        watched.monitor,
        watched.state.health,
        watched.state.stands,
        watched.state.stands_since,
        watched.state.window,
        watched.state.pause,
        watched.state.incident,
        watched.state.last,
        silence,
    )


def brief_of(shown: Shown) -> Json:
    """A monitor in a list of them."""
    settings, health = shown.monitor.settings, shown.health
    window, incident, silence = shown.window, shown.incident, shown.silence
    return {
        "name": settings.name,
        "type": settings.type_name,
        "state": shown.stands.value,
        "since": text_of(shown.stands_since),
        "is_flapping": health.flapping.is_flapping,
        "maintenance": None if window is None else window.name,
        "maintenance_until": None if window is None else text_of(window.until),
        "silenced_until": None if silence is None else text_of(silence.until),
        "paused_by": None if shown.pause is None else shown.pause.by,
        "incident": None if incident is None else incident.id,
        "acknowledged_by": None if incident is None else incident.acknowledged_by,
        "consecutive_failures": health.streak_length if health.is_soft else 0,
        "tags": list(settings.tags),
        "last": None if shown.last is None else result_of(shown.last),
    }


def result_of(result: Result) -> Json:
    """One judged observation."""
    observation = result.observation
    return {
        "verdict": result.verdict.value,
        "reason": observation.reason.value,
        "detail": observation.detail,
        "subject": observation.subject,
        "outcome": observation.outcome or observation.detail,
        "started_at": text_of(observation.started_at),
        "duration_s": round(observation.duration_s, 6),
        "address": observation.address,
        "conditions": list(result.conditions),
        "holds": list(result.holds),
        "expected": list(result.expected),
        "fields": _rounded(observation.fields),
        "excerpt": observation.excerpt,
    }


def units_of(kind: type[Monitor[Any]]) -> dict[str, str]:
    """What the numbers of a type's fields count, where that is not plain: by the field's name."""
    return {name: _UNITS[field] for name, field in kind.vocabulary.fields.items() if field in _UNITS}


def transition_of(transition: Transition) -> Json:
    return {
        "monitor": transition.monitor,
        "before": transition.before.value,
        "after": transition.after.value,
        "at": text_of(transition.at),
        "since": text_of(transition.since),
        "reason": transition.reason.value,
        "detail": transition.detail,
    }


def incident_of(incident: Incident) -> Json:
    """`closed_at` null: it goes on."""
    return {
        "id": incident.id,
        "monitor": incident.monitor,
        "opened_at": text_of(incident.opened_at),
        "closed_at": text_of(incident.closed_at),
        "reason": incident.reason.value,
        "detail": incident.detail,
        "acknowledged_by": incident.acknowledged_by,
        "acknowledged_at": text_of(incident.acknowledged_at),
        "comment": incident.comment,
    }


def notifiers_of(alerts: Alerts) -> list[Json]:
    """Who is told, and whether that works."""
    return [_notifier_of(worker, alerts.waiting_for(name)) for name, worker in alerts.workers.items()]


def _notifier_of(worker: DeliveryWorker, waiting: int) -> Json:
    settings = worker.notifier.settings
    return {
        "name": settings.name,
        "type": settings.type_name,
        "queued": waiting,
        "sent": worker.sent,
        "failed_attempts": worker.failed,
        "expired": worker.expired,
        "last_sent_at": text_of(worker.last_sent_at),
        "error": worker.failing,
        "failing_since": text_of(worker.failing_since),
        "warning": worker.warning,
        "fallback": settings.fallback,
    }


def history_of(stats: HistoryStats) -> Json:
    """How the writing stands; `failing` says why nothing can be written."""
    return {
        "queued": stats.queued,
        "written": stats.written,
        "dropped": stats.dropped,
        "error": stats.failing,
        "failing_since": text_of(stats.since),
        "last_commit_at": text_of(stats.last_commit_at),
        "max_commit_s": round(stats.max_commit_s, 6),
        "size_bytes": stats.size_bytes,
        "resets": stats.resets,
        "reset_at": text_of(stats.reset_at),
        "reset_reason": stats.reset_reason,
    }


def reload_of(outcome: ReloadOutcome | None) -> Json:
    """How the last reload ended; before the first one, the configuration in force is that of the start."""
    if outcome is None:
        return {"ok": True, "at": None, "summary": None, "error": None, "warnings": []}
    return {
        "ok": outcome.ok,
        "at": text_of(outcome.at),
        "summary": outcome.summary,
        "error": outcome.error,
        "warnings": list(outcome.warnings),
    }


def text_of(moment: datetime | None) -> str | None:
    """RFC 3339 in UTC with milliseconds."""
    if moment is None:
        return None
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _rounded(fields: Mapping[str, Any]) -> Json:
    """JSON knows no number that is none: such a field is null."""
    return {
        name: (round(field, 6) if math.isfinite(field) else None) if isinstance(field, float) else field
        for name, field in fields.items()
    }
