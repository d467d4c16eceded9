"""Listening, and stopping in good order: sockets of any kind in, connections counted, nothing left behind.

Embedded in a daemon:

    async with Server(app, sockets=passed_by_systemd):
        await stop.wait()

It installs no signal handlers. A socket handed in is closed at the end, but its file stays: it belongs to whoever bound
it. On leaving: stop accepting; close idle connections; run on_shutdown; give busy ones their time, marking
their answers `Connection: close`; cancel what is left; clean up.
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
from .outbox import Turn
from .peer import client_network, is_root_or_self
from .tasks import Starter

BACKLOG = 1024
GRACE_S = 10.0
CANCEL_S = 2.0  # for handlers that do something on being cancelled
REFUSALS = 100  # connections beyond the limits that are told so at the same time; more are dropped
WARN_EVERY_S = 60.0  # of refused connections

_log = logging.getLogger(__name__)


class Server:
    """Serves one application on any number of sockets. Used once."""

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
        """Listens on `host` and `port`, on the Unix socket `path` with `mode` and `group`, and on `sockets`.

        `host` None is the loopback; port 0 lets the kernel choose (see `port`). `grace_s` is what `close`
        gives to requests when it is not told otherwise.
        """
        self.app = app
        self.limits = limits if limits is not None else Limits()
        self.loop: asyncio.AbstractEventLoop
        self.starter: Starter
        self.turn: Turn
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
        self._refused_since_warning = 0
        self._warned_at_s = -WARN_EVERY_S
        self._wait_is_over: asyncio.Event  # for the end of requests: all have ended, or nobody waits any more
        self._own_file: tuple[int, int] | None = None
        self._stack = AsyncExitStack()
        self._is_closed = False

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.close()

    @property
    def port(self) -> int:
        """The first TCP port that is listened on."""
        for one in self._sockets:
            if one.family != socket.AF_UNIX:
                return int(one.getsockname()[1])
        raise LookupError("no TCP port is listened on")

    @property
    def addresses(self) -> tuple[str, ...]:
        """What is listened on: "http://127.0.0.1:8080", or "unix:/run/x.sock" for a Unix socket."""
        found = []
        for one in self._sockets:
            address = one.getsockname()
            if one.family == socket.AF_UNIX:
                # An abstract one begins with a NUL byte, and Python gives it as bytes (unix(7)).
                path = os.fsdecode(address).replace("\0", "@")
                # Its own socket still has the name under which it was bound, before it was moved into place.
                found.append(f"unix:{self._path if path == f'{self._path}.{os.getpid()}' else path}")
            else:
                host = f"[{address[0]}]" if one.family == socket.AF_INET6 else address[0]
                found.append(f"http://{host}:{address[1]}")
        return tuple(found)

    async def start(self) -> None:
        """Run the start-up hooks, then listen. If either fails, what was done is undone."""
        self.loop = asyncio.get_running_loop()
        self.starter = Starter(self.loop)
        self.turn = Turn(self.loop)
        self._wait_is_over = asyncio.Event()
        async with AsyncExitStack() as stack:
            stack.push_async_callback(self.starter.close)
            stack.callback(self._close_sockets)
            await stack.enter_async_context(self.app.running(self._end_requests))
            stack.callback(self._stop_listening)
            if self._port is not None or self._host is not None:
                self._sockets += await self._bind_tcp()
            if self._path is not None:
                self._sockets.append(self._bind_unix(self._path))
                stack.callback(self._unlink_own)
            for one in self._sockets:
                self._servers.append(await self._listen(one))
            self._stack = stack.pop_all()

    async def close(self, grace_s: float | None = None) -> None:
        """Stop in good order; may be called twice. Requests that run get `grace_s` seconds."""
        if self._is_closed:
            return
        self._is_closed = True
        if grace_s is not None:
            self._grace_s = grace_s
        self._stop_listening()
        await asyncio.sleep(0)  # requests that have been received already start now
        for connection in list(self._connections):
            connection.stop()
        await self._stack.aclose()

    async def attach(self, one: socket.socket) -> None:
        """Serve a socket that is connected already, such as one half of a pair."""
        one.setblocking(False)
        await self.loop.connect_accepted_socket(self._connect, one)

    def hurry(self) -> None:
        """Cut short the time that `close` gives to requests."""
        self._wait_is_over.set()

    # For connections.

    def admit(self, connection: Connection) -> str | None:
        """Count a new connection. Returns why it is refused, or None.

        A refused connection sends the reason and closes, unless it was aborted here.
        """
        self._connections.add(connection)
        if self._is_closed:
            connection.abort()
            return "the server stops"
        self._wait_is_over.clear()
        refusal = self._refusal(connection)
        if refusal is None:
            connection.is_admitted = True
            self._admitted += 1
            if connection.client is not None:
                self._by_client[connection.client] = self._by_client.get(connection.client, 0) + 1
            return None
        self._warn_of_refusal(connection, refusal)
        # Refused connections have places of their own, so that they take none of the reserved ones.
        if len(self._connections) - self._admitted > REFUSALS:
            connection.abort()
        return refusal

    def _refusal(self, connection: Connection) -> str | None:
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

    def _warn_of_refusal(self, connection: Connection, refusal: str) -> None:
        self._refused_since_warning += 1
        now_s = self.loop.time()
        if now_s - self._warned_at_s < WARN_EVERY_S:
            return
        _log.warning(
            "refused %d connections, the last one from %s: %s (%d are open)",
            self._refused_since_warning,
            connection.client or "a Unix socket",
            refusal,
            self._admitted,
        )
        self._refused_since_warning, self._warned_at_s = 0, now_s

    def forget(self, connection: Connection) -> None:
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
        if not self._connections:
            return
        for connection in self._connections:
            if connection.ends_with_server:
                connection.cancel()
        for longest_s in (self._grace_s, CANCEL_S):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(longest_s):
                    await self._wait_is_over.wait()
            if not self._connections:
                return
            self._wait_is_over.clear()
            for connection in list(self._connections):
                connection.abort()
        if self._connections:
            _log.warning("%d requests did not end when they were cancelled", len(self._connections))

    def _stop_listening(self) -> None:
        for server in self._servers:
            server.close()

    def _close_sockets(self) -> None:
        for one in self._sockets:
            one.close()

    # Listening.

    async def _listen(self, one: socket.socket) -> asyncio.Server:
        one.setblocking(False)
        if one.family != socket.AF_UNIX:
            return await self.loop.create_server(self._connect, sock=one, backlog=BACKLOG)
        options: dict[str, Any] = {}
        if sys.version_info >= (3, 13):
            # asyncio and uvloop would unlink a file that belongs to systemd.
            options["cleanup_socket"] = False
        return await self.loop.create_unix_server(self._connect, sock=one, backlog=BACKLOG, **options)

    def _connect(self) -> Connection:
        return Connection(self)

    async def _bind_tcp(self) -> list[socket.socket]:
        host = self._host if self._host is not None else "localhost"
        found = await self.loop.getaddrinfo(
            host, self._port or 0, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE, proto=socket.IPPROTO_TCP
        )
        return bind_all(found, self._port or 0)

    def _bind_unix(self, path: str) -> socket.socket:
        """Bind beside `path` and move it there with its rights set, so that nobody finds it half made."""
        if _is_served(path):
            raise OSError(errno.EADDRINUSE, "another process serves this socket", path)
        beside = f"{path}.{os.getpid()}"
        with ExitStack() as undo:
            one = undo.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
            with contextlib.suppress(FileNotFoundError):
                os.unlink(beside)  # noqa: PTH108 - plain calls, each one system call
            one.bind(beside)
            undo.callback(os.unlink, beside)
            if self._group is not None:
                gid = self._group if isinstance(self._group, int) else grp.getgrnam(self._group).gr_gid
                os.chown(beside, -1, gid)
            os.chmod(beside, self._mode)  # noqa: PTH101
            one.listen(BACKLOG)
            found = os.stat(beside)  # noqa: PTH116
            os.rename(beside, path)  # noqa: PTH104
            undo.pop_all()
        self._own_file = (found.st_dev, found.st_ino)
        return one

    def _unlink_own(self) -> None:
        """Remove the socket's file, unless another process has put its own there since."""
        if self._path is None or self._own_file is None:
            return
        with contextlib.suppress(FileNotFoundError):
            found = os.lstat(self._path)
            if (found.st_dev, found.st_ino) == self._own_file:
                os.unlink(self._path)  # noqa: PTH108


def bind_all(found: Iterable[tuple[Any, ...]], port: int) -> list[socket.socket]:
    """A socket for each address that `getaddrinfo` found and this machine has, all on one port.

    /etc/hosts of a Debian names ::1 as localhost, also where IPv6 is off. Raises OSError when no address is ours.
    """
    bound: list[socket.socket] = []
    lacking: OSError | None = None
    with ExitStack() as undo:
        for family, *_, address in dict.fromkeys(found):
            try:
                one = socket.create_server((address[0], port, *address[2:]), family=family, backlog=BACKLOG)
            except OSError as error:
                if error.errno not in {errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT}:
                    raise
                lacking = error
                continue
            undo.callback(one.close)
            bound.append(one)
            port = one.getsockname()[1]  # all addresses of a name share the port that the kernel chose
        if lacking is not None and not bound:
            raise lacking
        undo.pop_all()
    return bound


def _is_served(path: str) -> bool:
    """Whether somebody listens there. Raises OSError when the path is something else than a socket."""
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        return False
    if not stat.S_ISSOCK(found.st_mode):
        raise OSError(errno.EEXIST, "there is something that is not a socket", path)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.setblocking(False)
        try:
            client.connect(path)
        except ConnectionRefusedError:
            return False
        except OSError:
            return True  # it answers, if only that it has no room
    return True
