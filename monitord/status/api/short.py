"""Short forms of frequent requests, for curl.

GET  /healthz                 200 while the daemon runs and its dispatcher is not overdue, 503 otherwise
GET  /status                  the status of the daemon, the number of monitors by state, the last reload
GET  /monitors                all monitors with their last results, the worst first
GET  /monitors/{name}         a monitor
POST /monitors/{name}/check   check a monitor now, and return the result
POST /heartbeats/{name}       send a heartbeat: see `heartbeats`
POST /reload                  reload the configuration; 200 if it is applied, 422 if it is rejected
"""

from collections.abc import Callable

from monitord.status.access.operations import DaemonOperations
from monitord.status.access.problems import find_monitor
from monitord.status.access.responses import compact_json_response, encode
from monitord.status.access.security import requested_by
from monitord.status.api.actions import check_result
from monitord.status.api.heartbeats import add_heartbeat_routes
from monitord.status.model.daemon_status import DaemonStatus
from monitord.status.model.listing import all_of
from monitord.status.model.read_model import ReadModel
from monitord.status.model.representations import reload_of
from monitord.web import Application, Request, Response

MAX_OVERDUE_S = 5.0
"""The health check fails if the dispatcher is overdue for longer."""


class ShortForms:
    """Handlers of the short forms."""

    def __init__(
        self,
        model: ReadModel,
        status: DaemonStatus,
        control: DaemonOperations,
        overdue_s: Callable[[], float],
    ) -> None:
        self._model = model
        self._status = status
        self._control = control
        self._overdue_s = overdue_s

    async def healthz(self, _: Request) -> Response:
        overdue_s = self._overdue_s()
        headers = {"Cache-Control": "no-store"}
        if self._control.state in {"running", "reloading"} and overdue_s < MAX_OVERDUE_S:
            return Response(text="ok\n", headers=headers)
        return Response(
            status=503,
            text=f"{self._control.state}; the dispatcher is {overdue_s:.1f} s overdue\n",
            headers=headers,
        )

    async def status(self, _: Request) -> Response:
        return self._status.response()

    async def monitors(self, _: Request) -> Response:
        return self._model.response("worst first", all_of)

    async def monitor(self, request: Request) -> Response:
        with find_monitor(request) as name:
            return compact_json_response(self._model.detail(name))

    async def check(self, request: Request) -> Response:
        result = await check_result(self._model, self._control, request)
        return compact_json_response(b'{"name":' + encode(request.match_info["name"]) + b"," + result[1:])

    async def reload(self, request: Request) -> Response:
        outcome = await self._control.reload(requested_by(request))
        self._model.refresh()
        return compact_json_response(reload_of(outcome), 200 if outcome.ok else 422)


def add_short_forms(
    application: Application,
    model: ReadModel,
    status: DaemonStatus,
    control: DaemonOperations,
    overdue_s: Callable[[], float],
) -> None:
    forms = ShortForms(model, status, control, overdue_s)
    router = application.router
    router.add_get("/healthz", forms.healthz)
    router.add_get("/status", forms.status)
    router.add_get("/monitors", forms.monitors)
    router.add_get("/monitors/{name}", forms.monitor)
    router.add_post("/monitors/{name}/check", forms.check)
    router.add_post("/reload", forms.reload)
    add_heartbeat_routes(router, control)
