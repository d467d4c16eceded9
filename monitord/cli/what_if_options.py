"""The options of `monitorctl what-if`, apart from the code that replays, so that help and completion start quickly."""

import argparse
from pathlib import Path

from monitord.cli.command import add_lines_option
from monitord.cli.parsing import positive_duration
from monitord.paths import CONFIG

DEFAULT_SINCE_S = 7 * 86_400.0
DEFAULT_LINES = 50

SUMMARY = "Show which alerts and notifications another configuration would have caused"
DETAILS = """\
The stored results are replayed against the current and against the other
configuration. Nothing is checked and nothing is sent, and the daemon is not
needed. monitorctl(1) lists the limits of the replay.

exit status:
  0    Nothing would have differed
  1    A configuration is rejected, or the history cannot be read
  2    Alerts, incidents or notifications would have differed
  64   Usage error"""


def add_what_if_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--config", required=True, type=Path, metavar="FILE", help="The other main configuration file"
    )
    parser.add_argument(
        "--current",
        type=Path,
        default=CONFIG,
        metavar="FILE",
        help=f"The current main configuration file (default: {CONFIG})",
    )
    parser.add_argument(
        "--since",
        type=positive_duration,
        default=DEFAULT_SINCE_S,
        metavar="DURATION",
        help="Length of the period, which ends now (default: 7d)",
    )
    parser.add_argument(
        "--history",
        type=Path,
        metavar="PATH",
        help="The database with the results, such as a copy (default: that of the current configuration)",
    )
    add_lines_option(parser, "differences that are listed", DEFAULT_LINES)
    parser.add_argument("--json", action="store_true", help="Print JSON for programs")
