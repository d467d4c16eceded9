"""The parts of the daemon that its metrics are read from."""

from dataclasses import dataclass

from monitord.alerts import Alerts
from monitord.dispatch import Dispatcher, LoopPulse
from monitord.history import History
from monitord.status.access.control import Control
from monitord.status.api.live import Live
from monitord.status.model.snapshot import Snapshots
from monitord.status.model.tally import Tally


@dataclass(frozen=True, slots=True)
class MetricsSources:
    """Also of the metrics of monitors: `dispatcher` and `tally`."""

    snapshots: Snapshots
    dispatcher: Dispatcher
    pulse: LoopPulse
    control: Control
    live: Live
    tally: Tally
    history: History
    alerts: Alerts
