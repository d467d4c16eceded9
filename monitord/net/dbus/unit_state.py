"""State and changes of systemd units, parsed from D-Bus messages without I/O.

A property of an unexpected type is treated as missing.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

T = TypeVar("T")

UNIT_PATH = "/org/freedesktop/systemd1/unit/"

_NEVER = (0, 2**64 - 1)
_ESCAPED = re.compile("_([0-9a-f]{2})")

_ENDS = {1: "exited", 2: "killed", 3: "dumped"}
"""ExecMainCode: CLD_EXITED, CLD_KILLED and CLD_DUMPED of <signal.h>."""


@dataclass(frozen=True, slots=True)
class UnitState:
    """The state of a unit. An empty text or None means that the unit does not have the property.

    - `changed_at`: time of the last change of state.
    - `run`: identifies a run of a service's main process, including in signals (which do not contain InvocationID).
    - `exit_code`, `exit_status`: how its main process ended (exited, killed, dumped), and its exit status or signal.
    - `next_realtime`, `next_monotonic_s`: next elapse of a timer, by the wall clock or CLOCK_MONOTONIC.
    - `has_only_calendars`: whether a timer that has elapsed for the last time has only OnCalendar= settings.
    """

    name: str
    load_state: str = "loaded"
    active_state: str = "active"
    sub_state: str = "running"
    changed_at: datetime | None = None
    run: str = ""
    result: str = ""
    service_type: str = ""
    restarts: int = 0
    exit_code: str = ""
    exit_status: int = 0
    triggers: str = ""
    last_trigger_at: datetime | None = None
    next_realtime: datetime | None = None
    has_only_calendars: bool = False
    next_monotonic_s: float | None = None

    @property
    def is_there(self) -> bool:
        return self.load_state != "not-found"


@dataclass(frozen=True, slots=True)
class UnitChange:
    """The known properties of a unit after a change. None means not reported yet."""

    name: str
    active_state: str | None
    sub_state: str | None
    result: str | None
    restarts: int | None
    run: str | None


def state_of(row: Sequence[Any]) -> UnitState:
    """Return the state from a row of ListUnits."""
    name, _, load_state, active_state, sub_state, *_ = row
    return UnitState(name, load_state, active_state, sub_state)


def detailed(state: UnitState, properties: Mapping[str, Any]) -> UnitState:
    """Return the state with the values of systemd's properties in `found`."""
    next_s = _as(int, properties.get("NextElapseUSecMonotonic"))
    return UnitState(
        state.name,
        state.load_state,
        _as(str, properties.get("ActiveState")) or state.active_state,
        _as(str, properties.get("SubState")) or state.sub_state,
        changed_at=moment_of(properties.get("StateChangeTimestamp")),
        run=_run(properties.get("ExecMainStartTimestampMonotonic")) or "",
        result=_as(str, properties.get("Result")) or "",
        service_type=_as(str, properties.get("Type")) or "",
        restarts=_as(int, properties.get("NRestarts")) or 0,
        exit_code=_ENDS.get(_as(int, properties.get("ExecMainCode")) or 0, ""),
        exit_status=_as(int, properties.get("ExecMainStatus")) or 0,
        triggers=_as(str, properties.get("Unit")) or "",
        last_trigger_at=moment_of(properties.get("LastTriggerUSec")),
        next_realtime=moment_of(properties.get("NextElapseUSecRealtime")),
        has_only_calendars=bool(properties.get("TimersCalendar")) and not properties.get("TimersMonotonic"),
        next_monotonic_s=None if next_s is None or next_s in _NEVER else next_s / 1e6,
    )


def moment_of(microseconds: object) -> datetime | None:
    """Return a timestamp of systemd; None for 0 and the maximum, which mean never."""
    if not isinstance(microseconds, int) or microseconds in _NEVER:
        return None
    try:
        return datetime.fromtimestamp(microseconds / 1e6, UTC)
    except (OverflowError, ValueError, OSError):
        return None


def _run(started_us: object) -> str | None:
    return str(started_us) if isinstance(started_us, int) and started_us else None


def _as(kind: type[T], value: object) -> T | None:
    return value if isinstance(value, kind) else None


def name_of(path: str) -> str:
    """Return the unit name of an object path, in which characters other than letters and digits are escaped."""
    return _ESCAPED.sub(lambda match: chr(int(match[1], 16)), path.removeprefix(UNIT_PATH))


def change_of(name: str, properties: Mapping[str, Any]) -> UnitChange:
    """Return the change from all properties reported so far."""
    return UnitChange(
        name,
        _as(str, properties.get("ActiveState")),
        _as(str, properties.get("SubState")),
        _as(str, properties.get("Result")),
        _as(int, properties.get("NRestarts")),
        _run(properties.get("ExecMainStartTimestampMonotonic")),
    )
