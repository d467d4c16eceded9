"""Files that monitors read: bounded, and only regular files, as a FIFO blocks its reader."""

import os
import stat


class NotAFileError(OSError):
    """The path is a directory, a device or a FIFO."""


def read_file(path: str, max_bytes: int) -> bytes:
    """Return the beginning of a regular file. Raises OSError. Can block, as on a network file system."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    with open(descriptor, "rb") as file:  # noqa: PTH123 - the descriptor, not the path
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise NotAFileError(None, "is not a regular file")
        return file.read(max_bytes)
