"""A check of the configuration as the user of the unit: in processes of their own, because there is no way back."""

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from monitord.cli.daemon.service_user import (
    AS_SHIPPED,
    Account,
    account_by,
    become,
    properties_of,
    read_as_service,
    unit_reading,
)
from monitord.config import Reader
from tests.certificates import Authority

ROOT = Path(__file__).parents[3]
NOBODY = 65534
SHARING_GROUP = 54321
NEEDS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become another user")
URL = 'url = "https://localhost/"\n'
CHECK = f"""\
import os, sys
from pathlib import Path
from monitord.cli.daemon.command import check_config
from monitord.cli.daemon.service_user import Account, become
from monitord.config import Reader
if os.geteuid() == 0:
    become(Account({NOBODY}, {NOBODY}, frozenset(map(int, sys.argv[3:]))))
sys.exit(check_config(Path(sys.argv[1]), Reader[sys.argv[2]]))
"""


@pytest.fixture
def etc() -> Iterator[Path]:
    """Where another user may look; pytest's own folders are for the user of the test alone."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        (Path(folder) / "monitord.d").mkdir(mode=0o755)
        yield Path(folder)


def write(path: Path, text: str, mode: int = 0o644) -> Path:
    path.write_text(text)
    path.chmod(mode)
    return path


def said_of(config: Path, *groups: int, reader: Reader = Reader.STAND_IN) -> str:
    """The output of --check-config for a user without access to files of mode 0."""
    done = subprocess.run(
        [sys.executable, "-c", CHECK, str(config), reader.name, *map(str, groups)],
        cwd=ROOT, env={"PATH": os.environ["PATH"], "SET": "1"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == (0 if ": valid; " in done.stdout else 1), done.stderr
    return done.stdout


def mend(said: str) -> None:
    """Do what the fix says, as it says it."""
    told = re.search(r"let .* read it: (chgrp \S+ \S+ && chmod \d+ \S+)", said)
    assert told is not None, said
    subprocess.run(["sh", "-ec", told[1]], check=True)


def test_a_dropin_that_only_root_may_read_is_refused_until_the_fix_is_done(etc: Path) -> None:
    config = write(etc / "monitord.toml", "")
    dropin = write(etc / "monitord.d" / "a.toml", f"[monitors.a]\n{URL}", 0)
    said = said_of(config)
    assert f"{dropin}: cannot be read: Permission denied; let the user " in said
    mend(said)
    assert "valid; 1 monitor" in said_of(config)


def test_the_main_file_and_the_folder_of_dropins_are_told_alike(etc: Path) -> None:
    config = write(etc / "monitord.toml", f"[monitors.a]\n{URL}", 0)
    (etc / "monitord.d").chmod(0)
    said = said_of(config)
    assert f"{config}: cannot be read: Permission denied" in said
    assert f"{etc / 'monitord.d'}: cannot be listed: Permission denied" in said
    for line in said.splitlines():
        mend(line)
    assert (etc / "monitord.d").stat().st_mode & 0o777 == 0o750
    assert "valid; 1 monitor" in said_of(config)


@pytest.mark.parametrize("key", ["ca_file", "client_certificate", "client_key"])
def test_files_for_tls_are_read_as_the_service_would(etc: Path, key: str) -> None:
    issued = Authority().issue("localhost", directory=etc)
    files = {
        "ca_file": etc / "ca.pem",
        "client_certificate": issued.chain_file,
        "client_key": issued.key_file,
    }
    Authority().write(files["ca_file"])
    for name, file in files.items():
        file.chmod(0 if name == key else 0o644)
    keys = "".join(f'{name} = "{file}"\n' for name, file in files.items())
    config = write(etc / "monitord.toml", f"[monitors.a]\n{URL}{keys}")
    said = said_of(config)
    assert f"{files[key]} cannot be read: Permission denied; let the user " in said
    assert "valid" in said_of(config, reader=Reader.OUTSIDER)
    mend(said)
    assert "valid" in said_of(config)


def test_files_of_secrets_are_read_as_the_service_would(etc: Path) -> None:
    secret = write(etc / "token", "a-secret", 0)
    config = write(
        etc / "monitord.toml", f'[monitors.a]\n{URL}headers = {{ X-Key = {{ file = "{secret}" }} }}\n'
    )
    said = said_of(config)
    assert f"the file {secret} cannot be read (Permission denied); let the user " in said
    assert "valid" in said_of(config, reader=Reader.OUTSIDER)
    mend(said)
    assert "valid" in said_of(config)


def test_credentials_and_environment_are_the_service_s_alone(etc: Path) -> None:
    """The manager reads the file of a credential as root: that only root may read it is as it should be."""
    config = write(
        etc / "monitord.toml",
        f'[monitors.a]\n{URL}headers = {{ X-Key = {{ credential = "key" }}, X-Other = {{ env = "UNSET" }} }}\n',
    )
    assert "valid" in said_of(config)


@pytest.mark.parametrize("by_link", [False, True])
def test_a_file_in_a_closed_folder_is_told_by_the_folder(etc: Path, *, by_link: bool) -> None:
    closed = etc / "private"
    closed.mkdir()
    file = write(closed / "token", "a-secret")
    if by_link:
        (etc / "link").symlink_to(file)
        file = etc / "link"
    closed.chmod(0)
    config = write(
        etc / "monitord.toml", f'[monitors.a]\n{URL}headers = {{ X-Key = {{ file = "{file}" }} }}\n'
    )
    try:
        assert re.search(
            f"the user .* may not enter {closed}: move the file to another directory", said_of(config)
        )
    finally:
        closed.chmod(0o700)


@NEEDS_ROOT
def test_supplementary_groups_count(etc: Path) -> None:
    dropin = write(etc / "monitord.d" / "a.toml", f"[monitors.a]\n{URL}", 0o640)
    os.chown(dropin, 0, SHARING_GROUP)
    config = write(etc / "monitord.toml", "")
    assert f", or SupplementaryGroups={SHARING_GROUP} in a drop-in" in said_of(config)
    assert "valid; 1 monitor" in said_of(config, SHARING_GROUP)


@pytest.mark.parametrize(
    ("config", "unit"),
    [
        pytest.param("/etc/monitord.toml", "monitord.service", id="the_service"),
        pytest.param("/etc/../etc/monitord.toml", "monitord.service", id="in_other_words"),
        pytest.param("/etc/monitord/branch.toml", "monitord@branch.service", id="a_further_one"),
        pytest.param("/etc/monitord/branch.toml.old", None, id="no_configuration"),
        pytest.param("/root/new.toml", None, id="elsewhere"),
    ],
)
def test_the_unit_is_known_by_the_file_that_it_reads(config: str, unit: str | None) -> None:
    assert unit_reading(Path(config)) == unit


def test_a_file_that_no_unit_reads_is_checked_as_whoever_asks(tmp_path: Path) -> None:
    before = os.getresuid()
    assert read_as_service(tmp_path / "monitord.toml") is Reader.OUTSIDER
    assert os.getresuid() == before


def test_the_account_is_that_of_the_unit_with_its_dropins() -> None:
    account = account_by({"User": str(NOBODY), "Group": "", "SupplementaryGroups": "0 54321"})
    assert account is not None
    assert (account.uid, account.gid) == (NOBODY, NOBODY)
    assert {0, SHARING_GROUP, NOBODY} <= account.groups


def test_a_unit_without_a_user_runs_as_root() -> None:
    account = account_by({"User": "", "Group": "", "SupplementaryGroups": ""})
    assert account == Account(0, 0, frozenset({0}))


@pytest.mark.parametrize("missing", ["User", "Group", "SupplementaryGroups"])
def test_a_user_or_group_that_does_not_exist_tells_nothing(missing: str) -> None:
    assert account_by({"User": "root", missing: "no-such-name"}) is None


def properties_by(program: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> object:
    write(folder / "systemctl", f"#!/bin/sh\n{program}\n", 0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}/usr/bin{os.pathsep}/bin")
    return properties_of("monitord.service")


def test_the_manager_says_as_whom_the_unit_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = properties_by(
        'echo LoadState=loaded; echo User=kim; test "$3" = monitord.service', tmp_path, monkeypatch
    )
    assert said == {"LoadState": "loaded", "User": "kim"}


@pytest.mark.parametrize("program", ["echo not booted >&2; exit 1", "echo LoadState=not-found; echo User="])
def test_without_a_manager_it_runs_as_shipped(
    program: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert properties_by(program, tmp_path, monkeypatch) == AS_SHIPPED


def test_what_is_taken_for_shipped_is_what_the_unit_says() -> None:
    unit = (ROOT / "systemd" / "monitord.service").read_text()
    for key, value in AS_SHIPPED.items():
        assert re.findall(f"^{key}=(.*)$", unit, re.MULTILINE) == [value]


def test_become_is_for_root_alone() -> None:
    if os.geteuid() == 0:
        pytest.skip("this is root")
    with pytest.raises(PermissionError):
        become(Account(NOBODY, NOBODY, frozenset()))
