"""The limits of concurrent checks: in total and for each pool. Pure: the caller starts the admitted checks.

A pool is a host, or all child processes. A check waits first for a slot of its pool, then for a slot of the total, each
in order of arrival. A host that does not respond therefore delays its own monitors only.
"""

from collections import deque
from collections.abc import Hashable, Mapping
from typing import Generic, TypeVar

T = TypeVar("T", bound=Hashable)


class Slots(Generic[T]):
    """Slots for concurrent checks: `total` slots, of which a pool may use `per_pool`.

    `limits` overrides `per_pool` for individual pools.
    """

    def __init__(self, total: int, per_pool: int, limits: Mapping[str, int] | None = None) -> None:
        self.total = total
        self.per_pool = per_pool
        self.limits = limits or {}
        self.taken = 0
        self._taken_by_pool: dict[str, int] = {}
        self._queue: deque[tuple[T, str | None]] = deque()
        self._queues_by_pool: dict[str, deque[T]] = {}

    @property
    def queued(self) -> int:
        """The number of items that are queued for a slot."""
        return len(self._queue) + sum(map(len, self._queues_by_pool.values()))

    def take(self, item: T, pool: str | None) -> bool:
        """Take a slot. Return False if the item is queued instead; `free`, `cancel` or `resize` will return it."""
        if pool is not None:
            if not self._has_room(pool):
                self._queues_by_pool.setdefault(pool, deque()).append(item)
                return False
            self._taken_by_pool[pool] = self._taken_by_pool.get(pool, 0) + 1
        if self.taken >= self.total:
            self._queue.append((item, pool))
            return False
        self.taken += 1
        return True

    def free(self, pool: str | None) -> list[T]:
        """Free one slot. Return the queued items that now have a slot."""
        self.taken -= 1
        if pool is not None:
            self._free_in_pool(pool)
        return self._admit()

    def cancel(self, item: T, pool: str | None) -> list[T]:
        """Remove an item from the queue. Return the queued items that now have a slot."""
        queue = self._queues_by_pool.get(pool) if pool is not None else None
        if queue is not None and item in queue:
            queue.remove(item)
            if not queue and pool is not None:
                del self._queues_by_pool[pool]
        elif (item, pool) in self._queue:
            self._queue.remove((item, pool))
            if pool is not None:
                self._free_in_pool(pool)
        return self._admit()

    def resize(self, total: int, per_pool: int, limits: Mapping[str, int] | None = None) -> list[T]:
        """Change the limits; taken slots remain taken. Return the queued items that now have a slot."""
        self.total = total
        self.per_pool = per_pool
        self.limits = limits or {}
        for pool in list(self._queues_by_pool):
            self._admit_from_pool(pool)
        return self._admit()

    def _has_room(self, pool: str) -> bool:
        return self._taken_by_pool.get(pool, 0) < self.limits.get(pool, self.per_pool)

    def _free_in_pool(self, pool: str) -> None:
        taken = self._taken_by_pool[pool] - 1
        if taken:
            self._taken_by_pool[pool] = taken
        else:
            del self._taken_by_pool[pool]
        self._admit_from_pool(pool)

    def _admit_from_pool(self, pool: str) -> None:
        """Move the first items of a pool to the queue of the total, as far as the pool has slots."""
        queue = self._queues_by_pool.get(pool)
        while queue and self._has_room(pool):
            self._taken_by_pool[pool] = self._taken_by_pool.get(pool, 0) + 1
            self._queue.append((queue.popleft(), pool))
        if queue is not None and not queue:
            del self._queues_by_pool[pool]

    def _admit(self) -> list[T]:
        admitted: list[T] = []
        while self._queue and self.taken < self.total:
            self.taken += 1
            admitted.append(self._queue.popleft()[0])
        return admitted
