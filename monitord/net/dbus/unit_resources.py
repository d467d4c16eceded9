"""Resources of systemd units, parsed from D-Bus properties without I/O.

A counter of 2^64-1 is not set: the kernel does not count it for this unit. A limit of 2^64-1 is infinite.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from monitord.net.dbus.unit_state import moment_of

_NOT_SET = 2**64 - 1

KINDS = frozenset({"service", "socket", "mount", "swap", "slice", "scope"})
"""The types of units that have a control group."""

OF_UNIT = ("InvocationID", "ActiveEnterTimestamp")
OF_GROUP = (
    *("ControlGroup", "MemoryCurrent", "MemoryHigh", "MemoryMax", "TasksCurrent", "TasksMax"),
    *("CPUUsageNSec", "IPIngressBytes", "IPEgressBytes"),
)
OF_SERVICE = ("ExecMainStartTimestamp",)


@dataclass(frozen=True, slots=True)
class UnitResources:
    """Resources that a unit uses, and its limits. None: not counted, or no limit.

    `run` identifies the time since the last start of the unit: the counters of a unit begin at 0 with each start.
    `started_at`: start of the main process of a service, otherwise of the unit.
    """

    run: str = ""
    control_group: str = ""
    started_at: datetime | None = None
    memory_bytes: int | None = None
    memory_high_bytes: int | None = None
    memory_max_bytes: int | None = None
    tasks: int | None = None
    tasks_max: int | None = None
    cpu_s: float | None = None
    received_bytes: int | None = None
    sent_bytes: int | None = None


def resources_of(properties: Mapping[str, Any]) -> UnitResources:
    """Return the resources from the values of the properties."""

    def number(name: str) -> int | None:
        value = properties.get(name)
        return value if isinstance(value, int) and 0 <= value < _NOT_SET else None

    run, group = properties.get("InvocationID"), properties.get("ControlGroup")
    cpu_ns = number("CPUUsageNSec")
    return UnitResources(
        run=bytes(run).hex() if isinstance(run, (bytes, list)) else "",
        control_group=group if isinstance(group, str) else "",
        started_at=moment_of(properties.get("ExecMainStartTimestamp"))
        or moment_of(properties.get("ActiveEnterTimestamp")),
        memory_bytes=number("MemoryCurrent"),
        memory_high_bytes=number("MemoryHigh"),
        memory_max_bytes=number("MemoryMax"),
        tasks=number("TasksCurrent"),
        tasks_max=number("TasksMax"),
        cpu_s=None if cpu_ns is None else cpu_ns / 1e9,
        received_bytes=number("IPIngressBytes"),
        sent_bytes=number("IPEgressBytes"),
    )
