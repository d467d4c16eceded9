"""The page of `GET /metrics` for Prometheus, written by prometheus-client at each scrape.

The last page is cached for a second, and lines that rarely change until they do. A page of many monitors is written in
slices, between which the event loop runs other tasks: no check waits for a page.
"""

import asyncio
from collections.abc import Hashable, Iterable, Iterator, Sequence

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import Metric
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample

from monitord.clock import Clock
from monitord.status.metrics.daemon import daemon_metrics
from monitord.status.metrics.labels import labels_of
from monitord.status.metrics.monitors import MONITOR_METRICS, MonitorMetric, ScrapedMonitor
from monitord.status.metrics.sources import MetricsSources
from monitord.web import Request, Response

PAGE_MAX_AGE_S = 1.0
SLICE_MONITORS = 100


class MetricsCollector(Collector):
    """Yields all families at once, for a registry of any program."""

    def __init__(self, sources: MetricsSources) -> None:
        self._sources = sources
        self._process = CollectorRegistry()
        ProcessCollector(registry=self._process)

    def collect(self) -> Iterator[Metric]:
        rows = self.scraped_monitors()
        for metric in MONITOR_METRICS:
            yield family_of(metric, rows)
        yield from self.collect_daemon()

    def collect_daemon(self) -> Iterator[Metric]:
        """Yield the families of the daemon itself and of its process."""
        yield from daemon_metrics(self._sources)
        yield from self._process.collect()

    def scraped_monitors(self) -> list[ScrapedMonitor]:
        """All monitors at this moment."""
        model = self._sources.model
        model.refresh()
        monitors = model.monitors
        labels = labels_of({name: record.monitor.settings.tags for name, record in monitors.items()})
        for record in monitors.values():
            record.count_time(record.state.effective, model.refreshed_at_s)
        return [
            ScrapedMonitor(record.state, record, labels[name], {"monitor": name})
            for name, record in monitors.items()
        ]


def family_of(metric: MonitorMetric, rows: Iterable[ScrapedMonitor]) -> Metric:
    family = Metric(metric.name, metric.description, metric.kind)
    name = f"{metric.name}_total" if metric.kind == "counter" else metric.name
    samples = family.samples
    for row in rows:
        labels = row.labels if metric.has_tags else row.plain
        for values, value in metric.read(row):
            # Samples share their labels if they can: there are tens of thousands of them.
            all_labels = (
                {**labels, **dict(zip(metric.extra, values, strict=True))} if metric.extra else labels
            )
            samples.append(Sample(name, all_labels, value))
    return family


class _Slice(Collector):
    """The families that are written next."""

    def __init__(self) -> None:
        self.families: Sequence[Metric] = ()

    def collect(self) -> Iterable[Metric]:
        return self.families


class MetricsPage:
    """The handler, and the cached page."""

    def __init__(self, collector: MetricsCollector, clock: Clock) -> None:
        self._collector = collector
        self._clock = clock
        self._slice = _Slice()
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self._slice)
        self._cached: dict[tuple[str, int], tuple[Hashable, bytes]] = {}
        """By metric and number of the slice: the version of the data, and the lines."""
        self._lock = asyncio.Lock()
        self._made_at = float("-inf")
        self._response = Response(body=b"")

    async def handle(self, _: Request) -> Response:
        async with self._lock:
            if self._clock.monotonic_s() - self._made_at >= PAGE_MAX_AGE_S:
                body = await self._write()
                self._response = Response(body=body, content_type=CONTENT_TYPE_LATEST)
                self._made_at = self._clock.monotonic_s()
        return self._response

    async def _write(self) -> bytes:
        rows = self._collector.scraped_monitors()
        slices = [rows[start : start + SLICE_MONITORS] for start in range(0, len(rows), SLICE_MONITORS)]
        pieces = []
        for metric in MONITOR_METRICS:
            has_head = False
            for number, monitors in enumerate(slices):
                await asyncio.sleep(0)
                followed = None if metric.follows is None else tuple(map(metric.follows, monitors))
                cached = self._cached.get((metric.name, number))
                if cached is not None and cached[0] == followed:
                    text = cached[1]
                else:
                    family = family_of(metric, monitors)
                    text = self._text([family]) if family.samples else b""
                    if followed is not None:
                        self._cached[metric.name, number] = (followed, text)
                # HELP and TYPE are written once for each family.
                while has_head and text.startswith(b"# "):
                    text = text.partition(b"\n")[2]
                pieces.append(text)
                has_head = has_head or bool(text)
        self._cached = {key: lines for key, lines in self._cached.items() if key[1] < len(slices)}
        await asyncio.sleep(0)
        pieces.append(self._text(list(self._collector.collect_daemon())))
        return b"".join(pieces)

    def _text(self, families: Sequence[Metric]) -> bytes:
        self._slice.families = families
        return generate_latest(self._registry)
