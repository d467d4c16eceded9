"""Which ends of a unit that was started again were crashes: counting, without I/O.

systemd counts its own restarts (NRestarts), and says in a signal how each run ended before it starts the next. The
count is the truth, also of what happened while nobody listened; the signals only tell the restarts of a program that
ends well and is meant to be started again (Restart=always). Each crash is told at one check.

| seen                                             | then                                                          |
|--------------------------------------------------|---------------------------------------------------------------|
| a run has ended well and waits for its restart   | the restart to come is no crash                               |
| a check finds a crashed run that waits for it    | a crash; the restart to come is told already                  |
| the count has grown                              | as many crashes, without those                                |
| the count is smaller, and the run another one    | started by hand meanwhile: the count began again at 0         |
| failed at some time, and not any more            | a crash, if the count does not say so already                 |
"""

from collections.abc import Mapping
from typing import Any

from monitord.net.dbus.unit_state import UnitChange, UnitState

AUTO_RESTART = "auto-restart"
"""In the sub-state of a service that waits for its restart: "auto-restart-queued", "failed-before-auto-restart"."""
WELL = "success"


class Ends:
    """Of one unit. `last_end`: what the last run that failed ended with."""

    def __init__(self) -> None:
        self._restarts: int | None = None
        self._run = ""
        self._expected = 0
        self._expected_for = ""
        self._has_failed = False
        self._is_failed = False
        self.last_end = ""

    def hear(self, change: UnitChange) -> None:
        """A signal of the unit."""
        run = change.run or ""
        result = change.result or ""
        if change.active_state == "failed":
            # A failed unit may speak again, of a job that is to start it: only its becoming so is news.
            self._has_failed = self._has_failed or not self._is_failed
            self._note_end(result)
        elif waits_for_restart(change.sub_state):
            if result == WELL:
                self._expect(run)
            else:
                self._note_end(result)
        self._is_failed = change.active_state == "failed"

    def look(self, state: UnitState) -> int:
        """A check: how many crashes were followed by a new start since the last one."""
        is_waiting = waits_for_restart(state.sub_state)
        # systemd 257 counts a restart before it comes, and says so.
        is_counted = is_waiting and state.sub_state.endswith("queued")
        if is_counted and state.result == WELL:
            self._expect(state.run)
        grown = self._grown(state)
        self._restarts, self._run = state.restarts, state.run
        told = min(grown, self._expected)
        self._expected -= told
        crashes = grown - told
        if state.active_state == "failed":
            # This check says so itself.
            self._expected = 0
        elif is_waiting and not is_counted and state.result != WELL and state.run != self._expected_for:
            crashes += 1
        elif self._has_failed:
            crashes = max(crashes, 1)
        self._has_failed = False
        self._is_failed = state.active_state == "failed"
        if is_waiting and not is_counted:
            self._expect(state.run)
        return crashes

    def _note_end(self, result: str) -> None:
        # A job that is to start it anew wipes the result first.
        if result not in {"", WELL}:
            self.last_end = result

    def dump_state(self) -> Mapping[str, Any] | None:
        """What outlasts a restart of ours."""
        if self._restarts is None:
            return None
        return {
            "restarts": self._restarts,
            "run": self._run,
            "expected": self._expected,
            "expected_for": self._expected_for,
        }

    def restore_state(self, memory: Mapping[str, Any]) -> None:
        """Leaves what it does not understand."""
        restarts, expected = memory.get("restarts"), memory.get("expected")
        run, expected_for = memory.get("run"), memory.get("expected_for")
        if isinstance(restarts, int) and isinstance(run, str):
            self._restarts, self._run = restarts, run
        if isinstance(expected, int) and isinstance(expected_for, str):
            self._expected, self._expected_for = expected, expected_for

    def _grown(self, state: UnitState) -> int:
        if self._restarts is None:
            return 0
        if state.restarts >= self._restarts:
            return state.restarts - self._restarts
        return state.restarts if state.run != self._run else 0

    def _expect(self, run: str) -> None:
        """The next restart is no news. Once for each run, however often it is heard."""
        if run != self._expected_for:
            self._expected += 1
            self._expected_for = run


def waits_for_restart(sub_state: str | None) -> bool:
    """Whether the service manager is about to start it again by itself."""
    return AUTO_RESTART in (sub_state or "")
