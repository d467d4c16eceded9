"""`monitorctl history`: charts of checks, response times and uptime; `history export`: the whole stored history."""

import argparse
import math
import sys
from collections.abc import Sequence

from monitord.cli.client.connection import Client
from monitord.cli.client.requests import (
    client_of,
    fetch_monitors,
    monitor_path,
    print_json,
    start_param,
    suggesting_names,
)
from monitord.cli.command import Command
from monitord.cli.exit_status import EXIT_OK
from monitord.cli.output.bars import (
    LABEL_WIDTH,
    MIN_BAR_WIDTH,
    sparkline,
    uptime_columns,
    verdict_marks,
)
from monitord.cli.output.terminal import columns, wants_colour
from monitord.cli.output.wording import local, local_with_zone, percent, short_time, span
from monitord.cli.parsing import positive_duration
from monitord.cli.selection import (
    NAMES_HELP,
    add_tag_option,
    is_pattern,
    only_name,
    require_selection,
    selected,
)
from monitord.model import WORST_VERDICT_FIRST, Json
from monitord.text import counted
from monitord.units import format_duration

DEFAULT_SINCE_S = 86400.0
MAX_WIDTH = 120
EXPORT_TIMEOUT_S = 120.0

EXPORT = "export"
FORMATS = ("csv", "jsonl")
BUCKETS = ("minute", "hour", "day")


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "words",
        metavar="[export] NAME",
        nargs="*",
        help=f"{NAMES_HELP}; after export, one name",
    )
    add_tag_option(parser)
    parser.add_argument(
        "--since",
        type=positive_duration,
        default=DEFAULT_SINCE_S,
        metavar="DURATION",
        help="Length of the period, which ends now (default: 24h)",
    )
    parser.add_argument(
        "--format", choices=FORMATS, default="jsonl", help="Format of an export (default: jsonl)"
    )
    parser.add_argument(
        "--buckets",
        choices=BUCKETS,
        help="Export rollups of each minute, hour or day instead of single results",
    )


def _run(options: argparse.Namespace) -> int:
    words: list[str] = options.words
    if words[:1] == [EXPORT] and len(words) > 1:
        if len(words) > 2 or is_pattern(words[1]) or options.tag:  # noqa: PLR2004 - the word and a name
            parser: argparse.ArgumentParser = options.parser
            parser.error("export needs a single monitor; write: export NAME")
        return _export(client_of(options), words[1], options)
    options.names = words
    require_selection(options)
    client = client_of(options)
    only = only_name(options)
    if only == EXPORT and EXPORT not in (monitor["name"] for monitor in fetch_monitors(client)):
        options.parser.error("export needs the name of a monitor; write: export NAME")
    histories = []
    since, limit = start_param(options.since), [("limit", _chart_columns())]
    for number, name in enumerate([only] if only is not None else selected(client, options)):
        with suggesting_names(client, name):
            history = {
                "series": client.get(monitor_path(name, "series"), since),
                "uptime": client.get(monitor_path(name, "uptime"), since),
                "results": client.get(monitor_path(name, "results"), limit)["results"],
            }
        if options.json:
            histories.append(history)
            continue
        lines = history_lines(**history, chart_columns=_chart_columns(), colour=wants_colour())
        print("\n".join(["", *lines] if number else lines))
    if options.json:
        print_json(histories[0] if only is not None else {"monitors": histories})
    return EXIT_OK


def _export(client: Client, name: str, options: argparse.Namespace) -> int:
    params = [("format", options.format)]
    if options.buckets is not None:
        params.append(("buckets", options.buckets))
    sys.stdout.flush()
    with suggesting_names(client, name):
        for piece in client.stream(monitor_path(name, "export"), params, timeout_s=EXPORT_TIMEOUT_S):
            sys.stdout.buffer.write(piece)
    sys.stdout.buffer.flush()
    return EXIT_OK


def _chart_columns() -> int:
    return max(min(columns(), MAX_WIDTH) - LABEL_WIDTH, MIN_BAR_WIDTH)


def history_lines(
    series: Json, uptime: Json, results: Sequence[Json], *, chart_columns: int, colour: bool
) -> list[str]:
    """Return charts of the last checks, and of checks, response times and uptime over the period, with numbers."""
    groups = grouped(series["buckets"], chart_columns)
    checks, times = series["total"]["checks"], series["total"]["response_time_s"]
    shares = [f"{count} {verdict}" for verdict, count in checks.items() if count]
    durations = [f"{span(seconds)} {state}" for state, seconds in uptime["seconds"].items() if seconds >= 1]
    if uptime["maintenance_s"] >= 1:
        durations.append(f"{span(uptime['maintenance_s'])} maintenance")
    lines = [f"{series['monitor']} from {local(series['from'])} to {local_with_zone(series['to'])}", ""]
    for label, chart, numbers in (
        (
            "last",
            verdict_marks([result["verdict"] for result in reversed(results)], colour=colour),
            f"the last {counted(len(results), 'check')}, since {local(results[-1]['started_at'])}"
            if results
            else "no checks",
        ),
        (
            "checks",
            verdict_marks([_worst(group) for group in groups], colour=colour),
            f"{counted(sum(checks.values()), 'check')}: {', '.join(shares)}" if shares else "no checks",
        ),
        (
            "response time",
            sparkline([_mean(group) for group in groups]),
            ", ".join(f"{key} {short_time(times[key])}" for key in ("min", "p50", "p95", "p99", "max"))
            if times["count"]
            else "no response times",
        ),
        (
            "uptime",
            uptime_columns([_up_share(group) for group in groups], colour=colour),
            "; ".join(filter(None, [percent(uptime["ratio"]), ", ".join(durations)])),
        ),
    ):
        lines += [f"{label:<{LABEL_WIDTH}}{chart}".rstrip(), f"{'':<{LABEL_WIDTH}}{numbers}"]
    if not groups:
        return lines
    step = format_duration(len(groups[0]) * series["step_s"])
    return [*lines, "", f"{'':<{LABEL_WIDTH}}Each column covers {step} and shows the worst of its checks."]


def grouped(buckets: Sequence[Json], max_groups: int) -> list[Sequence[Json]]:
    """Distribute the buckets, which the API sends without gaps, evenly over at most `max_groups` groups."""
    per_column = max(1, math.ceil(len(buckets) / max_groups))
    return [buckets[first : first + per_column] for first in range(0, len(buckets), per_column)]


def _worst(column: Sequence[Json]) -> str | None:
    worst_first = (verdict.value for verdict in WORST_VERDICT_FIRST)
    return next(
        (verdict for verdict in worst_first if any(bucket["checks"][verdict] for bucket in column)), None
    )


def _mean(column: Sequence[Json]) -> float | None:
    times = [bucket["response_time_s"] for bucket in column]
    count = sum(time["count"] for time in times)
    return sum(time["mean"] * time["count"] for time in times if time["count"]) / count if count else None


def _up_share(column: Sequence[Json]) -> float | None:
    up_s = sum(bucket["seconds"]["up"] + bucket["seconds"]["degraded"] for bucket in column)
    covered_s = up_s + sum(bucket["seconds"]["down"] for bucket in column)
    return up_s / covered_s if covered_s else None


HISTORY = Command(
    "history",
    "Show the history of monitors as charts, or export it",
    _run,
    _add_options,
    has_json_option=True,
    details="history export NAME prints the whole stored history of a monitor, oldest first.",
)
