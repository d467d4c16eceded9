"""Rows that are queued for writing. The event loop fills a batch and passes it to the writer, then never changes it.

A batch is one transaction, and it is passed on between two iterations of the loop, so that the result of a check, its
transition, incident and state are written together or not at all. It is bounded: if the storage is too slow, the oldest
rows are dropped, because the newest are more useful after the problem. Of a state or an incident only the latest
version is queued.
"""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, NamedTuple, TypeVar

from monitord.history.encoding import PHASES, STATE_CODES, VERDICT_CODES, pack_outcome, storable_text, to_ms
from monitord.model import Incident, Observation, Reason, Result, State, Transition, Verdict

MAX_RESULTS = 60_000
"""A minute of 1,000 results per second, in about 20 MB."""

MAX_CHANGES = 20_000
"""Limit for each kind: transitions, starts of spans, incidents."""

_WITH_RESPONSE = {Verdict.PASS, Verdict.WARN}
_JUDGED = {Reason.CONDITION_FAILED, Reason.CONDITION_UNRESOLVED}
_LONGEST_S = 366 * 86400.0
_PHASE_FIELDS = tuple(f"phase.{name}" for name in PHASES)

T = TypeVar("T")


class ResultRow(NamedTuple):
    """`outcome`: see `encoding.pack_outcome`. `duration_us`: the response time, or the duration of the check."""

    monitor: str
    at_ms: int
    duration_us: int
    outcome: int
    reason: str
    phases_us: list[int] | None
    detail: str | None


def result_row(monitor: str, result: Result, state: State) -> ResultRow:
    """The row of a result. It does not refer to the result, which can then be freed."""
    observation, verdict = result.observation, result.verdict
    has_response = verdict in _WITH_RESPONSE or (verdict is Verdict.FAIL and observation.reason in _JUDGED)
    phases_us = _phases_us(observation) if has_response else None
    response_s = observation.fields.get("response_time") if has_response else None
    took_s = response_s if isinstance(response_s, (int, float)) else observation.duration_s
    return ResultRow(
        monitor,
        to_ms(observation.started_at),
        _microseconds(took_s),
        pack_outcome(VERDICT_CODES[verdict], STATE_CODES[state], has_response=has_response),
        observation.reason.value,
        phases_us,
        None if verdict is Verdict.PASS else storable_text(observation.detail),
    )


def _phases_us(observation: Observation) -> list[int] | None:
    fields = observation.fields
    phases = [fields.get(name) for name in _PHASE_FIELDS]
    if not any(phases):
        return None
    return [_microseconds(spent) if isinstance(spent, (int, float)) else 0 for spent in phases]


def _microseconds(seconds: float) -> int:
    # A plugin may report any number: the row is stored even with NaN.
    return round(seconds * 1e6) if 0 < seconds < _LONGEST_S else 0


class ResultRecord(NamedTuple):
    """A result with all its fields as JSON: one of the last results or of the last failures."""

    monitor: str
    at_ms: int
    is_failure: bool
    body: Mapping[str, Any]


class SpanStart(NamedTuple):
    """A monitor is in `state` from `at_ms` on. `state` None: it has been removed, and no span starts."""

    monitor: str
    at_ms: int
    state: State | None
    in_maintenance: bool


class Tick(NamedTuple):
    """The daemon has been running until `at_ms`.

    `resumed_ms`: it has been running only since then, after a gap (suspension or stall) or after the clock was set.
    `wrong_since_ms`: the clock was ahead by `ahead_ms`, and times from that moment on are wrong.
    """

    at_ms: int
    resumed_ms: int | None = None
    wrong_since_ms: int | None = None
    ahead_ms: int = 0


@dataclass(slots=True, eq=False)
class Batch:
    """The rows of one transaction.

    `timeline` has the starts of spans and the ticks in the order of events. None in `states` and `daemon_states`
    deletes a stored state. `renames`: the new names of monitors by their old names. `dropped`: the number of rows that
    were dropped because the batch was full. `needs_sync`: the batch must be synchronized to disk before it counts as
    written, so that it survives a crash of the machine.
    """

    max_results: int = MAX_RESULTS
    max_changes: int = MAX_CHANGES
    results: deque[ResultRow] = field(default_factory=deque)
    records: deque[ResultRecord] = field(default_factory=deque)
    transitions: deque[Transition] = field(default_factory=deque)
    incidents: dict[str, Incident] = field(default_factory=dict)
    timeline: deque[SpanStart | Tick] = field(default_factory=deque)
    states: dict[str, Mapping[str, Any] | None] = field(default_factory=dict)
    daemon_states: dict[str, Mapping[str, Any] | None] = field(default_factory=dict)
    renames: dict[str, str] = field(default_factory=dict)
    dropped: int = 0
    needs_sync: bool = False

    def __len__(self) -> int:
        return (
            len(self.results)
            + len(self.records)
            + len(self.transitions)
            + len(self.incidents)
            + len(self.timeline)
            + len(self.states)
            + len(self.daemon_states)
            + len(self.renames)
        )

    def clear(self) -> None:
        """Remove all rows: they have been written."""
        for kind in (
            self.results,
            self.records,
            self.transitions,
            self.incidents,
            self.timeline,
            self.states,
            self.daemon_states,
            self.renames,
        ):
            kind.clear()
        self.needs_sync = False

    def add_result(self, row: ResultRow) -> None:
        self._append(self.results, row, self.max_results)

    def add_record(self, record: ResultRecord) -> None:
        self._append(self.records, record, self.max_changes)

    def add_transition(self, transition: Transition) -> None:
        self._append(self.transitions, transition, self.max_changes)

    def add_incident(self, incident: Incident) -> None:
        if incident.id not in self.incidents and len(self.incidents) >= self.max_changes:
            del self.incidents[next(iter(self.incidents))]
            self.dropped += 1
        self.incidents[incident.id] = incident

    def add_span_start(self, start: SpanStart) -> None:
        self._append(self.timeline, start, self.max_changes)

    def add_tick(self, tick: Tick) -> None:
        last = self.timeline[-1] if self.timeline else None
        if isinstance(last, Tick) and tick.resumed_ms is None:
            self.timeline[-1] = last._replace(at_ms=tick.at_ms)
        else:
            self._append(self.timeline, tick, self.max_changes)

    def redate(self, now: datetime, ahead: timedelta) -> None:
        """Subtract `ahead` from times after `now` in queued transitions and incidents, because the clock was ahead.

        The store corrects the rows that are already written.
        """

        def corrected(moment: datetime) -> datetime:
            return moment - ahead if moment > now else moment

        self.transitions = deque(
            replace(transition, at=corrected(transition.at), since=corrected(transition.since))
            for transition in self.transitions
        )
        self.incidents = {
            incident_id: replace(
                incident,
                opened_at=corrected(incident.opened_at),
                closed_at=incident.closed_at and corrected(incident.closed_at),
                acknowledged_at=incident.acknowledged_at and corrected(incident.acknowledged_at),
            )
            for incident_id, incident in self.incidents.items()
        }

    def rename(self, old: str, new: str) -> None:
        """Rename a monitor: the rows of this batch with the old name are written with the new name."""
        self.renames = {key: new if name == old else name for key, name in self.renames.items()}
        self.renames[old] = new
        if old in self.states and new not in self.states:
            self.states[new] = self.states.pop(old)

    def _append(self, rows: deque[T], row: T, max_rows: int) -> None:
        if len(rows) >= max_rows:
            rows.popleft()
            self.dropped += 1
        rows.append(row)
