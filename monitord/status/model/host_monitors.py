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
    return sorted(_shown(view), key=lambda each: (_RANKS[each.state], each.name))


def _shown(view: "ClusterView") -> Iterator[ShownHostMonitor]:
    for node in view.membership.nodes:
        if node.name == view.node:
            continue
        age_s = node.seen_ago_s + view.membership_age_s
        loss = _loss(node, view)
        for each in view.host_monitors.get(node.name, {}).values():
            shown = _reported(each, node, age_s)
            if loss is not None and shown.state is not State.PAUSED:
                since, reason, text = loss
                last = f"; it was {shown.state.value}" + (f": {shown.detail}" if shown.detail else "")
                shown = replace(
                    shown, state=State.UNKNOWN, since=since, reason=reason, detail=f"{text}{last}"
                )
            yield shown


def _reported(each: "HostMonitor", node: "Node", age_s: float) -> ShownHostMonitor:
    state = each.state or State.UNKNOWN
    return ShownHostMonitor(
        f"{node.name}/{each.monitor}",
        node.name,
        node.location,
        each.monitor,
        each.type_name,
        each.tags,
        state,
        each.since,
        each.reason,
        each.detail,
        state,
        age_s,
        each.acknowledged_by,
        each.maintenance,
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
    text = f"node {node.name} was last seen" + (" long ago" if since is None else f" at {time_text(since)}")
    return since, Reason.NODE_LOST, text


def host_counts(view: "ClusterView") -> dict[str, Counter[str]]:
    """Return the number of monitors by host and state, of the other hosts."""
    counts: dict[str, Counter[str]] = {
        node.name: Counter() for node in view.membership.nodes if node.name != view.node
    }
    for each in _shown(view):
        counts[each.host][each.state.value] += 1
    return counts


def host_monitors_json(view: "ClusterView", query: QueryValues, name: str) -> Json:
    """Return the monitors that match the filters of a query, the worst first; `name`: a text or a pattern."""
    tags, states, types = frozenset(query[TAG]), frozenset(query[STATE]), frozenset(query[TYPE])
    pattern = name_pattern(name)
    return {
        "monitors": [
            {
                "name": each.name,
                "host": each.host,
                "location": each.location,
                "monitor": each.monitor,
                "type": each.type_name,
                "tags": list(each.tags),
                "state": each.state.value,
                "since": text_of(each.since),
                "reason": each.reason.value,
                "detail": each.detail,
                "reported_state": each.reported_state.value,
                "age_s": round(each.age_s, 3),
                "acknowledged_by": each.acknowledged_by,
                "maintenance_window": each.maintenance,
            }
            for each in host_monitors(view)
            if (not states or each.state.value in states)
            and (not types or each.type_name in types)
            and tags.issubset(each.tags)
            and (not name or pattern.search(each.name))
        ]
    }
