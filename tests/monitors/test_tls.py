"""The type `tls`: its options as written in a file, and its results for valid and invalid certificates."""

import ssl
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from monitord.conditions import parse_condition
from monitord.dispatch.judging import judge
from monitord.model import Reason, Verdict
from monitord.monitors.tls import TlsMonitor, TlsMonitorOptions
from monitord.net import IpFamily, TlsOptions, TlsVersion
from monitord.net.stream.client import StreamTarget
from monitord.net.stream.starttls import StartTlsProtocol
from tests.certificates import DAY, Authority
from tests.configurations import options_of
from tests.fakes import monitor_settings, resolver_without_queue
from tests.servers import free_port, serve, serve_tls_once
from tests.stream_servers import END, HANG, LINE, Act, Part
from tests.time_limits import within_growing_limit
from tests.worlds import real_tools

Make = Callable[..., TlsMonitor]
OFFERS = b"250-mx.test\r\n250 STARTTLS\r\n"


def read(tmp_path: Path, keys: str) -> TlsMonitorOptions:
    return options_of(TlsMonitor, tmp_path, keys)


def addresses_of_tests(name: str, family: int) -> list[str]:
    return ["127.0.0.1"] if name == "tls.test" else []


@pytest.fixture
async def make(tmp_path: Path) -> AsyncIterator[Make]:
    async with real_tools(resolver_without_queue(addresses_of_tests)) as tools:

        def make(keys: str, *, timeout_s: float = 10.0, degraded_when: str | None = None) -> TlsMonitor:
            settings = monitor_settings(type_name="tls", timeout_s=timeout_s, options=read(tmp_path, keys))
            if degraded_when is not None:
                condition = parse_condition(degraded_when, TlsMonitor.vocabulary)
                settings = replace(settings, degraded_when=(condition,))
            return TlsMonitor(settings, tools)

        yield make


async def test_valid_certificate_passes_with_a_summary_of_one_line(
    make: Make, authority: Authority, ca_file: str, tmp_path: Path
) -> None:
    issued = authority.issue("tls.test", "alias.test", directory=tmp_path, valid_until=30 * DAY)
    async with serve(Part(END).play, tls=issued.server_context()) as server:
        monitor = make(f'address = "tls.test:{server.port}"\nca_file = "{ca_file}"')
        seen = await monitor.check()
    assert (seen.reason, seen.address, monitor.pool) == (Reason.OK, "127.0.0.1", "tls.test")
    fields = dict(seen.fields)
    expires_at = datetime.fromisoformat(str(fields.pop("certificate.expires_at")))
    assert abs(expires_at - datetime.now(UTC) - 30 * DAY) < timedelta(minutes=5)
    assert str(fields.pop("tls.cipher")).startswith("TLS_")
    response_time, expires_in_s = fields.pop("response_time"), fields.pop("certificate.expires_in")
    assert isinstance(expires_in_s, float)
    assert 29 * 86400 < expires_in_s < 30 * 86400
    outcome = f"TLSv1.3, certificate valid until {expires_at:%Y-%m-%d %H:%M:%S} UTC"
    assert seen.detail == f"tls.test:{server.port}: {outcome}, {response_time:.3f} s"
    assert (seen.subject, seen.outcome) == (f"tls.test:{server.port}", outcome)
    assert {name: value for name, value in fields.items() if not name.startswith("phase.")} == {
        "address": "127.0.0.1",
        "ip_version": 4,
        "tls.version": "TLSv1.3",
        "certificate.subject": "CN=tls.test, O=Tests",
        "certificate.issuer": "CN=Test Root, O=Tests",
        "certificate.names": ("tls.test", "alias.test"),
    }
    assert {name for name in fields if name.startswith("phase.")} == {
        "phase.resolve",
        "phase.connect",
        "phase.tls",
    }


async def test_earliest_expiry_in_the_chain_is_reported(
    make: Make, authority: Authority, ca_file: str, tmp_path: Path
) -> None:
    between = Authority("Between", parent=authority, days=5)
    context = between.issue("tls.test", directory=tmp_path, valid_until=90 * DAY).server_context()
    async with serve(Part(END).play, tls=context) as server:
        keys = f'address = "tls.test:{server.port}"\nca_file = "{ca_file}"'
        monitor = make(keys, degraded_when="certificate.expires_in < 14d")
        result = judge(await monitor.check(), monitor.settings, None)
    assert result.verdict is Verdict.WARN
    assert result.observation.fields["certificate.issuer"] == "CN=Between, O=Tests"


@pytest.mark.parametrize(
    ("name", "valid_until", "trusted", "reason"),
    [
        pytest.param("tls.test", -DAY / 2, True, Reason.TLS_EXPIRED, id="expired"),
        pytest.param("other.test", DAY, True, Reason.TLS_NAME_MISMATCH, id="other-name"),
        pytest.param("tls.test", DAY, False, Reason.TLS_UNTRUSTED, id="untrusted"),
    ],
)
async def test_each_certificate_error_has_its_own_reason(
    make: Make,
    authority: Authority,
    ca_file: str,
    tmp_path: Path,
    name: str,
    valid_until: timedelta,
    trusted: bool,
    reason: Reason,
) -> None:
    context = authority.issue(name, directory=tmp_path, valid_until=valid_until).server_context()
    async with serve(Part(END).play, tls=context) as server:
        keys = f'address = "tls.test:{server.port}"'
        seen = await make(f'{keys}\nca_file = "{ca_file}"' if trusted else keys).check()
        assert seen.reason is reason
        assert seen.detail.startswith(f"tls.test:{server.port}: TLS handshake with 127.0.0.1:{server.port}: ")
        unverified = await make(f"{keys}\nverify = false").check()
    assert unverified.reason is Reason.OK
    assert unverified.fields["certificate.names"] == (name,)


async def test_server_name_replaces_the_host(
    make: Make, authority: Authority, ca_file: str, tmp_path: Path
) -> None:
    context = authority.issue("other.test", directory=tmp_path).server_context()
    async with serve(Part(END).play, tls=context) as server:
        keys = f'address = "127.0.0.1:{server.port}"\nca_file = "{ca_file}"\nserver_name = "other.test"'
        assert (await make(keys).check()).reason is Reason.OK


async def test_old_version_is_rejected(make: Make, authority: Authority, tmp_path: Path) -> None:
    issued = authority.issue("tls.test", directory=tmp_path)
    context = issued.server_context(maximum=ssl.TLSVersion.TLSv1_2)
    async with serve(Part(END).play, tls=context) as server:
        seen = await make(f'address = "127.0.0.1:{server.port}"\nverify = false').check()
        assert (seen.reason, seen.fields["tls.version"]) == (Reason.OK, "TLSv1.2")
    async with serve_tls_once(context) as port:
        seen = await make(f'address = "127.0.0.1:{port}"\nverify = false\nmin_tls_version = "1.3"').check()
    assert seen.reason is Reason.TLS_FAILED
    assert "no common TLS version" in seen.detail


async def test_client_certificate_is_used(
    make: Make, authority: Authority, ca_file: str, tmp_path: Path
) -> None:
    context = authority.issue("tls.test", directory=tmp_path).server_context(maximum=ssl.TLSVersion.TLSv1_2)
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(ca_file)
    own = authority.issue("me", directory=tmp_path, file="me")
    async with serve_tls_once(context) as port:
        seen = await make(f'address = "127.0.0.1:{port}"\nverify = false').check()
    assert seen.reason is Reason.TLS_FAILED
    async with serve_tls_once(context) as port:
        keys = f'client_certificate_file = "{own.chain_file}"\nclient_key_file = "{own.key_file}"'
        seen = await make(f'address = "127.0.0.1:{port}"\nverify = false\n{keys}').check()
    assert seen.reason is Reason.OK


@pytest.mark.parametrize(
    ("protocol", "before", "received"),
    [
        (
            "smtp",
            (b"220 hi\r\n", LINE, OFFERS, LINE, b"220 go\r\n"),
            [b"EHLO [127.0.0.1]\r\n", b"STARTTLS\r\n", b"QUIT\r\n"],
        ),
        ("imap", (b"* OK hi\r\n", LINE, b"a1 OK go\r\n"), [b"a1 STARTTLS\r\n", b"a1z LOGOUT\r\n"]),
        ("pop3", (b"+OK hi\r\n", LINE, b"+OK go\r\n"), [b"STLS\r\n", b"QUIT\r\n"]),
    ],
)
async def test_starttls_is_requested_from_mail_servers(
    make: Make,
    authority: Authority,
    ca_file: str,
    tmp_path: Path,
    protocol: str,
    before: tuple[bytes | Act, ...],
    received: list[bytes],
) -> None:
    context = authority.issue("tls.test", directory=tmp_path).server_context()
    part = Part(*before, context, LINE)
    async with serve(part.play) as server:
        keys = f'address = "tls.test:{server.port}"\nca_file = "{ca_file}"\nstarttls = "{protocol}"'
        seen = await make(keys).check()
        await part.is_over.wait()
    assert (seen.reason, seen.fields["certificate.names"]) == (Reason.OK, ("tls.test",))
    assert part.received == received
    assert "phase.processing" in seen.fields


async def test_rejected_starttls_shows_the_response_of_the_server(make: Make) -> None:
    part = Part(b"220 hi\r\n", LINE, OFFERS, LINE, b"454 TLS not available\r\n", END)
    async with serve(part.play) as server:
        seen = await make(f'address = "127.0.0.1:{server.port}"\nstarttls = "smtp"').check()
    assert seen.reason is Reason.PROTOCOL_ERROR
    assert 'the server responded "454 TLS not available" to STARTTLS' in seen.detail


async def test_data_after_the_starttls_reply_is_rejected(make: Make) -> None:
    part = Part(b"220 hi\r\n", LINE, OFFERS, LINE, b"220 go\r\n250 smuggled\r\n", END)
    async with serve(part.play) as server:
        seen = await make(f'address = "127.0.0.1:{server.port}"\nstarttls = "smtp"\nverify = false').check()
    assert seen.reason is Reason.PROTOCOL_ERROR
    assert "without encryption" in seen.detail


async def test_other_failures_have_their_reasons(make: Make) -> None:
    assert (await make('address = "nowhere.test"').check()).reason is Reason.RESOLVE_FAILED
    port = free_port()
    seen = await make(f'address = "tls.test:{port}"').check()
    assert seen.reason is Reason.REFUSED
    assert seen.detail.startswith(f"tls.test:{port}: connection to 127.0.0.1:{port} refused, ")
    async with serve(Part(b"SSH-2.0-x\r\n", END).play) as server:
        assert (await make(f'address = "127.0.0.1:{server.port}"').check()).reason is Reason.TLS_FAILED
    async with serve(Part(HANG).play) as server:
        silent = f'address = "127.0.0.1:{server.port}"'
        for keys, reason in (
            (silent, Reason.TIMEOUT_TLS),
            (f'{silent}\nstarttls = "imap"', Reason.TIMEOUT_RESPONSE),
        ):
            seen = await within_growing_limit(
                lambda limit_s: make(keys, timeout_s=limit_s).check(),  # noqa: B023 - awaited here
                lambda seen: seen.reason is reason,  # noqa: B023
            )
            assert seen.reason is reason


# Options


@pytest.mark.parametrize(
    ("keys", "host", "port"),
    [
        ('address = "shop.example.org"', "shop.example.org", 443),
        ('address = "192.0.2.1"', "192.0.2.1", 443),
        ('address = "[2001:db8::1]"', "2001:db8::1", 443),
        ('address = "[2001:db8::1]:8443"', "2001:db8::1", 8443),
        ('address = "mx"\nstarttls = "smtp"', "mx", 25),
        ('address = "mx"\nstarttls = "imap"', "mx", 143),
        ('address = "mx"\nstarttls = "pop3"', "mx", 110),
        ('address = "mx:587"\nstarttls = "smtp"', "mx", 587),
    ],
)
def test_default_port_depends_on_the_protocol(tmp_path: Path, keys: str, host: str, port: int) -> None:
    target = read(tmp_path, keys).target
    assert (target.host, target.port, target.begins_with_tls) == (host, port, "starttls" not in keys)


def test_every_option_is_read(tmp_path: Path, authority: Authority, ca_file: str) -> None:
    own = authority.issue("me", directory=tmp_path)
    keys = f"""
address = "mx.example.org"
starttls = "smtp"
ip_family = 4
ca_file = "{ca_file}"
client_certificate_file = "{own.chain_file}"
client_key_file = "{own.key_file}"
min_tls_version = "1.3"
server_name = "mail.example.org"
"""
    tls = TlsOptions(
        ca_file=ca_file,
        certificate_file=str(own.chain_file),
        key_file=str(own.key_file),
        min_version=TlsVersion.TLS_1_3,
        alpn=(),
    )
    target = StreamTarget(
        "mx.example.org", 25, ip_family=IpFamily.IPV4, tls=tls, server_name="mail.example.org"
    )
    assert read(tmp_path, keys) == TlsMonitorOptions(target, StartTlsProtocol.SMTP)
    assert not read(tmp_path, 'address = "a"\nverify = false').target.tls.verify
