"""A custom monitor type: the free space of a file system."""

import os
from dataclasses import dataclass

from monitord.config import Table
from monitord.model import Observation, Reason
from monitord.monitors import Monitor, Stopwatch


@dataclass(frozen=True, slots=True)
class FreeSpaceOptions:
    path: str
    at_least_bytes: int


class FreeSpaceMonitor(Monitor[FreeSpaceOptions]):
    type_name = "free-space"

    @classmethod
    def read_options(cls, table: Table) -> FreeSpaceOptions:
        return FreeSpaceOptions(table.text("path"), table.size("at_least", default=1 << 30))

    async def check(self) -> Observation:
        watch = Stopwatch(self.tools.clock)
        found = os.statvfs(self.options.path)
        free = found.f_bavail * found.f_frsize
        reason = Reason.OK if free >= self.options.at_least_bytes else Reason.CONDITION_FAILED
        return watch.observation(reason, f"{free >> 20} MiB free", {"free_bytes": free})
