"""What the service's own user meets in a configuration that root has read without a fault.

`sudo monitord --check-config` may read everything; the daemon may not, and would refuse to start.
"""

import contextlib
import os
import pwd
from collections.abc import Callable

from monitord.errors import ConfigError

USER = "monitord"


def faults_as_service(read: Callable[[], object], user: str = USER) -> list[str]:
    """Those that `read` raises (ConfigError) in a child that is that user for good.

    Empty where we are not root, or there is no such user.
    """
    try:
        found = pwd.getpwnam(user)
    except KeyError:
        return []
    if os.geteuid() != 0:
        return []
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        with contextlib.suppress(BaseException):
            os.setgroups(os.getgrouplist(user, found.pw_gid))
            os.setgid(found.pw_gid)
            os.setuid(found.pw_uid)
            with os.fdopen(writing, "w") as answer:
                answer.write("\0".join(_faults(read)))
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as answer:
        text = answer.read()
    os.waitpid(child, 0)
    return text.split("\0") if text else []


def _faults(read: Callable[[], object]) -> list[str]:
    try:
        read()
    except ConfigError as error:
        return [str(fault) for fault in error.faults]
    return []
