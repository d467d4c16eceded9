"""The road of one check, from asking to telling: `Pipeline.run` is where it can be read.

An expected failure is an observation. A bug of a monitor is an exception, and becomes one here: it costs
that monitor this check, never the daemon.
"""

import asyncio
import logging
from collections.abc import Callable

from monitord.clock import Clock
from monitord.dispatch.check_log import CheckLog
from monitord.dispatch.judging import judge
from monitord.dispatch.pulse import LoopPulse
from monitord.dispatch.watched import Watched
from monitord.health import advance
from monitord.model import Observation, Reason, Result, Transition
from monitord.monitors import Stopwatch
from monitord.units import format_duration

log = logging.getLogger(__name__)

DEADLINE_MARGIN_S = 0.25
"""A type that watches its own timeout gets this much more, to say what it was waiting for."""

SUSPENDED_S = 0.5
"""The machine slept during a check when CLOCK_BOOTTIME gained this much on CLOCK_MONOTONIC."""


class Pipeline:
    """check → observation → verdict → health → transition → log and listeners."""

    def __init__(self, clock: Clock, pulse: LoopPulse, check_log: CheckLog) -> None:
        self._clock = clock
        self._pulse = pulse
        self._log = check_log
        self.listeners: list[Callable[[Watched, Result, Transition | None], None]] = []
        """Called after each check, in order. They must not block, and what they raise is logged and lost."""

    async def run(self, watched: Watched, is_current: Callable[[], bool]) -> None:
        """One check of one monitor. Raises nothing but CancelledError.

        `is_current` is asked when the observation is there: False means that nobody wants it any more.
        """
        watch = Stopwatch(self._clock)
        suspended_s = self._clock.suspended_s()
        observation = await self._observe(watched, watch)
        if is_current():
            fault = self._fault_of_ours(watch.began_s, suspended_s)
            self._conclude(watched, self._judge(watched, observation, fault))

    def deadline_s(self, watched: Watched) -> float:
        """How long a check of this monitor may run, in seconds."""
        return watched.monitor.settings.timeout_s + DEADLINE_MARGIN_S

    def conclude_abandoned(self, watched: Watched) -> None:
        """Take a check for over that does not end by itself."""
        timeout = format_duration(watched.monitor.settings.timeout_s)
        detail = f"check ignored its cancellation after {timeout} and was abandoned"
        observation = Stopwatch(self._clock, watched.check_began_at).observation(Reason.MONITOR_BUG, detail)
        self._conclude(watched, self._judge(watched, observation, None))

    async def _observe(self, watched: Watched, watch: Stopwatch) -> Observation:
        timeout_s = watched.monitor.settings.timeout_s
        deadline = asyncio.timeout(timeout_s + DEADLINE_MARGIN_S)
        try:
            async with deadline:
                observation = await watched.monitor.check()
        except TimeoutError as error:
            if deadline.expired():
                return watch.observation(
                    Reason.TIMEOUT_RESPONSE, f"no result within {format_duration(timeout_s)}"
                )
            return self._bug(watched, error, watch)
        except Exception as error:  # noqa: BLE001 - the boundary where a monitor's bug becomes an observation
            return self._bug(watched, error, watch)
        watched.bug = None
        return observation

    def _bug(self, watched: Watched, error: Exception, watch: Stopwatch) -> Observation:
        monitor = watched.monitor
        if watched.bug != repr(error):
            # The same one at every check would bury everything else.
            watched.bug = repr(error)
            self._log.bug(monitor, error)
        return watch.observation(Reason.MONITOR_BUG, f"bug in monitor type {monitor.type_name!r}: {error!r}")

    def _judge(self, watched: Watched, observation: Observation, fault: Reason | None) -> Result:
        return judge(observation, watched.monitor.settings, fault, watched.monitor.masking)

    def _fault_of_ours(self, began_s: float, suspended_s: float) -> Reason | None:
        if self._clock.suspended_s() - suspended_s > SUSPENDED_S:
            return Reason.PROBER_SUSPENDED
        if self._pulse.has_stalled_since(began_s):
            return Reason.PROBER_LATE
        return None

    def _conclude(self, watched: Watched, result: Result) -> None:
        observation = result.observation
        before = watched.health
        step = advance(before, result.verdict, observation.started_at, watched.monitor.settings.policy)
        watched.health = step.state
        watched.last = result
        transition = None
        if step.changed:
            transition = Transition(
                monitor=watched.name,
                before=before.health,
                after=step.state.health,
                at=observation.started_at,
                since=step.state.since or observation.started_at,
                reason=observation.reason,
                detail=observation.detail,
            )
        self._log.checked(watched, result, transition, recovered_by_retry=step.recovered_by_retry)
        for listener in self.listeners:
            try:
                listener(watched, result, transition)
            except Exception:
                log.exception("%s: a listener failed", watched.name)
