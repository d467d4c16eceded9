"""What people are told: a notification about one monitor, and the message that carries one or several of them.

A notification has an id that never changes, however often its delivery is tried: who gets it twice can tell. A
message is
what one notifier delivers at once. Its key follows from the notifications in it, so that it is the same at every
attempt.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta, tzinfo
from enum import Enum
from hashlib import blake2b
from typing import Any

from monitord.clock import with_times_in
from monitord.model import WORST_FIRST, Reason, State
from monitord.text import first_of
from monitord.units import format_duration

MOST_NAMED = 5
"""Monitors that a subject names of each state."""
MOST_SUBJECT_CHARACTERS = 200
"""Without the name of the host."""
LEAST_DETAIL_CHARACTERS = 20
LATE_S = 120.0
"""A notification that is older than this when it goes out says when it happened."""


class NotificationKind(Enum):
    """Why somebody is told."""

    PROBLEM = "problem"
    UPDATE = "update"  # the problem has become another one
    REMINDER = "reminder"
    FLAPPING = "flapping"
    FLAPPING_END = "flapping_end"  # not flapping any more, and not well
    RECOVERY = "recovery"
    ISOLATED = "isolated"  # of no monitor: this host seems to be cut off, and what it sees is not believed
    RECONNECTED = "reconnected"
    CLOSED = "closed"  # nobody looks any more: the monitor has left the configuration
    TEST = "test"

    @property
    def is_closing(self) -> bool:
        """It ends what was told before."""
        return self in _CLOSING


_CLOSING = frozenset({NotificationKind.RECOVERY, NotificationKind.CLOSED, NotificationKind.RECONNECTED})


@dataclass(frozen=True, slots=True)
class Notification:
    """`alert` is the same for all notifications about one problem, from the first to the closing one.

    `since` is when the monitor entered `health` (for FLAPPING: when flapping was recognised), `at` when this
    notification was
    made. `started_at` is the beginning of the problem that this notifier was notified of, `duration_s` how long that
    problem has lasted: for a closing notification until its end, otherwise until `at`. `number` counts the
    notifications about the alert to this notifier, from 1.
    """

    id: str
    notifier: str
    kind: NotificationKind
    alert: str
    number: int
    monitor: str
    type_name: str
    tags: tuple[str, ...]
    health: State
    since: datetime
    started_at: datetime
    at: datetime
    duration_s: float
    reason: Reason
    detail: str

    @property
    def severity(self) -> str:
        """Severity as alerting services name it: "warning" for degraded and unknown monitors, otherwise "critical"."""
        is_warning = self.health in {State.DEGRADED, State.UNKNOWN} and bool(self.monitor)
        return "warning" if is_warning else "critical"

    @property
    def ended_at(self) -> datetime:
        """The end of the problem. For a closing notification only."""
        return self.started_at + timedelta(seconds=self.duration_s)

    @property
    def title(self) -> str:
        """ "DOWN: shop", "UP again: shop, after 5m"."""
        lasted = format_duration(round(self.duration_s))
        state = self.health.value.upper()
        if self.kind is NotificationKind.TEST:
            return f"test of the notifier {self.notifier}"
        if self.kind is NotificationKind.ISOLATED:
            return "cut off: nearly everything fails at once, and is not believed"
        if self.kind is NotificationKind.RECONNECTED:
            return f"sees again, after {lasted}"
        if self.kind is NotificationKind.RECOVERY:
            what = {State.UP: "UP again", State.DEGRADED: "only DEGRADED now"}.get(
                self.health, f"now {state}"
            )
            return f"{what}: {self.monitor}, after {lasted}"
        state_lasted_s = max(0.0, (self.at - self.since).total_seconds())
        words = {
            NotificationKind.REMINDER: f"still {state} after {format_duration(round(state_lasted_s))}",
            NotificationKind.FLAPPING: "FLAPPING",
            NotificationKind.FLAPPING_END: f"not flapping any more, {state}",
            NotificationKind.CLOSED: "watched no longer",
        }
        return f"{words.get(self.kind, state)}: {self.monitor}"

    def as_json(self) -> dict[str, Any]:
        """As the API, webhooks and programs get it."""
        return {
            "id": self.id,
            "notifier": self.notifier,
            "kind": self.kind.value,
            "title": self.title,
            "alert": self.alert,
            "number": self.number,
            "monitor": self.monitor,
            "type": self.type_name,
            "tags": list(self.tags),
            "state": self.health.value,
            "since": _text_of(self.since),
            "started_at": _text_of(self.started_at),
            "at": _text_of(self.at),
            "duration_s": round(self.duration_s, 3),
            "reason": self.reason.value,
            "detail": self.detail,
        }


def notification_of(record: Mapping[str, Any]) -> Notification:
    """From `as_json`. Raises KeyError, TypeError or ValueError for what no release of this version has written."""
    return Notification(
        id=str(record["id"]),
        notifier=str(record["notifier"]),
        kind=NotificationKind(record["kind"]),
        alert=str(record["alert"]),
        number=int(record["number"]),
        monitor=str(record["monitor"]),
        type_name=str(record["type"]),
        tags=tuple(map(str, record["tags"])),
        health=State(record["state"]),
        since=datetime.fromisoformat(record["since"]),
        started_at=datetime.fromisoformat(record["started_at"]),
        at=datetime.fromisoformat(record["at"]),
        duration_s=float(record["duration_s"]),
        reason=Reason.of_code(record["reason"]),
        detail=str(record["detail"]),
    )


def notification_id(alert: str, notifier: str, number: int) -> str:
    """Follows from what it names, so that a crash between making and storing does not make two of one."""
    return blake2b(f"{alert} {number} {notifier}".encode(), digest_size=8).hexdigest()


@dataclass(frozen=True, slots=True)
class Message:
    """At least one notification, the oldest first, all to one notifier. `origin` is the host that tells.

    `sent_at` is when delivery was first attempted. It is the same at every attempt, so that what is sent under one key
    is the same as well; `attempted_at` is when this attempt began, where that differs.
    """

    notifications: Sequence[Notification]
    origin: str
    sent_at: datetime
    attempted_at: datetime | None = None

    @property
    def key(self) -> str:
        """For `Idempotency-Key` and its like."""
        if len(self.notifications) == 1:
            return self.notifications[0].id
        return blake2b(" ".join(one.id for one in self.notifications).encode(), digest_size=8).hexdigest()

    @property
    def is_all_closing(self) -> bool:
        return all(one.kind.is_closing for one in self.notifications)

    @property
    def subject(self) -> str:
        """One line of bounded length: "[monitord here] 2 DOWN (cron, ssh), 1 recovered (web)"."""
        return f"[monitord {self.origin}] {_summary(self.notifications)}"

    @property
    def text(self) -> str:
        """Lines for people. All times are in the time zone that this machine has at `sent_at`."""
        # The offset of one moment for all of them: across a change to or from summer time there would be two.
        zone = self.sent_at.astimezone().tzinfo
        paragraphs = [self._paragraph(one, zone) for one in self.notifications]
        if any(one.kind is not NotificationKind.TEST for one in self.notifications):
            paragraphs.append(f"Times are in {_zone_text(self.sent_at.astimezone(zone))}.")
        return "\n\n".join(paragraphs) + "\n"

    def _paragraph(self, notification: Notification, zone: tzinfo | None) -> str:
        lines = [notification.title]
        if notification.detail:
            lines.append(with_times_in(zone, notification.detail))
        fields = [_course(notification, zone)]
        if notification.monitor:
            fields.append(f"type {notification.type_name}")
            if notification.reason is not Reason.OK:
                fields.append(f"reason {notification.reason.value}")
            if notification.tags:
                fields.append(f"tags {', '.join(notification.tags)}")
        if any(fields):
            lines.append("; ".join(filter(None, fields)))
        if (self.sent_at - notification.at).total_seconds() > LATE_S:
            lines.append(
                f"delayed: this is from {_moment(notification.at, zone)} and could not be sent earlier"
            )
        return "\n".join(lines)

    def shortened(self, fits: Callable[["Message"], bool]) -> "Message":
        """With details cut as far as `fits` requires; without any, where even that is not enough."""
        shown = max(len(one.detail) for one in self.notifications)
        message = self
        while shown and not fits(message):
            shown = shown * 3 // 4 if shown > LEAST_DETAIL_CHARACTERS else 0
            message = replace(self, notifications=[_with_detail_of(one, shown) for one in self.notifications])
        return message

    def as_json(self) -> dict[str, Any]:
        return {
            "key": self.key,
            "origin": self.origin,
            "subject": self.subject,
            "text": self.text,
            "sent_at": _text_of(self.sent_at),
            "notifications": [one.as_json() for one in self.notifications],
        }


def cut(text: str, most_units: int) -> str:
    """The beginning of the text in at most so many UTF-16 code units, with "…" at the end where it was cut.

    Of what services call characters, UTF-16 code units are the largest number: a text that is short enough in them is
    so in code points as well.
    """
    if utf16_units(text) <= most_units:
        return text
    head = text.encode("utf-16-le", "surrogatepass")[: 2 * (most_units - 1)]
    return head.decode("utf-16-le", "ignore") + "…"


def utf16_units(text: str) -> int:
    return len(text) + sum(one > "\uffff" for one in text)


def _with_detail_of(notification: Notification, characters: int) -> Notification:
    if len(notification.detail) <= characters:
        return notification
    return replace(notification, detail=f"{notification.detail[:characters]}…" if characters else "")


# The order in which a subject names states.
_SUMMARY_ORDER = (
    *(health.value.upper() for health in WORST_FIRST),
    "FLAPPING",
    "recovered",
    "no longer monitored",
)


def _summary(notifications: Sequence[Notification]) -> str:
    """The last state of each monitor, and the last that is said of this host."""
    last = {notification.monitor: notification for notification in notifications}
    host = last.pop("", None)
    parts = [] if host is None else [host.title]
    if len(last) == 1:
        parts.append(next(iter(last.values())).title)
        return cut("; ".join(parts), MOST_SUBJECT_CHARACTERS)
    names: dict[str, list[str]] = {}
    for name, notification in last.items():
        names.setdefault(_state_of(notification), []).append(name)
    states = sorted(names, key=_SUMMARY_ORDER.index)
    if names:
        counts = (
            ", ".join(_named(state, names[state], most_named) for state in states)
            for most_named in range(MOST_NAMED, -1, -1)
        )
        left = MOST_SUBJECT_CHARACTERS - sum(utf16_units(part) for part in parts)
        parts.append(next(one for one in counts if utf16_units(one) <= left or "(" not in one))
    return cut("; ".join(parts), MOST_SUBJECT_CHARACTERS)


def _state_of(notification: Notification) -> str:
    """The state in a summary. A monitor that flaps is in none for long."""
    if notification.kind is NotificationKind.FLAPPING:
        return "FLAPPING"
    if notification.kind is NotificationKind.CLOSED:
        return "no longer monitored"
    is_recovered = notification.kind is NotificationKind.RECOVERY and notification.health is State.UP
    return "recovered" if is_recovered else notification.health.value.upper()


def _named(state: str, names: Sequence[str], most: int) -> str:
    """ "7 DOWN (a, b, c, d, e and 2 more)"; without names if `most` is 0."""
    return f"{len(names)} {state}" + (f" ({first_of(names, most)})" if most else "")


def _course(notification: Notification, zone: tzinfo | None) -> str:
    """When the state and the problem began, and how long the problem lasted."""
    since, started = _moment(notification.since, zone), _moment(notification.started_at, zone)
    problem = f"the problem began at {started}"
    lasted = f"{problem} and lasted {format_duration(round(notification.duration_s))}"
    if notification.kind is NotificationKind.TEST:
        return ""
    if notification.kind is NotificationKind.ISOLATED:
        return f"since {since}"
    if notification.kind is NotificationKind.RECONNECTED:
        return f"since {since}; {lasted}"
    if notification.kind is NotificationKind.RECOVERY:
        return f"{notification.health.value} since {since}; {lasted}"
    if notification.kind is NotificationKind.CLOSED:
        return f"removed from the configuration at {_moment(notification.at, zone)}; {lasted}"
    state = "flapping" if notification.kind is NotificationKind.FLAPPING else notification.health.value
    return f"{state} since {since}" + (f"; {problem}" if notification.started_at < notification.since else "")


def utc_text(moment: datetime) -> str:
    """RFC 3339, to the millisecond, with +00:00."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds")


def _text_of(moment: datetime) -> str:
    return utc_text(moment).replace("+00:00", "Z")


def _moment(moment: datetime, zone: tzinfo | None) -> str:
    return f"{moment.astimezone(zone):%Y-%m-%d %H:%M:%S}"


def _zone_text(moment: datetime) -> str:
    """ "CET (UTC+01:00)"; "UTC"."""
    name, offset = moment.tzname() or "", f"{moment:%z}"
    return name if name == "UTC" else f"{name} (UTC{offset[:3]}:{offset[3:5]})"
