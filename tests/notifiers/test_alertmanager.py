"""Alerts for Alertmanager: labels that do not change, and an end time."""

import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from monitord.model import MonitorContext, Severity, State
from monitord.notifiers import Message, Notification, NotificationContext, NotificationKind, NotifierTools
from tests.alerts.fakes import ACKNOWLEDGE_URL, CONTEXT, SILENCE_URL, T0, WITH_LINKS, notification
from tests.notifiers.test_webhook import sent

NOW = T0 + timedelta(minutes=10)


async def posted(
    tmp_path: Path, tools: NotifierTools, *notifications: Notification, keys: str = "", instance: str = "here"
) -> tuple[str, list[dict[str, Any]]]:
    message = Message(notifications, instance, NOW)
    _, server = await sent(tmp_path, tools, f'type = "alertmanager"\n{keys}', message=message, path="/am/")
    (request,) = server.requests
    return f"{request.method} {request.target}", json.loads(request.body)


def firing(alerts: list[dict[str, Any]]) -> list[str]:
    """The severities of the firing alerts."""
    return [alert["labels"]["severity"] for alert in alerts if datetime.fromisoformat(alert["endsAt"]) > NOW]


async def test_alert_has_the_links_of_the_monitor(tmp_path: Path, tools: NotifierTools) -> None:
    _, alerts = await posted(tmp_path, tools, notification(context=CONTEXT))
    for alert in alerts:
        assert alert["generatorURL"] == "https://status.example.org/m/web-1"
        assert alert["annotations"]["runbook_url"] == "https://wiki.example.org/shop"
        assert "acknowledge_url" not in alert["annotations"]


async def test_alert_has_the_links_that_act(tmp_path: Path, tools: NotifierTools) -> None:
    _, alerts = await posted(tmp_path, tools, notification(context=WITH_LINKS))
    for alert in alerts:
        assert alert["annotations"]["acknowledge_url"] == ACKNOWLEDGE_URL
        assert alert["annotations"]["silence_url"] == SILENCE_URL


@pytest.mark.parametrize(
    ("severity", "expected"),
    [
        (Severity.CRITICAL, ["critical"]),
        (Severity.WARNING, ["warning"]),
        (Severity.INFO, ["info"]),
    ],
)
async def test_only_the_alert_with_the_configured_severity_fires(
    tmp_path: Path, tools: NotifierTools, severity: Severity, expected: list[str]
) -> None:
    context = NotificationContext(MonitorContext(severity=severity))
    _, alerts = await posted(tmp_path, tools, notification(context=context))
    assert firing(alerts) == expected
    _, alerts = await posted(tmp_path, tools, notification(kind=NotificationKind.RECOVERY, context=context))
    assert firing(alerts) == []
    assert expected[0] in [alert["labels"]["severity"] for alert in alerts]


async def test_alert_about_a_shared_monitor_does_not_depend_on_the_node(
    tmp_path: Path, tools: NotifierTools
) -> None:
    shared = notification(context=NotificationContext(is_shared=True))
    one, other = [
        (await posted(tmp_path, tools, shared, instance=instance))[1] for instance in ("mon1", "mon2")
    ]
    assert [alert["labels"] for alert in one] == [alert["labels"] for alert in other]
    assert all("instance" not in alert["labels"] for alert in one)
    _, configured = await posted(tmp_path, tools, shared, keys='labels = { instance = "cluster" }')
    assert {alert["labels"]["instance"] for alert in configured} == {"cluster"}


async def test_alert_has_labels_start_and_future_end(tmp_path: Path, tools: NotifierTools) -> None:
    target, alerts = await posted(tmp_path, tools, notification())
    assert target == "POST /am/api/v2/alerts"
    critical, warning = alerts
    assert critical["labels"] == {
        "alertname": "MonitorNotUp",
        "job": "monitord",
        "instance": "here",
        "severity": "critical",
        "monitor": "web-1",
        "type": "http",
        "tags": ",prod,",
    }
    assert critical["annotations"] == {
        "summary": "DOWN: web-1", "description": "connect: refused", "reason": "refused",
    }  # fmt: skip
    assert critical["startsAt"] == "2026-01-01T12:00:00.000+00:00"
    assert critical["endsAt"] == "2026-01-01T12:15:00.000+00:00"
    assert warning["endsAt"] == "2026-01-01T12:00:00.000+00:00"


async def test_times_of_a_change_a_recovery_and_a_late_delivery(tmp_path: Path, tools: NotifierTools) -> None:
    changed_at, recovered_at = T0 + timedelta(minutes=3), T0 + timedelta(minutes=7)
    change = notification(
        kind=NotificationKind.UPDATE, state=State.DEGRADED, since=changed_at, at=changed_at, duration_s=180.0
    )
    _, (critical, warning) = await posted(tmp_path, tools, change)
    assert critical["startsAt"] == "2026-01-01T12:00:00.000+00:00"
    assert critical["endsAt"] == warning["startsAt"] == "2026-01-01T12:03:00.000+00:00"
    recovery = notification(
        kind=NotificationKind.RECOVERY,
        since=recovered_at,
        at=recovered_at + timedelta(seconds=9),
        duration_s=420.0,
    )
    _, alerts = await posted(tmp_path, tools, recovery)
    assert {alert["startsAt"] for alert in alerts} == {"2026-01-01T12:00:00.000+00:00"}
    assert {alert["endsAt"] for alert in alerts} == {"2026-01-01T12:07:00.000+00:00"}
    retried = Message([notification()], "here", T0, NOW)
    _, server = await sent(tmp_path, tools, 'type = "alertmanager"', message=retried, path="/")
    assert firing(json.loads(server.requests[0].body)) == ["critical"]


async def test_alert_never_ends_before_its_start(tmp_path: Path, tools: NotifierTools) -> None:
    clock_was_set_back = notification(
        since=T0 - timedelta(hours=1), started_at=T0, at=T0 - timedelta(hours=1)
    )
    _, alerts = await posted(tmp_path, tools, clock_was_set_back)
    assert all(alert["startsAt"] <= alert["endsAt"] for alert in alerts)


@pytest.mark.parametrize(
    ("sample", "severities"),
    [
        (notification(), ["critical"]),
        (notification(kind=NotificationKind.UPDATE, state=State.DEGRADED), ["warning"]),
        (notification(state=State.UNKNOWN), ["warning"]),
        (notification(kind=NotificationKind.FLAPPING), ["critical"]),
        (notification(kind=NotificationKind.REMINDER), ["critical"]),
        (notification(kind=NotificationKind.RECOVERY), []),
        (notification(kind=NotificationKind.CLOSED), []),
        (notification(kind=NotificationKind.ISOLATED, monitor=""), ["critical"]),
        (notification(kind=NotificationKind.RECONNECTED, monitor=""), []),
        (notification(kind=NotificationKind.TEST, monitor=""), ["warning"]),
    ],
    ids=lambda sample: sample.kind.value if isinstance(sample, Notification) else "",
)
async def test_firing_and_resolved_alerts(
    tmp_path: Path, tools: NotifierTools, sample: Notification, severities: list[str]
) -> None:
    _, alerts = await posted(tmp_path, tools, sample)
    assert firing(alerts) == severities
    assert len({json.dumps(alert["labels"]) for alert in alerts}) == 2


async def test_labels_are_the_same_from_start_to_end(tmp_path: Path, tools: NotifierTools) -> None:
    _, opening = await posted(tmp_path, tools, notification())
    _, closing = await posted(tmp_path, tools, notification(kind=NotificationKind.RECOVERY, detail="200 OK"))
    assert [alert["labels"] for alert in opening] == [alert["labels"] for alert in closing]


async def labels_of(
    tmp_path: Path, tools: NotifierTools, sample: Notification, keys: str, instance: str = "here"
) -> dict[str, str]:
    _, alerts = await posted(tmp_path, tools, sample, keys=keys, instance=instance)
    labels: dict[str, str] = alerts[0]["labels"]
    return labels


@pytest.mark.parametrize(
    ("labels", "changes"),
    [
        ('{ site = "fra" }', {"site": "fra"}),
        ('{ job = "blackbox", instance = "fra" }', {"job": "blackbox", "instance": "fra"}),
        ('{ instance = "", tags = "", absent = "" }', {"instance": None, "tags": None}),
    ],
    ids=["add", "replace", "remove"],
)
async def test_configured_labels_change_those_of_each_alert(
    tmp_path: Path, tools: NotifierTools, labels: str, changes: dict[str, str | None]
) -> None:
    before = await labels_of(tmp_path, tools, notification(), "")
    after = await labels_of(tmp_path, tools, notification(), f"labels = {labels}")
    expected = {**before, **changes}
    assert after == {name: value for name, value in expected.items() if value is not None}


async def test_two_daemons_send_equal_labels(tmp_path: Path, tools: NotifierTools) -> None:
    keys = 'labels = { site = "fra", instance = "" }'
    other = notification(alert="other", since=NOW, started_at=NOW, detail="connect: timed out")
    _, here = await posted(tmp_path, tools, notification(), keys=keys, instance="mon1")
    _, there = await posted(tmp_path, tools, other, keys=keys, instance="mon2")
    assert [alert["labels"] for alert in here] == [alert["labels"] for alert in there]
    assert {alert["labels"]["site"] for alert in here} == {"fra"}


@pytest.mark.parametrize("kind", [NotificationKind.ISOLATED, NotificationKind.TEST])
async def test_alert_about_the_host_keeps_its_instance(
    tmp_path: Path, tools: NotifierTools, kind: NotificationKind
) -> None:
    sample = notification(kind=kind, monitor="")
    for instance in ('""', '"fra"'):
        keys = f'labels = {{ site = "fra", instance = {instance} }}'
        labels = await labels_of(tmp_path, tools, sample, keys, "mon1")
        assert (labels["site"], labels["instance"]) == ("fra", "mon1")
