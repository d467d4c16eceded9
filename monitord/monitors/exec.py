"""The type `exec`: a program that looks for us, by the contract of Nagios plugins.

    command = ["/usr/lib/nagios/plugins/check_tcp", "-H", "mail.example.org", "-p", "25"]

It says by its exit code whether all is well (0), worth a warning (1), critical (2) or not to be told (3 and all
others), by its first line why, and behind a "|" what it measured (`perfdata`).

That the program is there is not asked when the configuration is read: who checks a configuration may stand outside
of the service's sandbox, and its package may come later. A check that finds none is unsure, and says so.
"""

import os
import re
import shlex
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from signal import Signals
from typing import Any, ClassVar

from monitord.conditions import COUNT, EXIT_STATUS, LATENCY, FactFunction, FactType, Vocabulary
from monitord.config import Secret, Table, value_text
from monitord.model import EXCERPT, Evidence, Fact, Observation, Reason
from monitord.monitors.base import CHILDREN, Monitor, MonitorSettings, Stopwatch, Tools
from monitord.monitors.http_options import OWN_SECRET_NAME, SHORTEST_GUESS
from monitord.monitors.masking import Masking
from monitord.monitors.perfdata import PluginOutput, parse_output
from monitord.net import ProcessEnd, ProcessFault, ProcessFaultKind, ProcessRequest
from monitord.units import format_duration

MAX_MESSAGE_CHARACTERS = 500
MAX_EXCERPT_SOURCE_BYTES = 4096
"""Of the output, and of the error output, for the excerpt of a check that does not pass."""

ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "LANG": "C.UTF-8",
    "LC_ALL": "C.UTF-8",
}
"""All that a plugin gets, with what its monitor names. Plugins read the output of other programs: no translations."""

_NOT_FOR_PLUGINS = (
    "NOTIFY_SOCKET",
    "WATCHDOG_",
    "LISTEN_",
    "CREDENTIALS_DIRECTORY",
    "JOURNAL_STREAM",
    "INVOCATION_ID",
)
"""By these the service manager speaks to the daemon; a program that found them would speak in its name."""

VOCABULARY = Vocabulary(
    {
        "exit_code": FactType.NUMBER,
        "message": FactType.TEXT,
        "response_time": FactType.DURATION,
        "dropped_bytes": FactType.SIZE,
        "perfdata": FactFunction(FactType.NUMBER),
    },
    {
        "exit_code": EXIT_STATUS,
        "response_time": LATENCY,
        "dropped_bytes": COUNT,
    },
)

_REASONS = {0: Reason.OK, 1: Reason.PLUGIN_WARNING, 2: Reason.PLUGIN_CRITICAL}


@dataclass(frozen=True, slots=True)
class ExecOptions:
    """`hidden`: values in the environment that were not written as plain text; they are shown nowhere."""

    command: tuple[str, ...]
    environment: tuple[tuple[str, Secret], ...] = ()
    hidden: tuple[Secret, ...] = ()
    directory: str = "/"

    def request(self) -> ProcessRequest:
        """Raises ValueError("problem; hint") when the options cannot be given to a program."""
        environment = ENVIRONMENT | {name: value.reveal() for name, value in self.environment}
        return ProcessRequest(self.command, tuple(environment.items()), self.directory)


def secrets_of_program(options: ExecOptions) -> Iterator[str]:
    """What is hidden, and values of variables and options that are secret by their name (--password hunter22)."""
    yield from (secret.reveal() for secret in options.hidden)
    for name, value in options.environment:
        if OWN_SECRET_NAME.search(name) and len(value.reveal()) >= SHORTEST_GUESS:
            yield value.reveal()
    yield from secrets_of_arguments(options.command)


def secrets_of_arguments(command: Sequence[str], *, is_guess: bool = False) -> Iterator[str]:
    """What is a secret among the arguments of a program, by the option before it.

    `is_guess`: by options as well that mean something else to other programs.
    """
    for argument, following in zip(command, (*command[1:], ""), strict=True):
        if argument.startswith("-"):
            option, equals, value = argument.partition("=")
            secret = _secret_of_option(option, value if equals else following, is_guess=is_guess)
            without_scheme = secret.rpartition(" ")[2]  # of Bearer TOKEN
            yield from (one for one in (secret, without_scheme) if len(one) >= SHORTEST_GUESS)
        userinfo = re.search(r"://[^/@\s:]*:([^/@\s]+)@", argument)
        if userinfo is not None:
            yield userinfo[1]


def _secret_of_option(option: str, value: str, *, is_guess: bool) -> str:
    """As curl, mysql, Nagios plugins and others have them; "" where the value is none."""
    if is_guess and re.fullmatch(r"-[pPa][^-].{4,}", option) and not OWN_SECRET_NAME.search(option):
        return option[2:]  # without a space, as in mysql -phunter22
    if value.startswith(("-", "/")):
        return ""
    if option in {"-u", "-U", "--user"} or (option in {"-H", "--header"} and OWN_SECRET_NAME.search(value)):
        return value.partition(":")[2].strip()
    if is_guess and option in {"-p", "-P", "-a"}:
        return "" if value.isdecimal() else value  # often a port
    return value if OWN_SECRET_NAME.search(option) else ""


class ExecMonitor(Monitor[ExecOptions]):
    """Runs one program each time."""

    type_name: ClassVar[str] = "exec"
    implied_by: ClassVar[str | None] = "command"
    vocabulary: ClassVar[Vocabulary] = VOCABULARY

    def __init__(self, settings: MonitorSettings, tools: Tools) -> None:
        super().__init__(settings, tools)
        self._request = self.options.request()
        self._program = PurePosixPath(self._request.command[0]).name

    @property
    def host(self) -> str | None:
        return CHILDREN

    @classmethod
    def read_options(cls, table: Table) -> ExecOptions:
        return read_program(table)

    def secrets(self) -> Iterable[str]:
        return secrets_of_program(self.options)

    async def check(self) -> Observation:
        watch = Stopwatch(self.tools.clock)
        outcome = await self.tools.processes.run(
            self._request, deadline=watch.began_s + self.settings.timeout_s
        )
        if isinstance(outcome, ProcessFault):
            reason = _REASON_OF_FAULT[outcome.kind]
            said = f"cannot be run: {outcome.detail}"
            return watch.observation(
                reason, f"{self._program}: {said}", {}, subject=self._program, outcome=said
            )
        output = parse_output(self._text(outcome.stdout))
        message = output.message or parse_output(self._text(outcome.stderr)).message
        said = _shortened(message) or "no output"
        reason, end = self._judge(outcome)
        duration_s = watch.elapsed_s
        facts: dict[str, Fact] = {"response_time": duration_s, "message": said, **_facts(outcome, output)}
        return Observation(
            started_at=watch.started_at,
            duration_s=duration_s,
            reason=reason,
            detail=f"{self._program}: {said} ({end}, {duration_s:.3f} s)",
            facts=facts,
            evidence=self._evidence(outcome, facts),
            subject=self._program,
            outcome=f"{said} ({end})",
        )

    @staticmethod
    def _evidence(end: ProcessEnd, facts: Mapping[str, Fact]) -> Evidence:
        def look_up(name: str, argument: object) -> object:
            if name == EXCERPT:
                return _excerpt(end)
            return facts.get(f"{name}.{argument}")

        return look_up

    def journal_fields(self, observation: Observation) -> Mapping[str, str]:
        exit_code = observation.facts.get("exit_code")
        fields = {"PLUGIN": self._request.command[0]}
        return fields if exit_code is None else fields | {"PLUGIN_EXIT_CODE": str(exit_code)}

    def _judge(self, end: ProcessEnd) -> tuple[Reason, str]:
        """What its end means, and its end in words."""
        if end.is_late:
            late = f"not done after {format_duration(self.settings.timeout_s)}"
            return Reason.TIMEOUT_RESPONSE, f"{late}, {'killed' if end.has_ended else 'cannot be killed'}"
        if end.signal is not None:
            return Reason.PLUGIN_KILLED, f"killed by {_signal_name(end.signal)}"
        if end.exit_code is None:
            return Reason.PLUGIN_UNKNOWN, "exit code lost"
        return _REASONS.get(end.exit_code, Reason.PLUGIN_UNKNOWN), f"exit code {end.exit_code}"

    def _text(self, output: bytes) -> str:
        """Lines of printable text without secrets. A plugin may print anything, to the terminal of who looks too."""
        text = self.masking.mask(output.decode(errors="replace"))
        return "".join(c if c.isprintable() or c == "\n" else " " for c in text)


MOST_SHEBANG_BYTES = 256
ANYBODY_MAY_RUN = stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH

_REASON_OF_FAULT = {
    ProcessFaultKind.UNUSABLE: Reason.PLUGIN_UNKNOWN,
    ProcessFaultKind.EXHAUSTED: Reason.PROBER_EXHAUSTED,
    # Its check before was a failure by timeout, and is not over yet.
    ProcessFaultKind.STUCK: Reason.TIMEOUT_RESPONSE,
}


def _facts(end: ProcessEnd, output: PluginOutput) -> dict[str, Fact]:
    facts: dict[str, Fact] = {"dropped_bytes": end.dropped_bytes}
    if end.exit_code is not None and not end.is_late:
        facts["exit_code"] = end.exit_code
    facts |= {f"perfdata.{value.label}": value.value for value in output.values if value.value is not None}
    return facts


def _excerpt(end: ProcessEnd) -> str | None:
    """What it printed, if that is more than the line that is told anyway."""
    printed = (end.stdout[:MAX_EXCERPT_SOURCE_BYTES], end.stderr[:MAX_EXCERPT_SOURCE_BYTES])
    text = "\n".join(part.decode(errors="replace").strip() for part in printed if part.strip())
    return text if "\n" in text else None


def _signal_name(number: int) -> str:
    try:
        return Signals(number).name
    except ValueError:
        return f"signal {number}"


def _shortened(text: str) -> str:
    return text if len(text) <= MAX_MESSAGE_CHARACTERS else text[: MAX_MESSAGE_CHARACTERS - 1] + "…"


# Reading


def read_program(table: Table) -> ExecOptions:
    environment, hidden = _read_environment(table)
    directory = table.text("directory", default="/")
    _try(table, "directory", directory=directory)
    command = _read_command(table)
    if command:
        _warn_of_program(table, Path(command[0]))
    if directory.startswith("/"):
        _warn_of_directory(table, Path(directory))
    return ExecOptions(command, environment, hidden, directory)


def _warn_of_program(table: Table, program: Path) -> None:
    mode, problem = _mode_of(table, program)
    if mode is not None:
        may_run = mode & ANYBODY_MAY_RUN if table.is_read_by_outsider else os.access(program, os.X_OK)
        if not stat.S_ISREG(mode):
            problem = "it is not a file"
        elif not may_run:
            problem = "it is not executable" if not mode & ANYBODY_MAY_RUN else "Permission denied"
        elif (interpreter := _missing_interpreter(program)) is not None:
            problem = f"its interpreter {interpreter} is missing"
    if problem is not None:
        table.warn(
            "command",
            f"{program} cannot be run: {problem}",
            "install it, or correct the path",
        )


def _missing_interpreter(program: Path) -> str | None:
    """What the first line of a script names (execve(2)), if there is no such file."""
    try:
        with program.open("rb") as file:
            beginning = file.read(MOST_SHEBANG_BYTES)
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


def _warn_of_directory(table: Table, directory: Path) -> None:
    mode, problem = _mode_of(table, directory)
    if mode is not None and not stat.S_ISDIR(mode):
        problem = "it is not a directory"
    if problem is not None:
        table.warn(
            "directory",
            f"{directory} cannot be entered: {problem}",
            "create it, or correct the path",
        )


def _mode_of(table: Table, path: Path) -> tuple[int | None, str | None]:
    """The mode of the file, or why it has none. Neither where only the service could know."""
    try:
        return path.stat().st_mode, None
    except PermissionError as error:
        return None, None if table.is_read_by_outsider else error.strerror
    except (OSError, ValueError) as error:  # ValueError: a NUL, which was refused already
        return None, error.strerror if isinstance(error, OSError) else None


def _read_command(table: Table) -> tuple[str, ...]:
    found = table.look_up("command")
    written = None if found is None else found[1]
    if isinstance(written, str):
        table.fault(
            "command", "is text, and there is no shell to take it apart", f"write {_as_list(written)}"
        )
        return ()
    if isinstance(written, list) and any(isinstance(part, dict) for part in written):
        table.fault(
            "command",
            "holds a secret, which every user of this host could see among its arguments",
            "hand it over in environment, or in a file that the plugin reads",
        )
        return ()
    command = table.texts("command")
    if command or written == []:
        _try(table, "command", command=command)
    return command


def _as_list(text: str) -> str:
    try:
        parts = shlex.split(text)
    except ValueError:
        parts = text.split()
    masking = Masking(secrets_of_arguments(parts, is_guess=True))
    return value_text([masking.mask(part) for part in parts])


def _read_environment(table: Table) -> tuple[tuple[tuple[str, Secret], ...], tuple[Secret, ...]]:
    """The variables, and the values of those that were not written as plain text."""
    environment = table.secrets("environment", default={})
    found = table.look_up("environment")
    written = found[1] if found is not None and isinstance(found[1], dict) else {}
    for name in environment:
        if name.startswith(_NOT_FOR_PLUGINS):
            table.fault(
                "environment",
                f"{name} is between the service manager and monitord",
                'leave it out; a credential can be a value: { credential = "name" }',
            )
    _try(
        table, "environment", environment=tuple((name, value.reveal()) for name, value in environment.items())
    )
    hidden = tuple(value for name, value in environment.items() if not isinstance(written.get(name), str))
    return tuple(environment.items()), hidden


def _try(table: Table, key: str, **part: Any) -> None:
    """Whether a program can be given this."""
    try:
        ProcessRequest(**({"command": ("/",)} | part))
    except ValueError as error:
        problem, _, hint = str(error).partition("; ")
        table.fault(key, problem, hint)
