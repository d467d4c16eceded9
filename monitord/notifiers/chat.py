"""Base class of the types for chat and push services, which send a message in the format of the service.

They are webhooks with a fixed body: the options of the HTTP request are those of `webhook`.
"""

import json
import re
from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from monitord.config import Secret, Table
from monitord.net import HttpExchange
from monitord.notifiers.base import DeliveryError
from monitord.notifiers.cards import Budget
from monitord.notifiers.notification import Message, utf16_units
from monitord.notifiers.webhook import (
    MAX_RETRY_AFTER_S,
    WebhookNotifier,
    WebhookOptions,
    reject_webhook_options,
)

Reply = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ChatOptions(WebhookOptions):
    """`receiver` is the channel, chat, topic or room within the service."""

    receiver: Secret | None = None


class ChatNotifier(WebhookNotifier):
    tracks_problems: ClassVar[bool] = False
    options: ChatOptions
    max_units: ClassVar[int]
    """The maximum total length of all texts in a message, in the unit of `measure`."""
    measure: ClassVar[Callable[[str], int]] = staticmethod(utf16_units)
    """Returns the length of a text in the unit of the service. If its manual says characters, UTF-16 code units are the
    safe choice: a text has at least as many of them as characters."""

    @classmethod
    def read_options(cls, table: Table) -> ChatOptions:
        options = super().read_options(table)
        reject_webhook_options(table)
        return ChatOptions(options.http)

    @abstractmethod
    def compose(self, message: Message, budget: Budget) -> Mapping[str, Any]:
        """Return the body of a message, truncated to the limits; the budget records whether it is complete."""

    def fits(self, message: Message) -> bool:
        budget = self._budget()
        self.compose(message, budget)
        return budget.is_whole

    def body_writer(self) -> Callable[[Message], str]:
        return lambda message: json.dumps(
            self.compose(message.shortened(self.fits), self._budget()), ensure_ascii=False
        )

    def _budget(self) -> Budget:
        return Budget(self.max_units, type(self).measure)

    def failure_in(self, exchange: HttpExchange) -> DeliveryError | None:
        failure = super().failure_in(exchange)
        reply = reply_of(exchange)
        if failure is None and not self.reports_failure(reply):
            return None
        text = str(failure) if failure is not None else self.response_text(exchange)
        retry_after_s = self.retry_after_in(reply)
        if retry_after_s is None and failure is not None:
            retry_after_s = failure.retry_after_s
        is_rejected = failure.is_rejected if failure is not None else self.rejects(reply)
        return DeliveryError(text, retry_after_s, is_rejected=is_rejected)

    def reports_failure(self, reply: Reply) -> bool:
        """Return whether the body of a response with a successful status reports a failure."""
        del reply
        return False

    def rejects(self, reply: Reply) -> bool:
        """Return whether the body rejects this message; the receiver may accept a shorter message."""
        del reply
        return False

    def retry_after_in(self, reply: Reply) -> float | None:
        """Return the delay before a retry that the body requests, in seconds; None if it requests none."""
        del reply
        return None


def reply_of(exchange: HttpExchange) -> Reply:
    """Return the JSON object in a response; {} for any other body, and for a body that was not read completely."""
    try:
        reply = json.loads(exchange.beginning)
    except (ValueError, RecursionError):
        return {}
    return reply if isinstance(reply, dict) else {}


def delay_s(value: object, *, unit_s: float = 1.0) -> float | None:
    """Return a delay from a response in seconds; None if the value is not a valid delay."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < float("inf"):
        return None
    return min(value * unit_s, MAX_RETRY_AFTER_S)


def with_bearer(table: Table, options: ChatOptions, key: str, *, is_required: bool = True) -> ChatOptions:
    """Send the token of the option `key` as a bearer token (RFC 6750)."""
    token = table.secret(key) if is_required else table.secret(key, default=None)
    if token is None:
        return options
    reject_authorization(table, key)
    return replace(
        options,
        http=replace(options.http, bearer_token=token, username=None, password=None, uses_digest=False),
    )


def reject_authorization(table: Table, key: str) -> None:
    """Record an error for other options that are sent as the header Authorization, as `key` is."""
    for other in ("bearer_token", "basic_auth", "digest_auth"):
        if other in table:
            table.error(other, f"cannot be combined with {key}", "remove one of them")


def with_header(options: ChatOptions, name: str, value: Secret) -> ChatOptions:
    """Add a header with a secret, which is masked."""
    http = options.http
    return replace(
        options, http=replace(http, headers=(*http.headers, (name, value)), hidden=(*http.hidden, value))
    )


def with_path(options: ChatOptions, path: str) -> ChatOptions:
    """Append a path to the address of a service."""
    url = options.http.url.reveal().rstrip("/")
    return replace(options, http=replace(options.http, url=Secret(url + path if url else "")))


_QUERY = re.compile(r"[?#]")


def reject_query(table: Table, options: ChatOptions) -> None:
    """Record an error if the address of a service, to which a path is appended, has a query or a fragment."""
    if _QUERY.search(options.http.url.reveal()):
        table.error("url", "has a query", "write only the address of the service")
