"""The cluster in API, pages and metrics. Without [cluster], there is no view, and they show nothing about a cluster.

`monitord.cluster` is imported in functions that need a view, and otherwise for type checking only: a daemon of a single
host does not import it.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Optional

from monitord.dispatch import MonitorEntry
from monitord.explanation import SHOWN_MONITORS
from monitord.model import Json
from monitord.monitors import MonitorSettings
from monitord.status.model.representations import text_of

if TYPE_CHECKING:
    from monitord.cluster.model import Node, Vote
    from monitord.cluster.view import ClusterView


ClusterSource = Callable[[], Optional["ClusterView"]]
"""Returns what this node knows of the cluster, from memory, and never raises; None without [cluster].

It is called for every request and up to ten times a second: `votes` and `shared` of the view may be the node's own
collections, not copies.
"""


def no_cluster() -> None:
    """The source of a daemon without [cluster]."""


@dataclass(frozen=True, slots=True)
class Electorate:
    """The locations, for all monitors: which are known, which are live, and whether that set is settled.

    `is_alone`: this node decides without the others.
    """

    known: frozenset[str]
    live: frozenset[str]
    is_settled: bool
    is_alone: bool


@dataclass(frozen=True, slots=True)
class MonitorVotes:
    """The votes about a shared monitor by location, and the locations that can vote.

    `is_checked_here`: this node checks it, and not another node of its location.
    """

    votes: "Mapping[str, Vote]"
    electorate: Electorate
    is_checked_here: bool = True


@dataclass(frozen=True, slots=True)
class Count:
    """The number of votes about a monitor that are `needed` for a problem, and `needed_up` for up, of `voters`."""

    voters: int
    needed: int
    needed_up: int


NO_VOTES: "Mapping[str, Vote]" = {}


def electorate_of(view: "ClusterView") -> Electorate:
    membership = view.membership
    return Electorate(
        membership.known_locations, membership.live_locations, view.is_settled, view.alone_since is not None
    )


def votes_of(view: "ClusterView | None", entry: MonitorEntry) -> MonitorVotes | None:
    """Return the votes about a monitor; None if the nodes do not share it."""
    if view is None or entry.name not in view.shared:
        return None
    votes = view.votes.get(entry.name, NO_VOTES)
    return MonitorVotes(votes, electorate_of(view), is_checked_here(entry))


def is_checked_here(entry: MonitorEntry) -> bool:
    """Whether this node checks the monitor, or would if it was not paused."""
    cycle = entry.cycle
    return cycle.has_timer or cycle.is_checking or cycle.is_queued or entry.state.pause is not None


def is_at_this_location(view: "ClusterView | None", entry: MonitorEntry) -> bool:
    """Whether nodes at the location of this node check the monitor."""
    locations = entry.monitor.settings.locations
    return view is None or not locations or view.location in locations


def locations_of(votes: MonitorVotes, settings: MonitorSettings) -> tuple[str, ...]:
    """Return the locations that are to check the monitor, sorted. Configured locations need not be known."""
    return tuple(sorted(settings.locations or votes.electorate.known))


def is_counted(votes: MonitorVotes, location: str) -> bool:
    """Whether the vote of a location counts: it is conclusive, the location is live, and this node is not alone."""
    from monitord.cluster.model import CONCLUSIVE  # noqa: PLC0415 - see above

    vote = votes.votes.get(location)
    electorate = votes.electorate
    return (
        vote is not None
        and vote.state in CONCLUSIVE
        and location in electorate.live
        and not electorate.is_alone
    )


def count_of(votes: MonitorVotes, settings: MonitorSettings) -> Count:
    """Return how the votes are counted, as `monitord.cluster.quorum.decide` does."""
    from monitord.cluster.quorum import needed  # noqa: PLC0415 - see above

    locations, electorate = locations_of(votes, settings), votes.electorate
    voters = sum(is_counted(votes, location) for location in locations)
    if not electorate.is_settled:
        voters = max(voters, len(electorate.known.intersection(locations)))
    for_problem, for_up = needed(settings.quorum, max(voters, 1))
    return Count(voters, for_problem, for_up)


def votes_json(votes: MonitorVotes, settings: MonitorSettings) -> Json:
    """Return the key `cluster` of a monitor."""
    count = count_of(votes, settings)
    locations: list[Json] = []
    for location in locations_of(votes, settings):
        vote = votes.votes.get(location)
        locations.append(
            {
                "location": location,
                "is_live": location in votes.electorate.live,
                "is_counted": is_counted(votes, location),
                "state": None if vote is None else vote.state.value,
                "since": None if vote is None else text_of(vote.since),
                "reason": None if vote is None else vote.reason.value,
                "detail": None if vote is None else vote.detail,
                "node": None if vote is None else vote.node,
                "checked_at": None if vote is None else text_of(vote.checked_at),
            }
        )
    return {
        "quorum": settings.quorum,
        "voters": count.voters,
        "votes_needed": count.needed,
        "votes_needed_for_up": count.needed_up,
        "is_settled": votes.electorate.is_settled,
        "is_alone": votes.electorate.is_alone,
        "is_checked_here": votes.is_checked_here,
        "locations": locations,
    }


# -- the cluster as a whole -------------------------------------------------------------------------------


def connection_json(view: "ClusterView") -> Json:
    """Return the key `cluster` of the status of the daemon: whether this node is connected to the cluster."""
    database = view.database
    return {
        "is_connected": database.is_available,
        "error": database.error,
        "disconnected_since": text_of(database.unavailable_since),
        "alone_since": text_of(view.alone_since),
        "is_agent": view.agent is not None,
    }


def cluster_json(view: "ClusterView", hosts: Mapping[str, Mapping[str, int]] = {}) -> Json:
    """Return the cluster as `GET /api/v1/cluster` shows it: the nodes sorted by location and name.

    `hosts`: the number of monitors of the other hosts by state (`host_monitors.host_counts`).
    """
    nodes = sorted(view.membership.nodes, key=lambda node: (node.location, node.name))
    counts = vote_counts(view)
    this_node = next((node for node in nodes if node.name == view.node), None)
    database = view.database
    return {
        "node": view.node,
        "location": view.location,
        "is_settled": view.is_settled,
        "alone_since": text_of(view.alone_since),
        "shared_monitors": len(view.shared),
        "nodes": [_node(node, this_node, view, hosts) for node in nodes],
        "locations": [
            {
                "name": location,
                "is_live": location in view.membership.live_locations,
                "votes": dict(counts.get(location, {})),
            }
            for location in sorted(view.membership.known_locations)
        ],
        "unknown_locations": [
            {
                "name": unknown.name,
                "monitors": len(unknown.monitors),
                "first_monitors": list(unknown.monitors[:SHOWN_MONITORS]),
                "notifiers": list(unknown.notifiers),
            }
            for unknown in view.unknown_locations
        ],
        "database": {
            "is_available": database.is_available,
            "error": database.error,
            "unavailable_since": text_of(database.unavailable_since),
            "latency_s": database.latency_s,
            "server_version": None
            if database.server_version is None
            else short_version(database.server_version),
            "schema_version": database.schema_version,
            "queued_notifications": database.queued_notifications,
        },
        "agent": None
        if view.agent is None
        else {
            "hubs": [
                {"url": hub.url, "is_current": hub.is_current, "error": hub.error} for hub in view.agent.hubs
            ],
            "acknowledged": view.agent.acknowledged,
            "acknowledged_at": text_of(view.agent.acknowledged_at),
            "spooled_votes": view.agent.spooled_votes,
            "spooled_heartbeats": view.agent.spooled_heartbeats,
        },
        "reports": {
            "stored": view.reports.stored,
            "repeated": view.reports.repeated,
            "rejected": view.reports.rejected,
        },
        "decisions": view.counters.decisions,
        "decisions_lost": view.counters.decisions_lost,
        "notifications_claimed": view.counters.notifications_claimed,
    }


def _node(
    node: "Node", this_node: "Node | None", view: "ClusterView", hosts: Mapping[str, Mapping[str, int]]
) -> Json:
    of_location = sum(
        other.checked_monitors
        for other in view.membership.nodes
        if other.location == node.location and other.is_live
    )
    return {
        "name": node.name,
        "location": node.location,
        "status": node_status(node),
        "role": node.role.value,
        "shares_checks": node.shares_checks,
        "is_this_node": node.name == view.node,
        "heartbeat_age_s": round(node.seen_ago_s + view.membership_age_s, 3),
        "host_monitors": dict(hosts.get(node.name, {})),
        "version": node.version,
        "configuration": node.configuration,
        "is_configuration_equal": None
        if this_node is None or not _should_agree(node, this_node)
        else node.configuration == this_node.configuration,
        "configuration_differences": _differences(node, view),
        "checked_monitors": node.checked_monitors,
        "share_of_location": node.checked_monitors / of_location if node.is_live and of_location else None,
        "lateness_s": round(node.lateness_s, 6),
        "clock_offset_s": round(node.time_offset_s, 3),
        "decision_lag_s": round(node.decision_lag_s, 3),
        "is_isolated": node.is_isolated,
    }


def _differences(node: "Node", view: "ClusterView") -> Json | None:
    differences = view.differences.get(node.name)
    if differences is None:
        return None
    return {
        "missing": list(differences.missing),
        "added": list(differences.added),
        "changed": list(differences.changed),
        "total": differences.total,
    }


def _should_agree(node: "Node", other: "Node") -> bool:
    """Whether two nodes should have the same monitors.

    An agent needs only the monitors of its own location, which it shares with the others there.
    """
    from monitord.cluster.model import Role  # noqa: PLC0415 - see above

    if node.role is Role.NODE and other.role is Role.NODE:
        return True
    return node.location == other.location and node.shares_checks and other.shares_checks


def short_version(server_version: str) -> str:
    """Return the version of a server without that of its package: "15.8" of "15.8 (Debian 15.8-0+deb12u1)"."""
    return (server_version.split() or [""])[0]


NODE_STATUSES = ("live", "starting", "not_responding")
"""`starting`: not every monitor has a result yet. `not_responding`: its last heartbeat is too old."""


def node_status(node: "Node") -> str:
    """Return one of `NODE_STATUSES`, as of the last time at which this node has read the heartbeats."""
    from monitord.cluster.model import LIVE_S  # noqa: PLC0415 - see above

    if node.is_live:
        return "live"
    return "starting" if node.seen_ago_s <= LIVE_S else "not_responding"


def vote_counts(view: "ClusterView") -> dict[str, Counter[str]]:
    """Return the number of votes by location and state, of the locations with a vote."""
    counts: dict[str, Counter[str]] = {}
    for name, votes in view.votes.items():
        if name in view.shared:
            for location, vote in votes.items():
                counts.setdefault(location, Counter())[vote.state.value] += 1
    return counts
