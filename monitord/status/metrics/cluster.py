"""The metrics of a cluster, as this node sees it. A daemon that is not a node of a cluster has none of them."""

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

from prometheus_client.core import GaugeMetricFamily, Metric

from monitord.status.metrics.families import by_label, counter, gauge
from monitord.status.model.cluster import vote_counts
from monitord.status.model.host_monitors import host_counts

if TYPE_CHECKING:
    from monitord.cluster.view import ClusterView


def cluster_metrics(view: "ClusterView") -> Iterator[Metric]:
    from monitord.cluster.model import Role  # noqa: PLC0415 - a daemon without [cluster] does not import it

    database, counters = view.database, view.counters
    live = Counter(dict.fromkeys(view.membership.known_locations, 0))
    live.update(node.location for node in view.membership.nodes if node.is_live)
    info = GaugeMetricFamily(
        "monitord_cluster_node_info",
        "Name and location of this node; the value is always 1.",
        labels=("node", "location"),
    )
    info.add_metric((view.node, view.location), 1.0)
    yield info
    yield by_label(
        "monitord_cluster_nodes_live",
        "Current number of live nodes by location.",
        "location",
        dict(sorted(live.items())),
    )
    yield gauge(
        "monitord_cluster_agents_live",
        "Current number of live agents, which have no access to the database.",
        sum(node.is_live and node.role is Role.AGENT for node in view.membership.nodes),
    )
    yield gauge("monitord_cluster_nodes_known", "Current number of known nodes.", len(view.membership.nodes))
    yield gauge(
        "monitord_cluster_configurations",
        "Current number of different configurations of the live nodes.",
        len(
            {
                node.configuration
                for node in view.membership.nodes
                if node.is_live and node.role.value == "node"
            }
        ),
    )
    yield from _node_metrics(view)
    yield gauge(
        "monitord_cluster_settled",
        "Whether the set of live locations has been the same for a few seconds.",
        float(view.is_settled),
    )
    yield gauge(
        "monitord_cluster_alone",
        "Whether this node is alone: it decides and sends notifications without the cluster.",
        float(view.alone_since is not None),
    )
    yield gauge(
        "monitord_cluster_shared_monitors",
        "Current number of monitors that the nodes share.",
        len(view.shared),
    )
    votes = GaugeMetricFamily(
        "monitord_cluster_votes",
        "Current number of votes by location and state.",
        labels=("location", "state"),
    )
    for location, states in sorted(vote_counts(view).items()):
        for state, count in sorted(states.items()):
            votes.add_metric((location, state), count)
    yield votes
    hosts = GaugeMetricFamily(
        "monitord_cluster_host_monitors",
        "Current number of monitors that belong to the host of another node, by host and state.",
        labels=("host", "state"),
    )
    for host, states in sorted(host_counts(view).items()):
        for state, count in sorted(states.items()):
            hosts.add_metric((host, state), count)
    yield hosts
    yield gauge(
        "monitord_cluster_database_up",
        "Whether the database has responded to the last heartbeat of this node.",
        float(database.is_available),
    )
    if database.latency_s is not None:
        yield gauge(
            "monitord_cluster_database_latency_seconds",
            "Duration of the last heartbeat of this node, one transaction.",
            database.latency_s,
        )
    if view.agent is not None:
        yield gauge(
            "monitord_cluster_votes_spooled",
            "Current number of changed votes of this agent that no hub has acknowledged yet.",
            view.agent.spooled_votes,
        )
        yield gauge(
            "monitord_cluster_heartbeats_spooled",
            "Current number of monitors with heartbeats of jobs that no hub has acknowledged yet.",
            view.agent.spooled_heartbeats,
        )
    yield counter(
        "monitord_cluster_reports_stored",
        "Total number of reports of agents that this node has stored.",
        view.reports.stored,
    )
    yield counter(
        "monitord_cluster_reports_repeated",
        "Total number of reports of agents that were stored before.",
        view.reports.repeated,
    )
    yield counter(
        "monitord_cluster_reports_rejected",
        "Total number of reports of agents that were not stored, because of the database or the name of the agent.",
        view.reports.rejected,
    )
    if database.queued_notifications is not None:
        yield gauge(
            "monitord_cluster_notifications_queued",
            "Current number of notifications of the cluster that are not delivered yet.",
            database.queued_notifications,
        )
    yield counter("monitord_cluster_decisions", "Total number of decisions of this node.", counters.decisions)
    yield counter(
        "monitord_cluster_decisions_lost",
        "Total number of decisions that another node has made at the same time.",
        counters.decisions_lost,
    )
    yield counter(
        "monitord_cluster_notifications_claimed",
        "Total number of notifications that this node has claimed for delivery.",
        counters.notifications_claimed,
    )


def _node_metrics(view: "ClusterView") -> Iterator[Metric]:
    labels = ("node", "location")
    age = GaugeMetricFamily(
        "monitord_cluster_node_heartbeat_age_seconds",
        "Time since the last heartbeat of each known node.",
        labels=labels,
    )
    offset = GaugeMetricFamily(
        "monitord_cluster_node_clock_offset_seconds",
        "Clock of each known node minus that of the database, at its last heartbeat.",
        labels=labels,
    )
    lag = GaugeMetricFamily(
        "monitord_cluster_node_decision_lag_seconds",
        "Time between the last comparison of all votes with the decisions of each known node and its last heartbeat.",
        labels=labels,
    )
    for node in view.membership.nodes:
        values = (node.name, node.location)
        age.add_metric(values, node.seen_ago_s + view.membership_age_s)
        offset.add_metric(values, node.time_offset_s)
        lag.add_metric(values, node.decision_lag_s)
    yield from (age, offset, lag)
