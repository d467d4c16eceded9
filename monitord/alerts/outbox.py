"""The notices that wait to be delivered, and what became of the last ones; all of it outlives a restart.

`keep` gets each entry under a key of its own whenever it changes, and None when it may be forgotten. What is kept in
one turn of the event loop is stored in one transaction, with the change of health that a notice tells of.
"""

import logging
from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import Enum
from typing import Any

from monitord.notifiers import Notice, NoticeKind, notice_id, notice_of

log = logging.getLogger(__name__)

PREFIX = "notice:"
MOST_WAITING = 20_000
"""For all notifiers. Beyond it the oldest are dropped, which is said."""
MOST_PAST = 500

Keep = Callable[[str, Mapping[str, Any] | None], None]


class Fate(Enum):
    """What became of a notice."""

    WAITING = "waiting"
    SENT = "sent"
    GIVEN_UP = "given_up"


@dataclass(slots=True, eq=False)
class Entry:
    """A notice on its way. `via`: who is to deliver it, which is another one than it is for after a fallback.

    `message`: the key of the message whose delivery was attempted with it, and `message_at` when for the first time.
    Entries that share it stay one message until the peer refuses it, also over a restart, a reload and a fallback.

    `copy_to`: the fallback that got the problem which this notice closes. It gets the notice as well, unless the notice
    is handed over to it anyway.

    `queued_at_s`: of the monotonic clock, as the wall clock may be set meanwhile. None: not known yet in this run.
    """

    notice: Notice
    sequence: int
    via: str
    fate: Fate = Fate.WAITING
    attempts: int = 0
    message: str | None = None
    message_at: datetime | None = None
    copy_to: str | None = None
    ended_at: datetime | None = None
    said: str = ""
    queued_at_s: float | None = None

    @property
    def key(self) -> str:
        return PREFIX + self.notice.id

    @property
    def has_ended(self) -> bool:
        return self.fate is not Fate.WAITING

    def record(self) -> dict[str, Any]:
        return {
            "notice": self.notice.as_json(),
            "sequence": self.sequence,
            "via": self.via,
            "fate": self.fate.value,
            "attempts": self.attempts,
            "copy_to": self.copy_to,
            "message": self.message,
            "message_at": None if self.message_at is None else self.message_at.isoformat(),
            "ended_at": None if self.ended_at is None else self.ended_at.isoformat(),
            "said": self.said,
        }


class Outbox:
    """Owned by the event loop. Order is that in which notices were added.

    `kept`: what `keep` was given in an earlier run. `added` is called with the name of the notifier that a new entry is
    for, `given_up` with an entry that was given up.
    """

    def __init__(
        self,
        keep: Keep,
        kept: Mapping[str, Mapping[str, Any]] | None = None,
        *,
        added: Callable[[str], None] = lambda _: None,
        given_up: Callable[[Entry], None] = lambda _: None,
        most_waiting: int = MOST_WAITING,
        most_past: int = MOST_PAST,
    ) -> None:
        self._keep = keep
        self._added = added
        self._given_up = given_up
        self._most_waiting = most_waiting
        self._most_past = most_past
        self._waiting: dict[str, Entry] = {}
        self._queues: dict[str, dict[str, Entry]] = {}  # the same, by who is to deliver it
        self._past: deque[Entry] = deque()
        self._sequence = 0
        self._restore(kept or {})

    def _restore(self, kept: Mapping[str, Mapping[str, Any]]) -> None:
        """What cannot be read is forgotten, and that is logged."""
        entries, lost = [], 0
        for key, record in kept.items():
            if not key.startswith(PREFIX):
                continue
            try:
                entries.append(_entry_of(record))
            except (KeyError, TypeError, ValueError):
                self._keep(key, None)
                lost += 1
        if lost:
            log.warning("notices that were kept cannot be read, and are gone: %d", lost)
        for entry in sorted(entries, key=lambda entry: entry.sequence):
            self._sequence = entry.sequence
            if entry.fate is Fate.WAITING:
                self._let_wait(entry)
            else:
                self._past.append(entry)

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, notice: Notice, copy_to: str | None = None) -> Entry:
        """One that is there already, as after a crash in the middle, stays as it is."""
        if notice.id in self._waiting:
            return self._waiting[notice.id]
        self._sequence += 1
        entry = Entry(notice, self._sequence, notice.notifier, copy_to=copy_to)
        self._let_wait(entry)
        self.changed(entry)
        while len(self._waiting) > self._most_waiting:
            # A message that may have arrived is not to change, so what is in one is kept as long as there is other.
            oldest = next(
                (one for one in self._waiting.values() if one.message is None),
                next(iter(self._waiting.values())),
            )
            log.error(
                "more than %d notices wait: the oldest is dropped (%s)",
                self._most_waiting,
                oldest.notice.title,
            )
            self.give_up(oldest, oldest.notice.at, "too many notices waited")
        self._added(notice.notifier)
        return entry

    def _let_wait(self, entry: Entry) -> None:
        self._waiting[entry.notice.id] = entry
        self._queues.setdefault(entry.via, {})[entry.notice.id] = entry

    def changed(self, entry: Entry) -> None:
        self._keep(entry.key, entry.record())

    def end(self, entry: Entry, fate: Fate, at: datetime, said: str) -> None:
        """It waits no longer."""
        self._waiting.pop(entry.notice.id, None)
        self._queues.get(entry.via, {}).pop(entry.notice.id, None)
        entry.fate, entry.ended_at, entry.said = fate, at, said
        self._past.append(entry)
        self.changed(entry)
        if entry.copy_to is not None and entry.via == entry.notice.notifier:
            self.add(_copy_for(entry.notice, entry.copy_to))
        while len(self._past) > self._most_past:
            gone = self._past.popleft()
            if gone.notice.id not in self._waiting:
                self._keep(gone.key, None)

    def form(self, entries: Sequence[Entry], key: str, at: datetime) -> None:
        """From now on they are one message."""
        for entry in entries:
            entry.message, entry.message_at = key, at
            self.changed(entry)

    def dissolve(self, entries: Sequence[Entry]) -> None:
        """The peer does not take them as one message."""
        for entry in entries:
            entry.message = entry.message_at = None
            self.changed(entry)

    def give_up(self, entry: Entry, at: datetime, why: str) -> None:
        self.end(entry, Fate.GIVEN_UP, at, why)
        self._given_up(entry)

    def hand_over(self, entry: Entry, via: str) -> None:
        """Another one is to deliver it."""
        self._queues.get(entry.via, {}).pop(entry.notice.id, None)
        entry.via = via
        self._let_wait(entry)
        self.changed(entry)

    def is_problem_lost(self, closing: Notice) -> bool:
        """Whether the problem that this notice closes was not delivered to its notifier, or not yet."""
        opening = next((one for one in self.entries(closing.monitor) if _opens(one.notice, closing)), None)
        return opening is not None and opening.fate is not Fate.SENT

    def waiting_for(self, via: str) -> list[Entry]:
        return list(self._queues.get(via, {}).values())

    def waiting_for_others(self, names: Collection[str]) -> list[Entry]:
        """Those that none of these notifiers is to deliver."""
        return [entry for via in self._queues if via not in names for entry in self.waiting_for(via)]

    def count_for(self, via: str) -> int:
        return len(self._queues.get(via, {}))

    def entries(self, monitor: str | None = None) -> Sequence[Entry]:
        """The newest first, those that wait among them."""
        found: Iterator[Entry] = iter([*self._past, *self._waiting.values()])
        return sorted(
            (one for one in found if monitor is None or one.notice.monitor == monitor),
            key=lambda entry: entry.sequence,
            reverse=True,
        )


def _opens(notice: Notice, closing: Notice) -> bool:
    is_same = (notice.trouble, notice.notifier) == (closing.trouble, closing.notifier)
    return is_same and (notice.number == 1 or notice.kind is NoticeKind.PROBLEM)


def _copy_for(notice: Notice, fallback: str) -> Notice:
    copied = notice_id(f"{notice.trouble} for {notice.notifier}", fallback, notice.number)
    return replace(notice, id=copied, notifier=fallback)


def _entry_of(record: Mapping[str, Any]) -> Entry:
    ended_at, message, message_at, copy_to = (
        record[key] for key in ("ended_at", "message", "message_at", "copy_to")
    )
    return Entry(
        notice=notice_of(record["notice"]),
        sequence=int(record["sequence"]),
        via=str(record["via"]),
        fate=Fate(record["fate"]),
        attempts=int(record["attempts"]),
        copy_to=None if copy_to is None else str(copy_to),
        message=None if message is None else str(message),
        message_at=None if message_at is None else datetime.fromisoformat(message_at),
        ended_at=None if ended_at is None else datetime.fromisoformat(ended_at),
        said=str(record["said"]),
    )
