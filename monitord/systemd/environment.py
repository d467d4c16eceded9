"""Environment variables from the service manager (sd_notify(3), sd_listen_fds(3), systemd.exec(5)).

They are read once at startup. Those for this process alone are removed, so that no child process notifies the service
manager. Empty and malformed values are treated as absent, as when the daemon is started from a shell.

libsystemd returns the passed descriptors (`passed_descriptors`). It would remove the variables from the environment of
the process, but not from `os.environ`, which children inherit. Therefore it removes nothing, and `take` removes the
variables from `os.environ`, which also removes them from the process.
"""

import os
from collections.abc import Callable, Mapping, MutableMapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

# The directories, the credentials and the journal stream remain: they are valid or harmless for child processes.
REMOVED_VARIABLES = (
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
    """A descriptor from the service manager. `name` is the FileDescriptorName= of its unit."""

    number: int
    name: str


@dataclass(frozen=True, slots=True)
class ServiceEnvironment:
    """The variables. `ServiceEnvironment()` is the environment without a service manager."""

    notify_socket: str | None = None
    watchdog_s: float | None = None  # the service manager ends the service after this time without a ping
    descriptors: tuple[PassedDescriptor, ...] = ()
    descriptors_problem: str | None = None
    """The reason if the passed descriptors cannot be used."""

    runtime_directory: Path | None = None
    state_directory: Path | None = None
    credentials_directory: Path | None = None
    journal_stream: tuple[int, int] | None = None  # device and inode of the stream to the journal
    invocation_id: str | None = None

    @classmethod
    def take(
        cls,
        environ: MutableMapping[str, str],
        listen_fds: Callable[[], Mapping[int, str]] = dict,
        *,
        pid: int | None = None,
    ) -> Self:
        """Read `environ` and remove the variables for this process alone.

        `listen_fds` returns the passed descriptors and their names, or raises OSError.
        """
        own_pid = os.getpid() if pid is None else pid
        passed: Mapping[int, str] = {}
        problem = None
        try:
            passed = listen_fds()
        except OSError as error:
            problem = error.strerror
        # The service manager writes the NUL at the beginning of an abstract address (unix(7)) as "@".
        text = environ.get("NOTIFY_SOCKET", "")
        device, _, inode = environ.get("JOURNAL_STREAM", "").partition(":")
        numbers = _number(device), _number(inode)
        microseconds = _number(environ.get("WATCHDOG_USEC", ""))
        watchdog_pid = environ.get("WATCHDOG_PID", "")
        is_for_other = watchdog_pid != "" and _number(watchdog_pid) != own_pid  # sd_watchdog_enabled(3)
        environment = cls(
            notify_socket=text if text.startswith(("/", "@")) else None,
            watchdog_s=microseconds / 1e6 if microseconds and not is_for_other else None,
            descriptors=tuple(PassedDescriptor(number, name or "unknown") for number, name in passed.items()),
            descriptors_problem=problem,
            runtime_directory=_first_directory(environ.get("RUNTIME_DIRECTORY", "")),
            state_directory=_first_directory(environ.get("STATE_DIRECTORY", "")),
            credentials_directory=_first_directory(environ.get("CREDENTIALS_DIRECTORY", "")),
            journal_stream=None if numbers[0] is None or numbers[1] is None else (numbers[0], numbers[1]),
            invocation_id=environ.get("INVOCATION_ID") or None,
        )
        for name in REMOVED_VARIABLES:
            environ.pop(name, None)
        return environment


def passed_descriptors() -> Mapping[int, str]:
    """Return the descriptors from the service manager with their names, and set them close-on-exec.

    Raises OSError if the variables or the descriptors are invalid (sd_listen_fds_with_names(3)).
    """
    if "LISTEN_FDS" not in os.environ:
        return {}
    # libsystemd uses 2 MiB of memory, so it is only loaded if there are descriptors.
    from systemd.daemon import listen_fds_with_names  # noqa: PLC0415

    passed: Mapping[int, str] = listen_fds_with_names(unset_environment=False)
    return passed


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= 20 else None  # noqa: PLR2004 - digits of 2**64


def _first_directory(text: str) -> Path | None:
    """Return the first of the directories, which are separated by colons."""
    first = text.split(":", 1)[0]
    return Path(first) if first.startswith("/") else None
