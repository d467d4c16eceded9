"""The current files of all pages, rendered when a visitor requests them, and only when their content has changed.

A page is evaluated at most once per second, reads the history at most every READ_EVERY_S, and is rendered in a thread.
All visitors receive the same rendered files.
"""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from datetime import datetime
from math import inf
from typing import Protocol

from monitord.clock import Clock
from monitord.dispatch import Registry
from monitord.errors import HistoryError
from monitord.health import TimeWindow
from monitord.history import IncidentTime, Uptime
from monitord.model import Incident
from monitord.posts import Post, Posts
from monitord.public_pages.build import (
    MAX_INCIDENTS,
    MonitorInput,
    PastInput,
    build_content,
    day_bounds,
    state_of,
)
from monitord.public_pages.content import PublicContent
from monitord.public_pages.files import PageFile, render
from monitord.public_pages.settings import PageSettings

log = logging.getLogger("monitord")

EVALUATE_EVERY_S = 1.0
READ_EVERY_S = 30.0
STORED_WITHIN_S = 0.5
"""The wait for the history to contain an incident that has just ended."""

READ_ALL_EVERY_S = 3600.0
CURRENT_DAYS = 2
"""The days that are read each time; all days are read at most every READ_ALL_EVERY_S, or when a day has ended."""

UPTIMES_AT_ONCE = 50
"""Monitors in one query."""


class PagePast(Protocol):
    """The reads of `monitord.history.History` that a page needs. They raise HistoryError."""

    async def uptimes_between(
        self, monitors: Sequence[str], bounds: Sequence[datetime]
    ) -> dict[str, tuple[Uptime, ...]]: ...

    async def incident_times(self, start: datetime, end: datetime) -> list[IncidentTime]: ...

    async def incidents_by_id(self, ids: Sequence[str]) -> list[Incident]: ...

    async def wait_until_stored(self, within_s: float, *, durable: bool = False) -> bool: ...


class PublicPage:
    """One page with its settings. `files` returns its current files."""

    def __init__(
        self,
        settings: PageSettings,
        windows: Sequence[TimeWindow],
        registry: Registry,
        past: PagePast,
        posts: Posts,
        clock: Clock,
    ) -> None:
        self.settings = settings
        self._windows = windows
        self._registry = registry
        self._past = past
        self._posts = posts
        self._clock = clock
        self._evaluating = asyncio.Lock()
        self._evaluated_at_s = -inf
        self._read_at_s = -inf
        self._all_read_at_s = -inf
        self._bounds: Sequence[datetime] = ()
        self._monitors: tuple[MonitorInput, ...] = ()
        self._past_data = PastInput({})
        self._shown: object = None
        self._content: PublicContent | None = None
        self._files: Mapping[str, PageFile] = {}

    async def files(self) -> Mapping[str, PageFile]:
        """Return the files by their path. If the history cannot be read, they show the data of the last read."""
        async with self._evaluating:
            now_s = self._clock.monotonic_s()
            if now_s - self._evaluated_at_s >= EVALUATE_EVERY_S:
                await self._evaluate(now_s)
                # After it: a request that is cancelled has evaluated nothing.
                self._evaluated_at_s = now_s
        return self._files

    async def _evaluate(self, now_s: float) -> None:
        monitors = tuple(
            MonitorInput(
                name,
                entry.monitor.settings.context.title,
                frozenset(entry.monitor.settings.tags),
                state_of(entry.state.effective, in_maintenance=entry.state.maintenance is not None),
                entry.state.incident,
            )
            for name, entry in self._registry.entries.items()
            if not entry.monitor.settings.is_objective
            and self.settings.covers(name, entry.monitor.settings.tags)
        )
        has_changed = monitors != self._monitors
        if has_changed or now_s - self._read_at_s >= READ_EVERY_S:
            await self._read_past(monitors, now_s, must_be_current=has_changed)
            self._monitors, self._read_at_s = monitors, now_s
        now, posts = self._clock.now(), self._posts.of_page(self.settings.name)
        # The content changes with the minute: see `PublicContent.updated_at`.
        shown = (monitors, self._past_data, posts, now.replace(second=0, microsecond=0))
        if shown != self._shown:
            # In a thread: a large page takes a tenth of a second, and the first page imports the templates.
            self._content, self._files = await asyncio.to_thread(self._render, monitors, posts, now)
            self._shown = shown

    def _render(
        self, monitors: Sequence[MonitorInput], posts: Sequence[Post], now: datetime
    ) -> tuple[PublicContent, Mapping[str, PageFile]]:
        content = build_content(self.settings, monitors, self._past_data, self._windows, now, posts)
        files = self._files if content == self._content else render(content, self.settings.logo)
        return content, files

    async def _read_past(
        self, monitors: Sequence[MonitorInput], now_s: float, *, must_be_current: bool
    ) -> None:
        names = [monitor.name for monitor in monitors]
        now = self._clock.now()
        bounds = day_bounds(now, self.settings.days, self.settings.zone)
        before = self._past_data.uptimes
        is_complete = (
            bounds == self._bounds
            and before.keys() == set(names)
            and now_s - self._all_read_at_s < READ_ALL_EVERY_S
        )
        # Earlier days hardly change: only today and yesterday are read again.
        read = bounds[-CURRENT_DAYS - 1 :] if is_complete else bounds
        try:
            if must_be_current:
                await self._past.wait_until_stored(STORED_WITHIN_S)
            uptimes: dict[str, tuple[Uptime, ...]] = {}
            for first in range(0, len(names), UPTIMES_AT_ONCE):
                uptimes |= await self._past.uptimes_between(names[first : first + UPTIMES_AT_ONCE], read)
            times = await self._past.incident_times(bounds[0], now)
            ids = [time.id for time in times if time.monitor in uptimes]
            incidents = await self._past.incidents_by_id(ids[-MAX_INCIDENTS:])
        except HistoryError as error:
            log.warning(
                "page %s: the history cannot be read, so it is outdated: %s", self.settings.name, error
            )
            return
        if is_complete:
            uptimes = {name: before[name][: 1 - len(read)] + recent for name, recent in uptimes.items()}
        else:
            self._bounds, self._all_read_at_s = bounds, now_s
        self._past_data = PastInput(uptimes, incidents)


class PublicPages:
    """All pages of the configuration, by name."""

    def __init__(self, registry: Registry, past: PagePast, posts: Posts, clock: Clock) -> None:
        self._registry = registry
        self._past = past
        self._posts = posts
        self._clock = clock
        self._pages: dict[str, PublicPage] = {}
        self._by_host: dict[str, str] = {}

    def apply(self, pages: Sequence[PageSettings], windows: Sequence[TimeWindow]) -> None:
        """Replace the pages. The posts of pages that no longer exist are kept."""
        self._posts.apply([settings.name for settings in pages])
        self._pages = {
            settings.name: PublicPage(settings, windows, self._registry, self._past, self._posts, self._clock)
            for settings in pages
        }
        self._by_host = {host: settings.name for settings in pages for host in settings.hosts}

    def name_of_host(self, host: str) -> str | None:
        """Return the name of the page that a host name serves; None if it serves none."""
        return self._by_host.get(host)

    def get(self, name: str) -> PublicPage | None:
        """Return a page; None if it does not exist."""
        return self._pages.get(name)

    @property
    def settings(self) -> Sequence[PageSettings]:
        """The settings of all pages."""
        return [page.settings for page in self._pages.values()]
