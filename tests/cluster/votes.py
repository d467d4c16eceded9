"""Votes of tests."""

from datetime import UTC, datetime, timedelta

from monitord.cluster.model import Vote
from monitord.model import Reason, State

BEGAN = datetime(2026, 3, 10, 12, tzinfo=UTC)


def vote(
    location: str,
    state: State,
    minute: float = 0.0,
    *,
    monitor: str = "shop",
    node: str | None = None,
    reason: Reason | None = None,
    detail: str = "",
) -> Vote:
    """A vote since so many minutes after BEGAN."""
    since = BEGAN + timedelta(minutes=minute)
    reason = reason or (Reason.OK if state is State.UP else Reason.REFUSED)
    return Vote(monitor, location, state, since, reason, detail, "", node or f"{location}1", since)
