"""What systemd says of a unit, as values: how it stands, and what has changed. From messages, without I/O.

What is of another type than systemd gives it counts as not said.
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
"""CLD_EXITED and the like of <signal.h>: ExecMainCode."""


@dataclass(frozen=True, slots=True)
class UnitState:
    """How a unit stands. Empty text and None: it has no such thing.

    `changed_at`: since when it is in its state. `run`: tells one run of a service's main process from another, in
    signals as well (InvocationID stands in none). `exit_code`: how its main process ended (exited, killed, dumped);
    `exit_status`: its exit status or signal. `next_realtime` and `next_monotonic_s`: when a timer elapses next, by
    the wall clock or by CLOCK_MONOTONIC. `has_only_calendars`: of a timer that has elapsed for the last time, that it
    has OnCalendar= and nothing else.
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
    """What a unit said of itself when something had changed. None: it has not said it yet."""

    name: str
    active_state: str | None
    sub_state: str | None
    result: str | None
    restarts: int | None
    run: str | None


def state_of(row: Sequence[Any]) -> UnitState:
    """A row of ListUnits."""
    name, _, load_state, active_state, sub_state, *_ = row
    return UnitState(name, load_state, active_state, sub_state)


def detailed(state: UnitState, found: Mapping[str, Any]) -> UnitState:
    """The same with what `found` says by the names of systemd's properties."""
    next_s = _as(int, found.get("NextElapseUSecMonotonic"))
    return UnitState(
        state.name,
        state.load_state,
        _as(str, found.get("ActiveState")) or state.active_state,
        _as(str, found.get("SubState")) or state.sub_state,
        changed_at=_moment(found.get("StateChangeTimestamp")),
        run=_run(found.get("ExecMainStartTimestampMonotonic")) or "",
        result=_as(str, found.get("Result")) or "",
        service_type=_as(str, found.get("Type")) or "",
        restarts=_as(int, found.get("NRestarts")) or 0,
        exit_code=_ENDS.get(_as(int, found.get("ExecMainCode")) or 0, ""),
        exit_status=_as(int, found.get("ExecMainStatus")) or 0,
        triggers=_as(str, found.get("Unit")) or "",
        last_trigger_at=_moment(found.get("LastTriggerUSec")),
        next_realtime=_moment(found.get("NextElapseUSecRealtime")),
        has_only_calendars=bool(found.get("TimersCalendar")) and not found.get("TimersMonotonic"),
        next_monotonic_s=None if next_s is None or next_s in _NEVER else next_s / 1e6,
    )


def _moment(microseconds: object) -> datetime | None:
    """systemd's wall time; 0 and the largest number mean never."""
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
    """The unit whose object this is: what is no letter or digit is written as _ and its number."""
    return _ESCAPED.sub(lambda match: chr(int(match[1], 16)), path.removeprefix(UNIT_PATH))


def change_of(name: str, said: Mapping[str, Any]) -> UnitChange:
    """From what the unit has said of itself until now."""
    return UnitChange(
        name,
        _as(str, said.get("ActiveState")),
        _as(str, said.get("SubState")),
        _as(str, said.get("Result")),
        _as(int, said.get("NRestarts")),
        _run(said.get("ExecMainStartTimestampMonotonic")),
    )
