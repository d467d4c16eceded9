"""Servers for bench/hostile.py: hostile_peers.py HEALTHY_PORT KIND=PORT... on the loopback, until it is terminated.

The healthy server responds at once. A hostile one sends an endless response of its kind, as fast as the client reads
it, from a separate process, so that it does not slow down the healthy one.
"""

import asyncio
import contextlib
import multiprocessing
import signal
import socket
import sys
import zlib
from collections.abc import Iterator
from threading import Thread

HEALTHY = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 648\r\nConnection: close\r\n\r\n"
    + b"x" * 648
)
OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
BLOCK_BYTES = 256 * 1024


def _block(unit: bytes) -> bytes:
    return unit * (BLOCK_BYTES // len(unit) + 1)


KINDS: dict[str, tuple[bytes, bytes]] = {
    "interim_100": (b"", _block(b"HTTP/1.1 100 Continue\r\n\r\n")),
    "interim_103": (b"", _block(b"HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\n\r\n")),
    "status_line": (OK[:-2], _block(b"x")),
    "headers": (OK, _block(b"X-Header: value\r\n")),
    "empty_headers": (OK, _block(b"a:\r\n")),
    "empty_lines": (b"", _block(b"\r\n")),
    "trailers": (CHUNKED + b"0\r\n", _block(b"X-Trailer: value\r\n")),
    "extensions": (CHUNKED, _block(b"1;" + b"x" * 5000 + b"\r\nx\r\n")),
    "small_chunks": (CHUNKED, _block(b"1\r\nx\r\n")),
    "body": (OK + b"\r\n", _block(b"x")),
    "gzip": (OK + b"Content-Encoding: gzip\r\n\r\n", zlib.compress(bytes(BLOCK_BYTES), wbits=31)),
}


class _Healthy(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, _data: bytes) -> None:
        self._transport.write(HEALTHY)
        self._transport.close()


async def _serve_healthy(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(_Healthy, "127.0.0.1", port, backlog=1024)
    await server.serve_forever()


def _flood(connection: socket.socket, first: bytes, block: bytes) -> None:
    with connection, contextlib.suppress(OSError):
        connection.recv(65536)
        connection.sendall(first)
        while True:
            connection.sendall(block)


def _serve_hostile(port: int, first: bytes, block: bytes) -> None:
    with socket.create_server(("127.0.0.1", port)) as listener:
        while True:
            connection, _ = listener.accept()
            Thread(target=_flood, args=(connection, first, block), daemon=True).start()


def _arguments() -> Iterator[tuple[str, int]]:
    for argument in sys.argv[2:]:
        kind, _, port = argument.partition("=")
        yield kind, int(port)


def main() -> None:
    # Without a handler, SIGTERM ends this process without its children (multiprocessing.Process, daemon).
    signal.signal(signal.SIGTERM, lambda _, __: sys.exit())
    for kind, port in _arguments():
        multiprocessing.Process(target=_serve_hostile, args=(port, *KINDS[kind]), daemon=True).start()
    asyncio.run(_serve_healthy(int(sys.argv[1])))


if __name__ == "__main__":
    main()
