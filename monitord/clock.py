"""The monotonic clock for all intervals, and the wall clock for output.

Both are one object, so that tests can control them together. While the machine is suspended, CLOCK_BOOTTIME advances
and CLOCK_MONOTONIC does not (clock_gettime(2)).
"""

import os
import re
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, tzinfo
from pathlib import Path
from typing import Protocol

TIME_IN_TEXT = re.compile(r"\b(\d{4}-\d\d-\d\d) (\d\d:\d\d:\d\d) UTC\b")
"""The format of `time_text`."""


def time_text(moment: datetime) -> str:
    """ "2026-01-31 18:00:00 UTC": a time in a text that is stored or that programs pass on.

    Always absolute and in UTC, because the text is read later and elsewhere; see `with_times_in`.
    """
    return f"{moment.astimezone(UTC).isoformat(' ', 'seconds')[:19]} UTC"


def with_times_in(zone: tzinfo | None, text: str) -> str:
    """The text with its times (`time_text`) in this zone, and without the name of the zone."""

    def replaced(match: re.Match[str]) -> str:
        try:
            moment = datetime.fromisoformat(f"{match[1]}T{match[2]}Z")
        except ValueError:  # a date that does not exist, in the text of a peer
            return match[0]
        return f"{in_zone(moment, zone):%Y-%m-%d %H:%M:%S}"

    return TIME_IN_TEXT.sub(replaced, text)


def in_zone(moment: datetime, zone: tzinfo | None = None) -> datetime:
    """Return the moment in a zone; None: in that of this host. In UTC if the year in the zone is not from 1 to 9999.

    A certificate without an end is valid until 9999-12-31 23:59:59 UTC (RFC 5280, section 4.1.2.5).
    """
    try:
        return moment.astimezone(zone)
    except OverflowError:
        return moment.astimezone(UTC)


class Clock(Protocol):
    def monotonic_s(self) -> float:
        """Seconds since an arbitrary start; never goes back, and stops while the machine is suspended."""
        ...

    def now(self) -> datetime:
        """Wall-clock time in UTC, aware."""
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


class LocalZone:
    """The local time zone of this host, even after timedatectl(1) has replaced /etc/localtime.

    The C library reads the file once, and again only in tzset(3). If TZ is set, it determines the zone.
    """

    def __init__(
        self,
        environ: Mapping[str, str] = os.environ,
        path: Path = Path("/etc/localtime"),
        tzset: Callable[[], None] = time.tzset,
    ) -> None:
        self._is_fixed = "TZ" in environ
        self._path = path
        self._tzset = tzset
        self._last_stamp = self._stamp()
        self._last_zone = self._zone()

    def follow(self) -> bool:
        """Switch to the current zone. Returns whether it has changed since the last call. Takes one stat(2).

        An upgrade of tzdata replaces the files of all zones, and changes the rules of a few.
        """
        if self._is_fixed or (stamp := self._stamp()) == self._last_stamp:
            return False
        self._last_stamp = stamp
        if (zone := self._zone()) == self._last_zone:
            return False
        self._last_zone = zone
        self._tzset()
        return True

    def _stamp(self) -> tuple[int, int, int, str] | None:
        """Identify the file that the link refers to, and the link itself: two zones may be the same file."""
        try:
            status = self._path.stat()
        except OSError:
            return None  # the C library uses UTC
        return status.st_dev, status.st_ino, status.st_mtime_ns, self._target()

    def _zone(self) -> tuple[str, bytes] | None:
        """The target of the link, and the rules in the file; None if there is no file."""
        try:
            return self._target(), self._path.read_bytes()
        except OSError:
            return None

    def _target(self) -> str:
        try:
            return str(self._path.readlink())
        except OSError:
            return ""


def zone_text(moment: datetime) -> str:
    """ "CET (UTC+01:00)": the local time zone at that moment."""
    local = moment.astimezone()
    return f"{local.tzname()} (UTC{local.isoformat()[-6:]})"
