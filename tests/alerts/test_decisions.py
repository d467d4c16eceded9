import pytest

from monitord.alerts import Decision, DecisionKind


@pytest.mark.parametrize("kind", DecisionKind)
def test_decision_says_whether_the_notifier_has_been_notified(kind: DecisionKind) -> None:
    assert Decision(kind).is_notified is kind.name.startswith("NOTIFIED")
