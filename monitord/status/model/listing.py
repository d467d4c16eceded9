"""Lists of monitors: filters, which are combined with AND, and pages in the order of names.

A cursor is the name after which the next page begins, so that added and removed monitors shift no others.
"""

import fnmatch
import re
from collections.abc import Mapping

from monitord.errors import InvalidValueError
from monitord.model import WORST_FIRST, Json, State
from monitord.status.access.body import MOST_CHARACTERS
from monitord.status.access.responses import encode
from monitord.status.model.query import Parameter, Query, choice, many, one, whole_number, words
from monitord.status.model.read_model import MonitorRecord

MOST_IN_A_PAGE = 1000
IN_A_PAGE = 100

_RANKS = {health: rank for rank, health in enumerate(WORST_FIRST)}

STATES = tuple(health.value for health in State)
TEXT: Json = {"type": "string", "minLength": 1}

TAG = many("tag", words, TEXT, "Only monitors that have this tag; repeated: that have all of them.")
STATE = many(
    "state",
    choice(STATES),
    {"type": "string", "enum": list(STATES)},
    "Only monitors in this state; repeated: in any of them.",
)
TYPE = many("type", words, TEXT, "Only monitors of this type; repeated: of any of them.")


def name_filter(text: str) -> str:
    """Raises InvalidValueError."""
    if len(text) > MOST_CHARACTERS:
        raise InvalidValueError(f"has more than {MOST_CHARACTERS} characters", "write fewer")
    return words(text)


NAME = one(
    "name",
    name_filter,
    "",
    {**TEXT, "maxLength": MOST_CHARACTERS},
    "Only monitors whose name has this in it, in capitals or not; with *, ? or […] it is a pattern for the whole name.",
)


CURSOR_PATTERN = "(?:[0-9a-f]{2}){1,1024}"


def limit(default: int, maximum: int) -> Parameter[int]:
    schema: Json = {"type": "integer", "minimum": 1, "maximum": maximum, "default": default}
    return one("limit", whole_number(1, maximum), default, schema, "How many at most.")


def read_cursor(text: str) -> str:
    """The name behind which the page begins. Raises InvalidValueError."""
    if re.fullmatch(CURSOR_PATTERN, text) is None:
        raise InvalidValueError("is not a cursor", "write the next_cursor of the page before")
    return bytes.fromhex(text).decode(errors="replace")


LIMIT = limit(IN_A_PAGE, MOST_IN_A_PAGE)
CURSOR = one(
    "cursor",
    read_cursor,
    "",
    {"type": "string", "pattern": f"^{CURSOR_PATTERN}$"},
    "The `next_cursor` of the page before.",
)

PARAMETERS = (TAG, STATE, TYPE, NAME, LIMIT, CURSOR)


def all_of(monitors: Mapping[str, MonitorRecord]) -> bytes:
    """All monitors as JSON: the worst first, then by name."""
    worst_first = sorted(monitors.values(), key=lambda record: (_RANKS[record.state.effective], record.name))
    return b'{"monitors":[' + b",".join([record.brief() for record in worst_first]) + b"]}"


def page_of(monitors: Mapping[str, MonitorRecord], query: Query) -> bytes:
    """A page as JSON: `monitors`, `total` (all that match), and `next_cursor` (null on the last page)."""
    tags, states, types = frozenset(query[TAG]), frozenset(query[STATE]), frozenset(query[TYPE])
    name, after, maximum = query[NAME], query[CURSOR], query[LIMIT]
    if any(sign in name for sign in "*?["):
        pattern = re.compile(r"\A" + fnmatch.translate(name), re.IGNORECASE)
    else:
        pattern = re.compile(re.escape(name), re.IGNORECASE)
    total, rest = 0, []
    for record in monitors.values():
        settings = record.monitor.settings
        if (
            (not states or record.state.effective.value in states)
            and (not types or settings.type_name in types)
            and tags.issubset(settings.tags)
            and (not name or pattern.search(record.name))
        ):
            total += 1
            if record.name > after:
                rest.append(record)
    rest.sort(key=lambda record: record.name)
    shown = rest[:maximum]
    cursor = shown[-1].name.encode().hex() if len(rest) > maximum else None
    return b'{"monitors":[%s],"total":%d,"next_cursor":%s}' % (
        b",".join([record.brief() for record in shown]),
        total,
        encode(cursor),
    )
