"""The manual holds what the program has: every option, every reason, every command."""

import re
from pathlib import Path

import pytest

from monitord.config import read_document
from monitord.errors import ConfigError
from monitord.model import Reason
from monitord.monitors import MONITOR_TYPES
from monitord.settings import read_settings

MANUAL = Path(__file__).parent.parent / "docs" / "man"
TOML = (MANUAL / "monitord.toml.5").read_text()


def section(title: str) -> str:
    """The text under a heading of the manual, up to the next one."""
    match = re.search(rf"^\.SS \"?{re.escape(title)}.*?$(.*?)^\.S[SH]", TOML, re.MULTILINE | re.DOTALL)
    assert match is not None, f"no section {title!r}"
    return match[1]


def described(text: str) -> set[str]:
    """Keys that have a paragraph of their own."""
    return set(re.findall(r"^\.TP\n\.B ([a-z_]+)$", text, re.MULTILINE))


@pytest.mark.parametrize("name", MONITOR_TYPES)
def test_every_option_of_every_type_is_in_the_manual(tmp_path: Path, name: str) -> None:
    config = tmp_path / "monitord.toml"
    config.write_text("")
    table = read_document(config).root
    MONITOR_TYPES[name].read_options(table)
    assert described(section(f"Type {name}")) == set(table._known) - described(section("[monitors.NAME]"))


def test_every_reason_is_in_the_manual_in_its_order() -> None:
    table = TOML.split(".SH REASONS")[1]
    assert re.findall(r"^\\fB([a-z_]+)\\fR@", table, re.MULTILINE) == [reason.value for reason in Reason]


@pytest.mark.parametrize("name", MONITOR_TYPES)
def test_every_fact_of_every_type_is_in_the_manual(name: str) -> None:
    text = section(f"Type {name}")
    for fact in MONITOR_TYPES[name].vocabulary.facts:
        assert re.search(rf"\b{re.escape(fact)}\b", text), f"type {name}: fact {fact}"


KEYS = {
    "log": {"level", "checks"},
    "status": {"socket"},
    "network": {"blind_share", "canary"},
    "limits": {"max_concurrent_checks", "max_concurrent_per_host", "max_concurrent_children"},
}


@pytest.mark.parametrize("name", KEYS)
def test_every_key_of_the_other_sections_is_in_the_manual(tmp_path: Path, name: str) -> None:
    config = tmp_path / "monitord.toml"
    assert described(section(f"[{name}]")) == KEYS[name]
    for key in KEYS[name]:
        config.write_text(f"[{name}]\n{key} = {{}}\n")
        with pytest.raises(ConfigError, match=rf"{name}\.{key}: (?!unknown)"):
            read_settings(config)
