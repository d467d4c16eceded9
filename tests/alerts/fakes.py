"""Alert inputs, settings, notifications, and a notifier that records its messages."""

import asyncio
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

from monitord.alerts import AlertInput, AlertRoute, AlertSettings
from monitord.clock import Clock
from monitord.config import Table
from monitord.model import MonitorContext, Reason, State
from monitord.net import HttpClient, Processes, Resolver, TlsContexts
from monitord.notifiers import (
    NOTIFIER_TYPES,
    DeliveryError,
    Message,
    Notification,
    NotificationContext,
    NotificationKind,
    Notifier,
    NotifierSettings,
    NotifierTools,
    notification_id,
)

T0 = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)
CONTEXT = NotificationContext(
    MonitorContext(
        "Web shop", "Sells tea.\nRuns on db1.", "https://wiki.example.org/shop", "ops@example.org"
    ),
    url="https://status.example.org/m/web-1",
    excerpt="Service\nunavailable",
    passed_at=T0 - timedelta(seconds=30),
    parents=("gateway",),
    siblings=("mail", "news"),
    dependents=tuple(f"page-{number}" for number in range(7)),
    locations=(("fra", State.DOWN), ("hel", State.UP)),
)


ACKNOWLEDGE_URL, SILENCE_URL = (f"https://status.example.org/action/{letter * 44}" for letter in ("A", "S"))
WITH_LINKS = NotificationContext(
    links_expire_at=T0 + timedelta(days=1), acknowledge_url=ACKNOWLEDGE_URL, silence_url=SILENCE_URL
)


def at(minutes: float) -> datetime:
    return T0 + timedelta(minutes=minutes)


def alert_input(state: State = State.DOWN, **changes: Any) -> AlertInput:
    reason = Reason.OK if state is State.UP else Reason.REFUSED
    return replace(AlertInput("web", "http", ("prod",), state, T0, reason, "connect: refused"), **changes)


def alert_settings(*routes: AlertRoute, names: tuple[str, ...] = ("ops",)) -> AlertSettings:
    return AlertSettings(tuple(NotifierSettings(name, "fake", None) for name in names), routes)


def notification(
    number: int = 1, notifier: str = "ops", kind: NotificationKind = NotificationKind.PROBLEM, **changes: Any
) -> Notification:
    made = Notification(
        id=notification_id("alert", notifier, number),
        notifier=notifier,
        kind=kind,
        alert="alert",
        number=number,
        monitor=f"web-{number}",
        opened_as=changes.get("monitor", f"web-{number}"),
        type_name="http",
        tags=("prod",),
        state=State.UP if kind is NotificationKind.RECOVERY else State.DOWN,
        since=T0,
        started_at=T0,
        at=T0,
        duration_s=0.0,
        reason=Reason.REFUSED,
        detail="connect: refused",
    )
    return replace(made, **changes)


def tools(clock: Clock) -> NotifierTools:
    http = HttpClient(user_agent="tests", resolver=Resolver(), tls_contexts=TlsContexts())
    return NotifierTools(clock, http, Processes())


def nothing(_: Message) -> None:
    """Accept the message."""


class FakeNotifier(Notifier[Any]):
    """Records its messages and their times. `act` is called for each message; it may raise or wait."""

    type_name: ClassVar[str] = "fake"
    made: ClassVar[list["FakeNotifier"]] = []
    initial_act: ClassVar[Callable[[Message], object]] = nothing
    """`act` of each new notifier: a daemon may deliver before the test can set it."""

    def __init__(self, settings: NotifierSettings, tools: NotifierTools) -> None:
        super().__init__(settings, tools)
        self.got: list[Message] = []
        self.got_at: list[float] = []
        self.act = FakeNotifier.initial_act
        self.is_fit: Callable[[Message], bool] = lambda _: True
        self.closed = 0
        self.response = "taken"
        self.made.append(self)

    @classmethod
    def read_options(cls, table: Table) -> None:
        table.ignore_others()

    def fits(self, message: Message) -> bool:
        return self.is_fit(message)

    async def deliver(self, message: Message, *, deadline: float) -> str:
        self.got.append(message)
        self.got_at.append(self.tools.clock.monotonic_s())
        result = self.act(message)
        if asyncio.iscoroutine(result):
            await result
        return self.response

    async def close(self) -> None:
        self.closed += 1

    @property
    def titles(self) -> list[list[str]]:
        return [[notification.title for notification in message.notifications] for message in self.got]


def without_duration(title: str) -> str:
    return re.sub(r", (?:recovered after|after|for) [^,]*$", "", title)


@contextmanager
def fake_type() -> Iterator[None]:
    """Register FakeNotifier as a type."""
    NOTIFIER_TYPES["fake"] = FakeNotifier
    FakeNotifier.made.clear()
    try:
        yield
    finally:
        del NOTIFIER_TYPES["fake"]
        FakeNotifier.made.clear()
        FakeNotifier.initial_act = nothing


def fail_delivery(_: Message) -> None:
    raise DeliveryError("503 busy")
