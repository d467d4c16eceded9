"""The versioned API, /api/v1: what is, for whoever may connect.

Each endpoint is declared here with what it takes and answers; `openapi` makes the routes and the document from that.
`history_api` and `export_api` tell of the past, `actions` and `interventions` change something, `live` has the events.
"""

from monitord.alerts import Alerts
from monitord.history import History
from monitord.status.access.control import Control, Explain, Interventions
from monitord.status.access.problems import answer_with_problems
from monitord.status.access.responses import encode, json_answer
from monitord.status.api.actions import action_endpoints
from monitord.status.api.alerts import alert_endpoints
from monitord.status.api.export import export_endpoint
from monitord.status.api.heartbeats import heartbeat_endpoint
from monitord.status.api.history import answer_for_storage, history_endpoints
from monitord.status.api.interventions import explain_endpoint, intervention_endpoints
from monitord.status.api.live import Live, live_endpoints
from monitord.status.api.openapi import Answer, Endpoint, add_routes, document
from monitord.status.model.daemon_status import DaemonStatus
from monitord.status.model.listing import PARAMETERS, page_of
from monitord.status.model.query import Query
from monitord.status.model.read_model import ReadModel
from monitord.web import Application, Request, Response


def build_api(
    model: ReadModel,
    status: DaemonStatus,
    control: Control,
    history: History,
    live: Live,
    interventions: Interventions,
    explain: Explain,
    alerts: Alerts,
) -> Application:
    """To be mounted at `openapi.PREFIX`."""

    async def get_status(_: Request, __: Query) -> Response:
        return status.response()

    async def get_monitors(request: Request, query: Query) -> Response:
        return model.response(f"?{request.query_string}", lambda monitors: page_of(monitors, query))

    async def get_document(_: Request, __: Query) -> Response:
        return json_answer(described)

    endpoints = [
        Endpoint(
            "GET",
            "/status",
            get_status,
            "status",
            "The daemon and its monitors in numbers, and how the last reload ended",
            {200: Answer("The daemon.", "Status")},
        ),
        Endpoint(
            "GET",
            "/monitors",
            get_monitors,
            "monitors",
            "Monitors by name, with their last result: all, or those that fit every filter",
            {200: Answer("A page of them.", "Monitors")},
            parameters=PARAMETERS,
        ),
        Endpoint(
            "GET",
            "/openapi.json",
            get_document,
            "openapi",
            "This document",
            {200: Answer("The document.", "Document")},
        ),
        *history_endpoints(model, history),
        export_endpoint(model, history),
        explain_endpoint(explain),
        *action_endpoints(model, control),
        *intervention_endpoints(model, interventions, history),
        *alert_endpoints(alerts),
        heartbeat_endpoint(control),
        *live_endpoints(live),
    ]
    described = encode(document(endpoints))
    application = Application()
    answer_with_problems(application)
    answer_for_storage(application)
    add_routes(application, endpoints)
    return application
