"""Every way in which a question to a name server can end, by peers that do it."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from pathlib import Path

import pytest

from monitord.net import FailureKind, IpFamily, Phase, Resolver, TlsContexts, TlsOptions
from monitord.net.dns.client import (
    MAX_STRAYS,
    DnsAnswer,
    DnsClient,
    DnsFailure,
    DnsProtocol,
    DnsQuestion,
    DnsServer,
)
from tests.certificates import DAY, Authority
from tests.dns_servers import TRUNCATED, answer_stream, answering, framed, response, with_number
from tests.fakes import resolver_without_queue
from tests.net.conftest import addresses_of_tests, in_time, soon
from tests.servers import Peer, free_port, serve

QUESTION = DnsQuestion("www.example.test.")
A_RECORD = "www.example.test. 300 A 192.0.2.1"


@pytest.fixture
async def dns_client() -> AsyncIterator[DnsClient]:
    resolver = resolver_without_queue(addresses_of_tests)
    yield DnsClient(resolver, TlsContexts())
    await resolver.close()


def server(port: int, protocol: DnsProtocol = DnsProtocol.UDP, *, host: str = "127.0.0.1") -> DnsServer:
    return DnsServer(host, port, protocol)


async def failure(client: DnsClient, server: DnsServer, *, deadline: float | None = None) -> DnsFailure:
    outcome = await client.query(QUESTION, server, deadline=deadline or in_time())
    assert isinstance(outcome, DnsFailure), outcome
    return outcome


async def answer(client: DnsClient, server: DnsServer) -> DnsAnswer:
    outcome = await client.query(QUESTION, server, deadline=in_time())
    assert isinstance(outcome, DnsAnswer), outcome
    return outcome


async def test_udp_query_is_answered(dns_client: DnsClient) -> None:
    async with answering(lambda query: [response(query, A_RECORD)]) as port:
        seen = await answer(dns_client, server(port, host="one.test"))
    assert (seen.rcode, seen.answers, seen.ttl_s) == ("NOERROR", ("192.0.2.1",), 300)
    assert (seen.protocol, seen.was_truncated, seen.address) == (DnsProtocol.UDP, False, "127.0.0.1")
    assert set(seen.phases) == {Phase.RESOLVE, Phase.CONNECT, Phase.PROCESSING}
    assert seen.duration_s >= sum(seen.phases.values())


async def test_truncated_response_is_queried_again_over_tcp(dns_client: DnsClient) -> None:
    async with (
        serve(answer_stream(lambda query: [response(query, A_RECORD)])) as whole,
        answering(lambda query: [response(query, flags=TRUNCATED)[:20]], port=whole.port),
    ):
        seen = await answer(dns_client, server(whole.port))
    assert (seen.answers, seen.protocol, seen.was_truncated) == (("192.0.2.1",), DnsProtocol.TCP, True)


async def test_failure_of_tcp_after_a_truncated_response_is_reported(
    dns_client: DnsClient,
) -> None:
    port = free_port()
    async with answering(lambda query: [response(query, flags=TRUNCATED)], port=port):
        seen = await failure(dns_client, server(port))
    assert (seen.kind, seen.detail) == (FailureKind.REFUSED, f"connection to 127.0.0.1:{port} refused")


async def test_responses_that_do_not_match_the_query_are_ignored(dns_client: DnsClient) -> None:
    def strays_first(query: bytes) -> list[bytes]:
        good = response(query, A_RECORD)
        return [with_number(good, 1), b"", b"\x00", query, good]

    async with answering(strays_first) as port:
        seen = await answer(dns_client, server(port))
    assert seen.answers == ("192.0.2.1",)


async def test_only_wrong_ids_until_the_deadline_is_a_protocol_error(dns_client: DnsClient) -> None:
    async with answering(lambda query: [with_number(response(query, A_RECORD), 1)]) as port:
        seen = await failure(dns_client, server(port), deadline=soon())
    assert seen.kind is FailureKind.PROTOCOL_ERROR
    assert seen.detail == "received only responses that do not match the query"


async def test_flood_of_wrong_ids_ends_before_the_deadline(dns_client: DnsClient) -> None:
    async with answering(lambda query: [with_number(query, 1)] * MAX_STRAYS) as port:
        seen = await failure(dns_client, server(port))
    assert seen.kind is FailureKind.PROTOCOL_ERROR
    assert seen.detail == f"received {MAX_STRAYS} responses that do not match the query"


def _garbage(query: bytes) -> bytes:
    return response(query, A_RECORD)[:4] + b"\xff" * 30


def _other_question(query: bytes) -> bytes:
    return response(query).replace(b"\x03www", b"\x03ftp")


def _trailing(query: bytes) -> bytes:
    return response(query, A_RECORD) + b"rubbish"


def _cname_loop(query: bytes) -> bytes:
    return response(query, "www.example.test. 1 CNAME a.test.", "a.test. 1 CNAME www.example.test.")


@pytest.mark.parametrize(
    ("make", "detail"),
    [
        pytest.param(_garbage, "the response cannot be parsed: ", id="garbage"),
        pytest.param(_other_question, "the response is to another query", id="other question"),
        pytest.param(_trailing, "the response cannot be parsed: ", id="trailing"),
        pytest.param(_cname_loop, "the response cannot be parsed: ", id="loop of names"),
    ],
)
@pytest.mark.parametrize("protocol", [DnsProtocol.UDP, DnsProtocol.TCP])
async def test_invalid_response_is_a_protocol_error(
    dns_client: DnsClient, make: Callable[[bytes], bytes], detail: str, protocol: DnsProtocol
) -> None:
    async with (
        serve(answer_stream(lambda query: [make(query)])) as stream,
        answering(lambda query: [make(query)], port=stream.port),
    ):
        seen = await failure(dns_client, server(stream.port, protocol))
    assert seen.kind is FailureKind.PROTOCOL_ERROR
    assert seen.detail.startswith(detail)


async def test_wrong_id_on_a_stream_is_a_protocol_error(dns_client: DnsClient) -> None:
    async with serve(answer_stream(lambda query: [with_number(response(query), 1)])) as stream:
        seen = await failure(dns_client, server(stream.port, DnsProtocol.TCP))
    assert (seen.kind, seen.detail) == (
        FailureKind.PROTOCOL_ERROR,
        "the response does not match the query",
    )


async def test_unresponsive_server_is_a_response_timeout(dns_client: DnsClient) -> None:
    async with answering(lambda _: []) as port:
        seen = await failure(dns_client, server(port), deadline=soon())
    assert (seen.kind, seen.detail) == (
        FailureKind.TIMEOUT_RESPONSE,
        f"127.0.0.1:{port}: no response within the timeout",
    )


@pytest.mark.parametrize(
    ("protocol", "detail"),
    [(DnsProtocol.UDP, "127.0.0.1:{} refused"), (DnsProtocol.TCP, "connection to 127.0.0.1:{} refused")],
)
async def test_closed_port_is_refused_by_udp_as_by_tcp(
    dns_client: DnsClient, protocol: DnsProtocol, detail: str
) -> None:
    port = free_port()
    seen = await failure(dns_client, server(port, protocol))
    assert (seen.kind, seen.detail) == (FailureKind.REFUSED, detail.format(port))


async def test_server_without_a_route_is_unreachable(dns_client: DnsClient) -> None:
    seen = await failure(dns_client, DnsServer("fe80::1%nosuch0", 53), deadline=soon())
    assert (seen.kind, seen.detail) == (
        FailureKind.HOST_UNREACHABLE,
        "connection to [fe80::1%nosuch0]:53: No such device",
    )


async def test_unresolvable_server_name_is_reported(dns_client: DnsClient) -> None:
    seen = await failure(dns_client, server(53, host="nowhere.test"))
    assert (seen.kind, seen.detail) == (
        FailureKind.RESOLVE_FAILED,
        "name resolution of nowhere.test: no such name",
    )
    assert seen.address is None


async def test_ip_family_selects_the_address_of_the_server(dns_client: DnsClient) -> None:
    async with answering(lambda query: [response(query, A_RECORD)], host="::1") as port:
        seen = await answer(dns_client, DnsServer("both.test", port, ip_family=IpFamily.IPV6))
    assert seen.address == "::1"


async def test_closed_stream_is_a_reset(dns_client: DnsClient) -> None:
    async def half(peer: Peer) -> None:
        await framed(peer)
        await peer.send(b"\x00\x40", b"\x00" * 10)

    async with serve(half) as stream:
        seen = await failure(dns_client, server(stream.port, DnsProtocol.TCP))
    assert seen.kind is FailureKind.RESET
    assert seen.detail.endswith("the server closed the connection without a response")


async def test_unresponsive_stream_is_a_response_timeout(dns_client: DnsClient) -> None:
    async with serve(Peer.hang) as stream:
        seen = await failure(dns_client, server(stream.port, DnsProtocol.TCP), deadline=soon())
    assert seen.kind is FailureKind.TIMEOUT_RESPONSE


async def test_incomplete_handshake_is_a_tls_timeout(dns_client: DnsClient) -> None:
    async with serve(Peer.hang) as stream:
        seen = await failure(dns_client, server(stream.port, DnsProtocol.TLS), deadline=soon())
    assert seen.kind is FailureKind.TIMEOUT_TLS


async def test_slow_name_resolution_is_a_resolve_timeout() -> None:
    freed = asyncio.Event()
    loop = asyncio.get_running_loop()

    def hang(name: str, family: int) -> list[str]:
        asyncio.run_coroutine_threadsafe(freed.wait(), loop).result(10)
        return ["127.0.0.1"]

    resolver = Resolver(hang, monotonic=lambda: 0.0)
    seen = await failure(DnsClient(resolver, TlsContexts()), server(53, host="slow.test"), deadline=soon())
    freed.set()
    assert (seen.kind, seen.detail) == (
        FailureKind.TIMEOUT_RESOLVE,
        "name resolution of slow.test: no response within the timeout",
    )
    await asyncio.sleep(0)
    await resolver.close()


async def test_query_after_the_deadline_fails_immediately(dns_client: DnsClient) -> None:
    async with answering(lambda _: []) as port:
        seen = await failure(dns_client, server(port), deadline=time.monotonic() - 1)
    assert seen.kind is FailureKind.TIMEOUT_RESPONSE


@pytest.mark.parametrize("protocol", list(DnsProtocol))
async def test_cancellation_closes_the_connection(dns_client: DnsClient, protocol: DnsProtocol) -> None:
    async with serve(Peer.hang) as stream, answering(lambda _: [], port=stream.port):
        asking = asyncio.create_task(
            dns_client.query(QUESTION, server(stream.port, protocol), deadline=in_time())
        )
        if protocol is DnsProtocol.UDP:
            await asyncio.sleep(0)
        else:
            await stream.is_reached.wait()
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking


# TLS


async def test_certificate_is_verified_and_reported(
    dns_client: DnsClient, authority: Authority, ca_file: str, tmp_path: Path
) -> None:
    issued = authority.issue("ns.test", directory=tmp_path)
    by_tls = answer_stream(lambda query: [response(query, A_RECORD)])
    async with serve(by_tls, tls=issued.server_context()) as stream:
        seen = await answer(
            dns_client,
            DnsServer(
                "127.0.0.1",
                stream.port,
                DnsProtocol.TLS,
                tls=TlsOptions(ca_file=ca_file),
                server_name="ns.test",
            ),
        )
    assert seen.protocol is DnsProtocol.TLS
    assert seen.tls is not None
    assert seen.tls.certificate is not None
    assert seen.tls.certificate.names == ("ns.test",)
    assert Phase.TLS in seen.phases


@pytest.mark.parametrize(
    ("name", "until", "trusts", "kind"),
    [
        pytest.param("ns.test", -DAY / 2, True, FailureKind.TLS_EXPIRED, id="expired"),
        pytest.param("other.test", DAY, True, FailureKind.TLS_NAME_MISMATCH, id="other name"),
        pytest.param("ns.test", DAY, False, FailureKind.TLS_UNTRUSTED, id="untrusted"),
    ],
)
async def test_certificate_errors_have_their_own_failure_kinds(
    dns_client: DnsClient,
    authority: Authority,
    ca_file: str,
    tmp_path: Path,
    name: str,
    until: timedelta,
    trusts: bool,
    kind: FailureKind,
) -> None:
    issued = authority.issue(name, directory=tmp_path, valid_until=until)
    other = str(Authority("Another").write(tmp_path / "other.pem"))
    async with serve(Peer.hang, tls=issued.server_context()) as stream:
        asked = DnsServer(
            "127.0.0.1",
            stream.port,
            DnsProtocol.TLS,
            tls=TlsOptions(ca_file=ca_file if trusts else other),
            server_name="ns.test",
        )
        assert (await failure(dns_client, asked)).kind is kind


async def test_missing_ca_file_fails_without_a_connection(dns_client: DnsClient) -> None:
    async with serve(Peer.hang) as stream:
        asked = DnsServer(
            "127.0.0.1", stream.port, DnsProtocol.TLS, tls=TlsOptions(ca_file="/nowhere/ca.pem")
        )
        seen = await failure(dns_client, asked)
    assert (seen.kind, stream.connections) == (FailureKind.TLS_FAILED, 0)
