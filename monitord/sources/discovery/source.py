"""The source of discovered targets: fetches them repeatedly, selects and names them.

A fetch that fails changes nothing: the last targets remain. A target that has disappeared remains for `remove_after`.
"""

import asyncio
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, Generic, TypeVar

from monitord.clock import Clock
from monitord.config import Table
from monitord.errors import InvalidValueError
from monitord.sources.base import Feed, MonitorSource, SourceTools, Targets
from monitord.sources.discovery.targets import DiscoveredTarget, TargetRules, named_targets, values_of
from monitord.sources.discovery.template import MonitorTemplate
from monitord.sources.pacing import Pacer

RETRY_AFTER_S = 1.0
"""A fetch that fails is repeated once after this time: a file may be half written, a server may be restarting."""

MISSING_SINCE = "missing_since"
"""In the data of a target that has disappeared: the time since then, in seconds since 1970."""

OptionsT = TypeVar("OptionsT")


class FetchError(Exception):
    """The targets cannot be found now. Its text contains no secrets."""


class Fetcher(ABC, Generic[OptionsT]):
    """Finds the targets of one type of discovery."""

    default_refresh_s: ClassVar[float]
    default_remove_after_s: ClassVar[float] = 0.0
    default_name: ClassVar[str] = "{address}"
    """The template of the names of monitors, without the name of the source."""

    def __init__(self, options: OptionsT, timeout_s: float, tools: SourceTools) -> None:
        self.options = options
        self.timeout_s = timeout_s
        self.tools = tools

    @classmethod
    @abstractmethod
    def read_options(cls, table: Table) -> OptionsT:
        """Read the keys of this type. Errors are recorded in the table; invalid input must not raise."""

    @abstractmethod
    async def fetch(self) -> Any:
        """Return the targets, or something that `parse` reads in a thread; None: they have not changed.

        Raises FetchError.
        """

    def start(self, targets: Targets) -> None:
        """Begin to find targets. `targets`: the last known targets, possibly of an earlier run."""

    def close(self) -> None:
        """Stop finding targets."""

    async def wait(self, refresh_every_s: float) -> None:
        """Wait for the next fetch: for this time, or until the targets may have changed."""
        await asyncio.sleep(refresh_every_s)

    def parse(self, content: Any, pacer: Pacer) -> Iterable[DiscoveredTarget]:
        """Parse the result of `fetch`. Runs in a thread. Raises InvalidValueError."""
        del pacer
        targets: Iterable[DiscoveredTarget] = content
        return targets

    def forget(self) -> None:
        """Forget which content was fetched last, because it could not be parsed.

        The next `fetch` returns it even if it has not changed.
        """


class DiscoverySource(MonitorSource):
    def __init__(
        self,
        rules: TargetRules,
        template: Mapping[str, Any],
        fetcher: Fetcher[Any],
        refresh_every_s: float,
        remove_after_s: float,
        clock: Clock,
    ) -> None:
        self._rules = rules
        self._template = MonitorTemplate(template)
        self._fetcher = fetcher
        self._refresh_every_s = refresh_every_s
        self._remove_after_s = remove_after_s
        self._clock = clock
        self._found: Targets | None = None
        """The last targets of this run, without targets that have disappeared."""

    def keys_of(self, target: str, data: Mapping[str, Any]) -> Mapping[str, Any]:
        del target
        problem, address, labels = data.get("problem"), data.get("address"), data.get("labels")
        if isinstance(problem, str):
            raise InvalidValueError(problem)
        if not isinstance(address, str) or not isinstance(labels, dict):
            raise InvalidValueError("its stored data cannot be read")
        return self._template.rendered(values_of(address, labels))

    async def run(self, feed: Feed) -> None:
        must_stop = threading.Event()
        has_failed = False
        self._fetcher.start(feed.targets)
        try:
            while True:
                try:
                    await self._refresh(feed, must_stop)
                    has_failed = False
                except (FetchError, InvalidValueError) as error:
                    self._fetcher.forget()
                    if not has_failed and feed.problem is None:
                        has_failed = True
                        await asyncio.sleep(min(RETRY_AFTER_S, self._refresh_every_s))
                        continue
                    feed.fail(str(error))
                await self._fetcher.wait(self._refresh_every_s)
        finally:
            must_stop.set()
            self._fetcher.close()

    async def _refresh(self, feed: Feed, must_stop: threading.Event) -> None:
        content = await self._fetcher.fetch()
        if content is not None:
            pacer = Pacer(must_stop)
            self._found = await asyncio.to_thread(self._read, content, pacer)
        if self._found is not None:
            feed.provide(self._with_missing(self._found, feed.targets))

    def _read(self, content: Any, pacer: Pacer) -> Targets:
        return named_targets(self._fetcher.parse(content, pacer), self._rules, pacer.pause)

    def _with_missing(self, targets: Targets, before: Targets) -> Targets:
        """Add the targets that have disappeared within the last `remove_after`."""
        if not self._remove_after_s:
            return targets
        # The time of the wall clock is stored with the target, so that it continues after a restart.
        now_s = self._clock.now().timestamp()
        missing: dict[str, Mapping[str, Any]] = {}
        for name, data in before.items():
            if name in targets or "problem" in data:
                continue
            since_s = data.get(MISSING_SINCE)
            if not isinstance(since_s, (int, float)) or since_s > now_s:
                since_s = now_s
            if now_s - since_s < self._remove_after_s:
                missing[name] = {**data, MISSING_SINCE: since_s}
        return {**targets, **missing} if missing else targets
