"""The monitors that belong to the hosts of other nodes of a cluster, as HOST/NAME: for API, pages and metrics.

They are not in the registry: this node only shows them. A node reports the changes of its monitors with each of its
heartbeats, so the age of what is known is that of the heartbeat.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from monitord.clock import time_text
from monitord.model import WORST_FIRST, Json, Reason, State
from monitord.status.model.cluster import node_status
from monitord.status.model.listing import STATE, TAG, TYPE, name_pattern
from monitord.status.model.query import QueryValues
from monitord.status.model.representations import text_of

if TYPE_CHECKING:
    from monitord.cluster.model import HostMonitor, Node
    from monitord.cluster.view import ClusterView

_RANKS = {state: rank for rank, state in enumerate(WORST_FIRST)}


@dataclass(frozen=True, slots=True)
class ShownHostMonitor:
    """A monitor of another host. `reported_state`: as its node has last reported it, at most `age_s` ago.

    `state` is the same, but unknown while the node does not report.
    """

    name: str
    host: str
    location: str
    monitor: str
    type_name: str
    tags: tuple[str, ...]
    state: State
    since: datetime | None
    reason: Reason
    detail: str
    reported_state: State
    age_s: float
    acknowledged_by: str | None
    maintenance: str | None


def host_monitors(view: "ClusterView") -> list[ShownHostMonitor]:
    """Return the monitors of the other hosts, the worst first, then by name."""
    return sorted(_shown(view), key=lambda monitor: (_RANKS[monitor.state], monitor.name))


def find_host_monitor(view: "ClusterView | None", name: str) -> ShownHostMonitor | None:
    """Return a monitor of another host by its name, HOST/NAME; None if there is none."""
    return None if view is None else next((each for each in _shown(view) if each.name == name), None)


def _shown(view: "ClusterView") -> Iterator[ShownHostMonitor]:
    for node in view.membership.nodes:
        if node.name == view.node:
            continue
        age_s = node.seen_ago_s + view.membership_age_s
        loss = _loss(node, view)
        for reported in view.host_monitors.get(node.name, {}).values():
            shown = _reported(reported, node, age_s)
            if loss is not None and shown.state is not State.PAUSED:
                since, reason, text = loss
                last = f"; last state: {shown.state.value}" + (f", {shown.detail}" if shown.detail else "")
                shown = replace(
                    shown, state=State.UNKNOWN, since=since, reason=reason, detail=f"{text}{last}"
                )
            yield shown


def _reported(monitor: "HostMonitor", node: "Node", age_s: float) -> ShownHostMonitor:
    state = monitor.state or State.UNKNOWN
    return ShownHostMonitor(
        f"{node.name}/{monitor.monitor}",
        node.name,
        node.location,
        monitor.monitor,
        monitor.type_name,
        monitor.tags,
        state,
        monitor.since,
        monitor.reason,
        monitor.detail,
        state,
        age_s,
        monitor.acknowledged_by,
        monitor.maintenance,
    )


def is_disconnected(view: "ClusterView") -> bool:
    """Whether this node has not heard of the others for a while."""
    from monitord.cluster.model import LIVE_S  # noqa: PLC0415 - see `cluster`

    return view.membership_age_s > LIVE_S


def _loss(node: "Node", view: "ClusterView") -> tuple[datetime | None, Reason, str] | None:
    """Return since when the states of a node are not known, and why; None: they are."""
    if node_status(node) != "not_responding":
        if not is_disconnected(view):
            return None
        since = view.database.unavailable_since
        return since, Reason.PROBER_DISCONNECTED, "this node is not connected to the cluster"
    # To the second: the time of a heartbeat is computed from its age.
    since = view.membership_at - timedelta(seconds=node.seen_ago_s) if view.membership_at else None
    since = None if since is None else since.replace(microsecond=0)
    text = f"node {node.name} has sent no heartbeat " + (
        "for a long time" if since is None else f"since {time_text(since)}"
    )
    return since, Reason.NODE_LOST, text


def host_counts(view: "ClusterView") -> dict[str, Counter[str]]:
    """Return the number of monitors by host and state, of the other hosts."""
    counts: dict[str, Counter[str]] = {
        node.name: Counter() for node in view.membership.nodes if node.name != view.node
    }
    for monitor in _shown(view):
        counts[monitor.host][monitor.state.value] += 1
    return counts


def host_monitors_json(view: "ClusterView", query: QueryValues, name: str) -> Json:
    """Return the monitors that match the filters of a query, the worst first; `name`: a text or a pattern."""
    tags, states, types = frozenset(query[TAG]), frozenset(query[STATE]), frozenset(query[TYPE])
    pattern = name_pattern(name)
    return {
        "monitors": [
            {
                "name": monitor.name,
                "host": monitor.host,
                "location": monitor.location,
                "monitor": monitor.monitor,
                "type": monitor.type_name,
                "tags": list(monitor.tags),
                "state": monitor.state.value,
                "since": text_of(monitor.since),
                "reason": monitor.reason.value,
                "detail": monitor.detail,
                "reported_state": monitor.reported_state.value,
                "age_s": round(monitor.age_s, 3),
                "acknowledged_by": monitor.acknowledged_by,
                "maintenance_window": monitor.maintenance,
            }
            for monitor in host_monitors(view)
            if (not states or monitor.state.value in states)
            and (not types or monitor.type_name in types)
            and tags.issubset(monitor.tags)
            and (not name or pattern.search(monitor.name))
        ]
    }
