"""Parts of this host that the service manager knows: timers, and file systems that the sandbox hides."""

import re
import time
from collections.abc import Mapping, Sequence
from typing import Any

from monitord.net.dbus.units import Units
from monitord.sources.host.file_systems import FILE_SYSTEMS

QUERY_TIMEOUT_S = 10.0
MAX_TIMERS = 200
MAX_HIDDEN = 20

_ESCAPED = re.compile(r"\\x([0-9a-f]{2})")


async def timers(units: Units, known: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return the enabled and active timers by name, with the boot in which each was active. Raises BusError.

    A timer that is enabled but not active is normal if a condition of it is not met, as of fstrim.timer in a container.
    It is a problem if the timer was active since the boot, so such timers of `known`, the last result, stay.
    """
    deadline = time.monotonic() + QUERY_TIMEOUT_S
    boot = await units.boot_time_us(deadline=deadline)
    enabled = set(await units.enabled(["*.timer"], deadline=deadline))
    states = await units.matching(["*.timer"], deadline=deadline)
    active = {state.name for state in states if state.active_state == "active"}
    stopped = {name for name, data in known.items() if data.get("boot") == boot}
    return {name: {"boot": boot} for name in sorted(enabled & (active | stopped))[:MAX_TIMERS]}


async def hidden_file_systems(units: Units, folders: Sequence[str]) -> list[str]:
    """Return the mount points of file systems at and below these directories. Raises BusError."""
    if not folders:
        return []
    deadline = time.monotonic() + QUERY_TIMEOUT_S
    names = [folder.strip("/").replace("/", "-") for folder in folders]
    patterns = [pattern for name in names for pattern in (f"{name}.mount", f"{name}-*.mount")]
    states = await units.matching(patterns, deadline=deadline)
    active = sorted(state.name for state in states if state.active_state == "active")
    paths = []
    for name in active[:MAX_HIDDEN]:
        if await units.file_system_type(name, deadline=deadline) in FILE_SYSTEMS:
            # "home-my\x20data.mount" is /home/my data (systemd.unit(5)). UTF-8 is escaped byte by byte.
            path = "/" + name.removesuffix(".mount").replace("-", "/")
            path = _ESCAPED.sub(lambda match: chr(int(match[1], 16)), path)
            paths.append(path.encode("latin-1", "replace").decode(errors="replace"))
    return paths
