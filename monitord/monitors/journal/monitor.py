"""Monitor type `journal`: entries of the journal that must not appear, or must appear.

    type = "journal"                          type = "journal"
    unit = "nginx"                            identifier = "backup"
    priority = "err"                          pattern = "^done"
    at_most = 3                               absent_for = "26h"
    within = "10m"

Entries are counted once, as they are written: the count and the cursor up to which it counts are stored together. A
match that changes the verdict requests a check, at most one per second.

Time is monotonic: when the wall clock is set or the machine was suspended, the counts are shifted. Between two runs it
is wall-clock time without the time for which the machine was off.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar

from monitord.clock import time_text
from monitord.conditions import COUNT, LATENCY, FieldType, Vocabulary
from monitord.config import Table
from monitord.health import HealthPolicy
from monitord.journal.feed import JournalFailureKind, JournalFeed, JournalQuery, JournalUpdate
from monitord.journal.reader import (
    KEPT_LINES,
    UnreadableError,
    check_readable,
    cursor_part,
    own_unit,
    unit_family,
)
from monitord.model import EXCERPT, FieldValue, Observation, Reason
from monitord.monitors.base import Monitor, MonitorSettings, Stopwatch, Tools
from monitord.monitors.journal.options import JournalOptions, read_journal_options
from monitord.monitors.journal.window import SLOTS, SlidingWindow
from monitord.units import format_duration

log = logging.getLogger(__name__)

WAKE_EVERY_S = 1.0
CLOCK_STEP_US = 1_000_000
"""Smaller changes of the wall clock are slewing."""

VOCABULARY = Vocabulary(
    {
        "journal.count": FieldType.NUMBER,
        "journal.last": FieldType.DURATION,
        "journal.total": FieldType.NUMBER,
        "journal.lines": FieldType.TEXTS,
        "message": FieldType.TEXT,
        "response_time": FieldType.DURATION,
    },
    {
        "journal.count": COUNT,
        "journal.total": COUNT,
        "response_time": LATENCY,
    },
)

_FAILURES = frozenset({Reason.JOURNAL_MATCHED, Reason.JOURNAL_ABSENT})
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_FORBIDDEN_HINT = "add SupplementaryGroups=systemd-journal to the unit: see monitord(8)"
_ABSENT_HINT = "see Storage= in journald.conf(5)"
_NOT_LEFT_OUT = ("_SYSTEMD_UNIT", "_SYSTEMD_USER_UNIT", "MONITOR")


class JournalMonitor(Monitor[JournalOptions]):
    type_name: ClassVar[str] = "journal"
    uses_network = False
    default_policy: ClassVar[HealthPolicy] = HealthPolicy(fail_after=1)
    vocabulary: ClassVar[Vocabulary] = VOCABULARY

    def __init__(
        self, settings: MonitorSettings, tools: Tools, own_cgroup: Path = Path("/proc/self/cgroup")
    ) -> None:
        super().__init__(settings, tools)
        self._own_cgroup = own_cgroup
        self._window = SlidingWindow(self.options.window_s)
        self._cursor: str | None = None
        self._total = 0
        self._last_us: int | None = None
        self._lines: deque[str] = deque(maxlen=KEPT_LINES)
        self._lost = 0
        self._since_us: int | None = None
        self._clock_offset_us: int | None = None
        self._remembered_us: int | None = None
        self._feed: JournalFeed | None = None
        self._has_failed = False
        self._wake: Callable[[], None] = lambda: None
        self._waking: asyncio.TimerHandle | None = None
        self._woken_s = float("-inf")

    @classmethod
    def read_options(cls, table: Table) -> JournalOptions:
        try:
            check_readable()
        except UnreadableError as error:
            if not (error.is_forbidden and table.is_read_by_other_user):
                hint = _FORBIDDEN_HINT if error.is_forbidden else _ABSENT_HINT
                table.warn("type", f"the journal cannot be read: {error}", hint)
        return read_journal_options(table)

    # Lifetime and state

    def start(self, wake: Callable[[], None]) -> None:
        options, now_us = self.options, self._now_us()
        self._wake = wake
        since_us = round(options.window_s * 1e6) if options.include_existing else 0
        if self._since_us is None:
            self._since_us = now_us - since_us
        self._clock_offset_us = self._offset_us(now_us)
        # Entries of monitord itself are excluded, unless the query names them: its log lines quote matching
        # entries, and would match again. So are those of another instance, as both could match those of each other.
        excludes: tuple[tuple[str, tuple[str, ...]], ...] = ()
        fields = dict(options.matches)
        is_named = "monitord" in fields.get("SYSLOG_IDENTIFIER", ())
        if not is_named and not any(name.startswith(_NOT_LEFT_OUT) for name in fields):
            unit = own_unit(self._own_cgroup.read_text())
            excludes = () if unit is None else ((unit[0], unit_family(unit[1])),)
        query = JournalQuery(
            matches=options.matches,
            pattern=options.pattern,
            # A message that could not be searched must neither hide an error nor count as the expected entry.
            counts_inconclusive=options.at_most is not None,
            excludes=excludes,
            slot_us=self._window.slot_us,
            slots=SLOTS,
        )
        self._feed = self.tools.journal.follow(query, self._on_update, cursor=self._cursor, since_us=since_us)

    async def close(self) -> None:
        if self._waking is not None:
            self._waking.cancel()
        if self._feed is not None:
            await self._feed.close()

    def dump_state(self) -> Mapping[str, Any]:
        self._follow_clock()
        return {
            "query": self._query_key(),
            "cursor": self._cursor,
            "counts": self._window.kept(),
            "total": self._total,
            "last_us": self._last_us,
            "since_us": self._since_us,
            "lines": list(self._lines),
            "at_us": self._now_us(),
        }

    def restore_state(self, state: Mapping[str, Any]) -> None:
        cursor, at_us = state.get("cursor"), state.get("at_us")
        self._cursor = cursor if isinstance(cursor, str) else None
        if state.get("query") != self._query_key():
            # The counts are of another query. The cursor is kept: entries written since then are read.
            return
        self._remembered_us = at_us if isinstance(at_us, int) else None
        counts, lines, total = state.get("counts"), state.get("lines"), state.get("total")
        self._window.restore(counts if isinstance(counts, list) else [])
        self._lines.extend(str(line) for line in (lines if isinstance(lines, list) else []))
        self._total = total if isinstance(total, int) else 0
        last_us, since_us = state.get("last_us"), state.get("since_us")
        self._last_us = last_us if isinstance(last_us, int) else None
        self._since_us = since_us if isinstance(since_us, int) else None

    # Entries

    def _on_update(self, update: JournalUpdate) -> None:
        self._follow_clock()
        # The first entries after a reboot: the time for which the machine was off does not count.
        before, at_us = self._cursor, self._remembered_us
        if update.cursor is not None and at_us is not None:
            self._remembered_us = None
            if before is not None and cursor_part(before, "b") != cursor_part(update.cursor, "b"):
                self._shift(max(0, self._now_us() - at_us))
        self._cursor = update.cursor
        self._window.add(update.counts)
        self._total += update.total
        self._lines.extend(update.lines)
        if update.total:
            self._last_us = max(self._last_us or 0, update.last_us)
        if update.lost:
            self._lost = update.lost
            log.warning("%s: %s", self.name, _lost_text(update.lost))
        if update.total and self._waking is None and self._changes_something():
            now_s = self.tools.clock.monotonic_s()
            rest_s = max(0.0, self._woken_s + WAKE_EVERY_S - now_s)
            self._waking = asyncio.get_running_loop().call_later(rest_s, self._wake_now)

    def _changes_something(self) -> bool:
        at_most = self.options.at_most
        if self.settings.needs:
            return True
        if at_most is None:
            return self._has_failed
        return not self._has_failed and self._window.count(self._now_us()) > at_most

    def _wake_now(self) -> None:
        self._waking = None
        self._woken_s = self.tools.clock.monotonic_s()
        self._wake()

    # Checks

    async def check(self) -> Observation:
        watch = Stopwatch(self.tools.clock)
        feed = self._feed
        has_all = feed is not None and await feed.sync(self.settings.timeout_s)
        self._follow_clock()
        now_us = self._now_us()
        failure = None if feed is None else feed.failure
        if failure is not None and failure.kind is not JournalFailureKind.BROKEN:
            is_forbidden = failure.kind is JournalFailureKind.FORBIDDEN
            hint = _FORBIDDEN_HINT if is_forbidden else _ABSENT_HINT
            result = f"{failure.text}; {hint}"
            return watch.observation(
                Reason.PROBER_FORBIDDEN, f"journal: {result}", subject="journal", outcome=result
            )
        count = self._window.count(now_us)
        reason, result = self._evaluate(count, now_us, has_all=has_all)
        if reason is Reason.PROBER_STALLED:
            result = f"not read to its end within {format_duration(self.settings.timeout_s)}"
            result += f": {failure.text}" if failure is not None else f", {_count_text(count)} so far"
        if self._lost:
            result += f"; {_lost_text(self._lost)}"
            self._lost = 0
        fields: dict[str, FieldValue] = {
            "journal.count": count,
            "journal.total": self._total,
            "journal.lines": tuple(self._lines),
        }
        if self._last_us is not None:
            fields["journal.last"] = max(0, now_us - self._last_us) / 1e6
        if self._lines:
            fields["message"] = self._lines[-1]
        self._has_failed = reason in _FAILURES
        fields["response_time"] = watch.elapsed_s
        excerpt = "\n".join(self._lines) or None
        return watch.observation(
            reason,
            f"journal: {result}",
            fields,
            response_data=lambda name, _: excerpt if name == EXCERPT else None,
            subject="journal",
            outcome=result,
        )

    def _evaluate(self, count: int, now_us: int, *, has_all: bool) -> tuple[Reason, str]:
        """Return the reason, and the result in words. `has_all`: the journal has been read to its end."""
        options = self.options
        window = format_duration(options.window_s)
        reason = Reason.OK if has_all else Reason.PROBER_STALLED
        if options.at_most is None:
            silent_since_us = max(self._last_us or 0, self._since_us or 0)
            is_silent = now_us - silent_since_us > options.window_s * 1e6
            if not is_silent:
                reason = Reason.OK
            elif has_all:
                reason = Reason.JOURNAL_ABSENT
            result = f"{_count_text(count)} in {window} (at least 1)"
            if is_silent:
                result = f"no match since {_time_text(silent_since_us)} (at most {window})"
        else:
            if count > options.at_most:
                reason = Reason.JOURNAL_MATCHED
            result = f"{_count_text(count)} in {window} (at most {options.at_most})"
        if self.settings.up_when and reason in _FAILURES:
            # `up_when` replaces the default condition of the type.
            reason = Reason.OK if has_all else Reason.PROBER_STALLED
        if self._last_us is not None and self._lines:
            result += f", the last at {_time_text(self._last_us)}: {self._lines[-1]}"
        return reason, result

    def journal_fields(self, observation: Observation) -> Mapping[str, str]:
        count = observation.fields.get("journal.count")
        return {} if count is None else {"JOURNAL_COUNT": str(count)}

    # Entries of monitord itself, and time

    def _query_key(self) -> list[Any]:
        """Return the query in a form that survives JSON."""
        return [[[name, *values] for name, values in self.options.matches], self.options.pattern]

    def _now_us(self) -> int:
        return (self.tools.clock.now() - _EPOCH) // _MICROSECOND

    def _offset_us(self, now_us: int) -> int:
        return now_us - round(self.tools.clock.monotonic_s() * 1e6)

    def _follow_clock(self) -> None:
        """Shift times when the wall clock leaps, such as after a suspend, so that ages stay the same."""
        if self._clock_offset_us is None:
            return
        leap_us = self._offset_us(self._now_us()) - self._clock_offset_us
        if abs(leap_us) >= max(CLOCK_STEP_US, self._window.slot_us):
            self._clock_offset_us += self._shift(leap_us)

    def _shift(self, by_us: int) -> int:
        shifted_us = self._window.shift(by_us)
        self._last_us = None if self._last_us is None else self._last_us + shifted_us
        self._since_us = None if self._since_us is None else self._since_us + shifted_us
        return shifted_us


def _count_text(count: int) -> str:
    return f"{count} match{'' if count == 1 else 'es'}"


def _time_text(at_us: int) -> str:
    return time_text(_EPOCH + at_us * _MICROSECOND)


def _lost_text(lost: int) -> str:
    entries = "1 entry" if lost == 1 else f"{'some' if lost < 0 else lost} entries"
    return f"the journal lost {entries} that had not been read; counting continues after them"
