"""Expected start times of a timer's job, kept across restarts, to detect runs that did not start. Pure.

systemd reports only the next and the last elapse, and after a boot not even the last elapse of a timer without
Persistent=. Therefore the planned time is stored. It is fulfilled if the timer elapses after the plan was stored:

| situation                                       | plan                                                        |
|-------------------------------------------------|-------------------------------------------------------------|
| the planned time is in the future               | the next elapse from systemd, as the timer may have changed |
| the planned time has passed, the timer elapsed  | the next elapse from systemd                                |
| the planned time has passed without an elapse   | unchanged: the run is overdue                               |
| the job is running, so systemd has no next time | the last elapse plus the longest interval so far            |
| the timer is not active                         | none                                                        |

A time relative to the boot or to the last run (OnBootSec=, OnUnitActiveSec=) is on the monotonic clock and is not
stored: no such run is due while the machine is off.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from monitord.monitors.systemd.common import ending
from monitord.monitors.systemd.unit_ends import SUCCESS
from monitord.net.dbus.unit_state import UnitState


@dataclass(frozen=True, slots=True)
class TimerPlan:
    """`expected_at`: the planned time. `before_it_at`: the last elapse when it was stored. `waits_since`: when the
    timer was first seen. `longest_s`: the longest interval between two elapses so far. `failure`: the failure of the
    last completed run; "" if it succeeded."""

    expected_at: datetime | None = None
    before_it_at: datetime | None = None
    last_at: datetime | None = None
    waits_since: datetime | None = None
    longest_s: float | None = None
    failure: str = ""
    due_monotonic_s: float | None = None

    def seen(
        self, timer: UnitState, job: UnitState | None, now: datetime, *, counts_downtime: bool = True
    ) -> "TimerPlan":
        """Return the plan updated with the current states of the timer and its job.

        `counts_downtime` False: a run is not missed if the timer was not active at its time.
        """
        elapsed = [_until(now, self.last_at), timer.last_trigger_at]
        last_at = max((at for at in elapsed if at is not None and at <= now), default=None)
        waits_since = min(at for at in (self.waits_since, timer.changed_at, now) if at is not None)
        plan = replace(
            self,
            before_it_at=_until(now, self.before_it_at),
            last_at=last_at,
            waits_since=waits_since,
            failure=self._failure(job),
        )
        if timer.active_state != "active":
            return replace(plan, expected_at=None, before_it_at=None, due_monotonic_s=None)
        if not counts_downtime and plan.was_inactive_when_due(timer):
            plan = replace(plan, expected_at=None, before_it_at=None)
        return plan.planned(timer, now)

    def planned(self, timer: UnitState, now: datetime) -> "TimerPlan":
        """Return the plan with the next expected time of an active timer."""
        is_waiting = timer.sub_state == "waiting"
        plan = replace(self, due_monotonic_s=timer.next_monotonic_s if is_waiting else None)
        next_at = timer.next_realtime if is_waiting else None
        if next_at is not None and timer.last_trigger_at is not None:
            between_s = (next_at - timer.last_trigger_at).total_seconds()
            plan = replace(plan, longest_s=max(between_s, self.longest_s or 0.0))
        is_due = self.expected_at is not None and now >= self.expected_at
        if is_due and not self._has_elapsed():
            return plan
        if not is_waiting and plan.last_at is not None and plan.longest_s is not None:
            next_at = plan.last_at + timedelta(seconds=plan.longest_s)
        return replace(plan, expected_at=next_at, before_it_at=plan.last_at)

    def was_inactive_when_due(self, timer: UnitState) -> bool:
        """Return whether the timer was started after the planned time: by a boot, or again.

        The last change of its state is its start, as it has not elapsed since.
        """
        return (
            self.expected_at is not None
            and timer.changed_at is not None
            and timer.changed_at > self.expected_at
            and not self._has_elapsed()
        )

    def _has_elapsed(self) -> bool:
        """Return whether the timer has elapsed since the plan was stored."""
        if self.last_at is None:
            return False
        return self.before_it_at is None or self.last_at > self.before_it_at

    def _failure(self, job: UnitState | None) -> str:
        """Return the failure of the last completed run; a run in progress or awaiting a restart does not count."""
        if job is None:
            return ""
        if job.active_state == "failed":
            return ending(job) or "failed"
        has_ended = job.active_state == "inactive" or job.sub_state == "exited"
        if not has_ended:
            return self.failure
        return "" if job.result in {"", SUCCESS} else ending(job)

    def overdue_s(self, now: datetime, now_s: float) -> float | None:
        """Return the time since the job should have started; negative before that, None if nothing is planned."""
        overdue = []
        if self.expected_at is not None:
            overdue.append((now - self.expected_at).total_seconds())
        if self.due_monotonic_s is not None:
            overdue.append(now_s - self.due_monotonic_s)
        return max(overdue, default=None)

    def age_s(self, now: datetime) -> float:
        """Return the time since the last elapse, or since the timer was first seen if it has never elapsed."""
        since = self.last_at or self.waits_since or now
        return max((now - since).total_seconds(), 0.0)

    def dump_state(self) -> Mapping[str, Any]:
        return {
            "expected_at": _text(self.expected_at),
            "before_it_at": _text(self.before_it_at),
            "last_at": _text(self.last_at),
            "waits_since": _text(self.waits_since),
            "longest_s": self.longest_s,
            "failure": self.failure,
        }

    @classmethod
    def restored(cls, state: Mapping[str, Any]) -> "TimerPlan":
        """Return the plan from the data of `dump_state`; invalid values are ignored."""
        longest_s, failure = state.get("longest_s"), state.get("failure")
        return cls(
            expected_at=_moment(state.get("expected_at")),
            before_it_at=_moment(state.get("before_it_at")),
            last_at=_moment(state.get("last_at")),
            waits_since=_moment(state.get("waits_since")),
            longest_s=float(longest_s) if isinstance(longest_s, (int, float)) else None,
            failure=failure if isinstance(failure, str) else "",
        )


def next_in_s(timer: UnitState, now: datetime, now_s: float) -> float | None:
    """Return the time until the next elapse from systemd; None if there is none, or none until the job has ended."""
    times = []
    if timer.next_realtime is not None:
        times.append((timer.next_realtime - now).total_seconds())
    if timer.next_monotonic_s is not None:
        times.append(timer.next_monotonic_s - now_s)
    return min((time for time in times if time >= 0), default=None)


def _until(now: datetime, at: datetime | None) -> datetime | None:
    """Limit a past time to `now`, in case the clock was set back."""
    return None if at is None else min(at, now)


def _text(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat()


def _moment(text: object) -> datetime | None:
    try:
        at = datetime.fromisoformat(text) if isinstance(text, str) else None
    except ValueError:
        return None
    return at if at is None or at.tzinfo is not None else at.replace(tzinfo=UTC)
