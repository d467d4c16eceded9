"""The opening and closing of incidents.

| incident     | the monitor is now                              | then                                            |
|--------------|-------------------------------------------------|-------------------------------------------------|
| none         | down, without a maintenance window              | opens, at the first of the failures             |
| none         | down, in a maintenance window                   | none; opens when the window ends, if the        |
|              |                                                 |   monitor is still down                         |
| open         | up or degraded                                  | closes, even in a maintenance window            |
| open         | in another state                                | stays open: a paused, unknown or unreachable    |
|              |                                                 |   monitor has not recovered                     |
"""

from dataclasses import replace
from datetime import UTC, datetime
from hashlib import blake2b

from monitord.model import Incident, Reason, State

_RECOVERED = frozenset({State.UP, State.DEGRADED})


def incident_after(
    incident: Incident | None,
    monitor: str,
    health: State,
    *,
    since: datetime,
    at: datetime,
    reason: Reason,
    detail: str,
    in_maintenance: bool,
) -> Incident | None:
    """Return the new incident: the same object if nothing has changed, a closed incident after a recovery."""
    if incident is None:
        if health is not State.DOWN or in_maintenance:
            return None
        return Incident(stable_id(monitor, since), monitor, since, reason, detail)
    return replace(incident, closed_at=max(at, incident.opened_at)) if health in _RECOVERED else incident


def stable_id(monitor: str, since: datetime) -> str:
    """Return an id that is derived from the monitor and the time, and therefore the same after a restart.

    A crash between opening and storing an incident or an alert does not create a second incident or alert.
    """
    since_ms = int(since.astimezone(UTC).timestamp() * 1000)
    return blake2b(f"{since_ms} {monitor}".encode(), digest_size=8).hexdigest()
