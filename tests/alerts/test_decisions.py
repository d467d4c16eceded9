import pytest

from monitord.alerts import Decision, DecisionKind


@pytest.mark.parametrize("kind", DecisionKind)
def test_title_of_a_notification_does_not_make_a_notifier_aware(kind: DecisionKind) -> None:
    is_aware = kind in {DecisionKind.NOTIFIED, DecisionKind.AWARE, DecisionKind.AWARE_OF_FLAPPING}
    assert Decision(kind, title="it was told").is_aware is is_aware
