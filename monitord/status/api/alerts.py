"""Notifiers and notifications, and test notifications."""

from collections.abc import Sequence

from monitord.alerts import Alerts, Delivery
from monitord.model import Json
from monitord.notifiers import DeliveryError
from monitord.status.access.body import read_body
from monitord.status.access.responses import compact_json_response
from monitord.status.access.security import requested_by
from monitord.status.api.openapi import ApiEndpoint, ResponseSpec
from monitord.status.model.listing import limit
from monitord.status.model.query import QueryValues, nonempty, single
from monitord.status.model.representations import notifiers_of, text_of
from monitord.web import HTTPBadGateway, HTTPNotFound, Request, Response

MONITOR = single(
    "monitor", nonempty, "", {"type": "string", "minLength": 1}, "Select notifications about this monitor."
)
LIMIT = limit(50, 500)


class AlertHandlers:
    """Handlers of the endpoints."""

    def __init__(self, alerts: Alerts) -> None:
        self._alerts = alerts

    async def notifiers(self, _: Request, __: QueryValues) -> Response:
        return compact_json_response({"notifiers": notifiers_of(self._alerts)})

    async def notifications(self, _: Request, query: QueryValues) -> Response:
        deliveries: Sequence[Delivery] = self._alerts.deliveries(query[MONITOR] or None)
        shown = [notification_of(delivery) for delivery in deliveries[: query[LIMIT]]]
        return compact_json_response({"notifications": shown, "total": len(deliveries)})

    async def test(self, request: Request, _: QueryValues) -> Response:
        await read_body(request, {})
        name: str = request.match_info["notifier"]
        by = requested_by(request)
        try:
            response = await self._alerts.test(name, by)
        except KeyError:
            raise HTTPNotFound(
                text=f"no notifier has the name {name!r}; GET /api/v1/notifiers lists the notifiers\n"
            ) from None
        except DeliveryError as error:
            raise HTTPBadGateway(text=f"{name}: {error}\n") from None
        warning = self._alerts.workers[name].warning
        return compact_json_response({"notifier": name, "by": by, "response": response, "warning": warning})


def notification_of(delivery: Delivery) -> Json:
    return {
        **delivery.notification.as_json(),
        "status": delivery.status.value,
        "delivered_by": delivery.delivered_by,
        "attempts": delivery.attempts,
        "completed_at": text_of(delivery.ended_at),
        "response": delivery.response,
    }


def alert_endpoints(alerts: Alerts) -> list[ApiEndpoint]:
    handlers = AlertHandlers(alerts)
    return [
        ApiEndpoint(
            "GET",
            "/notifiers",
            handlers.notifiers,
            "listNotifiers",
            "Notifications",
            "List notifiers",
            "Returns the configured notifiers and whether they can deliver. Counters start with the daemon, or with "
            "the last change of the notifier's settings.",
            {200: ResponseSpec("The notifiers.", "Notifiers")},
        ),
        ApiEndpoint(
            "GET",
            "/notifications",
            handlers.notifications,
            "listNotifications",
            "Notifications",
            "List notifications",
            "Returns the last notifications with their delivery status, newest first, including queued notifications.",
            {200: ResponseSpec("The notifications.", "Notifications")},
            parameters=(MONITOR, LIMIT),
        ),
        ApiEndpoint(
            "POST",
            "/notifiers/{notifier}/test",
            handlers.test,
            "testNotifier",
            "Notifications",
            "Send a test notification",
            "Sends a notification that is marked as a test through the notifier, and waits for the delivery.",
            {200: ResponseSpec("The notification has been delivered.", "NotifierTested")},
            problems=[502],
        ),
    ]
