"""`monitorctl what-if`: replay the stored results against another configuration.

The history is read from its database, so the daemon is neither needed nor delayed. This needs the code of the daemon,
so monitorctl executes this module as another process. If root uses the database of a service, the process switches to
the user of the service before it opens the database.
"""

import gc
import json
import logging
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import groupby
from pathlib import Path
from typing import Any

from monitord.application import HISTORY_NAME
from monitord.cli.daemon.service_user import drop_privileges_to_service_user, unit_of_config
from monitord.cli.exit_status import EXIT_DIFFERENT, EXIT_FAILED, EXIT_INTERRUPTED, EXIT_OK
from monitord.cli.output.wording import LocalTimes
from monitord.cli.parsing import CommandLineParser
from monitord.cli.what_if_options import DETAILS, SUMMARY, add_what_if_options
from monitord.clock import Clock, SystemClock
from monitord.config import ConfigAccess
from monitord.errors import ConfigError, HistoryError
from monitord.history.recorded import RecordedHistory
from monitord.model import Incident
from monitord.replay import (
    AlertChange,
    IncidentChange,
    Limit,
    LimitKind,
    Outcome,
    RecordedAlert,
    RecordedNotification,
    compare_alerts,
    compare_incidents,
    plan_of,
    replay,
)
from monitord.settings import Settings, read_settings
from monitord.text import counted, first_of, plain
from monitord.units import approximate_duration, format_duration

STATE_DIRECTORIES = Path("/var/lib")

PROGRESS_EVERY_S = 5.0
MAX_NAMED = 10
"""Monitors that a limit names."""

START_TOLERANCE = timedelta(hours=1)
"""Results may begin this much after the requested time: monitors are checked at intervals."""

AFTER_LAST_RESULT = timedelta(minutes=1)
"""The replay ends this time after the start of the last check, and includes its result."""

GC_THRESHOLD = 100_000
"""The replay creates few cycles, and collections would take a tenth of its time."""

CURRENT, NEW = "current", "new"


@dataclass(frozen=True, slots=True)
class WhatIfReport:
    """The result of the command. `since`: the requested start; `start`: that of the stored results.

    `result_retention_s`: of the current configuration.
    `stored_incidents`: of the monitors of the current configuration. `not_replayed`: monitors with results that neither
    configuration has.
    """

    since: datetime
    start: datetime
    end: datetime
    result_retention_s: float
    monitors: int
    current: Outcome
    new: Outcome
    notifiers: tuple[str, ...]
    alert_changes: Sequence[AlertChange]
    incident_changes: Sequence[IncidentChange]
    limits: Sequence[Limit]
    stored_incidents: int
    not_replayed: Sequence[str]

    @property
    def is_short(self) -> bool:
        """Whether the stored results cover less than the requested period."""
        return bool(self.monitors) and self.start - self.since > START_TOLERANCE

    @property
    def differs(self) -> bool:
        return bool(self.alert_changes or self.incident_changes)


def main(arguments: Sequence[str] | None = None, clock: Clock | None = None) -> int:
    parser = CommandLineParser(
        prog="monitorctl what-if", description=f"{SUMMARY}.", epilog=DETAILS, allow_abbrev=False
    )
    add_what_if_options(parser)
    options = parser.parse_args(arguments)
    now = (clock or SystemClock()).now()
    try:
        report = build_report(
            options.current, options.config, options.history, now - timedelta(seconds=options.since), now
        )
        if options.json:
            print(json.dumps(report_json(report), indent=2))
        else:
            print("\n".join(report_lines(report, options.config.name, max_changes=options.lines)))
        sys.stdout.flush()
    except ConfigError as error:
        print(error, file=sys.stderr)
        count = counted(len(error.diagnostics), "error")
        print(f"monitorctl what-if: the configuration is rejected; {count}", file=sys.stderr)
        return EXIT_FAILED
    except HistoryError as error:
        print(f"monitorctl what-if: {error}", file=sys.stderr)
        return EXIT_FAILED
    except BrokenPipeError:
        # The reader has closed the pipe; keep Python from reporting it at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_OK
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    return EXIT_DIFFERENT if report.differs else EXIT_OK


def build_report(
    current_config: Path, new_config: Path, history_path: Path | None, since: datetime, end: datetime
) -> WhatIfReport:
    """Replay the results of the period. Raises ConfigError and HistoryError."""
    # Only the form of secrets is checked, as nothing is sent. Maintenance windows with only past times are accepted.
    current, new = (
        read_settings(config, access=ConfigAccess.OTHER_USER, is_start=True)
        for config in (current_config, new_config)
    )
    if history_path is None:
        history_path = _history_path(current_config, current)
        drop_privileges_to_service_user(current_config)
    with closing(RecordedHistory(history_path)) as history:
        return _replayed(history, current, new, since, end)


def _history_path(config: Path, settings: Settings) -> Path:
    """Return the path of the database of the daemon with this configuration. Raises HistoryError."""
    if not settings.history.enabled:
        raise HistoryError(
            f"{config} disables the history, so there are no results",
            hint="write enabled = true in [history], or name a database with --history",
        )
    if settings.history.directory is not None:
        return settings.history.directory / HISTORY_NAME
    unit = unit_of_config(config)
    if unit is None:
        raise HistoryError(
            f"{config} belongs to no unit and sets no directory in [history]",
            hint="name the database with --history",
        )
    return STATE_DIRECTORIES / unit.removesuffix(".service") / HISTORY_NAME


def _replayed(
    history: RecordedHistory, current: Settings, new: Settings, since: datetime, end: datetime
) -> WhatIfReport:
    recorded = history.periods(since, end)
    plans = plan_of(current, current, recorded), plan_of(current, new, recorded)
    used = [name for name in recorded if any(name in plan.names for plan in plans)]
    start = min((recorded[name].first_at for name in used), default=end)
    # Later, the daemon did not run.
    end = min(end, max((recorded[name].last_at for name in used), default=end) + AFTER_LAST_RESULT)
    outcomes = []
    for plan, label in zip(plans, (CURRENT, NEW), strict=True):
        expected = sum(recorded[name].results for name in plan.names)
        outcomes.append(replay(plan, history.results(start, end), start, end, _progress(expected, label)))
    # Groups are replayed without their results.
    of_current, of_new = (
        {monitor.name for monitor in plan.settings.monitors} | plan.names.keys() for plan in plans
    )
    return WhatIfReport(
        since=since,
        start=start,
        end=end,
        result_retention_s=current.history.results_s,
        monitors=len(used),
        current=outcomes[0],
        new=outcomes[1],
        notifiers=tuple(dict.fromkeys((*current.alerts.names, *new.alerts.names))),
        alert_changes=compare_alerts(outcomes[0], outcomes[1], plans[1].former_names),
        incident_changes=compare_incidents(outcomes[0], outcomes[1], plans[1].former_names),
        limits=plans[1].limits,
        stored_incidents=sum(incident.monitor in of_current for incident in history.incidents(start, end)),
        not_replayed=sorted(recorded.keys() - of_current - of_new),
    )


def _progress(expected: int, label: str) -> Callable[[int], None]:
    """Return a function that prints the progress to standard error, at most every PROGRESS_EVERY_S."""
    printed_at_s = time.monotonic()

    def show(done: int) -> None:
        nonlocal printed_at_s
        now_s = time.monotonic()
        if expected and now_s - printed_at_s >= PROGRESS_EVERY_S:
            printed_at_s = now_s
            share = min(99, 100 * done // expected)
            print(
                f"monitorctl what-if: {label} configuration: {share} % of {expected} results", file=sys.stderr
            )

    return show


# JSON


def report_json(report: WhatIfReport) -> dict[str, Any]:
    return {
        "requested_from": _json_time(report.since),
        "from": _json_time(report.start),
        "to": _json_time(report.end),
        "monitors": report.monitors,
        "results": {CURRENT: report.current.results, NEW: report.new.results},
        "alerts": {
            CURRENT: len(report.current.alerts),
            NEW: len(report.new.alerts),
            "changes": [
                {
                    CURRENT: _alert_json(change.before, change.sent_before),
                    NEW: _alert_json(change.after, change.sent_after),
                }
                for change in report.alert_changes
            ],
        },
        "incidents": {
            CURRENT: len(report.current.incidents),
            NEW: len(report.new.incidents),
            "stored": report.stored_incidents,
            "changes": [
                {CURRENT: _incident_json(change.before), NEW: _incident_json(change.after)}
                for change in report.incident_changes
            ],
        },
        "notifications": {
            CURRENT: len(report.current.notifications),
            NEW: len(report.new.notifications),
            "notifiers": {
                name: {
                    CURRENT: report.current.notifications_to(name),
                    NEW: report.new.notifications_to(name),
                }
                for name in report.notifiers
            },
        },
        "limits": [
            {"kind": limit.kind.value, "monitor": limit.monitor, "values": list(limit.values)}
            for limit in report.limits
        ],
        "not_replayed": list(report.not_replayed),
    }


def _alert_json(
    alert: RecordedAlert | None, notifications: Sequence[RecordedNotification]
) -> dict[str, Any] | None:
    if alert is None:
        return None
    return {
        "monitor": alert.monitor,
        "state": alert.state.value,
        "reason": alert.reason.value,
        "detail": alert.detail,
        "from": _json_time(alert.since),
        "to": None if alert.until is None else _json_time(alert.until),
        "notifications": [
            {
                "at": _json_time(notification.at),
                "notifier": notification.notifier,
                "kind": notification.kind.value,
                "state": notification.state.value,
            }
            for notification in notifications
        ],
    }


def _incident_json(incident: Incident | None) -> dict[str, Any] | None:
    if incident is None:
        return None
    return {
        "monitor": incident.monitor,
        "reason": incident.reason.value,
        "detail": incident.detail,
        "from": _json_time(incident.opened_at),
        "to": None if incident.closed_at is None else _json_time(incident.closed_at),
    }


def _json_time(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


# Text


def report_lines(report: WhatIfReport, name: str, *, max_changes: int) -> list[str]:
    """Return the report for people. `name`: of the new configuration file."""
    times = LocalTimes()
    start = times.moment(_json_time(report.start))
    lines = [
        f"{start} to {times.moment(_json_time(report.end))}: "
        f"{counted(report.current.results, 'result')} of {counted(report.monitors, 'monitor')}",
    ]
    if report.is_short:
        requested, missing = report.end - report.since, report.start - report.since
        line = (
            f"The requested period begins at {times.moment(_json_time(report.since))}, but there are no stored results "
            f"of its first {approximate_duration(missing.total_seconds())}."
        )
        if report.result_retention_s < requested.total_seconds():
            retention = format_duration(report.result_retention_s)
            line += f" Results are kept for {retention}: to keep them longer, increase result_retention in [history]."
        lines.append(line)
    lines += ["", *_summary_lines(report, name), ""]
    changes = [
        *_change_lines("Alerts", map(_alert_lines, report.alert_changes), max_changes),
        *_change_lines("Incidents", map(_incident_lines, report.incident_changes), max_changes),
    ]
    lines += changes or ["No alert, incident or notification would have differed.", ""]
    lines.append("Limits:")
    lines += [f"  {plain(line)}" for line in _limit_lines(report)]
    return lines


def _summary_lines(report: WhatIfReport, name: str) -> Iterator[str]:
    current, new = report.current, report.new
    rows = [
        ("alerts", len(current.alerts), len(new.alerts)),
        ("incidents", len(current.incidents), len(new.incidents)),
        ("notifications", len(current.notifications), len(new.notifications)),
        *(
            (f"  to {plain(notifier)}", current.notifications_to(notifier), new.notifications_to(notifier))
            for notifier in report.notifiers
        ),
    ]
    name = plain(name)
    first = max(len(row[0]) for row in rows)
    second, third = max(len(CURRENT), 7), max(len(name), 7)
    yield f"{'':<{first}}  {CURRENT:>{second}}  {name:>{third}}"
    for label, before, after in rows:
        yield f"{label:<{first}}  {before:>{second}}  {after:>{third}}"


def _change_lines(heading: str, changes: Iterator[list[str]], most: int) -> list[str]:
    listed = list(changes)
    if not listed:
        return []
    lines = [f"{heading} that differ: {len(listed)}", ""]
    for shown in listed[:most]:
        lines += [*map(plain, shown), ""]
    if len(listed) > most:
        lines += [f"{len(listed) - most} more; --lines {len(listed)} shows all of them", ""]
    return lines


def _alert_lines(change: AlertChange) -> list[str]:
    monitor = _first(change.before, change.after).monitor or "this host"
    return [
        monitor,
        *_side_lines(CURRENT, change.before, change.sent_before),
        *_side_lines(NEW, change.after, change.sent_after),
    ]


def _side_lines(
    label: str, alert: RecordedAlert | None, notifications: Sequence[RecordedNotification]
) -> Iterator[str]:
    if alert is None:
        yield f"  {label:<8} no alert"
        return
    times = LocalTimes()
    yield f"  {label:<8} {alert.state.value}, {alert.reason.value}: {_period(alert.since, alert.until, times)}"
    for notification in notifications:
        at = times.moment(_json_time(notification.at))
        yield f"  {'':<8}   {at} {notification.kind.value} to {notification.notifier}"
    if not notifications:
        yield f"  {'':<8}   no notification"


def _incident_lines(change: IncidentChange) -> list[str]:
    lines = [_first(change.before, change.after).monitor]
    for label, incident in ((CURRENT, change.before), (NEW, change.after)):
        if incident is None:
            lines.append(f"  {label:<8} no incident")
        else:
            period = _period(incident.opened_at, incident.closed_at, LocalTimes())
            lines.append(f"  {label:<8} {incident.reason.value}: {period}")
    return lines


def _first(before: Any, after: Any) -> Any:
    return after if before is None else before


def _period(start: datetime, end: datetime | None, times: LocalTimes) -> str:
    begins = times.moment(_json_time(start))
    return f"{begins} to {'the end of the period' if end is None else times.moment(_json_time(end))}"


_LIMITS = {
    LimitKind.NO_RESULTS: "no stored results, so no alerts",
    LimitKind.TYPE: "another type, so the stored results are not used",
    LimitKind.TARGET: "other options of the type, but the stored results are those with the current options",
    LimitKind.CONDITIONS: (
        "the stored verdicts are kept, because the history does not store the fields of these conditions"
    ),
    LimitKind.SCHEDULE: "the stored results keep their times, so these options have no effect",
    LimitKind.RETRIES: "the retries of a higher fail_after are not stored, so failures are confirmed later",
    LimitKind.OBJECTIVE: "the stored results are kept, so its alerts do not change with the downtime in the replay",
}
_SHOWS_VALUES = frozenset({LimitKind.CONDITIONS, LimitKind.SCHEDULE})


def _limit_lines(report: WhatIfReport) -> Iterator[str]:
    if not report.monitors:
        yield "There are no stored results of these monitors in the period."
    by_text = sorted(report.limits, key=lambda limit: (list(LimitKind).index(limit.kind), limit.values))
    for (kind, values), limits in groupby(by_text, key=lambda limit: (limit.kind, limit.values)):
        names = first_of([limit.monitor for limit in limits], MAX_NAMED)
        shown = f": {', '.join(values)}" if kind in _SHOWS_VALUES else ""
        yield f"{names}: {_LIMITS[kind]}{shown}"
    if report.not_replayed:
        count, names = len(report.not_replayed), first_of(report.not_replayed, MAX_NAMED)
        yield (
            f"{counted(count, 'monitor')} with results {'is' if count == 1 else 'are'} in neither configuration, "
            f"such as monitors of sources: {names}"
        )
    if report.stored_incidents != len(report.current.incidents):
        yield (
            f"The history has {counted(report.stored_incidents, 'incident')} of these monitors; the replay of the "
            f"current configuration has {len(report.current.incidents)}."
        )
    yield (
        "Acknowledgements, silences, pauses, restarts and earlier configurations are not replayed; all notifications "
        "are delivered immediately."
    )


if __name__ == "__main__":
    # The outcome is printed: no log messages.
    logging.disable(logging.CRITICAL)
    gc.set_threshold(GC_THRESHOLD)
    sys.exit(main())
