"""Decisions to notify a notifier or not. `monitord/explanation.py` has their texts."""

from dataclasses import dataclass
from datetime import datetime
from enum import Enum, auto

from monitord.model import State


class SuppressionReason(Enum):
    MAINTENANCE = auto()
    SILENCED = auto()
    ACKNOWLEDGED = auto()
    NOT_CHECKED = auto()
    ISOLATED = auto()


@dataclass(frozen=True, slots=True)
class Suppression:
    """Why no notification about a monitor is sent now.

    `window` is the name of the maintenance window, `by` the author of a silence or an acknowledgement, `until` the end
    of a silence.
    """

    reason: SuppressionReason
    window: str = ""
    by: str = ""
    until: datetime | None = None


class DecisionKind(Enum):
    NOTIFIED = auto()
    NOTIFIED_OF_FLAPPING = auto()
    SUPPRESSED = auto()
    DELAYED = auto()
    QUIET_HOURS = auto()
    NO_ROUTE = auto()
    NO_ROUTE_FOR_UNKNOWN = auto()
    STATE_WITHOUT_NOTIFICATIONS = auto()


@dataclass(frozen=True, slots=True)
class Decision:
    """The decision for one notifier.

    `at` is the time of the last notification if the notifier has been notified, `after_s` that of the route if DELAYED,
    `state` that of the monitor if STATE_WITHOUT_NOTIFICATIONS.
    """

    kind: DecisionKind
    at: datetime | None = None
    suppression: Suppression | None = None
    after_s: float = 0.0
    state: State | None = None

    @property
    def is_notified(self) -> bool:
        """Whether the notifier has been notified of the current state."""
        return self.kind in {DecisionKind.NOTIFIED, DecisionKind.NOTIFIED_OF_FLAPPING}
