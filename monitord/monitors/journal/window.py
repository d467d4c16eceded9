"""How often something happened within the last while: counts by slots of time, bounded whatever happens.

A moment counts until its whole slot is past, so it may count one slot too long and never too short. Moments are
microseconds since 1970, as the journal has them. Pure.
"""

from collections.abc import Iterable, Sequence

SLOTS = 300
"""So a window of five minutes counts by seconds."""


def slot_width_us(window_s: float) -> int:
    return max(1, round(window_s * 1e6 / SLOTS))


class Window:
    """Counts of the last `window_s` seconds."""

    def __init__(self, window_s: float) -> None:
        self._window_us = round(window_s * 1e6)
        self.slot_us = slot_width_us(window_s)
        self._counts: dict[int, int] = {}

    def add(self, counts: Iterable[tuple[int, int]]) -> None:
        """Counts by slot, of this width."""
        for slot, count in counts:
            self._counts[slot] = self._counts.get(slot, 0) + count
        if len(self._counts) > 2 * SLOTS:
            self._drop_before(max(self._counts) - SLOTS)

    def count(self, now_us: int) -> int:
        """How many lie within the window; what lies in the future does as well. Forgets the others."""
        self._drop_before((now_us - self._window_us) // self.slot_us)
        return sum(self._counts.values())

    def shift(self, by_us: int) -> int:
        """Move all by about so much: the clock was set, or time passed that does not count. By how much it was."""
        by = round(by_us / self.slot_us)
        self._counts = {slot + by: count for slot, count in self._counts.items()}
        return by * self.slot_us

    def kept(self) -> list[list[int]]:
        """As JSON, for `restore`."""
        return [[slot * self.slot_us, count] for slot, count in sorted(self._counts.items())]

    def restore(self, kept: Sequence[object]) -> None:
        """Take up what `kept` gave, of a window of any width. What is not understood is left."""
        for one in kept:
            if isinstance(one, list) and len(one) == 2 and all(isinstance(part, int) for part in one):  # noqa: PLR2004
                self.add([(one[0] // self.slot_us, one[1])])

    def _drop_before(self, slot: int) -> None:
        self._counts = {one: count for one, count in self._counts.items() if one >= slot}
