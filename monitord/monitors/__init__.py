"""The types of monitors. A new type is one file here and one line in `MONITOR_TYPES`.

Packages of third parties add theirs by an entry point in the group `monitord.monitors`.
"""

from functools import cache
from importlib.metadata import entry_points
from typing import Any

from monitord.monitors.base import CHILDREN, Monitor, MonitorSettings, Stopwatch, Tools, lookup_of
from monitord.monitors.dns import DnsMonitor
from monitord.monitors.exec.monitor import ExecMonitor
from monitord.monitors.group import GroupMonitor
from monitord.monitors.heartbeat.monitor import HeartbeatMonitor
from monitord.monitors.http.monitor import HttpMonitor
from monitord.monitors.icmp import IcmpMonitor
from monitord.monitors.journal.monitor import JournalMonitor
from monitord.monitors.references import check_names, check_references
from monitord.monitors.systemd.timer import TimerMonitor
from monitord.monitors.systemd.unit import UnitMonitor
from monitord.monitors.tcp import TcpMonitor
from monitord.monitors.tls import TlsMonitor
from monitord.options.masking import Masking

__all__ = [
    "CHILDREN",
    "MONITOR_TYPES",
    "Masking",
    "Monitor",
    "MonitorSettings",
    "Stopwatch",
    "Tools",
    "check_names",
    "check_references",
    "lookup_of",
    "monitor_type",
    "monitor_type_names",
]

MonitorType = type[Monitor[Any]]

MONITOR_TYPES: dict[str, MonitorType] = {
    HttpMonitor.type_name: HttpMonitor,
    ExecMonitor.type_name: ExecMonitor,
    DnsMonitor.type_name: DnsMonitor,
    GroupMonitor.type_name: GroupMonitor,
    HeartbeatMonitor.type_name: HeartbeatMonitor,
    IcmpMonitor.type_name: IcmpMonitor,
    JournalMonitor.type_name: JournalMonitor,
    TcpMonitor.type_name: TcpMonitor,
    TlsMonitor.type_name: TlsMonitor,
    UnitMonitor.type_name: UnitMonitor,
    TimerMonitor.type_name: TimerMonitor,
}

ENTRY_POINT_GROUP = "monitord.monitors"


@cache
def _foreign_types() -> dict[str, Any]:
    """The entry points by type name, not loaded yet. Our own names cannot be taken over."""
    return {
        point.name: point
        for point in entry_points(group=ENTRY_POINT_GROUP)
        if point.name not in MONITOR_TYPES
    }


def monitor_type(name: str) -> MonitorType | None:
    """The class for a type's name; None: there is none.

    Raises ImportError, TypeError or whatever a third party's module raises when it cannot be loaded.
    """
    if name in MONITOR_TYPES:
        return MONITOR_TYPES[name]
    point = _foreign_types().get(name)
    if point is None:
        return None
    loaded = point.load()
    if not (isinstance(loaded, type) and issubclass(loaded, Monitor)):
        raise TypeError(f"entry point {point.value!r} is not a subclass of monitord.monitors.Monitor")
    return loaded


def monitor_type_names() -> list[str]:
    """Every type that can be configured, in the order of the alphabet."""
    return sorted({*MONITOR_TYPES, *_foreign_types()})
