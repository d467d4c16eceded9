"""Detection of lost connectivity of this host: nearly all network checks begin to fail at the same time.

Only failures without a response of the target count; a check with a response counts as passed, because the network
works. A failure is fresh for `window_s` from its first check: the time in which `share` of all monitors are checked.
Monitors that have failed for longer show nothing about this host and are not counted. With at least MIN_COUNTED
counted monitors, or MIN_COUNTED_WITH_CANARIES if canaries are configured:

| fresh failures                                          | then                                                     |
|---------------------------------------------------------|----------------------------------------------------------|
| the first failure                                       | isolation test: check up to ISOLATION_TEST_CHECKS others |
|                                                         | at once; no failure is confirmed before `share` of them  |
|                                                         | can no longer fail, a canary passes, or their time ends  |
| `share` of the monitors checked since the first of them | suspicion: no failure is confirmed before it ends        |
| `share` of the `LATEST` monitors that were checked last | the same: many monitors always include a fresh failure,  |
|                                                         | and monitors that have passed since show nothing         |
| `share` of the counted monitors, and every canary fails | isolated: failures are inconclusive                      |
| fewer than `share` of them, or fewer counted monitors   | no longer isolated                                       |
|   than the minimum                                      |                                                          |

A suspicion ends when the window is over, so notifications about a true outage of many targets are sent at most one
window later.

With fewer than five monitors, failures of all of them are not evidence of isolation: they often share a server, and a
real outage must not be mistaken for isolation. With a canary, whose failure indicates isolation, two monitors are
enough. Moments are seconds of the monotonic clock.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

MIN_COUNTED = 5
MIN_COUNTED_WITH_CANARIES = 2
LATEST = 20
ISOLATION_TEST_CHECKS = 10
"""Checks in one isolation test. Together with the first failure they are enough for a suspicion."""

ISOLATION_TEST_EVERY_S = 1.0
"""Limits the load that single failures among thousands of monitors cause."""


@dataclass(slots=True)
class _IsolationTest:
    """A round of checks of other monitors after a first failure.

    `passed` and `failed` count conclusive results of checks that began after the first failure, and that failure.
    """

    began_s: float
    until_s: float
    pending: set[str]
    passed: int = 0
    failed: int = 1


@dataclass(frozen=True, slots=True)
class IsolationPolicy:
    """This host is isolated if this `share` of the network monitors fails.

    `canaries`: monitors that fail only if this host is isolated.
    """

    share: float = 0.8
    canaries: frozenset[str] = frozenset()


@dataclass(slots=True)
class Isolation:
    """Receives the result of every network check from the pipeline, which owns it."""

    policy: IsolationPolicy = IsolationPolicy()
    window_s: float = 30.0
    is_isolated: bool = False
    _watched: set[str] = field(default_factory=set)
    _failing: set[str] = field(default_factory=set)
    _fresh: dict[str, float] = field(default_factory=dict)
    """The fresh failures among `_failing`, with their beginning, the oldest first."""
    _passed_since: set[str] = field(default_factory=set)
    _latest: dict[str, None] = field(default_factory=dict)
    """Monitors that have passed or begun to fail last, in that order. A monitor that continues to fail is retried
    often, and is not counted again."""
    _test: _IsolationTest | None = None
    _tested_at_s: float = float("-inf")

    def configure(self, periods_s: Mapping[str, float], policy: IsolationPolicy) -> None:
        """Set the network monitors and their intervals; monitors that were removed are forgotten."""
        self.policy = policy
        for name in self._watched - set(periods_s):
            self.forget(name)
        if self.is_isolated:
            # Assumed to fail until checked: after the isolation of an earlier run, or added by a reload.
            for name in periods_s:
                if name not in self._watched:
                    self._failing.add(name)
                    self._fresh[name] = 0.0
        self._watched = set(periods_s)
        periods = sorted(periods_s.values())
        if periods:
            self.window_s = periods[min(int(len(periods) * policy.share), len(periods) - 1)]
        if self.is_isolated:
            self._decide()

    def forget(self, name: str) -> None:
        """Stop counting this monitor."""
        for names in (self._watched, self._failing, self._passed_since):
            names.discard(name)
        self._fresh.pop(name, None)
        self._latest.pop(name, None)
        if self._test is not None:
            self._test.pending.discard(name)
            self._end_test_if_decided()

    def record(
        self,
        name: str,
        *,
        is_failing: bool,
        at_s: float,
        was_down: bool = False,
        began_s: float | None = None,
    ) -> None:
        """Record a conclusive result at `at_s` of a check that began at `began_s`. `is_failing`: failed without a
        response. `was_down`: the monitor was down before."""
        self._drop_expired(at_s)
        if not is_failing or name not in self._failing:
            self._latest.pop(name, None)
            self._latest[name] = None
            if len(self._latest) > LATEST:
                del self._latest[next(iter(self._latest))]
        self._watched.add(name)
        if is_failing:
            if was_down:
                self._fresh.pop(name, None)
            elif name not in self._failing:
                self._fresh[name] = at_s
            self._failing.add(name)
            self._passed_since.discard(name)
        else:
            self._failing.discard(name)
            self._fresh.pop(name, None)
            if self._fresh:
                self._passed_since.add(name)
        if self._test is not None:
            self._record_in_test(name, is_failing=is_failing, began_s=at_s if began_s is None else began_s)
        self._decide()

    def _drop_expired(self, at_s: float) -> None:
        while self._fresh:
            oldest = next(iter(self._fresh))
            if at_s - self._fresh[oldest] <= self.window_s or self.is_isolated:
                break
            del self._fresh[oldest]
        if not self._fresh:
            self._passed_since.clear()

    def is_failing(self, name: str) -> bool:
        return name in self._failing

    # -- isolation tests ----------------------------------------------------------------------------------

    def needs_test(self, at_s: float) -> bool:
        """Whether a failure that began now is a reason to check other monitors at once."""
        return (
            not self.is_isolated
            and not self.is_suspected
            and at_s - self._tested_at_s >= ISOLATION_TEST_EVERY_S
            and self._counted >= self._minimum
            and self.policy.canaries <= self._watched
        )

    def start_test(
        self, names: Collection[str], at_s: float, until_s: float, *, passed: Collection[str] = ()
    ) -> bool:
        """Start an isolation test with checks of these monitors that begin now and end by `until_s`.

        `passed`: monitors whose last check is as recent as a new check. Returns False if they suffice without checks.
        """
        self._tested_at_s = at_s
        if self.policy.canaries.isdisjoint(passed):
            self._test = _IsolationTest(at_s, until_s, set(names), min(len(passed), ISOLATION_TEST_CHECKS))
            self._end_test_if_decided()
        return self._test is not None

    def skip(self, name: str) -> None:
        """Stop waiting for the check of this monitor, which was inconclusive."""
        if self._test is not None:
            self._test.pending.discard(name)
            self._end_test_if_decided()

    def expire(self, at_s: float) -> None:
        """End an isolation test whose checks should have ended."""
        if self._test is not None and at_s > self._test.until_s:
            self._test = None

    def _record_in_test(self, name: str, *, is_failing: bool, began_s: float) -> None:
        test = self._test
        if test is None or name not in test.pending or began_s < test.began_s:
            return
        test.pending.discard(name)
        if is_failing:
            test.failed += 1
        else:
            test.passed += 1
            if name in self.policy.canaries:
                self._test = None
                return
        self._end_test_if_decided()

    def _end_test_if_decided(self) -> None:
        test = self._test
        if test is None:
            return
        possible = test.failed + len(test.pending)
        if not test.pending or possible < self.policy.share * (possible + test.passed):
            self._test = None

    # -- conclusions --------------------------------------------------------------------------------------

    @property
    def is_suspected(self) -> bool:
        """Whether so many recent checks have begun to fail that no failure is confirmed before the next checks."""
        if self._test is not None:
            return True
        fresh = len(self._fresh)
        if fresh < self._minimum or self.policy.canaries & self._passed_since:
            return False
        if fresh >= self.policy.share * (fresh + len(self._passed_since)):
            return True
        fresh_among_latest = sum(name in self._fresh for name in self._latest)
        return len(self._latest) == LATEST and fresh_among_latest >= self.policy.share * LATEST

    @property
    def _minimum(self) -> int:
        return MIN_COUNTED_WITH_CANARIES if self.policy.canaries else MIN_COUNTED

    @property
    def _counted(self) -> int:
        """The number of monitors without earlier failures, which would fail with connectivity as well."""
        return len(self._watched) - len(self._failing) + len(self._fresh)

    def _decide(self) -> None:
        fresh = len(self._fresh)
        if self.is_isolated:
            if fresh < self.policy.share * self._counted or self._counted < self._minimum:
                self.is_isolated = False
                self._fresh.clear()
        elif (
            fresh >= self._minimum
            and fresh >= self.policy.share * self._counted
            and self.policy.canaries <= self._failing
        ):
            self.is_isolated = True
            self._test = None
