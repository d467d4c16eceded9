"""What answers look like, as JSON Schema 2020-12 under the names that the OpenAPI document knows them by.

Every key that is listed is there, with null where there is nothing to say. Keys may be added in later versions.
"""

from monitord.alerts import DeliveryStatus, SuppressionReason
from monitord.model import Decider, Json, Reason, State, Verdict
from monitord.monitors.heartbeat.monitor import HeartbeatSignal
from monitord.monitors.heartbeat.record import MAX_EXIT_STATUS, MAX_RUN_ID_CHARACTERS
from monitord.notifiers import NotificationKind
from monitord.status.access.body import MOST_CHARACTERS, MOST_ITEMS, MOST_PATTERNS
from monitord.status.model.explain import CAUSES, DECISIONS
from monitord.status.model.query import EXIT_STATUS, LONGEST_SILENCE_S, MOMENT_SCHEMA, SILENCE_DURATION

TEXT: Json = {"type": "string"}
WHOLE: Json = {"type": "integer"}
NUMBER: Json = {"type": "number"}
FLAG: Json = {"type": "boolean"}
TIME: Json = {"type": "string", "format": "date-time"}
STATE: Json = {"type": "string", "enum": [health.value for health in State]}
VERDICT: Json = {"type": "string", "enum": [verdict.value for verdict in Verdict]}
REASON: Json = {"type": "string", "enum": [reason.value for reason in Reason]}
FIELD: Json = {"type": ["string", "number", "boolean", "array", "null"], "items": {"type": "string"}}


def made_of(**properties: Json) -> Json:
    return {"type": "object", "required": list(properties), "properties": properties}


def optional(**properties: Json) -> Json:
    """An object of which no key need be there, and no other may be."""
    return {"type": "object", "properties": properties, "additionalProperties": False}


def nullable(schema: Json) -> Json:
    if isinstance(schema.get("type"), str):
        return {**schema, "type": [schema["type"], "null"]}
    return {"anyOf": [schema, {"type": "null"}]}


def listed(schema: Json) -> Json:
    return {"type": "array", "items": schema}


def by_name(schema: Json) -> Json:
    return {"type": "object", "additionalProperties": schema}


def ref(name: str) -> Json:
    return {"$ref": f"#/components/schemas/{name}"}


def _counts(names: list[str], schema: Json) -> Json:
    return made_of(**dict.fromkeys(names, schema))


def _selection(**more: Json) -> Json:
    """Monitors with one of the names or patterns and with all of the tags; at least one of the three is given."""
    item: Json = {"type": "string", "minLength": 1, "maxLength": MOST_CHARACTERS}
    items: Json = {"type": "array", "items": item, "maxItems": MOST_ITEMS}
    schema = optional(names=items, patterns={**items, "maxItems": MOST_PATTERNS}, tags=items, **more)
    return {
        **schema,
        "description": "Monitors that have one of the names or patterns, and all of the tags.",
        "anyOf": [
            {"required": [key], "properties": {key: {"minItems": 1}}} for key in ("names", "patterns", "tags")
        ],
    }


_RESULT = {
    "verdict": VERDICT,
    "reason": REASON,
    "detail": TEXT,
    "subject": TEXT,
    "outcome": TEXT,
    "started_at": TIME,
    "duration_s": NUMBER,
    "address": nullable(TEXT),
    "conditions": listed(TEXT),
    "holds": listed(FLAG),
    "expected": listed(FLAG),
    "fields": by_name(FIELD),
    "excerpt": nullable(TEXT),
}

_BRIEF = {
    "name": TEXT,
    "type": TEXT,
    "state": STATE,
    "since": nullable(TIME),
    "is_flapping": FLAG,
    "maintenance": nullable(TEXT),
    "maintenance_until": nullable(TIME),
    "silenced_until": nullable(TIME),
    "paused_by": nullable(TEXT),
    "incident": nullable(TEXT),
    "acknowledged_by": nullable(TEXT),
    "consecutive_failures": WHOLE,
    "tags": listed(TEXT),
    "last": nullable(ref("Result")),
}

_DETAIL = {
    **_BRIEF,
    "check_every_s": NUMBER,
    "timeout_s": NUMBER,
    "fail_after": WHOLE,
    "retry_every_s": NUMBER,
    "recover_after": WHOLE,
    "degrade_after": WHOLE,
    "depends_on": listed(TEXT),
    "depends_on_any": listed(TEXT),
    "up_when": listed(TEXT),
    "degraded_when": listed(TEXT),
    "is_checking": FLAG,
    "is_queued_for_slot": FLAG,
    "next_check_in_s": NUMBER,
    "next_check_at": TIME,
    "skipped": WHOLE,
    "units": by_name({"type": "string", "enum": ["seconds", "bytes"]}),
}

_STATUS = {
    "state": {"type": "string", "enum": ["starting", "running", "reloading", "stopping"]},
    "worst_state": STATE,
    "version": TEXT,
    "pid": WHOLE,
    "started_at": TIME,
    "uptime_s": NUMBER,
    "monitors": _counts(["total", *(health.value for health in State)], WHOLE),
    "checks": made_of(
        total=WHOLE,
        in_flight=WHOLE,
        queued_for_slot=WHOLE,
        skipped=WHOLE,
        abandoned=WHOLE,
        lateness_s=made_of(p50=NUMBER, p99=NUMBER, max=NUMBER),
    ),
    "event_loop": made_of(stalls=WHOLE, max_lag_s=NUMBER),
    "history": made_of(
        queued=WHOLE,
        written=WHOLE,
        dropped=WHOLE,
        error=nullable(TEXT),
        failing_since=nullable(TIME),
        last_commit_at=nullable(TIME),
        max_commit_s=NUMBER,
        size_bytes=WHOLE,
        resets=WHOLE,
        reset_at=nullable(TIME),
        reset_reason=nullable(TEXT),
    ),
    "notifiers": listed(ref("Notifier")),
    "memory_peak_bytes": WHOLE,
    "reload": ref("Reload"),
}

_SECONDS = _counts([health.value for health in State], NUMBER)
_UPTIME = {"ratio": nullable(NUMBER), "known_s": NUMBER, "seconds": _SECONDS, "maintenance_s": NUMBER}
_TIMES = made_of(
    count=WHOLE, **{key: nullable(NUMBER) for key in ("min", "mean", "max", "p50", "p95", "p99")}
)
_SUMMARY = {
    "checks": _counts([verdict.value for verdict in Verdict], WHOLE),
    "response_time_s": _TIMES,
    "phases_s": by_name(NUMBER),
}

_INCIDENT = {
    "id": TEXT,
    "monitor": TEXT,
    "opened_at": TIME,
    "closed_at": nullable(TIME),
    "reason": REASON,
    "detail": TEXT,
    "acknowledged_by": nullable(TEXT),
    "acknowledged_at": nullable(TIME),
    "comment": nullable(TEXT),
}

SCHEMAS: dict[str, Json] = {
    "Problem": {
        "type": "object",
        "required": ["type", "title", "status"],
        "properties": {
            "type": TEXT,
            "title": TEXT,
            "status": WHOLE,
            "detail": TEXT,
            "errors": listed(ref("InputError")),
        },
    },
    "InputError": made_of(where=TEXT, problem=TEXT, hint=TEXT),
    "Status": made_of(**_STATUS),
    "Reload": made_of(
        ok=FLAG, at=nullable(TIME), summary=nullable(TEXT), error=nullable(TEXT), warnings=listed(TEXT)
    ),
    "Result": made_of(**_RESULT),
    "MonitorBrief": made_of(**_BRIEF),
    "Monitor": made_of(
        **_DETAIL,
        uptime=nullable(_counts(["1h", "24h", "7d", "30d", "90d"], ref("Uptime"))),
        last_24h=nullable(ref("Summary")),
    ),
    "Uptime": made_of(**_UPTIME),
    "UptimeOfRange": made_of(**{"monitor": TEXT, "from": TIME, "to": TIME, **_UPTIME}),
    "Summary": made_of(**_SUMMARY),
    "Series": made_of(
        **{
            "monitor": TEXT,
            "from": TIME,
            "to": TIME,
            "step_s": nullable(NUMBER),
            "buckets": listed(ref("Bucket")),
            "total": ref("Summary"),
        }
    ),
    "Bucket": made_of(at=TIME, seconds=_SECONDS, maintenance_s=NUMBER, **_SUMMARY),
    "Results": made_of(monitor=TEXT, results=listed(ref("StoredResult")), next_before=nullable(TIME)),
    "LastResults": made_of(monitor=TEXT, results=listed(ref("Result"))),
    "StoredResult": made_of(
        at=TIME,
        verdict=VERDICT,
        state=STATE,
        reason=REASON,
        duration_s=NUMBER,
        phases_s=by_name(NUMBER),
        detail=nullable(TEXT),
    ),
    "Incident": made_of(**_INCIDENT),
    "Incidents": made_of(incidents=listed(ref("Incident")), next_before=nullable(TIME)),
    "Monitors": made_of(monitors=listed(ref("MonitorBrief")), total=WHOLE, next_cursor=nullable(TEXT)),
    "Checked": made_of(by=TEXT, result=ref("Result"), monitor=ref("MonitorBrief")),
    "Changed": made_of(by=TEXT, monitor=ref("MonitorBrief")),
    "ChangedAll": made_of(by=TEXT, monitors=listed(ref("MonitorBrief")), skipped=listed(ref("Skipped"))),
    "CheckedAll": made_of(
        by=TEXT,
        results=listed(
            made_of(name=TEXT, result={"anyOf": [ref("Result"), {"type": "null"}]}, problem=nullable(TEXT))
        ),
        monitors=listed(ref("MonitorBrief")),
        skipped=listed(ref("Skipped")),
    ),
    "Skipped": made_of(name=TEXT, detail=TEXT),
    "Selection": _selection(),
    "SelectionAndComment": _selection(comment={"type": ["string", "null"], "maxLength": 1000}),
    "Comment": optional(comment={"type": ["string", "null"], "maxLength": 1000}),
    "Silence": made_of(
        id=TEXT,
        names=listed(TEXT),
        patterns=listed(TEXT),
        tags=listed(TEXT),
        since=TIME,
        until=TIME,
        by=TEXT,
        comment=nullable(TEXT),
    ),
    "Silences": made_of(silences=listed(ref("Silence"))),
    "NewSilence": {
        **_selection(
            until={**MOMENT_SCHEMA, "description": "RFC 3339, within the next year."},
            duration_s={
                "description": 'Up to 366 days, such as "2h" or seconds, instead of until.',
                "anyOf": [
                    {"type": "string", "pattern": f"^{SILENCE_DURATION}$"},
                    {"type": "number", "exclusiveMinimum": 0, "maximum": LONGEST_SILENCE_S},
                ],
            },
            comment={"type": ["string", "null"], "maxLength": 1000},
        ),
        "oneOf": [{"required": ["until"]}, {"required": ["duration_s"]}],
    },
    "Notifiers": made_of(notifiers=listed(ref("Notifier"))),
    "Notifier": made_of(
        name=TEXT,
        type=TEXT,
        queued=WHOLE,
        sent=WHOLE,
        failed_attempts=WHOLE,
        expired=WHOLE,
        last_sent_at=nullable(TIME),
        error=nullable(TEXT),
        failing_since=nullable(TIME),
        warning=nullable(TEXT),
        fallback=nullable(TEXT),
    ),
    "Notifications": made_of(notifications=listed(ref("Notification")), total=WHOLE),
    "Notification": made_of(
        id=TEXT,
        notifier=TEXT,
        kind={"type": "string", "enum": [kind.value for kind in NotificationKind]},
        title=TEXT,
        alert=TEXT,
        number=WHOLE,
        monitor=TEXT,
        type=TEXT,
        tags=listed(TEXT),
        state=STATE,
        since=TIME,
        started_at=TIME,
        at=TIME,
        duration_s=NUMBER,
        reason=REASON,
        detail=TEXT,
        status={"type": "string", "enum": [status.value for status in DeliveryStatus]},
        delivered_by=TEXT,
        attempts=WHOLE,
        ended_at=nullable(TIME),
        response=TEXT,
    ),
    "NotifierTested": made_of(notifier=TEXT, by=TEXT, response=TEXT),
    "Ping": made_of(name=TEXT, signal=TEXT),
    "NewPing": {
        "type": "object",
        "properties": {
            # null is as good as leaving the key out; jobs write numbers with and without quotes.
            "signal": {"enum": [*(signal.value for signal in HeartbeatSignal), None]},
            "exit_status": {
                "anyOf": [
                    {"type": "integer", "minimum": 0, "maximum": MAX_EXIT_STATUS},
                    EXIT_STATUS,
                    {"type": "null"},
                ]
            },
            "run": {
                "anyOf": [
                    {"type": "string", "minLength": 1, "maxLength": MAX_RUN_ID_CHARACTERS},
                    {"type": "integer", "minimum": 0, "maximum": 10**15},
                    {"type": "null"},
                ]
            },
            "message": {"type": ["string", "integer", "null"]},
        },
        "additionalProperties": False,
    },
    "Explanation": made_of(
        name=TEXT,
        type=TEXT,
        state=STATE,
        since=nullable(TIME),
        last=nullable(ref("Result")),
        decided_by=nullable(
            made_of(
                kind={"type": "string", "enum": [decider.value for decider in Decider]},
                conditions=listed(TEXT),
                detail=TEXT,
            )
        ),
        cause=nullable(
            made_of(
                kind={"type": "string", "enum": list(CAUSES)},
                parents=nullable(listed(TEXT)),
                reason=nullable(TEXT),
                since=nullable(TIME),
                failures=nullable(WHOLE),
                fail_after=nullable(WHOLE),
            )
        ),
        streak=nullable(
            made_of(
                verdict=VERDICT, length=WHOLE, since=TIME, needed=nullable(WHOLE), leads_to=nullable(TEXT)
            )
        ),
        flapping=made_of(is_flapping=FLAG, change_percent=NUMBER),
        parents=listed(made_of(name=TEXT, state=nullable(TEXT), effect=TEXT, is_alternative=FLAG)),
        is_isolated=FLAG,
        is_isolation_suspected=FLAG,
        maintenance=nullable(TEXT),
        maintenance_until=nullable(TIME),
        maintenance_comment=nullable(TEXT),
        silence=nullable(made_of(id=TEXT, until=TIME, by=TEXT, comment=nullable(TEXT))),
        pause=nullable(made_of(by=TEXT, at=TIME, comment=nullable(TEXT))),
        incident=nullable(
            made_of(
                id=TEXT,
                opened_at=TIME,
                reason=REASON,
                detail=TEXT,
                acknowledged_by=nullable(TEXT),
                acknowledged_at=nullable(TIME),
                comment=nullable(TEXT),
            )
        ),
        notifiers=listed(
            made_of(
                name=TEXT,
                decision=made_of(
                    kind={"type": "string", "enum": list(DECISIONS)},
                    is_aware=FLAG,
                    title=nullable(TEXT),
                    at=nullable(TIME),
                    after_s=nullable(NUMBER),
                    state=nullable(TEXT),
                    suppression=nullable(
                        made_of(
                            reason={
                                "type": "string",
                                "enum": [one.name.lower() for one in SuppressionReason],
                            },
                            window=nullable(TEXT),
                            by=nullable(TEXT),
                            until=nullable(TIME),
                        )
                    ),
                ),
                last=nullable(TEXT),
                last_at=nullable(TIME),
                status=nullable(TEXT),
                response=nullable(TEXT),
            )
        ),
        next=made_of(
            status={"type": "string", "enum": ["scheduled", "running", "queued", "paused"]},
            at=nullable(TIME),
            in_s=nullable(NUMBER),
            interval=nullable(TEXT),
            interval_s=nullable(NUMBER),
        ),
        sentences=listed(TEXT),
    ),
    "Event": {"type": "string", "description": "Server-sent events: see docs/api.md."},
    "Lines": {"type": "string", "description": "A StoredResult or a Bucket in each line."},
    "Document": {"type": "object"},
}
