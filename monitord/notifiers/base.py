"""What a notifier is: options read from its table, and how to deliver one message.

A type is one file: a frozen dataclass of options, a subclass of `Notifier`, and one line in the registry
(`monitord/notifiers/__init__.py`). The caller groups, bounds, repeats what failed and remembers.
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

MOST_NOTIFICATIONS = 200
"""In one message."""


@dataclass(frozen=True, slots=True)
class NotifierSettings:
    """What every notifier has, whatever its type; equal settings mean that a reload leaves it alone.

    `group_wait_s`: so long after the first notification others are waited for, to be told with it,
    `max_notifications` at most.
    `expire_after_s`: a message that could not be delivered for so long is dropped. `fallback`: who is told what this
    one cannot deliver.
    """

    name: str
    type_name: str
    options: Any
    timeout_s: float = 30.0
    group_wait_s: float = 10.0
    max_notifications: int = MOST_NOTIFICATIONS
    max_per_minute: int = 10
    expire_after_s: float = 86_400.0
    fallback: str | None = None


@dataclass(frozen=True, slots=True)
class NotifierTools:
    """What the program lends to notifiers, shared by all."""

    clock: Clock
    http: HttpClient
    processes: Processes


class DeliveryError(Exception):
    """A message was not taken. Says why, for people, without secrets.

    `after_s`: not to be tried before. `is_refused`: this very message is not wanted, so that a smaller one may be.
    """

    def __init__(self, why: str, after_s: float | None = None, *, is_refused: bool = False) -> None:
        super().__init__(why)
        self.after_s = after_s
        self.is_refused = is_refused


class Notifier(ABC, Generic[OptionsT]):
    """One way to tell somebody."""

    type_name: ClassVar[str]

    wants_to_hear_again: ClassVar[bool] = False
    """Whether it is to hear every minute what goes on: it forgets what it does not hear of."""

    most_notifications: ClassVar[int] = MOST_NOTIFICATIONS
    """That one message may have."""

    usual_per_minute: ClassVar[int] = 10
    """Messages, unless another number is written."""

    def __init__(self, settings: NotifierSettings, tools: NotifierTools) -> None:
        self.settings = settings
        self.options: OptionsT = settings.options
        self.tools = tools
        self.masking = Masking(self.secrets())
        self.warning: str | None = None
        """What is wrong with a notifier that delivers all the same, as of its last delivery."""

    @property
    def name(self) -> str:
        return self.settings.name

    def secrets(self) -> Iterable[str]:
        """What of its options must be seen nowhere: it is masked in all that is told of it."""
        return ()

    @classmethod
    @abstractmethod
    def read_options(cls, table: Table) -> OptionsT:
        """Read the keys of this type. Failures are recorded in the table; never raises for bad input."""

    def fits(self, message: Message) -> bool:
        """Whether the receiver takes and shows all of the message. One that does not fit is sent in parts.

        `deliver` gets a message of a single notification in any case, and shortens it as needed.
        """
        del message
        return True

    @abstractmethod
    async def deliver(self, message: Message, *, deadline: float) -> str:
        """Deliver it by `deadline` (time.monotonic()); it was taken when this returns, with what was said of it.

        Raises DeliveryError when it was not taken, or when that is not known. Whatever else is raised is a bug of
        this type, and counts as such a failure.
        """

    async def close(self) -> None:
        """Give back what this notifier alone holds. Called once, after its last delivery."""
        return
