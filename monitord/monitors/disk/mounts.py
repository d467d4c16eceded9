"""The mounts of this process, from /proc/self/mountinfo (proc(5)): which file system a path is on.

Pure, except for `read_mounts`.

The daemon has its own mount namespace (systemd.exec(5)). Its sandbox mounts every file system read-only, which leaves
the options of the superblock as they are. It mounts an empty directory over /home and other directories, and unmounts
the file systems that were mounted there, so that nothing is known about a path below such a mount.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

MOUNTINFO = Path("/proc/self/mountinfo")
MAX_MOUNTINFO_BYTES = 8 * 1024 * 1024
"""Limit of the file: about 50,000 mounts. Later mounts are ignored."""

_OCTAL = re.compile(r"\\([0-7]{3})")
_COVER_ROOTS = ("/systemd/inaccessible/", "/host/inaccessible/")
"""Parts of the root of a mount by which systemd makes a path inaccessible: below /run, the second in a container."""
_COVERED_BY_TMPFS = ("/home", "/root", "/run/user")
"""The directories that ProtectHome=tmpfs covers."""
_READ_ONLY_OPTIONS = frozenset({"ro", "emergency_ro", "shutdown"})
"""Options of a superblock that rejects writes; the last two are set by ext4 after an error."""


@dataclass(frozen=True, slots=True)
class Mount:
    """A mount. `device`: the number "8:1", the same for all mounts of a file system. `root`: its mounted directory.

    `source`: the device or share, such as "/dev/sda1". `super_options`: the options of the file system itself.
    """

    id: int
    parent_id: int
    device: str
    root: str
    mount_point: str
    options: frozenset[str]
    fs_type: str
    source: str
    super_options: frozenset[str]

    @property
    def is_read_only(self) -> bool:
        """Whether the file system rejects writes, for all its mounts."""
        return not self.super_options.isdisjoint(_READ_ONLY_OPTIONS)

    @property
    def is_cover(self) -> bool:
        """Whether the sandbox of a service covers a directory by this mount."""
        if any(root in self.root for root in _COVER_ROOTS):
            return True
        return self.fs_type == "tmpfs" and self.root == "/" and self.mount_point in _COVERED_BY_TMPFS


def read_mounts(path: Path = MOUNTINFO) -> "Mounts":
    """Read and parse the mounts of this process. Raises OSError."""
    with path.open("rb") as file:
        text = file.read(MAX_MOUNTINFO_BYTES).decode(errors="surrogateescape")
    return parse_mounts(text)


def parse_mounts(text: str) -> "Mounts":
    """Parse mountinfo. Lines that are not understood are ignored."""
    mounts = []
    # Not splitlines(): a name can contain other line separators, and the kernel escapes only this one.
    for line in text.split("\n"):
        before, separator, after = line.partition(" - ")
        fields, rest = before.split(" "), after.split(" ")
        if not separator or len(fields) < 6 or len(rest) < 2:  # noqa: PLR2004 - the fields of proc(5)
            continue
        try:
            mount_id, parent_id = int(fields[0]), int(fields[1])
        except ValueError:
            continue
        mounts.append(
            Mount(
                id=mount_id,
                parent_id=parent_id,
                device=fields[2],
                root=_unescaped(fields[3]),
                mount_point=_unescaped(fields[4]),
                options=frozenset(fields[5].split(",")),
                fs_type=_unescaped(rest[0]),
                source=_unescaped(rest[1]),
                super_options=frozenset(rest[2].split(",")) if len(rest) > 2 else frozenset(),  # noqa: PLR2004
            )
        )
    return Mounts(tuple(mounts))


def _unescaped(text: str) -> str:
    """Decode spaces and other characters that the kernel writes as \\040."""
    return _OCTAL.sub(lambda match: chr(int(match[1], 8)), text) if "\\" in text else text


@dataclass(frozen=True, slots=True)
class Mounts:
    """All mounts of a mount namespace, in the order of the kernel."""

    all: Sequence[Mount]
    _children: dict[int, list[Mount]] = field(default_factory=dict, compare=False, repr=False)
    _roots: list[Mount] = field(default_factory=list, compare=False, repr=False)

    def __post_init__(self) -> None:
        for mount in self.all:
            self._children.setdefault(mount.parent_id, []).append(mount)
        ids = {mount.id for mount in self.all}
        self._roots.extend(
            mount for mount in self.all if mount.mount_point == "/" and mount.parent_id not in ids
        )

    def mount_of(self, path: str) -> Mount | None:
        """Return the mount that a path without symbolic links is on; None if there are no mounts."""
        current = self._roots[0] if self._roots else None
        seen: set[int] = set()
        while current is not None and current.id not in seen:
            seen.add(current.id)
            # The next mount on the way to the path.
            below = [
                child
                for child in self._children.get(current.id, ())
                if child.id != current.id and is_within(path, child.mount_point)
            ]
            if not below:
                return current
            current = min(below, key=lambda child: len(child.mount_point))
        return current

    def with_source(self, source: str) -> Mount | None:
        """Return the first mount of a device or share, whose name is that in the list of mounts."""
        mounts = [mount for mount in self.all if mount.source == source and not mount.is_cover]
        return min(mounts, key=lambda mount: len(mount.mount_point), default=None)


def is_within(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder if folder.endswith("/") else f"{folder}/")
