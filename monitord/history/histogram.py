"""A histogram of times that can be merged: percentiles of any window are those of its union, not means of percentiles.

Slots grow by a constant factor, as in DDSketch (Masson, Rim, Lee 2019): slot i holds what is above GAMMA**(i-1) and
at most GAMMA**i microseconds, and the value told for it is at most RELATIVE_ERROR away from each that went in.
Merging adds counts, so it loses nothing.
"""

import math
from collections.abc import Mapping

RELATIVE_ERROR = 0.02

_GAMMA = (1 + RELATIVE_ERROR) / (1 - RELATIVE_ERROR)
_PER_LOG = 1 / math.log(_GAMMA)


class Histogram:
    """Counts by slot. It is owned by one who changes it, or shared and left as it is."""

    __slots__ = ("slots",)

    def __init__(self, slots: Mapping[int, int] | None = None) -> None:
        self.slots: dict[int, int] = dict(slots or {})

    def add(self, value_us: int) -> None:
        """`value_us`: from 1 up."""
        slot = math.ceil(math.log(value_us) * _PER_LOG)
        self.slots[slot] = self.slots.get(slot, 0) + 1

    def merge(self, other: "Histogram") -> None:
        slots = self.slots
        if not slots:
            self.slots = dict(other.slots)
            return
        known = slots.get
        for slot, count in other.slots.items():
            slots[slot] = known(slot, 0) + count

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Histogram) and self.slots == other.slots

    __hash__ = None  # type: ignore[assignment]  # it changes, so it has none

    def __repr__(self) -> str:
        return f"Histogram({self.slots})"

    @property
    def count(self) -> int:
        return sum(self.slots.values())

    def quantile_s(self, share: float) -> float | None:
        """The value that so large a share does not exceed, in seconds; None when nothing was counted."""
        rank = max(1, math.ceil(share * self.count))
        for slot in sorted(self.slots):
            rank -= self.slots[slot]
            if rank <= 0:
                return 2 * math.exp(slot / _PER_LOG) / (_GAMMA + 1) / 1e6
        return None
