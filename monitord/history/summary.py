"""The summary of the results of a period: counts by verdict, and response times as sum, extremes, phases and histogram.

Summaries can be merged without loss: the summary of a day is the sum of its minutes, and percentiles of a period are
those of all its results, not averages of percentiles. A summary is stored as packed integers.

The slots of the histogram grow by a constant factor, as in DDSketch (Masson, Rim, Lee 2019): slot i counts values above
GAMMA**(i-1) and at most GAMMA**i microseconds. The value that is reported for a slot deviates from each of these by at
most RELATIVE_ERROR.
"""

import math
from collections.abc import Mapping
from itertools import accumulate

from monitord.history.encoding import PHASES, VERDICTS, pack_integers, unpack_integers
from monitord.history.schema import DamageError

_FIXED = len(VERDICTS) + 5 + len(PHASES)
"""The number of integers before the histogram."""

RELATIVE_ERROR = 0.02

_GAMMA = (1 + RELATIVE_ERROR) / (1 - RELATIVE_ERROR)
_PER_LOG = 1 / math.log(_GAMMA)


class Histogram:
    """Counts by slot."""

    __slots__ = ("slots",)

    def __init__(self, slots: Mapping[int, int] | None = None) -> None:
        self.slots: dict[int, int] = dict(slots or {})

    def add(self, value_us: int) -> None:
        """Count a value, at least 1."""
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

    __hash__ = None  # type: ignore[assignment]  # mutable

    def __repr__(self) -> str:
        return f"Histogram({self.slots})"

    @property
    def count(self) -> int:
        return sum(self.slots.values())

    def quantile_s(self, ratio: float) -> float | None:
        """The value in seconds that this ratio of all values does not exceed. None if no value has been counted."""
        rank = max(1, math.ceil(ratio * self.count))
        for slot in sorted(self.slots):
            rank -= self.slots[slot]
            if rank <= 0:
                return 2 * math.exp(slot / _PER_LOG) / (_GAMMA + 1) / 1e6
        return None


class Summary:
    """Times are in microseconds. `timed`: the number of results with a response time; `phased`: those with phases."""

    __slots__ = (
        "histogram",
        "largest_us",
        "phased",
        "phases_us",
        "smallest_us",
        "timed",
        "total_us",
        "verdicts",
    )

    def __init__(self) -> None:
        self.verdicts = [0] * len(VERDICTS)
        self.timed = 0
        self.smallest_us = 0
        self.largest_us = 0
        self.total_us = 0
        self.phased = 0
        self.phases_us = [0] * len(PHASES)
        self.histogram = Histogram()

    def add(self, verdict: int, response_us: int | None, phases_us: list[int] | None) -> None:
        """Add a result. `response_us` None: there was no response, and phases are ignored."""
        self.verdicts[verdict] += 1
        if response_us is None:
            return
        value_us = max(1, response_us)
        self.smallest_us = min(self.smallest_us, value_us) if self.timed else value_us
        self.largest_us = max(self.largest_us, value_us)
        self.timed += 1
        self.total_us += value_us
        self.histogram.add(value_us)
        if phases_us:
            self.phased += 1
            self._add_phases(phases_us)

    def merge(self, other: "Summary") -> None:
        self.verdicts = [mine + theirs for mine, theirs in zip(self.verdicts, other.verdicts, strict=True)]
        if not other.timed:
            return
        self.smallest_us = min(self.smallest_us, other.smallest_us) if self.timed else other.smallest_us
        self.largest_us = max(self.largest_us, other.largest_us)
        self.timed += other.timed
        self.total_us += other.total_us
        self.phased += other.phased
        self._add_phases(other.phases_us)
        self.histogram.merge(other.histogram)

    def _add_phases(self, phases_us: list[int]) -> None:
        for index, spent_us in enumerate(phases_us):
            self.phases_us[index] += spent_us

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Summary) and self._numbers() == other._numbers()

    __hash__ = None  # type: ignore[assignment]  # mutable

    def __repr__(self) -> str:
        return f"Summary({self._numbers()})"

    def encode(self) -> bytes:
        return pack_integers(self._numbers())

    def _numbers(self) -> list[int]:
        numbers = [
            *self.verdicts,
            self.timed,
            self.smallest_us,
            self.largest_us,
            self.total_us,
            self.phased,
            *self.phases_us,
        ]
        last = 0
        for slot, count in sorted(self.histogram.slots.items()):
            numbers += (slot - last, count)
            last = slot
        return numbers

    @classmethod
    def decode(cls, data: bytes) -> "Summary":
        """Decode `encode`. Raises DamageError if this is not a summary."""
        numbers = unpack_integers(data)
        if len(numbers) < _FIXED or (len(numbers) - _FIXED) % 2:
            raise DamageError("a rollup is not a summary")
        summary = cls()
        verdicts = len(VERDICTS)
        summary.verdicts = numbers[:verdicts]
        (
            summary.timed,
            summary.smallest_us,
            summary.largest_us,
            summary.total_us,
            summary.phased,
        ) = numbers[verdicts : verdicts + 5]
        summary.phases_us = numbers[_FIXED - len(PHASES) : _FIXED]
        slots = accumulate(numbers[_FIXED::2])
        summary.histogram.slots = dict(zip(slots, numbers[_FIXED + 1 :: 2], strict=True))
        return summary


def merged(summaries: "list[Summary]") -> Summary:
    total = Summary()
    for summary in summaries:
        total.merge(summary)
    return total
