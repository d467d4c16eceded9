"""The page of the daemon: scheduler, notifiers, history, process and versions."""

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
    *("dnspython", "icmplib", "dbus-fast", "aiosmtplib", "h2", "wsproto"),
)


@dataclass(frozen=True, slots=True)
class Item:
    """A name and a value. `is_problem`: the administrator should act."""

    name: str
    value: str
    is_problem: bool = False


@dataclass(frozen=True, slots=True)
class DaemonView:
    state: str
    checks: tuple[Item, ...]
    loop: tuple[Item, ...]
    history: tuple[Item, ...]
    notifiers: tuple[Item, ...]
    sources: tuple[Item, ...]
    versions: tuple[Item, ...]
    lateness: Svg
    late_from: str
    late_to: str


def daemon_view(
    status: Mapping[str, Any], dispatcher: Dispatcher, overdue_s: float, stats: HistoryStats | None
) -> DaemonView:
    checks = status["checks"]
    late = checks["lateness_s"]
    loop = status["event_loop"]
    return DaemonView(
        state=status["state"],
        checks=(
            Item("Checks since the start", wording.number(checks["total"])),
            Item("Running now", wording.number(checks["in_flight"])),
            Item(
                "Queued for a slot",
                wording.number(checks["queued_for_slot"]),
            ),
            Item("Lateness, median", _at_most(late["p50"])),
            Item("Lateness, 99th percentile", _at_most(late["p99"])),
            Item("Lateness, maximum", wording.seconds(late["max"])),
            Item("Overdue", wording.seconds(overdue_s), overdue_s > 1),
            Item("Skipped, because the previous check was still running", wording.number(checks["skipped"])),
            Item(
                "Did not end after cancellation",
                wording.number(checks["abandoned"]),
                checks["abandoned"] > 0,
            ),
        ),
        loop=(
            Item("Event loop", type(asyncio.get_running_loop()).__module__.partition(".")[0]),
            Item("Longest stall of the loop", wording.seconds(loop["max_lag_s"])),
            Item("Stalls longer than a second", wording.number(loop["stalls"]), loop["stalls"] > 0),
            Item("Peak memory", wording.size(status["memory_peak_bytes"])),
            Item("Process ID", str(status["pid"])),
        ),
        history=_history(stats),
        notifiers=tuple(_notifier(notifier) for notifier in status["notifiers"]),
        sources=tuple(_source(source) for source in status["sources"]),
        versions=_versions(),
        lateness=_lateness(dispatcher),
        late_from=f"up to {wording.seconds(BOUNDS_S[0])}",
        late_to=f"more than {wording.seconds(BOUNDS_S[-1])}",
    )


def _at_most(value_s: float) -> str:
    """Return the bound of a bucket: a histogram does not have exact values."""
    return f"at most {wording.seconds(value_s)}" if value_s else wording.seconds(0.0)


def _history(stats: HistoryStats | None) -> tuple[Item, ...]:
    if stats is None:
        return ()
    writing = (
        "works"
        if stats.error is None
        else f"failing since {wording.moment(stats.failing_since)}: {stats.error}"
    )
    return (
        Item("Size", wording.size(stats.size_bytes)),
        Item("Written", wording.several(stats.written, "row")),
        Item("Queued", wording.number(stats.queued)),
        Item(
            "Dropped, because the storage was too slow or failed",
            wording.number(stats.dropped),
            stats.dropped > 0,
        ),
        Item("Longest commit", wording.seconds(stats.max_commit_s)),
        Item("Writing", writing, stats.error is not None),
        *(
            ()
            if stats.reset_reason is None
            else (Item("Replaced", f"{wording.moment(stats.reset_at)}: {stats.reset_reason}", True),)
        ),
    )


def _notifier(notifier: Mapping[str, Any]) -> Item:
    text = "nothing sent yet"
    if notifier["error"] is not None:
        text = f"failing since {_moment(notifier['failing_since'])}: {notifier['error']}"
    elif notifier["last_sent_at"] is not None:
        sent = wording.several(notifier["sent"], "notification")
        text = f"works, {sent} sent, the last at {_moment(notifier['last_sent_at'])}"
    if notifier["warning"] is not None:
        text += f"; {notifier['warning']}"
    if notifier["queued"]:
        text += f"; {wording.several(notifier['queued'], 'notification')} queued"
    is_problem = notifier["error"] is not None or notifier["warning"] is not None
    return Item(f"{notifier['name']} ({notifier['type']})", text, is_problem)


def _source(source: Mapping[str, Any]) -> Item:
    text = wording.several(source["monitors"], "monitor")
    if source["error"] is not None:
        text += f"; failing since {_moment(source['failing_since'])}: {source['error']}"
    for rejected in source["rejections"]:
        text += f"; {rejected['target']} has no monitor: {rejected['problem']}"
    if (more := source["targets_rejected"] - len(source["rejections"])) > 0:
        text += f"; {wording.several(more, 'more target')} without a monitor"
    if source["targets_over_limit"]:
        text += f"; {wording.several(source['targets_over_limit'], 'target')} beyond the limit"
    is_problem = bool(source["error"] or source["targets_rejected"] or source["targets_over_limit"])
    return Item(f"{source['name']} ({source['type']})", text, is_problem)


def _moment(text: str) -> str:
    return wording.moment(datetime.fromisoformat(text))


def _versions() -> tuple[Item, ...]:
    items = [Item("monitord", __version__), Item("Python", platform.python_version())]
    items.append(Item("SQLite", sqlite3.sqlite_version))
    for name in LIBRARIES:
        try:
            items.append(Item(name, version(name)))
        except PackageNotFoundError:
            items.append(Item(name, "not installed"))
    return tuple(items)


def _lateness(dispatcher: Dispatcher) -> Svg:
    """Return the histogram of lateness."""
    counts = dispatcher.lateness.counts
    bounds = [f"at most {wording.seconds(bound)}" for bound in BOUNDS_S] + [
        f"more than {wording.seconds(BOUNDS_S[-1])}"
    ]
    titles = [
        f"{bound}: {wording.several(count, 'check')}" for bound, count in zip(bounds, counts, strict=True)
    ]
    columns = [{"late": float(count)} for count in counts]
    text = "; ".join(title for title, count in zip(titles, counts, strict=True) if count) or "no checks yet"
    return stacked(
        columns, ["late"], greatest([float(count) for count in counts]), f"lateness: {text}", titles
    )
