"""What monitorctl prints in columns: tables that read well in 80 columns and say the same without colour.

Where the output is no terminal nothing is cut: another program or a person with a pager reads it.
"""

from collections.abc import Iterable, Sequence

from monitord.cli.output.terminal import paint
from monitord.cli.output.wording import (
    ago,
    cells,
    in_local_time,
    local_with_zone,
    padded,
    short_time,
    shorten,
    shorten_within,
)
from monitord.cli.parsing import STATES
from monitord.model import Json
from monitord.text import counted, plain
from monitord.units import format_duration

NARROWEST_LAST = 20
NARROWEST_OUTCOME = 16
NARROWEST_YIELDING = 16
LEAST_LAST = 8


def table(
    head: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    room: int | None,
    colour: bool,
    state: int | None = None,
    yielding: int | None = None,
    optional: Sequence[int] = (),
    narrowest_last: int = NARROWEST_LAST,
) -> list[str]:
    """Columns as wide as need be, the last as wide as there is room. `room` None: nothing is cut or left out.

    `state`: the column that has a colour. Where there is no room for the last column, `yielding` gives way down to
    NARROWEST_YIELDING, then the `optional` columns are left out in this order. There is if `narrowest_last` are left.
    """
    lines = [tuple(head), *(tuple(map(plain, row)) for row in rows)]
    columns = list(range(len(head)))
    widths = [max(cells(line[column]) for line in lines) for column in columns[:-1]]
    if room is not None:
        columns = _columns_that_fit(widths, columns, room, yielding, optional, narrowest_last)
    room_of_last = None
    if room is not None:
        rest = sum(widths[column] + 2 for column in columns[:-1])
        if yielding is not None and room - rest < narrowest_last:
            narrowest = _narrowest_yielding(room)
            before = widths[yielding]
            widths[yielding] = min(before, max(before - (narrowest_last - room + rest), narrowest))
            rest -= before - widths[yielding]
        room_of_last = max(room - rest, LEAST_LAST)
    return [
        _line(line, columns, widths, room_of_last, state if number and colour else None, yielding)
        for number, line in enumerate(lines)
    ]


def _narrowest_yielding(room: int) -> int:
    return min(NARROWEST_YIELDING, max(room // 4, 1))


def _columns_that_fit(
    widths: Sequence[int],
    columns: Sequence[int],
    room: int,
    yielding: int | None,
    optional: Sequence[int],
    narrowest_last: int,
) -> list[int]:
    """Those that stay, so that at least `narrowest_last` is left for the last one."""
    kept = list(columns)
    for column in (None, *optional):
        if column is not None:
            kept.remove(column)
        taken = sum(
            (min(widths[one], NARROWEST_YIELDING) if one == yielding else widths[one]) + 2
            for one in kept[:-1]
        )
        if room - taken >= narrowest_last:
            break
    return kept


def _line(
    line: Sequence[str],
    columns: Sequence[int],
    widths: Sequence[int],
    room_of_last: int | None,
    coloured: int | None,
    yielding: int | None,
) -> str:
    shown = []
    for column in columns[:-1]:
        text = shorten_within(line[column], widths[column]) if column == yielding else line[column]
        cell = padded(text, widths[column])
        if column == coloured:
            cell = paint(text, text.rstrip("?"), colour=True) + cell[len(text) :]
        shown.append(cell)
    shown.append(shorten(line[columns[-1]], room_of_last))
    return "  ".join(shown).rstrip()


def headline(status: Json) -> list[str]:
    """The daemon in a line; what is wrong with it: its history, its notifiers, a reload that was refused."""
    monitors = status["monitors"]
    shares = [f"{count} {state}" for state, count in monitors.items() if state != "total" and count]
    running_for = format_duration(float(int(status["uptime_s"])))
    total = monitors["total"]
    said = f"{counted(total, 'monitor')}: {', '.join(shares)}" if total else "no monitors"
    lines = [f"monitord {status['version']} {status['state']} for {running_for}; {said}"]
    failing = status["history"]["error"]
    if failing is not None:
        since = local_with_zone(status["history"]["failing_since"])
        lines.append(f"history is not written since {since}: {plain(failing)}; checks go on")
    reset = status["history"].get("reset_reason")
    if reset is not None:
        lines.append(
            f"history was begun again at {local_with_zone(status['history']['reset_at'])}: {plain(reset)}"
        )
    lines += [
        f"{one['name']} cannot deliver since {local_with_zone(one['failing_since'])}: {plain(one['error'])}; "
        f"{counted(one['queued'], 'notification')} waiting"
        for one in status.get("notifiers", ())
        if one["error"]
    ]
    lines += [
        f"{one['name']}: {plain(one['warning'])}"
        for one in status.get("notifiers", ())
        if one.get("warning") and not one["error"]
    ]
    reload = status["reload"]
    if not reload["ok"]:
        lines.append(
            f"last reload refused at {local_with_zone(reload['at'])}; the configuration of before is in force:"
        )
        lines += [f"  {line}" for line in reload["error"].splitlines()]
    return lines


def monitor_rows(monitors: Sequence[Json], *, room: int | None, colour: bool) -> list[str]:
    """A row for each, the worst first. The outcome comes before the subject, which gives way on a terminal.

    Notes, such as "[acknowledged]", come before the outcome, and after it where they would leave no room for it.
    """
    head = ("STATE", "MONITOR", "TYPE", "CHECKED", "RESULT")
    found = worst_first(monitors)
    rows = list(map(_cells, found))
    narrowest_last = NARROWEST_LAST
    if room is not None and rows:
        states, names = (max(cells(text[column]) for text in (head, *rows)) for column in (0, 1))
        most = room - (states + 2) - (min(names, _narrowest_yielding(room)) + 2)
        needed = [_needed(one) for one in found]
        narrowest_last = max(NARROWEST_LAST, *(one for one in needed if one <= most), 0)
        rows = [
            _cells(one, is_outcome_first=columns > most) for one, columns in zip(found, needed, strict=True)
        ]
    return table(
        head,
        rows,
        room=room,
        colour=colour,
        state=0,
        yielding=1,
        optional=(2, 3),
        narrowest_last=narrowest_last,
    )


def worst_first(monitors: Sequence[Json]) -> list[Json]:
    places = {state: place for place, state in enumerate(STATES)}
    return sorted(monitors, key=lambda one: (places.get(one["state"], -1), one["name"]))


def check_line(name: str, result: Json, *, colour: bool) -> str:
    """One result: `shop: pass, GET https://… 200, 648 bytes, 0.067 s`."""
    reason = "" if result["reason"] == "ok" else f" ({result['reason']})"
    verdict = paint(result["verdict"], result["verdict"], colour=colour)
    return f"{name}: {verdict}{reason}, {plain(result['detail'])}"


def _cells(monitor: Json, *, is_outcome_first: bool = False) -> tuple[str, str, str, str, str]:
    last = monitor["last"]
    # A question mark: the last check says otherwise, and is not confirmed yet.
    state = monitor["state"] + ("?" if monitor["consecutive_failures"] else "")
    checked = "-" if last is None else ago(last["started_at"])
    notes = _notes(monitor)
    said = "" if last is None else outcome_first(last, notes if is_outcome_first else "")
    result = said if is_outcome_first and last is not None else f"{notes} {said}".strip()
    return state, monitor["name"], monitor["type"], checked, result


def _needed(monitor: Json) -> int:
    """Columns for the notes and the beginning of the outcome."""
    notes, last = _notes(monitor), monitor["last"]
    if not notes or last is None:
        return cells(notes)
    return cells(notes) + 1 + min(NARROWEST_OUTCOME, cells(plain(outcome_first(last))))


def outcome_first(result: Json, notes: str = "") -> str:
    """ "HTTP 503, 67.1 ms (GET https://…)": in the order of what matters, as a line is cut at its end.

    `notes` come before the subject.
    """
    # A daemon that was not restarted since an upgrade may not give the outcome apart.
    outcome = in_local_time(result.get("outcome") or result["detail"])
    if result["verdict"] == "inconclusive":
        outcome = f"{result['reason']}: {outcome}"
    took_s = result.get("fields", {}).get("response_time")
    if isinstance(took_s, float | int):
        outcome += f", {short_time(took_s)}"
    outcome = f"{outcome} {notes}".rstrip()
    return f"{outcome} ({result['subject']})" if result.get("subject") else outcome


def _notes(monitor: Json) -> str:
    """What the state alone does not say: "[acknowledged, silenced]"; or nothing."""
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
    return f"[{', '.join(notes)}]" if notes else ""
