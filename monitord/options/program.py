"""Options of programs: command, environment and directory; and warnings about programs that cannot be run."""

import errno
import os
import re
import shlex
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from monitord.config import Secret, Table, value_text
from monitord.errors import problem_and_hint
from monitord.net import ProcessRequest
from monitord.options.http import BODY_SECRET_NAME, MIN_HEURISTIC_SECRET_CHARACTERS
from monitord.options.masking import Masking

ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "LANG": "C.UTF-8",
    "LC_ALL": "C.UTF-8",
}
"""The environment of programs, to which `environment` adds. Locale C.UTF-8: plugins parse the output of other
programs."""


_VARIABLES_OF_THE_DAEMON = (
    "NOTIFY_SOCKET",
    "WATCHDOG_",
    "LISTEN_",
    "CREDENTIALS_DIRECTORY",
    "JOURNAL_STREAM",
    "INVOCATION_ID",
)
"""Variables for the daemon from the service manager. A program could send sd_notify(3) messages with them."""


@dataclass(frozen=True, slots=True)
class ExecOptions:
    """Options of a program.

    `hidden`: values of the environment that are not plain text in the configuration. They are masked everywhere.
    """

    command: tuple[str, ...]
    environment: tuple[tuple[str, Secret], ...] = ()
    hidden: tuple[Secret, ...] = ()
    directory: str = "/"

    def request(self) -> ProcessRequest:
        """Return the request that runs the program. Raises InvalidValueError if these options cannot be combined."""
        environment = ENVIRONMENT | {name: value.reveal() for name, value in self.environment}
        return ProcessRequest(self.command, tuple(environment.items()), self.directory)


def secrets_of_program(options: ExecOptions) -> Iterator[str]:
    """Return hidden values, and values of variables and arguments with the name of a secret (--password hunter22)."""
    yield from (secret.reveal() for secret in options.hidden)
    for name, value in options.environment:
        if BODY_SECRET_NAME.search(name) and len(value.reveal()) >= MIN_HEURISTIC_SECRET_CHARACTERS:
            yield value.reveal()
    yield from secrets_of_arguments(options.command)


def secrets_of_arguments(command: Sequence[str], *, is_heuristic: bool = False) -> Iterator[str]:
    """Yield the secrets among the arguments of a program, according to the option before them.

    `is_heuristic`: even after options such as -p, which mean a password in some programs only.
    """
    for argument, following in pairwise((*command, "")):
        if argument.startswith("-"):
            option, equals, value = argument.partition("=")
            secret = _secret_of_option(option, value if equals else following, is_heuristic=is_heuristic)
            without_scheme = secret.rpartition(" ")[2]  # of Bearer TOKEN
            yield from (
                value for value in (secret, without_scheme) if len(value) >= MIN_HEURISTIC_SECRET_CHARACTERS
            )
        userinfo = re.search(r"://[^/@\s:]*:([^/@\s]+)@", argument)
        if userinfo is not None:
            yield userinfo[1]


def _secret_of_option(option: str, value: str, *, is_heuristic: bool) -> str:
    """The secret in an option of curl, mysql, Nagios plugins and others; empty if the value is not secret."""
    if is_heuristic and re.fullmatch(r"-[pPa][^-].{4,}", option) and not BODY_SECRET_NAME.search(option):
        return option[2:]  # without a space, as in mysql -phunter22
    if value.startswith(("-", "/")):
        return ""
    if option in {"-u", "-U", "--user"} or (option in {"-H", "--header"} and BODY_SECRET_NAME.search(value)):
        return value.partition(":")[2].strip()
    if is_heuristic and option in {"-p", "-P", "-a"}:
        return "" if value.isdecimal() else value  # often a port
    return value if BODY_SECRET_NAME.search(option) else ""


MAX_SHEBANG_BYTES = 256


PERMISSION_DENIED = os.strerror(errno.EACCES)
ANY_EXECUTE_BITS = stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH


def read_program(table: Table) -> ExecOptions:
    environment = table.secrets("environment", default={})
    written = table.raw_table("environment")
    for name in environment:
        if name.startswith(_VARIABLES_OF_THE_DAEMON):
            table.error(
                "environment",
                f"{name} is reserved for the service manager",
                'remove it; a credential can be a value: { credential = "name" }',
            )
    _check_request(
        table, "environment", environment=tuple((name, value.reveal()) for name, value in environment.items())
    )
    # The values that are not plain text in the configuration.
    hidden = tuple(value for name, value in environment.items() if not isinstance(written.get(name), str))
    directory = table.text("directory", default="/")
    _check_request(table, "directory", directory=directory)
    command = _read_command(table)
    if command:
        _warn_about_program(table, Path(command[0]))
    if directory.startswith("/"):
        mode, problem = _mode_of(table, Path(directory))
        hint = _permission_hint(problem) or "create it, or correct the path"
        if mode is not None and not stat.S_ISDIR(mode):
            problem, hint = "it is not a directory", "write the path of a directory"
        if problem is not None:
            table.warn("directory", f"{directory} cannot be entered: {problem}", hint)
    return ExecOptions(command, tuple(environment.items()), hidden, directory)


def _warn_about_program(table: Table, program: Path) -> None:
    mode, problem = _mode_of(table, program)
    hint = _permission_hint(problem) or "install the program, or correct the path"
    if mode is not None:
        may_run = mode & ANY_EXECUTE_BITS if table.is_read_by_other_user else os.access(program, os.X_OK)
        if not stat.S_ISREG(mode):
            problem, hint = "it is not a file", "write the path of a program"
        elif not mode & ANY_EXECUTE_BITS:
            problem, hint = "it is not executable", f"make it executable: chmod +x {program}"
        elif not may_run:
            problem, hint = PERMISSION_DENIED, _permission_hint(PERMISSION_DENIED)
        elif (interpreter := _missing_interpreter(program)) is not None:
            problem = f"its interpreter {interpreter} is missing"
            hint = "install the interpreter, or correct the first line of the program"
    if problem is not None:
        table.warn("command", f"{program} cannot be run: {problem}", hint)


def _permission_hint(problem: str | None) -> str:
    """Return the hint for missing permissions, "" for another problem."""
    return "permit it for the user monitord" if problem == PERMISSION_DENIED else ""


def _missing_interpreter(program: Path) -> str | None:
    """The interpreter in the first line of a script (execve(2)), if there is no such file."""
    try:
        with program.open("rb") as file:
            beginning = file.read(MAX_SHEBANG_BYTES)
    except OSError:
        return None
    words = beginning.partition(b"\n")[0].removeprefix(b"#!").split()
    if not beginning.startswith((b"#!/", b"#! /")) or b"\0" in words[0]:
        return None
    try:
        Path(os.fsdecode(words[0])).stat()
    except FileNotFoundError:
        return os.fsdecode(words[0])
    except OSError:
        return None
    return None


def _mode_of(table: Table, path: Path) -> tuple[int | None, str | None]:
    """The mode of a file, or why it cannot be read. Both None if only the service could know."""
    try:
        return path.stat().st_mode, None
    except PermissionError as error:
        return None, None if table.is_read_by_other_user else error.strerror
    except (OSError, ValueError) as error:  # ValueError: a NUL, which is an error of its own
        return None, error.strerror if isinstance(error, OSError) else None


def _read_command(table: Table) -> tuple[str, ...]:
    written = table.raw("command")
    if isinstance(written, str):
        try:
            parts = shlex.split(written)
        except ValueError:
            parts = written.split()
        if not parts:
            table.error("command", "is empty", 'write ["/path/to/program", "argument"]')
            return ()
        masking = Masking(secrets_of_arguments(parts, is_heuristic=True))
        if not parts[0].startswith("/"):
            parts[0] = f"/path/to/{parts[0]}"  # the path of a program must be absolute
        as_list = value_text([masking.mask(part) for part in parts])
        table.error("command", "is text, but has to be a list, because no shell is used", f"write {as_list}")
        return ()
    if isinstance(written, list) and any(isinstance(part, dict) for part in written):
        table.error(
            "command",
            "contains a secret, which every user of this host could see in the arguments of the process",
            "pass it in environment, or in a file that the program reads",
        )
        return ()
    command = table.texts("command")
    if command or written == []:
        _check_request(table, "command", command=command)
    return command


def _check_request(table: Table, key: str, **part: Any) -> None:
    """Record an error if a program cannot be started with this."""
    try:
        ProcessRequest(**({"command": ("/",)} | part))
    except ValueError as error:
        table.error(key, *problem_and_hint(error))
