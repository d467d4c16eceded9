"""A process that writes at full rate until it is killed. It prints the number of the last result that is stored.

python -m tests.history.writing PATH [RATE [MONITORS]]
"""

import asyncio
import sys
import time
from collections import deque
from pathlib import Path

from monitord.clock import SystemClock
from monitord.history import History, HistorySettings
from monitord.model import Incident, Observation, Reason, Result, State, Verdict

TURNS_PER_S = 100


async def write(path: Path, rate: int, monitors: int) -> None:
    """Result number n has a duration of n milliseconds, and an incident and a state of the same number."""
    clock = SystemClock()
    history = History(path, HistorySettings(), clock)
    saved = history.open()
    history.start()
    number = int(saved.daemon_states["number"]["next"]) if "number" in saved.daemon_states else 0
    due = time.monotonic()
    committed = Committed()
    while True:
        for _ in range(rate // TURNS_PER_S):
            write_iteration(history, clock, number, monitors)
            number += 1
        committed.update(history, number)
        due += 1 / TURNS_PER_S
        await asyncio.sleep(max(0.0, due - time.monotonic()))


class Committed:
    """Counts the rows of each iteration, and prints the last iteration whose rows are written."""

    def __init__(self) -> None:
        self._pending: deque[tuple[int, int]] = deque()

    def update(self, history: History, number: int) -> None:
        stats = history.stats()
        # The same incident and state of several turns are one row, so rows are counted as they wait and as they are in.
        self._pending.append((stats.written + stats.queued, number))
        done = 0
        while self._pending and self._pending[0][0] <= stats.written:
            done = self._pending.popleft()[1]
        if done:
            print(done, flush=True)  # noqa: T201 - this is what it is for


def write_iteration(history: History, clock: SystemClock, number: int, monitors: int) -> None:
    """Write a result, a span, an incident and a state in one iteration of the loop."""
    now = clock.now()
    monitor = f"m{number % monitors}"
    observation = Observation(now, number / 1000, Reason.OK, "said", {"phase.connect": 0.001})
    history.add_result(monitor, Result(observation, Verdict.PASS), State.UP)
    history.record_state(
        monitor, State.UP if number // monitors % 2 else State.DEGRADED, in_maintenance=False, at=now
    )
    history.add_incident(Incident("latest", monitor, now, Reason.REFUSED, str(number)))
    history.save_daemon_state("number", {"next": number + 1})
    history.tick(now)


if __name__ == "__main__":
    asyncio.run(write(Path(sys.argv[1]), *(int(text) for text in [*sys.argv[2:], "1000", "50"][:2])))
