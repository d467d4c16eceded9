"""Numbers as strokes: bars, sparklines and columns of time. Blocks where the locale has them, ASCII elsewhere."""

from collections.abc import Iterator, Mapping, Sequence

from monitord.cli.output.terminal import can_print, paint

LABEL_WIDTH = 12
TIME_WIDTH = 11
NARROWEST_BAR = 10
WIDEST_BAR = 72

_EIGHTHS = " ▏▎▍▌▋▊▉█"
_LEVELS = "▁▂▃▄▅▆▇█"
_ASCII_LEVELS = "_.-=*#"

# What is bad stands out in height as well as in colour.
_MARKS = {"pass": "▁", "warn": "▄", "fail": "█", "inconclusive": "▒"}
_ASCII_MARKS = {"pass": ".", "warn": "w", "fail": "X", "inconclusive": "?"}


def phase_bars(phases: Mapping[str, float], room: int) -> Iterator[str]:
    """A line for each phase of one check, one beginning where the other ended. `room`: of the whole line."""
    total_s = sum(phases.values())
    if not total_s:
        return
    bar_room = min(max(room - LABEL_WIDTH - TIME_WIDTH, NARROWEST_BAR), WIDEST_BAR)
    began_s = 0.0
    for name, seconds in phases.items():
        bar = _bar(began_s / total_s * bar_room, seconds / total_s * bar_room)
        yield f"{name:<{LABEL_WIDTH}}{bar:<{bar_room}}{seconds * 1000:>{TIME_WIDTH - 3}.3f} ms"
        began_s += seconds


def _bar(indent: float, length: float) -> str:
    """In eighths of a character where they can be printed; never nothing."""
    whole = int(indent)
    if not can_print(_EIGHTHS):
        return " " * whole + "#" * max(round(length), 1)
    eighths = max(round(length * 8), 1)
    return " " * whole + "█" * (eighths // 8) + _EIGHTHS[eighths % 8].strip()


def sparkline(values: Sequence[float | None]) -> str:
    """One column each, from nothing to the largest; a blank where nothing is known."""
    levels = _LEVELS if can_print(_LEVELS) else _ASCII_LEVELS
    top = max((one for one in values if one is not None), default=0.0) or 1.0
    return "".join(
        " " if one is None else levels[min(int(one / top * len(levels)), len(levels) - 1)] for one in values
    )


def verdict_marks(verdicts: Sequence[str | None], *, colour: bool) -> str:
    """One column each; a blank where there was no check."""
    marks = _MARKS if can_print("".join(_MARKS.values())) else _ASCII_MARKS
    return "".join(" " if one is None else paint(marks.get(one, "?"), one, colour=colour) for one in verdicts)


def uptime_columns(ratios: Sequence[float | None], *, colour: bool) -> str:
    """One column each, full where it was up all the time; a blank where nothing is known."""
    levels = _LEVELS if can_print(_LEVELS) else _ASCII_LEVELS
    return "".join(_uptime_column(ratio, levels, colour=colour) for ratio in ratios)


def _uptime_column(ratio: float | None, levels: str, *, colour: bool) -> str:
    if ratio is None:
        return " "
    # The full block is for those that were up throughout.
    level = len(levels) - 1 if ratio >= 1 else min(int(ratio * len(levels)), len(levels) - 2)
    state = "up" if ratio >= 1 else "degraded" if ratio > 0 else "down"
    return paint(levels[level], state, colour=colour)
