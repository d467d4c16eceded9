"""`monitorctl show`: one monitor in full. `monitorctl last`: its last results with all their fields."""

import argparse
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby

from monitord.cli.client.asking import client_of, last_results, monitor, monitor_target, print_json
from monitord.cli.client.connection import Client
from monitord.cli.command import Command, add_lines
from monitord.cli.output.bars import LABEL_WIDTH
from monitord.cli.output.result_view import result_lines
from monitord.cli.output.terminal import paint, room, wants_colour, width
from monitord.cli.output.wording import (
    LONGEST_VALUE,
    LocalTimes,
    ago,
    in_local_time,
    local,
    local_with_zone,
    percent,
    seconds_since,
    seen_to,
    short_time,
    span,
)
from monitord.cli.selection import add_selection, only_name, require_selection, selected
from monitord.explanation import cause_text
from monitord.model import Json
from monitord.text import plain
from monitord.units import format_duration, parse_duration

SHOWN_AT_ONCE = 5

NEARLY_ALL = 0.95
"""Of a window, so that it need not be said how much is known of it."""


def _show(options: argparse.Namespace) -> int:
    require_selection(options)
    client = client_of(options)
    name = only_name(options)
    if options.json:
        found = [monitor(client, one) for one in ([name] if name else selected(client, options))]
        print_json(found[0] if name else {"monitors": found})
        return 0
    for number, one in enumerate([name] if name else selected(client, options)):
        shown = monitor(client, one)
        why = client.get(monitor_target(one, "explain"))
        lines = monitor_lines(shown, why, room=width(), colour=wants_colour(), longest=_longest())
        print("\n".join(["", "", *lines] if number else lines))
    return 0


def _longest() -> int | None:
    """Characters of one value: nothing is cut where the output is no terminal."""
    return None if room() is None else LONGEST_VALUE


def monitor_lines(
    shown: Json, why: Json, *, room: int, colour: bool, longest: int | None = LONGEST_VALUE
) -> list[str]:
    """`why`: as `explain` has it, with the cause of the state, the open incident and the silence."""
    lines = [_title(shown, colour=colour)]
    incident, silence, cause = why["incident"], why["silence"], cause_text(why, LocalTimes())
    if cause is not None:
        said = plain(cause)
        indent = " " * LABEL_WIDTH
        lines.append(
            textwrap.fill(said, room, initial_indent=f"{'why':<{LABEL_WIDTH}}", subsequent_indent=indent)
        )
    if incident is not None:
        lines.append(
            f"{'incident':<{LABEL_WIDTH}}{incident['id']}, {plain(in_local_time(incident['detail']))}"
        )
        if by := seen_to(incident):
            lines.append(f"{'':<{LABEL_WIDTH}}{by}")
    if silence is not None:
        comment = f": {silence['comment']}" if silence["comment"] else ""
        said = plain(f"until {local(silence['until'])} by {silence['by']}{comment}")
        lines.append(f"{'silenced':<{LABEL_WIDTH}}{said}")
    lines += [f"{label:<{LABEL_WIDTH}}{text}" for label, text in _fields_of(shown) if text]
    last = shown["last"]
    if last is None:
        return [*lines, "", "not checked yet"]
    lines += ["", f"last check {ago(last['started_at'])}, at {local(last['started_at'])}"]
    return [*lines, *result_lines(last, shown["units"], room=room, colour=colour, longest=longest)]


def _title(shown: Json, *, colour: bool) -> str:
    state = paint(shown["state"], shown["state"], colour=colour)
    since = shown["since"]
    for_so_long = (
        "" if since is None else f" for {span(seconds_since(since))}, since {local_with_zone(since)}"
    )
    return f"{shown['name']} ({shown['type']}) is {state}{for_so_long}"


def _fields_of(shown: Json) -> Iterator[tuple[str, str]]:
    if shown["consecutive_failures"]:
        yield "not believed", f"{shown['consecutive_failures']} of {shown['fail_after']} failures in a row"
    if shown["is_flapping"]:
        yield "flapping", "it changes too often to tell each change"
    yield "maintenance", _maintenance(shown)
    yield "paused by", plain(shown["paused_by"] or "")
    yield "tags", ", ".join(shown["tags"])
    yield "depends on", ", ".join(shown["depends_on"])
    yield "or any of", ", ".join(shown["depends_on_any"])
    yield "schedule", _schedule(shown)
    yield "next check", _next(shown)
    yield from _past(shown)


def _maintenance(shown: Json) -> str:
    until = shown["maintenance_until"]
    return plain(shown["maintenance"] or "") + ("" if until is None else f", until {local(until)}")


def _schedule(shown: Json) -> str:
    every, timeout, retry = (
        format_duration(shown[key]) for key in ("check_every_s", "timeout_s", "retry_every_s")
    )
    return f"every {every}, timeout {timeout}; down after {shown['fail_after']}, retried every {retry}"


def _next(shown: Json) -> str:
    if shown["is_checking"]:
        return "runs now"
    if shown["is_queued_for_slot"]:
        return "waits for a place among the checks at once"
    if shown["paused_by"] is not None:
        return "none while it is paused"
    return f"in {span(max(0.0, shown['next_check_in_s']))}"


def _past(shown: Json) -> Iterator[tuple[str, str]]:
    """Nothing where the history cannot be read."""
    uptime: Mapping[str, Json] = shown["uptime"] or {}
    yield "uptime", ", ".join(_uptimes(uptime))
    if shown["last_24h"] is None:
        return
    checks, times = shown["last_24h"]["checks"], shown["last_24h"]["response_time_s"]
    yield "last 24h", ", ".join(f"{count} {verdict}" for verdict, count in checks.items() if count)
    if times["count"]:
        named = [f"{key} {short_time(times[key])}" for key in ("p50", "p95", "p99", "max")]
        yield "response", ", ".join(named)


def _uptimes(uptimes: Mapping[str, Json]) -> Iterator[str]:
    """With the time that is known, where that is less than a window's name says; once for all that know the same."""
    for (ratio, short_s), found in groupby(uptimes.items(), lambda one: _uptime(*one)):
        windows = [window for window, _ in found]
        if short_s is None:
            yield from (f"{window} {percent(ratio)}" for window in windows)
        else:
            name = windows[0] if len(windows) == 1 else f"{windows[0]} to {windows[-1]}"
            yield f"{name} {percent(ratio)} (of {span(short_s)})"


def _uptime(window: str, uptime: Json) -> tuple[float | None, float | None]:
    known_s = uptime["known_s"]
    is_short = 0 < known_s < NEARLY_ALL * parse_duration(window)
    return uptime["ratio"], known_s if is_short else None


def _add_last_options(parser: argparse.ArgumentParser) -> None:
    add_selection(parser)
    parser.add_argument("--failed", action="store_true", help="the last failures instead")
    add_lines(parser, SHOWN_AT_ONCE)


def _last(options: argparse.Namespace) -> int:
    require_selection(options)
    client = client_of(options)
    name = only_name(options)
    if name is None:
        names = selected(client, options)
        found = {one: last_results(client, one, failed=options.failed, limit=options.lines) for one in names}
        if options.json:
            print_json({"monitors": [{"monitor": one, "results": results} for one, results in found.items()]})
            return 0
        for number, (one, results) in enumerate(found.items()):
            print(f"\n\n{one}" if number else one)
            _print_results(client, one, results, failed=options.failed)
        return 0
    results = last_results(client, name, failed=options.failed, limit=options.lines)
    if options.json:
        print_json({"monitor": name, "results": results})
    else:
        _print_results(client, name, results, failed=options.failed)
    return 0


def _print_results(client: Client, name: str, results: Sequence[Json], *, failed: bool) -> None:
    if not results:
        print("there was no failure" if failed else "not checked yet")
        return
    units = monitor(client, name)["units"]
    for number, result in enumerate(results):
        if number:
            print()
        print(f"{local_with_zone(result['started_at'])}, {ago(result['started_at'])}")
        shown = result_lines(result, units, room=width(), colour=wants_colour(), longest=_longest())
        print("\n".join(shown))


SHOW = Command("show", "monitors in full, with their last results", _show, add_selection, gives_json=True)
LAST = Command(
    "last", "the last results or failures of monitors, all fields", _last, _add_last_options, gives_json=True
)
