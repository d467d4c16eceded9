"""The cluster on the pages: the locations of a monitor, and the nodes on the page of the daemon."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from monitord.explanation import configuration_differences_text, quorum_text
from monitord.model import Reason, State
from monitord.monitors import MonitorSettings
from monitord.monitors.cluster_facts import MAX_DECISION_LAG_S
from monitord.status.model.cluster import (
    MonitorVotes,
    cluster_json,
    is_counted,
    locations_of,
    node_status,
    votes_json,
)
from monitord.status.model.host_monitors import host_monitors, is_disconnected
from monitord.status.pages import wording

if TYPE_CHECKING:
    from monitord.cluster.view import ClusterView

LARGE_OFFSET_S = 2.0
"""The clocks of nodes and database should not differ by more."""


@dataclass(frozen=True, slots=True)
class LocationRow:
    """A location of a monitor. `state` None: it has no vote, as `detail` explains. `node` "": unknown."""

    name: str
    state: str | None
    since: datetime | None
    detail: str
    node: str
    is_counted: bool


@dataclass(frozen=True, slots=True)
class LocationsView:
    """The locations of a monitor, and the sentence that explains how their votes are counted."""

    summary: str
    rows: tuple[LocationRow, ...]


@dataclass(frozen=True, slots=True)
class NodeRow:
    """A node. `problems`: the problems that need action by the administrator."""

    name: str
    location: str
    status: str
    is_responding: bool
    heartbeat: str
    checks: str
    lateness: str
    clock: str
    version: str
    problems: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class HostRow:
    """A monitor of another host on the overview. `state`, `tags` and `search_text` are for its filter."""

    name: str
    host: str
    monitor: str
    type_name: str
    state: State
    since: datetime | None
    detail: str
    reason: str
    notes: tuple[str, ...]
    tags: tuple[str, ...]
    search_text: str


class HostRows:
    """The monitors of the other hosts, the worst first. They are composed again when they change.

    `structure`: another text for each change.
    """

    def __init__(self) -> None:
        self._key: object = None
        self.rows: tuple[HostRow, ...] = ()
        self.structure = ""

    def refresh(self, view: "ClusterView | None") -> tuple[HostRow, ...]:
        """Return the current rows."""
        if view is None:
            return ()
        nodes = [(node.name, node_status(node)) for node in view.membership.nodes]
        key = (view.host_revision, nodes, is_disconnected(view))
        if key != self._key:
            self._key, self.rows = key, _host_rows(view)
            self.structure = hashlib.sha256(repr(self.rows).encode()).hexdigest()[:8] if self.rows else ""
        return self.rows


def _host_rows(view: "ClusterView") -> tuple[HostRow, ...]:
    return tuple(
        HostRow(
            monitor.name,
            monitor.host,
            monitor.monitor,
            monitor.type_name,
            monitor.state,
            monitor.since,
            monitor.detail,
            "" if monitor.reason is Reason.OK else monitor.reason.value,
            tuple(filter(None, ("acknowledged" * bool(monitor.acknowledged_by), monitor.maintenance or ""))),
            monitor.tags,
            " ".join((monitor.name, monitor.type_name, *monitor.tags, monitor.detail)).casefold(),
        )
        for monitor in host_monitors(view)
    )


@dataclass(frozen=True, slots=True)
class ClusterPageView:
    """The cluster on the page of the daemon. `error`: why the database does not respond, or no hub of an agent."""

    summary: str
    nodes: tuple[NodeRow, ...]
    database: str
    error: str | None
    unavailable_since: datetime | None
    alone_since: datetime | None
    is_agent: bool = False


def locations_view(votes: MonitorVotes, settings: MonitorSettings) -> LocationsView:
    if votes.electorate.is_alone:
        summary = "This node is not connected to the cluster: it decides alone. Last votes of the locations:"
    else:
        summary = f"{quorum_text(votes_json(votes, settings))}."
    rows = []
    for name in locations_of(votes, settings):
        vote, is_live = votes.votes.get(name), name in votes.electorate.live
        if vote is None:
            detail = "no conclusive check yet" if is_live else "no node is live"
            rows.append(LocationRow(name, None, None, detail, "", is_counted=False))
            continue
        detail = vote.detail if is_live else f"{vote.detail}; does not count, as no node is live"
        rows.append(
            LocationRow(
                name, vote.state.value, vote.since, detail, vote.node, is_counted=is_counted(votes, name)
            )
        )
    return LocationsView(summary, tuple(rows))


def cluster_page_view(view: "ClusterView") -> ClusterPageView:
    cluster = cluster_json(view)
    nodes, database = cluster["nodes"], view.database
    live = sum(node["status"] == "live" for node in nodes)
    locations = sum(location["is_live"] for location in cluster["locations"])
    parts = [
        "available" if database.is_available else "unavailable",
        *([] if database.latency_s is None else [f"a heartbeat takes {wording.seconds(database.latency_s)}"]),
        *(
            []
            if database.queued_notifications is None
            else [f"{wording.several(database.queued_notifications, 'notification')} queued"]
        ),
    ]
    if view.agent is not None:
        current = ", ".join(hub.url for hub in view.agent.hubs if hub.is_current)
        parts = [
            f"to {current}",
            f"{wording.several(view.agent.spooled_votes, 'vote')} and "
            f"{wording.several(view.agent.spooled_heartbeats, 'heartbeat')} not acknowledged",
        ]
    version = cluster["database"]["server_version"]
    server = "" if version is None or view.agent is not None else f"PostgreSQL {version}, "
    return ClusterPageView(
        summary=f"This node is {view.node} at {view.location}. {live} of {wording.several(len(nodes), 'node')} and "
        f"{locations} of {wording.several(len(cluster['locations']), 'location')} are live; "
        f"{wording.several(len(view.shared), 'shared monitor')}.",
        nodes=tuple(_node(node) for node in nodes),
        database=server + ", ".join(parts),
        error=None if database.is_available else database.error or "no connection yet",
        unavailable_since=database.unavailable_since,
        alone_since=view.alone_since,
        is_agent=view.agent is not None,
    )


def _node(node: Mapping[str, Any]) -> NodeRow:
    offset_s, problems = node["clock_offset_s"], []
    if abs(offset_s) > LARGE_OFFSET_S:
        problems.append("its clock differs from that of the database")
    if node["status"] == "live" and node["decision_lag_s"] > MAX_DECISION_LAG_S:
        problems.append("has not compared the votes with its decisions for a while: see its journal")
    if node["configuration_differences"] is not None:
        differences = configuration_differences_text(node["configuration_differences"])
        problems.append(f"its configuration differs from that of this node: {differences}")
    elif node["is_configuration_equal"] is False:
        problems.append("its monitors, routes or notifiers differ from those of this node")
    if node["is_isolated"]:
        problems.append("is isolated: nearly all of its network checks fail")
    share = (
        ""
        if node["share_of_location"] is None
        else f" ({node['share_of_location'] * 100:.0f} % of its location)"
    )
    return NodeRow(
        name=node["name"],
        location=node["location"],
        status=("agent, " if node["role"] == "agent" else "") + node["status"].replace("_", " "),
        is_responding=node["status"] != "not_responding",
        heartbeat=f"{wording.span(node['heartbeat_age_s'])} ago",
        checks=f"{wording.number(node['checked_monitors'])}{share}",
        lateness=wording.seconds(node["lateness_s"]),
        clock=f"{offset_s:+.3f} s",
        version=node["version"],
        problems=tuple(problems),
    )
