"""Texts of the type `unit`. No I/O."""

from datetime import datetime

from monitord.clock import time_text
from monitord.monitors.systemd.common import ending
from monitord.monitors.systemd.unit_ends import SUCCESS
from monitord.net.dbus.unit_state import UnitState

MAX_NAMED = 5


def state_text(state: UnitState, since: datetime | None) -> str:
    """Return the state as in `systemctl status`: "failed (exit-code, status 1) since 2026-01-31 18:00:00 UTC"."""
    if not state.is_there:
        return "not found"
    has_failed = state.result not in {"", SUCCESS}
    details = f"{state.sub_state}, {ending(state)}" if has_failed else state.sub_state
    if state.active_state == "failed":
        details = ending(state) or state.sub_state
    loaded = "" if state.load_state == "loaded" else f", {state.load_state}"
    duration = "" if since is None else f" since {time_text(since)}"
    return f"{state.active_state} ({details}{loaded}){duration}"


def crash_text(crashes: int, last_end: str, since: datetime | None) -> str:
    """Return "crashed (signal) and was restarted 2 times since 2026-01-31 14:02:07 UTC".

    `since`: time of the previous check.
    """
    times = "once" if crashes == 1 else f"{crashes} times"
    end = f" ({last_end})" if last_end else ""
    then = "" if since is None else f" since {time_text(since)}"
    return f"crashed{end} and was restarted {times}{then}"
