"""Reports and answers as JSON."""

import json
from dataclasses import astuple, replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from monitord.cluster.model import (
    AgentReport,
    Changes,
    ClusterDecision,
    HostMonitor,
    Intervention,
    InterventionKind,
    Membership,
    Node,
    Role,
    SharedHeartbeat,
)
from monitord.cluster.report_json import (
    MAX_ITEMS,
    MAX_ITEMS_BYTES,
    REPORT_KEYS,
    REQUIRED_KEYS,
    FeedPage,
    FeedPosition,
    ReportAnswer,
    answer_json,
    answer_of,
    encoded_heartbeat,
    encoded_host_monitor,
    encoded_report,
    encoded_vote,
    parts_of,
    report_of,
)
from monitord.errors import InvalidValueError
from monitord.model import Reason, State
from monitord.monitors.heartbeat.record import HeartbeatSignal
from monitord.monitors.heartbeat.shared import HeartbeatFacts, ReceivedSignal
from tests.cluster.votes import BEGAN, vote

NODE = Node("branch1", "branch", True, "1.0", "hash", 0.5, 7, role=Role.AGENT)
DOWN = vote("branch", State.DOWN, detail="refused")


def read(body: bytes, now: datetime = BEGAN) -> Any:
    document = json.loads(body)
    assert document.keys() <= REPORT_KEYS.keys()
    assert document.keys() >= set(REQUIRED_KEYS)
    return report_of({key: REPORT_KEYS[key](value) for key, value in document.items()}, now)


def test_report_survives_the_transport() -> None:
    report = AgentReport(NODE, "run", 7, (DOWN,), is_complete=False)
    position, alerts = FeedPosition("hub", 3), {"shop": None}
    request = read(encoded_report(report, [encoded_vote(DOWN)], BEGAN, position, alerts))
    assert request.report == report
    assert (request.position, request.alerts) == (position, alerts)
    assert read(encoded_report(report, [], BEGAN, None)).position is None


def test_clock_of_the_agent_is_compared_with_that_of_the_hub() -> None:
    body = encoded_report(AgentReport(NODE, "run", 1), [], BEGAN.replace(second=5), None)
    assert read(body).report.node.time_offset_s == 5.0


def test_votes_are_those_of_the_agent_that_reports_them() -> None:
    other = replace(DOWN, location="fra", node="fra1")
    request = read(encoded_report(AgentReport(NODE, "run", 1), [encoded_vote(other)], BEGAN, None))
    assert request.report.votes == (replace(DOWN, location="branch", node="branch1"),)


def test_monitors_of_the_host_survive_the_transport() -> None:
    monitors = (
        HostMonitor(
            "branch1",
            "nginx",
            "unit",
            ("web",),
            State.DOWN,
            BEGAN,
            Reason.REFUSED,
            "failed",
            "kim",
            "night",
        ),
        HostMonitor("branch1", "old", "unit", (), None, None, Reason.OK, ""),
    )
    report = AgentReport(NODE, "run", 7, (), host_monitors=monitors, host_names=("nginx",))
    request = read(
        encoded_report(report, [], BEGAN, None, host_monitors=[encoded_host_monitor(m) for m in monitors])
    )
    assert request.report == report


def test_heartbeats_survive_the_transport_and_are_those_of_the_agent() -> None:
    job = HeartbeatFacts(
        BEGAN,
        "other",
        last_signal_at=BEGAN + timedelta(seconds=3),
        starts=(ReceivedSignal(BEGAN, HeartbeatSignal.START, run_id="a"),),
        ends=(ReceivedSignal(BEGAN + timedelta(seconds=3), HeartbeatSignal.FAIL, 7),),
        succeeded_at=BEGAN,
        message_at=BEGAN,
        message="disk full",
    )
    log = HeartbeatFacts(BEGAN, "branch1", last_signal_at=BEGAN, missed_at=BEGAN)
    given = [SharedHeartbeat("backup", job), SharedHeartbeat("log", log)]
    body = encoded_report(
        AgentReport(NODE, "run", 7), [], BEGAN, None, heartbeats=[encoded_heartbeat(each) for each in given]
    )
    later = BEGAN + timedelta(seconds=60)
    assert read(body, later).report.heartbeats == (
        SharedHeartbeat("backup", replace(job, node="branch1")),
        SharedHeartbeat("log", replace(log, missed_at=None)),
    )
    # Nothing was received after the report arrived, regardless of the clock of the agent.
    early = read(body, BEGAN).report.heartbeats[0].facts
    assert (early.last_signal_at, early.ends[0].at) == (BEGAN, BEGAN)


def test_answer_survives_the_transport() -> None:
    decision = ClusterDecision("shop", State.DOWN, BEGAN, Reason.REFUSED, "down at fra", 3, {"id": "a"})
    answer = ReportAnswer(
        7,
        Membership((replace(NODE, seen_ago_s=1.5), Node("fra1", "fra", True, "1.0", "hash")), was_stale=True),
        FeedPage(
            FeedPosition("hub", 9),
            Changes(
                (decision,),
                (DOWN,),
                (Intervention(InterventionKind.SILENCE, "s1", {"by": "kim"}),),
            ),
            is_last=False,
        ),
        {"shop": {"id": "a"}},
    )
    assert answer_of(json.loads(json.dumps(answer_json(answer)))) == answer


def test_votes_are_divided_by_number_and_by_size() -> None:
    assert list(parts_of(map(encoded_vote, []))) == [[]]
    assert [len(part) for part in parts_of(map(encoded_vote, [DOWN] * (2 * MAX_ITEMS + 1)))] == [
        MAX_ITEMS,
        MAX_ITEMS,
        1,
    ]
    long = replace(DOWN, detail="\N{SNOWMAN}" * 1000, excerpt="\N{SNOWMAN}" * 500)
    parts = list(parts_of(map(encoded_vote, [long] * 100)))
    assert len(parts) > 1
    assert all(sum(map(len, part)) <= MAX_ITEMS_BYTES for part in parts)
    assert sum(map(len, parts)) == 100


VOTE = json.loads(encoded_vote(DOWN))
HEARTBEAT = json.loads(
    encoded_heartbeat(SharedHeartbeat("backup", HeartbeatFacts(BEGAN, "branch1", last_signal_at=BEGAN)))
)
END = {"at": "2026-01-31T12:00:00Z", "signal": "success", "exit_status": None, "run": None}
PROGRESS = {
    "count": 1,
    "last_at": "2026-01-31T12:00:00+00:00",
    "problem_since": "2026-01-31T12:00:00+00:00",
    "state": "down",
    "flapping_since": None,
    "rerouted_to": None,
    "undelivered": None,
}
ALERT = {
    "id": "a",
    "monitor": "shop",
    "opened_as": "shop",
    "since": "2026-01-31T12:00:00+00:00",
    "began_unknown": False,
    "notifiers": {"ops": PROGRESS},
}
INVALID = [
    ("node", 7, "is not a string", 'write "…"'),
    ("node", " ", "is not the name of a node or location", 'write printable characters, such as "fra"'),
    ("node", "x" * 101, "is not the name of a node or location", 'write printable characters, such as "fra"'),
    ("run", "", "is empty", 'write "…"'),
    ("run", "x" * 65, "is longer than 64 characters", "shorten it"),
    ("number", 0, "is not an integer from 1 to 9007199254740991", "write 1"),
    ("number", True, "is not an integer from 1 to 9007199254740991", "write 1"),
    ("number", 2**53, "is not an integer from 1 to 9007199254740991", "write 1"),
    ("is_ready", 1, "is neither true nor false", "write true or false"),
    *(
        (
            "sent_at",
            time,
            "is not a time with a time zone in the years 1970 to 9998",
            'write "2026-01-31T12:00:00Z"',
        )
        for time in (
            "2026-01-31",
            "2026-01-31T12:00:00",
            "0001-01-01T00:00:00+14:00",
            # In a time zone west of Greenwich, in the year 0; east of it, in the year 10000.
            "0001-01-01T00:00:00Z",
            "9999-12-31T23:59:59Z",
        )
    ),
    *(
        (
            "lateness_s",
            seconds,
            "is not a number from -9007199254740991 to 9007199254740991",
            "write a number of seconds",
        )
        for seconds in (float("nan"), float("inf"), 10**400, -(10**400))
    ),
    ("votes", {}, "is not a list", "write [ … ]"),
    ("votes", [VOTE] * 501, "has more than 500 items", "divide them among several reports"),
    ("votes", [VOTE, 7], "item 1: is not an object", "write { … }"),
    ("votes", [{}], "item 0: monitor: missing", 'add "monitor"'),
    (
        "votes",
        [{**VOTE, "x": 1}],
        "item 0: 'x': unknown key",
        "allowed are: checked_at, detail, excerpt, monitor, reason, since, state",
    ),
    (
        "votes",
        [{**VOTE, "state": "broken"}],
        "item 0: state: is not a state",
        "write one of: pending, up, degraded, down, unreachable, unknown, paused",
    ),
    ("votes", [{**VOTE, "monitor": ""}], "item 0: monitor: is empty", 'write "…"'),
    (
        "votes",
        [{**VOTE, "detail": "x" * 1001}],
        "item 0: detail: is longer than 1000 characters",
        "shorten it",
    ),
    ("host_monitors", [{}], "item 0: monitor: missing", 'add "monitor"'),
    ("host_names", [7], "is not a string", 'write "…"'),
    ("heartbeats", [{}], "item 0: monitor: missing", 'add "monitor"'),
    (
        "heartbeats",
        [{**HEARTBEAT, "starts": [{"at": "2026-01-31T12:00:00Z", "run": None}] * 5}],
        "item 0: starts: has more than 4 items",
        "send the newest only",
    ),
    (
        "heartbeats",
        [{**HEARTBEAT, "ends": [{**END, "signal": "start"}]}],
        "item 0: ends: item 0: signal: is not the end of a run",
        'write "success" or "fail"',
    ),
    (
        "heartbeats",
        [{**HEARTBEAT, "ends": [{**END, "exit_status": 256}]}],
        "item 0: ends: item 0: exit_status: is not an integer from 0 to 255",
        "write 0",
    ),
    ("host_names", "x", "is not a list of up to 5000 strings", 'write ["…"]'),
    ("changes", {"hub": "x"}, "number: missing", 'add "number"'),
    ("alerts", [], "is not an object with up to 100 alerts", "divide them"),
    *(
        (
            "alerts",
            {monitor: record},
            f"{monitor[:100]!a}: is not the record of an alert",
            "use the same release on agent and hub",
        )
        for monitor, record in (
            ("shop", {}),
            ("", ALERT),
            ("x" * 501, ALERT),
            ("shop", {**ALERT, "id": "x" * 501}),
            # The nodes compare these times with others, and show them in their time zone.
            ("shop", {**ALERT, "since": "2026-01-31T12:00:00"}),
            ("shop", {**ALERT, "since": "9999-12-31T23:59:59Z"}),
            ("shop", {**ALERT, "since": "0001-01-01T00:00:00+14:00"}),
            ("shop", {**ALERT, "notifiers": {"ops": {**PROGRESS, "last_at": "2026-01-31T12:00:00"}}}),
            ("shop", {**ALERT, "notifiers": {"ops": {**PROGRESS, "count": float("inf")}}}),
            ("shop", {**ALERT, "notifiers": {"ops": {**PROGRESS, "count": 10**400}}}),
        )
    ),
]


@pytest.mark.parametrize(("key", "value", "problem", "hint"), INVALID)
def test_invalid_value_has_an_error_with_a_fix(key: str, value: object, problem: str, hint: str) -> None:
    with pytest.raises(InvalidValueError) as caught:
        REPORT_KEYS[key](value)
    assert (caught.value.problem, caught.value.hint) == (problem, hint)


def test_characters_that_are_not_printable_are_replaced() -> None:
    """The database rejects some of them, and the others would reach pages, logs and terminals."""
    values = {**VOTE, "monitor": "a\0b", "detail": "\ud800\x1b[2J\r\nX: 1", "excerpt": "\x1b[31m1\n2\u202e\0"}
    (make,) = REPORT_KEYS["votes"]([values])
    made = make(NODE)
    assert (made.monitor, made.detail, made.excerpt) == ("a\N{REPLACEMENT CHARACTER}b", "  [2J  X: 1", "1\n2")
    host = {"type": "\x1b", "tags": ["\n"], "detail": "\n", "acknowledged_by": "\n", "maintenance": "\n"}
    monitor = {"monitor": "a\n", "state": "down", "since": VOTE["since"], "reason": "refused", **host}
    (make_monitor,) = REPORT_KEYS["host_monitors"]([monitor])
    assert all(str(text).isprintable() for text in astuple(make_monitor(NODE)))
    progress = {**PROGRESS, "rerouted_to": "\0"}
    record = {**ALERT, "id": "\0", "opened_as": "\ud800", "notifiers": {"\ud800\0": progress}}
    ((name, cleaned),) = REPORT_KEYS["alerts"]({"a\0": record}).items()
    assert name.isprintable()
    assert json.dumps(cleaned, ensure_ascii=False).isprintable()


def test_alerts_contain_only_what_nodes_use() -> None:
    deep: list[object] = []
    for _ in range(200):
        deep = [deep]
    assert REPORT_KEYS["alerts"]({"shop": {**ALERT, "more": deep}, "web": None}) == {
        "shop": ALERT,
        "web": None,
    }


@pytest.mark.parametrize("document", [None, [], {}, {"changes": 1}, {"changes": {}}])
def test_other_documents_are_rejected(document: object) -> None:
    with pytest.raises((KeyError, TypeError, ValueError, AttributeError)):
        answer_of(document)
