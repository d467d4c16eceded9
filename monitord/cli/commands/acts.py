"""What is done to one monitor: check it now, pause it and resume it, see to its incident."""

import argparse
from collections.abc import Mapping
from typing import Any

from monitord.cli.asking import Json, client_of, monitor_target, naming, print_json
from monitord.cli.command import Command, add_message, add_name
from monitord.cli.exits import EXIT_OK, exit_of_verdict
from monitord.cli.tables import check_line
from monitord.cli.terminal import wants_colour

CHECK_TIMEOUT_S = 620.0
"""The daemon waits for ten minutes, and then says so."""


def _post(
    options: argparse.Namespace,
    act: str,
    document: Mapping[str, Any] | None = None,
    timeout_s: float | None = None,
) -> Json:
    client = client_of(options)
    with naming(client, options.name):
        answer: Json = client.post(monitor_target(options.name, act), document, timeout_s=timeout_s)
    return answer


def _check(options: argparse.Namespace) -> int:
    answer = _post(options, "check", timeout_s=CHECK_TIMEOUT_S)
    result = answer["result"]
    if options.json:
        print_json({"name": options.name, **result})
    else:
        print(check_line(options.name, result, colour=wants_colour()))
    return exit_of_verdict(result["verdict"])


def _pause(options: argparse.Namespace) -> int:
    return _tell(options, _post(options, "pause", {"comment": options.message}), "paused")


def _resume(options: argparse.Namespace) -> int:
    return _tell(options, _post(options, "resume"), "resumed")


def _ack(options: argparse.Namespace) -> int:
    return _tell(options, _post(options, "acknowledge", {"comment": options.message}), "acknowledged")


def _tell(options: argparse.Namespace, answer: Json, done: str) -> int:
    if options.json:
        print_json(answer)
    else:
        print(f"{options.name}: {done} by {answer['by']}; it is {answer['monitor']['state']}")
    return EXIT_OK


def _add_act_options(parser: argparse.ArgumentParser) -> None:
    add_name(parser)
    add_message(parser)


CHECK = Command("check", "check one monitor now and print the result", _check, add_name, gives_json=True)
PAUSE = Command(
    "pause", "check a monitor no more, until it is resumed", _pause, _add_act_options, gives_json=True
)
RESUME = Command("resume", "check a paused monitor again", _resume, add_name, gives_json=True)
ACK = Command(
    "ack", "say that you see to the open incident of a monitor", _ack, _add_act_options, gives_json=True
)
