"""STARTTLS with mail servers that accept it and with servers that reject it."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from monitord.net import FailureKind, Resolver, TlsContexts, TlsOptions
from monitord.net.stream.client import Stream, StreamClient, StreamOutcome, StreamTarget
from monitord.net.stream.starttls import StartTlsProtocol, send_quit, start_tls
from tests.certificates import Authority
from tests.net.conftest import in_time, soon
from tests.servers import has_ipv6, serve
from tests.stream_servers import END, HANG, LINE, Act, Part

SMTP, IMAP, POP3 = StartTlsProtocol.SMTP, StartTlsProtocol.IMAP, StartTlsProtocol.POP3
OFFERS = b"250-mx.test\r\n250-SIZE 1000\r\n250-StartTLS\r\n250 HELP\r\n"


@pytest.fixture
async def client() -> AsyncIterator[StreamClient]:
    resolver = Resolver()
    yield StreamClient(resolver, TlsContexts())
    await resolver.close()


async def ask(
    client: StreamClient,
    protocol: StartTlsProtocol,
    part: Part,
    *,
    deadline: float | None = None,
    host: str = "127.0.0.1",
) -> StreamOutcome:
    async def communicate(stream: Stream) -> None:
        await start_tls(stream, protocol)
        await send_quit(stream, protocol)

    async with serve(part.play, host=host) as server:
        target = StreamTarget(host=host, port=server.port, tls=TlsOptions(verify=False))
        outcome = await client.run(target, communicate, deadline=deadline or in_time())
        if deadline is None:
            await part.is_over.wait()
    return outcome


@pytest.mark.parametrize(
    ("protocol", "before", "asked"),
    [
        pytest.param(
            SMTP,
            (b"220-mx.test\r\n220 ESMTP\r\n", LINE, OFFERS, LINE, b"220 go\r\n"),
            [b"EHLO [127.0.0.1]\r\n", b"STARTTLS\r\n", b"QUIT\r\n"],
            id="smtp",
        ),
        pytest.param(
            SMTP,
            (b"220\r\n", LINE, b"250-mx.test\r\n250 STARTTLS\r\n", LINE, b"220\r\n"),
            [b"EHLO [127.0.0.1]\r\n", b"STARTTLS\r\n", b"QUIT\r\n"],
            id="smtp-without-words",
        ),
        pytest.param(
            IMAP,
            (b"* OK [CAPABILITY IMAP4rev2 STARTTLS] hi\r\n", LINE, b"* news\r\na1 OK go\r\n"),
            [b"a1 STARTTLS\r\n", b"a1z LOGOUT\r\n"],
            id="imap",
        ),
        pytest.param(POP3, (b"+OK hi <1@x>\r\n", LINE, b"+OK go\r\n"), [b"STLS\r\n", b"QUIT\r\n"], id="pop3"),
    ],
)
async def test_accepted_starttls_encrypts_the_connection(
    client: StreamClient,
    authority: Authority,
    tmp_path: Path,
    protocol: StartTlsProtocol,
    before: tuple[bytes | Act, ...],
    asked: list[bytes],
) -> None:
    context = authority.issue("mx.test", directory=tmp_path).server_context()
    part = Part(*before, context, LINE)
    outcome = await ask(client, protocol, part)
    assert (outcome.failure, outcome.detail) == (None, "")
    assert outcome.tls is not None
    assert part.received == asked


@pytest.mark.skipif(not has_ipv6(), reason="no IPv6 here")
async def test_ipv6_address_in_ehlo_has_the_form_of_the_rfc(client: StreamClient) -> None:
    part = Part(b"220 hi\r\n", LINE, b"500 no\r\n")
    await ask(client, SMTP, part, host="::1")
    assert part.received == [b"EHLO [IPv6:::1]\r\n"]


HI = b"220 hi\r\n"


@pytest.mark.parametrize(
    ("protocol", "acts", "detail"),
    [
        pytest.param(
            SMTP,
            (b"554 go \x1baway\r\n",),
            'the server responded "554 go \ufffdaway" as its greeting',
            id="smtp-554",
        ),
        pytest.param(
            SMTP, (HI, LINE, b"502 no\r\n"), 'the server responded "502 no" to EHLO', id="smtp-no-ehlo"
        ),
        pytest.param(
            SMTP,
            (HI, LINE, b"250-STARTTLS\r\n250 HELP\r\n"),  # the first line is its name
            "the server does not offer STARTTLS",
            id="smtp-no-offer",
        ),
        pytest.param(
            SMTP,
            (HI, LINE, OFFERS, LINE, b"454-TLS\r\n454 not now\r\n"),
            'the server responded "454-TLS" to STARTTLS',
            id="smtp-no-consent",
        ),
        pytest.param(SMTP, (b"SSH-2.0-x\r\n",), '"SSH-2.0-x" is not an SMTP reply', id="smtp-ssh"),
        pytest.param(SMTP, (b"220-a\r\n250 b\r\n",), '"250 b" is not an SMTP reply', id="smtp-two-codes"),
        pytest.param(
            IMAP, (b"* BYE busy\r\n",), 'the server responded "* BYE busy" as its greeting', id="imap-bye"
        ),
        pytest.param(
            IMAP,
            (b"* PREAUTH hi\r\n",),
            "the server responded PREAUTH, and STARTTLS is not possible in that state",
            id="imap-preauth",
        ),
        pytest.param(
            IMAP,
            (b"* OK hi\r\n", LINE, b"* OK x\r\na1 BAD what\r\n"),
            'the server responded "a1 BAD what" to STARTTLS',
            id="imap-bad",
        ),
        pytest.param(
            IMAP,
            (b"* OK hi\r\n", LINE, b"a1 OKAY\r\n"),
            'the server responded "a1 OKAY" to STARTTLS',
            id="imap-okay",
        ),
        pytest.param(
            POP3, (b"-ERR busy\r\n",), 'the server responded "-ERR busy" as its greeting', id="pop3-busy"
        ),
        pytest.param(
            POP3,
            (b"+OK\r\n", LINE, b"-ERR no\r\n"),
            'the server responded "-ERR no" to STLS',
            id="pop3-no-consent",
        ),
    ],
)
async def test_rejected_starttls_is_a_failure(
    client: StreamClient, protocol: StartTlsProtocol, acts: tuple[bytes | Act, ...], detail: str
) -> None:
    outcome = await ask(client, protocol, Part(*acts, END))
    assert (outcome.failure, outcome.detail) == (FailureKind.PROTOCOL_ERROR, detail)
    assert outcome.tls is None


@pytest.mark.parametrize(
    ("protocol", "acts"),
    [
        (SMTP, (HI, LINE, OFFERS, LINE, b"220 go\r\n250 mine\r\n")),
        (SMTP, (HI, LINE, OFFERS, LINE, b"220 go\r\n2")),
        (IMAP, (b"* OK hi\r\n", LINE, b"a1 OK go\r\n* CAPABILITY X\r\n")),
        (POP3, (b"+OK hi\r\n", LINE, b"+OK go\r\n+OK logged in\r\n")),
    ],
)
async def test_data_after_the_starttls_reply_is_rejected(
    client: StreamClient, protocol: StartTlsProtocol, acts: tuple[bytes | Act, ...]
) -> None:
    outcome = await ask(client, protocol, Part(*acts, END))
    assert outcome.failure is FailureKind.PROTOCOL_ERROR
    assert "without encryption" in outcome.detail


@pytest.mark.parametrize(
    ("protocol", "acts", "kind"),
    [
        pytest.param(SMTP, (b"220-x\r\n" * 101, END), FailureKind.TOO_LARGE, id="smtp-lines"),
        pytest.param(SMTP, (b"2" * 70_000, END), FailureKind.TOO_LARGE, id="smtp-line"),
        pytest.param(
            IMAP, (b"* OK hi\r\n", LINE, b"* x\r\n" * 20_000, END), FailureKind.TOO_LARGE, id="imap"
        ),
        pytest.param(POP3, (b"+OK",), FailureKind.RESET, id="the-end"),
    ],
)
async def test_too_long_or_incomplete_replies_are_failures(
    client: StreamClient, protocol: StartTlsProtocol, acts: tuple[bytes | Act, ...], kind: FailureKind
) -> None:
    outcome = await ask(client, protocol, Part(*acts))
    assert outcome.failure is kind


async def test_unresponsive_mail_server_times_out(client: StreamClient) -> None:
    outcome = await ask(client, SMTP, Part(HANG), deadline=soon())
    assert outcome.failure is FailureKind.TIMEOUT_RESPONSE
