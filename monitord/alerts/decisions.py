"""Why a notifier gets a notification now, or none. `explanation` composes the sentences."""

from dataclasses import dataclass
from datetime import datetime
from enum import Enum, auto

from monitord.model import State


class SuppressionReason(Enum):
    """Why no notifier is notified of a monitor now."""

    MAINTENANCE = auto()
    SILENCED = auto()
    ACKNOWLEDGED = auto()
    NOT_CHECKED = auto()
    ISOLATED = auto()


@dataclass(frozen=True, slots=True)
class Suppression:
    """`window`: the name of the maintenance window. `by`, `until`: of a silence; `by` also of an acknowledgement."""

    reason: SuppressionReason
    window: str = ""
    by: str = ""
    until: datetime | None = None


class DecisionKind(Enum):
    NOTIFIED = auto()
    AWARE = auto()
    AWARE_OF_FLAPPING = auto()
    SUPPRESSED = auto()
    DELAYED = auto()
    QUIET_HOURS = auto()
    NO_ROUTE = auto()
    NO_ROUTE_FOR_UNKNOWN = auto()
    STATE_WITHOUT_NOTIFICATIONS = auto()


_AWARE = frozenset({DecisionKind.NOTIFIED, DecisionKind.AWARE, DecisionKind.AWARE_OF_FLAPPING})


@dataclass(frozen=True, slots=True)
class Decision:
    """What was decided for one notifier.

    `title`: of the notification if NOTIFIED. `at`: of the last one if AWARE. `after_s`: of the route if DELAYED.
    """

    kind: DecisionKind
    title: str = ""
    at: datetime | None = None
    suppression: Suppression | None = None
    after_s: float = 0.0
    health: State | None = None

    @property
    def is_aware(self) -> bool:
        """Whether the notifier has been notified of what holds now."""
        return self.kind in _AWARE
