"""Who hears of what, and surely: routes, alerts, an outbox that outlives the daemon, a worker for each notifier."""

from monitord.alerts.alerts import Alerts
from monitord.alerts.decisions import Decision, DecisionKind, Suppression, SuppressionReason
from monitord.alerts.delivery import DeliveryWorker
from monitord.alerts.lifecycle import Standing
from monitord.alerts.outbox import DeliveryStatus, Entry
from monitord.alerts.routes import AlertSettings, Route, read_alerts

__all__ = [
    "AlertSettings",
    "Alerts",
    "Decision",
    "DecisionKind",
    "DeliveryStatus",
    "DeliveryWorker",
    "Entry",
    "Route",
    "Standing",
    "Suppression",
    "SuppressionReason",
    "read_alerts",
]
