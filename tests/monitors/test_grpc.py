"""The type `grpc`: with a server of grpcio, and with scripted peers that violate HTTP/2."""

import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import h2.config
import h2.connection
import h2.events
import pytest

from monitord.conditions import parse_condition
from monitord.config import Secret
from monitord.dispatch.judging import judge
from monitord.model import Reason, Result, Verdict
from monitord.monitors.grpc import GrpcMonitor
from monitord.net import IpFamily, TlsOptions, TlsVersion
from tests.certificates import Authority
from tests.configurations import options_of
from tests.fakes import monitor_settings, resolver_without_queue
from tests.servers import Peer, Script, serve
from tests.time_limits import within_growing_limit
from tests.worlds import real_tools

ROOT = Path(__file__).parents[2]
Make = Callable[..., GrpcMonitor]


@pytest.fixture
async def make(tmp_path: Path) -> AsyncIterator[Make]:
    async with real_tools(resolver_without_queue(lambda name, family: ["127.0.0.1"])) as tools:

        def make(keys: str, *, timeout_s: float = 10.0, up_when: str | None = None) -> GrpcMonitor:
            options = options_of(GrpcMonitor, tmp_path, keys)
            settings = monitor_settings(type_name="grpc", timeout_s=timeout_s, options=options)
            if up_when is not None:
                settings = replace(settings, up_when=(parse_condition(up_when, GrpcMonitor.vocabulary),))
            return GrpcMonitor(settings, tools)

        yield make


async def judged(monitor: GrpcMonitor) -> Result:
    return judge(await monitor.check(), monitor.settings, None)


@asynccontextmanager
async def real_server(*arguments: str) -> AsyncIterator[int]:
    pytest.importorskip("grpc", reason="needs python3-grpcio")
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "tests.grpc_server", *arguments),
        cwd=ROOT,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield int(await process.stdout.readline())
    finally:
        process.stdin.close()
        await process.wait()


# With a real server


@pytest.mark.slow
async def test_health_of_services_is_reported(make: Make) -> None:
    async with real_server() as port:
        address = f'address = "api.test:{port}"'
        whole = await make(address).check()
        cart = await make(f'{address}\nservice = "shop.Cart"').check()
        search = await make(f'{address}\nservice = "shop.Search"').check()
        new = await make(f'{address}\nservice = "shop.New"').check()
        none = await make(f'{address}\nservice = "shop.None"').check()
        accepted = await judged(
            make(f'{address}\nservice = "shop.None"', up_when='grpc.status == "NOT_FOUND"')
        )
    assert (whole.reason, whole.outcome, whole.subject) == (Reason.OK, "SERVING", f"api.test:{port}")
    assert whole.fields["grpc.status"] == "OK"
    assert (cart.reason, cart.subject) == (Reason.OK, f"api.test:{port}/shop.Cart")
    assert (search.reason, search.outcome) == (Reason.CONDITION_FAILED, "NOT_SERVING")
    assert (new.reason, new.fields["grpc.serving_status"]) == (Reason.CONDITION_FAILED, "UNKNOWN")
    assert (none.reason, none.fields["grpc.message"]) == (Reason.CONDITION_FAILED, "unknown service é")
    assert none.outcome == (
        'gRPC status NOT_FOUND: unknown service é; the server does not know the service "shop.None"'
    )
    assert accepted.verdict is Verdict.PASS


@pytest.mark.slow
async def test_server_without_the_health_service_fails(make: Make) -> None:
    async with real_server("without-health") as port:
        seen = await make(f'address = "127.0.0.1:{port}"').check()
    assert (seen.reason, seen.fields["grpc.status"]) == (Reason.CONDITION_FAILED, "UNIMPLEMENTED")
    assert seen.outcome.endswith("; the server does not implement grpc.health.v1")


@pytest.mark.slow
async def test_metadata_is_sent_and_masked(make: Make) -> None:
    async with real_server() as port:
        keys = f'address = "127.0.0.1:{port}"\nservice = "shop.Private"'
        passed = await make(f'{keys}\nmetadata = {{ Authorization = "Bearer tulip-tulip" }}').check()
        failed = await make(f'{keys}\nmetadata = {{ Authorization = "Bearer wrong-token" }}').check()
    assert passed.reason is Reason.OK
    assert failed.fields["grpc.status"] == "UNAUTHENTICATED"
    assert "wrong-token" not in failed.detail + str(failed.fields["grpc.message"])


@pytest.mark.slow
async def test_tls_is_used_and_verified(
    make: Make, authority: Authority, ca_file: str, tmp_path: Path
) -> None:
    issued = authority.issue("api.test", directory=tmp_path)
    async with real_server("tls", str(issued.chain_file), str(issued.key_file)) as port:
        keys = f'address = "api.test:{port}"\ntls = true\nca_file = "{ca_file}"'
        seen = await make(keys).check()
        without_tls = await make(f'address = "api.test:{port}"', timeout_s=2).check()
    assert (seen.reason, seen.fields["certificate.names"]) == (Reason.OK, ("api.test",)), seen.detail
    assert without_tls.reason is not Reason.OK


async def test_server_without_alpn_fails(
    make: Make, authority: Authority, ca_file: str, tmp_path: Path
) -> None:
    context = authority.issue("api.test", directory=tmp_path).server_context()
    async with serve(Peer.hang, tls=context) as server:
        keys = f'address = "api.test:{server.port}"\ntls = true\nca_file = "{ca_file}"'
        seen = await make(keys).check()
    assert seen.reason is Reason.PROTOCOL_ERROR
    assert seen.outcome == "the server does not offer HTTP/2 in the TLS handshake (ALPN)"


# With scripted peers


def http2(act: Callable[[h2.connection.H2Connection, int], None]) -> Script:
    """Return a script that receives a call, lets `act` respond to it, and reads until the client closes."""

    async def answer(peer: Peer) -> None:
        connection = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
        connection.initiate_connection()
        await peer.send(connection.data_to_send())
        has_answered = False
        while data := await peer.reader.read(65536):
            for event in connection.receive_data(data):
                if isinstance(event, h2.events.StreamEnded) and not has_answered:
                    has_answered = True
                    act(connection, event.stream_id)
            await peer.send(connection.data_to_send())

    return answer


HEAD = [(":status", "200"), ("content-type", "application/grpc")]


def response(message: bytes, *trailers: tuple[str, str]) -> Script:
    def act(connection: Any, stream_id: int) -> None:
        connection.send_headers(stream_id, HEAD)
        connection.send_data(stream_id, message)
        connection.send_headers(stream_id, list(trailers), end_stream=True)

    return http2(act)


def headers_only(*headers: tuple[str, str]) -> Script:
    return http2(
        lambda connection, stream_id: connection.send_headers(stream_id, list(headers), end_stream=True)
    )


OK = ("grpc-status", "0")


@pytest.mark.parametrize(
    ("script", "reason", "outcome"),
    [
        (response(b"\0\0\0\0\2\x08\1", OK), Reason.OK, "SERVING"),
        (response(b"\0\0\0\0\6\x12\2hi\x08\1", OK), Reason.OK, "SERVING"),  # with an unknown field
        (response(b"\0\0\0\0\2\x08\7", OK), Reason.CONDITION_FAILED, "STATUS_7"),
        (response(b"\1\0\0\0\2\x08\1", OK), Reason.PROTOCOL_ERROR, "the response message is compressed"),
        (response(b"\0\0\0", OK), Reason.PROTOCOL_ERROR, "the response message is incomplete"),
        (
            response(b"\0\0\0\0\x09\x08\1", OK),
            Reason.PROTOCOL_ERROR,
            "the response message does not have the length that it states",
        ),
        (
            response(b"\0\0\0\0\2\x0b\1", OK),
            Reason.PROTOCOL_ERROR,
            "the response is not a HealthCheckResponse",
        ),
        (
            response(b"\0\0\0\0\2\x08\xff", OK),
            Reason.PROTOCOL_ERROR,
            "the response is not a HealthCheckResponse",
        ),
        (
            headers_only(*HEAD, ("grpc-status", "14"), ("grpc-message", "try%20later")),
            Reason.CONDITION_FAILED,
            "gRPC status UNAVAILABLE: try later",
        ),
        (headers_only(*HEAD, ("grpc-status", "99")), Reason.CONDITION_FAILED, "gRPC status CODE_99"),
        (headers_only(*HEAD), Reason.PROTOCOL_ERROR, "the response has no gRPC status"),
        (headers_only(*HEAD, ("grpc-status", "x")), Reason.PROTOCOL_ERROR, "the response has no gRPC status"),
        (
            headers_only((":status", "502"), ("content-type", "text/html")),
            Reason.CONDITION_FAILED,
            "HTTP 502 without a gRPC status",
        ),
        (
            http2(lambda connection, stream_id: connection.reset_stream(stream_id, 7)),
            Reason.RESET,
            "the peer reset the HTTP/2 stream (REFUSED_STREAM)",
        ),
        (
            http2(lambda connection, stream_id: connection.close_connection(11, last_stream_id=0)),
            Reason.RESET,
            "the peer closed the HTTP/2 connection (ENHANCE_YOUR_CALM)",
        ),
    ],
)
async def test_each_response_has_its_reason(make: Make, script: Script, reason: Reason, outcome: str) -> None:
    async with serve(script) as server:
        seen = await make(f'address = "127.0.0.1:{server.port}"').check()
    assert (seen.reason, seen.outcome) == (reason, outcome)


def sending(data: bytes) -> Script:
    async def answer(peer: Peer) -> None:
        await peer.send(data)
        await peer.reader.read()

    return answer


SETTINGS = b"\0\0\0\4\0\0\0\0\0"


@pytest.mark.parametrize(
    "data",
    [
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"\0\0\4\0\1\0\0\0\1data",  # not SETTINGS
        SETTINGS + b"\0\0\5\1\5\0\0\0\1\xff\xff\xff\xff\xff",  # invalid HPACK
        SETTINGS + b"\0\0\4\0\1\0\0\0\1data",  # data before headers
    ],
)
async def test_violation_of_http2_fails(make: Make, data: bytes) -> None:
    async with serve(sending(data)) as server:
        seen = await make(f'address = "127.0.0.1:{server.port}"', timeout_s=60).check()
    assert seen.reason is Reason.PROTOCOL_ERROR, seen.detail


async def test_endless_response_is_limited(make: Make) -> None:
    ping = b"\0\0\x08\6\0\0\0\0\0" + b"x" * 8
    async with serve(sending(SETTINGS + ping * 20_000)) as server:
        seen = await make(f'address = "127.0.0.1:{server.port}"').check()
    assert seen.reason is Reason.TOO_LARGE


async def test_silent_server_and_closing_server_fail(make: Make) -> None:
    async def close(peer: Peer) -> None:
        await peer.reader.read(1)

    async with serve(Peer.hang) as server:
        keys = f'address = "127.0.0.1:{server.port}"'
        silent = await within_growing_limit(
            lambda limit_s: make(keys, timeout_s=limit_s).check(),
            lambda seen: seen.reason is Reason.TIMEOUT_RESPONSE,
        )
    async with serve(close) as server:
        closing = await make(f'address = "127.0.0.1:{server.port}"').check()
    assert silent.reason is Reason.TIMEOUT_RESPONSE
    assert closing.reason is Reason.RESET


# Options


def test_every_option_is_read(tmp_path: Path, authority: Authority) -> None:
    own = authority.issue("me", directory=tmp_path)
    keys = f"""address = "[::1]:50051"
        ip_family = 6
        tls = true
        verify = false
        min_tls_version = "1.3"
        server_name = "api.test"
        authority = "cart.test"
        service = "shop.Cart"
        client_certificate_file = "{own.chain_file}"
        client_key_file = "{own.key_file}"
        metadata = {{ X-Key = "1", trace-bin = "AAE=" }}"""
    options = options_of(GrpcMonitor, tmp_path, keys)
    target = options.target
    assert (target.host, target.port, target.begins_with_tls) == ("::1", 50051, True)
    assert (target.ip_family, target.peer_name) == (IpFamily.IPV6, "api.test")
    assert target.tls == TlsOptions(
        verify=False,
        certificate_file=str(own.chain_file),
        key_file=str(own.key_file),
        min_version=TlsVersion.TLS_1_3,
        alpn=("h2",),
    )
    assert (options.service, options.authority) == ("shop.Cart", "cart.test")
    assert options.metadata == (("x-key", Secret("1")), ("trace-bin", Secret("AAE=")))


async def test_authority_is_the_address_by_default(make: Make) -> None:
    authorities: list[str] = []

    async def answer(peer: Peer) -> None:
        connection = h2.connection.H2Connection(
            h2.config.H2Configuration(client_side=False, header_encoding=None)
        )
        while data := await peer.reader.read(65536):
            for event in connection.receive_data(data):
                if isinstance(event, h2.events.RequestReceived):
                    authorities.append(bytes(dict(event.headers)[b":authority"]).decode())
                    headers = [*HEAD, ("grpc-status", "5")]
                    connection.send_headers(event.stream_id, headers, end_stream=True)
            await peer.send(connection.data_to_send())

    async with serve(answer) as server:
        await make(f'address = "api.test:{server.port}"').check()
        await make(f'address = "api.test:{server.port}"\nauthority = "cart.test"').check()
        port = server.port
    assert authorities == [f"api.test:{port}", "cart.test"]
