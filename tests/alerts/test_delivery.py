"""Delivery for one notifier: groups, rate limit, retries, fallback; in faked time."""

import asyncio
import base64
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from monitord.alerts import Delivery, DeliveryStatus, DeliveryWorker
from monitord.alerts.outbox import Outbox
from monitord.notifiers import DeliveryError, Message, NotificationKind, NotifierSettings
from tests.alerts.fakes import FakeNotifier, fail_delivery, nothing, notification, tools
from tests.alerts.test_outbox import Records
from tests.fakes import FakeClock, run_in_fake_time, stall
from tests.net.base.test_deadline import after_some_turns

OPS = NotifierSettings("ops", "fake", None)
DAY_S = 86_400.0


class WorkerWorld:
    """A worker with its notifier and its outbox."""

    def __init__(self, settings: NotifierSettings = OPS, records: Records | None = None) -> None:
        self.clock = FakeClock()
        self.notifier = FakeNotifier(settings, tools(self.clock))
        self.records = Records() if records is None else records
        self.outbox = Outbox(self.records.save, dict(self.records))
        self.rerouted: list[tuple[str, int]] = []
        self.stored: list[float] = []
        self.worker = DeliveryWorker(
            self.notifier, self.outbox, self.clock, "here.example.org", self._stored, self._reroute
        )

    async def _stored(self, within_s: float) -> None:
        self.stored.append(within_s)

    def _reroute(self, fallback: str, deliveries: Sequence[Delivery]) -> bool:
        self.rerouted.append((fallback, len(deliveries)))
        for delivery in deliveries:
            self.outbox.reroute(delivery, fallback)
        return True

    def add(self, number: int = 1, **changes: Any) -> Delivery:
        delivery = self.outbox.add(notification(number, at=self.clock.now(), **changes))
        self.worker.wake()
        return delivery


def run_worker(
    act: Callable[[WorkerWorld], Awaitable[None]],
    settings: NotifierSettings = OPS,
    records: Records | None = None,
) -> WorkerWorld:
    async def main() -> WorkerWorld:
        world = WorkerWorld(settings, records)
        task = asyncio.ensure_future(world.worker.run())
        try:
            await act(world)
        finally:
            task.cancel()
            await asyncio.wait([task])
            await world.worker.close()
        return world

    return run_in_fake_time(main)


def test_notifications_within_group_wait_are_one_message() -> None:
    async def act(world: WorkerWorld) -> None:
        began_s = world.clock.monotonic_s()
        world.add(1)
        await asyncio.sleep(9)
        world.add(2)
        await asyncio.sleep(5)
        world.add(3)
        await asyncio.sleep(60)
        assert [round(at_s - began_s) for at_s in world.notifier.got_at] == [10, 24]

    world = run_worker(act)
    assert world.notifier.titles == [["DOWN: web-1", "DOWN: web-2"], ["DOWN: web-3"]]
    assert world.notifier.got[0].subject == "[monitord here.example.org] 2 DOWN (web-1, web-2)"
    assert (world.worker.sent, world.worker.failed_attempts, world.notifier.closed) == (3, 0, 1)
    assert all(
        delivery.status is DeliveryStatus.SENT and delivery.response == "taken"
        for delivery in world.outbox.deliveries()
    )
    assert len(world.stored) == 2


def test_rate_limit_of_messages() -> None:
    async def act(world: WorkerWorld) -> None:
        for number in range(60):
            world.add(number)
            await asyncio.sleep(1)
        await asyncio.sleep(60)

    world = run_worker(act, replace(OPS, group_wait_s=0.0, max_messages_per_minute=3))
    sent_at = world.notifier.got_at
    assert all(later - earlier >= 60 for earlier, later in zip(sent_at, sent_at[3:], strict=False))
    assert len(sent_at) <= 7
    assert sum(len(message.notifications) for message in world.notifier.got) == 60


def test_size_of_a_group_is_limited() -> None:
    async def act(world: WorkerWorld) -> None:
        for number in range(450):
            world.add(number)
        await asyncio.sleep(100)

    world = run_worker(act)
    assert [len(message.notifications) for message in world.notifier.got] == [200, 200, 50]


def test_notifications_beyond_the_limit_follow_without_a_further_wait() -> None:
    async def act(world: WorkerWorld) -> None:
        began_s = world.clock.monotonic_s()
        for number in (1, 2, 3):
            world.add(number)
            await asyncio.sleep(4)
        await asyncio.sleep(10)
        world.add(4)
        await asyncio.sleep(20)
        assert [round(at_s - began_s) for at_s in world.notifier.got_at] == [10, 10, 10, 32]

    world = run_worker(act, replace(OPS, max_notifications_per_message=1))
    assert [len(message.notifications) for message in world.notifier.got] == [1, 1, 1, 1]


def test_failed_message_is_retried_unchanged(caplog: pytest.LogCaptureFixture) -> None:
    async def act(world: WorkerWorld) -> None:
        world.notifier.act = fail_delivery
        world.add(1)
        await asyncio.sleep(30)
        assert world.worker.error == "503 busy"
        assert world.outbox.deliveries()[0].status is DeliveryStatus.RETRYING
        assert world.add(2).status is DeliveryStatus.QUEUED
        await asyncio.sleep(600)
        world.notifier.act = lambda _: None
        await asyncio.sleep(1300)

    with caplog.at_level(logging.INFO):
        world = run_worker(act)
    *failed, then, last = world.notifier.got
    assert len(failed) > 5
    assert {message.key for message in failed} == {then.key}
    assert [notification.monitor for notification in then.notifications] == ["web-1"]
    assert [notification.monitor for notification in last.notifications] == ["web-2"]
    gaps = [
        later - earlier
        for earlier, later in zip(world.notifier.got_at, world.notifier.got_at[1:], strict=False)
    ]
    assert gaps[0] < 10 < gaps[3] < gaps[5]
    assert world.worker.error is None
    assert caplog.text.count("cannot deliver, retrying: 503 busy") == 1
    assert caplog.text.count("delivers again after") == 1
    assert caplog.text.count("ops: notification sent: DOWN: web-1 (taken)") == 1


def content(message: Message) -> tuple[str, object]:
    """The message that the receiver gets. It does not contain `attempted_at`."""
    return message.key, message.as_json()


@pytest.mark.parametrize("is_killed", [False, True], ids=["stopped", "killed"])
def test_message_is_the_same_after_a_restart(*, is_killed: bool) -> None:
    left: list[Records] = []

    async def hang() -> None:
        await asyncio.Event().wait()

    async def first_run(world: WorkerWorld) -> None:
        world.notifier.act = (lambda _: hang()) if is_killed else fail_delivery
        world.add(1)
        world.add(2)
        await asyncio.sleep(12)
        world.add(3)
        await asyncio.sleep(1)
        left.append(Records(world.records))  # the stored records during the attempt

    async def second_run(world: WorkerWorld) -> None:
        world.add(4)
        await asyncio.sleep(60)

    before = run_worker(first_run).notifier.got
    after = run_worker(second_run, records=left[0]).notifier.got
    assert [notification.monitor for notification in before[0].notifications] == ["web-1", "web-2"]
    assert {content(message) == content(before[0]) for message in [*before, after[0]]} == {True}
    assert [notification.monitor for message in after[1:] for notification in message.notifications] == [
        "web-3",
        "web-4",
    ]


def test_message_is_stored_before_it_is_sent() -> None:
    stored: list[object] = []

    async def act(world: WorkerWorld) -> None:
        world.notifier.act = lambda _: stored.append([record["message"] for record in world.records.values()])
        world.add(1)
        world.add(2)
        await asyncio.sleep(20)

    (message,) = run_worker(act).notifier.got
    assert stored == [[message.key, message.key]]


def test_message_is_split_if_the_limit_of_its_notifier_was_lowered() -> None:
    async def first_run(world: WorkerWorld) -> None:
        world.notifier.act = fail_delivery
        world.add(1)
        world.add(2)
        await asyncio.sleep(12)

    async def second_run(_: WorkerWorld) -> None:
        await asyncio.sleep(60)

    records = run_worker(first_run).records
    world = run_worker(second_run, replace(OPS, max_notifications_per_message=1), records)
    assert [
        [notification.monitor for notification in message.notifications] for message in world.notifier.got
    ] == [
        ["web-1"],
        ["web-2"],
    ]


def test_messages_are_as_large_as_the_receiver_accepts() -> None:
    async def act(world: WorkerWorld) -> None:
        world.notifier.is_fit = lambda message: len(message.text) <= 600
        for number in range(40):
            world.add(number)
        await asyncio.sleep(200)

    got = run_worker(act).notifier.got
    assert [notification.monitor for message in got for notification in message.notifications] == [
        f"web-{number}" for number in range(40)
    ]
    assert all(len(message.text) <= 600 for message in got)
    assert len(got) < 14


def test_notification_that_does_not_fit_is_sent_alone() -> None:
    async def act(world: WorkerWorld) -> None:
        world.notifier.is_fit = lambda _: False
        world.add(1)
        world.add(2)
        await asyncio.sleep(60)

    assert [len(message.notifications) for message in run_worker(act).notifier.got] == [1, 1]


def test_fallback_sends_the_attempted_message_unchanged() -> None:
    async def first(world: WorkerWorld) -> None:
        world.notifier.act = fail_delivery
        world.add(1)
        world.add(2)
        await asyncio.sleep(120)
        assert world.rerouted == [("backup", 2)]

    async def second(world: WorkerWorld) -> None:
        world.add(9, notifier="backup")
        await asyncio.sleep(60)

    ops = run_worker(first, replace(OPS, fallback="backup"))
    backup = run_worker(second, replace(OPS, name="backup"), ops.records)
    assert {content(message) == content(backup.notifier.got[0]) for message in ops.notifier.got} == {True}
    assert [message.monitor for message in backup.notifier.got[1].notifications] == ["web-9"]


def test_rejected_message_is_halved() -> None:
    def reject_large(message: Message) -> None:
        if len(message.notifications) > 20:
            raise DeliveryError("413 too large", is_rejected=True)

    async def act(world: WorkerWorld) -> None:
        world.notifier.act = reject_large
        for number in range(100):
            world.add(number)
        await asyncio.sleep(400)

    world = run_worker(act)
    taken = [message for message in world.notifier.got if len(message.notifications) <= 20]
    assert sum(len(message.notifications) for message in taken) == 100
    assert len({message.key for message in taken}) == len(taken)
    assert (world.worker.sent, world.worker.error) == (100, None)


def reject_first(message: Message) -> None:
    if any(notification.monitor == "web-1" for notification in message.notifications):
        raise DeliveryError("400 Bad Request", is_rejected=True)


def test_rejected_message_does_not_delay_others() -> None:
    async def act(world: WorkerWorld) -> None:
        world.notifier.act = reject_first
        for number in range(4):
            world.add(number, alert=f"{number}")
        await asyncio.sleep(60)
        assert world.outbox.queue_length("ops") == 1
        world.add(9)
        await asyncio.sleep(20)
        assert world.outbox.queue_length("ops") == 1
        attempts = len(world.notifier.got)
        await asyncio.sleep(3600)
        assert 5 <= len(world.notifier.got) - attempts <= 12
        await asyncio.sleep(DAY_S)
        assert world.outbox.queue_length("ops") == 0

    world = run_worker(act)
    statuses = {delivery.notification.monitor: delivery.status for delivery in world.outbox.deliveries()}
    assert statuses.pop("web-1") is DeliveryStatus.EXPIRED
    assert set(statuses.values()) == {DeliveryStatus.SENT}
    alone = [
        message
        for message in world.notifier.got
        if [notification.monitor for notification in message.notifications] == ["web-1"]
    ]
    assert len({content(message)[0] for message in alone}) == 1


def test_later_notifications_about_an_alert_wait_for_its_rejected_message() -> None:
    async def act(world: WorkerWorld) -> None:
        world.notifier.act = reject_first
        world.add(1, alert="web")
        await asyncio.sleep(20)
        world.add(2, alert="db")
        world.add(3, alert="web", kind=NotificationKind.RECOVERY, monitor="web-1")
        await asyncio.sleep(60)
        assert world.worker.sent == 1
        world.notifier.act = lambda _: None
        await asyncio.sleep(1200)

    got = run_worker(act).notifier.got
    assert [[notification.number for notification in message.notifications] for message in got[-2:]] == [
        [1],
        [3],
    ]


def test_rejected_message_is_rerouted_at_once() -> None:
    async def act(world: WorkerWorld) -> None:
        world.notifier.act = reject_first
        world.add(1, alert="web")
        world.add(2, alert="db")
        await asyncio.sleep(30)
        assert world.rerouted == [("backup", 1)]

    assert run_worker(act, replace(OPS, fallback="backup")).worker.sent == 1


def test_notification_that_was_cancelled_during_group_wait_is_not_sent() -> None:
    async def act(world: WorkerWorld) -> None:
        delivery = world.add(1)
        await asyncio.sleep(5)
        world.outbox.cancel(delivery, world.clock.now(), "too many")
        await asyncio.sleep(60)
        world.add(2)
        await asyncio.sleep(60)

    assert run_worker(act).notifier.titles == [["DOWN: web-2"]]


def test_retry_time_of_the_receiver_is_respected() -> None:
    def later(_: object) -> None:
        raise DeliveryError("429 slowly", retry_after_s=1000.0)

    async def act(world: WorkerWorld) -> None:
        world.notifier.act = later
        world.add(1)
        await asyncio.sleep(1500)

    first, second = run_worker(act).notifier.got_at
    assert second - first == pytest.approx(1000.0)


def test_notification_expires_after_expire_after(caplog: pytest.LogCaptureFixture) -> None:
    async def act(world: WorkerWorld) -> None:
        world.notifier.act = fail_delivery
        world.add(1)
        await asyncio.sleep(DAY_S - 3600)
        world.add(2)
        await asyncio.sleep(2 * 3600)
        world.notifier.act = lambda _: None
        await asyncio.sleep(3600)

    world = run_worker(act)
    assert [delivery.status for delivery in reversed(world.outbox.deliveries())] == [
        DeliveryStatus.EXPIRED,
        DeliveryStatus.SENT,
    ]
    assert (world.worker.expired, world.worker.sent) == (1, 1)
    assert "notification expired after 1d" in caplog.text
    assert "DOWN: web-1" in caplog.text


def test_message_expires_as_a_whole_with_its_youngest_notification() -> None:
    async def act(world: WorkerWorld) -> None:
        world.notifier.act = fail_delivery
        delivery = world.add(1, since=world.clock.now())
        delivery.attempts = 1
        world.clock.skipped_s = 2 * DAY_S
        world.add(2)
        await asyncio.sleep(DAY_S / 2)
        assert {delivery.status for delivery in world.outbox.deliveries()} == {DeliveryStatus.RETRYING}
        await asyncio.sleep(DAY_S)
        assert {delivery.status for delivery in world.outbox.deliveries()} == {DeliveryStatus.EXPIRED}

    assert len({message.key for message in run_worker(act).notifier.got}) == 1


def test_notification_from_before_a_long_stop_is_attempted_once() -> None:
    async def act(world: WorkerWorld) -> None:
        world.add(1)
        world.clock.skipped_s = 3 * DAY_S  # the machine was off
        await asyncio.sleep(60)

    (message,) = run_worker(act).notifier.got
    assert "Delayed: created at 2026-01-01 " in message.text


def test_message_is_rerouted_after_failing_for_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    async def act(world: WorkerWorld) -> None:
        world.notifier.act = fail_delivery
        world.add(1)
        await asyncio.sleep(40)
        assert world.rerouted == []
        await asyncio.sleep(120)
        assert world.rerouted == [("backup", 1)]
        world.add(2)
        await asyncio.sleep(15)

    world = run_worker(act, replace(OPS, fallback="backup"))
    assert world.rerouted == [("backup", 1), ("backup", 1)]
    assert caplog.text.count("to fallback backup") == 2


def test_rerouted_message_is_not_rerouted_again() -> None:
    async def act(world: WorkerWorld) -> None:
        world.notifier.act = fail_delivery
        delivery = world.add(1, notifier="other")
        world.outbox.reroute(delivery, "ops")
        world.worker.wake()
        await asyncio.sleep(600)

    world = run_worker(act, replace(OPS, fallback="backup"))
    assert len(world.notifier.got) > 3
    assert world.rerouted == []


def test_bug_in_a_type_is_a_failure_and_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    def raise_error(_: object) -> None:
        raise KeyError("oops")

    async def act(world: WorkerWorld) -> None:
        world.notifier.act = raise_error
        world.add(1)
        await asyncio.sleep(600)
        assert world.worker.error == "bug in notifier type fake: KeyError('oops')"
        world.notifier.act = lambda _: None
        await asyncio.sleep(900)

    assert run_worker(act).worker.sent == 1
    assert caplog.text.count("ops: bug in notifier type fake") == 1


def test_attempt_that_hangs_times_out() -> None:
    async def hang() -> None:
        await asyncio.Event().wait()

    async def act(world: WorkerWorld) -> None:
        world.notifier.act = lambda _: hang()
        world.add(1)
        await asyncio.sleep(50)
        assert world.worker.error == "timeout after 30s"

    run_worker(act)


def test_attempt_under_way_at_the_stop_completes() -> None:
    async def slow() -> None:
        await asyncio.sleep(2)

    async def act(world: WorkerWorld) -> None:
        world.notifier.act = lambda _: slow()
        world.add(1)
        await asyncio.sleep(11)

    world = run_worker(act)
    assert [delivery.status for delivery in world.outbox.deliveries()] == [DeliveryStatus.SENT]


def test_attempt_that_does_not_end_at_the_stop_stays_queued() -> None:
    async def slow() -> None:
        await asyncio.sleep(20)

    async def act(world: WorkerWorld) -> None:
        world.notifier.act = lambda _: slow()
        world.add(1)
        await asyncio.sleep(11)

    world = run_worker(act)
    assert [delivery.status for delivery in world.outbox.deliveries()] == [DeliveryStatus.QUEUED]


def test_message_with_only_recoveries_is_closing() -> None:
    async def act(world: WorkerWorld) -> None:
        world.add(1, kind=NotificationKind.RECOVERY)
        await asyncio.sleep(60)

    (message,) = run_worker(act).notifier.got
    assert message.is_all_closing
    assert message.subject.startswith("[monitord here.example.org] UP: web-1, recovered after ")


def test_delivery_warning_is_logged_once_and_ends_with_its_cause(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def act(world: WorkerWorld) -> None:
        for number, warning in enumerate(("sent unencrypted", "sent unencrypted", None)):
            world.notifier.warning = warning
            world.add(number)
            await asyncio.sleep(20)
            assert world.worker.warning == warning

    with caplog.at_level(logging.INFO):
        world = run_worker(act)
    assert (world.worker.sent, world.worker.error) == (3, None)
    assert [record.message for record in caplog.records if record.levelno == logging.WARNING] == [
        "ops: sent unencrypted"
    ]


class LoudNotifier(FakeNotifier):
    """A notifier whose receiver repeats its input."""

    def secrets(self) -> tuple[str, ...]:
        return ("s3cret/token",)


ECHOES = [
    "got s3cret/token",
    "got s3cret\\/token",
    "got s3cret%2ftoken",
    "got s3cret&#x2F;token",
    "got s3cret\x00/token",
    f"got {base64.b64encode(b'kim:s3cret/token').decode()}",
]


@pytest.mark.parametrize("echo", ECHOES)
@pytest.mark.parametrize("is_failure", [False, True])
def test_secrets_in_responses_are_masked(
    caplog: pytest.LogCaptureFixture, echo: str, is_failure: bool
) -> None:
    async def main() -> None:
        world = WorkerWorld()
        loud = world.worker.notifier = LoudNotifier(OPS, tools(world.clock))
        loud.warning = f"warning: {echo}"

        def answer(_: Message) -> None:
            if is_failure:
                raise DeliveryError(echo)
            loud.response = f"{echo}\x1b[31m"

        loud.act = answer
        message = Message([notification(1)], "here", world.clock.now())
        try:
            response = await world.worker.test(message)
        except DeliveryError as error:
            response = str(error)
        world.add(1)
        task = asyncio.ensure_future(world.worker.run())
        await asyncio.sleep(60)
        task.cancel()
        await asyncio.wait([task])
        await world.worker.close()
        (delivery,) = world.outbox.deliveries()
        for text in (
            response,
            delivery.response,
            str(world.worker.error),
            str(world.worker.warning),
            caplog.text,
        ):
            assert "s3cret" not in text
            assert "czNjcmV0L3" not in text
            assert "\x1b" not in text
        assert "***" in response

    with caplog.at_level(logging.DEBUG):
        run_in_fake_time(main)


def test_bug_in_a_notifier_is_logged_without_its_secret(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        world = WorkerWorld()
        loud = world.worker.notifier = LoudNotifier(OPS, tools(world.clock))

        def fail(_: Message) -> None:
            raise KeyError("s3cret/token")

        loud.act = fail
        with pytest.raises(DeliveryError, match=r"bug in notifier type fake: KeyError"):
            await world.worker.test(Message([notification(1)], "here", world.clock.now()))
        await world.worker.close()

    run_in_fake_time(main)
    assert "Traceback" in caplog.text
    assert "s3cret" not in caplog.text


def test_response_that_came_while_the_loop_was_stalled_counts() -> None:
    """Otherwise the notification is sent again."""

    async def act(world: WorkerWorld) -> None:
        answer = asyncio.Event()

        async def deliver() -> None:
            loop = asyncio.get_running_loop()
            loop.call_later(1.0, stall, 60.0)
            loop.call_later(1.0, lambda: after_some_turns(5, answer.set))
            await answer.wait()

        world.notifier.act = lambda _: deliver()
        world.add()
        await asyncio.sleep(300)

    world = run_worker(act)
    assert (len(world.notifier.got), world.worker.sent, world.worker.failed_attempts) == (1, 1, 0)


def test_message_of_which_a_claim_is_not_certain_waits_as_a_whole() -> None:
    async def act(world: WorkerWorld) -> None:
        world.notifier.act = fail_delivery
        first = world.add(1, alert="first")
        second = world.add(2, alert="second")
        await asyncio.sleep(11)
        (attempt,) = world.notifier.got
        world.notifier.act = nothing
        first.is_claimed = second.is_claimed = True
        world.outbox.hold(second)
        await asyncio.sleep(600)
        assert world.notifier.got == [attempt]
        world.outbox.resume_message(second, attempt.key, attempt.sent_at)
        world.worker.wake()
        await asyncio.sleep(600)
        assert [message.key for message in world.notifier.got] == [attempt.key] * 2
        assert world.notifier.got[1].notifications == attempt.notifications

    run_worker(act)


def test_rest_of_a_message_keeps_its_key_when_the_others_have_ended() -> None:
    async def act(world: WorkerWorld) -> None:
        world.notifier.act = fail_delivery
        first, _ = world.add(1, alert="first"), world.add(2, alert="second")
        await asyncio.sleep(11)
        (attempt,) = world.notifier.got
        world.notifier.act = nothing
        first.is_claimed = True
        world.outbox.withdraw(first)  # another node has delivered the message
        await asyncio.sleep(600)
        assert world.notifier.titles[1:] == [["DOWN: web-2"]]
        assert world.notifier.got[1].key == attempt.key

    run_worker(act)
