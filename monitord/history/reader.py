"""Reading beside the writer: connections that can only read, in threads of their own, with an end to each question."""

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
from monitord.history.database import is_passing, open_for_reading

MAX_THREADS = 2
MAX_READ_S = 2.0
INSTRUCTIONS_BETWEEN_DEADLINE_CHECKS = 10_000
"""Of SQLite's machine: about a millisecond."""

T = TypeVar("T")


class Reader:
    """`ask` runs a question in a thread. `generation` tells when the file behind the path is another one."""

    def __init__(self, path: Path, generation: Callable[[], int], suspect: Callable[[], None]) -> None:
        self._path = path
        self._generation = generation
        self._suspect = suspect
        self._pool = ThreadPoolExecutor(MAX_THREADS, thread_name_prefix="history-reader")
        self._own = threading.local()
        self._opened: set[sqlite3.Connection] = set()
        self._is_closed = False

    async def ask(self, question: Callable[[sqlite3.Connection], T]) -> T:
        """Raises HistoryError when it cannot be answered now or takes too long."""
        if self._is_closed:
            raise HistoryError("the history is closed")
        return await asyncio.get_running_loop().run_in_executor(self._pool, self._answer, question)

    async def close(self) -> None:
        """Questions that run are broken off."""
        self._is_closed = True
        await asyncio.get_running_loop().run_in_executor(None, self._shut)

    def _shut(self) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)
        for connection in self._opened:
            connection.close()
        self._opened.clear()

    def _answer(self, question: Callable[[sqlite3.Connection], T]) -> T:
        deadline = time.monotonic() + MAX_READ_S
        try:
            connection = self._connection()
            connection.set_progress_handler(
                lambda: self._is_closed or time.monotonic() > deadline, INSTRUCTIONS_BETWEEN_DEADLINE_CHECKS
            )
            connection.execute("BEGIN")
            try:
                return question(connection)
            finally:
                with contextlib.suppress(sqlite3.Error):
                    connection.execute("ROLLBACK")
        except sqlite3.Error as error:
            # Also where a table is missing, or a page holds that of another: the writer looks closer.
            if not is_passing(error):
                self._suspect()
            self._drop()
            if time.monotonic() > deadline:
                raise HistoryError(
                    "the history took too long to answer", hint="ask for less at once"
                ) from error
            raise HistoryError(f"the history cannot be read: {error}") from error
        except UNREADABLE as error:
            # Only damage can have written such a row; whether it has, the writer finds out.
            self._suspect()
            raise HistoryError(f"the history cannot be read: {error}") from error

    def _connection(self) -> sqlite3.Connection:
        generation = self._generation()
        connection: sqlite3.Connection | None = getattr(self._own, "connection", None)
        if connection is not None and self._own.generation == generation:
            return connection
        self._drop()
        connection = open_for_reading(self._path)
        self._own.connection, self._own.generation = connection, generation
        self._opened.add(connection)
        return connection

    def _drop(self) -> None:
        connection: sqlite3.Connection | None = getattr(self._own, "connection", None)
        if connection is not None:
            self._own.connection = None
            self._opened.discard(connection)
            connection.close()
