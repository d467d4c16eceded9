"""The contents of the page of one monitor, from the read model and the history."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from monitord.clock import Clock
from monitord.dispatch import MonitorEntry, OpenMaintenance, Pause, result_from_record
from monitord.history import Bucket, DaySummary, Uptime
from monitord.model import Incident, MonitorContext, Result, State
from monitord.monitors.objective import rate_text, target_text
from monitord.status.model.cluster import is_checked_here
from monitord.status.model.objectives import ObjectiveSummary
from monitord.status.model.read_model import KEPT_MARKS, STORED_WITHIN, Mark
from monitord.status.model.representations import BYTES, SECONDS, units_of
from monitord.status.pages import wording
from monitord.status.pages.charts import CalendarDay, Svg, calendar, checks_bar
from monitord.status.pages.past import PageHistory
from monitord.status.pages.plots import Plot, percentiles, percentiles_plot, phases_plot, states_plot
from monitord.status.pages.rows import notes_of, text_of_marks
from monitord.units import format_duration, format_percent

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
RANGES = {"1h": HOUR, "24h": DAY, "7d": 7 * DAY, "30d": 30 * DAY, "90d": 90 * DAY, "2y": 731 * DAY}
USUAL_RANGE = "24h"
UPTIME_WINDOWS = ("1h", "24h", "7d", "30d", "90d")

NEARLY_ALL = 0.95
"""Share of a window from which the covered time is not shown."""

CALENDAR_DAYS = 90
RESULTS, FAILURES, INCIDENTS = 20, 10, 8


@dataclass(frozen=True, slots=True)
class CheckView:
    """One check in words: `fields` as name and value."""

    at: datetime
    verdict: str
    reason: str
    detail: str
    duration_s: float
    fields: tuple[tuple[str, str], ...] = ()
    conditions: tuple[str, ...] = ()
    excerpt: str | None = None


@dataclass(frozen=True, slots=True)
class CertificateView:
    issuer: str
    subject: str
    names: str
    expires_at: datetime | None
    expires_in: str
    is_near: bool


@dataclass(frozen=True, slots=True)
class ObjectiveView:
    """The objective of a monitor in words. `monitor`: the monitor that evaluates it."""

    monitor: str
    state: str
    target: str
    achieved: str
    budget: str
    burn_rates: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class WindowUptime:
    """`is_short`: the history covers less time than the window."""

    window: str
    uptime: Uptime
    is_short: bool


@dataclass(frozen=True, slots=True)
class PastView:
    """Data of the history for the selected range."""

    uptimes: tuple[WindowUptime, ...]
    plots: Mapping[str, Plot | None]
    percentiles: tuple[tuple[str, float | None], ...]
    calendar: Svg
    incidents: Sequence[Incident]
    results: Sequence[CheckView]
    failures: Sequence[Result]


@dataclass(frozen=True, slots=True)
class MonitorView:
    """The current state of a monitor. Data of the history, which may be slow or disabled, is in `PastView`."""

    name: str
    type_name: str
    state: str
    since: datetime | None
    for_s: float | None
    notes: tuple[str, ...]
    window: OpenMaintenance | None
    pause: Pause | None
    incident: Incident | None
    tags: tuple[str, ...]
    context: MonitorContext
    source: str | None
    soft_failures: int
    settings: tuple[tuple[str, str], ...]
    up_when: tuple[str, ...]
    degraded_when: tuple[str, ...]
    next_check_in_s: float
    is_checking: bool
    is_at_other_node: bool
    last: CheckView | None
    certificate: CertificateView | None
    bar: Svg
    objective: ObjectiveView | None


CERTIFICATE_NEAR = timedelta(days=14)


def monitor_view(
    entry: MonitorEntry, marks: Sequence[Mark], clock: Clock, objective: ObjectiveSummary | None = None
) -> MonitorView:
    settings, health, mask = entry.monitor.settings, entry.state.health, entry.monitor.masking.mask
    policy = settings.policy
    verdicts = tuple([mark.verdict.value for mark in marks])
    last = None
    if entry.state.last is not None:
        checked = _checked_of(entry.state.last, _units_of(entry))
        shown = tuple(field for field in checked.fields if not field[0].startswith(SHOWN_SEPARATELY))
        last = replace(checked, fields=shown)
    return MonitorView(
        name=entry.name,
        type_name=entry.monitor.type_name,
        state=entry.state.effective.value,
        since=entry.state.effective_since,
        for_s=None
        if entry.state.effective_since is None
        else (clock.now() - entry.state.effective_since).total_seconds(),
        notes=notes_of(entry.state, None),
        window=entry.state.maintenance,
        pause=entry.state.pause,
        incident=entry.state.incident,
        tags=settings.tags,
        context=settings.context,
        source=settings.source,
        soft_failures=health.streak_length if health.is_soft else 0,
        settings=(
            ("checked every", wording.span_or_less(settings.check_every_s)),
            ("timeout", wording.span_or_less(settings.timeout_s)),
            ("down after", wording.several(policy.fail_after, "failure")),
            ("retried every", wording.span_or_less(settings.retry_every_s)),
            (
                "up after",
                wording.several(policy.recover_after, "pass")
                if policy.recover_after == 1
                else f"{policy.recover_after} passes",
            ),
            *([("depends on", ", ".join(settings.depends_on))] if settings.depends_on else []),
            *([("depends on any", ", ".join(settings.depends_on_any))] if settings.depends_on_any else []),
        ),
        up_when=tuple(mask(str(condition)) for condition in settings.up_when),
        degraded_when=tuple(mask(str(condition)) for condition in settings.degraded_when),
        next_check_in_s=max(entry.cycle.due_at_s - clock.monotonic_s(), 0.0),
        is_checking=entry.cycle.is_checking,
        is_at_other_node=not is_checked_here(entry),
        last=last,
        certificate=None if entry.state.last is None else certificate_of(entry.state.last.observation.fields),
        bar=checks_bar(verdicts, KEPT_MARKS, text_of_marks(verdicts)),
        objective=None if objective is None else _objective_view(objective),
    )


def _objective_view(summary: ObjectiveSummary) -> ObjectiveView:
    objective = summary.objective
    budget = wording.NOT_KNOWN
    if summary.left_s is not None and summary.left_percent is not None:
        budget = (
            f"{summary.left_percent:.0f} % left ({wording.span(summary.left_s)})"
            if summary.left_s >= 0
            else f"exceeded by {wording.span(-summary.left_s)}"
        )
    return ObjectiveView(
        monitor=summary.monitor,
        state=summary.state.value,
        target=f"{target_text(objective)} in {format_duration(objective.window_s)}",
        achieved=wording.NOT_KNOWN
        if summary.achieved_percent is None
        else format_percent(summary.achieved_percent / 100),
        budget=budget,
        burn_rates=tuple(
            (format_duration(window_s), rate_text(rate)) for window_s, rate in summary.burn_rates
        ),
    )


def _units_of(entry: MonitorEntry) -> Mapping[str, str]:
    """Return the units of the fields of a monitor, by name."""
    return units_of(entry.monitor.vocabulary_of(entry.monitor.options))


def _checked_of(result: Result, units: Mapping[str, str]) -> CheckView:
    observation = result.observation
    return CheckView(
        at=observation.started_at,
        verdict=result.verdict.value,
        reason=observation.reason.value,
        detail=observation.detail,
        duration_s=observation.duration_s,
        fields=tuple(
            (name, _field(field, units.get(name)))
            for name, field in observation.fields.items()
            if field is not None
        ),
        conditions=result.conditions,
        excerpt=observation.excerpt,
    )


def _field(field: Any, unit: str | None = None) -> str:
    """Return a field as text. `unit`: "seconds" or "bytes", None for a number without a unit."""
    if isinstance(field, bool):
        return "yes" if field else "no"
    if isinstance(field, (list, tuple)):
        return ", ".join(map(str, field))
    if unit == SECONDS and isinstance(field, (int, float)):
        return wording.duration(field)
    if unit == BYTES and isinstance(field, (int, float)):
        return wording.size(field)
    return f"{field:g}" if isinstance(field, float) else str(field)


SHOWN_SEPARATELY = ("certificate.", "objective.", "error_budget.", "burn_rate.")


def certificate_of(fields: Mapping[str, Any]) -> CertificateView | None:
    """Return the certificate of the last check, None if there was none."""
    expires_in = fields.get("certificate.expires_in")
    if not isinstance(expires_in, (int, float)):
        return None
    try:
        expires_at = datetime.fromisoformat(str(fields.get("certificate.expires_at")))
    except ValueError:
        expires_at = None
    expiry = (
        f"in {wording.span(expires_in)}" if expires_in >= 0 else f"expired {wording.span(-expires_in)} ago"
    )
    return CertificateView(
        issuer=str(fields.get("certificate.issuer", wording.NOT_KNOWN)),
        subject=str(fields.get("certificate.subject", wording.NOT_KNOWN)),
        names=_field(fields.get("certificate.names", wording.NOT_KNOWN)),
        expires_at=expires_at,
        expires_in=expiry,
        is_near=expires_in < CERTIFICATE_NEAR.total_seconds(),
    )


async def past_view(past: PageHistory, name: str, shown: str, now: datetime) -> PastView:
    """Read and draw the history of a monitor. The caller limits the time."""
    # The reads run concurrently; drawing would block the event loop, and so runs in a thread.
    start = now - RANGES[shown]
    windows = [(now - RANGES[window], now) for window in UPTIME_WINDOWS]
    buckets, days, incidents, results, failures, uptimes = await asyncio.gather(
        past.buckets(name, start, now),
        past.days(name, CALENDAR_DAYS),
        past.incidents(monitor=name, limit=INCIDENTS),
        past.results(name, limit=RESULTS),
        past.records(name, failed=True, limit=FAILURES),
        past.uptimes([name], windows),
    )
    plots, whole, squares = await asyncio.to_thread(_drawn, buckets, days, start, now)
    return PastView(
        uptimes=tuple(map(_window_uptime, UPTIME_WINDOWS, uptimes[name])),
        plots=plots,
        percentiles=whole,
        calendar=squares,
        incidents=incidents,
        results=[
            CheckView(
                result.at, result.verdict.value, result.reason.value, result.detail or "", result.duration_s
            )
            for result in results
        ],
        failures=[result_from_record(record) for record in failures],
    )


def _window_uptime(window: str, uptime: Uptime) -> WindowUptime:
    is_short = 0 < uptime.covered_s < NEARLY_ALL * RANGES[window].total_seconds()
    return WindowUptime(window, uptime, is_short)


def _drawn(
    buckets: Sequence[Bucket], days: Sequence[DaySummary], start: datetime, now: datetime
) -> tuple[Mapping[str, Plot | None], tuple[tuple[str, float | None], ...], Svg]:
    plots = {
        "phases": phases_plot(buckets, start, now),
        "percentiles": percentiles_plot(buckets, start, now),
        "states": states_plot(buckets, start, now),
    }
    known = [day for day in days if day.uptime.ratio is not None]
    with_downtime = [day for day in known if day.uptime.seconds.get(State.DOWN)]
    text = "uptime by day: no data yet"
    if known:
        text = f"uptime by day: {wording.several(len(known), 'day')}, {len(with_downtime):,} of them with downtime"
    squares = []
    for day in days:
        date, ratio, down_s = day.start.date(), day.uptime.ratio, day.uptime.seconds.get(State.DOWN, 0.0)
        description = f"{day.start:%Y-%m-%d}: no data"
        if ratio is not None:
            down = f", down for {wording.span(down_s)}" if down_s else ""
            incidents = f", {wording.several(day.incidents, 'incident')}" if day.incidents else ""
            description = f"{day.start:%Y-%m-%d}: {wording.percent(ratio)} up{down}{incidents}"
        squares.append(CalendarDay(date, ratio, description))
    return plots, percentiles(buckets), calendar(squares, text)


def with_fields(entry: MonitorEntry, failures: Sequence[Result], recent: Sequence[Result]) -> list[CheckView]:
    """Return stored failures of a monitor and failures that are not stored yet, newest first."""
    stored = [
        failure
        for failure in failures
        if all(abs(_began(failure) - _began(other)) > STORED_WITHIN for other in recent)
    ]
    newest = sorted([*recent, *stored], key=_began, reverse=True)[:FAILURES]
    units = _units_of(entry)
    return [_checked_of(failure, units) for failure in newest]


def _began(result: Result) -> datetime:
    return result.observation.started_at
