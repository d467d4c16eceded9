"""The read model: what the daemon knows, as plain values for JSON. Every page and command is made from it."""

import os
import resource
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from monitord import __version__
from monitord.clock import Clock
from monitord.dispatch import Dispatcher, LoopPulse, Watched
from monitord.model import Health, Result
from monitord.status.control import Control, ReloadOutcome

Json = dict[str, Any]

# From worst to best: the health of the whole is that of its worst monitor.
WORST_FIRST = (
    Health.DOWN,
    Health.UNREACHABLE,
    Health.UNKNOWN,
    Health.DEGRADED,
    Health.PENDING,
    Health.UP,
    Health.PAUSED,
)


class Snapshots:
    """Reads the dispatcher and the daemon; changes nothing."""

    def __init__(self, dispatcher: Dispatcher, pulse: LoopPulse, clock: Clock) -> None:
        self._dispatcher = dispatcher
        self._pulse = pulse
        self._clock = clock
        self._started_s = clock.monotonic_s()
        self._started_at = clock.now()

    def status(self, control: Control) -> Json:
        """`GET /status`."""
        counts = self._dispatcher.health_counts()
        worst = next((health for health in WORST_FIRST if counts[health]), Health.UP)
        return {
            "state": control.state,
            "health": worst.value,
            "version": __version__,
            "pid": os.getpid(),
            "started_at": text_of(self._started_at),
            "running_for_s": round(self._clock.monotonic_s() - self._started_s, 3),
            "monitors": {"total": counts.total(), **{health.value: counts[health] for health in Health}},
            "checks": self._checks(),
            "event_loop": {"stalls": self._pulse.stalls, "worst_lag_s": round(self._pulse.worst_lag_s, 3)},
            "memory_peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
            "reload": reload_of(control.last_reload),
        }

    def monitors(self) -> Json:
        """`GET /monitors`, worst first, then by name."""
        order = {health: place for place, health in enumerate(WORST_FIRST)}
        watched = sorted(self._dispatcher.watched.values(), key=lambda one: (order[one.stands], one.name))
        return {"monitors": [self._brief(one) for one in watched]}

    def monitor(self, name: str) -> Json:
        """`GET /monitors/{name}`. Raises KeyError for a name that is not configured."""
        watched = self._dispatcher.watched[name]
        settings = watched.monitor.settings
        return {
            **self._brief(watched),
            "check_every_s": settings.check_every_s,
            "timeout_s": settings.timeout_s,
            "fail_after": settings.policy.fail_after,
            "retry_every_s": settings.retry_every_s,
            "recover_after": settings.policy.recover_after,
            "degrade_after": settings.policy.degrade_after,
            "depends_on": list(settings.depends_on),
            "depends_on_any": list(settings.depends_on_any),
            "up_when": [str(condition) for condition in settings.up_when],
            "degraded_when": [str(condition) for condition in settings.degraded_when],
            "is_checking": watched.check is not None,
            "is_waiting_for_a_place": watched.is_waiting,
            "next_check_in_s": round(watched.due_at - self._clock.monotonic_s(), 3),
            "next_check_at": text_of(
                self._clock.now() + timedelta(seconds=watched.due_at - self._clock.monotonic_s())
            ),
            "skipped": watched.skipped,
        }

    def _checks(self) -> Json:
        dispatcher = self._dispatcher
        lateness = dispatcher.lateness
        return {
            "total": dispatcher.checks,
            "in_flight": dispatcher.in_flight,
            "waiting_for_a_place": dispatcher.waiting,
            "skipped": dispatcher.skipped,
            "abandoned": dispatcher.abandoned,
            "lateness_s": {
                "p50": lateness.quantile_s(0.5),
                "p99": lateness.quantile_s(0.99),
                "max": round(lateness.worst_s, 6),
            },
        }

    def _brief(self, watched: Watched) -> Json:
        state = watched.health
        return {
            "name": watched.name,
            "type": watched.monitor.type_name,
            "state": watched.stands.value,
            "since": text_of(watched.stands_since),
            "is_flapping": state.flapping.is_flapping,
            "maintenance": watched.window,
            "paused_by": None if watched.pause is None else watched.pause.by,
            "incident": None if watched.incident is None else watched.incident.id,
            "failures_in_a_row": state.streak_length if state.is_soft else 0,
            "tags": list(watched.monitor.settings.tags),
            "last": None if watched.last is None else result_of(watched.last),
        }


def result_of(result: Result) -> Json:
    """One judged observation."""
    observation = result.observation
    return {
        "verdict": result.verdict.value,
        "reason": observation.reason.value,
        "detail": observation.detail,
        "started_at": text_of(observation.started_at),
        "duration_s": round(observation.duration_s, 6),
        "address": observation.address,
        "conditions": list(result.conditions),
        "facts": _rounded(observation.facts),
        "excerpt": observation.excerpt,
    }


def reload_of(outcome: ReloadOutcome | None) -> Json:
    """How the last reload ended; before the first one, the configuration in force is that of the start."""
    if outcome is None:
        return {"ok": True, "at": None, "summary": None, "error": None}
    return {"ok": outcome.ok, "at": text_of(outcome.at), "summary": outcome.summary, "error": outcome.error}


def text_of(moment: datetime | None) -> str | None:
    """RFC 3339 in UTC with milliseconds."""
    if moment is None:
        return None
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _rounded(facts: Mapping[str, Any]) -> Json:
    return {name: round(fact, 6) if isinstance(fact, float) else fact for name, fact in facts.items()}
