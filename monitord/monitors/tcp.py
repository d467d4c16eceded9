"""Monitor type `tcp`: a connection, and optionally a dialogue on it.

    type = "tcp"
    address = "mail.example.org:25"
    dialogue = [{ expect = "^220 " }, { send = "QUIT\\r\\n" }, { expect = "^221 " }]

Without conditions, a check passes if the connection is established and the dialogue is completed. Secrets that were
sent are masked in responses that repeat them.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

from monitord.conditions import FieldType, Vocabulary
from monitord.config import Table
from monitord.errors import InvalidValueError
from monitord.model import EXCERPT, Observation, Reason
from monitord.monitors.base import Monitor, MonitorSettings, Stopwatch, Tools
from monitord.net import FailureKind, parse_endpoint
from monitord.net.base.addressing import parse_host, parse_socket_path
from monitord.net.stream.client import StreamClient, StreamOutcome, StreamTarget
from monitord.net.stream.dialogue import Dialogue, Expect
from monitord.options.address import check_unix_socket_keys
from monitord.options.dialogue import (
    DialogueStep,
    ExpectStep,
    StartTlsStep,
    read_dialogue,
    secrets_of_dialogue,
    steps_of,
)
from monitord.options.stream import read_stream_target
from monitord.options.tls import (
    ONLY_WITH_TLS,
    STREAM_BOUNDS,
    STREAM_FIELDS,
    check_tls_keys,
    fields_of_stream,
)
from monitord.text import counted, shortened

MAX_BANNER_CHARACTERS = 1024
MAX_SHOWN_CHARACTERS = 100

VOCABULARY = Vocabulary({**STREAM_FIELDS, "banner": FieldType.TEXT}, STREAM_BOUNDS)
_ANYTHING = Expect(bool)


@dataclass(frozen=True, slots=True)
class TcpOptions:
    target: StreamTarget
    dialogue: tuple[DialogueStep, ...] = ()


class TcpMonitor(Monitor[TcpOptions]):
    type_name: ClassVar[str] = "tcp"
    vocabulary: ClassVar[Vocabulary] = VOCABULARY

    def __init__(self, settings: MonitorSettings, tools: Tools) -> None:
        super().__init__(settings, tools)
        self._client = StreamClient(tools.resolver, tools.tls_contexts)
        self.uses_network = self.options.target.crosses_network
        self._steps = steps_of(self.options.dialogue)
        if "banner" in settings.needs and not any(isinstance(step, Expect) for step in self._steps):
            self._steps.append(_ANYTHING)  # without a step that expects something nothing is read

    @property
    def pool(self) -> str | None:
        return self.options.target.host or None

    @classmethod
    def belongs_to_host(cls, options: TcpOptions) -> bool:
        return not options.target.crosses_network

    @classmethod
    def read_options(cls, table: Table) -> TcpOptions:
        host, port, socket_path = table.value(
            "address", _address, default=("localhost", 1, None), required=True
        )
        dialogue = read_dialogue(table, allows_starttls=True)
        uses_tls = table.flag("tls", default=False)
        target = read_stream_target(table, host, port, socket_path, begins_with_tls=uses_tls)
        handshakes = sum(isinstance(step, StartTlsStep) for step in dialogue) + target.begins_with_tls
        if handshakes > 1:
            table.error(
                "dialogue", "starts TLS on a connection that uses TLS already", "keep one of tls and starttls"
            )
        if not handshakes:
            check_tls_keys(table)
        elif target.socket_path is not None and target.tls.verify and target.server_name is None:
            table.error("address", "has no name to verify the certificate", 'add server_name = "…"')
        if target.socket_path is not None:
            check_unix_socket_keys(table, "ip_family", "source_address")
        return TcpOptions(target, dialogue)

    @classmethod
    def absent_fields(cls, options: TcpOptions) -> Mapping[str, str]:
        starts_tls = any(isinstance(step, StartTlsStep) for step in options.dialogue)
        return {} if options.target.begins_with_tls or starts_tls else ONLY_WITH_TLS

    def secrets(self) -> Iterable[str]:
        return secrets_of_dialogue(self.options.dialogue)

    async def check(self) -> Observation:
        watch = Stopwatch(self.tools.clock)
        target = self.options.target
        dialogue = Dialogue(self._steps)
        deadline = watch.began_s + self.settings.timeout_s
        outcome = await self._client.run(target, dialogue.run, deadline=deadline)
        fields = fields_of_stream(outcome, self.tools.clock.now())
        if outcome.received:
            fields["banner"] = shortened(
                self.masking.printable_lines(outcome.received), MAX_BANNER_CHARACTERS
            )
        reason, result = self._evaluate(outcome, dialogue)
        observation = watch.observation(
            reason,
            f"{target}: {result}, {outcome.duration_s:.3f} s",
            fields,
            outcome.address,
            lambda name, _: outcome.received.decode(errors="replace") if name == EXCERPT else None,
            subject=str(target),
            outcome=result,
            shows_connectivity=True if outcome.received else None,
        )
        # `up_when` replaces the default condition of a type, but the dialogue must be completed in any case.
        return replace(observation, is_usable=reason is not Reason.CONDITION_FAILED)

    def _evaluate(self, outcome: StreamOutcome, dialogue: Dialogue) -> tuple[Reason, str]:
        """Return the reason, and the result in words."""
        if outcome.failure is None:
            count = len(self.options.dialogue)
            return Reason.OK, f"connected, {counted(count, 'step')} completed" if count else "connected"
        received = self.masking.printable_lines(dialogue.received_in_step(outcome.received))
        steps = self.options.dialogue
        step = steps[dialogue.index] if dialogue.index < len(steps) else None
        is_unmet = outcome.failure in {FailureKind.TIMEOUT_RESPONSE, FailureKind.RESET}
        if is_unmet and received and isinstance(step, ExpectStep):
            is_timeout = outcome.failure is FailureKind.TIMEOUT_RESPONSE
            end = "no more before the timeout" if is_timeout else "the end of the connection"
            shown = shortened(received.replace("\n", " "), MAX_SHOWN_CHARACTERS)
            text = f'step {dialogue.index + 1} expects "{step.pattern}", received "{shown}" and {end}'
            return Reason.CONDITION_FAILED, text
        return Reason(outcome.failure.value), outcome.detail


# Reading


def _address(text: str) -> tuple[str, int, str | None]:
    if text.startswith("unix:"):
        return "", 0, parse_socket_path(text)
    try:
        endpoint = parse_endpoint(text)
        return parse_host(endpoint.host), endpoint.port, None
    except ValueError:
        raise InvalidValueError(
            "is not an address", 'write "host:port", "[address]:port" or "unix:/path"'
        ) from None
