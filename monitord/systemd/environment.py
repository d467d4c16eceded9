"""What the service manager passed in the environment (sd_notify(3), sd_listen_fds(3), systemd.exec(5)).

It is read once, at start, and what addresses this very process is taken out, so that no child process
talks to the manager in our name. Empty and malformed values count as absent: the daemon then runs as in a shell.

The passed descriptors come from libsystemd (`passed_descriptors`). It reads the environment of the process itself, and
would remove the variables only there: children inherit `os.environ`. So it is called where the process starts and
removes nothing; `take` removes the variables from `os.environ`, and thereby from the process as well.
"""

import os
from collections.abc import Callable, Mapping, MutableMapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

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
    descriptors_problem: str | None = None
    """Why what was passed cannot be used."""

    runtime_directory: Path | None = None
    state_directory: Path | None = None
    credentials_directory: Path | None = None
    journal_stream: tuple[int, int] | None = None  # device and inode of the stream that goes to the journal
    invocation_id: str | None = None

    @classmethod
    def take(
        cls,
        environ: MutableMapping[str, str],
        listen_fds: Callable[[], Mapping[int, str]] = dict,
        *,
        pid: int | None = None,
    ) -> Self:
        """Read `environ` and remove from it what is meant for this process alone. A second call finds less.

        `listen_fds`: gives the passed descriptors and their names, or raises OSError.
        """
        own_pid = os.getpid() if pid is None else pid
        passed: Mapping[int, str] = {}
        problem = None
        try:
            passed = listen_fds()
        except OSError as error:
            problem = error.strerror
        found = cls(
            notify_socket=_notify_socket(environ.get("NOTIFY_SOCKET", "")),
            watchdog_s=_watchdog_s(environ, own_pid),
            descriptors=tuple(PassedDescriptor(number, name or "unknown") for number, name in passed.items()),
            descriptors_problem=problem,
            runtime_directory=_first_directory(environ.get("RUNTIME_DIRECTORY", "")),
            state_directory=_first_directory(environ.get("STATE_DIRECTORY", "")),
            credentials_directory=_first_directory(environ.get("CREDENTIALS_DIRECTORY", "")),
            journal_stream=_journal_stream(environ.get("JOURNAL_STREAM", "")),
            invocation_id=environ.get("INVOCATION_ID") or None,
        )
        for name in TAKEN:
            environ.pop(name, None)
        return found


def passed_descriptors() -> Mapping[int, str]:
    """The descriptors that the manager passed to this process, with their names; closed on exec from now on.

    Raises OSError where the variables or the descriptors are not as sd_listen_fds_with_names(3) wants them.
    """
    if "LISTEN_FDS" not in os.environ:
        return {}
    # libsystemd takes 2 MiB of memory, so it is loaded only where something was passed.
    from systemd.daemon import listen_fds_with_names  # noqa: PLC0415

    passed: Mapping[int, str] = listen_fds_with_names(unset_environment=False)
    return passed


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


def _first_directory(text: str) -> Path | None:
    """Several directories come separated by colons; the first is the unit's main one."""
    first = text.split(":", 1)[0]
    return Path(first) if first.startswith("/") else None


def _journal_stream(text: str) -> tuple[int, int] | None:
    device, _, inode = text.partition(":")
    numbers = _number(device), _number(inode)
    return None if numbers[0] is None or numbers[1] is None else (numbers[0], numbers[1])
