"""What a request can have the daemon do: check out of turn, and reload. Each answers with how things stand then.

`security` has let the request pass before any of this; the daemon's control records who asked.
"""

import asyncio

from monitord.status.body import read_body
from monitord.status.control import Control
from monitord.status.openapi import Answer, Endpoint
from monitord.status.query import Query
from monitord.status.reads import Reads, find_monitor
from monitord.status.rendered import encode
from monitord.status.security import asked_by
from monitord.status.snapshot import reload_of, result_of
from monitord.web import HTTPConflict, Request, Response

CHECK_WAIT_S = 600.0
"""A check is waited for no longer than this: a place has to come free, and the check has its timeout."""


async def checked(reads: Reads, control: Control, request: Request) -> bytes:
    """Check the monitor in the path; its result as JSON."""
    with find_monitor(request) as name:
        try:
            async with asyncio.timeout(CHECK_WAIT_S):
                result = await control.check_now(name, asked_by(request))
        except TimeoutError:
            raise HTTPConflict(text=f"{name}: the check has not ended yet; see /monitors/{name}\n") from None
        except ValueError as error:
            raise HTTPConflict(text=f"{name}: {error}\n") from None
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise  # who asked has gone
            raise HTTPConflict(
                text=f"{name}: it has left the configuration, or the daemon stops: the check was given up\n"
            ) from None
    reads.outdate()
    return encode(result_of(result))


class Actions:
    """The handlers."""

    def __init__(self, reads: Reads, control: Control) -> None:
        self._reads = reads
        self._control = control

    async def check(self, request: Request, _: Query) -> Response:
        await read_body(request, {})
        result = await checked(self._reads, self._control, request)
        return changed(self._reads, request, b',"result":' + result)

    async def reload(self, request: Request, _: Query) -> Response:
        await read_body(request, {})
        outcome = await self._control.reload(asked_by(request))
        self._reads.outdate()
        return _json(reload_of(outcome), 200 if outcome.ok else 422)


def changed(reads: Reads, request: Request, more: bytes = b"") -> Response:
    """The monitor in the path as it is now. It may have left meanwhile."""
    reads.outdate()
    with find_monitor(request) as name:
        monitor = reads.brief(name)
    body = b'{"by":%s%s,"monitor":%s}' % (encode(asked_by(request)), more, monitor)
    return Response(body=body, content_type="application/json")


def _json(value: object, status: int) -> Response:
    return Response(body=encode(value), status=status, content_type="application/json")


def action_endpoints(reads: Reads, control: Control) -> list[Endpoint]:
    it = Actions(reads, control)
    return [
        Endpoint(
            "POST",
            "/monitors/{name}/check",
            it.check,
            "check",
            "Check at once",
            {200: Answer("The result, and the monitor as it is then.", "Checked")},
            problems=[409],
        ),
        Endpoint(
            "POST",
            "/reload",
            it.reload,
            "reload",
            "Read the configuration anew",
            {
                200: Answer("It is in force.", "Reload"),
                422: Answer("It is refused, and nothing has changed.", "Reload"),
            },
        ),
    ]
