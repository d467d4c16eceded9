"""A notifier is told in groups, not too often, and again when it failed; in time that jumps."""

import asyncio
import base64
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from monitord.alerts import DeliveryStatus, DeliveryWorker, Entry
from monitord.alerts.outbox import Outbox
from monitord.notifiers import DeliveryError, Message, NotificationKind, NotifierSettings
from tests.alerts.made import FakeNotifier, notification, refuse, tools
from tests.alerts.test_outbox import Kept
from tests.fakes import FakeClock, run_in_fake_time, stall
from tests.net.base.test_deadline import after_some_turns

OPS = NotifierSettings("ops", "fake", None)
DAY_S = 86_400.0


class Office:
    """A worker at work, with its notifier and its outbox."""

    def __init__(self, settings: NotifierSettings = OPS, kept: Kept | None = None) -> None:
        self.clock = FakeClock()
        self.notifier = FakeNotifier(settings, tools(self.clock))
        self.kept = Kept() if kept is None else kept
        self.outbox = Outbox(self.kept.keep, dict(self.kept))
        self.handed: list[tuple[str, int]] = []
        self.stored: list[float] = []
        self.worker = DeliveryWorker(
            self.notifier, self.outbox, self.clock, "here.example.org", self._stored, self._hand_over
        )

    async def _stored(self, within_s: float) -> None:
        self.stored.append(within_s)

    def _hand_over(self, fallback: str, entries: Sequence[Entry]) -> bool:
        self.handed.append((fallback, len(entries)))
        for entry in entries:
            self.outbox.hand_over(entry, fallback)
        return True

    def tell(self, number: int = 1, **changes: Any) -> Entry:
        entry = self.outbox.add(notification(number, at=self.clock.now(), **changes))
        self.worker.nudge()
        return entry


def at_work(
    act: Callable[[Office], Awaitable[None]], settings: NotifierSettings = OPS, kept: Kept | None = None
) -> Office:
    async def main() -> Office:
        office = Office(settings, kept)
        task = asyncio.ensure_future(office.worker.run())
        try:
            await act(office)
        finally:
            task.cancel()
            await asyncio.wait([task])
            await office.worker.close()
        return office

    return run_in_fake_time(main)


def test_what_comes_within_the_wait_is_one_message() -> None:
    async def act(office: Office) -> None:
        began_s = office.clock.monotonic_s()
        office.tell(1)
        await asyncio.sleep(9)
        office.tell(2)
        await asyncio.sleep(5)
        office.tell(3)
        await asyncio.sleep(60)
        assert [round(one - began_s) for one in office.notifier.got_at] == [10, 24]

    office = at_work(act)
    assert office.notifier.titles == [["DOWN: web-1", "DOWN: web-2"], ["DOWN: web-3"]]
    assert office.notifier.got[0].subject == "[monitord here.example.org] 2 DOWN (web-1, web-2)"
    assert (office.worker.sent, office.worker.failed, office.notifier.closed) == (3, 0, 1)
    assert all(
        one.status is DeliveryStatus.SENT and one.response == "taken" for one in office.outbox.entries()
    )
    assert len(office.stored) == 2


def test_no_more_messages_than_may_go_out_in_a_minute() -> None:
    async def act(office: Office) -> None:
        for number in range(60):
            office.tell(number)
            await asyncio.sleep(1)
        await asyncio.sleep(60)

    office = at_work(act, replace(OPS, group_wait_s=0.0, max_per_minute=3))
    sent_at = office.notifier.got_at
    assert all(later - earlier >= 60 for earlier, later in zip(sent_at, sent_at[3:], strict=False))
    assert len(sent_at) <= 7
    assert sum(len(one.notifications) for one in office.notifier.got) == 60


def test_a_group_has_a_size_that_a_peer_can_take() -> None:
    async def act(office: Office) -> None:
        for number in range(450):
            office.tell(number)
        await asyncio.sleep(100)

    office = at_work(act)
    assert [len(one.notifications) for one in office.notifier.got] == [200, 200, 50]


def test_what_fits_into_no_message_has_waited_long_enough() -> None:
    async def act(office: Office) -> None:
        began_s = office.clock.monotonic_s()
        for number in (1, 2, 3):
            office.tell(number)
            await asyncio.sleep(4)
        await asyncio.sleep(10)
        office.tell(4)
        await asyncio.sleep(20)
        assert [round(one - began_s) for one in office.notifier.got_at] == [10, 10, 10, 32]

    office = at_work(act, replace(OPS, max_notifications=1))
    assert [len(one.notifications) for one in office.notifier.got] == [1, 1, 1, 1]


def test_what_failed_is_tried_again_as_it_was(caplog: pytest.LogCaptureFixture) -> None:
    async def act(office: Office) -> None:
        office.notifier.act = refuse
        office.tell(1)
        await asyncio.sleep(30)
        assert office.worker.failing == "503 busy"
        office.tell(2)
        await asyncio.sleep(600)
        office.notifier.act = lambda _: None
        await asyncio.sleep(1300)

    with caplog.at_level(logging.INFO):
        office = at_work(act)
    *failed, then, last = office.notifier.got
    assert len(failed) > 5
    assert {one.key for one in failed} == {then.key}
    assert [one.monitor for one in then.notifications] == ["web-1"]
    assert [one.monitor for one in last.notifications] == ["web-2"]
    gaps = [
        later - earlier
        for earlier, later in zip(office.notifier.got_at, office.notifier.got_at[1:], strict=False)
    ]
    assert gaps[0] < 10 < gaps[3] < gaps[5]
    assert office.worker.failing is None
    assert caplog.text.count("cannot deliver, and tries again: 503 busy") == 1
    assert caplog.text.count("delivers again after") == 1
    assert caplog.text.count("ops was told: DOWN: web-1 (taken)") == 1


def content(message: Message) -> tuple[str, object]:
    """What a receiver gets; `attempted_at` is in none of it."""
    return message.key, message.as_json()


@pytest.mark.parametrize("is_killed", [False, True], ids=["stopped", "killed"])
def test_a_message_is_the_same_after_a_restart(*, is_killed: bool) -> None:
    left: list[Kept] = []

    async def hang() -> None:
        await asyncio.Event().wait()

    async def first_run(office: Office) -> None:
        office.notifier.act = (lambda _: hang()) if is_killed else refuse
        office.tell(1)
        office.tell(2)
        await asyncio.sleep(12)
        office.tell(3)
        await asyncio.sleep(1)
        left.append(Kept(office.kept))  # what is stored while the attempt is under way

    async def second_run(office: Office) -> None:
        office.tell(4)
        await asyncio.sleep(60)

    before = at_work(first_run).notifier.got
    after = at_work(second_run, kept=left[0]).notifier.got
    assert [one.monitor for one in before[0].notifications] == ["web-1", "web-2"]
    assert {content(one) == content(before[0]) for one in [*before, after[0]]} == {True}
    assert [one.monitor for message in after[1:] for one in message.notifications] == ["web-3", "web-4"]


def test_a_message_is_stored_before_it_is_sent() -> None:
    stored: list[object] = []

    async def act(office: Office) -> None:
        office.notifier.act = lambda _: stored.append([one["message"] for one in office.kept.values()])
        office.tell(1)
        office.tell(2)
        await asyncio.sleep(20)

    (message,) = at_work(act).notifier.got
    assert stored == [[message.key, message.key]]


def test_a_message_of_a_notifier_that_takes_less_since_then_is_sent_in_parts() -> None:
    async def first_run(office: Office) -> None:
        office.notifier.act = refuse
        office.tell(1)
        office.tell(2)
        await asyncio.sleep(12)

    async def second_run(_: Office) -> None:
        await asyncio.sleep(60)

    kept = at_work(first_run).kept
    office = at_work(second_run, replace(OPS, max_notifications=1), kept)
    assert [[one.monitor for one in message.notifications] for message in office.notifier.got] == [
        ["web-1"],
        ["web-2"],
    ]


def test_a_message_is_as_large_as_its_receiver_takes() -> None:
    async def act(office: Office) -> None:
        office.notifier.is_fit = lambda message: len(message.text) <= 500
        for number in range(40):
            office.tell(number)
        await asyncio.sleep(200)

    got = at_work(act).notifier.got
    assert [one.monitor for message in got for one in message.notifications] == [
        f"web-{number}" for number in range(40)
    ]
    assert all(len(message.text) <= 500 for message in got)
    assert len(got) < 14


def test_a_notification_that_fits_nowhere_is_sent_alone() -> None:
    async def act(office: Office) -> None:
        office.notifier.is_fit = lambda _: False
        office.tell(1)
        office.tell(2)
        await asyncio.sleep(60)

    assert [len(one.notifications) for one in at_work(act).notifier.got] == [1, 1]


def test_a_fallback_sends_a_message_as_it_was_attempted_before() -> None:
    async def first(office: Office) -> None:
        office.notifier.act = refuse
        office.tell(1)
        office.tell(2)
        await asyncio.sleep(120)
        assert office.handed == [("backup", 2)]

    async def second(office: Office) -> None:
        office.tell(9, notifier="backup")
        await asyncio.sleep(60)

    ops = at_work(first, replace(OPS, fallback="backup"))
    backup = at_work(second, replace(OPS, name="backup"), ops.kept)
    assert {content(one) == content(backup.notifier.got[0]) for one in ops.notifier.got} == {True}
    assert [one.monitor for one in backup.notifier.got[1].notifications] == ["web-9"]


def test_a_message_that_is_too_large_for_its_peer_is_cut_in_half() -> None:
    def refuse_large(message: Message) -> None:
        if len(message.notifications) > 20:
            raise DeliveryError("413 too large", is_refused=True)

    async def act(office: Office) -> None:
        office.notifier.act = refuse_large
        for number in range(100):
            office.tell(number)
        await asyncio.sleep(400)

    office = at_work(act)
    taken = [one for one in office.notifier.got if len(one.notifications) <= 20]
    assert sum(len(one.notifications) for one in taken) == 100
    assert len({one.key for one in taken}) == len(taken)
    assert (office.worker.sent, office.worker.failing) == (100, None)


def refuse_the_first(message: Message) -> None:
    if any(one.monitor == "web-1" for one in message.notifications):
        raise DeliveryError("400 Bad Request", is_refused=True)


def test_a_message_that_is_refused_holds_up_no_other() -> None:
    async def act(office: Office) -> None:
        office.notifier.act = refuse_the_first
        for number in range(4):
            office.tell(number, alert=f"{number}")
        await asyncio.sleep(60)
        assert office.outbox.count_for("ops") == 1
        office.tell(9)
        await asyncio.sleep(20)
        assert office.outbox.count_for("ops") == 1
        attempts = len(office.notifier.got)
        await asyncio.sleep(3600)
        assert 5 <= len(office.notifier.got) - attempts <= 12
        await asyncio.sleep(DAY_S)
        assert office.outbox.count_for("ops") == 0

    office = at_work(act)
    statuses = {one.notification.monitor: one.status for one in office.outbox.entries()}
    assert statuses.pop("web-1") is DeliveryStatus.EXPIRED
    assert set(statuses.values()) == {DeliveryStatus.SENT}
    alone = [
        one
        for one in office.notifier.got
        if [notification.monitor for notification in one.notifications] == ["web-1"]
    ]
    assert len({content(one)[0] for one in alone}) == 1


def test_what_follows_a_refused_message_of_the_same_alert_waits_for_it() -> None:
    async def act(office: Office) -> None:
        office.notifier.act = refuse_the_first
        office.tell(1, alert="web")
        await asyncio.sleep(20)
        office.tell(2, alert="db")
        office.tell(3, alert="web", kind=NotificationKind.RECOVERY, monitor="web-1")
        await asyncio.sleep(60)
        assert office.worker.sent == 1
        office.notifier.act = lambda _: None
        await asyncio.sleep(1200)

    got = at_work(act).notifier.got
    assert [[one.number for one in message.notifications] for message in got[-2:]] == [[1], [3]]


def test_a_message_that_is_refused_goes_to_the_fallback_at_once() -> None:
    async def act(office: Office) -> None:
        office.notifier.act = refuse_the_first
        office.tell(1, alert="web")
        office.tell(2, alert="db")
        await asyncio.sleep(30)
        assert office.handed == [("backup", 1)]

    assert at_work(act, replace(OPS, fallback="backup")).worker.sent == 1


def test_a_notification_that_was_dropped_while_others_were_waited_for_is_not_sent() -> None:
    async def act(office: Office) -> None:
        entry = office.tell(1)
        await asyncio.sleep(5)
        office.outbox.give_up(entry, office.clock.now(), "too many")
        await asyncio.sleep(60)
        office.tell(2)
        await asyncio.sleep(60)

    assert at_work(act).notifier.titles == [["DOWN: web-2"]]


def test_a_peer_says_when_to_come_again() -> None:
    def later(_: object) -> None:
        raise DeliveryError("429 slowly", after_s=1000.0)

    async def act(office: Office) -> None:
        office.notifier.act = later
        office.tell(1)
        await asyncio.sleep(1500)

    first, second = at_work(act).notifier.got_at
    assert second - first == pytest.approx(1000.0)


def test_what_is_too_old_is_expired(caplog: pytest.LogCaptureFixture) -> None:
    async def act(office: Office) -> None:
        office.notifier.act = refuse
        office.tell(1)
        await asyncio.sleep(DAY_S - 3600)
        office.tell(2)
        await asyncio.sleep(2 * 3600)
        office.notifier.act = lambda _: None
        await asyncio.sleep(3600)

    office = at_work(act)
    assert [one.status for one in reversed(office.outbox.entries())] == [
        DeliveryStatus.EXPIRED,
        DeliveryStatus.SENT,
    ]
    assert (office.worker.expired, office.worker.sent) == (1, 1)
    assert "given up after 1d" in caplog.text
    assert "DOWN: web-1" in caplog.text


def test_a_message_is_expired_as_a_whole_when_all_of_it_is_too_old() -> None:
    async def act(office: Office) -> None:
        office.notifier.act = refuse
        entry = office.tell(1, since=office.clock.now())
        entry.attempts = 1
        office.clock.skipped_s = 2 * DAY_S
        office.tell(2)
        await asyncio.sleep(DAY_S / 2)
        assert {one.status for one in office.outbox.entries()} == {DeliveryStatus.QUEUED}
        await asyncio.sleep(DAY_S)
        assert {one.status for one in office.outbox.entries()} == {DeliveryStatus.EXPIRED}

    assert len({one.key for one in at_work(act).notifier.got}) == 1


def test_what_waited_for_long_is_tried_once_and_says_when_it_happened() -> None:
    async def act(office: Office) -> None:
        office.tell(1)
        office.clock.skipped_s = 3 * DAY_S  # the machine was off
        await asyncio.sleep(60)

    (message,) = at_work(act).notifier.got
    assert "delayed: this is from 2026-01-01 " in message.text


def test_a_fallback_gets_what_was_not_taken_for_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    async def act(office: Office) -> None:
        office.notifier.act = refuse
        office.tell(1)
        await asyncio.sleep(40)
        assert office.handed == []
        await asyncio.sleep(120)
        assert office.handed == [("backup", 1)]
        office.tell(2)
        await asyncio.sleep(15)

    office = at_work(act, replace(OPS, fallback="backup"))
    assert office.handed == [("backup", 1), ("backup", 1)]
    assert caplog.text.count("go to its fallback backup") == 2


def test_what_came_from_another_one_goes_no_further() -> None:
    async def act(office: Office) -> None:
        office.notifier.act = refuse
        entry = office.tell(1, notifier="other")
        office.outbox.hand_over(entry, "ops")
        office.worker.nudge()
        await asyncio.sleep(600)

    office = at_work(act, replace(OPS, fallback="backup"))
    assert len(office.notifier.got) > 3
    assert office.handed == []


def test_a_bug_of_a_type_is_a_failure_and_told_once(caplog: pytest.LogCaptureFixture) -> None:
    def break_down(_: object) -> None:
        raise KeyError("oops")

    async def act(office: Office) -> None:
        office.notifier.act = break_down
        office.tell(1)
        await asyncio.sleep(600)
        assert office.worker.failing == "bug in notifier type fake: KeyError('oops')"
        office.notifier.act = lambda _: None
        await asyncio.sleep(900)

    assert at_work(act).worker.sent == 1
    assert caplog.text.count("ops: bug in notifier type fake") == 1


def test_who_hangs_is_a_failure() -> None:
    async def hang() -> None:
        await asyncio.Event().wait()

    async def act(office: Office) -> None:
        office.notifier.act = lambda _: hang()
        office.tell(1)
        await asyncio.sleep(50)
        assert office.worker.failing == "no end within 30s"

    at_work(act)


def test_what_is_on_its_way_at_the_stop_arrives_and_is_not_sent_again() -> None:
    async def slow() -> None:
        await asyncio.sleep(2)

    async def act(office: Office) -> None:
        office.notifier.act = lambda _: slow()
        office.tell(1)
        await asyncio.sleep(11)

    office = at_work(act)
    assert [one.status for one in office.outbox.entries()] == [DeliveryStatus.SENT]


def test_what_does_not_arrive_at_the_stop_waits_for_the_next_run() -> None:
    async def slow() -> None:
        await asyncio.sleep(20)

    async def act(office: Office) -> None:
        office.notifier.act = lambda _: slow()
        office.tell(1)
        await asyncio.sleep(11)

    office = at_work(act)
    assert [one.status for one in office.outbox.entries()] == [DeliveryStatus.QUEUED]


def test_a_recovery_alone_says_so() -> None:
    async def act(office: Office) -> None:
        office.tell(1, kind=NotificationKind.RECOVERY)
        await asyncio.sleep(60)

    (message,) = at_work(act).notifier.got
    assert message.is_all_closing
    assert message.subject.startswith("[monitord here.example.org] UP again: web-1, after ")


def test_a_warning_of_a_delivery_is_logged_once_and_ends_with_its_reason(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def act(office: Office) -> None:
        for number, warning in enumerate(("sent unencrypted", "sent unencrypted", None)):
            office.notifier.warning = warning
            office.tell(number)
            await asyncio.sleep(20)
            assert office.worker.warning == warning

    with caplog.at_level(logging.INFO):
        office = at_work(act)
    assert (office.worker.sent, office.worker.failing) == (3, None)
    assert [one.message for one in caplog.records if one.levelno == logging.WARNING] == [
        "ops: sent unencrypted"
    ]


class LoudNotifier(FakeNotifier):
    """Its receiver repeats what it was sent."""

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
def test_no_secret_of_a_notifier_is_in_what_its_receiver_said(
    caplog: pytest.LogCaptureFixture, echo: str, is_failure: bool
) -> None:
    async def main() -> None:
        office = Office()
        loud = office.worker.notifier = LoudNotifier(OPS, tools(office.clock))
        loud.warning = f"warning: {echo}"

        def answer(_: Message) -> None:
            if is_failure:
                raise DeliveryError(echo)
            loud.response = f"{echo}\x1b[31m"

        loud.act = answer
        message = Message([notification(1)], "here", office.clock.now())
        try:
            said = await office.worker.test(message)
        except DeliveryError as error:
            said = str(error)
        office.tell(1)
        task = asyncio.ensure_future(office.worker.run())
        await asyncio.sleep(60)
        task.cancel()
        await asyncio.wait([task])
        await office.worker.close()
        (entry,) = office.outbox.entries()
        for text in (
            said,
            entry.response,
            str(office.worker.failing),
            str(office.worker.warning),
            caplog.text,
        ):
            assert "s3cret" not in text
            assert "czNjcmV0L3" not in text
            assert "\x1b" not in text
        assert "***" in said

    with caplog.at_level(logging.DEBUG):
        run_in_fake_time(main)


def test_a_bug_of_a_notifier_is_logged_without_its_secret(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        office = Office()
        loud = office.worker.notifier = LoudNotifier(OPS, tools(office.clock))

        def fail(_: Message) -> None:
            raise KeyError("s3cret/token")

        loud.act = fail
        with pytest.raises(DeliveryError, match=r"bug in notifier type fake: KeyError"):
            await office.worker.test(Message([notification(1)], "here", office.clock.now()))
        await office.worker.close()

    run_in_fake_time(main)
    assert "Traceback" in caplog.text
    assert "s3cret" not in caplog.text


def test_answer_that_came_during_a_standstill_is_a_delivery() -> None:
    """Otherwise the notification is sent again."""

    async def act(office: Office) -> None:
        answer = asyncio.Event()

        async def deliver() -> None:
            loop = asyncio.get_running_loop()
            loop.call_later(1.0, stall, 60.0)
            loop.call_later(1.0, lambda: after_some_turns(5, answer.set))
            await answer.wait()

        office.notifier.act = lambda _: deliver()
        office.tell()
        await asyncio.sleep(300)

    office = at_work(act)
    assert (len(office.notifier.got), office.worker.sent, office.worker.failed) == (1, 1, 0)
