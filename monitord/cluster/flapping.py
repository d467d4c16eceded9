"""Flapping of decisions, by the rule of `health.flapping`, with check intervals in place of results.

The changes in the last `RESULTS` check intervals count, the newest with the largest weight. So a monitor on which the
locations disagree back and forth is flapping in a cluster as it is on a single host.
"""

from dataclasses import replace
from datetime import datetime

from monitord.cluster.model import ClusterDecision
from monitord.health.flapping import BEGINS_ABOVE, OVER_AT, RESULTS


def with_flapping(
    decision: ClusterDecision, interval_s: float, now: datetime, *, is_detected: bool
) -> ClusterDecision:
    """Return the decision with the changes that still count, and whether it is flapping; the same if nothing changes.

    `decision.is_flapping` is that of the decision before. `is_detected`: whether the monitor has `flapping` enabled.
    """
    changes, weight = [], 0
    for change in decision.changes if is_detected else ():
        age = max(int((now - change).total_seconds() / interval_s), 0)
        if age < RESULTS:
            changes.append(change)
            weight += 80 + 2 * (RESULTS - 1 - age)  # in hundredths, as there
    is_flapping = weight / RESULTS > (OVER_AT if decision.is_flapping else BEGINS_ABOVE)
    if len(changes) == len(decision.changes) and is_flapping is decision.is_flapping:
        return decision
    return replace(decision, changes=tuple(changes), is_flapping=is_flapping)
