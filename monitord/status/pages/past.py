"""The part of `History` that the pages use; tests replace it.

Reads may be slow, and raise HistoryError if they fail: callers limit the time that they wait.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol

from monitord.history import Bucket, DaySummary, HistoryStats, StoredResult, Uptime
from monitord.model import Incident


class PageHistory(Protocol):
    """The reads of `monitord.history.History` that the pages use."""

    @property
    def is_active(self) -> bool: ...

    def stats(self) -> HistoryStats: ...

    async def wait_until_stored(self, within_s: float, *, durable: bool = False) -> bool: ...

    async def results(
        self, monitor: str, *, limit: int = 20, before: datetime | None = None, failed: bool = False
    ) -> list[StoredResult]: ...

    async def records(
        self, monitor: str, *, failed: bool = False, limit: int = 20
    ) -> list[Mapping[str, Any]]: ...

    async def buckets(
        self, monitor: str, start: datetime, end: datetime, step_s: float | None = None
    ) -> list[Bucket]: ...

    async def uptimes(
        self, monitors: Sequence[str], windows: Sequence[tuple[datetime, datetime]]
    ) -> dict[str, tuple[Uptime, ...]]: ...

    async def incidents(
        self,
        *,
        monitor: str | None = None,
        is_open: bool | None = None,
        limit: int = 50,
        before: datetime | None = None,
    ) -> list[Incident]: ...

    async def days(self, monitor: str, count: int = 90) -> list[DaySummary]: ...
