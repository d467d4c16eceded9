"""What is asked of the daemon as a whole, or done without it: reload, check-config, probe, ping, version."""

import argparse
import os
import sys
from typing import NoReturn

from monitord import __version__
from monitord.cli.client.asking import client_of, naming, place_of, print_json
from monitord.cli.client.connection import API, Client, DaemonUnreachableError, RefusedError, target_of
from monitord.cli.command import Command
from monitord.cli.exits import EXIT_FAILED, EXIT_OK
from monitord.cli.heartbeat import add_ping_options, ping_document
from monitord.cli.probe_options import add_probe_options
from monitord.text import plain

RELOAD_TIMEOUT_S = 120.0


def _ping(options: argparse.Namespace) -> int:
    try:
        document = ping_document(options, os.environ)
    except ValueError as error:
        parser: argparse.ArgumentParser = options.parser
        parser.error(str(error))
    client = client_of(options)
    with naming(client, options.name):
        client.post(API + target_of("heartbeats", options.name), document)
    return EXIT_OK


def _reload(options: argparse.Namespace) -> int:
    try:
        outcome = client_of(options).post(f"{API}/reload", timeout_s=RELOAD_TIMEOUT_S)
    except RefusedError as error:
        # A refusal of the configuration has the failures; one of the request is a problem.
        if not isinstance(error.answer, dict) or "error" not in error.answer:
            raise
        outcome = error.answer
    if options.json:
        print_json(outcome)
    elif options.quiet:
        pass  # the exit status tells
    elif outcome["ok"]:
        for warning in outcome.get("warnings", ()):
            print(plain(warning), file=sys.stderr)
        print(f"reloaded: {outcome['summary']}")
    else:
        print(outcome["error"], file=sys.stderr)
        print("reload refused; the configuration of before stays in force", file=sys.stderr)
    return EXIT_OK if outcome["ok"] else EXIT_FAILED


def _add_quiet(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "-q", "--quiet", action="store_true", help="the verdict by the exit status only; the daemon logs it"
    )


def _add_file(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", nargs="?", help="default: /etc/monitord.toml")


def _check_config(options: argparse.Namespace) -> NoReturn:
    chosen = [] if options.file is None else ["--config", options.file]
    _become("-m", "monitord", "--check-config", *chosen)


def _probe(options: argparse.Namespace) -> NoReturn:
    _become("-m", "monitord.cli.probe", *options.arguments)


def _become(*arguments: str) -> NoReturn:
    """Only the daemon's own code knows every type; this process becomes it."""
    python = [sys.executable, *(["-I"] if sys.flags.isolated else [])]
    sys.stdout.flush()
    os.execv(sys.executable, [*python, *arguments])  # noqa: S606 - no shell wanted


def _version(options: argparse.Namespace) -> int:
    client = Client(place_of(options))
    running, failure = None, ""
    try:
        running = client.get(f"{API}/status")["version"]
    except DaemonUnreachableError as error:
        failure = str(error)
    if options.json:
        print_json({"monitorctl": __version__, "monitord": running})
    else:
        print(f"monitorctl {__version__}")
        print(f"monitord: {failure}" if running is None else f"monitord {running} (running)")
    return EXIT_OK


HEARTBEAT = Command(
    "heartbeat", "report a job: that it is done, has begun or has failed", _ping, add_ping_options
)
RELOAD = Command(
    "reload",
    "read the configuration anew; says why when it is refused",
    _reload,
    _add_quiet,
    gives_json=True,
)
CHECK_CONFIG = Command("check-config", "check a configuration without the daemon", _check_config, _add_file)
PROBE = Command("probe", "check a URL once, without configuration", _probe, add_probe_options, passes_on=True)
VERSION = Command("version", "versions of monitorctl and of the running daemon", _version, gives_json=True)
