"""The type mail, with a real server: emails, security, delivery errors."""

import asyncio
import html
import re
import socket
import ssl
import threading
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from email.utils import parsedate_to_datetime
from pathlib import Path

import pytest

from monitord.clock import SystemClock
from monitord.model import State
from monitord.net import HttpClient, Processes, Resolver, TlsContexts
from monitord.net.stream import smtp
from monitord.net.stream.smtp_bounds import MAX_RESPONSE_BYTES
from monitord.notifiers import DeliveryError, Message, NotificationKind, NotifierTools, mail_html
from monitord.notifiers.mail import MailNotifier
from tests.alerts.fakes import ACKNOWLEDGE_URL, CONTEXT, SILENCE_URL, T0, WITH_LINKS, notification
from tests.certificates import Authority
from tests.configurations import errors_of, settings_of
from tests.mail_servers import MailServer, html_of, mail_server, text_of
from tests.servers import Peer, serve

pytestmark = pytest.mark.skipif(smtp.library_problem() is not None, reason="aiosmtplib is not there")

MESSAGE = Message(
    (notification(1, detail="Größe: 3 KiB"), notification(2, kind=NotificationKind.RECOVERY)),
    "here.example.org",
    T0,
)


def notifier(tmp_path: Path, tools: NotifierTools, server: MailServer, keys: str = "") -> MailNotifier:
    where = "" if "server =" in keys else f'server = "127.0.0.1:{server.port}"\n'
    text = f'[notifiers.ops]\nto = ["ops@example.org", "kim@example.org"]\n{where}{keys}\n'
    (settings,) = settings_of(tmp_path, text).alerts.notifiers
    return MailNotifier(settings, tools)


async def deliver(mail: MailNotifier, message: Message = MESSAGE, within_s: float = 10.0) -> str:
    return await mail.deliver(message, deadline=time.monotonic() + within_s)


async def test_message_is_one_mail_to_all_recipients(tmp_path: Path, tools: NotifierTools) -> None:
    async with mail_server() as server:
        response = await deliver(notifier(tmp_path, tools, server))
    (mail,) = server.mails
    assert response == "queued as 4711"
    assert mail["Subject"] == MESSAGE.subject
    assert (mail["From"], mail["To"]) == ("monitord@here.example.org", "ops@example.org, kim@example.org")
    assert parsedate_to_datetime(mail["Date"]) == T0
    assert mail["Auto-Submitted"] == "auto-generated"
    assert text_of(mail).replace("\r\n", "\n") == MESSAGE.text
    assert "EHLO here.example.org" in server.commands
    assert [line for line in server.commands if line.startswith("RCPT")] == [
        "RCPT TO:<ops@example.org>", "RCPT TO:<kim@example.org>",
    ]  # fmt: skip


async def test_mails_about_one_alert_are_one_thread_with_different_ids(
    tmp_path: Path, tools: NotifierTools
) -> None:
    opening, closing = (
        Message((notification(number, kind=kind),), "here.example.org", T0)
        for number, kind in ((1, NotificationKind.PROBLEM), (2, NotificationKind.RECOVERY))
    )
    async with mail_server() as server:
        ops = notifier(tmp_path, tools, server, 'from = "monitor@example.org"')
        for message in (opening, closing, closing):
            await deliver(ops, message)
    first, second, again = server.mails
    assert first["References"] == second["References"]
    assert first["Message-ID"] != second["Message-ID"] == again["Message-ID"]
    assert first["Message-ID"] == f"<{opening.key}.ops@example.org>"
    assert first["From"] == "monitor@example.org"


async def test_html_part_has_the_content_of_the_text_and_links(tmp_path: Path, tools: NotifierTools) -> None:
    sample = notification(detail="<b>5 < 6</b> & more", context=CONTEXT)
    message = Message([sample, notification(2, kind=NotificationKind.RECOVERY)], "here", T0)
    async with mail_server() as server:
        await deliver(notifier(tmp_path, tools, server), message)
    (mail,) = server.mails
    assert mail.get_content_type() == "multipart/alternative"
    assert [part.get_content_type() for part in mail.iter_parts()] == ["text/plain", "text/html"]
    page = html_of(mail)
    assert "&lt;b&gt;5 &lt; 6&lt;/b&gt; &amp; more" in page
    assert '<a href="https://wiki.example.org/shop">' in page
    assert '<a href="https://status.example.org/m/web-1">' in page
    assert "Sells tea.<br>Runs on db1." in page
    assert re.search(r"<pre [^>]*>Service\s+unavailable</pre>", page)
    assert not re.search(r"<(?:script|img|link|style|iframe)\b", page)
    shown = html.unescape(re.sub(r"<[^>]*>", " ", page.partition("<body")[2]))
    words = set(shown.replace(":", "").split())
    assert {word for word in text_of(mail).replace(":", "").split() if word not in words} <= {
        "Response",
        "Last",
    }


async def test_html_part_has_buttons_for_the_links_that_act(tmp_path: Path, tools: NotifierTools) -> None:
    sample = notification(context=WITH_LINKS)
    async with mail_server() as server:
        await deliver(notifier(tmp_path, tools, server), Message([sample], "here", T0))
    (mail,) = server.mails
    buttons = re.findall(r'<a href="([^"]*)" style="display:inline-block[^"]*">([^<]*)</a>', html_of(mail))
    assert buttons == [(ACKNOWLEDGE_URL, "Acknowledge"), (SILENCE_URL, "Silence for 1 h")]
    assert f"Acknowledge: {ACKNOWLEDGE_URL}" in text_of(mail).splitlines()


@pytest.mark.parametrize(
    ("kind", "state", "colour"),
    [
        (NotificationKind.PROBLEM, State.DOWN, "#d1332a"),
        (NotificationKind.UPDATE, State.DEGRADED, "#a86a00"),
        (NotificationKind.RECOVERY, State.UP, "#1f8a41"),
        (NotificationKind.CLOSED, State.DOWN, "#737373"),
        (NotificationKind.PROBLEM, State.UNKNOWN, "#737373"),
    ],
)
def test_title_in_the_html_part_has_the_colour_of_the_state(
    kind: NotificationKind, state: State, colour: str
) -> None:
    page = mail_html.html_of(Message([notification(kind=kind, state=state)], "here", T0))
    assert re.search(rf"<h2 [^>]*color:{colour}", page)


async def test_mail_is_the_same_at_every_attempt(tmp_path: Path, tools: NotifierTools) -> None:
    message = Message([notification(context=CONTEXT)], "here", T0)
    async with mail_server() as server:
        ops = notifier(tmp_path, tools, server)
        assert ops.mail(message).as_bytes() == ops.mail(message).as_bytes()


async def test_fallback_sends_the_same_mail(tmp_path: Path, tools: NotifierTools) -> None:
    async with mail_server() as server:
        await deliver(
            notifier(tmp_path, tools, server), Message((notification(1, notifier="chat"),), "here", T0)
        )
    (mail,) = server.mails
    assert mail["Message-ID"] == f"<{notification(1, notifier='chat').id}.chat@here>"
    assert mail["References"] == "<alert.chat@here>"


async def test_lines_of_a_mail_are_limited(tmp_path: Path, tools: NotifierTools) -> None:
    long = Message([notification(n, monitor=f"{n}" * 3000, detail="ü" * 1000) for n in (1, 2)], "here", T0)
    async with mail_server() as server:
        ops = notifier(tmp_path, tools, server)
        ops.settings = replace(ops.settings, name="n" * 3000)
        mail = ops.mail(
            Message(
                [replace(notification, notifier="n" * 3000) for notification in long.notifications],
                "here",
                T0,
            )
        )
    assert max(map(len, mail.as_bytes().splitlines())) <= 998
    assert all(f"DOWN: {n}{n}" in text_of(mail) for n in (1, 2))


async def test_header_of_a_mail_about_many_alerts_is_limited(tmp_path: Path, tools: NotifierTools) -> None:
    many = Message(
        [notification(number, alert=f"{number:016}") for number in range(200)], "here.example.org", T0
    )
    async with mail_server() as server:
        mail = notifier(tmp_path, tools, server).mail(many)
        await deliver(notifier(tmp_path, tools, server), many)
    assert len(mail["References"].split()) == 10
    assert text_of(server.mails[0]).count("DOWN: web-") == 200


@pytest.mark.parametrize(
    ("answers", "why"),
    [
        ({"MAIL": "451 greylisted,  try later"}, "127.0.0.1 responded 451 greylisted, try later"),
        (
            {"RCPT": "550 no such user"},
            "ops@example.org: 550 no such user; kim@example.org: 550 no such user",
        ),
        ({"EHLO": "421 too busy", "HELO": "421 too busy"}, "too busy"),
    ],
    ids=str,
)
async def test_failed_delivery_reports_the_response(
    tmp_path: Path, tools: NotifierTools, answers: dict[str, str], why: str
) -> None:
    async with mail_server(answers) as server:
        with pytest.raises(DeliveryError) as refused:
            await deliver(notifier(tmp_path, tools, server))
    assert why in str(refused.value)
    assert server.mails == []


async def test_rejected_recipient_is_named_and_the_others_receive_one_mail(
    tmp_path: Path, tools: NotifierTools
) -> None:
    async with mail_server({"RCPT TO:<kim@example.org>": "550 no such user"}) as server:
        response = await deliver(notifier(tmp_path, tools, server))
    assert response == "queued as 4711; rejected for kim@example.org: 550 no such user"
    assert len(server.mails) == 1


async def test_silent_or_absent_server_is_a_failure(tmp_path: Path, tools: NotifierTools) -> None:
    async with mail_server({"EHLO": "", "HELO": ""}) as server:
        ops = notifier(tmp_path, tools, server)
    with pytest.raises(
        DeliveryError,
        match=f"^connection to 127.0.0.1:{server.port} refused; install a mail server on this host, "
        "or write another server in server$",
    ):
        await deliver(ops)

    async with serve(Peer.hang) as silent:
        server.port = silent.port
        with pytest.raises(DeliveryError):
            await deliver(notifier(tmp_path, tools, server), within_s=0.3)


async def test_tls_is_used_if_offered(tmp_path: Path, tools: NotifierTools, authority: Authority) -> None:
    context = authority.issue("elsewhere.example.org", directory=tmp_path).server_context()
    async with mail_server(tls=context) as server:
        await deliver(notifier(tmp_path, tools, server))
    assert server.was_encrypted
    assert len(server.mails) == 1


@pytest.mark.parametrize("after", ["hang", "close", "reset"])
async def test_accepted_mail_is_delivered_whatever_follows(
    tmp_path: Path, tools: NotifierTools, after: str
) -> None:
    async with mail_server() as server:
        server.after = after
        assert await deliver(notifier(tmp_path, tools, server)) == "queued as 4711"
    assert len(server.mails) == 1


async def test_stop_of_the_daemon_does_not_fail_an_accepted_mail(
    tmp_path: Path, tools: NotifierTools
) -> None:
    async with mail_server() as server:
        server.hangs_at_quit = True
        delivery = asyncio.ensure_future(deliver(notifier(tmp_path, tools, server)))
        await server.has_got_quit.wait()
        delivery.cancel()
        assert await delivery == "queued as 4711"


@pytest.mark.parametrize("quit_answer", ["421 timeout", "500 what", "", "garbage"])
async def test_response_to_quit_is_ignored(tmp_path: Path, tools: NotifierTools, quit_answer: str) -> None:
    async with mail_server({"QUIT": quit_answer}) as server:
        assert await deliver(notifier(tmp_path, tools, server)) == "queued as 4711"


@pytest.mark.parametrize(
    ("answers", "handshake", "why"),
    [
        ({"STARTTLS": "454 TLS not available"}, b"", "454 TLS not available"),
        ({"STARTTLS": "501 no parameters"}, b"", "501 no parameters"),
        ({"STARTTLS": "what?"}, b"", "Malformed"),
        ({}, b"this is no TLS\r\n", ""),
        ({}, b"\x15\x03\x01\x00\x02\x02\x28", ""),
    ],
    ids=str,
)
async def test_failed_opportunistic_tls_sends_unencrypted_with_a_warning(
    tmp_path: Path,
    tools: NotifierTools,
    authority: Authority,
    answers: dict[str, str],
    handshake: bytes,
    why: str,
) -> None:
    context = authority.issue("localhost", directory=tmp_path).server_context()
    async with mail_server(answers, tls=context) as server:
        server.handshake = handshake
        ops = notifier(tmp_path, tools, server)
        response = await deliver(ops)
    assert len(server.mails) == 1
    assert not server.was_encrypted
    assert server.commands.count("STARTTLS") == 1
    assert re.search(f"^queued as 4711; sent unencrypted: STARTTLS failed: .*{why}", response)
    assert ops.warning is not None
    assert response.endswith(ops.warning)


async def test_server_that_requires_a_client_certificate_receives_the_mail_unencrypted(
    tmp_path: Path, tools: NotifierTools, authority: Authority
) -> None:
    # In TLS 1.3 the rejection comes after the handshake has ended for the client.
    context = authority.issue("localhost", directory=tmp_path).server_context()
    context.verify_mode = ssl.CERT_REQUIRED
    async with mail_server(tls=context) as server:
        response = await deliver(notifier(tmp_path, tools, server))
    assert "sent unencrypted: STARTTLS failed" in response
    assert len(server.mails) == 1


async def test_warning_ends_with_the_next_encrypted_mail(
    tmp_path: Path, tools: NotifierTools, authority: Authority
) -> None:
    context = authority.issue("localhost", directory=tmp_path).server_context()
    async with mail_server({"STARTTLS": "454 later"}, tls=context) as server:
        ops = notifier(tmp_path, tools, server)
        await deliver(ops)
        warnings = [ops.warning]
        server.answers = {}
        assert await deliver(ops) == "queued as 4711"
        warnings.append(ops.warning)
    assert warnings == ["sent unencrypted: STARTTLS failed: 454 later", None]
    assert server.was_encrypted


@pytest.mark.parametrize("security", ["starttls", "tls"])
async def test_required_tls_that_fails_sends_nothing(
    tmp_path: Path, tools: NotifierTools, authority: Authority, security: str
) -> None:
    context = authority.issue("localhost", directory=tmp_path).server_context()
    async with mail_server({"STARTTLS": "454 later"}, tls=context) as server:
        with pytest.raises(DeliveryError):
            await deliver(notifier(tmp_path, tools, server, f'security = "{security}"'), within_s=2.0)
    assert server.mails == []


@pytest.mark.parametrize(
    ("hosts", "resolv_conf", "name"),
    [
        ("127.0.1.1 web1.example.org web1\n", "search other.example\n", "web1.example.org"),
        ("127.0.0.1 localhost web1\n::1 web1 web1.example.net # own\n", "", "web1.example.net"),
        ("127.0.0.1 localhost\n", "search a.example b.example\n", "web1.a.example"),
        ("", "domain a.example\nsearch b.example. c.example\n", "web1.b.example"),
        ("127.0.0.1 web10.example.org\n", "search .\n", "web1"),
        ("127.0.1.1 web1.bad_name web1\n", "", "web1"),
        (None, None, "web1"),
    ],
)
def test_qualified_host_name_is_read_from_files(
    tmp_path: Path, hosts: str | None, resolv_conf: str | None, name: str
) -> None:
    for file, text in (("hosts", hosts), ("resolv.conf", resolv_conf)):
        if text is not None:
            (tmp_path / file).write_text(text)
    found = smtp.qualified_host_name("web1", tmp_path / "hosts", tmp_path / "resolv.conf")
    assert found == name
    assert (
        smtp.qualified_host_name("web1.example.com", tmp_path / "hosts", tmp_path / "resolv.conf")
        == "web1.example.com"
    )


async def test_ehlo_name_can_be_configured(tmp_path: Path, tools: NotifierTools) -> None:
    async with mail_server() as server:
        await deliver(notifier(tmp_path, tools, server, 'helo_name = "mx.example.org"'))
    assert [line for line in server.commands if line.startswith("EHLO")] == ["EHLO mx.example.org"]


async def test_password_is_sent_only_to_the_server_named_by_the_certificate(
    tmp_path: Path, tools: NotifierTools, authority: Authority
) -> None:
    (tmp_path / "password").write_text("s3cret-word")
    ca_file = authority.write(tmp_path / "ca.pem")
    keys = f"""
security = "starttls"
username = "monitor"
password = {{ file = "{tmp_path}/password" }}
ca_file = "{ca_file}"
"""
    for name, is_taken in (("localhost", True), ("other.example.org", False)):
        context = authority.issue(name, directory=tmp_path).server_context()
        async with mail_server(tls=context, user=("monitor", "s3cret-word")) as server:
            ops = notifier(tmp_path, tools, server, f'{keys}server = "localhost:{server.port}"')
            if is_taken:
                await deliver(ops)
            else:
                with pytest.raises(DeliveryError, match="certificate"):
                    await deliver(ops)
        assert (len(server.mails), any(line.startswith("AUTH") for line in server.commands)) == (
            is_taken,
            is_taken,
        )


async def test_error_of_a_wrong_password_does_not_contain_it(
    tmp_path: Path, tools: NotifierTools, authority: Authority
) -> None:
    (tmp_path / "password").write_text("s3cret-word")
    ca_file = authority.write(tmp_path / "ca.pem")
    context = authority.issue("localhost", directory=tmp_path).server_context()
    async with mail_server(tls=context, user=("monitor", "another")) as server:
        keys = f'security = "starttls"\nusername = "monitor"\nca_file = "{ca_file}"\n'
        keys += f'password = {{ file = "{tmp_path}/password" }}\nserver = "localhost:{server.port}"'
        with pytest.raises(DeliveryError, match="535 wrong password") as refused:
            await deliver(notifier(tmp_path, tools, server, keys))
    assert "s3cret" not in str(refused.value)


def test_local_users_and_international_names_are_valid_addresses(tmp_path: Path) -> None:
    text = '[notifiers.ops]\nto = ["root", "ops@müller.example"]\n'
    (settings,) = settings_of(tmp_path, text).alerts.notifiers
    assert settings.options.to == ("root", "ops@xn--mller-kva.example")


def test_default_port_depends_on_security(tmp_path: Path) -> None:
    for security, port in (("none", 25), ("opportunistic", 25), ("starttls", 587), ("tls", 465)):
        text = f'[notifiers.ops]\nto = "a@b.org"\nsecurity = "{security}"\nserver = "mail.example.org"\n'
        (settings,) = settings_of(tmp_path, text).alerts.notifiers
        assert settings.options.server.port == port


def test_missing_library_is_reported_with_its_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(smtp, "LIBRARY", "no_such_library")
    (failure,) = errors_of(tmp_path, '[notifiers.ops]\nto = "a@b.org"\n')
    assert "No module named 'no_such_library'; install the package python3-aiosmtplib" in failure


@pytest.fixture
async def named() -> AsyncIterator[tuple[NotifierTools, threading.Event]]:
    """Tools for which mail.test has two addresses, and dead.test none before the event is set."""
    released = threading.Event()

    def get_addresses(name: str, family: int) -> list[str]:
        if name != "mail.test":
            released.wait(10)
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        return ["127.0.0.2", "127.0.0.1"]

    http = HttpClient(user_agent="t", resolver=Resolver(get_addresses), tls_contexts=TlsContexts())
    tools = NotifierTools(SystemClock(), http, Processes())
    yield tools, released
    released.set()
    await http.close()


@pytest.mark.parametrize("security", ["starttls", "opportunistic", "none"])
async def test_mail_is_sent_to_the_first_address_that_accepts_a_connection(
    tmp_path: Path,
    named: tuple[NotifierTools, threading.Event],
    authority: Authority,
    security: str,
) -> None:
    tools, _ = named
    context = authority.issue("mail.test", directory=tmp_path).server_context()
    ca_file = authority.write(tmp_path / "ca.pem")
    trust = f'ca_file = "{ca_file}"\n' if security == "starttls" else ""
    async with mail_server(tls=context) as server:
        keys = f'server = "mail.test:{server.port}"\nsecurity = "{security}"\n{trust}'
        await deliver(notifier(tmp_path, tools, server, keys))
    assert len(server.mails) == 1
    assert server.was_encrypted is (security != "none")


async def test_certificate_is_verified_for_the_name_of_the_server_not_for_its_address(
    tmp_path: Path, named: tuple[NotifierTools, threading.Event], authority: Authority
) -> None:
    tools, _ = named
    context = authority.issue("127.0.0.1", directory=tmp_path).server_context()
    ca_file = authority.write(tmp_path / "ca.pem")
    async with mail_server(tls=context) as server:
        keys = f'server = "mail.test:{server.port}"\nsecurity = "starttls"\nca_file = "{ca_file}"\n'
        with pytest.raises(DeliveryError, match="certificate"):
            await deliver(notifier(tmp_path, tools, server, keys))
    assert server.mails == []


async def test_resolving_that_hangs_ends_with_the_deadline(
    tmp_path: Path, named: tuple[NotifierTools, threading.Event]
) -> None:
    tools, released = named
    before = {thread for thread in threading.enumerate() if thread.name.startswith("asyncio_")}
    with pytest.raises(DeliveryError, match=r"dead\.test: timeout after|timeout before the delivery began"):
        await deliver(notifier(tmp_path, tools, MailServer(), 'server = "dead.test:25"'), within_s=0.1)
    after = {thread for thread in threading.enumerate() if thread.name.startswith("asyncio_")}
    assert after <= before
    released.set()
    with pytest.raises(
        DeliveryError, match=r"name resolution of dead\.test: the name servers do not respond"
    ):
        await deliver(notifier(tmp_path, tools, MailServer(), 'server = "dead.test:25"'))


@pytest.mark.parametrize("security", ["starttls", "tls"])
async def test_certificate_with_only_a_common_name_is_rejected(
    tmp_path: Path, named: tuple[NotifierTools, threading.Event], authority: Authority, security: str
) -> None:
    tools, _ = named
    issued = authority.issue("mail.test", directory=tmp_path, has_alternative_names=False)
    ca_file = authority.write(tmp_path / "ca.pem")
    server = MailServer(tls=issued.server_context())
    immediate = server.tls if security == "tls" else None
    async with serve(server.play, tls=immediate) as listening:
        keys = f'server = "mail.test:{listening.port}"\nsecurity = "{security}"\nca_file = "{ca_file}"\n'
        with pytest.raises(DeliveryError, match="certificate"):
            await deliver(notifier(tmp_path, tools, server, keys))
    assert server.mails == []


@pytest.mark.parametrize(
    "line", [b"%d-more\r\n", b"%d-" + b"x" * 5000 + b"\r\n"], ids=["lines", "long lines"]
)
@pytest.mark.parametrize("code", [220, 250], ids=["greeting", "EHLO"])
async def test_endless_mail_response_is_limited(
    tmp_path: Path, tools: NotifierTools, code: int, line: bytes
) -> None:
    """The library would store all of it, and parse it again with each packet."""

    async def script(peer: Peer) -> None:
        if code != 220:
            await peer.send(b"220 hello\r\n")
            await peer.reader.readline()
        piece = line % code
        for _ in range(4 * MAX_RESPONSE_BYTES // len(piece)):
            await peer.send(piece)
        await peer.hang()

    async with serve(script) as server:
        text = f'[notifiers.ops]\nto = ["ops@example.org"]\nserver = "127.0.0.1:{server.port}"\n'
        (settings,) = settings_of(tmp_path, text).alerts.notifiers
        with pytest.raises(
            DeliveryError, match=r"the responses of the server exceed (64 KiB|1000 packets)|Response too long"
        ):
            await deliver(MailNotifier(settings, tools))
