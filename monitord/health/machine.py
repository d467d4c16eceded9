"""The table of states; soft and confirmed failures as the soft and hard states of Icinga 2.

| now             | verdict                               | then                                                   |
|-----------------|---------------------------------------|--------------------------------------------------------|
| pending         | pass / warn                           | up / degraded                                          |
| pending, up,    | fail, n-th in a row, n < fail_after   | as before, soft failure n; next check after            |
|   or degraded   |                                       |   retry_every                                          |
| pending, up,    | fail, n = fail_after                  | down, since the first of the n failures                |
|   or degraded   |                                       |                                                        |
| pending, up,    | fail, n >= fail_after, but a parent   | as before, soft, until the parent's state is known     |
|   or degraded   |   fails softly or was not checked yet |                                                        |
| pending, up,    | fail, n = fail_after, a parent is     | unreachable, since the first of the n failures         |
|   or degraded   |   down                                |                                                        |
| unreachable     | fail, a parent is down                | as before                                              |
| unreachable     | fail, n-th in a row since no parent   | down                                                   |
|                 |   is down, n = fail_after             |                                                        |
| unreachable     | pass or warn, n-th in a row,          | up or degraded                                         |
|                 |   n = recover_after                   |                                                        |
| soft failure    | pass or warn                          | as before, recovered by retry: no transition           |
| down            | pass or warn, n-th in a row,          | up or degraded                                         |
|                 |   n = recover_after                   |                                                        |
| up              | warn, n-th in a row,                  | degraded, since the first of the n                     |
|                 |   n = degrade_after                   |                                                        |
| degraded        | pass, n-th in a row,                  | up                                                     |
|                 |   n = recover_after                   |                                                        |
| any             | inconclusive                          | as before; streaks do not change                       |

What is not in the table cannot happen. Flapping, incidents and isolation have modules of their own.
"""

from dataclasses import dataclass, replace
from datetime import datetime

from monitord.health.dependencies import Parents
from monitord.health.flapping import Flapping
from monitord.model import State, Verdict


@dataclass(frozen=True, slots=True)
class HealthPolicy:
    """How many consecutive verdicts change the state, each at least 1, and whether flapping is detected."""

    fail_after: int = 2
    recover_after: int = 1
    degrade_after: int = 2
    detects_flapping: bool = True


@dataclass(frozen=True, slots=True)
class HealthState:
    """The state of a monitor by its verdicts. A streak counts conclusive verdicts; `streak_since`: its beginning."""

    health: State = State.PENDING
    since: datetime | None = None
    streak: Verdict | None = None
    streak_length: int = 0
    streak_since: datetime | None = None
    flapping: Flapping = Flapping()  # noqa: RUF009 - frozen

    @property
    def is_soft(self) -> bool:
        """Whether there are failures that are not confirmed: the next check is due after `retry_every`."""
        return self.streak is Verdict.FAIL and self.health is not State.DOWN


@dataclass(frozen=True, slots=True)
class Step:
    """The effect of a verdict. `changed`: the state is another one. `recovered_by_retry`: a soft failure has ended."""

    state: HealthState
    changed: bool = False
    recovered_by_retry: bool = False


def advance(
    state: HealthState,
    verdict: Verdict,
    at: datetime,
    policy: HealthPolicy,
    parents: Parents = Parents.WELL,
) -> Step:
    """Apply the verdict of a check that started `at`."""
    if verdict is Verdict.INCONCLUSIVE:
        return Step(state)
    flapping = state.flapping
    if policy.detects_flapping:
        flapping = flapping.after(verdict)
    elif flapping.is_flapping:
        flapping = Flapping()
    if state.health is State.UNREACHABLE and verdict is Verdict.FAIL and parents is Parents.DOWN:
        return Step(without_streak(replace(state, flapping=flapping)))
    length, streak_since = (
        (state.streak_length, state.streak_since) if _continues(state, verdict) else (0, at)
    )
    counted = replace(
        state, flapping=flapping, streak=verdict, streak_length=length + 1, streak_since=streak_since
    )
    after = _judged(counted, policy, parents)
    if after is not counted:
        return Step(after, changed=True)
    return Step(after, recovered_by_retry=state.is_soft and verdict is not Verdict.FAIL)


def confirm(state: HealthState, policy: HealthPolicy, parents: Parents = Parents.WELL) -> HealthState:
    """Apply failures that were held because `parents` was FAILING; the same state if there are none."""
    return _judged(state, policy, parents) if state.is_soft else state


def without_streak(state: HealthState) -> HealthState:
    """Discard the streak; the state remains."""
    return replace(state, streak=None, streak_length=0, streak_since=None)


def _continues(state: HealthState, verdict: Verdict) -> bool:
    """Whether the verdict extends the streak."""
    if state.streak is verdict:
        return True
    # While a monitor is down, pass and warn both count towards recovery, in any mixture.
    is_down = state.health is State.DOWN or state.health is State.UNREACHABLE
    return is_down and state.streak in _ANSWERS and verdict in _ANSWERS


_ANSWERS = (Verdict.PASS, Verdict.WARN)


def _judged(state: HealthState, policy: HealthPolicy, parents: Parents) -> HealthState:
    health, since = _judge(state, policy, parents)
    if health is state.health:
        return state
    if health is State.UNREACHABLE:
        # Failures behind a parent that is down prove nothing: later ones are counted from 1.
        state = without_streak(state)
    return replace(state, health=health, since=since)


def _judge(state: HealthState, policy: HealthPolicy, parents: Parents) -> tuple[State, datetime | None]:
    """The state that follows from the streak, and its beginning."""
    now, streak, length = state.health, state.streak, state.streak_length
    if streak is Verdict.FAIL:
        is_confirmed = now is not State.DOWN and length >= policy.fail_after
        if not is_confirmed or parents is Parents.FAILING:
            return now, state.since
        return State.UNREACHABLE if parents is Parents.DOWN else State.DOWN, state.streak_since
    if streak is None:
        return now, state.since
    answered = State.UP if streak is Verdict.PASS else State.DEGRADED
    if now is answered:
        return now, state.since
    needed = policy.degrade_after if now is State.UP else policy.recover_after
    if now is State.PENDING:
        needed = 1
    return (answered, state.streak_since) if length >= needed else (now, state.since)
