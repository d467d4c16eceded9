"""From monitors and their history to the content of a page: pure functions.

This is the only place where internal data (`MonitorInput`, incidents, windows) becomes public.
"""

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from uuid import NAMESPACE_URL, UUID, uuid5
from zoneinfo import ZoneInfo

from monitord.health import TimeWindow
from monitord.history import Uptime
from monitord.model import Incident, PostStatus, State
from monitord.posts import Post
from monitord.public_pages.content import (
    DayState,
    OverallState,
    PublicContent,
    PublicDay,
    PublicGroup,
    PublicIncident,
    PublicMaintenance,
    PublicPost,
    PublicService,
    PublicState,
    PublicUpdate,
)
from monitord.public_pages.settings import PageSettings

OUTAGE_BELOW_RATIO = 0.95
"""A day with a lower uptime is an outage, otherwise a partial outage."""

MAX_INCIDENTS = 100
MAX_OPEN_POSTS = 10
MAX_PAST_POSTS = 10
MAX_UPDATES_OF_POST = 20
PLANNED_WITHIN = timedelta(days=30)
MAX_TIMES_OF_WINDOW = 3
MAX_MAINTENANCE = 20

NO_TITLE = "service"
"""The id of a service whose title has no letters or digits of ASCII."""

_NAMESPACE = uuid5(NAMESPACE_URL, "urn:monitord:page")

_STATES = {
    State.UP: PublicState.OPERATIONAL,
    State.DEGRADED: PublicState.DEGRADED,
    State.DOWN: PublicState.OUTAGE,
}
"""In all other states nothing is known about the service."""

_WORST_FIRST = (
    PublicState.OUTAGE,
    PublicState.DEGRADED,
    PublicState.MAINTENANCE,
    PublicState.OPERATIONAL,
    PublicState.NO_DATA,
)


@dataclass(frozen=True, slots=True)
class MonitorInput:
    """A monitor of the page. `title` "": its name is its public title. `incident`: the open incident."""

    name: str
    title: str
    tags: frozenset[str]
    state: PublicState
    incident: Incident | None = None

    @property
    def public_title(self) -> str:
        return self.title or self.name


@dataclass(frozen=True, slots=True)
class PastInput:
    """Uptimes by monitor for each day, the newest last, and the incidents of these days."""

    uptimes: Mapping[str, tuple[Uptime, ...]]
    incidents: Sequence[Incident] = ()


def state_of(state: State, *, in_maintenance: bool) -> PublicState:
    """Return the public state of a monitor."""
    return PublicState.MAINTENANCE if in_maintenance else _STATES.get(state, PublicState.NO_DATA)


def day_bounds(now: datetime, count: int, zone: str) -> list[datetime]:
    """Return the beginnings of the last `count` days in a time zone, and the end of today, in UTC."""
    today = now.astimezone(ZoneInfo(zone)).date()
    # In a gap, the offset before it counts (PEP 495): the day begins when the gap does.
    return [
        datetime.combine(today + timedelta(days=days), time(), ZoneInfo(zone)).astimezone(UTC)
        for days in range(1 - count, 2)
    ]


def page_uuid(page: str, *parts: str) -> UUID:
    """Return the permanent identifier of a page or a part of it."""
    return uuid5(_NAMESPACE, "\n".join((page, *parts)))


def build_content(
    settings: PageSettings,
    monitors: Sequence[MonitorInput],
    past: PastInput,
    windows: Iterable[TimeWindow],
    now: datetime,
    posts: Iterable[Post] = (),
) -> PublicContent:
    """Return the content of a page. `monitors`: those of the page, in the order of the configuration."""
    ids = _ids(monitors)
    services: dict[str, PublicService] = {}
    for monitor in monitors:
        uptimes = past.uptimes.get(monitor.name, ())
        missing = (PublicDay(DayState.NO_DATA, None),) * (settings.days - len(uptimes))
        services[monitor.name] = PublicService(
            ids[monitor.name],
            monitor.public_title,
            monitor.state,
            ratio_of(uptimes),
            missing + tuple(map(day_of, uptimes)),
        )
    first_day = now.astimezone(ZoneInfo(settings.zone)).date() - timedelta(days=settings.days - 1)
    return PublicContent(
        name=settings.name,
        title=settings.title,
        description=settings.description,
        language=settings.language,
        zone=settings.zone,
        day_count=settings.days,
        first_day=first_day,
        updated_at=now.replace(second=0, microsecond=0),
        state=overall_state([monitor.state for monitor in monitors]),
        groups=_groups(settings, monitors, services),
        incidents=_incidents(settings, {monitor.name: monitor for monitor in monitors}, ids, past.incidents),
        maintenance=_maintenance(settings, monitors, ids, windows, now),
        posts=_posts(settings, posts, now),
        ratio=ratio_of(uptime for monitor in monitors for uptime in past.uptimes.get(monitor.name, ())),
    )


def _ids(monitors: Sequence[MonitorInput]) -> dict[str, str]:
    """Return the ids by name. Of equal titles, all but the first are numbered in the order of the names."""
    ids: dict[str, str] = {}
    used: set[str] = set()
    for monitor in sorted(monitors, key=lambda monitor: monitor.name):
        slug = slug_of(monitor.public_title)
        number, unique = 1, slug
        while unique in used:
            number += 1
            unique = f"{slug}-{number}"
        used.add(unique)
        ids[monitor.name] = unique
    return ids


def slug_of(title: str) -> str:
    """Return a title as part of a URL: "Café API (EU)" is "cafe-api-eu"."""
    plain = unicodedata.normalize("NFKD", title).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-") or NO_TITLE


def ratio_of(uptimes: Iterable[Uptime]) -> float | None:
    """Return the uptime of several periods together; None without data."""
    up_s = covered_s = 0.0
    for uptime in uptimes:
        up_s += uptime.seconds.get(State.UP, 0.0) + uptime.seconds.get(State.DEGRADED, 0.0)
        covered_s += uptime.covered_s
    return up_s / covered_s if covered_s else None


def day_of(uptime: Uptime) -> PublicDay:
    """Return the state of a day."""
    ratio = uptime.ratio
    if ratio is None:
        state = DayState.MAINTENANCE if uptime.maintenance_s else DayState.NO_DATA
    elif uptime.seconds.get(State.DOWN, 0.0):
        state = DayState.OUTAGE if ratio < OUTAGE_BELOW_RATIO else DayState.PARTIAL_OUTAGE
    else:
        state = DayState.DEGRADED if uptime.seconds.get(State.DEGRADED, 0.0) else DayState.OPERATIONAL
    return PublicDay(state, ratio)


def overall_state(states: Sequence[PublicState]) -> OverallState:
    """Return the state of all services together."""
    outages = states.count(PublicState.OUTAGE)
    if outages:
        return OverallState.MAJOR_OUTAGE if 2 * outages > len(states) else OverallState.PARTIAL_OUTAGE
    return OverallState(worst_state(states).value)


def worst_state(states: Sequence[PublicState]) -> PublicState:
    """Return the worst state of several services.

    Services without data count only if they are more than half and no other service has a problem: a single paused
    monitor gives no information about the others.
    """
    worst = min(states, key=_WORST_FIRST.index, default=PublicState.NO_DATA)
    if worst in {PublicState.OUTAGE, PublicState.DEGRADED}:
        return worst
    return PublicState.NO_DATA if 2 * states.count(PublicState.NO_DATA) > len(states) else worst


def _groups(
    settings: PageSettings, monitors: Sequence[MonitorInput], services: Mapping[str, PublicService]
) -> tuple[PublicGroup, ...]:
    """Return the groups that have services. Services without a group come last."""
    members: dict[int | None, list[PublicService]] = {}
    for monitor in monitors:
        index = settings.group_of(monitor.name, monitor.tags)
        members.setdefault(index, []).append(services[monitor.name])
    groups = []
    for index in (*range(len(settings.groups)), None):
        if index in members:
            title = "" if index is None else settings.groups[index].title
            state = worst_state([service.state for service in members[index]])
            groups.append(PublicGroup(title, state, tuple(members[index])))
    return tuple(groups)


def _incidents(
    settings: PageSettings,
    monitors: Mapping[str, MonitorInput],
    ids: Mapping[str, str],
    stored: Iterable[Incident],
) -> tuple[PublicIncident, ...]:
    """Return the incidents of the days, including incidents that the history does not contain yet."""
    live = {
        monitor.incident.id: monitor.incident for monitor in monitors.values() if monitor.incident is not None
    }
    # The history can still have an incident as open that has ended, or a removed monitor as down.
    past = {
        incident.id: incident
        for incident in stored
        if incident.monitor in monitors and (incident.closed_at is not None or incident.id in live)
    }
    newest = sorted(
        (past | live).values(), key=lambda incident: (incident.opened_at, incident.monitor), reverse=True
    )
    return tuple(
        PublicIncident(
            id=str(page_uuid(settings.name, ids[incident.monitor], incident.opened_at.isoformat())),
            service=ids[incident.monitor],
            title=monitors[incident.monitor].public_title,
            began_at=incident.opened_at,
            ended_at=incident.closed_at,
            # Never the detail, which contains addresses.
            reason=incident.reason.meaning.replace("`", "") if settings.shows_reasons else "",
        )
        for incident in newest[:MAX_INCIDENTS]
    )


def _maintenance(
    settings: PageSettings,
    monitors: Sequence[MonitorInput],
    ids: Mapping[str, str],
    windows: Iterable[TimeWindow],
    now: datetime,
) -> tuple[PublicMaintenance, ...]:
    # Of equal times for the same services, only one is shown. Names of windows are not public, not even as a hash.
    maintenance: dict[str, PublicMaintenance] = {}
    for window in windows:
        affected = [monitor for monitor in monitors if window.matches(monitor.name, monitor.tags)]
        if not affected:
            continue
        services = tuple(ids[monitor.name] for monitor in affected)
        for begins_at, ends_at in window.times(now, now + PLANNED_WITHIN, MAX_TIMES_OF_WINDOW):
            key = str(page_uuid(settings.name, *services, begins_at.isoformat(), str(ends_at)))
            maintenance[key] = PublicMaintenance(
                id=key,
                begins_at=begins_at,
                ends_at=ends_at,
                services=services,
                titles=tuple(monitor.public_title for monitor in affected),
                covers_all=len(affected) == len(monitors),
                comment=(window.comment or "") if settings.shows_comments else "",
            )
    return tuple(
        sorted(maintenance.values(), key=lambda entry: (entry.begins_at, entry.id))[:MAX_MAINTENANCE]
    )


def _posts(settings: PageSettings, posts: Iterable[Post], now: datetime) -> tuple[PublicPost, ...]:
    """Return the newest posts that are not resolved, and the newest that were resolved in the days of the page."""
    public: list[PublicPost] = []
    since = now - timedelta(days=settings.days)
    capacity = {False: MAX_OPEN_POSTS, True: MAX_PAST_POSTS}
    for post in posts:
        is_resolved = post.status is PostStatus.RESOLVED
        if capacity[is_resolved] and not (is_resolved and post.updates[-1].at < since):
            capacity[is_resolved] -= 1
            newest = post.updates[: -MAX_UPDATES_OF_POST - 1 : -1]
            public.append(
                PublicPost(
                    id=str(page_uuid(settings.name, "post", post.id)),
                    title=post.title,
                    created_at=post.created_at,
                    updated_at=max(update.edited_at or update.at for update in post.updates),
                    # Without the author: it is the login name or the address of a client.
                    updates=tuple(PublicUpdate(update.at, update.status, update.text) for update in newest),
                )
            )
    return tuple(public)


def day_at(content: PublicContent, index: int) -> date:
    """Return the day of a bar."""
    return content.first_day + timedelta(days=index)
