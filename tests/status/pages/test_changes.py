"""The forms of the pages: sent as browsers send them, to the real application."""

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from html import escape
from urllib.parse import urljoin

import pytest

from monitord.dispatch import Matcher, Silence
from monitord.model import Incident
from monitord.status.pages.frame import MAX_NOTICES, NOTICE_SHOWN_S, Notice, Notices
from monitord.web.testing import ClientResponse, SocketClient, TestClient
from tests.fakes import MORNING, FakeClock
from tests.status.past import FakePast
from tests.status.site import Site, site, usual_site

HTML = [("Accept", "text/html,application/xhtml+xml,*/*;q=0.8")]
OWN_PAGE = [("Origin", "http://localhost"), ("Sec-Fetch-Site", "same-origin")]
PROXY = [("X-Forwarded-For", "192.0.2.1")]
NOW = MORNING


async def get(world: Site, path: str, fields: Sequence[tuple[str, str]] = ()) -> ClientResponse:
    async with TestClient(world.status_application) as client:
        return await client.get(path, headers=[*HTML, *fields])


async def send(
    world: Site,
    path: str,
    form: Mapping[str, str] | None = None,
    fields: Sequence[tuple[str, str]] = OWN_PAGE,
) -> ClientResponse:
    async with TestClient(world.status_application) as client:
        return await client.post(path, form=dict(form or {}), headers=[*HTML, *fields])


async def outcome(world: Site, path: str, form: Mapping[str, str] | None = None) -> tuple[str, str]:
    """Send a form that succeeds; return the path of the page after the redirect, and its notice."""
    answer = await send(world, path, form)
    assert answer.status == 303, answer.text
    location = answer.headers["Location"]
    assert not re.match(r"/|\w+:", location), "a proxy may publish the pages under any path"
    shown = await get(world, urljoin(path, location))
    assert shown.status == 200
    return urljoin(path, location).partition("?")[0], notice_of(shown)


def notice_of(answer: ClientResponse) -> str:
    found = re.search(r'<p class="notice[^>]*>(.*?)</p>', answer.text)
    return re.sub("<[^>]+>", "", found[1]) if found else ""


def buttons(answer: ClientResponse) -> list[str]:
    actions = re.search(r'data-live="actions">(.*?)</div>', answer.text, re.DOTALL)
    assert actions is not None
    return re.findall(r'class="button[^>]*>([^<]+)<', actions[1])


def incident_of(world: Site, name: str) -> Incident:
    incident = world.dispatcher.entries[name].state.incident
    assert incident is not None
    return incident


def silences_of(world: Site) -> Sequence[Silence]:
    return world.interventions.silences


# -- clients with write access ----------------------------------------------------------------------------


async def test_page_of_a_monitor_has_the_buttons_of_its_state() -> None:
    async with usual_site() as world:
        assert buttons(await get(world, "/m/shop")) == ["Silence", "Pause", "Check now"]
        assert buttons(await get(world, "/m/bad")) == ["Acknowledge", "Silence", "Pause", "Check now"]
        await outcome(world, "/m/bad/acknowledge")
        await outcome(world, "/m/bad/silence", {"duration": "1h"})
        await outcome(world, "/m/bad/pause")
        assert buttons(await get(world, "/m/bad")) == [
            "Remove acknowledgement",
            "End silence",
            "Resume",
            "Check now",
        ]


async def test_silence_of_several_monitors_is_not_ended_on_the_page_of_one() -> None:
    async with usual_site() as world:
        world.interventions.silence(
            Matcher(tags=("web",)), world.clock.now() + timedelta(hours=1), None, "kim"
        )
        shown = await get(world, "/m/shop")
    assert buttons(shown) == ["Silence", "Pause", "Check now"]
    assert '<a href="../silences">covers more monitors</a>' in shown.text


READ_ONLY = ["/?tag=web", "/m/bad", "/silences", "/maintenance", "/notifications"]


@pytest.mark.parametrize("path", READ_ONLY)
async def test_clients_that_cannot_make_changes_get_no_forms(path: str) -> None:
    async with usual_site() as world:
        world.interventions.silence(Matcher(("bad",)), world.clock.now() + timedelta(hours=1), None, "kim")
        permitted, through_proxy = await get(world, path), await get(world, path, PROXY)
        async with SocketClient(world.status_application) as client:
            over_tcp = await client.get(path, headers=HTML)
    change = re.compile('method="post"|/silence"|/new|/pause"|/acknowledge"')
    if path not in {"/maintenance", "/notifications"}:
        assert change.search(permitted.text)
    assert (through_proxy.status, over_tcp.status) == (200, 200)
    assert not change.search(through_proxy.text)
    assert not change.search(over_tcp.text)


@pytest.mark.parametrize("path", ["/m/bad/acknowledge", "/m/bad/silence", "/m/bad/pause", "/silences/new"])
async def test_form_of_a_client_without_write_access_explains_the_reason(path: str) -> None:
    async with usual_site() as world:
        answer = await get(world, path, PROXY)
    assert answer.status == 403
    assert "Changes are permitted over the Unix socket" in answer.text


async def test_overview_offers_to_silence_the_monitors_of_a_tag() -> None:
    async with usual_site() as world:
        assert 'href="./silences/new?tags=web">Silence these</a>' in (await get(world, "/?tag=web")).text
        assert "Silence these" not in (await get(world, "/?tag=web&state=up")).text
        permitted, forwarded = await get(world, "/"), await get(world, "/", PROXY)
    assert permitted.headers["ETag"] != forwarded.headers["ETag"]


SENDERS = [
    pytest.param([("Origin", "http://localhost")], True, id="own_origin"),
    pytest.param([("Sec-Fetch-Site", "same-origin")], True, id="own_site"),
    pytest.param([], False, id="neither"),
    pytest.param([("Origin", "null")], False, id="null_origin"),
    pytest.param([("Origin", "https://evil.example.com")], False, id="foreign_origin"),
    pytest.param([("Origin", "http://localhost:8080")], False, id="other_port"),
    pytest.param(
        [("Origin", "http://localhost"), ("Sec-Fetch-Site", "cross-site")], False, id="foreign_site"
    ),
    pytest.param([("Sec-Fetch-Site", "same-site")], False, id="another_host_of_the_site"),
    pytest.param([*OWN_PAGE, *PROXY], False, id="through_a_proxy"),
]

CHANGES = [
    ("/m/bad/acknowledge", {}),
    ("/m/acknowledged/unacknowledge", {}),
    ("/m/bad/silence", {"duration": "2h"}),
    ("/m/bad/pause", {}),
    ("/m/paused/resume", {}),
    ("/m/bad/check", {}),
    ("/silences/new", {"tags": "prod", "duration": "2h"}),
    ("/silences/s0/end", {}),
]


@pytest.mark.parametrize(("path", "form"), CHANGES)
@pytest.mark.parametrize(("fields", "is_accepted"), SENDERS)
async def test_only_forms_of_own_pages_make_changes(
    path: str, form: dict[str, str], fields: list[tuple[str, str]], is_accepted: bool
) -> None:
    async with site({"bad": ("prod",), "acknowledged": (), "paused": ()}) as world:
        await world.fail("bad")
        await world.fail("acknowledged")
        world.interventions.acknowledge("acknowledged", "kim", None)
        world.interventions.pause("paused", "kim", None)
        world.interventions.silence(Matcher(("bad",)), world.clock.now() + timedelta(hours=1), None, "kim")
        world.interventions.asked.clear()
        silences = list(silences_of(world))
        answer = await send(world, path, form, fields)
        has_changed = bool(
            world.interventions.asked or world.control.asked or silences != list(silences_of(world))
        )
    assert answer.status == (303 if is_accepted else 403)
    assert has_changed is is_accepted


# -- changes of a monitor ---------------------------------------------------------------------------------


async def test_acknowledgement_with_a_comment_is_recorded_with_its_user_and_confirmed() -> None:
    async with usual_site() as world:
        path, notice = await outcome(world, "/m/bad/acknowledge", {"comment": " the <provider>\r\n knows "})
        incident = incident_of(world, "bad")
        shown = (await get(world, "/m/bad")).text
    assert path == "/m/bad"
    assert incident.comment == "the <provider> knows"
    assert incident.acknowledged_by is not None
    assert "pid" in incident.acknowledged_by
    assert notice == f"bad: incident acknowledged by {incident.acknowledged_by}"
    assert "the &lt;provider&gt; knows" in shown
    assert world.interventions.asked == [
        ("acknowledge", "bad", incident.acknowledged_by, "the <provider> knows")
    ]


async def test_every_change_of_a_monitor_is_confirmed() -> None:
    async with usual_site() as world:
        for path, done in (
            ("/m/bad/acknowledge", "incident acknowledged"),
            ("/m/bad/unacknowledge", "acknowledgement removed"),
            ("/m/bad/pause", "paused"),
            ("/m/bad/resume", "resumed"),
        ):
            page, notice = await outcome(world, path)
            assert (page, notice.partition(" by ")[0]) == ("/m/bad", f"bad: {done}")
        assert [asked[0] for asked in world.interventions.asked] == [
            "acknowledge",
            "unacknowledge",
            "pause",
            "resume",
        ]


async def test_check_shows_its_result() -> None:
    async with usual_site() as world:
        _, notice = await outcome(world, "/m/shop/check")
    assert notice == "shop: checked: pass, HTTP 200"


async def test_check_that_takes_long_continues() -> None:
    async with site({"shop": ()}, check_wait_s=0.0) as world:
        world.monitors["shop"].may_end.clear()
        _, notice = await outcome(world, "/m/shop/check")
        assert notice == "shop: the check is still running; its result is shown here when it ends."
        world.monitors["shop"].may_end.set()
        await world.check("shop")
        assert "HTTP 200" in (await get(world, "/m/shop")).text


async def test_name_with_special_characters_is_kept_in_addresses() -> None:
    name = r"unit:dev-disk-by\x2duuid.swap"
    async with site({name: ()}) as world:
        path, notice = await outcome(world, "/m/unit%3Adev-disk-by%5Cx2duuid.swap/pause", {"comment": "disk"})
        assert world.dispatcher.entries[name].state.pause is not None
    assert path == "/m/unit%3Adev-disk-by%5Cx2duuid.swap"
    assert notice.startswith(f"{escape(name)}: paused by ")


@pytest.mark.parametrize(
    ("path", "status", "problem"),
    [
        ("/m/shop/acknowledge", 409, "shop: no open incident (state: up)"),
        ("/m/gone/acknowledge", 404, "no monitor has the name &#39;gone&#39;"),
        ("/m/gone/silence", 404, "no monitor has the name &#39;gone&#39;"),
        ("/m/gone/resume", 404, "no monitor has the name &#39;gone&#39;"),
        ("/m/gone/check", 404, "no monitor has the name &#39;gone&#39;"),
    ],
)
async def test_impossible_change_is_an_error_page(path: str, status: int, problem: str) -> None:
    async with usual_site() as world:
        answer = await send(world, path)
    assert answer.status == status
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    assert problem in answer.text


async def test_change_by_a_single_button_that_is_impossible_is_a_notice() -> None:
    async with usual_site() as world:
        path, notice = await outcome(world, "/m/bad/unacknowledge")
    assert path == "/m/bad"
    assert notice == "bad: no acknowledged incident (state: down)"


async def test_form_with_an_error_keeps_its_values() -> None:
    comment = "<b>" + "x" * 1000
    async with usual_site() as world:
        answer = await send(world, "/m/bad/acknowledge", {"comment": comment})
        assert incident_of(world, "bad").acknowledged_by is None
    assert answer.status == 400
    assert f'value="{escape(comment)}"' in answer.text
    assert 'aria-invalid="true" aria-describedby="error-comment"' in answer.text
    assert "is longer than 1000 characters; shorten it" in answer.text


async def test_change_that_is_not_stored_is_a_problem() -> None:
    async with usual_site(past=FakePast(NOW, is_broken=True)) as world:
        answer = await send(world, "/m/bad/pause")
        shown = await get(world, urljoin("/m/bad/pause", answer.headers["Location"]))
    assert 'class="notice problem" role="alert"' in shown.text
    assert "could not be stored (no response from the storage within 3 s)" in notice_of(shown)


# -- silences ---------------------------------------------------------------------------------------------


async def test_silence_of_a_monitor_for_a_duration() -> None:
    async with site({"shop": ()}) as world:
        path, notice = await outcome(world, "/m/shop/silence", {"duration": "4h", "comment": "new disks"})
        (silence,) = silences_of(world)
        assert (silence.matcher, silence.comment) == (Matcher(("shop",)), "new disks")
        assert timedelta(hours=3) < silence.until - silence.since <= timedelta(hours=4)
        assert not silence.is_end_fixed
    assert path == "/m/shop"
    assert notice.startswith("shop: silenced until ")


async def test_end_is_in_the_time_zone_of_the_form() -> None:
    clock = FakeClock()
    day = (clock.now() + timedelta(days=1)).date()
    async with site({"shop": ()}, clock=clock) as world:
        form = {"until": f"{day}T18:30", "zone": "Asia/Tokyo", "duration": "1h"}
        await outcome(world, "/m/shop/silence", form)
        (silence,) = silences_of(world)
    assert silence.until == datetime(day.year, day.month, day.day, 9, 30, tzinfo=UTC)
    assert silence.is_end_fixed


async def test_monitors_are_silenced_by_names_patterns_and_tags() -> None:
    async with usual_site() as world:
        form = {"monitors": "shop\r\nb*\r\na.b-c_d\r\n", "tags": "prod\r\nweb", "comment": "disks"}
        path, notice = await outcome(world, "/silences/new", form)
        (silence,) = silences_of(world)
        listed = (await get(world, "/silences")).text
    assert path == "/silences"
    assert notice.startswith("1 monitor: silenced until ")
    assert silence.matcher == Matcher(("shop", "a.b-c_d"), ("b*",), ("prod", "web"))
    assert "<code>shop</code>, <code>a.b-c_d</code>, <code>b*</code> with tag <code>prod</code>" in listed
    assert "disks" in listed


async def test_name_with_pattern_characters_is_a_name() -> None:
    name = "host:disk:/data[1]"
    async with site({name: ()}) as world:
        await outcome(world, "/silences/new", {"monitors": name})
        assert silences_of(world)[0].matcher == Matcher((name,))


async def test_preview_lists_the_matching_monitors_and_changes_nothing() -> None:
    async with usual_site() as world:
        shown = (
            await get(world, "/silences/new?monitors=s*%0D%0Abad&tags=prod&comment=disks&duration=8h")
        ).text
        assert not silences_of(world)
    preview = shown[shown.index('id="preview"') :]
    assert "3 monitors match now" in preview
    assert re.findall(r'href="../m/([^"]+)"', preview) == ["shop", "bad", "slow"]
    assert 'value="disks"' in shown
    assert '<option value="8h" selected>' in shown
    assert "s*\nbad</textarea>" in shown.replace("\r", "")


FORM_ERRORS = [
    pytest.param({}, "no monitor is selected; write names, patterns or tags", id="nothing_selected"),
    pytest.param(
        {"monitors": "shpo"}, "no monitor has the name &#39;shpo&#39; (did you mean", id="unknown_name"
    ),
    pytest.param({"monitors": "x*"}, "no monitor matches &#39;x*&#39;", id="pattern_without_match"),
    pytest.param({"tags": "pord"}, "no monitor has the tag &#39;pord&#39;", id="unknown_tag"),
    pytest.param(
        {"monitors": "a.b-c_d", "tags": "web"}, "no monitor matches the whole selection", id="no_intersection"
    ),
    pytest.param({"monitors": "*\n" * 51}, "has more than 50 items; write fewer", id="too_many_patterns"),
    pytest.param({"monitors": "shop", "duration": "5y"}, "is not among the choices", id="unknown_duration"),
    pytest.param({"monitors": "shop", "until": "18:00"}, "is not a time; write a date and", id="not_a_time"),
    pytest.param({"monitors": "shop", "until": "2001-01-01T10:00"}, "is in the past", id="past"),
    pytest.param(
        {"monitors": "shop", "until": "2999-01-01T10:00"}, "more than 366 days ahead", id="far_ahead"
    ),
    pytest.param(
        {"monitors": "shop", "until": "0001-01-01T00:00", "zone": "Asia/Tokyo"}, "is ", id="first_year"
    ),
    pytest.param(
        {"monitors": "shop", "until": "2030-01-01T10:00", "zone": "Mars/Base"},
        "has the unknown time zone &#39;Mars/Base&#39;",
        id="unknown_zone",
    ),
    pytest.param(
        {"monitors": "shop", "comment": "x" * 1001}, "is longer than 1000 characters", id="long_comment"
    ),
]


@pytest.mark.parametrize(("form", "problem"), FORM_ERRORS)
async def test_invalid_silence_is_shown_with_its_error_and_its_values(
    form: dict[str, str], problem: str
) -> None:
    async with usual_site() as world:
        answer = await send(world, "/silences/new", form)
        assert not silences_of(world)
    assert answer.status == 400
    assert "Nothing has been changed." in answer.text
    assert problem in answer.text
    for value in form.values():
        assert escape(value.strip()) in answer.text or value == "5y"


async def test_time_that_the_change_of_the_clocks_skips_is_an_error() -> None:
    clock = FakeClock(ahead_s=86 * 86400.0)
    async with site({"shop": ()}, clock=clock) as world:
        answer = await send(world, "/m/shop/silence", {"until": "2026-03-29T02:30", "zone": "Europe/Berlin"})
    assert answer.status == 400
    assert "does not exist in this time zone" in answer.text


async def test_silence_is_ended_on_the_page_of_silences() -> None:
    async with usual_site() as world:
        await outcome(world, "/m/shop/silence", {"duration": "1h"})
        assert 'action="./silences/s0/end"' in (await get(world, "/silences")).text
        path, notice = await outcome(world, "/silences/s0/end")
        assert (path, notice.partition(" by ")[0]) == ("/silences", "silence s0 ended")
        assert not silences_of(world)
        assert (await outcome(world, "/silences/s0/end"))[1] == "This silence has ended already."


# -- notices ----------------------------------------------------------------------------------------------


async def test_address_cannot_show_a_text_of_its_own() -> None:
    async with usual_site() as world:
        assert notice_of(await get(world, "/m/shop?notice=shop%20is%20up")) == ""


async def test_notice_disappears_after_a_time() -> None:
    clock = FakeClock()
    notices = Notices(clock)
    key = notices.add(Notice("done"))
    clock.skipped_s += NOTICE_SHOWN_S / 2
    assert notices.get(key) == Notice("done")
    clock.skipped_s += NOTICE_SHOWN_S / 2
    assert notices.get(key) is None


async def test_number_of_notices_is_limited() -> None:
    notices = Notices(FakeClock())
    keys = [notices.add(Notice(str(number))) for number in range(MAX_NOTICES + 1)]
    assert [notices.get(key) is None for key in keys[:2]] == [True, False]


async def test_forms_are_not_reloaded_while_they_are_filled_in() -> None:
    async with usual_site() as world:
        for path in ("/m/bad/acknowledge", "/m/shop/silence", "/silences/new"):
            assert "http-equiv" not in (await get(world, path)).text
        assert "http-equiv" in (await get(world, "/silences")).text
