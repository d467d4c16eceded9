"""Permissions with which a configuration is read, and hints on granting access to a file.

The hint is for the user of the service. A file that another user cannot read while checking a configuration may still
be readable for the service.
"""

import grp
import os
import pwd
import shlex
import stat
from contextlib import suppress
from enum import Enum
from pathlib import Path


class ConfigAccess(Enum):
    """The process that reads a configuration: its permissions determine which files and secrets are checked."""

    DAEMON = "daemon"
    """Everything is read."""
    SERVICE_USER = "service_user"
    """A check as the user of the service: files are read; credentials and environment are not available."""
    OTHER_USER = "other_user"
    """A check as another user: only the syntax of secrets is checked, and unreadable files are skipped."""


def access_hint(path: str, access: ConfigAccess) -> str:
    """Return a hint on how to make a file or directory readable for this process."""
    if access is ConfigAccess.OTHER_USER:
        return "run this command as root, or as a member of the group that can read it"
    # The target of a link may be in a directory that this user cannot enter, such as certbot's.
    paths = (Path(path), Path(os.path.realpath(path)))
    directories = (directory for file in paths for directory in reversed(file.parents))
    forbidden = next((directory for directory in directories if not os.access(directory, os.X_OK)), None)
    if forbidden is not None:
        return (
            f"{_user()} cannot enter {forbidden}: move the file to another directory, such as /etc/monitord.d"
        )
    file = shlex.quote(path)
    mode = "750" if Path(path).is_dir() else "640"
    fix = f"let {_user()} read it: chgrp {_group(os.getegid())} {file} && chmod {mode} {file}"
    with suppress(OSError):
        status = os.stat(path)  # noqa: PTH116 - paths are text in this module
        # A group other than root that can read the file, such as ssl-cert for keys on Debian.
        if status.st_mode & stat.S_IRGRP and status.st_gid not in {0, os.getegid()}:
            fix += f", or SupplementaryGroups={_group(status.st_gid)} in a drop-in"
    return fix


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
