"""What a command of monitorctl is: a name, its options, and a function that does it and returns the exit status."""

import argparse
from collections.abc import Callable
from dataclasses import dataclass

from monitord.cli.parsing import positive


def no_options(_: argparse.ArgumentParser) -> None:
    """It has none."""


@dataclass(frozen=True, slots=True)
class Command:
    """`gives_json`: it prints data, and has --json. `passes_on`: its arguments are another process's to read."""

    name: str
    about: str
    run: Callable[[argparse.Namespace], int]
    add_options: Callable[[argparse.ArgumentParser], None] = no_options
    gives_json: bool = False
    passes_on: bool = False


def add_name(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="the monitor")


def add_message(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-m", "--message", metavar="COMMENT", help="why, for the others")


def add_lines(parser: argparse.ArgumentParser, most: int) -> None:
    """How many to show, `most` unless it is said."""
    about = f"so many at most (default: {most})"
    parser.add_argument("-n", "--lines", type=positive, default=most, metavar="N", help=about)
