"""The overview: which rows are shown, in what sections, and the choices that lead to other views of it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from urllib.parse import urlencode

from monitord.model import WORST_FIRST, State
from monitord.status.pages import wording
from monitord.status.pages.rows import WELL, Kept, Rows, counts_of

LONGEST_QUESTION = 200


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is looked for: words that a row must all have, a state, a tag."""

    words: str = ""
    state: str = ""
    tag: str = ""

    def fits(self, kept: Kept) -> bool:
        if self.state and kept.health.value != self.state:
            return False
        if self.tag and self.tag not in kept.tags:
            return False
        return all(word in kept.find for word in self.words.casefold().split())

    @property
    def query(self) -> str:
        """As it stands in an address, with its question mark; empty for everything."""
        given = {"q": self.words, "state": self.state, "tag": self.tag}
        text = urlencode({name: value for name, value in given.items() if value})
        return f"?{text}" if text else "./"


@dataclass(frozen=True, slots=True)
class Choice:
    """A link that narrows the view, or widens it again when it is in force."""

    word: str
    count: int
    address: str
    is_chosen: bool


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
    states: tuple[Choice, ...]
    tags: tuple[Choice, ...]
    sections: tuple[Section, ...]


def wanted_of(words: str, state: str, tag: str) -> Wanted:
    """From an address; a state that does not exist finds nothing, as it should."""
    return Wanted(words.strip()[:LONGEST_QUESTION], state[:LONGEST_QUESTION], tag[:LONGEST_QUESTION])


def overview(rows: Rows, wanted: Wanted) -> Overview:
    kept = rows.kept
    counts = counts_of(kept)
    names = [name for name in rows.worst_first() if wanted.fits(kept[name])]
    worst = next((health for health in WORST_FIRST if counts[health]), State.PENDING)
    return Overview(
        headline=wording.headline(counts),
        worst=worst.value,
        total=len(kept),
        shown=len(names),
        states=tuple(
            _choice(wanted, "state", health.value, counts[health]) for health in WORST_FIRST if counts[health]
        ),
        tags=tuple(_choice(wanted, "tag", tag, count) for tag, count in _tags(kept.values())),
        sections=tuple(_sections(names, rows)),
    )


def _choice(wanted: Wanted, kind: str, word: str, count: int) -> Choice:
    is_chosen = getattr(wanted, kind) == word
    other = replace(wanted, **{kind: "" if is_chosen else word})
    return Choice(word, count, other.query, is_chosen)


def _tags(kept: Iterable[Kept]) -> list[tuple[str, int]]:
    counts: dict[str, int] = {}
    for one in kept:
        for tag in one.tags:
            counts[tag] = counts.get(tag, 0) + 1
    return sorted(counts.items())


def _sections(names: Sequence[str], rows: Rows) -> list[Section]:
    """What needs a look first, whatever its tags; then a section for each first tag."""
    ill = tuple(name for name in names if rows.kept[name].health not in WELL)
    sections = [Section("attention", "Needs attention", ill)] if ill else []
    groups: dict[str, list[str]] = {}
    for name in names:
        one = rows.kept[name]
        if one.health in WELL:
            groups.setdefault(one.tags[0] if one.tags else "", []).append(name)
    for tag in sorted(groups, key=lambda tag: (not tag, tag)):
        title = tag or (
            "Without a tag" if len(groups) > 1 else "All monitors" if not ill else "All is well with"
        )
        sections.append(Section(f"tag-{tag}", title, tuple(groups[tag])))
    return sections
