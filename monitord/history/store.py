"""The database as the writer sees it: a batch is one transaction, and upkeep (sealing, retention) small ones.

One thread at a time. What it remembers beside the database is made again from it after a transaction that failed.
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
from monitord.model import Incident, Reason

log = logging.getLogger(__name__)

MAX_ROLLUPS_AT_ONCE = 50
"""Monitors in one transaction: some 15 ms."""

MAX_RECORDS = 20
SPARE_RECORDS = 10
"""Beyond those that are kept, so that not each result deletes one."""

SAME_MOMENT_MS = 100
"""Results of a monitor within so short a time are told apart by counting milliseconds on."""


class Store:
    """An open database. Every method may raise sqlite3.Error, and then has changed nothing."""

    def __init__(self, path: Path, settings: HistorySettings, *, is_first: bool) -> None:
        """Opens it, as `open_for_writing` does. `is_first`: spans that are open are of a daemon that has gone."""
        self._connection = open_for_writing(path)
        self._monitors: dict[str, int] = {}
        self._reasons: dict[str, int] = {}
        self._rolled_up_ms: dict[int, int] = {}
        self._last_ms: dict[int, int] = {}
        self._grown: dict[tuple[int, bool], int] = {}
        self._pending_rollups = PendingRollups()
        try:
            # A clock that returns to before this was not ahead in this run alone.
            self._seen_before_ms = spans.read_seen(self._connection)
            ages = RetentionClock(self._connection, self._seen_before_ms)
            self._retention = Retention(settings, ages)
            self._remember()
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
        """Write into the file what is in the log, and give its room back."""
        self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def size_bytes(self) -> int:
        return size_bytes(self._connection)

    # A batch

    def write(self, batch: Batch) -> int:
        """Returns how many rows were written."""
        moments: dict[int, int] = {}
        with self._durable() if batch.is_durable else contextlib.nullcontext(), self._transaction():
            self._write_renames(batch)
            fresh = self._write_results(batch, moments)
            self._write_records(batch)
            # First, as changes of this batch may be dated by the clock as it is now.
            self._redate(batch)
            self._write_changes(batch)
            self._write_timeline(batch)
            self._write_states(batch)
        # Only what is in is remembered: a batch that failed comes again.
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
        """Returns those that are in no rollup yet (monitor, at), and in `moments` the last of each monitor."""
        rows = []
        fresh = []
        late: dict[int, Minutes] = {}
        for name, at_ms, duration_us, outcome, reason, phases_us, detail in batch.results:
            monitor = self._monitor(batch.renames.get(name, name))
            last_ms = moments.get(monitor) or self._last_ms.get(monitor, 0)
            moment_ms = last_ms + 1 if 0 <= last_ms - at_ms < SAME_MOMENT_MS else at_ms
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
            # What a clock that was ahead has dated goes first, or it would stay and the new ones would go.
            [(*key, newest_ms[key] + CLOCK_JUMP_MS, MAX_RECORDS) for key in full],
        )
        self._grown.update(dict.fromkeys(full, 0))

    def _write_changes(self, batch: Batch) -> None:
        self._connection.executemany(
            "INSERT OR IGNORE INTO transitions VALUES (?, ?, ?, ?, ?, ?, ?)",
            [
                (
                    self._monitor(batch.renames.get(one.monitor, one.monitor)),
                    to_ms(one.at),
                    STATE_CODES[one.before],
                    STATE_CODES[one.after],
                    to_ms(one.since),
                    self._reason(one.reason.value),
                    storable_text(one.detail),
                )
                for one in batch.transitions
            ],
        )
        incidents = [
            self._incident_row(one, batch.renames.get(one.monitor, one.monitor))
            for one in batch.incidents.values()
        ]
        unrecognized = self._reasons.get(Reason.UNRECOGNIZED.value)
        self._connection.executemany(
            # The reason of another version is kept for it.
            """
            INSERT INTO incidents VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
            ON CONFLICT (id) DO UPDATE SET
                monitor = ?2, opened = ?3, closed = ?4, detail = ?6,
                acknowledged_by = ?7, acknowledged = ?8, comment = ?9,
                reason = CASE WHEN ?5 = ?10 THEN reason ELSE ?5 END
            """,
            [(*row, unrecognized) for row in incidents],
        )

    def _incident_row(self, incident: Incident, monitor: str) -> tuple[object, ...]:
        return (
            incident.id,
            self._monitor(monitor),
            to_ms(incident.opened_at),
            None if incident.closed_at is None else to_ms(incident.closed_at),
            self._reason(incident.reason.value),
            storable_text(incident.detail),
            storable_text(incident.acknowledged_by),
            None if incident.acknowledged_at is None else to_ms(incident.acknowledged_at),
            storable_text(incident.comment),
        )

    def _write_timeline(self, batch: Batch) -> None:
        for one in batch.timeline:
            if isinstance(one, Tick):
                if one.from_ms is not None:
                    was_ahead = one.from_ms >= self._seen_before_ms
                    spans.resume(self._connection, one.from_ms, one.wrong_since_ms if was_ahead else None)
                spans.write_seen(self._connection, one.at_ms)
            else:
                name = batch.renames.get(one.monitor, one.monitor)
                if one.state is not None or name in self._monitors:
                    state = None if one.state is None else STATE_CODES[one.state]
                    if state is not None and one.in_maintenance:
                        state |= IN_MAINTENANCE
                    spans.begin(self._connection, self._monitor(name), one.at_ms, state)

    def _redate(self, batch: Batch) -> None:
        """Correct the changes of state and the incidents that a clock that was ahead has dated after now."""
        for one in batch.timeline:
            if not isinstance(one, Tick) or one.from_ms is None or one.wrong_since_ms is None:
                continue
            if one.from_ms < self._seen_before_ms:
                continue
            self._connection.execute(
                """
                UPDATE OR REPLACE transitions SET at = at - ?1, since = since - ?1 * (since > ?2) WHERE at > ?2
                """,
                (one.ahead_ms, one.from_ms),
            )
            self._connection.execute(
                """
                UPDATE incidents SET opened = opened - ?1 * (opened > ?2), closed = closed - ?1 * (closed > ?2),
                acknowledged = acknowledged - ?1 * (acknowledged > ?2) WHERE coalesce(closed, opened) > ?2
                """,
                (one.ahead_ms, one.from_ms),
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

    # Upkeep

    def maintain(self, now_ms: int) -> None:
        """Seal what is due and delete what is too old: a little, so that the next batch does not wait for long."""
        self._roll_up(now_ms)
        if self._retention.is_due(now_ms):
            with self._transaction():
                for monitor in self._retention.step(self._connection, now_ms):
                    self._forget_unused(monitor)
            self._retention.vacuum(self._connection)

    def _roll_up(self, now_ms: int) -> None:
        due = self._pending_rollups.due(now_ms, MAX_ROLLUPS_AT_ONCE)
        if not due:
            return
        sealed = dict.fromkeys(due, rollup_until_ms(now_ms))
        with self._transaction():
            for monitor, until_ms in sealed.items():
                roll_up(self._connection, monitor, self._rolled_up_ms[monitor], until_ms)
        self._rolled_up_ms |= sealed
        self._pending_rollups.find(self._connection, sealed)

    def _forget_unused(self, monitor: int) -> None:
        """A name of which nothing is left. It gets a new number if it comes back."""
        for name, number in list(self._monitors.items()):
            if number == monitor:
                self._connection.execute("DELETE FROM monitors WHERE id = ?", (monitor,))
                del self._monitors[name]
                del self._rolled_up_ms[monitor]
                self._last_ms.pop(monitor, None)

    # Within

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

    def _remember(self) -> None:
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
        """Commits within it wait for the disk; others leave that to the next checkpoint (sqlite.org/wal.html)."""
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
            self._remember()
            raise


def as_json(value: Mapping[str, Any], whose: str) -> str | None:
    """None for what JSON cannot say: it costs this state, not the transaction with everybody's rows in it."""
    try:
        return json.dumps(value, separators=(",", ":"))
    except (TypeError, ValueError, RecursionError) as error:
        log.error("history: the state of %s is not JSON and is not kept: %s", whose, error)  # noqa: TRY400
        return None


def _row_id(cursor: sqlite3.Cursor) -> int:
    if cursor.lastrowid is None:
        raise AssertionError("an INSERT has a row")
    return cursor.lastrowid
