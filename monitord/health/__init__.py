"""How a monitor stands over time: pure functions over frozen state. No clock, no I/O, no logging.

`machine` holds the table of states; the caller hands in the verdict and the time it was reached. Beside it lies what
else decides whether somebody is to be told: `flapping`, `dependencies`, `incidents`, `isolation`.
"""

from monitord.health.dependencies import Parents, parents_of
from monitord.health.flapping import Flapping
from monitord.health.incidents import incident_after
from monitord.health.isolation import PROBED, Isolation, IsolationPolicy
from monitord.health.machine import HealthPolicy, HealthState, Step, advance, confirm, without_streak
from monitord.health.windows import Window, maintenance_of, read_windows

__all__ = [
    "PROBED",
    "Flapping",
    "HealthPolicy",
    "HealthState",
    "Isolation",
    "IsolationPolicy",
    "Parents",
    "Step",
    "Window",
    "advance",
    "confirm",
    "incident_after",
    "maintenance_of",
    "parents_of",
    "read_windows",
    "without_streak",
]
