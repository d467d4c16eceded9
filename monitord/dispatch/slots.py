"""The limits of concurrent checks: in total and for each host. Pure: the caller starts the admitted checks.

A check waits first for a slot of its host, then for one of the total, each in order of arrival. A host that does not
respond therefore delays its own monitors only.
"""

from collections import deque
from collections.abc import Hashable, Mapping
from typing import Generic, TypeVar

T = TypeVar("T", bound=Hashable)


class Slots(Generic[T]):
    """Has `total` slots, at most `per_host` of them for one host; `by_host` contains other limits of some hosts."""

    def __init__(self, total: int, per_host: int, by_host: Mapping[str, int] | None = None) -> None:
        self.total = total
        self.per_host = per_host
        self.by_host = by_host or {}
        self.taken = 0
        self._taken_by_host: dict[str, int] = {}
        self._queue: deque[tuple[T, str | None]] = deque()
        self._queues_by_host: dict[str, deque[T]] = {}

    @property
    def queued(self) -> int:
        """The number of items that are queued for a slot."""
        return len(self._queue) + sum(map(len, self._queues_by_host.values()))

    def take(self, item: T, host: str | None) -> bool:
        """Take a slot. Return False if the item is queued instead; `free`, `leave` or `resize` will return it."""
        if host is not None:
            if not self._has_room(host):
                self._queues_by_host.setdefault(host, deque()).append(item)
                return False
            self._taken_by_host[host] = self._taken_by_host.get(host, 0) + 1
        if self.taken >= self.total:
            self._queue.append((item, host))
            return False
        self.taken += 1
        return True

    def free(self, host: str | None) -> list[T]:
        """Return a slot. Returns the queued items that now have one."""
        self.taken -= 1
        if host is not None:
            self._free_host(host)
        return self._admit()

    def leave(self, item: T, host: str | None) -> list[T]:
        """Remove an item from the queue. Returns the queued items that now have a slot."""
        queue = self._queues_by_host.get(host) if host is not None else None
        if queue is not None and item in queue:
            queue.remove(item)
            if not queue and host is not None:
                del self._queues_by_host[host]
        elif (item, host) in self._queue:
            self._queue.remove((item, host))
            if host is not None:
                self._free_host(host)
        return self._admit()

    def resize(self, total: int, per_host: int, by_host: Mapping[str, int] | None = None) -> list[T]:
        """Change the limits; taken slots remain taken. Returns the queued items that now have a slot."""
        self.total = total
        self.per_host = per_host
        self.by_host = by_host or {}
        for host in list(self._queues_by_host):
            self._admit_to_host(host)
        return self._admit()

    def _has_room(self, host: str) -> bool:
        return self._taken_by_host.get(host, 0) < self.by_host.get(host, self.per_host)

    def _free_host(self, host: str) -> None:
        left = self._taken_by_host[host] - 1
        if left:
            self._taken_by_host[host] = left
        else:
            del self._taken_by_host[host]
        self._admit_to_host(host)

    def _admit_to_host(self, host: str) -> None:
        """Move the first items of a host to the queue of the total, as far as the host has slots."""
        queue = self._queues_by_host.get(host)
        while queue and self._has_room(host):
            self._taken_by_host[host] = self._taken_by_host.get(host, 0) + 1
            self._queue.append((queue.popleft(), host))
        if queue is not None and not queue:
            del self._queues_by_host[host]

    def _admit(self) -> list[T]:
        admitted: list[T] = []
        while self._queue and self.taken < self.total:
            self.taken += 1
            admitted.append(self._queue.popleft()[0])
        return admitted
