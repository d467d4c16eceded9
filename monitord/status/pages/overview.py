"""The overview page: the rows to show, their sections, and the filters."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from urllib.parse import urlencode

from monitord.model import WORST_FIRST, State
from monitord.status.pages import wording
from monitord.status.pages.cluster_view import HostRow
from monitord.status.pages.rows import WITHOUT_PROBLEM, RenderedRow, Rows, counts_of

MAX_FILTER_CHARACTERS = 200


@dataclass(frozen=True, slots=True)
class Filter:
    """Selection of rows: words that a row must all contain, a state, a tag."""

    words: str = ""
    state: str = ""
    tag: str = ""

    def matches(self, row: RenderedRow | HostRow) -> bool:
        if self.state and row.state.value != self.state:
            return False
        if self.tag and self.tag not in row.tags:
            return False
        return all(word in row.search_text for word in self.words.casefold().split())

    @property
    def query(self) -> str:
        """The query of a URL, with its question mark; "./" without a filter."""
        parameters = {"q": self.words, "state": self.state, "tag": self.tag}
        text = urlencode({name: value for name, value in parameters.items() if value})
        return f"?{text}" if text else "./"


@dataclass(frozen=True, slots=True)
class FilterLink:
    """A link that sets a filter, or removes it if it is active."""

    word: str
    count: int
    address: str
    is_active: bool


@dataclass(frozen=True, slots=True)
class Section:
    """Rows under one heading."""

    key: str
    title: str
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Overview:
    headline: str
    worst: str
    total: int
    shown: int
    states: tuple[FilterLink, ...]
    tags: tuple[FilterLink, ...]
    sections: tuple[Section, ...]
    hosts: tuple[HostRow, ...] = ()


def filter_of(words: str, state: str, tag: str) -> Filter:
    """Return the filter of the parameters of a URL. An unknown state matches nothing."""
    return Filter(
        words.strip()[:MAX_FILTER_CHARACTERS], state[:MAX_FILTER_CHARACTERS], tag[:MAX_FILTER_CHARACTERS]
    )


def overview(rows: Rows, row_filter: Filter, hosts: Sequence[HostRow] = ()) -> Overview:
    """Return the overview. `hosts`: the monitors of the other hosts of a cluster, which have a section of their own."""
    by_name = rows.by_name
    counts = counts_of(by_name)
    for host in hosts:
        counts[host.state] += 1
    names = [name for name in rows.worst_first() if row_filter.matches(by_name[name])]
    worst = next((state for state in WORST_FIRST if counts[state]), State.PENDING)
    tags = Counter(tag for row in by_name.values() for tag in row.tags)
    tags.update(tag for host in hosts for tag in host.tags)
    shown_hosts = tuple(row for row in hosts if row_filter.matches(row))
    # One section for all monitors that need attention, then one for each first tag.
    problems = tuple(name for name in names if by_name[name].state not in WITHOUT_PROBLEM)
    sections = [Section("attention", "Needs attention", problems)] if problems else []
    groups: dict[str, list[str]] = {}
    for name in names:
        row = by_name[name]
        if row.state in WITHOUT_PROBLEM:
            groups.setdefault(row.tags[0] if row.tags else "", []).append(name)
    for tag in sorted(groups, key=lambda tag: (not tag, tag)):
        title = tag or (
            "Without tags" if len(groups) > 1 else "All monitors" if not problems else "Other monitors"
        )
        sections.append(Section(f"tag-{tag}", title, tuple(groups[tag])))
    return Overview(
        headline=wording.headline(counts),
        worst=worst.value,
        total=len(by_name) + len(hosts),
        shown=len(names) + len(shown_hosts),
        states=tuple(
            _filter_link(row_filter, "state", state.value, counts[state])
            for state in WORST_FIRST
            if counts[state]
        ),
        tags=tuple(_filter_link(row_filter, "tag", tag, tags[tag]) for tag in sorted(tags)),
        sections=tuple(sections),
        hosts=shown_hosts,
    )


def _filter_link(row_filter: Filter, kind: str, word: str, count: int) -> FilterLink:
    is_active = getattr(row_filter, kind) == word
    other = replace(row_filter, **{kind: "" if is_active else word})
    return FilterLink(word, count, other.query, is_active)
