"""Which mount a path is on, and where it can be reached: with covers, stacked mounts and bind mounts."""

import pytest

from monitord.monitors.disk.mounts import Mount, Mounts, parse_mounts, read_mounts

HOST = """\
1 0 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw,errors=remount-ro
2 1 0:21 / /proc rw - proc proc rw
3 1 8:2 / /home rw,relatime shared:2 - ext4 /dev/sda2 rw
4 3 8:3 / /home/data rw shared:3 - xfs /dev/sda3 rw
5 1 0:40 / /srv/a\\040b rw - nfs4 server:/export rw,vers=4.2
6 1 8:1 /var/lib/x /mnt/x rw - ext4 /dev/sda1 rw,errors=remount-ro
7 1 0:30 / /tmp rw - tmpfs tmpfs rw
8 7 8:5 / /tmp rw - ext4 /dev/sda5 ro
"""

# ProtectSystem=strict mounts everything read-only; ProtectHome= covers /home and /root, and unmounts what was there.
SANDBOX = """\
11 10 8:1 / / ro,relatime master:1 - ext4 /dev/sda1 rw,errors=remount-ro
14 11 0:24 /systemd/inaccessible/dir /home ro,nosuid - tmpfs tmpfs rw,mode=755
15 11 0:24 /systemd/inaccessible/dir /root ro,nosuid - tmpfs tmpfs rw,mode=755
16 11 8:1 /var/lib/monitord /var/lib/monitord rw - ext4 /dev/sda1 rw,errors=remount-ro
"""


def mount(mounts: Mounts, path: str) -> Mount:
    found = mounts.mount_of(path)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("path", "number"),
    [
        ("/", 1),
        ("/var/lib", 1),
        ("/home", 3),
        ("/home/kim", 3),
        ("/homes", 1),
        ("/home/data/x", 4),
        ("/srv/a b/c", 5),
        ("/srv", 1),
        ("/mnt/x/y", 6),
        ("/tmp/z", 8),
    ],
)
def test_path_is_on_the_last_mount_above_it(path: str, number: int) -> None:
    assert mount(parse_mounts(HOST), path).id == number


def test_fields_of_a_mount_are_read() -> None:
    found = mount(parse_mounts(HOST), "/srv/a b")
    assert (found.device, found.fs_type, found.source) == ("0:40", "nfs4", "server:/export")
    assert found.super_options == {"rw", "vers=4.2"}


def test_only_options_of_the_superblock_make_a_file_system_read_only() -> None:
    mounts = parse_mounts(SANDBOX)
    assert "ro" in mount(mounts, "/").options
    assert not mount(mounts, "/").is_read_only
    assert mount(parse_mounts(HOST), "/tmp").is_read_only
    emergency = parse_mounts("1 0 8:1 / / rw - ext4 /dev/sda1 rw,emergency_ro\n")
    assert mount(emergency, "/").is_read_only


@pytest.mark.parametrize(
    "sandbox",
    [
        pytest.param(SANDBOX, id="ProtectHome=yes"),
        pytest.param(SANDBOX.replace("/systemd/inaccessible", "/host/inaccessible"), id="in a container"),
        pytest.param(SANDBOX.replace("/systemd/inaccessible/dir", "/"), id="ProtectHome=tmpfs"),
    ],
)
def test_mount_of_the_sandbox_is_recognized(sandbox: str) -> None:
    mounts = parse_mounts(sandbox)
    assert [mount(mounts, path).is_cover for path in ("/home", "/home/kim", "/root/x")] == [True] * 3
    assert [mount(mounts, path).is_cover for path in ("/", "/var", "/homes")] == [False] * 3
    opened = parse_mounts(sandbox + "17 14 8:2 /lost+found /home/lost+found ro - ext4 /dev/sda2 rw\n")
    assert mount(opened, "/home/lost+found").device == "8:2"
    assert mount(opened, "/home/kim").is_cover


def test_device_is_found_at_its_shortest_mount_point() -> None:
    mounts = parse_mounts(HOST)
    for source, point in (("/dev/sda1", "/"), ("server:/export", "/srv/a b")):
        found = mounts.with_source(source)
        assert found is not None
        assert found.mount_point == point
    assert mounts.with_source("/dev/none") is None


@pytest.mark.parametrize(
    "text",
    ["", "x\n", "1 0 8:1 / / rw\n", "a b 8:1 / / rw - ext4 /dev/sda1 rw\n", "1 0 8:1 / / rw - ext4\n"],
    ids=["empty", "word", "no separator", "no numbers", "no source"],
)
def test_damaged_lines_are_ignored(text: str) -> None:
    assert parse_mounts(text).mount_of("/") is None


def test_circular_mounts_do_not_loop() -> None:
    mounts = parse_mounts(
        "1 0 8:1 / / rw - ext4 a rw\n2 1 8:2 / / rw - ext4 b rw\n1 2 8:3 / / rw - ext4 c rw\n"
    )
    assert mount(mounts, "/x").id in {1, 2}


def test_own_mounts_are_read() -> None:
    mounts = read_mounts()
    assert mount(mounts, "/proc").fs_type == "proc"


def test_line_separators_of_unicode_in_a_mount_point_do_not_end_the_line() -> None:
    (mount,) = parse_mounts("36 25 8:17 / /mnt/a\u2028b\x0cc\x85d rw - ext4 /dev/sdb1 rw\n").all
    assert (mount.mount_point, mount.source) == ("/mnt/a\u2028b\x0cc\x85d", "/dev/sdb1")
