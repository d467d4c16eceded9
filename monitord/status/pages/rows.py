"""The rows of the overview. A rendered row is cached until its monitor changes.

Rendering a thousand rows would delay checks. Therefore changed monitors are found by their revision, and rows are
rendered in slices, between which the event loop runs other tasks.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from monitord.clock import Clock
from monitord.dispatch import MonitorState, Silence
from monitord.explanation import other_views_text
from monitord.model import WORST_FIRST, State, Verdict
from monitord.status.model.read_model import KEPT_MARKS, MonitorRecord, ReadModel
from monitord.status.pages import wording
from monitord.status.pages.charts import Svg, checks_bar, sparkline
from monitord.status.pages.rendering import Rendering

SLICE_S = 0.004
"""Maximum time for which the event loop is blocked."""

RANK = {state: rank for rank, state in enumerate(WORST_FIRST)}
WORDS = tuple(verdict.value for verdict in Verdict)
WITHOUT_PROBLEM = frozenset({State.UP, State.PENDING, State.PAUSED})


@dataclass(frozen=True, slots=True)
class Row:
    """The values of one row."""

    name: str
    title: str
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
class RenderedRow:
    """The row of a monitor at a revision of its record. `html` None: it has not been rendered yet."""

    revision: int
    state: State
    tags: tuple[str, ...]
    search_text: str
    html: Svg | None = None


class Rows:
    """`structure`: the last revision at which a row was added, was removed or changed its section."""

    def __init__(self, model: ReadModel, rendering: Rendering, clock: Clock) -> None:
        self._model = model
        self._rendering = rendering
        self._clock = clock
        self._lock = asyncio.Lock()
        self.by_name: dict[str, RenderedRow] = {}
        self.structure = 0

    def refresh(self) -> None:
        """Find the monitors that have changed since the last call, without rendering."""
        self._model.refresh()
        monitors = self._model.monitors
        has_structure_changed = False
        for name, record in monitors.items():
            row = self.by_name.get(name)
            if row is not None and row.revision == record.revision:
                continue
            state, tags, last = record.state.effective, record.monitor.settings.tags, record.state.last
            has_structure_changed |= row is None or row.state is not state or row.tags != tags
            words = [name, record.monitor.settings.context.title, record.monitor.type_name, *tags]
            if last is not None:
                words += [last.observation.detail, last.observation.outcome_with_note]
            self.by_name[name] = RenderedRow(record.revision, state, tags, " ".join(words).casefold())
        if len(self.by_name) != len(monitors):
            self.by_name = {name: row for name, row in self.by_name.items() if name in monitors}
            has_structure_changed = True
        if has_structure_changed:
            self.structure = self._model.revision

    def worst_first(self) -> list[str]:
        return sorted(self.by_name, key=lambda name: (RANK[self.by_name[name].state], name))

    async def rendered(self, names: Sequence[str]) -> list[Svg]:
        """Return the rows of these monitors, in this order. Monitors that no longer exist are omitted."""
        async with self._lock:
            slice_began_s = self._clock.monotonic_s()
            for name in names:
                row = self.by_name.get(name)
                record = self._model.monitors.get(name)
                if row is None or record is None or row.html is not None:
                    continue
                row.html = Svg(self._rendering.render("row.html", {"row": _row(record), "root": "./"}))
                if self._clock.monotonic_s() - slice_began_s > SLICE_S:
                    await asyncio.sleep(0)
                    slice_began_s = self._clock.monotonic_s()
        rows = (self.by_name.get(name) for name in names)
        return [row.html for row in rows if row is not None and row.html is not None]


def _row(record: MonitorRecord) -> Row:
    state, last = record.state, record.state.last
    marks = record.marks.unpacked()
    verdicts = tuple([mark.verdict.value for mark in marks])
    times_s = [mark.response_s for mark in marks]
    known_s = [time_s for time_s in times_s if time_s is not None]
    text_of_times = "no response time yet"
    if known_s:
        text_of_times = (
            f"response time from {wording.seconds(min(known_s))} to {wording.seconds(max(known_s))}"
        )
    # The votes of a cluster for states other than the decided state: "down at nyc".
    cluster = record.cluster()
    other_views = "" if cluster is None else other_views_text(cluster["locations"], state.effective.value)
    return Row(
        name=record.name,
        title=record.monitor.settings.context.title,
        type_name=record.monitor.type_name,
        state=state.effective.value,
        since=state.effective_since,
        notes=(*notes_of(state, record.silence), *filter(None, [other_views])),
        tags=record.monitor.settings.tags,
        reason=None if last is None or last.verdict is Verdict.PASS else last.observation.reason.value,
        outcome="" if last is None else last.observation.outcome_with_note,
        subject="" if last is None else last.observation.subject,
        response_s=known_s[-1] if known_s else None,
        bar=checks_bar(verdicts, KEPT_MARKS, text_of_marks(verdicts)),
        spark=sparkline(times_s, text_of_times),
        uptimes=tuple(wording.percent(ratio) for ratio in record.uptimes or (None, None)),
    )


def notes_of(state: MonitorState, silence: Silence | None) -> tuple[str, ...]:
    """Return words that complete the state, such as "flapping"."""
    notes = []
    if state.is_retry_due and state.effective is not State.UNREACHABLE:
        notes.append("failing")
    if state.is_flapping:
        notes.append("flapping")
    if state.maintenance is not None:
        notes.append(f"maintenance {state.maintenance.name}")
    if state.incident is not None and state.incident.acknowledged_by is not None:
        notes.append("acknowledged")
    if silence is not None:
        notes.append("silenced")
    return tuple(notes)


def counts_of(rows: Mapping[str, RenderedRow]) -> dict[State, int]:
    """Return the number of monitors in each state."""
    counts = dict.fromkeys(State, 0)
    for row in rows.values():
        counts[row.state] += 1
    return counts


def text_of_marks(verdicts: tuple[str, ...]) -> str:
    """Return the bar of recent checks in words."""
    if not verdicts:
        return "no checks yet"
    counts = [(verdicts.count(word), word) for word in WORDS]
    numbers = ", ".join(f"{count} {word}" for count, word in counts if count)
    return f"the last {wording.several(len(verdicts), 'check')}: {numbers}"
