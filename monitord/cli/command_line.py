"""The whole command line of monitorctl, made from a table of commands; what help, completion and manual go by."""

import argparse
from collections.abc import Sequence

from monitord import __version__
from monitord.cli.client.asking import add_place
from monitord.cli.command import Command
from monitord.cli.parsing import Parser
from monitord.text import nearest
from monitord.unit_monitors import full_monitor_name


def build_parser(known: Sequence[Command]) -> Parser:
    parser = Parser(prog="monitorctl", description="Ask and steer the running monitord; see monitorctl(1).")
    add_place(parser)
    parser.add_argument("--version", action="version", version=f"monitorctl {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for command in known:
        one = commands.add_parser(command.name, help=command.about, add_help=not command.passes_on)
        one.set_defaults(run=command.run, parser=one, known=known)
        if not command.passes_on:
            add_options(one, command)
    return parser


def command_parser(command: Command) -> Parser:
    """With its options, whoever reads them in the end."""
    parser = Parser(prog=f"monitorctl {command.name}")
    add_options(parser, command)
    return parser


def add_options(parser: argparse.ArgumentParser, command: Command) -> None:
    command.add_options(parser)
    if command.gives_json:
        parser.add_argument("--json", action="store_true", help="print JSON, for programs")


def actions_of(parser: argparse.ArgumentParser) -> Sequence[argparse.Action]:
    return parser._actions  # noqa: SLF001 - argparse tells its options nowhere else


def takes_value(action: argparse.Action) -> bool:
    return action.nargs != 0


def command_index(words: Sequence[str]) -> int | None:
    """Where the command stands, after the options of monitorctl itself."""
    parser = Parser(add_help=False)
    add_place(parser)
    with_value = {
        name for action in actions_of(parser) for name in action.option_strings if takes_value(action)
    }
    index = 0
    while index < len(words):
        word = words[index]
        if not word.startswith("-"):
            return index
        index += 2 if word in with_value else 1
    return None


def _unknown(word: str, names: Sequence[str]) -> str:
    """Which command may have been meant: the one that is short for it, that it is short for, or that looks alike."""
    alike = (name for name in names if name.startswith(word) or word.startswith(name))
    near = next(alike, None) or nearest(word, names)
    hint = f"did you mean {near}?" if near and word else "monitorctl --help lists them"
    return f"{word!r} is not a command; {hint}"


def parse(known: Sequence[Command], arguments: Sequence[str]) -> argparse.Namespace:
    """Ends the process with 64 for wrong usage. What a command passes on stands in `arguments` as it was."""
    index = command_index(arguments)
    if index is not None:
        command = next((one for one in known if one.name == arguments[index]), None)
        if command is None:
            build_parser(known).error(_unknown(arguments[index], [one.name for one in known]))
        if command.passes_on:
            options = build_parser(known).parse_args(arguments[: index + 1])
            options.arguments = list(arguments[index + 1 :])
            return options
    return _with_full_names(build_parser(known).parse_args(arguments))


def _with_full_names(options: argparse.Namespace) -> argparse.Namespace:
    """Names of monitors: "unit:nginx" is unit:nginx.service, as systemctl reads the names of units."""
    for key in ("name", "names", "words"):
        written = getattr(options, key, None)
        if isinstance(written, str):
            setattr(options, key, _full_name(written))
        elif isinstance(written, list):
            setattr(options, key, [_full_name(name) for name in written])
    return options


def _full_name(name: str) -> str:
    try:
        return full_monitor_name(name)
    except ValueError:
        return name  # no unit: the daemon knows no such monitor
