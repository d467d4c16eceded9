"""What monitorctl prints in columns: tables that read well in 80 columns and say the same without colour."""

import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from monitord.cli.terminal import paint
from monitord.cli.wording import ago, counted, local, plain, shorten, shorten_within
from monitord.units import format_duration

NARROWEST_LAST = 20
NARROWEST_YIELDING = 16

Json = Mapping[str, Any]

WORST_FIRST = ("down", "unreachable", "unknown", "degraded", "pending", "up", "paused")


def table(
    head: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    room: int,
    colour: bool,
    state: int | None = None,
    yielding: int | None = None,
    if_cut: Sequence[str] = (),
) -> list[str]:
    """Columns as wide as need be, the last as wide as there is room. `state`: the column that has a colour.

    `yielding`: the column that gives way where there is no room for the last. `if_cut`: what stands in the last column
    of each row if what belongs there has to be cut, the most important first.
    """
    cells = [tuple(head), *(tuple(map(plain, row)) for row in rows)]
    last = len(head) - 1
    widths = [max(len(row[column]) for row in cells) for column in range(last)]
    room_of_last = room - sum(widths) - 2 * last
    if yielding is not None and room_of_last < NARROWEST_LAST:
        widths[yielding] = max(widths[yielding] + room_of_last - NARROWEST_LAST, NARROWEST_YIELDING)
        cells = [
            (*row[:yielding], shorten_within(row[yielding], widths[yielding]), *row[yielding + 1 :])
            for row in cells
        ]
    room_of_last = max(room - sum(widths) - 2 * last, NARROWEST_LAST)
    lines = []
    for number, row in enumerate(cells):
        padded = [cell.ljust(width) for cell, width in zip(row[:last], widths, strict=True)]
        is_cut = bool(number and if_cut) and len(row[last]) > room_of_last
        padded.append(shorten(plain(if_cut[number - 1]) if is_cut else row[last], room_of_last))
        if state is not None and number:
            word = row[state]
            padded[state] = paint(word, word.rstrip("?"), colour=colour) + padded[state][len(word) :]
        lines.append("  ".join(padded).rstrip())
    return lines


def headline(status: Json) -> list[str]:
    """The daemon in a line; what is wrong with it: its history, its notifiers, a reload that was refused."""
    monitors = status["monitors"]
    shares = [f"{count} {state}" for state, count in monitors.items() if state != "total" and count]
    running_for = format_duration(float(int(status["running_for_s"])))
    total = monitors["total"]
    said = f"{counted(total, 'monitor')}: {', '.join(shares)}" if total else "no monitors"
    lines = [f"monitord {status['version']} {status['state']} for {running_for}; {said}"]
    failing = status["history"]["failing"]
    if failing is not None:
        since = local(status["history"]["failing_since"])
        lines.append(f"history is not written since {since}: {plain(failing)}; checks go on")
    lines += [
        f"{one['name']} cannot deliver since {local(one['failing_since'])}: {plain(one['failing'])}; "
        f"{counted(one['waiting'], 'notice')} waiting"
        for one in status.get("notifiers", ())
        if one["failing"]
    ]
    lines += [
        f"{one['name']}: {plain(one['warning'])}"
        for one in status.get("notifiers", ())
        if one.get("warning") and not one["failing"]
    ]
    reload = status["reload"]
    if not reload["ok"]:
        lines.append(
            f"last reload refused at {local(reload['at'])}; the configuration of before is in force:"
        )
        lines += [f"  {line}" for line in reload["error"].splitlines()]
    return lines


def monitor_rows(monitors: Sequence[Json], *, room: int, colour: bool) -> list[str]:
    """A row for each, the worst first. Names are whole where no terminal has to hold them: somebody may search them."""
    head = ("STATE", "MONITOR", "TYPE", "CHECKED", "RESULT")
    yielding = 1 if sys.stdout.isatty() else None
    ordered = worst_first(monitors)
    rows, if_cut = map(_cells, ordered), [*map(_reason_first, ordered)]
    return table(head, rows, room=room, colour=colour, state=0, yielding=yielding, if_cut=if_cut)


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
    said = "" if last is None else last["detail"]
    return state, monitor["name"], monitor["type"], checked, _noted(monitor, said)


def _reason_first(monitor: Json) -> str:
    """A line begins with what was asked, which the name has told already."""
    last = monitor["last"]
    if last is None:
        return _noted(monitor, "")
    return _noted(
        monitor, last["detail"] if last["reason"] == "ok" else f"{last['reason']}: {last['detail']}"
    )


def _noted(monitor: Json, said: str) -> str:
    """What the state alone does not say goes first, so that it is never cut off."""
    notes = [
        note
        for note, is_so in (
            ("acknowledged", monitor["acknowledged_by"]),
            ("maintenance", monitor["maintenance"]),
            ("silenced", monitor["silenced_until"]),
            ("flapping", monitor["is_flapping"]),
        )
        if is_so
    ]
    return f"[{', '.join(notes)}] {said}".rstrip() if notes else said
