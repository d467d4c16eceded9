"""Monitor type `timer`: a systemd timer and the unit that it starts. A dead man's switch without changes to the job.

    timer = "backup.timer"

Without conditions, a check passes if the timer is active, the last run did not fail, and the job was started in time:
within `grace` of the scheduled time, or within `max_age`.

The scheduled time is the next elapse that systemd reported earlier; it is stored. After a boot systemd knows only the
next elapse, and so not that a run was missed while the machine was off.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, ClassVar

from monitord.clock import time_text
from monitord.conditions import EXIT_STATUS, LATENCY, FieldType, Vocabulary
from monitord.config import Table
from monitord.health import HealthPolicy
from monitord.model import FieldValue, Observation, Reason
from monitord.monitors.base import Monitor, MonitorSettings, Stopwatch, Tools
from monitord.monitors.check_requester import CheckRequester
from monitord.monitors.systemd.common import has_library, manager_failure, parse_timer_name
from monitord.monitors.systemd.timer_plan import TimerPlan, next_in_s
from monitord.net.dbus.bus import BusError
from monitord.net.dbus.unit_state import UnitChange, UnitState
from monitord.net.dbus.units import UnitSubscription
from monitord.units import format_duration

DEFAULT_GRACE_S = 3600.0
MARGIN_S = 1.0
"""Delay of a check after a deadline, so that the deadline has certainly passed."""

VOCABULARY = Vocabulary(
    {
        "response_time": FieldType.DURATION,
        "timer.active_state": FieldType.TEXT,
        "timer.unit": FieldType.TEXT,
        "timer.last_trigger": FieldType.DURATION,
        "timer.next_elapse": FieldType.DURATION,
        "timer.result": FieldType.TEXT,
        "timer.exit_status": FieldType.NUMBER,
        "timer.running": FieldType.FLAG,
        "timer.overdue": FieldType.FLAG,
    },
    {
        "response_time": LATENCY,
        "timer.exit_status": EXIT_STATUS,
    },
)


@dataclass(frozen=True, slots=True)
class TimerOptions:
    timer: str
    max_age_s: float | None = None
    grace_s: float = DEFAULT_GRACE_S
    counts_downtime: bool = True


class TimerMonitor(Monitor[TimerOptions]):
    type_name: ClassVar[str] = "timer"
    default_policy: ClassVar[HealthPolicy] = HealthPolicy(fail_after=1, degrade_after=1)
    uses_network = False
    vocabulary: ClassVar[Vocabulary] = VOCABULARY

    def __init__(self, settings: MonitorSettings, tools: Tools) -> None:
        super().__init__(settings, tools)
        self._following: list[UnitSubscription] = []
        self._requester: CheckRequester | None = None
        self._is_checked = False
        self._has_failed = False
        self._plan = TimerPlan()

    @classmethod
    def read_options(cls, table: Table) -> TimerOptions:
        if not has_library(table, "type", cls.type_name):
            table.ignore_others()
            return TimerOptions("")
        return TimerOptions(
            timer=table.value("timer", parse_timer_name, default="", required=True),
            max_age_s=table.duration("max_age", default=None, minimum=1.0),
            grace_s=table.duration("grace", default=DEFAULT_GRACE_S),
            counts_downtime=table.flag("counts_downtime", default=True),
        )

    def start(self, wake: Callable[[], None]) -> None:
        self._requester = CheckRequester(wake)
        self._follow((self.options.timer,))

    async def close(self) -> None:
        self._follow(())
        if self._requester is not None:
            self._requester.close()

    def dump_state(self) -> Mapping[str, Any] | None:
        return {"timer": self.options.timer, **self._plan.dump_state()} if self._is_checked else None

    def restore_state(self, state: Mapping[str, Any]) -> None:
        if state.get("timer", self.options.timer) == self.options.timer:
            self._plan = TimerPlan.restored(state)

    def _follow(self, names: tuple[str, ...]) -> None:
        if names == tuple(unit.name for unit in self._following):
            return
        for unit in self._following:
            self.tools.units.unfollow(unit)
        self._following = [self.tools.units.follow(name, self._on_change) for name in names]

    def _on_change(self, change: UnitChange | None) -> None:
        if self._has_failed and self.settings.policy.fail_after > 1:
            # `fail_after` and `retry_every` determine how long a failure is accepted: signals, of which an upgrade
            # causes many, must not confirm it earlier.
            return
        # The first check is scheduled by the dispatcher, which spreads first checks over a few seconds.
        if self._requester is not None and (change is not None or self._is_checked):
            self._requester.request()

    async def check(self) -> Observation:
        watch = Stopwatch(self.tools.clock)
        deadline = watch.began_s + self.settings.timeout_s
        units = self.tools.units
        try:
            timer = await units.state(self.options.timer, deadline=deadline)
            job = await units.state(timer.triggers, deadline=deadline) if timer.triggers else None
        except BusError as error:
            return manager_failure(watch, self.options.timer, error)
        if self._following:
            self._follow((timer.name,) if job is None else (timer.name, job.name))
        now, now_s = self.tools.clock.now(), self.tools.clock.monotonic_s()
        self._plan = self._plan.seen(timer, job, now, counts_downtime=self.options.counts_downtime)
        self._is_checked = True
        overdue_s = self._overdue_s(now, now_s)
        self._plan_next_check(overdue_s)
        reason, result = self._evaluate(timer, job, overdue_s)
        self._has_failed = reason not in {Reason.OK, Reason.HEARTBEAT_ENDED}
        if reason in {Reason.OK, Reason.HEARTBEAT_ENDED}:
            result += _next_text(timer, now, now_s)
        if self.settings.up_when and reason is not Reason.OK:
            reason = Reason.CONDITION_FAILED
        fields: dict[str, FieldValue] = {"timer.active_state": timer.active_state}
        if self._plan.last_at is not None:
            fields["timer.last_trigger"] = self._plan.age_s(now)
        next_s = next_in_s(timer, now, now_s)
        if next_s is not None:
            fields["timer.next_elapse"] = next_s
        if job is not None:
            fields |= {"timer.unit": job.name, "timer.running": job.active_state in _RUNNING_STATES}
            if job.result:
                fields["timer.result"] = job.result
            if job.service_type:
                fields["timer.exit_status"] = job.exit_status
        fields |= {"response_time": watch.elapsed_s, "timer.overdue": overdue_s is not None and overdue_s > 0}
        name = self.options.timer
        return watch.observation(reason, f"{name} {result}", fields, subject=name, outcome=result)

    def _overdue_s(self, now: datetime, now_s: float) -> float | None:
        """Return the time since the deadline of the start of the job, negative before it; None without a deadline."""
        if self.options.max_age_s is not None:
            return self._plan.age_s(now) - self.options.max_age_s
        overdue_s = self._plan.overdue_s(now, now_s)
        return None if overdue_s is None else overdue_s - self.options.grace_s

    def _plan_next_check(self, overdue_s: float | None) -> None:
        """Request a check for the end of the deadline, unless a regular check comes first."""
        if self._requester is None or overdue_s is None or overdue_s > 0:
            return
        after_s = MARGIN_S - overdue_s
        if after_s < self.settings.check_every_s:
            self._requester.request(after_s=after_s)

    def _evaluate(
        self, timer: UnitState, job: UnitState | None, overdue_s: float | None
    ) -> tuple[Reason, str]:
        """Return the reason, and the state in words."""
        if not timer.is_there:
            return Reason.UNIT_INACTIVE, "not found"
        if timer.active_state == "failed":
            return Reason.UNIT_FAILED, f"failed ({timer.result})"
        if timer.active_state != "active":
            loaded = "" if timer.load_state == "loaded" else f", {timer.load_state}"
            return Reason.UNIT_INACTIVE, f"{timer.active_state} ({timer.sub_state}{loaded})"
        last_at = self._plan.last_at
        ran = "not started yet" if last_at is None else f"last started at {time_text(last_at)}"
        if self._plan.failure:
            return Reason.UNIT_FAILED, f"active; {timer.triggers} failed ({self._plan.failure}), {ran}"
        if overdue_s is not None and overdue_s > 0:
            if self.options.max_age_s is not None:
                overdue = f"did not elapse within {format_duration(self.options.max_age_s)}"
            else:
                expected_at = self._plan.expected_at
                due = "" if expected_at is None else f" at {time_text(expected_at)}"
                overdue = (
                    f"should have elapsed{due}, and has not within {format_duration(self.options.grace_s)}"
                )
            return Reason.HEARTBEAT_MISSED, f"{overdue}, {ran}"
        is_running = job is not None and job.active_state == "activating"
        result = f"active; {timer.triggers} {'is running' if is_running else 'has not failed'}, {ran}"
        has_ended = (
            timer.sub_state == "elapsed" and timer.has_only_calendars and self.options.max_age_s is None
        )
        return Reason.HEARTBEAT_ENDED if has_ended else Reason.OK, result


_RUNNING_STATES = frozenset({"activating", "active", "reloading", "deactivating"})


def _next_text(timer: UnitState, now: datetime, now_s: float) -> str:
    next_s = next_in_s(timer, now, now_s)
    if next_s is not None:
        return f", elapses at {time_text(now + timedelta(seconds=next_s))}"
    return ", does not elapse again" if timer.sub_state == "elapsed" else ""
