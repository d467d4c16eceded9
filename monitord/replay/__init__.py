"""A replay of stored results against a configuration, in virtual time, without checks and without deliveries.

    now = replay(settings, recorded_results(…), …)    # an outcome: alerts, incidents and notifications
    other = replay(other_settings, …)
    compare(now, other, …)                            # the differences

The pipeline, the alerts and the delivery workers are those of the daemon. Only three parts are replaced: the clock, the
monitors, which return the stored results, and the notifiers, which record the notifications.
"""

from monitord.replay.comparison import AlertChange, IncidentChange, compare_alerts, compare_incidents
from monitord.replay.outcome import Outcome, RecordedAlert, RecordedNotification
from monitord.replay.plan import Limit, LimitKind, ReplayPlan, plan_of
from monitord.replay.run import replay

__all__ = [
    "AlertChange",
    "IncidentChange",
    "Limit",
    "LimitKind",
    "Outcome",
    "RecordedAlert",
    "RecordedNotification",
    "ReplayPlan",
    "compare_alerts",
    "compare_incidents",
    "plan_of",
    "replay",
]
