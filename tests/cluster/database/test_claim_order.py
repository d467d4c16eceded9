"""Notifications about a monitor are delivered in their order, although any node may deliver each of them."""

from collections.abc import Iterator

import psycopg
import pytest

from monitord.cluster.database import ClusterDatabase, initialize
from monitord.cluster.model import DeliveryResult
from tests.database_servers import PASSWORD, postgresql
from tests.fakes import FakeClock, resolver_without_queue

QUEUE = """
INSERT INTO monitord.notification
    (id, notifier, monitor, body, created_at, attempts, status, response, delivered_by)
VALUES (%s, %s, %s, '{}', clock_timestamp(), 0, 'queued', '', '')
"""


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with postgresql() as server:
        yield f"host=127.0.0.1 port={server.port} user=postgres password={PASSWORD} dbname=postgres"


async def test_later_notification_waits_for_the_earlier_one_at_another_node(address: str) -> None:
    clock, resolver = FakeClock(), resolver_without_queue(lambda name, family: ["127.0.0.1"])
    await initialize(address, clock, resolver)

    def queue(number: int, monitor: str) -> None:
        with psycopg.connect(address) as connection:
            connection.execute(QUEUE, (f"{monitor} {number}", "mail", monitor))

    one, other = (ClusterDatabase(address, clock, resolver) for _ in range(2))
    try:

        async def claimed(database: ClusterDatabase, node: str) -> list[str]:
            return [item.id for item in await database.claim(node, ["mail"], 10)]

        queue(1, "shop")
        assert await claimed(one, "fra1") == ["shop 1"]
        queue(2, "shop")
        queue(1, "blog")
        assert await claimed(other, "hel1") == ["blog 1"]
        # The node that has the earlier one delivers both, in this order.
        assert await claimed(one, "fra1") == ["shop 2"]
        await one.release("fra1", ["shop 1", "shop 2"])
        assert await claimed(other, "hel1") == ["shop 1", "shop 2"]
        await other.finish("hel1", [DeliveryResult("shop 1", "sent", "", "mail")])
        await other.release("hel1", ["shop 2"])
        assert await claimed(one, "fra1") == ["shop 2"]
    finally:
        for database in (one, other):
            await database.close()
        await resolver.close()


async def test_notification_that_another_node_is_claiming_is_not_overtaken(address: str) -> None:
    clock, resolver = FakeClock(), resolver_without_queue(lambda name, family: ["127.0.0.1"])
    await initialize(address, clock, resolver)
    database = ClusterDatabase(address, clock, resolver)
    try:
        with psycopg.connect(address) as connection:
            for number in (1, 2):
                connection.execute(QUEUE, (f"chat {number}", "chat", "shop"))
            connection.commit()
            connection.execute("SELECT 1 FROM monitord.notification WHERE id = 'chat 1' FOR UPDATE")
            assert await database.claim("hel1", ["chat"], 10) == []
        assert [item.id for item in await database.claim("hel1", ["chat"], 10)] == ["chat 1", "chat 2"]
    finally:
        await database.close()
        await resolver.close()
