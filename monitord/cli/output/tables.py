"""Tables for 80 columns, which contain the same information without colour.

If the output is not a terminal, nothing is truncated.
"""

from collections.abc import Iterable, Iterator, Sequence

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
from monitord.explanation import other_views_text
from monitord.model import Json
from monitord.text import counted, plain
from monitord.units import format_duration

MIN_LAST = 20
MIN_OUTCOME = 16
MIN_YIELDING = 16
MIN_SHOWN_OF_LAST = 8


def table(
    head: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    max_columns: int | None,
    colour: bool,
    state: int | None = None,
    yielding: int | None = None,
    optional: Sequence[int] = (),
    min_last: int = MIN_LAST,
) -> list[str]:
    """Format a table. `max_columns` None: nothing is truncated or omitted.

    All columns have the width of their content, except the last column, which has the rest of the line. If that is less
    than `min_last` columns, the column `yielding` is shortened down to MIN_YIELDING, then the `optional` columns are
    left out in this order. `state`: the column that is coloured.
    """
    lines = [tuple(head), *(tuple(map(plain, row)) for row in rows)]
    columns = list(range(len(head)))
    widths = [max(cells(line[column]) for line in lines) for column in columns[:-1]]
    last_columns = None
    if max_columns is not None:
        for left_out in (None, *optional):
            if left_out is not None:
                columns.remove(left_out)
            used = sum(
                (min(widths[column], MIN_YIELDING) if column == yielding else widths[column]) + 2
                for column in columns[:-1]
            )
            if max_columns - used >= min_last:
                break
        used = sum(widths[column] + 2 for column in columns[:-1])
        if yielding is not None and max_columns - used < min_last:
            full_width = widths[yielding]
            shortened = max(full_width - (min_last - max_columns + used), _min_yielding(max_columns))
            widths[yielding] = min(full_width, shortened)
            used -= full_width - widths[yielding]
        last_columns = max(max_columns - used, MIN_SHOWN_OF_LAST)
    formatted = []
    for number, line in enumerate(lines):
        shown = []
        for column in columns[:-1]:
            text = shorten_within(line[column], widths[column]) if column == yielding else line[column]
            cell = padded(text, widths[column])
            if column == state and number and colour:
                cell = paint(text, text.rstrip("?"), colour=True) + cell[len(text) :]
            shown.append(cell)
        shown.append(shorten(line[columns[-1]], last_columns))
        formatted.append("  ".join(shown).rstrip())
    return formatted


def _min_yielding(max_columns: int) -> int:
    return min(MIN_YIELDING, max(max_columns // 4, 1))


def connection_problems(
    error: str | None, since: str | None, alone_since: str | None, *, is_connected: bool, is_agent: bool
) -> Iterator[str]:
    """Yield a line for each problem of the connection of this node to its cluster."""
    if not is_connected:
        since_text = "" if since is None else f" since {local_with_zone(since)}"
        yield f"this node has not been connected to the cluster{since_text}: {plain(error or 'no connection yet')}"
    if alone_since is not None:
        yield (
            f"this node has decided and notified alone since {local_with_zone(alone_since)}; "
            f"it rejoins the cluster when {'a hub' if is_agent else 'the database'} responds"
        )


def headline(status: Json) -> list[str]:
    """The daemon in one line, and a line for each problem, for example a notifier that fails or a rejected reload."""
    monitors, history, reload = status["monitors"], status["history"], status["reload"]
    counts = ", ".join(f"{count} {state}" for state, count in monitors.items() if state != "total" and count)
    running_for = format_duration(float(int(status["uptime_s"])))
    total = monitors["total"]
    summary = f"{counted(total, 'monitor')}: {counts}" if total else "no monitors"
    lines = [f"monitord {status['version']} {status['state']} for {running_for}; {summary}"]
    if history["error"] is not None:
        since = local_with_zone(history["failing_since"])
        lines.append(
            f"history has not been written since {since}: {plain(history['error'])}; checks continue"
        )
    reset = history.get("reset_reason")
    if reset is not None:
        lines.append(
            f"history continues in a new database since {local_with_zone(history['reset_at'])}: {plain(reset)}"
        )
    for notifier in status.get("notifiers", ()):
        if notifier["error"]:
            since = local_with_zone(notifier["failing_since"])
            undelivered = counted(notifier["queued"], "undelivered notification")
            error = plain(notifier["error"])
            lines.append(
                f"notifier {notifier['name']} has been failing since {since}: {error}; {undelivered}"
            )
        elif notifier.get("warning"):
            lines.append(f"notifier {notifier['name']}: {plain(notifier['warning'])}")
    if (cluster := status.get("cluster")) is not None:
        lines += connection_problems(
            cluster["error"],
            cluster["disconnected_since"],
            cluster["alone_since"],
            is_connected=cluster["is_connected"],
            is_agent=cluster["is_agent"],
        )
    lines += [line for source in status.get("sources", ()) for line in _source_problems(source)]
    if reload["status"] == "rejected":
        at = local_with_zone(reload["at"])
        lines.append(f"reload at {at} was rejected; the previous configuration stays active:")
        lines += [f"  {line}" for line in reload["error"].splitlines()]
    return lines


def _source_problems(source: Json) -> Iterator[str]:
    """A line for each problem of a source of automatic monitors."""
    name = source["name"]
    if source["error"]:
        since, monitors = local_with_zone(source["failing_since"]), counted(source["monitors"], "monitor")
        yield f"source {name} has been failing since {since}: {plain(source['error'])}; {monitors} kept"
    if source["targets_rejected"]:
        count, first = counted(source["targets_rejected"], "target"), source["rejections"][0]
        yield f"source {name}: {count} without a monitor: {plain(first['target'])}: {plain(first['problem'])}"
    if source["targets_over_limit"]:
        yield f"source {name}: {counted(source['targets_over_limit'], 'target')} beyond the limit of the source"


def monitor_rows(monitors: Sequence[Json], *, max_columns: int | None, colour: bool) -> list[str]:
    """A row for each monitor, the worst first. The outcome precedes the subject, which is truncated first.

    Conditions such as "[acknowledged]" precede the outcome, or follow it if they would leave no columns for it.
    """
    head = ("STATE", "MONITOR", "TYPE", "CHECKED", "RESULT")
    shown = worst_first(monitors)
    rows = list(map(_cells, shown))
    min_last = MIN_LAST
    if max_columns is not None and rows:
        states, names = (max(cells(row[column]) for row in (head, *rows)) for column in (0, 1))
        available = max_columns - (states + 2) - (min(names, _min_yielding(max_columns)) + 2)
        needed = list(map(_needed_columns, shown))
        min_last = max(MIN_LAST, *(columns for columns in needed if columns <= available), 0)
        rows = [
            _cells(monitor, is_outcome_first=columns > available)
            for monitor, columns in zip(shown, needed, strict=True)
        ]
    return table(
        head,
        rows,
        max_columns=max_columns,
        colour=colour,
        state=0,
        yielding=1,
        optional=(2, 3),
        min_last=min_last,
    )


def worst_first(monitors: Sequence[Json]) -> list[Json]:
    ranks = {state: rank for rank, state in enumerate(STATES)}
    return sorted(monitors, key=lambda monitor: (ranks.get(monitor["state"], -1), monitor["name"]))


def check_line(name: str, result: Json, *, colour: bool) -> str:
    """One result: `shop: pass, GET https://… 200, 648 bytes, 0.067 s`."""
    reason = "" if result["reason"] == "ok" else f" ({result['reason']})"
    verdict = paint(result["verdict"], result["verdict"], colour=colour)
    return f"{name}: {verdict}{reason}, {plain(in_local_time(result['detail']))}"


def _cells(monitor: Json, *, is_outcome_first: bool = False) -> tuple[str, str, str, str, str]:
    if "host" in monitor:
        result = f"{_host_notes(monitor)} {in_local_time(monitor['detail'])}".strip()
        return monitor["state"], monitor["name"], monitor["type"], "-", result
    last, notes = monitor["last_result"], _notes(monitor)
    # A question mark: the last check has another outcome, which is not confirmed yet.
    state = monitor["state"] + ("?" if monitor["soft_failures"] else "")
    cluster = monitor.get("cluster")
    if cluster is not None and not cluster["is_checked_here"]:
        # Another node has the results: the vote of a location that agrees explains the state.
        details = (place["detail"] for place in cluster["locations"] if place["state"] == monitor["state"])
        checked, result = "-", f"{notes} {in_local_time(next(details, None) or '')}".strip()
    elif last is None:
        checked, result = "-", notes
    else:
        checked = ago(last["started_at"])
        result = outcome_first(last, notes) if is_outcome_first else f"{notes} {outcome_first(last)}".strip()
    return state, monitor["name"], monitor["type"], checked, result


def _needed_columns(monitor: Json) -> int:
    """Columns for the conditions and the beginning of the outcome."""
    if "host" in monitor:
        return cells(_host_notes(monitor)) + MIN_OUTCOME
    notes, last = _notes(monitor), monitor["last_result"]
    if not notes or last is None:
        return cells(notes)
    return cells(notes) + 1 + min(MIN_OUTCOME, cells(plain(outcome_first(last))))


def outcome_first(result: Json, notes: str = "") -> str:
    """ "HTTP 503, 67.1 ms; not met: … (GET https://…)": the most important first, as a line is truncated at its end.

    `notes` precede the subject.
    """
    # A daemon of an older release may not send the outcome and its note.
    outcome = result.get("outcome") or result["detail"]
    if result["verdict"] == "inconclusive":
        outcome = f"{result['reason']}: {outcome}"
    response_time_s = result.get("fields", {}).get("response_time")
    if isinstance(response_time_s, float | int):
        outcome += f", {short_time(response_time_s)}"
    if result.get("note"):
        outcome += f"; {result['note']}"
    outcome = f"{in_local_time(outcome)} {notes}".rstrip()
    return f"{outcome} ({result['subject']})" if result.get("subject") else outcome


def _host_notes(monitor: Json) -> str:
    notes = [
        note
        for note, is_shown in (
            ("acknowledged", monitor["acknowledged_by"]),
            ("maintenance", monitor["maintenance_window"]),
        )
        if is_shown
    ]
    return f"[{', '.join(notes)}]" if notes else ""


def _notes(monitor: Json) -> str:
    """ "[acknowledged, silenced]": conditions in addition to the state, or an empty text."""
    notes = [
        note
        for note, is_shown in (
            ("acknowledged", monitor["acknowledged_by"]),
            ("maintenance", monitor["maintenance_window"]),
            ("silenced", monitor["silenced_until"]),
            ("flapping", monitor["is_flapping"]),
        )
        if is_shown
    ]
    cluster = monitor.get("cluster")
    if cluster is not None:
        notes += filter(None, [other_views_text(cluster["locations"], monitor["state"])])
    return f"[{', '.join(notes)}]" if notes else ""
