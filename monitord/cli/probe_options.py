"""The options of `monitorctl probe`, apart from the code that checks, so that help and completion start quickly."""

import argparse

from monitord.cli.parsing import duration, positive_number

TARGETS = 'https://HOST/PATH, tcp://HOST:PORT, tls://HOST, dns://SERVER/NAME, icmp://HOST or "exec:COMMAND"'

SCHEMES = ("https://", "http://", "tcp://", "tls://", "dns://", "icmp://", "exec:")
TYPES = ("http", "tcp", "tls", "dns", "icmp", "exec")

SUMMARY = "Check a target once, without configuration and without the daemon"
DETAILS = """\
exit status (as for monitoring plugins; of several checks, the worst):
  0    Pass
  1    Warning
  2    Failure
  3    Inconclusive
  64   Usage error"""


def add_probe_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("target", metavar="URL|TYPE:ARGS", nargs="?", help=f"The target: {TARGETS}")
    parser.add_argument(
        "--type", metavar="TYPE", help="Type of the monitor, if the target does not determine it"
    )
    parser.add_argument(
        "--option",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="Any key of a monitor, see monitord.toml(5) and monitord-monitors(5)",
    )
    parser.add_argument("--method", metavar="METHOD", help="Method of an HTTP request")
    parser.add_argument(
        "-H",
        "--header",
        action="append",
        default=[],
        metavar="'NAME: VALUE'",
        help="Header of an HTTP request",
    )
    parser.add_argument(
        "--up-when", action="append", default=[], metavar="CONDITION", help="Condition for a pass"
    )
    parser.add_argument(
        "--degraded-when", action="append", default=[], metavar="CONDITION", help="Condition for a warning"
    )
    parser.add_argument(
        "--timeout", default="10s", metavar="DURATION", help="Maximum duration of a check (default: 10s)"
    )
    parser.add_argument(
        "--count", type=positive_number, default=1, metavar="N", help="Number of checks (default: 1)"
    )
    parser.add_argument(
        "--interval",
        type=duration,
        default=1.0,
        metavar="DURATION",
        help="Time from the start of a check to the start of the next (default: 1s)",
    )
    parser.add_argument("--json", action="store_true", help="Print JSON for programs")
