"""What can stand next on a command line: for the completions of the shells, which ask `monitorctl complete`.

So the shells know what this very release knows. The daemon is asked for names with little patience, and when it does
not answer there are none: a completion that complains is worse than one that is silent.
"""

import argparse
import os
from collections.abc import Callable, Iterable, Sequence

from monitord.cli.client.asking import add_place, monitors, place_of
from monitord.cli.client.connection import API, Client, Place
from monitord.cli.command import Command
from monitord.cli.command_line import actions_of, build_parser, command_index, command_parser, takes_value
from monitord.cli.parsing import STATES, Parser
from monitord.cli.probe_options import SCHEMES, TYPES
from monitord.errors import ControlError
from monitord.model import Json
from monitord.paths import socket_to_ask
from monitord.text import plain

PATIENCE_S = 0.5

FILES, TOML_FILES = ":files", ":files toml"
"""Instead of candidates: the shell knows files better."""

Ask = Callable[[str], Iterable[tuple[str, str]]]
"""Candidates for what begins so, each with a description."""


class Candidates:
    """What an option's value or an argument can be."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def of_value(self, action: argparse.Action, command: str, begin: str) -> list[str]:
        kind = action.metavar
        if action.choices is not None:
            return _fitting(begin, ((str(one), "") for one in action.choices))
        if kind == "FILE":
            return [TOML_FILES if command == "check-config" else FILES]
        if kind == "PATH":
            return [FILES]
        ask = self._ask(str(kind), command)
        try:
            return [] if ask is None else _fitting(begin, ask(begin))
        except ControlError:
            return []

    def _ask(self, kind: str, command: str) -> Ask | None:
        if kind == "TYPE" and command == "probe":
            return lambda _: ((one, "") for one in TYPES)
        asks: dict[str, Ask] = {
            "NAME": self._names,
            "[export] NAME": lambda begin: [("export", "print all that is kept"), *self._names(begin)],
            "TAG": lambda _: self._of_monitors(lambda one: one["tags"]),
            "TYPE": lambda _: self._of_monitors(lambda one: [one["type"]]),
            "STATE": lambda _: ((state, "") for state in STATES),
            "ID": self._silences,
            "NOTIFIER": self._notifiers,
            "URL|TYPE:ARGS": lambda _: ((one, "") for one in SCHEMES),
        }
        return asks.get(kind)

    def _names(self, begin: str) -> Iterable[tuple[str, str]]:
        found = monitors(self._client, [("name", f"{begin}*")] if begin.isascii() and begin else [])
        return [(one["name"], one["state"]) for one in found]

    def _of_monitors(self, take: Callable[[Json], Sequence[str]]) -> Iterable[tuple[str, str]]:
        return [
            (one, "") for one in sorted({word for found in monitors(self._client) for word in take(found)})
        ]

    def _notifiers(self, _: str) -> Iterable[tuple[str, str]]:
        found = self._client.get(f"{API}/notifiers")["notifiers"]
        return [(one["name"], one["type"]) for one in found]

    def _silences(self, _: str) -> Iterable[tuple[str, str]]:
        found = self._client.get(f"{API}/silences")["silences"]
        return [
            (one["id"], plain(one["comment"] or ", ".join(one["names"] + one["patterns"]))) for one in found
        ]


def complete_line(words: Sequence[str], known: Sequence[Command]) -> list[str]:
    """A line for each candidate, or where files are wanted. The last of `words` is the one that is being written."""
    *before, begin = words or [""]
    index = command_index(before)
    if index is None:
        return _of_monitorctl(before, begin, known)
    command = next((one for one in known if one.name == before[index]), None)
    if command is None:
        return []
    candidates = Candidates(_client_of(before[:index]))
    parser = command_parser(command)
    return _of_command(candidates, parser, command.name, [*before[index + 1 :], begin])


def _of_monitorctl(before: Sequence[str], begin: str, known: Sequence[Command]) -> list[str]:
    actions = actions_of(build_parser(known))
    valued = _waiting(actions, before)
    if valued is not None:
        return [] if valued.metavar == "URL" else [FILES]
    if begin.startswith("-"):
        return _options(actions, begin)
    return _fitting(begin, ((one.name, one.about) for one in known))


def _of_command(
    candidates: "Candidates", parser: argparse.ArgumentParser, command: str, words: Sequence[str]
) -> list[str]:
    *before, begin = words
    actions = actions_of(parser)
    valued = _waiting(actions, before)
    if valued is not None:
        return candidates.of_value(valued, command, begin)
    if begin.startswith("-"):
        return _options(actions, begin)
    wanted = _positional(actions, before)
    return [] if wanted is None else candidates.of_value(wanted, command, begin)


def _waiting(actions: Sequence[argparse.Action], before: Sequence[str]) -> argparse.Action | None:
    """The option whose value comes next."""
    last = before[-1] if before else ""
    return next((one for one in actions if last in one.option_strings and takes_value(one)), None)


def _positional(actions: Sequence[argparse.Action], before: Sequence[str]) -> argparse.Action | None:
    """The argument that comes next; one that may be repeated comes always."""
    given, index = 0, 0
    while index < len(before):
        word = before[index]
        given += not word.startswith("-")
        index += 1 if _waiting(actions, [word]) is None else 2
    positionals = [one for one in actions if not one.option_strings]
    if not positionals:
        return None
    last = positionals[-1]
    if given < len(positionals):
        return positionals[given]
    return last if last.nargs in {"*", "+"} else None


def _options(actions: Sequence[argparse.Action], begin: str) -> list[str]:
    """The long name of each that begins so."""
    names = ((max(one.option_strings, key=len), one.help or "") for one in actions if one.option_strings)
    return _fitting(begin, names)


def _client_of(global_words: Sequence[str]) -> Client:
    """Whom the line asks, as far as that stands in it."""
    parser = Parser(add_help=False, exit_on_error=False)
    add_place(parser)
    try:
        options, _ = parser.parse_known_args(global_words)
        place = place_of(options)
    except (argparse.ArgumentError, ControlError):
        place = Place(socket_to_ask(os.environ))
    return Client(place, timeout_s=PATIENCE_S)


def _fitting(begin: str, candidates: Iterable[tuple[str, str]]) -> list[str]:
    return [f"{word}\t{about}" if about else word for word, about in candidates if word.startswith(begin)]
