"""What may be asked of the running daemon, and by whom.

The kernel says who is at the other end of a Unix socket (unix(7), SO_PEERCRED and SO_PEERGROUPS). Under
`PrivateUsers=` every foreign user shows as 65534; root, our own user and our own group keep their numbers, and
no more is needed: changes are for root, for our own user and for members of our own group.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

from monitord.dispatch import Matcher, Silence
from monitord.model import Result
from monitord.monitors.heartbeat.monitor import Ping
from monitord.web import HTTPForbidden, Peer

OVERFLOW_UID = 65534
"""Stands for every user that the sandbox does not know: whose name it has would be a lie. Among those who may change
things these are the members of our group."""

ACCOUNTS = Path("/etc/passwd")


@dataclass(frozen=True, slots=True)
class ReloadOutcome:
    """How a reload ended. `summary` is one line; `error` holds every failure when it was refused.

    `warnings`: what is valid and cannot work on this host.
    """

    ok: bool
    at: datetime
    summary: str
    error: str | None = None
    warnings: tuple[str, ...] = ()


class Control(Protocol):
    """The acts of the daemon that a request can ask for. Who asks is told for the record."""

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
        """Raises KeyError for a name that is not configured, ValueError for a monitor that cannot be checked now."""
        ...

    def ping(self, name: str, ping: Ping, asked_by: str) -> None:
        """Raises KeyError for a name that is not configured, ControlError for a monitor that takes no pings."""
        ...


class Interventions(Protocol):
    """What people do to monitors and their messages. `by` is who, for the record."""

    @property
    def silences(self) -> Sequence[Silence]:
        """Those that have not ended, the one that ends first at the beginning."""
        ...

    def pause(self, name: str, by: str, comment: str | None) -> None:
        """No checks until `resume`; again: with the new comment. Raises KeyError for an unknown name."""
        ...

    def resume(self, name: str, by: str) -> None:
        """Raises KeyError for an unknown name; nothing for a monitor that is not paused."""
        ...

    def acknowledge(self, name: str, by: str, comment: str | None) -> None:
        """Somebody sees to it. Raises KeyError for an unknown name, ValueError where no incident is open."""
        ...

    def unacknowledge(self, name: str, by: str) -> None:
        """Raises KeyError for an unknown name, ValueError where no acknowledged incident is open."""
        ...

    def silence(
        self, matcher: Matcher, until: datetime, comment: str | None, by: str, *, is_end_fixed: bool = False
    ) -> str:
        """Returns the id."""
        ...

    def unsilence(self, silence_id: str, by: str) -> None:
        """Raises KeyError for one that is not there, or has ended."""
        ...


Explain = Callable[[str], Mapping[str, Any]]
"""Why a message about a monitor was or was not sent, as JSON. Raises KeyError for an unknown name."""


def require_change_rights(peer: Peer) -> str:
    """Who asks, for the log. Raises HTTPForbidden for those who may only read."""
    if peer.uid is None:
        raise HTTPForbidden(text="changes are accepted on the Unix socket only\n")
    groups = {peer.gid, *peer.groups}
    if peer.uid not in {0, os.geteuid()} and os.getegid() not in groups:
        raise HTTPForbidden(text="only root and members of the daemon's group may do this\n")
    return f"{name_of(peer.uid)}, pid {peer.pid}"


def name_of(uid: int) -> str:
    """ "kim (uid 1000)", or "uid 1000" for one that is not among the accounts of this machine.

    Read from the file: pwd would ask every service of nsswitch.conf, and one that hangs would hold up the checks.
    """
    if uid == OVERFLOW_UID:
        return "a member of the daemon's group"
    try:
        accounts = ACCOUNTS.read_text(errors="replace").splitlines()
    except OSError:
        return f"uid {uid}"
    for account in accounts:
        name, _, *rest = f"{account}::".split(":")
        if rest[0] == str(uid):
            return f"{name} (uid {uid})"
    return f"uid {uid}"
