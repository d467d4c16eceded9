"""A page as HTML, and the phrases that its other forms share.

Complete without JavaScript; addresses are relative, so that the page works below any path, and as files. The bar of a
service is a picture of a few paths: one for each run of equal days, drawn with a dashed stroke. Therefore the size of a
page depends on the problems rather than on the number of days.
"""

from collections.abc import Mapping
from datetime import datetime
from functools import cache
from html import escape
from itertools import groupby
from typing import Any
from zoneinfo import ZoneInfo

from monitord.clock import in_zone
from monitord.public_pages.build import day_at
from monitord.public_pages.content import (
    DayState,
    OverallState,
    PublicContent,
    PublicIncident,
    PublicMaintenance,
    PublicService,
    PublicState,
)
from monitord.public_pages.document import time_of
from monitord.public_pages.locales import LOCALES

MAX_SHOWN_INCIDENTS = 30
MAX_SHOWN_TITLES = 8

MAX_DAY_TITLES = 150
"""Days with problems that have a tooltip each: with more of them, the page would become large."""

MAX_OPEN_SERVICES = 40
"""With more services, groups without problems are closed."""

BAR_HEIGHT = 20
_BARS: Mapping[DayState, tuple[str, int]] = {
    DayState.OPERATIONAL: ("o", 16),
    DayState.DEGRADED: ("w", 18),
    DayState.PARTIAL_OUTAGE: ("p", 20),
    DayState.OUTAGE: ("x", 20),
    DayState.MAINTENANCE: ("m", 9),
    DayState.NO_DATA: ("n", 4),
}
"""Class and height of each state: colour is never the only signal."""

_PROBLEMS = frozenset({DayState.DEGRADED, DayState.PARTIAL_OUTAGE, DayState.OUTAGE})


class PageTexts:
    """The phrases of a page in its language and its time zone."""

    def __init__(self, content: PublicContent) -> None:
        self.locale = LOCALES[content.language]
        self.words = self.locale.words
        self._zone = ZoneInfo(content.zone)

    def headline(self, content: PublicContent) -> str:
        """Return the overall state as a sentence."""
        has_gaps = any(service.state is PublicState.NO_DATA for service in content.services)
        if content.state is OverallState.OPERATIONAL and has_gaps:
            return self.words.no_known_problems
        return self.words.overall[content.state.value]

    def moment(self, at: datetime) -> str:
        """Return date and time in the zone of the page."""
        return self.locale.moment_text(in_zone(at, self._zone))

    def period(self, begins_at: datetime, ends_at: datetime) -> str:
        """Return a period; its end without the date if it is on the same day."""
        begins, ends = in_zone(begins_at, self._zone), in_zone(ends_at, self._zone)
        is_same_day = begins.date() == ends.date()
        end = self.locale.clock_text(ends) if is_same_day else self.locale.moment_text(ends)
        return f"{self.locale.moment_text(begins)} \N{EN DASH} {end}"

    def incident_time(self, incident: PublicIncident) -> str:
        """Return begin, end and duration of an incident."""
        if incident.ended_at is None:
            return f"{self.words.ongoing}, {self.words.since.format(time=self.moment(incident.began_at))}"
        duration_s = (incident.ended_at - incident.began_at).total_seconds()
        lasted = self.words.lasted.format(duration=self.locale.duration_text(duration_s))
        return f"{self.period(incident.began_at, incident.ended_at)} ({lasted})"

    def maintenance_time(self, entry: PublicMaintenance, now: datetime) -> str:
        """Return begin and end of a maintenance."""
        if entry.ends_at is None:
            return f"{self.words.since.format(time=self.moment(entry.begins_at))}, {self.words.end_unknown}"
        if entry.begins_at <= now:
            return self.words.until.format(time=self.moment(entry.ends_at))
        return self.period(entry.begins_at, entry.ends_at)

    def affected(self, entry: PublicMaintenance) -> str:
        """Return the services of a maintenance."""
        if entry.covers_all:
            return self.words.all_services
        shown = ", ".join(entry.titles[:MAX_SHOWN_TITLES])
        more = len(entry.titles) - MAX_SHOWN_TITLES
        return f"{shown} {self.words.more_services.format(count=more)}" if more > 0 else shown

    def percent(self, ratio: float | None) -> str:
        """Return an uptime."""
        return self.words.no_uptime if ratio is None else self.locale.percent_text(ratio)


class SafeMarkup(str):
    """Markup that is safe to insert into a page: all text in it is escaped."""

    __slots__ = ()

    def __html__(self) -> str:
        return self


def html_of(content: PublicContent, stylesheet: str, logo: str | None = None) -> bytes:
    """Return the page in UTF-8. `stylesheet` and `logo`: their relative addresses. The first call imports Jinja2."""
    texts = PageTexts(content)
    problem_days = sum(day.state in _PROBLEMS for service in content.services for day in service.days)
    has_titles = problem_days <= MAX_DAY_TITLES
    shown = content.incidents[:MAX_SHOWN_INCIDENTS]
    values = {
        "content": content,
        "texts": texts,
        "headline": texts.headline(content),
        "words": texts.words,
        "stylesheet": stylesheet,
        "logo": logo,
        "bars": {
            service.id: _bar(content, texts, service, has_titles=has_titles) for service in content.services
        },
        "shown": shown,
        "hidden_count": len(content.incidents) - len(shown),
        "current": [entry for entry in content.maintenance if entry.begins_at <= content.updated_at],
        "planned": [entry for entry in content.maintenance if entry.begins_at > content.updated_at],
        "current_posts": [post for post in content.posts if not post.is_resolved],
        "past_posts": [post for post in content.posts if post.is_resolved],
        "closes_groups": len(content.services) > MAX_OPEN_SERVICES,
    }
    page: str = _environment().get_template("page.html").render(values)
    return page.encode()


def _bar(content: PublicContent, texts: PageTexts, service: PublicService, *, has_titles: bool) -> SafeMarkup:
    """Return the picture of the days of a service."""
    problems = sum(day.state in _PROBLEMS for day in service.days)
    description = texts.words.problem_days.format(days=content.day_count, count=problems)
    paths: list[str] = []
    runs: dict[DayState, str] = {}
    at = 0
    for state, days in groupby(service.days, key=lambda day: day.state):
        run = list(days)
        kind, height = _BARS[state]
        y = f"{BAR_HEIGHT - height / 2:g}"
        if has_titles and state in _PROBLEMS:
            for place, day in enumerate(run, at):
                title = f"{texts.locale.day_text(day_at(content, place))}: {texts.percent(day.ratio)}"
                paths.append(f'<path class="{kind}" d="M{place} {y}h1"><title>{escape(title)}</title></path>')
        else:
            runs[state] = runs.get(state, "") + f"M{at} {y}h{len(run)}"
        at += len(run)
    paths += [f'<path class="{_BARS[state][0]}" d="{path}"/>' for state, path in runs.items()]
    return SafeMarkup(
        f'<svg viewBox="0 0 {len(service.days)} {BAR_HEIGHT}" preserveAspectRatio="none" role="img" '
        f'aria-label="{escape(description)}">{"".join(paths)}</svg>'
    )


@cache
def _environment() -> Any:
    from jinja2 import Environment, PackageLoader, StrictUndefined  # noqa: PLC0415 - only if a page is requested

    environment = Environment(
        loader=PackageLoader("monitord.public_pages", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    environment.filters["iso"] = time_of
    return environment
