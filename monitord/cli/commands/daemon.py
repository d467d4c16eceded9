"""Commands for the daemon as a whole (reload, version), and without the daemon (check-config, what-if, probe)."""

import argparse
import os
import sys
from typing import NoReturn

from monitord import __version__
from monitord.cli.client.connection import API, DaemonUnreachableError, HTTPStatusError
from monitord.cli.client.requests import client_of, print_json
from monitord.cli.command import Command
from monitord.cli.exit_status import EXIT_FAILED, EXIT_OK
from monitord.cli.probe_options import DETAILS, SUMMARY, add_probe_options
from monitord.cli.what_if_options import DETAILS as WHAT_IF_DETAILS
from monitord.cli.what_if_options import SUMMARY as WHAT_IF_SUMMARY
from monitord.cli.what_if_options import add_what_if_options
from monitord.text import plain

RELOAD_TIMEOUT_S = 120.0


def _reload(options: argparse.Namespace) -> int:
    try:
        outcome = client_of(options).post(f"{API}/reload", timeout_s=RELOAD_TIMEOUT_S)
    except HTTPStatusError as error:
        # The document has the errors of the configuration, unless the request itself was rejected.
        if not isinstance(error.document, dict) or "error" not in error.document:
            raise
        outcome = error.document
    if options.json:
        print_json(outcome)
    elif options.quiet:
        pass  # the exit status is the output
    elif outcome["status"] == "applied":
        for warning in outcome.get("warnings", ()):
            print(plain(warning), file=sys.stderr)
        print(f"reloaded: {outcome['summary']}")
    else:
        print(outcome["error"], file=sys.stderr)
        print("reload rejected; the previous configuration stays active", file=sys.stderr)
    return EXIT_OK if outcome["status"] == "applied" else EXIT_FAILED


def _add_quiet(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "-q",
        "--quiet",
        action="store_true",
        help="Report the outcome by the exit status only; the daemon logs it",
    )


def _add_file(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "file", metavar="FILE", nargs="?", help="Main configuration file (default: /etc/monitord.toml)"
    )


def _check_config(options: argparse.Namespace) -> NoReturn:
    file = [] if options.file is None else ["--config", options.file]
    _execute("-m", "monitord", "--check-config", *file)


def _probe(options: argparse.Namespace) -> NoReturn:
    _execute("-m", "monitord.cli.probe", *options.arguments)


def _what_if(options: argparse.Namespace) -> NoReturn:
    _execute("-m", "monitord.cli.what_if", *options.arguments)


def _execute(*arguments: str) -> NoReturn:
    """Replace this process with a process that imports the daemon's code."""
    python = [sys.executable, *(["-I"] if sys.flags.isolated else [])]
    sys.stdout.flush()
    os.execv(sys.executable, [*python, *arguments])  # noqa: S606 - no shell wanted


def _version(options: argparse.Namespace) -> int:
    client = client_of(options)
    running, error_text = None, ""
    try:
        running = client.get(f"{API}/status")["version"]
    except DaemonUnreachableError as error:
        error_text = str(error)
    if options.json:
        print_json({"monitorctl": __version__, "monitord": running})
    else:
        print(f"monitorctl {__version__}")
        print(f"monitord: {error_text}" if running is None else f"monitord {running} (running)")
    return EXIT_OK


RELOAD = Command(
    "reload",
    "Reload the configuration of the daemon",
    _reload,
    _add_quiet,
    has_json_option=True,
    details="""\
If the configuration is rejected, all errors are printed, the previous
configuration stays active, and the exit status is 1.""",
)
CHECK_CONFIG = Command(
    "check-config",
    "Check configuration files, without the daemon",
    _check_config,
    _add_file,
    details="The exit status is 0 if the configuration is valid, otherwise 1.",
)
WHAT_IF = Command(
    "what-if",
    WHAT_IF_SUMMARY,
    _what_if,
    add_what_if_options,
    details=WHAT_IF_DETAILS,
    forwards_arguments=True,
)
PROBE = Command("probe", SUMMARY, _probe, add_probe_options, details=DETAILS, forwards_arguments=True)
VERSION = Command(
    "version", "Show the versions of monitorctl and of the running daemon", _version, has_json_option=True
)
