"""What monitorctl prints in columns: tables that read well in 80 columns and say the same without colour."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from monitord.cli.terminal import paint
from monitord.cli.wording import ago, counted, plain, shorten
from monitord.units import format_duration

NARROWEST_LAST = 20

Json = Mapping[str, Any]

WORST_FIRST = ("down", "unreachable", "unknown", "degraded", "pending", "up", "paused")


def table(
    head: Sequence[str], rows: Iterable[Sequence[str]], *, room: int, colour: bool, state: int | None = None
) -> list[str]:
    """Columns as wide as need be, the last as wide as there is room. `state`: the column that has a colour."""
    cells = [tuple(head), *(tuple(map(plain, row)) for row in rows)]
    last = len(head) - 1
    widths = [max(len(row[column]) for row in cells) for column in range(last)]
    room_of_last = max(room - sum(widths) - 2 * last, NARROWEST_LAST)
    lines = []
    for number, row in enumerate(cells):
        padded = [cell.ljust(width) for cell, width in zip(row[:last], widths, strict=True)]
        padded.append(shorten(row[last], room_of_last))
        if state is not None and number:
            word = row[state]
            padded[state] = paint(word, word.rstrip("?"), colour=colour) + padded[state][len(word) :]
        lines.append("  ".join(padded).rstrip())
    return lines


def headline(status: Json) -> list[str]:
    """The daemon in a line, and how the last reload ended if it was refused."""
    monitors = status["monitors"]
    shares = [f"{count} {state}" for state, count in monitors.items() if state != "total" and count]
    running_for = format_duration(float(int(status["running_for_s"])))
    total = monitors["total"]
    said = f"{counted(total, 'monitor')}: {', '.join(shares)}" if total else "no monitors"
    lines = [f"monitord {status['version']} {status['state']} for {running_for}; {said}"]
    reload = status["reload"]
    if not reload["ok"]:
        lines.append(f"last reload refused at {reload['at']}; the configuration of before is in force:")
        lines += [f"  {line}" for line in reload["error"].splitlines()]
    return lines


def monitor_rows(monitors: Sequence[Json], *, room: int, colour: bool) -> list[str]:
    """A row for each, the worst first."""
    head = ("STATE", "MONITOR", "TYPE", "CHECKED", "RESULT")
    return table(head, map(_cells, worst_first(monitors)), room=room, colour=colour, state=0)


def worst_first(monitors: Sequence[Json]) -> list[Json]:
    places = {state: place for place, state in enumerate(WORST_FIRST)}
    return sorted(monitors, key=lambda one: (places.get(one["state"], -1), one["name"]))


def check_line(name: str, result: Json, *, colour: bool) -> str:
    """One result: `shop: pass, GET https://… 200, 648 bytes, 0.067 s`."""
    reason = "" if result["reason"] == "ok" else f" ({result['reason']})"
    verdict = paint(result["verdict"], result["verdict"], colour=colour)
    return f"{name}: {verdict}{reason}, {plain(result['detail'])}"


def _cells(monitor: Json) -> tuple[str, str, str, str, str]:
    last = monitor["last"]
    # A question mark: the last check says otherwise, and is not believed yet.
    state = monitor["state"] + ("?" if monitor["failures_in_a_row"] else "")
    checked = "-" if last is None else ago(last["started_at"])
    return state, monitor["name"], monitor["type"], checked, "" if last is None else last["detail"]
