"""The versioned API, /api/v1: what is, for whoever may connect.

Each endpoint is declared here with what it takes and answers; `openapi` makes the routes and the document from that.
`history_api` and `export_api` tell of the past, `actions` and `interventions` change something, `live` has the events.
"""

from collections.abc import Sequence

from monitord.alerts import Alerts
from monitord.history import History
from monitord.status.access.control import Control, Explain, Interventions
from monitord.status.access.durable import stored_before_answer
from monitord.status.access.problems import answer_with_problems
from monitord.status.api.actions import action_endpoints
from monitord.status.api.alerts import alert_endpoints
from monitord.status.api.export import export_endpoint
from monitord.status.api.heartbeats import heartbeat_endpoint
from monitord.status.api.history import answer_for_storage, history_endpoints
from monitord.status.api.interventions import explain_endpoint, intervention_endpoints
from monitord.status.api.live import Live, live_endpoints
from monitord.status.api.openapi import Answer, Endpoint, add_routes, document
from monitord.status.model.listing import PARAMETERS
from monitord.status.model.query import Query
from monitord.status.model.reads import Reads
from monitord.status.model.rendered import encode, json_answer
from monitord.web import Application, Request, Response


class Api:
    """The handlers that read the present."""

    def __init__(self, reads: Reads) -> None:
        self._reads = reads
        self._document = b""

    def describe(self, endpoints: Sequence[Endpoint]) -> None:
        """What the document tells; the endpoints of this object are among them."""
        self._document = encode(document(endpoints))

    async def status(self, _: Request, __: Query) -> Response:
        return self._reads.status.response()

    async def monitors(self, request: Request, query: Query) -> Response:
        return self._reads.listing.response(request.query_string, query)

    async def openapi(self, _: Request, __: Query) -> Response:
        return json_answer(self._document)

    def endpoints(self) -> list[Endpoint]:
        return [
            Endpoint(
                "GET",
                "/status",
                self.status,
                "status",
                "The daemon and its monitors in numbers, and how the last reload ended",
                {200: Answer("The daemon.", "Status")},
            ),
            Endpoint(
                "GET",
                "/monitors",
                self.monitors,
                "monitors",
                "Monitors by name, with their last result: all, or those that fit every filter",
                {200: Answer("A page of them.", "Monitors")},
                parameters=PARAMETERS,
            ),
            Endpoint(
                "GET",
                "/openapi.json",
                self.openapi,
                "openapi",
                "This document",
                {200: Answer("The document.", "Document")},
            ),
        ]


def build_api(
    reads: Reads,
    control: Control,
    history: History,
    live: Live,
    interventions: Interventions,
    explain: Explain,
    alerts: Alerts,
) -> Application:
    """To be mounted at `openapi.PREFIX`."""
    api = Api(reads)
    endpoints = [
        *api.endpoints(),
        *history_endpoints(reads, history),
        export_endpoint(reads, history),
        explain_endpoint(explain),
        *action_endpoints(reads, control),
        *stored_before_answer(intervention_endpoints(reads, interventions), history),
        *alert_endpoints(alerts),
        heartbeat_endpoint(control),
        *live_endpoints(live),
    ]
    api.describe(endpoints)
    application = Application()
    answer_with_problems(application)
    answer_for_storage(application)
    add_routes(application, endpoints)
    return application
