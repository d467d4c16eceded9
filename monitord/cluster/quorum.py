"""The decision that follows from the votes of the locations: `decide`, a pure function.

| quorum     | needed for a problem                  | needed for up             |
|------------|---------------------------------------|---------------------------|
| `majority` | voters // 2 + 1                       | the same                  |
| `any`      | 1                                     | all voters                |
| `all`      | all voters                            | 1                         |
| N          | N, at most all voters                 | voters - needed + 1       |

The decision is the most severe state, other than up, such that enough votes are at least as severe. Otherwise it is up
if enough votes are up, and between the two it does not change.

| votes (majority)                  | decision    |
|-----------------------------------|-------------|
| down, down, up                    | down        |
| down, degraded, up                | degraded    |
| down, unreachable, up             | unreachable |
| down, up                          | unchanged   |
| up, up, down                      | up          |
"""

from collections import Counter
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta

from monitord.cluster.model import CONCLUSIVE, Candidate, ClusterDecision, Quorum, Tally, Vote
from monitord.model import State
from monitord.text import joined

SEVERITIES = (State.UP, State.DEGRADED, State.UNREACHABLE, State.DOWN)
"""In ascending order."""

# The id of an alert is derived from the milliseconds of `since`, in floats: two decisions must not share them.
_STEP = timedelta(milliseconds=2)


def needed(quorum: Quorum, voters: int) -> tuple[int, int]:
    """Return how many votes a problem needs and how many `up` needs, of at least one voter."""
    match quorum:
        case "majority":
            return voters // 2 + 1, voters // 2 + 1
        case "any":
            problem = 1
        case "all":
            problem = voters
        case _:
            problem = min(quorum, voters)
    return problem, voters - problem + 1


def decided_state(states: Collection[State], voters: int, quorum: Quorum) -> State | None:
    """Return the state that follows from the votes; None: neither side has enough votes.

    `voters` also includes locations that are known, but not live.
    """
    for_problem, for_up = needed(quorum, max(voters, 1))
    for severity in range(len(SEVERITIES) - 1, 0, -1):
        if sum(SEVERITIES.index(state) >= severity for state in states) >= for_problem:
            return SEVERITIES[severity]
    return State.UP if sum(state is State.UP for state in states) >= for_up else None


def decide(
    candidate: Candidate,
    tally: Tally,
    quorum: Quorum,
    locations: Collection[str] | None,
    now: datetime,
    *,
    is_settled: bool,
) -> ClusterDecision | None:
    """Return the next decision, with alert and flapping of the current decision; None if the state does not change.

    `locations` are to check the monitor; None: all locations. Those of them with a vote are voters. While the live
    locations are not settled, all known locations are voters, so that a node that sees only some of them decides
    nothing.
    """
    votes = [
        vote
        for vote in candidate.votes
        if vote.state in CONCLUSIVE and (locations is None or vote.location in locations)
    ]
    known = tally.known_locations if locations is None else tally.known_locations.intersection(locations)
    voters = len(votes) if is_settled else max(len(known), len(votes))
    state = decided_state([vote.state for vote in votes], voters, quorum)
    before = candidate.decision
    if state is None or (before is not None and before.state is state):
        return None
    supporting = sorted(
        (vote for vote in votes if _supports(vote.state, state)), key=lambda vote: (vote.since, vote.location)
    )
    for_problem, for_up = needed(quorum, voters)
    # The time of the vote that completed the quorum is the same on every node, for any order of the votes.
    since = supporting[(for_up if state is State.UP else for_problem) - 1].since
    if before is not None and since < before.since + _STEP:
        # The votes are older than the previous decision: they count since now, because the voters have changed, or
        # because a node that did not see the previous state has replaced a vote.
        since = max(now, before.since + _STEP)
    # After the clock was set back, or if another node whose clock is fast has made the previous decision, a beginning
    # in the future would delay the notifications.
    since = min(since, now)
    shown = _representative(supporting, state)
    return ClusterDecision(
        candidate.monitor,
        state,
        since,
        shown.reason,
        _detail(shown, votes),
        version=1 if before is None else before.version + 1,
        alert=None if before is None else before.alert,
        changes=() if before is None or before.state is State.PENDING else (*before.changes, since),
        is_flapping=before is not None and before.is_flapping,
        counted_at=tally.counted_at,
    )


def _supports(vote: State, state: State) -> bool:
    return vote is state if state is State.UP else SEVERITIES.index(vote) >= SEVERITIES.index(state)


def _representative(supporting: Sequence[Vote], state: State) -> Vote:
    """Return the vote whose reason most locations have; the oldest of them."""
    same = [vote for vote in supporting if vote.state is state] or supporting
    counts = Counter(vote.reason for vote in same)
    return max(same, key=lambda vote: counts[vote.reason])


def _detail(shown: Vote, votes: Sequence[Vote]) -> str:
    """ "connection refused; down at fra and hel, up at nyc"."""
    groups = []
    for state in reversed(SEVERITIES):
        locations = sorted(vote.location for vote in votes if vote.state is state)
        if locations:
            groups.append(f"{state.value} at {joined(locations)}")
    summary = ", ".join(groups)
    return f"{shown.detail}; {summary}" if shown.detail else summary
