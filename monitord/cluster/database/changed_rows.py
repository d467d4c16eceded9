"""The rows of a table that have changed since the last poll.

`changed_at` is the time at which a transaction began. An earlier transaction may end later, so each poll repeats the
last `OVERLAP_S`, and rows that are already known are dropped here.
"""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Generic, TypeVar

from monitord.cluster.database.connection import Connection, Session

OVERLAP_S = 15.0
"""Longer than any transaction, in seconds."""
ROWS_PER_PAGE = 1000
"""Reading more rows at once would hold up the event loop."""

_BEGINNING = datetime.min.replace(tzinfo=UTC)

Row = TypeVar("Row")


class ChangedRows(Generic[Row]):
    """Reads a table in the order of `changed_at`. The columns of `statement` are: now(), changed_at, the row.

    The first `key_length` columns of the row are its key.
    """

    def __init__(self, statement: str, key_length: int, read_row: Callable[[Sequence[Any]], Row]) -> None:
        self._statement = statement
        self._key_length = key_length
        self._read_row = read_row
        self.restart()

    def restart(self) -> None:
        """Return all rows in the next poll."""
        self._since = _BEGINNING
        self._known: dict[tuple[Any, ...], datetime] = {}

    async def read(self, session: Session) -> list[Row]:
        """Return the rows that have changed since the last call. Raises ClusterError; the next call repeats them."""
        changed: dict[tuple[Any, ...], tuple[datetime, Row]] = {}
        began_at: datetime | None = None
        position: tuple[datetime, tuple[Any, ...]] = (self._since, ("",) * self._key_length)
        while True:
            rows = await session.run(self._page(*position))
            for now, changed_at, *row in rows:
                began_at = began_at or now
                key = tuple(row[: self._key_length])
                if self._known.get(key) != changed_at:
                    changed[key] = changed_at, self._read_row(row)
                position = changed_at, key
            if len(rows) < ROWS_PER_PAGE:
                break
        if began_at is not None:
            self._since = max(self._since, began_at - timedelta(seconds=OVERLAP_S))
            known = self._known | {key: changed_at for key, (changed_at, _) in changed.items()}
            self._known = {key: changed_at for key, changed_at in known.items() if changed_at >= self._since}
        return [row for _, row in changed.values()]

    def _page(self, since: datetime, key: Sequence[Any]) -> Callable[[Connection], Any]:
        parameters = {"since": since, "key": key[0], "second_key": key[-1], "limit": ROWS_PER_PAGE}

        async def page(connection: Connection) -> list[tuple[Any, ...]]:
            return await (await connection.execute(self._statement, parameters)).fetchall()

        return page
