"""What monitorctl prints: tables that read well in 80 columns and say the same without colour."""

import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from monitord.units import format_duration

_COLOURS = {
    "up": 32,
    "degraded": 33,
    "down": 31,
    "unreachable": 35,
    "unknown": 35,
    "pending": 36,
    "paused": 2,
}
_COLOURS |= {"pass": 32, "warn": 33, "fail": 31, "unsure": 35}

NARROWEST_DETAIL = 20


def status_table(status: Mapping[str, Any], monitors: Sequence[Mapping[str, Any]], *, colour: bool) -> str:
    """The state of the daemon in a line or two, then a row for each monitor."""
    lines = [_headline(status)]
    reload = status["reload"]
    if not reload["ok"]:
        lines.append(f"last reload refused at {reload['at']}; the configuration of before is in force:")
        lines += [f"  {line}" for line in reload["error"].splitlines()]
    if monitors:
        lines += ["", *_rows(monitors, colour=colour)]
    return "\n".join(lines)


def check_line(result: Mapping[str, Any], *, colour: bool) -> str:
    """One result: `shop: pass, GET https://… 200, 648 bytes, 0.067 s`."""
    reason = "" if result["reason"] == "ok" else f" ({result['reason']})"
    verdict = paint(result["verdict"], result["verdict"], colour=colour)
    return f"{result['name']}: {verdict}{reason}, {result['detail']}"


def _headline(status: Mapping[str, Any]) -> str:
    monitors = status["monitors"]
    shares = [f"{count} {state}" for state, count in monitors.items() if state != "total" and count]
    running_for = format_duration(float(int(status["running_for_s"])))
    total = monitors["total"]
    counted = f"{total} monitor{'' if total == 1 else 's'}: {', '.join(shares)}" if total else "no monitors"
    return f"monitord {status['version']} {status['state']} for {running_for}; {counted}"


def _rows(monitors: Sequence[Mapping[str, Any]], *, colour: bool) -> list[str]:
    cells = [("STATE", "MONITOR", "TYPE", "CHECKED", "RESULT"), *map(_cells, monitors)]
    widths = [max(len(row[column]) for row in cells) for column in range(4)]
    room = shutil.get_terminal_size((100, 25)).columns - sum(widths) - 2 * len(widths)
    lines = []
    for state, *middle, detail in cells:
        first = paint(state, state.rstrip("?"), colour=colour) + " " * (widths[0] - len(state))
        rest = [cell.ljust(width) for cell, width in zip(middle, widths[1:], strict=True)]
        lines.append("  ".join([first, *rest, _shorten(detail, max(room, NARROWEST_DETAIL))]).rstrip())
    return lines


def _cells(monitor: Mapping[str, Any]) -> tuple[str, str, str, str, str]:
    last = monitor["last"]
    # A question mark: the last check says otherwise, and is not believed yet.
    state = monitor["state"] + ("?" if monitor["failures_in_a_row"] else "")
    checked = "-" if last is None else _ago(last["started_at"])
    detail = "" if last is None else last["detail"]
    return state, monitor["name"], monitor["type"], checked, detail


def _ago(moment: str) -> str:
    seconds = (datetime.now(UTC) - datetime.fromisoformat(moment)).total_seconds()
    if seconds < 1:
        return "now"
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= size:
            return f"{int(seconds // size)}{unit} ago"
    return f"{int(seconds)}s ago"


def _shorten(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"


def wants_colour() -> bool:
    """Colours are for terminals, and for people who have not said no (no-color.org)."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def paint(text: str, state: str, *, colour: bool) -> str:
    """The text in the colour of a health or a verdict."""
    code = _COLOURS.get(state)
    return f"\x1b[{code}m{text}\x1b[0m" if colour and code is not None else text
