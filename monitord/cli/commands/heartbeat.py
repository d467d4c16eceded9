"""`monitorctl heartbeat`: reports a job, by its options or by the environment of ExecStopPost= (systemd.exec(5))."""

import argparse
import os
import signal
from collections.abc import Mapping

from monitord.cli.client.connection import API, path_of
from monitord.cli.client.requests import client_of, suggesting_names
from monitord.cli.command import Command
from monitord.cli.exit_status import EXIT_OK
from monitord.errors import InvalidValueError

MAX_MESSAGE_CHARACTERS = 10 * 1024

SIGNAL_EXIT_STATUS = 128
"""Added to the number of a signal, as shells do."""

MAX_EXIT_STATUS = 255


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="Name of the monitor (type heartbeat)")
    report = parser.add_mutually_exclusive_group()
    for kind, about in (
        ("start", "The job has started"),
        ("fail", "The job has failed"),
        ("log", "Report only the message"),
    ):
        report.add_argument(f"--{kind}", action="store_const", dest="signal", const=kind, help=about)
    report.add_argument(
        "--exit-status",
        type=exit_status,
        metavar="N",
        help="Exit status of the job (0 is a success), or the name of a signal",
    )
    report.add_argument(
        "--service-result",
        action="store_true",
        help="Report the result of the service that runs this command in ExecStopPost=",
    )
    parser.add_argument("--message", metavar="TEXT", help="A message that is shown with the heartbeat")
    parser.add_argument(
        "--run", dest="run_id", metavar="ID", help="Identifier of the run, if several runs overlap"
    )


def exit_status(text: str) -> int:
    """Parse a number or the name of a signal, as in $EXIT_STATUS."""
    if text.isascii() and text.isdecimal() and int(text) <= MAX_EXIT_STATUS:
        return int(text)
    try:
        return SIGNAL_EXIT_STATUS + signal.Signals[f"SIG{text.removeprefix('SIG')}"]
    except KeyError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not an exit status; write a number from 0 to 255, or the name of a signal"
        ) from None


def ping_document(options: argparse.Namespace, environ: Mapping[str, str]) -> Mapping[str, str | int]:
    """The body of the request. Raises InvalidValueError if --service-result is used outside ExecStopPost=."""
    fields: dict[str, str | int | None] = {
        "signal": options.signal,
        "exit_status": options.exit_status,
        "message": options.message,
        "run": options.run_id,
    }
    if options.service_result:
        fields |= {key: value for key, value in _service_result(environ).items() if fields[key] is None}
    document = {key: value for key, value in fields.items() if value is not None}
    if isinstance(message := document.get("message"), str):
        document["message"] = message[:MAX_MESSAGE_CHARACTERS]
    return document


def _service_result(environ: Mapping[str, str]) -> Mapping[str, str | int | None]:
    # Only $SERVICE_RESULT shows a success: a job that was stopped may end with exit status 0.
    result = environ.get("SERVICE_RESULT")
    if result is None:
        raise InvalidValueError(
            "--service-result is for ExecStopPost= of a service: $SERVICE_RESULT is not set",
            "use --exit-status",
        )
    run = environ.get("INVOCATION_ID") or None
    if result == "success":
        return {"signal": "success", "run": run}
    code, status = environ.get("EXIT_CODE", ""), environ.get("EXIT_STATUS", "")
    try:
        number = exit_status(status) or None
    except argparse.ArgumentTypeError:
        number = None
    return {
        "signal": "fail",
        "exit_status": number,
        "message": " ".join(filter(None, (result, code, status))),
        "run": run,
    }


def _run(options: argparse.Namespace) -> int:
    try:
        document = ping_document(options, os.environ)
    except InvalidValueError as error:
        parser: argparse.ArgumentParser = options.parser
        parser.error(str(error))
    client = client_of(options)
    with suggesting_names(client, options.name):
        client.post(API + path_of("heartbeats", options.name), document)
    return EXIT_OK


HEARTBEAT = Command(
    "heartbeat",
    "Send a heartbeat for a job",
    _run,
    _add_options,
    details="Without an option, success is reported.",
)
