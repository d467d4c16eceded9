"""Silences: no notifications about some monitors until a given time. They change no state."""

import fnmatch
import logging
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from monitord.automatic_names import monitor_of_objective
from monitord.dispatch.clock_steps import ClockStep
from monitord.dispatch.sink import Sink

log = logging.getLogger(__name__)

STORAGE_KEY = "silences"
"""The key of the stored silences."""

MAX_COMPILED = 2048
"""Size of the cache of compiled patterns; above `interventions.MAX_SILENCES`. All silences are compared in turn, so a
smaller LRU cache would miss every time."""

Store = Callable[[str, Mapping[str, Any]], None]
"""Stores a JSON object under a key."""


@dataclass(frozen=True, slots=True)
class Matcher:
    """A selection of monitors: those with one of the names or patterns (`*`, `?`, `[…]`), and with all of the tags.

    An empty matcher selects all monitors. Filters, commands, maintenance windows and routes select in the same way.
    """

    names: tuple[str, ...] = ()
    patterns: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()

    def matches(self, name: str, tags: Collection[str]) -> bool:
        is_named = (
            not (self.names or self.patterns)
            or name in self.names
            or (bool(self.patterns) and _compiled(self.patterns).match(name) is not None)
        )
        return is_named and set(self.tags).issubset(tags)


@lru_cache(maxsize=MAX_COMPILED)
def _compiled(patterns: tuple[str, ...]) -> re.Pattern[str]:
    """All patterns (fnmatch.fnmatchcase) as a single expression: each silence is compared with every monitor."""
    return re.compile("|".join(map(fnmatch.translate, patterns)))


@dataclass(frozen=True, slots=True)
class Silence:
    """A suppression of notifications about the matching monitors, from `since` until `until`.

    `is_end_fixed`: the end was given as a time and does not move when the wall clock is set, unlike the end of a
    silence with a duration.
    """

    id: str
    matcher: Matcher
    since: datetime
    until: datetime
    by: str
    comment: str | None = None
    is_end_fixed: bool = False

    def covers(self, name: str, tags: Collection[str]) -> bool:
        """Whether it selects the monitor, or the monitor whose objective this is."""
        evaluated = monitor_of_objective(name)
        return self.matcher.matches(name, tags) or (
            evaluated is not None and self.matcher.matches(evaluated, tags)
        )


class Silences(Sink):
    """Owns all silences. `store` stores them; `stored` contains the records of an earlier run, by key."""

    def __init__(
        self,
        store: Store = lambda _, __: None,
        stored: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> None:
        self._store = store
        self._silences: tuple[Silence, ...] = ()
        try:
            self._silences = tuple(
                map(silence_from_record, (stored or {}).get(STORAGE_KEY, {}).get("silences", ()))
            )
        except (KeyError, TypeError, ValueError) as error:
            log.warning("the stored silences cannot be read and are discarded: %r", error)

    def current(self, at: datetime) -> list[Silence]:
        """The silences that have not ended, sorted by their end."""
        current = (silence for silence in self._silences if silence.until > at)
        return sorted(current, key=lambda silence: silence.until)

    def find_longest(self, name: str, tags: Collection[str], at: datetime) -> Silence | None:
        """Return the silence of this monitor that ends last."""
        if not self._silences:
            return None
        matching = [
            silence
            for silence in self._silences
            if silence.since <= at < silence.until and silence.covers(name, tags)
        ]
        return max(matching, key=lambda silence: silence.until, default=None)

    def replace_all(self, silences: Sequence[Silence]) -> None:
        """Replace the silences, and store them."""
        self._silences = tuple(silences)
        self._store(STORAGE_KEY, {"silences": list(map(silence_to_record, silences))})

    def on_clock_step(self, step: ClockStep) -> None:
        """Shift silences with a duration, so that their remaining duration does not change."""
        if self._silences:
            self.replace_all(
                [
                    replace(
                        silence,
                        since=step.shift_past(silence.since),
                        until=silence.until if silence.is_end_fixed else step.shift_future(silence.until),
                    )
                    for silence in self._silences
                ]
            )


def silence_to_record(silence: Silence) -> dict[str, Any]:
    """Return the record of a silence as JSON."""
    return {
        **asdict(silence),
        "since": silence.since.timestamp(),
        "until": silence.until.timestamp(),
    }


def silence_from_record(record: Mapping[str, Any]) -> Silence:
    """Decode `silence_to_record`. Raises KeyError, TypeError or ValueError if the record is not of this form."""
    matcher = record["matcher"]
    return Silence(
        id=str(record["id"]),
        matcher=Matcher(tuple(matcher["names"]), tuple(matcher["patterns"]), tuple(matcher["tags"])),
        since=datetime.fromtimestamp(record["since"], UTC),
        until=datetime.fromtimestamp(record["until"], UTC),
        by=str(record["by"]),
        comment=record["comment"],
        is_end_fixed=record.get("is_end_fixed") is True,
    )
