"""Resources of one unit as fields, and their rates between checks. No I/O.

A field without a value has a reason instead: the kernel does not count it, the unit has no such limit, or a rate needs
a second check of the same run.

| since the previous check                 | rates                                                  |
|------------------------------------------|--------------------------------------------------------|
| none, as after a start of monitord       | not known yet                                          |
| the unit has been started                | not known yet, because its counters began at 0         |
| a counter is smaller                     | not known yet                                          |
| otherwise                                | the difference, by the time between the checks         |
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from monitord.conditions import COUNT, Bounds, FieldType
from monitord.model import FieldValue
from monitord.net.dbus.unit_resources import UnitResources

_AT_LEAST_0 = Bounds(least=0)

RESOURCE_FIELDS: Mapping[str, FieldType] = {
    **dict.fromkeys(("unit.memory", "unit.memory_high", "unit.memory_max"), FieldType.SIZE),
    **dict.fromkeys(("unit.memory_high_percent", "unit.memory_max_percent"), FieldType.NUMBER),
    **dict.fromkeys(("unit.tasks", "unit.tasks_max", "unit.tasks_percent"), FieldType.NUMBER),
    "unit.cpu_percent": FieldType.NUMBER,
    **dict.fromkeys(("unit.received", "unit.sent"), FieldType.SIZE),
    **dict.fromkeys(("unit.received_rate", "unit.sent_rate"), FieldType.SIZE),
}
"""Fields that need further queries. Rates are in bytes for each second."""
RESOURCE_BOUNDS: Mapping[str, Bounds] = {
    **dict.fromkeys(("unit.tasks", "unit.tasks_max"), COUNT),
    # Memory is reclaimed at MemoryHigh=, which may be exceeded.
    **dict.fromkeys(
        ("unit.memory_high_percent", "unit.memory_max_percent", "unit.tasks_percent", "unit.cpu_percent"),
        _AT_LEAST_0,
    ),
}

RESTARTS_PER_HOUR = "unit.restarts_per_hour"
HOUR = timedelta(hours=1)
MAX_STORED_RESTARTS = 64
"""Restarts are counted for each minute, so that an hour has at most 61 numbers."""

_NO_MEMORY = "the memory of the unit is not counted"
_NO_TASKS = "the tasks of the unit are not counted"
_NO_CPU = "the CPU time of the unit is not counted"
_NO_IP = "the unit has no IPAccounting=yes, or the kernel does not support it"


@dataclass(slots=True)
class UsedResources:
    """The fields of a check. `missing`: the reason for each field without a value. `pending`: those known later."""

    fields: dict[str, FieldValue] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)
    pending: set[str] = field(default_factory=set)

    def add(self, name: str, value: float | None, why: str) -> None:
        if value is None:
            self.missing[name] = why
        else:
            self.fields[name] = value

    def add_share(self, name: str, used: int | None, limit: int | None, why: str, no_limit: str) -> None:
        """Add the share in percent."""
        share = 100.0 * used / limit if used is not None and limit else None
        self.add(name, share, why if used is None else no_limit)


class ResourceRates:
    """Computes the fields of one unit from its resources, which `use` receives in each check."""

    def __init__(self) -> None:
        self._before: UnitResources | None = None
        self._before_s = 0.0

    def use(self, now: UnitResources, now_s: float) -> UsedResources:
        """Return the fields. `now_s`: the monotonic time of the query."""
        used = UsedResources()
        used.add("unit.memory", now.memory_bytes, _NO_MEMORY)
        for key, limit, setting in (
            ("unit.memory_high", now.memory_high_bytes, "MemoryHigh="),
            ("unit.memory_max", now.memory_max_bytes, "MemoryMax="),
        ):
            no_limit = f"the unit has no {setting}"
            used.add(key, limit, no_limit)
            used.add_share(f"{key}_percent", now.memory_bytes, limit, _NO_MEMORY, no_limit)
        used.add("unit.tasks", now.tasks, _NO_TASKS)
        used.add("unit.tasks_max", now.tasks_max, "the unit has no TasksMax=")
        used.add_share("unit.tasks_percent", now.tasks, now.tasks_max, _NO_TASKS, "the unit has no TasksMax=")
        used.add("unit.received", now.received_bytes, _NO_IP)
        used.add("unit.sent", now.sent_bytes, _NO_IP)
        self._add_rate(used, "unit.cpu_percent", lambda sample: sample.cpu_s, now, now_s, 100.0, _NO_CPU)
        self._add_rate(
            used, "unit.received_rate", lambda sample: sample.received_bytes, now, now_s, 1.0, _NO_IP
        )
        self._add_rate(used, "unit.sent_rate", lambda sample: sample.sent_bytes, now, now_s, 1.0, _NO_IP)
        self._before, self._before_s = now, now_s
        return used

    def _add_rate(
        self,
        used: UsedResources,
        name: str,
        counter: Callable[[UnitResources], float | None],
        now: UnitResources,
        now_s: float,
        factor: float,
        not_counted: str,
    ) -> None:
        value = counter(now)
        if value is None:
            used.missing[name] = not_counted
            return
        before = counter(self._before) if self._before is not None else None
        if self._before is None or before is None or now_s <= self._before_s:
            why = "it is measured from this check on"
        elif now.run != self._before.run:
            why = "the unit has been started since the previous check"
        elif value < before:
            why = "the counter of the unit was reset"
        else:
            used.fields[name] = factor * (value - before) / (now_s - self._before_s)
            return
        used.missing[name] = why
        used.pending.add(name)


class RestartHistory:
    """The automatic restarts of a unit in the last hour, from systemd's counter NRestarts at each check.

    Restarts that have happened between two checks count at the time of the second check.
    """

    def __init__(self) -> None:
        self._counter: int | None = None
        self._minutes: dict[int, int] = {}

    def record(self, counter: int, now: datetime) -> int:
        """Return the number of restarts in the last hour. systemd resets the counter at a manual start."""
        before, self._counter = self._counter, counter
        minute, oldest = _minute(now), _minute(now - HOUR)
        if before is not None:
            grown = counter - before if counter >= before else counter
            if grown:
                self._minutes[minute] = self._minutes.get(minute, 0) + grown
        # Later times exist after the clock was set back.
        self._minutes = {at: count for at, count in self._minutes.items() if oldest < at <= minute}
        return sum(self._minutes.values())

    def dump_state(self) -> Mapping[str, Any] | None:
        """Return the state that survives a restart of the daemon."""
        if self._counter is None:
            return None
        return {"counter": self._counter, "minutes": [list(pair) for pair in self._minutes.items()]}

    def restore_state(self, state: Mapping[str, Any]) -> None:
        """Continue from a result of `dump_state`. Invalid entries are ignored."""
        counter, minutes = state.get("counter"), state.get("minutes")
        if not isinstance(counter, int) or not isinstance(minutes, list):
            return
        self._counter = counter
        for entry in minutes[:MAX_STORED_RESTARTS]:
            if isinstance(entry, list) and len(entry) == 2:  # noqa: PLR2004 - minute and count
                minute, count = entry
                if isinstance(minute, int) and isinstance(count, int) and count > 0:
                    self._minutes[minute] = count


def _minute(moment: datetime) -> int:
    return int(moment.astimezone(UTC).timestamp() // 60)
