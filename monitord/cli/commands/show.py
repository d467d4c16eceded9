"""`monitorctl show`: monitors with all their data. `monitorctl results`: their last results with all fields."""

import argparse
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby

from monitord.cli.client.requests import (
    client_of,
    fetch_host_monitors,
    fetch_last_results,
    fetch_monitor,
    monitor_path,
    print_json,
)
from monitord.cli.command import Command, add_lines_option
from monitord.cli.exit_status import EXIT_OK
from monitord.cli.output.bars import LABEL_WIDTH
from monitord.cli.output.result_view import result_lines
from monitord.cli.output.terminal import columns, max_columns, paint, wants_colour
from monitord.cli.output.wording import (
    MAX_VALUE_CHARACTERS,
    LocalTimes,
    acknowledgement,
    ago,
    coarse,
    percent,
    seconds_since,
    short_time,
    span,
)
from monitord.cli.selection import add_selection_options, only_name, require_selection, selected
from monitord.explanation import cause_text, error_budget_text, quorum_text, vote_text
from monitord.model import Json, Reason
from monitord.text import counted, plain
from monitord.units import format_duration, parse_duration

DEFAULT_LINES = 5

NEARLY_COMPLETE = 0.95
"""Share of a period from which the covered time is not shown."""


def _show(options: argparse.Namespace) -> int:
    require_selection(options)
    client = client_of(options)
    only = only_name(options)
    # Only the names of monitors of other hosts have a slash.
    has_host = any("/" in name for name in options.names)
    of_hosts = {each["name"]: each for each in fetch_host_monitors(client)} if has_host else {}
    names = [only] if only else selected(client, options, of_hosts)
    if options.json:
        shown_hosts = [of_hosts[name] for name in names if name in of_hosts]
        monitors = [fetch_monitor(client, name) for name in names if name not in of_hosts]
        print_json(
            [*monitors, *shown_hosts][0]
            if only
            else {"monitors": monitors, **({"host_monitors": shown_hosts} if shown_hosts else {})}
        )
        return EXIT_OK
    for number, name in enumerate(names):
        if name in of_hosts:
            lines = host_monitor_lines(of_hosts[name], columns=columns(), colour=wants_colour())
        else:
            shown = fetch_monitor(client, name)
            explanation = client.get(monitor_path(name, "explain"))
            lines = monitor_lines(
                shown, explanation, columns=columns(), colour=wants_colour(), max_characters=_max_characters()
            )
        print("\n".join(["", "", *lines] if number else lines))
    return EXIT_OK


def _max_characters() -> int | None:
    """The limit for a value; None if the output is not a terminal, where nothing is truncated."""
    return None if max_columns() is None else MAX_VALUE_CHARACTERS


def monitor_lines(
    shown: Json,
    explanation: Json,
    *,
    columns: int,
    colour: bool,
    max_characters: int | None = MAX_VALUE_CHARACTERS,
) -> list[str]:
    times = LocalTimes()
    lines = [_state_line(shown, times, colour=colour)]
    lines += _field_lines((*_explanation_fields(explanation, times), *_fields(shown, times)), columns)
    last = shown["last_result"]
    if last is None:
        return [*lines, "", "not checked yet"]
    lines += ["", f"last check {ago(last['started_at'])}, at {times.moment(last['started_at'])}"]
    return [
        *lines,
        *result_lines(
            last, shown["units"], times, columns=columns, colour=colour, max_characters=max_characters
        ),
    ]


def host_monitor_lines(shown: Json, *, columns: int, colour: bool) -> list[str]:
    """Return what the cluster knows about a monitor of another host."""
    times, host = LocalTimes(), shown["host"]
    reported = f"{coarse(shown['age_s'])} ago by the node {host} at {shown['location']}"
    if shown["reported_state"] != shown["state"]:
        reported += f": {shown['reported_state']}"
    fields = (
        ("reason", "" if shown["reason"] == Reason.OK.value else shown["reason"]),
        ("result", times.in_text(shown["detail"])),
        ("acknowledged", shown["acknowledged_by"] and f"by {shown['acknowledged_by']}"),
        ("maintenance", shown["maintenance_window"] or ""),
        ("tags", ", ".join(shown["tags"])),
        ("reported", reported),
        ("details", f"on {host}: monitorctl show {shown['monitor']}"),
    )
    return [_state_line(shown, times, colour=colour), *_field_lines(fields, columns)]


def _state_line(shown: Json, times: LocalTimes, *, colour: bool) -> str:
    name, since = plain(shown["name"]), shown["since"]
    state = paint(shown["state"], shown["state"], colour=colour)
    if since is None:
        return f"{name} ({shown['type']}) is {state}"
    return (
        f"{name} ({shown['type']}) has been {state} for {span(seconds_since(since))}, "
        f"since {times.moment(since)}"
    )


def _field_lines(fields: Iterable[tuple[str, str | None]], columns: int) -> Iterator[str]:
    shown = [(label, text) for label, text in fields if text]
    label_width = max(LABEL_WIDTH, *(len(label) + 2 for label, _ in shown))
    for label, text in shown:
        yield textwrap.fill(
            plain(text),
            max(columns, label_width + 1),
            initial_indent=f"{label:<{label_width}}",
            subsequent_indent=" " * label_width,
            break_long_words=False,
            break_on_hyphens=False,
        )


def _explanation_fields(explanation: Json, times: LocalTimes) -> Iterator[tuple[str, str]]:
    incident, silence = explanation["incident"], explanation["silence"]
    yield "cause", cause_text(explanation, times) or ""
    if incident is not None:
        yield "incident", f"{incident['id']}, {times.in_text(incident['detail'])}"
        yield "", acknowledgement(incident)
    if silence is not None:
        comment = f": {silence['comment']}" if silence["comment"] else ""
        yield "silenced", f"until {times.moment(silence['until'])} by {silence['by']}{comment}"


def _fields(shown: Json, times: LocalTimes) -> Iterator[tuple[str, str]]:
    if shown["soft_failures"]:
        count, fail_after = shown["soft_failures"], shown["fail_after"]
        yield "unconfirmed", f"{count} of {fail_after} consecutive failures"
    if shown["is_flapping"]:
        yield "flapping", "notifications about single changes are suppressed"
    if shown["maintenance_window"] is not None:
        until = shown["maintenance_until"]
        yield (
            "maintenance",
            shown["maintenance_window"] + ("" if until is None else f", until {times.moment(until)}"),
        )
    if shown["cluster"] is not None:
        cluster = shown["cluster"]
        if cluster["is_alone"]:
            yield (
                "quorum",
                "none: this node decides alone, as it cannot reach the database; last votes of the locations:",
            )
        else:
            yield "quorum", quorum_text(cluster)
        for location in cluster["locations"]:
            yield f"at {location['location']}", vote_text(location, times)
    yield "objective", _objective(shown)
    yield "source", shown.get("source") or ""
    yield "tags", ", ".join(shown["tags"])
    yield "depends on", ", ".join(shown["depends_on"])
    yield "depends on any", ", ".join(shown["depends_on_any"])
    every, timeout, retry = (
        format_duration(shown[key]) for key in ("check_every_s", "timeout_s", "retry_every_s")
    )
    failures = counted(shown["fail_after"], "failure")
    yield "schedule", f"every {every}, timeout {timeout}; down after {failures}, retried every {retry}"
    yield "next check", _next_check(shown)
    uptime: Mapping[str, Json] = shown["uptime"] or {}
    yield "uptime", ", ".join(_uptimes(uptime))
    if shown["summary_24h"] is None:
        return
    checks, response_times = shown["summary_24h"]["checks"], shown["summary_24h"]["response_time_s"]
    yield "last 24h", ", ".join(f"{count} {verdict}" for verdict, count in checks.items() if count)
    if response_times["count"]:
        yield (
            "response time",
            ", ".join(f"{key} {short_time(response_times[key])}" for key in ("p50", "p95", "p99", "max")),
        )


def _objective(shown: Json) -> str:
    """The objective of the monitor; nothing for the monitor of an objective, whose last result has it."""
    objective = shown["objective"]
    if objective is None or objective["monitor"] == shown["name"]:
        return ""
    target = f"{objective['target_percent']:.10g} % in {format_duration(objective['window_s'])}"
    if objective["achieved_percent"] is None:
        return f"{target}, no data; see {objective['monitor']}"
    budget = error_budget_text(objective["error_budget_left_percent"], objective["error_budget_left_s"])
    return f"{target}, achieved {percent(objective['achieved_percent'] / 100)}, {budget}; see {objective['monitor']}"


def _next_check(shown: Json) -> str:
    if shown["is_checking"]:
        return "running"
    if shown["is_queued_for_slot"]:
        return "queued for a slot"
    if shown["paused_by"] is not None:
        return "none while paused"
    if shown["next_check_in_s"] is None:
        return "by another node"
    return f"in {span(max(0.0, shown['next_check_in_s']))}"


def _uptimes(uptimes: Mapping[str, Json]) -> Iterator[str]:
    """Yield the uptimes; periods with equal uptime and equal covered time, shorter than their length, are combined."""
    for (ratio, covered_s), group in groupby(uptimes.items(), lambda item: _uptime(*item)):
        periods = [period for period, _ in group]
        if covered_s is None:
            yield from (f"{period} {percent(ratio)}" for period in periods)
        else:
            name = periods[0] if len(periods) == 1 else f"{periods[0]} to {periods[-1]}"
            yield f"{name} {percent(ratio)} (of the {span(covered_s)} with data)"


def _uptime(period: str, uptime: Json) -> tuple[float | None, float | None]:
    """The ratio, and the covered time in seconds if it is shorter than the period."""
    covered_s = uptime["covered_s"]
    is_short = 0 < covered_s < NEARLY_COMPLETE * parse_duration(period)
    return uptime["ratio"], covered_s if is_short else None


def _add_last_options(parser: argparse.ArgumentParser) -> None:
    add_selection_options(parser)
    parser.add_argument("--failed", action="store_true", help="Show the last failures instead")
    add_lines_option(parser, "results", DEFAULT_LINES)


def _last(options: argparse.Namespace) -> int:
    require_selection(options)
    client = client_of(options)
    only = only_name(options)
    names = [only] if only is not None else selected(client, options)
    results = [fetch_last_results(client, name, failed=options.failed, limit=options.lines) for name in names]
    if options.json:
        documents = [{"monitor": name, "results": last} for name, last in zip(names, results, strict=True)]
        print_json(documents[0] if only is not None else {"monitors": documents})
        return EXIT_OK
    for number, (name, last) in enumerate(zip(names, results, strict=True)):
        if only is None:
            print(f"\n\n{name}" if number else name)
        if not last:
            print("no failures" if options.failed else "not checked yet")
            continue
        units, times = fetch_monitor(client, name)["units"], LocalTimes()
        for index, result in enumerate(last):
            if index:
                print()
            print(f"{times.moment(result['started_at'])}, {ago(result['started_at'])}")
            lines = result_lines(
                result,
                units,
                times,
                columns=columns(),
                colour=wants_colour(),
                max_characters=_max_characters(),
            )
            print("\n".join(lines))
    return EXIT_OK


SHOW = Command(
    "show",
    "Show the details and the last result of monitors",
    _show,
    add_selection_options,
    has_json_option=True,
)
LAST = Command(
    "results",
    "Show the last results of monitors with all fields",
    _last,
    _add_last_options,
    has_json_option=True,
)
