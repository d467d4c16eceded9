"""The cluster, as this node sees it."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from monitord.status.access.responses import compact_json_response
from monitord.status.api.openapi import ApiEndpoint, ResponseSpec
from monitord.status.model.cluster import ClusterSource, cluster_json
from monitord.status.model.host_monitors import host_counts, host_monitors_json
from monitord.status.model.listing import NAME, STATE, TAG, TYPE
from monitord.status.model.query import QueryValues
from monitord.web import HTTPNotFound, Request, Response

if TYPE_CHECKING:
    from monitord.cluster.view import ClusterView


def cluster_endpoints(cluster: ClusterSource) -> Iterator[ApiEndpoint]:
    def view_of() -> "ClusterView":
        view = cluster()
        if view is None:
            raise HTTPNotFound(
                text="this daemon is not a node of a cluster: its configuration has no [cluster]\n"
            )
        return view

    async def get_cluster(_: Request, __: QueryValues) -> Response:
        view = view_of()
        return compact_json_response(cluster_json(view, host_counts(view)))

    async def get_host_monitors(_: Request, query: QueryValues) -> Response:
        return compact_json_response(host_monitors_json(view_of(), query, query[NAME]))

    yield ApiEndpoint(
        "GET",
        "/cluster",
        get_cluster,
        "getCluster",
        "Daemon",
        "Get the nodes and locations of the cluster",
        "Returns what this node knows of the cluster: nodes, locations with their votes, and the database. 404 if the "
        "daemon is not a node of a cluster.",
        {200: ResponseSpec("The cluster.", "Cluster")},
        problems=(404,),
    )
    yield ApiEndpoint(
        "GET",
        "/cluster/host-monitors",
        get_host_monitors,
        "listHostMonitors",
        "Monitors",
        "List the monitors of the other hosts",
        "Returns the monitors that belong to the hosts of the other nodes, as they have reported them, and that match "
        "all filters. The worst are first. 404 if the daemon is not a node of a cluster.",
        {200: ResponseSpec("The monitors of the other hosts.", "HostMonitors")},
        parameters=(TAG, STATE, TYPE, NAME),
        problems=(404,),
    )
