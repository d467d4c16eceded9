"""Rows that cannot be read: each is skipped and logged, at most once in ten minutes for each kind.

SQLite does not check the types of columns, so after damage, or a manual change, a column can have any value. SQLite
reports damage of the file itself, and the writer sets the file aside.
"""

import logging
import time
import zlib
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from monitord.history.schema import DamageError

log = logging.getLogger(__name__)

UNREADABLE = (DamageError, TypeError, ValueError, OverflowError, LookupError, RecursionError, zlib.error)
"""The errors raised by reading a row whose columns have unexpected contents."""

LOG_EVERY_S = 600.0

T = TypeVar("T")

_logged_at_s: dict[str, float] = {}


def read_rows(rows: Iterable[tuple[Any, ...]], read: Callable[..., T], name: str) -> list[T]:
    """Return `read(*row)` of every row that can be read. `name`: the rows in the plural, for the log."""
    values: list[T] = []
    unreadable = 0
    last_error: Exception | None = None
    for row in rows:
        try:
            values.append(read(*row))
        except UNREADABLE as error:
            unreadable, last_error = unreadable + 1, error
    if last_error is not None:
        log_unreadable(name, unreadable, last_error)
    return values


def log_unreadable(name: str, count: int, last_error: Exception) -> None:
    now_s = time.monotonic()
    if now_s - _logged_at_s.get(name, -LOG_EVERY_S) < LOG_EVERY_S:
        return
    _logged_at_s[name] = now_s
    log.warning("history: %d %s cannot be read and are skipped (last error: %r)", count, name, last_error)
