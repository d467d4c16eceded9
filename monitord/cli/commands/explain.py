"""`monitorctl explain`: why a monitor stands as it does, and what comes next, in sentences."""

import argparse
import textwrap

from monitord.cli.asking import client_of, monitor_target, naming, print_json
from monitord.cli.command import Command, add_name
from monitord.cli.terminal import width
from monitord.cli.wording import in_local_time, plain


def _run(options: argparse.Namespace) -> int:
    client = client_of(options)
    with naming(client, options.name):
        explanation = client.get(monitor_target(options.name, "explain"))
    if options.json:
        print_json(explanation)
        return 0
    for sentence in explanation["sentences"]:
        print(
            textwrap.fill(
                plain(in_local_time(sentence)), width(), subsequent_indent="  ", break_long_words=False
            )
        )
    return 0


EXPLAIN = Command(
    "explain", "why a monitor stands as it does, and what comes next", _run, add_name, gives_json=True
)
