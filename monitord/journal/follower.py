"""Process that follows the journal for the daemon: python -m monitord.journal.follower [DIRECTORY]

Requests are read from standard input, updates are written to standard output, each as a line of JSON. The process ends
at the end of its input.

    {"follow": 1, "matches": [["PRIORITY", ["0", "1"]]], "pattern": "x", "counts_inconclusive": true,
     "passes_over": [["_SYSTEMD_UNIT", ["a.service"]]], "place": null, "since_us": 0, "slot_us": 1, "slots": 300}
    {"drop": 1}
    {"settle": 1, "ticket": 7}            report when the journal has been read to its present end

    {"news": 1, "place": "…", "counts": [[slot, count]], "total": 3, "last_us": 0, "lines": ["…"], "lost": 0}
    {"settled": 1, "ticket": 7}           after the news
    {"failure": "forbidden", "text": "…"}   nothing can be read, until {"failure": null}

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
from monitord.journal.reader import Following, Journal, News, Query, UnreadableError, readable

TELL_EVERY_S = 0.25
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
        self._following: dict[int, Following] = {}
        self._tickets: dict[int, list[int]] = {}
        self._told_at: dict[int, float] = {}

    # Requests

    def obey(self, order: dict[str, Any]) -> None:
        if "follow" in order:
            name = order["follow"]
            self._following[name] = Following(_query_of(order), order["place"], order["since_us"])
        elif "settle" in order:
            name = order["settle"]
            if name in self._following:
                self._tickets.setdefault(name, []).append(order["ticket"])
        elif "drop" in order:
            name = order["drop"]
            following = self._following.pop(name, None)
            if following is not None:
                following.close()
            self._tickets.pop(name, None)
            self._told_at.pop(name, None)

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
            self._settle_all()
            return OPEN_EVERY_S
        tail = journal.tail()
        turns = [self._turn(name, journal, tail) for name in self._following]
        return 0.0 if any(turns) else self._rest_s(journal)

    @property
    def descriptor(self) -> int | None:
        """What becomes readable when the journal changes."""
        return None if self._journal is None else self._journal.descriptor

    def _turn(self, name: int, journal: Journal, tail: str | None) -> bool:
        following = self._following[name]
        has_more = following.turn(journal, tail)
        tickets = () if has_more else self._tickets.pop(name, ())
        is_time = time.monotonic() - self._told_at.get(name, 0.0) >= TELL_EVERY_S
        # Whoever has much to read shows that he gets on, and does not read it all again if this process ends.
        if tickets or (is_time and (has_more or following.news.is_worth_telling)):
            self._tell(name, following.take_news())
        for ticket in tickets:
            self._put({"settled": name, "ticket": ticket})
        return has_more

    def _tell(self, name: int, news: News) -> None:
        self._told_at[name] = time.monotonic()
        self._put(
            {
                "news": name,
                "place": news.place,
                "counts": list(news.counts.items()),
                "total": news.total,
                "last_us": news.last_us,
                "lines": [readable(message) for message in news.messages],
                "lost": news.lost,
            }
        )

    def _rest_s(self, journal: Journal) -> float | None:
        """Until what was found and not told may be told, or the journal wants to be looked at."""
        now_s = time.monotonic()
        waits = [
            max(0.0, self._told_at.get(name, 0.0) + TELL_EVERY_S - now_s)
            for name, following in self._following.items()
            if following.news.is_worth_telling
        ]
        timeout_s = journal.timeout_s()
        if timeout_s is not None:
            waits.append(timeout_s)
        return min(waits, default=None)

    def _settle_all(self) -> None:
        """Nobody waits for a journal that cannot be read: the failure was told."""
        for name, tickets in self._tickets.items():
            for ticket in tickets:
                self._put({"settled": name, "ticket": ticket})
        self._tickets.clear()

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


def _query_of(order: dict[str, Any]) -> Query:
    return Query(
        matches=tuple((name, tuple(values)) for name, values in order["matches"]),
        accepts=_search(order["pattern"], counts_inconclusive=order["counts_inconclusive"]),
        passes_over=tuple((name, tuple(values)) for name, values in order["passes_over"]),
        slot_us=order["slot_us"],
        slots=order["slots"],
    )


def _search(pattern: str | None, *, counts_inconclusive: bool) -> Callable[[str], bool] | None:
    if pattern is None:
        return None
    compiled = Pattern(pattern)

    def accepts(message: str) -> bool:
        found = compiled.is_in_any((message,))
        return counts_inconclusive if found is None else found

    return accepts


def main() -> int:
    for number in (signal.SIGHUP, signal.SIGINT):
        # Meant for the daemon, by whoever sends it to all processes of the service or of the terminal.
        signal.signal(number, signal.SIG_IGN)
    directory = Path(sys.argv[1]) if len(sys.argv) > 1 else None
    orders, news = sys.stdin.fileno(), sys.stdout

    def put(line: dict[str, Any]) -> None:
        # Waits while nobody reads: then nothing is to be told either.
        news.write(f"{json.dumps(line)}\n")
        news.flush()

    follower = Follower(put, directory)
    rest = b""
    while True:
        timeout_s = follower.work()
        poll = select.poll()
        poll.register(orders, select.POLLIN)
        if follower.descriptor is not None:
            poll.register(follower.descriptor, select.POLLIN)
        ready = poll.poll(None if timeout_s is None else timeout_s * 1000)
        if any(number == orders for number, _ in ready):
            chunk = os.read(orders, READ_BYTES)
            if not chunk:
                return 0
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                follower.obey(json.loads(line))


if __name__ == "__main__":
    try:
        sys.exit(main())
    except BrokenPipeError:
        # The daemon is gone; there is nobody to tell.
        os._exit(0)
