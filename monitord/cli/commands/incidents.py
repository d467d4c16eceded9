"""`monitorctl incidents`: what went wrong, how long, and who saw to it."""

import argparse

from monitord.cli.asking import Json, client_of, monitor_target, naming, print_json
from monitord.cli.client import API
from monitord.cli.command import Command, add_lines
from monitord.cli.tables import table
from monitord.cli.terminal import wants_colour, width
from monitord.cli.wording import local, moment_of, seconds_since, seen_to, span

MOST = 500
SHOWN_AT_ONCE = 20


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", nargs="?", help="only those of this monitor")
    parser.add_argument("--open", action="store_true", help="only those that go on")
    add_lines(parser, SHOWN_AT_ONCE)


def _run(options: argparse.Namespace) -> int:
    client = client_of(options)
    params: list[tuple[str, object]] = [("limit", min(options.lines, MOST))]
    if options.open:
        params.append(("open", 1))
    if options.name is None:
        answer = client.get(f"{API}/incidents", params)
    else:
        with naming(client, options.name):
            answer = client.get(monitor_target(options.name, "incidents"), params)
    if options.json:
        print_json(answer)
        return 0
    found = answer["incidents"]
    if not found:
        print("no incident is open" if options.open else "there was no incident")
        return 0
    head = ("STATE", "MONITOR", "OPENED", "LASTED", "REASON", "DETAIL")
    print("\n".join(table(head, map(_cells, found), room=width(), colour=wants_colour(), state=0)))
    return 0


def _cells(incident: Json) -> tuple[str, str, str, str, str, str]:
    opened, closed = incident["opened_at"], incident["closed_at"]
    lasted_s = (
        seconds_since(opened) if closed is None else (moment_of(closed) - moment_of(opened)).total_seconds()
    )
    by = seen_to(incident)
    said = f"[{by}] {incident['detail']}" if by else incident["detail"]
    state = "down" if closed is None else "over"
    return state, incident["monitor"], local(opened), span(lasted_s), incident["reason"], said


INCIDENTS = Command("incidents", "what went wrong, how long, and why", _run, _add_options, gives_json=True)
