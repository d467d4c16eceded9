"""Serialization of the state of a monitor, which survives a stop, a crash, a reboot and an upgrade.

Written after each check, read once at start. `encode` and `decode` are the only code that knows the stored form. A
record of another version that cannot be read is discarded, and the monitor starts without a state: the daemon starts in
any case.
"""

import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from monitord.dispatch.state import ClusterState, MonitorState, Pause
from monitord.health import Flapping, HealthState, without_streak
from monitord.model import Observation, Reason, Result, State, Verdict, VerdictRule
from monitord.monitors import MonitorSettings

log = logging.getLogger(__name__)

STALE_INTERVALS = 3
"""A streak is discarded if the daemon was not running for this many intervals (`check_every`)."""


@dataclass(frozen=True, slots=True)
class SavedMonitor:
    """The stored data of a monitor. `type_state`: of its type (`Monitor.dump_state`). `due_at_s`: the time of the next
    check, in seconds of the monotonic clock; None: as for a new monitor."""

    type_name: str
    saved_at: datetime
    state: MonitorState
    type_state: Mapping[str, Any] | None
    due_at_s: float | None


def encode(
    state: MonitorState,
    *,
    type_name: str,
    type_state: Mapping[str, Any] | None,
    due_at_s: float,
    now: datetime,
    now_s: float,
    last: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return the record of this state. `last`: the record of its last result, if it exists already.

    It contains neither the incident, which the history stores, nor the maintenance window, which follows from the
    calendar.
    """
    if last is None and state.last is not None:
        last = result_to_record(state.last)
    health, pause = state.health, state.pause
    flapping = health.flapping
    stamp = now.timestamp()
    record = {
        "type": type_name,
        "at": stamp,
        "due_at": stamp + due_at_s - now_s,
        "conclusive_at": stamp + state.conclusive_at_s - now_s,
        "health": health.state.value,
        "since": _stamp(health.since),
        "streak": None if health.streak is None else health.streak.value,
        "streak_length": health.streak_length,
        "streak_since": _stamp(health.streak_since),
        "changes": flapping.changes,
        "last_verdict": None if flapping.last is None else flapping.last.value,
        "is_flapping": flapping.is_flapping,
        "effective": state.effective.value,
        "effective_since": _stamp(state.effective_since),
        "is_unknown": state.is_unknown,
        "passed_at": _stamp(state.passed_at),
        "pause": None if pause is None else {**asdict(pause), "at": pause.at.timestamp()},
        "type_state": type_state,
        "last": last,
    }
    if state.cluster is not None:
        record["cluster"] = {
            "state": state.cluster.state.value,
            "since": _stamp(state.cluster.since),
            "reason": state.cluster.reason.value,
            "detail": state.cluster.detail,
            "version": state.cluster.version,
        }
    return record


def decode(record: Mapping[str, Any], now: datetime, now_s: float) -> SavedMonitor:
    """Decode `encode`. Raises KeyError, TypeError or ValueError if the record is not of this form."""
    streak, last_verdict = record["streak"], record["last_verdict"]
    health = HealthState(
        state=State(record["health"]),
        since=_moment_or_none(record["since"]),
        streak=None if streak is None else Verdict(streak),
        streak_length=int(record["streak_length"]),
        streak_since=_moment_or_none(record["streak_since"]),
        flapping=Flapping(
            int(record["changes"]),
            None if last_verdict is None else Verdict(last_verdict),
            bool(record["is_flapping"]),
        ),
    )
    pause = record["pause"]
    pause_comment = None if pause is None or pause["comment"] is None else str(pause["comment"])
    state = MonitorState(
        health=health,
        effective=State(record["effective"]),
        effective_since=_moment_or_none(record["effective_since"]),
        # The time in which the daemon did not run does not count: it could not check.
        conclusive_at_s=now_s - max(0.0, record["at"] - record["conclusive_at"]),
        is_unknown=bool(record["is_unknown"]),
        pause=None if pause is None else Pause(str(pause["by"]), _moment(pause["at"]), pause_comment),
        passed_at=_moment_or_none(record.get("passed_at")),  # not in the records of earlier versions
        last=None if record["last"] is None else result_from_record(record["last"]),
        cluster=_cluster_state(record.get("cluster")),  # only of monitors that nodes of a cluster share
    )
    due_at_s = now_s + float(record["due_at"]) - now.timestamp()
    return SavedMonitor(record["type"], _moment(record["at"]), state, record["type_state"], due_at_s)


def restore(
    record: Mapping[str, Any], settings: MonitorSettings, now: datetime, now_s: float
) -> SavedMonitor | None:
    """Decode the record of an earlier run, as far as it is still valid.

    Return None if it cannot be read or belongs to a monitor of another type.
    """
    try:
        saved = decode(record, now, now_s)
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        log.warning("%s: the stored state cannot be read and is discarded: %r", settings.name, error)
        return None
    if saved.type_name != settings.type_name:
        return None
    period_s = settings.check_every_s
    if (now - saved.saved_at).total_seconds() > STALE_INTERVALS * period_s:
        saved = replace(saved, state=replace(saved.state, health=without_streak(saved.state.health)))
    # If the wall clock was set back, the check is delayed by at most one interval.
    is_in_time = saved.due_at_s is not None and now_s < saved.due_at_s <= now_s + period_s
    return saved if is_in_time else replace(saved, due_at_s=None)


def result_to_record(result: Result) -> dict[str, Any]:
    """Return the record of a result with all its fields."""
    observation = result.observation
    record = {
        "started_at": observation.started_at.timestamp(),
        "duration_s": observation.duration_s,
        "verdict": result.verdict.value,
        "reason": observation.reason.value,
        "detail": observation.detail,
        "subject": observation.subject,
        "outcome": observation.outcome,
        "note": observation.note,
        "fields": dict(observation.fields),
        "address": observation.address,
        "conditions": result.conditions,
        "holds": result.holds,
        "expected": result.expected,
        "excerpt": observation.excerpt,
    }
    if result.decided_by is not VerdictRule.REASON:  # a plain check stores no more than it needs
        record |= {"decided_by": result.decided_by.value, "deciding": result.deciding_indexes}
    return record


def result_from_record(record: Mapping[str, Any]) -> Result:
    """Decode `result_to_record`. Raises KeyError, TypeError or ValueError if the record is not of this form."""
    fields = {
        str(name): tuple(field) if isinstance(field, list) else field
        for name, field in record["fields"].items()
    }
    observation = Observation(
        started_at=_moment(record["started_at"]),
        duration_s=float(record["duration_s"]),
        reason=Reason.of_code(record["reason"]),
        detail=str(record["detail"]),
        # Not in the records of earlier versions.
        subject=str(record.get("subject", "")),
        outcome=str(record.get("outcome", "")),
        note=str(record.get("note", "")),
        fields=fields,
        address=record["address"],
        excerpt=record["excerpt"],
    )
    return Result(
        observation,
        Verdict(record["verdict"]),
        tuple(record["conditions"]),
        tuple(record.get("holds", ())),  # not in the records of earlier versions
        tuple(record.get("expected", ())),
        VerdictRule(record.get("decided_by", "reason")),
        tuple(int(index) for index in record.get("deciding", ())),
    )


def _cluster_state(record: Mapping[str, Any] | None) -> ClusterState | None:
    if record is None:
        return None
    return ClusterState(
        State(record["state"]),
        _moment_or_none(record["since"]),
        Reason.of_code(record["reason"]),
        str(record["detail"]),
        int(record["version"]),
    )


def _stamp(moment: datetime | None) -> float | None:
    return None if moment is None else moment.timestamp()


def _moment(stamp: float) -> datetime:
    return datetime.fromtimestamp(0, UTC) + timedelta(seconds=stamp)


def _moment_or_none(stamp: float | None) -> datetime | None:
    return None if stamp is None else _moment(stamp)
