"""The table of states; soft and confirmed failures as the soft and hard states of Icinga 2.

| now             | verdict                               | then                                                   |
|-----------------|---------------------------------------|--------------------------------------------------------|
| pending         | pass / warn                           | up / degraded                                          |
| pending, up,    | n-th consecutive fail, n < fail_after | as before, soft failure n; next check after            |
|   or degraded   |                                       |   retry_every                                          |
| pending, up,    | fail, n = fail_after                  | down, since the first of the n failures                |
|   or degraded   |                                       |                                                        |
| pending, up,    | fail, n >= fail_after, but a parent   | as before, soft, until the parent's state is known     |
|   or degraded   |   fails softly or was not checked yet |                                                        |
| pending, up,    | fail, n = fail_after, a parent is     | unreachable, since the first of the n failures         |
|   or degraded   |   down                                |                                                        |
| unreachable     | fail, a parent is down                | as before                                              |
| unreachable     | n-th consecutive fail since no parent | down                                                   |
|                 |   is down, n = fail_after             |                                                        |
| unreachable     | n-th consecutive pass or warn,        | up or degraded                                         |
|                 |   n = recover_after                   |                                                        |
| soft failure    | pass or warn                          | as before, recovered by retry: no transition           |
| down            | n-th consecutive pass or warn,        | up or degraded                                         |
|                 |   n = recover_after                   |                                                        |
| up              | n-th consecutive warn,                | degraded, since the first of the n                     |
|                 |   n = degrade_after                   |                                                        |
| degraded        | n-th consecutive pass,                | up                                                     |
|                 |   n = recover_after                   |                                                        |
| any             | inconclusive                          | as before; streaks do not change                       |

A transition that is not in the table cannot happen. Flapping, incidents and isolation have modules of their own.
"""

from dataclasses import dataclass, replace
from datetime import datetime

from monitord.health.dependencies import ParentState
from monitord.health.flapping import Flapping
from monitord.model import State, Verdict


@dataclass(frozen=True, slots=True)
class HealthPolicy:
    """The numbers of consecutive verdicts that change the state, at least 1, and whether flapping is detected."""

    fail_after: int = 2
    recover_after: int = 1
    degrade_after: int = 2
    detects_flapping: bool = True


@dataclass(frozen=True, slots=True)
class HealthState:
    """The state of a monitor by its verdicts. A streak counts conclusive verdicts; `streak_since`: its beginning."""

    state: State = State.PENDING
    since: datetime | None = None
    streak: Verdict | None = None
    streak_length: int = 0
    streak_since: datetime | None = None
    flapping: Flapping = Flapping()  # noqa: RUF009 - frozen

    @property
    def is_soft(self) -> bool:
        """Whether there are failures that are not confirmed: the next check is due after `retry_every`."""
        return self.streak is Verdict.FAIL and self.state is not State.DOWN


@dataclass(frozen=True, slots=True)
class Step:
    """The effect of a verdict. `changed`: the state has changed. `recovered_by_retry`: a soft failure has ended."""

    health: HealthState
    changed: bool = False
    recovered_by_retry: bool = False


def advance(
    health: HealthState,
    verdict: Verdict,
    at: datetime,
    policy: HealthPolicy,
    parent_state: ParentState = ParentState.AVAILABLE,
) -> Step:
    """Apply the verdict of a check that started `at`."""
    if verdict is Verdict.INCONCLUSIVE:
        return Step(health)
    flapping = health.flapping
    if policy.detects_flapping:
        flapping = flapping.after(verdict)
    elif flapping.is_flapping:
        flapping = Flapping()
    if health.state is State.UNREACHABLE and verdict is Verdict.FAIL and parent_state is ParentState.DOWN:
        return Step(without_streak(replace(health, flapping=flapping)))
    is_down = health.state is State.DOWN or health.state is State.UNREACHABLE
    # While a monitor is down, pass and warn both count towards recovery, in any mixture.
    recovers = is_down and health.streak in _PASSES and verdict in _PASSES
    if health.streak is verdict or recovers:
        length, streak_since = health.streak_length, health.streak_since
    else:
        length, streak_since = 0, at
    counted = HealthState(health.state, health.since, verdict, length + 1, streak_since, flapping)
    after = _state_after(counted, policy, parent_state)
    if after is not counted:
        return Step(after, changed=True)
    return Step(after, recovered_by_retry=health.is_soft and verdict is not Verdict.FAIL)


def confirm(
    health: HealthState, policy: HealthPolicy, parent_state: ParentState = ParentState.AVAILABLE
) -> HealthState:
    """Apply failures that were held because `parent_state` was FAILING; the same state if there are none."""
    return _state_after(health, policy, parent_state) if health.is_soft else health


def without_streak(health: HealthState) -> HealthState:
    """Discard the streak; the state remains."""
    return replace(health, streak=None, streak_length=0, streak_since=None)


_PASSES = (Verdict.PASS, Verdict.WARN)


def _state_after(health: HealthState, policy: HealthPolicy, parent_state: ParentState) -> HealthState:
    now, since, length = health.state, health.since, health.streak_length
    state = now
    if health.streak is Verdict.FAIL:
        is_confirmed = now is not State.DOWN and length >= policy.fail_after
        if is_confirmed and parent_state is not ParentState.FAILING:
            state = State.UNREACHABLE if parent_state is ParentState.DOWN else State.DOWN
            since = health.streak_since
    elif health.streak is not None:
        needed = policy.degrade_after if now is State.UP else policy.recover_after
        if now is State.PENDING or length >= needed:
            state = State.UP if health.streak is Verdict.PASS else State.DEGRADED
            since = health.streak_since
    if state is now:
        return health
    if state is State.UNREACHABLE:
        # Failures behind a parent that is down prove nothing: later failures are counted from 1.
        health = without_streak(health)
    return replace(health, state=state, since=since)
