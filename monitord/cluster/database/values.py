"""Values of the cluster as rows of the database, and back.

PostgreSQL rejects the character NUL and unpaired surrogates in texts and in JSON, which responses may contain, and
numbers in JSON that are not finite.
"""

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from psycopg.types.json import Jsonb

from monitord.cluster.model import (
    AgentReport,
    ClusterDecision,
    HostMonitor,
    Intervention,
    InterventionKind,
    NewDecision,
    Node,
    NodeShard,
    Role,
    SharedHeartbeat,
    Vote,
)
from monitord.cluster.sharding import shard_of
from monitord.model import Reason, State
from monitord.monitors.heartbeat.shared import HeartbeatFacts, facts_json, facts_of
from monitord.text import REPLACEMENT


def cleaned(text: str) -> str:
    """Return the text without characters that the database rejects."""
    if text.isascii() and "\0" not in text:
        return text
    return text.replace("\0", REPLACEMENT).encode("utf-8", "replace").decode()


def cleaned_json(value: Any) -> Any:
    """Return the same for all texts of a JSON value. Numbers that are not finite become null."""
    match value:
        case str():
            return cleaned(value)
        case float() if not math.isfinite(value):
            return None
        case Mapping():
            return {cleaned(str(key)): cleaned_json(item) for key, item in value.items()}
        case list() | tuple():
            return [cleaned_json(item) for item in value]
    return value


def node_row(node: Node) -> dict[str, Any]:
    return {
        "name": node.name,
        "location": node.location,
        "is_ready": node.is_ready,
        "version": node.version,
        "configuration": node.configuration,
        "lateness_s": node.lateness_s,
        "checked_monitors": node.checked_monitors,
        "time_offset_s": node.time_offset_s,
        "role": node.role.value,
        "shares_checks": node.shares_checks,
        "decision_lag_s": node.decision_lag_s,
        "is_isolated": node.is_isolated,
    }


def node_of(row: Sequence[Any]) -> Node:
    (
        name,
        location,
        is_ready,
        version,
        configuration,
        lateness_s,
        checked_monitors,
        seen_ago_s,
        time_offset_s,
        role,
        shares_checks,
        decision_lag_s,
        is_isolated,
        absent_ago_s,
        back_ago_s,
    ) = row
    return Node(
        name,
        location,
        is_ready,
        version,
        configuration,
        lateness_s,
        checked_monitors,
        # In the future: the clock of the database was set back, or another transaction has begun later than this one.
        abs(seen_ago_s),
        time_offset_s,
        Role(role),
        shares_checks,
        decision_lag_s,
        is_isolated,
        absent_ago_s,
        back_ago_s,
    )


def report_rows(reports: Sequence[AgentReport]) -> dict[str, list[Any]]:
    """Return the heartbeats of reports by column."""
    nodes = [node_row(report.node) for report in reports]
    return {
        **{key: [row[key] for row in nodes] for key in node_row(reports[0].node)},
        "runs": [report.run for report in reports],
        "numbers": [report.number for report in reports],
        "is_complete": [report.is_complete for report in reports],
    }


def vote_rows(votes: Sequence[Vote]) -> dict[str, list[Any]]:
    """Return the votes by column."""
    return {
        "monitors": [vote.monitor for vote in votes],
        "locations": [vote.location for vote in votes],
        "states": [vote.state.value for vote in votes],
        "since": [vote.since for vote in votes],
        "reasons": [vote.reason.value for vote in votes],
        "details": [cleaned(vote.detail) for vote in votes],
        "excerpts": [cleaned(vote.excerpt) for vote in votes],
        "nodes": [vote.node for vote in votes],
        "checked_at": [vote.checked_at for vote in votes],
        "shards": [shard_of(vote.monitor) for vote in votes],
    }


def host_monitor_rows(monitors: Sequence[HostMonitor]) -> dict[str, list[Any]]:
    """Return monitors of hosts by column."""
    return {
        "nodes": [each.node for each in monitors],
        "monitors": [each.monitor for each in monitors],
        "types": [each.type_name for each in monitors],
        "tags": [Jsonb(list(each.tags)) for each in monitors],
        "states": [None if each.state is None else each.state.value for each in monitors],
        "since": [each.since for each in monitors],
        "reasons": [each.reason.value for each in monitors],
        "details": [cleaned(each.detail) for each in monitors],
        "acknowledged_by": [each.acknowledged_by and cleaned(each.acknowledged_by) for each in monitors],
        "maintenance": [each.maintenance and cleaned(each.maintenance) for each in monitors],
    }


def decision_rows(decisions: Sequence[NewDecision]) -> dict[str, list[Any]]:
    """Return new decisions by column, with the version and the state of the decisions before."""
    return {
        "monitors": [each.after.monitor for each in decisions],
        "versions": [0 if each.before is None else each.before.version for each in decisions],
        "counted_at": [each.after.counted_at for each in decisions],
        "old_states": [None if each.before is None else each.before.state.value for each in decisions],
        "states": [each.after.state.value for each in decisions],
        "since": [each.after.since for each in decisions],
        "reasons": [each.after.reason.value for each in decisions],
        "details": [cleaned(each.after.detail) for each in decisions],
        "alerts": [
            None if each.after.alert is None else Jsonb(cleaned_json(each.after.alert)) for each in decisions
        ],
        "flapping": [_flapping_row(each.after) for each in decisions],
    }


def vote_of(row: Sequence[Any]) -> Vote:
    """Read a vote from an array of JSON, as `decision_of` and `intervention_of` do."""
    monitor, location, state, since, reason, detail, excerpt, node, checked_at = row
    return Vote(
        monitor,
        location,
        State.of_code(state),
        _time_of(since),
        Reason.of_code(reason),
        detail,
        excerpt,
        node,
        _time_of(checked_at),
    )


def decision_of(row: Sequence[Any]) -> ClusterDecision:
    monitor, state, since, reason, detail, version, alert, flapping = row
    changes, is_flapping = flapping or ((), False)
    return ClusterDecision(
        monitor,
        State.of_code(state),
        _time_of(since),
        Reason.of_code(reason),
        detail,
        version,
        alert,
        tuple(map(_time_of, changes)),
        is_flapping,
    )


def _flapping_row(decision: ClusterDecision) -> Jsonb | None:
    if not decision.changes and not decision.is_flapping:
        return None
    return Jsonb([[at.isoformat() for at in decision.changes], decision.is_flapping])


def intervention_of(row: Sequence[Any]) -> Intervention:
    kind, key, record = row
    return Intervention(InterventionKind(kind), key, record)


def heartbeat_rows(facts: Mapping[str, HeartbeatFacts]) -> dict[str, list[Any]]:
    """Return the facts of heartbeat monitors by column, sorted by name."""
    names = sorted(facts)
    return {
        "monitors": names,
        "facts": [Jsonb(cleaned_json(facts_json(facts[name]))) for name in names],
    }


def heartbeat_of(row: Sequence[Any]) -> SharedHeartbeat | None:
    """Return the facts of a heartbeat monitor; None if another release has stored them in another way."""
    monitor, facts = row
    try:
        return SharedHeartbeat(monitor, facts_of(facts))
    except (KeyError, TypeError, ValueError, AttributeError):
        return None


def host_monitor_of(row: Sequence[Any]) -> HostMonitor:
    node, monitor, type_name, tags, state, since, reason, detail, acknowledged_by, maintenance = row
    return HostMonitor(
        node,
        monitor,
        type_name,
        tuple(tags),
        None if state is None else State.of_code(state),
        None if since is None else _time_of(since),
        Reason.of_code(reason),
        detail,
        acknowledged_by,
        maintenance,
    )


def node_shard_of(row: Sequence[Any]) -> NodeShard:
    node, shard, monitors = row
    return NodeShard(node, int(shard), monitors)


def _time_of(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)
