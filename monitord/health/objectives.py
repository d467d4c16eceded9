"""Service level objectives: error budget and burn rate, from the time that monitors were covered and down. Pure.

The terms are those of the SRE workbook (https://sre.google/workbook/alerting-on-slos/). The error budget is the
downtime that the objective allows: 0.1 % of the covered time for a target of 99.9 %. A burn rate of 1 uses exactly the
budget within the window of the objective. An alert needs its burn rate in two windows: the long window shows that
enough of the budget has been used, the short window that it is still being used, so that the alert ends soon after the
problem.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

SHORT_WINDOW_RATIO = 1 / 12
"""The short window of an alert, relative to its long window."""


@dataclass(frozen=True, slots=True)
class BurnAlert:
    """`long_ratio`: its long window, relative to the window of the objective."""

    name: str
    burn_rate: float
    long_ratio: float

    def windows_s(self, window_s: float) -> tuple[float, float]:
        """The long and the short window for an objective with this window, in seconds."""
        long_s = window_s * self.long_ratio
        return long_s, long_s * SHORT_WINDOW_RATIO


FAST = BurnAlert("fast", 14.4, 1 / 720)
SLOW = BurnAlert("slow", 6.0, 6 / 720)
"""For a window of 30 days: 14.4 over 1 hour and 5 minutes, and 6 over 6 hours and 30 minutes, which are 2 % and 5 % of
the budget. The windows are proportional to the window of the objective, so that these shares are always the same."""

BURN_ALERTS = (FAST, SLOW)
"""The most severe first."""


@dataclass(frozen=True, slots=True)
class Objective:
    """`target_percent`: above 0, below 100. `burn_alerts` False: only conditions determine its state."""

    target_percent: float
    window_s: float
    burn_alerts: bool = True

    @property
    def target_ratio(self) -> float:
        return self.target_percent / 100

    @property
    def allowed_ratio(self) -> float:
        """The error budget as a ratio of the covered time."""
        return (100 - self.target_percent) / 100


@dataclass(frozen=True, slots=True)
class CoveredTime:
    """Time in which monitors were up, degraded or down, and the part in which they were down, in seconds.

    Time of several monitors is added, so it can exceed the period.
    """

    covered_s: float = 0.0
    bad_s: float = 0.0

    def __add__(self, other: "CoveredTime") -> "CoveredTime":
        return CoveredTime(self.covered_s + other.covered_s, self.bad_s + other.bad_s)

    @property
    def good_ratio(self) -> float | None:
        """None if nothing is covered."""
        return 1 - self.bad_s / self.covered_s if self.covered_s else None


@dataclass(frozen=True, slots=True)
class ErrorBudget:
    """The bad time that the objective allows in the covered time, and the bad time, in seconds."""

    allowed_s: float
    used_s: float

    @property
    def left_s(self) -> float:
        """Negative if the objective is missed."""
        return self.allowed_s - self.used_s

    @property
    def left_ratio(self) -> float:
        """1: nothing is used; 0: everything; negative: the objective is missed."""
        return self.left_s / self.allowed_s if self.allowed_s else 1.0


@dataclass(frozen=True, slots=True)
class Burn:
    """The burn rates in the two windows of an alert. None: nothing is covered in that window."""

    alert: BurnAlert
    long_s: float
    short_s: float
    long_rate: float | None
    short_rate: float | None
    bad_s: float
    """In the long window."""

    min_bad_s: float
    """The bad time at the burn rate of the alert in a long window that is fully covered. If little of it is covered,
    such as soon after a monitor was added, a few bad seconds are a high rate, but hardly reduce the budget."""

    @property
    def is_burning(self) -> bool:
        return (
            self.long_rate is not None
            and self.short_rate is not None
            and min(self.long_rate, self.short_rate) >= self.alert.burn_rate
            and self.bad_s >= self.min_bad_s
        )

    def exhausted_in_s(self, budget: ErrorBudget) -> float:
        """The time until the budget is used up at the rate of the long window; infinite if nothing was bad in it."""
        return max(0.0, budget.left_s) * self.long_s / self.bad_s if self.bad_s else math.inf


@dataclass(frozen=True, slots=True)
class ObjectiveStatus:
    """`time`: in the window of the objective. `burns`: in the order of BURN_ALERTS."""

    objective: Objective
    time: CoveredTime
    budget: ErrorBudget
    burns: tuple[Burn, ...]

    @property
    def burning(self) -> Burn | None:
        """The most severe alert whose burn rate is reached in both windows."""
        return next((burn for burn in self.burns if burn.is_burning), None)


def error_budget(objective: Objective, time: CoveredTime) -> ErrorBudget:
    return ErrorBudget(objective.allowed_ratio * time.covered_s, time.bad_s)


def burn_rate(objective: Objective, time: CoveredTime) -> float | None:
    """Return the ratio of bad time, divided by the ratio that the objective allows. None if nothing is covered."""
    return time.bad_s / time.covered_s / objective.allowed_ratio if time.covered_s else None


def burn_windows_s(objective: Objective) -> tuple[float, ...]:
    """The long and the short window of each alert, in seconds, in the order of BURN_ALERTS."""
    return tuple(seconds for alert in BURN_ALERTS for seconds in alert.windows_s(objective.window_s))


def objective_status(
    objective: Objective, time: CoveredTime, recent: Sequence[CoveredTime]
) -> ObjectiveStatus:
    """Evaluate an objective. `time`: of its window; `recent`: of each of `burn_windows_s`."""
    burns = []
    for index, alert in enumerate(BURN_ALERTS):
        long_s, short_s = alert.windows_s(objective.window_s)
        long, short = recent[2 * index], recent[2 * index + 1]
        burns.append(
            Burn(
                alert,
                long_s,
                short_s,
                burn_rate(objective, long),
                burn_rate(objective, short),
                long.bad_s,
                alert.burn_rate * objective.allowed_ratio * long_s,
            )
        )
    return ObjectiveStatus(objective, time, error_budget(objective, time), tuple(burns))
