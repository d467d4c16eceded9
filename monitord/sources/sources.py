"""The automatic monitors: keeps the monitors of each source equal to its targets.

A source replaces its targets at any time. The settings of new and changed targets are read in a thread, by the same
code as [monitors.NAME]; then monitors are removed, replaced and added on the event loop, in slices: checks continue in
between. Monitors whose settings are equal continue. Sources are updated one after the other; only the last of
several changes during an update is applied.

The targets are stored: a restart continues with them, before the source has found any. They are stored in buckets, so
that a change of one target writes a small part.
"""

import asyncio
import logging
import threading
import time
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from monitord.automatic_names import automatic_name
from monitord.clock import Clock
from monitord.dispatch import Dispatcher
from monitord.errors import ConfigError, InvalidValueError
from monitord.monitors import Monitor, MonitorSettings
from monitord.monitors.objective import objective_of
from monitord.monitors.systemd.common import compile_patterns
from monitord.sources.base import (
    MonitorReader,
    MonitorSource,
    SourceSettings,
    SourcesSettings,
    SourceStatus,
    SourceTools,
    Targets,
)
from monitord.sources.pacing import SLICE_S, Pacer, rare_collections
from monitord.text import counted, shortened

log = logging.getLogger(__name__)

STORED_AS = "source"
"""The keys of the stored targets are "source/NAME/BUCKET"."""

BUCKETS = 64

RESTART_AFTER_S = 30.0
"""A source that has raised an exception is run again after this time."""

MAX_LOGGED_TARGETS = 5
"""Rejected targets that are logged for one update: thousands can have the same problem."""

MAX_PROBLEM_CHARACTERS = 500


@dataclass(frozen=True, slots=True)
class _Reading:
    """The targets of a source as monitors. `read`: the settings of a target, or why there are none."""

    targets: Targets
    read: Mapping[str, tuple[Mapping[str, Any], MonitorSettings | str]] = field(default_factory=dict)
    monitors: Mapping[str, MonitorSettings] = field(default_factory=dict)
    rejected: Mapping[str, str] = field(default_factory=dict)
    ignored: int = 0
    over_limit: int = 0
    buckets: Mapping[int, Targets] = field(default_factory=dict)


class _SourceEntry:
    """A source with its targets and its monitors."""

    def __init__(
        self,
        settings: SourceSettings,
        source: MonitorSource,
        targets: Targets,
        clock: Clock,
        wake: Callable[[], None],
    ) -> None:
        self.settings = settings
        self.source = source
        self.task: asyncio.Task[None] | None = None
        self.is_outdated = True
        """Whether the monitors still have to be updated to the targets."""
        self.is_removed = False
        """Whether the source is no longer configured; the entry is removed after its monitors."""
        self.monitors: dict[str, None] = {}
        self.reading = _Reading({})
        self.problem: str | None = None
        self.failing_since: datetime | None = None
        self.updated_at: datetime | None = None
        self._targets = targets
        self._clock = clock
        self._wake = wake

    @property
    def name(self) -> str:
        return self.settings.name

    @property
    def targets(self) -> Targets:
        return self._targets

    def provide(self, targets: Targets) -> None:
        if self.problem is not None:
            log.info("source %s works again", self.name)
        self.problem = self.failing_since = None
        self.updated_at = self._clock.now()
        if targets != self._targets or list(targets) != list(self._targets):
            self._targets = targets
            self.mark_outdated()

    def fail(self, problem: str) -> None:
        problem = shortened(problem, MAX_PROBLEM_CHARACTERS)
        if problem == self.problem:
            return
        if self.failing_since is None:
            self.failing_since = self._clock.now()
        self.problem = problem
        suffix = f"; {counted(len(self.monitors), 'monitor')} continue" if self.monitors else ""
        log.warning("source %s: %s%s", self.name, problem, suffix)

    def remove(self) -> None:
        """Remove the monitors with the next update."""
        self.is_removed = True
        self._targets = {}
        self.mark_outdated()

    def mark_outdated(self) -> None:
        self.is_outdated = True
        self._wake()


class Sources:
    """Owns the sources and their monitors: `apply` at start and with each reload, then `close`.

    `store` stores the targets; `stored` contains the records of an earlier run, by key.
    """

    def __init__(
        self,
        dispatcher: Dispatcher,
        tools: SourceTools,
        build: Callable[[MonitorSettings], Monitor[Any]],
        store: Callable[[str, Mapping[str, Any] | None], None] = lambda _, __: None,
        stored: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> None:
        self._dispatcher = dispatcher
        self._tools = tools
        self._build = build
        self._store = store
        self._stored: dict[str, Mapping[str, Any]] = {
            key: value for key, value in (stored or {}).items() if key.startswith(f"{STORED_AS}/")
        }
        self._settings = SourcesSettings()
        self._feeds: dict[str, _SourceEntry] = {}
        self._updating: asyncio.Task[None] | None = None
        self._stopped: set[asyncio.Task[None]] = set()
        """Cancelled tasks that have not ended yet."""
        self._has_started = False
        self._is_closed = False
        self._must_stop_reading = threading.Event()

    def apply(self, settings: SourcesSettings) -> None:
        """Apply the settings of a configuration. The first call adds the monitors of stored targets at once; later
        calls change monitors soon afterwards."""
        self._settings = settings
        self._stop_updating()
        configured = {source.name: source for source in settings.sources}
        for name, feed in self._feeds.items():
            if name not in configured and not feed.is_removed:
                self._stop(feed.task)
                feed.remove()
        for name, source in configured.items():
            present = self._feeds.get(name)
            if present is None or present.is_removed or present.settings != source:
                self._feeds[name] = self._started(source, present)
            else:
                # Read again, although little may have changed: [defaults], overrides, secrets in files.
                present.reading = replace(present.reading, read={})
                present.mark_outdated()
        if not self._has_started:
            self._has_started = True
            for feed in self._feeds.values():
                feed.is_outdated = False
                reading = _read(feed, settings, self._must_stop_reading, is_paced=False)
                for _ in self._changes(feed, reading):
                    pass
            self._dispatcher.commit_automatic()
            for key in list(self._stored):
                if key.split("/")[1] not in self._feeds:
                    del self._stored[key]
                    self._store(key, None)
        self._wake()

    async def close(self) -> None:
        """Stop reading the sources. A second call has no effect."""
        self._is_closed = True
        self._stop_updating()
        for feed in self._feeds.values():
            self._stop(feed.task)
        if self._stopped:
            await asyncio.wait(self._stopped)

    @property
    def is_updating(self) -> bool:
        """Whether monitors do not follow from the targets of their source yet."""
        return self._updating is not None and not self._updating.done()

    def status(self) -> list[SourceStatus]:
        return [
            SourceStatus(
                name=feed.name,
                type_name=feed.settings.type_name,
                targets=len(feed.targets),
                monitors=len(feed.monitors),
                ignored=feed.reading.ignored,
                over_limit=feed.reading.over_limit,
                rejected=feed.reading.rejected,
                problem=feed.problem,
                failing_since=feed.failing_since,
                updated_at=feed.updated_at,
            )
            for feed in self._feeds.values()
            if not feed.is_removed
        ]

    # -- sources ------------------------------------------------------------------------------------------

    def _started(self, settings: SourceSettings, present: _SourceEntry | None) -> _SourceEntry:
        """Run a source that is new, or whose settings have changed; it then continues with the current targets."""
        source = settings.construct(self._tools)
        if present is not None and not present.is_removed:
            targets = present.targets
        else:
            # A source that returns before its monitors are removed continues with the stored targets as well.
            by_target: dict[str, Mapping[str, Any]] = {}
            for bucket in range(BUCKETS):
                stored = self._stored.get(_key(settings.name, bucket), {}).get("targets")
                if isinstance(stored, dict):
                    by_target |= {target: data for target, data in stored.items() if isinstance(data, dict)}
            targets = dict(sorted(by_target.items()))
        feed = _SourceEntry(settings, source, targets, self._tools.clock, self._wake)
        if present is not None:
            feed.monitors, feed.updated_at = present.monitors, present.updated_at
        previous = None if present is None else present.task
        self._stop(previous)
        feed.task = asyncio.ensure_future(self._run(feed, previous))
        return feed

    def _stop(self, task: "asyncio.Task[None] | None") -> None:
        if task is not None and not task.done():
            task.cancel()
            self._stopped.add(task)
            task.add_done_callback(self._stopped.discard)

    @staticmethod
    async def _run(feed: _SourceEntry, previous: "asyncio.Task[None] | None") -> None:
        if previous is not None and not previous.done():
            await asyncio.wait([previous])
        while True:
            try:
                await feed.source.run(feed)
            except Exception as error:
                log.exception("source %s has failed", feed.name)
                feed.fail(f"bug in the source: {type(error).__name__}; see the journal")
            await asyncio.sleep(RESTART_AFTER_S)

    # -- updates ------------------------------------------------------------------------------------------

    def _wake(self) -> None:
        """Update the monitors of sources that have changed, unless that is in progress."""
        if not self._is_closed and not self.is_updating and self._outdated():
            self._updating = asyncio.ensure_future(self._update_all())

    def _outdated(self) -> list[_SourceEntry]:
        return [feed for feed in self._feeds.values() if feed.is_outdated]

    async def _update_all(self) -> None:
        with rare_collections():
            while outdated := self._outdated():
                for feed in outdated:
                    await self._update(feed)

    def _stop_updating(self) -> None:
        self._must_stop_reading.set()
        self._stop(self._updating)
        self._updating = None
        # The next update may begin before the thread has ended.
        self._must_stop_reading = threading.Event()

    async def _update(self, feed: _SourceEntry) -> None:
        try:
            reading = await asyncio.to_thread(
                _read, feed, self._settings, self._must_stop_reading, is_paced=True
            )
            feed.is_outdated = reading.targets is not feed.targets
            until_s = time.monotonic() + SLICE_S
            for _ in self._changes(feed, reading):
                if time.monotonic() > until_s:
                    await asyncio.sleep(0)
                    until_s = time.monotonic() + SLICE_S
        except asyncio.CancelledError:
            feed.is_outdated = True
            raise
        except Exception:
            log.exception("source %s: its monitors cannot be updated", feed.name)
            feed.is_outdated = False
        finally:
            self._dispatcher.commit_automatic()

    def _changes(self, feed: _SourceEntry, reading: _Reading) -> Iterator[None]:
        """Remove, replace and add monitors; yields after each small part."""
        counts = {"added": 0, "changed": 0, "removed": 0}
        rejected = dict(reading.rejected)
        for name in [name for name in feed.monitors if name not in reading.monitors]:
            del feed.monitors[name]
            self._dispatcher.remove_automatic(name)
            counts["removed"] += 1
            yield
        for name, settings in reading.monitors.items():
            entry = self._dispatcher.entries.get(name)
            if entry is not None and entry.monitor.settings == settings:
                feed.monitors[name] = None
                yield
                continue
            try:
                monitor = self._build(settings)
            except Exception as error:
                # The constructor of a third party's type can raise.
                log.exception("%s: the monitor cannot be created", name)
                rejected[name.partition(":")[2]] = (
                    f"cannot be created: {type(error).__name__}; see the journal"
                )
                continue
            feed.monitors[name] = None
            self._dispatcher.add_automatic(
                monitor, is_checked_at_once=entry is None and feed.source.checks_at_once
            )
            counts["added" if entry is None else "changed"] += 1
            yield
        self._report(feed, reading, rejected, counts)
        feed.reading = replace(reading, rejected=rejected)
        for bucket in range(BUCKETS):
            key, targets = _key(feed.name, bucket), reading.buckets.get(bucket)
            value = {"targets": targets} if targets else None
            if self._stored.get(key) != value:
                if value is None:
                    self._stored.pop(key, None)
                else:
                    self._stored[key] = value
                self._store(key, value)
            yield
        if feed.is_removed and feed is self._feeds.get(feed.name):
            del self._feeds[feed.name]

    @staticmethod
    def _report(
        feed: _SourceEntry, reading: _Reading, rejected: Mapping[str, str], counts: Mapping[str, int]
    ) -> None:
        changes = ", ".join(f"{count} {change}" for change, count in counts.items() if count)
        if changes:
            log.info("source %s: %s %s", feed.name, counted(len(feed.monitors), "monitor"), f"({changes})")
        before = feed.reading
        new = [target for target, why in rejected.items() if before.rejected.get(target) != why]
        for target in new[:MAX_LOGGED_TARGETS]:
            log.warning(
                "source %s: %s has no monitor: %s", feed.name, repr(shortened(target)), rejected[target]
            )
        if len(new) > MAX_LOGGED_TARGETS:
            more = counted(len(new) - MAX_LOGGED_TARGETS, "more target")
            log.warning("source %s: %s without a monitor", feed.name, more)
        if reading.over_limit and not before.over_limit:
            log.warning(
                "source %s: ignored %s beyond the limit of %d",
                feed.name,
                counted(reading.over_limit, "target"),
                feed.settings.max_targets,
            )

    # -- storage ------------------------------------------------------------------------------------------


def _read(
    feed: _SourceEntry, settings: SourcesSettings, must_stop: threading.Event, *, is_paced: bool
) -> _Reading:
    """Read the settings of the targets. `is_paced`: in a thread, while the event loop continues."""
    targets, pacer = feed.targets, Pacer(must_stop, is_paced=is_paced)
    reader = None if settings.reader is None else settings.reader.for_many()
    is_ignored = compile_patterns(settings.ignore).match
    named: dict[str, str] = {}
    rejected: dict[str, str] = {}
    ignored = 0
    for target in targets:
        try:
            name = automatic_name(feed.name, target)
        except InvalidValueError as error:
            rejected[target] = str(error)
            continue
        if is_ignored(name):
            ignored += 1
        else:
            named[target] = name
        pacer.pause()
    over_limit: frozenset[str] = frozenset()
    if len(named) > feed.settings.max_targets:
        # Present monitors first, so that the selection does not change with each new target.
        order = sorted(named, key=lambda target: named[target] not in feed.monitors)
        over_limit = frozenset(order[feed.settings.max_targets :])
        named = {target: named[target] for target in order[: feed.settings.max_targets]}
    buckets: dict[int, dict[str, Mapping[str, Any]]] = {}
    for target, data in targets.items():
        if target not in over_limit:  # nor after a restart
            buckets.setdefault(zlib.crc32(target.encode(errors="replace")) % BUCKETS, {})[target] = data
        pacer.pause()
    read: dict[str, tuple[Mapping[str, Any], MonitorSettings | str]] = {}
    monitors: dict[str, MonitorSettings] = {}
    for target, name in named.items():
        data = targets[target]
        known = feed.reading.read.get(target)
        if known is not None and known[0] == data:
            read[target] = known
        else:
            read[target] = data, _read_target(feed, reader, target, name, data)
        result = read[target][1]
        if isinstance(result, str):
            rejected[target] = result
        else:
            monitors[name] = result
        pacer.pause()
    objectives = filter(None, map(objective_of, monitors.values()))
    monitors |= {objective.name: objective for objective in objectives}
    return _Reading(targets, read, monitors, rejected, ignored, len(over_limit), buckets)


def _read_target(
    feed: _SourceEntry, reader: MonitorReader | None, target: str, name: str, data: Mapping[str, Any]
) -> MonitorSettings | str:
    """Return the settings of the monitor, or why it cannot be configured."""
    if reader is None:
        return "the configuration has not been read yet"
    try:
        return reader.read(name, feed.name, feed.source.keys_of(target, data))
    except InvalidValueError as error:
        return str(error)
    except ConfigError as error:
        first = replace(error.diagnostics[0], file="")
        more = len(error.diagnostics) - 1
        return str(first).removeprefix(": ") + (f" (and {counted(more, 'more error')})" if more else "")
    except Exception as error:
        # The source or the type can be a third party's.
        log.exception("%s: the settings cannot be read", name)
        return f"cannot be read: {type(error).__name__}; see the journal"


def _key(name: str, bucket: int) -> str:
    return f"{STORED_AS}/{name}/{bucket}"
