"""Tells people: owns the troubles, decides who hears what, and has it delivered.

`look` is called whenever something about a monitor may have changed, and every few seconds for those in trouble, as
time alone changes what is due (`after`, `repeat_every`, quiet hours, the end of a silence). Neither waits for
anybody. What is decided is kept in the same turn of the event loop as the change of health that it follows from.
"""

import asyncio
import logging
import math
import secrets
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from monitord.alerts.courier import LEAVE_WITHIN_S, Courier
from monitord.alerts.decisions import Decision, Suppression, SuppressionReason
from monitord.alerts.outbox import Entry, Keep, Outbox
from monitord.alerts.routes import AlertSettings
from monitord.alerts.troubles import (
    Standing,
    Trouble,
    advance,
    blindness_began,
    blindness_ended,
    blindness_goes_on,
    closed,
    end,
    fallback_to_close,
    goes_on,
    handed_over,
    in_new_time,
    record_of,
    trouble_of,
)
from monitord.clock import Clock
from monitord.model import Health, Reason
from monitord.notifiers import (
    NOTIFIER_TYPES,
    Message,
    Notice,
    NoticeKind,
    Notifier,
    NotifierSettings,
    NotifierTools,
)

log = logging.getLogger("monitord")

LOOK_EVERY_S = 2.0
REMIND_EVERY_S = 30.0
LOOKED_AT_ONCE = 100
BUG_PAUSE_S = 60.0
AGAIN_EVERY_S = 60.0
KEEP_CLOSING_FOR = timedelta(days=1)
"""A notifier that has left the configuration gets a closing notice if it is added again within this time."""
PREFIX = "trouble:"
ENDED_PREFIX = "ended-trouble:"
MOST_ENDED = 1000
"""Monitors that have left the configuration, whose last trouble is remembered."""

StandingOf = Callable[[str], Standing | None]
Build = Callable[[NotifierSettings], Notifier[Any]]


class Alerts:
    """`apply`, then `run`; `close` at the end.

    `standing_of` returns what is evaluated of a monitor; None: it does not exist any more. `kept`: what `keep` was
    given in an earlier run.
    """

    def __init__(
        self,
        tools: NotifierTools,
        origin: str,
        keep: Keep,
        stored: Callable[[float], Awaitable[object]],
        standing_of: StandingOf,
        kept: Mapping[str, Mapping[str, Any]],
    ) -> None:
        self._tools = tools
        self._clock: Clock = tools.clock
        self._origin = origin
        self._keep = keep
        self._stored = stored
        self._standing_of = standing_of
        self._outbox = Outbox(keep, kept, added=self._nudge, given_up=self._forget_undelivered)
        self._settings = AlertSettings()
        self._troubles: dict[str, Trouble] = {}
        self._ended: dict[str, Trouble] = {}  # of monitors that have left the configuration, the oldest first
        self._decisions: dict[str, Mapping[str, Decision]] = {}
        self._last: dict[str, Standing] = {}
        self._look_at_s: dict[str, float] = {}
        self._blindness: Trouble | None = None
        self._couriers: dict[str, Courier] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._leaving: set[asyncio.Task[None]] = set()
        self._restore(kept)

    # -- life ---------------------------------------------------------------------------------------------

    def _restore(self, kept: Mapping[str, Mapping[str, Any]]) -> None:
        for key, record in kept.items():
            if key.startswith((PREFIX, ENDED_PREFIX)):
                try:
                    trouble = trouble_of(record)
                except (KeyError, TypeError, ValueError, AttributeError) as error:
                    log.warning("%s cannot be read, and is gone: %r", key, error)
                    self._keep(key, None)
                    continue
                if key.startswith(ENDED_PREFIX):
                    self._ended[trouble.monitor] = trouble
                elif trouble.monitor:
                    self._troubles[trouble.monitor] = trouble
                else:
                    self._blindness = trouble

    def apply(self, settings: AlertSettings) -> None:
        """Put these in force. Notifiers that stay as they are go on untouched. On the running loop."""
        wanted = {one.name: one for one in settings.notifiers}
        self._settings = settings
        self._look_at_s.clear()
        for name, courier in list(self._couriers.items()):
            if wanted.get(name) != courier.notifier.settings:
                self._dismiss(name)
        for name, one in wanted.items():
            if name not in self._couriers:
                self._employ(one)
        self._drop_for_nobody()
        if self._blindness is not None:
            self.see(is_blind=True)

    async def run(self, follow_clock: Callable[[], None] = lambda: None) -> None:
        """Evaluate what time alone changes, until cancelled.

        `follow_clock` is called before each evaluation: it moves what was dated by a clock that was set since.
        """
        again_at_s = self._clock.monotonic_s()
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            now_s = self._clock.monotonic_s()
            if now_s >= again_at_s + AGAIN_EVERY_S:
                again_at_s = now_s
                self._tell_again()
                self._drop_for_nobody()
            due = [name for name in self._troubles if self._look_at_s.get(name, now_s) <= now_s]
            for number, name in enumerate(due, 1):
                try:
                    follow_clock()
                    self.look(name)
                except Exception:
                    log.exception("%s: a bug in deciding who is told", name)
                if number % LOOKED_AT_ONCE == 0:
                    await asyncio.sleep(0)

    async def close(self, within_s: float = LEAVE_WITHIN_S) -> None:
        """What waits is kept for the next run; what is on its way gets so long to arrive."""
        for name in list(self._couriers):
            self._dismiss(name, within_s)
        if self._leaving:
            await asyncio.wait(self._leaving)

    # -- what happens -------------------------------------------------------------------------------------

    def look(self, monitor: str) -> None:
        """See whether somebody is to be told of it. Never blocks."""
        standing = self._standing_of(monitor)
        if standing is None:
            self.retire(monitor)
            return
        before = self._troubles.get(monitor)
        if before is None and standing.health not in self._settings.states and not standing.is_flapping:
            return
        if standing.suppression is None and self._is_unknown_by_isolation(standing):
            standing = replace(standing, suppression=Suppression(SuppressionReason.ISOLATED))
        found = advance(before, standing, self._settings, self._clock.now(), self._ended.get(monitor))
        self._decisions[monitor] = found.decisions
        self._look_at_s[monitor] = self._clock.monotonic_s() + self._patience_s(found.decisions)
        self._last[monitor] = standing
        if found.trouble is None:
            self._forget(monitor)
        else:
            self._troubles[monitor] = found.trouble
            self._forget_ended(monitor)
            if found.trouble is not before:
                # Also without recipients: `after` counts from its beginning, over restarts as well.
                self._keep(PREFIX + monitor, record_of(found.trouble))
        self._send(found.notices, before)

    def retire(self, monitor: str) -> None:
        """It is watched no longer: whoever was told of a trouble hears that nobody looks any more."""
        trouble = self._troubles.get(monitor)
        if trouble is None:
            return
        now = self._clock.now()
        last = self._last.get(monitor) or Standing(
            monitor, "", (), Health.PENDING, trouble.since, Reason.OK, "it has left the configuration"
        )
        notices = end(trouble, last, now)
        self._forget(monitor)
        if trouble.told:
            self._ended[monitor] = closed(trouble)
            self._keep(ENDED_PREFIX + monitor, record_of(self._ended[monitor]))
            while len(self._ended) > MOST_ENDED:
                self._forget_ended(next(iter(self._ended)))
        self._send(notices, trouble)

    def rename(self, old: str, new: str) -> None:
        trouble = self._troubles.get(old)
        if trouble is None:
            return
        own = self._troubles.get(new)
        if own is not None and own.told:
            # Recipients were notified under both names, and only one alert can go on.
            self.retire(old)
            return
        self._forget(old)
        self._troubles[new] = replace(trouble, monitor=new)
        self._keep(PREFIX + new, record_of(self._troubles[new]))

    def see(self, *, is_blind: bool) -> None:
        """This host seems to be cut off, or is not any more."""
        now = self._clock.now()
        if is_blind and self._blindness is None:
            found = blindness_began(self._settings.names, now)
            self._blindness = found.trouble
            if found.trouble is not None:
                self._keep(PREFIX, record_of(found.trouble))
            self._send(found.notices)
        elif is_blind and self._blindness is not None:
            # A notifier that came since.
            found = blindness_goes_on(self._blindness, self._settings.names, now)
            if found.trouble is not self._blindness and found.trouble is not None:
                self._blindness = found.trouble
                self._keep(PREFIX, record_of(found.trouble))
            self._send(found.notices)
        elif not is_blind and self._blindness is not None:
            before, self._blindness = self._blindness, None
            self._keep(PREFIX, None)
            self._send(blindness_ended(before, now), before)

    def follow_clock(self, moment: Callable[[datetime], datetime]) -> None:
        """The wall clock was set: `moment` gives a moment in its new time."""
        for name, trouble in self._troubles.items():
            self._troubles[name] = moved = in_new_time(trouble, moment)
            if moved != trouble:
                self._keep(PREFIX + name, record_of(moved))
        if self._blindness is not None:
            self._blindness = in_new_time(self._blindness, moment)
            self._keep(PREFIX, record_of(self._blindness))
        self._look_at_s.clear()

    def settle(self, monitors: Iterable[str], *, is_blind: bool) -> None:
        """Evaluate every monitor after a start, and close the alerts of monitors that were removed meanwhile.

        All of them, not only those with an alert: it may have been held back before the stop, or there was no
        notifier yet.
        """
        self.see(is_blind=is_blind)
        for name in {**self._troubles, **dict.fromkeys(monitors)}:
            self.look(name)

    async def test(self, notifier: str, by: str) -> str:
        """Deliver a notice that says so, now. Returns what was said to it.

        Raises KeyError for an unknown notifier, DeliveryError when it was not taken.
        """
        courier = self._couriers[notifier]
        log.info("%s: test asked for by %s", notifier, by)
        now = self._clock.now()
        notice = Notice(
            id=secrets.token_hex(8),
            notifier=notifier,
            kind=NoticeKind.TEST,
            trouble=secrets.token_hex(8),
            number=1,
            monitor="",
            type_name="",
            tags=(),
            health=Health.UP,
            since=now,
            started_at=now,
            at=now,
            duration_s=0.0,
            reason=Reason.OK,
            detail=f"{by} has asked for it. No monitor is meant.",
        )
        return await courier.test(Message([notice], self._origin, now))

    # -- what is shown ------------------------------------------------------------------------------------

    @property
    def couriers(self) -> Mapping[str, Courier]:
        return self._couriers

    def waiting_for(self, notifier: str) -> int:
        return self._outbox.count_for(notifier)

    def entries(self, monitor: str | None = None) -> Sequence[Entry]:
        """The notices that are remembered, the newest first."""
        return self._outbox.entries(monitor)

    def trouble_of(self, monitor: str) -> Trouble | None:
        return self._troubles.get(monitor)

    def decisions(self, monitor: str) -> Mapping[str, Decision]:
        """By notifier: why it was notified of this monitor's alert, or not. Empty if there is no alert."""
        return self._decisions.get(monitor, {}) if monitor in self._troubles else {}

    def failing(self) -> list[Courier]:
        return [courier for courier in self._couriers.values() if courier.failing is not None]

    # -- within -------------------------------------------------------------------------------------------

    def _send(self, notices: Sequence[Notice], before: Trouble | None = None) -> None:
        """`before` is the trouble as it was before these notices."""
        for notice in notices:
            if notice.notifier in self._settings.names or notice.kind.is_closing:
                entry = self._outbox.add(
                    notice, None if before is None else fallback_to_close(before, notice)
                )
                if entry.queued_at_s is None:
                    entry.queued_at_s = self._clock.monotonic_s()

    def _forget_undelivered(self, entry: Entry) -> None:
        """The notifier never got this notification: if the problem lasts, it is notified again."""
        notice = entry.notice
        trouble = next((one for one in self._troubles.values() if one.id == notice.trouble), None)
        told = None if trouble is None else trouble.told.get(notice.notifier)
        if (
            trouble is None
            or told is None
            or not told.is_open
            or notice.kind.is_closing
            or told.count != notice.number
        ):
            return
        is_unaware = notice.kind is NoticeKind.PROBLEM
        unaware = (
            replace(told, health=None, flapping_since=None) if is_unaware else replace(told, lost=notice.kind)
        )
        trouble = replace(trouble, told={**trouble.told, notice.notifier: unaware})
        self._troubles[trouble.monitor] = trouble
        self._look_at_s.pop(trouble.monitor, None)
        self._keep(PREFIX + trouble.monitor, record_of(trouble))

    def _nudge(self, notifier: str) -> None:
        if notifier in self._couriers:
            self._couriers[notifier].nudge()

    def _tell_again(self) -> None:
        """To those that forget what they do not hear of."""
        now = self._clock.now()
        troubles = [*self._troubles.values(), *([self._blindness] if self._blindness else [])]
        for name, courier in self._couriers.items():
            if courier.notifier.wants_to_hear_again:
                found = (goes_on(one, name, self._last.get(one.monitor), now) for one in troubles)
                courier.tell_again([notice for notice in found if notice is not None])

    def _forget(self, monitor: str) -> None:
        trouble = self._troubles.pop(monitor, None)
        self._decisions.pop(monitor, None)
        self._last.pop(monitor, None)
        self._look_at_s.pop(monitor, None)
        if trouble is not None:
            self._keep(PREFIX + monitor, None)

    def _is_unknown_by_isolation(self, standing: Standing) -> bool:
        """Whether the notice of the isolation says it all, until the first check after it."""
        is_by_members = self._blindness is not None and standing.reason is Reason.MEMBERS_UNKNOWN
        return standing.health is Health.UNKNOWN and (standing.reason is Reason.PROBER_BLIND or is_by_members)

    def _forget_ended(self, monitor: str) -> None:
        if self._ended.pop(monitor, None) is not None:
            self._keep(ENDED_PREFIX + monitor, None)

    def _patience_s(self, decisions: Mapping[str, Decision]) -> float:
        """How long nothing can become due by the time alone. In an outage there may be thousands of troubles."""
        if not all(decision.is_aware for decision in decisions.values()):
            return LOOK_EVERY_S
        return REMIND_EVERY_S if self._settings.has_reminders else math.inf

    def _employ(self, settings: NotifierSettings) -> None:
        notifier = NOTIFIER_TYPES[settings.type_name](settings, self._tools)
        courier = Courier(notifier, self._outbox, self._clock, self._origin, self._stored, self._hand_over)
        self._couriers[settings.name] = courier
        before = [task for task in self._leaving if task.get_name() == settings.name]
        self._tasks[settings.name] = asyncio.ensure_future(_work(courier, before))

    def _dismiss(self, name: str, within_s: float = LEAVE_WITHIN_S) -> None:
        courier, task = self._couriers.pop(name), self._tasks.pop(name)
        leaving = asyncio.ensure_future(_leave(courier, task, within_s))
        leaving.set_name(name)
        self._leaving.add(leaving)
        leaving.add_done_callback(self._leaving.discard)

    def _hand_over(self, fallback: str, entries: Sequence[Entry]) -> bool:
        courier = self._couriers.get(fallback)
        if courier is None:
            return False
        by = {entry.via for entry in entries}
        for entry in entries:
            self._outbox.hand_over(entry, fallback)
            trouble = self._troubles.get(entry.notice.monitor)
            marked = None if trouble is None else handed_over(trouble, entry.notice, fallback)
            if marked is not None and marked is not trouble:
                self._troubles[marked.monitor] = marked
                self._keep(PREFIX + marked.monitor, record_of(marked))
        ids = {entry.notice.trouble for entry in entries}
        for entry in [waiting for name in by for waiting in self._outbox.waiting_for(name)]:
            if entry.notice.kind.is_closing and entry.notice.trouble in ids:
                entry.copy_to = fallback
                self._outbox.changed(entry)
        courier.nudge()
        return True

    def _drop_for_nobody(self) -> None:
        """Notices to notifiers that are not there any more, closing ones after a time: the notifier may come back."""
        now = self._clock.now()
        for entry in self._outbox.waiting_for_others(self._couriers):
            if entry.notice.notifier in self._couriers:  # it was its fallback that has left
                self._outbox.hand_over(entry, entry.notice.notifier)
                self._couriers[entry.notice.notifier].nudge()
            elif not entry.notice.kind.is_closing or now - entry.notice.at > KEEP_CLOSING_FOR:
                self._outbox.give_up(entry, now, "the notifier has left the configuration")
                log.warning("%s is no notifier any more: not told: %s", entry.via, entry.notice.title)


async def _work(courier: Courier, before: Sequence[asyncio.Task[None]]) -> None:
    """Not before who had the work has left: a message would go out twice."""
    if before:
        await asyncio.wait(before)
    courier.nudge()
    while True:
        try:
            await courier.run()
        except Exception:
            log.exception("%s: a bug in delivering; it goes on", courier.name)
            await asyncio.sleep(BUG_PAUSE_S)


async def _leave(courier: Courier, task: asyncio.Task[None], within_s: float) -> None:
    task.cancel()
    await asyncio.wait([task])
    await courier.close(within_s)
