"""Functions shared by the types `unit` and `timer`: names and patterns of units, and errors of the service manager.

A check without a response of the bus or the service manager is inconclusive: a `daemon-reload` alone can take a busy
systemd many seconds.
"""

import re
from fnmatch import translate
from pathlib import Path

from monitord.config import Table
from monitord.errors import InvalidValueError
from monitord.model import Observation, Reason
from monitord.monitors.base import Stopwatch
from monitord.net.dbus.bus import BusError, BusFailure, library_problem, socket_of, system_bus_address
from monitord.net.dbus.unit_state import UnitState
from monitord.systemd.unit_names import full_unit_name, is_unit_pattern


def has_library(table: Table, key: str, value: str, *, is_required: bool = True) -> bool:
    """Return whether dbus-fast is installed; if not, record an error at the key, or a warning if not `is_required`."""
    if problem := library_problem():
        record = table.error if is_required else table.warn
        record(key, f'"{value}" needs dbus-fast: {problem}', "install the package python3-dbus-fast")
        return False
    _warn_without_bus(table, key, value)
    return True


def _warn_without_bus(table: Table, key: str, value: str) -> None:
    try:
        path = socket_of(system_bus_address())
    except BusError:
        return
    if path.startswith("/") and not Path(path).exists():
        table.warn(
            key, f'there is no system bus at {path}, which "{value}" needs', "install the package dbus"
        )


def parse_unit_name(text: str) -> str:
    """Return the full name of a unit; the default type is service. Raises InvalidValueError."""
    if is_unit_pattern(text):
        raise InvalidValueError("is a pattern", 'write units = "…" for several units')
    return full_unit_name(text)


def parse_timer_name(text: str) -> str:
    """Return the full name of a timer. Raises InvalidValueError."""
    name = full_unit_name(text, "timer")
    if not name.endswith(".timer"):
        raise InvalidValueError("is not a timer", 'write a name such as "backup.timer"')
    return name


def parse_unit_pattern(text: str) -> str:
    """Return a pattern for names of units as in systemd (glob(7)). Raises InvalidValueError."""
    if text and not is_unit_pattern(text):
        return full_unit_name(text)
    if not text or "/" in text:
        raise InvalidValueError("is not a pattern for names of units", 'write a value such as "*.service"')
    # glibc and Python differ in these.
    if "[^" in text:
        raise InvalidValueError('negates with "^"', 'write "[!…]"')
    if "[:" in text or "[." in text or "[=" in text:
        raise InvalidValueError("names a class of characters", "list them, as in [0-9]")
    return text


def compile_patterns(patterns: tuple[str, ...]) -> re.Pattern[str]:
    """Return a regular expression that matches names which one of the patterns matches."""
    return re.compile("|".join(f"(?:{translate(pattern)})" for pattern in patterns) or r"(?!)")


def manager_failure(watch: Stopwatch, subject: str, error: BusError) -> Observation:
    """Return the observation of a check that could not query the service manager."""
    reason = Reason.PROBER_FORBIDDEN if error.failure is BusFailure.FORBIDDEN else Reason.MANAGER_TIMEOUT
    result = f"the service manager cannot be queried: {error.detail}"
    return watch.observation(reason, f"{subject}: {result}", subject=subject, outcome=result)


def ending(state: UnitState) -> str:
    """Return how a unit ended in the words of systemctl(1): "exit-code, status 1"; "" if it is not known."""
    if state.exit_code == "exited":
        return (
            f"{state.result}, status {state.exit_status}" if state.result else f"status {state.exit_status}"
        )
    if state.exit_code:
        return f"{state.result}, signal {state.exit_status}"
    return state.result
