"""The road of one check, from the check to the sinks: `Pipeline.run` is where it can be read.

An expected failure is an observation. A bug of a monitor is an exception, and becomes one here: it costs
that monitor this check, never the daemon.
"""

import asyncio
import contextlib
import logging
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from heapq import nsmallest

from monitord.clock import Clock
from monitord.conditions import Outcome
from monitord.dispatch.check_log import CheckLog
from monitord.dispatch.clock_steps import ClockStep, ClockSteps
from monitord.dispatch.judging import conditions_of, judge
from monitord.dispatch.pulse import LoopPulse
from monitord.dispatch.registry import Registry
from monitord.dispatch.sink import Sink
from monitord.dispatch.state import MonitorState, OpenWindow, Pause
from monitord.dispatch.watched import Watched
from monitord.health import (
    PROBED,
    HealthState,
    Isolation,
    IsolationPolicy,
    Parents,
    Window,
    advance,
    confirm,
    incident_after,
    maintenance_of,
    without_streak,
)
from monitord.model import Incident, Observation, Reason, Result, State, Transition, Verdict
from monitord.monitors import Stopwatch, lookup_of
from monitord.net.base.addressing import is_this_host
from monitord.net.base.deadline import Deadline
from monitord.units import format_duration

log = logging.getLogger(__name__)

DEADLINE_MARGIN_S = 0.25
"""A type that watches its own timeout gets this much more, to say what it was waiting for."""

UNKNOWN_AFTER_INTERVALS = 3
"""After so many times `check_every` without a conclusive verdict, the state is unknown."""

SETTLE_AFTER_BLINDNESS_S = 10.0

PROBE_MARGIN_S = 1.0
"""Beyond its deadline, what a check of a probe may take to start and to be concluded."""

PARENTS_MARGIN_S = 3.0
"""Beyond its deadline, what a check of a parent may take until it is abandoned."""

EVALUATED_AT_ONCE_S = 0.005
"""Conditions of one monitor are evaluated for so long before other tasks get their turn."""

_DOWN = (State.DOWN, State.UNREACHABLE)

_JUDGED_BY_CONDITIONS = frozenset({Reason.OK, Reason.CONDITION_FAILED})


class Pipeline:
    """check → observation → verdict → health → transition → incident → log and sinks.

    `was_isolated`: whether this host was isolated when the last run ended; this one continues from there.
    """

    def __init__(
        self,
        clock: Clock,
        pulse: LoopPulse,
        check_log: CheckLog,
        registry: Registry | None = None,
        sinks: tuple[Sink, ...] = (),
        *,
        was_isolated: bool = False,
    ) -> None:
        self._clock = clock
        self._pulse = pulse
        self._log = check_log
        self.registry = Registry() if registry is None else registry
        self._sinks = sinks
        # Every check calls each of these: a sink that ignores results costs a passing check nothing.
        self._result_sinks = [sink for sink in sinks if type(sink).on_result is not Sink.on_result]
        self.isolation = Isolation(is_isolated=was_isolated)
        self._was_isolated = was_isolated
        self._held: dict[str, bool] = {}
        """Monitors whose failures are not confirmed before the state of their parents, or of this host, is known. True:
        a parent fails, so that a failure found before it recovers says nothing."""
        self._awaited: set[str] = set()
        """The monitors whose results may decide about the held ones."""
        self._awaits_suspicion = False
        self._concluding: Watched | None = None
        """Its check has a result, but has not ended yet."""
        self._evaluating = asyncio.Lock()
        self._windows: Sequence[Window] = ()
        self._are_open: list[bool] = []
        self._clock_steps = ClockSteps(clock)
        self._last_step: ClockStep | None = None
        self._stepped_at_s = float("-inf")

    async def run(self, watched: Watched, is_current: Callable[[], bool]) -> None:
        """One check of one monitor. Raises nothing but CancelledError.

        `is_current` is asked when the observation is there: False means that nobody wants it any more.
        """
        watch = Stopwatch(self._clock)
        observation = await self._observe(watched, watch)
        if is_current():
            since_s, timeout_s = watch.began_s, watched.monitor.settings.timeout_s
            if not observation.duration_s:
                # It waits for nothing, as of a heartbeat, and misses what came before it began and was not read yet.
                since_s, timeout_s = min(since_s, watched.cycle.queued_at), 0.0
            failure = self._pulse.failure_since(since_s, timeout_s)
            outcomes = None
            if observation.evidence is not None and observation.reason in _JUDGED_BY_CONDITIONS:
                outcomes = await self._evaluate(watched, observation)
                if not is_current():
                    return
            result = self._judge(watched, observation, failure, outcomes)
            was_late = failure is Reason.PROBER_LATE and result.verdict is Verdict.INCONCLUSIVE
            self._conclude(watched, result, was_late=was_late)

    def configure(
        self, isolation: IsolationPolicy | None = None, windows: Sequence[Window] | None = None
    ) -> None:
        """Adapt to the monitors that there are now, and to the settings that apply to all; None keeps the previous."""
        self._windows = self._windows if windows is None else windows
        monitors = self.registry.watched.values()
        periods_s = {
            one.name: one.monitor.settings.check_every_s
            for one in monitors
            if one.monitor.uses_network and one.state.pause is None
        }
        self.isolation.configure(periods_s, isolation or self.isolation.policy)
        # A stall that matters to any monitor is detected.
        self._pulse.configure(min((one.monitor.settings.timeout_s for one in monitors), default=math.inf))
        self.review(anew=True)

    def deadline_s(self, watched: Watched) -> float:
        """How long a check of this monitor may run, in seconds."""
        return watched.monitor.settings.timeout_s + DEADLINE_MARGIN_S

    def lost_s(self, watched: Watched) -> float:
        """For how long the event loop stood still during the check that runs, in seconds."""
        return self._pulse.lost_since_s(watched.cycle.began_at)

    def conclude_abandoned(self, watched: Watched) -> None:
        """Conclude a check that has ignored its cancellation, without its result."""
        timeout = format_duration(watched.monitor.settings.timeout_s)
        detail = f"check ignored its cancellation after {timeout} and was abandoned"
        observation = Stopwatch(self._clock, watched.cycle.began_at).observation(Reason.MONITOR_BUG, detail)
        self._conclude(watched, self._judge(watched, observation, None))

    def review(self, *, anew: bool = False) -> None:
        """Look at what changes with the time alone: windows that open and close. Cheap where none has."""
        self.follow_clock()
        self.isolation.expire(self._clock.monotonic_s())
        self._note_isolation()
        self._confirm_held()
        now = self._clock.now()
        are_open = [window.is_open(now) for window in self._windows]
        if are_open == self._are_open and not anew:
            return
        self._are_open = are_open
        for watched in self.registry.watched.values():
            left, window = watched.state.window, self._window_of(watched, now)
            if window != left:
                watched.state = replace(watched.state, window=window)
                if left is None or window is None or left.name != window.name:
                    self._log.window_changed(watched, left=left)
                self.restand(watched)

    def _window_of(self, watched: Watched, at: datetime) -> OpenWindow | None:
        """The maintenance window that is open for this monitor; of several, the last to close."""
        window = maintenance_of(self._windows, watched.name, watched.monitor.settings.tags, at)
        return None if window is None else OpenWindow(window.name, window.closes_after(at), window.comment)

    def follow_clock(self) -> None:
        """Move the moments of this run along where the wall clock was set. Cheap where it was not."""
        step = self._clock_steps.poll()
        if step is None:
            return
        self._last_step, self._stepped_at_s = step, self._clock.monotonic_s()
        self._log.clock_stepped(step.by)
        for watched in self.registry.watched.values():
            watched.state = watched.state.after_clock_step(step)
        self._publish("the wall clock", lambda sink: sink.on_clock_step(step))

    def pause(self, watched: Watched, pause: Pause) -> None:
        """Publish that the checks of this monitor are stopped."""
        watched.state = replace(watched.state, pause=pause)
        self.isolation.forget(watched.name)
        self.restand(watched)

    def resume(self, watched: Watched) -> None:
        """Publish that this monitor is checked again. Verdicts before and after a pause are not consecutive."""
        state = watched.state
        health, now_s = without_streak(state.health), self._clock.monotonic_s()
        watched.state = replace(state, pause=None, health=health, conclusive_at=now_s)
        self.restand(watched)

    def restand(self, watched: Watched) -> None:
        """Publish the state of a monitor that something else than a check has changed, such as a pause."""
        self.follow_clock()
        last = None if watched.state.last is None else watched.state.last.observation
        reason, detail = (Reason.OK, "") if last is None else (last.reason, last.detail)
        summary = "" if last is None else last.summary
        transition = self._stand(watched, self._clock.now(), reason, detail)
        if transition is not None:
            self._log.changed(watched, transition, self.registry.silence_of(watched, self._clock.now()))
        if transition is None:
            self._publish(watched.name, lambda sink: sink.on_update(watched))
        else:
            self._publish_transition(watched, transition)
        self._follow_incident(watched, reason, summary)

    async def _observe(self, watched: Watched, watch: Stopwatch) -> Observation:
        timeout_s = watched.monitor.settings.timeout_s
        deadline = Deadline(timeout_s + DEADLINE_MARGIN_S, margin_s=DEADLINE_MARGIN_S)
        try:
            async with deadline:
                observation = await watched.monitor.check()
        except TimeoutError as error:
            if deadline.expired():
                return watch.observation(
                    Reason.TIMEOUT_RESPONSE, f"no result within {format_duration(timeout_s)}"
                )
            return self._bug(watched, error, watch)
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            # Not the check was cancelled, but what its type waited for.
            return self._bug(watched, error, watch)
        except Exception as error:  # noqa: BLE001 - the boundary where a monitor's bug becomes an observation
            return self._bug(watched, error, watch)
        return observation

    def _bug(self, watched: Watched, error: BaseException, watch: Stopwatch) -> Observation:
        return watch.observation(Reason.MONITOR_BUG, self._say_bug(watched, error))

    def _say_bug(self, watched: Watched, error: BaseException) -> str:
        """The line for people; the log has it once."""
        monitor = watched.monitor
        if watched.state.bug != repr(error):
            # The same one at every check would bury everything else.
            watched.state = replace(watched.state, bug=repr(error))
            self._log.bug(monitor, error)
        return f"bug in monitor type {monitor.type_name!r}: {error!r}"

    async def _evaluate(self, watched: Watched, observation: Observation) -> Sequence[Outcome] | None:
        """Evaluate several conditions, with turns for other tasks: each on a body of a megabyte can take 50 ms.

        None: `judge` evaluates them, because that takes no time, or reports the error that one of them raised.
        """
        conditions = conditions_of(watched.monitor.settings)
        if len(conditions) <= 1:
            return None
        lookup, mask = lookup_of(observation), watched.monitor.masking.mask_value
        outcomes: list[Outcome] = []
        was_slow = watched.state.is_slow_to_judge
        may_take_long, is_slow = was_slow is not False, was_slow is True
        # One at a time: a parsed document of a megabyte takes 30 MB until all conditions are evaluated.
        async with self._evaluating if may_take_long else contextlib.nullcontext():
            until_s = time.monotonic() + EVALUATED_AT_ONCE_S
            try:
                for condition in conditions:
                    if may_take_long and time.monotonic() > until_s:
                        is_slow = True
                        await asyncio.sleep(0)
                        until_s = time.monotonic() + EVALUATED_AT_ONCE_S
                    outcomes.append(condition.evaluate(lookup, mask))
            except Exception:  # noqa: BLE001 - evidence is the type's own code
                return None
        is_slow = is_slow or time.monotonic() > until_s
        if is_slow is not was_slow:
            watched.state = replace(watched.state, is_slow_to_judge=is_slow)
        return outcomes

    def _judge(
        self,
        watched: Watched,
        observation: Observation,
        failure: Reason | None,
        outcomes: Sequence[Outcome] | None = None,
    ) -> Result:
        settings, masking = watched.monitor.settings, watched.monitor.masking
        try:
            result = judge(observation, settings, failure, masking, outcomes)
        except Exception as error:  # noqa: BLE001 - the same boundary: evidence is the type's own code
            detail = self._say_bug(watched, error)
            bug = replace(observation, reason=Reason.MONITOR_BUG, detail=detail, evidence=None)
            return judge(bug, settings, None, masking)
        if watched.state.bug is not None and result.observation.reason is not Reason.MONITOR_BUG:
            watched.state = replace(watched.state, bug=None)
        return result

    def _conclude(self, watched: Watched, result: Result, *, was_late: bool = False) -> None:
        self._concluding = watched
        began_at = watched.cycle.began_at
        if result.verdict is not Verdict.PASS or watched.state.stands is not State.UP:
            # Its moment may become the beginning of a state.
            self.follow_clock()
            if self._last_step is not None and self._stepped_at_s >= began_at:
                started_at = self._last_step.moment(result.observation.started_at)
                result = replace(result, observation=replace(result.observation, started_at=started_at))
        result = self._look_with_both_eyes(watched, result)
        observation, settings = result.observation, watched.monitor.settings
        before = watched.state.health
        parents = Parents.WELL
        if result.verdict is Verdict.FAIL and before.health is not State.DOWN:
            watched.state = self._with_failure(watched, began_at)
            parents = self._parents(watched, result)
        step = advance(before, result.verdict, observation.started_at, settings.policy, parents)
        conclusive_at, is_unknown = self._conclusiveness(watched, result.verdict)
        watched.state = replace(
            watched.state,
            health=self._forgotten_if_isolated(step.state, observation.reason),
            last=result,
            last_began_at=began_at,
            was_late=was_late,
            conclusive_at=conclusive_at,
            is_unknown=is_unknown,
        )
        silence = self.registry.silence_of(watched, self._clock.now())
        transition = self._stand(watched, observation.started_at, observation.reason, observation.detail)
        self._log.checked(
            watched, result, transition, recovered_by_retry=step.recovered_by_retry, silence=silence
        )
        if step.state.flapping.is_flapping is not before.flapping.is_flapping:
            self._log.flapping_changed(watched)
        for sink in self._result_sinks:
            try:
                sink.on_result(watched, result)
            except Exception:
                log.exception("%s: %s failed", watched.name, type(sink).__name__)
        if transition is not None:
            self._publish_transition(watched, transition)
        self._follow_incident(watched, observation.reason, observation.summary)
        if parents is Parents.FAILING or (step.state.is_soft and not before.is_soft):
            self._check_sources(watched)
        self._confirm_held(watched)
        self._concluding = None

    def _look_with_both_eyes(self, watched: Watched, result: Result) -> Result:
        """A failure that comes to nearly all at once is ours. Says once when that begins and when it is over."""
        isolation = self.isolation
        if not watched.monitor.uses_network:
            return result
        if result.verdict is Verdict.INCONCLUSIVE:
            isolation.pass_over(watched.name)
            return result
        is_failing = self._is_evidence_of_isolation(watched, result)
        # Somebody may check a paused monitor, which is likely to fail.
        if watched.state.pause is None:
            self._follow_isolation(watched, is_failing=is_failing)
        if not (is_failing and isolation.is_isolated):
            return result
        observation = replace(result.observation, reason=Reason.PROBER_ISOLATED)
        return replace(result, observation=observation, verdict=Verdict.INCONCLUSIVE)

    def _follow_isolation(self, watched: Watched, *, is_failing: bool) -> None:
        isolation = self.isolation
        was_down = watched.state.health.health in _DOWN
        is_fresh = is_failing and not was_down and not isolation.is_failing(watched.name)
        now_s = self._clock.monotonic_s()
        isolation.saw(
            watched.name,
            is_failing=is_failing,
            at_s=now_s,
            was_down=was_down,
            began_s=watched.cycle.began_at,
        )
        self._note_isolation()
        if is_fresh and isolation.wants_probe(now_s):
            self._probe(watched, now_s)

    def _is_evidence_of_isolation(self, watched: Watched, result: Result) -> bool:
        """Whether the check failed as it would if this host had lost connectivity: without a response.

        A canary fails only if this host is isolated, so any failure of it counts.
        """
        if result.verdict is not Verdict.FAIL or not watched.monitor.uses_network:
            return False
        if watched.name in self.isolation.policy.canaries:
            return True
        observation = result.observation
        if observation.address is not None and is_this_host(observation.address):
            return True  # a forwarder here, such as a proxy or the stub of a resolver, answers in place of the target
        shows_connectivity = observation.shows_connectivity
        return not (observation.reason.is_response if shows_connectivity is None else shows_connectivity)

    def _note_isolation(self) -> None:
        is_isolated = self.isolation.is_isolated
        if is_isolated is self._was_isolated:
            return
        self._was_isolated = is_isolated
        if not is_isolated:
            self._pulse.settle(SETTLE_AFTER_BLINDNESS_S, Reason.PROBER_ISOLATED)
        self._log.isolation_changed(is_isolated=is_isolated)
        self._publish("isolation", lambda sink: sink.on_isolation_change(is_isolated=is_isolated))

    def _probe(self, failing: Watched, now_s: float) -> None:
        """Check others at once, as parents are: is the failure the target's, or is this host isolated?"""
        isolation = self.isolation
        others = [
            one
            for one in self.registry.watched.values()
            if one is not failing
            and one.monitor.uses_network
            and one.state.pause is None
            and one.state.stands not in _DOWN
            and not isolation.is_failing(one.name)
        ]
        # A check that began after the one that failed, and passed, needs no repetition.
        passed = [one.name for one in others if _has_passed_since(one, failing.cycle.began_at)]
        unasked = (one for one in others if not _has_passed_since(one, failing.cycle.began_at))
        asked = nsmallest(
            max(0, PROBED - len(passed)),
            unasked,
            # The older its last check, the more a new one says.
            key=lambda one: (one.name not in isolation.policy.canaries, one.cycle.began_at),
        )
        longest_s = max(map(self.deadline_s, asked), default=0.0)
        until_s = now_s + longest_s + PROBE_MARGIN_S
        if isolation.probe([one.name for one in asked], now_s, until_s, passed=passed):
            for one in asked:
                one.wake()

    def _confirm_held(self, after: Watched | None = None) -> None:
        """Let failures count that were held back, once the state of their parents, and of this host, is known.

        `after`: the monitor whose result has just arrived; None: time has passed.
        """
        if not self._held:
            return
        is_suspected = self.isolation.is_suspected
        is_decided = self._awaits_suspicion and not is_suspected
        if after is not None and after.name not in self._awaited and not is_decided:
            return
        self._awaits_suspicion = False
        self._awaited.clear()
        decided = [name for name in list(self._held) if self._decide_held(name)]
        while decided:
            # A decision about one of them may decide about those that depend on it.
            decided = [name for name in list(self._held) if self._decide_held(name)]

    def _decide_held(self, name: str) -> bool:
        """Whether it is not held any longer."""
        watched = self.registry.watched.get(name)
        last = None if watched is None else watched.state.last
        if (
            watched is None
            or last is None
            or watched.state.pause is not None
            or not watched.state.health.is_soft
        ):
            del self._held[name]
            return True
        if self.isolation.is_isolated and self._is_evidence_of_isolation(watched, last):
            del self._held[name]
            return True
        parents = self._parents(watched, last)
        if parents is Parents.FAILING:
            self._check_sources(watched)
            return False
        has_parent_failed = self._held.pop(name)
        if has_parent_failed and parents is Parents.WELL:
            # It may have failed because of the parent, which has recovered: only a new check can show that.
            watched.wake()
            return True
        state = watched.state
        after = confirm(state.health, watched.monitor.settings.policy, parents)
        if after is not state.health:
            watched.state = replace(state, health=after)
            self.restand(watched)
        return True

    @staticmethod
    def _forgotten_if_isolated(state: HealthState, reason: Reason) -> HealthState:
        """Failures that were counted before it was clear that they are ours do not count."""
        return without_streak(state) if reason is Reason.PROBER_ISOLATED and state.is_soft else state

    def _with_failure(self, watched: Watched, began_at: float) -> MonitorState:
        """The state with the moment at which the first of the failures that are not confirmed yet was found."""
        state = watched.state
        if state.health.is_soft and state.failing_since > -math.inf:
            return replace(state, last_began_at=began_at)
        now_s = self._clock.monotonic_s()
        # A check of a parent that runs is of no use and has to end first.
        longest_s = max(map(self.deadline_s, self.registry.sources(watched)), default=0.0)
        return replace(
            state,
            last_began_at=began_at,
            failing_since=now_s,
            parents_until=now_s + 2 * (longest_s + PARENTS_MARGIN_S),
        )

    def _parents(self, watched: Watched, result: Result) -> Parents:
        """What the parents say. A failure is held as long as one of them fails softly or has not been checked after it,
        and while this host may be isolated: FAILING."""
        if result.verdict is not Verdict.FAIL or watched.state.health.health is State.DOWN:
            return Parents.WELL
        parents = self.registry.parents(watched)
        is_failing = parents is Parents.FAILING
        if parents is Parents.WELL and self._clock.monotonic_s() <= watched.state.parents_until:
            parents = self.registry.parents(watched, lambda one: self._is_checked_since(one, watched))
        if self.isolation.is_suspected and self._is_evidence_of_isolation(watched, result):
            self._awaits_suspicion = True
            parents = max(parents, Parents.FAILING)
        if parents is Parents.FAILING:
            self._held[watched.name] = is_failing or self._held.get(watched.name, False)
            self._awaited.update(one.name for one in self.registry.sources(watched))
        return parents

    def _is_checked_since(self, parent: Watched, failing: Watched) -> bool:
        """Whether the last result of the parent is of a check that began after the failure."""
        if parent.state.last_began_at < failing.state.failing_since:
            return False
        # The state of a group follows from those of its members, and may be about to change.
        cycle = parent.cycle
        return not self.registry.is_group(parent) or not (
            cycle.is_queued or cycle.is_woken or (cycle.is_checking and parent is not self._concluding)
        )

    def _check_sources(self, watched: Watched) -> None:
        """Whether a failure is the monitor's own is known sooner if those it depends on are checked now."""
        for one in self.registry.sources(watched):
            is_being_checked = one.cycle.is_queued or (
                one.cycle.is_checking
                and one is not self._concluding
                and one.cycle.began_at >= watched.state.failing_since
            )
            if not is_being_checked and not self._is_checked_since(one, watched):
                one.wake()

    def _conclusiveness(self, watched: Watched, verdict: Verdict) -> tuple[float, bool]:
        """When the last conclusive result was, and whether that is too long ago to know the state."""
        state, now_s = watched.state, self._clock.monotonic_s()
        if verdict is not Verdict.INCONCLUSIVE:
            return now_s, False
        unknown_after_s = UNKNOWN_AFTER_INTERVALS * watched.monitor.settings.check_every_s
        return state.conclusive_at, state.is_unknown or now_s - state.conclusive_at >= unknown_after_s

    def _stand(self, watched: Watched, at: datetime, reason: Reason, detail: str) -> Transition | None:
        """Publish the state that follows from all that is known but windows and silences, which change no state.

        Returns the transition, if there is one."""
        state = watched.state
        before, health = state.stands, state.health
        after = State.UNKNOWN if state.is_unknown else health.health
        if state.pause is not None:
            after = State.PAUSED
        if after is before:
            return None
        since = health.since if after is health.health else None
        # After a pause or an unknown state it begins now, whenever it was found first.
        if since is None or before is State.PAUSED or before is State.UNKNOWN:
            since = at
        watched.state = replace(state, stands=after, stands_since=since)
        return Transition(watched.name, before, after, at, since, reason, detail)

    def _follow_incident(self, watched: Watched, reason: Reason, summary: str) -> None:
        state = watched.state
        moment = state.health.since or self._clock.now()
        incident = incident_after(
            state.incident,
            watched.name,
            state.stands,
            since=moment,
            at=moment,
            reason=reason,
            detail=summary,
            in_maintenance=state.window is not None,
        )
        if incident is not state.incident:
            self.change_incident(watched, incident)

    def change_incident(self, watched: Watched, incident: Incident | None) -> None:
        """Replace the incident, and publish it."""
        self.follow_clock()
        is_open = incident is not None and incident.closed_at is None
        watched.state = replace(watched.state, incident=incident if is_open else None)
        if incident is not None:
            self._publish(watched.name, lambda sink: sink.on_incident(watched, incident))

    def rename(self, old: str, watched: Watched) -> None:
        """The monitor continues under its new name."""
        incident = watched.state.incident
        if incident is not None:
            watched.state = replace(watched.state, incident=replace(incident, monitor=watched.name))
        self._publish(watched.name, lambda sink: sink.on_renamed(old, watched))

    def remove(self, watched: Watched) -> None:
        """The monitor is not checked any more: its incident is closed, because nobody will see its end."""
        incident = watched.state.incident
        if incident is not None:
            self.change_incident(watched, replace(incident, closed_at=self._clock.now()))
        self._publish(watched.name, lambda sink: sink.on_removed(watched))

    def _publish_transition(self, watched: Watched, transition: Transition) -> None:
        self._publish(watched.name, lambda sink: sink.on_transition(watched, transition))
        for follower in self.registry.followers(watched):
            follower.wake()

    def _publish(self, subject: str, event: Callable[[Sink], None]) -> None:
        """Call the event on each sink, in order. An exception costs that sink this event, and nothing else."""
        for sink in self._sinks:
            try:
                event(sink)
            except Exception:
                log.exception("%s: %s failed", subject, type(sink).__name__)


def _has_passed_since(watched: Watched, moment_s: float) -> bool:
    last, cycle = watched.state.last, watched.cycle
    is_over = not cycle.is_checking and last is not None and last.verdict in {Verdict.PASS, Verdict.WARN}
    return is_over and cycle.began_at >= moment_s
