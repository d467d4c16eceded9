"""The parts of the daemon that its metrics are read from."""

from dataclasses import dataclass

from monitord.alerts import Alerts
from monitord.dispatch import Dispatcher, StallDetector
from monitord.history import History
from monitord.reports.scheduler import ReportScheduler
from monitord.sources import Sources
from monitord.status.access.operations import DaemonOperations
from monitord.status.access.security import Access
from monitord.status.api.events import LiveEvents
from monitord.status.model.cluster import ClusterSource, no_cluster
from monitord.status.model.daemon_status import DaemonStatus
from monitord.status.model.read_model import ReadModel


@dataclass(frozen=True, slots=True)
class MetricsSources:
    """`model` has the metrics of monitors; the other parts have those of the daemon."""

    model: ReadModel
    status: DaemonStatus
    access: Access
    dispatcher: Dispatcher
    stall_detector: StallDetector
    control: DaemonOperations
    live_events: LiveEvents
    history: History
    alerts: Alerts
    monitor_sources: Sources
    reports: ReportScheduler
    cluster: ClusterSource = no_cluster
