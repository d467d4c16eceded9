"""`monitorctl complete`: what the completions of bash, zsh and fish ask at each tab."""

import argparse

from monitord.cli.command import Command
from monitord.cli.completion import complete_line
from monitord.cli.exits import EXIT_OK


def _run(options: argparse.Namespace) -> int:
    words: list[str] = options.arguments
    for line in complete_line(words[1:] if words[:1] == ["--"] else words, options.known):
        print(line)
    return EXIT_OK


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("words", metavar="WORD", nargs="*", help="those of the line, the last one unfinished")


COMPLETE = Command("complete", "what can stand next, for the shells", _run, _add_options, passes_on=True)
