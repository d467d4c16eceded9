"""The pages of silences, maintenance windows and notifications."""

import asyncio
import re
from datetime import UTC, datetime, timedelta

import pytest

from monitord.alerts import AlertSettings, DeliveryStatus
from monitord.calendar_events import parse_calendar_event
from monitord.dispatch import Matcher
from monitord.health import TimeWindow
from monitord.notifiers import NotificationKind, NotifierSettings
from monitord.status.pages.lists import (
    KIND_TEXTS,
    MAX_SHOWN_NAMES,
    NOTIFICATIONS_PER_PAGE,
    SILENCES_PER_PAGE,
    STATUS_TONES,
    window_views,
)
from monitord.web.testing import ClientResponse, TestClient
from tests.alerts.fakes import FakeNotifier, fail_delivery, fake_type
from tests.status.site import Site, site, usual_site

HTML = [("Accept", "text/html,application/xhtml+xml,*/*;q=0.8")]
NOW = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)


async def get(world: Site, path: str) -> ClientResponse:
    async with TestClient(world.status_application) as client:
        return await client.get(path, headers=HTML)


def text_of(answer: ClientResponse) -> str:
    """The main part of a page without tags and repeated space."""
    main = answer.text[answer.text.index("<main") : answer.text.index("</main>")]
    return " ".join(re.sub("<[^>]+>", "", main).split())


# -- silences ---------------------------------------------------------------------------------------------


async def test_silences_show_selection_end_comment_and_user() -> None:
    async with usual_site() as world:
        now = world.clock.now()
        later, sooner = now + timedelta(hours=2), now + timedelta(hours=1)
        names = tuple(f"host-{number}" for number in range(MAX_SHOWN_NAMES + 3))
        world.interventions.silence(Matcher(names), later, None, "kim")
        world.interventions.silence(Matcher(patterns=("b*",), tags=("web",)), sooner, "<disks>", "ann")
        text = text_of(await get(world, "/silences"))
    assert text.startswith("Silences 2 silences, sorted by end New silence b* with tag web until ")
    assert "&lt;disks&gt;" in text
    assert " by ann " in text
    assert f"host-{MAX_SHOWN_NAMES - 1} and 3 more until " in text


async def test_page_of_silences_without_silences_explains_them() -> None:
    async with usual_site() as world:
        answer = await get(world, "/silences")
    assert "No silences" in text_of(answer)
    assert "A silence suppresses notifications" in text_of(answer)
    assert 'href="./silences/new"' in answer.text


async def test_only_the_first_of_many_silences_are_shown() -> None:
    async with usual_site() as world:
        until = world.clock.now() + timedelta(hours=1)
        for _ in range(SILENCES_PER_PAGE + 5):
            world.interventions.silence(Matcher(("shop",)), until, None, "kim")
        answer = await get(world, "/silences")
    assert answer.text.count('aria-label="End the silence') == SILENCES_PER_PAGE
    assert "and 5 more" in text_of(answer)


# -- maintenance windows ----------------------------------------------------------------------------------

WINDOWS = [
    TimeWindow("over", 3600.0, begins_at=NOW - timedelta(days=2)),
    TimeWindow("nightly", 3600.0, schedule=parse_calendar_event("*-*-* 22:00 UTC"), tags=("prod",)),
    TimeWindow("move", 7200.0, begins_at=NOW - timedelta(hours=1), monitors=("db-*",), comment="new rack"),
    TimeWindow("soon", 600.0, begins_at=NOW + timedelta(hours=1)),
]


def test_open_windows_are_first_and_the_others_follow_by_their_next_time() -> None:
    views = window_views(WINDOWS, NOW)
    assert [(view.name, view.is_open, view.next_at) for view in views] == [
        ("move", True, None),
        ("soon", False, NOW + timedelta(hours=1)),
        ("nightly", False, NOW.replace(hour=22)),
        ("over", False, None),
    ]
    assert views[0].until == NOW + timedelta(hours=1)


async def test_maintenance_shows_schedule_duration_and_selection() -> None:
    async with usual_site() as world:
        now = world.clock.now()
        world.pipeline.configure(
            windows=[
                TimeWindow("move", 7200.0, begins_at=now, monitors=("db-*",), comment="new rack"),
                WINDOWS[1],
            ]
        )
        text = text_of(await get(world, "/maintenance"))
    assert text.startswith("Maintenance windows 2 windows, 1 open move open new rack open until ")
    assert "for 2 h · db-*" in text
    assert "*-*-* 22:00:00 UTC, for 1 h · tag prod" in text


@pytest.mark.parametrize(
    ("windows", "shown"),
    [(WINDOWS[1:2], "1 window, not open"), ([WINDOWS[1], WINDOWS[3]], "2 windows, none open")],
    ids=["one", "two"],
)
async def test_number_of_windows_is_shown_if_none_is_open(windows: list[TimeWindow], shown: str) -> None:
    async with usual_site() as world:
        world.pipeline.configure(windows=windows)
        text = text_of(await get(world, "/maintenance"))
    assert text.startswith(f"Maintenance windows {shown} ")


async def test_page_of_windows_without_windows_shows_how_to_configure_one() -> None:
    async with usual_site() as world:
        text = text_of(await get(world, "/maintenance"))
    assert "No maintenance windows" in text
    assert "[maintenance.patch-night]" in text


# -- notifications ----------------------------------------------------------------------------------------


def test_every_kind_and_every_status_has_a_text() -> None:
    assert set(KIND_TEXTS) == set(NotificationKind)
    assert set(STATUS_TONES) == set(DeliveryStatus)


async def deliver(world: Site, *names: str) -> None:
    """Notify of the monitors with a problem, through two notifiers, of which `chat` fails."""
    settings = AlertSettings(tuple(NotifierSettings(name, "fake", None) for name in ("ops", "chat")))
    world.alerts.apply(settings)
    ops, chat = FakeNotifier.made
    ops.response, chat.act = "250 <queued>", fail_delivery
    world.alerts.evaluate_all(names, is_isolated=False)
    while any(delivery.status is DeliveryStatus.QUEUED for delivery in world.alerts.deliveries()):  # noqa: ASYNC110
        await asyncio.sleep(0)


async def test_notifications_show_notifier_status_result_and_error() -> None:
    with fake_type():
        async with usual_site() as world:
            await deliver(world, "bad")
            answer = await get(world, "/notifications?monitor=bad")
    text = text_of(answer)
    assert "2 notifications found, newest first" in text
    assert 'href="./m/bad">bad</a>: problem' in answer.text
    assert re.search(r"bad: problem sent to ops · created [^·]+ · sent ", text)
    assert "Response: 250 &lt;queued&gt;" in text
    assert re.search(r"bad: problem retrying to chat · created [^·]+ · 1 attempt ", text)
    assert "Error: 503 busy" in text
    assert "down: " in text


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", ["bad chat", "bad ops", "slow chat", "slow ops"]),
        ("?monitor=bad", ["bad chat", "bad ops"]),
        ("?notifier=ops", ["bad ops", "slow ops"]),
        ("?status=retrying", ["bad chat", "slow chat"]),
        ("?monitor=bad&notifier=chat&status=sent", []),
    ],
)
async def test_notifications_can_be_filtered(query: str, found: list[str]) -> None:
    with fake_type():
        async with usual_site() as world:
            await deliver(world, "bad", "slow")
            text = text_of(await get(world, f"/notifications{query}"))
    assert sorted(" ".join(pair) for pair in re.findall(r"(\w+): problem \w+ to (\w+)", text)) == found
    assert ("No notification matches" in text) is not bool(found)


async def test_notifications_are_paged() -> None:
    count = NOTIFICATIONS_PER_PAGE // 2 + 1
    names = [f"m{number}" for number in range(count)]
    with fake_type():
        async with site(dict.fromkeys(names, ())) as world:
            for name in names:
                await world.fail(name)
            await deliver(world, *names)
            first = await get(world, "/notifications?status=")
            second = await get(world, "/notifications?page=2")
    assert f"{2 * count} notifications" in text_of(first)
    assert text_of(first).count(": problem ") == NOTIFICATIONS_PER_PAGE
    assert text_of(second).count(": problem ") == 2
    assert '<a href="?page=2">Older</a>' in first.text
    assert '<a href="?page=1">Newer</a>' in second.text
    assert "Older</a>" not in second.text


@pytest.mark.parametrize("query", ["page=0", "page=x", "page=1234567", "page=-1", "status=lost"])
async def test_invalid_query_is_rejected(query: str) -> None:
    async with usual_site() as world:
        assert (await get(world, f"/notifications?{query}")).status == 400


async def test_empty_page_of_notifications_explains_what_is_missing() -> None:
    with fake_type():
        async with usual_site() as world:
            without = text_of(await get(world, "/notifications"))
            world.alerts.apply(AlertSettings((NotifierSettings("ops", "fake", None),)))
            unused = text_of(await get(world, "/notifications"))
            filtered = text_of(await get(world, "/notifications?monitor=shop"))
    assert "The configuration has no [notifiers.NAME]" in without
    assert "No notification about a problem has been sent yet." in unused
    assert "No notification matches" in filtered
