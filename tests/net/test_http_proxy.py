"""Tunnels through a proxy: evaluation of the response to CONNECT (RFC 9110, section 9.3.6)."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest

from monitord.net import Deviation, FailureKind, HttpClient, HttpRequest, Phase, TlsOptions
from tests.certificates import Authority
from tests.net.conftest import exchange, failure, soon
from tests.servers import Peer, Script, respond, send_raw, serve


def tunnel(to_port: int, *pieces: bytes) -> Script:
    """Answers CONNECT with these pieces, then passes everything on."""

    async def script(peer: Peer) -> None:
        await peer.request()
        for piece in pieces:
            await peer.send(piece)
            await asyncio.sleep(0)
        await peer.relay_to(to_port)

    return script


def byte_by_byte(data: bytes) -> list[bytes]:
    return [data[index : index + 1] for index in range(len(data))]


ESTABLISHED = b"HTTP/1.1 200 Connection established\r\n"


@pytest.mark.parametrize(
    "pieces",
    [
        [ESTABLISHED + b"\r\n"],
        [ESTABLISHED + b"Content-Length: 0\r\n\r\n"],
        [ESTABLISHED + b"Content-Length: 2\r\n\r\n"],
        [ESTABLISHED + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n"],
        [ESTABLISHED + b"Content-Length: many\r\n\r\n"],
        [ESTABLISHED + b"Transfer-Encoding: chunked\r\n\r\n"],
        [ESTABLISHED + b"Transfer-Encoding: gzip, chunked\r\nContent-Length: 0\r\n\r\n"],
        [ESTABLISHED + b"Content-Encoding: gzip\r\nContent-Type: text/html\r\n\r\n"],
        [ESTABLISHED + b"Connection: close\r\nProxy-Connection: close\r\n\r\n"],
        [ESTABLISHED + b"Proxy-Agent: squid\r\nVia: 1.1 one, 1.1 two\r\nX-Empty:\r\n\r\n"],
        [b"HTTP/1.0 200 OK\r\n\r\n"],
        [b"HTTP/1.1 200\r\n\r\n"],
        [b"HTTP/1.1 200 OK\n\n"],
        [b"HTTP/1.1 201 Created\r\n\r\n"],
        [b"HTTP/1.1 204 No Content\r\n\r\n"],
        [b"HTTP/1.1 299 Fine\r\nContent-Length: 0\r\n\r\n"],
        [b"HTTP/1.1 100 Continue\r\n\r\n" + ESTABLISHED + b"\r\n"],
        [b"HTTP/1.1 102 Processing\r\n\r\n", b"HTTP/1.1 103 Hints\r\nLink: x\r\n\r\n", ESTABLISHED + b"\r\n"],
        byte_by_byte(ESTABLISHED + b"Content-Length: 0\r\n\r\n"),
    ],
    ids=lambda pieces: b"".join(pieces).decode().replace("\r\n", " ").strip()[:60],
)
async def test_any_2xx_status_opens_the_tunnel(
    client: HttpClient, authority: Authority, ca_file: str, tmp_path: Path, pieces: Sequence[bytes]
) -> None:
    context = authority.issue("a.example", directory=tmp_path).server_context()
    async with (
        serve(respond(body=b"inside"), tls=context) as server,
        serve(tunnel(server.port, *pieces)) as proxy,
    ):
        request = HttpRequest(
            url="https://a.example/x",
            proxy=f"http://127.0.0.1:{proxy.port}",
            tls=TlsOptions(ca_file=ca_file),
            read_body=True,
        )
        seen = await exchange(client, request)
    assert (seen.status, seen.body, seen.address) == (200, b"inside", "127.0.0.1")
    has_length = any(name in b"".join(pieces) for name in (b"Content-Length", b"Transfer-Encoding"))
    assert (Deviation.LENGTH_WITHOUT_BODY in seen.deviations) is has_length
    assert seen.phases[Phase.TLS] > 0
    (asked,) = proxy.requests
    assert (asked.method, asked.target) == ("CONNECT", "a.example:443")
    assert asked.headers == {"host": "a.example:443", "user-agent": "tester/1.0"}


@pytest.mark.parametrize(
    ("url", "authority"),
    [
        ("https://a.example:8443/", "a.example:8443"),
        ("https://[2001:db8::1]/", "[2001:db8::1]:443"),
        ("https://[fe80::1%25eth0]/", "[fe80::1]:443"),
        ("https://bücher.test/", "xn--bcher-kva.test:443"),
    ],
)
async def test_connect_names_host_and_port(client: HttpClient, url: str, authority: str) -> None:
    async with serve(send_raw(b"HTTP/1.1 502 Bad Gateway\r\n\r\n")) as proxy:
        seen = await failure(client, HttpRequest(url=url, proxy=f"http://127.0.0.1:{proxy.port}"))
    assert seen.kind is FailureKind.HOST_UNREACHABLE
    assert (proxy.requests[0].target, proxy.requests[0].headers["host"]) == (authority, authority)


ASKS = b'HTTP/1.1 407 Who\r\nProxy-Authenticate: Basic realm="x"\r\nProxy-Authenticate: Digest a=b\r\n\r\n'


@pytest.mark.parametrize(
    ("userinfo", "pieces", "kind", "detail"),
    [
        (
            "", [b"HTTP/1.1 403 No\r\nContent-Length: 4\r\n\r\nstop"], FailureKind.HOST_UNREACHABLE,
            "the proxy responded to CONNECT with status 403",
        ),
        (
            "", [b"HTTP/1.1 302 F\r\nLocation: /x\r\n\r\n"], FailureKind.HOST_UNREACHABLE,
            "the proxy responded to CONNECT with status 302",
        ),
        (
            "", [ASKS], FailureKind.HOST_UNREACHABLE,
            "the proxy responded to CONNECT with status 407: it requires authentication (Basic, Digest); "
            'write proxy = "http://USER:PASSWORD@host:port"',
        ),
        (
            "joe:s3cret@", [ASKS], FailureKind.HOST_UNREACHABLE,
            "the proxy responded to CONNECT with status 407: it requires authentication (Basic, Digest) "
            "and rejects the user name and password in proxy",
        ),
        (
            "", [b"HTTP/1.1 407 Who\r\nProxy-Authenticate: \x1b[31m\r\n\r\n"], FailureKind.HOST_UNREACHABLE,
            "the proxy responded to CONNECT with status 407: it requires authentication (unknown scheme); "
            'write proxy = "http://USER:PASSWORD@host:port"',
        ),
        (
            "", [ESTABLISHED + b"Content-Length: 2\r\n\r\nok"], FailureKind.PROTOCOL_ERROR,
            "the proxy sent 2 bytes after its response to CONNECT (200), which has no body",
        ),
        ("", [], FailureKind.RESET, "the proxy closed the connection without a response to CONNECT"),
        ("", [b"HTTP/1.1 2"], FailureKind.RESET, "the proxy closed the connection without a response to CONNECT"),
    ],
    ids=["403", "302", "407", "407 again", "407 of nothing", "a body", "nothing", "half a line"],
)  # fmt: skip
async def test_rejected_tunnel_is_reported(
    client: HttpClient, userinfo: str, pieces: Sequence[bytes], kind: FailureKind, detail: str
) -> None:
    async with serve(send_raw(*pieces)) as proxy:
        request = HttpRequest(url="https://a.example/", proxy=f"http://{userinfo}127.0.0.1:{proxy.port}")
        seen = await failure(client, request)
    assert seen.kind is kind
    assert seen.detail == f"connection to proxy 127.0.0.1:{proxy.port}: {detail}"
    assert (seen.status, dict(seen.headers)) == (None, {})


async def test_reset_by_the_proxy_is_reported(client: HttpClient) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        peer.reset()

    async with serve(script) as proxy:
        request = HttpRequest(url="https://a.example/", proxy=f"http://127.0.0.1:{proxy.port}")
        seen = await failure(client, request)
    assert seen.kind is FailureKind.RESET
    assert seen.detail == (
        f"connection to proxy 127.0.0.1:{proxy.port} (no response to CONNECT): the connection was reset by the peer"
    )


@pytest.mark.parametrize("pieces", [[], [b"HTTP/1.1 100 Continue\r\n\r\n"]], ids=["nothing", "interim"])
async def test_timeout_of_the_proxy_is_reported(client: HttpClient, pieces: Sequence[bytes]) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(*pieces)
        await peer.hang()

    async with serve(script) as proxy:
        request = HttpRequest(url="https://a.example/", proxy=f"http://127.0.0.1:{proxy.port}")
        seen = await failure(client, request, deadline=soon())
    assert seen.kind is FailureKind.TIMEOUT_CONNECT
    assert seen.detail == f"connection to proxy 127.0.0.1:{proxy.port} (no response to CONNECT) timed out"


async def test_endless_interim_responses_of_the_proxy_are_reported(client: HttpClient) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        while True:
            await peer.send(b"HTTP/1.1 100 Continue\r\n\r\n")

    async with serve(script) as proxy:
        request = HttpRequest(url="https://a.example/", proxy=f"http://127.0.0.1:{proxy.port}")
        seen = await failure(client, request)
    assert seen.kind is FailureKind.PROTOCOL_ERROR
    assert "interim responses" in seen.detail


async def test_certificate_behind_a_tunnel_is_verified(
    client: HttpClient, authority: Authority, ca_file: str, tmp_path: Path
) -> None:
    context = authority.issue("b.example", directory=tmp_path).server_context()
    async with (
        serve(respond(), tls=context) as server,
        serve(tunnel(server.port, ESTABLISHED + b"\r\n")) as proxy,
    ):
        proxy_url, tls = f"http://127.0.0.1:{proxy.port}", TlsOptions(ca_file=ca_file)
        seen = await failure(client, HttpRequest(url="https://a.example/", proxy=proxy_url, tls=tls))
    assert seen.kind is FailureKind.TLS_NAME_MISMATCH


async def test_server_without_tls_behind_a_tunnel_is_reported(client: HttpClient) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(ESTABLISHED + b"\r\n")
        await peer.reader.read(100)  # of the ClientHello
        await peer.send(b"220 mail.example ESMTP\r\n")

    async with serve(script) as proxy:
        request = HttpRequest(url="https://a.example/", proxy=f"http://127.0.0.1:{proxy.port}")
        seen = await failure(client, request)
    assert seen.kind is FailureKind.TLS_FAILED
    assert "does not speak TLS" in seen.detail


async def test_kept_tunnel_is_used_again(
    client: HttpClient, authority: Authority, ca_file: str, tmp_path: Path
) -> None:
    context = authority.issue("a.example", directory=tmp_path).server_context()
    async with (
        serve(respond(), tls=context) as server,
        serve(tunnel(server.port, ESTABLISHED + b"\r\n")) as proxy,
    ):
        request = HttpRequest(
            url="https://a.example/x",
            proxy=f"http://127.0.0.1:{proxy.port}",
            tls=TlsOptions(ca_file=ca_file),
            reuse_connection=True,
        )
        await exchange(client, request)
        await exchange(client, request)
        await client.forget(request)
    assert (proxy.connections, server.connections, len(server.requests)) == (1, 1, 2)
