"""Texts of the type `container`. No I/O."""

from datetime import datetime

from monitord.clock import time_text
from monitord.net.containers import ContainerState
from monitord.text import counted, plain, shortened

MAX_NAMED = 5
MAX_STATUS_CHARACTERS = 40

_FIRST_SIGNAL, _LAST_SIGNAL = 129, 192
"""Exit codes of programs that were terminated by signals, as in shells: 128 and the number of the signal."""


def state_text(state: ContainerState) -> str:
    """Return the state: "exited (status 3) since 2026-01-31 18:00:00 UTC", "running (unhealthy) since …"."""
    details, since = "", state.finished_at
    if state.status == "running":
        details, since = state.health, state.started_at
    elif state.status == "paused":
        since = None
    elif state.status == "created":
        details, since = "never started", state.created_at
    else:
        details = ending(state)
    shown = shortened(plain(state.status), MAX_STATUS_CHARACTERS) or "in an unknown state"
    return (
        shown
        + (f" ({shortened(plain(details), MAX_STATUS_CHARACTERS)})" if details else "")
        + ("" if since is None else f" since {time_text(since)}")
    )


def ending(state: ContainerState) -> str:
    """Return how the last run has ended: "status 3", "signal 9, out of memory"."""
    code = state.exit_code
    text = f"signal {code - 128}" if _FIRST_SIGNAL <= code <= _LAST_SIGNAL else f"status {code}"
    return f"{text}, out of memory" if state.is_oom_killed else text


def crash_text(crashes: int, since: datetime | None) -> str:
    """Return "crashed and was restarted 2 times since 2026-01-31 14:02:07 UTC". `since`: time of the previous check."""
    times = "once" if crashes == 1 else counted(crashes, "time")
    return f"crashed and was restarted {times}" + ("" if since is None else f" since {time_text(since)}")
