"""Reports of agents: this node as a hub of the cluster.

`monitord.cluster` is imported when a report arrives: a daemon without a cluster does not import it.
"""

from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Optional

from monitord.errors import ClusterError, NodeNameError
from monitord.status.access.body import read_body
from monitord.status.access.responses import compact_json_response
from monitord.status.access.security import require_location
from monitord.status.api.openapi import ApiEndpoint, ResponseSpec
from monitord.status.model.query import QueryValues
from monitord.web import HTTPConflict, HTTPNotFound, HTTPServiceUnavailable, Request, Response

if TYPE_CHECKING:
    from monitord.cluster.hub import Hub

HubSource = Callable[[], Optional["Hub"]]
"""Returns this node as a hub; None if it is not a node of a cluster, or an agent itself."""

RETRY_AFTER_S = 2


def no_hub() -> None:
    """The source of a daemon without [cluster]."""


def report_of_agent_endpoint(hub_source: HubSource, now: Callable[[], datetime]) -> ApiEndpoint:
    async def post_report(request: Request, _: QueryValues) -> Response:
        hub = hub_source()
        if hub is None:
            raise HTTPNotFound(
                text="this daemon is not a hub: its configuration has no [cluster] with `database`\n"
            )
        from monitord.cluster import report_json  # noqa: PLC0415 - see above

        values = await read_body(request, report_json.REPORT_KEYS, report_json.REQUIRED_KEYS)
        permitted = require_location(request, values["location"])
        try:
            answer = await hub.accept(report_json.report_of(values, now(), permitted))
        except NodeNameError as error:
            raise HTTPConflict(text=f"{error}\n") from None
        except ClusterError as error:
            raise HTTPServiceUnavailable(
                text=f"{error}\n", headers={"Retry-After": str(RETRY_AFTER_S)}
            ) from None
        return compact_json_response(report_json.answer_json(answer))

    return ApiEndpoint(
        "POST",
        "/reports",
        post_report,
        "sendReport",
        "Agents",
        "Report the heartbeat and the votes of an agent",
        "Agents, which have no access to the database of the cluster, send this report: see `hub` in the section "
        "[cluster]. A report whose number is already stored changes nothing, so it can be repeated, even to "
        "another node. 404 if this daemon has no database of a cluster, 409 if another daemon has the name of the "
        "agent, or a node of a location that the token does not permit, and 503 if the report could not be stored.",
        {
            200: ResponseSpec(
                "The report is stored. The changes of the cluster since the last report.", "ReportAnswer"
            )
        },
        body="NewReport",
        needs_body=True,
        problems=(404, 409, 503),
    )
