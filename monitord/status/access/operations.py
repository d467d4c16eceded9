"""Operations that requests can call: protocols that the daemon implements one layer above (`control`, `interventions`).

`by` is the client that made the request, for the log and the history; `security` has authorized it before.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from monitord.dispatch import Matcher, Silence
from monitord.model import Result
from monitord.monitors.heartbeat.monitor import Heartbeat


@dataclass(frozen=True, slots=True)
class ReloadOutcome:
    """The outcome of a reload. `summary` is a single line; `error` contains all errors of a rejected configuration.

    `warnings`: valid settings that cannot work on this host.
    """

    ok: bool
    at: datetime
    summary: str
    error: str | None = None
    warnings: tuple[str, ...] = ()


class DaemonOperations(Protocol):
    """Operations on the daemon."""

    @property
    def state(self) -> str:
        """starting, running, reloading or stopping."""
        ...

    @property
    def last_reload(self) -> ReloadOutcome | None:
        """The last reload, applied or rejected; None: there has been none since the start."""
        ...

    async def reload(self, requested_by: str) -> ReloadOutcome:
        """Read the configuration again and apply it, after a reload that is running. Never raises for invalid input."""
        ...

    async def check_now(self, name: str, requested_by: str) -> Result:
        """Check a monitor. Raises KeyError if there is no such monitor, ValueError if it cannot be checked now."""
        ...

    def record_heartbeat(self, name: str, heartbeat: Heartbeat, requested_by: str) -> None:
        """Record a heartbeat. Raises KeyError for an unknown monitor, ControlError if it does not accept heartbeats."""
        ...


class InterventionOperations(Protocol):
    """Pauses, acknowledgements and silences. Methods with a name raise KeyError if there is no such monitor."""

    @property
    def silences(self) -> Sequence[Silence]:
        """The silences that have not ended, sorted by their end."""
        ...

    def pause(self, name: str, by: str, comment: str | None) -> None:
        """Stop the scheduled checks until `resume`; if they are stopped already, replace the comment."""
        ...

    def resume(self, name: str, by: str) -> None:
        """Check again. Has no effect on a monitor that is not paused."""
        ...

    def acknowledge(self, name: str, by: str, comment: str | None) -> None:
        """Acknowledge the open incident. Raises ValueError if there is none."""
        ...

    def unacknowledge(self, name: str, by: str) -> None:
        """Remove the acknowledgement. Raises ValueError if there is no acknowledged incident."""
        ...

    def silence(
        self, matcher: Matcher, until: datetime, comment: str | None, by: str, *, is_end_fixed: bool = False
    ) -> str:
        """Create a silence and return its id. Raises ControlError if there are too many."""
        ...

    def unsilence(self, silence_id: str, by: str) -> None:
        """End a silence. Raises KeyError if it does not exist or has ended."""
        ...


Explain = Callable[[str], Mapping[str, Any]]
"""Returns the explanation of a monitor as JSON. Raises KeyError if there is no such monitor."""
