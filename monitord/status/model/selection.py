"""Which monitors a request acts on: the names, patterns and tags of its body.

All that it names must be known, or nothing is done: a name with a typing error among ten others must not go unnoticed.
What is named in full must allow the act as well; of patterns and tags only those monitors that allow it are meant.
"""

import fnmatch
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from monitord.dispatch import Matcher, Watched
from monitord.errors import InvalidValueError
from monitord.status.access.body import MOST_PATTERNS, Read, texts
from monitord.status.access.problems import BadInput, Failure, UnknownInput
from monitord.text import did_you_mean
from monitord.web import HTTPConflict

MOST_HINTS, MOST_COMPARED = 3, 2000
"""Unknown names with a hint, and the names that are compared for one: both take time of the event loop."""

ELSE = "GET /monitors lists them"


def _patterns(value: object) -> tuple[str, ...]:
    if isinstance(value, list) and len(value) > MOST_PATTERNS:
        raise InvalidValueError(f"has more than {MOST_PATTERNS} items", "write fewer")
    return texts(value)


KEYS: Mapping[str, Read] = {"names": texts, "patterns": _patterns, "tags": texts}

Obstacle = Callable[[Watched], str | None]
"""Why a monitor does not allow an act, in words that follow its name and a colon; None: it does."""


@dataclass(frozen=True, slots=True)
class Selection:
    """`skipped`: why those are left out that patterns or tags mean and that do not allow the act, by name."""

    monitors: Sequence[str]
    skipped: Mapping[str, str]


def matcher_of(given: Mapping[str, Any]) -> Matcher:
    """Raises BadInput where nothing is named at all."""
    matcher = Matcher(given.get("names", ()), given.get("patterns", ()), given.get("tags", ()))
    if not (matcher.names or matcher.patterns or matcher.tags):
        raise BadInput([Failure("names", "no monitor is named", "give names, patterns or tags")])
    return matcher


def select(
    matcher: Matcher, watched: Mapping[str, Watched], obstacle: Obstacle, *, is_idempotent: bool = False
) -> Selection:
    """Raises UnknownInput (404) for what is not known, HTTPConflict where the act is not possible.

    `is_idempotent`: an obstacle only means that there is nothing to do, which is no error.
    """
    failures = list(_unknown(matcher, watched))
    if failures:
        raise UnknownInput(failures)
    # Sets and one pattern for all: a thousand names for thousands of monitors must not hold the event loop up.
    names, tags = frozenset(matcher.names), frozenset(matcher.tags)
    pattern = re.compile("|".join(map(fnmatch.translate, matcher.patterns)) or r"(?!)")
    is_for_all = not (matcher.names or matcher.patterns)
    meant = [
        one
        for name, one in watched.items()
        if (is_for_all or name in names or pattern.match(name)) and tags.issubset(one.monitor.settings.tags)
    ]
    if not meant:
        raise UnknownInput([Failure("tags", "no monitor matches all of this", ELSE)])
    obstacles = {one.name: why for one in meant if (why := obstacle(one)) is not None}
    if is_idempotent:
        obstacles = {name: why for name, why in obstacles.items() if name not in matcher.names}
        return Selection([one.name for one in meant if one.name not in obstacles], obstacles)
    named = [name for name in matcher.names if name in obstacles]
    if named or len(obstacles) == len(meant):
        refused = named or list(obstacles)
        raise HTTPConflict(text="".join(f"{name}: {obstacles[name]}\n" for name in refused))
    return Selection([one.name for one in meant if one.name not in obstacles], obstacles)


def _unknown(matcher: Matcher, watched: Mapping[str, Watched]) -> Iterator[Failure]:
    unknown = [name for name in matcher.names if name not in watched]
    for number, name in enumerate(unknown):
        fix = _nearest(name, watched) if number < MOST_HINTS else ELSE
        yield Failure("names", f"no monitor is called {name!r}", fix)
    for pattern in matcher.patterns:
        matches = re.compile(fnmatch.translate(pattern)).match
        if not any(map(matches, watched)):
            yield Failure("patterns", f"no monitor matches {pattern!r}", ELSE)
    tags = {tag for one in watched.values() for tag in one.monitor.settings.tags}
    for number, tag in enumerate(tag for tag in matcher.tags if tag not in tags):
        fix = _nearest(tag, tags) if number < MOST_HINTS else ELSE
        yield Failure("tags", f"no monitor has the tag {tag!r}", fix)


def _nearest(wanted: str, known: Collection[str]) -> str:
    return (did_you_mean(wanted, known) if len(known) <= MOST_COMPARED else "") or ELSE
