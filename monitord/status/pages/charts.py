"""Pictures as text: SVG made from numbers by pure functions, which know nothing of the daemon.

A picture is styled by the classes of `static/style.css`, so that it is right in light and dark; only a badge, which
stands alone in somebody else's page, carries its colours. Plots fill whatever width they are given, so their labels
are HTML beside them: text that is stretched cannot be read. No colour is the only signal: marks differ in height,
days in what is cut out of them, and every picture says in words what it shows.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import lru_cache
from html import escape

from monitord.text import shortened

SLOT, MARK, BAR_HEIGHT = 6, 4, 24
"""One check in the bar of recent ones: what it takes, and what of it is drawn."""

MARKS = {
    word: f"{BAR_HEIGHT - height}v{height}"
    for word, height in (("pass", 18), ("warn", 21), ("fail", 24), ("inconclusive", 8), ("none", 2))
}
"""A stroke as wide as a mark, from its top down."""

KEPT_BARS = 512

SPARK_HEIGHT, SPARK_LINE = 100, 7
"""In hundredths of its place; and the room that the width of the line takes at top and bottom."""

PLOT_WIDTH, PLOT_HEIGHT = 1000, 240
CELL, CELL_GAP, CALENDAR_LEFT, CALENDAR_TOP = 17, 3, 34, 18
DAYS_OF_A_WEEK = 7
LABEL_WEEKS = 2

NICE_STEPS = (1.0, 1.25, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 7.5, 10.0)
TICKS = 4


class Svg(str):
    """Markup that is safe to put into a page as it is: everything in it that came from outside is escaped."""

    __slots__ = ()

    def __html__(self) -> str:
        return self


@dataclass(frozen=True, slots=True)
class Day:
    """One day of a calendar. `ratio`: None where nothing is known of it. `said`: in words."""

    day: date
    ratio: float | None
    said: str


@lru_cache(maxsize=KEPT_BARS)
def checks_bar(verdicts: tuple[str, ...], slots: int, said: str) -> Svg:
    """The newest check at the right; the empty slots of a young monitor are dots.

    Most monitors are well most of the time, and so have the same bar.
    """
    shown = verdicts[-slots:] if slots else ()
    words = ("none",) * (slots - len(shown)) + shown
    paths = dict.fromkeys(words, "")
    for place, word in enumerate(words):
        paths[word] += f"M{place * SLOT + MARK // 2} {MARKS[word]}"
    drawn = [f'<path class="v-{word}" d="{path}"/>' for word, path in paths.items()]
    return _picture("bar", max(slots * SLOT - (SLOT - MARK), 1), BAR_HEIGHT, said, drawn)


def sparkline(values: Sequence[float | None], said: str) -> Svg:
    """From zero to the greatest; None is a gap, and a value between two gaps a dot.

    One unit is the way from a value to the next, so that all numbers in it are small and whole.
    """
    top = greatest([value for value in values if value is not None])
    room, bottom = SPARK_HEIGHT - 2 * SPARK_LINE, SPARK_HEIGHT - SPARK_LINE
    top = top if top > 0 else math.inf
    drawn = []
    for start, run in _runs(values):
        points = [
            f"{place} {bottom - round(room * max(value / top, 0.0))}"
            for place, value in enumerate(run, start)
        ]
        # A line of no length has round ends, so it is a dot.
        path = " ".join(points if len(points) > 1 else points * 2)
        drawn.append(
            f'<path class="area" d="M{start} {SPARK_HEIGHT}L{path}V{SPARK_HEIGHT}z"/>'
            f'<path class="line" d="M{path}" vector-effect="non-scaling-stroke"/>'
        )
    return _picture("spark", max(len(values) - 1, 1), SPARK_HEIGHT, said, drawn, stretched=True)


def stacked(
    columns: Sequence[Mapping[str, float] | None],
    layers: Sequence[str],
    top: float,
    said: str,
    titles: Sequence[str] = (),
) -> Svg:
    """Columns of equal width, each from the first layer up to the last. None is a gap, nothing of a layer is nothing.

    `titles`: what each column says when it is pointed at.
    """
    width = PLOT_WIDTH / max(len(columns), 1)
    gap = min(width * 0.15, 1.5)
    paths: dict[str, list[str]] = {layer: [] for layer in layers}
    for place, column in enumerate(columns):
        below = 0.0
        for layer in layers if column is not None else ():
            above = below + max((column or {}).get(layer, 0.0), 0.0)
            y, base = _height(above, top, PLOT_HEIGHT), _height(below, top, PLOT_HEIGHT)
            x, wide, high = _number(place * width), _number(width - gap), _number(base - y)
            if base > y and high != "0":
                paths[layer].append(f"M{x} {_number(y)}h{wide}v{high}h-{wide}z")
            below = above
    drawn = [
        f'<path class="l-{escape(layer)}" d="{"".join(steps)}"/>' for layer, steps in paths.items() if steps
    ]
    return _plot(said, drawn, _pointed_at(titles, width))


def _plot(said: str, drawn: Iterable[str], pointed_at: Iterable[str]) -> Svg:
    return _picture("plot", PLOT_WIDTH, PLOT_HEIGHT, said, [*_grid(), *drawn, *pointed_at], stretched=True)


def lines(
    series: Mapping[str, Sequence[float | None]], top: float, said: str, titles: Sequence[str] = ()
) -> Svg:
    """One line for each name, over the same moments; None is a gap."""
    count = max((len(values) for values in series.values()), default=0)
    width = PLOT_WIDTH / max(count, 1)
    drawn = []
    for name, values in series.items():
        for start, run in _runs(values):
            points = [
                (_number((start + place + 0.5) * width), _number(_height(value, top, PLOT_HEIGHT)))
                for place, value in enumerate(run)
            ]
            path = " ".join(f"{x} {y}" for x, y in points)
            # A line of no length has round ends, so it is a dot.
            path += f" {points[0][0]} {points[0][1]}" if len(points) == 1 else ""
            drawn.append(f'<path class="q-{escape(name)}" d="M{path}" vector-effect="non-scaling-stroke"/>')
    return _plot(said, drawn, _pointed_at(titles, width))


def calendar(days: Sequence[Day], said: str) -> Svg:
    """A column for each week, Monday on top. What was lost of a day is cut out of its square."""
    if not days:
        return _picture("calendar", CALENDAR_LEFT, CALENDAR_TOP, said, [])
    monday = days[0].day - timedelta(days=days[0].day.weekday())
    pitch = CELL + CELL_GAP
    drawn = [
        f'<text x="0" y="{CALENDAR_TOP + row * pitch + CELL - 3}">{name}</text>'
        for row, name in ((0, "Mon"), (2, "Wed"), (4, "Fri"), (6, "Sun"))
    ]
    weeks = (days[-1].day - monday).days // DAYS_OF_A_WEEK + 1
    drawn += [
        f'<text x="{CALENDAR_LEFT + week * pitch}" y="11">{name}</text>'
        for week, name in _months(days, monday, weeks)
    ]
    for one in days:
        week, row = divmod((one.day - monday).days, DAYS_OF_A_WEEK)
        drawn.append(_cell(one, CALENDAR_LEFT + week * pitch, CALENDAR_TOP + row * pitch))
    return _picture(
        "calendar",
        CALENDAR_LEFT + weeks * pitch,
        CALENDAR_TOP + DAYS_OF_A_WEEK * pitch,
        said,
        drawn,
    )


def nice_top(value: float) -> float:
    """The end of a scale of `TICKS` even steps that holds a value: 0.37 → 0.4, 93 → 100."""
    if not value > 0 or not math.isfinite(value):
        return 1.0
    step = value / TICKS
    power = 10.0 ** math.floor(math.log10(step))
    # The tolerance is for what should be exact: 0.3 / 4 is a little more than 0.075.
    return TICKS * power * next((nice for nice in NICE_STEPS if nice * power >= step * (1 - 1e-9)), 10.0)


def greatest(values: Iterable[float]) -> float:
    """The greatest that is a number at all; 0 when there is none."""
    return max(filter(math.isfinite, values), default=0.0)


# -- badge ------------------------------------------------------------------------------------------------

BADGE_COLOURS = {
    "good": "#0b7a5e",
    "fair": "#8a6100",
    "bad": "#b3261e",
    "odd": "#6247b5",
    "none": "#5b6570",
}
BADGE_HEIGHT, BADGE_PAD = 20, 7
NARROW, WIDE = frozenset("ijl.,:;|!'()[]ftI 1"), frozenset("mwMW%@")
LONGEST_BADGE = 64
"""Characters of each half; a name can be long, a badge cannot."""


def badge(label: str, value: str, tone: str) -> Svg:
    """Two words side by side, for pages elsewhere. `tone`: good, fair, bad, odd or none."""
    label, value = shortened(label, LONGEST_BADGE), shortened(value, LONGEST_BADGE)
    left, right = _text_width(label) + 2 * BADGE_PAD, _text_width(value) + 2 * BADGE_PAD
    said = escape(f"{label}: {value}")
    return Svg(
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{left + right}" height="{BADGE_HEIGHT}" '
        f'viewBox="0 0 {left + right} {BADGE_HEIGHT}" role="img" aria-label="{said}"><title>{said}</title>'
        f'<clipPath id="r"><rect width="{left + right}" height="{BADGE_HEIGHT}" rx="4"/></clipPath>'
        f'<g clip-path="url(#r)"><rect width="{left}" height="{BADGE_HEIGHT}" fill="#30363d"/>'
        f'<rect x="{left}" width="{right}" height="{BADGE_HEIGHT}" fill="{BADGE_COLOURS[tone]}"/></g>'
        '<g fill="#fff" text-anchor="middle" font-family="Verdana,DejaVu Sans,sans-serif" font-size="11">'
        f'<text x="{_number(left / 2)}" y="14" textLength="{left - 2 * BADGE_PAD}">{escape(label)}</text>'
        f'<text x="{_number(left + right / 2)}" y="14" textLength="{right - 2 * BADGE_PAD}">{escape(value)}</text>'
        "</g></svg>"
    )


def _text_width(text: str) -> int:
    """About what Verdana of 11 pixels takes; `textLength` makes it exact."""
    return round(sum(4.2 if letter in NARROW else 10.5 if letter in WIDE else 7.0 for letter in text)) or 1


# -- parts ------------------------------------------------------------------------------------------------


def _picture(
    kind: str, width: int, height: int, said: str, drawn: Sequence[str], *, stretched: bool = False
) -> Svg:
    said = escape(said)
    # A picture of its own size keeps its proportions; a plot takes the size of its place.
    size = 'preserveAspectRatio="none"' if stretched else f'width="{width}" height="{height}"'
    return Svg(
        f'<svg class="{kind}" viewBox="0 0 {width} {height}" {size} role="img" aria-label="{said}">'
        f"<title>{said}</title>{''.join(drawn)}</svg>"
    )


def _runs(values: Sequence[float | None]) -> Iterator[tuple[int, list[float]]]:
    """Where each stretch without gaps begins, and what is in it."""
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


def _height(value: float, top: float, height: float) -> float:
    """From the top of the picture; what lies beyond the scale is at its end."""
    return height * (1 - min(max(value / top, 0.0), 1.0)) if top > 0 else float(height)


def _grid() -> Iterator[str]:
    for tick in range(1, TICKS):
        y = _number(PLOT_HEIGHT * tick / TICKS)
        yield f'<path class="grid" d="M0 {y}H{PLOT_WIDTH}" vector-effect="non-scaling-stroke"/>'


def _pointed_at(titles: Sequence[str], width: float) -> Iterator[str]:
    for place, title in enumerate(titles):
        yield (
            f'<rect class="hit" x="{_number(place * width)}" y="0" width="{_number(width)}" height="{PLOT_HEIGHT}">'
            f"<title>{escape(title)}</title></rect>"
        )


def _months(days: Sequence[Day], monday: date, weeks: int) -> Iterator[tuple[int, str]]:
    """Each month over its first week, unless its name would run into the next one or over the edge."""
    first_weeks: dict[str, int] = {}
    for one in days:
        first_weeks.setdefault(f"{one.day:%b}", (one.day - monday).days // DAYS_OF_A_WEEK)
    nexts = [*list(first_weeks.values())[1:], weeks + 1]
    for (name, week), following in zip(first_weeks.items(), nexts, strict=True):
        if following - week >= LABEL_WEEKS:
            yield week, name


def _cell(one: Day, x: int, y: int) -> str:
    said = f"<title>{escape(one.said)}</title>"
    square = f'<rect class="d-{_grade(one.ratio)}" x="{x}" y="{y}" width="{CELL}" height="{CELL}" rx="2.5"/>'
    lost = 0.0 if one.ratio is None else 1 - min(max(one.ratio, 0.0), 1.0)
    if lost <= 0:
        return f"<g>{said}{square}</g>"
    # So that a minute is seen as well as an hour is: the side goes with the fourth root.
    side = max(3.0, (CELL - 4) * lost**0.25)
    at = f'x="{_number(x + (CELL - side) / 2)}" y="{_number(y + (CELL - side) / 2)}"'
    return f'<g>{said}{square}<rect class="lost" {at} width="{_number(side)}" height="{_number(side)}" rx="1"/></g>'


def _grade(ratio: float | None) -> str:
    if ratio is None:
        return "none"
    return next(
        (name for name, least in (("full", 1.0), ("high", 0.999), ("fair", 0.99)) if ratio >= least), "low"
    )


def _number(value: float) -> str:
    """Two decimals are finer than any screen."""
    return f"{value:.2f}".rstrip("0").rstrip(".")
