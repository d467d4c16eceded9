"""Count the crashes of a unit that was restarted. No I/O.

systemd counts automatic restarts (NRestarts), and signals how each run ended before it starts the next. The counter is
authoritative, including for the time without signals; the signals only distinguish restarts of a program that ends with
success and has Restart=always. Each crash is reported by one check.

| event                                               | consequence                                                |
|-----------------------------------------------------|------------------------------------------------------------|
| a run ended with success and waits for its restart  | that restart is not a crash                                |
| a check finds a crashed run that waits for restart  | a crash; that restart is not counted again                 |
| the counter has grown                               | as many crashes, without those restarts                    |
| the counter is smaller, and the run is different   | started manually: the counter was reset to 0               |
| failed at some time, and not failed now             | a crash, unless the counter shows it                       |
"""

from collections.abc import Mapping
from typing import Any

from monitord.monitors.services import restarts_since
from monitord.net.dbus.unit_state import UnitChange, UnitState

AUTO_RESTART = "auto-restart"
"""Part of the sub-state of a service that waits for its restart, such as "auto-restart-queued"."""
SUCCESS = "success"


class UnitEnds:
    """Ends of the runs of one unit. `last_end`: the result of the last failed run."""

    def __init__(self) -> None:
        self._restarts: int | None = None
        self._run = ""
        self._expected = 0
        self._expected_for = ""
        self._has_failed = False
        self._is_failed = False
        self.last_end = ""

    def record(self, change: UnitChange) -> None:
        """Record a signal of the unit."""
        run = change.run or ""
        result = change.result or ""
        if change.active_state == "failed":
            # A failed unit sends further signals, such as for a queued start job: only the transition counts.
            self._has_failed = self._has_failed or not self._is_failed
            self._note_end(result)
        elif waits_for_restart(change.sub_state):
            if result == SUCCESS:
                self._expect(run)
            else:
                self._note_end(result)
        self._is_failed = change.active_state == "failed"

    def count_crashes(self, state: UnitState) -> int:
        """Return the number of crashes followed by a restart since the previous call, which is made by each check."""
        is_waiting = waits_for_restart(state.sub_state)
        # systemd 257 counts a restart when it is queued.
        is_counted = is_waiting and state.sub_state.endswith("queued")
        if is_counted and state.result == SUCCESS:
            self._expect(state.run)
        grown = restarts_since(self._restarts, state.restarts, is_same_run=state.run == self._run)
        self._restarts, self._run = state.restarts, state.run
        expected = min(grown, self._expected)
        self._expected -= expected
        crashes = grown - expected
        if state.active_state == "failed":
            # The check reports the failure itself.
            self._expected = 0
        elif is_waiting and not is_counted and state.result != SUCCESS and state.run != self._expected_for:
            crashes += 1
        elif self._has_failed:
            crashes = max(crashes, 1)
        self._has_failed = False
        self._is_failed = state.active_state == "failed"
        if is_waiting and not is_counted:
            self._expect(state.run)
        return crashes

    def _note_end(self, result: str) -> None:
        # A start job resets the result.
        if result not in {"", SUCCESS}:
            self.last_end = result

    def dump_state(self) -> Mapping[str, Any] | None:
        """Return the state that survives a restart of the daemon."""
        if self._restarts is None:
            return None
        return {
            "restarts": self._restarts,
            "run": self._run,
            "expected": self._expected,
            "expected_for": self._expected_for,
            "is_failed": self._is_failed,
        }

    def restore_state(self, state: Mapping[str, Any]) -> None:
        """Continue from a result of `dump_state`. Invalid entries are ignored."""
        restarts, expected = state.get("restarts"), state.get("expected")
        run, expected_for = state.get("run"), state.get("expected_for")
        if isinstance(restarts, int) and isinstance(run, str):
            self._restarts, self._run = restarts, run
        if isinstance(expected, int) and isinstance(expected_for, str):
            self._expected, self._expected_for = expected, expected_for
        self._is_failed = state.get("is_failed") is True

    def _expect(self, run: str) -> None:
        """Do not count the restart that follows this run. Has an effect once for each run."""
        if run != self._expected_for:
            self._expected += 1
            self._expected_for = run


def waits_for_restart(sub_state: str | None) -> bool:
    """Return whether the service manager is going to restart the unit automatically."""
    return AUTO_RESTART in (sub_state or "")
