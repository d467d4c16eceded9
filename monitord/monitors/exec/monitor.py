"""Monitor type `exec`: runs a program that follows the Nagios plugin guidelines.

    command = ["/usr/lib/nagios/plugins/check_tcp", "-H", "mail.example.org", "-p", "25"]

The exit code is the result: 0 ok, 1 warning, 2 critical, 3 and all others unknown. The first line of the output is the
message, followed by "|" and performance data (`perfdata`).

Whether the program exists is not checked when the configuration is read: a configuration may be checked outside the
sandbox of the service, and the package of the program may be installed later. A check without it is inconclusive.
"""

from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath
from signal import Signals
from typing import ClassVar

from monitord.conditions import COUNT, EXIT_STATUS, LATENCY, FieldFunction, FieldType, Vocabulary
from monitord.config import Table
from monitord.model import EXCERPT, FieldValue, Observation, Reason
from monitord.monitors.base import PROCESSES, Monitor, MonitorSettings, Stopwatch, Tools
from monitord.monitors.exec.perfdata import parse_output
from monitord.net import ProcessEnd, ProcessFailure, ProcessFailureKind
from monitord.options.program import ExecOptions, read_program, secrets_of_program
from monitord.text import printable, shortened
from monitord.units import format_duration

MAX_MESSAGE_CHARACTERS = 500
MAX_EXCERPT_SOURCE_BYTES = 4096
"""Limit for standard output and for standard error, for the excerpt of a check that does not pass."""


VOCABULARY = Vocabulary(
    {
        "exit_status": FieldType.NUMBER,
        "message": FieldType.TEXT,
        "response_time": FieldType.DURATION,
        "dropped_bytes": FieldType.SIZE,
        "perfdata": FieldFunction(FieldType.NUMBER),
    },
    {
        "exit_status": EXIT_STATUS,
        "response_time": LATENCY,
        "dropped_bytes": COUNT,
    },
)

_REASONS = {0: Reason.OK, 1: Reason.PLUGIN_WARNING, 2: Reason.PLUGIN_CRITICAL}


class ExecMonitor(Monitor[ExecOptions]):
    """Monitor that runs one program for each check."""

    type_name: ClassVar[str] = "exec"
    vocabulary: ClassVar[Vocabulary] = VOCABULARY

    def __init__(self, settings: MonitorSettings, tools: Tools) -> None:
        super().__init__(settings, tools)
        self._request = self.options.request()
        self._program = PurePosixPath(self._request.command[0]).name

    @property
    def pool(self) -> str | None:
        return PROCESSES

    @classmethod
    def belongs_to_host(cls, options: ExecOptions) -> bool:
        del options
        return True  # the program is installed on this host, and may check anything on it

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
            result = f"cannot be run: {outcome.detail}"
            return watch.observation(
                reason, f"{self._program}: {result}", {}, subject=self._program, outcome=result
            )
        output = parse_output(self._text(outcome.stdout))
        message = output.message or parse_output(self._text(outcome.stderr)).message
        message = shortened(message, MAX_MESSAGE_CHARACTERS) or "no output"
        reason, end = self._evaluate(outcome)
        duration_s = watch.elapsed_s
        fields: dict[str, FieldValue] = {
            "response_time": duration_s,
            "message": message,
            "dropped_bytes": outcome.dropped_bytes,
        }
        if outcome.exit_code is not None and not outcome.is_late:
            fields["exit_status"] = outcome.exit_code
        fields |= {
            f"perfdata.{value.label}": value.value for value in output.values if value.value is not None
        }

        def look_up(name: str, argument: object) -> object:
            if name == EXCERPT:
                # Output with more than one line; a single line is the message.
                printed = (
                    outcome.stdout[:MAX_EXCERPT_SOURCE_BYTES],
                    outcome.stderr[:MAX_EXCERPT_SOURCE_BYTES],
                )
                text = "\n".join(part.decode(errors="replace").strip() for part in printed if part.strip())
                return text if "\n" in text else None
            return fields.get(f"{name}.{argument}")

        return Observation(
            started_at=watch.started_at,
            duration_s=duration_s,
            reason=reason,
            detail=f"{self._program}: {message} ({end}, {duration_s:.3f} s)",
            fields=fields,
            response_data=look_up,
            subject=self._program,
            outcome=f"{message} ({end})",
            shows_connectivity=False,  # whether the plugin received a response is not known
        )

    def journal_fields(self, observation: Observation) -> Mapping[str, str]:
        exit_code = observation.fields.get("exit_status")
        fields = {"PLUGIN": self._request.command[0]}
        return fields if exit_code is None else fields | {"PLUGIN_EXIT_STATUS": str(exit_code)}

    def _evaluate(self, end: ProcessEnd) -> tuple[Reason, str]:
        """Return the reason for the end of the program, and the end in words."""
        if end.is_late:
            late = f"not finished after {format_duration(self.settings.timeout_s)}"
            return Reason.TIMEOUT_RESPONSE, f"{late}, {'killed' if end.has_ended else 'cannot be killed'}"
        if end.signal is not None:
            try:
                signal_name = Signals(end.signal).name
            except ValueError:
                signal_name = f"signal {end.signal}"
            return Reason.PLUGIN_KILLED, f"killed by {signal_name}"
        if end.exit_code is None:
            return Reason.PLUGIN_UNKNOWN, "exit code lost"
        return _REASONS.get(end.exit_code, Reason.PLUGIN_UNKNOWN), f"exit code {end.exit_code}"

    def _text(self, output: bytes) -> str:
        """Return lines of printable text with secrets masked: it may be printed to a terminal."""
        text = self.masking.mask(output.decode(errors="replace"))
        return printable(text, keep="\n", replacement=" ")


_REASON_OF_FAILURE = {
    ProcessFailureKind.UNUSABLE: Reason.PLUGIN_UNKNOWN,
    ProcessFailureKind.EXHAUSTED: Reason.PROBER_EXHAUSTED,
    # The process of an earlier check, which timed out, has not ended yet.
    ProcessFailureKind.STUCK: Reason.TIMEOUT_RESPONSE,
}
