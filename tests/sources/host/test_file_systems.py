"""The file systems that are monitored, on servers, in containers and on laptops."""

import pytest

from monitord.monitors.disk.mounts import parse_mounts
from monitord.sources.host.file_systems import covered_directories, file_systems

SERVER = """\
1 0 8:1 / / rw - ext4 /dev/sda1 rw
2 1 0:21 / /proc rw - proc proc rw
3 1 0:22 / /sys rw - sysfs sysfs rw
4 1 0:5 / /dev rw - devtmpfs udev rw
5 1 0:23 / /run rw - tmpfs tmpfs rw
6 1 0:24 / /tmp rw - tmpfs tmpfs rw
7 1 8:16 / /boot/efi rw - vfat /dev/sda15 rw
8 1 8:32 / /var/lib/docker rw - xfs /dev/sdb rw
9 8 0:50 / /var/lib/docker/overlay2/a/merged rw - overlay overlay rw
10 1 8:1 /srv/www /mnt/www rw - ext4 /dev/sda1 rw
11 1 0:60 / /srv/nfs rw - nfs4 server:/export rw
12 1 7:1 / /snap/core/1 ro - squashfs /dev/loop1 ro
13 1 11:0 / /media/cdrom ro - iso9660 /dev/sr0 ro
14 1 8:48 / /media/kim/STICK rw - vfat /dev/sdd rw
15 1 0:70 / /auto rw - autofs systemd-1 rw
16 15 0:71 / /auto rw - nfs4 server:/auto rw
17 1 0:72 / /home/kim/.gvfs rw - fuse.gvfsd-fuse gvfsd-fuse rw
18 8 8:64 / /var/lib/docker/volumes/x rw - ext4 /dev/sde rw
"""

# The root is a directory of the host's file system; single files are mounted over those of the image.
DOCKER = """\
100 50 0:90 / / rw - overlay overlay rw,lowerdir=/l
101 100 0:91 / /proc rw - proc proc rw
102 100 0:92 / /dev rw - tmpfs tmpfs rw
103 100 254:1 /var/lib/docker/containers/x/resolv.conf /etc/resolv.conf rw - ext4 /dev/vda1 rw
104 100 254:1 /var/lib/docker/containers/x/hosts /etc/hosts rw - ext4 /dev/vda1 rw
105 100 254:1 /var/lib/docker/volumes/data/_data /data rw - ext4 /dev/vda1 rw
"""

NSPAWN = """\
200 199 254:0 /var/lib/machines/x / rw - ext4 /dev/vda rw
201 200 0:99 / /tmp rw - tmpfs tmpfs rw
202 200 0:98 / /sys ro - tmpfs tmpfs rw
203 200 254:0 /etc/os-release /run/host/os-release ro - ext4 /dev/vda rw
"""

LXC = """\
300 299 0:45 /rootfs / rw - zfs pool/containers/x rw
301 300 0:46 / /dev/lxd rw - tmpfs tmpfs rw
302 300 0:47 / /proc/meminfo rw - fuse.lxcfs lxcfs rw
303 300 0:48 / /sys/devices/system/cpu rw - fuse.lxcfs lxcfs rw
"""

BTRFS = """\
400 0 0:30 /@ / rw - btrfs /dev/sda2 rw,subvol=/@
401 400 0:30 /@home /home rw - btrfs /dev/sda2 rw,subvol=/@home
402 400 0:30 /@/.snapshots/1 /.snapshots/1 ro - btrfs /dev/sda2 rw
"""

SANDBOX = """\
11 10 8:1 / / ro - ext4 /dev/sda1 rw
13 11 0:24 /systemd/inaccessible/dir /home ro - tmpfs tmpfs rw
14 11 8:1 /var/lib/monitord /var/lib/monitord rw - ext4 /dev/sda1 rw
15 11 8:1 /tmp/systemd-private-x/tmp /tmp rw - ext4 /dev/sda1 rw
"""

OVERMOUNTED = """\
1 0 8:1 / / rw - ext4 /dev/sda1 rw
2 1 8:2 / /srv rw - ext4 /dev/sdb1 rw
3 2 8:3 / /srv rw - ext4 /dev/sdc1 rw
"""


@pytest.mark.parametrize(
    ("text", "points"),
    [
        pytest.param(SERVER, ["/", "/boot/efi", "/srv/nfs", "/var/lib/docker"], id="server"),
        pytest.param(DOCKER, ["/", "/data"], id="Docker"),
        pytest.param(NSPAWN, ["/"], id="systemd-nspawn"),
        pytest.param(LXC, ["/"], id="LXC"),
        pytest.param(BTRFS, ["/"], id="btrfs subvolumes"),
        pytest.param(SANDBOX, ["/"], id="sandbox of the service"),
        pytest.param(OVERMOUNTED, ["/", "/srv"], id="covered by another file system"),
        pytest.param("", [], id="no mounts"),
    ],
)
def test_file_systems_that_hold_data_are_chosen_once(text: str, points: list[str]) -> None:
    assert [mount.mount_point for mount in file_systems(parse_mounts(text))] == points


def test_directories_that_the_sandbox_covers_are_known() -> None:
    assert covered_directories(parse_mounts(SANDBOX)) == ["/home"]
    assert covered_directories(parse_mounts(SERVER)) == []


def test_mount_that_covers_another_is_chosen() -> None:
    (_, covering) = file_systems(parse_mounts(OVERMOUNTED))
    assert covering.device == "8:3"
