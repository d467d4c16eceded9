"""Opens, runs and closes all parts in order; handles signals, and notifies the service manager.

SIGTERM and SIGINT stop the daemon; a second signal stops it at once. SIGHUP reloads. Checks run on one event loop;
blocking work has threads of its own.
"""

import asyncio
import gc
import logging
import os
import resource
import signal
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from ipaddress import ip_address
from pathlib import Path

from monitord import __version__
from monitord.application import ApplicationContainer
from monitord.clock import zone_text
from monitord.errors import StartError
from monitord.journal_events import JournalEvent
from monitord.options.listen import ListenAddress
from monitord.public_pages.serving import page_application
from monitord.public_pages.settings import PageSettings
from monitord.systemd.log import NOTICE
from monitord.systemd.sockets import listening_sockets
from monitord.text import counted
from monitord.web import Limits, Server

log = logging.getLogger("monitord")

SOCKET_NAME = "status"
"""FileDescriptorName= of monitord.socket."""

HTTP_SOCKET_NAME = "http"
"""FileDescriptorName= of a socket unit that listens on TCP; it replaces `listen` in [status]."""

PAGE_SOCKET_PREFIX = "page-"
"""The same for a socket unit that serves only the page whose name follows. It replaces `listen` and `socket` of it."""

PAGE_SOCKET_MODE = 0o666
"""All local users, and so every reverse proxy, can connect to the socket of a page: its content is public."""

STATUS_INTERVAL_S = 1.0
MAX_STATUS_INTERVAL_S = 10.0
CHECK_GRACE_S = 3.0
"""The time for running checks at a stop. With the time for requests it is below TimeoutStopSec= of the unit."""

REQUEST_GRACE_S = 5.0
HISTORY_GRACE_S = 5.0
"""The time limit of the last write of the history at a stop, for example on a disk that hangs."""

HISTORY_TICK_INTERVAL_S = 5.0
ZONE_INTERVAL_S = 5.0

MAX_CONNECTIONS = 2000
FILES_RATIO = 0.25
"""The share of the open-file limit for connections; checks need the others."""

RESERVED_FOR_UNIX_RATIO = 0.3
RESERVED_FOR_ROOT_RATIO = 0.1
"""Shares of the connections."""


class Daemon:
    """One run of the program, from opening its sockets to closing them."""

    def __init__(self, container: ApplicationContainer) -> None:
        self._container = container
        self._stop = asyncio.Event()
        self._stop_at_once = asyncio.Event()
        self._reloads: set[asyncio.Task[None]] = set()
        self._listens_at = ""
        self._page_sockets: dict[str, list[socket.socket]] = {}

    async def run(self, has_received_sighup: Callable[[], bool] = lambda: False) -> None:
        """Run until SIGTERM or SIGINT. Raises StartError if a part cannot be opened.

        `has_received_sighup`: whether a SIGHUP arrived before the daemon handled signals. Called afterwards, so that
        no signal is lost in between.
        """
        async with (
            self._signals(),
            self._outbound_clients(),
            self._history(),  # before any part that continues from the stored data of an earlier run
            self._cluster(),  # before the checks: which of them are those of this node
            self._server(),
            self._checks(),
            self._pages(),  # after the checks: before, the states of earlier runs are not restored
            self._workers(),
        ):
            self._report_ready()
            if has_received_sighup():
                self._on_hangup()
            await self._stop.wait()
            self._report_stopping()

    # -- opening and closing, in the order of `run` --------------------------------------------------------

    @asynccontextmanager
    async def _signals(self) -> AsyncIterator[None]:
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self._on_stop, "SIGTERM")
        loop.add_signal_handler(signal.SIGINT, self._on_stop, "SIGINT")
        loop.add_signal_handler(signal.SIGHUP, self._on_hangup)
        try:
            yield
        finally:
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
                loop.remove_signal_handler(number)
            # The default action would terminate the process before everything is closed.
            signal.signal(signal.SIGHUP, signal.SIG_IGN)

    @asynccontextmanager
    async def _outbound_clients(self) -> AsyncIterator[None]:
        """Clients that open connections and processes when they are needed."""
        container = self._container
        async with AsyncExitStack() as stack:
            stack.push_async_callback(container.http_client.close)
            stack.push_async_callback(container.processes.close)
            stack.push_async_callback(container.units.close)
            stack.push_async_callback(container.containers.close)
            yield

    @asynccontextmanager
    async def _history(self) -> AsyncIterator[None]:
        container = self._container
        if container.history_path is None and container.settings.history.enabled:
            log.info(
                "no state directory is set: states and history are not stored; set directory in [history]"
            )
        saved = container.history.open()
        try:
            container.override(ApplicationContainer.saved_state, saved)
            container.history.start()
            yield
        finally:
            await container.history.close(0.5 if self._stop_at_once.is_set() else HISTORY_GRACE_S)

    @asynccontextmanager
    async def _cluster(self) -> AsyncIterator[None]:
        """The database of the cluster. It is closed after the deliveries have ended."""
        node = self._container.cluster_node
        if node is None:
            yield
            return
        await node.open()
        try:
            yield
        finally:
            await node.close()

    @asynccontextmanager
    async def _server(self) -> AsyncIterator[None]:
        server = await self._start_server()
        try:
            yield
        finally:
            await self._close_server(server)
            for sockets in self._page_sockets.values():
                for unused in sockets:
                    unused.close()

    @asynccontextmanager
    async def _pages(self) -> AsyncIterator[None]:
        """The servers of pages that have sockets of their own."""
        async with AsyncExitStack() as stack:
            pages = {page.name: page for page in self._container.settings.pages}
            names = list(dict.fromkeys((*pages, *self._page_sockets)))
            limits = _limits(self._container.settings.status.max_connections_per_address, len(names))
            for name in names:
                if name not in pages:
                    log.warning(
                        "the service manager has passed a socket for the page %s, which is not configured: add "
                        "[pages.%s] and reload, or disable its socket unit",
                        name,
                        name,
                    )
                server = self._page_server(name, pages.get(name), limits)
                if server is None:
                    continue
                try:
                    await server.start()
                except OSError as error:
                    raise StartError(
                        f"cannot listen on {pages[name].socket}: {error.strerror or error}",
                        hint=f"set another socket in [pages.{name}]",
                    ) from error
                stack.push_async_callback(self._close_server, server)
                log.info("page %s at %s", name, ", ".join(server.addresses))
            yield

    def _page_server(self, name: str, page: PageSettings | None, limits: Limits) -> Server | None:
        """Return a server for the sockets of a page; None if it has none. Raises StartError.

        `page` None: it is not configured. Its passed socket is served nevertheless: the service manager keeps it open,
        so clients would wait for a response, and a reload can add the page.
        """
        sockets = self._page_sockets.pop(name, [])
        path = None
        if not sockets and page is not None:
            sockets = _bound(page.listen, f"[pages.{name}]")
            path = None if page.socket is None else _create_directory_of(page.socket)
        if not sockets and path is None:
            return None
        return Server(
            page_application(self._container.public_pages, name),
            sockets=sockets,
            path=path,
            mode=PAGE_SOCKET_MODE,
            limits=limits,
            grace_s=REQUEST_GRACE_S,
        )

    @asynccontextmanager
    async def _checks(self) -> AsyncIterator[None]:
        """The checks of all monitors, and the alerts."""
        container = self._container
        async with AsyncExitStack() as stack:
            container.stall_detector.start()
            stack.callback(container.stall_detector.stop)
            container.dispatcher.start()
            stack.push_async_callback(self._close_alerts)
            stack.push_async_callback(self._close_dispatcher)
            stack.push_async_callback(container.sources.close)
            container.control.apply_first()
            container.recorder.close_other_incidents()
            container.alert_sink.evaluate_all(is_isolated=container.pipeline.isolation.is_isolated)
            # Exclude the objects of the start from garbage collections, which delay checks. Nothing is collected
            # before: a start leaves fewer than a thousand objects in cycles, with any number of monitors, and finding
            # them takes a tenth of a second with 10,000.
            gc.freeze()
            gc.enable()  # see `cli.start`
            yield

    @asynccontextmanager
    async def _workers(self) -> AsyncIterator[None]:
        container = self._container
        async with asyncio.TaskGroup() as tasks:
            workers = [
                tasks.create_task(container.watchdog.run()),
                tasks.create_task(self._update_status()),
                tasks.create_task(self._tick_history()),
                tasks.create_task(self._follow_zone()),
                tasks.create_task(container.alerts.run(container.pipeline.apply_clock_step)),
                tasks.create_task(container.report_scheduler.run()),
            ]
            node = container.cluster_node
            if node is not None:
                workers.append(tasks.create_task(node.run()))
            yield
            for worker in workers:
                worker.cancel()
        if node is not None:
            await node.leave()
        for reload in self._reloads:
            reload.cancel()
        await asyncio.gather(*self._reloads, return_exceptions=True)

    async def _start_server(self) -> Server:
        """Listen on the passed sockets, or on new sockets."""
        container = self._container
        try:
            passed = listening_sockets(container.service)
        except ValueError as error:
            raise StartError(str(error)) from error
        sockets = passed.pop(SOCKET_NAME, [])
        tcp_sockets = passed.pop(HTTP_SOCKET_NAME, [])
        self._page_sockets = {
            name.removeprefix(PAGE_SOCKET_PREFIX): passed.pop(name)
            for name in list(passed)
            if name.startswith(PAGE_SOCKET_PREFIX)
        }
        for name, unused in passed.items():
            log.warning(
                "a socket with the unknown name %r was passed and is closed; see monitord.socket", name
            )
            for passed_socket in unused:
                passed_socket.close()
        path = None if sockets else _create_directory_of(container.socket_path)
        if not tcp_sockets:
            tcp_sockets = _bound(container.settings.status.listen, "[status]")
        _warn_about_public_sockets(tcp_sockets)
        proxy_socket = container.settings.status.proxy_socket
        if proxy_socket is not None and str(proxy_socket) not in {passed.getsockname() for passed in sockets}:
            log.warning(
                "the service manager has passed no socket %s, so no proxy can name its users; enable "
                "monitord-login.socket, or correct proxy_socket in [status]",
                proxy_socket,
            )
        paths = [str(unix.getsockname()) for unix in sockets] if path is None else [str(path)]
        self._listens_at = ", ".join([*paths, *map(_url_of, tcp_sockets)])
        server = Server(
            container.status_application,
            sockets=[*sockets, *tcp_sockets],
            path=path,
            limits=_limits(container.settings.status.max_connections_per_address),
            grace_s=REQUEST_GRACE_S,
        )
        try:
            await server.start()
        except OSError as error:
            raise StartError(
                f"cannot listen on {path}: {error.strerror or error}", hint="set another socket in [status]"
            ) from error
        return server

    async def _close_server(self, server: Server) -> None:
        stopping_at_once = asyncio.ensure_future(self._stop_at_once.wait())
        stopping_at_once.add_done_callback(lambda done: None if done.cancelled() else server.end_grace())
        try:
            await server.close()
        finally:
            stopping_at_once.cancel()

    async def _tick_history(self) -> None:
        while True:
            self._container.history.tick(self._container.clock.now())
            await asyncio.sleep(HISTORY_TICK_INTERVAL_S)

    async def _follow_zone(self) -> None:
        """Follow the time zone of the host, which affects calendars, windows, quiet hours and times in messages."""
        container, zone = self._container, self._container.local_zone
        while True:
            await asyncio.sleep(ZONE_INTERVAL_S)
            if zone.follow():
                log.log(
                    NOTICE,
                    "the local time zone is now %s; local times of `from` and `until` in [maintenance] change at the "
                    "next reload",
                    zone_text(container.clock.now()),
                )
                container.dispatcher.refresh_local_times()

    async def _close_dispatcher(self) -> None:
        self._container.recorder.save()
        await self._container.dispatcher.close(0.0 if self._stop_at_once.is_set() else CHECK_GRACE_S)

    async def _close_alerts(self) -> None:
        if self._stop_at_once.is_set():
            await self._container.alerts.close(0.0)
        else:
            await self._container.alerts.close()

    # -- signals ------------------------------------------------------------------------------------------

    def _on_stop(self, name: str) -> None:
        if self._stop.is_set():
            log.warning("%s again: stopping at once", name)
            self._stop_at_once.set()
            return
        log.info("%s: stopping", name)
        self._stop.set()

    def _on_hangup(self) -> None:
        reload = asyncio.ensure_future(self._reload())
        self._reloads.add(reload)
        reload.add_done_callback(self._reloads.discard)

    async def _reload(self) -> None:
        await self._container.control.reload("SIGHUP")
        self._container.read_model.refresh()

    # -- notifications to the manager and the log ---------------------------------------------------------

    async def _update_status(self) -> None:
        """Keep STATUS= current, at most once a second."""
        container, sent = self._container, ""
        while True:
            line = container.control.status_line()
            if line != sent and container.control.state == "running":
                container.sd_notify.status(line)
                sent = line
            await asyncio.sleep(STATUS_INTERVAL_S)
            # The line also changes without a transition, as when the history cannot be written.
            await container.status_line_changes.wait(MAX_STATUS_INTERVAL_S)

    def _report_ready(self) -> None:
        self._container.control.mark_running()
        container = self._container
        log.log(
            NOTICE,
            "monitord %s started: %s from %s; status at %s",
            __version__,
            counted(len(container.settings.monitors), "monitor"),
            container.config,
            self._listens_at,
            extra={"message_id": JournalEvent.READY.message_id},
        )
        container.sd_notify.ready(self._container.control.status_line())

    def _report_stopping(self) -> None:
        self._container.control.mark_stopping()
        dispatcher = self._container.dispatcher
        self._container.sd_notify.stopping("stopping")
        log.log(
            NOTICE,
            "stopping: %s done, %d running",
            counted(dispatcher.check_count - dispatcher.in_flight, "check"),
            dispatcher.in_flight,
            extra={"message_id": JournalEvent.STOPPING.message_id},
        )


def _limits(connections_per_address: int, pages: int = 0) -> Limits:
    """The limits of connections: they leave files for the checks, and reserve connections for the administrator.

    `pages`: the number of pages that share as many connections as the status interface has; 0: for the latter.
    """
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if files == resource.RLIM_INFINITY:
        files = 1 << 20
    total = max(20, min(MAX_CONNECTIONS, int(files * FILES_RATIO)))
    if pages:
        return Limits(connections=max(20, total // pages), connections_per_address=connections_per_address)
    return Limits(
        connections=total,
        connections_per_address=connections_per_address,
        reserved_for_unix=int(total * RESERVED_FOR_UNIX_RATIO),
        reserved_for_root=int(total * RESERVED_FOR_ROOT_RATIO),
    )


def _bound(listen: Sequence[ListenAddress], section: str) -> list[socket.socket]:
    """Sockets that are bound to the addresses in a section. Raises StartError if one of them cannot be bound."""
    bound: list[socket.socket] = []
    for listen_address in listen:
        family = socket.AF_INET if listen_address.address.version == 4 else socket.AF_INET6  # noqa: PLR2004
        tcp_socket = socket.socket(family, socket.SOCK_STREAM)
        bound.append(tcp_socket)
        try:
            tcp_socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                tcp_socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            tcp_socket.bind((str(listen_address.address), listen_address.port))
        except OSError as error:
            for open_socket in bound:
                open_socket.close()
            raise StartError(
                f"cannot listen on {listen_address}: {error.strerror}",
                hint=f"write another address as listen in {section}",
            ) from error
    return bound


def _url_of(tcp_socket: socket.socket) -> str:
    name = tcp_socket.getsockname()
    if not isinstance(name, tuple):
        return str(name)
    return f"http://[{name[0]}]:{name[1]}/" if ":" in name[0] else f"http://{name[0]}:{name[1]}/"


def _warn_about_public_sockets(sockets: Sequence[socket.socket]) -> None:
    for tcp_socket in sockets:
        name = tcp_socket.getsockname()
        if isinstance(name, tuple) and not ip_address(name[0].partition("%")[0]).is_loopback:
            log.warning(
                "%s is open to the network: all clients that reach it can read the status, without encryption",
                _url_of(tcp_socket),
            )


def _create_directory_of(path: Path) -> Path:
    """Create the directory of the socket, and check its owner. Returns the path; raises StartError."""
    parent = path.parent
    try:
        parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = parent.stat()
    except OSError as error:
        raise StartError(
            f"cannot create the directory {parent}: {error.strerror}",
            hint='set another socket: [status] socket = "/path/status.sock"',
        ) from error
    if status.st_uid not in {0, os.geteuid()} and not status.st_mode & 0o1000:
        raise StartError(
            f"{parent} belongs to another user (uid {status.st_uid})", hint="set another socket in [status]"
        )
    return path
