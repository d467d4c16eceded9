"""Permissions on the status socket: reading, and making changes."""

from collections.abc import Iterator

import pytest

from tests.system.installed import Installed

MEMBER = "kim"
OUTSIDER = "lou"


@pytest.fixture
def users(monitord: Installed) -> Iterator[None]:
    """A member of the group monitord, and another user."""
    monitord.machine.shell(
        f"id {MEMBER} >/dev/null 2>&1 || useradd --create-home {MEMBER}; usermod --append --groups monitord {MEMBER};"
        f"id {OUTSIDER} >/dev/null 2>&1 || useradd --create-home {OUTSIDER}"
    )
    yield
    monitord.machine.shell(f"userdel --remove {MEMBER} 2>&1; userdel --remove {OUTSIDER} 2>&1")


@pytest.mark.usefixtures("users")
def test_member_of_the_group_reads_and_changes(monitord: Installed) -> None:
    assert status_of(monitord, "/status", MEMBER) == "200"
    assert status_of(monitord, "/reload", MEMBER, "--request", "POST") == "200"
    assert status_of(monitord, "/monitors/web/check", MEMBER, "--request", "POST") == "200"
    assert "web" in monitord.machine.run("monitorctl", "status", user=MEMBER, ok=False).stdout


@pytest.mark.usefixtures("users")
def test_other_user_cannot_open_the_socket(monitord: Installed) -> None:
    assert monitord.ask("/status", user=OUTSIDER, ok=False).returncode != 0
    result = monitord.machine.run("monitorctl", "status", user=OUTSIDER, ok=False)
    assert result.returncode == 3
    assert "permission denied" in result.stderr.lower()


@pytest.mark.usefixtures("users")
def test_other_user_with_access_to_the_socket_reads_and_cannot_change(monitord: Installed) -> None:
    """As where an administrator allows all users to open the socket."""
    monitord.machine.run("chmod", "0666", "/run/monitord/status.sock")
    try:
        assert status_of(monitord, "/status", OUTSIDER) == "200"
        assert status_of(monitord, "/reload", OUTSIDER, "--request", "POST") == "403"
        assert status_of(monitord, "/monitors/web/check", OUTSIDER, "--request", "POST") == "403"
    finally:
        monitord.machine.run("chmod", "0660", "/run/monitord/status.sock")


@pytest.mark.usefixtures("users")
def test_every_user_can_check_their_own_configuration(monitord: Installed) -> None:
    monitord.machine.write(f"/home/{OUTSIDER}/new.toml", '[monitors.a]\nurl = "http://127.0.0.1/"\n')
    result = monitord.machine.run("monitorctl", "check-config", f"/home/{OUTSIDER}/new.toml", user=OUTSIDER)
    assert "valid" in result.stdout


def test_root_reads_and_changes(monitord: Installed) -> None:
    assert status_of(monitord, "/status", "") == "200"
    assert status_of(monitord, "/reload", "", "--request", "POST") == "200"


def status_of(monitord: Installed, path: str, user: str, *options: str) -> str:
    """Return the HTTP status of a request of this user."""
    return monitord.ask(path, *options, user=user).stdout.rpartition("\n")[2]
