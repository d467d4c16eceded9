"""Unit names as systemctl(1) accepts them, and those of paths as systemd-escape(1), which is run if it is installed."""

import re
import shutil
import subprocess

import pytest

from monitord.systemd.unit_names import full_unit_name, is_unit_pattern

ESCAPE = shutil.which("systemd-escape")


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("nginx", "nginx.service"),
        ("nginx.service", "nginx.service"),
        ("nginx.socket", "nginx.socket"),
        ("backup.timer", "backup.timer"),
        ("my.app", "my.app.service"),
        ("org.cups.cupsd", "org.cups.cupsd.service"),
        ("nginx.conf", "nginx.conf.service"),
        ("getty@tty1", "getty@tty1.service"),
        ("postgresql@15-main", "postgresql@15-main.service"),
        ("user@1000.service", "user@1000.service"),
        ("a@b@c", "a@b@c.service"),
        (r"dev-disk-by\x2duuid-1.swap", r"dev-disk-by\x2duuid-1.swap"),
        ("-.mount", "-.mount"),
        ("init.scope", "init.scope"),
        ("service", "service.service"),
        ("/", "-.mount"),
        ("/home", "home.mount"),
        ("/var/lib/my-app/", r"var-lib-my\x2dapp.mount"),
        ("//srv/./data", "srv-data.mount"),
        ("/.snapshots", r"\x2esnapshots.mount"),
        ("/a/.b", "a-.b.mount"),
        ("/é", r"\xc3\xa9.mount"),
        ("/dev/sda1", "dev-sda1.device"),
        ("/sys/devices/x", "sys-devices-x.device"),
    ],
)
def test_name_gets_the_type_that_systemctl_gives_it(text: str, name: str) -> None:
    assert full_unit_name(text) == name
    assert full_unit_name(name) == name


def test_type_of_a_name_without_one_depends_on_the_place() -> None:
    assert full_unit_name("backup", "timer") == "backup.timer"
    assert full_unit_name("backup.service", "timer") == "backup.service"
    assert full_unit_name("backup@daily", "timer") == "backup@daily.timer"


@pytest.mark.skipif(ESCAPE is None, reason="systemd-escape is not installed")
@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/home",
        "/var/lib/my-app",
        "/a/.b",
        "/.hid/x",
        "/é/ü",
        "/with space",
        "/a:b_c.d",
        "/dev/sda1",
        "/x/",
    ],
)
def test_paths_are_escaped_as_by_systemd(path: str) -> None:
    assert ESCAPE is not None
    unit_type = "device" if path.startswith("/dev") else "mount"
    done = subprocess.run(
        [ESCAPE, "--path", f"--suffix={unit_type}", path], capture_output=True, text=True, check=True
    )
    assert full_unit_name(path) == done.stdout.strip()


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", 'is not the name of a unit; write a value such as "nginx.service"'),
        ("a b", r"is not the name of a unit; write 'a\x20b.service'"),
        ("my app.timer", r"is not the name of a unit; write 'my\x20app.timer'"),
        ("größe", r"is not the name of a unit; write 'gr\xc3\xb6\xc3\x9fe.service'"),
        ("srv/data", "is not the name of a unit; write 'srv-data.service'"),
        ("@tty1", 'is not the name of a unit; write a value such as "nginx.service"'),
        ("nginx*", "is a pattern; write the name of one unit"),
        ("getty@", "is a template; write one of its instances, or a pattern for all of them"),
        ("getty@.service", "is a template; write one of its instances, or a pattern for all of them"),
        ("/a/../b", 'has ".." in its path; write the path without it'),
        ("a" * 250, "is longer than 255 characters; write the name of a unit"),
    ],
)
def test_invalid_name_is_rejected_with_a_correction(text: str, problem: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(problem)}$"):
        full_unit_name(text)


def test_pattern_has_a_wildcard() -> None:
    assert [is_unit_pattern(text) for text in ("nginx", "nginx*", "a?", "[ab]")] == [False, True, True, True]
