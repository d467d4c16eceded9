"""`monitorctl explain`: the reasons for the state of monitors, and the next steps, in sentences."""

import argparse
import textwrap

from monitord.cli.client.requests import client_of, monitor_path, print_json, suggesting_names
from monitord.cli.command import Command
from monitord.cli.exit_status import EXIT_OK
from monitord.cli.output.terminal import max_columns
from monitord.cli.output.wording import LocalTimes
from monitord.cli.selection import add_selection_options, only_name, require_selection, selected
from monitord.explanation import sentences
from monitord.text import plain


def _run(options: argparse.Namespace) -> int:
    require_selection(options)
    client = client_of(options)
    only = only_name(options)
    explanations = []
    for name in [only] if only else selected(client, options):
        with suggesting_names(client, name):
            explanations.append(client.get(monitor_path(name, "explain")))
    if options.json:
        print_json(explanations[0] if only else {"monitors": explanations})
        return EXIT_OK
    columns = max_columns()
    for number, explanation in enumerate(explanations):
        if number:
            print()
        for sentence in map(plain, sentences(explanation, LocalTimes())):
            # Wrapped on terminals only: programs search lines.
            print(
                sentence
                if columns is None
                else textwrap.fill(sentence, columns, subsequent_indent="  ", break_long_words=False)
            )
    return EXIT_OK


EXPLAIN = Command(
    "explain",
    "Explain the state of monitors and their notifications",
    _run,
    add_selection_options,
    has_json_option=True,
)
