"""Clients for tests: in-process over a socket pair, or over a TCP or Unix socket.

async with TestClient(app) as client:
    response = await client.get("/status")
    assert response.status == 200
"""

import asyncio
import contextlib
import json
import os
import socket
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol, Self, cast
from urllib.parse import urlencode

from multidict import CIMultiDict

from .application import Application
from .framing import ChunkedFrame, Frame, LengthFrame
from .headers import HeaderSource, pairs_of
from .limits import Limits
from .server import Server

TIMEOUT_S = 10.0
READ_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class ClientResponse:
    """A complete response."""

    status: int
    reason: str
    headers: CIMultiDict[str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()

    def json(self) -> Any:
        return json.loads(self.body)


class ClientConnection:
    """A connection for requests, or for raw bytes."""

    __test__ = False

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self._rest = b""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.close()

    async def close(self) -> None:
        self.writer.close()
        with contextlib.suppress(ConnectionError):  # closed by the server
            await self.writer.wait_closed()

    async def request(
        self, method: str, target: str, *, body: bytes = b"", headers: HeaderSource = ()
    ) -> ClientResponse:
        lines = [
            f"{method} {target} HTTP/1.1",
            "Host: localhost",
            *(f"{name}: {value}" for name, value in pairs_of(headers)),
        ]
        if body or method in {"POST", "PUT", "PATCH"}:
            lines.append(f"Content-Length: {len(body)}")
        await self.send("\r\n".join([*lines, "", ""]).encode("latin-1") + body)
        return await self.response(method)

    async def send(self, data: bytes) -> None:
        async with asyncio.timeout(TIMEOUT_S):
            self.writer.write(data)
            await self.writer.drain()

    async def response(self, method: str = "GET") -> ClientResponse:
        """Return the next final response. Raises ConnectionResetError if the connection ends before it is complete."""
        async with asyncio.timeout(TIMEOUT_S):
            while True:
                status, reason, headers = await self._head()
                if status >= 200:  # noqa: PLR2004 - interim responses are skipped
                    break
            if method == "HEAD" or status in {204, 304}:
                return ClientResponse(status, reason, headers, b"")
            return ClientResponse(status, reason, headers, await self._body(headers))

    async def rest(self) -> bytes:
        """Return everything until the server closes."""
        async with asyncio.timeout(TIMEOUT_S):
            rest, self._rest = self._rest, b""
            return rest + await self.reader.read()

    async def _head(self) -> tuple[int, str, CIMultiDict[str]]:
        while (end := self._rest.find(b"\r\n\r\n")) < 0:
            await self._read_more()
        first, *lines = self._rest[:end].decode("latin-1").split("\r\n")
        self._rest = self._rest[end + 4 :]
        _, status, reason = first.split(" ", 2)
        fields = (line.split(":", 1) for line in lines)
        return int(status), reason, CIMultiDict((name, value.strip()) for name, value in fields)

    async def _body(self, headers: CIMultiDict[str]) -> bytes:
        if "Transfer-Encoding" not in headers and "Content-Length" not in headers:
            return await self.rest()
        chunked = "Transfer-Encoding" in headers
        frame: Frame = ChunkedFrame() if chunked else LengthFrame(int(headers["Content-Length"]))
        body = b""
        while True:
            piece, used = frame.take(self._rest, 0, len(self._rest))
            body += piece
            self._rest = self._rest[used:]
            if frame.done:
                return body
            await self._read_more()

    async def _read_more(self) -> None:
        data = await self.reader.read(READ_BYTES)
        if not data:
            raise ConnectionResetError("the server closed the connection before the response was complete")
        self._rest += data


class RequestMethod(Protocol):
    """`get`, `post` and so on: `request` for one method."""

    async def __call__(
        self,
        target: str,
        *,
        body: bytes = b"",
        json: Any = None,
        form: dict[str, str] | None = None,
        headers: HeaderSource = (),
    ) -> ClientResponse: ...


class TestClient:
    """Starts the application and sends requests over socket pairs, one for each request."""

    __test__ = False

    def __init__(self, app: Application, *, limits: Limits | None = None, grace_s: float = 1.0) -> None:
        self._use(Server(app, limits=limits, grace_s=grace_s))

    def _use(self, server: Server) -> None:
        self.server = server
        self.get, self.head, self.options = self._method("GET"), self._method("HEAD"), self._method("OPTIONS")
        self.post, self.put = self._method("POST"), self._method("PUT")
        self.patch, self.delete = self._method("PATCH"), self._method("DELETE")

    def _method(self, method: str) -> RequestMethod:
        return cast(RequestMethod, partial(self.request, method))

    async def __aenter__(self) -> Self:
        await self.server.start()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.server.close()

    async def connect(self) -> ClientConnection:
        client_end, server_end = socket.socketpair()
        await self.server.attach(server_end)
        return ClientConnection(*await asyncio.open_unix_connection(sock=client_end))

    async def request(
        self,
        method: str,
        target: str,
        *,
        body: bytes = b"",
        json: Any = None,
        form: dict[str, str] | None = None,
        headers: HeaderSource = (),
    ) -> ClientResponse:
        body, content_type = _encode_body(body, json, form)
        async with await self.connect() as connection:
            return await connection.request(
                method, target, body=body, headers=[*content_type, *pairs_of(headers)]
            )


class SocketClient(TestClient):
    """Starts the application and sends requests over TCP, or over the Unix socket `path`."""

    def __init__(
        self,
        app: Application,
        *,
        path: str | os.PathLike[str] | None = None,
        limits: Limits | None = None,
        grace_s: float = 1.0,
    ) -> None:
        self._path = path
        host, port = ("127.0.0.1", 0) if path is None else (None, None)
        self._use(Server(app, host=host, port=port, path=path, limits=limits, grace_s=grace_s))

    async def connect(self) -> ClientConnection:
        if self._path is not None:
            return ClientConnection(*await asyncio.open_unix_connection(self._path))
        return ClientConnection(*await asyncio.open_connection("127.0.0.1", self.server.port))


def _encode_body(body: bytes, data: Any, form: dict[str, str] | None) -> tuple[bytes, list[tuple[str, str]]]:
    if data is not None:
        return json.dumps(data).encode(), [("Content-Type", "application/json")]
    if form is not None:
        return urlencode(form).encode(), [("Content-Type", "application/x-www-form-urlencoded")]
    return body, []
