"""`monitorctl`: asks the running daemon over its status socket. Imports little, so that it starts at once.

Exit statuses: 0 done (for `status`: all is well), 1 refused or failed (`status`: something is degraded),
2 (`status`, `check`) something is down, 3 the daemon cannot be asked, 64 wrong usage (EX_USAGE, sysexits.h);
`probe` has its own, in `cli/probe.py`.
"""

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

from monitord import __version__
from monitord.cli.beat import add_beat_options, beat_document
from monitord.cli.client import Client, DaemonUnreachableError, RefusedError, target_of
from monitord.cli.tables import check_line, status_table, wants_colour
from monitord.errors import ControlError
from monitord.paths import socket_to_ask

EXIT_OK, EXIT_FAILED, EXIT_DOWN, EXIT_NO_DAEMON, EXIT_USAGE = 0, 1, 2, 3, 64

RELOAD_TIMEOUT_S = 120.0
CHECK_TIMEOUT_S = 600.0

_HEALTH_EXIT = {"up": EXIT_OK, "paused": EXIT_OK, "pending": EXIT_OK, "degraded": EXIT_FAILED}
_VERDICT_EXIT = {"pass": EXIT_OK, "warn": EXIT_FAILED, "fail": EXIT_DOWN, "unsure": EXIT_FAILED}


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        self.exit(EXIT_USAGE, f"{self.prog}: {message}\n")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = _parser()
    options, rest = parser.parse_known_args(arguments)
    if options.run is _probe:
        options.arguments = rest
    elif rest:
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    run: Callable[[argparse.Namespace], int] = options.run
    try:
        status = run(options)
        sys.stdout.flush()
    except DaemonUnreachableError as error:
        print(f"monitorctl: {error}", file=sys.stderr)
        return EXIT_NO_DAEMON
    except ControlError as error:
        print(f"monitorctl: {error}", file=sys.stderr)
        return EXIT_FAILED
    except BrokenPipeError:
        # The reader, `head` for one, has seen enough; Python must not complain of it at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_OK
    except KeyboardInterrupt:
        return 130
    return status


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="monitorctl", description="Ask the running monitord.")
    parser.add_argument(
        "--socket",
        type=Path,
        default=None,
        metavar="PATH",
        help="socket of another daemon (or MONITORD_SOCKET)",
    )
    parser.add_argument("--version", action="version", version=f"monitorctl {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    status = commands.add_parser("status", help="how every monitor stands; the exit status tells the worst")
    status.add_argument("--json", action="store_true", help="print the daemon's answers as JSON")
    status.set_defaults(run=_status)

    check = commands.add_parser("check", help="check one monitor now and print the result")
    check.add_argument("name", metavar="NAME")
    check.add_argument("--json", action="store_true", help="print the result as JSON")
    check.set_defaults(run=_check)

    beat = commands.add_parser("beat", help="report a job: that it is done, has begun or has failed")
    add_beat_options(beat)
    beat.set_defaults(run=_beat, parser=beat)

    reload = commands.add_parser("reload", help="read the configuration anew; says why when it is refused")
    reload.set_defaults(run=_reload)

    config = commands.add_parser("check-config", help="check a configuration without the daemon")
    config.add_argument("file", metavar="FILE", nargs="?", default=None)
    config.set_defaults(run=_check_config)

    probe = commands.add_parser("probe", help="check a URL once, without configuration", add_help=False)
    probe.set_defaults(run=_probe)

    version = commands.add_parser("version", help="versions of monitorctl and of the running daemon")
    version.set_defaults(run=_version)
    return parser


def _client(options: argparse.Namespace) -> Client:
    return Client(options.socket or socket_to_ask(os.environ))


def _status(options: argparse.Namespace) -> int:
    client = _client(options)
    status = client.get("/status")
    monitors = client.get("/monitors")
    if options.json:
        print(json.dumps({"status": status, **monitors}, indent=2))
    else:
        print(status_table(status, monitors["monitors"], colour=wants_colour()))
    return _HEALTH_EXIT.get(status["health"], EXIT_DOWN)


def _check(options: argparse.Namespace) -> int:
    result = _client(options).post(target_of("monitors", options.name, "check"), timeout_s=CHECK_TIMEOUT_S)
    print(json.dumps(result, indent=2) if options.json else check_line(result, colour=wants_colour()))
    return _VERDICT_EXIT[result["verdict"]]


def _beat(options: argparse.Namespace) -> int:
    try:
        document = beat_document(options, os.environ)
    except ValueError as error:
        parser: argparse.ArgumentParser = options.parser
        parser.error(str(error))
    _client(options).post(target_of("heartbeats", options.name), document)
    return EXIT_OK


def _reload(options: argparse.Namespace) -> int:
    try:
        outcome = _client(options).post("/reload", timeout_s=RELOAD_TIMEOUT_S)
    except RefusedError as error:
        if not isinstance(error.answer, dict):
            raise
        print(error.answer["error"], file=sys.stderr)
        print("reload refused; the configuration of before stays in force", file=sys.stderr)
        return EXIT_FAILED
    print(f"reloaded: {outcome['summary']}")
    return EXIT_OK


def _check_config(options: argparse.Namespace) -> NoReturn:
    chosen = [] if options.file is None else ["--config", options.file]
    _become("monitord", "--check-config", *chosen)


def _probe(options: argparse.Namespace) -> NoReturn:
    _become("monitord.cli.probe", *options.arguments)


def _become(module: str, *arguments: str) -> NoReturn:
    """Only the daemon's own code knows every type; this process becomes it."""
    python = [sys.executable, *(["-I"] if sys.flags.isolated else [])]
    sys.stdout.flush()
    os.execv(sys.executable, [*python, "-m", module, *arguments])  # noqa: S606 - no shell wanted


def _version(options: argparse.Namespace) -> int:
    print(f"monitorctl {__version__}")
    try:
        print(f"monitord {_client(options).get('/status')['version']} (running)")
    except DaemonUnreachableError as error:
        print(f"monitord: {error}")
    return EXIT_OK
