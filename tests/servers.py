"""Real servers on the loopback that run a script of the test, often an invalid script.

    async def answer(peer: Peer) -> None:
        request = await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    async with serve(answer) as server:
        ... f"http://127.0.0.1:{server.port}/" ...
    assert server.requests[0].headers["host"] == ...

A server closes each connection when its script ends, and ends every script that still runs when it is closed.
"""

import asyncio
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Request:
    method: str
    target: str
    headers: dict[str, str]
    body: bytes


class Peer:
    """One connection, as the server sees it."""

    def __init__(self, server: "Server", reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._server = server
        self.reader = reader
        self.writer = writer

    async def relay_to(self, port: int, greeting: bytes = b"") -> None:
        """Connect to a local port, send the greeting, and pass on everything in both directions."""
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        if greeting:
            await self.send(greeting)

        async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
            while data := await source.read(65536):
                sink.write(data)
            sink.close()

        try:
            await asyncio.gather(pump(self.reader, writer), pump(reader, self.writer))
        finally:
            writer.close()

    async def request(self) -> Request:
        """Read the next request with its body. Raises IncompleteReadError at the end of the connection."""
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *lines = head.rstrip().split("\r\n")
        method, target, _ = first.split(" ")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        body = await self.reader.readexactly(int(headers.get("content-length", "0")))
        request = Request(method, target, headers, body)
        self._server.requests.append(request)
        return request

    async def send(self, *pieces: bytes) -> None:
        for piece in pieces:
            self.writer.write(piece)
            await self.writer.drain()

    async def hang(self) -> None:
        """Wait until the server is closed."""
        await asyncio.Event().wait()

    def reset(self) -> None:
        """Close with RST instead of FIN."""
        self.writer.get_extra_info("socket").setsockopt(
            socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
        )
        self.writer.transport.abort()


Script = Callable[[Peer], Awaitable[None]]


@dataclass
class Server:
    port: int = 0
    connections: int = 0
    requests: list[Request] = field(default_factory=list)
    is_reached: asyncio.Event = field(default_factory=asyncio.Event)


BACKLOG = 2048
"""More than the monitors that check a server at the same time: it does not accept while this process is busy, and the
kernel discards further connections, which are tried again a second later."""


@asynccontextmanager
async def serve(
    script: Script,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    path: Path | None = None,
    tls: ssl.SSLContext | None = None,
) -> AsyncIterator[Server]:
    """Listen on a port of `host`, or on the Unix socket `path`; run the script for each connection."""
    server = Server()
    tasks: set[asyncio.Task[None]] = set()

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server.connections += 1
        server.is_reached.set()
        try:
            with suppress(ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
                await script(Peer(server, reader, writer))
        except asyncio.CancelledError:
            writer.transport.abort()
            raise
        finally:
            writer.close()

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(converse(reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    if path is not None:
        listener = await asyncio.start_unix_server(connected, path=path, backlog=BACKLOG)
    else:
        listener = await asyncio.start_server(connected, host, port, ssl=tls, backlog=BACKLOG)
        server.port = listener.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listener.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0)
        await listener.wait_closed()


def respond(status: str = "200 OK", body: bytes = b"ok", headers: dict[str, str] | None = None) -> Script:
    """Send the same response to every request of a connection, until the client asks to close it."""
    lines = {"Content-Length": str(len(body)), **(headers or {})}
    head = f"HTTP/1.1 {status}\r\n" + "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    answer = head.encode() + b"\r\n" + body

    async def script(peer: Peer) -> None:
        while True:
            request = await peer.request()
            await peer.send(answer)
            if request.headers.get("connection") == "close":
                return

    return script


def send_raw(*pieces: bytes) -> Script:
    """Send exactly these bytes as the response to the first request, and close."""

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(*pieces)

    return script


@asynccontextmanager
async def serve_tls_once(context: ssl.SSLContext) -> AsyncIterator[int]:
    """Accept one connection with OpenSSL itself: asyncio closes without sending the alert."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(10)

        def shake_hands() -> None:
            connection, _ = listener.accept()
            connection.settimeout(10)
            bare = connection.dup()  # wrap_socket takes `connection` over
            with bare, suppress(ConnectionError):
                try:
                    context.wrap_socket(connection, server_side=True).close()
                except ssl.SSLError:
                    # To close with something unread would send a reset, which overtakes the alert.
                    while bare.recv(1000):
                        pass

        serving = asyncio.create_task(asyncio.to_thread(shake_hands))
        yield int(listener.getsockname()[1])
        await serving


def free_port(host: str = "127.0.0.1") -> int:
    """Return a port on which no process listens now."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


@contextmanager
def full_backlog() -> Iterator[int]:
    """A port with a full backlog: the kernel drops new connections, and connect() waits (listen(2))."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        waiting = [socket.socket() for _ in range(4)]
        try:
            for client in waiting:
                client.setblocking(False)
                with suppress(BlockingIOError):
                    client.connect(listener.getsockname())
            yield int(listener.getsockname()[1])
        finally:
            for client in waiting:
                client.close()


def has_ipv6() -> bool:
    try:
        free_port("::1")
    except OSError:
        return False
    return True
