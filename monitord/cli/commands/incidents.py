"""`monitorctl incidents`: what went wrong, how long, and who saw to it."""

import argparse
from collections.abc import Sequence

from monitord.cli.client.asking import client_of, monitor_target, naming, print_json
from monitord.cli.client.connection import API, Client, Params
from monitord.cli.command import Command, add_lines
from monitord.cli.output.tables import table
from monitord.cli.output.terminal import room, wants_colour
from monitord.cli.output.wording import in_local_time, local, moment_of, seconds_since, seen_to, span, zone
from monitord.cli.selection import add_selection, only_name, selected
from monitord.model import Json

MOST = 500
SHOWN_AT_ONCE = 20


def _add_options(parser: argparse.ArgumentParser) -> None:
    add_selection(parser, about="only those of these monitors; patterns such as 'db-*' as well")
    parser.add_argument("--open", action="store_true", help="only those that go on")
    add_lines(parser, SHOWN_AT_ONCE)


def _run(options: argparse.Namespace) -> int:
    client = client_of(options)
    params: list[tuple[str, object]] = [("limit", min(options.lines, MOST))]
    if options.open:
        params.append(("open", 1))
    name = only_name(options)
    if name is not None:
        with naming(client, name):
            answer = client.get(monitor_target(name, "incidents"), params)
    elif options.names or options.tag:
        answer = {"incidents": _of_all(client, selected(client, options), params, options.lines)}
    else:
        answer = client.get(f"{API}/incidents", params)
    if options.json:
        print_json(answer)
        return 0
    found = answer["incidents"]
    if not found:
        print("no incident is open" if options.open else "there was no incident")
        return 0
    head = (
        "STATE",
        "MONITOR",
        f"OPENED ({zone(one['opened_at'] for one in found)})",
        "LASTED",
        "REASON",
        "DETAIL",
    )
    rows = map(_cells, found)
    lines = table(head, rows, room=room(), colour=wants_colour(), state=0, yielding=1, optional=(4, 3, 2))
    print("\n".join(lines))
    return 0


def _of_all(client: Client, names: Sequence[str], params: Params, most: int) -> list[Json]:
    """The newest of several monitors."""
    found: list[Json] = []
    for name in names:
        with naming(client, name):
            found += client.get(monitor_target(name, "incidents"), params)["incidents"]
    return sorted(found, key=lambda one: str(one["opened_at"]), reverse=True)[:most]


def _cells(incident: Json) -> tuple[str, str, str, str, str, str]:
    opened, closed = incident["opened_at"], incident["closed_at"]
    lasted_s = (
        seconds_since(opened) if closed is None else (moment_of(closed) - moment_of(opened)).total_seconds()
    )
    by = seen_to(incident)
    detail = in_local_time(incident["detail"])
    # Who acknowledged it comes last, so that the outcome is not cut.
    said = f"[acknowledged] {detail}; {by}" if by else detail
    state = "down" if closed is None else "over"
    return state, incident["monitor"], local(opened), span(lasted_s), incident["reason"], said


INCIDENTS = Command("incidents", "what went wrong, how long, and why", _run, _add_options, gives_json=True)
