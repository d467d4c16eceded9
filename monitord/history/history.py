"""The interface of the history: writes are plain calls, reads are awaited.

A write never waits and never raises: it adds to a batch, which a timer passes to the thread of the writer four times a
second, or as soon as a caller waits until it is stored. Writes between which nothing is awaited are therefore in one
transaction. Without a path, or if the history is disabled, nothing is stored and queries return nothing.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from sqlite3 import Connection
from typing import Any, TypeVar

from monitord.clock import Clock
from monitord.history import periods, queries
from monitord.history.batch import Batch, ResultRecord, SpanStart, Tick, result_row
from monitord.history.encoding import to_ms
from monitord.history.periods import IncidentTime, MaintenanceTime
from monitord.history.queries import Horizons
from monitord.history.reader import HistoryReader
from monitord.history.retention_clock import CLOCK_JUMP_MS
from monitord.history.saved_state import SavedState
from monitord.history.settings import HistorySettings
from monitord.history.values import Bucket, DaySummary, HistoryStats, StoredResult, Uptime
from monitord.history.writer import WRITER_STALL_S, Writer
from monitord.model import Incident, Result, State, Transition, Verdict
from monitord.units import format_duration

log = logging.getLogger(__name__)

T = TypeVar("T")

COMMIT_EVERY_S = 0.25

GAP_MS = 30_000
"""The daemon ticks every few seconds. After a longer gap it did not run, or the clock was set."""

JUMP_DOUBTFUL_MS = 86_400_000
"""A jump of the clock that has not been undone within this time was a correction."""

EXPORT_PAGE_ROWS = 1000


class History:
    """Call `open`, then `start` on the running loop, and `close` at the end."""

    def __init__(self, path: Path | None, settings: HistorySettings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._writer: Writer | None = None
        self._reader: HistoryReader | None = None
        if path is not None and settings.enabled:
            self._writer = Writer(path, settings, clock, self._on_batch_done, lambda: self._batch.dropped)
            self._reader = HistoryReader(
                path, lambda: self._progress_generation, self._writer.request_damage_check
            )
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.Handle | None = None
        self._batch = Batch()
        self._passed_rows = 0
        self._is_batch_due = False
        self._has_logged_drop = False
        self._is_closed = False
        self._seen_ms: int | None = None
        self._ticked_s = 0.0
        self._jumps: list[tuple[int, int]] = []  # of the wall clock: before and after, in ms
        self._generation = 0
        self._waiting: list[asyncio.Future[bool]] = []
        self._writing: list[asyncio.Future[bool]] = []
        self._states: dict[str, tuple[State, bool]] = {}

    def open(self) -> SavedState:
        """Open the database and return the saved state. Blocks. Never raises: `stats` shows errors."""
        if self._writer is None:
            return SavedState()
        return self._writer.open()

    def start(self) -> None:
        """Start the writer, on the running loop."""
        if self._writer is None:
            return
        self._loop = asyncio.get_running_loop()
        self._writer.start()
        self._generation = self._progress_generation
        if len(self._batch):
            self._schedule_batch()

    async def close(self, within_s: float) -> None:
        """Write the queued rows and end the threads. Rows that are not written in time are lost, which is logged."""
        if self._is_closed:
            return
        self.tick(self._clock.now())
        self._is_closed = True
        if self._timer is not None:
            self._timer.cancel()
        # Readers first: the last connection, if it can write, merges the write-ahead log into the database.
        if self._reader is not None:
            await self._reader.close()
        if self._writer is not None:
            queued, self._batch = self._batch, Batch()
            self._writer.put(queued)
            self._writer.end()
            loop = asyncio.get_running_loop()
            if not await loop.run_in_executor(None, self._writer.join, within_s):
                log.error(
                    "history: the queued rows could not be written within %s; up to %d rows are lost",
                    format_duration(within_s),
                    self._passed_rows + len(queued),
                )

    # Writes

    def add_result(
        self, monitor: str, result: Result, state: State, record: Mapping[str, Any] | None = None
    ) -> None:
        """Store a result. `state`: of the monitor after it. `record`: all fields, for `records`; not to be changed."""
        if self._writer is not None:
            row = result_row(monitor, result, state)
            self._batch.add_result(row)
            if record is not None:
                self._batch.add_record(ResultRecord(monitor, row.at_ms, False, record))
                if result.verdict is Verdict.FAIL:
                    self._batch.add_record(ResultRecord(monitor, row.at_ms, True, record))
            self._schedule_batch()

    def add_transition(self, transition: Transition) -> None:
        if self._writer is not None:
            self._batch.add_transition(transition)
            self._schedule_batch()

    def add_incident(self, incident: Incident) -> None:
        """Add or replace the incident with this id."""
        if self._writer is not None:
            self._batch.add_incident(incident)
            self._schedule_batch()

    def record_state(self, monitor: str, state: State, *, in_maintenance: bool, at: datetime) -> None:
        """Start a span with this state, unless the monitor is in this state already."""
        if self._writer is not None and self._states.get(monitor) != (state, in_maintenance):
            self._states[monitor] = (state, in_maintenance)
            self._batch.add_span_start(SpanStart(monitor, to_ms(at), state, in_maintenance))
            self._schedule_batch()

    def tick(self, at: datetime) -> None:
        """Extend the open spans until now. To be called every few seconds."""
        if self._writer is None:
            return
        at_ms, before_ms = to_ms(at), self._seen_ms
        # By clocks that cannot be set.
        ticked_s, self._ticked_s = self._ticked_s, self._clock.monotonic_s() + self._clock.suspended_s()
        passed_ms = 1000 * (self._ticked_s - ticked_s)
        resumed_ms = wrong_since_ms = None
        ahead_ms = 0
        if before_ms is None:
            self._jumps.append((0, at_ms))  # the clock may have jumped since the last run
        elif at_ms > before_ms + GAP_MS:
            resumed_ms = at_ms
            if at_ms - before_ms > passed_ms + GAP_MS:
                recent = [jump for jump in self._jumps if before_ms - jump[1] < JUMP_DOUBTFUL_MS]
                self._jumps = [*recent, (before_ms, at_ms)]
        elif at_ms < before_ms:
            resumed_ms = at_ms
            ahead_ms = round(before_ms + passed_ms - at_ms)
            for begins_ms, ends_ms in self._jumps:
                if begins_ms <= at_ms < ends_ms and before_ms - ends_ms < JUMP_DOUBTFUL_MS:
                    wrong_since_ms = ends_ms  # after a jump ahead that the clock has undone
                    break
            if wrong_since_ms is not None:
                self._jumps = [jump for jump in self._jumps if jump[1] < wrong_since_ms]
                self._batch.redate(at, timedelta(milliseconds=ahead_ms))
        self._batch.add_tick(Tick(at_ms, resumed_ms, wrong_since_ms, ahead_ms))
        self._seen_ms = at_ms
        self._schedule_batch()

    def save_state(self, monitor: str, state: Mapping[str, Any]) -> None:
        """Save the JSON state of a monitor. The writer encodes it later, so it must not be changed."""
        if self._writer is not None:
            self._batch.states[monitor] = state
            self._schedule_batch()

    def save_daemon_state(self, key: str, state: Mapping[str, Any] | None) -> None:
        """Save a JSON state of the daemon, or delete it (None)."""
        if self._writer is not None:
            self._batch.daemon_states[key] = state
            self._schedule_batch()

    def rename(self, old: str, new: str) -> None:
        """Give the history of `old` to `new`, unless `new` has a history already."""
        if old in self._states and new not in self._states:
            self._states[new] = self._states.pop(old)
        if self._writer is not None:
            self._batch.rename(old, new)
            self._schedule_batch()

    def end_span(self, monitor: str, at: datetime) -> None:
        """End the span of a monitor that is no longer checked. Its history stays."""
        if self._writer is not None and self._states.pop(monitor, None) is not None:
            self._batch.add_span_start(SpanStart(monitor, to_ms(at), None, False))
            self._schedule_batch()

    def remove(self, monitor: str) -> None:
        """Delete the state of a removed monitor and end its span. Its results stay until they expire."""
        if self._writer is not None:
            self._batch.states[monitor] = None
            self.end_span(monitor, self._clock.now())
            self._schedule_batch()

    async def wait_until_stored(self, within_s: float, *, durable: bool = False) -> bool:
        """Pass all previous writes to the writer, and wait until they are stored. False: they are not, or not in time.

        True at once if the history is disabled. `durable`: they would survive a crash of the machine.
        """
        if self._writer is None:
            return True
        if not self.is_active or self._loop is None or self._is_closed:
            return False
        waiting = self._loop.create_future()
        if len(self._batch):
            self._batch.needs_sync |= durable
            self._waiting.append(waiting)
            # A notification is not delivered before it is stored: it does not wait for the timer.
            if self._timer is not None:
                self._timer.cancel()
            self._timer = self._loop.call_soon(self._pass_batch)
        elif self._passed_rows:
            self._writing.append(waiting)
        else:
            return self._writer.progress.is_last_stored
        done, _ = await asyncio.wait([waiting], timeout=within_s)
        return bool(done) and waiting.result()

    # Passing batches to the writer

    def _schedule_batch(self) -> None:
        if self._timer is None and self._loop is not None and not self._is_closed:
            self._timer = self._loop.call_later(COMMIT_EVERY_S, self._pass_batch)
        if self._batch.dropped and not self._has_logged_drop:
            self._has_logged_drop = True
            log.error("history: the storage is too slow, and the oldest queued rows are dropped")

    def _pass_batch(self) -> None:
        self._timer = None
        if self._writer is None or self._is_closed:
            return
        if self._passed_rows:
            self._is_batch_due = True
            return
        self._is_batch_due = False
        batch, self._batch = self._batch, Batch()
        self._passed_rows = len(batch)
        self._has_logged_drop = batch.dropped > 0
        self._writing, self._waiting = self._waiting, []
        if len(batch):
            self._writer.put(batch)
        else:
            self._resolve_waiting()

    def _on_batch_done(self) -> None:
        """Called in the thread of the writer."""
        if self._loop is not None:
            # RuntimeError: the loop ended while the storage did not respond.
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._after_batch)

    def _after_batch(self) -> None:
        self._passed_rows = 0
        self._resolve_waiting()
        if self._generation != self._progress_generation:
            self._generation = self._progress_generation
            now_ms = to_ms(self._clock.now())
            for monitor, (state, in_maintenance) in self._states.items():
                self._batch.add_span_start(SpanStart(monitor, now_ms, state, in_maintenance))
            self._schedule_batch()
        if self._is_batch_due:
            self._pass_batch()

    def _resolve_waiting(self) -> None:
        is_stored = self._writer is not None and self._writer.progress.is_last_stored
        for future in self._writing:
            if not future.done():
                future.set_result(is_stored)
        self._writing = []

    @property
    def _progress_generation(self) -> int:
        return 0 if self._writer is None else self._writer.progress.generation

    # Reads

    async def results(
        self, monitor: str, *, limit: int = 20, before: datetime | None = None, failed: bool = False
    ) -> list[StoredResult]:
        """The newest first. Results with a time in the future (a clock that was ahead) are only found with `before`.

        Raises HistoryError if the database cannot be read, as all reads do.
        """
        before_ms = to_ms(self._clock.now()) + CLOCK_JUMP_MS if before is None else to_ms(before)
        return await self._query(
            lambda connection: queries.results(connection, monitor, limit, before_ms, failed=failed), []
        )

    async def records(
        self, monitor: str, *, failed: bool = False, limit: int = 20
    ) -> list[Mapping[str, Any]]:
        """The last results or failures with all their fields, the newest first; at most MAX_RECORDS."""
        now_ms = to_ms(self._clock.now())
        return await self._query(
            lambda connection: queries.records(connection, monitor, limit, now_ms, is_failure=failed), []
        )

    async def buckets(
        self, monitor: str, start: datetime, end: datetime, step_s: float | None = None
    ) -> list[Bucket]:
        """All buckets of the period, in order. A step is a number of minutes, hours or days, at least `step_s`."""
        start_ms, end_ms = to_ms(start), to_ms(end)
        if end_ms <= start_ms:
            return []
        level_s, chosen_s = queries.choose_step(
            start_ms, end_ms, step_s, to_ms(self._clock.now()), self._horizons
        )
        return await self._query(
            lambda connection: queries.buckets(connection, monitor, start_ms, end_ms, level_s, chosen_s), []
        )

    async def summary(self, monitor: str, start: datetime, end: datetime) -> Bucket | None:
        """Return one bucket for the period, for its percentiles. It starts and ends on a full minute, hour or day."""
        start_ms, end_ms, now_ms = to_ms(start), to_ms(end), to_ms(self._clock.now())
        if end_ms <= start_ms:
            return None
        level_s = queries.choose_level(start_ms, end_ms, now_ms, self._horizons)
        step_s = -(-end_ms // (level_s * 1000)) * level_s - start_ms // (level_s * 1000) * level_s
        return await self._query(
            lambda connection: queries.total(connection, monitor, start_ms, step_s, level_s), None
        )

    async def uptime(self, monitor: str, start: datetime, end: datetime) -> Uptime:
        """The uptime, up to the last tick."""
        start_ms, end_ms = to_ms(start), to_ms(end)
        return await self._query(
            lambda connection: queries.uptime(connection, monitor, start_ms, end_ms), Uptime({})
        )

    async def uptimes(
        self, monitors: Sequence[str], windows: Sequence[tuple[datetime, datetime]]
    ) -> dict[str, tuple[Uptime, ...]]:
        """The uptime of each monitor in each window."""
        ranges = [(to_ms(start), to_ms(end)) for start, end in windows]
        default = {name: tuple(Uptime({}) for _ in ranges) for name in monitors}
        return await self._query(lambda connection: queries.uptimes(connection, monitors, ranges), default)

    async def total_uptimes(
        self, monitors: Sequence[str], windows: Sequence[tuple[datetime, datetime]]
    ) -> tuple[Uptime, ...]:
        """The uptime of all monitors together in each window."""
        ranges = [(to_ms(start), to_ms(end)) for start, end in windows]
        default = tuple(Uptime({}) for _ in ranges)
        return await self._query(
            lambda connection: queries.total_uptimes(connection, monitors, ranges), default
        )

    async def incidents(
        self,
        *,
        monitor: str | None = None,
        is_open: bool | None = None,
        limit: int = 50,
        before: datetime | None = None,
    ) -> list[Incident]:
        """The newest first. `before` refers to the time when they opened."""
        before_ms = None if before is None else to_ms(before)
        return await self._query(
            lambda connection: queries.incidents(connection, monitor, limit, before_ms, is_open=is_open), []
        )

    async def summaries(self, monitors: Sequence[str], start: datetime, end: datetime) -> dict[str, Bucket]:
        """One bucket of the whole period for each monitor, for its checks and percentiles.

        It starts and ends on the nearest minute, hour or day in UTC, depending on the data that is still stored. The
        time by state is that of the rounded period: see `uptimes` for the exact time.
        """
        start_ms, end_ms, now_ms = to_ms(start), to_ms(end), to_ms(self._clock.now())
        if end_ms <= start_ms:
            return {}
        level_s = queries.choose_level(start_ms, end_ms, now_ms, self._horizons)
        level_ms = level_s * 1000
        first_ms, last_ms = (round(at_ms / level_ms) * level_ms for at_ms in (start_ms, end_ms))
        step_s = max(last_ms - first_ms, level_ms) // 1000
        return await self._query(
            lambda connection: {
                name: queries.total(connection, name, first_ms, step_s, level_s) for name in monitors
            },
            {},
        )

    async def maintenance(
        self, monitors: Sequence[str], start: datetime, end: datetime
    ) -> list[MaintenanceTime]:
        """The time in maintenance of each monitor in the period."""
        start_ms, end_ms = to_ms(start), to_ms(end)
        return await self._query(
            lambda connection: periods.maintenance(connection, monitors, start_ms, end_ms), []
        )

    async def incident_times(self, start: datetime, end: datetime) -> list[IncidentTime]:
        """All incidents that were open during the period, in the order in which they opened, without their causes."""
        start_ms, end_ms = to_ms(start), to_ms(end)
        return await self._query(lambda connection: periods.incident_times(connection, start_ms, end_ms), [])

    async def incidents_by_id(self, ids: Sequence[str]) -> list[Incident]:
        """The incidents with these ids, the oldest first."""
        return await self._query(lambda connection: periods.incidents_by_id(connection, ids), [])

    async def uptimes_between(
        self, monitors: Sequence[str], bounds: Sequence[datetime]
    ) -> dict[str, tuple[Uptime, ...]]:
        """The uptime of each monitor between each two adjacent bounds, such as midnights; they are in order."""
        bounds_ms = [to_ms(bound) for bound in bounds]
        default = {name: tuple(Uptime({}) for _ in bounds[1:]) for name in monitors}
        return await self._query(
            lambda connection: queries.uptimes_between(connection, monitors, bounds_ms), default
        )

    async def transitions(
        self, monitor: str, *, limit: int = 50, before: datetime | None = None
    ) -> list[Transition]:
        """The newest first."""
        before_ms = None if before is None else to_ms(before)
        return await self._query(
            lambda connection: queries.transitions(connection, monitor, limit, before_ms), []
        )

    async def days(self, monitor: str, count: int = 90) -> list[DaySummary]:
        """UTC days, the oldest first, including today."""
        now_ms = to_ms(self._clock.now())
        return await self._query(lambda connection: queries.days(connection, monitor, count, now_ms), [])

    async def export(self, monitor: str) -> AsyncIterator[StoredResult]:
        """All stored results, the oldest first, read in pages."""
        after_ms = -1
        while True:
            page = partial(queries.results_after, monitor=monitor, after_ms=after_ms, limit=EXPORT_PAGE_ROWS)
            rows: list[StoredResult] = await self._query(page, [])
            for row in rows:
                yield row
            if len(rows) < EXPORT_PAGE_ROWS:
                return
            after_ms = to_ms(rows[-1].at)

    async def export_buckets(self, monitor: str, step_s: int = 3600) -> AsyncIterator[Bucket]:
        """All minutes, hours or days (`step_s`: 60, 3600 or 86400) with results, the oldest first."""
        now_ms = to_ms(self._clock.now())
        step_ms = step_s * 1000
        start_ms = await self._query(
            lambda connection: queries.first_rollup(connection, monitor, step_s), now_ms
        )
        while start_ms <= now_ms:
            end_ms = start_ms + EXPORT_PAGE_ROWS * step_ms
            page = partial(
                queries.buckets,
                monitor=monitor,
                start_ms=start_ms,
                end_ms=min(end_ms, now_ms + 1),
                level_s=step_s,
                step_s=step_s,
            )
            buckets: list[Bucket] = await self._query(page, [])
            for bucket in buckets:
                if any(bucket.counts.values()):
                    yield bucket
            start_ms = end_ms

    async def _query(self, query: Callable[[Connection], T], default: T) -> T:
        if self._reader is None or self._writer is None or self._writer.progress.is_off:
            return default
        return await self._reader.query(query)

    @property
    def _horizons(self) -> Horizons:
        return Horizons(self._settings.minutes_s, self._settings.hours_s)

    # Status

    @property
    def is_active(self) -> bool:
        """Whether it stores anything: there is a path, it is enabled, and the database is not of a newer version."""
        return self._writer is not None and not self._writer.progress.is_off

    def stats(self) -> HistoryStats:
        queued, dropped = len(self._batch) + self._passed_rows, self._batch.dropped
        if self._writer is None:
            return HistoryStats(queued, dropped, 0, None, None, 0, None, 0.0)
        progress = self._writer.progress
        return HistoryStats(
            queued=queued,
            dropped=progress.dropped + dropped,
            written=progress.written,
            error=progress.error,
            failing_since=progress.failing_since,
            size_bytes=progress.size_bytes,
            last_commit_at=progress.last_commit_at,
            max_commit_s=progress.max_commit_s,
            resets=progress.resets,
            reset_at=progress.reset_at,
            reset_reason=progress.reset_reason,
        )

    def stall_description(self) -> str | None:
        """Describe the stall of the writer; None while it makes progress or has no work, even on a failing disk."""
        if self._writer is None or not self._passed_rows:
            return None
        for_s = time.monotonic() - self._writer.progress.progress_at_s
        if for_s < WRITER_STALL_S:
            return None
        return f"the writer of the history has made no progress for {format_duration(round(for_s))}"
