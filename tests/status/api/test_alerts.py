"""Notifiers and notifications in the API and in the metrics."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest

from monitord.alerts import AlertSettings
from monitord.notifiers import NotifierSettings
from monitord.status.api.openapi import PREFIX
from tests.alerts.fakes import FakeNotifier, fail_delivery, fake_type
from tests.endpoint import StatusWorld, asked, make_world
from tests.status.api.test_api import ValidatingClient, described

OPS = AlertSettings((NotifierSettings("ops", "fake", None, group_wait_s=0.0, fallback="backup"),))


@pytest.fixture(autouse=True)
def with_the_fake_type() -> Iterator[None]:
    with fake_type():
        yield


@asynccontextmanager
async def asking() -> AsyncIterator[tuple[StatusWorld, ValidatingClient, FakeNotifier]]:
    world = make_world()
    world.alerts.apply(OPS)
    async with asked(world) as client:
        yield world, await described(client), FakeNotifier.made[0]


async def delivered(world: StatusWorld) -> None:
    async with asyncio.timeout(10):
        while not any(delivery.attempts for delivery in world.alerts.deliveries()):  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_notifications_are_listed_with_their_delivery_status() -> None:
    async with asking() as (world, ask, _):
        for _ in range(2):
            await ask("POST", "/monitors/bad/check")
        await delivered(world)
        (notification,) = (await ask("GET", "/notifications")).json()["notifications"]
        assert (notification["title"], notification["status"], notification["response"]) == (
            "DOWN: bad",
            "sent",
            "taken",
        )
        assert (await ask("GET", "/notifications?monitor=good")).json()["total"] == 0
        assert (await ask("GET", "/notifications?limit=0")).status == 400
        (ops,) = (await ask("GET", "/notifiers")).json()["notifiers"]
        assert (ops["name"], ops["sent"], ops["queued"], ops["error"]) == ("ops", 1, 0, None)
        explained = (await ask("GET", "/monitors/bad/explain")).json()
        (why,) = explained["notifiers"]
        notification = why["last_notification"]
        assert (notification["title"], notification["status"]) == ("DOWN: bad", "sent")
        assert notification["delivered_by"] == "ops"
        assert any(
            said.startswith('ops: notification "DOWN: bad" of ') and said.endswith(" was sent.")
            for said in explained["sentences"]
        )


async def test_error_of_a_failing_notifier_is_shown_in_api_and_metrics() -> None:
    async with asking() as (world, ask, notifier):
        notifier.act = fail_delivery
        for _ in range(2):
            await ask("POST", "/monitors/bad/check")
        await delivered(world)
        (ops,) = (await ask("GET", "/notifiers")).json()["notifiers"]
        assert (ops["error"], ops["queued"], ops["failed_attempts"]) == ("503 busy", 1, 1)
        assert ops["failing_since"] is not None
        explained = (await ask("GET", "/monitors/bad/explain")).json()
        assert any(said.endswith(" is being retried (503 busy).") for said in explained["sentences"])
        (shown,) = (await ask("GET", "/status")).json()["notifiers"]
        assert shown == ops
        page = (await ask.client.get("/metrics")).text
        for line in (
            'monitord_notifier_up{notifier="ops"} 0.0',
            'monitord_notifier_warning{notifier="ops"} 0.0',
            'monitord_notifications_queued{notifier="ops"} 1.0',
            'monitord_notifications_sent_total{notifier="ops"} 0.0',
            'monitord_notification_failures_total{notifier="ops"} 1.0',
            'monitord_notifications_expired_total{notifier="ops"} 0.0',
        ):
            assert line in page.splitlines()


async def test_test_notification_is_delivered_or_its_error_is_returned() -> None:
    async with asking() as (_, ask, notifier):
        answer = await ask("POST", "/notifiers/ops/test")
        assert (answer.status, answer.json()["response"], answer.json()["warning"]) == (200, "taken", None)
        notifier.warning = "sent without encryption"
        assert (await ask("POST", "/notifiers/ops/test")).json()["warning"] == "sent without encryption"
        message, _ = notifier.got
        assert message.subject == "[monitord here.example.org] Test of notifier ops"
        notifier.act = fail_delivery
        refused = await ask("POST", "/notifiers/ops/test")
        assert (refused.status, refused.json()["detail"]) == (502, "ops: 503 busy")
        assert (await ask("POST", "/notifiers/opps/test")).status == 404
        assert (await ask.client.post(f"{PREFIX}/notifiers/ops/test", json={"x": 1})).status == 400
