import asyncio
import errno
import os
import signal
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import cast

import pytest

from monitord.web import Application, EventStream, Limits, Request, Response, Server
from monitord.web.server import bind_all
from monitord.web.testing import ClientConnection, SocketClient, TestClient
from tests.fakes import LoopFactory

from .app import RELEASE, SEEN, STARTED, make_app
from .test_connection import GET, get, until


@pytest.fixture
def listening(tmp_path: Path) -> Iterator[socket.socket]:
    """A socket as from systemd: listening before the server starts."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(tmp_path / "passed"))
        listener.listen()
        yield listener


def names_in(directory: Path) -> list[str]:
    return [path.name for path in directory.iterdir()]


async def over_unix(path: Path) -> ClientConnection:
    return ClientConnection(*await asyncio.open_unix_connection(path))


async def test_several_sockets_are_served_at_once(tmp_path: Path, listening: socket.socket) -> None:
    tcp = socket.create_server(("127.0.0.1", 0))
    port = tcp.getsockname()[1]
    server = Server(make_app(), host="127.0.0.1", port=0, path=tmp_path / "own", sockets=[listening, tcp])
    async with server:
        for connection in (
            await over_unix(tmp_path / "own"),
            await over_unix(tmp_path / "passed"),
            ClientConnection(*await asyncio.open_connection("127.0.0.1", port)),
            ClientConnection(*await asyncio.open_connection("127.0.0.1", server.port)),
        ):
            async with connection:
                assert (await connection.request("GET", "/hello")).status == 200


async def test_passed_socket_keeps_its_file(tmp_path: Path, listening: socket.socket) -> None:
    """Python 3.13 unlinks it by default, so that the next start of the service would find no socket."""
    async with Server(make_app(), sockets=[listening]):
        assert (tmp_path / "passed").exists()
    assert (tmp_path / "passed").exists()
    assert listening.fileno() == -1


async def test_unix_socket_has_mode_and_group_and_is_removed(tmp_path: Path) -> None:
    path = tmp_path / "own"
    async with Server(make_app(), path=path, mode=0o640, group=os.getgid()):
        found = path.stat()
        assert (stat.S_IMODE(found.st_mode), found.st_gid) == (0o640, os.getgid())
        assert names_in(tmp_path) == ["own"]
    assert names_in(tmp_path) == []


async def test_unix_socket_is_limited_to_its_group_by_default(tmp_path: Path) -> None:
    async with Server(make_app(), path=tmp_path / "own"):
        assert stat.S_IMODE((tmp_path / "own").stat().st_mode) == 0o660


async def test_unknown_group_fails_the_start_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(KeyError):
        await Server(make_app(), path=tmp_path / "own", group="no such group").start()
    assert names_in(tmp_path) == []


async def test_stale_socket_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "own"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    async with SocketClient(make_app(), path=path) as client:
        assert (await client.get("/hello")).status == 200


async def test_socket_in_use_is_not_replaced(tmp_path: Path) -> None:
    path = tmp_path / "own"
    async with SocketClient(make_app(), path=path) as client:
        with pytest.raises(OSError, match="another process") as caught:
            await Server(make_app(), path=path).start()
        assert caught.value.errno == errno.EADDRINUSE
        assert (await client.get("/hello")).status == 200


async def test_file_that_is_not_a_socket_is_not_replaced(tmp_path: Path) -> None:
    path = tmp_path / "own"
    path.write_text("precious")
    with pytest.raises(OSError, match="not a socket"):
        await Server(make_app(), path=path).start()
    assert path.read_text() == "precious"


async def test_socket_of_a_successor_is_not_removed(tmp_path: Path) -> None:
    path = tmp_path / "own"
    async with Server(make_app(), path=path):
        path.unlink()
        with socket.socket(socket.AF_UNIX) as successor:
            successor.bind(str(path))
    assert path.exists()


async def test_port_that_is_taken_fails_the_start_and_cleans_up() -> None:
    log: list[str] = []

    async def cleanup(app: Application) -> None:
        log.append("cleaned")

    app = make_app()
    app.on_cleanup.append(cleanup)
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(OSError, match="in use"):
        await Server(app, host="127.0.0.1", port=taken.getsockname()[1]).start()
    assert log == ["cleaned"]


def test_unavailable_address_is_skipped() -> None:
    lacking, ours = (
        (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (host, 0))
        for host in ("192.0.2.1", "127.0.0.1")
    )
    (listener,) = bind_all([lacking, ours, ours], 0)
    with listener:
        assert listener.getsockname()[0] == "127.0.0.1"
        with pytest.raises(OSError, match="ddress already in use"):
            bind_all([lacking, ours], listener.getsockname()[1])
    with pytest.raises(OSError, match="annot assign"):
        bind_all([lacking], 0)


async def test_server_without_tcp_has_no_port(tmp_path: Path) -> None:
    async with Server(make_app(), path=tmp_path / "own") as server:
        with pytest.raises(LookupError):
            _ = server.port


# Stopping.


async def test_idle_connections_are_closed_at_once() -> None:
    client = SocketClient(make_app(), grace_s=30)
    async with client:
        silent, asked, begun = [await client.connect() for _ in range(3)]
        await asked.request("GET", "/hello")
        await begun.send(b"GET /hello HT")
        await until(lambda: any(connection.inbox.unused_bytes for connection in client.server.connections))
    for connection in (silent, asked, begun):
        assert await connection.rest() == b""
        await connection.close()


async def test_new_connection_is_answered_during_shutdown() -> None:
    """Its request arrives shortly after the shutdown has begun."""
    client = TestClient(make_app(), grace_s=30)
    await client.server.start()
    asking, silent = [await client.connect() for _ in range(2)]
    closing = asyncio.create_task(client.server.close())
    for _ in range(5):
        await asyncio.sleep(0)
    await asking.send(GET)
    response = await asking.response()
    assert (response.status, response.headers["Connection"]) == (200, "close")
    assert await asking.rest() == await silent.rest() == b""
    await closing
    for connection in (asking, silent):
        await connection.close()


@pytest.fixture(scope="module", params=["asyncio", "uvloop"])
def loop_factory(request: pytest.FixtureRequest) -> LoopFactory:
    if request.param == "asyncio":
        return asyncio.new_event_loop
    return cast(LoopFactory, request.getfixturevalue("uvloop_factory"))


@pytest.mark.parametrize("sends", ["before", "after"])
@pytest.mark.parametrize("iterations", range(8))
def test_connection_at_any_time_of_the_shutdown_is_answered_or_still_queued(
    loop_factory: LoopFactory,
    listening: socket.socket,
    tmp_path: Path,
    iterations: int,
    sends: str,
) -> None:
    """The client connects this number of iterations before, and sends its request before or after the shutdown begins.

    A successor accepts the connections that are queued in a socket of systemd.
    """

    async def main() -> None:
        with listening.dup() as of_systemd, socket.socket(socket.AF_UNIX) as asking:
            server = Server(make_app(), sockets=[listening], grace_s=30)
            await server.start()
            asking.connect(str(tmp_path / "passed"))
            if sends == "before":
                asking.sendall(GET)
            for _ in range(iterations):
                await asyncio.sleep(0)
            closing = asyncio.create_task(server.close())
            for _ in range(10):
                await asyncio.sleep(0)
            if sends == "after":
                asking.sendall(GET)
            await closing
            of_systemd.setblocking(False)
            asking.settimeout(10)
            try:
                of_systemd.accept()[0].close()
            except BlockingIOError:
                assert asking.recv(1000).startswith(b"HTTP/1.1 200 ")

    with asyncio.Runner(loop_factory=loop_factory) as runner:
        runner.run(main())


async def test_request_on_an_idle_connection_that_has_arrived_is_answered_during_shutdown(
    listening: socket.socket, tmp_path: Path
) -> None:
    async with Server(make_app(), sockets=[listening], grace_s=30) as server:
        reader, writer = await asyncio.open_unix_connection(tmp_path / "passed")
        async with ClientConnection(reader, writer) as connection:
            await connection.request("GET", "/hello")
            (served,) = server.connections
            writer.write(GET)  # in the kernel now; the event loop has not read it
            served.stop()
            assert (await connection.response()).status == 200
            assert await connection.rest() == b""


async def test_running_request_finishes_with_connection_close() -> None:
    client = TestClient(make_app(), grace_s=30)
    await client.server.start()
    connection = await client.connect()
    await connection.send(get("/wait") + GET)
    await client.server.app[STARTED].wait()
    closing = asyncio.create_task(client.server.close())
    for _ in range(5):
        await asyncio.sleep(0)
    assert not closing.done()
    client.server.app[RELEASE].set()
    response = await connection.response()
    assert (response.text, response.headers["Connection"]) == ("released", "close")
    assert await connection.rest() == b""
    await connection.close()
    await closing
    assert client.server.app[SEEN] == []


async def test_request_that_takes_too_long_is_cancelled() -> None:
    client = TestClient(make_app())
    await client.server.start()
    async with await client.connect() as connection:
        await connection.send(get("/wait"))
        await client.server.app[STARTED].wait()
        await client.server.close(0.02)
        assert client.server.app[SEEN] == ["cancelled"]
        assert await connection.rest() == b""


async def test_end_grace_ends_the_wait() -> None:
    client = TestClient(make_app(), grace_s=30)
    await client.server.start()
    async with await client.connect() as connection:
        await connection.send(get("/wait"))
        await client.server.app[STARTED].wait()
        closing = asyncio.create_task(client.server.close())
        await asyncio.sleep(0)
        client.server.end_grace()
        await closing
        assert client.server.app[SEEN] == ["cancelled"]


async def test_event_stream_ends_at_once_and_completely() -> None:
    client = TestClient(make_app(), grace_s=30)
    await client.server.start()
    async with await client.connect() as connection:
        await connection.send(get("/ticks"))
        await client.server.app[STARTED].wait()
        await client.server.close()
        assert (await connection.response()).text.endswith("data: first\n\n")
        assert client.server.app[SEEN] == ["source ended"]


async def test_event_stream_that_begins_while_the_server_stops_ends_at_once_too() -> None:
    stopping = asyncio.Event()

    async def source() -> AsyncIterator[str]:
        await asyncio.sleep(60)
        yield "late"

    async def view(request: Request) -> EventStream:
        await stopping.wait()
        await asyncio.sleep(0.02)
        return EventStream(source())

    app = Application()
    app.router.add_get("/", view)
    client = TestClient(app, grace_s=30)
    await client.server.start()
    async with await client.connect() as connection:
        await connection.send(get("/"))
        await asyncio.sleep(0.02)
        closing = asyncio.create_task(client.server.close())
        stopping.set()
        async with asyncio.timeout(10):
            response = await connection.response()
            await closing
    assert (response.status, "late" in response.text) == (200, False)


async def test_handler_may_clean_up_when_it_is_cancelled() -> None:
    started, log = asyncio.Event(), []

    async def stubborn(request: Request) -> Response:
        started.set()
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0.02)
            log.append("cleaned")
        return Response()

    app = Application()
    app.router.add_get("/", stubborn)
    client = TestClient(app)
    await client.server.start()
    async with await client.connect() as connection:
        await connection.send(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
        await started.wait()
        await client.server.close(0)
    assert log == ["cleaned"]


async def test_shutdown_hooks_run_before_requests_have_ended() -> None:
    """Shutdown hooks can end long requests."""
    app = make_app()

    async def release(app: Application) -> None:
        app[RELEASE].set()

    app.on_shutdown.append(release)
    client = TestClient(app, grace_s=30)
    await client.server.start()
    async with await client.connect() as connection:
        await connection.send(get("/wait"))
        await app[STARTED].wait()
        await client.server.close()
        assert (await connection.response()).text == "released"


async def test_nothing_is_accepted_after_closing() -> None:
    client = SocketClient(make_app())
    await client.server.start()
    port = client.server.port
    await client.server.close()
    await client.server.close()
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", port)


async def test_client_that_receives_nothing_does_not_delay_shutdown() -> None:
    client = TestClient(make_app(), limits=Limits(write_s=30), grace_s=0.05)
    await client.server.start()
    async with await client.connect() as connection:
        await connection.send(get("/endless"))
        await until(lambda: any(connection.is_write_paused for connection in client.server.connections))
        await client.server.close()
        assert client.server.connection_count == 0


async def test_connections_beyond_all_limits_are_dropped() -> None:
    # A rejected connection is dropped after linger_s, which must not end before the last client has connected.
    async with TestClient(make_app(), limits=Limits(connections=1, linger_s=600)) as client:
        connections = [await client.connect() for _ in range(105)]
        answers = [await connection.rest() for connection in connections[1:]]
        assert sum(answer.startswith(b"HTTP/1.1 503") for answer in answers) == 100
        assert (await connections[0].request("GET", "/hello")).status == 200
        for connection in connections:
            await connection.close()


async def from_address(server: Server, address: str) -> ClientConnection:
    """A TCP client with another loopback address."""
    return ClientConnection(*await asyncio.open_connection("127.0.0.1", server.port, local_addr=(address, 0)))


async def test_connections_are_limited_per_address() -> None:
    limits = Limits(connections_per_address=2)
    async with (
        Server(make_app(), host="127.0.0.1", port=0, limits=limits) as server,
        AsyncExitStack() as stack,
    ):
        first = [await stack.enter_async_context(await from_address(server, "127.0.0.1")) for _ in range(3)]
        assert (await first[0].request("GET", "/hello")).status == 200
        rejected = await first[2].response()
        assert (rejected.status, rejected.text) == (503, "503: too many connections from this address\n")
        other = await stack.enter_async_context(await from_address(server, "127.0.0.2"))
        assert (await other.request("GET", "/hello")).status == 200
        # A connection is free again when it has closed.
        await first[0].close()
        await first[2].close()
        await until(lambda: server.connection_count == 2)
        again = await stack.enter_async_context(await from_address(server, "127.0.0.1"))
        assert (await again.request("GET", "/hello")).status == 200


async def test_connections_are_reserved_for_unix_sockets(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    limits = Limits(connections=4, reserved_for_unix=2)
    path = tmp_path / "unix"
    async with (
        Server(make_app(), host="127.0.0.1", port=0, path=path, limits=limits) as server,
        AsyncExitStack() as stack,
    ):
        # More than all connections, and more than receive a response at the same time.
        for number in range(110):
            await stack.enter_async_context(await from_address(server, f"127.0.1.{number + 1}"))
        for _ in range(2):
            local = await stack.enter_async_context(await over_unix(path))
            assert (await local.request("GET", "/hello")).status == 200
    # One line a minute.
    (warning,) = [message for message in caplog.messages if message.startswith("rejected")]
    assert warning == "rejected 1 connection, the last from 127.0.1.3: too many connections (open: 2)"


@pytest.fixture
def reachable() -> Iterator[socket.socket]:
    """A socket for all users; the directories of pytest are not accessible to others."""
    with tempfile.TemporaryDirectory() as directory, socket.socket(socket.AF_UNIX) as listener:
        Path(directory).chmod(0o755)
        listener.bind(f"{directory}/socket")
        Path(directory, "socket").chmod(0o666)
        listener.listen()
        yield listener


CONNECT_AND_WAIT = """
import socket, sys
one = socket.socket(socket.AF_UNIX)
one.connect(sys.argv[1])
one.sendall(b"GET /hello HTTP/1.1\\r\\nHost: localhost\\r\\n\\r\\n")
print(one.recv(100).split()[1].decode(), flush=True)
sys.stdin.read()
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can run a client as another user")
async def test_connections_are_reserved_for_root(reachable: socket.socket) -> None:
    path = reachable.getsockname()
    async with (
        Server(make_app(), sockets=[reachable], limits=Limits(connections=2, reserved_for_root=1)),
        AsyncExitStack() as stack,
    ):
        statuses = []
        for _ in range(2):
            client = await asyncio.create_subprocess_exec(
                *(sys.executable, "-S", "-c", CONNECT_AND_WAIT, path),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                user=65534,
                cwd="/",
            )
            stack.push_async_callback(client.communicate, b"")
            assert client.stdout is not None
            statuses.append((await client.stdout.readline()).strip())
        assert statuses == [b"200", b"503"]
        async with await over_unix(path) as root:
            assert (await root.request("GET", "/hello")).status == 200


async def test_server_installs_no_signal_handlers() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
    async with Server(make_app(), host="127.0.0.1", port=0):
        assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)] == before
