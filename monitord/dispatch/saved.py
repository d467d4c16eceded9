"""How a monitor stands, as JSON and back: what survives a stop, a crash, a reboot and an upgrade.

Written after each check, read once at start. What another release wrote and this one does not understand is left
out, and the monitor begins anew as far as that goes: a state that cannot be read is no reason not to start.
"""

import logging
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any

from monitord.dispatch.watched import Pause, Watched
from monitord.health import Flapping, HealthState, without_streak
from monitord.model import Decider, Health, Incident, Observation, Reason, Result, Verdict

log = logging.getLogger(__name__)


STALE_INTERVALS = 3
"""Verdicts in a row are no row any more when so many times `check_every` lie between them and a restart."""


def result_record(result: Result) -> dict[str, Any]:
    """A result with all its facts."""
    observation = result.observation
    record = {
        "started_at": observation.started_at.timestamp(),
        "duration_s": observation.duration_s,
        "verdict": result.verdict.value,
        "reason": observation.reason.value,
        "detail": observation.detail,
        "subject": observation.subject,
        "outcome": observation.outcome,
        "facts": dict(observation.facts),
        "address": observation.address,
        "conditions": result.conditions,
        "well": result.well,
        "excerpt": observation.excerpt,
    }
    if result.decided_by is not Decider.REASON:  # a plain check stores no more than it needs
        record |= {"decided_by": result.decided_by.value, "deciding": result.deciding}
    return record


def result_of_record(record: Mapping[str, Any]) -> Result:
    """Raises KeyError, TypeError or ValueError for what is none."""
    facts = {
        str(name): tuple(fact) if isinstance(fact, list) else fact for name, fact in record["facts"].items()
    }
    observation = Observation(
        started_at=_moment(record["started_at"]),
        duration_s=float(record["duration_s"]),
        reason=Reason.of_code(record["reason"]),
        detail=str(record["detail"]),
        # Not in the records of earlier releases.
        subject=str(record.get("subject", "")),
        outcome=str(record.get("outcome", "")),
        facts=facts,
        address=record["address"],
        excerpt=record["excerpt"],
    )
    return Result(
        observation,
        Verdict(record["verdict"]),
        tuple(record["conditions"]),
        tuple(record["well"]),
        Decider(record.get("decided_by", "reason")),
        tuple(int(index) for index in record.get("deciding", ())),
    )


def saved(
    watched: Watched, now: datetime, now_s: float, last: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """How the monitor stands at this moment. `last`: the record of its last result, where it was made already."""
    if last is None and watched.last is not None:
        last = result_record(watched.last)
    health, flapping, pause = watched.health, watched.health.flapping, watched.pause
    return {
        "type": watched.monitor.type_name,
        "at": now.timestamp(),
        "due_at": now.timestamp() + watched.due_at - now_s,
        "sure_at": now.timestamp() + watched.sure_at - now_s,
        "health": health.health.value,
        "since": _stamp(health.since),
        "streak": None if health.streak is None else health.streak.value,
        "streak_length": health.streak_length,
        "streak_since": _stamp(health.streak_since),
        "changes": flapping.changes,
        "last_verdict": None if flapping.last is None else flapping.last.value,
        "is_flapping": flapping.is_flapping,
        "stands": watched.stands.value,
        "stands_since": _stamp(watched.stands_since),
        "is_unknown": watched.is_unknown,
        "pause": None if pause is None else {**asdict(pause), "at": pause.at.timestamp()},
        "memory": watched.memory(),
        "last": last,
    }


def restore(
    watched: Watched, record: Mapping[str, Any], incident: Incident | None, now: datetime, now_s: float
) -> float | None:
    """Let the monitor stand as it did. Returns when it was due next, in seconds of the monotonic clock; None: now.

    `incident` is the one that is open.
    """
    try:
        return _restore(watched, record, incident, now, now_s)
    except (KeyError, TypeError, ValueError) as error:
        log.warning("%s: the state that was kept cannot be read, and begins anew: %r", watched.name, error)
        return None


def _restore(
    watched: Watched, record: Mapping[str, Any], incident: Incident | None, now: datetime, now_s: float
) -> float | None:
    if record["type"] != watched.monitor.type_name:
        return None
    state, pause = _health(record), _pause(record["pause"])
    passed_s = max(0.0, now.timestamp() - record["at"])
    period_s = watched.monitor.settings.check_every_s
    if passed_s > STALE_INTERVALS * period_s:
        state = without_streak(state)
    result = None if record["last"] is None else result_of_record(record["last"])
    stands, stands_since = Health(record["stands"]), _moment_or_none(record["stands_since"])
    due_at = now_s + float(record["due_at"]) - now.timestamp()
    # How long nothing sure was heard goes on from where it stood: the daemon could not look meanwhile.
    sure_at = now_s - max(0.0, record["at"] - record["sure_at"])
    is_unknown, memory = bool(record["is_unknown"]), record["memory"]
    # Nothing is changed before all of it was read.
    watched.health, watched.last, watched.incident, watched.pause = state, result, incident, pause
    watched.stands, watched.stands_since = stands, stands_since
    watched.is_unknown, watched.sure_at = is_unknown, sure_at
    watched.remind(memory)
    return due_at if now_s < due_at <= now_s + period_s else None


def _health(record: Mapping[str, Any]) -> HealthState:
    streak, last = record["streak"], record["last_verdict"]
    return HealthState(
        health=Health(record["health"]),
        since=_moment_or_none(record["since"]),
        streak=None if streak is None else Verdict(streak),
        streak_length=int(record["streak_length"]),
        streak_since=_moment_or_none(record["streak_since"]),
        flapping=Flapping(
            int(record["changes"]), None if last is None else Verdict(last), bool(record["is_flapping"])
        ),
    )


def _pause(record: Mapping[str, Any] | None) -> Pause | None:
    if record is None:
        return None
    comment = record["comment"]
    return Pause(str(record["by"]), _moment(record["at"]), None if comment is None else str(comment))


def _stamp(moment: datetime | None) -> float | None:
    return None if moment is None else moment.timestamp()


def _moment(stamp: float) -> datetime:
    return datetime.fromtimestamp(0, UTC) + timedelta(seconds=stamp)


def _moment_or_none(stamp: float | None) -> datetime | None:
    return None if stamp is None else _moment(stamp)
