"""When an incident opens and closes.

| incident     | the monitor is now                              | then                                            |
|--------------|-------------------------------------------------|-------------------------------------------------|
| none         | down, in no window                              | opens, at the first of the failures             |
| none         | down, in a maintenance window                   | none; it opens when the window ends, if it is   |
|              |                                                 |   still down                                    |
| open         | up or degraded                                  | closes, window or not                           |
| open         | anything else                                   | stays open: whoever is paused, unknown or cut   |
|              |                                                 |   off has not come back                         |
"""

from dataclasses import replace
from datetime import UTC, datetime
from hashlib import blake2b

from monitord.model import Incident, Reason, State

_BACK = frozenset({State.UP, State.DEGRADED})


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
    """The incident as it is now; the same object where nothing happened, a closed one at the moment of closing."""
    if incident is None:
        if health is not State.DOWN or in_maintenance:
            return None
        return Incident(incident_id(monitor, since), monitor, since, reason, detail)
    return replace(incident, closed_at=max(at, incident.opened_at)) if health in _BACK else incident


def incident_id(monitor: str, opened_at: datetime) -> str:
    """Follows from what it names, so that a crash between opening and storing does not make two of one."""
    moment = int(opened_at.astimezone(UTC).timestamp() * 1000)
    return blake2b(f"{moment} {monitor}".encode(), digest_size=8).hexdigest()
