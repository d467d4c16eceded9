"""The versioned API, /api/v1: what is, for whoever may connect.

Each endpoint is declared here with what it takes and answers; `openapi` makes the routes and the document from that.
`actions` has those that change something, `past_api` those that tell of the past, `live` the events.
"""

from collections.abc import Mapping, Sequence

from monitord.status.actions import action_endpoints
from monitord.status.control import Control, Explain, Interventions
from monitord.status.heartbeats import heartbeat_endpoint
from monitord.status.interventions import explain_endpoint, intervention_endpoints
from monitord.status.listing import PARAMETERS
from monitord.status.live import Live, live_endpoints
from monitord.status.openapi import Answer, Endpoint, add_routes, document
from monitord.status.problems import answer_with_problems
from monitord.status.query import Query
from monitord.status.reads import Reads, find_monitor
from monitord.status.rendered import encode
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
        return self._reads.pages.response(request.query_string, query)

    async def monitor(self, request: Request, _: Query) -> Response:
        with find_monitor(request) as name:
            return answer(encode(self._reads.snapshots.monitor(name)))

    async def openapi(self, _: Request, __: Query) -> Response:
        return answer(self._document)

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
                "/monitors/{name}",
                self.monitor,
                "monitor",
                "One monitor: its state, its schedule, its conditions and its last result",
                {200: Answer("The monitor.", "Monitor")},
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


def answer(body: bytes, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    return Response(body=body, status=status, headers=headers, content_type="application/json")


def build_api(
    reads: Reads, control: Control, live: Live, interventions: Interventions | None, explain: Explain | None
) -> Application:
    """To be mounted at `openapi.PREFIX`."""
    api = Api(reads)
    endpoints = [
        *api.endpoints(),
        *action_endpoints(reads, control),
        *live_endpoints(live),
        heartbeat_endpoint(control),
    ]
    if interventions is not None:
        endpoints += intervention_endpoints(reads, interventions)
    if explain is not None:
        endpoints.append(explain_endpoint(explain))
    api.describe(endpoints)
    application = Application()
    answer_with_problems(application)
    add_routes(application, endpoints)
    return application
