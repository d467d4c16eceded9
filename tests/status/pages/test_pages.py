"""The pages, asked for in process: what they show, for whom, and what they cost."""

import json
import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from html.parser import HTMLParser
from importlib.resources import files
from pathlib import Path
from urllib.parse import urljoin

import pytest

from monitord.alerts import AlertSettings
from monitord.dispatch import (
    Matcher,
    OpenMaintenance,
    Pause,
    Silence,
)
from monitord.history import History, HistorySettings, Uptime
from monitord.model import Incident, Reason, State
from monitord.notifiers import NotifierSettings
from monitord.status.pages.rendering import CONTENT_TYPES
from monitord.web import Request, Response
from monitord.web.testing import ClientResponse, TestClient
from tests.alerts.fakes import fake_type
from tests.endpoint import REFUSED
from tests.fakes import MORNING, FakeClock
from tests.status.past import FakePast
from tests.status.site import Site, site, usual_site

HTML = [("Accept", "text/html,application/xhtml+xml,*/*;q=0.8")]
NOW = MORNING
VOID = {"meta", "link", "input", "br"}


class Outline(HTMLParser):
    """Tags and texts of a page. Raises an error for tags that are not closed in order, unlike browsers."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def having(self, attribute: str) -> list[str]:
        return [attributes[attribute] for _, attributes in self.tags if attribute in attributes]


async def page(world: Site, path: str, *, status: int = 200) -> ClientResponse:
    async with TestClient(world.status_application) as client:
        answer = await client.get(path, headers=HTML)
    assert answer.status == status, answer.text
    return answer


def rows(text: str) -> list[str]:
    return re.findall(r'id="row-([^"]+)"', text)


PATHS = [
    "/",
    "/?q=shop&state=up&tag=web",
    "/m/shop",
    "/m/shop?range=2y",
    "/m/new",
    "/incidents",
    "/incidents?before=2026-01-01T00:00:00Z",
    "/m/bad/acknowledge",
    "/m/shop/silence",
    "/m/shop/pause",
    "/silences",
    "/silences/new",
    "/silences/new?monitors=s*&tags=prod&comment=disks",
    "/maintenance",
    "/notifications",
    "/notifications?monitor=bad&notifier=ops&status=sent",
    "/daemon",
]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("is_active", [True, False])
async def test_every_page_is_well_formed_and_conforms_to_its_content_security_policy(
    path: str, is_active: bool
) -> None:
    async with usual_site(past=None if is_active else FakePast(NOW, is_active=False)) as world:
        answer = await page(world, path)
    outline = Outline(answer.text)
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert outline.having("style") == []
    assert not [name for _, attributes in outline.tags for name in attributes if name.startswith("on")]
    assert len(outline.having("id")) == len(set(outline.having("id")))
    assert [tag for tag, _ in outline.tags].count("h1") == 1
    assert {"header", "main", "nav", "footer"} <= {tag for tag, _ in outline.tags}


@pytest.mark.parametrize("path", PATHS)
async def test_pages_load_nothing_from_other_sites_and_every_url_is_relative(path: str) -> None:
    async with usual_site() as world:
        outline = Outline((await page(world, path)).text)
    addresses = outline.having("href") + outline.having("src") + outline.having("action")
    assert addresses
    assert [address for address in addresses if re.match(r"/|\w+:", address)] == []


async def test_every_link_of_every_page_works() -> None:
    async with usual_site() as world, TestClient(world.status_application) as client:
        seen: set[str] = set()
        found = list(PATHS)
        while found and len(seen) < 150:
            path = found.pop().partition("#")[0]
            if path in seen:
                continue
            seen.add(path)
            answer = await client.get(path, headers=HTML)
            assert answer.status == 200, path
            if answer.headers["Content-Type"].startswith("text/html"):
                addresses = Outline(answer.text).having("href")
                found += [urljoin(path, address) for address in addresses if not address.startswith("#")]
        assert {"/m/bad", "/daemon", "/?tag=web"} <= seen


async def test_link_to_a_unit_with_a_backslash_works() -> None:
    """Browsers take a backslash in an address for a slash."""
    name = r"unit:dev-disk-by\x2duuid.swap"
    async with site({name: ()}) as world, TestClient(world.status_application) as client:
        await world.fail(name)
        for path in ("/", "/incidents"):
            addresses = Outline((await client.get(path, headers=HTML)).text).having("href")
            assert "./m/unit%3Adev-disk-by%5Cx2duuid.swap" in addresses
        answer = await client.get("/m/unit%3Adev-disk-by%5Cx2duuid.swap", headers=HTML)
        assert answer.status == 200


# -- overview ---------------------------------------------------------------------------------------------


async def test_overview_lists_the_worst_first_and_the_rest_by_first_tag() -> None:
    async with usual_site() as world:
        text = (await page(world, "/")).text
    assert '<h1 id="headline">1 of 6 monitors is down, 1 degraded</h1>' in text
    assert rows(text) == ["bad", "slow", "new", "shop", "blog", "a.b-c_d"]
    assert re.findall(r"<h2[^>]*>(.*?) <span", text) == ["Needs attention", "prod", "web", "Without tags"]


async def test_row_shows_state_reason_and_summary() -> None:
    async with usual_site() as world:
        text = (await page(world, "/")).text
    row = re.search(r'<tr class="row s-down" id="row-bad".*?</tr>', text, re.DOTALL)
    assert row is not None
    assert ">down<" in row[0]
    assert (
        '<span class="detail">connection refused <code>refused</code> '
        '<span class="subject">GET https://bad.example.org/</span></span>'
    ) in row[0]
    assert "the last 40 checks: " in row[0]
    assert re.search(r'<span class="label">24 h</span>[\d.]+ %', row[0])


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("q=shop", ["shop"]),
        ("q=SHOP", ["shop"]),
        ("q=web+http", ["slow", "shop", "blog"]),
        ("q=connection+refused", ["bad"]),
        ("q=%3Cscript%3E", []),
        ("state=down", ["bad"]),
        ("tag=web", ["slow", "shop", "blog"]),
        ("tag=web&state=up", ["shop", "blog"]),
        ("state=nonsense", []),
        ("q=", ["bad", "slow", "new", "shop", "blog", "a.b-c_d"]),
    ],
)
async def test_overview_can_be_filtered_without_script(query: str, names: list[str]) -> None:
    async with usual_site() as world:
        text = (await page(world, f"/?{query}")).text
    assert rows(text) == names
    assert "<script>" not in text
    assert "monitors are" in text or "monitor is" in text or "monitors is" in text


async def test_filter_links_keep_other_filters_and_remove_an_active_one() -> None:
    async with usual_site() as world:
        chosen = [
            attributes["href"]
            for tag, attributes in Outline((await page(world, "/?q=x&tag=web&state=up")).text).tags
            if tag == "a" and attributes.get("class", "").startswith("chip")
        ]
    assert "?q=x&state=down&tag=web" in chosen
    assert "?q=x&tag=web" in chosen  # up is chosen; its link lets it go
    assert "?q=x&state=up" in chosen


async def test_overview_without_monitors_shows_how_to_add_one() -> None:
    async with site({}) as world:
        text = (await page(world, "/")).text
    assert "No monitors configured yet" in text
    assert "[monitors.example]" in text


async def test_times_in_texts_are_shown_in_the_zone_of_the_page() -> None:
    """The script puts the reader's zone into each `time`, so a bare one would stay in another."""
    async with site({"job": ()}) as world:
        world.monitors["job"].outcome = "late since 2026-01-01 12:00:00 UTC <b>"
        await world.check("job")
        for path in ("/", "/m/job"):
            text = (await page(world, path)).text
            shown = '<time datetime="2026-01-01T12:00:00Z">2026-01-01 12:00:00 UTC</time> &lt;b&gt;'
            assert f"late since {shown}" in text


async def test_output_of_a_monitor_is_escaped() -> None:
    async with site({"shop": ("<b>tag</b>",)}) as world:
        world.monitors["shop"].outcome = "<script>alert(1)</script>\"'&"
        await world.check("shop")
        for path in ("/", "/m/shop"):
            text = (await page(world, path)).text
            assert "<script>alert" not in text
            assert "<b>tag" not in text
            assert "&lt;script&gt;alert(1)" in text
            Outline(text)


async def test_unchanged_overview_is_not_sent_again() -> None:
    async with usual_site() as world, TestClient(world.status_application) as client:
        tag = (await client.get("/", headers=HTML)).headers["ETag"]
        again = await client.get("/", headers=[("If-None-Match", f'"x", {tag}')])
        assert (again.status, again.headers["ETag"]) == (304, tag)
        assert (await client.get("/?q=shop", headers=[("If-None-Match", tag)])).status == 200
        await world.check("shop")
        assert (await client.get("/", headers=[("If-None-Match", tag)])).status == 200


async def test_only_changed_rows_are_sent_after_a_revision() -> None:
    async with usual_site() as world, TestClient(world.status_application) as client:
        first = (await client.get("/fragments/rows?since=0")).json()
        assert set(first["rows"]) == {"shop", "bad", "slow", "blog", "a.b-c_d", "new"}
        await world.check("shop")
        news = (await client.get(f"/fragments/rows?since={first['revision']}")).json()
        assert list(news["rows"]) == ["shop"]
        assert news["structure"] == first["structure"]
        assert news["run"] == first["run"]
        assert (await client.get(f"/fragments/rows?since={news['revision']}")).json()["rows"] == {}


async def test_change_of_state_is_a_change_of_structure() -> None:
    async with usual_site() as world, TestClient(world.status_application) as client:
        first = (await client.get("/fragments/rows?since=0")).json()
        await world.fail("shop")
        news = (await client.get(f"/fragments/rows?since={first['revision']}")).json()
        assert news["structure"] > first["structure"]
        assert news["headline"] == "2 of 6 monitors are down, 1 degraded"


async def test_removed_monitor_disappears_from_the_overview() -> None:
    async with usual_site() as world, TestClient(world.status_application) as client:
        first = (await client.get("/fragments/rows?since=0")).json()
        kept = [entry.monitor.settings for entry in world.dispatcher.entries.values() if entry.name != "bad"]
        world.dispatcher.apply(world.dispatcher.plan(kept, lambda settings: world.monitors[settings.name]))
        assert "bad" not in rows((await client.get("/", headers=HTML)).text)
        assert (await client.get("/fragments/rows?since=0")).json()["structure"] > first["structure"]


@pytest.mark.parametrize("since", ["-1", "x", "1.5", "%31%00", "9" * 5000])
async def test_invalid_revision_is_rejected(since: str) -> None:
    async with usual_site() as world, TestClient(world.status_application) as client:
        assert (await client.get(f"/fragments/rows?since={since}")).status == 400


# -- one monitor ------------------------------------------------------------------------------------------


async def test_page_of_a_monitor_shows_all_its_data() -> None:
    async with usual_site() as world:
        text = (await page(world, "/m/shop")).text
    for expected in (
        "Response time by phase",
        "Percentiles of the response time",
        "CN=R11, O=Let&#39;s Encrypt, C=US",
        "61 d",
        "2027-01-26 08:00:00 UTC",
        "status &lt; 500 (actual: 200)",
        "acknowledged by kim: the provider knows",
        "phase.connect",
        "checked every",
        "uptime by day: 81 days,",
    ):
        assert expected in text, expected
    assert re.findall(r"<h2>Uptime (\w+)</h2>", text) == ["1h", "24h", "7d", "30d", "90d"]


async def test_fields_have_their_units_in_the_last_result_and_in_failures() -> None:
    fields = {
        "response_time": 0.182,
        "body.length": 648_000,
        "domain.expires_in": 41 * 86_400.0 + 7_200,
        "domain.response_age": -3,
        "status": 200,
    }
    shown = {
        "response_time": "182 ms",
        "body.length": "633 KiB",
        "domain.expires_in": "41 d 2 h",
        "domain.response_age": "-3.00 s",
        "status": "200",
    }
    async with usual_site(past=FakePast(NOW, is_active=False)) as world:
        world.monitors["bad"].fields = fields
        await world.fail("bad")
        text = (await page(world, "/m/bad")).text
    last, _, failures = text.partition("Last failures")
    for part in (last, failures.partition("</details>")[0]):
        found = dict(re.findall(r"<dt>(?:<code>)?([\w.]+)(?:</code>)?</dt><dd>(.*?)</dd>", part))
        assert {name: found[name] for name in fields} == shown


async def test_last_failures_show_fields_and_response() -> None:
    async with usual_site(past=FakePast(NOW, is_active=False)) as world:
        text = (await page(world, "/m/bad")).text
    failures = text[text.index("Last failures") :]
    assert failures.count("<details") == 2
    assert "&lt;html&gt;Sorry &amp; bye&lt;/html&gt;" in failures
    assert "phase.connect" in failures


@pytest.mark.parametrize("shown", ["1h", "24h", "7d", "30d", "90d", "2y"])
async def test_every_range_is_a_link_and_the_shown_one_is_marked(shown: str) -> None:
    async with usual_site() as world:
        text = (await page(world, f"/m/shop?range={shown}")).text
    assert f'<a href="?range={shown}" aria-current="true">{shown}</a>' in text


async def test_unknown_range_is_rejected_with_a_list_of_the_known_ranges() -> None:
    async with usual_site() as world:
        answer = await page(world, "/m/shop?range=3w", status=400)
    assert "range must be one of 1h, 24h, 7d, 30d, 90d, 2y" in answer.text


async def test_page_of_an_unchecked_monitor_shows_its_next_check() -> None:
    async with usual_site(past=FakePast(NOW, is_active=False)) as world:
        text = (await page(world, "/m/new")).text
    assert "Not checked yet" in text


async def test_pages_state_that_the_history_is_disabled() -> None:
    async with usual_site(past=FakePast(NOW, is_active=False)) as world:
        for path in ("/m/shop", "/incidents"):
            assert "The history is disabled" in (await page(world, path)).text
        assert "Disabled" in (await page(world, "/daemon")).text


async def test_page_with_a_hanging_history_omits_only_its_past() -> None:
    async with usual_site(past=FakePast(NOW, slow_s=60), history_wait_s=0.05) as world:
        assert rows((await page(world, "/")).text) != []
        for path in ("/m/shop", "/incidents"):
            assert "did not respond in time" in (await page(world, path)).text


async def test_page_without_readable_history_omits_only_its_past() -> None:
    async with usual_site(past=FakePast(NOW, is_broken=True)) as world:
        assert rows((await page(world, "/")).text) != []
        for path in ("/m/shop", "/incidents"):
            assert "did not respond in time" in (await page(world, path)).text
        assert "no data" in (await page(world, "/badge/shop.svg?kind=uptime")).text


async def test_pause_window_and_incident_are_shown() -> None:
    async with usual_site() as world:
        entry = world.dispatcher.entries["bad"]
        assert entry.state.incident is not None
        entry.state = replace(
            entry.state,
            incident=replace(entry.state.incident, acknowledged_by="kim", comment="on it"),
            maintenance=OpenMaintenance("upgrade", NOW + timedelta(hours=2), "new kernel"),
            pause=Pause("kim", NOW, None),
        )
        silence = Silence("s0", Matcher(names=("bad",)), NOW, NOW + timedelta(days=1), "root", "new disk")
        world.dispatcher.registry.silences.replace_all([silence])
        text = (await page(world, "/m/bad")).text
        assert re.search(r"In maintenance: upgrade until <time .*</time>: new kernel</p>", text)
        assert "acknowledged by kim: on it" in text
        assert '</span> <span class="soft">maintenance upgrade' in text
        assert "by root: new disk" in text
        assert "no checks while paused" in text
        overview = (await page(world, "/")).text
        for note in ("maintenance upgrade", "acknowledged", "silenced"):
            assert f'<span class="soft">{note}</span>' in overview


async def test_ended_silence_disappears_from_the_overview() -> None:
    async with usual_site() as world:
        silence = Silence("s0", Matcher(names=("bad",)), NOW, NOW + timedelta(days=1), "root", None)
        world.dispatcher.registry.silences.replace_all([silence])
        assert ">silenced<" in (await page(world, "/")).text
        world.dispatcher.registry.silences.replace_all([])
        assert ">silenced<" not in (await page(world, "/")).text


class YoungPast(FakePast):
    """History of a monitor that was added 90 minutes ago."""

    async def uptimes(
        self, monitors: Sequence[str], windows: Sequence[tuple[datetime, datetime]]
    ) -> dict[str, tuple[Uptime, ...]]:
        known = [min(5400.0, (end - start).total_seconds()) for start, end in windows]
        return {name: tuple(Uptime({State.UP: seconds}) for seconds in known) for name in monitors}


async def test_uptime_of_a_shorter_period_shows_its_length() -> None:
    async with usual_site(YoungPast(NOW)) as world:
        tiles = (await page(world, "/m/shop")).text.partition('class="tiles"')[2].split('class="tile"')[1:6]
    assert ["data covers only 1 h 30 min" in tile for tile in tiles] == [False, True, True, True, True]


async def test_pages_show_the_history_of_earlier_runs(tmp_path: Path) -> None:
    tags: dict[str, tuple[str, ...]] = {"shop": (), "bad": ()}
    async with site(tags, history_path=tmp_path / "history.sqlite3") as world:
        world.history.open()
        world.history.start()
        for _ in range(2):
            await world.check("shop")
        await world.fail("bad")
    async with (
        site(tags, history_path=tmp_path / "history.sqlite3") as world,
        TestClient(world.status_application) as client,
    ):
        world.history.open()
        world.history.start()
        # They are read in the background, while the first page may be made without them.
        while "the last 2 checks: 2 pass" not in (await client.get("/", headers=HTML)).text:
            pass
        shop, bad = [(await client.get(f"/m/{name}", headers=HTML)).text for name in ("shop", "bad")]
    assert "processing" in shop[shop.index("Response time by phase") :]
    assert shop.count('<span class="verdict v-pass">') == 2
    failures = bad[bad.index("Last failures") :]
    assert "phase.connect" in failures
    assert "&lt;html&gt;Sorry &amp; bye&lt;/html&gt;" in failures
    assert "https://bad.example.org/ connection refused" in bad


# -- incidents, daemon ------------------------------------------------------------------------------------


async def test_incidents_are_paged() -> None:
    async with usual_site() as world:
        text = (await page(world, "/incidents")).text
        seen = re.findall(r"acknowledged|closed</span>", text)
        older = re.search(r'href="(\?before=[^"]+)"', text)
        assert older is not None
        assert len(seen) >= 49
        next_text = (await page(world, f"/incidents{older[1]}")).text
    assert "Older incidents" in next_text
    assert "open</span>" not in next_text


async def test_open_incidents_precede_closed_ones() -> None:
    async with usual_site() as world:
        text = (await page(world, "/incidents")).text
    states = re.findall(r'<span class="state">(\w+)</span>', text)
    assert states[:2] == ["open", "open"]
    assert set(states[2:]) == {"closed"}


async def test_open_incident_is_shown_before_it_is_in_the_history() -> None:
    async with usual_site(past=FakePast(NOW, is_active=False)) as world:
        text = (await page(world, "/incidents")).text
    assert "1 open incident" in text
    assert "<code>refused</code> connection refused (GET https://bad.example.org/)" in text


async def test_incident_that_is_also_in_the_history_is_shown_once() -> None:
    class KnowingPast(FakePast):
        async def incidents(
            self,
            *,
            monitor: str | None = None,
            is_open: bool | None = None,
            limit: int = 50,
            before: datetime | None = None,
        ) -> list[Incident]:
            incident = world.dispatcher.entries["bad"].state.incident
            return [] if incident is None else [incident]

    async with usual_site(past=KnowingPast(NOW)) as world:
        text = (await page(world, "/incidents")).text
    assert text.count("https://bad.example.org/") == 1


@pytest.mark.parametrize("before", ["0001-01-01T00:00:00%2B14:00", "9999-12-31T23:59:59-14:00"])
async def test_incidents_before_the_first_and_last_possible_time_are_accepted(
    tmp_path: Path, before: str
) -> None:
    history = History(tmp_path / "history.db", HistorySettings(), FakeClock())
    history.open()
    history.start()
    try:
        async with usual_site(past=history) as world:
            await page(world, f"/incidents?before={before}")
    finally:
        await history.close(5.0)


async def test_incidents_before_an_invalid_time_are_rejected() -> None:
    async with usual_site() as world:
        assert "before must be a time" in (await page(world, "/incidents?before=yesterday", status=400)).text


async def test_rejected_reload_is_shown_on_every_page_with_its_errors_on_that_of_the_daemon() -> None:
    async with usual_site() as world:
        world.control.last_reload = replace(
            REFUSED, error="monitord.toml:7: <b>bad</b>\nmonitord.toml:9: worse"
        )
        for path in ("/", "/m/shop", "/incidents"):
            assert "The last reload was rejected" in (await page(world, path)).text
        text = (await page(world, "/daemon")).text
    assert "monitord.toml:7: &lt;b&gt;bad&lt;/b&gt;\nmonitord.toml:9: worse" in text


async def test_daemon_page_shows_lateness_history_and_versions() -> None:
    async with usual_site() as world:
        text = (await page(world, "/daemon")).text
    for expected in (
        "lateness: at most",
        "87.8 MiB",
        "480,211 rows",
        "Python",
        "SQLite",
        "aiohttp",
        "asyncio",
    ):
        assert expected in text, expected


async def test_failing_notifier_is_shown_on_every_page_and_its_error_on_that_of_the_daemon() -> None:
    settings = AlertSettings((NotifierSettings("chat", "fake", None), NotifierSettings("ops", "fake", None)))
    with fake_type():
        async with usual_site() as world:
            assert "None: the configuration has no" in (await page(world, "/daemon")).text
            world.alerts.apply(settings)
            assert "cannot be delivered" not in (await page(world, "/")).text
            chat = world.alerts.workers["chat"]
            chat.error, chat.failing_since = "503 <busy>", NOW
            for path in ("/", "/m/shop", "/incidents"):
                assert (
                    "<strong>Notifier chat cannot deliver notifications.</strong>"
                    in (await page(world, path)).text
                )
            world.alerts.workers["ops"].warning = "sent unencrypted"
            text = (await page(world, "/daemon")).text
    assert "503 &lt;busy&gt;" in text
    assert "sent unencrypted" in text
    assert "nothing sent yet" in text


# -- badges, files, errors --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "status", "said"),
    [
        ("/badge/shop.svg", 200, "shop: up"),
        ("/badge/bad.svg", 200, "bad: down"),
        ("/badge/a.b-c_d.svg", 200, "a.b-c_d: up"),
        ("/badge/shop.svg?kind=uptime&window=30d", 200, "shop 30d: "),
        ("/badge/shop.svg?kind=uptime", 200, "shop 30d: "),
        ("/badge/nobody.svg", 404, "nobody: not configured"),
    ],
)
async def test_badge_shows_the_state_of_a_monitor(path: str, status: int, said: str) -> None:
    async with usual_site() as world:
        answer = await page(world, path, status=status)
    assert answer.headers["Content-Type"] == "image/svg+xml; charset=utf-8"
    assert said in answer.text
    assert "max-age=30" in answer.headers["Cache-Control"]


@pytest.mark.parametrize("query", ["kind=uptime&window=3w", "kind=colour"])
async def test_badge_that_does_not_exist_is_rejected(query: str) -> None:
    async with usual_site() as world, TestClient(world.status_application) as client:
        assert (await client.get(f"/badge/shop.svg?{query}")).status == 400


async def test_unchanged_badge_can_still_be_embedded_by_other_sites() -> None:
    """RFC 9111 section 4.3.4: the headers of a 304 replace those of the stored response."""
    async with usual_site() as world, TestClient(world.status_application) as client:
        first = await client.get("/badge/shop.svg")
        again = await client.get("/badge/shop.svg", headers=[("If-None-Match", first.headers["ETag"])])
    assert again.status == 304
    for name in ("Cross-Origin-Resource-Policy", "Cache-Control"):
        assert again.headers[name] == first.headers[name]


async def test_uptime_badge_without_history_is_unknown() -> None:
    async with usual_site(past=FakePast(NOW, is_active=False)) as world:
        assert "no data" in (await page(world, "/badge/shop.svg?kind=uptime")).text


@pytest.mark.parametrize("name", CONTENT_TYPES)
async def test_static_files_of_the_package_are_cached_forever(name: str) -> None:
    async with usual_site() as world, TestClient(world.status_application) as client:
        text = (await client.get("/", headers=HTML)).text
        named = re.search(rf'"\./(static/{re.escape(name)}\?v=\w+)"', text)
        assert named is not None
        answer = await client.get(f"/{named[1]}")
        assert answer.body == files("monitord.status.pages").joinpath("static", name).read_bytes()
        assert "immutable" in answer.headers["Cache-Control"]
        other = await client.get(f"/static/{name}?v=0", headers=[("If-None-Match", answer.headers["ETag"])])
        assert (other.status, other.headers["Cache-Control"]) == (304, "no-cache")


@pytest.mark.parametrize(
    "path", ["/static/nothing.css", "/static/..%2Fpages.py", "/nowhere", "/m/nobody", "/a/b/c/d"]
)
async def test_missing_page_links_back(path: str) -> None:
    async with usual_site() as world:
        text = (await page(world, path, status=404)).text
    depth = path.count("/") - 1  # an escaped slash is none
    root = "../" * depth or "./"
    assert f'<a href="{root}">Overview</a>' in text
    assert f'href="{root}static/style.css' in text


@pytest.mark.parametrize("accept", ["*/*", "application/json", ""])
async def test_clients_that_do_not_accept_html_get_unchanged_errors(accept: str) -> None:
    async with usual_site() as world, TestClient(world.status_application) as client:
        answer = await client.get("/monitors/nobody", headers=[("Accept", accept)] if accept else [])
    assert answer.status == 404
    assert answer.text == "no monitor has the name 'nobody'; GET /api/v1/monitors lists the monitors\n"


async def test_bug_is_a_page_with_the_number_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    async def broken(_: Request) -> Response:
        raise LookupError("a bug")

    async with usual_site() as world:
        world.status_application.router.add_get("/broken", broken)
        answer = await page(world, "/broken", status=500)
    number = re.search(r"Error (\w+): see the log", answer.text)
    assert number is not None
    assert number[1] in caplog.text
    assert "LookupError" not in answer.text


async def test_wrong_method_keeps_the_allow_field() -> None:
    async with usual_site() as world, TestClient(world.status_application) as client:
        answer = await client.request("POST", "/daemon", headers=HTML)
    assert answer.status == 405
    assert "GET" in answer.headers["Allow"]


async def test_soft_failure_is_shown_before_it_is_confirmed() -> None:
    async with usual_site() as world:
        await world.fail("shop", Reason.RESET, times=1)
        assert "failing, 1 consecutive failure" in (await page(world, "/m/shop")).text
        fragment = await page(world, "/fragments/rows?since=0")
    assert "failing" in json.loads(fragment.body)["rows"]["shop"]
