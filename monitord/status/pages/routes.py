"""The routes of the status pages. The rest of this folder is imported with the first request.

It takes 2 MiB of memory, which a daemon without requests for pages does not use.
"""

import asyncio
from functools import partial
from operator import attrgetter
from typing import TYPE_CHECKING

from monitord.public_pages.serving import PREFIX as PUBLIC_PREFIX
from monitord.status.access.security import API_PREFIX
from monitord.status.pages.parts import PageParts
from monitord.web import Application, ClientGone, Request, Response

if TYPE_CHECKING:
    from monitord.status.pages.handlers import PageHandlers

READS = {
    "/": "overview",
    "/fragments/rows": "changed_rows",
    "/m/{name}": "monitor",
    "/m/{name}/acknowledge": "changes.acknowledge_form",
    "/m/{name}/silence": "changes.silence_form",
    "/m/{name}/pause": "changes.pause_form",
    "/hosts/{host}/{name}": "host_monitor",
    "/incidents": "incidents",
    "/silences": "lists.silences",
    "/silences/new": "changes.new_silence_form",
    "/maintenance": "lists.maintenance",
    "/notifications": "lists.notifications",
    "/posts": "posts.posts",
    "/posts/new": "posts.new_form",
    "/posts/{id}": "posts.post",
    "/posts/{id}/updates/{number}": "posts.edit_form",
    "/daemon": "daemon",
    "/badge/{name}.svg": "badge",
    "/static/{file}": "static",
    "/favicon.ico": "favicon",
}
"""The method of `PageHandlers` for each path."""

CHANGES = {
    "/m/{name}/acknowledge": "changes.acknowledge",
    "/m/{name}/unacknowledge": "changes.unacknowledge",
    "/m/{name}/silence": "changes.silence",
    "/m/{name}/pause": "changes.pause",
    "/m/{name}/resume": "changes.resume",
    "/m/{name}/check": "changes.check",
    "/silences/new": "changes.new_silence",
    "/silences/{id}/end": "changes.end_silence",
    "/posts/new": "posts.new",
    "/posts/{id}": "posts.update",
    "/posts/{id}/updates/{number}": "posts.edit",
    "/posts/{id}/delete": "posts.delete",
}
"""The same for forms that are sent with POST."""


class Pages:
    """Adds the pages to an application, and creates their handlers with the first request."""

    def __init__(self, parts: PageParts) -> None:
        self._parts = parts
        self._loading = asyncio.Lock()
        self._handlers: PageHandlers | None = None

    def add_to(self, application: Application) -> None:
        """Serve the pages, and errors as pages too."""
        application.add_exception_handler(Exception, partial(self._on_error, application))
        for path, handler in READS.items():
            application.router.add_get(path, partial(self._handle, handler))
        for path, handler in CHANGES.items():
            application.router.add_post(path, partial(self._handle, handler))
        application.on_cleanup.append(self._close)

    async def _handle(self, handler: str, request: Request) -> Response:
        response: Response = await attrgetter(handler)(await self._loaded())(request)
        return response

    async def _on_error(self, application: Application, request: Request, error: Exception) -> Response:
        """Errors as a page for clients that accept HTML, and unchanged for all others.

        Visitors of public pages must not see the internal frame.
        """
        is_for_people = "text/html" in request.headers.get("Accept", "")
        is_other = request.path.startswith((API_PREFIX, f"{PUBLIC_PREFIX}/"))
        if isinstance(error, ClientGone) or not is_for_people or is_other:
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

        return PageHandlers(self._parts)

    async def _close(self, _: Application) -> None:
        if self._handlers is not None:
            await self._handlers.close()
