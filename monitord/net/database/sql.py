"""Clients of SQL servers: a library in another process talks to the server through this one.

The process, `client_process.py`, is limited and killed at the deadline, so that no server can block this one. It has no
network: this module connects, does the TLS handshake and passes the data on, so that addresses, phases, limits, TLS and
failures are those of the other types. The process starts before the connection: its start is not part of any phase.
"""

import asyncio
import json
import socket
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from enum import Enum
from pathlib import Path
from typing import Any

from monitord.net.base.deadline import Deadline
from monitord.net.base.errors import ExchangeError, FailureKind
from monitord.net.base.libraries import import_problem
from monitord.net.base.resolver import Resolver
from monitord.net.base.tls import TlsContexts
from monitord.net.database.outcome import CLOSED_EARLY, DatabaseOutcome, ServerError, ServerState
from monitord.net.process import (
    Processes,
    ProcessFailure,
    ProcessFailureKind,
    ProcessOutcome,
    ProcessRequest,
)
from monitord.net.stream.client import Stream, StreamClient, StreamOutcome, StreamTarget

COMMAND = (sys.executable, "-I", str(Path(__file__).with_name("client_process.py")))
HEAD_BYTES = 5
"""Type and length of a PostgreSQL message; length, sequence number and version of a MySQL greeting."""
POSTGRESQL_WITHOUT_TLS = b"N"
"""The response of a PostgreSQL server without TLS to the request for it."""
MAX_MESSAGE_BYTES = 64 * 1024
RELAY_BYTES = 64 * 1024
"""Bytes read at once; larger than any control message."""
KILL_AFTER_S = 1.0
"""Seconds after the deadline. Normally the process is killed when the check ends; this limit applies if the check
itself is delayed."""

MAX_START_RATIO = 0.5
"""A timeout is the server's failure if the start of the process took no more than this share of the time."""

_TIMEOUTS = frozenset(
    {
        FailureKind.TIMEOUT_RESOLVE,
        FailureKind.TIMEOUT_CONNECT,
        FailureKind.TIMEOUT_TLS,
        FailureKind.TIMEOUT_RESPONSE,
    }
)


class SqlServer(Enum):
    POSTGRESQL = "postgresql"
    MYSQL = "mysql"

    @property
    def title(self) -> str:
        return "PostgreSQL" if self is SqlServer.POSTGRESQL else "MySQL"

    def library_problem(self) -> str | None:
        """Return why the library of the server cannot be used; None if it can."""
        return import_problem("asyncpg") if self is SqlServer.POSTGRESQL else import_problem("pymysql")

    def can_begin_with(self, data: bytes, *, awaits_tls: bool) -> bool:
        """Return whether the first data from the server is of its protocol, as the libraries do not find that out."""
        if self is SqlServer.MYSQL:
            # https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_connection_phase.html: a length of three
            # bytes, a number, and the version of the protocol or the mark of an error.
            is_short = len(data) < HEAD_BYTES
            return is_short or (
                0 < int.from_bytes(data[:3], "little") < MAX_MESSAGE_BYTES and data[4] in {9, 10, 255}
            )
        # https://www.postgresql.org/docs/current/protocol-message-formats.html: the response to a request for TLS is
        # one byte or an error; other messages have a type and a length, which includes itself.
        if awaits_tls:
            return data in {b"S", b"N"} or data[:1] == b"E"
        has_length = len(data) >= HEAD_BYTES
        return data[:1] in {b"R", b"E", b"N", b"v"} and (
            not has_length or int.from_bytes(data[1:HEAD_BYTES]) in range(4, MAX_MESSAGE_BYTES)
        )


@dataclass(frozen=True, slots=True)
class SqlRequest:
    """`query` is empty for no query."""

    server: SqlServer
    user: str
    password: str = field(repr=False)
    database: str
    query: str


class SqlClient:
    """Opens connections. Has no state between them."""

    def __init__(
        self,
        resolver: Resolver,
        tls_contexts: TlsContexts,
        processes: Processes,
        command: tuple[str, ...] = COMMAND,
    ) -> None:
        self._streams = StreamClient(resolver, tls_contexts)
        self._processes = processes
        self._command = command

    async def query(self, target: StreamTarget, request: SqlRequest, *, deadline: float) -> DatabaseOutcome:
        """Connect to the server and query it, at the latest until `deadline` (time.monotonic()).

        `target.begins_with_tls` means that TLS is required: it starts when the protocol of the server permits it.
        """
        began_s = time.monotonic()
        async with _client_process(self._processes, self._command, request, deadline, target) as process:
            try:
                async with Deadline(deadline - began_s):
                    await process.begin()
            except TimeoutError:
                detail = (
                    "the process of the client did not start within the timeout; raise timeout, or lower "
                    "max_concurrent_processes"
                )
                stream = _not_connected(FailureKind.PROBER_EXHAUSTED, detail, began_s)
            except ExchangeError as end:
                stream = _not_connected(end.kind, end.detail, began_s)
            else:
                plain = replace(target, begins_with_tls=False)
                started_s = time.monotonic()
                stream = await self._streams.run(plain, process.relay, deadline=deadline)
                if stream.failure in _TIMEOUTS and started_s - began_s > MAX_START_RATIO * (
                    deadline - began_s
                ):
                    detail = f"the process of the client took {started_s - began_s:.1f} s to start"
                    stream = replace(stream, failure=FailureKind.PROBER_EXHAUSTED, detail=detail)
        return DatabaseOutcome(stream, process.state, process.error)


def _not_connected(kind: FailureKind, detail: str, began_s: float) -> StreamOutcome:
    return StreamOutcome(kind, detail, None, None, {}, time.monotonic() - began_s, None, b"")


@asynccontextmanager
async def _client_process(
    processes: Processes, command: tuple[str, ...], request: SqlRequest, deadline: float, target: StreamTarget
) -> AsyncIterator["_ClientProcess"]:
    """Run a process until the end of the context, which kills it."""
    data, its_data = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    control, its_control = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with data, control:
        with its_data, its_control:
            data.setblocking(False)
            control.setblocking(False)
            values = {
                "server": request.server.value,
                "user": request.user,
                "password": request.password,
                "database": request.database,
                "query": request.query,
                "tls": target.begins_with_tls,
                "is_unix": target.socket_path is not None,
                "deadline": deadline,  # CLOCK_MONOTONIC is the same in all processes
                "data": its_data.fileno(),
                "control": its_control.fileno(),
            }
            program = ProcessRequest(
                command,
                stdin=json.dumps(values).encode(),
                descriptors=(its_data.fileno(), its_control.fileno()),
            )
            running = asyncio.create_task(processes.run(program, deadline=deadline + KILL_AFTER_S))
            # The task starts the process before it waits. Then only the process has the other ends, and its end
            # closes them.
            await asyncio.sleep(0)
        try:
            yield _ClientProcess(data, control, running, request.server, awaits_tls=target.begins_with_tls)
        finally:
            running.cancel()
            await asyncio.wait({running})


class _ClientProcess:
    def __init__(
        self,
        data: socket.socket,
        control: socket.socket,
        running: "asyncio.Task[ProcessOutcome]",
        server: SqlServer,
        *,
        awaits_tls: bool,
    ) -> None:
        self._data = data
        self._control = control
        self._running = running
        self._server = server
        self._awaits_tls = awaits_tls
        self._is_known = False  # whether the first data was of the protocol
        self._loop = asyncio.get_running_loop()
        self._is_open = True
        self._broken_by: OSError | None = None
        self.state: ServerState | None = None
        self.error: ServerError | None = None

    async def begin(self) -> None:
        """Wait until the process is ready. Raises ExchangeError if it cannot be started."""
        if not await self._next(self._control):
            outcome = await self._running
            if not isinstance(outcome, ProcessFailure):
                # Nothing of the server has been received: a bug, or a library that is installed but broken.
                raise RuntimeError(outcome.stderr.decode(errors="replace"))
            is_exhausted = outcome.kind is not ProcessFailureKind.UNUSABLE
            kind = FailureKind.PROBER_EXHAUSTED if is_exhausted else FailureKind.PROBER_FORBIDDEN
            raise ExchangeError(kind, outcome.detail)

    async def relay(self, stream: Stream) -> None:
        """Pass data between the server and the process until the process has a result.

        Raises ExchangeError or OSError.
        """
        received: asyncio.Future[bool] = asyncio.ensure_future(stream.receive())
        sent, message = self._next(self._data), self._next(self._control)
        try:
            while True:
                futures: set[asyncio.Future[Any]] = {received, sent, message}
                await asyncio.wait(futures, return_when=asyncio.FIRST_COMPLETED)
                if received.done():
                    received = await self._pass_on(stream, received)
                if sent.done():
                    data = sent.result()
                    await self._send(stream, data)
                    # At the end of the data the message follows, or the process has ended.
                    sent = self._next(self._data) if data else self._loop.create_future()
                if message.done():
                    # sent before the message
                    try:
                        rest = self._data.recv(RELAY_BYTES)
                    except (BlockingIOError, ConnectionResetError):
                        rest = b""
                    await self._send(stream, rest)
                    result = message.result()
                    if not result:
                        raise ExchangeError(
                            FailureKind.PROTOCOL_ERROR, "the client library cannot process the response"
                        )
                    report: dict[str, Any] = json.loads(result)
                    if "start_tls" not in report:
                        self._finish(report)
                        return
                    await _end(received)
                    # If more than the library has used was received, the stream rejects it.
                    stream.taken = report["start_tls"]
                    await stream.start_tls()
                    self._awaits_tls = False
                    self._is_known = self._server is SqlServer.MYSQL  # its greeting came before the handshake
                    await self._loop.sock_sendall(self._control, b"1")
                    received = asyncio.ensure_future(stream.receive())
                    message = self._next(self._control)
        finally:
            await _end(received, sent, message)

    def _next(self, end: socket.socket) -> "asyncio.Future[bytes]":
        return asyncio.ensure_future(self._loop.sock_recv(end, RELAY_BYTES))

    async def _send(self, stream: Stream, data: bytes) -> None:
        if data and self._is_open:
            try:
                await stream.send(data)
            except OSError as error:
                self._broken_by = error

    async def _pass_on(self, stream: Stream, received: "asyncio.Future[bool]") -> "asyncio.Future[bool]":
        """Send the received data to the process. Returns the future of more data."""
        try:
            is_open = received.result()
        except OSError as error:
            # To the process it is the end of the data. It may have its result already.
            is_open, self._broken_by = False, error
        data = stream.pending
        stream.take_all()
        self._is_open = is_open
        if data and not self._is_known:
            if not self._server.can_begin_with(data, awaits_tls=self._awaits_tls):
                raise ExchangeError(
                    FailureKind.PROTOCOL_ERROR, f"the response is not of the protocol of {self._server.title}"
                )
            is_postgresql = self._server is SqlServer.POSTGRESQL
            if is_postgresql and self._awaits_tls and data == POSTGRESQL_WITHOUT_TLS:
                raise ExchangeError(FailureKind.TLS_FAILED, "the server does not offer TLS")
            self._is_known = True
        with suppress(
            BrokenPipeError, ConnectionResetError
        ):  # the process has ended, which its message shows
            await self._loop.sock_sendall(self._data, data)
            if not is_open:
                self._data.shutdown(socket.SHUT_WR)
        return asyncio.ensure_future(stream.receive()) if is_open else self._loop.create_future()

    def _finish(self, report: dict[str, Any]) -> None:
        if "values" in report:
            self.state = ServerState(report["values"], report.get("value"))
        elif "error" in report:
            self.error = ServerError(*report["error"])
        elif FailureKind(report["failure"]) is not FailureKind.PROTOCOL_ERROR:
            # The end of the connection, if any, followed the failure.
            raise ExchangeError(FailureKind(report["failure"]), report["detail"])
        elif self._broken_by is not None:
            raise self._broken_by
        elif not self._is_open:
            raise ExchangeError(FailureKind.RESET, CLOSED_EARLY)
        else:
            raise ExchangeError(FailureKind.PROTOCOL_ERROR, report["detail"])


async def _end(*futures: "asyncio.Future[Any]") -> None:
    for future in futures:
        future.cancel()
    await asyncio.wait(futures)
    for future in futures:
        if not future.cancelled():
            future.exception()  # asyncio logs exceptions that nothing has evaluated
