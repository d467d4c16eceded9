"""`monitorctl import`: translate the configuration of another monitoring program, without the daemon."""

import argparse

from monitord.cli.command import Command
from monitord.cli.importing import FORMAT_NAMES


def _run(options: argparse.Namespace) -> int:
    from monitord.cli.importing.run import run_import  # noqa: PLC0415 - other commands do not need its libraries

    return run_import(options)


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "words",
        metavar="[FORMAT] FILE",
        nargs="*",
        help=f"The format ({', '.join(FORMAT_NAMES)}; detected if it is omitted), and the files to import",
    )
    parser.add_argument("--output", metavar="FILE", help="Write to this file, which must not exist")
    parser.add_argument("--force", action="store_true", help="With --output: replace an existing file")


IMPORT = Command(
    "import",
    "Translate the configuration of another monitoring program",
    _run,
    _add_options,
    details="""\
The exit status is 0 if everything was translated, 2 if some items were not,
and 1 after an error, or if there is nothing to import.""",
)
