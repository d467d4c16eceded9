"""Open, run, close, in an order one can see; signals, and what the service manager is told of it all.

SIGTERM and SIGINT stop, a second one at once. SIGHUP reloads. Checks run on one event loop; whatever has to
block has a thread of its own.
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
from monitord.settings import ListenAddress
from monitord.systemd.log import NOTICE
from monitord.systemd.sockets import listening_sockets
from monitord.web import Limits, Server

log = logging.getLogger("monitord")

SOCKET_NAME = "status"
"""FileDescriptorName= of monitord.socket."""

HTTP_SOCKET_NAME = "http"
"""FileDescriptorName= of a unit that listens on TCP for us; it takes the place of `listen` in [status]."""

STATUS_EVERY_S = 1.0
STATUS_AT_LEAST_EVERY_S = 10.0
CHECK_GRACE_S = 3.0
"""What checks in flight get at a stop. With what requests get it stays below TimeoutStopSec= of the unit."""

REQUEST_GRACE_S = 5.0
HISTORY_GRACE_S = 5.0
"""What a storage that hangs gets to take the last batch."""

HISTORY_TICK_S = 5.0
ZONE_EVERY_S = 5.0

MOST_CONNECTIONS = 2000
SHARE_OF_FILES = 0.25
"""Of the files that the process may have open: checks need the others."""

RESERVED_FOR_UNIX = 0.3
RESERVED_FOR_ROOT = 0.1
"""Shares of these connections."""


class Daemon:
    """One run of the program, from opening its sockets to closing them."""

    def __init__(self, container: ApplicationContainer) -> None:
        self._container = container
        self._stop = asyncio.Event()
        self._hurry = asyncio.Event()
        self._reloads: set[asyncio.Task[None]] = set()
        self._listens_at = ""

    async def run(self, was_hung_up: Callable[[], bool] = lambda: False) -> None:
        """Until SIGTERM or SIGINT. Raises StartError when something cannot be opened.

        `was_hung_up`: whether a SIGHUP came before this listened for it. Asked afterwards, so that none falls between.
        """
        async with (
            self._signals(),
            self._outward_clients(),
            self._history(),  # before any part that continues from what an earlier run has stored
            self._server(),
            self._checks(),
            self._workers(),
        ):
            self._say_ready()
            if was_hung_up():
                self._on_hangup()
            await self._stop.wait()
            self._say_stopping()

    # -- open and close, in the order of `run` ------------------------------------------------------------

    @asynccontextmanager
    async def _signals(self) -> AsyncIterator[None]:
        self._listen_for_signals()
        try:
            yield
        finally:
            self._ignore_signals()

    @asynccontextmanager
    async def _outward_clients(self) -> AsyncIterator[None]:
        """They open what they need when it is needed."""
        container = self._container
        async with AsyncExitStack() as stack:
            stack.push_async_callback(container.http_client.close)
            stack.push_async_callback(container.processes.close)
            stack.push_async_callback(container.units.close)
            yield

    @asynccontextmanager
    async def _history(self) -> AsyncIterator[None]:
        container = self._container
        if container.history_path is None and container.settings.history.enabled:
            log.info(
                "no state directory is given: states and history end with this run; "
                "name one as directory in [history]"
            )
        kept = container.history.open()
        try:
            container.override(ApplicationContainer.kept, kept)
            container.history.start()
            yield
        finally:
            await container.history.close(0.5 if self._hurry.is_set() else HISTORY_GRACE_S)

    @asynccontextmanager
    async def _server(self) -> AsyncIterator[None]:
        server = await self._start_server()
        try:
            yield
        finally:
            await self._close_server(server)

    @asynccontextmanager
    async def _checks(self) -> AsyncIterator[None]:
        """Every monitor is checked, and every alert evaluated."""
        container = self._container
        async with AsyncExitStack() as stack:
            container.pulse.start()
            stack.callback(container.pulse.stop)
            container.dispatcher.start()
            stack.push_async_callback(self._close_alerts)
            stack.push_async_callback(self._close_dispatcher)
            stack.push_async_callback(container.auto_units.close)
            container.control.begin()
            container.recorder.close_other_incidents()
            container.publisher.evaluate_all(is_isolated=container.pipeline.isolation.is_isolated)
            _settle_memory()
            yield

    @asynccontextmanager
    async def _workers(self) -> AsyncIterator[None]:
        container = self._container
        async with asyncio.TaskGroup() as tasks:
            workers = [
                tasks.create_task(container.watchdog.run()),
                tasks.create_task(self._tell_status()),
                tasks.create_task(self._tick_history()),
                tasks.create_task(self._follow_zone()),
                tasks.create_task(container.alerts.run(container.pipeline.follow_clock)),
            ]
            yield
            for worker in workers:
                worker.cancel()
        for reload in self._reloads:
            reload.cancel()
        await asyncio.gather(*self._reloads, return_exceptions=True)

    async def _start_server(self) -> Server:
        """Listen on the socket that was passed, or on one of our own."""
        container = self._container
        try:
            passed = listening_sockets(container.service)
        except ValueError as error:
            raise StartError(str(error)) from error
        sockets = passed.pop(SOCKET_NAME, [])
        over_tcp = passed.pop(HTTP_SOCKET_NAME, [])
        for name, strangers in passed.items():
            log.warning(
                "a socket named %r was passed, which nothing here listens on; see monitord.socket", name
            )
            for stranger in strangers:
                stranger.close()
        path = None if sockets else _prepared(container.socket_path)
        if not over_tcp:
            over_tcp = _bound(container.settings.status.listen)
        _warn_of_openness(over_tcp)
        listens_at = [*(str(one.getsockname()) for one in sockets), *([] if path is None else [str(path)])]
        self._listens_at = ", ".join([*listens_at, *map(_shown, over_tcp)])
        server = Server(
            container.status_application,
            sockets=[*sockets, *over_tcp],
            path=path,
            limits=_limits(container.settings.status.max_connections_per_address),
            grace_s=REQUEST_GRACE_S,
        )
        try:
            await server.start()
        except OSError as error:
            what = error.strerror or str(error)
            raise StartError(
                f"cannot listen on {path}: {what}", hint="name another one as socket in [status]"
            ) from error
        return server

    async def _close_server(self, server: Server) -> None:
        hurrying = asyncio.ensure_future(self._hurry.wait())
        hurrying.add_done_callback(lambda done: None if done.cancelled() else server.hurry())
        try:
            await server.close()
        finally:
            hurrying.cancel()

    async def _tick_history(self) -> None:
        while True:
            self._container.history.tick(self._container.clock.now())
            await asyncio.sleep(HISTORY_TICK_S)

    async def _follow_zone(self) -> None:
        """A change of the host's time zone moves calendars, windows, quiet hours and the times in messages."""
        container, zone = self._container, self._container.local_zone
        while True:
            await asyncio.sleep(ZONE_EVERY_S)
            if zone.follow():
                log.log(
                    NOTICE,
                    "the local time zone is now %s; local times of `from` and `until` in [maintenance] follow at the "
                    "next reload",
                    zone_text(container.clock.now()),
                )
                container.dispatcher.follow_zone()

    async def _close_dispatcher(self) -> None:
        self._container.recorder.save()
        await self._container.dispatcher.close(0.0 if self._hurry.is_set() else CHECK_GRACE_S)

    async def _close_alerts(self) -> None:
        if self._hurry.is_set():
            await self._container.alerts.close(0.0)
        else:
            await self._container.alerts.close()

    # -- signals ------------------------------------------------------------------------------------------

    def _listen_for_signals(self) -> None:
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self._on_stop, "SIGTERM")
        loop.add_signal_handler(signal.SIGINT, self._on_stop, "SIGINT")
        loop.add_signal_handler(signal.SIGHUP, self._on_hangup)

    def _ignore_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            loop.remove_signal_handler(number)
        # The end is near; what comes now must not end the process half-way.
        signal.signal(signal.SIGHUP, signal.SIG_IGN)

    def _on_stop(self, name: str) -> None:
        if self._stop.is_set():
            log.warning("%s again: stopping at once", name)
            self._hurry.set()
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

    # -- what the manager and the log are told ------------------------------------------------------------

    async def _tell_status(self) -> None:
        """Keep STATUS= current, at most once a second."""
        container, told = self._container, ""
        while True:
            line = container.control.status_line()
            if line != told and container.control.state == "running":
                container.notifier.status(line)
                told = line
            await asyncio.sleep(STATUS_EVERY_S)
            # A history that fails is no transition of a monitor, so the line is looked at without one as well.
            await container.status_news.wait(STATUS_AT_LEAST_EVERY_S)

    def _say_ready(self) -> None:
        self._container.control.mark_running()
        container = self._container
        count = len(container.settings.monitors)
        log.log(
            NOTICE,
            "monitord %s runs: %d monitor%s from %s; status at %s",
            __version__,
            count,
            "" if count == 1 else "s",
            container.config,
            self._listens_at,
            extra={"message_id": JournalEvent.READY.message_id},
        )
        container.notifier.ready(self._container.control.status_line())

    def _say_stopping(self) -> None:
        self._container.control.mark_stopping()
        dispatcher = self._container.dispatcher
        self._container.notifier.stopping("stopping")
        log.log(
            NOTICE,
            "stopping: %d checks done, %d in flight",
            dispatcher.checks - dispatcher.in_flight,
            dispatcher.in_flight,
            extra={"message_id": JournalEvent.STOPPING.message_id},
        )


def _settle_memory() -> None:
    """What the start has made stays: no later collection need look through it, which holds up checks (gc).

    Nothing is collected before: a start leaves less than a thousand objects in cycles, however many monitors there
    are, and to find them takes a tenth of a second with 10,000.
    """
    gc.freeze()
    gc.enable()  # see `cli.start`


def _limits(connections_per_address: int) -> Limits:
    """As many connections as leave files for the checks, with places that nobody can take from the administrator."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if files == resource.RLIM_INFINITY:
        files = 1 << 20
    most = max(20, min(MOST_CONNECTIONS, int(files * SHARE_OF_FILES)))
    return Limits(
        connections=most,
        connections_per_address=connections_per_address,
        reserved_for_unix=int(most * RESERVED_FOR_UNIX),
        reserved_for_root=int(most * RESERVED_FOR_ROOT),
    )


def _bound(listen: Sequence[ListenAddress]) -> list[socket.socket]:
    """Sockets bound to each of the addresses. Raises StartError, and leaves none open then."""
    bound: list[socket.socket] = []
    for where in listen:
        family = socket.AF_INET if where.address.version == 4 else socket.AF_INET6  # noqa: PLR2004
        one = socket.socket(family, socket.SOCK_STREAM)
        bound.append(one)
        try:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            one.bind((str(where.address), where.port))
        except OSError as error:
            for other in bound:
                other.close()
            raise StartError(
                f"cannot listen on {where}: {error.strerror}",
                hint="write another address as listen in [status]",
            ) from error
    return bound


def _shown(one: socket.socket) -> str:
    name = one.getsockname()
    if not isinstance(name, tuple):
        return str(name)
    return f"http://[{name[0]}]:{name[1]}/" if ":" in name[0] else f"http://{name[0]}:{name[1]}/"


def _warn_of_openness(sockets: Sequence[socket.socket]) -> None:
    for one in sockets:
        name = one.getsockname()
        if isinstance(name, tuple) and not ip_address(name[0].partition("%")[0]).is_loopback:
            log.warning(
                "%s is open to the network: whoever reaches it can read all that is monitored, without encryption",
                _shown(one),
            )


def _prepared(path: Path) -> Path:
    """The path, in a directory that exists and that nobody else can put sockets in."""
    parent = path.parent
    try:
        parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = parent.stat()
    except OSError as error:
        raise StartError(
            f"cannot make the directory {parent}: {error.strerror}",
            hint='name a socket elsewhere: [status] socket = "/path/status.sock"',
        ) from error
    if found.st_uid not in {0, os.geteuid()} and not found.st_mode & 0o1000:
        raise StartError(
            f"{parent} belongs to somebody else (uid {found.st_uid})", hint="name a socket elsewhere"
        )
    return path
