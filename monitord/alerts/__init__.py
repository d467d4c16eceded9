"""Who hears of what, and surely: routes, troubles, an outbox that outlives the daemon, a courier for each notifier."""

from monitord.alerts.alerts import Alerts
from monitord.alerts.courier import Courier
from monitord.alerts.decisions import Decision, DecisionKind, Suppression, SuppressionReason, decision_text
from monitord.alerts.outbox import Entry, Fate
from monitord.alerts.routes import AlertSettings, Route, read_alerts
from monitord.alerts.troubles import Standing

__all__ = [
    "AlertSettings",
    "Alerts",
    "Courier",
    "Decision",
    "DecisionKind",
    "Entry",
    "Fate",
    "Route",
    "Standing",
    "Suppression",
    "SuppressionReason",
    "decision_text",
    "read_alerts",
]
