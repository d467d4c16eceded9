"""Events for PagerDuty: one incident for each alert, which the closing notification resolves."""

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from monitord.config import Secret
from monitord.model import State
from monitord.notifiers import DeliveryError, Message, Notification, NotificationKind, NotifierTools
from tests.alerts.fakes import CONTEXT, T0, notification
from tests.configurations import settings_of
from tests.notifiers.test_webhook import sent

KEY = "0123456789abcdef0123456789abcdef"
TAKEN = b'HTTP/1.1 202 Accepted\r\nContent-Length: 20\r\n\r\n{"status":"success"}'


async def enqueued(tmp_path: Path, tools: NotifierTools, sample: Notification, answer: bytes = TAKEN) -> Any:
    keys, message = f'routing_key = "{KEY}"', Message([sample], "here", T0)
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
        "dedup_key": "alert",
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


@pytest.mark.parametrize("kind", [kind for kind in NotificationKind if kind.is_closing])
async def test_recovery_resolves_the_incident(
    tmp_path: Path, tools: NotifierTools, kind: NotificationKind
) -> None:
    event = await enqueued(tmp_path, tools, notification(kind=kind))
    assert event == {"routing_key": KEY, "event_action": "resolve", "dedup_key": "alert"}


@pytest.mark.parametrize(
    ("sample", "severity"),
    [
        (notification(kind=NotificationKind.UPDATE, state=State.DEGRADED), "warning"),
        (notification(kind=NotificationKind.FLAPPING), "critical"),
        (notification(kind=NotificationKind.REMINDER), "critical"),
        (notification(kind=NotificationKind.ISOLATED, monitor="", state=State.UNKNOWN), "critical"),
        (notification(kind=NotificationKind.TEST, monitor="", state=State.UP), "info"),
    ],
    ids=lambda sample: sample.kind.value if isinstance(sample, Notification) else "",
)
async def test_other_notification_kinds_trigger_the_same_incident(
    tmp_path: Path, tools: NotifierTools, sample: Notification, severity: str
) -> None:
    event = await enqueued(tmp_path, tools, sample)
    assert (event["event_action"], event["dedup_key"]) == ("trigger", "alert")
    assert event["payload"]["severity"] == severity
    assert event["payload"]["component"] == (sample.monitor or "monitord")


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
    assert (settings.max_notifications, settings.max_per_minute) == (1, 60)
    assert settings.options.routing_key == Secret(KEY)
    assert settings.options.http.url.reveal() == "https://events.pagerduty.com/v2/enqueue"
