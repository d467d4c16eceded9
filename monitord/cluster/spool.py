"""The votes of an agent that no hub has acknowledged yet, in the history, so that a restart loses none."""

import logging
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from monitord.alerts.outbox import SaveRecord
from monitord.cluster.model import Vote
from monitord.cluster.report_json import vote_of_record, vote_record

log = logging.getLogger(__name__)

SPOOL_PREFIX = "spooled-vote:"


class VoteSpool:
    """The newest vote of each monitor that changed it and is not acknowledged. `records`: of an earlier run."""

    def __init__(self, location: str, save: SaveRecord, records: Mapping[str, Mapping[str, Any]]) -> None:
        self._save = save
        self.votes: dict[str, Vote] = {}
        for key, record in records.items():
            if key.startswith(SPOOL_PREFIX):
                try:
                    vote = vote_of_record(record)
                except (KeyError, TypeError, ValueError) as error:
                    log.warning("discarded the stored vote %s, which cannot be read: %r", key, error)
                    save(key, None)
                    continue
                if vote.location == location:
                    self.votes[vote.monitor] = vote
                else:
                    save(key, None)  # the host was moved

    def put(self, vote: Vote) -> None:
        """Store a vote until it is acknowledged or replaced."""
        self.votes[vote.monitor] = vote
        self._save(SPOOL_PREFIX + vote.monitor, vote_record(vote))

    def drop(self, monitors: Collection[str]) -> None:
        for monitor in monitors:
            if self.votes.pop(monitor, None) is not None:
                self._save(SPOOL_PREFIX + monitor, None)

    def mark_reported(self, votes: Sequence[Vote]) -> None:
        """Drop votes that were acknowledged, unless there are newer votes."""
        self.drop([vote.monitor for vote in votes if self.votes.get(vote.monitor) == vote])
