"""Errors of the API as problem documents (RFC 9457), whoever raised them: a handler, the router or the framework.

`detail` says what is wrong and what to write instead. What is wrong with the input is listed one by one in `errors`
as well, each with the place, so that a program can point at it.
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
    HTTPException,
    HTTPNotFound,
    Request,
    Response,
)

CONTENT_TYPE = "application/problem+json"

# What frames or describes the old body goes with it.
_OF_THE_BODY = frozenset({"content-type", "etag", "last-modified"})


@dataclass(frozen=True, slots=True)
class Failure:
    """One thing that is wrong with a request. `where`: the parameter, or the key of the body."""

    where: str
    problem: str
    hint: str

    def __str__(self) -> str:
        return f"{self.where}: {self.problem}{'; ' if self.hint else ''}{self.hint}"


class UnknownInput(HTTPNotFound):
    """A body that names monitors that there are not; tells all of them at once."""

    def __init__(self, failures: Sequence[Failure]) -> None:
        super().__init__(text="\n".join(map(str, failures)) + "\n")
        self.diagnostics = tuple(failures)


class BadInput(HTTPBadRequest):
    """A query or a body that cannot be taken; tells all of its failures at once."""

    def __init__(self, failures: Sequence[Failure]) -> None:
        super().__init__(text="\n".join(map(str, failures)) + "\n")
        self.diagnostics = tuple(failures)


@contextlib.contextmanager
def find_monitor(request: Request) -> Iterator[str]:
    """Give the monitor name of the path. A KeyError in the block means that no monitor has this name (404)."""
    name: str = request.match_info["name"]
    try:
        yield name
    except KeyError:
        raise HTTPNotFound(text=f"no monitor is called {name!r}; GET /monitors lists them\n") from None


def answer_with_problems(application: Application) -> None:
    """Whatever goes wrong in this application is answered as a problem."""

    async def on_error(_: Request, error: HTTPException) -> Response:
        return error if error.status < 400 else problem_of(error)  # noqa: PLR2004 - the first error

    async def on_bug(request: Request, error: Exception) -> Response:
        if isinstance(error, ClientGone):
            raise error
        application.log_failure(request, error)
        return _problem(
            500,
            HTTPStatus.INTERNAL_SERVER_ERROR.phrase,
            "a bug of monitord; its log has more: journalctl -u monitord",
        )

    application.add_exception_handler(HTTPException, on_error)
    application.add_exception_handler(Exception, on_bug)


def problem_of(error: HTTPException) -> Response:
    """The same error as a problem document; fields such as Allow and Retry-After stay."""
    response = _problem(
        error.status,
        error.reason,
        None if error.has_default_text else error.text.strip(),
        error.diagnostics if isinstance(error, (BadInput, UnknownInput)) else (),
    )
    for name, value in error.headers.items():
        if name.lower() not in _OF_THE_BODY:
            response.headers[name] = value
    return response


def _problem(status: int, title: str, detail: str | None, failures: Sequence[Failure] = ()) -> Response:
    document: dict[str, object] = {"type": "about:blank", "title": title, "status": status}
    if detail is not None:
        document["detail"] = detail
    if failures:
        document["errors"] = [asdict(failure) for failure in failures]
    return Response(
        body=json.dumps(document, ensure_ascii=False).encode(), status=status, content_type=CONTENT_TYPE
    )
