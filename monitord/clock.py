"""Two clocks: the monotonic one for every interval, the wall for people.

They are one object so that tests can turn both by hand. A suspended machine shows as a growing distance
between CLOCK_BOOTTIME and CLOCK_MONOTONIC (clock_gettime(2)).
"""

import time
from datetime import UTC, datetime
from typing import Protocol


def time_text(moment: datetime) -> str:
    """ "2026-01-31 18:00:00 UTC": a time in a text that is stored or that programs pass on.

    Always absolute and in UTC: the text is read later, and elsewhere. Who shows it may put the reader's zone instead.
    """
    return f"{moment.astimezone(UTC).isoformat(' ', 'seconds')[:19]} UTC"


class Clock(Protocol):
    def monotonic_s(self) -> float:
        """Seconds since an arbitrary start; never goes back, and stands still while the machine sleeps."""
        ...

    def now(self) -> datetime:
        """Wall time, always UTC-aware."""
        ...

    def suspended_s(self) -> float:
        """Seconds that the machine has spent suspended since it booted."""
        ...


class SystemClock:
    def monotonic_s(self) -> float:
        return time.monotonic()

    def now(self) -> datetime:
        return datetime.now(UTC)

    def suspended_s(self) -> float:
        return time.clock_gettime(time.CLOCK_BOOTTIME) - time.clock_gettime(time.CLOCK_MONOTONIC)
