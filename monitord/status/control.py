"""What may be asked of the running daemon, and by whom.

The kernel says who is at the other end of a Unix socket (unix(7), SO_PEERCRED and SO_PEERGROUPS). Under
`PrivateUsers=` every foreign user shows as 65534; root, our own user and our own group keep their numbers, and
no more is needed: changes are for root, for our own user and for members of our own group.
"""

import os
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from monitord.model import Result
from monitord.monitors.heartbeat import Beat
from monitord.web import HTTPForbidden, Peer


@dataclass(frozen=True, slots=True)
class ReloadOutcome:
    """How a reload ended. `summary` is one line; `error` holds every fault when it was refused."""

    ok: bool
    at: datetime
    summary: str
    error: str | None = None


class Control(Protocol):
    """The acts of the daemon that a request can ask for."""

    @property
    def state(self) -> str:
        """starting, running, reloading or stopping."""
        ...

    @property
    def last_reload(self) -> ReloadOutcome | None:
        """The last attempt, taken or refused; None: there was none since the start."""
        ...

    async def reload(self, asked_by: str) -> ReloadOutcome:
        """Read the configuration anew; waits for a reload that runs, then does its own. Never raises for bad input."""
        ...

    async def check_now(self, name: str, asked_by: str) -> Result:
        """Raises KeyError for a name that is not configured."""
        ...

    def beat(self, name: str, beat: Beat, asked_by: str) -> None:
        """Raises KeyError for a name that is not configured, ControlError for a monitor that takes no beats."""
        ...


def require_change_rights(peer: Peer) -> str:
    """Who asks, for the log. Raises HTTPForbidden for those who may only read."""
    if peer.uid is None:
        raise HTTPForbidden(text="changes are accepted on the Unix socket only\n")
    groups = {peer.gid, *peer.groups}
    if peer.uid not in {0, os.geteuid()} and os.getegid() not in groups:
        raise HTTPForbidden(text="only root and members of the daemon's group may do this\n")
    return f"uid {peer.uid}, pid {peer.pid}"
