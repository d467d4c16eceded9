"""Detection of lost connectivity: classification of results, and the additional checks of an isolation test.

`health.Isolation` counts and decides; it depends neither on checks nor on monitors.
"""

from dataclasses import replace
from heapq import nsmallest

from monitord.clock import Clock
from monitord.dispatch.entry import MonitorEntry
from monitord.dispatch.registry import Registry
from monitord.health import ISOLATION_TEST_CHECKS, Isolation, IsolationPolicy
from monitord.model import Reason, Result, State, Verdict
from monitord.net.base.addressing import is_loopback

ISOLATION_TEST_MARGIN_S = 1.0
"""Additional time for a check of an isolation test to start and to be processed."""

_DOWN = (State.DOWN, State.UNREACHABLE)


class Connectivity:
    """Reports network checks to `isolation`, and starts the additional checks that it needs."""

    def __init__(self, clock: Clock, registry: Registry, *, was_isolated: bool = False) -> None:
        self.isolation = Isolation(is_isolated=was_isolated)
        self._clock = clock
        self._registry = registry

    def configure(self, policy: IsolationPolicy | None) -> None:
        """Adapt to changed monitors. `policy` None: keep the previous policy."""
        periods_s = {
            entry.name: entry.monitor.settings.check_every_s
            for entry in self._registry.entries.values()
            if entry.monitor.uses_network and entry.is_scheduled
        }
        self.isolation.configure(periods_s, policy or self.isolation.policy)

    def record(self, entry: MonitorEntry, result: Result) -> Result:
        """Record the result for the detection of isolation.

        Return it, with verdict inconclusive if the check failed because this host is isolated.
        """
        isolation = self.isolation
        if not entry.monitor.uses_network:
            return result
        if result.verdict is Verdict.INCONCLUSIVE:
            isolation.skip(entry.name)
            return result
        is_failing = self.indicates_isolation(entry, result)
        # A paused monitor that is checked on request is likely to fail.
        if entry.is_scheduled:
            was_down = entry.state.health.state in _DOWN
            is_fresh = is_failing and not was_down and not isolation.is_failing(entry.name)
            now_s, began_s = self._clock.monotonic_s(), entry.cycle.started_at_s
            isolation.record(
                entry.name, is_failing=is_failing, at_s=now_s, was_down=was_down, began_s=began_s
            )
            if is_fresh and isolation.needs_test(now_s):
                self._test_isolation(entry, now_s)
        if not (is_failing and isolation.is_isolated):
            return result
        observation = replace(result.observation, reason=Reason.PROBER_ISOLATED)
        return replace(result, observation=observation, verdict=Verdict.INCONCLUSIVE)

    def indicates_isolation(self, entry: MonitorEntry, result: Result) -> bool:
        """Return whether the check failed without a response, as it would if this host were isolated.

        A canary fails only if this host is isolated, so any failure of a canary counts.
        """
        if result.verdict is not Verdict.FAIL or not entry.monitor.uses_network:
            return False
        observation, shows_connectivity = result.observation, result.observation.shows_connectivity
        if entry.name in self.isolation.policy.canaries:
            return True
        if observation.address is not None and is_loopback(observation.address):
            # A local forwarder, such as a proxy or a stub resolver, responded instead of the target.
            return True
        return not (
            observation.reason.shows_connectivity if shows_connectivity is None else shows_connectivity
        )

    def _test_isolation(self, failing: MonitorEntry, now_s: float) -> None:
        """Check other monitors at once, to find out whether this host is isolated."""
        isolation, failed_at_s = self.isolation, failing.cycle.started_at_s
        passed: list[str] = []
        candidates: list[MonitorEntry] = []
        for entry in self._registry.entries.values():
            if (
                entry is failing
                or not entry.monitor.uses_network
                or not entry.is_scheduled
                or entry.state.local_state in _DOWN
                or isolation.is_failing(entry.name)
            ):
                continue
            last, cycle = entry.state.last, entry.cycle
            has_passed = last is not None and last.verdict in {Verdict.PASS, Verdict.WARN}
            if has_passed and not cycle.is_checking and cycle.started_at_s >= failed_at_s:
                passed.append(entry.name)  # after the failed check: needs no repetition
            else:
                candidates.append(entry)
        selected = nsmallest(
            max(0, ISOLATION_TEST_CHECKS - len(passed)),
            candidates,
            # Canaries first, then the monitors whose last check is the oldest.
            key=lambda entry: (entry.name not in isolation.policy.canaries, entry.cycle.started_at_s),
        )
        until_s = (
            now_s + max((entry.time_limit_s for entry in selected), default=0.0) + ISOLATION_TEST_MARGIN_S
        )
        if isolation.start_test([entry.name for entry in selected], now_s, until_s, passed=passed):
            for entry in selected:
                entry.wake()
