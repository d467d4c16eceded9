"""What the service manager passed in the environment (sd_notify(3), sd_listen_fds(3), systemd.exec(5)).

It is read once, at start, and what addresses this very process is taken out, so that no child process
talks to the manager in our name. Empty and malformed values count as absent: the daemon then runs as in a shell.
"""

import os
from collections.abc import MutableMapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

FIRST_PASSED_DESCRIPTOR = 3  # SD_LISTEN_FDS_START
MOST_PASSED_DESCRIPTORS = 1024

# The directories, the credentials and the journal stream stay: they hold for children, too, or hurt nobody.
TAKEN = (
    "NOTIFY_SOCKET",
    "WATCHDOG_USEC",
    "WATCHDOG_PID",
    "LISTEN_FDS",
    "LISTEN_PID",
    "LISTEN_PIDFDID",
    "LISTEN_FDNAMES",
)


@dataclass(frozen=True, slots=True)
class PassedDescriptor:
    """An open descriptor that the manager handed over; `name` is the FileDescriptorName= of its unit."""

    number: int
    name: str


@dataclass(frozen=True, slots=True)
class ServiceEnvironment:
    """All absent, as in `ServiceEnvironment()`: no service manager."""

    notify_socket: str | None = None
    watchdog_s: float | None = None  # the manager ends the service after so long without a ping
    descriptors: tuple[PassedDescriptor, ...] = ()
    runtime_directory: Path | None = None
    state_directory: Path | None = None
    credentials_directory: Path | None = None
    journal_stream: tuple[int, int] | None = None  # device and inode of the stream that goes to the journal
    invocation_id: str | None = None

    @classmethod
    def take(cls, environ: MutableMapping[str, str], *, pid: int | None = None) -> Self:
        """Read `environ` and remove from it what is meant for this process alone. A second call finds less."""
        own_pid = os.getpid() if pid is None else pid
        found = cls(
            notify_socket=_notify_socket(environ.get("NOTIFY_SOCKET", "")),
            watchdog_s=_watchdog_s(environ, own_pid),
            descriptors=_descriptors(environ, own_pid),
            runtime_directory=_first_directory(environ.get("RUNTIME_DIRECTORY", "")),
            state_directory=_first_directory(environ.get("STATE_DIRECTORY", "")),
            credentials_directory=_first_directory(environ.get("CREDENTIALS_DIRECTORY", "")),
            journal_stream=_journal_stream(environ.get("JOURNAL_STREAM", "")),
            invocation_id=environ.get("INVOCATION_ID") or None,
        )
        for name in TAKEN:
            environ.pop(name, None)
        return found


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= 20 else None  # noqa: PLR2004 - digits of 2**64


def _notify_socket(text: str) -> str | None:
    # "@" is the manager's spelling of the NUL that begins an abstract address (unix(7)).
    return text if text.startswith(("/", "@")) else None


def _watchdog_s(environ: MutableMapping[str, str], pid: int) -> float | None:
    """WATCHDOG_PID names whom the manager listens to; without it, whoever reads this (sd_watchdog_enabled(3))."""
    microseconds = _number(environ.get("WATCHDOG_USEC", ""))
    wanted_pid = environ.get("WATCHDOG_PID", "")
    if not microseconds or (wanted_pid and _number(wanted_pid) != pid):
        return None
    return microseconds / 1e6


def _descriptors(environ: MutableMapping[str, str], pid: int) -> tuple[PassedDescriptor, ...]:
    count = _number(environ.get("LISTEN_FDS", ""))
    if not count or count > MOST_PASSED_DESCRIPTORS or _number(environ.get("LISTEN_PID", "")) != pid:
        return ()
    names = environ.get("LISTEN_FDNAMES", "").split(":")
    names += [""] * (count - len(names))
    return tuple(
        PassedDescriptor(FIRST_PASSED_DESCRIPTOR + index, name or "unknown")
        for index, name in enumerate(names[:count])
    )


def _first_directory(text: str) -> Path | None:
    """Several directories come separated by colons; the first is the unit's main one."""
    first = text.split(":", 1)[0]
    return Path(first) if first.startswith("/") else None


def _journal_stream(text: str) -> tuple[int, int] | None:
    device, _, inode = text.partition(":")
    numbers = _number(device), _number(inode)
    return None if numbers[0] is None or numbers[1] is None else (numbers[0], numbers[1])
