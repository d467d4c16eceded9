"""Lists of monitors: filters, which are combined with AND, and pages in the order of names.

A cursor is the name after which the next page begins, so that added and removed monitors shift no others.
"""

import fnmatch
import re
from collections.abc import Mapping

from monitord.errors import InvalidValueError
from monitord.model import WORST_FIRST, Json, State
from monitord.status.access.body import MAX_ITEM_CHARACTERS
from monitord.status.access.responses import encode
from monitord.status.model.query import (
    QueryParameter,
    QueryValues,
    choice,
    nonempty,
    repeated,
    single,
    whole_number,
)
from monitord.status.model.read_model import MonitorRecord

MAX_PAGE_SIZE = 1000
PAGE_SIZE = 100

_RANKS = {health: rank for rank, health in enumerate(WORST_FIRST)}

STATES = tuple(health.value for health in State)
TEXT: Json = {"type": "string", "minLength": 1}

TAG = repeated(
    "tag", nonempty, TEXT, "Select monitors with this tag. If repeated, select monitors with all of the tags."
)
STATE = repeated(
    "state",
    choice(STATES),
    {"type": "string", "enum": list(STATES)},
    "Select monitors in this state. If repeated, select monitors in any of the states.",
)
TYPE = repeated(
    "type", nonempty, TEXT, "Select monitors of this type. If repeated, select monitors of any of the types."
)


def name_filter(text: str) -> str:
    """Read a text or a pattern. Raises InvalidValueError."""
    if len(text) > MAX_ITEM_CHARACTERS:
        raise InvalidValueError(f"has more than {MAX_ITEM_CHARACTERS} characters", "shorten it")
    return nonempty(text)


NAME = single(
    "name",
    name_filter,
    "",
    {**TEXT, "maxLength": MAX_ITEM_CHARACTERS},
    "Select monitors whose names contain this text, regardless of case. A value with `*`, `?` or `[…]` is a pattern "
    "for the whole name.",
)


CURSOR_PATTERN = "(?:[0-9a-f]{2}){1,1024}"


def limit(default: int, maximum: int, *, name: str = "limit") -> QueryParameter[int]:
    schema: Json = {"type": "integer", "minimum": 1, "maximum": maximum, "default": default}
    return single(
        name, whole_number(1, maximum), default, schema, "The maximum number of items in the response."
    )


def read_cursor(text: str) -> str:
    """Return the name after which the page begins. Raises InvalidValueError."""
    if re.fullmatch(CURSOR_PATTERN, text) is None:
        raise InvalidValueError("is not a cursor", "write the next_cursor of the previous page")
    return bytes.fromhex(text).decode(errors="replace")


LIMIT = limit(PAGE_SIZE, MAX_PAGE_SIZE)
CURSOR = single(
    "cursor",
    read_cursor,
    "",
    {"type": "string", "pattern": f"^{CURSOR_PATTERN}$"},
    "The `next_cursor` of the previous page.",
)

PARAMETERS = (TAG, STATE, TYPE, NAME, LIMIT, CURSOR)


def all_of(monitors: Mapping[str, MonitorRecord]) -> bytes:
    """All monitors as JSON: the worst first, then by name."""
    worst_first = sorted(monitors.values(), key=lambda record: (_RANKS[record.state.effective], record.name))
    return b'{"monitors":[' + b",".join([record.brief() for record in worst_first]) + b"]}"


def name_pattern(name: str) -> re.Pattern[str]:
    """Return the pattern of the filter `name`, to be searched for."""
    if any(sign in name for sign in "*?["):
        return re.compile(r"\A" + fnmatch.translate(name), re.IGNORECASE)
    return re.compile(re.escape(name), re.IGNORECASE)


def page_of(monitors: Mapping[str, MonitorRecord], query: QueryValues) -> bytes:
    """A page as JSON: `monitors`, `total` (all that match), and `next_cursor` (null on the last page)."""
    tags, states, types = frozenset(query[TAG]), frozenset(query[STATE]), frozenset(query[TYPE])
    name, after, maximum = query[NAME], query[CURSOR], query[LIMIT]
    pattern = name_pattern(name)
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
