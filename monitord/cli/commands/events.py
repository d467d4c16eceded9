"""`monitorctl events`: changes of state, incidents, reloads and results, as they happen or as they were."""

import argparse
import sys
from typing import Any

from monitord.cli.client.asking import client_of, json_text
from monitord.cli.client.following import Event, follow, kept
from monitord.cli.command import Command
from monitord.cli.exits import EXIT_OK
from monitord.cli.output.terminal import paint, wants_colour
from monitord.cli.output.wording import clock_time, in_local_time, local, seen_to
from monitord.cli.selection import add_selection, selected
from monitord.errors import ControlError
from monitord.text import plain

MOST_NAMES = 100
"""That one request may have; of more monitors all events are read, and those of others left out here."""


def _add_options(parser: argparse.ArgumentParser) -> None:
    add_selection(parser, about="only events of these monitors; patterns such as 'db-*' as well")
    parser.add_argument("-f", "--follow", action="store_true", help="those that come, until Ctrl-C")
    parser.add_argument("--results", action="store_true", help="the result of every check as well")


def _run(options: argparse.Namespace) -> int:
    client = client_of(options)
    names = selected(client, options) if options.names or options.tag else []
    params = [("results", str(int(options.results)))]
    if len(names) <= MOST_NAMES:
        params += [("monitor", name) for name in names]
    events = follow(client, params, _tell_loss) if options.follow else kept(client, params)
    meant = frozenset(names)
    for event in events:
        monitor = event.data.get("monitor") if isinstance(event.data, dict) else None
        if meant and monitor is not None and monitor not in meant:
            continue
        if options.json:
            print(json_text({"event": event.kind, "id": event.id, "data": event.data}))
        elif event.kind != "gap":
            print(event_line(event, with_date=not options.follow, colour=wants_colour()))
        elif options.follow:
            print("monitorctl: some events are missing here", file=sys.stderr)
        sys.stdout.flush()
    return EXIT_OK


def _tell_loss(error: ControlError) -> None:
    print(f"monitorctl: {error.message}; trying again", file=sys.stderr)


def event_line(event: Event, *, with_date: bool, colour: bool) -> str:
    at, said = _TOLD[event.kind](event.data, colour) if event.kind in _TOLD else (None, str(event.data))
    when = "" if at is None else local(at) if with_date else clock_time(at)
    return f"{when:<{19 if with_date else 8}}  {event.kind:<10}  {said}"


def _transition(data: Any, colour: bool) -> tuple[str, str]:  # noqa: FBT001 - all of the table are called alike
    after = paint(data["after"], data["after"], colour=colour)
    why = "" if data["reason"] == "ok" else f" ({data['reason']})"
    return data[
        "at"
    ], f"{data['monitor']}: {data['before']} -> {after}{why} {plain(in_local_time(data['detail']))}"


def _result(data: Any, colour: bool) -> tuple[str, str]:  # noqa: FBT001 - see above
    verdict = paint(data["verdict"], data["verdict"], colour=colour)
    why = "" if data["reason"] == "ok" else f" ({data['reason']})"
    return data["started_at"], f"{data['monitor']}: {verdict}{why} {plain(in_local_time(data['detail']))}"


def _incident(data: Any, colour: bool) -> tuple[str | None, str]:  # noqa: FBT001 - see above
    name = data["monitor"]
    if data["closed_at"] is not None:
        return data["closed_at"], f"{name}: {paint('over', 'up', colour=colour)}, {data['id']}"
    if data.get("change") == "unacknowledged":
        return data["at"], f"{name}: acknowledgement withdrawn, {data['id']}"
    if data["acknowledged_by"] is not None:
        return data["acknowledged_at"], f"{name}: {seen_to(data)}"
    return data[
        "opened_at"
    ], f"{name}: {paint('open', 'down', colour=colour)}, {plain(in_local_time(data['detail']))}"


def _reload(data: Any, colour: bool) -> tuple[str | None, str]:  # noqa: FBT001 - see above
    if data["ok"]:
        return data["at"], plain(data["summary"])
    return data["at"], f"{paint('refused', 'down', colour=colour)}: {plain(data['error'])}"


_TOLD = {"transition": _transition, "result": _result, "incident": _incident, "reload": _reload}

EVENTS = Command(
    "events",
    "changes, incidents and reloads, as they were or as they come",
    _run,
    _add_options,
    gives_json=True,
)
