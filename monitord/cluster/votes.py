"""The votes of this node: the sink that queues them for the next heartbeat."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from datetime import datetime

from monitord.clock import Clock
from monitord.cluster.assignment import Assignment
from monitord.cluster.model import CONCLUSIVE, Vote
from monitord.cluster.spool import VoteSpool
from monitord.dispatch.entry import MonitorEntry
from monitord.dispatch.sink import Sink
from monitord.model import Reason, Result, State, Transition, Verdict
from monitord.text import shortened

MAX_DETAIL_CHARACTERS = 1000
MAX_EXCERPT_CHARACTERS = 500
"""As in notifications."""
_CONFIRMS = {
    State.UP: Verdict.PASS,
    State.DEGRADED: Verdict.WARN,
    State.DOWN: Verdict.FAIL,
    State.UNREACHABLE: Verdict.FAIL,
}


class VoteSink(Sink):
    """Queues a vote when the state of a shared monitor that this node checks has changed at this location.

    The queue has the newest vote of each monitor. A state that follows from an earlier run, from the vote of another
    node or from the time before an isolation is no vote: a check of this node that agrees with it comes first. So the
    first failure after a start or an isolation, which is not confirmed yet, is no vote for the state before.
    """

    def __init__(self, assignment: Assignment, clock: Clock, spool: VoteSpool | None = None) -> None:
        """`spool`: stores changes of votes until they are reported. Those of an earlier run are queued."""
        self._assignment = assignment
        self._clock = clock
        self._spool = spool
        self._voted: dict[str, Vote] = {}  # the last vote on each monitor that this node checks
        self._queued: dict[str, Vote] = {} if spool is None else dict(spool.votes)
        # The start of the last check that has confirmed each of these votes.
        self._checked_at: dict[str, datetime] = {}
        # The states of newer votes of other nodes, until the next check of this node.
        self._replaced: dict[str, State] = {}

    def on_result(self, entry: MonitorEntry, result: Result) -> None:
        voted, state = self._voted.get(entry.name), _state_of(entry)
        if voted is not None and _is_confirmed(None, state, result):
            self._checked_at[entry.name] = result.observation.started_at
            replaced = self._replaced.pop(entry.name, state) if self._replaced else state
            if replaced is not state and self._assignment.is_checked_here(entry.name):
                self._queue(entry)
                return
        if state is State.PENDING or (voted is not None and voted.state is state):
            return
        if not _is_confirmed(voted, state, result):
            return
        if self._assignment.is_shared(entry.monitor) and self._assignment.is_checked_here(entry.name):
            self._queue(entry)

    def on_update(self, entry: MonitorEntry) -> None:
        # A failure that was held is confirmed without a check.
        voted, state = self._voted.get(entry.name), _state_of(entry)
        if voted is None or voted.state is state:
            return
        if _is_confirmed(voted, state, entry.state.last):
            self._queue(entry)

    def on_transition(self, entry: MonitorEntry, transition: Transition) -> None:
        del transition
        self.on_update(entry)

    def on_renamed(self, old: str, entry: MonitorEntry) -> None:
        # The vote under the previous name counts until the first decision under the new name.
        del entry
        self.forget([old])

    def on_removed(self, entry: MonitorEntry) -> None:
        self._end(entry.name)

    def take(self) -> Sequence[Vote]:
        """Return the queued votes, and empty the queue."""
        votes = list(self._queued.values())
        self._queued.clear()
        return votes

    def put_back(self, votes: Sequence[Vote]) -> None:
        """Queue votes again that could not be reported, unless there are newer votes."""
        for vote in votes:
            self._queued.setdefault(vote.monitor, vote)

    def mark_reported(self, votes: Sequence[Vote]) -> None:
        """Votes that were taken have been reported."""
        if self._spool is not None:
            self._spool.mark_reported(votes)

    @property
    def spooled_count(self) -> int:
        """The number of votes that are stored until they are reported."""
        return 0 if self._spool is None else len(self._spool.votes)

    def forget(self, monitors: Collection[str]) -> None:
        """Drop the votes on monitors that this node no longer checks."""
        if self._spool is not None:
            self._spool.drop(monitors)
        for name in monitors:
            self._voted.pop(name, None)
            self._queued.pop(name, None)
            self._checked_at.pop(name, None)
            self._replaced.pop(name, None)

    def correct(self, vote: Vote) -> None:
        """Queue the last vote of this node again if another node of the location has replaced it by another state.

        After a failure of the database or a start, two nodes can check the same monitor for a short time, and the older
        vote can arrive last. If the other vote is newer, the next check of this node decides.
        """
        voted = self._voted.get(vote.monitor)
        if voted is None or voted.state is vote.state:
            self._replaced.pop(vote.monitor, None)
        elif self._is_newer(vote):
            self._replaced[vote.monitor] = vote.state
        else:
            self._queue_again(voted)

    def _queue_again(self, voted: Vote) -> None:
        """Queue a vote with the time of the last check, which has agreed with it, unless there is a newer vote."""
        checked_at = self._checked_at.get(voted.monitor, voted.checked_at)
        self._queued.setdefault(voted.monitor, replace(voted, checked_at=checked_at))

    def _is_newer(self, vote: Vote) -> bool:
        """Whether a vote of another node is from a later check than the last check of this node."""
        checked_at = self._checked_at.get(vote.monitor)
        return checked_at is not None and vote.checked_at > checked_at

    def withdraw(self, vote: Vote) -> None:
        """Queue the end of a vote on a monitor that is no longer checked at this location."""
        self._queued.setdefault(
            vote.monitor,
            replace(vote, state=State.PENDING, node=self._assignment.node, checked_at=self._clock.now()),
        )

    def forget_all(self) -> None:
        """Drop all votes, as after a suspension of this process. Each counts again when a check agrees with it."""
        if self._spool is not None:
            self._spool.drop(list(self._spool.votes))
        self._voted.clear()
        self._queued.clear()
        self._checked_at.clear()
        self._replaced.clear()

    def repeat(self, known: Callable[[str], Vote | None]) -> None:
        """Queue the votes on all monitors that this node has checked.

        `known` returns the last known vote of this location on a monitor. A newer vote of another node is kept until
        the next check.
        """
        for name, voted in self._voted.items():
            other = known(name)
            if other is not None and other.node != voted.node and self._is_newer(other):
                if other.state is not voted.state:
                    self._replaced[name] = other.state
            else:
                self._queue_again(voted)

    def _queue(self, entry: MonitorEntry) -> None:
        vote = self._voted[entry.name] = self._queued[entry.name] = self._vote(entry)
        self._checked_at[entry.name] = vote.checked_at
        if self._spool is not None:
            self._spool.put(vote)

    def _end(self, monitor: str) -> None:
        voted = self._voted.pop(monitor, None)
        self._checked_at.pop(monitor, None)
        self._replaced.pop(monitor, None)
        if voted is not None:
            # It is not conclusive, so it replaces the last vote and is not counted.
            vote = replace(voted, state=State.PENDING, checked_at=self._clock.now())
            self._queued[monitor] = vote
            if self._spool is not None:
                self._spool.put(vote)

    def _vote(self, entry: MonitorEntry) -> Vote:
        last, now, state = entry.state.last, self._clock.now(), _state_of(entry)
        observation = None if last is None else last.observation
        is_known = state is entry.state.health.state
        return Vote(
            monitor=entry.name,
            location=self._assignment.location,
            state=state,
            since=(entry.state.health.since if is_known else None) or now,
            reason=Reason.OK if observation is None else observation.reason,
            detail="" if observation is None else observation.detail[:MAX_DETAIL_CHARACTERS],
            excerpt=""
            if observation is None
            else shortened(observation.excerpt or "", MAX_EXCERPT_CHARACTERS),
            node=self._assignment.node,
            checked_at=now if observation is None else observation.started_at,
        )


def _is_confirmed(voted: Vote | None, state: State, last: Result | None) -> bool:
    """Whether a state is a vote: after a conclusive vote always, otherwise if the last check agrees with it."""
    if (voted is not None and voted.state in CONCLUSIVE) or state not in _CONFIRMS:
        return True
    return last is not None and last.verdict is _CONFIRMS[state]


def _state_of(entry: MonitorEntry) -> State:
    """Return the state at this location.

    While it is isolated, the state is unknown at once, not after three intervals.
    """
    last = entry.state.last
    is_isolated = last is not None and last.observation.reason is Reason.PROBER_ISOLATED
    return State.UNKNOWN if is_isolated else entry.state.local_state
