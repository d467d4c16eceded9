"""Who is told, what they were told, and a test of whether they can be."""

from collections.abc import Sequence

from monitord.alerts import Alerts, Entry
from monitord.model import Json
from monitord.notifiers import DeliveryError
from monitord.status.access.body import read_body
from monitord.status.access.responses import json_answer
from monitord.status.access.security import asked_by
from monitord.status.api.openapi import Answer, Endpoint
from monitord.status.model.forms import notifiers_of, text_of
from monitord.status.model.listing import limit
from monitord.status.model.query import Query, one, words
from monitord.web import HTTPBadGateway, HTTPNotFound, Request, Response

MONITOR = one("monitor", words, "", {"type": "string", "minLength": 1}, "Only those about this monitor.")
MOST = limit(50, 500)


class AlertHandlers:
    """The handlers."""

    def __init__(self, alerts: Alerts) -> None:
        self._alerts = alerts

    async def notifiers(self, _: Request, __: Query) -> Response:
        return json_answer({"notifiers": notifiers_of(self._alerts)})

    async def notifications(self, _: Request, query: Query) -> Response:
        found: Sequence[Entry] = self._alerts.entries(query[MONITOR] or None)
        return json_answer(
            {"notifications": [notification_of(entry) for entry in found[: query[MOST]]], "total": len(found)}
        )

    async def test(self, request: Request, _: Query) -> Response:
        await read_body(request, {})
        name: str = request.match_info["notifier"]
        by = asked_by(request)
        try:
            said = await self._alerts.test(name, by)
        except KeyError:
            raise HTTPNotFound(text=f"no notifier is called {name!r}; GET /notifiers lists them\n") from None
        except DeliveryError as error:
            raise HTTPBadGateway(text=f"{name}: {error}\n") from None
        return json_answer({"notifier": name, "by": by, "response": said})


def notification_of(entry: Entry) -> Json:
    return {
        **entry.notification.as_json(),
        "status": entry.status.value,
        "delivered_by": entry.delivered_by,
        "attempts": entry.attempts,
        "ended_at": text_of(entry.ended_at),
        "response": entry.response,
    }


def alert_endpoints(alerts: Alerts) -> list[Endpoint]:
    it = AlertHandlers(alerts)
    return [
        Endpoint(
            "GET",
            "/notifiers",
            it.notifiers,
            "notifiers",
            "The notifiers, and whether they can deliver",
            {
                200: Answer(
                    "All of them, counted since the start of the daemon or their last change.", "Notifiers"
                )
            },
        ),
        Endpoint(
            "GET",
            "/notifications",
            it.notifications,
            "notifications",
            "What was told to whom, and what waits to be told, the newest first",
            {200: Answer("The last ones.", "Notifications")},
            parameters=(MONITOR, MOST),
        ),
        Endpoint(
            "POST",
            "/notifiers/{notifier}/test",
            it.test,
            "testNotifier",
            "Deliver a notification that says that it is a test, now",
            {200: Answer("It was taken, and what was said to it.", "NotifierTested")},
            problems=[502],
        ),
    ]
