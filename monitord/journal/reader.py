"""Read matching entries of the journal with python-systemd, each once, across rotations and restarts.

Reading blocks, and sd_journal_next() can kill the process by SIGBUS when a file is truncated (systemd issues 24320 and
33277; affects version 252 of Debian 12). It is therefore done in a separate process: `monitord.journal.follower`.

`Journal` watches the journal for changes, and knows its last entry and why it cannot be read. `Following` is the
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
"""Of a message that are searched."""

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

    `matches`: fields, each with alternative values (journalctl(1)). `accepts`: predicate of the message. `passes_over`:
    fields and beginnings of values; entries with one of them are excluded. `slot_us`, `slots`: width and number of the
    slots of time by which entries are counted.
    """

    matches: tuple[tuple[str, tuple[str, ...]], ...] = ()
    accepts: Callable[[str], bool] | None = None
    passes_over: tuple[tuple[str, tuple[str, ...]], ...] = ()
    slot_us: int = 1_000_000
    slots: int = 300


@dataclass(slots=True)
class News:
    """Matches up to `place`. `lost`: number of entries that were deleted before they were read; -1: not known."""

    place: str | None = None
    counts: dict[int, int] = field(default_factory=dict)
    total: int = 0
    last_us: int = 0
    messages: deque[str] = field(default_factory=lambda: deque(maxlen=KEPT_LINES))
    lost: int = 0

    @property
    def is_worth_telling(self) -> bool:
        return bool(self.total or self.lost)


def cursor_part(cursor: str, key: str) -> str:
    """One part of a cursor ("s=…;i=…;b=…"), "" if there is none: they are said to be opaque, so nothing hangs on it."""
    return next((part[2:] for part in cursor.split(";") if part.startswith(f"{key}=")), "")


def entries_between(place: str, found: str) -> int:
    """How many entries lay between two places; -1: not known, as another journald or another file numbered them."""
    numbers = cursor_part(place, "i"), cursor_part(found, "i")
    if cursor_part(place, "s") != cursor_part(found, "s") or not all(numbers):
        return -1
    return max(0, int(numbers[1], 16) - int(numbers[0], 16) - 1)


def check_readable() -> None:
    """Raises UnreadableError if there is no journal of this host that this process may read."""
    _look_for_files(DIRECTORIES, in_machines=True)


class Journal:
    """The files of this host, or those in a directory. Raises UnreadableError when there are none to read."""

    def __init__(self, directory: Path | None = None) -> None:
        self._directory = directory
        _look_for_files(DIRECTORIES if directory is None else (directory,), in_machines=directory is None)
        self._reader = self.open_reader()
        self.descriptor: int = self._reader.fileno()

    def open_reader(self) -> Any:
        """A reader of all there is."""
        # The daemon imports this module as well, and needs neither the library nor its 5 MiB of memory.
        import systemd.journal as journal  # noqa: PLC0415, PLR0402

        path = None if self._directory is None else str(self._directory)
        reader = journal.Reader(path=path)
        reader.data_threshold = MAX_MESSAGE_BYTES
        return reader

    def timeout_s(self) -> float | None:
        """How long to wait for a change at most: some file systems tell of none."""
        milliseconds: int = self._reader.get_timeout_ms()
        return None if milliseconds < 0 else milliseconds / 1000

    def has_other_files(self) -> bool:
        """Take up what was told of changes. True: readers have to be opened anew."""
        return bool(self._reader.process() == _INVALIDATE)

    def tail(self) -> str | None:
        """The place of the last entry; None: there is no entry."""
        self._reader.seek_tail()
        return self._reader._get_cursor() if self._reader._previous() else None

    def lost_since(self, place: str) -> int | None:
        """How many entries behind that place are gone; -1: not known; None: the journal does not reach so far."""
        try:
            self._reader.seek_cursor(place)
        except ValueError:
            # What was kept is no cursor.
            return None
        if not self._reader._next():
            return None
        if self._reader.test_cursor(place):
            return 0
        return entries_between(place, self._reader._get_cursor())

    def close(self) -> None:
        self._reader.close()


class Following:
    """One query and its place. A new one begins at the end of the journal, or `since_us` before now."""

    def __init__(self, query: Query, place: str | None, since_us: int = 0) -> None:
        self.query = query
        self.place = place
        self.news = News(place)
        self._since_us = since_us
        self._reader: Any = None
        self._is_outdated = False
        self._is_on_unread = False
        self._consecutive_errors = 0

    def outdate(self) -> None:
        """Files came or went: what the reader has open is read to its end, then it is opened anew."""
        self._is_outdated = True

    def turn(self, journal: Journal, tail: str | None) -> bool:
        """Read on. True: there may be more. `tail`: that of the journal, asked for just before.

        After an OSError what was found and what was read may differ: begin anew from news that were taken before.
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
            self.place = self.news.place = reader._get_cursor()
        elif is_at_end and not self._is_outdated:
            # All up to there was in the files before this turn began, and nothing of it matched.
            self.place = self.news.place = tail or self.place
        if is_at_end and self._is_outdated:
            self.close()
            return True
        return not is_at_end

    def _next(self) -> bool:
        """Go on to the next entry. False: there is none in the files that are open."""
        try:
            has_next = bool(self._reader._next())
        except OSError:
            # A vacuum empties the files that it takes away, whoever reads them: look what is left.
            self._consecutive_errors += 1
            if self._consecutive_errors > MAX_CONSECUTIVE_ERRORS:
                raise
            self._is_outdated = True
            return False
        self._consecutive_errors = 0
        return has_next

    def take_news(self) -> News:
        news, self.news = self.news, News(self.place)
        return news

    def close(self) -> None:
        """Let go of the files. The next turn opens them again."""
        if self._reader is not None:
            self._reader.close()
        self._reader = None

    def _open(self, journal: Journal, tail: str | None) -> None:
        self._is_outdated = self._is_on_unread = False
        if self.place is not None:
            lost = journal.lost_since(self.place)
            if lost is None:
                # A journal that was begun anew under a clock that was set back, or is empty.
                self.place = self.news.place = tail
                lost = 0 if tail is None else -1
            self.news.lost = -1 if -1 in {lost, self.news.lost} else self.news.lost + lost
        self._reader = reader = journal.open_reader()
        for name, values in self.query.matches:
            for value in values:
                reader.add_match(f"{name}={value}")
        if self.place is None and not self._since_us and tail is not None:
            # Not by seek_tail(): where nothing matches yet, a reader never leaves it again.
            self.place = self.news.place = tail
        if self.place is not None:
            reader.seek_cursor(self.place)
            self._is_on_unread = bool(reader._next()) and not reader.test_cursor(self.place)
        elif self._since_us:
            reader.seek_realtime(int(time.time() * 1e6) - self._since_us)

    def _take(self, reader: Any) -> None:
        query, news = self.query, self.news
        for name, beginnings in query.passes_over:
            if _text(reader, name).startswith(beginnings):
                return
        message = _text(reader, "MESSAGE")
        if query.accepts is not None and not query.accepts(message):
            return
        at_us: int = reader._get_realtime()
        news.total += 1
        news.last_us = max(news.last_us, at_us)
        news.messages.append(message)
        slot, counts = at_us // query.slot_us, news.counts
        counts[slot] = counts.get(slot, 0) + 1
        if len(counts) > 2 * query.slots:
            oldest = max(counts) - query.slots
            news.counts = {one: count for one, count in counts.items() if one >= oldest}


def _text(reader: Any, name: str) -> str:
    try:
        value: bytes = reader._get(name)
    except (KeyError, OSError):
        # Not there, or in a damaged object: the entry counts without it.
        return ""
    return value[:MAX_MESSAGE_BYTES].decode(errors="replace")


def readable(text: str) -> str:
    """One short line of printable characters: a log may hold anything, and be shown on a terminal."""
    return shortened(" ".join(plain(text[: 4 * KEPT_CHARACTERS]).split()), KEPT_CHARACTERS)


def _look_for_files(directories: tuple[Path, ...], *, in_machines: bool) -> None:
    """Opening the journal succeeds without a right to read it, and shows an empty one."""
    files: list[Path] = []
    for directory in directories:
        try:
            files += directory.glob("*/*.journal" if in_machines else "*.journal")
        except PermissionError as error:
            raise UnreadableError(f"{directory}: {error.strerror}", is_forbidden=True) from error
    # Everybody may read the files of his own logins; those are not the journal.
    files = [one for one in files if one.name.startswith("system")] or files
    if not files:
        places = " and ".join(str(one) for one in directories)
        raise UnreadableError(f"there is no journal in {places}", is_forbidden=False)
    if not any(os.access(one, os.R_OK) for one in files):
        raise UnreadableError(f"{files[0]}: Permission denied", is_forbidden=True)


def own_unit(cgroup: str) -> tuple[str, str] | None:
    """The journal's field and value for the unit that a process runs in, from its /proc/PID/cgroup."""
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
    """Beginnings of the names of a unit, and of all that are made of the same template or beside it."""
    stem = unit.removesuffix(".service").partition("@")[0]
    return (f"{stem}.service", f"{stem}@")
