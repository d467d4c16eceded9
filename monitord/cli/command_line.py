"""The command line of monitorctl, built from the table of commands."""

import argparse
from collections.abc import Sequence

from monitord import __version__
from monitord.automatic_names import full_monitor_name
from monitord.cli.client.requests import add_address_options
from monitord.cli.command import Command
from monitord.cli.parsing import CommandLineParser
from monitord.text import nearest

EXIT_STATUSES = """\
exit status:
  0    Success
  1    The request was rejected or has failed; status: a monitor is degraded;
       check: a warning or an inconclusive result
  2    status: a monitor is down, unreachable or unknown; check: a failure;
       import: some items were not translated; what-if: the outcome would have differed
  3    The daemon cannot be reached
  64   Usage error

`monitorctl COMMAND --help` shows the options of a command; see monitorctl(1)."""


def build_parser(commands: Sequence[Command]) -> CommandLineParser:
    parser = CommandLineParser(
        prog="monitorctl", description="Query and control the monitoring daemon.", epilog=EXIT_STATUSES
    )
    add_address_options(parser)
    parser.add_argument(
        "--version",
        action="version",
        version=f"monitorctl {__version__}",
        help="Show the version of this command",
    )
    subparsers = parser.add_subparsers(metavar="COMMAND", required=True)
    for command in commands:
        subparser = subparsers.add_parser(
            command.name,
            help=command.summary,
            description=f"{command.summary}.",
            epilog=command.details or None,
            add_help=not command.forwards_arguments,
        )
        subparser.set_defaults(run=command.run, parser=subparser, commands=commands)
        if not command.forwards_arguments:
            _add_options(subparser, command)
    return parser


def command_parser(command: Command) -> CommandLineParser:
    """Build the parser of a command, even if another process parses its arguments."""
    parser = CommandLineParser(prog=f"monitorctl {command.name}")
    _add_options(parser, command)
    return parser


def _add_options(parser: argparse.ArgumentParser, command: Command) -> None:
    if command.add_options is not None:
        command.add_options(parser)
    if command.has_json_option:
        parser.add_argument("--json", action="store_true", help="Print JSON for programs")


def actions_of(parser: argparse.ArgumentParser) -> Sequence[argparse.Action]:
    return parser._actions  # noqa: SLF001 - argparse has no other way to list options


def takes_value(action: argparse.Action) -> bool:
    return action.nargs != 0


def command_index(words: Sequence[str]) -> int | None:
    """The position of the command, after the options of monitorctl itself."""
    parser = CommandLineParser(add_help=False)
    add_address_options(parser)
    options_with_value = {
        name for action in actions_of(parser) for name in action.option_strings if takes_value(action)
    }
    index = 0
    while index < len(words):
        word = words[index]
        if not word.startswith("-"):
            return index
        index += 2 if word in options_with_value else 1
    return None


def parse(commands: Sequence[Command], arguments: Sequence[str]) -> argparse.Namespace:
    """Parse a command line. After a usage error, the process exits with status 64.

    `arguments` of the result: the words after a command whose arguments another process parses.
    """
    index = command_index(arguments)
    if index is not None:
        command = next((command for command in commands if command.name == arguments[index]), None)
        if command is None:
            names = [command.name for command in commands]
            # The command of which the word is an abbreviation or a longer form, or that is most similar.
            word = arguments[index]
            related = (name for name in names if name.startswith(word) or word.startswith(name))
            suggestion = next(related, None) or nearest(word, names)
            hint = f"did you mean {suggestion}?" if suggestion and word else "monitorctl --help lists them"
            build_parser(commands).error(f"{word!r} is not a command; {hint}")
        if command.forwards_arguments:
            options = build_parser(commands).parse_args(arguments[: index + 1])
            options.arguments = list(arguments[index + 1 :])
            return options
    parser = build_parser(commands)
    options, unrecognized = parser.parse_known_args(arguments)
    if unrecognized:
        # argparse would print the usage of monitorctl, without the options of the command.
        is_before = unrecognized[0] in arguments[:index]
        (parser if is_before else options.parser).error(f"unrecognized arguments: {' '.join(unrecognized)}")
    # Names of unit monitors are completed as systemctl does: "unit:nginx" becomes "unit:nginx.service".
    for key in ("name", "names", "words"):
        value = getattr(options, key, None)
        if isinstance(value, str):
            setattr(options, key, _full_name(value))
        elif isinstance(value, list):
            setattr(options, key, [_full_name(name) for name in value])
    return options


def _full_name(name: str) -> str:
    try:
        return full_monitor_name(name)
    except ValueError:
        return name  # not the name of a unit; the daemon reports that it does not exist
