"""The message of a notification, and the order of notifications, when another node takes over a delivery."""

import pytest

from monitord.cluster.database import ClusterDatabase
from monitord.cluster.model import AssignedMessage
from tests.cluster.database.conftest import Connect, Sql, decide_one
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
    unattempted = dict.fromkeys(ids)
    assert not await database.assign_message("hel1", unattempted, AssignedMessage("other", LATER))
    assert await database.assign_message("fra1", unattempted, AssignedMessage("key", LATER))
    await expire_claims(sql)
    taken = await database.claim("hel1", ["mail"], 5)
    assert [(item.id, item.message_key, item.message_at) for item in taken] == [
        (notification_id, "key", LATER) for notification_id in ids
    ]
    assert not await database.assign_message(
        "fra1", dict.fromkeys(ids, "key"), AssignedMessage("late", LATER)
    )


async def test_message_is_assigned_as_a_whole_and_only_instead_of_the_known_one(connect: Connect) -> None:
    database = await connect()
    before = await decided(database, problem(1), problem(2))
    claimed = [item.id for item in await database.claim("fra1", ["mail"], 5)]
    await decide_one(database, "fra1", before, before, [(problem(3), None)])
    message, other = AssignedMessage("key", LATER), AssignedMessage("other", LATER)
    assert not await database.assign_message("fra1", dict.fromkeys([*claimed, "shop mail 3"]), message)
    assert await database.renew("fra1", claimed) == dict.fromkeys(claimed)
    assert await database.assign_message("fra1", dict.fromkeys(claimed), message)
    assert not await database.assign_message("fra1", dict.fromkeys(claimed), other)
    assert await database.renew("fra1", claimed) == dict.fromkeys(claimed, message)
    # After the receiver has rejected it.
    assert await database.assign_message("fra1", {claimed[0]: "key"}, other)
    assert await database.renew("fra1", claimed) == {claimed[0]: other, claimed[1]: message}


async def attempted(database: ClusterDatabase, sql: Sql) -> list[str]:
    """Let a node attempt two notifications about different monitors in one message, and die."""
    await decided(database)
    sql("UPDATE node SET seen_at = now()")
    for number in (1, 2):
        sql(
            "INSERT INTO notification (id, notifier, monitor, body, created_at, attempts, status, response,"
            " delivered_by) VALUES (%s, 'mail', %s, '{}', now(), 0, 'queued', '', '')",
            str(number),
            f"web-{number}",
        )
    ids = [item.id for item in await database.claim("fra1", ["mail"], 5)]
    assert await database.assign_message("fra1", dict.fromkeys(ids), AssignedMessage("key", LATER))
    await expire_claims(sql)
    return ids


async def test_message_is_claimed_as_a_whole_beyond_the_limit(connect: Connect, sql: Sql) -> None:
    database = await connect()
    ids = await attempted(database, sql)
    assert [item.id for item in await database.claim("hel1", ["mail"], 1)] == ids


async def test_message_is_claimed_as_a_whole_although_a_part_is_not_overdue(
    connect: Connect, sql: Sql
) -> None:
    database = await connect()
    ids = await attempted(database, sql)
    sql("UPDATE notification SET created_at = created_at - interval '60 seconds' WHERE id = '1'")
    assert [item.id for item in await database.claim("hel1", [], 5, ["mail"])] == ids


async def test_message_of_which_another_node_has_a_part_is_not_claimed(connect: Connect, sql: Sql) -> None:
    database = await connect()
    await attempted(database, sql)
    sql("UPDATE notification SET claimed_until = now() + interval '9 seconds' WHERE id = '2'")
    assert await database.claim("hel1", ["mail"], 5) == []
    assert sql("SELECT claimed_by FROM notification WHERE id = '2'") == [("fra1",)]
    sql("UPDATE notification SET finished_at = now() WHERE id = '2'")
    assert [item.id for item in await database.claim("hel1", ["mail"], 5)] == ["1"]


async def test_notification_waits_while_another_node_delivers_an_earlier_notification(
    connect: Connect, sql: Sql
) -> None:
    database = await connect()
    for name in ("fra1", "hel1"):
        await database.beat(node(name), [])
    before = await decided(database, problem(1))
    assert len(await database.claim("fra1", ["mail"], 5)) == 1
    await decide_one(database, "fra1", before, before, [(problem(2), None)])
    assert await database.claim("hel1", ["mail"], 5) == []
    await expire_claims(sql)
    assert [item.id for item in await database.claim("hel1", ["mail"], 5)] == ["shop mail 1", "shop mail 2"]
