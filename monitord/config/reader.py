"""Who reads the configuration, and what lets him read a file that he may not.

The service's user is who has to read it in the end, so a fix is told for him alone: what somebody else may not read
while he checks it says nothing of the service.
"""

import grp
import os
import pwd
import shlex
import stat
from enum import Enum
from pathlib import Path


class Reader(Enum):
    """As whom a configuration is read, and so which of the files and secrets that it names can be judged."""

    SERVICE = "the daemon itself: everything is looked up"
    STAND_IN = "a check by the service's user: files are read, but credentials and environment are the service's alone"
    OUTSIDER = (
        "a check by anybody: secrets are looked at for their form, and what may not be read is passed over"
    )


def reading_fix(path: str, reader: Reader) -> str:
    """What to do about a file or directory that this process may not read."""
    if reader is Reader.OUTSIDER:
        return "ask as root, or as a member of the group that may read it"
    # A link may lead where this user may not go, as those of certbot do.
    ways = (Path(path), Path(os.path.realpath(path)))
    folders = (folder for way in ways for folder in reversed(way.parents))
    closed = next((folder for folder in folders if not os.access(folder, os.X_OK)), None)
    if closed is not None:
        return f"{_user()} may not enter {closed}: put it where that user may, such as /etc/monitord.d"
    file = shlex.quote(path)
    mode = "750" if Path(path).is_dir() else "640"
    fix = f"let {_user()} read it: chgrp {_group(os.getegid())} {file} && chmod {mode} {file}"
    shared = _sharing_group(path)
    return fix if shared is None else f"{fix}, or SupplementaryGroups={shared} in a drop-in"


def _sharing_group(path: str) -> str | None:
    """A group, not root's, that may read it already, as ssl-cert may the keys of many Debians."""
    try:
        status = os.stat(path)  # noqa: PTH116 - text in, as everywhere here
    except OSError:
        return None
    is_shared = status.st_mode & stat.S_IRGRP and status.st_gid not in {0, os.getegid()}
    return _group(status.st_gid) if is_shared else None


def _user() -> str:
    try:
        return f"the user {pwd.getpwuid(os.geteuid()).pw_name}"
    except KeyError:
        return f"the user {os.geteuid()}"


def _group(gid: int) -> str:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)
