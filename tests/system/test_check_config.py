"""Root's check of the configuration says what the service will say, who may read less than root."""

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


def mend(monitord: Installed, said: str) -> None:
    """Do what the fix says, as it says it."""
    told = re.search(r"let the user monitord read it: (chgrp monitord \S+ && chmod \d+ [^\s,]+)", said)
    assert told is not None, said
    monitord.machine.shell(told[1])


@pytest.fixture(autouse=True)
def tidy(monitord: Installed) -> Iterator[None]:
    yield
    monitord.machine.shell(f"rm -f {DROP_IN} {SECRET} {UNIT_DROP_IN}; systemctl daemon-reload")


def test_a_dropin_for_root_alone_is_refused_by_check_and_service_alike(monitord: Installed) -> None:
    monitord.machine.write(DROP_IN, MORE, 0o600)
    said = check(monitord)
    assert said.returncode == 1
    assert f"{DROP_IN}: cannot be read: Permission denied" in said.stdout
    assert monitord.systemctl("reload", "monitord", ok=False).returncode == 1
    mend(monitord, said.stdout)
    assert check(monitord).returncode == 0
    monitord.systemctl("reload", "monitord")
    monitord.await_check("more")


def test_the_service_itself_tells_the_same_fix(monitord: Installed) -> None:
    monitord.machine.write(DROP_IN, MORE, 0o600)
    said = monitord.machine.run("monitorctl", "reload", ok=False)
    assert said.returncode == 1
    mend(monitord, said.stderr.splitlines()[0])
    monitord.systemctl("reload", "monitord")


def test_the_group_of_a_secret_may_be_given_to_the_service(monitord: Installed) -> None:
    """As ssl-cert, whose files are for several services."""
    monitord.machine.write(DROP_IN, WITH_SECRET)
    monitord.machine.write(SECRET, "a-secret", 0o640)
    monitord.machine.shell(f"groupadd --force keepers; chgrp keepers {SECRET}")
    said = check(monitord)
    assert said.returncode == 1
    assert f"the file {SECRET} cannot be read (Permission denied)" in said.stdout
    assert "or SupplementaryGroups=keepers in a drop-in" in said.stdout
    assert monitord.systemctl("restart", "monitord", ok=False).returncode == 1
    monitord.machine.write(UNIT_DROP_IN, "[Service]\nSupplementaryGroups=keepers\n")
    monitord.systemctl("daemon-reload")
    assert check(monitord).returncode == 0
    monitord.systemctl("restart", "monitord")
    monitord.await_check("more")


def test_the_file_of_a_credential_is_the_managers_to_read(monitord: Installed) -> None:
    monitord.machine.write(DROP_IN, WITH_CREDENTIAL)
    monitord.machine.write(SECRET, "a-secret", 0o600)
    monitord.machine.write(UNIT_DROP_IN, f"[Service]\nLoadCredential=key:{SECRET}\n")
    monitord.systemctl("daemon-reload")
    assert check(monitord).returncode == 0
    monitord.systemctl("restart", "monitord")
    monitord.await_check("more")


def test_a_configuration_of_roots_own_elsewhere_is_read_as_root(monitord: Installed) -> None:
    monitord.machine.write("/root/new.toml", MORE, 0o600)
    assert "good" in monitord.machine.run("monitorctl", "check-config", "/root/new.toml").stdout


def test_a_further_daemons_file_is_checked_as_its_own_unit(monitord: Installed) -> None:
    monitord.machine.write("/etc/monitord/branch.toml", MORE, 0o600)
    try:
        said = monitord.machine.run("monitorctl", "check-config", "/etc/monitord/branch.toml", ok=False)
        assert said.returncode == 1
        mend(monitord, said.stdout)
        monitord.machine.run("monitorctl", "check-config", "/etc/monitord/branch.toml")
        monitord.systemctl("start", "monitord@branch")
    finally:
        monitord.systemctl("stop", "monitord@branch")
        monitord.machine.run("rm", "--recursive", "/etc/monitord")
