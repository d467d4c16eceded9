"""The type `tcp`: its options in a file, and its results with scripted peers."""

from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from monitord.conditions import parse_condition
from monitord.config import Secret
from monitord.dispatch.judging import judge
from monitord.model import Reason, Result, Verdict
from monitord.monitors.tcp import TcpMonitor, TcpOptions
from monitord.net import IpFamily, TlsOptions, TlsVersion
from monitord.net.stream.client import StreamTarget
from monitord.options.dialogue import ExpectStep, SendStep, StartTlsStep
from tests.certificates import Authority
from tests.configurations import errors_of, options_of
from tests.fakes import monitor_settings, resolver_without_queue
from tests.servers import free_port, full_backlog, serve
from tests.stream_servers import END, HANG, LINE, RESET, Act, Part
from tests.time_limits import within_growing_limit
from tests.worlds import real_tools

Make = Callable[..., TcpMonitor]


def read(tmp_path: Path, keys: str) -> TcpOptions:
    return options_of(TcpMonitor, tmp_path, keys)


def addresses_of_tests(name: str, family: int) -> list[str]:
    return ["127.0.0.1"] if name == "tcp.test" else []


@pytest.fixture
async def make(tmp_path: Path) -> AsyncIterator[Make]:
    async with real_tools(resolver_without_queue(addresses_of_tests)) as tools:

        def make(keys: str, *, timeout_s: float = 10.0, up_when: str | None = None) -> TcpMonitor:
            settings = monitor_settings(type_name="tcp", timeout_s=timeout_s, options=read(tmp_path, keys))
            if up_when is not None:
                settings = replace(settings, up_when=(parse_condition(up_when, TcpMonitor.vocabulary),))
            return TcpMonitor(settings, tools)

        yield make


async def judged(monitor: TcpMonitor) -> Result:
    return judge(await monitor.check(), monitor.settings, None)


def at(port: int, dialogue: str = "[]") -> str:
    return f'address = "127.0.0.1:{port}"\ndialogue = {dialogue}'


# Results for a peer


async def test_connection_passes_with_a_summary_of_one_line(make: Make) -> None:
    async with serve(Part(HANG).play) as server:
        monitor = make(f'address = "tcp.test:{server.port}"')
        seen = await monitor.check()
        await server.is_reached.wait()
    assert (seen.reason, seen.address, monitor.pool) == (Reason.OK, "127.0.0.1", "tcp.test")
    fields = dict(seen.fields)
    response_time = fields["response_time"]
    assert seen.detail == f"tcp.test:{server.port}: connected, {response_time:.3f} s"
    assert (seen.subject, seen.outcome) == (f"tcp.test:{server.port}", "connected")
    assert set(fields) == {"response_time", "phase.resolve", "phase.connect", "address", "ip_version"}
    assert (fields["address"], fields["ip_version"]) == ("127.0.0.1", 4)


async def test_dialogue_is_completed(make: Make) -> None:
    part = Part(b"220 mx ESMTP\r\n", LINE, b"250-mx\r\n250 HELP\r\n", LINE, b"221 bye\r\n")
    steps = r"""[
        { expect = "^220 .*ESMTP$" }, { send = "EHLO me\r\n" }, { expect = '^250 ' },
        { send = "QUIT\r\n" }, { expect = "^221" },
    ]"""
    async with serve(part.play) as server:
        seen = await make(at(server.port, steps)).check()
    assert seen.reason is Reason.OK
    assert seen.detail.startswith(f"127.0.0.1:{server.port}: connected, 5 steps completed, ")
    assert seen.fields["banner"] == "220 mx ESMTP\n250-mx\n250 HELP\n221 bye"
    assert "phase.processing" in seen.fields
    assert part.received == [b"EHLO me\r\n", b"QUIT\r\n"]


async def test_unix_socket_is_used(make: Make, tmp_path: Path) -> None:
    path = tmp_path / "s"
    async with serve(Part(LINE, b"+PONG\r\n").play, path=path):
        steps = r"""[{ send = 'PING' }, { send = "\r\n" }, { expect = '^\+PONG$' }]"""
        monitor = make(f'address = "unix:{path}"\ndialogue = {steps}')
        seen = await monitor.check()
    assert (seen.reason, seen.address, monitor.pool) == (Reason.OK, str(path), None)
    assert "ip_version" not in seen.fields
    assert seen.detail.startswith(f"unix:{path}: connected, ")


async def test_starttls_has_the_fields_of_tls(
    make: Make, authority: Authority, ca_file: str, tmp_path: Path
) -> None:
    context = authority.issue("mx.test", directory=tmp_path).server_context()
    part = Part(b"220 hi\r\n", LINE, b"220 go\r\n", context, LINE, b"250 ok\r\n")
    steps = r"""[
        { expect = "^220" }, { send = "STARTTLS\r\n" }, { expect = "^220" }, { starttls = true },
        { send = "EHLO me\r\n" }, { expect = "^250 " },
    ]"""
    async with serve(part.play) as server:
        keys = f'{at(server.port, steps)}\nca_file = "{ca_file}"\nserver_name = "mx.test"'
        seen = await make(keys).check()
        assert seen.reason is Reason.OK, seen.detail
        assert part.received == [b"STARTTLS\r\n", b"EHLO me\r\n"]
        seen_by_name = await make(keys.replace("mx.test", "other.test")).check()
    assert seen_by_name.reason is Reason.TLS_NAME_MISMATCH
    assert set(seen.fields) >= {name for name in TcpMonitor.vocabulary.fields if name != "phase.resolve"}
    assert seen.fields["certificate.names"] == ("mx.test",)
    assert seen.fields["tls.version"] == "TLSv1.3"


async def test_tls_can_begin_with_the_connection(
    make: Make, authority: Authority, ca_file: str, tmp_path: Path
) -> None:
    context = authority.issue("127.0.0.1", directory=tmp_path).server_context()
    async with serve(Part(END).play, tls=context) as server:
        assert (await make(f"{at(server.port)}\ntls = true").check()).reason is Reason.TLS_UNTRUSTED
        seen = await make(f'{at(server.port)}\ntls = true\nca_file = "{ca_file}"').check()
        assert seen.reason is Reason.OK
        seen = await make(f"{at(server.port)}\ntls = true\nverify = false").check()
        assert seen.reason is Reason.OK


HELLO = r'[{ send = "\n" }, { expect = "^hello" }, { expect = "^250 " }]'


@pytest.mark.parametrize(
    ("acts", "reason", "said"),
    [
        pytest.param(
            (b"hello\r\n554 go\x1b\r\naway\r\n", HANG),
            Reason.CONDITION_FAILED,
            'step 3 expects "^250 ", received "554 go\ufffd away" and no more before the timeout',
            id="another-line",
        ),
        pytest.param(
            (b"hello\r\n554 no\r\n",),
            Reason.CONDITION_FAILED,
            'step 3 expects "^250 ", received "554 no" and the end of the connection',
            id="another-line-and-the-end",
        ),
        pytest.param(
            (b"hello\r\n", HANG),
            Reason.TIMEOUT_RESPONSE,
            "no response within the timeout",
            id="silence",
        ),
        pytest.param(
            (b"hello\r\n",),
            Reason.RESET,
            "the peer closed the connection before the expected response",
            id="the-end",
        ),
        pytest.param((RESET,), Reason.RESET, "the connection was reset by the peer", id="reset"),
        pytest.param(
            (b"x" * 70_000, HANG),
            Reason.TOO_LARGE,
            "the peer sent more than 64 KiB",
            id="too-much",
        ),
    ],
)
async def test_unmet_expectation_fails(
    make: Make, acts: tuple[bytes | Act, ...], reason: Reason, said: str
) -> None:
    part = Part(LINE, *acts)  # not before the first data: a reset could precede the connection
    async with serve(part.play) as server:
        expected = reason, f"127.0.0.1:{server.port}: {said}"
        seen = await within_growing_limit(
            lambda limit_s: make(at(server.port, HELLO), timeout_s=limit_s).check(),
            lambda seen: (seen.reason, seen.detail.rpartition(", ")[0]) == expected,
        )
    assert (seen.reason, seen.detail.rpartition(", ")[0]) == expected
    assert seen.shows_connectivity is (True if "banner" in seen.fields else None)


async def test_failure_contains_the_response_of_the_peer(make: Make) -> None:
    said = b"220-\x1b[31mhello\r\n554 no\r\n"
    async with serve(Part(said).play) as server:
        failed = await judged(make(at(server.port, '[{ expect = "^220 " }]')))
        passed = await judged(make(at(server.port, '[{ expect = "^554 " }]')))
    assert failed.observation.excerpt == "220-hello\n554 no"
    assert passed.observation.excerpt is None


async def test_conditions_do_not_replace_the_dialogue(make: Make) -> None:
    async with serve(Part(b"554 no\r\n").play) as server:
        steps = '[{ expect = "^220 " }]'
        assert (await judged(make(at(server.port, steps)))).verdict is Verdict.FAIL
        result = await judged(make(at(server.port, steps), up_when="response_time < 20s"))
    assert (result.verdict, result.observation.reason) == (Verdict.FAIL, Reason.CONDITION_FAILED)


async def test_condition_on_the_banner_waits_for_a_line(make: Make) -> None:
    async with serve(Part(b"SSH-2.0-x\r\n", HANG).play) as server:
        for wanted, verdict in (("SSH-2", Verdict.PASS), ("SSH-1", Verdict.FAIL)):
            result = await judged(make(at(server.port), up_when=f"banner matches '^{wanted}'"))
            assert result.verdict is verdict
    async with serve(Part(HANG).play) as server:
        seen = await within_growing_limit(
            lambda limit_s: make(at(server.port), up_when="banner matches '^S'", timeout_s=limit_s).check(),
            lambda seen: seen.reason is Reason.TIMEOUT_RESPONSE,
        )
    assert seen.reason is Reason.TIMEOUT_RESPONSE


async def test_banner_is_limited_and_printable(make: Make) -> None:
    async with serve(Part(b"a\x00\xff\r\n" + b"b" * 2000 + b"\nend\n").play) as server:
        seen = await make(at(server.port, '[{ expect = "end" }]')).check()
    banner = seen.fields["banner"]
    assert isinstance(banner, str)
    assert banner.startswith("a\ufffd\ufffd\nbbb")
    assert len(banner) == 1024


async def test_secret_is_sent_and_never_shown(make: Make, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("hunter2\n")
    part = Part(LINE, b"you said PASS hunter2\r\n")
    steps = rf"""[
        {{ send = "PASS " }}, {{ send = {{ file = "{tmp_path}/secret" }} }}, {{ send = "\r\n" }}, {{ expect = "^ok" }},
    ]"""
    async with serve(part.play) as server:
        monitor = make(at(server.port, steps))
        seen = await monitor.check()
    assert part.received == [b"PASS hunter2\r\n"]
    assert seen.fields["banner"] == "you said PASS ***"
    assert '"you said PASS ***"' in seen.detail
    assert "hunter2" not in repr((monitor.settings, seen))


async def test_closed_port_and_unknown_name_fail(make: Make) -> None:
    port = free_port()
    seen = await make(at(port)).check()
    assert seen.reason is Reason.REFUSED
    assert seen.detail.startswith(f"127.0.0.1:{port}: connection to 127.0.0.1:{port} refused, ")
    assert seen.outcome == f"connection to 127.0.0.1:{port} refused"
    seen = await make('address = "nowhere.test:1"').check()
    assert seen.reason is Reason.RESOLVE_FAILED


async def test_timeout_applies_to_every_phase(make: Make) -> None:
    with full_backlog() as port:
        seen = await make(at(port), timeout_s=0.2).check()
    assert seen.reason is Reason.TIMEOUT_CONNECT
    async with serve(Part(HANG).play) as server:
        seen = await within_growing_limit(
            lambda limit_s: make(f"{at(server.port)}\ntls = true", timeout_s=limit_s).check(),
            lambda seen: seen.reason is Reason.TIMEOUT_TLS,
        )
    assert seen.reason is Reason.TIMEOUT_TLS


# Options


def test_minimal_configuration_has_defaults(tmp_path: Path) -> None:
    options = read(tmp_path, 'address = "db.example.org:5432"')
    tls = TlsOptions(alpn=(), min_version=TlsVersion.TLS_1_2)
    assert options == TcpOptions(StreamTarget("db.example.org", 5432, tls=tls))


def test_every_option_is_read(tmp_path: Path, authority: Authority, ca_file: str) -> None:
    own = authority.issue("me", directory=tmp_path)
    keys = f"""
address = "[2001:db8::1]:25"
ip_family = 6
tls = true
ca_file = "{ca_file}"
client_certificate_file = "{own.chain_file}"
client_key_file = "{own.key_file}"
min_tls_version = "1.3"
server_name = "mx.example.org"
dialogue = [{{ expect = "^220" }}, {{ send = "QUIT" }}]
"""
    tls = TlsOptions(
        ca_file=ca_file,
        certificate_file=str(own.chain_file),
        key_file=str(own.key_file),
        min_version=TlsVersion.TLS_1_3,
        alpn=(),
    )
    target = StreamTarget(
        "2001:db8::1",
        25,
        ip_family=IpFamily.IPV6,
        begins_with_tls=True,
        tls=tls,
        server_name="mx.example.org",
    )
    assert read(tmp_path, keys) == TcpOptions(target, (ExpectStep("^220"), SendStep(Secret("QUIT"))))


def test_handshake_is_a_step_of_a_dialogue(tmp_path: Path) -> None:
    keys = 'address = "a:1"\nverify = false\ndialogue = [{ send = "x" }, { starttls = true }]'
    assert read(tmp_path, keys).dialogue == (SendStep(Secret("x")), StartTlsStep())
    assert not read(tmp_path, keys).target.tls.verify


def test_secret_step_is_not_shown_in_a_failure(tmp_path: Path) -> None:
    (error,) = errors_of(
        tmp_path, '[monitors.a]\ntype = "tcp"\naddress = "a:1"\ndialogue = [{ send = 12345 }]\n'
    )
    assert "12345" not in error


@pytest.mark.parametrize(
    ("address", "uses_network"),
    [("mail.test:25", True), ("localhost:25", False), ("[::1]:25", False), ("unix:/run/app.sock", False)],
)
async def test_response_of_this_host_shows_no_connectivity(
    make: Make, address: str, uses_network: bool
) -> None:
    assert make(f'address = "{address}"').uses_network is uses_network


@pytest.mark.parametrize(
    "sent", ["PASS s3cret-word", "AUTH PLAIN s3cret-word", "a1 LOGIN kim s3cret-word", "password=s3cret-word"]
)
async def test_password_in_a_plain_text_step_is_masked(make: Make, sent: str) -> None:
    monitor = make(f'address = "127.0.0.1:1"\ndialogue = [{{ send = "{sent}\\r\\n" }}]')
    assert monitor.masking.mask("you sent s3cret-word") == "you sent ***"
