"""What can be done to the running daemon: reload as a transaction, and a check out of turn.

A reload reads and builds the new world aside. Then it swaps, which cannot fail, or refuses, which changes
nothing. Both are told in the log, in STATUS= and to whoever asked.
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
from monitord.dispatch import AutoUnits, CheckLog, Dispatcher, Plan, Sink, Watched
from monitord.errors import ConfigError, ControlError
from monitord.health import IsolationPolicy
from monitord.history import HistoryStats
from monitord.journal_events import JournalEvent
from monitord.model import Result, State, Transition
from monitord.monitors import Monitor, MonitorSettings
from monitord.monitors.heartbeat.monitor import HeartbeatMonitor, Ping
from monitord.settings import Settings, read_settings
from monitord.status import ReloadOutcome
from monitord.systemd.log import NOTICE
from monitord.systemd.notify import SdNotify

log = logging.getLogger("monitord")

READ_TIMEOUT_S = 60.0
"""A configuration on a file system that hangs is refused after this long."""

MOST_LOGGED_WARNINGS = 20
"""Of a configuration. Thousands of monitors may have the same problem."""

STOPPING = "the daemon is stopping"

AT_START = ("status", "history")
"""Sections that a reload cannot put in force: sockets that are open, a database that is written."""

JOURNAL_INTERVAL_S = 30.0
JOURNAL_BURST = 60_000
"""What journald takes of the unit in that time before it drops: LogRateLimitBurst= in monitord.service."""


class HistoryStanding(Protocol):
    """Of the history no more than how its writing stands."""

    def stats(self) -> HistoryStats: ...


class StatusNews(Sink):
    """Says when the status line may have changed."""

    def __init__(self) -> None:
        self._has_news = asyncio.Event()

    def on_transition(self, watched: Watched, transition: Transition) -> None:
        del watched, transition
        self._has_news.set()

    def on_reload(self, outcome: ReloadOutcome) -> None:
        """Of the daemon's control."""
        del outcome
        self._has_news.set()

    async def wait(self, at_most_s: float) -> None:
        """Until it may have changed, or that time has passed."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(at_most_s):
                await self._has_news.wait()
        self._has_news.clear()


class Control:
    """Owns the settings in force and the state of the daemon."""

    def __init__(
        self,
        config: Path,
        settings: Settings,
        dispatcher: Dispatcher,
        auto_units: AutoUnits,
        build: Callable[[MonitorSettings], Monitor[Any]],
        check_log: CheckLog,
        history: HistoryStanding,
        alerts: Alerts,
        notifier: SdNotify,
        clock: Clock,
        on_reload: tuple[Callable[[ReloadOutcome], None], ...] = (),
    ) -> None:
        """`on_reload` are called after each reload, accepted or refused. They must not block or raise."""
        self._config = config
        self._settings = self._first = settings
        self._dispatcher = dispatcher
        self._auto_units = auto_units
        self._build = build
        self._check_log = check_log
        self._history = history
        self._alerts = alerts
        self._notifier = notifier
        self._clock = clock
        self._lock = asyncio.Lock()
        self._last_reload: ReloadOutcome | None = None
        self._on_reload = on_reload
        self._state = "starting"

    @property
    def state(self) -> str:
        """ "starting", "running", "reloading" or "stopping"."""
        return self._state

    def mark_running(self) -> None:
        """The start is complete."""
        self._state = "running"

    def mark_stopping(self) -> None:
        """The stop has begun: reloads are rejected."""
        self._state = "stopping"

    @property
    def last_reload(self) -> ReloadOutcome | None:
        return self._last_reload

    @property
    def settings(self) -> Settings:
        return self._settings

    def begin(self) -> None:
        """Put the settings of the start in force."""
        self._put_in_force(self._settings, self._dispatcher.plan(self._settings.monitors, self._build))
        self._warn_of(self._settings)

    def status_line(self) -> str:
        """One line for `systemctl status`: "412 monitors: 409 up, 1 degraded, 2 down"."""
        counts = self._dispatcher.health_counts()
        shares = ", ".join(f"{counts[health]} {health.value}" for health in State if counts[health])
        total = counts.total()
        line = f"{total} monitor{'' if total == 1 else 's'}{': ' if shares else ''}{shares}"
        failing = self._history.stats().failing
        if failing is not None:
            line += f"; history is not written: {failing}"
        for worker in self._alerts.failing():
            line += f"; {worker.name} cannot deliver: {worker.failing}"
        for worker in self._alerts.workers.values():
            if worker.warning is not None and worker.failing is None:
                line += f"; {worker.name}: {worker.warning}"
        if self._last_reload is not None and not self._last_reload.ok:
            line += f"; reload refused at {time_text(self._last_reload.at)}: {self._last_reload.summary}"
        return line

    async def check_now(self, name: str, asked_by: str) -> Result:
        if name in self._dispatcher.watched:
            log.info("%s: check asked for by %s", name, asked_by)
        return await self._dispatcher.check_now(name)

    def ping(self, name: str, ping: Ping, asked_by: str) -> None:
        monitor = self._dispatcher.watched[name].monitor
        if not isinstance(monitor, HeartbeatMonitor):
            raise ControlError(
                f"{name} is of type {monitor.type_name} and takes no pings",
                hint='write type = "heartbeat" for what reports itself',
            )
        log.debug("%s: %s came from %s", name, ping.signal.value, asked_by)
        monitor.ping(ping, self._clock.now())

    async def reload(self, asked_by: str) -> ReloadOutcome:
        """One at a time; who comes meanwhile waits and gets a reload of his own, so that his edit is in it."""
        async with self._lock:
            if self._state == "stopping":
                return self._refused(self._clock.now(), [STOPPING], asked_by)
            self._state = "reloading"
            self._notifier.reloading()
            try:
                self._last_reload = outcome = await self._reload(asked_by)
                for consume in self._on_reload:
                    consume(outcome)
            finally:
                # Whatever happened, a reload that never says READY=1 leaves the unit in `reloading`.
                if self._state == "reloading":
                    self._state = "running"
                    self._notifier.ready(self.status_line())
        return outcome

    async def _reload(self, asked_by: str) -> ReloadOutcome:
        at = self._clock.now()
        try:
            # In a thread, so that checks go on while a large file is parsed.
            async with asyncio.timeout(READ_TIMEOUT_S):
                settings = await asyncio.to_thread(read_settings, self._config)
            plan = self._dispatcher.plan(settings.monitors, self._build)
        except ConfigError as error:
            return self._refused(at, [str(failure) for failure in error.diagnostics], asked_by)
        except TimeoutError:
            return self._refused(
                at, [f"{self._config}: could not be read within {READ_TIMEOUT_S:.0f} s"], asked_by
            )
        except Exception as error:
            # A third party's type may raise where it builds a monitor.
            log.exception("reload: a monitor could not be built")
            # Without its text, which may quote a secret: the state of a reload is public, the journal is not.
            return self._refused(
                at, [f"a monitor could not be built: {type(error).__name__}; see the journal"], asked_by
            )
        if self._state == "stopping":
            # It was told to meanwhile: what began now would be ended by nobody.
            return self._refused(at, [STOPPING], asked_by)
        before, self._settings = self._settings, settings
        self._put_in_force(settings, plan)
        limits = settings.limits
        self._dispatcher.resize(limits.max_concurrent_checks, limits.max_concurrent_per_host, limits.own)
        self._check_log.configure(settings.log.checks)
        logging.getLogger().setLevel(settings.log.level.number)
        summary = str(plan)
        if settings.alerts != before.alerts:
            summary += "; who is told has changed"
        log.log(
            NOTICE,
            "reloaded (%s): %s",
            asked_by,
            summary,
            extra={"message_id": JournalEvent.RELOAD_APPLIED.message_id},
        )
        self._warn_of(settings)
        if warned := len(settings.warnings):
            summary += f"; {warned} warning{'' if warned == 1 else 's'}"
        late = [f"[{name}]" for name in AT_START if getattr(settings, name) != getattr(self._first, name)]
        if late:
            summary += f"; {' and '.join(late)} at the next restart"
            log.warning("what has changed in %s is taken at the next restart", " and ".join(late))
        warnings = tuple(warning.as_warning() for warning in settings.warnings)
        return ReloadOutcome(ok=True, at=at, summary=summary, warnings=warnings)

    def _put_in_force(self, settings: Settings, plan: Plan) -> None:
        # Before the monitors: a closing notification would be lost while there are no notifiers yet.
        self._alerts.apply(settings.alerts)
        network = settings.network
        isolation = IsolationPolicy(network.isolation_threshold, frozenset(network.canaries))
        self._dispatcher.apply(plan, isolation, settings.maintenance)
        self._auto_units.apply(settings.auto, settings.monitors)

    def _refused(self, at: datetime, failures: list[str], asked_by: str) -> ReloadOutcome:
        error = "\n".join(failures)
        summary = failures[0] if len(failures) == 1 else f"{failures[0]} (and {len(failures) - 1} more)"
        log.error(
            "reload refused (%s); the configuration of before stays in force\n%s",
            asked_by,
            error,
            extra={"message_id": JournalEvent.RELOAD_REJECTED.message_id},
        )
        return ReloadOutcome(ok=False, at=at, summary=summary, error=error)

    def _warn_of(self, settings: Settings) -> None:
        for warning in settings.warnings[:MOST_LOGGED_WARNINGS]:
            log.warning("%s", warning.as_warning())
        if (more := len(settings.warnings) - MOST_LOGGED_WARNINGS) > 0:
            log.warning("%d more warnings; monitorctl check-config shows all of them", more)
        self._warn_of_log_rate(settings)

    def _warn_of_log_rate(self, settings: Settings) -> None:
        if settings.log.checks.value != "all":
            return
        lines = settings.checks_per_second * JOURNAL_INTERVAL_S
        if lines > JOURNAL_BURST:
            log.warning(
                "this configuration logs about %d checks in %d s; journald drops above %d: "
                'raise LogRateLimitBurst= of the unit, or write checks = "failures" in [log]',
                lines,
                JOURNAL_INTERVAL_S,
                JOURNAL_BURST,
                extra={"message_id": JournalEvent.LOG_RATE_EXCEEDED.message_id},
            )
