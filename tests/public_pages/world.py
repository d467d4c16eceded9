"""Monitors, their past and a page of them, with a mark in every internal text."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from monitord.dispatch import Matcher
from monitord.health import TimeWindow
from monitord.history import Uptime
from monitord.model import Incident, PostStatus, Reason, State
from monitord.posts import Post, PostUpdate
from monitord.public_pages.build import MonitorInput, PastInput, build_content
from monitord.public_pages.content import PublicContent, PublicState
from monitord.public_pages.settings import PageGroup, PageSettings

NOW = datetime(2026, 11, 5, 14, 30, 20, tzinfo=UTC)
DAY_S = 86400.0
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)

SECRET = "INTERNAL-MARK"
"""In every text that must not become public."""

PAGE = PageSettings(
    "customers",
    "Example Shop",
    "Status of the shop & its services",
    Matcher(tags=("public",)),
    (PageGroup("Web", Matcher(patterns=("*-web-*",))), PageGroup("Data", Matcher(patterns=("*-db-*",)))),
)


def monitor(
    name: str,
    title: str = "",
    state: PublicState = PublicState.OPERATIONAL,
    tags: Sequence[str] = ("public",),
    incident: Incident | None = None,
) -> MonitorInput:
    return MonitorInput(name, title, frozenset(tags), state, incident)


def incident(
    name: str, opened_at: datetime, closed_at: datetime | None = None, number: str = "i1"
) -> Incident:
    return Incident(
        number,
        name,
        opened_at,
        Reason.REFUSED,
        f"GET https://{SECRET}.example.org/ refused",
        closed_at,
        acknowledged_by=SECRET,
        comment=SECRET,
    )


def uptime(*, up_s: float = DAY_S, down_s: float = 0.0, degraded_s: float = 0.0) -> Uptime:
    seconds = {State.UP: up_s, State.DOWN: down_s, State.DEGRADED: degraded_s}
    return Uptime({state: spent_s for state, spent_s in seconds.items() if spent_s})


def days(count: int, **changed: Uptime) -> tuple[Uptime, ...]:
    """Days without downtime, except for some: `d3` is the third day before the last."""
    return tuple(changed.get(f"d{count - 1 - place}", uptime()) for place in range(count))


def update(ago: timedelta, status: PostStatus, text: str) -> PostUpdate:
    return PostUpdate(
        NOW - ago, status, text, author=f"token {SECRET}", edited_by=SECRET, edited_at=NOW - ago
    )


OPEN_POST = Post(
    "p2",
    PAGE.name,
    "Orders are delayed <i>",
    (
        update(2 * HOUR, PostStatus.INVESTIGATING, "We are investigating.\nMore at 14:00 & later."),
        update(HOUR, PostStatus.IDENTIFIED, "A disk has failed."),
    ),
)
RESOLVED_POST = Post(
    "p1",
    PAGE.name,
    "Front page was slow",
    (
        update(3 * DAY, PostStatus.INVESTIGATING, "We are on it."),
        update(3 * DAY - HOUR, PostStatus.RESOLVED, "All is fine again."),
    ),
)

FRONT, DATABASE, MAIL = (f"{SECRET}-{kind}" for kind in ("web-1", "db-1", "mail"))


def usual_content(settings: PageSettings = PAGE) -> PublicContent:
    """An open outage, a past one, a degraded service without a group, and maintenance of one and of all services."""
    opened = incident(DATABASE, NOW - 2 * HOUR, number="i2")
    closed = incident(FRONT, NOW - 3 * DAY, NOW - 3 * DAY + timedelta(minutes=80))
    monitors = [
        monitor(FRONT, "Front page <b>"),
        monitor(DATABASE, "Orders", PublicState.OUTAGE, ("public", SECRET), opened),
        monitor(MAIL, "Café mail", PublicState.DEGRADED),
    ]
    past = PastInput(
        {
            FRONT: days(settings.days, d3=uptime(up_s=DAY_S - 4800, down_s=4800.0)),
            DATABASE: days(settings.days, d0=uptime(up_s=DAY_S / 2, down_s=7200.0)),
            MAIL: days(settings.days // 2, d1=uptime(degraded_s=300.0)),
        },
        [closed, opened],
    )
    windows = [
        TimeWindow(
            SECRET, 7200.0, begins_at=NOW - HOUR, monitors=(MAIL,), comment=f"new disks, {SECRET}; a\\b"
        ),
        TimeWindow(f"{SECRET}2", 3600.0, begins_at=NOW + 2 * DAY, tags=("public",)),
        TimeWindow("other", 3600.0, begins_at=NOW + DAY, tags=("none",)),
    ]
    return build_content(settings, monitors, past, windows, NOW, [OPEN_POST, RESOLVED_POST])


def large_content(count: int, *, problem_days: int = 2) -> PublicContent:
    """Services in groups of twenty, each with a few days with problems, and a full list of incidents."""
    groups = tuple(
        PageGroup(f"Region {number}", Matcher(patterns=(f"service-{number}-*",)))
        for number in range(count // 20)
    )
    settings = replace(PAGE, groups=groups)
    names = [f"service-{number // 20}-{number % 20}" for number in range(count)]
    monitors = [monitor(name, f"Service {place:03} of the shop") for place, name in enumerate(names)]
    uptimes = {}
    for place, name in enumerate(names):
        changed = {
            f"d{(place * 7 + 11 * step) % settings.days}": uptime(up_s=DAY_S - 600, down_s=600.0)
            for step in range(problem_days)
        }
        uptimes[name] = days(settings.days, **changed)
    incidents = [
        incident(
            names[number % count],
            NOW - number * 9 * HOUR - HOUR,
            NOW - number * 9 * HOUR - HOUR / 2,
            f"i{number}",
        )
        for number in range(100)
    ]
    return build_content(settings, monitors, PastInput(uptimes, incidents), (), NOW)
