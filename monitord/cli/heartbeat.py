"""What `monitorctl heartbeat` sends: from its options, or from what systemd tells an ExecStopPost= of the service."""

import argparse
import signal
from collections.abc import Mapping

from monitord.cli.command import add_name

MAX_MESSAGE_CHARACTERS = 10 * 1024

SIGNAL_EXIT_STATUS = 128
"""Added to a signal's number, as shells do."""

MAX_EXIT_STATUS = 255


def add_ping_options(parser: argparse.ArgumentParser) -> None:
    add_name(parser)
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--start", action="store_const", dest="signal", const="start", help="a run begins")
    what.add_argument("--fail", action="store_const", dest="signal", const="fail", help="a run has failed")
    what.add_argument("--log", action="store_const", dest="signal", const="log", help="only a message")
    what.add_argument(
        "--exit-status",
        type=exit_status,
        metavar="N",
        help="how it ended: a success if 0; a number or the name of a signal",
    )
    what.add_argument(
        "--service-result",
        action="store_true",
        help="how the service ended whose ExecStopPost= this is",
    )
    parser.add_argument("--message", metavar="TEXT", help="what is shown with it")
    parser.add_argument("--run", dest="run_id", metavar="ID", help="which run, where several overlap")


def exit_status(text: str) -> int:
    """A number, or the name of a signal as systemd has it in $EXIT_STATUS."""
    if text.isascii() and text.isdecimal() and int(text) <= MAX_EXIT_STATUS:
        return int(text)
    try:
        return SIGNAL_EXIT_STATUS + signal.Signals[f"SIG{text.removeprefix('SIG')}"]
    except KeyError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not an exit status; it is a number from 0 to 255, or the name of a signal"
        ) from None


def ping_document(options: argparse.Namespace, environ: Mapping[str, str]) -> Mapping[str, str | int]:
    """The body of the request. Raises ValueError where systemd has told nothing."""
    told: dict[str, str | int | None] = {
        "signal": options.signal,
        "exit_status": options.exit_status,
        "message": options.message,
        "run": options.run_id,
    }
    if options.service_result:
        told |= {key: value for key, value in _service_result(environ).items() if told[key] is None}
    document = {key: value for key, value in told.items() if value is not None}
    if isinstance(message := document.get("message"), str):
        document["message"] = message[:MAX_MESSAGE_CHARACTERS]
    return document


def _service_result(environ: Mapping[str, str]) -> Mapping[str, str | int | None]:
    """systemd.exec(5), $SERVICE_RESULT: it alone says success, as a job may be stopped and end with 0."""
    result = environ.get("SERVICE_RESULT")
    if result is None:
        raise ValueError("--service-result is for ExecStopPost= of a service: there is no $SERVICE_RESULT")
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
