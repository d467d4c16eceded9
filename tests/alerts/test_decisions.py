import pytest

from monitord.alerts import Decision, DecisionKind


@pytest.mark.parametrize("kind", DecisionKind)
def test_decision_shows_whether_a_notification_was_sent(kind: DecisionKind) -> None:
    assert Decision(kind).is_notified is kind.name.startswith("NOTIFIED")
