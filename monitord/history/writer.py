"""The thread that writes. It gets one batch at a time and retries it until it is written or the daemon stops.

After a temporary error (disk full, a lock, no permission) the batch is retried with increasing delays, while the next
batch fills (see `batch`). This is logged once, and once more when writing works again. A damaged database is renamed,
and the readable part of its saved state is written into a new database; this is logged and shown. Removed or
overwritten files are recognized, because SQLite would continue with the old files. A database of a newer version is not
changed, and nothing is stored.
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
    is_temporary,
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
from monitord.text import counted
from monitord.units import format_duration

log = logging.getLogger(__name__)

FIRST_RETRY_AFTER_S = 0.25
MAX_RETRY_AFTER_S = 10.0

VERIFY_EVERY_S = 10.0
"""How often a second connection reads the file."""

WRITER_STALL_S = 60.0
"""Every attempt is progress, also a failing one, and a long one makes progress while it runs. A stall of this
length is a system call that does not return."""

INSTRUCTIONS_BETWEEN_PROGRESS = 1_000_000
"""Instructions of SQLite's virtual machine."""


@dataclass(slots=True)
class WriterProgress:
    """Written by the thread, read by others, each field separately. `progress_at_s`: of the monotonic clock."""

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
    """Call `open` in any thread, then `start`. `done` is called in the thread after each batch, written or lost.

    `dropped` returns the number of rows without room in the batch that has not been passed on yet. The `generation` of
    its progress counts new databases, for readers that have the old database open.
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
        self._must_check_for_damage = threading.Event()
        self._thread: threading.Thread | None = None
        self._dropped_before = 0
        self._files: FileIdentity | None = None
        self._rescued: SavedState | None = None  # from a damaged or removed database; not written yet
        self._verified_at_s = 0.0
        self._failures = 0  # consecutive attempts with an error that is neither temporary nor damage
        self.progress = WriterProgress()

    def open(self) -> SavedState:
        """Return the saved state. Never raises."""
        try:
            try:
                make_folder(self._path.parent)
                store = self._opened()
                return read_saved_state(store.connection)
            except (sqlite3.Error, ForeignDatabaseError, DamageError, ValueError, OverflowError) as error:
                if is_temporary(error):
                    raise
                return self._reset(error)
        except NewerVersionError as error:
            self._switch_off(error)
            return SavedState()
        except (sqlite3.Error, OSError) as error:
            self._record_failure(error)
            # Read the saved state of a database that cannot be opened for writing.
            for mode in READ_ONLY if has_no_log(self._path) else READ_ONLY[:1]:
                with contextlib.suppress(sqlite3.Error):
                    with contextlib.closing(open_for_reading(self._path, mode)) as connection:
                        saved = salvage(connection)  # it can be of an earlier version, and cannot be migrated
                    if saved != SavedState():
                        return saved
            return SavedState()

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="history-writer", daemon=True)
        self._thread.start()

    def put(self, batch: Batch) -> None:
        """Pass on a batch. The next batch follows only after `done`."""
        self.progress.progress_at_s = time.monotonic()
        self._inbox.put(batch)

    def end(self) -> None:
        """End the thread after one more attempt to write the last batch."""
        self._is_ending.set()
        self._inbox.put(None)

    def request_damage_check(self) -> None:
        """Check for damage before the next batch: a reader has found a sign of it."""
        self._must_check_for_damage.set()

    def join(self, within_s: float) -> bool:
        """Wait for the end of the thread. Returns whether it has ended. Blocks."""
        if self._thread is None:
            self._close()
            return True
        self._thread.join(within_s)
        return not self._thread.is_alive()

    # In the thread

    def _run(self) -> None:
        while (batch := self._inbox.get()) is not None:
            progress = self.progress
            progress.dropped += batch.dropped
            delay_s = FIRST_RETRY_AFTER_S
            while not progress.is_off:
                self._note_progress()
                if self._attempt(batch):
                    progress.is_last_stored = self._failures == 0
                    break
                if self._is_ending.wait(delay_s):
                    self._drop(batch)
                    break
                delay_s = min(2 * delay_s, MAX_RETRY_AFTER_S)
            else:
                self._drop(batch)
            self._note_progress()
            self._done()
        self._close()

    def _attempt(self, batch: Batch) -> bool:
        """Try to write the batch. Returns whether no retry is needed: it is written, or can never be."""
        try:
            # SQLite notices neither a removed file nor an overwritten log.
            if self._store is not None and self._files is not None:
                self._compare_files(self._store, self._files)
            now_s = time.monotonic()
            if self._must_check_for_damage.is_set():
                self._must_check_for_damage.clear()
                self._verify(thoroughly=True)
            elif self._store is not None and now_s - self._verified_at_s >= VERIFY_EVERY_S:
                self._verify(thoroughly=False)
            store = self._opened()
            began = time.monotonic()
            if len(batch):
                written = store.write(batch)
                if self._files is None:
                    # Now there is a write-ahead log as well.
                    self._files = FileIdentity.of(self._path)
                batch.clear()  # if maintenance fails now, it is retried without these rows
                self.progress.written += written
                self.progress.last_commit_at = self._clock.now()
                self.progress.max_commit_s = max(self.progress.max_commit_s, time.monotonic() - began)
            self.progress.size_bytes = store.size_bytes()
            self._opened().maintain(to_ms(self._clock.now()))
            self._failures = 0
            progress = self.progress
            if progress.error is not None and progress.failing_since is not None:
                for_s = (self._clock.now() - progress.failing_since).total_seconds()
                dropped = progress.dropped + self._dropped() - self._dropped_before
                progress.error, progress.failing_since = None, None
                lost = f"lost: {counted(dropped, 'row')}" if dropped else "nothing is lost"
                log.warning("history is written again after %s; %s", format_duration(round(for_s)), lost)
        except NewerVersionError as error:
            self._switch_off(error)
            return False
        except (sqlite3.Error, OSError, ForeignDatabaseError, *UNREADABLE) as error:
            return self._handle_error(error, batch)
        return True

    def _handle_error(self, error: Exception, batch: Batch) -> bool:
        if is_temporary(error) or isinstance(error, OSError):
            self._record_failure(error)
            if self._store is not None:
                # The log may have filled the disk. If it has not, this fails as well.
                with contextlib.suppress(sqlite3.Error):
                    self._store.empty_log()
                    self._files = None  # an empty log is not damage now
            return False
        if is_damage(error):
            try:
                self._reset(error)
            except (sqlite3.Error, OSError) as another:
                self._record_failure(another)
            return False
        # The database was changed by another program, or this is a bug.
        self._record_failure(error)
        self._failures += 1
        if self._failures == 1:
            self._close()
            self._must_check_for_damage.set()
            return False
        # The database is not damaged, so the same rows would always fail.
        log.error("history: dropped %s that cannot be written", counted(len(batch), "row"), exc_info=error)
        self._drop(batch)
        return True

    def _opened(self) -> Store:
        if self._store is None:
            make_folder(self._path.parent)
            protect(self._path)
            store = Store(self._path, self._settings, is_first=self._is_first)
            store.connection.set_progress_handler(self._note_progress, INSTRUCTIONS_BETWEEN_PROGRESS)
            self._store, self._is_first = store, False
            self._files = None
            self.progress.size_bytes = store.size_bytes()
        if self._rescued is not None:
            batch = Batch(
                states=dict(self._rescued.states),
                daemon_states=dict(self._rescued.daemon_states),
                incidents={incident.id: incident for incident in self._rescued.open_incidents},
            )
            self._store.write(batch)
            self._rescued = None
        return self._store

    def _note_progress(self) -> None:
        self.progress.progress_at_s = time.monotonic()

    def _close(self) -> None:
        if self._store is not None:
            self._store.close()
            self._store = None

    def _compare_files(self, store: Store, before: FileIdentity) -> None:
        now = FileIdentity.of(self._path)
        if now.database == before.database:
            if now.log != before.log or is_log_overwritten(self._path):
                raise DamageError("its write-ahead log has been overwritten or removed")
            return
        # Writes would go to a file without a name. It is still open, so the saved state can be read.
        saved = salvage(store.connection)
        lost = _describe(store.connection)
        self._close()
        for ending in ("-wal", "-shm"):  # of the removed file
            self._path.with_name(self._path.name + ending).unlink(missing_ok=True)
        self.progress.generation += 1
        if now.database is None:
            reason = "the database was removed while the daemon was running"
        else:
            reason = "the database was replaced by another file while the daemon was running"
        self._record_reset(reason)
        log.error(
            "history: %s (%s); it continues in the current file. Lost: %s. Restored: states of monitors, silences, "
            "open incidents",
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
        """Read through another connection: that of the writer has intact pages in memory. Raises DamageError."""
        self._verified_at_s = time.monotonic()
        with contextlib.closing(open_for_reading(self._path)) as connection:
            connection.set_progress_handler(self._note_progress, INSTRUCTIONS_BETWEEN_PROGRESS)
            check_tables(connection)
            if not thoroughly:
                return
            rows = connection.execute("PRAGMA quick_check(1)").fetchall()
        if rows != [("ok",)]:
            raise DamageError(rows[0][0])

    def _reset(self, error: Exception) -> SavedState:
        """Replace the damaged database with a new database. Raises OSError and sqlite3.Error if that fails."""
        saved = SavedState()
        if self._store is not None:
            saved = salvage(self._store.connection)
            self._close()
        else:
            try:
                with contextlib.closing(sqlite3.connect(self._path, isolation_level=None)) as connection:
                    saved = salvage(connection)
            except sqlite3.Error:
                saved = SavedState()
        aside = set_aside(self._path, self._clock.now())
        self._record_reset(f"the database was damaged, and was renamed to {aside}")
        log.error(
            "history: the database is damaged (%s). It was renamed to %s (try .recover of sqlite3), and a new database "
            "was created. Restored states of monitors: %d, states of the daemon: %d, open incidents: %d",
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

    # Status

    def _record_failure(self, error: Exception) -> None:
        reason = str(getattr(error, "strerror", None) or error)
        if self.progress.error is None:
            self.progress.failing_since = self._clock.now()
            self._dropped_before = self.progress.dropped + self._dropped()
            log.error(
                "history cannot be written (%s: %s); checks continue, and writing is retried",
                self._path,
                reason,
            )
        self.progress.error = reason

    def _switch_off(self, error: Exception) -> None:
        self.progress.is_off = True
        self.progress.error = f"written by a newer version of monitord: {error}"
        self.progress.failing_since = self._clock.now()
        log.error(
            "history was written by a newer version of monitord (%s: %s): it is not changed, and nothing is stored; "
            "install that version again, or move the file away and restart",
            self._path,
            error,
        )

    def _drop(self, batch: Batch) -> None:
        self.progress.is_last_stored = False
        self.progress.dropped += len(batch)


def _describe(connection: sqlite3.Connection) -> str:
    """Describe the contents of a database other than the saved state, for the log."""
    try:
        (monitors,) = connection.execute("SELECT count(*) FROM monitors").fetchone()
        (closed,) = connection.execute("SELECT count(*) FROM incidents WHERE closed IS NOT NULL").fetchone()
        (since_ms,) = connection.execute(
            "SELECT min(start) FROM spans WHERE typeof(start) = 'integer'"
        ).fetchone()
        since = "" if since_ms is None else f" since {from_ms(since_ms):%Y-%m-%d %H:%M:%S} UTC"
    except (sqlite3.Error, OverflowError):
        return "results, uptime and closed incidents"
    return (
        f"results and uptime of {counted(monitors, 'monitor')}{since}, {counted(closed, 'closed incident')}"
    )
