"""The rows of the overview, each rendered once for what it shows and kept until that changes.

A thousand rows take longer than a check may be late. So what has changed is found first, by comparing a few values of
each monitor, and rendered in slices, between which the event loop goes on.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from monitord.clock import Clock
from monitord.dispatch import MonitorState, Silence
from monitord.model import WORST_FIRST, State, Verdict
from monitord.status.model.read_model import KEPT_MARKS, MonitorRecord, ReadModel
from monitord.status.pages import wording
from monitord.status.pages.charts import Svg, checks_bar, sparkline
from monitord.status.pages.rendering import Rendering

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
    """The row of a monitor at a revision of its record. `text` None: it has not been rendered yet."""

    revision: int
    health: State
    tags: tuple[str, ...]
    find: str
    text: Svg | None = None


class Rows:
    """`structure`: the last revision at which a row was added, was removed or changed its section."""

    def __init__(self, model: ReadModel, rendering: Rendering, clock: Clock) -> None:
        self._model = model
        self._rendering = rendering
        self._clock = clock
        self._lock = asyncio.Lock()
        self.kept: dict[str, Kept] = {}
        self.structure = 0

    def refresh(self) -> None:
        """Find the rows that have changed since the last call. Renders nothing."""
        self._model.refresh()
        monitors = self._model.monitors
        has_structure_changed = False
        for name, record in monitors.items():
            kept = self.kept.get(name)
            if kept is not None and kept.revision == record.revision:
                continue
            health, tags, last = record.state.effective, record.monitor.settings.tags, record.state.last
            has_structure_changed |= kept is None or kept.health is not health or kept.tags != tags
            found_by = [name, record.monitor.type_name, *tags]
            if last is not None:
                found_by += [last.observation.detail, last.observation.outcome]
            self.kept[name] = Kept(record.revision, health, tags, " ".join(found_by).casefold())
        if len(self.kept) != len(monitors):
            self.kept = {name: kept for name, kept in self.kept.items() if name in monitors}
            has_structure_changed = True
        if has_structure_changed:
            self.structure = self._model.revision

    def worst_first(self) -> list[str]:
        return sorted(self.kept, key=lambda name: (RANK[self.kept[name].health], name))

    async def rendered(self, names: Sequence[str]) -> list[Svg]:
        """The rows of these monitors, in this order. One that left meanwhile is left out."""
        async with self._lock:
            held_since = self._clock.monotonic_s()
            for name in names:
                kept = self.kept.get(name)
                record = self._model.monitors.get(name)
                if kept is None or record is None or kept.text is not None:
                    continue
                row = _row(record)
                kept.text = Svg(self._rendering.render("row.html", {"row": row, "root": "./"}))
                if self._clock.monotonic_s() - held_since > SLICE_S:
                    await asyncio.sleep(0)
                    held_since = self._clock.monotonic_s()
        return [
            kept.text for name in names if (kept := self.kept.get(name)) is not None and kept.text is not None
        ]


def _row(record: MonitorRecord) -> Row:
    state, last = record.state, record.state.last
    marks = record.marks.unpacked()
    verdicts = tuple([mark.verdict.value for mark in marks])
    answered = [mark.response_s for mark in marks]
    return Row(
        name=record.name,
        type_name=record.monitor.type_name,
        state=state.effective.value,
        since=state.effective_since,
        notes=notes_of(state, record.silence),
        tags=record.monitor.settings.tags,
        reason=None if last is None or last.verdict is Verdict.PASS else last.observation.reason.value,
        outcome="" if last is None else last.observation.outcome,
        subject="" if last is None else last.observation.subject,
        response_s=next((value for value in reversed(answered) if value is not None), None),
        bar=checks_bar(verdicts, KEPT_MARKS, said_of_marks(verdicts)),
        spark=sparkline(answered, _said_of_responses(answered)),
        uptimes=tuple(wording.percent(ratio) for ratio in record.uptimes or (None, None)),
    )


def notes_of(state: MonitorState, silence: Silence | None) -> tuple[str, ...]:
    """What a state alone does not say."""
    notes = []
    if state.wants_retry and state.effective is not State.UNREACHABLE:
        notes.append("failing")
    if state.health.flapping.is_flapping:
        notes.append("flapping")
    if state.window is not None:
        notes.append(f"maintenance {state.window.name}")
    if state.incident is not None and state.incident.acknowledged_by is not None:
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
