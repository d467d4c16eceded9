"""Monitor type `heartbeat`: waits for the heartbeats of a job, and fails if they do not arrive in time.

    type = "heartbeat"
    schedule = "*-*-* 02:00"
    grace = "2h"

A check evaluates the heartbeats received so far and the time. The monitor requests a check when a heartbeat is received
and when a deadline passes, so that both take effect at once. The rules are in `record`; those of a cluster, whose nodes
share the heartbeats, are in `shared`.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from datetime import datetime
from typing import Any, ClassVar

from monitord.clock import time_text
from monitord.conditions import EXIT_STATUS, LATENCY, FieldType, Vocabulary
from monitord.config import Table
from monitord.health import HealthPolicy
from monitord.health.windows import read_calendar
from monitord.model import FieldValue, Observation, Reason
from monitord.monitors.base import Monitor, MonitorSettings, Tools
from monitord.monitors.heartbeat.record import (
    Heartbeat,
    HeartbeatEvaluation,
    HeartbeatRecord,
    HeartbeatSchedule,
    HeartbeatSignal,
    HeartbeatStatus,
    evaluate,
    refreshed,
    with_heartbeat,
)
from monitord.monitors.heartbeat.shared import facts_json, facts_of, facts_of_record, record_of
from monitord.net.base.deadline import extension_s
from monitord.text import printable, shortened
from monitord.units import format_duration

__all__ = ["Heartbeat", "HeartbeatMonitor", "HeartbeatSchedule", "HeartbeatSignal", "HeartbeatStatus"]

SHORTEST_S = 1.0
LONGEST_S = 10 * 366 * 86400.0
LONGEST_DEFAULT_GRACE_S = 3600.0

PAUSED_INTERVALS = 3
"""Intervals of `check_every` without a check after which the monitor counts as paused."""

SHOWN_CHARACTERS = 200
"""Limit for a message in a line of text."""

SOONEST_S = 0.001
"""Minimum delay of a timer: timers may fire slightly early, which must not cause a busy loop."""

KNOWN_WITHIN_S = 6.0
"""In a cluster, what all nodes have received until a deadline is usually known this long after it."""
REPEAT_AFTER_S = 1.0
PATIENCE_S = 15.0
"""If it is not known this long after a deadline, the check is inconclusive."""

VOCABULARY = Vocabulary(
    {
        "response_time": FieldType.DURATION,
        "heartbeat.status": FieldType.TEXT,
        "heartbeat.last_seen": FieldType.DURATION,
        "heartbeat.last_success": FieldType.DURATION,
        "heartbeat.runtime": FieldType.DURATION,
        "heartbeat.exit_status": FieldType.NUMBER,
        "heartbeat.message": FieldType.TEXT,
        "heartbeat.output": FieldType.TEXT,
    },
    {
        "response_time": LATENCY,
        "heartbeat.exit_status": EXIT_STATUS,
    },
)

_REASONS = {HeartbeatStatus.MISSED: Reason.HEARTBEAT_MISSED, HeartbeatStatus.FAILED: Reason.HEARTBEAT_FAILED}


class HeartbeatMonitor(Monitor[HeartbeatSchedule]):
    type_name: ClassVar[str] = "heartbeat"
    uses_network = False
    is_checked_by_agents: ClassVar[bool] = False
    vocabulary: ClassVar[Vocabulary] = VOCABULARY
    default_policy: ClassVar[HealthPolicy] = HealthPolicy(fail_after=1, degrade_after=1)

    def __init__(self, settings: MonitorSettings, tools: Tools) -> None:
        super().__init__(settings, tools)
        self._shared = tools.heartbeats
        self.uses_local_time = self.options.calendar is not None and self.options.calendar.zone is None
        self._record: HeartbeatRecord | None = None
        self._awake_at: float | None = None
        self._checked_at = 0.0
        self._reported: str | None = None
        self._wake: Callable[[], None] | None = None
        self._timer: asyncio.TimerHandle | None = None

    @classmethod
    def belongs_to_host(cls, options: HeartbeatSchedule) -> bool:
        del options
        return False

    @classmethod
    def read_options(cls, table: Table) -> HeartbeatSchedule:
        every_s = table.duration("every", default=None, minimum=SHORTEST_S, maximum=LONGEST_S)
        calendar = read_calendar(table, "schedule")
        has_every, has_calendar = table.raw("every") is not None, table.raw("schedule") is not None
        if has_every and has_calendar:
            table.error("schedule", "conflicts with every", "write only one of them")
        elif not has_every and not has_calendar:
            table.error("", "no heartbeat schedule is set", 'write every = "1h" or schedule = "daily"')
        grace_s = table.duration(
            "grace",
            default=min(every_s or LONGEST_DEFAULT_GRACE_S, LONGEST_DEFAULT_GRACE_S),
            minimum=SHORTEST_S,
            maximum=LONGEST_S,
        )
        warn_after_s = table.duration("warn_after", default=grace_s / 2)
        if warn_after_s > grace_s:
            table.error(
                "warn_after",
                f'"{format_duration(warn_after_s)}" exceeds grace, which is "{format_duration(grace_s)}"',
                "write a shorter time, or the same time for no warning",
            )
        max_runtime_s = table.duration("max_runtime", default=None, minimum=SHORTEST_S, maximum=LONGEST_S)
        return HeartbeatSchedule(every_s, calendar, grace_s, warn_after_s, max_runtime_s)

    # Heartbeats and deadlines

    def start(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        if self._shared is not None:
            self._shared.subscribe(self.name, self._on_shared_change)
        self._checked_at = self.tools.clock.monotonic_s()
        self._refresh(self.tools.clock.now())
        self._schedule_wake()

    def record_heartbeat(self, heartbeat: Heartbeat, at: datetime) -> None:
        """Record a heartbeat and request a check."""
        if self._shared is None:
            self._record = with_heartbeat(self._refresh(at), heartbeat, at)
        else:
            self._shared.receive(self.name, heartbeat, at)
            self._refresh(at)
        self._schedule_wake()
        if self._wake is not None:
            self._wake()

    def _on_shared_change(self) -> None:
        self._refresh(self.tools.clock.now())
        self._schedule_wake()
        if self._wake is not None:
            self._wake()

    async def close(self) -> None:
        self._wake = None
        if self._shared is not None:
            self._shared.unsubscribe(self.name, self._on_shared_change)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _refresh(self, now: datetime) -> HeartbeatRecord:
        """Bring the record up to date: absences and missed deadlines."""
        if self._shared is not None:
            facts = self._shared.facts(self.name, self.settings.renamed_from)
            absence = self._shared.absence(facts)
            self._record = record_of(facts, self.options, now, self._known_until(now), absence)
            return self._record
        awake_at = self.tools.clock.monotonic_s()
        # Heartbeats are lost while the daemon does not run and while the monitor is paused.
        is_paused = awake_at - self._checked_at > PAUSED_INTERVALS * self.settings.check_every_s
        awake_s = 0.0 if self._awake_at is None or is_paused else awake_at - self._awake_at
        self._awake_at = awake_at
        record = self._record or HeartbeatRecord(began_at=now, seen_at=now)
        self._record = refreshed(record, self.options, now, awake_s)
        return self._record

    def _known_until(self, now: datetime) -> datetime:
        """Return the time until which all heartbeats are known, at most `now`: on a single host the present."""
        if self._shared is None:
            return now
        facts = self._shared.facts(self.name, self.settings.renamed_from)
        known_until = self._shared.known_until(self.name)
        return min(now, known_until or facts.last_signal_at or facts.began_at)

    def _schedule_wake(self) -> None:
        """Set the timer for the next deadline."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._wake is None or self._record is None:
            return
        now = self.tools.clock.now()
        changes_at = evaluate(self._record, self.options, self._known_until(now)).changes_at
        if changes_at is not None:
            delay_s = max(SOONEST_S, (changes_at - now).total_seconds())
            if self._shared is not None:
                late_s = (now - changes_at).total_seconds()
                if late_s > PATIENCE_S:
                    return  # it is checked when the heartbeats are known again
                delay_s = max(REPEAT_AFTER_S, KNOWN_WITHIN_S - late_s)
            due_s = self.tools.clock.monotonic_s() + delay_s
            self._timer = asyncio.get_running_loop().call_later(delay_s, self._on_change_due, due_s)

    def _on_change_due(self, due_s: float) -> None:
        if self._wake is None:
            return
        extended_by_s = extension_s(self.tools.clock.monotonic_s() - due_s)
        if extended_by_s:
            # The event loop was blocked: heartbeats that arrived in this time are read first.
            self._timer = asyncio.get_running_loop().call_later(extended_by_s, self._wake)
        else:
            self._wake()

    # State and checks

    def dump_state(self) -> Mapping[str, Any] | None:
        if self._record is None:
            return None
        if self._shared is not None:
            facts = self._shared.facts(self.name, self.settings.renamed_from)
            return {"facts": facts_json(facts), "reported": self._reported}
        values = {field.name: getattr(self._record, field.name) for field in fields(self._record)}
        return {
            **{
                name: value.isoformat() if isinstance(value, datetime) else value
                for name, value in values.items()
                if value is not None
            },
            "reported": self._reported,
            "schedule": str(self.options),
        }

    def restore_state(self, state: Mapping[str, Any]) -> None:
        reported = state.get("reported")
        self._reported = reported if isinstance(reported, str) else None
        if "facts" in state:
            facts = facts_of(state["facts"])
            if self._shared is not None:
                self._shared.restore(self.name, facts)
            else:
                # The daemon is no longer a node of a cluster. Other nodes may have received heartbeats since.
                seen_at = facts.last_signal_at or facts.began_at
                self._record = record_of(facts, self.options, seen_at, seen_at, None)
            return
        values: dict[str, Any] = {
            field.name: _value_of(field.name, state.get(field.name)) for field in fields(HeartbeatRecord)
        }
        if values["began_at"] is None or values["seen_at"] is None:
            return
        if state.get("schedule") != str(self.options):
            # A heartbeat that was late for the previous schedule may be in time for the new schedule.
            values["missed_at"] = None
        self._record = HeartbeatRecord(**{name: value for name, value in values.items() if value is not None})
        if self._shared is not None:
            # The first configuration with a cluster.
            self._shared.restore(self.name, facts_of_record(self._record))

    async def check(self) -> Observation:
        now = self.tools.clock.now()
        record = self._refresh(now)
        self._checked_at = self.tools.clock.monotonic_s()
        self._schedule_wake()
        known_until = self._known_until(now)
        evaluation = evaluate(record, self.options, known_until)
        if self._shared is not None:
            changes_at = evaluation.changes_at
            if changes_at is not None and (now - changes_at).total_seconds() > PATIENCE_S:
                detail = (
                    f"what the other nodes have received since {_at(known_until)} is not known; "
                    f"{_status_text(record, evaluation, self.options)}"
                )
                return Observation(now, 0.0, Reason.PROBER_DISCONNECTED, detail)
            facts, missed_at = self._shared.facts(self.name, self.settings.renamed_from), record.missed_at
            if missed_at is not None and (facts.missed_at is None or facts.missed_at < missed_at):
                self._shared.add(self.name, replace(facts, missed_at=missed_at))
        late = Reason.HEARTBEAT_LATE if evaluation.is_warning else Reason.OK
        if evaluation.has_ended:
            late = Reason.HEARTBEAT_ENDED
        reason = _REASONS.get(evaluation.status, late)
        text = _status_text(record, evaluation, self.options)
        # The message of the last run does not explain a missing one.
        is_awaited = evaluation.status in {HeartbeatStatus.LATE, HeartbeatStatus.MISSED}
        last_message = "" if is_awaited else _one_line(record.message)
        detail = f"{text}: {last_message}" if last_message else text
        fields: dict[str, FieldValue] = {
            "heartbeat.status": evaluation.status.value,
            "heartbeat.message": _one_line(record.message),
        }
        if record.last_signal_at is not None:
            fields["heartbeat.last_seen"] = (now - record.last_signal_at).total_seconds()
        if record.succeeded_at is not None:
            fields["heartbeat.last_success"] = (now - record.succeeded_at).total_seconds()
        if record.runtime_s is not None:
            # `response_time` as well, so that conditions in [defaults] apply to all types.
            fields |= {"heartbeat.runtime": record.runtime_s, "response_time": record.runtime_s}
        if record.exit_status is not None:
            fields["heartbeat.exit_status"] = record.exit_status
        # The complete message is not stored with each result.
        message = record.message or ""
        return Observation(
            self._began_at(reason, evaluation, now),
            0.0,
            reason,
            detail,
            fields,
            response_data=lambda name, argument: (
                message if name == "heartbeat.output" and argument is None else None
            ),
        )

    def _began_at(self, reason: Reason, evaluation: HeartbeatEvaluation, now: datetime) -> datetime:
        """Return the start of the observation: the time of the change for its first result, then the present."""
        if evaluation.since is None:
            self._reported = None
            return now
        change = f"{reason.value} {evaluation.since.isoformat()}"
        if change == self._reported:
            return now
        self._reported = change
        return evaluation.since


_TEXTS = frozenset({"run_id", "message"})
_NUMBERS = frozenset({"runtime_s", "exit_status"})


def _value_of(name: str, value: object) -> object:
    """Return the stored value of a field of the record; None if it is missing or invalid."""
    if name == "has_failed":
        return value is True
    if name in _TEXTS:
        return value if isinstance(value, str) else None
    if name in _NUMBERS:
        return value if isinstance(value, (int, float)) and not isinstance(value, bool) else None
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None
    return moment if moment is not None and moment.tzinfo is not None else None


def _one_line(message: str | None) -> str:
    line = next((line.strip() for line in (message or "").splitlines() if line.strip()), "")
    return shortened(printable(line), SHOWN_CHARACTERS)


def _status_text(
    record: HeartbeatRecord, evaluation: HeartbeatEvaluation, schedule: HeartbeatSchedule
) -> str:
    last = "no heartbeat yet" if record.ended_at is None else f"last heartbeat at {_at(record.ended_at)}"
    previous = "no earlier heartbeat" if record.ended_at is None else last
    match evaluation.status:
        case HeartbeatStatus.FAILED:
            status = "" if record.exit_status is None else f" with exit status {record.exit_status}"
            return f"the job failed at {_at(record.ended_at)}{status}"
        case HeartbeatStatus.MISSED if _is_overrun(record):
            return f"started at {_at(record.started_at)} and did not end by {_at(record.missed_at)}"
        case HeartbeatStatus.MISSED:
            return f"missed: no heartbeat by {_at(record.missed_at)}; {previous}"
        case HeartbeatStatus.RUNNING:
            return f"running, started at {_at(record.started_at)}; must end by {_at(evaluation.down_at)}"
        case HeartbeatStatus.LATE:
            return f"late since {_at(evaluation.expected_at)}; {previous}; goes down at {_at(evaluation.down_at)}"
        case HeartbeatStatus.NEW | HeartbeatStatus.UP:
            ran = "" if record.runtime_s is None else f", ran {_rounded(record.runtime_s)}"
            following = (
                f"next expected at {_at(evaluation.expected_at)}, grace {format_duration(schedule.grace_s)}"
            )
            if evaluation.has_ended:
                following = (
                    f"no more heartbeats are expected: the schedule {schedule.calendar} has no future time"
                )
            return f"{last}{ran}; {following}"


def _is_overrun(record: HeartbeatRecord) -> bool:
    started_at, missed_at = record.started_at, record.missed_at
    return started_at is not None and missed_at is not None and started_at < missed_at


def _rounded(seconds: float) -> str:
    """Return a duration without a fraction from ten seconds on."""
    return format_duration(round(seconds, 0 if seconds >= 10 else 1))  # noqa: PLR2004


def _at(moment: datetime | None) -> str:
    return "never" if moment is None else time_text(moment)
