"""Bars, sparklines and column charts, in block characters if the locale has them, otherwise in ASCII."""

from collections.abc import Iterator, Mapping, Sequence

from monitord.cli.output.terminal import can_print, paint

LABEL_WIDTH = 15
TIME_WIDTH = 11
MIN_BAR_WIDTH = 10
MAX_BAR_WIDTH = 72

_EIGHTHS = " ▏▎▍▌▋▊▉█"
_LEVELS = "▁▂▃▄▅▆▇█"
_ASCII_LEVELS = "_.-=*#"

# The height shows the verdict as well as the colour.
_MARKS = {"pass": "▁", "warn": "▄", "fail": "█", "inconclusive": "▒"}
_ASCII_MARKS = {"pass": ".", "warn": "w", "fail": "X", "inconclusive": "?"}


def phase_bars(phases: Mapping[str, float], columns: int) -> Iterator[str]:
    """Draw the phases of a check, a line for each, as a Gantt chart. `columns`: the width of the lines."""
    total_s = sum(phases.values())
    if not total_s:
        return
    bar_width = min(max(columns - LABEL_WIDTH - TIME_WIDTH, MIN_BAR_WIDTH), MAX_BAR_WIDTH)
    began_s = 0.0
    for name, seconds in phases.items():
        length = seconds / total_s * bar_width
        bar = " " * int(began_s / total_s * bar_width)
        if can_print(_EIGHTHS):
            eighths = max(round(length * 8), 1)
            bar += "█" * (eighths // 8) + _EIGHTHS[eighths % 8].strip()
        else:
            bar += "#" * max(round(length), 1)
        yield f"{name:<{LABEL_WIDTH}}{bar:<{bar_width}}{seconds * 1000:>{TIME_WIDTH - 3}.3f} ms"
        began_s += seconds


def sparkline(values: Sequence[float | None]) -> str:
    """Draw a column for each value, relative to the largest; a space for None."""
    levels = _LEVELS if can_print(_LEVELS) else _ASCII_LEVELS
    top = max((value for value in values if value is not None), default=0.0) or 1.0
    return "".join(
        " " if value is None else levels[min(int(value / top * len(levels)), len(levels) - 1)]
        for value in values
    )


def verdict_marks(verdicts: Sequence[str | None], *, colour: bool) -> str:
    """Draw a column for each verdict; a space for None."""
    marks = _MARKS if can_print("".join(_MARKS.values())) else _ASCII_MARKS
    return "".join(
        " " if verdict is None else paint(marks.get(verdict, "?"), verdict, colour=colour)
        for verdict in verdicts
    )


def uptime_columns(ratios: Sequence[float | None], *, colour: bool) -> str:
    """Draw a column for each ratio, full for 1; a space for None."""
    levels = _LEVELS if can_print(_LEVELS) else _ASCII_LEVELS
    columns = ""
    for ratio in ratios:
        if ratio is None:
            columns += " "
            continue
        # Only an uptime of exactly 1 is a full block.
        level = len(levels) - 1 if ratio >= 1 else min(int(ratio * len(levels)), len(levels) - 2)
        state = "up" if ratio >= 1 else "degraded" if ratio > 0 else "down"
        columns += paint(levels[level], state, colour=colour)
    return columns
