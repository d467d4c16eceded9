"""Events for PagerDuty: one incident for each alert, which the closing notification resolves."""

import json
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from monitord.config import Secret
from monitord.model import State
from monitord.notifiers import (
    DeliveryError,
    Message,
    Notification,
    NotificationContext,
    NotificationKind,
    NotifierTools,
)
from tests.alerts.fakes import ACKNOWLEDGE_URL, CONTEXT, SILENCE_URL, T0, WITH_LINKS, notification
from tests.configurations import settings_of
from tests.notifiers.test_webhook import notifier, sent
from tests.servers import Peer, serve

KEY = "0123456789abcdef0123456789abcdef"
TAKEN = b'HTTP/1.1 202 Accepted\r\nContent-Length: 20\r\n\r\n{"status":"success"}'


async def enqueued(
    tmp_path: Path,
    tools: NotifierTools,
    sample: Notification,
    answer: bytes = TAKEN,
    keys: str = "",
    instance: str = "here",
) -> Any:
    keys, message = f'routing_key = "{KEY}"\n{keys}', Message([sample], instance, T0)
    _, server = await sent(tmp_path, tools, keys, answer, message, path="/v2/enqueue")
    (request,) = server.requests
    assert f"{request.method} {request.target}" == "POST /v2/enqueue"
    assert request.headers["content-type"] == "application/json"
    return json.loads(request.body)


async def test_problem_triggers_an_incident(tmp_path: Path, tools: NotifierTools) -> None:
    sample = notification(at=T0 + timedelta(minutes=1), detail="connect: refused", context=CONTEXT)
    assert await enqueued(tmp_path, tools, sample) == {
        "routing_key": KEY,
        "event_action": "trigger",
        "dedup_key": "here/web-1",
        "client": "monitord",
        "client_url": "https://status.example.org/m/web-1",
        "links": [
            {"href": "https://wiki.example.org/shop", "text": "Runbook"},
            {"href": "https://status.example.org/m/web-1", "text": "Page of the monitor"},
        ],
        "payload": {
            "summary": "DOWN: Web shop (web-1): connect: refused",
            "source": "here",
            "severity": "critical",
            "timestamp": "2026-01-01T12:01:00.000+00:00",
            "component": "web-1",
            "class": "refused",
            "custom_details": {
                "type": "http",
                "tags": ["prod"],
                "since": "2026-01-01T12:00:00.000+00:00",
                "started_at": "2026-01-01T12:00:00.000+00:00",
                "detail": "connect: refused",
                **CONTEXT.as_json(),
            },
        },
    }


async def test_incident_has_the_links_that_act(tmp_path: Path, tools: NotifierTools) -> None:
    event = await enqueued(tmp_path, tools, notification(context=WITH_LINKS))
    assert event["links"] == [
        {"href": ACKNOWLEDGE_URL, "text": "Acknowledge"},
        {"href": SILENCE_URL, "text": "Silence for 1 h"},
    ]


@pytest.mark.parametrize("kind", [kind for kind in NotificationKind if kind.is_closing])
async def test_recovery_resolves_the_incident(
    tmp_path: Path, tools: NotifierTools, kind: NotificationKind
) -> None:
    event = await enqueued(tmp_path, tools, notification(kind=kind))
    assert event == {"routing_key": KEY, "event_action": "resolve", "dedup_key": "here/web-1"}


@pytest.mark.parametrize(
    ("sample", "severity"),
    [
        (notification(kind=NotificationKind.UPDATE, state=State.DEGRADED), "warning"),
        (notification(kind=NotificationKind.FLAPPING), "critical"),
        (notification(kind=NotificationKind.REMINDER), "critical"),
        (notification(kind=NotificationKind.ISOLATED, monitor="", state=State.UNKNOWN), "critical"),
    ],
    ids=lambda sample: sample.kind.value if isinstance(sample, Notification) else "",
)
async def test_other_notification_kinds_trigger_the_same_incident(
    tmp_path: Path, tools: NotifierTools, sample: Notification, severity: str
) -> None:
    event = await enqueued(tmp_path, tools, sample)
    key = "here/web-1" if sample.monitor else "here"
    assert (event["event_action"], event["dedup_key"]) == ("trigger", key)
    assert event["payload"]["severity"] == severity
    assert event["payload"]["component"] == (sample.monitor or "monitord")


async def test_test_has_an_incident_of_its_own(tmp_path: Path, tools: NotifierTools) -> None:
    event = await enqueued(tmp_path, tools, notification(kind=NotificationKind.TEST, monitor="", alert="t1"))
    assert (event["event_action"], event["dedup_key"]) == ("trigger", "t1")
    assert event["payload"]["severity"] == "info"


async def test_daemons_with_one_prefix_report_the_same_incident(tmp_path: Path, tools: NotifierTools) -> None:
    samples = (
        notification(),
        notification(alert="other", started_at=T0 + timedelta(seconds=40), detail="connect: timed out"),
    )
    keys = [
        (await enqueued(tmp_path, tools, sample, keys='dedup_prefix = "fra"', instance=instance))["dedup_key"]
        for sample, instance in zip(samples, ("mon1", "mon2"), strict=True)
    ]
    assert keys == ["fra/web-1"] * 2


async def test_nodes_report_a_shared_monitor_as_the_same_incident(
    tmp_path: Path, tools: NotifierTools
) -> None:
    problem = notification(context=NotificationContext(is_shared=True))
    recovery = replace(problem, kind=NotificationKind.RECOVERY)
    one = await enqueued(tmp_path, tools, problem, instance="mon1")
    other = await enqueued(tmp_path, tools, recovery, instance="mon2")
    assert (one["dedup_key"], other["dedup_key"]) == ("monitord/web-1", "monitord/web-1")


async def test_isolation_of_a_host_is_an_incident_of_this_host(tmp_path: Path, tools: NotifierTools) -> None:
    sample = notification(kind=NotificationKind.ISOLATED, monitor="")
    event = await enqueued(tmp_path, tools, sample, keys='dedup_prefix = "fra"', instance="mon1")
    assert event["dedup_key"] == "mon1"


async def test_recovery_of_a_renamed_monitor_resolves_its_incident(
    tmp_path: Path, tools: NotifierTools
) -> None:
    sample = notification(kind=NotificationKind.RECOVERY, monitor="shop", opened_as="web-1")
    assert (await enqueued(tmp_path, tools, sample))["dedup_key"] == "here/web-1"


async def test_long_keys_are_limited_and_differ(tmp_path: Path, tools: NotifierTools) -> None:
    keys = {
        (await enqueued(tmp_path, tools, notification(monitor=f"{'m' * 300}-{number}")))["dedup_key"]
        for number in range(2)
    }
    assert [len(key) for key in keys] == [255, 255]


async def events_of(
    tmp_path: Path, tools: NotifierTools, samples: Sequence[Notification]
) -> list[tuple[str, str]]:
    """Deliver with one notifier. Returns the action and the key of each event that was sent."""

    async def play(peer: Peer) -> None:
        await peer.request()
        await peer.send(TAKEN)

    async with serve(play) as server:
        url = f'url = "http://127.0.0.1:{server.port}/"'
        oncall = notifier(tmp_path, tools, f'routing_key = "{KEY}"\n{url}')
        for sample in samples:
            await oncall.deliver(Message([sample], "here", T0), deadline=time.monotonic() + 60)
    events = [json.loads(request.body) for request in server.requests]
    return [(event["event_action"], event["dedup_key"]) for event in events]


def problem_and_recovery(alert: str, minute: int) -> tuple[Notification, Notification]:
    times: dict[str, Any] = {
        "started_at": T0 + timedelta(minutes=minute),
        "since": T0 + timedelta(minutes=minute),
    }
    return (
        notification(alert=alert, **times),
        notification(alert=alert, kind=NotificationKind.RECOVERY, **times),
    )


async def test_problem_after_a_recovery_triggers_the_same_key_again(
    tmp_path: Path, tools: NotifierTools
) -> None:
    samples = (*problem_and_recovery("first", 0), *problem_and_recovery("second", 5))
    key = "here/web-1"
    assert await events_of(tmp_path, tools, samples) == [("trigger", key), ("resolve", key)] * 2


async def test_late_recovery_does_not_resolve_a_later_problem(tmp_path: Path, tools: NotifierTools) -> None:
    """The problem was rejected at first, and delivered with its recovery after the next problem."""
    first, first_recovery = problem_and_recovery("first", 0)
    second, second_recovery = problem_and_recovery("second", 5)
    actions = [
        action
        for action, _ in await events_of(tmp_path, tools, [second, first, first_recovery, second_recovery])
    ]
    assert actions == ["trigger", "trigger", "resolve"]


async def test_problem_whose_recovery_was_not_delivered_does_not_keep_the_incident_open(
    tmp_path: Path, tools: NotifierTools
) -> None:
    first, _ = problem_and_recovery("first", 0)
    samples = (first, *problem_and_recovery("second", 5), *problem_and_recovery("third", 9))
    actions = [action for action, _ in await events_of(tmp_path, tools, samples)]
    assert actions == ["trigger", "trigger", "resolve", "trigger", "resolve"]


@pytest.mark.parametrize(("letter", "count"), [("x", 1024), ("ü", 1024), ("😀", 519)])
async def test_summary_is_limited(tmp_path: Path, tools: NotifierTools, letter: str, count: int) -> None:
    event = await enqueued(tmp_path, tools, notification(detail=letter * 2000))
    summary = event["payload"]["summary"]
    assert summary.startswith(f"DOWN: web-1: {letter}")
    assert summary.endswith(f"{letter}…")
    assert len(summary) == count
    assert len(summary.encode("utf-16-le")) // 2 <= 1024


async def test_routing_key_is_masked(tmp_path: Path, tools: NotifierTools) -> None:
    answer = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 43\r\n\r\nno such key " + KEY.encode()[:31]
    with pytest.raises(DeliveryError, match="400 Bad Request: no such key") as refused:
        await enqueued(tmp_path, tools, notification(), answer.replace(KEY.encode()[:31], KEY.encode())[:-1])
    assert KEY not in str(refused.value)


def test_routing_key_implies_the_type_and_one_notification_in_a_message(tmp_path: Path) -> None:
    (settings,) = settings_of(tmp_path, f'[notifiers.pd]\nrouting_key = "{KEY}"\n').alerts.notifiers
    assert settings.type_name == "pagerduty"
    assert (settings.max_notifications_per_message, settings.max_messages_per_minute) == (1, 60)
    assert settings.options.routing_key == Secret(KEY)
    assert settings.options.http.url.reveal() == "https://events.pagerduty.com/v2/enqueue"
