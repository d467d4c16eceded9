"""Lateness of checks: a histogram with fixed bounds, so that its cost is constant."""

from bisect import bisect_left

BOUNDS_S = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0)


class Lateness:
    """Start time minus scheduled time of every check since the start of the daemon, in seconds."""

    def __init__(self) -> None:
        self.counts = [0] * (len(BOUNDS_S) + 1)
        self.count = 0
        self.total_s = 0.0
        self.worst_s = 0.0

    def add(self, late_s: float) -> None:
        late_s = max(late_s, 0.0)
        self.counts[bisect_left(BOUNDS_S, late_s)] += 1
        self.count += 1
        self.total_s += late_s
        self.worst_s = max(self.worst_s, late_s)

    def quantile_s(self, q: float) -> float:
        """Return the upper bound of the bucket that contains quantile `q` (0 to 1); 0.0 before the first check."""
        rank = q * self.count
        counted = 0
        for bound_s, count in zip(BOUNDS_S, self.counts, strict=False):
            counted += count
            if counted >= rank:
                return min(bound_s, self.worst_s)
        return self.worst_s
