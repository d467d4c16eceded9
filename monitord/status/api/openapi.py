"""The endpoints of the API as a table, from which the routes and the OpenAPI 3.1 document are generated.

An endpoint is declared next to its handler, with its parameters, body and responses. The handler receives the request
and its query, already read. The module `document` generates the document.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from monitord.status.model.query import QueryParameter, QueryValues, read_query
from monitord.web import Application, Request, StreamResponse

PREFIX = "/api/v1"

Handler = Callable[[Request, QueryValues], Awaitable[StreamResponse]]

ALWAYS = (400, 421)
CHANGING = (401, 403, 413, 415, 429)


@dataclass(frozen=True, slots=True)
class ResponseSpec:
    """A response of an endpoint. `schema`: a key of `SCHEMAS`; None: no body. `or_types`: further content types."""

    description: str
    schema: str | None
    content_type: str = "application/json"
    or_types: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class ApiEndpoint:
    """`path` is relative to the prefix; `tag` is a key of `TAGS`. `problems`: without those of every endpoint."""

    method: str
    path: str
    handler: Handler
    id: str
    tag: str
    summary: str
    description: str
    responses: Mapping[int, ResponseSpec]
    parameters: Sequence[QueryParameter[Any]] = ()
    body: str | None = None
    needs_body: bool = False
    problems: Sequence[int] = field(default=())

    @property
    def all_problems(self) -> list[int]:
        named = (404,) if "{" in self.path else ()
        changing = CHANGING if self.method != "GET" else ()
        return sorted({*ALWAYS, *named, *changing, *self.problems})


def add_routes(application: Application, endpoints: Sequence[ApiEndpoint]) -> None:
    """Add a route for each endpoint; HEAD is added with GET."""
    router = application.router
    for endpoint in endpoints:
        handler = _reading_its_query(endpoint)
        if endpoint.method == "GET":
            router.add_get(endpoint.path, handler)
        else:
            router.add_route(endpoint.method, endpoint.path, handler)


def _reading_its_query(endpoint: ApiEndpoint) -> Callable[[Request], Awaitable[StreamResponse]]:
    async def handler(request: Request) -> StreamResponse:
        return await endpoint.handler(request, read_query(request, endpoint.parameters))

    return handler
