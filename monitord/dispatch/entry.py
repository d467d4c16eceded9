"""A monitor in the registry: its type and settings, its state, and the cycle of its checks."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from monitord.dispatch.cycle import CheckCycle
from monitord.dispatch.state import MonitorState
from monitord.monitors import Monitor

log = logging.getLogger(__name__)

DEADLINE_MARGIN_S = 0.25
"""Additional time for types that apply their timeout themselves, to report what they were waiting for."""


@dataclass(slots=True, eq=False)
class MonitorEntry:
    """A monitor with its state and its check cycle.

    Only the pipeline replaces `state`, and only the dispatcher changes `cycle` and `is_checked_here`. `on_wake` queues
    a check of the monitor (`Dispatcher._wake`); the dispatcher sets it. `is_checked_here`: False for a monitor that
    only other nodes of a cluster check.
    """

    monitor: Monitor[Any]
    cycle: CheckCycle
    state: MonitorState = MonitorState()  # noqa: RUF009 - frozen
    on_wake: "Callable[[MonitorEntry], None]" = lambda _: None
    is_checked_here: bool = True

    @property
    def name(self) -> str:
        return self.monitor.settings.name

    @property
    def is_scheduled(self) -> bool:
        """Whether this node checks it regularly."""
        return self.is_checked_here and self.state.pause is None

    @property
    def time_limit_s(self) -> float:
        """The time after which a check is cancelled."""
        return self.monitor.settings.timeout_s + DEADLINE_MARGIN_S

    def wake(self) -> None:
        """Check the monitor at once, or once more if it is being checked; only if it is scheduled."""
        self.on_wake(self)

    def dump_state(self) -> Mapping[str, Any] | None:
        """The data that the type stores in addition to the state. Never raises; None if there is none."""
        try:
            return self.monitor.dump_state()
        except Exception:
            # The type can be a third party's: its monitor continues without the data.
            log.exception("%s: dump_state of monitor type %s failed", self.name, self.monitor.type_name)
            return None

    def restore_state(self, type_state: Mapping[str, Any] | None) -> None:
        """Restore a result of `dump_state` from an earlier run. Never raises."""
        if type_state is None:
            return
        try:
            self.monitor.restore_state(type_state)
        except Exception:
            log.exception("%s: restore_state of monitor type %s failed", self.name, self.monitor.type_name)
