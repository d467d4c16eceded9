"""What a stretch of time keeps of its results: counts by verdict; response time as sum, extremes, phases, histogram.

Summaries merge: that of a day is the union of its minutes. In the database one is a blob of varints.
"""

import math
from collections.abc import Mapping
from itertools import accumulate

from monitord.history.encoding import PHASES, VERDICTS, pack_integers, unpack_integers
from monitord.history.schema import DamageError

_FIXED = len(VERDICTS) + 5 + len(PHASES)
"""Numbers before those of the histogram."""

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


class Summary:
    """Changed by `add` and `merge` only. Times are in microseconds; `timed` of the results had a response time."""

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
        """One result. `response_us` is None where nothing answered; phases count only with it."""
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

    __hash__ = None  # type: ignore[assignment]  # it changes, so it has none

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
        """The inverse of `encode`. Raises DamageError for what is none."""
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
    whole = Summary()
    for summary in summaries:
        whole.merge(summary)
    return whole
