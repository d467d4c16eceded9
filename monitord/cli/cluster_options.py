"""The options of `monitorctl cluster`, apart from the code that uses the database."""

import argparse
from pathlib import Path

from monitord.paths import CONFIG

SUMMARY = "Show the cluster, or prepare its database"
DETAILS = """\
Without an argument, the nodes and locations are shown as the daemon of this
host sees them; the exit status is 1 if there is a problem.

cluster init creates the tables in the database, or migrates those of an
earlier release. cluster remove NODE removes a node that has been shut down
permanently; if it was the last node at its location, the location is removed
as well. Both need the database, but not the daemon. If root runs them, they
use the permissions of the service, as check-config does.

exit status:
  0    Success
  1    There is a problem, or the command has failed
  3    The daemon cannot be reached
  64   Usage error"""

INIT, REMOVE = "init", "remove"


def add_cluster_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "words",
        metavar="init | remove NODE",
        nargs="*",
        help="Prepare the database, or remove a node",
    )
    parser.add_argument(
        "--database",
        metavar="STRING",
        help="With init and remove: the connection string (default: that of the configuration)",
    )
    parser.add_argument(
        "--config",
        type=Path,
        default=CONFIG,
        metavar="FILE",
        help=f"With init and remove: the main configuration file (default: {CONFIG})",
    )
