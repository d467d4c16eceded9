"""Every way in which a connection to a peer can end, with scripted peers."""

import asyncio
import socket
import ssl
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from monitord.net import FailureKind, IpFamily, Phase, Resolver, TlsContexts, TlsOptions, TlsVersion
from monitord.net.base.errors import ExchangeError
from monitord.net.stream.client import (
    MAX_RECEIVED_BYTES,
    Stream,
    StreamClient,
    StreamHandler,
    StreamOutcome,
    StreamTarget,
)
from tests.certificates import DAY, Authority
from tests.fakes import LoopFactory, resolver_without_queue
from tests.net.conftest import addresses_of_tests, in_time, soon
from tests.servers import free_port, full_backlog, has_ipv6, serve, serve_tls_once
from tests.stream_servers import END, HANG, LINE, RESET, Part


@pytest.fixture
async def client() -> AsyncIterator[StreamClient]:
    resolver = resolver_without_queue(addresses_of_tests)
    yield StreamClient(resolver, TlsContexts())
    await resolver.close()


async def silence(stream: Stream) -> None:
    """A dialogue that sends and expects nothing."""


async def line(stream: Stream) -> bytes:
    while (found := stream.take_line()) is None:
        if not await stream.receive():
            raise ExchangeError(FailureKind.RESET, "the end")
    return found


async def ping(stream: Stream) -> None:
    await stream.send(b"ping\n")
    assert await line(stream) == b"pong"


async def half_way(stream: Stream) -> None:
    assert await line(stream) == b"hello"
    await stream.send(b"tls\n")
    assert await line(stream) == b"go"
    await stream.start_tls()
    await ping(stream)


def at(port: int, *, host: str = "127.0.0.1", **other: Any) -> StreamTarget:
    return StreamTarget(host=host, port=port, **other)


async def failure(
    client: StreamClient,
    target: StreamTarget,
    handler: StreamHandler = silence,
    *,
    deadline: float | None = None,
) -> tuple[FailureKind, str]:
    outcome = await client.run(target, handler, deadline=deadline or in_time())
    assert outcome.failure is not None
    return outcome.failure, outcome.detail


async def succeed(
    client: StreamClient, target: StreamTarget, handler: StreamHandler = silence
) -> StreamOutcome:
    outcome = await client.run(target, handler, deadline=in_time())
    assert (outcome.failure, outcome.detail) == (None, "")
    return outcome


async def test_connection_is_opened_and_closed(client: StreamClient) -> None:
    part = Part(END)
    async with serve(part.play) as server:
        seen = await succeed(client, at(server.port, host="one.test"))
        await part.is_over.wait()
    assert part.received == [b""]
    assert (seen.address, seen.ip_version, seen.tls, seen.received) == ("127.0.0.1", 4, None, b"")
    assert set(seen.phases) == {Phase.RESOLVE, Phase.CONNECT}
    assert seen.duration_s >= sum(seen.phases.values())


async def test_data_is_sent_and_received(client: StreamClient) -> None:
    part = Part(LINE, b"po", b"ng\r\n")
    async with serve(part.play) as server:
        seen = await succeed(client, at(server.port), ping)
    assert (part.received, seen.received) == ([b"ping\n"], b"pong\r\n")
    assert set(seen.phases) == {Phase.CONNECT, Phase.PROCESSING}


async def test_unix_socket_is_used(client: StreamClient, tmp_path: Path) -> None:
    part = Part(LINE, b"pong\n")
    async with serve(part.play, path=tmp_path / "s"):
        seen = await succeed(client, StreamTarget(socket_path=str(tmp_path / "s")), ping)
    assert (seen.address, seen.ip_version) == (str(tmp_path / "s"), None)


@pytest.mark.skipif(not has_ipv6(), reason="no IPv6 here")
async def test_ip_family_selects_the_address(client: StreamClient) -> None:
    part = Part(HANG)
    async with serve(part.play, host="::1") as server:
        seen = await succeed(client, at(server.port, host="both.test", ip_family=IpFamily.IPV6))
        assert (seen.address, seen.ip_version) == ("::1", 6)
        await server.is_reached.wait()
        kind, detail = await failure(client, at(server.port, host="both.test", ip_family=IpFamily.IPV4))
    assert (kind, detail) == (FailureKind.REFUSED, f"connection to 127.0.0.1:{server.port} refused")


# TLS


async def test_tls_can_begin_with_the_connection(
    client: StreamClient, authority: Authority, ca_file: str, tmp_path: Path
) -> None:
    part = Part(LINE, b"pong\n", END)
    issued = authority.issue("one.test", directory=tmp_path)
    async with serve(part.play, tls=issued.server_context()) as server:
        target = at(server.port, host="one.test", begins_with_tls=True, tls=TlsOptions(ca_file=ca_file))
        seen = await succeed(client, target, ping)
        await part.is_over.wait()
    assert part.received == [b"ping\n", b""]  # with close_notify
    assert seen.tls is not None
    assert seen.tls.certificate is not None
    assert (seen.tls.version, seen.tls.certificate.names) == ("TLSv1.3", ("one.test",))
    assert set(seen.phases) == {Phase.RESOLVE, Phase.CONNECT, Phase.TLS, Phase.PROCESSING}


async def test_tls_can_begin_after_unencrypted_data(
    client: StreamClient, authority: Authority, ca_file: str, tmp_path: Path
) -> None:
    context = authority.issue("one.test", directory=tmp_path).server_context()
    part = Part(b"hello\n", LINE, b"go\r\n", context, LINE, b"pong\n")
    async with serve(part.play) as server:
        seen = await succeed(
            client, at(server.port, host="one.test", tls=TlsOptions(ca_file=ca_file)), half_way
        )
    assert part.received == [b"tls\n", b"ping\n"]
    assert seen.received == b"hello\ngo\r\npong\n"
    assert set(seen.phases) == set(Phase) - {Phase.TRANSFER}


async def test_unencrypted_data_at_the_start_of_the_handshake_is_rejected(client: StreamClient) -> None:
    """Otherwise an attacker could inject data that is treated as part of the TLS session."""
    part = Part(b"hello\n", LINE, b"go\r\npong\n", END)
    async with serve(part.play) as server:
        kind, detail = await failure(client, at(server.port), half_way)
        await part.is_over.wait()
    assert kind is FailureKind.PROTOCOL_ERROR
    assert detail == "the peer continued without encryption at the start of the TLS handshake"
    assert part.received == [b"tls\n", b""]  # not one byte of a handshake


async def test_long_data_is_sent_completely_over_tls(
    client: StreamClient, authority: Authority, tmp_path: Path
) -> None:
    async def communicate(stream: Stream) -> None:
        await stream.send(b"x" * 300_000 + b"\n")
        assert await line(stream) == b"pong"

    context = authority.issue("one.test", directory=tmp_path).server_context()
    received = 0

    async def count(peer: Any) -> None:
        nonlocal received
        while received < 300_001:
            received += len(await peer.reader.read(10_000))
        await peer.send(b"pong\n")

    async with serve(count, tls=context) as server:
        await succeed(
            client, at(server.port, begins_with_tls=True, tls=TlsOptions(verify=False)), communicate
        )
    assert received == 300_001


@pytest.mark.parametrize(
    ("names", "valid_until", "kind", "detail"),
    [
        pytest.param(("one.test",), -DAY / 2, FailureKind.TLS_EXPIRED, "has expired", id="expired"),
        pytest.param(("other.test",), DAY, FailureKind.TLS_NAME_MISMATCH, "'one.test'", id="other-name"),
    ],
)
async def test_certificate_error_is_reported(
    client: StreamClient,
    authority: Authority,
    ca_file: str,
    tmp_path: Path,
    names: tuple[str, ...],
    valid_until: timedelta,
    kind: FailureKind,
    detail: str,
) -> None:
    context = authority.issue(*names, directory=tmp_path, valid_until=valid_until).server_context()
    async with serve(Part(HANG).play, tls=context) as server:
        target = at(server.port, host="one.test", begins_with_tls=True, tls=TlsOptions(ca_file=ca_file))
        found, said = await failure(client, target)
        assert found is kind
        assert detail in said
        assert said.startswith(f"TLS handshake with 127.0.0.1:{server.port}: ")
        await succeed(client, replace(target, tls=TlsOptions(verify=False)))


async def test_untrusted_authority_is_reported(
    client: StreamClient, authority: Authority, tmp_path: Path
) -> None:
    other = str(Authority("Other").write(tmp_path / "other.pem"))
    context = authority.issue("one.test", directory=tmp_path).server_context()
    async with serve(Part(HANG).play, tls=context) as server:
        target = at(server.port, host="one.test", begins_with_tls=True, tls=TlsOptions(ca_file=other))
        kind, _ = await failure(client, target)
    assert kind is FailureKind.TLS_UNTRUSTED


async def test_server_name_replaces_the_host(
    client: StreamClient, authority: Authority, ca_file: str, tmp_path: Path
) -> None:
    asked: list[str | None] = []
    context = authority.issue("other.test", directory=tmp_path).server_context()
    context.sni_callback = lambda _, name, __: asked.append(name)
    async with serve(Part(HANG).play, tls=context) as server:
        tls = TlsOptions(ca_file=ca_file)
        await succeed(client, at(server.port, begins_with_tls=True, tls=tls, server_name="other.test"))
    assert asked == ["other.test"]


async def test_old_tls_version_is_rejected(
    client: StreamClient, authority: Authority, tmp_path: Path
) -> None:
    issued = authority.issue("one.test", directory=tmp_path)
    async with serve_tls_once(issued.server_context(maximum=ssl.TLSVersion.TLSv1_2)) as port:
        tls = TlsOptions(verify=False, min_version=TlsVersion.TLS_1_3)
        kind, detail = await failure(client, at(port, begins_with_tls=True, tls=tls))
    assert (kind, detail) == (
        FailureKind.TLS_FAILED,
        f"TLS handshake with 127.0.0.1:{port}: no common TLS version",
    )


async def test_peer_receives_the_alert_for_its_certificate(authority: Authority, tmp_path: Path) -> None:
    alerts: list[str] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(10)

        def shake_hands() -> None:
            connection, _ = listener.accept()
            context = authority.issue("one.test", directory=tmp_path).server_context()
            try:
                with context.wrap_socket(connection, server_side=True) as session:
                    session.read()
            except ssl.SSLError as error:
                alerts.append(error.reason)
            connection.close()

        serving = asyncio.create_task(asyncio.to_thread(shake_hands))
        other = str(Authority("Other").write(tmp_path / "other.pem"))
        port = listener.getsockname()[1]
        target = at(port, begins_with_tls=True, tls=TlsOptions(ca_file=other))
        kind, _ = await failure(StreamClient(Resolver(), TlsContexts()), target)
        await serving
    assert (kind, alerts) == (FailureKind.TLS_UNTRUSTED, ["TLSV1_ALERT_UNKNOWN_CA"])


@pytest.mark.parametrize(
    ("part", "detail"),
    [
        pytest.param(
            lambda: Part(b"220 hello\r\n", END), "the peer does not speak TLS on this port", id="words"
        ),
        pytest.param(Part, "the peer closed the connection during the handshake", id="end"),
        pytest.param(lambda: Part(RESET), "the peer closed the connection during the handshake", id="reset"),
    ],
)
async def test_peer_without_tls_is_reported(
    client: StreamClient, part: Callable[[], Part], detail: str
) -> None:
    async with serve(part().play) as server:
        kind, said = await failure(client, at(server.port, begins_with_tls=True))
    assert (kind, said) == (FailureKind.TLS_FAILED, f"TLS handshake with 127.0.0.1:{server.port}: {detail}")


async def test_missing_file_is_reported(client: StreamClient) -> None:
    async with serve(Part(HANG).play) as server:
        tls = TlsOptions(ca_file="/nowhere/ca.pem")
        kind, detail = await failure(client, at(server.port, begins_with_tls=True, tls=tls))
        await server.is_reached.wait()
    assert kind is FailureKind.TLS_FAILED
    assert "/nowhere/ca.pem cannot be read" in detail


async def test_rejected_client_certificate_is_reported(
    client: StreamClient, authority: Authority, ca_file: str, tmp_path: Path
) -> None:
    issued = authority.issue("one.test", directory=tmp_path)
    own = authority.issue("me", directory=tmp_path, file="me")
    context = issued.server_context()
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(ca_file)
    known = TlsOptions(
        verify=False, certificate_file=str(own.chain_file), key_file=str(own.key_file), alpn=()
    )
    async with serve(Part(LINE, b"pong\n").play, tls=context) as server:
        await succeed(client, at(server.port, begins_with_tls=True, tls=known), ping)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    async with serve_tls_once(context) as port:
        kind, _ = await failure(client, at(port, begins_with_tls=True, tls=TlsOptions(verify=False)))
    assert kind is FailureKind.TLS_FAILED


# Failures


async def test_unresolvable_name_is_a_failure(client: StreamClient) -> None:
    kind, detail = await failure(client, at(1, host="nowhere.test"))
    assert (kind, detail) == (FailureKind.RESOLVE_FAILED, "name resolution of nowhere.test: no such name")


async def test_unresponsive_resolver_is_a_resolve_timeout() -> None:
    asked, go_on = asyncio.Event(), asyncio.Event()

    def wait(name: str, family: int) -> list[str]:
        loop.call_soon_threadsafe(asked.set)
        asyncio.run_coroutine_threadsafe(go_on.wait(), loop).result(10)
        return []

    loop = asyncio.get_running_loop()
    resolver = Resolver(wait, monotonic=lambda: 0.0)
    kind, detail = await failure(StreamClient(resolver, TlsContexts()), at(1, host="a.test"), deadline=soon())
    assert (kind, detail) == (
        FailureKind.TIMEOUT_RESOLVE,
        "name resolution of a.test: no response within the timeout",
    )
    assert asked.is_set()
    go_on.set()
    await resolver.close()


async def test_closed_port_is_refused(client: StreamClient) -> None:
    port = free_port()
    kind, detail = await failure(client, at(port))
    assert (kind, detail) == (FailureKind.REFUSED, f"connection to 127.0.0.1:{port} refused")


async def test_full_queue_is_a_connect_timeout(client: StreamClient) -> None:
    with full_backlog() as port:
        kind, detail = await failure(client, at(port), deadline=soon())
    assert (kind, detail) == (FailureKind.TIMEOUT_CONNECT, f"connection to 127.0.0.1:{port} timed out")


async def test_full_queue_of_a_unix_socket_is_not_a_connection(client: StreamClient, tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as other:
        listener.bind(path)
        listener.listen(0)
        other.connect(path)
        kind, detail = await failure(client, StreamTarget(socket_path=path), deadline=soon())
        assert (kind, detail) == (FailureKind.TIMEOUT_CONNECT, f"connection to unix:{path} timed out")
        visiting = asyncio.create_task(succeed(client, StreamTarget(socket_path=path)))
        await asyncio.sleep(0)
        listener.accept()[0].close()
        await visiting


@pytest.mark.parametrize(
    ("make", "kind", "words"),
    [
        pytest.param(
            lambda path: None, FailureKind.HOST_UNREACHABLE, ": No such file or directory", id="missing"
        ),
        pytest.param(
            lambda path: path.touch(), FailureKind.REFUSED, " refused", id="file"
        ),  # connect(2): ECONNREFUSED for what is no socket
    ],
)
async def test_path_without_a_listener_is_a_failure(
    client: StreamClient, tmp_path: Path, make: Callable[[Path], None], kind: FailureKind, words: str
) -> None:
    path = tmp_path / "s"
    make(path)
    assert await failure(client, StreamTarget(socket_path=str(path))) == (
        kind,
        f"connection to unix:{path}{words}",
    )


async def test_unreachable_address_is_a_failure(client: StreamClient) -> None:
    kind, detail = await failure(client, at(9, host="255.255.255.255"))
    assert (kind, detail.partition(": ")[0]) == (
        FailureKind.HOST_UNREACHABLE,
        "connection to 255.255.255.255:9",
    )


async def test_unresponsive_peer_times_out_in_each_phase(client: StreamClient) -> None:
    async with serve(Part(HANG).play) as server:
        kind, detail = await failure(client, at(server.port), ping, deadline=soon())
        assert (kind, detail) == (FailureKind.TIMEOUT_RESPONSE, "no response within the timeout")
        kind, detail = await failure(client, at(server.port, begins_with_tls=True), deadline=soon())
    assert kind is FailureKind.TIMEOUT_TLS
    assert (
        detail
        == f"TLS handshake with 127.0.0.1:{server.port}: the handshake was not complete within the timeout"
    )


async def test_reset_by_the_peer_is_a_failure(client: StreamClient) -> None:
    async with serve(Part(LINE, RESET).play) as server:
        assert await failure(client, at(server.port), ping) == (
            FailureKind.RESET,
            "the connection was reset by the peer",
        )


async def test_end_of_stream_is_reported_in_tls(
    client: StreamClient, authority: Authority, tmp_path: Path
) -> None:
    context = authority.issue("one.test", directory=tmp_path).server_context()
    target = at(0, begins_with_tls=True, tls=TlsOptions(verify=False))
    async with serve(Part(LINE).play, tls=context) as server:  # with close_notify
        assert await failure(client, replace(target, port=server.port), ping) == (
            FailureKind.RESET,
            "the end",
        )
    async with serve(Part(LINE, RESET).play, tls=context) as server:  # without
        kind, _ = await failure(client, replace(target, port=server.port), ping)
        assert kind is FailureKind.RESET


async def test_received_data_is_limited(client: StreamClient) -> None:
    async with serve(Part(*[b"x" * 8192] * 1000).play) as server:
        outcome = await client.run(at(server.port), ping, deadline=in_time())
    assert (outcome.failure, outcome.detail) == (FailureKind.TOO_LARGE, "the peer sent more than 64 KiB")
    assert len(outcome.received) < 2 * MAX_RECEIVED_BYTES


async def test_deadline_in_the_past_fails_immediately(client: StreamClient) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        kind, _ = await failure(client, at(port), ping, deadline=time.monotonic() - 1)
    assert kind in {FailureKind.TIMEOUT_CONNECT, FailureKind.TIMEOUT_RESPONSE}


@pytest.mark.parametrize("is_tls", [False, True])
async def test_cancellation_closes_the_socket(client: StreamClient, *, is_tls: bool) -> None:
    async with serve(Part(LINE, HANG).play) as server:
        task = asyncio.create_task(failure(client, at(server.port, begins_with_tls=is_tls), ping))
        await server.is_reached.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


# uvloop


@pytest.fixture
def run_on_uvloop(uvloop_factory: LoopFactory) -> Callable[[Coroutine[Any, Any, None]], None]:
    def run(main: Coroutine[Any, Any, None]) -> None:
        with asyncio.Runner(loop_factory=uvloop_factory) as runner:
            runner.run(main)

    return run


def test_same_outcome_with_uvloop(
    run_on_uvloop: Callable[[Coroutine[Any, Any, None]], None],
    authority: Authority,
    ca_file: str,
    tmp_path: Path,
) -> None:
    context = authority.issue("one.test", directory=tmp_path).server_context()

    async def main() -> None:
        resolver = resolver_without_queue(addresses_of_tests)
        client = StreamClient(resolver, TlsContexts())
        tls = TlsOptions(ca_file=ca_file)
        part = Part(LINE, b"pong\n", END)
        async with serve(part.play, tls=context) as server:
            target = at(server.port, host="one.test", begins_with_tls=True, tls=tls)
            await succeed(client, target, ping)
            await part.is_over.wait()
        assert part.received == [b"ping\n", b""]
        async with serve(Part(b"hello\n", LINE, b"go\npong\n", END).play) as server:
            kind, _ = await failure(client, at(server.port), half_way)
        assert kind is FailureKind.PROTOCOL_ERROR
        async with serve(Part(HANG).play) as server:
            kind, _ = await failure(client, at(server.port), ping, deadline=soon())
            assert kind is FailureKind.TIMEOUT_RESPONSE
            kind, _ = await failure(client, at(server.port, begins_with_tls=True), deadline=soon())
            assert kind is FailureKind.TIMEOUT_TLS
            server.is_reached.clear()
            task = asyncio.create_task(failure(client, at(server.port), ping))
            await server.is_reached.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        async with serve(Part(LINE, RESET).play) as server:
            kind, _ = await failure(client, at(server.port), ping)
            assert kind is FailureKind.RESET
        kind, _ = await failure(client, at(free_port()))
        assert kind is FailureKind.REFUSED
        path = tmp_path / "s"
        async with serve(Part(LINE, b"pong\n").play, path=path):
            await succeed(client, StreamTarget(socket_path=str(path)), ping)
        await resolver.close()

    run_on_uvloop(main())


async def test_endless_session_tickets_are_limited(
    client: StreamClient, authority: Authority, tmp_path: Path
) -> None:
    context = authority.issue("one.test", directory=tmp_path).server_context()
    context.num_tickets = 6000  # of more than 200 bytes each
    async with serve(Part(b"hello\n", END).play, tls=context) as server:
        target = at(server.port, begins_with_tls=True, tls=TlsOptions(verify=False))
        kind, detail = await failure(client, target, ping)
    assert (kind, detail) == (FailureKind.TOO_LARGE, "the peer sent more than 1024 KiB of TLS records")
