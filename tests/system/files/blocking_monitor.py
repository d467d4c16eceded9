"""A careless monitor type of another package: its check blocks the event loop."""

import threading
from dataclasses import dataclass

from monitord.config import Table
from monitord.model import Observation
from monitord.monitors import Monitor


@dataclass(frozen=True, slots=True)
class Options:
    pass


class BlockingMonitor(Monitor[Options]):
    type_name = "blocking"

    @classmethod
    def read_options(cls, table: Table) -> Options:
        del table
        return Options()

    async def check(self) -> Observation:
        threading.Event().wait()
        raise AssertionError
