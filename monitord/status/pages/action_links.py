"""The page of a link in a notification: /action/{token}. Only its form makes the change.

GET and HEAD change nothing, because email scanners and previews of chat programs open links. The page has no navigation
and no scripts, so that a reverse proxy can publish it and its style sheet without the other pages.
"""

import asyncio
import logging
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from monitord.alerts import ActionLink, ActionLinks, Alerts, LinkAction
from monitord.alerts.action_links import PATH_PREFIX, SILENCE_FOR
from monitord.clock import Clock, time_text
from monitord.dispatch import Matcher, MonitorEntry, Registry
from monitord.errors import ControlError, InvalidValueError
from monitord.history import History
from monitord.status.access.body import comment
from monitord.status.access.operations import InterventionOperations
from monitord.status.access.security import Access
from monitord.web import Application, ClientGone, HTTPException, Request, Response

if TYPE_CHECKING:
    from monitord.status.pages.rendering import Rendering

log = logging.getLogger("monitord")

MAX_NAME_CHARACTERS = 60
FORM_BYTES = 32 * 1024
STORED_WITHIN_S = 3.0

HEADERS = {"Cache-Control": "no-store"}
"""Otherwise `conditional_get` would permit storage. `security` adds the other fields."""


@dataclass(frozen=True, slots=True)
class Obstacle:
    """Why a link does nothing."""

    status: HTTPStatus
    title: str
    text: str = ""


INVALID = Obstacle(
    HTTPStatus.NOT_FOUND,
    "This link is not valid",
    "It may be incomplete, or links have been disabled for the notifier, or the server has a new key.",
)
ENDED = Obstacle(
    HTTPStatus.GONE, "The alert has ended", "The link has no effect on other alerts of the monitor."
)


@dataclass(frozen=True, slots=True)
class Form:
    """The input of the form, as it was sent. The name is not verified. `errors` by field."""

    name: str = ""
    comment: str = ""
    errors: Mapping[str, str] = field(default_factory=dict)


class ActionLinkPages:
    """Adds the page to an application."""

    def __init__(
        self,
        alerts: Alerts,
        links: ActionLinks,
        registry: Registry,
        interventions: InterventionOperations,
        access: Access,
        history: History,
        clock: Clock,
    ) -> None:
        self._alerts = alerts
        self._links = links
        self._registry = registry
        self._interventions = interventions
        self._access = access
        self._history = history
        self._clock = clock
        self._loading = asyncio.Lock()
        self._rendering: Rendering | None = None

    def add_to(self, application: Application) -> None:
        path = PATH_PREFIX + "{token}"
        application.router.add_get(path, self._answer)
        application.router.add_post(path, self._answer, client_max_size=FORM_BYTES)

    async def _answer(self, request: Request) -> Response:
        try:
            return await self._respond(request)
        except (HTTPException, ClientGone):
            raise
        except Exception:
            # Not logged by the framework, which would log the path.
            number = secrets.token_hex(6)
            log.exception("error %s in the page of an action link", number)
            return Response(
                text=f"Internal error {number}; see the log of the server.\n", status=500, headers=HEADERS
            )

    async def _respond(self, request: Request) -> Response:
        link = await self._alerts.find_link(request.match_info["token"])
        if link is None:
            self._access.reject_link(request)
            return await self._page(INVALID.status, {"obstacle": INVALID})
        form = await _read_form(request) if request.method == "POST" else Form()
        # From here to the end of the change nothing is awaited: two requests cannot both find the link unused.
        alert = self._alerts.alert_with_id(link.alert)
        entry = None if alert is None else self._registry.entries.get(alert.monitor)
        obstacle = self._obstacle(link, entry)
        if obstacle is not None or entry is None:
            obstacle = obstacle or ENDED
            return await self._page(obstacle.status, self._values(link, entry, obstacle=obstacle))
        if request.method != "POST" or form.errors:
            status = HTTPStatus.BAD_REQUEST if form.errors else HTTPStatus.OK
            return await self._page(status, self._values(link, entry, form=form))
        try:
            done = self._act(link, entry, form)
        except ControlError as error:
            full = Obstacle(HTTPStatus.CONFLICT, "The monitor cannot be silenced", str(error))
            return await self._page(full.status, self._values(link, entry, obstacle=full))
        is_stored = await self._history.wait_until_stored(STORED_WITHIN_S, durable=True)
        status = HTTPStatus.OK if is_stored else HTTPStatus.INSUFFICIENT_STORAGE
        return await self._page(status, self._values(link, entry, done=done, is_stored=is_stored))

    def _obstacle(  # noqa: PLR0911 - rules in their order
        self, link: ActionLink, entry: MonitorEntry | None
    ) -> Obstacle | None:
        """Return why the link does nothing now; None if it can be used."""
        use = self._links.use_of(link)
        if use is not None:
            by = f", by {use.by}" if use.by else ""
            return Obstacle(HTTPStatus.GONE, "This link has been used", f"At {time_text(use.at)}{by}")
        if self._links.is_expired(link):
            return Obstacle(
                HTTPStatus.GONE, "This link has expired", f"It was valid until {time_text(link.expires_at)}."
            )
        if entry is None:
            return ENDED
        incident = entry.state.incident
        if incident is not None and incident.acknowledged_by is not None:
            at = "" if incident.acknowledged_at is None else f" at {time_text(incident.acknowledged_at)}"
            remark = f": {incident.comment}" if incident.comment else ""
            text = f"By {incident.acknowledged_by}{at}{remark}"
            return Obstacle(HTTPStatus.CONFLICT, "The incident is already acknowledged", text)
        if link.action is LinkAction.ACKNOWLEDGE and incident is None:
            return Obstacle(
                HTTPStatus.CONFLICT, "There is no incident to acknowledge", "The monitor is no longer down."
            )
        now = self._clock.now()
        silence = self._registry.silence_of(entry, now)
        if link.action is LinkAction.SILENCE and silence is not None and silence.until >= now + SILENCE_FOR:
            text = f"Until {time_text(silence.until)}, by {silence.by}"
            return Obstacle(HTTPStatus.CONFLICT, "The monitor is already silenced", text)
        return None

    def _act(self, link: ActionLink, entry: MonitorEntry, form: Form) -> str:
        """Make the change, and return it as text. Raises ControlError if there are too many silences."""
        name = comment(form.name)
        # The name is shown in quotes, which it could otherwise end.
        claimed = "" if name is None else ', as "{}"'.format(name.replace('"', "'"))
        by = f"link in notification to {link.notifier}{claimed}"
        if link.action is LinkAction.ACKNOWLEDGE:
            self._interventions.acknowledge(entry.name, by, comment(form.comment))
            done = "The incident is acknowledged"
        else:
            until = self._clock.now() + SILENCE_FOR
            self._interventions.silence(Matcher(names=(entry.name,)), until, comment(form.comment), by)
            done = f"The monitor is silenced until {time_text(until)}"
        self._links.mark_used(link, by)
        return done

    def _values(
        self,
        link: ActionLink,
        entry: MonitorEntry | None,
        *,
        obstacle: Obstacle | None = None,
        form: Form = Form(),
        done: str | None = None,
        is_stored: bool = True,
    ) -> Mapping[str, Any]:
        monitor: Mapping[str, Any] | None = None
        if entry is not None:
            state = entry.state
            monitor = {
                "name": entry.name,
                "title": entry.monitor.settings.context.title,
                "state": state.effective.value,
                "since": state.effective_since,
                "detail": "" if state.last is None else state.last.observation.detail,
            }
        return {
            "is_acknowledgement": link.action is LinkAction.ACKNOWLEDGE,
            "monitor": monitor,
            "notifier": link.notifier,
            "expires_at": link.expires_at,
            "left_s": (link.expires_at - self._clock.now()).total_seconds(),
            "obstacle": obstacle,
            "form": form,
            "done": done,
            "is_stored": is_stored,
            "max_name": MAX_NAME_CHARACTERS,
        }

    async def _page(self, status: HTTPStatus, values: Mapping[str, Any]) -> Response:
        async with self._loading:
            rendering = self._rendering
            if rendering is None:
                # On a thread and with the first request, as for the other pages: see `routes`.
                rendering = await asyncio.to_thread(_new_rendering)
                await rendering.load()
                self._rendering = rendering
        common = {"root": "../", "monitor": None, "done": None, "is_stored": True}
        text = await asyncio.to_thread(rendering.render, "action_link.html", {**common, **values})
        return Response(text=text, status=status, content_type="text/html", headers=HEADERS)


def _new_rendering() -> "Rendering":
    from monitord.status.pages.rendering import Rendering  # noqa: PLC0415 - it takes 2 MiB of memory

    return Rendering()


async def _read_form(request: Request) -> Form:
    """Read the form. Raises the HTTPException of a body that is not a form; an empty body has no fields."""
    if not await request.read():
        return Form()
    fields = await request.form()
    form = Form(fields.get("name", ""), fields.get("comment", ""))
    errors = {}
    if len(form.name) > MAX_NAME_CHARACTERS:
        errors["name"] = f"Longer than {MAX_NAME_CHARACTERS} characters; shorten it."
    try:
        comment(form.comment)
    except InvalidValueError as error:
        errors["comment"] = f"The comment {error}."
    return replace(form, errors=errors)
