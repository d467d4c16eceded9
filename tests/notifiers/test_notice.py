"""What is told reads well, is the same at each attempt, and is found again as it was."""

import json
from datetime import timedelta

import pytest

from monitord.model import Health
from monitord.notifiers import Message, Notice, NoticeKind, notice_of
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
        (notice(kind=NoticeKind.RECOVERY, at=T0 + timedelta(minutes=5)), "UP again: web-1, after 5m"),
        (
            notice(kind=NoticeKind.RECOVERY).__class__(
                **{**{key: getattr(notice(), key) for key in Notice.__slots__},
                   "kind": NoticeKind.RECOVERY, "health": Health.DEGRADED}
            ),
            "only DEGRADED now: web-1, after 0s",
        ),
        (notice(kind=NoticeKind.FLAPPING), "FLAPPING: web-1"),
        (notice(kind=NoticeKind.STEADY), "not flapping any more, DOWN: web-1"),
        (notice(kind=NoticeKind.ENDED), "watched no longer: web-1"),
        (notice(kind=NoticeKind.TEST), "test of the notifier ops"),
    ],
)  # fmt: skip
def test_a_title_says_it_in_a_line(one: Notice, title: str) -> None:
    assert one.title == title


def test_a_message_of_many_names_the_first_and_counts_the_rest() -> None:
    many = message(*(notice(number) for number in range(7)), notice(8, kind=NoticeKind.RECOVERY))
    assert many.subject == "[monitord here] 7 down, 1 recovered: web-0, web-1, web-2, web-3, web-4 and 3 more"
    assert all(f"web-{number}" in many.text for number in range(7))


def test_a_key_follows_from_what_is_in_it() -> None:
    assert message().key == notice().id
    both = message(notice(1), notice(2))
    assert both.key == message(notice(1), notice(2)).key
    assert (
        len({both.key, message(notice(1)).key, message(notice(2)).key, message(notice(2), notice(1)).key})
        == 4
    )


def test_what_is_late_says_when_it_happened() -> None:
    assert "could not be told before" not in message().text
    late = Message((notice(),), "here", T0 + timedelta(minutes=3))
    assert "this happened at 2026-01-01" in late.text
    assert "and could not be told before" in late.text


def test_text_tells_reason_and_since_and_tags() -> None:
    text = message().text
    assert text.startswith("DOWN: web-1\nconnect: refused\nsince 2026-01-01 ")
    assert text.endswith("; type http; reason refused; tags prod\n")
