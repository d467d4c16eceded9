"""What is done to monitors: check them now, pause and resume them, acknowledge their incidents and take that back."""

import argparse
import sys
from collections.abc import Mapping
from typing import Any

from monitord.cli.client.asking import client_of, monitor_target, naming, print_json
from monitord.cli.client.connection import API
from monitord.cli.command import Command, add_message
from monitord.cli.exits import EXIT_FAILED, EXIT_OK, exit_of_verdict, worst_exit
from monitord.cli.output.tables import check_line
from monitord.cli.output.terminal import wants_colour
from monitord.cli.output.wording import in_local_time
from monitord.cli.selection import add_selection, document_of, only_name, require_selection
from monitord.model import Json
from monitord.text import plain

CHECK_TIMEOUT_S = 620.0
"""The daemon waits for ten minutes, and then says so."""


def _post(
    options: argparse.Namespace,
    act: str,
    more: Mapping[str, Any] | None = None,
    timeout_s: float | None = None,
) -> Json:
    """The answer for all that are meant: `monitors`, `skipped`, of a check `results`; of one by its name, `monitor`."""
    require_selection(options)
    client = client_of(options)
    name = only_name(options)
    if name is None:
        answer: Json = client.post(
            f"{API}/{act}", {**document_of(options), **(more or {})}, timeout_s=timeout_s
        )
        return answer
    with naming(client, name):
        if act == "unacknowledge":
            answer = client.delete(monitor_target(name, "acknowledge"))
        else:
            answer = client.post(monitor_target(name, act), more, timeout_s=timeout_s)
    return answer


def _check(options: argparse.Namespace) -> int:
    answer = _post(options, "check", timeout_s=CHECK_TIMEOUT_S)
    name = only_name(options)
    if name is not None:
        result = answer["result"]
        if options.json:
            print_json({"name": name, **result})
        else:
            print(check_line(name, result, colour=wants_colour()))
        return exit_of_verdict(result["verdict"])
    results = answer["results"]
    if options.json:
        print_json({"results": results})
    for one in () if options.json else results:
        if one["result"] is None:
            print(f"{one['name']}: not checked, {plain(one['problem'])}", file=sys.stderr)
        else:
            print(check_line(one["name"], one["result"], colour=wants_colour()))
    return worst_exit(
        EXIT_FAILED if one["result"] is None else exit_of_verdict(one["result"]["verdict"]) for one in results
    )


def _pause(options: argparse.Namespace) -> int:
    return _tell(options, _post(options, "pause", {"comment": options.message}), "paused")


def _resume(options: argparse.Namespace) -> int:
    return _tell(options, _post(options, "resume"), "resumed")


def _ack(options: argparse.Namespace) -> int:
    return _tell(options, _post(options, "acknowledge", {"comment": options.message}), "acknowledged")


def _unack(options: argparse.Namespace) -> int:
    return _tell(options, _post(options, "unacknowledge"), "acknowledgement withdrawn")


def _tell(options: argparse.Namespace, answer: Json, done: str) -> int:
    """A line for each monitor; of those that a pattern or tag means as well, why nothing was done."""
    if options.json:
        print_json(answer)
        return EXIT_OK
    for monitor in answer["monitors"] if "monitors" in answer else [answer["monitor"]]:
        print(f"{monitor['name']}: {done} by {answer['by']}; it is {monitor['state']}")
    for one in answer.get("skipped", ()):
        print(f"{one['name']}: skipped, it {plain(in_local_time(one['detail']))}", file=sys.stderr)
    return EXIT_OK


def _add_act_options(parser: argparse.ArgumentParser) -> None:
    add_selection(parser)
    add_message(parser)


CHECK = Command("check", "check monitors now and print the results", _check, add_selection, gives_json=True)
PAUSE = Command(
    "pause", "stop the checks of monitors until they are resumed", _pause, _add_act_options, gives_json=True
)
RESUME = Command("resume", "check paused monitors again", _resume, add_selection, gives_json=True)
ACK = Command("ack", "acknowledge the open incidents of monitors", _ack, _add_act_options, gives_json=True)
UNACK = Command("unack", "take acknowledgements back", _unack, add_selection, gives_json=True)
