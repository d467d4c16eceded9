"""A monitor in the registry: its type and settings, its state, and the cycle of its checks."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from monitord.dispatch.cycle import CheckCycle
from monitord.dispatch.state import MonitorState
from monitord.monitors import Monitor

log = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class Watched:
    """`state` is replaced by the pipeline alone, and `cycle` is changed by the dispatcher alone; everything else reads.

    `request_check` has the monitor checked at once; the dispatcher provides it.
    """

    monitor: Monitor[Any]
    cycle: CheckCycle
    state: MonitorState = MonitorState()  # noqa: RUF009 - frozen
    request_check: "Callable[[Watched], None]" = lambda _: None

    @property
    def name(self) -> str:
        return self.monitor.settings.name

    def wake(self) -> None:
        """Have it checked at once, or once more if it is being checked; nothing while it is paused."""
        self.request_check(self)

    def dump_state(self) -> Mapping[str, Any] | None:
        """What the monitor stores beside its state. Never raises."""
        try:
            return self.monitor.dump_state()
        except Exception:
            # The type may be a third party's: a monitor without its memory is better than none.
            log.exception("%s: memory of monitor type %s failed", self.name, self.monitor.type_name)
            return None

    def remind(self, memory: Mapping[str, Any] | None) -> None:
        """Give the monitor what it has stored. Never raises."""
        if memory is None:
            return
        try:
            self.monitor.restore_state(memory)
        except Exception:
            log.exception("%s: remember of monitor type %s failed", self.name, self.monitor.type_name)
