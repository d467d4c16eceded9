"""SVG charts as text, made from numbers by pure functions.

Charts are styled by classes of `static/style.css`, for light and dark mode. Plots are stretched to the available width,
so their labels are HTML next to them. Colour is never the only signal: marks differ in height, days in the cut-out
area, and every chart has a description in words.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import lru_cache
from html import escape

SLOT, MARK, BAR_HEIGHT = 6, 4, 24
"""Width of a check in the bar of recent checks, of its mark, and the height."""

MARKS = {
    word: f"{BAR_HEIGHT - height}v{height}"
    for word, height in (("pass", 18), ("warn", 21), ("fail", 24), ("inconclusive", 8), ("none", 2))
}
"""Path of a mark, drawn from top to bottom with a stroke of its width."""

KEPT_BARS = 512

SPARK_HEIGHT, SPARK_LINE = 100, 7
"""Height in units of the view box, and the margin for the width of the line."""

PLOT_WIDTH, PLOT_HEIGHT = 1000, 240
CELL, CELL_GAP, CALENDAR_LEFT, CALENDAR_TOP = 17, 3, 34, 18
DAYS_OF_A_WEEK = 7
LABEL_WEEKS = 2

NICE_STEPS = (1.0, 1.25, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 7.5, 10.0)
TICKS = 4


class Svg(str):
    """Markup that is safe to insert into a page: external text in it is escaped."""

    __slots__ = ()

    def __html__(self) -> str:
        return self


@dataclass(frozen=True, slots=True)
class CalendarDay:
    """A day of a calendar. `ratio`: uptime, None without data. `description`: the same in words."""

    day: date
    ratio: float | None
    description: str


@lru_cache(maxsize=KEPT_BARS)
def checks_bar(verdicts: tuple[str, ...], slots: int, description: str) -> Svg:
    """Return the bar of recent checks, the newest at the right. Slots without a check are dots."""
    # Cached: most monitors pass all checks, and so have the same bar.
    shown = verdicts[-slots:] if slots else ()
    words = ("none",) * (slots - len(shown)) + shown
    paths = dict.fromkeys(words, "")
    for place, word in enumerate(words):
        paths[word] += f"M{place * SLOT + MARK // 2} {MARKS[word]}"
    drawn = [f'<path class="v-{word}" d="{path}"/>' for word, path in paths.items()]
    return _picture("bar", max(slots * SLOT - (SLOT - MARK), 1), BAR_HEIGHT, description, drawn)


def sparkline(values: Sequence[float | None], description: str) -> Svg:
    """Return a line from zero to the greatest value. None is a gap; a value between two gaps is a dot."""
    # The distance of two values is one unit of the view box, so that all numbers are small integers.
    top = greatest([value for value in values if value is not None])
    room, bottom = SPARK_HEIGHT - 2 * SPARK_LINE, SPARK_HEIGHT - SPARK_LINE
    top = top if top > 0 else math.inf
    drawn = []
    for start, run in _runs(values):
        points = [
            f"{place} {bottom - round(room * max(value / top, 0.0))}"
            for place, value in enumerate(run, start)
        ]
        # A line of length zero with round caps is a dot.
        path = " ".join(points if len(points) > 1 else points * 2)
        drawn.append(
            f'<path class="area" d="M{start} {SPARK_HEIGHT}L{path}V{SPARK_HEIGHT}z"/>'
            f'<path class="line" d="M{path}" vector-effect="non-scaling-stroke"/>'
        )
    return _picture("spark", max(len(values) - 1, 1), SPARK_HEIGHT, description, drawn, stretched=True)


def stacked(
    columns: Sequence[Mapping[str, float] | None],
    layers: Sequence[str],
    top: float,
    description: str,
    titles: Sequence[str] = (),
) -> Svg:
    """Return stacked columns of equal width. None is a gap.

    `titles`: the tooltips of the columns.
    """
    width = PLOT_WIDTH / max(len(columns), 1)
    gap = min(width * 0.15, 1.5)
    paths: dict[str, list[str]] = {layer: [] for layer in layers}
    for place, column in enumerate(columns):
        below = 0.0
        for layer in layers if column is not None else ():
            above = below + max((column or {}).get(layer, 0.0), 0.0)
            y, base = _height(above, top), _height(below, top)
            x, wide, high = _number(place * width), _number(width - gap), _number(base - y)
            if base > y and high != "0":
                paths[layer].append(f"M{x} {_number(y)}h{wide}v{high}h-{wide}z")
            below = above
    drawn = [
        f'<path class="l-{escape(layer)}" d="{"".join(steps)}"/>' for layer, steps in paths.items() if steps
    ]
    return _plot(description, drawn, _tooltips(titles, width))


def _plot(description: str, drawn: Iterable[str], tooltips: Iterable[str]) -> Svg:
    grid = [
        f'<path class="grid" d="M0 {_number(PLOT_HEIGHT * tick / TICKS)}H{PLOT_WIDTH}" '
        'vector-effect="non-scaling-stroke"/>'
        for tick in range(1, TICKS)
    ]
    return _picture("plot", PLOT_WIDTH, PLOT_HEIGHT, description, [*grid, *drawn, *tooltips], stretched=True)


def lines(
    series: Mapping[str, Sequence[float | None]], top: float, description: str, titles: Sequence[str] = ()
) -> Svg:
    """Return one line for each name, with a common time axis. None is a gap."""
    count = max((len(values) for values in series.values()), default=0)
    width = PLOT_WIDTH / max(count, 1)
    drawn = []
    for name, values in series.items():
        for start, run in _runs(values):
            points = [
                (_number((start + place + 0.5) * width), _number(_height(value, top)))
                for place, value in enumerate(run)
            ]
            path = " ".join(f"{x} {y}" for x, y in points)
            # A line of length zero with round caps is a dot.
            path += f" {points[0][0]} {points[0][1]}" if len(points) == 1 else ""
            drawn.append(f'<path class="q-{escape(name)}" d="M{path}" vector-effect="non-scaling-stroke"/>')
    return _plot(description, drawn, _tooltips(titles, width))


def calendar(days: Sequence[CalendarDay], description: str) -> Svg:
    """Return a calendar with a column for each week, Monday on top. Downtime is cut out of the square of a day."""
    if not days:
        return _picture("calendar", CALENDAR_LEFT, CALENDAR_TOP, description, [])
    monday = days[0].day - timedelta(days=days[0].day.weekday())
    pitch = CELL + CELL_GAP
    drawn = [
        f'<text x="0" y="{CALENDAR_TOP + row * pitch + CELL - 3}">{name}</text>'
        for row, name in ((0, "Mon"), (2, "Wed"), (4, "Fri"), (6, "Sun"))
    ]
    weeks = (days[-1].day - monday).days // DAYS_OF_A_WEEK + 1
    first_weeks: dict[str, int] = {}
    for day in days:
        first_weeks.setdefault(f"{day.day:%b}", (day.day - monday).days // DAYS_OF_A_WEEK)
    nexts = [*list(first_weeks.values())[1:], weeks + 1]
    drawn += [
        f'<text x="{CALENDAR_LEFT + week * pitch}" y="11">{name}</text>'
        for (name, week), following in zip(first_weeks.items(), nexts, strict=True)
        if following - week >= LABEL_WEEKS  # otherwise it would overlap the next name or the edge
    ]
    for day in days:
        week, row = divmod((day.day - monday).days, DAYS_OF_A_WEEK)
        x, y = CALENDAR_LEFT + week * pitch, CALENDAR_TOP + row * pitch
        grade, lost, lost_part = "none", 0.0, ""
        if day.ratio is not None:
            grades = (("full", 1.0), ("high", 0.999), ("fair", 0.99))
            grade = next((name for name, least in grades if day.ratio >= least), "low")
            lost = 1 - min(max(day.ratio, 0.0), 1.0)
        if lost > 0:
            # The side grows with the fourth root of the downtime, so that a minute is visible as well as an hour.
            side = max(3.0, (CELL - 4) * lost**0.25)
            at = f'x="{_number(x + (CELL - side) / 2)}" y="{_number(y + (CELL - side) / 2)}"'
            lost_part = f'<rect class="lost" {at} width="{_number(side)}" height="{_number(side)}" rx="1"/>'
        square = f'<rect class="d-{grade}" x="{x}" y="{y}" width="{CELL}" height="{CELL}" rx="2.5"/>'
        drawn.append(f"<g><title>{escape(day.description)}</title>{square}{lost_part}</g>")
    return _picture(
        "calendar",
        CALENDAR_LEFT + weeks * pitch,
        CALENDAR_TOP + DAYS_OF_A_WEEK * pitch,
        description,
        drawn,
    )


def nice_top(value: float) -> float:
    """Return the end of a scale of `TICKS` equal steps that contains the value: 0.37 → 0.4, 93 → 100."""
    if not value > 0 or not math.isfinite(value):
        return 1.0
    step = value / TICKS
    power = 10.0 ** math.floor(math.log10(step))
    # The tolerance is for errors of floating point: 0.3 / 4 is slightly more than 0.075.
    return TICKS * power * next((nice for nice in NICE_STEPS if nice * power >= step * (1 - 1e-9)), 10.0)


def greatest(values: Iterable[float]) -> float:
    """Return the greatest finite value; 0 if there is none."""
    return max(filter(math.isfinite, values), default=0.0)


# Parts of charts


def _picture(
    kind: str, width: int, height: int, description: str, drawn: Sequence[str], *, stretched: bool = False
) -> Svg:
    description = escape(description)
    # A stretched chart fills the available space; others have a fixed size.
    size = 'preserveAspectRatio="none"' if stretched else f'width="{width}" height="{height}"'
    return Svg(
        f'<svg class="{kind}" viewBox="0 0 {width} {height}" {size} role="img" aria-label="{description}">'
        f"<title>{description}</title>{''.join(drawn)}</svg>"
    )


def _runs(values: Sequence[float | None]) -> Iterator[tuple[int, list[float]]]:
    """Yield the start and the values of each run without gaps."""
    start, run = 0, list[float]()
    for place, value in enumerate(values):
        if value is None or not math.isfinite(value):
            if run:
                yield start, run
            start, run = place + 1, []
        else:
            run.append(value)
    if run:
        yield start, run


def _height(value: float, top: float) -> float:
    """Return the distance from the top; values beyond the scale are clamped."""
    return PLOT_HEIGHT * (1 - min(max(value / top, 0.0), 1.0)) if top > 0 else float(PLOT_HEIGHT)


def _tooltips(titles: Sequence[str], width: float) -> Iterator[str]:
    for place, title in enumerate(titles):
        yield (
            f'<rect class="hit" x="{_number(place * width)}" y="0" width="{_number(width)}" height="{PLOT_HEIGHT}">'
            f"<title>{escape(title)}</title></rect>"
        )


def _number(value: float) -> str:
    """Return a number with two decimals, which is finer than the resolution of screens."""
    return f"{value:.2f}".rstrip("0").rstrip(".")
