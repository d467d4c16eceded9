"""A command of monitorctl: its name, its help, its options, and the function that returns its exit status."""

import argparse
from collections.abc import Callable
from dataclasses import dataclass

from monitord.cli.parsing import positive_duration, positive_number

DEFAULT_EVERY_S = 2.0


@dataclass(frozen=True, slots=True)
class Command:
    """A command.

    `summary`: an imperative phrase. `details`: paragraphs that its own help adds. `has_json_option`: it has the option
    --json. `forwards_arguments`: another process parses its arguments.
    """

    name: str
    summary: str
    run: Callable[[argparse.Namespace], int]
    add_options: Callable[[argparse.ArgumentParser], None] | None = None
    details: str = ""
    has_json_option: bool = False
    forwards_arguments: bool = False


def add_comment_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-c", "--comment", metavar="TEXT", help="Comment for other users")


def add_every_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--every",
        type=positive_duration,
        default=DEFAULT_EVERY_S,
        metavar="DURATION",
        help="Refresh interval (default: 2s)",
    )


def add_lines_option(parser: argparse.ArgumentParser, items: str, default: int) -> None:
    parser.add_argument(
        *("-n", "--lines"),
        type=positive_number,
        default=default,
        metavar="N",
        help=f"Maximum number of {items} (default: {default})",
    )
