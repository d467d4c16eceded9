"""The notifier types. A new type is one file here and one line in `NOTIFIER_TYPES`.

Third-party packages add types by an entry point in the group `monitord.notifiers`.
"""

from typing import Any

from monitord.lazy_classes import LazyClasses, class_names, find_class
from monitord.notifiers.base import DeliveryError, Notifier, NotifierSettings, NotifierTools, UnusableNotifier
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
    "UnusableNotifier",
    "notification_id",
    "notification_of",
    "notifier_type",
    "notifier_type_names",
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

ENTRY_POINT_GROUP = "monitord.notifiers"


def notifier_type(name: str) -> type[Notifier[Any]] | None:
    """Return the class of a type, None if there is no such type.

    Raises any exception of a third-party module that cannot be loaded: see `find_class`.
    """
    return find_class(name, NOTIFIER_TYPES, ENTRY_POINT_GROUP, Notifier)


def notifier_type_names() -> list[str]:
    """Return all available types in alphabetical order."""
    return class_names(NOTIFIER_TYPES, ENTRY_POINT_GROUP)
