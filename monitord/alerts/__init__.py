"""Who hears of what, and surely: routes, troubles, an outbox that outlives the daemon, a courier for each notifier."""

from monitord.alerts.alerts import Alerts
from monitord.alerts.courier import Courier
from monitord.alerts.outbox import Entry, Fate
from monitord.alerts.routes import AlertSettings, Route, read_alerts
from monitord.alerts.troubles import TOLD, Standing

__all__ = ["TOLD", "AlertSettings", "Alerts", "Courier", "Entry", "Fate", "Route", "Standing", "read_alerts"]
