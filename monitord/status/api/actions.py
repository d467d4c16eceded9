"""What a request can have the daemon do: check out of turn, and reload. Each answers with how things stand then.

`security` has let the request pass before any of this; the daemon's control records who asked.
"""

import asyncio
from typing import Any

from monitord.status.access.body import read_body
from monitord.status.access.control import Control
from monitord.status.access.problems import find_monitor
from monitord.status.access.responses import encode, json_answer
from monitord.status.access.security import asked_by
from monitord.status.api.openapi import Answer, Endpoint
from monitord.status.model.forms import reload_of, result_of
from monitord.status.model.query import Query
from monitord.status.model.read_model import ReadModel
from monitord.status.model.selection import KEYS, Selection, matcher_of, select
from monitord.web import HTTPConflict, Request, Response

CHECK_WAIT_S = 600.0
"""A check is waited for no longer than this: a place has to come free, and the check has its timeout."""


async def checked(model: ReadModel, control: Control, request: Request) -> bytes:
    """Check the monitor in the path; its result as JSON."""
    with find_monitor(request) as name:
        outcome = await _checked_or_why(control, name, asked_by(request))
    if isinstance(outcome, str):
        raise HTTPConflict(text=f"{name}: {outcome}\n")
    model.refresh()
    return encode(outcome)


async def _checked_or_why(control: Control, name: str, by: str) -> dict[str, Any] | str:
    """The result as JSON, or why there is none. Raises KeyError for an unknown name."""
    try:
        async with asyncio.timeout(CHECK_WAIT_S):
            return result_of(await control.check_now(name, by))
    except TimeoutError:
        return f"the check has not ended yet; see /monitors/{name}"
    except ValueError as error:
        return str(error)
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise  # who asked has gone
        return "it has left the configuration, or the daemon stops: the check was given up"


class Actions:
    """The handlers."""

    def __init__(self, model: ReadModel, control: Control) -> None:
        self._model = model
        self._control = control

    async def check(self, request: Request, _: Query) -> Response:
        await read_body(request, {})
        result = await checked(self._model, self._control, request)
        return changed(self._model, request, b',"result":' + result)

    async def check_all(self, request: Request, _: Query) -> Response:
        """Together, as far as there are slots. One that cannot be checked does not keep the others from it."""
        given = await read_body(request, KEYS)
        chosen = select(matcher_of(given), self._model.registry.watched, lambda _: None)
        by = asked_by(request)
        outcomes = await asyncio.gather(
            *(_checked_or_why(self._control, name, by) for name in chosen.monitors)
        )
        results = [
            {"name": name, "result": None, "problem": outcome}
            if isinstance(outcome, str)
            else {"name": name, "result": outcome, "problem": None}
            for name, outcome in zip(chosen.monitors, outcomes, strict=True)
        ]
        return changed_all(self._model, request, chosen, b',"results":' + encode(results))

    async def reload(self, request: Request, _: Query) -> Response:
        await read_body(request, {})
        outcome = await self._control.reload(asked_by(request))
        self._model.refresh()
        return json_answer(reload_of(outcome), 200 if outcome.ok else 422)


def changed(model: ReadModel, request: Request, more: bytes = b"") -> Response:
    """The monitor in the path as it is now. It may have left meanwhile."""
    model.refresh()
    with find_monitor(request) as name:
        monitor = model.monitors[name].brief()
    body = b'{"by":%s%s,"monitor":%s}' % (encode(asked_by(request)), more, monitor)
    return json_answer(body)


def changed_all(model: ReadModel, request: Request, chosen: Selection, more: bytes = b"") -> Response:
    """The monitors that a request acted on as they are now. One may have left meanwhile."""
    model.refresh()
    there = model.monitors
    monitors = b",".join([there[name].brief() for name in chosen.monitors if name in there])
    skipped = encode([{"name": name, "detail": why} for name, why in chosen.skipped.items()])
    body = b'{"by":%s%s,"monitors":[%s],"skipped":%s}' % (encode(asked_by(request)), more, monitors, skipped)
    return json_answer(body)


def action_endpoints(model: ReadModel, control: Control) -> list[Endpoint]:
    it = Actions(model, control)
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
            "/check",
            it.check_all,
            "check_all",
            "Check at once: all monitors that the body selects",
            {200: Answer("The results, and the monitors as they are then.", "CheckedAll")},
            body="Selection",
            needs_body=True,
            problems=[404, 409],
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
