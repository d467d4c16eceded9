"""No notification is lost, sent twice or sent falsely because of a restart: two lifetimes, one database."""

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from monitord.dispatch import Matcher
from monitord.model import Reason, State
from monitord.notifiers import DeliveryError, Message
from tests.alerts.fakes import FakeNotifier
from tests.fakes import FakeClock
from tests.lifetimes import NOTIFIER, WEB, Lifetime, Scripted, frozen_time, lifetime, run, written

KILLED = pytest.mark.parametrize("is_killed", [False, True], ids=["stopped", "killed"])


def silence(daemon: Lifetime) -> None:
    until = daemon.container.clock.now() + timedelta(minutes=20)
    daemon.container.interventions.silence(Matcher(names=("web",)), until, None, "kim")


def nothing(_: Lifetime) -> None:
    """The configuration suppresses the notification."""


# FakeClock begins at 00:16:40 UTC, and the reasons end 20 to 25 minutes later.
REASONS: dict[str, tuple[Callable[[Lifetime], None], str, str]] = {
    "silence": (silence, "", "suppressed: silenced until "),
    "quiet hours": (
        nothing,
        '[[alerts.routes]]\nnotify = ["ops"]\nquiet_hours = { schedule = "00:00 UTC", duration = "40m" }\n',
        "no notification during quiet hours",
    ),
    "after": (
        nothing,
        '[[alerts.routes]]\nnotify = ["ops"]\nafter = "20m"\n',
        "no notification unless the problem lasts 20m",
    ),
    "maintenance": (
        nothing,
        "[maintenance.upgrade]\nfrom = 2026-01-01T00:00:00Z\nuntil = 2026-01-01T00:40:00Z\n",
        "suppressed: maintenance window upgrade",
    ),
}


@KILLED
@pytest.mark.parametrize("reason", REASONS)
@pytest.mark.parametrize("failure", [Reason.REFUSED, Reason.PLUGIN_WARNING], ids=["down", "degraded"])
def test_suppressed_notification_is_sent_after_a_restart_when_the_reason_ends(
    tmp_path: Path, reason: str, failure: Reason, is_killed: bool
) -> None:
    act, config, why = REASONS[reason]
    config = NOTIFIER + WEB + config
    state = "DOWN" if failure is Reason.REFUSED else "DEGRADED"

    async def main() -> None:
        async with lifetime(tmp_path, config, is_killed=is_killed) as first:
            await asyncio.sleep(30)
            act(first)
            Scripted.bad = {"web": failure}
            await asyncio.sleep(300)
            assert first.why().startswith(why)
        async with lifetime(tmp_path, config, is_killed=is_killed) as second:
            await asyncio.sleep(60)
            assert second.sent == []
            assert second.why().startswith(why)
            await asyncio.sleep(1500)
            assert second.sent == [f"{state}: web"]
        async with lifetime(tmp_path, config) as third:
            await asyncio.sleep(60)
            assert third.sent == []
            Scripted.bad = {}
            await asyncio.sleep(60)
            assert third.sent == ["UP: web"]
        assert first.sent == []

    run(main)


@pytest.mark.parametrize("reason", REASONS)
def test_suppression_that_ends_while_the_daemon_is_stopped_is_over(tmp_path: Path, reason: str) -> None:
    act, config, _ = REASONS[reason]
    config = NOTIFIER + WEB + config

    async def main() -> None:
        async with lifetime(tmp_path, config) as first:
            await asyncio.sleep(30)
            act(first)
            Scripted.bad = {"web": Reason.REFUSED}
            await asyncio.sleep(300)
        await asyncio.sleep(1500)
        async with lifetime(tmp_path, config) as second:
            await asyncio.sleep(60)
            assert second.sent == ["DOWN: web"]
            incident = second.container.dispatcher.entries["web"].state.incident
            assert incident is not None

    run(main)


@KILLED
def test_delay_of_a_route_counts_from_the_beginning_of_the_alert_across_restarts(
    tmp_path: Path, is_killed: bool
) -> None:
    """The monitor was degraded first: its current state is younger than the alert."""
    config = NOTIFIER + WEB + '[[alerts.routes]]\nnotify = ["ops"]\nafter = "20m"\n'

    async def main() -> None:
        async with lifetime(tmp_path, config, is_killed=is_killed):
            await asyncio.sleep(30)
            Scripted.bad = {"web": Reason.PLUGIN_WARNING}
            await asyncio.sleep(600)
            Scripted.bad = {"web": Reason.REFUSED}
            await asyncio.sleep(300)
        async with lifetime(tmp_path, config) as second:
            await asyncio.sleep(240)
            assert second.sent == []
            await asyncio.sleep(90)
            assert second.sent == ["DOWN: web"]

    run(main)


@KILLED
def test_alert_from_before_the_first_notifier_is_sent_to_it_after_a_restart(
    tmp_path: Path, is_killed: bool
) -> None:
    async def main() -> None:
        async with lifetime(tmp_path, WEB, is_killed=is_killed):
            await asyncio.sleep(30)
            Scripted.bad = {"web": Reason.REFUSED}
            await asyncio.sleep(60)
        async with lifetime(tmp_path, WEB + NOTIFIER) as second:
            await asyncio.sleep(60)
            assert second.sent == ["DOWN: web"]

    run(main)


@pytest.mark.parametrize("is_restarted", [False, True])
def test_alert_is_sent_to_the_first_notifier_that_a_reload_adds(tmp_path: Path, is_restarted: bool) -> None:
    async def main() -> None:
        async with lifetime(tmp_path, WEB) as first:
            await asyncio.sleep(30)
            Scripted.bad = {"web": Reason.REFUSED}
            await asyncio.sleep(60)
            if not is_restarted:
                await first.reload(WEB + NOTIFIER)
                await asyncio.sleep(30)
                assert first.sent == ["DOWN: web"]
                return
        async with lifetime(tmp_path, WEB) as second:
            await asyncio.sleep(60)
            await second.reload(WEB + NOTIFIER)
            await asyncio.sleep(30)
            assert second.sent == ["DOWN: web"]

    run(main)


@KILLED
def test_acknowledged_incident_stays_quiet_across_a_restart_and_its_recovery_is_sent(
    tmp_path: Path, is_killed: bool
) -> None:
    config = NOTIFIER + WEB + '[[alerts.routes]]\nnotify = ["ops"]\nrepeat_every = "1m"\n'

    async def main() -> None:
        async with lifetime(tmp_path, config, is_killed=is_killed) as first:
            await asyncio.sleep(30)
            Scripted.bad = {"web": Reason.REFUSED}
            await asyncio.sleep(30)
            first.container.interventions.acknowledge("web", "kim", None)
            await asyncio.sleep(300)
            assert first.sent == ["DOWN: web"]
        async with lifetime(tmp_path, config) as second:
            await asyncio.sleep(300)
            assert second.sent == []
            assert second.why() == "suppressed: acknowledged by kim"
            Scripted.bad = {}
            await asyncio.sleep(60)
            assert second.sent == ["UP: web"]

    run(main)


@KILLED
def test_notification_about_unknown_is_sent_by_its_route_across_a_restart(
    tmp_path: Path, is_killed: bool
) -> None:
    route = '[[alerts.routes]]\nnotify = ["ops"]\nstates = ["unknown", "down"]\nafter = "{}"\n'
    later = NOTIFIER + WEB + route.format("10m")

    async def main() -> None:
        Scripted.bad = {"web": Reason.PROBER_FORBIDDEN}
        async with lifetime(tmp_path, later, is_killed=is_killed) as first:
            await asyncio.sleep(120)
            assert first.container.dispatcher.entries["web"].state.effective is State.UNKNOWN
            assert first.sent == []
        async with lifetime(tmp_path, later, is_killed=is_killed) as second:
            await asyncio.sleep(660)
            assert second.sent == ["UNKNOWN: web"]
        async with lifetime(tmp_path, later) as third:
            await asyncio.sleep(660)
            assert third.sent == []
            Scripted.bad = {}
            await asyncio.sleep(60)
            assert third.sent == ["UP: web"]

    run(main)


@KILLED
def test_suppressed_flapping_is_sent_after_a_restart(tmp_path: Path, is_killed: bool) -> None:
    config = NOTIFIER + WEB + "fail_after = 1\n"

    async def main() -> None:
        async with lifetime(tmp_path, config, is_killed=is_killed) as first:
            await asyncio.sleep(30)
            silence(first)
            for _ in range(20):
                Scripted.bad = {} if Scripted.bad else {"web": Reason.REFUSED}
                await asyncio.sleep(10)
        async with lifetime(tmp_path, config) as second:
            assert second.container.dispatcher.entries["web"].state.health.flapping.is_flapping
            for _ in range(110):
                Scripted.bad = {} if Scripted.bad else {"web": Reason.REFUSED}
                await asyncio.sleep(10)
            assert second.sent == ["FLAPPING: web"]
            Scripted.bad = {"web": Reason.REFUSED}
            await asyncio.sleep(600)
            assert second.sent[1:] == ["DOWN: web, no longer flapping"]

    run(main)


@KILLED
def test_alert_that_ends_before_the_first_check_after_a_start_is_not_sent(
    tmp_path: Path, is_killed: bool
) -> None:
    """A state from before a long stop is not notified before a check has confirmed it."""

    async def main() -> None:
        async with lifetime(tmp_path, NOTIFIER + WEB, is_killed=is_killed) as first:
            await asyncio.sleep(30)
            silence(first)
            Scripted.bad = {"web": Reason.REFUSED}
            await asyncio.sleep(60)
        await asyncio.sleep(86_400)
        Scripted.bad = {}
        async with lifetime(tmp_path, NOTIFIER + WEB) as second:
            assert second.why() == "suppressed: no conclusive check since monitord started or web was resumed"
            await asyncio.sleep(60)
            assert second.sent == []

    run(main)


def test_monitor_that_is_down_is_checked_soon_after_a_start_however_rarely_otherwise(tmp_path: Path) -> None:
    config = NOTIFIER + WEB.replace("10s", "1h")

    async def main() -> None:
        async with lifetime(tmp_path, config) as first:
            await asyncio.sleep(30)
            silence(first)
            Scripted.bad = {"web": Reason.REFUSED}
            await asyncio.sleep(7200)
        async with lifetime(tmp_path, config) as second:
            await asyncio.sleep(30)
            assert second.sent == []
        Scripted.bad = {}
        async with lifetime(tmp_path, config) as third:
            await asyncio.sleep(30)
            assert third.sent == ["UP: web"]

    run(main)


def test_monitor_that_is_removed_and_added_again_while_it_is_degraded_is_sent_again(tmp_path: Path) -> None:
    other = WEB.replace("monitors.web", "monitors.other")

    async def main() -> None:
        async with lifetime(tmp_path, NOTIFIER + WEB + other) as daemon:
            await asyncio.sleep(30)
            Scripted.bad = {"web": Reason.PLUGIN_WARNING}
            await asyncio.sleep(60)
            await daemon.reload(NOTIFIER + other)
            await asyncio.sleep(60)
            await daemon.reload(NOTIFIER + WEB + other)
            await asyncio.sleep(60)
            assert daemon.sent == ["DEGRADED: web", "CLOSED: web, no longer monitored", "DEGRADED: web"]

    run(main)


def test_restored_state_is_the_one_of_the_stop(tmp_path: Path) -> None:
    """The test harness: a killed lifetime has stored everything until the kill."""
    began: list[datetime] = []

    async def main() -> None:
        async with lifetime(tmp_path, NOTIFIER + WEB, is_killed=True) as first:
            await asyncio.sleep(30)
            Scripted.bad = {"web": Reason.REFUSED}
            await asyncio.sleep(30)
            since = first.container.dispatcher.entries["web"].state.effective_since
            assert since is not None
            began.append(since)
        async with lifetime(tmp_path, NOTIFIER + WEB) as second:
            since = second.container.dispatcher.entries["web"].state.effective_since
            assert since is not None
            assert abs(since - began[0]) < timedelta(milliseconds=2)

    run(main)


ISOLATED = "This host appears to be isolated: nearly all network monitors fail"
RECONNECTED = "This host is no longer isolated"
FLEET = "".join(
    f"""
[monitors.m{number}]
type = "fake"
check_every = "60s"
retry_every = "2s"
timeout = "2s"
"""
    for number in range(10)
)


def isolate() -> None:
    Scripted.bad = {f"m{number}": Reason.TIMEOUT_RESOLVE for number in range(10)}


@KILLED
def test_isolation_that_lasts_across_a_restart_sends_one_notification_and_one_for_its_end(
    tmp_path: Path, is_killed: bool
) -> None:
    async def main() -> None:
        async with lifetime(tmp_path, NOTIFIER + FLEET, is_killed=is_killed) as first:
            await asyncio.sleep(150)
            isolate()
            await asyncio.sleep(120)
            assert first.sent == [ISOLATED]
        async with lifetime(tmp_path, NOTIFIER + FLEET, is_killed=is_killed) as second:
            await asyncio.sleep(600)
            assert second.sent == []
        async with lifetime(tmp_path, NOTIFIER + FLEET) as third:
            await asyncio.sleep(60)
            assert third.sent == []
            Scripted.bad = {}
            await asyncio.sleep(300)
            assert third.sent == [RECONNECTED]
        async with lifetime(tmp_path, NOTIFIER + FLEET) as fourth:
            await asyncio.sleep(300)
            assert fourth.sent == []

    run(main)


@KILLED
def test_isolation_that_ends_while_the_daemon_is_stopped_is_closed_once(
    tmp_path: Path, is_killed: bool
) -> None:
    async def main() -> None:
        async with lifetime(tmp_path, NOTIFIER + FLEET, is_killed=is_killed):
            await asyncio.sleep(150)
            isolate()
            await asyncio.sleep(120)
        await asyncio.sleep(3600)
        Scripted.bad = {}
        async with lifetime(tmp_path, NOTIFIER + FLEET) as second:
            await asyncio.sleep(300)
            assert second.sent == [RECONNECTED]
            # A failure after it counts again.
            Scripted.bad = {"m3": Reason.REFUSED}
            await asyncio.sleep(120)
            assert second.sent == [RECONNECTED, "DOWN: m3"]

    run(main)


@KILLED
@pytest.mark.parametrize("after_s", [0.1, 1.0, 20.0, 40.0])
def test_restart_before_isolation_is_recognized_reports_no_monitor_as_down(
    tmp_path: Path, is_killed: bool, after_s: float
) -> None:
    async def main() -> None:
        async with lifetime(tmp_path, NOTIFIER + FLEET, is_killed=is_killed) as first:
            await asyncio.sleep(150)
            isolate()
            await asyncio.sleep(after_s)
        async with lifetime(tmp_path, NOTIFIER + FLEET) as second:
            await asyncio.sleep(300)
            assert [*first.sent, *second.sent] == [ISOLATED]
            Scripted.bad = {}
            await asyncio.sleep(300)
            assert second.sent[-1] == RECONNECTED
            assert [*first.sent, *second.sent].count(RECONNECTED) == 1

    run(main)


def test_host_that_is_isolated_at_its_first_start_reports_no_monitor_as_down(tmp_path: Path) -> None:
    async def main() -> None:
        isolate()
        async with lifetime(tmp_path, NOTIFIER + FLEET) as daemon:
            await asyncio.sleep(300)
            assert daemon.sent == [ISOLATED]
            Scripted.bad = {}
            await asyncio.sleep(300)
            assert daemon.sent == [ISOLATED, RECONNECTED]

    run(main)


@pytest.mark.parametrize("is_restarted", [False, True])
def test_isolation_is_sent_to_a_notifier_that_was_added_meanwhile(tmp_path: Path, is_restarted: bool) -> None:
    async def main() -> None:
        async with lifetime(tmp_path, FLEET) as first:
            await asyncio.sleep(150)
            isolate()
            await asyncio.sleep(120)
            if not is_restarted:
                await first.reload(FLEET + NOTIFIER)
                await asyncio.sleep(30)
                assert first.sent == [ISOLATED]
                return
        async with lifetime(tmp_path, FLEET + NOTIFIER) as second:
            await asyncio.sleep(30)
            assert second.sent == [ISOLATED]

    run(main)


def test_isolation_ends_although_its_monitors_were_removed(tmp_path: Path) -> None:
    async def main() -> None:
        async with lifetime(tmp_path, NOTIFIER + FLEET) as first:
            await asyncio.sleep(150)
            isolate()
            await asyncio.sleep(120)
            assert first.sent == [ISOLATED]
        async with lifetime(tmp_path, NOTIFIER + WEB) as second:
            await asyncio.sleep(60)
            assert second.sent == [RECONNECTED]

    run(main)


@pytest.mark.parametrize("ahead_s", [7200.0, 86_400.0 * 365])
@pytest.mark.parametrize("is_down_before", [False, True])
def test_uptime_follows_the_state_after_the_clock_was_ahead_for_a_moment(
    tmp_path: Path, ahead_s: float, is_down_before: bool
) -> None:
    async def main() -> None:
        async with lifetime(tmp_path, NOTIFIER + WEB) as daemon:
            clock = daemon.container.clock
            assert isinstance(clock, FakeClock)
            await asyncio.sleep(600)
            if is_down_before:
                Scripted.bad = {"web": Reason.REFUSED}
                await asyncio.sleep(60)
            clock.ahead_s = ahead_s
            await asyncio.sleep(20)
            Scripted.bad = {"web": Reason.REFUSED}
            await asyncio.sleep(60)
            clock.ahead_s = 0.0
            await asyncio.sleep(20)
            Scripted.bad = {}
            await asyncio.sleep(20)
            up_since = clock.now()
            for _ in range(3):
                await asyncio.sleep(3600)
                assert await uptime(daemon, up_since) == {State.UP}
            assert daemon.sent == ["DOWN: web", "UP: web"]

    async def uptime(daemon: Lifetime, since: datetime) -> set[State]:
        history = daemon.container.history
        await written(history)
        with frozen_time():
            return set((await history.uptime("web", since, daemon.container.clock.now())).seconds)

    run(main)


@KILLED
@pytest.mark.parametrize("by", ["restart", "reload"])
def test_renamed_monitor_keeps_a_suppressed_alert(tmp_path: Path, is_killed: bool, by: str) -> None:
    route = '[[alerts.routes]]\nnotify = ["ops"]\nafter = "20m"\n'
    renamed = NOTIFIER + route + WEB.replace("monitors.web", "monitors.site") + 'renamed_from = "web"\n'

    async def main() -> None:
        async with lifetime(tmp_path, NOTIFIER + route + WEB, is_killed=is_killed) as first:
            await asyncio.sleep(30)
            Scripted.bad = dict.fromkeys(("web", "site"), Reason.REFUSED)
            await asyncio.sleep(600)
            if by == "reload":
                await first.reload(renamed)
                await asyncio.sleep(60)
                assert first.sent == []
        async with lifetime(tmp_path, renamed) as second:
            await asyncio.sleep(480)
            assert second.sent == []
            await asyncio.sleep(150)
            assert second.sent == ["DOWN: site"]
            Scripted.bad = {}
            await asyncio.sleep(60)
            assert second.sent == ["DOWN: site", "UP: site"]

    run(main)


@pytest.mark.parametrize("is_restarted", [False, True])
def test_resume_sends_no_notification_about_the_state_before_the_pause(
    tmp_path: Path, is_restarted: bool
) -> None:
    async def main() -> None:
        async with lifetime(tmp_path, NOTIFIER + WEB) as first:
            await asyncio.sleep(30)
            silence(first)
            Scripted.bad = {"web": Reason.REFUSED}
            await asyncio.sleep(60)
            first.container.interventions.pause("web", "kim", None)
            await asyncio.sleep(7200)
            if not is_restarted:
                await resume(first)
                return
        async with lifetime(tmp_path, NOTIFIER + WEB) as second:
            await asyncio.sleep(60)
            await resume(second)

    async def resume(daemon: Lifetime) -> None:
        Scripted.bad, Scripted.takes_s = {}, 1.0
        daemon.container.interventions.resume("web", "kim")
        await asyncio.sleep(60)
        assert daemon.sent == []
        # A monitor that still fails is notified.
        daemon.container.interventions.pause("web", "kim", None)
        Scripted.bad = {"web": Reason.REFUSED}
        daemon.container.interventions.resume("web", "kim")
        await asyncio.sleep(60)
        assert daemon.sent == ["DOWN: web"]

    run(main)


def fail_delivery(_: Message) -> None:
    raise DeliveryError("503 busy")


@pytest.mark.parametrize("by", ["reload", "restart"])
def test_notifier_that_is_added_again_gets_undelivered_notifications(tmp_path: Path, by: str) -> None:
    async def main() -> None:
        async with lifetime(tmp_path, NOTIFIER + WEB) as first:
            await asyncio.sleep(30)
            FakeNotifier.made[-1].act = fail_delivery
            Scripted.bad = {"web": Reason.REFUSED}
            await asyncio.sleep(60)
            await first.reload(WEB)
            await asyncio.sleep(60)
            if by == "reload":
                before = len(first.sent)
                await first.reload(NOTIFIER + WEB)
                await asyncio.sleep(60)
                assert first.sent[before:] == ["DOWN: web"]
                return
        async with lifetime(tmp_path, NOTIFIER + WEB) as second:
            await asyncio.sleep(60)
            assert second.sent == ["DOWN: web"]

    run(main)


def test_problem_that_outlasts_expire_after_is_sent_when_the_notifier_works(tmp_path: Path) -> None:
    config = NOTIFIER + 'expire_after = "1h"\n' + WEB

    async def main() -> None:
        async with lifetime(tmp_path, config) as daemon:
            await asyncio.sleep(30)
            FakeNotifier.made[-1].act = fail_delivery
            Scripted.bad = {"web": Reason.REFUSED}
            await asyncio.sleep(5 * 3600)
            keys = [message.key for message in FakeNotifier.made[-1].got]
            before = len(keys)
            FakeNotifier.made[-1].act = lambda _: None
            await asyncio.sleep(1800)
            assert daemon.sent[before:] == ["DOWN: web"]
            assert 4 <= len(set(keys)) <= 6
            Scripted.bad = {}
            await asyncio.sleep(60)
            assert daemon.sent[before:] == ["DOWN: web", "UP: web"]

    run(main)


EXPIRING_SOON = NOTIFIER + 'expire_after = "1h"\n' + WEB


@KILLED
def test_recovery_of_a_delivered_problem_outlasts_expire_after(tmp_path: Path, is_killed: bool) -> None:
    async def main() -> None:
        config = EXPIRING_SOON.replace("10s", "1h").replace("3s", "5s")
        async with lifetime(tmp_path, config, is_killed=is_killed) as first:
            Scripted.bad = {"web": Reason.REFUSED}
            await asyncio.sleep(60)
            assert first.sent == ["DOWN: web"]
            FakeNotifier.made[-1].act = fail_delivery
            Scripted.bad = {}
            await asyncio.sleep(3 * 3600)
        FakeNotifier.initial_act = fail_delivery
        async with lifetime(tmp_path, config) as second:
            await asyncio.sleep(2 * 3600)
            before = len(second.sent)
            FakeNotifier.made[-1].act = lambda _: None
            await asyncio.sleep(1800)
            assert second.sent[before:] == ["UP: web"]

    run(main)


def test_recovery_of_an_undelivered_problem_expires_with_it(tmp_path: Path) -> None:
    async def main() -> None:
        async with lifetime(tmp_path, EXPIRING_SOON) as daemon:
            FakeNotifier.made[-1].act = fail_delivery
            Scripted.bad = {"web": Reason.REFUSED}
            await asyncio.sleep(60)
            Scripted.bad = {}
            await asyncio.sleep(5 * 3600)
            before = len(daemon.sent)
            FakeNotifier.made[-1].act = lambda _: None
            await asyncio.sleep(3600)
            assert daemon.sent[before:] == []

    run(main)


@pytest.mark.parametrize("is_restarted", [False, True], ids=["runs on", "restarted"])
def test_expired_change_is_sent_when_the_notifier_works(tmp_path: Path, *, is_restarted: bool) -> None:
    async def main() -> None:
        async with lifetime(tmp_path, EXPIRING_SOON) as first:
            Scripted.bad = {"web": Reason.REFUSED}
            await asyncio.sleep(60)
            assert first.sent == ["DOWN: web"]
            FakeNotifier.made[-1].act = fail_delivery
            Scripted.bad = {"web": Reason.PLUGIN_WARNING}
            await asyncio.sleep(5 * 3600)
            if not is_restarted:
                await works_again(first)
        if is_restarted:
            FakeNotifier.initial_act = fail_delivery
            async with lifetime(tmp_path, EXPIRING_SOON) as second:
                await works_again(second)

    async def works_again(daemon: Lifetime) -> None:
        before = len(daemon.sent)
        FakeNotifier.made[-1].act = lambda _: None
        await asyncio.sleep(1800)
        assert daemon.sent[before:] == ["DEGRADED: web"]
        Scripted.bad = {}
        await asyncio.sleep(60)
        assert daemon.sent[before:] == ["DEGRADED: web", "UP: web"]

    run(main)


@KILLED
def test_recovery_is_sent_to_a_notifier_that_was_removed_and_added_again(
    tmp_path: Path, is_killed: bool
) -> None:
    async def main() -> None:
        async with lifetime(tmp_path, NOTIFIER + WEB, is_killed=is_killed) as first:
            await asyncio.sleep(30)
            Scripted.bad = {"web": Reason.REFUSED}
            await asyncio.sleep(60)
            assert first.sent == ["DOWN: web"]
        async with lifetime(tmp_path, WEB, is_killed=is_killed):
            await asyncio.sleep(30)
            Scripted.bad = {}
            await asyncio.sleep(120)
        async with lifetime(tmp_path, NOTIFIER + WEB) as third:
            await asyncio.sleep(60)
            assert third.sent == ["UP: web"]

    run(main)
