"""What is told reads well, is the same at each attempt, and is found again as it was."""

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from monitord.clock import time_text
from monitord.model import Health, Reason
from monitord.notifiers import Message, Notice, NoticeKind, notice_of
from monitord.notifiers.notice import cut, utf16_units
from tests.alerts.made import T0, notice


def message(*notices: Notice) -> Message:
    return Message(notices or (notice(),), "here", T0)


@pytest.mark.parametrize("kind", NoticeKind)
def test_a_notice_survives_being_kept(kind: NoticeKind) -> None:
    one = notice(kind=kind)
    assert notice_of(json.loads(json.dumps(one.as_json()))) == one


@pytest.mark.parametrize(
    ("one", "title"),
    [
        (notice(), "DOWN: web-1"),
        (notice(kind=NoticeKind.CHANGE, health=Health.DEGRADED), "DEGRADED: web-1"),
        (notice(kind=NoticeKind.REMINDER, at=T0 + timedelta(hours=4)), "still DOWN after 4h: web-1"),
        (
            notice(kind=NoticeKind.REMINDER, since=T0 + timedelta(hours=3), at=T0 + timedelta(hours=4)),
            "still DOWN after 1h: web-1",
        ),
        (notice(kind=NoticeKind.RECOVERY, duration_s=300.0), "UP again: web-1, after 5m"),
        (notice(kind=NoticeKind.RECOVERY, health=Health.DEGRADED), "only DEGRADED now: web-1, after 0s"),
        (notice(kind=NoticeKind.RECOVERY, health=Health.DOWN), "now DOWN: web-1, after 0s"),
        (notice(health=Health.UNKNOWN), "UNKNOWN: web-1"),
        (notice(kind=NoticeKind.FLAPPING), "FLAPPING: web-1"),
        (notice(kind=NoticeKind.STEADY), "not flapping any more, DOWN: web-1"),
        (notice(kind=NoticeKind.ENDED), "watched no longer: web-1"),
        (notice(kind=NoticeKind.TEST), "test of the notifier ops"),
    ],
)  # fmt: skip
def test_a_title_says_it_in_a_line(one: Notice, title: str) -> None:
    assert one.title == title


def test_a_subject_names_a_few_monitors_of_each_state() -> None:
    many = message(*(notice(number) for number in range(7)), notice(8, kind=NoticeKind.RECOVERY))
    assert many.subject == (
        "[monitord here] 7 DOWN (web-0, web-1, web-2, web-3, web-4 and 2 more), 1 recovered (web-8)"
    )
    assert all(f"web-{number}" in many.text for number in range(7))


DOWN, DEGRADED, UP = Health.DOWN, Health.DEGRADED, Health.UP


@pytest.mark.parametrize(
    ("notices", "subject"),
    [
        (
            [
                (NoticeKind.PROBLEM, DOWN, "cron"),
                (NoticeKind.RECOVERY, UP, "web"),
                (NoticeKind.PROBLEM, DOWN, "ssh"),
            ],
            "2 DOWN (cron, ssh), 1 recovered (web)",
        ),
        (
            [
                (NoticeKind.PROBLEM, DEGRADED, "web"),
                (NoticeKind.CHANGE, DOWN, "web"),
                (NoticeKind.PROBLEM, DOWN, "db"),
            ],
            "2 DOWN (web, db)",
        ),
        (
            [
                (NoticeKind.PROBLEM, DOWN, "web"),
                (NoticeKind.PROBLEM, DOWN, "db"),
                (NoticeKind.RECOVERY, UP, "web"),
            ],
            "1 DOWN (db), 1 recovered (web)",
        ),
        ([(NoticeKind.PROBLEM, DOWN, "web"), (NoticeKind.RECOVERY, UP, "web")], "UP again: web, after 0s"),
        (
            [
                (NoticeKind.FLAPPING, UP, "web"),
                (NoticeKind.ENDED, DOWN, "db"),
                (NoticeKind.RECOVERY, DEGRADED, "dns"),
            ],
            "1 DEGRADED (dns), 1 FLAPPING (web), 1 no longer monitored (db)",
        ),
        (
            [(NoticeKind.PROBLEM, Health.UNKNOWN, "gw"), (NoticeKind.STEADY, DOWN, "web")],
            "1 DOWN (web), 1 UNKNOWN (gw)",
        ),
        (
            [
                (NoticeKind.PROBLEM, DOWN, "web"),
                (NoticeKind.BLIND, Health.UNKNOWN, ""),
                (NoticeKind.SEEING, Health.UNKNOWN, ""),
                (NoticeKind.PROBLEM, DOWN, "db"),
            ],
            "sees again, after 0s; 2 DOWN (web, db)",
        ),
    ],
    ids=lambda one: one if isinstance(one, str) else "",
)
def test_a_subject_counts_each_monitor_once_in_its_last_state(
    notices: list[tuple[NoticeKind, Health, str]], subject: str
) -> None:
    made = [
        notice(number, kind=kind, health=health, monitor=name)
        for number, (kind, health, name) in enumerate(notices)
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
def test_a_subject_has_a_bounded_length(names: list[str], subject: str) -> None:
    made = message(*(notice(number, monitor=name) for number, name in enumerate(names)))
    assert made.subject == f"[monitord here] {subject}"


def test_a_key_follows_from_what_is_in_it() -> None:
    assert message().key == notice().id
    both = message(notice(1), notice(2))
    assert both.key == message(notice(1), notice(2)).key
    assert (
        len({both.key, message(notice(1)).key, message(notice(2)).key, message(notice(2), notice(1)).key})
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
    ("one", "lines"),
    [
        (
            notice(since=T0, at=T0 + timedelta(seconds=20)),
            ["connect: refused", "down since 2026-01-01 13:00:00; type http; reason refused; tags prod"],
        ),
        (
            notice(kind=NoticeKind.CHANGE, health=DEGRADED, since=T0 + timedelta(hours=1)),
            [
                "connect: refused",
                "degraded since 2026-01-01 14:00:00; the problem began at 2026-01-01 13:00:00; "
                "type http; reason refused; tags prod",
            ],
        ),
        (
            notice(
                kind=NoticeKind.RECOVERY,
                since=T0 + timedelta(minutes=5),
                at=T0 + timedelta(minutes=5, seconds=1),
                duration_s=300.0,
                reason=Reason.OK,
                detail="",
                tags=(),
            ),
            [
                "up since 2026-01-01 13:05:00; the problem began at 2026-01-01 13:00:00 and lasted 5m; type http"
            ],
        ),
        (
            notice(kind=NoticeKind.FLAPPING, since=T0 + timedelta(minutes=1), detail="", tags=()),
            [
                "flapping since 2026-01-01 13:01:00; the problem began at 2026-01-01 13:00:00; "
                "type http; reason refused"
            ],
        ),
        (
            notice(kind=NoticeKind.ENDED, at=T0 + timedelta(hours=2), duration_s=7200.0, detail="", tags=()),
            [
                "removed from the configuration at 2026-01-01 15:00:00; "
                "the problem began at 2026-01-01 13:00:00 and lasted 2h; type http; reason refused"
            ],
        ),
        (notice(kind=NoticeKind.BLIND, monitor="", detail=""), ["since 2026-01-01 13:00:00"]),
        (
            notice(
                kind=NoticeKind.SEEING,
                monitor="",
                since=T0 + timedelta(minutes=3),
                duration_s=180.0,
                detail="",
            ),
            ["since 2026-01-01 13:03:00; the problem began at 2026-01-01 13:00:00 and lasted 3m"],
        ),
    ],
    ids=lambda one: one.kind.value if isinstance(one, Notice) else "",
)
def test_a_text_says_since_when_and_for_how_long(one: Notice, lines: list[str]) -> None:
    expected = "\n".join([one.title, *lines, "", "Times are in CET (UTC+01:00).", ""])
    assert Message((one,), "here", one.at).text == expected


@pytest.mark.usefixtures("in_berlin")
def test_times_of_one_message_are_in_one_zone_across_a_change_to_summer_time() -> None:
    change = datetime(2026, 3, 29, 1, 0, tzinfo=UTC)
    one = notice(since=change - timedelta(minutes=1), started_at=change - timedelta(minutes=1))
    made = Message((one, notice(2, since=change, started_at=change)), "here", change)
    assert "down since 2026-03-29 02:59:00;" in made.text
    assert "down since 2026-03-29 03:00:00;" in made.text
    assert made.text.endswith("\n\nTimes are in CEST (UTC+02:00).\n")
    assert made.text.count("UTC") == 1


@pytest.mark.usefixtures("in_berlin")
def test_times_in_a_detail_are_in_the_same_zone() -> None:
    detail = f"due at {time_text(T0)}, not at 2026-13-01 12:00:00 UTC"
    text = message(notice(detail=detail)).text
    assert "\ndue at 2026-01-01 13:00:00, not at 2026-13-01 12:00:00 UTC\n" in text


def test_a_test_shows_no_time() -> None:
    assert message(notice(kind=NoticeKind.TEST, monitor="", detail="by kim")).text == (
        "test of the notifier ops\nby kim\n"
    )


def test_a_late_message_says_when_it_happened() -> None:
    assert "delayed" not in message().text
    late = Message((notice(),), "here", T0 + timedelta(minutes=3))
    assert "\ndelayed: this is from 2026-01-01 " in late.text


def test_details_are_cut_as_far_as_needed() -> None:
    long = message(notice(1, detail="ü" * 1000), notice(2, detail="short"))
    shortened = long.shortened(lambda one: len(one.text) < 700)
    assert len(shortened.text) < 700
    assert shortened.notices[0].detail.endswith("ü…")
    assert shortened.notices[1] == long.notices[1]
    assert long.shortened(lambda _: True) is long
    assert [one.detail for one in long.shortened(lambda _: False).notices] == ["", ""]


@pytest.mark.parametrize(
    ("text", "most", "shown"),
    [("abc", 3, "abc"), ("abcd", 3, "ab…"), ("ab😀", 4, "ab😀"), ("ab😀c", 4, "ab…"), ("😀😀", 3, "😀…")],
)
def test_a_text_is_cut_by_utf16_units_and_never_within_a_character(text: str, most: int, shown: str) -> None:
    assert cut(text, most) == shown
    assert utf16_units(shown) <= most
