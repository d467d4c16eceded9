"""The type `exec`: a program that looks for us, by the contract of Nagios plugins.

    command = ["/usr/lib/nagios/plugins/check_tcp", "-H", "mail.example.org", "-p", "25"]

It says by its exit code whether all is well (0), worth a warning (1), critical (2) or not to be told (3 and all
others), by its first line why, and behind a "|" what it measured (`perfdata`).

That the program is there is not asked when the configuration is read: who checks a configuration may stand outside
of the service's sandbox, and its package may come later. A check that finds none is inconclusive, and says so.
"""

from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath
from signal import Signals
from typing import ClassVar

from monitord.conditions import COUNT, EXIT_STATUS, LATENCY, FieldFunction, FieldType, Vocabulary
from monitord.config import Table
from monitord.model import EXCERPT, Evidence, FieldValue, Observation, Reason
from monitord.monitors.base import CHILDREN, Monitor, MonitorSettings, Stopwatch, Tools
from monitord.monitors.exec.perfdata import PluginOutput, parse_output
from monitord.net import ProcessEnd, ProcessFailure, ProcessFailureKind
from monitord.options.program import ExecOptions, read_program, secrets_of_program
from monitord.text import printable, shortened
from monitord.units import format_duration

MAX_MESSAGE_CHARACTERS = 500
MAX_EXCERPT_SOURCE_BYTES = 4096
"""Of the output, and of the error output, for the excerpt of a check that does not pass."""


VOCABULARY = Vocabulary(
    {
        "exit_code": FieldType.NUMBER,
        "message": FieldType.TEXT,
        "response_time": FieldType.DURATION,
        "dropped_bytes": FieldType.SIZE,
        "perfdata": FieldFunction(FieldType.NUMBER),
    },
    {
        "exit_code": EXIT_STATUS,
        "response_time": LATENCY,
        "dropped_bytes": COUNT,
    },
)

_REASONS = {0: Reason.OK, 1: Reason.PLUGIN_WARNING, 2: Reason.PLUGIN_CRITICAL}


class ExecMonitor(Monitor[ExecOptions]):
    """Runs one program each time."""

    type_name: ClassVar[str] = "exec"
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
        if isinstance(outcome, ProcessFailure):
            reason = _REASON_OF_FAILURE[outcome.kind]
            said = f"cannot be run: {outcome.detail}"
            return watch.observation(
                reason, f"{self._program}: {said}", {}, subject=self._program, outcome=said
            )
        output = parse_output(self._text(outcome.stdout))
        message = output.message or parse_output(self._text(outcome.stderr)).message
        said = shortened(message, MAX_MESSAGE_CHARACTERS) or "no output"
        reason, end = self._judge(outcome)
        duration_s = watch.elapsed_s
        fields: dict[str, FieldValue] = {
            "response_time": duration_s,
            "message": said,
            **_fields(outcome, output),
        }
        return Observation(
            started_at=watch.started_at,
            duration_s=duration_s,
            reason=reason,
            detail=f"{self._program}: {said} ({end}, {duration_s:.3f} s)",
            fields=fields,
            evidence=self._evidence(outcome, fields),
            subject=self._program,
            outcome=f"{said} ({end})",
            shows_connectivity=False,  # an unmet condition does not show either that the plugin got a response
        )

    @staticmethod
    def _evidence(end: ProcessEnd, fields: Mapping[str, FieldValue]) -> Evidence:
        def look_up(name: str, argument: object) -> object:
            if name == EXCERPT:
                return _excerpt(end)
            return fields.get(f"{name}.{argument}")

        return look_up

    def journal_fields(self, observation: Observation) -> Mapping[str, str]:
        exit_code = observation.fields.get("exit_code")
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
        return printable(text, keep="\n", replacement=" ")


_REASON_OF_FAILURE = {
    ProcessFailureKind.UNUSABLE: Reason.PLUGIN_UNKNOWN,
    ProcessFailureKind.EXHAUSTED: Reason.PROBER_EXHAUSTED,
    # Its check before was a failure by timeout, and is not over yet.
    ProcessFailureKind.STUCK: Reason.TIMEOUT_RESPONSE,
}


def _fields(end: ProcessEnd, output: PluginOutput) -> dict[str, FieldValue]:
    fields: dict[str, FieldValue] = {"dropped_bytes": end.dropped_bytes}
    if end.exit_code is not None and not end.is_late:
        fields["exit_code"] = end.exit_code
    fields |= {f"perfdata.{value.label}": value.value for value in output.values if value.value is not None}
    return fields


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


# Reading
