"""Due notifications: each row of the table in `lifecycle`, and invariants."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitord.alerts import (
    AlertInput,
    AlertRoute,
    AlertSettings,
    Decision,
    DecisionKind,
    Suppression,
    SuppressionReason,
)
from monitord.alerts.lifecycle import (
    Alert,
    alert_from_record,
    alert_record,
    closed_alert,
    closing_notifications,
    evaluate,
    ongoing_notification,
    start_isolation,
)
from monitord.calendar_events import parse_calendar_event
from monitord.health import TimeWindow
from monitord.health.incidents import stable_id
from monitord.model import State
from monitord.notifiers import Notification, NotificationKind
from tests.alerts.fakes import T0, alert_input, alert_settings, at

ALL = alert_settings()
DOWN_ONLY = AlertRoute(("ops",), states=frozenset({State.DOWN}))


def run(
    steps: Sequence[tuple[float, AlertInput]], settings: AlertSettings = ALL
) -> tuple[Alert | None, list[tuple[float, str, str]]]:
    """Evaluate the alert with these inputs at these minutes. Returns minute, notifier and kind of each notification."""
    alert: Alert | None = None
    sent = []
    for minute, current in steps:
        found = evaluate(alert, current, settings, at(minute))
        alert = found.alert
        sent += [
            (minute, notification.notifier, notification.kind.value) for notification in found.notifications
        ]
    return alert, sent


UP, DOWN, DEGRADED = alert_input(State.UP), alert_input(State.DOWN), alert_input(State.DEGRADED)
FLAPPING = alert_input(State.UP, is_flapping=True)
SILENCED = Suppression(SuppressionReason.SILENCED, by="kim", until=at(60))
SUPPRESSED = alert_input(State.DOWN, suppression=SILENCED)
OTHERS = [
    alert_input(notification)
    for notification in (State.UNREACHABLE, State.UNKNOWN, State.PAUSED, State.PENDING)
]


@pytest.mark.parametrize(
    ("steps", "sent"),
    [
        ([UP, UP], []),
        ([DOWN, DOWN, UP, UP], ["problem", "recovery"]),
        ([DEGRADED, DOWN, DEGRADED, UP], ["problem", "update", "update", "recovery"]),
        ([DOWN, *OTHERS, DOWN, UP], ["problem", "recovery"]),
        ([*OTHERS, UP], []),
        ([SUPPRESSED, SUPPRESSED, UP], []),
        ([SUPPRESSED, DOWN, UP], ["problem", "recovery"]),
        ([DOWN, SUPPRESSED, alert_input(State.UP, suppression=SILENCED)], ["problem", "recovery"]),
        ([FLAPPING, FLAPPING, UP], ["flapping", "recovery"]),
        (
            [DOWN, FLAPPING, alert_input(is_flapping=True), DOWN, UP],
            ["problem", "flapping", "flapping_end", "recovery"],
        ),
        ([alert_input(is_flapping=True, suppression=SILENCED), UP], []),
    ],
    ids=[
        "up",
        "down",
        "degraded before and after",
        "other states within",
        "other states alone",
        "silenced",
        "silenced at first",
        "silenced later",
        "flapping",
        "flapping while down",
        "flapping and silenced",
    ],
)
def test_notification_kinds_for_a_sequence_of_states(steps: list[AlertInput], sent: list[str]) -> None:
    assert [kind for _, _, kind in run(list(enumerate(steps)))[1]] == sent


def test_notifier_with_a_route_for_one_state_receives_its_recovery() -> None:
    _, sent = run(list(enumerate([DEGRADED, DOWN, DEGRADED, DOWN, UP])), alert_settings(DOWN_ONLY))
    assert sent == [
        (1, "ops", "problem"),
        (2, "ops", "recovery"),
        (3, "ops", "problem"),
        (4, "ops", "recovery"),
    ]


def test_ids_of_notifications_are_unique() -> None:
    alert, ids = None, []
    for minute, current in enumerate([DEGRADED, DOWN, DEGRADED, DOWN, DEGRADED, UP]):
        found = evaluate(alert, current, alert_settings(DOWN_ONLY), at(minute))
        alert = found.alert
        ids += [notification.id for notification in found.notifications]
    assert len(ids) == len(set(ids)) == 4


def test_first_matching_route_applies_unless_it_continues() -> None:
    routes = (
        AlertRoute(("first",), tags=("prod",), continues=True),
        AlertRoute(("second",), monitors=("w*",)),
        AlertRoute(("third",)),
    )
    names = ("first", "second", "third", "fourth")
    _, sent = run([(0, DOWN)], alert_settings(*routes, names=names))
    assert sent == [(0, "first", "problem"), (0, "second", "problem")]
    _, sent = run([(0, alert_input(monitor="db", tags=()))], alert_settings(*routes, names=names))
    assert sent == [(0, "third", "problem")]
    _, sent = run([(0, DOWN)], alert_settings(AlertRoute(("first",), types=("tcp",)), names=names))
    assert sent == []


def test_escalation_is_sent_only_for_problems_that_last() -> None:
    settings = alert_settings(
        AlertRoute(("ops",), continues=True), AlertRoute(("boss",), after_s=900.0), names=("ops", "boss")
    )
    minutes = [(minute, DOWN) for minute in range(17)]
    _, sent = run(minutes, settings)
    assert sent == [(0, "ops", "problem"), (15, "boss", "problem")]
    _, sent = run([*minutes[:10], (11, UP)], settings)
    assert sent == [(0, "ops", "problem"), (11, "ops", "recovery")]


def test_reminders_follow_their_interval_and_are_suppressed() -> None:
    settings = alert_settings(AlertRoute(("ops",), repeat_every_s=600.0))
    _, sent = run([(minute, DOWN) for minute in range(25)], settings)
    assert sent == [(0, "ops", "problem"), (10, "ops", "reminder"), (20, "ops", "reminder")]
    _, sent = run([(minute, SUPPRESSED if minute else DOWN) for minute in range(25)], settings)
    assert sent == [(0, "ops", "problem")]


def test_problem_is_sent_after_quiet_hours_if_it_lasts() -> None:
    quiet = TimeWindow("quiet", 3600.0, parse_calendar_event("12:00 UTC"))
    settings = alert_settings(AlertRoute(("ops",), quiet_hours=quiet))
    _, sent = run([(0, DOWN), (59, DOWN), (61, DOWN), (1441, UP)], settings)
    assert sent == [(61, "ops", "problem"), (1441, "ops", "recovery")]
    assert run([(0, DOWN), (30, UP), (61, UP)], settings)[1] == []


def test_added_notifier_receives_open_problems() -> None:
    alert, _ = run([(0, DOWN)])
    found = evaluate(alert, DOWN, alert_settings(names=("ops", "new")), at(1))
    assert [(notification.notifier, notification.kind) for notification in found.notifications] == [
        ("new", NotificationKind.PROBLEM)
    ]


def test_notifier_that_no_longer_has_a_route_receives_the_recovery() -> None:
    alert, _ = run([(0, DOWN)])
    settings = alert_settings(AlertRoute(("other",)), names=("ops", "other"))
    found = evaluate(alert, DOWN, settings, at(1))
    assert [notification.notifier for notification in found.notifications] == ["other"]
    over = evaluate(found.alert, UP, settings, at(2))
    assert {(notification.notifier, notification.kind) for notification in over.notifications} == {
        ("ops", NotificationKind.RECOVERY), ("other", NotificationKind.RECOVERY),
    }  # fmt: skip


def test_closing_of_a_removed_monitor_is_sent_to_notifiers_with_an_open_problem() -> None:
    alert, _ = run([(0, DOWN)])
    assert alert is not None
    (last,) = closing_notifications(alert, DOWN, at(1))
    assert (last.kind, last.title, last.alert) == (
        NotificationKind.CLOSED,
        "CLOSED: web, no longer monitored",
        alert.id,
    )
    suppressed, _ = run([(0, SUPPRESSED)])
    assert suppressed is not None
    assert closing_notifications(suppressed, DOWN, at(1)) == ()


@pytest.mark.parametrize(
    ("current", "routes", "decision"),
    [
        (SUPPRESSED, (), Decision(DecisionKind.SUPPRESSED, suppression=SILENCED)),
        (DOWN, (AlertRoute(("other",)),), Decision(DecisionKind.NO_ROUTE)),
        (DOWN, (AlertRoute(("ops",), after_s=900.0),), Decision(DecisionKind.DELAYED, after_s=900.0)),
        (
            alert_input(State.PAUSED),
            (),
            Decision(DecisionKind.STATE_WITHOUT_NOTIFICATIONS, state=State.PAUSED),
        ),
    ],
)
def test_decision_names_why_there_is_no_notification(
    current: AlertInput, routes: tuple[AlertRoute, ...], decision: Decision
) -> None:
    begun = evaluate(None, DOWN, alert_settings(AlertRoute(("other",)), names=("ops", "other")), at(0)).alert
    found = evaluate(begun, current, alert_settings(*routes, names=("ops", "other")), at(0))
    assert found.decisions["ops"] == decision


@pytest.mark.parametrize(
    ("current", "kind"),
    [(DOWN, DecisionKind.NOTIFIED), (FLAPPING, DecisionKind.NOTIFIED_OF_FLAPPING)],
    ids=["down", "flapping"],
)
def test_decision_has_the_time_of_the_last_notification(current: AlertInput, kind: DecisionKind) -> None:
    first = evaluate(None, current, ALL, at(1))
    later = evaluate(first.alert, current, ALL, at(5))
    assert first.decisions["ops"].at == at(1)
    assert later.decisions["ops"] == Decision(kind, at=at(1))


UNKNOWN = alert_input(State.UNKNOWN)
UNKNOWN_ONLY = AlertRoute(("ops",), states=frozenset({State.UNKNOWN}))
ALL_STATES = AlertRoute(("ops",), states=frozenset({State.DOWN, State.DEGRADED, State.UNKNOWN}))


@pytest.mark.parametrize(
    ("route", "steps", "sent"),
    [
        (ALL_STATES, [UNKNOWN, UNKNOWN, UP], ["UNKNOWN: web", "UP: web, recovered after 2m"]),
        (
            ALL_STATES,
            [UNKNOWN, DOWN, UNKNOWN, UP],
            ["UNKNOWN: web", "DOWN: web", "UNKNOWN: web", "UP: web, recovered after 3m"],
        ),
        (UNKNOWN_ONLY, [UNKNOWN, DOWN, UP], ["UNKNOWN: web", "now DOWN: web, after 1m"]),
        (UNKNOWN_ONLY, [DOWN, UNKNOWN, UP], ["UNKNOWN: web", "UP: web, recovered after 1m"]),
        (UNKNOWN_ONLY, [UNKNOWN, *OTHERS[2:], UP], ["UNKNOWN: web", "UP: web, recovered after 3m"]),
        (UNKNOWN_ONLY, [FLAPPING, DOWN, UP], []),
        (UNKNOWN_ONLY, [replace(UNKNOWN, suppression=SILENCED), UP], []),
        (DOWN_ONLY, [UNKNOWN, DOWN, UNKNOWN, UP], ["DOWN: web", "UP: web, recovered after 2m"]),
    ],
    ids=[
        "all states",
        "all states, down within",
        "unknown alone, then down",
        "unknown alone, down before",
        "unknown alone, other states within",
        "unknown alone, flapping",
        "unknown alone, silenced",
        "down alone",
    ],
)
def test_unknown_is_sent_by_routes_with_this_state(
    route: AlertRoute, steps: list[AlertInput], sent: list[str]
) -> None:
    alert, titles, before = None, [], None
    for minute, current in enumerate(steps):
        since = at(minute) if before is None or current.state is not before.state else before.since
        before = replace(current, since=since)
        found = evaluate(alert, before, alert_settings(route), at(minute))
        alert = found.alert
        titles += [notification.title for notification in found.notifications]
    assert titles == sent


def test_after_of_a_route_for_failures_does_not_count_unknown_time() -> None:
    escalation = AlertRoute(("boss",), states=frozenset({State.DOWN}), after_s=1800.0)
    settings = alert_settings(UNKNOWN_ONLY, escalation, names=("ops", "boss"))
    down = [(minute, alert_input(since=at(60))) for minute in range(60, 100)]
    _, sent = run([(0, UNKNOWN), (50, UNKNOWN), *down], settings)
    assert sent == [(0, "ops", "problem"), (60, "ops", "recovery"), (90, "boss", "problem")]


def test_reminder_of_flapping_is_a_flapping_notification() -> None:
    settings = alert_settings(AlertRoute(("ops",), repeat_every_s=600.0))
    alert: Alert | None = None
    notifications: list[Notification] = []
    for minute in range(15):
        found = evaluate(alert, FLAPPING, settings, at(minute))
        alert = found.alert
        notifications += found.notifications
    assert [notification.title for notification in notifications] == ["FLAPPING: web", "FLAPPING: web"]
    assert {notification.since for notification in notifications} == {T0}
    (over,) = evaluate(alert, UP, settings, at(15)).notifications
    assert (over.title, over.problem_ended_at) == ("UP: web, recovered after 15m", at(15))


def test_times_of_a_change_and_of_a_recovery_to_degraded() -> None:
    alert, notifications = None, []
    degraded_again = alert_input(State.DEGRADED, since=at(20))
    for minute, current in ((5, DEGRADED), (10, alert_input(since=at(10))), (20, degraded_again)):
        found = evaluate(
            alert,
            current,
            alert_settings(AlertRoute(("all",), continues=True), DOWN_ONLY, names=("all", "ops")),
            at(minute),
        )
        alert = found.alert
        notifications += [
            (
                notification.notifier,
                notification.kind.value,
                notification.since,
                notification.started_at,
                notification.duration_s,
            )
            for notification in found.notifications
        ]
    assert notifications == [
        ("all", "problem", T0, T0, 300.0),
        ("all", "update", at(10), T0, 600.0),
        ("ops", "problem", at(10), at(10), 0.0),
        ("all", "update", at(20), T0, 1200.0),
        ("ops", "recovery", at(20), at(10), 600.0),
    ]


def test_notification_ids_are_new_after_a_monitor_is_configured_again() -> None:
    ended, ids = None, []
    for _ in range(3):
        found = evaluate(None, DOWN, ALL, at(1), ended)
        assert found.alert is not None
        assert found.alert.id == stable_id("web", T0)
        ids += [
            notification.id
            for notification in (*found.notifications, *closing_notifications(found.alert, DOWN, at(2)))
        ]
        ended = alert_from_record(alert_record(closed_alert(found.alert)))
    found = evaluate(None, DOWN, ALL, at(3), ended)
    ids += [
        notification.id
        for notification in (*found.notifications, *evaluate(found.alert, UP, ALL, at(4)).notifications)
    ]
    assert len(set(ids)) == len(ids) == 8


def test_repeated_notification_has_its_own_id() -> None:
    found = evaluate(None, DOWN, ALL, at(0))
    assert found.alert is not None
    again = [ongoing_notification(found.alert, "ops", DOWN, at(minute)) for minute in (1, 2)]
    (over,) = evaluate(found.alert, UP, ALL, at(3)).notifications
    assert (
        len(
            {
                notification.id
                for notification in (*found.notifications, *again, over)
                if notification is not None
            }
        )
        == 4
    )


INPUTS = st.builds(
    alert_input,
    st.sampled_from(State),
    is_flapping=st.booleans(),
    suppression=st.sampled_from([None, None, SILENCED]),
)
ROUTES = st.builds(
    AlertRoute,
    st.lists(st.sampled_from(["ops", "boss"]), min_size=1, unique=True).map(tuple),
    states=st.sets(st.sampled_from([State.DOWN, State.DEGRADED, State.UNKNOWN]), min_size=1).map(frozenset),
    continues=st.booleans(),
    after_s=st.sampled_from([0.0, 120.0]),
    repeat_every_s=st.sampled_from([None, 60.0]),
)


@given(st.lists(INPUTS, max_size=30), st.lists(ROUTES, max_size=3))
def test_each_problem_has_one_closing_notification(
    inputs: list[AlertInput], routes: list[AlertRoute]
) -> None:
    settings = alert_settings(*routes, names=("ops", "boss"))
    alert: Alert | None = None
    sent: dict[str, list[Notification]] = {"ops": [], "boss": []}
    for minute, current in enumerate([*inputs, UP]):
        before = alert
        found = evaluate(alert, replace(current, since=at(minute)), settings, at(minute))
        alert = found.alert
        assert not (
            before is not None and not found.notifications and alert is not None and alert is not before
        )
        if alert is not None:
            assert alert_from_record(alert_record(alert)) == alert
        for notification in found.notifications:
            sent[notification.notifier].append(notification)
    assert alert is None
    for notifications in sent.values():
        assert len({notification.id for notification in notifications}) == len(notifications)
        kinds = [notification.kind for notification in notifications]
        assert not kinds or kinds[-1].is_closing
        for kind, following in pairwise([NotificationKind.RECOVERY, *kinds]):
            opens = following in {NotificationKind.PROBLEM, NotificationKind.FLAPPING}
            assert opens or not kind.is_closing
            assert not (following is NotificationKind.PROBLEM and not kind.is_closing)


def test_detail_is_one_line_without_control_characters() -> None:
    found = evaluate(None, alert_input(detail="a\x1b[31mb\r\nc\0" + "x" * 5000), ALL, at(0))
    detail = found.notifications[0].detail
    assert detail.startswith("a [31mb  c xxx")
    assert len(detail) == 1000


def test_notification_has_the_beginning_of_the_problem() -> None:
    found = evaluate(None, alert_input(since=T0 - timedelta(minutes=3)), ALL, at(0))
    (opening,) = found.notifications
    (over,) = evaluate(found.alert, alert_input(State.UP, since=at(2)), ALL, at(2.1)).notifications
    assert (opening.title, opening.since, opening.started_at) == ("DOWN: web", at(-3), at(-3))
    assert (over.title, over.since, over.started_at) == ("UP: web, recovered after 5m", at(2), at(-3))
    assert over.duration_s == 300.0
    assert over.problem_ended_at == at(2)


@pytest.mark.parametrize(
    ("steps", "last", "kind", "state", "since"),
    [
        pytest.param([], DOWN, None, None, None, id="not notified"),
        pytest.param([DOWN], None, None, None, None, id="state unknown after a restart"),
        pytest.param([DOWN], DOWN, NotificationKind.REMINDER, State.DOWN, T0, id="down"),
        pytest.param(
            [DOWN],
            replace(DEGRADED, since=at(30)),
            NotificationKind.REMINDER,
            State.DOWN,
            T0,
            id="degraded, of which it is not notified",
        ),
        pytest.param([FLAPPING], FLAPPING, NotificationKind.FLAPPING, State.UP, at(1), id="flapping"),
    ],
)
def test_repeated_notification_repeats_the_last_one(
    steps: list[AlertInput],
    last: AlertInput | None,
    kind: NotificationKind | None,
    state: State | None,
    since: datetime | None,
) -> None:
    settings = replace(alert_settings(DOWN_ONLY), routes=(DOWN_ONLY,))
    alert = Alert(stable_id("web", T0), "web", "web", T0)
    for step in steps:
        advanced = evaluate(alert, step, settings, at(1)).alert
        assert advanced is not None
        alert = advanced
    repeated = ongoing_notification(alert, "ops", last, at(40))
    if kind is None:
        assert repeated is None
        return
    assert repeated is not None
    assert (repeated.kind, repeated.state, repeated.since) == (kind, state, since)
    assert (repeated.notifier, repeated.alert, repeated.number) == (
        "ops",
        alert.id,
        alert.notifiers["ops"].count,
    )


def test_repeated_notifications_of_several_notifiers_and_times_have_their_own_ids() -> None:
    settings = alert_settings(names=("ops", "backup"))
    alert = evaluate(None, DOWN, settings, T0).alert
    assert alert is not None
    repeated = [
        ongoing_notification(alert, name, DOWN, at(minute)) for name in ("ops", "backup") for minute in (1, 2)
    ]
    assert len({notification.id for notification in repeated if notification is not None}) == 4


def test_repeated_isolation_has_its_beginning() -> None:
    isolation = start_isolation(["ops"], T0).alert
    assert isolation is not None
    repeated = ongoing_notification(isolation, "ops", None, at(10))
    assert repeated is not None
    assert (repeated.kind, repeated.since) == (NotificationKind.ISOLATED, T0)


def test_closed_alert_is_no_longer_known_to_a_notifier() -> None:
    alert = evaluate(None, FLAPPING, ALL, T0).alert
    assert alert is not None
    record = closed_alert(alert).notifiers["ops"]
    assert (record.is_open, record.is_flapping, record.count) == (False, False, 2)
