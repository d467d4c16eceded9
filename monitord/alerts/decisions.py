"""Why a notifier gets a notification now, or none: as data, and in words for people.

Code compares kinds. `decision_text` is for output only.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import Enum, auto

from monitord.clock import time_text
from monitord.model import State
from monitord.units import format_duration


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


def decision_text(decision: Decision) -> str:  # noqa: PLR0911 - a table in the form of code
    match decision:
        case Decision(DecisionKind.NOTIFIED, title=title):
            return f"it was told just now: {title}"
        case Decision(DecisionKind.AWARE, at=datetime() as at):
            return f"it was told at {time_text(at)}"
        case Decision(DecisionKind.AWARE_OF_FLAPPING):
            return "it was told of the flapping"
        case Decision(DecisionKind.SUPPRESSED, suppression=Suppression() as suppression):
            return f"not now: {suppression_text(suppression)}"
        case Decision(DecisionKind.DELAYED, after_s=after_s):
            return f"only if it is not over after {format_duration(after_s)}"
        case Decision(DecisionKind.QUIET_HOURS):
            return "not now: these are its quiet hours"
        case Decision(DecisionKind.NO_ROUTE_FOR_UNKNOWN):
            return "it is unknown, and no route for unknown monitors leads there"
        case Decision(DecisionKind.STATE_WITHOUT_NOTIFICATIONS, health=State() as health):
            return f"it is {health.value}, which nobody is told"
        case _:
            return "no route leads there"


def suppression_text(suppression: Suppression) -> str:
    match suppression:
        case Suppression(SuppressionReason.MAINTENANCE, window=window):
            return f"the maintenance window {window} is open"
        case Suppression(SuppressionReason.SILENCED, by=by, until=datetime() as until):
            return f"silenced until {time_text(until)} by {by}"
        case Suppression(SuppressionReason.ACKNOWLEDGED, by=by):
            return f"acknowledged by {by}"
        case Suppression(SuppressionReason.ISOLATED):
            return "this host is isolated"
        case _:
            return "it has not been checked since monitord or its checks were started"
