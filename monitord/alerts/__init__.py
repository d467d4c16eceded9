"""Alerts: which notifications are due for which notifiers, the outbox that stores them, and their delivery."""

from monitord.alerts.action_links import ActionLink, ActionLinks, LinkAction
from monitord.alerts.alerts import Alerts, NewNotifier, build_notifier
from monitord.alerts.decisions import Decision, DecisionKind, Suppression, SuppressionReason
from monitord.alerts.delivery import DeliveryWorker
from monitord.alerts.lifecycle import AlertInput
from monitord.alerts.outbox import Delivery, DeliveryStatus
from monitord.alerts.routes import AlertRoute, AlertSettings, read_alerts
from monitord.alerts.scope import AlertScope

__all__ = [
    "ActionLink",
    "ActionLinks",
    "AlertInput",
    "AlertRoute",
    "AlertScope",
    "AlertSettings",
    "Alerts",
    "Decision",
    "DecisionKind",
    "Delivery",
    "DeliveryStatus",
    "DeliveryWorker",
    "LinkAction",
    "NewNotifier",
    "Suppression",
    "SuppressionReason",
    "build_notifier",
    "read_alerts",
]
