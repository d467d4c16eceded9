"""The application: routes, middlewares, hooks, state, and the boundary where an exception becomes a response.

The middlewares are wrapped around each handler once, when the application starts. The first middleware is the
outermost, and those of a mounted application are inside those of its parent. 404 and 405 responses pass through them as
well. An exception handler runs next to the place where the exception was raised, so outer middlewares process
its response.
"""

import asyncio
import html
import logging
import secrets
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import Any, NoReturn, TypeVar, cast

from .exceptions import HTTPBadRequest, HTTPException, HTTPMethodNotAllowed, HTTPNotFound
from .keys import AppKey, ReadKey
from .limits import BODY_BYTES
from .request import Request
from .response import ClientGone, Response, StreamResponse, json_response
from .routing import Handler, UrlDispatcher, canonical_path, parse_template

Middleware = Callable[[Request, Handler], Awaitable[StreamResponse]]
Hook = Callable[["Application"], Awaitable[None]]
Lifespan = Callable[["Application"], AbstractAsyncContextManager[None]]
ExceptionHandler = Callable[[Request, Any], Awaitable[StreamResponse]]

T = TypeVar("T")
E = TypeVar("E", bound=ExceptionHandler)

_log = logging.getLogger(__name__)


class _Frozen(list[T]):
    """A list of a started application, to which an item would be added without effect."""

    def _reject(self, *_: object) -> NoReturn:
        raise RuntimeError("the application has started; change it before")

    append = extend = insert = __iadd__ = _reject


class Application:
    """An application. When it has started, only the values of its keys can change."""

    def __init__(
        self,
        *,
        middlewares: Sequence[Middleware] = (),
        client_max_size: int = BODY_BYTES,
        lifespan: Lifespan | None = None,
        debug: bool = False,
    ) -> None:
        """`lifespan` is entered before the startup hooks and exited after the cleanup hooks.

        `debug` shows tracebacks to clients on this machine.
        """
        self.router = UrlDispatcher()
        self.middlewares: list[Middleware] = list(middlewares)
        self.client_max_size = client_max_size
        self.debug = debug
        self.on_startup: list[Hook] = []
        self.on_shutdown: list[Hook] = []
        self.on_cleanup: list[Hook] = []
        self._lifespan = lifespan
        self._parent: Application | None = None
        self._values: dict[ReadKey[Any], Any] = {}
        self._exception_handlers: dict[type[Exception] | int, ExceptionHandler] = {}
        self._mounted: dict[str, Application] = {}
        self._by_prefix: list[tuple[str, Application]] = []
        self._unmatched: Handler = _handle_unmatched
        self.frozen = False
        self._has_started = False

    def __getitem__(self, key: ReadKey[T]) -> T:
        """Return the value of this application or its parent. Raises KeyError if it is not set."""
        if self._parent is None or key in self._values:
            return cast(T, self._values[key])
        return self._parent[key]

    def __setitem__(self, key: AppKey[T], value: T) -> None:
        if self._has_started and key not in self._values:
            raise RuntimeError(f"{key!r}: the application has started; set keys before or during startup")
        self._values[key] = value

    def __contains__(self, key: AppKey[Any]) -> bool:
        return key in self._values or (self._parent is not None and key in self._parent)

    def add_exception_handler(self, kind: type[Exception] | int, handler: ExceptionHandler) -> None:
        """Handle exceptions of a class and its subclasses, or HTTP exceptions of a status, with `handler`."""
        self._check_not_frozen()
        self._exception_handlers[kind] = handler

    def exception_handler(self, kind: type[Exception] | int) -> Callable[[E], E]:
        def add(handler: E) -> E:
            self.add_exception_handler(kind, handler)
            return handler

        return add

    def add_subapp(self, prefix: str, app: "Application") -> None:
        """Mount `app` below `prefix`. Raises ValueError for an invalid or used prefix, or a mounted application."""
        self._check_not_frozen()
        parts = parse_template(prefix)
        if len(parts) != 1 or prefix.endswith("/"):
            raise ValueError(f"{prefix!r}: a prefix must be literal and not end in a slash")
        prefix = str(parts[0])
        if app.frozen or app._parent is not None or self in app._all_apps():  # noqa: SLF001 - same class
            raise ValueError(
                "the application has started, is already mounted, or would be mounted below itself"
            )
        if prefix in self._mounted:
            raise ValueError(f"{prefix} is already used by another application")
        self._mounted[prefix] = app
        app._parent = self  # noqa: SLF001

    def _check_not_frozen(self) -> None:
        if self.frozen:
            raise RuntimeError("the application has started; change it before")

    # Wrapping the middlewares around the handlers.

    def freeze(self) -> None:
        """Wrap the middlewares around the handlers. Called by the server; a second call has no effect."""
        if self.frozen:
            return
        for prefix, app in self._mounted.items():
            app.freeze()
            app._mount_at(prefix)  # noqa: SLF001 - same class
            for inner_route in app.router:
                mounted = self.router.add_route(
                    inner_route.method,
                    prefix + inner_route.resource.template,
                    inner_route.handler,
                    client_max_size=inner_route.client_max_size,
                )
                mounted.name = inner_route.name
                mounted.app = inner_route.app
                mounted.call = self._wrapped(inner_route.call)
            self._by_prefix += [(prefix + inner, deep) for inner, deep in app._by_prefix]  # noqa: SLF001 - same class
            self._by_prefix.append((prefix, app))
            app._unmatched = self._wrapped(app._unmatched)  # noqa: SLF001
            for _, deep in app._by_prefix:  # noqa: SLF001
                deep._unmatched = self._wrapped(deep._unmatched)  # noqa: SLF001
        for route in self.router:
            if route.app is None:
                route.app = self
                route.call = self._wrapped(route.handler)
        self._unmatched = self._wrapped(_handle_unmatched)
        self._by_prefix.sort(key=lambda pair: len(pair[0]), reverse=True)
        self.middlewares, self.on_startup = _Frozen(self.middlewares), _Frozen(self.on_startup)
        self.on_shutdown, self.on_cleanup = _Frozen(self.on_shutdown), _Frozen(self.on_cleanup)
        self.router.frozen = True
        self.frozen = True

    def _mount_at(self, prefix: str) -> None:
        self.router.prefix = prefix + self.router.prefix
        for app in self._mounted.values():
            app._mount_at(prefix)  # noqa: SLF001

    def _wrapped(self, handler: Handler) -> Handler:
        handler = self._guarded(handler)
        for middleware in reversed(self.middlewares):
            handler = self._guarded(_bind(middleware, handler))
        return handler

    def _guarded(self, handler: Handler) -> Handler:
        if not self._exception_handlers:
            return handler
        handlers = self._exception_handlers

        async def guard(request: Request) -> StreamResponse:
            try:
                return await handler(request)
            except Exception as error:
                exception_handler = _find_handler(handlers, error)
                if exception_handler is None:
                    raise
                return await exception_handler(request, error)

        return guard

    # Handling requests.

    def handler_for(self, request: Request) -> Handler:
        """Find the route, set it in the request, and return its handler inside all middlewares."""
        route, request.match_info, request.allowed = self.router.resolve(request.method, request.raw_path)
        if route is not None:
            request.route = route
            return route.call
        path = canonical_path(request.raw_path)
        for prefix, app in self._by_prefix:
            if path == prefix or path.startswith(prefix + "/"):
                return app._unmatched  # noqa: SLF001 - same class
        return self._unmatched

    def response_to(self, request: Request, error: BaseException) -> StreamResponse:
        """Return the response to an exception of a handler. An exception that ends the task is raised again."""
        if isinstance(error, HTTPException):
            return error
        if isinstance(error, ClientGone):  # received by a client that has closed only its sending side
            return HTTPBadRequest(text="the request is incomplete")
        if isinstance(error, asyncio.CancelledError):
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise error
        elif not isinstance(error, Exception):
            raise error
        return self.error_response(request, error)  # a bug, or the handler awaited a task that was cancelled

    def error_response(self, request: Request, error: BaseException) -> Response:
        """Log the traceback, and return a 500 response with its number."""
        number = self.log_failure(request, error)
        if "application/json" in request.headers.get("Accept", ""):
            return json_response({"error": "internal server error", "id": number}, status=500)
        if self.debug and request.peer.is_local:
            trace = "".join(traceback.format_exception(error))
            page = f"<!DOCTYPE html><title>500</title><h1>Error {number}</h1><pre>{html.escape(trace)}</pre>"
            return Response(text=page, status=500, content_type="text/html")
        return Response(
            text=f"500: Internal Server Error\nNumber {number} in the log of the server.\n", status=500
        )

    def log_failure(self, request: Request, error: BaseException) -> str:
        """Log the traceback with a new number, and return the number."""
        number = secrets.token_hex(6)
        _log.error("error %s in %s %s", number, request.method, request.path, exc_info=error)
        return number

    # Lifecycle.

    @asynccontextmanager
    async def running(self, end_requests: Callable[[], Awaitable[None]]) -> AsyncIterator[None]:
        """Start up; on exit, await `end_requests` between the shutdown hooks and the cleanup hooks."""
        self.freeze()
        apps = self._all_apps()
        async with AsyncExitStack() as stack:
            for app in apps:
                if app._lifespan is not None:  # noqa: SLF001
                    await stack.enter_async_context(app._lifespan(app))  # noqa: SLF001
            for app in apps:
                for hook in app.on_cleanup:
                    stack.push_async_callback(hook, app)
            for app in apps:
                for hook in app.on_startup:
                    await hook(app)
                app._has_started = True  # noqa: SLF001
            stack.push_async_callback(end_requests)
            for app in apps:
                for hook in app.on_shutdown:
                    stack.push_async_callback(hook, app)
            yield

    def _all_apps(self) -> list["Application"]:
        return [self, *(deep for app in self._mounted.values() for deep in app._all_apps())]  # noqa: SLF001


def _bind(middleware: Middleware, handler: Handler) -> Handler:
    return lambda request: middleware(request, handler)


def _find_handler(
    handlers: dict[type[Exception] | int, ExceptionHandler], error: Exception
) -> ExceptionHandler | None:
    if isinstance(error, HTTPException) and error.status in handlers:
        return handlers[error.status]
    for kind in type(error).__mro__:
        if kind in handlers:
            return handlers[kind]
    return None


async def _handle_unmatched(request: Request) -> StreamResponse:
    if request.method == "OPTIONS" and (request.allowed or request.raw_path == "*"):
        return Response(status=204, headers={"Allow": ", ".join(sorted(request.allowed | {"OPTIONS"}))})
    if request.allowed:
        raise HTTPMethodNotAllowed(request.method, request.allowed | {"OPTIONS"})
    raise HTTPNotFound
