"""Actions on monitors: check them now, pause and resume their checks, acknowledge their incidents."""

import argparse
import sys
from collections.abc import Callable, Mapping
from typing import Any

from monitord.cli.client.connection import API
from monitord.cli.client.requests import client_of, monitor_path, print_json, suggesting_names
from monitord.cli.command import Command, add_comment_option
from monitord.cli.exit_status import EXIT_FAILED, EXIT_OK, exit_of_verdict, worst_exit
from monitord.cli.output.tables import check_line
from monitord.cli.output.terminal import wants_colour
from monitord.cli.output.wording import in_local_time
from monitord.cli.selection import add_selection_options, only_name, require_selection, selection_document
from monitord.model import Json
from monitord.text import plain

CHECK_TIMEOUT_S = 620.0
"""The daemon waits for results for ten minutes."""


def _post(
    options: argparse.Namespace,
    action: str,
    document: Mapping[str, Any] | None = None,
    timeout_s: float | None = None,
) -> Json:
    """Request the action for the selected monitors, in a single request."""
    require_selection(options)
    client = client_of(options)
    name = only_name(options)
    if name is None:
        selection = {**selection_document(options), **(document or {})}
        response: Json = client.post(f"{API}/{action}", selection, timeout_s=timeout_s)
        return response
    with suggesting_names(client, name):
        if action == "unacknowledge":
            response = client.delete(monitor_path(name, "acknowledge"))
        else:
            response = client.post(monitor_path(name, action), document, timeout_s=timeout_s)
    return response


def _check(options: argparse.Namespace) -> int:
    response = _post(options, "check", timeout_s=CHECK_TIMEOUT_S)
    name = only_name(options)
    if name is not None:
        result = response["result"]
        if options.json:
            print_json({"name": name, **result})
        else:
            print(check_line(name, result, colour=wants_colour()))
        return exit_of_verdict(result["verdict"])
    results = response["results"]
    if options.json:
        print_json({"results": results})
    else:
        for checked in results:
            if checked["result"] is None:
                print(f"{checked['name']}: not checked: {plain(checked['problem'])}", file=sys.stderr)
            else:
                print(check_line(checked["name"], checked["result"], colour=wants_colour()))
    return worst_exit(
        EXIT_FAILED if checked["result"] is None else exit_of_verdict(checked["result"]["verdict"])
        for checked in results
    )


def _change(action: str, done: str) -> Callable[[argparse.Namespace], int]:
    """Return the function of a command that requests this action. `done`: the outcome in its output."""

    def run(options: argparse.Namespace) -> int:
        document = {"comment": options.comment} if "comment" in options else None
        response = _post(options, action, document)
        if options.json:
            print_json(response)
            return EXIT_OK
        for monitor in response["monitors"] if "monitors" in response else [response["monitor"]]:
            print(f"{monitor['name']}: {done} by {response['by']}; state: {monitor['state']}")
        for skipped in response.get("skipped_monitors", ()):
            print(f"{skipped['name']}: skipped: {plain(in_local_time(skipped['problem']))}", file=sys.stderr)
        return EXIT_OK

    return run


def _add_options_with_comment(parser: argparse.ArgumentParser) -> None:
    add_selection_options(parser)
    add_comment_option(parser)


CHECK = Command(
    "check",
    "Check monitors now and show the results",
    _check,
    add_selection_options,
    has_json_option=True,
    details="""\
exit status (of several monitors, the worst):
  0    Pass
  1    Warning or inconclusive, or the request has failed
  2    Failure
  3    The daemon cannot be reached""",
)
PAUSE = Command(
    "pause",
    "Stop the checks of monitors until they are resumed",
    _change("pause", "paused"),
    _add_options_with_comment,
    has_json_option=True,
)
RESUME = Command(
    "resume",
    "Resume the checks of paused monitors",
    _change("resume", "resumed"),
    add_selection_options,
    has_json_option=True,
)
ACK = Command(
    "ack",
    "Acknowledge the open incidents of monitors",
    _change("acknowledge", "acknowledged"),
    _add_options_with_comment,
    has_json_option=True,
    details="Notifications about an incident are suppressed until it ends (the monitor is up or degraded again).",
)
UNACK = Command(
    "unack",
    "Remove acknowledgements",
    _change("unacknowledge", "acknowledgement removed"),
    add_selection_options,
    has_json_option=True,
    details="Notifications about the incidents are no longer suppressed.",
)
