"""Read matching entries of the journal with python-systemd, each once, across rotations and restarts.

Reading blocks, and sd_journal_next() can kill the process by SIGBUS when a file is truncated (systemd issues 24320 and
33277; affects version 252 of Debian 12). It is therefore done in a separate process: `monitord.journal.follower`.

`Journal` watches the journal for changes, and knows its last entry and why it cannot be read. `FollowedQuery` is the
progress of one `Query`. Each has its own reader, as the index of the files is used for the matches of a reader. Only
`Journal` watches directories, because each watch needs an inotify instance, of which a user has 128.

A cursor means that all matching entries up to it have been read. It advances while nothing matches, so that it stays
close to the end of the journal.
"""

import os
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from monitord.text import plain, shortened

DIRECTORIES = (Path("/run/log/journal"), Path("/var/log/journal"))

TURN_ENTRIES = 2000
TURN_S = 0.05
"""Limits of reading for one query before the next query is served."""

MAX_CONSECUTIVE_ERRORS = 5

MAX_MESSAGE_BYTES = 16 * 1024
"""The beginning of a message that is searched."""

KEPT_LINES = 5
KEPT_CHARACTERS = 300

# sd_journal_process(3)
_INVALIDATE = 2


class UnreadableError(Exception):
    """The journal cannot be read. `is_forbidden`: because of missing permissions."""

    def __init__(self, text: str, *, is_forbidden: bool) -> None:
        super().__init__(text)
        self.is_forbidden = is_forbidden


@dataclass(frozen=True, slots=True)
class Query:
    """A query.

    `matches`: fields, each with alternative values (journalctl(1)). `accepts`: predicate of the message. `excludes`:
    fields and beginnings of values; entries with one of them are excluded. `slot_us`, `slots`: width and number of the
    slots of time by which entries are counted.
    """

    matches: tuple[tuple[str, tuple[str, ...]], ...] = ()
    accepts: Callable[[str], bool] | None = None
    excludes: tuple[tuple[str, tuple[str, ...]], ...] = ()
    slot_us: int = 1_000_000
    slots: int = 300


@dataclass(slots=True)
class Update:
    """Matches up to `cursor`. `lost`: number of entries that were deleted before they were read; -1: unknown."""

    cursor: str | None = None
    counts: dict[int, int] = field(default_factory=dict)
    total: int = 0
    last_us: int = 0
    messages: deque[str] = field(default_factory=lambda: deque(maxlen=KEPT_LINES))
    lost: int = 0

    @property
    def has_changes(self) -> bool:
        return bool(self.total or self.lost)


def cursor_part(cursor: str, key: str) -> str:
    """Return one part of a cursor ("s=…;i=…;b=…"), "" if it is missing: the format is not documented."""
    return next((part[2:] for part in cursor.split(";") if part.startswith(f"{key}=")), "")


def entries_between(cursor: str, later: str) -> int:
    """Return the number of entries between two cursors; -1: unknown, as their sequence numbers are not comparable."""
    numbers = cursor_part(cursor, "i"), cursor_part(later, "i")
    if cursor_part(cursor, "s") != cursor_part(later, "s") or not all(numbers):
        return -1
    return max(0, int(numbers[1], 16) - int(numbers[0], 16) - 1)


def check_readable() -> None:
    """Check that this process can read the journal of this host. Raises UnreadableError."""
    _check_files(DIRECTORIES, in_machines=True)


class Journal:
    """The files of this host, or those in a directory. Raises UnreadableError if none can be read."""

    def __init__(self, directory: Path | None = None) -> None:
        self._directory = directory
        _check_files(DIRECTORIES if directory is None else (directory,), in_machines=directory is None)
        self._reader = self.open_reader()
        self.descriptor: int = self._reader.fileno()

    def open_reader(self) -> Any:
        """Return a reader of all entries."""
        # The daemon imports this module as well, and needs neither the library nor its 5 MiB of memory.
        import systemd.journal as journal  # noqa: PLC0415, PLR0402

        path = None if self._directory is None else str(self._directory)
        reader = journal.Reader(path=path)
        reader.data_threshold = MAX_MESSAGE_BYTES
        return reader

    def timeout_s(self) -> float | None:
        """Return the longest time to wait for a change: some file systems report no changes."""
        milliseconds: int = self._reader.get_timeout_ms()
        return None if milliseconds < 0 else milliseconds / 1000

    def has_other_files(self) -> bool:
        """Process the reported changes. True: readers have to be opened again."""
        return bool(self._reader.process() == _INVALIDATE)

    def tail(self) -> str | None:
        """Return the cursor of the last entry; None: there is no entry."""
        self._reader.seek_tail()
        return self._reader._get_cursor() if self._reader._previous() else None

    def lost_since(self, cursor: str) -> int | None:
        """Return the number of deleted entries after `cursor`; -1: unknown; None: it is not in the journal."""
        try:
            self._reader.seek_cursor(cursor)
        except ValueError:
            # The stored text is not a cursor.
            return None
        if not self._reader._next():
            return None
        if self._reader.test_cursor(cursor):
            return 0
        return entries_between(cursor, self._reader._get_cursor())

    def close(self) -> None:
        self._reader.close()


class FollowedQuery:
    """One query and its cursor. Without a cursor it begins at the end of the journal, or `since_us` before now."""

    def __init__(self, query: Query, cursor: str | None, since_us: int = 0) -> None:
        self.query = query
        self.cursor = cursor
        self.update = Update(cursor)
        self._since_us = since_us
        self._reader: Any = None
        self._is_outdated = False
        self._is_on_unread = False
        self._consecutive_errors = 0

    def outdate(self) -> None:
        """Files were added or removed: read the open files to their end, then open the reader again."""
        self._is_outdated = True

    def turn(self, journal: Journal, tail: str | None) -> bool:
        """Continue to read. True: there may be more entries. `tail`: of the journal, queried just before.

        After an OSError, the update and the position of the reader may differ: continue from the previous update.
        """
        if self._reader is None:
            self._open(journal, tail)
        reader, until = self._reader, time.monotonic() + TURN_S
        read, is_at_end = 0, False
        while read < TURN_ENTRIES and (read & 63 or time.monotonic() < until):
            if not self._is_on_unread and not self._next():
                is_at_end = True
                break
            self._is_on_unread = False
            read += 1
            self._take(reader)
        if read:
            self.cursor = self.update.cursor = reader._get_cursor()
        elif is_at_end and not self._is_outdated:
            # All entries up to `tail` were in the files before this turn began, and none of them matched.
            self.cursor = self.update.cursor = tail or self.cursor
        if is_at_end and self._is_outdated:
            self.close()
            return True
        return not is_at_end

    def _next(self) -> bool:
        """Advance to the next entry. False: the open files have no further entry."""
        try:
            has_next = bool(self._reader._next())
        except OSError:
            # A vacuum truncates the files that it removes, even while they are read: continue with the remaining files.
            self._consecutive_errors += 1
            if self._consecutive_errors > MAX_CONSECUTIVE_ERRORS:
                raise
            self._is_outdated = True
            return False
        self._consecutive_errors = 0
        return has_next

    def take_update(self) -> Update:
        update, self.update = self.update, Update(self.cursor)
        return update

    def close(self) -> None:
        """Close the files. The next turn opens them again."""
        if self._reader is not None:
            self._reader.close()
        self._reader = None

    def _open(self, journal: Journal, tail: str | None) -> None:
        self._is_outdated = self._is_on_unread = False
        if self.cursor is not None:
            lost = journal.lost_since(self.cursor)
            if lost is None:
                # The journal was created again after the clock was set back, or it is empty.
                self.cursor = self.update.cursor = tail
                lost = 0 if tail is None else -1
            self.update.lost = -1 if -1 in {lost, self.update.lost} else self.update.lost + lost
        self._reader = reader = journal.open_reader()
        for name, values in self.query.matches:
            for value in values:
                reader.add_match(f"{name}={value}")
        if self.cursor is None and not self._since_us and tail is not None:
            # Not by seek_tail(): without a match so far, the reader would remain there.
            self.cursor = self.update.cursor = tail
        if self.cursor is not None:
            reader.seek_cursor(self.cursor)
            self._is_on_unread = bool(reader._next()) and not reader.test_cursor(self.cursor)
        elif self._since_us:
            reader.seek_realtime(int(time.time() * 1e6) - self._since_us)

    def _take(self, reader: Any) -> None:
        query, update = self.query, self.update
        for name, beginnings in query.excludes:
            if _text(reader, name).startswith(beginnings):
                return
        message = _text(reader, "MESSAGE")
        if query.accepts is not None and not query.accepts(message):
            return
        at_us: int = reader._get_realtime()
        update.total += 1
        update.last_us = max(update.last_us, at_us)
        update.messages.append(message)
        slot, counts = at_us // query.slot_us, update.counts
        counts[slot] = counts.get(slot, 0) + 1
        if len(counts) > 2 * query.slots:
            oldest = max(counts) - query.slots
            update.counts = {number: count for number, count in counts.items() if number >= oldest}


def _text(reader: Any, name: str) -> str:
    try:
        value: bytes = reader._get(name)
    except (KeyError, OSError):
        # The field is missing, or in a damaged object: the entry counts without it.
        return ""
    return value[:MAX_MESSAGE_BYTES].decode(errors="replace")


def readable(text: str) -> str:
    """Return one short line of printable characters, because the text may be shown on a terminal."""
    return shortened(" ".join(plain(text[: 4 * KEPT_CHARACTERS]).split()), KEPT_CHARACTERS)


def _check_files(directories: tuple[Path, ...], *, in_machines: bool) -> None:
    """Check that a file can be read: otherwise the journal would appear empty. Raises UnreadableError."""
    files: list[Path] = []
    for directory in directories:
        try:
            files += directory.glob("*/*.journal" if in_machines else "*.journal")
        except PermissionError as error:
            raise UnreadableError(f"{directory}: {error.strerror}", is_forbidden=True) from error
    # Users can read the files of their own sessions, which are not the journal of the system.
    files = [file for file in files if file.name.startswith("system")] or files
    if not files:
        places = " and ".join(map(str, directories))
        raise UnreadableError(f"there is no journal in {places}", is_forbidden=False)
    if not any(os.access(file, os.R_OK) for file in files):
        raise UnreadableError(f"{files[0]}: Permission denied", is_forbidden=True)


def own_unit(cgroup: str) -> tuple[str, str] | None:
    """Return field and value of the journal for the unit of a process, from its /proc/PID/cgroup."""
    for line in cgroup.splitlines():
        number, controllers, path = [*line.split(":", 2), "", ""][:3]
        if number != "0" and controllers != "name=systemd":
            continue
        parts = path.split("/")
        units = [part for part in parts if part.endswith(".service")]
        if units:
            is_of_a_user = units[0].startswith("user@") and len(units) > 1
            return ("_SYSTEMD_USER_UNIT" if is_of_a_user else "_SYSTEMD_UNIT"), units[-1]
    return None


def unit_family(unit: str) -> tuple[str, ...]:
    """Return beginnings of the names of a unit, and of the units of its template."""
    stem = unit.removesuffix(".service").partition("@")[0]
    return (f"{stem}.service", f"{stem}@")
