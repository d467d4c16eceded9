from datetime import UTC, datetime

import pytest

from monitord.alerts import Decision, DecisionKind, Suppression, SuppressionReason, decision_text
from monitord.model import State

AT = datetime(2026, 7, 1, 12, 30, tzinfo=UTC)

TEXTS = {
    Decision(DecisionKind.NOTIFIED, title="shop is down"): "it was told just now: shop is down",
    Decision(DecisionKind.AWARE, at=AT): "it was told at 2026-07-01 12:30:00 UTC",
    Decision(DecisionKind.AWARE_OF_FLAPPING): "it was told of the flapping",
    Decision(DecisionKind.DELAYED, after_s=900.0): "only if it is not over after 15m",
    Decision(DecisionKind.QUIET_HOURS): "not now: these are its quiet hours",
    Decision(DecisionKind.NO_ROUTE): "no route leads there",
    Decision(
        DecisionKind.NO_ROUTE_FOR_UNKNOWN
    ): "it is unknown, and no route for unknown monitors leads there",
    Decision(
        DecisionKind.STATE_WITHOUT_NOTIFICATIONS, health=State.PAUSED
    ): "it is paused, which nobody is told",
}

SUPPRESSIONS = {
    Suppression(SuppressionReason.MAINTENANCE, window="upgrade"): "the maintenance window upgrade is open",
    Suppression(
        SuppressionReason.SILENCED, by="kim", until=AT
    ): "silenced until 2026-07-01 12:30:00 UTC by kim",
    Suppression(SuppressionReason.ACKNOWLEDGED, by="kim"): "acknowledged by kim",
    Suppression(
        SuppressionReason.NOT_CHECKED
    ): "it has not been checked since monitord or its checks were started",
    Suppression(SuppressionReason.ISOLATED): "this host is isolated",
}


@pytest.mark.parametrize(("decision", "text"), TEXTS.items(), ids=[one.kind.name for one in TEXTS])
def test_decision_in_words(decision: Decision, text: str) -> None:
    assert decision_text(decision) == text


@pytest.mark.parametrize(
    ("suppression", "text"), SUPPRESSIONS.items(), ids=[one.reason.name for one in SUPPRESSIONS]
)
def test_suppression_in_words(suppression: Suppression, text: str) -> None:
    assert decision_text(Decision(DecisionKind.SUPPRESSED, suppression=suppression)) == f"not now: {text}"


def test_every_kind_and_every_reason_has_its_words() -> None:
    assert {one.kind for one in TEXTS} | {DecisionKind.SUPPRESSED} == set(DecisionKind)
    assert {one.reason for one in SUPPRESSIONS} == set(SuppressionReason)


@pytest.mark.parametrize("kind", DecisionKind)
def test_title_of_a_notification_does_not_make_a_notifier_aware(kind: DecisionKind) -> None:
    is_aware = kind in {DecisionKind.NOTIFIED, DecisionKind.AWARE, DecisionKind.AWARE_OF_FLAPPING}
    assert Decision(kind, title="it was told").is_aware is is_aware
