"""The type `unit`: units of systemd, one by its name or many by patterns, heard of as things happen.

    type = "unit"
    unit = "nginx.service"

A unit that fails, crashes or stops wakes its monitor: nobody waits for the next check. A service that crashes and is
restarted at once was down for all that, and the next check says so. What is neither active nor failed has `grace`
to become one of them: a restart or an upgrade takes that long.

Without conditions: one unit is to be active (a oneshot service: not failed), of many none may have failed.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import Any, ClassVar

from monitord.conditions import COUNT, EXIT_STATUS, LATENCY, FieldType, Vocabulary
from monitord.config import Table
from monitord.health import HealthPolicy
from monitord.model import FieldValue, Observation, Reason
from monitord.monitors.base import Monitor, MonitorSettings, Stopwatch, Tools
from monitord.monitors.systemd.common import (
    Nudge,
    compile_patterns,
    has_library,
    parse_unit_name,
    parse_unit_pattern,
    unanswered,
)
from monitord.monitors.systemd.unit_ends import WELL, Ends, waits_for_restart
from monitord.monitors.systemd.unit_wording import MAX_NAMED, crash_text, state_text
from monitord.net.dbus.bus import BusError
from monitord.net.dbus.unit_state import UnitChange, UnitState
from monitord.net.dbus.units import Following
from monitord.text import first_of
from monitord.units import format_duration

DEFAULT_GRACE_S = 30.0
MAX_LOOKED_AT = 64
"""Units of a pattern that are looked at one by one in a check; what more there are is counted by its state alone."""

_RUNS = frozenset({"active", "reloading", "refreshing"})

VOCABULARY = Vocabulary(
    {
        "response_time": FieldType.DURATION,
        "unit.active_state": FieldType.TEXT,
        "unit.sub_state": FieldType.TEXT,
        "unit.load_state": FieldType.TEXT,
        "unit.result": FieldType.TEXT,
        "unit.exit_code": FieldType.TEXT,
        "unit.exit_status": FieldType.NUMBER,
        "unit.restarts": FieldType.NUMBER,
        "unit.since": FieldType.DURATION,
        "unit.crashes": FieldType.NUMBER,
        "unit.count": FieldType.NUMBER,
        "unit.failed": FieldType.NUMBER,
        "unit.failed_units": FieldType.TEXTS,
    },
    {
        "response_time": LATENCY,
        "unit.exit_status": EXIT_STATUS,
        **dict.fromkeys(("unit.restarts", "unit.crashes", "unit.count", "unit.failed"), COUNT),
    },
)


class ExpectedState(Enum):
    """How a unit is to stand."""

    ACTIVE = "active"
    NOT_FAILED = "not_failed"
    INACTIVE = "inactive"


class OnCrash(Enum):
    """What a crash means after which the unit was started again."""

    FAIL = "fail"
    WARN = "warn"
    IGNORE = "ignore"


_REASON_OF_CRASH = {
    OnCrash.FAIL: Reason.UNIT_FAILED,
    OnCrash.WARN: Reason.UNIT_RESTARTED,
    OnCrash.IGNORE: Reason.OK,
}

_WORST_FIRST = (Reason.UNIT_FAILED, Reason.UNIT_INACTIVE, Reason.CONDITION_FAILED, Reason.UNIT_RESTARTED)


@dataclass(frozen=True, slots=True)
class UnitOptions:
    """`unit`, or if it is empty, `patterns`."""

    unit: str = ""
    patterns: tuple[str, ...] = ()
    expect: ExpectedState = ExpectedState.ACTIVE
    crash: OnCrash = OnCrash.FAIL
    grace_s: float = DEFAULT_GRACE_S


@dataclass(slots=True)
class _Seen:
    """What one check has found out."""

    reason: Reason
    said: str
    is_as_wanted: bool = False
    crashes: int = 0
    fields: dict[str, FieldValue] = field(default_factory=dict)


class UnitMonitor(Monitor[UnitOptions]):
    type_name: ClassVar[str] = "unit"
    default_policy: ClassVar[HealthPolicy] = HealthPolicy(fail_after=1, degrade_after=1)
    uses_network = False
    vocabulary: ClassVar[Vocabulary] = VOCABULARY

    def __init__(self, settings: MonitorSettings, tools: Tools) -> None:
        super().__init__(settings, tools)
        self._pattern = compile_patterns(self.options.patterns)
        self._following: Following | None = None
        self._nudge: Nudge | None = None
        self._has_looked = False
        self._was_as_wanted = False
        self._unwanted_since_s: float | None = None
        self._looked_at: datetime | None = None
        self._ends = Ends()
        self._crashed: dict[str, dict[str, str]] = {}
        self._troubled: frozenset[str] = frozenset()

    @classmethod
    def read_options(cls, table: Table) -> UnitOptions:
        if not has_library(table, "type", cls.type_name):
            table.ignore_others()
            return UnitOptions()
        unit = table.value("unit", parse_unit_name, default="")
        patterns = _read_patterns(table)
        found = table.look_up("unit"), table.look_up("units")
        if found == (None, None):
            table.error("", "names no unit", 'write unit = "nginx.service", or units = "*.service"')
        elif None not in found:
            table.error("units", "stands beside unit", "write one of them")
        return UnitOptions(
            unit=unit,
            patterns=patterns,
            expect=table.choice(
                "expect", ExpectedState, default=ExpectedState.ACTIVE if unit else ExpectedState.NOT_FAILED
            ),
            crash=table.choice("crash", OnCrash, default=OnCrash.FAIL),
            grace_s=table.duration("grace", default=DEFAULT_GRACE_S),
        )

    # -- life ---------------------------------------------------------------------------------------------

    def start(self, wake: Callable[[], None]) -> None:
        self._nudge = Nudge(wake)
        self._follow(self.options.unit)

    async def close(self) -> None:
        if self._following is not None:
            self.tools.units.unfollow(self._following)
            self._following = None
        if self._nudge is not None:
            self._nudge.close()

    def dump_state(self) -> Mapping[str, Any] | None:
        if self._looked_at is None:
            return None
        return {
            "looked_at": self._looked_at.isoformat(),
            "was_as_wanted": self._was_as_wanted,
            "unwanted_for_s": self._unwanted_for_s(),
            "ends": self._ends.dump_state(),
        }

    def restore_state(self, memory: Mapping[str, Any]) -> None:
        looked_at, ends = memory.get("looked_at"), memory.get("ends")
        if isinstance(looked_at, str) and isinstance(ends, Mapping):
            try:
                self._looked_at = datetime.fromisoformat(looked_at)
            except ValueError:
                return
            self._ends.restore_state(ends)
            self._was_as_wanted = memory.get("was_as_wanted") is True
            unwanted_for_s = memory.get("unwanted_for_s")
            if isinstance(unwanted_for_s, (int, float)):
                self._unwanted_since_s = self.tools.clock.monotonic_s() - unwanted_for_s

    def _follow(self, name: str) -> None:
        if self._following is not None:
            self.tools.units.unfollow(self._following)
        units = self.tools.units
        self._following = (
            units.follow(name, self._hear) if name else units.follow_all(self._is_meant, self._hear)
        )

    def _is_meant(self, name: str) -> bool:
        return self._pattern.match(name) is not None

    def _hear(self, change: UnitChange | None) -> None:
        if change is not None and self.options.unit:
            self._ends.hear(change)
        elif change is not None and not self._note(change):
            return
        # The first check comes by itself, with those of all others spread over some seconds.
        if self._nudge is not None and (change is not None or self._has_looked):
            self._nudge.call()

    def _note(self, change: UnitChange) -> bool:
        """One of many: what crashed since the last check, by its runs. Whether the change could matter.

        On a busy host services come and go all the time.
        """
        state = change.active_state
        # What has failed is told already; it may speak again, of a job that is to start it.
        has_failed = state == "failed" and change.name not in self._troubled
        has_crashed = has_failed or waits_for_restart(change.sub_state)
        if has_crashed and change.result not in {None, WELL}:
            self._crashed.setdefault(change.name, {})[change.run or ""] = change.result or ""
        if state == "failed" or change.name in self._crashed or change.name in self._troubled:
            return True
        return self.options.expect is not ExpectedState.NOT_FAILED and state != self.options.expect.value

    # -- a check ------------------------------------------------------------------------------------------

    async def check(self) -> Observation:
        watch = Stopwatch(self.tools.clock)
        options = self.options
        what = options.unit or " ".join(options.patterns)
        deadline = watch.began_s + self.settings.timeout_s
        try:
            seen = await (self._one(deadline) if options.unit else self._many(deadline))
        except BusError as error:
            return unanswered(watch, what, error)
        self._looked_at, self._has_looked = watch.started_at, True
        if self.settings.up_when and seen.reason in {Reason.UNIT_FAILED, Reason.UNIT_INACTIVE}:
            # How the type itself wants it is not asked for. That it crashed is another question: see `crash`.
            seen.reason = Reason.CONDITION_FAILED
        if seen.crashes and seen.reason in {Reason.OK, Reason.CONDITION_FAILED}:
            seen.reason = _REASON_OF_CRASH[options.crash]
        fields: dict[str, FieldValue] = {"response_time": watch.elapsed_s, "unit.crashes": seen.crashes}
        return watch.observation(
            seen.reason, f"{what} {seen.said}", fields | seen.fields, subject=what, outcome=seen.said
        )

    async def _one(self, deadline: float) -> _Seen:
        since = self._looked_at
        state = await self.tools.units.look(self.options.unit, deadline=deadline)
        if self._following is not None and self._following.name != state.name:
            # An alias: signals bear the unit's own name.
            self._follow(state.name)
        crashes = self._ends.look(state)
        age_s = self._age_s(state)
        seen = self._judge(state, age_s if age_s is not None else self._own_age_s())
        if seen.is_as_wanted:
            self._was_as_wanted, self._unwanted_since_s = True, None
        elif self._unwanted_since_s is None:
            self._unwanted_since_s = self.tools.clock.monotonic_s()
        is_said = waits_for_restart(state.sub_state) and state.result != WELL
        if crashes and not is_said:
            seen.said += f", {crash_text(crashes, self._ends.last_end, since)}"
        seen.crashes, seen.fields = crashes, _fields(state, age_s)
        return seen

    async def _many(self, deadline: float) -> _Seen:
        states = await self.tools.units.matching(self.options.patterns, deadline=deadline)
        states = await self._looked_closer(states, deadline)
        judged = [(state.name, self._judge(state, self._age_s(state))) for state in states]
        troubled = [(name, seen) for name, seen in judged if seen.reason is not Reason.OK]
        self._troubled = frozenset(name for name, _ in troubled)
        failed = sorted(state.name for state in states if state.active_state == "failed")
        crashed, self._crashed = self._crashed, {}
        crashes = {name: runs for name, runs in crashed.items() if name not in failed}
        fields: dict[str, FieldValue] = {
            "unit.count": len(states),
            "unit.failed": len(failed),
            "unit.failed_units": tuple(failed),
        }
        if troubled:
            said = f"{len(troubled)} of {len(states)} not well: "
            said += first_of([f"{name} {seen.said}" for name, seen in troubled], MAX_NAMED)
        else:
            said = f"{len(states)} units, all well" if states else "no unit of that name is loaded"
        if crashes:
            said += f"; crashed and restarted: {first_of(sorted(crashes), MAX_NAMED)}"
        reason = min((seen.reason for _, seen in troubled), key=_WORST_FIRST.index, default=Reason.OK)
        if not states and self.options.expect is ExpectedState.ACTIVE:
            reason = Reason.UNIT_INACTIVE
        return _Seen(reason, said, crashes=sum(len(runs) for runs in crashes.values()), fields=fields)

    async def _looked_closer(self, states: Sequence[UnitState], deadline: float) -> list[UnitState]:
        """With all there is to know of those that do not stand as wanted at first sight."""
        want = self.options.expect
        if want is ExpectedState.NOT_FAILED:
            doubtful = [state.name for state in states if state.active_state == "failed"]
        else:
            doubtful = [state.name for state in states if state.active_state != want.value]
        closer = {
            name: await self.tools.units.look(name, deadline=deadline) for name in doubtful[:MAX_LOOKED_AT]
        }
        return [closer.get(state.name, state) for state in states]

    def _age_s(self, state: UnitState) -> float | None:
        """How long it is as it is, by the wall clock, as people read it. None: since the machine booted, or it is not
        known."""
        if state.changed_at is None:
            return None
        return max((self.tools.clock.now() - state.changed_at).total_seconds(), 0.0)

    def _own_age_s(self) -> float | None:
        """A unit that is stopped and that nothing else wants is let go by systemd, with all that was known of it."""
        return (self._unwanted_for_s() or 0.0) if self._was_as_wanted else None

    def _unwanted_for_s(self) -> float | None:
        since_s = self._unwanted_since_s
        return None if since_s is None else self.tools.clock.monotonic_s() - since_s

    def _judge(self, state: UnitState, age_s: float | None) -> _Seen:
        """Of its state alone. Plans the check at which `grace` is over."""
        said = state_text(state, age_s, self.tools.clock.now())
        if state.active_state == "failed":
            return _Seen(Reason.UNIT_FAILED, said)
        want, crash = self.options.expect, self.options.crash
        if want is ExpectedState.NOT_FAILED:
            return _Seen(Reason.OK, said, is_as_wanted=True)
        if waits_for_restart(state.sub_state) and state.result != WELL and crash is not OnCrash.IGNORE:
            return _Seen(_REASON_OF_CRASH[crash], said)
        is_well = _is_active(state) if want is ExpectedState.ACTIVE else _is_inactive(state)
        if is_well:
            return _Seen(Reason.OK, said, is_as_wanted=True)
        left_s = self.options.grace_s - age_s if age_s is not None and state.is_there else 0.0
        if left_s > 0:
            if self._nudge is not None:
                self._nudge.call(after_s=left_s)
            return _Seen(Reason.OK, f"{said}, which is well for {format_duration(self.options.grace_s)}")
        return _Seen(Reason.UNIT_INACTIVE if want is ExpectedState.ACTIVE else Reason.CONDITION_FAILED, said)


def _is_active(state: UnitState) -> bool:
    """A oneshot service does its work and ends: between two runs it is inactive, and that is well."""
    if state.active_state in _RUNS:
        return True
    return state.service_type == "oneshot" and state.load_state == "loaded" and state.result == WELL


def _is_inactive(state: UnitState) -> bool:
    return state.active_state == "inactive"


def _fields(state: UnitState, age_s: float | None) -> dict[str, FieldValue]:
    fields: dict[str, FieldValue] = {
        "unit.active_state": state.active_state,
        "unit.sub_state": state.sub_state,
        "unit.load_state": state.load_state,
        "unit.count": int(state.is_there),
        "unit.failed": int(state.active_state == "failed"),
        "unit.failed_units": (state.name,) if state.active_state == "failed" else (),
    }
    if state.result:
        fields["unit.result"] = state.result
    if state.service_type:
        fields |= {"unit.restarts": state.restarts, "unit.exit_status": state.exit_status}
    if state.exit_code:
        fields["unit.exit_code"] = state.exit_code
    if age_s is not None:
        fields["unit.since"] = age_s
    return fields


def _read_patterns(table: Table) -> tuple[str, ...]:
    """One pattern, or a list of them."""
    found = table.look_up("units")
    if found is None:
        return ()
    if isinstance(found[1], str):
        pattern = table.value("units", parse_unit_pattern, default="")
        return (pattern,) if pattern else ()
    patterns = table.values("units", parse_unit_pattern, default=())
    if found[1] == []:
        table.error("units", "is empty", 'write a pattern such as "*.service"')
    return patterns
