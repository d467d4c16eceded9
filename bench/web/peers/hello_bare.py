"""A minimal server on httptools: it parses requests and writes constant bytes. hello_bare.py PORT asyncio|uvloop."""

import asyncio
import sys
from typing import cast

import httptools
from loops import run

CONTENT = b'{"answer": 42}'
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (
    len(CONTENT),
    CONTENT,
)


class Protocol(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.parser = httptools.HttpRequestParser(self)

    def data_received(self, data: bytes) -> None:
        self.parser.feed_data(data)

    def on_url(self, url: bytes) -> None:
        self.url = url

    def on_header(self, name: bytes, value: bytes) -> None:
        pass

    def on_message_complete(self) -> None:
        self.transport.write(ANSWER)


async def main() -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Protocol, "127.0.0.1", int(sys.argv[1]), backlog=1024)
    await server.serve_forever()


run(main, sys.argv[2])
