"""Log lines of checks and of changes of the state, with journal fields to match on.

A transition is logged once, at a level that depends on the new state. Checks are always logged at level info, so a long
outage does not repeat a warning.
"""

import logging
import math
from collections.abc import Mapping
from datetime import timedelta
from enum import Enum
from typing import Any

from monitord.clock import time_text
from monitord.dispatch.entry import MonitorEntry
from monitord.dispatch.silences import Silence
from monitord.dispatch.state import OpenMaintenance
from monitord.journal_events import JournalEvent
from monitord.model import Observation, Reason, Result, State, Transition, Verdict
from monitord.monitors import Monitor
from monitord.systemd.log import NOTICE
from monitord.units import format_duration

log = logging.getLogger("monitord.check")

_LEVELS = {
    State.PENDING: NOTICE,
    State.UP: NOTICE,
    State.DEGRADED: logging.WARNING,
    State.DOWN: logging.ERROR,
    State.UNREACHABLE: logging.WARNING,
    State.UNKNOWN: logging.WARNING,
    State.PAUSED: NOTICE,
}


LOG_LATE_EVERY_S = 60.0
"""Minimum interval of messages about skipped checks while this process is late."""

_PROBLEMS = frozenset({State.DEGRADED, State.DOWN, State.UNREACHABLE, State.UNKNOWN})


class LoggedChecks(Enum):
    """The checks that are logged. Changes of the state are always logged."""

    ALL = "all"
    FAILURES = "failures"
    CHANGES = "changes"


class CheckLog:
    """The log of checks and changes of the state. `location`: of this node; None without a cluster."""

    def __init__(self, mode: LoggedChecks, location: str | None = None) -> None:
        self.mode = mode
        self._location = {} if location is None else {"MONITOR_LOCATION": location}
        self._logged_late_at_s = -math.inf

    def configure(self, mode: LoggedChecks) -> None:
        """Change the checks that are logged."""
        self.mode = mode

    def log_check(
        self,
        entry: MonitorEntry,
        result: Result,
        transition: Transition | None,
        *,
        recovered_by_retry: bool,
        silence: Silence | None = None,
    ) -> None:
        """Log a check that has ended, and the change of state that it causes."""
        is_logged = self.mode is LoggedChecks.ALL or (
            self.mode is LoggedChecks.FAILURES and result.verdict is not Verdict.PASS
        )
        if is_logged and log.isEnabledFor(logging.INFO):
            observation = result.observation
            note = ""
            if result.verdict is Verdict.INCONCLUSIVE:
                note = f" (inconclusive: {observation.reason.value})"
            elif entry.state.health.is_soft:
                fail_after = entry.monitor.settings.policy.fail_after
                note = f" (failure {entry.state.health.streak_length} of {fail_after})"
            elif recovered_by_retry:
                note = " (recovered by retry)"
            log.info(
                "%s: %s%s",
                entry.name,
                observation.detail,
                note,
                # Without a MESSAGE_ID: `journalctl -x` would explain every single check.
                extra={"fields": {**_fields(entry, result), **self._location}},
            )
        if transition is not None:
            self.log_transition(entry, transition, silence)

    def log_skipped_check(self, entry: MonitorEntry) -> None:
        """Log that a check is skipped because the previous check is still queued or running.

        The caller limits the rate.
        """
        settings = entry.monitor.settings
        log.warning(
            "%s: check skipped: the previous check is still %s after check_every (%s)",
            settings.name,
            "queued for a slot" if entry.cycle.is_queued else "running",
            format_duration(settings.check_every_s),
            extra={
                "fields": {"MONITOR": settings.name, "MONITOR_TYPE": settings.type_name},
                "message_id": JournalEvent.CHECK_SKIPPED.message_id,
            },
        )

    def log_lateness(self, now_s: float, late_s: float) -> None:
        """Log that checks are skipped because the dispatcher did not run; at most every LOG_LATE_EVERY_S."""
        if now_s - self._logged_late_at_s >= LOG_LATE_EVERY_S:
            log.warning(
                "checks are late by %s, and some were skipped: this process was stopped, or this host is overloaded",
                format_duration(round(late_s, 1)),
            )
            self._logged_late_at_s = now_s

    def log_bug(self, monitor: Monitor[Any], error: BaseException) -> None:
        """Log an exception that a monitor type has raised instead of returning an observation."""
        shown = monitor.masking.masked_traceback(error)
        log.error(
            "%s: bug in monitor type %s; checks continue, but are inconclusive while it occurs%s",
            monitor.name,
            monitor.type_name,
            "" if shown is None else f"\n{shown}",
            exc_info=error if shown is None else None,
            extra={
                "fields": {"MONITOR": monitor.name, "MONITOR_TYPE": monitor.type_name},
                "message_id": JournalEvent.MONITOR_BUG.message_id,
            },
        )

    def log_transition(
        self, entry: MonitorEntry, transition: Transition, silence: Silence | None = None
    ) -> None:
        """Log a change of state. The level is lower if no notification is sent."""
        after, state = transition.after, entry.state
        why = f": {transition.detail}" if after in _PROBLEMS and transition.detail else ""
        level, note = _LEVELS[after], ""
        if after is State.PAUSED and state.pause is not None:
            why = f" by {state.pause.by}{_comment(state.pause.comment)}"
        if state.maintenance is not None:
            level, note = min(level, NOTICE), f" (maintenance: {state.maintenance.name})"
        elif silence is not None:
            level, note = min(level, NOTICE), f" (silenced by {silence.by}{_comment(silence.comment)})"
        elif state.is_flapping:
            level, note = logging.INFO, " (flapping)"
        elif after is State.UNKNOWN and transition.reason is Reason.PROBER_ISOLATED:
            level = logging.INFO  # logged once for all monitors
        log.log(
            level,
            "%s is %s (was %s)%s%s",
            entry.name,
            after.value,
            transition.before.value,
            why,
            note,
            extra={
                "fields": {
                    **_fields(entry),
                    "MONITOR_REASON": transition.reason.value,
                    "MONITOR_PREVIOUS_STATE": transition.before.value,
                },
                "message_id": JournalEvent[f"MONITOR_{after.name}"].message_id,
            },
        )

    def log_flapping(self, entry: MonitorEntry) -> None:
        """Log that the checks of this node have begun or ceased to flap."""
        flapping = entry.state.health.flapping
        if entry.state.cluster is None:
            text = _flapping_text(entry, is_flapping=flapping.is_flapping)
        else:
            # The notifications follow from the decisions of the cluster.
            text = f"{'is' if flapping.is_flapping else 'is no longer'} flapping at this location"
        text = f"{text} ({flapping.value:.0f} % change)"
        self._log_flapping(entry, text, is_flapping=flapping.is_flapping)

    def log_flapping_decision(self, entry: MonitorEntry) -> None:
        """Log that the decisions of the cluster have begun or ceased to flap."""
        is_flapping = entry.state.is_flapping
        self._log_flapping(entry, _flapping_text(entry, is_flapping=is_flapping), is_flapping=is_flapping)

    def _log_flapping(self, entry: MonitorEntry, text: str, *, is_flapping: bool) -> None:
        event = JournalEvent.FLAPPING_BEGINS if is_flapping else JournalEvent.FLAPPING_ENDS
        log.log(
            logging.WARNING if is_flapping and entry.state.maintenance is None else NOTICE,
            "%s %s",
            entry.name,
            text,
            extra={"fields": _fields(entry), "message_id": event.message_id},
        )

    def log_maintenance(self, entry: MonitorEntry, before: OpenMaintenance | None) -> None:
        """Log that a maintenance window has opened or closed for a monitor. `before`: the previous window."""
        window = entry.state.maintenance
        if window is not None:
            until = "" if window.until is None else f", until {time_text(window.until)}"
            event, text = JournalEvent.MAINTENANCE_BEGINS, f"{window.name} begins{until}"
        else:
            event, text = JournalEvent.MAINTENANCE_ENDS, f"{'' if before is None else before.name} ends"
        log.log(
            logging.ERROR if window is None and entry.state.effective is State.DOWN else NOTICE,
            "%s: maintenance %s; the monitor is %s",
            entry.name,
            text,
            entry.state.effective.value,
            extra={"fields": _fields(entry), "message_id": event.message_id},
        )

    def log_clock_step(self, by: timedelta) -> None:
        direction = "forward" if by > timedelta(0) else "back"
        log.warning(
            "the clock was set %s by %s; the recorded times of this run are adjusted",
            direction,
            format_duration(abs(round(by.total_seconds()))),
        )

    def log_isolation(self, *, is_isolated: bool) -> None:
        if is_isolated:
            log.error(
                "nearly all monitors began to fail at the same time: this host seems to be isolated "
                "(network, name server); failures are inconclusive until some monitors pass",
                extra={"message_id": JournalEvent.ISOLATION_BEGINS.message_id},
            )
        else:
            log.log(
                NOTICE,
                "monitors pass again: this host is no longer isolated, and failures count again",
                extra={"message_id": JournalEvent.ISOLATION_ENDS.message_id},
            )


def _flapping_text(entry: MonitorEntry, *, is_flapping: bool) -> str:
    if is_flapping:
        return "is flapping; no notifications about its state changes are sent until flapping ends"
    return f"is no longer flapping, and is {entry.state.effective.value}"


def _comment(text: str | None) -> str:
    return f": {text}" if text else ""


def _fields(entry: MonitorEntry, result: Result | None = None) -> dict[str, str]:
    result = result or entry.state.last
    fields = {
        "MONITOR": entry.name,
        "MONITOR_TYPE": entry.monitor.type_name,
        "MONITOR_STATE": entry.state.effective.value,
    }
    if entry.state.incident is not None:
        fields["INCIDENT_ID"] = entry.state.incident.id
    if result is None:
        return fields
    observation = result.observation
    fields["MONITOR_VERDICT"] = result.verdict.value
    fields["MONITOR_REASON"] = observation.reason.value
    fields["DURATION_USEC"] = str(round(observation.duration_s * 1e6))
    if observation.address is not None:
        fields["MONITOR_ADDRESS"] = observation.address
    if observation.excerpt is not None:
        fields["RESPONSE_EXCERPT"] = observation.excerpt
    for name, seconds in observation.fields.items():
        if name.startswith("phase.") and isinstance(seconds, (int, float)):
            fields[f"PHASE_{name[6:].upper()}_USEC"] = str(round(seconds * 1e6))
    if observation.reason is not Reason.MONITOR_BUG:
        fields.update(_own_fields(entry.monitor, observation))
    return fields


def _own_fields(monitor: Monitor[Any], observation: Observation) -> Mapping[str, str]:
    mask = monitor.masking.mask
    try:
        return {name: mask(text) for name, text in monitor.journal_fields(observation).items()}
    except Exception as error:
        shown = monitor.masking.masked_traceback(error)
        log.error(  # noqa: TRY400 - unlike exception(), omits a traceback that contains a secret
            "%s: journal_fields of monitor type %s failed%s",
            monitor.name,
            monitor.type_name,
            "" if shown is None else f"\n{shown}",
            exc_info=error if shown is None else None,
        )
        return {}
