"""Titles, subjects, texts and keys of notifications and messages."""

import json
import re
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from monitord.clock import time_text
from monitord.model import MonitorContext, Reason, Severity, State
from monitord.notifiers import Message, Notification, NotificationContext, NotificationKind, notification_of
from monitord.notifiers.notification import cut, utf16_units
from tests.alerts.fakes import ACKNOWLEDGE_URL, CONTEXT, SILENCE_URL, T0, WITH_LINKS, notification

MANUAL = Path(__file__).parents[2] / "docs" / "man" / "monitord.toml.5"


def message(*notifications: Notification) -> Message:
    return Message(notifications or (notification(),), "here", T0)


@pytest.mark.parametrize("kind", NotificationKind)
def test_stored_notification_is_restored(kind: NotificationKind) -> None:
    for sample in (notification(kind=kind), notification(kind=kind, context=CONTEXT)):
        assert notification_of(json.loads(json.dumps(sample.as_json()))) == sample


@pytest.mark.parametrize("state", [State.DOWN, State.DEGRADED, State.UNKNOWN])
@pytest.mark.parametrize("severity", Severity)
def test_restored_notification_has_the_same_text(state: State, severity: Severity) -> None:
    settings = replace(CONTEXT.settings, severity=severity)
    sample = notification(state=state, context=replace(CONTEXT, settings=settings))
    restored = notification_of(json.loads(json.dumps(sample.as_json())))
    assert message(restored).text == message(sample).text
    assert message(restored).as_json() == message(sample).as_json()


def test_notification_of_an_earlier_release_has_no_context() -> None:
    sample = notification()
    keys = {*sample.context.as_json(), "severity"}
    record = {key: value for key, value in sample.as_json().items() if key not in keys}
    assert notification_of(record) == sample


@pytest.mark.parametrize(
    ("configured", "down", "degraded"),
    [
        (Severity.CRITICAL, Severity.CRITICAL, Severity.WARNING),
        (Severity.WARNING, Severity.WARNING, Severity.WARNING),
        (Severity.INFO, Severity.INFO, Severity.INFO),
    ],
)
def test_severity_depends_on_state_and_configuration(
    configured: Severity, down: Severity, degraded: Severity
) -> None:
    context = NotificationContext(MonitorContext(severity=configured))
    for state, severity in ((State.DOWN, down), (State.DEGRADED, degraded), (State.UNKNOWN, degraded)):
        sample = notification(state=state, context=context)
        assert sample.severity is severity
        assert notification_of(sample.as_json()).severity is severity
    assert notification(monitor="", state=State.UNKNOWN, context=context).severity is Severity.CRITICAL


@pytest.mark.usefixtures("in_berlin")
def test_text_has_what_helps_the_recipient() -> None:
    assert (
        message(notification(context=CONTEXT)).text
        == """\
DOWN: Web shop (web-1)
web-1 has been down since 2026-01-01 13:00:00.
connect: refused
type: http; reason: refused; tags: prod
Sells tea.
Runs on db1.
Last check that passed: 2026-01-01 12:59:30
Response excerpt:
  Service
  unavailable
Parents that are not up: gateway
Siblings that are not up: mail, news
Dependents: page-0, page-1, page-2, page-3, page-4 and more
Runbook: https://wiki.example.org/shop
Contact: ops@example.org
Page: https://status.example.org/m/web-1

Acknowledge with: monitorctl ack web-1

Times are in CET (UTC+01:00).
"""
    )


def test_message_of_many_notifications_has_only_the_links_of_each() -> None:
    text = message(*(notification(number, context=CONTEXT) for number in range(4))).text
    assert text.count("Runbook: https://wiki.example.org/shop\nPage: ") == 4
    assert "Sells tea." not in text
    assert "Acknowledge with: monitorctl ack web-0 web-1 web-2 web-3\n" in text


@pytest.mark.parametrize(
    ("sample", "has_hint"),
    [
        (notification(), True),
        (notification(kind=NotificationKind.REMINDER), True),
        (notification(state=State.DEGRADED), False),
        (notification(kind=NotificationKind.RECOVERY), False),
        (notification(kind=NotificationKind.CLOSED), False),
        (notification(kind=NotificationKind.TEST, monitor=""), False),
    ],
)
def test_only_incidents_are_acknowledged(sample: Notification, *, has_hint: bool) -> None:
    assert ("Acknowledge with" in message(sample).text) is has_hint


def test_monitor_that_has_recovered_in_the_same_message_is_not_acknowledged() -> None:
    text = message(
        notification(1, monitor="web"),
        notification(2, monitor="db"),
        notification(3, monitor="web", kind=NotificationKind.RECOVERY, state=State.UP),
    ).text
    assert "Acknowledge with: monitorctl ack db\n" in text


def test_name_in_the_command_is_quoted_for_the_shell() -> None:
    assert "monitorctl ack 'a b;c'\n" in message(notification(monitor="a b;c")).text


def test_context_is_shortened_before_the_detail() -> None:
    sample = message(notification(detail="d" * 100, context=CONTEXT))
    short = sample.shortened(lambda message: len(message.text) < len(sample.text))
    (left,) = short.notifications
    assert left.detail == "d" * 100
    assert left.context == CONTEXT.brief
    assert "Runbook: https://wiki.example.org/shop\nPage: https://status" in short.text


@pytest.mark.parametrize(
    ("sample", "title"),
    [
        (notification(), "DOWN: web-1"),
        (notification(kind=NotificationKind.UPDATE, state=State.DEGRADED), "DEGRADED: web-1"),
        (notification(kind=NotificationKind.REMINDER, at=T0 + timedelta(hours=4)), "still DOWN: web-1, for 4h"),
        (
            notification(kind=NotificationKind.REMINDER, since=T0 + timedelta(hours=3), at=T0 + timedelta(hours=4)),
            "still DOWN: web-1, for 1h",
        ),
        (notification(kind=NotificationKind.RECOVERY, duration_s=300.0), "UP: web-1, recovered after 5m"),
        (notification(kind=NotificationKind.RECOVERY, state=State.DEGRADED), "now DEGRADED: web-1, after 0s"),
        (notification(kind=NotificationKind.RECOVERY, state=State.DOWN), "now DOWN: web-1, after 0s"),
        (notification(state=State.UNKNOWN), "UNKNOWN: web-1"),
        (notification(kind=NotificationKind.FLAPPING), "FLAPPING: web-1"),
        (notification(kind=NotificationKind.FLAPPING_END), "DOWN: web-1, no longer flapping"),
        (notification(kind=NotificationKind.CLOSED), "CLOSED: web-1, no longer monitored"),
        (notification(kind=NotificationKind.TEST), "Test of notifier ops"),
    ],
)  # fmt: skip
def test_title_states_kind_monitor_and_duration(sample: Notification, title: str) -> None:
    assert sample.title == title


def test_manual_shows_the_title_of_each_kind() -> None:
    section = MANUAL.read_text().partition(".B Subject and text.")[2].partition(".TE")[0]
    section = section.replace("T{\n", "").replace("\nT}", "")  # of tbl(1), for cells with several lines

    def title(kind: NotificationKind, state: State) -> str:
        at = T0 + timedelta(hours=4)
        return notification(kind=kind, monitor="shop", state=state, at=at, duration_s=300.0).title

    states = {NotificationKind.UPDATE: State.DEGRADED, NotificationKind.RECOVERY: State.UP}
    titles = {kind.value: title(kind, states.get(kind, State.DOWN)) for kind in NotificationKind}
    other = title(NotificationKind.RECOVERY, State.DEGRADED)
    titles["recovery"] += f"; without a route for the new state: {other}"
    assert dict(re.findall(r"^\\fB(\w+)\\fR@(.+)$", section, re.MULTILINE)) == titles


def test_subject_names_a_few_monitors_of_each_state() -> None:
    many = message(
        *(notification(number) for number in range(7)), notification(8, kind=NotificationKind.RECOVERY)
    )
    assert many.subject == (
        "[monitord here] 7 DOWN (web-0, web-1, web-2, web-3, web-4 and 2 more), 1 recovered (web-8)"
    )
    assert all(f"web-{number}" in many.text for number in range(7))


DOWN, DEGRADED, UP = State.DOWN, State.DEGRADED, State.UP


@pytest.mark.parametrize(
    ("notifications", "subject"),
    [
        (
            [
                (NotificationKind.PROBLEM, DOWN, "cron"),
                (NotificationKind.RECOVERY, UP, "web"),
                (NotificationKind.PROBLEM, DOWN, "ssh"),
            ],
            "2 DOWN (cron, ssh), 1 recovered (web)",
        ),
        (
            [
                (NotificationKind.PROBLEM, DEGRADED, "web"),
                (NotificationKind.UPDATE, DOWN, "web"),
                (NotificationKind.PROBLEM, DOWN, "db"),
            ],
            "2 DOWN (web, db)",
        ),
        (
            [
                (NotificationKind.PROBLEM, DOWN, "web"),
                (NotificationKind.PROBLEM, DOWN, "db"),
                (NotificationKind.RECOVERY, UP, "web"),
            ],
            "1 DOWN (db), 1 recovered (web)",
        ),
        (
            [(NotificationKind.PROBLEM, DOWN, "web"), (NotificationKind.RECOVERY, UP, "web")],
            "UP: web, recovered after 0s",
        ),
        (
            [
                (NotificationKind.FLAPPING, UP, "web"),
                (NotificationKind.CLOSED, DOWN, "db"),
                (NotificationKind.RECOVERY, DEGRADED, "dns"),
            ],
            "1 DEGRADED (dns), 1 FLAPPING (web), 1 closed (db)",
        ),
        (
            [(NotificationKind.PROBLEM, State.UNKNOWN, "gw"), (NotificationKind.FLAPPING_END, DOWN, "web")],
            "1 DOWN (web), 1 UNKNOWN (gw)",
        ),
        (
            [
                (NotificationKind.PROBLEM, DOWN, "web"),
                (NotificationKind.ISOLATED, State.UNKNOWN, ""),
                (NotificationKind.RECONNECTED, State.UNKNOWN, ""),
                (NotificationKind.PROBLEM, DOWN, "db"),
            ],
            "This host is no longer isolated, after 0s; 2 DOWN (web, db)",
        ),
    ],
    ids=lambda sample: sample if isinstance(sample, str) else "",
)
def test_subject_counts_each_monitor_once_in_its_last_state(
    notifications: list[tuple[NotificationKind, State, str]], subject: str
) -> None:
    made = [
        notification(number, kind=kind, state=state, monitor=name)
        for number, (kind, state, name) in enumerate(notifications)
    ]
    assert message(*made).subject == f"[monitord here] {subject}"


@pytest.mark.parametrize(
    ("names", "subject"),
    [
        ([f"{'x' * 60}{number}" for number in range(9)], f"9 DOWN ({'x' * 60}0, {'x' * 60}1 and 7 more)"),
        (["x" * 5000, "y" * 5000], "2 DOWN"),
        (["x" * 5000], f"DOWN: {'x' * 193}…"),
    ],
)
def test_subject_is_limited(names: list[str], subject: str) -> None:
    made = message(*(notification(number, monitor=name) for number, name in enumerate(names)))
    assert made.subject == f"[monitord here] {subject}"


def test_key_of_a_message_depends_on_its_notifications() -> None:
    assert message().key == notification().id
    both = message(notification(1), notification(2))
    assert both.key == message(notification(1), notification(2)).key
    assert (
        len(
            {
                both.key,
                message(notification(1)).key,
                message(notification(2)).key,
                message(notification(2), notification(1)).key,
            }
        )
        == 4
    )


@pytest.fixture
def in_berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("in_berlin")
@pytest.mark.parametrize(
    ("sample", "lines"),
    [
        (
            notification(since=T0, at=T0 + timedelta(seconds=20)),
            [
                "web-1 has been down since 2026-01-01 13:00:00.",
                "connect: refused",
                "type: http; reason: refused; tags: prod",
                "",
                "Acknowledge with: monitorctl ack web-1",
            ],
        ),
        (
            notification(kind=NotificationKind.UPDATE, state=DEGRADED, since=T0 + timedelta(hours=1)),
            [
                "web-1 has been degraded since 2026-01-01 14:00:00. The problem began at 2026-01-01 13:00:00.",
                "connect: refused",
                "type: http; reason: refused; tags: prod",
            ],
        ),
        (
            notification(
                kind=NotificationKind.RECOVERY,
                since=T0 + timedelta(minutes=5),
                at=T0 + timedelta(minutes=5, seconds=1),
                duration_s=300.0,
                reason=Reason.OK,
                detail="",
                tags=(),
            ),
            [
                "web-1 has been up since 2026-01-01 13:05:00. "
                "The problem began at 2026-01-01 13:00:00 and lasted 5m.",
                "type: http",
            ],
        ),
        (
            notification(kind=NotificationKind.FLAPPING, since=T0 + timedelta(minutes=1), detail="", tags=()),
            [
                "web-1 has been flapping since 2026-01-01 13:01:00. The problem began at 2026-01-01 13:00:00.",
                "type: http; reason: refused",
                "",
                "Acknowledge with: monitorctl ack web-1",
            ],
        ),
        (
            notification(
                kind=NotificationKind.CLOSED,
                at=T0 + timedelta(hours=2),
                duration_s=7200.0,
                detail="",
                tags=(),
            ),
            [
                "The monitor web-1 was removed at 2026-01-01 15:00:00. "
                "The problem began at 2026-01-01 13:00:00 and lasted 2h.",
                "type: http; reason: refused",
            ],
        ),
        (
            notification(kind=NotificationKind.ISOLATED, monitor="", detail=""),
            ["Isolated since 2026-01-01 13:00:00."],
        ),
        (
            notification(
                kind=NotificationKind.RECONNECTED,
                monitor="",
                since=T0 + timedelta(minutes=3),
                duration_s=180.0,
                detail="",
            ),
            ["Isolated from 2026-01-01 13:00:00 to 2026-01-01 13:03:00, for 3m."],
        ),
    ],
    ids=lambda sample: sample.kind.value if isinstance(sample, Notification) else "",
)
def test_text_has_times_and_duration(sample: Notification, lines: list[str]) -> None:
    expected = "\n".join([sample.title, *lines, "", "Times are in CET (UTC+01:00).", ""])
    assert Message((sample,), "here", sample.at).text == expected


@pytest.mark.usefixtures("in_berlin")
def test_times_of_one_message_are_in_one_zone_across_a_change_to_summer_time() -> None:
    change = datetime(2026, 3, 29, 1, 0, tzinfo=UTC)
    sample = notification(since=change - timedelta(minutes=1), started_at=change - timedelta(minutes=1))
    made = Message((sample, notification(2, since=change, started_at=change)), "here", change)
    assert "web-1 has been down since 2026-03-29 02:59:00." in made.text
    assert "web-2 has been down since 2026-03-29 03:00:00." in made.text
    assert made.text.endswith("\n\nTimes are in CEST (UTC+02:00).\n")
    assert made.text.count("UTC") == 1


@pytest.mark.usefixtures("in_berlin")
def test_times_in_a_detail_are_in_the_same_zone() -> None:
    detail = f"due at {time_text(T0)}, not at 2026-13-01 12:00:00 UTC"
    text = message(notification(detail=detail)).text
    assert "\ndue at 2026-01-01 13:00:00, not at 2026-13-01 12:00:00 UTC\n" in text


def test_test_message_has_no_times() -> None:
    assert message(notification(kind=NotificationKind.TEST, monitor="", detail="by kim")).text == (
        "Test of notifier ops\nby kim\n"
    )


def test_delayed_message_has_its_creation_time() -> None:
    assert "Delayed" not in message().text
    late = Message((notification(),), "here", T0 + timedelta(minutes=3))
    assert "\nDelayed: created at 2026-01-01 " in late.text


def test_details_are_shortened_as_needed() -> None:
    long = message(notification(1, detail="ü" * 1000), notification(2, detail="short"))
    shortened = long.shortened(lambda message: len(message.text) < 700)
    assert len(shortened.text) < 700
    assert shortened.notifications[0].detail.endswith("ü…")
    assert shortened.notifications[1] == long.notifications[1]
    assert long.shortened(lambda _: True) is long
    assert [shown.detail for shown in long.shortened(lambda _: False).notifications] == ["", ""]


@pytest.mark.parametrize(
    ("text", "most", "shown"),
    [("abc", 3, "abc"), ("abcd", 3, "ab…"), ("ab😀", 4, "ab😀"), ("ab😀c", 4, "ab…"), ("😀😀", 3, "😀…")],
)
def test_text_is_cut_by_utf16_units_between_characters(text: str, most: int, shown: str) -> None:
    assert cut(text, most) == shown
    assert utf16_units(shown) <= most


# Links that act


def test_links_that_act_are_in_the_message_but_not_in_the_stored_notification() -> None:
    sample = notification(context=WITH_LINKS)
    text = message(sample).text
    assert f"\nAcknowledge: {ACKNOWLEDGE_URL}\nSilence for 1 h: {SILENCE_URL}\n" in text
    (sent,) = message(sample).as_json()["notifications"]
    assert (sent["acknowledge_url"], sent["silence_url"]) == (ACKNOWLEDGE_URL, SILENCE_URL)
    assert sent["links_expire_at"] == "2026-01-02T12:00:00.000Z"
    assert "/action/" not in json.dumps(sample.as_json())
    assert notification_of(sample.as_json()) == sample.with_links("", "")


def test_shortened_message_keeps_the_links_that_act() -> None:
    sample = notification(context=replace(WITH_LINKS, excerpt="x" * 500), detail="y" * 500)
    shortened = message(sample).shortened(lambda cut: len(cut.text) < 600).text
    assert f"Acknowledge: {ACKNOWLEDGE_URL}\n" in shortened
    assert f"Silence for 1 h: {SILENCE_URL}\n" in shortened
    assert "xxx" not in shortened


def test_message_without_links_that_act_has_empty_ones() -> None:
    (sent,) = message().as_json()["notifications"]
    assert (sent["acknowledge_url"], sent["silence_url"], sent["links_expire_at"]) == ("", "", None)


def test_text_of_many_notifications_has_no_links_that_act() -> None:
    few, many = (
        message(*(notification(number, context=WITH_LINKS) for number in range(count))) for count in (3, 4)
    )
    assert few.text.count("/action/") == 6
    assert "/action/" not in many.text
    assert "/action/" in json.dumps(many.as_json()["notifications"])
