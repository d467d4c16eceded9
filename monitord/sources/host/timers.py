"""Which timers of systemd are monitored: enabled and active timers.

A timer that is enabled but not active is normal if a condition of it is not met, as of fstrim.timer in a container. It
is a problem if the timer was active since the boot, so such timers stay.
"""

import time
from collections.abc import Mapping
from typing import Any

from monitord.net.dbus.units import Units

QUERY_TIMEOUT_S = 10.0
MAX_TIMERS = 200


async def timers(units: Units, known: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return the timers by name, with the boot in which each was active. `known`: the last result.

    Raises BusError.
    """
    deadline = time.monotonic() + QUERY_TIMEOUT_S
    boot = await units.boot_time_us(deadline=deadline)
    enabled = set(await units.enabled(["*.timer"], deadline=deadline))
    states = await units.matching(["*.timer"], deadline=deadline)
    active = {state.name for state in states if state.active_state == "active"}
    stopped = {name for name, data in known.items() if data.get("boot") == boot}
    return {name: {"boot": boot} for name in sorted(enabled & (active | stopped))[:MAX_TIMERS]}
