"""Broken configurations as files, each next to the exact error text."""

import re
from enum import Enum
from pathlib import Path

import pytest

from monitord.config import Table, read_document
from monitord.errors import ConfigError
from tests.configurations import AssertErrors

BROKEN = Path(__file__).with_name("broken")


class Level(Enum):
    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"


def read_everything(root: Table) -> None:
    """Reads as the sections of the program do, with every getter there is."""
    root.table("log").choice("level", Level, default=Level.INFO)
    defaults = root.table("defaults")
    for table in root.named("monitors", over=defaults).values():
        read_monitor(table)
    for route in root.table("alerts").tables("routes"):
        route.texts("notify")
        route.duration("after", default=None)


def read_monitor(table: Table) -> None:
    table.value("url", parse_url, default=None, required=True)
    check_every = table.duration("check_every", default=30.0, minimum=0.1)
    if table.duration("timeout", default=5.0) > check_every:
        table.error("timeout", "is longer than check_every", "make it shorter")
    table.text("method", default="GET")
    table.choice("ip_family", ["any", 4, 6], default="any")
    table.size("max_body_size", default=1024, maximum=1024**3)
    table.integer("fail_after", default=2, minimum=1, maximum=1000)
    table.number("share", default=0.5, minimum=0, maximum=1)
    table.flag("verify", default=True)
    table.texts("tags", default=())
    table.texts("depends_on", default=())
    table.values("up_when", parse_condition, default=())
    table.mapping("labels", default={})
    table.secrets("headers", default={})
    table.secret("token", default=None)


def parse_url(text: str) -> str:
    if not re.fullmatch(r"https?://\S+", text):
        raise ValueError("is not a URL; write https://…")
    return text


def parse_condition(text: str) -> str:
    if " == " not in text:
        raise ValueError("is not a condition; write status == 200")
    return text


@pytest.mark.parametrize("config", sorted(BROKEN.glob("*.toml")), ids=lambda path: path.stem)
def test_broken_configuration_is_rejected_with_exactly_these_errors(
    config: Path, assert_errors: AssertErrors
) -> None:
    document = read_document(config, environment={})
    read_everything(document.root)
    with pytest.raises(ConfigError) as rejected:
        document.check()
    assert_errors(config, str(rejected.value))


def test_each_error_file_has_its_configuration() -> None:
    assert {path.stem for path in BROKEN.glob("*.txt")} == {path.stem for path in BROKEN.glob("*.toml")}


def test_no_error_shows_a_secret() -> None:
    assert "hunter2" in "".join(path.read_text() for path in BROKEN.glob("*.toml"))
    assert not [path.name for path in BROKEN.glob("*.txt") if "hunter2" in path.read_text()]
