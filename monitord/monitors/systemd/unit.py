"""Monitor type `unit`: systemd units, one by name or many by patterns.

    type = "unit"
    unit = "nginx.service"

A check is requested at once when a unit fails, crashes or stops. A service that crashed and was restarted since the
previous check fails the check. A unit that is neither active nor failed has the time `grace` to become one of both, as
during an upgrade.

Without conditions, a single unit must be active (a oneshot service: not failed); if there are several units, none may
have failed.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum
from typing import Any, ClassVar

from monitord.clock import time_text
from monitord.conditions import COUNT, EXIT_STATUS, LATENCY, FieldType, Unresolved, Vocabulary
from monitord.config import Table
from monitord.health import HealthPolicy
from monitord.model import FieldValue, Observation, Reason
from monitord.monitors.base import Monitor, MonitorSettings, Stopwatch, Tools
from monitord.monitors.check_requester import CheckRequester
from monitord.monitors.services import OnCrash, UnexpectedState
from monitord.monitors.systemd.common import (
    compile_patterns,
    ending,
    has_library,
    manager_failure,
    parse_unit_name,
    parse_unit_pattern,
)
from monitord.monitors.systemd.unit_ends import SUCCESS, UnitEnds, waits_for_restart
from monitord.monitors.systemd.unit_usage import (
    RESOURCE_BOUNDS,
    RESOURCE_FIELDS,
    RESTARTS_PER_HOUR,
    ResourceRates,
    RestartHistory,
)
from monitord.net.dbus.bus import BusError
from monitord.net.dbus.unit_resources import KINDS, UnitResources
from monitord.net.dbus.unit_state import UnitChange, UnitState
from monitord.net.dbus.units import UnitSubscription
from monitord.text import counted, first_of
from monitord.units import format_duration

DEFAULT_GRACE_S = 30.0
MAX_QUERIED = 64
"""Units of a pattern that a check queries individually; only the state of the others is used."""

_ACTIVE_STATES = frozenset({"active", "reloading", "refreshing"})

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
        RESTARTS_PER_HOUR: FieldType.NUMBER,
        **RESOURCE_FIELDS,
    },
    {
        "response_time": LATENCY,
        "unit.exit_status": EXIT_STATUS,
        **dict.fromkeys(
            ("unit.restarts", "unit.crashes", "unit.count", "unit.failed", RESTARTS_PER_HOUR), COUNT
        ),
        **RESOURCE_BOUNDS,
    },
)

MAX_NAMED = 5


class ExpectedState(Enum):
    """The expected state of a unit."""

    ACTIVE = "active"
    NOT_FAILED = "not_failed"
    INACTIVE = "inactive"


_REASON_OF_CRASH = {
    OnCrash.FAIL: Reason.UNIT_FAILED,
    OnCrash.WARN: Reason.UNIT_RESTARTED,
    OnCrash.IGNORE: Reason.OK,
}

_WORST_FIRST = (Reason.UNIT_FAILED, Reason.UNIT_INACTIVE, Reason.CONDITION_FAILED, Reason.UNIT_RESTARTED)


@dataclass(frozen=True, slots=True)
class UnitOptions:
    """`unit`: a single unit; if it is empty, `patterns` are used. `resources`: query resources for the history."""

    unit: str = ""
    patterns: tuple[str, ...] = ()
    expect: ExpectedState = ExpectedState.ACTIVE
    on_crash: OnCrash = OnCrash.FAIL
    grace_s: float = DEFAULT_GRACE_S
    resources: bool = False


@dataclass(slots=True)
class _UnitOutcome:
    """The outcome of one check."""

    reason: Reason
    text: str
    is_as_expected: bool = False
    crashes: int = 0
    fields: dict[str, FieldValue] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)


class UnitMonitor(Monitor[UnitOptions]):
    type_name: ClassVar[str] = "unit"
    default_policy: ClassVar[HealthPolicy] = HealthPolicy(fail_after=1, degrade_after=1)
    uses_network = False
    vocabulary: ClassVar[Vocabulary] = VOCABULARY

    def __init__(self, settings: MonitorSettings, tools: Tools) -> None:
        super().__init__(settings, tools)
        self._pattern = compile_patterns(self.options.patterns)
        self._following: UnitSubscription | None = None
        self._requester: CheckRequester | None = None
        self._is_checked = False
        self._unexpected = UnexpectedState(tools.clock)
        self._ends = UnitEnds()
        self._restarts = RestartHistory()
        self._rates = ResourceRates()
        self._queries_resources = self.options.resources or not self.settings.needs.isdisjoint(
            RESOURCE_FIELDS
        )
        self._crashed: dict[str, dict[str, str]] = {}
        self._problems: frozenset[str] = frozenset()

    @classmethod
    def read_options(cls, table: Table) -> UnitOptions:
        if not has_library(table, "type", cls.type_name):
            table.ignore_others()
            return UnitOptions()
        unit = table.value("unit", parse_unit_name, default="")
        patterns = table.one_or_more("units", parse_unit_pattern, default=())
        written = table.raw("unit"), table.raw("units")
        if written[1] == []:
            table.error("units", "is empty", 'write a pattern such as "*.service"')
        if written == (None, None):
            table.error(
                "", "has neither unit nor units", 'write unit = "nginx.service" or units = "*.service"'
            )
        elif None not in written:
            table.error("units", "conflicts with unit", "write only one of them")
        resources = table.flag("resources", default=False)
        if resources and patterns:
            table.error("resources", "is available only with unit", "remove it")
        elif resources and unit and unit.rpartition(".")[2] not in KINDS:
            table.error("resources", f"does not exist for {unit}, which has no processes", "remove it")
        return UnitOptions(
            unit=unit,
            patterns=patterns,
            expect=table.choice(
                "expect", ExpectedState, default=ExpectedState.ACTIVE if unit else ExpectedState.NOT_FAILED
            ),
            on_crash=table.choice("on_crash", OnCrash, default=OnCrash.FAIL),
            grace_s=table.duration("grace", default=DEFAULT_GRACE_S),
            resources=resources,
        )

    @classmethod
    def absent_fields(cls, options: UnitOptions) -> Mapping[str, str]:
        kind = options.unit.rpartition(".")[2]
        if options.patterns:
            return dict.fromkeys((*RESOURCE_FIELDS, RESTARTS_PER_HOUR), "is available only with unit")
        absent = {RESTARTS_PER_HOUR: "exists only for a service"} if kind and kind != "service" else {}
        if kind and kind not in KINDS:
            absent |= dict.fromkeys(RESOURCE_FIELDS, "does not exist for a unit without processes")
        return absent

    # Signals

    def start(self, wake: Callable[[], None]) -> None:
        self._requester = CheckRequester(wake)
        self._follow(self.options.unit)

    async def close(self) -> None:
        if self._following is not None:
            self.tools.units.unfollow(self._following)
            self._following = None
        if self._requester is not None:
            self._requester.close()

    def dump_state(self) -> Mapping[str, Any] | None:
        if self._unexpected.checked_at is None:
            return None
        return {
            "unit": self.options.unit,
            **self._unexpected.dump_state(),
            "ends": self._ends.dump_state(),
            "restarts": self._restarts.dump_state(),
        }

    def restore_state(self, state: Mapping[str, Any]) -> None:
        if state.get("unit", self.options.unit) != self.options.unit:
            return
        ends = state.get("ends")
        if not isinstance(ends, Mapping) or not self._unexpected.restore_state(state):
            return
        self._ends.restore_state(ends)
        restarts = state.get("restarts")
        if isinstance(restarts, Mapping):
            self._restarts.restore_state(restarts)

    def _follow(self, name: str) -> None:
        if self._following is not None:
            self.tools.units.unfollow(self._following)
        units = self.tools.units
        self._following = (
            units.follow(name, self._on_change)
            if name
            else units.follow_all(lambda unit: self._pattern.match(unit) is not None, self._on_change)
        )

    def _on_change(self, change: UnitChange | None) -> None:
        if change is not None and self.options.unit:
            self._ends.record(change)
        elif change is not None and not self._note(change):
            return
        # The first check is scheduled by the dispatcher, which spreads first checks over a few seconds.
        if self._requester is not None and (change is not None or self._is_checked):
            self._requester.request()

    def _note(self, change: UnitChange) -> bool:
        """Record a crash of one of many units. Return whether the change needs a check.

        On a busy host units start and stop all the time.
        """
        state = change.active_state
        # A failed unit, which the last check reported, sends further signals, such as for a queued start job.
        has_failed = state == "failed" and change.name not in self._problems
        has_crashed = has_failed or waits_for_restart(change.sub_state)
        if has_crashed and change.result not in {None, SUCCESS}:
            self._crashed.setdefault(change.name, {})[change.run or ""] = change.result or ""
        if state == "failed" or change.name in self._crashed or change.name in self._problems:
            return True
        return self.options.expect is not ExpectedState.NOT_FAILED and state != self.options.expect.value

    # Checks

    async def check(self) -> Observation:
        watch = Stopwatch(self.tools.clock)
        options = self.options
        subject = options.unit or " ".join(options.patterns)
        deadline = watch.began_s + self.settings.timeout_s
        try:
            outcome = await (self._check_unit(deadline) if options.unit else self._check_patterns(deadline))
        except BusError as error:
            return manager_failure(watch, subject, error)
        self._unexpected.checked_at, self._is_checked = watch.started_at, True
        if self.settings.up_when and outcome.reason in {Reason.UNIT_FAILED, Reason.UNIT_INACTIVE}:
            # `up_when` replaces the expected state, but not `on_crash`.
            outcome.reason = Reason.CONDITION_FAILED
        if outcome.crashes and outcome.reason in {Reason.OK, Reason.CONDITION_FAILED}:
            outcome.reason = _REASON_OF_CRASH[options.on_crash]
        fields: dict[str, FieldValue] = {"response_time": watch.elapsed_s, "unit.crashes": outcome.crashes}
        return watch.observation(
            outcome.reason,
            f"{subject} {outcome.text}",
            fields | outcome.fields,
            response_data=lambda name, _: _unresolved(outcome, name),
            subject=subject,
            outcome=outcome.text,
        )

    async def _check_unit(self, deadline: float) -> _UnitOutcome:
        since = self._unexpected.checked_at
        state = await self.tools.units.state(self.options.unit, deadline=deadline)
        if self._following is not None and self._following.name != state.name:
            # An alias was configured: signals have the name of the unit.
            self._follow(state.name)
        crashes = self._ends.count_crashes(state)
        age_s = self._age_s(state)
        # systemd unloads a stopped unit that nothing refers to, with the time of its last change.
        outcome = self._evaluate(state, age_s if age_s is not None else self._unexpected.age_s)
        self._unexpected.record(is_expected=outcome.is_as_expected)
        shows_crash = waits_for_restart(state.sub_state) and state.result != SUCCESS
        if crashes and not shows_crash:
            end = f" ({self._ends.last_end})" if self._ends.last_end else ""
            times = "once" if crashes == 1 else f"{crashes} times"
            previous = "" if since is None else f" since {time_text(since)}"
            outcome.text += f", crashed{end} and was restarted {times}{previous}"
        outcome.crashes, outcome.fields = crashes, _fields(state, age_s)
        if state.service_type:
            outcome.fields[RESTARTS_PER_HOUR] = self._restarts.record(state.restarts, self.tools.clock.now())
        if self._queries_resources:
            resources = await self.tools.units.resources(state.name, deadline=deadline)
            used = self._rates.use(resources or UnitResources(), self.tools.clock.monotonic_s())
            outcome.fields |= used.fields
            outcome.missing = used.missing
            needed = sorted(self.settings.needs & used.missing.keys())
            # Inconclusive: otherwise each start of monitord or of the unit would be a failure.
            if needed and outcome.reason is Reason.OK and state.active_state in _ACTIVE_STATES:
                is_pending = used.pending.issuperset(needed)
                outcome.reason = Reason.PROBER_MEASURING if is_pending else Reason.PROBER_FORBIDDEN
                name = next(name for name in needed if is_pending or name not in used.pending)
                outcome.text += f"; {name} is not known: {used.missing[name]}"
        return outcome

    async def _check_patterns(self, deadline: float) -> _UnitOutcome:
        states = await self.tools.units.matching(self.options.patterns, deadline=deadline)
        expect = self.options.expect
        if expect is ExpectedState.NOT_FAILED:
            unexpected = [state.name for state in states if state.active_state == "failed"]
        else:
            unexpected = [state.name for state in states if state.active_state != expect.value]
        # Only units that are not in the expected state are queried individually.
        detailed = {
            name: await self.tools.units.state(name, deadline=deadline) for name in unexpected[:MAX_QUERIED]
        }
        states = [detailed.get(state.name, state) for state in states]
        outcomes = [(state.name, self._evaluate(state, self._age_s(state))) for state in states]
        problems = [(name, outcome) for name, outcome in outcomes if outcome.reason is not Reason.OK]
        self._problems = frozenset(name for name, _ in problems)
        failed = sorted(state.name for state in states if state.active_state == "failed")
        crashed, self._crashed = self._crashed, {}
        crashes = {name: runs for name, runs in crashed.items() if name not in failed}
        fields: dict[str, FieldValue] = {
            "unit.count": len(states),
            "unit.failed": len(failed),
            "unit.failed_units": tuple(failed),
        }
        if problems:
            text = f"{len(problems)} of {counted(len(states), 'unit')} with problems: "
            text += first_of([f"{name} {outcome.text}" for name, outcome in problems], MAX_NAMED)
        else:
            text = f"{counted(len(states), 'unit')}, no problems" if states else "no matching unit is loaded"
        if crashes:
            text += f"; crashed and restarted: {first_of(sorted(crashes), MAX_NAMED)}"
        reason = min((outcome.reason for _, outcome in problems), key=_WORST_FIRST.index, default=Reason.OK)
        if not states and self.options.expect is ExpectedState.ACTIVE:
            reason = Reason.UNIT_INACTIVE
        return _UnitOutcome(reason, text, crashes=sum(len(runs) for runs in crashes.values()), fields=fields)

    def _age_s(self, state: UnitState) -> float | None:
        """Return the time since the last change of state by the wall clock; None if it is not known."""
        if state.changed_at is None:
            return None
        return max((self.tools.clock.now() - state.changed_at).total_seconds(), 0.0)

    def _evaluate(self, state: UnitState, age_s: float | None) -> _UnitOutcome:
        """Compare the state of a unit with the expected one. Requests a check for the end of `grace`."""
        now = self.tools.clock.now()
        since = None if age_s is None else now - timedelta(seconds=age_s)
        if state.changed_at is not None:
            # The same time in each check, which the difference from the current time would not be.
            since = min(state.changed_at, now)
        text = _state_text(state, since)
        if state.active_state == "failed":
            return _UnitOutcome(Reason.UNIT_FAILED, text)
        expect, crash = self.options.expect, self.options.on_crash
        if expect is ExpectedState.NOT_FAILED:
            return _UnitOutcome(Reason.OK, text, is_as_expected=True)
        if waits_for_restart(state.sub_state) and state.result != SUCCESS and crash is not OnCrash.IGNORE:
            return _UnitOutcome(_REASON_OF_CRASH[crash], text)
        is_active = expect is ExpectedState.ACTIVE
        if _is_active(state) if is_active else state.active_state == "inactive":
            return _UnitOutcome(Reason.OK, text, is_as_expected=True)
        left_s = self.options.grace_s - age_s if age_s is not None and state.is_there else 0.0
        if left_s > 0:
            if self._requester is not None:
                self._requester.request(after_s=left_s)
            return _UnitOutcome(
                Reason.OK, f"{text}, accepted for {format_duration(self.options.grace_s)} (grace)"
            )
        return _UnitOutcome(Reason.UNIT_INACTIVE if is_active else Reason.CONDITION_FAILED, text)


def _is_active(state: UnitState) -> bool:
    """Return whether the unit is active. A oneshot service is inactive between its runs, which counts as active."""
    if state.active_state in _ACTIVE_STATES:
        return True
    return state.service_type == "oneshot" and state.load_state == "loaded" and state.result == SUCCESS


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


def _unresolved(outcome: _UnitOutcome, name: str) -> Unresolved:
    """Return the reason why there is no such field."""
    why = outcome.missing.get(name)
    return Unresolved(is_absent=True) if why is None else Unresolved(why)


# Texts


def _state_text(state: UnitState, since: datetime | None) -> str:
    """Return the state as in `systemctl status`: "failed (exit-code, status 1) since 2026-01-31 18:00:00 UTC"."""
    if not state.is_there:
        return "not found"
    has_failed = state.result not in {"", SUCCESS}
    details = f"{state.sub_state}, {ending(state)}" if has_failed else state.sub_state
    if state.active_state == "failed":
        details = ending(state) or state.sub_state
    loaded = "" if state.load_state == "loaded" else f", {state.load_state}"
    duration = "" if since is None else f" since {time_text(since)}"
    return f"{state.active_state} ({details}{loaded}){duration}"
