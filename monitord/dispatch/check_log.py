"""What the log says of checks: a line each, and a line for every change of health, with fields to match on.

A healthy day is quiet at warning level, and so is a long outage: the change is told once, at its own level,
and the checks of an outage go on at the level of any check.
"""

import logging
from collections.abc import Mapping
from enum import Enum
from typing import Any

from monitord.dispatch.watched import Watched
from monitord.journal_events import JournalEvent
from monitord.model import Health, Observation, Reason, Result, Transition, Verdict
from monitord.monitors import Monitor
from monitord.systemd.log import NOTICE
from monitord.units import format_duration

log = logging.getLogger("monitord.check")

_LEVELS = {
    Health.PENDING: NOTICE,
    Health.UP: NOTICE,
    Health.DEGRADED: logging.WARNING,
    Health.DOWN: logging.ERROR,
    Health.UNREACHABLE: logging.WARNING,
    Health.UNKNOWN: logging.WARNING,
    Health.PAUSED: NOTICE,
}


class LoggedChecks(Enum):
    """Which checks have a line of their own; changes of health always have one."""

    ALL = "all"
    FAILURES = "failures"
    CHANGES = "changes"


class CheckLog:
    """Says what happened to checks. `checks` may be replaced at any time."""

    def __init__(self, checks: LoggedChecks) -> None:
        self.checks = checks

    def checked(
        self, watched: Watched, result: Result, transition: Transition | None, *, recovered_by_retry: bool
    ) -> None:
        """One check has ended and was judged."""
        is_logged = self.checks is LoggedChecks.ALL or (
            self.checks is LoggedChecks.FAILURES and result.verdict is not Verdict.PASS
        )
        if is_logged and log.isEnabledFor(logging.INFO):
            self._check_line(watched, result, recovered_by_retry=recovered_by_retry)
        if transition is not None:
            self._transition_line(watched, result, transition)

    def skipped(self, watched: Watched) -> None:
        """A tick came while the check before it still ran or waited. Said once in a row of them."""
        settings = watched.monitor.settings
        what = "waits for a place" if watched.is_waiting else "runs"
        log.warning(
            "%s: check skipped: the one before still %s after check_every (%s)",
            settings.name,
            what,
            format_duration(settings.check_every_s),
            extra={
                "fields": {"MONITOR": settings.name, "MONITOR_TYPE": settings.type_name},
                "message_id": JournalEvent.CHECK_SKIPPED.message_id,
            },
        )

    def bug(self, monitor: Monitor[Any], error: BaseException) -> None:
        """A monitor raised what it should have turned into an observation. Said once as long as it stays the same."""
        log.error(
            "%s: bug in monitor type %s; its checks say nothing until it is gone, and come as planned",
            monitor.name,
            monitor.type_name,
            exc_info=error,
            extra={
                "fields": {"MONITOR": monitor.name, "MONITOR_TYPE": monitor.type_name},
                "message_id": JournalEvent.MONITOR_BUG.message_id,
            },
        )

    def _check_line(self, watched: Watched, result: Result, *, recovered_by_retry: bool) -> None:
        observation = result.observation
        note = ""
        if result.verdict is Verdict.UNSURE:
            note = f" (unsure: {observation.reason.value})"
        elif watched.health.is_soft:
            state, policy = watched.health, watched.monitor.settings.policy
            note = f" (failure {state.streak_length} of {policy.fail_after})"
        elif recovered_by_retry:
            note = " (recovered by retry)"
        log.info(
            "%s: %s%s",
            watched.name,
            observation.detail,
            note,
            extra={
                "fields": _fields(watched, result),
                "message_id": JournalEvent.CHECK_FINISHED.message_id,
            },
        )

    def _transition_line(self, watched: Watched, result: Result, transition: Transition) -> None:
        why = "" if result.verdict is Verdict.PASS else f": {transition.detail}"
        fields = _fields(watched, result)
        fields["MONITOR_STATE_BEFORE"] = transition.before.value
        log.log(
            _LEVELS[transition.after],
            "%s is %s (was %s)%s",
            watched.name,
            transition.after.value,
            transition.before.value,
            why,
            extra={
                "fields": fields,
                "message_id": JournalEvent[f"MONITOR_{transition.after.name}"].message_id,
            },
        )


def _fields(watched: Watched, result: Result) -> dict[str, str]:
    observation = result.observation
    fields = {
        "MONITOR": watched.name,
        "MONITOR_TYPE": watched.monitor.type_name,
        "MONITOR_VERDICT": result.verdict.value,
        "MONITOR_STATE": watched.health.health.value,
        "MONITOR_REASON": observation.reason.value,
        "DURATION_USEC": str(round(observation.duration_s * 1e6)),
    }
    if observation.address is not None:
        fields["MONITOR_ADDRESS"] = observation.address
    if observation.excerpt is not None:
        fields["RESPONSE_EXCERPT"] = observation.excerpt
    fields.update(_phase_fields(observation))
    if observation.reason is not Reason.MONITOR_BUG:
        fields.update(_own_fields(watched.monitor, observation))
    return fields


def _phase_fields(observation: Observation) -> dict[str, str]:
    return {
        f"PHASE_{name[6:].upper()}_USEC": str(round(seconds * 1e6))
        for name, seconds in observation.facts.items()
        if name.startswith("phase.") and isinstance(seconds, (int, float))
    }


def _own_fields(monitor: Monitor[Any], observation: Observation) -> Mapping[str, str]:
    try:
        return monitor.journal_fields(observation)
    except Exception:
        # The type may be a third party's; its fields are a nicety, the line is not.
        log.exception("%s: journal_fields of monitor type %s failed", monitor.name, monitor.type_name)
        return {}
