"""What people are told: a notice about one monitor, and the message that carries one or several of them.

A notice has an id that never changes, however often its delivery is tried: who gets it twice can tell. A message is
what one notifier delivers at once. Its key follows from the notices in it, so that it is the same at every attempt.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from hashlib import blake2b
from typing import Any

from monitord.model import Health, Reason
from monitord.units import format_duration

MOST_NAMED = 5
LATE_S = 120.0
"""A notice that is older than this when it goes out says when it happened."""


class NoticeKind(Enum):
    """Why somebody is told."""

    PROBLEM = "problem"
    CHANGE = "change"  # the problem has become another one
    REMINDER = "reminder"
    FLAPPING = "flapping"
    STEADY = "steady"  # not flapping any more, and not well
    RECOVERY = "recovery"
    BLIND = "blind"  # of no monitor: this host seems to be cut off, and what it sees is not believed
    SEEING = "seeing"
    ENDED = "ended"  # nobody looks any more: the monitor has left the configuration
    TEST = "test"

    @property
    def is_closing(self) -> bool:
        """It ends what was told before."""
        return self in _CLOSING


_CLOSING = frozenset({NoticeKind.RECOVERY, NoticeKind.ENDED, NoticeKind.SEEING})


@dataclass(frozen=True, slots=True)
class Notice:
    """`trouble` is the same for all notices about one problem, from the first to the closing one.

    `since` is when the trouble began, `at` when what this tells of happened. `number` counts the notices about the
    trouble to this notifier, from 1.
    """

    id: str
    notifier: str
    kind: NoticeKind
    trouble: str
    number: int
    monitor: str
    type_name: str
    tags: tuple[str, ...]
    health: Health
    since: datetime
    at: datetime
    reason: Reason
    detail: str

    @property
    def severity(self) -> str:
        """In the words of those who have some for alerts: "warning" for degraded, otherwise "critical"."""
        return "warning" if self.health is Health.DEGRADED else "critical"

    @property
    def title(self) -> str:
        """ "DOWN: shop", "UP again: shop, after 5m"."""
        lasted = format_duration(max(0.0, round((self.at - self.since).total_seconds())))
        state = self.health.value.upper()
        if self.kind is NoticeKind.TEST:
            return f"test of the notifier {self.notifier}"
        if self.kind is NoticeKind.BLIND:
            return "cut off: nearly everything fails at once, and is not believed"
        if self.kind is NoticeKind.SEEING:
            return f"sees again, after {lasted}"
        if self.kind is NoticeKind.RECOVERY:
            what = "UP again" if self.health is Health.UP else f"only {state} now"
            return f"{what}: {self.monitor}, after {lasted}"
        words = {
            NoticeKind.REMINDER: f"still {state} after {lasted}",
            NoticeKind.FLAPPING: "FLAPPING",
            NoticeKind.STEADY: f"not flapping any more, {state}",
            NoticeKind.ENDED: "watched no longer",
        }
        return f"{words.get(self.kind, state)}: {self.monitor}"

    def as_json(self) -> dict[str, Any]:
        """As the API, webhooks and programs get it."""
        return {
            "id": self.id,
            "notifier": self.notifier,
            "kind": self.kind.value,
            "title": self.title,
            "trouble": self.trouble,
            "number": self.number,
            "monitor": self.monitor,
            "type": self.type_name,
            "tags": list(self.tags),
            "state": self.health.value,
            "since": _text_of(self.since),
            "at": _text_of(self.at),
            "reason": self.reason.value,
            "detail": self.detail,
        }


def notice_of(record: Mapping[str, Any]) -> Notice:
    """From `as_json`. Raises KeyError, TypeError or ValueError for what no release of this version has written."""
    return Notice(
        id=str(record["id"]),
        notifier=str(record["notifier"]),
        kind=NoticeKind(record["kind"]),
        trouble=str(record["trouble"]),
        number=int(record["number"]),
        monitor=str(record["monitor"]),
        type_name=str(record["type"]),
        tags=tuple(map(str, record["tags"])),
        health=Health(record["state"]),
        since=datetime.fromisoformat(record["since"]),
        at=datetime.fromisoformat(record["at"]),
        reason=Reason(record["reason"]),
        detail=str(record["detail"]),
    )


def notice_id(trouble: str, notifier: str, number: int) -> str:
    """Follows from what it names, so that a crash between making and storing does not make two of one."""
    return blake2b(f"{trouble} {number} {notifier}".encode(), digest_size=8).hexdigest()


@dataclass(frozen=True, slots=True)
class Message:
    """At least one notice, the oldest first, all to one notifier. `origin` is the host that tells."""

    notices: Sequence[Notice]
    origin: str
    sent_at: datetime

    @property
    def key(self) -> str:
        """For `Idempotency-Key` and its like."""
        if len(self.notices) == 1:
            return self.notices[0].id
        return blake2b(" ".join(one.id for one in self.notices).encode(), digest_size=8).hexdigest()

    @property
    def is_all_closing(self) -> bool:
        return all(one.kind.is_closing for one in self.notices)

    @property
    def subject(self) -> str:
        """One line without a line break."""
        if len(self.notices) == 1:
            return f"[monitord {self.origin}] {self.notices[0].title}"
        counts = Counter(_plural_of(one) for one in self.notices)
        said = ", ".join(f"{count} {what}" for what, count in counts.items())
        names = list(dict.fromkeys(one.monitor for one in self.notices if one.monitor))
        named = ", ".join(names[:MOST_NAMED])
        if len(names) > MOST_NAMED:
            named += f" and {len(names) - MOST_NAMED} more"
        return f"[monitord {self.origin}] {said}: {named}"

    @property
    def text(self) -> str:
        """Lines for people."""
        return "\n\n".join(self._paragraph(one) for one in self.notices) + "\n"

    def _paragraph(self, notice: Notice) -> str:
        lines = [notice.title]
        if notice.detail:
            lines.append(notice.detail)
        if notice.monitor:
            what = "" if notice.reason is Reason.OK else f"; reason {notice.reason.value}"
            tags = f"; tags {', '.join(notice.tags)}" if notice.tags else ""
            lines.append(f"since {_said(notice.since)}; type {notice.type_name}{what}{tags}")
        if (self.sent_at - notice.at).total_seconds() > LATE_S:
            lines.append(f"this happened at {_said(notice.at)} and could not be told before")
        return "\n".join(lines)

    def as_json(self) -> dict[str, Any]:
        return {
            "key": self.key,
            "origin": self.origin,
            "subject": self.subject,
            "text": self.text,
            "sent_at": _text_of(self.sent_at),
            "notices": [one.as_json() for one in self.notices],
        }


def _plural_of(notice: Notice) -> str:
    if notice.kind in {NoticeKind.BLIND, NoticeKind.SEEING}:
        return str(notice.kind.value)
    return "recovered" if notice.kind is NoticeKind.RECOVERY else notice.health.value


def utc_text(moment: datetime) -> str:
    """RFC 3339, to the millisecond, with +00:00."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds")


def _text_of(moment: datetime) -> str:
    return utc_text(moment).replace("+00:00", "Z")


def _said(moment: datetime) -> str:
    """In the time of this machine, as its administrators read it."""
    local = moment.astimezone()
    return f"{local:%Y-%m-%d %H:%M:%S} {local.tzname()}"
