"""The type apprise, with the real library, whose plug-ins send to servers on the loopback."""

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from importlib.util import find_spec
from pathlib import Path
from typing import cast
from urllib.parse import parse_qs, urlsplit

import pytest

from monitord.config import Secret
from monitord.model import MonitorContext, Severity, State
from monitord.notifiers import (
    DeliveryError,
    Message,
    Notification,
    NotificationContext,
    NotificationKind,
    NotifierTools,
)
from monitord.notifiers.apprise import COMMAND, AppriseNotifier, notify_type, secrets_of
from monitord.options.masking import Masking
from tests.alerts.fakes import T0, notification
from tests.configurations import errors_of, settings_of
from tests.servers import Peer, serve

needs_library = pytest.mark.skipif(find_spec("apprise") is None, reason="apprise is not installed")

MESSAGE = Message((notification(),), "here", T0)
PATIENT = "rto=60&cto=60"
"""Longer time limits than those of Apprise (4s), so that a busy machine does not matter."""
KEY = "Cs3cretToken9"


def notifier(tmp_path: Path, tools: NotifierTools, *urls: str) -> AppriseNotifier:
    text = f'[notifiers.phone]\ntype = "apprise"\nurls = {json.dumps(urls)}\n'
    (settings,) = settings_of(tmp_path, text).alerts.notifiers
    return AppriseNotifier(settings, tools)


async def deliver(phone: AppriseNotifier, message: Message = MESSAGE, timeout_s: float = 60.0) -> str:
    return await phone.deliver(message, deadline=time.monotonic() + timeout_s)


def answer(status: str, body: bytes = b"{}") -> Callable[[Peer], Awaitable[None]]:
    async def play(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 %s\r\nContent-Length: %d\r\n\r\n%s" % (status.encode(), len(body), body))

    return play


@needs_library
async def test_message_is_sent_by_several_plug_ins(tmp_path: Path, tools: NotifierTools) -> None:
    async with serve(answer("200 OK")) as server:
        host = f"127.0.0.1:{server.port}"
        phone = notifier(tmp_path, tools, f"json://{host}/hook?{PATIENT}", f"ntfy://{host}/alarms?{PATIENT}")
        assert await deliver(phone) == "sent to json://***, ntfy://***"
    bodies = {request.target: json.loads(request.body) for request in server.requests}
    (hook,) = (body for target, body in bodies.items() if target.startswith("/hook"))
    assert (hook["title"], hook["message"], hook["type"]) == (
        MESSAGE.subject,
        MESSAGE.text.rstrip(),
        "failure",
    )
    (ntfy,) = (body for target, body in bodies.items() if not target.startswith("/hook"))
    assert (ntfy["topic"], ntfy["title"], ntfy["message"]) == (
        "alarms",
        MESSAGE.subject,
        MESSAGE.text.rstrip(),
    )


@needs_library
async def test_failure_names_the_url_and_only_this_url_is_retried(
    tmp_path: Path, tools: NotifierTools
) -> None:
    async with serve(answer("200 OK")) as good, serve(answer("401 Unauthorized")) as bad:
        phone = notifier(
            tmp_path,
            tools,
            f"json://127.0.0.1:{good.port}/?{PATIENT}",
            f"gotify://127.0.0.1:{bad.port}/{KEY}?{PATIENT}",
        )
        for attempt in (1, 2):
            with pytest.raises(DeliveryError) as failed:
                await deliver(phone)
            text = str(failed.value)
            assert text.startswith("urls[1] (gotify://***): ")
            assert "401" in text
            assert text.endswith("; sent to 1 of 2 URLs, which are not retried")
            assert KEY not in text
            assert (len(good.requests), len(bad.requests)) == (1, attempt)
        with pytest.raises(DeliveryError):
            await deliver(phone, Message((notification(2),), "here", T0))
        assert len(good.requests) == 2, "another message is sent to all"


@needs_library
async def test_service_that_does_not_respond_delays_no_other(tmp_path: Path, tools: NotifierTools) -> None:
    is_sent = False

    async def wait_for_other(peer: Peer) -> None:
        nonlocal is_sent
        await peer.request()
        while not good.requests:
            await other_arrived.wait()
        is_sent = True
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")

    async def arrive(peer: Peer) -> None:
        await answer("200 OK")(peer)
        other_arrived.set()

    other_arrived = asyncio.Event()
    async with serve(arrive) as good, serve(wait_for_other) as slow:
        urls = (f"json://127.0.0.1:{server.port}/?{PATIENT}" for server in (slow, good))
        await deliver(notifier(tmp_path, tools, *urls))
    assert is_sent


@needs_library
async def test_process_is_killed_at_the_deadline(tmp_path: Path, tools: NotifierTools) -> None:
    """The fixtures fail the test if a process is left."""
    async with serve(Peer.hang) as server:
        phone = notifier(tmp_path, tools, f"json://127.0.0.1:{server.port}/?rto=900&cto=900")
        with pytest.raises(DeliveryError, match=r"^urls \(json://\*\*\*\): no response within the timeout$"):
            await deliver(phone, timeout_s=3.0)
    assert tools.processes.lingering == 0


@needs_library
async def test_long_message_is_split_at_the_limit_of_the_service(
    tmp_path: Path, tools: NotifierTools
) -> None:
    done = b'{"result": true}'
    long = Message((notification(detail="no answer; " * 200 + "end"),), "here", T0)
    async with serve(answer("200 OK", done)) as server:
        await deliver(notifier(tmp_path, tools, f"enigma2://127.0.0.1:{server.port}/?{PATIENT}"), long)
    texts = [parse_qs(urlsplit(request.target).query)["text"][0] for request in server.requests]
    assert all(len(text) <= 1000 for text in texts)
    assert len(texts) >= 3
    joined = "".join("".join(texts).split())
    assert "".join(long.text.split()) in joined


@needs_library
async def test_message_that_needs_many_parts_does_not_fit(tmp_path: Path, tools: NotifierTools) -> None:
    phone = notifier(tmp_path, tools, "json://127.0.0.1/")
    assert phone.fits(Message([notification(number) for number in range(10)], "here", T0))
    assert not phone.fits(Message([notification(number) for number in range(60)], "here", T0))


@needs_library
async def test_netrc_is_not_read(
    tmp_path: Path, tools: NotifierTools, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login kim password s3cret-password\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    async with serve(answer("200 OK")) as server:
        await deliver(notifier(tmp_path, tools, f"json://127.0.0.1:{server.port}/?{PATIENT}"))
    assert "authorization" not in server.requests[0].headers


@needs_library
def test_plug_ins_read_no_files(tmp_path: Path) -> None:
    """Templates and attachments that a URL names: all plug-ins read them by this class of Apprise."""
    file = tmp_path / "template.json"
    file.write_text("{}")
    script = (
        "import runpy, sys\n"
        "names = runpy.run_path(sys.argv[1])\n"
        "read = names['apprise'].AppriseAttachment.instantiate\n"
        "before = bool(read(sys.argv[2]))\n"
        "names['_forbid_files']()\n"
        "print(before, bool(read(sys.argv[2])), bool(read('file://' + sys.argv[2])))\n"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-c", script, COMMAND[-1], str(file)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "True False False\n"


@needs_library
@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("gotifyy://host.example/Cs3cretToken9", "gotifyy://***"),
        ("file:///etc/monitord/monitord.toml", "file://***"),
        ("http://config.example.org/apprise.yml", "http://***"),
        ("Cs3cretToken9", "***"),
        ("gotify://host.example/", "gotify://***"),
    ],
)
def test_url_that_apprise_rejects_is_an_error_of_the_configuration(
    tmp_path: Path, url: str, shown: str
) -> None:
    text = f'[notifiers.phone]\ntype = "apprise"\nurls = ["json://127.0.0.1/", "{url}"]\n'
    (error,) = errors_of(tmp_path, text)
    assert error.startswith(
        f"monitord.toml:3: notifiers.phone.urls: urls[1] ({shown}) is not a URL that Apprise accepts: "
    )
    assert "; write it as described for the service at https://" in error
    assert KEY not in error


def test_missing_library_is_an_error_that_names_the_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As the import system marks a module that cannot be found.
    monkeypatch.setitem(cast("dict[str, object]", sys.modules), "apprise", None)
    (error,) = errors_of(tmp_path, '[notifiers.phone]\ntype = "apprise"\nurls = "json://h/"\n')
    assert error == (
        "monitord.toml:1: notifiers.phone: apprise needs the library Apprise; install the package apprise"
    )


@needs_library
def test_urls_are_one_secret_or_a_list(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PHONE_URL", "json://a.example.org/")
    file = tmp_path / "url"
    file.write_text("json://b.example.org/\n")

    def urls(written: str) -> list[str]:
        (settings,) = settings_of(
            tmp_path, f'[notifiers.a]\ntype = "apprise"\nurls = {written}\n'
        ).alerts.notifiers
        assert "example.org" not in repr(settings)
        return [url.reveal() for url in settings.options.urls]

    assert urls('{ env = "PHONE_URL" }') == ["json://a.example.org/"]
    assert urls(f'[{{ env = "PHONE_URL" }}, {{ file = "{file}" }}, "json://c.example.org/"]') == [
        "json://a.example.org/",
        "json://b.example.org/",
        "json://c.example.org/",
    ]


@pytest.mark.parametrize(
    ("url", "secret"),
    [
        ("gotify://push.example.org/Cs3cretToken9", "Cs3cretToken9"),
        ("json://kim:p%40ssword9@push.example.org/", "p@ssword9"),
        ("json://kim:p%40ssword9@push.example.org/", "p%40ssword9"),
        ("tgram://123456789:AAbbCC-ddEE/98765432", "123456789:AAbbCC-ddEE"),
        ("tgram://123456789:AAbbCC-ddEE/98765432", "98765432"),
        ("discord://4174216298/JHMHI8qBe7bk2ZwO5U711o3dV_js", "4174216298"),
        ("discord://4174216298/JHMHI8qBe7bk2ZwO5U711o3dV_js", "JHMHI8qBe7bk2ZwO5U711o3dV_js"),
        ("slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ/#general", "A1BRTD4JD"),
        ("json://push.example.org/?+X-Token=Cs3cretToken9", "Cs3cretToken9"),
        ("ntfy://push.example.org/topic-of-ours?auth=tk_Abc123", "tk_Abc123"),
        ("ntfy://push.example.org/topic-of-ours", "topic-of-ours"),
        ("pover://user-key-1@token-of-ours", "token-of-ours"),
        ("pover://user-key-1@token-of-ours", "user-key-1"),
        ("not a url", "not a url"),
    ],
)
def test_parts_of_urls_are_masked(url: str, secret: str) -> None:
    masked = Masking(secrets_of([Secret(url)])).mask(f"error=401 of {secret} at push.example.org:8443")
    assert masked == "error=401 of *** at push.example.org:8443"


SEVERE = {
    severity: NotificationContext(MonitorContext(severity=severity))
    for severity in (Severity.WARNING, Severity.INFO)
}


@pytest.mark.parametrize(
    ("samples", "expected"),
    [
        ([notification()], "failure"),
        ([notification(kind=NotificationKind.UPDATE, state=State.DEGRADED)], "warning"),
        ([notification(context=SEVERE[Severity.WARNING])], "warning"),
        ([notification(context=SEVERE[Severity.INFO])], "info"),
        ([notification(kind=NotificationKind.RECOVERY)], "success"),
        ([notification(kind=NotificationKind.TEST, monitor="", state=State.UP)], "info"),
        ([notification(kind=NotificationKind.ISOLATED, monitor="", state=State.UNKNOWN)], "failure"),
        ([notification(kind=NotificationKind.RECOVERY), notification(2)], "failure"),
        ([notification(state=State.DEGRADED), notification(2, kind=NotificationKind.RECOVERY)], "warning"),
    ],
    ids=range(9),
)
def test_type_is_that_of_the_most_serious_notification(samples: list[Notification], expected: str) -> None:
    assert notify_type(Message(samples, "here", T0)) == expected
