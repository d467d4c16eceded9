"""The values of the program as JSON objects. API, events and commands share these forms."""

import math
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

from monitord.alerts import Alerts
from monitord.clock import Clock
from monitord.conditions import FieldType, Vocabulary
from monitord.dispatch import MonitorEntry, MonitorState, Silence
from monitord.model import Incident, Json, MonitorContext, Result, Transition
from monitord.monitors import Monitor
from monitord.sources import SourceStatus
from monitord.status.access.operations import ReloadOutcome
from monitord.text import printable, shortened

MAX_SHOWN_TARGETS = 20
"""Rejected targets of a source; the number of all of them is shown as well."""

MAX_TARGET_CHARACTERS = 200

SECONDS, BYTES = "seconds", "bytes"
_UNITS: dict[object, str] = {FieldType.DURATION: SECONDS, FieldType.SIZE: BYTES}


def brief_of(
    monitor: Monitor[Any], state: MonitorState, silence: Silence | None, cluster: Json | None
) -> Json:
    """A monitor in a list. `cluster`: the votes about it; None if only this host checks it."""
    settings, health, window, incident = monitor.settings, state.health, state.maintenance, state.incident
    return {
        "name": settings.name,
        "title": settings.context.title,
        "type": settings.type_name,
        "source": settings.source,
        "state": state.effective.value,
        "since": text_of(state.effective_since),
        "is_flapping": state.is_flapping,
        "maintenance_window": None if window is None else window.name,
        "maintenance_until": None if window is None else text_of(window.until),
        "silenced_until": None if silence is None else text_of(silence.until),
        "paused_by": None if state.pause is None else state.pause.by,
        "incident_id": None if incident is None else incident.id,
        "acknowledged_by": None if incident is None else incident.acknowledged_by,
        "soft_failures": health.streak_length if health.is_soft else 0,
        "tags": list(settings.tags),
        "cluster": cluster,
        "last_result": None if state.last is None else result_of(state.last),
    }


def detail_of(entry: MonitorEntry, silence: Silence | None, cluster: Json | None, clock: Clock) -> Json:
    """A single monitor: the brief form, its settings and its schedule."""
    settings, mask = entry.monitor.settings, entry.monitor.masking.mask
    due_in_s = entry.cycle.due_at_s - clock.monotonic_s()
    # Neither while it is paused nor while another node of a cluster checks it.
    is_scheduled = entry.cycle.has_timer or entry.cycle.is_checking or entry.cycle.is_queued
    return {
        **brief_of(entry.monitor, entry.state, silence, cluster),
        **context_of(settings.context),
        "passed_at": text_of(entry.state.passed_at),
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
        "is_checking": entry.cycle.is_checking,
        "is_queued_for_slot": entry.cycle.is_queued,
        "next_check_in_s": round(due_in_s, 3) if is_scheduled else None,
        "next_check_at": text_of(clock.now() + timedelta(seconds=due_in_s)) if is_scheduled else None,
        "skipped_checks": entry.cycle.skipped,
        "units": units_of(entry.monitor.vocabulary_of(entry.monitor.options)),
    }


def context_of(context: MonitorContext) -> Json:
    """Represent the context of a monitor. Texts that are not set are empty."""
    return {
        "title": context.title,
        "description": context.description,
        "runbook": context.runbook,
        "contact": context.contact,
        "severity": context.severity.value,
    }


def result_of(result: Result) -> Json:
    """Return the JSON of one judged observation."""
    observation = result.observation
    return {
        "verdict": result.verdict.value,
        "reason": observation.reason.value,
        "detail": observation.detail,
        "subject": observation.subject,
        "outcome": observation.outcome or observation.detail,
        "note": observation.note,
        "started_at": text_of(observation.started_at),
        "duration_s": round(observation.duration_s, 6),
        "address": observation.address,
        "conditions": list(result.conditions),
        "holds": list(result.holds),
        "expected": list(result.expected),
        # JSON has no NaN and no infinity: such a field is null.
        "fields": {
            name: (round(field, 6) if math.isfinite(field) else None) if isinstance(field, float) else field
            for name, field in observation.fields.items()
        },
        "excerpt": observation.excerpt,
    }


def units_of(vocabulary: Vocabulary) -> dict[str, str]:
    """The units of the durations and sizes among the fields of a monitor, by the name of the field."""
    return {name: _UNITS[field] for name, field in vocabulary.fields.items() if field in _UNITS}


def transition_of(transition: Transition) -> Json:
    return {
        "monitor": transition.monitor,
        "previous_state": transition.before.value,
        "state": transition.after.value,
        "at": text_of(transition.at),
        "since": text_of(transition.since),
        "reason": transition.reason.value,
        "detail": transition.detail,
    }


def incident_of(incident: Incident) -> Json:
    """Return an incident as JSON. `closed_at` is null while it is open."""
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
    """The notifiers, and whether they can deliver."""
    return [
        {
            "name": name,
            "type": worker.notifier.settings.type_name,
            "queued": alerts.queue_length(name),
            "sent": worker.sent,
            "failed_attempts": worker.failed_attempts,
            "expired": worker.expired,
            "last_sent_at": text_of(worker.last_sent_at),
            "error": worker.error,
            "failing_since": text_of(worker.failing_since),
            "warning": worker.warning,
            "fallback": worker.notifier.settings.fallback,
        }
        for name, worker in alerts.workers.items()
    ]


def sources_of(statuses: Iterable[SourceStatus]) -> list[Json]:
    """The sources of automatic monitors, and whether they can find their targets."""
    return [
        {
            "name": status.name,
            "type": status.type_name,
            "targets": status.targets,
            "monitors": status.monitors,
            "targets_ignored": status.ignored,
            "targets_over_limit": status.over_limit,
            "targets_rejected": len(status.rejected),
            "rejections": [
                {"target": shortened(printable(target), MAX_TARGET_CHARACTERS), "problem": problem}
                for target, problem in islice(status.rejected.items(), MAX_SHOWN_TARGETS)
            ],
            "error": status.problem,
            "failing_since": text_of(status.failing_since),
            "updated_at": text_of(status.updated_at),
        }
        for status in statuses
    ]


def reload_of(outcome: ReloadOutcome | None) -> Json:
    """The outcome of the last reload; before the first reload, the configuration of the start is active."""
    if outcome is None:
        return {"status": None, "at": None, "summary": None, "error": None, "warnings": []}
    return {
        "status": "applied" if outcome.ok else "rejected",
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
