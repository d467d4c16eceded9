"""Sentences of an explanation: one for each cause, decision and suppression reason."""

from typing import Any

import pytest

from monitord.alerts import SuppressionReason
from monitord.explanation import UtcTimes, cause_text, decision_text, notifier_text
from monitord.status.model.explain import CAUSES, DECISIONS

AT, UNTIL = "2026-07-01T12:30:00.000Z", "2026-07-01T14:00:00.000Z"

CAUSE_TEXTS: list[tuple[dict[str, Any], str]] = [
    (
        {"kind": "parents_down", "parents": ["gateway", "dns"]},
        "It is unreachable because its parents gateway and dns are down or unreachable. "
        "After the parents recover, the failures of shop are counted from zero.",
    ),
    (
        {"kind": "alternatives_down", "parents": ["line1", "line2"]},
        "It is unreachable because all of its alternative parents, line1 and line2, are down.",
    ),
    (
        {"kind": "parents_recovered", "fail_after": 2},
        "It was unreachable because of a parent that is no longer down: "
        "it goes down after 2 consecutive failures, and up when a check passes.",
    ),
    (
        {"kind": "not_checked"},
        "It is pending until the next check, at 2026-07-01 12:30:00 UTC: no check has ended yet.",
    ),
    (
        {"kind": "inconclusive", "reason": "prober_stalled"},
        "It is pending at least until the next check, at 2026-07-01 12:30:00 UTC: "
        "no check has been conclusive yet (prober_stalled).",
    ),
    (
        {"kind": "parents_failing", "parents": ["gateway"]},
        "It is pending until the state of its parent gateway is confirmed.",
    ),
    (
        {"kind": "isolation_suspected"},
        "It is pending until the next check, at 2026-07-01 12:30:00 UTC: "
        "its check failed, and monitord is testing whether this host is isolated.",
    ),
    (
        {"kind": "unconfirmed", "failures": 1, "fail_after": 3},
        "It is pending until the next check, at 2026-07-01 12:30:00 UTC: "
        "1 of 3 consecutive failures, and no check has passed.",
    ),
    (
        {"kind": "no_conclusive_check", "since": UNTIL},
        "It is unknown because no check has been conclusive since 2026-07-01 14:00:00 UTC; "
        "the next conclusive check restores the previous state.",
    ),
    (
        {"kind": "paused"},
        "Paused by kim: a new disk. To resume checks: monitorctl resume shop",
    ),
]

DECISION_TEXTS: list[tuple[dict[str, Any], str]] = [
    ({"kind": "notified", "at": AT}, "notified at 2026-07-01 12:30:00 UTC"),
    ({"kind": "notified_of_flapping", "at": AT}, "notified of the flapping at 2026-07-01 12:30:00 UTC"),
    (
        {"kind": "suppressed", "suppression": {"reason": "acknowledged", "by": "kim"}},
        "suppressed: acknowledged by kim",
    ),
    ({"kind": "delayed", "after_s": 900.0}, "no notification unless the problem lasts 15m"),
    ({"kind": "quiet_hours"}, "no notification during quiet hours"),
    ({"kind": "no_route"}, "no notification is sent: no matching route has this notifier"),
    (
        {"kind": "no_route_for_unknown"},
        "no notification is sent: the monitor is unknown, and no route for unknown monitors has this notifier",
    ),
    (
        {"kind": "state_without_notifications", "state": "paused"},
        "no notification is sent: the monitor is paused",
    ),
    ({"kind": "unconfirmed"}, "no notification yet: the failure is not confirmed"),
    ({"kind": "no_alert"}, "no notification is sent: there is no problem"),
]

SUPPRESSION_TEXTS: list[tuple[dict[str, Any], str]] = [
    ({"reason": "maintenance", "maintenance_window": "upgrade"}, "maintenance window upgrade"),
    ({"reason": "silenced", "until": UNTIL, "by": "kim"}, "silenced until 2026-07-01 14:00:00 UTC by kim"),
    ({"reason": "acknowledged", "by": "kim"}, "acknowledged by kim"),
    ({"reason": "not_checked"}, "no conclusive check since monitord started or shop was resumed"),
    ({"reason": "isolated"}, "this host is isolated"),
]

STATE_TEXTS = [
    ("up", "no notification is sent: there is no problem"),
    (
        "unreachable",
        "no notification is sent: the monitor is unreachable because gateway and dns are down or unreachable",
    ),
    ("unknown", "no notification is sent: the monitor is unknown, and no route includes this state"),
    ("paused", "no notification is sent: the monitor is paused"),
    ("pending", "no notification yet: the monitor is pending"),
]


def explanation(**fields: Any) -> dict[str, Any]:
    parents = [
        {"name": "gateway", "effect": "unreachable", "state": "down"},
        {"name": "dns", "effect": "unreachable", "state": "unreachable"},
        {"name": "line1", "effect": "none", "state": "down"},
        {"name": "line2", "effect": "none", "state": "down"},
    ]
    pause = {"by": "kim", "comment": "a new disk"}
    return {"name": "shop", "state": "up", "next": {"at": AT}, "parents": parents, "pause": pause, **fields}


@pytest.mark.parametrize(("cause", "text"), CAUSE_TEXTS, ids=[cause["kind"] for cause, _ in CAUSE_TEXTS])
def test_each_cause_has_its_text(cause: dict[str, Any], text: str) -> None:
    assert cause_text(explanation(cause=cause), UtcTimes()) == text


def test_paused_parent_whose_own_parents_are_down_is_unreachable() -> None:
    explained = explanation(cause={"kind": "parents_down", "parents": ["router"]})
    explained["parents"].append({"name": "router", "effect": "unreachable", "state": "paused"})
    text = cause_text(explained, UtcTimes())
    assert text is not None
    assert text.startswith("It is unreachable because its parent router is unreachable. ")


def test_cause_states_that_a_check_is_running() -> None:
    running = explanation(cause={"kind": "not_checked"}, next={"at": None})
    assert cause_text(running, UtcTimes()) == "It is pending until its check ends: no check has ended yet."


@pytest.mark.parametrize(
    ("decision", "text"), DECISION_TEXTS, ids=[decision["kind"] for decision, _ in DECISION_TEXTS]
)
def test_each_decision_has_its_text(decision: dict[str, Any], text: str) -> None:
    assert decision_text(decision, explanation(), UtcTimes()) == text


@pytest.mark.parametrize(
    ("suppression", "text"),
    SUPPRESSION_TEXTS,
    ids=[suppression["reason"] for suppression, _ in SUPPRESSION_TEXTS],
)
def test_each_suppression_reason_has_its_text(suppression: dict[str, Any], text: str) -> None:
    decision = {"kind": "suppressed", "suppression": suppression}
    assert decision_text(decision, explanation(), UtcTimes()) == f"suppressed: {text}"


@pytest.mark.parametrize(("state", "text"), STATE_TEXTS, ids=[state for state, _ in STATE_TEXTS])
def test_absence_of_an_alert_has_its_text(state: str, text: str) -> None:
    assert decision_text({"kind": "no_alert"}, explanation(state=state), UtcTimes()) == text


LAST = {"title": "DOWN: shop", "at": AT, "delivered_by": "chat", "response": "busy"}


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"status": "sent"}, "was sent"),
        ({"status": "sent", "delivered_by": "ops"}, "was sent by the fallback ops"),
        ({"status": "rerouted", "delivered_by": "ops"}, "is being delivered by the fallback ops (busy)"),
        ({"status": "retrying", "delivered_by": "ops"}, "is being retried by the fallback ops (busy)"),
        ({"status": "expired", "delivered_by": "ops"}, "has expired (busy)"),
        (
            {"status": "queued", "response": ""},
            "is queued; deliveries have failed since 2026-07-01 12:30:00 UTC: connection refused",
        ),
    ],
)
def test_notification_is_attributed_to_the_notifier_that_delivers_it(
    fields: dict[str, Any], text: str
) -> None:
    decision = {"kind": "notified", "is_notified": True}
    notified = {
        "name": "chat",
        "failing_since": AT,
        "error": "connection refused",
        "decision": decision,
        "last_notification": {**LAST, **fields},
    }
    assert notifier_text(explanation(), notified, UtcTimes()) == (
        f'chat: notification "DOWN: shop" of 2026-07-01 12:30:00 UTC {text}.'
    )


def test_last_notification_is_distinguished_from_the_present_decision() -> None:
    decision = {"kind": "no_alert", "is_notified": False}
    no_alert = {
        "name": "chat",
        "failing_since": None,
        "error": None,
        "decision": decision,
        "last_notification": {**LAST, "status": "sent"},
    }
    assert notifier_text(explanation(), no_alert, UtcTimes()) == (
        "chat: no notification is sent: there is no problem; "
        'the last notification, "DOWN: shop" of 2026-07-01 12:30:00 UTC, was sent.'
    )


def test_every_kind_is_in_the_tables() -> None:
    assert [cause["kind"] for cause, _ in CAUSE_TEXTS] == list(CAUSES)
    assert {decision["kind"] for decision, _ in DECISION_TEXTS} == set(DECISIONS)
    assert {suppression["reason"] for suppression, _ in SUPPRESSION_TEXTS} == {
        reason.name.lower() for reason in SuppressionReason
    }
