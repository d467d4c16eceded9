"""The read model: the state of all monitors for API, pages and metrics, with revisions.

The pipeline replaces the states of monitors and does not wait for readers. `refresh` finds the replaced states, and
gives the model and each changed monitor the next revision. Everything cached (JSON, complete responses, rows of pages)
is valid for one revision, so that requests do not delay checks, regardless of the number of clients.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from math import inf, isnan, nan
from struct import Struct
from typing import TYPE_CHECKING, Any

from monitord.clock import Clock
from monitord.dispatch import MonitorEntry, MonitorState, Registry, Silence, Sink
from monitord.history import StoredResult
from monitord.model import Json, Result, State, Transition, Verdict
from monitord.monitors import Monitor
from monitord.status.access.operations import ReloadOutcome
from monitord.status.access.responses import cacheable_response, encode
from monitord.status.model.cluster import (
    NO_VOTES,
    ClusterSource,
    Electorate,
    MonitorVotes,
    electorate_of,
    is_checked_here,
    no_cluster,
    votes_json,
    votes_of,
)
from monitord.status.model.objectives import objective_json, objective_summary
from monitord.status.model.representations import brief_of, detail_of
from monitord.web import Response

if TYPE_CHECKING:
    from monitord.cluster.view import ClusterView

REFRESH_EVERY_S = 0.1
"""Checks that end within this time share a revision: lists of all monitors are rendered ten times a second at most."""

UNREAD_AFTER_S = 10.0
"""The states of an older refresh are no longer read: a record keeps the current state instead, so that each
monitor has one result in memory rather than two. Readers refresh before they read."""

MAX_CACHED_RESPONSES = 50
"""Each may contain all monitors."""

KEPT_MARKS = 40
KEPT_FAILURES = 5

STORED_WITHIN = timedelta(milliseconds=1)
"""The history stores whole milliseconds."""

_VERDICTS = tuple(Verdict)
_CODES = {verdict: code for code, verdict in enumerate(_VERDICTS)}
_MARK = Struct("<dfB")
"""Seconds since 1970, response time in seconds or NaN, and the number of the verdict: 13 bytes."""
_WITH_RESPONSE = frozenset({Verdict.PASS, Verdict.WARN})


@dataclass(frozen=True, slots=True)
class Mark:
    """One check in the bar of a monitor. `response_s` None: there was no response."""

    at: datetime
    verdict: Verdict
    response_s: float | None


class Marks:
    """The last KEPT_MARKS checks, packed: as objects those of a thousand monitors would take ten megabytes."""

    __slots__ = ("_count", "_packed")

    def __init__(self) -> None:
        # At full length from the start: memory does not grow with the first checks.
        self._packed = bytearray(_MARK.size * KEPT_MARKS)
        self._count = 0

    def __len__(self) -> int:
        return min(self._count, KEPT_MARKS)

    def append(self, at: datetime, verdict: Verdict, response_s: float | None) -> None:
        place = self._count % KEPT_MARKS * _MARK.size
        _MARK.pack_into(
            self._packed, place, at.timestamp(), nan if response_s is None else response_s, _CODES[verdict]
        )
        self._count += 1

    def unpacked(self) -> list[Mark]:
        """The newest last."""
        marks = []
        for number in range(self._count - len(self), self._count):
            at_s, response_s, code = _MARK.unpack_from(self._packed, number % KEPT_MARKS * _MARK.size)
            at = datetime.fromtimestamp(at_s, UTC)
            marks.append(Mark(at, _VERDICTS[code], None if isnan(response_s) else response_s))
        return marks


class MonitorRecord:
    """The state of a monitor for readers, its last checks, and its counters since the start of the daemon.

    `monitor`, `state`, `silence` and `votes` are those of `revision`. `votes` None: the nodes of a cluster do not share
    it. `has_passed`: whether its last conclusive check did; None: there was none. `is_filled`: the marks include those
    of earlier runs. `uptimes`: the ratios of the last day and the last month; None: they have not been read.
    """

    __slots__ = (
        "_brief", "_counts", "_timed_at_s", "_timed_state", "failures", "has_passed", "is_filled", "marks", "monitor",
        "name", "revision", "seconds", "silence", "state", "uptimes", "votes",
    )  # fmt: skip

    def __init__(self, entry: MonitorEntry, now_s: float) -> None:
        self.name = entry.name
        self.monitor: Monitor[Any] = entry.monitor
        self.state: MonitorState = entry.state
        self.silence: Silence | None = None
        self.votes: MonitorVotes | None = None
        self.revision = 0
        self.marks = Marks()
        self.failures: tuple[Result, ...] = ()
        """The last failures, newest first. The history may not have stored them yet."""
        self.is_filled = False
        self.uptimes: tuple[float | None, float | None] | None = None
        self._counts = [0] * len(_VERDICTS)
        self.has_passed: bool | None = None
        self.seconds: dict[State, float] = {}
        self._timed_state, self._timed_at_s = entry.state.effective, now_s
        self._brief: bytes | None = None

    def change(self, revision: int) -> None:
        """Begin a revision: discard the JSON of the previous revision."""
        self.revision, self._brief = revision, None

    def follow(self, state: MonitorState) -> None:
        """Keep the current state. It belongs to no revision: the next refresh gives the monitor one."""
        self.state = state
        self.change(0)

    def brief(self) -> bytes:
        """The monitor in a list, as JSON."""
        if self._brief is None:
            self._brief = encode(brief_of(self.monitor, self.state, self.silence, self.cluster()))
        return self._brief

    def follow_votes(self, view: "ClusterView", electorate: Electorate | None, entry: MonitorEntry) -> bool:
        """Keep the votes about the monitor. Returns whether they have changed."""
        before = self.votes
        if electorate is None or self.name not in view.shared:
            self.votes = None
            return before is not None
        votes, is_here = view.votes.get(self.name, NO_VOTES), is_checked_here(entry)
        if (
            before is not None
            and before.votes is votes
            and before.electorate is electorate
            and before.is_checked_here is is_here
        ):
            return False
        self.votes = MonitorVotes(votes, electorate, is_here)
        return True

    def cluster(self) -> Json | None:
        """The votes about the monitor as JSON; None if the nodes of a cluster do not share it."""
        return None if self.votes is None else votes_json(self.votes, self.monitor.settings)

    def add(self, result: Result) -> None:
        verdict, observation = result.verdict, result.observation
        self._counts[_CODES[verdict]] += 1
        response_s = None
        if verdict in _WITH_RESPONSE:
            response = observation.fields.get("response_time", observation.duration_s)
            response_s = float(response) if isinstance(response, (int, float)) else None
        self.marks.append(observation.started_at, verdict, response_s)
        if verdict is Verdict.FAIL:
            self.failures = (result, *self.failures[: KEPT_FAILURES - 1])
        if verdict is not Verdict.INCONCLUSIVE:
            self.has_passed = verdict is not Verdict.FAIL

    def count(self, verdict: Verdict) -> int:
        """The number of results with this verdict."""
        return self._counts[_CODES[verdict]]

    def fill(self, past: Sequence[StoredResult]) -> None:
        """Add stored results (newest first) before the marks of this run, without results that have a mark."""
        self.is_filled = True
        recent, self.marks = self.marks.unpacked(), Marks()
        for stored in reversed(past):
            if not recent or stored.at < recent[0].at - STORED_WITHIN:
                response_s = stored.duration_s if stored.verdict in _WITH_RESPONSE else None
                self.marks.append(stored.at, stored.verdict, response_s)
        for mark in recent:
            self.marks.append(mark.at, mark.verdict, mark.response_s)

    def count_time(self, state: State, now_s: float) -> None:
        """Count the time since the last call as time in the state of that call."""
        before = self._timed_state
        self.seconds[before] = self.seconds.get(before, 0.0) + now_s - self._timed_at_s
        self.seconds.setdefault(state, 0.0)
        self._timed_state, self._timed_at_s = state, now_s


class ReadModel(Sink):
    """The records of all monitors. `revision` rises when a refresh finds one changed, new or removed.

    `cluster` returns the view of this node on its cluster.
    """

    def __init__(self, registry: Registry, clock: Clock, cluster: ClusterSource = no_cluster) -> None:
        self.registry = registry
        self.clock = clock
        self.cluster = cluster
        self.revision = 0
        self.refreshed_at_s = -inf
        self.monitors: Mapping[str, MonitorRecord] = {}
        """The records at the last refresh, by name, in the order of the registry."""
        self.reloads: Counter[bool] = Counter()
        """The number of reloads by outcome: True if the configuration was applied."""
        self.last_applied_at: datetime | None = None
        """The time of the last reload that was applied; None before the first."""
        self._records: dict[str, MonitorRecord] = {}
        self._responses: dict[str, Response] = {}
        self._responses_revision = 0
        self._electorate: Electorate | None = None

    # -- events -------------------------------------------------------------------------------------------

    def on_result(self, entry: MonitorEntry, result: Result) -> None:
        record = self._records.get(entry.name) or self._add(entry)
        record.add(result)
        if self.clock.monotonic_s() - self.refreshed_at_s > UNREAD_AFTER_S:
            record.follow(entry.state)

    def on_transition(self, entry: MonitorEntry, transition: Transition) -> None:
        record = self._records.get(entry.name) or self._add(entry)
        record.count_time(transition.after, self.clock.monotonic_s())

    def on_renamed(self, old: str, entry: MonitorEntry) -> None:
        del entry
        self._records.pop(old, None)

    def on_removed(self, entry: MonitorEntry) -> None:
        self._records.pop(entry.name, None)

    def on_reload(self, outcome: ReloadOutcome) -> None:
        self.reloads[outcome.ok] += 1
        if outcome.ok:
            self.last_applied_at = outcome.at

    def _add(self, entry: MonitorEntry) -> MonitorRecord:
        record = self._records[entry.name] = MonitorRecord(entry, self.clock.monotonic_s())
        return record

    # -- readers ------------------------------------------------------------------------------------------

    def refresh(self, max_age_s: float = 0.0) -> None:
        """Find the changes since the last refresh, unless that is more recent than `max_age_s`."""
        now_s = self.clock.monotonic_s()
        if now_s - self.refreshed_at_s < max_age_s:
            return
        self.refreshed_at_s = now_s
        silences, now, revision = self.registry.silences, self.clock.now(), self.revision + 1
        monitors = {}
        has_changed = False
        view = self.cluster()
        if view is not None and (electorate := electorate_of(view)) != self._electorate:
            # Otherwise the same object, so that the records compare it by identity.
            self._electorate = electorate
        for name, entry in self.registry.entries.items():
            record = self._records.get(name) or self._add(entry)
            silence = silences.find_longest(name, entry.monitor.settings.tags, now)
            if view is not None and record.follow_votes(view, self._electorate, entry):
                record.change(revision)
                has_changed = True
            # States are frozen and replaced: the same object has not changed.
            if (
                record.state is not entry.state
                or record.silence != silence
                or record.monitor is not entry.monitor
                or not record.revision
            ):
                record.monitor, record.state, record.silence = entry.monitor, entry.state, silence
                record.change(revision)
                has_changed = True
            monitors[name] = record
        if has_changed or len(monitors) != len(self.monitors):
            self.revision = revision
        self.monitors = monitors

    def detail(self, name: str) -> Json:
        """Return the data of one monitor at this moment. Raises KeyError if there is no such monitor."""
        entry = self.registry.entries[name]
        silence, objective = (
            self.registry.silence_of(entry, self.clock.now()),
            objective_summary(entry, self.registry),
        )
        votes = votes_of(self.cluster(), entry)
        cluster = None if votes is None else votes_json(votes, entry.monitor.settings)
        return {**detail_of(entry, silence, cluster, self.clock), "objective": objective_json(objective)}

    def fill(self, name: str, results: Sequence[StoredResult]) -> None:
        """Add the stored results of a monitor, newest first, unless it has been removed or has them already."""
        record = self.monitors.get(name)
        if record is not None and not record.is_filled:
            record.fill(results)
            self.revision += 1
            record.change(self.revision)

    def set_uptimes(self, uptimes: Mapping[str, tuple[float | None, float | None]]) -> None:
        """Replace the uptimes of these monitors, except for monitors that have been removed."""
        revision = self.revision + 1
        for name, ratios in uptimes.items():
            record = self.monitors.get(name)
            if record is not None and record.uptimes != ratios:
                record.uptimes = ratios
                record.change(revision)
                self.revision = revision

    def response(self, key: str, render: Callable[[Mapping[str, MonitorRecord]], bytes]) -> Response:
        """The JSON response `key` of the current revision, rendered when it is first requested."""
        self.refresh(REFRESH_EVERY_S)
        if self._responses_revision != self.revision:
            self._responses_revision = self.revision
            self._responses.clear()
        response = self._responses.get(key)
        if response is None:
            response = cacheable_response(render(self.monitors))
            if len(self._responses) < MAX_CACHED_RESPONSES:
                self._responses[key] = response
        return response
