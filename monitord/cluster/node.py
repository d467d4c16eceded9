"""This daemon as a node of the cluster: its tasks, from the first heartbeat to the last.

Nothing here can delay a check: all waiting is for the database, in tasks of its own. Each task survives failures of the
database and bugs. The heartbeat notices whether the database responds; while it does not, the other tasks pause, and
after `alone_after` the node is alone (`alone`).
"""

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from monitord import __version__
from monitord.alerts import Alerts, AlertSettings
from monitord.clock import Clock
from monitord.cluster.alone import Alone
from monitord.cluster.configuration import OwnMonitors, configuration_digests, digest_of_all
from monitord.cluster.deciding import REMOVE_AFTER_S, RENAME_WITHIN_S, Decisions, InputOf
from monitord.cluster.delivering import Delivering
from monitord.cluster.hub import Change, Hub
from monitord.cluster.model import (
    CONCLUSIVE,
    LIVE_S,
    Changes,
    ClusterDecision,
    ClusterOverview,
    ConfigurationDifferences,
    HostMonitor,
    HostReport,
    Intervention,
    InterventionKind,
    Membership,
    Node,
    Role,
    Tally,
    Vote,
)
from monitord.cluster.parts import ClusterParts
from monitord.cluster.settings import ClusterSettings
from monitord.cluster.settling import SETTLE_S, Settling, observed
from monitord.cluster.turns import in_turns
from monitord.cluster.view import (
    ClusterCounters,
    ClusterView,
    DatabaseView,
    ReportCounters,
    UnknownLocation,
)
from monitord.dispatch.cycle import CycleStage
from monitord.dispatch.dispatcher import Dispatcher
from monitord.dispatch.entry import MonitorEntry
from monitord.dispatch.pipeline import Pipeline
from monitord.dispatch.schedule import FIRST_CHECK_WITHIN_S
from monitord.dispatch.state import ClusterState
from monitord.errors import ClusterError, NodeNameError, NotMemberError
from monitord.explanation import users_of_location
from monitord.journal_events import JournalEvent
from monitord.model import State
from monitord.monitors import MonitorSettings
from monitord.monitors.cluster_facts import ClusterFacts, NodeFacts
from monitord.systemd.log import NOTICE
from monitord.text import counted
from monitord.units import format_duration

log = logging.getLogger("monitord")

BEAT_EVERY_S = 2.0
FOLLOW_EVERY_S = 2.0
DECIDE_ALL_EVERY_S = 5.0
EVALUATE_EVERY_S = 2.0
DELIVER_EVERY_S = 2.0
OPEN_TIMEOUT_S = 5.0
"""A start waits this long for the database, and then continues without it."""
LEAVE_TIMEOUT_S = 2.0
READY_WITHIN_S = 120.0
"""A node whose first round of checks takes longer is ready after this time."""
CONFLICT_AFTER_S = 15.0
"""A node that was killed holds its name for `LIVE_S`, so a longer conflict is with another daemon."""
COUNT_EVERY_BEATS = 5
BUG_PAUSE_S = 5.0
LOGGED_FAILURE = 3
"""The number of the failure in a row that is logged, while heartbeats reach the database."""
OVERVIEW_EVERY_S = 15.0
PRUNE_EVERY_S = 3600.0
LINK_KEY_EVERY_S = 300.0
WARN_ABOUT_LOCATIONS_AFTER_S = 60.0
"""The nodes of all locations may be started at the same time."""
KEEP_DAYS = 90.0
"""Transitions, incidents and delivered notifications are kept in the database for this time, in days."""
PRUNING_SHARD = 0
"""The node that decides this shard deletes old rows."""


class ClusterNode:
    """`open`, `apply` with each configuration, `run` until it is cancelled, `leave`, and finally `close`.

    `input_of` returns the data from which the alert of a monitor is evaluated. `apply_intervention` applies an
    intervention of another node.
    """

    def __init__(
        self,
        settings: ClusterSettings,
        parts: ClusterParts,
        dispatcher: Dispatcher,
        pipeline: Pipeline,
        input_of: InputOf,
        alerts: Alerts,
        apply_intervention: Callable[[Intervention], None],
        clock: Clock,
    ) -> None:
        self._settings = settings
        self._parts = parts
        self.hub = (
            None
            if parts.agent is not None
            else Hub(
                parts.database,
                parts.assignment.is_for_location,
                lambda notifier: notifier in alerts.settings.names,
            )
        )
        self._note_for_agents: Callable[[Change], None] = (
            (lambda _: None) if self.hub is None else self.hub.feed.note
        )
        self._database = parts.database
        self._assignment = parts.assignment
        self._dispatcher = dispatcher
        self._pipeline = pipeline
        self._entries = dispatcher.entries
        self._alerts = alerts
        self._apply_intervention = apply_intervention
        self._clock = clock
        self._alone = Alone(
            parts.alone,
            parts.assignment,
            parts.database,
            pipeline.registry,
            pipeline,
            alerts,
            input_of,
            clock,
        )
        self._decisions = Decisions(
            parts.database, parts.assignment, pipeline.registry, input_of, alerts, clock
        )
        self._decisions.on_decision = self._apply_decision
        self._decisions.votes_of = self._live_votes
        if parts.agent is None:
            parts.scope.on_change = self._decisions.change_alert
        self._delivering = Delivering(parts.database, parts.assignment, alerts, parts.claims, clock)
        self._configured: tuple[tuple[MonitorSettings, ...], AlertSettings] | None = None
        self._configuration, self._is_configuration_known = "", True
        self._unwritten_sections: dict[str, str] | None = None
        self._differences: Mapping[str, ConfigurationDifferences] = {}
        self._compared: frozenset[tuple[str, str]] = frozenset()
        self._differing_since_s: float | None = None
        self._own_monitors = OwnMonitors(pipeline.registry, parts.assignment)
        self._is_ready, self._began_s, self._beats = False, 0.0, 0
        self._checked_count = 0
        self._has_shared_monitors = self._follows_decisions = False
        self._settling = Settling()
        self._failing_since_s: float | None = None
        self._failing_since: datetime | None = None
        self._error: str | None = None
        self._excluded_since_s: float | None = None
        self._is_reached = False
        self._logged_live: frozenset[str] | None = None
        self._latency_s: float | None = None
        self._membership_at_s = self._watching_since_s = self._keep_shards_until_s = 0.0
        self._votes: dict[str, dict[str, Vote]] = {}
        self._host_monitors: dict[str, dict[str, HostMonitor]] = {}
        self._host_revision = 0
        self._shared: frozenset[str] = frozenset()
        self._unknown_locations: tuple[UnknownLocation, ...] = ()
        self._warned_about: frozenset[str] = frozenset()
        self._absent_since_s: dict[str, float] = {}
        self._decide_all_at_s = self._evaluate_at_s = self._decided_all_at_s = 0.0
        self._overview: ClusterOverview | None = None
        self._read_overview_at_s = self._prune_at_s = self._read_link_key_at_s = 0.0
        self._bugs: dict[str, str] = {}
        self._failures: Counter[str] = Counter()

    # -- lifetime -----------------------------------------------------------------------------------------

    async def open(self) -> None:
        """Connect, and read the live nodes before the first checks. Without the database, the start continues."""
        self._began_s = self._decided_all_at_s = self._clock.monotonic_s()
        try:
            async with asyncio.timeout(OPEN_TIMEOUT_S):
                await self._database.open()
                began_s = self._clock.monotonic_s()
                self._apply_membership(await self._database.beat(self._describe(), ()), began_s)
        except NotMemberError as error:
            self._record_exclusion(error)
        except (ClusterError, TimeoutError) as error:
            await self._record_failure(error)
        except Exception as error:
            log.exception("cluster: bug in the first heartbeat")
            await self._record_failure(error)

    def apply(self, monitors: tuple[MonitorSettings, ...], alerts: AlertSettings) -> None:
        """Apply a configuration. Its digests are computed with the next heartbeat."""
        self._configured, self._is_configuration_known = (monitors, alerts), False
        if self._is_ready:
            self._parts.host.repeat()

    async def run(self) -> None:
        """Run the tasks of the node until cancelled."""
        self._began_s = self._decided_all_at_s = self._clock.monotonic_s()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._repeat("heartbeat", self._beat, BEAT_EVERY_S))
            tasks.create_task(self._repeat("decisions", self._follow, 0.0))
            if self.hub is not None:
                tasks.create_task(self._repeat("deliveries", self._deliver, 0.0))
                tasks.create_task(self._repeat("reports", self.hub.step, 0.0))

    async def leave(self) -> None:
        """After `run` has ended: report the last votes, so that the other nodes take over the checks at once."""
        self._is_ready = False
        if self.hub is not None:
            self.hub.close()
        self._assignment.update(replace(self._assignment.membership, nodes=()))
        with contextlib.suppress(ClusterError, TimeoutError):
            async with asyncio.timeout(LEAVE_TIMEOUT_S):
                votes = self._parts.votes.take()
                await self._write(votes, self._parts.host.take())
                self._parts.votes.mark_reported(votes)
                await self._parts.interventions.write()

    async def close(self) -> None:
        """After the deliveries have ended: write their results, release the claims, and close the connections."""
        with contextlib.suppress(ClusterError, TimeoutError):
            async with asyncio.timeout(LEAVE_TIMEOUT_S):
                await self._delivering.release()
        await self._database.close()

    async def _repeat(self, task: str, step: Callable[[], Awaitable[None]], every_s: float) -> None:
        """Run a step repeatedly. An error is logged when it changes."""
        while True:
            began_s, pause_s = self._clock.monotonic_s(), 0.0
            try:
                await step()
                self._bugs.pop(task, None)
                self._failures.pop(task, None)
            except ClusterError as error:
                # The heartbeat reports a database that does not respond, so only an error that lasts is logged.
                self._failures[task] += 1
                if self._failures[task] == LOGGED_FAILURE and self._is_reached:
                    log.warning("cluster: %s: %s", task, error)
                pause_s = BEAT_EVERY_S
            except Exception as error:
                if self._bugs.get(task) != repr(error):
                    log.exception("cluster: bug in the %s", task)
                self._bugs[task], pause_s = repr(error), BUG_PAUSE_S
            await asyncio.sleep(max(pause_s, began_s + every_s - self._clock.monotonic_s(), 0.0))

    # -- heartbeat ----------------------------------------------------------------------------------------

    async def _beat(self) -> None:
        await self._update_configuration()
        if not self._is_ready and self._has_checked_all():
            self._is_ready = True
            # Until it was ready, this node did not replace the votes of other live nodes of its location.
            self._parts.votes.repeat(self._vote_of_location)
            self._parts.host.repeat()
        began_s = self._clock.monotonic_s()
        if self._is_reached and began_s - self._membership_at_s > LIVE_S:
            # This process did not run (SIGSTOP, suspend): another node has taken over, and its votes are newer.
            self._parts.votes.forget_all()
        votes, host = self._parts.votes.take(), self._parts.host.take()
        try:
            membership = await self._write(votes, host)
        except BaseException as error:
            self._parts.votes.put_back(votes)
            self._parts.host.put_back(host)
            if isinstance(error, NotMemberError):
                self._record_exclusion(error)
                return
            if isinstance(error, Exception):
                # After a bug as well: a node that cannot report must not stay silent.
                await self._record_failure(error)
            if isinstance(error, ClusterError):
                return
            raise
        self._parts.votes.mark_reported(votes)
        self._latency_s = self._clock.monotonic_s() - began_s
        was_away = self._failing_since_s is not None
        self._apply_membership(membership, began_s)
        if was_away or membership.was_stale:
            self._parts.votes.repeat(self._vote_of_location)
            self._parts.heartbeats.repeat()
            if self._is_ready:
                self._parts.host.repeat()
            self._own_monitors.forget()
        if self._parts.alone.is_active or self._parts.alone.changed:
            await self._rejoin()

    def _decision_lag_s(self) -> float:
        now_s = self._clock.monotonic_s()
        if not self._is_reached or now_s - self._membership_at_s > LIVE_S:
            return 0.0  # it could not decide, and will when the database has answered
        return max(now_s - self._decided_all_at_s, 0.0)

    async def _write(self, votes: Sequence[Vote], host: HostReport | None) -> Membership:
        """Write the heartbeat of the node with what it has to report. Raises ClusterError."""
        heartbeats = self._parts.heartbeats.take()
        try:
            membership = await self._database.beat(self._describe(), votes, host, heartbeats)
        except BaseException:
            self._parts.heartbeats.put_back(heartbeats)
            raise
        self._parts.heartbeats.mark_written(heartbeats)
        return membership

    async def _update_configuration(self) -> None:
        if self._configured is not None and not self._is_configuration_known:
            self._is_configuration_known = True
            sections = await configuration_digests(*self._configured)
            self._configuration, self._unwritten_sections = digest_of_all(sections), sections

    def _has_checked_all(self) -> bool:
        """Whether all monitors that this node checks have a result of this run, or a recent result."""
        now_s = self._clock.monotonic_s()
        return now_s - self._began_s >= READY_WITHIN_S or not any(
            self._is_awaited(self._entries[name], now_s) for name in self._assignment.checked_here()
        )

    def _is_awaited(self, entry: MonitorEntry, now_s: float) -> bool:
        state, cycle = entry.state, entry.cycle
        if state.pause is not None or state.last_started_at_s >= self._began_s:
            return False
        # A monitor that is checked rarely has a result of the previous run, and its next check is due later.
        is_due_later = cycle.stage is CycleStage.IDLE and cycle.due_at_s > now_s + FIRST_CHECK_WITHIN_S
        return state.last is None or not is_due_later

    def _describe(self) -> Node:
        if self._beats % COUNT_EVERY_BEATS == 0:
            self._checked_count = len(self._assignment.checked_here())
            self._has_shared_monitors = any(map(self._assignment.is_configured_here, self._entries))
            self._follows_decisions = any(map(self._assignment.is_shared_name, self._entries))
        self._beats += 1
        return Node(
            name=self._settings.node,
            location=self._settings.location,
            is_ready=self._is_ready,
            version=__version__,
            configuration=self._configuration,
            lateness_s=self._dispatcher.lateness.quantile_s(0.99),
            checked_monitors=self._checked_count,
            shares_checks=self.hub is not None or self._has_shared_monitors,
            decision_lag_s=self._decision_lag_s(),
            is_isolated=self._pipeline.isolation.is_isolated,
            follows_decisions=self.hub is not None or self._follows_decisions,
        )

    def _apply_membership(self, membership: Membership, began_s: float) -> None:
        """Apply the answer to a heartbeat that began at `began_s`: it may be old, if this process did not run."""
        now_s = self._clock.monotonic_s()
        before = self._assignment.membership
        if not self._is_reached or now_s - self._membership_at_s > LIVE_S:
            # The others may have had no time for a heartbeat since then, nor this node for its decisions.
            self._watching_since_s = self._decided_all_at_s = now_s
        self._membership_at_s, self._is_reached = began_s, True
        self._parts.heartbeats.note_membership(membership, began_s)
        if self._excluded_since_s is not None:
            if self._error is not None:
                log.log(NOTICE, "this node takes part in the cluster now")
            self._excluded_since_s = self._error = None
        if self._failing_since_s is not None:
            log.log(
                NOTICE,
                "%s of the cluster responds again after %s",
                "the database" if self.hub is not None else "a hub",
                format_duration(round(now_s - self._failing_since_s)),
                extra={"message_id": JournalEvent.CLUSTER_DATABASE_REGAINED.message_id},
            )
            self._failing_since_s = self._failing_since = self._error = None
            self._delivering.postpone_claims()
            if before.nodes:
                self._keep_shards_until_s = now_s + SETTLE_S
        # Removed nodes. A node that returns under its name reports its monitors again.
        for name in {node.name for node in before.nodes} - {node.name for node in membership.nodes}:
            self._host_monitors.pop(name, None)
        self._settling = observed(self._settling, membership.live_locations, now_s)
        self._divide_work(membership)
        if now_s >= self._keep_shards_until_s:
            self._log_nodes(membership)

    def _divide_work(self, membership: Membership) -> None:
        keeps_shards = self._clock.monotonic_s() < self._keep_shards_until_s
        moved = self._assignment.update(membership, keeps_shards=keeps_shards)
        if moved:
            self._parts.votes.forget([name for name in moved if not self._assignment.is_checked_here(name)])
            self._dispatcher.reassign(moved)
            self._beats = 0

    def _log_nodes(self, membership: Membership) -> None:
        """Log the nodes that have become live or have been lost since the last call."""
        before = self._logged_live
        self._logged_live = frozenset(membership.live_nodes())
        if before is None:
            return
        for node in membership.nodes:
            if node.name == self._settings.node or node.is_live is (node.name in before):
                continue
            fields = {"CLUSTER_NODE": node.name, "CLUSTER_LOCATION": node.location}
            if node.is_live:
                event = JournalEvent.CLUSTER_NODE_JOINED
                log.log(
                    NOTICE,
                    "node %s at %s is live",
                    node.name,
                    node.location,
                    extra={"message_id": event.message_id, "fields": fields},
                )
            else:
                event = JournalEvent.CLUSTER_NODE_LOST
                log.warning(
                    "node %s at %s %s",
                    node.name,
                    node.location,
                    "is not live: no heartbeat" if node.is_ready else "has stopped",
                    extra={"message_id": event.message_id, "fields": fields},
                )

    # -- failures of the database -------------------------------------------------------------------------

    def _record_exclusion(self, error: NotMemberError) -> None:
        """Record that only other nodes can use the tables, or that another live daemon has the name of this node.

        Until this has ended, this node does not take part, not even in alone mode: the cluster notifies.
        """
        now_s = self._clock.monotonic_s()
        self._settling, self._is_reached = observed(self._settling, None, now_s), False
        if self._excluded_since_s is None:
            self._excluded_since_s = now_s
        delay_s = CONFLICT_AFTER_S if isinstance(error, NodeNameError) else 0.0
        if now_s - self._excluded_since_s >= delay_s and self._error != str(error):
            self._error = str(error)
            log.error("this node does not take part in the cluster: %s", error)

    async def _record_failure(self, error: Exception) -> None:
        now_s, text = self._clock.monotonic_s(), str(error) or "timeout"
        self._settling, self._is_reached = observed(self._settling, None, now_s), False
        if self._failing_since_s is None:
            self._failing_since_s, self._failing_since = now_s, self._clock.now()
            log.error(
                "%s is unavailable; checks continue: %s",
                "the database of the cluster" if self.hub is not None else "every hub of the cluster",
                text,
                extra={"message_id": JournalEvent.CLUSTER_DATABASE_LOST.message_id},
            )
        self._error = text
        is_late = now_s - self._failing_since_s >= self._settings.alone_after_s
        if self._parts.alone.is_active:
            await self._alone.include_added()
        elif is_late:
            await self._begin_alone()

    async def _begin_alone(self) -> None:
        self._parts.claims.is_alone = True
        await self._alone.begin()
        async for name in in_turns(self._parts.heartbeats.subscribed):
            self._parts.heartbeats.call(name)
        self._delivering.resume_all()
        log.error(
            "alone: %s responded for %s, so this node decides and notifies by its own checks of %s",
            "the database of the cluster has not" if self.hub is not None else "no hub of the cluster has",
            format_duration(round(self._settings.alone_after_s)),
            counted(len(self._assignment.checked_here()), "shared monitor"),
            extra={"message_id": JournalEvent.CLUSTER_ALONE_BEGINS.message_id},
        )

    async def _rejoin(self) -> None:
        """End alone mode, or merge the alerts of a run that ended in alone mode. Raises ClusterError."""
        was_alone = self._parts.alone.is_active
        await self._alone.end()
        self._parts.claims.is_alone = False
        self._parts.claims.forget_all()
        await self._restore_states()
        if was_alone:
            log.log(
                NOTICE,
                "no longer alone: the cluster decides and notifies again",
                extra={"message_id": JournalEvent.CLUSTER_ALONE_ENDS.message_id},
            )

    def _is_online(self) -> bool:
        """Return whether the last heartbeat was written, and nothing is left to merge."""
        return self._is_reached and not self._parts.alone.is_active and not self._parts.alone.changed

    # -- decisions ----------------------------------------------------------------------------------------

    async def _follow(self) -> None:
        """Wait for changes, apply them, and decide the monitors that they concern. Regularly, decide all monitors."""
        if not self._is_online():
            await asyncio.sleep(FOLLOW_EVERY_S / 4)
            return
        await self._database.wait(FOLLOW_EVERY_S)
        if not self._is_online():
            return
        read_at, read_at_s = self._clock.now(), self._clock.monotonic_s()
        changes = await self._database.changes()
        changed = await self._apply_changes(changes)
        async for name in in_turns(self._parts.heartbeats.note(changes.heartbeats, read_at, read_at_s)):
            self._parts.heartbeats.call(name)
        now_s = self._clock.monotonic_s()
        decides_all = now_s >= self._decide_all_at_s
        if decides_all:
            await self._publish_monitors()
        self._divide_work(self._assignment.membership)
        if decides_all:
            await self._restore_states()
        await self._decisions.decide(None if decides_all else changed, self._observe_tally)
        if now_s >= self._evaluate_at_s:
            await self._decisions.evaluate(self._observe_tally)
            self._evaluate_at_s = now_s + EVALUATE_EVERY_S
        if decides_all:
            self._decided_all_at_s = now_s
            await self._decisions.close_removed()
            await self._withdraw_votes(now_s)
            await self._find_unknown_locations()
            self._decide_all_at_s = now_s + DECIDE_ALL_EVERY_S

    async def _publish_monitors(self) -> None:
        """Publish which shared monitors this node has, after a change. Raises ClusterError."""
        changed = await self._own_monitors.changed()
        try:
            await self._database.publish_monitors(self._settings.node, changed)
        except BaseException:
            self._own_monitors.forget()
            raise
        for shard in changed:
            self._assignment.note_monitors(shard)

    async def _find_unknown_locations(self) -> None:
        """Find and log configured locations without a node, which check and deliver nothing."""
        known = self._assignment.membership.known_locations
        monitors: dict[str, list[str]] = {}
        async for name, entry in in_turns(list(self._entries.items())):
            if self._assignment.is_shared(entry.monitor):
                for location in set(entry.monitor.settings.locations) - known:
                    monitors.setdefault(location, []).append(name)
        notifiers: dict[str, list[str]] = {}
        for notifier in self._alerts.settings.notifiers:
            for location in set(notifier.locations) - known:
                notifiers.setdefault(location, []).append(notifier.name)
        self._unknown_locations = tuple(
            UnknownLocation(location, tuple(monitors.get(location, ())), tuple(notifiers.get(location, ())))
            for location in sorted({*monitors, *notifiers})
        )
        if self._clock.monotonic_s() - self._began_s < WARN_ABOUT_LOCATIONS_AFTER_S:
            return
        for unknown in self._unknown_locations:
            if unknown.name not in self._warned_about:
                log.warning(
                    "no node of the cluster is at the location %s in `locations` of %s",
                    unknown.name,
                    users_of_location(unknown.monitors, len(unknown.monitors), unknown.notifiers),
                )
        self._warned_about = frozenset(unknown.name for unknown in self._unknown_locations)

    def _observe_tally(self, tally: Tally) -> bool:
        """Return whether the set of live locations in this snapshot is settled."""
        now_s = self._clock.monotonic_s()
        is_settled = self._settling.is_settled(tally.live_locations, now_s)
        self._settling = observed(self._settling, tally.live_locations, now_s)
        return is_settled

    async def _apply_changes(  # noqa: C901 - a loop for each kind of rows
        self, changes: Changes
    ) -> frozenset[str]:
        """Apply the changes of other nodes, and return the monitors with another vote or decision."""
        changed: set[str] = set()
        async for decision in in_turns(changes.decisions):
            if self._apply_decision(decision):
                changed.add(decision.monitor)
        async for vote in in_turns(changes.votes):
            votes = self._votes.get(vote.monitor, {})
            if votes.get(vote.location) != vote:
                # Replaced, not edited: readers of the view recognize a change by the object.
                self._votes[vote.monitor] = {**votes, vote.location: vote}
                changed.add(vote.monitor)
                self._apply_vote(vote)
                self._note_for_agents(vote)
        async for monitor in in_turns(changes.host_monitors):
            self._host_revision += 1
            of_node = self._host_monitors.setdefault(monitor.node, {})
            if monitor.state is None:
                of_node.pop(monitor.monitor, None)
            else:
                of_node[monitor.monitor] = monitor
        for shard in changes.node_shards:
            if shard.node != self._settings.node:
                self._assignment.note_monitors(shard)
        async for intervention in in_turns(changes.interventions):
            self._note_for_agents(intervention)
            if not self._parts.interventions.is_outdated(intervention):
                self._parts.interventions.note(intervention)
                self._intervene(intervention)
        return frozenset(changed)

    def _intervene(self, intervention: Intervention) -> None:
        try:
            self._apply_intervention(intervention)
        except Exception:
            log.exception("the %s of %s failed", intervention.kind.value, intervention.key)

    def _apply_decision(self, decision: ClusterDecision) -> bool:
        """Apply a decision; False if it is not newer than the known one."""
        if not self._decisions.note(decision):
            return False
        self._note_for_agents(decision)
        entry = self._entries.get(decision.monitor)
        if entry is not None and self._assignment.is_shared(entry.monitor) and self._is_online():
            self._set_state(entry, decision)
        if decision.alert is None:
            self._alone.close_left(decision)
        self._parts.claims.has_work.set()
        if decision.state is State.PENDING:
            self._parts.heartbeats.forget(decision.monitor)
        return True

    def _set_state(self, entry: MonitorEntry, decision: ClusterDecision) -> None:
        self._pipeline.set_cluster_state(
            entry,
            ClusterState(
                decision.state,
                decision.since,
                decision.reason,
                decision.detail,
                decision.version,
                decision.is_flapping,
            ),
        )

    def _apply_vote(self, vote: Vote) -> None:
        """Continue from the vote of another node of this location, until this node has a result of its own."""
        if vote.location != self._settings.location or vote.node == self._settings.node:
            return
        self._parts.votes.correct(vote)
        entry = self._entries.get(vote.monitor)
        if entry is None or vote.state not in CONCLUSIVE or not self._assignment.is_shared(entry.monitor):
            return
        # A monitor on which others depend is checked here although this node has no vote on it.
        if not entry.is_checked_here or entry.state.last_started_at_s < self._began_s:
            self._pipeline.set_local_state(entry, vote.state, vote.since)

    def _vote_of_location(self, monitor: str) -> Vote | None:
        return self._votes.get(monitor, {}).get(self._settings.location)

    async def _restore_states(self) -> None:
        """Apply the known decisions to monitors that were added since, or that this node has decided alone."""
        async for intervention in in_turns(self._parts.interventions.newest(InterventionKind.PAUSE)):
            self._intervene(intervention)
        shared = []
        async for name, entry in in_turns(list(self._entries.items())):
            if not self._assignment.is_shared(entry.monitor):
                continue
            shared.append(name)
            known, cluster = self._decisions.known.get(name), entry.state.cluster
            if known is not None and (
                cluster is None
                or (cluster.version, cluster.state) != (known.decision.version, known.decision.state)
            ):
                self._set_state(entry, known.decision)
            elif cluster is None:
                self._pipeline.set_cluster_state(
                    entry, ClusterState(entry.state.local_state, entry.state.effective_since)
                )
            vote = self._vote_of_location(name)
            if vote is not None and cluster is not None and not cluster.version:
                self._apply_vote(vote)
        if len(shared) != len(self._shared) or not self._shared.issuperset(shared):
            self._shared = frozenset(shared)
        # After the states, which open the incidents.
        async for intervention in in_turns(
            self._parts.interventions.newest(InterventionKind.ACKNOWLEDGEMENT)
        ):
            self._intervene(intervention)

    def _live_votes(self, monitor: str) -> Sequence[Vote]:
        live = self._assignment.membership.live_locations
        return [
            vote
            for vote in self._votes.get(monitor, {}).values()
            if vote.state in CONCLUSIVE and vote.location in live
        ]

    async def _withdraw_votes(self, now_s: float) -> None:
        """Withdraw the votes of this location on monitors that it no longer checks, and forget votes that have ended.

        A monitor may have been removed while its node was stopped. After a start, a source may find its monitors late.
        The votes on a renamed monitor count until the first decision under its new name.
        """
        known = self._decisions.known
        # The others of this location, which may have the monitor.
        live = set(self._assignment.membership.checking_nodes(self._settings.location)) - {
            self._settings.node
        }
        renamed = {
            entry.monitor.settings.renamed_from
            async for name, entry in in_turns(list(self._entries.items()))
            if name not in known
        }
        async for name, votes in in_turns(list(self._votes.items())):
            if self._assignment.is_configured_here(name):
                self._absent_since_s.pop(name, None)
                continue
            absent_s = now_s - self._absent_since_s.setdefault(name, now_s)
            is_over = absent_s >= (RENAME_WITHIN_S if name in renamed else REMOVE_AFTER_S)
            own = votes.get(self._settings.location)
            if (
                own is not None
                and own.state in CONCLUSIVE
                and is_over
                and self._assignment.is_own_shard(name)
                and not live.intersection(self._assignment.nodes_with(name))
            ):
                self._parts.votes.withdraw(own)
            if name not in self._shared and not any(vote.state in CONCLUSIVE for vote in votes.values()):
                del self._votes[name], self._absent_since_s[name]
                if self.hub is not None:
                    self.hub.feed.forget(name)

    # -- deliveries ---------------------------------------------------------------------------------------

    async def _deliver(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(DELIVER_EVERY_S):
                await self._parts.claims.has_work.wait()
        self._parts.claims.has_work.clear()
        if self._is_online():
            await self._parts.interventions.write()
            await self._share_link_key()
            await self._delivering.step()
            await self._maintain()

    async def _share_link_key(self) -> None:
        """Take the key of action links from the database before messages with links are sent."""
        now_s = self._clock.monotonic_s()
        if now_s >= self._read_link_key_at_s and self._alerts.has_links:
            if (key := await self._database.link_key()) is not None:
                await self._alerts.share_link_key(key)
            self._read_link_key_at_s = now_s + LINK_KEY_EVERY_S

    async def _maintain(self) -> None:
        """Write the digests of the configuration, and read the overview for clients. One node deletes old rows."""
        now_s = self._clock.monotonic_s()
        if self._unwritten_sections is not None:
            sections = self._unwritten_sections
            await self._database.write_configuration(self._settings.node, self._configuration, sections)
            if self._unwritten_sections is sections:
                self._unwritten_sections = None
        if now_s >= self._read_overview_at_s:
            self._read_overview_at_s = now_s + OVERVIEW_EVERY_S
            self._overview = await self._database.overview(self._settings.node)
            # In a database that was restored from a backup, they are old.
            if self._overview.configuration != self._configuration and self._unwritten_sections is None:
                self._is_configuration_known = False
            await self._compare_configurations()
        if PRUNING_SHARD in self._assignment.decided_shards and now_s >= self._prune_at_s:
            is_done = await self._database.prune(KEEP_DAYS) == 0
            self._prune_at_s = now_s + (PRUNE_EVERY_S if is_done else 0.0)

    async def _compare_configurations(self) -> None:
        """Read the differences between the nodes, until they are known of all nodes."""
        members = self._assignment.membership.nodes
        nodes = [node for node in members if node.is_recent and node.role is Role.NODE]
        compared = frozenset((node.name, node.configuration) for node in nodes)
        differing = {node.name for node in nodes if node.configuration != self._configuration}
        if not differing:
            self._differing_since_s, self._differences, self._compared = None, {}, frozenset()
            return
        if self._differing_since_s is None:
            self._differing_since_s = self._clock.monotonic_s()
        if compared != self._compared:
            self._differences = await self._database.differences(self._settings.node)
            if differing.issubset(self._differences):
                self._compared = compared

    # -- view ---------------------------------------------------------------------------------------------

    def facts(self) -> ClusterFacts:
        """Return what monitors of the type `cluster` evaluate."""
        now_s, nodes = self._clock.monotonic_s(), self._assignment.membership.nodes
        age_s = now_s - self._membership_at_s
        return ClusterFacts(
            nodes=tuple(
                NodeFacts(
                    node.name,
                    node.location,
                    is_live=node.is_live,
                    heartbeat_age_s=node.seen_ago_s + age_s,
                    unseen_s=min(node.seen_ago_s + age_s, now_s - self._watching_since_s),
                    configuration=node.configuration if node.role is Role.NODE else None,
                    clock_offset_s=node.time_offset_s,
                    decision_lag_s=node.decision_lag_s,
                    is_isolated=node.is_isolated,
                )
                for node in nodes
            ),
            watched_s=now_s - self._watching_since_s,
            database_latency_s=self._latency_s if self._is_reached else None,
            unavailable_since=self._failing_since,
            error=self._error or "",
            is_alone=self._parts.alone.is_active,
            differing_s=0.0 if self._differing_since_s is None else now_s - self._differing_since_s,
        )

    def view(self) -> ClusterView:
        """Return the current view of this node, from memory."""
        now_s = self._clock.monotonic_s()
        return ClusterView(
            node=self._settings.node,
            location=self._settings.location,
            membership=self._assignment.membership,
            membership_age_s=now_s - self._membership_at_s,
            membership_at=self._clock.now() - timedelta(seconds=now_s - self._membership_at_s),
            is_settled=self._settling.is_settled(self._assignment.membership.live_locations, now_s),
            alone_since=self._parts.alone.since,
            votes=self._votes,
            host_monitors=self._host_monitors,
            host_revision=self._host_revision,
            shared=self._shared,
            unknown_locations=self._unknown_locations,
            differences=self._differences,
            database=DatabaseView(
                is_available=self._is_reached,
                error=self._error,
                unavailable_since=self._failing_since,
                latency_s=self._latency_s,
                server_version=None if self._overview is None else self._overview.server_version,
                schema_version=None if self._overview is None else self._overview.schema_version,
                queued_notifications=None if self._overview is None else self._overview.undelivered,
            ),
            counters=ClusterCounters(
                decisions=self._decisions.won_count,
                decisions_lost=self._decisions.lost_count,
                notifications_claimed=self._parts.claims.claimed_count,
            ),
            reports=ReportCounters() if self.hub is None else self.hub.counters,
            agent=None
            if self._parts.agent is None
            else self._parts.agent.view(
                self._parts.votes.spooled_count, self._parts.heartbeats.spooled_count
            ),
        )
