"""The versioned API, /api/v1.

Endpoints are declared next to their handlers: `history`, `export` and `report` read the history, `actions` and
`interventions` make changes, `posts` are for public pages, `alerts` reads notifications, `heartbeats` receives reports
of jobs, `events` sends live events, `cluster` reads the state of the cluster, and `reports` receives those of agents.
`openapi` generates the routes from them, and `document` the OpenAPI document.
"""

import asyncio
from functools import cache

from monitord.alerts import Alerts
from monitord.history import History
from monitord.posts import Posts
from monitord.public_pages.pages import PublicPages
from monitord.reports.reports import Reports
from monitord.reports.scheduler import ReportScheduler
from monitord.status.access.operations import DaemonOperations, Explain, InterventionOperations
from monitord.status.access.problems import add_problem_handlers
from monitord.status.access.responses import compact_json_response, encode
from monitord.status.api.actions import action_endpoints
from monitord.status.api.alerts import alert_endpoints
from monitord.status.api.cluster import cluster_endpoints
from monitord.status.api.events import LiveEvents, event_endpoints
from monitord.status.api.export import export_endpoint
from monitord.status.api.heartbeats import heartbeat_endpoint
from monitord.status.api.history import add_history_error_handler, history_endpoints
from monitord.status.api.interventions import explain_endpoint, intervention_endpoints
from monitord.status.api.openapi import ApiEndpoint, ResponseSpec, add_routes
from monitord.status.api.pages import public_page_endpoints
from monitord.status.api.posts import post_endpoints
from monitord.status.api.report import report_endpoints
from monitord.status.api.reports import HubSource, no_hub, report_of_agent_endpoint
from monitord.status.model.daemon_status import DaemonStatus
from monitord.status.model.listing import PARAMETERS, page_of
from monitord.status.model.query import QueryValues
from monitord.status.model.read_model import ReadModel
from monitord.web import Application, Request, Response


def build_api(
    model: ReadModel,
    status: DaemonStatus,
    control: DaemonOperations,
    history: History,
    live_events: LiveEvents,
    interventions: InterventionOperations,
    explain: Explain,
    alerts: Alerts,
    reports: Reports,
    report_scheduler: ReportScheduler,
    posts: Posts,
    public_pages: PublicPages,
    hub: HubSource = no_hub,
) -> Application:
    """The application that is mounted at `openapi.PREFIX`."""

    async def get_status(_: Request, __: QueryValues) -> Response:
        return status.response()

    async def get_monitors(request: Request, query: QueryValues) -> Response:
        return model.response(f"?{request.query_string}", lambda monitors: page_of(monitors, query))

    @cache
    def encoded_document() -> bytes:
        # The schemas and the document take 0.5 MiB, which a daemon without requests for it does not use.
        from monitord.status.api.document import document  # noqa: PLC0415

        return encode(document(endpoints))

    async def get_document(_: Request, __: QueryValues) -> Response:
        # On a thread: import and generation take some hundredths of a second, in which checks become due.
        return compact_json_response(await asyncio.to_thread(encoded_document))

    endpoints = [
        ApiEndpoint(
            "GET",
            "/status",
            get_status,
            "getStatus",
            "Daemon",
            "Get the status of the daemon",
            "Returns the number of monitors by state, the state of scheduler, history and notifiers, and the outcome "
            "of the last reload.",
            {200: ResponseSpec("The status of the daemon.", "Status")},
        ),
        ApiEndpoint(
            "GET",
            "/monitors",
            get_monitors,
            "listMonitors",
            "Monitors",
            "List monitors",
            "Returns the monitors that match all filters, with their state and last result, sorted by name. Without "
            "filters, all monitors match.",
            {200: ResponseSpec("A page of monitors.", "Monitors")},
            parameters=PARAMETERS,
        ),
        ApiEndpoint(
            "GET",
            "/openapi.json",
            get_document,
            "getOpenApiDocument",
            "Daemon",
            "Get this document",
            "Returns the description of this API.",
            {200: ResponseSpec("The OpenAPI document.", "Document")},
        ),
        *cluster_endpoints(model.cluster),
        *history_endpoints(model, history),
        export_endpoint(model, history),
        *report_endpoints(model, reports, report_scheduler),
        *public_page_endpoints(public_pages),
        explain_endpoint(explain),
        *action_endpoints(model, control),
        *intervention_endpoints(model, interventions, history),
        *post_endpoints(posts, history),
        *alert_endpoints(alerts),
        heartbeat_endpoint(control),
        report_of_agent_endpoint(hub, model.clock.now),
        *event_endpoints(live_events),
    ]
    application = Application()
    add_problem_handlers(application)
    add_history_error_handler(application)
    add_routes(application, endpoints)
    return application
