"""The cluster, as this node sees it."""

from monitord.status.access.responses import compact_json_response
from monitord.status.api.openapi import ApiEndpoint, ResponseSpec
from monitord.status.model.cluster import ClusterSource, cluster_json
from monitord.status.model.query import QueryValues
from monitord.web import HTTPNotFound, Request, Response


def cluster_endpoint(cluster: ClusterSource) -> ApiEndpoint:
    async def get_cluster(_: Request, __: QueryValues) -> Response:
        view = cluster()
        if view is None:
            raise HTTPNotFound(
                text="this daemon is not a node of a cluster: its configuration has no [cluster]\n"
            )
        return compact_json_response(cluster_json(view))

    return ApiEndpoint(
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
