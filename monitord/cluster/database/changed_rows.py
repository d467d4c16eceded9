"""The rows of a table that have changed since the last poll.

`changed_at` is the time at which a transaction began. An earlier transaction may end later, so each poll repeats the
last `OVERLAP_S`, and rows that are already known are dropped here. The server does not limit the time for which a
commit waits for a synchronous standby. Therefore all rows are also read again, slowly, so that missed changes are found
within minutes.
"""

import json
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Generic, TypeVar

from monitord.cluster.database.connection import Connection, Session

OVERLAP_S = 15.0
"""Longer than a transaction whose commit does not wait, in seconds."""
REREAD_PAGE_EVERY_S = 2.0
REREAD_EVERY_S = 120.0
"""All rows are read again, a page every `REREAD_PAGE_EVERY_S`, this long after the last page of the last time."""
ROWS_PER_PAGE = 1000
"""Reading more rows at once would hold up the event loop."""

_BEGINNING = "-infinity"

Row = TypeVar("Row")


class ChangedRows(Generic[Row]):
    """Reads a table in the order of `changed_at`, with one of the statements CHANGED_….

    The first `key_length` items of a row are its key.
    """

    def __init__(
        self,
        statement: str,
        key_length: int,
        read_row: Callable[[Sequence[Any]], Row],
        rows_per_page: int = ROWS_PER_PAGE,
    ) -> None:
        self._statement = statement
        self._key_length = key_length
        self._read_row = read_row
        self._rows_per_page = rows_per_page
        self._since = _BEGINNING
        self._known: set[tuple[str, str]] = set()
        self._reread = _BEGINNING, ("",) * key_length
        self._reread_at_s: float | None = None

    def restart(self) -> None:
        """Return all rows in the next poll."""
        self._since = _BEGINNING
        self._known = set()
        self._reread = _BEGINNING, ("",) * self._key_length
        self._reread_at_s = None

    async def read(self, session: Session) -> list[Row]:
        """Return the rows that have changed since the last call. Raises ClusterError; the next call repeats them."""
        changed: dict[tuple[Any, ...], Row] = {}
        known: set[tuple[str, str]] = set()
        next_since: str | None = None
        position, key, is_first = self._since, ("",) * self._key_length, True
        while True:
            rows = await session.run(self._page(position, key, is_first=is_first))
            for since, is_recent, changed_at, text in rows:
                next_since = next_since or since
                if is_recent:
                    known.add((changed_at, text))
                if (changed_at, text) not in self._known:
                    row = json.loads(text)
                    changed[tuple(row[: self._key_length])] = self._read_row(row)
            if len(rows) < self._rows_per_page:
                break
            position, key = self._place(rows[-1])
            is_first = False
        if next_since is not None:
            self._since, self._known = next_since, known
        return list(changed.values())

    async def read_again(self, session: Session, now_s: float) -> list[Row]:
        """Return the next page of all rows, if it is due; `now_s` by a monotonic clock. Raises ClusterError."""
        if self._reread_at_s is None:
            self._reread_at_s = now_s + REREAD_EVERY_S
        if now_s < self._reread_at_s:
            return []
        rows = await session.run(self._page(*self._reread, is_first=False))
        if len(rows) < self._rows_per_page:
            self._reread, self._reread_at_s = (_BEGINNING, ("",) * self._key_length), now_s + REREAD_EVERY_S
        else:
            self._reread, self._reread_at_s = self._place(rows[-1]), now_s + REREAD_PAGE_EVERY_S
        return [self._read_row(json.loads(text)) for *_, text in rows]

    def _place(self, row: Sequence[Any]) -> tuple[str, tuple[str, ...]]:
        """Return where the page after this row begins."""
        return row[2], tuple(json.loads(row[3])[: self._key_length])

    def _page(
        self, since: str, key: Sequence[str], *, is_first: bool
    ) -> Callable[[Connection], Awaitable[list[tuple[Any, ...]]]]:
        parameters = {
            "since": since,
            "is_first": is_first,
            "key": key[0],
            "second_key": key[-1],
            "limit": self._rows_per_page,
            "overlap_s": OVERLAP_S,
        }

        async def page(connection: Connection) -> list[tuple[Any, ...]]:
            return await (await connection.execute(self._statement, parameters)).fetchall()

        return page
