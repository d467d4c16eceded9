"""The ways to tell people. A new type is one file here and one line in `NOTIFIER_TYPES`."""

from typing import Any

from monitord.notifiers.alertmanager import AlertmanagerNotifier
from monitord.notifiers.base import DeliveryError, Notifier, NotifierSettings, NotifierTools
from monitord.notifiers.exec import ExecNotifier
from monitord.notifiers.mail import MailNotifier
from monitord.notifiers.notice import Message, Notice, NoticeKind, notice_id, notice_of
from monitord.notifiers.pagerduty import PagerDutyNotifier
from monitord.notifiers.template import one_timeout
from monitord.notifiers.webhook import WebhookNotifier

__all__ = [
    "NOTIFIER_TYPES",
    "DeliveryError",
    "Message",
    "Notice",
    "NoticeKind",
    "Notifier",
    "NotifierSettings",
    "NotifierTools",
    "notice_id",
    "notice_of",
    "one_timeout",
]

NOTIFIER_TYPES: dict[str, type[Notifier[Any]]] = {
    MailNotifier.type_name: MailNotifier,
    PagerDutyNotifier.type_name: PagerDutyNotifier,  # before webhook, whose url it may have as well
    WebhookNotifier.type_name: WebhookNotifier,
    AlertmanagerNotifier.type_name: AlertmanagerNotifier,
    ExecNotifier.type_name: ExecNotifier,
}
