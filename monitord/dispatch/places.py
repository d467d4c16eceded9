"""Who may check now: bounds on checks at once, in all and for each host. Pure; wakes nobody by itself.

A check waits first for its host, then for the whole, each in order of arrival. So a host that answers
nothing holds up its own monitors and no other.
"""

from collections import deque
from collections.abc import Hashable, Mapping
from typing import Generic, TypeVar

W = TypeVar("W", bound=Hashable)


class Places(Generic[W]):
    """Hands out `in_all` places, of which at most `per_host` go to one host; some have a bound of their `own`."""

    def __init__(self, in_all: int, per_host: int, own: Mapping[str, int] | None = None) -> None:
        self.in_all = in_all
        self.per_host = per_host
        self.own = own or {}
        self.taken = 0
        self._taken_by_host: dict[str, int] = {}
        self._waiting: deque[tuple[W, str | None]] = deque()
        self._waiting_by_host: dict[str, deque[W]] = {}

    @property
    def waiting(self) -> int:
        """How many wait for a place."""
        return len(self._waiting) + sum(map(len, self._waiting_by_host.values()))

    def take(self, who: W, host: str | None) -> bool:
        """True: go. False: `who` waits in line, and will be among those that `free` returns."""
        if host is not None:
            if not self._has_room(host):
                self._waiting_by_host.setdefault(host, deque()).append(who)
                return False
            self._taken_by_host[host] = self._taken_by_host.get(host, 0) + 1
        if self.taken >= self.in_all:
            self._waiting.append((who, host))
            return False
        self.taken += 1
        return True

    def free(self, host: str | None) -> list[W]:
        """Give a place back. Returns those whose turn has come; each of them has its place."""
        self.taken -= 1
        if host is not None:
            self._free_host(host)
        return self._admit()

    def leave(self, who: W, host: str | None) -> list[W]:
        """Stop waiting. Returns those whose turn has come by it."""
        line = self._waiting_by_host.get(host) if host is not None else None
        if line is not None and who in line:
            line.remove(who)
            if not line and host is not None:
                del self._waiting_by_host[host]
        elif (who, host) in self._waiting:
            self._waiting.remove((who, host))
            if host is not None:
                self._free_host(host)
        return self._admit()

    def resize(self, in_all: int, per_host: int, own: Mapping[str, int] | None = None) -> list[W]:
        """New bounds; nobody is thrown out. Returns those whose turn has come by it."""
        self.in_all = in_all
        self.per_host = per_host
        self.own = own or {}
        for host in list(self._waiting_by_host):
            self._admit_to_host(host)
        return self._admit()

    def _has_room(self, host: str) -> bool:
        return self._taken_by_host.get(host, 0) < self.own.get(host, self.per_host)

    def _free_host(self, host: str) -> None:
        left = self._taken_by_host[host] - 1
        if left:
            self._taken_by_host[host] = left
        else:
            del self._taken_by_host[host]
        self._admit_to_host(host)

    def _admit_to_host(self, host: str) -> None:
        """Those first in line for a host go on to the line for the whole."""
        line = self._waiting_by_host.get(host)
        while line and self._has_room(host):
            self._taken_by_host[host] = self._taken_by_host.get(host, 0) + 1
            self._waiting.append((line.popleft(), host))
        if line is not None and not line:
            del self._waiting_by_host[host]

    def _admit(self) -> list[W]:
        admitted: list[W] = []
        while self._waiting and self.taken < self.in_all:
            self.taken += 1
            admitted.append(self._waiting.popleft()[0])
        return admitted
