"""Root may read what the daemon may not."""

import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from monitord.cli.as_service import faults_as_service
from monitord.settings import read_settings

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")

MONITOR = '[monitors.a]\nurl = "http://127.0.0.1/"\n'


@pytest.fixture
def folder() -> Iterator[Path]:
    """pytest's own folders are for their owner alone."""
    with TemporaryDirectory(dir="/tmp") as name:
        Path(name).chmod(0o755)
        yield Path(name)


def written(path: Path, text: str, mode: int) -> Path:
    path.write_text(text)
    path.chmod(mode)
    return path


def faults_of(config: Path, user: str = "nobody") -> list[str]:
    return faults_as_service(partial(read_settings, config, resolve_secrets=False), user)


def test_what_everybody_may_read_has_no_fault(folder: Path) -> None:
    assert faults_of(written(folder / "a.toml", MONITOR, 0o644)) == []


def test_what_only_root_may_read_is_one_and_says_what_to_do(folder: Path) -> None:
    config = written(folder / "a.toml", f'include = ["{folder}/*.inc"]\n{MONITOR}', 0o644)
    hidden = written(folder / "b.inc", "", 0o600)
    (fault,) = faults_of(config)
    assert fault.startswith(f"{hidden}: cannot be read: Permission denied; ")
    assert "chgrp monitord" in fault
    hidden.chmod(0o644)
    config.chmod(0o600)
    (fault,) = faults_of(config)
    assert fault.startswith(f"{config}: cannot be read")
    assert os.geteuid() == 0


def test_where_there_is_no_such_user_nothing_is_asked(folder: Path) -> None:
    assert faults_of(written(folder / "a.toml", MONITOR, 0o600), "no-such-user") == []
