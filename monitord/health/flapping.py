"""Flapping by Icinga 2's rule: the last 20 results, each that differs from the one before weighs the more the newer.

    value = 100 / 20 * sum of (0.8 + 0.02 * i) over the changes, i from 0 for the oldest to 19 for the newest

Flapping begins above 30 and is over at or below 25, so that one who stands at the border does not flap between
flapping and not. Inconclusive results are none.
"""

from dataclasses import dataclass

from monitord.model import Verdict

RESULTS = 20
BEGINS_ABOVE = 30.0
OVER_AT = 25.0

_NEWEST = 1 << (RESULTS - 1)


@dataclass(frozen=True, slots=True)
class Flapping:
    """`changes` holds a bit for each of the last 20 results, the newest highest: did it differ from the one before."""

    changes: int = 0
    last: Verdict | None = None
    is_flapping: bool = False

    def after(self, verdict: Verdict) -> "Flapping":
        """One sure result later."""
        changes = self.changes >> 1
        if self.last is not None and verdict is not self.last:
            changes |= _NEWEST
        if not changes:
            return Flapping(0, verdict) if self.changes or self.last is not verdict else self
        value = _value(changes)
        return Flapping(changes, verdict, value > (OVER_AT if self.is_flapping else BEGINS_ABOVE))

    @property
    def value(self) -> float:
        """The share of change in percent, from 0 to 99."""
        return _value(self.changes)


def _value(changes: int) -> float:
    # In hundredths, so that the border is met exactly.
    weight = sum(80 + 2 * place for place in range(RESULTS) if changes >> place & 1)
    return weight / RESULTS
