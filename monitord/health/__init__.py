"""How a monitor stands over time: pure functions over frozen state. No clock, no I/O, no logging.

`machine` holds the table of states; the caller hands in the verdict and the time it was reached.
"""

from monitord.health.machine import HealthPolicy, HealthState, Step, advance

__all__ = ["HealthPolicy", "HealthState", "Step", "advance"]
