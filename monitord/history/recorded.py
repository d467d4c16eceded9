"""The stored results of all monitors in the order of time, for a replay in another process.

The database is opened read-only and read in short transactions, so the daemon that writes it is not disturbed: a long
transaction would keep its write-ahead log from being truncated. Memory is bounded by the results of one window.
"""

import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from monitord.errors import HistoryError
from monitord.history.damage import UNREADABLE, read_rows
from monitord.history.database import READ_ONLY, has_no_log, open_for_reading
from monitord.history.encoding import from_ms, has_response, to_ms, unpack_integers, verdict_of
from monitord.history.queries import INCIDENT_COLUMNS, incident_of
from monitord.history.schema import ForeignDatabaseError, NewerVersionError, check_tables
from monitord.history.values import phases_s
from monitord.model import Incident, Reason, Verdict

WINDOW_MS = 300_000
"""The results of this time are read in one transaction."""


class RecordedResult(NamedTuple):
    """A stored result. `duration_s`: the response time if `has_response`, otherwise the duration of the check.

    `phases_s`: the phases that took time, by name. `detail`: only of results that did not pass.
    """

    monitor: str
    at: datetime
    duration_s: float
    verdict: Verdict
    reason: Reason
    has_response: bool
    phases_s: Mapping[str, float]
    detail: str | None


@dataclass(frozen=True, slots=True)
class RecordedPeriod:
    """The results of one monitor in a period. `first_at`, `last_at`: the start of the first and the last check."""

    first_at: datetime
    last_at: datetime
    results: int


class RecordedHistory:
    """A database of the daemon, opened read-only. Raises HistoryError if it cannot be opened."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection = self._open()

    def _open(self) -> sqlite3.Connection:
        last_error: Exception | None = None
        for mode in READ_ONLY if has_no_log(self._path) else READ_ONLY[:1]:
            try:
                connection = open_for_reading(self._path, mode)
            except sqlite3.Error as error:
                last_error = error
                continue
            try:
                check_tables(connection)
            except ForeignDatabaseError:
                connection.close()
                raise HistoryError(
                    f"{self._path} belongs to another program", hint="name the history of monitord"
                ) from None
            except (sqlite3.Error, NewerVersionError, *UNREADABLE) as error:
                connection.close()
                last_error = error
            else:
                return connection
        raise self._error(last_error)

    def close(self) -> None:
        self._connection.close()

    def periods(self, start: datetime, end: datetime) -> dict[str, RecordedPeriod]:
        """Return first result and number of results of each monitor that has results in the period."""
        rows = self._rows(
            """
            SELECT monitors.name, min(at), max(at), count(*) FROM monitors JOIN results ON results.monitor = monitors.id
            WHERE at >= ? AND at < ? GROUP BY monitors.id
            """,
            (to_ms(start), to_ms(end)),
        )
        return {
            name: RecordedPeriod(from_ms(first_ms), from_ms(last_ms), int(results))
            for name, first_ms, last_ms, results in rows
        }

    def results(self, start: datetime, end: datetime) -> Iterator[list[RecordedResult]]:
        """Yield the results of the period, a list for each window, in the order of their start."""
        at_ms, end_ms = to_ms(start), to_ms(end)
        while at_ms < end_ms:
            until_ms = min(at_ms + WINDOW_MS, end_ms)
            # The results of a monitor are in the order of time, those of all monitors are not: sort each window.
            yield read_rows(
                self._rows(
                    """
                    SELECT monitors.name, at, duration, outcome, reasons.name, phases, detail
                    FROM monitors JOIN results ON results.monitor = monitors.id
                    LEFT JOIN reasons ON reasons.id = results.reason
                    WHERE at >= ? AND at < ? ORDER BY at
                    """,
                    (at_ms, until_ms),
                ),
                _recorded_result,
                "results",
            )
            at_ms = until_ms

    def incidents(self, start: datetime, end: datetime) -> list[Incident]:
        """Return the incidents that opened in the period, the oldest first."""
        rows = self._rows(
            f"SELECT {INCIDENT_COLUMNS} WHERE opened >= ? AND opened < ? ORDER BY opened",
            (to_ms(start), to_ms(end)),
        )
        return read_rows(rows, incident_of, "incidents")

    def _rows(self, query: str, values: tuple[object, ...]) -> list[tuple[Any, ...]]:
        try:
            return self._connection.execute(query, values).fetchall()
        except sqlite3.Error as error:
            raise self._error(error) from error

    def _error(self, error: Exception | None) -> HistoryError:
        return HistoryError(
            f"the history {self._path} cannot be read: {error}",
            hint="run this command as root, or name a readable copy with --history",
        )


def _recorded_result(
    monitor: str,
    at_ms: int,
    duration_us: int,
    outcome: int,
    reason: str | None,
    phases: bytes | None,
    detail: str | None,
) -> RecordedResult:
    phase_times = phases_s(unpack_integers(phases)) if phases else {}
    return RecordedResult(
        monitor,
        from_ms(at_ms),
        duration_us / 1e6,
        verdict_of(outcome),
        Reason.of_code(reason),
        has_response(outcome),
        # A phase that did not take place is stored as 0.
        {name: spent_s for name, spent_s in phase_times.items() if spent_s},
        detail if isinstance(detail, str) else None,
    )
