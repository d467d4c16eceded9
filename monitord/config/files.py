"""Reads a small file whole, and waits for nobody."""

import errno
import os
import stat


def read_bounded(path: str, max_bytes: int) -> bytes:
    """At most one byte more than asked for, which tells that there is more. OSError with `strerror`; ValueError: NUL.

    A FIFO must not hold the start up until somebody writes into it: it is opened without waiting, and refused.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        status = os.fstat(descriptor)
        if stat.S_ISDIR(status.st_mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        # A drop-in linked to /dev/null is switched off, as for systemd's units.
        if not stat.S_ISREG(status.st_mode) and not os.path.samestat(status, os.stat(os.devnull)):  # noqa: PTH116
            raise OSError(errno.EINVAL, "Not a regular file")
        with open(descriptor, "rb", closefd=False) as file:
            return file.read(max_bytes + 1)
    finally:
        os.close(descriptor)
