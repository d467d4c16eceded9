"""Count the crashes of a container that was restarted by its restart policy. No I/O.

The engine counts these restarts (RestartCount), so that none between two checks is missed, even without events. Events
only distinguish the restarts of a program that has ended with exit code 0, or because a user has stopped it. Each crash
is reported by one check.

| event                                                 | consequence                                         |
|-------------------------------------------------------|-----------------------------------------------------|
| a run has ended with exit code 0, or was stopped      | the next restart that the engine counts is not a crash |
| the counter has grown                                 | as many crashes, without those restarts             |
| the counter is smaller, and the run is different     | started by a user: the counter was reset to 0       |
| a container that was created since the previous check | its whole counter                                   |
"""

from collections.abc import Mapping
from typing import Any

from monitord.monitors.services import restarts_since
from monitord.net.containers import ContainerEvent, ContainerState

# Docker announces "kill" before, and "stop" after the end of a container. Podman 4 announces only "kill".
_BY_USER = frozenset({"kill", "stop"})


class ContainerRestarts:
    """Restarts of one container. `is_stopped_by_user`: a user has ended the current run, or the last run."""

    def __init__(self) -> None:
        self._restarts: int | None = None
        self._started_at = ""
        self._clean_ends = 0
        self._ends_before_start = 0
        self._is_started = False
        self.is_stopped_by_user = False

    def record(self, event: ContainerEvent) -> None:
        """Record an event of the container."""
        if event.action in _BY_USER:
            self.is_stopped_by_user = True
        elif event.action == "die":
            self._is_started = False
            if self.is_stopped_by_user or event.exit_code == 0:
                self._clean_ends += 1
        elif event.action == "start":
            self._is_started, self.is_stopped_by_user = True, False

    def begin_check(self) -> None:
        """Note that the next state includes the restarts so far. Called before the state is queried."""
        self._ends_before_start = self._clean_ends if self._is_started else 0

    def count_crashes(self, state: ContainerState, *, is_new: bool) -> int:
        """Return the number of crashes followed by a restart since the previous call, which is made by each check.

        `is_new`: the container was created since the previous check.
        """
        started_at = "" if state.started_at is None else state.started_at.isoformat()
        if self._restarts is None and is_new:
            self._restarts = 0
        grown = restarts_since(self._restarts, state.restarts, is_same_run=started_at == self._started_at)
        self._restarts, self._started_at = state.restarts, started_at
        clean = min(grown, self._clean_ends)
        # Without the ends after which a user started the container again: the engine does not count those.
        self._clean_ends -= max(clean, min(self._ends_before_start, self._clean_ends))
        self._ends_before_start = 0
        return grown - clean

    def dump_state(self) -> Mapping[str, Any]:
        """Return the state that survives a restart of the daemon."""
        return {"restarts": self._restarts, "started_at": self._started_at}

    def restore_state(self, state: Mapping[str, Any]) -> None:
        """Continue from a result of `dump_state`. Invalid entries are ignored."""
        restarts, started_at = state.get("restarts"), state.get("started_at")
        if isinstance(restarts, int) and isinstance(started_at, str):
            self._restarts, self._started_at = restarts, started_at
