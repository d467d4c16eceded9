"""What the page of the daemon itself shows: whether it keeps up, what waits, what it is made of."""

import asyncio
import platform
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from monitord import __version__
from monitord.dispatch import Dispatcher
from monitord.dispatch.lateness import BOUNDS_S
from monitord.history import HistoryStats
from monitord.status.pages import wording
from monitord.status.pages.charts import Svg, greatest, stacked

LIBRARIES = (
    *("aiohttp", "httptools", "yarl", "jinja2", "uvloop"),
    *("dnspython", "icmplib", "dbus-fast", "aiosmtplib"),
)


@dataclass(frozen=True, slots=True)
class FieldValue:
    """`is_bad`: somebody should look."""

    name: str
    value: str
    is_bad: bool = False


@dataclass(frozen=True, slots=True)
class DaemonView:
    state: str
    checks: tuple[FieldValue, ...]
    loop: tuple[FieldValue, ...]
    history: tuple[FieldValue, ...]
    notifiers: tuple[FieldValue, ...]
    versions: tuple[FieldValue, ...]
    lateness: Svg
    late_from: str
    late_to: str


def daemon_view(
    status: Mapping[str, Any], dispatcher: Dispatcher, overdue_s: float, stats: HistoryStats | None
) -> DaemonView:
    return DaemonView(
        state=status["state"],
        checks=_checks(status["checks"], overdue_s),
        loop=_loop(status),
        history=_history(stats),
        notifiers=tuple(_notifier(one) for one in status["notifiers"]),
        versions=_versions(),
        lateness=_lateness(dispatcher),
        late_from=f"up to {wording.seconds(BOUNDS_S[0])}",
        late_to=f"more than {wording.seconds(BOUNDS_S[-1])}",
    )


def _checks(checks: Mapping[str, Any], overdue_s: float) -> tuple[FieldValue, ...]:
    late = checks["lateness_s"]
    return (
        FieldValue("Checks since the start", wording.number(checks["total"])),
        FieldValue("Running now", wording.number(checks["in_flight"])),
        FieldValue(
            "Waiting for a place",
            wording.number(checks["queued_for_slot"]),
        ),
        FieldValue("Late at the start, half of them", _at_most(late["p50"])),
        FieldValue("Late at the start, 99 of 100", _at_most(late["p99"])),
        FieldValue("Latest of all", wording.seconds(late["max"])),
        FieldValue("Behind the schedule", wording.seconds(overdue_s), overdue_s > 1),
        FieldValue("Skipped, the one before still ran", wording.number(checks["skipped"])),
        FieldValue(
            "Abandoned, they ignored the deadline",
            wording.number(checks["abandoned"]),
            checks["abandoned"] > 0,
        ),
    )


def _at_most(value_s: float) -> str:
    """Of a histogram only the bounds are known."""
    return f"at most {wording.seconds(value_s)}" if value_s else wording.seconds(0.0)


def _loop(status: Mapping[str, Any]) -> tuple[FieldValue, ...]:
    loop = status["event_loop"]
    return (
        FieldValue("Event loop", type(asyncio.get_running_loop()).__module__.partition(".")[0]),
        FieldValue("Longest stop of the loop", wording.seconds(loop["max_lag_s"])),
        FieldValue("Stops longer than a second", wording.number(loop["stalls"]), loop["stalls"] > 0),
        FieldValue("Memory at its peak", wording.size(status["memory_peak_bytes"])),
        FieldValue("Process", str(status["pid"])),
    )


def _history(stats: HistoryStats | None) -> tuple[FieldValue, ...]:
    if stats is None:
        return ()
    writing = (
        "works"
        if stats.error is None
        else f"fails since {wording.moment(stats.failing_since)}: {stats.error}"
    )
    return (
        FieldValue("Size", wording.size(stats.size_bytes)),
        FieldValue("Written", wording.several(stats.written, "row")),
        FieldValue("Waiting to be written", wording.number(stats.queued)),
        FieldValue(
            "Dropped, as storage was too slow or failed", wording.number(stats.dropped), stats.dropped > 0
        ),
        FieldValue("Longest commit", wording.seconds(stats.max_commit_s)),
        FieldValue("Writing", writing, stats.error is not None),
        *(
            ()
            if stats.reset_reason is None
            else (FieldValue("Begun again", f"{wording.moment(stats.reset_at)}: {stats.reset_reason}", True),)
        ),
    )


def _notifier(one: Mapping[str, Any]) -> FieldValue:
    said = "not used yet"
    if one["error"] is not None:
        said = f"fails since {_moment(one['failing_since'])}: {one['error']}"
    elif one["last_sent_at"] is not None:
        told = wording.several(one["sent"], "notification")
        said = f"works, {told} delivered, the last one at {_moment(one['last_sent_at'])}"
    if one["warning"] is not None:
        said += f"; {one['warning']}"
    if one["queued"]:
        said += f"; {wording.several(one['queued'], 'notification')} waiting"
    return FieldValue(
        f"{one['name']} ({one['type']})", said, one["error"] is not None or one["warning"] is not None
    )


def _moment(text: str) -> str:
    return wording.moment(datetime.fromisoformat(text))


def _versions() -> tuple[FieldValue, ...]:
    found = [FieldValue("monitord", __version__), FieldValue("Python", platform.python_version())]
    found.append(FieldValue("SQLite", sqlite3.sqlite_version))
    for name in LIBRARIES:
        try:
            found.append(FieldValue(name, version(name)))
        except PackageNotFoundError:
            found.append(FieldValue(name, "not installed"))
    return tuple(found)


def _lateness(dispatcher: Dispatcher) -> Svg:
    """How many checks began how late, by bounds that grow."""
    counts = dispatcher.lateness.counts
    bounds = [f"at most {wording.seconds(bound)}" for bound in BOUNDS_S] + [
        f"more than {wording.seconds(BOUNDS_S[-1])}"
    ]
    titles = [
        f"{bound}: {wording.several(count, 'check')}" for bound, count in zip(bounds, counts, strict=True)
    ]
    columns = [{"late": float(count)} for count in counts]
    said = "; ".join(title for title, count in zip(titles, counts, strict=True) if count) or "no check yet"
    return stacked(
        columns, ["late"], greatest([float(count) for count in counts]), f"lateness: {said}", titles
    )
