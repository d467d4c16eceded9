"""Which monitors a request means, and a page of them: filters that all have to fit, in the order of names.

A cursor is the name after which the next page begins, so that monitors that come and go shift nobody else.
"""

import fnmatch
import re
from collections.abc import Sequence
from dataclasses import dataclass

from monitord.errors import InvalidValueError
from monitord.model import Json, State
from monitord.status.access.body import MOST_CHARACTERS
from monitord.status.model.query import Parameter, Query, choice, many, one, whole_number, words
from monitord.status.model.rendered import Fragment, Fragments, cacheable_answer, encode
from monitord.web import Response

MOST_IN_A_PAGE = 1000
IN_A_PAGE = 100

MOST_PAGES = 50
"""That are kept; each may hold all monitors."""

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


@dataclass(frozen=True, slots=True)
class Filter:
    """What a monitor must be to be meant."""

    tags: frozenset[str]
    states: frozenset[str]
    types: frozenset[str]
    name: re.Pattern[str] | None

    def fits(self, fragment: Fragment) -> bool:
        settings = fragment.shown.monitor.settings
        return (
            (not self.states or fragment.health.value in self.states)
            and (not self.types or settings.type_name in self.types)
            and self.tags.issubset(settings.tags)
            and (self.name is None or self.name.search(settings.name) is not None)
        )


def filter_of(query: Query) -> Filter:
    name = query[NAME]
    if not name:
        pattern = None
    elif any(sign in name for sign in "*?["):
        pattern = re.compile(r"\A" + fnmatch.translate(name), re.IGNORECASE)
    else:
        pattern = re.compile(re.escape(name), re.IGNORECASE)
    return Filter(frozenset(query[TAG]), frozenset(query[STATE]), frozenset(query[TYPE]), pattern)


class Listing:
    """Pages that were asked for, kept until a monitor changes."""

    def __init__(self, fragments: Fragments) -> None:
        self._fragments = fragments
        self._revision = -1
        self._by_name: list[Fragment] = []
        self._kept: dict[str, Response] = {}

    def response(self, query_string: str, query: Query) -> Response:
        """`query` is what `query_string` says."""
        found = self._fragments.look()
        if self._fragments.revision != self._revision:
            self._revision = self._fragments.revision
            self._by_name = sorted(found.values(), key=lambda one: one.name)
            self._kept.clear()
        response = self._kept.get(query_string)
        if response is None:
            response = cacheable_answer(page(self._by_name, query))
            if len(self._kept) < MOST_PAGES:
                self._kept[query_string] = response
        return response


def page(by_name: Sequence[Fragment], query: Query) -> bytes:
    """As JSON: `monitors`, `total` (all that fit), and `next_cursor` (null on the last page)."""
    wanted = filter_of(query)
    after, most = query[CURSOR], query[LIMIT]
    fitting = [one for one in by_name if wanted.fits(one)]
    rest = [one for one in fitting if one.name > after]
    shown = rest[:most]
    cursor = None
    if len(rest) > most:
        cursor = shown[-1].name.encode().hex()
    return b'{"monitors":[%s],"total":%d,"next_cursor":%s}' % (
        b",".join(one.text for one in shown),
        len(fitting),
        encode(cursor),
    )
