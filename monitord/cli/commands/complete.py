"""`monitorctl complete`: the possible next words of a command line, for the completions of bash, zsh and fish.

The shells thereby complete the options of the installed release. Names are requested from the daemon with a short
timeout; without a response there are none, and errors are not shown.
"""

import argparse
import os
from collections.abc import Callable, Iterable, Sequence

from monitord.cli.client.connection import API, Client, DaemonAddress
from monitord.cli.client.requests import add_address_options, address_of, fetch_monitors
from monitord.cli.cluster_options import INIT, REMOVE
from monitord.cli.command import Command
from monitord.cli.command_line import actions_of, build_parser, command_index, command_parser, takes_value
from monitord.cli.exit_status import EXIT_OK
from monitord.cli.importing import FORMAT_NAMES
from monitord.cli.parsing import STATES, CommandLineParser
from monitord.cli.probe_options import SCHEMES, TYPES
from monitord.errors import ControlError
from monitord.model import Json
from monitord.paths import control_socket
from monitord.text import plain

TIMEOUT_S = 0.5

FILES, TOML_FILES = ":files", ":files toml"
"""Printed instead of candidates: the shell completes file names."""

Candidate = tuple[str, str]
"""A word and its description."""


class Candidates:
    """The possible values of an option or argument, by its metavar."""

    def __init__(self, client: Client, *, has_words: bool) -> None:
        """`has_words`: the command line has words after the command that are not options."""
        self._client = client
        self._has_words = has_words

    def lines(self, action: argparse.Action, command: str, prefix: str) -> list[str]:
        if action.choices is not None:
            return _lines(prefix, ((str(choice), "") for choice in action.choices))
        if action.metavar == "FILE":
            return [TOML_FILES if command in {"check-config", "cluster", "what-if"} else FILES]
        if action.metavar == "[FORMAT] FILE":
            # The first word can be a format; the shell completes a file that begins otherwise.
            return ([] if self._has_words else _lines(prefix, ((name, "") for name in FORMAT_NAMES))) or [
                FILES
            ]
        if action.metavar == "PATH":
            return [FILES]
        try:
            return _lines(prefix, self._candidates(str(action.metavar), command, prefix))
        except ControlError:
            return []

    def _candidates(  # noqa: C901, PLR0911, PLR0912 - a case for each kind
        self, kind: str, command: str, prefix: str
    ) -> Iterable[Candidate]:
        match kind:
            case "NAME":
                return self._names(prefix)
            case "[export] NAME":
                return [("export", "Print the whole stored history"), *self._names(prefix)]
            case "init | remove NODE":
                if self._has_words:
                    nodes = self._client.get(f"{API}/cluster")["nodes"]
                    return [(node["name"], node["status"].replace("_", " ")) for node in nodes]
                return [
                    (INIT, "Create or migrate the tables"),
                    (REMOVE, "Remove a node that has been shut down permanently"),
                ]
            case "TAG":
                return self._values_of_monitors(lambda monitor: monitor["tags"])
            case "TYPE" if command == "probe":
                return ((name, "") for name in TYPES)
            case "TYPE":
                return self._values_of_monitors(lambda monitor: [monitor["type"]])
            case "STATE":
                return ((state, "") for state in STATES)
            case "ID":
                return [
                    (
                        silence["id"],
                        plain(silence["comment"] or ", ".join(silence["names"] + silence["patterns"])),
                    )
                    for silence in self._client.get(f"{API}/silences")["silences"]
                ]
            case "PAGE":
                return ((name, "") for name in self._client.get(f"{API}/posts")["pages"])
            case "POST":
                return [
                    (post["id"], plain(post["title"])) for post in self._client.get(f"{API}/posts")["posts"]
                ]
            case "NOTIFIER":
                notifiers = self._client.get(f"{API}/notifiers")["notifiers"]
                return [(notifier["name"], notifier["type"]) for notifier in notifiers]
            case "URL|TYPE:ARGS":
                return ((scheme, "") for scheme in SCHEMES)
            case _:
                return []

    def _names(self, prefix: str) -> Iterable[Candidate]:
        monitors = fetch_monitors(
            self._client, [("name", f"{prefix}*")] if prefix.isascii() and prefix else []
        )
        return [(monitor["name"], monitor["state"]) for monitor in monitors]

    def _values_of_monitors(self, values: Callable[[Json], Sequence[str]]) -> Iterable[Candidate]:
        distinct = {value for monitor in fetch_monitors(self._client) for value in values(monitor)}
        return [(value, "") for value in sorted(distinct)]


def complete_line(words: Sequence[str], commands: Sequence[Command]) -> list[str]:
    """Return a line for each candidate of the last word, or FILES. The other words precede it on the command line."""
    *before, prefix = words or [""]
    index = command_index(before)
    if index is None:
        return _of_monitorctl(before, prefix, commands)
    command = next((command for command in commands if command.name == before[index]), None)
    if command is None:
        return []
    actions, arguments = actions_of(command_parser(command)), before[index + 1 :]
    positional_count, at = 0, 0  # the words that are neither options nor their values
    while at < len(arguments):
        word = arguments[at]
        positional_count += not word.startswith("-")
        at += 1 if _option_without_value(actions, [word]) is None else 2
    candidates = Candidates(_client_of(before[:index]), has_words=positional_count > 0)
    option = _option_without_value(actions, arguments)
    if option is not None:
        return candidates.lines(option, command.name, prefix)
    if prefix.startswith("-"):
        return _option_lines(actions, prefix)
    positionals = [action for action in actions if not action.option_strings]
    is_repeated = bool(positionals) and positionals[-1].nargs in {"*", "+"}
    if positional_count >= len(positionals) and not is_repeated:
        return []
    return candidates.lines(positionals[min(positional_count, len(positionals) - 1)], command.name, prefix)


def _of_monitorctl(before: Sequence[str], prefix: str, commands: Sequence[Command]) -> list[str]:
    actions = actions_of(build_parser(commands))
    option = _option_without_value(actions, before)
    if option is not None:
        return [] if option.metavar == "URL" else [FILES]
    if prefix.startswith("-"):
        return _option_lines(actions, prefix)
    return _lines(prefix, ((command.name, command.summary) for command in commands))


def _option_without_value(actions: Sequence[argparse.Action], words: Sequence[str]) -> argparse.Action | None:
    """The last word, if it is an option whose value is the next word."""
    last = words[-1] if words else ""
    return next((action for action in actions if last in action.option_strings and takes_value(action)), None)


def _option_lines(actions: Sequence[argparse.Action], prefix: str) -> list[str]:
    """The long names of options."""
    options = [action for action in actions if action.option_strings]
    return _lines(prefix, ((max(option.option_strings, key=len), option.help or "") for option in options))


def _client_of(words: Sequence[str]) -> Client:
    """Return a client for the daemon at the address in the words before the command, or at the default address."""
    parser = CommandLineParser(add_help=False, exit_on_error=False)
    add_address_options(parser)
    try:
        options, _ = parser.parse_known_args(words)
        address = address_of(options)
    except (argparse.ArgumentError, ControlError):
        address = DaemonAddress(control_socket(os.environ))
    return Client(address, timeout_s=TIMEOUT_S)


def _lines(prefix: str, candidates: Iterable[Candidate]) -> list[str]:
    return [
        f"{word}\t{description}" if description else word
        for word, description in candidates
        if word.startswith(prefix)
    ]


def _run(options: argparse.Namespace) -> int:
    words: list[str] = options.arguments
    for line in complete_line(words[1:] if words[:1] == ["--"] else words, options.commands):
        print(line)
    return EXIT_OK


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("words", metavar="WORD", nargs="*", help="Words of the command line")


COMPLETE = Command(
    "complete",
    "Print the completions of a command line, for shells",
    _run,
    _add_options,
    forwards_arguments=True,
)
