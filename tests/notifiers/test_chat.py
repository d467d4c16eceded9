"""The chat and push services: what people read, the limits, hostile texts, failures. Each against its schema."""

import json
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from monitord.alerts import DeliveryWorker
from monitord.alerts.outbox import Outbox
from monitord.clock import SystemClock
from monitord.model import MonitorContext, Severity, State
from monitord.notifiers import (
    NOTIFIER_TYPES,
    DeliveryError,
    Message,
    Notification,
    NotificationContext,
    NotificationKind,
    Notifier,
    NotifierTools,
)
from monitord.notifiers.cards import cards_of
from tests.alerts.fakes import CONTEXT, T0, WITH_LINKS, notification
from tests.configurations import errors_of
from tests.notifiers.chat_services import SERVICES, Service
from tests.notifiers.test_webhook import notifier
from tests.servers import Peer, Request, Server, respond, serve

each_service = pytest.mark.parametrize("name", SERVICES)

HOSTILE = (
    "<!channel> <@U012AB3CD> @all @Here @channel @room @kim:example.org <https://evil.test|log in>"
    " [log in](https://evil.test) **bold** __b__ ~~gone~~ ||spoiler|| `code` ```block```"
    ' <b onclick="x()">b</b> &amp; \\*escaped\\* {{DATE(2026-01-01)}}'
    " /stop https://a.example.org/a_b_c*d*e"
)
HOSTILE_EXCERPT = (
    "```\n@channel <!here>\n# heading\n> quote\n| a | b |\n|---|---|\n</code></pre><img src=x>\n```"
)


def config_of(name: str, server: Server) -> str:
    service: Service = SERVICES[name]
    return f'type = "{name}"\nurl = "http://127.0.0.1:{server.port}{service.path}"\n{service.keys}'


@asynccontextmanager
async def running(
    tmp_path: Path, tools: NotifierTools, name: str, status: str = "200 OK", body: bytes = b"ok"
) -> AsyncIterator[tuple[Notifier[Any], Server]]:
    """A notifier of the type, and the server of its service."""
    async with serve(respond(status, body)) as server:
        yield notifier(tmp_path, tools, config_of(name, server)), server


async def shown(
    tmp_path: Path, tools: NotifierTools, name: str, *notifications: Notification
) -> tuple[str, Sequence[Request]]:
    """Deliver a message; return what people read, and the requests, which comply with the schema."""
    async with running(tmp_path, tools, name) as (chat, server):
        await chat.deliver(Message(notifications, "here", T0), deadline=time.monotonic() + 60)
    texts = [text for request in server.requests for text in SERVICES[name].check(request)]
    return "\n".join(texts), server.requests


@each_service
async def test_problem_has_everything_that_helps_the_recipient(
    tmp_path: Path, tools: NotifierTools, name: str
) -> None:
    text, _ = await shown(tmp_path, tools, name, notification(context=CONTEXT))
    for part in (
        "DOWN: Web shop (web-1)",
        "web-1 has been down since 2026-01-01",
        "connect: refused",
        "reason: refused",
        "Sells tea.",
        "Runs on db1.",
        "Last check that passed",
        "Service",
        "unavailable",
        "gateway",
        "mail, news",
        "page-0",
        "https://wiki.example.org/shop",
        "ops@example.org",
        "https://status.example.org/m/web-1",
        "monitorctl ack web-1",
        "Times are in",
    ):
        assert part in text, part
    assert "here" in text


@each_service
async def test_command_can_be_copied(tmp_path: Path, tools: NotifierTools, name: str) -> None:
    async with running(tmp_path, tools, name) as (chat, server):
        message = Message([notification(monitor="unit-getty@tty1")], "here", T0)
        await chat.deliver(message, deadline=time.monotonic() + 60)
    assert "monitorctl ack unit-getty@tty1" in server.requests[0].body.decode()


@each_service
async def test_recovery_has_no_instructions_for_acknowledging(
    tmp_path: Path, tools: NotifierTools, name: str
) -> None:
    sample = notification(kind=NotificationKind.RECOVERY, duration_s=300.0, context=CONTEXT)
    text, _ = await shown(tmp_path, tools, name, sample)
    assert "lasted 5m" in text
    assert "monitorctl ack" not in text


@each_service
@pytest.mark.parametrize("kind", NotificationKind)
async def test_every_kind_of_notification_complies_with_the_schema(
    tmp_path: Path, tools: NotifierTools, name: str, kind: NotificationKind
) -> None:
    is_about_host = kind in {NotificationKind.ISOLATED, NotificationKind.RECONNECTED, NotificationKind.TEST}
    sample = notification(kind=kind, monitor="" if is_about_host else "web-1")
    text, _ = await shown(tmp_path, tools, name, sample)
    assert sample.title in text


@each_service
async def test_500_monitors_that_go_down_and_up_are_all_named_within_the_limits(
    tmp_path: Path, tools: NotifierTools, name: str
) -> None:
    context = NotificationContext(MonitorContext("Web shop", runbook="https://wiki.example.org/shop"))
    waiting = [
        notification(
            number, kind=kind, notifier="chat", monitor=f"web-{number:03}", alert=f"{number}", context=context
        )
        for kind in (NotificationKind.PROBLEM, NotificationKind.RECOVERY)
        for number in range(500)
    ]

    async def stored(_: float) -> None:
        return

    async with running(tmp_path, tools, name) as (chat, server):
        clock = SystemClock()
        worker = DeliveryWorker(chat, Outbox(lambda *_: None), clock, "here", stored, lambda *_: False)
        while waiting:
            message = worker._largest_message(waiting, T0)
            waiting = waiting[len(message.notifications) :]
            await chat.deliver(message, deadline=time.monotonic() + 60)
    texts = [text for request in server.requests for text in SERVICES[name].check(request)]
    lines = "\n".join(texts).splitlines()
    for number in range(500):
        monitor = f"web-{number:03}"
        assert any(f"{monitor} has been down since" in line for line in lines)
        assert any(f"{monitor} has been up since" in line for line in lines)
    if SERVICES[name].is_grouping:
        assert len(server.requests) < 100


@each_service
@pytest.mark.parametrize(
    "changes",
    [
        {"detail": "&😀<>*_" * 160},
        {"monitor": "m" * 9000},
        {"monitor": "\\_*<&@😀" * 1200},
        {"tags": ("t" * 900,) * 40},
        {"context": replace(CONTEXT, excerpt="<&😀`\n" * 120, settings=MonitorContext("x" * 700, "ü\n" * 9000))},
        {"context": replace(CONTEXT, url="https://status.example.org/" + "u" * 3000)},
    ],
    ids=["detail", "name", "escaped name", "tags", "context", "address"],
)  # fmt: skip
async def test_long_notification_is_shortened_to_the_limits(
    tmp_path: Path, tools: NotifierTools, name: str, changes: dict[str, Any]
) -> None:
    sample = notification(**{"context": CONTEXT, **changes})
    text, _ = await shown(tmp_path, tools, name, sample)
    assert "DOWN" in text
    if "monitor" not in changes:
        assert "web-1 has been down since" in text


@each_service
@pytest.mark.parametrize("count", [1, 3, 4], ids=["one", "three", "four"])
async def test_text_from_monitored_services_is_literal(
    tmp_path: Path, tools: NotifierTools, name: str, count: int
) -> None:
    context = replace(
        CONTEXT,
        excerpt=HOSTILE_EXCERPT,
        settings=MonitorContext("T *i* <@1>", "# head\n> q\n- l\n1. n\n@all"),
    )
    samples = [notification(number, detail=HOSTILE, context=context) for number in range(count)]
    # The checks of the schemas reject markup, links and mentions.
    text, _ = await shown(tmp_path, tools, name, *samples[: None if SERVICES[name].is_grouping else 1])
    flat = " ".join(text.split())
    assert "<!channel> <@U012AB3CD> @all @Here @channel @room @kim:example.org" in flat
    assert "**bold** __b__ ~~gone~~ ||spoiler|| `code`" in flat
    assert "&amp; \\*escaped\\*" in flat
    assert "https://a.example.org/a_b_c" in flat
    assert "@channel <!here>" in flat or count > 3


@each_service
async def test_secrets_are_masked_in_the_response(tmp_path: Path, tools: NotifierTools, name: str) -> None:
    secret = SERVICES[name].secret
    async with running(tmp_path, tools, name, "403 No", f"no access for {secret}".encode()) as (chat, _):
        with pytest.raises(DeliveryError) as refused:
            await chat.deliver(Message([notification()], "here", T0), deadline=time.monotonic() + 60)
    assert secret not in str(refused.value)
    assert "403 No: no access for ***" in str(refused.value)
    assert not refused.value.is_rejected


@pytest.mark.parametrize(
    "form", ['{{ file = "{path}" }}', '{{ env = "SECRET" }}', '{{ credential = "secret" }}']
)
@each_service
async def test_secrets_are_not_plain_text_in_the_configuration(
    tmp_path: Path, tools: NotifierTools, monkeypatch: pytest.MonkeyPatch, name: str, form: str
) -> None:
    service = SERVICES[name]
    async with serve(respond("403 No", f"no access for {service.secret}".encode())) as server:
        address = f"http://127.0.0.1:{server.port}{service.path}"
        plain = address if service.path else service.secret
        path = tmp_path / "secret"
        path.write_text(f"{plain}\n")
        monkeypatch.setenv("SECRET", plain)
        monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
        keys = config_of(name, server).replace(f'"{plain}"', form.format(path=path))
        assert plain not in keys
        with pytest.raises(DeliveryError, match=r"403 No: no access for \*\*\*") as refused:
            await notifier(tmp_path, tools, keys).deliver(
                Message([notification()], "here", T0), deadline=time.monotonic() + 60
            )
        assert service.check(server.requests[0])
    assert service.secret not in str(refused.value)


def reply(**values: Any) -> bytes:
    return json.dumps(values).encode()


FAILURES = {
    "slack: rejected": ("slack", "400 Bad Request", b"invalid_blocks", None, True),
    "slack: webhook removed": ("slack", "404 Not Found", b"no_service", None, False),
    "slack: API, channel": ("slack", "200 OK", reply(ok=False, error="channel_not_found"), None, False),
    "slack: API, message": ("slack", "200 OK", reply(ok=False, error="msg_too_long"), None, True),
    "mattermost: rejected": ("mattermost", "400 Bad Request", reply(message="Unable to parse"), None, True),
    "discord: rate limit": ("discord", "429 Slow", reply(message="You are being", retry_after=64.57), 64.57, False),
    "discord: rejected": ("discord", "400 Bad Request", reply(code=50035), None, True),
    "discord: strange delay": ("discord", "429 Slow", reply(retry_after="soon"), None, False),
    "teams: rejected": ("teams", "413 Too Large", b"", None, True),
    "teams: failure with 200": (
        "teams",
        "200 OK",
        b"Webhook message delivery failed with error: Microsoft Teams endpoint returned HTTP error 429",
        None,
        False,
    ),
    "telegram: rate limit": (
        "telegram",
        "429 Too Many Requests",
        reply(ok=False, error_code=429, parameters={"retry_after": 35}),
        35.0,
        False,
    ),
    "telegram: rejected": ("telegram", "400 Bad Request", reply(ok=False, error_code=400), None, True),
    "telegram: failure with 200": ("telegram", "200 OK", reply(ok=False, error_code=400), None, True),
    "telegram: blocked": ("telegram", "403 Forbidden", reply(ok=False, error_code=403), None, False),
    "matrix: rate limit": (
        "matrix",
        "429 Slow",
        reply(errcode="M_LIMIT_EXCEEDED", retry_after_ms=2500),
        2.5,
        False,
    ),
    "matrix: too large": ("matrix", "413 Too Large", reply(errcode="M_TOO_LARGE"), None, True),
    "matrix: not in the room": ("matrix", "403 Forbidden", reply(errcode="M_FORBIDDEN"), None, False),
    "ntfy: rate limit": ("ntfy", "429 Slow", reply(code=42901), None, False),
    "ntfy: rejected": ("ntfy", "400 Bad Request", reply(code=40024), None, True),
    "gotify: rejected": ("gotify", "400 Bad Request", reply(error="Bad Request"), None, True),
    "opsgenie: rejected": ("opsgenie", "422 Unprocessable", reply(message="Request body"), None, True),
}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "status", "body", "retry_after_s", "is_rejected"), FAILURES.values(), ids=FAILURES
)
async def test_failure_is_recognized(
    tmp_path: Path,
    tools: NotifierTools,
    name: str,
    status: str,
    body: bytes,
    retry_after_s: float | None,
    is_rejected: bool,
) -> None:
    async with running(tmp_path, tools, name, status, body) as (chat, _):
        with pytest.raises(DeliveryError, match=status) as refused:
            await chat.deliver(Message([notification()], "here", T0), deadline=time.monotonic() + 60)
    assert (refused.value.retry_after_s, refused.value.is_rejected) == (retry_after_s, is_rejected)


@each_service
async def test_header_retry_after_is_respected(tmp_path: Path, tools: NotifierTools, name: str) -> None:
    async with serve(respond("429 Slow", b"", {"Retry-After": "7"})) as server:
        chat = notifier(tmp_path, tools, config_of(name, server))
        with pytest.raises(DeliveryError) as refused:
            await chat.deliver(Message([notification()], "here", T0), deadline=time.monotonic() + 60)
    assert (refused.value.retry_after_s, refused.value.is_rejected) == (7.0, False)


@pytest.mark.parametrize("body", [b"", b"[]", b'{"ok": true}', b"{" * 2000, b"<html>"])
@each_service
async def test_any_body_of_a_success_is_a_delivery(
    tmp_path: Path, tools: NotifierTools, name: str, body: bytes
) -> None:
    async with running(tmp_path, tools, name, "202 Accepted", body) as (chat, _):
        response = await chat.deliver(Message([notification()], "here", T0), deadline=time.monotonic() + 60)
    assert response.startswith("202 Accepted")


@each_service
async def test_options_of_the_body_are_rejected(tmp_path: Path, name: str) -> None:
    keys = f'type = "{name}"\nurl = "https://h.example.org"\n{SERVICES[name].keys}'
    for key in ("method", "format", "body", "content_type"):
        value = "{{ text | tojson }}" if key == "body" else "json"
        (error,) = errors_of(tmp_path, f'[notifiers.chat]\n{keys}\n{key} = "{value}"\n')
        assert f"notifiers.chat.{key}: is an option of webhooks; remove it" in error


# Each service alone


async def test_slack_app_posts_to_its_channel(tmp_path: Path, tools: NotifierTools) -> None:
    async with serve(respond(body=reply(ok=True))) as server:
        keys = f'url = "http://127.0.0.1:{server.port}/api/chat.postMessage"\ntoken = "xoxb-0123456789"\n'
        chat = notifier(tmp_path, tools, f'type = "slack"\nchannel = "#alerts"\n{keys}')
        await chat.deliver(Message([notification()], "here", T0), deadline=time.monotonic() + 60)
    (request,) = server.requests
    assert SERVICES["slack"].check(request)
    assert json.loads(request.body)["channel"] == "#alerts"
    assert request.headers["authorization"] == "Bearer xoxb-0123456789"


async def test_matrix_retry_has_the_same_transaction_id(tmp_path: Path, tools: NotifierTools) -> None:
    message = Message([notification()], "here", T0)
    async with running(tmp_path, tools, "matrix") as (chat, server):
        for attempted_at in (T0, T0 + timedelta(minutes=1)):
            await chat.deliver(replace(message, attempted_at=attempted_at), deadline=time.monotonic() + 60)
    first, second = server.requests
    assert first.target == second.target
    assert first.target.endswith(f"/{message.key}")
    assert first.body == second.body


async def test_telegram_buttons_of_several_notifications_name_theirs(
    tmp_path: Path, tools: NotifierTools
) -> None:
    samples = [notification(number, context=CONTEXT) for number in (1, 2)]
    _, (request,) = await shown(tmp_path, tools, "telegram", *samples)
    rows = json.loads(request.body)["reply_markup"]["inline_keyboard"]
    assert [[button["text"] for button in row] for row in rows] == [
        ["Runbook: DOWN: Web shop (web-1)", "Page: DOWN: Web shop (web-1)"],
        ["Runbook: DOWN: Web shop (web-2)", "Page: DOWN: Web shop (web-2)"],
    ]


@pytest.mark.parametrize(
    ("changes", "target"),
    [
        ({}, "/v2/alerts"),
        ({"number": 2, "kind": NotificationKind.REMINDER}, "/v2/alerts/alert/notes?identifierType=alias"),
        ({"number": 2, "kind": NotificationKind.RECOVERY}, "/v2/alerts/alert/close?identifierType=alias"),
        ({"number": 2, "kind": NotificationKind.CLOSED}, "/v2/alerts/alert/close?identifierType=alias"),
        ({"number": 2, "notifier": "other"}, "/v2/alerts"),
        ({"number": 2, "alert": "a/b?c"}, "/v2/alerts/a%2Fb%3Fc/notes?identifierType=alias"),
    ],
    ids=["problem", "reminder", "recovery", "removed monitor", "rerouted", "escaped"],
)
async def test_opsgenie_alert_is_created_noted_and_closed(
    tmp_path: Path, tools: NotifierTools, changes: dict[str, Any], target: str
) -> None:
    sample = notification(**{"number": 1, "notifier": "chat", **changes})
    text, (request,) = await shown(tmp_path, tools, "opsgenie", sample)
    assert request.target == target
    assert sample.title in text


GOES_DOWN: dict[str, Any] = {"number": 2, "notifier": "chat", "kind": NotificationKind.UPDATE}
NOTES = "/v2/alerts/alert/notes?identifierType=alias"


@pytest.mark.parametrize(
    ("changes", "priorities"),
    [
        ({}, ["P1"]),
        ({"state": State.DEGRADED}, ["P3"]),
        ({"kind": NotificationKind.FLAPPING_END}, ["P1"]),
        ({"kind": NotificationKind.REMINDER}, []),
        ({"kind": NotificationKind.RECOVERY}, []),
        ({"number": 1}, []),
    ],
    ids=["down", "degraded", "no longer flapping", "reminder", "recovery", "created"],
)
async def test_opsgenie_priority_follows_the_state_of_an_open_alert(
    tmp_path: Path, tools: NotifierTools, changes: dict[str, Any], priorities: list[str]
) -> None:
    _, requests = await shown(tmp_path, tools, "opsgenie", notification(**{**GOES_DOWN, **changes}))
    assert [json.loads(request.body)["priority"] for request in requests[:-1]] == priorities
    assert not requests[-1].target.endswith("/priority?identifierType=alias")
    keys = [request.headers["idempotency-key"] for request in requests]
    assert len(set(keys)) == len(requests)


async def test_opsgenie_note_is_sent_although_the_priority_is_rejected(
    tmp_path: Path, tools: NotifierTools
) -> None:
    """The integration API of Jira Service Management documents no request for the priority."""
    message = Message([notification(**GOES_DOWN)], "here", T0)
    statuses = iter(["404 Not Found", "202 Accepted", "202 Accepted", "202 Accepted"])

    async def script(peer: Peer) -> None:
        await respond(next(statuses), b"{}", {"Connection": "close"})(peer)

    async with serve(script) as server:
        opsgenie = notifier(tmp_path, tools, config_of("opsgenie", server))
        responses, warnings = [], []
        for _ in range(2):
            responses.append(await opsgenie.deliver(message, deadline=time.monotonic() + 60))
            warnings.append(opsgenie.warning)
    rejected = "the priority of an alert could not be updated: 404 Not Found: {}"
    assert warnings == [rejected, None]
    assert responses == [f"202 Accepted: {{}}; {rejected}", "202 Accepted: {}"]
    assert [request.target == NOTES for request in server.requests] == [False, True, False, True]


@pytest.mark.parametrize("status", ["429 Slow", "503 Busy"])
async def test_opsgenie_priority_is_retried_with_its_note(
    tmp_path: Path, tools: NotifierTools, status: str
) -> None:
    message = Message([notification(**GOES_DOWN)], "here", T0)
    async with running(tmp_path, tools, "opsgenie", status) as (opsgenie, server):
        with pytest.raises(DeliveryError, match=status):
            await opsgenie.deliver(message, deadline=time.monotonic() + 60)
    assert len(server.requests) == 1


async def test_mattermost_attachments_have_a_summary(tmp_path: Path, tools: NotifierTools) -> None:
    for count, expected in ((1, "DOWN: Web shop (web-1)"), (12, "DOWN: Web shop (web-1) and 11 more")):
        samples = [notification(number, monitor="web-1", context=CONTEXT) for number in range(count)]
        _, (request,) = await shown(tmp_path, tools, "mattermost", *samples)
        attachment = json.loads(request.body)["attachments"][0]
        assert attachment["fallback"] == expected


@pytest.mark.parametrize(
    ("sample", "ntfy", "gotify", "opsgenie"),
    [
        (notification(), 5, 8, "P1"),
        (notification(state=State.DEGRADED), 4, 5, "P3"),
        (notification(context=NotificationContext(MonitorContext(severity=Severity.INFO))), 3, 4, "P5"),
        (notification(kind=NotificationKind.TEST, monitor="", state=State.UP), 3, 4, "P5"),
    ],
    ids=["critical", "warning", "info", "test"],
)
async def test_priority_follows_from_the_severity(
    tmp_path: Path, tools: NotifierTools, sample: Notification, ntfy: int, gotify: int, opsgenie: str
) -> None:
    for name, priority in (("ntfy", ntfy), ("gotify", gotify), ("opsgenie", opsgenie)):
        _, (request,) = await shown(tmp_path, tools, name, sample)
        assert json.loads(request.body)["priority"] == priority


async def test_ntfy_topic_is_masked(tmp_path: Path, tools: NotifierTools) -> None:
    async with running(tmp_path, tools, "ntfy", "403 No", b"no access to monitord-alerts") as (chat, _):
        with pytest.raises(DeliveryError, match=r"no access to \*\*\*"):
            await chat.deliver(Message([notification()], "here", T0), deadline=time.monotonic() + 60)


async def test_link_without_a_domain_is_text(tmp_path: Path, tools: NotifierTools) -> None:
    context = replace(CONTEXT, url="http://monitor/m/web-1")
    for name in SERVICES:
        # The checks of the schemas reject such an address in a button.
        text, _ = await shown(tmp_path, tools, name, notification(context=context))
        assert "http://monitor/m/web-1" in text


@pytest.mark.parametrize(
    ("sample", "colour"),
    [
        (notification(), "#d1332a"),
        (notification(state=State.DEGRADED), "#a86a00"),
        (notification(kind=NotificationKind.RECOVERY), "#1f8a41"),
        (notification(kind=NotificationKind.ISOLATED, monitor="", state=State.UNKNOWN), "#d1332a"),
        (notification(kind=NotificationKind.RECONNECTED, monitor="", state=State.UNKNOWN), "#1f8a41"),
        (notification(kind=NotificationKind.CLOSED), "#737373"),
    ],
    ids=["down", "degraded", "up", "isolated", "reconnected", "removed monitor"],
)
async def test_colour_follows_from_the_state(
    tmp_path: Path, tools: NotifierTools, sample: Notification, colour: str
) -> None:
    for name, where in (("slack", "attachments"), ("mattermost", "attachments"), ("discord", "embeds")):
        _, (request,) = await shown(tmp_path, tools, name, sample)
        found = json.loads(request.body)[where][0]["color"]
        assert found == (int(colour[1:], 16) if name == "discord" else colour)
    _, (request,) = await shown(tmp_path, tools, "matrix", sample)
    assert f'<font color="{colour}"' in json.loads(request.body)["formatted_body"]


def test_every_type_of_a_chat_service_has_its_schema() -> None:
    from monitord.notifiers.chat import ChatNotifier  # noqa: PLC0415 - needed only here

    types = {name for name in NOTIFIER_TYPES if issubclass(NOTIFIER_TYPES[name], ChatNotifier)}
    assert types == SERVICES.keys()


def test_links_that_act_are_the_first_links_of_a_card() -> None:
    """Services limit the number of buttons."""
    context = replace(WITH_LINKS, settings=CONTEXT.settings, url=CONTEXT.url)
    (card,) = cards_of(Message([notification(context=context)], "here", T0))
    assert [label for label, _ in card.links] == ["Acknowledge", "Silence for 1 h", "Runbook", "Page"]
