"""The operations of a node on the database of the cluster: `ClusterDatabase`.

Each operation is one transaction, and the database compares all times with its own clock.
"""

import asyncio
import logging
import secrets
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Any

import psycopg
from psycopg.types.json import Jsonb

from monitord.alerts.outbox import DeliveryStatus
from monitord.clock import Clock
from monitord.cluster.database import schema, statements
from monitord.cluster.database.changed_rows import ChangedRows, Row
from monitord.cluster.database.connection import (
    UNVERIFIED,
    VERIFY_HINT,
    Connection,
    ConnectionString,
    Session,
)
from monitord.cluster.database.values import (
    cleaned,
    cleaned_json,
    decision_of,
    decision_rows,
    heartbeat_of,
    heartbeat_rows,
    host_monitor_of,
    host_monitor_rows,
    intervention_of,
    node_of,
    node_row,
    node_shard_of,
    report_rows,
    vote_of,
    vote_rows,
)
from monitord.cluster.merging import merged
from monitord.cluster.model import (
    AgentReport,
    AssignedMessage,
    Candidate,
    Changes,
    ClaimedNotification,
    ClusterOverview,
    ConfigurationDifferences,
    DeliveryResult,
    HostMonitor,
    HostReport,
    Intervention,
    Membership,
    NewDecision,
    Node,
    NodeShard,
    ReportOutcome,
    SharedHeartbeat,
    StoredReport,
    Tally,
    Vote,
)
from monitord.errors import ClusterError, NodeNameError
from monitord.monitors.heartbeat.shared import merged as merged_facts
from monitord.net.base.resolver import Resolver
from monitord.text import counted

log = logging.getLogger("monitord")

CLAIM_S = 10.0
"""A claim on a notification ends this long after it was made or renewed, in seconds."""
OVERDUE_S = 15.0
"""A notification that has waited longer is delivered by any node that can."""
TRANSACTION_S = 10.0
"""The limit of the transactions with several statements that a node needs to take part: heartbeats and claims.

It is the same for both, so that a node whose database is too slow is alone, and is not live without deliveries.
"""
LISTEN_AGAIN_S, LONGEST_LISTEN_AGAIN_S = 2.0, 60.0
CANDIDATES_PER_TALLY = 300
"""Reading more at once would hold up the event loop."""
VOTES_PER_STATEMENT = 500
HOST_MONITORS_PER_STATEMENT = 500
HEARTBEATS_PER_STATEMENT = 200
SHARDS_PER_STATEMENT = 100
"""A shard may have hundreds of monitors."""
ALERTS_PER_TRANSACTION = 200
PRUNED_PER_STATEMENT = 5000
DIFFERENCES_PER_NODE = 20
KEEP_CLOSED_S = 86_400.0
"""A monitor that is no longer configured anywhere is deleted this long after it was closed, in seconds."""
KEEP_ORPHANED_S = 86_400.0
"""As for the closing notifications of a single host: see `alerts.alerts`."""


class ClusterDatabase:
    """The tables of the cluster, for one node. Owns its connections and the task that listens for changes.

    All operations raise ClusterError if the database does not respond; the next operation connects again. None blocks
    the event loop, and each has a limit in time.
    """

    def __init__(self, conninfo: str, clock: Clock, resolver: Resolver) -> None:
        """`conninfo`: a connection string or URI of libpq. Raises ClusterError if it is invalid."""
        target = ConnectionString(conninfo)
        self._unverified_host = target.unverified_host
        self._clock = clock
        self._run = secrets.token_hex(8)
        # A heartbeat does not wait for other operations, nor does an attempt to deliver.
        self._heart = Session(target, clock, resolver, schema.check)
        self._claims = Session(target, clock, resolver, schema.check)
        self._work = Session(target, clock, resolver, schema.check)
        self._reports = Session(target, clock, resolver, schema.check)
        self._listening = Session(target, clock, resolver)
        self._listener: asyncio.Task[None] | None = None
        self._has_changes = asyncio.Event()
        self._can_notify = True
        self._followed_connection = 0
        self._decisions = ChangedRows(statements.CHANGED_DECISIONS, 1, decision_of)
        self._votes = ChangedRows(statements.CHANGED_VOTES, 2, vote_of)
        self._interventions = ChangedRows(statements.CHANGED_INTERVENTIONS, 2, intervention_of)
        self._heartbeats = ChangedRows(statements.CHANGED_HEARTBEATS, 1, heartbeat_of)
        self._host_monitors = ChangedRows(statements.CHANGED_HOST_MONITORS, 2, host_monitor_of)
        self._node_shards = ChangedRows(
            statements.CHANGED_NODE_SHARDS, 2, node_shard_of, SHARDS_PER_STATEMENT
        )

    @property
    def is_connected(self) -> bool:
        """Whether the last heartbeat has reached the database."""
        return self._heart.is_connected

    async def open(self) -> None:
        """Connect, check that the tables are usable, and start to listen for changes, even if the database fails."""
        if self._listener is None:
            if self._unverified_host is not None:
                log.warning("cluster: %s; %s", UNVERIFIED.format(self._unverified_host), VERIFY_HINT)
            self._listener = asyncio.create_task(self._listen(), name="cluster: listen")
        await self._heart.run(_nothing)
        await self._work.run(_nothing)

    async def close(self) -> None:
        """Close the connections. Raises nothing."""
        if self._listener is not None:
            self._listener.cancel()
            await asyncio.wait([self._listener])
            self._listener = None
        for session in (self._listening, self._reports, self._work, self._claims, self._heart):
            await session.close()

    async def beat(
        self,
        node: Node,
        votes: Sequence[Vote],
        host: HostReport | None = None,
        heartbeats: Sequence[SharedHeartbeat] = (),
    ) -> Membership:
        """Record the heartbeat, the votes, the monitors of the host and the received heartbeats in one transaction.

        The other nodes are woken if there is more than the heartbeat of the node.

        A vote in a state that is not conclusive replaces the earlier vote, and is not counted; the same applies to the
        last vote on a monitor that is no longer checked at this location. Of several votes on a monitor the last
        counts.

        A node that is not ready, or whose previous heartbeat is too old, does not replace the votes of live nodes. A
        vote from an earlier check does not replace that of another live node, if the clocks of both are right.

        `Node.time_offset_s` is measured here. Raises NodeNameError if another daemon is live under the name of the
        node; nothing is written then.
        """
        latest = {(vote.monitor, vote.location): vote for vote in votes}
        # In one order, so that two nodes never wait for each other.
        ordered = [latest[key] for key in sorted(latest)]

        async def beaten(connection: Connection) -> Membership | None:
            async with connection.transaction():
                began = self._clock.now()
                is_fresh, database_time = await _is_fresh(connection, node.name)
                offset = began + (self._clock.now() - began) / 2 - database_time
                replaces = is_fresh and node.is_ready
                row = node_row(replace(node, time_offset_s=offset.total_seconds()))
                cursor = await connection.execute(statements.BEAT, {**row, "run": self._run})
                if not cursor.rowcount:
                    return None
                await _vote(connection, ordered, replaces=replaces)
                if host is not None:
                    names = [each.monitor for each in host.monitors] if host.is_complete else None
                    await _report_host(connection, node.name, host.monitors, names)
                await _receive(connection, heartbeats)
                nodes = await _nodes(connection)
            return Membership(nodes, was_stale=not is_fresh)

        membership = await self._heart.run(beaten, TRANSACTION_S)
        if membership is None:
            raise NodeNameError(
                f"another daemon takes part in the cluster as the node {node.name}",
                hint="give each node a different name: node in [cluster], by default the name of the host",
            )
        if ordered or heartbeats or (host is not None and host.monitors):
            await self._wake(self._heart)
        return membership

    async def record(self, reports: Sequence[AgentReport]) -> tuple[Membership, Sequence[StoredReport]]:
        """Record reports of different agents in one transaction, each as `beat` does; wake the nodes.

        A report whose number is already stored changes nothing. `Node.time_offset_s` of an agent is relative to the
        clock of this host, and is stored relative to that of the database.
        """

        async def recorded(connection: Connection) -> tuple[Membership, Sequence[StoredReport]]:
            async with connection.transaction():
                return await _record(connection, self._clock, reports)

        membership, outcomes = await self._reports.run(recorded, TRANSACTION_S)
        is_stored = [stored.outcome is ReportOutcome.STORED for stored in outcomes]
        if any(
            report.votes or report.host_monitors or report.heartbeats
            for report, stored in zip(reports, is_stored, strict=True)
            if stored
        ):
            await self._wake(self._reports)
        return membership, outcomes

    async def publish_monitors(self, node: str, shards: Sequence[NodeShard]) -> None:
        """Replace the monitors that a node has in some of the shards; wake the other nodes."""
        changed = 0
        for start in range(0, len(shards), SHARDS_PER_STATEMENT):
            part = shards[start : start + SHARDS_PER_STATEMENT]
            parameters = {
                "node": node,
                "run": self._run,
                "shards": [each.shard for each in part],
                "monitors": [Jsonb(each.monitors) for each in part],
            }
            changed += await self._execute(self._work, statements.PUBLISH_MONITORS, parameters)
        if changed:
            await self._wake(self._work)

    async def tally(
        self,
        node: str,
        shards: Collection[int] | None = None,
        monitors: Collection[str] | None = None,
        after: str = "",
    ) -> Tally:
        """Return the monitors whose votes may change the decision, and the live locations, in one snapshot.

        These are monitors with a vote of a live location that differs from the decision, or without a decision. Only
        monitors in `shards` and of these names; None: all. At most `CANDIDATES_PER_TALLY` in the order of their names,
        with a name greater than `after`: the next tally continues with `Tally.next_after`.
        """
        parameters = {
            "node": node,
            "run": self._run,
            "shards": None if shards is None else sorted(shards),
            "monitors": None if monitors is None else sorted(monitors),
            "after": after,
            "limit": CANDIDATES_PER_TALLY,
        }

        async def counted(connection: Connection) -> list[tuple[Any, ...]]:
            return await (await connection.execute(statements.TALLY, parameters)).fetchall()

        rows = await self._work.run(counted)
        counted_at, live, known, is_stale, _, _ = rows[0]
        candidates = tuple(
            _candidate(decision, votes) for *_, decision, votes in rows if decision is not None
        )
        return Tally(
            frozenset(live),
            frozenset(known),
            is_stale,
            candidates,
            counted_at,
            candidates[-1].monitor if len(candidates) == CANDIDATES_PER_TALLY else None,
        )

    async def decide(self, node: str, decisions: Sequence[NewDecision]) -> frozenset[str]:
        """Replace decisions on different monitors, and queue their notifications, in one transaction; wake the others.

        The version becomes that of `before` plus 1, or 1. A notification whose id exists is not queued again. Return
        the monitors that were decided. For the others nothing has changed: the decision is no longer `before`, the
        node is not live, or the votes were counted too long ago.
        """
        notifications = [item for decision in decisions for item in decision.notifications]
        parameters = {
            "node": node,
            "run": self._run,
            **decision_rows(decisions),
            "ids": [notification.id for notification, _ in notifications],
            "notifiers": [notification.notifier for notification, _ in notifications],
            "subjects": [each.after.monitor for each in decisions for _ in each.notifications],
            "bodies": [Jsonb(cleaned_json(notification.as_json())) for notification, _ in notifications],
            "copies": [copy_to for _, copy_to in notifications],
        }

        async def decided(connection: Connection) -> list[tuple[Any, ...]]:
            return await (await connection.execute(statements.DECIDE, parameters)).fetchall()

        monitors = frozenset(row[0] for row in await self._work.run(decided))
        if monitors:
            await self._wake(self._work)
        return monitors

    async def changes(self) -> Changes:
        """Return the rows that changed since the last call; all rows in the first call and after a reconnect.

        Regularly, some of the other rows are among them.
        """
        await self._work.run(_nothing)
        connected = self._work.connected
        if connected != self._followed_connection:
            for table in (
                self._decisions,
                self._votes,
                self._interventions,
                self._host_monitors,
                self._heartbeats,
                self._node_shards,
            ):
                table.restart()
        decisions = await self._rows(self._decisions)
        votes = await self._rows(self._votes)
        interventions = await self._rows(self._interventions)
        host_monitors = await self._rows(self._host_monitors)
        heartbeats = await self._rows(self._heartbeats)
        node_shards = await self._rows(self._node_shards)
        changes = Changes(
            tuple([decision for decision in decisions if decision.version]),
            tuple(votes),
            tuple(interventions),
            tuple(host_monitors),
            tuple([each for each in heartbeats if each is not None]),
            tuple(node_shards),
        )
        self._followed_connection = connected
        return changes

    async def _rows(self, table: ChangedRows[Row]) -> list[Row]:
        changed = await table.read(self._work)
        return [*changed, *await table.read_again(self._work, self._clock.monotonic_s())]

    async def wait(self, timeout_s: float) -> None:
        """Wait until a node has changed something, or for `timeout_s` seconds. Raises nothing."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._has_changes.wait()
        self._has_changes.clear()

    async def claim(
        self, node: str, notifiers: Collection[str], limit: int, others: Collection[str] = ()
    ) -> Sequence[ClaimedNotification]:
        """Claim up to `limit` notifications for `CLAIM_S` seconds, the oldest first, and all others of their messages.

        `notifiers` are assigned to this node. For `others`, to which it can deliver as well, it claims only
        notifications that another node has claimed before or has left, or that have waited for `OVERDUE_S`. A
        notification is not claimed while another node delivers an earlier notification about the monitor to this
        notifier: a problem that arrives after its recovery would stay open. It is not claimed either while another node
        has a part of its message.
        """
        parameters = {
            "node": node,
            "run": self._run,
            "notifiers": sorted(notifiers),
            "others": sorted(others),
            "limit": limit,
            "claim_s": CLAIM_S,
            "overdue_s": OVERDUE_S,
        }

        async def claimed(connection: Connection) -> list[tuple[Any, ...]]:
            async with connection.transaction():
                rows = await (await connection.execute(statements.CLAIM, parameters)).fetchall()
                if any(row[4] is not None for row in rows):
                    rest = {**parameters, "ids": [row[0] for row in rows]}
                    rows += await (await connection.execute(statements.CLAIM_REST, rest)).fetchall()
                while rows:
                    # Other nodes may be waiting for these notifications.
                    ids = {"node": node, "ids": [row[0] for row in rows]}
                    cursor = await connection.execute(statements.RELEASE_OVERTAKING, ids)
                    released = {row[0] for row in await cursor.fetchall()}
                    if not released:
                        break
                    rows = [row for row in rows if row[0] not in released]
                return rows

        rows = await self._work.run(claimed, TRANSACTION_S)
        rows.sort(key=lambda row: (row[3], row[0]))
        return [
            ClaimedNotification(id=row[0], body=row[1], copy_to=row[2], message_key=row[4], message_at=row[5])
            for row in rows
        ]

    async def renew(self, node: str, ids: Collection[str]) -> Mapping[str, AssignedMessage | None]:
        """Extend claims. Return the ids of the claims that this node still has, with their messages."""
        parameters = {"node": node, "run": self._run, "ids": sorted(ids), "claim_s": CLAIM_S}

        async def renewed(connection: Connection) -> list[tuple[Any, ...]]:
            return await (await connection.execute(statements.RENEW, parameters)).fetchall()

        return {
            notification_id: None if key is None else AssignedMessage(key, at)
            for notification_id, key, at in await self._claims.run(renewed)
        }

    async def assign_message(
        self, node: str, before: Mapping[str, str | None], message: AssignedMessage
    ) -> bool:
        """Record that claimed notifications are attempted as one message, and extend their claims.

        Another node that claims them later sends the same message, under the same key. `before`: the notifications,
        with the keys of their messages as the node knows them. Returns False, and changes nothing, if one of the claims
        has been lost or has another message.
        """
        parameters = {
            "node": node,
            "run": self._run,
            "ids": sorted(before),
            "keys": [before[notification_id] for notification_id in sorted(before)],
            "claim_s": CLAIM_S,
            "key": message.key,
            "at": message.at,
        }
        return await self._execute(self._claims, statements.ASSIGN_MESSAGE, parameters) == len(before)

    async def release(self, node: str, ids: Collection[str]) -> None:
        """End claims, so that other nodes can claim the notifications at once."""
        await self._execute(
            self._work, statements.RELEASE, {"node": node, "run": self._run, "ids": sorted(ids)}
        )
        await self._wake(self._work)

    async def leave(self, notifiers: Collection[str]) -> None:
        """Let any node claim the new notifications for these notifiers at once."""
        if await self._execute(self._work, statements.LEAVE, {"notifiers": sorted(notifiers)}):
            await self._wake(self._work)

    async def finish(self, node: str, results: Sequence[DeliveryResult]) -> None:
        """Record the results of deliveries, all or none: a message is not finished in parts.

        A notification that was sent is recorded even after the claim has ended, and is not delivered again.
        """
        ordered = sorted(results, key=lambda result: result.id)
        parameters = {
            "node": node,
            "ids": [result.id for result in ordered],
            "statuses": [result.status for result in ordered],
            "responses": [cleaned(result.response) for result in ordered],
            "delivered_by": [result.delivered_by for result in ordered],
            "sent": DeliveryStatus.SENT.value,
        }
        await self._execute(self._work, statements.FINISH, parameters)

    async def write_intervention(self, intervention: Intervention) -> None:
        """Record a pause, an acknowledgement or a silence, or its end; wake the other nodes."""
        record = intervention.record
        parameters = {
            "kind": intervention.kind.value,
            "key": intervention.key,
            "record": None if record is None else Jsonb(cleaned_json(record)),
        }
        await self._execute(self._work, statements.WRITE_INTERVENTION, parameters)
        await self._wake(self._work)

    async def merge(
        self, node: str, alerts: Mapping[str, Mapping[str, Any] | None]
    ) -> Mapping[str, Mapping[str, Any] | None]:
        """Merge the alerts of a node that was alone, by monitor (`merging.merged`), and return the results.

        None: the alert has ended there, with its closing notifications. A monitor without a decision is not in the
        result. An alert that the result does not continue (another id) is closed by the node itself.

        Raises ClusterError, including if the node has had no heartbeat since its return; KeyError, TypeError,
        ValueError or AttributeError for a record that is not that of an alert.
        """
        results: dict[str, Mapping[str, Any] | None] = {}
        names = sorted(alerts)
        for start in range(0, len(names), ALERTS_PER_TRANSACTION):
            part = {name: alerts[name] for name in names[start : start + ALERTS_PER_TRANSACTION]}
            results.update(await self._work.run(partial(_merge, node, part)))
        await self._wake(self._work)
        return results

    async def remove_node(self, name: str) -> bool:
        """Remove a node that has been shut down permanently, with its location if no other node is there."""

        async def removed(connection: Connection) -> bool:
            async with connection.transaction():
                cursor = await connection.execute(statements.REMOVE_NODE, {"name": name})
                await connection.execute(statements.REMOVE_CONFIGURATION, {"name": name})
                await connection.execute(statements.REMOVE_SHARDS)
                await connection.execute(statements.REMOVE_VOTES)
                await connection.execute(statements.REMOVE_HOST_MONITORS, {"name": name})
            return cursor.rowcount == 1

        return await self._work.run(removed)

    async def link_key(self) -> bytes | None:
        """Return the key of action links that the nodes share; None if it was deleted from the database."""

        async def read(connection: Connection) -> tuple[Any, ...] | None:
            return await (await connection.execute(statements.LINK_KEY, {"name": schema.LINK_KEY})).fetchone()

        row = await self._work.run(read)
        return None if row is None else bytes(row[0])

    async def prune(self, keep_days: float) -> int:
        """Delete older transitions, incidents, delivered notifications and removals. Return the number of rows.

        Monitors that were closed `KEEP_CLOSED_S` ago are deleted with their votes and history. There may be more if
        the number is not 0: a call deletes a limited number.

        Notifications that have waited for `KEEP_ORPHANED_S` for a notifier that no live node has are cancelled.
        """
        closed = {"keep_closed_s": KEEP_CLOSED_S, "limit": PRUNED_PER_STATEMENT}
        count = await self._execute(self._work, statements.PRUNE_CLOSED, closed)
        await self._execute(self._work, statements.EXPECT_MISSING_DECISIONS, {})
        for statement in statements.PRUNE:
            parameters = {"keep_days": keep_days, "limit": PRUNED_PER_STATEMENT}
            count += await self._execute(self._work, statement, parameters)
        orphaned = {
            "keep_orphaned_s": KEEP_ORPHANED_S,
            "status": DeliveryStatus.CANCELLED.value,
            "response": "the notifier was removed from the configuration",
        }
        if cancelled := await self._execute(self._work, statements.CANCEL_ORPHANED, orphaned):
            log.warning("cluster: %s cancelled: no node has the notifier", counted(cancelled, "notification"))
        return count

    async def write_configuration(self, node: str, digest: str, sections: Mapping[str, str]) -> None:
        """Record the digests of the sections of a node's configuration. `digest` is `Node.configuration`."""
        parameters = {
            "node": node,
            "run": self._run,
            "digest": digest,
            "sections": Jsonb({cleaned(key): value for key, value in sections.items()}),
        }
        await self._execute(self._work, statements.WRITE_CONFIGURATION, parameters)

    async def differences(self, node: str) -> Mapping[str, ConfigurationDifferences]:
        """Return how the configurations of other nodes differ from that of this node, by node.

        Nodes whose heartbeat is old, or whose sections are not known yet, are not in the result.
        """
        parameters = {"node": node, "limit": DIFFERENCES_PER_NODE}

        async def compared(connection: Connection) -> list[tuple[Any, ...]]:
            return await (await connection.execute(statements.DIFFERENCES, parameters)).fetchall()

        by_node: dict[str, ConfigurationDifferences] = {}
        for name, key, is_here, is_there, total in await self._work.run(compared):
            before = by_node.get(name, ConfigurationDifferences(total=total))
            if is_here and is_there:
                by_node[name] = replace(before, changed=(*before.changed, key))
            elif is_here:
                by_node[name] = replace(before, missing=(*before.missing, key))
            else:
                by_node[name] = replace(before, added=(*before.added, key))
        return by_node

    async def configured(self, keys: Collection[str]) -> frozenset[str] | None:
        """Return those of the sections that a node with a recent heartbeat has.

        None: the sections of such a node are not known.
        """

        async def read(connection: Connection) -> tuple[Any, ...] | None:
            return await (await connection.execute(statements.CONFIGURED, {"keys": sorted(keys)})).fetchone()

        row = await self._work.run(read)
        return None if row is None else frozenset(row[0])

    async def overview(self, node: str = "") -> ClusterOverview:
        """Return the state of cluster and database, for people. `node`: this node, "" if it is none."""

        async def read(connection: Connection) -> ClusterOverview:
            began_s = self._clock.monotonic_s()
            await connection.execute("SELECT 1")
            latency_s = self._clock.monotonic_s() - began_s
            nodes = await _nodes(connection)
            row = await (await connection.execute(statements.COUNTS, {"node": node})).fetchone()
            assert row is not None  # noqa: S101 - a count is one row
            version, decisions, undelivered, oldest_s, configuration = row
            server = connection.info.parameter_status("server_version") or ""
            return ClusterOverview(
                Membership(nodes),
                version,
                server,
                latency_s,
                decisions,
                undelivered,
                oldest_s,
                configuration,
            )

        return await self._work.run(read)

    async def _execute(self, session: Session, statement: str, parameters: Mapping[str, Any]) -> int:
        async def executed(connection: Connection) -> int:
            return (await connection.execute(statement, parameters)).rowcount

        return await session.run(executed)

    async def _wake(self, session: Session) -> None:
        # After the transaction and not in it: the commits of transactions that notify wait for each other, and a
        # database without NOTIFY would reject the transaction.
        if not self._can_notify:
            return

        async def notified(connection: Connection) -> bool:
            try:
                await connection.execute(f"NOTIFY {statements.CHANNEL}")
            except (psycopg.errors.FeatureNotSupported, psycopg.errors.SyntaxError):
                return False
            return True

        with suppress(ClusterError):  # the other nodes find the change when they poll
            self._can_notify = await session.run(notified)

    async def _listen(self) -> None:
        async def listened(connection: Connection) -> bool:
            try:
                await connection.execute(f"LISTEN {statements.CHANNEL}")
            except (psycopg.errors.FeatureNotSupported, psycopg.errors.SyntaxError):
                return False
            self._has_changes.set()
            async for _ in connection.notifies():
                self._has_changes.set()
            return True

        can_listen, pause_s, bug = True, LISTEN_AGAIN_S, ""
        while can_listen:
            try:
                can_listen = await self._listening.run(listened, None)
                pause_s, bug = LISTEN_AGAIN_S, ""
            except ClusterError:
                pause_s, bug = LISTEN_AGAIN_S, ""  # the heartbeat reports a database that does not respond
            except Exception as error:
                pause_s = min(2 * pause_s, LONGEST_LISTEN_AGAIN_S)
                if repr(error) != bug:
                    log.exception("cluster: bug in the task that listens for changes; it connects again")
                bug = repr(error)
            await asyncio.sleep(pause_s)


async def _nothing(connection: Connection) -> None:
    """Connect only."""


async def _nodes(connection: Connection) -> tuple[Node, ...]:
    cursor = await connection.execute(statements.NODES)
    return tuple(node_of(row) for row in await cursor.fetchall())


async def _report_host(
    connection: Connection, node: str, monitors: Sequence[HostMonitor], names: Sequence[str] | None
) -> None:
    """Write monitors of the host of one node. `names`: of all its monitors; None: there may be others."""
    latest = {each.monitor: each for each in monitors}
    # In one order, as the votes.
    ordered = [latest[key] for key in sorted(latest)]
    for start in range(0, len(ordered), HOST_MONITORS_PER_STATEMENT):
        rows = host_monitor_rows(ordered[start : start + HOST_MONITORS_PER_STATEMENT])
        await connection.execute(statements.REPORT_HOST_MONITORS, rows)
    if names is not None:
        parameters = {"node": node, "monitors": list(names)}
        await connection.execute(statements.REMOVE_OTHER_HOST_MONITORS, parameters)


async def _vote(connection: Connection, votes: Sequence[Vote], *, replaces: bool) -> None:
    """Write votes on different monitors. `replaces`: also instead of votes of other live nodes."""
    for start in range(0, len(votes), VOTES_PER_STATEMENT):
        rows = vote_rows(votes[start : start + VOTES_PER_STATEMENT])
        await connection.execute(statements.EXPECT_DECISIONS, rows)
        await connection.execute(statements.VOTE, {**rows, "replaces": replaces})


async def _record(
    connection: Connection, clock: Clock, reports: Sequence[AgentReport]
) -> tuple[Membership, Sequence[StoredReport]]:
    began = clock.now()
    database_time = await _time(connection)
    offset_s = (began + (clock.now() - began) / 2 - database_time).total_seconds()
    described = [
        replace(report, node=replace(report.node, time_offset_s=report.node.time_offset_s + offset_s))
        for report in reports
    ]
    cursor = await connection.execute(statements.LOCK_NODES, report_rows(described))
    known = {row[0]: row[1:] for row in await cursor.fetchall()}
    outcomes: dict[str, StoredReport] = {}
    fresh: list[AgentReport] = []
    for report in described:
        outcome = outcomes[report.node.name] = _outcome(report, known.get(report.node.name))
        if outcome.outcome is ReportOutcome.STORED:
            fresh.append(report)
    if fresh:
        parts = [report.node.name for report in fresh if not report.is_complete]
        cursor = await connection.execute(statements.REPORT, {**report_rows(fresh), "parts": parts})
        stored = {row[0] for row in await cursor.fetchall()}
        votes: dict[bool, dict[tuple[str, str], Vote]] = {True: {}, False: {}}
        for report in fresh:
            name = report.node.name
            if name not in stored:
                # Another hub has inserted the node in the meantime.
                outcomes[name] = StoredReport(ReportOutcome.CONFLICT)
                continue
            replaces = report.node.is_ready and not outcomes[name].was_stale
            votes[replaces].update({(vote.monitor, vote.location): vote for vote in report.votes})
        for replaces, of_reports in votes.items():
            await _vote(connection, [of_reports[key] for key in sorted(of_reports)], replaces=replaces)
        for report in fresh:
            if report.node.name in stored and (report.host_monitors or report.host_names is not None):
                await _report_host(connection, report.node.name, report.host_monitors, report.host_names)
        await _receive(connection, _heartbeats([each for each in fresh if each.node.name in stored]))
    return Membership(await _nodes(connection)), [outcomes[report.node.name] for report in reports]


def _heartbeats(reports: Sequence[AgentReport]) -> Sequence[SharedHeartbeat]:
    """Return the heartbeats of jobs in reports, each monitor once, sorted by name."""
    by_monitor: dict[str, SharedHeartbeat] = {}
    for report in reports:
        for each in report.heartbeats:
            known = by_monitor.get(each.monitor, each)
            by_monitor[each.monitor] = replace(each, facts=merged_facts(known.facts, each.facts))
    return [by_monitor[monitor] for monitor in sorted(by_monitor)]


def _outcome(report: AgentReport, known: Sequence[Any] | None) -> StoredReport:
    """Return the outcome of a report. `known`: the row of its node; None: there is none."""
    if known is None:
        return StoredReport(ReportOutcome.STORED, report.number, was_stale=True)
    run, number, is_live, is_recent, location = known
    if report.permitted_locations and location not in report.permitted_locations:
        return StoredReport(ReportOutcome.FORBIDDEN)
    if run == report.run and report.number <= number:
        return StoredReport(ReportOutcome.REPEATED, number)
    if run != report.run and is_live:
        return StoredReport(ReportOutcome.CONFLICT)
    return StoredReport(ReportOutcome.STORED, report.number, was_stale=not is_recent)


async def _receive(connection: Connection, heartbeats: Sequence[SharedHeartbeat]) -> None:
    """Merge facts of heartbeat monitors, sorted by name, with those in the database."""
    for start in range(0, len(heartbeats), HEARTBEATS_PER_STATEMENT):
        given = {each.monitor: each.facts for each in heartbeats[start : start + HEARTBEATS_PER_STATEMENT]}
        rows = heartbeat_rows(given)
        await connection.execute(statements.EXPECT_HEARTBEATS, rows)
        cursor = await connection.execute(statements.LOCK_HEARTBEATS, rows)
        changed = {}
        for row in await cursor.fetchall():
            known, monitor = heartbeat_of(row), row[0]
            facts = given[monitor] if known is None else merged_facts(known.facts, given[monitor])
            if known is None or facts != known.facts:
                changed[monitor] = facts
        if changed:
            await connection.execute(statements.WRITE_HEARTBEATS, heartbeat_rows(changed))


def _candidate(decision_row: Sequence[Any], vote_rows: Sequence[Sequence[Any]]) -> Candidate:
    decision = decision_of(decision_row)
    votes = tuple(vote_of(row) for row in vote_rows)
    return Candidate(decision.monitor, votes, decision if decision.version else None)


async def _merge(
    node: str, alerts: Mapping[str, Mapping[str, Any] | None], connection: Connection
) -> Mapping[str, Mapping[str, Any] | None]:
    results: dict[str, Mapping[str, Any] | None] = {}
    async with connection.transaction():
        is_fresh, _ = await _is_fresh(connection, node)
        if not is_fresh:
            raise ClusterError(
                "alerts cannot be merged without a heartbeat", hint="merge after the next heartbeat"
            )
        cursor = await connection.execute(statements.LOCK_ALERTS, {"monitors": list(alerts)})
        for monitor, known in await cursor.fetchall():
            results[monitor] = alert = merged(known, alerts[monitor])
            if alert is not known:
                stored = None if alert is None else Jsonb(cleaned_json(alert))
                await connection.execute(statements.WRITE_ALERT, {"monitor": monitor, "alert": stored})
    return results


async def _time(connection: Connection) -> datetime:
    row = await (await connection.execute("SELECT clock_timestamp()")).fetchone()
    assert row is not None  # noqa: S101 - a time is one row
    time: datetime = row[0]
    return time


async def _is_fresh(connection: Connection, node: str) -> tuple[bool, datetime]:
    """Return whether the last heartbeat of a node is recent, and the time of the clock of the database."""
    cursor = await connection.execute(statements.IS_FRESH, {"node": node})
    row = await cursor.fetchone()
    assert row is not None  # noqa: S101 - a count is one row
    return row[0] == 1, row[1]
