"""The lists of silences, maintenance windows and notifications."""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import urlencode

from monitord.alerts import Delivery, DeliveryStatus
from monitord.health import TimeWindow
from monitord.notifiers import NotificationKind
from monitord.status.pages.frame import Frame
from monitord.status.pages.parts import PageParts
from monitord.web import HTTPBadRequest, Request, Response

NOTIFICATIONS_PER_PAGE = 50
SILENCES_PER_PAGE = 200
MAX_SHOWN_NAMES = 20
"""Names and patterns of a silence or a maintenance window."""

LONGEST_PAGE_NUMBER = 6
"""Digits."""

KIND_TEXTS = {
    NotificationKind.PROBLEM: "problem",
    NotificationKind.UPDATE: "update",
    NotificationKind.REMINDER: "reminder",
    NotificationKind.FLAPPING: "flapping",
    NotificationKind.FLAPPING_END: "end of flapping",
    NotificationKind.RECOVERY: "recovery",
    NotificationKind.ISOLATED: "isolated",
    NotificationKind.RECONNECTED: "reconnected",
    NotificationKind.CLOSED: "closed",
    NotificationKind.TEST: "test",
}

STATUS_TONES = {
    DeliveryStatus.SENT: "up",
    DeliveryStatus.QUEUED: "pending",
    DeliveryStatus.RETRYING: "degraded",
    DeliveryStatus.REROUTED: "degraded",
    DeliveryStatus.EXPIRED: "down",
    DeliveryStatus.CANCELLED: "paused",
}
"""The state whose icon and colour show a status."""

LABELS = {DeliveryStatus.SENT: "Response", DeliveryStatus.CANCELLED: "Reason"}


@dataclass(frozen=True, slots=True)
class SelectionView:
    """Names and patterns of which one matches, and tags that all match. `more`: names that are not shown."""

    names: tuple[str, ...]
    more: int
    tags: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class WindowView:
    """`until`: the end of an open window; None: it is not open, or has no known end. `next_at` None: never again."""

    name: str
    selection: SelectionView
    comment: str | None
    schedule: str | None
    begins_at: datetime | None
    duration_s: float
    is_open: bool
    until: datetime | None
    next_at: datetime | None


@dataclass(frozen=True, slots=True)
class DeliveryView:
    """`text`: the response of the receiver, the last error, or the reason of the cancellation, as `label` says."""

    at: datetime
    kind: str
    monitor: str
    state: str
    detail: str
    notifier: str
    delivered_by: str
    status: str
    tone: str
    attempts: int
    ended_at: datetime | None
    label: str
    text: str


class ListHandlers:
    """The handlers of the lists."""

    def __init__(self, parts: PageParts, frame: Frame) -> None:
        self._parts = parts
        self._frame = frame

    async def silences(self, request: Request) -> Response:
        silences = self._parts.interventions.silences
        values = {
            "silences": [
                (
                    silence,
                    _selection((*silence.matcher.names, *silence.matcher.patterns), silence.matcher.tags),
                )
                for silence in silences[:SILENCES_PER_PAGE]
            ],
            "total": len(silences),
        }
        return await self._frame.page(request, "silences.html", values)

    async def maintenance(self, request: Request) -> Response:
        # On a thread: a calendar event without a time in the near future is searched for years ahead.
        views = await asyncio.to_thread(window_views, self._parts.pipeline.windows, self._parts.clock.now())
        return await self._frame.page(request, "maintenance.html", {"windows": views})

    async def notifications(self, request: Request) -> Response:
        query = request.query
        monitor, notifier, status = (
            query.get("monitor", ""),
            query.get("notifier", ""),
            query.get("status", ""),
        )
        statuses = [status.value for status in DeliveryStatus]
        if status and status not in statuses:
            raise HTTPBadRequest(text=f"status must be one of {', '.join(statuses)}\n")
        number = query.get("page", "1")
        if not number.isdecimal() or len(number) > LONGEST_PAGE_NUMBER or int(number) < 1:
            raise HTTPBadRequest(text="page must be the number of a page, from 1\n")
        deliveries = self._parts.alerts.deliveries(monitor or None)
        notifiers = dict.fromkeys(
            [*self._parts.alerts.workers, *(delivery.notification.notifier for delivery in deliveries)]
        )
        selected = [
            delivery
            for delivery in deliveries
            if (not notifier or notifier in {delivery.notification.notifier, delivery.delivered_by})
            and (not status or delivery.status.value == status)
        ]
        start = (int(number) - 1) * NOTIFICATIONS_PER_PAGE
        filters = {"monitor": monitor, "notifier": notifier, "status": status}
        values = {
            "deliveries": [
                view_of(delivery) for delivery in selected[start : start + NOTIFICATIONS_PER_PAGE]
            ],
            "total": len(selected),
            "given": filters,
            "is_filtered": any(filters.values()),
            "statuses": statuses,
            "notifiers": sorted(notifiers),
            "has_notifiers": bool(self._parts.alerts.workers),
            "number": int(number),
            "newer": None if start == 0 else _page_link(filters, int(number) - 1),
            "older": _page_link(filters, int(number) + 1)
            if len(selected) > start + NOTIFICATIONS_PER_PAGE
            else None,
            "known": frozenset(self._parts.dispatcher.entries),
        }
        return await self._frame.page(request, "notifications.html", values)


def _page_link(filters: dict[str, str], number: int) -> str:
    return "?" + urlencode({name: value for name, value in {**filters, "page": str(number)}.items() if value})


def _selection(names: Sequence[str], tags: Iterable[str]) -> SelectionView:
    return SelectionView(tuple(names[:MAX_SHOWN_NAMES]), max(len(names) - MAX_SHOWN_NAMES, 0), tuple(tags))


def window_views(windows: Iterable[TimeWindow], now: datetime) -> list[WindowView]:
    """Return open windows first, then the others by their next time; windows that are over last."""
    views = []
    for window in windows:
        next_at = window.begins_at if window.begins_at is not None and window.begins_at > now else None
        if window.schedule is not None:
            next_at = window.schedule.next_after(now)
        views.append(
            WindowView(
                name=window.name,
                selection=_selection(window.monitors, window.tags),
                comment=window.comment,
                schedule=None if window.schedule is None else str(window.schedule),
                begins_at=window.begins_at,
                duration_s=window.duration_s,
                is_open=window.is_open(now),
                until=window.closes_after(now),
                next_at=next_at,
            )
        )
    return sorted(
        views,
        key=lambda view: (
            not view.is_open,
            view.next_at is None,
            0.0 if view.next_at is None else view.next_at.timestamp(),
            view.name,
        ),
    )


def view_of(delivery: Delivery) -> DeliveryView:
    notification = delivery.notification
    return DeliveryView(
        at=notification.at,
        kind=KIND_TEXTS[notification.kind],
        monitor=notification.monitor,
        state=notification.state.value,
        detail=notification.detail,
        notifier=notification.notifier,
        delivered_by=delivery.delivered_by,
        status=delivery.status.value,
        tone=STATUS_TONES[delivery.status],
        attempts=delivery.attempts,
        ended_at=delivery.ended_at,
        label=LABELS.get(delivery.status, "Error"),
        text=delivery.response,
    )
