"""What waits to be written: filled by the event loop, then handed to the writer as a whole and not touched any more.

A batch becomes one transaction, and it is handed over between two turns of the loop, so that what one turn tells (a
result, the change of health it makes, the incident, the state) is written together or not at all. It is bounded:
where the storage does not keep up the oldest rows go first, because the newest are what people look for when it is
back. What has a key (a state, an incident) is kept once, the latest.
"""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, NamedTuple, TypeVar

from monitord.history.encoding import PHASES, STATE_CODES, VERDICT_CODES, pack_outcome, storable_text, to_ms
from monitord.model import Incident, Observation, Reason, Result, State, Transition, Verdict

MAX_RESULTS = 60_000
"""A minute of 1,000 results a second, in some 20 MB."""

MAX_CHANGES = 20_000
"""Of each kind: changes of health, beginnings of spans, incidents."""

_ANSWERED = {Verdict.PASS, Verdict.WARN}
_JUDGED = {Reason.CONDITION_FAILED, Reason.CONDITION_UNRESOLVED}
_LONGEST_S = 366 * 86400.0
_PHASE_FIELDS = tuple(f"phase.{name}" for name in PHASES)

T = TypeVar("T")


class ResultRow(NamedTuple):
    """`what`: see `codes.pack_outcome`. `duration_us` is the response time if `what` says that there was an answer."""

    monitor: str
    at_ms: int
    duration_us: int
    outcome: int
    reason: str
    phases_us: list[int] | None
    detail: str | None


def result_row(monitor: str, result: Result, state: State) -> ResultRow:
    observation, verdict = result.observation, result.verdict
    has_response = verdict in _ANSWERED or (verdict is Verdict.FAIL and observation.reason in _JUDGED)
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
    # Not every type's numbers are ours to trust: "not a number" is no reason to lose a row.
    return round(seconds * 1e6) if 0 < seconds < _LONGEST_S else 0


class Record(NamedTuple):
    """A whole result as JSON: one of the last, or of the last failures."""

    monitor: str
    at_ms: int
    is_failure: bool
    body: Mapping[str, Any]


class SpanStart(NamedTuple):
    """From `at_ms` on a monitor stands so; `state` None: it is not there any more."""

    monitor: str
    at_ms: int
    state: State | None
    in_maintenance: bool


class Tick(NamedTuple):
    """The daemon runs until `at_ms`. With `from_ms` it does since then, and did not, or not by this clock, before.

    `wrong_since_ms`: the clock was ahead by `ahead_ms`, and what is dated from then on is wrong.
    """

    at_ms: int
    from_ms: int | None = None
    wrong_since_ms: int | None = None
    ahead_ms: int = 0


@dataclass(slots=True, eq=False)
class Batch:
    """`timeline` keeps its order. A state, or a value of our own, that is None is to be forgotten. `dropped`: rows that
    found no room. `is_durable`: the disk has it when it counts as written, whatever happens to the machine then.
    """

    max_results: int = MAX_RESULTS
    max_changes: int = MAX_CHANGES
    results: deque[ResultRow] = field(default_factory=deque)
    records: deque[Record] = field(default_factory=deque)
    transitions: deque[Transition] = field(default_factory=deque)
    incidents: dict[str, Incident] = field(default_factory=dict)
    timeline: deque[SpanStart | Tick] = field(default_factory=deque)
    states: dict[str, Mapping[str, Any] | None] = field(default_factory=dict)
    daemon_states: dict[str, Mapping[str, Any] | None] = field(default_factory=dict)
    renames: dict[str, str] = field(default_factory=dict)
    dropped: int = 0
    is_durable: bool = False

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
        """All of it is written."""
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
        self.is_durable = False

    def add_result(self, row: ResultRow) -> None:
        self._append(self.results, row, self.max_results)

    def add_record(self, record: Record) -> None:
        self._append(self.records, record, self.max_changes)

    def add_transition(self, transition: Transition) -> None:
        self._append(self.transitions, transition, self.max_changes)

    def add_incident(self, incident: Incident) -> None:
        if incident.id not in self.incidents and len(self.incidents) >= self.max_changes:
            del self.incidents[next(iter(self.incidents))]
            self.dropped += 1
        self.incidents[incident.id] = incident

    def add_span_start(self, stand: SpanStart) -> None:
        self._append(self.timeline, stand, self.max_changes)

    def add_tick(self, seen: Tick) -> None:
        last = self.timeline[-1] if self.timeline else None
        if isinstance(last, Tick) and seen.from_ms is None:
            self.timeline[-1] = last._replace(at_ms=seen.at_ms)
        else:
            self._append(self.timeline, seen, self.max_changes)

    def redate(self, now: datetime, ahead: timedelta) -> None:
        """Correct changes that a clock that was ahead has dated after now, as the store does for those it has."""

        def corrected(moment: datetime) -> datetime:
            return moment - ahead if moment > now else moment

        self.transitions = deque(
            replace(one, at=corrected(one.at), since=corrected(one.since)) for one in self.transitions
        )
        self.incidents = {
            name: replace(
                one,
                opened_at=corrected(one.opened_at),
                closed_at=one.closed_at and corrected(one.closed_at),
                acknowledged_at=one.acknowledged_at and corrected(one.acknowledged_at),
            )
            for name, one in self.incidents.items()
        }

    def rename(self, old: str, new: str) -> None:
        """Rows of this batch that bear the old name get the new one when they are written."""
        self.renames = {key: new if name == old else name for key, name in self.renames.items()}
        self.renames[old] = new
        if old in self.states and new not in self.states:
            self.states[new] = self.states.pop(old)

    def _append(self, rows: deque[T], row: T, most: int) -> None:
        if len(rows) >= most:
            rows.popleft()
            self.dropped += 1
        rows.append(row)
