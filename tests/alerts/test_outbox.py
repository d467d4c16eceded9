"""The outbox: stored deliveries, limits, delivery status."""

import logging
from collections.abc import Mapping
from typing import Any

import pytest

from monitord.alerts import Delivery, DeliveryStatus
from monitord.alerts.outbox import Outbox
from tests.alerts.fakes import T0, notification


class Records(dict[str, Mapping[str, Any]]):
    """The records in a history."""

    def save(self, key: str, value: Mapping[str, Any] | None) -> None:
        if value is None:
            self.pop(key, None)
        else:
            self[key] = value


def test_deliveries_are_restored() -> None:
    records = Records()
    outbox = Outbox(records.save)
    first, second = outbox.add(notification(1)), outbox.add(notification(2))
    first.attempts = 3
    outbox.reroute(second, "backup")
    assert (outbox.queue_length("ops"), outbox.queue_length("backup")) == (1, 1)
    outbox.complete(first, T0, "200 OK")
    again = Outbox(records.save, {**records, "silences": {}})
    assert [delivery.notification for delivery in again.queued_for("backup")] == [notification(2)]
    assert again.queued_for("ops") == []
    newest, oldest = again.deliveries()
    assert (oldest.notification, oldest.status, oldest.attempts, oldest.ended_at, oldest.response) == (
        notification(1), DeliveryStatus.SENT, 3, T0, "200 OK",
    )  # fmt: skip
    assert newest.notification == notification(2)
    third = again.add(notification(3))
    assert again.deliveries()[0] is third


def test_queued_notification_is_not_added_twice() -> None:
    outbox = Outbox(Records().save)
    assert outbox.add(notification(1)) is outbox.add(notification(1))
    assert len(outbox) == 1


def test_number_of_finished_deliveries_is_limited() -> None:
    records = Records()
    outbox = Outbox(records.save, max_finished=3)
    for number in range(10):
        outbox.complete(outbox.add(notification(number)), T0, "")
    assert [delivery.notification.number for delivery in outbox.deliveries()] == [9, 8, 7]
    assert len(records) == 3


def test_oldest_notification_is_cancelled_and_logged_if_too_many_are_queued(
    caplog: pytest.LogCaptureFixture,
) -> None:
    outbox = Outbox(Records().save, max_queued=2)
    with caplog.at_level(logging.ERROR):
        deliveries = [outbox.add(notification(number)) for number in range(3)]
    assert [delivery.status for delivery in deliveries] == [
        DeliveryStatus.CANCELLED,
        DeliveryStatus.QUEUED,
        DeliveryStatus.QUEUED,
    ]
    assert "DOWN: web-0" in caplog.text


def test_attempted_message_is_not_changed_if_too_many_notifications_are_queued() -> None:
    records = Records()
    outbox = Outbox(records.save, max_queued=2)
    first = outbox.add(notification(1))
    outbox.assign_message([first], "key", T0)
    second, third = outbox.add(notification(2)), outbox.add(notification(3))
    assert [delivery.status for delivery in (first, second, third)] == [
        DeliveryStatus.QUEUED,
        DeliveryStatus.CANCELLED,
        DeliveryStatus.QUEUED,
    ]
    again = Outbox(records.save, dict(records))
    assert [(delivery.message_key, delivery.message_at) for delivery in again.queued_for("ops")] == [
        ("key", T0),
        (None, None),
    ]
    outbox.split_message([first])
    assert (records[first.key]["message"], records[first.key]["message_at"]) == (None, None)


@pytest.mark.parametrize("record", [{}, {"notification": {}}, {"notification": 1}], ids=str)
def test_unreadable_record_is_discarded_and_logged(
    record: Mapping[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    records = Records({"notification:x": record})
    outbox = Outbox(records.save, dict(records))
    assert (len(outbox), records) == (0, {})
    assert "discarded 1 stored notification that cannot be read" in caplog.text


def test_status_of_a_queued_delivery_follows_failures_and_the_fallback() -> None:
    records = Records()
    outbox = Outbox(records.save)
    delivery = outbox.add(notification(1))
    statuses = [delivery.status]
    outbox.record_failure([delivery], "503 busy")
    statuses.append(delivery.status)
    outbox.reroute(delivery, "backup")
    outbox.record_failure([delivery], "451 later")
    statuses.append(delivery.status)
    (restored,) = Outbox(records.save, dict(records)).queued_for("backup")
    assert (restored.status, restored.response) == (DeliveryStatus.REROUTED, "451 later")
    outbox.reroute(delivery, "ops")
    statuses.append(delivery.status)
    outbox.complete(delivery, T0, "250 OK")
    statuses.append(delivery.status)
    assert [status.value for status in statuses] == ["queued", "retrying", "rerouted", "retrying", "sent"]
    assert len(outbox) == 0


def test_expired_and_cancelled_deliveries_are_reported_as_dropped() -> None:
    dropped: list[Delivery] = []
    outbox = Outbox(Records().save, on_dropped=dropped.append)
    expired, cancelled, sent = (outbox.add(notification(number)) for number in range(3))
    outbox.expire(expired, T0, "503 busy")
    outbox.cancel(cancelled, T0, "the notifier was removed")
    outbox.complete(sent, T0, "250 OK")
    assert dropped == [expired, cancelled]
    assert [delivery.status for delivery in outbox.deliveries()] == [
        DeliveryStatus.SENT,
        DeliveryStatus.CANCELLED,
        DeliveryStatus.EXPIRED,
    ]
    assert not any(status.is_queued for status in (delivery.status for delivery in outbox.deliveries()))


def test_claimed_delivery_of_an_earlier_run_is_held_until_its_claim_is_certain() -> None:
    records = Records()
    added: list[str] = []
    Outbox(records.save).add_claimed(notification(1), None)
    again = Outbox(records.save, dict(records), on_added=added.append, holds_claimed=True)
    (held,) = again.claimed()
    assert again.queued_for("ops") == []
    assert again.deliveries() == [held]
    again.add_claimed(notification(1), None)  # claimed again
    assert again.queued_for("ops") == [held]
    assert added == ["ops"]


def test_claimed_delivery_of_an_earlier_run_is_queued_without_a_cluster() -> None:
    records = Records()
    Outbox(records.save).add_claimed(notification(1), None)
    again = Outbox(records.save, dict(records))
    assert again.queued_for("ops") == again.claimed()


def test_lost_claim_forgets_the_delivery_even_after_a_failed_attempt() -> None:
    records = Records()
    dropped: list[Delivery] = []
    outbox = Outbox(records.save, on_dropped=dropped.append)
    outbox.add_claimed(notification(1), None)
    (delivery,) = outbox.claimed()
    outbox.withdraw(delivery)
    outbox.record_failure([delivery], "503")
    outbox.reroute(delivery, "backup")
    assert outbox.claimed() == []
    assert len(outbox) == outbox.queue_length("backup") == 0
    assert records == {}
    assert dropped == []  # the other node sends it, so no further notification is due


def test_result_is_reported_again_if_a_sent_notification_is_claimed_again() -> None:
    finished: list[str] = []
    outbox = Outbox(Records().save, on_finished=lambda delivery: finished.append(delivery.status.value))
    outbox.add_claimed(notification(1), None)
    outbox.complete(outbox.claimed()[0], T0, "200 OK")
    outbox.add_claimed(notification(1), None)
    assert outbox.claimed() == []
    assert finished == ["sent", "sent"]


def test_delivery_that_succeeds_while_it_is_held_is_finished() -> None:
    outbox = Outbox(Records().save)
    outbox.add_claimed(notification(1), None)
    (delivery,) = outbox.claimed()
    outbox.hold(delivery)
    assert outbox.queued_for("ops") == []
    outbox.complete(delivery, T0, "200 OK")
    assert outbox.claimed() == []
    assert outbox.deliveries() == [delivery]


def test_end_of_a_held_delivery_wakes_its_worker() -> None:
    added: list[str] = []
    outbox = Outbox(Records().save, on_added=added.append)
    outbox.add_claimed(notification(), None)
    (delivery,) = outbox.claimed()
    outbox.hold(delivery)
    added.clear()
    outbox.withdraw(delivery)
    assert added == ["ops"]
