"""The type `webhook`: one HTTP request for each message.

    type = "webhook"
    url = "https://tickets.example.org/api/new"
    format = "json"

The options of the request (headers, authentication, TLS, proxy, a Unix socket) are those of monitors of type http. The
body has one of the formats, or is rendered from `body`, a Jinja2 template in a sandbox, which is tested when the
configuration is read (see `template.py`). If the template fails during delivery, the default text is sent instead.
Redirects are not followed, as the redirected request would have no body.
"""

import json
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any, ClassVar
from urllib.parse import urlencode

from monitord.config import Secret, Table
from monitord.model import Reason, State
from monitord.net import HttpExchange, HttpFailure
from monitord.notifiers.base import (
    MAX_NOTIFICATIONS,
    DeliveryError,
    Notifier,
    NotifierSettings,
    NotifierTools,
)
from monitord.notifiers.notification import Message, Notification, NotificationContext, NotificationKind
from monitord.notifiers.template import TemplateFailure, declares_json, json_problem, render, render_each
from monitord.options.http import HttpOptions, opaque_parts, read_options, secrets_of

MAX_RESPONSE_CHARACTERS = 200
MAX_BODY_BYTES = 256 * 1024
"""Many servers accept 1 MiB. A body that a server rejects is sent in parts as well."""
MAX_RETRY_AFTER_S = 3600.0
REJECTION_STATUSES = frozenset({400, 413, 422})

MONITOR_OPTIONS = (
    "json",
    "form",
    "follow_redirects",
    "all_addresses",
    "reuse_connection",
    "read_body",
    "max_body_size",
    "max_header_size",
)
WEBHOOK_OPTIONS = ("method", "format", "body", "content_type")
CHAT_TYPES = ("slack", "discord", "mattermost", "teams")
"""Notifier types that might be looked for among the formats."""


@dataclass(frozen=True, slots=True)
class WebhookOptions:
    """`http.body` is the template, if there is one."""

    http: HttpOptions
    format: str = "json"


class WebhookNotifier(Notifier[WebhookOptions]):
    type_name: ClassVar[str] = "webhook"
    default_url: ClassVar[str | None] = None
    """The default of `url`; None if it is required."""

    def __init__(self, settings: NotifierSettings, tools: NotifierTools) -> None:
        super().__init__(settings, tools)
        self._body_of = self.body_writer()

    @classmethod
    def read_options(cls, table: Table) -> WebhookOptions:
        for key in MONITOR_OPTIONS:
            if key in table:
                is_body = key in {"json", "form"} and cls is WebhookNotifier
                hint = 'write body = "…", a template, or format = "…"' if is_body else "remove it"
                table.error(key, "is an option of monitors", hint)
        http = read_options(table, cls.default_url)
        options = WebhookOptions(
            replace(
                http,
                method=http.method if "method" in table else "POST",
                follow_redirects=False,
                content_type=table.text("content_type", default="application/json"),
            ),
            _format(table) if cls is WebhookNotifier else "json",
        )
        if http.body is not None:
            if "format" in table:
                table.error("format", "cannot be combined with body", "remove one of them")
            _test_template(table, options)
        return options

    def body_writer(self) -> Callable[[Message], str]:
        """Return the function that composes the body of a message if there is no template. Called once."""
        body = FORMATS[self.options.format]
        return lambda message: json.dumps(body(message))

    def secrets(self) -> Iterable[str]:
        yield from secrets_of(self.options.http)
        yield from opaque_parts(self.options.http.url.reveal())

    def fits(self, message: Message) -> bool:
        return len(json.dumps(message.as_json())) <= MAX_BODY_BYTES

    def request_of(self, message: Message) -> HttpOptions:
        """The options of the request for a message, without its body."""
        del message
        return self.options.http

    async def deliver(self, message: Message, *, deadline: float) -> str:
        body = await self._body(message, deadline)
        exchange = await self.exchange(self.request_of(message), body, message.key, deadline=deadline)
        failure = self.failure_in(exchange)
        if failure is not None:
            raise failure
        return self.response_text(exchange)

    async def exchange(self, options: HttpOptions, body: str, key: str, *, deadline: float) -> HttpExchange:
        """Send a request, and return the response regardless of its status. Raises DeliveryError if there is none.

        `key`: the same for each attempt, so that the receiver can recognize a repetition.
        """
        headers = (*options.headers, ("Idempotency-Key", Secret(key)))
        try:
            request = replace(options, headers=headers, body=Secret(body)).request(status_decides=True)
        except ValueError as error:
            # The body is too large. All other parts were tested when the options were read.
            raise DeliveryError(str(error), is_rejected=True) from error
        try:
            outcome = await self.tools.http.fetch(request, deadline=deadline)
        finally:
            await self.tools.http.forget(request)
        if isinstance(outcome, HttpFailure):
            raise DeliveryError(self.masking.mask(outcome.detail))
        return outcome

    def failure_in(self, exchange: HttpExchange) -> DeliveryError | None:
        """The failure that a response states; None if the message was delivered."""
        if 200 <= exchange.status < 300:  # noqa: PLR2004 - RFC 9110 section 15.3
            return None
        return DeliveryError(
            self.response_text(exchange),
            _retry_after_s(exchange, self.tools.clock.now()),
            is_rejected=exchange.status in REJECTION_STATUSES,
        )

    async def _body(self, message: Message, deadline: float) -> str:
        template = self.options.http.body
        if template is None:
            return self._body_of(message)
        problem: str | None
        try:
            text = await render(self.tools.processes, template.reveal(), message.as_json(), deadline=deadline)
        except TemplateFailure as failure:
            problem = str(failure)
        else:
            is_json = declares_json(template.reveal(), _content_type(self.options))
            problem = json_problem(text) if is_json else None
            if problem is None:
                self.warning = None
                return text
            problem = f"its text is not JSON: {problem}"
        # An error may quote parts of the template, which may be a secret.
        shown = "" if template in self.options.http.hidden else f": {problem}"
        self.warning = f"the template failed, so the default text was sent{shown}"
        content_type = _content_type(self.options)
        # the format that is most similar to that of the template
        if declares_json(template.reveal(), content_type):
            return json.dumps(message.as_json())
        text = f"{message.subject}\n\n{message.text}"
        return (
            urlencode({"text": text})
            if content_type.startswith("application/x-www-form-urlencoded")
            else text
        )

    def response_text(self, exchange: HttpExchange) -> str:
        """The response in one line, without secrets, and the warning of this delivery."""
        excerpt = self.masking.excerpt(exchange.beginning.decode(errors="replace")) or ""
        excerpt = " ".join(excerpt.split())[:MAX_RESPONSE_CHARACTERS]
        phrase = self.masking.mask(exchange.reason_phrase)[:MAX_RESPONSE_CHARACTERS]
        status = f"{exchange.status} {phrase}".strip()
        if 300 <= exchange.status < 400:  # noqa: PLR2004
            text = f"{status}: redirects are not followed; set url to the target of the redirect"
        else:
            text = f"{status}: {excerpt}" if excerpt else status
        return text if self.warning is None else f"{text}; {self.warning}"


def _format(table: Table) -> str:
    written = table.raw("format")
    if written in CHAT_TYPES:
        table.error("format", "is a notifier type", f'write type = "{written}" and no format')
        return "json"
    return table.choice("format", tuple(FORMATS), default="json")


def reject_webhook_options(table: Table) -> None:
    """Record errors for the options of the body, for a type with a fixed one."""
    for key in WEBHOOK_OPTIONS:
        if key in table:
            table.error(key, "is an option of webhooks", "remove it")


def _retry_after_s(exchange: HttpExchange, now: datetime) -> float | None:
    """RFC 9110 section 10.2.3: seconds, or a date."""
    value = exchange.headers.get("Retry-After", "")
    if value.isascii() and value.isdigit():
        return min(float(value), MAX_RETRY_AFTER_S)
    try:
        moment = parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return None
    left_s = (moment.replace(tzinfo=moment.tzinfo or UTC) - now).total_seconds()
    return min(max(0.0, left_s), MAX_RETRY_AFTER_S)


# Formats


def _alertmanager(message: Message) -> Mapping[str, Any]:
    """Version 4 of the format in which Alertmanager notifies webhooks."""
    is_any_shared = any(notification.context.is_shared for notification in message.notifications)
    return {
        "version": "4",
        "groupKey": f"monitord:{message.key}",
        "truncatedAlerts": 0,
        "status": "resolved" if message.is_all_closing else "firing",
        "receiver": message.notifications[0].notifier,
        "groupLabels": {},
        "commonLabels": {"job": "monitord", **({} if is_any_shared else {"instance": message.instance})},
        "commonAnnotations": {},
        "externalURL": "",
        "alerts": [
            {
                "status": "resolved" if notification.kind.is_closing else "firing",
                "labels": {
                    "alertname": notification.monitor or notification.kind.value,
                    "job": "monitord",
                    **({} if notification.context.is_shared else {"instance": message.instance}),
                    "monitor": notification.monitor,
                    "type": notification.type_name,
                    "reason": notification.reason.value,
                    "severity": notification.severity.value,
                },
                "annotations": annotations(notification),
                "startsAt": notification.started_at.astimezone(UTC).isoformat(),
                "endsAt": notification.problem_ended_at.astimezone(UTC).isoformat()
                if notification.kind.is_closing
                else "0001-01-01T00:00:00Z",
                "generatorURL": notification.context.url,
                "fingerprint": notification.alert,
            }
            for notification in message.notifications
        ],
    }


def annotations(notification: Notification) -> Mapping[str, str]:
    """The annotations of an alert, by the names that Prometheus rules usually give them. None is empty."""
    context = notification.context
    values = {
        "summary": notification.title,
        "description": notification.detail,
        "runbook_url": context.settings.runbook,
        "contact": context.settings.contact,
        "monitor_title": context.settings.title,
        "monitor_description": context.settings.description,
        **context.links_json(),
    }
    return {name: text for name, text in values.items() if text}


FORMATS: dict[str, Callable[[Message], Mapping[str, Any]]] = {
    "json": Message.as_json,
    "alertmanager": _alertmanager,
}


def _content_type(options: WebhookOptions) -> str:
    """The content type that is sent: a header overrides the option."""
    headers = (value.reveal() for name, value in options.http.headers if name.lower() == "content-type")
    return next(headers, options.http.content_type or "")


def _test_template(table: Table, options: WebhookOptions) -> None:
    """Render the template with sample messages, so that a mistake is an error of the configuration."""
    template = options.http.body
    if not template:  # a secret that was not read is empty
        return
    limit = table.raw("max_notifications_per_message")
    max_notifications_per_message = limit if isinstance(limit, int) else MAX_NOTIFICATIONS
    samples = [
        sample
        for sample in sample_messages()
        if len(sample.notifications) <= max(1, max_notifications_per_message)
    ]
    try:
        texts = render_each(template.reveal(), [sample.as_json() for sample in samples])
    except TemplateFailure as failure:
        with_sample = "" if failure.context is None else f" with {_size_text(samples[failure.context])}"
        # An error may quote parts of the template, which may be a secret.
        problem = f" in line {failure.line}" if template in options.http.hidden else f": {failure}"
        table.error("body", f"cannot be rendered{with_sample}{problem}", "see monitord-notifiers(5), body")
        return
    if not declares_json(template.reveal(), _content_type(options)):
        return
    for sample, text in zip(samples, texts, strict=False):
        invalid = json_problem(text)
        if invalid is not None:
            table.error(
                "body",
                f"renders invalid JSON with {_size_text(sample)}: {invalid}",
                'write each text as {{ text | tojson }}, without quotes, or add content_type = "text/plain"',
            )
            return


def _size_text(message: Message) -> str:
    count = len(message.notifications)
    return "one notification" if count == 1 else f"{count} notifications"


def sample_messages() -> list[Message]:
    """Messages of several sizes and all kinds, with texts that have to be escaped."""
    example = example_message()
    problem, recovery = example.notifications
    test = replace(problem, kind=NotificationKind.TEST, monitor="", type_name="", tags=(), state=State.UP)
    # Every notifier is notified of an isolation, without a monitor and in the state unknown.
    isolation = replace(
        test, kind=NotificationKind.ISOLATED, state=State.UNKNOWN, reason=Reason.PROBER_ISOLATED, detail=""
    )
    groups = [
        [problem],
        [recovery],
        [test],
        [isolation],
        [replace(isolation, kind=NotificationKind.RECONNECTED)],
        [replace(problem, kind=NotificationKind.UPDATE, state=State.DEGRADED, tags=())],
        [replace(recovery, kind=NotificationKind.FLAPPING)],
        [problem, recovery],
        *(
            [problem, recovery] * (count // 2) + [problem] * (count % 2)
            for count in (3, 4, 5, 10, MAX_NOTIFICATIONS)
        ),
    ]
    return [replace(example, notifications=group) for group in groups]


def example_message() -> Message:
    """A message of two notifications in which every field has a value."""
    now = datetime.now(UTC)
    since = now - timedelta(minutes=5)
    link = "https://monitor.example.org/action/" + "0" * 44
    with_links = NotificationContext(
        locations=(("fra", State.DOWN), ("hel", State.UP)),
        links_expire_at=now + timedelta(days=1),
        acknowledge_url=link,
        silence_url=link,
    )
    notifications = [
        Notification(
            id=f"example-{kind.value}",
            notifier="example",
            kind=kind,
            alert="example",
            number=number,
            monitor="example",
            opened_as="example",
            type_name="http",
            tags=("prod",),
            state=state,
            since=since if kind is NotificationKind.PROBLEM else now,
            started_at=since,
            at=now,
            duration_s=(now - since).total_seconds(),
            reason=reason,
            detail='GET https://www.example.org/ answered "503" \\o/ Größe\n\t<b> & ☃',
            context=context,
        )
        for number, kind, state, reason, context in (
            (1, NotificationKind.PROBLEM, State.DOWN, Reason.CONDITION_FAILED, with_links),
            (2, NotificationKind.RECOVERY, State.UP, Reason.OK, NotificationContext()),
        )
    ]
    sent_at = datetime.fromtimestamp(time.time(), UTC)
    return Message(notifications, "host.example.org", sent_at, location="fra")
