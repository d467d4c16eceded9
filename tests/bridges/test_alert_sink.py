"""From checks to notifications: through the real dispatcher and the real alerts, in fake time."""

import asyncio
from collections.abc import Callable, Coroutine, Iterator, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any, ClassVar

import pytest

from monitord.alerts import AlertRoute, AlertSettings, DeliveryStatus, Suppression, SuppressionReason
from monitord.dispatch import ClusterState, Matcher, MonitorEntry, Pause
from monitord.health import HealthPolicy, TimeWindow
from monitord.model import MonitorContext, Observation, Reason, Result, State, Verdict
from monitord.notifiers import (
    NOTIFIER_TYPES,
    NotificationContext,
    NotificationKind,
    NotifierSettings,
    NotifierTools,
)
from tests.alerts.fakes import T0, FakeNotifier, fail_delivery, fake_type, without_duration
from tests.dispatch.test_states import many
from tests.fakes import FakeMonitor, monitor_settings, run_in_fake_time
from tests.worlds import RunningWorld

OPS = AlertSettings((NotifierSettings("ops", "fake", None, group_wait_s=1.0),))


@pytest.fixture(autouse=True)
def with_the_fake_type() -> Iterator[None]:
    with fake_type():
        yield


class AlertWorld(RunningWorld):
    """A world whose alerts are delivered. `kept`: what an earlier run has stored."""

    def __init__(
        self, settings: AlertSettings = OPS, kept: Mapping[str, Mapping[str, Any]] | None = None
    ) -> None:
        super().__init__(kept=kept)
        self.alerts.apply(settings)
        self._delivery = asyncio.ensure_future(self.alerts.run())

    @property
    def ops(self) -> FakeNotifier:
        return FakeNotifier.made[-1]

    @property
    def titles(self) -> list[str]:
        """The titles of all notifications to `ops`, without durations."""
        return [without_duration(title) for group in self.ops.titles for title in group]

    async def close(self) -> None:
        self._delivery.cancel()
        await asyncio.wait([self._delivery])
        await super().close()


def suppression(world: AlertWorld, monitor: str) -> Suppression:
    """Why notifications of `ops` about this monitor are suppressed."""
    found = world.alerts.decisions(monitor)["ops"].suppression
    assert found is not None
    return found


def run(main: Callable[[AlertWorld], Coroutine[Any, Any, None]], settings: AlertSettings = OPS) -> None:
    async def run_and_close() -> None:
        world = AlertWorld(settings)
        await main(world)
        await world.close()

    run_in_fake_time(run_and_close)


def test_notifications_of_problem_and_recovery_have_the_incident_id() -> None:
    async def main(world: AlertWorld) -> None:
        world.monitor("web", tags=("prod",))
        await asyncio.sleep(30)
        assert world.titles == []
        world.bad = {"web": Reason.REFUSED}
        await asyncio.sleep(60)
        world.bad = {}
        await asyncio.sleep(60)
        assert world.titles == ["DOWN: web", "UP: web"]
        opening = world.ops.got[0].notifications[0]
        assert (opening.reason, opening.tags, opening.type_name) == (Reason.REFUSED, ("prod",), "fake")
        assert opening.alert == world.incidents[0].id
        assert [key for key in world.history.kept if key.startswith("alert:")] == []

    run(main)


def test_notification_names_the_page_and_the_related_monitors() -> None:
    async def main(world: AlertWorld) -> None:
        context = MonitorContext(title="Web shop", runbook="https://wiki.example.org/shop")
        world.monitor("gateway")
        world.monitor("web 1", context=context, depends_on=("gateway",), policy=HealthPolicy(fail_after=3))
        world.monitor("mail", depends_on_any=("gateway",))
        world.monitor("news", depends_on=("gateway",))
        world.monitor("cart", depends_on=("web 1",))
        await asyncio.sleep(35)
        passed_at = world.dispatcher.entries["web 1"].state.passed_at
        world.bad = {"web 1": Reason.REFUSED, "mail": Reason.REFUSED}
        await asyncio.sleep(90)
        found = {sent.monitor: sent for message in world.ops.got for sent in message.notifications}["web 1"]
        assert found.context == NotificationContext(
            context,
            url="https://status.example.org/m/web%201",
            passed_at=passed_at,
            siblings=("mail",),
            dependents=("cart",),
        )
        world.bad = {}
        await asyncio.sleep(60)
        (recovery,) = (sent for sent in world.ops.got[-1].notifications if sent.monitor == "web 1")
        assert (recovery.kind, recovery.context.url) == (NotificationKind.RECOVERY, found.context.url)
        assert recovery.title.startswith("UP: Web shop (web 1), recovered after ")

    run(main, replace(OPS, public_url="https://status.example.org"))


def test_context_names_parents_that_are_not_up_and_has_the_excerpt() -> None:
    async def main(world: AlertWorld) -> None:
        world.monitor("switch")
        world.monitor("gateway")
        web = world.monitor("web", depends_on=("switch",), depends_on_any=("gateway",))
        entry, gateway = world.dispatcher.entries[web.name], world.dispatcher.entries["gateway"]
        gateway.state = replace(gateway.state, effective=State.DEGRADED)
        seen = Observation(T0, 0.1, Reason.REFUSED, "refused", excerpt="line\n" * 200)
        entry.state = replace(entry.state, last=Result(seen, Verdict.FAIL))
        context = world.alert_inputs.context_of("web")
        assert context is not None
        assert context.parents == ("gateway",)
        assert context.excerpt == ("line\n" * 200)[:499] + "…"
        assert context.url == ""
        assert world.alert_inputs.context_of("absent") is None

    run(main)


def test_context_has_at_most_twenty_names_of_each_kind() -> None:
    async def main(world: AlertWorld) -> None:
        world.monitor("gateway")
        for number in range(30):
            entry = world.dispatcher.entries[world.monitor(f"web-{number}", depends_on=("gateway",)).name]
            entry.state = replace(entry.state, effective=State.DOWN)
        for name, count in (("gateway", 0), ("web-0", 20)):
            context = world.alert_inputs.context_of(name)
            assert context is not None
            assert len(context.siblings) == count
        context = world.alert_inputs.context_of("gateway")
        assert context is not None
        assert len(context.dependents) == 20

    run(main)


def test_notification_of_a_removed_monitor_keeps_its_title_and_has_no_page() -> None:
    async def main(world: AlertWorld) -> None:
        world.monitor("web", context=MonitorContext(title="Web shop"))
        world.bad = {"web": Reason.REFUSED}
        await asyncio.sleep(60)
        world.dispatcher.apply(world.dispatcher.plan([], world.build_monitor))
        await asyncio.sleep(60)
        closed = world.ops.got[-1].notifications[-1]
        assert closed.title == "CLOSED: Web shop (web), no longer monitored"
        assert closed.context.url == ""

    run(main, replace(OPS, public_url="https://status.example.org"))


def test_notification_of_isolation_and_test_lead_to_the_overview() -> None:
    async def main(world: AlertWorld) -> None:
        world.alerts.update_isolation(is_isolated=True)
        await asyncio.sleep(10)
        await world.alerts.test("ops", "kim")
        urls = [sent.context.url for message in world.ops.got for sent in message.notifications]
        assert urls == ["https://status.example.org/"] * 2

    run(main, replace(OPS, public_url="https://status.example.org"))


def test_no_notification_about_an_unreachable_dependent_is_sent() -> None:
    async def main(world: AlertWorld) -> None:
        world.monitor("gateway")
        world.monitor("shop", depends_on=("gateway",))
        await asyncio.sleep(30)
        world.bad = dict.fromkeys(("gateway", "shop"), Reason.REFUSED)
        await asyncio.sleep(60)
        world.bad = {}
        await asyncio.sleep(60)
        assert world.titles == ["DOWN: gateway", "UP: gateway"]

    run(main)


def test_silence_suppresses_notifications_until_its_end() -> None:
    async def main(world: AlertWorld) -> None:
        people = world.interventions
        world.monitor("web")
        await asyncio.sleep(30)
        people.silence(Matcher(names=("web",)), world.clock.now() + timedelta(minutes=10), None, "kim")
        world.bad = {"web": Reason.REFUSED}
        await asyncio.sleep(300)
        assert world.titles == []
        assert suppression(world, "web").reason is SuppressionReason.SILENCED
        await asyncio.sleep(310)
        assert world.titles == ["DOWN: web"]

    run(main)


def test_window_suppresses_notifications_about_outages_within_it() -> None:
    async def main(world: AlertWorld) -> None:
        world.monitor("web")
        await asyncio.sleep(30)
        world.pipeline.configure(windows=[TimeWindow("upgrade", 600.0, begins_at=world.clock.now())])
        world.bad = {"web": Reason.REFUSED}
        await asyncio.sleep(300)
        assert suppression(world, "web") == Suppression(SuppressionReason.MAINTENANCE, window="upgrade")
        world.bad = {}
        await asyncio.sleep(600)
        assert world.titles == []

    run(main)


def test_acknowledgement_stops_reminders_but_not_the_recovery() -> None:
    async def main(world: AlertWorld) -> None:
        people = world.interventions
        world.monitor("web")
        await asyncio.sleep(30)
        world.bad = {"web": Reason.REFUSED}
        await asyncio.sleep(150)
        assert world.titles == ["DOWN: web", "still DOWN: web", "still DOWN: web"]
        people.acknowledge("web", "kim", None)
        await asyncio.sleep(600)
        assert len(world.titles) == 3
        assert suppression(world, "web") == Suppression(SuppressionReason.ACKNOWLEDGED, by="kim")
        world.bad = {}
        await asyncio.sleep(60)
        assert world.titles[3:] == ["UP: web"]

    settings = AlertSettings(OPS.notifiers, (AlertRoute(("ops",), repeat_every_s=60.0),))
    run(main, settings)


def test_flapping_and_its_end_send_one_notification_each() -> None:
    async def main(world: AlertWorld) -> None:
        world.monitor("web", policy=HealthPolicy(fail_after=1))
        await asyncio.sleep(30)
        for _ in range(20):
            world.bad = {} if world.bad else {"web": Reason.REFUSED}
            await asyncio.sleep(10)
        assert world.titles.count("FLAPPING: web") == 1
        before = len(world.titles)
        world.bad = {"web": Reason.REFUSED}
        await asyncio.sleep(600)
        assert world.titles[before:] == ["DOWN: web, no longer flapping"]
        world.bad = {}
        await asyncio.sleep(600)
        assert world.titles[before:] == ["DOWN: web, no longer flapping", "UP: web"]

    run(main)


def test_pause_sends_no_notification_and_the_recovery_after_it_does() -> None:
    async def main(world: AlertWorld) -> None:
        world.monitor("web")
        world.bad = {"web": Reason.REFUSED}
        await asyncio.sleep(60)
        world.dispatcher.pause("web", Pause("kim", world.clock.now()))
        await asyncio.sleep(600)
        world.bad = {}
        world.dispatcher.resume("web")
        await asyncio.sleep(60)
        assert world.titles == ["DOWN: web", "UP: web"]

    run(main)


def test_alert_of_a_removed_monitor_is_closed() -> None:
    async def main(world: AlertWorld) -> None:
        world.monitor("web")
        world.bad = {"web": Reason.REFUSED}
        await asyncio.sleep(60)
        world.dispatcher.apply(world.dispatcher.plan([], lambda _: pytest.fail("nothing is made")))
        await asyncio.sleep(60)
        assert world.titles == ["DOWN: web", "CLOSED: web, no longer monitored"]
        assert world.history.kept.keys() == {
            "closed-alert:web",
            *(delivery.key for delivery in world.alerts.deliveries()),
        }

    run(main)


@pytest.mark.parametrize("restarts", [False, True], ids=["reload", "restart"])
def test_monitor_that_is_added_again_while_down_has_a_new_key(*, restarts: bool) -> None:
    async def main(world: AlertWorld) -> None:
        world.monitor("web")
        world.bad = {"web": Reason.REFUSED}
        await asyncio.sleep(60)
        before = world.dispatcher.entries["web"]
        world.dispatcher.apply(world.dispatcher.plan([], lambda _: pytest.fail("nothing is made")))
        await asyncio.sleep(60)
        assert world.titles == ["DOWN: web", "CLOSED: web, no longer monitored"]
        other, got = world, list(world.ops.got)
        if restarts:
            other = AlertWorld(kept=world.history.kept)
            other.bad = {"web": Reason.REFUSED}
        other.monitor("web")
        again = other.dispatcher.entries["web"]
        # The state that the recorder restores: down, since the same time.
        again.state = replace(
            again.state,
            health=before.state.health,
            effective=before.state.effective,
            effective_since=before.state.effective_since,
        )
        other.alerts.evaluate("web")
        await asyncio.sleep(30)
        other.bad = {}
        await asyncio.sleep(60)
        assert other.titles[-2:] == ["DOWN: web", "UP: web"]
        messages = [*got, *other.ops.got[-2:]]
        assert len({message.key for message in messages}) == len(messages) == 4
        assert len({message.notifications[0].alert for message in messages}) == 1
        if restarts:
            await other.close()

    run(main)


UNKNOWN_AS_WELL = AlertSettings(
    OPS.notifiers, (AlertRoute(("ops",), states=frozenset({State.DOWN, State.DEGRADED, State.UNKNOWN})),)
)


def test_isolation_sends_one_notification_instead_of_one_for_each_unknown_monitor() -> None:
    async def main(world: AlertWorld) -> None:
        names = many(world)
        await asyncio.sleep(120)
        world.bad = dict.fromkeys(names, Reason.TIMEOUT_RESOLVE)
        await asyncio.sleep(600)
        assert {world.state(name) for name in names} == {State.UNKNOWN}
        assert suppression(world, names[0]).reason is SuppressionReason.ISOLATED
        world.bad = {}
        await asyncio.sleep(120)
        assert {world.state(name) for name in names} == {State.UP}
        assert world.titles == [
            "This host appears to be isolated: nearly all network monitors fail",
            "This host is no longer isolated",
        ]

    run(main, UNKNOWN_AS_WELL)


def test_notification_about_an_unknown_monitor_is_sent_after_a_restart() -> None:
    async def main(world: AlertWorld) -> None:
        world.monitor("gateway")
        world.bad = {"gateway": Reason.PROBER_FORBIDDEN}
        restored = world.dispatcher.entries["gateway"]
        restored.state = replace(
            restored.state,
            effective=State.UNKNOWN,
            is_unknown=True,
            effective_since=world.clock.now(),
        )
        world.alert_sink.evaluate_all(is_isolated=False)
        assert world.titles == []
        await asyncio.sleep(30)
        assert world.titles == ["UNKNOWN: gateway"]

    run(main, UNKNOWN_AS_WELL)


def test_notification_about_a_monitor_that_cannot_be_checked_has_the_state_unknown() -> None:
    async def main(world: AlertWorld) -> None:
        world.monitor("gateway")
        world.bad = {"gateway": Reason.PROBER_FORBIDDEN}
        await asyncio.sleep(300)
        assert world.titles == ["UNKNOWN: gateway"]
        (only,) = world.ops.got[0].notifications
        assert (only.reason, only.state) == (Reason.PROBER_FORBIDDEN, State.UNKNOWN)
        world.bad = {}
        await asyncio.sleep(60)
        assert world.titles == ["UNKNOWN: gateway", "UP: gateway"]

    run(main, UNKNOWN_AS_WELL)


WITH_FALLBACK = AlertSettings(
    (
        NotifierSettings("ops", "fake", None, fallback="backup"),
        NotifierSettings("backup", "fake", None),
    ),
    (AlertRoute(("ops",)),),
)


@pytest.mark.parametrize("is_back", [True, False], ids=["delivers_again", "still_fails"])
@pytest.mark.parametrize("restarts", [False, True], ids=["", "restart"])
def test_fallback_that_received_the_problem_receives_the_recovery_once(
    *, is_back: bool, restarts: bool
) -> None:
    async def main(world: AlertWorld) -> None:
        ops, backup = FakeNotifier.made[-2:]
        ops.act = fail_delivery
        world.monitor("web")
        world.bad = {"web": Reason.REFUSED}
        await asyncio.sleep(300)
        assert [title for group in backup.titles for title in group] == ["DOWN: web"]
        other = world
        if restarts:
            other = AlertWorld(WITH_FALLBACK, world.history.kept)
            ops, backup = FakeNotifier.made[-2:]
            other.monitor("web")
            other.bad = {"web": Reason.REFUSED}
            other.alert_sink.evaluate_all(is_isolated=False)
            await asyncio.sleep(60)
        ops.act = (lambda _: None) if is_back else fail_delivery
        before = len(ops.got)
        other.bad = {}
        await asyncio.sleep(600)
        titles = [without_duration(title) for group in backup.titles for title in group]
        assert titles.count("UP: web") == 1
        assert titles[-1] == "UP: web"
        assert ops.got[before].notifications[0].kind.is_closing
        assert not any(other.alerts.queue_length(name) for name in ("ops", "backup"))
        if restarts:
            await other.close()

    run(main, WITH_FALLBACK)


def test_fallback_receives_the_recovery_of_a_problem_that_had_ended_before() -> None:
    async def main(world: AlertWorld) -> None:
        ops, backup = FakeNotifier.made[-2:]
        ops.act = fail_delivery
        world.monitor("web")
        world.bad = {"web": Reason.REFUSED}
        await asyncio.sleep(60)
        world.bad = {}
        await asyncio.sleep(20)
        assert (backup.got, world.alerts.queue_length("ops")) == ([], 2)
        handed_over = asyncio.Event()
        backup.act = lambda _: handed_over.set()
        await handed_over.wait()
        ops.act = lambda _: None
        await asyncio.sleep(600)
        for notifier in (ops, backup):
            assert [without_duration(title) for title in notifier.titles[-1]] == ["UP: web"]
        assert len(backup.got) == 2

    run(main, WITH_FALLBACK)


def test_fallback_with_its_own_route_receives_one_recovery() -> None:
    async def main(world: AlertWorld) -> None:
        ops, backup = FakeNotifier.made[-2:]
        ops.act = fail_delivery
        world.monitor("web")
        world.bad = {"web": Reason.REFUSED}
        await asyncio.sleep(300)
        ops.act = lambda _: None
        world.bad = {}
        await asyncio.sleep(60)
        titles = [without_duration(title) for group in backup.titles for title in group]
        assert titles == ["DOWN: web", "DOWN: web", "UP: web"]

    run(main, AlertSettings(WITH_FALLBACK.notifiers, (AlertRoute(("ops", "backup")),)))


def test_messages_return_from_a_removed_fallback() -> None:
    async def main(world: AlertWorld) -> None:
        ops, backup = FakeNotifier.made[-2:]
        ops.act = backup.act = fail_delivery
        world.monitor("web")
        world.bad = {"web": Reason.REFUSED}
        await asyncio.sleep(300)
        assert world.alerts.queue_length("backup") == 1
        (delivery,) = world.alerts.deliveries("web")
        assert (delivery.status, delivery.delivered_by) == (DeliveryStatus.REROUTED, "backup")
        ops.act = lambda _: None
        world.alerts.apply(AlertSettings((NotifierSettings("ops", "fake", None),)))
        assert (delivery.status, delivery.delivered_by) == (DeliveryStatus.RETRYING, "ops")
        await asyncio.sleep(30)
        assert [delivery.status.value for delivery in world.alerts.deliveries("web")] == ["sent"]

    run(main, WITH_FALLBACK)


def test_no_notification_is_lost_or_repeated_by_a_restart() -> None:
    async def main(world: AlertWorld) -> None:
        world.monitor("web")
        world.monitor("db")
        world.ops.act = fail_delivery
        world.bad = dict.fromkeys(("web", "db"), Reason.REFUSED)
        await asyncio.sleep(60)
        kept = dict(world.history.kept)
        assert world.ops.got
        # Another run continues with the stored alerts; db is no longer configured.
        other = AlertWorld(kept=kept)
        other.monitor("web")
        other.bad = {"web": Reason.REFUSED}
        other.alert_sink.evaluate_all(is_isolated=False)
        await asyncio.sleep(60)
        assert sorted(other.titles) == ["CLOSED: db, no longer monitored", "DOWN: db", "DOWN: web"]
        other.bad = {}
        await asyncio.sleep(60)
        assert other.titles[-1] == "UP: web"
        assert other.ops.got[-1].notifications[0].alert == world.ops.got[0].notifications[0].alert
        await other.close()

    run(main)


def test_changed_notifier_takes_over_queued_messages_and_recoveries_wait_for_a_removed_one(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("monitord.alerts.alerts.KEEP_CLOSING_FOR", timedelta(minutes=10))

    async def main(world: AlertWorld) -> None:
        world.monitor("web")
        world.bad = {"web": Reason.REFUSED}
        old = world.ops
        old.act = fail_delivery
        await asyncio.sleep(60)
        world.alerts.apply(OPS)
        assert world.ops is old
        changed = AlertSettings((NotifierSettings("ops", "fake", None, group_wait_s=2.0),))
        world.alerts.apply(changed)
        assert world.ops is not old
        await asyncio.sleep(60)
        assert world.titles == ["DOWN: web"]
        assert old.closed == 1
        world.ops.act = fail_delivery
        world.bad = {}
        await asyncio.sleep(60)
        world.alerts.apply(AlertSettings())
        assert world.alerts.workers == {}
        assert world.alerts.queue_length("ops") == 1
        await asyncio.sleep(500)
        assert world.alerts.queue_length("ops") == 1
        await asyncio.sleep(300)
        assert world.alerts.queue_length("ops") == 0
        assert world.alerts.deliveries("web")[0].status is DeliveryStatus.CANCELLED
        assert (
            "ops: notification cancelled, because the notifier was removed from the configuration: UP: web"
            in caplog.text
        )

    run(main)


def test_message_is_the_same_after_a_change_of_its_notifier() -> None:
    async def main(world: AlertWorld) -> None:
        world.monitor("web")
        world.bad = {"web": Reason.REFUSED}
        old = world.ops
        old.act = fail_delivery
        await asyncio.sleep(60)
        world.alerts.apply(AlertSettings((NotifierSettings("ops", "fake", None, timeout_s=7.0),)))
        await asyncio.sleep(60)
        assert world.ops is not old
        (message,) = world.ops.got
        assert {(sent.key, str(sent.as_json())) for sent in old.got} == {
            (message.key, str(message.as_json()))
        }

    run(main)


def test_bug_in_a_notifier_affects_no_check(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def main(world: AlertWorld) -> None:
        def raise_error(_: str) -> None:
            raise KeyError("oops")

        monkeypatch.setattr(world.alerts, "evaluate", raise_error)
        world.monitor("web")
        world.bad = {"web": Reason.REFUSED}
        await asyncio.sleep(60)
        assert world.state("web") is State.DOWN
        assert "AlertSink failed" in caplog.text

    run(main)


def test_notifier_that_hangs_delays_neither_others_nor_checks() -> None:
    settings = AlertSettings(
        tuple(NotifierSettings(name, "fake", None, timeout_s=30.0) for name in ("slow", "ops"))
    )

    def times_in_s(*, hangs: bool) -> tuple[list[float], list[float]]:
        """The times of the messages to `ops` and of the checks, after four changes of state."""
        delivered_at_s: list[float] = []
        checked_at_s: list[float] = []

        async def main(world: AlertWorld) -> None:
            slow, ops = FakeNotifier.made[-2:]
            if hangs:
                slow.act = lambda _: asyncio.Event().wait()
            began_s = world.clock.monotonic_s()
            web = world.monitor("web")
            for reason in (Reason.REFUSED, Reason.OK, Reason.REFUSED, Reason.OK):
                world.bad = {"web": reason}
                await asyncio.sleep(90)
            assert world.alerts.workers["slow"].sent == (0 if hangs else 4)
            delivered_at_s.extend(at_s - began_s for at_s in ops.got_at)
            checked_at_s.extend(at_s - began_s for at_s in web.began)

        run(main, settings)
        return delivered_at_s, checked_at_s

    usual_s = times_in_s(hangs=False)
    assert len(usual_s[0]) == 4
    assert times_in_s(hangs=True) == usual_s


class FragileNotifier(FakeNotifier):
    """Its constructor and `close` raise exceptions, with a secret in their text."""

    type_name: ClassVar[str] = "fragile"

    def __init__(self, settings: NotifierSettings, tools: NotifierTools) -> None:
        super().__init__(settings, tools)
        if settings.options is None:
            raise RuntimeError("s3cret-token")

    async def close(self) -> None:
        raise RuntimeError("s3cret-token")


def test_exceptions_of_constructor_and_close_concern_only_this_notifier(
    caplog: pytest.LogCaptureFixture,
) -> None:
    fragile = (NotifierSettings("a", "fragile", None), NotifierSettings("b", "fragile", "usable"))

    async def main(world: AlertWorld) -> None:
        world.monitor("web")
        world.bad = {"web": Reason.REFUSED}
        await asyncio.sleep(60)
        assert world.titles == ["DOWN: web"]
        error = world.alerts.workers["a"].error
        assert error is not None
        assert error.startswith("bug in notifier type fragile: RuntimeError in test_alert_sink.py:")
        world.alerts.apply(OPS)
        await asyncio.sleep(60)

    NOTIFIER_TYPES["fragile"] = FragileNotifier
    try:
        run(main, AlertSettings((*fragile, *OPS.notifiers)))
    finally:
        del NOTIFIER_TYPES["fragile"]
    bug = "bug in notifier type fragile: RuntimeError in test_alert_sink.py:"
    assert {message.partition(":")[0] for message in caplog.messages if bug in message} == {"a", "b"}
    assert "s3cret-token" not in caplog.text


def test_renamed_monitor_keeps_its_alert() -> None:
    async def main(world: AlertWorld) -> None:
        world.monitor("web")
        world.bad = {"web": Reason.REFUSED}
        await asyncio.sleep(60)
        world.bad = {"site": Reason.REFUSED}
        world.alerts.rename("web", "site")
        assert set(world.history.kept) >= {"alert:site"}
        assert "alert:web" not in world.history.kept
        web = world.registry.entries["web"]
        renamed = FakeMonitor(monitor_settings("site"), world.tools)
        world.registry.add(MonitorEntry(renamed, web.cycle, web.state))
        assert world.alerts.alert_of("web") is None
        alert = world.alerts.alert_of("site")
        assert alert is not None
        assert alert.monitor == "site"

    run(main)


def test_beginning_and_end_of_isolation_send_one_notification_each() -> None:
    async def main(world: AlertWorld) -> None:
        names = many(world)
        await asyncio.sleep(120)
        world.bad = dict.fromkeys(names, Reason.TIMEOUT_RESOLVE)
        await asyncio.sleep(600)
        assert world.titles == ["This host appears to be isolated: nearly all network monitors fail"]
        assert world.ops.got[0].subject.startswith(
            "[monitord here.example.org] This host appears to be isolated"
        )
        # A restart during the isolation: no check has been made yet.
        other = AlertWorld(kept=world.history.kept)
        other.alerts.evaluate_all((), is_isolated=False)
        await asyncio.sleep(5)
        assert other.titles == ["This host is no longer isolated"]
        assert "alert:" not in other.history.kept
        await other.close()
        world.bad = {}
        await asyncio.sleep(120)
        (closing,) = (notification for group in FakeNotifier.made[0].titles[1:] for notification in group)
        assert closing.startswith("This host is no longer isolated, after ")

    run(main)


def test_notifier_that_forgets_alerts_receives_them_every_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FakeNotifier, "needs_resend", True)

    async def main(world: AlertWorld) -> None:
        world.monitor("web")
        world.bad = {"web": Reason.REFUSED}
        await asyncio.sleep(30)
        assert world.titles == ["DOWN: web"]
        await asyncio.sleep(600)
        assert 9 <= len(world.titles[1:]) <= 11
        assert all(title == "still DOWN: web" for title in world.titles[1:])
        assert len(world.alerts.deliveries()) == 1
        world.ops.act = fail_delivery
        await asyncio.sleep(120)
        assert [worker.error for worker in world.alerts.failing_workers()] == ["503 busy"]
        world.ops.act = lambda _: None
        await asyncio.sleep(120)
        assert world.alerts.failing_workers() == []
        world.bad = {}
        await asyncio.sleep(30)
        assert world.titles[-1] == "UP: web"
        before = len(world.titles)
        await asyncio.sleep(300)
        assert len(world.titles) == before

    run(main)


def test_notifier_that_forgets_alerts_receives_the_isolation_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FakeNotifier, "needs_resend", True)

    async def main(world: AlertWorld) -> None:
        world.alerts.update_isolation(is_isolated=True)
        await asyncio.sleep(200)
        assert len(world.titles) >= 3
        assert {
            notification.kind.value for message in world.ops.got for notification in message.notifications
        } == {"isolated"}
        world.alerts.update_isolation(is_isolated=False)
        await asyncio.sleep(200)
        assert world.ops.got[-1].notifications[0].kind.value == "reconnected"

    run(main)


def test_monitor_renamed_at_a_restart_keeps_its_alert() -> None:
    async def main(world: AlertWorld) -> None:
        world.monitor("web")
        world.bad = {"web": Reason.REFUSED}
        await asyncio.sleep(60)
        other = AlertWorld(kept=world.history.kept)
        other.monitor("site", renamed_from="web")
        other.alert_sink.evaluate_all(is_isolated=False)
        await asyncio.sleep(60)
        assert other.titles == ["UP: site"]
        (notification,) = other.ops.got[-1].notifications
        assert (notification.monitor, notification.opened_as) == ("site", "web")
        await other.close()

    run(main)


EXPIRING = AlertSettings((NotifierSettings("ops", "fake", None, group_wait_s=1.0, expire_after_s=3600.0),))


def test_expired_problem_is_sent_again_as_long_as_it_lasts() -> None:
    async def main(world: AlertWorld) -> None:
        world.ops.act = fail_delivery
        world.monitor("web")
        world.bad = {"web": Reason.REFUSED}
        await asyncio.sleep(3 * 3600)
        before = len(world.titles)
        world.ops.act = lambda _: None
        await asyncio.sleep(1800)
        assert world.titles[before:] == ["DOWN: web"]
        world.bad = {}
        await asyncio.sleep(60)
        assert world.titles[before:] == ["DOWN: web", "UP: web"]
        numbers = [
            notification.number
            for message in world.ops.got[before:]
            for notification in message.notifications
        ]
        assert numbers == sorted(set(numbers)), "each has its own number"

    run(main, EXPIRING)


def test_expired_change_is_sent_again_as_long_as_it_lasts() -> None:
    async def main(world: AlertWorld) -> None:
        world.monitor("web", policy=HealthPolicy(fail_after=1, degrade_after=1))
        world.bad = {"web": Reason.REFUSED}
        await asyncio.sleep(60)
        assert world.titles == ["DOWN: web"]
        world.ops.act = fail_delivery
        world.bad = {"web": Reason.PLUGIN_WARNING}
        await asyncio.sleep(3 * 3600)
        before = len(world.titles)
        world.ops.act = lambda _: None
        await asyncio.sleep(1800)
        assert world.titles[before:] == ["DEGRADED: web"]
        world.bad = {}
        await asyncio.sleep(60)
        assert world.titles[before:] == ["DEGRADED: web", "UP: web"]

    run(main, EXPIRING)


def test_expired_problem_of_a_monitor_that_is_up_again_is_not_sent() -> None:
    async def main(world: AlertWorld) -> None:
        world.ops.act = fail_delivery
        world.monitor("web")
        world.bad = {"web": Reason.REFUSED}
        await asyncio.sleep(60)
        world.bad = {}
        await asyncio.sleep(3 * 3600)
        before = len(world.titles)
        world.ops.act = lambda _: None
        await asyncio.sleep(3600)
        assert world.titles[before:] == []
        assert all(delivery.ended_at is not None for delivery in world.alerts.deliveries())

    run(main, EXPIRING)


def test_rename_to_a_name_with_an_alert_of_its_own_ends_the_alert_of_the_old_name() -> None:
    async def main(world: AlertWorld) -> None:
        world.monitor("web")
        world.monitor("site")
        world.bad = dict.fromkeys(("web", "site"), Reason.REFUSED)
        await asyncio.sleep(60)
        assert sorted(world.titles) == ["DOWN: site", "DOWN: web"]
        site = world.alerts.alert_of("site")
        world.alerts.rename("web", "site")
        await asyncio.sleep(30)
        assert len(world.titles) == 3
        assert world.titles[2].startswith("CLOSED: web")
        assert world.alerts.alert_of("web") is None
        assert world.alerts.alert_of("site") == site

    run(main)


def test_input_of_a_shared_monitor_is_the_decision_and_not_the_check_of_this_node() -> None:
    async def main(world: AlertWorld) -> None:
        world.monitor("web", check_every_s=10.0, policy=HealthPolicy(fail_after=1, recover_after=1))
        entry = world.dispatcher.entries["web"]
        decided = ClusterState(State.DOWN, T0, Reason.TIMEOUT_CONNECT, "fra and hel", 3)
        world.pipeline.set_cluster_state(entry, decided)
        # This node has not checked it yet, and need not: the votes of others count.
        current = world.alert_inputs.of("web")
        assert current is not None
        assert current.suppression is None
        while not entry.state.health.flapping.is_flapping:
            world.bad["web"] = Reason.REFUSED
            await asyncio.sleep(10)
            world.bad.clear()
            await asyncio.sleep(10)
        current = world.alert_inputs.of("web")
        assert current is not None
        assert (current.state, current.since, current.reason, current.detail, current.is_flapping) == (
            State.DOWN,
            T0,
            Reason.TIMEOUT_CONNECT,
            "fra and hel",
            False,
        )

    run(main)
