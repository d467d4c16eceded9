"""The notifier types. A new type is one file here and one line in `NOTIFIER_TYPES`."""

from typing import Any

from monitord.lazy_classes import LazyClasses
from monitord.notifiers.base import DeliveryError, Notifier, NotifierSettings, NotifierTools
from monitord.notifiers.notification import (
    MAX_RELATED,
    Message,
    Notification,
    NotificationContext,
    NotificationKind,
    notification_id,
    notification_of,
)
from monitord.notifiers.template import one_timeout

__all__ = [
    "IMPLIED_TYPES",
    "MAX_RELATED",
    "NOTIFIER_TYPES",
    "DeliveryError",
    "Message",
    "Notification",
    "NotificationContext",
    "NotificationKind",
    "Notifier",
    "NotifierSettings",
    "NotifierTools",
    "notification_id",
    "notification_of",
    "one_timeout",
]

NOTIFIER_TYPES: LazyClasses[Notifier[Any]] = LazyClasses(
    {
        "mail": "monitord.notifiers.mail:MailNotifier",
        "pagerduty": "monitord.notifiers.pagerduty:PagerDutyNotifier",
        "webhook": "monitord.notifiers.webhook:WebhookNotifier",
        "alertmanager": "monitord.notifiers.alertmanager:AlertmanagerNotifier",
        "slack": "monitord.notifiers.slack:SlackNotifier",
        "mattermost": "monitord.notifiers.mattermost:MattermostNotifier",
        "discord": "monitord.notifiers.discord:DiscordNotifier",
        "teams": "monitord.notifiers.teams:TeamsNotifier",
        "telegram": "monitord.notifiers.telegram:TelegramNotifier",
        "matrix": "monitord.notifiers.matrix:MatrixNotifier",
        "ntfy": "monitord.notifiers.ntfy:NtfyNotifier",
        "gotify": "monitord.notifiers.gotify:GotifyNotifier",
        "opsgenie": "monitord.notifiers.opsgenie:OpsgenieNotifier",
        "exec": "monitord.notifiers.exec:ExecNotifier",
        "apprise": "monitord.notifiers.apprise:AppriseNotifier",
    }
)

IMPLIED_TYPES = {"to": "mail", "routing_key": "pagerduty", "url": "webhook", "command": "exec"}
"""Options that imply a type if `type` is not set. The first that is set counts, as pagerduty has a `url` as well."""
