"""A cluster as one of its nodes sees it: three locations, of which fra has two nodes."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from monitord.cluster.model import HostMonitor, Membership, Node, Vote
from monitord.cluster.view import ClusterCounters, ClusterView, DatabaseView, ReportCounters
from monitord.model import Reason, State

SINCE = datetime(2026, 1, 1, 12, tzinfo=UTC)


def node(
    name: str, location: str, *, checked: int = 1, configuration: str = "a1b2c3", **more: object
) -> Node:
    return replace(
        Node(
            name,
            location,
            is_ready=True,
            version="1.0",
            configuration=configuration,
            lateness_s=0.002,
            checked_monitors=checked,
            seen_ago_s=1.0,
            time_offset_s=0.004,
        ),
        **more,  # type: ignore[arg-type]  # the fields of the node
    )


def vote(monitor: str, location: str, state: State, name: str, after_s: float = 0.0) -> Vote:
    """A vote of a node. That for `up` has the reason ok, every other one a refused connection."""
    is_up = state is State.UP
    return Vote(
        monitor,
        location,
        state,
        SINCE + timedelta(seconds=after_s),
        Reason.OK if is_up else Reason.REFUSED,
        "HTTP 200" if is_up else "connection refused",
        "",
        name,
        SINCE + timedelta(seconds=after_s),
    )


def host_monitor(name: str, monitor: str, state: State, **more: object) -> HostMonitor:
    """A monitor of the host of a node."""
    made = HostMonitor(
        name,
        monitor,
        "disk",
        ("host",),
        state,
        SINCE,
        Reason.OK if state is State.UP else Reason.DISK_FULL,
        "97 % used",
    )
    return replace(made, **more)  # type: ignore[arg-type]  # the fields of the monitor


NODES = (
    node("mon1", "fra", checked=2),
    node("mon2", "fra", checked=1, configuration="ffffff"),
    node("mon3", "hel", checked=3),
    node("mon4", "nyc", checked=3),
)
NODE_OF = {"fra": "mon1", "hel": "mon3", "nyc": "mon4"}


def votes(states: Mapping[str, Mapping[str, State]]) -> dict[str, dict[str, Vote]]:
    """The votes from the state of each monitor at each location."""
    return {
        monitor: {
            location: vote(monitor, location, state, NODE_OF[location])
            for location, state in of_monitor.items()
        }
        for monitor, of_monitor in states.items()
    }


def cluster_view(
    states: Mapping[str, Mapping[str, State]] | None = None, nodes: tuple[Node, ...] = NODES
) -> ClusterView:
    """The view of mon1, in which the monitors of `states` are shared."""
    states = states or {}
    return ClusterView(
        node="mon1",
        location="fra",
        membership=Membership(nodes),
        membership_age_s=0.5,
        is_settled=True,
        votes=votes(states),
        shared=frozenset(states),
        database=DatabaseView(
            is_available=True,
            latency_s=0.0031,
            server_version="15.8 (Debian 15.8-0+deb12u1)",
            schema_version=1,
            queued_notifications=2,
        ),
        reports=ReportCounters(stored=5, repeated=1),
        counters=ClusterCounters(decisions=7, decisions_lost=1, notifications_claimed=4),
    )
