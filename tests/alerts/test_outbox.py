"""What waits outlives a restart, and does not grow without end."""

import logging
from collections.abc import Mapping
from typing import Any

import pytest

from monitord.alerts import DeliveryStatus
from monitord.alerts.outbox import Outbox
from tests.alerts.made import T0, notification


class Kept(dict[str, Mapping[str, Any]]):
    """What a history would hold."""

    def keep(self, key: str, value: Mapping[str, Any] | None) -> None:
        if value is None:
            self.pop(key, None)
        else:
            self[key] = value


def test_what_waits_and_what_is_past_is_found_again() -> None:
    kept = Kept()
    outbox = Outbox(kept.keep)
    first, second = outbox.add(notification(1)), outbox.add(notification(2))
    first.attempts = 3
    outbox.hand_over(second, "backup")
    assert (outbox.count_for("ops"), outbox.count_for("backup")) == (1, 1)
    outbox.end(first, DeliveryStatus.SENT, T0, "200 OK")
    again = Outbox(kept.keep, {**kept, "silences": {}})
    assert [one.notification for one in again.waiting_for("backup")] == [notification(2)]
    assert again.waiting_for("ops") == []
    newest, oldest = again.entries()
    assert (oldest.notification, oldest.status, oldest.attempts, oldest.ended_at, oldest.response) == (
        notification(1), DeliveryStatus.SENT, 3, T0, "200 OK",
    )  # fmt: skip
    assert newest.notification == notification(2)
    third = again.add(notification(3))
    assert again.entries()[0] is third


def test_a_notification_that_is_there_already_is_not_added_twice() -> None:
    outbox = Outbox(Kept().keep)
    assert outbox.add(notification(1)) is outbox.add(notification(1))
    assert len(outbox) == 1


def test_only_the_last_ones_are_remembered() -> None:
    kept = Kept()
    outbox = Outbox(kept.keep, most_past=3)
    for number in range(10):
        outbox.end(outbox.add(notification(number)), DeliveryStatus.SENT, T0, "")
    assert [one.notification.number for one in outbox.entries()] == [9, 8, 7]
    assert len(kept) == 3


def test_the_oldest_are_dropped_with_a_word_when_too_many_wait(caplog: pytest.LogCaptureFixture) -> None:
    outbox = Outbox(Kept().keep, most_waiting=2)
    with caplog.at_level(logging.ERROR):
        entries = [outbox.add(notification(number)) for number in range(3)]
    assert [one.status for one in entries] == [
        DeliveryStatus.EXPIRED,
        DeliveryStatus.QUEUED,
        DeliveryStatus.QUEUED,
    ]
    assert "DOWN: web-0" in caplog.text


def test_a_message_that_was_attempted_stays_as_it_is_when_too_many_wait() -> None:
    kept = Kept()
    outbox = Outbox(kept.keep, most_waiting=2)
    first = outbox.add(notification(1))
    outbox.form([first], "key", T0)
    second, third = outbox.add(notification(2)), outbox.add(notification(3))
    assert [one.status for one in (first, second, third)] == [
        DeliveryStatus.QUEUED,
        DeliveryStatus.EXPIRED,
        DeliveryStatus.QUEUED,
    ]
    again = Outbox(kept.keep, dict(kept))
    assert [(one.message, one.message_at) for one in again.waiting_for("ops")] == [("key", T0), (None, None)]
    outbox.dissolve([first])
    assert (kept[first.key]["message"], kept[first.key]["message_at"]) == (None, None)


@pytest.mark.parametrize("record", [{}, {"notification": {}}, {"notification": 1}], ids=str)
def test_what_cannot_be_read_is_forgotten_with_a_word(
    record: Mapping[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    kept = Kept({"notification:x": record})
    outbox = Outbox(kept.keep, dict(kept))
    assert (len(outbox), kept) == (0, {})
    assert "cannot be read, and are gone: 1" in caplog.text
