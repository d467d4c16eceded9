"""`monitorctl events`: transitions, incidents, reloads and results, either stored or new."""

import argparse
import sys
from typing import Any

from monitord.cli.client.events import ReceivedEvent, fetch_stored_events, follow_events
from monitord.cli.client.requests import client_of, json_text
from monitord.cli.command import Command
from monitord.cli.exit_status import EXIT_OK
from monitord.cli.output.terminal import paint, wants_colour
from monitord.cli.output.wording import LocalTimes, acknowledgement, clock_time, local, zone
from monitord.cli.selection import add_selection_options, selected
from monitord.errors import ControlError
from monitord.text import plain

MAX_REQUESTED_NAMES = 100
"""Maximum number of monitors in a request. The events of more monitors are filtered here."""


def _add_options(parser: argparse.ArgumentParser) -> None:
    add_selection_options(
        parser, about="Only events of monitors with these names or patterns, such as 'db-*'"
    )
    parser.add_argument("-f", "--follow", action="store_true", help="Show new events, until Ctrl-C")
    parser.add_argument("--results", action="store_true", help="Also show the result of every check")


def _run(options: argparse.Namespace) -> int:
    client = client_of(options)
    names = selected(client, options) if options.names or options.tag else []
    params = [("results", str(int(options.results)))]
    if len(names) <= MAX_REQUESTED_NAMES:
        params += [("monitor", name) for name in names]
    events = (
        follow_events(client, params, _print_loss) if options.follow else fetch_stored_events(client, params)
    )
    only = frozenset(names)
    is_empty, local_zone = True, zone([])
    for event in events:
        monitor = event.data.get("monitor") if isinstance(event.data, dict) else None
        if only and monitor is not None and monitor not in only:
            continue
        if options.json:
            print(json_text({"event": event.kind, "id": event.id, "data": event.data}))
        elif event.kind != "gap":
            if is_empty and not options.follow:
                print(f"{f'TIME ({local_zone})':<19}  {'EVENT':<10}  DESCRIPTION")
            is_empty = False
            times = LocalTimes("" if options.follow else local_zone)
            print(event_line(event, times, with_date=not options.follow, colour=wants_colour()))
        elif options.follow:
            print("monitorctl: some events are missing here", file=sys.stderr)
        sys.stdout.flush()
    if is_empty and not options.json:
        print("no events")
    return EXIT_OK


def _print_loss(error: ControlError) -> None:
    print(f"monitorctl: {error.message}; reconnecting", file=sys.stderr)


def event_line(event: ReceivedEvent, times: LocalTimes, *, with_date: bool, colour: bool) -> str:
    format_event = _FORMATS.get(event.kind)
    at, text = (None, str(event.data)) if format_event is None else format_event(event.data, times, colour)
    time = "" if at is None else local(at) if with_date else clock_time(at)
    return f"{time:<{19 if with_date else 8}}  {event.kind:<10}  {text}"


def _transition(data: Any, times: LocalTimes, colour: bool) -> tuple[str, str]:  # noqa: FBT001 - all formats have the same parameters
    after = paint(data["state"], data["state"], colour=colour)
    return data[
        "at"
    ], f"{data['monitor']}: {data['previous_state']} -> {after}{_reason_and_detail(data, times)}"


def _result(data: Any, times: LocalTimes, colour: bool) -> tuple[str, str]:  # noqa: FBT001 - see above
    verdict = paint(data["verdict"], data["verdict"], colour=colour)
    return data["started_at"], f"{data['monitor']}: {verdict}{_reason_and_detail(data, times)}"


def _reason_and_detail(data: Any, times: LocalTimes) -> str:
    reason = "" if data["reason"] == "ok" else f" ({data['reason']})"
    return f"{reason}, {plain(times.in_text(data['detail']))}"


def _incident(data: Any, times: LocalTimes, colour: bool) -> tuple[str | None, str]:  # noqa: FBT001 - see above
    name = data["monitor"]
    if data["closed_at"] is not None:
        return data["closed_at"], f"{name}: {paint('closed', 'up', colour=colour)}, incident {data['id']}"
    if data.get("change") == "unacknowledged":
        return data["at"], f"{name}: acknowledgement removed, incident {data['id']}"
    if data["acknowledged_by"] is not None:
        return data["acknowledged_at"], f"{name}: {acknowledgement(data)}"
    opened = paint("opened", "down", colour=colour)
    return data["opened_at"], f"{name}: {opened}, {plain(times.in_text(data['detail']))}"


def _reload(data: Any, times: LocalTimes, colour: bool) -> tuple[str | None, str]:  # noqa: FBT001 - see above
    del times
    if data["status"] == "applied":
        return data["at"], plain(data["summary"])
    return data["at"], f"{paint('rejected', 'down', colour=colour)}: {plain(data['error'])}"


_FORMATS = {"transition": _transition, "result": _result, "incident": _incident, "reload": _reload}

EVENTS = Command(
    "events", "Show transitions, incidents and reloads", _run, _add_options, has_json_option=True
)
