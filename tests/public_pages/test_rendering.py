"""All files of a page: they are well-formed, complete and small, and contain nothing internal."""

import json
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from uuid import UUID
from xml.etree import ElementTree as ET

import pytest

from monitord.public_pages.build import PastInput, build_content
from monitord.public_pages.content import PublicContent, PublicState
from monitord.public_pages.files import INDEX, render
from monitord.public_pages.locales import LOCALES, Language
from monitord.public_pages.logo import Logo
from monitord.public_pages.settings import PageSettings
from tests.public_pages.world import HOUR, NOW, PAGE, SECRET, large_content, monitor, usual_content

ATOM = "{http://www.w3.org/2005/Atom}"
EVERYTHING = replace(PAGE, shows_reasons=True)
VOID = {"meta", "link", "img", "br"}


class Page(HTMLParser):
    """The elements of a page, which must be nested correctly, and have unique ids."""

    def __init__(self, page: bytes) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.text = ""
        self.feed(page.decode())
        self.close()
        assert self.open == []
        assert len(self.ids) == len(set(self.ids))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        assert not any(name.startswith("on") or name == "style" for name in values)
        self.ids += [values["id"] or ""] if "id" in values else []
        self.links += [values["href"] or ""] if "href" in values else []
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag == "path"

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        assert "script" not in self.open
        self.text += data


def texts_of(content: PublicContent) -> dict[str, str]:
    return {path: file.body.decode() for path, file in render(content).items()}


def calendar_lines(text: str) -> list[str]:
    """The content lines without folding (RFC 5545, section 3.1)."""
    assert text.endswith("\r\n")
    physical = text.split("\r\n")
    assert all(len(line.encode()) <= 75 for line in physical)
    return text.replace("\r\n ", "").removesuffix("\r\n").split("\r\n")


@pytest.mark.parametrize("settings", [PAGE, EVERYTHING], ids=["usual", "with reasons"])
def test_no_file_contains_anything_internal(settings: PageSettings) -> None:
    texts = texts_of(usual_content(settings))
    assert {path for path, text in texts.items() if SECRET.lower() in text.lower()} == set()
    assert {path for path in texts if SECRET.lower() in path.lower()} == set()
    assert ("connection refused" in texts[INDEX]) is settings.shows_reasons


def test_comments_of_maintenance_are_shown_only_on_request() -> None:
    texts = texts_of(usual_content(replace(PAGE, shows_comments=True)))
    assert {path for path, text in texts.items() if "new disks" in text} == {
        INDEX,
        "page.json",
        "maintenance.ics",
    }


@pytest.mark.parametrize("language", Language, ids=lambda language: language.value)
def test_page_is_well_formed_in_every_language(language: Language) -> None:
    settings = replace(PAGE, language=language, zone="Europe/Berlin", shows_reasons=True)
    page = Page(render(usual_content(settings))[INDEX].body)
    words = LOCALES[language].words
    for text in (
        *("Example Shop", "Status of the shop & its services", "Front page <b>", "Orders", "Café mail"),
        *(words.overall["partial_outage"], words.states["outage"], words.other_services, words.planned),
    ):
        assert text in page.text
    assert not re.search(r"[{}]", page.text)


@pytest.mark.parametrize(
    ("states", "headline"),
    [
        ("operational operational", "All services are operational"),
        ("operational no_data", "No known problems"),
        ("operational no_data no_data", "The state of some services is unknown"),
        ("maintenance no_data", "Maintenance in progress"),
        ("degraded no_data", "Some services are degraded"),
    ],
)
def test_headline_does_not_promise_that_services_without_data_are_operational(
    states: str, headline: str
) -> None:
    monitors = [monitor(f"m{place}", state=PublicState(state)) for place, state in enumerate(states.split())]
    page = Page(render(build_content(PAGE, monitors, PastInput({}), (), NOW))[INDEX].body)
    assert page.text.count(headline) == 2  # title and banner


def test_links_are_relative_and_lead_to_files_of_the_page() -> None:
    files = render(usual_content())
    links = Page(files[INDEX].body).links
    assert {link.partition("?")[0] for link in links if not link.startswith("#")} <= files.keys()


def test_times_are_in_the_zone_of_the_page() -> None:
    page = Page(render(usual_content(replace(PAGE, zone="Asia/Tokyo")))[INDEX].body).text
    assert "Ongoing, since 2026-11-05 21:30" in page
    period = "2026-11-02 23:30 \N{EN DASH} 2026-11-03 00:50 (lasted 1_h 20_min)"
    assert period.replace("_", "\u00a0") in page
    assert "Times in Asia/Tokyo" in page


def test_page_of_two_hundred_services_is_small() -> None:
    quiet = render(large_content(200, problem_days=1))
    stormy = render(large_content(200, problem_days=20))
    assert len(Page(quiet[INDEX].body).ids) > 200
    assert len(quiet[INDEX].body) < 100_000
    assert len(stormy[INDEX].body) < 150_000
    assert len(stormy["page.json"].body) < 250_000


def test_bar_has_a_run_for_equal_days_and_a_tooltip_for_each_problem() -> None:
    page = render(usual_content())[INDEX].body.decode()
    (bar,) = re.findall(r'<li class="operational" id="front-page-b">.*?(<svg.*?</svg>)', page)
    picture = ET.fromstring(bar)
    assert picture.get("aria-label") == "Last 90 days, with problems: 1"
    assert [(path.get("class"), path.get("d")) for path in picture] == [
        ("x", "M86 10h1"),
        ("o", "M0 12h86M87 12h3"),
    ]
    assert [title.text for title in picture.iter("title")] == ["2026-11-02: 94.44\u00a0%"]


def test_document_contains_the_page() -> None:
    document = json.loads(render(usual_content(EVERYTHING))["page.json"].body)
    assert document["title"] == "Example Shop"
    assert document["state"] == "partial_outage"
    assert document["uptime"] == pytest.approx(0.999382, abs=1e-6)
    assert document["updated_at"] == "2026-11-05T14:30:00Z"
    assert document["first_day"] == "2026-08-08"
    services = {service["id"]: service for group in document["groups"] for service in group["services"]}
    assert {name: service["state"] for name, service in services.items()} == {
        "front-page-b": "operational",
        "orders": "outage",
        "cafe-mail": "degraded",
    }
    assert len(services["orders"]["days"]) == 90
    assert [incident["service"] for incident in document["incidents"]] == ["orders", "front-page-b"]
    assert document["incidents"][0] == {
        "id": document["incidents"][0]["id"],
        "service": "orders",
        "began_at": "2026-11-05T12:30:20Z",
        "ended_at": None,
        "reason": "connection refused",
    }
    assert document["maintenance"][1]["services"] == ["front-page-b", "orders", "cafe-mail"]


def test_feed_is_valid_and_its_ids_are_permanent() -> None:
    feed = ET.fromstring(render(usual_content(EVERYTHING))["feed.atom"].body)
    entries = feed.findall(f"{ATOM}entry")
    ids = [element.findtext(f"{ATOM}id") or "" for element in (feed, *entries)]
    assert len({UUID(text.removeprefix("urn:uuid:")) for text in ids}) == 5
    # RFC 4287, sections 4.1.1 and 4.1.2: what a feed and an entry must contain.
    for element in (feed, *entries):
        assert all(len(element.findall(f"{ATOM}{name}")) == 1 for name in ("id", "title", "updated"))
    assert feed.findtext(f"{ATOM}author/{ATOM}name") == "Example Shop"
    assert feed.findtext(f"{ATOM}updated") == entries[0].findtext(f"{ATOM}updated") == "2026-11-05T13:30:20Z"
    assert [entry.findtext(f"{ATOM}title") for entry in entries] == [
        "Orders are delayed <i>",
        "Outage: Orders",
        "Outage: Front page <b>",
        "Front page was slow",
    ]
    assert [entry.findtext(f"{ATOM}content") for entry in entries[:2]] == [
        "Identified (2026-11-05 13:30)\nA disk has failed.\n\n"
        "Investigating (2026-11-05 12:30)\nWe are investigating.\nMore at 14:00 & later.",
        "Ongoing, since 2026-11-05 12:30\nCause: connection refused",
    ]


def test_feed_without_entries_is_valid() -> None:
    feed = ET.fromstring(render(replace(usual_content(), incidents=(), posts=()))["feed.atom"].body)
    assert datetime.fromisoformat(feed.findtext(f"{ATOM}updated") or "") == datetime(2026, 8, 8, tzinfo=UTC)


def test_posts_are_shown_with_their_updates_but_not_their_authors() -> None:
    files = render(usual_content())
    page = Page(files[INDEX].body)
    assert (
        "Identified 2026-11-05 13:30A disk has failed.\n"
        "Investigating 2026-11-05 12:30We are investigating.\nMore at 14:00 & later."
    ) in page.text
    # A post that is not resolved comes before the services, others after them.
    parts = ("Orders are delayed <i>", "Other services", "Past announcements", "Front page was slow")
    places = [page.text.index(part) for part in parts]
    assert places == sorted(places)
    posts = json.loads(files["page.json"].body)["posts"]
    assert [(post["title"], post["status"]) for post in posts] == [
        ("Orders are delayed <i>", "identified"),
        ("Front page was slow", "resolved"),
    ]
    assert posts[0]["updates"][0] == {
        "at": "2026-11-05T13:30:20Z",
        "status": "identified",
        "text": "A disk has failed.",
    }


def test_calendar_has_the_maintenance_in_utc() -> None:
    content = usual_content(replace(PAGE, zone="Asia/Tokyo", shows_comments=True))
    content = replace(
        content,
        maintenance=tuple(replace(entry, comment="a; b, c\\d\nnext" * 9) for entry in content.maintenance),
    )
    lines = calendar_lines(render(content)["maintenance.ics"].body.decode())
    assert (lines[0], lines[1], lines[-1]) == ("BEGIN:VCALENDAR", "VERSION:2.0", "END:VCALENDAR")
    assert [line for line in lines if line.startswith(("DTSTART", "DTEND"))] == [
        "DTSTART:20261105T133020Z",
        "DTEND:20261105T153020Z",
        "DTSTART:20261107T143020Z",
        "DTEND:20261107T153020Z",
    ]
    assert lines.count("DTSTAMP:20261105T143000Z") == 2
    assert "SUMMARY:Maintenance: Café mail" in lines
    assert "DESCRIPTION:" + "a\\; b\\, c\\\\d\\nnext" * 9 in lines
    assert len({UUID(line.removeprefix("UID:")) for line in lines if line.startswith("UID:")}) == 2


def test_maintenance_without_a_known_end_has_no_end_in_the_calendar() -> None:
    content = usual_content()
    entry = replace(content.maintenance[0], ends_at=None)
    files = texts_of(replace(content, maintenance=(entry,)))
    assert "DTEND" not in files["maintenance.ics"]
    assert "end not known" in files[INDEX]


def test_badges_show_state_and_uptime() -> None:
    texts = texts_of(usual_content())
    badges = {path: ET.fromstring(text).get("aria-label") for path, text in texts.items() if "badges" in path}
    assert badges == {
        "badges/state.svg": "Example Shop: Partial outage",
        "badges/uptime.svg": "Example Shop 90d: 99.93\u00a0%",
        "badges/front-page-b/state.svg": "Front page <b>: Operational",
        "badges/front-page-b/uptime.svg": "Front page <b> 90d: 99.93\u00a0%",
        "badges/orders/state.svg": "Orders: Outage",
        "badges/orders/uptime.svg": "Orders 90d: 99.90\u00a0%",
        "badges/cafe-mail/state.svg": "Café mail: Degraded",
        "badges/cafe-mail/uptime.svg": "Café mail 90d: 100\u00a0%",
    }


def test_older_incidents_are_counted() -> None:
    page = Page(render(large_content(20))[INDEX].body)
    assert page.text.count("Outage: ") == 30
    assert "Older incidents that are not shown: 70" in page.text


def test_page_without_services_is_complete() -> None:
    content = replace(usual_content(), groups=(), incidents=(), maintenance=())
    assert "No incidents in the last 90 days." in Page(render(content)[INDEX].body).text


def test_groups_of_a_large_page_are_closed_unless_they_have_a_problem() -> None:
    page = render(large_content(60))[INDEX].body.decode()
    assert page.count("<details") == 3
    assert "open>" not in page
    assert render(usual_content())[INDEX].body.decode().count(" open>") == 3


def test_logo_is_a_file_of_the_page() -> None:
    logo = Logo("logo.png", "image/png", b"\x89PNG")
    files = render(usual_content(), logo)
    assert (files["logo.png"].content_type, files["logo.png"].body) == ("image/png", b"\x89PNG")
    assert b'<img src="logo.png" alt="">' in files[INDEX].body
    assert list(files)[-1] == INDEX


def test_only_changed_files_have_another_tag() -> None:
    before, after = render(usual_content()), render(replace(usual_content(), updated_at=NOW + HOUR))
    changed = {path for path in before if before[path].tag != after[path].tag}
    assert changed == {INDEX, "page.json", "maintenance.ics"}


LOCAL = datetime(2026, 11, 1, 15, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    ("language", "moment", "percent", "duration"),
    [
        ("en", "2026-11-01 15:05", "99.98_%", "2_d 3_h"),
        ("en-GB", "1 November 2026 at 15:05", "99.98%", "2_d 3_h"),
        ("en-US", "November 1, 2026 at 3:05\u202fPM", "99.98%", "2_d 3_h"),
        ("de", "1. November 2026, 15:05_Uhr", "99,98_%", "2_d 3_h"),
        ("fr", "1er novembre 2026 à 15:05", "99,98\u202f%", "2_j 3_h"),
        ("es", "1 de noviembre de 2026, 15:05", "99,98_%", "2_d 3_h"),
        ("nl", "1 november 2026 om 15:05", "99,98%", "2_d 3_h"),
    ],
)
def test_dates_and_numbers_of_every_language(language: str, moment: str, percent: str, duration: str) -> None:
    locale = LOCALES[Language(language)]
    assert locale.moment_text(LOCAL) == moment.replace("_", "\u00a0")
    assert locale.percent_text(0.99989) == percent.replace("_", "\u00a0")
    assert locale.duration_text(timedelta(days=2, hours=3, minutes=59).total_seconds()) == duration.replace(
        "_", "\u00a0"
    )


@pytest.mark.parametrize("language", Language, ids=lambda language: language.value)
def test_every_language_has_all_words_and_months(language: Language) -> None:
    words, english = LOCALES[language].words, LOCALES[Language.ENGLISH].words
    for key in ("overall", "states", "posts"):
        assert getattr(words, key).keys() == getattr(english, key).keys()
    for name in words.__dataclass_fields__:
        text = getattr(words, name)
        if isinstance(text, str):
            assert re.findall(r"{\w+}", text) == re.findall(r"{\w+}", getattr(english, name))
    assert len(set(LOCALES[language].months)) == (12 if language is not Language.ENGLISH else 0)


@pytest.mark.parametrize(
    ("ratio", "text"), [(1.0, "100"), (0.999999, "99.99"), (0.9999, "99.99"), (0.0, "0.00"), (0.29, "29.00")]
)
def test_percentage_is_rounded_down(ratio: float, text: str) -> None:
    assert LOCALES[Language.BRITISH].percent_text(ratio) == f"{text}%"


@pytest.mark.parametrize(("hour", "text"), [(0, "12:05"), (11, "11:05"), (12, "12:05"), (23, "11:05")])
def test_american_clock_has_twelve_hours(hour: int, text: str) -> None:
    half = "AM" if hour < 12 else "PM"
    assert LOCALES[Language.AMERICAN].clock_text(LOCAL.replace(hour=hour)) == f"{text}\u202f{half}"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(5, "5 s"), (60, "1 min"), (3599, "59 min"), (3600, "1 h"), (4800, "1 h 20 min"), (86400, "1 d")],
)
def test_duration_is_short(seconds: float, text: str) -> None:
    shown = LOCALES[Language.ENGLISH].duration_text(seconds)
    assert shown.replace("\u00a0", " ") == text
