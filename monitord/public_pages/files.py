"""All files of a page: rendered together from one content, and sent or exported as they are."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from monitord.badges import badge
from monitord.conditional_requests import tag_of
from monitord.public_pages.atom import atom_of
from monitord.public_pages.content import OverallState, PublicContent, PublicState
from monitord.public_pages.document import json_of
from monitord.public_pages.html import PageTexts, html_of
from monitord.public_pages.ical import ical_of
from monitord.public_pages.logo import Logo

INDEX = "index.html"
STYLESHEET = "style.css"

SVG = "image/svg+xml"

_TONES: Mapping[str, str] = {
    PublicState.OPERATIONAL.value: "good",
    PublicState.DEGRADED.value: "fair",
    PublicState.OUTAGE.value: "bad",
    OverallState.PARTIAL_OUTAGE.value: "bad",
    OverallState.MAJOR_OUTAGE.value: "bad",
}
GOOD_RATIO, FAIR_RATIO = 0.999, 0.99


@dataclass(frozen=True, slots=True)
class PageFile:
    """`tag`: the entity tag, a hash of the body."""

    content_type: str
    body: bytes
    tag: str


def page_file(content_type: str, body: bytes) -> PageFile:
    """Return a file with its entity tag."""
    return PageFile(content_type, body, tag_of(body))


@cache
def _stylesheet() -> bytes:
    return files("monitord.public_pages").joinpath("static", STYLESHEET).read_bytes()


def render(content: PublicContent, logo: Logo | None = None) -> Mapping[str, PageFile]:
    """Return the files by their path relative to the page; the HTML comes after the files to which it refers.

    Takes about ten milliseconds for each hundred services.
    """
    stylesheet = page_file("text/css; charset=utf-8", _stylesheet())
    # The address changes with the content, so that browsers do not combine a new page with an old style sheet.
    address = f"{STYLESHEET}?v={stylesheet.tag.strip(chr(34))[:12]}"
    pictures = {path: page_file(SVG, picture.encode()) for path, picture in _badges(content)}
    if logo is not None:
        pictures[logo.file_name] = page_file(logo.content_type, logo.body)
    logo_address = None if logo is None else logo.file_name
    return {
        STYLESHEET: stylesheet,
        **pictures,
        "page.json": page_file("application/json", json_of(content)),
        "feed.atom": page_file("application/atom+xml; charset=utf-8", atom_of(content)),
        "maintenance.ics": page_file("text/calendar; charset=utf-8", ical_of(content)),
        INDEX: page_file("text/html; charset=utf-8", html_of(content, address, logo_address)),
    }


def _badges(content: PublicContent) -> Iterator[tuple[str, str]]:
    texts = PageTexts(content)
    overall = content.state.value
    # In a word or two; outages have no word of their own for services.
    short_state = texts.words.states.get(overall) or texts.words.overall[overall]
    yield "badges/state.svg", badge(content.title, short_state, _TONES.get(overall, "none"))
    yield "badges/uptime.svg", _uptime_badge(texts, content, content.title, content.ratio)
    for service in content.services:
        state = service.state.value
        yield (
            f"badges/{service.id}/state.svg",
            badge(service.title, texts.words.states[state], _TONES.get(state, "none")),
        )
        yield f"badges/{service.id}/uptime.svg", _uptime_badge(texts, content, service.title, service.ratio)


def _uptime_badge(texts: PageTexts, content: PublicContent, title: str, ratio: float | None) -> str:
    tone = "none"
    if ratio is not None:
        tone = "good" if ratio >= GOOD_RATIO else "fair" if ratio >= FAIR_RATIO else "bad"
    return badge(f"{title} {content.day_count}{texts.locale.day_unit}", texts.percent(ratio), tone)
