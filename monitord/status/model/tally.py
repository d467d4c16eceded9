"""What is counted for metrics since the daemon began: verdicts, time in each state, reloads. Nothing here waits."""

from collections import Counter
from dataclasses import dataclass, field

from monitord.clock import Clock
from monitord.dispatch import Sink, Watched
from monitord.model import Result, State, Transition, Verdict
from monitord.status.access.control import ReloadOutcome


@dataclass(slots=True)
class MonitorTally:
    """Of one monitor. `state` is how it stood when last looked at, which was at `looked_at_s`."""

    state: State
    looked_at_s: float
    verdicts: Counter[Verdict] = field(default_factory=Counter)
    seconds: dict[State, float] = field(default_factory=dict)
    was_well: bool | None = None

    def look(self, state: State, now_s: float) -> None:
        """The time since the last look belongs to the state of then."""
        self.seconds[self.state] = self.seconds.get(self.state, 0.0) + now_s - self.looked_at_s
        self.seconds.setdefault(state, 0.0)
        self.state, self.looked_at_s = state, now_s


class Tally(Sink):
    """Counts every result and every reload."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._monitors: dict[str, MonitorTally] = {}
        self.reloads: Counter[bool] = Counter()
        self.rejected_tokens = 0

    def on_result(self, watched: Watched, result: Result) -> None:
        tally = self.of(watched)
        tally.verdicts[result.verdict] += 1
        if result.verdict is not Verdict.INCONCLUSIVE:
            tally.was_well = result.verdict is not Verdict.FAIL

    def on_transition(self, watched: Watched, transition: Transition) -> None:
        del transition
        self.of(watched)

    def on_reload(self, outcome: ReloadOutcome) -> None:
        """A listener of the daemon's control."""
        self.reloads[outcome.ok] += 1

    def of(self, watched: Watched) -> MonitorTally:
        """Up to now."""
        now_s = self._clock.monotonic_s()
        tally = self._monitors.get(watched.name)
        if tally is None:
            tally = self._monitors[watched.name] = MonitorTally(watched.state.stands, now_s)
        tally.look(watched.state.stands, now_s)
        return tally

    def forget_others(self, names: frozenset[str]) -> None:
        """Monitors that left the configuration begin anew should they come back."""
        for name in self._monitors.keys() - names:
            del self._monitors[name]
