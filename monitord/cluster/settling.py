"""Whether the set of live locations is settled: only then a part of the known locations may decide.

| observed                                              | afterwards                      |
|-------------------------------------------------------|---------------------------------|
| another set of live locations                         | settled `SETTLE_S` later        |
| the same set                                          | unchanged                       |
| the database did not respond                          | nothing is known                |
| nothing for `MAX_GAP_S`: this process was stopped     | settled `SETTLE_S` later        |
"""

from dataclasses import dataclass, replace

SETTLE_S = 8.0
"""Nodes whose heartbeats were held up for the same reason return within this time."""
MAX_GAP_S = 5.0
"""Two heartbeats can be late; after a longer time without an observation, the set may have changed and returned."""


@dataclass(frozen=True, slots=True)
class Settling:
    """The live locations that this node has seen unchanged `since_s`, last at `seen_at_s`, by its monotonic clock.

    `locations` None: nothing is known, at the start and after a failure of the database.
    """

    locations: frozenset[str] | None = None
    since_s: float = 0.0
    seen_at_s: float = 0.0

    def is_settled(self, live_locations: frozenset[str], now_s: float) -> bool:
        """Return whether exactly these locations have been live for `SETTLE_S`."""
        return (
            self.locations == live_locations
            and now_s - self.seen_at_s <= MAX_GAP_S
            and now_s - self.since_s >= SETTLE_S
        )


def observed(before: Settling, live_locations: frozenset[str] | None, now_s: float) -> Settling:
    """Return the next state after a response of the database; None: it did not respond."""
    if live_locations is None:
        return Settling()
    if live_locations != before.locations or now_s - before.seen_at_s > MAX_GAP_S:
        return Settling(live_locations, now_s, now_s)
    return replace(before, seen_at_s=now_s)
