"""The thread that writes. It is handed one batch at a time and keeps at it until that one is in, or the daemon stops.

A full disk, a lock, a directory that cannot be written: the batch is tried again, more and more rarely, and
meanwhile the next one fills (see `batch`). That is said once, and once more when writing goes on. A damaged
database is set aside, what can still be read of its states goes into a new one; that is logged and shown. Removed or
overwritten files are recognised, as SQLite goes on with the old ones. A newer database is left alone, and nothing is
kept.
"""

import contextlib
import logging
import queue
import sqlite3
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from monitord.clock import Clock
from monitord.history.batch import Batch
from monitord.history.damage import UNREADABLE
from monitord.history.database import (
    READ_ONLY,
    FileIdentity,
    has_no_log,
    is_damage,
    is_log_overwritten,
    is_passing,
    make_folder,
    open_for_reading,
    protect,
    set_aside,
)
from monitord.history.encoding import from_ms, to_ms
from monitord.history.saved_state import SavedState, read_saved_state, salvage
from monitord.history.schema import DamageError, ForeignDatabaseError, NewerVersionError, check_tables
from monitord.history.settings import HistorySettings
from monitord.history.store import Store
from monitord.journal_events import JournalEvent
from monitord.units import format_duration

log = logging.getLogger(__name__)

FIRST_RETRY_AFTER_S = 0.25
MAX_RETRY_AFTER_S = 10.0

VERIFY_EVERY_S = 10.0
"""How often the file is read by another connection than the one that writes."""

STANDSTILL_S = 60.0
"""Each attempt moves the thread, also one that fails, and a long one while it works. What holds it for so long is a
call into the kernel that does not return."""

INSTRUCTIONS_BETWEEN_PROGRESS = 1_000_000
"""Of SQLite's machine."""


@dataclass(slots=True)
class Progress:
    """Written by the thread, read by everybody: each field by itself. `progress_at_s` is of the monotonic clock."""

    written: int = 0
    dropped: int = 0
    error: str | None = None
    failing_since: datetime | None = None
    size_bytes: int = 0
    last_commit_at: datetime | None = None
    max_commit_s: float = 0.0
    progress_at_s: float = 0.0
    generation: int = 0
    resets: int = 0
    reset_at: datetime | None = None
    reset_reason: str | None = None
    is_off: bool = False
    is_last_stored: bool = True


class Writer:
    """`open` first, in any thread; then `start`. `done` is called in the thread after each batch, written or lost.

    `dropped` says how many rows found no room in the batch that is not handed over yet. `generation` of its
    progress counts databases begun anew, for whoever has the old one open.
    """

    def __init__(
        self,
        path: Path,
        settings: HistorySettings,
        clock: Clock,
        done: Callable[[], None],
        dropped: Callable[[], int],
    ) -> None:
        self._path = path
        self._settings = settings
        self._clock = clock
        self._done = done
        self._dropped = dropped
        self._store: Store | None = None
        self._is_first = True
        self._inbox: queue.SimpleQueue[Batch | None] = queue.SimpleQueue()
        self._is_ending = threading.Event()
        self._is_suspect = threading.Event()
        self._thread: threading.Thread | None = None
        self._dropped_before = 0
        self._files: FileIdentity | None = None
        self._rescued: SavedState | None = None  # from a database that is gone; not written yet
        self._verified_at_s = 0.0
        self._failures = 0  # attempts in a row that ended in an error that is neither passing nor damage
        self.progress = Progress()

    def open(self) -> SavedState:
        """What was kept. Never raises."""
        try:
            return self._open()
        except NewerVersionError as error:
            self._switch_off(error)
            return SavedState()
        except (sqlite3.Error, OSError) as error:
            self._record_failure(error)
            return self._read_only()

    def _open(self) -> SavedState:
        try:
            self._create_folder()
            store = self._opened()
            return read_saved_state(store.connection)
        except (sqlite3.Error, ForeignDatabaseError, DamageError, ValueError, OverflowError) as error:
            if is_passing(error):
                raise
            return self._reset(error)

    def _read_only(self) -> SavedState:
        """States are wanted all the more where they cannot be written."""
        for how in READ_ONLY if has_no_log(self._path) else READ_ONLY[:1]:
            try:
                with contextlib.closing(open_for_reading(self._path, how)) as connection:
                    return read_saved_state(connection)
            except (sqlite3.Error, ValueError, OverflowError):
                continue
        return SavedState()

    def _create_folder(self) -> None:
        make_folder(self._path.parent)

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="history-writer", daemon=True)
        self._thread.start()

    def put(self, batch: Batch) -> None:
        """One at a time: the next one after `done`."""
        self.progress.progress_at_s = time.monotonic()
        self._inbox.put(batch)

    def end(self) -> None:
        """After what was put there is one more attempt at it, and no other."""
        self._is_ending.set()
        self._inbox.put(None)

    def suspect(self) -> None:
        """A reader found damage: it will be looked for before the next batch."""
        self._is_suspect.set()

    def join(self, within_s: float) -> bool:
        """Whether all has ended. It blocks."""
        if self._thread is None:
            self._close()
            return True
        self._thread.join(within_s)
        return not self._thread.is_alive()

    # In the thread

    def _run(self) -> None:
        while (batch := self._inbox.get()) is not None:
            self._store_batch(batch)
            self._done()
        self._close()

    def _store_batch(self, batch: Batch) -> None:
        progress = self.progress
        progress.dropped += batch.dropped
        delay_s = FIRST_RETRY_AFTER_S
        while not progress.is_off:
            self._move()
            if self._attempt(batch):
                progress.is_last_stored = self._failures == 0
                break
            if self._is_ending.wait(delay_s):
                self._drop(batch)
                break
            delay_s = min(2 * delay_s, MAX_RETRY_AFTER_S)
        else:
            self._drop(batch)
        self._move()

    def _attempt(self, batch: Batch) -> bool:
        """Whether the batch has an end: it is in, or can never be."""
        try:
            self._check_for_damage()
            self._write(batch)
            self._opened().maintain(to_ms(self._clock.now()))
            self._failures = 0
            self._record_recovery()
        except NewerVersionError as error:
            self._switch_off(error)
            return False
        except (sqlite3.Error, OSError, ForeignDatabaseError, *UNREADABLE) as error:
            return self._explain(error, batch)
        return True

    def _write(self, batch: Batch) -> None:
        store = self._opened()
        began = time.monotonic()
        if len(batch):
            written = store.write(batch)
            if self._files is None:
                # Now there is a log as well.
                self._files = FileIdentity.of(self._path)
            batch.clear()  # if upkeep fails now, the batch is tried again without it
            self.progress.written += written
            self.progress.last_commit_at = self._clock.now()
            self.progress.max_commit_s = max(self.progress.max_commit_s, time.monotonic() - began)
        self.progress.size_bytes = store.size_bytes()

    def _explain(self, error: Exception, batch: Batch) -> bool:
        if is_passing(error) or isinstance(error, OSError):
            self._record_failure(error)
            if self._store is not None:
                # On a full disk the log may be what fills it; where that is not so, this fails as well.
                with contextlib.suppress(sqlite3.Error):
                    self._store.empty_log()
                    self._files = None  # an empty log is no damage now
            return False
        if is_damage(error):
            try:
                self._reset(error)
            except (sqlite3.Error, OSError) as another:
                self._record_failure(another)
            return False
        # A database that was changed under us, or a bug of ours. Rows count as failing until some are written.
        self._record_failure(error)
        self._failures += 1
        if self._failures == 1:
            self._close()
            self._is_suspect.set()
            return False
        # The database is sound, and the same rows would fail for ever.
        log.error("history: %d rows cannot be written and are dropped", len(batch), exc_info=error)
        self._drop(batch)
        return True

    def _opened(self) -> Store:
        if self._store is None:
            self._create_folder()
            protect(self._path)
            store = Store(self._path, self._settings, is_first=self._is_first)
            store.connection.set_progress_handler(self._move, INSTRUCTIONS_BETWEEN_PROGRESS)
            self._store, self._is_first = store, False
            self._files = None
            self.progress.size_bytes = store.size_bytes()
        if self._rescued is not None:
            self._store.write(_batch_of(self._rescued))
            self._rescued = None
        return self._store

    def _move(self) -> None:
        self.progress.progress_at_s = time.monotonic()

    def _close(self) -> None:
        if self._store is not None:
            self._store.close()
            self._store = None

    def _check_for_damage(self) -> None:
        """Raises DamageError. SQLite itself notices neither a file that was removed nor a log that was overwritten."""
        if self._store is not None and self._files is not None:
            self._compare_files(self._store, self._files)
        now_s = time.monotonic()
        if self._is_suspect.is_set():
            self._is_suspect.clear()
            self._verify(thoroughly=True)
        elif self._store is not None and now_s - self._verified_at_s >= VERIFY_EVERY_S:
            self._verify(thoroughly=False)

    def _compare_files(self, store: Store, before: FileIdentity) -> None:
        now = FileIdentity.of(self._path)
        if now.database == before.database:
            if now.log != before.log or is_log_overwritten(self._path):
                raise DamageError("its write-ahead log was overwritten or removed")
            return
        # Writing on would go to a file without a name. What is still open can be read, so that states are kept.
        saved = salvage(store.connection)
        lost = _describe(store.connection)
        self._close()
        for ending in ("-wal", "-shm"):  # they belong to the file that is gone
            self._path.with_name(self._path.name + ending).unlink(missing_ok=True)
        self.progress.generation += 1
        if now.database is None:
            reason = "the database was removed while the daemon ran"
        else:
            reason = "the database was replaced by another file while the daemon ran"
        self._record_reset(reason)
        log.error(
            "history: %s (%s); it goes on in the file that is there now. Lost: %s. SavedState: states of monitors, "
            "silences, open incidents",
            reason,
            self._path,
            lost,
            extra={
                "message_id": JournalEvent.HISTORY_RESET.message_id,
                "fields": {"HISTORY_PATH": str(self._path)},
            },
        )
        self._rescued = saved

    def _verify(self, *, thoroughly: bool) -> None:
        """Read through a connection of its own: the writer's has good pages in its memory. Raises DamageError."""
        self._verified_at_s = time.monotonic()
        with contextlib.closing(open_for_reading(self._path)) as connection:
            connection.set_progress_handler(self._move, INSTRUCTIONS_BETWEEN_PROGRESS)
            check_tables(connection)
            if not thoroughly:
                return
            rows = connection.execute("PRAGMA quick_check(1)").fetchall()
        if rows != [("ok",)]:
            raise DamageError(rows[0][0])

    def _reset(self, error: Exception) -> SavedState:
        """Raises OSError and sqlite3.Error when the damaged one cannot be moved or the new one not be made."""
        saved = SavedState()
        if self._store is not None:
            saved = salvage(self._store.connection)
            self._close()
        else:
            saved = _salvage_from(self._path)
        aside = set_aside(self._path, self._clock.now())
        self._record_reset(f"the database was damaged and was set aside as {aside}")
        log.error(
            "history is damaged (%s): it was set aside as %s and begins anew; sqlite3's .recover may read it. "
            "SavedState: %d states of monitors, %d of the daemon, %d open incidents",
            error,
            aside,
            len(saved.states),
            len(saved.daemon_states),
            len(saved.open_incidents),
            extra={
                "message_id": JournalEvent.HISTORY_RESET.message_id,
                "fields": {"HISTORY_PATH": str(self._path)},
            },
        )
        self.progress.generation += 1
        self._rescued = saved
        self._opened()
        return saved

    def _record_reset(self, reason: str) -> None:
        self.progress.resets += 1
        self.progress.reset_at, self.progress.reset_reason = self._clock.now(), reason

    # What is told

    def _record_failure(self, error: Exception) -> None:
        if self.progress.error is None:
            self.progress.failing_since = self._clock.now()
            self._dropped_before = self.progress.dropped + self._dropped()
            log.error(
                "history cannot be written (%s: %s); checks go on, and it is tried again", self._path, error
            )
        self.progress.error = str(error)

    def _record_recovery(self) -> None:
        progress = self.progress
        if progress.error is None or progress.failing_since is None:
            return
        for_s = (self._clock.now() - progress.failing_since).total_seconds()
        dropped = progress.dropped + self._dropped() - self._dropped_before
        progress.error, progress.failing_since = None, None
        log.warning("history is written again after %s; %s", format_duration(round(for_s)), _lost(dropped))

    def _switch_off(self, error: Exception) -> None:
        self.progress.is_off = True
        self.progress.error = f"written by a newer monitord: {error}"
        self.progress.failing_since = self._clock.now()
        log.error(
            "history was written by a newer monitord (%s: %s): it is left as it is, and nothing is kept; "
            "install that version again, or move the file away and restart",
            self._path,
            error,
        )

    def _drop(self, batch: Batch) -> None:
        self.progress.is_last_stored = False
        self.progress.dropped += len(batch)


def _batch_of(saved: SavedState) -> Batch:
    return Batch(
        states=dict(saved.states),
        daemon_states=dict(saved.daemon_states),
        incidents={incident.id: incident for incident in saved.open_incidents},
    )


def _describe(connection: sqlite3.Connection) -> str:
    """What a database holds beside states, for people."""
    try:
        (monitors,) = connection.execute("SELECT count(*) FROM monitors").fetchone()
        (closed,) = connection.execute("SELECT count(*) FROM incidents WHERE closed IS NOT NULL").fetchone()
        (since_ms,) = connection.execute(
            "SELECT min(start) FROM spans WHERE typeof(start) = 'integer'"
        ).fetchone()
        since = "" if since_ms is None else f" since {from_ms(since_ms):%Y-%m-%d %H:%M:%S} UTC"
    except (sqlite3.Error, OverflowError):
        return "results, uptime and closed incidents"
    return f"results and uptime of {monitors} monitors{since}, {closed} closed incidents"


def _lost(dropped: int) -> str:
    return f"{dropped} rows had no room and are lost" if dropped else "nothing is lost"


def _salvage_from(path: Path) -> SavedState:
    try:
        connection = sqlite3.connect(path, isolation_level=None)
    except sqlite3.Error:
        return SavedState()
    try:
        return salvage(connection)
    finally:
        connection.close()
