"""Failures of exchanges with real peers: kind, detail, and that the request is sent once."""

import asyncio
import os
import random
import resource
import ssl
import time
from datetime import timedelta
from itertools import count
from pathlib import Path

import pytest

from monitord.net import (
    Deviation,
    FailureKind,
    HttpClient,
    HttpExchange,
    HttpFailure,
    HttpRequest,
    IpFamily,
    Phase,
    TlsOptions,
    TlsVersion,
)
from monitord.net.http.response import CHUNKS_AT_ONCE
from tests.certificates import DAY, Authority, Issued
from tests.net.conftest import exchange, failure, in_time, late_failure, soon
from tests.servers import Peer, Script, free_port, full_backlog, respond, send_raw, serve, serve_tls_once
from tests.time_limits import within_growing_limit

# Peers without TLS


async def test_refused_connection_is_a_failure(client: HttpClient) -> None:
    port = free_port()
    seen = await failure(client, HttpRequest(url=f"http://127.0.0.1:{port}/"))
    assert (seen.kind, seen.detail) == (FailureKind.REFUSED, f"connection to 127.0.0.1:{port} refused")
    assert (seen.address, seen.ip_version, set(seen.phases)) == ("127.0.0.1", 4, {Phase.CONNECT})


async def test_failure_names_the_address_of_the_other_family(client: HttpClient) -> None:
    """Such as http://localhost/ with a service on 127.0.0.1 alone."""
    port = free_port()
    seen = await failure(client, HttpRequest(url=f"http://both.test:{port}/"))
    assert seen.detail == (
        f"connection to 127.0.0.1:{port} refused (its address ::1 was not tried: see ip_family, all_addresses)"
    )
    only = await failure(client, HttpRequest(url=f"http://both.test:{port}/", ip_family=IpFamily.IPV4))
    assert only.detail == f"connection to 127.0.0.1:{port} refused"
    several = await failure(client, HttpRequest(url=f"http://three.test:{port}/"))
    assert "not tried" not in several.detail


async def test_missing_unix_socket_is_a_failure(client: HttpClient, tmp_path: Path) -> None:
    seen = await failure(
        client, HttpRequest(url=f"http+unix://{str(tmp_path).replace('/', '%2F')}%2Fno.sock/")
    )
    assert seen.kind is FailureKind.HOST_UNREACHABLE
    assert seen.detail == f"connection to {tmp_path}/no.sock: No such file or directory"


async def test_broadcast_address_is_unreachable(client: HttpClient) -> None:
    """The broadcast address takes no connection (connect(2): EACCES or ENETUNREACH), as with a firewall."""
    seen = await failure(client, HttpRequest(url="http://255.255.255.255/"))
    assert seen.kind is FailureKind.HOST_UNREACHABLE


async def test_unknown_name_is_a_failure(client: HttpClient) -> None:
    seen = await failure(client, HttpRequest(url="http://nowhere.test/"))
    assert (seen.kind, seen.detail) == (
        FailureKind.RESOLVE_FAILED,
        "name resolution of nowhere.test: no such name",
    )
    assert (seen.address, set(seen.phases)) == (None, {Phase.RESOLVE})


async def test_full_backlog_is_a_connect_timeout(client: HttpClient) -> None:
    with full_backlog() as port:
        seen = await failure(client, HttpRequest(url=f"http://127.0.0.1:{port}/"), deadline=soon())
    assert (seen.kind, seen.detail) == (
        FailureKind.TIMEOUT_CONNECT,
        f"connection to 127.0.0.1:{port} timed out",
    )
    assert set(seen.phases) == {Phase.CONNECT}


async def _never(peer: Peer) -> None:
    await peer.hang()


async def _half_a_head(peer: Peer) -> None:
    await peer.request()
    await peer.send(b"HTTP/1.1 200 OK\r\nContent-")
    await peer.hang()


async def _half_a_body(peer: Peer) -> None:
    await peer.request()
    await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
    await peer.hang()


async def _drops_of_body(peer: Peer) -> None:
    await peer.request()
    await peer.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        await peer.send(b"1\r\nx\r\n")
        await asyncio.sleep(0.01)


async def _endless_body(peer: Peer) -> None:
    await peer.request()
    await peer.send(b"HTTP/1.1 200 OK\r\n\r\n")
    while True:
        await peer.send(b"x" * 65536)


async def _endless_head(peer: Peer) -> None:
    await peer.request()
    await peer.send(b"HTTP/1.1 200 OK\r\n")
    while True:
        await peer.send(b"X: " + b"x" * 65536)


async def _endless_headers(peer: Peer) -> None:
    await peer.request()
    await peer.send(b"HTTP/1.1 200 OK\r\n")
    await _send_headers_without_end(peer)


async def _endless_interim_responses(peer: Peer) -> None:
    await peer.request()
    while True:
        await peer.send(b"HTTP/1.1 103 Early Hints\r\n\r\n" * 1000)


async def _reset_in_body_without_length(peer: Peer) -> None:
    await peer.request()
    await peer.send(b"HTTP/1.1 200 OK\r\n\r\nhalf")
    peer.reset()


async def _endless_trailers(peer: Peer) -> None:
    await peer.request()
    await peer.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n")
    await _send_headers_without_end(peer)


async def _send_headers_without_end(peer: Peer) -> None:
    for number in count():
        await peer.send(b"".join(b"X-%d-%d: %b\r\n" % (number, line, b"x" * 1000) for line in range(64)))


async def _reset(peer: Peer) -> None:
    await peer.request()
    peer.reset()


async def _reset_in_body(peer: Peer) -> None:
    await _partial(peer)
    peer.reset()


async def _partial(peer: Peer) -> None:
    await peer.request()
    await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")


async def _broken_chunk_later(peer: Peer) -> None:
    await peer.request()
    await peer.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
    await asyncio.sleep(0.02)
    await peer.send(b"zz\r\nworld")
    await peer.hang()


@pytest.mark.parametrize(
    ("script", "kind", "detail"),
    [
        (_never, FailureKind.TIMEOUT_RESPONSE, "no response within the timeout"),
        (
            _half_a_head,
            FailureKind.TIMEOUT_RESPONSE,
            "no response within the timeout, only 25 bytes of an incomplete head",
        ),
        (_half_a_body, FailureKind.TIMEOUT_BODY, "the body was not complete within the timeout"),
        (_drops_of_body, FailureKind.TIMEOUT_BODY, "the body was not complete within the timeout"),
    ],
)
async def test_each_phase_has_its_own_timeout(
    client: HttpClient, script: Script, kind: FailureKind, detail: str
) -> None:
    async with serve(script) as server:
        seen = await within_growing_limit(
            lambda limit_s: failure(
                client,
                HttpRequest(url=f"http://127.0.0.1:{server.port}/"),
                deadline=time.monotonic() + limit_s,
            ),
            lambda seen: (seen.kind, seen.detail) == (kind, detail),
        )
    assert (seen.kind, seen.detail) == (kind, detail)
    assert sum(seen.phases.values()) <= seen.duration_s


CLOSED = "the peer closed the connection without a response"
CLOSED_IN_HEAD = "the peer closed the connection before the end of the response head, after 22 bytes"
HEAD_TOO_LARGE = "the head of the response is larger than max_header_size (262144 bytes)"
RESET_IN_BODY = "the peer reset the connection before the end of the body"
CUT = "the peer closed the connection before the end of the body"


@pytest.mark.parametrize(
    ("script", "kind", "detail"),
    [
        pytest.param(send_raw(), FailureKind.RESET, CLOSED, id="closes"),
        pytest.param(
            send_raw(b"HTTP/1.1 200 OK\r\nConte"), FailureKind.RESET, CLOSED_IN_HEAD, id="closes in the head"
        ),
        pytest.param(_reset, FailureKind.RESET, "the connection was reset by the peer", id="resets"),
        pytest.param(_partial, FailureKind.RESET, CUT, id="closes in the body"),
        pytest.param(_reset_in_body, FailureKind.RESET, RESET_IN_BODY, id="resets in the body"),
        pytest.param(
            send_raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab"),
            FailureKind.RESET,
            CUT,
            id="chunk",
        ),
        pytest.param(
            _broken_chunk_later,
            FailureKind.PROTOCOL_ERROR,
            'the size of a chunk is not a hexadecimal number: "zz"',
            id="broken chunk",
        ),
        pytest.param(
            send_raw(b"SSH-2.0-OpenSSH_9.2\r\n"),
            FailureKind.PROTOCOL_ERROR,
            'the server speaks SSH here, not HTTP: "SSH-2.0-OpenSSH_9.2"',
            id="ssh",
        ),
        pytest.param(
            send_raw(b"\x15\x03\x01\x00\x02\x02\x16"),
            FailureKind.PROTOCOL_ERROR,
            "the server speaks TLS here; write https instead of http",
            id="tls",
        ),
        pytest.param(
            send_raw(b"HTTP/1.1 abc\r\n\r\n"),
            FailureKind.PROTOCOL_ERROR,
            'the status code is not a number from 100 to 999: "HTTP/1.1 abc"',
            id="no status",
        ),
        pytest.param(
            send_raw(b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n"),
            FailureKind.PROTOCOL_ERROR,
            'the Content-Length is not a number: "-1"',
            id="bad length",
        ),
        pytest.param(
            send_raw(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 300_000 + b"\r\n\r\n"),
            FailureKind.TOO_LARGE,
            HEAD_TOO_LARGE,
            id="large header",
        ),
        pytest.param(_endless_head, FailureKind.TOO_LARGE, HEAD_TOO_LARGE, id="endless head"),
        pytest.param(
            _endless_interim_responses,
            FailureKind.PROTOCOL_ERROR,
            "more than 64 interim responses (status 103) before the response",
            id="endless interim responses",
        ),
        pytest.param(
            _reset_in_body_without_length,
            FailureKind.RESET,
            RESET_IN_BODY,
            id="resets in a body without length",
        ),
        pytest.param(
            _endless_body, FailureKind.TOO_LARGE, "the body is larger than 1000000 bytes", id="endless body"
        ),
        pytest.param(
            respond(headers={"Content-Encoding": "gzip"}),
            FailureKind.PROTOCOL_ERROR,
            "the body is not valid gzip data",
            id="not gzip",
        ),
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_failed_request_is_not_repeated(
    client: HttpClient, script: Script, method: str, kind: FailureKind, detail: str
) -> None:
    async with serve(script) as server:
        request = HttpRequest(
            url=f"http://127.0.0.1:{server.port}/", method=method, read_body=True, max_body_bytes=1_000_000
        )
        seen = await failure(client, request)
    assert (seen.kind, seen.detail, server.connections) == (kind, detail, 1)


async def test_unread_body_is_limited(client: HttpClient) -> None:
    async with serve(_endless_body) as server:
        request = HttpRequest(url=f"http://127.0.0.1:{server.port}/", max_body_bytes=1_000_000)
        seen = await failure(client, request)
    assert seen.kind is FailureKind.TOO_LARGE


async def test_request_body_that_the_peer_does_not_read_times_out(client: HttpClient) -> None:
    """Unsent data must not keep the connection open: the test would leave its socket behind."""
    async with serve(_never) as server:
        request = HttpRequest(url=f"http://127.0.0.1:{server.port}/", method="POST", body=bytes(1024 * 1024))
        seen = await late_failure(client, request, FailureKind.TIMEOUT_RESPONSE)
    assert seen.kind is FailureKind.TIMEOUT_RESPONSE


async def test_expired_deadline_sends_no_request(client: HttpClient) -> None:
    async with serve(respond()) as server:
        seen = await failure(client, HttpRequest(url=f"http://127.0.0.1:{server.port}/"), deadline=1.0)
    assert seen.kind.value.startswith("timeout_")
    assert not server.requests


async def test_exhausted_file_descriptors_are_a_probe_error(client: HttpClient) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    port = free_port()
    # Every number below the limit is taken: the next socket(2) fails with EMFILE.
    lowest_free = os.dup(0)
    os.close(lowest_free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest_free, hard))
    try:
        seen = await failure(client, HttpRequest(url=f"http://127.0.0.1:{port}/"))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert seen.kind is FailureKind.PROBER_EXHAUSTED
    assert seen.detail == f"connection to 127.0.0.1:{port}: Too many open files"


async def test_random_damage_is_a_failure_or_a_response(client: HttpClient) -> None:
    """Responses damaged at random: no other exception is raised, and no request is repeated."""
    source = random.Random(7)  # the same noise each time
    whole = (
        b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nSet-Cookie: a=b; Path=/\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"5\r\nhello\r\n0\r\n\r\n"
    )
    for _ in range(200):
        damaged = bytearray(whole)
        for _ in range(source.randint(1, 6)):
            place = source.randrange(len(damaged))
            match source.randrange(3):
                case 0:
                    damaged[place] = source.randrange(256)
                case 1:
                    del damaged[place]
                case _:
                    damaged[place:place] = source.randbytes(source.randint(1, 4))
        async with serve(send_raw(bytes(damaged))) as server:
            request = HttpRequest(url=f"http://127.0.0.1:{server.port}/", read_body=True)
            outcome = await client.fetch(request, deadline=in_time())
        assert isinstance(outcome, (HttpExchange, HttpFailure))
        assert server.connections == 1


# Peers with TLS


@pytest.fixture
def good(authority: Authority, tmp_path: Path) -> Issued:
    return authority.issue("one.test", "127.0.0.1", directory=tmp_path)


@pytest.mark.parametrize(
    ("names", "valid_from", "valid_until", "kind", "detail"),
    [
        pytest.param(
            ["one.test"], -2 * DAY, -DAY, FailureKind.TLS_EXPIRED, "the certificate has expired", id="expired"
        ),
        pytest.param(
            ["one.test"],
            DAY,
            2 * DAY,
            FailureKind.TLS_NOT_YET_VALID,
            "the certificate is not valid yet",
            id="not yet",
        ),
        pytest.param(
            ["other.test"],
            -DAY,
            DAY,
            FailureKind.TLS_NAME_MISMATCH,
            "hostname mismatch, certificate is not valid for 'one.test'",
            id="other name",
        ),
        pytest.param(
            ["127.0.0.1"],
            -DAY,
            DAY,
            FailureKind.TLS_NAME_MISMATCH,
            "hostname mismatch, certificate is not valid for 'one.test'",
            id="address only",
        ),
    ],
)
async def test_invalid_certificate_is_a_failure(
    client: HttpClient,
    authority: Authority,
    ca_file: str,
    tmp_path: Path,
    names: list[str],
    valid_from: timedelta,
    valid_until: timedelta,
    kind: FailureKind,
    detail: str,
) -> None:
    issued = authority.issue(*names, directory=tmp_path, valid_from=valid_from, valid_until=valid_until)
    async with serve(respond(), tls=issued.server_context()) as server:
        seen = await failure(
            client, HttpRequest(url=f"https://one.test:{server.port}/", tls=TlsOptions(ca_file=ca_file))
        )
        assert (seen.kind, seen.detail) == (kind, f"TLS handshake with 127.0.0.1:{server.port}: {detail}")
        assert set(seen.phases) == {Phase.RESOLVE, Phase.CONNECT, Phase.TLS}
        trusting = HttpRequest(url=f"https://one.test:{server.port}/", tls=TlsOptions(verify=False))
        assert (await exchange(client, trusting)).status == 200


async def test_address_must_be_in_the_certificate(
    client: HttpClient, authority: Authority, ca_file: str, good: Issued, tmp_path: Path
) -> None:
    async with serve(respond(), tls=good.server_context()) as server:
        await exchange(
            client, HttpRequest(url=f"https://127.0.0.1:{server.port}/", tls=TlsOptions(ca_file=ca_file))
        )
    named = authority.issue("one.test", directory=tmp_path)
    async with serve(respond(), tls=named.server_context()) as server:
        seen = await failure(
            client, HttpRequest(url=f"https://127.0.0.1:{server.port}/", tls=TlsOptions(ca_file=ca_file))
        )
    assert seen.kind is FailureKind.TLS_NAME_MISMATCH


async def test_unknown_authority_is_not_trusted(client: HttpClient, good: Issued) -> None:
    """With no `ca_file` the authorities of the system count, and the tests' own is not among them."""
    async with serve(respond(), tls=good.server_context()) as server:
        seen = await failure(client, HttpRequest(url=f"https://one.test:{server.port}/"))
    assert seen.kind is FailureKind.TLS_UNTRUSTED
    assert "the certificate is not trusted: unable to get local issuer certificate" in seen.detail


async def test_self_signed_certificate_is_not_trusted(client: HttpClient, tmp_path: Path) -> None:
    root = Authority("one.test")
    (tmp_path / "self.pem").write_bytes(root.pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "self.pem", root.write_key(tmp_path / "self.key"))
    async with serve(respond(), tls=context) as server:
        seen = await failure(client, HttpRequest(url=f"https://one.test:{server.port}/"))
    assert seen.kind is FailureKind.TLS_UNTRUSTED
    assert "self" in seen.detail


async def test_server_name_is_verified(
    client: HttpClient, authority: Authority, ca_file: str, tmp_path: Path
) -> None:
    other = authority.issue("other.test", directory=tmp_path)
    asked: list[str | None] = []
    context = other.server_context()
    context.sni_callback = lambda _tls, name, _context: asked.append(name)
    async with serve(respond(), tls=context) as server:
        await exchange(
            client,
            HttpRequest(
                url=f"https://one.test:{server.port}/",
                server_name="other.test",
                tls=TlsOptions(ca_file=ca_file),
            ),
        )
    assert asked == ["other.test"]


async def test_old_tls_version_is_rejected(client: HttpClient, good: Issued, ca_file: str) -> None:
    def request(port: int, version: TlsVersion) -> HttpRequest:
        options = TlsOptions(ca_file=ca_file, min_version=version)
        return HttpRequest(url=f"https://one.test:{port}/", tls=options)

    old = good.server_context(maximum=ssl.TLSVersion.TLSv1_2)
    async with serve(respond(), tls=old) as server:
        seen = await exchange(client, request(server.port, TlsVersion.TLS_1_2))
    assert seen.tls is not None
    assert seen.tls.version == "TLSv1.2"
    async with serve_tls_once(old) as port:
        refused = await failure(client, request(port, TlsVersion.TLS_1_3))
    assert refused.kind is FailureKind.TLS_FAILED
    assert refused.detail == f"TLS handshake with 127.0.0.1:{port}: no common TLS version"


async def _speak_http(peer: Peer) -> None:
    await peer.reader.read(100)
    await peer.send(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")


async def _hang_up(peer: Peer) -> None:
    await peer.reader.read(100)


async def _reset_in_handshake(peer: Peer) -> None:
    await peer.reader.read(100)
    peer.reset()


@pytest.mark.parametrize(
    ("script", "detail"),
    [
        (_speak_http, "the peer does not speak TLS on this port"),
        (_hang_up, "the peer closed the connection during the handshake"),
        (_reset_in_handshake, "the peer closed the connection during the handshake"),
    ],
)
async def test_server_without_tls_is_a_failure(client: HttpClient, script: Script, detail: str) -> None:
    async with serve(script) as server:
        seen = await failure(client, HttpRequest(url=f"https://127.0.0.1:{server.port}/"))
    assert (seen.kind, seen.detail) == (
        FailureKind.TLS_FAILED,
        f"TLS handshake with 127.0.0.1:{server.port}: {detail}",
    )
    assert server.connections == 1


async def test_silent_handshake_is_a_tls_timeout(client: HttpClient, ca_file: str) -> None:
    async with serve(_never) as server:
        request = HttpRequest(url=f"https://127.0.0.1:{server.port}/", tls=TlsOptions(ca_file=ca_file))
        seen = await late_failure(client, request, FailureKind.TIMEOUT_TLS)
    assert seen.kind is FailureKind.TIMEOUT_TLS
    assert (
        seen.detail
        == f"TLS handshake with 127.0.0.1:{server.port}: the handshake was not complete within the timeout"
    )
    assert seen.phases[Phase.TLS] > 0


@pytest.mark.parametrize("maximum", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_client_certificate_is_sent(
    client: HttpClient,
    authority: Authority,
    ca_file: str,
    good: Issued,
    tmp_path: Path,
    maximum: ssl.TLSVersion,
) -> None:
    mine = authority.issue("client", directory=tmp_path, file="client")
    context = good.server_context(maximum=maximum)
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(ca_file)
    async with serve(respond(), tls=context) as server:
        url = f"https://one.test:{server.port}/"
        seen = await exchange(
            client,
            HttpRequest(
                url=url,
                tls=TlsOptions(
                    ca_file=ca_file, certificate_file=str(mine.chain_file), key_file=str(mine.key_file)
                ),
            ),
        )
    assert seen.status == 200
    async with serve_tls_once(context) as port:
        url = f"https://one.test:{port}/"
        failed = await failure(client, HttpRequest(url=url, tls=TlsOptions(ca_file=ca_file)))
    assert failed.kind is FailureKind.TLS_FAILED
    assert "alert" in failed.detail


async def test_missing_close_notify_leaves_no_connection(
    client: HttpClient, good: Issued, ca_file: str
) -> None:
    """asyncio would wait 30 s for the peer's close_notify, and the test leave a socket behind."""

    async def linger(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        peer.writer.transport.pause_reading()  # type: ignore[attr-defined]  # a transport of sockets can
        await peer.hang()

    async with serve(linger, tls=good.server_context()) as server:
        request = HttpRequest(url=f"https://one.test:{server.port}/", tls=TlsOptions(ca_file=ca_file))
        assert (await exchange(client, request)).status == 200
        await client.close()
        assert _sockets_to(server.port) == []


def _sockets_to(port: int) -> list[str]:
    """Connections of this process to a local port, from /proc (proc(5)), states ESTABLISHED and CLOSE_WAIT."""
    inodes = set()
    for link in Path("/proc/self/fd").iterdir():
        try:
            inodes.add(str(link.readlink()))
        except FileNotFoundError:
            continue
    found = []
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if int(fields[2].partition(":")[2], 16) == port and f"socket:[{fields[9]}]" in inodes:
            found.append(fields[1])
    return found


@pytest.mark.parametrize("script", [_endless_headers, _endless_trailers])
async def test_endless_headers_end_at_the_limit(client: HttpClient, script: Script) -> None:
    """No line of them is too long. That is 600 MB a second of memory on the loopback."""
    async with serve(script) as server:
        seen = await failure(client, HttpRequest(url=f"http://127.0.0.1:{server.port}/"))
    assert seen.kind is FailureKind.TOO_LARGE
    assert "max_header_size" in seen.detail


# A flood


async def test_many_chunks_do_not_block_the_event_loop(client: HttpClient) -> None:
    """A piece of 64 KiB holds 10,000 chunks, which took the event loop for 10 ms."""
    chunks = 300_000

    async def flood(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        await peer.send(b"1\r\nx\r\n" * chunks + b"0\r\n\r\n")

    turns = 0

    async def count_turns() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    counting = asyncio.create_task(count_turns())
    try:
        async with serve(flood) as server:
            request = HttpRequest(url=f"http://127.0.0.1:{server.port}/", read_body=True)
            seen = await exchange(client, request)
    finally:
        counting.cancel()
    assert seen.body == b"x" * chunks
    assert turns >= chunks // 1000


@pytest.mark.parametrize("last", [b"0\r\n\r\n", b"0\r\n", b""])
async def test_end_of_the_connection_is_handled_while_its_last_bytes_are_parsed(
    client: HttpClient, last: bytes
) -> None:
    chunks = CHUNKS_AT_ONCE * 5
    async with serve(
        send_raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1\r\nx\r\n" * chunks + last)
    ) as server:
        request = HttpRequest(url=f"http://127.0.0.1:{server.port}/", read_body=True)
        if last:
            assert (await exchange(client, request)).body == b"x" * chunks
        else:
            assert (await failure(client, request)).detail == CUT


# Deviations and proxies


async def test_deviations_of_redirects_are_kept(client: HttpClient) -> None:
    async def script(peer: Peer) -> None:
        request = await peer.request()
        if request.target == "/":
            await peer.send(b"HTTP/1.1 302 Found\nLocation: /end\nContent-Length: 0\n\n")
        else:
            await peer.send(b"HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n")

    async with serve(script) as server:
        seen = await exchange(client, HttpRequest(url=f"http://127.0.0.1:{server.port}/"))
    assert seen.deviations == (Deviation.BARE_LF, Deviation.STATUS_LINE)


async def _connected_then_tls(peer: Peer) -> None:
    await peer.reader.readuntil(b"\r\n\r\n")
    await peer.send(b"\x15\x03\x01\x00\x02\x02\x16")


async def _interim_responses_to_connect(peer: Peer) -> None:
    await peer.reader.readuntil(b"\r\n\r\n")
    while True:
        await peer.send(b"HTTP/1.1 100 Continue\r\n\r\n" * 1000)


@pytest.mark.parametrize(
    ("script", "detail"),
    [
        (_connected_then_tls, "the server speaks TLS here; write https instead of http"),
        (
            _interim_responses_to_connect,
            "more than 64 interim responses (status 100) before the response",
        ),
    ],
)
async def test_broken_response_of_a_proxy_names_the_proxy(
    client: HttpClient, script: Script, detail: str
) -> None:
    async with serve(script) as proxy:
        place = f"proxy 127.0.0.1:{proxy.port}"
        request = HttpRequest(url="https://one.test/", proxy=f"http://127.0.0.1:{proxy.port}")
        seen = await failure(client, request)
    assert seen.detail == f"connection to {place}: {detail}"


# What arrives before the request


@pytest.mark.parametrize(
    ("first", "detail"),
    [
        (
            b"220 mx ESMTP\r\n",
            'the server speaks SMTP or FTP here, not HTTP: "220 mx ESMTP"',
        ),
        (
            b"x" * 300_000,
            'the response has no HTTP status line; it begins with "xxxxxxxx…"',
        ),
    ],
    ids=["banner", "flood"],
)
async def test_banner_of_another_protocol_is_named(client: HttpClient, first: bytes, detail: str) -> None:
    async def script(peer: Peer) -> None:
        await peer.send(first)
        await peer.hang()

    async with serve(script) as server:
        seen = await failure(client, HttpRequest(url=f"http://127.0.0.1:{server.port}/"))
    assert (seen.kind, seen.detail) == (FailureKind.PROTOCOL_ERROR, detail)


async def test_response_before_the_request_is_accepted(client: HttpClient) -> None:
    """An overloaded server responds and closes before it reads the request."""

    async def script(peer: Peer) -> None:
        await peer.send(b"HTTP/1.1 503 Overloaded\r\nContent-Length: 4\r\nConnection: close\r\n\r\nbusy")
        peer.writer.write_eof()
        await peer.reader.read()

    async with serve(script) as server:
        for _ in range(20):
            request = HttpRequest(url=f"http://127.0.0.1:{server.port}/", read_body=True)
            seen = await exchange(client, request)
            assert (seen.status, seen.body) == (503, b"busy")
