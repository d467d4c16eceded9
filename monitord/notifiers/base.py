"""The interface of notifier types: options from the configuration, and the delivery of one message.

A type is one file with a frozen dataclass of options and a subclass of `Notifier`, and one line in the registry
(`monitord/notifiers/__init__.py`) or, in a third-party package, an entry point in the group `monitord.notifiers`.
Grouping, rate limits, retries and storage belong to the delivery worker.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, TypeVar

from monitord.clock import Clock
from monitord.config import Table
from monitord.net import HttpClient, Processes
from monitord.notifiers.notification import Message
from monitord.options.masking import Masking

OptionsT = TypeVar("OptionsT")

MAX_NOTIFICATIONS = 200
"""Notifications in one message."""


@dataclass(frozen=True, slots=True)
class NotifierSettings:
    """Settings of one notifier. Equal settings mean that a reload does not restart it.

    `group_wait_s` after the first notification, it and up to `max_notifications_per_message` in all are sent as one
    message.
    `action_links`: its recipients may acknowledge incidents and silence their monitors by links. `locations`: the
    locations of a cluster that can reach its receiver; empty: all.
    """

    name: str
    type_name: str
    options: Any
    timeout_s: float = 30.0
    group_wait_s: float = 10.0
    max_notifications_per_message: int = MAX_NOTIFICATIONS
    max_messages_per_minute: int = 10
    expire_after_s: float = 86_400.0
    fallback: str | None = None
    action_links: bool = False
    locations: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class NotifierTools:
    """Shared by all notifiers, which do not close them."""

    clock: Clock
    http: HttpClient
    processes: Processes


class DeliveryError(Exception):
    """A failed delivery attempt. The text is the reason, without secrets.

    `retry_after_s` is the delay that the receiver has requested. `is_rejected`: the receiver does not accept this
    message, but may accept a smaller one.
    """

    def __init__(self, reason: str, retry_after_s: float | None = None, *, is_rejected: bool = False) -> None:
        super().__init__(reason)
        self.retry_after_s = retry_after_s
        self.is_rejected = is_rejected


class Notifier(ABC, Generic[OptionsT]):
    """A channel for notifications."""

    type_name: ClassVar[str]

    needs_resend: ClassVar[bool] = False
    """Whether open alerts are sent again every minute, as the receiver forgets them otherwise."""

    tracks_problems: ClassVar[bool] = True
    """Whether the receiver keeps a problem open until a notification with the id of its alert closes it."""

    max_notifications_per_message: ClassVar[int] = MAX_NOTIFICATIONS
    """The upper limit, and the default, of the option of this name."""

    default_max_messages_per_minute: ClassVar[int] = 10
    """The default of `max_messages_per_minute`."""

    def __init__(self, settings: NotifierSettings, tools: NotifierTools) -> None:
        self.settings = settings
        self.options: OptionsT = settings.options
        self.tools = tools
        self.masking = Masking(self.secrets())
        self.warning: str | None = None
        """A problem of the last delivery that did not prevent it."""

    @property
    def name(self) -> str:
        return self.settings.name

    def secrets(self) -> Iterable[str]:
        """Secrets in the options. They are masked in all texts about the notifier."""
        return ()

    @classmethod
    @abstractmethod
    def read_options(cls, table: Table) -> OptionsT:
        """Read the options of this type. Invalid ones are recorded in the table; does not raise."""

    def fits(self, message: Message) -> bool:
        """Return whether the receiver accepts and shows the complete message. If not, it is sent in parts.

        A message with a single notification is delivered in any case; `deliver` shortens it as needed.
        """
        del message
        return True

    @abstractmethod
    async def deliver(self, message: Message, *, deadline: float) -> str:
        """Deliver a message by `deadline` (time.monotonic()) and return the response of the receiver.

        Raises DeliveryError if it was not delivered or that is not known. Any other exception counts as a failed
        attempt and is logged as a bug in this type.
        """

    async def close(self) -> None:
        """Release the resources of this notifier. Called once, after its last delivery."""
        return


class UnusableNotifier(Notifier[Any]):
    """Replaces a notifier whose constructor has raised an exception. Each delivery fails, so a fallback delivers."""

    type_name: ClassVar[str] = ""

    def __init__(self, settings: NotifierSettings, tools: NotifierTools, reason: str) -> None:
        super().__init__(settings, tools)
        self._reason = reason

    @classmethod
    def read_options(cls, table: Table) -> Any:
        raise NotImplementedError

    async def deliver(self, message: Message, *, deadline: float) -> str:
        del message, deadline
        raise DeliveryError(self._reason)
