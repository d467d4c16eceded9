"""Names to addresses, by the system's own getaddrinfo(3), in threads that nobody has to wait for.

getaddrinfo obeys nsswitch.conf as every other program of the host does, but it blocks, and nothing can stop
it. So:
- the threads are daemons of our own (those of a ThreadPoolExecutor are joined when the interpreter ends);
- a look-up under way is shared by all who ask for the same name, so that one dead name holds one thread;
- a thread that has not come back for STUCK_AFTER_S no longer counts, so that others get their turn;
- a literal address never comes here.
Nothing is cached: that is the job of a resolver daemon, and a check of a name should see the name as it is.
"""

import asyncio
import errno
import os
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum

MAX_LOOKUPS = 32
"""Look-ups at a time; more wait in line."""
MAX_THREADS = 128
"""Threads in all, with those that are stuck."""
STUCK_AFTER_S = 30.0
"""glibc gives up after timeout times attempts times nameservers, 30 s with three dead servers."""
IDLE_THREAD_S = 10.0
MAX_ADDRESSES = 64

GetAddresses = Callable[[str, int], Sequence[str]]
"""Takes a name and an address family; blocks; raises OSError (socket.gaierror)."""


class IpFamily(Enum):
    ANY = "any"
    IPV4 = 4
    IPV6 = 6


_FAMILIES = {
    IpFamily.ANY: socket.AF_UNSPEC,
    IpFamily.IPV4: socket.AF_INET,
    IpFamily.IPV6: socket.AF_INET6,
}


class ResolveError(Exception):
    """The name has no usable address. `is_ours`: this host could not even ask."""

    def __init__(self, problem: str, *, is_ours: bool = False) -> None:
        super().__init__(problem)
        self.problem = problem
        self.is_ours = is_ours


def get_addresses(name: str, family: int) -> Sequence[str]:
    """By getaddrinfo(3). A zone ("fe80::1%eth0") is part of the text."""
    found = socket.getaddrinfo(name, None, family=family, type=socket.SOCK_STREAM)
    return [str(address[0]) for _, _, _, _, address in found]


def literal_address(host: str) -> int | None:
    """4 or 6 when the host is an address and no name. A zone ("fe80::1%eth0") belongs to the address."""
    for version, family in ((4, socket.AF_INET), (6, socket.AF_INET6)):
        try:
            socket.inet_pton(family, host.partition("%")[0] if version == 6 else host)  # noqa: PLR2004 - IPv6
        except (OSError, ValueError):
            continue
        return version
    return None


@dataclass(eq=False, slots=True)
class _Lookup:
    name: str
    family: int
    waiters: list["asyncio.Future[tuple[str, ...]]"] = field(default_factory=list)
    started_at: float | None = None


class Resolver:
    """Belongs to the event loop that uses it. Starts nothing before the first look-up."""

    def __init__(
        self,
        get_addresses: GetAddresses = get_addresses,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._get_addresses = get_addresses
        self._monotonic = monotonic
        # Touched by the event loop alone.
        self._lookups: dict[tuple[str, int], _Lookup] = {}
        # Shared with the threads, under the condition's lock.
        self._changed = threading.Condition()
        self._closed = False
        self._queue: deque[_Lookup] = deque()
        self._threads: set[threading.Thread] = set()
        self._running: dict[threading.Thread, _Lookup] = {}
        self._idle = 0

    async def resolve(self, name: str, family: IpFamily = IpFamily.ANY) -> tuple[str, ...]:
        """The addresses, at least one, best first (RFC 6724, as getaddrinfo sorts them).

        Raises ResolveError. Has no deadline of its own: the caller cancels, and the thread is left to itself.
        """
        if self._closed:
            raise ResolveError("the resolver is closed", is_ours=True)
        waiter: asyncio.Future[tuple[str, ...]] = asyncio.get_running_loop().create_future()
        lookup = self._join(name, _FAMILIES[family])
        lookup.waiters.append(waiter)
        try:
            return await waiter
        finally:
            lookup.waiters.remove(waiter)
            if not lookup.waiters:
                self._drop_if_waiting(lookup)

    async def close(self) -> None:
        """Fails those who wait and ends the threads; one that hangs in getaddrinfo is left to end with the process."""
        for lookup in self._lookups.values():
            self._answer(lookup, ResolveError("the resolver is closed", is_ours=True))
        self._lookups.clear()
        with self._changed:
            self._closed = True
            self._queue.clear()
            idle = self._threads - self._running.keys()
            self._changed.notify_all()
        for thread in idle:
            thread.join()  # it only has to leave its loop

    # On the event loop

    def _join(self, name: str, family: int) -> _Lookup:
        key = (name, family)
        lookup = self._lookups.get(key)
        if lookup is None or self._is_stuck(lookup):
            lookup = self._lookups[key] = _Lookup(name, family)
            with self._changed:
                self._queue.append(lookup)
                self._staff()
        return lookup

    def _drop_if_waiting(self, lookup: _Lookup) -> None:
        """Nobody waits for it any more: never begin. What runs goes on, for whoever asks next."""
        with self._changed:
            if lookup not in self._queue:
                return
            self._queue.remove(lookup)
        self._forget(lookup)

    def _forget(self, lookup: _Lookup) -> None:
        key = (lookup.name, lookup.family)
        if self._lookups.get(key) is lookup:
            del self._lookups[key]

    def _finish(self, lookup: _Lookup, outcome: tuple[str, ...] | ResolveError) -> None:
        self._forget(lookup)
        self._answer(lookup, outcome)

    @staticmethod
    def _answer(lookup: _Lookup, outcome: tuple[str, ...] | ResolveError) -> None:
        for waiter in lookup.waiters:
            if waiter.done():
                continue
            if isinstance(outcome, ResolveError):
                # Each waiter raises one of its own: a shared one would gather everybody's traceback.
                waiter.set_exception(ResolveError(outcome.problem, is_ours=outcome.is_ours))
            else:
                waiter.set_result(outcome)

    # Under the lock

    def _is_stuck(self, lookup: _Lookup) -> bool:
        return lookup.started_at is not None and self._monotonic() - lookup.started_at > STUCK_AFTER_S

    def _staff(self) -> None:
        """See that somebody takes what is in line: wake a thread, or start one if the limits allow it."""
        stuck = sum(self._is_stuck(lookup) for lookup in self._running.values())
        if self._idle >= len(self._queue):
            self._changed.notify()
        elif len(self._threads) < min(MAX_LOOKUPS + stuck, MAX_THREADS):
            loop = asyncio.get_running_loop()
            thread = threading.Thread(target=self._serve, args=(loop,), name="resolver", daemon=True)
            # Without a new thread the look-up stays in line for those there are.
            with suppress(RuntimeError):
                thread.start()
                self._threads.add(thread)

    # On the threads

    def _serve(self, loop: asyncio.AbstractEventLoop) -> None:
        this = threading.current_thread()
        while True:
            with self._changed:
                self._idle += 1
                self._changed.wait_for(lambda: self._queue or self._closed, timeout=IDLE_THREAD_S)
                self._idle -= 1
                if not self._queue:
                    self._threads.discard(this)
                    return
                lookup = self._queue.popleft()
                lookup.started_at = self._monotonic()
                self._running[this] = lookup
            outcome = self._look_up(lookup)
            with self._changed:
                del self._running[this]
            with suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(self._finish, lookup, outcome)

    def _look_up(self, lookup: _Lookup) -> tuple[str, ...] | ResolveError:
        try:
            found = self._get_addresses(lookup.name, lookup.family)
        except socket.gaierror as error:
            if error.errno == socket.EAI_MEMORY or _lacks_descriptors():
                return ResolveError("this host is out of memory or file descriptors", is_ours=True)
            return ResolveError(_PROBLEMS.get(error.errno or 0, (error.strerror or str(error)).lower()))
        except UnicodeError:
            return ResolveError("is not a valid host name")
        except OSError as error:
            return ResolveError(os.strerror(error.errno) if error.errno else str(error))
        addresses = tuple(dict.fromkeys(found))[:MAX_ADDRESSES]
        return addresses or ResolveError("has no address")


_PROBLEMS = {
    socket.EAI_NONAME: "no such name",
    socket.EAI_NODATA: "the name has no address of this kind",
    socket.EAI_ADDRFAMILY: "the name has no address of this kind",
    socket.EAI_AGAIN: "the name servers do not answer",
    socket.EAI_FAIL: "the name servers failed",
}


def _lacks_descriptors() -> bool:
    """getaddrinfo says "try again" when it could not open a socket; ask the kernel why."""
    try:
        socket.socket().close()
    except OSError as error:
        return error.errno in {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}
    return False
