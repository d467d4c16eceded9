"""The heartbeats of a monitor that the nodes of a cluster share. Pure functions, and the interface to the cluster.

Each node receives signals. The facts of two nodes are merged in any order and any number of times with the same result:
they are the newest signals, and the newest or earliest of each other value. An older signal never replaces a newer
signal.
The record (`record_of`) follows from the facts and the schedule, and so does the status, on every node in the same way.

A deadline takes effect when all signals that nodes have received until then are known: see `known_until`.
It is extended, as on a single host, if it passed while the monitor was paused, or while the node that has received the
last signal was absent. If that node does not return, its absence counts for one grace only. A deadline that took effect
on one node does on all (`HeartbeatFacts.missed_at`).
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields, replace
from datetime import datetime, timedelta
from typing import Any, Protocol

from monitord.monitors.heartbeat.record import (
    Heartbeat,
    HeartbeatRecord,
    HeartbeatSchedule,
    HeartbeatSignal,
    not_after,
    with_heartbeat,
    with_missed_deadline,
)

MAX_SIGNALS = 4
"""The starts and the ends that are kept, each: a signal that arrives late is put among those of overlapping runs."""


@dataclass(frozen=True, slots=True)
class ReceivedSignal:
    """A start, a success or a failure. `at`: when it was received, by the clock of the node that has received it."""

    at: datetime
    signal: HeartbeatSignal
    exit_status: int | None = None
    run_id: str | None = None


@dataclass(frozen=True, slots=True)
class Absence:
    """A time in which signals were lost. `back_at` None: it lasts."""

    absent_from: datetime
    back_at: datetime | None


@dataclass(frozen=True, slots=True)
class HeartbeatFacts:
    """The signals that all nodes have received. `began_at`: since when heartbeats are expected.

    `node` has received the last signal, at `last_signal_at`; before the first signal it is the node that has created
    the facts. `starts`, `ends`: the newest, in order. `missed_at`: the last deadline that took effect. `paused_from`,
    `resumed_at`: the last pause.
    """

    began_at: datetime
    node: str
    last_signal_at: datetime | None = None
    starts: tuple[ReceivedSignal, ...] = ()
    ends: tuple[ReceivedSignal, ...] = ()
    succeeded_at: datetime | None = None
    message_at: datetime | None = None
    message: str | None = None
    missed_at: datetime | None = None
    paused_from: datetime | None = None
    resumed_at: datetime | None = None


class HeartbeatExchange(Protocol):
    """The heartbeats of all nodes, by monitor: `monitord.cluster.heartbeats`."""

    def facts(self, monitor: str, renamed_from: str | None) -> HeartbeatFacts:
        """Return what is known. A renamed monitor continues the facts of its previous name."""
        ...

    def receive(self, monitor: str, heartbeat: Heartbeat, at: datetime) -> None:
        """Add a signal that this node has received."""
        ...

    def add(self, monitor: str, facts: HeartbeatFacts) -> None:
        """Add facts of this node, such as a deadline that took effect."""
        ...

    def restore(self, monitor: str, facts: HeartbeatFacts) -> None:
        """Add facts that this node has stored."""
        ...

    def known_until(self, monitor: str) -> datetime | None:
        """Return the time until which the signals that all nodes have received are known here; None: not at all."""
        ...

    def absence(self, facts: HeartbeatFacts) -> Absence | None:
        """Return the last absence of the node that has received the last signal."""
        ...

    def subscribe(self, monitor: str, on_change: Callable[[], None]) -> None:
        """Call a function when the facts of a monitor change, and when they are known again."""
        ...

    def unsubscribe(self, monitor: str, on_change: Callable[[], None]) -> None:
        """No error if another function was subscribed since."""
        ...


def merged(first: HeartbeatFacts, other: HeartbeatFacts) -> HeartbeatFacts:
    """Return all that is known from both."""
    both = (first, other)
    received = [(facts.last_signal_at, facts.node) for facts in both if facts.last_signal_at is not None]
    _, created_by = min((facts.began_at, facts.node) for facts in both)
    last_signal_at, node = max(received, default=(None, created_by))
    messages = [(facts.message_at, facts.message or "") for facts in both if facts.message_at is not None]
    message_at, message = max(messages, default=(None, ""))
    pauses = [
        (facts.resumed_at, facts.paused_from)
        for facts in both
        if facts.resumed_at is not None and facts.paused_from is not None
    ]
    resumed_at, paused_from = max(pauses, default=(None, None))
    return HeartbeatFacts(
        began_at=min(first.began_at, other.began_at),
        node=node,
        last_signal_at=last_signal_at,
        starts=_newest(first.starts + other.starts),
        ends=_newest(first.ends + other.ends),
        succeeded_at=_latest(first.succeeded_at, other.succeeded_at),
        message_at=message_at,
        message=message or None,
        missed_at=_latest(first.missed_at, other.missed_at),
        paused_from=paused_from,
        resumed_at=resumed_at,
    )


def with_signal(facts: HeartbeatFacts, heartbeat: Heartbeat, at: datetime, node: str) -> HeartbeatFacts:
    """Return the facts after a signal that a node has received. It becomes the last, regardless of the clocks."""
    if facts.last_signal_at is not None:
        at = max(at, facts.last_signal_at + timedelta(milliseconds=1))
    received = HeartbeatFacts(facts.began_at, node, last_signal_at=at)
    signal = ReceivedSignal(at, heartbeat.signal, heartbeat.exit_status, heartbeat.run_id)
    is_end = heartbeat.signal in {HeartbeatSignal.SUCCESS, HeartbeatSignal.FAIL}
    if is_end or heartbeat.message is not None:
        received = replace(received, message_at=at, message=heartbeat.message)
    if heartbeat.signal is HeartbeatSignal.START:
        received = replace(received, starts=(signal,))
    if is_end:
        received = replace(received, ends=(signal,))
    if heartbeat.signal is HeartbeatSignal.SUCCESS:
        received = replace(received, succeeded_at=at)
    return merged(facts, received)


def record_of(
    facts: HeartbeatFacts,
    schedule: HeartbeatSchedule,
    now: datetime,
    known_until: datetime,
    absence: Absence | None,
) -> HeartbeatRecord:
    """Return the record, with the deadlines that have passed until `known_until`, at most `now`."""
    absent_from, back_at = facts.paused_from, facts.resumed_at
    if absence is not None:
        until = absence.back_at
        if until is None:
            until = min(known_until, absence.absent_from + schedule.settling)
        if back_at is None or absent_from is None or until > back_at:
            if absent_from is not None and back_at is not None and absence.absent_from <= back_at:
                absent_from = min(absent_from, absence.absent_from)
            else:
                absent_from = absence.absent_from
            back_at = until
    record = HeartbeatRecord(facts.began_at, facts.began_at, absent_from=absent_from, back_at=back_at)
    missed_at = facts.missed_at
    for received in sorted((*facts.starts, *facts.ends), key=lambda signal: signal.at):
        if received.at <= known_until:
            record = with_missed_deadline(record, schedule, received.at, missed_at)
        record = with_heartbeat(
            record, Heartbeat(received.signal, received.exit_status, None, received.run_id), received.at
        )
    record = replace(
        record,
        seen_at=now,
        last_signal_at=facts.last_signal_at,
        succeeded_at=facts.succeeded_at,
        message=facts.message,
    )
    return with_missed_deadline(not_after(record, now), schedule, known_until, missed_at)


def facts_of_record(record: HeartbeatRecord) -> HeartbeatFacts:
    """Return the facts of a monitor that a single host has received until now."""
    starts: tuple[ReceivedSignal, ...] = ()
    ends: tuple[ReceivedSignal, ...] = ()
    if record.started_at is not None:
        starts = (ReceivedSignal(record.started_at, HeartbeatSignal.START, run_id=record.run_id),)
    if record.ended_at is not None:
        signal = HeartbeatSignal.FAIL if record.has_failed else HeartbeatSignal.SUCCESS
        ends = (ReceivedSignal(record.ended_at, signal, record.exit_status),)
    return HeartbeatFacts(
        record.began_at,
        "",
        record.last_signal_at,
        starts,
        ends,
        record.succeeded_at,
        None if record.message is None else record.last_signal_at,
        record.message,
        record.missed_at,
    )


def facts_json(facts: HeartbeatFacts) -> dict[str, Any]:
    """Return the facts as JSON, without what is not set."""
    values = {field.name: getattr(facts, field.name) for field in fields(facts)}
    return {
        name: [_signal_json(signal) for signal in value]
        if isinstance(value, tuple)
        else value.isoformat()
        if isinstance(value, datetime)
        else value
        for name, value in values.items()
        if value not in {None, ()}
    }


def facts_of(document: Mapping[str, Any]) -> HeartbeatFacts:
    """Return the facts of a document. Raises KeyError, TypeError, ValueError or AttributeError for other documents."""
    values: dict[str, Any] = {"node": document["node"], "message": document.get("message")}
    for name in ("starts", "ends"):
        values[name] = tuple(
            ReceivedSignal(
                datetime.fromisoformat(signal["at"]),
                HeartbeatSignal(signal["signal"]),
                signal.get("exit_status"),
                signal.get("run_id"),
            )
            for signal in document.get(name, ())
        )
    for field in fields(HeartbeatFacts):
        if field.name not in values:
            text = document.get(field.name)
            values[field.name] = None if text is None else datetime.fromisoformat(text)
    if values["began_at"] is None:
        raise KeyError("began_at")
    return HeartbeatFacts(**values)


def _signal_json(signal: ReceivedSignal) -> dict[str, Any]:
    values = {"exit_status": signal.exit_status, "run_id": signal.run_id}
    return {
        "at": signal.at.isoformat(),
        "signal": signal.signal.value,
        **{name: value for name, value in values.items() if value is not None},
    }


def _newest(signals: Iterable[ReceivedSignal]) -> tuple[ReceivedSignal, ...]:
    by_time: dict[datetime, ReceivedSignal] = {}
    for signal in sorted(signals, key=_rank):
        by_time[signal.at] = signal
    return tuple(sorted(by_time.values(), key=lambda signal: signal.at)[-MAX_SIGNALS:])


def _rank(signal: ReceivedSignal) -> tuple[datetime, str, int, str]:
    status = -1 if signal.exit_status is None else signal.exit_status
    return signal.at, signal.signal.value, status, signal.run_id or ""


def _latest(first: datetime | None, other: datetime | None) -> datetime | None:
    return max((time for time in (first, other) if time is not None), default=None)
