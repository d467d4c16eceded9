"""The state of the synchronization of a clock, independent of its source."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

NTP_EPOCH = datetime(1900, 1, 1, tzinfo=UTC)
NTP_ERA_S = 2**32

NOT_SYNCHRONIZED = 3
"""The leap indicator of a clock that is not synchronized (RFC 5905, figure 9)."""


@dataclass(frozen=True, slots=True)
class ClockStatus:
    """The report of a time service or the kernel. None or an empty text: not reported.

    - `source`: "timesyncd", "chrony", "ntpd" or "kernel".
    - `offset_s`: server time minus time of this host. `is_corrected`: the clock was corrected after its measurement.
    - `measured_at`: the last measurement that the service used, by the clock of this host.
    """

    source: str
    is_synchronized: bool
    offset_s: float | None = None
    is_corrected: bool = False
    measured_at: datetime | None = None
    server: str = ""
    stratum: int | None = None


class ClockError(Exception):
    """A time service does not run, or its response is of no use. Its text is the reason."""


def ntp_time(seconds: int, fraction: int, now: datetime) -> datetime | None:
    """Return an NTP timestamp in the era that is nearest to `now`; None for 0, which means never."""
    if not seconds and not fraction:
        return None
    era_s = round(((now - NTP_EPOCH).total_seconds() - seconds) / NTP_ERA_S) * NTP_ERA_S
    return NTP_EPOCH + timedelta(seconds=era_s + seconds + fraction / NTP_ERA_S)
