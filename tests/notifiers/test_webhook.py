"""The type webhook, with a real server: requests, responses, templates."""

import asyncio
import base64
import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import pytest

from monitord.notifiers import (
    NOTIFIER_TYPES,
    DeliveryError,
    Message,
    NotificationKind,
    Notifier,
    NotifierTools,
)
from tests.alerts.fakes import CONTEXT, T0, notification
from tests.configurations import errors_of, settings_of
from tests.servers import Peer, Server, respond, serve

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nfine\n"
ENDLESS = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"
MESSAGE = Message(
    (notification(1, context=CONTEXT), notification(2, kind=NotificationKind.RECOVERY)), "here", T0
)


def notifier(tmp_path: Path, tools: NotifierTools, keys: str) -> Notifier[Any]:
    (settings,) = settings_of(tmp_path, f"[notifiers.chat]\n{keys}\n").alerts.notifiers
    return NOTIFIER_TYPES[settings.type_name](settings, tools)


async def sent(
    tmp_path: Path,
    tools: NotifierTools,
    keys: str = "",
    answer: bytes = OK,
    message: Message = MESSAGE,
    path: str = "/hook?a=1",
) -> tuple[str, Server]:
    """Deliver a message to a server with this answer. Returns the response, and the server with its requests."""

    async def play(peer: Peer) -> None:
        await peer.request()
        await peer.send(answer)

    async with serve(play) as server:
        chat = notifier(tmp_path, tools, f'url = "http://127.0.0.1:{server.port}{path}"\n{keys}')
        response = await chat.deliver(message, deadline=time.monotonic() + 60)
    return response, server


async def test_message_is_posted_as_json_with_its_key(tmp_path: Path, tools: NotifierTools) -> None:
    response, server = await sent(tmp_path, tools, 'headers = { X-Token = "s3cret-token" }')
    (request,) = server.requests
    assert (request.method, request.target) == ("POST", "/hook?a=1")
    assert request.headers["content-type"] == "application/json"
    assert request.headers["idempotency-key"] == MESSAGE.key
    assert request.headers["x-token"] == "s3cret-token"
    assert json.loads(request.body) == MESSAGE.as_json()
    assert response == "200 OK: fine"


async def body_of(tmp_path: Path, tools: NotifierTools, keys: str) -> Any:
    _, server = await sent(tmp_path, tools, keys)
    return server.requests[0].body.decode()


async def test_alertmanager_format_is_version_4(tmp_path: Path, tools: NotifierTools) -> None:
    body = json.loads(await body_of(tmp_path, tools, 'format = "alertmanager"'))
    assert (body["version"], body["status"], body["receiver"]) == ("4", "firing", "ops")
    firing, resolved = body["alerts"]
    assert (firing["status"], resolved["status"]) == ("firing", "resolved")
    assert firing["labels"]["alertname"] == "web-1"
    assert firing["labels"]["severity"] == "critical"
    assert firing["annotations"] == {
        "summary": "DOWN: Web shop (web-1)",
        "description": "connect: refused",
        "runbook_url": "https://wiki.example.org/shop",
        "contact": "ops@example.org",
        "monitor_title": "Web shop",
        "monitor_description": "Sells tea.\nRuns on db1.",
    }
    assert firing["generatorURL"] == "https://status.example.org/m/web-1"
    assert firing["startsAt"] == "2026-01-01T12:00:00+00:00"
    assert resolved["endsAt"] == "2026-01-01T12:00:00+00:00"
    assert firing["endsAt"] == "0001-01-01T00:00:00Z"


@pytest.mark.parametrize("keys", ["", 'format = "alertmanager"', 'body = "{{ text | tojson }}"'])
async def test_body_with_non_ascii_details_is_sent_in_parts(
    tmp_path: Path, tools: NotifierTools, keys: str
) -> None:
    chat = notifier(tmp_path, tools, f'url = "http://127.0.0.1:1/"\n{keys}')
    assert chat.fits(Message([notification(number) for number in range(200)], "here", T0))
    assert not chat.fits(
        Message([notification(number, detail="😀" * 1000) for number in range(200)], "here", T0)
    )


async def test_template_is_rendered_with_the_message(tmp_path: Path, tools: NotifierTools) -> None:
    keys = '''
method = "PUT"
content_type = "text/plain"
body = """{{ subject }}|{% for n in notifications %}{{ n.monitor }}={{ n.state }};{% endfor %}{{ text | tojson }}"""
'''
    _, server = await sent(tmp_path, tools, keys)
    (request,) = server.requests
    assert (request.method, request.headers["content-type"]) == ("PUT", "text/plain")
    subject, states, *_ = request.body.decode().split("|")
    assert subject == MESSAGE.subject
    assert states.startswith("web-1=down;web-2=up;")


def busy(retry_after: bytes) -> bytes:
    return b"HTTP/1.1 503 Busy\r\nRetry-After: " + retry_after + b"\r\nContent-Length: 0\r\n\r\n"


@pytest.mark.parametrize(
    ("answer", "why", "after_s"),
    [
        (b"HTTP/1.1 500 Oops\r\nContent-Length: 4\r\n\r\nboom", "500 Oops: boom", None),
        (b"HTTP/1.1 429 Slow\r\nRetry-After: 30\r\nContent-Length: 0\r\n\r\n", "429 Slow", 30.0),
        (busy(b"999999"), "503 Busy", 3600.0),
        (busy(b"Fri"), "503 Busy", None),
        (busy(b"Fri, 27 Nov 2020 10:00:00 GMT"), "503 Busy", 0.0),
        (busy(b"Fri, 27 Nov 2020 10:00:00 -0000"), "503 Busy", 0.0),
        (busy(b"Tue, 27 Nov 2420 10:00:00 GMT"), "503 Busy", 3600.0),
        (busy(b"Fri, 27 Nov 2026 10:00:00 +" + b"9" * 30), "503 Busy", None),
        (b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n", "413 Too Large", None),
        (
            b"HTTP/1.1 301 Moved\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n",
            "redirects are not followed",
            None,
        ),
    ],
)
async def test_failed_delivery_reports_the_response(
    tmp_path: Path, tools: NotifierTools, answer: bytes, why: str, after_s: float | None
) -> None:
    with pytest.raises(DeliveryError) as refused:
        await sent(tmp_path, tools, answer=answer)
    assert why in str(refused.value)
    assert refused.value.retry_after_s == after_s
    assert refused.value.is_rejected is (b" 413 " in answer)


async def test_refused_connection_is_a_failure(tmp_path: Path, tools: NotifierTools) -> None:
    chat = notifier(tmp_path, tools, 'url = "http://127.0.0.1:1/"')
    with pytest.raises(DeliveryError, match="refused"):
        await chat.deliver(MESSAGE, deadline=time.monotonic() + 10)


async def test_secret_is_masked(tmp_path: Path, tools: NotifierTools) -> None:
    (tmp_path / "token").write_text("v3ry-s3cret")
    keys = f'headers = {{ Authorization = {{ file = "{tmp_path}/token" }} }}'
    answer = b"HTTP/1.1 401 No\r\nContent-Length: 23\r\n\r\nnot v3ry-s3cret, friend"
    with pytest.raises(DeliveryError) as refused:
        await sent(tmp_path, tools, keys, answer)
    assert "v3ry" not in str(refused.value)
    assert "401 No: not ***" in str(refused.value)


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 Bearer v3ry-s3cret\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n" + b" " * 4080 + b"v3ry-s3cret",
        b'HTTP/1.1 200 OK\r\n\r\n{"a": "Bearer v3ry\\u002ds3cret"}',
        b"HTTP/1.1 200 OK\r\n\r\n" + base64.b64encode(b"kim v3ry-s3cret"),
    ],
)
async def test_token_in_the_response_is_masked(tmp_path: Path, tools: NotifierTools, answer: bytes) -> None:
    response, _ = await sent(tmp_path, tools, 'bearer_token = "v3ry-s3cret"', answer)
    assert "***" in response
    assert "v3ry" not in response
    assert "djNyeS" not in response


async def test_webhook_url_in_plain_text_is_masked_as_well(tmp_path: Path, tools: NotifierTools) -> None:
    path = "/services/T01ABCDEF/B02ABCDEF/aBcDeFgHiJkLmNoP"
    with pytest.raises(DeliveryError) as refused:
        await sent(
            tmp_path,
            tools,
            path=path,
            answer=f"HTTP/1.1 404 No\r\n\r\nno hook at {path}".encode(),
        )
    assert str(refused.value) == "404 No: no hook at /services/***/***/***"


@pytest.mark.parametrize(
    ("keys", "failure"),
    [
        ('url = "http://h/"\nbody = "{{ sbject }}"', "'sbject' is undefined"),
        ('url = "http://h/"\nbody = "{% for %}"', "cannot be rendered: line 1: Expected"),
        (
            """url = "http://h/"\nbody = "{{ {'down': 1, 'degraded': 2, 'up': 3}[notifications[0].state] }}\"""",
            "with one notification: line 1: 'dict object' has no attribute 'unknown'",
        ),
        (
            'url = "http://h/"\nbody = "\\n{{ notifications.append(1) }}"',
            "cannot be rendered with one notification: line 2: ",
        ),
        (
            'url = "http://h/"\nbody = "{{ 1 // (notifications|length - 3) }}"',
            "with 3 notifications: line 1: integer",
        ),
        (
            'url = "http://h/"\nbody = "{{ notifications[1].title }}"',
            "with one notification: line 1: list object has no",
        ),
        ('url = "http://h/"\nbody = "{{ \'x\' * 10**10 }}"', "rendering needs more than 256 MiB of memory"),
        (
            'url = "http://h/"\nbody = "{{ text | center(10**9) }}"',
            "rendering needs more than 256 MiB of memory",
        ),
        ('url = "http://h/"\nbody = "{{ text * 10**5 }}"', "longer than 1048576 characters"),
        ('url = "http://h/"\nbody = "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}"', "recursion"),
        (
            f'url = "http://h/"\nbody = "{ENDLESS}"',
            "rendering takes",
        ),
        (
            'url = "http://h/"\nbody = \'{"text": "{{ text }}"}\'',
            "renders invalid JSON with one notification: Invalid control",
        ),
        (
            'url = "http://h/"\nbody = \'{"text": "{{ text }}"}\'',
            "write each text as {{ text | tojson }}, without quotes",
        ),
        (
            'url = "http://h/"\nbody = \'{"a": "{{ notifications[0].detail }}"}\'',
            "renders invalid JSON with one notification",
        ),
        ('url = "http://h/"\nbody = "{{ text }}"', 'or add content_type = "text/plain"'),
        (
            'url = "http://h/"\nbody = "{{ subject }}"\ncontent_type = "application/vnd.x+json; charset=utf-8"',
            "invalid JSON",
        ),
        (
            'url = "http://h/"\ncontent_type = "text/plain"\nbody = \'{"a": "{{ text }}"}\'',
            "renders invalid JSON",
        ),
        (
            "url = \"http://h/\"\nbody = '[{% for notification in notifications %}1 {% endfor %}]'",
            "renders invalid JSON with 2 notifications",
        ),
        ('url = "http://h/"\nbody = "{{ sbject | tojson }}"', "line 1: 'sbject' is undefined"),
        ('url = "http://h/"\nbody = "[NaN]"', "NaN is not a JSON number"),
    ],
)
def test_template_errors_are_configuration_errors(tmp_path: Path, keys: str, failure: str) -> None:
    failures = errors_of(tmp_path, f"[notifiers.chat]\n{keys}\n")
    assert any(failure in error for error in failures), failures


async def test_message_is_sent_over_a_unix_socket_which_is_closed(
    tmp_path: Path, tools: NotifierTools
) -> None:
    heads: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(OK)
        await writer.drain()
        writer.close()

    server = await asyncio.start_unix_server(answer, tmp_path / "hook.sock")
    where = quote(str(tmp_path / "hook.sock"), safe="")
    async with server:
        chat = notifier(tmp_path, tools, f'url = "http+unix://{where}/hook"')
        for _ in range(2):
            assert await chat.deliver(MESSAGE, deadline=time.monotonic() + 10) == "200 OK: fine"
    assert len(heads) == 2
    assert not tools.http._own_sessions


HEAD = b"HTTP/1.1 200 OK\r\n"
TAKEN_ALL_THE_SAME = {
    "body after 204": [b"HTTP/1.1 204 No Content\r\n\r\nhello"],
    "length and body after 204": [b"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n", b"hello"],
    "bytes after the body": [HEAD + b"Content-Length: 2\r\n\r\nokmore\r\n"],
    "bytes after the body of a closed connection": [
        HEAD + b"Connection: close\r\nContent-Length: 2\r\n\r\nok",
        b"more",
    ],
    "false gzip": [HEAD + b"Content-Encoding: gzip\r\nContent-Length: 2\r\n\r\nok"],
    "too much": [HEAD + b"\r\n", b"x" * (3 << 20)],
    "early end": [HEAD + b"Content-Length: 9\r\n\r\nok"],
    "early end of chunks": [HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n"],
    "bad chunks": [HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\nok\r\n"],
    "bad chunks later": [HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n", b"zz\r\n"],
    "two lengths": [HEAD + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\nok"],
    "no length": [HEAD + b"Content-Length: x\r\n\r\nok"],
    "interim response before it": [b"HTTP/1.1 103 Hints\r\nA: b\r\n\r\n", HEAD + b"Content-Length: x\r\n\r\n"],
    "end within the head": [HEAD + b"Content-Le"],
}  # fmt: skip


@pytest.mark.parametrize("pieces", TAKEN_ALL_THE_SAME.values(), ids=TAKEN_ALL_THE_SAME)
@pytest.mark.parametrize("keys", ["", "pagerduty", "alertmanager"])
@pytest.mark.parametrize("is_reset", [False, True], ids=["closed", "reset"])
async def test_status_line_determines_the_outcome(
    tmp_path: Path, tools: NotifierTools, pieces: list[bytes], keys: str, is_reset: bool
) -> None:
    async def play(peer: Peer) -> None:
        await peer.request()
        await peer.send(*pieces)
        if is_reset:
            peer.reset()

    extra = {
        "pagerduty": 'type = "pagerduty"\nrouting_key = "0123456789"\n',
        "alertmanager": 'type = "alertmanager"\n',
    }
    async with serve(play) as server:
        where = f'url = "http://127.0.0.1:{server.port}/"\n'
        chat = notifier(tmp_path, tools, where + extra.get(keys, ""))
        response = await chat.deliver(
            Message(MESSAGE.notifications[:1], "here", T0), deadline=time.monotonic() + 10
        )
    assert response.startswith(("200 OK", "204 No Content"))


async def test_failure_keeps_its_status_if_the_response_body_fails(
    tmp_path: Path, tools: NotifierTools
) -> None:
    answer = b"HTTP/1.1 503 Busy\r\nRetry-After: 30\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"
    with pytest.raises(DeliveryError, match="503 Busy") as refused:
        await sent(tmp_path, tools, answer=answer)
    assert refused.value.retry_after_s == 30.0


@pytest.mark.parametrize(
    "answer",
    [b"", b"HTTP/1.1 20", b"HTTP/1.1 200 OK", b"hello\r\n", b"HTTP/1.1 100 Continue\r\n\r\n", b"\r\n\r\n"],
)
async def test_response_without_a_status_line_is_a_failure(
    tmp_path: Path, tools: NotifierTools, answer: bytes
) -> None:
    with pytest.raises(DeliveryError):
        await sent(tmp_path, tools, answer=answer)


async def test_endless_response_counts_as_delivered_and_the_connection_is_closed(
    tmp_path: Path, tools: NotifierTools
) -> None:
    is_closed = asyncio.Event()

    async def play(peer: Peer) -> None:
        await peer.request()
        await peer.send(HEAD + b"\r\nfine")
        await peer.reader.read()
        is_closed.set()

    async with serve(play) as server:
        chat = notifier(tmp_path, tools, f'url = "http://127.0.0.1:{server.port}/"')
        assert await chat.deliver(MESSAGE, deadline=time.monotonic() + 10) == "200 OK: fine"
        await is_closed.wait()


async def test_stop_of_the_daemon_does_not_fail_a_completed_request(
    tmp_path: Path, tools: NotifierTools
) -> None:
    has_sent = asyncio.Event()

    async def play(peer: Peer) -> None:
        await peer.request()
        await peer.send(HEAD + b"Content-Length: 9\r\n\r\nfine")
        has_sent.set()
        await peer.hang()

    async with serve(play) as server:
        chat = notifier(tmp_path, tools, f'url = "http://127.0.0.1:{server.port}/"')
        delivery = asyncio.ensure_future(chat.deliver(MESSAGE, deadline=time.monotonic() + 10))
        await has_sent.wait()
        for _ in range(20):  # until the notifier has read it
            await asyncio.sleep(0)
        delivery.cancel()
        assert await delivery == "200 OK: fine"


async def test_response_of_a_proxy_to_connect_is_not_a_delivery(tmp_path: Path, tools: NotifierTools) -> None:
    async def play(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 200 Connection established\r\n\r\n")

    async with serve(play) as server:
        chat = notifier(
            tmp_path, tools, f'url = "https://chat.example.org/"\nproxy = "http://127.0.0.1:{server.port}"'
        )
        with pytest.raises(DeliveryError):
            await chat.deliver(MESSAGE, deadline=time.monotonic() + 10)


@pytest.mark.parametrize(
    "keys",
    [
        'body = \'{"text": {{ text | tojson }}, "n": {{ notifications | length }}}\'',
        "body = '[{% for each in notifications %}{{ \",\" if not loop.first }}{{ each | tojson }}{% endfor %}]'",
        'content_type = "text/plain"\nbody = "[{{ instance }}] {{ subject }}"',
        'content_type = "text/plain"\nbody = "{{ text }}"',
        'headers = { Content-Type = "text/plain" }\nbody = "{{ text }}"',
        "body = '{{ notifications | map(attribute=\"monitor\") | tojson }}'",
        'content_type = "application/x-www-form-urlencoded"\nbody = "text={{ text | urlencode }}"',
        "max_notifications_per_message = 1\n"
        'content_type = "text/plain"\nbody = "{{ 1 // (2 - notifications | length) }}"',
        'body = "{{ notifications[0].kind | tojson }}"',
    ],
)
def test_template_that_renders_every_sample_is_accepted(tmp_path: Path, keys: str) -> None:
    settings_of(tmp_path, f'[notifiers.chat]\nurl = "http://h/"\n{keys}\n')


def test_error_in_a_secret_template_does_not_quote_it(tmp_path: Path) -> None:
    (tmp_path / "body").write_text("{{ s3cret_word }}")
    (failure,) = errors_of(
        tmp_path, f'[notifiers.chat]\nurl = "http://h/"\nbody = {{ file = "{tmp_path}/body" }}\n'
    )
    assert "cannot be rendered with one notification in line 1" in failure
    assert "s3cret" not in failure


async def test_tojson_renders_any_value_as_json(tmp_path: Path, tools: NotifierTools) -> None:
    hard = replace(MESSAGE.notifications[0], detail="a & <b> 'c' \"d\" \\ \n\t Größe ☃")
    _, server = await sent(
        tmp_path,
        tools,
        "body = '{{ [notifications[0].detail, {\"n\": none}] | tojson }}'",
        message=Message([hard], "here", T0),
    )
    body = server.requests[0].body.decode()
    assert json.loads(body) == [hard.detail, {"n": None}]
    assert "a & <b> 'c'" in body


NOT_HERE = "{% if instance == 'here' %}BROKEN{% endif %}"


@pytest.mark.parametrize(
    ("keys", "broken", "why"),
    [
        (
            "body = '{{ subject | tojson }}BROKEN'",
            "{{ 1 // 0 }}",
            "line 1: integer division or modulo by zero",
        ),
        ("body = '{{ subject | tojson }}BROKEN'", "{{ nothing }}", "line 1: 'nothing' is undefined"),
        ("body = '{{ subject | tojson }}BROKEN'", ",", "its text is not JSON: Extra data"),
        ("body = '{{ subject | tojson }}BROKEN'", ENDLESS, "rendering takes"),
        (
            "body = '{{ subject | tojson }}BROKEN'",
            "{{ 'x' * 10**10 }}",
            "rendering needs more than 256 MiB of memory",
        ),
    ],
)
async def test_default_text_is_sent_if_the_template_fails(
    tmp_path: Path, tools: NotifierTools, keys: str, broken: str, why: str
) -> None:
    keys = keys.replace("BROKEN", NOT_HERE.replace("'", '"').replace("BROKEN", broken.replace("'", '"')))
    response, server = await sent(tmp_path, tools, keys)
    assert json.loads(server.requests[0].body) == MESSAGE.as_json()
    assert response.startswith("200 OK: fine; the template failed, so the default text was sent: ")
    assert why in response


async def test_default_text_of_a_plain_text_template_is_plain(tmp_path: Path, tools: NotifierTools) -> None:
    body = NOT_HERE.replace("BROKEN", "{{ 1 // 0 }}")
    for kind, text in (
        ("text/plain", f"{MESSAGE.subject}\n\n{MESSAGE.text}"),
        ("application/x-www-form-urlencoded", urlencode({"text": f"{MESSAGE.subject}\n\n{MESSAGE.text}"})),
    ):
        _, server = await sent(tmp_path, tools, f'content_type = "{kind}"\nbody = "{body}"')
        assert server.requests[0].body.decode() == text
        assert server.requests[0].headers["content-type"] == kind


async def test_rejected_default_text_reports_both_errors(tmp_path: Path, tools: NotifierTools) -> None:
    body = NOT_HERE.replace("BROKEN", "{{ 1 // 0 }}")
    with pytest.raises(DeliveryError, match=r"400 Bad.*; the template failed.*division") as refused:
        await sent(
            tmp_path,
            tools,
            f'content_type = "text/plain"\nbody = "{body}"',
            b"HTTP/1.1 400 Bad\r\nContent-Length: 0\r\n\r\n",
        )
    assert refused.value.is_rejected


async def test_warning_of_a_template_ends_when_it_works(tmp_path: Path, tools: NotifierTools) -> None:
    async with serve(respond()) as server:
        body = "{{ subject }}" + NOT_HERE.replace("BROKEN", "{{ 1 // 0 }}")
        where = f'url = "http://127.0.0.1:{server.port}/"\n'
        chat = notifier(tmp_path, tools, f'{where}content_type = "text/plain"\nbody = "{body}"')
        await chat.deliver(MESSAGE, deadline=time.monotonic() + 10)
        warnings = [chat.warning]
        await chat.deliver(replace(MESSAGE, instance="there"), deadline=time.monotonic() + 60)
        warnings.append(chat.warning)
    assert warnings[0] is not None
    assert warnings[1] is None


async def test_cancelled_delivery_ends_the_template_process(tmp_path: Path, tools: NotifierTools) -> None:
    body = NOT_HERE.replace("BROKEN", ENDLESS)
    chat = notifier(tmp_path, tools, f'url = "http://h/"\ncontent_type = "text/plain"\nbody = "{body}"')
    delivery = asyncio.ensure_future(chat.deliver(MESSAGE, deadline=time.monotonic() + 30))
    await asyncio.sleep(0)
    delivery.cancel()
    await asyncio.wait([delivery])
    await tools.processes.close()
    assert tools.processes.lingering == 0


def test_no_template_is_tested_after_one_has_timed_out(tmp_path: Path) -> None:
    # A stop of the daemon waits for the reload that tries them.
    hook = '[notifiers.{name}]\nurl = "http://h/"\ncontent_type = "text/plain"\nbody = "{body}"\n'
    text = "".join(hook.format(name=name, body=ENDLESS) for name in ("first", "second", "third"))
    (failure,) = errors_of(tmp_path, text)
    assert "notifiers.first.body: cannot be rendered" in failure
    assert "rendering takes" in failure
    # The next configuration is tried again.
    (failure,) = errors_of(tmp_path, hook.format(name="fourth", body="{{ 1 // 0 }}"))
    assert "notifiers.fourth.body" in failure
