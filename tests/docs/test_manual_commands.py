"""The commands in the manual pages and the example files are accepted by the real command line."""

import re
import shlex
from pathlib import Path

import pytest

from monitord.cli.command_line import parse
from monitord.cli.commands import COMMANDS
from tests.docs.pages import ROOT

FILES = [
    *sorted((ROOT / "docs" / "man").glob("*.[158]")),
    *sorted((ROOT / "etc" / "examples").glob("*.toml")),
]
COMMAND = re.compile(r"(?:^|[\"/ +|;])monitorctl (?P<words>[a-z][^\n;|&>#]*)", re.MULTILINE)
NO_COMMAND = {"is", "then", "and", "with", "query"}
"""Words that follow the name of the program in a sentence."""


def commands(file: Path) -> list[str]:
    text = file.read_text()
    for escape, character in (("\\-", "-"), ("\\(aq", "'"), ("\\(dq", '"'), ("\\~", " ")):
        text = text.replace(escape, character)
    text = re.sub(r"^\.(?:SY|SH|SS|TH|OP) .*$", "", text, flags=re.MULTILINE)
    text = re.sub(
        r'^(\.[A-Z]+) "(.*?)" ?(?:[.,;]|$)', r"\1 \2", text, flags=re.MULTILINE
    )  # an argument with spaces
    found = (match["words"].strip().rstrip(".,") for match in COMMAND.finditer(text))
    return [words for words in found if words.split()[0] not in NO_COMMAND]


CASES = sorted({(file.name, words) for file in FILES for words in commands(file)})


def test_commands_are_found() -> None:
    assert len(CASES) > 20


@pytest.mark.parametrize(("file", "words"), CASES)
def test_command_is_accepted(file: str, words: str) -> None:
    del file
    if words.startswith(("probe ", "what-if ")):
        return  # read by another process: tests/cli/test_probe.py, tests/cli/test_what_if.py
    if " " in words:
        parse(COMMANDS, shlex.split(words.replace("$?", "0")))
    else:
        assert words in {command.name for command in COMMANDS}
