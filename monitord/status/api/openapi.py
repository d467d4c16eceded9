"""The endpoints of the API as one table: routes are made from it, and the OpenAPI 3.1 document.

So neither can say more than the other. An endpoint is declared beside its handler, which gets the request and its
query, read by what is declared.
"""

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from monitord import __version__
from monitord.model import Json
from monitord.status.access.problems import CONTENT_TYPE as PROBLEM_TYPE
from monitord.status.api.schemas import SCHEMAS
from monitord.status.model.query import Parameter, Query, read_query
from monitord.web import Application, Request, StreamResponse

PREFIX = "/api/v1"

Handler = Callable[[Request, Query], Awaitable[StreamResponse]]

NAME_ABOUT = {
    "name": "The name of a monitor.",
    "id": "The id of a silence.",
    "notifier": "The name of a notifier.",
}

PROBLEMS = {
    400: "Something in the query or the body cannot be taken; `errors` tells each failure.",
    401: "The token is missing or wrong.",
    403: "Changes are for root and the daemon's group, or for the bearer of the token.",
    404: "There is no such thing.",
    405: "Not this method.",
    409: "Not possible as things stand.",
    413: "The body is too large.",
    415: "The body is not JSON.",
    421: "Nothing here has the name that the request was sent to.",
    429: "Too many wrong tokens.",
    502: "What the notifier talks to did not take it.",
    507: "Done and in effect, but not stored: a restart would undo it.",
    503: "Not now: too many listen already, or the history cannot be read.",
}
ALWAYS = (400, 421)
CHANGING = (401, 403, 413, 415, 429)


@dataclass(frozen=True, slots=True)
class Answer:
    """What comes back under one status. `schema`: a name among `SCHEMAS`; None: no body. `or_types`: as asked for."""

    about: str
    schema: str | None
    content_type: str = "application/json"
    or_types: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Endpoint:
    """`path` is below the prefix. `problems`: those beside what every endpoint can answer."""

    method: str
    path: str
    handler: Handler
    id: str
    about: str
    answers: Mapping[int, Answer]
    parameters: Sequence[Parameter[Any]] = ()
    body: str | None = None
    needs_body: bool = False
    problems: Sequence[int] = field(default=())

    @property
    def all_problems(self) -> list[int]:
        named = (404,) if "{" in self.path else ()
        changing = CHANGING if self.method != "GET" else ()
        return sorted({*ALWAYS, *named, *changing, *self.problems})


def add_routes(application: Application, endpoints: Sequence[Endpoint]) -> None:
    for endpoint in endpoints:
        if endpoint.method == "GET":
            application.router.add_get(endpoint.path, _reading_its_query(endpoint))
        else:
            application.router.add_route(endpoint.method, endpoint.path, _reading_its_query(endpoint))


def _reading_its_query(endpoint: Endpoint) -> Callable[[Request], Awaitable[StreamResponse]]:
    async def handler(request: Request) -> StreamResponse:
        return await endpoint.handler(request, read_query(request, endpoint.parameters))

    return handler


def document(endpoints: Sequence[Endpoint]) -> Json:
    """OpenAPI 3.1."""
    paths: dict[str, Json] = {}
    for endpoint in endpoints:
        paths.setdefault(PREFIX + endpoint.path, {})[endpoint.method.lower()] = _operation(endpoint)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "monitord",
            "version": __version__,
            "description": (
                "What monitord watches, and how it stands. Reads are for whoever may connect; changes are for "
                "root and the daemon's group on the Unix socket, and for the bearer of the token over TCP. Times "
                "are RFC 3339 in UTC, durations seconds."
            ),
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {
            "schemas": SCHEMAS,
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer", "description": "`token` in [status]."}
            },
        },
    }


def _operation(endpoint: Endpoint) -> Json:
    operation: Json = {
        "operationId": endpoint.id,
        "summary": endpoint.about,
        "parameters": [
            *(
                {
                    "name": name,
                    "in": "path",
                    "required": True,
                    "description": NAME_ABOUT[name],
                    "schema": {"type": "string"},
                }
                for name in re.findall(r"{(\w+)}", endpoint.path)
            ),
            *(
                {
                    "name": parameter.name,
                    "in": "query",
                    "description": parameter.about,
                    "schema": parameter.schema,
                }
                for parameter in endpoint.parameters
            ),
        ],
        "responses": {
            **{str(status): _response(answer) for status, answer in endpoint.answers.items()},
            **{
                str(status): _response(Answer(PROBLEMS[status], "Problem", PROBLEM_TYPE))
                for status in endpoint.all_problems
                if status not in endpoint.answers
            },
        },
    }
    if endpoint.parameters:
        # Refused before anything of the request is known, so in plain text.
        operation["responses"]["414"] = {
            "description": "The query is too long.",
            "content": {"text/plain": {"schema": {"type": "string"}}},
        }
    if endpoint.body is not None:
        operation["requestBody"] = {
            "required": endpoint.needs_body,
            "content": {"application/json": {"schema": reference(endpoint.body)}},
        }
    if endpoint.method != "GET":
        operation["security"] = [{}, {"token": []}]
    else:
        operation["responses"]["304"] = {"description": "As the client has it: see If-None-Match."}
    return operation


def _response(answer: Answer) -> Json:
    response: Json = {"description": answer.about}
    if answer.schema is not None:
        response["content"] = {
            kind: {"schema": reference(answer.schema)} for kind in (answer.content_type, *answer.or_types)
        }
    return response


def reference(name: str) -> Json:
    """Where the document holds a schema."""
    if name not in SCHEMAS:
        raise LookupError(f"no schema is called {name!r}")
    return {"$ref": f"#/components/schemas/{name}"}
