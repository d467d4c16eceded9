"""The content of a page. Everything in it is public.

It contains no address, detail, tag or contact of a monitor, and no name of a monitor with a title.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum

from monitord.model import PostStatus
from monitord.public_pages.locales import Language


class PublicState(StrEnum):
    """The state of a service or of a group."""

    OPERATIONAL = "operational"
    DEGRADED = "degraded"
    OUTAGE = "outage"
    MAINTENANCE = "maintenance"
    NO_DATA = "no_data"


class OverallState(StrEnum):
    """The state of all services of a page together."""

    OPERATIONAL = "operational"
    DEGRADED = "degraded"
    PARTIAL_OUTAGE = "partial_outage"
    MAJOR_OUTAGE = "major_outage"
    MAINTENANCE = "maintenance"
    NO_DATA = "no_data"


class DayState(StrEnum):
    """The state of a service over one day."""

    OPERATIONAL = "operational"
    DEGRADED = "degraded"
    PARTIAL_OUTAGE = "partial_outage"
    OUTAGE = "outage"
    MAINTENANCE = "maintenance"
    NO_DATA = "no_data"


@dataclass(frozen=True, slots=True)
class PublicDay:
    """`ratio`: the uptime; None without data."""

    state: DayState
    ratio: float | None


@dataclass(frozen=True, slots=True)
class PublicService:
    """A monitor. `id` is derived from the public title, and unique on the page. `ratio`: the uptime of all days."""

    id: str
    title: str
    state: PublicState
    ratio: float | None
    days: tuple[PublicDay, ...]


@dataclass(frozen=True, slots=True)
class PublicGroup:
    """Services below a heading; `title` "": without one."""

    title: str
    state: PublicState
    services: tuple[PublicService, ...]


@dataclass(frozen=True, slots=True)
class PublicIncident:
    """An outage. `ended_at` None: it is open. `reason`: in words, if the page shows reasons; otherwise ""."""

    id: str
    service: str
    title: str
    began_at: datetime
    ended_at: datetime | None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class PublicMaintenance:
    """A time of a maintenance window. `ends_at` None: it is not known. `titles`: of its services on the page."""

    id: str
    begins_at: datetime
    ends_at: datetime | None
    services: tuple[str, ...]
    titles: tuple[str, ...]
    covers_all: bool
    comment: str = ""


@dataclass(frozen=True, slots=True)
class PublicUpdate:
    """An update of a post, without its author. `text`: lines separated by newlines."""

    at: datetime
    status: PostStatus
    text: str


@dataclass(frozen=True, slots=True)
class PublicPost:
    """A message of people. `updates`: the newest first, at least one. `updated_at`: the last update or correction."""

    id: str
    title: str
    created_at: datetime
    updated_at: datetime
    updates: tuple[PublicUpdate, ...]

    @property
    def is_resolved(self) -> bool:
        return self.updates[0].status is PostStatus.RESOLVED


@dataclass(frozen=True, slots=True)
class PublicContent:
    """A page at `updated_at`, in whole minutes. `first_day`: of the first bar. Incidents, posts: the newest first.

    `ratio`: the uptime of all services and days together; None without data.
    """

    name: str
    title: str
    description: str
    language: Language
    zone: str
    day_count: int
    first_day: date
    updated_at: datetime
    state: OverallState
    groups: tuple[PublicGroup, ...]
    incidents: tuple[PublicIncident, ...]
    maintenance: tuple[PublicMaintenance, ...]
    posts: tuple[PublicPost, ...] = ()
    ratio: float | None = None

    @property
    def services(self) -> Sequence[PublicService]:
        """All services, in the order of the page."""
        return [service for group in self.groups for service in group.services]
