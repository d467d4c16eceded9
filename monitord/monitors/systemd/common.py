"""What the types `unit` and `timer` share: the library they need, names and patterns of units, and a manager that
cannot be asked.

A bus or a service manager that does not answer says nothing about a unit: `daemon-reload` alone can take a busy
systemd many seconds. Such a check is inconclusive.
"""

import asyncio
import re
from collections.abc import Callable
from fnmatch import translate
from pathlib import Path

from monitord.config import Table
from monitord.errors import InvalidValueError
from monitord.model import Observation, Reason
from monitord.monitors.base import Stopwatch
from monitord.net.dbus.bus import BusError, BusFailure, library_problem, socket_of, system_bus_address
from monitord.net.dbus.unit_state import UnitState
from monitord.systemd.unit_names import full_unit_name, is_unit_pattern

WAKE_EVERY_S = 1.0
"""A unit that restarts all the time is checked so often, not each time."""


def has_library(table: Table, key: str, what: str) -> bool:
    """Whether dbus-fast is there; a missing one is a failure of the key."""
    if problem := library_problem():
        table.error(key, f'"{what}" needs dbus-fast: {problem}', "install the package python3-dbus-fast")
        return False
    _warn_without_bus(table, key, what)
    return True


def _warn_without_bus(table: Table, key: str, what: str) -> None:
    try:
        path = socket_of(system_bus_address())
    except BusError:
        return
    if path.startswith("/") and not Path(path).exists():
        table.warn(key, f'"{what}" cannot work: there is no system bus at {path}', "install the package dbus")


def parse_unit_name(text: str) -> str:
    """The full name of one unit, of a service where no type is written, or InvalidValueError."""
    if is_unit_pattern(text):
        raise InvalidValueError("is a pattern", 'write units = "…" for several units')
    return full_unit_name(text)


def parse_timer_name(text: str) -> str:
    """As `parse_unit_name`, of a timer."""
    name = full_unit_name(text, "timer")
    if not name.endswith(".timer"):
        raise InvalidValueError("is not a timer", 'write a name such as "backup.timer"')
    return name


def parse_unit_pattern(text: str) -> str:
    """A pattern for names of units as systemd has it (glob(7)), or InvalidValueError."""
    if text and not is_unit_pattern(text):
        return full_unit_name(text)
    if not text or "/" in text:
        raise InvalidValueError("is not a pattern for names of units", 'write one such as "*.service"')
    # glibc and Python agree on all but these.
    if "[^" in text:
        raise InvalidValueError('negates by "^"', 'write "[!…]"')
    if "[:" in text or "[." in text or "[=" in text:
        raise InvalidValueError("names a class of characters", "list them, as in [0-9]")
    return text


def compile_patterns(patterns: tuple[str, ...]) -> re.Pattern[str]:
    """What matches a name that one of them matches; none of them matches nothing."""
    return re.compile("|".join(f"(?:{translate(pattern)})" for pattern in patterns) or r"(?!)")


def unanswered(watch: Stopwatch, what: str, error: BusError) -> Observation:
    """The service manager could not be asked."""
    reason = Reason.PROBER_FORBIDDEN if error.failure is BusFailure.FORBIDDEN else Reason.MANAGER_TIMEOUT
    said = f"the service manager cannot be asked: {error.detail}"
    return watch.observation(reason, f"{what}: {said}", subject=what, outcome=said)


def ending(state: UnitState) -> str:
    """How a unit ended, as systemctl(1) says it: "exit-code, status 1"; "" where it says nothing."""
    if state.exit_code == "exited":
        return (
            f"{state.result}, status {state.exit_status}" if state.result else f"status {state.exit_status}"
        )
    if state.exit_code:
        return f"{state.result}, signal {state.exit_status}"
    return state.result


class Nudge:
    """Has a monitor checked when something happened: at once, but not more often than every WAKE_EVERY_S.

    `call` from the event loop only.
    """

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        self._last_s = -WAKE_EVERY_S
        self._planned: asyncio.TimerHandle | None = None
        # uvloop's handles do not tell their time.
        self._planned_at = 0.0

    def call(self, after_s: float = 0.0) -> None:
        """Something happened, or will have happened after so many seconds. The earliest of several holds."""
        loop = asyncio.get_running_loop()
        at = max(loop.time() + after_s, self._last_s + WAKE_EVERY_S)
        if self._planned is not None:
            if self._planned_at <= at:
                return
            self._planned.cancel()
        self._planned_at = at
        self._planned = loop.call_at(at, self._fire)

    def close(self) -> None:
        if self._planned is not None:
            self._planned.cancel()
            self._planned = None

    def _fire(self) -> None:
        self._planned = None
        self._last_s = asyncio.get_running_loop().time()
        self._wake()
