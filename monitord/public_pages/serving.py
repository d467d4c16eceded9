"""Requests for pages: GET and HEAD of their files, with conditional requests and caching for CDNs and browsers."""

from collections.abc import Awaitable, Callable, Mapping
from functools import partial

from monitord.conditional_requests import conditional_get
from monitord.options.listen import host_name
from monitord.public_pages.files import INDEX, SVG, PageFile
from monitord.public_pages.pages import PublicPages
from monitord.web import (
    Application,
    Handler,
    HTTPException,
    HTTPMethodNotAllowed,
    HTTPMovedPermanently,
    HTTPNotFound,
    Request,
    Response,
    StreamResponse,
)

PREFIX = "/pages"

Middleware = Callable[[Request, Handler], Awaitable[StreamResponse]]

MAX_AGE_S = 30
"""How long caches may send a page without a request: also how much later a visitor sees a change."""

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)

HEADERS: Mapping[str, str] = {
    "Cache-Control": f"public, max-age={MAX_AGE_S}",
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}
# Badges and data are for other sites.
SHARED_HEADERS: Mapping[str, str] = {
    **HEADERS,
    "Cross-Origin-Resource-Policy": "cross-origin",
    "Access-Control-Allow-Origin": "*",
}
_SHARED_TYPES = frozenset({SVG, "application/json"})


def add_published_pages(application: Application, pages: PublicPages) -> None:
    """Serve the pages with `publish = true` below PREFIX. Which ones these are can change with a reload."""

    async def redirect(request: Request) -> Response:
        name = request.match_info["page"]
        _require_published(pages, name)
        # Relative: a proxy may serve the page under another path.
        raise HTTPMovedPermanently(f"{name}/")

    async def serve(request: Request) -> Response:
        name = request.match_info["page"]
        _require_published(pages, name)
        return await response_of(pages, name, request.match_info["file"])

    application.router.add_get(f"{PREFIX}/{{page}}", redirect)
    application.router.add_get(f"{PREFIX}/{{page}}/{{file:path}}", serve)


def page_application(pages: PublicPages, name: str) -> Application:
    """Return the application of the sockets that belong to one page, and serve nothing else."""
    application = Application(middlewares=[_with_headers, conditional_get])
    application.router.add_get("/{file:path}", partial(_serve_only, pages, name))
    return application


async def _serve_only(pages: PublicPages, name: str, request: Request) -> Response:
    return await response_of(pages, name, request.match_info["file"])


def page_hosts(pages: PublicPages) -> Middleware:
    """Return the middleware that serves the pages with host names of their own, and nothing else under these names.

    It comes before the authorization: everything under the names is public.
    """

    async def serve(request: Request, handler: Handler) -> StreamResponse:
        name = pages.name_of_host(host_name(request.host)) if request.host else None
        if name is None:
            return await handler(request)
        return await _with_headers(request, partial(_serve_conditionally, pages, name))

    return serve


async def _serve_conditionally(pages: PublicPages, name: str, request: Request) -> StreamResponse:
    if request.method not in {"GET", "HEAD"}:
        raise HTTPMethodNotAllowed(request.method, {"GET", "HEAD"})

    async def serve(request: Request) -> Response:
        return await response_of(pages, name, request.path.removeprefix("/"))

    return await conditional_get(request, serve)


async def _with_headers(request: Request, handler: Handler) -> StreamResponse:
    """Add the headers to errors as well, which must not be cached. A middleware."""
    try:
        return await handler(request)
    except HTTPException as error:
        error.headers.merge({**HEADERS, "Cache-Control": "no-store"})
        return error


def _require_published(pages: PublicPages, name: str) -> None:
    page = pages.get(name)
    if page is None or not page.settings.is_published:
        raise HTTPNotFound(text="there is no page at this address\n")


async def response_of(pages: PublicPages, name: str, path: str) -> Response:
    """Return a file of a page. Raises HTTPNotFound."""
    page = pages.get(name)
    files: Mapping[str, PageFile] = {} if page is None else await page.files()
    file = files.get(path or INDEX)
    if file is None:
        raise HTTPNotFound(text="there is no page at this address\n")
    is_shared = file.content_type in _SHARED_TYPES
    return Response(
        body=file.body,
        content_type=file.content_type,
        headers={**(SHARED_HEADERS if is_shared else HEADERS), "ETag": file.tag},
    )
