"""The message of a notification, and the order of notifications, when another node takes over a delivery."""

import pytest

from tests.cluster.database.conftest import Connect, Sql
from tests.cluster.database.test_database import LATER, decided, expire_claims, node, problem

pytestmark = pytest.mark.slow


async def test_another_node_gets_the_message_in_which_a_notification_was_attempted(
    connect: Connect, sql: Sql
) -> None:
    database = await connect()
    for name in ("fra1", "hel1"):
        await database.beat(node(name), [])
    await decided(database, problem(1), problem(2, notifier="mail"))
    claimed = await database.claim("fra1", ["mail"], 5)
    assert [(item.message_key, item.message_at) for item in claimed] == [(None, None)] * 2
    ids = [item.id for item in claimed]
    assert await database.assign_message("hel1", ids, "other", LATER) == frozenset()
    assert await database.assign_message("fra1", ids, "key", LATER) == frozenset(ids)
    await expire_claims(sql)
    taken = await database.claim("hel1", ["mail"], 5)
    assert [(item.id, item.message_key, item.message_at) for item in taken] == [
        (notification_id, "key", LATER) for notification_id in ids
    ]
    assert await database.assign_message("fra1", ids, "late", LATER) == frozenset()


async def test_notification_waits_while_another_node_delivers_an_earlier_notification(
    connect: Connect, sql: Sql
) -> None:
    database = await connect()
    for name in ("fra1", "hel1"):
        await database.beat(node(name), [])
    before = await decided(database, problem(1))
    assert len(await database.claim("fra1", ["mail"], 5)) == 1
    await database.decide("fra1", before, before, [(problem(2), None)])
    assert await database.claim("hel1", ["mail"], 5) == []
    await expire_claims(sql)
    assert [item.id for item in await database.claim("hel1", ["mail"], 5)] == ["shop mail 1", "shop mail 2"]
