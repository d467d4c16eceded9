"""`monitorctl explain`: why a monitor stands as it does, and what comes next, in sentences."""

import argparse
import textwrap

from monitord.cli.client.asking import client_of, monitor_target, naming, print_json
from monitord.cli.command import Command
from monitord.cli.output.terminal import room
from monitord.cli.output.wording import LocalTimes
from monitord.cli.selection import add_selection, only_name, require_selection, selected
from monitord.explanation import sentences
from monitord.model import Json
from monitord.text import plain


def _run(options: argparse.Namespace) -> int:
    require_selection(options)
    client = client_of(options)
    name = only_name(options)
    explanations = []
    for one in [name] if name else selected(client, options):
        with naming(client, one):
            explanations.append(client.get(monitor_target(one, "explain")))
    if options.json:
        print_json(explanations[0] if name else {"monitors": explanations})
        return 0
    for number, explanation in enumerate(explanations):
        if number:
            print()
        _print(explanation)
    return 0


def _print(explanation: Json) -> None:
    columns = room()
    for sentence in map(plain, sentences(explanation, LocalTimes())):
        # Wrapped for a terminal only: programs search lines.
        print(
            sentence
            if columns is None
            else textwrap.fill(sentence, columns, subsequent_indent="  ", break_long_words=False)
        )


EXPLAIN = Command(
    "explain", "why a monitor stands as it does, and what comes next", _run, add_selection, gives_json=True
)
