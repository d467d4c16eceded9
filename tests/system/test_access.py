"""Who may ask on the status socket, and who may change something."""

from collections.abc import Iterator

import pytest

from tests.system.installed import Installed

MEMBER = "kim"
OUTSIDER = "lou"


@pytest.fixture
def users(monitord: Installed) -> Iterator[None]:
    """A member of the group monitord, and somebody who is not."""
    monitord.machine.shell(
        f"id {MEMBER} >/dev/null 2>&1 || useradd --create-home {MEMBER}; usermod --append --groups monitord {MEMBER};"
        f"id {OUTSIDER} >/dev/null 2>&1 || useradd --create-home {OUTSIDER}"
    )
    yield
    monitord.machine.shell(f"userdel --remove {MEMBER} 2>&1; userdel --remove {OUTSIDER} 2>&1")


@pytest.mark.usefixtures("users")
def test_member_of_the_group_asks_and_acts(monitord: Installed) -> None:
    assert status_of(monitord, "/status", MEMBER) == "200"
    assert status_of(monitord, "/reload", MEMBER, "--request", "POST") == "200"
    assert status_of(monitord, "/monitors/web/check", MEMBER, "--request", "POST") == "200"
    assert "web" in monitord.machine.run("monitorctl", "status", user=MEMBER, ok=False).stdout


@pytest.mark.usefixtures("users")
def test_outsider_is_refused_by_the_socket(monitord: Installed) -> None:
    assert monitord.ask("/status", user=OUTSIDER, ok=False).returncode != 0
    said = monitord.machine.run("monitorctl", "status", user=OUTSIDER, ok=False)
    assert said.returncode == 3
    assert "permission denied" in said.stderr.lower()


@pytest.mark.usefixtures("users")
def test_outsider_who_gets_in_may_read_and_not_change(monitord: Installed) -> None:
    """As where an administrator opens the socket to all."""
    monitord.machine.run("chmod", "0666", "/run/monitord/status.sock")
    try:
        assert status_of(monitord, "/status", OUTSIDER) == "200"
        assert status_of(monitord, "/reload", OUTSIDER, "--request", "POST") == "403"
        assert status_of(monitord, "/monitors/web/check", OUTSIDER, "--request", "POST") == "403"
    finally:
        monitord.machine.run("chmod", "0660", "/run/monitord/status.sock")


@pytest.mark.usefixtures("users")
def test_anybody_checks_a_configuration_of_his_own(monitord: Installed) -> None:
    monitord.machine.write(f"/home/{OUTSIDER}/new.toml", '[monitors.a]\nurl = "http://127.0.0.1/"\n')
    said = monitord.machine.run("monitorctl", "check-config", f"/home/{OUTSIDER}/new.toml", user=OUTSIDER)
    assert "good" in said.stdout


def test_root_asks_and_acts(monitord: Installed) -> None:
    assert status_of(monitord, "/status", "") == "200"
    assert status_of(monitord, "/reload", "", "--request", "POST") == "200"


def status_of(monitord: Installed, path: str, user: str, *options: str) -> str:
    """The HTTP status that a user gets."""
    return monitord.ask(path, *options, user=user).stdout.rpartition("\n")[2]
