"""Links in notifications, from the delivered message through the web application to the record of who acted."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from monitord.alerts import AlertSettings
from monitord.alerts.action_links import KEY_NAME, LIFETIME
from monitord.application import HISTORY_NAME, ApplicationContainer
from monitord.config import Secret
from monitord.dispatch import Matcher
from monitord.interventions import Interventions
from monitord.journal_events import JournalEvent
from monitord.model import Incident, Reason, State
from monitord.notifiers import DeliveryError, Message, NotifierSettings
from monitord.settings import ApiToken, Settings, StatusSettings
from monitord.status.access.security import MAX_FAILURES
from monitord.web.testing import ClientResponse, SocketClient
from tests.alerts.fakes import FakeNotifier, fake_type
from tests.fakes import FakeClock
from tests.worlds import World

HOST = "monitor.example.org"
PUBLIC_URL = f"https://{HOST}"
API_TOKEN = "a-token-of-twenty-or-more"
OPS = NotifierSettings("ops", "fake", None, group_wait_s=0.0, max_messages_per_minute=600, action_links=True)
BROWSER = {"Origin": PUBLIC_URL, "Sec-Fetch-Site": "same-origin", "X-Forwarded-For": "192.0.2.9"}


@pytest.fixture(autouse=True)
def with_the_fake_type() -> Iterator[None]:
    with fake_type():
        yield


class LinkWorld(World):
    """The daemon's web application and alerts on a real loop, with the clock of the test."""

    clock: FakeClock
    client: SocketClient

    def __init__(self, directory: Path, *notifiers: NotifierSettings, ahead_s: float = 0.0) -> None:
        status = StatusSettings(
            tokens=(ApiToken("ops", Secret(API_TOKEN)),), allowed_hosts=(HOST,), public_url=PUBLIC_URL
        )
        super().__init__(
            clock=FakeClock(ahead_s=ahead_s),
            settings=Settings(status=status),
            history_path=directory / HISTORY_NAME,
        )
        self.open_history()
        self.configure(*notifiers)
        self.monitor("web")
        self.alert_sink.evaluate_all(is_isolated=False)

    def configure(self, *notifiers: NotifierSettings, public_url: str = PUBLIC_URL) -> None:
        self.alerts.apply(AlertSettings(notifiers or (OPS,), public_url=public_url))

    async def check(self, reason: Reason = Reason.OK, name: str = "web") -> None:
        """Check with a reason until the state is confirmed."""
        self.bad[name] = reason
        for _ in range(5):
            await self.dispatcher.check_now(name)

    async def sent(self, reason: Reason = Reason.REFUSED, notifier: str = "ops") -> Message:
        """Check with a reason, and return the message that is sent because of it."""
        fake = next(made for made in reversed(FakeNotifier.made) if made.name == notifier)
        count = len(fake.got)
        await self.check(reason)
        await until(lambda: len(fake.got) > count)
        return fake.got[count]

    async def links(self) -> tuple[str, str]:
        """The paths of the links in the notification about an outage: acknowledge, silence."""
        context = (await self.sent()).notifications[0].context
        return _path_of(context.acknowledge_url), _path_of(context.silence_url)

    def incident(self) -> Incident:
        incident = self.dispatcher.entries["web"].state.incident
        assert incident is not None
        return incident

    async def post(self, path: str, **form: str) -> ClientResponse:
        """Send the form of the page as a browser does through a reverse proxy."""
        return await self.client.post(path, form=form, headers={**BROWSER, "Accept": "text/html"})


def _path_of(url: str) -> str:
    assert url.startswith(PUBLIC_URL)
    return url.removeprefix(PUBLIC_URL)


@asynccontextmanager
async def link_world(
    directory: Path, *notifiers: NotifierSettings, path: Path | None = None, ahead_s: float = 0.0
) -> AsyncIterator[LinkWorld]:
    """`path`: of the Unix socket; None: TCP."""
    world = LinkWorld(directory, *notifiers, ahead_s=ahead_s)
    try:
        async with SocketClient(world.status_application, path=path) as client:
            world.client = client
            yield world
    finally:
        await world.close()


def _content_of(directory: Path) -> bytes:
    return b"".join(file.read_bytes() for file in directory.iterdir() if file.is_file())


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not holds():  # noqa: ASYNC110 - the delivery has no event
            await asyncio.sleep(0)


def shown(response: ClientResponse) -> str:
    """The text of the page, without elements."""
    return " ".join(re.sub(r"<[^>]*>", " ", response.text.partition("<main")[2].partition(">")[2]).split())


# Use


@pytest.mark.parametrize("transport", ["tcp", "unix"])
async def test_link_acknowledges_once(
    tmp_path: Path, transport: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    async with link_world(tmp_path, path=tmp_path / "socket" if transport == "unix" else None) as world:
        path, _ = await world.links()
        page = await world.client.get(path)
        assert page.status == 200
        assert shown(page).startswith("Acknowledge the incident of web web down since ")
        assert world.incident().acknowledged_by is None
        done = await world.post(path, name="Kim", comment="cable")
        assert done.status == 200
        assert shown(done).startswith("The incident is acknowledged")
        by = 'link in notification to ops, as "Kim"'
        assert (world.incident().acknowledged_by, world.incident().comment) == (by, "cable")
        assert f"web: incident acknowledged by {by}: cable" in caplog.messages
        for again in (await world.client.get(path), await world.post(path, name="Sam")):
            assert again.status == 410
            assert shown(again).startswith("This link has been used At 2026-01-01 ")
        assert world.incident().acknowledged_by == by
        stored = await world.history.incidents(limit=1)
        assert [incident.acknowledged_by for incident in stored] == [by]


async def test_link_silences_its_monitor_for_an_hour(tmp_path: Path) -> None:
    async with link_world(tmp_path) as world:
        world.monitor("other")
        _, path = await world.links()
        assert shown(await world.client.get(path)).startswith("Silence web for 1 h")
        done = await world.post(path)
        assert done.status == 200
        (silence,) = world.interventions.silences
        assert silence.matcher == Matcher(names=("web",))
        assert 3590 < (silence.until - world.clock.now()).total_seconds() <= 3600
        assert (silence.by, silence.comment) == ("link in notification to ops", None)
        assert world.incident().acknowledged_by is None
        assert (await world.post(path)).status == 410
        assert len(world.interventions.silences) == 1


async def test_scanners_and_previews_change_nothing(tmp_path: Path) -> None:
    async with link_world(tmp_path) as world:
        for path in await world.links():
            for _ in range(3):
                assert (await world.client.get(path)).status == 200
                assert (await world.client.head(path)).status == 200
                await world.client.options(path)
        assert world.incident().acknowledged_by is None
        assert not world.interventions.silences


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
async def test_link_permits_no_other_method(tmp_path: Path, method: str) -> None:
    async with link_world(tmp_path) as world:
        path, _ = await world.links()
        assert (await world.client.request(method, path)).status == 401
        assert world.incident().acknowledged_by is None


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/monitors/web/acknowledge",
        "/monitors/web/check",
        "/action",
        "/action/",
        "/action/x/../../reload",
        "/action/%2e%2e/reload",
        "//action/x",
        "/reload?/action/x",
    ],
)
async def test_only_the_path_of_a_link_needs_no_other_right(tmp_path: Path, path: str) -> None:
    async with link_world(tmp_path) as world:
        await world.links()
        assert (await world.client.post(path)).status in {401, 404}
        assert world.incident().acknowledged_by is None


async def test_link_in_the_path_of_a_change_of_the_api_gives_no_right(tmp_path: Path) -> None:
    async with link_world(tmp_path) as world:
        path, _ = await world.links()
        for target in (f"/api/v1{path}", f"{path}/", f"{path}/x", f"/x{path}"):
            assert (await world.client.post(target)).status in {401, 404}
        assert world.incident().acknowledged_by is None


async def test_link_that_is_used_twice_at_once_acts_once(tmp_path: Path) -> None:
    async with link_world(tmp_path) as world:
        _, path = await world.links()
        responses = await asyncio.gather(*(world.post(path) for _ in range(8)))
        assert sorted(response.status for response in responses) == [200] + 7 * [410]
        assert len(world.interventions.silences) == 1


async def test_form_without_fields_is_enough(tmp_path: Path) -> None:
    async with link_world(tmp_path) as world:
        path, _ = await world.links()
        assert (await world.client.post(path)).status == 200
        assert world.incident().acknowledged_by == "link in notification to ops"


async def test_form_is_shown_again_if_a_field_is_too_long(tmp_path: Path) -> None:
    async with link_world(tmp_path) as world:
        path, _ = await world.links()
        name = await world.post(path, name="x" * 61)
        comment = await world.post(path, comment="x" * 1001)
        assert (name.status, comment.status) == (400, 400)
        assert "Longer than 60 characters; shorten it." in name.text
        assert 'value="' + "x" * 61 in name.text
        assert "The comment is longer than 1000 characters; shorten it." in comment.text
        assert "<form" in name.text
        assert world.incident().acknowledged_by is None
        assert (await world.client.post(path, body=b"x" * 40_000)).status == 413
        assert (await world.client.post(path, json={})).status == 415
        assert (await world.post(path)).status == 200


async def test_name_cannot_imitate_the_rest_of_the_record_or_the_page(tmp_path: Path) -> None:
    async with link_world(tmp_path) as world:
        path, _ = await world.links()
        await world.post(path, name='<b>x</b>", root\n(uid 0)', comment="<script>")
        by = """link in notification to ops, as "<b>x</b>', root (uid 0)\""""
        assert world.incident().acknowledged_by == by
        page = await world.client.get(path)
        assert "<b>" not in page.text
        assert "<script" not in page.text


# Protection


async def test_page_is_not_cached_indexed_or_named_to_other_pages(tmp_path: Path) -> None:
    async with link_world(tmp_path) as world:
        path, _ = await world.links()
        unknown = "/action/" + "A" * 44
        for response in (
            await world.client.get(path),
            await world.client.get(unknown),
            await world.client.get(f"{path}/x"),
            await world.client.post(path, headers={"Origin": "null"}),
            await world.client.put(path),
            await world.post(path),
        ):
            assert response.headers["Cache-Control"] == "no-store"
            assert response.headers["X-Robots-Tag"] == "noindex, nofollow"
            assert response.headers["Referrer-Policy"] == "strict-origin"
            assert "frame-ancestors 'none'" in response.headers["Content-Security-Policy"]
            assert path.removeprefix("/action/") not in response.text


@pytest.mark.parametrize(
    "fields",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Origin": "https://evil.example.org"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "same-origin", "Origin": "null"},
    ],
    ids=["fetch-site", "origin", "null", "null-same-origin"],
)
async def test_form_of_another_site_is_rejected(tmp_path: Path, fields: dict[str, str]) -> None:
    async with link_world(tmp_path) as world:
        path, _ = await world.links()
        assert (await world.client.post(path, headers=fields)).status == 403
        assert world.incident().acknowledged_by is None


async def test_forged_links_are_limited_and_valid_ones_still_work(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with link_world(tmp_path) as world:
        path, silence_path = await world.links()
        forged = path[:-1] + ("A" if path[-1] != "A" else "B")
        mixed = path[:12] + silence_path[12:]
        responses = [await world.client.get(mixed), await world.post(forged)]
        assert [response.status for response in responses] == [404, 404]
        assert shown(responses[0]).startswith("This link is not valid")
        for _ in range(MAX_FAILURES - 2):
            assert (await world.client.get(forged)).status == 404
        limited = await world.client.get(forged)
        assert limited.status == 429
        assert 0 < int(limited.headers["Retry-After"]) <= 61
        assert (await world.post(forged)).status == 429
        assert world.incident().acknowledged_by is None
        warnings = [
            record
            for record in caplog.records
            if getattr(record, "message_id", None) == JournalEvent.TOKEN_REJECTED.message_id
        ]
        assert len(warnings) == 2
        assert all("/action/***" in record.getMessage() for record in warnings)
        assert forged[8:] not in caplog.text
        # Neither API tokens nor valid links are locked out by others behind the same proxy.
        bearer = {"Authorization": f"Bearer {API_TOKEN}"}
        assert (await world.client.post("/api/v1/monitors/web/check", headers=bearer)).status == 200
        assert (await world.post(path)).status == 200


async def test_token_is_neither_logged_nor_stored_nor_shown(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    async with link_world(tmp_path) as world:
        FakeNotifier.made[-1].response = "accepted"
        message = await world.sent()
        (notification,) = message.notifications
        urls = notification.context.acknowledge_url, notification.context.silence_url
        tokens = [url.removeprefix(f"{PUBLIC_URL}/action/") for url in urls]
        await world.client.get(_path_of(urls[0]))
        await world.client.get(_path_of(urls[0])[:-1])
        await world.client.put(_path_of(urls[0]), headers={"Authorization": "Bearer wrong"})
        await world.post(_path_of(urls[0]))
        await world.post(_path_of(urls[0]))
        responses = [
            await world.client.get(path)
            for path in (
                "/api/v1/notifications",
                "/api/v1/monitors/web/explain",
                "/api/v1/status",
                "/api/v1/monitors",
                "/api/v1/notifiers",
                "/m/web",
                "/daemon",
                "/incidents",
                "/metrics",
            )
        ]
        listed = responses[0].json()["notifications"][0]
        assert listed["links_expire_at"] is not None
        await world.history.wait_until_stored(30.0)
        stored = _content_of(tmp_path)
        for token in tokens:
            assert all(token[:-4] not in response.text for response in responses)
            assert token[:-4] not in caplog.text
            assert token[:-4].encode() not in stored


async def test_bug_in_the_page_is_logged_without_the_token(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    class BrokenInterventions(Interventions):
        def acknowledge(self, name: str, by: str, comment: str | None) -> None:
            raise RuntimeError("broken")

    world = LinkWorld(tmp_path)
    broken = BrokenInterventions(world.dispatcher, world.pipeline, world.silences, world.clock)
    world.override(ApplicationContainer.interventions, broken)
    try:
        async with SocketClient(world.status_application) as client:
            world.client = client
            path, _ = await world.links()
            response = await world.post(path)
            assert response.status == 500
            (number,) = re.findall(r"error (\w+) in the page of an action link", caplog.text)
            assert number in response.text
            assert "broken" in caplog.text
            assert path[8:-4] not in caplog.text
            # The link has not been used.
            assert (await client.get(path)).status == 200
    finally:
        await world.close()


async def test_receiver_that_repeats_a_link_does_not_reveal_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def reject(message: Message) -> None:
        raise DeliveryError(f"400: {json.dumps(message.as_json())}")

    def break_off(message: Message) -> None:
        raise RuntimeError(message.text)

    for act in (reject, break_off):
        async with link_world(tmp_path) as world:
            FakeNotifier.made[-1].act = act
            url = (await world.sent()).notifications[0].context.acknowledge_url
            await until(lambda: bool(world.alerts.failing_workers()))
            token = url.removeprefix(f"{PUBLIC_URL}/action/")
            assert token not in caplog.text
            assert "/action/***" in caplog.text
            listed = await world.client.get("/api/v1/notifications")
            assert token not in listed.text
            await world.check()
        caplog.clear()


# The end of a link


async def test_link_expires_a_day_after_its_notification(tmp_path: Path) -> None:
    async with link_world(tmp_path) as world:
        path, _ = await world.links()
        world.clock.ahead_s = LIFETIME.total_seconds() - 60
        assert (await world.client.get(path)).status == 200
        world.clock.ahead_s = LIFETIME.total_seconds() + 60
        for response in (await world.client.get(path), await world.post(path)):
            assert response.status == 410
            assert shown(response).startswith("This link has expired It was valid until ")
        assert world.incident().acknowledged_by is None


async def test_used_link_is_not_valid_again_if_the_clock_is_set_back(tmp_path: Path) -> None:
    async with link_world(tmp_path) as world:
        path, _ = await world.links()
        await world.post(path)
        world.interventions.unacknowledge("web", "kim")
        for ahead_s in (2 * LIFETIME.total_seconds(), -3600.0, 0.0):
            world.clock.ahead_s = ahead_s
            assert (await world.post(path)).status == 410
        assert world.incident().acknowledged_by is None


@pytest.mark.parametrize("which", [0, 1], ids=["acknowledge", "silence"])
async def test_link_has_no_effect_on_a_later_outage(tmp_path: Path, which: int) -> None:
    async with link_world(tmp_path) as world:
        path = (await world.links())[which]
        await world.sent(Reason.OK)
        ended = await world.post(path)
        assert ended.status == 410
        assert shown(ended).startswith("The alert has ended")
        world.clock.skipped_s += 60
        new_path = (await world.links())[which]
        assert (await world.post(path)).status == 410
        assert world.incident().acknowledged_by is None
        assert not world.interventions.silences
        assert (await world.post(new_path)).status == 200


async def test_link_says_that_the_alert_is_already_acknowledged(tmp_path: Path) -> None:
    async with link_world(tmp_path) as world:
        paths = await world.links()
        world.interventions.acknowledge("web", "sam (uid 1000), pid 7", "on it")
        for path in paths:
            for response in (await world.client.get(path), await world.post(path)):
                assert response.status == 409
                text = shown(response)
                assert text.startswith("The incident is already acknowledged By sam (uid 1000), pid 7 at ")
                assert "on it" in text
        assert world.incident().acknowledged_by == "sam (uid 1000), pid 7"
        world.interventions.unacknowledge("web", "sam")
        assert (await world.post(paths[0])).status == 200


async def test_link_says_that_the_monitor_is_already_silenced(tmp_path: Path) -> None:
    async with link_world(tmp_path) as world:
        _, path = await world.links()
        until = world.clock.now() + LIFETIME
        world.interventions.silence(Matcher(names=("web",)), until, None, "sam")
        response = await world.post(path)
        assert response.status == 409
        assert shown(response).startswith("The monitor is already silenced Until ")
        assert len(world.interventions.silences) == 1


async def test_link_of_a_monitor_that_is_only_degraded_acknowledges_nothing(tmp_path: Path) -> None:
    async with link_world(tmp_path) as world:
        path, _ = await world.links()
        await world.check(Reason.PLUGIN_WARNING)
        assert world.state("web") is State.DEGRADED
        response = await world.post(path)
        assert response.status == 409
        assert shown(response).startswith("There is no incident to acknowledge")


@pytest.mark.parametrize(
    "change",
    [
        lambda world: world.configure(replace(OPS, action_links=False)),
        lambda world: world.configure(replace(OPS, name="others")),
        lambda world: world.configure(public_url=""),
    ],
    ids=["option", "notifier", "public_url"],
)
async def test_links_are_invalid_when_they_are_disabled(
    tmp_path: Path, change: Callable[[LinkWorld], Any]
) -> None:
    async with link_world(tmp_path) as world:
        path, _ = await world.links()
        change(world)
        assert (await world.post(path)).status == 404
        assert world.incident().acknowledged_by is None


async def test_links_survive_a_restart_and_stay_used(tmp_path: Path) -> None:
    async with link_world(tmp_path) as world:
        used, unused = await world.links()
        await world.post(used)
        world.interventions.unacknowledge("web", "kim")
        world.recorder.save()
    async with link_world(tmp_path) as world:
        assert (await world.post(used)).status == 410
        assert world.incident().acknowledged_by is None
        assert (await world.post(unused)).status == 200
        assert len(world.interventions.silences) == 1


async def test_new_key_makes_previous_links_invalid(tmp_path: Path) -> None:
    async with link_world(tmp_path) as world:
        path, _ = await world.links()
        world.recorder.save()
    (tmp_path / KEY_NAME).unlink()
    async with link_world(tmp_path) as world:
        assert (await world.post(path)).status == 404
        assert world.incident().acknowledged_by is None


# Messages


async def test_retry_has_the_same_links(tmp_path: Path) -> None:
    def fail(_: Message) -> None:
        raise DeliveryError("503 busy")

    async with link_world(tmp_path) as world:
        FakeNotifier.made[-1].act = fail
        first = await world.sent()
        world.recorder.save()
    async with link_world(tmp_path, ahead_s=3600.0) as world:
        fake = FakeNotifier.made[-1]
        await until(lambda: bool(fake.got))
        again = fake.got[0]
    assert (again.key, again.text) == (first.key, first.text)
    assert again.as_json() == first.as_json()
    assert first.notifications[0].context.acknowledge_url


async def test_recovery_and_test_have_no_links(tmp_path: Path) -> None:
    async with link_world(tmp_path) as world:
        await world.sent()
        recovery = await world.sent(Reason.OK)
        assert recovery.notifications[0].context.action_links == ()
        assert recovery.notifications[0].context.links_expire_at is None
        await world.alerts.test("ops", "kim")
        assert FakeNotifier.made[-1].got[-1].notifications[0].context.action_links == ()


async def test_notifier_without_the_option_has_no_links(tmp_path: Path) -> None:
    async with link_world(tmp_path, OPS, replace(OPS, name="public", action_links=False)) as world:
        message = await world.sent(notifier="public")
        assert message.notifications[0].context.action_links == ()
        assert "/action/" not in json.dumps(message.as_json())


async def test_fallback_without_the_option_has_no_links(tmp_path: Path) -> None:
    def reject(_: Message) -> None:
        raise DeliveryError("400", is_rejected=True)

    public = replace(OPS, name="public", action_links=False)
    async with link_world(tmp_path, replace(OPS, fallback="public"), public) as world:
        ops, fallback = FakeNotifier.made
        ops.act = reject
        await world.check(Reason.REFUSED)
        await until(lambda: len(fallback.got) > 1)
        notifiers = {message.notifications[0].notifier for message in fallback.got}
        assert notifiers == {"ops", "public"}
        for message in fallback.got:
            assert "/action/" not in message.text
        assert "/action/" in ops.got[0].text
