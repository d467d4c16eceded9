"""A check of the configuration as the user of the unit: in processes of their own, because there is no way back."""

import os
import pwd
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
    account_from_properties,
    drop_privileges_to_service_user,
    switch_to,
    unit_of_config,
    unit_properties,
)
from monitord.config import ConfigAccess
from tests.certificates import Authority

ROOT = Path(__file__).parents[3]
NOBODY_UID = 65534
SHARING_GROUP = 54321
NEEDS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become another user")
URL = 'url = "https://localhost/"\n'
CHECK = f"""\
import os, sys
from pathlib import Path
from monitord.cli.daemon.command import check_config
from monitord.cli.daemon.service_user import Account, switch_to
from monitord.config import ConfigAccess
if os.geteuid() == 0:
    switch_to(Account({NOBODY_UID}, {NOBODY_UID}, frozenset(map(int, sys.argv[3:]))))
sys.exit(check_config(Path(sys.argv[1]), ConfigAccess[sys.argv[2]]))
"""


@pytest.fixture
def etc() -> Iterator[Path]:
    """A directory that other users can read, unlike the directories of pytest."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        (Path(folder) / "monitord.d").mkdir(mode=0o755)
        yield Path(folder)


def write(path: Path, text: str, mode: int = 0o644) -> Path:
    path.write_text(text)
    path.chmod(mode)
    return path


def output_of(config: Path, *groups: int, access: ConfigAccess = ConfigAccess.SERVICE_USER) -> str:
    """The output of --check-config for a user without access to files of mode 0."""
    done = subprocess.run(
        [sys.executable, "-c", CHECK, str(config), access.name, *map(str, groups)],
        cwd=ROOT, env={"PATH": os.environ["PATH"], "SET": "1"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == (0 if ": valid; " in done.stdout else 1), done.stderr
    return done.stdout


def fix(output: str) -> None:
    """Run the command that the message advises."""
    advice = re.search(r"let .* read it: (chgrp \S+ \S+ && chmod \d+ \S+)", output)
    assert advice is not None, output
    subprocess.run(["sh", "-ec", advice[1]], check=True)


def test_drop_in_that_only_root_can_read_is_rejected_until_it_is_fixed(etc: Path) -> None:
    config = write(etc / "monitord.toml", "")
    dropin = write(etc / "monitord.d" / "a.toml", f"[monitors.a]\n{URL}", 0)
    output = output_of(config)
    assert f"{dropin}: cannot be read: Permission denied; let the user " in output
    fix(output)
    assert "valid; 1 monitor" in output_of(config)


def test_main_file_and_drop_in_directory_are_reported_alike(etc: Path) -> None:
    config = write(etc / "monitord.toml", f"[monitors.a]\n{URL}", 0)
    (etc / "monitord.d").chmod(0)
    output = output_of(config)
    assert f"{config}: cannot be read: Permission denied" in output
    assert f"{etc / 'monitord.d'}: cannot be listed: Permission denied" in output
    for line in output.splitlines():
        fix(line)
    assert (etc / "monitord.d").stat().st_mode & 0o777 == 0o750
    assert "valid; 1 monitor" in output_of(config)


@pytest.mark.parametrize("key", ["ca_file", "client_certificate_file", "client_key_file"])
def test_files_for_tls_are_read_as_the_service_would(etc: Path, key: str) -> None:
    issued = Authority().issue("localhost", directory=etc)
    files = {
        "ca_file": etc / "ca.pem",
        "client_certificate_file": issued.chain_file,
        "client_key_file": issued.key_file,
    }
    Authority().write(files["ca_file"])
    for name, file in files.items():
        file.chmod(0 if name == key else 0o644)
    keys = "".join(f'{name} = "{file}"\n' for name, file in files.items())
    config = write(etc / "monitord.toml", f"[monitors.a]\n{URL}{keys}")
    output = output_of(config)
    assert f"{files[key]} cannot be read: Permission denied; let the user " in output
    assert "valid" in output_of(config, access=ConfigAccess.OTHER_USER)
    fix(output)
    assert "valid" in output_of(config)


def test_files_of_secrets_are_read_as_the_service_would(etc: Path) -> None:
    secret = write(etc / "token", "a-secret", 0)
    config = write(
        etc / "monitord.toml", f'[monitors.a]\n{URL}headers = {{ X-Key = {{ file = "{secret}" }} }}\n'
    )
    output = output_of(config)
    assert f"the file {secret} cannot be read (Permission denied); let the user " in output
    assert "valid" in output_of(config, access=ConfigAccess.OTHER_USER)
    fix(output)
    assert "valid" in output_of(config)


def test_credentials_and_environment_are_checked_for_the_service_only(etc: Path) -> None:
    """The manager reads the file of a credential as root: that only root may read it is as it should be."""
    config = write(
        etc / "monitord.toml",
        f'[monitors.a]\n{URL}headers = {{ X-Key = {{ credential = "key" }}, X-Other = {{ env = "UNSET" }} }}\n',
    )
    assert "valid" in output_of(config)


@pytest.mark.parametrize("by_link", [False, True])
def test_file_in_an_unreadable_directory_is_reported_by_the_directory(etc: Path, *, by_link: bool) -> None:
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
            f"the user .* cannot enter {closed}: move the file to another directory", output_of(config)
        )
    finally:
        closed.chmod(0o700)


@NEEDS_ROOT
def test_supplementary_groups_grant_access(etc: Path) -> None:
    dropin = write(etc / "monitord.d" / "a.toml", f"[monitors.a]\n{URL}", 0o640)
    os.chown(dropin, 0, SHARING_GROUP)
    config = write(etc / "monitord.toml", "")
    assert f", or SupplementaryGroups={SHARING_GROUP} in a drop-in" in output_of(config)
    assert "valid; 1 monitor" in output_of(config, SHARING_GROUP)


@NEEDS_ROOT
def test_home_is_that_of_the_user() -> None:
    """With the home directory of root, libpq fails to read ~/.postgresql/postgresql.crt."""
    switch = (
        "import os; from monitord.cli.daemon.service_user import Account, switch_to;"
        f" switch_to(Account({NOBODY_UID}, {NOBODY_UID}, frozenset())); print(os.environ['HOME'])"
    )
    environment = {**os.environ, "HOME": "/root"}
    words = [sys.executable, "-c", switch]
    output = subprocess.run(
        words, cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    ).stdout
    assert output == f"{pwd.getpwuid(NOBODY_UID).pw_dir}\n"


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
def test_unit_is_found_by_its_configuration_file(config: str, unit: str | None) -> None:
    assert unit_of_config(Path(config)) == unit


def test_file_of_no_unit_is_checked_as_the_calling_user(tmp_path: Path) -> None:
    before = os.getresuid()
    assert drop_privileges_to_service_user(tmp_path / "monitord.toml") is ConfigAccess.OTHER_USER
    assert os.getresuid() == before


def test_account_includes_drop_ins_of_the_unit() -> None:
    account = account_from_properties(
        {"User": str(NOBODY_UID), "Group": "", "SupplementaryGroups": "0 54321"}
    )
    assert account is not None
    assert (account.uid, account.gid) == (NOBODY_UID, NOBODY_UID)
    assert {0, SHARING_GROUP, NOBODY_UID} <= account.groups


def test_unit_without_a_user_runs_as_root() -> None:
    account = account_from_properties({"User": "", "Group": "", "SupplementaryGroups": ""})
    assert account == Account(0, 0, frozenset({0}))


@pytest.mark.parametrize("missing", ["User", "Group", "SupplementaryGroups"])
def test_missing_user_or_group_has_no_account(missing: str) -> None:
    assert account_from_properties({"User": "root", missing: "no-such-name"}) is None


def properties_by(program: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> object:
    write(folder / "systemctl", f"#!/bin/sh\n{program}\n", 0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}/usr/bin{os.pathsep}/bin")
    return unit_properties("monitord.service")


def test_properties_are_read_from_the_service_manager(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = properties_by(
        'echo LoadState=loaded; echo User=kim; test "$3" = monitord.service', tmp_path, monkeypatch
    )
    assert output == {"LoadState": "loaded", "User": "kim"}


@pytest.mark.parametrize("program", ["echo not booted >&2; exit 1", "echo LoadState=not-found; echo User="])
def test_shipped_properties_without_a_service_manager(
    program: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert properties_by(program, tmp_path, monkeypatch) == AS_SHIPPED


def test_shipped_properties_agree_with_the_unit() -> None:
    unit = (ROOT / "systemd" / "monitord.service").read_text()
    for key, value in AS_SHIPPED.items():
        assert re.findall(f"^{key}=(.*)$", unit, re.MULTILINE) == [value]


def test_become_needs_root() -> None:
    if os.geteuid() == 0:
        pytest.skip("this is root")
    with pytest.raises(PermissionError):
        switch_to(Account(NOBODY_UID, NOBODY_UID, frozenset()))
