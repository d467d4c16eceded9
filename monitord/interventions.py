"""User actions on monitors and their notifications: pause, acknowledge, silence. Each is logged with its user.

A pause and an acknowledgement are stored with the state of their monitor, silences together.
"""

import logging
import secrets
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from monitord.clock import Clock, time_text
from monitord.dispatch import (
    Dispatcher,
    Matcher,
    MonitorEntry,
    Pause,
    Pipeline,
    Silence,
    Silences,
)
from monitord.errors import ControlError, InvalidValueError
from monitord.systemd.log import NOTICE
from monitord.text import counted

log = logging.getLogger("monitord")

MAX_SILENCES = 1000
MAX_SILENCE_CHARACTERS = 1 << 20
"""Limit for the names, patterns, tags and comments of all silences: they are in memory, and stored at each change."""


class Interventions:
    """Pauses, acknowledgements and silences on request."""

    def __init__(self, dispatcher: Dispatcher, pipeline: Pipeline, silences: Silences, clock: Clock) -> None:
        self._dispatcher = dispatcher
        self._pipeline = pipeline
        self._silences = silences
        self._clock = clock

    @property
    def silences(self) -> Sequence[Silence]:
        """The silences that have not ended, sorted by their end."""
        return self._silences.current(self._clock.now())

    def pause(self, name: str, by: str, comment: str | None) -> None:
        """Stop the checks until `resume`, or replace the comment. Raises KeyError if the monitor does not exist."""
        self._dispatcher.pause(name, Pause(by, self._clock.now(), comment))

    def resume(self, name: str, by: str) -> None:
        """Check the monitor again; no error if it is not paused. Raises KeyError if it does not exist."""
        if self._entry(name).state.pause is not None:
            log.log(NOTICE, "%s: resumed by %s", name, by, extra={"fields": {"MONITOR": name}})
        self._dispatcher.resume(name)

    def acknowledge(self, name: str, by: str, comment: str | None) -> None:
        """Acknowledge the open incident. Raises KeyError if the monitor does not exist, InvalidValueError if it has no
        open incident."""
        entry = self._entry(name)
        incident = entry.state.incident
        if incident is None:
            raise InvalidValueError(f"no open incident (state: {entry.state.effective.value})")
        acknowledged = replace(
            incident, acknowledged_by=by, acknowledged_at=self._clock.now(), comment=comment
        )
        self._pipeline.change_incident(entry, acknowledged)
        log.log(
            NOTICE,
            "%s: incident acknowledged by %s%s",
            name,
            by,
            f": {comment}" if comment else "",
            extra={"fields": {"MONITOR": name, "INCIDENT_ID": acknowledged.id}},
        )

    def unacknowledge(self, name: str, by: str) -> None:
        """Remove the acknowledgement: notifications about the incident are sent again. Raises KeyError if the monitor
        does not exist, InvalidValueError if no acknowledged incident is open."""
        entry = self._entry(name)
        incident = entry.state.incident
        if incident is None or incident.acknowledged_by is None:
            raise InvalidValueError(f"no acknowledged incident (state: {entry.state.effective.value})")
        acknowledged_by = incident.acknowledged_by
        self._pipeline.change_incident(
            entry, replace(incident, acknowledged_by=None, acknowledged_at=None, comment=None)
        )
        log.log(
            NOTICE,
            "%s: acknowledgement by %s removed by %s",
            name,
            acknowledged_by,
            by,
            extra={"fields": {"MONITOR": name, "INCIDENT_ID": incident.id}},
        )

    def silence(
        self, matcher: Matcher, until: datetime, comment: str | None, by: str, *, is_end_fixed: bool = False
    ) -> str:
        """Add a silence and return its id. Raises ControlError if there are too many silences."""
        silence = Silence(secrets.token_hex(4), matcher, self._clock.now(), until, by, comment, is_end_fixed)
        silences = [*self.silences, silence]
        if len(silences) > MAX_SILENCES:
            raise ControlError(
                f"there are {MAX_SILENCES} silences already, which is the limit", hint="end some of them"
            )
        if sum(map(_size_of, silences)) > MAX_SILENCE_CHARACTERS:
            raise ControlError(
                "the names, patterns, tags and comments of all silences would exceed "
                f"{MAX_SILENCE_CHARACTERS} characters, which is the limit",
                hint="end some of them, or select by tags instead of names",
            )
        self._silences.replace_all(silences)
        moment = time_text(until)
        count = sum(
            silence.covers(entry.name, entry.monitor.settings.tags)
            for entry in self._dispatcher.entries.values()
        )
        log.log(
            NOTICE,
            "silence %s created by %s: %s, until %s",
            silence.id,
            by,
            counted(count, "monitor"),
            moment,
        )
        return silence.id

    def unsilence(self, silence_id: str, by: str) -> None:
        """End a silence. Raises KeyError if it does not exist or has ended."""
        left = [silence for silence in self.silences if silence.id != silence_id]
        if len(left) == len(self.silences):
            raise KeyError(silence_id)
        self._silences.replace_all(left)
        log.log(NOTICE, "silence %s ended by %s", silence_id, by)

    def _entry(self, name: str) -> MonitorEntry:
        return self._dispatcher.entries[name]


def _size_of(silence: Silence) -> int:
    matcher = silence.matcher
    texts = (*matcher.names, *matcher.patterns, *matcher.tags, silence.comment or "")
    return sum(map(len, texts))
