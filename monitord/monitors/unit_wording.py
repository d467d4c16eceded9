"""How a unit stands, in the words of a line for people: of the type `unit`, without I/O."""

from collections.abc import Sequence
from datetime import datetime

from monitord.monitors.managed import ending
from monitord.monitors.unit_ends import WELL
from monitord.net.unit_state import UnitState
from monitord.units import format_duration

MAX_NAMED = 5


def state_text(state: UnitState, age_s: float | None) -> str:
    """ "failed (exit-code, status 1) for 5m": as `systemctl status` would have it, in one line."""
    if not state.is_there:
        return "not found"
    has_ended_badly = state.result not in {"", WELL}
    why = f"{state.sub_state}, {ending(state)}" if has_ended_badly else state.sub_state
    if state.active_state == "failed":
        why = ending(state) or state.sub_state
    loaded = "" if state.load_state == "loaded" else f", {state.load_state}"
    age = "" if age_s is None else f" for {format_duration(round(age_s))}"
    return f"{state.active_state} ({why}{loaded}){age}"


def crash_text(crashes: int, last_end: str, since: datetime | None) -> str:
    """ "crashed (signal) and was restarted 2 times since 14:02:07 UTC". `since`: the check before, in UTC."""
    times = "once" if crashes == 1 else f"{crashes} times"
    end = f" ({last_end})" if last_end else ""
    then = "" if since is None else f" since {since:%H:%M:%S} UTC"
    return f"crashed{end} and was restarted {times}{then}"


def named(names: Sequence[str]) -> str:
    """The first of them, and how many more there are."""
    shown = ", ".join(names[:MAX_NAMED])
    return shown if len(names) <= MAX_NAMED else f"{shown} and {len(names) - MAX_NAMED} more"
