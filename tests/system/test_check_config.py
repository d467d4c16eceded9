"""`monitorctl check-config` run by root gives the result of the service, which may read less than root."""

import re
from collections.abc import Iterator

import pytest

from tests.system.bed import Completed
from tests.system.installed import WATCHING, Installed

DROP_IN = "/etc/monitord.d/more.toml"
MORE = WATCHING.replace("monitors.web", "monitors.more")
SECRET = "/etc/kept-for-tests"
UNIT_DROP_IN = "/etc/systemd/system/monitord.service.d/test.conf"
WITH_SECRET = MORE + f'headers = {{ X-Key = {{ file = "{SECRET}" }} }}\n'
WITH_CREDENTIAL = MORE + 'headers = { X-Key = { credential = "key" } }\n'


def check(monitord: Installed) -> Completed:
    return monitord.machine.run("monitorctl", "check-config", ok=False)


def apply_fix(monitord: Installed, output: str) -> None:
    """Run the command that the error suggests."""
    fix = re.search(r"let the user monitord read it: (chgrp monitord \S+ && chmod \d+ [^\s,]+)", output)
    assert fix is not None, output
    monitord.machine.shell(fix[1])


@pytest.fixture(autouse=True)
def tidy(monitord: Installed) -> Iterator[None]:
    yield
    monitord.machine.shell(f"rm -f {DROP_IN} {SECRET} {UNIT_DROP_IN}; systemctl daemon-reload")


def test_file_that_only_root_may_read_is_rejected_by_check_config_and_the_service(
    monitord: Installed,
) -> None:
    monitord.machine.write(DROP_IN, MORE, 0o600)
    result = check(monitord)
    assert result.returncode == 1
    assert f"{DROP_IN}: cannot be read: Permission denied" in result.stdout
    assert monitord.systemctl("reload", "monitord", ok=False).returncode == 1
    apply_fix(monitord, result.stdout)
    assert check(monitord).returncode == 0
    monitord.systemctl("reload", "monitord")
    monitord.await_check("more")


def test_service_suggests_the_same_fix(monitord: Installed) -> None:
    monitord.machine.write(DROP_IN, MORE, 0o600)
    result = monitord.machine.run("monitorctl", "reload", ok=False)
    assert result.returncode == 1
    apply_fix(monitord, result.stderr.splitlines()[0])
    monitord.systemctl("reload", "monitord")


def test_service_can_be_a_member_of_the_group_of_a_secret(monitord: Installed) -> None:
    """As with ssl-cert, whose files several services read."""
    monitord.machine.write(DROP_IN, WITH_SECRET)
    monitord.machine.write(SECRET, "a-secret", 0o640)
    monitord.machine.shell(f"groupadd --force keepers; chgrp keepers {SECRET}")
    result = check(monitord)
    assert result.returncode == 1
    assert f"the file {SECRET} cannot be read (Permission denied)" in result.stdout
    assert "or SupplementaryGroups=keepers in a drop-in" in result.stdout
    assert monitord.systemctl("restart", "monitord", ok=False).returncode == 1
    monitord.machine.write(UNIT_DROP_IN, "[Service]\nSupplementaryGroups=keepers\n")
    monitord.systemctl("daemon-reload")
    assert check(monitord).returncode == 0
    monitord.systemctl("restart", "monitord")
    monitord.await_check("more")


def test_service_manager_reads_the_file_of_a_credential(monitord: Installed) -> None:
    monitord.machine.write(DROP_IN, WITH_CREDENTIAL)
    monitord.machine.write(SECRET, "a-secret", 0o600)
    monitord.machine.write(UNIT_DROP_IN, f"[Service]\nLoadCredential=key:{SECRET}\n")
    monitord.systemctl("daemon-reload")
    assert check(monitord).returncode == 0
    monitord.systemctl("restart", "monitord")
    monitord.await_check("more")


def test_configuration_outside_etc_is_read_with_the_rights_of_root(monitord: Installed) -> None:
    monitord.machine.write("/root/new.toml", MORE, 0o600)
    assert "valid" in monitord.machine.run("monitorctl", "check-config", "/root/new.toml").stdout


def test_configuration_of_an_instance_is_checked_as_its_own_unit(monitord: Installed) -> None:
    monitord.machine.write("/etc/monitord/branch.toml", MORE, 0o600)
    try:
        result = monitord.machine.run("monitorctl", "check-config", "/etc/monitord/branch.toml", ok=False)
        assert result.returncode == 1
        apply_fix(monitord, result.stdout)
        monitord.machine.run("monitorctl", "check-config", "/etc/monitord/branch.toml")
        monitord.systemctl("start", "monitord@branch")
    finally:
        monitord.systemctl("stop", "monitord@branch")
        monitord.machine.run("rm", "--recursive", "/etc/monitord")
