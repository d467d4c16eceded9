"""Process that follows the journal for the daemon: python -m monitord.journal.follower [DIRECTORY]

Requests are read from standard input, updates are written to standard output, each as a line of JSON. The process ends
at the end of its input.

    {"follow": 1, "matches": [["PRIORITY", ["0", "1"]]], "pattern": "x", "counts_inconclusive": true,
     "excludes": [["_SYSTEMD_UNIT", ["a.service"]]], "cursor": null, "since_us": 0, "slot_us": 1, "slots": 300}
    {"drop": 1}
    {"sync": 1, "ticket": 7}            report when the journal has been read to its current end

    {"update": 1, "cursor": "…", "counts": [[slot, count]], "total": 3, "last_us": 0, "lines": ["…"], "lost": 0}
    {"synced": 1, "ticket": 7}           after the update
    {"failure": "forbidden", "text": "…"}   the journal cannot be read, until {"failure": null}

Memory does not grow with the number of entries: pending updates are counts and a few lines.
"""

import json
import os
import select
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from monitord.conditions.pattern.matcher import Pattern
from monitord.journal.reader import FollowedQuery, Journal, Query, UnreadableError, readable

UPDATE_EVERY_S = 0.25
OPEN_EVERY_S = 2.0
"""Interval of attempts to open an unreadable journal. Requests also cause an attempt."""

READ_BYTES = 1 << 16


class Follower:
    """Serves the requests. `put` writes one update."""

    def __init__(self, put: Callable[[dict[str, Any]], None], directory: Path | None = None) -> None:
        self._put = put
        self._directory = directory
        self._journal: Journal | None = None
        self._failure: str | None = None
        self._following: dict[int, FollowedQuery] = {}
        self._tickets: dict[int, list[int]] = {}
        self._updated_at: dict[int, float] = {}

    # Requests

    def handle(self, request: dict[str, Any]) -> None:
        if "follow" in request:
            name = request["follow"]
            self._following[name] = FollowedQuery(
                Query(
                    matches=tuple((field, tuple(values)) for field, values in request["matches"]),
                    accepts=_search(request["pattern"], counts_inconclusive=request["counts_inconclusive"]),
                    excludes=tuple((field, tuple(values)) for field, values in request["excludes"]),
                    slot_us=request["slot_us"],
                    slots=request["slots"],
                ),
                request["cursor"],
                request["since_us"],
            )
        elif "sync" in request:
            name = request["sync"]
            if name in self._following:
                self._tickets.setdefault(name, []).append(request["ticket"])
        elif "drop" in request:
            name = request["drop"]
            following = self._following.pop(name, None)
            if following is not None:
                following.close()
            self._tickets.pop(name, None)
            self._updated_at.pop(name, None)

    # Reading

    def work(self) -> float | None:
        """Read for each query. Return the time in seconds until the next call; None: until the next request."""
        if not self._following:
            return None
        if self._journal is not None and self._journal.has_other_files():
            # The directory was replaced or removed, or its permissions have changed: open it again.
            self._journal.close()
            self._journal = None
            for following in self._following.values():
                following.outdate()
        journal = self._opened()
        if journal is None:
            # The failure was reported already.
            for query, tickets in self._tickets.items():
                for ticket in tickets:
                    self._put({"synced": query, "ticket": ticket})
            self._tickets.clear()
            return OPEN_EVERY_S
        tail = journal.tail()
        turns = [self._turn(name, journal, tail) for name in self._following]
        if any(turns):
            return 0.0
        # the time until the next update can be written, or the journal has to be read
        now_s = time.monotonic()
        waits = [
            max(0.0, self._updated_at.get(name, 0.0) + UPDATE_EVERY_S - now_s)
            for name, following in self._following.items()
            if following.update.has_changes
        ]
        timeout_s = journal.timeout_s()
        if timeout_s is not None:
            waits.append(timeout_s)
        return min(waits, default=None)

    @property
    def descriptor(self) -> int | None:
        """The file descriptor that becomes readable when the journal changes."""
        return None if self._journal is None else self._journal.descriptor

    def _turn(self, name: int, journal: Journal, tail: str | None) -> bool:
        following = self._following[name]
        has_more = following.turn(journal, tail)
        tickets = () if has_more else self._tickets.pop(name, ())
        is_time = time.monotonic() - self._updated_at.get(name, 0.0) >= UPDATE_EVERY_S
        # A long read reports its progress, so that it continues there if this process ends.
        if tickets or (is_time and (has_more or following.update.has_changes)):
            update = following.take_update()
            self._updated_at[name] = time.monotonic()
            self._put(
                {
                    "update": name,
                    "cursor": update.cursor,
                    "counts": list(update.counts.items()),
                    "total": update.total,
                    "last_us": update.last_us,
                    "lines": [readable(message) for message in update.messages],
                    "lost": update.lost,
                }
            )
        for ticket in tickets:
            self._put({"synced": name, "ticket": ticket})
        return has_more

    # -- the journal --------------------------------------------------------------------------------------

    def _opened(self) -> Journal | None:
        if self._journal is None:
            try:
                self._journal = Journal(self._directory)
            except UnreadableError as error:
                if self._failure != str(error):
                    self._put(
                        {"failure": "forbidden" if error.is_forbidden else "absent", "text": str(error)}
                    )
                self._failure = str(error)
                for following in self._following.values():
                    following.close()
            else:
                if self._failure is not None:
                    self._put({"failure": None})
                self._failure = None
        return self._journal


def _search(pattern: str | None, *, counts_inconclusive: bool) -> Callable[[str], bool] | None:
    if pattern is None:
        return None
    compiled = Pattern(pattern)

    def accepts(message: str) -> bool:
        is_match = compiled.is_in_any((message,))
        return counts_inconclusive if is_match is None else is_match

    return accepts


def main() -> int:
    for number in (signal.SIGHUP, signal.SIGINT):
        # Sent to all processes of the service or of the terminal, but meant for the daemon.
        signal.signal(number, signal.SIG_IGN)
    directory = Path(sys.argv[1]) if len(sys.argv) > 1 else None
    requests, updates = sys.stdin.fileno(), sys.stdout

    def put(line: dict[str, Any]) -> None:
        # Blocks while the daemon does not read; no updates are needed then.
        updates.write(f"{json.dumps(line)}\n")
        updates.flush()

    follower = Follower(put, directory)
    rest = b""
    while True:
        timeout_s = follower.work()
        poll = select.poll()
        poll.register(requests, select.POLLIN)
        if follower.descriptor is not None:
            poll.register(follower.descriptor, select.POLLIN)
        ready = poll.poll(None if timeout_s is None else timeout_s * 1000)
        if any(number == requests for number, _ in ready):
            chunk = os.read(requests, READ_BYTES)
            if not chunk:
                return 0
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                follower.handle(json.loads(line))


if __name__ == "__main__":
    try:
        sys.exit(main())
    except BrokenPipeError:
        # The daemon has ended.
        os._exit(0)
