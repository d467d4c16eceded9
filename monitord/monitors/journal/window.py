"""Count events within a sliding window, by slots of time, in bounded memory. Pure.

An event counts until its whole slot has left the window: at most one slot too long. Times are microseconds since 1970,
as in the journal.
"""

from collections.abc import Iterable, Sequence

SLOTS = 300
"""Slots of a window: those of a window of five minutes are one second wide."""


def slot_width_us(window_s: float) -> int:
    return max(1, round(window_s * 1e6 / SLOTS))


class SlidingWindow:
    """Counts of the last `window_s` seconds."""

    def __init__(self, window_s: float) -> None:
        self._window_us = round(window_s * 1e6)
        self.slot_us = slot_width_us(window_s)
        self._counts: dict[int, int] = {}

    def add(self, counts: Iterable[tuple[int, int]]) -> None:
        """Add counts by the number of their slot."""
        for slot, count in counts:
            self._counts[slot] = self._counts.get(slot, 0) + count
        if len(self._counts) > 2 * SLOTS:
            self._drop_before(max(self._counts) - SLOTS)

    def count(self, now_us: int) -> int:
        """Return the number of events within the window or in the future. Older ones are removed."""
        self._drop_before((now_us - self._window_us) // self.slot_us)
        return sum(self._counts.values())

    def shift(self, by_us: int) -> int:
        """Shift all events by about this time, as the clock was set or time does not count. Return the actual shift."""
        by = round(by_us / self.slot_us)
        self._counts = {slot + by: count for slot, count in self._counts.items()}
        return by * self.slot_us

    def kept(self) -> list[list[int]]:
        """Return the counts as JSON, for `restore`."""
        return [[slot * self.slot_us, count] for slot, count in sorted(self._counts.items())]

    def restore(self, pairs: Sequence[object]) -> None:
        """Continue from a result of `kept`, of a window of any width. Invalid entries are ignored."""
        for pair in pairs:
            if isinstance(pair, list) and len(pair) == 2 and all(isinstance(part, int) for part in pair):  # noqa: PLR2004
                self.add([(pair[0] // self.slot_us, pair[1])])

    def _drop_before(self, first: int) -> None:
        self._counts = {slot: count for slot, count in self._counts.items() if slot >= first}
