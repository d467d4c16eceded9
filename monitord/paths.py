"""Where things lie when nobody says otherwise: one place, so that daemon and monitorctl agree."""

import os
from collections.abc import Mapping
from pathlib import Path

CONFIG = Path("/etc/monitord.toml")
FURTHER_CONFIGS = Path("/etc/monitord")
"""monitord@NAME.service reads NAME.toml there."""

SYSTEM_SOCKET = Path("/run/monitord/status.sock")
SOCKET_NAME = "status.sock"


def user_runtime_directory(environ: Mapping[str, str]) -> Path:
    """Where a daemon that is not root keeps its socket: under XDG_RUNTIME_DIR, or in a directory of its own."""
    base = environ.get("XDG_RUNTIME_DIR")
    if base and os.access(base, os.W_OK):
        return Path(base) / "monitord"
    return Path(f"/tmp/monitord-{os.geteuid()}")  # noqa: S108 - made 0700 and checked for its owner before use


def default_socket(environ: Mapping[str, str], runtime_directory: Path | None) -> Path:
    """Where the daemon listens when it is passed no socket and the configuration names none."""
    if runtime_directory is not None:
        return runtime_directory / SOCKET_NAME
    if os.geteuid() == 0:
        return SYSTEM_SOCKET
    return user_runtime_directory(environ) / SOCKET_NAME


def socket_to_ask(environ: Mapping[str, str]) -> Path:
    """Where monitorctl looks: MONITORD_SOCKET, the service's socket, or that of a daemon of one's own."""
    named = environ.get("MONITORD_SOCKET")
    if named:
        return Path(named)
    own = user_runtime_directory(environ) / SOCKET_NAME
    return own if own.exists() and not SYSTEM_SOCKET.exists() else SYSTEM_SOCKET
