"""Read configurations that a test writes as text, by the reader of the daemon."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import pytest

from monitord.config import Table, read_document
from monitord.errors import ConfigError
from monitord.monitors import Monitor
from monitord.settings import Settings, read_settings

OptionsT = TypeVar("OptionsT")

AssertErrors = Callable[[Path, str], None]
"""See the fixture `assert_errors`."""

WRONG_FOR_EVERY_KEY = "2020-01-01"
"""A date: no key of a monitor or a notifier has such a value."""


def settings_of(tmp_path: Path, text: str) -> Settings:
    config = tmp_path / "monitord.toml"
    config.write_text(text)
    return read_settings(config)


def errors_of(tmp_path: Path, text: str) -> list[str]:
    """Read a configuration that must be rejected."""
    with pytest.raises(ConfigError) as rejected:
        settings_of(tmp_path, text)
    return [str(error).removeprefix(f"{tmp_path}/") for error in rejected.value.diagnostics]


def options_of(
    monitor_type: type[Monitor[OptionsT]],
    tmp_path: Path,
    keys: str,
    *,
    environment: Mapping[str, str] | None = None,
) -> OptionsT:
    """Read only the options of a type. Raises ConfigError."""
    config = tmp_path / "monitord.toml"
    config.write_text(f"[monitors.one]\n{keys}\n")
    document = read_document(config, environment=environment)
    table = document.root.named("monitors")["one"]
    table.text("type", default=None)
    options = monitor_type.read_options(table)
    document.check()
    return options


def keys_of(read: Callable[[Table], Any], tmp_path: Path) -> list[str]:
    """List the keys that a reader of options asks for."""
    config = tmp_path / "monitord.toml"
    config.write_text("")
    table = read_document(config).root
    read(table)
    return sorted(table._known)
