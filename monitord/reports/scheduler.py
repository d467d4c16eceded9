"""Delivers the scheduled reports: each period once by each notifier and once to the directory, even across restarts.

At each time of its schedule, a report is about the last complete month or week. Its progress is stored. If the daemon
did not run at that time, the report is delivered once it runs again, for several missed periods only the last.
A new report begins with its next time. A failed delivery is retried until the next period is due.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from monitord.clock import Clock
from monitord.dispatch import Registry
from monitord.errors import HistoryError
from monitord.notifiers import DeliveryError, NotifierSettings, NotifierTools
from monitord.reports.delivery import RenderedReport, send_report, write_report
from monitord.reports.model import Report
from monitord.reports.period import Period, last_complete
from monitord.reports.reports import Reports
from monitord.reports.settings import ReportSettings

log = logging.getLogger("monitord")

STATE = "reports"
"""The key of the stored state."""

CHECK_EVERY_S = 30.0
"""Not until the next time: the wall clock and the time zone can be set."""

FIRST_RETRY_AFTER_S = 60.0
MAX_RETRY_AFTER_S = 3600.0

KEEP_STATE_S = 400 * 86_400.0
"""The state of a report that is no longer configured is kept for this time, in case it was removed by mistake."""

FILE = "file"
"""The recipient that is a directory. Notifiers are recipients by their names, with a prefix."""
NOTIFIER_PREFIX = "notifier:"


@dataclass(frozen=True, slots=True)
class ReportProgress:
    """The stored state of a report. `done_until`: the end of the last period that is complete.

    `period_end`: the end of the period that is being delivered. `delivered`: its recipients that have it.
    """

    done_until: datetime
    period_end: datetime | None = None
    delivered: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        return {
            "done_until": self.done_until.timestamp(),
            "period_end": None if self.period_end is None else self.period_end.timestamp(),
            "delivered": list(self.delivered),
        }

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> "ReportProgress":
        """Read `as_json`. Raises KeyError, TypeError, ValueError or OverflowError if it is damaged."""
        end = stored["period_end"]
        return cls(
            datetime.fromtimestamp(stored["done_until"], UTC),
            None if end is None else datetime.fromtimestamp(end, UTC),
            tuple(map(str, stored["delivered"])),
        )


@dataclass(slots=True)
class Attempts:
    """The failures of the current period. They are not stored."""

    failures: int = 0
    retry_at_s: float = 0.0
    error: str | None = None
    failing_since: datetime | None = None
    last_period: str | None = None
    last_delivered_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class ReportStatus:
    """`last_period` and `last_delivered_at`: of the last complete delivery since the start of the daemon."""

    settings: ReportSettings
    next_at: datetime | None
    last_period: str | None
    last_delivered_at: datetime | None
    error: str | None
    failing_since: datetime | None
    failed_attempts: int = 0


@dataclass(slots=True)
class _Scheduled:
    """`failed_attempts`: since the start of the daemon."""

    settings: ReportSettings
    failed_attempts: int = 0
    attempts: Attempts = field(default_factory=Attempts)


class ReportScheduler:
    """Owns the progress of all reports. `save`: stores a state of the daemon under a key."""

    def __init__(
        self,
        reports: Reports,
        registry: Registry,
        clock: Clock,
        tools: NotifierTools,
        save: Callable[[str, Mapping[str, Any] | None], None],
        saved: Mapping[str, Mapping[str, Any]],
    ) -> None:
        self._reports = reports
        self._registry = registry
        self._clock = clock
        self._tools = tools
        self._save = save
        self._progress: dict[str, ReportProgress] = {}
        self._scheduled: dict[str, _Scheduled] = {}
        self._notifiers: Mapping[str, NotifierSettings] = {}
        self._has_changed = asyncio.Event()
        for name, progress in saved.get(STATE, {}).items():
            try:
                self._progress[name] = ReportProgress.from_json(progress)
            except (KeyError, TypeError, ValueError, OverflowError) as error:
                log.warning("report %s: discarded its stored state, which cannot be read: %r", name, error)

    def apply(self, reports: Sequence[ReportSettings], notifiers: Sequence[NotifierSettings]) -> None:
        """Apply new settings. The failures of unchanged reports are kept."""
        before, self._scheduled = self._scheduled, {}
        self._notifiers = {notifier.name: notifier for notifier in notifiers}
        for settings in reports:
            known = before.get(settings.name)
            if known is None or known.settings != settings:
                known = _Scheduled(settings, 0 if known is None else known.failed_attempts)
            self._scheduled[settings.name] = known
        self._has_changed.set()

    async def run(self) -> None:
        """Deliver the reports that are due, until cancelled."""
        while True:
            self._has_changed.clear()
            await self.deliver_due()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(CHECK_EVERY_S if self._scheduled else None):
                    await self._has_changed.wait()

    def status(self) -> list[ReportStatus]:
        """The reports in the order of the configuration."""
        now = self._clock.now()
        return [
            ReportStatus(
                scheduled.settings,
                scheduled.settings.schedule.next_after(now),
                scheduled.attempts.last_period,
                scheduled.attempts.last_delivered_at,
                scheduled.attempts.error,
                scheduled.attempts.failing_since,
                scheduled.failed_attempts,
            )
            for scheduled in self._scheduled.values()
        ]

    async def deliver_due(self) -> None:
        """Deliver each report that is due now."""
        for scheduled in list(self._scheduled.values()):
            name = scheduled.settings.name
            try:
                period = self._due_period(scheduled)
                if period is not None:
                    await self._deliver(scheduled, period)
            except Exception:
                log.exception("report %s: bug in its delivery", name)
                self._record_failure(scheduled, "bug in its delivery; see the journal")

    def _due_period(self, scheduled: _Scheduled) -> Period | None:
        """Return the period that is to be delivered now."""
        settings, now = scheduled.settings, self._clock.now()
        occurred_at = settings.schedule.previous_or_at(now)
        if occurred_at is None:
            return None
        period = last_complete(settings.kind, occurred_at, settings.schedule.zone)
        progress = self._progress.get(settings.name)
        # A time in the future is that of a clock that was ahead.
        if progress is None or progress.done_until > now:
            self._record(settings.name, ReportProgress(period.end))
            return None
        if period.end <= progress.done_until:
            return None
        if progress.period_end != period.end:
            if progress.period_end is not None:
                log.error(
                    "report %s: not delivered completely before the next period was due: %s",
                    settings.name,
                    scheduled.attempts.error or "the daemon did not run",
                )
            self._record(settings.name, ReportProgress(progress.done_until, period.end))
            scheduled.attempts.failures, scheduled.attempts.retry_at_s = 0, 0.0
        if self._clock.monotonic_s() < scheduled.attempts.retry_at_s:
            return None
        return period

    async def _deliver(self, scheduled: _Scheduled, period: Period) -> None:
        settings = scheduled.settings
        notifiers = self._notifiers  # a reload replaces them
        names = [
            name
            for name, entry in self._registry.entries.items()
            if settings.covers(name, entry.monitor.settings.tags)
        ]
        try:
            report = await self._reports.build(names, period, settings.max_monitors)
        except HistoryError as error:
            self._record_failure(scheduled, str(error))
            return
        rendered = await asyncio.to_thread(_rendered, settings.name, report)
        errors = []
        files = [] if settings.directory is None else [FILE]
        for recipient in [*files, *(f"{NOTIFIER_PREFIX}{name}" for name in settings.notify)]:
            progress = self._progress[settings.name]
            if recipient in progress.delivered:
                continue
            try:
                if recipient == FILE:
                    assert settings.directory is not None  # noqa: S101 - otherwise the file is not a recipient
                    response = await asyncio.to_thread(write_report, settings.directory, rendered)
                else:
                    notifier = notifiers[recipient.removeprefix(NOTIFIER_PREFIX)]
                    response = await send_report(notifier, self._tools, rendered)
            except DeliveryError as error:
                errors.append(f"{recipient.removeprefix(NOTIFIER_PREFIX)}: {error}")
                continue
            log.info("report %s: %s delivered: %s", settings.name, rendered.period, response)
            self._record(settings.name, replace(progress, delivered=(*progress.delivered, recipient)))
        if errors:
            self._record_failure(scheduled, "; ".join(errors))
            return
        self._record(settings.name, ReportProgress(period.end))
        scheduled.attempts = Attempts(last_period=period.name, last_delivered_at=self._clock.now())

    def _record(self, name: str, progress: ReportProgress) -> None:
        self._progress[name] = progress
        oldest_s = self._clock.now().timestamp() - KEEP_STATE_S
        self._progress = {
            name: progress
            for name, progress in self._progress.items()
            if name in self._scheduled or progress.done_until.timestamp() > oldest_s
        }
        self._save(STATE, {name: progress.as_json() for name, progress in self._progress.items()})

    def _record_failure(self, scheduled: _Scheduled, error: str) -> None:
        attempts = scheduled.attempts
        delay_s = min(FIRST_RETRY_AFTER_S * 2 ** min(attempts.failures, 16), MAX_RETRY_AFTER_S)
        attempts.failures += 1
        scheduled.failed_attempts += 1
        attempts.retry_at_s = self._clock.monotonic_s() + delay_s
        if attempts.error is None:
            attempts.failing_since = self._clock.now()
        if attempts.error != error:
            log.error("report %s: cannot be delivered, retrying: %s", scheduled.settings.name, error)
        attempts.error = error


def _rendered(name: str, report: Report) -> RenderedReport:
    # Imported in a thread when the first report is delivered.
    from monitord.reports import html, text, wording  # noqa: PLC0415

    return RenderedReport(
        name=name,
        period=report.period.name,
        title=wording.title(report),
        text=text.text_of(report),
        html=html.html_of(report),
        instance=report.instance,
        at=report.created_at,
    )
