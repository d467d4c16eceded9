"""A notification that is sent again, by any node, is in the same message: a receiver recognizes its key."""

import asyncio

import pytest

from monitord.alerts import AlertRoute
from monitord.cluster.delivering import MAX_CLAIMED_OF_NOTIFIER
from monitord.cluster.model import AssignedMessage
from monitord.notifiers import DeliveryError, Message
from tests.alerts.fakes import FakeNotifier, alert_settings, fail_delivery, notification
from tests.cluster.fake_database import Row
from tests.cluster.worlds import Cluster, NodeWorld, until
from tests.fakes import FakeClock, run_in_fake_time

MONITORS = ("web", "mail", "news")


def sent_keys() -> dict[str, set[str]]:
    """The keys of the messages in which each notification was sent."""
    keys: dict[str, set[str]] = {}
    for message in messages():
        for each in message.notifications:
            keys.setdefault(each.id, set()).add(message.key)
    return keys


def messages() -> list[Message]:
    return [message for notifier in FakeNotifier.made for message in notifier.got]


def notifier_of(world: NodeWorld, name: str = "ops") -> FakeNotifier:
    made = [each for each in FakeNotifier.made if each.tools is world.notifier_tools and each.name == name]
    return made[-1]


def owner(cluster: Cluster) -> NodeWorld:
    """The node to which the notifier is assigned."""

    def is_assigned(world: NodeWorld) -> bool:
        assert world.cluster_parts is not None
        return world.cluster_parts.scope.is_delivered_here("ops")

    return next(world for world in cluster.nodes.values() if is_assigned(world))


def fail_all(cluster: Cluster) -> None:
    for monitor in MONITORS:
        cluster.fail(*cluster.nodes, monitor=monitor)


def lose_response(_: Message) -> None:
    """The receiver has processed the message."""
    raise DeliveryError("timeout after 10s")


@pytest.mark.parametrize("takes_effect", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("operation", ["claim", "assign_message", "renew", "finish", "release"])
def test_death_during_a_delivery(operation: str, takes_effect: bool) -> None:
    async def main() -> None:
        async with Cluster(FakeClock(), "ams", "fra", "hel", monitors=MONITORS) as cluster:
            world = owner(cluster)
            if operation == "release":
                notifier_of(world).act = lose_response
            world.database.disconnects_at = operation, takes_effect
            fail_all(cluster)
            await until(lambda: world.database.is_disconnected)
            del cluster.nodes[world.cluster.node]
            await world.kill()
            rows = cluster.server.notifications
            await until(lambda: len(rows) == 3 and all(row.status == "sent" for row in rows.values()))
            assert {key: len(keys) for key, keys in sent_keys().items()} == dict.fromkeys(rows, 1)

    run_in_fake_time(main)


def test_notifier_that_cannot_deliver_does_not_hold_up_the_others() -> None:
    async def main() -> None:
        async with Cluster(FakeClock(), "ams") as cluster:
            world, rows = cluster.nodes["ams"], cluster.server.notifications
            world.alerts.apply(alert_settings(AlertRoute(("ops",)), names=("ops", "pager")))
            notifier_of(world, "ops").act = fail_delivery
            now_s = cluster.server.clock.monotonic_s()
            for number in range(2 * MAX_CLAIMED_OF_NOTIFIER):
                queued = notification(number)
                rows[queued.id] = Row(queued.id, "ops", queued.as_json(), None, now_s)
            await asyncio.sleep(600)
            urgent = notification(1, notifier="pager")
            rows[urgent.id] = Row(urgent.id, "pager", urgent.as_json(), None, now_s + 600)
            await until(lambda: rows[urgent.id].status == "sent", 60)
            assert len(world.alerts.outbox.claimed()) <= MAX_CLAIMED_OF_NOTIFIER

    run_in_fake_time(main)


def test_message_is_taken_over_as_a_whole_although_a_part_of_it_is_not_overdue() -> None:
    async def main() -> None:
        async with Cluster(FakeClock(), "ams", "fra", "hel", monitors=MONITORS) as cluster:
            world = owner(cluster)
            notifier_of(world).act = lambda _: asyncio.sleep(3600)
            fail_all(cluster)
            await until(lambda: bool(messages()))
            rows = list(cluster.server.notifications.values())
            assert len(messages()[0].notifications) == len(rows) == 3
            rows[0].created_at_s -= 3600
            cluster.nodes.pop(world.cluster.node)
            await world.kill()
            await until(lambda: all(row.status == "sent" for row in rows))
            assert [len(message.notifications) for message in messages()] == [3, 3]
            assert len({message.key for message in messages()}) == 1

    run_in_fake_time(main)


def test_message_in_the_database_replaces_an_unattempted_message() -> None:
    async def main() -> None:
        async with Cluster(FakeClock(), "ams", monitors=MONITORS) as cluster:
            world = cluster.nodes["ams"]
            outbox, rows = world.alerts.outbox, cluster.server.notifications
            fail_all(cluster)
            await until(lambda: len(outbox.claimed()) == 3)
            world.database.is_disconnected = True
            await until(lambda: all(delivery.is_held for delivery in outbox.claimed()))
            formed = {delivery.message_key for delivery in outbox.claimed()}
            # Another node has attempted a part of them in the meantime, and has released the claims.
            ids = sorted(rows)[:2]
            for notification_id in ids:
                rows[notification_id].message = AssignedMessage(
                    "attempted", outbox.claimed()[0].notification.at
                )
            for row in rows.values():
                row.claimed_by = None
            world.database.is_disconnected = False
            await until(lambda: all(row.status == "sent" for row in rows.values()))
            assert {key: sent_keys()[key] for key in ids} == {key: {"attempted"} for key in ids}
            assert not {"attempted", *formed} & sent_keys()[sorted(rows)[2]]

    run_in_fake_time(main)
