"""The server: listening sockets, admission of connections, and orderly shutdown.

In a program with its own event loop:

    async with Server(app, sockets=sockets_from_systemd):
        await stop.wait()

The server installs no signal handlers. Sockets that were passed in are closed at the end, but their files remain.
Shutdown: stop accepting, but serve accepted connections; close idle connections; run on_shutdown; let running
requests finish within the grace period, with `Connection: close`; cancel the rest; clean up.
"""

import asyncio
import contextlib
import errno
import grp
import logging
import os
import socket
import stat
import sys
from collections.abc import Iterable
from contextlib import AsyncExitStack, ExitStack
from typing import Any, Self

from .application import Application
from .connection import Connection
from .limits import Limits
from .peer import client_network, is_root_or_self
from .tasks import TaskStarter
from .write_buffer import SendQueue

BACKLOG = 1024
GRACE_S = 10.0
ACCEPT_ITERATIONS = 5  # of the event loop, from accept(2) to the bytes of the request; asyncio needs 4
CANCEL_S = 2.0  # for handlers that clean up when they are cancelled
MAX_REJECTIONS = 100  # connections beyond the limits that receive a 503 at the same time; more are aborted
WARN_EVERY_S = 60.0  # about rejected connections

_log = logging.getLogger(__name__)


class Server:
    """Serves one application on any number of sockets. It can be started once."""

    def __init__(
        self,
        app: Application,
        *,
        host: str | None = None,
        port: int | None = None,
        path: str | os.PathLike[str] | None = None,
        mode: int = 0o660,
        group: str | int | None = None,
        sockets: Iterable[socket.socket] = (),
        limits: Limits | None = None,
        grace_s: float = GRACE_S,
    ) -> None:
        """Listen on `host` and `port`, on the Unix socket `path` with `mode` and `group`, and on `sockets`.

        Without `host`, the loopback addresses are used. Port 0 lets the kernel select the port (see `port`). `grace_s`
        is the default of `close`.
        """
        self.app = app
        self.limits = limits if limits is not None else Limits()
        self.loop: asyncio.AbstractEventLoop
        self.starter: TaskStarter
        self.send_queue: SendQueue
        self._host = host
        self._port = port
        self._path = os.fspath(path) if path is not None else None
        self._mode = mode
        self._group = group
        self._sockets = list(sockets)
        self._grace_s = grace_s
        self._servers: list[asyncio.Server] = []
        self._connections: set[Connection] = set()
        self._admitted = 0
        self._by_client: dict[str, int] = {}  # admitted connections over TCP
        self._rejected_since_warning = 0
        self._warned_at_s = -WARN_EVERY_S
        self._wait_is_over: asyncio.Event  # all requests have ended, or the grace period has
        self._own_file: tuple[int, int] | None = None
        self._stack = AsyncExitStack()
        self._is_closing = False
        self._has_ended = False  # connections are no longer served

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.close()

    @property
    def port(self) -> int:
        """The first TCP port. Raises LookupError if there is none."""
        for listener in self._sockets:
            if listener.family != socket.AF_UNIX:
                return int(listener.getsockname()[1])
        raise LookupError("the server listens on no TCP port")

    @property
    def addresses(self) -> tuple[str, ...]:
        """All addresses, such as "http://127.0.0.1:8080" and "unix:/run/x.sock"."""
        addresses = []
        for listener in self._sockets:
            address = listener.getsockname()
            if listener.family == socket.AF_UNIX:
                # An abstract address begins with a NUL byte, and Python returns it as bytes (unix(7)).
                path = os.fsdecode(address).replace("\0", "@")
                # A socket keeps the name with which it was bound before it was renamed.
                addresses.append(f"unix:{self._path if path == f'{self._path}.{os.getpid()}' else path}")
            else:
                host = f"[{address[0]}]" if listener.family == socket.AF_INET6 else address[0]
                addresses.append(f"http://{host}:{address[1]}")
        return tuple(addresses)

    async def start(self) -> None:
        """Run the startup hooks, then listen. If either fails, the completed steps are undone."""
        self.loop = asyncio.get_running_loop()
        self.starter = TaskStarter(self.loop)
        self.send_queue = SendQueue(self.loop)
        self._wait_is_over = asyncio.Event()
        async with AsyncExitStack() as stack:
            stack.push_async_callback(self.starter.close)
            stack.callback(self._close_sockets)
            await stack.enter_async_context(self.app.running(self._end_requests))
            stack.callback(self._stop_listening)
            if self._port is not None or self._host is not None:
                host = self._host if self._host is not None else "localhost"
                addresses = await self.loop.getaddrinfo(
                    host,
                    self._port or 0,
                    type=socket.SOCK_STREAM,
                    flags=socket.AI_PASSIVE,
                    proto=socket.IPPROTO_TCP,
                )
                self._sockets += bind_all(addresses, self._port or 0)
            if self._path is not None:
                self._sockets.append(self._bind_unix(self._path))
                stack.callback(self._unlink_own)
            for listener in self._sockets:
                listener.setblocking(False)
                if listener.family != socket.AF_UNIX:
                    server = await self.loop.create_server(self._connect, sock=listener, backlog=BACKLOG)
                else:
                    options: dict[str, Any] = {}
                    if sys.version_info >= (3, 13):
                        # asyncio and uvloop would unlink a file that belongs to systemd.
                        options["cleanup_socket"] = False
                    server = await self.loop.create_unix_server(
                        self._connect, sock=listener, backlog=BACKLOG, **options
                    )
                self._servers.append(server)
            self._stack = stack.pop_all()

    async def close(self, grace_s: float | None = None) -> None:
        """Shut down. Running requests have `grace_s` seconds. A second call has no effect."""
        if self._is_closing:
            return
        self._is_closing = True
        if grace_s is not None:
            self._grace_s = grace_s
        # asyncio loses a connection without a transport when its server is closed.
        for listener, server in zip(self._sockets, self._servers, strict=True):
            if not self.loop.remove_reader(listener):  # uvloop
                server.close()
        # After its connection is accepted, a client is no longer queued in the socket, so it must be served.
        for _ in range(ACCEPT_ITERATIONS):
            await asyncio.sleep(0)
        self._stop_listening()
        for connection in list(self._connections):
            connection.stop()
        await self._stack.aclose()

    async def attach(self, connection: socket.socket) -> None:
        """Serve a connected socket, such as one end of a socket pair."""
        connection.setblocking(False)
        await self.loop.connect_accepted_socket(self._connect, connection)

    def end_grace(self) -> None:
        """End the grace period of `close`."""
        self._wait_is_over.set()

    # For connections.

    def admit(self, connection: Connection) -> str | None:
        """Count a new connection. Return the reason if it is rejected, otherwise None.

        A rejected connection sends the reason and closes, unless it was aborted here.
        """
        self._connections.add(connection)
        if self._has_ended:
            connection.abort()
            return "the server is stopping"
        if self._is_closing:
            self.loop.call_soon(connection.stop)
        self._wait_is_over.clear()
        rejection = self._rejection(connection)
        if rejection is None:
            connection.is_admitted = True
            self._admitted += 1
            if connection.client is not None:
                self._by_client[connection.client] = self._by_client.get(connection.client, 0) + 1
            return None
        self._rejected_since_warning += 1
        now_s = self.loop.time()
        if now_s - self._warned_at_s >= WARN_EVERY_S:
            _log.warning(
                "rejected %d connection%s, the last from %s: %s (open: %d)",
                self._rejected_since_warning,
                "" if self._rejected_since_warning == 1 else "s",
                connection.client or "a Unix socket",
                rejection,
                self._admitted,
            )
            self._rejected_since_warning, self._warned_at_s = 0, now_s
        # Rejected connections are counted separately, so that they do not use up the reserved connections.
        if len(self._connections) - self._admitted > MAX_REJECTIONS:
            connection.abort()
        return rejection

    def _rejection(self, connection: Connection) -> str | None:
        limits = self.limits
        free = limits.connections - self._admitted
        peer = connection.transport.get_extra_info("peername")
        if isinstance(peer, tuple):
            connection.client = client = client_network(str(peer[0]))
            if self._by_client.get(client, 0) >= limits.connections_per_address:
                return "too many connections from this address"
            free -= limits.reserved_for_unix + limits.reserved_for_root
        elif 0 < free <= limits.reserved_for_root and not is_root_or_self(
            connection.transport.get_extra_info("socket")
        ):
            free = 0
        return None if free > 0 else "too many connections"

    def remove(self, connection: Connection) -> None:
        self._connections.discard(connection)
        if connection.is_admitted:
            connection.is_admitted = False
            self._admitted -= 1
            client = connection.client
            if client is not None:
                self._by_client[client] -= 1
                if not self._by_client[client]:
                    del self._by_client[client]
        if not self._connections:
            self._wait_is_over.set()

    @property
    def connections(self) -> frozenset[Connection]:
        return frozenset(self._connections)

    @property
    def connection_count(self) -> int:
        return len(self._connections)

    # Ending.

    async def _end_requests(self) -> None:
        try:
            if not self._connections:
                return
            for connection in self._connections:
                if connection.ends_with_server:
                    connection.cancel()
            for timeout_s in (self._grace_s, CANCEL_S):
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(timeout_s):
                        await self._wait_is_over.wait()
                if not self._connections:
                    return
                self._wait_is_over.clear()
                for connection in list(self._connections):
                    connection.abort()
            if self._connections:
                _log.warning("requests that did not end when they were cancelled: %d", len(self._connections))
        finally:
            self._has_ended = True

    def _stop_listening(self) -> None:
        for server in self._servers:
            server.close()

    def _close_sockets(self) -> None:
        for listener in self._sockets:
            listener.close()

    # Listening.

    def _connect(self) -> Connection:
        return Connection(self)

    def _bind_unix(self, path: str) -> socket.socket:
        """Bind a temporary name and rename it, so that `path` has its permissions from the beginning."""
        if _is_served(path):
            raise OSError(errno.EADDRINUSE, "another process listens on this socket", path)
        temporary = f"{path}.{os.getpid()}"
        with ExitStack() as undo:
            listener = undo.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
            with contextlib.suppress(FileNotFoundError):
                os.unlink(temporary)  # noqa: PTH108 - each call is one system call
            listener.bind(temporary)
            undo.callback(os.unlink, temporary)
            if self._group is not None:
                gid = self._group if isinstance(self._group, int) else grp.getgrnam(self._group).gr_gid
                os.chown(temporary, -1, gid)
            os.chmod(temporary, self._mode)  # noqa: PTH101
            listener.listen(BACKLOG)
            status = os.stat(temporary)  # noqa: PTH116
            os.rename(temporary, path)  # noqa: PTH104
            undo.pop_all()
        self._own_file = (status.st_dev, status.st_ino)
        return listener

    def _unlink_own(self) -> None:
        """Remove the file of the socket, unless another process has replaced it."""
        if self._path is None or self._own_file is None:
            return
        with contextlib.suppress(FileNotFoundError):
            status = os.lstat(self._path)
            if (status.st_dev, status.st_ino) == self._own_file:
                os.unlink(self._path)  # noqa: PTH108


def bind_all(addresses: Iterable[tuple[Any, ...]], port: int) -> list[socket.socket]:
    """Bind a socket to each result of `getaddrinfo` that is an address of this machine, all with the same port.

    Raises OSError if there is no such address. Debian's /etc/hosts has ::1 as localhost, even if IPv6 is disabled.
    """
    listeners: list[socket.socket] = []
    unavailable: OSError | None = None
    with ExitStack() as undo:
        for family, *_, address in dict.fromkeys(addresses):
            try:
                listener = socket.create_server(
                    (address[0], port, *address[2:]), family=family, backlog=BACKLOG
                )
            except OSError as error:
                if error.errno not in {errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT}:
                    raise
                unavailable = error
                continue
            undo.callback(listener.close)
            listeners.append(listener)
            port = listener.getsockname()[1]  # the port that the kernel selected is used for all addresses
        if unavailable is not None and not listeners:
            raise unavailable
        undo.pop_all()
    return listeners


def _is_served(path: str) -> bool:
    """Return whether a process listens on a Unix socket. Raises OSError if the file is not a socket."""
    try:
        status = os.lstat(path)
    except FileNotFoundError:
        return False
    if not stat.S_ISSOCK(status.st_mode):
        raise OSError(errno.EEXIST, "the file is not a socket", path)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.setblocking(False)
        try:
            client.connect(path)
        except ConnectionRefusedError:
            return False
        except OSError:
            return True  # for example, its queue is full
    return True
