"""Notifications, each about one monitor, and messages, each of one or several notifications.

The id of a notification is the same at every delivery attempt, so a receiver can recognize a duplicate. A message is
the notifications that one notifier delivers together. Its key follows from the ids of its notifications.
"""

import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta, tzinfo
from enum import Enum
from hashlib import blake2b
from typing import Any

from monitord.clock import in_zone, with_times_in
from monitord.model import WORST_FIRST, MonitorContext, Reason, Severity, State
from monitord.text import first_of
from monitord.units import format_duration

MAX_NAMES = 5
"""Names of monitors in a subject, for each state."""
MAX_SUBJECT_UNITS = 200
"""UTF-16 code units of a subject, without the prefix with the name of the host."""
MIN_DETAIL_CHARACTERS = 20
MAX_RELATED = 20
"""Names of related monitors in a notification, of each kind."""
MAX_SHOWN_RELATED = 5
EXCERPT_LABEL = "Response excerpt"
"""The label of the only value of several lines."""
ACKNOWLEDGE_LABEL = "Acknowledge"
SILENCE_LABEL = "Silence for 1 h"
MAX_FULL_NOTIFICATIONS = 3
"""A message of more notifications shows only title, runbook and page of their context."""
DELAYED_AFTER_S = 120.0
"""A notification that is older than this when it is sent contains the time of its creation."""


class NotificationKind(Enum):
    PROBLEM = "problem"
    UPDATE = "update"  # another state, which is not `up`
    REMINDER = "reminder"
    FLAPPING = "flapping"
    FLAPPING_END = "flapping_end"  # no longer flapping, and down or degraded
    RECOVERY = "recovery"
    ISOLATED = "isolated"  # about no monitor: this host appears to be isolated
    RECONNECTED = "reconnected"  # about no monitor: the isolation has ended
    CLOSED = (
        "closed"  # the monitor was removed: from the configuration, or because its target has disappeared
    )
    TEST = "test"

    @property
    def is_closing(self) -> bool:
        """Whether it is the last notification about an alert."""
        return self in _CLOSING


_CLOSING = frozenset({NotificationKind.RECOVERY, NotificationKind.CLOSED, NotificationKind.RECONNECTED})


@dataclass(frozen=True, slots=True)
class NotificationContext:
    """The context of a notification, as it was when the notification was created. Empty texts are not known.

    `url`: the page of the monitor. `excerpt`: of the last response. `passed_at`: the last check that passed. At most
    `MAX_RELATED` names each: `parents` and `siblings` that are not up, and `dependents` in any state.

    `is_shared`: the nodes of a cluster decide its state, and any of them may send the notification: its
    receiver must not recognize the alert by the sending host. `locations`: the locations that have a vote on the
    monitor, with the state that they see. Empty for a monitor that its host alone decides.

    `links_expire_at`: when the links that act on the alert expire; None: there are none. Their URLs permit their
    holder to act, so they are only in the notification that is delivered, and neither in `as_json` nor stored.
    """

    settings: MonitorContext = MonitorContext()  # noqa: RUF009 - frozen
    url: str = ""
    excerpt: str = ""
    passed_at: datetime | None = None
    parents: tuple[str, ...] = ()
    siblings: tuple[str, ...] = ()
    dependents: tuple[str, ...] = ()
    locations: tuple[tuple[str, State], ...] = ()
    is_shared: bool = False
    links_expire_at: datetime | None = None
    acknowledge_url: str = ""
    silence_url: str = ""

    def as_json(self) -> dict[str, Any]:
        return {
            "monitor_title": self.settings.title,
            "description": self.settings.description,
            "runbook": self.settings.runbook,
            "contact": self.settings.contact,
            "url": self.url,
            "excerpt": self.excerpt,
            "passed_at": None if self.passed_at is None else _json_time(self.passed_at),
            "parents": list(self.parents),
            "siblings": list(self.siblings),
            "dependents": list(self.dependents),
            "locations": [{"location": location, "state": state.value} for location, state in self.locations],
            "is_shared": self.is_shared,
            "links_expire_at": None if self.links_expire_at is None else _json_time(self.links_expire_at),
        }

    def links_json(self) -> dict[str, str]:
        """The links that act on the alert, for recipients only."""
        return {"acknowledge_url": self.acknowledge_url, "silence_url": self.silence_url}

    @property
    def action_links(self) -> tuple[tuple[str, str], ...]:
        """Label and URL of each link that acts on the alert."""
        links = ((ACKNOWLEDGE_LABEL, self.acknowledge_url), (SILENCE_LABEL, self.silence_url))
        return tuple((label, url) for label, url in links if url)

    @property
    def brief(self) -> "NotificationContext":
        """The context reduced to title, severity and links."""
        settings = MonitorContext(
            title=self.settings.title, runbook=self.settings.runbook, severity=self.settings.severity
        )
        return NotificationContext(
            settings, self.url, acknowledge_url=self.acknowledge_url, silence_url=self.silence_url
        )

    @property
    def without_links(self) -> "NotificationContext":
        """The context without links that act."""
        return replace(self, acknowledge_url="", silence_url="")


@dataclass(frozen=True, slots=True)
class Notification:
    """`alert` is the id of the alert, the same in all notifications about it.

    `opened_as` is the name that the monitor had when the alert began.
    `since` is when the monitor entered `state` (for FLAPPING: when flapping was detected), `at` when this notification
    was created. `started_at` is the beginning of the problem of which the notifier was notified, and `duration_s` its
    duration: until its end for a closing notification, otherwise until `at`. `number` counts the notifications about
    the alert to this notifier, from 1.
    """

    id: str
    notifier: str
    kind: NotificationKind
    alert: str
    number: int
    monitor: str
    opened_as: str
    type_name: str
    tags: tuple[str, ...]
    state: State
    since: datetime
    started_at: datetime
    at: datetime
    duration_s: float
    reason: Reason
    detail: str
    context: NotificationContext = NotificationContext()

    def with_links(self, acknowledge_url: str, silence_url: str) -> "Notification":
        """The notification for delivery, with the links that act on its alert."""
        context = replace(self.context, acknowledge_url=acknowledge_url, silence_url=silence_url)
        return replace(self, context=context)

    @property
    def severity(self) -> Severity:
        """The severity of the state of the monitor: see `MonitorContext`. An isolation is critical."""
        return self.context.settings.severity_in(self.state) if self.monitor else Severity.CRITICAL

    @property
    def is_acknowledgeable(self) -> bool:
        """Whether the monitor has an incident, which can be acknowledged."""
        return bool(self.monitor) and self.state is State.DOWN and not self.kind.is_closing

    @property
    def display_name(self) -> str:
        """ "Web shop (shop)", or the name alone if the monitor has no title."""
        title = self.context.settings.title
        return f"{title} ({self.monitor})" if title else self.monitor

    @property
    def problem_ended_at(self) -> datetime:
        """The end of the problem. For closing notifications only."""
        return self.started_at + timedelta(seconds=self.duration_s)

    @property
    def title(self) -> str:  # noqa: PLR0911 - a table in the form of code
        """ "DOWN: shop", "UP: shop, recovered after 5m"."""
        state = self.state.value.upper()
        duration = format_duration(round(self.duration_s))
        state_duration = format_duration(round(max(0.0, (self.at - self.since).total_seconds())))
        match self.kind:
            case NotificationKind.REMINDER:
                return f"still {state}: {self.display_name}, for {state_duration}"
            case NotificationKind.FLAPPING:
                return f"FLAPPING: {self.display_name}"
            case NotificationKind.FLAPPING_END:
                return f"{state}: {self.display_name}, no longer flapping"
            case NotificationKind.RECOVERY if self.state is State.UP:
                return f"UP: {self.display_name}, recovered after {duration}"
            case NotificationKind.RECOVERY:  # to a state of which the notifier is not notified
                return f"now {state}: {self.display_name}, after {duration}"
            case NotificationKind.CLOSED:
                return f"CLOSED: {self.display_name}, no longer monitored"
            case NotificationKind.ISOLATED:
                return "This host appears to be isolated: nearly all network monitors fail"
            case NotificationKind.RECONNECTED:
                return f"This host is no longer isolated, after {duration}"
            case NotificationKind.TEST:
                return f"Test of notifier {self.notifier}"
            case _:
                return f"{state}: {self.display_name}"

    def as_json(self) -> dict[str, Any]:
        """The notification in the API and in storage; in webhooks and in the input of programs with its links."""
        return {
            "id": self.id,
            "notifier": self.notifier,
            "kind": self.kind.value,
            "title": self.title,
            "alert": self.alert,
            "number": self.number,
            "monitor": self.monitor,
            "opened_as": self.opened_as,
            "type": self.type_name,
            "tags": list(self.tags),
            "state": self.state.value,
            "since": _json_time(self.since),
            "started_at": _json_time(self.started_at),
            "at": _json_time(self.at),
            "duration_s": round(self.duration_s, 3),
            "reason": self.reason.value,
            "severity": self.severity.value,
            "detail": self.detail,
            **self.context.as_json(),
        }


def notification_of(record: Mapping[str, Any]) -> Notification:
    """The inverse of `as_json`. Raises KeyError, TypeError or ValueError for other input."""
    # Notifications that earlier releases have stored have no context. The severity is that of the state of the
    # notification, for which it gives the same severity again.
    passed_at, links_expire_at = record.get("passed_at"), record.get("links_expire_at")
    return Notification(
        id=str(record["id"]),
        notifier=str(record["notifier"]),
        kind=NotificationKind(record["kind"]),
        alert=str(record["alert"]),
        number=int(record["number"]),
        monitor=str(record["monitor"]),
        opened_as=str(record.get("opened_as", record["monitor"])),  # earlier releases did not store it
        type_name=str(record["type"]),
        tags=tuple(map(str, record["tags"])),
        state=State(record["state"]),
        since=datetime.fromisoformat(record["since"]),
        started_at=datetime.fromisoformat(record["started_at"]),
        at=datetime.fromisoformat(record["at"]),
        duration_s=float(record["duration_s"]),
        reason=Reason.of_code(record["reason"]),
        detail=str(record["detail"]),
        context=NotificationContext(
            MonitorContext(
                title=str(record.get("monitor_title", "")),
                description=str(record.get("description", "")),
                runbook=str(record.get("runbook", "")),
                contact=str(record.get("contact", "")),
                severity=Severity(record.get("severity", "critical")),
            ),
            url=str(record.get("url", "")),
            excerpt=str(record.get("excerpt", "")),
            passed_at=None if passed_at is None else datetime.fromisoformat(passed_at),
            parents=tuple(map(str, record.get("parents", ()))),
            siblings=tuple(map(str, record.get("siblings", ()))),
            dependents=tuple(map(str, record.get("dependents", ()))),
            locations=tuple(
                (str(entry["location"]), State(entry["state"])) for entry in record.get("locations", ())
            ),
            is_shared=bool(record.get("is_shared", False)),
            links_expire_at=None if links_expire_at is None else datetime.fromisoformat(links_expire_at),
        ),
    )


def notification_id(alert: str, notifier: str, number: int) -> str:
    # Not random, so that a notification has the same id again after a crash before it was stored.
    return blake2b(f"{alert} {number} {notifier}".encode(), digest_size=8).hexdigest()


@dataclass(frozen=True, slots=True)
class Paragraph:
    """One notification for people: the lines after its title, and labels with their values."""

    notification: Notification
    lines: tuple[str, ...]
    facts: tuple[tuple[str, str], ...]

    @property
    def text(self) -> str:
        lines = [self.notification.title, *self.lines]
        for label, value in self.facts:
            if label == EXCERPT_LABEL:
                lines += [f"{label}:", *(f"  {line}" for line in value.splitlines())]
            else:
                lines.append(f"{label}: {value}")
        return "\n".join(lines)


@dataclass(frozen=True, slots=True)
class Message:
    """At least one notification, the oldest first, all for one notifier. `instance` is the name of the sending host.

    `sent_at` is the time of the first delivery attempt: all that is sent under one key is the same at every attempt.
    `attempted_at` is the time of the current attempt, if it differs. `first_key` is the key of the first attempt: the
    node of a cluster that attempts the message again may order its notifications in another way, or have only a
    part of them, if the others have been recorded as sent.
    `location` is that of the sending node in its cluster; "" without a cluster.
    """

    notifications: Sequence[Notification]
    instance: str
    sent_at: datetime
    attempted_at: datetime | None = None
    first_key: str | None = None
    location: str = ""

    @property
    def key(self) -> str:
        """The value of `Idempotency-Key` and the like."""
        if self.first_key is not None:
            return self.first_key
        ids = [notification.id for notification in self.notifications]
        return ids[0] if len(ids) == 1 else blake2b(" ".join(ids).encode(), digest_size=8).hexdigest()

    @property
    def is_all_closing(self) -> bool:
        return all(notification.kind.is_closing for notification in self.notifications)

    @property
    def subject(self) -> str:
        """One line of limited length: "[monitord here] 2 DOWN (cron, ssh), 1 recovered (web)"."""
        # The last state of each monitor, after the last notification about this host.
        last = {notification.monitor: notification for notification in self.notifications}
        host = last.pop("", None)
        parts = [] if host is None else [host.title]
        if len(last) == 1:
            parts.append(next(iter(last.values())).title)
        elif last:
            names: dict[str, list[str]] = {}
            for name, notification in last.items():
                if notification.kind is NotificationKind.FLAPPING:
                    state_text = "FLAPPING"
                elif notification.kind is NotificationKind.CLOSED:
                    state_text = "closed"
                else:
                    is_recovered = (
                        notification.kind is NotificationKind.RECOVERY and notification.state is State.UP
                    )
                    state_text = "recovered" if is_recovered else notification.state.value.upper()
                names.setdefault(state_text, []).append(name)
            states = sorted(names, key=_SUMMARY_ORDER.index)
            # "7 DOWN (a, b, c, d, e and 2 more)", with fewer names if that is too long, and finally without names.
            counts = (
                ", ".join(
                    f"{len(names[state])} {state}"
                    + (f" ({first_of(names[state], max_names)})" if max_names else "")
                    for state in states
                )
                for max_names in range(MAX_NAMES, -1, -1)
            )
            max_units = MAX_SUBJECT_UNITS - sum(utf16_units(part) for part in parts)
            parts.append(next(text for text in counts if utf16_units(text) <= max_units or "(" not in text))
        return f"[monitord {self.instance}] {cut('; '.join(parts), MAX_SUBJECT_UNITS)}"

    @property
    def text(self) -> str:
        """A paragraph for each notification, and the closing lines."""
        paragraphs = [paragraph.text for paragraph in self.paragraphs]
        return "\n\n".join([*paragraphs, *self.closing_lines]) + "\n"

    @property
    def zone(self) -> tzinfo | None:
        """The time zone of all times: a fixed UTC offset, as there would be two across a change to summer time."""
        return self.sent_at.astimezone().tzinfo

    @property
    def paragraphs(self) -> Sequence["Paragraph"]:
        """One for each notification. All times are in the time zone that this host has at `sent_at`."""
        is_full = len(self.notifications) <= MAX_FULL_NOTIFICATIONS
        return [
            self._paragraph(
                notification, notification.context if is_full else notification.context.brief.without_links
            )
            for notification in self.notifications
        ]

    @property
    def closing_lines(self) -> Sequence[str]:
        """The instructions for acknowledging, and the time zone."""
        lines = []
        # Only the last notification about a monitor shows whether it still has an incident.
        last = {notification.monitor: notification for notification in self.notifications}
        names = [name for name, notification in last.items() if notification.is_acknowledgeable]
        if names:
            arguments = " ".join(map(shlex.quote, names[:MAX_SHOWN_RELATED]))
            lines.append(f"Acknowledge with: monitorctl ack {arguments}")
        if any(notification.kind is not NotificationKind.TEST for notification in self.notifications):
            moment = self.sent_at.astimezone(self.zone)
            zone, offset = moment.tzname() or "", f"{moment:%z}"
            if zone != "UTC":
                zone = f"{zone} (UTC{offset[:3]}:{offset[3:5]})"
            lines.append(f"Times are in {zone}.")
        return lines

    def _paragraph(self, notification: Notification, context: NotificationContext) -> "Paragraph":
        labels = []
        if notification.monitor:
            labels.append(f"type: {notification.type_name}")
            if notification.reason is not Reason.OK:
                labels.append(f"reason: {notification.reason.value}")
            if notification.severity is not MonitorContext().severity_in(notification.state):
                labels.append(f"severity: {notification.severity.value}")
            if notification.tags:
                labels.append(f"tags: {', '.join(notification.tags)}")
        lines = [
            _course(notification, self.zone),
            with_times_in(self.zone, notification.detail),
            "; ".join(labels),
            context.settings.description,
        ]
        if (self.sent_at - notification.at).total_seconds() > DELAYED_AFTER_S:
            created_at = _time_text(notification.at, self.zone)
            lines.append(f"Delayed: created at {created_at}, and could not be sent earlier.")
        facts = tuple(_facts(notification, context, self.zone))
        return Paragraph(notification, tuple(filter(None, lines)), facts)

    def shortened(self, fits: Callable[["Message"], bool]) -> "Message":
        """The message without most of the context if it does not fit, and with details cut until it fits.

        Without details if even the shortest do not fit.
        """
        if fits(self):
            return self
        notifications = [
            replace(notification, context=notification.context.brief) for notification in self.notifications
        ]
        message = replace(self, notifications=notifications)
        characters = max(len(notification.detail) for notification in self.notifications)
        while characters and not fits(message):
            characters = characters * 3 // 4 if characters > MIN_DETAIL_CHARACTERS else 0
            ending = "…" if characters else ""
            cut_ones = [
                replace(notification, detail=notification.detail[:characters] + ending)
                if len(notification.detail) > characters
                else notification
                for notification in notifications
            ]
            message = replace(self, notifications=cut_ones)
        return message

    def as_json(self) -> dict[str, Any]:
        return {
            "key": self.key,
            "instance": self.instance,
            "location": self.location,
            "subject": self.subject,
            "text": self.text,
            "sent_at": _json_time(self.sent_at),
            "notifications": [
                {**notification.as_json(), **notification.context.links_json()}
                for notification in self.notifications
            ],
        }


def cut(text: str, max_units: int) -> str:
    """Cut a text to a number of UTF-16 code units, with "…" at the end if it was longer.

    Services count characters in different ways. The number of UTF-16 code units is the largest of them, so the text is
    short enough for all.
    """
    if utf16_units(text) <= max_units:
        return text
    head = text.encode("utf-16-le", "surrogatepass")[: 2 * (max_units - 1)]
    return head.decode("utf-16-le", "ignore") + "…"


def utf16_units(text: str) -> int:
    return len(text) + sum(character > "\uffff" for character in text)


# The order of states in a subject.
_SUMMARY_ORDER = (*(state.value.upper() for state in WORST_FIRST), "FLAPPING", "recovered", "closed")


def _course(notification: Notification, zone: tzinfo | None) -> str:
    """A sentence: when the state and the problem began, and the duration of the problem. Empty for a test."""
    since, started_at = _time_text(notification.since, zone), _time_text(notification.started_at, zone)
    duration = format_duration(round(notification.duration_s))
    state = notification.state.value
    match notification.kind:
        case NotificationKind.TEST:
            return ""
        case NotificationKind.ISOLATED:
            return f"Isolated since {since}."
        case NotificationKind.RECONNECTED:
            return f"Isolated from {started_at} to {since}, for {duration}."
        case NotificationKind.RECOVERY:
            course = f"{notification.monitor} has been {state} since {since}"
            return f"{course}. The problem began at {started_at} and lasted {duration}."
        case NotificationKind.CLOSED:
            course = f"The monitor {notification.monitor} was removed at {_time_text(notification.at, zone)}"
            return f"{course}. The problem began at {started_at} and lasted {duration}."
        case NotificationKind.FLAPPING:
            state = "flapping"
        case _:
            pass
    course = f"{notification.monitor} has been {state} since {since}."
    is_later = notification.started_at < notification.since
    return f"{course} The problem began at {started_at}." if is_later else course


def _facts(
    notification: Notification, context: NotificationContext, zone: tzinfo | None
) -> Iterator[tuple[str, str]]:
    """Yield the label and value of the details of a notification, without empty values."""
    if context.passed_at is not None and not notification.kind.is_closing:
        yield "Last check that passed", _time_text(context.passed_at, zone)
    if context.excerpt:
        yield EXCERPT_LABEL, context.excerpt
    for label, names in (
        ("Parents that are not up", context.parents),
        ("Siblings that are not up", context.siblings),
        ("Dependents", context.dependents),
    ):
        if names:
            more = " and more" if len(names) > MAX_SHOWN_RELATED else ""
            yield label, f"{', '.join(names[:MAX_SHOWN_RELATED])}{more}"
    yield from context.action_links
    settings = context.settings
    for label, value in (("Runbook", settings.runbook), ("Contact", settings.contact), ("Page", context.url)):
        if value:
            yield label, value


def utc_text(moment: datetime) -> str:
    """RFC 3339, to the millisecond, with +00:00."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds")


def _json_time(moment: datetime) -> str:
    return utc_text(moment).replace("+00:00", "Z")


def _time_text(moment: datetime, zone: tzinfo | None) -> str:
    return f"{in_zone(moment, zone):%Y-%m-%d %H:%M:%S}"
