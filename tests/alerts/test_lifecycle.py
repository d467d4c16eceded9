"""Who is told what: each row of the table in `alerts`, and what must hold whatever happens."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitord.alerts import (
    AlertSettings,
    Decision,
    DecisionKind,
    Route,
    Standing,
    Suppression,
    SuppressionReason,
)
from monitord.alerts.lifecycle import Alert, advance, alert_of, closed, end, goes_on, record_of
from monitord.calendar_events import parse_calendar_event
from monitord.health import Window
from monitord.health.incidents import incident_id
from monitord.model import State
from monitord.notifiers import Notification, NotificationKind
from tests.alerts.made import T0, at, standing, told_by

ALL = told_by()
DOWN_ONLY = Route(("ops",), states=frozenset({State.DOWN}))


def run(
    steps: Sequence[tuple[float, Standing]], settings: AlertSettings = ALL
) -> tuple[Alert | None, list[tuple[float, str, str]]]:
    """What is told, with the minute and to whom, when the monitor stands so at these minutes."""
    alert: Alert | None = None
    told = []
    for minute, stands in steps:
        found = advance(alert, stands, settings, at(minute))
        alert = found.alert
        told += [(minute, one.notifier, one.kind.value) for one in found.notifications]
    return alert, told


UP, DOWN, DEGRADED = standing(State.UP), standing(State.DOWN), standing(State.DEGRADED)
FLAPPING = standing(State.UP, is_flapping=True)
SILENCED = Suppression(SuppressionReason.SILENCED, by="kim", until=at(60))
HUSHED = standing(State.DOWN, suppression=SILENCED)
OTHERS = [standing(one) for one in (State.UNREACHABLE, State.UNKNOWN, State.PAUSED, State.PENDING)]


@pytest.mark.parametrize(
    ("steps", "told"),
    [
        ([UP, UP], []),
        ([DOWN, DOWN, UP, UP], ["problem", "recovery"]),
        ([DEGRADED, DOWN, DEGRADED, UP], ["problem", "update", "update", "recovery"]),
        ([DOWN, *OTHERS, DOWN, UP], ["problem", "recovery"]),
        ([*OTHERS, UP], []),
        ([HUSHED, HUSHED, UP], []),
        ([HUSHED, DOWN, UP], ["problem", "recovery"]),
        ([DOWN, HUSHED, standing(State.UP, suppression=SILENCED)], ["problem", "recovery"]),
        ([FLAPPING, FLAPPING, UP], ["flapping", "recovery"]),
        (
            [DOWN, FLAPPING, standing(is_flapping=True), DOWN, UP],
            ["problem", "flapping", "flapping_end", "recovery"],
        ),
        ([standing(is_flapping=True, suppression=SILENCED), UP], []),
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
def test_what_is_told(steps: list[Standing], told: list[str]) -> None:
    assert [kind for _, _, kind in run(list(enumerate(steps)))[1]] == told


def test_a_notifier_for_one_state_hears_the_end_of_it() -> None:
    _, told = run(list(enumerate([DEGRADED, DOWN, DEGRADED, DOWN, UP])), told_by(DOWN_ONLY))
    assert told == [
        (1, "ops", "problem"),
        (2, "ops", "recovery"),
        (3, "ops", "problem"),
        (4, "ops", "recovery"),
    ]


def test_ids_of_notifications_are_never_the_same() -> None:
    alert, ids = None, []
    for minute, stands in enumerate([DEGRADED, DOWN, DEGRADED, DOWN, DEGRADED, UP]):
        found = advance(alert, stands, told_by(DOWN_ONLY), at(minute))
        alert = found.alert
        ids += [one.id for one in found.notifications]
    assert len(ids) == len(set(ids)) == 4


def test_the_first_route_that_fits_holds_unless_it_goes_on() -> None:
    routes = (
        Route(("first",), tags=("prod",), continues=True),
        Route(("second",), monitors=("w*",)),
        Route(("third",)),
    )
    names = ("first", "second", "third", "fourth")
    _, told = run([(0, DOWN)], told_by(*routes, names=names))
    assert told == [(0, "first", "problem"), (0, "second", "problem")]
    _, told = run([(0, standing(monitor="db", tags=()))], told_by(*routes, names=names))
    assert told == [(0, "third", "problem")]
    _, told = run([(0, DOWN)], told_by(Route(("first",), types=("tcp",)), names=names))
    assert told == []


def test_an_escalation_waits_and_spares_what_is_over_by_then() -> None:
    settings = told_by(
        Route(("ops",), continues=True), Route(("boss",), after_s=900.0), names=("ops", "boss")
    )
    minutes = [(minute, DOWN) for minute in range(17)]
    _, told = run(minutes, settings)
    assert told == [(0, "ops", "problem"), (15, "boss", "problem")]
    _, told = run([*minutes[:10], (11, UP)], settings)
    assert told == [(0, "ops", "problem"), (11, "ops", "recovery")]


def test_a_reminder_comes_at_its_interval_and_not_while_hushed() -> None:
    settings = told_by(Route(("ops",), repeat_every_s=600.0))
    _, told = run([(minute, DOWN) for minute in range(25)], settings)
    assert told == [(0, "ops", "problem"), (10, "ops", "reminder"), (20, "ops", "reminder")]
    _, told = run([(minute, HUSHED if minute else DOWN) for minute in range(25)], settings)
    assert told == [(0, "ops", "problem")]


def test_quiet_hours_hold_back_what_still_holds_afterwards() -> None:
    quiet = Window("quiet", 3600.0, parse_calendar_event("12:00 UTC"))
    settings = told_by(Route(("ops",), quiet=quiet))
    _, told = run([(0, DOWN), (59, DOWN), (61, DOWN), (1441, UP)], settings)
    assert told == [(61, "ops", "problem"), (1441, "ops", "recovery")]
    assert run([(0, DOWN), (30, UP), (61, UP)], settings)[1] == []


def test_a_notifier_that_is_new_hears_of_what_goes_on() -> None:
    alert, _ = run([(0, DOWN)])
    found = advance(alert, DOWN, told_by(names=("ops", "new")), at(1))
    assert [(one.notifier, one.kind) for one in found.notifications] == [("new", NotificationKind.PROBLEM)]


def test_who_lost_the_route_still_hears_the_end() -> None:
    alert, _ = run([(0, DOWN)])
    settings = told_by(Route(("other",)), names=("ops", "other"))
    found = advance(alert, DOWN, settings, at(1))
    assert [one.notifier for one in found.notifications] == ["other"]
    over = advance(found.alert, UP, settings, at(2))
    assert {(one.notifier, one.kind) for one in over.notifications} == {
        ("ops", NotificationKind.RECOVERY), ("other", NotificationKind.RECOVERY),
    }  # fmt: skip


def test_whoever_was_told_hears_that_nobody_looks_any_more() -> None:
    alert, _ = run([(0, DOWN)])
    assert alert is not None
    (last,) = end(alert, DOWN, at(1))
    assert (last.kind, last.title, last.alert) == (
        NotificationKind.CLOSED,
        "watched no longer: web",
        alert.id,
    )
    hushed, _ = run([(0, HUSHED)])
    assert hushed is not None
    assert end(hushed, DOWN, at(1)) == ()


@pytest.mark.parametrize(
    ("stands", "routes", "decision"),
    [
        (HUSHED, (), Decision(DecisionKind.SUPPRESSED, suppression=SILENCED)),
        (DOWN, (Route(("other",)),), Decision(DecisionKind.NO_ROUTE)),
        (DOWN, (Route(("ops",), after_s=900.0),), Decision(DecisionKind.DELAYED, after_s=900.0)),
        (
            standing(State.PAUSED),
            (),
            Decision(DecisionKind.STATE_WITHOUT_NOTIFICATIONS, health=State.PAUSED),
        ),
    ],
)
def test_decision_names_why_there_is_no_notification(
    stands: Standing, routes: tuple[Route, ...], decision: Decision
) -> None:
    begun = advance(None, DOWN, told_by(Route(("other",)), names=("ops", "other")), at(0)).alert
    found = advance(begun, stands, told_by(*routes, names=("ops", "other")), at(0))
    assert found.decisions["ops"] == decision


UNKNOWN = standing(State.UNKNOWN)
UNKNOWN_ONLY = Route(("ops",), states=frozenset({State.UNKNOWN}))
ALL_STATES = Route(("ops",), states=frozenset({State.DOWN, State.DEGRADED, State.UNKNOWN}))


@pytest.mark.parametrize(
    ("route", "steps", "told"),
    [
        (ALL_STATES, [UNKNOWN, UNKNOWN, UP], ["UNKNOWN: web", "UP again: web, after 2m"]),
        (
            ALL_STATES,
            [UNKNOWN, DOWN, UNKNOWN, UP],
            ["UNKNOWN: web", "DOWN: web", "UNKNOWN: web", "UP again: web, after 3m"],
        ),
        (UNKNOWN_ONLY, [UNKNOWN, DOWN, UP], ["UNKNOWN: web", "now DOWN: web, after 1m"]),
        (UNKNOWN_ONLY, [DOWN, UNKNOWN, UP], ["UNKNOWN: web", "UP again: web, after 1m"]),
        (UNKNOWN_ONLY, [UNKNOWN, *OTHERS[2:], UP], ["UNKNOWN: web", "UP again: web, after 3m"]),
        (UNKNOWN_ONLY, [FLAPPING, DOWN, UP], []),
        (UNKNOWN_ONLY, [replace(UNKNOWN, suppression=SILENCED), UP], []),
        (DOWN_ONLY, [UNKNOWN, DOWN, UNKNOWN, UP], ["DOWN: web", "UP again: web, after 2m"]),
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
def test_unknown_is_notified_to_those_with_a_route_for_it(
    route: Route, steps: list[Standing], told: list[str]
) -> None:
    alert, titles, before = None, [], None
    for minute, one in enumerate(steps):
        since = at(minute) if before is None or one.health is not before.health else before.since
        before = replace(one, since=since)
        found = advance(alert, before, told_by(route), at(minute))
        alert = found.alert
        titles += [notification.title for notification in found.notifications]
    assert titles == told


def test_time_in_which_a_monitor_was_unknown_does_not_count_for_a_route_for_failures() -> None:
    escalation = Route(("boss",), states=frozenset({State.DOWN}), after_s=1800.0)
    settings = told_by(UNKNOWN_ONLY, escalation, names=("ops", "boss"))
    down = [(minute, standing(since=at(60))) for minute in range(60, 100)]
    _, told = run([(0, UNKNOWN), (50, UNKNOWN), *down], settings)
    assert told == [(0, "ops", "problem"), (60, "ops", "recovery"), (90, "boss", "problem")]


def test_a_reminder_of_flapping_says_so() -> None:
    settings = told_by(Route(("ops",), repeat_every_s=600.0))
    alert: Alert | None = None
    notifications: list[Notification] = []
    for minute in range(15):
        found = advance(alert, FLAPPING, settings, at(minute))
        alert = found.alert
        notifications += found.notifications
    assert [one.title for one in notifications] == ["FLAPPING: web", "FLAPPING: web"]
    assert {one.since for one in notifications} == {T0}
    (over,) = advance(alert, UP, settings, at(15)).notifications
    assert (over.title, over.ended_at) == ("UP again: web, after 15m", at(15))


def test_times_of_a_change_and_of_a_recovery_to_degraded() -> None:
    alert, notifications = None, []
    degraded_again = standing(State.DEGRADED, since=at(20))
    for minute, stands in ((5, DEGRADED), (10, standing(since=at(10))), (20, degraded_again)):
        found = advance(
            alert,
            stands,
            told_by(Route(("all",), continues=True), DOWN_ONLY, names=("all", "ops")),
            at(minute),
        )
        alert = found.alert
        notifications += [
            (one.notifier, one.kind.value, one.since, one.started_at, one.duration_s)
            for one in found.notifications
        ]
    assert notifications == [
        ("all", "problem", T0, T0, 300.0),
        ("all", "update", at(10), T0, 600.0),
        ("ops", "problem", at(10), at(10), 0.0),
        ("all", "update", at(20), T0, 1200.0),
        ("ops", "recovery", at(20), at(10), 600.0),
    ]


def test_a_monitor_that_is_removed_and_configured_again_reuses_no_id() -> None:
    ended, ids = None, []
    for _ in range(3):
        found = advance(None, DOWN, ALL, at(1), ended)
        assert found.alert is not None
        assert found.alert.id == incident_id("web", T0)
        ids += [one.id for one in (*found.notifications, *end(found.alert, DOWN, at(2)))]
        ended = alert_of(record_of(closed(found.alert)))
    found = advance(None, DOWN, ALL, at(3), ended)
    ids += [one.id for one in (*found.notifications, *advance(found.alert, UP, ALL, at(4)).notifications)]
    assert len(set(ids)) == len(ids) == 8


def test_what_is_sent_again_every_minute_has_an_id_of_its_own() -> None:
    found = advance(None, DOWN, ALL, at(0))
    assert found.alert is not None
    again = [goes_on(found.alert, "ops", DOWN, at(minute)) for minute in (1, 2)]
    (over,) = advance(found.alert, UP, ALL, at(3)).notifications
    assert len({one.id for one in (*found.notifications, *again, over) if one is not None}) == 4


STANDINGS = st.builds(
    standing,
    st.sampled_from(State),
    is_flapping=st.booleans(),
    suppression=st.sampled_from([None, None, SILENCED]),
)
ROUTES = st.builds(
    Route,
    st.lists(st.sampled_from(["ops", "boss"]), min_size=1, unique=True).map(tuple),
    states=st.sets(st.sampled_from([State.DOWN, State.DEGRADED, State.UNKNOWN]), min_size=1).map(frozenset),
    continues=st.booleans(),
    after_s=st.sampled_from([0.0, 120.0]),
    repeat_every_s=st.sampled_from([None, 60.0]),
)


@given(st.lists(STANDINGS, max_size=30), st.lists(ROUTES, max_size=3))
def test_whatever_happens_each_opening_has_one_closing(stands: list[Standing], routes: list[Route]) -> None:
    settings = told_by(*routes, names=("ops", "boss"))
    alert: Alert | None = None
    sent: dict[str, list[Notification]] = {"ops": [], "boss": []}
    for minute, one in enumerate([*stands, UP]):
        before = alert
        found = advance(alert, replace(one, since=at(minute)), settings, at(minute))
        alert = found.alert
        assert not (
            before is not None and not found.notifications and alert is not None and alert is not before
        )
        if alert is not None:
            assert alert_of(record_of(alert)) == alert
        for notification in found.notifications:
            sent[notification.notifier].append(notification)
    assert alert is None
    for notifications in sent.values():
        assert len({one.id for one in notifications}) == len(notifications)
        kinds = [one.kind for one in notifications]
        assert not kinds or kinds[-1].is_closing
        for kind, following in pairwise([NotificationKind.RECOVERY, *kinds]):
            opens = following in {NotificationKind.PROBLEM, NotificationKind.FLAPPING}
            assert opens or not kind.is_closing
            assert not (following is NotificationKind.PROBLEM and not kind.is_closing)


def test_what_a_peer_says_is_a_line_without_controls() -> None:
    found = advance(None, standing(detail="a\x1b[31mb\r\nc\0" + "x" * 5000), ALL, at(0))
    detail = found.notifications[0].detail
    assert detail.startswith("a [31mb  c xxx")
    assert len(detail) == 1000


def test_a_notification_tells_when_the_alert_began() -> None:
    found = advance(None, standing(since=T0 - timedelta(minutes=3)), ALL, at(0))
    (opening,) = found.notifications
    (over,) = advance(found.alert, standing(State.UP, since=at(2)), ALL, at(2.1)).notifications
    assert (opening.title, opening.since, opening.started_at) == ("DOWN: web", at(-3), at(-3))
    assert (over.title, over.since, over.started_at) == ("UP again: web, after 5m", at(2), at(-3))
    assert over.duration_s == 300.0
    assert over.ended_at == at(2)
