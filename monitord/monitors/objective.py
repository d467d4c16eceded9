"""Monitor type `objective`: a service level objective over the history of other monitors.

    type = "objective"
    monitors = ["shop-*"]
    target = 99.9

It is down while the error budget of its window burns fast, and degraded while it burns slowly: see
`monitord.health.objectives`. A monitor with `slo = { target = 99.9 }` has an objective of its own: `objective_of`.

The history is read at each check, not at each result of a monitor. The beginning of the window, which is most of it, is
read once per REFRESH_RATIO of the window, so that the data that a check reads does not grow with the length of the
window.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import ClassVar

from monitord import text
from monitord.automatic_names import OBJECTIVES, full_monitor_name
from monitord.conditions import Bounds, FieldType, Vocabulary
from monitord.config import Table
from monitord.errors import HistoryError
from monitord.explanation import error_budget_text
from monitord.health import CoveredTime, HealthPolicy, Objective
from monitord.health.objectives import (
    BURN_ALERTS,
    SLOW,
    ObjectiveStatus,
    burn_windows_s,
    objective_status,
)
from monitord.history import Uptime
from monitord.model import FieldValue, Observation, Reason, State
from monitord.monitors.base import OBJECTIVE, Monitor, MonitorSettings, Stopwatch
from monitord.units import approximate_duration, format_duration, format_percent

DAY_S = 86_400.0
DEFAULT_WINDOW_S = 30 * DAY_S
SHORTEST_WINDOW_S = 7 * DAY_S
LONGEST_WINDOW_S = 366 * DAY_S

LOWEST_TARGET, COMPLETE = 1.0, 100.0
"""Percent. Less than the lowest is a mistake: a ratio such as 0.999."""

CHECK_EVERY_S = 60.0
TIMEOUT_S = 30.0
RETRY_EVERY_S = 10.0
"""Schedule of the objective of a monitor; the first two are also the defaults of the type."""

REFRESH_RATIO = 0.001
"""The age from which the beginning of the window is read again, relative to the window: 43 minutes of 30 days."""

MAX_TITLE_CHARACTERS = 100

WHOLE_FROM = 100.0
"""Burn rates from which no decimals are shown."""

BURN_RATES = tuple(f"burn_rate.{alert.name}{suffix}" for alert in BURN_ALERTS for suffix in ("", "_short"))
"""The fields of the burn rates, in the order of `burn_windows_s`."""

_PERCENT = Bounds(least=0, most=100)
_RATE = Bounds(least=0)
VOCABULARY = Vocabulary(
    {
        "objective.monitors": FieldType.NUMBER,
        "objective.achieved_percent": FieldType.NUMBER,
        "objective.target_percent": FieldType.NUMBER,
        "error_budget.left_percent": FieldType.NUMBER,
        "error_budget.left_time": FieldType.DURATION,
        "error_budget.used_time": FieldType.DURATION,
        **dict.fromkeys(BURN_RATES, FieldType.NUMBER),
    },
    {
        "objective.monitors": Bounds(least=0, is_whole=True),
        "objective.achieved_percent": _PERCENT,
        "objective.target_percent": _PERCENT,
        "error_budget.left_percent": Bounds(most=100),
        "error_budget.used_time": Bounds(least=0),
        **dict.fromkeys(BURN_RATES, _RATE),
    },
)


@dataclass(frozen=True, slots=True)
class ObjectiveOptions:
    """`monitors`: names and patterns. `monitor_tags`: the monitors need all of them. At least one of both is set."""

    objective: Objective
    monitors: tuple[str, ...] = ()
    monitor_tags: tuple[str, ...] = ()


def read_objective(table: Table) -> Objective:
    """Read `target`, `window` and `burn_alerts`. Errors and warnings are recorded in the table."""
    target = table.number("target", example="99.9")
    if not LOWEST_TARGET <= target < COMPLETE:
        table.error(
            "target",
            f"{target:.10g} is not a percentage of at least {LOWEST_TARGET:g} and less than {COMPLETE:g}",
            "write a number such as 99.9",
        )
        target = LOWEST_TARGET
    objective = Objective(
        target_percent=target,
        window_s=table.duration(
            "window", default=DEFAULT_WINDOW_S, minimum=SHORTEST_WINDOW_S, maximum=LONGEST_WINDOW_S
        ),
        burn_alerts=table.flag("burn_alerts", default=True),
    )
    highest_rate = 1 / objective.allowed_ratio
    if objective.burn_alerts and highest_rate < SLOW.burn_rate:
        table.warn(
            "target",
            f"{target:.10g} is too low for alerts: the burn rate of a total outage is {rate_text(highest_rate)}, "
            f"and slow burn begins at {SLOW.burn_rate:g}",
            "write a higher target, or burn_alerts = false",
        )
    return objective


def objective_of(settings: MonitorSettings) -> MonitorSettings | None:
    """Return the monitor of the objective of a monitor; None if it has none.

    It has the tags and the context of the monitor, so that the same routes, maintenance windows and silences by tag
    apply.
    """
    if settings.objective is None:
        return None
    context = settings.context
    title = text.shortened(f"Objective of {context.title or settings.name}", MAX_TITLE_CHARACTERS)
    return MonitorSettings(
        name=objective_name(settings.name),
        type_name=OBJECTIVE,
        check_every_s=CHECK_EVERY_S,
        timeout_s=TIMEOUT_S,
        retry_every_s=RETRY_EVERY_S,
        policy=ObjectiveMonitor.default_policy,
        options=ObjectiveOptions(settings.objective, monitors=(settings.name,)),
        tags=settings.tags,
        renamed_from=None if settings.renamed_from is None else objective_name(settings.renamed_from),
        source=settings.source,
        context=replace(context, title=title),
    )


def objective_name(monitor: str) -> str:
    """The name of the objective of a monitor: "objective:shop"."""
    return f"{OBJECTIVES}:{monitor}"


def covered_time(uptime: Uptime) -> CoveredTime:
    """Return the covered and the bad time. Degraded time is good: the service is available."""
    return CoveredTime(uptime.covered_s, uptime.seconds.get(State.DOWN, 0.0))


@dataclass(frozen=True, slots=True)
class _Beginning:
    """The time of `monitors` from the start of the window until `end`."""

    monitors: tuple[str, ...]
    read_at: datetime
    end: datetime
    time: CoveredTime


class ObjectiveMonitor(Monitor[ObjectiveOptions]):
    type_name: ClassVar[str] = OBJECTIVE
    uses_network = False
    vocabulary: ClassVar[Vocabulary] = VOCABULARY
    # The history is not a measurement that can fail once, and the short windows prevent flapping.
    default_policy: ClassVar[HealthPolicy] = HealthPolicy(
        fail_after=1, degrade_after=1, detects_flapping=False
    )
    default_check_every_s: ClassVar[float] = CHECK_EVERY_S
    default_timeout_s: ClassVar[float] = TIMEOUT_S

    _beginning: _Beginning | None = None

    @classmethod
    def belongs_to_host(cls, options: ObjectiveOptions) -> bool:
        del options
        return False  # it evaluates monitors that nodes share

    @classmethod
    def read_options(cls, table: Table) -> ObjectiveOptions:
        monitors = table.one_or_more("monitors", full_monitor_name, default=())
        tags = table.one_or_more("monitor_tags", str, default=())
        is_rejected = table.raw("monitors") or table.raw("monitor_tags")
        if not monitors and not tags and not is_rejected:
            table.error(
                "monitors", "is empty", 'write monitors = ["NAME", "PATTERN*"] or monitor_tags = ["TAG"]'
            )
        if "slo" in table:
            table.error("slo", "an objective has no objective", "write target and window instead")
        return ObjectiveOptions(
            read_objective(table), tuple(dict.fromkeys(monitors)), tuple(dict.fromkeys(tags))
        )

    async def check(self) -> Observation:
        watch = Stopwatch(self.tools.clock)
        options, states = self.options, self.tools.state_times
        monitors = tuple(states.select(options.monitors, options.monitor_tags))
        try:
            status = await self._status(monitors, self.tools.clock.now())
        except HistoryError as error:
            return watch.observation(Reason.HISTORY_UNAVAILABLE, str(error))
        if status.time.good_ratio is None:
            detail = (
                f"no data for {text.counted(len(monitors), 'monitor')}" if monitors else "no monitor matches"
            )
            return watch.observation(Reason.OBJECTIVE_NO_DATA, detail, {"objective.monitors": len(monitors)})
        reason, detail = _judged(status)
        fields: dict[str, FieldValue] = {
            "objective.monitors": len(monitors),
            "objective.achieved_percent": 100 * (status.time.good_ratio or 0.0),
            "objective.target_percent": status.objective.target_percent,
            "error_budget.left_percent": 100 * status.budget.left_ratio,
            "error_budget.left_time": status.budget.left_s,
            "error_budget.used_time": status.budget.used_s,
        }
        rates = (rate for burn in status.burns for rate in (burn.long_rate, burn.short_rate))
        fields |= {name: rate for name, rate in zip(BURN_RATES, rates, strict=True) if rate is not None}
        return watch.observation(reason, detail, fields)

    async def _status(self, monitors: tuple[str, ...], now: datetime) -> ObjectiveStatus:
        """Read the history. Raises HistoryError."""
        objective = self.options.objective
        beginning = self._beginning
        is_recent = (
            beginning is not None
            and beginning.monitors == monitors
            and 0 <= (now - beginning.read_at).total_seconds() < REFRESH_RATIO * objective.window_s
        )
        if beginning is None or not is_recent:
            # Later than that, a failure that is confirmed now can still change the past: downtime begins with the
            # first of the failures.
            end = now - timedelta(seconds=SLOW.windows_s(objective.window_s)[0])
            start = now - timedelta(seconds=objective.window_s)
            (time,) = await self.tools.state_times.covered(monitors, [(start, end)])
            self._beginning = beginning = _Beginning(monitors, now, end, time)
        ranges = [(now - timedelta(seconds=seconds), now) for seconds in burn_windows_s(objective)]
        rest, *recent = await self.tools.state_times.covered(monitors, [(beginning.end, now), *ranges])
        return objective_status(objective, beginning.time + rest, recent)

    def journal_fields(self, observation: Observation) -> Mapping[str, str]:
        percent = observation.fields.get("error_budget.left_percent")
        return {"ERROR_BUDGET_LEFT_PERCENT": f"{percent:.2f}"} if isinstance(percent, float) else {}


def _judged(status: ObjectiveStatus) -> tuple[Reason, str]:
    """The reason and the detail of a result."""
    achieved = format_percent(status.time.good_ratio or 0.0)
    budget = status.budget
    # "target 99.9 %, 51 % (22m) of the error budget left"
    left = (
        f"target {target_text(status.objective)}, {error_budget_text(100 * budget.left_ratio, budget.left_s)}"
    )
    summary = f"{achieved} in {format_duration(status.objective.window_s)}, {left}"
    burn = status.burning if status.objective.burn_alerts else None
    if burn is None:
        rates = " and ".join(
            f"{rate_text(rate)} over {format_duration(seconds)}"
            for rate, seconds in ((burn.long_rate, burn.long_s) for burn in status.burns)
        )
        return Reason.OK, f"{summary}; burn rate {rates}"
    reason = Reason.SLOW_BURN if burn.alert is SLOW else Reason.FAST_BURN
    long, short = (
        f"{rate_text(rate)} over {format_duration(seconds)}"
        for rate, seconds in ((burn.long_rate, burn.long_s), (burn.short_rate, burn.short_s))
    )
    exhaustion = "the error budget is used up"
    if budget.left_s > 0:
        exhausted_in = approximate_duration(burn.exhausted_in_s(budget))
        exhaustion = f"at this rate, the error budget is used up in {exhausted_in}"
    rates = f"burn rate {long} and {short} (limit {burn.alert.burn_rate:g})"
    return reason, f"{rates}; {exhaustion}; {summary}"


def target_text(objective: Objective) -> str:
    """ "99.9 %"."""
    return f"{objective.target_percent:.10g} %"


def rate_text(rate: float | None) -> str:
    """ "0", "14.4", "1000"."""
    if rate is None:
        return "-"
    return f"{rate:.0f}" if rate >= WHOLE_FROM else f"{rate:.3g}"
