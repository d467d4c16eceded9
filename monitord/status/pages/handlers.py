"""The HTML pages: /, /m/{name}, /incidents, /daemon, badges, and their files. `lists` has the other lists,
`changes` the forms, and `posts` the posts of public pages.

Rendered on the server, complete without JavaScript; `static/live.js` updates open pages. Addresses in pages are
relative, so that a proxy may publish them under any path. No page waits for the history longer than HISTORY_WAIT_S,
and none blocks the event loop longer than a slice.
"""

import hashlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from monitord.badges import badge
from monitord.conditional_requests import is_among
from monitord.dispatch import Matcher
from monitord.model import Incident, State
from monitord.status.access.security import has_write_access
from monitord.status.api.history import first_page
from monitord.status.model.cluster import is_at_this_location
from monitord.status.model.host_monitors import find_host_monitor
from monitord.status.model.objectives import objective_summary
from monitord.status.model.read_model import KEPT_MARKS
from monitord.status.pages import wording
from monitord.status.pages.background import BackgroundRead
from monitord.status.pages.changes import ChangeHandlers
from monitord.status.pages.cluster_view import HostRows, cluster_page_view, locations_view
from monitord.status.pages.daemon_view import daemon_view
from monitord.status.pages.frame import Frame
from monitord.status.pages.lists import ListHandlers
from monitord.status.pages.monitor_view import (
    RANGES,
    UPTIME_WINDOWS,
    USUAL_RANGE,
    PastView,
    monitor_view,
    past_view,
    with_fields,
)
from monitord.status.pages.overview import Filter, filter_of, overview
from monitord.status.pages.parts import PageParts
from monitord.status.pages.posts import PostPageHandlers
from monitord.status.pages.rendering import Rendering
from monitord.status.pages.rows import Rows
from monitord.status.pages.uptimes import Uptimes
from monitord.web import (
    Application,
    HTTPBadRequest,
    HTTPException,
    HTTPInternalServerError,
    HTTPNotFound,
    HTTPNotModified,
    Request,
    Response,
    json_response,
)

INCIDENTS_PER_PAGE = 50
BADGE_FRESH_S = 30
LONGEST_REVISION = 18
"""Digits."""

FOR_EVER = "public, max-age=31536000, immutable"

TONES = {"up": "good", "degraded": "fair", "down": "bad", "unreachable": "odd", "unknown": "odd"}
GOOD_RATIO, FAIR_RATIO = 0.999, 0.99


class PageHandlers:
    """The handlers, and their state between requests."""

    def __init__(self, parts: PageParts) -> None:
        self._parts = parts
        self._dispatcher = parts.dispatcher
        self._model = parts.model
        self._status = parts.status
        self._control = parts.control
        self._past = parts.past
        self._clock = parts.clock
        self._rendering = Rendering()
        self._frame = Frame(parts, self._rendering)
        self.changes = ChangeHandlers(parts, self._frame)
        self.lists = ListHandlers(parts, self._frame)
        self.posts = PostPageHandlers(parts, self._frame)
        self._uptimes = Uptimes(parts.past, parts.model)
        self._filling = BackgroundRead("the last results for the overview")
        self._rows = Rows(parts.model, self._rendering, parts.clock)
        self._hosts = HostRows()
        self._run = f"{int(parts.clock.now().timestamp() * 1000):x}"

    async def close(self) -> None:
        await self._filling.close()
        await self._uptimes.close()

    # -- overview -----------------------------------------------------------------------------------------

    async def overview(self, request: Request) -> Response:
        await self._refresh()
        query = request.query
        row_filter = filter_of(query.get("q", ""), query.get("state", ""), query.get("tag", ""))
        shown = (
            row_filter,
            self._control.state,
            self._frame.reload_error(),
            self._status.failing_notifiers(),
            self._frame.cluster_marks(),
            has_write_access(request),
            self._hosts.refresh(self._model.cluster()) and self._hosts.structure,
        )
        mark = hashlib.sha256(repr(shown).encode()).hexdigest()[:8]
        tag = f'"{self._run}-{self._model.revision}-{mark}"'
        if is_among(tag, ", ".join(request.headers.getall("If-None-Match", ()))):
            # Compared before anything is rendered, unlike in `conditional_get`.
            raise HTTPNotModified(headers={"ETag": tag, "Cache-Control": "no-cache"})
        view = overview(self._rows, row_filter, self._hosts.rows)
        marks = self._live_marks()
        rows = {section.key: await self._rows.rendered(section.names) for section in view.sections}
        values = {"view": view, "row_filter": row_filter, "rows": rows, **marks}
        return await self._frame.page(request, "overview.html", values, tag=tag)

    async def changed_rows(self, request: Request) -> Response:
        """The changes since a revision, as JSON; a page with an older structure is loaded again."""
        await self._refresh()
        since = request.query.get("since", "0")
        if not since.isdecimal() or len(since) > LONGEST_REVISION:
            raise HTTPBadRequest(text="since must be the revision of a page, a number\n")
        names = [name for name, record in self._model.monitors.items() if record.revision > int(since)]
        self._hosts.refresh(self._model.cluster())
        marks, view = self._live_marks(), overview(self._rows, Filter(), self._hosts.rows)
        texts = await self._rows.rendered(names)
        return json_response(
            {**marks, "headline": view.headline, "rows": dict(zip(names, texts, strict=False))}
        )

    async def _refresh(self) -> None:
        """Refresh the data of the rows. Slow reads of the history continue in the background."""
        await self._rendering.load()
        self._model.refresh()
        unfilled = [name for name, record in self._model.monitors.items() if not record.is_filled]
        if self._past.is_active and unfilled:
            self._filling.begin(lambda: self._fill(unfilled))
        await self._filling.wait()
        await self._uptimes.refresh()
        self._rows.refresh()

    async def _fill(self, names: Sequence[str]) -> None:
        for name in names:
            self._model.fill(name, await self._past.results(name, limit=KEPT_MARKS))

    def _live_marks(self) -> Mapping[str, Any]:
        # A page is loaded again when the state of a monitor of another host changes.
        structure = f"{self._rows.structure}{self._hosts.structure}"
        return {"run": self._run, "revision": self._model.revision, "structure": structure}

    # -- the other pages ----------------------------------------------------------------------------------

    async def monitor(self, request: Request) -> Response:
        await self._refresh()
        name = request.match_info["name"]
        entry, record = self._dispatcher.entries.get(name), self._model.monitors.get(name)
        if entry is None or record is None:
            return await self._host_monitor(request, name)
        shown = request.query.get("range", USUAL_RANGE)
        if shown not in RANGES:
            raise HTTPBadRequest(text=f"range must be one of {', '.join(RANGES)}\n")
        past: PastView | None = None
        if self._past.is_active:
            past = await self._parts.bounded(past_view(self._past, name, shown, self._clock.now()))
        # A silence of several monitors is ended where all of them are shown.
        silence = record.silence
        is_of_this = silence is not None and silence.matcher == Matcher((name,))
        values = {
            "view": monitor_view(
                entry,
                record.marks.unpacked(),
                self._clock,
                objective_summary(entry, self._model.registry),
            ),
            "locations": None
            if record.votes is None
            else locations_view(record.votes, entry.monitor.settings),
            "is_at_this_location": is_at_this_location(self._model.cluster(), entry),
            "silence": silence,
            "silence_to_end": silence.id if silence is not None and is_of_this else None,
            "past": past,
            "failures": with_fields(entry, () if past is None else past.failures, record.failures),
            "down": State.DOWN,
            "is_active": self._past.is_active,
            "shown": shown,
            "ranges": tuple(RANGES),
        }
        return await self._frame.page(request, "monitor.html", values)

    async def host_monitor(self, request: Request) -> Response:
        """A monitor of another host."""
        return await self._host_monitor(request, "{host}/{name}".format_map(request.match_info))

    async def _host_monitor(self, request: Request, name: str) -> Response:
        view = self._model.cluster()
        shown = find_host_monitor(view, name)
        if shown is None:
            raise HTTPNotFound(text=f"no monitor has the name {name!r}\n")
        return await self._frame.page(request, "host_monitor.html", {"view": shown})

    async def incidents(self, request: Request) -> Response:
        await self._rendering.load()
        before: datetime | None = None
        if "before" in request.query:
            try:
                before = datetime.fromisoformat(request.query["before"])
            except ValueError:
                raise HTTPBadRequest(text="before must be a time such as 2026-11-26T14:02:07Z\n") from None
            before = before if before.tzinfo is not None else before.replace(tzinfo=UTC)
        incidents = await self._parts.bounded(
            self._past.incidents(limit=INCIDENTS_PER_PAGE + 1, before=before)
        )
        shown, following = first_page(incidents or (), INCIDENTS_PER_PAGE)
        if before is None:
            # Open incidents first. They are known without a history, and before they are stored in it.
            current = {
                entry.state.incident.id: entry.state.incident
                for entry in self._dispatcher.entries.values()
                if entry.state.incident
            }
            shown = sorted(
                [*current.values(), *(incident for incident in shown if incident.id not in current)],
                key=lambda incident: (incident.closed_at is None, incident.opened_at),
                reverse=True,
            )
        values = {
            "incidents": shown,
            "open": sum(incident.closed_at is None for incident in shown),
            "is_first": before is None,
            "is_slow": incidents is None,
            "is_active": self._past.is_active,
            "older": None if following is None else wording.machine_time_exact(following),
            "known": frozenset(self._dispatcher.entries),
            "lasted": _lasted,
            "now": self._clock.now(),
        }
        return await self._frame.page(request, "incidents.html", values)

    async def daemon(self, request: Request) -> Response:
        await self._rendering.load()
        status = self._status.current()
        view = daemon_view(
            status,
            self._dispatcher,
            self._dispatcher.overdue_s(),
            self._past.stats() if self._past.is_active else None,
        )
        cluster = self._model.cluster()
        values = {
            "view": view,
            "status": status,
            "reload": self._control.last_reload,
            "cluster": None if cluster is None else cluster_page_view(cluster),
        }
        return await self._frame.page(request, "daemon.html", values)

    async def badge(self, request: Request) -> Response:
        name = request.match_info["name"]
        entry = self._dispatcher.entries.get(name)
        if entry is None:
            return _svg(badge(name, "not configured", "none"), status=404)
        kind = request.query.get("kind", "state")
        if kind not in {"state", "uptime"}:
            raise HTTPBadRequest(text="kind must be state or uptime\n")
        if kind == "uptime":
            window = request.query.get("window", "30d")
            if window not in UPTIME_WINDOWS:
                raise HTTPBadRequest(text=f"window must be one of {', '.join(UPTIME_WINDOWS)}\n")
            now = self._clock.now()
            uptimes = await self._parts.bounded(self._past.uptimes([name], [(now - RANGES[window], now)]))
            ratio = uptimes[name][0].ratio if uptimes else None
            text, tone = "no data", "none"
            if ratio is not None:
                text = wording.percent(ratio)
                tone = "good" if ratio >= GOOD_RATIO else "fair" if ratio >= FAIR_RATIO else "bad"
            return _svg(badge(f"{name} {window}", text, tone))
        state = entry.state.effective.value
        return _svg(badge(name, state, TONES.get(state, "none")))

    # -- files --------------------------------------------------------------------------------------------

    async def static(self, request: Request) -> Response:
        return await self._file(request, request.match_info["file"])

    async def favicon(self, request: Request) -> Response:
        return await self._file(request, "favicon.svg")

    async def _file(self, request: Request, name: str) -> Response:
        file = await self._rendering.static(name)
        if file is None:
            raise HTTPNotFound
        is_named = request.query.get("v") == file.digest
        headers = {"ETag": f'"{file.digest}"', "Cache-Control": FOR_EVER if is_named else "no-cache"}
        return Response(body=file.body, content_type=file.content_type, headers=headers)

    # -- responses ----------------------------------------------------------------------------------------

    async def error(self, application: Application, request: Request, error: Exception) -> Response:
        """An error as a page."""
        if isinstance(error, HTTPException):
            response, detail = error, "" if error.has_default_text else error.text.strip()
        else:
            number = application.log_failure(request, error)
            response, detail = HTTPInternalServerError(), f"Error {number}: see the log of the server."
        if response.status < 400:  # noqa: PLR2004 - the first error
            raise error
        await self._rendering.load()
        values = {"status_code": response.status, "phrase": response.reason, "detail": detail}
        headers = {name: value for name, value in response.headers.items() if name == "Allow"}
        return await self._frame.page(request, "error.html", values, status=response.status, headers=headers)


def _lasted(incident: Incident, now: datetime) -> float:
    return ((incident.closed_at or now) - incident.opened_at).total_seconds()


def _svg(picture: str, *, status: int = 200) -> Response:
    """An image that pages of other origins may embed (`Cross-Origin-Resource-Policy`), cached for a short time."""
    headers = {"Cross-Origin-Resource-Policy": "cross-origin", "Cache-Control": f"max-age={BADGE_FRESH_S}"}
    return Response(text=picture, status=status, content_type="image/svg+xml; charset=utf-8", headers=headers)
