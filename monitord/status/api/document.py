"""The OpenAPI 3.1 document, generated from the endpoints. Imported with the first request for it."""

import re
from collections.abc import Sequence

from monitord import __version__
from monitord.model import Json
from monitord.status.access.problems import CONTENT_TYPE as PROBLEM_TYPE
from monitord.status.api.openapi import PREFIX, ApiEndpoint, ResponseSpec
from monitord.status.api.schemas import SCHEMAS

DESCRIPTION = (
    "Read the state and the history of monitors, and control the daemon. Every client that can connect can read. "
    "Root and members of the daemon's group can make changes over the Unix socket; over TCP, clients that send an API "
    "token can make the changes that its `rights` permit. Times are RFC 3339 in UTC. Durations are in seconds, in "
    "properties whose names end in `_s`. A missing value is null. Until release 1.0, properties can be renamed. From "
    "release 1.0 on, they are never removed and never change their meaning; properties can be added to "
    "responses at any time."
)

PATH_PARAMETERS = {
    "name": "The name of the monitor.",
    "id": "The identifier of the silence.",
    "notifier": "The name of the notifier.",
    "post": "The identifier of the post.",
    "number": "The number of the update, from 1 for the oldest.",
}

PROBLEMS = {
    400: "The query or the body is invalid. `errors` lists each error with its location.",
    401: "The token is missing or invalid.",
    403: "The client has no write access.",
    404: "The resource does not exist.",
    409: "The request conflicts with the current state.",
    413: "The body is too large.",
    415: "The body is not JSON.",
    421: "The Host field does not contain a name of this daemon.",
    429: "Too many invalid tokens. `Retry-After` contains the time to wait, in seconds.",
    502: "The delivery failed. `detail` contains the reason.",
    503: "The service is temporarily unavailable: the history cannot be read, or there are too many event clients.",
    507: "The change is in effect but could not be stored; it is lost at the next restart.",
}

TAGS = {
    "Daemon": "The daemon itself.",
    "Monitors": "The current state of monitors, and checks on demand.",
    "History": "Stored results, uptime and incidents.",
    "Interventions": "Pauses, acknowledgements and silences.",
    "Posts": "Messages from people on public pages, about an incident and its progress.",
    "Notifications": "Notifiers and their notifications.",
    "Pages": "Public status pages for customers.",
    "Heartbeats": "Heartbeats of jobs.",
    "Agents": "Reports of hosts without access to the database of the cluster.",
    "Events": "Changes as they happen.",
}


def document(endpoints: Sequence[ApiEndpoint]) -> Json:
    """The OpenAPI 3.1 document of these endpoints."""
    paths: dict[str, Json] = {}
    for endpoint in endpoints:
        paths.setdefault(PREFIX + endpoint.path, {})[endpoint.method.lower()] = _operation(endpoint)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "monitord",
            "version": __version__,
            "description": DESCRIPTION,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "tags": [{"name": name, "description": description} for name, description in TAGS.items()],
        "paths": paths,
        "components": {
            "schemas": SCHEMAS,
            "securitySchemes": {
                "token": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "A `token` of [status.tokens.NAME]. Its `rights` limit the changes.",
                }
            },
        },
    }


def _operation(endpoint: ApiEndpoint) -> Json:
    operation: Json = {
        "operationId": endpoint.id,
        "tags": [endpoint.tag],
        "summary": endpoint.summary,
        "description": endpoint.description,
        "parameters": [
            *(
                {
                    "name": name,
                    "in": "path",
                    "required": True,
                    "description": PATH_PARAMETERS[name],
                    "schema": {"type": "string"},
                }
                for name in re.findall(r"{(\w+)}", endpoint.path)
            ),
            *(
                {
                    "name": parameter.name,
                    "in": "query",
                    "description": parameter.description,
                    "schema": parameter.schema,
                }
                for parameter in endpoint.parameters
            ),
        ],
        "responses": {
            **{str(status): _response(spec) for status, spec in endpoint.responses.items()},
            **{
                str(status): _response(ResponseSpec(PROBLEMS[status], "Problem", PROBLEM_TYPE))
                for status in endpoint.all_problems
                if status not in endpoint.responses
            },
        },
    }
    if endpoint.parameters:
        # Rejected before the request is parsed, and therefore in plain text.
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
        operation["responses"]["304"] = {
            "description": "The content has not changed since the response whose entity tag is in If-None-Match."
        }
    return operation


def _response(spec: ResponseSpec) -> Json:
    response: Json = {"description": spec.description}
    if spec.schema is not None:
        response["content"] = {
            kind: {"schema": reference(spec.schema)} for kind in (spec.content_type, *spec.or_types)
        }
    return response


def reference(name: str) -> Json:
    """A reference to the schema `name`. Raises LookupError if there is none."""
    if name not in SCHEMAS:
        raise LookupError(f"there is no schema {name!r}")
    return {"$ref": f"#/components/schemas/{name}"}
