"""Every snippet of the README and the guide works: configurations are read, commands run, shown output is real."""

import re
import subprocess
from pathlib import Path

import pytest

from monitord.cli.command_line import parse
from monitord.cli.commands import COMMANDS
from monitord.config import ConfigAccess
from monitord.settings import read_settings
from monitord.sources.discovery.targets import parse_groups
from tests.conditions.vocabulary import compiled_for_a_type
from tests.docs.pages import (
    PAGES,
    ROOT,
    Block,
    blocks,
    daemon_config,
    mail_text,
    normalised,
    presentable,
    steps,
    write_source,
)
from tests.docs.world import world

BLOCKS = [block for page in PAGES for block in blocks(page)]
LANGUAGES = {"toml", "console", "text", "ini", "conditions", "json", "yaml"}


def of_language(language: str) -> list[Block]:
    return [block for block in BLOCKS if block.language == language]


def place(value: object) -> str | None:
    if isinstance(value, Block):
        return value.place
    return str(value.relative_to(ROOT)) if isinstance(value, Path) else None


@pytest.mark.parametrize("block", of_language("json"), ids=place)
def test_json_is_a_list_of_targets(block: Block) -> None:
    assert [found for found in parse_groups(block.text) if found.problem] == []


def test_every_block_is_of_a_kind_that_is_tested() -> None:
    assert [block.place for block in BLOCKS if block.language not in LANGUAGES] == []
    assert [block.place for block in of_language("text") if block.mark != "notification"] == []
    assert [block.place for block in of_language("yaml") if block.mark != "source"] == []
    assert {block.mark for block in BLOCKS} == {"", "daemon", "notification", "source"}


@pytest.mark.parametrize("block", of_language("toml"), ids=place)
def test_configuration_is_accepted(block: Block, tmp_path: Path) -> None:
    config = tmp_path / "monitord.toml"
    config.write_text(block.text)
    read_settings(config, access=ConfigAccess.OTHER_USER)


@pytest.mark.parametrize("block", of_language("conditions"), ids=place)
def test_conditions_compile(block: Block) -> None:
    for line in block.text.splitlines():
        compiled_for_a_type(line)


@pytest.mark.parametrize("block", of_language("ini"), ids=place)
def test_unit_file_has_options_of_systemd(block: Block, tmp_path: Path) -> None:
    service, socket = tmp_path / "job.service", tmp_path / "job.socket"
    service.write_text("[Service]\nExecStart=/bin/true\n")
    socket.write_text("[Socket]\nListenStream=/run/job\n")
    unit = socket if "[Socket]" in block.text else service
    unit.write_text(f"{block.text}\n{unit.read_text()}")
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(unit)], capture_output=True, text=True, check=False
    )
    assert [line for line in done.stderr.splitlines() if f"{unit}:" in line] == []


@pytest.mark.parametrize("block", of_language("console"), ids=place)
def test_command_has_the_syntax_of_the_shell(block: Block) -> None:
    for step in steps(block.text):
        done = subprocess.run(["bash", "-n", "-c", step.command], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, ""), step.command


@pytest.mark.parametrize("page", [page for page in PAGES if daemon_config(page)], ids=place)
async def test_output_is_what_the_page_shows(page: Path, tmp_path: Path) -> None:
    """If a text of the program has changed: make manual."""
    async with world(tmp_path, daemon_config(page) or "") as running:
        write_source(page, running.folder)
        for block in blocks(page):
            if block.mark == "notification":
                assert normalised(block.text) == normalised(presentable(mail_text(running.mail.mails[0]))), (
                    block.place
                )
            if block.language == "console":
                for step in steps(block.text):
                    output = presentable(await running.run(step.command))
                    assert normalised(step.output) == normalised(output), f"{block.place}: {step.command}"


def test_output_is_shown_only_where_it_is_compared() -> None:
    for block in of_language("console"):
        shows_output = any(step.output for step in steps(block.text))
        assert not shows_output or daemon_config(block.page), block.place


@pytest.mark.parametrize("page", PAGES, ids=place)
def test_commands_in_the_text_are_accepted(page: Path) -> None:
    for command in re.findall(r"`monitorctl ([a-z][^`]*)`", page.read_text()):
        parse(COMMANDS, command.replace("'", "").replace('"', "").split())
