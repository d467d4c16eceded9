"""`monitorctl incidents`: incidents with their duration, reason and acknowledgement."""

import argparse

from monitord.cli.client.connection import API
from monitord.cli.client.requests import client_of, monitor_path, print_json, suggesting_names
from monitord.cli.command import Command, add_lines_option
from monitord.cli.exit_status import EXIT_OK
from monitord.cli.output.tables import table
from monitord.cli.output.terminal import max_columns, wants_colour
from monitord.cli.output.wording import (
    LocalTimes,
    acknowledgement,
    local,
    moment_of,
    seconds_since,
    span,
    zone,
)
from monitord.cli.selection import add_selection_options, only_name, selected
from monitord.model import Json

MAX_LINES = 500
DEFAULT_LINES = 20


def _add_options(parser: argparse.ArgumentParser) -> None:
    add_selection_options(
        parser, about="Only incidents of monitors with these names or patterns, such as 'db-*'"
    )
    parser.add_argument("--open", action="store_true", help="Only open incidents")
    add_lines_option(parser, "incidents", DEFAULT_LINES)


def _run(options: argparse.Namespace) -> int:
    client = client_of(options)
    params: list[tuple[str, object]] = [("limit", min(options.lines, MAX_LINES))]
    if options.open:
        params.append(("open", 1))
    name = only_name(options)
    if name is not None:
        with suggesting_names(client, name):
            answer = client.get(monitor_path(name, "incidents"), params)
    elif options.names or options.tag:
        of_monitors: list[Json] = []
        for monitor in selected(client, options):
            with suggesting_names(client, monitor):
                of_monitors += client.get(monitor_path(monitor, "incidents"), params)["incidents"]
        of_monitors.sort(key=lambda incident: str(incident["opened_at"]), reverse=True)
        answer = {"incidents": of_monitors[: options.lines]}
    else:
        answer = client.get(f"{API}/incidents", params)
    if options.json:
        print_json(answer)
        return EXIT_OK
    incidents = answer["incidents"]
    if not incidents:
        print("no open incidents" if options.open else "no incidents")
        return EXIT_OK
    local_zone = zone(incident["opened_at"] for incident in incidents)
    head = ("STATE", "MONITOR", f"OPENED ({local_zone})", "DURATION", "REASON", "DETAIL")
    times = LocalTimes(local_zone)
    rows = []
    for incident in incidents:
        opened, closed = incident["opened_at"], incident["closed_at"]
        duration_s = (
            seconds_since(opened)
            if closed is None
            else (moment_of(closed) - moment_of(opened)).total_seconds()
        )
        acknowledged = acknowledgement(incident)
        detail = times.in_text(incident["detail"])
        # The name and the comment are last, so that the outcome is not truncated.
        shown = f"[acknowledged] {detail}; {acknowledged}" if acknowledged else detail
        state = "open" if closed is None else "closed"
        rows.append((state, incident["monitor"], local(opened), span(duration_s), incident["reason"], shown))
    lines = table(
        head, rows, max_columns=max_columns(), colour=wants_colour(), state=0, yielding=1, optional=(4, 3, 2)
    )
    print("\n".join(lines))
    return EXIT_OK


INCIDENTS = Command("incidents", "Show incidents, newest first", _run, _add_options, has_json_option=True)
