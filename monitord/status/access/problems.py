"""Errors of the API as problem documents (RFC 9457), from handlers, the router and the framework.

`detail` contains what is wrong and what to write instead. `errors` lists the errors in the input, each with its
location, so that a program can show them next to the input.
"""

import contextlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from http import HTTPStatus

from monitord.web import (
    Application,
    ClientGone,
    HTTPBadRequest,
    HTTPConflict,
    HTTPException,
    HTTPNotFound,
    Request,
    Response,
)

CONTENT_TYPE = "application/problem+json"

# Fields that describe the replaced body.
_BODY_FIELDS = frozenset({"content-type", "etag", "last-modified"})


@dataclass(frozen=True, slots=True)
class InputError:
    """An error in a request. `parameter`: its name, or the key of the body."""

    parameter: str
    problem: str
    hint: str

    def __str__(self) -> str:
        return f"{self.parameter}: {self.problem}{'; ' if self.hint else ''}{self.hint}"


class UnknownInput(HTTPNotFound):
    """A body that names monitors that do not exist, with an error for each."""

    def __init__(self, errors: Sequence[InputError]) -> None:
        super().__init__(text="\n".join(map(str, errors)) + "\n")
        self.errors = tuple(errors)


class BadInput(HTTPBadRequest):
    """An invalid query or body, with all of its errors."""

    def __init__(self, errors: Sequence[InputError]) -> None:
        super().__init__(text="\n".join(map(str, errors)) + "\n")
        self.errors = tuple(errors)


class ConflictingInput(HTTPConflict):
    """A body whose values are not valid now, with an error for each."""

    def __init__(self, errors: Sequence[InputError]) -> None:
        super().__init__(text="\n".join(map(str, errors)) + "\n")
        self.errors = tuple(errors)


@contextlib.contextmanager
def find_monitor(request: Request) -> Iterator[str]:
    """Give the monitor name of the path. A KeyError in the block means that no monitor has this name (404)."""
    name: str = request.match_info["name"]
    try:
        yield name
    except KeyError:
        raise HTTPNotFound(
            text=f"no monitor has the name {name!r}; GET /api/v1/monitors lists the monitors\n"
        ) from None


def add_problem_handlers(application: Application) -> None:
    """Respond to all errors of this application with problem documents."""

    async def on_error(_: Request, error: HTTPException) -> Response:
        return error if error.status < 400 else problem_of(error)  # noqa: PLR2004 - the first error

    async def on_bug(request: Request, error: Exception) -> Response:
        if isinstance(error, ClientGone):
            raise error
        application.log_failure(request, error)
        return _problem(
            500,
            HTTPStatus.INTERNAL_SERVER_ERROR.phrase,
            "internal error; see the log: journalctl -u monitord",
        )

    application.add_exception_handler(HTTPException, on_error)
    application.add_exception_handler(Exception, on_bug)


def problem_of(error: HTTPException) -> Response:
    """Return the error as a problem document; fields such as Allow and Retry-After are kept."""
    response = _problem(
        error.status,
        error.reason,
        None if error.has_default_text else error.text.strip(),
        error.errors if isinstance(error, (BadInput, ConflictingInput, UnknownInput)) else (),
    )
    for name, value in error.headers.items():
        if name.lower() not in _BODY_FIELDS:
            response.headers[name] = value
    return response


def _problem(status: int, title: str, detail: str | None, errors: Sequence[InputError] = ()) -> Response:
    document: dict[str, object] = {"type": "about:blank", "title": title, "status": status}
    if detail is not None:
        document["detail"] = detail
    if errors:
        document["errors"] = [asdict(error) for error in errors]
    return Response(
        body=json.dumps(document, ensure_ascii=False).encode(), status=status, content_type=CONTENT_TYPE
    )
