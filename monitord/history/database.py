"""The database file: opening it, distinguishing damage from temporary errors, and renaming a damaged file."""

import contextlib
import logging
import os
import sqlite3
import stat
import struct
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from monitord.history.schema import (
    DamageError,
    ForeignDatabaseError,
    check_version,
    migrate,
    version_of,
)

log = logging.getLogger(__name__)

BUSY_S = 1.0
"""How long SQLite waits for a lock. The writer retries afterwards, so that its progress is visible."""

CACHE_KIB = 1024
"""Cache of the writer and of each reader. The kernel caches the file as well: 4 MiB would save the writer a tenth
of its CPU time at 1,000 results per second. A reader drops its cache whenever the writer has written.
"""

LOG_LIMIT_BYTES = 32 << 20
"""The size to which the write-ahead log is truncated after a checkpoint."""

CHECKPOINT_PAGES = 4000
"""Monitors write to the same pages repeatedly: 16 MB of log contain most of them once."""

MAX_SET_ASIDE = 2
"""Damaged files that are kept; older ones are deleted, so that a bad disk does not fill up."""

FOLDER_MODE = 0o700
FILE_MODE = 0o600

WAL_HEADER = struct.Struct(">8I")
WAL_MAGIC = (0x377F0682, 0x377F0683)
WAL_VERSION = 3007000

_DAMAGE = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_TEMPORARY = {
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_AUTH,
    sqlite3.SQLITE_NOMEM,
    sqlite3.SQLITE_PROTOCOL,
    sqlite3.SQLITE_INTERRUPT,
}
_PRIMARY = 0xFF


def is_damage(error: Exception) -> bool:
    """Whether the file is damaged or is not a database of monitord."""
    return isinstance(error, (DamageError, ForeignDatabaseError)) or _code(error) in _DAMAGE


def is_temporary(error: Exception) -> bool:
    """Whether a retry may succeed: disk full, no permission, a lock, a failing disk."""
    return _code(error) in _TEMPORARY


def _code(error: Exception) -> int:
    # The low byte of an extended code is its primary code (sqlite.org/rescode.html).
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
    return int(code) & _PRIMARY


def open_for_writing(path: Path) -> sqlite3.Connection:
    """Open it and bring the tables up to date. Raises sqlite3.Error, ForeignDatabaseError and NewerVersionError."""
    connection = sqlite3.connect(path, timeout=BUSY_S, isolation_level=None, check_same_thread=False)
    connection.text_factory = _decode
    try:
        # Nothing is changed in a database of another program; auto_vacuum must be set before the first table exists.
        if version_of(connection) == 0:
            connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
        check_version(connection)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")
        connection.execute(f"PRAGMA journal_size_limit = {LOG_LIMIT_BYTES}")
        connection.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
        connection.execute("PRAGMA temp_store = MEMORY")
        migrate(connection)
    except BaseException:
        connection.close()
        raise
    return connection


READ_ONLY = ("mode=ro", "mode=ro&immutable=1")
"""The second, if the directory is not writable: it does not read the write-ahead log (sqlite.org/wal.html#readonly)."""


def has_no_log(path: Path) -> bool:
    """Whether the write-ahead log is empty or missing."""
    log_file = path.with_name(path.name + "-wal")
    return not log_file.exists() or log_file.stat().st_size == 0


def _decode(text: bytes) -> str:
    # The default text factory fails the query on text that is not UTF-8.
    return text.decode("utf-8", "replace")


def open_for_reading(path: Path, mode: str = READ_ONLY[0]) -> sqlite3.Connection:
    """Open it read-only. Raises sqlite3.Error, including if the file does not exist."""
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?{mode}",
        timeout=BUSY_S,
        isolation_level=None,
        uri=True,
        check_same_thread=False,
    )
    try:
        connection.text_factory = _decode
        # The file is opened by the first statement.
        connection.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
        connection.execute("PRAGMA temp_store = MEMORY")
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def make_folder(folder: Path) -> None:
    """Create it and its missing parents for this user only: the history contains host names and responses."""
    if folder.is_dir():
        return
    if not folder.parent.exists():
        make_folder(folder.parent)
    folder.mkdir(mode=FOLDER_MODE, exist_ok=True)


def protect(path: Path) -> None:
    """Create the file for this user only, or remove the permissions of others from an existing file.

    SQLite gives the mode of the database to its log and index.
    """
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, FILE_MODE))
    except FileExistsError:
        for ending in ("", "-wal", "-shm"):
            # OSError: it belongs to another user, the file system has no modes, or it does not exist.
            with contextlib.suppress(OSError):
                companion = path.with_name(path.name + ending)
                mode = stat.S_IMODE(companion.stat().st_mode)
                if mode & stat.S_IRWXO:
                    companion.chmod(mode & ~stat.S_IRWXO)


@dataclass(frozen=True, slots=True)
class FileIdentity:
    """The files of an open database. SQLite continues with them after they have been removed."""

    database: tuple[int, int] | None
    log: tuple[int, int] | None

    @classmethod
    def of(cls, path: Path) -> "FileIdentity":
        return cls(_identity(path), _identity(_log_of(path)))


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        stat = path.stat()
    except FileNotFoundError:
        return None
    return stat.st_dev, stat.st_ino


def is_log_overwritten(path: Path) -> bool:
    """Whether the write-ahead log is too short for a transaction or has no valid header.

    For a database that has been written since it was opened. SQLite has an index of its log in memory and
    does not read the header again.
    """
    try:
        with _log_of(path).open("rb") as log_file:
            header = log_file.read(WAL_HEADER.size)
    except FileNotFoundError:
        return True
    if len(header) < WAL_HEADER.size:
        return True
    magic, version, page_bytes, _checkpoint, _salt_1, _salt_2, sum_1, sum_2 = WAL_HEADER.unpack(header)
    if magic not in WAL_MAGIC or version != WAL_VERSION or not page_bytes:
        return True
    # sqlite.org/fileformat2.html#walformat: the low bit of the magic number is the byte order of the checksums.
    words = struct.unpack(">6I" if magic & 1 else "<6I", header[:24])
    first = second = 0
    for even, odd in zip(words[::2], words[1::2], strict=True):
        first = (first + even + second) & 0xFFFFFFFF
        second = (second + odd + first) & 0xFFFFFFFF
    return (first, second) != (sum_1, sum_2)


def _log_of(path: Path) -> Path:
    return path.with_name(path.name + "-wal")


def set_aside(path: Path, now: datetime) -> Path:
    """Rename a damaged database and its companions. Raises OSError."""
    aside = path.with_name(f"{path.name}.damaged-{now:%Y%m%dT%H%M%S}Z")
    for ending in ("-wal", "-shm", ""):
        companion = path.with_name(path.name + ending)
        if companion.exists():
            companion.rename(aside.with_name(aside.name + ending))
    older = sorted(file for file in path.parent.glob(f"{path.name}.damaged-*Z") if file != aside)
    for file in older[: max(0, len(older) + 1 - MAX_SET_ASIDE)]:
        for ending in ("-wal", "-shm", ""):
            file.with_name(file.name + ending).unlink(missing_ok=True)
    return aside
