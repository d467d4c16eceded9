"""The bodies of requests and responses as JSON Schema 2020-12, by their names in the OpenAPI document.

Every property of a response is always present, with null as a missing value. Later versions may add properties.
"""

from monitord.alerts import DeliveryStatus, SuppressionReason
from monitord.cluster.model import Role
from monitord.cluster.report_json import (
    MAX_CHECKED_MONITORS,
    MAX_HOST_NAMES,
    MAX_MONITOR_CHARACTERS,
    MAX_NUMBER,
    MAX_RUN_CHARACTERS,
    MAX_TAGS,
    REQUIRED_KEYS,
)
from monitord.cluster.report_json import (
    MAX_ITEMS as MAX_REPORTED_ITEMS,
)
from monitord.cluster.report_json import (
    MAX_TEXT_CHARACTERS as MAX_REPORTED_CHARACTERS,
)
from monitord.config.values import MAX_LOCATION_CHARACTERS
from monitord.model import Json, PostStatus, Reason, Severity, State, Verdict, VerdictRule
from monitord.monitors.heartbeat.monitor import HeartbeatSignal
from monitord.monitors.heartbeat.record import MAX_EXIT_STATUS, MAX_MESSAGE_BYTES, MAX_RUN_ID_CHARACTERS
from monitord.monitors.heartbeat.shared import MAX_SIGNALS
from monitord.notifiers import NotificationKind
from monitord.posts import MAX_TEXT_CHARACTERS, MAX_TITLE_CHARACTERS
from monitord.status.access.body import MAX_COMMENT_CHARACTERS, MAX_ITEM_CHARACTERS, MAX_ITEMS, MAX_PATTERNS
from monitord.status.model.cluster import NODE_STATUSES
from monitord.status.model.explain import CAUSES, DECISIONS, PARENT_EFFECTS
from monitord.status.model.query import EXIT_STATUS, LONGEST_SILENCE_S, MOMENT_SCHEMA

TEXT: Json = {"type": "string"}
INTEGER: Json = {"type": "integer"}
NUMBER: Json = {"type": "number"}
FLAG: Json = {"type": "boolean"}
TIME: Json = {"type": "string", "format": "date-time"}
STATE: Json = {"type": "string", "enum": [state.value for state in State]}
VERDICT: Json = {"type": "string", "enum": [verdict.value for verdict in Verdict]}
SEVERITY: Json = {"type": "string", "enum": [severity.value for severity in Severity]}
REASON: Json = {"type": "string", "enum": [reason.value for reason in Reason]}
DELIVERY_STATUS: Json = {"type": "string", "enum": [status.value for status in DeliveryStatus]}
POST_STATUS: Json = {"type": "string", "enum": [status.value for status in PostStatus]}
NOT_BLANK = r"\S"
FIELD: Json = {"type": ["string", "number", "boolean", "array", "null"], "items": {"type": "string"}}

Property = tuple[Json, str]
"""A schema and its description."""


def described(properties: dict[str, Property]) -> dict[str, Json]:
    return {name: {**schema, "description": text} for name, (schema, text) in properties.items()}


def made_of(properties: dict[str, Property]) -> Json:
    """An object of a response, in which every property is present."""
    return {"type": "object", "required": list(properties), "properties": described(properties)}


def optional(properties: dict[str, Property]) -> Json:
    """An object of a request, in which every property may be omitted, and no other is allowed."""
    return {"type": "object", "properties": described(properties), "additionalProperties": False}


def nullable(schema: Json) -> Json:
    if isinstance(schema.get("type"), str):
        values = {"enum": [*schema["enum"], None]} if "enum" in schema else {}
        return {**schema, "type": [schema["type"], "null"], **values}
    return {"anyOf": [schema, {"type": "null"}]}


def listed(schema: Json) -> Json:
    return {"type": "array", "items": schema}


def by_name(schema: Json) -> Json:
    return {"type": "object", "additionalProperties": schema}


def ref(name: str) -> Json:
    return {"$ref": f"#/components/schemas/{name}"}


def _selection(more: dict[str, Property]) -> Json:
    """Selects monitors that have one of the names or patterns and all of the tags; at least one of them is given."""
    item: Json = {"type": "string", "minLength": 1, "maxLength": MAX_ITEM_CHARACTERS}
    items: Json = {"type": "array", "items": item, "maxItems": MAX_ITEMS}
    schema = optional(
        {
            "names": (items, "Names of monitors."),
            "patterns": (
                {**items, "maxItems": MAX_PATTERNS},
                "Patterns for whole names, with `*`, `?` and `[…]`.",
            ),
            "tags": (items, "Tags, all of which a monitor must have."),
            **more,
        }
    )
    return {
        **schema,
        "description": "Selects the monitors that match one of `names` or `patterns`, if any are given, and have all "
        "of `tags`.",
        "anyOf": [
            {"required": [key], "properties": {key: {"minItems": 1}}} for key in ("names", "patterns", "tags")
        ],
    }


_SKIPPED_CHECKS = (
    "cheduled checks skipped because the previous check of the monitor was still running or queued."
)
_COMMENT: Property = (
    {"type": ["string", "null"], "maxLength": MAX_COMMENT_CHARACTERS},
    "A comment for other users.",
)

_POST_TEXT: Property = (
    {"type": "string", "pattern": NOT_BLANK, "maxLength": MAX_TEXT_CHARACTERS},
    "The text of the update in plain text, which can have several lines.",
)

_RESULT: dict[str, Property] = {
    "verdict": (VERDICT, "The verdict of the check."),
    "reason": (REASON, "The reason code of the verdict."),
    "detail": (TEXT, "Subject, outcome and measurements in one human-readable line."),
    "subject": (TEXT, 'The target of the check, such as "GET https://example.org/".'),
    "outcome": (TEXT, 'The outcome without the subject, such as "HTTP 503".'),
    "note": (
        TEXT,
        'Why the outcome is not accepted, such as "not met: status == 200 (actual: 503)", or an empty string.',
    ),
    "started_at": (TIME, "The start of the check."),
    "duration_s": (NUMBER, "The duration of the check."),
    "address": (nullable(TEXT), "The IP address of the target; null if there was no connection."),
    "conditions": (listed(TEXT), "The conditions, each with the values that it was evaluated with."),
    "holds": (listed(FLAG), "For each of `conditions`: whether it is true."),
    "expected": (
        listed(FLAG),
        "For each of `conditions`: whether it should be true; false for `degraded_when`.",
    ),
    "fields": (by_name(FIELD), "The measured values by field name."),
    "excerpt": (
        nullable(TEXT),
        "The beginning of the response, if the verdict is not `pass`. Secrets are masked.",
    ),
}

_OBJECTIVE: dict[str, Property] = {
    "monitor": (TEXT, "The monitor that evaluates the objective."),
    "state": (STATE, "The state of this monitor."),
    "target_percent": (NUMBER, "The target: the percentage of good time."),
    "window_s": (NUMBER, "The window of the objective."),
    "achieved_percent": (
        nullable(NUMBER),
        "The percentage of good time in the window; null if there is no data.",
    ),
    "error_budget_left_percent": (
        nullable(NUMBER),
        "The percentage of the error budget that is left; negative if the objective is missed.",
    ),
    "error_budget_left_s": (
        nullable(NUMBER),
        "The error budget that is left as a duration, summed over all monitors of the objective.",
    ),
    "burn_rates": (
        listed(
            made_of(
                {
                    "window_s": (NUMBER, "The window of the burn rate."),
                    "burn_rate": (nullable(NUMBER), "The burn rate; null if there is no data."),
                }
            )
        ),
        "The burn rates of the fast alert over its long and its short window, then those of the slow alert.",
    ),
}

_LOCATION: dict[str, Property] = {
    "location": (TEXT, "The name of the location."),
    "is_live": (
        FLAG,
        "Whether a node of the location is ready and has sent a heartbeat in the last 10 seconds.",
    ),
    "is_counted": (FLAG, "Whether its vote counts: it is conclusive, and the location is live."),
    "state": (nullable(STATE), "The state at this location; null if it has not reported one."),
    "since": (nullable(TIME), "The time at which it entered this state there, by the clock of the node."),
    "reason": (nullable(REASON), "The reason code of the state."),
    "detail": (nullable(TEXT), "The human-readable outcome of the check that led to it."),
    "node": (
        nullable(TEXT),
        "The node that has reported it. It may have stopped since, until another node has checked the monitor.",
    ),
    "checked_at": (nullable(TIME), "The start of that check."),
}

_VOTES: dict[str, Property] = {
    "quorum": (
        {
            "anyOf": [
                {"type": "string", "enum": ["majority", "any", "all"]},
                {"type": "integer", "minimum": 1},
            ]
        },
        "The `quorum` of the configuration.",
    ),
    "voters": (
        INTEGER,
        "The number of votes that count; until `is_settled`, the number of known locations.",
    ),
    "votes_needed": (INTEGER, "The number of votes that a state other than `up` needs."),
    "votes_needed_for_up": (INTEGER, "The number of votes that `up` needs."),
    "is_settled": (FLAG, "Whether the set of live locations has been the same for a few seconds."),
    "is_alone": (FLAG, "Whether this node decides alone, because it cannot reach the database."),
    "is_checked_here": (
        FLAG,
        "Whether this node checks the monitor. Otherwise another node of its location does, and `last_result` is old.",
    ),
    "locations": (listed(made_of(_LOCATION)), "The locations that are to check the monitor, sorted by name."),
}

_BRIEF: dict[str, Property] = {
    "name": (TEXT, "The name of the monitor."),
    "title": (TEXT, "The human-readable name of the monitor; empty if it is not set."),
    "type": (TEXT, "The type of the monitor."),
    "source": (nullable(TEXT), "The source that provides the monitor; null if it is configured."),
    "state": (STATE, "The current state."),
    "since": (nullable(TIME), "The time at which the monitor entered this state; null if unknown."),
    "is_flapping": (FLAG, "Whether the monitor is flapping."),
    "maintenance_window": (nullable(TEXT), "The name of the open maintenance window."),
    "maintenance_until": (nullable(TIME), "The end of the open maintenance window; null if it has none."),
    "silenced_until": (nullable(TIME), "The end of the silence that ends last."),
    "paused_by": (nullable(TEXT), "The user who has paused the monitor."),
    "incident_id": (nullable(TEXT), "The identifier of the open incident."),
    "acknowledged_by": (nullable(TEXT), "The user who has acknowledged the open incident."),
    "soft_failures": (
        INTEGER,
        "The number of consecutive failures that are not confirmed yet; 0 while the monitor is down.",
    ),
    "tags": (listed(TEXT), "The tags of the monitor."),
    "cluster": (
        nullable(ref("Votes")),
        "The votes of the locations of a cluster; null if the monitor belongs to this host, or there is no cluster.",
    ),
    "last_result": (nullable(ref("Result")), "The last result; null before the first check."),
}

_CONTEXT: dict[str, Property] = {
    "title": (TEXT, "The human-readable name of the monitor; empty if it is not set."),
    "description": (TEXT, "The description of the monitor; empty if it is not set."),
    "runbook": (TEXT, "The URL of the instructions for a failure; empty if it is not set."),
    "contact": (TEXT, "The person or team that is responsible; empty if it is not set."),
    "severity": (SEVERITY, "The severity of notifications while the monitor is down."),
}

_DETAIL: dict[str, Property] = {
    **_BRIEF,
    **_CONTEXT,
    "passed_at": (nullable(TIME), "The start of the last check that passed; null if there was none."),
    "check_every_s": (NUMBER, "The interval between checks."),
    "timeout_s": (NUMBER, "The time limit of a check."),
    "fail_after": (INTEGER, "The number of consecutive failures after which the monitor is down."),
    "retry_every_s": (NUMBER, "The interval between checks while a failure is not confirmed."),
    "recover_after": (
        INTEGER,
        "The number of consecutive passes after which the monitor is up again. While it is down or unreachable, "
        "warnings count as passes.",
    ),
    "degrade_after": (INTEGER, "The number of consecutive warnings after which the monitor is degraded."),
    "depends_on": (
        listed(TEXT),
        "The parents. If one of them is down or unreachable, the monitor becomes unreachable instead of down.",
    ),
    "depends_on_any": (
        listed(TEXT),
        "The alternative parents. If all of them are down or unreachable, the monitor becomes unreachable instead of "
        "down.",
    ),
    "up_when": (listed(TEXT), "The conditions under which a check passes. Secrets are masked."),
    "degraded_when": (
        listed(TEXT),
        "The conditions under which a check ends with a warning. Secrets are masked.",
    ),
    "is_checking": (FLAG, "Whether a check is running."),
    "is_queued_for_slot": (FLAG, "Whether a check is queued for a slot."),
    "next_check_in_s": (
        nullable(NUMBER),
        "The time until the next scheduled check; negative if it is overdue, null while the monitor is paused or "
        "another node checks it.",
    ),
    "next_check_at": (
        nullable(TIME),
        "The time of the next scheduled check; null while the monitor is paused or another node checks it.",
    ),
    "skipped_checks": (INTEGER, f"The number of s{_SKIPPED_CHECKS}"),
    "units": (
        by_name({"type": "string", "enum": ["seconds", "bytes"]}),
        "The units of fields by field name, for fields that have one.",
    ),
    "objective": (
        nullable(made_of(_OBJECTIVE)),
        "The objective that the monitor has, or that it evaluates (type `objective`); null if there is none.",
    ),
}

_STATUS: dict[str, Property] = {
    "state": (
        {"type": "string", "enum": ["starting", "running", "reloading", "stopping"]},
        "The state of the daemon.",
    ),
    "worst_state": (STATE, "The worst state of all monitors."),
    "version": (TEXT, "The version of the daemon."),
    "pid": (INTEGER, "The process identifier of the daemon."),
    "started_at": (TIME, "The start of the daemon."),
    "uptime_s": (NUMBER, "The time since the start of the daemon."),
    "monitors": (
        made_of(
            {
                "total": (INTEGER, "All monitors."),
                **{state.value: (INTEGER, f"Monitors in the state `{state.value}`.") for state in State},
            }
        ),
        "The number of monitors by state.",
    ),
    "checks": (
        made_of(
            {
                "total": (INTEGER, "Checks started since the start of the daemon."),
                "in_flight": (INTEGER, "Running checks."),
                "queued_for_slot": (INTEGER, "Checks queued for a slot."),
                "skipped": (INTEGER, f"S{_SKIPPED_CHECKS}"),
                "abandoned": (INTEGER, "Checks that did not end after cancellation."),
                "lateness_s": (
                    made_of(
                        {
                            "p50": (NUMBER, "The median."),
                            "p99": (NUMBER, "The 99th percentile."),
                            "max": (NUMBER, "The maximum."),
                        }
                    ),
                    "Start times of checks minus their scheduled times, since the start of the daemon.",
                ),
            }
        ),
        "The numbers of checks.",
    ),
    "event_loop": (
        made_of(
            {
                "stalls": (INTEGER, "Stalls since the start of the daemon."),
                "max_lag_s": (NUMBER, "The duration of the longest stall."),
            }
        ),
        "Stalls of the event loop, in which no check could start.",
    ),
    "history": (
        made_of(
            {
                "queued": (INTEGER, "Rows queued to be written."),
                "written": (INTEGER, "Rows written."),
                "dropped": (INTEGER, "Rows dropped because the storage was unavailable or too slow."),
                "error": (nullable(TEXT), "The reason why the history cannot be written; null if it can."),
                "failing_since": (
                    nullable(TIME),
                    "The time of the first failed write; null if the last write succeeded.",
                ),
                "last_commit_at": (nullable(TIME), "The time of the last commit."),
                "max_commit_s": (NUMBER, "The duration of the longest commit."),
                "size_bytes": (INTEGER, "The size of the database."),
                "resets": (
                    INTEGER,
                    "The number of new databases created because one was damaged or missing.",
                ),
                "reset_at": (nullable(TIME), "The time at which the last of them was created."),
                "reset_reason": (nullable(TEXT), "The reason for it."),
            }
        ),
        "The state of the history.",
    ),
    "notifiers": (listed(ref("Notifier")), "The configured notifiers."),
    "cluster": (
        nullable(
            made_of(
                {
                    "is_connected": (
                        FLAG,
                        "Whether the database, or for an agent a hub, has accepted the last heartbeat of this node.",
                    ),
                    "error": (nullable(TEXT), "The reason why it has not; null if it has."),
                    "disconnected_since": (
                        nullable(TIME),
                        "The time since which this node is not connected; null if it is, or has never been.",
                    ),
                    "alone_since": (
                        nullable(TIME),
                        "The time since which this node decides alone; null if it does not.",
                    ),
                    "is_agent": (FLAG, "Whether this node is an agent."),
                }
            )
        ),
        "The connection of this node to its cluster; null without a cluster.",
    ),
    "sources": (listed(ref("MonitorSource")), "The sources of automatic monitors."),
    "memory_peak_bytes": (INTEGER, "The maximum resident set size of the daemon."),
    "reload": (ref("Reload"), "The outcome of the last reload."),
}

_CLUSTER: dict[str, Property] = {
    "node": (TEXT, "The name of this node."),
    "location": (TEXT, "The location of this node."),
    "is_settled": _VOTES["is_settled"],
    "alone_since": (
        nullable(TIME),
        "The time at which this node began to decide alone, because it cannot reach the database; null if it does not.",
    ),
    "shared_monitors": (INTEGER, "The number of monitors that the nodes share."),
    "nodes": (
        listed(
            made_of(
                {
                    "name": (TEXT, "The name of the node."),
                    "location": (TEXT, "The location of the node."),
                    "status": (
                        {"type": "string", "enum": list(NODE_STATUSES)},
                        "Whether it is live, or does not have a result of each of its monitors yet (`starting`), or "
                        "has sent no heartbeat in the last 10 seconds (`not_responding`).",
                    ),
                    "role": (
                        {"type": "string", "enum": [role.value for role in Role]},
                        "Whether it uses the database (`node`), or reports to such a node and only checks (`agent`).",
                    ),
                    "shares_checks": (
                        FLAG,
                        "Whether it takes part in the checks of its location; false for an agent without shared "
                        "monitors.",
                    ),
                    "is_this_node": (FLAG, "Whether it is the node that responds."),
                    "heartbeat_age_s": (
                        NUMBER,
                        "The time since its last heartbeat, by the clock of the database.",
                    ),
                    "host_monitors": (
                        by_name(INTEGER),
                        "The number of monitors that belong to its host, by state; empty for the node that responds.",
                    ),
                    "version": (TEXT, "Its version of monitord."),
                    "configuration": (TEXT, "A digest of its monitors, routes and notifiers."),
                    "is_configuration_equal": (
                        nullable(FLAG),
                        "Whether this is the digest of this node; null if this node has no heartbeat yet, or if the "
                        "two need not agree: an agent has to agree with the others of its location.",
                    ),
                    "configuration_differences": (
                        nullable(
                            made_of(
                                {
                                    "missing": (
                                        listed(TEXT),
                                        "The keys of sections that only this node has, such as `monitors.web`.",
                                    ),
                                    "added": (
                                        listed(TEXT),
                                        "The keys of sections that only the other node has.",
                                    ),
                                    "changed": (listed(TEXT), "The keys of sections that differ."),
                                    "total": (
                                        INTEGER,
                                        "The number of all differences; only the first may be listed.",
                                    ),
                                }
                            )
                        ),
                        "The differences between its configuration and that of this node; null if they are equal or "
                        "not known.",
                    ),
                    "checked_monitors": (INTEGER, "The number of shared monitors that it checks."),
                    "share_of_location": (
                        nullable(NUMBER),
                        "The ratio of these to all that the live nodes of its location check; null if there are none.",
                    ),
                    "lateness_s": (NUMBER, "The lateness of its checks: the 99th percentile."),
                    "clock_offset_s": (
                        NUMBER,
                        "Its clock minus that of the database, at its last heartbeat.",
                    ),
                    "decision_lag_s": (
                        NUMBER,
                        "The time between the last comparison of all votes with its decisions and its last heartbeat.",
                    ),
                    "is_isolated": (FLAG, "Whether its host has probably lost connectivity."),
                }
            )
        ),
        "The nodes, sorted by location and name.",
    ),
    "locations": (
        listed(
            made_of(
                {
                    "name": (TEXT, "The name of the location."),
                    "is_live": _LOCATION["is_live"],
                    "votes": (by_name(INTEGER), "The number of its votes by state."),
                }
            )
        ),
        "The known locations, sorted by name.",
    ),
    "unknown_locations": (
        listed(
            made_of(
                {
                    "name": (TEXT, "The name of the location."),
                    "monitors": (INTEGER, "The number of shared monitors whose `locations` name it."),
                    "first_monitors": (listed(TEXT), "The names of the first five of these monitors."),
                    "notifiers": (listed(TEXT), "The notifiers whose `locations` name it."),
                }
            )
        ),
        "The locations in the configuration of this node at which there is no node, sorted by name.",
    ),
    "database": (
        made_of(
            {
                "is_available": (
                    FLAG,
                    "Whether the database has responded to the last heartbeat of this node.",
                ),
                "error": (nullable(TEXT), "The reason why it has not responded; null if it has."),
                "unavailable_since": (nullable(TIME), "The time since which it does not respond."),
                "latency_s": (nullable(NUMBER), "The duration of the last heartbeat, one transaction."),
                "server_version": (nullable(TEXT), "The version of PostgreSQL."),
                "schema_version": (nullable(INTEGER), "The version of the tables."),
                "queued_notifications": (
                    nullable(INTEGER),
                    "The number of notifications of the cluster that are not delivered yet.",
                ),
            }
        ),
        "The database, or for an agent its hubs, as this node sees it. A value that is not known is null.",
    ),
    "agent": (
        nullable(
            made_of(
                {
                    "hubs": (
                        listed(
                            made_of(
                                {
                                    "url": (TEXT, "The address of the hub."),
                                    "is_current": (FLAG, "Whether reports are sent to it."),
                                    "error": (
                                        nullable(TEXT),
                                        "The reason why it has not stored the last report that was sent to it.",
                                    ),
                                }
                            )
                        ),
                        "The hubs in the order of the configuration.",
                    ),
                    "acknowledged": (
                        INTEGER,
                        "The number of the last report that is stored; 0 before the first.",
                    ),
                    "acknowledged_at": (nullable(TIME), "The time at which a hub has acknowledged it."),
                    "spooled_votes": (INTEGER, "The number of changed votes that are not acknowledged yet."),
                    "spooled_heartbeats": (
                        INTEGER,
                        "The number of monitors with heartbeats of jobs that are not acknowledged yet.",
                    ),
                }
            )
        ),
        "The reports of this agent; null for a node with the database.",
    ),
    "reports": (
        made_of(
            {
                "stored": (INTEGER, "The number of reports that were stored."),
                "repeated": (INTEGER, "The number of reports that were stored before."),
                "rejected": (
                    INTEGER,
                    "The number of reports that were not stored, because of the database or the name of the agent.",
                ),
            }
        ),
        "The reports of agents that this node has received since its start.",
    ),
    "decisions": (INTEGER, "The number of decisions that this node has made since its start."),
    "decisions_lost": (INTEGER, "The number of decisions that another node has made at the same time."),
    "notifications_claimed": (
        INTEGER,
        "The number of notifications that this node has claimed for delivery since its start.",
    ),
}

_ALERTS: Json = {"type": "object", "additionalProperties": {"type": ["object", "null"]}}
_VOTE: dict[str, Property] = {
    "monitor": ({"type": "string", "minLength": 1, "maxLength": MAX_MONITOR_CHARACTERS}, "The monitor."),
    "state": (STATE, "Its state at the location."),
    "since": (TIME, "The time at which it entered this state, by the clock of the agent."),
    "reason": (TEXT, "The reason code of the state."),
    "detail": ({"type": "string", "maxLength": MAX_REPORTED_CHARACTERS}, "The outcome of the check."),
    "excerpt": ({"type": "string", "maxLength": MAX_REPORTED_CHARACTERS}, "The beginning of the response."),
    "checked_at": (TIME, "The start of the check."),
}
_HOST_MONITOR: dict[str, Property] = {
    "monitor": _VOTE["monitor"],
    "type": ({"type": "string", "maxLength": MAX_MONITOR_CHARACTERS}, "Its type."),
    "tags": (
        {
            "type": "array",
            "maxItems": MAX_TAGS,
            "items": {"type": "string", "maxLength": MAX_MONITOR_CHARACTERS},
        },
        "Its tags.",
    ),
    "state": (nullable(STATE), "Its state; null if it has been removed."),
    "since": (nullable(TIME), "The time at which it entered this state."),
    "reason": _VOTE["reason"],
    "detail": _VOTE["detail"],
    "acknowledged_by": (
        {"type": ["string", "null"], "maxLength": MAX_REPORTED_CHARACTERS},
        "The user who has acknowledged the open incident.",
    ),
    "maintenance": (
        {"type": ["string", "null"], "maxLength": MAX_REPORTED_CHARACTERS},
        "The name of the open maintenance window.",
    ),
}
_NAME: Json = {"type": "string", "minLength": 1, "maxLength": MAX_LOCATION_CHARACTERS}
_RUN = nullable({"type": "string", "minLength": 1, "maxLength": MAX_RUN_ID_CHARACTERS})
_RECEIVED_START: dict[str, Property] = {
    "at": (TIME, "The time at which the agent has received it."),
    "run": (_RUN, "The identifier of the run, if the job has sent it."),
}
_RECEIVED_END: dict[str, Property] = {
    "at": _RECEIVED_START["at"],
    "signal": ({"type": "string", "enum": ["success", "fail"]}, "The signal."),
    "exit_status": (
        nullable({"type": "integer", "minimum": 0, "maximum": MAX_EXIT_STATUS}),
        "The exit status, if the job has sent it.",
    ),
    "run": _RECEIVED_START["run"],
}
_RECEIVED_HEARTBEAT: dict[str, Property] = {
    "monitor": (
        {"type": "string", "minLength": 1, "maxLength": MAX_MONITOR_CHARACTERS},
        "The name of the monitor.",
    ),
    "last_signal_at": (TIME, "The time of the last signal, by the clock of the agent."),
    "starts": (
        {
            "type": "array",
            "maxItems": MAX_SIGNALS,
            "items": {**optional(_RECEIVED_START), "required": list(_RECEIVED_START)},
        },
        "The newest starts.",
    ),
    "ends": (
        {
            "type": "array",
            "maxItems": MAX_SIGNALS,
            "items": {**optional(_RECEIVED_END), "required": list(_RECEIVED_END)},
        },
        "The newest successes and failures.",
    ),
    "succeeded_at": (nullable(TIME), "The time of the last success."),
    "message_at": (nullable(TIME), "The time of the message."),
    "message": (nullable({"type": "string", "maxLength": MAX_MESSAGE_BYTES}), "The last message."),
}

_NEW_REPORT: dict[str, Property] = {
    "node": (_NAME, "The name of the agent."),
    "location": (_NAME, "The location of the agent."),
    "run": (
        {"type": "string", "minLength": 1, "maxLength": MAX_RUN_CHARACTERS},
        "The identifier of this run of the agent.",
    ),
    "number": (
        {"type": "integer", "minimum": 1, "maximum": MAX_NUMBER},
        "The number of the report in this run, from 1.",
    ),
    "is_complete": (
        FLAG,
        "Whether the agent has no other votes to report, so that this is its heartbeat; true by default.",
    ),
    "sent_at": (TIME, "The current time, by the clock of the agent."),
    "is_ready": (FLAG, "Whether the agent has a result of each of its monitors, so that its votes count."),
    "version": ({"type": "string", "maxLength": MAX_REPORTED_CHARACTERS}, "Its version of monitord."),
    "configuration": ({"type": "string", "maxLength": MAX_REPORTED_CHARACTERS}, "A digest of its monitors."),
    "lateness_s": (
        {"type": "number", "minimum": -MAX_NUMBER, "maximum": MAX_NUMBER},
        "The lateness of its checks.",
    ),
    "checked_monitors": (
        {"type": "integer", "minimum": 0, "maximum": MAX_CHECKED_MONITORS},
        "The number of shared monitors that it checks.",
    ),
    "shares_checks": (
        FLAG,
        "Whether it takes part in the checks of its location; true by default.",
    ),
    "follows_decisions": (FLAG, "Whether it gets decisions and votes; by default if it shares checks."),
    "is_isolated": (FLAG, "Whether its host has probably lost connectivity; false by default."),
    "votes": (
        {
            "type": "array",
            "maxItems": MAX_REPORTED_ITEMS,
            "items": {**optional(_VOTE), "required": list(_VOTE)},
        },
        "The votes that have changed since the last acknowledged report.",
    ),
    "changes": (
        {
            **optional(
                {
                    "hub": (
                        {"type": "string", "minLength": 1, "maxLength": MAX_RUN_CHARACTERS},
                        "The `changes.hub` of that response.",
                    ),
                    "number": (
                        {"type": "integer", "minimum": 0, "maximum": MAX_NUMBER},
                        "The `changes.number` of that response.",
                    ),
                }
            ),
            "required": ["hub", "number"],
        },
        "The position of the last response: the next response contains later changes only. Without it: all changes.",
    ),
    "host_monitors": (
        {
            "type": "array",
            "maxItems": MAX_REPORTED_ITEMS,
            "items": {**optional(_HOST_MONITOR), "required": list(_HOST_MONITOR)},
        },
        "The monitors that belong to the host of the agent and have changed.",
    ),
    "host_names": (
        {
            "type": "array",
            "maxItems": MAX_HOST_NAMES,
            "items": {"type": "string", "maxLength": MAX_MONITOR_CHARACTERS},
        },
        "The names of all monitors of the host; monitors that are not listed have been removed.",
    ),
    "heartbeats": (
        {
            "type": "array",
            "maxItems": MAX_REPORTED_ITEMS,
            "items": {**optional(_RECEIVED_HEARTBEAT), "required": list(_RECEIVED_HEARTBEAT)},
        },
        "The heartbeats of jobs that the agent has received since the last acknowledged report, by monitor.",
    ),
    "alerts": (
        _ALERTS,
        "Alerts that have changed in alone mode, by monitor; null for an alert that has ended.",
    ),
}
_REPORT_ANSWER: dict[str, Property] = {
    "acknowledged": (INTEGER, "The number of the last report of the run that is stored."),
    "was_stale": (
        FLAG,
        "Whether the previous heartbeat was older than 10 seconds, so that votes of live nodes were kept.",
    ),
    "nodes": (
        listed(
            made_of(
                {
                    "name": (TEXT, "The name of the node."),
                    "location": (TEXT, "Its location."),
                    "role": ({"type": "string", "enum": [role.value for role in Role]}, "`node` or `agent`."),
                    "is_ready": (FLAG, "Whether its votes count while its heartbeat is recent."),
                    "version": (TEXT, "Its version of monitord."),
                    "configuration": (TEXT, "A digest of its monitors."),
                    "lateness_s": (NUMBER, "The lateness of its checks."),
                    "checked_monitors": (INTEGER, "The number of shared monitors that it checks."),
                    "shares_checks": (FLAG, "Whether it takes part in the checks of its location."),
                    "seen_ago_s": (NUMBER, "The time since its last heartbeat."),
                    "clock_offset_s": (NUMBER, "Its clock minus that of the database."),
                    "decision_lag_s": (
                        NUMBER,
                        "The time since it compared all votes with its decisions; 0 for an agent.",
                    ),
                    "is_isolated": (FLAG, "Whether its host has probably lost connectivity."),
                }
            )
        ),
        "The nodes, and the agents that check shared monitors.",
    ),
    "changes": (
        made_of(
            {
                "hub": (TEXT, "The run of the hub, for which `number` is valid."),
                "number": (INTEGER, "The number of the last of these changes."),
                "is_last": (FLAG, "Whether there are no further changes."),
                "decisions": (
                    listed({"type": "object"}),
                    "The states that result from the votes, with the records of the alerts.",
                ),
                "votes": (listed({"type": "object"}), "Votes of all locations."),
                "interventions": (
                    listed({"type": "object"}),
                    "Pauses, acknowledgements and silences; an entry without a record has ended.",
                ),
            }
        ),
        "The changes in the cluster.",
    ),
    "alerts": (nullable(_ALERTS), "The results of merging `alerts`; null without them."),
}

_SHOWN_HOST_MONITOR: dict[str, Property] = {
    "name": (TEXT, "The name on the other nodes: `HOST/NAME`."),
    "host": (TEXT, "The node whose host it belongs to."),
    "location": (TEXT, "The location of this node."),
    "monitor": (TEXT, "The name on its own host."),
    "type": _BRIEF["type"],
    "tags": _BRIEF["tags"],
    "state": (
        STATE,
        "The state, which is `unknown` if its node has sent no heartbeat in the last 10 seconds, or if the node that "
        "responds is not connected to the cluster.",
    ),
    "since": (
        nullable(TIME),
        "The time at which it entered this state. If its node does not respond, the time of its last heartbeat.",
    ),
    "reason": (
        TEXT,
        "The reason: that of the result that has changed the state, `node_lost` or `prober_disconnected`.",
    ),
    "detail": (TEXT, "The reason, human-readable."),
    "reported_state": (STATE, "The state that its node has reported last."),
    "age_s": (NUMBER, "The age of the information: that of the last heartbeat of its node."),
    "acknowledged_by": _BRIEF["acknowledged_by"],
    "maintenance_window": _BRIEF["maintenance_window"],
}

_STATE_SECONDS = made_of({state.value: (NUMBER, f"Seconds in the state `{state.value}`.") for state in State})
_UPTIME: dict[str, Property] = {
    "ratio": (
        nullable(NUMBER),
        "The time up or degraded divided by `covered_s`; null if the monitor was in none of these states.",
    ),
    "covered_s": (NUMBER, "The time up, degraded or down."),
    "seconds": (_STATE_SECONDS, "The time in each state, without maintenance."),
    "maintenance_s": (NUMBER, "The time in maintenance windows."),
}
_SUMMARY: dict[str, Property] = {
    "checks": (
        made_of(
            {verdict.value: (INTEGER, f"Checks with the verdict `{verdict.value}`.") for verdict in Verdict}
        ),
        "The number of checks by verdict.",
    ),
    "response_time_s": (
        made_of(
            {
                "count": (INTEGER, "The number of checks with a response."),
                "min": (nullable(NUMBER), "The shortest response time."),
                "mean": (nullable(NUMBER), "The mean response time."),
                "max": (nullable(NUMBER), "The longest response time."),
                "p50": (nullable(NUMBER), "The median."),
                "p95": (nullable(NUMBER), "The 95th percentile."),
                "p99": (nullable(NUMBER), "The 99th percentile."),
            }
        ),
        "Response times; null without a response.",
    ),
    "phases_s": (by_name(NUMBER), "The mean duration of each phase by name."),
}

_INCIDENT: dict[str, Property] = {
    "id": (TEXT, "The identifier of the incident."),
    "monitor": (TEXT, "The name of the monitor."),
    "opened_at": (TIME, "The start of the incident."),
    "closed_at": (nullable(TIME), "The end of the incident; null while it is open."),
    "reason": (REASON, "The reason code of the failure that opened the incident."),
    "detail": (TEXT, "The human-readable outcome and subject of that failure."),
    "acknowledged_by": (nullable(TEXT), "The user who has acknowledged the incident."),
    "acknowledged_at": (nullable(TIME), "The time of the acknowledgement."),
    "comment": (nullable(TEXT), "The comment of the acknowledgement."),
}

_RANGE: dict[str, Property] = {
    "monitor": (TEXT, "The name of the monitor."),
    "from": (TIME, "The start of the range."),
    "to": (TIME, "The end of the range."),
}
_BY: Property = (
    TEXT,
    "The user who made the request, as reported by the kernel; for a request with a token, its name and the client's "
    "address; for a user of a reverse proxy, the name from `user_header`.",
)
_BRIEFS: Property = (listed(ref("MonitorBrief")), "The selected monitors after the change.")
_SKIPPED: Property = (
    listed(ref("Skipped")),
    "Monitors selected by `patterns` or `tags` for which the action was not possible.",
)
_NEXT_BEFORE: Property = (
    nullable(TIME),
    "The value of `before` for the next page; null on the last page.",
)

_EXPLANATION: dict[str, Property] = {
    "name": _BRIEF["name"],
    "type": _BRIEF["type"],
    **_CONTEXT,
    "source": _BRIEF["source"],
    "state": _BRIEF["state"],
    "since": _BRIEF["since"],
    "last_result": _BRIEF["last_result"],
    "decided_by": (
        nullable(
            made_of(
                {
                    "kind": (
                        {"type": "string", "enum": [decider.value for decider in VerdictRule]},
                        "The rule that determined the verdict.",
                    ),
                    "conditions": (
                        listed(TEXT),
                        "The deciding conditions, each with the values that were compared.",
                    ),
                    "detail": (TEXT, "The rule in a human-readable form."),
                }
            )
        ),
        "The rule that determined the last verdict; null before the first check.",
    ),
    "cause": (
        nullable(
            made_of(
                {
                    "kind": ({"type": "string", "enum": list(CAUSES)}, "The kind of the cause."),
                    "parents": (nullable(listed(TEXT)), "The parents that are the cause."),
                    "reason": (nullable(TEXT), "The reason code of the inconclusive result."),
                    "since": (nullable(TIME), "The time of the last conclusive check."),
                    "failures": (nullable(INTEGER), "The number of consecutive failures."),
                    "fail_after": (nullable(INTEGER), "The number after which the monitor is down."),
                }
            )
        ),
        "The cause of a state that the verdicts do not explain. `kind` determines which other properties are set.",
    ),
    "streak": (
        nullable(
            made_of(
                {
                    "verdict": (VERDICT, "The verdict of the streak."),
                    "length": (INTEGER, "The number of consecutive checks with this verdict."),
                    "since": (nullable(TIME), "The start of the streak."),
                    "needed": (
                        nullable(INTEGER),
                        "The length at which the state changes; null if the monitor is already in that state.",
                    ),
                    "leads_to": (nullable(STATE), "The state at that length."),
                }
            )
        ),
        "The current streak of equal verdicts; null before the first conclusive check.",
    ),
    "flapping": (
        made_of(
            {
                "is_flapping": (FLAG, "Whether the monitor is flapping."),
                "change_percent": (
                    NUMBER,
                    "The weighted share of the last 20 conclusive results that differ from the previous result, in "
                    "percent.",
                ),
            }
        ),
        "The detection of flapping.",
    ),
    "cluster": _BRIEF["cluster"],
    "parents": (
        listed(
            made_of(
                {
                    "name": (TEXT, "The name of the parent."),
                    "state": (nullable(STATE), "The state of the parent; null if it is not configured."),
                    "effect": (
                        {"type": "string", "enum": list(PARENT_EFFECTS.values())},
                        "The effect on failures of this monitor: `none`; `not_confirmed`: they are not confirmed; "
                        "`unreachable`: the monitor becomes unreachable instead of down.",
                    ),
                    "is_alternative": (FLAG, "Whether the parent is one of `depends_on_any`."),
                }
            )
        ),
        "The parents of the monitor.",
    ),
    "is_isolated": (FLAG, "Whether this host is isolated."),
    "is_isolation_suspected": (
        FLAG,
        "Whether this host may be isolated; failures are not confirmed during this time.",
    ),
    "maintenance_window": _BRIEF["maintenance_window"],
    "maintenance_until": _BRIEF["maintenance_until"],
    "maintenance_comment": (nullable(TEXT), "The comment of the open maintenance window."),
    "silence": (
        nullable(
            made_of(
                {
                    "id": (TEXT, "The identifier of the silence."),
                    "until": (TIME, "The end of the silence."),
                    "by": (TEXT, "The user who has created the silence."),
                    "comment": (nullable(TEXT), "The comment of the silence."),
                }
            )
        ),
        "The silence of the monitor that ends last.",
    ),
    "pause": (
        nullable(
            made_of(
                {
                    "by": (TEXT, "The user who has paused the monitor."),
                    "at": (TIME, "The time of the pause."),
                    "comment": (nullable(TEXT), "The comment of the pause."),
                }
            )
        ),
        "The pause of the monitor.",
    ),
    "incident": (
        nullable(
            made_of(
                {name: schema for name, schema in _INCIDENT.items() if name not in {"monitor", "closed_at"}}
            )
        ),
        "The open incident.",
    ),
    "notifiers": (
        listed(
            made_of(
                {
                    "name": (TEXT, "The name of the notifier."),
                    "failing_since": (
                        nullable(TIME),
                        "The time of the first failed delivery; null if the last delivery succeeded.",
                    ),
                    "error": (nullable(TEXT), "The error of the last attempt; null if it was successful."),
                    "decision": (
                        made_of(
                            {
                                "kind": (
                                    {"type": "string", "enum": list(DECISIONS)},
                                    "The kind of the decision.",
                                ),
                                "is_notified": (
                                    FLAG,
                                    "Whether the notifier has been notified of the current state.",
                                ),
                                "at": (nullable(TIME), "The time of the notification of the current state."),
                                "after_s": (nullable(NUMBER), "The delay of the route."),
                                "state": (nullable(STATE), "The state for which no notification is sent."),
                                "suppression": (
                                    nullable(
                                        made_of(
                                            {
                                                "reason": (
                                                    {
                                                        "type": "string",
                                                        "enum": [
                                                            reason.name.lower()
                                                            for reason in SuppressionReason
                                                        ],
                                                    },
                                                    "The suppression reason.",
                                                ),
                                                "maintenance_window": (
                                                    nullable(TEXT),
                                                    "The name of the maintenance window.",
                                                ),
                                                "by": (
                                                    nullable(TEXT),
                                                    "The user who has created the silence or acknowledged the "
                                                    "incident.",
                                                ),
                                                "until": (nullable(TIME), "The end of the silence."),
                                            }
                                        )
                                    ),
                                    "The suppression of notifications.",
                                ),
                            }
                        ),
                        "Why the notifier is or is not notified now. `kind` determines which other properties are set.",
                    ),
                    "last_notification": (
                        nullable(
                            made_of(
                                {
                                    "title": (TEXT, "The title of the notification."),
                                    "at": (TIME, "The time at which the notification was created."),
                                    "status": (DELIVERY_STATUS, "The delivery status of the notification."),
                                    "delivered_by": (
                                        TEXT,
                                        "The notifier that delivers the notification; after a failure, the fallback.",
                                    ),
                                    "response": (
                                        TEXT,
                                        "The response of the receiver, or the error of the last attempt; may be empty.",
                                    ),
                                }
                            )
                        ),
                        "The last notification of the notifier about this monitor; null if there is none.",
                    ),
                }
            )
        ),
        "The decision for each notifier.",
    ),
    "next": (
        made_of(
            {
                "status": (
                    {
                        "type": "string",
                        "enum": [
                            "scheduled",
                            "running",
                            "queued",
                            "paused",
                            "at_other_node",
                            "at_other_locations",
                        ],
                    },
                    "Whether the next check is scheduled, already running or queued for a slot, stopped by a pause, or "
                    "made by another node at this location.",
                ),
                "at": (nullable(TIME), "The time of a scheduled check."),
                "in_s": (nullable(NUMBER), "The time until a scheduled check."),
                "interval": (
                    nullable(TEXT),
                    "The setting that determines it: `check_every` or `retry_every`.",
                ),
                "interval_s": (nullable(NUMBER), "The value of that setting."),
            }
        ),
        "The next check.",
    ),
    "sentences": (listed(TEXT), "The explanation in sentences, the most important first."),
}

_PERIOD: Json = made_of(
    {
        "kind": ({"type": "string", "enum": ["month", "week", "range"]}, "The kind of the period."),
        "name": (TEXT, "The human-readable period, such as `2026-10` or `2026-W44`."),
        "from": (TIME, "The start of the period."),
        "to": (TIME, "The end of the period."),
        "time_zone": (nullable(TEXT), "The requested time zone; null for that of the daemon."),
    }
)
_FIGURES: dict[str, Property] = {
    "uptime": (ref("Uptime"), "The time in each state, summed over the monitors."),
    "incidents": (
        INTEGER,
        "The number of incidents in the period, excluding incidents that were open only during maintenance.",
    ),
}
_PERCENTILES: Json = nullable(
    made_of(
        {
            name: (NUMBER, f"The {words}.")
            for name, words in {
                "p50": "median",
                "p95": "95th percentile",
                "p99": "99th percentile",
            }.items()
        }
    )
)
_RATIO_CHANGE: Property = (
    nullable(NUMBER),
    "The uptime ratio minus that of the previous period; null if either of them is missing.",
)
_REPORT: dict[str, Property] = {
    "instance": (TEXT, "The name of the monitoring host."),
    "period": (_PERIOD, "The period of the report."),
    "previous_period": (_PERIOD, "The period with which the report compares its figures."),
    "created_at": (TIME, "The time of the report."),
    "until": (TIME, "The end of the data; before `to` of a period that has not ended."),
    "is_complete": (FLAG, "Whether the period has ended."),
    "total": (made_of(_FIGURES), "All selected monitors together."),
    "previous": (made_of(_FIGURES), "All selected monitors together in the previous period."),
    "uptime_ratio_change": _RATIO_CHANGE,
    "coverage": (
        nullable(NUMBER),
        "The share of the time, excluding maintenance, during which the monitors were up, degraded or down; null "
        "without monitors.",
    ),
    "monitors": (
        listed(
            made_of(
                {
                    "name": (TEXT, "The name of the monitor."),
                    "title": (TEXT, "The title of the monitor; empty if it has none."),
                    **_FIGURES,
                    "previous": (made_of(_FIGURES), "The figures of the previous period."),
                    "uptime_ratio_change": _RATIO_CHANGE,
                    "is_new": (FLAG, "Whether there is no data for the previous period."),
                    "checks": _SUMMARY["checks"],
                    "response_time_s": (_PERCENTILES, "The response times; null if there are none."),
                    "previous_response_time_s": (
                        _PERCENTILES,
                        "The response times in the previous period; null if there are none.",
                    ),
                    "p95_change_ratio": (
                        nullable(NUMBER),
                        "The change of the 95th percentile relative to the previous period: 0.1 is 10 % slower.",
                    ),
                }
            )
        ),
        "The monitors with the lowest uptime first, at most `max_monitors`.",
    ),
    "monitor_count": (INTEGER, "The number of selected monitors."),
    "objectives": (
        listed(
            made_of(
                {
                    "monitor": (TEXT, "The monitor that evaluates the objective."),
                    "title": (TEXT, "The title of this monitor; empty if it has none."),
                    "target_percent": (NUMBER, "The target: the percentage of good time."),
                    "ratio": (nullable(NUMBER), "The share of good time in the period; null without data."),
                    "error_budget_left_ratio": (
                        nullable(NUMBER),
                        "The share of the error budget of the period that is left; negative if the objective is "
                        "missed, null without data.",
                    ),
                    "error_budget_left_s": (nullable(NUMBER), "The error budget that is left as a duration."),
                }
            )
        ),
        "The objectives of the selected monitors in the period, the smallest error budget first; at most 100.",
    ),
    "objective_count": (INTEGER, "The total number of objectives."),
    "new_count": (INTEGER, "The number of selected monitors without data for the previous period."),
    "incidents": (
        listed(
            made_of(
                {
                    **_INCIDENT,
                    "duration_s": (NUMBER, "The duration within the period, excluding maintenance."),
                    "is_ongoing": (FLAG, "Whether the incident was open at the end of the data."),
                }
            )
        ),
        "The incidents, oldest first. If there are more than 200, only the longest 200 are listed.",
    ),
    "maintenance_periods": (
        listed(
            made_of(
                {
                    "from": (TIME, "The start."),
                    "to": (TIME, "The end."),
                    "monitors": (listed(TEXT), "The names of the monitors."),
                }
            )
        ),
        "The maintenance periods within the period of the report, oldest first, at most 100.",
    ),
    "maintenance_count": (
        INTEGER,
        "The total number of maintenance periods, including periods that are not listed.",
    ),
}

SCHEMAS: dict[str, Json] = {
    "Problem": {
        "type": "object",
        "description": "An error (RFC 9457).",
        "required": ["type", "title", "status"],
        "properties": described(
            {
                "type": (TEXT, "Always `about:blank`."),
                "title": (TEXT, "The reason phrase of the status code."),
                "status": (INTEGER, "The status code."),
                "detail": (TEXT, "The problem and a correction, human-readable."),
                "errors": (listed(ref("InputError")), "Each error in the query or the body."),
            }
        ),
    },
    "InputError": made_of(
        {
            "parameter": (TEXT, "The parameter, or the key in the body."),
            "problem": (TEXT, "The problem, human-readable."),
            "hint": (TEXT, "A correction, human-readable; may be empty."),
        }
    ),
    "Status": made_of(_STATUS),
    "Reload": made_of(
        {
            "status": (
                {"type": ["string", "null"], "enum": ["applied", "rejected", None]},
                "Whether the configuration was applied or rejected; null before the first reload.",
            ),
            "at": (nullable(TIME), "The time of the reload; null before the first reload."),
            "summary": (nullable(TEXT), "The outcome in one human-readable line."),
            "error": (nullable(TEXT), "All errors of a rejected configuration, one in each line."),
            "warnings": (listed(TEXT), "Valid settings that cannot work on this host."),
        }
    ),
    "Cluster": made_of(_CLUSTER),
    "NewReport": {**optional(_NEW_REPORT), "required": list(REQUIRED_KEYS)},
    "ReportAnswer": made_of(_REPORT_ANSWER),
    "HostMonitors": made_of(
        {"monitors": (listed(ref("HostMonitor")), "The monitors of the other hosts, the worst first.")}
    ),
    "HostMonitor": made_of(_SHOWN_HOST_MONITOR),
    "Votes": made_of(_VOTES),
    "Result": made_of(_RESULT),
    "MonitorBrief": made_of(_BRIEF),
    "Monitor": made_of(
        {
            **_DETAIL,
            "uptime": (
                nullable(
                    made_of(
                        {
                            name: (ref("Uptime"), f"The last {words}.")
                            for name, words in {
                                "1h": "hour",
                                "24h": "24 hours",
                                "7d": "7 days",
                                "30d": "30 days",
                                "90d": "90 days",
                            }.items()
                        }
                    )
                ),
                "The uptime by time range; null if the history cannot be read.",
            ),
            "summary_24h": (
                nullable(ref("Summary")),
                "The checks of the last 24 hours; null if the history cannot be read.",
            ),
        }
    ),
    "Uptime": made_of(_UPTIME),
    "UptimeOfRange": made_of({**_RANGE, **_UPTIME}),
    "Summary": made_of(_SUMMARY),
    "Series": made_of(
        {
            **_RANGE,
            "step_s": (nullable(NUMBER), "The length of a bucket; null if there are no buckets."),
            "buckets": (listed(ref("Bucket")), "The buckets, oldest first."),
            "total": (ref("Summary"), "All buckets together."),
        }
    ),
    "Bucket": made_of(
        {
            "from": (TIME, "The start of the bucket."),
            "seconds": _UPTIME["seconds"],
            "maintenance_s": _UPTIME["maintenance_s"],
            **_SUMMARY,
        }
    ),
    "Results": made_of(
        {
            "monitor": (TEXT, "The name of the monitor."),
            "results": (listed(ref("StoredResult")), "The results, newest first."),
            "next_before": _NEXT_BEFORE,
        }
    ),
    "RecentResults": made_of(
        {
            "monitor": (TEXT, "The name of the monitor."),
            "results": (listed(ref("Result")), "The results, newest first."),
        }
    ),
    "StoredResult": made_of(
        {
            "started_at": (TIME, "The start of the check."),
            "verdict": (VERDICT, "The verdict of the check."),
            "state": (STATE, "The state of the monitor after the check."),
            "reason": (REASON, "The code of the reason for the verdict."),
            "response_time_s": (NUMBER, "The response time; without a response, the duration of the check."),
            "phases_s": (by_name(NUMBER), "The duration of each phase by name."),
            "detail": (nullable(TEXT), "The outcome in one human-readable line; null if the check passed."),
        }
    ),
    "Incident": made_of(_INCIDENT),
    "Incidents": made_of(
        {"incidents": (listed(ref("Incident")), "The incidents, newest first."), "next_before": _NEXT_BEFORE}
    ),
    "Monitors": made_of(
        {
            "monitors": (listed(ref("MonitorBrief")), "The monitors of this page, sorted by name."),
            "total": (INTEGER, "The number of monitors that match all filters, on all pages."),
            "next_cursor": (
                nullable(TEXT),
                "The value of `cursor` for the next page; null on the last page.",
            ),
        }
    ),
    "Checked": made_of(
        {
            "by": _BY,
            "result": (ref("Result"), "The result of the check."),
            "monitor": (ref("MonitorBrief"), "The monitor after the check."),
        }
    ),
    "Changed": made_of({"by": _BY, "monitor": (ref("MonitorBrief"), "The monitor after the change.")}),
    "ChangedAll": made_of({"by": _BY, "monitors": _BRIEFS, "skipped_monitors": _SKIPPED}),
    "CheckedAll": made_of(
        {
            "by": _BY,
            "results": (
                listed(
                    made_of(
                        {
                            "name": (TEXT, "The name of the monitor."),
                            "result": (
                                nullable(ref("Result")),
                                "The result; null if the check was not possible.",
                            ),
                            "problem": (nullable(TEXT), "Human-readable: why the check was not possible."),
                        }
                    )
                ),
                "The result of each selected monitor.",
            ),
            "monitors": _BRIEFS,
            "skipped_monitors": _SKIPPED,
        }
    ),
    "Skipped": made_of(
        {
            "name": (TEXT, "The name of the monitor."),
            "problem": (TEXT, "Human-readable: why it was not possible."),
        }
    ),
    "Selection": _selection({}),
    "SelectionAndComment": _selection({"comment": _COMMENT}),
    "Comment": optional({"comment": _COMMENT}),
    "Silence": made_of(
        {
            "id": (TEXT, "The identifier of the silence."),
            "names": (listed(TEXT), "Names of monitors."),
            "patterns": (listed(TEXT), "Patterns for whole names."),
            "tags": (listed(TEXT), "Tags, all of which a monitor must have."),
            "since": (TIME, "The start of the silence."),
            "until": (TIME, "The end of the silence."),
            "by": (TEXT, "The user who has created the silence."),
            "comment": (nullable(TEXT), "The comment of the silence."),
        }
    ),
    "Silences": made_of({"silences": (listed(ref("Silence")), "The silences, sorted by their end.")}),
    "NewSilence": {
        **_selection(
            {
                "until": (MOMENT_SCHEMA, "The end of the silence: RFC 3339, within the next 366 days."),
                "duration_s": (
                    {"type": "number", "exclusiveMinimum": 0, "maximum": LONGEST_SILENCE_S},
                    "The duration of the silence in seconds, at most 366 days.",
                ),
                "comment": _COMMENT,
            }
        ),
        "oneOf": [{"required": ["until"]}, {"required": ["duration_s"]}],
    },
    "Posts": made_of(
        {
            "posts": (listed(ref("Post")), "The posts, the newest first."),
            "pages": (listed(TEXT), "The names of the configured public pages, sorted."),
        }
    ),
    "Post": made_of(
        {
            "id": (TEXT, "The identifier of the post."),
            "page": (TEXT, "The name of the public page."),
            "is_page_configured": (
                FLAG,
                "False if the page has been removed from the configuration: the post is kept, and not published.",
            ),
            "title": (TEXT, "The title of the post."),
            "status": (POST_STATUS, "The status of the last update."),
            "created_at": (TIME, "The time of the first update."),
            "updates": (listed(ref("PostUpdate")), "The updates, the oldest first."),
        }
    ),
    "PostUpdate": made_of(
        {
            "number": (INTEGER, "The number of the update in its post, from 1 for the oldest."),
            "at": (TIME, "The time of the update."),
            "status": (POST_STATUS, "The status of the post as of this update."),
            "text": (TEXT, "The text, whose lines are separated by newlines."),
            "author": (TEXT, "The user who has added the update. It is not published."),
            "edited_at": (
                nullable(TIME),
                "The time at which the text was last replaced; null if it was never replaced.",
            ),
            "edited_by": (nullable(TEXT), "The user who has replaced the text. It is not published."),
        }
    ),
    "NewPost": {
        **optional(
            {
                "page": (
                    {"type": "string", "minLength": 1, "maxLength": MAX_ITEM_CHARACTERS},
                    "The name of a configured public page.",
                ),
                "title": (
                    {"type": "string", "pattern": NOT_BLANK, "maxLength": MAX_TITLE_CHARACTERS},
                    "The title of the post.",
                ),
                "status": (POST_STATUS, "The status; `investigating` by default."),
                "text": _POST_TEXT,
            }
        ),
        "required": ["page", "title", "text"],
    },
    "NewPostUpdate": {
        **optional(
            {
                "status": (POST_STATUS, "The status; by default that of the previous update."),
                "text": _POST_TEXT,
            }
        ),
        "required": ["text"],
    },
    "PostText": {**optional({"text": _POST_TEXT}), "required": ["text"]},
    "Notifiers": made_of({"notifiers": (listed(ref("Notifier")), "The configured notifiers.")}),
    "Notifier": made_of(
        {
            "name": (TEXT, "The name of the notifier."),
            "type": (TEXT, "The type of the notifier."),
            "queued": (INTEGER, "Notifications queued for delivery."),
            "sent": (INTEGER, "Notifications delivered."),
            "failed_attempts": (INTEGER, "Failed delivery attempts."),
            "expired": (INTEGER, "Notifications that expired before they could be delivered."),
            "last_sent_at": (nullable(TIME), "The time of the last delivery."),
            "error": (nullable(TEXT), "The error of the last attempt; null if it was successful."),
            "failing_since": (
                nullable(TIME),
                "The time of the first failed delivery; null if the last delivery succeeded.",
            ),
            "warning": (
                nullable(TEXT),
                "Why the last delivery was degraded: without encryption, or with the default text.",
            ),
            "fallback": (
                nullable(TEXT),
                "The notifier that receives messages that this notifier cannot deliver.",
            ),
        }
    ),
    "MonitorSource": made_of(
        {
            "name": (TEXT, "The name of the source: the part of the names of its monitors before the colon."),
            "type": (TEXT, "The type of the source."),
            "targets": (INTEGER, "The targets that the source has found."),
            "monitors": (INTEGER, "The monitors of the source."),
            "targets_ignored": (INTEGER, "The targets that are excluded by `[auto] ignore`."),
            "targets_over_limit": (
                INTEGER,
                "The targets beyond the limit of the source, which have no monitor.",
            ),
            "targets_rejected": (INTEGER, "The targets whose monitor would be invalid."),
            "rejections": (
                listed(
                    made_of(
                        {
                            "target": (TEXT, "The target."),
                            "problem": (TEXT, "Why the target has no monitor."),
                        }
                    )
                ),
                "The first rejected targets.",
            ),
            "error": (
                nullable(TEXT),
                "Why the last attempt to find the targets failed; the last known targets are kept. "
                "null while the source succeeds.",
            ),
            "failing_since": (
                nullable(TIME),
                "The time at which the source began to fail; null while the source succeeds.",
            ),
            "updated_at": (nullable(TIME), "The time at which the source last found its targets."),
        }
    ),
    "Notifications": made_of(
        {
            "notifications": (listed(ref("Notification")), "The notifications, newest first."),
            "total": (INTEGER, "The number of stored notifications that match the filter."),
        }
    ),
    "Notification": made_of(
        {
            "id": (TEXT, "The identifier of the notification."),
            "notifier": (TEXT, "The notifier that a route has selected."),
            "kind": (
                {"type": "string", "enum": [kind.value for kind in NotificationKind]},
                "The kind of the notification.",
            ),
            "title": (TEXT, "The notification in one line."),
            "alert": (TEXT, "The identifier of the alert, the same in all its notifications."),
            "number": (
                INTEGER,
                "The sequence number of the notification among those of this alert to this notifier, from 1.",
            ),
            "monitor": (TEXT, "The name of the monitor; empty if the notification is about the host."),
            "opened_as": (TEXT, "The name that the monitor had when the alert began."),
            "type": (TEXT, "The type of the monitor."),
            "tags": (listed(TEXT), "The tags of the monitor."),
            "state": (STATE, "The state that is reported."),
            "since": (TIME, "The time at which the monitor entered this state."),
            "started_at": (TIME, "The start of the problem that was first reported to this notifier."),
            "at": (TIME, "The time at which the notification was created."),
            "duration_s": (NUMBER, "The duration of this problem: until the recovery, otherwise until `at`."),
            "reason": (REASON, "The reason code of the last verdict."),
            "severity": (SEVERITY, "The severity for alerting services."),
            "detail": (TEXT, "The outcome of the last check in one line."),
            "monitor_title": (TEXT, "The title of the monitor; empty if it is not set."),
            "description": _CONTEXT["description"],
            "runbook": _CONTEXT["runbook"],
            "contact": _CONTEXT["contact"],
            "url": (TEXT, "The page of the monitor; empty without `public_url` in the configuration."),
            "excerpt": (TEXT, "The beginning of the last response, if the check has not passed."),
            "passed_at": (nullable(TIME), "The start of the last check that passed; null if there was none."),
            "parents": (listed(TEXT), "The parents that are not up, at most 20."),
            "siblings": (
                listed(TEXT),
                "The monitors with a common parent or group that are not up, at most 20.",
            ),
            "dependents": (listed(TEXT), "The monitors that depend on this monitor, at most 20."),
            "locations": (
                listed(
                    made_of(
                        {
                            "location": (TEXT, "The name of the location."),
                            "state": (STATE, "The state that the location sees."),
                        }
                    )
                ),
                "The locations of the cluster that have a vote on the monitor. Empty without a cluster, and for a "
                "monitor that belongs to its host.",
            ),
            "is_shared": (
                FLAG,
                "Whether the nodes of a cluster share the monitor: any of them may send the recovery.",
            ),
            "links_expire_at": (
                nullable(TIME),
                "The time at which the action links of the notification expire; null if it has none. The links "
                "themselves are contained in delivered messages only.",
            ),
            "status": (
                DELIVERY_STATUS,
                "The delivery status: `queued`, `retrying` (after a failed attempt), `rerouted` (queued for the "
                "fallback), `sent`, `expired` (not delivered within `expire_after`) or `cancelled` (the notifier "
                "was removed or too many notifications were queued).",
            ),
            "delivered_by": (
                TEXT,
                "The notifier that delivers the notification; after a failure, the fallback.",
            ),
            "attempts": (INTEGER, "The number of delivery attempts."),
            "completed_at": (
                nullable(TIME),
                "The time at which the notification was sent, expired or cancelled; null before that.",
            ),
            "response": (
                TEXT,
                "The response of the receiver, or the error of the last attempt; may be empty.",
            ),
        }
    ),
    "NotifierTested": made_of(
        {
            "notifier": (TEXT, "The name of the notifier."),
            "by": _BY,
            "response": (TEXT, "The response of the receiver; may be empty."),
            "warning": (
                nullable(TEXT),
                "Why the delivery was degraded: without encryption, or with the default text; null if it was not "
                "degraded.",
            ),
        }
    ),
    "Heartbeat": made_of(
        {"name": (TEXT, "The name of the monitor."), "signal": (TEXT, "The signal that was recorded.")}
    ),
    # null has the meaning of a missing property, and numbers may be written as text: jobs are often shell scripts.
    "NewHeartbeat": optional(
        {
            "signal": (
                {"enum": [*(signal.value for signal in HeartbeatSignal), None]},
                "The signal of the heartbeat. The default is `success`.",
            ),
            "exit_status": (
                {
                    "anyOf": [
                        {"type": "integer", "minimum": 0, "maximum": MAX_EXIT_STATUS},
                        EXIT_STATUS,
                        {"type": "null"},
                    ]
                },
                "The exit status of the job. A value other than 0 is a failure.",
            ),
            "run": (
                {
                    "anyOf": [
                        {"type": "string", "minLength": 1, "maxLength": MAX_RUN_ID_CHARACTERS},
                        {"type": "integer", "minimum": 0, "maximum": 10**15},
                        {"type": "null"},
                    ]
                },
                "The identifier of the run, if runs of the job can overlap.",
            ),
            "message": ({"type": ["string", "integer", "null"]}, "A human-readable message, such as output."),
        }
    ),
    "Explanation": made_of(_EXPLANATION),
    "Event": {"type": "string", "description": "Server-sent events; docs/api.md describes their data."},
    "Lines": {
        "type": "string",
        "description": "One StoredResult or Bucket in each line, as JSON or as CSV with a header line.",
    },
    "Report": made_of(_REPORT),
    "Reports": made_of(
        {
            "reports": (
                listed(
                    made_of(
                        {
                            "name": (TEXT, "The name of the report."),
                            "schedule": (TEXT, "The calendar event at which the report is delivered."),
                            "period": (
                                {"type": "string", "enum": ["month", "week"]},
                                "The period of the report: the last complete month or week.",
                            ),
                            "next_at": (
                                nullable(TIME),
                                "The time of the next delivery; null if there is none.",
                            ),
                            "notify": (listed(TEXT), "The notifiers that send the report."),
                            "directory": (
                                nullable(TEXT),
                                "The directory of the report files; null if none is set.",
                            ),
                            "last_period": (
                                nullable(TEXT),
                                "The last period that was delivered by all notifiers and to the directory since the "
                                "start of the daemon.",
                            ),
                            "last_delivered_at": (
                                nullable(TIME),
                                "The time of the delivery of `last_period`.",
                            ),
                            "error": (
                                nullable(TEXT),
                                "Why the last attempt failed; null if it succeeded. A failed attempt is repeated.",
                            ),
                            "failing_since": (
                                nullable(TIME),
                                "The time of the first failed attempt since the last success.",
                            ),
                        }
                    )
                ),
                "The reports, in the order of the configuration.",
            )
        }
    ),
    "Pages": made_of(
        {
            "pages": (
                listed(
                    made_of(
                        {
                            "name": (TEXT, "The name of the page."),
                            "title": (TEXT, "The heading of the page."),
                            "published": (FLAG, "Whether the page is served at /pages/NAME/."),
                            "listen": (
                                listed(TEXT),
                                "The addresses and the socket that serve only this page.",
                            ),
                        }
                    )
                ),
                "The pages, in the order of the configuration.",
            )
        }
    ),
    "PageFiles": made_of(
        {
            "files": (
                listed(
                    made_of(
                        {
                            "path": (
                                TEXT,
                                "The path, relative to the page: `index.html`, `badges/state.svg`.",
                            ),
                            "content_type": (TEXT, "The media type."),
                            "body": (
                                {"type": "string", "contentEncoding": "base64"},
                                "The content (RFC 4648, section 4).",
                            ),
                        }
                    )
                ),
                "The files.",
            )
        }
    ),
    "Page": {"type": "string", "description": "An HTML document with inline styles."},
    "PlainText": {"type": "string", "description": "Plain text in UTF-8."},
    "Document": {"type": "object", "description": "An OpenAPI 3.1 document."},
}
