"""Flapping by the rule of Icinga 2: changes among the last 20 results, of which newer changes have more weight.

    value = 100 / 20 * sum of (0.8 + 0.02 * i) over the changes, i from 0 for the oldest to 19 for the newest

Flapping begins above 30 and ends at or below 25: a value near a single threshold would begin and end it repeatedly.
Inconclusive results do not count.
"""

from dataclasses import dataclass

from monitord.model import Verdict

RESULTS = 20
BEGINS_ABOVE = 30.0
OVER_AT = 25.0

_NEWEST = 1 << (RESULTS - 1)


@dataclass(frozen=True, slots=True)
class Flapping:
    """`changes`: a bit for each of the last 20 results, the newest highest; set if the verdict has changed."""

    changes: int = 0
    last: Verdict | None = None
    is_flapping: bool = False

    def after(self, verdict: Verdict) -> "Flapping":
        """The value after one more conclusive result."""
        changes = self.changes >> 1
        if self.last is not None and verdict is not self.last:
            changes |= _NEWEST
        if not changes:
            return Flapping(0, verdict) if self.changes or self.last is not verdict else self
        value = _value(changes)
        return Flapping(changes, verdict, value > (OVER_AT if self.is_flapping else BEGINS_ABOVE))

    @property
    def value(self) -> float:
        """The weighted share of changes in percent, from 0 to 99."""
        return _value(self.changes)


def _value(changes: int) -> float:
    # In hundredths, so that the thresholds are compared exactly.
    weight = sum(80 + 2 * index for index in range(RESULTS) if changes >> index & 1)
    return weight / RESULTS
