"""The database, opened for writing: a batch is one transaction; maintenance (rollups, retention) uses small ones.

To be used by one thread at a time. The values that it caches are read again after a failed transaction.
"""

import contextlib
import json
import logging
import sqlite3
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from monitord.history import spans
from monitord.history.batch import Batch, Tick
from monitord.history.database import open_for_writing
from monitord.history.encoding import IN_MAINTENANCE, STATE_CODES, pack_integers, storable_text, to_ms
from monitord.history.retention import Retention, size_bytes
from monitord.history.retention_clock import CLOCK_JUMP_MS, RetentionClock
from monitord.history.rollups import Minutes, PendingRollups, add_to, merge_minutes, roll_up, rollup_until_ms
from monitord.history.settings import HistorySettings
from monitord.model import Reason

log = logging.getLogger(__name__)

MAX_ROLLUPS_AT_ONCE = 50
"""Monitors that one transaction rolls up, which takes about 15 ms."""

MAX_RECORDS = 20
SPARE_RECORDS = 10
"""Records beyond MAX_RECORDS, so that not every result has to delete one."""

SAME_TIME_MS = 100
"""Results of a monitor within this time get increasing milliseconds, because a result is identified by its time."""


class Store:
    """An open database. Every method may raise sqlite3.Error; the database is then unchanged."""

    def __init__(self, path: Path, settings: HistorySettings, *, is_first: bool) -> None:
        """Open the database. `is_first`: open spans are those of an earlier run, and end.

        Raises the errors of `open_for_writing`.
        """
        self._connection = open_for_writing(path)
        self._monitors: dict[str, int] = {}
        self._reasons: dict[str, int] = {}
        self._rolled_up_ms: dict[int, int] = {}
        self._last_ms: dict[int, int] = {}
        self._grown: dict[tuple[int, bool], int] = {}
        self._pending_rollups = PendingRollups()
        try:
            # A clock that is set back to before this time was already ahead in an earlier run.
            self._last_run_ms = spans.read_seen(self._connection)
            clock = RetentionClock(self._connection, self._last_run_ms)
            self._retention = Retention(settings, clock)
            self._read_names()
            self._pending_rollups.find(self._connection, self._rolled_up_ms)
            if is_first:
                with self._transaction():
                    spans.end_all(self._connection)
        except BaseException:
            self._connection.close()
            raise

    @property
    def connection(self) -> sqlite3.Connection:
        return self._connection

    def close(self) -> None:
        self._connection.close()

    def empty_log(self) -> None:
        """Write the write-ahead log into the database and truncate it."""
        self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def size_bytes(self) -> int:
        return size_bytes(self._connection)

    # A batch

    def write(self, batch: Batch) -> int:
        """Write it in one transaction. Returns the number of rows."""
        moments: dict[int, int] = {}
        with self._durable() if batch.needs_sync else contextlib.nullcontext(), self._transaction():
            self._write_renames(batch)
            fresh = self._write_results(batch, moments)
            self._write_records(batch)
            # Before the changes of this batch, which may have times of the corrected clock.
            self._redate(batch)
            self._write_changes(batch)
            self._write_timeline(batch)
            self._write_states(batch)
        # After the transaction: a failed batch is written again.
        self._last_ms.update(moments)
        for monitor, at_ms in fresh:
            self._pending_rollups.add(monitor, at_ms)
        return len(batch)

    def _write_renames(self, batch: Batch) -> None:
        for old, new in batch.renames.items():
            if old in self._monitors and new not in self._monitors:
                self._connection.execute("UPDATE monitors SET name = ? WHERE name = ?", (new, old))
                self._monitors[new] = self._monitors.pop(old)
            self._connection.execute("UPDATE OR IGNORE states SET monitor = ? WHERE monitor = ?", (new, old))
            self._connection.execute("DELETE FROM states WHERE monitor = ?", (old,))

    def _write_results(self, batch: Batch, moments: dict[int, int]) -> list[tuple[int, int]]:
        """Return (monitor, time) of results that are in no rollup, and in `moments` the last time of each monitor."""
        rows = []
        fresh = []
        late: dict[int, Minutes] = {}
        for name, at_ms, duration_us, outcome, reason, phases_us, detail in batch.results:
            monitor = self._monitor(batch.renames.get(name, name))
            last_ms = moments.get(monitor) or self._last_ms.get(monitor, 0)
            moment_ms = last_ms + 1 if 0 <= last_ms - at_ms < SAME_TIME_MS else at_ms
            moments[monitor] = moment_ms
            blob = pack_integers(phases_us) if phases_us else None
            rows.append((monitor, moment_ms, duration_us, outcome, self._reason(reason), blob, detail))
            if moment_ms >= self._rolled_up_ms[monitor]:
                fresh.append((monitor, moment_ms))
            else:
                add_to(late.setdefault(monitor, {}), moment_ms, duration_us, outcome, phases_us)
        self._connection.executemany("INSERT OR IGNORE INTO results VALUES (?, ?, ?, ?, ?, ?, ?)", rows)
        for monitor, minutes in late.items():
            merge_minutes(self._connection, monitor, minutes)
        return fresh

    def _write_records(self, batch: Batch) -> None:
        rows = []
        grown: dict[tuple[int, bool], int] = {}
        newest_ms: dict[tuple[int, bool], int] = {}
        for name, at_ms, is_failure, record in batch.records:
            monitor = self._monitor(batch.renames.get(name, name))
            text = as_json(record, name)
            if text is not None:
                rows.append((monitor, is_failure, at_ms, zlib.compress(text.encode(), 1)))
                key = (monitor, is_failure)
                grown[key] = self._grown[key] = self._grown.get(key, SPARE_RECORDS) + 1
                newest_ms[key] = at_ms
        self._connection.executemany("INSERT OR REPLACE INTO records VALUES (?, ?, ?, ?)", rows)
        full = [key for key, count in grown.items() if count > SPARE_RECORDS]
        self._connection.executemany(
            """
            DELETE FROM records WHERE monitor = ?1 AND is_failure = ?2 AND at NOT IN (
                SELECT at FROM records WHERE monitor = ?1 AND is_failure = ?2
                ORDER BY at > ?3, at DESC LIMIT ?4
            )
            """,
            # Records with times of a clock that was ahead are deleted first: they would replace all newer results.
            [(*key, newest_ms[key] + CLOCK_JUMP_MS, MAX_RECORDS) for key in full],
        )
        self._grown.update(dict.fromkeys(full, 0))

    def _write_changes(self, batch: Batch) -> None:
        self._connection.executemany(
            "INSERT OR IGNORE INTO transitions VALUES (?, ?, ?, ?, ?, ?, ?)",
            [
                (
                    self._monitor(batch.renames.get(transition.monitor, transition.monitor)),
                    to_ms(transition.at),
                    STATE_CODES[transition.before],
                    STATE_CODES[transition.after],
                    to_ms(transition.since),
                    self._reason(transition.reason.value),
                    storable_text(transition.detail),
                )
                for transition in batch.transitions
            ],
        )
        incidents = [
            (
                incident.id,
                self._monitor(batch.renames.get(incident.monitor, incident.monitor)),
                to_ms(incident.opened_at),
                None if incident.closed_at is None else to_ms(incident.closed_at),
                self._reason(incident.reason.value),
                storable_text(incident.detail),
                storable_text(incident.acknowledged_by),
                None if incident.acknowledged_at is None else to_ms(incident.acknowledged_at),
                storable_text(incident.comment),
            )
            for incident in batch.incidents.values()
        ]
        unrecognized = self._reasons.get(Reason.UNRECOGNIZED.value)
        self._connection.executemany(
            # A reason of a newer version stays in the database.
            """
            INSERT INTO incidents VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
            ON CONFLICT (id) DO UPDATE SET
                monitor = ?2, opened = ?3, closed = ?4, detail = ?6,
                acknowledged_by = ?7, acknowledged = ?8, comment = ?9,
                reason = CASE WHEN ?5 = ?10 THEN reason ELSE ?5 END
            """,
            [(*row, unrecognized) for row in incidents],
        )

    def _write_timeline(self, batch: Batch) -> None:
        for event in batch.timeline:
            if isinstance(event, Tick):
                if event.resumed_ms is not None:
                    was_ahead = event.resumed_ms >= self._last_run_ms
                    spans.resume(
                        self._connection, event.resumed_ms, event.wrong_since_ms if was_ahead else None
                    )
                spans.write_seen(self._connection, event.at_ms)
            else:
                name = batch.renames.get(event.monitor, event.monitor)
                if event.state is not None or name in self._monitors:
                    state = None if event.state is None else STATE_CODES[event.state]
                    if state is not None and event.in_maintenance:
                        state |= IN_MAINTENANCE
                    spans.start(self._connection, self._monitor(name), event.at_ms, state)

    def _redate(self, batch: Batch) -> None:
        """Correct times in the future in stored transitions and incidents, which a clock that was ahead has caused."""
        for tick in batch.timeline:
            if not isinstance(tick, Tick) or tick.resumed_ms is None or tick.wrong_since_ms is None:
                continue
            if tick.resumed_ms < self._last_run_ms:
                continue
            self._connection.execute(
                """
                UPDATE OR REPLACE transitions SET at = at - ?1, since = since - ?1 * (since > ?2) WHERE at > ?2
                """,
                (tick.ahead_ms, tick.resumed_ms),
            )
            self._connection.execute(
                """
                UPDATE incidents SET opened = opened - ?1 * (opened > ?2), closed = closed - ?1 * (closed > ?2),
                acknowledged = acknowledged - ?1 * (acknowledged > ?2) WHERE coalesce(closed, opened) > ?2
                """,
                (tick.ahead_ms, tick.resumed_ms),
            )

    def _write_states(self, batch: Batch) -> None:
        for name, state in batch.states.items():
            if state is None:
                self._connection.execute("DELETE FROM states WHERE monitor = ?", (name,))
            else:
                self._write_json("INSERT OR REPLACE INTO states VALUES (?, ?)", name, state)
        for key, state in batch.daemon_states.items():
            if state is None:
                self._connection.execute("DELETE FROM daemon_states WHERE key = ?", (key,))
            else:
                self._write_json("INSERT OR REPLACE INTO daemon_states VALUES (?, ?)", key, state)

    def _write_json(self, statement: str, key: str, state: Mapping[str, Any]) -> None:
        text = as_json(state, key)
        if text is not None:
            self._connection.execute(statement, (key, text))

    # Maintenance

    def maintain(self, now_ms: int) -> None:
        """Roll up monitors that are due and delete old rows: a few at a time, so that the next batch does not wait."""
        due = self._pending_rollups.due(now_ms, MAX_ROLLUPS_AT_ONCE)
        if due:
            rolled_up_until = dict.fromkeys(due, rollup_until_ms(now_ms))
            with self._transaction():
                for monitor, until_ms in rolled_up_until.items():
                    roll_up(self._connection, monitor, self._rolled_up_ms[monitor], until_ms)
            self._rolled_up_ms |= rolled_up_until
            self._pending_rollups.find(self._connection, rolled_up_until)
        if self._retention.is_due(now_ms):
            with self._transaction():
                for monitor in self._retention.step(self._connection, now_ms):
                    # It has no rows, and gets a new number when it returns.
                    for name, number in list(self._monitors.items()):
                        if number == monitor:
                            self._connection.execute("DELETE FROM monitors WHERE id = ?", (monitor,))
                            del self._monitors[name]
                            del self._rolled_up_ms[monitor]
                            self._last_ms.pop(monitor, None)
            self._retention.vacuum(self._connection)

    # Numbers of names, transactions

    def _monitor(self, name: str) -> int:
        number = self._monitors.get(name)
        if number is None:
            cursor = self._connection.execute("INSERT INTO monitors (name) VALUES (?)", (name,))
            number = self._monitors[name] = _row_id(cursor)
            self._rolled_up_ms[number] = 0
        return number

    def _reason(self, name: str) -> int:
        number = self._reasons.get(name)
        if number is None:
            cursor = self._connection.execute("INSERT INTO reasons (name) VALUES (?)", (name,))
            number = self._reasons[name] = _row_id(cursor)
        return number

    def _read_names(self) -> None:
        self._monitors, self._rolled_up_ms = {}, {}
        for number, name, rolled_up_until in self._connection.execute(
            "SELECT id, name, rolled_up_until FROM monitors"
        ):
            self._monitors[name] = number
            self._rolled_up_ms[number] = rolled_up_until
        self._reasons = {
            name: number for number, name in self._connection.execute("SELECT id, name FROM reasons")
        }

    @contextlib.contextmanager
    def _durable(self) -> Iterator[None]:
        """Make commits wait for the disk; others are synchronized by the next checkpoint (sqlite.org/wal.html)."""
        self._connection.execute("PRAGMA synchronous = FULL")
        try:
            yield
        finally:
            self._connection.execute("PRAGMA synchronous = NORMAL")

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._connection.execute("COMMIT")
        except BaseException:
            # SQLite ends the transaction itself on some errors, such as a full disk.
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            self._read_names()
            raise


def as_json(value: Mapping[str, Any], name: str) -> str | None:
    """None, and a log line, if it cannot be JSON: that must not fail the transaction with all other rows."""
    try:
        return json.dumps(value, separators=(",", ":"))
    except (TypeError, ValueError, RecursionError) as error:
        log.error("history: the state of %s cannot be stored, because it is not JSON: %s", name, error)  # noqa: TRY400
        return None


def _row_id(cursor: sqlite3.Cursor) -> int:
    if cursor.lastrowid is None:
        raise AssertionError("INSERT returned no row id")
    return cursor.lastrowid
