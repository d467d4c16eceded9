"""A process that ended in time is not late because the event loop was blocked at that time."""

import asyncio
import os
import time
from pathlib import Path

from monitord.net.process import ProcessEnd, Processes, ProcessRequest

AFTER_S = 0.2


async def test_process_that_ended_during_a_stall_is_in_time() -> None:
    processes = Processes()
    deadline = time.monotonic() + AFTER_S

    def stall_during_check() -> None:
        """Wait until the process has ended and its deadline has passed, even on a busy machine."""
        (pid,) = children()
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        while time.monotonic() < deadline + 0.1:
            pass

    running = asyncio.ensure_future(processes.run(ProcessRequest(("/bin/true",)), deadline=deadline))
    while not children():
        await asyncio.sleep(0)
        assert not running.done()
    stall_during_check()
    end = await running
    await processes.close()
    assert isinstance(end, ProcessEnd)
    assert (end.is_late, end.exit_code) == (False, 0)


def children() -> list[int]:
    return [int(pid) for pid in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()]
