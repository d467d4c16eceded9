"""The state of a monitor over time: pure functions of frozen values. No clock, no I/O, no logging.

`machine` contains the table of states; the caller passes the verdict and its time. `flapping`, `dependencies`,
`incidents`, `windows` and `isolation` contain other decisions about incidents and notifications, `objectives` the error
budgets and burn rates of service level objectives.
"""

from monitord.health.dependencies import ParentState, combined_state
from monitord.health.flapping import Flapping
from monitord.health.incidents import incident_after
from monitord.health.isolation import ISOLATION_TEST_CHECKS, Isolation, IsolationPolicy
from monitord.health.machine import HealthPolicy, HealthState, advance, confirm, without_streak
from monitord.health.objectives import CoveredTime, Objective
from monitord.health.windows import TimeWindow, maintenance_of, read_windows

__all__ = [
    "ISOLATION_TEST_CHECKS",
    "CoveredTime",
    "Flapping",
    "HealthPolicy",
    "HealthState",
    "Isolation",
    "IsolationPolicy",
    "Objective",
    "ParentState",
    "TimeWindow",
    "advance",
    "combined_state",
    "confirm",
    "incident_after",
    "maintenance_of",
    "read_windows",
    "without_streak",
]
