"""The record of one heartbeat, and its status at a given time. Pure functions.

The status follows from the record and the schedule, as in healthchecks.io:

| status  | when                                                                                           |
|---------|------------------------------------------------------------------------------------------------|
| failed  | the last end was a failure                                                                     |
| missed  | no success until `grace` after the expected time, or no end of a run until its own deadline;   |
|         |   it lasts until a success                                                                     |
| running | a start was received, and no end; the deadline is `max_runtime` after the start, without it    |
|         |   `grace` after the start, but not later than the deadline of the next heartbeat               |
| late    | the expected time has passed; a warning after `warn_after`                                     |
| new     | no heartbeat was received; the first is expected as if one had been received at the beginning   |
| up      | otherwise                                                                                      |

A calendar without a future time leaves the status as it is, with a warning: the monitor watches nothing.

Heartbeats are lost while the daemon is stopped or the machine suspended, and are not expected while the monitor is
paused. A deadline that passed during such an absence takes effect one `grace`, and at least `SETTLE_S`, after its end,
unless a heartbeat is received before. The change still has the time of its deadline.
"""

from dataclasses import dataclass, fields, replace
from datetime import datetime, timedelta
from enum import Enum
from typing import Any

from monitord.calendar_events import CalendarEvent
from monitord.errors import InvalidValueError

MAX_MESSAGE_BYTES = 10 * 1024
MAX_RUN_ID_CHARACTERS = 100
MAX_EXIT_STATUS = 255

ABSENT_S = 2.0
"""Difference of wall clock and awake time that counts as an absence: suspended, not running, or clock set forward."""

EARLY_S = 60.0
"""Time before a time of the calendar in which a heartbeat counts for that time."""

EARLY_RATIO = 0.1
"""Limit of EARLY_S as a ratio of the time between two times of the calendar."""

SETTLE_S = 30.0
"""Time that jobs need to start after a boot."""


class HeartbeatSignal(Enum):
    SUCCESS = "success"
    START = "start"
    FAIL = "fail"
    LOG = "log"


class HeartbeatStatus(Enum):
    NEW = "new"
    UP = "up"
    RUNNING = "running"
    LATE = "late"
    MISSED = "missed"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """One report of a job. An exit status implies success or failure; the first 10 KiB of the message are kept.

    Raises InvalidValueError for a contradiction of signal and exit status.
    """

    signal: HeartbeatSignal = HeartbeatSignal.SUCCESS
    exit_status: int | None = None
    message: str | None = None
    run_id: str | None = None

    def __post_init__(self) -> None:
        status = self.exit_status
        if status is not None:
            if not 0 <= status <= MAX_EXIT_STATUS:
                raise InvalidValueError(
                    f"{status} is not an exit status", f"write a number from 0 to {MAX_EXIT_STATUS}"
                )
            if self.signal in {HeartbeatSignal.START, HeartbeatSignal.LOG}:
                raise InvalidValueError(f"a {self.signal.value} has no exit status", "remove one of them")
            if self.signal is HeartbeatSignal.FAIL and status == 0:
                raise InvalidValueError("an exit status of 0 is not a failure", "remove one of them")
            if status != 0:
                object.__setattr__(self, "signal", HeartbeatSignal.FAIL)
        if self.message is not None:
            message = self.message.encode(errors="replace")[:MAX_MESSAGE_BYTES].decode(errors="ignore")
            object.__setattr__(self, "message", message)
        if self.run_id is not None and not 0 < len(self.run_id) <= MAX_RUN_ID_CHARACTERS:
            raise InvalidValueError(
                f"the identifier of a run must have 1 to {MAX_RUN_ID_CHARACTERS} characters",
                'write a value such as "2026-01-31"',
            )


@dataclass(frozen=True, slots=True)
class HeartbeatSchedule:
    """The schedule of heartbeats: `every_s` after the previous heartbeat, or at the times of a calendar."""

    every_s: float | None
    calendar: CalendarEvent | None
    grace_s: float
    warn_after_s: float
    max_runtime_s: float | None = None

    def __str__(self) -> str:
        """Return a text of all settings that decide when a heartbeat is missed; it is stored."""
        expected = self.calendar or f"every {self.every_s} s"
        return f"{expected}, grace {self.grace_s} s, runtime {self.max_runtime_s} s"

    @property
    def grace(self) -> timedelta:
        return timedelta(seconds=self.grace_s)

    @property
    def settling(self) -> timedelta:
        """Time by which a deadline is extended that passed during an absence."""
        return timedelta(seconds=max(self.grace_s, SETTLE_S))

    def expected_after(self, moment: datetime, *, is_ping: bool) -> datetime | None:
        """Return when the next heartbeat is expected; None if the calendar has no future time.

        `is_ping`: a run ended at the moment. Shortly before a time of the calendar it counts for that time, as the
        clocks of two hosts differ.
        """
        if self.every_s is not None:
            return moment + timedelta(seconds=self.every_s)
        if self.calendar is None:
            return None
        next_at = self.calendar.next_after(moment)
        if not is_ping or next_at is None or (next_at - moment).total_seconds() > EARLY_S:
            return next_at
        following_at = self.calendar.next_after(next_at)
        before_at = self.calendar.previous_or_at(moment)
        gaps_s = [
            abs((other - next_at).total_seconds()) for other in (before_at, following_at) if other is not None
        ]
        early_s = min([EARLY_S, *(gap_s * EARLY_RATIO for gap_s in gaps_s)])
        return following_at if (next_at - moment).total_seconds() <= early_s else next_at


@dataclass(frozen=True, slots=True)
class HeartbeatRecord:
    """`began_at`, `seen_at`: when the record was first and last refreshed. `started_at`, `run_id`: the current run.

    `absent_from`, `back_at`: the last absence, in which heartbeats were lost.
    """

    began_at: datetime
    seen_at: datetime
    last_signal_at: datetime | None = None
    ended_at: datetime | None = None
    succeeded_at: datetime | None = None
    started_at: datetime | None = None
    missed_at: datetime | None = None
    absent_from: datetime | None = None
    back_at: datetime | None = None
    has_failed: bool = False
    run_id: str | None = None
    runtime_s: float | None = None
    exit_status: int | None = None
    message: str | None = None


@dataclass(frozen=True, slots=True)
class HeartbeatEvaluation:
    """The status at a moment. `since`: beginning of a warning or failure. `changes_at`: the next deadline.

    `has_ended`: the calendar has no future time, which is a warning.
    """

    status: HeartbeatStatus
    is_warning: bool = False
    since: datetime | None = None
    expected_at: datetime | None = None
    down_at: datetime | None = None
    changes_at: datetime | None = None
    has_ended: bool = False


@dataclass(frozen=True, slots=True)
class _Deadlines:
    expected_at: datetime | None
    warns_at: datetime | None
    down_at: datetime | None


def refreshed(
    record: HeartbeatRecord, schedule: HeartbeatSchedule, now: datetime, awake_s: float
) -> HeartbeatRecord:
    """Return the record with absences and missed deadlines, `awake_s` of awake time after the last refresh."""
    record = not_after(record, now)
    if (now - record.seen_at).total_seconds() - awake_s > ABSENT_S:
        absent_from = record.seen_at
        if record.back_at is not None and record.absent_from is not None:
            # Deadlines of an earlier absence that is not settled stay extended.
            is_settled = record.back_at + schedule.settling <= record.seen_at
            absent_from = record.seen_at if is_settled else record.absent_from
        record = replace(record, absent_from=absent_from, back_at=now)
    return with_missed_deadline(replace(record, seen_at=now), schedule, now)


def with_missed_deadline(
    record: HeartbeatRecord, schedule: HeartbeatSchedule, now: datetime, missed_at: datetime | None = None
) -> HeartbeatRecord:
    """Return the record with the deadline, if it has passed. `missed_at`: a deadline that took effect already."""
    if record.has_failed or record.missed_at is not None:
        return record
    down_at = _deadlines(record, schedule).down_at
    if down_at is None:
        return record
    effective_at = down_at if down_at == missed_at else _effective_at(down_at, record, schedule)
    return replace(record, missed_at=down_at) if effective_at <= now else record


def with_heartbeat(record: HeartbeatRecord, heartbeat: Heartbeat, at: datetime) -> HeartbeatRecord:
    """Return the record after a heartbeat. It must have been refreshed at the same moment."""
    record = replace(record, last_signal_at=at)
    if heartbeat.message is not None:
        record = replace(record, message=heartbeat.message)
    if heartbeat.signal is HeartbeatSignal.LOG:
        return record
    if heartbeat.signal is HeartbeatSignal.START:
        return replace(record, started_at=at, run_id=heartbeat.run_id)
    has_failed = heartbeat.signal is HeartbeatSignal.FAIL
    record = replace(
        record,
        ended_at=at,
        has_failed=has_failed,
        missed_at=None,
        runtime_s=None,
        exit_status=heartbeat.exit_status,
        message=heartbeat.message,
    )
    if not has_failed:
        record = replace(record, succeeded_at=at)
    if record.started_at is None:
        return record
    is_same_run = record.run_id is None or heartbeat.run_id is None or heartbeat.run_id == record.run_id
    if is_same_run:
        record = replace(record, runtime_s=(at - record.started_at).total_seconds())
    # A failure ends the current run, regardless of the run that it names.
    return replace(record, started_at=None, run_id=None) if is_same_run or has_failed else record


def evaluate(record: HeartbeatRecord, schedule: HeartbeatSchedule, now: datetime) -> HeartbeatEvaluation:
    """Return the status of a record that was refreshed at the same moment."""
    deadlines = _deadlines(record, schedule)
    expected_at, down_at = deadlines.expected_at, deadlines.down_at
    if record.has_failed:
        return HeartbeatEvaluation(HeartbeatStatus.FAILED, since=record.ended_at, expected_at=expected_at)
    if record.missed_at is not None:
        return HeartbeatEvaluation(HeartbeatStatus.MISSED, since=record.missed_at, expected_at=expected_at)
    if expected_at is None and record.started_at is None and schedule.calendar is not None:
        status = HeartbeatStatus.NEW if record.ended_at is None else HeartbeatStatus.UP
        return HeartbeatEvaluation(
            status, is_warning=True, since=record.ended_at or record.began_at, has_ended=True
        )
    changes = [_effective_at(at, record, schedule) for at in (deadlines.warns_at, down_at) if at is not None]
    changes_at = min((at for at in changes if at > now), default=None)
    effective_down_at = None if down_at is None else _effective_at(down_at, record, schedule)
    if record.started_at is not None:
        status = HeartbeatStatus.RUNNING
    elif expected_at is not None and expected_at <= now:
        status = HeartbeatStatus.LATE
    else:
        status = HeartbeatStatus.NEW if record.ended_at is None else HeartbeatStatus.UP
    warns_at = deadlines.warns_at
    is_warning = warns_at is not None and _effective_at(warns_at, record, schedule) <= now
    since = warns_at if is_warning else None
    return HeartbeatEvaluation(status, is_warning, since, expected_at, effective_down_at, changes_at)


def _deadlines(record: HeartbeatRecord, schedule: HeartbeatSchedule) -> _Deadlines:
    is_ping = record.ended_at is not None
    expected_at = schedule.expected_after(record.ended_at or record.began_at, is_ping=is_ping)
    down_at = None if expected_at is None else expected_at + schedule.grace
    started_at = record.started_at
    if started_at is None:
        warns_at = None
        if expected_at is not None and schedule.warn_after_s < schedule.grace_s:
            warns_at = expected_at + timedelta(seconds=schedule.warn_after_s)
        return _Deadlines(expected_at, warns_at, down_at)
    if schedule.max_runtime_s is not None:
        return _Deadlines(expected_at, None, started_at + timedelta(seconds=schedule.max_runtime_s))
    end_at = started_at + schedule.grace
    return _Deadlines(expected_at, None, end_at if down_at is None else min(down_at, end_at))


def _effective_at(moment: datetime, record: HeartbeatRecord, schedule: HeartbeatSchedule) -> datetime:
    """Return when a deadline takes effect."""
    absent_from, back_at = record.absent_from, record.back_at
    if absent_from is not None and back_at is not None and absent_from < moment <= back_at:
        return back_at + schedule.settling
    return moment


def not_after(record: HeartbeatRecord, now: datetime) -> HeartbeatRecord:
    """Return the record without times in the future, which exist if the clock was set back."""
    ahead: dict[str, Any] = {
        field.name: now
        for field in fields(record)
        if isinstance(value := getattr(record, field.name), datetime) and value > now
    }
    return replace(record, **ahead) if ahead else record
