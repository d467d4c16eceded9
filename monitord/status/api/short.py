"""The short forms, for people with curl: what is asked for most, at addresses that fit in the head.

GET  /healthz                 200 while the daemon runs and its dispatcher keeps up, 503 otherwise
GET  /status                  the daemon and its monitors in numbers, and how the last reload ended
GET  /monitors                every monitor with its last result, worst first
GET  /monitors/{name}         one monitor
POST /monitors/{name}/check   check at once; answers with the result
POST /heartbeats/{name}       a ping: see `heartbeats`
POST /reload                  read the configuration anew; 200 when it is in force, 422 when it is refused
"""

from collections.abc import Callable

from monitord.status.access.control import Control
from monitord.status.access.problems import find_monitor
from monitord.status.access.responses import encode, json_answer
from monitord.status.access.security import asked_by
from monitord.status.api.actions import checked
from monitord.status.api.heartbeats import add_heartbeat_routes
from monitord.status.model.daemon_status import DaemonStatus
from monitord.status.model.forms import reload_of
from monitord.status.model.listing import all_of
from monitord.status.model.read_model import ReadModel
from monitord.web import Application, Request, Response

BEHIND_S = 5.0
"""A dispatcher that is further behind is not healthy."""


class ShortForms:
    """The handlers."""

    def __init__(
        self, model: ReadModel, status: DaemonStatus, control: Control, overdue_s: Callable[[], float]
    ) -> None:
        self._model = model
        self._status = status
        self._control = control
        self._overdue_s = overdue_s

    async def healthz(self, _: Request) -> Response:
        overdue_s = self._overdue_s()
        headers = {"Cache-Control": "no-store"}
        if self._control.state in {"running", "reloading"} and overdue_s < BEHIND_S:
            return Response(text="ok\n", headers=headers)
        return Response(
            status=503,
            text=f"{self._control.state}; the dispatcher is {overdue_s:.1f} s behind\n",
            headers=headers,
        )

    async def status(self, _: Request) -> Response:
        return self._status.response()

    async def monitors(self, _: Request) -> Response:
        return self._model.response("worst first", all_of)

    async def monitor(self, request: Request) -> Response:
        with find_monitor(request) as name:
            return json_answer(self._model.detail(name))

    async def check(self, request: Request) -> Response:
        result = await checked(self._model, self._control, request)
        return json_answer(b'{"name":' + encode(request.match_info["name"]) + b"," + result[1:])

    async def reload(self, request: Request) -> Response:
        outcome = await self._control.reload(asked_by(request))
        self._model.refresh()
        return json_answer(reload_of(outcome), 200 if outcome.ok else 422)


def add_short_forms(
    application: Application,
    model: ReadModel,
    status: DaemonStatus,
    control: Control,
    overdue_s: Callable[[], float],
) -> None:
    it = ShortForms(model, status, control, overdue_s)
    router = application.router
    router.add_get("/healthz", it.healthz)
    router.add_get("/status", it.status)
    router.add_get("/monitors", it.monitors)
    router.add_get("/monitors/{name}", it.monitor)
    router.add_post("/monitors/{name}/check", it.check)
    router.add_post("/reload", it.reload)
    add_heartbeat_routes(router, control)
