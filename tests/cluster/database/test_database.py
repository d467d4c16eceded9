"""The operations of nodes, with a real server. Time passes by changing the times in the database."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any

import psycopg
import pytest

from monitord.alerts.lifecycle import Alert, NotifierProgress, alert_record
from monitord.clock import SystemClock
from monitord.cluster.database import ClusterDatabase
from monitord.cluster.database.changed_rows import (
    OVERLAP_S,
    REREAD_EVERY_S,
    REREAD_PAGE_EVERY_S,
    ROWS_PER_PAGE,
)
from monitord.cluster.database.database import CANDIDATES_PER_TALLY, CLAIM_S, OVERDUE_S
from monitord.cluster.database.schema import SCHEMA_VERSION
from monitord.cluster.database.statements import TALLY
from monitord.cluster.model import (
    LIVE_S,
    AssignedMessage,
    Changes,
    ClusterDecision,
    ConfigurationDifferences,
    DeliveryResult,
    HostMonitor,
    HostReport,
    Intervention,
    InterventionKind,
    Membership,
    NewDecision,
    Node,
    NodeShard,
    SharedHeartbeat,
    Tally,
)
from monitord.cluster.quorum import decide
from monitord.cluster.settling import Settling
from monitord.cluster.sharding import shard_of
from monitord.errors import ClusterError, NodeNameError
from monitord.model import Reason, State
from monitord.monitors.heartbeat.record import Heartbeat, HeartbeatSignal
from monitord.monitors.heartbeat.shared import HeartbeatFacts, with_signal
from monitord.notifiers import Notification, NotificationKind, notification_of
from tests.cluster.database.conftest import Connect, Sql, decide_one, until
from tests.cluster.votes import BEGAN, vote
from tests.fakes import FakeClock

# Each test creates a database.
pytestmark = pytest.mark.slow

UP, DOWN = State.UP, State.DOWN
LATER = BEGAN + timedelta(hours=1)


def node(name: str, *, is_ready: bool = True) -> Node:
    """The location of "fra1" is "fra"."""
    return Node(name, name[:-1], is_ready, "1.0", "hash", 0.5, 7)


def age(sql: Sql, name: str, seconds: float = LIVE_S + 1) -> None:
    """Let so many seconds pass since the last heartbeat of a node."""
    sql("UPDATE node SET seen_at = seen_at - %s * interval '1 second' WHERE name = %s", seconds, name)


def problem(
    number: int = 1, *, monitor: str = "shop", notifier: str = "mail", detail: str = ""
) -> Notification:
    return Notification(
        f"{monitor} {notifier} {number}",
        notifier,
        NotificationKind.PROBLEM,
        "alert",
        number,
        monitor,
        monitor,
        "http",
        ("web",),
        DOWN,
        BEGAN,
        BEGAN,
        BEGAN,
        0.0,
        Reason.REFUSED,
        detail,
    )


def down(monitor: str = "shop", version: int = 1, **changes: Any) -> ClusterDecision:
    decision = ClusterDecision(monitor, DOWN, BEGAN, Reason.REFUSED, "connection refused", version)
    return replace(decision, **changes)


async def decided(
    database: ClusterDatabase, *notifications: Notification, monitor: str = "shop"
) -> ClusterDecision:
    """Make a monitor down, with these notifications. Its node is "fra1"."""
    await database.beat(node("fra1"), [vote("fra", DOWN, monitor=monitor)])
    decision = down(monitor)
    assert await decide_one(database, "fra1", None, decision, [(item, None) for item in notifications])
    return decision


def names(tally: Tally) -> list[str]:
    return [candidate.monitor for candidate in tally.candidates]


async def test_flapping_of_a_decision_is_stored(connect: Connect) -> None:
    database, other = await connect(), await connect()
    await database.beat(node("fra1"), [vote("fra", DOWN)])
    after = down(changes=(BEGAN, LATER), is_flapping=True)
    assert await decide_one(database, "fra1", None, after)
    assert (await other.changes()).decisions == (after,)


# Heartbeats and votes


async def test_monitors_of_a_node_are_published_by_shard(connect: Connect, sql: Sql) -> None:
    first, second = await connect(), await connect()
    await first.beat(node("fra1"), [])
    await second.changes()
    shards = [NodeShard("fra1", number, {f"web-{number}": "0123"}) for number in range(250)]
    await first.publish_monitors("fra1", shards)
    found = (await second.changes()).node_shards
    assert sorted(found, key=lambda each: each.shard) == shards
    # Only what has changed is written.
    await first.publish_monitors("fra1", [replace(shards[7], monitors={}), *shards[8:]])
    assert (await second.changes()).node_shards == (NodeShard("fra1", 7, {}),)
    assert (await first.changes()).node_shards != ()
    # A daemon that has lost the name of the node changes nothing.
    age(sql, "fra1")
    await second.beat(node("fra1"), [])
    await first.publish_monitors("fra1", shards)
    assert sql("SELECT monitors FROM node_shard WHERE shard = 7") == [({},)]
    await second.remove_node("fra1")
    assert sql("SELECT count(*) FROM node_shard") == [(0,)]


async def test_heartbeat_describes_the_node(connect: Connect) -> None:
    database = await connect()
    membership = await database.beat(node("fra1"), [])
    offset_s = membership.nodes[0].time_offset_s
    assert membership == Membership((replace(node("fra1"), time_offset_s=offset_s),), was_stale=True)
    assert membership.live_locations == {"fra"}


async def test_heartbeat_measures_the_clock_of_the_node(connect: Connect, clock: FakeClock) -> None:
    database = await connect()
    before = (await database.beat(node("fra1"), [])).nodes[0].time_offset_s
    clock.ahead_s -= 3600
    after = (await database.beat(node("fra1"), [])).nodes[0].time_offset_s
    assert after - before == pytest.approx(-3600, abs=600)


async def test_node_without_heartbeats_is_not_live(connect: Connect, sql: Sql) -> None:
    database = await connect()
    await database.beat(node("hel1"), [])
    age(sql, "hel1")
    membership = await database.beat(node("fra1"), [])
    assert membership.live_nodes() == ("fra1",)
    assert membership.known_locations == {"fra", "hel"}
    assert membership.nodes[1].seen_ago_s > LIVE_S


async def test_heartbeat_from_before_the_clock_of_the_database_was_set_back_is_old(
    connect: Connect, sql: Sql
) -> None:
    database = await connect()
    await database.beat(node("hel1"), [])
    age(sql, "hel1", -3600)
    assert (await database.beat(node("fra1"), [])).live_locations == {"fra"}
    assert (await database.tally("fra1")).live_locations == {"fra"}


async def test_last_heartbeat_of_a_node_ends_its_work_at_once(connect: Connect) -> None:
    database = await connect()
    await database.beat(node("fra1"), [vote("fra", DOWN)])
    membership = await database.beat(node("fra1", is_ready=False), [])
    assert membership.live_locations == frozenset()
    assert (await database.tally("fra1")).is_stale


async def test_votes_are_written_with_the_heartbeat_or_not_at_all(connect: Connect, sql: Sql) -> None:
    """Rule 1: a live node has reported everything that it knows."""
    database = await connect()
    sql("ALTER TABLE vote ADD CONSTRAINT no_shop CHECK (monitor <> 'shop')")
    with pytest.raises(ClusterError):
        await database.beat(node("fra1"), [vote("fra", DOWN)])
    assert sql("SELECT count(*) FROM node") == [(0,)]


async def test_last_vote_of_a_monitor_counts(connect: Connect) -> None:
    database = await connect()
    await database.beat(node("fra1"), [vote("fra", DOWN, 1), vote("fra", UP, 2)])
    [candidate] = (await database.tally("fra1")).candidates
    assert candidate.votes == (vote("fra", UP, 2),)


async def test_many_votes_are_written_in_one_heartbeat(connect: Connect, sql: Sql) -> None:
    database = await connect()
    await database.beat(node("fra1"), [vote("fra", DOWN, monitor=f"m{number}") for number in range(1201)])
    assert sql("SELECT count(*) FROM vote") == [(1201,)]
    assert sql("SELECT shard FROM vote WHERE monitor = 'm7'") == [(shard_of("m7"),)]


async def test_repeated_vote_changes_nothing(connect: Connect) -> None:
    database = await connect()
    await database.beat(node("fra1"), [vote("fra", DOWN)])
    await database.changes()
    await database.beat(node("fra1"), [replace(vote("fra", DOWN), checked_at=LATER)])
    assert (await database.changes()).votes == ()


@pytest.mark.parametrize(
    ("is_successor_live", "state"), [(True, UP), (False, DOWN)], ids=["live", "not live"]
)
async def test_old_votes_of_a_stopped_node_do_not_replace_those_of_its_successor(
    connect: Connect, sql: Sql, is_successor_live: bool, state: State
) -> None:
    database = await connect()
    await database.beat(node("fra1"), [])
    await database.beat(node("fra2"), [])
    age(sql, "fra1")
    await database.beat(node("fra2"), [vote("fra", UP, 5, node="fra2")])
    if not is_successor_live:
        age(sql, "fra2")
    membership = await database.beat(node("fra1"), [vote("fra", DOWN, 1, node="fra1")])
    assert membership.was_stale
    assert (await database.changes()).votes[0].state is state
    assert not (await database.beat(node("fra1"), [vote("fra", DOWN, 9, node="fra1")])).was_stale
    assert (await database.changes()).votes[0].node == "fra1"


@pytest.mark.parametrize("minute", [1, 9], ids=["older", "newer"])
async def test_vote_from_an_earlier_check_does_not_replace_that_of_another_live_node(
    connect: Connect, sql: Sql, monkeypatch: pytest.MonkeyPatch, minute: int
) -> None:
    database = await connect()
    monkeypatch.setattr(database, "_clock", SystemClock())
    for name in ("fra1", "fra2"):
        await database.beat(node(name), [])
    await database.beat(node("fra2"), [vote("fra", UP, 5, node="fra2")])
    await database.beat(node("fra1"), [vote("fra", DOWN, minute, node="fra1")])
    # On a very busy machine, the difference of the clocks cannot be measured, and the last vote counts.
    is_comparable = sql("SELECT bool_and(abs(time_offset_s) <= 1) FROM node") == [(True,)]
    expected = UP if is_comparable and minute < 5 else DOWN
    assert (await database.changes()).votes[0].state is expected


async def test_last_vote_counts_if_the_clock_of_a_node_is_wrong(connect: Connect) -> None:
    database = await connect()
    await database.beat(node("fra1"), [])
    await database.beat(node("fra2"), [vote("fra", UP, 5, node="fra2")])
    await database.beat(node("fra1"), [vote("fra", DOWN, 1, node="fra1")])
    assert (await database.changes()).votes[0].state is DOWN


async def test_characters_that_the_database_rejects_are_replaced(connect: Connect) -> None:
    database = await connect()
    text = "a\0b \ud800 é"
    await database.beat(node("fra1"), [replace(vote("fra", DOWN, detail=text), excerpt=text)])
    decision = down(detail=text, alert={"id": text, "notifiers": {"a": [text, 1, None]}})
    assert await decide_one(database, "fra1", None, decision, [(problem(detail=text), None)])
    expected = "a\ufffdb ? é"
    changes = await database.changes()
    assert (changes.votes[0].detail, changes.votes[0].excerpt) == (expected, expected)
    assert changes.decisions[0].detail == expected
    assert changes.decisions[0].alert == {"id": expected, "notifiers": {"a": [expected, 1, None]}}
    [claimed] = await database.claim("fra1", ["mail"], 5)
    assert claimed.body["detail"] == expected


# Tallies


async def test_tally_contains_the_votes_of_live_locations(connect: Connect, sql: Sql) -> None:
    database = await connect()
    for name in ("fra1", "hel1", "nyc1"):
        await database.beat(node(name), [vote(name[:-1], DOWN)])
    age(sql, "nyc1")
    await database.beat(node("ams1", is_ready=False), [vote("ams", UP)])
    await database.beat(node("sin1"), [vote("sin", State.UNKNOWN)])
    tally = await database.tally("fra1")
    assert tally.live_locations == {"fra", "hel", "sin"}
    assert tally.known_locations == {"fra", "hel", "nyc", "ams", "sin"}
    assert not tally.is_stale
    [candidate] = tally.candidates
    assert candidate.votes == (vote("fra", DOWN), vote("hel", DOWN))
    assert candidate.decision is None


async def test_tally_without_candidates_has_the_locations(connect: Connect) -> None:
    database = await connect()
    await database.beat(node("fra1"), [])
    tally = await database.tally("fra1", monitors=["shop"])
    assert tally.live_locations == {"fra"}
    assert names(tally) == []


async def test_tally_has_only_monitors_with_a_vote_that_differs(connect: Connect) -> None:
    database = await connect()
    monitors = ("new", "agrees", "recovers", "fails")
    await database.beat(node("fra1"), [vote("fra", DOWN, monitor=monitor) for monitor in monitors])
    for monitor in monitors[1:]:
        state = UP if monitor == "fails" else DOWN
        assert await decide_one(database, "fra1", None, down(monitor, state=state))
    await database.beat(node("fra1"), [vote("fra", UP, 1, monitor="recovers")])
    tally = await database.tally("fra1")
    assert names(tally) == ["fails", "new", "recovers"]
    assert tally.candidates[0].decision == down("fails", state=UP)


async def test_tally_finds_votes_that_are_up_by_an_index(connect: Connect, sql: Sql, conninfo: str) -> None:
    await connect()
    sql(
        "INSERT INTO decision SELECT 'web-' || n, n %% 1024, 'down', now(), 'refused', '', 1, NULL, NULL, now()"
        " FROM generate_series(1, 2000) AS n"
    )
    sql(
        "INSERT INTO vote SELECT 'web-' || n, 'fra', n %% 1024, 'down', now(), 'refused', '', repeat('x', 500), 'fra1',"
        " now(), now() FROM generate_series(1, 2000) AS n"
    )
    sql("ANALYZE vote, decision")
    parameters = {"node": "fra1", "run": "", "shards": None, "monitors": None, "after": "", "limit": 300}
    with psycopg.connect(conninfo) as connection:
        connection.execute("SET search_path TO monitord")
        plan = connection.execute(f"EXPLAIN (COSTS OFF) {TALLY}", parameters).fetchall()
    # Votes that are up, of which there are none, are not searched among all others.
    assert any("vote_up" in line for (line,) in plan)


async def test_tally_of_shards_and_of_monitors(connect: Connect) -> None:
    database = await connect()
    await database.beat(node("fra1"), [vote("fra", DOWN, monitor=monitor) for monitor in ("a", "b", "c")])
    assert names(await database.tally("fra1", shards=[shard_of("a"), shard_of("c")])) == ["a", "c"]
    assert names(await database.tally("fra1", monitors=["b", "other"])) == ["b"]
    assert names(await database.tally("fra1", shards=[shard_of("a")], monitors=["b"])) == []
    assert names(await database.tally("fra1", shards=[])) == []


async def test_many_candidates_are_counted_in_several_tallies(connect: Connect) -> None:
    database = await connect()
    monitors = [f"m{number:04}" for number in range(2 * CANDIDATES_PER_TALLY)]
    await database.beat(node("fra1"), [vote("fra", DOWN, monitor=monitor) for monitor in monitors])
    first = await database.tally("fra1")
    second = await database.tally("fra1", after=first.next_after or "")
    third = await database.tally("fra1", after=second.next_after or "")
    assert names(first) + names(second) == monitors
    assert (names(third), third.next_after) == ([], None)


async def test_node_with_an_old_heartbeat_is_stale(connect: Connect, sql: Sql) -> None:
    """Rule 3."""
    database = await connect()
    await database.beat(node("fra1"), [vote("fra", DOWN)])
    await database.beat(node("hel1"), [vote("hel", DOWN)])
    age(sql, "fra1")
    assert (await database.tally("fra1")).is_stale
    assert not (await database.tally("hel1")).is_stale
    assert (await database.tally("other")).is_stale


async def test_settled_is_compared_with_the_locations_that_were_counted(connect: Connect, sql: Sql) -> None:
    """Rules 2 and 4: a location that dies between heartbeat and tally changes how many votes are needed."""
    database = await connect()
    for name in ("hel1", "nyc1"):
        await database.beat(node(name), [vote(name[:-1], UP)])
    seen = (await database.beat(node("fra1"), [vote("fra", DOWN)])).live_locations
    assert seen == {"fra", "hel", "nyc"}
    age(sql, "hel1")
    age(sql, "nyc1")
    tally = await database.tally("fra1")
    assert tally.live_locations == {"fra"}
    [candidate] = tally.candidates
    is_settled = Settling(seen, 0.0, 20.0).is_settled(tally.live_locations, 20.0)
    assert decide(candidate, tally, "majority", None, LATER, is_settled=is_settled) is None


# Decisions


async def test_decision_is_written_with_transition_and_incident(connect: Connect, sql: Sql) -> None:
    database = await connect()
    await database.beat(node("fra1"), [vote("fra", DOWN)])
    first = down(alert={"id": "a"})
    assert await decide_one(database, "fra1", None, first)
    assert (await database.changes()).decisions == (first,)
    second = down(state=UP, since=LATER, version=2, reason=Reason.OK, detail="")
    assert await decide_one(database, "fra1", first, second)
    assert (await database.changes()).decisions == (second,)
    assert sql("SELECT monitor, version, old_state, state, node FROM transition ORDER BY version") == [
        ("shop", 1, None, "down", "fra1"),
        ("shop", 2, "down", "up", "fra1"),
    ]
    assert sql("SELECT started_at, ended_at, reason FROM incident") == [(BEGAN, LATER, "refused")]


async def test_incident_lasts_while_the_monitor_is_unreachable(connect: Connect, sql: Sql) -> None:
    database = await connect()
    before = await decided(database)
    for state in (State.UNREACHABLE, DOWN, State.DEGRADED):
        after = replace(before, state=state, version=before.version + 1)
        assert await decide_one(database, "fra1", before, after)
        before = after
    assert sql("SELECT version, ended_at IS NOT NULL FROM incident") == [(1, True)]


async def test_alert_changes_without_a_transition(connect: Connect, sql: Sql) -> None:
    database = await connect()
    before = await decided(database)
    after = replace(before, alert={"id": "a"}, version=2)
    assert await decide_one(database, "fra1", before, after, [(problem(), "chat")])
    assert (await database.changes()).decisions == (after,)
    assert sql("SELECT count(*) FROM transition") == [(1,)]
    assert sql("SELECT id, copy_to, status FROM notification") == [("shop mail 1", "chat", "queued")]


async def test_one_of_two_deciders_wins(connect: Connect, sql: Sql) -> None:
    first, second = await connect(), await connect()
    await first.beat(node("fra1"), [vote("fra", DOWN)])
    await second.beat(node("hel1"), [vote("hel", DOWN)])
    outcomes = await asyncio.gather(
        decide_one(first, "fra1", None, down(), [(problem(1), None)]),
        decide_one(second, "hel1", None, down(), [(problem(2), None)]),
    )
    assert sorted(outcomes) == [False, True]
    assert sql("SELECT version FROM decision") == [(1,)]
    assert sql("SELECT count(*) FROM notification") == [(1,)]
    assert sql("SELECT count(*) FROM transition") == [(1,)]


async def test_decider_that_waits_for_another_one_does_not_overwrite_it(
    connect: Connect, sql: Sql, conninfo: str
) -> None:
    database = await connect()
    before = await decided(database)
    with psycopg.connect(conninfo) as other:
        other.execute("UPDATE monitord.decision SET version = version + 1")
        waiting = asyncio.create_task(decide_one(database, "fra1", before, replace(before, state=UP)))
        await until(sql, "wait_event_type = 'Lock'")
    assert await waiting is False
    assert sql("SELECT state, version FROM decision") == [("down", 2)]


async def test_stale_node_does_not_decide(connect: Connect, sql: Sql) -> None:
    """Rule 3."""
    database = await connect()
    await database.beat(node("fra1"), [vote("fra", DOWN)])
    age(sql, "fra1")
    assert not await decide_one(database, "fra1", None, down(), [(problem(), None)])
    assert sql("SELECT count(*) FROM notification") == [(0,)]
    await database.beat(node("fra1"), [])
    assert await decide_one(database, "fra1", None, down())


async def test_votes_counted_long_ago_decide_nothing(connect: Connect) -> None:
    """A process was stopped between tally and decision, and its heartbeat has continued first."""
    database = await connect()
    await database.beat(node("fra1"), [vote("fra", DOWN)])
    tally = await database.tally("fra1")
    assert tally.counted_at is not None
    decision = decide(tally.candidates[0], tally, "majority", None, LATER, is_settled=True)
    assert decision is not None
    old = replace(decision, counted_at=tally.counted_at - timedelta(seconds=LIVE_S + 1))
    assert not await decide_one(database, "fra1", None, old)
    assert await decide_one(database, "fra1", None, decision)


async def test_notification_is_queued_once(connect: Connect, sql: Sql) -> None:
    database = await connect()
    before = await decided(database, problem(1))
    after = replace(before, version=2)
    assert await decide_one(database, "fra1", before, after, [(problem(1), None), (problem(2), None)])
    assert sql("SELECT id FROM notification ORDER BY id") == [("shop mail 1",), ("shop mail 2",)]


# Changes


async def test_first_changes_are_all_rows(connect: Connect) -> None:
    database = await connect()
    decision = await decided(database)
    pause = Intervention(InterventionKind.PAUSE, "shop", {"by": "kim"})
    await database.write_intervention(pause)
    await database.beat(node("fra1"), [vote("fra", UP, monitor="undecided")])
    changes = await (await connect()).changes()
    assert changes.decisions == (decision,)
    assert {vote.monitor for vote in changes.votes} == {"shop", "undecided"}
    assert changes.interventions == (pause,)


async def test_changes_are_found_without_a_notification(connect: Connect) -> None:
    """The second node has not waited for any."""
    first, second = await connect(), await connect()
    await second.changes()
    decision = await decided(first)
    changes = await second.changes()
    assert changes.decisions == (decision,)
    assert changes.votes == (vote("fra", DOWN),)
    assert await second.changes() == type(changes)()


async def test_change_of_a_transaction_that_ends_late_is_found(connect: Connect, conninfo: str) -> None:
    database = await connect()
    await decided(database)
    with psycopg.connect(conninfo) as late:
        late.execute("UPDATE monitord.vote SET detail = 'late', changed_at = now()")
        await database.write_intervention(Intervention(InterventionKind.PAUSE, "shop", None))
        changes = await database.changes()
        assert ([vote.detail for vote in changes.votes], len(changes.interventions)) == ([""], 1)
        late.commit()
    changes = await database.changes()
    assert ([vote.detail for vote in changes.votes], len(changes.interventions)) == (["late"], 0)


async def test_change_whose_commit_was_held_up_for_long_is_found_within_minutes(
    connect: Connect, sql: Sql, clock: FakeClock
) -> None:
    """A commit can wait for a synchronous standby without a limit."""
    database = await connect()
    count = ROWS_PER_PAGE + 5
    await database.beat(node("fra1"), [vote("fra", UP, monitor=f"m{number:05}") for number in range(count)])
    sql("UPDATE vote SET changed_at = now() - interval '1 hour'")
    await database.changes()
    await database.changes()
    sql("UPDATE vote SET state = 'down' WHERE monitor = %s", f"m{count - 1:05}")
    assert await database.changes() == Changes()
    clock.skipped_s += REREAD_EVERY_S
    found = [(await database.changes()).votes]
    assert (await database.changes()).votes == ()
    clock.skipped_s += REREAD_PAGE_EVERY_S
    found.append((await database.changes()).votes)
    assert [len(votes) for votes in found] == [ROWS_PER_PAGE, 5]
    assert [vote.monitor for votes in found for vote in votes if vote.state is DOWN] == [f"m{count - 1:05}"]
    clock.skipped_s += REREAD_PAGE_EVERY_S
    assert (await database.changes()).votes == ()
    clock.skipped_s += REREAD_EVERY_S
    assert len((await database.changes()).votes) == ROWS_PER_PAGE


async def test_change_after_a_while_without_changes_is_found(connect: Connect, sql: Sql) -> None:
    database = await connect()
    await decided(database)
    sql("UPDATE vote SET changed_at = changed_at - %s * interval '1 second'", 10 * OVERLAP_S)
    await database.changes()
    await database.beat(node("fra1"), [vote("fra", UP, 3)])
    assert (await database.changes()).votes == (vote("fra", UP, 3),)


async def test_changes_are_found_after_the_clock_of_the_database_was_set_back(
    connect: Connect, sql: Sql
) -> None:
    database = await connect()
    await decided(database)
    sql("UPDATE vote SET changed_at = changed_at + interval '1 hour'")
    await database.changes()
    await database.beat(node("fra1"), [vote("fra", UP, 3)])
    assert (await database.changes()).votes == (vote("fra", UP, 3),)


async def test_all_pages_of_changes_are_read(connect: Connect, sql: Sql) -> None:
    database = await connect()
    count = 2 * ROWS_PER_PAGE + 5
    sql(
        "INSERT INTO intervention SELECT 'pause', 'm' || number, NULL, now() FROM generate_series(1, %s) AS number",
        count,
    )
    changes = await database.changes()
    assert {item.key for item in changes.interventions} == {f"m{number + 1}" for number in range(count)}


async def test_ended_intervention_has_no_record(connect: Connect) -> None:
    first, second = await connect(), await connect()
    silence = Intervention(InterventionKind.SILENCE, "id", {"until": "2026-01-01"})
    await first.write_intervention(silence)
    assert (await second.changes()).interventions == (silence,)
    await first.write_intervention(replace(silence, record=None))
    assert (await second.changes()).interventions == (replace(silence, record=None),)


async def test_waiting_node_is_woken_by_votes_and_decisions(connect: Connect) -> None:
    """Without the wake-ups the test would reach its limit in time."""
    first, second = await connect(), await connect()
    await second.wait(1000)  # it has begun to listen
    await first.beat(node("fra1"), [vote("fra", DOWN)])
    await second.wait(1000)
    assert await decide_one(first, "fra1", None, down())
    await second.wait(1000)
    await first.write_intervention(Intervention(InterventionKind.PAUSE, "shop", None))
    await second.wait(1000)


async def test_wait_ends_without_changes(connect: Connect) -> None:
    database = await connect()
    await database.wait(1000)
    await database.wait(0)


# Notifications


async def test_claimed_notification_is_that_of_the_decision(connect: Connect) -> None:
    database = await connect()
    notification = problem(detail="connection refused")
    await decided(database, notification)
    [claimed] = await database.claim("fra1", ["mail"], 5)
    assert (claimed.id, claimed.copy_to) == (notification.id, None)
    assert notification_of(claimed.body) == notification


async def test_two_nodes_claim_different_notifications(connect: Connect) -> None:
    first, second = await connect(), await connect()
    notifications = [problem(monitor=f"shop{number}") for number in range(20)]
    for notification in notifications:
        await decided(first, notification, monitor=notification.monitor)
    shares = await asyncio.gather(
        *(database.claim(name, ["mail"], 10) for database, name in ((first, "fra1"), (second, "hel1")))
    )
    ids = [claimed.id for share in shares for claimed in share]
    # What is locked for the other node is skipped, and found by the next claim.
    ids += [claimed.id for claimed in await first.claim("fra1", ["mail"], 20)]
    assert sorted(ids) == sorted(notification.id for notification in notifications)


async def test_oldest_notifications_are_claimed_first(connect: Connect, sql: Sql) -> None:
    database = await connect()
    await decided(database, *(problem(number) for number in range(5)))
    for number, age_s in ((3, 1), (4, 2)):
        sql(
            "UPDATE notification SET created_at = created_at - %s * interval '1 second' WHERE id = %s",
            age_s,
            f"shop mail {number}",
        )
    claimed = await database.claim("fra1", ["mail"], 2)
    assert [item.id for item in claimed] == ["shop mail 4", "shop mail 3"]


async def test_node_claims_for_its_notifiers_and_what_others_leave(connect: Connect, sql: Sql) -> None:
    database = await connect()
    await decided(database, problem(notifier="mail"), problem(notifier="chat"), problem(notifier="sms"))
    assert [item.id for item in await database.claim("fra1", ["mail"], 5, ["chat"])] == ["shop mail 1"]
    sql("UPDATE notification SET created_at = created_at - %s * interval '1 second'", OVERDUE_S + 1)
    assert [item.id for item in await database.claim("fra1", ["mail"], 5, ["chat"])] == ["shop chat 1"]


async def test_any_node_claims_at_once_what_another_node_has_claimed_before(connect: Connect) -> None:
    database = await connect()
    await decided(database, problem(1))
    assert await database.claim("hel1", [], 5, ["mail"]) == []
    await database.claim("fra1", ["mail"], 5)
    await database.release("fra1", ["shop mail 1"])
    assert [item.id for item in await database.claim("hel1", [], 5, ["mail"])] == ["shop mail 1"]


async def test_any_node_claims_at_once_what_a_node_leaves(connect: Connect) -> None:
    database = await connect()
    await decided(database, problem(notifier="mail"), problem(notifier="chat"))
    await database.leave(["mail"])
    claimed = await database.claim("hel1", [], 5, ["mail", "chat"])
    assert [item.id for item in claimed] == ["shop mail 1"]


async def expire_claims(sql: Sql) -> None:
    sql("UPDATE notification SET claimed_until = claimed_until - %s * interval '1 second'", CLAIM_S + 1)


async def test_expired_claim_passes_to_another_node(connect: Connect, sql: Sql) -> None:
    database = await connect()
    await decided(database, problem(1))
    assert len(await database.claim("fra1", ["mail"], 5)) == 1
    assert len(await database.claim("hel1", ["mail"], 5)) == 0
    await expire_claims(sql)
    assert len(await database.claim("hel1", ["mail"], 5)) == 1
    assert await database.renew("fra1", ["shop mail 1"]) == {}
    assert await database.renew("hel1", ["shop mail 1", "other"]) == {"shop mail 1": None}
    assert sql("SELECT attempts FROM notification") == [(2,)]


async def test_claim_from_before_the_clock_of_the_database_was_set_back_has_expired(
    connect: Connect, sql: Sql
) -> None:
    database = await connect()
    await decided(database, problem(1))
    await database.claim("fra1", ["mail"], 5)
    sql("UPDATE notification SET claimed_until = claimed_until + interval '1 hour'")
    assert len(await database.claim("hel1", ["mail"], 5)) == 1


async def test_renewed_claim_does_not_expire(connect: Connect, sql: Sql) -> None:
    database = await connect()
    await decided(database, problem(1))
    await database.claim("fra1", ["mail"], 5)
    await expire_claims(sql)
    assert await database.renew("fra1", ["shop mail 1"]) == {"shop mail 1": None}
    assert len(await database.claim("hel1", ["mail"], 5)) == 0


async def test_released_claim_passes_at_once(connect: Connect) -> None:
    database = await connect()
    await decided(database, problem(1))
    await database.claim("fra1", ["mail"], 5)
    await database.release("hel1", ["shop mail 1"])
    assert len(await database.claim("hel1", ["mail"], 5)) == 0
    await database.release("fra1", ["shop mail 1"])
    assert len(await database.claim("hel1", ["mail"], 5)) == 1


async def test_finished_notification_is_not_claimed_again(connect: Connect, sql: Sql) -> None:
    database = await connect()
    await decided(database, problem(1))
    await database.claim("fra1", ["mail"], 5)
    await database.finish("fra1", [DeliveryResult("shop mail 1", "sent", "250 OK", "mail")])
    await expire_claims(sql)
    assert len(await database.claim("hel1", ["mail"], 5)) == 0
    assert await database.renew("fra1", ["shop mail 1"]) == {}
    assert sql("SELECT status, response, delivered_by FROM notification") == [("sent", "250 OK", "mail")]


@pytest.mark.parametrize(
    ("status", "stored"), [("sent", "sent"), ("expired", "queued"), ("cancelled", "queued")]
)
async def test_result_after_the_claim_was_lost_counts_only_if_it_was_sent(
    connect: Connect, sql: Sql, status: str, stored: str
) -> None:
    database = await connect()
    await decided(database, problem(1))
    await database.claim("fra1", ["mail"], 5)
    await expire_claims(sql)
    await database.claim("hel1", ["mail"], 5)
    await database.finish("fra1", [DeliveryResult("shop mail 1", status, "", "mail")])
    assert sql("SELECT status FROM notification") == [(stored,)]


# Alerts after alone mode, and housekeeping


def alert(count: int) -> dict[str, Any]:
    progress = NotifierProgress(count, BEGAN, BEGAN, DOWN)
    return dict(alert_record(Alert("a", "shop", "shop", BEGAN, {"mail": progress})))


async def test_merge_keeps_the_larger_count(connect: Connect) -> None:
    database = await connect()
    before = await decided(database)
    assert await decide_one(database, "fra1", before, replace(before, alert=alert(2), version=2))
    assert await database.merge("fra1", {"shop": alert(1), "unknown": alert(5)}) == {"shop": alert(2)}
    assert (await database.changes()).decisions[0].version == 2
    assert await database.merge("fra1", {"shop": alert(3)}) == {"shop": alert(3)}
    [decision] = (await database.changes()).decisions
    assert (decision.alert, decision.version, decision.state) == (alert(3), 3, DOWN)


async def test_two_nodes_merge_one_after_the_other(connect: Connect) -> None:
    first, second = await connect(), await connect()
    await decided(first)
    await second.beat(node("hel1"), [])
    await asyncio.gather(first.merge("fra1", {"shop": alert(4)}), second.merge("hel1", {"shop": alert(3)}))
    assert (await first.changes()).decisions[0].alert == alert(4)


async def test_stale_node_does_not_merge(connect: Connect, sql: Sql) -> None:
    database = await connect()
    await decided(database)
    age(sql, "fra1")
    with pytest.raises(ClusterError, match="without a heartbeat"):
        await database.merge("fra1", {"shop": alert(4)})
    assert (await database.changes()).decisions[0].alert is None


async def test_removed_node_takes_its_location_with_it(connect: Connect, sql: Sql) -> None:
    database = await connect()
    for name in ("fra1", "fra2", "hel1"):
        await database.beat(node(name), [vote(name[:-1], DOWN, node=name)])
    assert await database.remove_node("hel1")
    assert not await database.remove_node("hel1")
    assert await database.remove_node("fra2")
    tally = await database.tally("fra1")
    assert tally.known_locations == {"fra"}
    assert sql("SELECT location FROM vote") == [("fra",)]


def with_configuration(name: str, digest: str) -> Node:
    return replace(node(name), configuration=digest)


async def test_differences_of_configurations(connect: Connect, sql: Sql) -> None:
    fra, hel, nyc = await connect(), await connect(), await connect()
    written = {
        "fra1": (fra, "one", {"monitors.web": "a", "monitors.mail": "a", "alerts.routes": "a"}),
        "hel1": (hel, "two", {"monitors.web": "b", "monitors.api": "a", "alerts.routes": "a"}),
    }
    for name, (database, digest, sections) in written.items():
        await database.beat(with_configuration(name, digest), ())
        await database.write_configuration(name, digest, sections)
    # It has written none.
    await nyc.beat(with_configuration("nyc1", "three"), ())
    assert await fra.differences("fra1") == {
        "hel1": ConfigurationDifferences(("monitors.mail",), ("monitors.api",), ("monitors.web",), 3)
    }
    assert await nyc.differences("nyc1") == {}
    assert (await fra.overview("fra1")).configuration == "one"
    assert (await nyc.overview("nyc1")).configuration is None
    # The heartbeat shows that the written sections are no longer those of the node.
    await hel.beat(with_configuration("hel1", "four"), ())
    assert await fra.differences("fra1") == {}
    await hel.write_configuration("hel1", "four", written["fra1"][2])
    assert await fra.differences("fra1") == {}
    await hel.write_configuration("hel1", "four", {f"monitors.{number:02}": "a" for number in range(50)})
    found = (await fra.differences("fra1"))["hel1"]
    assert (len(found.missing) + len(found.added), found.total) == (20, 53)
    age(sql, "hel1")
    assert await fra.differences("fra1") == {}


async def test_monitor_is_configured_while_a_node_with_a_recent_heartbeat_has_it(
    connect: Connect, sql: Sql
) -> None:
    fra, hel = await connect(), await connect()
    await fra.beat(with_configuration("fra1", "one"), ())
    await hel.beat(with_configuration("hel1", "two"), ())
    await fra.write_configuration("fra1", "one", {"monitors.mail": "a"})
    keys = ["monitors.mail", "monitors.web", "monitors.api"]
    # The other one may have any of them.
    assert await fra.configured(keys) is None
    await hel.write_configuration("hel1", "two", {"monitors.mail": "b", "monitors.web": "a"})
    assert await fra.configured(keys) == frozenset({"monitors.mail", "monitors.web"})
    age(sql, "hel1")
    assert await fra.configured(keys) == frozenset({"monitors.mail"})
    await fra.remove_node("hel1")
    assert sql("SELECT node FROM configuration") == [("fra1",)]


async def test_old_rows_are_deleted(connect: Connect, sql: Sql) -> None:
    database = await connect()
    before = await decided(database, problem(1), problem(2))
    assert await decide_one(database, "fra1", before, replace(before, state=UP, version=2))
    await database.finish("fra1", [DeliveryResult("shop mail 1", "sent", "", "mail")])
    await database.write_intervention(Intervention(InterventionKind.PAUSE, "shop", None))
    await database.write_intervention(Intervention(InterventionKind.PAUSE, "web", {}))
    sql("UPDATE incident SET ended_at = now()")
    assert await database.prune(30) == 0
    sql("UPDATE transition SET decided_at = decided_at - interval '31 days' WHERE version = 1")
    sql("UPDATE incident SET ended_at = now() - interval '31 days'")
    sql("UPDATE notification SET finished_at = finished_at - interval '31 days'")
    sql("UPDATE intervention SET changed_at = changed_at - interval '31 days'")
    assert await database.prune(30) == 4
    assert sql("SELECT version FROM transition") == [(2,)]
    assert sql("SELECT id FROM notification") == [("shop mail 2",)]
    assert sql("SELECT key FROM intervention") == [("web",)]


async def test_notification_for_a_notifier_that_no_node_has_is_cancelled_after_a_day(
    connect: Connect, sql: Sql
) -> None:
    database = await connect()
    kept = problem(2, notifier="chat")
    await decided(database, problem(1), kept)

    async def open_after(hours: int) -> list[str]:
        sql("UPDATE notification SET created_at = now() - %s * interval '1 hour' RETURNING 1", hours)
        await database.prune(30)
        return [
            str(row[0]) for row in sql("SELECT id FROM notification WHERE finished_at IS NULL ORDER BY id")
        ]

    # The notifiers of the node are not known yet.
    assert await open_after(25) == [kept.id, problem(1).id]
    await database.write_configuration("fra1", "hash", {"notifiers.chat": "a"})
    assert await open_after(23) == [kept.id, problem(1).id]
    assert await open_after(25) == [kept.id]
    assert sql("SELECT status, response FROM notification WHERE finished_at IS NOT NULL") == [
        ("cancelled", "the notifier was removed from the configuration")
    ]


async def test_decisions_of_one_transaction_are_won_or_lost_each_for_itself(
    connect: Connect, sql: Sql
) -> None:
    database = await connect()
    monitors = ("a", "b", "c")
    await database.beat(node("fra1"), [vote("fra", DOWN, monitor=name) for name in monitors])
    assert await decide_one(database, "fra1", None, down("b"))
    first = [NewDecision(None, down(name), [(problem(monitor=name), "chat")]) for name in monitors]
    assert await database.decide("fra1", first) == {"a", "c"}
    assert sql("SELECT monitor, copy_to FROM notification ORDER BY monitor") == [("a", "chat"), ("c", "chat")]
    assert sql("SELECT monitor, version, old_state FROM transition ORDER BY monitor") == [
        ("a", 1, None),
        ("b", 1, None),
        ("c", 1, None),
    ]
    second = [
        NewDecision(down("a"), down("a", state=UP, version=2)),
        NewDecision(down("b"), down("b", detail="other", version=2)),
        NewDecision(
            down("c"), replace(down("c", state=UP, version=2), counted_at=BEGAN - timedelta(days=9999))
        ),
    ]
    assert await database.decide("fra1", second) == {"a", "b"}
    assert sql("SELECT monitor, state, detail, version FROM decision ORDER BY monitor") == [
        ("a", "up", down().detail, 2),
        ("b", "down", "other", 2),
        ("c", "down", down().detail, 1),
    ]
    assert sql("SELECT monitor FROM transition WHERE version = 2") == [("a",)]
    assert sql("SELECT monitor FROM incident WHERE ended_at IS NULL ORDER BY monitor") == [("b",), ("c",)]


async def test_two_nodes_with_many_decisions_in_another_order_do_not_wait_for_each_other(
    connect: Connect, sql: Sql
) -> None:
    first, second = await connect(), await connect()
    monitors = [f"m{number:03}" for number in range(100)]
    await first.beat(node("fra1"), [vote("fra", DOWN, monitor=name) for name in monitors])
    await second.beat(node("hel1"), [])
    decisions = [NewDecision(None, down(name)) for name in monitors]
    one, other = await asyncio.gather(
        first.decide("fra1", decisions), second.decide("hel1", list(reversed(decisions)))
    )
    assert one | other == set(monitors)
    assert not one & other
    assert sql("SELECT count(*) FROM transition") == [(100,)]


async def test_closed_monitor_is_deleted_after_a_day_and_can_return(connect: Connect, sql: Sql) -> None:
    database = await connect()
    for location in ("fra", "hel"):
        await database.beat(node(f"{location}1"), [vote(location, DOWN, monitor=name) for name in ("a", "b")])
    for name in ("a", "b"):
        assert await decide_one(database, "fra1", None, down(name))
        closed = replace(down(name), state=State.PENDING, version=2)
        assert await decide_one(database, "fra1", down(name), closed)
    # "a" has votes, and "b" has only one, at a location without a live node.
    await database.beat(node("fra1"), [vote("fra", State.PENDING, 1, monitor="b")])
    sql("UPDATE decision SET changed_at = now() - interval '23 hours'")
    age(sql, "hel1")
    assert await database.prune(30) == 0
    sql("UPDATE decision SET changed_at = now() - interval '25 hours'")
    assert await database.prune(30) == 1
    assert sql("SELECT monitor FROM decision") == [("a",)]
    for table in ("vote", "transition", "incident"):
        assert sql(f"SELECT DISTINCT monitor FROM {table}") == [("a",)]
    await database.beat(node("fra1"), [vote("fra", DOWN, 2, monitor="b")])
    [candidate] = (await database.tally("fra1", monitors=["b"])).candidates
    assert candidate.decision is None
    assert await decide_one(database, "fra1", None, down("b"))


async def test_vote_whose_decision_was_deleted_at_the_same_time_is_counted(
    connect: Connect, sql: Sql
) -> None:
    database = await connect()
    await database.beat(node("fra1"), [vote("fra", DOWN)])
    sql("DELETE FROM decision")
    assert await database.prune(30) == 0
    assert names(await database.tally("fra1")) == ["shop"]


async def test_overview(connect: Connect, sql: Sql) -> None:
    database = await connect()
    await decided(database, problem(1), problem(2))
    await database.finish("fra1", [DeliveryResult("shop mail 1", "sent", "", "mail")])
    sql("UPDATE notification SET created_at = now() - interval '60 seconds'")
    overview = await database.overview()
    assert [item.name for item in overview.membership.nodes] == ["fra1"]
    assert (overview.schema_version, overview.decisions, overview.undelivered) == (SCHEMA_VERSION + 1, 1, 1)
    assert overview.oldest_undelivered_s >= 60
    assert int(overview.server_version.partition(".")[0]) >= 13


async def test_live_node_keeps_its_name(connect: Connect, sql: Sql) -> None:
    first, second = await connect(), await connect()
    decision = await decided(first, problem(1))
    claimed = [item.id for item in await first.claim("fra1", ["mail"], 5)]
    with pytest.raises(NodeNameError, match="as the node fra1") as caught:
        await second.beat(replace(node("fra1"), location="hel"), [vote("hel", UP)])
    assert "node in [cluster]" in caught.value.hint
    assert sql("SELECT location FROM vote") == sql("SELECT location FROM node") == [("fra",)]
    assert (await second.tally("fra1")).is_stale
    assert not await decide_one(second, "fra1", decision, replace(decision, version=2))
    assert await second.renew("fra1", claimed) == {}
    assert not await second.assign_message(
        "fra1", dict.fromkeys(claimed), AssignedMessage("key", decision.since)
    )
    await second.release("fra1", claimed)
    assert len(await first.renew("fra1", claimed)) == 1
    # A node that was killed and has been started again.
    age(sql, "fra1")
    await second.beat(node("fra1"), [])
    with pytest.raises(NodeNameError):
        await first.beat(node("fra1"), [])
    assert (await first.tally("fra1")).is_stale
    assert not (await second.tally("fra1")).is_stale


async def test_stop_frees_the_name_of_a_node(connect: Connect) -> None:
    first, second = await connect(), await connect()
    await first.beat(node("fra1"), [])
    await first.beat(node("fra1", is_ready=False), [])
    assert (await second.beat(node("fra1"), [])).live_nodes() == ("fra1",)


# Monitors of hosts


def of_host(name: str, state: State | None = UP, **changes: Any) -> HostMonitor:
    monitor = HostMonitor("fra1", name, "disk", ("base", "host"), state, BEGAN, Reason.DISK_FULL, "91 % used")
    return replace(monitor, **changes)


async def test_monitors_of_a_host_are_read_by_other_nodes(connect: Connect, sql: Sql) -> None:
    first, second = await connect(), await connect()
    reported = of_host("disk", DOWN, acknowledged_by="kim", maintenance="patch day")
    await first.beat(node("fra1"), [], HostReport((reported, of_host("unit")), is_complete=True))
    assert set((await second.changes()).host_monitors) == {reported, of_host("unit")}
    assert (await second.changes()).host_monitors == ()
    before = sql("SELECT changed_at FROM host_monitor WHERE monitor = 'unit'")
    await first.beat(node("fra1"), [], HostReport((of_host("disk"), of_host("unit"))))
    assert (await second.changes()).host_monitors == (of_host("disk"),)
    assert sql("SELECT changed_at FROM host_monitor WHERE monitor = 'unit'") == before


async def test_changed_monitors_of_a_host_wake_the_other_nodes(connect: Connect) -> None:
    first, second = await connect(), await connect()
    await first.beat(node("fra1"), [])
    await second.wait(0)
    task = asyncio.create_task(second.wait(60))
    await asyncio.sleep(0)
    await first.beat(node("fra1"), [], HostReport((of_host("disk"),)))
    await task


async def test_complete_report_removes_the_others(connect: Connect, sql: Sql) -> None:
    database = await connect()
    await database.beat(node("hel1"), [], HostReport((of_host("disk", node="hel1"),)))
    await database.beat(
        node("fra1"), [], HostReport(tuple(of_host(f"m{number:04}") for number in range(1201)))
    )
    assert len((await database.changes()).host_monitors) == 1202
    await database.beat(node("fra1"), [], HostReport((of_host("m0007", DOWN),), is_complete=True))
    changed = {each.monitor: each.state for each in (await database.changes()).host_monitors}
    assert len(changed) == 1201
    assert changed.pop("m0007") is DOWN
    assert set(changed.values()) == {None}
    await database.beat(node("fra1"), [], HostReport((of_host("m0008"),)))
    assert [each.state for each in (await database.changes()).host_monitors] == [UP]
    sql("UPDATE host_monitor SET changed_at = now() - interval '91 days' WHERE monitor <> 'm0007'")
    await database.prune(90)
    assert sql("SELECT node, monitor FROM host_monitor ORDER BY node, monitor") == [
        ("fra1", "m0007"),
        ("fra1", "m0008"),
        ("hel1", "disk"),
    ]


async def test_texts_of_monitors_of_a_host_that_the_database_rejects_are_replaced(connect: Connect) -> None:
    database = await connect()
    await database.beat(
        node("fra1"), [], HostReport((of_host("disk", detail="a\0b", acknowledged_by="\ud800"),))
    )
    (found,) = (await database.changes()).host_monitors
    assert (found.detail, found.acknowledged_by) == ("a\ufffdb", "?")


async def test_monitors_of_a_removed_node_are_deleted(connect: Connect, sql: Sql) -> None:
    database = await connect()
    await database.beat(node("fra1"), [], HostReport((of_host("disk"),)))
    await database.remove_node("fra1")
    assert sql("SELECT * FROM host_monitor") == []


async def test_daemon_without_the_name_of_its_node_reports_nothing(connect: Connect, sql: Sql) -> None:
    first, second = await connect(), await connect()
    await first.beat(node("fra1"), [], HostReport((of_host("disk"),)))
    with pytest.raises(NodeNameError):
        await second.beat(node("fra1"), [], HostReport((of_host("unit"),), is_complete=True))
    assert sql("SELECT monitor, state FROM host_monitor") == [("disk", "up")]


# Heartbeats of jobs


def of_job(
    minute: float, name: str = "fra1", signal: HeartbeatSignal = HeartbeatSignal.SUCCESS
) -> HeartbeatFacts:
    at = BEGAN + timedelta(minutes=minute)
    return with_signal(HeartbeatFacts(BEGAN, name), Heartbeat(signal, message="a\0b"), at, name)


async def test_heartbeats_of_two_nodes_are_merged(connect: Connect, sql: Sql) -> None:
    first, second = await connect(), await connect()
    await first.beat(node("fra1"), [], None, [SharedHeartbeat("job", of_job(2))])
    before = sql("SELECT changed_at FROM heartbeat")
    # What the other has received before is older, and is kept as such.
    older = of_job(1, "hel1", HeartbeatSignal.FAIL)
    await second.beat(
        node("hel1"), [], None, [SharedHeartbeat("job", older), SharedHeartbeat("other", older)]
    )
    found = {each.monitor: each.facts for each in (await first.changes()).heartbeats}
    assert set(found) == {"job", "other"}
    assert (found["job"].node, found["job"].last_signal_at) == ("fra1", BEGAN + timedelta(minutes=2))
    assert [each.signal for each in found["job"].ends] == [HeartbeatSignal.FAIL, HeartbeatSignal.SUCCESS]
    assert found["job"].message == "a\ufffdb"
    after = sql("SELECT changed_at FROM heartbeat WHERE monitor = 'job'")
    assert after != before
    await second.beat(node("hel1"), [], None, [SharedHeartbeat("job", found["job"])])
    assert sql("SELECT changed_at FROM heartbeat WHERE monitor = 'job'") == after


async def test_nodes_report_heartbeats_at_the_same_time(connect: Connect) -> None:
    databases = {f"{location}1": await connect() for location in ("ams", "fra", "hel")}
    jobs = [f"job{number:03}" for number in range(401)]
    for minute in range(3):
        await asyncio.gather(
            *(
                database.beat(
                    node(name),
                    [],
                    None,
                    [SharedHeartbeat(job, of_job(minute + number / 10, name)) for job in jobs],
                )
                for number, (name, database) in enumerate(databases.items())
            )
        )
    found = (await databases["ams1"].changes()).heartbeats
    assert {each.monitor for each in found} == set(jobs)
    assert {each.facts.node for each in found} == {"hel1"}


async def test_heartbeats_that_another_release_has_stored_are_replaced(connect: Connect, sql: Sql) -> None:
    database = await connect()
    sql("INSERT INTO heartbeat VALUES ('job', '{}', now())")
    assert (await database.changes()).heartbeats == ()
    await database.beat(node("fra1"), [], None, [SharedHeartbeat("job", of_job(1))])
    (found,) = (await database.changes()).heartbeats
    assert found.facts.node == "fra1"


async def test_absence_of_a_node_is_recorded_when_it_returns(connect: Connect, sql: Sql) -> None:
    first, second = await connect(), await connect()
    (before,) = (await first.beat(node("fra1"), [])).nodes
    assert (before.absent_ago_s, before.back_ago_s) == (None, None)
    (before,) = (await first.beat(node("fra1"), [])).nodes
    assert (before.absent_ago_s, before.back_ago_s) == (None, None)
    age(sql, "fra1", 600)
    (after,) = (await first.beat(node("fra1"), [])).nodes
    assert after.absent_ago_s == pytest.approx(600, abs=100)
    assert after.back_ago_s == pytest.approx(0, abs=100)
    sql("UPDATE node SET absent_from = NULL, back_at = NULL, is_ready = false")
    # A restart takes a few seconds.
    (restarted,) = (await second.beat(node("fra1"), [])).nodes
    assert restarted.absent_ago_s == pytest.approx(0, abs=100)
    assert restarted.back_ago_s == pytest.approx(0, abs=100)


async def test_heartbeats_of_a_closed_monitor_are_deleted(connect: Connect, sql: Sql) -> None:
    database = await connect()
    decision = await decided(database)
    await database.beat(
        node("fra1"), [], None, [SharedHeartbeat(name, of_job(1)) for name in ("shop", "other")]
    )
    await decide_one(database, "fra1", decision, replace(decision, state=State.PENDING, version=2))
    assert sql("SELECT monitor FROM heartbeat") == [("other",)]
