"""Common parts of the types `unit` and `container`, whose subjects are restarted by systemd or a container engine."""

from collections.abc import Mapping
from datetime import datetime
from enum import Enum
from typing import Any

from monitord.clock import Clock


class OnCrash(Enum):
    """The effect of a crash after which the subject was restarted."""

    FAIL = "fail"
    WARN = "warn"
    IGNORE = "ignore"


def restarts_since(previous: int | None, restarts: int, *, is_same_run: bool) -> int:
    """Return the number of restarts since the counter was `previous`; 0 if that is not known (None).

    A smaller counter was reset by a manual start: it counts only if the current run is another than the previous.
    """
    if previous is None:
        return 0
    if restarts >= previous:
        return restarts - previous
    return 0 if is_same_run else restarts


class UnexpectedState:
    """The time since the last check that found the subject as expected. It continues after a restart of the daemon.

    `checked_at`: the start of the last check; None before the first check.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._was_expected = False
        self._since_s: float | None = None
        self.checked_at: datetime | None = None

    def record(self, *, is_expected: bool) -> None:
        if is_expected:
            self._was_expected, self._since_s = True, None
        elif self._since_s is None:
            self._since_s = self._clock.monotonic_s()

    @property
    def age_s(self) -> float | None:
        """The time in the unexpected state in seconds; None if the subject has never been as expected."""
        return (self._measured_s() or 0.0) if self._was_expected else None

    def _measured_s(self) -> float | None:
        return None if self._since_s is None else self._clock.monotonic_s() - self._since_s

    def dump_state(self) -> Mapping[str, Any]:
        return {
            "checked_at": None if self.checked_at is None else self.checked_at.isoformat(),
            "was_as_expected": self._was_expected,
            "unexpected_for_s": self._measured_s(),
        }

    def restore_state(self, state: Mapping[str, Any]) -> bool:
        """Restore the values of `dump_state`. Return False, and restore nothing, if they are not valid."""
        try:
            self.checked_at = datetime.fromisoformat(state["checked_at"])
        except (KeyError, TypeError, ValueError):
            return False
        self._was_expected = state.get("was_as_expected") is True
        unexpected_for_s = state.get("unexpected_for_s")
        if isinstance(unexpected_for_s, (int, float)):
            self._since_s = self._clock.monotonic_s() - unexpected_for_s
        return True
