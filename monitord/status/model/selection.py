"""Selection of the monitors that a request changes, by the names, patterns and tags in its body.

If a name, pattern or tag matches no monitor, nothing is changed: a misspelled name among ten must not go unnoticed. If
the change is not possible for a monitor in `names`, nothing is changed either; monitors that are selected by patterns
or tags are skipped instead.
"""

import fnmatch
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from monitord.dispatch import Matcher, MonitorEntry
from monitord.errors import InvalidValueError
from monitord.status.access.body import MAX_PATTERNS, Read, texts
from monitord.status.access.problems import BadInput, InputError, UnknownInput
from monitord.text import did_you_mean
from monitord.web import HTTPConflict

# Finding the nearest name takes time on the event loop.
MAX_HINTS = 3
"""Unknown names for which the nearest name is looked up."""

MAX_COMPARED_NAMES = 2000

DEFAULT_HINT = "GET /api/v1/monitors lists the monitors"


def _patterns(value: object) -> tuple[str, ...]:
    if isinstance(value, list) and len(value) > MAX_PATTERNS:
        raise InvalidValueError(f"has more than {MAX_PATTERNS} items", "write fewer")
    return texts(value)


KEYS: Mapping[str, Read] = {"names": texts, "patterns": _patterns, "tags": texts}

Obstacle = Callable[[MonitorEntry], str | None]
"""Returns why a change is not possible for a monitor, as a predicate of its name; None: it is possible."""


@dataclass(frozen=True, slots=True)
class Selection:
    """`skipped`: the monitors for which the change is not possible, with the reason."""

    monitors: Sequence[str]
    skipped: Mapping[str, str]


def matcher_of(body: Mapping[str, Any]) -> Matcher:
    """The matcher of a body. Raises BadInput if it has no names, patterns or tags."""
    matcher = Matcher(body.get("names", ()), body.get("patterns", ()), body.get("tags", ()))
    if not (matcher.names or matcher.patterns or matcher.tags):
        raise BadInput([InputError("names", "no monitor is selected", "write names, patterns or tags")])
    return matcher


def select(
    matcher: Matcher,
    entries: Mapping[str, MonitorEntry],
    obstacle: Obstacle,
    *,
    is_idempotent: bool = False,
    hint: str = DEFAULT_HINT,
) -> Selection:
    """Return the monitors that a request changes.

    Raises UnknownInput (404) if something matches no monitor, HTTPConflict if the change is not possible.
    `is_idempotent`: an obstacle means that the change has been made already, which is not an error. `hint`: of an error
    without a similar name.
    """
    errors = list(_unknown(matcher, entries, hint))
    if errors:
        raise UnknownInput(errors)
    # Sets and a single pattern: comparing a thousand names with thousands of monitors must not block the event loop.
    names, tags = frozenset(matcher.names), frozenset(matcher.tags)
    pattern = re.compile("|".join(map(fnmatch.translate, matcher.patterns)) or r"(?!)")
    is_for_all = not (matcher.names or matcher.patterns)
    matching = [
        entry
        for name, entry in entries.items()
        if (is_for_all or name in names or pattern.match(name)) and tags.issubset(entry.monitor.settings.tags)
    ]
    if not matching:
        raise UnknownInput([InputError("tags", "no monitor matches the whole selection", hint)])
    obstacles = {entry.name: reason for entry in matching if (reason := obstacle(entry)) is not None}
    if is_idempotent:
        obstacles = {name: reason for name, reason in obstacles.items() if name not in names}
    else:
        rejected = [name for name in matcher.names if name in obstacles]
        if len(obstacles) == len(matching):
            rejected = rejected or list(obstacles)
        if rejected:
            raise HTTPConflict(text="".join(f"{name}: {obstacles[name]}\n" for name in rejected))
    return Selection([entry.name for entry in matching if entry.name not in obstacles], obstacles)


def _unknown(
    matcher: Matcher, entries: Mapping[str, MonitorEntry], default_hint: str
) -> Iterator[InputError]:
    unknown = [name for name in matcher.names if name not in entries]
    for number, name in enumerate(unknown):
        # As HOST/NAME, a monitor of another host of a cluster: the monitor NAME of this host is not meant.
        is_of_other_host = name.partition("/")[2] in entries
        hint = _nearest(name, entries) if number < MAX_HINTS and not is_of_other_host else ""
        yield InputError("names", f"no monitor has the name {name!r}", hint or default_hint)
    for pattern in matcher.patterns:
        matches = re.compile(fnmatch.translate(pattern)).match
        if not any(map(matches, entries)):
            yield InputError("patterns", f"no monitor matches {pattern!r}", default_hint)
    tags = {tag for entry in entries.values() for tag in entry.monitor.settings.tags}
    for number, tag in enumerate(tag for tag in matcher.tags if tag not in tags):
        hint = _nearest(tag, tags) if number < MAX_HINTS else ""
        yield InputError("tags", f"no monitor has the tag {tag!r}", hint or default_hint)


def _nearest(name: str, known: Collection[str]) -> str:
    return did_you_mean(name, known) if len(known) <= MAX_COMPARED_NAMES else ""
