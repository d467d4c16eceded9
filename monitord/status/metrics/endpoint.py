"""`GET /metrics`. prometheus-client and the rest of this folder are imported with the first request.

They take 1 MiB of memory, which a daemon without requests for metrics does not use.
"""

import asyncio
from typing import TYPE_CHECKING

from monitord.clock import Clock
from monitord.status.metrics.sources import MetricsSources
from monitord.web import Request, Response

if TYPE_CHECKING:
    from monitord.status.metrics.collector import MetricsPage


class MetricsEndpoint:
    """Handles `GET /metrics`."""

    def __init__(self, sources: MetricsSources, clock: Clock) -> None:
        self._sources = sources
        self._clock = clock
        self._loading = asyncio.Lock()
        self._page: MetricsPage | None = None

    async def handle(self, request: Request) -> Response:
        async with self._loading:
            if self._page is None:
                # On a thread: the imports take some hundredths of a second, in which checks become due.
                self._page = await asyncio.to_thread(self._load)
        return await self._page.handle(request)

    def _load(self) -> "MetricsPage":
        from monitord.status.metrics.collector import MetricsCollector, MetricsPage  # noqa: PLC0415 - see above

        return MetricsPage(MetricsCollector(self._sources), self._clock)
