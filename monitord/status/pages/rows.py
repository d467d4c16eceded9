"""The rows of the overview, each rendered once for what it shows and kept until that changes.

A thousand rows take longer than a check may be late. So what has changed is found first, by comparing a few values of
each monitor, and rendered in slices, between which the event loop goes on.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from monitord.clock import Clock
from monitord.dispatch import Dispatcher, Silence, Watched
from monitord.model import WORST_FIRST, State, Verdict
from monitord.status.model.recent import KEPT, Recent
from monitord.status.pages import wording
from monitord.status.pages.charts import Svg, checks_bar, sparkline
from monitord.status.pages.rendering import Rendering
from monitord.status.pages.uptimes import Uptimes

SLICE_S = 0.004
"""How long the loop is held at once."""

RANK = {health: rank for rank, health in enumerate(WORST_FIRST)}
WORDS = tuple(verdict.value for verdict in Verdict)
WELL = frozenset({State.UP, State.PENDING, State.PAUSED})


@dataclass(frozen=True, slots=True)
class Row:
    """What the overview says of one monitor."""

    name: str
    type_name: str
    state: str
    since: datetime | None
    notes: tuple[str, ...]
    tags: tuple[str, ...]
    reason: str | None
    outcome: str
    subject: str
    response_s: float | None
    bar: Svg
    spark: Svg
    uptimes: tuple[str, ...]


@dataclass(slots=True)
class Kept:
    """A row as it was last rendered; `revision` is when it changed. `text` None: it has changed since."""

    key: tuple[object, ...]
    revision: int
    health: State
    tags: tuple[str, ...]
    find: str
    text: Svg | None = None


class Rows:
    """`revision` grows when any row changes, `structure` when one comes, goes or stands otherwise."""

    def __init__(
        self, dispatcher: Dispatcher, recent: Recent, uptimes: Uptimes, rendering: Rendering, clock: Clock
    ) -> None:
        self._dispatcher = dispatcher
        self._recent = recent
        self._uptimes = uptimes
        self._rendering = rendering
        self._clock = clock
        self._lock = asyncio.Lock()
        self.kept: dict[str, Kept] = {}
        self.revision = 0
        self.structure = 0

    def look(self) -> None:
        """Find what has changed since the last look. Renders nothing."""
        watched = self._dispatcher.watched
        uptimes = self._uptimes.known
        revision = self.revision + 1
        changed = shifted = False
        registry, now = self._dispatcher.registry, self._clock.now()
        for name, one in watched.items():
            health = one.state.health
            key = (
                one.monitor,
                one.state.stands,
                one.state.stands_since,
                health.is_soft,
                health.flapping.is_flapping,
                one.state.window,
                registry.silence_of(one, now),
                one.state.pause,
                one.state.incident,
                self._recent.heard(name),
                self._recent.count(name),
                uptimes.get(name),
            )
            kept = self.kept.get(name)
            if kept is not None and kept.key == key:
                continue
            tags = one.monitor.settings.tags
            shifted |= kept is None or kept.health is not one.state.stands or kept.tags != tags
            find = f"{name} {one.monitor.type_name} {' '.join(tags)} {_searched(one)}".casefold()
            self.kept[name] = Kept(key, revision, one.state.stands, tags, find)
            changed = True
        if len(self.kept) != len(watched):
            self.kept = {name: kept for name, kept in self.kept.items() if name in watched}
            self._recent.forget_all_but(watched)
            changed = shifted = True
        if changed:
            self.revision = revision
        if shifted:
            self.structure = revision

    def worst_first(self) -> list[str]:
        return sorted(self.kept, key=lambda name: (RANK[self.kept[name].health], name))

    async def rendered(self, names: Sequence[str]) -> list[Svg]:
        """The rows of these monitors, in this order. One that left meanwhile is left out."""
        async with self._lock:
            held_since = self._clock.monotonic_s()
            for name in names:
                kept = self.kept.get(name)
                watched = self._dispatcher.watched.get(name)
                if kept is None or watched is None or kept.text is not None:
                    continue
                row = self._row(watched)
                kept.text = Svg(self._rendering.render("row.html", {"row": row, "root": "./"}))
                if self._clock.monotonic_s() - held_since > SLICE_S:
                    await asyncio.sleep(0)
                    held_since = self._clock.monotonic_s()
        return [
            kept.text for name in names if (kept := self.kept.get(name)) is not None and kept.text is not None
        ]

    def _row(self, watched: Watched) -> Row:
        marks = self._recent.of(watched.name)
        last = watched.state.last
        verdicts = tuple([mark.verdict for mark in marks])
        answered = [mark.response_s for mark in marks]
        return Row(
            name=watched.name,
            type_name=watched.monitor.type_name,
            state=watched.state.stands.value,
            since=watched.state.stands_since,
            notes=notes_of(watched, self._dispatcher.registry.silence_of(watched, self._clock.now())),
            tags=watched.monitor.settings.tags,
            reason=None if last is None or last.verdict is Verdict.PASS else last.observation.reason.value,
            outcome=_outcome(watched),
            subject="" if last is None else last.observation.subject,
            response_s=next((value for value in reversed(answered) if value is not None), None),
            bar=checks_bar(verdicts, KEPT, said_of_marks(verdicts)),
            spark=sparkline(answered, _said_of_responses(answered)),
            uptimes=tuple(
                wording.percent(ratio) for ratio in self._uptimes.known.get(watched.name, (None, None))
            ),
        )


def notes_of(watched: Watched, silence: Silence | None) -> tuple[str, ...]:
    """What a state alone does not say."""
    notes = []
    if watched.state.wants_retry and watched.state.stands is not State.UNREACHABLE:
        notes.append("failing")
    if watched.state.health.flapping.is_flapping:
        notes.append("flapping")
    if watched.state.window is not None:
        notes.append(f"maintenance {watched.state.window.name}")
    if watched.state.incident is not None and watched.state.incident.acknowledged_by is not None:
        notes.append("acknowledged")
    if silence is not None:
        notes.append("silenced")
    return tuple(notes)


def counts_of(kept: Mapping[str, Kept]) -> dict[State, int]:
    """How many stand how."""
    counts = dict.fromkeys(State, 0)
    for one in kept.values():
        counts[one.health] += 1
    return counts


def said_of_marks(verdicts: tuple[str, ...]) -> str:
    """The bar in words."""
    if not verdicts:
        return "no check yet"
    counts = [(verdicts.count(word), word) for word in WORDS]
    told = ", ".join(f"{count} {word}" for count, word in counts if count)
    return f"the last {wording.several(len(verdicts), 'check')}: {told}"


def _said_of_responses(answered: Sequence[float | None]) -> str:
    known = [value for value in answered if value is not None]
    if not known:
        return "no response time yet"
    return f"response time from {wording.seconds(min(known))} to {wording.seconds(max(known))}"


def _outcome(watched: Watched) -> str:
    return "" if watched.state.last is None else watched.state.last.observation.outcome


def _searched(watched: Watched) -> str:
    """All that the row shows of the last check, and its detail."""
    if watched.state.last is None:
        return ""
    observation = watched.state.last.observation
    return f"{observation.detail} {observation.outcome}"
