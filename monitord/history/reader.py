"""Queries in parallel with the writer: read-only connections in separate threads, with a time limit for each query."""

import asyncio
import contextlib
import sqlite3
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from monitord.errors import HistoryError
from monitord.history.damage import UNREADABLE
from monitord.history.database import is_temporary, open_for_reading

MAX_THREADS = 2
MAX_READ_S = 2.0
INSTRUCTIONS_BETWEEN_DEADLINE_CHECKS = 10_000
"""Instructions of SQLite's virtual machine: about a millisecond."""

T = TypeVar("T")


class HistoryReader:
    """`query` runs a query in a thread. `generation` changes when the path refers to another file.

    `request_damage_check` is called when the cause of an unexpected result may be damage.
    """

    def __init__(
        self, path: Path, generation: Callable[[], int], request_damage_check: Callable[[], None]
    ) -> None:
        self._path = path
        self._generation = generation
        self._request_damage_check = request_damage_check
        self._pool = ThreadPoolExecutor(MAX_THREADS, thread_name_prefix="history-reader")
        self._local = threading.local()
        self._connections: set[sqlite3.Connection] = set()
        self._is_closed = False

    async def query(self, query: Callable[[sqlite3.Connection], T]) -> T:
        """Run a query. Raises HistoryError if the database cannot be read, or if the query takes too long."""
        if self._is_closed:
            raise HistoryError("the history is closed")
        return await asyncio.get_running_loop().run_in_executor(self._pool, self._run, query)

    async def close(self) -> None:
        """Interrupt running queries and close the connections."""
        self._is_closed = True
        await asyncio.get_running_loop().run_in_executor(None, self._close_connections)

    def _close_connections(self) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)
        for connection in self._connections:
            connection.close()
        self._connections.clear()

    def _run(self, query: Callable[[sqlite3.Connection], T]) -> T:
        deadline = time.monotonic() + MAX_READ_S
        try:
            generation = self._generation()
            connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
            if connection is None or self._local.generation != generation:
                self._discard_connection()
                connection = open_for_reading(self._path)
                self._local.connection, self._local.generation = connection, generation
                self._connections.add(connection)
            connection.set_progress_handler(
                lambda: self._is_closed or time.monotonic() > deadline, INSTRUCTIONS_BETWEEN_DEADLINE_CHECKS
            )
            connection.execute("BEGIN")
            try:
                return query(connection)
            finally:
                with contextlib.suppress(sqlite3.Error):
                    connection.execute("ROLLBACK")
        except sqlite3.Error as error:
            # Possibly a missing table or a damaged page: the writer checks that.
            if not is_temporary(error):
                self._request_damage_check()
            self._discard_connection()
            if time.monotonic() > deadline:
                raise HistoryError(
                    "the query of the history took too long", hint="request a shorter period or fewer results"
                ) from error
            raise HistoryError(f"the history cannot be read: {error}") from error
        except UNREADABLE as error:
            # Only damage can cause such a row: the writer checks that.
            self._request_damage_check()
            raise HistoryError(f"the history cannot be read: {error}") from error

    def _discard_connection(self) -> None:
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is not None:
            self._local.connection = None
            self._connections.discard(connection)
            connection.close()
