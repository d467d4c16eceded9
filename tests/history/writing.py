"""A process that writes at full rate until it is killed; each line of its output says how much is surely written.

python -m tests.history.writing PATH [RATE [MONITORS]]
"""

import asyncio
import sys
import time
from pathlib import Path

from monitord.clock import SystemClock
from monitord.history import History, HistorySettings
from monitord.model import Health, Incident, Observation, Reason, Result, Verdict

TURNS_PER_S = 100


async def write(path: Path, rate: int, monitors: int) -> None:
    """Result number n has a duration of n milliseconds, and an incident and a state of the same number."""
    clock = SystemClock()
    history = History(path, HistorySettings(), clock)
    kept = history.open()
    history.start()
    number = int(kept.own["number"]["next"]) if "number" in kept.own else 0
    due = time.monotonic()
    while True:
        for _ in range(rate // TURNS_PER_S):
            tell(history, clock, number, monitors)
            number += 1
        if history.stats().queued == 0 or number % rate == 0:
            print(history.stats().written, flush=True)  # noqa: T201 - this is what it is for
        due += 1 / TURNS_PER_S
        await asyncio.sleep(max(0.0, due - time.monotonic()))


def tell(history: History, clock: SystemClock, number: int, monitors: int) -> None:
    """What belongs together, in one turn of the loop."""
    now = clock.now()
    monitor = f"m{number % monitors}"
    observation = Observation(now, number / 1000, Reason.OK, "said", {"phase.connect": 0.001})
    history.add_result(monitor, Result(observation, Verdict.PASS), Health.UP)
    history.stand(
        monitor, Health.UP if number // monitors % 2 else Health.DEGRADED, in_maintenance=False, at=now
    )
    history.add_incident(Incident("latest", monitor, now, Reason.REFUSED, str(number)))
    history.save_own("number", {"next": number + 1})
    history.tick(now)


if __name__ == "__main__":
    asyncio.run(write(Path(sys.argv[1]), *(int(text) for text in [*sys.argv[2:], "1000", "50"][:2])))
