"""The differences between two outcomes."""

from dataclasses import replace

from monitord.model import Incident, Reason, State
from monitord.notifiers import NotificationKind
from monitord.replay import Outcome, RecordedAlert, RecordedNotification, compare_alerts, compare_incidents
from tests.replay.replays import at

ALERT = RecordedAlert("1", "shop", at(100), State.DOWN, Reason.REFUSED, "refused", at(200))
PROBLEM = RecordedNotification(at(110), "ops", NotificationKind.PROBLEM, "1", "shop", State.DOWN)
RECOVERY = replace(PROBLEM, at=at(200), kind=NotificationKind.RECOVERY, state=State.UP)
INCIDENT = Incident("1", "shop", at(100), Reason.REFUSED, "refused", at(200))


def outcome(*alerts: RecordedAlert, sent: tuple[RecordedNotification, ...] = ()) -> Outcome:
    return Outcome(alerts=list(alerts), notifications=list(sent))


def test_small_differences_of_times_are_none() -> None:
    before = outcome(ALERT, sent=(PROBLEM, RECOVERY))
    after = outcome(replace(ALERT, until=at(202)), sent=(replace(PROBLEM, at=at(112)), RECOVERY))
    assert compare_alerts(before, after, {}) == []


def test_later_notification_differs() -> None:
    later = replace(PROBLEM, at=at(170))
    (change,) = compare_alerts(outcome(ALERT, sent=(PROBLEM,)), outcome(ALERT, sent=(later,)), {})
    assert (change.sent_before, change.sent_after) == ((PROBLEM,), (later,))


def test_other_end_state_or_missing_end_differs() -> None:
    for other in (
        replace(ALERT, until=at(300)),
        replace(ALERT, until=None),
        replace(ALERT, state=State.DEGRADED),
    ):
        (change,) = compare_alerts(outcome(ALERT), outcome(other), {})
        assert (change.before, change.after) == (ALERT, other)


def test_alert_is_compared_with_the_one_at_the_same_time() -> None:
    earlier, later = replace(ALERT, id="0", since=at(10), until=at(50)), replace(ALERT, since=at(150))
    first, second = compare_alerts(outcome(earlier, ALERT), outcome(later), {})
    assert (first.before, first.after) == (earlier, None)
    assert (second.before, second.after) == (ALERT, later)


def test_alert_that_becomes_two_is_compared_once() -> None:
    halves = replace(ALERT, until=at(130)), replace(ALERT, id="2", since=at(160))
    first, second = compare_alerts(outcome(ALERT), outcome(*halves), {})
    assert (first.before, first.after) == (ALERT, halves[0])
    assert (second.before, second.after) == (None, halves[1])


def test_alerts_of_two_monitors_are_not_compared_with_each_other() -> None:
    other = replace(ALERT, monitor="store")
    assert len(compare_alerts(outcome(ALERT), outcome(other), {})) == 2
    assert compare_alerts(outcome(ALERT), outcome(other), {"store": "shop"}) == []


def test_notifications_belong_to_their_alert() -> None:
    second = replace(ALERT, id="2", since=at(300), until=at(400))
    sent = (PROBLEM, replace(PROBLEM, alert="2", at=at(310)))
    (change,) = compare_alerts(outcome(ALERT, second, sent=sent), outcome(ALERT, second, sent=sent[:1]), {})
    assert change.before == second
    assert (change.sent_before, change.sent_after) == (sent[1:], ())


def test_incidents_differ_by_their_period() -> None:
    before, same = Outcome(incidents={"1": INCIDENT}), Outcome(incidents={"2": replace(INCIDENT, id="2")})
    assert compare_incidents(before, same, {}) == []
    longer = Outcome(incidents={"1": replace(INCIDENT, closed_at=None)})
    (change,) = compare_incidents(before, longer, {})
    assert change.before == INCIDENT
    assert [change.after for change in compare_incidents(before, Outcome(), {})] == [None]
