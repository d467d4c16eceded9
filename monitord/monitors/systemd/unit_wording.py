"""How a unit stands, in the words of a line for people: of the type `unit`, without I/O."""

from datetime import datetime, timedelta

from monitord.clock import time_text
from monitord.monitors.systemd.common import ending
from monitord.monitors.systemd.unit_ends import WELL
from monitord.net.dbus.unit_state import UnitState

MAX_NAMED = 5


def state_text(state: UnitState, age_s: float | None, now: datetime) -> str:
    """ "failed (exit-code, status 1) since 2026-01-31 18:00:00 UTC": as `systemctl status` has it, in one line."""
    if not state.is_there:
        return "not found"
    has_ended_badly = state.result not in {"", WELL}
    why = f"{state.sub_state}, {ending(state)}" if has_ended_badly else state.sub_state
    if state.active_state == "failed":
        why = ending(state) or state.sub_state
    loaded = "" if state.load_state == "loaded" else f", {state.load_state}"
    age = "" if age_s is None else f" since {time_text(now - timedelta(seconds=round(age_s)))}"
    return f"{state.active_state} ({why}{loaded}){age}"


def crash_text(crashes: int, last_end: str, since: datetime | None) -> str:
    """ "crashed (signal) and was restarted 2 times since 2026-01-31 14:02:07 UTC". `since`: the check before."""
    times = "once" if crashes == 1 else f"{crashes} times"
    end = f" ({last_end})" if last_end else ""
    then = "" if since is None else f" since {time_text(since)}"
    return f"crashed{end} and was restarted {times}{then}"
