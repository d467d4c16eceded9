"""Operations on the running daemon: reload, immediate check, heartbeat.

A reload is a transaction: it reads the configuration and builds its monitors without any effect. Then it applies them,
which cannot fail, or rejects them, which changes nothing. The outcome is logged, shown in STATUS=, and returned to the
client.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

from monitord.alerts import Alerts
from monitord.clock import Clock, time_text
from monitord.dispatch import CheckLog, Dispatcher, MonitorEntry, ReloadPlan, Sink
from monitord.errors import ConfigError, ControlError
from monitord.health import IsolationPolicy
from monitord.history import HistoryStats
from monitord.journal_events import JournalEvent
from monitord.model import Result, State, Transition
from monitord.monitors import Monitor, MonitorSettings
from monitord.monitors.heartbeat.monitor import Heartbeat, HeartbeatMonitor
from monitord.settings import Settings, read_settings
from monitord.sources import Sources
from monitord.status import ReloadOutcome
from monitord.systemd.log import NOTICE
from monitord.systemd.notify import SdNotify
from monitord.text import counted, joined

log = logging.getLogger("monitord")

READ_TIMEOUT_S = 60.0
"""A configuration that cannot be read within this time, as on a file system that hangs, is rejected."""

MAX_LOGGED_WARNINGS = 20
"""Limit for one configuration: thousands of monitors can have the same problem."""

STOPPING = "the daemon is stopping"

APPLIED_AT_START = ("status", "history", "cluster")
"""Sections that a reload cannot apply: their sockets and database are open."""

JOURNAL_INTERVAL_S = 30.0
JOURNAL_BURST = 60_000
"""The messages of the unit in this time after which journald drops: LogRateLimitBurst= in monitord.service."""


class HasStats(Protocol):
    """The part of the history that this module uses."""

    def stats(self) -> HistoryStats: ...


class StatusLineChanges(Sink):
    """Wakes the task that updates the status line after events that can change it."""

    def __init__(self) -> None:
        self._has_changed = asyncio.Event()

    def on_transition(self, entry: MonitorEntry, transition: Transition) -> None:
        del entry, transition
        self._has_changed.set()

    def on_reload(self, outcome: ReloadOutcome) -> None:
        del outcome
        self._has_changed.set()

    async def wait(self, timeout_s: float) -> None:
        """Wait until the line can have changed, for at most this time."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._has_changed.wait()
        self._has_changed.clear()


class Control:
    """Owns the current settings and the state of the daemon."""

    def __init__(
        self,
        config: Path,
        settings: Settings,
        dispatcher: Dispatcher,
        sources: Sources,
        build: Callable[[MonitorSettings], Monitor[Any]],
        check_log: CheckLog,
        history: HasStats,
        alerts: Alerts,
        sd_notify: SdNotify,
        clock: Clock,
        on_reload: tuple[Callable[[ReloadOutcome], None], ...] = (),
        on_apply: tuple[Callable[[Settings], None], ...] = (),
    ) -> None:
        """`on_reload` are called after each reload, applied or rejected, `on_apply` with settings that are applied.

        They must not block or raise.
        """
        self._config = config
        self._settings = self._first = settings
        self._dispatcher = dispatcher
        self._sources = sources
        self._build = build
        self._check_log = check_log
        self._history = history
        self._alerts = alerts
        self._sd_notify = sd_notify
        self._clock = clock
        self._lock = asyncio.Lock()
        self._last_reload: ReloadOutcome | None = None
        self._on_reload = on_reload
        self._on_apply = on_apply
        self._state = "starting"

    @property
    def state(self) -> str:
        """ "starting", "running", "reloading" or "stopping"."""
        return self._state

    def mark_running(self) -> None:
        """Record that the start is complete."""
        self._state = "running"

    def mark_stopping(self) -> None:
        """Record that the stop has begun: reloads are rejected."""
        self._state = "stopping"

    @property
    def last_reload(self) -> ReloadOutcome | None:
        return self._last_reload

    @property
    def settings(self) -> Settings:
        return self._settings

    def apply_first(self) -> None:
        """Apply the settings of the start."""
        self._apply(self._settings, self._dispatcher.plan(self._settings.monitors, self._build))
        self._log_warnings(self._settings)

    def status_line(self) -> str:
        """One line for `systemctl status`: "412 monitors: 409 up, 1 degraded, 2 down"."""
        counts = self._dispatcher.state_counts()
        parts = ", ".join(f"{counts[state]} {state.value}" for state in State if counts[state])
        line = f"{counted(counts.total(), 'monitor')}{': ' if parts else ''}{parts}"
        failing = self._history.stats().error
        if failing is not None:
            line += f"; history cannot be written: {failing}"
        for worker in self._alerts.failing_workers():
            line += f"; {worker.name} cannot deliver: {worker.error}"
        for worker in self._alerts.workers.values():
            if worker.warning is not None and worker.error is None:
                line += f"; {worker.name}: {worker.warning}"
        for source in self._sources.status():
            if source.problem is not None:
                line += f"; source {source.name}: {source.problem}"
        if self._last_reload is not None and not self._last_reload.ok:
            line += f"; reload rejected at {time_text(self._last_reload.at)}: {self._last_reload.summary}"
        return line

    async def check_now(self, name: str, requested_by: str) -> Result:
        if name in self._dispatcher.entries:
            log.info("%s: check requested by %s", name, requested_by)
        return await self._dispatcher.check_now(name)

    def record_heartbeat(self, name: str, heartbeat: Heartbeat, requested_by: str) -> None:
        monitor = self._dispatcher.entries[name].monitor
        if not isinstance(monitor, HeartbeatMonitor):
            raise ControlError(
                f"{name} has type {monitor.type_name}, which does not accept heartbeats",
                hint='write type = "heartbeat" for jobs that send heartbeats',
            )
        log.debug("%s: heartbeat %s from %s", name, heartbeat.signal.value, requested_by)
        monitor.record_heartbeat(heartbeat, self._clock.now())

    async def reload(self, requested_by: str) -> ReloadOutcome:
        """Reload the configuration. Concurrent requests wait, and each reads the files again, so that it includes all
        edits that were made before it."""
        async with self._lock:
            if self._state == "stopping":
                return self._rejected(self._clock.now(), [STOPPING], requested_by)
            self._state = "reloading"
            self._sd_notify.reloading()
            try:
                self._last_reload = outcome = await self._reload(requested_by)
                for consume in self._on_reload:
                    consume(outcome)
            finally:
                # Without READY=1 after it, the unit would remain in state `reloading`.
                if self._state == "reloading":
                    self._state = "running"
                    self._sd_notify.ready(self.status_line())
        return outcome

    async def _reload(self, requested_by: str) -> ReloadOutcome:
        at = self._clock.now()
        try:
            # In a thread, so that checks continue while a large file is parsed.
            async with asyncio.timeout(READ_TIMEOUT_S):
                settings = await asyncio.to_thread(read_settings, self._config)
            plan = self._dispatcher.plan(settings.monitors, self._build)
        except ConfigError as error:
            return self._rejected(at, [str(failure) for failure in error.diagnostics], requested_by)
        except TimeoutError:
            return self._rejected(
                at, [f"{self._config}: cannot be read within {READ_TIMEOUT_S:.0f} s"], requested_by
            )
        except Exception as error:
            # The constructor of a third party's type can raise.
            log.exception("reload: a monitor cannot be created")
            # Without its text, which can contain a secret: the outcome of a reload is public, the journal is not.
            return self._rejected(
                at, [f"a monitor cannot be created: {type(error).__name__}; see the journal"], requested_by
            )
        if self._state == "stopping":
            # The stop has begun in the meantime: nothing would close the new monitors.
            return self._rejected(at, [STOPPING], requested_by)
        before, self._settings = self._settings, settings
        self._apply(settings, plan)
        limits = settings.limits
        self._dispatcher.resize(limits.max_concurrent_checks, limits.max_concurrent_per_host, limits.by_pool)
        self._check_log.configure(settings.log.checks)
        logging.getLogger().setLevel(settings.log.level.number)
        summary = str(plan)
        if settings.alerts != before.alerts:
            summary += "; notifiers or routes changed"
        log.log(
            NOTICE,
            "reloaded, requested by %s: %s",
            requested_by,
            summary,
            extra={"message_id": JournalEvent.RELOAD_APPLIED.message_id},
        )
        self._log_warnings(settings)
        if settings.warnings:
            summary += f"; {counted(len(settings.warnings), 'warning')}"
        delayed = [
            f"[{name}]" for name in APPLIED_AT_START if getattr(settings, name) != getattr(self._first, name)
        ]
        if _page_sockets(settings) != _page_sockets(self._first):
            delayed.append("listen and socket in [pages]")
        if delayed:
            changes = f"changes to {joined(delayed)} will be applied at the next restart"
            summary += f"; {changes}"
            log.warning("%s", changes)
        warnings = tuple(warning.as_warning() for warning in settings.warnings)
        return ReloadOutcome(ok=True, at=at, summary=summary, warnings=warnings)

    def _apply(self, settings: Settings, plan: ReloadPlan) -> None:
        # Before the monitors: a closing notification would be lost while there are no notifiers yet.
        self._alerts.apply(settings.alerts)
        network = settings.network
        isolation = IsolationPolicy(network.isolation_threshold, frozenset(network.canaries))
        self._dispatcher.apply(plan, isolation, settings.maintenance)
        self._sources.apply(settings.sources)
        for consume in self._on_apply:
            consume(settings)

    def _rejected(self, at: datetime, failures: list[str], requested_by: str) -> ReloadOutcome:
        error = "\n".join(failures)
        summary = failures[0] if len(failures) == 1 else f"{failures[0]} (and {len(failures) - 1} more)"
        log.error(
            "reload rejected, requested by %s; the previous configuration stays active\n%s",
            requested_by,
            error,
            extra={"message_id": JournalEvent.RELOAD_REJECTED.message_id},
        )
        return ReloadOutcome(ok=False, at=at, summary=summary, error=error)

    def _log_warnings(self, settings: Settings) -> None:
        for warning in settings.warnings[:MAX_LOGGED_WARNINGS]:
            log.warning("%s", warning)  # the severity is that of the entry
        if (more := len(settings.warnings) - MAX_LOGGED_WARNINGS) > 0:
            log.warning("%s; monitorctl check-config shows all of them", counted(more, "more warning"))
        lines = settings.checks_per_second * JOURNAL_INTERVAL_S
        if settings.log.checks.value == "all" and lines > JOURNAL_BURST:
            log.warning(
                "this configuration logs about %d checks in %d s; journald drops above %d: "
                'raise LogRateLimitBurst= of the unit, or write checks = "failures" in [log]',
                lines,
                JOURNAL_INTERVAL_S,
                JOURNAL_BURST,
                extra={"message_id": JournalEvent.LOG_RATE_EXCEEDED.message_id},
            )


def _page_sockets(settings: Settings) -> dict[str, object]:
    """Return the addresses of the pages that have some, by name."""
    return {page.name: (page.listen, page.socket) for page in settings.pages if page.listen or page.socket}
