"""Several nodes in one process, in fake time, on a database in memory."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import replace
from itertools import count

import pytest

from monitord.alerts import AlertRoute
from monitord.alerts.outbox import DeliveryStatus
from monitord.cluster.sharding import owner, shard_of
from monitord.cluster.view import UnknownLocation
from monitord.errors import ClusterError, NotMemberError
from monitord.model import Reason, State
from monitord.notifiers import Message, NotificationKind
from tests.alerts.fakes import FakeNotifier, alert_settings, fail_delivery, nothing
from tests.cluster.worlds import ALONE_AFTER_S, Cluster, NodeWorld, until
from tests.fakes import FakeClock, run_in_fake_time

Main = Callable[[Cluster], Awaitable[None]]


def run(main: Main, *names: str, monitors: tuple[str, ...] = ("web",)) -> None:
    """Run nodes at locations of their own names, and the test when they have decided."""

    async def whole() -> None:
        async with Cluster(FakeClock(), *names, monitors=monitors) as cluster:
            await main(cluster)

    run_in_fake_time(whole)


def test_state_follows_from_the_majority_on_every_node() -> None:
    async def main(cluster: Cluster) -> None:
        assert cluster.states() == {State.UP}
        cluster.fail("fra")
        await asyncio.sleep(60)
        assert cluster.states() == {State.UP}
        assert cluster.sent == []
        cluster.fail("fra", "hel")
        await until(lambda: cluster.states() == {State.DOWN})
        await until(lambda: cluster.sent == ["DOWN: web"])
        cluster.fail()
        await until(lambda: cluster.states() == {State.UP})
        await until(lambda: cluster.sent == ["DOWN: web", "UP: web"])
        await asyncio.sleep(120)
        assert cluster.sent == ["DOWN: web", "UP: web"]

    run(main, "ams", "fra", "hel")


def test_notification_contains_the_states_at_the_locations() -> None:
    async def main(cluster: Cluster) -> None:
        cluster.fail("fra", "hel")
        await until(lambda: len(cluster.sent) == 1)
        (message,) = [message for notifier in FakeNotifier.made for message in notifier.got]
        (notification,) = message.notifications
        assert notification.detail == "looked; down at fra and hel, up at ams"
        assert notification.state is State.DOWN
        assert notification.context.locations == (
            ("ams", State.UP),
            ("fra", State.DOWN),
            ("hel", State.DOWN),
        )
        assert {message.location} == {name for name, world in cluster.nodes.items() if world.sent}

    run(main, "ams", "fra", "hel")


def test_reminder_contains_the_states_at_the_locations() -> None:
    async def main(cluster: Cluster) -> None:
        for world in cluster.nodes.values():
            world.alerts.apply(alert_settings(AlertRoute(("ops",), repeat_every_s=600.0)))
        cluster.fail("fra", "hel")
        await until(lambda: len(cluster.sent) == 1)
        cluster.fail("fra", "hel", "ams")
        await until(lambda: len(cluster.sent) == 2, 1200)
        (notification,) = _messages()[-1].notifications
        assert notification.kind is NotificationKind.REMINDER
        assert notification.context.locations == tuple((name, State.DOWN) for name in ("ams", "fra", "hel"))

    run(main, "ams", "fra", "hel")


def test_journal_entry_of_a_check_has_the_location_of_the_node(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)

    async def main(cluster: Cluster) -> None:
        assert cluster.states() == {State.UP}

    run(main, "ams", "fra")
    checks = [record.__dict__ for record in caplog.records if record.name == "monitord.check"]
    # A change of the state has a MESSAGE_ID.
    found = {check["fields"]["MONITOR_LOCATION"] for check in checks if "message_id" not in check}
    assert found == {"ams", "fra"}


def test_monitors_of_a_location_are_divided_between_its_nodes() -> None:
    names = tuple(f"web-{number}" for number in range(40))

    async def whole() -> None:
        cluster = Cluster(FakeClock())
        for name in ("a", "b"):
            cluster.add(name, "fra", monitors=names)
        async with cluster:
            one, other = cluster.nodes.values()
            one.results.clear()
            other.results.clear()
            await asyncio.sleep(60)
            checked, checked_by_other = ({name for name, *_ in world.results} for world in (one, other))
            assert checked | checked_by_other == set(names)
            assert not checked & checked_by_other
            assert checked
            assert checked_by_other
            assert all(one.state(name) is other.state(name) is State.UP for name in names)

    run_in_fake_time(whole)


@pytest.mark.parametrize("is_killed", [True, False], ids=["killed", "stopped"])
def test_other_node_of_the_location_takes_over(is_killed: bool) -> None:
    names = tuple(f"web-{number}" for number in range(20))

    async def whole() -> None:
        cluster = Cluster(FakeClock())
        for name in ("a", "b"):
            cluster.add(name, "fra", monitors=names)
        async with cluster:
            one = cluster.nodes["a"]
            other = cluster.nodes.pop("b")
            await (other.kill() if is_killed else other.end())
            one.results.clear()
            await until(lambda: {name for name, *_ in one.results} == set(names), 60)
            await asyncio.sleep(60)
            assert one.sent == []
            assert all(one.state(name) is State.UP for name in names)

    run_in_fake_time(whole)


def test_location_left_alone_decides_once_the_set_is_settled() -> None:
    async def main(cluster: Cluster) -> None:
        for name in ("fra", "hel"):
            await cluster.nodes.pop(name).kill()
        cluster.fail("ams")
        await until(lambda: cluster.states() == {State.DOWN})
        await until(lambda: cluster.sent == ["DOWN: web"])

    run(main, "ams", "fra", "hel")


def test_each_decision_is_made_once_although_two_nodes_try() -> None:
    async def main(cluster: Cluster) -> None:
        # Each node is the only live node by its view, so both decide all monitors.
        for world in cluster.nodes.values():
            world.database.hides_others = True
        await asyncio.sleep(10)
        before = len(cluster.server.decided_by)
        cluster.fail("fra", "hel")
        await until(lambda: cluster.sent == ["DOWN: web"])
        await asyncio.sleep(60)
        assert cluster.server.transitions == [("web", "up"), ("web", "down")]
        assert len(cluster.server.decided_by) == before + 1
        assert any(world.node.view().counters.decisions_lost for world in cluster.nodes.values())
        assert cluster.sent == ["DOWN: web"]

    run(main, "fra", "hel")


def test_mass_failure_is_decided_in_few_transactions() -> None:
    names = tuple(f"web-{number}" for number in range(250))
    others = tuple(f"mail-{number}" for number in range(250))  # or the node would be isolated

    async def main(cluster: Cluster) -> None:
        server = cluster.server
        server.decided_at_once.clear()
        world = cluster.nodes["ams"]
        # All votes arrive at once, after a failure of the database.
        server.is_down = True
        world.bad.update(dict.fromkeys(names, Reason.REFUSED))
        await asyncio.sleep(40)
        server.is_down = False
        await until(lambda: all(world.state(name) is State.DOWN for name in names))
        assert server.decided_at_once == [100, 100, 50]
        assert len(server.notifications) == len(names)

    run(main, "ams", monitors=names + others)


def test_message_is_sent_again_unchanged_after_the_death_of_the_node_that_claimed_it() -> None:
    async def main(cluster: Cluster) -> None:
        # The first message hangs at its receiver until its node is killed.
        for notifier in FakeNotifier.made:
            notifier.act = lambda _: asyncio.sleep(3600)
        cluster.fail(*cluster.nodes, monitor="web")
        cluster.fail(*cluster.nodes, monitor="mail")
        await until(lambda: bool(_messages()))
        (message,) = _messages()
        assert len(message.notifications) == 2
        rows = cluster.server.notifications.values()
        (claimed_by,) = {row.claimed_by for row in rows}
        assert claimed_by is not None
        await cluster.nodes.pop(claimed_by).kill()
        for notifier in FakeNotifier.made:
            notifier.act = nothing
        await until(lambda: all(row.status == "sent" for row in rows))
        assert [again.key for again in _messages()] == [message.key, message.key]
        assert _messages()[1].notifications == message.notifications

    run(main, "ams", "fra", "hel", monitors=("web", "mail"))


def _is_assigned(world: NodeWorld) -> bool:
    parts = world.cluster_parts
    assert parts is not None
    return parts.scope.is_delivered_here("ops")


def _is_decided_at(world: NodeWorld, monitor: str) -> bool:
    parts = world.cluster_parts
    assert parts is not None
    return parts.assignment.is_decided_here(monitor)


def _messages() -> list[Message]:
    return [message for notifier in FakeNotifier.made for message in notifier.got]


def test_notification_that_one_node_cannot_deliver_is_delivered_by_another() -> None:
    async def main(cluster: Cluster) -> None:
        # No receiver is reachable from the node to which the notifier is assigned.
        owner = next(world for world in cluster.nodes.values() if _is_assigned(world))
        for notifier in FakeNotifier.made:
            if notifier.tools is owner.notifier_tools:
                notifier.act = fail_delivery
        cluster.fail(*cluster.nodes)
        await until(lambda: bool(_messages()))
        (row,) = cluster.server.notifications.values()
        await until(lambda: row.status == "sent", 60)
        assert len(set(row.claims)) == 2
        assert owner.alerts.outbox.claimed() == []
        assert len({message.key for message in _messages()}) == 1

    run(main, "ams", "fra", "hel")


def test_notifications_for_a_notifier_that_a_node_leaves_are_not_delayed() -> None:
    async def main(cluster: Cluster) -> None:
        owner = next(world for world in cluster.nodes.values() if _is_assigned(world))
        for notifier in FakeNotifier.made:
            if notifier.tools is owner.notifier_tools:
                notifier.act = fail_delivery
        loop = asyncio.get_running_loop()
        for number in range(1, 7):
            cluster.fail(*(cluster.nodes if number % 2 else ()))
            rows = cluster.server.notifications
            await until(lambda: len(rows) == number, 120)  # noqa: B023 - called in this iteration only
            created_at_s = loop.time()
            await until(lambda: all(row.status == "sent" for row in rows.values()), 60)  # noqa: B023 - as above
            # `group_wait` is 10 s.
            assert loop.time() - created_at_s < 15, number

    run(main, "ams", "fra", "hel")


def test_receiver_that_fails_once_is_tried_again_by_the_same_node_soon() -> None:
    async def main(cluster: Cluster) -> None:
        name, owner = next(item for item in cluster.nodes.items() if _is_assigned(item[1]))
        (own,) = (each for each in FakeNotifier.made if each.tools is owner.notifier_tools)
        own.act = fail_delivery
        cluster.fail(*cluster.nodes)
        await until(lambda: any(row.status == "sent" for row in cluster.server.notifications.values()), 60)
        own.act = nothing
        await asyncio.sleep(10)
        cluster.fail()
        await until(lambda: len(cluster.server.notifications) == 2, 120)
        recovery = list(cluster.server.notifications.values())[-1]
        await until(lambda: recovery.status == "sent", 60)
        assert recovery.claims == [name]

    run(main, "ams", "fra", "hel")


def test_stop_releases_claims_at_once() -> None:
    async def main(cluster: Cluster) -> None:
        for notifier in FakeNotifier.made:
            notifier.act = lambda _: asyncio.sleep(3600)
        cluster.fail("fra", "hel", "ams")
        await until(lambda: any(notifier.got for notifier in FakeNotifier.made))
        (row,) = cluster.server.notifications.values()
        claimed_by = row.claimed_by
        assert claimed_by is not None
        stopped = cluster.nodes.pop(claimed_by)
        await stopped.end()
        assert row.claimed_by is None
        assert stopped.alerts.outbox.claimed() == []
        for world in cluster.nodes.values():
            for notifier in FakeNotifier.made:
                if notifier.tools is world.notifier_tools:
                    notifier.act = nothing
        await until(lambda: row.status == "sent")

    run(main, "ams", "fra", "hel")


def test_process_that_was_stopped_during_a_heartbeat_does_not_repeat_its_votes() -> None:
    names = tuple(f"web-{number}" for number in range(10))

    async def whole() -> None:
        cluster = Cluster(FakeClock())
        for name, location in (("a", "fra"), ("b", "fra"), ("hel", "hel"), ("nbg", "nbg")):
            cluster.add(name, location, monitors=names)
        async with cluster:
            votes, stopped = cluster.server.votes, cluster.nodes["a"]
            name = next(name for name in names if stopped.dispatcher.entries[name].is_checked_here)
            stopped.database.holds_answers = asyncio.Event()
            await stopped.dispatcher.close(0.0)
            cluster.fail("b", "hel", "nbg", monitor=name)
            await until(lambda: votes[name, "fra"].state is State.DOWN)
            stopped.database.holds_answers.set()
            for _ in range(40):
                await asyncio.sleep(0.5)
                assert votes[name, "fra"].state is State.DOWN

    run_in_fake_time(whole)


def test_stopped_process_renews_its_claim_before_it_sends() -> None:
    async def main(cluster: Cluster) -> None:
        cluster.fail("fra", "hel", "ams")
        await until(lambda: bool(cluster.server.notifications))
        (row,) = cluster.server.notifications.values()
        await until(lambda: row.claimed_by is not None)
        claimed_by = row.claimed_by
        assert claimed_by is not None
        world = cluster.nodes[claimed_by]
        # The node does not reach the database before its worker attempts the message (`group_wait`), as after SIGCONT.
        world.database.is_disconnected = True
        await until(lambda: row.status == "sent")
        assert world.sent == []
        assert row.delivered_by == "ops"
        world.database.is_disconnected = False
        await asyncio.sleep(90)
        assert world.alerts.outbox.claimed() == []
        assert cluster.sent == ["DOWN: web"]

    run(main, "ams", "fra", "hel")


def test_alone_mode_continues_the_alerts_of_the_cluster_and_merges_them() -> None:
    async def main(cluster: Cluster) -> None:
        cluster.fail("fra", "hel", "ams")
        await until(lambda: cluster.sent == ["DOWN: web"])
        alert = cluster.server.decisions["web"].alert
        assert alert is not None
        cluster.server.is_down = True
        await until(lambda: all(world.node.view().alone_since for world in cluster.nodes.values()))
        for world in cluster.nodes.values():
            local = world.alerts.alert_of("web")
            assert local is not None
            assert local.id == alert["id"]
        assert cluster.sent == ["DOWN: web"]
        cluster.fail()
        await until(lambda: cluster.states() == {State.UP})
        await asyncio.sleep(60)
        # Each location alone reports the recovery, under the same id.
        assert cluster.sent.count("UP: web") == len(cluster.nodes)
        recoveries = [m.notifications[0] for m in _messages() if m.notifications[0].state is State.UP]
        assert len({notification.id for notification in recoveries}) == 1
        cluster.server.is_down = False
        await until(lambda: not any(world.node.view().alone_since for world in cluster.nodes.values()))
        await until(lambda: cluster.server.decisions["web"].state is State.UP)
        await until(lambda: cluster.server.decisions["web"].alert is None)
        await asyncio.sleep(60)
        assert cluster.sent.count("UP: web") == len(cluster.nodes)
        assert all(world.alerts.alert_of("web") is None for world in cluster.nodes.values())
        cluster.fail("fra", "hel", "ams")
        await until(lambda: cluster.sent.count("DOWN: web") == 2)
        await asyncio.sleep(60)
        assert cluster.sent.count("DOWN: web") == 2

    run(main, "ams", "fra", "hel")


def test_monitor_that_is_added_in_alone_mode_is_decided_by_the_node() -> None:
    async def main(cluster: Cluster) -> None:
        world = cluster.nodes["ams"]
        cluster.server.is_down = True
        await until(lambda: world.node.view().alone_since is not None)
        world.bad["added"] = Reason.REFUSED
        world.monitor("added")
        await until(lambda: world.state("added") is State.DOWN)
        await until(lambda: world.sent == ["DOWN: added"])

    run(main, "ams", "fra", "hel")


def test_node_that_is_disconnected_alone_notifies_and_the_cluster_closes_once() -> None:
    async def main(cluster: Cluster) -> None:
        world = cluster.nodes["ams"]
        cluster.fail("ams")
        await asyncio.sleep(60)
        assert cluster.sent == []
        world.database.is_disconnected = True
        await until(lambda: world.sent == ["DOWN: web"])
        assert world.state("web") is State.DOWN
        cluster.fail()
        world.database.is_disconnected = False
        await until(lambda: world.node.view().alone_since is None)
        await until(lambda: cluster.states() == {State.UP})
        await asyncio.sleep(120)
        assert cluster.sent.count("DOWN: web") == 1
        assert cluster.sent.count("UP: web") == 1

    run(main, "ams", "fra", "hel")


def test_merged_alert_is_not_closed_before_the_votes_are_counted() -> None:
    async def main(cluster: Cluster) -> None:
        cluster.server.is_down = True
        await until(lambda: all(world.node.view().alone_since for world in cluster.nodes.values()))
        cluster.fail("ams", "fra")
        await until(lambda: len(cluster.sent) == 2)
        # The decision is still up, and one location alone is not a majority of the known locations.
        cluster.server.is_down = False
        cluster.nodes["fra"].database.is_disconnected = True
        cluster.nodes["hel"].database.is_disconnected = True
        await until(lambda: cluster.server.decisions["web"].alert is not None)
        await until(lambda: cluster.server.decisions["web"].state is State.DOWN)
        await asyncio.sleep(60)
        assert cluster.server.transitions == [("web", "up"), ("web", "down")]
        assert cluster.sent == ["DOWN: web", "DOWN: web"]
        cluster.nodes["fra"].database.is_disconnected = False
        cluster.nodes["hel"].database.is_disconnected = False
        await asyncio.sleep(60)
        assert cluster.sent == ["DOWN: web", "DOWN: web"]

    run(main, "ams", "fra", "hel")


def test_alerts_that_two_nodes_have_opened_alone_are_all_closed() -> None:
    async def main(cluster: Cluster) -> None:
        cluster.server.is_down = True
        await until(lambda: all(world.node.view().alone_since for world in cluster.nodes.values()))
        cluster.fail("ams")
        await until(lambda: cluster.sent == ["DOWN: web"])
        cluster.fail("ams", "fra")
        await until(lambda: cluster.sent == ["DOWN: web", "DOWN: web"])
        opened = {message.notifications[0].alert for message in _messages()}
        assert len(opened) == 2
        cluster.server.is_down = False
        await until(lambda: not any(world.node.view().alone_since for world in cluster.nodes.values()))
        await asyncio.sleep(60)
        assert len(_messages()) == 2
        cluster.fail()
        await until(lambda: cluster.states() == {State.UP})
        await asyncio.sleep(60)
        notifications = [message.notifications[0] for message in _messages()]
        closed = [each.alert for each in notifications if each.kind is NotificationKind.RECOVERY]
        assert sorted(closed) == sorted(opened)
        assert len(notifications) == 4

    run(main, "ams", "fra")


def test_people_get_one_recovery_of_the_alerts_that_two_nodes_have_opened_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(FakeNotifier, "tracks_problems", False)

    async def main(cluster: Cluster) -> None:
        cluster.server.is_down = True
        await until(lambda: all(world.node.view().alone_since for world in cluster.nodes.values()))
        cluster.fail("ams", "fra")
        await until(lambda: cluster.sent == ["DOWN: web", "DOWN: web"])
        cluster.server.is_down = False
        await until(lambda: not any(world.node.view().alone_since for world in cluster.nodes.values()))
        cluster.fail()
        await until(lambda: cluster.states() == {State.UP})
        await asyncio.sleep(60)
        assert sorted(cluster.sent) == ["DOWN: web", "DOWN: web", "UP: web"]

    run(main, "ams", "fra")


def test_people_get_one_recovery_of_a_monitor_that_was_added_in_alone_mode(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(FakeNotifier, "tracks_problems", False)

    async def main(cluster: Cluster) -> None:
        world = cluster.nodes["ams"]
        cluster.server.is_down = True
        await until(lambda: world.node.view().alone_since is not None)
        cluster.fail("ams", monitor="added")
        world.monitor("added")
        await until(lambda: world.sent == ["DOWN: added"])
        world.configure()
        cluster.server.is_down = False
        await until(lambda: "added" in cluster.server.decisions)
        await until(lambda: cluster.server.decisions["added"].state is State.DOWN)
        cluster.fail(monitor="added")
        await until(lambda: cluster.server.decisions["added"].state is State.UP)
        await asyncio.sleep(60)
        assert cluster.sent.count("UP: added") == 1

    run(main, "ams")


def test_short_failure_of_the_database_changes_nothing() -> None:
    async def main(cluster: Cluster) -> None:
        cluster.server.is_down = True
        checks = {name: world.checks for name, world in cluster.nodes.items()}
        await asyncio.sleep(40)
        assert all(world.checks > checks[name] for name, world in cluster.nodes.items())
        cluster.fail("fra", "hel")
        await asyncio.sleep(15)
        cluster.server.is_down = False
        await until(lambda: cluster.states() == {State.DOWN})
        await until(lambda: cluster.sent == ["DOWN: web"])
        assert not any(world.node.view().alone_since for world in cluster.nodes.values())

    run(main, "ams", "fra", "hel")


@pytest.mark.parametrize("round_trip_s", [0.5, 1.0, 1.4])
def test_slow_database_delays_notifications_only(round_trip_s: float) -> None:
    """A slower one does not complete heartbeats, so that each node notifies alone."""

    async def main(cluster: Cluster) -> None:
        for world in cluster.nodes.values():
            world.database.round_trip_s = round_trip_s
        await asyncio.sleep(60)
        cluster.fail("ams", "fra", "hel")
        await until(lambda: cluster.sent == ["DOWN: web"])
        cluster.fail()
        await until(lambda: cluster.sent == ["DOWN: web", "UP: web"])
        await asyncio.sleep(120)
        assert len(cluster.sent) == 2

    run(main, "ams", "fra", "hel")


@pytest.mark.parametrize("step_s", [-3600.0, 3600.0])
def test_notifications_are_not_delayed_after_the_clock_was_set(step_s: float) -> None:
    async def main(cluster: Cluster) -> None:
        clock = cluster.server.clock
        assert isinstance(clock, FakeClock)
        clock.ahead_s += step_s
        await asyncio.sleep(60)
        cluster.fail("ams", "fra", "hel")
        await until(lambda: cluster.sent == ["DOWN: web"], 60)
        cluster.fail()
        await until(lambda: cluster.sent == ["DOWN: web", "UP: web"], 60)

    run(main, "ams", "fra", "hel")


def test_division_of_work_lasts_through_a_failure_of_the_database() -> None:
    names = tuple(f"web-{number}" for number in range(40))

    async def whole() -> None:
        cluster = Cluster(FakeClock())
        for name in ("a", "b"):
            cluster.add(name, "fra", monitors=names)
        async with cluster:
            for world in cluster.nodes.values():
                world.results.clear()
            cluster.server.is_down = True
            await asyncio.sleep(40)
            cluster.server.is_down = False
            await asyncio.sleep(40)
            one, other = ({name for name, *_ in world.results} for world in cluster.nodes.values())
            assert one | other == set(names)
            assert not one & other

    run_in_fake_time(whole)


def test_pause_and_acknowledgement_reach_all_nodes() -> None:
    async def main(cluster: Cluster) -> None:
        ams, fra = cluster.nodes["ams"], cluster.nodes["fra"]
        ams.interventions.pause("web", "kim", "upgrade")
        await until(lambda: cluster.states() == {State.PAUSED})
        fra.interventions.resume("web", "kim")
        await until(lambda: cluster.states() == {State.UP})
        cluster.fail("ams", "fra")
        await until(lambda: cluster.sent == ["DOWN: web"])
        await until(lambda: ams.dispatcher.entries["web"].state.incident is not None)
        ams.interventions.acknowledge("web", "kim", None)

        def acknowledged_by(name: str) -> str | None:
            incident = cluster.nodes[name].dispatcher.entries["web"].state.incident
            return None if incident is None else incident.acknowledged_by

        await until(lambda: acknowledged_by("fra") == "kim")

    run(main, "ams", "fra")


def test_renamed_monitor_continues_its_decision_and_its_alert() -> None:
    async def main(cluster: Cluster) -> None:
        cluster.fail("ams", "fra", monitor="web")
        await until(lambda: cluster.sent == ["DOWN: web"])
        before = cluster.server.decisions["web"]
        assert before.alert is not None
        # A rolling reload, with the failure of the other nodes under the previous name in the meantime.
        for name, world in cluster.nodes.items():
            world.bad["site"] = Reason.REFUSED
            world.rename("web", "site")
            if name != "hel":
                await asyncio.sleep(100)
                assert "site" not in cluster.server.decisions
        await until(lambda: "site" in cluster.server.decisions)
        after = cluster.server.decisions["site"]
        assert (after.state, after.since) == (State.DOWN, before.since)
        assert after.alert is not None
        assert (after.alert["id"], after.alert["monitor"]) == (before.alert["id"], "site")
        await until(lambda: cluster.server.decisions["web"].state is State.PENDING)
        await asyncio.sleep(60)
        assert cluster.states("site") == {State.DOWN}
        assert cluster.sent == ["DOWN: web"]
        for world in cluster.nodes.values():
            world.bad.clear()
        await until(lambda: len(cluster.sent) == 2)
        recovery = _messages()[-1].notifications[0]
        assert (recovery.kind, recovery.monitor, recovery.opened_as, recovery.alert) == (
            NotificationKind.RECOVERY,
            "site",
            "web",
            before.alert["id"],
        )
        await asyncio.sleep(120)
        assert len(cluster.sent) == 2

    run(main, "ams", "fra", "hel")


@pytest.mark.parametrize("state", [State.UP, State.DOWN])
def test_monitor_that_recovers_with_its_new_name_is_closed_once(state: State) -> None:
    async def main(cluster: Cluster) -> None:
        cluster.fail("ams", "fra")
        await until(lambda: cluster.sent == ["DOWN: web"])
        for world in cluster.nodes.values():
            if state is State.DOWN:
                world.bad["site"] = Reason.REFUSED
            world.rename("web", "site")
        await until(lambda: "site" in cluster.server.decisions)
        await asyncio.sleep(10)
        for world in cluster.nodes.values():
            world.bad.clear()
        await until(lambda: cluster.server.decisions["web"].state is State.PENDING)
        await asyncio.sleep(60)
        kinds = [message.notifications[0].kind for message in _messages()]
        assert kinds == [NotificationKind.PROBLEM, NotificationKind.RECOVERY]

    run(main, "ams", "fra")


def test_renamed_monitor_does_not_wait_for_ever_for_another_location() -> None:
    async def main(cluster: Cluster) -> None:
        for world in cluster.nodes.values():
            world.bad["site"] = Reason.REFUSED
        # The decider of the new name is reloaded; the other node never is.
        site = next(name for name in (f"site-{n}" for n in range(99)) if _is_decided_at(world, name))
        world.bad[site] = Reason.REFUSED
        world.rename("web", site)
        await asyncio.sleep(300)
        assert site not in cluster.server.decisions
        await until(
            lambda: (
                cluster.server.decisions[site].state is State.DOWN
                if (site in cluster.server.decisions)
                else False
            )
        )

    run(main, "ams", "fra")


def test_interventions_apply_to_a_monitor_that_a_node_gets_later() -> None:
    async def main(cluster: Cluster) -> None:
        ams, fra = cluster.nodes["ams"], cluster.nodes["fra"]
        # The node that has it decides it.
        late = next(name for name in (f"late-{number}" for number in range(99)) if _is_decided_at(ams, name))
        ams.bad[late] = fra.bad[late] = Reason.REFUSED
        ams.monitor(late)
        await until(lambda: ams.state(late) is State.DOWN)
        ams.interventions.acknowledge(late, "kim", None)
        await asyncio.sleep(10)
        fra.monitor(late)
        await until(lambda: fra.state(late) is State.DOWN, 10)
        incident = fra.dispatcher.entries[late].state.incident
        assert incident is not None
        assert incident.acknowledged_by == "kim"
        fra.remove(late)
        ams.interventions.pause(late, "kim", None)
        await asyncio.sleep(10)
        fra.monitor(late)
        await until(lambda: fra.state(late) is State.PAUSED, 10)
        fra.interventions.resume(late, "kim")
        await asyncio.sleep(30)
        assert cluster.states(late) == {State.DOWN}

    run(main, "ams", "fra")


def test_removed_monitor_is_closed_when_no_node_has_it() -> None:
    async def main(cluster: Cluster) -> None:
        cluster.fail("ams", "fra")
        await until(lambda: cluster.sent == ["DOWN: web"])
        cluster.nodes["ams"].remove("web")
        await asyncio.sleep(180)
        # During a rolling reload the other node still checks it.
        assert cluster.sent == ["DOWN: web"]
        cluster.nodes["fra"].remove("web")
        await until(lambda: cluster.sent == ["DOWN: web", "CLOSED: web, no longer monitored"])
        await asyncio.sleep(120)
        assert len(cluster.sent) == 2

    run(main, "ams", "fra", monitors=("web", "mail"))


def test_notifications_about_a_shared_monitor_say_so_until_the_last_one() -> None:
    async def main(cluster: Cluster) -> None:
        cluster.fail("ams", "fra")
        await until(lambda: len(cluster.sent) == 1)
        for world in cluster.nodes.values():
            world.remove("web")
        await until(lambda: len(cluster.sent) == 2)
        # Alone, as well.
        cluster.server.is_down = True
        cluster.fail("ams", monitor="mail")
        await until(lambda: len(cluster.sent) == 3)
        notifications = [each for message in _messages() for each in message.notifications]
        assert [each.context.is_shared for each in notifications] == [True] * 3
        cluster.server.is_down = False

    run(main, "ams", "fra", monitors=("web", "mail"))


def test_vote_on_a_monitor_that_was_removed_while_the_node_was_stopped_is_withdrawn() -> None:
    async def main(cluster: Cluster) -> None:
        cluster.fail("fra")
        await until(lambda: cluster.server.votes["web", "fra"].state is State.DOWN)
        await cluster.nodes.pop("fra").end()
        again = cluster.add("fra", monitors=("mail",))
        await again.begin()
        await until(lambda: cluster.server.is_live("fra"))
        await asyncio.sleep(30)
        # A source may still find it.
        assert cluster.server.votes["web", "fra"].state is State.DOWN
        await until(lambda: cluster.server.votes["web", "fra"].state is State.PENDING, 120)
        assert cluster.server.votes["web", "ams"].state is State.UP
        await asyncio.sleep(30)
        assert again.node.view().votes["web"]["ams"].state is State.UP

    run(main, "ams", "fra", monitors=("web", "mail"))


def test_vote_of_a_location_that_is_no_longer_to_check_a_monitor_is_withdrawn() -> None:
    async def main(cluster: Cluster) -> None:
        await cluster.nodes.pop("fra").end()
        again = cluster.add("fra", monitors=("mail",))
        await again.begin()
        again.monitor("web", locations=("ams",))
        await until(lambda: cluster.server.votes["web", "fra"].state is State.PENDING, 180)
        assert cluster.server.votes["web", "ams"].state is State.UP

    run(main, "ams", "fra", monitors=("web", "mail"))


def test_votes_on_a_closed_monitor_are_forgotten() -> None:
    async def main(cluster: Cluster) -> None:
        for world in cluster.nodes.values():
            world.remove("web")
        await until(lambda: cluster.server.decisions["web"].state is State.PENDING)
        assert {vote.state for (name, _), vote in cluster.server.votes.items() if name == "web"} == {
            State.PENDING
        }
        await asyncio.sleep(10)
        assert all("web" not in world.node.view().votes for world in cluster.nodes.values())
        cluster.fail("ams", "fra")
        for world in cluster.nodes.values():
            world.monitor("web")
            world.configure()
        await until(lambda: cluster.states() == {State.DOWN})
        await until(lambda: cluster.sent == ["DOWN: web"])

    run(main, "ams", "fra", monitors=("web", "mail"))


def test_location_without_a_node_is_reported_once(caplog: pytest.LogCaptureFixture) -> None:
    async def whole() -> None:
        cluster = Cluster(FakeClock())
        cluster.add("ams", locations=("ams", "hle"))
        async with cluster:
            await asyncio.sleep(120)
            text = "no node of the cluster is at the location hle in `locations` of monitor web"
            assert [record.getMessage() for record in caplog.records].count(text) == 1
            assert cluster.nodes["ams"].node.view().unknown_locations == (
                UnknownLocation("hle", ("web",), ()),
            )
            await cluster.add("hle", locations=("ams", "hle")).begin()
            await until(lambda: not cluster.nodes["ams"].node.view().unknown_locations)

    run_in_fake_time(whole)


def test_restart_continues_without_another_notification() -> None:
    async def main(cluster: Cluster) -> None:
        cluster.fail("ams", "fra")
        await until(lambda: cluster.sent == ["DOWN: web"])
        stopped = cluster.nodes.pop("fra")
        await stopped.end()
        again = cluster.add("fra", kept=stopped.history.kept)  # type: ignore[attr-defined]
        cluster.fail("ams", "fra")
        await again.begin()
        await until(lambda: cluster.server.is_live("fra"))
        await asyncio.sleep(120)
        assert [message.notifications[0].title for message in _messages()] == ["DOWN: web"]
        assert cluster.states() == {State.DOWN}

    run(main, "ams", "fra")


def test_claimed_delivery_of_an_earlier_run_is_held_until_its_claim_is_certain() -> None:
    async def main(cluster: Cluster) -> None:
        cluster.fail("ams")
        await until(lambda: bool(cluster.server.notifications))
        (row,) = cluster.server.notifications.values()
        await until(lambda: row.claimed_by == "ams")
        killed = cluster.nodes.pop("ams")
        kept = dict(killed.history.kept)  # type: ignore[attr-defined]
        await killed.kill()
        row.status = "sent"  # another node has delivered it in the meantime
        again = cluster.add("ams", kept=kept)
        (held,) = again.alerts.outbox.claimed()
        assert held.is_held
        cluster.fail("ams")
        await again.begin()
        await asyncio.sleep(120)
        assert again.sent == []
        assert again.alerts.outbox.claimed() == []

    run(main, "ams")


def test_status_of_a_delivery_is_in_the_database() -> None:
    async def main(cluster: Cluster) -> None:
        cluster.fail("ams")
        await until(lambda: cluster.sent == ["DOWN: web"])
        (row,) = cluster.server.notifications.values()
        await until(lambda: row.status == DeliveryStatus.SENT.value)
        assert row.delivered_by == "ops"

    run(main, "ams")


def test_node_whose_heartbeats_fail_by_a_bug_notifies_alone() -> None:
    async def main(cluster: Cluster) -> None:
        cluster.nodes["fra"].database.bug = RuntimeError("no error of the database")
        cluster.fail("fra")
        await until(lambda: cluster.nodes["fra"].sent == ["DOWN: web"])
        cluster.nodes["fra"].database.bug = None
        await until(lambda: cluster.nodes["fra"].node.view().alone_since is None)

    run(main, "ams", "fra", "hel")


def test_node_that_cannot_use_the_tables_is_alone_only_without_the_others(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def main(cluster: Cluster) -> None:
        fra = cluster.nodes["fra"]
        fra.database.bug = NotMemberError("the tables have version 1", hint="run monitorctl cluster init")
        cluster.fail("fra", "ams", "hel")
        await until(lambda: cluster.sent == ["DOWN: web"])
        await asyncio.sleep(3 * ALONE_AFTER_S)
        assert fra.node.view().alone_since is None
        problem = "the tables have version 1; run monitorctl cluster init"
        assert caplog.text.count(f"this node does not take part in the cluster: {problem}") == 1
        assert fra.node.view().database.error == problem
        cluster.fail()
        await until(lambda: cluster.sent == ["DOWN: web", "UP: web"])
        fra.database.bug = ClusterError("the tables have version 1")
        await until(lambda: fra.node.view().alone_since is not None, ALONE_AFTER_S + 10)
        fra.database.bug = None
        await until(lambda: fra.node.view().alone_since is None and cluster.states() == {State.UP})
        assert cluster.sent == ["DOWN: web", "UP: web"]

    run(main, "ams", "fra", "hel")


def test_other_nodes_decide_for_a_live_node_whose_decisions_fail() -> None:
    names = tuple(f"web-{number}" for number in range(12))

    async def main(cluster: Cluster) -> None:
        broken = cluster.nodes["fra"]
        owned = [name for name in names if broken.node._assignment.is_decided_here(name)]
        broken.database.tally_bug = RuntimeError("no error of the database")
        cluster.fail(*cluster.nodes, monitor=owned[0])
        await until(lambda: cluster.states(owned[0]) == {State.DOWN}, 60)
        assert cluster.server.is_live("fra")
        await asyncio.sleep(120)
        # It is reported until it decides again, and then has its share again.
        (lag_s,) = [node.decision_lag_s for node in cluster.server.members() if node.name == "fra"]
        assert lag_s > 120
        others = [cluster.nodes[name].node._assignment for name in ("ams", "hel")]
        assert all(any(other.is_decided_here(name) for other in others) for name in owned)
        broken.database.tally_bug = None
        await asyncio.sleep(20)
        assert not any(other.is_decided_here(name) for other in others for name in owned)

    run(main, "ams", "fra", "hel", monitors=names)


def test_bug_in_the_decision_on_a_monitor_does_not_affect_the_others(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def main(cluster: Cluster) -> None:
        for world in cluster.nodes.values():
            # Not a state that votes of this release can have.
            object.__setattr__(world.dispatcher.entries["a"].monitor.settings, "quorum", "most")
        cluster.fail(*cluster.nodes, monitor="a")
        cluster.fail(*cluster.nodes, monitor="b")
        await until(lambda: cluster.sent == ["DOWN: b"])
        await asyncio.sleep(30)
        assert cluster.states("a") == {State.UP}

    run(main, "ams", "fra", monitors=("a", "b"))
    assert caplog.text.count("a: bug in the decision") == 1


def test_action_links_are_valid_once_on_all_nodes() -> None:
    async def main(cluster: Cluster) -> None:
        first, second = cluster.nodes.values()
        for world in (first, second):
            settings = alert_settings(AlertRoute(("ops",)))
            notifiers = tuple(replace(notifier, action_links=True) for notifier in settings.notifiers)
            public_url = "https://monitor.example.org"
            world.alerts.apply(replace(settings, notifiers=notifiers, public_url=public_url))
        await asyncio.sleep(5)
        cluster.fail(*cluster.nodes)
        await until(lambda: bool(_messages()))
        token = _messages()[0].notifications[0].context.acknowledge_url.rpartition("/")[2]
        link = await first.alerts.find_link(token)
        assert link is not None
        assert await second.alerts.find_link(token) == link
        first.action_links.mark_used(link, "kim")
        await asyncio.sleep(10)
        use = second.action_links.use_of(link)
        assert use is not None
        assert use.by == "kim"

    run(main, "ams", "fra")


def _flap(cluster: Cluster, times: int) -> Callable[[], Awaitable[None]]:
    """Let the decision change back and forth."""

    async def flap() -> None:
        for _ in range(times):
            cluster.fail("fra", "hel")
            await until(lambda: cluster.states() == {State.DOWN})
            cluster.fail()
            await until(lambda: cluster.states() == {State.UP})

    return flap


def test_decision_that_changes_repeatedly_is_flapping() -> None:
    async def main(cluster: Cluster) -> None:
        await _flap(cluster, 12)()
        assert cluster.server.decisions["web"].is_flapping
        assert cluster.sent[-1] == "FLAPPING: web"
        assert len(cluster.sent) < 12
        for world in cluster.nodes.values():
            assert world.dispatcher.entries["web"].state.is_flapping
        await until(lambda: cluster.sent[-1] == "UP: web", 3600)
        assert [decision.is_flapping for decision in cluster.server.decisions.values()] == [False]
        sent = len(cluster.sent)
        await asyncio.sleep(300)
        assert len(cluster.sent) == sent

    run(main, "ams", "fra", "hel")


# Monitors that only some nodes have


def _owned_by(owner_name: str, nodes: tuple[str, ...]) -> str:
    """Return the name of a monitor whose shard is assigned to a node."""
    return next(name for name in map("web-{}".format, count()) if owner(shard_of(name), nodes) == owner_name)


def run_differing(main: Main, nodes: Mapping[str, str], having: Collection[str], monitor: str) -> None:
    """Run nodes at these locations, of which only some have the monitor."""

    async def whole() -> None:
        cluster = Cluster(FakeClock())
        for name, location in nodes.items():
            cluster.add(name, location, monitors=(monitor,) if name in having else ())
        async with cluster:
            await main(cluster)

    run_in_fake_time(whole)


def test_monitor_that_the_node_of_its_shard_lacks_is_decided_and_notified() -> None:
    nodes = ("ams", "fra", "hel")
    monitor = _owned_by("ams", nodes)

    async def main(cluster: Cluster) -> None:
        for name in ("fra", "hel"):
            cluster.nodes[name].alerts.apply(alert_settings(AlertRoute(("ops",), repeat_every_s=600.0)))
        assert cluster.server.decisions[monitor].state is State.UP
        cluster.fail("fra", "hel", monitor=monitor)
        await until(lambda: cluster.sent == [f"DOWN: {monitor}"])
        # Reminders are due while nothing changes.
        await until(lambda: len(cluster.sent) == 2, 1200)
        cluster.fail(monitor=monitor)
        await until(lambda: len(cluster.sent) == 3)
        # As nobody decides with the others when the configurations agree, only a node that has it does.
        deciders = [world for world in cluster.nodes.values() if _is_decided_at(world, monitor)]
        assert len(deciders) == 2
        assert cluster.nodes["ams"] in deciders

    run_differing(main, {name: name for name in nodes}, ("fra", "hel"), monitor)


def test_node_of_a_shard_decides_again_when_it_has_the_monitor() -> None:
    nodes = ("ams", "fra", "hel")
    monitor = _owned_by("ams", nodes)

    async def main(cluster: Cluster) -> None:
        cluster.nodes["ams"].monitor(monitor)
        cluster.nodes["ams"].configure()
        await asyncio.sleep(30)
        deciders = [world for world in cluster.nodes.values() if _is_decided_at(world, monitor)]
        assert deciders == [cluster.nodes["ams"]]

    run_differing(main, {name: name for name in nodes}, ("fra", "hel"), monitor)


def test_monitor_that_the_node_of_its_shard_lacks_is_checked_by_another_of_the_location() -> None:
    monitor = _owned_by("a", ("a", "b"))

    async def main(cluster: Cluster) -> None:
        cluster.fail("b", monitor=monitor)
        await until(lambda: cluster.sent == [f"DOWN: {monitor}"])
        # The node that lacks it does not withdraw the vote.
        await asyncio.sleep(200)
        assert cluster.server.votes[monitor, "fra"].state is State.DOWN
        assert cluster.sent == [f"DOWN: {monitor}"]
        cluster.nodes["a"].monitor(monitor)
        cluster.nodes["a"].configure()
        await asyncio.sleep(30)
        assert cluster.server.votes[monitor, "fra"].node == "a"
        before = cluster.nodes["b"].checks
        await asyncio.sleep(60)
        assert cluster.nodes["b"].checks == before

    run_differing(main, {"a": "fra", "b": "fra"}, ("b",), monitor)


def test_alert_of_a_removed_monitor_is_closed_although_the_configurations_differ() -> None:
    monitor = _owned_by("ams", ("ams", "fra"))

    async def main(cluster: Cluster) -> None:
        cluster.nodes["ams"].monitor("other")
        cluster.nodes["ams"].configure()
        cluster.fail("fra", monitor=monitor)
        await until(lambda: cluster.sent == [f"DOWN: {monitor}"])
        await asyncio.sleep(200)
        assert cluster.sent == [f"DOWN: {monitor}"]
        cluster.nodes["fra"].remove(monitor)
        await until(lambda: len(cluster.sent) == 2)
        assert cluster.server.decisions[monitor].state is State.PENDING

    run_differing(main, {"ams": "ams", "fra": "fra"}, ("fra",), monitor)


def test_alert_is_not_closed_while_the_only_node_with_the_monitor_is_stopped() -> None:
    monitor = _owned_by("ams", ("ams", "fra"))

    async def main(cluster: Cluster) -> None:
        cluster.fail("fra", monitor=monitor)
        await until(lambda: cluster.sent == [f"DOWN: {monitor}"])
        await cluster.nodes["fra"].kill()
        await asyncio.sleep(300)
        assert cluster.server.decisions[monitor].state is State.DOWN
        del cluster.nodes["fra"]

    run_differing(main, {"ams": "ams", "fra": "fra"}, ("fra",), monitor)
