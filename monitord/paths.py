"""Default paths that the daemon and monitorctl share."""

import os
from collections.abc import Mapping
from pathlib import Path

CONFIG = Path("/etc/monitord.toml")
FURTHER_CONFIGS = Path("/etc/monitord")
"""monitord@NAME.service reads NAME.toml there."""

SYSTEM_SOCKET = Path("/run/monitord/status.sock")
SOCKET_NAME = "status.sock"


def user_runtime_directory(environ: Mapping[str, str]) -> Path:
    """Return the directory of the socket of a daemon that is not root: in XDG_RUNTIME_DIR, otherwise in /tmp."""
    base = environ.get("XDG_RUNTIME_DIR")
    if base and os.access(base, os.W_OK):
        return Path(base) / "monitord"
    return Path(f"/tmp/monitord-{os.geteuid()}")  # noqa: S108 - made 0700 and checked for its owner before use


def default_socket(environ: Mapping[str, str], runtime_directory: Path | None) -> Path:
    """Return the path on which the daemon listens if it is passed no socket and the configuration has none."""
    if runtime_directory is not None:
        return runtime_directory / SOCKET_NAME
    if os.geteuid() == 0:
        return SYSTEM_SOCKET
    return user_runtime_directory(environ) / SOCKET_NAME


def control_socket(environ: Mapping[str, str]) -> Path:
    """Return the socket for monitorctl: MONITORD_SOCKET, that of the service, or that of the user's own daemon."""
    named = environ.get("MONITORD_SOCKET")
    if named:
        return Path(named)
    user_socket = user_runtime_directory(environ) / SOCKET_NAME
    return user_socket if user_socket.exists() and not SYSTEM_SOCKET.exists() else SYSTEM_SOCKET
