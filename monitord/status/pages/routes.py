"""The routes of the status pages. The rest of this folder is imported with the first request.

It takes 2 MiB of memory, which a daemon without requests for pages does not use.
"""

import asyncio
from functools import partial
from typing import TYPE_CHECKING

from monitord.clock import Clock
from monitord.dispatch import Dispatcher
from monitord.status.access.operations import DaemonOperations
from monitord.status.access.security import API_PREFIX
from monitord.status.model.daemon_status import DaemonStatus
from monitord.status.model.read_model import ReadModel
from monitord.status.pages.past import PageHistory
from monitord.web import Application, ClientGone, Request, Response

if TYPE_CHECKING:
    from monitord.status.pages.handlers import PageHandlers

HISTORY_WAIT_S = 3.0

HANDLERS = {
    "/": "overview",
    "/fragments/rows": "changed_rows",
    "/m/{name}": "monitor",
    "/incidents": "incidents",
    "/daemon": "daemon",
    "/badge/{name}.svg": "badge",
    "/static/{file}": "static",
    "/favicon.ico": "favicon",
}
"""The method of `PageHandlers` for each path."""


class Pages:
    """Adds the pages to an application, and creates their handlers with the first request."""

    def __init__(
        self,
        dispatcher: Dispatcher,
        model: ReadModel,
        status: DaemonStatus,
        control: DaemonOperations,
        past: PageHistory,
        clock: Clock,
        history_wait_s: float = HISTORY_WAIT_S,
    ) -> None:
        self._parts = (dispatcher, model, status, control, past, clock, history_wait_s)
        self._loading = asyncio.Lock()
        self._handlers: PageHandlers | None = None

    def add_to(self, application: Application) -> None:
        """Serve the pages, and errors as pages too."""
        application.add_exception_handler(Exception, partial(self._on_error, application))
        for path, handler in HANDLERS.items():
            application.router.add_get(path, partial(self._handle, handler))
        application.on_cleanup.append(self._close)

    async def _handle(self, handler: str, request: Request) -> Response:
        response: Response = await getattr(await self._loaded(), handler)(request)
        return response

    async def _on_error(self, application: Application, request: Request, error: Exception) -> Response:
        """Errors as a page for clients that accept HTML, and unchanged for all others."""
        is_for_people = "text/html" in request.headers.get("Accept", "") and request.method in {"GET", "HEAD"}
        if isinstance(error, ClientGone) or not is_for_people or request.path.startswith(API_PREFIX):
            raise error
        return await (await self._loaded()).error(application, request, error)

    async def _loaded(self) -> "PageHandlers":
        async with self._loading:
            if self._handlers is None:
                # On a thread: the imports take some hundredths of a second, in which checks become due.
                self._handlers = await asyncio.to_thread(self._load)
        return self._handlers

    def _load(self) -> "PageHandlers":
        from monitord.status.pages.handlers import PageHandlers  # noqa: PLC0415 - see above

        return PageHandlers(*self._parts)

    async def _close(self, _: Application) -> None:
        if self._handlers is not None:
            await self._handlers.close()
