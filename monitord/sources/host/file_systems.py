"""Which file systems of this host are monitored: all with data that can become full. Pure.

| left out                                                 | because                                                |
|----------------------------------------------------------|--------------------------------------------------------|
| types other than FILE_SYSTEMS                            | kernel interfaces, tmpfs, images that are always full  |
| overlay, except for the root directory of a container    | layers of containers are on a file system of the host  |
| further mounts of a file system                          | bind mounts and subvolumes share its space             |
| mounts below an automount                                | a check would keep them mounted                        |
| mounts below HIDDEN_BELOW                                | they belong to containers, users or removable media    |
| mounts that another mount covers                         | they cannot be accessed                                |
"""

from monitord.monitors.disk.mounts import Mount, Mounts, is_within

FILE_SYSTEMS = frozenset(
    {
        *("ext2", "ext3", "ext4", "xfs", "btrfs", "bcachefs", "zfs", "f2fs", "jfs", "nilfs2", "reiserfs"),
        *("vfat", "exfat", "ntfs", "ntfs3", "fuseblk", "hfsplus", "ufs"),
        *(
            "nfs",
            "nfs4",
            "cifs",
            "smb3",
            "ceph",
            "fuse.glusterfs",
            "ocfs2",
            "gfs2",
            "lustre",
            "9p",
            "virtiofs",
        ),
    }
)

HIDDEN_BELOW = (
    *("/proc", "/sys", "/dev", "/run", "/media", "/snap", "/etc", "/tmp", "/var/tmp"),  # noqa: S108 - not used as such
    *("/var/lib/docker", "/var/lib/containers", "/var/lib/containerd", "/var/lib/kubelet", "/var/lib/lxc"),
    *("/var/lib/lxd", "/var/lib/incus", "/var/lib/machines", "/var/lib/snapd", "/var/lib/flatpak"),
)
"""Mounts below these directories are excluded; the directories themselves may be file systems."""

MAX_FILE_SYSTEMS = 200

_CAN_HOLD_FILE_SYSTEMS = frozenset({"/home", "/root"})


def file_systems(mounts: Mounts) -> list[Mount]:
    """Return a mount of each file system, in the order of their mount points."""
    candidates: list[Mount] = []
    automounts = {mount.id for mount in mounts.all if mount.fs_type == "autofs"}
    for mount in mounts.all:
        is_root = mount.mount_point == "/"
        if mount.fs_type not in FILE_SYSTEMS and not (is_root and mount.fs_type == "overlay"):
            continue
        is_hidden = any(
            mount.mount_point != folder and is_within(mount.mount_point, folder) for folder in HIDDEN_BELOW
        )
        if mount.is_cover or mount.parent_id in automounts or is_hidden:
            continue
        if mounts.mount_of(mount.mount_point) is mount:
            candidates.append(mount)
    by_device: dict[str, Mount] = {}
    for mount in sorted(candidates, key=lambda mount: (len(mount.mount_point), mount.mount_point)):
        by_device.setdefault(mount.device, mount)
    return sorted(by_device.values(), key=lambda mount: mount.mount_point)[:MAX_FILE_SYSTEMS]


def covered_directories(mounts: Mounts) -> list[str]:
    """Return the directories that the sandbox covers and that can hold file systems."""
    return sorted({mount.mount_point for mount in mounts.all if mount.is_cover} & _CAN_HOLD_FILE_SYSTEMS)
