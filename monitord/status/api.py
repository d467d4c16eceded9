"""The status endpoint: what is, for whoever may open the socket; changes, for root and the group only.

GET  /healthz                 200 while the daemon runs and its dispatcher keeps up, 503 otherwise
GET  /status                  the daemon and its monitors in numbers, and how the last reload ended
GET  /monitors                every monitor with its last result, worst first
GET  /monitors/{name}         one monitor
POST /monitors/{name}/check   check at once; answers with the result
POST /heartbeats/{name}       a beat: see `heartbeats`
POST /reload                  read the configuration anew; 200 when it is in force, 422 when it is refused
"""

import asyncio
from collections.abc import Callable

from monitord.status.control import Control, require_change_rights
from monitord.status.heartbeats import add_heartbeat_routes
from monitord.status.snapshot import Json, Snapshots, reload_of, result_of
from monitord.web import (
    Application,
    Handler,
    HTTPConflict,
    HTTPNotFound,
    Request,
    Response,
    StreamResponse,
    json_response,
)

CHECK_WAIT_S = 600.0
"""`POST …/check` waits for its result no longer than this: a place has to come free, and the check has its timeout."""

BEHIND_S = 5.0
"""A dispatcher that is further behind is not healthy."""


class StatusApi:
    """The handlers, over the read model and the daemon's control."""

    def __init__(self, snapshots: Snapshots, control: Control, overdue_s: Callable[[], float]) -> None:
        self._snapshots = snapshots
        self._control = control
        self._overdue_s = overdue_s

    async def healthz(self, _: Request) -> Response:
        overdue_s = self._overdue_s()
        if self._control.state in {"running", "reloading"} and overdue_s < BEHIND_S:
            return Response(text="ok\n")
        return Response(
            status=503, text=f"{self._control.state}; the dispatcher is {overdue_s:.1f} s behind\n"
        )

    async def status(self, _: Request) -> Response:
        return json_response(self._snapshots.status(self._control))

    async def monitors(self, _: Request) -> Response:
        return json_response(self._snapshots.monitors())

    async def monitor(self, request: Request) -> Response:
        name = request.match_info["name"]
        try:
            return json_response(self._snapshots.monitor(name))
        except KeyError:
            raise _no_such_monitor(name) from None

    async def check(self, request: Request) -> Response:
        asked_by = require_change_rights(request.peer)
        name = request.match_info["name"]
        try:
            async with asyncio.timeout(CHECK_WAIT_S):
                result = await self._control.check_now(name, asked_by)
        except KeyError:
            raise _no_such_monitor(name) from None
        except TimeoutError:
            raise HTTPConflict(text=f"{name}: the check has not ended yet; see /monitors/{name}\n") from None
        return json_response({"name": name, **result_of(result)})

    async def reload(self, request: Request) -> Response:
        asked_by = require_change_rights(request.peer)
        outcome = await self._control.reload(asked_by)
        return json_response(reload_of(outcome), status=200 if outcome.ok else 422)


def _no_such_monitor(name: str) -> HTTPNotFound:
    return HTTPNotFound(text=f"no monitor is called {name!r}; GET /monitors lists them\n")


async def _never_cache(request: Request, handler: Handler) -> StreamResponse:
    response = await handler(request)
    response.headers.setdefault("Cache-Control", "no-store")
    response.headers.setdefault("X-Content-Type-Options", "nosniff")
    return response


def build_application(snapshots: Snapshots, control: Control, overdue_s: Callable[[], float]) -> Application:
    """The application that the status socket serves."""
    api = StatusApi(snapshots, control, overdue_s)
    application = Application(middlewares=[_never_cache])
    router = application.router
    router.add_get("/healthz", api.healthz)
    router.add_get("/status", api.status)
    router.add_get("/monitors", api.monitors)
    router.add_get("/monitors/{name}", api.monitor)
    router.add_post("/monitors/{name}/check", api.check)
    router.add_post("/reload", api.reload)
    add_heartbeat_routes(router, control)
    return application


__all__ = ["Json", "StatusApi", "build_application"]
