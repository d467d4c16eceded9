"""The application: routes, middlewares, hooks, state, and the one boundary where an exception becomes a response.

Around each handler its middlewares are wrapped once, when the application starts: the first given is
outermost, and a sub-application's stand inside its parent's. "Not found" and "method not allowed" go through them too.
A handler for an exception catches it at the layer next to where it was raised, so middlewares further
out see the response.
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
    """What was added too late would be ignored."""

    def _refuse(self, *_: object) -> NoReturn:
        raise RuntimeError("the application has started; it is changed before that")

    append = extend = insert = __iadd__ = _refuse


class Application:
    """Changed until it starts; from then on only the values behind its keys may change."""

    def __init__(
        self,
        *,
        middlewares: Sequence[Middleware] = (),
        client_max_size: int = BODY_BYTES,
        lifespan: Lifespan | None = None,
        debug: bool = False,
    ) -> None:
        """`lifespan` is entered before the start-up hooks and left after the clean-up hooks.

        `debug` shows tracebacks, to clients on this machine only.
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
        self._missing: Handler = _answer_missing
        self.frozen = False
        self._has_started = False

    def __getitem__(self, key: ReadKey[T]) -> T:
        """A mounted application finds what its parent keeps."""
        if self._parent is None or key in self._values:
            return cast(T, self._values[key])
        return self._parent[key]

    def __setitem__(self, key: AppKey[T], value: T) -> None:
        if self._has_started and key not in self._values:
            raise RuntimeError(
                f"{key!r}: the application has started; keys are set before that or at start-up"
            )
        self._values[key] = value

    def __contains__(self, key: AppKey[Any]) -> bool:
        return key in self._values or (self._parent is not None and key in self._parent)

    def add_exception_handler(self, kind: type[Exception] | int, handler: ExceptionHandler) -> None:
        """Answer exceptions of a class (and its subclasses), or HTTP exceptions of a status, with `handler`."""
        self._refuse_when_frozen()
        self._exception_handlers[kind] = handler

    def exception_handler(self, kind: type[Exception] | int) -> Callable[[E], E]:
        def add(handler: E) -> E:
            self.add_exception_handler(kind, handler)
            return handler

        return add

    def add_subapp(self, prefix: str, app: "Application") -> None:
        """Answer everything below `prefix` with `app`, whose names are reached as `app.router[…]`."""
        self._refuse_when_frozen()
        parts = parse_template(prefix)
        if len(parts) != 1 or prefix.endswith("/"):
            raise ValueError(f"{prefix!r}: a prefix ends without a slash and is literal")
        prefix = str(parts[0])
        if app.frozen or app._parent is not None or self in app._family():  # noqa: SLF001 - one of ours
            raise ValueError("an application is mounted once, before it starts, and not below itself")
        if prefix in self._mounted:
            raise ValueError(f"{prefix} is taken by another application")
        self._mounted[prefix] = app
        app._parent = self  # noqa: SLF001

    def _refuse_when_frozen(self) -> None:
        if self.frozen:
            raise RuntimeError("the application has started; it is changed before that")

    # Building the chains, once.

    def freeze(self) -> None:
        """Build the chains of middlewares. Called by the server; may be called twice."""
        if self.frozen:
            return
        for prefix, app in self._mounted.items():
            app.freeze()
            app._mount_at(prefix)  # noqa: SLF001 - one of ours
            self._adopt(prefix, app)
        for route in self.router:
            if route.app is None:
                route.app = self
                route.call = self._wrapped(route.handler)
        self._missing = self._wrapped(_answer_missing)
        self._by_prefix.sort(key=lambda pair: len(pair[0]), reverse=True)
        self.middlewares, self.on_startup = _Frozen(self.middlewares), _Frozen(self.on_startup)
        self.on_shutdown, self.on_cleanup = _Frozen(self.on_shutdown), _Frozen(self.on_cleanup)
        self.router.frozen = True
        self.frozen = True

    def _adopt(self, prefix: str, app: "Application") -> None:
        for route in app.router:
            mine = self.router.add_route(
                route.method,
                prefix + route.resource.template,
                route.handler,
                client_max_size=route.client_max_size,
            )
            mine.name = route.name
            mine.app = route.app
            mine.call = self._wrapped(route.call)
        self._by_prefix += [(prefix + inner, deep) for inner, deep in app._by_prefix]  # noqa: SLF001 - one of ours
        self._by_prefix.append((prefix, app))
        app._missing = self._wrapped(app._missing)  # noqa: SLF001
        for _, deep in app._by_prefix:  # noqa: SLF001
            deep._missing = self._wrapped(deep._missing)  # noqa: SLF001

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
                answer = _handler_for(handlers, error)
                if answer is None:
                    raise
                return await answer(request, error)

        return guard

    # Answering.

    def handler_for(self, request: Request) -> Handler:
        """What answers it, all middlewares around it. The request knows its route from then on."""
        route, request.match_info, request.allowed = self.router.resolve(request.method, request.raw_path)
        if route is not None:
            request.route = route
            return route.call
        path = canonical_path(request.raw_path)
        for prefix, app in self._by_prefix:
            if path == prefix or path.startswith(prefix + "/"):
                return app._missing  # noqa: SLF001 - one of ours
        return self._missing

    def recover(self, request: Request, error: BaseException) -> StreamResponse:
        """The response to what a handler raised. What ends the request's task itself is raised again."""
        if isinstance(error, HTTPException):
            return error
        if isinstance(error, ClientGone):  # heard only by who closed one direction
            return HTTPBadRequest(text="the request is not complete")
        if isinstance(error, asyncio.CancelledError):
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise error
        elif not isinstance(error, Exception):
            raise error
        return self.failure(request, error)  # a bug, or the handler awaited something that was cancelled

    def failure(self, request: Request, error: BaseException) -> Response:
        """The traceback to the log, its number to the client."""
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
        """Log the traceback under a number, which is returned."""
        number = secrets.token_hex(6)
        _log.error("error %s in %s %s", number, request.method, request.path, exc_info=error)
        return number

    # Life.

    @asynccontextmanager
    async def running(self, stopping: Callable[[], Awaitable[None]]) -> AsyncIterator[None]:
        """Start up; on leaving await `stopping`, which is to end the requests, between shutdown and clean-up."""
        self.freeze()
        apps = self._family()
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
            stack.push_async_callback(stopping)
            for app in apps:
                for hook in app.on_shutdown:
                    stack.push_async_callback(hook, app)
            yield

    def _family(self) -> list["Application"]:
        return [self, *(deep for app in self._mounted.values() for deep in app._family())]  # noqa: SLF001


def _bind(middleware: Middleware, handler: Handler) -> Handler:
    return lambda request: middleware(request, handler)


def _handler_for(
    handlers: dict[type[Exception] | int, ExceptionHandler], error: Exception
) -> ExceptionHandler | None:
    if isinstance(error, HTTPException) and error.status in handlers:
        return handlers[error.status]
    for kind in type(error).__mro__:
        if kind in handlers:
            return handlers[kind]
    return None


async def _answer_missing(request: Request) -> StreamResponse:
    if request.method == "OPTIONS" and (request.allowed or request.raw_path == "*"):
        return Response(status=204, headers={"Allow": ", ".join(sorted(request.allowed | {"OPTIONS"}))})
    if request.allowed:
        raise HTTPMethodNotAllowed(request.method, request.allowed | {"OPTIONS"})
    raise HTTPNotFound
