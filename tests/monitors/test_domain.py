"""The type `domain`: its options as written in a file, and its results with registries on this host."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from monitord.clock import SystemClock
from monitord.conditions import parse_condition
from monitord.dispatch.judging import judge
from monitord.errors import ConfigError
from monitord.model import Observation, Reason, Verdict
from monitord.monitors.domain import (
    CONFIRM_AFTER_S,
    MAX_AGE_S,
    RETRY_FIRST_S,
    DomainMonitor,
    DomainOptions,
    parse_domain_name,
)
from monitord.net import TlsOptions
from monitord.net.registry import client
from monitord.net.registry.limits import Registries, RegistrySource
from tests.certificates import Authority
from tests.configurations import options_of
from tests.fakes import monitor_settings, resolver_without_queue
from tests.net.registry import responses
from tests.servers import Peer, Script, Server, free_port, respond, serve
from tests.systemds import Started
from tests.worlds import real_tools

NOW = datetime(2026, 1, 1, tzinfo=UTC)
HOUR = 3600.0
DAY = 24 * HOUR


class DomainClock(SystemClock):
    """The wall clock shows NOW; a test advances both clocks."""

    def __init__(self) -> None:
        self.ahead_s = 0.0

    def monotonic_s(self) -> float:
        return super().monotonic_s() + self.ahead_s

    def now(self) -> datetime:
        return NOW + timedelta(seconds=self.ahead_s)


class Bench:
    """Makes monitors. `answer`: the script of the RDAP server, which has TLS."""

    def __init__(self, folder: Path, tools: Any, server: Server, ca_file: str) -> None:
        self.folder, self.tools, self.server, self.ca_file = folder, tools, server, ca_file
        self.clock: DomainClock = tools.clock
        self.script: Script = respond(body=responses.rdap())

    async def answer(self, peer: Peer) -> None:
        await self.script(peer)

    def respond(self, body: bytes, status: str = "200 OK", headers: dict[str, str] | None = None) -> None:
        self.script = respond(status, body, headers)

    @property
    def queries(self) -> int:
        return len(self.server.requests)

    def options(self, keys: str = "") -> DomainOptions:
        server = f'server = "https://rdap.test:{self.server.port}/v1"\n'
        options = options_of(DomainMonitor, self.folder, f'domain = "example.org"\n{server}{keys}')
        return replace(options, tls=TlsOptions(ca_file=self.ca_file))

    def monitor(self, keys: str = "", *up_when: str, options: DomainOptions | None = None) -> DomainMonitor:
        settings = monitor_settings(
            type_name="domain", options=options or self.options(keys), timeout_s=20.0, check_every_s=12 * HOUR
        )
        conditions = tuple(parse_condition(text, DomainMonitor.vocabulary) for text in up_when)
        return DomainMonitor(replace(settings, up_when=conditions), self.tools)


def addresses_of_tests(name: str, family: int) -> list[str]:
    return ["127.0.0.1"] if name in {"rdap.test", "localhost"} else []


@pytest.fixture
async def bench(tmp_path: Path, authority: Authority, ca_file: str) -> AsyncIterator[Bench]:
    issued = authority.issue("rdap.test", directory=tmp_path)
    found: list[Bench] = []

    async def answer(peer: Peer) -> None:
        await found[0].answer(peer)

    async with (
        real_tools(resolver_without_queue(addresses_of_tests)) as lent,
        serve(answer, tls=issued.server_context()) as server,
    ):
        tools = replace(lent, clock=DomainClock(), registries=Registries(spacing_s=0.0))
        found.append(Bench(tmp_path, tools, server, ca_file))
        yield found[0]


def verdict_of(monitor: DomainMonitor, seen: Observation) -> Verdict:
    return judge(seen, monitor.settings, None).verdict


# Options


def test_options_are_read(tmp_path: Path) -> None:
    file = tmp_path / "dns.json"
    file.write_text('{"services": [[["org"], ["https://rdap.example/"]]]}')
    keys = f'domain = "Example.ORG."\nbootstrap = "{file}"\nwarn_before = "60d"\nfail_before = "10d"'
    assert options_of(DomainMonitor, tmp_path, keys) == DomainOptions(
        "example.org", RegistrySource("https://rdap.example/"), 60 * DAY, 10 * DAY
    )


@pytest.mark.parametrize(
    ("domain", "server"),
    [
        ("example.org", RegistrySource("https://rdap.publicinterestregistry.org/rdap/")),
        ("example.io", RegistrySource(whois_host="whois.nic.io")),
        ("example.zz", RegistrySource(whois_host="")),
    ],
)
def test_registry_has_rdap_or_whois(tmp_path: Path, domain: str, server: RegistrySource) -> None:
    assert options_of(DomainMonitor, tmp_path, f'domain = "{domain}"').server == server


@pytest.mark.parametrize(
    ("text", "server"),
    [
        ("https://rdap.example", RegistrySource("https://rdap.example/")),
        ("https://rdap.example:8443/v1/", RegistrySource("https://rdap.example:8443/v1/")),
        ("whois://whois.example", RegistrySource(whois_host="whois.example")),
        ("whois://whois.example:4343", RegistrySource(whois_host="whois.example", whois_port=4343)),
    ],
)
def test_server_replaces_that_of_the_bootstrap_file(
    tmp_path: Path, text: str, server: RegistrySource
) -> None:
    options = options_of(DomainMonitor, tmp_path, f'domain = "example.org"\nserver = "{text}"')
    assert options.server == server


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("example.org", "example.org"),
        ("EXAMPLE.Org.", "example.org"),
        ("bücher.example", "xn--bcher-kva.example"),
        ("example.co.uk", "example.co.uk"),
        ("example.com.au", "example.com.au"),
        ("ab.de", "ab.de"),
        ("com.de", "com.de"),
    ],
)
def test_registrable_domain_is_accepted_in_its_ascii_form(text: str, name: str) -> None:
    assert parse_domain_name(text) == name


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("www.example.org", 'write domain = "example.org"'),
        ("a.b.example.de", 'write domain = "example.de"'),
        ("www.example.co.uk", 'write domain = "example.co.uk"'),
        ("www.bücher.example", 'write domain = "xn--bcher-kva.example"'),
        ("co.uk", 'write a name below it, such as "example.co.uk"'),
        ("localhost", 'write a value such as "example.org"'),
        ("192.0.2.1", 'write a value such as "example.org"'),
    ],
)
def test_other_names_are_rejected_with_the_registrable_domain(tmp_path: Path, text: str, hint: str) -> None:
    with pytest.raises(ConfigError) as rejected:
        options_of(DomainMonitor, tmp_path, f'domain = "{text}"')
    assert hint in str(rejected.value)


# RDAP


async def test_registration_is_queried_by_rdap_over_tls(bench: Bench) -> None:
    monitor = bench.monitor()
    seen = await monitor.check()
    assert (seen.reason, verdict_of(monitor, seen)) == (Reason.OK, Verdict.PASS)
    assert seen.detail == "example.org: expires at 2026-08-30 04:00:00 UTC"
    (request,) = bench.server.requests
    assert (request.method, request.target) == ("GET", "/v1/domain/example.org")
    assert request.headers["accept"].startswith("application/rdap+json")
    fields = dict(seen.fields)
    assert isinstance(fields.pop("response_time"), float)
    assert fields == {
        "domain.registered": True,
        "domain.expires_in": 241 * DAY + 4 * HOUR,
        "domain.expires_at": "2026-08-30T04:00:00+00:00",
        "domain.registrar": "Example Registrar Inc.",
        "domain.statuses": ("clientTransferProhibited", "serverDeleteProhibited"),
        "domain.nameservers": ("ns1.example.net", "ns2.example.net"),
        "domain.dnssec": True,
        "domain.protocol": "rdap",
        "domain.response_age": 0.0,
    }
    assert {"response_time", *fields} == set(DomainMonitor.vocabulary.fields)


@pytest.mark.parametrize(
    ("expires", "keys", "verdict", "reason"),
    [
        ("2026-01-30T00:00:00Z", "", Verdict.PASS, Reason.OK),
        ("2026-01-20T00:00:00Z", "", Verdict.WARN, Reason.DOMAIN_EXPIRING),
        ("2026-01-07T00:00:00Z", "", Verdict.FAIL, Reason.DOMAIN_NOT_RENEWED),
        ("2025-12-31T00:00:00Z", "", Verdict.FAIL, Reason.DOMAIN_EXPIRED),
        ("2026-01-20T00:00:00Z", 'warn_before = "10d"', Verdict.PASS, Reason.OK),
        ("2026-01-20T00:00:00Z", 'fail_before = "30d"', Verdict.FAIL, Reason.DOMAIN_NOT_RENEWED),
        ("2025-12-31T00:00:00Z", 'fail_before = "0s"', Verdict.FAIL, Reason.DOMAIN_EXPIRED),
    ],
)
async def test_expiry_warns_and_fails(
    bench: Bench, expires: str, keys: str, verdict: Verdict, reason: Reason
) -> None:
    bench.respond(responses.expiring(expires))
    monitor = bench.monitor(keys)
    seen = await monitor.check()
    assert (seen.reason, verdict_of(monitor, seen)) == (reason, verdict)


@pytest.mark.parametrize(
    "status", ["client hold", "server hold", "redemption period", "pending delete", "pending restore"]
)
async def test_domain_that_is_held_or_deleted_fails(bench: Bench, status: str) -> None:
    bench.respond(responses.expiring("2027-01-01T00:00:00Z", "client transfer prohibited", status))
    monitor = bench.monitor()
    seen = await monitor.check()
    assert (seen.reason, verdict_of(monitor, seen)) == (Reason.DOMAIN_HELD, Verdict.FAIL)


async def test_automatic_renewal_is_not_a_failure(bench: Bench) -> None:
    bench.respond(responses.expiring("2027-01-01T00:00:00Z", "auto renew period"))
    assert (await bench.monitor().check()).reason is Reason.OK


async def test_registry_without_an_expiry_date_passes(bench: Bench) -> None:
    bench.respond(responses.rdap(events=[]))
    seen = await bench.monitor().check()
    assert (seen.reason, seen.detail) == (Reason.OK, "example.org: registered, without an expiry date")
    assert "domain.expires_in" not in seen.fields


@pytest.mark.parametrize(
    ("condition", "verdict"),
    [
        ("domain.expires_in > 1d and not domain.statuses contains 'clientHold'", Verdict.PASS),
        ("domain.expires_in > 30d", Verdict.FAIL),
        ("domain.nameservers == ['ns1.example.net', 'ns2.example.net']", Verdict.PASS),
        ("domain.registrar == 'Another Registrar'", Verdict.FAIL),
    ],
)
async def test_conditions_replace_the_default(bench: Bench, condition: str, verdict: Verdict) -> None:
    bench.respond(responses.rdap(events=[{"eventAction": "expiration", "eventDate": "2026-01-05T00:00:00Z"}]))
    monitor = bench.monitor("", condition)
    assert verdict_of(monitor, await monitor.check()) is verdict


# Missing domains


async def test_missing_domain_fails_after_a_second_response(bench: Bench) -> None:
    bench.respond(responses.NOT_FOUND, "404 Not Found")
    monitor = bench.monitor()
    assert verdict_of(monitor, await monitor.check()) is Verdict.INCONCLUSIVE
    assert verdict_of(monitor, await monitor.check()) is Verdict.INCONCLUSIVE
    assert bench.queries == 1
    bench.clock.ahead_s = CONFIRM_AFTER_S + 1
    seen = await monitor.check()
    assert (seen.reason, verdict_of(monitor, seen)) == (Reason.DOMAIN_MISSING, Verdict.FAIL)
    assert (seen.detail, bench.queries) == ("example.org: not registered", 2)
    assert seen.fields["domain.registered"] is False


async def test_single_response_that_the_domain_is_missing_is_forgotten(bench: Bench) -> None:
    bench.respond(responses.NOT_FOUND, "404 Not Found")
    monitor = bench.monitor()
    await monitor.check()
    bench.respond(responses.rdap())
    bench.clock.ahead_s = CONFIRM_AFTER_S + 1
    assert (await monitor.check()).reason is Reason.OK


# Rate


async def test_response_is_reused_for_most_of_the_period(bench: Bench) -> None:
    monitor = bench.monitor()
    for hours, queries, age in ((0, 1, 0), (1, 1, 1), (10, 1, 10), (11, 2, 0), (12, 2, 1), (23, 3, 0)):
        bench.clock.ahead_s = hours * HOUR
        seen = await monitor.check()
        assert (seen.reason, bench.queries) == (Reason.OK, queries)
        assert seen.fields["domain.response_age"] == age * HOUR


async def test_response_is_reused_after_a_restart(bench: Bench) -> None:
    first, second = bench.monitor(), bench.monitor()
    await first.check()
    state = first.dump_state()
    assert state is not None
    bench.clock.ahead_s = 3 * HOUR
    second.restore_state(json.loads(json.dumps(state)))
    seen = await second.check()
    assert (seen.reason, bench.queries) == (Reason.OK, 1)
    assert seen.fields["domain.expires_in"] == 241 * DAY + HOUR
    assert seen.fields["domain.statuses"] == ("clientTransferProhibited", "serverDeleteProhibited")


@pytest.mark.parametrize(
    "change",
    [
        {"domain": "example.net"},
        {"at": "yesterday"},
        {"at": "2030-01-01T00:00:00+00:00"},
        {"registration": 5},
        {"registration": {"statuses": 5}},
        {"registration": {"statuses": [], "nameservers": [], "expires_at": "soon"}},
    ],
)
async def test_invalid_stored_state_or_that_of_another_domain_is_ignored(
    bench: Bench, change: dict[str, Any]
) -> None:
    first, second = bench.monitor(), bench.monitor()
    await first.check()
    second.restore_state({**(first.dump_state() or {}), **change})
    assert (await second.check()).reason is Reason.OK
    assert bench.queries == 2


async def test_queries_of_a_server_are_spread(bench: Bench) -> None:
    seconds = 100.0
    registries = Registries(spacing_s=10.0, monotonic_s=lambda: seconds)
    source, other = RegistrySource("https://a.test/v1/"), RegistrySource("https://b.test/")
    assert [registries.reserve(source) for _ in range(3)] == [0.0, 10.0, 20.0]
    assert registries.reserve(RegistrySource("https://a.test/v2/")) == 30.0
    assert registries.reserve(other) == 0.0
    seconds = 200.0
    assert registries.reserve(source) == 0.0
    registries.block(source, 3600.0)
    assert registries.reserve(source) == 3600.0


async def test_monitor_that_waits_for_its_turn_is_inconclusive_and_requests_a_check(bench: Bench) -> None:
    bench.tools = replace(bench.tools, registries=Registries(spacing_s=60.0))
    first, second = bench.monitor(), bench.monitor()
    assert (await first.check()).reason is Reason.OK
    seen = await second.check()
    assert (seen.reason, bench.queries) == (Reason.DOMAIN_QUERY_FAILED, 1)
    assert (
        seen.detail
        == "example.org: the registry cannot be queried: queued, because the rate of queries is limited"
    )


async def test_each_monitor_of_a_server_has_its_turn(bench: Bench) -> None:
    registries = Registries(spacing_s=10.0, monotonic_s=lambda: bench.clock.ahead_s)
    bench.tools = replace(bench.tools, registries=registries)
    monitors = [bench.monitor() for _ in range(8)]
    for turn in range(8):
        bench.clock.ahead_s = 10.0 * turn
        reasons = [(await monitor.check()).reason for monitor in monitors]
        assert reasons == [Reason.OK] * (turn + 1) + [Reason.DOMAIN_QUERY_FAILED] * (7 - turn)
        assert bench.queries == turn + 1


async def test_reserved_query_is_not_sent_to_a_server_that_was_blocked(bench: Bench) -> None:
    registries = Registries(spacing_s=10.0, monotonic_s=lambda: bench.clock.ahead_s)
    bench.tools = replace(bench.tools, registries=registries)
    first, second = bench.monitor(), bench.monitor()
    bench.script = limited
    await first.check()
    await second.check()
    for seconds, queries in ((10.0, 1), (7100.0, 1), (7400.0, 2)):
        bench.clock.ahead_s = seconds
        await second.check()
        assert bench.queries == queries


# Registries that do not respond


async def limited(peer: Peer) -> None:
    await respond("429 Too Many Requests", b"{}", {"Retry-After": "7200"})(peer)


async def hang_up(peer: Peer) -> None:
    await peer.request()


UNUSABLE: dict[str, Callable[[Peer], Awaitable[None]]] = {
    "limited": limited,
    "closed": hang_up,
    "error": respond("500 Internal Server Error", b"{}"),
    "forbidden": respond("403 Forbidden", b"{}"),
    "page": respond(body=b"<html>", headers={"Content-Type": "text/html"}),
    "entity": respond(body=b'{"objectClassName":"entity"}'),
    "large": respond(body=b" " * (client.MAX_BODY_BYTES + 1)),
}


@pytest.mark.parametrize("script", UNUSABLE.values(), ids=UNUSABLE)
async def test_unusable_response_is_inconclusive(
    bench: Bench, script: Callable[[Peer], Awaitable[None]]
) -> None:
    bench.script = script
    monitor = bench.monitor()
    seen = await monitor.check()
    assert (seen.reason, verdict_of(monitor, seen)) == (
        Reason.DOMAIN_QUERY_FAILED,
        Verdict.INCONCLUSIVE,
    )
    assert seen.detail.startswith("example.org: the registry cannot be queried: ")


async def test_limit_holds_for_all_monitors_of_the_server(bench: Bench) -> None:
    bench.script = limited
    first, second = bench.monitor(), bench.monitor()
    await first.check()
    await second.check()
    assert bench.queries == 1
    bench.clock.ahead_s = 7100.0
    assert (await first.check()).reason is Reason.DOMAIN_QUERY_FAILED
    assert bench.queries == 1


async def test_previous_response_is_used_while_it_is_good(bench: Bench) -> None:
    monitor = bench.monitor()
    assert (await monitor.check()).reason is Reason.OK
    bench.script = hang_up
    bench.clock.ahead_s = DAY
    seen = await monitor.check()
    assert seen.reason is Reason.OK
    assert seen.detail.startswith(
        "example.org: expires at 2026-08-30 04:00:00 UTC; the registry cannot be queried: "
    )
    assert seen.fields["domain.response_age"] == DAY
    bench.clock.ahead_s = MAX_AGE_S + DAY
    assert (await monitor.check()).reason is Reason.DOMAIN_QUERY_FAILED


async def test_expiry_that_may_have_been_renewed_is_inconclusive(bench: Bench) -> None:
    bench.respond(responses.expiring("2026-01-24T00:00:00Z"))
    monitor = bench.monitor()
    assert (await monitor.check()).reason is Reason.OK
    bench.script = hang_up
    bench.clock.ahead_s = 3 * DAY
    assert verdict_of(monitor, await monitor.check()) is Verdict.INCONCLUSIVE


async def test_failed_queries_are_repeated_with_increasing_intervals(bench: Bench) -> None:
    bench.script = hang_up
    monitor = bench.monitor()
    for queries, wait_s in enumerate((0.0, RETRY_FIRST_S, 2 * RETRY_FIRST_S, 4 * RETRY_FIRST_S), 1):
        bench.clock.ahead_s += 0.75 * wait_s
        await monitor.check()
        assert bench.queries == queries - (1 if wait_s else 0)
        bench.clock.ahead_s += 0.5 * wait_s
        await monitor.check()
        assert bench.queries == queries


async def test_unreachable_registry_is_inconclusive(bench: Bench) -> None:
    options = replace(bench.options(), server=RegistrySource(f"https://127.0.0.1:{free_port()}/"))
    monitor = bench.monitor(options=options)
    assert verdict_of(monitor, await monitor.check()) is Verdict.INCONCLUSIVE


# WHOIS


def whois(*answers: bytes) -> tuple[Script, list[bytes]]:
    """Return the script of a WHOIS server, and the queries that it receives."""
    queries: list[bytes] = []

    async def script(peer: Peer) -> None:
        queries.append(await peer.reader.readline())
        await peer.send(answers[min(len(queries), len(answers)) - 1])

    return script, queries


async def test_registration_is_queried_by_whois(bench: Bench) -> None:
    script, queries = whois(responses.SWEDEN)
    async with serve(script) as server:
        source = RegistrySource(whois_host="localhost", whois_port=server.port)
        monitor = bench.monitor(options=DomainOptions("example.se", source))
        seen = await monitor.check()
    assert (seen.reason, seen.detail) == (Reason.OK, "example.se: expires at 2026-12-30 00:00:00 UTC")
    assert (seen.fields["domain.protocol"], seen.fields["domain.registrar"]) == ("whois", "Registrar AB")
    assert queries == [b"example.se\r\n"]


async def test_status_of_whois_fails(bench: Bench) -> None:
    script, _ = whois(responses.ICANN)
    async with serve(script) as server:
        source = RegistrySource(whois_host="localhost", whois_port=server.port)
        seen = await bench.monitor(options=DomainOptions("example.io", source)).check()
    assert (seen.reason, seen.detail) == (Reason.DOMAIN_HELD, "example.io: status clientHold")


@pytest.mark.parametrize("response", [*responses.WHOIS_LIMITED.values(), b"", b"x" * 70_000])
async def test_unusable_response_of_whois_is_inconclusive(bench: Bench, response: bytes) -> None:
    script, _ = whois(response)
    async with serve(script) as server:
        source = RegistrySource(whois_host="localhost", whois_port=server.port)
        monitor = bench.monitor(options=DomainOptions("example.ru", source))
        seen = await monitor.check()
    assert (seen.reason, verdict_of(monitor, seen)) == (
        Reason.DOMAIN_QUERY_FAILED,
        Verdict.INCONCLUSIVE,
    )


async def test_check_before_the_next_query_requests_another_one(bench: Bench) -> None:
    bench.script = hang_up
    first = bench.monitor()
    await first.check()
    state = dict(first.dump_state() or {})
    state["next_query_at"] = (bench.clock.now() + timedelta(milliseconds=20)).isoformat()
    started = Started(bench.monitor())
    started.monitor.restore_state(state)
    await started.monitor.check()
    await started.wait_for_change()
    assert bench.queries == 1
    await started.monitor.close()
