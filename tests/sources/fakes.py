"""Sources of tests, whose targets a test provides."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from monitord.settings import AutomaticReader
from monitord.sources import Feed, MonitorSource, SourcesSettings, SourceTools, UnitRecoveries
from tests.fakes import FakeClock, fake_tools

KEYS: Mapping[str, Any] = {"type": "tcp", "check_every": "1h"}


class FakeSource(MonitorSource):
    """Provides what a test passes to `feed`; the data of a target are keys of its monitor."""

    def __init__(self, runs: "list[FakeSource]", error: Exception | None = None) -> None:
        self.feed: Feed | None = None
        self.was_stopped = False
        self._runs = runs
        self._error = error

    def keys_of(self, target: str, data: Mapping[str, Any]) -> Mapping[str, Any]:
        return {**KEYS, "address": "127.0.0.1:9", **data}

    async def run(self, feed: Feed) -> None:
        self.feed = feed
        self._runs.append(self)
        if self._error is not None:
            raise self._error
        try:
            await asyncio.Event().wait()
        finally:
            self.was_stopped = True


@dataclass(frozen=True, slots=True)
class FakeSourceSettings:
    name: str = "fake"
    max_targets: int = 100
    label: str = ""
    error: Exception | None = None
    runs: list[FakeSource] = field(default_factory=list, compare=False)
    type_name: str = "fake"
    samples: Sequence[Mapping[str, Any]] = ({**KEYS, "address": "127.0.0.1:9"},)

    def construct(self, tools: SourceTools) -> FakeSource:
        del tools
        return FakeSource(self.runs, self.error)


def of(
    *sources: FakeSourceSettings,
    ignore: tuple[str, ...] = (),
    overrides: tuple[tuple[str, Mapping[str, object]], ...] = (),
    defaults: Mapping[str, object] | None = None,
) -> SourcesSettings:
    return SourcesSettings(sources, ignore, AutomaticReader(defaults or {}, overrides, {}))


def fake_source_tools() -> SourceTools:
    tools = fake_tools(FakeClock())
    return SourceTools(
        clock=tools.clock,
        http=tools.http,
        resolver=tools.resolver,
        processes=tools.processes,
        tls_contexts=tools.tls_contexts,
        units=tools.units,
        recoveries=UnitRecoveries(tools.clock),
    )
