"""Persistent connections: when they are stale, and which are used again."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from monitord.net import FailureKind, HttpClient, HttpRequest, Resolver, TlsContexts, TlsOptions
from tests.certificates import Authority
from tests.net.conftest import exchange, failure
from tests.servers import Peer, Script, serve

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def once_then(end: Script) -> Script:
    """Answers the first request of each connection, and ends the connection at the second."""

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(OK)
        await peer.request()
        await end(peer)

    return script


async def _close(_peer: Peer) -> None:
    return


async def _reset(peer: Peer) -> None:
    peer.reset()


async def _idle_timeout(peer: Peer) -> None:
    await peer.send(b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")


async def _rest_of_previous_body(peer: Peer) -> None:
    await peer.send(b"<html>", OK)


async def _blank_line(peer: Peer) -> None:
    await peer.send(b"\r\n")


@pytest.mark.parametrize("end", [_close, _reset, _idle_timeout, _rest_of_previous_body, _blank_line])
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_kept_connection_that_ends_with_the_next_request_is_replaced(
    client: HttpClient, end: Script, method: str
) -> None:
    async with serve(once_then(end)) as server:
        request = HttpRequest(
            url=f"http://127.0.0.1:{server.port}/", method=method, body=b"x", reuse_connection=True
        )
        statuses = [(await exchange(client, request)).status for _ in range(4)]
    assert statuses == [200] * 4
    assert server.connections == 4


@pytest.mark.parametrize("end", [_close, _reset, _idle_timeout])
async def test_kept_tls_connection_that_ends_with_the_next_request_is_replaced(
    client: HttpClient, authority: Authority, ca_file: str, tmp_path: Path, end: Script
) -> None:
    context = authority.issue("127.0.0.1", directory=tmp_path).server_context()
    async with serve(once_then(end), tls=context) as server:
        request = HttpRequest(
            url=f"https://127.0.0.1:{server.port}/", tls=TlsOptions(ca_file=ca_file), reuse_connection=True
        )
        for _ in range(3):
            seen = await exchange(client, request)
            assert (seen.status, seen.tls is not None) == (200, True)
    assert server.connections == 3


async def test_kept_connection_that_ends_while_the_body_is_sent_is_replaced(client: HttpClient) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(OK)
        await peer.reader.readuntil(b"\r\n\r\n")
        peer.reset()

    async with serve(script) as server:
        request = HttpRequest(
            url=f"http://127.0.0.1:{server.port}/",
            method="POST",
            body=bytes(1_000_000),
            reuse_connection=True,
        )
        await exchange(client, request)
        assert (await exchange(client, request)).status == 200
    assert server.connections == 2


@pytest.fixture
async def impatient() -> AsyncIterator[HttpClient]:
    """Tries a new connection in addition to a silent one after 20 ms of the tests' 20 s."""
    client = HttpClient(
        user_agent="tests", resolver=Resolver(), tls_contexts=TlsContexts(), silent_share=0.001
    )
    yield client
    await client.close()


async def test_silent_kept_connection_is_replaced_within_the_deadline(impatient: HttpClient) -> None:
    """As behind a firewall that has forgotten the connection."""

    async def silent(peer: Peer) -> None:
        await peer.hang()

    async with serve(once_then(silent)) as server:
        request = HttpRequest(
            url=f"http://127.0.0.1:{server.port}/", method="POST", body=bytes(100_000), reuse_connection=True
        )
        await exchange(impatient, request)
        seen = await exchange(impatient, request)
        assert (seen.status, seen.address) == (200, "127.0.0.1")
        assert server.connections == 2


async def test_slow_response_on_a_kept_connection_is_used(impatient: HttpClient) -> None:
    """Although a fresh connection was tried in the meantime."""
    is_asked_again = asyncio.Event()

    async def script(peer: Peer) -> None:
        if server.connections > 1:
            is_asked_again.set()
            await peer.hang()
        await peer.request()
        await peer.send(OK)
        await peer.request()
        await is_asked_again.wait()
        await peer.send(OK.replace(b"200", b"201"))

    async with serve(script) as server:
        request = HttpRequest(url=f"http://127.0.0.1:{server.port}/", reuse_connection=True)
        await exchange(impatient, request)
        seen = await exchange(impatient, request)
    assert seen.status == 201


async def test_refused_new_connection_is_reported(client: HttpClient) -> None:
    async def answer_once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        listener.close()
        writer.write(OK)
        await reader.readuntil(b"\r\n\r\n")
        writer.close()

    listener = await asyncio.start_server(answer_once, "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    request = HttpRequest(url=f"http://127.0.0.1:{port}/", reuse_connection=True)
    await exchange(client, request)
    seen = await failure(client, request)
    assert (seen.kind, seen.detail) == (FailureKind.REFUSED, f"connection to 127.0.0.1:{port} refused")


async def test_new_connection_is_tried_once(client: HttpClient) -> None:
    connections = 0

    async def script(peer: Peer) -> None:
        nonlocal connections
        connections += 1
        await peer.request()
        if connections == 1:
            await peer.send(OK)
            await peer.request()

    async with serve(script) as server:
        request = HttpRequest(url=f"http://127.0.0.1:{server.port}/", reuse_connection=True)
        await exchange(client, request)
        seen = await failure(client, request)
    assert (seen.kind, seen.detail) == (
        FailureKind.RESET,
        "the peer closed the connection without a response",
    )
    assert connections == 2


async def test_truncated_response_on_a_kept_connection_is_a_failure(client: HttpClient) -> None:
    """A byte has come back: the server has the request and failed."""

    async def half(peer: Peer) -> None:
        await peer.send(b"HTTP/1.1 200 O")

    async with serve(once_then(half)) as server:
        request = HttpRequest(url=f"http://127.0.0.1:{server.port}/", reuse_connection=True)
        await exchange(client, request)
        seen = await failure(client, request)
    assert (seen.kind, server.connections) == (FailureKind.RESET, 1)


async def test_status_408_on_a_new_connection_is_the_response(client: HttpClient) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await _idle_timeout(peer)

    async with serve(script) as server:
        request = HttpRequest(url=f"http://127.0.0.1:{server.port}/", reuse_connection=True)
        assert (await exchange(client, request)).status == 408
    assert server.connections == 1


@pytest.mark.parametrize("extra", [b"HTTP/1.1 408 Request Timeout\r\n\r\n", b"x"])
async def test_bytes_on_an_idle_connection_are_not_a_response(client: HttpClient, extra: bytes) -> None:
    """Whether they have been read by the event loop before the next request or not."""
    idle, sent = asyncio.Event(), asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(OK)
        await idle.wait()
        await peer.send(extra)
        sent.set()
        await peer.hang()

    async with serve(script) as server:
        request = HttpRequest(url=f"http://127.0.0.1:{server.port}/", reuse_connection=True)
        await exchange(client, request)
        idle.set()
        await sent.wait()
        assert (await exchange(client, request)).status == 200
    assert server.connections == 2


@pytest.mark.parametrize(
    "response",
    [
        OK + b"more",
        b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 204 No Content\r\n\r\nbody",
        OK.replace(b"\r\n\r\n", b"\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n") + b"\r\n0\r\n\r\n",
    ],
    ids=["bytes after the body", "HTTP/1.0", "204 with a body", "length and chunked"],
)
async def test_connection_with_unclear_state_is_not_used_again(client: HttpClient, response: bytes) -> None:
    async def script(peer: Peer) -> None:
        while True:
            await peer.request()
            await peer.send(response)

    async with serve(script) as server:
        request = HttpRequest(url=f"http://127.0.0.1:{server.port}/", reuse_connection=True)
        for _ in range(2):
            await exchange(client, request)
    assert server.connections == 2


async def test_connection_is_kept_after_http_1_0_with_keep_alive(client: HttpClient) -> None:
    async def script(peer: Peer) -> None:
        while True:
            await peer.request()
            await peer.send(b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok")

    async with serve(script) as server:
        request = HttpRequest(url=f"http://127.0.0.1:{server.port}/", reuse_connection=True)
        for _ in range(3):
            await exchange(client, request)
    assert server.connections == 1
