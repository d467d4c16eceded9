"""Name resolution with the system's getaddrinfo(3), in daemon threads.

getaddrinfo follows nsswitch.conf like every other program of the host, but it blocks and cannot be cancelled.
Therefore:
- the threads are daemon threads (the interpreter joins those of a ThreadPoolExecutor when it exits);
- all callers of one name share one lookup, so that an unresponsive name occupies one thread;
- the number of threads is limited, and stuck lookups leave some of them free for other names (`Lane`);
- the time that a caller waits for a thread is reported (`PhaseTimer.discount`), because neither the name nor its
  host causes it;
- literal addresses are not resolved here.
Nothing is cached: that is the task of a resolver daemon, and a check must see the current records.
"""

import asyncio
import errno
import os
import socket
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

from monitord.net.base.phases import PhaseTimer

SLOW_AFTER_S = 1.0
"""A lookup that takes longer moves its name to the slow lane until a later lookup is faster."""
STUCK_AFTER_S = 30.0
"""glibc times out after timeout times attempts times name servers: 30 s with three unresponsive servers."""
MAX_STUCK = 64
"""Up to this number, stuck threads do not count towards the limit of a lane."""
MAX_NAMES_REMEMBERED = 4096
MAX_HOSTS_BYTES = 256 * 1024
"""The limit for /etc/hosts, which is parsed on the event loop."""
IDLE_THREAD_S = 10.0
MAX_ADDRESSES = 64

GetAddresses = Callable[[str, int], Sequence[str]]
"""A blocking function of a name and an address family. Raises OSError (socket.gaierror)."""


class IpFamily(Enum):
    ANY = "any"
    IPV4 = 4
    IPV6 = 6


_FAMILIES = {
    IpFamily.ANY: socket.AF_UNSPEC,
    IpFamily.IPV4: socket.AF_INET,
    IpFamily.IPV6: socket.AF_INET6,
}


class Lane(Enum):
    """Priority class of a name. The value is the number of running lookups below which a new lookup may start.

    The limits increase, so that the last threads are reserved (trunk reservation): stuck names of one lane cannot
    take the threads of the lanes below it in this list.
    """

    REPEATED = 48  # a second lookup of a name whose first is stuck
    SLOW = 64  # the last lookup was slow
    NEW = 96
    PROMPT = 112  # the last lookup was not slow
    LOCAL = 128  # the name is in /etc/hosts


MAX_THREADS = Lane.LOCAL.value + MAX_STUCK


class ResolveError(Exception):
    """The name has no usable address. `is_probe_error`: this host could not send a query."""

    def __init__(self, problem: str, *, is_probe_error: bool = False) -> None:
        super().__init__(problem)
        self.problem = problem
        self.is_probe_error = is_probe_error


def get_addresses(
    name: str, family: int, getaddrinfo: Callable[..., list[Any]] = socket.getaddrinfo
) -> Sequence[str]:
    """Return the addresses from getaddrinfo(3). A zone ("fe80::1%eth0") is part of the text."""
    try:
        infos = getaddrinfo(name, None, family=family, type=socket.SOCK_STREAM)
    except socket.gaierror:
        # RFC 6761, section 6.3: names below localhost are this host, as in curl, browsers and nss-myhostname(8).
        if not name.lower().endswith(".localhost"):
            raise
        infos = getaddrinfo("localhost", None, family=family, type=socket.SOCK_STREAM)
    return [str(address[0]) for _, _, _, _, address in infos]


def literal_address(host: str) -> int | None:
    """Return 4 or 6 if the host is an IP address, else None. A zone ("fe80::1%eth0") is part of the address."""
    is_ipv6 = ":" in host
    try:
        socket.inet_pton(*((socket.AF_INET6, host.partition("%")[0]) if is_ipv6 else (socket.AF_INET, host)))
    except (OSError, ValueError):
        return None
    return 6 if is_ipv6 else 4


class HostsFile:
    """The names in /etc/hosts (hosts(5)), read again when the file changes.

    They are not resolved from here: nsswitch.conf decides whether and when the file is used.
    """

    def __init__(self, path: Path = Path("/etc/hosts")) -> None:
        self._path = path
        self._version: tuple[int, int, int] | None = None
        self._names: frozenset[str] = frozenset()

    def __contains__(self, name: str) -> bool:
        try:
            status = self._path.stat()
            version = status.st_ino, status.st_size, status.st_mtime_ns
            if version != self._version:
                with self._path.open("rb") as file:
                    text = file.read(MAX_HOSTS_BYTES).decode(errors="replace").lower()
                lines = (line.partition("#")[0].split() for line in text.splitlines())
                self._names = frozenset(alias for _, *aliases in filter(None, lines) for alias in aliases)
                self._version = version
        except OSError:
            self._names, self._version = frozenset(), None
        return name.lower() in self._names


@dataclass(eq=False, slots=True)
class _Lookup:
    name: str
    family: int
    waiters: list["asyncio.Future[tuple[str, ...]]"] = field(default_factory=list)
    started_at: float | None = None

    @property
    def key(self) -> tuple[str, int]:
        return self.name, self.family


class Resolver:
    """Resolves host names for one event loop. Starts its first thread with the first lookup."""

    def __init__(
        self,
        get_addresses: GetAddresses = get_addresses,
        monotonic: Callable[[], float] = time.monotonic,
        hosts: HostsFile | None = None,
    ) -> None:
        self._get_addresses = get_addresses
        self._monotonic = monotonic
        self._hosts = HostsFile() if hosts is None else hosts
        # Used by the event loop alone.
        self._lookups: dict[tuple[str, int], _Lookup] = {}
        self._running: set[_Lookup] = set()
        self._queues: dict[Lane, deque[_Lookup]] = {lane: deque() for lane in reversed(Lane)}
        self._was_slow: OrderedDict[tuple[str, int], bool] = OrderedDict()
        # Shared with the threads, under the condition's lock.
        self._changed = threading.Condition()
        self._closed = False
        self._started: deque[_Lookup] = deque()
        self._threads: set[threading.Thread] = set()
        self._busy: set[threading.Thread] = set()

    async def resolve(
        self, name: str, family: IpFamily = IpFamily.ANY, timer: PhaseTimer | None = None
    ) -> tuple[str, ...]:
        """Return at least one address, in order of preference (RFC 6724, as sorted by getaddrinfo).

        Raises ResolveError. Has no timeout: the caller may cancel, and the thread continues. The time in the queue for
        a thread is discounted from `timer`.
        """
        if self._closed:
            raise ResolveError("the resolver is closed", is_probe_error=True)
        waiter: asyncio.Future[tuple[str, ...]] = asyncio.get_running_loop().create_future()
        asked_at = self._monotonic()
        lookup = self._join(name, _FAMILIES[family])
        lookup.waiters.append(waiter)
        try:
            return await waiter
        finally:
            if timer is not None:
                left_queue_at = self._monotonic() if lookup.started_at is None else lookup.started_at
                timer.discount(max(left_queue_at - asked_at, 0.0))
            lookup.waiters.remove(waiter)
            if not lookup.waiters and lookup.started_at is None:
                # A running lookup continues for the next caller.
                for queue in self._queues.values():
                    with suppress(ValueError):
                        queue.remove(lookup)
                self._forget(lookup)

    async def close(self) -> None:
        """Raise ResolveError in the callers and stop the threads, except threads stuck in getaddrinfo."""
        for lookup in [*self._lookups.values(), *self._running]:
            self._answer(lookup, ResolveError("the resolver is closed", is_probe_error=True))
        self._lookups.clear()
        for queue in self._queues.values():
            queue.clear()
        with self._changed:
            self._closed = True
            self._started.clear()
            idle = self._threads - self._busy
            self._changed.notify_all()
        for thread in idle:
            thread.join()  # returns at once: the thread is idle

    # On the event loop

    def _join(self, name: str, family: int) -> _Lookup:
        key = (name, family)
        lookup = self._lookups.get(key)
        if lookup is not None and not (self._is_stuck(lookup) and self._has_room(Lane.REPEATED)):
            self._start_queued()
            return lookup
        lookup = self._lookups[key] = _Lookup(name, family)
        if len(self._running) >= Lane.SLOW.value or not self._start(lookup):
            was_slow = self._was_slow.get(lookup.key)
            if was_slow:
                lane = Lane.SLOW
            elif lookup.name == "localhost" or lookup.name in self._hosts:
                lane = Lane.LOCAL
            else:
                lane = Lane.NEW if was_slow is None else Lane.PROMPT
            self._queues[lane].append(lookup)
            self._start_queued()
        return lookup

    def _is_stuck(self, lookup: _Lookup) -> bool:
        return lookup.started_at is not None and self._monotonic() - lookup.started_at > STUCK_AFTER_S

    def _has_room(self, lane: Lane) -> bool:
        running = len(self._running)
        if running < lane.value:
            return True
        stuck = sum(self._is_stuck(lookup) for lookup in self._running)
        return running < lane.value + min(stuck, MAX_STUCK)

    def _start_queued(self) -> None:
        for lane, queue in self._queues.items():
            while queue and self._has_room(lane) and self._start(queue[0]):
                queue.popleft()

    def _start(self, lookup: _Lookup) -> bool:
        """Pass the lookup to a thread. Returns False if no thread is idle and none can be started."""
        with self._changed:
            if len(self._threads) - len(self._busy) <= len(self._started):
                loop = asyncio.get_running_loop()
                thread = threading.Thread(target=self._serve, args=(loop,), name="resolver", daemon=True)
                try:
                    thread.start()
                except RuntimeError:  # pthread_create(3): EAGAIN, such as by TasksMax=
                    return False
                self._threads.add(thread)
            self._started.append(lookup)
            self._changed.notify()
        lookup.started_at = self._monotonic()
        self._running.add(lookup)
        return True

    def _forget(self, lookup: _Lookup) -> None:
        if self._lookups.get(lookup.key) is lookup:
            del self._lookups[lookup.key]

    def _finish(self, lookup: _Lookup, outcome: tuple[str, ...] | ResolveError) -> None:
        self._running.discard(lookup)
        if lookup.started_at is not None:
            self._was_slow[lookup.key] = self._monotonic() - lookup.started_at > SLOW_AFTER_S
            self._was_slow.move_to_end(lookup.key)
            if len(self._was_slow) > MAX_NAMES_REMEMBERED:
                self._was_slow.popitem(last=False)
        self._forget(lookup)
        self._answer(lookup, outcome)
        if not self._closed:
            self._start_queued()

    @staticmethod
    def _answer(lookup: _Lookup, outcome: tuple[str, ...] | ResolveError) -> None:
        for waiter in lookup.waiters:
            if waiter.done():
                continue
            if isinstance(outcome, ResolveError):
                # Each waiter raises its own instance: a shared one would collect the tracebacks of all.
                waiter.set_exception(ResolveError(outcome.problem, is_probe_error=outcome.is_probe_error))
            else:
                waiter.set_result(outcome)

    # On the threads

    def _serve(self, loop: asyncio.AbstractEventLoop) -> None:
        this = threading.current_thread()
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._started or self._closed, timeout=IDLE_THREAD_S)
                if not self._started:
                    self._threads.discard(this)
                    return
                lookup = self._started.popleft()
                self._busy.add(this)
            outcome = self._look_up(lookup)
            with self._changed:
                self._busy.discard(this)
            with suppress(RuntimeError):  # the loop is closed: there are no callers
                loop.call_soon_threadsafe(self._finish, lookup, outcome)

    def _look_up(self, lookup: _Lookup) -> tuple[str, ...] | ResolveError:
        try:
            all_addresses = self._get_addresses(lookup.name, lookup.family)
        except socket.gaierror as error:
            if error.errno == socket.EAI_MEMORY or _lacks_descriptors():
                return ResolveError("this host is out of memory or file descriptors", is_probe_error=True)
            return ResolveError(_PROBLEMS.get(error.errno or 0, (error.strerror or str(error)).lower()))
        except UnicodeError:
            return ResolveError("is not a valid host name")
        except OSError as error:
            return ResolveError(os.strerror(error.errno) if error.errno else str(error))
        addresses = tuple(dict.fromkeys(all_addresses))[:MAX_ADDRESSES]
        return addresses or ResolveError("has no address")


_PROBLEMS = {
    socket.EAI_NONAME: "no such name",
    socket.EAI_NODATA: "the name has no address of this kind",
    socket.EAI_ADDRFAMILY: "the name has no address of this kind",
    socket.EAI_AGAIN: "the name servers do not respond",
    socket.EAI_FAIL: "the name servers failed",
}


def _lacks_descriptors() -> bool:
    """Return whether this host cannot open sockets. getaddrinfo reports EAI_AGAIN in that case."""
    try:
        socket.socket().close()
    except OSError as error:
        return error.errno in {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}
    return False
