"""The time services of this host, and the kernel: which of them reports the state of the clock."""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum

from monitord.net.clock import chrony, kernel, ntpd, timesyncd
from monitord.net.clock.status import ClockError, ClockStatus
from monitord.net.dbus.bus import library_problem, system_bus_address

QUERY_WITHIN_S = 2.0
"""A service on this host responds within milliseconds, or is not the expected service."""

QUERY_KERNEL_EVERY_S = 3600.0
QUERY_UNSYNCHRONIZED_KERNEL_EVERY_S = 300.0
"""systemd-timedated is started for each query, which writes to the journal."""


class ClockSource(Enum):
    """The service that reports the state of the clock. AUTO: the first that reports a synchronized clock."""

    AUTO = "auto"
    TIMESYNCD = "timesyncd"
    CHRONY = "chrony"
    NTPD = "ntpd"
    KERNEL = "kernel"


_SERVICES = (ClockSource.TIMESYNCD, ClockSource.CHRONY, ClockSource.NTPD)


@dataclass(frozen=True, slots=True)
class ClockAddresses:
    """Where the services listen. `bus`: None for the system bus."""

    bus: str | None = None
    chrony: tuple[str, int] = chrony.ADDRESS
    ntpd: tuple[str, int] = ntpd.ADDRESS
    query_kernel: Callable[[], ClockStatus | None] = kernel.query


class ClockSources:
    """Queries the services. A reply of systemd-timedated is cached."""

    def __init__(self, addresses: ClockAddresses | None = None) -> None:
        self._addresses = addresses or ClockAddresses()
        self._kernel: ClockStatus | None = None
        self._kernel_at_s = 0.0

    async def query(
        self, source: ClockSource, now: datetime, *, is_container: bool, timeout_s: float
    ) -> ClockStatus:
        """Return what the service reports. Raises ClockError.

        AUTO: the first service, in the order of `ClockSource`, that reports a synchronized clock, then the first that
        responds at all, then the kernel. In a container, systemd-timedated reports an unsynchronized clock if the
        container forbids adjtimex(2), and is not queried.
        """
        # The services are queried at once, and then the kernel: both must end before the check does.
        timeout_s = min(timeout_s / 3, QUERY_WITHIN_S)
        if source in _SERVICES:
            return await self._query_service(source, now, timeout_s)
        if source is ClockSource.AUTO:
            queries = [
                asyncio.ensure_future(self._query_service(service, now, timeout_s)) for service in _SERVICES
            ]
            try:
                status = await _first_synchronized(queries)
            finally:
                for task in queries:
                    task.cancel()
                await asyncio.gather(*queries, return_exceptions=True)
            if status is not None:
                return status
        if (status := self._addresses.query_kernel()) is not None:
            return status
        if is_container:
            raise ClockError("this container is not permitted to read the state of the kernel's clock")
        now_s = time.monotonic()
        is_synchronized = self._kernel is not None and self._kernel.is_synchronized
        every_s = QUERY_KERNEL_EVERY_S if is_synchronized else QUERY_UNSYNCHRONIZED_KERNEL_EVERY_S
        if self._kernel is None or now_s - self._kernel_at_s >= every_s:
            self._kernel = await timesyncd.query_kernel(self._bus(), deadline=now_s + timeout_s)
            self._kernel_at_s = now_s
        return self._kernel

    async def _query_service(self, source: ClockSource, now: datetime, timeout_s: float) -> ClockStatus:
        if source is ClockSource.CHRONY:
            return await chrony.query(timeout_s=timeout_s, address=self._addresses.chrony)
        if source is ClockSource.NTPD:
            return await ntpd.query(now, timeout_s=timeout_s, address=self._addresses.ntpd)
        return await timesyncd.query(self._bus(), deadline=time.monotonic() + timeout_s)

    def _bus(self) -> str:
        if problem := library_problem():
            raise ClockError(f"{problem}; install the package python3-dbus-fast")
        return self._addresses.bus or system_bus_address()


async def _first_synchronized(queries: "Sequence[asyncio.Future[ClockStatus]]") -> ClockStatus | None:
    """Return the status of the first service that reports a synchronized clock, else of the first that responds."""
    answered: ClockStatus | None = None
    for task in queries:
        try:
            status = await task
        except ClockError:
            continue
        if status.is_synchronized:
            return status
        answered = answered or status
    return answered
