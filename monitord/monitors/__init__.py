"""Monitor types. A new type is one file here and one line in `MONITOR_TYPES`.

Third-party packages add types by an entry point in the group `monitord.monitors`.
"""

from typing import Any

from monitord.lazy_classes import LazyClasses, class_names, find_class
from monitord.monitors.base import PROCESSES, Monitor, MonitorSettings, Stopwatch, Tools, lookup_of
from monitord.monitors.references import check_names, check_references
from monitord.options.masking import Masking

__all__ = [
    "IMPLIED_TYPES",
    "MONITOR_TYPES",
    "PROCESSES",
    "Masking",
    "Monitor",
    "MonitorSettings",
    "MonitorType",
    "Stopwatch",
    "Tools",
    "check_names",
    "check_references",
    "lookup_of",
    "monitor_type",
    "monitor_type_names",
]

MonitorType = type[Monitor[Any]]

MONITOR_TYPES: LazyClasses[Monitor[Any]] = LazyClasses(
    {
        "http": "monitord.monitors.http.monitor:HttpMonitor",
        "exec": "monitord.monitors.exec.monitor:ExecMonitor",
        "certificate": "monitord.monitors.certificate:CertificateMonitor",
        "objective": "monitord.monitors.objective:ObjectiveMonitor",
        "reboot": "monitord.monitors.reboot:RebootMonitor",
        "disk": "monitord.monitors.disk.monitor:DiskMonitor",
        "cluster": "monitord.monitors.cluster:ClusterMonitor",
        "clock": "monitord.monitors.clock.monitor:ClockMonitor",
        "container": "monitord.monitors.container.monitor:ContainerMonitor",
        "dns": "monitord.monitors.dns:DnsMonitor",
        "domain": "monitord.monitors.domain:DomainMonitor",
        "group": "monitord.monitors.group:GroupMonitor",
        "heartbeat": "monitord.monitors.heartbeat.monitor:HeartbeatMonitor",
        "icmp": "monitord.monitors.icmp:IcmpMonitor",
        "journal": "monitord.monitors.journal.monitor:JournalMonitor",
        "load": "monitord.monitors.host.load:LoadMonitor",
        "memory": "monitord.monitors.host.memory:MemoryMonitor",
        "process": "monitord.monitors.host.process:ProcessMonitor",
        "tcp": "monitord.monitors.tcp:TcpMonitor",
        "redis": "monitord.monitors.database.redis:RedisMonitor",
        "mysql": "monitord.monitors.database.mysql:MysqlMonitor",
        "postgresql": "monitord.monitors.database.postgresql:PostgresqlMonitor",
        "tls": "monitord.monitors.tls:TlsMonitor",
        "websocket": "monitord.monitors.websocket:WebSocketMonitor",
        "grpc": "monitord.monitors.grpc:GrpcMonitor",
        "unit": "monitord.monitors.systemd.unit:UnitMonitor",
        "timer": "monitord.monitors.systemd.timer:TimerMonitor",
        "steps": "monitord.monitors.steps.monitor:StepsMonitor",
    }
)

IMPLIED_TYPES = {
    "url": "http",
    "command": "exec",
    "unit": "unit",
    "timer": "timer",
    "steps": "steps",
    "container": "container",
}
"""Keys whose presence makes `type = "…"` unnecessary; the first key that is present counts."""

ENTRY_POINT_GROUP = "monitord.monitors"


def monitor_type(name: str) -> MonitorType | None:
    """Return the class of a type, None if there is no such type.

    Raises any exception of a third-party module that cannot be loaded: see `find_class`.
    """
    return find_class(name, MONITOR_TYPES, ENTRY_POINT_GROUP, Monitor)


def monitor_type_names() -> list[str]:
    """Return all available types in alphabetical order."""
    return class_names(MONITOR_TYPES, ENTRY_POINT_GROUP)
