"""Pages of a running daemon: what is served, to whom, and how often it is rendered."""

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from monitord.application import ApplicationContainer
from monitord.dispatch import Matcher
from monitord.errors import HistoryError
from monitord.health import TimeWindow
from monitord.history import IncidentTime, Uptime
from monitord.model import Incident, MonitorContext, PostStatus, Reason, State
from monitord.public_pages.pages import PublicPage, PublicPages
from monitord.public_pages.serving import page_application
from monitord.public_pages.settings import PageSettings
from monitord.web.testing import TestClient
from tests.history.world import SetClock
from tests.public_pages.world import SECRET
from tests.reports.world import BERLIN, NOW, stored_history
from tests.status.site import Site
from tests.worlds import World

PAGE = PageSettings("customers", "Example Shop", matcher=Matcher(tags=("public",)), is_published=True)


class CountedPast:
    """A history without data that counts its reads."""

    def __init__(self) -> None:
        self.reads = 0
        self.days: list[int] = []
        self.is_broken = False

    async def uptimes_between(
        self, monitors: Sequence[str], bounds: Sequence[datetime]
    ) -> dict[str, tuple[Uptime, ...]]:
        self.reads += 1
        self.days.append(len(bounds) - 1)
        if self.is_broken:
            raise HistoryError("the disk is missing")
        # Each read has another uptime, so that a test sees which days it has replaced.
        return {
            name: tuple(Uptime({State.UP: 60.0, State.DOWN: float(self.reads)}) for _ in bounds[1:])
            for name in monitors
        }

    async def incident_times(self, start: datetime, end: datetime) -> list[IncidentTime]:
        return []

    async def incidents_by_id(self, ids: Sequence[str]) -> list[Incident]:
        return []

    async def wait_until_stored(self, within_s: float, *, durable: bool = False) -> bool:
        return True


class PageSite(Site):
    past: CountedPast

    def skip(self, seconds: float) -> None:
        clock = self.clock
        clock.skipped_s += seconds  # type: ignore[attr-defined] # a FakeClock


@asynccontextmanager
async def served(
    *pages: PageSettings, windows: Sequence[TimeWindow] = ()
) -> AsyncIterator[tuple[PageSite, TestClient]]:
    """`shop` and `api` are public, `office` is not."""
    site = PageSite({"shop": ("public",), "api": ("public",), "office": ()})
    site.past = CountedPast()
    site.override(
        ApplicationContainer.public_pages, PublicPages(site.registry, site.past, site.posts, site.clock)
    )
    site.public_pages.apply(pages or (PAGE,), windows)
    try:
        await site.check("shop", "api", "office")
        async with TestClient(site.status_application) as client:
            yield site, client
    finally:
        await site.close()


async def test_published_page_is_served_with_all_its_files() -> None:
    async with served() as (_, client):
        page = await client.get("/pages/customers/")
        assert page.status == 200
        assert "All services are operational" in page.text
        assert "office" not in page.text
        kinds = {
            "index.html": "text/html; charset=utf-8",
            "style.css": "text/css; charset=utf-8",
            "page.json": "application/json",
            "feed.atom": "application/atom+xml; charset=utf-8",
            "maintenance.ics": "text/calendar; charset=utf-8",
            "badges/state.svg": "image/svg+xml",
            "badges/shop/uptime.svg": "image/svg+xml",
        }
        for path, kind in kinds.items():
            response = await client.get(f"/pages/customers/{path}")
            assert (response.status, response.headers["Content-Type"]) == (200, kind)


async def test_page_can_be_cached_and_runs_no_scripts() -> None:
    async with served() as (_, client):
        headers = (await client.get("/pages/customers/")).headers
        assert headers["Cache-Control"] == "public, max-age=30"
        assert headers["Content-Security-Policy"].startswith(
            "default-src 'none'; style-src 'self'; img-src 'self';"
        )
        assert "script-src" not in headers["Content-Security-Policy"]
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
        badge = await client.get("/pages/customers/badges/state.svg")
        assert badge.headers["Cross-Origin-Resource-Policy"] == "cross-origin"


async def test_unchanged_page_is_not_sent_again() -> None:
    async with served() as (_, client):
        page = await client.get("/pages/customers/")
        tag = page.headers["ETag"]
        again = await client.get("/pages/customers/", headers={"If-None-Match": tag})
        assert (again.status, again.body, again.headers["ETag"]) == (304, b"", tag)
        assert again.headers["Cache-Control"] == "public, max-age=30"
        head = await client.request("HEAD", "/pages/customers/")
        assert (head.status, head.body, head.headers["ETag"]) == (200, b"", tag)
        assert head.headers["Content-Length"] == str(len(page.body))


@pytest.mark.parametrize(
    "path",
    [
        *(
            "/pages/",
            "/pages/other/",
            "/pages/other",
            "/pages/hidden/",
            "/pages/hidden",
            "/pages/hidden/page.json",
        ),
        *("/pages/customers/none", "/pages/customers/badges/office/state.svg", "/pages/customers/../hidden/"),
    ],
)
async def test_other_pages_and_files_are_not_found(path: str) -> None:
    hidden = replace(PAGE, name="hidden", title=SECRET, is_published=False)
    async with served(PAGE, hidden) as (_, client):
        response = await client.get(path)
        assert response.status == 404
        assert SECRET not in response.text


async def test_address_without_slash_is_redirected() -> None:
    async with served() as (_, client):
        response = await client.get("/pages/customers")
        assert (response.status, response.headers["Location"]) == (301, "customers/")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
async def test_page_accepts_no_changes(method: str) -> None:
    async with served() as (_, client):
        assert (await client.request(method, "/pages/customers/")).status == 405


async def test_many_visitors_cost_one_rendering() -> None:
    async with served() as (site, client):
        bodies = {(await client.get("/pages/customers/")).body for _ in range(50)}
        files = await site.public_pages.get("customers").files()  # type: ignore[union-attr]
        assert len(bodies) == site.past.reads == 1
        site.skip(2.0)
        assert await site.public_pages.get("customers").files() is files  # type: ignore[union-attr]
        site.skip(30.0)
        await client.get("/pages/customers/")
        assert site.past.reads == 2


async def test_earlier_days_are_read_again_once_an_hour() -> None:
    async with served() as (site, client):
        shown = []
        for seconds in (0.0, 31.0, 31.0, 3600.0):
            site.skip(seconds)
            document = (await client.get("/pages/customers/page.json")).json()
            days = document["groups"][0]["services"][0]["days"]
            assert len(days) == 90
            shown.append([round(60 / ratio - 60) for ratio in days[-3:]])
        assert site.past.days == [90, 2, 2, 90]
        assert shown == [[1, 1, 1], [1, 2, 2], [1, 3, 3], [4, 4, 4]]


async def test_outage_is_shown_within_a_second() -> None:
    async with served() as (site, client):
        await client.get("/pages/customers/")
        await site.fail("shop")
        site.skip(1.0)
        page = (await client.get("/pages/customers/")).text
        assert "Partial outage" in page
        assert "Outage: shop" in page
        assert "shop.example.org" not in page


async def test_public_title_replaces_the_name() -> None:
    async with served() as (site, client):
        monitor = site.monitors["shop"]
        context = MonitorContext(
            title="Web shop", description=SECRET, runbook=f"https://{SECRET}.example.org/", contact=SECRET
        )
        monitor.settings = replace(monitor.settings, context=context, name="shop")
        await site.fail("shop", Reason.TLS_EXPIRED)
        for path in ("", "page.json", "feed.atom", "badges/web-shop/state.svg"):
            response = await client.get(f"/pages/customers/{path}")
            assert response.status == 200
            assert "Web shop" in response.text
            assert SECRET not in response.text
            assert "certificate" not in response.text


async def test_maintenance_is_shown_instead_of_the_state() -> None:
    async with served() as (site, client):
        window = TimeWindow(
            SECRET, 3600.0, begins_at=site.clock.now() - timedelta(minutes=1), monitors=("shop",)
        )
        site.pipeline.configure(windows=[window])
        site.public_pages.apply((PAGE,), [window])
        page = (await client.get("/pages/customers/")).text
        assert "Maintenance in progress" in page
        assert "Maintenance: shop" in page
        assert SECRET not in page


async def test_page_whose_history_cannot_be_read_shows_the_current_states(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with served() as (site, client):
        site.past.is_broken = True
        assert "All services are operational" in (await client.get("/pages/customers/")).text
        assert "page customers: the history cannot be read" in caplog.text


async def test_reload_replaces_the_pages(tmp_path: Path) -> None:
    async with served() as (site, client):
        site.public_pages.apply((replace(PAGE, name="new"),), ())
        assert (await client.get("/pages/customers/")).status == 404
        assert (await client.get("/pages/new/")).status == 200
        assert [settings.name for settings in site.public_pages.settings] == ["new"]


async def test_own_application_serves_nothing_but_the_page() -> None:
    hidden = replace(PAGE, is_published=False)
    async with (
        served(hidden) as (site, _),
        TestClient(page_application(site.public_pages, PAGE.name)) as client,
    ):
        page = await client.get("/")
        assert (page.status, page.headers["Cache-Control"]) == (200, "public, max-age=30")
        assert (await client.get("/badges/shop/state.svg")).status == 200
        tag = page.headers["ETag"]
        assert (await client.get("/", headers={"If-None-Match": tag})).status == 304
        for path in (
            "/api/v1/status",
            "/status",
            "/metrics",
            "/healthz",
            "/m/shop",
            "/pages/customers/",
            "/static/style.css",
        ):
            response = await client.get(path)
            assert response.status == 404
            assert response.headers["Cache-Control"] == "no-store"
            assert response.headers["Content-Security-Policy"].startswith("default-src 'none'")
        assert (await client.request("POST", "/reload")).status == 405


async def test_post_is_shown_at_once() -> None:
    async with served() as (site, client):
        before = await client.get("/pages/customers/")
        site.posts.create("customers", "Slow orders", PostStatus.INVESTIGATING, "We are on it.", SECRET)
        site.posts.create("customers", "Other", PostStatus.RESOLVED, "Done.", SECRET)
        site.skip(1.0)
        page = await client.get("/pages/customers/")
        assert "Slow orders" in page.text
        assert "We are on it." in page.text
        assert SECRET not in page.text
        assert page.headers["ETag"] != before.headers["ETag"]


async def test_page_shows_the_days_and_incidents_of_the_history(tmp_path: Path) -> None:
    """The time zone of the days is that of the page: see the stored history."""
    async with stored_history(tmp_path) as history:
        world = World(clock=SetClock(NOW))
        try:
            world.monitor("shop", tags=("public",))
            settings = replace(PAGE, zone=BERLIN, days=40)
            page = PublicPage(settings, (), world.registry, history, world.posts, world.clock)
            document = json.loads((await page.files())["page.json"].body)
        finally:
            await world.close()
    assert document["first_day"] == "2026-09-24"
    (service,) = document["groups"][0]["services"]
    days = {
        (datetime(2026, 9, 24, tzinfo=UTC) + timedelta(days=place)).strftime("%m-%d"): ratio
        for place, ratio in enumerate(service["days"])
    }
    assert {day: ratio for day, ratio in days.items() if ratio != 1.0} == {"10-06": round(22 / 24, 6)}
    assert service["uptime"] < 1.0
    assert [incident["began_at"] for incident in document["incidents"]] == [
        "2026-11-01T00:00:00Z",
        "2026-10-05T22:00:00Z",
        "2026-10-02T23:00:00Z",
    ]


async def test_host_name_of_a_page_serves_nothing_else() -> None:
    async with served(replace(PAGE, is_published=False, hosts=("status.example.org",))) as (_, client):

        async def ask(path: str, method: str = "GET", **headers: str) -> tuple[int, str, str]:
            fields = {"Host": "Status.Example.org:8080", **headers}
            head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
            async with await client.connect() as connection:
                await connection.send(f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode())
                response = await connection.response(method)
                return response.status, response.text, response.headers["Cache-Control"]

        status, text, caching = await ask("/")
        assert (status, caching) == (200, "public, max-age=30")
        assert "<h1>Example Shop</h1>" in text
        assert (await ask("/badges/shop/state.svg"))[0] == 200
        for path in ("/api/v1/status", "/metrics", "/m/shop", "/pages/customers/", "//"):
            status, text, caching = await ask(path, Accept="text/html")
            assert (status, caching) == (404, "no-store")
            assert "<" not in text
        assert (await ask("/reload", "POST"))[0] == 405
        assert (await client.get("/healthz")).status == 200
        assert (await client.get("/pages/customers/")).status == 404


async def test_errors_of_pages_do_not_show_the_internal_pages() -> None:
    async with served() as (_, client):
        for path in ("/pages/customers/none", "/pages/other/"):
            response = await client.get(path, headers={"Accept": "text/html"})
            assert (response.status, response.text) == (404, "there is no page at this address\n")
        assert "<html" in (await client.get("/none", headers={"Accept": "text/html"})).text
