"""The frame of all pages, and notices about the outcome of changes."""

import asyncio
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from monitord.clock import Clock
from monitord.status.access.security import has_write_access
from monitord.status.api.openapi import PREFIX
from monitord.status.pages.parts import PageParts
from monitord.status.pages.rendering import Rendering
from monitord.web import Request, Response

EVENTS = f"{PREFIX}/events".removeprefix("/")

MAX_NOTICES = 100
NOTICE_SHOWN_S = 600.0


@dataclass(frozen=True, slots=True)
class Notice:
    """The outcome of a change. `is_problem`: it failed, or is not stored."""

    text: str
    is_problem: bool = False


class Notices:
    """Notices for the pages to which changes redirect.

    A URL contains only a random key, so that links of other sites cannot show texts of their own on a page.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._notices: dict[str, tuple[Notice, float]] = {}

    def add(self, notice: Notice) -> str:
        """Keep a notice for NOTICE_SHOWN_S, and return its key."""
        key = secrets.token_urlsafe(9)
        self._notices[key] = (notice, self._clock.monotonic_s() + NOTICE_SHOWN_S)
        if len(self._notices) > MAX_NOTICES:
            del self._notices[next(iter(self._notices))]
        return key

    def get(self, key: str) -> Notice | None:
        notice, until_s = self._notices.get(key, (None, 0.0))
        return notice if self._clock.monotonic_s() < until_s else None


class Frame:
    """Renders pages with their common parts."""

    def __init__(self, parts: PageParts, rendering: Rendering) -> None:
        self._parts = parts
        self._rendering = rendering
        self.notices = Notices(parts.clock)

    async def page(
        self,
        request: Request,
        template: str,
        values: Mapping[str, Any],
        *,
        tag: str | None = None,
        status: int = 200,
        headers: Mapping[str, str] = {},
    ) -> Response:
        """`values` are those of the template, and may replace the common values."""
        await self._rendering.load()
        common = {
            "root": root_of(request),
            "page": template.removesuffix(".html"),
            "reload_error": self.reload_error(),
            "failing_notifiers": self._parts.status.failing_notifiers(),
            **self.cluster_marks(),
            "events": EVENTS,
            "now": self._parts.clock.now(),
            "notice": self.notices.get(request.query.get("notice", "")),
            "may_change": has_write_access(request),
            "has_posts": bool(self._parts.posts.pages or self._parts.posts.all()),
        }
        text = await asyncio.to_thread(self._rendering.render, template, {**common, **values})
        fields = {"Cache-Control": "no-cache", **headers, **({} if tag is None else {"ETag": tag})}
        return Response(text=text, status=status, content_type="text/html", headers=fields)

    def cluster_marks(self) -> dict[str, bool]:
        """Whether every page shows that the database of the cluster does not respond."""
        view = self._parts.model.cluster()
        return {
            "cluster_error": view is not None and not view.database.is_available,
            "is_agent": view is not None and view.agent is not None,
            "is_alone": view is not None and view.alone_since is not None,
        }

    def reload_error(self) -> str | None:
        last = self._parts.control.last_reload
        return None if last is None or last.ok else last.error or last.summary


def root_of(request: Request) -> str:
    """The relative URL of the overview: a proxy may publish the pages under any path."""
    return "../" * (request.raw_path.count("/") - 1) or "./"
