"""`monitorctl history`: how a monitor has been, as strokes over time; and all that is kept of it, as a stream."""

import argparse
import math
import sys
from collections.abc import Sequence
from typing import Any

from monitord.cli.client.asking import client_of, monitor_target, naming, print_json, range_params
from monitord.cli.client.connection import Client
from monitord.cli.command import Command
from monitord.cli.output.bars import (
    LABEL_WIDTH,
    NARROWEST_BAR,
    sparkline,
    uptime_columns,
    verdict_marks,
)
from monitord.cli.output.terminal import wants_colour, width
from monitord.cli.output.wording import local, local_with_zone, percent, short_time, span
from monitord.cli.parsing import some_duration
from monitord.cli.selection import add_tag, is_pattern, only_name, require_selection, selected
from monitord.model import WORST_VERDICT_FIRST, Json
from monitord.text import counted
from monitord.units import format_duration

SINCE_S = 86400.0
WIDEST = 120
EXPORT_TIMEOUT_S = 120.0

EXPORT = "export"
FORMATS = ("csv", "jsonl")
BUCKETS = ("minute", "hour", "day")


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "words",
        metavar="[export] NAME",
        nargs="*",
        help="the monitors, or patterns such as 'db-*'; after export one, of which all that is kept is printed",
    )
    add_tag(parser)
    parser.add_argument(
        "--since", type=some_duration, default=SINCE_S, metavar="DURATION", help="so far back (default: 24h)"
    )
    parser.add_argument("--format", choices=FORMATS, default="jsonl", help="of an export (default: jsonl)")
    parser.add_argument("--buckets", choices=BUCKETS, help="export sums of so much time, not single results")


def _run(options: argparse.Namespace) -> int:
    words: list[str] = options.words
    if words[:1] == [EXPORT] and len(words) > 1:
        if len(words) > 2 or is_pattern(words[1]) or options.tag:  # noqa: PLR2004 - the word and a name
            parser: argparse.ArgumentParser = options.parser
            parser.error("an export is of one monitor; write export NAME")
        return _export(client_of(options), words[1], options)
    options.names = words
    require_selection(options)
    client = client_of(options)
    name = only_name(options)
    names = [name] if name is not None else selected(client, options)
    shown = []
    for number, one in enumerate(names):
        asked = _ask(client, one, options)
        if options.json:
            shown.append(asked)
            continue
        lines = history_lines(**asked, room=_room(), colour=wants_colour())
        print("\n".join(["", *lines] if number else lines))
    if options.json:
        print_json(shown[0] if name is not None else {"monitors": shown})
    return 0


def _export(client: Client, name: str, options: argparse.Namespace) -> int:
    params = [("format", options.format)]
    if options.buckets is not None:
        params.append(("buckets", options.buckets))
    sys.stdout.flush()
    with naming(client, name):
        for piece in client.stream(monitor_target(name, "export"), params, timeout_s=EXPORT_TIMEOUT_S):
            sys.stdout.buffer.write(piece)
    sys.stdout.buffer.flush()
    return 0


def _room() -> int:
    return max(min(width(), WIDEST) - LABEL_WIDTH, NARROWEST_BAR)


def _ask(client: Client, name: str, options: argparse.Namespace) -> dict[str, Any]:
    since = range_params(options.since)
    with naming(client, name):
        return {
            "series": client.get(monitor_target(name, "series"), since),
            "uptime": client.get(monitor_target(name, "uptime"), since),
            "results": client.get(monitor_target(name, "results"), [("limit", _room())])["results"],
        }


def history_lines(
    series: Json, uptime: Json, results: Sequence[Json], *, room: int, colour: bool
) -> list[str]:
    """The last checks, one a column; then checks, response times and uptime over time, each with its numbers below."""
    columns = in_columns(series["buckets"], room)
    whole = series["total"]
    worst = [_worst(column) for column in columns]
    lines = [f"{series['monitor']} from {local(series['from'])} to {local_with_zone(series['to'])}", ""]
    for label, drawn, said in (
        ("last", verdict_marks([one["verdict"] for one in reversed(results)], colour=colour), _last(results)),
        ("checks", verdict_marks(worst, colour=colour), _checks(whole["checks"])),
        ("response", sparkline([_mean(column) for column in columns]), _times(whole["response_time_s"])),
        (
            "uptime",
            uptime_columns([_up_share(column) for column in columns], colour=colour),
            _uptime(uptime),
        ),
    ):
        lines += [f"{label:<{LABEL_WIDTH}}{drawn}".rstrip(), f"{'':<{LABEL_WIDTH}}{said}"]
    if not columns:
        return lines
    step = format_duration(len(columns[0]) * series["step_s"])
    return [*lines, "", f"{'':<{LABEL_WIDTH}}a column is {step}; of its checks the worst is shown"]


def in_columns(buckets: Sequence[Json], room: int) -> list[Sequence[Json]]:
    """Equally many buckets in each, as few as there is room for. The API leaves none out."""
    in_each = max(1, math.ceil(len(buckets) / room))
    return [buckets[first : first + in_each] for first in range(0, len(buckets), in_each)]


def _worst(column: Sequence[Json]) -> str | None:
    worst_first = (verdict.value for verdict in WORST_VERDICT_FIRST)
    return next((verdict for verdict in worst_first if any(one["checks"][verdict] for one in column)), None)


def _mean(column: Sequence[Json]) -> float | None:
    times = [one["response_time_s"] for one in column]
    count = sum(one["count"] for one in times)
    return sum(one["mean"] * one["count"] for one in times if one["count"]) / count if count else None


def _up_share(column: Sequence[Json]) -> float | None:
    good = sum(one["seconds"]["up"] + one["seconds"]["degraded"] for one in column)
    known = good + sum(one["seconds"]["down"] for one in column)
    return good / known if known else None


def _last(last: Sequence[Json]) -> str:
    return f"{counted(len(last), 'check')} one by one, since {local(last[-1]['at'])}" if last else "none yet"


def _checks(checks: Json) -> str:
    total = sum(checks.values())
    shares = [f"{count} {verdict}" for verdict, count in checks.items() if count]
    return f"{counted(total, 'check')}: {', '.join(shares)}" if total else "no checks"


def _times(times: Json) -> str:
    if not times["count"]:
        return "no answers"
    return ", ".join(f"{key} {short_time(times[key])}" for key in ("min", "p50", "p95", "p99", "max"))


def _uptime(uptime: Json) -> str:
    beside = [f"{span(seconds)} {state}" for state, seconds in uptime["seconds"].items() if seconds >= 1]
    if uptime["maintenance_s"] >= 1:
        beside.append(f"{span(uptime['maintenance_s'])} maintenance")
    return "; ".join(filter(None, [percent(uptime["ratio"]), ", ".join(beside)]))


HISTORY = Command("history", "how a monitor has been; export prints all", _run, _add_options, gives_json=True)
