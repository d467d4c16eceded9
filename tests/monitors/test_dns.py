"""The type `dns`: its options as written in a file, and its results for a real name server."""

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from monitord.conditions import parse_condition
from monitord.dispatch.judging import judge
from monitord.model import Reason, Verdict
from monitord.monitors.dns import DnsMonitor, DnsOptions, may_be_isolated, system_servers
from monitord.net import IpFamily
from monitord.net.dns.client import DnsAnswer, DnsProtocol, DnsQuestion
from tests.certificates import Authority
from tests.configurations import options_of
from tests.dns_servers import answer_stream, answering, dnsmasq, relay, response
from tests.fakes import FakeClock, fake_tools, monitor_settings, resolver_without_queue
from tests.servers import free_port, serve
from tests.time_limits import within_growing_limit
from tests.worlds import real_tools

ROOT = Path(__file__).parent.parent.parent

Make = Callable[..., DnsMonitor]


def read(tmp_path: Path, keys: str) -> DnsOptions:
    return options_of(DnsMonitor, tmp_path, keys)


def addresses_of_tests(name: str, family: int) -> Sequence[str]:
    return ["127.0.0.1"] if name == "ns.test" else []


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of a real name server."""
    with dnsmasq(tmp_path_factory.mktemp("dnsmasq")) as port:
        yield port


@pytest.fixture
async def make(tmp_path: Path) -> AsyncIterator[Make]:
    async with real_tools(resolver_without_queue(addresses_of_tests)) as tools:

        def make(keys: str, *, timeout_s: float = 10.0, resolv_conf: str = "") -> DnsMonitor:
            (tmp_path / "resolv.conf").write_text(resolv_conf)
            settings = monitor_settings(type_name="dns", timeout_s=timeout_s, options=read(tmp_path, keys))
            return DnsMonitor(settings, tools, tmp_path / "resolv.conf")

        yield make


# Results for a real server


async def test_addresses_pass_with_a_summary_of_one_line(make: Make, port: int) -> None:
    seen = await make(f'server = "127.0.0.1"\nport = {port}\nname = "www.example.test"').check()
    assert seen.reason is Reason.OK
    assert seen.address == "127.0.0.1"
    fields = dict(seen.fields)
    response_time = fields.pop("response_time")
    assert seen.detail == (
        f"A www.example.test. at 127.0.0.1: NOERROR, 192.0.2.1, 192.0.2.2, {response_time:.3f} s"
    )
    assert {name for name in fields if name.startswith("phase.")} == {"phase.connect", "phase.processing"}
    assert {name: value for name, value in fields.items() if not name.startswith("phase.")} == {
        "address": "127.0.0.1",
        "ip_version": 4,
        "dns.rcode": "NOERROR",
        "dns.answers": ("192.0.2.1", "192.0.2.2"),
        "dns.answer_count": 2,
        "dns.authoritative": True,
        "dns.authenticated": False,
        "dns.protocol": "udp",
        "dns.truncated": False,
        "dns.ttl": 300,
    }


@pytest.mark.parametrize(
    ("name", "record_type", "answers"),
    [
        ("www.example.test", "AAAA", ["2001:db8::1"]),
        ("alias.example.test", "A", ["192.0.2.1", "192.0.2.2"]),
        ("alias.example.test", "CNAME", ["www.example.test."]),
        ("txt.example.test", "TXT", ['"hello world"']),
        ("example.test", "MX", ["10 mail.example.test."]),
        ("192.0.2.1", "PTR", ["www.example.test."]),
    ],
)
async def test_each_record_type_is_queried(
    make: Make, port: int, name: str, record_type: str, answers: list[str]
) -> None:
    where = f'server = "ns.test"\nport = {port}\nname = "{name}"\nrecord_type = "{record_type}"'
    seen = await make(where).check()
    assert (seen.reason, seen.fields["dns.answers"]) == (Reason.OK, tuple(answers))
    assert "phase.resolve" in seen.fields


async def test_serial_of_a_zone_is_a_field(make: Make, port: int) -> None:
    where = f'server = "127.0.0.1"\nport = {port}\nname = "zone.test"\nrecord_type = "SOA"'
    seen = await make(where).check()
    assert (seen.reason, seen.fields["dns.serial"], seen.fields["dns.ttl"]) == (Reason.OK, 2026112201, 120)


async def test_truncated_response_is_repeated_over_tcp(make: Make, port: int) -> None:
    where = f'server = "127.0.0.1"\nport = {port}\nname = "large.example.test"\nrecord_type = "TXT"'
    seen = await make(where).check()
    assert seen.reason is Reason.OK
    assert (seen.fields["dns.answer_count"], seen.fields["dns.protocol"]) == (20, "tcp")
    assert seen.fields["dns.truncated"] is True
    assert "… over TCP, because the UDP response was truncated, " in seen.detail
    assert len(seen.detail) < 400
    seen = await make(f'{where}\nprotocol = "tcp"').check()
    assert (seen.fields["dns.protocol"], seen.fields["dns.truncated"]) == ("tcp", False)


@pytest.mark.parametrize(
    ("name", "record_type", "said"),
    [
        ("nowhere.example.test", "A", "NXDOMAIN"),
        ("elsewhere.test", "A", "REFUSED"),
        ("www.example.test", "MX", "NOERROR, but no MX record"),
    ],
)
async def test_answer_without_the_records_fails(
    make: Make, port: int, name: str, record_type: str, said: str
) -> None:
    where = f'server = "127.0.0.1"\nport = {port}\nname = "{name}"\nrecord_type = "{record_type}"'
    seen = await make(where).check()
    assert seen.reason is Reason.CONDITION_FAILED
    assert seen.detail.startswith(f"{record_type} {name}. at 127.0.0.1: {said}, ")
    assert (seen.subject, seen.outcome) == (f"{record_type} {name}. at 127.0.0.1", said)
    assert (seen.fields["dns.answer_count"], seen.fields["dns.answers"]) == (0, ())
    assert seen.fields["dns.rcode"] == said.partition(",")[0]


async def test_query_over_tls_verifies_the_certificate(make: Make, port: int, tmp_path: Path) -> None:
    authority = Authority()
    ca_file = authority.write(tmp_path / "ca.pem")
    issued = authority.issue("dns.example.test", directory=tmp_path)
    async with serve(relay(port), tls=issued.server_context()) as front:
        where = f'server = "127.0.0.1"\nport = {front.port}\nprotocol = "tls"\nname = "www.example.test"\n'
        good = await make(f'{where}ca_file = "{ca_file}"\nserver_name = "dns.example.test"').check()
        other = await make(f'{where}ca_file = "{ca_file}"\nserver_name = "other.example.test"').check()
        stranger = await make(f'{where}server_name = "dns.example.test"').check()
        lax = await make(f"{where}verify = false").check()
    assert (good.reason, good.fields["dns.protocol"]) == (Reason.OK, "tls")
    assert isinstance(good.fields["certificate.expires_in"], float)
    assert good.fields["tls.version"] == "TLSv1.3"
    assert good.fields["phase.tls"]
    assert (other.reason, stranger.reason) == (Reason.TLS_NAME_MISMATCH, Reason.TLS_UNTRUSTED)
    assert lax.reason is Reason.OK


async def test_conditions_can_use_the_answers(make: Make, port: int) -> None:
    where = f'server = "127.0.0.1"\nport = {port}\n'
    found = make(f'{where}name = "www.example.test"')
    denied = make(f'{where}name = "nowhere.example.test"')
    for monitor, condition, verdict in (
        (
            found,
            "dns.answers contains '192.0.2.2' and dns.ttl >= 5m and dns.authoritative == true",
            Verdict.PASS,
        ),
        (found, "dns.answers contains '192.0.2'", Verdict.FAIL),
        (found, "dns.authenticated == true", Verdict.FAIL),
        (denied, "dns.rcode == 'NXDOMAIN'", Verdict.PASS),
        (denied, "dns.answer_count >= 1", Verdict.FAIL),
    ):
        conditions = (parse_condition(condition, DnsMonitor.vocabulary),)
        settings = replace(monitor.settings, up_when=conditions)
        result = judge(await monitor.check(), settings, None)
        assert result.verdict is verdict, condition


# Results for faulty servers


async def test_closed_port_is_refused(make: Make) -> None:
    port = free_port()
    seen = await make(f'server = "127.0.0.1"\nport = {port}\nname = "a.test"').check()
    assert seen.reason is Reason.REFUSED
    assert seen.detail.startswith(f"A a.test. at 127.0.0.1: 127.0.0.1:{port} refused, ")
    assert seen.fields["address"] == "127.0.0.1"


async def test_unresponsive_server_is_a_timeout(make: Make) -> None:
    async with answering(lambda _: []) as port:
        where = f'server = "127.0.0.1"\nport = {port}\nname = "a.test"'
        seen = await make(where, timeout_s=0.1).check()
    assert seen.reason is Reason.TIMEOUT_RESPONSE
    assert seen.duration_s >= 0.1


async def test_recursion_is_requested_unless_disabled(make: Make) -> None:
    asked: list[bytes] = []

    def note(query: bytes) -> list[bytes]:
        asked.append(query)
        return [response(query, "a.test. 60 A 192.0.2.1")]

    async with answering(note) as port:
        where = f'server = "127.0.0.1"\nport = {port}\nname = "a.test"\n'
        await make(where).check()
        await make(f"{where}recursion = false").check()
    assert [bool(query[2] & 1) for query in asked] == [True, False]


async def test_authenticated_data_is_a_field(make: Make) -> None:
    async with answering(lambda query: [response(query, "a.test. 60 A 192.0.2.1", flags=0x20)]) as port:
        seen = await make(f'server = "127.0.0.1"\nport = {port}\nname = "a.test"').check()
    assert seen.fields["dns.authenticated"] is True
    assert seen.fields["dns.authoritative"] is False


async def test_only_the_beginning_of_an_endless_answer_is_kept(make: Make) -> None:
    records = [f"a.test. 60 TXT {number:05}{'x' * 240}" for number in range(90)]
    async with serve(answer_stream(lambda query: [response(query, *records)])) as server:
        where = f'server = "127.0.0.1"\nport = {server.port}\nname = "a.test"\nrecord_type = "TXT"\nprotocol = "tcp"'
        seen = await make(where).check()
    assert seen.fields["dns.answer_count"] == 90
    answers = seen.fields["dns.answers"]
    assert isinstance(answers, tuple)
    assert sum(map(len, answers)) <= 16 * 1024 < sum(map(len, answers)) + 247
    assert len(seen.detail) < 400


# The servers of the system


async def test_system_servers_are_queried_in_turn_by_default(make: Make, port: int) -> None:
    where = f'port = {port}\nname = "www.example.test"'
    first = await make(where, resolv_conf="nameserver 127.0.0.1\nnameserver 127.0.0.9\n").check()
    # Port closed at 127.0.0.9, so the next server is queried.
    second = await make(where, resolv_conf="nameserver 127.0.0.9\nnameserver ::1\n").check()
    none = await make(where, resolv_conf="nameserver 127.0.0.8\nnameserver 127.0.0.9\n").check()
    assert (first.reason, first.address) == (Reason.OK, "127.0.0.1")
    assert (second.reason, second.address, second.fields["ip_version"]) == (Reason.OK, "::1", 6)
    assert second.detail.endswith(" s, after 1 server failed")
    assert (none.reason, none.address) == (Reason.REFUSED, "127.0.0.9")


async def test_unresponsive_system_server_leaves_time_for_the_next(make: Make) -> None:
    def answer(query: bytes) -> list[bytes]:
        return [response(query, "a.test. 60 A 192.0.2.1")]

    async with answering(lambda _: []) as port, answering(answer, host="127.0.0.2", port=port):
        servers = "nameserver 127.0.0.1\nnameserver 127.0.0.2\n"
        seen = await within_growing_limit(
            lambda limit_s: make(
                f'port = {port}\nname = "a.test"', timeout_s=limit_s, resolv_conf=servers
            ).check(),
            lambda seen: seen.reason is Reason.OK,
        )
    assert (seen.reason, seen.address) == (Reason.OK, "127.0.0.2")
    assert seen.duration_s >= 0.15


async def test_next_system_server_is_queried_after_a_failure_but_not_after_nxdomain(make: Make) -> None:
    def fails(query: bytes) -> list[bytes]:
        return [response(query, rcode="SERVFAIL")]

    def denies(query: bytes) -> list[bytes]:
        return [response(query, rcode="NXDOMAIN")]

    keys = 'port = {}\nname = "a.test"'
    async with answering(fails) as port, answering(denies, host="127.0.0.2", port=port):
        both = (
            "nameserver 127.0.0.1\nnameserver 127.0.0.2\n",
            "nameserver 127.0.0.2\nnameserver 127.0.0.1\n",
        )
        seen = [await make(keys.format(port), resolv_conf=text).check() for text in both]
    assert [result.shows_connectivity for result in seen] == [None, None]
    assert [(result.address, result.fields["dns.rcode"]) for result in seen] == [
        ("127.0.0.2", "NXDOMAIN")
    ] * 2


@pytest.mark.parametrize(
    ("address", "rcode", "is_isolated"),
    [
        ("127.0.0.53", "SERVFAIL", True),
        ("192.168.1.1", "SERVFAIL", True),
        ("fd00::1", "SERVFAIL", True),
        ("fe80::1%eth0", "SERVFAIL", True),
        ("192.168.1.1", "NXDOMAIN", False),
        ("9.9.9.9", "SERVFAIL", False),
    ],
)
def test_failure_of_a_local_resolver_can_be_isolation(address: str, rcode: str, is_isolated: bool) -> None:
    answer = DnsAnswer(
        rcode=rcode,
        answers=(),
        ttl_s=None,
        serial=None,
        is_authoritative=False,
        is_authenticated=False,
        was_truncated=False,
        protocol=DnsProtocol.UDP,
        address=address,
        phases={},
        duration_s=0.1,
        tls=None,
    )
    assert may_be_isolated(answer) is is_isolated


@pytest.mark.parametrize(
    ("text", "servers"),
    [
        ("", ("127.0.0.1",)),
        ("# nothing\nsearch example.org\n", ("127.0.0.1",)),
        ("nameserver 192.0.2.1\n", ("192.0.2.1",)),
        ("options edns0\nnameserver  fe80::1%eth0 # here\n", ("fe80::1%eth0",)),
        ("nameserver no-address\nnameserver\n", ("127.0.0.1",)),
        ("".join(f"nameserver 192.0.2.{n}\n" for n in range(1, 6)), ("192.0.2.1", "192.0.2.2", "192.0.2.3")),
    ],
)
def test_servers_of_the_system_are_read(tmp_path: Path, text: str, servers: tuple[str, ...]) -> None:
    (tmp_path / "resolv.conf").write_text(text)
    assert system_servers(tmp_path / "resolv.conf") == servers


def test_server_of_this_host_is_queried_without_resolv_conf(tmp_path: Path) -> None:
    assert system_servers(tmp_path / "nothing") == ("127.0.0.1",)


# Options


def test_every_option_is_read(tmp_path: Path) -> None:
    ca_file = Authority().write(tmp_path / "ca.pem")
    options = read(
        tmp_path,
        'server = "NS1.example.org"\nport = 8853\nprotocol = "tls"\nip_family = 6\nname = "example.org"\n'
        f'record_type = "soa"\nrecursion = false\nverify = true\nca_file = "{ca_file}"\nserver_name = "ns"',
    )
    assert options.question == DnsQuestion("example.org.", "SOA", wants_recursion=False)
    assert (options.server, options.port, options.protocol) == ("ns1.example.org", 8853, DnsProtocol.TLS)
    assert (options.ip_family, options.tls.ca_file, options.tls.verify) == (IpFamily.IPV6, str(ca_file), True)
    assert (options.server_name, options.tls.alpn) == ("ns", ("dot",))
    assert DnsMonitor(monitor_settings(options=options), fake_tools(FakeClock())).pool == "ns1.example.org"


def test_minimal_configuration_has_defaults(tmp_path: Path) -> None:
    options = read(tmp_path, 'name = "example.org"')
    assert options.question == DnsQuestion("example.org.", "A", wants_recursion=True)
    assert (options.server, options.port, options.protocol) == (None, 53, DnsProtocol.UDP)
    assert DnsMonitor(monitor_settings(options=options), fake_tools(FakeClock())).pool is None
    assert read(tmp_path, 'name = "a.b"\nprotocol = "tls"').port == 853
