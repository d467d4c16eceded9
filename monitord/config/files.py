"""Read small files completely, without blocking."""

import errno
import os
import stat


def read_bounded(path: str, max_bytes: int) -> bytes:
    """Return at most `max_bytes` + 1 bytes: one byte more means that the file is larger.

    Raises OSError (with `strerror`) unless it is a readable regular file, ValueError for a path with NUL.
    """
    # Without O_NONBLOCK opening a FIFO would block until a writer opens it.
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        status = os.fstat(descriptor)
        if stat.S_ISDIR(status.st_mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        # A drop-in that is a link to /dev/null is disabled, as with systemd's units.
        if not stat.S_ISREG(status.st_mode) and not os.path.samestat(status, os.stat(os.devnull)):  # noqa: PTH116
            raise OSError(errno.EINVAL, "Not a regular file")
        with open(descriptor, "rb", closefd=False) as file:
            return file.read(max_bytes + 1)
    finally:
        os.close(descriptor)
