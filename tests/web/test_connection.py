import asyncio
import logging
import socket
from collections.abc import AsyncIterator, Callable

import pytest

from monitord.web import Limits, Request, Response, Server
from monitord.web.connection import Connection
from monitord.web.testing import ClientConnection, SocketClient, TestClient
from tests.fakes import run_in_fake_time

from .app import QUICK, RELEASE, SEEN, STARTED, make_app, sizes

GET = b"GET /hello HTTP/1.1\r\nHost: h\r\n\r\n"


def get(path: str, *fields: str, version: str = "1.1") -> bytes:
    return "\r\n".join([f"GET {path} HTTP/{version}", "Host: h", *fields, "", ""]).encode()


def post(path: str, *fields: str) -> bytes:
    return "\r\n".join([f"POST {path} HTTP/1.1", "Host: h", *fields, "", ""]).encode()


@pytest.fixture
async def client() -> AsyncIterator[TestClient]:
    async with TestClient(make_app()) as client:
        yield client


@pytest.fixture
async def quick() -> AsyncIterator[TestClient]:
    async with TestClient(make_app(), limits=QUICK) as client:
        yield client


@pytest.fixture
async def connection(client: TestClient) -> AsyncIterator[ClientConnection]:
    async with await client.connect() as connection:
        yield connection


# Order and keep-alive.


async def test_connection_serves_one_request_after_another(connection: ClientConnection) -> None:
    for _ in range(3):
        response = await connection.request("GET", "/hello")
        assert (response.status, response.text) == (200, "hello /hello")
        assert "Connection" not in response.headers


async def test_pipelined_requests_are_answered_in_order(connection: ClientConnection) -> None:
    await connection.send(b"".join(get(f"/hello/{number}") for number in range(200)))
    for number in range(200):
        assert (await connection.response()).text == f"hello /hello/{number}"


async def test_slow_first_response_delays_the_second(
    client: TestClient, connection: ClientConnection
) -> None:
    await connection.send(get("/wait") + GET)
    await client.server.app[STARTED].wait()
    assert client.server.app[SEEN] == []
    client.server.app[RELEASE].set()
    assert (await connection.response()).text == "released"
    assert (await connection.response()).text == "hello /hello"


async def test_ready_responses_do_not_wait_for_a_slow_successor(
    client: TestClient, connection: ClientConnection
) -> None:
    await connection.send(GET + get("/wait"))
    assert (await connection.response()).text == "hello /hello"
    client.server.app[RELEASE].set()
    assert (await connection.response()).text == "released"


async def test_error_after_valid_requests_is_answered_after_them(connection: ClientConnection) -> None:
    await connection.send(GET + GET + b"BAD\r\n\r\n" + GET)
    assert (await connection.response()).status == 200
    assert (await connection.response()).status == 200
    last = await connection.response()
    assert (last.status, last.headers["Connection"]) == (400, "close")
    assert await connection.rest() == b""


async def test_requests_in_single_bytes_are_served(connection: ClientConnection) -> None:
    for byte in GET + post("/echo", "Transfer-Encoding: chunked") + b"3\r\nabc\r\n0\r\n\r\n":
        await connection.send(bytes([byte]))
        await asyncio.sleep(0)
    assert (await connection.response()).text == "hello /hello"
    assert (await connection.response()).body == b"abc"


async def test_close_is_honoured_and_confirmed(connection: ClientConnection) -> None:
    response = await connection.request("GET", "/hello", headers=[("Connection", "close")])
    assert response.headers["Connection"] == "close"
    assert await connection.rest() == b""


async def test_requests_after_a_close_are_not_handled(
    client: TestClient, connection: ClientConnection
) -> None:
    await connection.send(get("/hello", "Connection: close") + GET)
    assert (await connection.response()).status == 200
    assert await connection.rest() == b""
    assert client.server.app[SEEN] == ["/hello"]


async def test_http_1_0_closes_without_keep_alive(client: TestClient, connection: ClientConnection) -> None:
    await connection.send(get("/hello", "Connection: keep-alive", version="1.0"))
    response = await connection.response()
    assert response.headers["Connection"] == "keep-alive"
    await connection.send(get("/hello", version="1.0"))
    assert (await connection.response()).headers["Connection"] == "close"
    assert await connection.rest() == b""


async def test_declined_upgrade_is_an_ordinary_request(connection: ClientConnection) -> None:
    await connection.send(
        post("/echo", "Connection: Upgrade", "Upgrade: h2c", "Content-Length: 5") + b"hello" + get("/hello")
    )
    assert (await connection.response()).body == b"hello"
    assert (await connection.response()).text == "hello /hello"


# Framing of responses.


async def test_stream_is_chunked_to_http_1_1(connection: ClientConnection) -> None:
    response = await connection.request("GET", "/stream")
    assert (response.headers["Transfer-Encoding"], response.text) == ("chunked", "one two three")
    assert (await connection.request("GET", "/hello")).status == 200


async def test_stream_ends_with_the_connection_to_http_1_0(connection: ClientConnection) -> None:
    await connection.send(get("/stream", "Connection: keep-alive", version="1.0"))
    response = await connection.response()
    assert "Transfer-Encoding" not in response.headers
    assert (response.headers["Connection"], response.text) == ("close", "one two three")


@pytest.mark.parametrize("path", ["/hello", "/stream", "/large", "/ticks"])
async def test_head_has_the_fields_of_get_and_no_body(connection: ClientConnection, path: str) -> None:
    head = await connection.request("HEAD", path)
    assert head.status == 200
    if path in {"/hello", "/large"}:
        assert head.headers["Content-Length"] == {"/hello": "12", "/large": "5000000"}[path]
    assert (await connection.request("GET", "/hello")).text == "hello /hello"


@pytest.mark.parametrize("path", ["/half", "/short", "/long"])
async def test_partial_body_is_never_complete(
    connection: ClientConnection, path: str, caplog: pytest.LogCaptureFixture
) -> None:
    await connection.send(get(path))
    with pytest.raises(ConnectionResetError):
        await connection.response()
    assert [record.levelno for record in caplog.records] == [logging.ERROR]


async def test_every_response_has_a_date(connection: ClientConnection) -> None:
    assert (await connection.request("GET", "/hello")).headers["Date"].endswith(" GMT")


async def test_large_response_arrives_completely(connection: ClientConnection) -> None:
    assert len((await connection.request("GET", "/large")).body) == 5_000_000


# Request bodies.


async def test_body_in_pieces_is_joined(connection: ClientConnection) -> None:
    await connection.send(post("/echo", "Content-Length: 10"))
    await connection.send(b"01234")
    await connection.send(b"56789")
    assert (await connection.response()).body == b"0123456789"


async def test_unread_body_is_not_parsed_as_a_request(connection: ClientConnection) -> None:
    await connection.send(post("/ignore", f"Content-Length: {len(GET)}") + GET + get("/hello/next"))
    assert (await connection.response()).text == "ignored"
    assert (await connection.response()).text == "hello /hello/next"


async def test_late_unread_body_is_discarded(connection: ClientConnection) -> None:
    await connection.send(post("/ignore", "Content-Length: 1000"))
    assert (await connection.response()).text == "ignored"
    await connection.send(b"x" * 1000 + GET)
    assert (await connection.response()).text == "hello /hello"


async def test_large_unread_body_closes_the_connection_after_the_response() -> None:
    async with SocketClient(make_app()) as client, await client.connect() as connection:
        await connection.send(post("/ignore", "Content-Length: 2000000") + b"x" * 2_000_000)
        response = await connection.response()
        assert (response.text, response.headers["Connection"]) == ("ignored", "close")
        assert await connection.rest() == b""


async def test_broken_chunk_is_answered_400_and_closed(connection: ClientConnection) -> None:
    await connection.send(post("/echo", "Transfer-Encoding: chunked") + b"3\r\nabcXX" + GET)
    response = await connection.response()
    assert (response.status, response.headers["Connection"]) == (400, "close")
    assert await connection.rest() == b""


async def test_unread_broken_chunk_closes_the_connection(connection: ClientConnection) -> None:
    await connection.send(post("/ignore", "Transfer-Encoding: chunked") + b"3\r\nabcXX" + GET)
    assert (await connection.response()).text == "ignored"
    assert await connection.rest() == b""


async def test_body_beyond_the_limit_is_rejected_before_it_is_sent(connection: ClientConnection) -> None:
    await connection.send(post("/echo", "Content-Length: 2000000", "Expect: 100-continue"))
    response = await connection.response()
    assert (response.status, response.headers["Connection"]) == (413, "close")


async def test_chunked_body_beyond_the_limit_is_rejected(connection: ClientConnection) -> None:
    await connection.send(post("/echo", "Transfer-Encoding: chunked"))
    for _ in range(5):
        await connection.send(b"40000\r\n" + b"x" * 0x40000 + b"\r\n")
    assert (await connection.response()).status == 413


async def test_streaming_handler_may_read_beyond_the_limit(connection: ClientConnection) -> None:
    await connection.send(post("/sizes", "Content-Length: 3000000"))
    await connection.send(b"x" * 3_000_000)
    assert sum((await connection.response()).json()) == 3_000_000


# 100-continue.


async def test_continue_is_sent_when_the_handler_reads(connection: ClientConnection) -> None:
    await connection.send(post("/echo", "Content-Length: 5", "Expect: 100-continue"))
    expected = b"HTTP/1.1 100 Continue\r\n\r\n"
    assert await connection.reader.readexactly(len(expected)) == expected
    await connection.send(b"hello")
    assert (await connection.response()).body == b"hello"
    assert (await connection.request("GET", "/hello")).status == 200


async def test_continue_is_not_sent_for_an_unread_body(connection: ClientConnection) -> None:
    await connection.send(post("/ignore", "Content-Length: 5", "Expect: 100-continue"))
    assert (await connection.reader.readline()).startswith(b"HTTP/1.1 200 ")
    assert b"Connection: close\r\n" in await connection.rest()


async def test_continue_is_not_sent_for_a_received_body(connection: ClientConnection) -> None:
    await connection.send(post("/echo", "Content-Length: 5", "Expect: 100-continue") + b"hello")
    assert (await connection.reader.readline()).startswith(b"HTTP/1.1 200 ")


async def test_continue_is_never_sent_to_http_1_0(connection: ClientConnection) -> None:
    await connection.send(b"POST /echo HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n")
    await asyncio.sleep(0)
    await connection.send(b"hello")
    assert (await connection.reader.readline()).startswith(b"HTTP/1.1 200 ")


# Disconnections.


async def test_disconnect_cancels_the_handler(client: TestClient) -> None:
    connection = await client.connect()
    await connection.send(get("/wait"))
    await client.server.app[STARTED].wait()
    await connection.close()
    await until(lambda: client.server.connection_count == 0)
    assert client.server.app[SEEN] == ["cancelled"]


async def test_disconnect_ends_a_stream(client: TestClient) -> None:
    connection = await client.connect()
    await connection.send(get("/endless"))
    await connection.reader.readexactly(100_000)
    await connection.close()
    await until(lambda: client.server.connection_count == 0)
    assert client.server.app[SEEN] == ["ended"]


async def test_half_closed_connection_receives_its_response(
    client: TestClient, connection: ClientConnection
) -> None:
    await connection.send(get("/wait") + GET)
    connection.writer.write_eof()
    await client.server.app[STARTED].wait()
    await asyncio.sleep(0.02)
    client.server.app[RELEASE].set()
    assert (await connection.response()).text == "released"
    assert (await connection.response()).text == "hello /hello"
    assert await connection.rest() == b""


async def test_truncated_request_body_is_never_complete(
    client: TestClient, connection: ClientConnection, caplog: pytest.LogCaptureFixture
) -> None:
    await connection.send(post("/echo", "Content-Length: 10") + b"half")
    connection.writer.write_eof()
    response = await connection.response()
    assert (response.status, response.headers["Connection"]) == (400, "close")
    assert caplog.records == []


async def test_connection_without_request_leaves_nothing(client: TestClient) -> None:
    for data in (b"", b"GET", GET[:-2]):
        connection = await client.connect()
        if data:
            await connection.send(data)
        await connection.close()
    await until(lambda: client.server.connection_count == 0)


# Deadlines.


async def test_connection_without_request_is_closed_silently(quick: TestClient) -> None:
    async with await quick.connect() as connection:
        assert await connection.rest() == b""


async def test_idle_connection_is_closed_after_keep_alive(quick: TestClient) -> None:
    async with await quick.connect() as connection:
        await connection.request("GET", "/hello")
        assert await connection.rest() == b""


@pytest.mark.parametrize("first", [b"", GET], ids=["at once", "after a request"])
async def test_slow_head_is_rejected_at_its_deadline(quick: TestClient, first: bytes) -> None:
    async with await quick.connect() as connection:
        if first:
            await connection.send(first)
            await connection.response()
        dripping = asyncio.create_task(drip(connection, b"GET /hello HTTP/1.1\r\n", b"X: y\r\n"))
        response = await connection.response()
        assert (response.status, response.headers["Connection"]) == (408, "close")
        dripping.cancel()
        await asyncio.wait([dripping])


async def test_stalled_body_is_rejected(quick: TestClient) -> None:
    async with await quick.connect() as connection:
        await connection.send(post("/echo", "Content-Length: 10") + b"half")
        response = await connection.response()
        assert (response.status, response.headers["Connection"]) == (408, "close")


async def test_slow_body_is_rejected(quick: TestClient) -> None:
    async with await quick.connect() as connection:
        dripping = asyncio.create_task(drip(connection, post("/echo", "Content-Length: 100000"), b"x"))
        assert (await connection.response()).status == 408
        dripping.cancel()
        await asyncio.wait([dripping])


async def test_client_that_receives_nothing_is_disconnected(quick: TestClient) -> None:
    async with await quick.connect() as connection:
        await connection.send(get("/endless"))
        await until(lambda: quick.server.app[SEEN] == ["ended"])
        await until(lambda: quick.server.connection_count == 0)


async def test_client_that_receives_no_complete_response_is_disconnected(quick: TestClient) -> None:
    async with await quick.connect() as connection:
        await connection.send(get("/large"))
        await until(lambda: quick.server.connection_count == 0)


async def test_client_that_sends_and_receives_nothing_is_paused(
    client: TestClient, connection: ClientConnection
) -> None:
    """Pipelining without reading: neither responses nor requests accumulate."""
    connection.writer.write(get("/large") * 2000)
    await until(lambda: all(connection.is_write_paused for connection in client.server.connections))
    (only,) = client.server.connections
    assert only.transport.get_write_buffer_size() < 2 * 5_000_000
    assert only.inbox.unused_bytes < 400_000


async def test_fast_upload_is_paused() -> None:
    """Data that the handler does not read stays with the client."""
    app = make_app()

    async def slow(request: Request) -> Response:
        app[STARTED].set()
        await app[RELEASE].wait()
        return await sizes(request)

    app.router.add_post("/slow", slow)
    async with TestClient(app) as client, await client.connect() as connection:
        sending = asyncio.create_task(
            connection.send(post("/slow", "Content-Length: 8000000") + b"x" * 8_000_000)
        )
        await app[STARTED].wait()
        (only,) = client.server.connections
        await until(lambda: only.inbox.unused_bytes > 64 * 1024)
        for _ in range(10):
            await asyncio.sleep(0)
        assert only.inbox.unused_bytes < 600_000
        app[RELEASE].set()
        assert sum((await connection.response()).json()) == 8_000_000
        await sending


# Too many, and rejections.


async def test_connections_beyond_the_limit_receive_503() -> None:
    async with TestClient(make_app(), limits=Limits(connections=2)) as client:
        async with (
            await client.connect() as first_connection,
            await client.connect() as two,
            await client.connect() as three,
        ):
            assert (await three.response()).status == 503
            assert await three.rest() == b""
            assert (await first_connection.request("GET", "/hello")).status == 200
            assert (await two.request("GET", "/hello")).status == 200
        await until(lambda: client.server.connection_count == 0)
        assert (await client.get("/hello")).status == 200


async def test_rejection_reaches_a_client_that_is_still_sending() -> None:
    """A plain close would reset the connection, and the client would lose the response (RFC 9112 section 9.6)."""
    async with SocketClient(make_app()) as client, await client.connect() as connection:
        await connection.send(b"NONSENSE\r\n\r\n" + b"x" * 1_000_000)
        assert (await connection.response()).status == 400
        assert await connection.rest() == b""


async def test_client_that_resets_leaves_nothing(caplog: pytest.LogCaptureFixture) -> None:
    async with SocketClient(make_app()) as client:
        for _ in range(20):
            connection = await client.connect()
            await connection.send(get("/large") * 3)
            raw = connection.writer.get_extra_info("socket")
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
            connection.writer.transport.abort()
        await until(lambda: client.server.connection_count == 0)
    assert [record.message for record in caplog.records if record.levelno >= logging.WARNING] == []


async def drip(connection: ClientConnection, first: bytes, piece: bytes) -> None:
    connection.writer.write(first)
    while True:
        connection.writer.write(piece)
        await asyncio.sleep(0.02)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - the server has no event for what tests ask about
            await asyncio.sleep(0.005)


class SlowTransport(asyncio.Transport):
    """The transport of a client that receives `taken_per_s` bytes of the response per second of loop time."""

    def __init__(self, unsent_bytes: int, taken_per_s: float) -> None:
        super().__init__()
        self._loop = asyncio.get_running_loop()
        self._unsent_bytes, self._taken_per_s, self._began_s = unsent_bytes, taken_per_s, self._loop.time()
        self.is_aborted = False

    def get_write_buffer_size(self) -> int:
        taken = (self._loop.time() - self._began_s) * self._taken_per_s
        return max(0, self._unsent_bytes - int(taken))

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass

    def get_extra_info(self, name: str, default: object = None) -> object:
        return default

    def abort(self) -> None:
        self.is_aborted = True

    def is_closing(self) -> bool:
        return self.is_aborted

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass

    def write(self, data: object) -> None:
        pass

    def write_eof(self) -> None:
        pass


@pytest.mark.parametrize(("taken_per_s", "is_cut"), [(0, True), (100, True), (2000, False)])
def test_client_that_receives_too_slowly_is_disconnected(taken_per_s: float, *, is_cut: bool) -> None:
    """Otherwise, a byte from time to time would keep a connection forever."""

    async def main() -> None:
        server = Server(make_app(), limits=Limits(write_s=30.0))
        await server.start()
        connection = Connection(server)
        transport = SlowTransport(1_000_000, taken_per_s)
        connection.connection_made(transport)
        connection.pause_writing()
        taking = asyncio.ensure_future(connection.wait_writable())
        await asyncio.sleep(400)
        assert transport.is_aborted is is_cut
        connection.resume_writing()
        await asyncio.gather(taking, return_exceptions=True)
        connection.connection_lost(None)
        await server.close()

    run_in_fake_time(main)


@pytest.mark.parametrize(("taken_per_s", "is_cut"), [(0, True), (100, True), (2000, False)])
def test_last_response_has_a_deadline(taken_per_s: float, *, is_cut: bool) -> None:
    async def main() -> None:
        server = Server(make_app(), limits=Limits(write_s=30.0))
        await server.start()
        connection = Connection(server)
        transport = SlowTransport(1_000_000, taken_per_s)
        connection.connection_made(transport)
        connection.data_received(b"NONSENSE\r\n\r\n")
        await asyncio.sleep(400)
        assert transport.is_aborted is is_cut
        connection.connection_lost(None)
        await server.close()

    run_in_fake_time(main)
