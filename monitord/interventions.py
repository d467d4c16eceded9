"""User actions on monitors and their notifications: pause, acknowledge, silence. Each is logged with its user.

A pause and an acknowledgement are stored with the state of their monitor, silences together. In a cluster, the actions
on shared monitors and all silences are published to the other nodes (`on_change`), which apply them (`apply`).
"""

import logging
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from monitord.clock import Clock, time_text
from monitord.dispatch import (
    Dispatcher,
    Matcher,
    MonitorEntry,
    Pause,
    Pipeline,
    Silence,
    Silences,
    silence_from_record,
    silence_to_record,
)
from monitord.errors import ControlError, InvalidValueError
from monitord.model import Incident
from monitord.systemd.log import NOTICE
from monitord.text import counted

if TYPE_CHECKING:
    from monitord.cluster.model import Intervention

log = logging.getLogger("monitord")

MAX_SILENCES = 1000
MAX_SILENCE_CHARACTERS = 1 << 20
"""Limit for the names, patterns, tags and comments of all silences: they are in memory, and stored at each change."""


class Interventions:
    """Pauses, acknowledgements and silences on request."""

    def __init__(
        self,
        dispatcher: Dispatcher,
        pipeline: Pipeline,
        silences: Silences,
        clock: Clock,
        on_change: "Callable[[Intervention], None] | None" = None,
    ) -> None:
        """`on_change` is called after each action that concerns all nodes of a cluster, and must not raise; None: there
        is no cluster."""
        self._dispatcher = dispatcher
        self._pipeline = pipeline
        self._silences = silences
        self._clock = clock
        self._on_change = on_change

    @property
    def silences(self) -> Sequence[Silence]:
        """The silences that have not ended, sorted by their end."""
        return self._silences.current(self._clock.now())

    def pause(self, name: str, by: str, comment: str | None) -> None:
        """Stop the checks until `resume`, or replace the comment. Raises KeyError if the monitor does not exist."""
        pause = Pause(by, self._clock.now(), comment)
        self._dispatcher.pause(name, pause)
        self._publish_pause(name, pause)

    def resume(self, name: str, by: str) -> None:
        """Check the monitor again; no error if it is not paused. Raises KeyError if it does not exist."""
        if self._entry(name).state.pause is not None:
            log.log(NOTICE, "%s: resumed by %s", name, by, extra={"fields": {"MONITOR": name}})
        self._dispatcher.resume(name)
        self._publish_pause(name, None)

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
        self._change_incident(entry, acknowledged)
        self._publish_acknowledgement(acknowledged)

    def unacknowledge(self, name: str, by: str) -> None:
        """Remove the acknowledgement: notifications about the incident are sent again. Raises KeyError if the monitor
        does not exist, InvalidValueError if no acknowledged incident is open."""
        entry = self._entry(name)
        incident = entry.state.incident
        if incident is None or incident.acknowledged_by is None:
            raise InvalidValueError(f"no acknowledged incident (state: {entry.state.effective.value})")
        self._change_incident(
            entry, replace(incident, acknowledged_by=None, acknowledged_at=None, comment=None), by
        )
        self._publish_acknowledgement(entry.state.incident)

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
        self._add_silence(silence)
        if self._on_change is not None:
            self._on_change(_intervention("silence", silence.id, silence_to_record(silence)))
        return silence.id

    def unsilence(self, silence_id: str, by: str) -> None:
        """End a silence. Raises KeyError if it does not exist or has ended."""
        remaining = [silence for silence in self.silences if silence.id != silence_id]
        if len(remaining) == len(self.silences):
            raise KeyError(silence_id)
        self._silences.replace_all(remaining)
        log.log(NOTICE, "silence %s ended by %s", silence_id, by)
        if self._on_change is not None:
            self._on_change(_intervention("silence", silence_id, None))

    # -- other nodes of a cluster -------------------------------------------------------------------------

    def apply(self, intervention: "Intervention") -> None:
        """Apply an action of another node, without publishing it. No effect if it is applied already.

        Ignored if it is about a monitor that this node does not have, or about an incident that has ended. Raises
        KeyError, TypeError or ValueError if the record cannot be read.
        """
        key, record = intervention.key, intervention.record
        kind = intervention.kind.value
        if kind == "silence":
            others = [silence for silence in self.silences if silence.id != key]
            if record is None:
                if len(others) < len(self.silences):
                    self._silences.replace_all(others)
                    log.log(NOTICE, "silence %s ended on another node", key)
                return
            silence = silence_from_record(record)
            if silence.until > self._clock.now() and silence not in self.silences:
                self._add_silence(silence)
        elif key in self._dispatcher.entries:
            (self._apply_pause if kind == "pause" else self._apply_acknowledgement)(key, record)

    def _apply_pause(self, name: str, record: Mapping[str, Any] | None) -> None:
        before = self._entry(name).state.pause
        if record is not None:
            pause = Pause(str(record["by"]), _moment(record["at"]), _comment(record))
            if pause != before:
                self._dispatcher.pause(name, pause)
        elif before is not None:
            log.log(NOTICE, "%s: resumed on another node", name, extra={"fields": {"MONITOR": name}})
            self._dispatcher.resume(name)

    def _apply_acknowledgement(self, name: str, record: Mapping[str, Any] | None) -> None:
        entry = self._entry(name)
        incident = entry.state.incident
        if incident is None:
            return
        changed = replace(incident, acknowledged_by=None, acknowledged_at=None, comment=None)
        if record is not None:
            at = _moment(record["at"])
            if record["incident"] != incident.id and at < incident.opened_at:
                return  # the acknowledgement of an earlier incident
            changed = replace(
                incident, acknowledged_by=str(record["by"]), acknowledged_at=at, comment=_comment(record)
            )
        if changed != incident:
            self._change_incident(entry, changed, "another node")

    def _publish_pause(self, name: str, pause: Pause | None) -> None:
        if self._on_change is not None and self._dispatcher.is_shared(name):
            record = None
            if pause is not None:
                record = {"by": pause.by, "at": pause.at.timestamp(), "comment": pause.comment}
            self._on_change(_intervention("pause", name, record))

    def _publish_acknowledgement(self, incident: Incident | None) -> None:
        if self._on_change is None or incident is None or not self._dispatcher.is_shared(incident.monitor):
            return
        record = None
        if incident.acknowledged_at is not None:
            record = {
                "incident": incident.id,
                "by": incident.acknowledged_by,
                "at": incident.acknowledged_at.timestamp(),
                "comment": incident.comment,
            }
        self._on_change(_intervention("acknowledgement", incident.monitor, record))

    # -- common -------------------------------------------------------------------------------------------

    def _change_incident(self, entry: MonitorEntry, changed: Incident, by: str = "") -> None:
        """Replace the open incident after a change of its acknowledgement. `by`: who has removed it."""
        before = entry.state.incident
        self._pipeline.change_incident(entry, changed)
        fields = {"MONITOR": entry.name, "INCIDENT_ID": changed.id}
        if changed.acknowledged_by is not None:
            log.log(
                NOTICE,
                "%s: incident acknowledged by %s%s",
                entry.name,
                changed.acknowledged_by,
                f": {changed.comment}" if changed.comment else "",
                extra={"fields": fields},
            )
        else:
            log.log(
                NOTICE,
                "%s: acknowledgement by %s removed by %s",
                entry.name,
                None if before is None else before.acknowledged_by,
                by,
                extra={"fields": fields},
            )

    def _add_silence(self, silence: Silence) -> None:
        others = [other for other in self.silences if other.id != silence.id]
        self._silences.replace_all([*others, silence])
        count = sum(
            silence.covers(entry.name, entry.monitor.settings.tags)
            for entry in self._dispatcher.entries.values()
        )
        log.log(
            NOTICE,
            "silence %s created by %s: %s, until %s",
            silence.id,
            silence.by,
            counted(count, "monitor"),
            time_text(silence.until),
        )

    def _entry(self, name: str) -> MonitorEntry:
        return self._dispatcher.entries[name]


def _size_of(silence: Silence) -> int:
    matcher = silence.matcher
    texts = (*matcher.names, *matcher.patterns, *matcher.tags, silence.comment or "")
    return sum(map(len, texts))


def _intervention(kind: str, key: str, record: Mapping[str, Any] | None) -> "Intervention":
    # Imported by nodes of a cluster only: see lazy_classes.py.
    from monitord.cluster.model import Intervention, InterventionKind  # noqa: PLC0415

    return Intervention(InterventionKind(kind), key, record)


def _moment(stamp: float) -> datetime:
    return datetime.fromtimestamp(stamp, UTC)


def _comment(record: Mapping[str, Any]) -> str | None:
    return None if record["comment"] is None else str(record["comment"])
