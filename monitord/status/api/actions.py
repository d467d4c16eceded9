"""Changes of the daemon: checks on demand, and reloads. `security` has authorized the request before."""

import asyncio

from monitord.model import Json, Result
from monitord.status.access.body import read_body
from monitord.status.access.operations import DaemonOperations
from monitord.status.access.problems import find_monitor
from monitord.status.access.responses import compact_json_response, encode
from monitord.status.access.security import requested_by
from monitord.status.api.openapi import ApiEndpoint, ResponseSpec
from monitord.status.model.query import QueryValues
from monitord.status.model.read_model import ReadModel
from monitord.status.model.representations import reload_of, result_of
from monitord.status.model.selection import KEYS, Selection, matcher_of, select
from monitord.web import HTTPConflict, Request, Response

CHECK_WAIT_S = 600.0
"""The longest wait for a check, which includes the wait for a slot."""


async def check_result(model: ReadModel, control: DaemonOperations, request: Request) -> bytes:
    """Check the monitor in the path, and return its result as JSON. Raises HTTPConflict if that is not possible."""
    with find_monitor(request) as name:
        outcome = await _check(control, name, requested_by(request))
    if isinstance(outcome, str):
        raise HTTPConflict(text=f"{name}: {outcome}\n")
    model.refresh()
    return encode(outcome)


async def check_outcome(control: DaemonOperations, name: str, by: str, within_s: float) -> Result | str:
    """The result of a check that is requested now, or why there is none.

    Raises KeyError if there is no such monitor, and TimeoutError if the check is still running after `within_s`.
    """
    try:
        async with asyncio.timeout(within_s):
            return await control.check_now(name, by)
    except ValueError as error:
        return str(error)
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise  # the client has disconnected
        return "the check was cancelled, because the monitor was removed or the daemon is stopping"


async def _check(control: DaemonOperations, name: str, by: str) -> Json | str:
    """The result as JSON, or why there is none. Raises KeyError if there is no such monitor."""
    try:
        outcome = await check_outcome(control, name, by, CHECK_WAIT_S)
    except TimeoutError:
        return f"the check is still running; see GET /api/v1/monitors/{name}"
    return outcome if isinstance(outcome, str) else result_of(outcome)


class Actions:
    """Handlers of the endpoints."""

    def __init__(self, model: ReadModel, control: DaemonOperations) -> None:
        self._model = model
        self._control = control

    async def check(self, request: Request, _: QueryValues) -> Response:
        await read_body(request, {})
        result = await check_result(self._model, self._control, request)
        return monitor_response(self._model, request, b',"result":' + result)

    async def check_all(self, request: Request, _: QueryValues) -> Response:
        """Check the selected monitors at the same time, up to the number of slots."""
        selection = select(
            matcher_of(await read_body(request, KEYS)), self._model.registry.entries, lambda _: None
        )
        by = requested_by(request)
        outcomes = await asyncio.gather(*(_check(self._control, name, by) for name in selection.monitors))
        results = [
            {"name": name, "result": None, "problem": outcome}
            if isinstance(outcome, str)
            else {"name": name, "result": outcome, "problem": None}
            for name, outcome in zip(selection.monitors, outcomes, strict=True)
        ]
        return monitors_response(self._model, request, selection, b',"results":' + encode(results))

    async def reload(self, request: Request, _: QueryValues) -> Response:
        await read_body(request, {})
        outcome = await self._control.reload(requested_by(request))
        self._model.refresh()
        return compact_json_response(reload_of(outcome), 200 if outcome.ok else 422)


def monitor_response(model: ReadModel, request: Request, more: bytes = b"") -> Response:
    """Respond with the monitor in the path after a change. Raises HTTPNotFound if it no longer exists."""
    model.refresh()
    with find_monitor(request) as name:
        monitor = model.monitors[name].brief()
    body = b'{"by":%s%s,"monitor":%s}' % (encode(requested_by(request)), more, monitor)
    return compact_json_response(body)


def monitors_response(
    model: ReadModel, request: Request, selection: Selection, more: bytes = b""
) -> Response:
    """Respond with the selected monitors after a change, except for monitors that no longer exist."""
    model.refresh()
    monitors = b",".join(
        [model.monitors[name].brief() for name in selection.monitors if name in model.monitors]
    )
    skipped = encode([{"name": name, "problem": reason} for name, reason in selection.skipped.items()])
    body = b'{"by":%s%s,"monitors":[%s],"skipped_monitors":%s}' % (
        encode(requested_by(request)),
        more,
        monitors,
        skipped,
    )
    return compact_json_response(body)


def action_endpoints(model: ReadModel, control: DaemonOperations) -> list[ApiEndpoint]:
    actions = Actions(model, control)
    return [
        ApiEndpoint(
            "POST",
            "/monitors/{name}/check",
            actions.check,
            "checkMonitor",
            "Monitors",
            "Check a monitor now",
            "Runs a check outside the schedule and waits for its result, at most ten minutes. A paused monitor is "
            "checked as well.",
            {200: ResponseSpec("The result, and the monitor after the check.", "Checked")},
            problems=[409],
        ),
        ApiEndpoint(
            "POST",
            "/check",
            actions.check_all,
            "checkMonitors",
            "Monitors",
            "Check several monitors now",
            "Runs checks of the selected monitors outside the schedule and waits for their results. A monitor that "
            "cannot be checked does not affect the others.",
            {200: ResponseSpec("The results, and the monitors after the checks.", "CheckedAll")},
            body="Selection",
            needs_body=True,
            problems=[404, 409],
        ),
        ApiEndpoint(
            "POST",
            "/reload",
            actions.reload,
            "reloadConfiguration",
            "Daemon",
            "Reload the configuration",
            "Reads the configuration again and applies it as a whole. If it has an error, nothing is changed.",
            {
                200: ResponseSpec("The configuration has been applied.", "Reload"),
                422: ResponseSpec("The configuration has been rejected; nothing has changed.", "Reload"),
            },
        ),
    ]
