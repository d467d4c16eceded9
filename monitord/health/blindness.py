"""Whether it is the prober that cannot see: nearly everything begins to fail at once.

A failure is fresh from its first check on, for as long as `window_s`: the time in which `share` of all monitors
have been checked. With at least `MINIMUM` of them:

| fresh failures                                          | then                                                     |
|---------------------------------------------------------|----------------------------------------------------------|
| `share` of the monitors checked since the first of them | suspicion: no failure is believed before it is over      |
| `share` of the `LATEST` monitors that were checked last  | the same: among many one or the other is always fresh,   |
|                                                         | and those that passed since count for nothing then       |
| `share` of all monitors, and every canary fails         | blind: failures are unsure                               |
| fewer than `share` of all monitors fail, or there are   | not blind any more                                       |
|   fewer than MINIMUM                                    |                                                          |

Suspicion ends by itself when the window is over, so a true outage of much is told one window later at most.
Moments are seconds of the monotonic clock.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

MINIMUM = 5
LATEST = 20


@dataclass(slots=True)
class Blindness:
    """Fed with every sure look; owned by the pipeline. `canaries`: monitors that fail only if we are cut off."""

    share: float = 0.8
    canaries: frozenset[str] = frozenset()
    window_s: float = 30.0
    is_blind: bool = False
    _failing: set[str] = field(default_factory=set)
    _well: set[str] = field(default_factory=set)
    _fresh: dict[str, float] = field(default_factory=dict)
    _well_since: set[str] = field(default_factory=set)
    _latest: dict[str, None] = field(default_factory=dict)
    """Who has passed or begun to fail last, in that order. Who goes on failing is looked at often, and is no news."""

    def configure(self, periods_s: Mapping[str, float], *, share: float, canaries: frozenset[str]) -> None:
        """The monitors there are, with how often each is checked; those that are gone are forgotten."""
        self.share, self.canaries = share, canaries
        for gone in (self._failing | self._well) - set(periods_s):
            self.forget(gone)
        periods = sorted(periods_s.values())
        if periods:
            self.window_s = periods[min(int(len(periods) * share), len(periods) - 1)]

    def forget(self, name: str) -> None:
        """This monitor says nothing any more."""
        for names in (self._failing, self._well, self._well_since):
            names.discard(name)
        self._fresh.pop(name, None)
        self._latest.pop(name, None)

    def saw(self, name: str, *, is_failing: bool, at_s: float, was_down: bool = False) -> None:
        """What one sure look has shown. `was_down`: it is known to fail, from an earlier run."""
        while self._fresh:
            oldest = next(iter(self._fresh))
            if at_s - self._fresh[oldest] <= self.window_s or self.is_blind:
                break
            del self._fresh[oldest]
        if not self._fresh:
            self._well_since.clear()
        if not is_failing or name not in self._failing:
            self._latest.pop(name, None)
            self._latest[name] = None
            if len(self._latest) > LATEST:
                del self._latest[next(iter(self._latest))]
        if is_failing:
            if name not in self._failing and not was_down:
                self._fresh[name] = at_s
            self._failing.add(name)
            self._well.discard(name)
            self._well_since.discard(name)
        else:
            self._failing.discard(name)
            self._fresh.pop(name, None)
            self._well.add(name)
            if self._fresh:
                self._well_since.add(name)
        self._decide()

    @property
    def is_suspected(self) -> bool:
        """So much of what was looked at lately began to fail that the next looks are waited for."""
        fresh = len(self._fresh)
        if fresh < MINIMUM:
            return False
        if fresh >= self.share * (fresh + len(self._well_since)):
            return True
        lately = sum(name in self._fresh for name in self._latest)
        return len(self._latest) == LATEST and lately >= self.share * LATEST

    def _decide(self) -> None:
        every = len(self._failing) + len(self._well)
        if self.is_blind:
            if len(self._failing) < self.share * every or every < MINIMUM:
                self.is_blind = False
                self._fresh.clear()
        elif len(self._fresh) >= max(MINIMUM, self.share * every):
            self.is_blind = self.canaries <= self._failing
