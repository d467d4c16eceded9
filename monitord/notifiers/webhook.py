"""The type `webhook`: one request a message, to whatever takes them over HTTP.

    type = "webhook"
    url = "https://chat.example.org/hooks/…"
    format = "slack"

How it gets there (headers, authentication, TLS, proxy, a Unix socket) is written as for a monitor of type http. What
is sent is one of the formats, or `body`, a template of Jinja2 in a sandbox, which is tried when the configuration is
read (see `template.py`). If a template fails at a delivery, the default text is sent instead. Redirects are not
followed: a request with a body would come to its end without it.
"""

import json
import re
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
    MOST_NOTIFICATIONS,
    DeliveryError,
    Notifier,
    NotifierSettings,
    NotifierTools,
)
from monitord.notifiers.notification import Message, Notification, NotificationKind, cut, utf16_units
from monitord.notifiers.template import TemplateFailure, declares_json, fill, fill_each, json_problem
from monitord.options.http import HttpOptions, opaque_parts, read_options, secrets_of

MOST_SAID_CHARACTERS = 200
MOST_DISCORD_UNITS = 2000
"""UTF-16 code units of `content`. A longer one is refused (Discord's manual, "Execute Webhook")."""
MOST_SLACK_UNITS = 4000
"""UTF-16 code units of `text`. Slack recommends it and cuts at 40,000; Rocket.Chat takes 5,000, Mattermost 16,383."""
MOST_BODY_BYTES = 256 * 1024
"""Of all other requests. Many servers take 1 MiB and some less, which refuse it: then it is sent in parts as well."""
LONGEST_RETRY_AFTER_S = 3600.0
REFUSALS = frozenset({400, 413, 422})

_EVERYBODY = re.compile(r"@(?=(?:all|channel|everyone|here)\b)", re.IGNORECASE)
"""Mattermost's and Rocket.Chat's words for all who are there. A space of no width takes the meaning from them."""

OF_MONITORS_ONLY = (
    "json",
    "form",
    "follow_redirects",
    "all_addresses",
    "reuse_connection",
    "read_body",
    "max_body",
    "max_header",
)
OF_WEBHOOKS_ONLY = ("method", "format", "body", "content_type")


@dataclass(frozen=True, slots=True)
class WebhookOptions:
    """`http.body` is the template, if there is one; `routing_key` a secret within what type pagerduty sends."""

    http: HttpOptions
    format: str = "json"
    routing_key: Secret | None = None


class WebhookNotifier(Notifier[WebhookOptions]):
    type_name: ClassVar[str] = "webhook"
    usual_url: ClassVar[str | None] = None
    """Where none is written; None: one has to be."""

    def __init__(self, settings: NotifierSettings, tools: NotifierTools) -> None:
        super().__init__(settings, tools)
        self._write = self.writer()

    @classmethod
    def read_options(cls, table: Table) -> WebhookOptions:
        for key in OF_MONITORS_ONLY:
            if key in table:
                is_body = key in {"json", "form"} and cls is WebhookNotifier
                hint = 'write body = "…", a template, or format = "…"' if is_body else "leave it out"
                table.error(key, "is for monitors", hint)
        http = read_options(table, cls.usual_url)
        options = WebhookOptions(
            replace(
                http,
                method=http.method if "method" in table else "POST",
                follow_redirects=False,
                content_type=table.text("content_type", default="application/json"),
            ),
            table.choice("format", tuple(FORMATS), default="json"),
        )
        if http.body is not None:
            if "format" in table:
                table.error("format", "stands beside body", "keep one of them")
            _try_template(table, options)
        return options

    def writer(self) -> Callable[[Message], str]:
        """What makes the body of a message where there is no template. Asked for once."""
        shape = FORMATS[self.options.format]
        return lambda message: json.dumps(shape(message))

    def secrets(self) -> Iterable[str]:
        yield from secrets_of(self.options.http)
        yield from opaque_parts(self.options.http.url.reveal())
        if self.options.routing_key is not None:
            yield self.options.routing_key.reveal()

    def fits(self, message: Message) -> bool:
        form = None if self.options.http.body is not None else self.options.format
        return (
            _FITS[form](message) if form in _FITS else len(json.dumps(message.as_json())) <= MOST_BODY_BYTES
        )

    async def deliver(self, message: Message, *, deadline: float) -> str:
        body = await self._body(message, deadline)
        headers = (*self.options.http.headers, ("Idempotency-Key", Secret(message.key)))
        try:
            request = replace(self.options.http, headers=headers, body=Secret(body)).request(
                status_decides=True
            )
        except ValueError as error:  # too large a body; all else was tried when it was read
            raise DeliveryError(str(error), is_refused=True) from error
        try:
            outcome = await self.tools.http.fetch(request, deadline=deadline)
        finally:
            await self.tools.http.forget(request)
        if isinstance(outcome, HttpFailure):
            raise DeliveryError(self.masking.mask(outcome.detail))
        said = self._said(outcome)
        if self.warning is not None:
            said += f"; {self.warning}"
        if not 200 <= outcome.status < 300:  # noqa: PLR2004 - RFC 9110 section 15.3
            after_s = _retry_after_s(outcome, self.tools.clock.now())
            raise DeliveryError(said, after_s, is_refused=outcome.status in REFUSALS)
        return said

    async def _body(self, message: Message, deadline: float) -> str:
        template = self.options.http.body
        if template is None:
            return self._write(message)
        problem: str | None
        try:
            text = await fill(self.tools.processes, template.reveal(), message.as_json(), deadline=deadline)
        except TemplateFailure as failure:
            problem = str(failure)
        else:
            declares = declares_json(template.reveal(), _content_type(self.options))
            problem = json_problem(text) if declares else None
            if problem is None:
                self.warning = None
                return text
            problem = f"it makes no JSON: {problem}"
        # Of a template that is a secret an error may quote parts.
        shown = "" if template in self.options.http.hidden else f": {problem}"
        self.warning = f"the template failed, so the default text was sent{shown}"
        return _default_text(message, template.reveal(), _content_type(self.options))

    def _said(self, exchange: HttpExchange) -> str:
        text = self.masking.excerpt(exchange.beginning.decode(errors="replace")) or ""
        text = " ".join(text.split())[:MOST_SAID_CHARACTERS]
        said = f"{exchange.status} {self.masking.mask(exchange.reason_phrase)[:MOST_SAID_CHARACTERS]}".strip()
        if 300 <= exchange.status < 400:  # noqa: PLR2004
            return f"{said}: redirects are not followed; write the address that it leads to"
        return f"{said}: {text}" if text else said


def refuse_what_webhooks_have(table: Table) -> None:
    """For a type that is reached as a webhook is, and knows by itself what is sent."""
    for key in OF_WEBHOOKS_ONLY:
        if key in table:
            table.error(key, "is for webhooks", "leave it out")


def _retry_after_s(exchange: HttpExchange, now: datetime) -> float | None:
    """RFC 9110 section 10.2.3: seconds, or a moment."""
    value = exchange.headers.get("Retry-After", "")
    if value.isascii() and value.isdigit():
        return min(float(value), LONGEST_RETRY_AFTER_S)
    try:
        moment = parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return None
    left_s = (moment.replace(tzinfo=moment.tzinfo or UTC) - now).total_seconds()
    return min(max(0.0, left_s), LONGEST_RETRY_AFTER_S)


# What is sent


def _slack(message: Message) -> Mapping[str, Any]:
    """As Slack, Mattermost, Rocket.Chat and others take it. What a peer has said calls nobody there.

    Slack's manual, "Formatting text": only &, < and > have a meaning that has to be taken from them.
    """
    return {"text": cut(_slack_text(message.shortened(_fits_slack)), MOST_SLACK_UNITS)}


def _slack_text(message: Message) -> str:
    text = f"*{message.subject}*\n{message.text}".strip()
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return _EVERYBODY.sub("@\u200b", text)


def _fits_slack(message: Message) -> bool:
    return utf16_units(_slack_text(message)) <= MOST_SLACK_UNITS


def _discord(message: Message) -> Mapping[str, Any]:
    content = cut(_discord_text(message.shortened(_fits_discord)), MOST_DISCORD_UNITS)
    return {"content": content, "allowed_mentions": {"parse": []}}


def _discord_text(message: Message) -> str:
    return f"**{message.subject}**\n{message.text}".strip()


def _fits_discord(message: Message) -> bool:
    return utf16_units(_discord_text(message)) <= MOST_DISCORD_UNITS


def _alertmanager(message: Message) -> Mapping[str, Any]:
    """Version 4 of what Alertmanager sends to its own receivers."""
    return {
        "version": "4",
        "groupKey": f"monitord:{message.key}",
        "truncatedAlerts": 0,
        "status": "resolved" if message.is_all_closing else "firing",
        "receiver": message.notifications[0].notifier,
        "groupLabels": {},
        "commonLabels": {"job": "monitord", "instance": message.origin},
        "commonAnnotations": {},
        "externalURL": "",
        "alerts": [_alert(one, message.origin) for one in message.notifications],
    }


def _alert(notification: Notification, origin: str) -> Mapping[str, Any]:
    return {
        "status": "resolved" if notification.kind.is_closing else "firing",
        "labels": {
            "alertname": notification.monitor or notification.kind.value,
            "job": "monitord",
            "instance": origin,
            "monitor": notification.monitor,
            "type": notification.type_name,
            "reason": notification.reason.value,
            "severity": notification.severity,
        },
        "annotations": {"summary": notification.title, "description": notification.detail},
        "startsAt": notification.started_at.astimezone(UTC).isoformat(),
        "endsAt": notification.ended_at.astimezone(UTC).isoformat()
        if notification.kind.is_closing
        else "0001-01-01T00:00:00Z",
        "generatorURL": "",
        "fingerprint": notification.alert,
    }


FORMATS: dict[str, Callable[[Message], Mapping[str, Any]]] = {
    "json": Message.as_json,
    "alertmanager": _alertmanager,
    "slack": _slack,
    "discord": _discord,
}
_FITS: dict[str | None, Callable[[Message], bool]] = {"slack": _fits_slack, "discord": _fits_discord}


def _content_type(options: WebhookOptions) -> str:
    """As it is sent: a header goes before the option."""
    given = (value.reveal() for name, value in options.http.headers if name.lower() == "content-type")
    return next(given, options.http.content_type or "")


def _default_text(message: Message, template: str, content_type: str) -> str:
    """The message for a receiver whose template failed, in the most similar form."""
    if declares_json(template, content_type):
        return json.dumps(message.as_json())
    text = f"{message.subject}\n\n{message.text}"
    return urlencode({"text": text}) if content_type.startswith("application/x-www-form-urlencoded") else text


def _try_template(table: Table, options: WebhookOptions) -> None:
    """Fill it with messages as they may come, so that a slip of the pen shows before the night in which it matters."""
    template = options.http.body
    if not template:  # a secret that was not looked up is empty
        return
    found = table.look_up("max_notifications")
    most = found[1] if found is not None and isinstance(found[1], int) else MOST_NOTIFICATIONS
    samples = [one for one in sample_messages() if len(one.notifications) <= max(1, most)]
    try:
        texts = fill_each(template.reveal(), [one.as_json() for one in samples])
    except TemplateFailure as failure:
        with_what = "" if failure.context is None else f" with {_notifications(samples[failure.context])}"
        # Of a template that is a secret an error may quote parts.
        problem = f" in line {failure.line}" if template in options.http.hidden else f": {failure}"
        table.error(
            "body", f"cannot be filled as a template{with_what}{problem}", "see monitord.toml(5), body"
        )
        return
    if not declares_json(template.reveal(), _content_type(options)):
        return
    for sample, text in zip(samples, texts, strict=False):
        invalid = json_problem(text)
        if invalid is not None:
            table.error(
                "body",
                f"makes no JSON with {_notifications(sample)}: {invalid}",
                'write each text as {{ text | tojson }}, without quotes, or add content_type = "text/plain"',
            )
            return


def _notifications(message: Message) -> str:
    count = len(message.notifications)
    return "one notification" if count == 1 else f"{count} notifications"


def sample_messages() -> list[Message]:
    """Messages of all sizes and kinds, and with texts that have to be escaped."""
    example = example_message()
    problem, recovery = example.notifications
    test = replace(problem, kind=NotificationKind.TEST, monitor="", type_name="", tags=(), health=State.UP)
    # Every notifier gets the notifications about isolation, in which the state is unknown and there is no monitor.
    isolation = replace(
        test, kind=NotificationKind.ISOLATED, health=State.UNKNOWN, reason=Reason.PROBER_ISOLATED, detail=""
    )
    groups = [
        [problem],
        [recovery],
        [test],
        [isolation],
        [replace(isolation, kind=NotificationKind.RECONNECTED)],
        [replace(problem, kind=NotificationKind.UPDATE, health=State.DEGRADED, tags=())],
        [replace(recovery, kind=NotificationKind.FLAPPING)],
        [problem, recovery],
        *(
            [problem, recovery] * (count // 2) + [problem] * (count % 2)
            for count in (3, 4, 5, 10, MOST_NOTIFICATIONS)
        ),
    ]
    return [replace(example, notifications=group) for group in groups]


def example_message() -> Message:
    """Of two notifications, with all that a template may ask for."""
    now = datetime.now(UTC)
    since = now - timedelta(minutes=5)
    notifications = [
        Notification(
            id=f"example-{kind.value}",
            notifier="example",
            kind=kind,
            alert="example",
            number=number,
            monitor="example",
            type_name="http",
            tags=("prod",),
            health=health,
            since=since if kind is NotificationKind.PROBLEM else now,
            started_at=since,
            at=now,
            duration_s=(now - since).total_seconds(),
            reason=reason,
            detail='GET https://www.example.org/ answered "503" \\o/ Größe\n\t<b> & ☃',
        )
        for number, kind, health, reason in (
            (1, NotificationKind.PROBLEM, State.DOWN, Reason.CONDITION_FAILED),
            (2, NotificationKind.RECOVERY, State.UP, Reason.OK),
        )
    ]
    return Message(notifications, "host.example.org", datetime.fromtimestamp(time.time(), UTC))
